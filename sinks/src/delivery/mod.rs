//! Delivery: commands of one partition, in waves, to Genesys Cloud (GC) (DESIGN section 6,
//! RELIABILITY section 4). What a sink does in its own way are its [`Rules`]; a *key* below is what
//! they keep in order: a conversation, an agent. A sink decides; its caller does the I/O:
//!
//! ```text
//! restore(key, value) ...                     once, from the sink's state topic
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
//! 1. Of one key at most one request is in flight, and events go out in order.
//! 2. A key that changed sends nothing before its change was taken by `take_step`. As the caller
//!    commits a step it took before it sends, an event can have been on the wire at a crash only if
//!    it is among the first unfinished ones of its key. Exactly those are *ambiguous* after a
//!    restart (DESIGN law 6).
//! 3. The position of a step is the oldest record not done with; those beyond it that are done with
//!    are known by the state.
//! 4. Nothing is dropped: every command ends in one outcome, and unless it was applied, in a dead
//!    letter.

mod config;
mod finish;
mod lane;
mod memory;
mod rules;
mod wave;

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::{Offset, Stored};

pub use config::{Backlog, Counters, SinkConfig, SinkStep};
pub use finish::{
    CODE_ASSUMED_APPLIED, CODE_GATED, CODE_REFUSED, CODE_RETRIES_EXHAUSTED, CODE_TOO_LARGE,
    CODE_UNANSWERED, CODE_UNDECODABLE, MAX_WHY_CHARS,
};
pub use memory::Memory;
pub use rules::{Batch, Fate, Knowledge, Rules, Telling};
pub use wave::{
    BLOCKED_MIN_MS, BREAKER_AFTER, BREAKER_MAX_MS, STRIKES_BEFORE_SMALLER, Wave, WaveId,
};

use finish::{End, Finished};
use lane::{Item, Lane};

/// State that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the state of {key} cannot be read: {source}")]
pub struct RestoreError {
    key: String,
    source: serde_json::Error,
}

/// The sink of one partition of commands.
#[derive(Debug)]
pub struct Sink<R: Rules> {
    rules: R,
    config: SinkConfig,
    /// One more than the last offset there was when the state was restored.
    restored_end: Offset,
    lanes: BTreeMap<String, Lane<R>>,
    /// Keys that have something to send, oldest first. The sink's own events come first.
    ready: BTreeSet<(Offset, String)>,
    /// Keys to which the sink owes an event of its own on which nothing is decided.
    owing: BTreeSet<String>,
    changed: BTreeSet<String>,
    expiry: BTreeSet<(i64, String)>,
    finished: Vec<Finished<R::Command>>,
    /// Append times of the records not done with, by offset.
    unfinished: BTreeMap<Offset, i64>,
    read_to: Offset,
    position: Offset,
    /// The greatest append time seen: the time of gravestones.
    stream_ms: i64,
    flight: wave::Flight,
    counters: Counters,
}

impl<R: Rules> Sink<R> {
    /// A sink without state. `position` is where reading begins; `end` is one more than the last
    /// offset of the input at this moment, after the ownership of the task was taken: records from
    /// `end` on cannot have been sent by an earlier owner.
    pub fn new(rules: R, config: SinkConfig, position: Offset, end: Offset) -> Self {
        Self {
            rules,
            config,
            restored_end: end,
            lanes: BTreeMap::new(),
            ready: BTreeSet::new(),
            owing: BTreeSet::new(),
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

    /// From now on these are the particulars.
    pub fn set_rules(&mut self, rules: R) {
        if rules == self.rules {
            return;
        }
        self.rules = rules;
        let listed: Vec<String> = self.ready.iter().map(|(_, key)| key.clone()).collect();
        for key in listed {
            self.settle(&key);
        }
    }

    /// The particulars.
    pub fn rules(&self) -> &R {
        &self.rules
    }

    /// Takes back the state of one key. To be called before the first `offer`.
    ///
    /// # Errors
    /// A value that is no state: the state topic is damaged, and the sink must not go on.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let key = String::from_utf8_lossy(key).into_owned();
        let memory: Memory<R::Knowledge> = serde_json::from_slice(value)
            .map_err(|source| RestoreError { key: key.clone(), source })?;
        let decided = memory.known.decided(&key, memory.seq);
        let mut lane = Lane::new(memory, self.config.per_key);
        if let Some(command) = decided {
            // Decided before the restart, so perhaps sent.
            lane.restart_window = lane.restart_window.saturating_sub(1);
            lane.waiting.push_front(Item::own(command, true));
        }
        self.lanes.insert(key.clone(), lane);
        self.settle(&key);
        self.plan_expiry(&key);
        Ok(())
    }

    /// Takes a command that was read. A record done with before a restart is skipped.
    pub fn offer(&mut self, stored: &Stored, command: R::Command) {
        let key = R::key(&command).to_owned();
        self.take(stored, &key, Ok(command));
    }

    /// Takes a record that could not be decoded: a dead letter of the key its record has.
    pub fn undecodable(&mut self, stored: &Stored, why: &str) {
        let key = String::from_utf8_lossy(&stored.record.key).into_owned();
        self.take(stored, &key, Err(why.to_owned()));
    }

    fn take(&mut self, stored: &Stored, key: &str, told: Result<R::Command, String>) {
        self.read_to = self.read_to.max(stored.offset + 1);
        self.stream_ms = self.stream_ms.max(stored.append_time_ms);
        let window = self.config.per_key;
        let lanes = &mut self.lanes;
        let lane =
            lanes.entry(key.to_owned()).or_insert_with(|| Lane::new(Memory::default(), window));
        if lane.memory.has_done(stored.offset) || self.unfinished.contains_key(&stored.offset) {
            self.counters.already_done += 1;
            return;
        }
        if let Ok(command) = &told {
            let seq = R::seq(command);
            self.counters.seq_gaps += u64::from(seq > lane.offered_seq + 1);
            lane.offered_seq = lane.offered_seq.max(seq);
            lane.memory.known.met(command);
        }
        let may_have_been_sent = stored.offset < self.restored_end && lane.restart_window > 0;
        lane.restart_window -= usize::from(may_have_been_sent);
        lane.waiting.push_back(Item {
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
        self.decide_own(now_ms);
        let next = self.next_offset();
        let mut state = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.changed = false;
                let json =
                    serde_json::to_vec(&lane.memory).expect("strings and numbers become JSON");
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
        let outputs = finished.into_iter().flat_map(|f| f.records::<R>(now_ms)).collect();
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

    /// Does with the head of a key what needs no answer, and lists what needs one.
    fn settle(&mut self, key: &str) {
        loop {
            let Some(lane) = self.lanes.get_mut(key) else { return };
            if lane.in_flight > 0 {
                break;
            }
            let Some(end) = lane.verdict_of_head(&self.rules) else { break };
            let Some(item) = lane.waiting.pop_front() else { break };
            self.finish(key, item, end);
        }
        self.list(key);
    }

    /// Puts a key where its head belongs: ready, owing, or neither.
    fn list(&mut self, key: &str) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if let Some(listed) = lane.listed.take() {
            self.ready.remove(&(listed, key.to_owned()));
        }
        if lane.in_flight == 0 && lane.owes() {
            self.owing.insert(key.to_owned());
            return;
        }
        self.owing.remove(key);
        lane.owes_due_ms = None;
        if let Some(head) = lane.waiting.front().filter(|_| lane.in_flight == 0) {
            let offset = head.offset().unwrap_or(-1);
            lane.listed = Some(offset);
            self.ready.insert((offset, key.to_owned()));
        }
    }

    /// An event is done with.
    fn finish(&mut self, key: &str, item: Item<R::Command>, end: End) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let memory = &mut lane.memory;
        if let Ok(command) = &item.told {
            match &end {
                End::Applied | End::Assumed { .. } => {
                    memory.accept(R::event_id(command), R::ACCEPTED_IDS_MAX);
                    memory.known.applied(command);
                }
                End::Refused { .. } => memory.known.refused(command),
                End::Gated | End::Duplicate | End::Undecodable { .. } => {}
            }
            memory.seq = memory.seq.max(R::seq(command));
        } else {
            memory.known.unreadable();
        }
        if let Some(stored) = &item.stored {
            let waiting = lane.waiting.iter().find_map(Item::offset);
            let open_from = waiting.unwrap_or(self.read_to);
            memory.done(stored.offset, stored.append_time_ms, open_from);
            self.unfinished.remove(&stored.offset);
        }
        lane.changed = true;
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

    /// Decides on the events the sink owes. A decision becomes durable before it is sent, so that a
    /// restart knows whether it can have been sent.
    fn decide_own(&mut self, now_ms: i64) {
        for key in self.owing.clone() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let due_ms = *lane.owes_due_ms.get_or_insert(now_ms + self.config.grace_ms);
            // Something later waits already, so what would do instead will not come in time.
            let is_late = !lane.waiting.is_empty() || now_ms >= due_ms;
            if !is_late || !lane.memory.known.decide() {
                continue;
            }
            if let Some(command) = lane.memory.known.decided(&key, lane.memory.seq) {
                lane.waiting.push_front(Item::own(command, false));
            }
            lane.changed = true;
            self.changed.insert(key.clone());
            self.counters.own_events += 1;
            self.list(&key);
        }
    }

    /// Plans when the state of a key is forgotten.
    fn plan_expiry(&mut self, key: &str) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if let Some(planned) = lane.expires_ms.take() {
            self.expiry.remove(&(planned, key.to_owned()));
        }
        if lane.is_idle() {
            let is_over = lane.memory.known.is_over();
            let kept_ms =
                if is_over { self.config.gravestone_ms } else { self.config.abandoned_ms };
            let expires_ms = lane.memory.append_ms.saturating_add(kept_ms);
            lane.expires_ms = Some(expires_ms);
            self.expiry.insert((expires_ms, key.to_owned()));
        }
    }

    /// Forgets the keys whose time is over. One with records beyond the position is kept:
    /// after a restart they would be read again, and only the state knows that they are done with.
    fn expire(&mut self, next: Offset) -> Vec<String> {
        let mut keys = Vec::new();
        let mut kept = Vec::new();
        while let Some((at_ms, key)) = self.expiry.pop_first() {
            if at_ms > self.stream_ms {
                self.expiry.insert((at_ms, key));
                break;
            }
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if !lane.is_idle() {
                lane.expires_ms = None;
                continue;
            }
            if lane.memory.last_done() < Some(next) {
                self.counters.abandoned += u64::from(!lane.memory.known.is_over());
                self.owing.remove(&key);
                self.lanes.remove(&key);
                keys.push(key);
            } else {
                kept.push((at_ms, key));
            }
        }
        self.expiry.extend(kept);
        keys
    }
}
