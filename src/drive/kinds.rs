//! The processors and sinks of a plan, each as its group runs it.

use std::sync::Arc;

use tokio::sync::watch;
use trunkline_processors::config::{self, ConfigProcessor};
use trunkline_processors::conversation::{self, ConversationProcessor, Settings};
use trunkline_processors::presence::{self, Authority, PresenceProcessor};
use trunkline_processors::{Informed, Processor};
use trunkline_schemas::Topic;
use trunkline_schemas::topics::{
    COMMAND_CONFIG, COMMAND_CONVERSATION, COMMAND_PRESENCE, DEAD_CONFIG, DEAD_CONVERSATION,
    DEAD_PRESENCE, RAW_AGENT, RAW_CONFIGDB, RAW_TLIB, STATE_CONFIG, STATE_CONVERSATION,
    STATE_CONVERSATION_SINK, STATE_PRESENCE, STATE_PRESENCE_SINK,
};
use trunkline_sinks::{Conversation, Presence};

use super::beginning::{Beginning, Waits};
use super::definitions::Presences;
use super::engine::{Agents, Plan};
use super::group::Kind;
use super::synced::Follower;
use super::{Shell, announce, config_bridge, config_sink, processor, sink};
use crate::admin::metrics::{Stage, Target};
use crate::config::{AgentSource, Domain};

/// The conversation processor.
pub(super) fn conversation(plan: &Plan<'_>) -> Kind {
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

/// The config processor.
pub(super) fn config_processor(settings: config::settings::Settings) -> Kind {
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

/// The conversation sink.
pub(super) fn conversation_sink(plan: &Plan<'_>) -> Kind {
    sink_kind(sink::Place {
        input: COMMAND_CONVERSATION,
        state: STATE_CONVERSATION_SINK,
        stage: Stage::ConversationSink,
        target: Target::Conversation,
        rules: Box::new(|| Conversation),
        outlet: plan.outlet.clone(),
    })
}

/// The presence processor.
pub(super) fn presence(plan: &Plan<'_>, agents: &Agents) -> Kind {
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
pub(super) fn source_id(agents: &Agents, follower: Option<&Follower>) -> watch::Receiver<Arc<str>> {
    let fixed = || watch::Sender::new(agents.source_id.as_deref().unwrap_or_default().into());
    let follower = follower.filter(|_| agents.source_id.is_none());
    follower.map_or_else(|| fixed().subscribe(), Follower::source)
}

/// The presence sink.
pub(super) fn presence_sink(
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
    let run = move |shell: &Shell, partition, reached: &_, vitals| {
        processor::run(shell, partition, &place, reached, vitals);
    };
    Kind { name, input, stage, run: Box::new(run) }
}

fn sink_kind<R: sink::Sent>(place: sink::Place<R>) -> Kind {
    let sink::Place { input, stage, .. } = place;
    let run = move |shell: &Shell, partition, reached: &_, vitals| {
        sink::run(shell, partition, &place, reached, vitals);
    };
    Kind { name: R::STAGE, input, stage, run: Box::new(run) }
}

/// The bridge to the Config DB.
pub(super) fn config_bridge(place: config_bridge::Place) -> Kind {
    let run = move |shell: &Shell, partition, reached: &_, vitals| {
        config_bridge::run(shell, partition, &place, reached, vitals);
    };
    let (name, input, stage) = (config_bridge::NAME, RAW_CONFIGDB, Stage::ConfigDb);
    Kind { name, input, stage, run: Box::new(run) }
}

/// The config sink.
pub(super) fn config_sink(place: config_sink::Place) -> Kind {
    let run = move |shell: &Shell, partition, reached: &_, vitals| {
        config_sink::run(shell, partition, &place, reached, vitals);
    };
    let (name, input, stage) = (config_sink::NAME, COMMAND_CONFIG, Stage::ConfigSink);
    Kind { name, input, stage, run: Box::new(run) }
}
