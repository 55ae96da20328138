//! The presence processor: what Stat Server and Voice Microservices tell of agents into what
//! Genesys Cloud is to be told of its users (DESIGN section 5, seed 000).
//!
//! `event` reads a record, `directory` and the last login at a DN say of whom it is, `agent` is the
//! machine of that one, `table` says what is to be shown; here it gets its ids, numbers and times.
//! Facts that conversations need go to `raw.tlib`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use trunkline_schemas::directory::DnAt;
use trunkline_schemas::raw::AgentDeed;
use trunkline_schemas::topics::{COMMAND_PRESENCE, DEAD_PRESENCE, OUTCOME_PRESENCE, RAW_TLIB};
use trunkline_schemas::{
    AgentFact, CallFact, DirectoryRow, Offset, OutcomeStatus, PresenceChange, PresenceCommand,
    PresenceOutcome, RawEvent, RawKind, Record, RoutingStatus, Stored, SystemPresence, ids,
};

use crate::rows::{self, Announcement, Rows};
use crate::written::{self, encoded, json, raw_event};
use crate::{Effects, Informed, Processor};

pub mod agent;
pub mod directory;
pub mod event;
pub mod reason;
pub mod status;
pub mod table;

use agent::{Agent, Deed, Effect, Input, Moment};
use directory::Directory;
use event::Said;
use reason::ReasonNames;
use status::Meaning;

/// Events of an agent that are remembered, to recognise what a second bridge tells again.
const COPIES_MAX: usize = 8;
/// Most links that are told apart.
const LINKS_MAX: usize = 64;

/// Source of what this processor relays to conversations.
pub const RELAY: &str = "presence";

/// Which source decides what is shown. The other one still tells who is logged in where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// Stat Server (seed 003, EXAS).
    #[default]
    StatServer,
    /// Voice Microservices (seed 004), with the calls that conversations know.
    VoiceMicroservices,
}

/// How the processor is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which source decides.
    pub authority: Authority,
    /// The longest a change to *not ready* waits for its reason, milliseconds of stream time.
    pub reason_wait_ms: i64,
    /// Texts that stand for a mapped reason beside its own name.
    pub reasons: ReasonNames,
}

impl Default for Settings {
    /// Stat Server decides; a reason is waited for 1 s; no other texts.
    fn default() -> Self {
        Self {
            authority: Authority::default(),
            reason_wait_ms: 1_000,
            reasons: ReasonNames::default(),
        }
    }
}

/// What is counted; the shell publishes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that came again.
    pub copies: u64,
    /// Reasons that came when the agent had gone on.
    pub late_reasons: u64,
    /// Agents in memory.
    pub agents: u64,
    /// Changes that wait for their reason.
    pub waiting: u64,
}

/// One agent as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kept {
    seq: i64,
    last_ms: i64,
    /// Whom the rest was told of; another user of the same employee has been told nothing.
    user_id: String,
    presence: Option<SystemPresence>,
    routing: Option<RoutingStatus>,
    agent: Agent,
    /// Hash of each of the last events, and the link that told it; kept where there are several.
    copies: Vec<(u64, usize)>,
    /// The newest that was told of the status and of the reasons.
    news: [Option<News>; 2],
}

/// When a statistic was told last, to know what another bridge was told before that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct News {
    /// Hash of the server's name: each has its own clock.
    server: u64,
    /// When the server made it, microseconds since 1970.
    made_us: i64,
    link: usize,
}

/// One key of the state and what it holds.
#[derive(Debug)]
pub struct Saved(OneOf);

#[derive(Debug)]
enum OneOf {
    Meta(Meta),
    /// An agent, by employee id.
    Agent(String, Box<Kept>),
    Row(String, rows::Kept),
}

/// What must outlive a restart beside agents and rows.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    now_ms: i64,
    directory_complete: bool,
    /// Last number of each link that numbers its records.
    numbers: BTreeMap<String, (i64, i64)>,
    /// The announcement of the directory that began last.
    announced: Announcement,
    /// The links that ever told anything, by their place.
    links: Vec<String>,
}

const META: &str = "meta";
const AGENT: &str = "agent/";
const ROW: &str = "row/";

/// The processor of one routing domain.
pub struct PresenceProcessor {
    domain: String,
    settings: Settings,
    directory: Directory,
    rows: Rows,
    agents: BTreeMap<String, Kept>,
    /// Who logged in last at a DN, and what the event called the agent.
    logins: BTreeMap<DnAt, (String, Option<String>)>,
    due: BTreeSet<(i64, String)>,
    meta: Meta,
    changed: BTreeSet<String>,
    is_dirty: bool,
    effects: Effects,
    counters: Counters,
}

impl PresenceProcessor {
    /// A processor that knows nothing yet.
    pub fn new(domain: &str, settings: Settings) -> Self {
        Self {
            domain: domain.to_owned(),
            settings,
            directory: Directory::default(),
            rows: Rows::default(),
            agents: BTreeMap::new(),
            logins: BTreeMap::new(),
            due: BTreeSet::new(),
            meta: Meta::default(),
            changed: BTreeSet::new(),
            is_dirty: false,
            effects: Effects::default(),
            counters: Counters::default(),
        }
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        let (agents, waiting) = (self.agents.len() as u64, self.due.len() as u64);
        Counters { agents, waiting, ..self.counters }
    }

    fn take(&mut self, stored: &Stored, raw: &RawEvent) {
        match raw.kind {
            RawKind::Event => self.take_event(stored, raw),
            RawKind::CallFact => self.take_call(stored, raw),
            // A server that cannot be reached tells nothing of its agents.
            RawKind::LinkUp
            | RawKind::LinkDown
            | RawKind::CaughtUp
            | RawKind::Tick
            | RawKind::AgentFact => {}
            // After it, numbers may begin anew.
            RawKind::Gap => {
                self.meta.numbers.remove(&raw.link);
            }
            RawKind::DirectoryStart => self.rows.begin(&raw.payload),
            RawKind::DirectoryRow => self.take_row(stored, raw),
            RawKind::DirectoryEnd => {
                self.end_announcement(&raw.payload);
                self.say_caught_up();
            }
        }
    }

    fn take_row(&mut self, stored: &Stored, raw: &RawEvent) {
        let row = match serde_json::from_slice::<DirectoryRow>(&raw.payload) {
            Ok(row) => row,
            Err(e) => {
                let why = format!("a directory row is unreadable: {e}");
                return self.bury(stored, "bad_directory_row", &why);
            }
        };
        let Some(key) = row_key(&row) else { return };
        self.directory.put(row.clone());
        if let DirectoryRow::Agent(agent) = &row {
            self.show_to_user(&agent.employee_id, &stored.place());
        }
        self.rows.put(key, row);
    }

    /// Rows that were not announced again are gone.
    fn end_announcement(&mut self, name: &[u8]) {
        if !self.rows.end(name) {
            return;
        }
        let left: Vec<String> = self
            .directory
            .agents()
            .filter(|agent| !self.rows.has(&agent_row_key(agent)))
            .cloned()
            .collect();
        self.directory = Directory::of(self.rows.iter());
        for employee_id in left {
            self.forget(&employee_id);
        }
    }

    /// Says to the conversation processor that facts of all that came before the directory are
    /// told: it waits for that before it begins.
    fn say_caught_up(&mut self) {
        let now_us = self.meta.now_ms.saturating_mul(1_000);
        let raw = RawEvent::bare(RawKind::CaughtUp, &self.domain, RELAY, now_us);
        self.effects.outputs.push((RAW_TLIB, encoded("", &raw)));
    }

    /// An agent left the scope. Number and time stay for ever, so that no event id comes twice.
    fn forget(&mut self, employee_id: &str) {
        let Some(mut kept) = self.take_out(employee_id) else { return };
        kept = Kept { seq: kept.seq, last_ms: kept.last_ms, ..Kept::default() };
        self.put_back(employee_id, kept);
    }

    /// A user who is new to the agent is told what is known.
    fn show_to_user(&mut self, employee_id: &str, cause: &str) {
        let Some(mut kept) = self.take_out(employee_id) else { return };
        let is_new = self.directory.user_id(employee_id).is_some_and(|id| id != kept.user_id);
        if is_new && let Some((presence, routing)) = kept.agent.shown() {
            self.tell(employee_id, &mut kept, (self.meta.now_ms, presence, routing), cause);
        }
        self.put_back(employee_id, kept);
    }

    fn take_event(&mut self, stored: &Stored, raw: &RawEvent) {
        if self.is_told_again(raw) {
            self.counters.copies += 1;
            return;
        }
        let (said, at_ms) = match event::read(raw, &self.settings.reasons) {
            Ok(said) => said,
            Err(why) => return self.bury(stored, "bad_event", &why),
        };
        let decides = self.settings.authority == Authority::StatServer;
        let (who, input) = match said {
            Said::Nothing => return,
            Said::Status { agent, meaning, dns } => {
                let place = |(dn, switch, meaning): (String, String, Meaning)| {
                    let at = if switch.is_empty() {
                        self.directory.place(&dn, &raw.source)
                    } else {
                        DnAt { dn, switch }
                    };
                    (at, meaning)
                };
                let dns = dns.into_iter().map(place).collect();
                (Some(agent), Input::Status(if decides { meaning } else { Meaning::Nothing }, dns))
            }
            Said::Reasons { .. } if !decides => return,
            Said::Reasons { agent, given } => (Some(agent), Input::Reasons(given)),
            Said::Voice { agent, dn, deed } => {
                let at = self.directory.place(&dn, &raw.source);
                let who = self.who(agent.as_deref(), &at);
                (who.or(agent), Input::Voice(at, deed, !decides))
            }
        };
        let who = who.or_else(|| raw.this_dn.clone()).unwrap_or_default();
        if self.directory.user_id(&who).is_none() {
            return self.leave_out(&who);
        }
        self.make_room(&who, &input, at_ms, stored);
        let copy = (hash(&raw.payload), self.link_number(&raw.link));
        if self.is_old_news(&who, &input, raw, copy.1) {
            self.counters.copies += 1;
            return;
        }
        self.apply_to(&who, &input, at_ms, stored, Some(copy));
    }

    fn take_call(&mut self, stored: &Stored, raw: &RawEvent) {
        let fact = match serde_json::from_slice::<CallFact>(&raw.payload) {
            Ok(fact) => fact,
            Err(e) => {
                let why = format!("a relayed call is unreadable: {e}");
                return self.bury(stored, "bad_fact", &why);
            }
        };
        let decides = self.settings.authority == Authority::VoiceMicroservices;
        if decides && self.directory.user_id(&fact.employee_id).is_some() {
            self.apply_to(&fact.employee_id, &Input::Call(fact.call), fact.at_ms, stored, None);
        }
    }

    /// Whether a link that numbers its records has told this one before.
    fn is_told_again(&mut self, raw: &RawEvent) -> bool {
        let Some(number) = raw.sequence else { return false };
        let start = raw.server_start.unwrap_or_default(); // Kafka numbers records without one
        let last = self.meta.numbers.entry(raw.link.clone()).or_insert((start, i64::MIN));
        let is_old = last.0 == start && number <= last.1;
        if !is_old {
            *last = (start, number);
        }
        is_old
    }

    fn link_number(&mut self, link: &str) -> usize {
        let links = &mut self.meta.links;
        if let Some(number) = links.iter().position(|known| known == link) {
            return number;
        }
        if links.len() >= LINKS_MAX {
            links.clear();
        }
        links.push(link.to_owned());
        links.len() - 1
    }

    /// Whether another link has told of this statistic what the same server made later: two bridges
    /// are told the present state at different moments, and the older one may be written last.
    fn is_old_news(&mut self, who: &str, input: &Input, raw: &RawEvent, link: usize) -> bool {
        let statistic = match input {
            Input::Status(..) => 0,
            Input::Reasons(_) => 1,
            Input::Voice(..) | Input::Call(_) | Input::Time => return false,
        };
        let Some(made_us) = raw.switch_time_us else { return false };
        let news = News { server: hash(raw.source.as_bytes()), made_us, link };
        let mut kept = self.take_out(who).unwrap_or_default();
        let last = kept.news[statistic].as_ref();
        let by_other = last.filter(|last| last.server == news.server && last.link != link);
        let is_old = by_other.is_some_and(|last| made_us < last.made_us);
        // Of what both tell at once, whoever told it first stays.
        if by_other.is_none_or(|last| made_us > last.made_us) {
            kept.news[statistic] = Some(news);
        }
        self.put_back(who, kept);
        is_old
    }

    /// Who is at a DN: the employee of that id; else who logged in there last, if the event says
    /// nothing else; else whom the configuration has there.
    fn who(&self, named: Option<&str>, at: &DnAt) -> Option<String> {
        if let Some(named) = named.filter(|named| self.directory.user_id(named).is_some()) {
            return Some(named.to_owned());
        }
        let last = self.logins.get(at).filter(|(_, given)| match (named, given) {
            (Some(named), Some(given)) => named == given,
            (None, _) | (_, None) => true,
        });
        let last = last.map(|(employee_id, _)| employee_id.clone());
        last.or_else(|| self.directory.at(at).map(str::to_owned))
    }

    /// Whoever was logged in at a DN is not when somebody else logs in there.
    fn make_room(&mut self, who: &str, input: &Input, at_ms: i64, stored: &Stored) {
        let taken: Vec<DnAt> = match input {
            Input::Status(_, dns) => {
                let is_in = |meaning| status::says_logged_in(meaning) == Some(true);
                dns.iter().filter(|(_, m)| is_in(*m)).map(|(at, _)| at.clone()).collect()
            }
            Input::Voice(at, deed, _) if *deed != Deed::Logout => vec![at.clone()],
            Input::Voice(..) | Input::Reasons(_) | Input::Call(_) | Input::Time => Vec::new(),
        };
        let decides = self.settings.authority == Authority::VoiceMicroservices;
        for at in taken {
            let other = self.logins.get(&at).map(|(employee_id, _)| employee_id.clone());
            if let Some(other) = other.filter(|other| other != who) {
                let out = Input::Voice(at.clone(), Deed::Logout, decides);
                self.apply_to(&other, &out, at_ms, stored, None);
                if let Some(mut kept) = self.take_out(&other) {
                    kept.agent.leave_dn(&at);
                    self.put_back(&other, kept);
                }
            }
        }
    }

    /// Asks the machine of an agent. A record that makes it panic leaves the agent as it was
    /// (DESIGN law 11); what the source tells next sets the agent right.
    fn apply_to(
        &mut self,
        employee_id: &str,
        input: &Input,
        at_ms: i64,
        stored: &Stored,
        copy: Option<(u64, usize)>,
    ) {
        let mut kept = self.take_out(employee_id).unwrap_or_default();
        if let Some(copy) = copy.filter(|_| self.meta.links.len() > 1)
            && is_copy(&mut kept.copies, copy)
        {
            self.counters.copies += 1;
            self.put_back(employee_id, kept);
            return;
        }
        let place = stored.place();
        let moment = Moment {
            at_ms,
            now_ms: self.meta.now_ms,
            window_ms: self.settings.reason_wait_ms,
            cause: &place,
        };
        let mut agent = kept.agent.clone();
        let mut effects = Vec::new();
        let applied = catch_unwind(AssertUnwindSafe(|| {
            agent.take(input, &moment, &mut effects);
        }));
        if applied.is_ok() {
            kept.agent = agent;
            self.follow(employee_id, &mut kept, effects, &place);
        } else {
            self.bury(stored, "panic", "the processor failed on this record");
        }
        self.put_back(employee_id, kept);
    }

    fn follow(&mut self, employee_id: &str, kept: &mut Kept, effects: Vec<Effect>, place: &str) {
        for effect in effects {
            match effect {
                Effect::Show { at_ms, presence, routing, cause } => {
                    self.tell(employee_id, kept, (at_ms, presence, routing), &cause);
                }
                Effect::Fact(fact, at, at_ms) => {
                    self.relay(employee_id, fact, at, at_ms, place);
                }
                Effect::LateReason => self.counters.late_reasons += 1,
            }
        }
    }

    /// Writes what is new to the user: presence, then routing status; times strictly increase.
    fn tell(
        &mut self,
        employee_id: &str,
        kept: &mut Kept,
        (at_ms, presence, routing): (i64, Option<SystemPresence>, RoutingStatus),
        cause: &str,
    ) {
        let Some(user_id) = self.directory.user_id(employee_id).map(str::to_owned) else { return };
        if kept.user_id != user_id {
            (kept.presence, kept.routing) = (None, None);
            kept.user_id.clone_from(&user_id);
        }
        let mut write = |change: PresenceChange, kind: &str| {
            kept.seq += 1;
            kept.last_ms = at_ms.max(kept.last_ms.saturating_add(1));
            let (seq, at_ms) = (kept.seq, kept.last_ms);
            let id = ids::presence_event_id(&self.domain, employee_id, seq, kind);
            let command = PresenceCommand {
                event_id: id.to_string(),
                agent: employee_id.to_owned(),
                user_id: user_id.clone(),
                domain: self.domain.clone(),
                seq,
                at_ms,
                change,
                cause: cause.to_owned(),
            };
            self.effects.outputs.push((COMMAND_PRESENCE, encoded(employee_id, &command)));
        };
        if let Some(presence) = presence.filter(|presence| kept.presence != Some(*presence)) {
            write(PresenceChange::Presence(presence), "presence");
            kept.presence = Some(presence);
        }
        if kept.routing != Some(routing) {
            write(PresenceChange::Routing(routing), "routing");
            kept.routing = Some(routing);
        }
    }

    fn relay(&mut self, employee_id: &str, fact: AgentDeed, at: DnAt, at_ms: i64, cause: &str) {
        let fact = AgentFact {
            employee_id: employee_id.to_owned(),
            fact,
            dn: at.dn,
            switch: at.switch,
            at_ms,
            cause: cause.to_owned(),
        };
        let mut raw =
            RawEvent::bare(RawKind::AgentFact, &self.domain, RELAY, self.meta.now_ms * 1_000);
        raw.switch_time_us = Some(at_ms.saturating_mul(1_000));
        raw.this_dn = Some(fact.dn.clone()).filter(|dn| !dn.is_empty());
        raw.agent_id = Some(fact.employee_id.clone());
        raw.payload = json(&fact);
        let key = if fact.dn.is_empty() { fact.employee_id } else { fact.dn };
        self.effects.outputs.push((RAW_TLIB, encoded(&key, &raw)));
    }

    fn leave_out(&mut self, who: &str) {
        let (code, reason) = if self.directory.complete {
            ("agent_not_mapped", "nobody of this id or at this DN is in the directory")
        } else {
            ("before_directory", "the directory has not been announced yet")
        };
        let outcome = PresenceOutcome {
            status: OutcomeStatus::LeftOut,
            agent: who.to_owned(),
            user_id: None,
            domain: self.domain.clone(),
            event_id: None,
            seq: None,
            event: None,
            code: Some(code.to_owned()),
            reason: Some(reason.to_owned()),
            attempts: 0,
            at_ms: self.meta.now_ms,
        };
        self.effects.outputs.push((OUTCOME_PRESENCE, encoded(who, &outcome)));
    }

    /// Takes an agent out of every index; [`Self::put_back`] puts it in again.
    fn take_out(&mut self, employee_id: &str) -> Option<Kept> {
        let kept = self.agents.remove(employee_id)?;
        if let Some(due_ms) = kept.agent.due_ms() {
            self.due.remove(&(due_ms, employee_id.to_owned()));
        }
        for dn in kept.agent.dns() {
            if self.logins.get(&dn.at).is_some_and(|(last, _)| last == employee_id) {
                self.logins.remove(&dn.at);
            }
        }
        Some(kept)
    }

    fn put_back(&mut self, employee_id: &str, kept: Kept) {
        if let Some(due_ms) = kept.agent.due_ms() {
            self.due.insert((due_ms, employee_id.to_owned()));
        }
        for dn in kept.agent.dns() {
            let last = (employee_id.to_owned(), dn.given.clone());
            self.logins.entry(dn.at.clone()).or_insert(last);
        }
        self.changed.insert(employee_id.to_owned());
        self.agents.insert(employee_id.to_owned(), kept);
    }

    /// Runs what stream time has made due.
    fn expire(&mut self, stored: &Stored) {
        while let Some((due_ms, employee_id)) = self.due.first().cloned() {
            if due_ms > self.meta.now_ms {
                return;
            }
            self.due.pop_first();
            self.apply_to(&employee_id, &Input::Time, self.meta.now_ms, stored, None);
        }
    }

    fn bury(&mut self, stored: &Stored, code: &str, why: &str) {
        self.effects.outputs.push((DEAD_PRESENCE, dead_letter(stored, code, why)));
    }
}

impl Processor for PresenceProcessor {
    type Saved = Saved;

    fn apply(&mut self, stored: &Stored) {
        self.is_dirty = true;
        self.meta.now_ms = self.meta.now_ms.max(stored.append_time_ms);
        // What was due before this record comes before it.
        self.expire(stored);
        match raw_event(stored) {
            Ok(raw) => self.take(stored, &raw),
            Err(why) => self.bury(stored, "undecodable", &why),
        }
    }

    fn drain(&mut self) -> Effects {
        let mut effects = std::mem::take(&mut self.effects);
        for (key, value) in self.rows.changes() {
            effects.state.push((format!("{ROW}{key}").into_bytes(), value));
        }
        for employee_id in std::mem::take(&mut self.changed) {
            let value = self.agents.get(&employee_id).map(json);
            effects.state.push((format!("{AGENT}{employee_id}").into_bytes(), value));
        }
        if std::mem::take(&mut self.is_dirty) {
            self.meta.directory_complete = self.directory.complete;
            self.meta.announced = self.rows.announcement();
            effects.state.push((META.as_bytes().to_vec(), Some(json(&self.meta))));
        }
        effects
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Saved, String> {
        let key = String::from_utf8_lossy(key);
        let bad = |e: serde_json::Error| format!("state key {key}: {e}");
        let one = if *key == *META {
            OneOf::Meta(serde_json::from_slice(value).map_err(bad)?)
        } else if let Some(employee_id) = key.strip_prefix(AGENT) {
            OneOf::Agent(employee_id.to_owned(), serde_json::from_slice(value).map_err(bad)?)
        } else if let Some(row) = key.strip_prefix(ROW) {
            OneOf::Row(row.to_owned(), rows::Kept::read(value).map_err(bad)?)
        } else {
            return Err(format!("state key {key} is not one of {META}, {AGENT}* and {ROW}*"));
        };
        Ok(Saved(one))
    }

    fn restore(&mut self, Saved(one): Saved) {
        match one {
            OneOf::Meta(meta) => {
                self.meta = meta;
                self.directory.complete = self.meta.directory_complete;
                self.rows.restore_announcement(self.meta.announced.clone());
            }
            OneOf::Agent(employee_id, kept) => {
                self.put_back(&employee_id, *kept);
                self.changed.clear(); // what was read is no change
            }
            OneOf::Row(key, kept) => {
                self.directory.put(kept.row.clone());
                self.rows.restore(key, kept);
            }
        }
    }

    fn held(&self) -> Vec<Offset> {
        Vec::new()
    }

    fn rehold(&mut self, _: &Stored) {}

    fn noticed(&self) -> Vec<(&'static str, u64)> {
        vec![("copy", self.counters.copies), ("late_reason", self.counters.late_reasons)]
    }
}

impl Informed for PresenceProcessor {
    fn is_informed(&self) -> bool {
        self.directory.complete
    }

    fn learn(&mut self, stored: &Stored) {
        let Ok(raw) = raw_event(stored) else { return };
        match raw.kind {
            RawKind::DirectoryStart => self.rows.begin(&raw.payload),
            RawKind::DirectoryRow => self.take_row(stored, &raw),
            RawKind::DirectoryEnd => self.end_announcement(&raw.payload),
            RawKind::Event
            | RawKind::LinkUp
            | RawKind::LinkDown
            | RawKind::CaughtUp
            | RawKind::Gap
            | RawKind::Tick
            | RawKind::AgentFact
            | RawKind::CallFact => return,
        }
        self.is_dirty = true;
    }
}

/// Whether another link told the same; if not, it is remembered.
fn is_copy(copies: &mut Vec<(u64, usize)>, (hash, link): (u64, usize)) -> bool {
    if copies.iter().any(|(known, by)| *known == hash && *by != link) {
        return true;
    }
    copies.push((hash, link));
    if copies.len() > COPIES_MAX {
        copies.remove(0);
    }
    false
}

/// FNV-1a of 64 bits, of which JSON carries 53.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step) >> 11
}

/// The rows that this processor needs, by what each is of.
fn row_key(row: &DirectoryRow) -> Option<String> {
    match row {
        DirectoryRow::Agent(row) => Some(agent_row_key(&row.employee_id)),
        DirectoryRow::Server(row) => Some(format!("server/{}", row.name)),
        DirectoryRow::Extension(row) => Some(format!("extension/{}@{}", row.dn, row.switch)),
        DirectoryRow::Queue(_) | DirectoryRow::WrapUpCode(_) | DirectoryRow::Source(_) => None,
    }
}

fn agent_row_key(employee_id: &str) -> String {
    format!("agent/{employee_id}")
}

/// The original record, untouched, with what happened to it.
pub fn dead_letter(stored: &Stored, code: &str, why: &str) -> Record {
    written::dead_letter("presence", stored, code, why)
}
