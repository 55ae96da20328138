//! The configuration: one TOML file, read whole, checked whole, with every problem reported.
//!
//! Everything that can be guessed has a default, units are in the names of keys, and secrets are
//! given by reference only. A relative path starts from the folder of the file that names it.
//! `config/example.toml` shows every key.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};
use trunkline_schemas::directory::DirectoryFile;

mod access;
mod agent_states;
mod checks;
pub mod codes;
mod config_sync;
mod configdb;
pub mod directory;
mod document;
mod presence;
mod reader;
mod redis;
mod registry;
mod reporting;
mod sections;
#[cfg(test)]
mod tests;
mod tls;
mod traces;
mod tree;

pub use access::{Authorities, Secret};
pub use agent_states::{AgentSource, AgentStates, VoiceMicroservices};
pub use codes::Code;
pub use config_sync::ConfigSync;
pub use configdb::{ConfigDb, DeletionRules, ProfileFile, QueueTypes};
pub use directory::load as load_directory;
pub use document::ConfigError;
pub use presence::{OwnClient, Presence, PresenceSink, Reasons};
pub use redis::Redis;
pub use registry::SchemaRegistry;
pub use reporting::InteractionReporting;
pub use tls::SourceTls;
pub use traces::Traces;

use document::{Document, Syntax};
use reader::Reader;

/// Bytes of a configuration file.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// The whole configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// `[admin]`
    pub admin: Admin,
    /// `[log.…]`
    pub log: Log,
    /// `[topics]`
    pub topics: Topics,
    /// `[bridge]`
    pub bridge: Bridge,
    /// `[[domain]]`, at least one.
    #[serde(rename = "domain")]
    pub domains: Vec<Domain>,
    /// `[genesys_cloud]`
    pub genesys_cloud: GenesysCloud,
    /// `[configdb]`, if the Engage configuration is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configdb: Option<ConfigDb>,
    /// `[redis]`, if the allowance is shared through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// `[schema_registry]`, if schemas are registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_registry: Option<SchemaRegistry>,
    /// `[conversation]`
    pub conversation: Conversation,
    /// `[presence]`
    pub presence: Presence,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// `[logging]`
    pub logging: Logging,
    /// `[traces]`, if calls are traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
}

/// The listeners for health, metrics and the page: each role has one, as the services of EXEC have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// Where whoever asks of the whole and of conversations is answered.
    pub listen: SocketAddr,
    /// Where whoever asks of agent states is.
    pub presence_listen: SocketAddr,
    /// Where whoever asks of the configuration is.
    pub config_listen: SocketAddr,
}

/// The log everything stands on (DESIGN section 7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// On local disk, inside the process.
    Embedded {
        /// Its folder.
        path: PathBuf,
    },
    /// On a Kafka cluster, for several processes.
    Kafka {
        /// Some of its brokers, distinct, at least one.
        brokers: Vec<HostPort>,
        /// Copies of each record in topics that are created; the cluster's own default if none is
        /// given.
        #[serde(skip_serializing_if = "Option::is_none")]
        replication: Option<u16>,
        /// How clients connect: security, time-outs.
        #[serde(rename = "client_file", skip_serializing_if = "Option::is_none")]
        client: Option<ClientFile>,
    },
}

/// Settings of Kafka clients from a file of its own: there may be a password among them, so neither
/// printing nor serialising it shows more than where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientFile {
    /// The file.
    pub path: PathBuf,
    /// Its lines `name=value`, by the names of librdkafka.
    pub settings: BTreeMap<String, String>,
}

impl fmt::Debug for ClientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientFile").field(&self.path).finish()
    }
}

impl Serialize for ClientFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.path.serialize(serializer)
    }
}

/// The topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topics {
    /// Partitions of the topics spread by conversation or agent, 1 to 1024. Fixed once a log
    /// exists.
    pub conversation_partitions: u32,
}

/// The bridges of this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bridge {
    /// Their names, distinct, at least one: a bridge finds its positions in the log by its name.
    pub names: Vec<String>,
}

/// A routing domain: SIP Servers whose calls can be linked to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// Its name; part of every id made for its calls.
    pub name: String,
    /// Where its directory stands; nothing where the synchronisation of the configuration makes it
    /// and no file adds to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory_file: Option<PathBuf>,
    /// Its directory. Where the synchronisation makes it, of this only servers and logins count.
    #[serde(skip)]
    pub directory: DirectoryFile,
    /// Where the states of its agents come from, if they are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_states: Option<AgentStates>,
    /// The Interaction Servers whose reporting engine this is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction_reporting: Option<InteractionReporting>,
    /// Its sites, at least one.
    #[serde(rename = "site")]
    pub sites: Vec<Site>,
}

/// A site: SIP Servers by role (seed 003, `EXCP_1_VOICE_SERVER_*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Servers for call monitoring events, at least one.
    pub voice_server_call: Vec<ServerPair>,
    /// Servers for virtual queue events, at least one.
    pub voice_server_vq: Vec<ServerPair>,
    /// Servers for events of extension DNs, at least one.
    pub voice_server_agent: Vec<ServerPair>,
    /// TLS to all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<SourceTls>,
}

/// A SIP Server and its backup: `primary:port/backup:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPair {
    /// The first to be tried.
    pub primary: HostPort,
    /// The other one, if there is one.
    pub backup: Option<HostPort>,
}

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// Port, at least 1.
    pub port: u16,
}

/// The Genesys Cloud organisation.
#[derive(Clone, Debug, Serialize)]
pub struct GenesysCloud {
    /// The API, without a slash at its end; https unless it is this machine.
    pub base_url: String,
    /// Where tokens come from, without a slash at its end; `/oauth/token` is appended.
    pub auth_url: String,
    /// Trusted besides those of the system.
    #[serde(flatten)]
    pub ca: Option<Authorities>,
    /// The OAuth client of the conversation sink.
    pub conversation: ConversationClient,
    /// How agents are told, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceSink>,
    /// `[genesys_cloud.config_sync]`, if the organisation is given the Engage configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sync: Option<ConfigSync>,
}

/// An OAuth client and what it may ask for.
#[derive(Clone, Debug, Serialize)]
pub struct ConversationClient {
    /// Id of the client.
    pub client_id: String,
    /// Its secret.
    #[serde(flatten)]
    pub client_secret: Secret,
    /// Requests it may make in a minute; 300 is the limit of the platform.
    pub requests_per_minute: u32,
    /// Requests it may make at once after a quiet time, at most `requests_per_minute`.
    pub burst: u32,
    /// Events of one request, 1 to 100.
    pub events_per_request: usize,
    /// Events of one conversation in one request, at most `events_per_request`.
    pub events_per_conversation: usize,
    /// Requests under way at once, 1 to 64.
    pub requests_in_flight: usize,
    /// How long a request may take.
    #[serde(rename = "request_timeout_secs", serialize_with = "as_secs")]
    pub request_timeout: Duration,
}

/// The conversation processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conversation {
    /// W: how long a decision waits for the evidence of another stream, milliseconds of stream
    /// time, 0 to 30,000 (DESIGN section 5).
    pub wait_ms: i64,
    /// User data key that holds the disposition (seed 003, EXCP).
    pub disposition_key: String,
    /// User data keys that begin so mark automated outbound. An assumption: no source names them.
    pub campaign_prefix: String,
    /// How long announced after-call work may last before it is closed as skipped, seconds of
    /// stream time; 0: none is announced.
    pub after_call_secs: i64,
    /// After how long without any event a call is given up, minutes of stream time.
    pub idle_minutes: i64,
}

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shutdown {
    /// How long a graceful stop may take.
    #[serde(rename = "deadline_secs", serialize_with = "as_secs")]
    pub deadline: Duration,
}

/// The log lines on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Logging {
    /// How they are written.
    pub format: LogFormat,
    /// Which are written: a level, or levels by module.
    pub filter: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks a file, the directories it names and the secrets it refers to.
    ///
    /// # Errors
    /// All problems of all files, in the order of their places.
    pub fn load(file: &Path) -> Result<Self, Vec<ConfigError>> {
        Self::load_with(file, &|variable| std::env::var(variable).ok())
    }

    /// [`Config::load`] with the environment given as a function.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        file: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<ConfigError>> {
        let document = Document::read(file, Syntax::Toml, CONFIG_BYTES_MAX)?;
        let node = document.parse();
        let top = node.as_ref().and_then(|node| Reader::new(&document, node));
        let config = top.and_then(|top| sections::config(top, environment));
        let errors = document.into_errors();
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(errors),
        }
    }

    /// The configuration in force, defaults included, as TOML that would load again. Secrets are
    /// shown by reference.
    pub fn redacted_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ServerPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.primary)?;
        match &self.backup {
            Some(backup) => write!(f, "/{backup}"),
            None => Ok(()),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ServerPair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn as_secs<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}
