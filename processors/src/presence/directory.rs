//! What the processor knows of Engage objects: rows of the directory as they came through its
//! partition.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::DirectoryRow;
use trunkline_schemas::directory::{Agent, DnAt};

/// The rows, by what they are looked up with.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    agents: BTreeMap<String, Agent>,
    switches: BTreeMap<String, String>,
    /// Employee ids by the DN at which the configuration has them.
    at: BTreeMap<DnAt, String>,
    /// Switches of each extension.
    extensions: BTreeMap<String, BTreeSet<String>>,
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
            DirectoryRow::Agent(agent) => {
                self.remove_agent(&agent.employee_id);
                for login in &agent.logins {
                    self.at.insert(login.clone(), agent.employee_id.clone());
                    self.extension(login);
                }
                self.agents.insert(agent.employee_id.clone(), agent);
            }
            DirectoryRow::Server(server) => {
                self.switches.insert(server.name, server.switch);
            }
            DirectoryRow::Extension(row) => {
                self.extension(&DnAt { dn: row.dn, switch: row.switch });
            }
            DirectoryRow::Queue(_) | DirectoryRow::WrapUpCode(_) | DirectoryRow::Source(_) => {}
        }
    }

    /// Forgets an agent.
    pub fn remove_agent(&mut self, employee_id: &str) {
        if let Some(old) = self.agents.remove(employee_id) {
            for login in &old.logins {
                if self.at.get(login).is_some_and(|at| at == employee_id) {
                    self.at.remove(login);
                }
            }
        }
    }

    /// The GC user of an employee.
    pub fn user_id(&self, employee_id: &str) -> Option<&str> {
        self.agents.get(employee_id).map(|agent| agent.user_id.as_str())
    }

    /// Employee ids of all agents.
    pub fn agents(&self) -> impl Iterator<Item = &String> {
        self.agents.keys()
    }

    /// Whom the configuration has at a DN.
    pub fn at(&self, at: &DnAt) -> Option<&str> {
        self.at.get(at).map(String::as_str)
    }

    /// A DN with its switch: that of the server, else the only one that has such an extension, else
    /// none.
    pub fn place(&self, dn: &str, server: &str) -> DnAt {
        let only = || match self.extensions.get(dn).map(|switches| switches.iter()) {
            Some(mut switches) if switches.len() == 1 => switches.next(),
            Some(_) | None => None,
        };
        let switch = self.switches.get(server).or_else(only).cloned().unwrap_or_default();
        DnAt { dn: dn.to_owned(), switch }
    }

    fn extension(&mut self, at: &DnAt) {
        self.extensions.entry(at.dn.clone()).or_default().insert(at.switch.clone());
    }
}
