//! The whole program with a Config DB: PostgreSQL with the sample tenant at one end, a simulated
//! organisation at the other. What that must hold is the table of `config_sync`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use trunkline::clock;
use trunkline::drive::rehearsal::{Directory, Rehearsal, Script};
use trunkline::log::Log;
use trunkline::log::embedded::Embedded;
use trunkline_schemas::codec::{self, DirectoryValue};
use trunkline_schemas::topics::{DIRECTORY, RAW_AGENT, RAW_TLIB};
use trunkline_schemas::{DirectoryRow, RawEvent, RawKind, Topic};
use trunkline_sim::engage::EngageConfig;
use trunkline_sim::gc::{Fault, FaultPlan, FaultRule, GcSim, ORGANIZATION_ID};

use super::config_sync::{HELD, PARTITIONS, held, organisation, records};
use super::kafka::broker::{Broker, open};
use super::postgres::{self, Sample};
use super::program::{Server, get};
use super::running::until;

/// The log in the directory of the program.
const EMBEDDED: &str = "[log.embedded]\npath = \"log\"\n";
/// How long anything may take.
const MAX: Duration = Duration::from_mins(2);

/// The files of a program in a directory.
fn prepare(dir: &Path, sample: &Sample, org: &GcSim, log: &str, more: &str) {
    let database = &sample.settings.database;
    let config = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n{log}\
         [topics]\nconversation_partitions = {PARTITIONS}\n\
         [[domain]]\nname = \"main\"\n[[domain.site]]\nname = \"one\"\n\
         voice_server_call = [\"127.0.0.1:9\"]\nvoice_server_vq = [\"127.0.0.1:9\"]\n\
         voice_server_agent = [\"127.0.0.1:9\"]\n\
         [domain.agent_states]\nstat_servers = [\"127.0.0.1:9\"]\n\
         [genesys_cloud]\nbase_url = \"{base}\"\nauth_url = \"{base}\"\n\
         [genesys_cloud.conversation]\nclient_id = \"simulated-client\"\n\
         client_secret_file = \"secret.txt\"\nrequests_per_minute = 30000\nburst = 1000\n\
         [genesys_cloud.presence]\n[genesys_cloud.config_sync]\ncheck_minutes = 1\n\
         [configdb]\nhost = {host:?}\nport = {port}\ndatabase = {name:?}\nschema = \"genesys\"\n\
         user = {user:?}\npassword_file = \"password.txt\"\ntimeout_secs = 20\npoll_secs = 1\n\
         tenant_dbid = 101\nfolders = [\"EX_EVOLUTION\", \"EX_PILOT\"]\n{more}",
        base = org.base_url(),
        host = database.host,
        port = database.port,
        name = database.database,
        user = database.user,
    );
    let secrets = [("secret.txt", "simulated-secret"), ("password.txt", postgres::PASSWORD)];
    for (name, text) in [("trunkline.toml", config.as_str())].into_iter().chain(secrets) {
        fs::write(dir.join(name), text).expect("the directory can be written");
    }
}

/// The program, and where it can be asked.
async fn run(dir: &Path, name: &str, point: Option<&str>) -> (Server, SocketAddr) {
    let file = dir.join("trunkline.toml");
    let args = ["run", "--config", file.to_str().expect("UTF-8")];
    let mut program = match point {
        Some(point) => Server::start_held(dir, name, point, &args),
        None => Server::start(dir, name, &args),
    };
    let admin = program.address("admin_address=").await;
    (program, admin)
}

/// What `/readyz` misses, a line each, but for the links, whose servers are nowhere.
fn missing(admin: SocketAddr) -> String {
    let (_, text) = get(admin, "/readyz").expect("it answers");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let missing = answer["missing"].as_array().cloned().unwrap_or_default();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let lines = missing.iter().map(|it| format!("{}: {}", text(it, "condition"), text(it, "why")));
    lines.filter(|line| !line.starts_with("link ")).collect::<Vec<_>>().join("\n")
}

fn is_synced(admin: SocketAddr) -> bool {
    let missing = missing(admin);
    let tasks = ["configdb-0", "config-0", "config-sink-0", "directory", "conversation-0"];
    !tasks.iter().any(|task| missing.contains(task))
}

/// The embedded log that nobody uses any more.
fn embedded(dir: &Path) -> Arc<dyn Log> {
    Embedded::open(&dir.join("log"), Arc::new(clock::now_ms)).expect("the log is free")
}

/// The rows of agents in the topic `directory`: user ids by employee.
fn agents(log: &dyn Log) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for record in records(log, DIRECTORY) {
        let value = record.value.map(|value| codec::decode::<DirectoryValue>(&value));
        match value.map(|value| value.expect("a row").row) {
            Some(row) => drop(rows.insert(record.key, row)),
            None => drop(rows.remove(&record.key)),
        }
    }
    let agent = |row| match row {
        DirectoryRow::Agent(row) => Some((row.employee_id, row.user_id)),
        DirectoryRow::Server(_)
        | DirectoryRow::Queue(_)
        | DirectoryRow::Extension(_)
        | DirectoryRow::WrapUpCode(_)
        | DirectoryRow::Source(_) => None,
    };
    rows.into_values().filter_map(agent).collect()
}

/// What was announced last to the processors of a raw topic: user ids by employee.
fn announced(log: &dyn Log, topic: Topic) -> BTreeMap<String, String> {
    let mut agents = BTreeMap::new();
    for record in records(log, topic) {
        let value = record.value.expect("a raw event");
        let raw: RawEvent = codec::decode(&value).expect("a raw event");
        if raw.kind == RawKind::DirectoryStart {
            agents.clear();
        }
        if raw.kind == RawKind::DirectoryRow
            && let Ok(DirectoryRow::Agent(row)) = serde_json::from_slice(&raw.payload)
        {
            agents.insert(row.employee_id, row.user_id);
        }
    }
    agents
}

#[tokio::test(flavor = "multi_thread")]
async fn the_organisation_ends_as_worked_out_and_follows_the_database() {
    let Some(server) = postgres::server() else { return };
    let sample = server.sample().await;
    let org = organisation(FaultPlan::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    prepare(dir.path(), &sample, &org, EMBEDDED, "");
    let (mut program, admin) = run(dir.path(), "first", None).await;
    let config = program.address("role=\"config\" address=").await;
    until("everything is there", MAX, || held(&org) == HELD).await;
    until("it is ready", MAX, || is_synced(admin)).await;
    until("the configuration is well", MAX, || {
        get(config, "/health").is_some_and(|it| it.0 == 200)
    })
    .await;
    let (answered, text) = get(config, "/status").expect("it answers");
    let status: Value = serde_json::from_str(&text).expect("JSON");
    let sync = &status["data"]["syncStatus"];
    assert_eq!((answered, &sync["status"]), (200, &Value::from("Success")), "{status}");
    let message = format!(
        "Latest database updates for orgId:{ORGANIZATION_ID} have been successfully processed on {}",
        sync["timeStamp"].as_str().expect("a time")
    );
    assert_eq!(status["status"]["message"], Value::from(message));

    // An agent is added, one leaves, and one that left is created again.
    let person = |dbid: i64, employee: &str, name: &str| {
        format!(
            "INSERT INTO cfg_person (dbid, tenant_dbid, last_name, first_name, employee_id, \
             user_name, is_agent, is_admin, state, e_mail) VALUES ({dbid}, 101, 'Of', 'Name', \
             '{employee}', '{name}@example.com', 2, 1, 1, '{name}@example.com'); \
             INSERT INTO cfg_folder_object (folder_dbid, object_type, object_dbid) \
             SELECT folder_dbid, 3, {dbid} FROM cfg_folder_object \
             WHERE object_type = 3 AND object_dbid = 101 LIMIT 1;"
        )
    };
    let user = |name: &str| {
        let users = org.holdings().users.into_iter();
        let mut found = users.filter(|(_, user)| user.user_name == format!("{name}@example.com"));
        found.next().map(|(id, user)| (id, user.active, user.external_id.unwrap_or_default()))
    };
    sample.execute(&person(901, "E1901", "new.one")).await;
    until("the agent is added", MAX, || user("new.one").is_some_and(|it| it.1)).await;
    let (id, _, external) = user("new.one").expect("it is there");
    assert_eq!(external, "901_new.one@example.com");
    sample.execute("DELETE FROM cfg_person WHERE dbid = 901").await;
    until("the agent has left", MAX, || user("new.one").is_some_and(|it| !it.1)).await;
    sample.execute(&person(902, "E1902", "new.one")).await;
    let again = (id.clone(), true, "902_new.one@example.com".to_owned());
    until("the agent is created again", MAX, || user("new.one") == Some(again.clone())).await;
    program.stop().await;

    let rows = agents(embedded(dir.path()).as_ref());
    assert_eq!((rows.len(), rows.get("E1902"), rows.get("E1901")), (10, Some(&id), None));
    // A second start without changes: the processors have what the topic has, and 0 writes.
    let writes = org.holdings().counts.writes;
    let (program, admin) = run(dir.path(), "second", None).await;
    until("it is ready", MAX, || is_synced(admin)).await;
    let (_, metrics) = get(admin, "/metrics").expect("it answers");
    assert!(metrics.contains("trunkline_configdb_polls_total{outcome=\"told\"}"), "{metrics}");
    program.stop().await;
    let log = embedded(dir.path());
    for topic in [RAW_TLIB, RAW_AGENT] {
        assert_eq!(announced(log.as_ref(), topic), rows, "{topic}");
    }
    assert_eq!((org.holdings().counts.writes, org.holdings().counts.refused), (writes, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_and_a_mass_deletion_are_said_and_stop_nothing() {
    let Some(server) = postgres::server() else { return };
    let sample = server.sample().await;
    let reader = sample.settings.database.user.clone();
    let org = organisation(FaultPlan::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    prepare(dir.path(), &sample, &org, EMBEDDED, "");
    sample.execute(&format!("ALTER ROLE {reader} NOLOGIN")).await;
    let (program, admin) = run(dir.path(), "first", None).await;
    let said = |text: &str| missing(admin).contains(text);
    until("it says that it is not let in", MAX, || said("configdb-0: connecting")).await;
    for waiting in ["conversation-0", "presence-0"] {
        let waits = format!("{waiting}: waits for the first synchronisation");
        until(&waits, MAX, || said(&waits)).await;
    }
    assert_eq!(get(admin, "/livez").map(|answer| answer.0), Some(200));
    sample.execute(&format!("ALTER ROLE {reader} LOGIN")).await;
    until("everything is there", MAX, || held(&org) == HELD && is_synced(admin)).await;
    let polled = |outcome: &str| {
        let sample = format!("trunkline_configdb_polls_total{{outcome=\"{outcome}\"}}");
        get(admin, "/metrics").is_some_and(|(_, metrics)| metrics.contains(&sample))
    };
    until("a poll finds nothing new", MAX, || polled("unchanged")).await;

    // Gone again: what is there goes on.
    let cut = format!(
        "ALTER ROLE {reader} NOLOGIN; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{reader}'"
    );
    sample.execute(&cut).await;
    until("it says so", MAX, || said("configdb-0: ")).await;
    let others = ["config-0", "config-sink-0", "directory", "conversation-0", "presence-0"];
    assert!(!others.iter().any(|other| said(other)), "{}", missing(admin));
    sample.execute("DELETE FROM cfg_person WHERE dbid IN (102, 103, 104, 105, 106, 107)").await;
    sample.execute(&format!("ALTER ROLE {reader} LOGIN")).await;
    until("it asks", MAX, || said("6 of 12 person")).await;
    let text = missing(admin);
    let digest = text.split("approve ").nth(1).and_then(|rest| rest.split(' ').next());
    let digest = digest.expect("it names a digest").to_owned();
    for outcome in ["told", "failed", "refused"] {
        assert!(polled(outcome), "no poll is counted as {outcome}");
    }
    assert_eq!(held(&org), HELD, "nothing of it is taken over");
    program.stop().await;

    prepare(dir.path(), &sample, &org, EMBEDDED, &format!("approved_digest = \"{digest}\"\n"));
    let (program, admin) = run(dir.path(), "second", None).await;
    let active = || org.holdings().users.into_values().filter(|user| user.active).count();
    until("what was approved is done", MAX, || active() == 2 && is_synced(admin)).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_killed_on_the_way_goes_on_where_it_was() {
    let Some(server) = postgres::server() else { return };
    let sample = server.sample().await;
    for point in [
        "configdb.before_commit@1",
        "configdb.after_commit@1",
        "processor.before_commit@1",
        "processor.after_commit@1",
        "config_sink.after_ask@20",
        "config_sink.before_commit@35",
    ] {
        let org = organisation(FaultPlan::default()).await;
        let dir = tempfile::tempdir().expect("a directory");
        prepare(dir.path(), &sample, &org, EMBEDDED, "");
        let (mut held_there, _) = run(dir.path(), "killed", Some(point)).await;
        until(point, MAX, || {
            held_there.assert_alive();
            dir.path().join("held").exists()
        })
        .await;
        drop(held_there); // kill -9
        let (program, admin) = run(dir.path(), "again", None).await;
        until(point, MAX, || held(&org) == HELD && is_synced(admin)).await;
        program.stop().await;
        assert_eq!(org.holdings().counts.refused, 0, "{point}");
        let log = embedded(dir.path());
        let rows = agents(log.as_ref());
        assert_eq!((rows.len(), announced(log.as_ref(), RAW_TLIB)), (9, rows), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_kafka_another_process_goes_on_where_one_was_killed() {
    let Some(server) = postgres::server() else { return };
    let Some(broker) = Broker::start("the configuration on Kafka", "") else { return };
    let log = open(&broker, "");
    let sample = server.sample().await;
    let org = organisation(FaultPlan::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let kafka = format!("[log.kafka]\nbrokers = [{:?}]\nreplication = 1\n", broker.address());
    prepare(dir.path(), &sample, &org, &kafka, "");
    let (mut first, _) = run(dir.path(), "first", Some("config_sink.after_ask@20")).await;
    until("the first is in the middle of it", MAX, || {
        first.assert_alive();
        dir.path().join("held").exists()
    })
    .await;
    let (second, admin) = run(dir.path(), "second", None).await;
    drop(first); // kill -9
    until("the second has done the rest", MAX, || held(&org) == HELD).await;
    until("it is ready", MAX, || is_synced(admin)).await;
    second.stop().await;
    assert_eq!(org.holdings().counts.refused, 0);
    let rows = agents(log.as_ref());
    assert_eq!((rows.len(), announced(log.as_ref(), RAW_TLIB)), (9, rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_the_first_synchronisation_and_none_is_lost() {
    let away = FaultRule::every(1, 0, Fault::Unavailable);
    let script = Script {
        site: EngageConfig {
            calls: 30,
            rate_per_second: 20.0,
            speed: 20.0,
            stat_server: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..EngageConfig::default()
        },
        faults: FaultPlan { rules: vec![away] },
        requests_per_minute: None,
        directory: Directory::Meanwhile,
        ..Script::default()
    };
    let rehearsal = Rehearsal::start(script).await.expect("it starts");
    let missing = || {
        let missing = rehearsal.health().missing().into_iter();
        missing.map(|it| format!("{}: {}", it.condition, it.why)).collect::<Vec<_>>()
    };
    let site_is_quiet = || rehearsal.site_is_quiet();
    until("all calls are over", MAX, site_is_quiet).await;
    assert_eq!((rehearsal.summary().events, rehearsal.org().holdings().users.len()), (0, 0));
    for task in ["conversation-0", "presence-0"] {
        let why = format!("{task}: waits for the first synchronisation of the configuration");
        assert!(missing().contains(&why), "{why}: {:?}", missing());
    }
    rehearsal.org().set_faults(FaultPlan::default());
    until("everything is told", MAX, || rehearsal.differences().is_empty()).await;
    until("it is ready", MAX, || missing().is_empty()).await;
    assert_eq!(rehearsal.outcomes().expect("they are read"), rehearsal.expected_outcomes());
    let summary = rehearsal.summary();
    assert!(summary.violations.is_empty() && summary.events > 0, "{summary:?}");
    assert!(rehearsal.stop().await, "it stops");
}
