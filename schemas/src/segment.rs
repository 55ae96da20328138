//! One leg of a conversation from its beginning to its end, for recordings and audit.

use serde::{Deserialize, Serialize};

/// What kind of party a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LegKind {
    /// The customer.
    External,
    /// An IVR.
    Ivr,
    /// A queue.
    Routing,
    /// An agent.
    User,
    /// Another phone.
    Phone,
}

/// A leg that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// GC conversation.
    pub conversation_id: String,
    /// GC communication.
    pub communication_id: String,
    /// Root CallUUID; also the key of the record.
    pub call_uuid: String,
    /// Routing domain.
    pub domain: String,
    /// What kind of party.
    pub kind: LegKind,
    /// Its DN or VQ.
    pub dn: Option<String>,
    /// The agent's employee id.
    pub employee_id: Option<String>,
    /// GC user.
    pub user_id: Option<String>,
    /// GC queue.
    pub queue_id: Option<String>,
    /// Beginning, milliseconds since 1970.
    pub start_ms: i64,
    /// Answer, milliseconds since 1970.
    pub answered_ms: Option<i64>,
    /// End, milliseconds since 1970.
    pub end_ms: i64,
    /// How it ended.
    pub disconnect: Option<String>,
}
