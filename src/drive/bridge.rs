//! What a bridge writes to: the raw topic, dead letters and its position, in one durable append;
//! and the tick.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use tokio::time::MissedTickBehavior;
use trunkline_ingest::tlib::{LinkConfig, LinkStatus, RawOut, WriteError, Writer};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::record::TRACE_HEADER;
use trunkline_schemas::state::StateValue;
use trunkline_schemas::topics::{DEAD_INGEST, RAW_AGENT, RAW_TLIB, STATE_BRIDGE};
use trunkline_schemas::{Output, Partition, RawEvent, RawKind, Record, Topic, codec};

use super::tail::Tail;
use super::{LOOP_LIMIT, Shell, TaskError, point, state};
use crate::admin::health::Condition;
use crate::admin::metrics::{self, LinkEvent, Stage};
use crate::clock;
use crate::log::{Appender, Log, LogError};
use crate::trace::{Context, Hop, Tracer};

/// How often stream time advances though nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Writes for one link.
pub struct LogWriter {
    log: Arc<dyn Log>,
    appender: Option<Box<dyn Appender>>,
    partition: Partition,
    bridge: String,
    position: Option<(i64, i64)>,
    tracer: Tracer,
}

impl LogWriter {
    /// A writer for a link of a bridge, in the partition of its domain. It knows where the link
    /// stood.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn new(
        log: Arc<dyn Log>,
        partition: Partition,
        bridge: &str,
        link: &str,
    ) -> Result<Self, LogError> {
        let position = read_position(log.as_ref(), link)?;
        let bridge = bridge.to_owned();
        let tracer = Tracer::default();
        Ok(Self { log, appender: None, partition, bridge, position, tracer })
    }

    /// The same, telling of the events of traced calls.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Gives the record of an event of a traced call its context.
    fn trace(&self, event: &RawEvent, record: &mut Record) -> Option<Context> {
        let context = self.tracer.of_call(&event.domain, event.call_uuid.as_deref()?)?;
        record.set_header(TRACE_HEADER, context.header());
        Some(context)
    }

    fn append(&mut self, records: Vec<Output>) -> Result<(), LogError> {
        let mut appender = match self.appender.take() {
            Some(appender) => appender,
            None => self.log.appender()?,
        };
        appender.append(records)?;
        self.appender = Some(appender); // one that failed is dropped: its outcome is unknown
        Ok(())
    }
}

impl Writer for LogWriter {
    fn write(&mut self, batch: Vec<RawOut>) -> Result<(), WriteError> {
        let mut records = Vec::with_capacity(batch.len());
        let (mut position, mut traced) = (None, Vec::new());
        for out in &batch {
            records.push(match out {
                RawOut::Raw(event) => {
                    let topic = raw_topic(event.stream);
                    let mut output =
                        raw_output(topic, event, self.partition).map_err(WriteError::new)?;
                    let context = self.trace(event, &mut output.record);
                    traced.extend(context.map(|context| (context, event)));
                    output
                }
                RawOut::Dead(record) => {
                    let partition = self.partition;
                    Output { topic: DEAD_INGEST, partition, record: record.clone() }
                }
                RawOut::Position { link, server_start, sequence } => {
                    position = Some((*server_start, *sequence));
                    let body = serde_json::json!({
                        "serverStart": server_start,
                        "sequence": sequence,
                    });
                    state_output(link, &body).map_err(WriteError::new)?
                }
            });
        }
        point::pass("bridge.before_append");
        self.append(records).map_err(WriteError::new)?;
        point::pass("bridge.after_append");
        for (context, event) in traced {
            self.tracer.ended(ingested(context, event));
        }
        self.position = position.or(self.position);
        for out in &batch {
            count(&self.bridge, out);
        }
        Ok(())
    }

    fn position(&self) -> Option<(i64, i64)> {
        self.position
    }
}

/// The hop of an event that is durable now.
fn ingested(context: Context, event: &RawEvent) -> Hop {
    let text = |name, value: &str| KeyValue::new(name, value.to_owned());
    Hop {
        context,
        parent: None,
        kind: SpanKind::Producer,
        name: format!("ingest {}", event.name.as_deref().unwrap_or("event")),
        from_us: event.received_time_us,
        to_us: clock::now_us(),
        attributes: vec![
            text("trunkline.link", &event.link),
            text("trunkline.call_uuid", event.call_uuid.as_deref().unwrap_or_default()),
            KeyValue::new("trunkline.sequence", event.sequence.unwrap_or_default()),
        ],
        failed: None,
    }
}

fn count(bridge: &str, out: &RawOut) {
    match out {
        RawOut::Raw(event) => {
            metrics::records_out(Stage::Ingest, 1);
            match event.kind {
                RawKind::LinkUp => metrics::link_event(bridge, LinkEvent::Up),
                RawKind::LinkDown => metrics::link_event(bridge, LinkEvent::Down),
                RawKind::Gap => metrics::link_event(bridge, LinkEvent::Gap),
                RawKind::Event
                | RawKind::CaughtUp
                | RawKind::Tick
                | RawKind::DirectoryStart
                | RawKind::DirectoryRow
                | RawKind::DirectoryEnd
                | RawKind::AgentFact
                | RawKind::CallFact => {}
            }
        }
        RawOut::Dead(record) => {
            let code = record.header("dead-code").unwrap_or_default();
            metrics::record_dead(Stage::Ingest, &String::from_utf8_lossy(code));
        }
        RawOut::Position { .. } => {}
    }
}

/// The raw topic of a stream; what has none concerns both, and is written where it is said.
pub fn raw_topic(stream: Option<Stream>) -> Topic {
    if stream.is_none_or(Stream::is_switch) { RAW_TLIB } else { RAW_AGENT }
}

/// A raw event as a record of its domain's partition: keyed by CallUUID or agent, else DN (DESIGN
/// section 4).
pub fn raw_output(
    topic: Topic,
    event: &RawEvent,
    partition: Partition,
) -> Result<Output, codec::CodecError> {
    let key = event.call_uuid.as_ref().or(event.agent_id.as_ref()).or(event.this_dn.as_ref());
    let key = key.map_or("", String::as_str);
    Ok(Output { topic, partition, record: codec::record(key, event)? })
}

/// The last (server start, number) of a link that is durable.
///
/// # Errors
/// The log cannot be read.
pub fn read_position(log: &dyn Log, link: &str) -> Result<Option<(i64, i64)>, LogError> {
    Ok(read_state(log, link)?.and_then(|body| {
        let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
        Some((value.get("serverStart")?.as_i64()?, value.get("sequence")?.as_i64()?))
    }))
}

/// A value of `state.bridge`.
pub fn state_output(key: &str, body: &serde_json::Value) -> Result<Output, codec::CodecError> {
    let body = body.to_string().into_bytes();
    let value = codec::encode(&StateValue { version: 1, body })?;
    Ok(Output { topic: STATE_BRIDGE, partition: 0, record: Record::new(key, value) })
}

/// Says of every link that it is down. A process that was killed could not say so, and nobody may
/// take its links for caught up while they come up again. To be called before anything else is
/// written. A partition without records has no links to take down.
///
/// # Errors
/// The log cannot be read or written.
pub fn take_down(
    log: &dyn Log,
    partition: Partition,
    links: &[LinkConfig],
) -> Result<(), TaskError> {
    let now_us = clock::now_us();
    let down = |config: &LinkConfig| {
        let mut event = RawEvent::bare(RawKind::LinkDown, &config.domain, "trunkline", now_us);
        event.stream = Some(config.role);
        event.link = config.link();
        event.payload = serde_json::json!({ "why": "the process starts" }).to_string().into_bytes();
        raw_output(raw_topic(event.stream), &event, partition)
            .map_err(|e| TaskError::State(e.to_string()))
    };
    for topic in [RAW_TLIB, RAW_AGENT] {
        let is_of_it = |link: &&LinkConfig| raw_topic(Some(link.role)) == topic;
        let records: Vec<_> = links.iter().filter(is_of_it).map(down).collect::<Result<_, _>>()?;
        let bounds = log.bounds(topic, partition)?;
        if bounds.start < bounds.end && !records.is_empty() {
            log.appender()?.append(records)?;
        }
    }
    Ok(())
}

/// The newest value of a key of `state.bridge`.
///
/// # Errors
/// The log cannot be read. A value that cannot be read counts as none, and is told to the operator.
pub fn read_state(log: &dyn Log, key: &str) -> Result<Option<Vec<u8>>, LogError> {
    Kept::new(key).read(log)
}

/// A key of `state.bridge` that is looked at again and again.
pub(super) struct Kept {
    key: String,
    tail: Tail,
    newest: Option<Vec<u8>>,
}

impl Kept {
    pub(super) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), tail: Tail::new(STATE_BRIDGE, 0, 0), newest: None }
    }

    /// The newest value.
    ///
    /// # Errors
    /// As of [`read_state`].
    pub(super) fn read(&mut self, log: &dyn Log) -> Result<Option<Vec<u8>>, LogError> {
        let Self { key, tail, newest } = self;
        tail.read(log, &mut |stored| {
            if stored.record.key == key.as_bytes() {
                *newest = stored.record.value;
            }
        })?;
        let Some(value) = newest else { return Ok(None) };
        match state::unwrap(key.as_bytes(), value) {
            Ok(body) => Ok(Some(body)),
            Err(why) => {
                tracing::warn!(why, "a value of state.bridge is unreadable and counts as none");
                Ok(None)
            }
        }
    }
}

/// A link and the condition of readiness that tells of it.
pub type Watched = (Arc<LinkStatus>, Condition);

/// Writes a tick each second into the partition of a domain in these topics (DESIGN law 3), and
/// tells whether its links are up.
pub async fn tick(
    shell: Shell,
    domain: String,
    (topics, partition): (Vec<Topic>, Partition),
    links: Vec<Watched>,
) {
    let progress = shell.health.watch(format!("tick-{domain}"), LOOP_LIMIT, clock::uptime());
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = shell.stop.cancelled() => break,
            _ = interval.tick() => {}
        }
        for (status, condition) in &links {
            let why = match status.fault().borrow().as_str() {
                "" => "no server of the pair is connected".to_owned(),
                fault => format!("no server of the pair is connected; {fault}"),
            };
            condition.set(status.is_connected(), why);
        }
        let tick = RawEvent::bare(RawKind::Tick, &domain, "trunkline", clock::now_us());
        let (log, topics) = (Arc::clone(&shell.log), topics.clone());
        let written = tokio::task::spawn_blocking(move || -> Result<(), String> {
            let records = topics.into_iter().map(|topic| raw_output(topic, &tick, partition));
            let records = records.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
            let mut appender = log.appender().map_err(|e| e.to_string())?;
            appender.append(records).map(|_| ()).map_err(|e| e.to_string())
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(domain, error, "a tick could not be written"),
            Err(error) => tracing::warn!(domain, %error, "a tick could not be written"),
        }
        // Written or not: a process lives while its log is away.
        progress.beat(clock::uptime());
    }
    for (_, condition) in links {
        condition.retire();
    }
    progress.retire();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::Embedded;
    use crate::topology;

    fn link(role: Stream) -> LinkConfig {
        LinkConfig {
            bridge: "b1".to_owned(),
            domain: "main".to_owned(),
            site: "site1".to_owned(),
            role,
            pair: 0,
            servers: vec!["sip:8000".to_owned()],
            tls: None,
            dns: Vec::new(),
            connect_timeout: TICK,
            silence_timeout: TICK,
            backoff_min: TICK,
            backoff_max: TICK,
        }
    }

    #[test]
    fn a_start_takes_the_links_of_the_last_process_down_before_anything_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = Embedded::open(directory.path(), Arc::new(clock::now_ms)).expect("a log");
        log.ensure(&topology::layouts(1, 1)).expect("topics");
        let links = [link(Stream::Call), link(Stream::Vq)];
        let kinds = || -> Vec<(RawKind, Option<Stream>, String)> {
            let records = log.read(RAW_TLIB, 0, 0, 1_000).expect("readable");
            let raw = |record: &trunkline_schemas::Stored| {
                let value = record.record.value.as_deref().expect("a raw event");
                let raw: RawEvent = codec::decode(value).expect("a raw event");
                (raw.kind, raw.stream, raw.link)
            };
            records.iter().map(raw).collect()
        };
        take_down(log.as_ref(), 0, &links).expect("written");
        assert_eq!(kinds(), [], "the first start has nothing to take down");

        let up = RawEvent::bare(RawKind::LinkUp, "main", "sips", clock::now_us());
        let up = raw_output(RAW_TLIB, &up, 0).expect("a record");
        log.appender().expect("usable").append(vec![up]).expect("written");
        take_down(log.as_ref(), 0, &links).expect("written");
        let down = |role, name: &str| (RawKind::LinkDown, Some(role), name.to_owned());
        let wanted = [down(Stream::Call, "b1/site1/call/0"), down(Stream::Vq, "b1/site1/vq/0")];
        assert_eq!(kinds()[1..], wanted);
    }
}
