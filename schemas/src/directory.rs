//! The directory: Engage objects and the Genesys Cloud ids they have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A DN on a switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DnAt {
    /// Number or name of the DN.
    pub dn: String,
    /// Name of the switch.
    pub switch: String,
}

/// A SIP Server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name, as in the `Server` attribute of its events.
    pub name: String,
    /// The switch it serves.
    pub switch: String,
}

/// An agent in scope of the synchronisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Employee id of the person.
    pub employee_id: String,
    /// GC user id.
    pub user_id: String,
    /// The DNs at which the agent is logged in or works.
    #[serde(default)]
    pub logins: Vec<DnAt>,
}

/// A virtual queue in scope of the synchronisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// VQ name.
    pub dn: String,
    /// Its switch.
    pub switch: String,
    /// GC queue id.
    pub queue_id: String,
}

/// An extension DN, whether or not anybody works at it (seed 003: "EXCS doesn't map the Extension
/// DNs ... but it reads those DNs").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its number.
    pub dn: String,
    /// Its switch.
    pub switch: String,
}

/// A wrap-up code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapUpCode {
    /// Name of the disposition in Engage.
    pub name: String,
    /// GC id.
    pub id: String,
}

/// The presence source that stands for Engage in the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// GC id.
    pub source_id: String,
}

/// One row of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectoryRow {
    /// A SIP Server.
    Server(Server),
    /// An agent.
    Agent(Agent),
    /// A queue.
    Queue(Queue),
    /// An extension.
    Extension(Extension),
    /// A wrap-up code.
    WrapUpCode(WrapUpCode),
    /// The source.
    Source(Source),
}

/// A directory given as one JSON file, for installations whose configuration is not read from a
/// Config DB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryFile {
    /// SIP Servers.
    #[serde(default)]
    pub servers: Vec<Server>,
    /// Agents in scope.
    #[serde(default)]
    pub agents: Vec<Agent>,
    /// Virtual queues in scope.
    #[serde(default)]
    pub queues: Vec<Queue>,
    /// All extension DNs.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    /// Wrap-up codes.
    #[serde(default)]
    pub wrap_up_codes: Vec<WrapUpCode>,
    /// GC id of the presence source.
    pub source_id: String,
    /// What presences are called in the organisation, where nobody asks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceIds>,
}

/// GC ids for the states of users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PresenceIds {
    /// GC id of the presence source.
    pub source_id: String,
    /// Ids of presence definitions by system presence; both `OnQueue` and `On Queue` are meant by
    /// the latter (gc-api section 3.1).
    #[serde(default)]
    pub definitions: BTreeMap<String, String>,
}

impl DirectoryFile {
    /// The same as rows, in a fixed order.
    pub fn rows(&self) -> Vec<DirectoryRow> {
        let mut rows = vec![DirectoryRow::Source(Source { source_id: self.source_id.clone() })];
        rows.extend(self.servers.iter().cloned().map(DirectoryRow::Server));
        rows.extend(self.agents.iter().cloned().map(DirectoryRow::Agent));
        rows.extend(self.queues.iter().cloned().map(DirectoryRow::Queue));
        rows.extend(self.extensions.iter().cloned().map(DirectoryRow::Extension));
        rows.extend(self.wrap_up_codes.iter().cloned().map(DirectoryRow::WrapUpCode));
        rows
    }
}
