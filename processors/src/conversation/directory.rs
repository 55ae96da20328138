//! What the processor knows of Engage objects: rows of the directory as they came through its
//! partition.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trunkline_schemas::DirectoryRow;
use trunkline_schemas::directory::{Agent, DnAt};

/// The agent at a DN, as decided when the leg began and kept with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAt {
    /// Employee id.
    pub employee_id: String,
    /// GC user id.
    pub user_id: String,
}

/// The rows, by what they are looked up with.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    switches: BTreeMap<String, String>,
    queues: BTreeMap<DnAt, String>,
    extensions: BTreeSet<DnAt>,
    wrap_up_codes: BTreeMap<String, String>,
    agents: BTreeMap<String, Agent>,
    at: BTreeMap<DnAt, AgentAt>,
    source_id: String,
    /// Whether an announcement has been completed.
    pub complete: bool,
}

impl Directory {
    /// All that these rows say, and no other.
    pub fn of<'a>(rows: impl Iterator<Item = &'a DirectoryRow>) -> Self {
        let mut directory = Self { complete: true, ..Self::default() };
        rows.for_each(|row| directory.put(row.clone()));
        directory
    }

    /// Takes a row.
    pub fn put(&mut self, row: DirectoryRow) {
        match row {
            DirectoryRow::Server(server) => {
                self.switches.insert(server.name, server.switch);
            }
            DirectoryRow::Agent(agent) => {
                if let Some(old) = self.agents.remove(&agent.employee_id) {
                    // Somebody else may have been put at one of these already.
                    for login in &old.logins {
                        if self.at.get(login).is_some_and(|at| at.employee_id == old.employee_id) {
                            self.at.remove(login);
                        }
                    }
                }
                for login in &agent.logins {
                    let at = AgentAt {
                        employee_id: agent.employee_id.clone(),
                        user_id: agent.user_id.clone(),
                    };
                    self.at.insert(login.clone(), at);
                }
                self.agents.insert(agent.employee_id.clone(), agent);
            }
            DirectoryRow::Queue(queue) => {
                self.queues.insert(DnAt { dn: queue.dn, switch: queue.switch }, queue.queue_id);
            }
            DirectoryRow::Extension(extension) => {
                self.extensions.insert(DnAt { dn: extension.dn, switch: extension.switch });
            }
            DirectoryRow::WrapUpCode(code) => {
                self.wrap_up_codes.insert(code.name, code.id);
            }
            DirectoryRow::Source(source) => self.source_id = source.source_id,
        }
    }

    /// The switch of a server; a server without a row stands for a switch of its own name.
    pub fn switch_of<'a>(&'a self, server: &'a str) -> &'a str {
        self.switches.get(server).map_or(server, String::as_str)
    }

    /// The GC queue of a VQ.
    pub fn queue(&self, dn: &str, switch: &str) -> Option<&str> {
        self.queues.get(&dn_at(dn, switch)).map(String::as_str)
    }

    /// An agent in scope, with the GC user.
    pub fn user(&self, employee_id: &str) -> Option<AgentAt> {
        let agent = self.agents.get(employee_id)?;
        let (employee_id, user_id) = (agent.employee_id.clone(), agent.user_id.clone());
        Some(AgentAt { employee_id, user_id })
    }

    /// The agent in scope whom the configuration has at a DN.
    pub fn agent(&self, dn: &str, switch: &str) -> Option<&AgentAt> {
        self.at.get(&dn_at(dn, switch))
    }

    /// Whether the DN is an extension, in scope or not.
    pub fn is_extension(&self, dn: &str, switch: &str) -> bool {
        let at = dn_at(dn, switch);
        self.extensions.contains(&at) || self.at.contains_key(&at)
    }

    /// The wrap-up code of a disposition.
    pub fn wrap_up_code(&self, name: &str) -> Option<&str> {
        self.wrap_up_codes.get(name).map(String::as_str)
    }

    /// GC id of the presence source that stands for Engage.
    pub fn source_id(&self) -> &str {
        &self.source_id
    }
}

fn dn_at(dn: &str, switch: &str) -> DnAt {
    DnAt { dn: dn.to_owned(), switch: switch.to_owned() }
}
