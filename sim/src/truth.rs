//! The words in which the two simulators speak of a call, so that they can be compared: what really
//! happened in Engage, and what the Genesys Cloud organisation was told.

use serde::{Deserialize, Serialize};

/// What kind of party a leg is (the *Established* events of the GC batch, gc-api section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LegKind {
    /// The customer.
    External,
    /// An IVR application.
    Ivr,
    /// A queue (ACD).
    Routing,
    /// An agent.
    User,
    /// Some other phone.
    Phone,
}

/// One leg of a conversation, from its beginning to its end. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// What it is.
    pub kind: LegKind,
    /// GC user id of a user, GC queue id of a queue, else nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it was established.
    pub start_ms: i64,
    /// Whether it began alerting.
    pub alerting: bool,
    /// When it was answered; nothing if it was connected from the start or never answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<i64>,
    /// Hold changes: when, and whether it was held from then on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<(i64, bool)>,
    /// When it ended; nothing while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// The disconnect type it ended with (`Self`, `Peer`, `System`, `TransferACD`, ...).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnect: Option<String>,
}

/// One conversation as the organisation was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// GC conversation id.
    pub conversation_id: String,
    /// The external platform's id: the root CallUUID.
    pub interaction_id: String,
    /// Its legs, in order of their start.
    pub legs: Vec<Leg>,
}

/// What ought to be told of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expected {
    /// A conversation with these legs, in order of their start.
    Conversation(Vec<Leg>),
    /// Nothing, for this reason (for example `internal`).
    Nothing(String),
}

/// What becomes of a call besides what is told of it: the reason is one of the product's own closed
/// list, as an operator reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The call, or somebody in it, is left out.
    LeftOut(String),
    /// The conversation is told of endings only from some moment on.
    Suspended(String),
}

/// The truth about one call of the simulated site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallTruth {
    /// CallUUID.
    pub call_uuid: String,
    /// The call model played (for example `01a`).
    pub model: String,
    /// What the organisation must hold of it.
    pub expected: Expected,
    /// What else becomes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
}

/// What a user shows from some moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    /// A system presence, by its name.
    Presence(String),
    /// A routing status, by its name.
    RoutingStatus(String),
}

/// One change of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserChange {
    /// When it happened, milliseconds since 1970.
    pub at_ms: i64,
    /// What it is.
    #[serde(flatten)]
    pub state: Shown,
}

/// The history of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserHistory {
    /// GC user id.
    pub user_id: String,
    /// Its changes, in the order in which they were told.
    pub changes: Vec<UserChange>,
}

/// What a user of the organisation must show, and since when (seed 000, "Mapping Agent States").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserState {
    /// Since when, milliseconds since 1970.
    pub at_ms: i64,
    /// Name of the system presence.
    pub presence: String,
    /// Routing status, as `UserRoutingStatusEvent.status` spells it.
    pub routing: String,
    /// How Stat Servers told of it.
    #[serde(default, skip_serializing_if = "Heard::is_live")]
    pub heard: Heard,
}

/// How Stat Servers told of a state: as it happened, or as the present value to a client that had
/// just come, which says since when in whole seconds only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Heard {
    /// As it happened.
    #[default]
    Live,
    /// Both: it is dated by the one that is read first.
    Twice,
    /// Nobody was listening then. Of several such states only the last is ever told.
    Later,
}

impl Heard {
    /// Whether its time is known for certain.
    pub fn is_live(&self) -> bool {
        *self == Self::Live
    }
}

/// The day of one agent as the organisation must have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentDay {
    /// Employee id.
    pub employee_id: String,
    /// GC user id.
    pub user_id: String,
    /// What the user must show, one state after the other.
    pub states: Vec<UserState>,
}
