//! The conversation sink: commands of one partition, in waves, to Genesys Cloud (GC) (DESIGN
//! section 6, RELIABILITY section 4). It decides; its caller does the I/O:
//!
//! ```text
//! restore(key, value) ...                     once, from state.conversation-sink
//! loop {
//!     offer(record, command) / undecodable(record, why)      while room() > 0
//!     take_step(now)  -> commit it before anything is sent
//!     ready(now)?     -> leave of the allowance -> next_wave(now) -> POST
//!     answered(wave, answer, now, jitter)
//! }
//! ```
//!
//! Invariants, each with a test:
//!
//! 1. Of one conversation at most one request is in flight, and events go out in order.
//! 2. A conversation that changed sends nothing before its change was taken by `take_step`. As the
//!    caller commits a step it took before it sends, an event can have been on the wire at a crash
//!    only if it is among the first unfinished ones of its conversation. Exactly those are
//!    *ambiguous* after a restart (DESIGN law 6).
//! 3. The position of a step is the oldest record not done with; those beyond it that are done with
//!    are known by the state.
//! 4. Nothing is dropped: every command ends in one outcome, and unless it was applied, in a dead
//!    letter.

mod config;
mod finish;
mod gate;
mod live;
mod request;
mod wave;

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::{ConversationCommand, Offset, Stored};

pub use config::{Backlog, Counters, SinkConfig, SinkStep};
pub use finish::{
    CODE_ASSUMED_APPLIED, CODE_GATED, CODE_REFUSED, CODE_RETRIES_EXHAUSTED, CODE_TOO_LARGE,
    CODE_UNANSWERED, CODE_UNDECODABLE, MAX_WHY_CHARS,
};
pub use gate::{ALONE_MS, Gate, GateEnd, Leg, MAX_ACCEPTED_IDS, Memory};
pub use request::{Batch, PATH, request};
pub use wave::{
    BLOCKED_MIN_MS, BREAKER_AFTER, BREAKER_MAX_MS, STRIKES_BEFORE_SMALLER, Wave, WaveId,
};

use finish::{End, Finished};
use live::{Conversation, Item};

/// The name of this sink in headers and causes.
pub const STAGE: &str = "conversation-sink";

/// State that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the state of conversation {key} cannot be read: {source}")]
pub struct RestoreError {
    key: String,
    source: serde_json::Error,
}

/// The sink of one partition of `command.conversation`.
#[derive(Debug)]
pub struct ConversationSink {
    config: SinkConfig,
    /// One more than the last offset there was when the state was restored.
    restored_end: Offset,
    conversations: BTreeMap<String, Conversation>,
    /// Conversations that have something to send, oldest first. The sink's own ends come first.
    ready: BTreeSet<(Offset, String)>,
    /// Conversations in which a party was left alone and nothing is decided.
    alone: BTreeSet<String>,
    changed: BTreeSet<String>,
    expiry: BTreeSet<(i64, String)>,
    finished: Vec<Finished>,
    /// Append times of the records not done with, by offset.
    unfinished: BTreeMap<Offset, i64>,
    read_to: Offset,
    position: Offset,
    /// The greatest append time seen: the time of gravestones.
    stream_ms: i64,
    flight: wave::Flight,
    counters: Counters,
}

impl ConversationSink {
    /// A sink without state. `position` is where reading begins; `end` is one more than the last
    /// offset of the input at this moment, after the ownership of the task was taken: records from
    /// `end` on cannot have been sent by an earlier owner.
    pub fn new(config: SinkConfig, position: Offset, end: Offset) -> Self {
        Self {
            config,
            restored_end: end,
            conversations: BTreeMap::new(),
            ready: BTreeSet::new(),
            alone: BTreeSet::new(),
            changed: BTreeSet::new(),
            expiry: BTreeSet::new(),
            finished: Vec::new(),
            unfinished: BTreeMap::new(),
            read_to: position,
            position,
            stream_ms: i64::MIN,
            flight: wave::Flight::default(),
            counters: Counters::default(),
        }
    }

    /// Takes back the state of one conversation. To be called before the first `offer`.
    ///
    /// # Errors
    /// A value that is no state: the state topic is damaged, and the sink must not go on.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let key = String::from_utf8_lossy(key).into_owned();
        let memory: Memory = serde_json::from_slice(value)
            .map_err(|source| RestoreError { key: key.clone(), source })?;
        let mut conversation = Conversation {
            offered_seq: memory.seq,
            restart_window: self.config.per_conversation,
            ..Conversation::default()
        };
        if let Some(command) = memory.gate_end_command(&key) {
            // Decided before the restart, so perhaps sent.
            conversation.restart_window = conversation.restart_window.saturating_sub(1);
            conversation.waiting.push_front(Item {
                told: Ok(command),
                stored: None,
                attempts: 0,
                retries: 0,
                ambiguous: true,
            });
        }
        conversation.memory = memory;
        self.conversations.insert(key.clone(), conversation);
        self.settle(&key);
        self.plan_expiry(&key);
        Ok(())
    }

    /// Takes a command that was read. A record done with before a restart is skipped.
    pub fn offer(&mut self, stored: &Stored, command: ConversationCommand) {
        self.take(stored, &command.conversation_id.clone(), Ok(command));
    }

    /// Takes a record that could not be decoded: a dead letter. As nobody knows what it was to
    /// tell, it closes the gate of the conversation its key names.
    pub fn undecodable(&mut self, stored: &Stored, why: &str) {
        let key = String::from_utf8_lossy(&stored.record.key).into_owned();
        self.take(stored, &key, Err(why.to_owned()));
    }

    fn take(&mut self, stored: &Stored, key: &str, told: Result<ConversationCommand, String>) {
        self.read_to = self.read_to.max(stored.offset + 1);
        self.stream_ms = self.stream_ms.max(stored.append_time_ms);
        let window = self.config.per_conversation;
        let c = self
            .conversations
            .entry(key.to_owned())
            .or_insert_with(|| Conversation { restart_window: window, ..Conversation::default() });
        if c.memory.has_done(stored.offset) || self.unfinished.contains_key(&stored.offset) {
            self.counters.already_done += 1;
            return;
        }
        if let Ok(command) = &told {
            self.counters.seq_gaps += u64::from(command.seq > c.offered_seq + 1);
            c.offered_seq = c.offered_seq.max(command.seq);
            c.memory.domain.clone_from(&command.domain);
            c.memory.call_uuid.clone_from(&command.call_uuid);
        }
        let may_have_been_sent = stored.offset < self.restored_end && c.restart_window > 0;
        c.restart_window -= usize::from(may_have_been_sent);
        c.waiting.push_back(Item {
            told,
            stored: Some(stored.clone()),
            attempts: 0,
            retries: 0,
            ambiguous: may_have_been_sent,
        });
        self.unfinished.insert(stored.offset, stored.append_time_ms);
        self.settle(key);
    }

    /// How many more commands it takes before some are done with. The caller stops reading at 0.
    pub fn room(&self) -> usize {
        self.config.max_waiting.saturating_sub(self.unfinished.len())
    }

    /// What has to become durable, or `None` if nothing changed.
    ///
    /// The caller commits what it took before it asks for the next wave, and drops the sink where
    /// the commit fails (DESIGN section 7: a task is restored, never patched up).
    pub fn take_step(&mut self, now_ms: i64) -> Option<SinkStep> {
        self.decide_gate_ends(now_ms);
        let next = self.next_offset();
        let mut state = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            if let Some(c) = self.conversations.get_mut(&key) {
                c.changed = false;
                let json = serde_json::to_vec(&c.memory).expect("strings and numbers become JSON");
                state.push((key.clone().into_bytes(), Some(json)));
                self.plan_expiry(&key);
            }
        }
        for key in self.expire(next) {
            state.push((key.into_bytes(), None));
        }
        if state.is_empty() && self.finished.is_empty() && next == self.position {
            return None;
        }
        self.position = next;
        let finished = std::mem::take(&mut self.finished);
        let outputs = finished.into_iter().flat_map(|f| f.records(now_ms)).collect();
        Some(SinkStep { outputs, state, next })
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What waits.
    pub fn backlog(&self) -> Backlog {
        Backlog {
            waiting: self.unfinished.len(),
            in_flight: self.flight.waves(),
            oldest_append_ms: self.unfinished.values().next().copied(),
            blocked: self.flight.blocked().map(str::to_owned),
        }
    }

    fn next_offset(&self) -> Offset {
        self.unfinished.keys().next().copied().unwrap_or(self.read_to)
    }

    /// Does with the head of a conversation what needs no answer, and lists what needs one.
    fn settle(&mut self, key: &str) {
        loop {
            let Some(c) = self.conversations.get_mut(key) else { return };
            if c.in_flight > 0 {
                break;
            }
            let Some(end) = c.verdict_of_head() else { break };
            let Some(item) = c.waiting.pop_front() else { break };
            self.finish(key, item, end);
        }
        self.list(key);
    }

    /// Puts a conversation where its head belongs: ready, left alone, or neither.
    fn list(&mut self, key: &str) {
        let Some(c) = self.conversations.get_mut(key) else { return };
        if let Some(listed) = c.listed.take() {
            self.ready.remove(&(listed, key.to_owned()));
        }
        if c.in_flight == 0 && c.left_alone() {
            self.alone.insert(key.to_owned());
            return;
        }
        self.alone.remove(key);
        c.alone_due_ms = None;
        if let Some(head) = c.waiting.front().filter(|_| c.in_flight == 0) {
            let offset = head.offset().unwrap_or(-1);
            c.listed = Some(offset);
            self.ready.insert((offset, key.to_owned()));
        }
    }

    /// An event is done with.
    fn finish(&mut self, key: &str, item: Item, end: End) {
        let Some(c) = self.conversations.get_mut(key) else { return };
        if let Ok(command) = &item.told {
            match &end {
                End::Applied | End::Assumed { .. } => c.memory.applied(command),
                End::Refused { .. } => c.memory.refused(command),
                End::Gated | End::Duplicate | End::Undecodable { .. } => {}
            }
            c.memory.seq = c.memory.seq.max(command.seq);
        } else {
            c.memory.gate = Gate::Closed;
        }
        if let Some(stored) = &item.stored {
            let waiting = c.waiting.iter().find_map(Item::offset);
            let open_from = waiting.unwrap_or(self.read_to);
            c.memory.done(stored.offset, stored.append_time_ms, open_from);
            self.unfinished.remove(&stored.offset);
        }
        c.changed = true;
        self.changed.insert(key.to_owned());
        self.count(&end);
        let finished = Finished {
            key: key.to_owned(),
            command: item.told.ok(),
            stored: item.stored,
            attempts: item.attempts,
            end,
        };
        self.counters.dead += u64::from(finished.cause_of_death().is_some());
        self.finished.push(finished);
    }

    fn count(&mut self, end: &End) {
        match end {
            End::Applied => self.counters.accepted += 1,
            End::Assumed { .. } => self.counters.assumed_applied += 1,
            End::Refused { .. } => self.counters.refused += 1,
            End::Gated => self.counters.gated += 1,
            End::Duplicate => self.counters.duplicates += 1,
            // Counted as dead.
            End::Undecodable { .. } => {}
        }
    }

    /// Ends the parties left alone whose own end did not come. The decision becomes durable before
    /// it is sent, so that a restart knows whether it can have been sent.
    fn decide_gate_ends(&mut self, now_ms: i64) {
        for key in self.alone.clone() {
            let Some(c) = self.conversations.get_mut(&key) else { continue };
            let due_ms = *c.alone_due_ms.get_or_insert(now_ms + self.config.alone_grace_ms);
            // Something later waits already, so an own end in time will not come.
            let is_late = !c.waiting.is_empty() || now_ms >= due_ms;
            if !is_late || !c.memory.decide_gate_end() {
                continue;
            }
            if let Some(command) = c.memory.gate_end_command(&key) {
                c.waiting.push_front(Item {
                    told: Ok(command),
                    stored: None,
                    attempts: 0,
                    retries: 0,
                    ambiguous: false,
                });
            }
            c.changed = true;
            self.changed.insert(key.clone());
            self.counters.gate_ends += 1;
            self.list(&key);
        }
    }

    /// Plans when the state of a conversation is forgotten.
    fn plan_expiry(&mut self, key: &str) {
        let Some(c) = self.conversations.get_mut(key) else { return };
        if let Some(planned) = c.expires_ms.take() {
            self.expiry.remove(&(planned, key.to_owned()));
        }
        if c.is_idle() {
            let is_over = c.memory.is_over();
            let kept_ms =
                if is_over { self.config.gravestone_ms } else { self.config.abandoned_ms };
            let expires_ms = c.memory.append_ms.saturating_add(kept_ms);
            c.expires_ms = Some(expires_ms);
            self.expiry.insert((expires_ms, key.to_owned()));
        }
    }

    /// Forgets the conversations whose time is over. One with records beyond the position is kept:
    /// after a restart they would be read again, and only the state knows that they are done with.
    fn expire(&mut self, next: Offset) -> Vec<String> {
        let mut keys = Vec::new();
        let mut kept = Vec::new();
        while let Some((at_ms, key)) = self.expiry.pop_first() {
            if at_ms > self.stream_ms {
                self.expiry.insert((at_ms, key));
                break;
            }
            let Some(c) = self.conversations.get_mut(&key) else { continue };
            if !c.is_idle() {
                c.expires_ms = None;
                continue;
            }
            if c.memory.last_done() < Some(next) {
                self.counters.abandoned += u64::from(!c.memory.is_over());
                self.alone.remove(&key);
                self.conversations.remove(&key);
                keys.push(key);
            } else {
                kept.push((at_ms, key));
            }
        }
        self.expiry.extend(kept);
        keys
    }
}
