//! What the sink is told and tells: limits, counters, steps, backlog.

use trunkline_schemas::{Offset, Record, Topic};

/// The limits and lifetimes of the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Events in one request; GC takes 100 (`max.batch.size.surpassed`).
    pub max_events_per_request: usize,
    /// Events of one key in one request. A restart must find the value it had before, or a greater
    /// one: it says how many events may have been on the wire.
    pub per_key: usize,
    /// Requests in flight, over disjoint keys.
    pub max_waves_in_flight: usize,
    /// How often an event is sent that GC calls retryable, or that alone stays without an answer.
    pub max_attempts: u32,
    /// How long the state of a key that is over is kept, milliseconds of append time.
    pub gravestone_ms: i64,
    /// How long the state of a key that is never over is kept, milliseconds of append time.
    pub abandoned_ms: i64,
    /// How long the sink waits before it adds an event of its own (the end of a party left alone),
    /// milliseconds of its clock.
    pub grace_ms: i64,
    /// Commands that may wait in memory.
    pub max_waiting: usize,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            max_events_per_request: 100,
            per_key: 1,
            max_waves_in_flight: 4,
            max_attempts: 20,
            gravestone_ms: 3_600_000,
            abandoned_ms: 7 * 86_400_000,
            grace_ms: 2_000,
            max_waiting: 10_000,
        }
    }
}

/// What has happened since the sink was made; only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events GC accepted.
    pub accepted: u64,
    /// Events GC refused for good, or that ran out of attempts.
    pub refused: u64,
    /// Events not sent because the gate of their key was closed.
    pub gated: u64,
    /// Resends refused after an attempt without an answer, counted as applied.
    pub assumed_applied: u64,
    /// Commands skipped because GC had accepted their event id before.
    pub duplicates: u64,
    /// Records skipped because they were done with before a restart.
    pub already_done: u64,
    /// Events sent again.
    pub retries: u64,
    /// Dead letters.
    pub dead: u64,
    /// Errors GC reported for events that were not in the request.
    pub unknown_errors: u64,
    /// Events the sink itself made: the end of a party left alone.
    pub own_events: u64,
    /// Holes in the numbering of a key.
    pub seq_gaps: u64,
    /// Requests given out.
    pub waves: u64,
    /// Keys whose state was forgotten although they were not over.
    pub abandoned: u64,
}

/// One atomic step: to be committed before anything else is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkStep {
    /// Outcomes and dead letters with their topics.
    pub outputs: Vec<(Topic, Record)>,
    /// Changed state by key, as JSON; `None` forgets it.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Offset of the oldest input record not done with.
    pub next: Offset,
}

/// What waits, for health and lag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Commands not done with.
    pub waiting: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Append time of the oldest command not done with, milliseconds since 1970.
    pub oldest_append_ms: Option<i64>,
    /// Why GC lets nobody in (log-in or permission), if so.
    pub blocked: Option<String>,
}
