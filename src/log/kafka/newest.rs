//! What is newest of each key of a compacted topic: one thread reads, another keeps.

use std::collections::HashMap;
use std::mem;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use foldhash::fast::RandomState;
use trunkline_schemas::{Offset, Partition, Record, Stored, Topic};

use super::Inner;
use super::client::unavailable;
use super::noted::is_note;
use super::reader::{Go, Scanned};
use crate::log::{LogError, RESTORE_SAID};

/// Records that are handed over at a time.
const BATCH: usize = 1_024;
/// Batches that may wait to be kept.
const BATCHES_MAX: usize = 4;

/// The newest value of each key that has one, and its offset.
pub(super) type Newest = HashMap<Vec<u8>, (Offset, Vec<u8>), RandomState>;

impl Inner {
    /// Reads a partition from an offset to its end as of now, and tells meanwhile how much is left.
    /// To copy records out of the client takes as long as to keep them: each has a thread.
    pub(super) fn newest(
        &self,
        place: (Topic, Partition),
        (start, end): (Offset, Offset),
        left: &mut dyn FnMut(u64),
    ) -> Result<Newest, LogError> {
        let (batches, read) = sync_channel(BATCHES_MAX);
        let (scanned, newest) = thread::scope(|scope| {
            let reading = scope.spawn(move || self.hand_over(place, (start, end), &batches));
            let mut newest = Newest::default();
            for (count, stored) in (0_u64..).zip(read.into_iter().flatten()) {
                if count.is_multiple_of(RESTORE_SAID) {
                    left(u64::try_from(end - stored.offset).unwrap_or_default());
                }
                let Record { key, value, .. } = stored.record;
                if is_note(place.0, &key) {
                    continue;
                }
                match value {
                    Some(value) => newest.insert(key, (stored.offset, value)),
                    None => newest.remove(&key),
                };
            }
            (reading.join().unwrap_or_else(|panic| resume_unwind(panic)), newest)
        });
        if scanned? == Scanned::OutOfRange {
            let (topic, partition) = place;
            return Err(unavailable(format!("reading {topic}/{partition}"), "it was cut"));
        }
        Ok(newest)
    }

    fn hand_over(
        &self,
        place: (Topic, Partition),
        range: (Offset, Offset),
        batches: &SyncSender<Vec<Stored>>,
    ) -> Result<Scanned, LogError> {
        let mut batch = Vec::with_capacity(BATCH);
        let scanned = self.scan(place, range, &mut |stored| {
            batch.push(stored);
            if batch.len() < BATCH {
                return Go::On;
            }
            let full = mem::replace(&mut batch, Vec::with_capacity(BATCH));
            // Nobody keeps them any more only where the keeper has failed.
            if batches.send(full).is_ok() { Go::On } else { Go::Stop }
        })?;
        let _ = batches.send(batch);
        Ok(scanned)
    }
}
