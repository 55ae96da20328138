//! `trunkline run`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trunkline_processors::conversation::Settings;
use trunkline_processors::presence::reason::ReasonNames;
use trunkline_processors::presence::table::Reason;
use trunkline_processors::presence::{self, Authority};
use trunkline_sinks::{
    Allowance, ClientConfig, GenesysCloud, LocalAllowance, Share, Shared, SinkConfig,
};

use super::{ConfigArg, Signals, load, runtime};
use crate::admin::health::Health;
use crate::admin::metrics::Metrics;
use crate::admin::roles::Role;
use crate::admin::{self, BindError, Shown};
use crate::config::{
    self, Admin, AgentSource, Authorities, Config, ConfigDb, ConfigSync, Conversation,
    DeletionRules, Domain, Log as LogConfig, Secret,
};
use crate::drive::config_bridge::Source;
use crate::drive::engine::{Agents, Configuration, Engine, Parts, Plan};
use crate::drive::sink::Outlet;
use crate::drive::{Shell, config_bridge, config_sink, point};
use crate::log::embedded::Embedded;
use crate::log::kafka::{Kafka, KafkaConfig};
use crate::log::{Log, LogError};
use crate::redis::{self, Party};
use crate::registry::{self, Registry, SchemaIds};
use crate::trace::Tracer;
use crate::{clock, telemetry, topology};

/// How long what still runs at the end, the opening of a log that is away perhaps, is waited for.
const LEAVE_MAX: Duration = Duration::from_secs(1);
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
    runtime.shutdown_timeout(LEAVE_MAX);
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(config: &Config, parts: Parts) -> anyhow::Result<bool> {
    let mut signals = Signals::listen()?;
    let (health, metrics) = (Health::new(), Metrics::install()?);
    let listeners = listeners(config).await?;
    let admin_address = listeners[0].1.local_addr()?;
    let redacted = config.redacted_toml();
    let shown = Shown { health: health.clone(), metrics: metrics.clone(), config: redacted };
    // The listener outlives the engine, so that a stop can be watched.
    let closed = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(listeners, shown, closed.clone()));

    let (shell, plan) = tokio::select! {
        prepared = prepare(config, parts, health, metrics) => prepared?,
        () = signals.told_to_stop() => {
            tracing::info!("told to stop before anything had begun");
            return Ok(true);
        }
    };
    let tracer = shell.tracer.clone();
    let engine = tokio::task::block_in_place(|| Engine::start(&shell, &plan))?;
    tracing::info!(%admin_address, ?parts, "running");
    point::pass("run.started");
    signals.told_to_stop().await;
    tracing::info!("stopping");
    let clean = engine.stop().await;
    tokio::task::block_in_place(|| tracer.stop());
    closed.cancel();
    admin.await??;
    Ok(clean)
}

/// Everything the engine needs: the log with its topics, and what others have a say in. Waits for
/// a cluster that is away, and can be dropped while it does.
async fn prepare(
    config: &Config,
    parts: Parts,
    health: Health,
    metrics: Metrics,
) -> anyhow::Result<(Shell, Plan<'_>)> {
    let hashed = config.topics.conversation_partitions;
    let layouts = Arc::new(topology::layouts(config.domains.len() as u32, hashed));
    let ids = SchemaIds::default();
    let opening = {
        let (log, domains) = (config.log.clone(), config.domains.clone());
        let (layouts, ids) = (Arc::clone(&layouts), ids.clone());
        move || {
            let log = open_log_with(&log, ids)?;
            topology::check_domains(log.as_ref(), &domains)?;
            log.ensure(&layouts)?;
            Ok::<_, LogError>(log)
        }
    };
    let log = tokio::task::spawn_blocking(opening).await??;
    let tracer = config.traces.as_ref().map(Tracer::start).transpose();
    let tracer = tracer.context("[traces] cannot be set up")?.unwrap_or_default();
    let stop = CancellationToken::new();
    let shell = Shell { log, health, metrics, stop, layouts, tracer };
    if let Some(section) = &config.schema_registry {
        let registry = Registry::new(section.connection())?;
        let following = registry::start(shell.clone(), registry, ids).await;
        tokio::spawn(following);
    }
    let Outlets { conversation, agents, config: sink, parties } = outlets(config)?;
    if let Some(redis) = config.redis.as_ref().filter(|_| parts.sinks) {
        let redis = Arc::new(redis.connection());
        redis::check(&redis).await?;
        for party in parties {
            tokio::spawn(redis::follow(shell.clone(), Arc::clone(&redis), party));
        }
    }
    let configuration = config.configdb.as_ref().map(|configdb| Configuration {
        bridge: config_bridge::Place {
            source: Source::Database(Box::new(configdb.source())),
            every: configdb.poll,
            runtime: conversation.runtime.clone(),
        },
        settings: configdb.settings(),
        sink,
    });
    let plan = Plan {
        domains: &config.domains,
        bridges: &config.bridge.names,
        settings: settings(&config.conversation),
        outlet: conversation,
        agents,
        configuration,
        parts,
        deadline: config.shutdown.deadline,
    };
    Ok((shell, plan))
}

/// The listeners of the roles that this configuration has: first that of the whole.
async fn listeners(config: &Config) -> Result<Vec<(Role, TcpListener)>, BindError> {
    let Admin { listen, presence_listen, config_listen } = config.admin;
    let mut roles = vec![(Role::Conversation, listen)];
    if config.genesys_cloud.presence.is_some() {
        roles.push((Role::Presence, presence_listen));
    }
    if config.configdb.is_some() {
        roles.push((Role::Config, config_listen));
    }
    let mut listeners = Vec::new();
    for (role, address) in roles {
        let listener = admin::bind(role, address).await?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(role = role.name(), %address, "answers /health, /status and /metrics");
        }
        listeners.push((role, listener));
    }
    Ok(listeners)
}

/// Opens the log of a configuration. It waits: on a runtime, only where that may be.
pub(super) fn open_log(config: &LogConfig) -> Result<Arc<dyn Log>, LogError> {
    open_log_with(config, SchemaIds::default())
}

/// [`open_log`], whose records have these ids.
fn open_log_with(config: &LogConfig, ids: SchemaIds) -> Result<Arc<dyn Log>, LogError> {
    match config {
        LogConfig::Embedded { path } => Ok(Embedded::open(path, Arc::new(clock::now_ms))?),
        LogConfig::Kafka { brokers, replication, client } => Ok(Kafka::open(&KafkaConfig {
            brokers: brokers.iter().map(ToString::to_string).collect(),
            settings: client.as_ref().map(|file| file.settings.clone()).unwrap_or_default(),
            replication: *replication,
            ids,
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

/// How the presence processor of a domain is set: which source decides is said where the domain
/// names its sources.
fn presence_settings(presence: &config::Presence, domain: &Domain) -> presence::Settings {
    let authority = match domain.agent_states.as_ref().map(|states| states.authority) {
        Some(AgentSource::VoiceMicroservices) => Authority::VoiceMicroservices,
        Some(AgentSource::StatServer) | None => Authority::StatServer,
    };
    let config::Reasons { breaks, meal, meeting, training } = &presence.reasons;
    let texts = [
        (breaks, Reason::Break),
        (meal, Reason::Meal),
        (meeting, Reason::Meeting),
        (training, Reason::Training),
    ];
    let texts = texts
        .into_iter()
        .flat_map(|(texts, reason)| texts.iter().cloned().map(move |text| (text, reason)));
    presence::Settings {
        reason_wait_ms: presence.reason_wait_ms,
        reasons: ReasonNames::new(texts),
        authority,
    }
}

/// Where each sink sends.
struct Outlets {
    conversation: Outlet,
    agents: Option<Agents>,
    config: Option<config_sink::Place>,
    /// The OAuth clients whose allowances are shared with other processes.
    parties: Vec<Party>,
}

/// Where each sink sends that is configured. Those without an OAuth client of their own share that
/// of conversations; each has its guaranteed share of the requests.
fn outlets(config: &Config) -> anyhow::Result<Outlets> {
    let conversation = &config.genesys_cloud.conversation;
    let cloud = cloud(config, &conversation.client_id, &conversation.client_secret)?;
    let outlet = |cloud, allowance, per_key, max_waves_in_flight| Outlet {
        cloud,
        allowance,
        config: SinkConfig {
            max_events_per_request: conversation.events_per_request,
            per_key,
            max_waves_in_flight,
            ..SinkConfig::default()
        },
        deadline: config.shutdown.deadline,
        runtime: tokio::runtime::Handle::current(),
    };
    let mut parties = Vec::new();
    let sync = config.genesys_cloud.config_sync.as_ref();
    let sink = config.genesys_cloud.presence.as_ref();
    let limit = Limit {
        sink: "conversation",
        client_id: &conversation.client_id,
        per_minute: conversation.requests_per_minute,
        burst: conversation.burst,
    };
    let [of_conversations, of_agents, of_config] =
        allowances(config, &limit, shares(config), &mut parties);
    let agents = sink.map(|sink| {
        let (own_cloud, allowance) = match &sink.client {
            Some(client) => {
                let limit = Limit {
                    sink: "presence",
                    client_id: &client.client_id,
                    per_minute: client.requests_per_minute,
                    burst: client.burst,
                };
                let share = share("presence", 100, config.topics.conversation_partitions);
                let [allowance] = allowances(config, &limit, [share], &mut parties);
                (self::cloud(config, &client.client_id, &client.client_secret)?, allowance)
            }
            None => (Arc::clone(&cloud), of_agents),
        };
        let settings = |domain: &Domain| presence_settings(&config.presence, domain);
        anyhow::Ok(Agents {
            settings: config.domains.iter().map(settings).collect(),
            source_id: sink.source_id.clone(),
            outlet: outlet(own_cloud, allowance, sink.events_per_agent, sink.requests_in_flight),
        })
    });
    let agents = agents.transpose()?;
    let place = sync.zip(config.configdb.as_ref()).map(|(sync, configdb)| config_sink::Place {
        settings: config_settings(sync, configdb),
        outlet: outlet(Arc::clone(&cloud), of_config, 1, 1),
        once: false,
    });
    let (per_key, waves) = (conversation.events_per_conversation, conversation.requests_in_flight);
    let conversation = outlet(cloud, of_conversations, per_key, waves);
    Ok(Outlets { conversation, agents, config: place, parties })
}

/// What an OAuth client may ask for.
struct Limit<'a> {
    sink: &'static str,
    client_id: &'a str,
    per_minute: u32,
    burst: u32,
}

const fn share(sink: &'static str, percent: u32, partitions: u32) -> Share {
    Share { sink, percent, partitions }
}

/// What each sink is guaranteed of the client of conversations.
fn shares(config: &Config) -> [Share; 3] {
    let hashed = config.topics.conversation_partitions;
    let sink = config.genesys_cloud.presence.as_ref();
    let shared = sink.filter(|sink| sink.client.is_none());
    let sync = config.genesys_cloud.config_sync.as_ref();
    let percent = shared.map_or(0, |sink| sink.guaranteed_percent);
    let sync_percent = sync.map_or(0, |sync| sync.guaranteed_percent);
    let rest = 100_u32.saturating_sub(percent).saturating_sub(sync_percent);
    [
        share("conversation", rest, hashed),
        share("presence", percent, shared.map_or(0, |_| hashed)),
        share("config", sync_percent, sync.map_or(0, |_| 1)),
    ]
}

/// The allowances of the sinks of an OAuth client: shared with other processes where there may be
/// others, which is on Kafka.
fn allowances<const N: usize>(
    config: &Config,
    limit: &Limit<'_>,
    shares: [Share; N],
    parties: &mut Vec<Party>,
) -> [Arc<dyn Allowance>; N] {
    let Limit { sink, client_id, per_minute, burst } = *limit;
    match config.log {
        LogConfig::Embedded { .. } => {
            let percents = shares.map(|share| share.percent);
            let alone = LocalAllowance::shared(Some(per_minute), burst, percents);
            alone.map(|allowance| Arc::new(allowance) as Arc<dyn Allowance>)
        }
        LogConfig::Kafka { .. } => {
            let has_redis = config.redis.is_some();
            let (shared, allowances) = Shared::new(per_minute, burst, shares, has_redis);
            parties.push(Party { sink, client_id: client_id.to_owned(), shared });
            allowances.map(|allowance| Arc::new(allowance) as Arc<dyn Allowance>)
        }
    }
}

/// How the config sink of a configuration is set, and where it sends; nothing without the section.
pub(super) fn config_place(config: &Config) -> anyhow::Result<Option<config_sink::Place>> {
    Ok(outlets(config)?.config)
}

fn config_settings(sync: &ConfigSync, configdb: &ConfigDb) -> trunkline_sinks::config::Settings {
    trunkline_sinks::config::Settings {
        tenant: configdb.tenant_dbid.to_string(),
        recreates: configdb.deletion_rules == DeletionRules::Of2023,
        check_ms: i64::try_from(sync.check.as_millis()).unwrap_or(i64::MAX),
        is_dry: false,
    }
}

/// The organisation for an OAuth client.
fn cloud(
    config: &Config,
    client_id: &str,
    client_secret: &Secret,
) -> anyhow::Result<Arc<GenesysCloud>> {
    let cloud = &config.genesys_cloud;
    Ok(Arc::new(GenesysCloud::new(ClientConfig {
        base_url: cloud.base_url.clone(),
        auth_url: cloud.auth_url.clone(),
        client_id: client_id.to_owned(),
        client_secret: client_secret.value.clone(),
        ca_pem: cloud.ca.as_ref().map(Authorities::pem),
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: cloud.conversation.request_timeout,
    })?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentStates;

    #[test]
    fn the_source_that_a_domain_names_decides() {
        let source = |authority| AgentStates {
            authority,
            stat_servers: Vec::new(),
            tls: None,
            voice_microservices: None,
        };
        for (named, decides) in [
            (None, Authority::StatServer),
            (Some(AgentSource::StatServer), Authority::StatServer),
            (Some(AgentSource::VoiceMicroservices), Authority::VoiceMicroservices),
        ] {
            let domain = Domain {
                name: "d".to_owned(),
                directory_file: None,
                directory: trunkline_schemas::directory::DirectoryFile::default(),
                agent_states: named.map(source),
                interaction_reporting: None,
                sites: Vec::new(),
            };
            let presence =
                config::Presence { reason_wait_ms: 7, reasons: config::Reasons::default() };
            let settings = presence_settings(&presence, &domain);
            assert_eq!((settings.authority, settings.reason_wait_ms), (decides, 7), "{named:?}");
        }
    }
}
