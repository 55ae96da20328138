//! Runs everything a configuration names, in one process.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use trunkline_ingest::feed::{Bridge, LinkConfig, Wanted};
use trunkline_processors::Processor;
use trunkline_processors::conversation::{self, ConversationProcessor, Settings};
use trunkline_processors::presence::{self, Authority, PresenceProcessor};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{
    COMMAND_CONFIG, COMMAND_CONVERSATION, COMMAND_PRESENCE, DEAD_CONVERSATION, DEAD_PRESENCE,
    RAW_AGENT, RAW_TLIB, STATE_CONVERSATION, STATE_CONVERSATION_SINK, STATE_PRESENCE,
    STATE_PRESENCE_SINK,
};
use trunkline_schemas::{Partition, Topic};
use trunkline_sinks::{Conversation, Presence};

use super::bridge::{LogWriter, Watched};
use super::consumer::Source;
use super::definitions::Presences;
use super::group::{self, Kind};
use super::roster::Followed;
use super::sink::Outlet;
use super::{
    Shell, announce, bridge, chance, config_sink, consumer, definitions, processor, reporting,
    roster, sink,
};
use crate::admin::metrics::{Stage, Target};
use crate::clock;
use crate::config::{AgentSource, Domain, ServerPair, Site, SourceTls};
use crate::log::kafka::KafkaConfig;

/// How long connecting to a SIP Server may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a SIP Server may be silent.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between two attempts to connect.
pub(super) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(10));

/// Which parts of the pipeline run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Bridges.
    pub ingest: bool,
    /// Processors.
    pub processors: bool,
    /// Sinks.
    pub sinks: bool,
}

/// What runs; joined by [`Engine::stop`].
pub struct Engine {
    shell: Shell,
    threads: Vec<JoinHandle<()>>,
    tasks: TaskTracker,
    deadline: Duration,
}

/// What the engine runs.
pub struct Plan<'a> {
    /// Routing domains; the place in the list is the partition.
    pub domains: &'a [Domain],
    /// Names of the bridges of this process.
    pub bridges: &'a [String],
    /// How the conversation processor is set.
    pub settings: Settings,
    /// Where the conversation sink sends.
    pub outlet: Outlet,
    /// How agents are told, if they are.
    pub agents: Option<Agents>,
    /// Which parts run.
    pub parts: Parts,
    /// How long a stop may take.
    pub deadline: Duration,
}

/// How agents are told.
pub struct Agents {
    /// How the presence processor of each domain is set, as the domains stand; which source decides
    /// is the domain's own.
    pub settings: Vec<presence::Settings>,
    /// Id of the presence source that stands for Engage.
    pub source_id: String,
    /// Where the presence sink sends.
    pub outlet: Outlet,
}

impl Engine {
    /// Starts what the plan names. Returns when the directories are announced and every loop runs.
    ///
    /// # Errors
    /// The log cannot be used, or a link cannot be as it is configured.
    pub fn start(shell: &Shell, plan: &Plan<'_>) -> anyhow::Result<Self> {
        let mut engine = Self {
            shell: shell.clone(),
            threads: Vec::new(),
            tasks: TaskTracker::new(),
            deadline: plan.deadline,
        };
        if plan.parts.processors {
            engine.group(self::conversation(plan), plan)?;
            if let Some(agents) = &plan.agents {
                engine.group(self::presence(plan, agents), plan)?;
            }
        }
        if plan.parts.ingest {
            for (partition, domain) in plan.domains.iter().enumerate() {
                let partition = partition as Partition;
                let links = links(domain, plan.bridges);
                bridge::take_down(shell.log.as_ref(), partition, &links)?;
                let topics = raw_topics(domain);
                for topic in &topics {
                    let place = (*topic, partition);
                    announce::announce(shell, &domain.name, place, &domain.directory)?;
                }
                let wanted = engine.follow_directory(domain, partition, plan);
                let watched = engine.follow(links, partition, &wanted, plan)?;
                engine.consume(domain, partition, plan)?;
                engine.report(domain, partition, plan)?;
                let place = (topics, partition);
                let tick = bridge::tick(shell.clone(), domain.name.clone(), place, watched);
                engine.tasks.spawn_on(tick, &plan.outlet.runtime);
            }
        }
        if plan.parts.sinks {
            engine.group(conversation_sink(plan), plan)?;
            if let Some(agents) = &plan.agents {
                let known = engine.follow_definitions(agents);
                engine.group(presence_sink(agents, known), plan)?;
            }
        }
        engine.tasks.close();
        Ok(engine)
    }

    /// Runs the tasks of a kind whose partitions this process is given.
    fn group(&mut self, kind: Kind, plan: &Plan<'_>) -> anyhow::Result<()> {
        self.spawn(kind, plan.outlet.runtime.clone())
    }

    /// Runs the config sink besides.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn sync(&mut self, place: config_sink::Place) -> anyhow::Result<()> {
        let runtime = place.outlet.runtime.clone();
        self.spawn(config_kind(place), runtime)
    }

    fn spawn(&mut self, kind: Kind, runtime: Handle) -> anyhow::Result<()> {
        let shell = self.shell.clone();
        let name = format!("{}-group", kind.name);
        let kind = Arc::new(kind);
        let body = move || {
            let _entered = runtime.enter();
            group::run(&shell, &kind, &runtime);
        };
        self.threads.push(std::thread::Builder::new().name(name).spawn(body)?);
        Ok(())
    }

    /// The presence definitions as the organisation has them.
    fn follow_definitions(&mut self, agents: &Agents) -> watch::Receiver<Presences> {
        let (told, known) = watch::channel(Presences::default());
        let following = definitions::follow(self.shell.clone(), agents.outlet.clone(), told);
        self.tasks.spawn_on(following, &agents.outlet.runtime);
        known
    }

    /// The agents wanted of Stat Servers, as the directory changes.
    fn follow_directory(
        &mut self,
        domain: &Domain,
        partition: Partition,
        plan: &Plan<'_>,
    ) -> Wanted {
        let (told, wanted) = watch::channel(roster::agents(&domain.directory));
        if domain.agent_states.is_some() && domain.directory_file.is_file() {
            let (name, file) = (domain.name.clone(), domain.directory_file.clone());
            let followed = Followed { domain: name, partition, file };
            let following = roster::follow(self.shell.clone(), followed, told);
            self.tasks.spawn_on(following, &plan.outlet.runtime);
        }
        wanted
    }

    /// Follows Voice Microservices for every bridge.
    fn consume(
        &mut self,
        domain: &Domain,
        partition: Partition,
        plan: &Plan<'_>,
    ) -> anyhow::Result<()> {
        let voice =
            domain.agent_states.as_ref().and_then(|states| states.voice_microservices.as_ref());
        let Some(voice) = voice else { return Ok(()) };
        for bridge in plan.bridges {
            let client = voice.client.as_ref();
            let source = Source {
                bridge: bridge.clone(),
                domain: domain.name.clone(),
                partition,
                cluster: KafkaConfig {
                    brokers: voice.brokers.iter().map(ToString::to_string).collect(),
                    settings: client.map(|file| file.settings.clone()).unwrap_or_default(),
                    ..KafkaConfig::default()
                },
                topic: voice.topic.clone(),
            };
            let (shell, runtime) = (self.shell.clone(), plan.outlet.runtime.clone());
            let name = format!("voice-{}-{bridge}", domain.name);
            let body = move || {
                let _entered = runtime.enter();
                consumer::run(&shell, &source);
            };
            self.threads.push(std::thread::Builder::new().name(name).spawn(body)?);
        }
        Ok(())
    }

    /// Is the reporting engine of Interaction Servers, if one of these bridges is.
    fn report(
        &mut self,
        domain: &Domain,
        partition: Partition,
        plan: &Plan<'_>,
    ) -> anyhow::Result<()> {
        let is_here = |bridge: &String| plan.bridges.contains(bridge);
        let configured = domain.interaction_reporting.as_ref();
        if let Some(section) = configured.filter(|section| is_here(&section.bridge)) {
            let reporting = reporting::start(&self.shell, domain, section, partition)?;
            self.tasks.spawn_on(reporting, &plan.outlet.runtime);
        }
        Ok(())
    }

    fn follow(
        &mut self,
        links: Vec<LinkConfig>,
        partition: Partition,
        wanted: &Wanted,
        plan: &Plan<'_>,
    ) -> anyhow::Result<Vec<Watched>> {
        let mut watched = Vec::new();
        for config in links {
            let log = Arc::clone(&self.shell.log);
            let writer = LogWriter::new(log, partition, &config.bridge, &config.link())?
                .traced(self.shell.tracer.clone());
            let clock = Arc::new(clock::now_us);
            let is_stat = config.role == Stream::Stat;
            let mut bridge = Bridge::new(config, Box::new(writer), clock, Box::new(chance))?;
            if is_stat {
                bridge = bridge.wanting(wanted.clone());
            }
            let condition = self.shell.health.condition(format!("link {}", bridge.link()));
            watched.push((bridge.status(), condition));
            self.tasks.spawn_on(bridge.run(self.shell.stop.clone()), &plan.outlet.runtime);
        }
        Ok(watched)
    }

    /// Stops every loop and waits for it, at most until the deadline. `false` if something had to
    /// be left behind; what it had not committed is done again by the next owner.
    pub async fn stop(self) -> bool {
        self.shell.stop.cancel();
        let threads = tokio::task::spawn_blocking(move || {
            self.threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
        });
        let everything = async { (self.tasks.wait().await, threads.await) };
        match tokio::time::timeout(self.deadline, everything).await {
            Ok(((), Ok(0))) => true,
            Ok(((), failed)) => {
                tracing::error!(?failed, "a loop ended by a panic");
                false
            }
            Err(_) => {
                tracing::warn!("the deadline of the stop is over; some loops still run");
                false
            }
        }
    }
}

fn conversation(plan: &Plan<'_>) -> Kind {
    let set = |domain: &Domain| {
        let authority = domain.agent_states.as_ref().map(|states| states.authority);
        let relay_calls = authority == Some(AgentSource::VoiceMicroservices);
        (domain.name.clone(), Settings { relay_calls, ..plan.settings.clone() })
    };
    let domains: Vec<_> = plan.domains.iter().map(set).collect();
    let place = processor::Place {
        name: "conversation",
        input: RAW_TLIB,
        state: STATE_CONVERSATION,
        dead: DEAD_CONVERSATION,
        stage: Stage::Conversation,
        make: Box::new(move |partition| {
            // A partition is a domain; another process may have added more.
            let (domain, settings) = domains.get(partition as usize)?;
            Some(ConversationProcessor::new(domain, settings.clone()))
        }),
        keys: |processor| processor.counters().conversations,
        dead_letter: conversation::dead_letter,
    };
    processor_kind(place)
}

fn conversation_sink(plan: &Plan<'_>) -> Kind {
    sink_kind(sink::Place {
        input: COMMAND_CONVERSATION,
        state: STATE_CONVERSATION_SINK,
        stage: Stage::ConversationSink,
        target: Target::Conversation,
        rules: Box::new(|| Conversation),
        outlet: plan.outlet.clone(),
    })
}

fn presence(plan: &Plan<'_>, agents: &Agents) -> Kind {
    let set = |(domain, settings): (&Domain, &presence::Settings)| {
        let source = domain.agent_states.as_ref().map(|states| states.authority);
        let authority = match source {
            Some(AgentSource::VoiceMicroservices) => Authority::VoiceMicroservices,
            Some(AgentSource::StatServer) | None => Authority::StatServer,
        };
        (domain.name.clone(), presence::Settings { authority, ..settings.clone() })
    };
    let domains: Vec<_> = plan.domains.iter().zip(&agents.settings).map(set).collect();
    processor_kind(processor::Place {
        name: "presence",
        input: RAW_AGENT,
        state: STATE_PRESENCE,
        dead: DEAD_PRESENCE,
        stage: Stage::Presence,
        make: Box::new(move |partition| {
            let (domain, settings) = domains.get(partition as usize)?;
            Some(PresenceProcessor::new(domain, settings.clone()))
        }),
        keys: |processor| processor.counters().agents,
        dead_letter: presence::dead_letter,
    })
}

fn presence_sink(agents: &Agents, known: watch::Receiver<Presences>) -> Kind {
    let source_id: Arc<str> = agents.source_id.as_str().into();
    let rules = move || {
        let Presences { definitions, given_up } = known.borrow().clone();
        Presence { source_id: Arc::clone(&source_id), definitions, given_up }
    };
    sink_kind(sink::Place {
        input: COMMAND_PRESENCE,
        state: STATE_PRESENCE_SINK,
        stage: Stage::PresenceSink,
        target: Target::Presence,
        rules: Box::new(rules),
        outlet: agents.outlet.clone(),
    })
}

fn processor_kind<P: Processor + 'static>(place: processor::Place<P>) -> Kind {
    let processor::Place { name, input, stage, .. } = place;
    let run = move |shell: &Shell, partition, reached: &_| {
        processor::run(shell, partition, &place, reached);
    };
    Kind { name, input, stage, run: Box::new(run) }
}

fn sink_kind<R: sink::Sent>(place: sink::Place<R>) -> Kind {
    let sink::Place { input, stage, .. } = place;
    let run = move |shell: &Shell, partition, reached: &_| {
        sink::run(shell, partition, &place, reached);
    };
    Kind { name: R::STAGE, input, stage, run: Box::new(run) }
}

fn config_kind(place: config_sink::Place) -> Kind {
    let run = move |shell: &Shell, partition, reached: &_| {
        config_sink::run(shell, partition, &place, reached);
    };
    let (name, input, stage) = (config_sink::NAME, COMMAND_CONFIG, Stage::ConfigSink);
    Kind { name, input, stage, run: Box::new(run) }
}

/// The raw topics a domain needs.
fn raw_topics(domain: &Domain) -> Vec<Topic> {
    let agents = domain.agent_states.as_ref().map(|_| RAW_AGENT);
    std::iter::once(RAW_TLIB).chain(agents).collect()
}

/// Every link of these bridges to the SIP Servers and Stat Servers of a domain.
fn links(domain: &Domain, bridges: &[String]) -> Vec<LinkConfig> {
    let mut links = Vec::new();
    for name in bridges {
        for site in &domain.sites {
            for (role, pairs) in roles(site) {
                for (pair, servers) in pairs.iter().enumerate() {
                    let place = (site.name.as_str(), site.tls.as_ref());
                    links.push(link(domain, place, name, role, (pair, servers)));
                }
            }
        }
        // A Stat Server belongs to no site: it tells of all agents.
        if let Some(states) = &domain.agent_states {
            for servers in states.stat_servers.iter().enumerate() {
                let place = (domain.name.as_str(), states.tls.as_ref());
                links.push(link(domain, place, name, Stream::Stat, servers));
            }
        }
    }
    links
}

fn roles(site: &Site) -> [(Stream, &Vec<ServerPair>); 3] {
    [
        (Stream::Call, &site.voice_server_call),
        (Stream::Vq, &site.voice_server_vq),
        (Stream::Ext, &site.voice_server_agent),
    ]
}

fn link(
    domain: &Domain,
    (site, tls): (&str, Option<&SourceTls>),
    bridge: &str,
    role: Stream,
    (pair, servers): (usize, &ServerPair),
) -> LinkConfig {
    let directory = &domain.directory;
    let mut dns: Vec<String> = match role {
        Stream::Call | Stream::Dn | Stream::AgentState | Stream::Interaction => Vec::new(),
        Stream::Stat => directory.agents.iter().map(|agent| agent.employee_id.clone()).collect(),
        Stream::Vq => directory.queues.iter().map(|queue| queue.dn.clone()).collect(),
        Stream::Ext => directory.extensions.iter().map(|extension| extension.dn.clone()).collect(),
    };
    dns.sort();
    dns.dedup();
    let backup = servers.backup.iter().map(ToString::to_string);
    LinkConfig {
        bridge: bridge.to_owned(),
        domain: domain.name.clone(),
        site: site.to_owned(),
        role,
        pair,
        servers: std::iter::once(servers.primary.to_string()).chain(backup).collect(),
        tls: tls.map(|section| section.tls.clone()),
        dns,
        connect_timeout: CONNECT_TIMEOUT,
        silence_timeout: SILENCE_TIMEOUT,
        backoff_min: BACKOFF.0,
        backoff_max: BACKOFF.1,
    }
}
