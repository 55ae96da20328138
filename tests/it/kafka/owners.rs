//! Owners of one task that meet: one that was killed in the middle of a step, one whose step was
//! torn, two that fight.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};
use trunkline::clock::Elapsed;
use trunkline::log::kafka::Kafka;
use trunkline::log::{Log, LogError};
use trunkline_schemas::Offset;
use trunkline_schemas::topics::{COMMAND_CONVERSATION, RAW_TLIB, STATE_CONVERSATION};

use super::broker::{announce, config, prefix, shared};
use super::work::{LAST, LAYOUTS, PATIENCE, all, check_done, output, spec, step};

/// How long a client of the library may take to do something.
const CALL: Duration = Duration::from_secs(10);

/// A consumer of the group that keeps the position of a task.
fn group(address: &str, prefix: &str, task: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", format!("{prefix}trunkline.{task}"))
        .create()
        .expect("a consumer")
}

fn position(prefix: &str, next: Offset) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    let input = format!("{prefix}{RAW_TLIB}");
    offsets.add_partition_offset(&input, 0, KafkaOffset::Offset(next)).expect("an offset");
    offsets
}

/// An owner that was cut off in the middle of a step: its records are there, its position is on
/// its way, and nobody has ended its transaction.
fn leave_open(address: &str, prefix: &str, task: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("transactional.id", format!("{prefix}trunkline-{task}-0"))
        .create()
        .expect("a producer");
    producer.init_transactions(CALL).expect("the transaction's name is taken");
    producer.begin_transaction().expect("a transaction begins");
    for (topic, key) in [(COMMAND_CONVERSATION, &b"k"[..]), (STATE_CONVERSATION, LAST)] {
        let topic = format!("{prefix}{topic}");
        let record = BaseRecord::to(&topic).partition(0).key(key).payload("torn");
        producer.send(record).map_err(|(error, _)| error).expect("the record is taken");
    }
    let group = group(address, prefix, task).group_metadata().expect("the group's metadata");
    let offsets = position(prefix, 99);
    producer.send_offsets_to_transaction(&offsets, &group, CALL).expect("the position is sent");
    let watch = Elapsed::start();
    while producer.in_flight_count() > 0 {
        assert!(watch.time() < CALL, "the records are not acknowledged");
        producer.poll(Duration::from_millis(10));
    }
    producer
}

#[test]
fn a_new_owner_ends_what_a_killed_one_left_open() {
    let Some(address) = shared("take-over") else { return };
    let prefix = prefix("open");
    let log = Kafka::open(&config(&address, &prefix)).expect("the broker answers");
    log.ensure(&LAYOUTS).expect("the topics are made");
    let inputs = (0..5_u8).map(|n| output(RAW_TLIB, vec![n])).collect();
    log.appender().expect("an appender").append(inputs).expect("append");
    let spec = spec("taken");
    let mut first = log.own(&spec).expect("own");
    assert_eq!(step(&mut *first, 2, PATIENCE).expect("a step"), 2);
    let position = first.position();
    drop(first);

    let zombie = leave_open(&address, &prefix, "taken");
    let stuck = log.bounds(COMMAND_CONVERSATION, 0).expect("bounds").end;
    let before = all(&*log, COMMAND_CONVERSATION);
    assert_eq!(before.len(), 2, "an open step can be seen: {before:?}");

    let watch = Elapsed::start();
    let mut task = log.own(&spec).expect("own");
    let took = watch.time();
    announce(&format!("take-over of an open transaction: {} ms", took.as_millis()));
    assert!(took < Duration::from_secs(5), "take-over took {} ms", took.as_millis());
    assert_eq!(task.position(), position, "the position of the last whole step");
    let mut state = Vec::new();
    task.restore(&mut |key, value| state.push((key, value)), &mut |_| {}).expect("restore");
    let last = before.last().expect("a step was done").1.clone();
    assert_eq!(state, [(LAST.to_vec(), last)], "the state of the last whole step");

    // What comes after the torn step can be seen at once, and the torn step never.
    while step(&mut *task, 10, Duration::ZERO).expect("a step") == 0 {
        assert!(watch.time() < PATIENCE, "nothing comes");
    }
    let end = log.bounds(COMMAND_CONVERSATION, 0).expect("bounds").end;
    assert!(end > stuck, "the end stands at {end}, was {stuck}");
    zombie.commit_transaction(CALL).expect_err("the zombie commits");
    drop(zombie);
    drop(task);
    check_done(&*log, &spec);
    log.remove_topics().expect("the topics are deleted");
}

/// As a cluster leaves it that forgets to end a transaction and has told a part of its partitions.
#[test]
fn a_position_that_is_not_the_one_of_the_state_is_not_believed() {
    let Some(address) = shared("a torn step") else { return };
    let prefix = prefix("half");
    let log = Kafka::open(&config(&address, &prefix)).expect("the broker answers");
    log.ensure(&LAYOUTS).expect("the topics are made");
    let inputs = (0..5_u8).map(|n| output(RAW_TLIB, vec![n])).collect();
    log.appender().expect("an appender").append(inputs).expect("append");
    let spec = spec("half");
    let mut task = log.own(&spec).expect("own");
    assert_eq!(step(&mut *task, 2, PATIENCE).expect("a step"), 2);
    drop(task);

    let group = group(&address, &prefix, "half");
    let moves = |next: Offset| {
        let offsets = position(&prefix, next);
        group.commit(&offsets, CommitMode::Sync).expect("the position is moved");
    };
    moves(4);
    let mut task = log.own(&spec).expect("own");
    assert_eq!(task.position(), 2, "the state knows of no more");
    let watch = Elapsed::start();
    while task.position() < 5 {
        assert!(watch.time() < PATIENCE, "nothing comes");
        step(&mut *task, 10, Duration::from_millis(100)).expect("a step");
    }
    drop(task);
    check_done(&*log, &spec);

    moves(3);
    let mut task = log.own(&spec).expect("own");
    assert_eq!(task.position(), 3, "rather twice than never");
    assert_eq!(step(&mut *task, 10, PATIENCE).expect("a step"), 2);
    drop(task);
    assert_eq!(log.own(&spec).expect("own").position(), 5, "both are one again");
    let keys = log.read(STATE_CONVERSATION, 0, 0, 100).expect("the state can be read");
    let keys: Vec<_> = keys.into_iter().map(|stored| stored.record.key).collect();
    assert!(keys.iter().all(|key| key == LAST), "what is noted is not of the state: {keys:?}");
    log.remove_topics().expect("the topics are deleted");
}

#[test]
fn two_owners_that_fight_do_every_record_once() {
    const RECORDS: u16 = 400;
    let Some(address) = shared("two owners") else { return };
    let prefix = prefix("fight");
    let log = Kafka::open(&config(&address, &prefix)).expect("the broker answers");
    log.ensure(&LAYOUTS).expect("the topics are made");
    let inputs = (0..RECORDS).map(|n| output(RAW_TLIB, n.to_be_bytes().to_vec())).collect();
    log.appender().expect("an appender").append(inputs).expect("append");
    let (done, fenced) = (AtomicUsize::new(0), AtomicU32::new(0));
    let watch = Elapsed::start();
    // Each takes the task from the other whenever it has lost it, as a zombie would that never
    // learns; a log of its own each, as two processes have.
    let fight = || {
        let log = Kafka::open(&config(&address, &prefix)).expect("the broker answers");
        while done.load(Ordering::Acquire) < usize::from(RECORDS) {
            assert!(
                watch.time() < PATIENCE,
                "{} of {RECORDS} are done",
                done.load(Ordering::Acquire)
            );
            let lived = log.own(&spec("fought")).and_then(|mut task| {
                while done.load(Ordering::Acquire) < usize::from(RECORDS) {
                    let count = step(&mut *task, 10, Duration::from_millis(100))?;
                    done.fetch_add(count, Ordering::AcqRel);
                }
                Ok(())
            });
            match lived {
                Err(LogError::Fenced { ours, newest, .. }) => {
                    assert!(ours < newest, "{ours} and {newest}");
                    fenced.fetch_add(1, Ordering::AcqRel);
                }
                // Two that start at once: one of them is told that the other is at it.
                Ok(()) | Err(LogError::Unavailable { .. } | LogError::Unknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(fight);
        scope.spawn(fight);
    });
    let fenced = fenced.into_inner();
    announce(&format!("two owners, {RECORDS} records: fenced {fenced} times, {} ms", watch.ms()));
    assert!(fenced > 0, "the owners never met");
    check_done(&*log, &spec("fought"));
    log.remove_topics().expect("the topics are deleted");
}
