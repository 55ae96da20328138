//! Processors: plain functions from records to commands (ARCHITECTURE.md, invariant 1).
//!
//! A processor knows only what came through its one input partition, in its order. Replay, a table
//! test and the running system call the same [`Processor::apply`].

use std::collections::HashMap;

use foldhash::fast::RandomState;
use trunkline_schemas::{Offset, Record, Stored, Topic};

pub mod config;
pub mod conversation;
pub mod presence;
mod rows;
mod written;

/// For very many keys through which nobody goes in order.
type Hashed<K, V> = HashMap<K, V, RandomState>;

/// What a processor wants written: the shell chooses the partition by the topic's spread.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Records for other topics, in order.
    pub outputs: Vec<(Topic, Record)>,
    /// Changed state by key; `None` forgets the key.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A processor.
pub trait Processor: Send {
    /// One key of the state and what it holds.
    type Saved: Send;

    /// Takes one record. Never fails: what cannot be used becomes a dead letter.
    fn apply(&mut self, record: &Stored);

    /// Takes what has been written since the last call, to become one atomic step.
    fn drain(&mut self) -> Effects;

    /// Reads one key of the state, of which no processor is needed: the shell reads some while it
    /// restores others.
    ///
    /// # Errors
    /// A text that says what is wrong with the value.
    fn read(key: &[u8], value: &[u8]) -> Result<Self::Saved, String>;

    /// Takes one key of the state back, before the first record.
    fn restore(&mut self, saved: Self::Saved);

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
