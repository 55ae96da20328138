//! The conversation processor: Engage events of a routing domain into what Genesys Cloud is to be
//! told of its calls (DESIGN section 5).
//!
//! An event passes `copies` (has it been seen?), `order` (can something older still come?),
//! `correlate` (which conversation?), `legs` (who is in the call?) and `flow` (what is to be
//! told?); `tell` gives the commands their ids and times.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use trunkline_schemas::codec;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::record::TRACE_HEADER;
use trunkline_schemas::topics::{
    COMMAND_CONVERSATION, DEAD_CONVERSATION, OUTCOME_CONVERSATION, SEGMENT,
};
use trunkline_schemas::{
    ConversationCommand, DirectoryRow, Offset, Outcome, RawEvent, RawKind, Record, Stored, Topic,
    ids,
};

use crate::rows::Rows;
use crate::written::{self, json, raw_event, unreachable_codec};
use crate::{Effects, Hashed, Informed, Processor};

pub mod call;
mod consult;
pub mod copies;
pub mod correlate;
pub mod directory;
pub mod event;
pub mod flow;
pub mod gravestone;
pub mod legs;
pub mod logins;
pub mod nearest;
pub mod order;
pub mod phone;
pub mod reason;
mod relay;
pub mod saved;
pub mod tables;
pub mod tell;
mod transfer;

use call::Conversation;
use copies::{Admission, Copies, Mark, StreamKey};
use correlate::{Aliases, Belongs};
use directory::Directory;
use event::{Event, Kind};
use flow::Flow;
use gravestone::{Gravestone, NameKind};
use legs::Input;
use logins::Logins;
use order::{Number, Order, Streams};
use phone::Phones;
use reason::Reason;
use relay::working;
use saved::{CALL, HELD, META, Meta, Over, ROW, Saved};
use tell::{Teller, Told};

/// A switch time so far in the future of its reception is replaced by it (DESIGN law 3).
const FUTURE_MAX_US: i64 = 60_000_000;

/// How the processor is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// W: the longest an event waits for evidence of another stream, milliseconds of stream time.
    pub wait_ms: i64,
    /// How long a conversation that has ended is remembered.
    pub gravestone_ms: i64,
    /// After how long without any event a conversation is given up.
    pub idle_ms: i64,
    /// Whether after-call work is announced, and how long after the leg's end it is closed at last.
    pub after_call_ms: Option<i64>,
    /// User data key of the disposition.
    pub disposition_key: String,
    /// User data keys that begin with this mark calls of an automated campaign. An assumption: no
    /// source names the keys.
    pub campaign_prefix: String,
    /// Whether the presence processor is told what agents do on the phone: it asks for it where no
    /// Stat Server tells.
    pub relay_calls: bool,
}

impl Default for Settings {
    /// W = 2 s, gravestone 10 minutes, idle 12 hours, no after-call work, `DispositionCode`,
    /// `GSW_`, no relayed calls.
    fn default() -> Self {
        Self {
            wait_ms: 2_000,
            gravestone_ms: 600_000,
            idle_ms: 12 * 3_600_000,
            after_call_ms: None,
            disposition_key: "DispositionCode".to_owned(),
            campaign_prefix: "GSW_".to_owned(),
            relay_calls: false,
        }
    }
}

/// What is counted; the shell publishes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that came again.
    pub copies: u64,
    /// Switch times replaced because they lay in the future.
    pub future_times: u64,
    /// Events of calls nobody knows.
    pub unknown_calls: u64,
    /// Conversations in memory.
    pub conversations: u64,
    /// Conversations that are over and not forgotten.
    pub gravestones: u64,
    /// Events that wait for their order.
    pub waiting: u64,
    /// Call and VQ events that came when something newer had been decided.
    pub late: u64,
}

/// The processor of one routing domain.
pub struct ConversationProcessor {
    domain: String,
    settings: Settings,
    directory: Directory,
    copies: Copies,
    streams: Streams,
    order: Order<Pending>,
    // Hashed: there are very many of them, and nobody goes through them in order.
    conversations: Hashed<String, Conversation>,
    gravestones: Hashed<Arc<str>, Gravestone>,
    aliases: Aliases,
    due: BTreeSet<(i64, Arc<str>)>,
    /// Which conversation a person is busy with, by DN and switch.
    busy: Hashed<String, String>,
    /// Who is in which calls; empty where nobody is told.
    phones: Phones,
    logins: Logins,
    /// Conversations that wait for the end of an agent's after-call work, by employee id.
    working: Hashed<String, BTreeSet<String>>,
    changed: BTreeSet<String>,
    rows: Rows,
    effects: Effects,
    told: Told,
    counters: Counters,
    dirty: bool,
}

/// An event that waits for its order.
#[derive(Clone, Debug)]
struct Pending {
    raw: RawEvent,
    kind: Kind,
    at_us: i64,
    stored: Stored,
}

impl ConversationProcessor {
    /// A processor that knows nothing yet.
    pub fn new(domain: &str, settings: Settings) -> Self {
        Self {
            domain: domain.to_owned(),
            order: Order::new(settings.wait_ms),
            settings,
            directory: Directory::default(),
            copies: Copies::default(),
            streams: Streams::default(),
            conversations: Hashed::default(),
            gravestones: Hashed::default(),
            aliases: Aliases::default(),
            due: BTreeSet::new(),
            busy: Hashed::default(),
            phones: Phones::default(),
            logins: Logins::default(),
            working: Hashed::default(),
            changed: BTreeSet::new(),
            rows: Rows::default(),
            effects: Effects::default(),
            told: Told::default(),
            counters: Counters::default(),
            dirty: false,
        }
    }

    /// The Engage calls of a conversation by CallUUID; `None` once it is forgotten.
    pub fn calls_of(&self, conversation_id: &str) -> Option<Vec<String>> {
        let over = self.gravestones.get(conversation_id);
        let calls = |known: &Conversation| known.calls.keys().cloned().collect();
        let conversation = self.conversations.get(conversation_id).map(calls);
        conversation.or_else(|| Some(over?.calls().map(ToString::to_string).collect()))
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        Counters {
            conversations: self.conversations.len() as u64,
            gravestones: self.gravestones.len() as u64,
            waiting: self.order.len() as u64,
            late: self.order.late(),
            ..self.counters
        }
    }

    /// As [`Processor::apply`], of a record whose event is decoded already, or could not be.
    pub fn apply_raw(&mut self, stored: &Stored, raw: Result<RawEvent, String>) {
        self.dirty = true;
        let until_down = raw.as_ref().is_ok_and(|raw| raw.kind == RawKind::LinkDown);
        self.streams.advance(stored.append_time_ms, until_down);
        match raw {
            Ok(raw) => self.take(stored, raw),
            Err(why) => self.bury(stored, "undecodable", &why),
        }
        self.release();
        self.expire();
    }

    /// Takes what was told since the last [`Processor::drain`], as it is before it is written. What
    /// else there is to write, the next one gives.
    pub fn told(&mut self) -> (Vec<ConversationCommand>, Vec<Outcome>) {
        let Told { commands, outcomes, .. } = std::mem::take(&mut self.told);
        (commands, outcomes)
    }

    fn take(&mut self, stored: &Stored, raw: RawEvent) {
        let stream = stream_of(&raw);
        match raw.kind {
            RawKind::Event => self.take_event(stored, raw, &stream),
            RawKind::LinkUp => self.streams.link_up(&raw.link, &stream),
            RawKind::LinkDown => self.streams.link_down(&raw.link),
            RawKind::CaughtUp => {
                self.copies.caught_up(&stream);
                self.streams.caught_up(&raw.link);
            }
            RawKind::Gap => {
                self.copies.broken(&raw.link, &stream);
                self.streams.gap(&raw.link);
            }
            RawKind::AgentFact => self.take_fact(stored, &raw),
            RawKind::Tick | RawKind::CallFact => {}
            RawKind::DirectoryStart => self.rows.begin(&raw.payload),
            RawKind::DirectoryRow => self.take_row(stored, &raw),
            RawKind::DirectoryEnd => self.end_announcement(&raw.payload),
        }
    }

    fn end_announcement(&mut self, name: &[u8]) {
        if self.rows.end(name) {
            self.directory = Directory::of(self.rows.iter());
        }
    }

    fn take_row(&mut self, stored: &Stored, raw: &RawEvent) {
        match serde_json::from_slice::<DirectoryRow>(&raw.payload) {
            Ok(row) => {
                self.directory.put(row.clone());
                self.rows.put(row_key(&row), row);
            }
            Err(e) => {
                let why = format!("a directory row is unreadable: {e}");
                self.bury(stored, "bad_directory_row", &why);
            }
        }
    }

    fn take_event(&mut self, stored: &Stored, raw: RawEvent, stream: &StreamKey) {
        let received = raw.received_time_us;
        let mut at_us = raw.switch_time_us.unwrap_or(received);
        if at_us > received.saturating_add(FUTURE_MAX_US) {
            at_us = received;
            self.counters.future_times += 1;
        }
        let number = number_of(&raw);
        let mark = Mark {
            link: &raw.link,
            stream,
            start: raw.server_start,
            sequence: raw.sequence,
            payload: &raw.payload,
        };
        let admission = self.copies.admit(&mark);
        self.streams.seen(&raw.link, stream, number, at_us);
        match admission {
            Admission::Copy => self.counters.copies += 1,
            Admission::New => {
                let name = raw.name.as_deref().unwrap_or_default();
                if let Some(kind) = Kind::find(stream.1, name) {
                    let at = stored.offset;
                    let pending = Pending { raw, kind, at_us, stored: stored.clone() };
                    self.order.push(&self.streams, (stream, number), at_us, at, pending);
                }
            }
        }
    }

    /// Applies every event whose order is settled.
    fn release(&mut self) {
        while let Some(pending) = self.order.pop(&self.streams) {
            let place = pending.stored.place();
            match event::read(&pending.raw, pending.kind, pending.at_us.div_euclid(1000), place) {
                Ok(event) => self.apply_event(&event, &pending.stored),
                Err(e) => self.bury(&pending.stored, e.code, &e.why),
            }
        }
    }

    fn apply_event(&mut self, event: &Event, stored: &Stored) {
        let (id, sibling) = match self.aliases.find(event) {
            Belongs::To { id, sibling } => (id, sibling),
            Belongs::New(root) => {
                let id = ids::conversation_id(&self.domain, &root).to_string();
                let mut new = Conversation::new(id.clone(), root);
                if !self.directory.complete {
                    self.leave_out(&mut new, Reason::BeforeDirectory, &event.place);
                }
                self.conversations.insert(id.clone(), new);
                (id, None)
            }
            Belongs::Nothing => {
                self.counters.unknown_calls += 1;
                return;
            }
        };
        let (id, twin) = self.unite(id, event);
        let sibling = sibling.or(twin);
        if self.gravestones.contains_key(id.as_str()) {
            self.come_late(&id, event);
            return self.relay(event.at_ms, &event.place);
        }
        let Some(mut conversation) = self.take_out(&id) else { return };
        // A record that makes the machine panic must leave the conversation as it was (law 11).
        let before = conversation.clone();
        let told_before = self.told.mark();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            self.apply_to(&mut conversation, event, sibling.as_deref());
        }));
        if panicked.is_err() {
            conversation = before;
            self.told.back_to(told_before);
            self.bury(stored, "panic", "the processor failed on this record");
            self.with_teller(&mut conversation, &event.place, |teller| {
                flow::suspend(teller, event.at_ms, Reason::Poisoned);
            });
        }
        if let Some(context) = stored.record.header(TRACE_HEADER) {
            self.told.traced_since(told_before, context);
        }
        conversation.touched_ms = self.streams.now_ms;
        self.put_back(conversation);
        self.relay(event.at_ms, &event.place);
    }

    fn apply_to(&mut self, conversation: &mut Conversation, event: &Event, sibling: Option<&str>) {
        let context = legs::Context {
            directory: &self.directory,
            logins: &self.logins,
            busy: &self.busy,
            settings: &self.settings,
        };
        conversation.newest_ms = conversation.newest_ms.max(event.at_ms);
        let inputs = legs::take(conversation, &context, event, sibling);
        self.with_teller(conversation, &event.place, |teller| {
            note_unmapped_queue(teller, event);
            for input in &inputs {
                flow::step(teller, event.at_ms, input);
            }
            flow::expect_after_call(teller);
        });
    }

    /// Two conversations that turn out to be one by a link learned late: one that was not told
    /// joins the other; of two that were, the older goes on and the younger's open legs are ended.
    /// Returns the one that the event concerns, and of a call not yet known its other half.
    fn unite(&mut self, id: String, event: &Event) -> (String, Option<String>) {
        let Some((other, call)) = self.aliases.twin(&id, event) else { return (id, None) };
        if self.gravestones.contains_key(other.as_str()) {
            return (self.unite_with_past(id, &other, event), None);
        }
        if self.gravestones.contains_key(id.as_str()) {
            return (self.unite_with_past(other, &id, event), None);
        }
        let (Some(this), Some(other)) = (self.take_out(&id), self.take_out(&other)) else {
            return (id, None);
        };
        if this.seq > 0 && other.seq > 0 {
            let other_is_older = other.created_ms() <= this.created_ms();
            let (older, mut younger) = if other_is_older { (other, this) } else { (this, other) };
            if younger.flow != Flow::Ended {
                self.with_teller(&mut younger, &event.place, |teller| {
                    flow::give_up(teller, event.at_ms, Reason::Merged);
                });
            }
            self.put_back(older);
            self.put_back(younger);
            return (id, None);
        }
        let own = event.call.clone().unwrap_or_else(|| this.root.clone());
        let mut twin = None;
        let (mut survivor, half, sibling) = if this.seq == 0 {
            (other, this, call)
        } else if this.calls.contains_key(&own) {
            (this, other, own)
        } else {
            // A consult, found by the call it is made from: its other half is here first.
            twin = Some(call.clone());
            (this, other, call)
        };
        self.aliases.forget(&half);
        self.changed.insert(half.id.clone());
        let inputs = legs::absorb(&mut survivor, half, &sibling);
        self.with_teller(&mut survivor, &event.place, |teller| {
            for input in &inputs {
                flow::step(teller, event.at_ms, input);
            }
        });
        survivor.touched_ms = self.streams.now_ms;
        let id = survivor.id.clone();
        self.put_back(survivor);
        (id, twin)
    }

    /// The same where one of the two is over. What was not told joins it, and is silent too.
    fn unite_with_past(&mut self, id: String, past: &str, event: &Event) -> String {
        let Some(mut conversation) = self.take_out(&id) else { return past.to_owned() };
        let Some(gravestone) = self.gravestones.get_mut(past) else {
            self.put_back(conversation);
            return id;
        };
        if conversation.seq == 0 {
            gravestone.absorb(&conversation);
            self.aliases.forget(&conversation);
            self.aliases.learn_all(&past.into(), gravestone);
            self.changed.insert(id);
            return past.to_owned();
        }
        let is_younger = gravestone.created_ms <= conversation.created_ms();
        if gravestone.seq > 0 && is_younger && conversation.flow != Flow::Ended {
            self.with_teller(&mut conversation, &event.place, |teller| {
                flow::give_up(teller, event.at_ms, Reason::Merged);
            });
        }
        self.put_back(conversation);
        id
    }

    /// An event of a conversation that is over: it says nothing any more, but keeps the gravestone.
    fn come_late(&mut self, id: &str, event: &Event) {
        let Some((id, mut gravestone)) = self.gravestones.remove_entry(id) else { return };
        self.due.remove(&(gravestone.touched_ms + self.settings.gravestone_ms, Arc::clone(&id)));
        gravestone.touched_ms = self.streams.now_ms;
        if let Some(call) = &event.call {
            gravestone.learn((NameKind::Call, call.as_str().into()));
        }
        self.changed.insert(id.to_string());
        self.lay(id, gravestone);
    }

    fn with_teller(
        &mut self,
        conversation: &mut Conversation,
        cause: &str,
        speak: impl FnOnce(&mut Teller<'_>),
    ) {
        let mut teller = Teller {
            conversation,
            told: &mut self.told,
            domain: &self.domain,
            source_id: self.directory.source_id(),
            cause,
            now_ms: self.streams.now_ms,
            settings: &self.settings,
            directory: &self.directory,
            logins: &self.logins,
        };
        speak(&mut teller);
    }

    fn leave_out(&mut self, conversation: &mut Conversation, reason: Reason, cause: &str) {
        self.with_teller(conversation, cause, |teller| flow::suspend(teller, 0, reason));
    }

    /// Takes a conversation out of every index but its names; [`Self::put_back`] puts it in again.
    fn take_out(&mut self, id: &str) -> Option<Conversation> {
        let conversation = self.conversations.remove(id)?;
        self.phones.take(&conversation);
        self.due.remove(&(self.next_due(&conversation), id.into()));
        for person in busy(&conversation) {
            if self.busy.get(person).is_some_and(|with| with == id) {
                self.busy.remove(person);
            }
        }
        for agent in working(&conversation) {
            if let Some(ids) = self.working.get_mut(agent) {
                ids.remove(id);
                if ids.is_empty() {
                    self.working.remove(agent);
                }
            }
        }
        Some(conversation)
    }

    fn put_back(&mut self, conversation: Conversation) {
        self.aliases.learn(&conversation);
        self.changed.insert(conversation.id.clone());
        if let Some(gravestone) = Gravestone::of(&conversation) {
            return self.lay(conversation.id.into(), gravestone);
        }
        self.due.insert((self.next_due(&conversation), conversation.id.as_str().into()));
        if self.settings.relay_calls {
            self.phones.put(&conversation);
        }
        for person in busy(&conversation) {
            self.busy.entry(person.clone()).or_insert_with(|| conversation.id.clone());
        }
        for agent in working(&conversation) {
            self.working.entry(agent.clone()).or_default().insert(conversation.id.clone());
        }
        self.conversations.insert(conversation.id.clone(), conversation);
    }

    /// Remembers a conversation by its gravestone from now on.
    fn lay(&mut self, id: Arc<str>, gravestone: Gravestone) {
        self.aliases.learn_all(&id, &gravestone);
        let until_ms = gravestone.touched_ms + self.settings.gravestone_ms;
        self.due.insert((until_ms, Arc::clone(&id)));
        self.gravestones.insert(id, gravestone);
    }

    /// When a conversation must be looked at again though nothing is heard of it.
    fn next_due(&self, conversation: &Conversation) -> i64 {
        let over = conversation.flow == Flow::Ended
            || (conversation.flow == Flow::Ignored && conversation.is_over());
        let rest = if over { self.settings.gravestone_ms } else { self.settings.idle_ms };
        let after_call = conversation.after_call.iter().map(|(_, due_ms)| *due_ms);
        let times = after_call.chain(conversation.due_ms);
        times.fold(conversation.touched_ms + rest, i64::min)
    }

    /// Runs what stream time has made due, and not before what happened earlier and still waits.
    fn expire(&mut self) {
        while let Some((due_ms, id)) = self.due.first().cloned() {
            let waits = self.order.first_ms().is_some_and(|first_ms| first_ms <= due_ms);
            if due_ms > self.streams.now_ms || waits {
                return;
            }
            if let Some(gravestone) = self.gravestones.remove(&id) {
                self.aliases.forget_all(&id, &gravestone);
                self.due.pop_first();
                self.changed.insert(id.to_string());
                continue;
            }
            let Some(mut conversation) = self.take_out(&id) else {
                self.due.pop_first();
                continue;
            };
            let now_ms = self.streams.now_ms;
            let place = format!("tick@{now_ms}");
            let at_ms = conversation.last_ms.saturating_add(1);
            if conversation.after_call.iter().any(|(_, due_ms)| *due_ms <= now_ms) {
                self.with_teller(&mut conversation, &place, |teller| {
                    flow::close_after_call(teller, at_ms);
                });
                self.put_back(conversation);
            } else if conversation.due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                conversation.due_ms = None;
                let at_ms = at_ms.max(conversation.newest_ms);
                self.with_teller(&mut conversation, &place, |teller| {
                    flow::step(teller, at_ms, &Input::TimeUp);
                });
                self.put_back(conversation);
            } else if matches!(conversation.flow, Flow::Ended | Flow::Ignored) {
                // Nobody is in a call that is forgotten, though its end was never heard of.
                self.relay(at_ms.max(conversation.newest_ms), &place);
                self.aliases.forget(&conversation);
                self.changed.insert(id.to_string());
            } else {
                self.with_teller(&mut conversation, &place, |teller| {
                    flow::give_up(teller, at_ms, Reason::Idle);
                });
                self.put_back(conversation);
            }
        }
    }

    fn bury(&mut self, stored: &Stored, code: &str, why: &str) {
        self.effects.outputs.push((DEAD_CONVERSATION, dead_letter(stored, code, why)));
    }

    fn write<T: codec::Schemed>(&mut self, topic: Topic, key: &str, value: &T) {
        match codec::record(key, value) {
            Ok(record) => self.effects.outputs.push((topic, record)),
            Err(e) => unreachable_codec(&e),
        }
    }

    fn meta(&mut self) -> Vec<u8> {
        // Lent for the time it is written.
        let meta = Meta {
            copies: std::mem::take(&mut self.copies),
            streams: std::mem::take(&mut self.streams),
            directory_complete: self.directory.complete,
            announced: self.rows.announcement(),
        };
        let written = json(&meta);
        (self.copies, self.streams) = (meta.copies, meta.streams);
        written
    }
}

impl Processor for ConversationProcessor {
    type Saved = Saved;

    fn apply(&mut self, stored: &Stored) {
        self.apply_raw(stored, raw_event(stored));
    }

    fn drain(&mut self) -> Effects {
        let told = std::mem::take(&mut self.told);
        for (at, command) in told.commands.iter().enumerate() {
            self.write(COMMAND_CONVERSATION, &command.conversation_id, command);
            let written = self.effects.outputs.last_mut();
            if let (Some(context), Some((_, record))) = (told.traces.get(&at), written) {
                record.set_header(TRACE_HEADER, context.clone());
            }
        }
        for segment in &told.segments {
            self.write(SEGMENT, &segment.call_uuid, segment);
        }
        for outcome in &told.outcomes {
            self.write(OUTCOME_CONVERSATION, &outcome.conversation_id, outcome);
        }
        let mut effects = std::mem::take(&mut self.effects);
        for (key, row) in self.rows.changes() {
            effects.state.push((format!("{ROW}{key}").into_bytes(), row));
        }
        for id in std::mem::take(&mut self.changed) {
            let over = || Some(json(&Over { gravestone: self.gravestones.get(id.as_str())? }));
            let value = self.conversations.get(&id).map(json).or_else(over);
            effects.state.push((format!("{CALL}{id}").into_bytes(), value));
        }
        for (key, value) in self.logins.changes() {
            effects.state.push((key.into_bytes(), Some(value)));
        }
        for (block, held) in self.order.changes() {
            effects.state.push((format!("{HELD}{block}").into_bytes(), held.as_ref().map(json)));
        }
        if std::mem::take(&mut self.dirty) {
            effects.state.push((META.as_bytes().to_vec(), Some(self.meta())));
        }
        effects
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Saved, String> {
        Saved::read(key, value)
    }

    fn restore(&mut self, Saved(kind): Saved) {
        match kind {
            saved::Kind::Meta(meta) => {
                self.copies = meta.copies;
                self.streams = meta.streams;
                self.directory.complete = meta.directory_complete;
                self.rows.restore_announcement(meta.announced);
            }
            saved::Kind::Call(conversation) => {
                self.put_back(*conversation);
                // What was read is no change.
                self.changed.clear();
                self.phones.changes();
            }
            saved::Kind::Over(id, gravestone) => self.lay(id, gravestone),
            saved::Kind::Held(block, held) => self.order.expect(block, held),
            saved::Kind::Row(key, kept) => {
                self.directory.put(kept.row.clone());
                self.rows.restore(key, kept);
            }
            saved::Kind::Login(kept) => self.logins.restore(kept),
        }
    }

    fn held(&self) -> Vec<Offset> {
        self.order.expected()
    }

    fn rehold(&mut self, stored: &Stored) {
        let Ok(raw) = raw_event(stored) else { return };
        let stream = stream_of(&raw);
        let at_us = raw.switch_time_us.unwrap_or(raw.received_time_us);
        let at_us = at_us.min(raw.received_time_us.saturating_add(FUTURE_MAX_US));
        if let Some(kind) = Kind::find(stream.1, raw.name.as_deref().unwrap_or_default()) {
            let at = stored.offset;
            let pending = Pending { raw, kind, at_us, stored: stored.clone() };
            let number = number_of(&pending.raw);
            self.order.push(&self.streams, (&stream, number), at_us, at, pending);
        }
    }

    fn noticed(&self) -> Vec<(&'static str, u64)> {
        let Counters { copies, future_times, unknown_calls, late, .. } = self.counters();
        vec![
            ("copy", copies),
            ("future_time", future_times),
            ("unknown_call", unknown_calls),
            ("late_stream", late),
        ]
    }
}

impl Informed for ConversationProcessor {
    fn is_informed(&self) -> bool {
        self.directory.complete
    }

    fn learn(&mut self, stored: &Stored) {
        let Ok(raw) = raw_event(stored) else { return };
        match raw.kind {
            RawKind::DirectoryStart => self.rows.begin(&raw.payload),
            RawKind::DirectoryRow => self.take_row(stored, &raw),
            RawKind::DirectoryEnd => self.end_announcement(&raw.payload),
            RawKind::AgentFact => self.take_fact(stored, &raw),
            RawKind::Event
            | RawKind::LinkUp
            | RawKind::LinkDown
            | RawKind::CaughtUp
            | RawKind::Gap
            | RawKind::Tick
            | RawKind::CallFact => return,
        }
        self.dirty = true;
    }
}

fn note_unmapped_queue(teller: &mut Teller<'_>, event: &Event) {
    if event.kind != Kind::Queued {
        return;
    }
    let entry = teller.conversation.entries.last();
    if let Some(entry) = entry.filter(|entry| entry.queue_id.is_none()) {
        let detail = Some(format!("VQ {} is not in the directory", entry.dn));
        let status = trunkline_schemas::OutcomeStatus::LeftOut;
        teller.note(status, Reason::QueueNotMapped, detail);
    }
}

/// The original record, untouched, with what happened to it.
pub fn dead_letter(stored: &Stored, code: &str, why: &str) -> Record {
    written::dead_letter("conversation", stored, code, why)
}

fn row_key(row: &DirectoryRow) -> String {
    match row {
        DirectoryRow::Server(row) => format!("server/{}", row.name),
        DirectoryRow::Agent(row) => format!("agent/{}", row.employee_id),
        DirectoryRow::Queue(row) => format!("queue/{}@{}", row.dn, row.switch),
        DirectoryRow::Extension(row) => format!("extension/{}@{}", row.dn, row.switch),
        DirectoryRow::WrapUpCode(row) => format!("wrap-up-code/{}", row.name),
        DirectoryRow::Source(_) => "source".to_owned(),
    }
}

/// The people a conversation keeps busy: those with an open leg who are still in the call.
fn busy(conversation: &Conversation) -> impl Iterator<Item = &String> {
    let here = |id: &String| {
        let party = conversation.parties.iter().find(|p| p.id == *id && p.is_here());
        party.and_then(|party| party.person.as_ref())
    };
    conversation.open_legs().flat_map(|leg| &leg.subjects).filter_map(here)
}

/// The stream of a record: of a bridge's link the server pair, whichever of the two is followed; of
/// a file the server.
fn number_of(raw: &RawEvent) -> Number {
    (raw.server_start.unwrap_or_default(), raw.sequence.unwrap_or_default())
}

fn stream_of(raw: &RawEvent) -> StreamKey {
    let pair = raw.link.split_once('/').map(|(_, pair)| pair);
    (pair.unwrap_or(&raw.source).to_owned(), raw.stream.unwrap_or(Stream::Dn))
}
