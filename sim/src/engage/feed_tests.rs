//! The feed against its protocol, over TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::model_tests::table;
use super::*;
use crate::truth::{Expected, LegKind};

/// No line takes longer than this to come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let (reader, writer) =
            TcpStream::connect(address).await.expect("the site listens").into_split();
        Self { lines: BufReader::new(reader).lines(), writer }
    }

    /// Says hello and returns the welcome with the client.
    async fn hello(address: SocketAddr, hello: Value) -> (Self, Value) {
        let mut client = Self::connect(address).await;
        client.write(&format!("{}\n", json!({"hello": hello}))).await;
        let mut welcome = client.line().await.expect("a welcome");
        (client, welcome["welcome"].take())
    }

    async fn write(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.expect("the site reads");
    }

    /// The next line, or nothing at the end.
    async fn line(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("a line in time").expect("the connection holds")?;
        Some(serde_json::from_str(&line).expect("a line of JSON"))
    }

    /// The next event, past `keepAlive` and `caughtUp`.
    async fn event(&mut self) -> Value {
        loop {
            let line = self.line().await.expect("an event");
            if line.get("event").is_some() {
                return line;
            }
        }
    }

    /// All events up to `caughtUp`.
    async fn until_caught_up(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let line = self.line().await.expect("a line before the end");
            if line == json!({"caughtUp": true}) {
                return events;
            }
            if line != json!({"keepAlive": true}) {
                events.push(line);
            }
        }
    }
}

fn fast(seed: u64, calls: u64) -> EngageConfig {
    EngageConfig {
        seed,
        calls,
        rate_per_second: 2_000.0,
        speed: 5_000.0,
        ..EngageConfig::default()
    }
}

async fn running(config: EngageConfig) -> EngageSim {
    start(config).await.expect("the site starts")
}

fn dns(sim: &EngageSim, list: &str) -> Vec<String> {
    let directory = sim.directory();
    let rows = directory[list].as_array().expect("a list").iter();
    rows.map(|row| row["dn"].as_str().expect("a DN").to_owned()).collect()
}

fn hello(sim: &EngageSim, role: &str) -> Value {
    match role {
        "vq" => json!({"role": role, "bridge": "b1", "dns": dns(sim, "queues")}),
        "agent" => json!({"role": role, "bridge": "b1", "dns": dns(sim, "extensions")}),
        _ => json!({"role": role, "bridge": "b1"}),
    }
}

/// All events of a role once the run is over.
async fn all(sim: &EngageSim, role: &str) -> Vec<Value> {
    let address = if role == "vq" { sim.vq_addr() } else { sim.addr() };
    Client::hello(address, hello(sim, role)).await.0.until_caught_up().await
}

fn sequence(line: &Value) -> u64 {
    let text = line["event"]["EventSequenceNumber"].as_str().expect("a sequence number");
    assert_eq!(text.len(), 16);
    u64::from_str_radix(text, 16).expect("hexadecimal")
}

fn micros(line: &Value) -> i64 {
    let time = &line["event"]["time"];
    time["TimeinSecs"].as_i64().expect("seconds") * 1_000_000
        + time["TimeinuSecs"].as_i64().expect("microseconds")
}

#[tokio::test]
async fn every_model_played_alone_gives_its_table_over_the_feed() {
    for vq_server in [false, true] {
        for (model, _) in SHARES {
            let sim = running(EngageConfig { only: Some(model), vq_server, ..fast(7, 3) }).await;
            sim.wait_finished().await;
            let mut lines = Vec::new();
            for role in ["call", "vq", "agent"] {
                lines.extend(all(&sim, role).await);
            }
            // Across servers only the time gives an order; within one also the number.
            lines.sort_by_key(|line| (micros(line), sequence(line)));
            let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for line in &lines {
                let (stream, event) = (line["stream"].as_str(), &line["event"]);
                let vq = stream == Some("vq") && vq_server;
                assert_eq!(line["source"], if vq { VQ_SERVER } else { SIP_SERVER });
                assert_eq!(event["Server"], line["source"]);
                let name = event["id"].as_str().expect("a name");
                let row = format!("{} {name}", stream.expect("a stream"));
                let key = match event["CallUUID"].as_str() {
                    Some(call) => call,
                    None => call_of(&lines, &event["ConnID"]),
                };
                told.entry(key.to_owned()).or_default().push(row);
            }
            let wanted: Vec<_> = table(model).iter().map(|row| name_of_row(row)).collect();
            let calls: Vec<_> = sim.truth().into_iter().map(|call| call.call_uuid).collect();
            assert_eq!(told.keys().collect::<Vec<_>>(), calls.iter().collect::<Vec<_>>());
            for rows in told.values_mut() {
                // Between two servers there is no order, so that each is compared for itself.
                let mut wanted = wanted.clone();
                if vq_server {
                    wanted.sort_by_key(|row| row.starts_with("vq"));
                    rows.sort_by_key(|row| row.starts_with("vq"));
                }
                assert_eq!(*rows, wanted, "model {}", model.name());
            }
            sim.stop().await;
        }
    }
}

/// The CallUUID of the call with this ConnID.
fn call_of<'a>(lines: &'a [Value], conn_id: &Value) -> &'a str {
    let created = |line: &&Value| line["event"]["id"] == "EventCallCreated";
    let line = lines.iter().filter(created).find(|line| line["event"]["ConnID"] == *conn_id);
    line.and_then(|line| line["event"]["CallUUID"].as_str()).expect("a call was created")
}

fn name_of_row(row: &str) -> String {
    row.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_same_seed_plays_the_same_calls() {
    let shape = |sim: &EngageSim| {
        let truth = sim.truth();
        let first = truth.iter().find_map(first_start).expect("a conversation");
        let relative = |call: &CallTruth| first_start(call).map(|start| start - first);
        let names = |call: &CallTruth| (call.call_uuid.clone(), call.model.clone(), users(call));
        (sim.directory(), truth.iter().map(names).collect::<Vec<_>>(), {
            truth.iter().map(relative).collect::<Vec<_>>()
        })
    };
    let mut shapes = Vec::new();
    for (seed, vq_server) in [(7, false), (7, false), (7, true), (8, false)] {
        let sim = running(EngageConfig { vq_server, ..fast(seed, 50) }).await;
        sim.wait_finished().await;
        shapes.push(shape(&sim));
    }
    assert_eq!((&shapes[0].0, &shapes[0].1), (&shapes[1].0, &shapes[1].1));
    // A separate VQ server changes who says what, not what happens.
    assert_eq!(shapes[0].1, shapes[2].1);
    for (one, other) in shapes[0].2.iter().zip(&shapes[1].2) {
        // Equal but for where the beginning falls within a millisecond.
        let near = |(one, other): (i64, i64)| one.abs_diff(other) <= 1;
        assert!(one.zip(*other).is_none_or(near) && one.is_some() == other.is_some());
    }
    assert_ne!(shapes[0].0, shapes[3].0);
    let calls =
        |index: usize| -> BTreeSet<_> { shapes[index].1.iter().map(|row| &row.0).collect() };
    assert!(calls(0).is_disjoint(&calls(3)));
}

fn first_start(call: &CallTruth) -> Option<i64> {
    match &call.expected {
        Expected::Conversation(legs) => legs.iter().map(|leg| leg.start_ms).min(),
        Expected::Nothing(_) => None,
    }
}

fn users(call: &CallTruth) -> Vec<Option<String>> {
    match &call.expected {
        Expected::Conversation(legs) => legs.iter().map(|leg| leg.id.clone()).collect(),
        Expected::Nothing(_) => Vec::new(),
    }
}

#[tokio::test]
async fn numbers_grow_with_holes_and_the_truth_is_dated_as_the_events() {
    let sim = running(fast(7, 200)).await;
    sim.wait_finished().await;
    let mut lines = Vec::new();
    for role in ["call", "vq", "agent"] {
        lines.extend(all(&sim, role).await);
    }
    lines.sort_by_key(sequence);
    let steps: Vec<_> = lines.windows(2).map(|two| sequence(&two[1]) - sequence(&two[0])).collect();
    for wanted in 1..=3 {
        assert!(steps.iter().filter(|step| **step == wanted).count() * 5 > steps.len());
    }
    assert!(steps.iter().all(|step| (1..=3).contains(step)));
    assert!(lines.windows(2).all(|two| micros(&two[0]) <= micros(&two[1])));

    let at = |call: &CallTruth, name: &str| {
        let of_call = |line: &&Value| line["event"]["CallUUID"] == call.call_uuid.as_str();
        let found = lines.iter().filter(of_call).find(|line| line["event"]["id"] == name);
        micros(found.expect("the call has this event")).div_euclid(1_000)
    };
    for call in sim.truth() {
        let created = at(&call, "EventCallCreated");
        assert_eq!(first_start(&call).unwrap_or(created), created);
        let Expected::Conversation(legs) = &call.expected else { continue };
        let end = legs.iter().filter_map(|leg| leg.end_ms).max().expect("an end");
        assert!((0..=1).contains(&(end - at(&call, "EventCallDeleted"))), "{call:?}");
        if let Some(queue) = legs.iter().find(|leg| leg.kind == LegKind::Routing) {
            assert_eq!(queue.start_ms, at(&call, "EventQueued"));
        }
    }
    let progress = sim.progress();
    let over = Progress { started: 200, finished: 200, total: 200, talking: 0, queued: 0 };
    assert_eq!(progress, over);
}

#[tokio::test]
async fn resumption_from_any_number_loses_and_repeats_nothing() {
    let sim = running(fast(7, 20)).await;
    sim.wait_finished().await;
    let (mut client, welcome) = Client::hello(sim.addr(), hello(&sim, "call")).await;
    assert_eq!((&welcome["server"], &welcome["resumed"]), (&json!("sips1"), &json!(false)));
    let everything = client.until_caught_up().await;
    let start = &welcome["serverStart"];
    assert!(everything.iter().all(|line| line["event"]["ServerStartTime"] == *start));
    let last = sequence(everything.last().expect("events"));
    // Every number around and between the events, given to this role or not.
    let near_first = sequence(&everything[0]).saturating_sub(3);
    for number in [0].into_iter().chain(near_first..=last) {
        let mut hello = hello(&sim, "call");
        hello["resume"] = json!({"serverStart": start, "sequence": format!("{number:016x}")});
        let rest: Vec<_> =
            everything.iter().filter(|line| sequence(line) > number).cloned().collect();
        let (mut client, welcome) = Client::hello(sim.addr(), hello).await;
        assert_eq!(welcome["resumed"], true, "{number}");
        assert_eq!(client.until_caught_up().await, rest, "{number}");
    }
    let other_start = start.as_i64().expect("seconds") - 1;
    let far = last + 1_000;
    for (why, start, number) in [
        ("another server process", json!(other_start), last),
        ("a number that was never given", start.clone(), far),
    ] {
        let mut hello = hello(&sim, "call");
        hello["resume"] = json!({"serverStart": start, "sequence": format!("{number:016x}")});
        let (mut client, welcome) = Client::hello(sim.addr(), hello).await;
        assert_eq!(welcome["resumed"], false, "{why}");
        assert_eq!(client.until_caught_up().await, everything, "{why}");
    }
}

#[tokio::test]
async fn clients_during_the_run_see_the_same_even_if_one_comes_and_goes() {
    let config = EngageConfig { rate_per_second: 200.0, wait_for_clients: 2, ..fast(7, 100) };
    let sim = running(config).await;
    let (mut steady, _) = Client::hello(sim.addr(), hello(&sim, "call")).await;
    assert_eq!(steady.until_caught_up().await, Vec::<Value>::new());
    // Only the second client starts the calls.
    assert_eq!((sim.truth(), sim.progress().started), (Vec::new(), 0));
    let (mut fickle, welcome) = Client::hello(sim.addr(), hello(&sim, "call")).await;
    let mut seen = Vec::new();
    loop {
        for _ in 0..37 {
            seen.push(fickle.event().await);
            if sim.progress().finished == 100 {
                break;
            }
        }
        let at = seen.last().expect("at least one event")["event"]["EventSequenceNumber"].clone();
        let mut hello = hello(&sim, "call");
        hello["resume"] = json!({"serverStart": welcome["serverStart"], "sequence": at});
        let (client, welcome) = Client::hello(sim.addr(), hello).await;
        assert_eq!(welcome["resumed"], true);
        fickle = client;
        if sim.progress().finished == 100 {
            seen.extend(fickle.until_caught_up().await);
            break;
        }
    }
    let everything = all(&sim, "call").await;
    let mut followed = Vec::new();
    while followed.len() < everything.len() {
        followed.push(steady.event().await);
    }
    assert_eq!(seen, everything);
    assert_eq!(followed, everything);
}

#[tokio::test]
async fn each_role_gets_its_stream_for_the_dns_it_named() {
    let sim = running(fast(7, 100)).await;
    sim.wait_finished().await;
    let some_agents = json!(["7001", "7009", "7030"]);
    // (role, its DNs, the stream, the DNs that must all occur)
    let table = [
        ("vq", json!(["VQ_Sales"]), "vq", json!(["VQ_Sales"])),
        ("vq", json!(["VQ_Sales", "VQ_Billing", "VQ_No"]), "vq", json!(["VQ_Billing", "VQ_Sales"])),
        ("vq", json!(["7001"]), "vq", json!([])),
        ("agent", some_agents.clone(), "ext", some_agents),
        ("agent", json!([]), "ext", json!([])),
    ];
    for (role, named, stream, wanted) in table {
        let hello = json!({"role": role, "bridge": "b1", "dns": named});
        let (mut client, _) = Client::hello(sim.addr(), hello).await;
        let lines = client.until_caught_up().await;
        assert!(lines.iter().all(|line| line["stream"] == stream), "{role} {named}");
        let dns: BTreeSet<_> =
            lines.iter().filter_map(|line| line["event"]["ThisDN"].as_str()).collect();
        assert_eq!(json!(dns), wanted, "{role} {named}");
    }
    let whole = all(&sim, "call").await;
    assert!(whole.iter().all(|line| line["stream"] == "call"));
    assert!(whole.iter().all(|line| line["event"].get("ThisDN").is_none()));
}

#[tokio::test]
async fn a_vq_server_is_a_server_of_its_own() {
    let sim = running(EngageConfig { vq_server: true, ..fast(7, 50) }).await;
    sim.wait_finished().await;
    assert_ne!(sim.addr(), sim.vq_addr());
    let (mut vq, vq_welcome) = Client::hello(sim.vq_addr(), hello(&sim, "vq")).await;
    let (mut wrong, _) = Client::hello(sim.addr(), hello(&sim, "vq")).await;
    let (_, welcome) = Client::hello(sim.addr(), hello(&sim, "call")).await;
    assert_eq!((&vq_welcome["server"], &welcome["server"]), (&json!("vqs"), &json!("sips1")));
    assert_ne!(vq_welcome["serverStart"], welcome["serverStart"]);
    let lines = vq.until_caught_up().await;
    assert!(lines.len() > 50);
    let start = &vq_welcome["serverStart"];
    assert!(lines.iter().all(|line| line["event"]["ServerStartTime"] == *start));
    assert_eq!(wrong.until_caught_up().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_bad_hello_gets_one_clear_error_and_the_end() {
    let sim = running(fast(7, 1)).await;
    let resume = |sequence: &str| {
        let resume = json!({"serverStart": 1, "sequence": sequence});
        format!("{}\n", json!({"hello": {"role": "call", "bridge": "b1", "resume": resume}}))
    };
    let table = [
        ("GET / HTTP/1.1\r\n".to_owned(), "expected value"),
        ("{}\n".to_owned(), "missing field `hello`"),
        ("{\"hello\":{\"bridge\":\"b1\"}}\n".to_owned(), "missing field `role`"),
        ("{\"hello\":{\"role\":\"call\"}}\n".to_owned(), "missing field `bridge`"),
        (
            "{\"hello\":{\"role\":\"queue\",\"bridge\":\"b1\"}}\n".to_owned(),
            "unknown variant `queue`",
        ),
        ("{\"hello\":{\"role\":\"vq\",\"bridge\":\"b1\"}}\n".to_owned(), "must name its DNs"),
        (resume("1f"), "16 hexadecimal digits"),
        (resume("+00000000000000f"), "16 hexadecimal digits"),
        (resume("00000000000000zz"), "16 hexadecimal digits"),
        ("{\"hello\":".to_owned() + &"[".repeat(1_000) + "\n", "bad hello"),
        ("x".repeat((1 << 20) + (5 << 10)), "too long"),
    ];
    for (text, error) in table {
        let mut client = Client::connect(sim.addr()).await;
        client.write(&text).await;
        let line = client.line().await.expect("an error line");
        let told = line["error"].as_str().expect("an error text");
        assert!(told.contains(error) && told.len() < 200, "{error}: {told}");
        assert_eq!(client.line().await, None, "{error}");
    }
    // A line that is cut off, and bytes that are no text.
    for bytes in [&b"{\"hello\""[..], &b"\xff\xfe\n"[..]] {
        let mut client = Client::connect(sim.addr()).await;
        client.writer.write_all(bytes).await.expect("the site reads");
        client.writer.shutdown().await.expect("the connection holds");
        let line = client.line().await.expect("an error line");
        assert!(line["error"].as_str().is_some_and(|text| text.starts_with("bad hello: ")));
        assert_eq!(client.line().await, None);
    }
}

#[tokio::test]
async fn a_silent_feed_says_that_it_is_alive_and_ends_when_stopped() {
    let sim = running(EngageConfig { wait_for_clients: 2, ..fast(7, 1) }).await;
    let (mut client, _) = Client::hello(sim.addr(), hello(&sim, "call")).await;
    assert_eq!(client.line().await, Some(json!({"caughtUp": true})));
    let before = tokio::time::Instant::now();
    for _ in 0..2 {
        assert_eq!(client.line().await, Some(json!({"keepAlive": true})));
    }
    let took = before.elapsed();
    assert!((Duration::from_millis(1_500)..PATIENCE).contains(&took), "{took:?}");
    sim.stop().await;
    assert_eq!(client.line().await, None);
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_and_no_calls_are_no_wait() {
    type Spoil = fn(&mut EngageConfig);
    let table: [(Spoil, &str); 7] = [
        (|config| config.calls = CALLS_MAX + 1, "calls is 200001: at most 200000"),
        (|config| config.agents = 1, "agents is 1: from 2 to 2000"),
        (|config| config.agents = 2_001, "agents is 2001: from 2 to 2000"),
        (|config| config.rate_per_second = 0.0, "rate is 0: must be above 0"),
        (|config| config.rate_per_second = f64::NAN, "rate is NaN: must be above 0"),
        (|config| config.speed = -1.0, "speed is -1: must be above 0"),
        (|config| config.speed = f64::INFINITY, "speed is inf: must be above 0"),
    ];
    for (spoil, text) in table {
        let mut config = fast(7, 1);
        spoil(&mut config);
        let error = start(config).await.expect_err(text);
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::InvalidInput, text.to_owned())
        );
    }
    running(fast(7, 0)).await.wait_finished().await;
}
