//! A TLib event of the site, before it is said.

use std::borrow::Cow;

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

    /// The role that sees a stream.
    pub(super) fn of_stream(stream: &str) -> Self {
        match stream {
            "vq" => Self::Vq,
            "ext" => Self::Agent,
            _ => Self::Call,
        }
    }
}

/// Whose SIP Server says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// That of the site.
    #[default]
    First,
    /// That of the second site.
    Second,
}

/// Where a call stands, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    pub(super) place: Place,
    pub(super) name: Cow<'static, str>,
    /// What the call comes to with this event, if that changes.
    pub(super) phase: Option<Phase>,
    pub(super) attributes: Map<String, Value>,
}
