//! What whoever watches the services of EXEC asks them (seed 003, "Run EXEC Services for First
//! Time"), so that it can go on asking Trunkline.
//!
//! Fact: each service answers `/health` with "200 OK with dependency status" on a port of its own,
//! and EXCS answers `/status` with `status` and `data.syncStatus` as they are below. All else is a
//! reconstruction: how the dependencies are written, the codes but 0, and the words but `Success`.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::health::{Dependency, Health, LoopState};
use crate::clock::Uptime;

/// A service of EXEC, as a part of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// EXCP: conversations.
    Conversation,
    /// EXAS: agent states.
    Presence,
    /// EXCS: configuration.
    Config,
}

/// `status.code` while something is missing: HTTP 503, and the first cause there is.
const UNAVAILABLE: u32 = 50_301;

impl Role {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Presence => "presence",
            Self::Config => "config",
        }
    }

    /// The port that the service of EXEC listens at by default (seed 003, the connectivity table).
    pub const fn port(self) -> u16 {
        match self {
            Self::Conversation => 3650,
            Self::Presence => 3630,
            Self::Config => 3640,
        }
    }
}

/// Whether a role is well, and what it depends on.
pub(super) fn health(health: &Health, role: Role, now: Uptime) -> (bool, Value) {
    let conditions = health.dependencies(role).into_iter().map(|it| (it.name, it.why_not));
    let stuck = health.loops_of(role, now).into_iter().filter(|state| !state.live);
    let dependencies: Vec<_> = conditions.chain(stuck.map(|state| of_stuck(&state))).collect();
    let is_well = dependencies.iter().all(|(_, why_not)| why_not.is_none());
    let dependencies: Vec<Value> = dependencies.into_iter().map(dependency).collect();
    let word = word(is_well);
    (is_well, json!({ "status": word, "role": role.name(), "dependencies": dependencies }))
}

fn of_stuck(state: &LoopState) -> (String, Option<String>) {
    let why = if state.ended {
        "it ended unexpectedly".to_owned()
    } else {
        format!("no step for {} ms", state.idle_ms)
    };
    (format!("loop {}", state.name), Some(why))
}

fn dependency((name, why_not): (String, Option<String>)) -> Value {
    match why_not {
        None => json!({ "name": name, "status": word(true) }),
        Some(why) => json!({ "name": name, "status": word(false), "why": why }),
    }
}

const fn word(is_well: bool) -> &'static str {
    if is_well { "UP" } else { "DOWN" }
}

/// Whether a role does its work, in the shape of `/status`.
pub(super) fn status(health: &Health, role: Role, id: Uuid) -> (bool, Value) {
    let dependencies = health.dependencies(role);
    let synced = health.synced();
    let lacking: Vec<String> = dependencies.iter().filter_map(lack).collect();
    let is_well = !dependencies.is_empty() && lacking.is_empty();
    let mut missing = dependencies.iter().filter(|own| own.why_not.is_some());
    let is_first_sync = role == Role::Config && synced.is_none();
    let begins = is_first_sync || !lacking.is_empty() && missing.all(|own| !own.has_held);
    let since_ms = dependencies.iter().map(|own| own.since_ms).max().unwrap_or_default();
    let (word, at_ms, message) = match (is_well, role, &synced) {
        (true, Role::Config, Some(synced)) => {
            let (org, at) = (synced.org.as_deref().unwrap_or("unknown"), stamp(synced.at_ms));
            let said = "have been successfully processed on";
            (
                "Success",
                synced.at_ms,
                format!("Latest database updates for orgId:{org} {said} {at}"),
            )
        }
        (true, _, _) => {
            let at = stamp(since_ms);
            ("Success", since_ms, format!("The {} role has been at work since {at}", role.name()))
        }
        (false, _, _) if begins => ("InProgress", since_ms, lacking.join("; ")),
        (false, _, _) => ("Failed", since_ms, lacking.join("; ")),
    };
    let code = if is_well { 0 } else { UNAVAILABLE };
    let body = json!({
        "status": { "code": code, "message": message, "corrId": id.to_string() },
        "data": { "syncStatus": { "timeStamp": stamp(at_ms), "status": word } },
    });
    (is_well, body)
}

fn lack(own: &Dependency) -> Option<String> {
    Some(format!("{}: {}", own.name, own.why_not.as_deref()?))
}

/// As EXCS writes a time: UTC, with milliseconds.
fn stamp(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// An id by which an answer can be found again (RFC 9562, version 4).
pub(super) fn id() -> Uuid {
    use std::hash::{BuildHasher, RandomState};
    let half = || RandomState::new().hash_one(0_u8).to_be_bytes();
    let (mut bytes, halves) = ([0; 16], [half(), half()]);
    bytes.copy_from_slice(halves.as_flattened());
    Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::health::Synced;

    const NOW: Uptime = Uptime::of_ms(0);

    #[test]
    fn health_tells_what_a_role_depends_on() {
        let all = Health::new();
        let (own, other) = (all.of(Role::Presence), all.of(Role::Conversation));
        let sink = own.condition("presence-sink-0");
        let elsewhere = other.condition("conversation-0");
        elsewhere.set(false, "not its business");
        sink.set(true, "");
        let up = json!({ "name": "presence-sink-0", "status": "UP" });
        let well = json!({ "status": "UP", "role": "presence", "dependencies": [up] });
        assert_eq!(health(&all, Role::Presence, NOW), (true, well));

        sink.set(false, "the login server answered 401");
        let _loop = own.watch("presence-0", Duration::ZERO, NOW);
        let why = "the login server answered 401";
        let down = [
            json!({ "name": "presence-sink-0", "status": "DOWN", "why": why }),
            json!({ "name": "loop presence-0", "status": "DOWN", "why": "no step for 5 ms" }),
        ];
        let unwell = json!({ "status": "DOWN", "role": "presence", "dependencies": down });
        assert_eq!(health(&all, Role::Presence, Uptime::of_ms(5)), (false, unwell));
    }

    #[test]
    fn status_is_as_the_guide_shows_it() {
        let all = Health::new();
        let sink = all.of(Role::Config).condition("config-sink-0");
        let id = Uuid::nil();
        let (is_well, body) = status(&all, Role::Config, id);
        assert_eq!((is_well, &body["status"]["code"]), (false, &json!(50_301)));
        assert_eq!(body["status"]["message"], "config-sink-0: not reported yet");
        assert_eq!(body["data"]["syncStatus"]["status"], "InProgress");

        sink.set(true, "");
        let org = Some("6662cb10-0d4d-4710-b979-db69011e66fd".to_owned());
        all.tell_synced(Synced { org, at_ms: 1_689_070_988_062 });
        let message = "Latest database updates for orgId:6662cb10-0d4d-4710-b979-db69011e66fd have \
                       been successfully processed on 2023-07-11T10:23:08.062Z";
        let status_of = json!({ "code": 0, "message": message, "corrId": id.to_string() });
        let sync = json!({ "timeStamp": "2023-07-11T10:23:08.062Z", "status": "Success" });
        let expected = json!({ "status": status_of, "data": { "syncStatus": sync } });
        assert_eq!(status(&all, Role::Config, id), (true, expected));

        sink.set(false, "the organisation is bound to another tenant");
        let (is_well, body) = status(&all, Role::Config, id);
        assert_eq!((is_well, &body["data"]["syncStatus"]["status"]), (false, &json!("Failed")));
    }

    #[test]
    fn a_role_that_begins_has_not_failed() {
        let all = Health::new();
        let own = all.of(Role::Conversation);
        let (log, task) = (own.condition("log"), own.condition("conversation-0"));
        let word = || {
            let (_, body) = status(&all, Role::Conversation, Uuid::nil());
            body["data"]["syncStatus"]["status"].clone()
        };
        log.set(true, "");
        assert_eq!(word(), "InProgress", "the task has not reported yet");
        task.set(false, "its state is being restored");
        assert_eq!(word(), "InProgress");
        task.set(true, "");
        assert_eq!(word(), "Success");
        task.set(false, "the record at offset 5 cannot be read");
        assert_eq!(word(), "Failed");
        let _again = own.condition("conversation-0");
        assert_eq!(word(), "InProgress", "it begins anew");
        log.set(false, "reaching Kafka");
        assert_eq!(word(), "Failed");
    }

    #[test]
    fn a_role_without_any_condition_does_no_work() {
        let (is_well, body) = status(&Health::new(), Role::Presence, Uuid::nil());
        assert_eq!((is_well, &body["data"]["syncStatus"]["status"]), (false, &json!("Failed")));
    }

    #[test]
    fn ids_differ_and_say_that_they_are_random() {
        let (one, other) = (id(), id());
        assert_ne!(one, other);
        assert_eq!((one.get_version_num(), other.get_version_num()), (4, 4));
    }
}
