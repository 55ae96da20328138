//! Runs everything a configuration names, in one process.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use trunkline_ingest::feed::{Bridge, LinkConfig};
use trunkline_processors::config;
use trunkline_processors::conversation::Settings;
use trunkline_processors::presence;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{RAW_AGENT, RAW_TLIB};
use trunkline_schemas::{Partition, Topic};

use super::bridge::{LogWriter, Watched};
use super::consumer::Source;
use super::definitions::Presences;
use super::group::{self, Kind};
use super::links::{Listened, Telling, links};
use super::roster::Followed;
use super::sink::Outlet;
use super::synced::{self, Follower, Told};
use super::vitals::Vitals;
use super::{
    Shell, announce, bridge, chance, config_bridge, config_sink, consumer, definitions, kinds,
    reach, reporting, roster,
};
use crate::admin::roles::Role;
use crate::clock;
use crate::config::Domain;
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
    pub(super) fn is_synced(&self) -> bool {
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
        let (watched, vitals) = (shell.clone(), Vitals::new(shell, reach::NAME));
        engine.thread(reach::NAME, &plan.outlet.runtime, move || reach::watch(&watched, vitals))?;
        engine.configure(plan)?;
        let mut follower = plan.is_synced().then(|| Follower::new(shell)).transpose()?;
        // Without domains, the configuration is all there is to do.
        if plan.parts.processors && !plan.domains.is_empty() {
            engine.group(kinds::conversation(plan), plan)?;
            if let Some(agents) = &plan.agents {
                engine.group(kinds::presence(plan, agents), plan)?;
            }
        }
        if plan.parts.ingest {
            for (partition, domain) in plan.domains.iter().enumerate() {
                engine.listen(domain, partition as Partition, follower.as_mut(), plan)?;
            }
        }
        if plan.parts.sinks {
            engine.group(kinds::conversation_sink(plan), plan)?;
            if let Some(agents) = &plan.agents {
                let source = kinds::source_id(agents, follower.as_ref());
                let known = engine.follow_definitions(agents);
                engine.group(kinds::presence_sink(agents, source, known), plan)?;
            }
        }
        if let Some(follower) = follower.filter(|_| plan.parts.ingest || plan.parts.sinks) {
            let vitals = Vitals::new(shell, synced::NAME);
            engine.thread(synced::NAME, &plan.outlet.runtime, move || follower.run(vitals))?;
        }
        engine.tasks.close();
        starting.retire();
        Ok(engine)
    }

    /// Reads the configuration and writes it, as far as this process does.
    fn configure(&mut self, plan: &Plan<'_>) -> anyhow::Result<()> {
        let Some(configuration) = &plan.configuration else { return Ok(()) };
        if plan.parts.ingest {
            self.group(kinds::config_bridge(configuration.bridge.clone()), plan)?;
        }
        if plan.parts.processors {
            self.group(kinds::config_processor(configuration.settings.clone()), plan)?;
        }
        match &configuration.sink {
            Some(place) if plan.parts.sinks => self.group(kinds::config_sink(place.clone()), plan),
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
        let shell = self.shell.of(kind.stage.role());
        let vitals = Vitals::new(&shell, kind.group());
        let name = format!("{}-group", kind.name);
        let (kind, runtime) = (Arc::new(kind), plan.outlet.runtime.clone());
        self.thread(name, &plan.outlet.runtime, move || {
            group::run(&shell, &kind, &runtime, vitals);
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
