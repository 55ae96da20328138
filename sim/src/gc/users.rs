//! Users: the presence definitions, the two operations that tell of agents (gc-api sections 3.1 and
//! 3.2), and the history of each user.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::check::{Invariant, Known, Verdict};
use super::events::{Event, Events, moment, optional, read, text};
use super::schema::{Array, Field, Type, may, must};
use crate::truth::{Shown, UserChange, UserHistory};

/// Where presences are told.
pub(super) const PRESENCE_PATH: &str = "/api/v2/events/users/presence";
/// Where routing statuses are told.
pub(super) const ROUTING_PATH: &str = "/api/v2/events/users/routingstatus";
/// Where the definitions of presences are asked for.
pub(super) const DEFINITIONS_PATH: &str = "/api/v2/presence/definitions";

/// The system presences and their ids, which are the same in every organisation seen (gc-api
/// section 3.2, `presencedefinitions.captured.json`).
pub(super) const DEFINITIONS: [(&str, &str); 10] = [
    ("Available", "6a3af858-942f-489d-9700-5f9bcdcdae9b"),
    ("Busy", "31fe3bac-dea6-44b7-bed7-47f91660a1a0"),
    ("Idle", "7ffa01cd-7866-4ad7-8faa-31e11b42f51f"),
    ("Away", "5e5c5c66-ea97-4e7f-ac41-6424784829f2"),
    ("Meeting", "bbdff279-7ae1-48ea-bade-7831d7234c64"),
    ("Meal", "3fd96123-badb-4f69-bc03-1b1ccc6d8014"),
    ("Training", "d2390a99-8546-bad9-8f0a-219548e8aeb0"),
    ("OnQueue", "e08eaf1b-ee47-4fa9-a231-1200e284798f"),
    ("Break", "227b37e2-f1d0-4dd0-8f50-badd7cf6d158"),
    ("Offline", "ccf3c10a-aa2c-4845-8e8d-f59fa48c58e5"),
];

const COMMON: &[Field] =
    &[must("eventId", Type::V4), must("eventDateTime", Type::Moment), must("sourceId", Type::Uuid)];

const STATUSES: &[&str] = &["OffQueue", "Idle", "Interacting", "Communicating", "NotResponding"];

/// Which member of an event names the user.
type UserMember = &'static str;

const PRESENCES: [Array<UserMember>; 1] = [Array {
    name: "userPresenceEvents",
    model: "UserPresenceEvent",
    says: "userId",
    fields: &[
        must("userId", Type::Uuid),
        may("presenceDefinitionId", Type::Uuid),
        may("message", Type::Text),
    ],
}];

const STATUS_CHANGES: [Array<UserMember>; 1] = [Array {
    name: "userRoutingStatusEvents",
    model: "UserRoutingStatusEvent",
    says: "agentId",
    fields: &[must("agentId", Type::Uuid), must("status", Type::OneOf(STATUSES))],
}];

/// What an event says of a user.
#[derive(Clone, Debug)]
pub(super) struct Shows {
    source_id: String,
    /// Id of a presence definition.
    presence: Option<String>,
    status: Option<String>,
}

/// Reads the body of a request about presences.
pub(super) fn parse_presences(body: &[u8]) -> Events<Shows> {
    read(body, "BatchUserPresenceEventRequest", COMMON, &PRESENCES, event)
}

/// Reads the body of a request about routing statuses.
pub(super) fn parse_statuses(body: &[u8]) -> Events<Shows> {
    read(body, "BatchUserRoutingStatusEventRequest", COMMON, &STATUS_CHANGES, event)
}

fn event(array: &Array<UserMember>, fields: &Map<String, Value>, body: Value) -> Event<Shows> {
    Event {
        array: array.name,
        id: text(fields, "eventId"),
        key: text(fields, array.says),
        at_ms: moment(fields),
        act: Shows {
            source_id: text(fields, "sourceId"),
            presence: optional(fields, "presenceDefinitionId"),
            status: optional(fields, "status"),
        },
        body,
    }
}

/// All users of the organisation, as far as anything was told of them.
pub(super) struct Users {
    known: Known,
    /// Names of the system presences that somebody deactivated.
    deactivated: Vec<String>,
    by_id: BTreeMap<String, Vec<UserChange>>,
}

impl Users {
    pub(super) fn new(known: Known, deactivated: Vec<String>) -> Self {
        Self { known, deactivated, by_id: BTreeMap::new() }
    }

    /// The answer to a request for the definitions: those that are not deactivated.
    pub(super) fn definitions(&self) -> Value {
        let entities: Vec<Value> = self
            .active()
            .map(|(name, id)| {
                json!({
                    "id": id, "type": "System", "systemPresence": name, "deactivated": false,
                    "languageLabels": { "en_US": name },
                    "selfUri": format!("{DEFINITIONS_PATH}/{id}"),
                })
            })
            .collect();
        json!({ "total": entities.len(), "entities": entities, "selfUri": DEFINITIONS_PATH })
    }

    pub(super) fn set_deactivated(&mut self, names: Vec<String>) {
        self.deactivated = names;
    }

    /// Judges an event and applies it unless it is refused.
    pub(super) fn offer(&mut self, event: &Event<Shows>) -> Verdict {
        let refuse = |message| Verdict::Refused { invariant: Some(Invariant::I), message };
        let Shows { source_id, presence, status } = &event.act;
        if self.known.users.as_ref().is_some_and(|users| !users.contains(&event.key)) {
            return refuse(format!("user {} is unknown", event.key));
        }
        if self.known.source_id.as_ref().is_some_and(|source| source != source_id) {
            return refuse(format!("source {source_id} is unknown"));
        }
        let state = match (status, presence) {
            (Some(status), _) => Shown::RoutingStatus(status.clone()),
            (None, Some(id)) => {
                let name = self.active().find(|(_, known)| known.eq_ignore_ascii_case(id));
                let Some((name, _)) = name else {
                    return refuse(format!("presence definition {id} is unknown"));
                };
                Shown::Presence(name.to_owned())
            }
            (None, None) => return refuse("a presence without a definition".to_owned()),
        };
        let history = self.by_id.entry(event.key.clone()).or_default();
        let out_of_order = history.last().is_some_and(|last| last.at_ms >= event.at_ms);
        history.push(UserChange { at_ms: event.at_ms, state });
        Verdict::Applied { breaches: Vec::new(), out_of_order }
    }

    /// What was told of each user, by user id, in the order in which it was told.
    pub(super) fn histories(&self) -> Vec<UserHistory> {
        let history = |(user_id, changes): (&String, &Vec<UserChange>)| UserHistory {
            user_id: user_id.clone(),
            changes: changes.clone(),
        };
        self.by_id.iter().map(history).collect()
    }

    fn active(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        DEFINITIONS.into_iter().filter(|(name, _)| self.deactivated.iter().all(|gone| gone != name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "63540cb0-ac0e-487f-9287-b98d8b621158";
    const BUSY: &str = "31fe3bac-dea6-44b7-bed7-47f91660a1a0";

    fn presence(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
        let mut event = json!({
            "eventId": ID, "eventDateTime": "2024-10-25T12:00:30.001Z", "userId": ID,
            "sourceId": ID, "presenceDefinitionId": BUSY,
        });
        change(event.as_object_mut().expect("an object"));
        json!({ "userPresenceEvents": [event] }).to_string().into_bytes()
    }

    fn status(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
        let mut event = json!({
            "eventId": ID, "eventDateTime": "2024-10-25T12:00:30Z", "agentId": ID,
            "sourceId": ID, "status": "Idle",
        });
        change(event.as_object_mut().expect("an object"));
        json!({ "userRoutingStatusEvents": [event] }).to_string().into_bytes()
    }

    #[test]
    fn requests_are_read_as_strictly_as_the_published_models() {
        let set = |name: &'static str, value: Value| {
            move |event: &mut Map<String, Value>| drop(event.insert(name.to_owned(), value))
        };
        let cut =
            |name: &'static str| move |event: &mut Map<String, Value>| drop(event.remove(name));
        assert!(parse_presences(&presence(|_| ())).is_ok());
        assert!(parse_presences(&presence(cut("presenceDefinitionId"))).is_ok());
        assert!(parse_statuses(&status(|_| ())).is_ok());
        for (body, code) in [
            (presence(cut("userId")), "constraint.validation"),
            (presence(cut("sourceId")), "constraint.validation"),
            (presence(set("eventId", json!(BUSY.replace("-44b7", "-54b7")))), "invalid.value"),
            (presence(set("agentId", json!(ID))), "invalid.property"),
            (presence(set("eventDateTime", json!(1_729_857_630))), "invalid.date"),
            (presence(set("userId", json!("ada"))), "invalid.value"),
            (status(|_| ()), "invalid.property"),
            (b"{}".to_vec(), "zero.events.submitted"),
        ] {
            assert_eq!(parse_presences(&body).expect_err(code).code, code);
        }
        for (body, code) in [
            (status(set("status", json!("OFF_QUEUE"))), "invalid.value"),
            (status(set("userId", json!(ID))), "invalid.property"),
            (status(cut("agentId")), "constraint.validation"),
            (status(cut("status")), "constraint.validation"),
            (presence(|_| ()), "invalid.property"),
        ] {
            assert_eq!(parse_statuses(&body).expect_err(code).code, code);
        }
        let many = json!({ "userRoutingStatusEvents": vec![json!({
            "eventId": ID, "eventDateTime": "2024-10-25T12:00:30Z", "agentId": ID,
            "sourceId": ID, "status": "Idle" }); 101] });
        let error = parse_statuses(many.to_string().as_bytes()).expect_err("101 events");
        assert_eq!(error.code, "max.batch.size.surpassed");
    }

    #[test]
    fn what_the_organisation_does_not_know_is_refused_and_leaves_no_trace() {
        let of = |body: Vec<u8>| parse_presences(&body).expect("a legal request").remove(0);
        let known = || Known {
            users: Some([ID.to_owned()].into()),
            source_id: Some(ID.to_owned()),
            ..Known::default()
        };
        let set = |name: &'static str| {
            move |event: &mut Map<String, Value>| {
                drop(event.insert(name.to_owned(), json!("00000000-0000-4000-8000-000000000000")));
            }
        };
        let mut users = Users::new(known(), vec!["Meal".to_owned()]);
        let meal = |event: &mut Map<String, Value>| {
            let id = json!("3fd96123-badb-4f69-bc03-1b1ccc6d8014");
            event.insert("presenceDefinitionId".to_owned(), id);
        };
        for body in [
            presence(set("userId")),
            presence(set("sourceId")),
            presence(set("presenceDefinitionId")),
            presence(meal),
            presence(|event| drop(event.remove("presenceDefinitionId"))),
        ] {
            let verdict = users.offer(&of(body));
            assert!(matches!(verdict, Verdict::Refused { .. }), "{verdict:?}");
        }
        assert_eq!(users.histories(), []);
        let applied = |out_of_order| Verdict::Applied { breaches: Vec::new(), out_of_order };
        assert_eq!(users.offer(&of(presence(|_| ()))), applied(false));
        assert_eq!(users.offer(&of(presence(|_| ()))), applied(true), "the time does not increase");
        let busy =
            || UserChange { at_ms: 1_729_857_630_001, state: Shown::Presence("Busy".to_owned()) };
        let changes = vec![busy(), busy()];
        assert_eq!(users.histories(), [UserHistory { user_id: ID.to_owned(), changes }]);
    }
}
