//! Rows into objects. A text that is empty and one that is not there are the same, for one kind of
//! database cannot tell them apart.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use trunkline_schemas::ConfigObject;
use trunkline_schemas::configdb::{
    AgentGroup, AnnexOption, AttributeValue, BusinessAttribute, Dn, DnType, Folder, ObjectType,
    Person, Skill, SkillLevel, Switch, Tenant, Transaction,
};

use super::query::{OPTIONS, TRANSACTION};

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Rows of one poll by the logical name of their table, columns as the query names them.
pub type Rows = BTreeMap<&'static str, Vec<Vec<Cell>>>;

/// Why rows make no configuration. Never what stands in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A row without one of the numbers that say what it is of.
    #[error("a row of {0} has no number where one must be")]
    NoNumber(&'static str),
    /// The same object twice.
    #[error("a row of {0} is there twice")]
    Twice(&'static str),
    /// The tenant itself is not there.
    #[error("there is no tenant of DBID {0}")]
    NoTenant(i64),
}

/// The whole configuration of a tenant at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Every object by its key.
    pub objects: BTreeMap<String, ConfigObject>,
    /// SHA-256 of them all, hexadecimal.
    pub digest: String,
}

/// `CfgObjectState`: enabled, and deleted, which is as if it were not there.
const ENABLED: i64 = 1;
const DELETED: i64 = 3;
/// `CfgFlag`: true.
const TRUE: i64 = 2;
/// `CfgEnumeratorType`: interaction operational attribute.
const OPERATIONAL: i64 = 1;
/// `CfgTransactionType`: list.
const LIST: i64 = 21;

impl Snapshot {
    /// Of objects, which must differ in their keys.
    pub fn new(objects: BTreeMap<String, ConfigObject>) -> Self {
        let mut hash = Sha256::new();
        for object in objects.values() {
            hash.update(serde_json::to_vec(object).expect("objects have string keys only"));
            hash.update(b"\n");
        }
        let digest = format!("{:x}", hash.finalize());
        Self { objects, digest }
    }

    /// From the rows of one poll.
    ///
    /// # Errors
    /// [`RowError`]: the poll must not be used.
    pub fn of(rows: &Rows, tenant: i64) -> Result<Self, RowError> {
        let mut build = Build { rows, tenant, objects: BTreeMap::new() };
        build.tenant()?;
        build.switches()?;
        let annex = annex(rows)?;
        let folders = folders_of(rows)?;
        build.dns(&folders)?;
        build.persons(&annex, &folders)?;
        build.skills(&folders)?;
        build.groups(&annex, &folders)?;
        build.attributes(&annex)?;
        build.transactions(&annex)?;
        build.folders()?;
        Ok(Self::new(build.objects))
    }
}

/// An annex option of an object: type, DBID, section, name.
type Annex = BTreeMap<(i64, i64, String, String), String>;
/// Folders by type and DBID of the objects in them.
type Folders = BTreeMap<(i64, i64), i64>;

struct Build<'r> {
    rows: &'r Rows,
    tenant: i64,
    objects: BTreeMap<String, ConfigObject>,
}

fn of<'r>(rows: &'r Rows, entity: &str) -> &'r [Vec<Cell>] {
    rows.get(entity).map_or(&[], Vec::as_slice)
}

fn number(row: &[Cell], at: usize) -> Option<i64> {
    match row.get(at) {
        Some(Cell::Number(number)) => Some(*number),
        Some(Cell::Null | Cell::Text(_)) | None => None,
    }
}

fn must(row: &[Cell], at: usize, entity: &'static str) -> Result<i64, RowError> {
    number(row, at).ok_or(RowError::NoNumber(entity))
}

fn text(row: &[Cell], at: usize) -> String {
    match row.get(at) {
        Some(Cell::Text(text)) => text.clone(),
        Some(Cell::Null | Cell::Number(_)) | None => String::new(),
    }
}

/// Rows whose state, in that column, is not *Deleted*.
fn alive<'r>(rows: &'r Rows, entity: &str, state: usize) -> impl Iterator<Item = &'r Vec<Cell>> {
    of(rows, entity).iter().filter(move |row| number(row, state) != Some(DELETED))
}

fn enabled(row: &[Cell], state: usize) -> bool {
    number(row, state) == Some(ENABLED)
}

fn option(annex: &Annex, kind: ObjectType, dbid: i64, section: &str, name: &str) -> Option<String> {
    annex.get(&(kind.number(), dbid, section.to_owned(), name.to_owned())).cloned()
}

/// Values of several parts are put together. Names are compared here too, with regard to case.
fn annex(rows: &Rows) -> Result<Annex, RowError> {
    let entity = "annex";
    let mut parts = Vec::new();
    for row in of(rows, entity) {
        let (kind, object) = (must(row, 0, entity)?, must(row, 1, entity)?);
        let (section, name) = (text(row, 2), text(row, 3));
        let (dbid, part) = (must(row, 4, entity)?, must(row, 5, entity)?);
        let is_wanted = OPTIONS.iter().any(|(wanted, of, names)| {
            wanted.number() == kind && *of == section && names.contains(&name.as_str())
        });
        if is_wanted {
            parts.push(((kind, object, section, name), dbid, part, text(row, 6)));
        }
    }
    parts.sort();
    let mut annex = Annex::new();
    let mut first: BTreeMap<(i64, i64, String, String), i64> = BTreeMap::new();
    for (key, dbid, _, value) in parts {
        // Of an option that stands there twice, the older one counts.
        if *first.entry(key.clone()).or_insert(dbid) == dbid {
            annex.entry(key).or_default().push_str(&value);
        }
    }
    annex.retain(|_, value| !value.is_empty());
    Ok(annex)
}

fn folders_of(rows: &Rows) -> Result<Folders, RowError> {
    let entity = "folder_object";
    let mut folders = Folders::new();
    for row in of(rows, entity) {
        let object = (must(row, 1, entity)?, must(row, 2, entity)?);
        folders.insert(object, must(row, 0, entity)?);
    }
    Ok(folders)
}

/// Rows by the number in a column.
fn grouped<'r>(
    rows: &'r Rows,
    entity: &'static str,
    by: usize,
) -> Result<BTreeMap<i64, Vec<&'r Vec<Cell>>>, RowError> {
    let mut groups: BTreeMap<i64, Vec<&Vec<Cell>>> = BTreeMap::new();
    for row in of(rows, entity) {
        groups.entry(must(row, by, entity)?).or_default().push(row);
    }
    Ok(groups)
}

impl Build<'_> {
    fn put(&mut self, entity: &'static str, object: ConfigObject) -> Result<(), RowError> {
        match self.objects.insert(object.key(), object) {
            Some(_) => Err(RowError::Twice(entity)),
            None => Ok(()),
        }
    }

    fn tenant(&mut self) -> Result<(), RowError> {
        for row in of(self.rows, "tenant") {
            let (dbid, name) = (must(row, 0, "tenant")?, text(row, 1));
            self.put("tenant", ConfigObject::Tenant(Tenant { dbid, name }))?;
        }
        let is_there = self.objects.values().any(|object| object.dbid() == self.tenant);
        if is_there { Ok(()) } else { Err(RowError::NoTenant(self.tenant)) }
    }

    fn switches(&mut self) -> Result<(), RowError> {
        for row in of(self.rows, "switch") {
            let (dbid, name) = (must(row, 0, "switch")?, text(row, 1));
            self.put("switch", ConfigObject::Switch(Switch { dbid, name }))?;
        }
        Ok(())
    }

    fn dns(&mut self, folders: &Folders) -> Result<(), RowError> {
        let mut modified = BTreeMap::new();
        for row in of(self.rows, "history") {
            modified.insert(must(row, 0, "history")?, number(row, 1));
        }
        for row in alive(self.rows, "dn", 5) {
            let dbid = must(row, 0, "dn")?;
            let Some(kind) = DnType::of_number(must(row, 2, "dn")?) else { continue };
            let dn = Dn {
                dbid,
                switch: must(row, 1, "dn")?,
                kind,
                number: text(row, 3),
                alias: text(row, 4),
                enabled: enabled(row, 5),
                folder: folders.get(&(ObjectType::Dn.number(), dbid)).copied(),
                modified_ms: modified.get(&dbid).copied().flatten(),
            };
            self.put("dn", ConfigObject::Dn(dn))?;
        }
        Ok(())
    }

    fn persons(&mut self, annex: &Annex, folders: &Folders) -> Result<(), RowError> {
        let levels = grouped(self.rows, "skill_level", 0)?;
        for row in alive(self.rows, "person", 7) {
            let dbid = must(row, 0, "person")?;
            let mut skills = Vec::new();
            for held in levels.get(&dbid).into_iter().flatten() {
                let skill = must(held, 1, "skill_level")?;
                // Without a level, the skill says nothing.
                skills.extend(number(held, 2).map(|level| SkillLevel { skill, level }));
            }
            skills.sort();
            if skills.windows(2).any(|two| two[0].skill == two[1].skill) {
                return Err(RowError::Twice("skill_level"));
            }
            let person = Person {
                dbid,
                user_name: text(row, 1),
                employee_id: text(row, 2),
                e_mail: text(row, 3),
                first_name: text(row, 4),
                last_name: text(row, 5),
                is_agent: number(row, 6) == Some(TRUE),
                enabled: enabled(row, 7),
                folder: folders.get(&(ObjectType::Person.number(), dbid)).copied(),
                roles: option(annex, ObjectType::Person, dbid, "htcc", "roles"),
                skills,
            };
            self.put("person", ConfigObject::Person(person))?;
        }
        Ok(())
    }

    fn skills(&mut self, folders: &Folders) -> Result<(), RowError> {
        for row in alive(self.rows, "skill", 2) {
            let (dbid, name) = (must(row, 0, "skill")?, text(row, 1));
            let folder = folders.get(&(ObjectType::Skill.number(), dbid)).copied();
            let skill = Skill { dbid, name, enabled: enabled(row, 2), folder };
            self.put("skill", ConfigObject::Skill(skill))?;
        }
        Ok(())
    }

    fn groups(&mut self, annex: &Annex, folders: &Folders) -> Result<(), RowError> {
        let kind = ObjectType::AgentGroup;
        let members = grouped(self.rows, "member", 0)?;
        for row in alive(self.rows, "group", 2) {
            let dbid = must(row, 0, "group")?;
            let listed = members.get(&dbid).into_iter().flatten();
            let listed = listed.map(|row| must(row, 1, "member"));
            let listed: BTreeSet<i64> = listed.collect::<Result<_, _>>()?;
            let group = AgentGroup {
                dbid,
                name: text(row, 1),
                enabled: enabled(row, 2),
                folder: folders.get(&(kind.number(), dbid)).copied(),
                queue: option(annex, kind, dbid, "hybrid", "WFM_queue_number"),
                script: option(annex, kind, dbid, "virtual", "script"),
                members: listed.into_iter().collect(),
            };
            self.put("group", ConfigObject::AgentGroup(group))?;
        }
        Ok(())
    }

    fn attributes(&mut self, annex: &Annex) -> Result<(), RowError> {
        let kind = ObjectType::BusinessAttribute;
        let values = grouped(self.rows, "attribute_value", 1)?;
        for row in alive(self.rows, "attribute", 3) {
            let dbid = must(row, 0, "attribute")?;
            let mut found = Vec::new();
            for value in values.get(&dbid).into_iter().flatten() {
                if number(value, 3) != Some(DELETED) {
                    let dbid = must(value, 0, "attribute_value")?;
                    let (name, enabled) = (text(value, 2), enabled(value, 3));
                    found.push(AttributeValue { dbid, name, enabled });
                }
            }
            found.sort();
            let attribute = BusinessAttribute {
                dbid,
                name: text(row, 1),
                operational: number(row, 2) == Some(OPERATIONAL),
                enabled: enabled(row, 3),
                contains: option(annex, kind, dbid, "htcc", "contains"),
                values: found,
            };
            self.put("attribute", ConfigObject::BusinessAttribute(attribute))?;
        }
        Ok(())
    }

    fn transactions(&mut self, annex: &Annex) -> Result<(), RowError> {
        let kind = ObjectType::Transaction;
        for row in alive(self.rows, "transaction", 3) {
            let (dbid, name) = (must(row, 0, "transaction")?, text(row, 1));
            if name != TRANSACTION || number(row, 2) != Some(LIST) {
                continue;
            }
            let mut options = Vec::new();
            for (_, section, names) in OPTIONS.iter().filter(|(of, ..)| *of == kind) {
                for name in *names {
                    let value = option(annex, kind, dbid, section, name);
                    let (section, name) = ((*section).to_owned(), (*name).to_owned());
                    options.extend(value.map(|value| AnnexOption { section, name, value }));
                }
            }
            let transaction = Transaction { dbid, name, options };
            self.put("transaction", ConfigObject::Transaction(transaction))?;
        }
        Ok(())
    }

    /// Folders of the tenant and of its switches.
    fn folders(&mut self) -> Result<(), RowError> {
        let switches = of(self.rows, "switch").iter().filter_map(|row| number(row, 0));
        let switches = switches.map(|dbid| (ObjectType::Switch.number(), dbid));
        let tenant = (ObjectType::Tenant.number(), self.tenant);
        let owners: BTreeSet<(i64, i64)> = switches.chain([tenant]).collect();
        for row in of(self.rows, "folder") {
            let owner = number(row, 3).zip(number(row, 4));
            if !owner.is_some_and(|owner| owners.contains(&owner)) {
                continue;
            }
            let is_folder = number(row, 5) == Some(ObjectType::Folder.number());
            let folder = Folder {
                dbid: must(row, 0, "folder")?,
                name: text(row, 1),
                kind: must(row, 2, "folder")?,
                parent: number(row, 6).filter(|_| is_folder),
            };
            self.put("folder", ConfigObject::Folder(folder))?;
        }
        Ok(())
    }
}
