//! What a real database has: its tables against the profile, and the numbers in the columns whose
//! values are not public. One run at a site turns assumptions into facts.

use super::database::{DatabaseConfig, DbError, Session};
use super::dialect::DatabaseKind;
use super::profile::{CatalogColumn, Kind, Mapping, Profile, Resolution, resolve};
use super::query::Query;
use super::rows::Cell;

/// Beginning of the names of all tables of a configuration database.
const PREFIX: &str = "cfg_";
/// Columns whose distinct values are counted.
const COUNTED: [(&str, &str); 9] = [
    ("group", "type"),
    ("dn", "type"),
    ("person", "is_agent"),
    ("person", "state"),
    ("attribute", "type"),
    ("transaction", "type"),
    ("annex", "part"),
    ("folder", "type"),
    ("history", "operation_type"),
];
/// Distinct values of a column that are shown.
const VALUES_MAX: usize = 100;

/// How often each value of a column is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Logical table.
    pub entity: &'static str,
    /// Logical column.
    pub column: &'static str,
    /// Value, if there is one, and rows.
    pub values: Vec<(Option<i64>, i64)>,
}

/// What a database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Columns of its `cfg_…` tables.
    pub columns: Vec<CatalogColumn>,
    /// The profile held against it.
    pub resolution: Resolution,
    /// Tenants: DBID and name.
    pub tenants: Vec<(i64, String)>,
    /// Distinct values.
    pub counted: Vec<Counted>,
}

/// Looks into a database. Reads nothing that is secret or of a person.
///
/// # Errors
/// [`DbError`]
pub async fn probe(
    database: &DatabaseConfig,
    schema: &str,
    profile: &Profile,
) -> Result<Probe, DbError> {
    let look = async |session: &mut Session| {
        let catalog = session.catalog(schema).await?;
        let resolution = resolve(profile, schema, &catalog);
        let queries = reads(&resolution.mapping, database.kind);
        let mut tenants = Vec::new();
        let mut counted = Vec::new();
        for (query, of) in queries {
            let rows = session.read(std::slice::from_ref(&query), 0).await?;
            let rows = rows.into_values().flatten();
            match of {
                None => tenants.extend(rows.filter_map(tenant)),
                Some((entity, column)) => {
                    let values = rows.filter_map(count).take(VALUES_MAX).collect();
                    counted.push(Counted { entity, column, values });
                }
            }
        }
        let mut columns = catalog;
        columns.retain(|column| column.table.to_lowercase().starts_with(PREFIX));
        Ok(Probe { columns, resolution, tenants, counted })
    };
    database.within(&mut None, look).await
}

type Of = Option<(&'static str, &'static str)>;

fn reads(mapping: &Mapping, kind: DatabaseKind) -> Vec<(Query, Of)> {
    let mut reads = Vec::new();
    if let Some(table) = mapping.tables.get("tenant") {
        let (dbid, name) = (&table.columns["dbid"].name, &table.columns["name"].name);
        let from = format!("{}.{}", mapping.schema, table.name);
        let sql = format!("SELECT {}, {name} FROM {from} ORDER BY 1", kind.whole(dbid));
        let kinds = vec![Kind::Number, Kind::Text];
        reads.push((Query { entity: "tenant", sql, kinds }, None));
    }
    for (entity, column) in COUNTED {
        let Some(table) = mapping.tables.get(entity) else { continue };
        let name = &table.columns[column].name;
        let from = format!("{}.{}", mapping.schema, table.name);
        let sql = format!(
            "SELECT {}, {} FROM {from} GROUP BY {name} ORDER BY 1",
            kind.whole(name),
            kind.whole("COUNT(*)")
        );
        let kinds = vec![Kind::Number, Kind::Number];
        reads.push((Query { entity, sql, kinds }, Some((entity, column))));
    }
    reads
}

fn tenant(row: Vec<Cell>) -> Option<(i64, String)> {
    match <[Cell; 2]>::try_from(row).ok()? {
        [Cell::Number(dbid), Cell::Text(name)] => Some((dbid, name)),
        [Cell::Number(dbid), Cell::Null | Cell::Number(_)] => Some((dbid, String::new())),
        [Cell::Null | Cell::Text(_), _] => None,
    }
}

fn count(row: Vec<Cell>) -> Option<(Option<i64>, i64)> {
    match <[Cell; 2]>::try_from(row).ok()? {
        [Cell::Number(value), Cell::Number(rows)] => Some((Some(value), rows)),
        [Cell::Null | Cell::Text(_), Cell::Number(rows)] => Some((None, rows)),
        [_, Cell::Null | Cell::Text(_)] => None,
    }
}
