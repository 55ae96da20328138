//! From a raw event to the request that tells of it: the loops of the program between a paced
//! writer and the simulated organisation, which notes when each request came.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trunkline::admin::health::Health;
use trunkline::admin::metrics::Metrics;
use trunkline::clock::{self, Elapsed};
use trunkline::config::Domain;
use trunkline::drive::Shell;
use trunkline::drive::engine::{Engine, Parts, Plan};
use trunkline::drive::sink::Outlet;
use trunkline::log::Log;
use trunkline_processors::conversation::Settings;
use trunkline_schemas::Output;
use trunkline_schemas::topics::RAW_TLIB;
use trunkline_sim::gc::{self, EventOutcome, GcConfig, GcSim};
use trunkline_sinks::{ClientConfig, GenesysCloud, LocalAllowance, SinkConfig};

use crate::load::{DOMAIN, Load};
use crate::place::layouts;

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
/// Events that are dated by the raw event that caused them. Others are dated back on purpose: the
/// caller's leg begins with the call, and is told when the call is known to be one.
const DATED_BY_CAUSE: [&str; 2] = ["communicationAnsweredEvents", "communicationEndedEvents"];

/// Measures the whole path.
pub(crate) fn latency(log: &Arc<dyn Log>, live: usize) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let config = GcConfig { requests_per_minute: OPEN, ..GcConfig::default() };
    let client = (config.client_id.clone(), config.client_secret.clone());
    let start_ms = clock::now_ms();
    let org = runtime.block_on(gc::start(config))?;
    let shell = Shell {
        log: Arc::clone(log),
        health: Health::new(),
        metrics: Metrics::install()?,
        stop: CancellationToken::new(),
        layouts: Arc::new(layouts()),
    };
    let entered = runtime.enter();
    let plan = Plan {
        domains: &[domain()],
        bridges: &[],
        settings: Settings::default(),
        outlet: outlet(&org, client, runtime.handle())?,
        parts: Parts { ingest: false, processors: true, sinks: true },
        deadline: DRAIN,
    };
    let engine = Engine::start(&shell, &plan)?;
    drop(entered);
    let (from_ms, to_ms) = feed(log.as_ref(), live)?;
    let clean = runtime.block_on(engine.stop());
    anyhow::ensure!(clean, "the loops did not end in time");
    report(&org, start_ms, (from_ms, to_ms))
}

fn domain() -> Domain {
    Domain {
        name: DOMAIN.to_owned(),
        directory_file: std::path::PathBuf::new(),
        directory: trunkline_schemas::directory::DirectoryFile::default(),
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

fn report(org: &GcSim, start_ms: i64, (from_ms, to_ms): (i64, i64)) -> anyhow::Result<Value> {
    let came: std::collections::BTreeMap<u64, i64> =
        org.requests().iter().map(|r| (r.number, start_ms + r.at_ms as i64)).collect();
    let mut took = Vec::new();
    let mut refused = 0;
    for event in org.events() {
        refused += u64::from(event.outcome == EventOutcome::Refused);
        let dated =
            event.body["eventDateTime"].as_str().and_then(trunkline_schemas::time::parse_millis);
        let (Some(dated), Some(came)) = (dated, came.get(&event.request)) else { continue };
        if DATED_BY_CAUSE.contains(&event.array.as_str()) && (from_ms..to_ms).contains(&dated) {
            took.push((came - dated).max(0));
        }
    }
    took.sort_unstable();
    anyhow::ensure!(!took.is_empty(), "nothing was told");
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    Ok(json!({
        "what": "raw event to request",
        "records_per_second": RATE,
        "events": took.len(),
        "refused": refused,
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
    }))
}
