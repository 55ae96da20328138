//! Rows that come from no database: a JSON object of tables by their logical names, each a list of
//! rows, each a list of columns in the order of the reads ([`super::query`]).

use serde_json::Value;

use super::profile::ENTITIES;
use super::rows::{Cell, Rows};

/// Reads them. Tables that are not there have no rows.
///
/// # Errors
/// A text that names the table which is none, or holds what no database would.
pub fn rows(tables: &Value) -> Result<Rows, String> {
    let tables = tables.as_object().ok_or("the tables are no JSON object")?;
    let mut rows = Rows::new();
    for (name, table) in tables {
        let entity = ENTITIES.iter().find(|entity| entity.name == name);
        let entity = entity.ok_or_else(|| format!("there is no table {name}"))?;
        let bad = || format!("the table {name} is not rows of texts and whole numbers");
        let row = |row: &Value| row.as_array()?.iter().map(cell).collect::<Option<Vec<_>>>();
        let read = table.as_array().and_then(|table| table.iter().map(row).collect());
        rows.insert(entity.name, read.ok_or_else(bad)?);
    }
    Ok(rows)
}

fn cell(value: &Value) -> Option<Cell> {
    match value {
        Value::Null => Some(Cell::Null),
        Value::Number(number) => number.as_i64().map(Cell::Number),
        Value::String(text) => Some(Cell::Text(text.clone())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_read_and_what_is_none_is_named() {
        let read = rows(&json!({ "tenant": [[101, "t"]], "skill": [[1, null, 1]] }));
        let read = read.expect("rows");
        assert_eq!(read["tenant"], [vec![Cell::Number(101), Cell::Text("t".to_owned())]]);
        assert_eq!(read["skill"], [vec![Cell::Number(1), Cell::Null, Cell::Number(1)]]);
        for (tables, said) in [
            (json!([]), "no JSON object"),
            (json!({ "cfg_person": [] }), "no table cfg_person"),
            (json!({ "person": [1] }), "the table person is not rows"),
            (json!({ "person": [[1.5]] }), "the table person is not rows"),
            (json!({ "person": [[true]] }), "the table person is not rows"),
        ] {
            let error = rows(&tables).expect_err("no rows");
            assert!(error.contains(said), "{tables}: {error}");
        }
    }
}
