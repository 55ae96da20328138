//! The command line as its users meet it, and the programs that talk to each other over the
//! network: `engage-sim`, `run` and `gc-sim`, each a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use trunkline::drive::rehearsal::TOLERANCE_MS;
use trunkline_sim::compare::compare;
use trunkline_sim::truth::{CallTruth, Expected, Told};

use super::program::{
    Done, STOP_MAX, Server, example_config, get, run, run_and_read_one_line, run_command, trunkline,
};
use super::running::until;
use super::translate::{cases, directory, model};

/// How long a run of a few calls may take.
const RUN_MAX: Duration = Duration::from_mins(3);
/// How long a start may take here: a debug build on a machine that is busy with other tests (the
/// goal, 1 s, is that of a release build on a machine of its own).
const START_MAX: Duration = Duration::from_secs(30);
/// Calls of a run between processes.
const CALLS: u64 = 20;
/// The members of the organisation's summary, then those of the demo, in their order.
const SUMMARY: [&str; 22] = [
    "conversations",
    "open",
    "events",
    "refused",
    "duplicates",
    "out_of_order",
    "violations",
    "requests",
    "throttled",
    "events_per_request",
    "ok",
    "calls",
    "ignored",
    "suspended",
    "agents",
    "users",
    "changes",
    "differences",
    "configuration",
    "queues",
    "skills",
    "wrapUpCodes",
];

/// Fails unless the program ended with this status.
fn assert_status(done: &Done, status: i32, what: &str) {
    assert_eq!(done.status, Some(status), "{what}: {done:?}");
    assert!(!done.err.contains("panicked"), "{what}: {}", done.err);
}

#[test]
fn every_command_explains_itself() {
    let commands: [(&[&str], &[&str]); 12] = [
        (&[], &["demo", "run", "validate", "translate", "topics", "engage-sim", "gc-sim"]),
        (&["demo"], &["--calls", "--rate", "--speed", "--seed", "--json"]),
        (&["run"], &["--config", "--only", "ingest", "processors", "sinks"]),
        (&["validate"], &["--config"]),
        (&["translate"], &["--directory"]),
        (&["configdb"], &["probe", "--config"]),
        (&["configdb", "probe"], &["--help"]),
        (&["topics"], &["list", "show", "--config", "--log"]),
        (&["topics", "list"], &["--json"]),
        (&["topics", "show"], &["--partition", "--from", "--limit", "--json"]),
        (&["engage-sim"], &["--listen", "--calls", "--seed", "--directory", "--truth"]),
        (&["gc-sim"], &["--listen", "--tls-ca", "--no-dedup", "--faults"]),
    ];
    for (command, named) in commands {
        let done = run(&[command, &["--help"]].concat(), b"");
        let what = format!("trunkline {} --help", command.join(" "));
        assert_status(&done, 0, &what);
        assert_eq!(done.err, "", "{what}");
        let usage = format!("Usage: {}", [&["trunkline"], command].concat().join(" "));
        assert!(done.out.contains(&usage), "{what}: {}", done.out);
        for name in named {
            assert!(done.out.contains(name), "{what} does not name {name}: {}", done.out);
        }
        // An option is explained behind its name, or in the next line.
        let lines: Vec<&str> = done.out.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with('-')) {
            let next = !pair[1].is_empty() && !pair[1].starts_with('-');
            assert!(pair[0].contains("  ") || next, "{what} does not explain {}", pair[0]);
        }
    }
    let version = run(&["--version"], b"");
    assert_status(&version, 0, "--version");
    assert_eq!(version.out, format!("trunkline {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_said_and_ends_with_2() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "Usage: trunkline <COMMAND>"),
        (&["dance"], "unrecognized subcommand 'dance'"),
        (&["vaildate"], "'validate'"),
        (&["demo", "--calls", "many"], "invalid value 'many' for '--calls <CALLS>'"),
        (&["demo", "--colour"], "unexpected argument '--colour'"),
        (&["run", "--only", "everything"], "possible values: ingest, processors, sinks"),
        (&["translate"], "--directory <DIRECTORY>"),
        (&["topics", "show"], "<TOPIC>"),
        (&["gc-sim", "--listen", "nowhere"], "invalid value 'nowhere' for '--listen <LISTEN>'"),
    ];
    for (args, wanted) in cases {
        let done = run(args, b"");
        assert_status(&done, 2, &args.join(" "));
        assert_eq!(done.out, "", "{args:?}: data goes to standard output, complaints do not");
        assert!(done.err.contains(wanted), "{args:?}: {}", done.err);
    }
}

#[test]
fn the_example_configuration_is_valid_and_a_broken_one_is_not() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.toml");
    let example = example.to_str().expect("UTF-8");
    let mut command = trunkline(&["validate", "--config", example]);
    command.env("TRUNKLINE_CONVERSATION_SECRET", "c4n4ry");
    let done = run_command(command, b"");
    assert_status(&done, 0, "validate");
    assert!(done.err.ends_with("valid (domains: 1, bridges: 1)\n"), "{}", done.err);
    assert!(!done.err.contains("c4n4ry"), "{}", done.err);

    // The same file without the secret it names.
    let done = run(&["validate", "--config", example], b"");
    assert_status(&done, 78, "validate");
    assert!(done.err.contains("TRUNKLINE_CONVERSATION_SECRET is not set"), "{}", done.err);

    let done = run(&["validate", "--config", "there/is/none.toml"], b"");
    assert_status(&done, 78, "validate");
    assert!(done.err.contains("there/is/none.toml"), "{}", done.err);
}

#[test]
fn the_demo_ends_with_the_summary_of_the_organisation() {
    let done = run(&["demo", "--calls", "30", "--rate", "30", "--json"], b"");
    assert_status(&done, 0, "demo");
    assert_eq!(done.out.lines().count(), 1, "{}", done.out);
    let mut from = 0;
    for member in SUMMARY {
        let at = done.out[from..].find(&format!("\"{member}\":"));
        from += at.unwrap_or_else(|| panic!("{member} is missing or out of order: {}", done.out));
    }
    let told: Value = serde_json::from_str(&done.out).expect("it is JSON");
    assert_eq!(told["ok"], Value::Bool(true), "{told}");
    assert_eq!(told["violations"], serde_json::json!({}), "{told}");
    for (member, wanted) in
        [("calls", 30), ("open", 0), ("refused", 0), ("duplicates", 0), ("out_of_order", 0)]
    {
        assert_eq!(told[member], Value::from(wanted), "{member}: {told}");
    }
    // Everybody of the site's database, each made by two requests; queues, skills and codes.
    let made = &told["configuration"];
    let counts = ["users", "queues", "skills", "wrapUpCodes"].map(|kind| made[kind].as_u64());
    let [Some(users), Some(4), Some(4), Some(3)] = counts else { panic!("{told}") };
    let requests = made["requests"].as_u64().unwrap_or_default();
    assert!(users > 60 && (2 * users..3 * users).contains(&requests), "{told}");
    // Of thirty calls ten are recorded ones: call models 04 to 12b, 14a and 14b among them.
    let suspended = serde_json::json!({"agent_not_mapped": 1, "third_party": 2});
    assert_eq!(told["suspended"], suspended, "{told}");
    assert_eq!(told["ignored"]["agent_not_mapped"], Value::from(1), "{told}");
}

/// The three programs, each a process, and the folder they share.
struct Stage {
    dir: tempfile::TempDir,
    site: Server,
    org: Server,
    connector: Server,
    org_address: SocketAddr,
    admin: SocketAddr,
}

impl Stage {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
        let (directory, calls) = (path("directory.json"), CALLS.to_string());
        let mut site = Server::start(
            dir.path(),
            "engage-sim",
            &[
                "engage-sim",
                "--listen=127.0.0.1:0",
                "--rate=10",
                "--speed=60",
                "--seed=7",
                "--wait-for-links=3",
                "--truth",
                "--calls",
                &calls,
                "--directory",
                &directory,
            ],
        );
        let site_address = site.address("simulated Engage site at ").await;
        let mut org = Server::start(
            dir.path(),
            "gc-sim",
            &["gc-sim", "--listen=127.0.0.1:0", "--directory", &directory],
        );
        let org_address = org.address("simulated Genesys Cloud at ").await;
        fs::write(path("secret"), "simulated-secret\n").expect("the folder can be written");
        let config = example_config(site_address, org_address);
        fs::write(path("trunkline.toml"), config).expect("the folder can be written");
        let config = path("trunkline.toml");
        let mut connector = Server::start(dir.path(), "run", &["run", "--config", &config]);
        let admin = connector.address("admin_address=").await;
        Self { dir, site, org, connector, org_address, admin }
    }

    fn config(&self) -> String {
        self.dir.path().join("trunkline.toml").to_str().expect("UTF-8").to_owned()
    }

    fn sim<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = get(self.org_address, path).expect("the organisation answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("it answers with JSON")
    }

    fn metrics(&self) -> String {
        let (status, text) = get(self.admin, "/metrics").expect("the metrics can be read");
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Waits until the organisation has heard of every call but those that are left out.
    async fn all_told(&mut self) {
        until("every call is told", RUN_MAX, || {
            self.connector.assert_alive();
            let summary: Value = self.sim("/sim/summary");
            let internal = "trunkline_outcomes_total{stage=\"conversation\",status=\"left_out\",\
                            code=\"internal\"} ";
            let metrics = self.metrics();
            let mut left_out = metrics.lines().filter_map(|line| line.strip_prefix(internal));
            let left_out = left_out.next().and_then(|count| count.parse().ok()).unwrap_or(0);
            summary["conversations"] == CALLS - left_out && summary["open"] == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_tell_the_truth_and_each_stops_when_told() {
    let mut stage = Stage::start().await;
    until("it is ready", START_MAX, || {
        stage.connector.assert_alive();
        get(stage.admin, "/readyz").is_some_and(|(status, _)| status == 200)
    })
    .await;
    eprintln!("start-up: ready {} ms after the start", stage.connector.age().as_millis());
    assert!(stage.connector.age() < START_MAX, "{:?}", stage.connector.age());
    let (status, live) = get(stage.admin, "/livez").expect("it answers");
    assert_eq!((status, live.as_str()), (200, "{\"dead\":[],\"live\":true}"));
    let (status, config) = get(stage.admin, "/config").expect("it answers");
    assert!(status == 200 && !config.contains("simulated-secret"), "{config}");
    let (status, page) = get(stage.admin, "/").expect("it answers");
    assert!(status == 200 && page.contains("<html"), "{page}");

    // A log belongs to the process that has it open.
    let config = stage.config();
    for args in [vec!["topics", "--config", &config, "list"], vec!["run", "--config", &config]] {
        let done = run(&args, b"");
        assert_status(&done, 1, &args.join(" "));
        assert_eq!(done.out, "", "{args:?}");
        assert!(done.err.contains("error: ") && done.err.contains("process"), "{}", done.err);
    }

    stage.all_told().await;
    assert_metrics(&stage.metrics());
    let told: Vec<Told> = stage.sim("/sim/told");
    let Stage { dir, site, org, connector, .. } = stage;
    connector.stop_within(STOP_MAX).await;
    let truth = truth_of(&site.stop().await);
    assert_eq!(truth.len() as u64, CALLS);
    let differences = compare(&truth, &told, TOLERANCE_MS);
    assert!(differences.is_empty(), "{differences:#?}");
    let summary: Value = serde_json::from_str(&org.stop().await).expect("it ends with a summary");
    assert_eq!(summary["conversations"], Value::from(told.len()), "{summary}");
    assert_eq!(summary["violations"], serde_json::json!({}), "{summary}");
    assert_topics(dir.path(), &config, told.len());
}

/// A folder with a configuration whose servers are all away, the log on Kafka too if that is said.
fn alone(on_kafka: bool) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    // A port that was free a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut config = example_config(nobody, nobody);
    if on_kafka {
        let (here, there) = ("[log.embedded]\npath = \"trunkline-data\"", "[log.kafka]");
        assert!(config.contains(here), "{config}");
        config = config.replace(here, &format!("{there}\nbrokers = [\"{nobody}\"]"));
    }
    let known = fs::read_to_string(directory()).expect("there is a directory");
    for (name, text) in
        [("directory.json", known.as_str()), ("secret", "secret"), ("trunkline.toml", &config)]
    {
        fs::write(dir.path().join(name), text).expect("the folder can be written");
    }
    let config = dir.path().join("trunkline.toml").to_str().expect("UTF-8").to_owned();
    (dir, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_told_while_it_starts_is_as_clean_as_any() {
    let (dir, config) = alone(false);
    let arguments = ["run", "--config", &config];
    let mut program = Server::start_held(dir.path(), "run", "run.started@1", &arguments);
    let held = dir.path().join("held");
    until("it holds before it waits for a stop", RUN_MAX, || {
        program.assert_alive();
        held.exists()
    })
    .await;
    program.tell_to_stop();
    fs::remove_file(held).expect("it was there");
    let status = program.ended().await;
    let said = program.said();
    assert!(status.success() && said.contains("stopping"), "{status:?}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_told_while_the_log_is_away_is_heard() {
    let (dir, config) = alone(true);
    let mut program = Server::start(dir.path(), "run", &["run", "--config", &config]);
    program.says("answers /health").await;
    program.tell_to_stop();
    let status = program.ended().await;
    let said = program.said();
    let why = "told to stop before anything had begun";
    assert!(status.success() && said.contains(why), "{status:?}: {said}");
}

/// Everything that a run has counted is there under its name.
fn assert_metrics(text: &str) {
    for name in [
        "trunkline_records_in_total{stage=\"conversation\"}",
        "trunkline_records_out_total{stage=\"ingest\"}",
        "trunkline_stage_duration_seconds_count{stage=\"conversation-sink\"}",
        "trunkline_link_events_total{bridge=\"b1\",event=\"up\"}",
        "trunkline_outcomes_total{stage=\"conversation-sink\",status=\"accepted\",code=\"none\"}",
        "trunkline_deliveries_total{target=\"conversation\",outcome=\"done\"}",
        "trunkline_target_requests_seconds_count{target=\"conversation\"}",
        "trunkline_lag_records{stage=\"conversation\",topic=\"raw.tlib\",partition=\"0\"}",
        "trunkline_lag_seconds{stage=\"conversation\",topic=\"raw.tlib\",partition=\"0\"}",
        "trunkline_state_keys{stage=\"conversation\",topic=\"raw.tlib\",partition=\"0\"}",
        "trunkline_partitions_owned",
        "trunkline_build_info{",
    ] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    let is_wrong = |line: &&str| !line.starts_with('#') && line.ends_with("NaN");
    assert_eq!(text.lines().find(is_wrong), None);
}

fn truth_of(lines: &str) -> Vec<CallTruth> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a line of truth")).collect()
}

/// What `topics` shows of the log that a run has left.
fn assert_topics(dir: &Path, config: &str, conversations: usize) {
    let listed = run(&["topics", "--config", config, "list"], b"");
    assert_status(&listed, 0, "topics list");
    for topic in ["raw.tlib", "command.conversation", "outcome.conversation", "dead.ingest"] {
        assert!(listed.out.lines().any(|line| line.starts_with(topic)), "{}", listed.out);
    }
    let log = dir.join("trunkline-data");
    let log = log.to_str().expect("UTF-8");
    let show = |args: &[&str]| {
        let done =
            run(&[&["topics", "--config", config, "--log", log, "show"], args].concat(), b"");
        assert_status(&done, 0, "topics show");
        assert_eq!(done.err, "", "{args:?}");
        done.out
    };
    let all = "--limit=1000000";
    let json = |topic| -> Vec<Value> {
        let text = show(&[topic, "--json", all]);
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let is_opening = |record: &&Value| record["value"]["seq"] == 1;
    let commands = json("command.conversation");
    assert_eq!(commands.iter().filter(is_opening).count(), conversations, "{:?}", commands[0]);
    let listed = run(&["topics", "--config", config, "list", "--json"], b"");
    let offsets = listed.out.lines().find_map(|line| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        (row["topic"] == "command.conversation").then(|| row["offsets"].clone())
    });
    assert_eq!(offsets, Some(Value::from(commands.len())), "{}", listed.out);

    // A payload is shown as what it holds, not as bytes.
    let raw = json("raw.tlib");
    let created = raw.iter().find(|record| record["value"]["name"] == "EventCallCreated");
    let payload = &created.expect("a call was created")["value"]["payload"];
    assert!(payload["CallUUID"].is_string(), "{payload}");
    assert_eq!(show(&["dead.ingest", all]), "");

    // For people: the place of each record, then what it says. A part of it on request.
    let human = show(&["command.conversation", all]);
    assert_eq!(human.lines().count(), 2 * commands.len(), "{human}");
    assert!(human.starts_with("command.conversation/0@0 20"), "{human}");
    let part = show(&["command.conversation", "--partition=1", "--from=2", "--limit=3"]);
    let places: Vec<&str> =
        part.lines().step_by(2).filter_map(|line| line.split(' ').next()).collect();
    let wanted = [2, 3, 4].map(|offset| format!("command.conversation/1@{offset}"));
    assert_eq!(places, wanted, "{part}");

    let done = run(&["topics", "--config", config, "show", "raw.nothing"], b"");
    assert_status(&done, 1, "an unknown topic");
    let wanted = "error: there is no topic raw.nothing; there are raw.tlib, command.conversation";
    assert!(done.err.starts_with(wanted), "{}", done.err);

    let (line, done) = run_and_read_one_line(
        &["topics", "--config", config, "show", "raw.tlib", "--json", all],
        b"",
    );
    assert!(line.starts_with('{'), "{line}");
    assert_status(&done, 0, "a reader that has gone away");
    assert_eq!(done.err, "");
}

#[test]
fn a_log_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = dir.path().join("log");
    let done = run(&["topics", "--log", missing.to_str().expect("UTF-8"), "list"], b"");
    assert_status(&done, 1, "topics list");
    assert!(done.err.contains("error: there is no log at "), "{}", done.err);
    assert!(!missing.exists());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    // Many more requests than a pipe holds: the calls differ in their ids only.
    let mut input = String::new();
    for number in 0..300 {
        for line in model("01a") {
            let line = line.replace("AAAAAAAAAAAAAE", &format!("AAAAAAAAAA{number:04}"));
            input += &line.replace("00710300", &format!("0071{number:04}"));
            input.push('\n');
        }
    }
    let args = ["translate", "--directory", &directory()];
    let whole = run(&args, input.as_bytes());
    assert!(whole.out.len() > 1 << 18, "only {} bytes", whole.out.len());
    let (line, done) = run_and_read_one_line(&args, input.as_bytes());
    assert!(line.starts_with("{\"method\":\"POST\""), "{line}");
    assert_status(&done, 0, "translate");
    assert_eq!(done.err, "");
}

/// What a simulated site with this seed will have played, but for the times of day.
async fn plan(seed: u64) -> Vec<(String, String, Vec<String>)> {
    let dir = tempfile::tempdir().expect("a folder");
    let seed = format!("--seed={seed}");
    let args = ["engage-sim", "--listen=127.0.0.1:0", "--calls=40", "--truth", &seed];
    let mut site = Server::start(dir.path(), "site", &args);
    let address = site.address("simulated Engage site at ").await;
    // The truth names times, so it begins with the first event.
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(RUN_MAX)).expect("a time-out can be set");
    let hello = "{\"hello\":{\"role\":\"call\",\"bridge\":\"reader\"}}\n";
    stream.write_all(hello.as_bytes()).expect("it takes the hello");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.contains("EventCallCreated")), "no call has begun");
    let truth = truth_of(&site.stop().await);
    let row = |call: CallTruth| {
        let legs = match call.expected {
            Expected::Nothing(why) => vec![why],
            Expected::Conversation(legs) => {
                let leg = |leg: &trunkline_sim::truth::Leg| {
                    format!("{:?} {:?} {:?}", leg.kind, leg.id, leg.disconnect)
                };
                legs.iter().map(leg).collect()
            }
        };
        (call.call_uuid, call.model, legs)
    };
    truth.into_iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_gives_the_same_calls() {
    let (one, same, other) = (plan(5).await, plan(5).await, plan(6).await);
    assert_eq!(one.len(), 40);
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulated_organisation_refuses_to_start_with_what_it_cannot_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let faults = dir.path().join("faults.json");
    fs::write(&faults, "{\"rules\":[{\"at\":1,\"fault\":\"rain\"}]}").expect("it can be written");
    let faults = faults.to_str().expect("UTF-8");
    let done = run(&["gc-sim", "--listen=127.0.0.1:0", "--faults", faults], b"");
    assert_status(&done, 1, "gc-sim");
    assert!(done.err.contains("is no plan of faults"), "{}", done.err);
    let broken = cases().join("conversation/01a.txt");
    let broken = broken.to_str().expect("UTF-8");
    let done = run(&["gc-sim", "--listen=127.0.0.1:0", "--directory", broken], b"");
    assert_status(&done, 78, "gc-sim");
    assert!(done.err.contains("01a.txt, line 1, column 1"), "{}", done.err);

    // An address in use is said by whoever wants it second.
    let org = &mut Server::start(dir.path(), "org", &["gc-sim", "--listen=127.0.0.1:0"]);
    let address = org.address("simulated Genesys Cloud at ").await.to_string();
    for program in ["gc-sim", "engage-sim"] {
        let done = run(&[program, "--listen", &address], b"");
        assert_status(&done, 1, program);
        assert!(done.err.contains("Address already in use"), "{program}: {}", done.err);
    }
}
