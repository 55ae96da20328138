//! What is written down of an event that is done with: its outcome and, where it was not applied,
//! the dead letter.

use trunkline_schemas::time::iso_millis;
use trunkline_schemas::{
    ConversationCommand, Outcome, OutcomeStatus, Record, Stored, Topic, codec, topics,
};

use super::STAGE;

/// The longest text of Genesys Cloud that is kept, characters.
pub const MAX_WHY_CHARS: usize = 500;

/// Code of a dead letter or outcome: the gate was closed.
pub const CODE_GATED: &str = "gated";
/// Code: the record could not be decoded.
pub const CODE_UNDECODABLE: &str = "undecodable";
/// Code: Genesys Cloud refused the event for good.
pub const CODE_REFUSED: &str = "refused";
/// Code: Genesys Cloud called its error retryable until the attempts ran out.
pub const CODE_RETRIES_EXHAUSTED: &str = "retries_exhausted";
/// Code: requests with this event stay without an answer while others are answered.
pub const CODE_UNANSWERED: &str = "unanswered";
/// Code: the request is over the size limit although it holds this event alone.
pub const CODE_TOO_LARGE: &str = "request_too_large";
/// Code: a resend was refused after an attempt whose answer never came.
pub const CODE_ASSUMED_APPLIED: &str = "assumed_applied";

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Accepted.
    Applied,
    /// Refused after an attempt of unknown outcome.
    Assumed { why: String },
    /// Refused for good.
    Refused { code: &'static str, why: String },
    /// Not sent: the gate is closed.
    Gated,
    /// Not sent: accepted before.
    Duplicate,
    /// Not sent: nobody can read it.
    Undecodable { why: String },
}

/// An event that is done with.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) key: String,
    pub(super) command: Option<ConversationCommand>,
    /// Its record; the sink's own events have none.
    pub(super) stored: Option<Stored>,
    pub(super) attempts: i32,
    pub(super) end: End,
}

impl Finished {
    /// Its records, dated by the sink's clock.
    pub(super) fn records(self, now_ms: i64) -> Vec<(Topic, Record)> {
        let mut records = Vec::new();
        if let Some(outcome) = self.outcome(now_ms) {
            let record = codec::record(self.key.as_bytes(), &outcome)
                .expect("an outcome fits its built-in schema");
            records.push((topics::OUTCOME_CONVERSATION, record));
        }
        if let Some((code, why)) = self.cause_of_death() {
            records.push((topics::DEAD_CONVERSATION_SINK, self.dead_letter(code, &why, now_ms)));
        }
        records
    }

    /// Code and reason, if the event was not applied.
    pub(super) fn cause_of_death(&self) -> Option<(&'static str, String)> {
        match &self.end {
            End::Applied | End::Assumed { .. } | End::Duplicate => None,
            End::Refused { code, why } => Some((code, why.clone())),
            End::Gated => {
                Some((CODE_GATED, "an earlier event of the conversation was refused".into()))
            }
            End::Undecodable { why } => Some((CODE_UNDECODABLE, why.clone())),
        }
    }

    fn outcome(&self, now_ms: i64) -> Option<Outcome> {
        let (status, code, reason) = match &self.end {
            End::Duplicate | End::Undecodable { .. } => return None,
            End::Applied => (OutcomeStatus::Accepted, None, None),
            End::Assumed { why } => {
                (OutcomeStatus::AssumedApplied, Some(CODE_ASSUMED_APPLIED), Some(why.clone()))
            }
            End::Refused { code, why } => (OutcomeStatus::Refused, Some(*code), Some(why.clone())),
            End::Gated => (OutcomeStatus::Gated, Some(CODE_GATED), None),
        };
        let command = self.command.as_ref()?;
        Some(Outcome {
            status,
            conversation_id: command.conversation_id.clone(),
            call_uuid: command.call_uuid.clone(),
            domain: command.domain.clone(),
            event_id: Some(command.event_id.clone()),
            seq: self.stored.is_some().then_some(command.seq),
            event: Some(command.event.array().to_owned()),
            code: code.map(str::to_owned),
            reason: reason.map(|r| short(&r)),
            attempts: self.attempts,
            at_ms: now_ms,
        })
    }

    /// The original record, untouched, and where it died of what (DESIGN law 7).
    fn dead_letter(self, code: &str, why: &str, now_ms: i64) -> Record {
        let source = self.stored.as_ref().map_or_else(|| STAGE.to_owned(), Stored::place);
        let record = match (self.stored, &self.command) {
            (Some(stored), _) => stored.record,
            (None, Some(command)) => codec::record(self.key.as_bytes(), command)
                .expect("a command fits its built-in schema"),
            (None, None) => Record::tombstone(self.key.as_bytes()),
        };
        record
            .with_header("dead-stage", STAGE)
            .with_header("dead-code", code)
            .with_header("dead-why", short(why))
            .with_header("dead-source", source)
            .with_header("dead-at", iso_millis(now_ms))
            .with_header("dead-attempts", self.attempts.to_string())
    }
}

fn short(text: &str) -> String {
    text.chars().take(MAX_WHY_CHARS).collect()
}
