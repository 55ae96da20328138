//! The call models of the site and how often each occurs.

use serde::{Deserialize, Serialize};

/// A call model, named as in the call model tables.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Model {
    /// Inbound over a queue; the Routing Point lets go when the agent's phone rings.
    #[default]
    #[serde(rename = "01a")]
    DivertOnRinging,
    /// Inbound over a queue; the Routing Point lets go when the agent answers.
    #[serde(rename = "01b")]
    DivertOnAnswer,
    /// An IVR on the Routing Point, then queue and agent.
    #[serde(rename = "02a")]
    IvrThenAgent,
    /// An IVR and nothing else.
    #[serde(rename = "02b")]
    IvrOnly,
    /// The customer gives up in the queue.
    #[serde(rename = "03a")]
    AbandonedInQueue,
    /// The customer gives up while the agent's phone rings.
    #[serde(rename = "03b")]
    AbandonedWhileRinging,
    /// The agent does not answer; the call goes back to the Routing Point and is queued again.
    #[serde(rename = "05a")]
    NoAnswerRecalled,
    /// The agent does not answer; the call never left the queue.
    #[serde(rename = "05b")]
    NoAnswerRerouted,
    /// An agent calls a customer, who answers.
    #[serde(rename = "06a")]
    Outbound,
    /// An agent calls a customer, who is busy.
    #[serde(rename = "06b")]
    OutboundBusy,
    /// Inbound with a hold and a retrieve.
    #[serde(rename = "11")]
    HoldRetrieve,
    /// An agent calls another.
    #[serde(rename = "13")]
    Internal,
}

/// The models and how many calls out of a hundred each makes.
pub const SHARES: [(Model, u64); 12] = [
    (Model::DivertOnRinging, 30),
    (Model::DivertOnAnswer, 15),
    (Model::IvrThenAgent, 20),
    (Model::IvrOnly, 6),
    (Model::AbandonedInQueue, 6),
    (Model::AbandonedWhileRinging, 3),
    (Model::NoAnswerRecalled, 3),
    (Model::NoAnswerRerouted, 3),
    (Model::Outbound, 6),
    (Model::OutboundBusy, 2),
    (Model::HoldRetrieve, 4),
    (Model::Internal, 2),
];

impl Model {
    /// Its name in the call model tables, for example `01a`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DivertOnRinging => "01a",
            Self::DivertOnAnswer => "01b",
            Self::IvrThenAgent => "02a",
            Self::IvrOnly => "02b",
            Self::AbandonedInQueue => "03a",
            Self::AbandonedWhileRinging => "03b",
            Self::NoAnswerRecalled => "05a",
            Self::NoAnswerRerouted => "05b",
            Self::Outbound => "06a",
            Self::OutboundBusy => "06b",
            Self::HoldRetrieve => "11",
            Self::Internal => "13",
        }
    }

    /// The model at this place of a line on which each has its share.
    pub(super) fn of_share(mut place: u64) -> Self {
        for (model, share) in SHARES {
            if place < share {
                return model;
            }
            place -= share;
        }
        Self::default()
    }

    /// Whether the caller first hears an IVR.
    pub(super) fn has_treatment(self) -> bool {
        matches!(self, Self::IvrThenAgent | Self::IvrOnly)
    }

    /// Whether the call comes into a queue.
    pub(super) fn is_queued(self) -> bool {
        !matches!(self, Self::IvrOnly | Self::Outbound | Self::OutboundBusy | Self::Internal)
    }

    /// Whether two people talk, so that either may hang up first.
    pub(super) fn is_answered(self) -> bool {
        !matches!(
            self,
            Self::IvrOnly
                | Self::AbandonedInQueue
                | Self::AbandonedWhileRinging
                | Self::OutboundBusy
                | Self::Internal
        )
    }

    /// Whether in the table of the model the agent hangs up first.
    pub(super) fn agent_usually_hangs_up(self) -> bool {
        matches!(self, Self::DivertOnAnswer | Self::Outbound | Self::OutboundBusy | Self::Internal)
    }
}
