//! The mapping of agent states, row by row as in seed 000 ("Mapping Agent States").

use serde::{Deserialize, Serialize};
use trunkline_schemas::raw::PhoneCall;
use trunkline_schemas::{RoutingStatus, SystemPresence};

use RoutingStatus::{Communicating, Idle, Interacting, OffQueue};
use SystemPresence::{Break, Busy, Meal, Meeting, Offline, OnQueue, Training};

/// The state of an agent in Engage, as far as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentState {
    /// Logged off.
    LoggedOff,
    /// Not ready, for a reason that has a presence of its own or for any other.
    NotReady(Reason),
    /// Ready.
    Ready,
    /// Not ready because of after-call work.
    AfterCallWork,
}

/// Why an agent is not ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// No reason, or one that is not mapped.
    #[default]
    Unmapped,
    /// A break.
    Break,
    /// A meal.
    Meal,
    /// A meeting.
    Meeting,
    /// A training.
    Training,
}

impl Reason {
    /// The reasons that have a presence of their own.
    pub const MAPPED: [Self; 4] = [Self::Break, Self::Meal, Self::Meeting, Self::Training];

    /// The name of the reason in Engage (seed 000).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unmapped => "",
            Self::Break => "Break",
            Self::Meal => "Meal",
            Self::Meeting => "Meeting",
            Self::Training => "Training",
        }
    }
}

/// What a row says of the agent's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Logged off.
    LoggedOff,
    /// Not ready, for this reason.
    NotReady(Reason),
    /// Not ready, for whatever reason.
    NotReadyAny,
    /// Ready.
    Ready,
    /// Not ready because of after-call work.
    AfterCallWork,
}

impl When {
    fn holds(self, state: AgentState) -> bool {
        match (self, state) {
            (Self::LoggedOff, AgentState::LoggedOff)
            | (Self::NotReadyAny, AgentState::NotReady(_))
            | (Self::Ready, AgentState::Ready)
            | (Self::AfterCallWork, AgentState::AfterCallWork) => true,
            (Self::NotReady(wanted), AgentState::NotReady(reason)) => wanted == reason,
            (
                Self::LoggedOff
                | Self::NotReady(_)
                | Self::NotReadyAny
                | Self::Ready
                | Self::AfterCallWork,
                AgentState::LoggedOff
                | AgentState::NotReady(_)
                | AgentState::Ready
                | AgentState::AfterCallWork,
            ) => false,
        }
    }
}

/// One row: state and call type in Engage; presence and routing status of the EX user.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Engage agent state.
    pub state: When,
    /// Call type; none is "No Call".
    pub call: Option<PhoneCall>,
    /// EX user presence; none is "Same as original state".
    pub presence: Option<SystemPresence>,
    /// EX user routing status.
    pub routing: RoutingStatus,
}

const fn row(
    state: When,
    call: Option<PhoneCall>,
    presence: Option<SystemPresence>,
    routing: RoutingStatus,
) -> Row {
    Row { state, call, presence, routing }
}

const NO_CALL: Option<PhoneCall> = None;
const INTERNAL: Option<PhoneCall> = Some(PhoneCall::Internal);
const ANY_BUT_INTERNAL: Option<PhoneCall> = Some(PhoneCall::Other);
const SAME: Option<SystemPresence> = None;

/// The rows in the order of seed 000.
pub const TABLE: [Row; 12] = [
    row(When::LoggedOff, NO_CALL, Some(Offline), OffQueue),
    row(When::NotReady(Reason::Unmapped), NO_CALL, Some(Busy), OffQueue),
    row(When::NotReady(Reason::Break), NO_CALL, Some(Break), OffQueue),
    row(When::NotReady(Reason::Meal), NO_CALL, Some(Meal), OffQueue),
    row(When::NotReady(Reason::Meeting), NO_CALL, Some(Meeting), OffQueue),
    row(When::NotReady(Reason::Training), NO_CALL, Some(Training), OffQueue),
    row(When::NotReadyAny, INTERNAL, Some(Busy), Communicating),
    row(When::NotReadyAny, ANY_BUT_INTERNAL, Some(Busy), Interacting),
    row(When::Ready, NO_CALL, Some(OnQueue), Idle),
    row(When::Ready, INTERNAL, Some(OnQueue), Communicating),
    row(When::Ready, ANY_BUT_INTERNAL, Some(OnQueue), Interacting),
    row(When::AfterCallWork, NO_CALL, SAME, Interacting),
];

/// What the EX user is to show: the presence (none: as before) and the routing status. None if no
/// row of the table speaks of it.
pub fn find(
    state: AgentState,
    call: Option<PhoneCall>,
) -> Option<(Option<SystemPresence>, RoutingStatus)> {
    let row = TABLE.iter().find(|row| row.state.holds(state) && row.call == call)?;
    Some((row.presence, row.routing))
}
