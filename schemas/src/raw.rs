//! What bridges write down: Engage events as they came, and what happened to the links.

use serde::{Deserialize, Serialize};

/// What a record of a raw topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RawKind {
    /// An event of the source, its payload byte for byte.
    Event,
    /// A link is up: from here its events follow each other without loss.
    LinkUp,
    /// A link is down: events may be missing until it is up again.
    LinkDown,
    /// The feeder could not resume: events between the last one held and the next may be missing.
    Gap,
    /// The feeder has delivered all that was there when the link came up.
    CaughtUp,
    /// A second has passed.
    Tick,
    /// The directory is about to be announced whole.
    DirectoryStart,
    /// One row of the directory (payload: [`crate::DirectoryRow`] as JSON).
    DirectoryRow,
    /// The announcement is complete.
    DirectoryEnd,
    /// Relayed from the presence processor: what an agent did (payload: [`AgentFact`] as JSON).
    AgentFact,
    /// Relayed from the conversation processor: what an agent does on the phone (payload:
    /// [`CallFact`] as JSON).
    CallFact,
}

/// What an agent did, as it is relayed into the raw partition of conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentFact {
    /// Employee id.
    pub employee_id: String,
    /// What the agent did.
    pub fact: AgentDeed,
    /// Where; of a switch that the source did not name, `switch` is empty.
    pub dn: String,
    /// Switch of the DN.
    pub switch: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Place of the raw record that tells it, `topic/partition@offset`.
    pub cause: String,
}

/// What an agent can do that conversations need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentDeed {
    /// The agent logged in at the DN.
    Login,
    /// The agent logged out of the DN.
    Logout,
    /// After-call work is over.
    AfterCallWorkEnded,
}

/// What an agent does on the phone, as it is relayed into the raw partition of agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallFact {
    /// Employee id.
    pub employee_id: String,
    /// Kind of the call the agent is in; absent: in none.
    pub call: Option<PhoneCall>,
    /// Since when, milliseconds since 1970.
    pub at_ms: i64,
    /// Place of the raw record that tells it, `topic/partition@offset`.
    pub cause: String,
}

/// Kind of a call, as far as a routing status depends on it (seed 000: "Communicating only if ...
/// on an internal call").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PhoneCall {
    /// Between extensions of the contact centre.
    Internal,
    /// Any other.
    Other,
}

/// The role in which a bridge is a client of a SIP Server (seed 003, "EXCP General Operating
/// Principles": VQ DN events, Extension DN events, call monitoring events), or which source of
/// agent states it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Call monitoring events (`VOICE_SERVER_CALL`).
    Call,
    /// Events of VQ DNs (`VOICE_SERVER_VQ`).
    Vq,
    /// Events of Extension DNs (`VOICE_SERVER_AGENT`).
    Ext,
    /// Events of other DNs, which nobody needs; kept for audit.
    Dn,
    /// Agent states of a Stat Server (seed 003, EXAS).
    Stat,
    /// Agent states of Voice Microservices (seed 004, topic `voice-agentstate`).
    #[serde(rename = "agentstate")]
    AgentState,
    /// Agent states of an Interaction Server (seed 002), of media other than voice; kept for audit.
    Interaction,
}

impl Stream {
    /// The name used in feeds and fixtures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Vq => "vq",
            Self::Ext => "ext",
            Self::Dn => "dn",
            Self::Stat => "stat",
            Self::AgentState => "agentstate",
            Self::Interaction => "interaction",
        }
    }

    /// The stream of that name.
    pub fn find(name: &str) -> Option<Self> {
        [Self::Call, Self::Vq, Self::Ext, Self::Dn, Self::Stat, Self::AgentState, Self::Interaction]
            .into_iter()
            .find(|s| s.name() == name)
    }

    /// Whether it is a role towards a SIP Server, whose events go to `raw.tlib`.
    pub const fn is_switch(self) -> bool {
        match self {
            Self::Call | Self::Vq | Self::Ext | Self::Dn => true,
            Self::Stat | Self::AgentState | Self::Interaction => false,
        }
    }
}

/// One record of a raw topic (DESIGN section 4): the payload untouched, beside a few typed fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawEvent {
    /// What it is.
    pub kind: RawKind,
    /// Routing domain.
    pub domain: String,
    /// The server that told it (for example `sips1`); of a tick or directory row, who wrote it.
    pub source: String,
    /// In which role.
    pub stream: Option<Stream>,
    /// The link it came by: bridge, server pair and role. Two bridges have two links to one server.
    pub link: String,
    /// Start of the server process, seconds since 1970 (TLib attribute 147 `ServerStartTime`).
    pub server_start: Option<i64>,
    /// Number of the event within the server process (TLib attribute 148 `EventSequenceNumber`).
    pub sequence: Option<i64>,
    /// Event name, with its `Event` prefix.
    pub name: Option<String>,
    /// The switch's clock, microseconds since 1970 (`time`: `TimeinSecs`, `TimeinuSecs`).
    pub switch_time_us: Option<i64>,
    /// The bridge's clock when it was received, microseconds since 1970.
    pub received_time_us: i64,
    /// TLib attribute 141.
    pub call_uuid: Option<String>,
    /// TLib attribute 9, lower case, without the `@` suffix of Voice Microservices.
    pub conn_id: Option<String>,
    /// TLib attribute 20.
    pub this_dn: Option<String>,
    /// Of agent states: who, as the source calls the agent; an employee id or a login code.
    pub agent_id: Option<String>,
    /// The source gave no time: `switch_time_us` is the time stamp of the record it came in.
    #[serde(default)]
    pub record_time: bool,
    /// The event as it came, byte for byte; of other kinds, their own data as JSON.
    #[serde(with = "apache_avro::serde::bytes")]
    pub payload: Vec<u8>,
}

impl RawEvent {
    /// A record that is no event, with nothing filled in but its kind, domain and origin.
    pub fn bare(kind: RawKind, domain: &str, source: &str, received_time_us: i64) -> Self {
        Self {
            kind,
            domain: domain.to_owned(),
            source: source.to_owned(),
            stream: None,
            link: String::new(),
            server_start: None,
            sequence: None,
            name: None,
            switch_time_us: None,
            received_time_us,
            call_uuid: None,
            conn_id: None,
            this_dn: None,
            agent_id: None,
            record_time: false,
            payload: Vec::new(),
        }
    }
}
