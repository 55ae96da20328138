//! The Engage configuration in memory, and which part of it is to be synchronised.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::configdb::{
    AgentGroup, BusinessAttribute, ConfigObject, Dn, Folder, ObjectType, Person, Skill, Switch,
    Tenant, Transaction,
};

use super::report::{Report, ReportCode};

/// Deepest folder; a cycle of folders ends here.
const FOLDER_DEPTH_MAX: usize = 100;
/// The transaction that holds the settings.
const TRANSACTION: &str = "hybrid_integration";

/// Every object, by its DBID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engage {
    /// The tenant; one at most.
    pub tenants: BTreeMap<i64, Tenant>,
    /// Switches.
    pub switches: BTreeMap<i64, Switch>,
    /// DNs.
    pub dns: BTreeMap<i64, Dn>,
    /// Persons.
    pub persons: BTreeMap<i64, Person>,
    /// Skills.
    pub skills: BTreeMap<i64, Skill>,
    /// Agent groups.
    pub groups: BTreeMap<i64, AgentGroup>,
    /// Business attributes.
    pub attributes: BTreeMap<i64, BusinessAttribute>,
    /// Transactions.
    pub transactions: BTreeMap<i64, Transaction>,
    /// Folders.
    pub folders: BTreeMap<i64, Folder>,
}

impl Engage {
    /// Takes an object as it is now.
    pub fn put(&mut self, object: ConfigObject) {
        match object {
            ConfigObject::Tenant(it) => drop(self.tenants.insert(it.dbid, it)),
            ConfigObject::Switch(it) => drop(self.switches.insert(it.dbid, it)),
            ConfigObject::Dn(it) => drop(self.dns.insert(it.dbid, it)),
            ConfigObject::Person(it) => drop(self.persons.insert(it.dbid, it)),
            ConfigObject::Skill(it) => drop(self.skills.insert(it.dbid, it)),
            ConfigObject::AgentGroup(it) => drop(self.groups.insert(it.dbid, it)),
            ConfigObject::BusinessAttribute(it) => drop(self.attributes.insert(it.dbid, it)),
            ConfigObject::Transaction(it) => drop(self.transactions.insert(it.dbid, it)),
            ConfigObject::Folder(it) => drop(self.folders.insert(it.dbid, it)),
            ConfigObject::Poll(_) => {}
        }
    }

    /// An object is gone.
    pub fn remove(&mut self, kind: ObjectType, dbid: i64) {
        match kind {
            ObjectType::Tenant => drop(self.tenants.remove(&dbid)),
            ObjectType::Switch => drop(self.switches.remove(&dbid)),
            ObjectType::Dn => drop(self.dns.remove(&dbid)),
            ObjectType::Person => drop(self.persons.remove(&dbid)),
            ObjectType::Skill => drop(self.skills.remove(&dbid)),
            ObjectType::AgentGroup => drop(self.groups.remove(&dbid)),
            ObjectType::BusinessAttribute => drop(self.attributes.remove(&dbid)),
            ObjectType::Transaction => drop(self.transactions.remove(&dbid)),
            ObjectType::Folder => drop(self.folders.remove(&dbid)),
        }
    }

    /// An object as it is kept.
    pub fn get(&self, kind: ObjectType, dbid: i64) -> Option<ConfigObject> {
        match kind {
            ObjectType::Tenant => self.tenants.get(&dbid).cloned().map(ConfigObject::Tenant),
            ObjectType::Switch => self.switches.get(&dbid).cloned().map(ConfigObject::Switch),
            ObjectType::Dn => self.dns.get(&dbid).cloned().map(ConfigObject::Dn),
            ObjectType::Person => self.persons.get(&dbid).cloned().map(ConfigObject::Person),
            ObjectType::Skill => self.skills.get(&dbid).cloned().map(ConfigObject::Skill),
            ObjectType::AgentGroup => self.groups.get(&dbid).cloned().map(ConfigObject::AgentGroup),
            ObjectType::BusinessAttribute => {
                self.attributes.get(&dbid).cloned().map(ConfigObject::BusinessAttribute)
            }
            ObjectType::Transaction => {
                self.transactions.get(&dbid).cloned().map(ConfigObject::Transaction)
            }
            ObjectType::Folder => self.folders.get(&dbid).cloned().map(ConfigObject::Folder),
        }
    }

    /// The transaction that holds the settings.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transactions.values().find(|transaction| transaction.name == TRANSACTION)
    }

    /// Name of a switch.
    pub fn switch_name(&self, dbid: i64) -> Option<&str> {
        let name = self.switches.get(&dbid)?.name.trim();
        Some(name).filter(|name| !name.is_empty())
    }
}

/// Which objects are to be synchronised (seed 003, "Folder Filtering"): those in a folder of one of
/// the names, at whatever level, or below it, in each unit by itself.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Folders that count; nothing: everything is in scope.
    folders: Option<BTreeSet<i64>>,
}

/// Types whose objects are selected by folder.
pub const FILTERED: [ObjectType; 4] =
    [ObjectType::Person, ObjectType::Skill, ObjectType::Dn, ObjectType::AgentGroup];

impl Scope {
    /// The scope by folder names.
    ///
    /// # Errors
    /// No folder has any of the names: what is to be synchronised is then not known.
    pub fn new(
        engage: &Engage,
        names: Option<&[String]>,
        reports: &mut Vec<Report>,
    ) -> Result<Self, Report> {
        let Some(names) = names else { return Ok(Self::default()) };
        let names: BTreeSet<&str> = names.iter().map(|name| name.trim()).collect();
        let is_filtered = |folder: &Folder| FILTERED.iter().any(|k| k.number() == folder.kind);
        let units = || engage.folders.values().filter(|folder| is_filtered(folder));
        let known: BTreeSet<&str> = units().map(|folder| folder.name.as_str()).collect();
        let missing = names.difference(&known).map(|name| format!("folder-name/{name}"));
        let missing: Vec<_> =
            missing.map(|name| Report::new(ReportCode::FolderNotFound, name)).collect();
        if missing.len() == names.len() {
            return Err(Report::new(ReportCode::NoFolderFound, "folder-name"));
        }
        reports.extend(missing);
        let is_in = |folder: &&Folder| is_below(engage, folder, &names);
        let folders = units().filter(is_in).map(|folder| folder.dbid).collect();
        Ok(Self { folders: Some(folders) })
    }

    /// Whether an object in that folder is in scope.
    pub fn has(&self, folder: Option<i64>) -> bool {
        let Some(folders) = &self.folders else { return true };
        folder.is_some_and(|folder| folders.contains(&folder))
    }
}

/// Whether a folder, or one that it is in, has one of the names; all of one unit.
fn is_below(engage: &Engage, folder: &Folder, names: &BTreeSet<&str>) -> bool {
    let parent = |inner: &&Folder| {
        let parent = inner.parent.and_then(|parent| engage.folders.get(&parent));
        parent.filter(|parent| parent.kind == folder.kind)
    };
    std::iter::successors(Some(folder), parent)
        .take(FOLDER_DEPTH_MAX)
        .any(|folder| names.contains(folder.name.as_str()))
}
