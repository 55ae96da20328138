//! The loop of a processor task: read what has arrived, apply, commit one step.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use trunkline_processors::Processor;
use trunkline_schemas::{Offset, Partition, Record, Stored, Topic};

use super::beginning::Beginning;
use super::group::Reached;
use super::vitals::Vitals;
use super::{
    IDLE_WAIT, REOWN_WAIT, STEP_RECORDS_MAX, Shell, TaskError, count_outputs, point, state,
};
use crate::admin::metrics::{self, Stage};
use crate::clock::{self, Elapsed};
use crate::log::{Step, Task, TaskSpec};
use crate::trace::{Context, Hop};

/// Of a partition that another process has added.
const UNKNOWN_DOMAIN: &str =
    "it is of a domain that this configuration does not name: give all processes the same";

/// A processor in its place in the pipeline.
pub struct Place<P> {
    /// Its name.
    pub name: &'static str,
    /// What it reads.
    pub input: Topic,
    /// Where its state is.
    pub state: Topic,
    /// Where records go that it cannot use.
    pub dead: Topic,
    /// How its steps are counted.
    pub stage: Stage,
    /// Makes one of a partition that knows nothing yet; none where the partition is nobody's.
    pub make: Box<dyn Fn(Partition) -> Option<P> + Send + Sync>,
    /// Keys of its state.
    pub keys: fn(&P) -> u64,
    /// What it waits for before it takes its first record; nothing: it begins at once.
    pub beginning: Option<Beginning<P>>,
    /// The dead letter of a record, with code and reason.
    pub dead_letter: fn(&Stored, &str, &str) -> Record,
}

/// Runs a processor on one partition until the process stops.
pub fn run<P: Processor>(
    shell: &Shell,
    partition: Partition,
    place: &Place<P>,
    reached: &Reached,
    vitals: Vitals,
) {
    let Place { name, input, state, .. } = *place;
    let spec = TaskSpec { name, input, partition, state };
    let mut poisoned = BTreeSet::new();
    vitals.keep(shell, place.stage, |vitals| {
        let processor = loop {
            if let Some(processor) = (place.make)(partition) {
                break processor;
            }
            // Until the group gives it to one that knows its domain, or this process is the same.
            vitals.beat();
            vitals.say(Some(UNKNOWN_DOMAIN));
            if !shell.pause(REOWN_WAIT) {
                return Ok(());
            }
        };
        let mut life = Life { shell, spec: &spec, place, reached, poisoned: &poisoned, vitals };
        let lived = life.live(processor);
        if let Err(TaskError::Panicked(offset)) = lived {
            poisoned.insert(offset);
        }
        lived
    });
}

/// One ownership of the task.
struct Life<'a, P> {
    shell: &'a Shell,
    spec: &'a TaskSpec,
    place: &'a Place<P>,
    reached: &'a Reached,
    /// Offsets of records on which the processor failed as a whole: they are buried unread.
    poisoned: &'a BTreeSet<Offset>,
    vitals: &'a Vitals,
}

impl<P: Processor> Life<'_, P> {
    fn live(&mut self, mut processor: P) -> Result<(), TaskError> {
        let mut task = self.shell.log.own(self.spec)?;
        let Place { stage, dead, keys, .. } = *self.place;
        self.restore(task.as_mut(), &mut processor)?;
        if !self.begin(task.as_mut(), &mut processor)? {
            return Ok(());
        }
        self.reached.tell(task.position(), None);
        self.vitals.say(None);
        let mut noticed = processor.noticed();
        while !self.shell.stop.is_cancelled() {
            self.vitals.beat();
            let records = task.poll(STEP_RECORDS_MAX, IDLE_WAIT)?;
            let ([first, .., last] | [first @ last]) = records.as_slice() else { continue };
            let next = last.offset + 1;
            self.reached.tell(task.position(), Some(first.append_time_ms));
            let (watch, began_us) = (Elapsed::start(), clock::now_us());
            let mut outputs = self.apply(&mut processor, &records)?;
            let effects = processor.drain();
            outputs.extend(effects.outputs);
            metrics::records_in(stage, records.len() as u64);
            count_outputs(stage, dead, &outputs);
            let hops = self.shell.tracer.step(&mut outputs);
            let outputs = self.shell.place(outputs, self.spec.partition);
            let state = state::wrap(effects.state)?;
            point::pass("processor.before_commit");
            task.commit(Step { outputs, state, next })?;
            point::pass("processor.after_commit");
            metrics::stage_duration(stage, watch.time());
            self.told(hops, began_us);
            count_noticed(stage, &mut noticed, processor.noticed());
            self.reached.tell(next, None);
            self.reached.gauges().state(keys(&processor));
        }
        Ok(())
    }

    /// Tells of the hops of a step that is durable now.
    fn told(&self, hops: Vec<(Context, Context, Topic)>, from_us: i64) {
        let to_us = clock::now_us();
        for (parent, context, topic) in hops {
            self.shell.tracer.ended(Hop {
                context,
                parent: Some(parent),
                kind: SpanKind::Consumer,
                name: self.place.name.to_owned(),
                from_us,
                to_us,
                attributes: vec![
                    KeyValue::new("trunkline.task", self.spec.id()),
                    KeyValue::new("messaging.destination.name", topic.name()),
                ],
                failed: None,
            });
        }
    }

    /// Waits for what the processor needs to begin; `false`: the process stops.
    fn begin(&self, task: &mut dyn Task, processor: &mut P) -> Result<bool, TaskError> {
        let Some(beginning) = &self.place.beginning else { return Ok(true) };
        let place = (self.place.input, self.spec.partition);
        let has_begun = beginning.wait(self.shell, place, processor, &mut |why| {
            self.vitals.beat();
            self.vitals.say(Some(why));
        })?;
        let effects = processor.drain();
        if has_begun && !effects.state.is_empty() {
            let outputs = self.shell.place(effects.outputs, self.spec.partition);
            let (state, next) = (state::wrap(effects.state)?, task.position());
            task.commit(Step { outputs, state, next })?;
        }
        Ok(has_begun)
    }

    fn restore(&self, task: &mut dyn Task, processor: &mut P) -> Result<(), TaskError> {
        let left = &mut |left| self.reached.gauges().restoring(left);
        let keys = state::restore_processor(task, left, processor)?;
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
        processor: &mut P,
        records: &[Stored],
    ) -> Result<Vec<(Topic, Record)>, TaskError> {
        let mut buried = Vec::new();
        let at = Cell::new(0);
        let applied = catch_unwind(AssertUnwindSafe(|| {
            for record in records {
                at.set(record.offset);
                if self.poisoned.contains(&record.offset) {
                    let why = "the processor failed on this record as a whole";
                    let letter = (self.place.dead_letter)(record, "panic", why);
                    buried.push((self.place.dead, letter));
                } else {
                    processor.apply(record);
                }
            }
        }));
        applied.map(|()| buried).map_err(|_| TaskError::Panicked(at.get()))
    }
}

/// Counts what was noticed since the step before.
fn count_noticed(
    stage: Stage,
    before: &mut Vec<(&'static str, u64)>,
    now: Vec<(&'static str, u64)>,
) {
    for ((what, before), (_, now)) in before.iter().zip(&now) {
        metrics::noticed(stage, what, now - before);
    }
    *before = now;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use trunkline_processors::conversation::{self, ConversationProcessor, Settings};
    use trunkline_schemas::topics::{DEAD_CONVERSATION, RAW_TLIB, STATE_CONVERSATION};

    use super::*;
    use crate::admin::health::Missing;
    use crate::log::Log;
    use crate::log::embedded::Embedded;
    use crate::topology;

    /// How long anything may take.
    const MAX: Duration = Duration::from_secs(30);

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let watch = Elapsed::start();
        while !holds() {
            assert!(watch.time() < MAX, "{what}: not within {} s", MAX.as_secs());
            std::thread::yield_now();
        }
    }

    /// In a rolling restart that adds a domain, a process of before may be given its partition.
    #[test]
    fn the_partition_of_an_unknown_domain_is_left_alone_and_said_until_it_is_known() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = Embedded::open(directory.path(), Arc::new(clock::now_ms)).expect("a log");
        let layouts = topology::layouts(1, 1);
        log.ensure(&layouts).expect("topics are made");
        let shell = Shell::new(log, layouts).expect("metrics are ours");
        let is_known = Arc::new(AtomicBool::new(false));
        let known = Arc::clone(&is_known);
        let place = Place {
            name: "conversation",
            input: RAW_TLIB,
            state: STATE_CONVERSATION,
            dead: DEAD_CONVERSATION,
            stage: Stage::Conversation,
            make: Box::new(move |_| {
                let known = known.load(Ordering::SeqCst);
                known.then(|| ConversationProcessor::new("late", Settings::default()))
            }),
            keys: |processor| processor.counters().conversations,
            beginning: None,
            dead_letter: conversation::dead_letter,
        };
        let gauges = shell.metrics.task(Stage::Conversation, RAW_TLIB, 0);
        let reached = Reached::new(gauges);
        std::thread::scope(|scope| {
            let vitals = Vitals::new(&shell, "conversation-0");
            let task = scope.spawn(|| run(&shell, 0, &place, &reached, vitals));
            let said =
                Missing { condition: "conversation-0".to_owned(), why: UNKNOWN_DOMAIN.to_owned() };
            until("it is said", || shell.health.missing() == [said.clone()]);
            is_known.store(true, Ordering::SeqCst);
            until("it is ready", || shell.health.missing().is_empty());
            shell.stop.cancel();
            task.join().expect("it ends");
        });
        assert_eq!(shell.health.conditions(), Vec::<String>::new(), "it ended as it should");
    }
}
