//! A TLib event of the site, before it is said.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::plan::Micros;

/// The role of a link; each sees one stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Call monitoring, stream `call`.
    Call,
    /// Virtual queue DNs, stream `vq`.
    Vq,
    /// Extension DNs, stream `ext`.
    Agent,
}

impl Role {
    pub(super) fn stream(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Vq => "vq",
            Self::Agent => "ext",
        }
    }
}

/// Where a call stands, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Started,
    Queued,
    Talking,
    Finished,
}

/// One event, still without its number and the time of day.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Micros,
    pub(super) role: Role,
    pub(super) name: &'static str,
    /// What the call comes to with this event, if that changes.
    pub(super) phase: Option<Phase>,
    pub(super) attributes: Map<String, Value>,
}
