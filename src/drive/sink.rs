//! The loop of a sink task: read commands, send waves as the allowance gives leave, commit what the
//! answers say.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use tokio::runtime::Handle;
use trunkline_schemas::{Partition, Topic, codec};
use trunkline_sinks::delivery::{Counters, WaveId};
use trunkline_sinks::genesys_cloud::Reply;
use trunkline_sinks::{Allowance, Answer, GenesysCloud, Rules, Sink, SinkConfig};

use super::group::Reached;
use super::vitals::Vitals;
use super::{IDLE_WAIT, STEP_RECORDS_MAX, Shell, TaskError, chance, count_outputs, point, state};
use crate::admin::metrics::{self, Delivered, Stage, Target};
use crate::clock::{self, Elapsed};
use crate::log::{Step, Task, TaskSpec};
use crate::trace::{Context, Hop};

/// How long the loop waits for input while answers are under way: an answer has no other way to
/// wake it.
const ANSWER_WAIT: Duration = Duration::from_millis(2);
/// An owner that has committed nothing for so long commits an empty step before it sends, so that a
/// fenced one sends nothing (DESIGN section 6: half its session).
const PROOF_AFTER: Duration = Duration::from_secs(3);

/// How a sink reaches Genesys Cloud.
#[derive(Clone)]
pub struct Outlet {
    /// The organisation.
    pub cloud: Arc<GenesysCloud>,
    /// Leave to send.
    pub allowance: Arc<dyn Allowance>,
    /// Limits and lifetimes.
    pub config: SinkConfig,
    /// How long a stop waits for answers.
    pub deadline: Duration,
    /// Where requests run.
    pub runtime: Handle,
}

impl Outlet {
    /// Says that the sink's task on this partition runs here, until what is returned is dropped.
    pub fn own(&self, partition: Partition) -> Turns<'_> {
        self.allowance.own(partition, clock::now_ms());
        Turns { allowance: &*self.allowance, partition }
    }
}

/// The part of the allowance that comes with a partition.
#[must_use = "it is given up when this is dropped"]
pub struct Turns<'a> {
    allowance: &'a dyn Allowance,
    partition: Partition,
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.allowance.give_up(self.partition);
    }
}

/// A sink in its place in the pipeline.
pub struct Place<R> {
    /// What it reads.
    pub input: Topic,
    /// Where its state is.
    pub state: Topic,
    /// How its steps are counted.
    pub stage: Stage,
    /// How its requests are counted.
    pub target: Target,
    /// Its particulars as they are at this moment: asked at each turn of the loop.
    pub rules: Box<dyn Fn() -> R + Send + Sync>,
    /// Where it sends.
    pub outlet: Outlet,
}

/// What the loop needs of the particulars of a sink: requests are made where they are sent.
pub trait Sent: Rules<Command: Send, Knowledge: Send> + Clone + Send + Sync + 'static {}

impl<R: Rules<Command: Send, Knowledge: Send> + Clone + Send + Sync + 'static> Sent for R {}

/// Runs a sink on one partition until the process stops.
pub fn run<R: Sent>(
    shell: &Shell,
    partition: Partition,
    place: &Place<R>,
    reached: &Reached,
    vitals: Vitals,
) {
    let Place { input, state, .. } = *place;
    let spec = TaskSpec { name: R::STAGE, input, partition, state };
    let _turns = place.outlet.own(partition);
    vitals.keep(shell, place.stage, |vitals| {
        let mut life = Life::begin(shell, &spec, place, reached)?;
        life.live(&mut |blocked| {
            vitals.beat();
            vitals.say(blocked);
        })
    });
}

/// An answer on its way back to the loop.
struct Answered {
    wave: WaveId,
    reply: Reply,
    took: Duration,
    hops: Hops,
}

/// The hops of a request: of each event that is traced, its context and the hop of this attempt.
#[derive(Default)]
struct Hops {
    contexts: Vec<(Context, Context)>,
    from_us: i64,
}

/// One ownership of the task.
struct Life<'a, R: Rules> {
    shell: &'a Shell,
    spec: &'a TaskSpec,
    place: &'a Place<R>,
    task: Box<dyn Task>,
    sink: Sink<R>,
    counted: Counters,
    reached: &'a Reached,
    committed: Elapsed,
    tell: Sender<Answered>,
    told: Receiver<Answered>,
}

impl<'a, R: Sent> Life<'a, R> {
    fn begin(
        shell: &'a Shell,
        spec: &'a TaskSpec,
        place: &'a Place<R>,
        reached: &'a Reached,
    ) -> Result<Self, TaskError> {
        let mut task = shell.log.own(spec)?;
        let end = shell.log.bounds(spec.input, spec.partition)?.end;
        let config = place.outlet.config.clone();
        let mut sink = Sink::new((place.rules)(), config, task.position(), end);
        let left = &mut |left| reached.gauges().restoring(left);
        let take = |key: &[u8], body: &[u8]| sink.restore(key, body).map_err(|e| e.to_string());
        let keys = state::restore_unread(task.as_mut(), left, take)?;
        tracing::info!(task = spec.id(), keys, position = task.position(), "restored");
        reached.tell(task.position(), None);
        let (tell, told) = channel();
        let counted = sink.counters();
        let committed = Elapsed::start();
        Ok(Self { shell, spec, place, task, sink, counted, reached, committed, tell, told })
    }

    fn live(&mut self, beat: &mut dyn FnMut(Option<&str>)) -> Result<(), TaskError> {
        let mut wait = Duration::ZERO;
        while !self.shell.stop.is_cancelled() {
            let backlog = self.sink.backlog();
            beat(backlog.blocked.as_deref());
            self.sink.set_rules((self.place.rules)());
            self.reached.tell(self.task.position(), backlog.oldest_append_ms);
            self.read(wait)?;
            self.hear();
            self.commit()?;
            wait = self.send()?;
        }
        self.wind_down(beat)
    }

    /// Answers that come within the deadline are kept; what is still under way is ambiguous.
    fn wind_down(&mut self, beat: &mut dyn FnMut(Option<&str>)) -> Result<(), TaskError> {
        let watch = Elapsed::start();
        while self.sink.backlog().in_flight > 0 {
            let Some(left) = self.place.outlet.deadline.checked_sub(watch.time()) else { break };
            beat(None);
            match self.told.recv_timeout(left.min(IDLE_WAIT)) {
                Ok(answered) => self.take(answered),
                Err(_) => continue,
            }
            self.commit()?;
        }
        self.commit()
    }

    fn read(&mut self, wait: Duration) -> Result<(), TaskError> {
        let room = self.sink.room().min(STEP_RECORDS_MAX);
        if room == 0 {
            // Nothing can be taken; an answer must come first.
            if let Ok(answered) = self.told.recv_timeout(wait) {
                self.take(answered);
            }
            return Ok(());
        }
        let records = self.task.poll(room, wait)?;
        metrics::records_in(self.place.stage, records.len() as u64);
        for stored in records {
            let value = stored.record.value.as_deref().unwrap_or_default();
            match codec::decode::<R::Command>(value) {
                Ok(command) => self.sink.offer(&stored, command),
                Err(e) => self.sink.undecodable(&stored, &e.to_string()),
            }
        }
        Ok(())
    }

    fn hear(&mut self) {
        while let Ok(answered) = self.told.try_recv() {
            self.take(answered);
        }
    }

    fn take(&mut self, answered: Answered) {
        let Answered { wave, reply, took, hops } = answered;
        let now_ms = clock::now_ms();
        metrics::target_request(self.place.target, took);
        if let Answer::RateLimited { retry_after_s } = &reply.answer {
            let closed_ms = trunkline_sinks::genesys_cloud::retry::retry_after_ms(*retry_after_s);
            self.place.outlet.allowance.close_until(now_ms + closed_ms);
            let closed = Duration::from_millis(closed_ms as u64);
            self.shell.metrics.throttled(self.place.target, closed);
        }
        log_answer(self.spec, wave, &reply, &hops);
        self.told(hops, &reply);
        self.sink.answered(wave, reply.answer, now_ms, chance());
    }

    /// Tells of the hops of a request that was answered.
    fn told(&self, hops: Hops, reply: &Reply) {
        let to_us = clock::now_us();
        let (answer, code) = in_short(&reply.answer);
        let accepted = matches!(reply.answer, Answer::Accepted { .. });
        for (parent, context) in hops.contexts {
            let correlation = reply.correlation_id.clone().unwrap_or_default();
            self.shell.tracer.ended(Hop {
                context,
                parent: Some(parent),
                kind: SpanKind::Client,
                name: format!("tell {}", self.place.target.name()),
                from_us: hops.from_us,
                to_us,
                attributes: vec![
                    KeyValue::new("trunkline.task", self.spec.id()),
                    KeyValue::new("trunkline.correlation_id", correlation),
                    KeyValue::new(
                        "http.response.status_code",
                        i64::from(reply.status.unwrap_or_default()),
                    ),
                ],
                failed: (!accepted).then(|| format!("{answer} {code}").trim_end().to_owned()),
            });
        }
    }

    fn hops(&self, traces: &[Vec<u8>]) -> Hops {
        let hop = |header: &Vec<u8>| {
            let parent = Context::parse(header)?;
            Some((parent, self.shell.tracer.after(parent)?))
        };
        Hops { contexts: traces.iter().filter_map(hop).collect(), from_us: clock::now_us() }
    }

    fn commit(&mut self) -> Result<(), TaskError> {
        if let Some(step) = self.sink.take_step(clock::now_ms()) {
            let watch = Elapsed::start();
            let answered = !step.outputs.is_empty();
            count_outputs(self.place.stage, R::DEAD, &step.outputs);
            let outputs = self.shell.place(step.outputs, self.spec.partition);
            let state = state::wrap(step.state)?;
            if answered {
                point::pass("sink.before_commit");
            }
            self.task.commit(Step { outputs, state, next: step.next })?;
            if answered {
                point::pass("sink.after_commit");
            }
            self.committed = Elapsed::start();
            metrics::stage_duration(self.place.stage, watch.time());
            self.report();
        }
        Ok(())
    }

    fn report(&mut self) {
        let counters = self.sink.counters();
        for (delivered, now, before) in [
            (Delivered::Done, counters.accepted, self.counted.accepted),
            (Delivered::Reject, counters.refused, self.counted.refused),
            (Delivered::Retry, counters.retries, self.counted.retries),
            (Delivered::Duplicate, counters.duplicates, self.counted.duplicates),
        ] {
            metrics::deliveries(self.place.target, delivered, now - before);
        }
        self.counted = counters;
    }

    /// Sends what may be sent; returns how long the loop may wait for input.
    fn send(&mut self) -> Result<Duration, TaskError> {
        loop {
            let now_ms = clock::now_ms();
            if !self.sink.ready(now_ms) {
                let wake_ms = self.sink.wake_at().map_or(i64::MAX, |at_ms| at_ms - now_ms);
                return Ok(self.wait(wake_ms));
            }
            if let Err(wait_ms) = self.place.outlet.allowance.try_take(now_ms) {
                return Ok(self.wait(wait_ms));
            }
            if self.committed.time() > PROOF_AFTER {
                let next = self.task.position();
                self.task.commit(Step { next, ..Step::default() })?;
                self.committed = Elapsed::start();
            }
            let Some(wave) = self.sink.next_wave(now_ms) else {
                return Ok(self.wait(1));
            };
            let (cloud, tell) = (Arc::clone(&self.place.outlet.cloud), self.tell.clone());
            let (rules, watch) = (self.sink.rules().clone(), Elapsed::start());
            let hops = self.hops(&wave.traces);
            self.place.outlet.runtime.spawn(async move {
                point::pass("sink.before_post");
                // A process that slept in between may not be the owner any more.
                let reply = if watch.time() > PROOF_AFTER {
                    Reply::not_sent("it was not sent in time")
                } else {
                    cloud.post(&rules.request(&wave.commands), clock::now_ms()).await
                };
                point::pass("sink.after_post");
                // A loop that has ended hears nothing: the wave is ambiguous, and sent again.
                let _ = tell.send(Answered { wave: wave.id, reply, took: watch.time(), hops });
            });
        }
    }

    fn wait(&self, wake_ms: i64) -> Duration {
        let wake = Duration::from_millis(wake_ms.clamp(1, 250) as u64);
        let most = if self.sink.backlog().in_flight > 0 { ANSWER_WAIT } else { IDLE_WAIT };
        wake.min(most)
    }
}

/// A line carries the trace of the first of its events that is traced.
fn log_answer(spec: &TaskSpec, wave: WaveId, reply: &Reply, hops: &Hops) {
    let trace = hops.contexts.first().map(|(parent, _)| parent.trace_id());
    let trace = trace.as_deref().unwrap_or("none");
    let (task, correlation) = (spec.id(), reply.correlation_id.as_deref().unwrap_or("none"));
    if let Answer::Accepted { errors } = &reply.answer {
        if errors.is_empty() {
            tracing::debug!(task, wave, correlation, trace, "accepted");
        } else {
            let refused = errors.len();
            tracing::warn!(task, wave, correlation, trace, refused, "events refused");
        }
    } else {
        let status = reply.status.unwrap_or_default();
        let (answer, code) = in_short(&reply.answer);
        tracing::warn!(task, wave, correlation, trace, status, answer, code, "not accepted");
    }
}

/// What an answer is, and its code: its text may name people and does not reach the log (law 12).
fn in_short(answer: &Answer) -> (&'static str, &str) {
    match answer {
        Answer::Accepted { .. } => ("accepted", ""),
        Answer::RateLimited { .. } => ("rate limited", ""),
        Answer::Unauthorized => ("unauthorized", ""),
        Answer::NotSent { .. } => ("not sent", ""),
        Answer::Ambiguous { .. } => ("ambiguous", ""),
        Answer::TooLarge => ("too large", ""),
        Answer::BadRequest { code, .. } => ("bad request", code),
        Answer::Conflict { code, .. } => ("conflict", code),
        Answer::Refused { code, .. } => ("refused", code),
    }
}
