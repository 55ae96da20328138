//! Processors: plain functions from records to commands (ARCHITECTURE.md, invariant 1).
//!
//! A processor knows only what came through its one input partition, in its order. Replay, a table
//! test and the running system call the same [`Processor::apply`].

use trunkline_schemas::{Offset, Record, Stored, Topic};

pub mod config;
pub mod conversation;
pub mod presence;
mod rows;
mod written;

/// What a processor wants written: the shell chooses the partition by the topic's spread.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Records for other topics, in order.
    pub outputs: Vec<(Topic, Record)>,
    /// Changed state by key; `None` forgets the key.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A processor.
pub trait Processor {
    /// Takes one record. Never fails: what cannot be used becomes a dead letter.
    fn apply(&mut self, record: &Stored);

    /// Takes what has been written since the last call, to become one atomic step.
    fn drain(&mut self) -> Effects;

    /// Takes one key of the state back, before the first record.
    ///
    /// # Errors
    /// A text that says what is wrong with the value.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String>;

    /// Offsets of records that were taken before the restored position and wait to be applied; the
    /// shell reads them again and gives them to [`Processor::rehold`], in order.
    fn held(&self) -> Vec<Offset>;

    /// Takes back one record named by [`Processor::held`].
    fn rehold(&mut self, record: &Stored);

    /// What it noticed since it was made, by names of a closed list, for the operator to see.
    fn noticed(&self) -> Vec<(&'static str, u64)>;
}

/// A processor that can do nothing right without a directory, and so begins with one: it is told
/// what stands further on in its partition, where the first announcement is, before it takes the
/// records that came earlier.
pub trait Informed: Processor {
    /// Whether it has had a whole directory.
    fn is_informed(&self) -> bool;

    /// Takes from a record what holds at any time: rows of the directory, who is logged in where.
    /// Nothing else happens, and no time passes.
    fn learn(&mut self, record: &Stored);
}
