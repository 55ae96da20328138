//! `trunkline configdb probe` against a real PostgreSQL, straight and through the protocol of SQL
//! Server.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::postgres as server;
use super::program::{Done, example_config, run_command, trunkline};

/// A SQL Server as far as the wire goes.
#[path = "../../ingest/tests/configdb/tds.rs"]
#[allow(dead_code, reason = "the tests of the bridge use more of it")]
mod tds;

/// Runs the command with a section of the configuration.
fn probe(section: &str) -> Done {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("trunkline.toml");
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let config = format!("{}\n[configdb]\n{section}", example_config(nobody, nobody));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/directory.example.json");
    fs::write(&file, config).expect("the folder can be written");
    fs::write(folder.path().join("secret"), "secret").expect("the folder can be written");
    fs::copy(directory, folder.path().join("directory.json")).expect("there is an example");
    let file = file.to_str().expect("UTF-8").to_owned();
    let mut command = trunkline(&["configdb", "--config", &file, "probe"]);
    command.env("CONFIGDB_PASSWORD", server::PASSWORD);
    run_command(command, b"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_says_what_there_is_and_what_would_follow() {
    let Some(server) = server::server() else { return };
    let sample = server.sample().await;
    let database = &sample.settings.database;
    let section = format!(
        "host = {:?}\nport = {}\ndatabase = {:?}\nschema = \"genesys\"\nuser = {:?}\n\
         password_env = \"CONFIGDB_PASSWORD\"\ntenant_dbid = 101\n\
         folders = [\"EX_EVOLUTION\", \"EX_PILOT\"]\n",
        database.host, database.port, database.database, database.user
    );
    let done = probe(&section);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{}", done.out);
    let lines: Vec<&str> = done.out.lines().collect();
    for line in [
        "  cfg_skill_level: person_dbid numeric; skill_dbid numeric; level_ integer; person_csid \
         numeric; skill_csid numeric;",
        "PROFILE reconstructed-15",
        "  found   skill_level=cfg_skill_level level=level_ person=person_dbid skill=skill_dbid",
        "  tenant 101 tenant001",
        "  group.type: 5 (7), 6 (1), 21 (1)",
        "TENANT 101",
        "       12 person",
        "WOULD BE SYNCHRONISED",
        "        9 user",
        "        5 skill",
        "        6 queue",
        "        5 wrap-up-code",
        "        8 extension",
        "REPORTS",
        "  no_e_mail person/108",
        "  script_undecidable agent-group/107",
        "  unknown_queue agent-group/107 VQ_Does_Not_Exist",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in\n{}", done.out);
    }
    let reports = lines.iter().skip_while(|line| **line != "REPORTS").count();
    assert_eq!(reports, 1 + 9);
    for secret in [server::PASSWORD, "not-a-secret", "Smith", "alice"] {
        assert!(!done.out.contains(secret), "{secret} is in\n{}", done.out);
    }
    sample.execute("ALTER TABLE cfg_person DROP e_mail").await;
    let done = probe(&section);
    assert_eq!(done.status, Some(1), "{done:?}");
    assert!(done.out.contains("missing person.e_mail: table cfg_person has no column e_mail"));
    assert!(done.err.contains("cannot be used with this profile"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_of_sql_server_says_the_same() {
    let Some(server) = server::server() else { return };
    let sample = server.sample().await;
    sample.execute(tds::FUNCTIONS).await;
    let database = &sample.settings.database;
    let mut postgres = tokio_postgres::Config::new();
    postgres.host(&database.host).port(database.port).dbname(&database.database);
    postgres.user(&database.user).password(server::PASSWORD);
    let behaviour = tds::Behaviour {
        postgres,
        database: "engage".to_owned(),
        user: "reader".to_owned(),
        password: server::PASSWORD.to_owned(),
        ..tds::Behaviour::default()
    };
    let peer = tds::Peer::start(behaviour).await;
    let section = |kind: &str| {
        format!(
            "kind = {kind:?}\nhost = \"127.0.0.1\"\nport = {}\ndatabase = \"engage\"\n\
             schema = \"genesys\"\nuser = \"reader\"\npassword_env = \"CONFIGDB_PASSWORD\"\n\
             tenant_dbid = 101\nfolders = [\"EX_EVOLUTION\", \"EX_PILOT\"]\n",
            peer.address.port()
        )
    };
    let done = probe(&section("sqlserver"));
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{}", done.out);
    let lines: Vec<&str> = done.out.lines().collect();
    for line in [
        "  cfg_skill_level: person_dbid numeric; skill_dbid numeric; level_ int; person_csid \
         numeric; skill_csid numeric;",
        "  group.type: 5 (7), 6 (1), 21 (1)",
        "       12 person",
        "        9 user",
        "        6 queue",
        "  no_e_mail person/108",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in\n{}", done.out);
    }
    let refused = probe(&section("oracle"));
    if cfg!(not(feature = "oracle")) {
        assert_eq!(refused.status, Some(78), "{refused:?}");
        assert!(refused.err.contains("this program was built without Oracle"), "{}", refused.err);
    }
}

#[test]
fn a_database_that_is_away_is_an_error_and_no_secret_is_shown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let section = format!(
        "host = \"127.0.0.1\"\nport = {port}\ndatabase = \"d\"\nuser = \"u\"\n\
         password_env = \"CONFIGDB_PASSWORD\"\ntenant_dbid = 101\n"
    );
    let done = probe(&section);
    assert_eq!(done.status, Some(1), "{done:?}");
    assert!(done.err.starts_with("error: connecting to the database: "), "{}", done.err);
    assert!(!done.err.contains(server::PASSWORD) && done.out.is_empty(), "{done:?}");
}
