//! A partition that is read from its beginning, and on from there at each look.

use trunkline_schemas::{Offset, Partition, Stored, Topic};

use super::STEP_RECORDS_MAX;
use crate::log::{Log, LogError};

/// How far a partition has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    topic: Topic,
    partition: Partition,
    from: Offset,
}

impl Tail {
    /// One that has read nothing before that offset.
    pub(super) const fn new(topic: Topic, partition: Partition, from: Offset) -> Self {
        Self { topic, partition, from }
    }

    /// Offset of the next record to be given.
    pub(super) const fn next(&self) -> Offset {
        self.from
    }

    /// Gives every record that has not been given.
    ///
    /// # Errors
    /// The log; those that were not given come at the next look.
    pub(super) fn read(
        &mut self,
        log: &dyn Log,
        each: &mut dyn FnMut(Stored),
    ) -> Result<(), LogError> {
        loop {
            let start = log.bounds(self.topic, self.partition)?.start;
            self.from = self.from.max(start);
            let records = log.read(self.topic, self.partition, self.from, STEP_RECORDS_MAX)?;
            if records.is_empty() {
                return Ok(());
            }
            for stored in records {
                self.from = stored.offset + 1;
                each(stored);
            }
        }
    }
}
