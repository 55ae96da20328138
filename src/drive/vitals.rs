//! How a loop shows that it lives, and how a task is kept alive.

use std::fmt::Display;

use super::{LOOP_LIMIT, REOWN_WAIT, Shell};
use crate::admin::health::{Condition, Progress};
use crate::admin::metrics::{self, Stage};
use crate::clock;

/// Where a loop reports: that it moves, and whether what it does can be relied on.
pub(super) struct Vitals {
    progress: Progress,
    ready: Condition,
}

impl Vitals {
    /// Those of the loop of this name.
    pub(super) fn new(shell: &Shell, name: &str) -> Self {
        let progress = shell.health.watch(name, LOOP_LIMIT, clock::uptime());
        Self { progress, ready: shell.health.condition(name) }
    }

    /// The loop made a step, or saw that there is nothing to do.
    pub(super) fn beat(&self) {
        self.progress.beat(clock::uptime());
    }

    /// It does what it is there for; or does not, and why.
    pub(super) fn say(&self, why_not: Option<&str>) {
        self.ready.set(why_not.is_none(), why_not.unwrap_or_default());
    }

    /// The loop ends as it should.
    pub(super) fn retire(self) {
        self.progress.retire();
        self.ready.retire();
    }
}

impl Shell {
    /// Runs one life after the other until one ends well or the process stops: what failed is
    /// dropped and begins anew, never patched up.
    pub(super) fn keep<E: Display>(
        &self,
        stage: Stage,
        name: &str,
        mut life: impl FnMut(&Vitals) -> Result<(), E>,
    ) {
        let vitals = Vitals::new(self, name);
        while let Err(error) = life(&vitals) {
            tracing::warn!(task = name, %error, "it is dropped and begins anew");
            metrics::restart(stage);
            vitals.say(Some(&error.to_string()));
            if !self.pause(REOWN_WAIT) {
                break;
            }
        }
        vitals.retire();
    }
}
