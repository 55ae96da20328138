//! Health, from what the loops themselves report: it cannot stay green over a dead loop.
//!
//! *Live* means that every loop has made a step within its limit; a loop that ended without saying
//! so is not live. *Ready* means that every condition holds; before the first is named, none does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::clock::Uptime;

/// Everything that reports its health. Clones are the same registry.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    next_id: u64,
    loops: BTreeMap<String, Watched>,
    conditions: BTreeMap<String, Stated>,
}

#[derive(Debug)]
struct Watched {
    id: u64,
    limit: Duration,
    last: Uptime,
    beats: u64,
    ended: bool,
}

#[derive(Debug)]
struct Stated {
    id: u64,
    why_not: Option<String>,
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

    /// Watches a loop that promises a step at least every `limit`. A loop of the same name is
    /// replaced: it was restarted.
    pub fn watch(&self, name: impl Into<String>, limit: Duration, now: Uptime) -> Progress {
        let name = name.into();
        let mut registry = self.lock();
        let id = registry.id();
        let watched = Watched { id, limit, last: now, beats: 0, ended: false };
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
        let stated = Stated { id, why_not: Some("not reported yet".to_owned()) };
        registry.conditions.insert(name.clone(), stated);
        drop(registry);
        Condition { health: self.clone(), name, id }
    }

    /// All loops, by name.
    pub fn loops(&self, now: Uptime) -> Vec<LoopState> {
        let registry = self.lock();
        let states = registry.loops.iter().map(|(name, watched)| {
            let idle = now.since(watched.last);
            LoopState {
                name: name.clone(),
                live: !watched.ended && idle <= watched.limit,
                beats: watched.beats,
                idle_ms: millis(idle),
                limit_ms: millis(watched.limit),
                ended: watched.ended,
            }
        });
        states.collect()
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            stated.why_not = (!holds).then(|| why_not.into());
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
            stated.why_not = Some("whoever reported it is gone".to_owned());
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
}
