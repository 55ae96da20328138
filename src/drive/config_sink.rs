//! The loop of the config sink: read what is wanted, have one exchange after the other, commit what
//! each answer says before the next.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use trunkline_schemas::codec::{self, DesiredValue};
use trunkline_schemas::topics::{COMMAND_CONFIG, DEAD_CONFIG, STATE_CONFIG_SINK};
use trunkline_schemas::{Offset, Partition, Stored};
use trunkline_sinks::config::{Call, Heard, Next, Progress, Reconciler, Settings};
use trunkline_sinks::genesys_cloud::retry::retry_after_ms;

use super::group::Reached;
use super::sink::Outlet;
use super::tail::Tail;
use super::vitals::Vitals;
use super::{IDLE_WAIT, STEP_RECORDS_MAX, Shell, TaskError, chance, count_outputs, point, state};
use crate::admin::metrics::{self, Stage, Target};
use crate::clock::{self, Elapsed};
use crate::log::{Log, LogError, Step, Task, TaskSpec};

/// Its name.
pub const NAME: &str = "config-sink";
/// An owner that has committed nothing for so long commits an empty step before it sends (DESIGN
/// section 6: half its session).
const PROOF_AFTER: Duration = Duration::from_secs(3);

/// The sink in its place in the pipeline.
#[derive(Clone)]
pub struct Place {
    /// How it is set.
    pub settings: Settings,
    /// Where it sends.
    pub outlet: Outlet,
    /// Whether it ends when all there is to do is done.
    pub once: bool,
}

/// The task.
pub const fn spec(partition: Partition) -> TaskSpec {
    TaskSpec { name: NAME, input: COMMAND_CONFIG, partition, state: STATE_CONFIG_SINK }
}

/// Runs the sink until the process stops.
pub fn run(shell: &Shell, partition: Partition, place: &Place, reached: &Reached, vitals: Vitals) {
    let spec = spec(partition);
    let _turns = place.outlet.own(partition);
    vitals.keep(shell, Stage::ConfigSink, |vitals| {
        let mut life = Life::begin(shell, &spec, place, Some(reached))?;
        life.live(&mut |at| {
            vitals.beat();
            vitals.say(why_not(at).as_deref());
        })
    });
}

/// Makes everything as desired once. What is wrong with the organisation meanwhile is waited for.
///
/// # Errors
/// The log.
pub fn apply(shell: &Shell, place: &Place) -> Result<Progress, TaskError> {
    let spec = spec(0);
    let place = Place { once: true, ..place.clone() };
    let _turns = place.outlet.own(spec.partition);
    let mut life = Life::begin(shell, &spec, &place, None)?;
    let mut last = Progress::default();
    life.live(&mut |at| {
        if at.blocked.is_some() && at.blocked != last.blocked {
            tracing::warn!(why = at.blocked.as_deref(), "waiting");
        }
        last = at.clone();
    })?;
    Ok(life.reconciler.progress())
}

/// Why presences and conversations cannot be told yet: the first synchronisation has not ended.
fn why_not(at: &Progress) -> Option<String> {
    if let Some(why) = &at.blocked {
        return Some(why.clone());
    }
    if at.is_synced {
        return None;
    }
    let doing = if at.is_looking { "reading the organisation" } else { "synchronising" };
    Some(format!("first synchronisation: {doing}, {} requests done, {} left", at.done, at.left))
}

/// A reconciler with the state as it stands in the log, and everything that is wanted. It owns
/// nothing: for a look.
///
/// # Errors
/// The log, or a value of the state cannot be read.
pub fn look(log: &dyn Log, settings: Settings) -> Result<Reconciler, TaskError> {
    let mut state = std::collections::BTreeMap::new();
    let every = Offset::MAX;
    read(log, STATE_CONFIG_SINK, every, &mut |stored| {
        state.insert(stored.record.key, stored.record.value);
    })?;
    let mut reconciler = Reconciler::new(settings);
    for (key, value) in state {
        let Some(value) = value else { continue };
        let body = state::unwrap(&key, &value).map_err(TaskError::State)?;
        reconciler.restore(&key, &body).map_err(TaskError::State)?;
    }
    read(log, COMMAND_CONFIG, every, &mut |stored| {
        // What cannot be read is the sink's to report.
        let _ = want(&mut reconciler, &stored);
    })?;
    Ok(reconciler)
}

/// Reads the only partition of a topic from its beginning, at most to `end`.
fn read(
    log: &dyn Log,
    topic: trunkline_schemas::Topic,
    end: Offset,
    each: &mut dyn FnMut(Stored),
) -> Result<(), LogError> {
    if log.layouts()?.iter().all(|layout| layout.topic != topic) {
        // A log of an older program, or one that nobody has written to.
        return Ok(());
    }
    let mut give = |stored: Stored| {
        if stored.offset < end {
            each(stored);
        }
    };
    Tail::new(topic, 0, 0).read(log, &mut give)
}

fn want(reconciler: &mut Reconciler, stored: &Stored) -> Result<(), String> {
    let key = String::from_utf8_lossy(&stored.record.key);
    let object = match stored.record.value.as_deref() {
        Some(value) => {
            let value = codec::decode::<DesiredValue>(value).map_err(|e| e.to_string())?;
            Some(value.object)
        }
        None => None,
    };
    if let Some(object) = object.as_ref().filter(|object| object.key() != key) {
        return Err(format!("the value is of {}", object.key()));
    }
    reconciler.want(&key, object);
    Ok(())
}

/// One ownership of the task.
struct Life<'a> {
    shell: &'a Shell,
    spec: &'a TaskSpec,
    place: &'a Place,
    reached: Option<&'a Reached>,
    task: Box<dyn Task>,
    reconciler: Reconciler,
    /// Next input record to read.
    position: Offset,
    /// Whether the end of the input has been reached: nothing is concluded before.
    is_caught_up: bool,
    dead: Vec<trunkline_schemas::Record>,
    committed: Elapsed,
}

impl<'a> Life<'a> {
    fn begin(
        shell: &'a Shell,
        spec: &'a TaskSpec,
        place: &'a Place,
        reached: Option<&'a Reached>,
    ) -> Result<Self, TaskError> {
        let mut task = shell.log.own(spec)?;
        let mut reconciler = Reconciler::new(place.settings.clone());
        let left = &mut |left| {
            if let Some(reached) = reached {
                reached.gauges().restoring(left);
            }
        };
        let take = |key: &[u8], body: &[u8]| reconciler.restore(key, body);
        state::restore_unread(task.as_mut(), left, take)?;
        let position = task.position();
        read(shell.log.as_ref(), spec.input, position, &mut |stored| {
            // It was reported when it was read for the first time.
            let _ = want(&mut reconciler, &stored);
        })?;
        tracing::info!(task = spec.id(), position, "restored");
        Ok(Self {
            shell,
            spec,
            place,
            reached,
            task,
            reconciler,
            position,
            is_caught_up: false,
            dead: Vec::new(),
            committed: Elapsed::start(),
        })
    }

    fn live(&mut self, beat: &mut dyn FnMut(&Progress)) -> Result<(), TaskError> {
        let mut wait = Duration::ZERO;
        while !self.shell.stop.is_cancelled() {
            let at = self.reconciler.progress();
            beat(&at);
            metrics::config_requests(at.done as u64, at.left as u64);
            self.read(wait)?;
            if !self.is_caught_up {
                wait = IDLE_WAIT;
                continue;
            }
            let next = self.reconciler.next(clock::now_ms());
            // What is about to be done is durable before it is done.
            self.commit()?;
            if self.place.once && self.reconciler.is_at_rest() {
                break;
            }
            wait = match next {
                Next::Ask(call) => self.ask(call, beat)?,
                Next::Wait(wait_ms) => briefly(wait_ms),
            };
        }
        self.commit()
    }

    fn read(&mut self, wait: Duration) -> Result<(), TaskError> {
        let records = self.task.poll(STEP_RECORDS_MAX, wait)?;
        metrics::records_in(Stage::ConfigSink, records.len() as u64);
        self.is_caught_up |= records.is_empty() && self.is_at_end()?;
        for stored in records {
            self.position = stored.offset + 1;
            if let Err(why) = want(&mut self.reconciler, &stored) {
                self.dead.push(dead_letter(&stored, &why));
            }
        }
        Ok(())
    }

    /// Whether no record is left. The bounds do not tell: a log may have no records behind the
    /// position, and an end that lies further on (compaction, marks of transactions).
    fn is_at_end(&self) -> Result<bool, TaskError> {
        let TaskSpec { input, partition, .. } = *self.spec;
        let bounds = self.shell.log.bounds(input, partition)?;
        let from = self.position.max(bounds.start);
        Ok(from >= bounds.end || self.shell.log.read(input, partition, from, 1)?.is_empty())
    }

    fn commit(&mut self) -> Result<(), TaskError> {
        let changes = self.reconciler.drain();
        let mut outputs = changes.outputs;
        outputs.extend(self.dead.drain(..).map(|record| (DEAD_CONFIG, record)));
        let has_moved = self.position > self.task.position();
        if outputs.is_empty() && changes.state.is_empty() && !has_moved {
            return Ok(());
        }
        let watch = Elapsed::start();
        count_outputs(Stage::ConfigSink, DEAD_CONFIG, &outputs);
        let outputs = self.shell.place(outputs, self.spec.partition);
        let state = state::wrap(changes.state)?;
        point::pass("config_sink.before_commit");
        let next = self.position.max(self.task.position());
        self.task.commit(Step { outputs, state, next })?;
        point::pass("config_sink.after_commit");
        self.committed = Elapsed::start();
        metrics::stage_duration(Stage::ConfigSink, watch.time());
        if let Some(reached) = self.reached {
            reached.tell(next, None);
        }
        Ok(())
    }

    /// Has an exchange, or says how long to wait for leave.
    fn ask(&mut self, call: Call, beat: &mut dyn FnMut(&Progress)) -> Result<Duration, TaskError> {
        let outlet = &self.place.outlet;
        if let Err(wait_ms) = outlet.allowance.try_take(clock::now_ms()) {
            return Ok(briefly(wait_ms));
        }
        if self.committed.time() > PROOF_AFTER {
            let next = self.position.max(self.task.position());
            self.task.commit(Step { next, ..Step::default() })?;
            self.committed = Elapsed::start();
        }
        point::pass("config_sink.before_ask");
        let (tell, told) = channel();
        let cloud = Arc::clone(&outlet.cloud);
        let watch = Elapsed::start();
        outlet.runtime.spawn(async move {
            // A loop that has ended hears nothing: the next looks what came of it.
            let _ = tell.send(cloud.ask(&call, clock::now_ms()).await);
        });
        let heard = loop {
            match told.recv_timeout(IDLE_WAIT) {
                Ok(heard) => break heard,
                Err(RecvTimeoutError::Timeout) => beat(&self.reconciler.progress()),
                Err(RecvTimeoutError::Disconnected) => {
                    break Heard::Unclear { why: "the exchange was given up".to_owned() };
                }
            }
        };
        point::pass("config_sink.after_ask");
        metrics::target_request(Target::Config, watch.time());
        let now_ms = clock::now_ms();
        match &heard {
            Heard::Limited { retry_after_s } => {
                let closed_ms = retry_after_ms(*retry_after_s);
                outlet.allowance.close_until(now_ms + closed_ms);
                let closed = Duration::from_millis(closed_ms as u64);
                self.shell.metrics.throttled(Target::Config, closed);
            }
            Heard::Unclear { why } | Heard::Later { why } => {
                tracing::warn!(why, "no answer to a request of the config sink");
            }
            Heard::Refused { status, code } => {
                tracing::warn!(status, code, "a request of the config sink is refused");
            }
            Heard::Done(_) | Heard::Exists | Heard::Outdated | Heard::Gone => {}
        }
        self.reconciler.answered(heard, now_ms, chance());
        self.commit()?;
        Ok(Duration::ZERO)
    }
}

fn briefly(wait_ms: i64) -> Duration {
    Duration::from_millis(wait_ms.clamp(1, 250) as u64)
}

fn dead_letter(stored: &Stored, why: &str) -> trunkline_schemas::Record {
    stored
        .record
        .clone()
        .with_header("dead-stage", NAME)
        .with_header("dead-code", "undecodable")
        .with_header("dead-why", why)
        .with_header("dead-source", stored.place())
}
