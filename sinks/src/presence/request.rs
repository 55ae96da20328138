//! The requests: `BatchUserPresenceEventRequest` and `BatchUserRoutingStatusEventRequest` (gc-api
//! sections 3.1 and 3.2). Routing events name the user `agentId`, presence events `userId`.

use serde_json::{Value, json};
use trunkline_schemas::time::iso_millis;
use trunkline_schemas::{PresenceChange, PresenceCommand};

use super::Definitions;
use crate::delivery::Batch;

/// Path of the operation for presences.
pub const PRESENCE_PATH: &str = "/api/v2/events/users/presence";
/// Path of the operation for routing statuses.
pub const ROUTING_PATH: &str = "/api/v2/events/users/routingstatus";

/// The operation that tells a change.
pub const fn path(change: PresenceChange) -> &'static str {
    match change {
        PresenceChange::Presence(_) => PRESENCE_PATH,
        PresenceChange::Routing(_) => ROUTING_PATH,
    }
}

/// The request that tells these changes, all of the kind of the first. The same commands give the
/// same body in whatever order they come: events stand by (time, agent, `seq`).
///
/// A presence without a definition is told without an id, which GC refuses: nobody lets it come to
/// that.
pub fn request(commands: &[PresenceCommand], source_id: &str, definitions: &Definitions) -> Batch {
    let Some(first) = commands.first() else {
        return Batch { path: PRESENCE_PATH, body: json!({}) };
    };
    let mut sorted: Vec<&PresenceCommand> = commands.iter().collect();
    sorted.sort_by_key(|c| (c.at_ms, c.agent.as_str(), c.seq));
    let events = sorted.into_iter().map(|command| event(command, source_id, definitions));
    let events: Vec<Value> = events.collect();
    Batch { path: path(first.change), body: json!({ first.change.array(): events }) }
}

fn event(command: &PresenceCommand, source_id: &str, definitions: &Definitions) -> Value {
    let mut event = json!({
        "eventId": command.event_id,
        "eventDateTime": iso_millis(command.at_ms),
        "sourceId": source_id,
    });
    match command.change {
        PresenceChange::Presence(presence) => {
            event["userId"] = json!(command.user_id);
            if let Some(id) = definitions.id(presence) {
                event["presenceDefinitionId"] = json!(id);
            }
        }
        PresenceChange::Routing(routing) => {
            event["agentId"] = json!(command.user_id);
            event["status"] = json!(routing.name());
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::{RoutingStatus, SystemPresence};

    use super::*;

    fn command(agent: &str, seq: i64, change: PresenceChange) -> PresenceCommand {
        PresenceCommand {
            event_id: format!("{agent}-{seq}"),
            agent: agent.into(),
            user_id: format!("user-{agent}"),
            domain: "d".into(),
            seq,
            at_ms: 1_729_857_600_000 + seq,
            change,
            cause: "raw.agent/0@1".into(),
        }
    }

    #[test]
    fn a_batch_has_the_shape_of_the_published_models() {
        let listing = json!({ "entities": [
            { "id": "id-of-busy", "type": "System", "systemPresence": "Busy" }] });
        let definitions = Definitions::read(listing).expect("a listing");
        let busy = PresenceChange::Presence(SystemPresence::Busy);
        let idle = PresenceChange::Routing(RoutingStatus::Idle);
        let presences = [command("b", 2, busy), command("a", 1, busy)];
        let expected = json!({ "userPresenceEvents": [
            {"eventId": "a-1", "eventDateTime": "2024-10-25T12:00:00.001Z", "userId": "user-a",
             "sourceId": "s", "presenceDefinitionId": "id-of-busy"},
            {"eventId": "b-2", "eventDateTime": "2024-10-25T12:00:00.002Z", "userId": "user-b",
             "sourceId": "s", "presenceDefinitionId": "id-of-busy"}] });
        let path = "/api/v2/events/users/presence";
        assert_eq!(request(&presences, "s", &definitions), Batch { path, body: expected });

        let expected = json!({ "userRoutingStatusEvents": [
            {"eventId": "a-1", "eventDateTime": "2024-10-25T12:00:00.001Z", "agentId": "user-a",
             "sourceId": "s", "status": "Idle"}] });
        let path = "/api/v2/events/users/routingstatus";
        let batch = request(&[command("a", 1, idle)], "s", &definitions);
        assert_eq!(batch, Batch { path, body: expected });
    }
}
