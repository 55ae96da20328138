//! The requests: `BatchUserPresenceEventRequest` and `BatchUserRoutingStatusEventRequest` (gc-api
//! sections 3.1 and 3.2).

use serde_json::json;
use trunkline_schemas::directory::PresenceIds;
use trunkline_schemas::time::iso_millis;
use trunkline_schemas::{PresenceChange, PresenceCommand, SystemPresence};

use crate::conversation::Batch;

/// Path of the operation `POST /api/v2/events/users/presence`.
pub const PRESENCE_PATH: &str = "/api/v2/events/users/presence";
/// Path of the operation `POST /api/v2/events/users/routingstatus`.
pub const ROUTING_PATH: &str = "/api/v2/events/users/routingstatus";

/// The organisation has no presence definition of that name, or none is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no presence definition is known for {}", .0.name())]
pub struct NoDefinition(pub SystemPresence);

/// The requests that tell these commands: of presences first, then of routing statuses; none for
/// what no command tells.
///
/// The same commands give the same bodies in whatever order they come: events stand by (time,
/// agent, `seq`).
///
/// # Errors
/// [`NoDefinition`] if a presence has no id; then there is no request at all.
pub fn requests(
    commands: &[PresenceCommand],
    ids: &PresenceIds,
) -> Result<Vec<Batch>, NoDefinition> {
    let mut sorted: Vec<&PresenceCommand> = commands.iter().collect();
    sorted.sort_by_key(|c| (c.at_ms, c.agent.as_str(), c.seq));
    let (mut presences, mut statuses) = (Vec::new(), Vec::new());
    for command in sorted {
        let at = iso_millis(command.at_ms);
        match command.change {
            PresenceChange::Presence(presence) => {
                let id = ids.definition(presence).ok_or(NoDefinition(presence))?;
                presences.push(json!({
                    "eventId": command.event_id,
                    "eventDateTime": at,
                    "userId": command.user_id,
                    "sourceId": ids.source_id,
                    "presenceDefinitionId": id,
                }));
            }
            PresenceChange::Routing(status) => statuses.push(json!({
                "eventId": command.event_id,
                "eventDateTime": at,
                "agentId": command.user_id,
                "status": status.name(),
                "sourceId": ids.source_id,
            })),
        }
    }
    let arrays = [
        (PRESENCE_PATH, "userPresenceEvents", presences),
        (ROUTING_PATH, "userRoutingStatusEvents", statuses),
    ];
    let told = arrays.into_iter().filter(|(_, _, events)| !events.is_empty());
    Ok(told.map(|(path, name, events)| Batch { path, body: json!({ name: events }) }).collect())
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::RoutingStatus;

    use super::*;

    fn command(agent: &str, seq: i64, at_ms: i64, change: PresenceChange) -> PresenceCommand {
        PresenceCommand {
            event_id: format!("{agent}-{seq}"),
            agent: agent.into(),
            user_id: format!("user-{agent}"),
            domain: "d".into(),
            seq,
            at_ms,
            change,
            cause: "raw.agent/0@1".into(),
        }
    }

    #[test]
    fn bodies_have_the_shape_of_the_published_models() {
        let t = 1_729_857_600_001;
        let on_queue = PresenceChange::Presence(SystemPresence::OnQueue);
        let commands = [
            command("b", 2, t + 1, PresenceChange::Routing(RoutingStatus::Idle)),
            command("b", 1, t, on_queue),
            command("a", 7, t, PresenceChange::Presence(SystemPresence::Meal)),
        ];
        let ids = |names: &[(&str, &str)]| PresenceIds {
            source_id: "s".into(),
            definitions: names.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        };
        let whole = ids(&[("On Queue", "queue-id"), ("Meal", "meal-id")]);
        let expected = vec![
            Batch {
                path: "/api/v2/events/users/presence",
                body: json!({"userPresenceEvents": [
                    {"eventId": "a-7", "eventDateTime": "2024-10-25T12:00:00.001Z",
                     "userId": "user-a", "sourceId": "s", "presenceDefinitionId": "meal-id"},
                    {"eventId": "b-1", "eventDateTime": "2024-10-25T12:00:00.001Z",
                     "userId": "user-b", "sourceId": "s", "presenceDefinitionId": "queue-id"}]}),
            },
            Batch {
                path: "/api/v2/events/users/routingstatus",
                body: json!({"userRoutingStatusEvents": [
                    {"eventId": "b-2", "eventDateTime": "2024-10-25T12:00:00.002Z",
                     "agentId": "user-b", "status": "Idle", "sourceId": "s"}]}),
            },
        ];
        assert_eq!(requests(&commands, &whole), Ok(expected.clone()));
        assert_eq!(requests(&commands[..1], &PresenceIds::default()).map(|b| b.len()), Ok(1));
        assert_eq!(requests(&[], &whole), Ok(Vec::new()));
        let mut turned = commands;
        turned.reverse();
        assert_eq!(requests(&turned, &whole), Ok(expected));
        let part = ids(&[("OnQueue", "queue-id")]);
        assert_eq!(requests(&turned, &part), Err(NoDefinition(SystemPresence::Meal)));
    }
}
