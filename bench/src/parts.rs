//! The parts that are measured, each in a process of its own: so that memory is its own, and its
//! caches are cold.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline::clock::Elapsed;
use trunkline::drive::state;
use trunkline::log::{Log, Step, TaskSpec};
use trunkline_processors::Processor;
use trunkline_processors::conversation::{ConversationProcessor, Settings};
use trunkline_schemas::topics::{
    RAW_TLIB, SEGMENT, STATE_CONVERSATION, STATE_CONVERSATION_SINK, Spread, hash_partition,
};
use trunkline_schemas::{Output, Record, Stored, Topic};

use crate::load::{BEGIN_US, DOMAIN, EVENTS_PER_SECOND, Load};
use crate::measure::{figures, merge, resident_kib, usage};
use crate::place::PARTITIONS;

/// Records of one step.
const STEP: usize = 2_000;
/// Records of one append.
const APPEND: usize = 500;
/// How long a task waits for records that are in the log: then there are no more.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Writes the load, durably, in batches.
pub(crate) fn fill(log: &dyn Log, records: usize, live: usize) -> anyhow::Result<Value> {
    let mut load = Load::new(live)?;
    let mut appender = log.appender()?;
    let output = |record| Output { topic: RAW_TLIB, partition: 0, record };
    let mut batch: Vec<Output> = load.beginning()?.into_iter().map(output).collect();
    let (watch, before) = (Elapsed::start(), usage());
    for _ in 0..records / 2 {
        batch.extend(load.next_pair()?.map(output));
        if batch.len() >= APPEND {
            appender.append(std::mem::take(&mut batch))?;
        }
    }
    appender.append(batch)?;
    Ok(figures("fill", records, watch, before))
}

/// The processor alone: records in memory to effects in memory.
pub(crate) fn in_memory(records: usize, live: usize) -> anyhow::Result<Value> {
    let mut load = Load::new(live)?;
    let mut stored = Vec::with_capacity(records + live);
    let mut keep = |record: Record| {
        let offset = stored.len() as i64;
        let append_time_ms = 1_764_000_000_000 + offset / 16;
        stored.push(Stored { topic: RAW_TLIB, partition: 0, offset, append_time_ms, record });
    };
    for record in load.beginning()? {
        keep(record);
    }
    for _ in 0..records / 2 {
        for record in load.next_pair()? {
            keep(record);
        }
    }
    let mut processor = ConversationProcessor::new(DOMAIN, Settings::default());
    let (watch, before) = (Elapsed::start(), usage());
    let mut outputs = 0;
    for step in stored.chunks(STEP) {
        for record in step {
            processor.apply(record);
        }
        outputs += processor.drain().outputs.len();
    }
    let counters = processor.counters();
    let extra = json!({
        "outputs": outputs,
        "conversations": counters.conversations,
        "copies": counters.copies,
    });
    Ok(merge(figures("processor in memory", stored.len(), watch, before), &extra))
}

/// The yardstick: read a step, write each record once more and one state record, commit.
pub(crate) fn bare(log: &dyn Log) -> anyhow::Result<Value> {
    let spec = {
        let (name, input, state) = ("bare", RAW_TLIB, STATE_CONVERSATION_SINK);
        TaskSpec { name, input, partition: 0, state }
    };
    let mut task = log.own(&spec)?;
    let end = log.bounds(RAW_TLIB, 0)?.end;
    let (watch, before) = (Elapsed::start(), usage());
    let mut records = 0;
    while task.position() < end {
        let read = task.poll(STEP, LAST_WAIT)?;
        let Some(last) = read.last() else { break };
        let next = last.offset + 1;
        records += read.len();
        let copy = |stored: Stored| {
            let partition = hash_partition(&stored.record.key, PARTITIONS);
            Output { topic: SEGMENT, partition, record: stored.record }
        };
        let state = vec![(b"bare".to_vec(), Some(next.to_be_bytes().to_vec()))];
        let outputs = read.into_iter().map(copy).collect();
        task.commit(Step { outputs, state, next })?;
    }
    Ok(figures("bare loop", records, watch, before))
}

/// From the log to the log through the conversation processor.
pub(crate) fn pipeline(log: &dyn Log) -> anyhow::Result<Value> {
    let mut task = log.own(&spec())?;
    let end = log.bounds(RAW_TLIB, 0)?.end;
    let mut processor = ConversationProcessor::new(DOMAIN, Settings::default());
    let (watch, before) = (Elapsed::start(), usage());
    let (mut records, mut outputs) = (0, 0);
    while task.position() < end {
        let read = task.poll(STEP, LAST_WAIT)?;
        let Some(last) = read.last() else { break };
        let next = last.offset + 1;
        records += read.len();
        for record in &read {
            processor.apply(record);
        }
        let effects = processor.drain();
        outputs += effects.outputs.len();
        let outputs = effects.outputs.into_iter().map(place).collect();
        task.commit(Step { outputs, state: state::wrap(effects.state)?, next })?;
    }
    let figures = figures("log to log", records, watch, before);
    let extra = json!({
        "outputs": outputs,
        "conversations": processor.counters().conversations,
        "resident_mb": resident_kib() / 1024,
    });
    Ok(merge(figures, &extra))
}

/// The state of a time of the load, written as the processor writes it; what it read and what it
/// told is not: the restore that follows asks only for the state.
pub(crate) fn updates(log: &dyn Log, seconds: i64, live: usize) -> anyhow::Result<Value> {
    let mut task = log.own(&spec())?;
    let mut processor = ConversationProcessor::new(DOMAIN, Settings::default());
    let mut load = Load::new(live)?;
    let (watch, before) = (Elapsed::start(), usage());
    let (mut next, mut events, mut written) = (0, 0, 0);
    let mut waiting = load.beginning()?;
    while events < seconds * EVENTS_PER_SECOND {
        while waiting.len() < STEP {
            waiting.extend(load.next_pair()?);
            events += 1;
        }
        let append_time_ms = BEGIN_US / 1_000 + events * 1_000 / EVENTS_PER_SECOND;
        for record in waiting.drain(..) {
            let (topic, partition, offset) = (RAW_TLIB, 0, next);
            processor.apply(&Stored { topic, partition, offset, append_time_ms, record });
            next += 1;
        }
        let state = state::wrap(processor.drain().state)?;
        written += state.len();
        task.commit(Step { outputs: Vec::new(), state, next })?;
    }
    let extra = json!({
        "state_records": written,
        "load_seconds": seconds,
        "conversations": processor.counters().conversations,
        "gravestones": processor.counters().gravestones,
        "resident_mb": resident_kib() / 1024,
    });
    Ok(merge(figures("updates of state", next as usize, watch, before), &extra))
}

fn place((topic, record): (Topic, Record)) -> Output {
    let hashed = topic.spec().spread == Spread::Hash;
    let partition = if hashed { hash_partition(&record.key, PARTITIONS) } else { 0 };
    Output { topic, partition, record }
}

/// From the state topic into memory: what a new owner does first.
pub(crate) fn restore(log: &dyn Log) -> anyhow::Result<Value> {
    let mut processor = ConversationProcessor::new(DOMAIN, Settings::default());
    let (empty, before) = (resident_kib(), usage());
    let watch = Elapsed::start();
    let mut task = log.own(&spec())?;
    let keys = state::restore_processor(task.as_mut(), &mut |_| {}, &mut processor)?;
    let figures = figures("restore (keys)", keys as usize, watch, before);
    let conversations = processor.counters().conversations;
    let grown = resident_kib().saturating_sub(empty) * 1024;
    let extra = json!({
        "conversations": conversations,
        "gravestones": processor.counters().gravestones,
        "resident_mb": resident_kib() / 1024,
        "bytes_per_call": grown / conversations.max(1),
    });
    Ok(merge(figures, &extra))
}

fn spec() -> TaskSpec {
    let (name, input, state) = ("conversation", RAW_TLIB, STATE_CONVERSATION);
    TaskSpec { name, input, partition: 0, state }
}
