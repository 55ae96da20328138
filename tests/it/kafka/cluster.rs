//! What may not be done to the topics and the broker, and how a test does it.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};
use trunkline::log::kafka::Kafka;
use trunkline::log::{Layout, Log, LogError};
use trunkline_schemas::topics::{DIRECTORY, RAW_TLIB};
use trunkline_schemas::{Offset, Partition};

use super::broker::{Broker, config, open, prefix, shared};

/// Deletes the records of a partition below an offset.
pub(super) fn forget_before(address: &str, topic: &str, partition: Partition, offset: Offset) {
    let mut list = TopicPartitionList::new();
    let (number, offset) = (partition as i32, KafkaOffset::Offset(offset));
    list.add_partition_offset(topic, number, offset).expect("an offset");
    let deleted = runtime().block_on(admin(address).delete_records(&list, &options()));
    let deleted = deleted.expect("records are deleted");
    for one in deleted.elements() {
        one.error().expect("the records of the partition are deleted");
    }
}

/// Creates a topic as its owner might.
pub(super) fn create(address: &str, name: &str, partitions: u32) {
    let new = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
    let made = runtime().block_on(admin(address).create_topics([&new], &options()));
    made.expect("topics are made")[0].as_ref().expect("the topic is made");
}

/// Creates a topic for state that the broker compacts as soon as it can.
pub(super) fn create_eager(address: &str, name: &str, partitions: u32) {
    let settings = [
        ("message.timestamp.type", "LogAppendTime"),
        ("max.message.bytes", "2097152"),
        ("cleanup.policy", "compact"),
        ("min.compaction.lag.ms", "0"),
        ("min.cleanable.dirty.ratio", "0.001"),
        // What is written into the newest segment is never compacted: each write begins one.
        ("segment.ms", "1"),
    ];
    let new = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
    let made = runtime().block_on(admin(address).create_topics([&new], &options()));
    made.expect("topics are made")[0].as_ref().expect("the topic is made");
}

/// A topic, the settings it was made with, and what is said of it.
type Refusal = (&'static str, &'static [(&'static str, &'static str)], &'static str);

#[test]
fn topics_with_another_policy_or_layout_are_refused() {
    let Some(address) = shared("refusal of topics") else { return };
    let good = |topic| Layout { topic, partitions: 2 };
    let table: [Refusal; 5] = [
        ("raw.tlib", &[], "message.timestamp.type is CreateTime, and must be LogAppendTime"),
        (
            "raw.tlib",
            &[
                ("message.timestamp.type", "LogAppendTime"),
                ("max.message.bytes", "2097152"),
                ("retention.ms", "604799999"),
            ],
            "retention.ms is 604799999, and must be 604800000 or more",
        ),
        (
            "raw.tlib",
            &[
                ("message.timestamp.type", "LogAppendTime"),
                ("max.message.bytes", "2097152"),
                ("cleanup.policy", "compact"),
            ],
            "cleanup.policy is compact, and must be delete",
        ),
        (
            "directory",
            &[("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "2097152")],
            "cleanup.policy is delete, and must be compact",
        ),
        (
            "directory",
            &[("message.timestamp.type", "LogAppendTime")],
            "max.message.bytes is 1048588, and must be 2097152 or more",
        ),
    ];
    for (name, settings, expected) in table {
        let prefix = prefix("refused");
        let full = format!("{prefix}{name}");
        let new = NewTopic::new(&full, 2, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
        let made = runtime().block_on(admin(&address).create_topics([&new], &options()));
        made.expect("topics are made")[0].as_ref().expect("the topic is made");
        let log = Kafka::open(&config(&address, &prefix)).expect("the broker answers");
        let layout = if name == "directory" { good(DIRECTORY) } else { good(RAW_TLIB) };
        // The broker may not know of it for a moment, and then it is made: as somebody else's.
        match log.ensure(&[layout]) {
            Err(LogError::Refused { what }) => {
                assert_eq!(what, format!("topic {full}: its setting {expected}"));
            }
            other => panic!("{name} with {settings:?}: {other:?}"),
        }
        let other = Layout { partitions: 1, ..layout };
        match log.ensure(&[other]) {
            Err(LogError::OtherLayout { found: 2, wanted: 1, .. }) => {}
            other => panic!("{name} with 1 partition: {other:?}"),
        }
        log.remove_topics().expect("the topics are deleted");
    }
    let log = Kafka::open(&config(&address, "")).expect("the broker answers");
    let kept = log.remove_topics();
    assert!(matches!(kept, Err(LogError::Refused { .. })), "without a prefix: {kept:?}");
}

#[test]
fn a_broker_that_does_not_verify_transactions_is_refused() {
    let setting = "transaction.partition.verification.enable";
    let Some(broker) = Broker::start("refusal of a broker", &format!("{setting}=false")) else {
        return;
    };
    // The first answer that is not "unavailable" is the refusal: `open` gives up on it.
    let said = std::panic::catch_unwind(|| open(&broker, "")).map(|_| ());
    let said = said.expect_err("the broker was taken");
    let said = said.downcast_ref::<String>().map_or("", String::as_str);
    let expected = format!("refused: broker 1: its setting {setting} is false, and must be true");
    assert!(said.contains(&expected), "{said}");
}

fn admin(address: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", address).create().expect("an admin client")
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(std::time::Duration::from_secs(10)))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}
