//! What Genesys Cloud is to be told of an agent: presence and routing status (gc-api sections 3.1
//! and 3.2, "EXAS table"), and what became of it.

use serde::{Deserialize, Serialize};

use crate::outcome::OutcomeStatus;

/// One change of one agent, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceCommand {
    /// V4 UUID of the event; the same for ever ([`crate::ids::presence_event_id`]).
    pub event_id: String,
    /// Employee id of the agent; also the key of the record.
    pub agent: String,
    /// GC user id of the agent.
    pub user_id: String,
    /// Routing domain.
    pub domain: String,
    /// Order within the agent: dense, from 1.
    pub seq: i64,
    /// When it happened, milliseconds since 1970; strictly increasing within the agent.
    pub at_ms: i64,
    /// The change.
    pub change: PresenceChange,
    /// Place of the raw record that caused it, `topic/partition@offset`.
    pub cause: String,
}

/// One of the two components of a user's state (seed 000, "Mapping Agent States").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PresenceChange {
    /// The presence is now this one.
    Presence(SystemPresence),
    /// The routing status is now this one.
    Routing(RoutingStatus),
}

impl PresenceChange {
    /// Name of the list of the batch it belongs to (gc-api sections 3.1 and 3.2).
    pub const fn array(self) -> &'static str {
        match self {
            Self::Presence(_) => "userPresenceEvents",
            Self::Routing(_) => "userRoutingStatusEvents",
        }
    }
}

/// A system presence of Genesys Cloud (`systemPresence` of a presence definition). *Available* is
/// none of them: an agent of Engage never is (seed 000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SystemPresence {
    /// Not ready, for no reason that has a presence of its own.
    Busy,
    /// Not ready: a break.
    Break,
    /// Not ready: a meal.
    Meal,
    /// Not ready: a meeting.
    Meeting,
    /// Not ready: a training.
    Training,
    /// Ready.
    OnQueue,
    /// Logged off.
    Offline,
}

impl SystemPresence {
    /// Every one, in the order of the Avro enum.
    pub const ALL: [Self; 7] = [
        Self::Busy,
        Self::Break,
        Self::Meal,
        Self::Meeting,
        Self::Training,
        Self::OnQueue,
        Self::Offline,
    ];

    /// Its name in Genesys Cloud.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "Busy",
            Self::Break => "Break",
            Self::Meal => "Meal",
            Self::Meeting => "Meeting",
            Self::Training => "Training",
            Self::OnQueue => "OnQueue",
            Self::Offline => "Offline",
        }
    }
}

/// A routing status as `UserRoutingStatusEvent.status` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RoutingStatus {
    /// Not to be offered interactions.
    OffQueue,
    /// Waits for an interaction.
    Idle,
    /// On a call between extensions of the contact centre.
    Communicating,
    /// On any other call, or in after-call work.
    Interacting,
}

impl RoutingStatus {
    /// Every one, in the order of the Avro enum.
    pub const ALL: [Self; 4] = [Self::OffQueue, Self::Idle, Self::Communicating, Self::Interacting];

    /// Its name in Genesys Cloud.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OffQueue => "OffQueue",
            Self::Idle => "Idle",
            Self::Communicating => "Communicating",
            Self::Interacting => "Interacting",
        }
    }
}

/// What became of a change, or why an agent was left out: a fact for `outcome.presence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceOutcome {
    /// What became of it.
    pub status: OutcomeStatus,
    /// Employee id of the agent, or what Engage called whom the directory does not know; also the
    /// key of the record.
    pub agent: String,
    /// GC user id; absent if the directory has none.
    pub user_id: Option<String>,
    /// Routing domain.
    pub domain: String,
    /// The event, unless it is about the agent as a whole.
    pub event_id: Option<String>,
    /// Its place in the agent's history.
    pub seq: Option<i64>,
    /// Its list of the batch.
    pub event: Option<String>,
    /// A code from a closed list.
    pub code: Option<String>,
    /// What Genesys Cloud said, or what is known besides.
    pub reason: Option<String>,
    /// How often it was sent.
    pub attempts: i32,
    /// When, milliseconds since 1970: of an answer, the sink's clock; of an agent left out, stream
    /// time.
    pub at_ms: i64,
}
