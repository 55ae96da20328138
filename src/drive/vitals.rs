//! How a loop shows that it lives, and how a task is kept alive.

use std::fmt::Display;

use super::{LOOP_LIMIT, REOWN_WAIT, Shell};
use crate::admin::health::{Condition, Progress};
use crate::admin::metrics::{self, Stage};
use crate::clock;

/// Where a loop reports: that it moves, and whether what it does can be relied on. Made before its
/// thread runs, so that there is no moment in which nobody speaks for it.
#[must_use = "a loop whose vitals are dropped counts as dead"]
pub struct Vitals {
    name: String,
    progress: Progress,
    ready: Condition,
}

impl Vitals {
    /// Those of the loop of this name.
    pub(super) fn new(shell: &Shell, name: impl Into<String>) -> Self {
        let name = name.into();
        let progress = shell.health.watch(&name, LOOP_LIMIT, clock::uptime());
        let ready = shell.health.condition(&name);
        Self { name, progress, ready }
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

    /// Runs one life after the other until one ends well or the process stops: what failed is
    /// dropped and begins anew, never patched up.
    pub(super) fn keep<E: Display>(
        self,
        shell: &Shell,
        stage: Stage,
        mut life: impl FnMut(&Self) -> Result<(), E>,
    ) {
        while let Err(error) = life(&self) {
            tracing::warn!(task = self.name, %error, "it is dropped and begins anew");
            metrics::restart(stage);
            self.say(Some(&error.to_string()));
            if !shell.pause(REOWN_WAIT) {
                break;
            }
        }
        self.retire();
    }
}
