//! Which server a link follows, and what it tells it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use trunkline_schemas::raw::Stream;

use super::lines::LINE_BYTES_MAX;
use crate::wire::Tls;

/// Most agents that are opened or closed by one line.
pub const OBJECTS_PER_LINE_MAX: usize = 1_000;

/// One link: one server pair in one role (seed 003, `VOICE_SERVER_VQ`, `_AGENT`, `_CALL`; EXAS).
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Name of the bridge.
    pub bridge: String,
    /// Routing domain.
    pub domain: String,
    /// Name of the site.
    pub site: String,
    /// What it is a client for.
    pub role: Stream,
    /// Which of the pairs of this role, from 0.
    pub pair: usize,
    /// Addresses `host:port`: the primary, then the backup. One is followed at a time.
    pub servers: Vec<String>,
    /// With it, connections are TLS.
    pub tls: Option<Tls>,
    /// The DNs wanted; call monitoring has none. Of a Stat Server: the employee ids of agents.
    pub dns: Vec<String>,
    /// How long connecting may take, and each of a TLS handshake and saying hello.
    pub connect_timeout: Duration,
    /// How long a server may say nothing at all, not even that it lives, before it is given up.
    pub silence_timeout: Duration,
    /// Shortest wait between two attempts.
    pub backoff_min: Duration,
    /// Longest wait between two attempts.
    pub backoff_max: Duration,
}

impl LinkConfig {
    /// Name of the link: `<bridge>/<site>/<role>/<pair>`.
    pub fn link(&self) -> String {
        format!("{}/{}/{}/{}", self.bridge, self.site, role_name(self.role), self.pair)
    }
}

/// Why a link cannot be as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// There is nothing to connect to.
    #[error("link {0} names no server")]
    NoServer(String),
    /// The DNs or agents do not fit into one line.
    #[error(
        "the DNs or agents of link {link} make a hello of {bytes} bytes, over {LINE_BYTES_MAX}"
    )]
    TooManyDns {
        /// The link.
        link: String,
        /// Length of the hello.
        bytes: usize,
    },
}

/// The first line to the server, with its newline. `held` is the last (server start, number) that
/// is durable.
///
/// # Errors
/// [`LinkError`] if the configuration makes no link.
pub fn hello(config: &LinkConfig, held: Option<(i64, i64)>) -> Result<String, LinkError> {
    if config.servers.is_empty() {
        return Err(LinkError::NoServer(config.link()));
    }
    let objects = Some(config.dns.as_slice());
    let hello = Hello {
        role: role_name(config.role),
        bridge: &config.bridge,
        dns: objects.filter(|_| config.role.is_switch() && config.role != Stream::Call),
        agents: objects.filter(|_| !config.role.is_switch()),
        // A Stat Server tells all that holds after each hello.
        resume: held.filter(|_| config.role.is_switch()).map(|(server_start, sequence)| Resume {
            server_start,
            sequence: format!("{sequence:016x}"),
        }),
    };
    let mut line =
        serde_json::to_string(&Greeting { hello }).expect("texts and numbers have a JSON form");
    if line.len() > LINE_BYTES_MAX {
        return Err(LinkError::TooManyDns { link: config.link(), bytes: line.len() });
    }
    line.push('\n');
    Ok(line)
}

/// What a bridge says when the agents it wants change while it is connected: each line with its
/// newline.
pub fn subscriptions(held: &BTreeSet<String>, wanted: &BTreeSet<String>) -> Vec<String> {
    let lines = |word: &str, objects: Vec<&String>| -> Vec<String> {
        let line = |some: &[&String]| format!("{}\n", serde_json::json!({ word: some }));
        objects.chunks(OBJECTS_PER_LINE_MAX).map(line).collect()
    };
    let mut said = lines("close", held.difference(wanted).collect());
    said.extend(lines("open", wanted.difference(held).collect()));
    said
}

/// The protocol names the client's role, not the kind of DN.
const fn role_name(role: Stream) -> &'static str {
    match role {
        Stream::Call => "call",
        Stream::Vq => "vq",
        Stream::Ext => "agent",
        Stream::Dn => "dn",
        Stream::Stat => "stat",
        Stream::AgentState => "agentstate",
        Stream::Interaction => "interaction",
    }
}

#[derive(Serialize)]
struct Greeting<'a> {
    hello: Hello<'a>,
}

#[derive(Serialize)]
struct Hello<'a> {
    role: &'static str,
    bridge: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<Resume>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resume {
    server_start: i64,
    sequence: String,
}
