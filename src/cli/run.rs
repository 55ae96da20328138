//! `trunkline run`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use trunkline_processors::conversation::Settings;
use trunkline_sinks::{ClientConfig, GenesysCloud, LocalAllowance, SinkConfig};

use super::{ConfigArg, load, runtime, told_to_stop};
use crate::admin::health::Health;
use crate::admin::metrics::Metrics;
use crate::admin::{self, Shown};
use crate::config::{Config, Conversation, Log as LogConfig};
use crate::drive::Shell;
use crate::drive::engine::{Engine, Parts, Plan};
use crate::drive::sink::Outlet;
use crate::log::embedded::Embedded;
use crate::log::kafka::{Kafka, KafkaConfig};
use crate::log::{Log, LogError};
use crate::{clock, telemetry, topology};

/// How long a connection to Genesys Cloud may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// Run only this part of the pipeline; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// A part of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Ingest,
    Processors,
    Sinks,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match load(&args.file.config) {
        Ok(config) => config,
        Err(status) => return Ok(status),
    };
    telemetry::init(&config.logging)?;
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let parts = Parts {
        ingest: wanted(Part::Ingest),
        processors: wanted(Part::Processors),
        sinks: wanted(Part::Sinks),
    };
    let runtime = runtime()?;
    let done = runtime.block_on(serve(&config, parts));
    runtime.shutdown_timeout(config.shutdown.deadline);
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(config: &Config, parts: Parts) -> anyhow::Result<bool> {
    let stop = CancellationToken::new();
    let health = Health::new();
    let metrics = Metrics::install()?;
    let listener = admin::bind(config.admin.listen).await?;
    let admin_address = listener.local_addr()?;
    let redacted = config.redacted_toml();
    let shown = Shown { health: health.clone(), metrics: metrics.clone(), config: redacted };
    // The listener outlives the engine, so that a stop can be watched.
    let closed = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(listener, shown, closed.clone()));

    let hashed = config.topics.conversation_partitions;
    let layouts = topology::layouts(config.domains.len() as u32, hashed);
    let log = tokio::task::block_in_place(|| {
        let log = open_log(&config.log)?;
        log.ensure(&layouts).map(|()| log)
    })?;
    let layouts = Arc::new(layouts);
    let shell = Shell { log, health, metrics, stop: stop.clone(), layouts };
    let plan = Plan {
        domains: &config.domains,
        bridges: &config.bridge.names,
        settings: settings(&config.conversation),
        outlet: outlet(config)?,
        parts,
        deadline: config.shutdown.deadline,
    };
    let engine = tokio::task::block_in_place(|| Engine::start(&shell, &plan))?;
    tracing::info!(%admin_address, ?parts, "running");
    told_to_stop().await?;
    tracing::info!("stopping");
    let clean = engine.stop().await;
    closed.cancel();
    admin.await??;
    Ok(clean)
}

/// Opens the log of a configuration. It waits: on a runtime, only where that may be.
pub(super) fn open_log(config: &LogConfig) -> Result<Arc<dyn Log>, LogError> {
    match config {
        LogConfig::Embedded { path } => Ok(Embedded::open(path, Arc::new(clock::now_ms))?),
        LogConfig::Kafka { brokers, replication, client } => Ok(Kafka::open(&KafkaConfig {
            brokers: brokers.iter().map(ToString::to_string).collect(),
            settings: client.as_ref().map(|file| file.settings.clone()).unwrap_or_default(),
            replication: *replication,
            ..KafkaConfig::default()
        })?),
    }
}

fn settings(conversation: &Conversation) -> Settings {
    let after_call_ms = conversation.after_call_secs * 1_000;
    Settings {
        wait_ms: conversation.wait_ms,
        idle_ms: conversation.idle_minutes * 60_000,
        after_call_ms: (after_call_ms > 0).then_some(after_call_ms),
        disposition_key: conversation.disposition_key.clone(),
        campaign_prefix: conversation.campaign_prefix.clone(),
        ..Settings::default()
    }
}

fn outlet(config: &Config) -> anyhow::Result<Outlet> {
    let cloud = &config.genesys_cloud;
    let client = &cloud.conversation;
    let ca_pem = cloud.ca_file.as_ref().map(std::fs::read).transpose();
    let ca_pem = ca_pem.context("genesys_cloud.ca_file cannot be read")?;
    let genesys_cloud = GenesysCloud::new(ClientConfig {
        base_url: cloud.base_url.clone(),
        auth_url: cloud.auth_url.clone(),
        client_id: client.client_id.clone(),
        client_secret: client.client_secret.value.clone(),
        ca_pem,
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: client.request_timeout,
    })?;
    Ok(Outlet {
        cloud: Arc::new(genesys_cloud),
        allowance: Arc::new(LocalAllowance::new(Some(client.requests_per_minute), client.burst)),
        config: SinkConfig {
            max_events_per_request: client.events_per_request,
            per_key: client.events_per_conversation,
            max_waves_in_flight: client.requests_in_flight,
            ..SinkConfig::default()
        },
        deadline: config.shutdown.deadline,
        runtime: tokio::runtime::Handle::current(),
    })
}
