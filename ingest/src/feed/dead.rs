//! Lines that cannot be read, as records of `dead.ingest`.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use trunkline_schemas::Record;
use trunkline_schemas::time::iso_millis;

use super::line::{LineContext, LineError};
use super::lines::LongLine;

/// What is kept of a line that is too long for a record.
pub const DEAD_HEAD_BYTES: usize = 64 << 10;
/// Longest line that is kept whole: a record takes 1 MiB at most, headers included.
pub const DEAD_WHOLE_BYTES_MAX: usize = (1 << 20) - (8 << 10);

/// The dead letter of a line: its bytes untouched, and in the headers why, whence and when. The key
/// is the link. Of a line too long for a record the first 64 KiB are kept, with its length and
/// SHA-256 in `dead-length` and `dead-sha256`.
pub fn dead_letter(line: &[u8], error: &LineError, ctx: &LineContext<'_>) -> Record {
    dead_letter_of(line, error, ctx.link, &place(ctx), ctx.received_time_us)
}

/// The same of any bytes: `key` is the link, `source` says where they stood.
pub fn dead_letter_of(
    bytes: &[u8],
    error: &LineError,
    key: &str,
    source: &str,
    received_time_us: i64,
) -> Record {
    let is_long = bytes.len() > DEAD_WHOLE_BYTES_MAX;
    let kept = if is_long { &bytes[..DEAD_HEAD_BYTES] } else { bytes };
    let record = letter(kept.to_vec(), error, key, source, received_time_us);
    if is_long {
        return with_digest(record, bytes.len() as u64, &Sha256::digest(bytes).into());
    }
    record
}

/// The dead letter of a line of which only its head was kept.
pub fn dead_letter_long(line: &LongLine, ctx: &LineContext<'_>) -> Record {
    let error = LineError::too_long(line.length);
    let record = letter(line.head.clone(), &error, ctx.link, &place(ctx), ctx.received_time_us);
    with_digest(record, line.length, &line.sha256)
}

fn place(ctx: &LineContext<'_>) -> String {
    format!("{} line {} byte {}", ctx.link, ctx.place.line, ctx.place.byte)
}

fn letter(
    value: Vec<u8>,
    error: &LineError,
    key: &str,
    source: &str,
    received_time_us: i64,
) -> Record {
    Record::new(key, value)
        .with_header("dead-stage", "ingest")
        .with_header("dead-code", error.code.name())
        .with_header("dead-why", error.why.as_str())
        .with_header("dead-source", source)
        .with_header("dead-at", iso_millis(received_time_us.div_euclid(1_000)))
        .with_header("dead-attempts", "1")
        .with_header("dead-version", env!("CARGO_PKG_VERSION"))
}

fn with_digest(record: Record, length: u64, sha256: &[u8; 32]) -> Record {
    let mut hex = String::with_capacity(64);
    for byte in sha256 {
        write!(hex, "{byte:02x}").expect("a string takes what is written to it");
    }
    record.with_header("dead-length", length.to_string()).with_header("dead-sha256", hex)
}
