//! What is written down of an event that is done with: its outcome and, where it was not applied,
//! the dead letter.

use trunkline_schemas::codec::Schemed;
use trunkline_schemas::record::TRACE_HEADER;
use trunkline_schemas::time::iso_millis;
use trunkline_schemas::{OutcomeStatus, Record, Stored, Topic, codec};

use super::rules::{Fate, Rules};

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
pub(super) struct Finished<C> {
    pub(super) key: String,
    pub(super) command: Option<C>,
    /// Its record; the sink's own events have none.
    pub(super) stored: Option<Stored>,
    pub(super) attempts: i32,
    pub(super) end: End,
}

impl<C: Schemed> Finished<C> {
    /// Its records, dated by the sink's clock.
    pub(super) fn records<R: Rules<Command = C>>(self, now_ms: i64) -> Vec<(Topic, Record)> {
        let mut records = Vec::new();
        if let (Some(command), Some(fate)) = (&self.command, self.fate(now_ms)) {
            let mut outcome = R::outcome(command, fate);
            let trace = self.stored.as_ref().and_then(|s| s.record.header(TRACE_HEADER));
            if let Some(trace) = trace {
                outcome.set_header(TRACE_HEADER, trace);
            }
            records.push((R::OUTCOME, outcome));
        }
        if let Some((code, why)) = self.cause_of_death() {
            records.push((R::DEAD, self.dead_letter::<R>(code, &why, now_ms)));
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

    fn fate(&self, at_ms: i64) -> Option<Fate> {
        let (status, code, reason) = match &self.end {
            End::Duplicate | End::Undecodable { .. } => return None,
            End::Applied => (OutcomeStatus::Accepted, None, None),
            End::Assumed { why } => {
                (OutcomeStatus::AssumedApplied, Some(CODE_ASSUMED_APPLIED), Some(why))
            }
            End::Refused { code, why } => (OutcomeStatus::Refused, Some(*code), Some(why)),
            End::Gated => (OutcomeStatus::Gated, Some(CODE_GATED), None),
        };
        let (reason, attempts) = (reason.map(|why| short(why)), self.attempts);
        Some(Fate { status, code, reason, attempts, at_ms, is_own: self.stored.is_none() })
    }

    /// The original record, untouched, and where it died of what (DESIGN law 7).
    fn dead_letter<R: Rules<Command = C>>(self, code: &str, why: &str, now_ms: i64) -> Record {
        let source = self.stored.as_ref().map_or_else(|| R::STAGE.to_owned(), Stored::place);
        let record = match (self.stored, &self.command) {
            (Some(stored), _) => stored.record,
            (None, Some(command)) => codec::record(self.key.as_bytes(), command)
                .expect("a command fits its built-in schema"),
            (None, None) => Record::tombstone(self.key.as_bytes()),
        };
        record
            .with_header("dead-stage", R::STAGE)
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
