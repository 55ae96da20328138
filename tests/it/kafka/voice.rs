//! Voice Microservices on a real broker: every event of seed 004 comes into the log as it is, none
//! is lost when the bridge is killed, and what lacks something is buried with its name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use trunkline::clock::Elapsed;
use trunkline_ingest::agentstate::{EVENTS, EventTable};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::DEAD_INGEST;
use trunkline_schemas::{RawEvent, RawKind};

use super::broker::{prefix, shared};
use super::cluster::create;
use crate::agent_feeds::{ingest, raw_agent, start};
use crate::program::get;
use crate::running::{records, until};

pub(super) const PARTITIONS: u32 = 3;
/// How often each event is written.
const ROUNDS: i64 = 40;
/// When the records are from, milliseconds since 1970.
const RECORD_MS: i64 = 1_764_000_000_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// An event with every attribute of its own table.
pub(super) fn event(table: &EventTable, round: i64) -> Value {
    let mut event = serde_json::Map::new();
    for name in table.mandatory.iter().chain(table.optional) {
        let value = match *name {
            "id" => json!(table.name),
            "time" => json!({"TimeinSecs": RECORD_MS / 1000 + round, "TimeinuSecs": 250_000}),
            "ThisDN" => json!(format!("{}", 7001 + round % 3)),
            "ConnID" => json!("00716AF900000002@vm"),
            "Extensions" | "Reasons" | "UserData" => json!({"ReasonCode": "Meal", "n": round}),
            "InfoStatus" => json!("CallForwardingStatus"),
            "AgentWorkMode" => json!(0),
            other => json!(format!("{other} {round}")),
        };
        event.insert((*name).to_owned(), value);
    }
    Value::Object(event)
}

/// Writes values, each in the next partition; returns what each partition then has, in its order.
fn write(address: &str, topic: &str, values: &[String]) -> BTreeMap<i32, Vec<String>> {
    let partitions = (0..PARTITIONS as i32).cycle();
    let records: Vec<(i32, String)> = partitions.zip(values.iter().cloned()).collect();
    produce(address, topic, &records);
    let mut written: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for (partition, value) in records {
        written.entry(partition).or_default().push(value);
    }
    written
}

/// Writes values to their partitions, and returns when the broker has them.
pub(super) fn produce(address: &str, topic: &str, records: &[(i32, String)]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("acks", "all")
        .create()
        .expect("a producer");
    for (partition, value) in records {
        let record = BaseRecord::<(), str>::to(topic)
            .partition(*partition)
            .timestamp(RECORD_MS)
            .payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("the record is taken");
    }
    let watch = Elapsed::start();
    while producer.in_flight_count() > 0 {
        assert!(watch.time() < PATIENCE, "the records are not acknowledged");
        producer.poll(Duration::from_millis(10));
    }
}

/// A count of the bridges, by what the process says.
fn count(admin: SocketAddr, name: &str) -> u64 {
    let metrics = get(admin, "/metrics").map(|answer| answer.1).unwrap_or_default();
    let begins = format!("trunkline_records_{name}_total{{stage=\"ingest\"");
    let lines = metrics.lines().filter(|line| line.starts_with(&begins));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn came_in(admin: SocketAddr) -> u64 {
    count(admin, "out")
}

pub(super) fn dead_letters(admin: SocketAddr) -> u64 {
    count(admin, "dead")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_events_come_into_the_log_as_they_are_and_none_is_lost() {
    let Some(address) = shared("Voice Microservices") else { return };
    let topic = format!("{}voice-agentstate", prefix("voice"));
    tokio::task::block_in_place(|| create(&address, &topic, PARTITIONS));
    let rounds = (0..ROUNDS).flat_map(|round| EVENTS.iter().map(move |table| event(table, round)));
    let mut values: Vec<String> = rounds.map(|event| event.to_string()).collect();
    // Each event once more, without one of the attributes it must have, and what is no event.
    let lacking = EVENTS.iter().zip((0..).map(|n: usize| n * 7)).map(|(table, n)| {
        let others = table.mandatory.iter().filter(|name| **name != "id").collect::<Vec<_>>();
        (table, *others[n % others.len()])
    });
    let lacking: Vec<(&EventTable, &str)> = lacking.collect();
    for (table, name) in &lacking {
        let mut event = event(table, 0);
        event.as_object_mut().expect("an object").remove(*name);
        values.push(event.to_string());
    }
    values.push("no event".to_owned());
    let (first, second) = values.split_at(values.len() / 2);
    let mut written = write(&address, &topic, first);

    let dir = tempfile::tempdir().expect("a directory");
    let states = format!(
        "[domain.agent_states.voice_microservices]\nbrokers = [\"{address}\"]\ntopic = \"{topic}\""
    );
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let directory = json!({"agents": [], "sourceId": "s"});
    let args = ingest(dir.path(), &directory, nobody, &states);
    // Killed as soon as something has come in; then everything comes.
    let mut process = start(dir.path(), "killed", &args);
    let admin = process.address("admin_address=").await;
    until("records come in", PATIENCE, || came_in(admin) > 20).await;
    process.assert_alive();
    drop(process);
    for (partition, values) in write(&address, &topic, second) {
        written.entry(partition).or_default().extend(values);
    }
    let mut process = start(dir.path(), "whole", &args);
    // Dead letters are the last records of every partition: with them everything has come in.
    let admin = process.address("admin_address=").await;
    until("the dead letters are there", PATIENCE, || {
        process.assert_alive();
        dead_letters(admin) == lacking.len() as u64 + 1
    })
    .await;
    process.stop().await;
    check(dir.path(), &written, &lacking);
}

/// By the offsets of each partition: every event as it is, or a dead letter of it.
fn check(
    dir: &std::path::Path,
    written: &BTreeMap<i32, Vec<String>>,
    lacking: &[(&EventTable, &str)],
) {
    let raw = raw_agent(dir);
    let mut found: BTreeMap<(String, i64), &RawEvent> = BTreeMap::new();
    for (_, raw) in raw.iter().filter(|(_, raw)| raw.kind == RawKind::Event) {
        assert_eq!(raw.stream, Some(Stream::AgentState));
        let place = (raw.link.clone(), raw.sequence.expect("an offset"));
        found.insert(place, raw);
    }
    let mut dead: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
    for letter in records(&dir.join("log"), DEAD_INGEST) {
        let header = |name| {
            let value = letter.record.header(name).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let said = format!("{}: {}", header("dead-code"), header("dead-why"));
        dead.insert(header("dead-source"), (said, letter.record.value.clone().unwrap_or_default()));
    }
    let mut buried = Vec::new();
    for (partition, values) in written {
        let link = format!("b1/main/agentstate/{partition}");
        for (offset, value) in (0..).zip(values) {
            let Some(raw) = found.get(&(link.clone(), offset)) else {
                let letter = dead.get(&format!("{link} offset {offset}"));
                let (said, kept) = letter.unwrap_or_else(|| panic!("{link}@{offset} is lost"));
                assert_eq!(String::from_utf8_lossy(kept), value.as_str());
                buried.push(said.clone());
                continue;
            };
            assert_eq!(String::from_utf8_lossy(&raw.payload), value.as_str());
            let event: Value = serde_json::from_str(value).expect("an event");
            assert_eq!(raw.name.as_deref(), event["id"].as_str());
            assert_eq!(raw.this_dn.as_deref(), event["ThisDN"].as_str());
            let has_time = event.get("time").is_some();
            assert_eq!(raw.record_time, !has_time, "{value}");
            if !has_time {
                assert_eq!(raw.switch_time_us, Some(RECORD_MS * 1_000), "{value}");
            }
        }
    }
    let mut wanted: Vec<String> = lacking
        .iter()
        .map(|(table, name)| format!("missing_attribute: {} without {name}", table.name))
        .collect();
    buried.retain(|said| !said.starts_with("not_json"));
    wanted.sort();
    buried.sort();
    assert_eq!(buried, wanted);
    let without_time = found.values().filter(|raw| raw.record_time).count() as i64;
    assert_eq!(without_time, 4 * ROUNDS, "four of the events have no time");
    let count = found.len() + dead.len();
    assert_eq!(count, written.values().map(Vec::len).sum::<usize>());
}
