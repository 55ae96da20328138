//! `[traces]`: where the hops of calls are told.

use serde::Serialize;

use super::checks;
use super::reader::Reader;

/// An OpenTelemetry collector. Without the section, nothing is traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// Its base address for OTLP over HTTP, without a slash at its end.
    pub endpoint: String,
    /// One call in so many is traced, at least 1.
    pub one_call_in: u64,
}

/// Reads the section.
pub(super) fn traces(mut section: Reader<'_>) -> Option<Traces> {
    let endpoint = section.text("endpoint").check(checks::any_url).required();
    let one_call_in = section.whole("one_call_in", 1..=1_000_000).or(100);
    section.finish();
    Some(Traces { endpoint: endpoint?, one_call_in: one_call_in? })
}
