//! What every sink remembers of a key.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use trunkline_schemas::Offset;

/// The durable state of one key, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory<K> {
    /// What this sink knows besides.
    #[serde(flatten)]
    pub known: K,
    /// The greatest `seq` that is done with.
    pub seq: i64,
    /// All records of the key up to this offset are done with.
    pub offset: Option<Offset>,
    /// Records beyond `offset` that are done with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ahead: BTreeSet<Offset>,
    /// Event ids that GC accepted, oldest first.
    pub accepted: Vec<String>,
    /// Append time of the last record done with, milliseconds since 1970.
    pub append_ms: i64,
}

impl<K> Memory<K> {
    /// Whether the record at this offset was done with, perhaps before a restart.
    pub fn has_done(&self, offset: Offset) -> bool {
        Some(offset) <= self.offset || self.ahead.contains(&offset)
    }

    /// Whether GC accepted the event.
    pub fn has_accepted(&self, event_id: &str) -> bool {
        self.accepted.iter().any(|id| id == event_id)
    }

    /// The newest record that is done with.
    pub fn last_done(&self) -> Option<Offset> {
        self.ahead.last().copied().max(self.offset)
    }

    /// GC has the event; so many ids are kept at most.
    pub fn accept(&mut self, event_id: &str, most: usize) {
        if self.accepted.len() >= most {
            self.accepted.remove(0);
        }
        self.accepted.push(event_id.to_owned());
    }

    /// The record at this offset is done with. `open_from` is the oldest record of the key that may
    /// not be: the first that waits, or the first that has not been read. (After a restart records
    /// are done with that have not been read again.)
    pub fn done(&mut self, offset: Offset, append_ms: i64, open_from: Offset) {
        self.ahead.insert(offset);
        let beyond = self.ahead.split_off(&open_from);
        self.offset = self.offset.max(self.ahead.last().copied());
        self.ahead = beyond;
        self.append_ms = self.append_ms.max(append_ms);
    }
}
