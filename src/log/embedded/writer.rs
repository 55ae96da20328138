//! Group commit: whoever comes first writes for all who wait, with one sync for the group.
//!
//! | the queue | a caller |
//! |---|---|
//! | nobody writes | takes what waits (its own job among it), writes, hands out the results |
//! | somebody writes | waits; its job is in the next group |
//!
//! So there is one writer at a time, which is what makes epochs, offsets and times simple.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex};

use trunkline_schemas::Offset;
use trunkline_schemas::topics::Policy;

use super::frame::{Packed, Place};
use super::store::Store;
use super::{Head, Heads, Inner, Owner, lock, read, unknown};
use crate::log::LogError;

/// Jobs written together at most. Every waiting thread has one job, so this is no limit on them.
const GROUP_JOBS: usize = 64;

/// What is to be written.
pub(super) enum Job {
    /// Records of no task.
    Append(Packed),
    /// A step of a task by the owner of that epoch.
    Step { task: String, epoch: u64, packed: Packed, next: Offset },
    /// A new owner of a task.
    Own { task: String },
    /// Frames in place of others of the same partition, see `compaction`.
    Replace { place: Place, removed: Vec<Offset>, frames: Vec<(Offset, Vec<u8>)> },
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// Offset of the first record of each place.
    pub(super) bases: BTreeMap<Place, Offset>,
    /// The task's owner after it; meaningless for an append.
    pub(super) owner: Owner,
}

type Outcome = Result<Done, LogError>;

/// Jobs that wait and results not yet fetched.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Waiting>,
    turn: Condvar,
}

#[derive(Default)]
struct Waiting {
    next_ticket: u64,
    jobs: BTreeMap<u64, (u64, Job)>,
    results: BTreeMap<u64, Outcome>,
    writing: bool,
}

/// What a group will have changed once it is written.
#[derive(Default)]
struct Plan {
    partitions: BTreeMap<Place, Head>,
    owners: BTreeMap<String, Owner>,
}

impl Inner {
    /// Writes a job for a handle of that generation and returns when it is durable.
    pub(super) fn submit(&self, generation: u64, job: Job) -> Outcome {
        let mut waiting = lock(&self.queue.inner);
        let ticket = waiting.next_ticket;
        waiting.next_ticket += 1;
        waiting.jobs.insert(ticket, (generation, job));
        loop {
            if let Some(outcome) = waiting.results.remove(&ticket) {
                return outcome;
            }
            if waiting.writing {
                let woken = self.queue.turn.wait(waiting);
                waiting = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            waiting.writing = true;
            let group: Vec<_> = (0..GROUP_JOBS).map_while(|_| waiting.jobs.pop_first()).collect();
            drop(waiting);
            let results = self.write_group(group);
            waiting = lock(&self.queue.inner);
            waiting.results.extend(results);
            waiting.writing = false;
            self.queue.turn.notify_all();
        }
    }

    /// Writes a group. A panic of the store counts as an error of unknown outcome.
    fn write_group(&self, group: Vec<(u64, (u64, Job))>) -> Vec<(u64, Outcome)> {
        let tickets: Vec<u64> = group.iter().map(|(ticket, _)| *ticket).collect();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.try_write(group)));
        outcome.unwrap_or_else(|_| {
            self.mark_broken("the store panicked");
            tickets.into_iter().map(|t| (t, Err(unknown(WRITING, "the store panicked")))).collect()
        })
    }

    fn try_write(&self, group: Vec<(u64, (u64, Job))>) -> Vec<(u64, Outcome)> {
        let guard = read(&self.store);
        let mut plan = Plan::default();
        let mut results = Vec::with_capacity(group.len());
        let Some(store) = guard.as_ref() else {
            let closed = || Err(unknown(WRITING, "the store is closed"));
            return group.into_iter().map(|(ticket, _)| (ticket, closed())).collect();
        };
        let mut batch = store.batch();
        let now = (self.clock)();
        {
            let heads = lock(&self.heads);
            for (ticket, (generation, job)) in group {
                let planned = heads
                    .check(generation)
                    .and_then(|()| plan.add(store, &mut batch, &heads, job, now));
                results.push((ticket, planned));
            }
        }
        if batch.is_empty() {
            return results;
        }
        match store.commit(batch, plan.partitions.keys()) {
            Ok(()) => self.publish(plan),
            Err(error) => {
                let reason = error.to_string();
                self.mark_broken(&reason);
                // Those refused before the write keep their own reason.
                for (_, outcome) in results.iter_mut().filter(|(_, o)| o.is_ok()) {
                    *outcome = Err(unknown(WRITING, reason.as_str()));
                }
            }
        }
        results
    }

    /// Makes what is durable visible, all of it at once, and wakes the readers.
    fn publish(&self, plan: Plan) {
        let mut heads = lock(&self.heads);
        let grown = plan.partitions.iter().map(|((topic, partition), head)| {
            let before = heads.head((*topic, *partition)).map_or(0, |before| before.appended);
            if topic.spec().policy == Policy::Compact { head.appended - before } else { 0 }
        });
        self.wake.grown(grown.sum());
        heads.partitions.extend(plan.partitions);
        heads.owners.extend(plan.owners);
        drop(heads);
        self.arrived.notify_all();
    }
}

impl Plan {
    /// Adds a job to the batch, or refuses it before anything of it is in the batch.
    fn add(
        &mut self,
        store: &Store,
        batch: &mut fjall::OwnedWriteBatch,
        heads: &Heads,
        job: Job,
        now: i64,
    ) -> Outcome {
        match job {
            Job::Append(packed) => {
                let bases = self.add_frames(store, batch, heads, packed, now)?;
                Ok(Done { bases, owner: Owner::default() })
            }
            Job::Step { task, epoch, packed, next } => {
                let newest = self.owner(heads, &task).epoch;
                if newest != epoch {
                    return Err(LogError::Fenced { task, ours: epoch, newest });
                }
                let bases = self.add_frames(store, batch, heads, packed, now)?;
                let owner = Owner { epoch, position: next };
                store.put_owner(batch, &task, owner);
                self.owners.insert(task, owner);
                Ok(Done { bases, owner })
            }
            Job::Own { task } => {
                let Owner { epoch, position } = self.owner(heads, &task);
                let owner = Owner { epoch: epoch + 1, position };
                store.put_owner(batch, &task, owner);
                self.owners.insert(task, owner);
                Ok(Done { bases: BTreeMap::new(), owner })
            }
            Job::Replace { place, removed, frames } => {
                let planned = self.partitions.get(&place).copied();
                let head = planned.map_or_else(|| heads.head(place), Ok)?;
                for base in removed {
                    store.remove(batch, place, base)?;
                }
                for (base, frame) in frames {
                    store.put(batch, place, base, frame)?;
                }
                // Unchanged; it makes the commit wait for room in that partition too.
                self.partitions.insert(place, head);
                Ok(Done::default())
            }
        }
    }

    fn owner(&self, heads: &Heads, task: &str) -> Owner {
        let found = self.owners.get(task).or_else(|| heads.owners.get(task));
        found.copied().unwrap_or_default()
    }

    fn add_frames(
        &mut self,
        store: &Store,
        batch: &mut fjall::OwnedWriteBatch,
        heads: &Heads,
        packed: Packed,
        now: i64,
    ) -> Result<BTreeMap<Place, Offset>, LogError> {
        for place in packed.keys() {
            heads.head(*place)?;
        }
        let mut bases = BTreeMap::new();
        for (place, frames) in packed {
            let planned = self.partitions.get(&place).copied();
            let mut head = planned.map_or_else(|| heads.head(place), Ok)?;
            head.append_time_ms = head.append_time_ms.max(now);
            bases.insert(place, head.end);
            for frame in frames {
                let (base, count) = (head.end, frame.count);
                head.appended += frame.size_bytes() as u64;
                store.put(batch, place, base, frame.sealed(head.append_time_ms))?;
                head.end += i64::from(count);
            }
            self.partitions.insert(place, head);
        }
        Ok(bases)
    }
}

const WRITING: &str = "writing to the log";
