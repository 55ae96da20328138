//! The whole system between two simulators: what `demo` shows, and what tests break.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use trunkline_processors::conversation::Settings;
use trunkline_processors::presence;
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::topics::OUTCOME_CONVERSATION;
use trunkline_schemas::{Outcome, OutcomeStatus, codec};
use trunkline_sim::compare::{Difference, compare};
use trunkline_sim::compare_agents::{self, AgentDifference, compare_agents};
use trunkline_sim::engage::{self, EngageConfig, EngageSim, Progress};
use trunkline_sim::gc::{self, FaultPlan, GcConfig, GcSim, Summary};
use trunkline_sim::truth::{self, Expected};
use trunkline_sinks::{ClientConfig, GenesysCloud, LocalAllowance, SinkConfig};

mod configuration;

pub use configuration::Synchronised;
use configuration::{addition, synchronise};

use super::Shell;
use super::engine::{Agents, Engine, Parts, Plan};
use super::sink::Outlet;
use crate::admin::health::Health;
use crate::clock::{self, Elapsed};
use crate::config::{AgentSource, AgentStates, Domain, HostPort, ServerPair, Site};
use crate::log::embedded::Embedded;
use crate::log::kafka::{Kafka, KafkaConfig};
use crate::log::{Log, LogError};
use crate::topology;

/// Times of the ledger may differ from the truth by so much (milliseconds).
pub const TOLERANCE_MS: i64 = 10;
/// After the last call the organisation may hear nothing for so long before it is given up.
const QUIET_MAX: Duration = Duration::from_secs(30);
/// Records read at once.
const READ_MAX: usize = 1_000;

/// What is played.
pub struct Script {
    /// The calls; and the days of agents, if there is a Stat Server.
    pub site: EngageConfig,
    /// What goes wrong at the organisation.
    pub faults: FaultPlan,
    /// Requests a minute that the organisation allows and the sink uses; `None`: no limit to speak
    /// of.
    pub requests_per_minute: Option<u32>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Names of the bridges.
    pub bridges: Vec<String>,
    /// Partitions of hashed topics. The allowance is spent best with few: a request carries events
    /// of one partition.
    pub partitions: u32,
    /// Where the log is kept.
    pub log: Place,
    /// Where the directory comes from.
    pub directory: Directory,
}

/// Where the directory of a rehearsal comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// It is given.
    Given,
    /// The configuration of the site's database is synchronised first.
    Synchronised,
    /// The same, but while the calls go on; and no file says who sits where.
    Meanwhile,
}

/// Where the log of a rehearsal is kept.
pub enum Place {
    /// In a directory of its own, gone afterwards.
    Passing,
    /// In this directory.
    Directory(PathBuf),
    /// On this Kafka broker (`host:port`), in topics with a prefix of this rehearsal.
    Kafka(String),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            site: EngageConfig::default(),
            faults: FaultPlan::default(),
            requests_per_minute: Some(300),
            request_timeout: Duration::from_secs(15),
            bridges: vec!["b1".to_owned(), "b2".to_owned()],
            partitions: 1,
            log: Place::Passing,
            directory: Directory::Given,
        }
    }
}

/// A script being played.
pub struct Rehearsal {
    site: EngageSim,
    org: GcSim,
    engine: Engine,
    shell: Shell,
    synchronised: Option<Synchronised>,
    _directory: tempfile::TempDir,
}

/// How far it is.
pub struct Moment {
    /// The site.
    pub site: Progress,
    /// The organisation.
    pub org: Summary,
}

/// The two outcomes that are counted by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// A call or a party of it is left out.
    Ignored,
    /// A conversation is in Monitoring Suspension.
    Suspended,
}

/// How many of each, by code.
pub type ByReason = BTreeMap<(LeftOut, String), u64>;

impl Rehearsal {
    /// Starts both simulators and everything between them; calls begin when every link is up.
    ///
    /// # Errors
    /// An address or the log cannot be opened.
    pub async fn start(script: Script) -> anyhow::Result<Self> {
        // The second site has no VQs of its own.
        let voice = if script.site.everything { 5 } else { 3 };
        let stat = usize::from(script.site.stat_server.is_some());
        let links = (voice + stat) * script.bridges.len();
        let site = engage::start(EngageConfig { wait_for_clients: links, ..script.site }).await?;
        let directory: DirectoryFile = serde_json::from_value(site.directory())?;
        let (org, cloud) =
            organisation(&site, &directory, script.faults, script.request_timeout).await?;
        let kept = tempfile::tempdir()?;
        let log = open(script.log, kept.path())?;
        let layouts = topology::layouts(1, script.partitions);
        tokio::task::block_in_place(|| log.ensure(&layouts))?;
        let shell = Shell::new(log, layouts)?;
        let is_given = script.directory == Directory::Given;
        let source_id = is_given.then(|| directory.source_id.clone());
        let directory = match script.directory {
            Directory::Given => directory,
            Directory::Synchronised => addition(directory),
            Directory::Meanwhile => {
                DirectoryFile { servers: directory.servers, ..DirectoryFile::default() }
            }
        };
        let domain = domain(&site, directory);
        let deadline = Duration::from_secs(10);
        let outlet = |allowance| Outlet {
            cloud: Arc::clone(&cloud),
            allowance: Arc::new(allowance),
            config: SinkConfig::default(),
            deadline,
            runtime: tokio::runtime::Handle::current(),
        };
        let [of_calls, of_agents, of_config] = allowances(script.requests_per_minute);
        let agents = domain.agent_states.as_ref().map(|_| Agents {
            settings: vec![presence::Settings::default()],
            source_id,
            outlet: outlet(of_agents),
        });
        let configuration =
            (!is_given).then(|| configuration::of(&site, &outlet(of_config))).transpose()?;
        let synchronised = match &configuration {
            Some(configuration) if script.directory == Directory::Synchronised => {
                Some(synchronise(&shell, configuration, &org).await?)
            }
            Some(_) | None => None,
        };
        org.set_requests_per_minute(script.requests_per_minute.unwrap_or(u32::MAX));
        let plan = Plan {
            domains: &[domain],
            bridges: &script.bridges,
            settings: Settings::default(),
            outlet: outlet(of_calls),
            agents,
            configuration,
            parts: Parts { ingest: true, processors: true, sinks: true },
            deadline,
        };
        let engine = tokio::task::block_in_place(|| Engine::start(&shell, &plan))?;
        Ok(Self { site, org, engine, shell, synchronised, _directory: kept })
    }

    /// Plays all calls, and the days of agents, and waits until the organisation has heard of them,
    /// or hears nothing more. Returns what differs of calls.
    pub async fn play(&self, every: Duration, show: &mut dyn FnMut(&Moment)) -> Vec<Difference> {
        let mut interval = tokio::time::interval(every);
        let mut quiet = Elapsed::start();
        let mut requests = 0;
        loop {
            interval.tick().await;
            let moment = Moment { site: self.site.progress(), org: self.org.summary() };
            show(&moment);
            let calling = moment.site.finished < moment.site.total;
            let playing = calling || !self.site.days_are_over();
            if playing || moment.org.requests != requests {
                requests = moment.org.requests;
                quiet = Elapsed::start();
            }
            if playing {
                continue;
            }
            let all_told = moment.org.open == 0 && moment.org.conversations == self.expected();
            if all_told || quiet.time() > QUIET_MAX {
                let differences = self.differences();
                let all_right = differences.is_empty() && self.agent_differences().is_empty();
                if all_right || quiet.time() > QUIET_MAX {
                    return differences;
                }
            }
        }
    }

    /// Whether all calls and all days of agents are over.
    pub fn site_is_quiet(&self) -> bool {
        let progress = self.site.progress();
        progress.finished == progress.total && self.site.days_are_over()
    }

    /// What the organisation was given of the configuration, if that was synchronised first.
    pub fn synchronised(&self) -> Option<Synchronised> {
        self.synchronised
    }

    fn expected(&self) -> u64 {
        let told = |e: &Expected| matches!(e, Expected::Conversation(_));
        self.site.truth().iter().filter(|call| told(&call.expected)).count() as u64
    }

    /// What differs between the ledger and the truth.
    pub fn differences(&self) -> Vec<Difference> {
        compare(&self.site.truth(), &self.org.told(), TOLERANCE_MS)
    }

    /// What differs between the histories of users and the days of agents.
    pub fn agent_differences(&self) -> Vec<AgentDifference> {
        compare_agents(&self.site.agent_days(), &self.org.users(), TOLERANCE_MS)
    }

    /// How many users there are of whom days are told, and how many changes those days ask for.
    pub fn expected_agents(&self) -> (usize, usize) {
        let days = self.site.agent_days();
        let changes = days.iter().map(compare_agents::changes).map(|changes| changes.len()).sum();
        (days.len(), changes)
    }

    /// The organisation's summary.
    pub fn summary(&self) -> Summary {
        self.org.summary()
    }

    /// Where the loops report.
    pub fn health(&self) -> &Health {
        &self.shell.health
    }

    /// The organisation.
    pub fn org(&self) -> &GcSim {
        &self.org
    }

    /// Calls left out and conversations suspended, by reason, as the log has them.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn outcomes(&self) -> anyhow::Result<ByReason> {
        let mut by_reason = ByReason::new();
        for partition in 0..self.shell.partitions(OUTCOME_CONVERSATION) {
            let mut from = 0;
            loop {
                let records =
                    self.shell.log.read(OUTCOME_CONVERSATION, partition, from, READ_MAX)?;
                let Some(last) = records.last() else { break };
                from = last.offset + 1;
                for stored in &records {
                    let value = stored.record.value.as_deref().unwrap_or_default();
                    let outcome: Outcome = codec::decode(value)?;
                    let name = match outcome.status {
                        OutcomeStatus::LeftOut => LeftOut::Ignored,
                        OutcomeStatus::Suspended => LeftOut::Suspended,
                        OutcomeStatus::Accepted
                        | OutcomeStatus::AssumedApplied
                        | OutcomeStatus::Refused
                        | OutcomeStatus::Gated => continue,
                    };
                    let code = outcome.code.unwrap_or_default();
                    *by_reason.entry((name, code)).or_default() += 1;
                }
            }
        }
        Ok(by_reason)
    }

    /// What [`Self::outcomes`] ought to be.
    pub fn expected_outcomes(&self) -> ByReason {
        let mut by_reason = ByReason::new();
        for outcome in self.site.truth().into_iter().flat_map(|call| call.outcomes) {
            let key = match outcome {
                truth::Outcome::LeftOut(code) => (LeftOut::Ignored, code),
                truth::Outcome::Suspended(code) => (LeftOut::Suspended, code),
            };
            *by_reason.entry(key).or_default() += 1;
        }
        by_reason
    }

    /// Stops everything; `false` if the engine had to leave something behind.
    pub async fn stop(self) -> bool {
        let clean = self.engine.stop().await;
        self.site.stop().await;
        let stopped: io::Result<()> = self.org.stop().await;
        clean && stopped.is_ok()
    }
}

/// An organisation that knows a site's directory, and the way to it. The first synchronisation is
/// not what a rehearsal waits for: the limit of requests comes later.
async fn organisation(
    site: &EngageSim,
    known: &DirectoryFile,
    faults: FaultPlan,
    request_timeout: Duration,
) -> anyhow::Result<(GcSim, Arc<GenesysCloud>)> {
    let (requests_per_minute, ids) = (u32::MAX, site.ids());
    let mut config = GcConfig { requests_per_minute, faults, ids, ..GcConfig::default() };
    know(&mut config, known);
    let (client_id, secret) = (config.client_id.clone(), config.client_secret.clone());
    let org = gc::start(config).await?;
    let cloud = GenesysCloud::new(ClientConfig {
        base_url: org.base_url(),
        auth_url: org.base_url(),
        client_id,
        client_secret: SecretString::from(secret),
        ca_pem: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout,
    })?;
    Ok((org, Arc::new(cloud)))
}

fn open(place: Place, passing: &Path) -> Result<Arc<dyn Log>, LogError> {
    let embedded = |path: &Path| -> Result<Arc<dyn Log>, LogError> {
        Ok(Embedded::open(path, Arc::new(clock::now_ms))?)
    };
    match place {
        Place::Passing => embedded(passing),
        Place::Directory(path) => embedded(&path),
        Place::Kafka(broker) => Ok(tokio::task::block_in_place(|| {
            Kafka::open(&KafkaConfig {
                brokers: vec![broker],
                prefix: format!("rehearsal-{}.", clock::now_ms()),
                ..KafkaConfig::default()
            })
        })?),
    }
}

/// What conversations, agents and the configuration may ask for; what one does not use the others
/// may.
fn allowances(requests_per_minute: Option<u32>) -> [LocalAllowance; 3] {
    let burst = requests_per_minute.map_or(1, |n| (n / 10).max(1));
    LocalAllowance::shared(requests_per_minute, burst, [80, 20, 0])
}

/// Makes the organisation know only what a directory names.
pub fn know(config: &mut GcConfig, known: &DirectoryFile) {
    config.users = Some(known.agents.iter().map(|agent| agent.user_id.clone()).collect());
    config.queues = Some(known.queues.iter().map(|queue| queue.queue_id.clone()).collect());
    config.wrap_up_codes = Some(known.wrap_up_codes.iter().map(|code| code.id.clone()).collect());
    config.source_id = Some(known.source_id.clone());
}

/// The domain of a simulated site, and of its second one.
pub fn domain(site: &EngageSim, directory: DirectoryFile) -> Domain {
    let at =
        |address: SocketAddr| HostPort { host: address.ip().to_string(), port: address.port() };
    let pair = |address, backup: Option<SocketAddr>| {
        vec![ServerPair { primary: at(address), backup: backup.map(at) }]
    };
    let vq_backup = site.backup_addr().filter(|_| site.vq_addr() == site.addr());
    let mut sites = vec![Site {
        name: "site1".to_owned(),
        voice_server_call: pair(site.addr(), site.backup_addr()),
        voice_server_vq: pair(site.vq_addr(), vq_backup),
        voice_server_agent: pair(site.addr(), site.backup_addr()),
        tls: None,
    }];
    sites.extend(site.second_addr().map(|second| Site {
        name: "site2".to_owned(),
        voice_server_call: pair(second, None),
        voice_server_vq: Vec::new(),
        voice_server_agent: pair(second, None),
        tls: None,
    }));
    let agent_states = site.stat_addrs().map(|(primary, backup)| AgentStates {
        authority: AgentSource::StatServer,
        stat_servers: pair(primary, Some(backup)),
        tls: None,
        voice_microservices: None,
    });
    Domain {
        name: "demo".to_owned(),
        directory_file: None,
        directory,
        agent_states,
        interaction_reporting: None,
        sites,
    }
}
