//! Users by SCIM (gc-api section 5): the listing gives active ones unless a filter says otherwise,
//! a name finds inactive ones too, and a change names the version it was made for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::answer::Answer;
use super::super::org::Request;
use super::super::schema::check;
use super::{Done, Objects, Refusal, User, is_taken, number, parameter, parse, shapes, text};

/// The extension of an enterprise.
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// The extension of the organisation.
pub(super) const GENESYS: &str =
    "urn:ietf:params:scim:schemas:extension:genesys:purecloud:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Users a page gives at most with all their attributes.
const COUNT_MAX: usize = 25;
/// Skills a request may name.
const SKILLS_MAX: usize = 50;

fn scim(status: u16, kind: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal { status, code: kind, message: detail.into(), scim: true }
}

impl Objects {
    pub(super) fn scim(&mut self, request: &Request, rest: &[&str]) -> Done {
        match (request.method.as_str(), rest) {
            ("GET", []) => self.list_users(request),
            ("POST", []) => self.create_user(request),
            ("GET", [id]) => {
                let user = self.holdings.users.get(*id).ok_or_else(no_user)?;
                Ok(Answer::json(200, &self.user_body(id, user)))
            }
            ("PATCH", [id]) => self.patch_user(request, id),
            _ => Err(super::not_found()),
        }
    }

    fn list_users(&self, request: &Request) -> Done {
        let filter = parameter(request, "filter").unwrap_or_else(|| "active eq true".to_owned());
        let mut words = filter.splitn(3, ' ');
        let (Some(attribute), Some("eq"), Some(value)) = (words.next(), words.next(), words.next())
        else {
            return Err(scim(400, "invalidFilter", filter));
        };
        let value = value.trim_matches('"');
        let fits = |id: &str, user: &User| match attribute {
            "active" => Some(user.active == (value == "true")),
            "userName" => Some(user.user_name.to_lowercase() == value.to_lowercase()),
            "externalId" => Some(user.external_id.as_deref() == Some(value)),
            "id" => Some(id == value),
            _ => None,
        };
        let mut found = Vec::new();
        for (id, user) in &self.holdings.users {
            match fits(id, user) {
                Some(true) => found.push((id, user)),
                Some(false) => {}
                None => return Err(scim(400, "invalidFilter", filter)),
            }
        }
        found.sort_by_key(|(_, user)| user.user_name.to_lowercase());
        let start = number(request, "startIndex", 1, 1_000_000)?;
        let count = number(request, "count", COUNT_MAX, COUNT_MAX)?;
        let users = found.iter().skip(start - 1).take(count);
        let users: Vec<Value> = users.map(|(id, user)| self.user_body(id, user)).collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": found.len(), "startIndex": start, "itemsPerPage": users.len(),
            "Resources": users,
        });
        Ok(Answer::json(200, &body))
    }

    fn create_user(&mut self, request: &Request) -> Done {
        let body = parse(request)?;
        let object = check(&body, "ScimV2CreateUser", &[shapes::CREATE_USER], "user")?;
        let user_name = text(object, "userName").unwrap_or_default();
        if !user_name.contains('@') {
            return Err(scim(400, "invalidValue", "userName is no e-mail address"));
        }
        if is_taken(&self.holdings.users, |user| &user.user_name, &user_name, None) {
            return Err(scim(409, "uniqueness", "a user has that userName"));
        }
        let user = User {
            user_name,
            display_name: text(object, "displayName").unwrap_or_default(),
            emails: emails(object.get("emails")),
            external_id: text(object, "externalId"),
            active: object.get("active") != Some(&Value::Bool(false)),
            roles: self.role_ids(object.get("roles"))?,
            skills: self.skill_ids(object.get(GENESYS))?,
            primary_source: None,
            version: 1,
        };
        let id = self.id_of("user", &user.user_name);
        let answer = Answer::json(201, &self.user_body(&id, &user));
        self.holdings.users.insert(id, user);
        Ok(answer)
    }

    fn role_ids(&self, roles: Option<&Value>) -> Result<BTreeSet<String>, Refusal> {
        let mut ids = BTreeSet::new();
        for role in roles.and_then(Value::as_array).into_iter().flatten() {
            let wanted = role["value"].as_str().unwrap_or_default().to_lowercase();
            let mut known = self.holdings.roles.iter();
            let Some((id, _)) = known.find(|(_, role)| role.name.to_lowercase() == wanted) else {
                return Err(scim(400, "invalidValue", format!("there is no role {wanted}")));
            };
            ids.insert(id.clone());
        }
        Ok(ids)
    }

    fn skill_ids(&self, extension: Option<&Value>) -> Result<BTreeMap<String, u32>, Refusal> {
        let skills = extension.and_then(|extension| extension["routingSkills"].as_array());
        let skills = skills.map(Vec::as_slice).unwrap_or_default();
        if skills.len() > SKILLS_MAX {
            return Err(scim(400, "tooMany", "at most 50 skills"));
        }
        let mut ids = BTreeMap::new();
        for skill in skills {
            let name = skill["name"].as_str().unwrap_or_default();
            // The name of a skill is case-sensitive here.
            let mut known = self.holdings.skills.iter();
            let Some((id, _)) = known.find(|(_, known)| known.name == name) else {
                return Err(scim(400, "invalidValue", format!("there is no skill {name}")));
            };
            ids.insert(id.clone(), tenths(&skill["proficiency"]));
        }
        Ok(ids)
    }

    fn patch_user(&mut self, request: &Request, id: &str) -> Done {
        let body = parse(request)?;
        let object = check(&body, "ScimV2PatchRequest", &[shapes::PATCH], "patch")?;
        if object["schemas"] != json!([PATCH]) {
            return Err(scim(400, "invalidValue", "schemas is not that of a patch"));
        }
        let user = self.holdings.users.get(id).ok_or_else(no_user)?;
        let version = user.version.to_string();
        if request.if_match.as_ref().is_some_and(|given| given.trim_matches('"') != version) {
            return Err(scim(400, "invalidVers", "the version is not the current one"));
        }
        let mut user = user.clone();
        for operation in object.get("Operations").and_then(Value::as_array).into_iter().flatten() {
            let Some("replace") = operation["op"].as_str() else {
                return Err(scim(400, "invalidValue", "only replace is simulated"));
            };
            let value = &operation["value"];
            let text = || value.as_str().map(str::to_owned);
            let bad = || scim(400, "invalidValue", "the value does not fit the path");
            match operation["path"].as_str() {
                Some("active") => user.active = value.as_bool().ok_or_else(bad)?,
                Some("displayName") => user.display_name = text().ok_or_else(bad)?,
                Some("externalId") => user.external_id = Some(text().ok_or_else(bad)?),
                Some("userName") => user.user_name = text().ok_or_else(bad)?,
                Some("emails") => {
                    let list = Map::from_iter([("emails".to_owned(), value.clone())]);
                    let fields = &[super::super::schema::may("emails", shapes::EMAILS)];
                    check(&Value::Object(list), "ScimV2User", &[fields], "patch")?;
                    user.emails = emails(Some(value));
                }
                _ => return Err(scim(400, "invalidPath", "the path is not known")),
            }
        }
        if is_taken(&self.holdings.users, |user| &user.user_name, &user.user_name, Some(id)) {
            return Err(scim(409, "uniqueness", "a user has that userName"));
        }
        user.version += 1;
        let answer = Answer::json(200, &self.user_body(id, &user));
        self.holdings.users.insert(id.to_owned(), user);
        Ok(answer)
    }

    fn user_body(&self, id: &str, user: &User) -> Value {
        let skills: Vec<Value> = user
            .skills
            .iter()
            .filter_map(|(id, tenths)| {
                let skill = self.holdings.skills.get(id)?;
                Some(json!({ "name": skill.name, "proficiency": f64::from(*tenths) / 10.0 }))
            })
            .collect();
        let roles = user.roles.iter().filter_map(|id| self.holdings.roles.get(id));
        let roles: Vec<Value> = roles.map(|role| json!({ "value": role.name })).collect();
        let email = |(place, value): (usize, &String)| {
            let is_first = place == 0;
            json!({ "value": value, "type": "work", "primary": is_first })
        };
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", GENESYS],
            "id": id, "userName": user.user_name, "displayName": user.display_name,
            "active": user.active, "roles": roles, "groups": [],
            "emails": user.emails.iter().enumerate().map(email).collect::<Vec<Value>>(),
            GENESYS: { "routingSkills": skills },
            ENTERPRISE: { "division": "Home" },
            "meta": { "resourceType": "User", "version": user.version.to_string(),
                "location": format!("/api/v2/scim/v2/users/{id}") },
        });
        if let (Some(external_id), Some(body)) = (&user.external_id, body.as_object_mut()) {
            body.insert("externalId".to_owned(), json!(external_id));
        }
        body
    }
}

fn no_user() -> Refusal {
    scim(404, "notFound", "User could not be found.")
}

fn emails(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|email| email["value"].as_str()).map(str::to_owned).collect()
}

/// A proficiency in tenths; without one it is 0.
pub(super) fn tenths(number: &Value) -> u32 {
    (number.as_f64().unwrap_or_default() * 10.0).round() as u32
}
