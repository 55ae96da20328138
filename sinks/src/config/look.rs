//! What is asked of the organisation to know what it holds, and how the pages are put together.
//! Pure.

use std::collections::VecDeque;

use serde_json::Value;
use trunkline_schemas::desired::DesiredKind;

use super::actual::{self, Actual};
use super::request::{Call, encoded};

/// Objects a page of most listings has.
const PAGE: usize = 100;
/// Users a page of SCIM has: with all attributes no more are given.
const SCIM_PAGE: usize = 25;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The organisation.
    Org,
    /// Its own division.
    Home,
    /// A page of roles.
    Roles(usize),
    /// Presence sources.
    Sources,
    /// A page of skills.
    Skills(usize),
    /// A page of wrap-up codes.
    Codes(usize),
    /// A page of queues.
    Queues(usize),
    /// Users that are active, or those that are not, from the so-many-th.
    Users(bool, usize),
    /// A page of the members of a queue.
    Members(String, usize),
    /// A page of the codes of a queue.
    QueueCodes(String, usize),
    /// An object by its id.
    ById(DesiredKind, String),
    /// Objects of a name.
    Named(DesiredKind, String),
}

/// Everything that has no place of its own.
pub fn everything() -> VecDeque<Look> {
    VecDeque::from([
        Look::Org,
        Look::Home,
        Look::Roles(1),
        Look::Sources,
        Look::Skills(1),
        Look::Codes(1),
        Look::Queues(1),
        Look::Users(true, 1),
        Look::Users(false, 1),
    ])
}

impl Look {
    /// The question as a call.
    pub fn call(&self) -> Call {
        let page = |path: &str, number: &usize| {
            format!("/api/v2/{path}?pageSize={PAGE}&pageNumber={number}")
        };
        Call::get(match self {
            Self::Org => "/api/v2/organizations/me".to_owned(),
            Self::Home => "/api/v2/authorization/divisions/home".to_owned(),
            Self::Sources | Self::Named(DesiredKind::Source, _) => {
                "/api/v2/presence/sources".to_owned()
            }
            Self::Roles(number) => page("authorization/roles", number),
            Self::Skills(number) => page("routing/skills", number),
            Self::Codes(number) => page("routing/wrapupcodes", number),
            Self::Queues(number) => page("routing/queues", number),
            Self::Users(is_active, start) => format!(
                "/api/v2/scim/v2/users?startIndex={start}&count={SCIM_PAGE}&filter={}",
                encoded(&format!("active eq {is_active}"))
            ),
            // Members through a group cannot be removed one by one.
            Self::Members(queue, number) => {
                let path = page(&format!("routing/queues/{queue}/members"), number);
                format!("{path}&memberBy=user")
            }
            Self::QueueCodes(queue, number) => {
                page(&format!("routing/queues/{queue}/wrapupcodes"), number)
            }
            Self::ById(kind, id) => format!("/api/v2/{}/{id}", folder(*kind)),
            Self::Named(DesiredKind::User, name) => {
                let filter = encoded(&format!("userName eq \"{name}\""));
                format!("/api/v2/scim/v2/users?filter={filter}")
            }
            Self::Named(kind, name) => {
                format!("/api/v2/{}?pageSize={PAGE}&name={}", folder(*kind), encoded(name))
            }
        })
    }

    /// Whether an answer is one to this question: an empty object is no empty organisation.
    pub fn fits(&self, body: &Value) -> bool {
        match self {
            Self::Org | Self::Home | Self::ById(..) => actual::id(body).is_some(),
            // SCIM may leave out an empty list.
            Self::Users(..) | Self::Named(DesiredKind::User, _) => body["totalResults"].is_u64(),
            Self::Roles(_)
            | Self::Sources
            | Self::Skills(_)
            | Self::Codes(_)
            | Self::Queues(_)
            | Self::Members(..)
            | Self::QueueCodes(..)
            | Self::Named(..) => body["entities"].is_array(),
        }
    }

    /// Takes the answer, and says what is to be asked next because of it.
    pub fn take(&self, body: &Value, actual: &mut Actual) -> Option<Look> {
        let list = || body["entities"].as_array().map(Vec::as_slice).unwrap_or_default();
        let next = |number: &usize| has_next(body, *number, list().len()).then_some(number + 1);
        match self {
            Self::Org => actual.org = actual::id(body).unwrap_or_default(),
            Self::Home => actual.home = actual::id(body).unwrap_or_default(),
            Self::Sources => actual.sources.extend(list().iter().filter_map(actual::source)),
            Self::Roles(number) => {
                actual.roles.extend(list().iter().filter_map(actual::name));
                return next(number).map(Self::Roles);
            }
            Self::Skills(number) => {
                actual.skills.extend(list().iter().filter_map(actual::name));
                return next(number).map(Self::Skills);
            }
            Self::Codes(number) => {
                actual.codes.extend(list().iter().filter_map(actual::name));
                return next(number).map(Self::Codes);
            }
            Self::Queues(number) => {
                actual.queues.extend(list().iter().filter_map(actual::queue));
                return next(number).map(Self::Queues);
            }
            Self::Users(is_active, start) => {
                let users = body["Resources"].as_array().map(Vec::as_slice).unwrap_or_default();
                actual.users.extend(users.iter().filter_map(actual::user));
                let (seen, total) = (start - 1 + users.len(), body["totalResults"].as_u64());
                let is_over = users.is_empty() || total.is_none_or(|total| seen as u64 >= total);
                return (!is_over).then_some(Self::Users(*is_active, seen + 1));
            }
            Self::Members(queue, number) => {
                let members = actual.queues.get_mut(queue).map(|queue| &mut queue.members);
                let ids = list().iter().filter_map(actual::id);
                members?.get_or_insert_default().extend(ids);
                return next(number).map(|number| Self::Members(queue.clone(), number));
            }
            Self::QueueCodes(queue, number) => {
                let codes = actual.queues.get_mut(queue).map(|queue| &mut queue.codes);
                let ids = list().iter().filter_map(actual::id);
                codes?.get_or_insert_default().extend(ids);
                return next(number).map(|number| Self::QueueCodes(queue.clone(), number));
            }
            Self::ById(kind, _) => put(*kind, body, actual),
            Self::Named(kind, _) => {
                let users = body["Resources"].as_array().map(Vec::as_slice).unwrap_or_default();
                for object in list().iter().chain(users) {
                    put(*kind, object, actual);
                }
            }
        }
        None
    }

    /// What there is no longer if the answer is that it is not there.
    pub fn gone(&self, actual: &mut Actual) {
        match self {
            Self::ById(kind, id) => match kind {
                DesiredKind::User => drop(actual.users.remove(id)),
                DesiredKind::Skill => drop(actual.skills.remove(id)),
                DesiredKind::Queue => drop(actual.queues.remove(id)),
                DesiredKind::WrapUpCode => drop(actual.codes.remove(id)),
                DesiredKind::Source => drop(actual.sources.remove(id)),
            },
            Self::Members(id, _) | Self::QueueCodes(id, _) => drop(actual.queues.remove(id)),
            Self::Org
            | Self::Home
            | Self::Roles(_)
            | Self::Sources
            | Self::Skills(_)
            | Self::Codes(_)
            | Self::Queues(_)
            | Self::Users(..)
            | Self::Named(..) => {}
        }
    }
}

/// Puts an object where it belongs; what was read of members and codes of a queue stays.
pub fn put(kind: DesiredKind, body: &Value, actual: &mut Actual) {
    match kind {
        DesiredKind::User => actual.users.extend(actual::user(body)),
        DesiredKind::Skill => actual.skills.extend(actual::name(body)),
        DesiredKind::WrapUpCode => actual.codes.extend(actual::name(body)),
        DesiredKind::Source => actual.sources.extend(actual::source(body)),
        DesiredKind::Queue => {
            let Some((id, mut queue)) = actual::queue(body) else { return };
            if let Some(known) = actual.queues.get_mut(&id) {
                queue.members = known.members.take();
                queue.codes = known.codes.take();
            }
            actual.queues.insert(id, queue);
        }
    }
}

const fn folder(kind: DesiredKind) -> &'static str {
    match kind {
        DesiredKind::User => "scim/v2/users",
        DesiredKind::Skill => "routing/skills",
        DesiredKind::Queue => "routing/queues",
        DesiredKind::WrapUpCode => "routing/wrapupcodes",
        DesiredKind::Source => "presence/sources",
    }
}

/// Whether a page has a next one: by the count of pages, else if it is full.
fn has_next(body: &Value, number: usize, length: usize) -> bool {
    match body["pageCount"].as_u64() {
        Some(count) => (number as u64) < count,
        None => length == PAGE,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_answer_to_the_question_is_one() {
        let listing = json!({ "entities": [] });
        for (look, body, fits) in [
            (Look::Org, json!({ "id": "o" }), true),
            (Look::Org, json!({}), false),
            (Look::Skills(1), listing.clone(), true),
            (Look::Skills(1), json!({ "message": "maintenance" }), false),
            (Look::Skills(1), Value::Null, false),
            (Look::Users(true, 1), json!({ "totalResults": 0 }), true),
            (Look::Users(true, 1), listing.clone(), false),
            (Look::Named(DesiredKind::User, "a".to_owned()), listing.clone(), false),
            (Look::Named(DesiredKind::Skill, "a".to_owned()), listing, true),
            (Look::ById(DesiredKind::Queue, "q".to_owned()), Value::Null, false),
        ] {
            assert_eq!(look.fits(&body), fits, "{look:?} {body}");
        }
    }

    #[test]
    fn pages_are_asked_for_until_the_last() {
        let page = |count: usize, pages: Option<u64>| {
            let skill = |n| json!({ "id": format!("s{n}"), "name": "n" });
            let skills: Vec<Value> = (0..count).map(skill).collect();
            json!({ "entities": skills, "pageCount": pages })
        };
        let users = |count: usize, total: u64| {
            let user = |n| json!({ "id": format!("u{n}"), "userName": "n" });
            let users: Vec<Value> = (0..count).map(user).collect();
            json!({ "Resources": users, "totalResults": total })
        };
        for (look, body, next) in [
            (Look::Skills(1), page(100, Some(2)), Some(Look::Skills(2))),
            (Look::Skills(2), page(100, Some(2)), None),
            (Look::Skills(1), page(100, None), Some(Look::Skills(2))),
            (Look::Skills(1), page(99, None), None),
            (Look::Users(true, 1), users(25, 30), Some(Look::Users(true, 26))),
            (Look::Users(true, 26), users(5, 30), None),
            (Look::Users(false, 26), users(0, 30), None),
        ] {
            assert_eq!(look.take(&body, &mut Actual::default()), next, "{look:?}");
        }
        let path = "/api/v2/scim/v2/users?startIndex=26&count=25&filter=active%20eq%20false";
        assert_eq!(Look::Users(false, 26).call(), Call::get(path));
    }
}
