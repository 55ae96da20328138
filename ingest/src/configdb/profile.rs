//! Physical names as data: a profile proposes them, the catalog of the database decides, and
//! nothing that is missing is passed over in silence.

use std::collections::{BTreeMap, BTreeSet};

/// The profile that comes with the program.
pub const BUILT_IN: &str = include_str!("../../profiles/reconstructed-15.toml");
/// Bytes of a profile.
pub const PROFILE_BYTES_MAX: usize = 256 * 1024;

/// Who needs a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everybody.
    Always,
    /// Whoever filters by folder.
    Folders,
    /// Nobody: without it, something less is known.
    Never,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of whatever type.
    Number,
    /// A text.
    Text,
    /// A time: a time stamp without zone, or seconds since 1970.
    Time,
}

/// A table by its logical name, and its columns by theirs.
#[derive(Debug)]
pub struct Entity {
    /// Its logical name, which is its section of a profile.
    pub name: &'static str,
    /// Who needs it.
    pub need: Need,
    /// Its columns.
    pub columns: &'static [(&'static str, Kind)],
}

const fn entity(
    name: &'static str,
    need: Need,
    columns: &'static [(&'static str, Kind)],
) -> Entity {
    Entity { name, need, columns }
}

use Kind::{Number, Text, Time};

/// Every table that is read.
pub const ENTITIES: [Entity; 15] = [
    entity("tenant", Need::Always, &[("dbid", Number), ("name", Text)]),
    entity("switch", Need::Always, &[("dbid", Number), ("tenant", Number), ("name", Text)]),
    entity(
        "dn",
        Need::Always,
        &[
            ("dbid", Number),
            ("tenant", Number),
            ("switch", Number),
            ("type", Number),
            ("number", Text),
            ("alias", Text),
            ("state", Number),
        ],
    ),
    entity(
        "person",
        Need::Always,
        &[
            ("dbid", Number),
            ("tenant", Number),
            ("user_name", Text),
            ("employee_id", Text),
            ("e_mail", Text),
            ("first_name", Text),
            ("last_name", Text),
            ("is_agent", Number),
            ("state", Number),
        ],
    ),
    entity(
        "skill",
        Need::Always,
        &[("dbid", Number), ("tenant", Number), ("name", Text), ("state", Number)],
    ),
    entity(
        "skill_level",
        Need::Always,
        &[("person", Number), ("skill", Number), ("level", Number)],
    ),
    entity(
        "group",
        Need::Always,
        &[
            ("dbid", Number),
            ("tenant", Number),
            ("type", Number),
            ("name", Text),
            ("state", Number),
        ],
    ),
    entity("member", Need::Always, &[("group", Number), ("person", Number)]),
    entity(
        "attribute",
        Need::Always,
        &[
            ("dbid", Number),
            ("tenant", Number),
            ("name", Text),
            ("type", Number),
            ("state", Number),
        ],
    ),
    entity(
        "attribute_value",
        Need::Always,
        &[("dbid", Number), ("attribute", Number), ("name", Text), ("state", Number)],
    ),
    entity(
        "transaction",
        Need::Always,
        &[
            ("dbid", Number),
            ("tenant", Number),
            ("name", Text),
            ("type", Number),
            ("state", Number),
        ],
    ),
    entity(
        "annex",
        Need::Always,
        &[
            ("dbid", Number),
            ("object", Number),
            ("object_type", Number),
            ("parent", Number),
            ("name", Text),
            ("value", Text),
            ("part", Number),
        ],
    ),
    entity(
        "folder",
        Need::Folders,
        &[
            ("dbid", Number),
            ("name", Text),
            ("type", Number),
            ("owner_type", Number),
            ("owner", Number),
            ("parent_type", Number),
            ("parent", Number),
        ],
    ),
    entity(
        "folder_object",
        Need::Folders,
        &[("folder", Number), ("object_type", Number), ("object", Number)],
    ),
    entity(
        "history",
        Need::Never,
        &[("object_type", Number), ("object", Number), ("operation_type", Number), ("time", Time)],
    ),
];

/// Numbers a profile gives.
const VALUES: [&str; 2] = ["agent_group", "modified"];

/// A profile: names to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    values: BTreeMap<String, i64>,
    /// By logical table and column, `table` for the table itself.
    names: BTreeMap<(String, String), Vec<String>>,
}

/// Why a text is no profile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profile is not usable: {0}")]
pub struct ProfileError(pub String);

impl Profile {
    /// The profile that comes with the program.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the built-in profile is one, as the tests show")
    }

    /// Reads a profile. Every logical name must be there, and no other one.
    ///
    /// # Errors
    /// [`ProfileError`], which names what is wrong.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let bad = |what: String| ProfileError(what);
        let table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
        let name = table.get("name").and_then(toml::Value::as_str);
        let name = name.ok_or_else(|| bad("it has no `name`".to_owned()))?.to_owned();
        let known: BTreeSet<&str> =
            ENTITIES.iter().map(|entity| entity.name).chain(["name", "values"]).collect();
        if let Some(key) = table.keys().find(|key| !known.contains(key.as_str())) {
            return Err(bad(format!("it has `{key}`, which is not known")));
        }
        let values = section(&table, "values")?;
        let values = VALUES.iter().map(|value| {
            let number = values.get(*value).and_then(toml::Value::as_integer);
            let number = number.ok_or_else(|| bad(format!("`values.{value}` is no number")))?;
            Ok(((*value).to_owned(), number))
        });
        let values = values.collect::<Result<_, ProfileError>>()?;
        let mut names = BTreeMap::new();
        for entity in &ENTITIES {
            let section = section(&table, entity.name)?;
            let mut left: BTreeSet<&str> = section.keys().map(String::as_str).collect();
            for column in std::iter::once("table").chain(entity.columns.iter().map(|c| c.0)) {
                left.remove(column);
                let place = format!("{}.{column}", entity.name);
                let candidates = candidates(section.get(column), &place)?;
                names.insert((entity.name.to_owned(), column.to_owned()), candidates);
            }
            if let Some(more) = left.first() {
                return Err(bad(format!("it has `{}.{more}`, which is not known", entity.name)));
            }
        }
        Ok(Self { name, values, names })
    }

    /// Names to look for.
    pub fn candidates(&self, entity: &str, column: &str) -> &[String] {
        let found = self.names.get(&(entity.to_owned(), column.to_owned()));
        found.map_or(&[], Vec::as_slice)
    }

    fn value(&self, name: &str) -> i64 {
        self.values.get(name).copied().unwrap_or_default()
    }
}

fn section<'t>(table: &'t toml::Table, name: &str) -> Result<&'t toml::Table, ProfileError> {
    let section = table.get(name).and_then(toml::Value::as_table);
    section.ok_or_else(|| ProfileError(format!("it has no section `{name}`")))
}

/// Names to look for; a name is letters, digits and `_`, so that it needs no quotes in SQL.
fn candidates(value: Option<&toml::Value>, place: &str) -> Result<Vec<String>, ProfileError> {
    let bad = || ProfileError(format!("`{place}` is no list of names"));
    let list = value.and_then(toml::Value::as_array).ok_or_else(bad)?;
    let is_name = |name: &&str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty()
            && name.chars().all(fits)
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let names = list.iter().map(|name| name.as_str().filter(is_name).map(str::to_lowercase));
    let names: Option<Vec<String>> = names.collect();
    names.filter(|names| !names.is_empty()).ok_or_else(bad)
}

/// A column as the catalog of a database has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CatalogColumn {
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its type, as the database calls it.
    pub kind: String,
}

/// A column as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the database.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Its type, as the database calls it.
    pub database_kind: String,
}

/// A table as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name in the database.
    pub name: String,
    /// Its columns by logical name.
    pub columns: BTreeMap<&'static str, Column>,
}

/// A profile that fits a database: what every logical name is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Schema of all tables.
    pub schema: String,
    /// Tables by logical name; one that nobody needs may not be there.
    pub tables: BTreeMap<&'static str, Table>,
    /// `cfg_group.group_type` of agent groups.
    pub agent_group: i64,
    /// Operation type of a modification in the history.
    pub modified: i64,
}

/// Something the database does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Logical table.
    pub entity: &'static str,
    /// Logical column; nothing: the table itself.
    pub column: Option<&'static str>,
    /// Names that were looked for.
    pub tried: Vec<String>,
    /// The table it is missing in.
    pub table: Option<String>,
    /// Who needs it.
    pub need: Need,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tried = self.tried.join(", ");
        match (self.column, &self.table) {
            (Some(column), Some(table)) => {
                write!(f, "{}.{column}: table {table} has no column {tried}", self.entity)
            }
            (Some(_) | None, _) => write!(f, "{}: there is no table {tried}", self.entity),
        }
    }
}

/// What a resolution came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What was found.
    pub mapping: Mapping,
    /// What was not.
    pub missing: Vec<Missing>,
}

impl Resolution {
    /// The mapping, if nothing that is needed is missing.
    ///
    /// # Errors
    /// All that is missing and needed.
    pub fn usable(self, by_folder: bool) -> Result<Mapping, Vec<Missing>> {
        let is_needed = |missing: &Missing| match missing.need {
            Need::Always => true,
            Need::Folders => by_folder,
            Need::Never => false,
        };
        let needed: Vec<Missing> = self.missing.into_iter().filter(is_needed).collect();
        if needed.is_empty() { Ok(self.mapping) } else { Err(needed) }
    }
}

/// Holds a profile against the catalog of a database. A table of which a column is missing is left
/// out as a whole. Names are compared without regard to case.
pub fn resolve(profile: &Profile, schema: &str, catalog: &[CatalogColumn]) -> Resolution {
    let mut tables: BTreeMap<String, BTreeMap<String, &CatalogColumn>> = BTreeMap::new();
    for column in catalog {
        let table = tables.entry(column.table.to_lowercase()).or_default();
        table.insert(column.column.to_lowercase(), column);
    }
    let mut mapping = Mapping {
        schema: schema.to_owned(),
        tables: BTreeMap::new(),
        agent_group: profile.value("agent_group"),
        modified: profile.value("modified"),
    };
    let mut missing = Vec::new();
    for entity in &ENTITIES {
        let tried = profile.candidates(entity.name, "table");
        let gone = |column, tried: &[String], table| Missing {
            entity: entity.name,
            column,
            tried: tried.to_vec(),
            table,
            need: entity.need,
        };
        let Some((name, columns)) = tried.iter().find_map(|name| Some((name, tables.get(name)?)))
        else {
            missing.push(gone(None, tried, None));
            continue;
        };
        let mut table = Table { name: name.clone(), columns: BTreeMap::new() };
        let before = missing.len();
        for (column, kind) in entity.columns {
            let tried = profile.candidates(entity.name, column);
            match tried.iter().find_map(|name| columns.get(name)) {
                Some(found) => {
                    let (name, database_kind) = (found.column.clone(), found.kind.clone());
                    table.columns.insert(column, Column { name, kind: *kind, database_kind });
                }
                None => missing.push(gone(Some(column), tried, Some(name.clone()))),
            }
        }
        if missing.len() == before {
            mapping.tables.insert(entity.name, table);
        }
    }
    Resolution { mapping, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every table and column by the first name of the built-in profile.
    fn whole() -> Vec<CatalogColumn> {
        let profile = Profile::built_in();
        let mut catalog = Vec::new();
        for entity in &ENTITIES {
            for (column, _) in entity.columns {
                catalog.push(CatalogColumn {
                    table: profile.candidates(entity.name, "table")[0].clone(),
                    column: profile.candidates(entity.name, column)[0].clone(),
                    kind: "numeric".to_owned(),
                });
            }
        }
        catalog
    }

    #[test]
    fn a_whole_catalog_misses_nothing() {
        let found = resolve(&Profile::built_in(), "genesys", &whole());
        assert_eq!(found.missing, []);
        let mapping = found.usable(true).expect("it is usable");
        assert_eq!(mapping.tables.len(), ENTITIES.len());
        assert_eq!(mapping.tables["dn"].columns["number"].name, "number_");
        assert_eq!((mapping.agent_group, mapping.modified), (5, 2));
    }

    #[test]
    fn what_is_missing_is_named_and_refused_by_whoever_needs_it() {
        // left out; with folders and without; what is said
        for (table, column, with, without, said) in [
            (
                "cfg_person",
                "e_mail",
                1,
                1,
                "person.e_mail: table cfg_person has no column e_mail, email, email_address, \
                 emailaddress",
            ),
            ("cfg_skill", "*", 1, 1, "skill: there is no table cfg_skill"),
            (
                "cfg_folder_object",
                "*",
                1,
                0,
                "folder_object: there is no table cfg_folder_object, cfg_obj_folder, \
                 cfg_object_folder",
            ),
            (
                "cfg_folder",
                "owner_type",
                1,
                0,
                "folder.owner_type: table cfg_folder has no column owner_type",
            ),
            ("cfg_hdb_operation", "*", 0, 0, "history: there is no table cfg_hdb_operation"),
            (
                "cfg_hdb_operation",
                "op_time",
                0,
                0,
                "history.time: table cfg_hdb_operation has no column op_time",
            ),
        ] {
            let mut catalog = whole();
            catalog.retain(|c| c.table != table || (column != "*" && c.column != column));
            let found = resolve(&Profile::built_in(), "genesys", &catalog);
            let texts: Vec<_> = found.missing.iter().map(ToString::to_string).collect();
            assert_eq!(texts, [said]);
            let refused = |by| found.clone().usable(by).map_or_else(|m| m.len(), |_| 0);
            assert_eq!((refused(true), refused(false)), (with, without), "{said}");
        }
        assert_eq!(resolve(&Profile::built_in(), "dbo", &[]).missing.len(), ENTITIES.len());
    }

    #[test]
    fn other_names_and_other_cases_are_found() {
        let mut catalog = whole();
        for column in &mut catalog {
            if column.column == "e_mail" {
                column.column = "EMailAddress".to_owned();
            }
            column.table = column.table.to_uppercase();
        }
        let found = resolve(&Profile::built_in(), "dbo", &catalog);
        assert_eq!(found.missing, []);
        assert_eq!(found.mapping.tables["person"].columns["e_mail"].name, "EMailAddress");
    }

    #[test]
    fn a_text_that_is_no_profile_is_refused_with_a_reason() {
        let built_in = BUILT_IN;
        for (text, said) in [
            ("name =".to_owned(), "the profile is not usable"),
            (built_in.replacen("name = \"reconstructed-15\"", "", 1), "it has no `name`"),
            (built_in.replace("[skill]", "[skills]"), "it has `skills`, which is not known"),
            (built_in.replace("agent_group = 5", ""), "`values.agent_group` is no number"),
            (
                built_in.replace("[\"level_\", \"level\"]", "\"level_\""),
                "`skill_level.level` is no list of names",
            ),
            (
                built_in.replace("\"level_\"", "\"level; drop table x\""),
                "`skill_level.level` is no list of names",
            ),
            (
                built_in.replace("[member]", "[member]\nlevel = [\"x\"]"),
                "it has `member.level`, which is not known",
            ),
        ] {
            let error = Profile::parse(&text).expect_err(said).to_string();
            assert!(error.contains(said), "{error} does not say {said}");
        }
    }
}
