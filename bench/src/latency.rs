//! From a raw event to the request that tells of it: the loops of the program between a paced
//! writer and the simulated organisation, which notes when each request came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline::clock::{self, Elapsed};
use trunkline::config::Domain;
use trunkline::drive::Shell;
use trunkline::drive::engine::{Engine, Parts, Plan};
use trunkline::drive::sink::Outlet;
use trunkline::log::Log;
use trunkline_processors::conversation::Settings;
use trunkline_schemas::time::parse_millis;
use trunkline_schemas::topics::{COMMAND_CONVERSATION, RAW_TLIB};
use trunkline_schemas::{ConversationCommand, Output, Partition, Stored, Topic, codec};
use trunkline_sim::gc::{self, EventOutcome, GcConfig, GcSim};
use trunkline_sinks::{ClientConfig, GenesysCloud, LocalAllowance, SinkConfig};

use crate::load::{DOMAIN, Load};
use crate::measure::merge;
use crate::place::{PARTITIONS, layouts};

/// Raw records a second, both copies counted.
const RATE: u64 = 2_000;
/// How long the load runs before it is measured, and how long it is measured.
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
/// The writer writes what is due this often.
const BEAT: Duration = Duration::from_millis(1);
/// How long everything may take to be told in the end.
const DRAIN: Duration = Duration::from_secs(10);
/// Requests a minute: more than there are.
const OPEN: u32 = 10_000_000;
/// Legs that are dated back on purpose: they begin with the call, and are told when it is known to
/// be one that is told. All others are dated by the raw event that caused them.
const DATED_BACK: [&str; 2] = ["externalEstablishedEvents", "ivrEstablishedEvents"];

/// Events of a conversation that are dated less apart have one cause.
const TOGETHER_MS: i64 = 50;

/// Measures the whole path.
pub(crate) fn latency(log: &Arc<dyn Log>, live: usize) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // It fails if there is one, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = GcConfig { requests_per_minute: OPEN, ..GcConfig::default() };
    let client = (config.client_id.clone(), config.client_secret.clone());
    let start_ms = clock::now_ms();
    let org = runtime.block_on(gc::start(config))?;
    let shell = Shell::new(Arc::clone(log), layouts())?;
    let entered = runtime.enter();
    let plan = Plan {
        domains: &[domain()],
        bridges: &[],
        settings: Settings::default(),
        outlet: outlet(&org, client, runtime.handle())?,
        agents: None,
        configuration: None,
        parts: Parts { ingest: false, processors: true, sinks: true },
        deadline: DRAIN,
    };
    let engine = Engine::start(&shell, &plan)?;
    drop(entered);
    let (from_ms, to_ms) = feed(log.as_ref(), live)?;
    let clean = runtime.block_on(engine.stop());
    anyhow::ensure!(clean, "the loops did not end in time");
    let hops = hops(log.as_ref(), &came(&org, start_ms), (from_ms, to_ms))?;
    Ok(merge(report(&org, start_ms, (from_ms, to_ms))?, &json!({ "hops_p50_p99_ms": hops })))
}

fn domain() -> Domain {
    Domain {
        name: DOMAIN.to_owned(),
        directory_file: None,
        directory: trunkline_schemas::directory::DirectoryFile::default(),
        agent_states: None,
        interaction_reporting: None,
        sites: Vec::new(),
    }
}

fn outlet(
    org: &GcSim,
    client: (String, String),
    runtime: &tokio::runtime::Handle,
) -> anyhow::Result<Outlet> {
    let cloud = GenesysCloud::new(ClientConfig {
        base_url: org.base_url(),
        auth_url: org.base_url(),
        client_id: client.0,
        client_secret: client.1.into(),
        ca_pem: None,
        connect_timeout: DRAIN,
        request_timeout: DRAIN,
    })?;
    Ok(Outlet {
        cloud: Arc::new(cloud),
        allowance: Arc::new(LocalAllowance::new(None, 1)),
        config: SinkConfig::default(),
        deadline: DRAIN,
        runtime: runtime.clone(),
    })
}

/// Writes the load as it falls due, whatever becomes of it, each event dated by the moment at which
/// it was due. Returns from when to when it is to be measured (milliseconds since 1970).
fn feed(log: &dyn Log, live: usize) -> anyhow::Result<(i64, i64)> {
    let mut load = Load::new(live)?;
    let mut appender = log.appender()?;
    let output = |record| Output { topic: RAW_TLIB, partition: 0, record };
    appender.append(load.beginning()?.into_iter().map(output).collect())?;
    let (watch, begin_us) = (Elapsed::start(), clock::now_us());
    let all = WARM_UP + MEASURED;
    let mut written = 0;
    while watch.time() < all {
        let due = (watch.time().as_micros() as u64).saturating_mul(RATE / 2) / 1_000_000;
        let mut batch = Vec::new();
        while written < due {
            let at_us = begin_us + (written * 1_000_000 / (RATE / 2)) as i64;
            batch.extend(load.next_pair_at(at_us)?.map(output));
            written += 1;
        }
        if batch.is_empty() {
            thread::park_timeout(BEAT);
        } else {
            appender.append(batch)?;
        }
    }
    let ms = |duration: Duration| begin_us / 1000 + duration.as_millis() as i64;
    Ok((ms(WARM_UP), ms(all)))
}

/// What was told, in the order of its dates: conversation, date, when its request came.
type Told = (String, i64, i64);

/// When the request came that carried an event, by the event's id.
fn came(org: &GcSim, start_ms: i64) -> BTreeMap<String, i64> {
    let requests: BTreeMap<u64, i64> =
        org.requests().iter().map(|r| (r.number, start_ms + r.at_ms as i64)).collect();
    let one = |event: gc::EventRecord| {
        Some((event.body["eventId"].as_str()?.to_owned(), *requests.get(&event.request)?))
    };
    org.events().into_iter().filter_map(one).collect()
}

/// Where the time goes, by the append times of the log.
fn hops(
    log: &dyn Log,
    came: &BTreeMap<String, i64>,
    (from_ms, to_ms): (i64, i64),
) -> anyhow::Result<Value> {
    let mut raw = BTreeMap::new();
    each(log, RAW_TLIB, 0, &mut |stored| {
        raw.insert(stored.place(), stored.append_time_ms);
    })?;
    let (mut append, mut processor, mut sink) = (Vec::new(), Vec::new(), Vec::new());
    for partition in 0..PARTITIONS {
        each(log, COMMAND_CONVERSATION, partition, &mut |stored| {
            let value = stored.record.value.as_deref().unwrap_or_default();
            let Ok(command) = codec::decode::<ConversationCommand>(value) else { return };
            let dated = command.event_date_time_ms;
            if let (Some(raw), Some(came)) = (raw.get(&command.cause), came.get(&command.event_id))
                && (from_ms..to_ms).contains(&dated)
            {
                append.push((raw - dated).max(0));
                processor.push(stored.append_time_ms - raw);
                sink.push(came - stored.append_time_ms);
            }
        })?;
    }
    let both = |took: &mut Vec<i64>| [at(took, 0.5), at(took, 0.99)];
    Ok(json!({
        "due_to_raw": both(&mut append),
        "raw_to_command": both(&mut processor),
        "command_to_request": both(&mut sink),
    }))
}

/// Gives every record of a partition.
fn each(
    log: &dyn Log,
    topic: Topic,
    partition: Partition,
    give: &mut dyn FnMut(&Stored),
) -> anyhow::Result<()> {
    let mut from = 0;
    loop {
        let read = log.read(topic, partition, from, 10_000)?;
        let Some(last) = read.last() else { return Ok(()) };
        from = last.offset + 1;
        read.iter().for_each(&mut *give);
    }
}

/// The value below which this share lies; 0 of nothing.
fn at(took: &mut [i64], share: f64) -> i64 {
    took.sort_unstable();
    took.get((took.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or_default()
}

fn report(org: &GcSim, start_ms: i64, (from_ms, to_ms): (i64, i64)) -> anyhow::Result<Value> {
    let came: BTreeMap<u64, i64> =
        org.requests().iter().map(|r| (r.number, start_ms + r.at_ms as i64)).collect();
    let mut told: Vec<Told> = Vec::new();
    let mut refused = 0;
    for event in org.events() {
        refused += u64::from(event.outcome == EventOutcome::Refused);
        let text = |key: &str| event.body[key].as_str().unwrap_or_default().to_owned();
        let dated = parse_millis(&text("eventDateTime"));
        let (Some(dated), Some(came)) = (dated, came.get(&event.request)) else { continue };
        if !DATED_BACK.contains(&event.array.as_str()) {
            told.push((text("conversationId"), dated, *came));
        }
    }
    told.sort_unstable();
    let before = |n: usize| n.checked_sub(1).and_then(|n| told.get(n));
    let (mut all, mut first) = (Vec::new(), Vec::new());
    for (n, (conversation, dated, came)) in told.iter().enumerate() {
        if !(from_ms..to_ms).contains(dated) {
            continue;
        }
        let took = (came - dated).max(0);
        all.push(took);
        // One conversation has one request under way: what follows waits for its answer.
        let follows = |(of, at, _): &Told| of == conversation && dated - at < TOGETHER_MS;
        if !before(n).is_some_and(follows) {
            first.push(took);
        }
    }
    anyhow::ensure!(!first.is_empty(), "nothing was told");
    Ok(json!({
        "what": "raw event to request",
        "records_per_second": RATE,
        "events": first.len(),
        "refused": refused,
        "p50_ms": at(&mut first, 0.5),
        "p95_ms": at(&mut first, 0.95),
        "p99_ms": at(&mut first, 0.99),
        "max_ms": at(&mut first, 1.0),
        "followers_too": {
            "events": all.len(),
            "p50_ms": at(&mut all, 0.5),
            "p99_ms": at(&mut all, 0.99),
        },
    }))
}
