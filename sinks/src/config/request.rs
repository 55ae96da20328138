//! Requests as values, and as HTTP. Objects are named by their keys: what an earlier request makes
//! has no id yet. Pure.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use trunkline_schemas::desired::{self, DesiredKind, DesiredObject};

use super::actual::{Actual, GENESYS, named};
use super::{Desired, memory::Memory};

/// Skills one request may name.
pub const SKILLS_MAX: usize = 50;
/// Members or codes one request may name.
pub const BATCH_MAX: usize = 100;

/// A parameter of a user that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserChange {
    /// `userName`.
    UserName(String),
    /// `displayName`.
    DisplayName(String),
    /// `externalId`.
    ExternalId(String),
    /// `active`.
    Active(bool),
    /// `emails`.
    EMail(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Makes the object.
    Create,
    /// Changes parameters of a user.
    ChangeUser(Vec<UserChange>),
    /// Adds roles, by name.
    AddRoles(Vec<String>),
    /// Sets skills, by name, with their proficiency in tenths.
    SetSkills(Vec<(String, i32)>),
    /// Takes a skill away, by name.
    RemoveSkill(String),
    /// Makes the source the primary one of the user.
    SetPrimarySource,
    /// Reads the queue, puts name, description and peer id into it, writes it back.
    ChangeQueue(Vec<&'static str>),
    /// Deletes the queue.
    DeleteQueue,
    /// Adds members, by key of the user.
    AddMembers(Vec<String>),
    /// Removes members, by id.
    RemoveMembers(Vec<String>),
    /// Adds wrap-up codes, by name.
    AddCodes(Vec<String>),
    /// Takes a wrap-up code away, by id.
    RemoveCode(String),
}

/// A request and the key of the object it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planned {
    /// Key of the desired object.
    pub key: String,
    /// What is to be done.
    pub request: Request,
}

impl Request {
    /// What it does, for outcomes and the plan.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::ChangeUser(_) | Self::ChangeQueue(_) => "change",
            Self::AddRoles(_) => "add-roles",
            Self::SetSkills(_) => "set-skills",
            Self::RemoveSkill(_) => "remove-skill",
            Self::SetPrimarySource => "set-primary-source",
            Self::DeleteQueue => "delete",
            Self::AddMembers(_) => "add-members",
            Self::RemoveMembers(_) => "remove-members",
            Self::AddCodes(_) => "add-codes",
            Self::RemoveCode(_) => "remove-code",
        }
    }

    /// The parameters or objects it is about, for the plan.
    pub fn fields(&self) -> Vec<String> {
        match self {
            Self::Create | Self::SetPrimarySource | Self::DeleteQueue => Vec::new(),
            Self::ChangeUser(changes) => changes.iter().map(|it| path(it).to_owned()).collect(),
            Self::ChangeQueue(names) => names.iter().map(|&name| name.to_owned()).collect(),
            Self::SetSkills(skills) => skills
                .iter()
                .map(|(name, tenths)| format!("{name}={}.{}", tenths / 10, tenths % 10))
                .collect(),
            Self::RemoveSkill(name) | Self::RemoveCode(name) => vec![name.clone()],
            Self::AddRoles(list)
            | Self::AddMembers(list)
            | Self::RemoveMembers(list)
            | Self::AddCodes(list) => list.clone(),
        }
    }
}

/// One exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The body, if there is one.
    pub body: Option<Value>,
    /// `If-Match`.
    pub if_match: Option<String>,
}

impl Call {
    /// A reading one.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: None, if_match: None }
    }

    fn with(method: &'static str, path: String, body: Value) -> Self {
        Self { method, path, body: Some(body), if_match: None }
    }
}

/// What a request needs to become a call.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What is wanted.
    pub desired: &'a Desired,
    /// What there is.
    pub actual: &'a Actual,
    /// Which is which.
    pub memory: &'a Memory,
    /// What the description of the source says.
    pub marker: &'a str,
}

impl Known<'_> {
    /// Id of the object of a key.
    pub fn id(&self, key: &str) -> Option<&str> {
        self.memory.objects.get(key)?.id.as_deref()
    }

    /// The call that does it; nothing if what it needs does not exist.
    pub fn call(&self, planned: &Planned) -> Option<Call> {
        let Planned { key, request } = planned;
        let object = self.desired.get(key)?;
        if *request == Request::Create {
            return Some(self.create(object));
        }
        let id = self.id(key)?;
        let user = |rest: &str| format!("/api/v2/users/{id}/routingskills{rest}");
        let queue = |rest: &str| format!("/api/v2/routing/queues/{id}{rest}");
        Some(match request {
            Request::Create => return None,
            Request::ChangeUser(changes) => {
                let version = &self.actual.users.get(id)?.version;
                Call {
                    if_match: Some(format!("\"{version}\"")).filter(|_| !version.is_empty()),
                    ..Call::with("PATCH", format!("/api/v2/scim/v2/users/{id}"), patch(changes))
                }
            }
            Request::AddRoles(names) => {
                let home = &self.actual.home;
                let ids = names.iter().filter_map(|name| self.actual.role(name));
                let grants = ids.map(|role| json!({ "roleId": role, "divisionId": home }));
                let path = format!("/api/v2/authorization/subjects/{id}/bulkadd");
                let grants = some(grants)?;
                Call::with("POST", path, json!({ "grants": grants }))
            }
            Request::SetSkills(skills) => {
                let id = |(name, tenths): &(String, i32)| {
                    let proficiency = f64::from(*tenths) / 10.0;
                    let id = self.actual.skill(name)?;
                    Some(json!({ "id": id, "proficiency": proficiency }))
                };
                Call::with("PATCH", user("/bulk"), some(skills.iter().filter_map(id))?)
            }
            Request::RemoveSkill(name) => {
                let path = user(&format!("/{}", self.actual.skill(name)?));
                Call { method: "DELETE", ..Call::get(path) }
            }
            Request::SetPrimarySource => {
                let source = self.source()?;
                let path = format!("/api/v2/presence/users/{id}/primarysource");
                Call::with("PUT", path, json!({ "sourceId": source }))
            }
            // The first half; `merged` is the second.
            Request::ChangeQueue(_) => Call::get(queue("")),
            Request::DeleteQueue => Call { method: "DELETE", ..Call::get(queue("")) },
            Request::AddMembers(keys) => {
                let ids = keys.iter().filter_map(|key| self.id(key));
                Call::with("POST", queue("/members"), references(ids)?)
            }
            Request::RemoveMembers(ids) => {
                let ids = references(ids.iter().map(String::as_str))?;
                Call::with("POST", queue("/members?delete=true"), ids)
            }
            Request::AddCodes(names) => {
                let key = |name: &String| DesiredKind::WrapUpCode.key(name);
                let keys: Vec<String> = names.iter().map(key).collect();
                let ids = keys.iter().filter_map(|key| self.id(key));
                Call::with("POST", queue("/wrapupcodes"), references(ids)?)
            }
            Request::RemoveCode(code) => {
                Call { method: "DELETE", ..Call::get(queue(&format!("/wrapupcodes/{code}"))) }
            }
        })
    }

    /// The second half of a change of a queue: everything that was read, with what Engage controls.
    pub fn merged(&self, key: &str, read: &Value) -> Option<Call> {
        let DesiredObject::Queue(queue) = self.desired.get(key)? else { return None };
        let mut body = writable(read);
        for (name, value) in queue_fields(queue) {
            body.insert(name.to_owned(), json!(value));
        }
        let path = format!("/api/v2/routing/queues/{}", self.id(key)?);
        Some(Call::with("PUT", path, Value::Object(body)))
    }

    /// Id of the presence source.
    pub fn source(&self) -> Option<&str> {
        let mut sources = self.desired.iter().filter(|(_, it)| it.kind() == DesiredKind::Source);
        sources.find_map(|(key, _)| self.id(key))
    }

    fn create(&self, object: &DesiredObject) -> Call {
        match object {
            DesiredObject::Source(source) => {
                let body = json!({ "name": source.name, "description": self.marker });
                Call::with("POST", "/api/v2/presence/sources".to_owned(), body)
            }
            DesiredObject::Skill(skill) => {
                let body = json!({ "name": skill.name });
                Call::with("POST", "/api/v2/routing/skills".to_owned(), body)
            }
            DesiredObject::WrapUpCode(code) => {
                let body = json!({ "name": code.name });
                Call::with("POST", "/api/v2/routing/wrapupcodes".to_owned(), body)
            }
            DesiredObject::Queue(queue) => {
                let fields = queue_fields(queue).into_iter();
                let body: Map<String, Value> =
                    fields.map(|(name, value)| (name.to_owned(), json!(value))).collect();
                Call::with("POST", "/api/v2/routing/queues".to_owned(), Value::Object(body))
            }
            DesiredObject::User(user) => {
                Call::with("POST", "/api/v2/scim/v2/users".to_owned(), self.new_user(user))
            }
        }
    }

    /// A user with its roles and first skills: one request instead of three. Its division is the
    /// organisation's own as long as none is named.
    fn new_user(&self, user: &desired::User) -> Value {
        let spelled = |map: &'_ std::collections::BTreeMap<String, String>, name: &str| {
            let id = named(map, String::as_str, name)?;
            map.get(id).cloned()
        };
        let roles = user.roles.iter().filter_map(|name| spelled(&self.actual.roles, name));
        let roles: Vec<Value> = roles.map(|name| json!({ "value": name })).collect();
        let first = user.skills.iter().take(SKILLS_MAX);
        let skills: Vec<Value> = first
            .filter_map(|skill| {
                let name = spelled(&self.actual.skills, &skill.name)?;
                let proficiency = f64::from(skill.proficiency_tenths) / 10.0;
                Some(json!({ "name": name, "proficiency": proficiency }))
            })
            .collect();
        let mut body = json!({
            "userName": user.user_name, "displayName": user.display_name, "active": user.active,
            "externalId": user.external_id,
        });
        for (name, value) in [
            ("roles", (!roles.is_empty()).then(|| json!(roles))),
            ("emails", user.e_mail.as_ref().map(|value| emails(value))),
            (GENESYS, (!skills.is_empty()).then(|| json!({ "routingSkills": skills }))),
        ] {
            if let (Some(value), Some(body)) = (value, body.as_object_mut()) {
                body.insert(name.to_owned(), value);
            }
        }
        body
    }
}

/// What Engage controls of a queue.
pub fn queue_fields(queue: &desired::Queue) -> [(&'static str, &str); 3] {
    [("name", &queue.name), ("description", &queue.description), ("peerId", &queue.peer_id)]
}

fn emails(value: &str) -> Value {
    json!([{ "value": value, "type": "work", "primary": true }])
}

const fn path(change: &UserChange) -> &'static str {
    match change {
        UserChange::UserName(_) => "userName",
        UserChange::DisplayName(_) => "displayName",
        UserChange::ExternalId(_) => "externalId",
        UserChange::Active(_) => "active",
        UserChange::EMail(_) => "emails",
    }
}

fn patch(changes: &[UserChange]) -> Value {
    let value = |change: &UserChange| match change {
        UserChange::UserName(text)
        | UserChange::DisplayName(text)
        | UserChange::ExternalId(text) => json!(text),
        UserChange::Active(flag) => json!(flag),
        UserChange::EMail(text) => emails(text),
    };
    let operations: Vec<Value> = changes
        .iter()
        .map(|change| json!({ "op": "replace", "path": path(change), "value": value(change) }))
        .collect();
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
    })
}

fn references<'a>(ids: impl Iterator<Item = &'a str>) -> Option<Value> {
    some(ids.map(|id| json!({ "id": id })))
}

fn some(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

/// The parameters that `QueueRequest` takes: the answer to a read has others too, which are
/// refused.
const WRITABLE: [&str; 32] = [
    "division",
    "mediaSettings",
    "routingRules",
    "conditionalGroupRouting",
    "conditionalGroupActivation",
    "bullseye",
    "scoringMethod",
    "lastAgentRoutingMode",
    "acwSettings",
    "skillEvaluationMethod",
    "memberGroups",
    "queueFlow",
    "emailInQueueFlow",
    "messageInQueueFlow",
    "whisperPrompt",
    "onHoldPrompt",
    "autoAnswerOnly",
    "cannedResponseLibraries",
    "enableTranscription",
    "enableAudioMonitoring",
    "enableManualAssignment",
    "agentOwnedRouting",
    "directRouting",
    "callingPartyName",
    "callingPartyNumber",
    "defaultScripts",
    "outboundMessagingAddresses",
    "outboundEmailAddress",
    "suppressInQueueCallRecording",
    "description",
    "peerId",
    "name",
];

fn writable(read: &Value) -> Map<String, Value> {
    let fields = read.as_object().into_iter().flatten();
    let fields =
        fields.filter(|(name, value)| WRITABLE.contains(&name.as_str()) && !value.is_null());
    let mut body: Map<String, Value> =
        fields.map(|(name, value)| (name.clone(), without_uris(value))).collect();
    // The name of a division may change under us; its id does not.
    if let Some(division) = body.get_mut("division") {
        *division = json!({ "id": division["id"] });
    }
    body
}

/// Without `selfUri`, which is read-only wherever it stands.
fn without_uris(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(name, _)| *name != "selfUri");
            Value::Object(kept.map(|(name, value)| (name.clone(), without_uris(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_uris).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A text as a value of a query.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
