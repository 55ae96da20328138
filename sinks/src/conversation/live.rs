//! A conversation in memory: what is durable of it, what waits, what is on the wire.

use std::collections::VecDeque;

use trunkline_schemas::{ConversationCommand, Offset, Stored};

use super::finish::End;
use super::gate::Memory;

/// One command on its way.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The command, or why there is none.
    pub(super) told: Result<ConversationCommand, String>,
    /// Its record; the sink's own events have none.
    pub(super) stored: Option<Stored>,
    pub(super) attempts: i32,
    /// Answers that called it retryable.
    pub(super) retries: u32,
    /// An attempt may have been applied.
    pub(super) ambiguous: bool,
}

impl Item {
    pub(super) fn offset(&self) -> Option<Offset> {
        self.stored.as_ref().map(|s| s.offset)
    }

    pub(super) fn event_id(&self) -> &str {
        self.told.as_ref().map_or("", |c| c.event_id.as_str())
    }
}

/// One conversation: what is durable of it and what is not.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) memory: Memory,
    pub(super) waiting: VecDeque<Item>,
    /// How many of `waiting`, from the front, are on the wire.
    pub(super) in_flight: usize,
    /// It changed since the last step.
    pub(super) changed: bool,
    /// Backoff of this conversation alone, milliseconds since 1970.
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
    /// When the end of the party left alone is decided.
    pub(super) alone_due_ms: Option<i64>,
    pub(super) listed: Option<Offset>,
    pub(super) expires_ms: Option<i64>,
}

impl Conversation {
    /// What to do with the head without asking GC, if anything.
    pub(super) fn verdict_of_head(&self) -> Option<End> {
        match &self.waiting.front()?.told {
            Err(why) => Some(End::Undecodable { why: why.clone() }),
            Ok(c) if self.memory.has_accepted(&c.event_id) => Some(End::Duplicate),
            Ok(c) if !self.memory.passes(&c.event) => Some(End::Gated),
            Ok(_) => None,
        }
    }

    /// The party left alone, unless its own end is at the head and in time.
    pub(super) fn left_alone(&self) -> bool {
        let head = self.waiting.front().and_then(|item| item.told.as_ref().ok());
        self.memory
            .left_alone()
            .is_some_and(|leg| !head.is_some_and(|command| self.memory.ends_in_time(leg, command)))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.alone_due_ms.is_none()
    }
}
