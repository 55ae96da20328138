//! Reads as text, and rows into objects, without a database.

use trunkline_schemas::ConfigObject;

use super::dialect::DatabaseKind;
use super::profile::{CatalogColumn, ENTITIES, Kind, Mapping, Profile, resolve};
use super::query::{OPTIONS, Query, queries};
use super::rows::{Cell, RowError, Rows, Snapshot};

/// A catalog with every table and column by its first name; the time of the history of that type.
fn mapping(time: &str) -> Mapping {
    let profile = Profile::built_in();
    let mut catalog = Vec::new();
    for entity in &ENTITIES {
        for (column, kind) in entity.columns {
            let kind = if *kind == Kind::Time { time } else { "numeric" }.to_owned();
            let table = profile.candidates(entity.name, "table")[0].clone();
            let column = profile.candidates(entity.name, column)[0].clone();
            catalog.push(CatalogColumn { table, column, kind });
        }
    }
    resolve(&profile, "genesys", &catalog).usable(true).expect("nothing is missing")
}

fn postgres(time: &str) -> Vec<Query> {
    queries(&mapping(time), DatabaseKind::PostgreSql)
}

fn text_of(queries: &[Query], entity: &str) -> String {
    let query = queries.iter().find(|query| query.entity == entity);
    query.unwrap_or_else(|| panic!("{entity} is not read")).sql.clone()
}

#[test]
fn reads_are_written_with_the_names_of_the_mapping() {
    let all = postgres("timestamp without time zone");
    for (entity, expected) in [
        (
            "tenant",
            "SELECT CAST(dbid AS bigint), name FROM genesys.cfg_tenant WHERE dbid = CAST($1 AS bigint)",
        ),
        (
            "skill_level",
            "SELECT CAST(person_dbid AS bigint), CAST(skill_dbid AS bigint), CAST(level_ AS bigint) \
             FROM genesys.cfg_skill_level WHERE skill_dbid IN (SELECT dbid FROM genesys.cfg_skill \
             WHERE tenant_dbid = CAST($1 AS bigint))",
        ),
        (
            "group",
            "SELECT CAST(dbid AS bigint), name, CAST(state AS bigint) FROM genesys.cfg_group WHERE \
             tenant_dbid = CAST($1 AS bigint) AND group_type = 5",
        ),
        (
            "history",
            "SELECT CAST(object_dbid AS bigint), CAST(EXTRACT(EPOCH FROM MAX(op_time)) * 1000 AS \
             bigint) FROM genesys.cfg_hdb_operation WHERE object_type = 2 AND operation_type = 2 \
             GROUP BY object_dbid",
        ),
    ] {
        assert_eq!(text_of(&all, entity), expected);
    }
    // Seconds since 1970 instead of a time stamp.
    let seconds = text_of(&postgres("integer"), "history");
    assert!(seconds.contains("CAST(MAX(op_time) AS bigint) * 1000 FROM"), "{seconds}");
    assert_eq!(
        all.iter().filter(|query| !query.has_tenant()).count(),
        4,
        "annex, folders, history"
    );
}

#[test]
fn reads_differ_by_database_where_they_must() {
    let sqlserver = queries(&mapping("datetime"), DatabaseKind::SqlServer);
    let oracle = queries(&mapping("DATE"), DatabaseKind::Oracle);
    for (all, entity, expected) in [
        (
            &sqlserver,
            "tenant",
            "SELECT CAST(dbid AS bigint), name FROM genesys.cfg_tenant WHERE dbid = CAST(101 AS bigint)",
        ),
        (
            &sqlserver,
            "history",
            "SELECT CAST(object_dbid AS bigint), (CAST(DATEDIFF(day, '19700101', MAX(op_time)) AS \
             bigint) * 86400 + DATEDIFF(second, CAST(MAX(op_time) AS date), MAX(op_time))) * 1000 \
             FROM genesys.cfg_hdb_operation WHERE object_type = 2 AND operation_type = 2 GROUP BY \
             object_dbid",
        ),
        (
            &oracle,
            "member",
            "SELECT CAST(group_dbid AS NUMBER(19)), CAST(agent_dbid AS NUMBER(19)) FROM \
             genesys.cfg_agent_group WHERE group_dbid IN (SELECT dbid FROM genesys.cfg_group WHERE \
             tenant_dbid = CAST(101 AS NUMBER(19)))",
        ),
        (
            &oracle,
            "history",
            "SELECT CAST(object_dbid AS NUMBER(19)), CAST(ROUND((CAST(MAX(op_time) AS DATE) - DATE \
             '1970-01-01') * 86400) * 1000 AS NUMBER(19)) FROM genesys.cfg_hdb_operation WHERE \
             object_type = 2 AND operation_type = 2 GROUP BY object_dbid",
        ),
    ] {
        let query = all.iter().find(|query| query.entity == entity).expect("it is read");
        assert_eq!(query.text_for(101), expected);
    }
    // Every read of one is a read of the others, with the same columns.
    let shape = |all: &[Query]| -> Vec<_> {
        all.iter().map(|query| (query.entity, query.kinds.clone())).collect()
    };
    assert_eq!(shape(&sqlserver), shape(&postgres("timestamp")));
    assert_eq!(shape(&oracle), shape(&sqlserver));
}

#[test]
fn no_secret_is_asked_for() {
    let annex = text_of(&postgres("timestamp"), "annex");
    let names = OPTIONS.iter().flat_map(|(_, _, names)| names.iter());
    for name in names {
        assert!(annex.contains(&format!("'{name}'")), "{name} is not asked for");
        let is_secret = ["secret", "password", "client", "user", "url"];
        // A language key and role names are none, whatever is in their names.
        let is_known = ["sta_userdata_language_key"].contains(name);
        assert!(is_known || !is_secret.iter().any(|word| name.contains(word)), "{name}");
    }
    assert!(!annex.contains("secret") && !annex.contains("password"), "{annex}");
}

fn cell(text: &str) -> Cell {
    match text {
        "-" => Cell::Null,
        _ => text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Number),
    }
}

/// Rows given as words, `-` for nothing.
fn rows(given: &[(&'static str, &str)]) -> Rows {
    let mut rows = Rows::new();
    for (entity, row) in given {
        let cells = row.split(' ').map(cell).collect();
        rows.entry(*entity).or_default().push(cells);
    }
    rows
}

const TENANT: (&str, &str) = ("tenant", "101 t");

#[test]
fn rows_that_make_no_sense_are_refused() {
    for (given, expected) in [
        (&[][..], RowError::NoTenant(101)),
        (&[("tenant", "102 t")], RowError::NoTenant(101)),
        (&[TENANT, TENANT], RowError::Twice("tenant")),
        (&[TENANT, ("skill", "- English 1")], RowError::NoNumber("skill")),
        (&[TENANT, ("skill", "1 A 1"), ("skill", "1 B 1")], RowError::Twice("skill")),
        (&[TENANT, ("dn", "1 - 5 VQ - 1")], RowError::NoNumber("dn")),
        (
            &[
                TENANT,
                ("person", "1 u e m f l 2 1"),
                ("skill_level", "1 7 3"),
                ("skill_level", "1 7 4"),
            ],
            RowError::Twice("skill_level"),
        ),
        (&[TENANT, ("member", "- 1")], RowError::NoNumber("member")),
        (&[TENANT, ("annex", "3 1 htcc roles - 1 A")], RowError::NoNumber("annex")),
        (&[TENANT, ("folder_object", "1 - 1")], RowError::NoNumber("folder_object")),
        (&[TENANT, ("history", "- 1")], RowError::NoNumber("history")),
    ] {
        assert_eq!(Snapshot::of(&rows(given), 101).expect_err("refused"), expected, "{given:?}");
    }
}

#[test]
fn rows_are_put_together_by_object() {
    let given = rows(&[
        TENANT,
        ("switch", "102 SW"),
        ("person", "1 u e - f - 2 1"),
        ("person", "2 u e m f l 1 2"),
        ("person", "3 u e m f l 2 3"),
        ("skill_level", "1 9 4"),
        ("skill_level", "1 7 -"),
        ("skill_level", "1 8 2"),
        ("skill_level", "99 8 2"),
        // Three parts, out of order; the same option again, younger; names in another case; what
        // nobody asked for.
        ("annex", "3 1 htcc roles 11 2 ent,Super"),
        ("annex", "3 1 htcc roles 11 1 Ag"),
        ("annex", "3 1 htcc roles 11 3 visor"),
        ("annex", "3 1 htcc roles 12 1 Other"),
        ("annex", "3 2 HTCC roles 13 1 Agent"),
        ("annex", "16 5 config_sync client_secret 14 1 x"),
        ("transaction", "5 hybrid_integration 21 1"),
        ("transaction", "6 hybrid_integration 16 1"),
        ("transaction", "7 Hybrid_Integration 21 1"),
        ("folder", "201 Persons 3 7 101 7 101"),
        ("folder", "202 EX 3 7 101 22 201"),
        ("folder", "203 DNs 2 1 102 1 102"),
        ("folder", "204 Other 3 7 102 7 102"),
        ("folder", "205 Nobodys 3 - - - -"),
        ("folder_object", "202 3 1"),
        ("dn", "4 102 5 VQ - 1"),
        ("dn", "5 102 14 Trunk - 1"),
        ("history", "4 5000"),
    ]);
    let found = Snapshot::of(&given, 101).expect("it makes sense").objects;
    let keys: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected = [
        "dn/4",
        "folder/201",
        "folder/202",
        "folder/203",
        "person/1",
        "person/2",
        "switch/102",
        "tenant/101",
        "transaction/5",
    ];
    assert_eq!(keys, expected);
    let json = |key: &str| serde_json::to_string(&found[key]).expect("an object is JSON");
    assert_eq!(
        json("person/1"),
        r#"{"Person":{"dbid":1,"userName":"u","employeeId":"e","eMail":"","firstName":"f","lastName":"","isAgent":true,"enabled":true,"folder":202,"roles":"Agent,Supervisor","skills":[{"skill":8,"level":2},{"skill":9,"level":4}]}}"#
    );
    let ConfigObject::Person(second) = &found["person/2"] else { panic!("a person") };
    assert_eq!((second.is_agent, second.enabled, second.roles.as_deref()), (false, false, None));
    assert_eq!(
        json("transaction/5"),
        r#"{"Transaction":{"dbid":5,"name":"hybrid_integration","options":[]}}"#
    );
    assert_eq!(json("folder/202"), r#"{"Folder":{"dbid":202,"name":"EX","kind":3,"parent":201}}"#);
    let ConfigObject::Folder(unit) = &found["folder/203"] else { panic!("a folder") };
    assert_eq!(unit.parent, None);
    let ConfigObject::Dn(dn) = &found["dn/4"] else { panic!("a DN") };
    assert_eq!((dn.modified_ms, dn.alias.as_str()), (Some(5000), ""));
}
