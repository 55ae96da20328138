//! A running Trunkline as the tools of others see it: Kafka's own from the console, and kcat.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use trunkline_schemas::topics::{CATALOGUE, RAW_TLIB};

use super::broker::{Broker, announce, open};
use crate::kill::{org, site};
use crate::running::{Place, Settings, Start, World, until};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
/// How long anything may take; each look starts a Java.
const MOMENT_MAX: Duration = Duration::from_mins(2);

/// Each group, and its topic with how many partitions it has.
const EXPECTED: [(&str, &str, usize); 2] = [
    ("trunkline.conversation", "raw.tlib", 1),
    ("trunkline.conversation-sink", "command.conversation", 2),
];

/// What the tool says of one partition of a group.
#[derive(Debug)]
struct Row {
    topic: String,
    current: i64,
    end: i64,
    lag: i64,
    consumer: String,
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the tool writes UTF-8")
}

fn lines(bytes: Vec<u8>) -> Vec<String> {
    text(bytes).lines().map(|line| line.trim().to_owned()).collect()
}

/// Where a group stands; a partition without a position has no row.
fn describe(broker: &Broker, group: &str) -> Vec<Row> {
    let said = lines(broker.tool(GROUPS, &["--describe", "--group", group]));
    let mut table = said.iter().skip_while(|line| !line.starts_with("GROUP"));
    let Some(header) = table.next() else { return Vec::new() };
    let columns: Vec<&str> = header.split_whitespace().collect();
    let row = |line: &String| {
        let cells: BTreeMap<_, _> = columns.iter().copied().zip(line.split_whitespace()).collect();
        let number = |column: &str| cells.get(column)?.parse().ok();
        Some(Row {
            topic: (*cells.get("TOPIC")?).to_owned(),
            current: number("CURRENT-OFFSET")?,
            end: number("LOG-END-OFFSET")?,
            lag: number("LAG")?,
            consumer: (*cells.get("CONSUMER-ID")?).to_owned(),
        })
    };
    table.filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_of_others_read_topics_groups_and_lag() {
    let Some(broker) = Broker::start("tools of others", "") else { return };
    drop(open(&broker, ""));
    let log = Place::Kafka(vec![broker.address()]);
    let settings = Settings { log, bridges: &["b1"], ..Settings::default() };
    let world = World::new(site(71, 25), org(true), &settings).await;
    let mut process = world.run(None);
    world.told(&mut process, MOMENT_MAX).await;

    let topics = lines(broker.tool(TOPICS, &["--list"]));
    for spec in &CATALOGUE {
        assert!(topics.contains(&spec.topic.to_string()), "{} is not in {topics:?}", spec.topic);
    }
    let groups = lines(broker.tool(GROUPS, &["--list"]));
    for (group, topic, partitions) in EXPECTED {
        assert!(groups.contains(&group.to_owned()), "{group} is not in {groups:?}");
        let rows = describe(&broker, group);
        assert_eq!(rows.len(), partitions, "{group}: {rows:?}");
        for row in &rows {
            assert_eq!(row.topic, topic, "{row:?}");
            assert_eq!(row.lag, row.end - row.current, "{row:?}");
            assert!(row.current > 0, "calls were told: {row:?}");
            assert!(row.consumer.len() > 1, "a member has it: {row:?}");
        }
    }
    process.stop().await;
    lag_grows(&broker, &world).await;
    raw_records_are_read(&broker, &world);
}

/// Where nobody processes what comes in, the lag says so.
async fn lag_grows(broker: &Broker, world: &World) {
    let recorder = Start { bridges: &["b1"], domains: 1, only: &["ingest"], hold: None };
    let mut recorder = world.start(&recorder);
    let lag = || describe(broker, EXPECTED[0].0).first().map_or(0, |row| row.lag);
    let before = lag();
    until("the lag grows", MOMENT_MAX, || {
        recorder.assert_alive();
        lag() > before + 1
    })
    .await;
    recorder.stop().await;
}

/// No process runs: what is there stays.
fn raw_records_are_read(broker: &Broker, world: &World) {
    let records = world.records(RAW_TLIB);
    let count = records.len().to_string();
    let args = ["--topic", RAW_TLIB.name(), "--from-beginning", "--max-messages", &count];
    let read = broker.tool(CONSUMER, &[&args[..], &["--timeout-ms", "60000"]].concat());
    let values: Vec<u8> = records
        .iter()
        .flat_map(|stored| [stored.record.value.as_deref().unwrap_or_default(), b"\n"].concat())
        .collect();
    assert!(read == values, "{} bytes of {count} records, not {}", read.len(), values.len());

    if !Command::new("kcat").arg("-V").output().is_ok_and(|done| done.status.success()) {
        let is_required = std::env::var("TRUNKLINE_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
        assert!(!is_required, "there is no kcat, and TRUNKLINE_REQUIRE_KAFKA is set");
        announce("\n*** SKIPPED: there is no kcat ***\n");
        return;
    }
    let kcat = |args: &[&str]| {
        let done = Command::new("kcat").args(["-b", &broker.address()]).args(args).output();
        let done = done.expect("kcat starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        text(done.stdout)
    };
    let listed = kcat(&["-L"]);
    for spec in &CATALOGUE {
        let topic = format!("topic \"{}\"", spec.topic);
        assert!(listed.contains(&topic), "{topic} is not in {listed}");
    }
    let read = kcat(&["-C", "-t", RAW_TLIB.name(), "-o", "beginning", "-e", "-q", "-f", "%o %S\n"]);
    let expected = records.iter().map(|stored| {
        let bytes = stored.record.value.as_ref().map_or(0, Vec::len);
        format!("{} {bytes}", stored.offset)
    });
    assert_eq!(read.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
