//! Agents: lines of Stat Server in `raw.agent`, through the presence processor and the presence
//! sink, into the organisation. What it holds of each user must equal the days written down here,
//! by hand from seed 000.
//!
//! The log has a simulated clock: stream time is that of the script.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use trunkline::config::Config;
use trunkline::drive::Shell;
use trunkline::drive::engine::{Agents, Engine, Parts, Plan};
use trunkline::drive::sink::Outlet;
use trunkline::log::Log;
use trunkline::log::embedded::Embedded;
use trunkline::topology;
use trunkline_ingest::feed::{FeedLine, LineContext, Place, translate};
use trunkline_processors::{conversation, presence};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{DEAD_PRESENCE, DEAD_PRESENCE_SINK, OUTCOME_PRESENCE, RAW_AGENT};
use trunkline_schemas::{
    OutcomeStatus, Output, PresenceOutcome, RawEvent, RawKind, Stored, Topic, codec,
};
use trunkline_sim::gc::{self, Fault, FaultPlan, FaultRule, GcConfig, GcSim};
use trunkline_sim::truth::{Shown, UserHistory};
use trunkline_sinks::{ClientConfig, GenesysCloud, LocalAllowance, SinkConfig};

use super::program::{Server, get};
use super::running::until;

/// How long the organisation may take to hold everything.
const TOLD_MAX: Duration = Duration::from_mins(2);
/// The beginning of the day, seconds since 1970.
const DAY: i64 = 1_764_000_000;
/// How far stream time goes on after the last line of a script, so that nothing waits any more.
const REST_SECS: i64 = 3;
const PARTITIONS: u32 = 2;

const SOURCE: &str = "00000000-0000-4000-8000-00000000cafe";
const AGENTS: [(&str, &str); 3] = [
    ("ada", "00000000-0000-4000-8000-0000000000aa"),
    ("bob", "00000000-0000-4000-8000-0000000000bb"),
    ("cyd", "00000000-0000-4000-8000-0000000000cc"),
];

const CONFIG: &str = r#"[[domain]]
name = "main"
directory_file = "directory.json"
[[domain.site]]
name = "one"
voice_server_call = ["sip1:8000"]
voice_server_vq = ["sip1:8001"]
voice_server_agent = ["sip1:8002"]
[genesys_cloud]
base_url = "https://api.example"
auth_url = "https://login.example"
[genesys_cloud.conversation]
client_id = "client"
client_secret_file = "secret.txt"
"#;

/// What Stat Server tells: second of the day, agent, and a status by its number or a reason.
type Given = (i64, &'static str, &'static str);
/// What the organisation must hold: millisecond of the day, agent, presence or routing status.
type Truth = (i64, &'static str, &'static str);

/// The morning. Not ready waits for its reason and keeps its own time; what changes nothing is told
/// by nobody: after-call work after a call, a status that is told again after a reconnection.
const MORNING: [Given; 13] = [
    (0, "ada", "8"),
    (2, "bob", "8"),
    (2, "bob", "Meeting"),
    (5, "ada", "4"),
    (20, "ada", "22"),
    (30, "bob", "4"),
    (40, "bob", "20"),
    (45, "bob", "4"),
    (50, "ada", "9"),
    (60, "ada", "8"),
    (60, "ada", "Break"),
    (70, "ada", "8"),
    (70, "bob", "4"),
];
const MORNING_TRUTH: [Truth; 12] = [
    (0, "ada", "Busy"),
    (1, "ada", "OffQueue"),
    (5_000, "ada", "OnQueue"),
    (5_001, "ada", "Idle"),
    (20_000, "ada", "Interacting"),
    (60_000, "ada", "Break"),
    (60_001, "ada", "OffQueue"),
    (2_000, "bob", "Meeting"),
    (2_001, "bob", "OffQueue"),
    (30_000, "bob", "OnQueue"),
    (30_001, "bob", "Idle"),
    (40_000, "bob", "Communicating"),
];
/// The end of bob's internal call, and whatever follows.
const MORNING_END: [Truth; 1] = [(45_000, "bob", "Idle")];

/// Ten minutes in which nobody listens: ada takes ten calls and logs off, bob has a meal and a
/// training, cyd logs in for a call and is back where she was before anybody looks.
fn outage() -> (Vec<Given>, Vec<Truth>) {
    let mut given = vec![
        (120, "ada", "4"),
        (200, "bob", "8"),
        (200, "bob", "Meal"),
        (300, "cyd", "4"),
        (310, "cyd", "21"),
        (340, "cyd", "23"),
        (500, "bob", "Training"),
        (600, "bob", "4"),
    ];
    let mut truth = vec![
        (120_000, "ada", "OnQueue"),
        (120_001, "ada", "Idle"),
        (200_000, "bob", "Meal"),
        (200_001, "bob", "OffQueue"),
        (500_000, "bob", "Training"),
        (600_000, "bob", "OnQueue"),
        (600_001, "bob", "Idle"),
        (300_000, "cyd", "OnQueue"),
        (300_001, "cyd", "Idle"),
        (310_000, "cyd", "Interacting"),
        (340_000, "cyd", "Offline"),
        (340_001, "cyd", "OffQueue"),
    ];
    for call in 0..10 {
        let begin = 130 + call * 58;
        given.extend([(begin, "ada", "22"), (begin + 20, "ada", "4")]);
        truth.push((begin * 1_000, "ada", "Interacting"));
        truth.push(((begin + 20) * 1_000, "ada", "Idle"));
    }
    given.push((720, "ada", "23"));
    truth.extend([(720_000, "ada", "Offline"), (720_001, "ada", "OffQueue")]);
    given.sort_by_key(|(second, ..)| *second);
    (given, truth)
}

/// The histories that a truth demands, by user id.
fn histories(truth: &[Truth]) -> BTreeMap<String, Vec<(i64, String)>> {
    let mut users: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for (agent, user) in AGENTS {
        let own = truth.iter().filter(|(_, of, _)| *of == agent);
        let own: Vec<_> =
            own.map(|(ms, _, state)| (DAY * 1_000 + ms, (*state).to_owned())).collect();
        if !own.is_empty() {
            users.insert(user.to_owned(), own);
        }
    }
    users
}

/// What the organisation holds, in the order in which it was told.
fn held(org: &GcSim) -> BTreeMap<String, Vec<(i64, String)>> {
    let state = |state: Shown| match state {
        Shown::Presence(name) | Shown::RoutingStatus(name) => name,
    };
    let user = |UserHistory { user_id, changes }| {
        let changes = changes.into_iter().map(|change| (change.at_ms, state(change.state)));
        (user_id, changes.collect())
    };
    org.users().into_iter().map(user).collect()
}

/// A log with a simulated clock, an organisation, and Trunkline between them when it runs.
struct Rig {
    org: GcSim,
    log: Arc<dyn Log>,
    clock_ms: Arc<AtomicI64>,
    config: Config,
    dir: tempfile::TempDir,
}

impl Rig {
    async fn new(org: GcConfig) -> Self {
        let users = AGENTS.map(|(_, user)| user.to_owned()).to_vec();
        let source_id = Some(SOURCE.to_owned());
        let org = GcConfig { users: Some(users), source_id, requests_per_minute: 30_000, ..org };
        let org = gc::start(org).await.expect("the organisation listens");
        let dir = tempfile::tempdir().expect("a directory");
        let config = config(dir.path());
        let clock_ms = Arc::new(AtomicI64::new(DAY * 1_000));
        let told = Arc::clone(&clock_ms);
        let clock = Arc::new(move || told.load(Ordering::SeqCst));
        let log = Embedded::open(&dir.path().join("log"), clock).expect("the log opens");
        log.ensure(&topology::layouts(1, PARTITIONS)).expect("the topics are there");
        let rig = Self { org, log, clock_ms, config, dir };
        rig.announce();
        rig
    }

    fn announce(&self) {
        let bare = |kind, payload| RawEvent {
            payload,
            ..RawEvent::bare(kind, "main", "directory", DAY * 1_000_000)
        };
        let mut records = vec![bare(RawKind::DirectoryStart, Vec::new())];
        for row in self.config.domains[0].directory.rows() {
            let row = serde_json::to_vec(&row).expect("a row is JSON");
            records.push(bare(RawKind::DirectoryRow, row));
        }
        records.push(bare(RawKind::DirectoryEnd, Vec::new()));
        self.append(&records);
    }

    fn append(&self, events: &[RawEvent]) {
        let output = |event: &RawEvent| {
            let key = event.agent_id.clone().unwrap_or_default();
            let record = codec::record(key, event).expect("a raw event is encoded");
            Output { topic: RAW_AGENT, partition: 0, record }
        };
        let mut appender = self.log.appender().expect("the log takes records");
        appender.append(events.iter().map(output).collect()).expect("the log is writable");
    }

    /// Writes what Stat Server tells, with a tick each second, till all of it has been told.
    fn tell(&self, given: &[Given]) {
        let (first, last) = (given[0].0, given[given.len() - 1].0);
        for second in first..=last + REST_SECS {
            self.clock_ms.store((DAY + second) * 1_000, Ordering::SeqCst);
            let now_us = (DAY + second) * 1_000_000;
            let mut events = vec![RawEvent::bare(RawKind::Tick, "main", "trunkline", now_us)];
            let of_now = given.iter().filter(|(at, ..)| *at == second);
            events.extend(of_now.map(|(_, agent, said)| stat_event(second, agent, said)));
            self.append(&events);
        }
    }

    fn start(&self) -> (Engine, Shell) {
        let layouts = topology::layouts(1, PARTITIONS);
        let shell = Shell::new(Arc::clone(&self.log), layouts).expect("metrics are ours");
        // A second installation of the same provider fails, which changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cloud = GenesysCloud::new(ClientConfig {
            base_url: self.org.base_url(),
            auth_url: self.org.base_url(),
            client_id: "simulated-client".to_owned(),
            client_secret: SecretString::from("simulated-secret"),
            ca_pem: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
        });
        let cloud = Arc::new(cloud.expect("a client"));
        let deadline = Duration::from_secs(10);
        let outlet = |allowance: LocalAllowance| Outlet {
            cloud: Arc::clone(&cloud),
            allowance: Arc::new(allowance),
            config: SinkConfig::default(),
            deadline,
            runtime: tokio::runtime::Handle::current(),
        };
        let [of_calls, of_agents] = LocalAllowance::shared(Some(30_000), 1_000, [80, 20]);
        let agents = Agents {
            settings: vec![presence::Settings::default()],
            source_id: Some(SOURCE.to_owned()),
            outlet: outlet(of_agents),
        };
        let plan = Plan {
            domains: &self.config.domains,
            bridges: &[],
            settings: conversation::Settings::default(),
            outlet: outlet(of_calls),
            agents: Some(agents),
            configuration: None,
            parts: Parts { ingest: false, processors: true, sinks: true },
            deadline,
        };
        let engine = tokio::task::block_in_place(|| Engine::start(&shell, &plan));
        // Whatever runs first, nobody may take the process for ready before all is named.
        let named = shell.health.conditions();
        for group in ["conversation", "conversation-sink", "presence", "presence-sink"] {
            assert!(named.contains(&format!("{group} group")), "{group}: {named:?}");
        }
        (engine.expect("the engine starts"), shell)
    }

    /// Leaves the log to the program, whose configuration is in the directory.
    fn into_program(self) -> (GcSim, tempfile::TempDir) {
        let Self { org, log, dir, .. } = self;
        drop(log);
        for (name, text) in [
            ("secret.txt", "simulated-secret".to_owned()),
            ("trunkline.toml", program_config(&org)),
        ] {
            std::fs::write(dir.path().join(name), text).expect("the directory can be written");
        }
        (org, dir)
    }

    async fn holds(&self, what: &str, truth: &[Truth]) {
        let expected = histories(truth);
        let count: usize = expected.values().map(Vec::len).sum();
        until(what, TOLD_MAX, || held(&self.org).values().map(Vec::len).sum::<usize>() >= count)
            .await;
        assert_eq!(held(&self.org), expected, "{what}");
    }
}

/// The records of a topic.
fn records(log: &dyn Log, topic: Topic) -> Vec<Stored> {
    let layouts = topology::layouts(1, PARTITIONS);
    let layout = layouts.iter().find(|layout| layout.topic == topic);
    let partitions = 0..layout.expect("a topic of the catalogue").partitions;
    let read = |partition| log.read(topic, partition, 0, 10_000).expect("it is read");
    partitions.flat_map(read).collect()
}

/// Every change ended in one outcome, and nothing was buried.
fn assert_outcomes(log: &dyn Log, changes: usize) {
    let outcomes = records(log, OUTCOME_PRESENCE).into_iter().map(|stored| {
        let value = stored.record.value.expect("an outcome has a value");
        codec::decode::<PresenceOutcome>(&value).expect("an outcome is decoded").status
    });
    let outcomes: Vec<OutcomeStatus> = outcomes.collect();
    assert_eq!(outcomes, vec![OutcomeStatus::Accepted; changes]);
    for topic in [DEAD_PRESENCE, DEAD_PRESENCE_SINK] {
        assert_eq!(records(log, topic), [], "{topic}");
    }
}

fn config(dir: &Path) -> Config {
    let agents: Vec<_> = AGENTS
        .iter()
        .map(|(agent, user)| json!({ "employeeId": agent, "userId": user, "logins": [] }))
        .collect();
    let directory = json!({ "agents": agents, "sourceId": SOURCE });
    for (name, text) in [
        ("directory.json", directory.to_string()),
        ("secret.txt", "secret".to_owned()),
        ("trunkline.toml", CONFIG.to_owned()),
    ] {
        std::fs::write(dir.join(name), text).expect("the directory can be written");
    }
    Config::load(&dir.join("trunkline.toml")).expect("the configuration is good")
}

/// A line of Stat Server as the bridge reads it: the status of that number, or a reason, which
/// begins with `=` if it is a number too.
fn stat_event(second: i64, agent: &str, said: &str) -> RawEvent {
    let mut event = json!({
        "id": "EventInfo", "Server": "stat1", "AgentId": agent, "Since": DAY + second,
        "time": { "TimeinSecs": DAY + second, "TimeinuSecs": 0 },
    });
    if let Ok(status) = said.parse::<i64>() {
        event["Statistic"] = json!("CurrentState");
        event["AgentStatus"] = json!(status);
    } else {
        event["Statistic"] = json!("CurrentStateReasons");
        event["Reasons"] = json!({ "ReasonCode": said.trim_start_matches('=') });
    }
    let line = json!({ "source": "stat1", "stream": "stat", "event": event }).to_string();
    let context = LineContext {
        domain: "main",
        link: "b1/main/stat/0",
        received_time_us: (DAY + second) * 1_000_000,
        role: Stream::Stat,
        server: Some("stat1"),
        server_start: None,
        place: Place { line: 1, byte: 0 },
    };
    match translate(line.as_bytes(), &context) {
        Ok(FeedLine::Event(event)) => event,
        other => panic!("{line} gave {other:?}"),
    }
}

fn morning_truth() -> Vec<Truth> {
    MORNING_TRUTH.into_iter().chain(MORNING_END).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_that_nobody_listened_to_are_told_afterwards_each_change_in_its_time() {
    let rig = Rig::new(GcConfig::default()).await;
    let (engine, _shell) = rig.start();
    rig.tell(&MORNING);
    rig.holds("the morning is told", &morning_truth()).await;
    assert!(engine.stop().await, "everything ends");

    let (given, outage_truth) = outage();
    rig.tell(&given);
    assert_eq!(held(&rig.org), histories(&morning_truth()), "nobody tells anything");

    let (engine, _shell) = rig.start();
    let mut truth = morning_truth();
    truth.extend(outage_truth);
    rig.holds("the outage is told", &truth).await;
    assert!(engine.stop().await, "everything ends");

    let summary = rig.org.summary();
    assert_eq!(summary.events, truth.len() as u64, "each change once");
    assert_eq!((summary.duplicates, summary.refused, summary.out_of_order), (0, 0, 0));
    assert_outcomes(rig.log.as_ref(), truth.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_with_requests_the_history_is_the_same() {
    let rules = vec![
        FaultRule::every(7, 1, Fault::EventRetryable { index: 0 }),
        FaultRule::every(7, 3, Fault::CutAfter),
        FaultRule::every(11, 4, Fault::Unavailable),
        FaultRule::at(6, Fault::TooManyRequests { retry_after_secs: 1 }),
        FaultRule::at(9, Fault::TokenExpiry),
        FaultRule::at(13, Fault::CutBefore),
    ];
    let faults = FaultPlan { rules };
    let rig = Rig::new(GcConfig { faults, ..GcConfig::default() }).await;
    rig.tell(&MORNING);
    let (engine, _shell) = rig.start();
    rig.holds("the morning is told", &morning_truth()).await;
    // The answer to the last change may have been lost: it is sent once more.
    let is_answered = || records(rig.log.as_ref(), OUTCOME_PRESENCE).len() == morning_truth().len();
    until("every change has its outcome", TOLD_MAX, is_answered).await;
    assert!(engine.stop().await, "everything ends");

    let summary = rig.org.summary();
    assert!(summary.faults.len() >= 4, "faults took effect: {:?}", summary.faults);
    assert_eq!((summary.refused, summary.out_of_order, summary.repeats_differing), (0, 0, 0));
    assert_outcomes(rig.log.as_ref(), morning_truth().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presence_without_a_definition_waits_for_it_and_readiness_names_it() {
    let deactivated_presences = vec!["Meeting".to_owned()];
    let rig = Rig::new(GcConfig { deactivated_presences, ..GcConfig::default() }).await;
    rig.tell(&MORNING);
    let (engine, shell) = rig.start();
    let without_bob: Vec<Truth> =
        morning_truth().into_iter().filter(|(_, agent, _)| *agent != "bob").collect();
    rig.holds("the others are told", &without_bob).await;
    let missing = shell.health.missing();
    let named = missing.iter().find(|missing| missing.condition == "presence definitions");
    let why = named.map(|missing| missing.why.clone()).unwrap_or_default();
    assert!(why.contains("Meeting"), "{missing:?}");

    rig.org.set_deactivated_presences(Vec::new());
    rig.holds("bob is told as well", &morning_truth()).await;
    until("it is ready", TOLD_MAX, || shell.health.missing().is_empty()).await;
    assert!(engine.stop().await, "everything ends");
    assert_eq!(rig.org.summary().refused, 0);
    assert_outcomes(rig.log.as_ref(), morning_truth().len());
}

/// What the program is configured with, beside [`CONFIG`].
fn program_config(org: &GcSim) -> String {
    let url = org.base_url();
    let text = CONFIG
        .replace("https://api.example", &url)
        .replace("https://login.example", &url)
        .replace("\"client\"", "\"simulated-client\"");
    format!(
        "{text}requests_per_minute = 30000\nburst = 1000\n[genesys_cloud.presence]\n\
         source_id = \"{SOURCE}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log.embedded]\n\
         path = \"log\"\n[topics]\nconversation_partitions = {PARTITIONS}\n\
         [presence.reasons]\nmeeting = [\"7\"]\n[logging]\nfilter = \"debug\"\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_tells_agents_as_it_is_configured() {
    let rig = Rig::new(GcConfig::default()).await;
    // A code instead of the name of the reason.
    rig.tell(
        &MORNING.map(|(at, agent, said)| (at, agent, if said == "Meeting" { "=7" } else { said })),
    );
    let (org, dir) = rig.into_program();
    let config = dir.path().join("trunkline.toml").to_str().expect("UTF-8").to_owned();
    let arguments = ["run", "--only", "processors", "--only", "sinks", "--config", &config];
    let mut program = Server::start(dir.path(), "run", &arguments);
    let admin = program.address("admin_address=").await;

    let expected = histories(&morning_truth());
    until("the morning is told", TOLD_MAX, || {
        program.assert_alive();
        held(&org) == expected
    })
    .await;
    let metrics = || get(admin, "/metrics").map(|(_, text)| text).unwrap_or_default();
    let changes = morning_truth().len();
    for line in [
        format!("trunkline_deliveries_total{{target=\"presence\",outcome=\"done\"}} {changes}"),
        format!(
            "trunkline_outcomes_total{{stage=\"presence-sink\",status=\"accepted\",\
             code=\"none\"}} {changes}"
        ),
        "trunkline_state_keys{stage=\"presence\",topic=\"raw.agent\",partition=\"0\"} 2".to_owned(),
    ] {
        until(&line, TOLD_MAX, || metrics().lines().any(|found| found == line)).await;
    }
    until("it is ready", TOLD_MAX, || get(admin, "/readyz").is_some_and(|(code, _)| code == 200))
        .await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_killed_at_any_point_tells_each_change_in_its_order() {
    let rig = Rig::new(GcConfig::default()).await;
    rig.tell(
        &MORNING.map(|(at, agent, said)| (at, agent, if said == "Meeting" { "=7" } else { said })),
    );
    let (org, dir) = rig.into_program();
    let config = dir.path().join("trunkline.toml").to_str().expect("UTF-8").to_owned();
    let arguments = ["run", "--only", "processors", "--only", "sinks", "--config", &config];
    let held_file = dir.path().join("held");
    let (expected, changes) = (histories(&morning_truth()), morning_truth().len());
    // Before the commands are durable, before and after a request is processed, and before and
    // after its outcome is durable; and whether it is certain that there is something left to do
    // so: while the task of one agent holds, that of the other goes on.
    for (point, is_certain) in [
        ("processor.before_commit@1", true),
        ("sink.before_post@1", true),
        ("sink.after_post@1", true),
        ("sink.before_commit@1", true),
        ("sink.after_commit@1", true),
        ("sink.after_post@2", false),
    ] {
        let mut program = Server::start_held(dir.path(), point, point, &arguments);
        until(point, TOLD_MAX, || {
            program.assert_alive();
            held_file.exists() || (!is_certain && held(&org) == expected)
        })
        .await;
        drop(program); // kills it
        let gone = std::fs::remove_file(&held_file);
        assert!(gone.is_ok() || !is_certain, "{point}: {gone:?}");
    }
    let mut program = Server::start(dir.path(), "run", &arguments);
    let admin = program.address("admin_address=").await;
    until("the morning is told", TOLD_MAX, || {
        program.assert_alive();
        held(&org) == expected
    })
    .await;
    // It may have been told before, and what became of it not be written yet.
    for partition in 0..PARTITIONS {
        let done = format!(
            "trunkline_lag_records{{stage=\"presence-sink\",topic=\"command.presence\",\
             partition=\"{partition}\"}} 0"
        );
        until(&done, TOLD_MAX, || {
            let metrics = get(admin, "/metrics").map(|(_, text)| text).unwrap_or_default();
            metrics.lines().any(|line| line == done)
        })
        .await;
    }
    program.stop().await;

    let summary = org.summary();
    assert!(summary.duplicates > 0, "what was on the wire was sent again");
    assert_eq!((summary.refused, summary.out_of_order, summary.repeats_differing), (0, 0, 0));
    let log = Embedded::open(&dir.path().join("log"), Arc::new(trunkline::clock::now_ms));
    assert_outcomes(log.expect("the log opens").as_ref(), changes);
}
