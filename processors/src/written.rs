//! What every processor reads and writes alike.

use serde::Serialize;
use trunkline_schemas::codec::{self, CodecError};
use trunkline_schemas::time::iso_millis;
use trunkline_schemas::{RawEvent, Record, Stored};

/// The raw event in a record.
///
/// # Errors
/// What is there instead, in words.
pub(crate) fn raw_event(stored: &Stored) -> Result<RawEvent, String> {
    let value = stored.record.value.as_deref().ok_or("a raw record without a value")?;
    codec::decode(value).map_err(|e| e.to_string())
}

/// The original record, untouched, with what happened to it: dead letters name their place.
pub(crate) fn dead_letter(stage: &str, stored: &Stored, code: &str, why: &str) -> Record {
    stored
        .record
        .clone()
        .with_header("dead-stage", stage)
        .with_header("dead-code", code)
        .with_header("dead-why", why)
        .with_header("dead-source", stored.place())
        .with_header("dead-at", iso_millis(stored.append_time_ms))
        .with_header("dead-attempts", "1")
}

/// A record of a value of our own.
pub(crate) fn encoded<T: codec::Schemed>(key: &str, value: &T) -> Record {
    codec::record(key, value).unwrap_or_else(|e| unreachable_codec(&e))
}

/// A part of the state as its topic keeps it.
pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("state has string keys and finite numbers only")
}

/// Our own values always fit their schemas.
pub(crate) fn unreachable_codec(e: &CodecError) -> ! {
    panic!("a value of our own does not fit its schema: {e}")
}
