//! The presence sink: what is particular to agents (gc-api sections 3.1 and 3.2). Whatever sinks
//! have in common is in [`crate::delivery`].
//!
//! Every change of an agent is told, in order, with the time at which it happened: adherence is
//! judged by the history, not by the last state. A change that is refused for good holds nothing
//! back, as each says by itself what holds from then on.

mod definitions;
mod request;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkline_schemas::{
    PresenceChange, PresenceCommand, PresenceOutcome, Record, RoutingStatus, SystemPresence, Topic,
    codec, topics,
};

use crate::delivery::{self, Batch, Fate, Knowledge, Rules, Sink, Telling};

pub use definitions::{DEFINITIONS_PATH, Definitions, DefinitionsError};
pub use request::{PRESENCE_PATH, ROUTING_PATH, path, request};

/// The name of this sink in headers and causes.
pub const STAGE: &str = "presence-sink";
/// Code of a dead letter: the organisation lacks the presence.
pub const CODE_NO_DEFINITION: &str = "no_definition";

/// The sink of one partition of `command.presence`.
pub type PresenceSink = Sink<Presence>;
/// The durable state of one agent.
pub type Memory = delivery::Memory<Known>;

/// The particulars of the presence sink. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Id of the presence source that stands for Engage; empty while it is not known.
    pub source_id: Arc<str>,
    /// The presence definitions as they are known.
    pub definitions: Arc<Definitions>,
    /// The presences that the organisation has lacked for too long to wait for them.
    pub given_up: Arc<BTreeSet<SystemPresence>>,
}

/// What is kept of one agent beside what every sink keeps (`state.presence-sink`): what the user
/// shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Known {
    /// The presence GC has.
    pub presence: Option<SystemPresence>,
    /// The routing status GC has.
    pub routing: Option<RoutingStatus>,
}

impl Knowledge<PresenceCommand> for Known {
    fn applied(&mut self, command: &PresenceCommand) {
        match command.change {
            PresenceChange::Presence(presence) => self.presence = Some(presence),
            PresenceChange::Routing(routing) => self.routing = Some(routing),
        }
    }

    /// Whether the agent has logged off.
    fn is_over(&self) -> bool {
        self.presence == Some(SystemPresence::Offline)
            && self.routing == Some(RoutingStatus::OffQueue)
    }
}

impl Rules for Presence {
    type Command = PresenceCommand;
    type Knowledge = Known;

    const STAGE: &'static str = STAGE;
    const OUTCOME: Topic = topics::OUTCOME_PRESENCE;
    const DEAD: Topic = topics::DEAD_PRESENCE_SINK;
    /// An agent goes on for ever, and a command is written twice, if at all, within a few others.
    const ACCEPTED_IDS_MAX: usize = 20;

    fn key(command: &PresenceCommand) -> &str {
        &command.agent
    }

    fn event_id(command: &PresenceCommand) -> &str {
        &command.event_id
    }

    fn seq(command: &PresenceCommand) -> i64 {
        command.seq
    }

    fn path(command: &PresenceCommand) -> &'static str {
        path(command.change)
    }

    fn telling(&self, command: &PresenceCommand) -> Telling {
        if self.source_id.is_empty() {
            return Telling::Later;
        }
        match command.change {
            PresenceChange::Presence(presence) if self.definitions.id(presence).is_some() => {
                Telling::Now
            }
            PresenceChange::Presence(presence) if self.given_up.contains(&presence) => {
                let name = presence.name();
                let why = format!("the organisation has no active system presence {name}");
                Telling::Never(CODE_NO_DEFINITION, why)
            }
            PresenceChange::Presence(_) => Telling::Later,
            PresenceChange::Routing(_) => Telling::Now,
        }
    }

    fn request(&self, commands: &[PresenceCommand]) -> Batch {
        request::request(commands, &self.source_id, &self.definitions)
    }

    fn outcome(command: &PresenceCommand, fate: Fate) -> Record {
        let outcome = PresenceOutcome {
            status: fate.status,
            agent: command.agent.clone(),
            user_id: Some(command.user_id.clone()),
            domain: command.domain.clone(),
            event_id: Some(command.event_id.clone()),
            seq: Some(command.seq),
            event: Some(command.change.array().to_owned()),
            code: fate.code.map(str::to_owned),
            reason: fate.reason,
            attempts: fate.attempts,
            at_ms: fate.at_ms,
        };
        codec::record(command.agent.as_bytes(), &outcome)
            .expect("an outcome fits its built-in schema")
    }
}
