//! The config sink: a reconciler that makes the organisation hold what Engage wants (seed 003,
//! EXCS).
//!
//! It looks at everything the organisation has ([`look`]), settles which object stands for which
//! ([`bind`]), concludes the smallest set of requests ([`plan`]) and has them sent one by one. What
//! an answer says changes what it knows of the organisation, so that it need not look again until
//! the next check for drift. It asks for one exchange at a time, and what it must remember
//! ([`memory`]) is to be made durable before that exchange: so it can be stopped at any moment, and
//! the next one does nothing twice. No I/O, no clock, no chance: time and jitter are arguments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use trunkline_schemas::desired::{DesiredKind, DesiredObject};
use trunkline_schemas::{OutcomeStatus, Record, Topic};

pub mod actual;
pub mod answer;
pub mod bind;
pub mod look;
pub mod memory;
pub mod plan;
pub mod request;
mod settle;
mod told;

#[cfg(test)]
mod tests;

use actual::Actual;
pub use answer::Heard;
use look::Look;
use memory::Memory;
use request::Known;
pub use request::{Call, Planned, Request};

/// What is wanted, by key.
pub type Desired = BTreeMap<String, DesiredObject>;

/// How the description of the source begins that says whose it is.
const MARKER: &str = "Engage tenant ";
/// How often a change is made again for a newer version.
const VERSIONS_MAX: u32 = 10;
/// How often what is left after everything was sent is concluded and sent again.
const ROUNDS_MAX: u32 = 5;
/// Between two looks at an organisation that is bound to another tenant, milliseconds.
const FOREIGN_WAIT_MS: i64 = 60_000;

/// How it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What tells the tenant from others that might share the organisation.
    pub tenant: String,
    /// Whether what the organisation deleted is created again (seed 001).
    pub recreates: bool,
    /// Between two checks for drift, milliseconds.
    pub check_ms: i64,
    /// Whether it plans only.
    pub is_dry: bool,
}

/// What is to happen next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// An exchange, once what was drained is durable.
    Ask(Call),
    /// Nothing for so many milliseconds.
    Wait(i64),
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything was as desired once.
    pub is_synced: bool,
    /// Requests answered since the last look at everything.
    pub done: usize,
    /// Requests still planned.
    pub left: usize,
    /// Whether it still looks.
    pub is_looking: bool,
    /// Why nothing goes on.
    pub blocked: Option<String>,
}

/// What was changed since the last time.
#[derive(Debug, Default)]
pub struct Changes {
    /// Records for other topics.
    pub outputs: Vec<(Topic, Record)>,
    /// Rows of the state; `None` forgets one.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What it is at.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// It looks at everything anew.
    Lists(VecDeque<Look>),
    /// It looks at single objects.
    Looks(VecDeque<Look>),
    /// It sends what was planned.
    Work,
    /// Everything is as desired, as far as it is known.
    Rest,
    /// The organisation is not ours.
    Foreign,
}

/// The reconciler of one organisation.
#[derive(Debug)]
pub struct Reconciler {
    settings: Settings,
    marker: String,
    desired: Desired,
    actual: Actual,
    memory: Memory,
    /// As it was when it was last drained.
    durable: Memory,
    phase: Phase,
    requests: VecDeque<Planned>,
    /// The queue that is being changed, as it was read.
    half: Option<Value>,
    /// Refused: not to be sent again until the next look at everything.
    failed: BTreeSet<Planned>,
    /// Objects that exist already according to an answer, and were looked for.
    sought: BTreeSet<String>,
    versions: BTreeMap<String, u32>,
    /// Roles that were reported as missing.
    reported: BTreeSet<String>,
    attempts: u32,
    failures: u32,
    done: usize,
    /// How often what is left was concluded anew.
    rounds: u32,
    not_before_ms: i64,
    check_at_ms: i64,
    is_changed: bool,
    blocked: Option<String>,
    outputs: Vec<(Topic, Record)>,
}

impl Reconciler {
    /// One that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        let marker = format!("{MARKER}{}", settings.tenant);
        Self {
            settings,
            marker,
            desired: Desired::new(),
            actual: Actual::default(),
            memory: Memory::default(),
            durable: Memory::default(),
            phase: Phase::Lists(look::everything()),
            requests: VecDeque::new(),
            half: None,
            failed: BTreeSet::new(),
            sought: BTreeSet::new(),
            versions: BTreeMap::new(),
            reported: BTreeSet::new(),
            attempts: 0,
            failures: 0,
            done: 0,
            rounds: 0,
            not_before_ms: i64::MIN,
            check_at_ms: i64::MIN,
            is_changed: false,
            blocked: None,
            outputs: Vec::new(),
        }
    }

    /// Takes a row of the state back.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn restore(&mut self, key: &[u8], body: &[u8]) -> Result<(), String> {
        self.memory.restore(key, body)?;
        self.durable.restore(key, body)
    }

    /// Takes what is wanted of an object now; nothing: nothing any more.
    pub fn want(&mut self, key: &str, object: Option<DesiredObject>) {
        if self.desired.get(key) == object.as_ref() {
            return;
        }
        self.failed.retain(|planned| planned.key != key);
        self.sought.remove(key);
        match object {
            Some(object) => drop(self.desired.insert(key.to_owned(), object)),
            None => drop(self.desired.remove(key)),
        }
        self.is_changed = true;
    }

    /// What is to happen next. What changed by it is to be durable before it is done.
    pub fn next(&mut self, now_ms: i64) -> Next {
        if now_ms < self.not_before_ms {
            return Next::Wait(self.not_before_ms - now_ms);
        }
        loop {
            match &self.phase {
                Phase::Lists(looks) | Phase::Looks(looks) => match looks.front() {
                    Some(look) => return Next::Ask(look.call()),
                    None => self.looked(now_ms),
                },
                Phase::Work => {
                    if self.is_changed {
                        self.rounds = 0;
                        self.plan(now_ms);
                    } else if self.settings.is_dry {
                        return Next::Wait(i64::MAX);
                    } else if let Some(call) = self.call() {
                        return Next::Ask(call);
                    } else if self.requests.is_empty() {
                        self.finish(now_ms);
                    }
                }
                Phase::Rest if self.is_changed => {
                    self.rounds = 0;
                    self.plan(now_ms);
                }
                Phase::Rest | Phase::Foreign => {
                    let wait_ms = self.check_at_ms.saturating_sub(now_ms);
                    if wait_ms > 0 {
                        return Next::Wait(wait_ms);
                    }
                    self.phase = Phase::Lists(look::everything());
                    self.actual = Actual::default();
                }
            }
        }
    }

    /// Whether all there is to do is done, or cannot be done before the next check.
    pub fn is_at_rest(&self) -> bool {
        !self.is_changed && matches!(self.phase, Phase::Rest | Phase::Foreign)
    }

    /// What is planned, once everything was looked at.
    pub fn planned(&self) -> Option<impl Iterator<Item = &Planned>> {
        let is_known = self.phase == Phase::Work && !self.is_changed;
        is_known.then(|| self.requests.iter())
    }

    /// Keys of what the organisation deleted.
    pub fn deleted(&self) -> Vec<String> {
        let objects = self.memory.objects.iter().filter(|(_, bound)| bound.is_deleted);
        objects.map(|(key, _)| key.clone()).collect()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            is_synced: self.memory.meta.is_synced,
            done: self.done,
            left: self.requests.len(),
            is_looking: matches!(self.phase, Phase::Lists(_) | Phase::Looks(_)),
            blocked: self.blocked.clone(),
        }
    }

    /// What changed since it was last asked for.
    pub fn drain(&mut self) -> Changes {
        let state = self.memory.rows_since(&self.durable);
        if !state.is_empty() {
            self.durable = self.memory.clone();
        }
        Changes { outputs: std::mem::take(&mut self.outputs), state }
    }

    /// The call of the first request that can be made; others are left for the next plan.
    fn call(&mut self) -> Option<Call> {
        while let Some(planned) = self.requests.front() {
            let known = Known {
                desired: &self.desired,
                actual: &self.actual,
                memory: &self.memory,
                marker: &self.marker,
            };
            let call = match (&planned.request, &self.half) {
                (Request::ChangeQueue(_), Some(read)) => known.merged(&planned.key, read),
                _ => known.call(planned),
            };
            if call.is_some() {
                if planned.request == Request::Create {
                    let is_user = DesiredKind::of_key(&planned.key) == Some(DesiredKind::User);
                    let bound = self.memory.objects.entry(planned.key.clone()).or_default();
                    bound.is_owed = is_user;
                }
                return call;
            }
            self.requests.pop_front();
            self.half = None;
        }
        None
    }

    /// All questions of this kind are answered.
    fn looked(&mut self, now_ms: i64) {
        if matches!(self.phase, Phase::Lists(_)) {
            if let Some(why) = self.foreign() {
                self.blocked = Some(why);
                self.check_at_ms = now_ms.saturating_add(FOREIGN_WAIT_MS);
                self.phase = Phase::Foreign;
                return;
            }
            self.blocked = None;
            self.memory.meta.org = Some(self.actual.org.clone());
            self.failed.clear();
            self.sought.clear();
            self.versions.clear();
            (self.done, self.rounds) = (0, 0);
            self.check_at_ms = now_ms.saturating_add(self.settings.check_ms);
            let missing = self.missing();
            if !missing.is_empty() {
                // A listing may lag behind; an object by its id does not.
                self.phase = Phase::Looks(missing);
                return;
            }
        }
        self.plan(now_ms);
    }

    /// Objects that are known by their ids and were not in the listings.
    fn missing(&self) -> VecDeque<Look> {
        let mut looks = VecDeque::new();
        for (key, bound) in &self.memory.objects {
            let kind = DesiredKind::of_key(key).filter(|_| self.desired.contains_key(key));
            let (Some(kind), Some(id)) = (kind, &bound.id) else { continue };
            let is_there = match kind {
                DesiredKind::User => self.actual.users.contains_key(id),
                DesiredKind::Skill => self.actual.skills.contains_key(id),
                DesiredKind::Queue => self.actual.queues.contains_key(id),
                DesiredKind::WrapUpCode => self.actual.codes.contains_key(id),
                DesiredKind::Source => self.actual.sources.contains_key(id),
            };
            if !is_there {
                looks.push_back(Look::ById(kind, id.clone()));
            }
        }
        looks
    }

    /// Why the organisation is not ours, if it is not.
    fn foreign(&self) -> Option<String> {
        let org = &self.actual.org;
        if let Some(known) = self.memory.meta.org.as_ref().filter(|known| *known != org) {
            return Some(format!(
                "the state is of organisation {known}, but this is {org}: give each its own log"
            ));
        }
        let sources = self.desired.values().filter(|it| it.kind() == DesiredKind::Source);
        let names: BTreeSet<String> = sources.map(|it| it.name().to_lowercase()).collect();
        let mut ours = self.actual.sources.values();
        let other = ours.find(|source| {
            names.contains(&source.name.to_lowercase())
                && source.description.starts_with(MARKER)
                && source.description != self.marker
        })?;
        Some(format!(
            "the organisation is bound to another tenant: its presence source {:?} says {:?}",
            other.name, other.description
        ))
    }

    /// Settles what is which and what is to be done, unless something has to be looked at first.
    fn plan(&mut self, now_ms: i64) {
        self.is_changed = false;
        self.half = None;
        self.attempts = 0;
        let before = self.memory.clone();
        let deleted =
            bind::bind(&self.desired, &self.actual, &mut self.memory, self.settings.recreates);
        for key in deleted {
            self.tell(&key, OutcomeStatus::LeftOut, None, Some("deleted_in_org"), None, now_ms);
        }
        self.sync_all_rows(&before);
        let queues = self.desired.keys().filter(|key| key.starts_with("queue/"));
        let ids = queues.filter_map(|key| self.memory.objects.get(key)?.id.as_ref());
        let is_unread = |id: &&String| {
            self.actual.queues.get(*id).is_some_and(|it| it.members.is_none() || it.codes.is_none())
        };
        let looks: VecDeque<Look> = ids
            .filter(is_unread)
            .flat_map(|id| [Look::Members(id.clone(), 1), Look::QueueCodes(id.clone(), 1)])
            .collect();
        if !looks.is_empty() {
            self.phase = Phase::Looks(looks);
            return;
        }
        self.report_roles(now_ms);
        let requests = plan::requests(&self.desired, &self.actual, &self.memory);
        let is_open = |planned: &Planned| !self.failed.contains(planned);
        self.requests = requests.into_iter().filter(is_open).collect();
        self.phase = Phase::Work;
    }

    /// Everything planned was sent: it is concluded once more what is left.
    fn finish(&mut self, now_ms: i64) {
        if self.rounds < ROUNDS_MAX {
            self.rounds += 1;
            self.plan(now_ms);
            if self.phase != Phase::Work || !self.requests.is_empty() {
                return;
            }
        }
        self.phase = Phase::Rest;
        if !self.desired.is_empty() {
            self.memory.meta.is_synced = true;
        }
    }
}
