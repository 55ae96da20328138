//! The bridge against a real PostgreSQL that holds the sample tenant, straight and through the wire
//! protocol of SQL Server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use trunkline_ingest::configdb::diff::Published;
use trunkline_ingest::configdb::probe::probe;
use trunkline_ingest::configdb::profile::Profile;
use trunkline_ingest::configdb::{ConfigBridge, PollError, Settings, StartError};
use trunkline_schemas::codec::{ConfigValue, decode};
use trunkline_schemas::configdb::{ConfigObject, ObjectType};
use trunkline_schemas::{Record, configdb};

mod oracle;
mod server;
mod sqlserver;
mod tds;
mod writers;

use server::{Sample, server};

/// The objects of the sample tenant as they were taken from its rows by hand; the config processor
/// concludes from the same file.
fn sample_objects() -> BTreeMap<String, ConfigObject> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../processors/cases/config/sample.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let objects = text.lines().map(|line| {
        let object: ConfigObject =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        (object.key(), object)
    });
    objects.collect()
}

/// What a poll has to write, as `key` and `-key`; it is taken over.
async fn polled(bridge: &mut ConfigBridge, published: &mut Published) -> Vec<String> {
    let records = bridge.poll(published, 5).await.expect("the poll is told");
    for record in &records {
        published.take(record).expect("a record of ours");
    }
    let line = |record: &Record| {
        let key = String::from_utf8_lossy(&record.key).into_owned();
        if record.value.is_none() { format!("-{key}") } else { key }
    };
    records.iter().map(line).collect()
}

async fn started(settings: &Settings) -> ConfigBridge {
    ConfigBridge::start(settings.clone()).await.expect("the bridge starts")
}

#[tokio::test]
async fn the_sample_tenant_is_read_as_it_stands_there() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut bridge = started(&sample.settings).await;
    let records = bridge.poll(&Published::default(), 5).await.expect("the poll is told");
    let mut published = Published::default();
    for record in &records {
        let value = record.value.as_deref().expect("nothing is gone");
        let has_secret = value.windows(12).any(|bytes| bytes == b"not-a-secret");
        assert!(!has_secret, "{:?} has a secret", String::from_utf8_lossy(&record.key));
        assert!(decode::<ConfigValue>(value).is_ok());
        published.take(record).expect("a record of ours");
    }
    assert_eq!(published.objects, sample_objects());
    let poll = published.poll.clone().expect("the poll has an end");
    assert_eq!((poll.at_ms, poll.objects), (5, 76));
    assert_eq!(records.len(), 77);
    // Nothing changed: nothing to write. A bridge that starts tells the end of its first poll.
    assert_eq!(polled(&mut bridge, &mut published).await, Vec::<String>::new());
    let mut again = started(&sample.settings).await;
    assert_eq!(polled(&mut again, &mut published).await, ["poll"]);
    assert_eq!(polled(&mut again, &mut published).await, Vec::<String>::new());
}

#[tokio::test]
async fn each_change_of_a_row_is_a_change_of_its_object() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut bridge = started(&sample.settings).await;
    let mut published = Published::default();
    polled(&mut bridge, &mut published).await;
    for (sql, told) in [
        ("UPDATE cfg_person SET last_name = 'X' WHERE dbid = 101", &["person/101", "poll"][..]),
        (
            "UPDATE cfg_skill_level SET level_ = 2 WHERE person_dbid = 101 AND skill_dbid = 105",
            &["person/101", "poll"],
        ),
        (
            "DELETE FROM cfg_skill_level WHERE person_dbid = 101 AND skill_dbid = 105",
            &["person/101", "poll"],
        ),
        (
            "UPDATE cfg_flex_prop SET prop_value = 'Agent' WHERE dbid = 1002",
            &["person/104", "poll"],
        ),
        (
            "DELETE FROM cfg_agent_group WHERE group_dbid = 102 AND agent_dbid = 101",
            &["agent-group/102", "poll"],
        ),
        (
            "UPDATE cfg_flex_prop SET prop_value = 'Skill(\"Sales\") > 2' WHERE dbid = 1012",
            &["agent-group/101", "poll"],
        ),
        (
            "UPDATE cfg_folder_object SET folder_dbid = 205 WHERE object_type = 3 AND object_dbid = 103",
            &["person/103", "poll"],
        ),
        ("UPDATE cfg_folder SET name = 'Y' WHERE dbid = 203", &["folder/203", "poll"]),
        (
            "UPDATE cfg_enumerator_value SET name = 'Z' WHERE dbid = 102",
            &["business-attribute/101", "poll"],
        ),
        (
            "INSERT INTO cfg_hdb_operation (id, operation_type, object_type, object_dbid, op_time) \
          VALUES (6001, 2, 2, 133, '2024-06-10 06:13:20')",
            &["dn/133", "poll"],
        ),
        (
            "UPDATE cfg_flex_prop SET prop_value = 'r' WHERE dbid = 1051 AND part = 2",
            &["transaction/101", "poll"],
        ),
        ("UPDATE cfg_dn SET state = 2 WHERE dbid = 124", &["dn/124", "poll"]),
        // Deleted by its state, and by its row; a folder that goes leaves its objects in none.
        ("UPDATE cfg_person SET state = 3 WHERE dbid = 112", &["-person/112", "poll"]),
        ("DELETE FROM cfg_dn WHERE dbid = 110", &["-dn/110", "poll"]),
        (
            "INSERT INTO cfg_skill (dbid, name, tenant_dbid, state) VALUES (109, 'New', 101, 1)",
            &["skill/109", "poll"],
        ),
        // Secrets, other tenants, other types and other options are nobody's business.
        ("UPDATE cfg_flex_prop SET prop_value = 'x' WHERE dbid = 1047", &[]),
        ("UPDATE cfg_flex_prop SET prop_value = 'x' WHERE dbid = 1006", &[]),
        ("UPDATE cfg_person SET last_name = 'X' WHERE dbid IN (100, 113)", &[]),
        ("UPDATE cfg_dn SET number_ = 'X' WHERE dbid = 123", &[]),
        ("UPDATE cfg_group SET name = 'X' WHERE dbid IN (108, 109)", &[]),
        ("UPDATE cfg_person SET csid = 7", &[]),
        // No text and an empty one are the same.
        ("UPDATE cfg_person SET first_name = '' WHERE dbid = 112", &[]),
    ] {
        sample.execute(sql).await;
        assert_eq!(polled(&mut bridge, &mut published).await, told, "{sql}");
    }
    let dn = &published.objects["dn/133"];
    let ConfigObject::Dn(dn) = dn else { panic!("{dn:?} is no DN") };
    assert_eq!(dn.modified_ms, Some(1_718_000_000_000));
}

async fn missing(sample: &Sample) -> Vec<String> {
    match ConfigBridge::start(sample.settings.clone()).await {
        Ok(_) => Vec::new(),
        Err(StartError::Missing { profile, missing }) => {
            assert_eq!(profile, "reconstructed-15");
            missing.iter().map(ToString::to_string).collect()
        }
        Err(error @ StartError::Database(_)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_database_that_lacks_something_is_refused_by_name() {
    let Some(server) = server() else { return };
    let mut sample = server.sample().await;
    assert_eq!(missing(&sample).await, Vec::<String>::new());
    // An e-mail column of another name is found; of no known name, it is not.
    sample.execute("ALTER TABLE cfg_person RENAME e_mail TO email_address").await;
    assert_eq!(
        started(&sample.settings).await.mapping().tables["person"].columns["e_mail"].name,
        "email_address"
    );
    sample.execute("ALTER TABLE cfg_person RENAME email_address TO mail").await;
    assert_eq!(
        missing(&sample).await,
        [
            "person.e_mail: table cfg_person has no column e_mail, email, email_address, emailaddress"
        ]
    );
    sample.execute("ALTER TABLE cfg_person RENAME mail TO e_mail").await;
    // The history is not needed; without it no modification is known.
    sample.execute("DROP TABLE cfg_hdb_operation").await;
    let snapshot = started(&sample.settings).await.snapshot().await.expect("it is read");
    let dns = snapshot.objects.values().filter_map(|object| {
        let ConfigObject::Dn(dn) = object else { return None };
        Some(dn.modified_ms)
    });
    assert_eq!(dns.collect::<Vec<_>>(), [None; 21]);
    // Folders are needed by whoever filters.
    let user = sample.settings.database.user.clone();
    sample.execute(&format!("REVOKE SELECT ON cfg_folder FROM {user}")).await;
    assert_eq!(missing(&sample).await, ["folder: there is no table cfg_folder"]);
    sample.settings.by_folder = false;
    assert_eq!(missing(&sample).await, Vec::<String>::new());
    let snapshot = started(&sample.settings).await.snapshot().await.expect("it is read");
    let folders = snapshot.objects.values().filter(|it| it.kind() == Some(ObjectType::Folder));
    assert_eq!(folders.count(), 0);
    sample.settings.schema = "elsewhere".to_owned();
    assert_eq!(missing(&sample).await.len(), 12);
}

#[tokio::test]
async fn a_mass_deletion_stops_and_asks() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut bridge = started(&sample.settings).await;
    let mut published = Published::default();
    polled(&mut bridge, &mut published).await;
    // Six of twelve persons are more than 10 percent and more than 5; five are not more than 5.
    sample.execute("DELETE FROM cfg_person WHERE dbid IN (104, 105, 106, 107, 108, 109)").await;
    let refusal = match bridge.poll(&published, 6).await {
        Err(PollError::Refused(refusal)) => refusal,
        other => panic!("{other:?} is no refusal"),
    };
    assert_eq!(refusal.vanished, [(ObjectType::Person, 12, 6)]);
    let mut settings = sample.settings.clone();
    settings.approved = Some(refusal.digest);
    let mut approved = started(&settings).await;
    // Approval is of this state and no other one.
    sample.execute("DELETE FROM cfg_person WHERE dbid = 110").await;
    assert!(matches!(approved.poll(&published, 7).await, Err(PollError::Refused(_))));
    sample
        .execute(
            "INSERT INTO cfg_person (dbid, tenant_dbid, last_name, first_name, employee_id, \
        user_name, is_agent, is_admin, state, e_mail) VALUES (110, 101, 'Jansen', 'Joke', 'E1010', \
        'joke.jansen@example.com', 2, 1, 2, 'joke.jansen@example.com')",
        )
        .await;
    let told = polled(&mut approved, &mut published).await;
    let gone = [104, 105, 106, 107, 108, 109].map(|dbid| format!("-person/{dbid}"));
    assert_eq!(told, [&gone[..], &["poll".to_owned()]].concat());
    // A table that comes back empty, and a tenant that is not there.
    sample.execute("DELETE FROM cfg_transaction").await;
    assert!(matches!(bridge.poll(&published, 8).await, Err(PollError::Refused(_))));
    sample.execute("DELETE FROM cfg_tenant WHERE dbid = 101").await;
    let error = bridge.poll(&published, 9).await.expect_err("there is no tenant").to_string();
    assert_eq!(error, "the database is not as it should be: there is no tenant of DBID 101");
}

#[tokio::test]
async fn a_connection_is_encrypted_and_the_server_proves_its_name() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut settings = sample.settings.clone();
    settings.database.host = "localhost".to_owned();
    settings.database.ca_pem = Some(server.certificate.clone().into_bytes());
    assert_eq!(started(&settings).await.snapshot().await.expect("it is read").objects.len(), 76);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let other = other.expect("a certificate is made").cert.pem();
    for (host, ca) in [
        ("localhost", other.as_str()),
        ("127.0.0.1", server.certificate.as_str()),
        ("localhost", "no certificate"),
    ] {
        settings.database.host = host.to_owned();
        settings.database.ca_pem = Some(ca.as_bytes().to_vec());
        let refused = ConfigBridge::start(settings.clone()).await;
        assert!(matches!(refused, Err(StartError::Database(_))), "{host}: {refused:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said_without_secrets() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let refused = async |change: &dyn Fn(&mut Settings)| {
        let mut settings = sample.settings.clone();
        change(&mut settings);
        let error = ConfigBridge::start(settings).await.expect_err("it is refused").to_string();
        assert!(!error.contains(server::PASSWORD), "{error}");
        error
    };
    let wrong = "some other password";
    let error = refused(&|it| it.database.password = Some(wrong.into())).await;
    assert!(error.contains("SQLSTATE 28P01") && !error.contains(wrong), "{error}");
    let error = refused(&|it| "nowhere".clone_into(&mut it.database.database)).await;
    assert!(error.contains("SQLSTATE 3D000"), "{error}");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let error = refused(&|it| {
        "127.0.0.1".clone_into(&mut it.database.host);
        (it.database.port, it.database.timeout) = (port, Duration::from_secs(1));
    })
    .await;
    assert_eq!(error, "the database did not answer within 1 s");
    drop(silent);
    let error = refused(&|it| {
        "127.0.0.1".clone_into(&mut it.database.host);
        it.database.port = port;
    })
    .await;
    assert!(error.starts_with("connecting to the database: "), "{error}");
    // A value that is no number is not shown.
    sample.execute("ALTER TABLE cfg_skill_level ALTER level_ TYPE text USING 'personal'").await;
    let error = started(&sample.settings).await.snapshot().await.expect_err("no number");
    assert_eq!(error.to_string(), "skill_level: SQLSTATE 22P02");
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_anew() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut bridge = started(&sample.settings).await;
    let mut published = Published::default();
    assert_eq!(polled(&mut bridge, &mut published).await.len(), 77);
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
        sample.settings.database.user
    );
    for _ in 0..20 {
        sample.execute(&cut).await;
        // It is noticed before a poll or in it; one poll later everything is well again.
        match bridge.poll(&published, 6).await {
            Ok(records) => assert_eq!(records, []),
            Err(PollError::Database(_)) => {
                assert_eq!(bridge.poll(&published, 6).await.expect("a new connection"), []);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_probe_shows_what_a_database_has() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    sample.execute("DROP TABLE cfg_folder_object").await;
    let found = probe(&sample.settings.database, "genesys", &Profile::built_in()).await;
    let found = found.expect("it is probed");
    let missing: Vec<_> = found.resolution.missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        missing,
        ["folder_object: there is no table cfg_folder_object, cfg_obj_folder, \
        cfg_object_folder"]
    );
    let tenants = [(1, "Environment"), (101, "tenant001"), (102, "tenant002")];
    assert_eq!(found.tenants, tenants.map(|(dbid, name)| (dbid, name.to_owned())));
    let values = |entity: &str, column: &str| {
        let of = |it: &&trunkline_ingest::configdb::probe::Counted| {
            it.entity == entity && it.column == column
        };
        found.counted.iter().find(of).map(|it| it.values.clone()).unwrap_or_default()
    };
    assert_eq!(values("group", "type"), [(Some(5), 7), (Some(6), 1), (Some(21), 1)]);
    assert_eq!(values("person", "is_agent"), [(Some(1), 3), (Some(2), 11)]);
    let has = |table: &str, column: &str| {
        found.columns.iter().any(|it| it.table == table && it.column == column)
    };
    assert!(has("cfg_person", "e_mail") && has("cfg_locale", "lc_value"));
    assert_eq!(configdb::POLL_KEY, "poll");
}
