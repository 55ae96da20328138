//! `[domain.agent_states]`: where the states of a domain's agents come from.

use serde::Serialize;

use super::codes::Code;
use super::document::Flaw;
use super::reader::{Placed, Reader, Unique, shown};
use super::sections::{brokers, client_file};
use super::tls::{SourceTls, tls};
use super::{ClientFile, HostPort, ServerPair, checks};

/// The topic of Voice Microservices (seed 004).
const TOPIC: &str = "voice-agentstate";

/// Where the states of a domain's agents come from; at least one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentStates {
    /// Which source decides what is shown; there is such a source.
    pub authority: AgentSource,
    /// Stat Servers; each tells of all agents of the domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stat_servers: Vec<ServerPair>,
    /// TLS to all Stat Servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<SourceTls>,
    /// Voice Microservices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_microservices: Option<VoiceMicroservices>,
}

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentSource {
    /// Stat Server (seed 003, EXAS).
    StatServer,
    /// Voice Microservices (seed 004).
    VoiceMicroservices,
}

/// A topic of Voice Microservices on a Kafka cluster of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VoiceMicroservices {
    /// Some brokers of its cluster, distinct, at least one.
    pub brokers: Vec<HostPort>,
    /// The topic.
    pub topic: String,
    /// How the client connects: security, time-outs.
    #[serde(rename = "client_file", skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientFile>,
}

/// Reads the section.
pub(super) fn agent_states(mut section: Reader<'_>) -> Option<AgentStates> {
    let pairs = section.list("stat_servers", checks::server_pair).check(|pairs| {
        if pairs.is_empty() {
            let hint = "write `stat_servers = [\"primary:port/backup:port\"]`";
            Err(Flaw::new(Code::OutOfRange, "the list is empty").hint(hint))
        } else {
            Ok(pairs)
        }
    });
    let pairs = pairs.or(Vec::new());
    let mut servers = Unique::new(section.document(), "Stat Server");
    for Placed { value, key, span } in pairs.iter().flatten() {
        for address in std::iter::once(&value.primary).chain(&value.backup) {
            servers.add(&address.to_string(), key, span);
        }
    }
    let tls = tls(&mut section);
    let (has_stat, has_voice) = (section.has("stat_servers"), section.has("voice_microservices"));
    let voice = if has_voice {
        voice_microservices(section.section("voice_microservices")).map(Some)
    } else {
        Some(None)
    };
    if !has_stat && !has_voice {
        let flaw = Flaw::new(Code::MissingKey, "there is no source of agent states");
        let hint = "name `stat_servers`, or a section `voice_microservices`, or both";
        section.report("stat_servers", flaw.hint(hint));
    }
    if !has_stat && matches!(tls, Ok(Some(_))) {
        let flaw = Flaw::new(Code::MissingKey, "`tls` is of Stat Servers, and there are none");
        let hint = "name `stat_servers`; the TLS of Kafka stands in the `client_file`";
        section.report("tls", flaw.hint(hint));
    }
    let default = if has_stat { AgentSource::StatServer } else { AgentSource::VoiceMicroservices };
    let authority = section.text("authority").check(|text| {
        let missing = |key: &str| {
            let said = format!("{} decides, but there is no `{key}`", shown(text));
            Err(Flaw::new(Code::MissingKey, said))
        };
        match text {
            "stat_server" if has_stat => Ok(AgentSource::StatServer),
            "stat_server" => missing("stat_servers"),
            "voice_microservices" if has_voice => Ok(AgentSource::VoiceMicroservices),
            "voice_microservices" => missing("voice_microservices"),
            _ => Err(Flaw::new(Code::UnknownChoice, format!("{} is no source", shown(text)))
                .hint("write `stat_server` or `voice_microservices`")),
        }
    });
    let authority = authority.or(default);
    section.finish();
    let stat_servers = pairs?.into_iter().map(|placed| placed.value).collect();
    let (authority, tls) = (authority?, tls.ok()?);
    Some(AgentStates { authority, stat_servers, tls, voice_microservices: voice? })
}

fn voice_microservices(mut section: Reader<'_>) -> Option<VoiceMicroservices> {
    let brokers = brokers(&mut section);
    let topic = section.text("topic").check(checks::name).or(TOPIC.to_owned());
    let client = client_file(&mut section);
    section.finish();
    Some(VoiceMicroservices { brokers: brokers?, topic: topic?, client })
}
