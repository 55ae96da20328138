//! The objects of the organisation: users, roles, skills, queues, wrap-up codes, presence sources
//! (gc-api section 5). Names of one kind differ in more than case, except those of sources.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Answer, error};
use super::org::Request;
use super::schema::BadRequest;

mod people;
mod routing;
mod scim;
mod shapes;
mod subjects;

/// Id of the Home division.
const HOME: &str = "0b7c1f0e-6f5d-4e38-9a53-6c7a1d0e4f01";

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Its e-mail address in the organisation.
    pub user_name: String,
    /// What it is called.
    pub display_name: String,
    /// Its e-mail addresses.
    pub emails: Vec<String>,
    /// What the client calls it.
    pub external_id: Option<String>,
    /// Whether it may log in.
    pub active: bool,
    /// Ids of the roles granted to it.
    pub roles: BTreeSet<String>,
    /// Its skills: id and proficiency in tenths.
    pub skills: BTreeMap<String, u32>,
    /// Id of its primary presence source, if one was set.
    pub primary_source: Option<String>,
    /// Grows with every change.
    pub version: u32,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Role {
    /// Its name.
    pub name: String,
}

/// A skill.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Skill {
    /// Its name.
    pub name: String,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// What it is in another system.
    pub peer_id: Option<String>,
    /// Every other parameter, as a request gave it.
    pub settings: BTreeMap<String, Value>,
    /// Ids of its members.
    pub members: BTreeSet<String>,
    /// Ids of its wrap-up codes.
    pub codes: BTreeSet<String>,
}

/// A wrap-up code.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Code {
    /// Its name.
    pub name: String,
}

/// A presence source.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
}

/// How often objects were read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that read.
    pub reads: u64,
    /// Requests that changed something, or were to.
    pub writes: u64,
    /// Those of the latter that were refused.
    pub refused: u64,
}

/// Everything there is, each kind by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Holdings {
    /// Users.
    pub users: BTreeMap<String, User>,
    /// Roles.
    pub roles: BTreeMap<String, Role>,
    /// Skills.
    pub skills: BTreeMap<String, Skill>,
    /// Queues.
    pub queues: BTreeMap<String, Queue>,
    /// Wrap-up codes.
    pub codes: BTreeMap<String, Code>,
    /// Presence sources.
    pub sources: BTreeMap<String, Source>,
    /// How often they were read and written.
    pub counts: Counts,
}

/// The objects, and the ids still to be given.
pub(super) struct Objects {
    holdings: Holdings,
    made: u64,
    /// Ids that are chosen already, by kind and name.
    chosen: BTreeMap<String, String>,
}

impl Default for Objects {
    /// Nothing but the roles and the presence source that every organisation has.
    fn default() -> Self {
        let mut objects = Self { holdings: Holdings::default(), made: 0, chosen: BTreeMap::new() };
        for name in ["employee", "User", "Supervisor", "admin"] {
            let id = objects.id();
            objects.holdings.roles.insert(id, Role { name: name.to_owned() });
        }
        let id = objects.id();
        let name = "Genesys Cloud".to_owned();
        objects.holdings.sources.insert(id, Source { name, description: None });
        objects
    }
}

/// What a request comes to, or why not.
type Done = Result<Answer, Refusal>;

/// A refusal: status, code and text of the error.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    /// Whether it has the form of SCIM.
    scim: bool,
}

impl From<BadRequest> for Refusal {
    fn from(bad: BadRequest) -> Self {
        refuse(400, bad.code, bad.message)
    }
}

fn refuse(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into(), scim: false }
}

fn not_found() -> Refusal {
    refuse(404, "not.found", "The requested resource was not found.")
}

impl Objects {
    /// The same, but what is created has these ids, by kind and name.
    pub(super) fn with_ids(self, chosen: BTreeMap<String, String>) -> Self {
        Self { chosen, ..self }
    }

    /// Whether a path is one of those answered here.
    pub(super) fn serves(path: &str) -> bool {
        let areas = ["scim/v2/", "authorization/", "routing/", "users/", "presence/"];
        let is_in = |rest: &str| rest == "users" || areas.iter().any(|it| rest.starts_with(it));
        path.strip_prefix("/api/v2/").is_some_and(is_in)
    }

    pub(super) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Holdings)) {
        let before = self.holdings.users.clone();
        change(&mut self.holdings);
        for (id, user) in &mut self.holdings.users {
            if before.get(id) != Some(user) {
                user.version += 1;
            }
        }
        let Holdings { users, queues, codes, skills, .. } = &mut self.holdings;
        for queue in queues.values_mut() {
            queue.members.retain(|id| users.contains_key(id));
            queue.codes.retain(|id| codes.contains_key(id));
        }
        for user in users.values_mut() {
            user.skills.retain(|id, _| skills.contains_key(id));
        }
    }

    pub(super) fn answer(&mut self, number: u64, request: &Request) -> Answer {
        let done = self.route(request);
        let is_read = request.method == "GET";
        let counts = &mut self.holdings.counts;
        counts.reads += u64::from(is_read);
        counts.writes += u64::from(!is_read);
        counts.refused += u64::from(!is_read && done.is_err());
        done.unwrap_or_else(|refusal| {
            let Refusal { status, code, message, scim } = refusal;
            if !scim {
                return error(number, status, code, &message);
            }
            let body = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "status": status.to_string(), "scimType": code, "detail": message,
            });
            Answer { code: Some(code.to_owned()), ..Answer::json(status, &body) }
        })
    }

    fn route(&mut self, request: &Request) -> Done {
        let path = request.path.strip_prefix("/api/v2/").unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["scim", "v2", "users", rest @ ..] => self.scim(request, rest),
            ["routing", rest @ ..] => self.routing(request, rest),
            ["users"] if request.method == "GET" => self.people(request),
            ["authorization" | "presence" | "users", ..] => self.subjects(request, &parts),
            _ => Err(not_found()),
        }
    }

    /// The id of an object that is created.
    fn id_of(&mut self, kind: &str, name: &str) -> String {
        self.chosen.remove(&format!("{kind}/{name}")).unwrap_or_else(|| self.id())
    }

    /// An id never given before.
    fn id(&mut self) -> String {
        self.made += 1;
        let digest = Sha256::digest(format!("object {}", self.made));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

/// Whether a name is taken, without regard to case, by another object than `except`.
fn is_taken<T>(
    objects: &BTreeMap<String, T>,
    name: fn(&T) -> &str,
    wanted: &str,
    except: Option<&str>,
) -> bool {
    let same = |object: &T| name(object).to_lowercase() == wanted.to_lowercase();
    objects.iter().any(|(id, object)| Some(id.as_str()) != except && same(object))
}

/// The values of a parameter of the query, decoded.
fn parameters(request: &Request, name: &str) -> Vec<String> {
    let pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| decode(value)).collect()
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    parameters(request, name).into_iter().next()
}

/// Percent signs and plus signs of a query undone.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            (first, _) => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A number of the query within bounds.
fn number(request: &Request, name: &str, default: usize, max: usize) -> Result<usize, Refusal> {
    let Some(text) = parameter(request, name) else { return Ok(default) };
    let number = text.parse::<usize>().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| {
        refuse(400, "invalid.query.param.value", format!("{name} must be 1 to {max}"))
    })
}

/// A page of a listing, by pageNumber and pageSize (25, at most 100).
fn page(request: &Request, all: Vec<Value>) -> Done {
    Ok(Answer::json(200, &page_of(request, all, 100)?))
}

/// The body of a page of at most so many.
fn page_of(request: &Request, all: Vec<Value>, size_max: usize) -> Result<Value, Refusal> {
    let size = number(request, "pageSize", 25, size_max)?;
    let current = number(request, "pageNumber", 1, 100_000)?;
    let total = all.len();
    let entities: Vec<Value> = all.into_iter().skip((current - 1) * size).take(size).collect();
    let mut body = json!({
        "entities": entities, "pageSize": size, "pageNumber": current, "total": total,
        "pageCount": total.div_ceil(size), "selfUri": request.path,
    });
    if current * size < total {
        let next = format!("{}?pageSize={size}&pageNumber={}", request.path, current + 1);
        body["nextUri"] = json!(next);
    }
    Ok(body)
}

/// A listing of objects of a kind by name; a filter by name has an asterisk at its ends at most.
fn listing<T>(
    request: &Request,
    objects: &BTreeMap<String, T>,
    name: fn(&T) -> &str,
    body: impl Fn(&str, &T) -> Value,
) -> Done {
    let wanted = parameter(request, "name").map(|name| name.to_lowercase());
    let fits = |object: &T| {
        let name = name(object).to_lowercase();
        wanted.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == wanted,
        })
    };
    let mut found: Vec<_> = objects.iter().filter(|(_, object)| fits(object)).collect();
    found.sort_by_key(|(_, object)| name(object).to_lowercase());
    page(request, found.into_iter().map(|(id, object)| body(id, object)).collect())
}

/// The JSON of a body.
fn parse(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body)
        .map_err(|e| refuse(400, "bad.request", format!("the body is no JSON: {e}")))
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn nothing(status: u16) -> Answer {
    Answer { body: String::new(), ..Answer::json(status, &Value::Null) }
}

#[cfg(test)]
mod tests;
