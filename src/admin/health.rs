//! Health, from what the loops themselves report: it cannot stay green over a dead loop.
//!
//! *Live* means that every loop has made a step within its limit; a loop that ended without saying
//! so is not live. *Ready* means that every condition holds; before the first is named, none does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::roles::Role;
use crate::clock::{self, Uptime};

/// Everything that reports its health. Clones are the same registry.
#[derive(Clone, Debug, Default)]
pub struct Health {
    registry: Arc<Mutex<Registry>>,
    /// Whom that concerns which is reported through this one; nothing: every role.
    role: Option<Role>,
}

#[derive(Debug, Default)]
struct Registry {
    next_id: u64,
    loops: BTreeMap<String, Watched>,
    conditions: BTreeMap<String, Stated>,
    synced: Option<Synced>,
}

/// The configuration is in the organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Id of the organisation, where it is known.
    pub org: Option<String>,
    /// When the last change of it was dealt with, milliseconds since 1970.
    pub at_ms: i64,
}

#[derive(Debug)]
struct Watched {
    id: u64,
    role: Option<Role>,
    limit: Duration,
    last: Uptime,
    beats: u64,
    ended: bool,
}

#[derive(Debug)]
struct Stated {
    id: u64,
    role: Option<Role>,
    why_not: Option<String>,
    /// Whether it has ever held.
    has_held: bool,
    /// Since when it has been so, milliseconds since 1970.
    since_ms: i64,
}

/// A loop reports its steps here. Dropped without [`Progress::retire`], it counts as dead.
#[derive(Debug)]
#[must_use = "a loop whose handle is dropped counts as dead"]
pub struct Progress {
    health: Health,
    name: String,
    id: u64,
}

/// A condition of readiness, reported by whoever knows it. Dropped without
/// [`Condition::retire`], it does not hold.
#[derive(Debug)]
#[must_use = "a condition whose handle is dropped does not hold"]
pub struct Condition {
    health: Health,
    name: String,
    id: u64,
}

/// A loop at some moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoopState {
    /// Its name.
    pub name: String,
    /// Whether it made a step within its limit.
    pub live: bool,
    /// Steps so far.
    pub beats: u64,
    /// Milliseconds since the last one.
    pub idle_ms: u64,
    /// Milliseconds it may take for one.
    pub limit_ms: u64,
    /// Whether it ended without saying so.
    pub ended: bool,
}

/// A condition, as one role sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// Why it does not hold; nothing: it does.
    pub why_not: Option<String>,
    /// Whether it has ever held: one that has not may be about to for the first time.
    pub has_held: bool,
    /// Since when it has been so, milliseconds since 1970.
    pub since_ms: i64,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name.
    pub condition: String,
    /// Why it does not hold.
    pub why: String,
}

impl Health {
    /// An empty registry: live, since no loop is dead, and not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same registry, for what concerns one role.
    #[must_use]
    pub fn of(&self, role: Role) -> Self {
        Self { registry: Arc::clone(&self.registry), role: Some(role) }
    }

    /// Watches a loop that promises a step at least every `limit`. A loop of the same name is
    /// replaced: it was restarted.
    pub fn watch(&self, name: impl Into<String>, limit: Duration, now: Uptime) -> Progress {
        let name = name.into();
        let mut registry = self.lock();
        let id = registry.id();
        let role = self.role;
        let watched = Watched { id, role, limit, last: now, beats: 0, ended: false };
        registry.loops.insert(name.clone(), watched);
        drop(registry);
        Progress { health: self.clone(), name, id }
    }

    /// Names a condition of readiness, which does not hold until it is said to. One of the same
    /// name is replaced.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let name = name.into();
        let mut registry = self.lock();
        let id = registry.id();
        let (role, since_ms) = (self.role, clock::now_ms());
        let why_not = Some("not reported yet".to_owned());
        let stated = Stated { id, role, why_not, has_held: false, since_ms };
        registry.conditions.insert(name.clone(), stated);
        drop(registry);
        Condition { health: self.clone(), name, id }
    }

    /// All loops, by name.
    pub fn loops(&self, now: Uptime) -> Vec<LoopState> {
        let registry = self.lock();
        registry.loops.iter().map(|(name, watched)| watched.state(name, now)).collect()
    }

    /// The loops that concern a role, by name.
    pub fn loops_of(&self, role: Role, now: Uptime) -> Vec<LoopState> {
        let registry = self.lock();
        let own = registry.loops.iter().filter(|(_, watched)| concerns(watched.role, role));
        own.map(|(name, watched)| watched.state(name, now)).collect()
    }

    /// The conditions that concern a role, by name.
    pub fn dependencies(&self, role: Role) -> Vec<Dependency> {
        let registry = self.lock();
        let own = registry.conditions.iter().filter(|(_, stated)| concerns(stated.role, role));
        let dependencies = own.map(|(name, stated)| Dependency {
            name: name.clone(),
            why_not: stated.why_not.clone(),
            has_held: stated.has_held,
            since_ms: stated.since_ms,
        });
        dependencies.collect()
    }

    /// The first synchronisation of the configuration has succeeded, or another change of it has
    /// been dealt with since.
    pub fn tell_synced(&self, synced: Synced) {
        self.lock().synced = Some(synced);
    }

    /// The configuration, once it is in the organisation.
    pub fn synced(&self) -> Option<Synced> {
        self.lock().synced.clone()
    }

    /// The conditions that do not hold, by name; empty means ready.
    pub fn missing(&self) -> Vec<Missing> {
        let registry = self.lock();
        if registry.conditions.is_empty() {
            let (condition, why) = ("start".to_owned(), "nothing has started yet".to_owned());
            return vec![Missing { condition, why }];
        }
        let missing = registry.conditions.iter().filter_map(|(name, stated)| {
            let why = stated.why_not.clone()?;
            Some(Missing { condition: name.clone(), why })
        });
        missing.collect()
    }

    /// The names of all conditions.
    pub fn conditions(&self) -> Vec<String> {
        self.lock().conditions.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // What is kept is whole between any two statements, so a panic elsewhere spoils nothing.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn loop_of(&mut self, progress: &Progress) -> Option<&mut Watched> {
        self.loops.get_mut(&progress.name).filter(|watched| watched.id == progress.id)
    }

    fn condition_of(&mut self, condition: &Condition) -> Option<&mut Stated> {
        self.conditions.get_mut(&condition.name).filter(|stated| stated.id == condition.id)
    }
}

impl Watched {
    fn state(&self, name: &str, now: Uptime) -> LoopState {
        let idle = now.since(self.last);
        LoopState {
            name: name.to_owned(),
            live: !self.ended && idle <= self.limit,
            beats: self.beats,
            idle_ms: millis(idle),
            limit_ms: millis(self.limit),
            ended: self.ended,
        }
    }
}

impl Stated {
    fn set(&mut self, why_not: Option<String>) {
        if self.why_not.is_some() != why_not.is_some() {
            self.since_ms = clock::now_ms();
        }
        self.has_held |= why_not.is_none();
        self.why_not = why_not;
    }
}

/// Whether what was reported of one role, or of all, concerns another.
fn concerns(reported: Option<Role>, role: Role) -> bool {
    reported.is_none_or(|reported| reported == role)
}

impl Progress {
    /// The loop made a step, or saw that there is nothing to do.
    pub fn beat(&self, now: Uptime) {
        if let Some(watched) = self.health.lock().loop_of(self) {
            watched.last = watched.last.max(now);
            watched.beats += 1;
        }
    }

    /// The loop ended as it should: it is no longer watched.
    pub fn retire(self) {
        let mut registry = self.health.lock();
        if registry.loop_of(&self).is_some() {
            registry.loops.remove(&self.name);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(watched) = self.health.lock().loop_of(self) {
            watched.ended = true;
        }
    }
}

impl Condition {
    /// The condition holds, or does not and why. The reason is shown to whoever asks: no secrets.
    pub fn set(&self, holds: bool, why_not: impl Into<String>) {
        if let Some(stated) = self.health.lock().condition_of(self) {
            stated.set((!holds).then(|| why_not.into()));
        }
    }

    /// The condition is no longer one.
    pub fn retire(self) {
        let mut registry = self.health.lock();
        if registry.condition_of(&self).is_some() {
            registry.conditions.remove(&self.name);
        }
    }
}

impl Drop for Condition {
    fn drop(&mut self) {
        if let Some(stated) = self.health.lock().condition_of(self) {
            stated.set(Some("whoever reported it is gone".to_owned()));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn live(health: &Health, now_ms: u64) -> Vec<(String, bool)> {
        let states = health.loops(Uptime::of_ms(now_ms));
        states.into_iter().map(|state| (state.name, state.live)).collect()
    }

    #[test]
    fn a_loop_is_live_while_it_steps_within_its_limit() {
        let health = Health::new();
        let progress = health.watch("sink-0", LIMIT, Uptime::of_ms(1000));
        for (beat, now, expected) in [
            (None, 1000, true),
            (None, 1100, true),
            (None, 1101, false),
            (Some(1150), 1200, true),
            // A reading taken earlier and reported later takes nothing back.
            (Some(1050), 1250, true),
            (None, 1251, false),
        ] {
            if let Some(at) = beat {
                progress.beat(Uptime::of_ms(at));
            }
            assert_eq!(live(&health, now), [("sink-0".to_owned(), expected)], "at {now}");
        }
        assert_eq!(health.loops(Uptime::of_ms(1251))[0].beats, 2);
    }

    #[test]
    fn a_loop_that_vanishes_is_dead_one_that_retires_is_gone_and_a_new_one_replaces_it() {
        let health = Health::new();
        let at = Uptime::of_ms(0);
        health.watch("a", LIMIT, at).retire();
        assert_eq!(live(&health, 0), []);

        let first = health.watch("b", LIMIT, at);
        drop(first);
        assert_eq!(live(&health, 0), [("b".to_owned(), false)]);

        let second = health.watch("b", LIMIT, at);
        let third = health.watch("b", LIMIT, at);
        drop(second);
        assert_eq!(live(&health, 0), [("b".to_owned(), true)]);
        third.retire();
        assert_eq!(live(&health, 0), []);
    }

    #[test]
    fn ready_is_when_every_condition_holds() {
        let health = Health::new();
        let missing = |health: &Health| -> Vec<String> {
            health.missing().into_iter().map(|m| format!("{}: {}", m.condition, m.why)).collect()
        };
        assert_eq!(missing(&health), ["start: nothing has started yet"]);
        let (log, token) = (health.condition("log"), health.condition("token"));
        assert_eq!(missing(&health), ["log: not reported yet", "token: not reported yet"]);
        log.set(true, "");
        token.set(false, "refused");
        assert_eq!(missing(&health), ["token: refused"]);
        token.set(true, "");
        assert!(missing(&health).is_empty());
        assert_eq!(health.conditions(), ["log", "token"]);
        drop(log);
        assert_eq!(missing(&health), ["log: whoever reported it is gone"]);
        health.condition("log").retire();
        assert!(missing(&health).is_empty());
    }

    #[test]
    fn a_role_sees_what_is_its_own_and_what_is_everybodys() {
        let health = Health::new();
        let (presence, config) = (health.of(Role::Presence), health.of(Role::Config));
        let at = Uptime::of_ms(0);
        let _loops = [health.watch("tick", LIMIT, at), presence.watch("presence-0", LIMIT, at)];
        let registry = health.condition("schema registry");
        let sink = presence.condition("presence-sink-0");
        let _database = config.condition("configdb-0");
        sink.set(true, "");
        registry.set(false, "away");
        let seen = |role| -> (Vec<String>, Vec<(String, Option<String>)>) {
            let loops = health.loops_of(role, at).into_iter().map(|state| state.name);
            let own = health.dependencies(role).into_iter().map(|own| (own.name, own.why_not));
            (loops.collect(), own.collect())
        };
        let owned = |(name, why): (&str, Option<&str>)| (name.to_owned(), why.map(str::to_owned));
        for (role, loops, conditions) in [
            (Role::Conversation, vec!["tick"], vec![("schema registry", Some("away"))]),
            (
                Role::Presence,
                vec!["presence-0", "tick"],
                vec![("presence-sink-0", None), ("schema registry", Some("away"))],
            ),
            (
                Role::Config,
                vec!["tick"],
                vec![("configdb-0", Some("not reported yet")), ("schema registry", Some("away"))],
            ),
        ] {
            let expected = loops.into_iter().map(str::to_owned).collect();
            let expected = (expected, conditions.into_iter().map(owned).collect());
            assert_eq!(seen(role), expected, "{role:?}");
        }
        assert_eq!(health.conditions().len(), 3, "whoever asks of all sees all");
    }
}
