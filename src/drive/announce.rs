//! Announces the directory into the raw partition of a domain (DESIGN law 2): a processor knows
//! only what came through its partition. A directory that was announced already is not announced
//! again.
//!
//! It may be announced while events flow, and by several processes at once: start and end bear its
//! fingerprint, by which a processor tells one announcement from another.

use serde::{Deserialize, Serialize};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::topics::RAW_TLIB;
use trunkline_schemas::{Offset, Partition, RawEvent, RawKind, Topic};

use super::bridge::{raw_output, read_state, state_output};
use super::{Shell, TaskError};
use crate::clock;

/// Rows of one append.
const ROWS_MAX: usize = 500;

/// What `state.bridge` keeps of the announcements into a partition, written with the last of them.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Announced {
    /// What was announced last.
    fingerprint: String,
    /// Where the first announcement is; records of the raw topic may stand before it, which came
    /// when there was no directory yet.
    pub(super) first: Offset,
}

impl Announced {
    /// Reads it; nothing if it is unreadable.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// Key of [`Announced`] in `state.bridge`.
pub(super) fn mark_key(domain: &str, topic: Topic) -> String {
    if topic == RAW_TLIB {
        format!("directory/{domain}")
    } else {
        format!("directory/{domain}/{topic}")
    }
}

/// Whether the processor of conversations of a domain was told a directory.
pub(super) fn is_announced(shell: &Shell, domain: &str) -> Result<bool, TaskError> {
    Ok(read_state(shell.log.as_ref(), &mark_key(domain, RAW_TLIB))?.is_some())
}

/// Announces the directory of a domain in a raw topic, unless its partition holds it already.
/// Bridges may connect when this returns.
///
/// # Errors
/// The log cannot be read or written.
pub fn announce(
    shell: &Shell,
    domain: &str,
    (topic, partition): (Topic, Partition),
    directory: &DirectoryFile,
) -> Result<(), TaskError> {
    let rows: Vec<Vec<u8>> = directory
        .rows()
        .iter()
        .map(|row| serde_json::to_vec(row).map_err(|e| TaskError::State(e.to_string())))
        .collect::<Result<_, _>>()?;
    let key = mark_key(domain, topic);
    let known = read_state(shell.log.as_ref(), &key)?.and_then(|body| Announced::read(&body));
    let fingerprint = fingerprint(&rows);
    let first = match known {
        Some(known) if known.fingerprint == fingerprint => return Ok(()),
        Some(known) => known.first,
        None => shell.log.bounds(topic, partition)?.end,
    };
    let name = serde_json::json!({ "fingerprint": fingerprint }).to_string().into_bytes();
    let mark = serde_json::json!(Announced { fingerprint, first });
    let bare = |kind, payload: Vec<u8>| {
        let event = RawEvent::bare(kind, domain, "directory", clock::now_us());
        raw_output(topic, &RawEvent { payload, ..event }, partition)
            .map_err(|e| TaskError::State(e.to_string()))
    };
    let mut records = vec![bare(RawKind::DirectoryStart, name.clone())?];
    let count = rows.len();
    for row in rows {
        records.push(bare(RawKind::DirectoryRow, row)?);
    }
    records.push(bare(RawKind::DirectoryEnd, name)?);
    records.push(state_output(&key, &mark).map_err(|e| TaskError::State(e.to_string()))?);
    let mut appender = shell.log.appender()?;
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        appender.append(records.by_ref().take(ROWS_MAX).collect())?;
    }
    tracing::info!(domain, %topic, rows = count, "directory announced");
    Ok(())
}

fn fingerprint(rows: &[Vec<u8>]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    let mut hash = Sha256::new();
    for row in rows {
        hash.update((row.len() as u64).to_be_bytes());
        hash.update(row);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
