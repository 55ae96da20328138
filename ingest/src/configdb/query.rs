//! The reads of one poll, as SQL with the names of a mapping.
//!
//! Whole numbers are cast, for the same column is a number of another type in another kind of
//! database. Options of annexes are asked for by name, so that no secret is ever read.

use trunkline_schemas::configdb::{DnType, ObjectType};

use super::dialect::DatabaseKind;
use super::profile::{Kind, Mapping, Table};

/// The transaction that holds the settings, and the type of such transactions (`CfgTransactionType`
/// List).
pub const TRANSACTION: &str = "hybrid_integration";

/// Options of annexes that are read: type of the object, section, names. Of the transaction (seed
/// 003, "Transaction Annex Folders") those that are needed and are no secrets.
pub const OPTIONS: [(ObjectType, &str, &[&str]); 7] = [
    (ObjectType::Person, "htcc", &["roles"]),
    (ObjectType::AgentGroup, "hybrid", &["WFM_queue_number"]),
    (ObjectType::AgentGroup, "virtual", &["script"]),
    (ObjectType::BusinessAttribute, "htcc", &["contains"]),
    (
        ObjectType::Transaction,
        "config_sync",
        &[
            "agent_role_names",
            "nonagent_role_names",
            "skill_level_max_value",
            "skill_level_min_value",
            "supervisor_role_names",
        ],
    ),
    (
        ObjectType::Transaction,
        "conversation_provider",
        &[
            "recording_enabled",
            "sta_default_language",
            "sta_default_programid",
            "sta_userdata_language_key",
        ],
    ),
    (ObjectType::Transaction, "general", &["organization_id", "organization_sname"]),
];

/// Types whose objects are in folders that count.
const FOLDERED: [ObjectType; 4] =
    [ObjectType::Dn, ObjectType::Person, ObjectType::AgentGroup, ObjectType::Skill];

/// One read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Logical name of the table.
    pub entity: &'static str,
    /// The text. `$1`, if it is there, is the DBID of the tenant.
    pub sql: String,
    /// What each column of the answer holds; times come as milliseconds since 1970.
    pub kinds: Vec<Kind>,
}

impl Query {
    /// Whether the DBID of the tenant is its parameter.
    pub fn has_tenant(&self) -> bool {
        self.sql.contains(TENANT)
    }

    /// The text with the DBID of the tenant in its place.
    pub fn text_for(&self, tenant: i64) -> String {
        self.sql.replace(TENANT, &tenant.to_string())
    }
}

/// Stands for the DBID of the tenant.
const TENANT: &str = "$1";

struct Builder<'m> {
    kind: DatabaseKind,
    mapping: &'m Mapping,
    queries: Vec<Query>,
}

/// The reads of one poll, in their order. Tables that are not there and nobody needs are left out.
pub fn queries(mapping: &Mapping, kind: DatabaseKind) -> Vec<Query> {
    let mut build = Builder { kind, mapping, queries: Vec::new() };
    let of_this = format!("{{tenant}} = {}", kind.whole(TENANT));
    let dn_types = DnType::ALL.map(|kind| kind.number().to_string()).join(", ");
    let folder_types = FOLDERED.map(|kind| kind.number().to_string()).join(", ");
    let group = mapping.agent_group;
    build.add("tenant", &["dbid", "name"], &format!("{{dbid}} = {}", kind.whole(TENANT)));
    build.add("switch", &["dbid", "name"], &of_this);
    let dn = ["dbid", "switch", "type", "number", "alias", "state"];
    build.add("dn", &dn, &format!("{of_this} AND {{type}} IN ({dn_types})"));
    let person = [
        "dbid",
        "user_name",
        "employee_id",
        "e_mail",
        "first_name",
        "last_name",
        "is_agent",
        "state",
    ];
    build.add("person", &person, &of_this);
    build.add("skill", &["dbid", "name", "state"], &of_this);
    let of_tenant = build.of_tenant("skill", "skill");
    build.add("skill_level", &["person", "skill", "level"], &of_tenant);
    let of_type = format!("{of_this} AND {{type}} = {group}");
    build.add("group", &["dbid", "name", "state"], &of_type);
    let of_tenant = build.of_tenant("group", "group");
    build.add("member", &["group", "person"], &of_tenant);
    build.add("attribute", &["dbid", "name", "type", "state"], &of_this);
    let of_tenant = build.of_tenant("attribute", "attribute");
    build.add("attribute_value", &["dbid", "attribute", "name", "state"], &of_tenant);
    let transaction = format!("{of_this} AND {{name}} = '{TRANSACTION}'");
    build.add("transaction", &["dbid", "name", "type", "state"], &transaction);
    build.annex();
    let folder = ["dbid", "name", "type", "owner_type", "owner", "parent_type", "parent"];
    build.add("folder", &folder, &format!("{{type}} IN ({folder_types})"));
    let folder_object = ["folder", "object_type", "object"];
    let where_ = format!("{{object_type}} IN ({folder_types})");
    build.add("folder_object", &folder_object, &where_);
    build.history();
    build.queries
}

impl Builder<'_> {
    fn table(&self, entity: &str) -> Option<&Table> {
        self.mapping.tables.get(entity)
    }

    fn from(&self, table: &Table) -> String {
        format!("{}.{}", self.mapping.schema, table.name)
    }

    /// Adds the read of columns of a table; `{column}` in the condition is a column of it.
    fn add(&mut self, entity: &'static str, columns: &[&str], condition: &str) {
        let Some(table) = self.table(entity) else { return };
        let mut condition = condition.to_owned();
        for (logical, column) in &table.columns {
            condition = condition.replace(&format!("{{{logical}}}"), &column.name);
        }
        let read = columns.iter().map(|logical| self.expression(table, "", logical));
        let read = read.collect::<Vec<_>>().join(", ");
        let kinds = columns.iter().map(|logical| table.columns[logical].kind).collect();
        let sql = format!("SELECT {read} FROM {} WHERE {condition}", self.from(table));
        self.queries.push(Query { entity, sql, kinds });
    }

    /// The condition that `column` refers to a row of `entity` that is of the tenant.
    fn of_tenant(&self, column: &str, entity: &str) -> String {
        let Some(table) = self.table(entity) else { return "1 = 0".to_owned() };
        let (dbid, tenant) = (&table.columns["dbid"].name, &table.columns["tenant"].name);
        format!(
            "{{{column}}} IN (SELECT {dbid} FROM {} WHERE {tenant} = {})",
            self.from(table),
            self.kind.whole(TENANT)
        )
    }

    /// Keys of sections, found through their section: a row without a parent.
    fn annex(&mut self) {
        let Some(table) = self.table("annex") else { return };
        let name = |logical: &str| table.columns[logical].name.as_str();
        let wanted = OPTIONS.iter().map(|(kind, section, names)| {
            let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            format!(
                "(s.{} = {} AND s.{} = '{section}' AND k.{} IN ({}))",
                name("object_type"),
                kind.number(),
                name("name"),
                name("name"),
                names.join(", ")
            )
        });
        let wanted = wanted.collect::<Vec<_>>().join(" OR ");
        let read = [
            self.expression(table, "s.", "object_type"),
            self.expression(table, "s.", "object"),
            self.expression(table, "s.", "name"),
            self.expression(table, "k.", "name"),
            self.expression(table, "k.", "dbid"),
            self.expression(table, "k.", "part"),
            self.expression(table, "k.", "value"),
        ];
        let (from, read) = (self.from(table), read.join(", "));
        let sql = format!(
            "SELECT {read} FROM {from} s JOIN {from} k ON k.{parent} = s.{dbid} \
             WHERE COALESCE(s.{parent}, 0) = 0 AND ({wanted})",
            parent = name("parent"),
            dbid = name("dbid"),
        );
        let kinds = vec![
            Kind::Number,
            Kind::Number,
            Kind::Text,
            Kind::Text,
            Kind::Number,
            Kind::Number,
            Kind::Text,
        ];
        self.queries.push(Query { entity: "annex", sql, kinds });
    }

    /// The last modification of each DN. A creation is none.
    fn history(&mut self) {
        let Some(table) = self.table("history") else { return };
        let name = |logical: &str| table.columns[logical].name.as_str();
        let time = &table.columns["time"];
        let last = format!("MAX({})", time.name);
        let last = self.kind.milliseconds(&last, &time.database_kind);
        let sql = format!(
            "SELECT {}, {last} FROM {} WHERE {} = {} AND {} = {} GROUP BY {}",
            self.expression(table, "", "object"),
            self.from(table),
            name("object_type"),
            ObjectType::Dn.number(),
            name("operation_type"),
            self.mapping.modified,
            name("object"),
        );
        self.queries.push(Query {
            entity: "history",
            sql,
            kinds: vec![Kind::Number, Kind::Number],
        });
    }

    fn expression(&self, table: &Table, prefix: &str, logical: &str) -> String {
        let column = &table.columns[logical];
        let name = format!("{prefix}{}", column.name);
        match column.kind {
            Kind::Number => self.kind.whole(&name),
            Kind::Text | Kind::Time => name,
        }
    }
}
