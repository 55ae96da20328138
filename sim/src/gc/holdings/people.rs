//! Users as the Users API lists them (gc-api section 5): active ones unless the state says
//! otherwise, what is asked for beside, names of parameters and of their values checked.

use serde_json::{Map, Value, json};

use super::super::answer::Answer;
use super::super::org::Request;
use super::{Done, HOME, Objects, Refusal, User, page_of, parameter, parameters, refuse};

/// Users a page gives at most, and users that may be asked for by id.
const PAGE_MAX: usize = 500;
const IDS_MAX: usize = 100;

/// What may be asked for beside (swagger, `GET /api/v2/users`). Of what is not simulated a user has
/// nothing.
const EXPANDS: [&str; 25] = [
    "routingStatus",
    "presence",
    "integrationPresence",
    "conversationSummary",
    "outOfOffice",
    "geolocation",
    "station",
    "authorization",
    "lasttokenissued",
    "authorization.unusedRoles",
    "team",
    "workPlanBidRanks",
    "externalContactsSettings",
    "groups",
    "customAttributes",
    "profileSkills",
    "certifications",
    "locations",
    "skills",
    "languages",
    "languagePreference",
    "employerInfo",
    "biography",
    "dateLastLogin",
    "dateWelcomeSent",
];

fn not_allowed(name: &str, value: &str, allowed: &[&str]) -> Refusal {
    let text = format!(
        "Value [{value}] is not valid for parameter [{name}]. Allowable values are: {}",
        allowed.join(", ")
    );
    refuse(400, "invalid.query.param.value", text)
}

/// The value of a parameter that is one of these words.
fn word(request: &Request, name: &str, allowed: &[&'static str]) -> Result<&'static str, Refusal> {
    let Some(value) = parameter(request, name) else { return Ok(allowed[0]) };
    let found = allowed.iter().find(|word| **word == value);
    found.copied().ok_or_else(|| not_allowed(name, &value, allowed))
}

/// The values of a parameter that is repeated, as the swagger has it, or a list with commas, as the
/// official SDKs send it.
fn listed(request: &Request, name: &str) -> Vec<String> {
    let values = parameters(request, name);
    values.iter().flat_map(|value| value.split(',')).map(str::to_owned).collect()
}

impl Objects {
    pub(super) fn people(&self, request: &Request) -> Done {
        let state = word(request, "state", &["active", "inactive", "deleted", "any"])?;
        let order = word(request, "sortOrder", &["ascending", "descending"])?;
        let expands = listed(request, "expand");
        if let Some(other) = expands.iter().find(|it| !EXPANDS.contains(&it.as_str())) {
            return Err(not_allowed("expand", other, &EXPANDS));
        }
        let ids = listed(request, "id");
        if ids.len() > IDS_MAX {
            return Err(refuse(400, "max.user.ids", "Only 100 users can be requested at a time."));
        }
        if ids.iter().any(|id| !self.holdings.users.contains_key(id)) {
            let text = "The requested user(s) could not be found.";
            return Err(refuse(404, "general.resource.not.found", text));
        }
        let fits = |id: &String, user: &User| {
            let is_of_state = match state {
                "active" => user.active,
                "inactive" => !user.active,
                // Those that are gone are not kept.
                "deleted" => false,
                _ => true,
            };
            is_of_state && (ids.is_empty() || ids.contains(id))
        };
        let mut found: Vec<_> =
            self.holdings.users.iter().filter(|(id, user)| fits(id, user)).collect();
        found.sort_by_key(|(_, user)| user.display_name.to_lowercase());
        if order == "descending" {
            found.reverse();
        }
        let bodies = found.into_iter().map(|(id, user)| self.person(id, user, &expands));
        Ok(Answer::json(200, &page_of(request, bodies.collect(), PAGE_MAX)?))
    }

    fn person(&self, id: &str, user: &User, expands: &[String]) -> Value {
        let contact = |(place, address): (usize, &String)| {
            let kind = if place == 0 { "PRIMARY" } else { "WORK" };
            json!({ "address": address, "mediaType": "EMAIL", "type": kind })
        };
        let contacts: Vec<Value> = user.emails.iter().enumerate().map(contact).collect();
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        put("id", json!(id));
        put("name", json!(user.display_name));
        put("division", json!({ "id": HOME, "name": "Home" }));
        put("email", json!(user.user_name));
        put("username", json!(user.user_name));
        put("state", json!(if user.active { "active" } else { "inactive" }));
        put("version", json!(user.version));
        put("primaryContactInfo", json!(contacts));
        put("addresses", json!([]));
        put("acdAutoAnswer", json!(false));
        put("selfUri", json!(format!("/api/v2/users/{id}")));
        let is_asked = |name: &str| expands.iter().any(|it| it == name);
        if is_asked("skills") {
            put("skills", self.skills_of(user));
        }
        if is_asked("authorization") {
            put("authorization", json!({ "roles": self.roles_of(user) }));
        }
        Value::Object(body)
    }

    fn skills_of(&self, user: &User) -> Value {
        let skills = user.skills.iter().filter_map(|(id, tenths)| {
            let skill = self.holdings.skills.get(id)?;
            let proficiency = f64::from(*tenths) / 10.0;
            Some(json!({
                "id": id, "name": skill.name, "proficiency": proficiency, "state": "active",
            }))
        });
        skills.collect()
    }

    fn roles_of(&self, user: &User) -> Value {
        let roles = user.roles.iter().filter_map(|id| {
            let role = self.holdings.roles.get(id)?;
            Some(json!({ "id": id, "name": role.name }))
        });
        roles.collect()
    }
}
