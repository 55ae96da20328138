//! `trunkline topics`: what is in the log.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use trunkline_schemas::codec::{self, ConfigValue, DesiredValue, DirectoryValue};
use trunkline_schemas::state::StateValue;
use trunkline_schemas::time::iso_millis;
use trunkline_schemas::topics::{CATALOGUE, ValueKind};
use trunkline_schemas::{
    ConfigOutcome, ConversationCommand, Outcome, PresenceCommand, PresenceOutcome, RawEvent,
    Record, Segment, Stored, Topic,
};

use super::run::open_log;
use super::{ConfigArg, load, say};
use crate::config::Log as LogConfig;
use crate::log::{Log, LogError};

/// Records read at once.
const READ_MAX: usize = 1_000;

/// Options of `topics`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// The log's directory, instead of the configuration's
    #[arg(long)]
    log: Option<std::path::PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List topics with their partitions and records
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the records of a topic, decoded
    Show {
        /// The topic
        topic: String,
        /// Only this partition
        #[arg(long)]
        partition: Option<u32>,
        /// From this offset on
        #[arg(long)]
        from: Option<i64>,
        /// At most so many records
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let embedded = args.log.clone().map(|path| LogConfig::Embedded { path });
    let log = match embedded.map_or_else(|| load(&args.file.config).map(|c| c.log), Ok) {
        Ok(log) => open(&log)?,
        Err(status) => return Ok(status),
    };
    match &args.what {
        What::List { json } => list(log.as_ref(), *json)?,
        What::Show { topic, partition, from, limit, json } => {
            let known = Topic::find(topic).with_context(|| no_topic(topic))?;
            show(log.as_ref(), known, *partition, *from, *limit, *json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a log that there is.
pub(super) fn open(config: &LogConfig) -> anyhow::Result<Arc<dyn Log>> {
    if let LogConfig::Embedded { path } = config
        && !path.is_dir()
    {
        bail!("there is no log at {}", path.display());
    }
    open_log(config).map_err(|error| {
        let in_use = matches!(error, LogError::InUse { .. });
        let error = anyhow::Error::new(error);
        let hint = "a running trunkline has its log to itself; stop it to look inside";
        if in_use { error.context(hint) } else { error }
    })
}

fn no_topic(topic: &str) -> String {
    let names: Vec<&str> = CATALOGUE.iter().map(|spec| spec.topic.name()).collect();
    format!("there is no topic {topic}; there are {}", names.join(", "))
}

fn list(log: &dyn Log, json: bool) -> anyhow::Result<()> {
    let mut layouts = log.layouts()?;
    layouts.sort_by_key(|layout| layout.topic);
    for layout in layouts {
        let mut records = 0;
        for partition in 0..layout.partitions {
            let bounds = log.bounds(layout.topic, partition)?;
            records += bounds.end - bounds.start;
        }
        let (topic, partitions) = (layout.topic.name(), layout.partitions);
        say(&if json {
            json!({ "topic": topic, "partitions": partitions, "offsets": records }).to_string()
        } else {
            format!("{topic:<28} {partitions:>3} partitions {records:>10} offsets")
        })?;
    }
    Ok(())
}

fn show(
    log: &dyn Log,
    topic: Topic,
    only: Option<u32>,
    from: Option<i64>,
    limit: usize,
    json: bool,
) -> anyhow::Result<()> {
    let layout = log.layouts()?.into_iter().find(|layout| layout.topic == topic);
    let partitions = layout.with_context(|| format!("this log has no topic {topic} yet"))?;
    let mut left = limit;
    for partition in 0..partitions.partitions {
        if only.is_some_and(|only| only != partition) {
            continue;
        }
        let start = log.bounds(topic, partition)?.start;
        let mut next = from.map_or(start, |from| from.max(start));
        while left > 0 {
            let records = log.read(topic, partition, next, left.min(READ_MAX))?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            left -= records.len();
            for stored in &records {
                say(&line(stored, json))?;
            }
        }
    }
    Ok(())
}

fn line(stored: &Stored, as_json: bool) -> String {
    let key = String::from_utf8_lossy(&stored.record.key);
    let at = iso_millis(stored.append_time_ms);
    let value = value(stored.topic.spec().value, &stored.record);
    if !as_json {
        return format!("{} {at} {key}\n    {value}", stored.place());
    }
    let headers: Vec<Value> = stored
        .record
        .headers
        .iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]))
        .collect();
    json!({
        "topic": stored.topic.name(),
        "partition": stored.partition,
        "offset": stored.offset,
        "appended": at,
        "key": key,
        "headers": headers,
        "value": value,
    })
    .to_string()
}

/// The value of a record as JSON. Bytes inside (payloads, state) are shown as what they hold.
fn value(kind: ValueKind, record: &Record) -> Value {
    let Some(bytes) = record.value.as_deref() else { return Value::Null };
    let decoded = match kind {
        ValueKind::RawEvent => decoded::<RawEvent>(bytes, Some("payload")),
        ValueKind::ConversationCommand => decoded::<ConversationCommand>(bytes, None),
        ValueKind::PresenceCommand => decoded::<PresenceCommand>(bytes, None),
        ValueKind::PresenceOutcome => decoded::<PresenceOutcome>(bytes, None),
        ValueKind::Outcome => decoded::<Outcome>(bytes, None),
        ValueKind::Segment => decoded::<Segment>(bytes, None),
        ValueKind::DirectoryRow => decoded::<DirectoryValue>(bytes, None),
        ValueKind::ConfigObject => decoded::<ConfigValue>(bytes, None),
        ValueKind::DesiredObject => decoded::<DesiredValue>(bytes, None),
        ValueKind::ConfigOutcome => decoded::<ConfigOutcome>(bytes, None),
        ValueKind::State => decoded::<StateValue>(bytes, Some("body")),
        // A dead letter keeps what it was: the raw event or command of its stage, or bytes.
        ValueKind::Original => decoded::<RawEvent>(bytes, Some("payload"))
            .or_else(|_| decoded::<ConversationCommand>(bytes, None))
            .or_else(|_| decoded::<PresenceCommand>(bytes, None))
            .or_else(|_| decoded::<ConfigValue>(bytes, None))
            .or_else(|_| Ok(Value::from(String::from_utf8_lossy(bytes)))),
    };
    decoded.unwrap_or_else(|undecodable| json!({ "undecodable": undecodable }))
}

fn decoded<T: codec::Schemed>(bytes: &[u8], inside: Option<&str>) -> Result<Value, String> {
    let value: T = codec::decode(bytes).map_err(|e| e.to_string())?;
    let mut value = serde_json::to_value(&value).map_err(|e| e.to_string())?;
    if let Some(field) = inside.and_then(|field| value.get_mut(field)) {
        let bytes: Vec<u8> = serde_json::from_value(field.take()).unwrap_or_default();
        *field = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes)));
    }
    Ok(value)
}
