//! Whatever comes from outside may be wrong, and nothing of it may crash anything or lose anything:
//! it ends as a clear error or as a dead letter with its cause, and everything else goes on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trunkline::drive::rehearsal::{TOLERANCE_MS, know};
use trunkline_schemas::topics::{
    DEAD_CONVERSATION, DEAD_CONVERSATION_SINK, DEAD_INGEST, OUTCOME_CONVERSATION, RAW_TLIB,
};
use trunkline_schemas::{Outcome, OutcomeStatus, RawEvent, RawKind, Stored, codec};
use trunkline_sim::compare::compare;
use trunkline_sim::engage::{self, EngageConfig};
use trunkline_sim::gc::{self, GcConfig, GcSim};

use super::feeder::{Feed, Feeder, add, call, call_begins_ms, call_uuid};
use super::front::{Front, Garbled};
use super::program::{Server, example_config, get, run};
use super::running::{records, until};
use super::translate::{Reader, cases, table};

/// How long a few calls may take to be told.
const TOLD_MAX: Duration = Duration::from_mins(2);
/// How long it may take to tell again what a full disk or a garbling peer held up.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(90);
/// What is kept of a line that is too long.
const HEAD_BYTES: usize = 64 << 10;
/// A file of the full disk is no longer than this.
const FULL_AT_KIB: u32 = 256;

/// The directory of the call models.
fn directory() -> Value {
    let text = fs::read_to_string(cases().join("directory.json")).expect("there is a directory");
    serde_json::from_str(&text).expect("it is JSON")
}

/// A folder with a configuration between these two addresses.
fn folder(directory: &Value, site: SocketAddr, org: SocketAddr) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).expect("the folder can be written");
    };
    write("directory.json", &directory.to_string());
    write("secret", "simulated-secret\n");
    write("trunkline.toml", &example_config(site, org));
    dir
}

fn config_of(dir: &Path) -> String {
    dir.join("trunkline.toml").to_str().expect("UTF-8").to_owned()
}

/// The connector as a process between a scripted feeder and a simulated organisation.
struct Rig {
    dir: tempfile::TempDir,
    feeder: Feeder,
    org: GcSim,
    connector: Server,
    admin: SocketAddr,
}

impl Rig {
    async fn start(directory: &Value, bridges: &str, feed: Feed) -> Self {
        let feeder = Feeder::start(feed).await;
        let mut config = GcConfig::default();
        let known = serde_json::from_value(directory.clone()).expect("a directory");
        know(&mut config, &known);
        let org = gc::start(config).await.expect("the organisation listens");
        let dir = folder(directory, feeder.address(), org.addr());
        let config = config_of(dir.path());
        let text = fs::read_to_string(&config).expect("there is a configuration");
        fs::write(&config, text.replace("names = [\"b1\"]", &format!("names = {bridges}")))
            .expect("it can be written");
        let mut connector = Server::start(dir.path(), "run", &["run", "--config", &config]);
        let admin = connector.address("admin_address=").await;
        Self { dir, feeder, org, connector, admin }
    }

    /// Waits until so many conversations are told to their end.
    async fn told(&mut self, conversations: u64) {
        let what = format!("{conversations} conversations are told");
        until(&what, TOLD_MAX, || {
            self.connector.assert_alive();
            let summary = self.org.summary();
            summary.conversations == conversations && summary.open == 0
        })
        .await;
    }

    /// Waits until the metrics count so many outcomes of this kind.
    async fn counted(&mut self, status: &str, code: &str, count: u64) {
        let labels = format!("stage=\"conversation\",status=\"{status}\",code=\"{code}\"");
        let wanted = format!("trunkline_outcomes_total{{{labels}}} {count}");
        until(&wanted, TOLD_MAX, || {
            self.connector.assert_alive();
            let metrics = get(self.admin, "/metrics");
            metrics.is_some_and(|(_, text)| text.lines().any(|line| line == wanted))
        })
        .await;
    }

    /// Stops the connector and fails if the organisation has anything to object to. What is left is
    /// the log and what the organisation was told.
    async fn stop(self) -> Left {
        self.connector.stop().await;
        let summary = self.org.summary();
        assert!(summary.violations.is_empty(), "{:?}", self.org.violations());
        let flaws = (summary.refused, summary.duplicates, summary.out_of_order, summary.open);
        assert_eq!(flaws, (0, 0, 0, 0), "{summary:?}");
        Left { log: self.dir.path().join("trunkline-data"), _dir: self.dir, org: self.org }
    }
}

/// What a rig has left.
struct Left {
    log: PathBuf,
    _dir: tempfile::TempDir,
    org: GcSim,
}

impl Left {
    /// What the organisation was told of a call, in the words of the tables.
    fn told(&self, number: i64) -> Vec<String> {
        let told = self.org.told().into_iter().find(|one| one.interaction_id == call_uuid(number));
        let Some(told) = told else { return Vec::new() };
        let mut events = self.org.events();
        events.retain(|event| event.body["conversationId"] == json!(told.conversation_id));
        events.sort_by_key(|event| event.body["eventDateTime"].to_string());
        let mut reader = Reader::new(call_begins_ms(number));
        events.iter().map(|event| reader.event(&event.array, &event.body)).collect()
    }

    fn dead(&self) -> Vec<Stored> {
        let topics = [DEAD_INGEST, DEAD_CONVERSATION, DEAD_CONVERSATION_SINK];
        topics.into_iter().flat_map(|topic| records(&self.log, topic)).collect()
    }

    fn assert_no_dead_letter(&self, what: &str) {
        let dead: Vec<(String, String)> =
            self.dead().iter().map(|stored| (stored.place(), header(stored, "dead-why"))).collect();
        assert_eq!(dead, [], "{what}");
    }

    fn raw(&self) -> Vec<RawEvent> {
        records(&self.log, RAW_TLIB).iter().map(decode).collect()
    }

    /// Status and code of what was left out or suspended.
    fn outcomes(&self) -> Vec<(OutcomeStatus, String)> {
        let outcomes = records(&self.log, OUTCOME_CONVERSATION);
        let outcomes = outcomes.iter().map(decode::<Outcome>);
        let of_calls = outcomes.filter(|outcome| outcome.event_id.is_none());
        of_calls.map(|outcome| (outcome.status, outcome.code.unwrap_or_default())).collect()
    }
}

fn decode<T: codec::Schemed>(stored: &Stored) -> T {
    let value = stored.record.value.as_deref().expect("the topic has no tombstones");
    codec::decode(value).expect("the topic holds what its schema says")
}

fn header(stored: &Stored, name: &str) -> String {
    String::from_utf8_lossy(stored.record.header(name).unwrap_or_default()).into_owned()
}

/// Lines that cannot be read, and the code of each.
fn unreadable() -> Vec<(Vec<u8>, &'static str)> {
    let event = call("01a", 1)[0].to_string().into_bytes();
    let large = "x".repeat((1 << 20) - (4 << 10));
    vec![
        (b"EventRinging 7001".to_vec(), "not_json"),
        (event[..event.len() / 2].to_vec(), "truncated"),
        (b"{\"stream\":\"call\",\"event\":{\"id\":\"\xff\xfe\"}}".to_vec(), "not_utf8"),
        (vec![0xc3; 70], "not_utf8"),
        (vec![0; 16], "not_json"),
        (vec![b'['; 200_000], "too_deep"),
        ("{\"event\":".repeat(50_000).into_bytes(), "too_deep"),
        (b"\"EventRinging\"".to_vec(), "not_an_object"),
        (b"{\"stream\":\"call\",\"event\":[]}".to_vec(), "not_an_object"),
        (b"{\"stream\":\"call\"}".to_vec(), "no_event"),
        (b"{\"stream\":\"call\",\"event\":{\"CallUUID\":\"1\"}}".to_vec(), "no_id"),
        (b"{\"stream\":\"radio\",\"event\":{\"id\":\"EventX\"}}".to_vec(), "unknown_stream"),
        (b"{\"event\":{\"id\":\"EventX\",\"id\":\"EventY\"}}".to_vec(), "bad_field"),
        (format!("{{\"event\":{{\"id\":\"EventX\",\"a\":\"{large}\"}}}}").into(), "too_long"),
        (vec![b'z'; 16 << 20], "too_long"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_cannot_be_read_is_a_dead_letter_and_the_stream_goes_on() {
    let (mut feed, first, second, bad) =
        (Feed::new(), call("01a", 1), call("05b", 2), unreadable());
    let mut lines = first.iter().chain(&second);
    // Between the events of a call, and in every stream.
    for (line, _) in &bad {
        add(&mut feed, &lines.next().cloned().into_iter().collect::<Vec<_>>());
        feed.entry("call").or_default().push(line.clone());
    }
    add(&mut feed, &lines.cloned().collect::<Vec<_>>());
    for role in ["vq", "agent"] {
        feed.entry(role).or_default().insert(0, b"\xff{".to_vec());
    }
    let of_call = feed["call"].clone();
    let mut rig = Rig::start(&directory(), "[\"b1\"]", feed).await;
    rig.told(2).await;
    let left = rig.stop().await;
    assert_eq!(left.told(1), table("01a"));
    assert_eq!(left.told(2), table("05b"));

    let (call_dead, others): (Vec<Stored>, Vec<Stored>) =
        left.dead().into_iter().partition(|dead| dead.record.key == b"b1/berlin/call/0");
    let codes: Vec<String> = call_dead.iter().map(|dead| header(dead, "dead-code")).collect();
    assert_eq!(codes, bad.iter().map(|(_, code)| *code).collect::<Vec<_>>());
    for (dead, (line, code)) in call_dead.iter().zip(&bad) {
        assert_dead_letter(dead, line, code);
        // The welcome is line 1.
        let number = 2 + of_call.iter().position(|found| found == line).expect("it was sent");
        let source = header(dead, "dead-source");
        let wanted = format!("b1/berlin/call/0 line {number} byte ");
        assert!(source.starts_with(&wanted), "{source} is not {wanted}");
    }
    let keys: Vec<&[u8]> = others.iter().map(|dead| dead.record.key.as_slice()).collect();
    assert_eq!(others.len(), 2, "{keys:?}");
    for dead in &others {
        assert_dead_letter(dead, b"\xff{", "not_utf8");
    }

    // Every good line is there byte for byte.
    let events = left.raw().into_iter().filter(|raw| raw.kind == RawKind::Event);
    let mut kept: Vec<Vec<u8>> = events.map(|raw| raw.payload).collect();
    let sent = first.iter().chain(&second);
    let mut sent: Vec<Vec<u8>> = sent.map(|line| line["event"].to_string().into()).collect();
    kept.sort();
    sent.sort();
    assert_eq!(kept, sent);
}

/// A dead letter keeps the line as it was, or its head, length and digest, and says why.
fn assert_dead_letter(dead: &Stored, line: &[u8], code: &str) {
    let value = dead.record.value.as_deref().unwrap_or_default();
    assert_eq!(
        (header(dead, "dead-stage"), header(dead, "dead-code")),
        ("ingest".into(), code.into())
    );
    assert!(!header(dead, "dead-why").is_empty() && !header(dead, "dead-at").is_empty(), "{code}");
    if line.len() <= 1 << 20 && header(dead, "dead-length").is_empty() {
        assert!(value == line, "{code}: the line was changed");
        return;
    }
    assert!(value == &line[..HEAD_BYTES], "{code}: the head was changed");
    assert_eq!(header(dead, "dead-length"), line.len().to_string());
    let digest =
        Sha256::digest(line).iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    assert_eq!(header(dead, "dead-sha256"), digest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_is_kept_and_disturbs_nothing() {
    let mut lines = call("11", 1);
    for line in &mut lines {
        let event = &mut line["event"];
        event["CallType"] = json!(4_711);
        event["Cause"] = json!("Moonlight");
        event["AttributeOfTomorrow"] = json!({ "list": [1, "two", null], "\u{1f4de}": 3.5 });
    }
    let mut unknown = lines[2].clone();
    unknown["event"]["id"] = json!("EventCallTeleported");
    unknown["event"]["PartyState"] = json!("Levitating");
    lines.insert(3, unknown);
    let mut feed = Feed::new();
    add(&mut feed, &lines);
    let mut rig = Rig::start(&directory(), "[\"b1\"]", feed).await;
    rig.told(1).await;
    let left = rig.stop().await;
    assert_eq!(left.told(1), table("11"));
    left.assert_no_dead_letter("nothing of it is unreadable");
    let raw = left.raw();
    for line in &lines {
        let payload = line["event"].to_string().into_bytes();
        assert!(raw.iter().any(|raw| raw.payload == payload), "not kept: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_never_seen_created_is_left_out_with_its_reason() {
    let mut lines = call("01a", 1);
    lines.retain(|line| line["event"]["id"] != "EventCallCreated");
    let mut feed = Feed::new();
    add(&mut feed, &lines);
    add(&mut feed, &call("02b", 2));
    let mut rig = Rig::start(&directory(), "[\"b1\"]", feed).await;
    rig.counted("left_out", "never_created", 1).await;
    rig.told(1).await;
    let left = rig.stop().await;
    assert_eq!(left.told(1), [""; 0]);
    assert_eq!(left.told(2), table("02b"));
    assert_eq!(left.outcomes(), [(OutcomeStatus::LeftOut, "never_created".to_owned())]);
    left.assert_no_dead_letter("a call that is left out is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_twice_or_too_late_changes_nothing() {
    // Two bridges get each line twice.
    let first = call("05a", 1);
    let twice: Vec<Value> = first.iter().flat_map(|line| [line.clone(), line.clone()]).collect();
    let mut feed = Feed::new();
    add(&mut feed, &twice);
    let mut rig = Rig::start(&directory(), "[\"b1\", \"b2\"]", feed).await;
    rig.told(1).await;

    // The call is over and told; it ends once more, is answered once more, rings once more.
    let late = first.iter().filter(|line| line["event"]["id"] != "EventCallCreated").enumerate();
    let late: Vec<Value> = late
        .map(|(at, line)| {
            let mut line = line.clone();
            line["event"]["EventSequenceNumber"] = json!(format!("{:016x}", 0x1800 + at));
            line
        })
        .collect();
    rig.feeder.say(&late);
    rig.feeder.say(&call("01b", 2));
    rig.told(2).await;
    let left = rig.stop().await;
    assert_eq!(left.told(1), table("05a"));
    assert_eq!(left.told(2), table("01b"));
    left.assert_no_dead_letter("a copy is no failure");
    assert_eq!(left.outcomes(), []);
    // Everything was written down, by both bridges.
    let events = left.raw().into_iter().filter(|raw| raw.kind == RawKind::Event).count();
    assert_eq!(events, 2 * (twice.len() + late.len() + call("01b", 2).len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_in_the_wrong_order_give_a_legal_conversation() {
    let mut lines = call("01a", 1);
    for line in &mut lines {
        // Without numbers nobody can put them back.
        line["event"].as_object_mut().expect("an event").remove("EventSequenceNumber");
    }
    for pair in lines.chunks_mut(2) {
        pair.reverse();
    }
    let mut feed = Feed::new();
    add(&mut feed, &lines);
    let mut rig = Rig::start(&directory(), "[\"b1\"]", feed).await;
    rig.told(1).await;
    let left = rig.stop().await;
    let without_times = |lines: Vec<String>| -> Vec<String> {
        lines.iter().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest.into()).collect()
    };
    assert_eq!(without_times(left.told(1)), without_times(table("01a")));
    left.assert_no_dead_letter("another order is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_in_the_directory_is_an_outcome_with_a_reason() {
    use OutcomeStatus::{LeftOut, Suspended};
    let without = |rows: &str, key: &str, value: &str| {
        let mut directory = directory();
        let rows = directory[rows].as_array_mut().expect("rows");
        let before = rows.len();
        rows.retain(|row| row[key] != json!(value));
        assert_eq!(rows.len(), before - 1);
        directory
    };
    let code = |code: &str| code.to_owned();
    // (directory, what is told, what is left out)
    let cases = [
        (
            without("queues", "dn", "VQ_Sales"),
            vec!["externalEstablished", "userEstablished", "communicationAnswered"],
            vec![(LeftOut, code("queue_not_mapped"))],
        ),
        (
            without("agents", "employeeId", "A1001"),
            vec!["externalEstablished", "routingEstablished", "communicationEnded"],
            vec![(LeftOut, code("agent_not_mapped")), (Suspended, code("agent_not_mapped"))],
        ),
    ];
    for (directory, begins, outcomes) in cases {
        let mut feed = Feed::new();
        add(&mut feed, &call("01a", 1));
        let mut rig = Rig::start(&directory, "[\"b1\"]", feed).await;
        rig.told(1).await;
        let left = rig.stop().await;
        let told = left.told(1);
        let kinds: Vec<&str> = told.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(kinds[..3], begins, "{told:#?}");
        let mut found = left.outcomes();
        found.sort_by_key(|(status, code)| (format!("{status:?}"), code.clone()));
        assert_eq!(found, outcomes);
        left.assert_no_dead_letter("to be left out is no failure");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_its_place_and_a_hint() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let dir = folder(&directory(), nowhere, nowhere);
    let config = config_of(dir.path());
    let good = fs::read_to_string(&config).expect("there is a configuration");
    // (what stands there, what is written instead, the key, column of the flaw, the hint)
    let cases: [(&str, &str, &str, usize, &str); 5] = [
        ("names = [\"b1\"]", "nmaes = [\"b1\"]", "bridge.nmaes", 1, "did you mean `names`?"),
        (
            "deadline_secs = 10",
            "deadline_secs = \"10s\"",
            "shutdown.deadline_secs",
            17,
            "write `deadline_secs = 10`",
        ),
        (
            "client_secret_file = \"secret\"",
            "client_secret_env = \"NOT_SET_ANYWHERE\"",
            "genesys_cloud.conversation.client_secret_env",
            21,
            "start with NOT_SET_ANYWHERE in the environment",
        ),
        (
            "client_secret_file = \"secret\"",
            "client_secret_file = \"none\"",
            "genesys_cloud.conversation.client_secret_file",
            22,
            "give the path of a file that holds the secret",
        ),
        (
            "client_secret_file = \"secret\"",
            "client_secret = \"c4n4ry\"",
            "genesys_cloud.conversation.client_secret",
            1,
            "client_secret_file",
        ),
    ];
    for (from, to, key, column, hint) in cases {
        let at = good.lines().position(|line| line == from).expect("the example has this line");
        fs::write(&config, good.replacen(from, to, 1)).expect("it can be written");
        let place = format!("trunkline.toml, line {}, column {column}: {key}", at + 1);
        for command in ["validate", "run"] {
            let done = run(&[command, "--config", &config], b"");
            assert_eq!((done.status, done.out.as_str()), (Some(78), ""), "{to}: {}", done.err);
            assert!(done.err.starts_with("error[E00"), "{to}: {}", done.err);
            assert!(done.err.contains(&place), "{to}: no {place:?} in {}", done.err);
            let (_, said) = done.err.split_once("hint: ").expect("there is a hint");
            assert!(said.contains(hint), "{to}: no {hint:?} in {said}");
            assert!(!done.err.contains("c4n4ry"), "{}", done.err);
            let log = dir.path().join("trunkline-data");
            assert!(!log.exists(), "{to}: a wrong configuration starts nothing");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_loses_nothing() {
    let config = EngageConfig {
        calls: 60,
        rate_per_second: 20.0,
        speed: 60.0,
        seed: 11,
        wait_for_clients: 3,
        ..EngageConfig::default()
    };
    let site = engage::start(config).await.expect("the site listens");
    let mut config = GcConfig::default();
    know(&mut config, &serde_json::from_value(site.directory()).expect("a directory"));
    let org = gc::start(config).await.expect("the organisation listens");
    let dir = folder(&site.directory(), site.addr(), org.addr());
    let config = config_of(dir.path());
    let args = ["run", "--config", &config];

    // A log takes room when it is made; the calls wait for the links.
    let made = ["run", "--only", "processors", "--config", &config];
    let mut made = Server::start(dir.path(), "made", &made);
    made.address("admin_address=").await;
    made.stop().await;

    let mut full = Server::start_limited(dir.path(), "full", FULL_AT_KIB, &args);
    let admin = full.address("admin_address=").await;
    full.says("File too large").await;
    // It stays up, to be looked at, and says that it is not well.
    until("it is not ready", TOLD_MAX, || {
        full.assert_alive();
        get(admin, "/readyz").is_some_and(|(status, _)| status == 503)
    })
    .await;
    let (status, took, _) = full.terminate().await;
    assert!(status.code().is_some(), "{status:?} after {took:?}");
    let told_before = org.summary();
    eprintln!(
        "stopped on a full disk: {status:?} after {took:?}, {} events told",
        told_before.events
    );

    // With room again everything is told, also what was said while nothing could be written.
    let mut connector = Server::start(dir.path(), "roomy", &args);
    until("the rest is told", CAUGHT_UP_MAX, || {
        connector.assert_alive();
        let progress = site.progress();
        progress.finished == progress.total
            && org.summary().open == 0
            && compare(&site.truth(), &org.told(), TOLERANCE_MS).is_empty()
    })
    .await;
    connector.stop().await;
    let summary = org.summary();
    assert!(told_before.events < summary.events, "the disk was full too late: {told_before:?}");
    assert!(summary.violations.is_empty(), "{:?}", org.violations());
    assert_eq!((summary.refused, summary.repeats_differing), (0, 0), "{summary:?}");
    for topic in [DEAD_INGEST, DEAD_CONVERSATION, DEAD_CONVERSATION_SINK] {
        let dead = records(&dir.path().join("trunkline-data"), topic);
        assert_eq!(dead.len(), 0, "{topic}: {:?}", dead.first().map(Stored::place));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_that_answers_garbage_is_asked_again() {
    let config = EngageConfig {
        calls: 20,
        rate_per_second: 10.0,
        speed: 60.0,
        seed: 12,
        wait_for_clients: 3,
        ..EngageConfig::default()
    };
    let site = engage::start(config).await.expect("the site listens");
    let mut config = GcConfig::default();
    know(&mut config, &serde_json::from_value(site.directory()).expect("a directory"));
    let org = gc::start(config).await.expect("the organisation listens");
    let front = Front::start(org.addr()).await;
    let dir = folder(&site.directory(), site.addr(), front.address());
    let config = config_of(dir.path());
    let mut connector = Server::start(dir.path(), "run", &["run", "--config", &config]);
    until("everything is told", CAUGHT_UP_MAX, || {
        connector.assert_alive();
        let progress = site.progress();
        progress.finished == progress.total
            && front.left() == 0
            && org.summary().open == 0
            && compare(&site.truth(), &org.told(), TOLERANCE_MS).is_empty()
    })
    .await;
    connector.stop().await;

    let summary = org.summary();
    assert!(summary.violations.is_empty(), "{:?}", org.violations());
    assert_eq!((summary.refused, summary.repeats_differing), (0, 0), "{summary:?}");
    // What was processed and answered with garbage came again, and nothing else.
    let requests_lost = Front::garbled(Garbled::Answer);
    assert!(summary.duplicates >= requests_lost as u64, "{summary:?}");
    let log = dir.path().join("trunkline-data");
    for topic in [DEAD_CONVERSATION, DEAD_CONVERSATION_SINK] {
        assert_eq!(records(&log, topic).len(), 0, "{topic}");
    }
    let outcomes = records(&log, OUTCOME_CONVERSATION);
    let outcomes: Vec<Outcome> = outcomes.iter().map(decode).collect();
    let of_events = outcomes.iter().filter(|outcome| outcome.event_id.is_some());
    let (count, statuses) = of_events.fold((0, Vec::new()), |(count, mut found), outcome| {
        if !found.contains(&outcome.status) {
            found.push(outcome.status);
        }
        (count + 1, found)
    });
    assert_eq!((count, statuses), (summary.events, vec![OutcomeStatus::Accepted]), "{summary:?}");
}
