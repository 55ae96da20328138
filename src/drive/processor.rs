//! The loop of a processor task: read what has arrived, apply, commit one step.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use trunkline_processors::Processor;
use trunkline_processors::conversation::{ConversationProcessor, Settings, dead_letter};
use trunkline_schemas::topics::{DEAD_CONVERSATION, RAW_TLIB, STATE_CONVERSATION};
use trunkline_schemas::{Offset, Partition, Record, Stored, Topic};

use super::group::Reached;
use super::{
    IDLE_WAIT, LOOP_LIMIT, REOWN_WAIT, STEP_RECORDS_MAX, Shell, TaskError, count_outputs, point,
    restore, wrap_state,
};
use crate::admin::metrics::{self, Stage};
use crate::clock::{self, Elapsed};
use crate::log::{Step, Task, TaskSpec};

/// Runs the conversation processor of a domain until the process stops.
pub fn run(
    shell: &Shell,
    domain: &str,
    partition: Partition,
    settings: &Settings,
    reached: &Reached,
) {
    let spec =
        TaskSpec { name: "conversation", input: RAW_TLIB, partition, state: STATE_CONVERSATION };
    let progress = shell.health.watch(spec.id(), LOOP_LIMIT, clock::uptime());
    let ready = shell.health.condition(spec.id());
    let mut poisoned = BTreeSet::new();
    loop {
        let mut life = Life { shell, spec: &spec, domain, settings, reached, poisoned: &poisoned };
        match life.live(&mut || progress.beat(clock::uptime()), &|holds, why| ready.set(holds, why))
        {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!(task = spec.id(), %error, "the task is dropped and owned anew");
                ready.set(false, error.to_string());
                if let TaskError::Panicked(offset) = error {
                    poisoned.insert(offset);
                }
            }
        }
        if !shell.pause(REOWN_WAIT) {
            break;
        }
    }
    progress.retire();
    ready.retire();
}

/// One ownership of the task.
struct Life<'a> {
    shell: &'a Shell,
    spec: &'a TaskSpec,
    domain: &'a str,
    settings: &'a Settings,
    reached: &'a Reached,
    /// Offsets of records on which the processor failed as a whole: they are buried unread.
    poisoned: &'a BTreeSet<Offset>,
}

impl Life<'_> {
    fn live(
        &mut self,
        beat: &mut dyn FnMut(),
        ready: &dyn Fn(bool, &str),
    ) -> Result<(), TaskError> {
        let mut task = self.shell.log.own(self.spec)?;
        let stage = Stage::Conversation;
        let mut processor = ConversationProcessor::new(self.domain, self.settings.clone());
        self.restore(task.as_mut(), &mut processor)?;
        self.reached.tell(task.position(), None);
        ready(true, "");
        while !self.shell.stop.is_cancelled() {
            beat();
            let records = task.poll(STEP_RECORDS_MAX, IDLE_WAIT)?;
            let ([first, .., last] | [first @ last]) = records.as_slice() else { continue };
            let next = last.offset + 1;
            self.reached.tell(task.position(), Some(first.append_time_ms));
            let watch = Elapsed::start();
            let mut outputs = self.apply(&mut processor, &records)?;
            let effects = processor.drain();
            outputs.extend(effects.outputs);
            metrics::records_in(stage, records.len() as u64);
            count_outputs(stage, DEAD_CONVERSATION, &outputs);
            let outputs = self.shell.place(outputs, self.spec.partition);
            let state = wrap_state(effects.state)?;
            point::pass("processor.before_commit");
            task.commit(Step { outputs, state, next })?;
            point::pass("processor.after_commit");
            metrics::stage_duration(stage, watch.time());
            self.reached.tell(next, None);
            self.reached.gauges().state(processor.counters().conversations);
        }
        Ok(())
    }

    fn restore(
        &self,
        task: &mut dyn Task,
        processor: &mut ConversationProcessor,
    ) -> Result<(), TaskError> {
        let keys = restore(task, self.reached, &mut |key, body| processor.restore(key, &body))?;
        let held = processor.held();
        let mut from = held.first().copied().unwrap_or_default();
        let end = held.last().copied().unwrap_or(-1);
        while from <= end {
            let read = self.shell.log.read(
                self.spec.input,
                self.spec.partition,
                from,
                STEP_RECORDS_MAX,
            )?;
            let Some(last) = read.last() else { break };
            from = last.offset + 1;
            let waited = read.iter().filter(|r| held.binary_search(&r.offset).is_ok());
            waited.for_each(|record| processor.rehold(record));
        }
        tracing::info!(task = self.spec.id(), keys, held = held.len(), "restored");
        Ok(())
    }

    /// Applies a step's records. A panic outside any conversation ends this life: the memory is not
    /// to be trusted; in the next one the record is buried.
    fn apply(
        &self,
        processor: &mut ConversationProcessor,
        records: &[Stored],
    ) -> Result<Vec<(Topic, Record)>, TaskError> {
        let mut buried = Vec::new();
        let at = Cell::new(0);
        let applied = catch_unwind(AssertUnwindSafe(|| {
            for record in records {
                at.set(record.offset);
                if self.poisoned.contains(&record.offset) {
                    let why = "the processor failed on this record as a whole";
                    buried.push((DEAD_CONVERSATION, dead_letter(record, "panic", why)));
                } else {
                    processor.apply(record);
                }
            }
        }));
        applied.map(|()| buried).map_err(|_| TaskError::Panicked(at.get()))
    }
}
