//! What waits to be written in one go.

use trunkline_schemas::{RawEvent, Record};

/// Most records of a batch that come from lines.
pub const BATCH_LINES_MAX: usize = 1_000;
/// A batch of so many bytes takes no further line.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// One thing a bridge has to write.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events; no box for it")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawOut {
    /// For the raw topic.
    Raw(RawEvent),
    /// For `dead.ingest`.
    Dead(Record),
    /// For the bridge's state: where this link resumes once the batch is durable.
    Position {
        /// The link.
        link: String,
        /// Start of the server process, seconds since 1970.
        server_start: i64,
        /// Number of the last event of the batch.
        sequence: i64,
    },
}

/// Collects until it is taken.
#[derive(Debug, Default)]
pub(super) struct Batch {
    outs: Vec<RawOut>,
    bytes: usize,
    position: Option<(i64, i64)>,
}

impl Batch {
    pub(super) fn has_room(&self) -> bool {
        self.outs.len() < BATCH_LINES_MAX && self.bytes < BATCH_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outs.is_empty()
    }

    pub(super) fn push(&mut self, event: RawEvent) {
        self.bytes += event.payload.len();
        self.outs.push(RawOut::Raw(event));
    }

    pub(super) fn push_dead(&mut self, letter: Record) {
        self.bytes += letter.size_bytes();
        self.outs.push(RawOut::Dead(letter));
    }

    pub(super) fn set_position(&mut self, position: (i64, i64)) {
        self.position = Some(position);
    }

    /// All that was collected, the position last.
    pub(super) fn take(&mut self, link: &str) -> Vec<RawOut> {
        let Self { mut outs, position, .. } = std::mem::take(self);
        if let Some((server_start, sequence)) = position {
            outs.push(RawOut::Position { link: link.to_owned(), server_start, sequence });
        }
        outs
    }
}
