//! What became of a command, or why a call was left out: facts for `outcome.*`.

use serde::{Deserialize, Serialize};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeStatus {
    /// Genesys Cloud accepted the event.
    Accepted,
    /// An earlier attempt had no answer and the resend was refused: counted as applied.
    AssumedApplied,
    /// Genesys Cloud refused it for good.
    Refused,
    /// Not sent, because an earlier structural event of the conversation was refused.
    Gated,
    /// The call, or a party of it, is left out as the specification says.
    LeftOut,
    /// The conversation is in Monitoring Suspension (seed 003, EXCP).
    Suspended,
}

/// One outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What became of it.
    pub status: OutcomeStatus,
    /// The conversation it concerns; also the key of the record.
    pub conversation_id: String,
    /// Root CallUUID.
    pub call_uuid: String,
    /// Routing domain.
    pub domain: String,
    /// The event, unless it is about a whole call.
    pub event_id: Option<String>,
    /// Its place in the conversation.
    pub seq: Option<i64>,
    /// Its array of the batch.
    pub event: Option<String>,
    /// A code from a closed list.
    pub code: Option<String>,
    /// What Genesys Cloud said, or what is known besides.
    pub reason: Option<String>,
    /// How often it was sent.
    pub attempts: i32,
    /// When, milliseconds since 1970: of an answer, the sink's clock; of a call left out, stream
    /// time.
    pub at_ms: i64,
}
