//! Runs everything a configuration names, in one process.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use trunkline_ingest::feed::{Bridge, LinkConfig};
use trunkline_processors::config::{self, ConfigProcessor};
use trunkline_processors::conversation::{self, ConversationProcessor, Settings};
use trunkline_processors::presence::{self, Authority, PresenceProcessor};
use trunkline_processors::{Informed, Processor};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{
    COMMAND_CONFIG, COMMAND_CONVERSATION, COMMAND_PRESENCE, DEAD_CONFIG, DEAD_CONVERSATION,
    DEAD_PRESENCE, RAW_AGENT, RAW_CONFIGDB, RAW_TLIB, STATE_CONFIG, STATE_CONVERSATION,
    STATE_CONVERSATION_SINK, STATE_PRESENCE, STATE_PRESENCE_SINK,
};
use trunkline_schemas::{Partition, Topic};
use trunkline_sinks::{Conversation, Presence};

use super::beginning::{Beginning, Waits};
use super::bridge::{LogWriter, Watched};
use super::consumer::Source;
use super::definitions::Presences;
use super::group::{self, Kind};
use super::links::{Listened, Telling, links};
use super::roster::Followed;
use super::sink::Outlet;
use super::synced::{Follower, Told};
use super::{
    Shell, announce, bridge, chance, config_bridge, config_sink, consumer, definitions, processor,
    reach, reporting, roster, sink,
};
use crate::admin::metrics::{Stage, Target};
use crate::admin::roles::Role;
use crate::clock;
use crate::config::{AgentSource, Domain};
use crate::log::kafka::KafkaConfig;

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
    /// How the configuration is read and written, if it is.
    pub configuration: Option<Configuration>,
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
    /// Id of the presence source that stands for Engage; nothing: the synchronisation of the
    /// configuration makes it.
    pub source_id: Option<String>,
    /// Where the presence sink sends.
    pub outlet: Outlet,
}

/// How the configuration is read and written.
#[derive(Clone)]
pub struct Configuration {
    /// The database.
    pub bridge: config_bridge::Place,
    /// How the config processor is set.
    pub settings: config::settings::Settings,
    /// The organisation, if it is given the configuration: then that makes the directory of every
    /// domain, and conversations and agents wait for it.
    pub sink: Option<config_sink::Place>,
}

impl Plan<'_> {
    /// Whether the synchronisation of the configuration makes the directories.
    fn is_synced(&self) -> bool {
        self.configuration.as_ref().is_some_and(|configuration| configuration.sink.is_some())
    }
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
        // What is reported before everything is named does not make the process ready.
        let starting = shell.health.condition("start");
        starting.set(false, "not everything has started yet");
        let watched = shell.clone();
        engine.thread("log", &plan.outlet.runtime, move || reach::watch(&watched))?;
        engine.configure(plan)?;
        let mut follower = plan.is_synced().then(|| Follower::new(shell)).transpose()?;
        // Without domains, the configuration is all there is to do.
        if plan.parts.processors && !plan.domains.is_empty() {
            engine.group(self::conversation(plan), plan)?;
            if let Some(agents) = &plan.agents {
                engine.group(self::presence(plan, agents), plan)?;
            }
        }
        if plan.parts.ingest {
            for (partition, domain) in plan.domains.iter().enumerate() {
                engine.listen(domain, partition as Partition, follower.as_mut(), plan)?;
            }
        }
        if plan.parts.sinks {
            engine.group(conversation_sink(plan), plan)?;
            if let Some(agents) = &plan.agents {
                let source = source_id(agents, follower.as_ref());
                let known = engine.follow_definitions(agents);
                engine.group(presence_sink(agents, source, known), plan)?;
            }
        }
        if let Some(follower) = follower.filter(|_| plan.parts.ingest || plan.parts.sinks) {
            engine.thread("directory", &plan.outlet.runtime, move || follower.run())?;
        }
        engine.tasks.close();
        starting.retire();
        Ok(engine)
    }

    /// Reads the configuration and writes it, as far as this process does.
    fn configure(&mut self, plan: &Plan<'_>) -> anyhow::Result<()> {
        let Some(configuration) = &plan.configuration else { return Ok(()) };
        if plan.parts.ingest {
            self.group(config_bridge_kind(configuration.bridge.clone()), plan)?;
        }
        if plan.parts.processors {
            self.group(config_processor(configuration.settings.clone()), plan)?;
        }
        match &configuration.sink {
            Some(place) if plan.parts.sinks => self.group(config_kind(place.clone()), plan),
            Some(_) | None => Ok(()),
        }
    }

    /// Follows the servers of a domain.
    fn listen(
        &mut self,
        domain: &Domain,
        partition: Partition,
        follower: Option<&mut Follower>,
        plan: &Plan<'_>,
    ) -> anyhow::Result<()> {
        let own = || Listened::of(&domain.directory);
        let listened = follower.as_ref().map_or_else(own, |follower| follower.listened());
        let links = links(domain, plan.bridges, &listened);
        bridge::take_down(self.shell.log.as_ref(), partition, &links)?;
        let (topics, telling) = (raw_topics(domain), Arc::new(Telling::new(&listened)));
        match follower {
            Some(follower) => follower.tell(Told {
                domain: domain.name.clone(),
                partition,
                topics: topics.clone(),
                addition: domain.directory.clone(),
                links: Arc::clone(&telling),
            })?,
            None => self.announce(domain, partition, &telling, plan)?,
        }
        let watched = self.follow(links, partition, &telling, plan)?;
        self.consume(domain, partition, plan)?;
        self.report(domain, partition, plan)?;
        let place = (topics, partition);
        let tick = bridge::tick(self.shell.clone(), domain.name.clone(), place, watched);
        self.tasks.spawn_on(tick, &plan.outlet.runtime);
        Ok(())
    }

    /// Announces the directory of a domain's file, and what changes of it to whom it may concern.
    fn announce(
        &mut self,
        domain: &Domain,
        partition: Partition,
        links: &Arc<Telling>,
        plan: &Plan<'_>,
    ) -> anyhow::Result<()> {
        for topic in raw_topics(domain) {
            let place = (topic, partition);
            announce::announce(&self.shell, &domain.name, place, &domain.directory)?;
        }
        if let Some(file) = domain.directory_file.clone().filter(|_| domain.agent_states.is_some())
        {
            let followed = Followed { domain: domain.name.clone(), partition, file };
            let following = roster::follow(self.shell.clone(), followed, Arc::clone(links));
            self.tasks.spawn_on(following, &plan.outlet.runtime);
        }
        Ok(())
    }

    /// Runs the tasks of a kind whose partitions this process is given.
    fn group(&mut self, kind: Kind, plan: &Plan<'_>) -> anyhow::Result<()> {
        self.spawn(kind, plan.outlet.runtime.clone())
    }

    fn spawn(&mut self, kind: Kind, runtime: Handle) -> anyhow::Result<()> {
        let shell = self.shell.clone();
        let name = format!("{}-group", kind.name);
        // Named before its thread runs: without it, the process could be taken for ready.
        let waiting = shell.of(kind.stage.role()).health.condition(kind.group());
        let (kind, on) = (Arc::new(kind), runtime.clone());
        self.thread(name, &on, move || {
            group::run(&shell, &kind, &runtime);
            drop(waiting);
        })
    }

    /// Runs something that waits in a thread of its own.
    fn thread(
        &mut self,
        name: impl Into<String>,
        runtime: &Handle,
        body: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<()> {
        let runtime = runtime.clone();
        let body = move || {
            let _entered = runtime.enter();
            body();
        };
        self.threads.push(std::thread::Builder::new().name(name.into()).spawn(body)?);
        Ok(())
    }

    /// The presence definitions as the organisation has them.
    fn follow_definitions(&mut self, agents: &Agents) -> watch::Receiver<Presences> {
        let (told, known) = watch::channel(Presences::default());
        let shell = self.shell.of(Some(Role::Presence));
        let following = definitions::follow(shell, agents.outlet.clone(), told);
        self.tasks.spawn_on(following, &agents.outlet.runtime);
        known
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
            let shell = self.shell.of(Some(Role::Presence));
            let name = format!("voice-{}-{bridge}", domain.name);
            self.thread(name, &plan.outlet.runtime, move || consumer::run(&shell, &source))?;
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
            let shell = self.shell.of(Some(Role::Presence));
            let reporting = reporting::start(&shell, domain, section, partition)?;
            self.tasks.spawn_on(reporting, &plan.outlet.runtime);
        }
        Ok(())
    }

    fn follow(
        &mut self,
        links: Vec<LinkConfig>,
        partition: Partition,
        telling: &Telling,
        plan: &Plan<'_>,
    ) -> anyhow::Result<Vec<Watched>> {
        let mut watched = Vec::new();
        for config in links {
            let (log, role) = (Arc::clone(&self.shell.log), config.role);
            let writer = LogWriter::new(log, partition, &config.bridge, &config.link())?
                .traced(self.shell.tracer.clone());
            let clock = Arc::new(clock::now_us);
            let wanted = telling.wanted(role);
            let mut bridge = Bridge::new(config, Box::new(writer), clock, Box::new(chance))?;
            if let Some(wanted) = wanted {
                bridge = bridge.wanting(wanted);
            }
            let shell = self.shell.of(Some(role_of(role)));
            let condition = shell.health.condition(format!("link {}", bridge.link()));
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
        beginning: beginning(plan, RAW_TLIB),
        dead_letter: conversation::dead_letter,
    };
    processor_kind(place)
}

/// What the processor of a raw topic waits for where the directory is still to be made.
fn beginning<P: Informed>(plan: &Plan<'_>, topic: Topic) -> Option<Beginning<P>> {
    if !plan.is_synced() {
        return None;
    }
    let tells_agents = plan.agents.is_some();
    let waits = |domain: &Domain| Waits {
        mark: announce::mark_key(&domain.name, topic),
        relayed: topic == RAW_TLIB && tells_agents && domain.agent_states.is_some(),
    };
    let waits: Vec<Waits> = plan.domains.iter().map(waits).collect();
    Some(Beginning::new(move |partition| waits.get(partition as usize).cloned()))
}

fn config_processor(settings: config::settings::Settings) -> Kind {
    processor_kind(processor::Place {
        name: "config",
        input: RAW_CONFIGDB,
        state: STATE_CONFIG,
        dead: DEAD_CONFIG,
        stage: Stage::Config,
        make: Box::new(move |_| Some(ConfigProcessor::new(settings.clone()))),
        keys: |processor| processor.wanted().len() as u64,
        beginning: None,
        dead_letter: config::dead_letter,
    })
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
        beginning: beginning(plan, RAW_AGENT),
        dead_letter: presence::dead_letter,
    })
}

/// The id of the presence source: the configured one, else the one that is made.
fn source_id(agents: &Agents, follower: Option<&Follower>) -> watch::Receiver<Arc<str>> {
    let fixed = || watch::Sender::new(agents.source_id.as_deref().unwrap_or_default().into());
    let follower = follower.filter(|_| agents.source_id.is_none());
    follower.map_or_else(|| fixed().subscribe(), Follower::source)
}

fn presence_sink(
    agents: &Agents,
    source: watch::Receiver<Arc<str>>,
    known: watch::Receiver<Presences>,
) -> Kind {
    let rules = move || {
        let Presences { definitions, given_up } = known.borrow().clone();
        Presence { source_id: Arc::clone(&source.borrow()), definitions, given_up }
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

fn config_bridge_kind(place: config_bridge::Place) -> Kind {
    let run = move |shell: &Shell, partition, reached: &_| {
        config_bridge::run(shell, partition, &place, reached);
    };
    let (name, input, stage) = (config_bridge::NAME, RAW_CONFIGDB, Stage::ConfigDb);
    Kind { name, input, stage, run: Box::new(run) }
}

fn config_kind(place: config_sink::Place) -> Kind {
    let run = move |shell: &Shell, partition, reached: &_| {
        config_sink::run(shell, partition, &place, reached);
    };
    let (name, input, stage) = (config_sink::NAME, COMMAND_CONFIG, Stage::ConfigSink);
    Kind { name, input, stage, run: Box::new(run) }
}

/// Whose events a stream carries.
const fn role_of(stream: Stream) -> Role {
    match stream {
        Stream::Call | Stream::Vq | Stream::Ext | Stream::Dn => Role::Conversation,
        Stream::Stat | Stream::AgentState | Stream::Interaction => Role::Presence,
    }
}

/// The raw topics a domain needs.
fn raw_topics(domain: &Domain) -> Vec<Topic> {
    let agents = domain.agent_states.as_ref().map(|_| RAW_AGENT);
    std::iter::once(RAW_TLIB).chain(agents).collect()
}
