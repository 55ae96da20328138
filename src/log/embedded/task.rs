//! The handles of the embedded log: a writer for bridges and the owner of a task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use trunkline_schemas::{Offset, Output, Record, Stored};

use super::digest::{DigestSet, Digests};
use super::frame::{self, Place};
use super::writer::Job;
use super::{Inner, Owner, lock};
use crate::log::{Appender, LogError, RESTORE_SAID, Step, Task, TaskSpec};

/// Parts of the state that may be read ahead of who restores it.
const RESTORE_AHEAD: usize = 4;

/// Writes records that belong to no task.
pub(super) struct Writer {
    inner: Arc<Inner>,
    generation: u64,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, generation: u64) -> Self {
        Self { inner, generation }
    }
}

impl Appender for Writer {
    fn append(&mut self, records: Vec<Output>) -> Result<Vec<Offset>, LogError> {
        let packed = frame::pack(&records)?;
        let mut next = self.inner.submit(self.generation, Job::Append(packed))?.bases;
        let places = records.iter().map(|output| (output.topic, output.partition));
        Ok(places.filter_map(|place| advance(&mut next, place)).collect())
    }
}

/// The offset of the next record of that place. Frames hold the records in the given order.
fn advance(next: &mut BTreeMap<Place, Offset>, place: Place) -> Option<Offset> {
    let offset = next.get_mut(&place)?;
    *offset += 1;
    Some(*offset - 1)
}

/// The owner of a task.
pub(super) struct Owned {
    inner: Arc<Inner>,
    generation: u64,
    spec: TaskSpec,
    owner: Owner,
    read_to: Offset,
}

impl Owned {
    pub(super) fn new(inner: Arc<Inner>, generation: u64, spec: TaskSpec, owner: Owner) -> Self {
        Self { inner, generation, spec, owner, read_to: owner.position }
    }

    /// A step's records: its outputs, and its changed state as records of the state topic.
    fn records(&self, step: &mut Step) -> Vec<Output> {
        let mut records = std::mem::take(&mut step.outputs);
        let (topic, partition) = (self.spec.state, self.spec.partition);
        records.extend(step.state.drain(..).map(|(key, value)| Output {
            topic,
            partition,
            record: Record { key, value, headers: Vec::new() },
        }));
        records
    }
}

/// Some keys of the state and their newest values.
struct Found {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Records read so far.
    read: u64,
}

/// Reads the newest value of each key, while whoever takes them restores others: this costs about
/// as much as that.
fn newest(
    inner: &Inner,
    generation: u64,
    place: Place,
    found: &SyncSender<Found>,
) -> Result<(), LogError> {
    // Hundreds of thousands of keys, most of them those of conversations that are over.
    let (mut seen, digests) = (DigestSet::default(), Digests::new());
    let (mut rows, mut read) = (Vec::new(), 0);
    inner.backwards(generation, place, &mut |record| {
        read += 1;
        let is_newest = seen.insert(digests.of(record.key));
        if let Some(value) = record.value.filter(|_| is_newest) {
            rows.push((record.key.to_vec(), value.to_vec()));
        }
        if read % RESTORE_SAID == 0 {
            // Where nobody takes them any more, a panic is on its way up.
            let _ = found.send(Found { rows: std::mem::take(&mut rows), read });
        }
    })?;
    let _ = found.send(Found { rows, read });
    Ok(())
}

impl Task for Owned {
    fn position(&self) -> Offset {
        self.owner.position
    }

    fn restore(
        &mut self,
        each: &mut dyn FnMut(Vec<u8>, Vec<u8>),
        left: &mut dyn FnMut(u64),
    ) -> Result<u64, LogError> {
        let place = (self.spec.state, self.spec.partition);
        let head = lock(&self.inner.heads).checked(Some(self.generation), place)?;
        let all = u64::try_from(head.end - head.start).unwrap_or_default();
        left(all);
        let (found, taken) = sync_channel(RESTORE_AHEAD);
        let mut given = 0;
        std::thread::scope(|scope| {
            let (inner, generation) = (&self.inner, self.generation);
            let reader = scope.spawn(move || newest(inner, generation, place, &found));
            for Found { rows, read } in taken {
                // What was compacted away is in the bounds and not read.
                left(all.saturating_sub(read));
                given += rows.len() as u64;
                for (key, value) in rows {
                    each(key, value);
                }
            }
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        left(0);
        Ok(given)
    }

    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Stored>, LogError> {
        let place = (self.spec.input, self.spec.partition);
        self.inner.wait_beyond(self.generation, place, self.read_to, wait);
        let records = self.inner.read(Some(self.generation), place, self.read_to, max)?;
        if let Some(last) = records.last() {
            self.read_to = last.offset + 1;
        }
        Ok(records)
    }

    fn commit(&mut self, mut step: Step) -> Result<(), LogError> {
        let packed = frame::pack(&self.records(&mut step))?;
        let (task, epoch) = (self.spec.id(), self.owner.epoch);
        let job = Job::Step { task, epoch, packed, next: step.next };
        self.owner = self.inner.submit(self.generation, job)?.owner;
        // A step may leave out input that is gone; reading goes on behind it.
        self.read_to = self.read_to.max(step.next);
        Ok(())
    }
}
