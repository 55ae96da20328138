//! What the organisation was sent, what it answered, and the sums of both.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{Invariant, Violation};

/// How many requests the ledger keeps; beyond it the oldest are forgotten. Sums forget nothing.
pub(super) const REQUESTS_KEPT_MAX: usize = 200_000;

/// How many events the ledger keeps.
pub(super) const EVENTS_KEPT_MAX: usize = 1_000_000;

/// How many violations keep their text.
pub(super) const VIOLATIONS_KEPT_MAX: usize = 10_000;

/// One request, as it came and as it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// Its number, from 1, over all requests but those to `/sim`.
    pub number: u64,
    /// When it came, in milliseconds since the start of the simulator.
    pub at_ms: u64,
    /// HTTP method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Size of the body.
    pub bytes: usize,
    /// HTTP status; nothing if the connection was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Code of the error body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How many events were processed.
    pub events: usize,
    /// How many of them were answered in `errors[]`.
    pub errors: usize,
    /// The faults that took effect, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventOutcome {
    /// Applied.
    Accepted,
    /// Ignored, because it was applied before.
    Duplicate,
    /// Named in `errors[]` with `retryable: false`.
    Refused,
    /// Named in `errors[]` with `retryable: true`.
    Retryable,
}

/// One event of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Number of the request.
    pub request: u64,
    /// The array it stood in.
    pub array: String,
    /// What became of it.
    pub outcome: EventOutcome,
    /// Whether an event with this id had been applied before.
    pub repeat: bool,
    /// Whether an earlier event with this id read otherwise.
    pub differs: bool,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The event.
    pub body: Value,
}

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Conversations, ended or not.
    pub conversations: u64,
    /// Conversations with an open leg.
    pub open: u64,
    /// Events applied.
    pub events: u64,
    /// Events answered with `retryable: false`.
    pub refused: u64,
    /// Events whose id had been applied before.
    pub duplicates: u64,
    /// Events applied whose time does not increase within their conversation.
    pub out_of_order: u64,
    /// Breaches of the invariants, by letter.
    pub violations: BTreeMap<Invariant, u64>,
    /// Requests to the events endpoint, however they were answered.
    pub requests: u64,
    /// Of these, those answered 429.
    pub throttled: u64,
    /// Events a processed request carried, on average, to two digits.
    pub events_per_request: f64,
    /// Repeats that read otherwise than the event they repeat.
    pub repeats_differing: u64,
    /// Events answered with `retryable: true`.
    pub retryable: u64,
    /// How often each scripted fault took effect.
    pub faults: BTreeMap<String, u64>,
}

/// The ledger.
#[derive(Default)]
pub(super) struct Ledger {
    numbered: u64,
    /// Sums that need nothing else to be known; the rest of it stays zero.
    sums: Summary,
    processed_requests: u64,
    processed_events: u64,
    requests: VecDeque<RequestRecord>,
    events: VecDeque<EventRecord>,
    violations: VecDeque<Violation>,
    forgotten: u64,
}

impl Ledger {
    /// The number of the next request.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// Enters a request to the events endpoint into the sums.
    pub(super) fn count_events_request(&mut self, record: &RequestRecord) {
        self.sums.requests += 1;
        self.sums.throttled += u64::from(record.status == Some(429));
        self.processed_requests += u64::from(record.events > 0);
        self.processed_events += record.events as u64;
    }

    pub(super) fn enter_request(&mut self, record: RequestRecord) {
        self.forgotten += keep(&mut self.requests, record, REQUESTS_KEPT_MAX);
    }

    pub(super) fn enter_event(&mut self, record: EventRecord, out_of_order: bool) {
        match record.outcome {
            EventOutcome::Accepted => self.sums.events += 1,
            EventOutcome::Refused => self.sums.refused += 1,
            EventOutcome::Retryable => self.sums.retryable += 1,
            EventOutcome::Duplicate => {}
        }
        self.sums.duplicates += u64::from(record.repeat);
        self.sums.repeats_differing += u64::from(record.differs);
        self.sums.out_of_order += u64::from(out_of_order);
        self.forgotten += keep(&mut self.events, record, EVENTS_KEPT_MAX);
    }

    pub(super) fn enter_violation(&mut self, violation: Violation) {
        *self.sums.violations.entry(violation.invariant).or_default() += 1;
        self.forgotten += keep(&mut self.violations, violation, VIOLATIONS_KEPT_MAX);
    }

    /// The sums, with what is known of whole conversations.
    pub(super) fn summary(
        &self,
        (conversations, open): (u64, u64),
        lasting: &[Violation],
        faults: BTreeMap<String, u64>,
    ) -> Summary {
        let mut summary = Summary { conversations, open, faults, ..self.sums.clone() };
        for violation in lasting {
            *summary.violations.entry(violation.invariant).or_default() += 1;
        }
        if self.processed_requests > 0 {
            let mean = self.processed_events as f64 / self.processed_requests as f64;
            summary.events_per_request = (mean * 100.0).round() / 100.0;
        }
        summary
    }

    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.requests.iter().cloned().collect()
    }

    pub(super) fn events(&self) -> Vec<EventRecord> {
        self.events.iter().cloned().collect()
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        self.violations.iter().cloned().collect()
    }

    /// How many requests, events and violations are no longer kept.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Adds to a list of limited length; returns how many had to go.
fn keep<T>(list: &mut VecDeque<T>, item: T, limit: usize) -> u64 {
    list.push_back(item);
    let excess = list.len().saturating_sub(limit);
    list.drain(..excess);
    excess as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_its_members_in_their_order() {
        let text = serde_json::to_string(&Summary::default()).expect("a summary is JSON");
        assert_eq!(
            text,
            r#"{"conversations":0,"open":0,"events":0,"refused":0,"duplicates":0,"#.to_owned()
                + r#""out_of_order":0,"violations":{},"requests":0,"throttled":0,"#
                + r#""events_per_request":0.0,"repeats_differing":0,"retryable":0,"faults":{}}"#
        );
    }

    #[test]
    fn lists_keep_the_newest() {
        let mut list = VecDeque::new();
        let gone: u64 = (0..5).map(|item| keep(&mut list, item, 3)).sum();
        assert_eq!((list.into_iter().collect::<Vec<_>>(), gone), (vec![2, 3, 4], 2));
    }
}
