//! The configuration of a rehearsal: read from the simulated site's database, and made in the
//! organisation before the first call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio_util::sync::CancellationToken;
use trunkline_ingest::configdb::plain;
use trunkline_ingest::configdb::rows::Snapshot;
use trunkline_processors::config::settings::Settings;
use trunkline_processors::conversation;
use trunkline_schemas::directory::DirectoryFile;
use trunkline_sim::engage::{EngageSim, TENANT};
use trunkline_sim::gc::GcSim;
use trunkline_sinks::LocalAllowance;
use trunkline_sinks::config::Settings as SinkSettings;

use super::super::config_bridge::{self, Source};
use super::super::config_sink;
use super::super::engine::{Configuration, Engine, Parts, Plan};
use super::super::sink::Outlet;
use super::Shell;
use crate::admin::health::Health;
use crate::clock::Elapsed;

/// How long the first synchronisation may take.
const SYNC_MAX: Duration = Duration::from_mins(2);
/// Between two looks whether it is done, and between two polls of the database.
const LOOK: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_secs(5);

/// What the organisation holds after the first synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synchronised {
    /// Users.
    pub users: usize,
    /// Queues.
    pub queues: usize,
    /// Skills.
    pub skills: usize,
    /// Wrap-up codes.
    pub wrap_up_codes: usize,
    /// Requests that it took.
    pub requests: u64,
    /// How long it took.
    pub took: Duration,
}

/// The configuration of a site, and where it goes.
pub(super) fn of(site: &EngageSim, outlet: &Outlet) -> anyhow::Result<Configuration> {
    let rows = plain::rows(&site.database()).map_err(|why| anyhow!(why))?;
    Ok(Configuration {
        bridge: config_bridge::Place {
            source: Source::Simulated(Arc::new(move || Snapshot::of(&rows, TENANT))),
            every: POLL,
            runtime: outlet.runtime.clone(),
        },
        settings: Settings { tenant_id: Some(TENANT.to_string()), ..Settings::default() },
        sink: Some(config_sink::Place {
            settings: SinkSettings {
                tenant: TENANT.to_string(),
                recreates: false,
                check_ms: 3_600_000,
                is_dry: false,
            },
            outlet: outlet.clone(),
            once: false,
        }),
    })
}

/// What no configuration says: which server is at which switch, and who sits where.
pub(super) fn addition(directory: DirectoryFile) -> DirectoryFile {
    let mut agents = directory.agents;
    agents.iter_mut().for_each(|agent| agent.user_id.clear());
    DirectoryFile { servers: directory.servers, agents, ..DirectoryFile::default() }
}

/// Synchronises for the first time, with nothing else at work and without a limit of requests.
pub(super) async fn synchronise(
    shell: &Shell,
    configuration: &Configuration,
    org: &GcSim,
) -> anyhow::Result<Synchronised> {
    let watch = Elapsed::start();
    let Some(place) = &configuration.sink else { bail!("there is nowhere to write to") };
    let allowance = Arc::new(LocalAllowance::new(None, 1));
    let outlet = Outlet { allowance, ..place.outlet.clone() };
    let sink = Some(config_sink::Place { outlet: outlet.clone(), ..place.clone() });
    let (health, stop) = (Health::new(), CancellationToken::new());
    let shell = Shell { health, stop, ..shell.clone() };
    let plan = Plan {
        domains: &[],
        bridges: &[],
        settings: conversation::Settings::default(),
        deadline: outlet.deadline,
        outlet,
        agents: None,
        configuration: Some(Configuration { sink, ..configuration.clone() }),
        parts: Parts { ingest: true, processors: true, sinks: true },
    };
    let engine = tokio::task::block_in_place(|| Engine::start(&shell, &plan))?;
    while !shell.health.missing().is_empty() {
        if watch.time() > SYNC_MAX {
            bail!("the configuration is not synchronised: {:?}", shell.health.missing());
        }
        tokio::time::sleep(LOOK).await;
    }
    if !engine.stop().await {
        bail!("the first synchronisation does not stop");
    }
    let held = org.holdings();
    Ok(Synchronised {
        users: held.users.len(),
        queues: held.queues.len(),
        skills: held.skills.len(),
        wrap_up_codes: held.codes.len(),
        requests: held.counts.reads + held.counts.writes,
        took: watch.time(),
    })
}
