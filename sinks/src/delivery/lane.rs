//! A key in memory: what is durable of it, what waits, what is on the wire.

use std::collections::VecDeque;

use trunkline_schemas::{Offset, Stored};

use super::finish::End;
use super::memory::Memory;
use super::rules::{Knowledge, Rules, Telling};

/// One command on its way.
#[derive(Clone, Debug)]
pub(super) struct Item<C> {
    /// The command, or why there is none.
    pub(super) told: Result<C, String>,
    /// Its record; the sink's own events have none.
    pub(super) stored: Option<Stored>,
    pub(super) attempts: i32,
    /// Answers that called it retryable.
    pub(super) retries: u32,
    /// An attempt may have been applied.
    pub(super) ambiguous: bool,
}

impl<C> Item<C> {
    /// An event the sink itself makes. `ambiguous`: it may have been sent before.
    pub(super) fn own(command: C, ambiguous: bool) -> Self {
        Self { told: Ok(command), stored: None, attempts: 0, retries: 0, ambiguous }
    }

    pub(super) fn offset(&self) -> Option<Offset> {
        self.stored.as_ref().map(|s| s.offset)
    }
}

/// One key: what is durable of it and what is not. Its commands go one behind the other.
#[derive(Debug)]
pub(super) struct Lane<R: Rules> {
    pub(super) memory: Memory<R::Knowledge>,
    pub(super) waiting: VecDeque<Item<R::Command>>,
    /// How many of `waiting`, from the front, are on the wire.
    pub(super) in_flight: usize,
    /// It changed since the last step.
    pub(super) changed: bool,
    /// Backoff of this key alone, milliseconds since 1970.
    pub(super) not_before_ms: i64,
    pub(super) failures: u32,
    /// The largest request it may ride in, to find the event that spoils requests.
    pub(super) ride_limit: Option<usize>,
    /// Unanswered requests while others were answered, and the count of those at the last one.
    pub(super) strikes: u32,
    pub(super) strike_mark: Option<u64>,
    /// How many more records may have been on the wire before the restart.
    pub(super) restart_window: usize,
    pub(super) offered_seq: i64,
    /// When an event of the sink's own is decided.
    pub(super) owes_due_ms: Option<i64>,
    pub(super) listed: Option<Offset>,
    pub(super) expires_ms: Option<i64>,
}

impl<R: Rules> Lane<R> {
    /// A key of which so many records may have been on the wire before the restart.
    pub(super) fn new(memory: Memory<R::Knowledge>, restart_window: usize) -> Self {
        Self {
            offered_seq: memory.seq,
            memory,
            waiting: VecDeque::new(),
            in_flight: 0,
            changed: false,
            not_before_ms: 0,
            failures: 0,
            ride_limit: None,
            strikes: 0,
            strike_mark: None,
            restart_window,
            owes_due_ms: None,
            listed: None,
            expires_ms: None,
        }
    }

    /// The command at the head, if it can be read.
    pub(super) fn head(&self) -> Option<&R::Command> {
        self.waiting.front().and_then(|item| item.told.as_ref().ok())
    }

    /// What to do with the head without asking GC, if anything.
    pub(super) fn verdict_of_head(&self, rules: &R) -> Option<End> {
        match &self.waiting.front()?.told {
            Err(why) => Some(End::Undecodable { why: why.clone() }),
            Ok(c) if self.memory.has_accepted(R::event_id(c)) => Some(End::Duplicate),
            Ok(c) if !self.memory.known.passes(c) => Some(End::Gated),
            Ok(c) => match rules.telling(c) {
                Telling::Now | Telling::Later => None,
                Telling::Never(code, why) => Some(End::Refused { code, why }),
            },
        }
    }

    /// Whether an event of the sink's own is due, unless the head does it.
    pub(super) fn owes(&self) -> bool {
        self.memory.known.owes(self.head())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.owes_due_ms.is_none()
    }
}
