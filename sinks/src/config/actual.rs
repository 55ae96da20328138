//! What the organisation holds, as far as it was read, and how answers are read. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// SCIM's extension of Genesys Cloud.
pub const GENESYS: &str = "urn:ietf:params:scim:schemas:extension:genesys:purecloud:2.0:User";

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// `userName`.
    pub user_name: String,
    /// `displayName`.
    pub display_name: String,
    /// `externalId`.
    pub external_id: String,
    /// `active`.
    pub active: bool,
    /// `emails`.
    pub emails: Vec<String>,
    /// Names of its roles, in lower case.
    pub roles: BTreeSet<String>,
    /// Proficiency in tenths by the name of the skill in lower case.
    pub skills: BTreeMap<String, i32>,
    /// `meta.version`, for the optimistic lock.
    pub version: String,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: String,
    /// `peerId`.
    pub peer_id: String,
    /// Ids of its members, once they were read.
    pub members: Option<BTreeSet<String>>,
    /// Ids of its wrap-up codes, once they were read.
    pub codes: Option<BTreeSet<String>>,
}

/// A presence source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: String,
}

/// What the organisation holds, each kind by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// Id of the organisation.
    pub org: String,
    /// Id of its own division.
    pub home: String,
    /// Names of roles.
    pub roles: BTreeMap<String, String>,
    /// Presence sources.
    pub sources: BTreeMap<String, Source>,
    /// Names of skills.
    pub skills: BTreeMap<String, String>,
    /// Names of wrap-up codes.
    pub codes: BTreeMap<String, String>,
    /// Users, inactive ones included.
    pub users: BTreeMap<String, User>,
    /// Queues.
    pub queues: BTreeMap<String, Queue>,
}

/// The id of the object of that name, without regard to case.
pub fn named<'a, T>(
    objects: &'a BTreeMap<String, T>,
    name: impl Fn(&'a T) -> &'a str,
    wanted: &str,
) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let mut found = objects.iter().filter(|(_, object)| name(object).to_lowercase() == wanted);
    found.next().map(|(id, _)| id.as_str())
}

impl Actual {
    /// Id of the skill of that name.
    pub fn skill(&self, name: &str) -> Option<&str> {
        named(&self.skills, String::as_str, name)
    }

    /// Id of the role of that name.
    pub fn role(&self, name: &str) -> Option<&str> {
        named(&self.roles, String::as_str, name)
    }
}

/// A SCIM user, as much of it as matters. Nothing is required: what is missing is empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScimUser {
    id: String,
    user_name: String,
    display_name: String,
    external_id: Option<String>,
    active: bool,
    emails: Vec<Valued>,
    roles: Vec<Valued>,
    #[serde(rename = "urn:ietf:params:scim:schemas:extension:genesys:purecloud:2.0:User")]
    genesys: Extension,
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Valued {
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Extension {
    routing_skills: Vec<ScimSkill>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScimSkill {
    name: String,
    proficiency: f64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    version: String,
}

/// Reads a user of SCIM: its id and what it is.
pub fn user(body: &Value) -> Option<(String, User)> {
    let it = ScimUser::deserialize(body).ok().filter(|it| !it.id.is_empty())?;
    let values = |list: Vec<Valued>| list.into_iter().map(|it| it.value);
    let tenths =
        |skill: ScimSkill| (skill.name.to_lowercase(), (skill.proficiency * 10.0).round() as i32);
    let user = User {
        user_name: it.user_name,
        display_name: it.display_name,
        external_id: it.external_id.unwrap_or_default(),
        active: it.active,
        emails: values(it.emails).collect(),
        roles: values(it.roles).map(|name| name.to_lowercase()).collect(),
        skills: it.genesys.routing_skills.into_iter().map(tenths).collect(),
        version: it.meta.version.trim_matches('"').to_owned(),
    };
    Some((it.id, user))
}

/// Reads a queue; its members and codes are not in it.
pub fn queue(body: &Value) -> Option<(String, Queue)> {
    let queue = Queue {
        name: text(body, "name"),
        description: text(body, "description"),
        peer_id: text(body, "peerId"),
        members: None,
        codes: None,
    };
    Some((id(body)?, queue))
}

/// Reads a presence source.
pub fn source(body: &Value) -> Option<(String, Source)> {
    let source = Source { name: text(body, "name"), description: text(body, "description") };
    Some((id(body)?, source))
}

/// Reads an object of which only the name matters.
pub fn name(body: &Value) -> Option<(String, String)> {
    Some((id(body)?, text(body, "name")))
}

/// The id of an object.
pub fn id(body: &Value) -> Option<String> {
    Some(text(body, "id")).filter(|id| !id.is_empty())
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_of_scim_is_read_and_what_is_missing_is_empty() {
        let body = json!({
            "id": "u1", "userName": "A@b.co", "displayName": "A", "externalId": "1_a",
            "active": true, "emails": [{ "value": "m@b.co", "type": "work" }],
            "roles": [{ "value": "Employee" }], "meta": { "version": "\"42\"" },
            GENESYS: { "routingSkills": [{ "name": "English", "proficiency": 2.8 }] },
        });
        let expected = User {
            user_name: "A@b.co".to_owned(),
            display_name: "A".to_owned(),
            external_id: "1_a".to_owned(),
            active: true,
            emails: vec!["m@b.co".to_owned()],
            roles: ["employee".to_owned()].into(),
            skills: [("english".to_owned(), 28)].into(),
            version: "42".to_owned(),
        };
        assert_eq!(user(&body), Some(("u1".to_owned(), expected)));
        assert_eq!(user(&json!({ "id": "u2" })), Some(("u2".to_owned(), User::default())));
        assert_eq!(user(&json!({ "userName": "A@b.co" })), None);
    }
}
