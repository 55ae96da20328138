//! Measures, never asserts: each figure of a run is printed as a table and as JSON, beside a bare
//! loop in the same run that does nothing but read, copy and write (ratios outlive the machine).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use trunkline::clock::{self, Elapsed};
use trunkline::log::embedded::Embedded;
use trunkline::log::{Log, Step, TaskSpec};
use trunkline::topology;
use trunkline_processors::Processor;
use trunkline_processors::conversation::{ConversationProcessor, Settings};
use trunkline_schemas::topics::{
    RAW_TLIB, SEGMENT, STATE_CONVERSATION, STATE_CONVERSATION_SINK, Spread, hash_partition,
};
use trunkline_schemas::{Output, Record, Stored};

mod load;

use load::{DOMAIN, Load};

/// Records of one step.
const STEP: usize = 2_000;
/// Records of one append.
const APPEND: usize = 500;
/// Partitions of hashed topics.
const PARTITIONS: u32 = 4;

/// Measures Trunkline.
#[derive(Parser)]
struct Args {
    /// Raw records, both copies of every event counted
    #[arg(long, default_value_t = 400_000)]
    records: usize,
    /// Calls alive at once
    #[arg(long, default_values_t = [500_usize, 30_000])]
    live: Vec<usize>,
    /// Print only JSON
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut rows = Vec::new();
    for live in &args.live {
        rows.push(in_memory(args.records, *live)?);
        let directory = tempfile::tempdir()?;
        let log = open(directory.path())?;
        fill(log.as_ref(), args.records, *live)?;
        let bare = bare(log.as_ref(), *live)?;
        let whole = pipeline(log.as_ref(), *live)?;
        let ratio = whole["records_per_second"].as_f64().unwrap_or_default()
            / bare["records_per_second"].as_f64().unwrap_or(1.0);
        rows.push(bare);
        rows.push(merge(whole, &json!({ "ratio_to_bare": (ratio * 100.0).round() / 100.0 })));
        rows.push(restore(log.as_ref(), *live)?);
    }
    print(&rows, args.json)
}

fn open(path: &Path) -> anyhow::Result<Arc<dyn Log>> {
    let log: Arc<dyn Log> = Embedded::open(path, Arc::new(clock::now_ms))?;
    log.ensure(&topology::layouts(1, PARTITIONS))?;
    Ok(log)
}

/// Writes the load, durably, in batches.
fn fill(log: &dyn Log, records: usize, live: usize) -> anyhow::Result<()> {
    let mut load = Load::new(live)?;
    let mut appender = log.appender()?;
    let output = |record| Output { topic: RAW_TLIB, partition: 0, record };
    let mut batch: Vec<Output> = load.beginning()?.into_iter().map(output).collect();
    for _ in 0..records / 2 {
        batch.extend(load.next_pair()?.map(output));
        if batch.len() >= APPEND {
            appender.append(std::mem::take(&mut batch))?;
        }
    }
    appender.append(batch)?;
    Ok(())
}

/// The processor alone: records in memory to effects in memory.
fn in_memory(records: usize, live: usize) -> anyhow::Result<Value> {
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
    let before = usage();
    let watch = Elapsed::start();
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
    Ok(merge(figures("processor in memory", live, stored.len(), watch, before), &extra))
}

/// The yardstick: read a step, write each record once more and one state record, commit.
fn bare(log: &dyn Log, live: usize) -> anyhow::Result<Value> {
    let spec = {
        let (name, input, state) = ("bare", RAW_TLIB, STATE_CONVERSATION_SINK);
        TaskSpec { name, input, partition: 0, state }
    };
    let mut task = log.own(&spec)?;
    let before = usage();
    let watch = Elapsed::start();
    let mut records = 0;
    loop {
        let read = task.poll(STEP, Duration::ZERO)?;
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
    Ok(figures("bare loop", live, records, watch, before))
}

/// From the log to the log through the conversation processor.
fn pipeline(log: &dyn Log, live: usize) -> anyhow::Result<Value> {
    let spec = spec();
    let mut task = log.own(&spec)?;
    let mut processor = ConversationProcessor::new(DOMAIN, Settings::default());
    let before = usage();
    let watch = Elapsed::start();
    let (mut records, mut outputs) = (0, 0);
    loop {
        let read = task.poll(STEP, Duration::ZERO)?;
        let Some(last) = read.last() else { break };
        let next = last.offset + 1;
        records += read.len();
        for record in &read {
            processor.apply(record);
        }
        let effects = processor.drain();
        outputs += effects.outputs.len();
        let place = |(topic, record): (trunkline_schemas::Topic, Record)| {
            let hashed = topic.spec().spread == Spread::Hash;
            let partition = if hashed { hash_partition(&record.key, PARTITIONS) } else { 0 };
            Output { topic, partition, record }
        };
        let outputs = effects.outputs.into_iter().map(place).collect();
        task.commit(Step { outputs, state: effects.state, next })?;
    }
    let extra = json!({ "outputs": outputs, "resident_mb": resident_mb() });
    Ok(merge(figures("log to log", live, records, watch, before), &extra))
}

fn restore(log: &dyn Log, live: usize) -> anyhow::Result<Value> {
    let mut task = log.own(&spec())?;
    let mut processor = ConversationProcessor::new(DOMAIN, Settings::default());
    let before = usage();
    let watch = Elapsed::start();
    let mut failed = None;
    let keys = task.restore(&mut |key, value| {
        if let Err(why) = processor.restore(&key, &value) {
            failed.get_or_insert(why);
        }
    })?;
    anyhow::ensure!(failed.is_none(), "{failed:?}");
    let conversations = processor.counters().conversations;
    let extra = json!({ "conversations": conversations, "seconds": watch.ms() as f64 / 1000.0 });
    Ok(merge(figures("restore (keys)", live, keys as usize, watch, before), &extra))
}

fn spec() -> TaskSpec {
    let (name, input, state) = ("conversation", RAW_TLIB, STATE_CONVERSATION);
    TaskSpec { name, input, partition: 0, state }
}

fn figures(name: &str, live: usize, records: usize, watch: Elapsed, before: Duration) -> Value {
    let seconds = watch.time().as_secs_f64().max(1e-9);
    let cpu_us = usage().saturating_sub(before).as_micros() as f64 / records.max(1) as f64;
    json!({
        "what": name,
        "live": live,
        "records": records,
        "records_per_second": (records as f64 / seconds).round(),
        "cpu_us_per_record": (cpu_us * 100.0).round() / 100.0,
    })
}

fn merge(mut value: Value, extra: &Value) -> Value {
    for (key, more) in extra.as_object().into_iter().flatten() {
        value[key] = more.clone();
    }
    value
}

/// CPU time of this process, user and system (Linux: `/proc/self/stat`, in ticks of 10 ms).
fn usage() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Memory of this process, MB (Linux: `/proc/self/status`).
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kb = line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok());
    kb.unwrap_or_default() / 1024
}

#[expect(clippy::print_stdout, reason = "it is what this program is for")]
fn print(rows: &[Value], json: bool) -> anyhow::Result<()> {
    if !json {
        println!(
            "{:<22} {:>7} {:>10} {:>12} {:>9}",
            "what", "live", "records", "records/s", "CPU us"
        );
        for row in rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let number = |key: &str| row[key].as_f64().unwrap_or_default();
            println!(
                "{:<22} {:>7} {:>10} {:>12} {:>9.2}",
                text("what"),
                number("live"),
                number("records"),
                number("records_per_second"),
                number("cpu_us_per_record"),
            );
        }
    }
    println!("{}", serde_json::to_string(rows)?);
    Ok(())
}
