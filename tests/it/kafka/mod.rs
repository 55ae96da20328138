//! The log on a real Kafka: the conformance suite, refusals, owners that meet, brokers that die.

mod allowance;
pub(crate) mod broker;
mod cluster;
mod crash;
mod killed;
mod members;
mod owners;
mod scale;
mod tools;
mod voice;
mod voice_day;
mod work;

use std::sync::Arc;
use std::time::Duration;

use trunkline::clock::Elapsed;
use trunkline::log::kafka::Kafka;
use trunkline::log::{Log, LogError, conformance};
use trunkline_schemas::topics::STATE_CONVERSATION;
use trunkline_schemas::{Offset, Partition, Topic};

use broker::{announce, config, prefix, shared};

#[test]
fn the_conformance_suite_holds() {
    let Some(address) = shared("the conformance suite") else { return };
    let prefix = prefix("conformance");
    let open =
        || -> Arc<dyn Log> { Kafka::open(&config(&address, &prefix)).expect("the broker answers") };
    let forget = |topic: Topic, partition: Partition, offset: Offset| {
        cluster::forget_before(&address, &format!("{prefix}{topic}"), partition, offset);
    };
    cluster::create_eager(&address, &format!("{prefix}{STATE_CONVERSATION}"), 4);
    let compact = || {
        let log = open();
        // The suite has written 3,000 records of few keys; the newest segments stay as they are.
        let kept = || (0..4).map(|p| count(&*log, STATE_CONVERSATION, p)).max();
        work::until("the broker has compacted most of it", &|| kept() < Some(500));
    };
    let hooks = conformance::Hooks {
        forget_before: Some(&forget),
        compact: Some(&compact),
        ..Default::default()
    };
    let watch = Elapsed::start();
    let checked = conformance::check(&open, &hooks);
    announce(&format!("conformance on Apache Kafka, {} ms:", watch.ms()));
    for promise in &checked {
        announce(&format!("  ok: {promise}"));
    }
    assert_eq!(checked.len(), 19, "promises checked");
}

/// How many records a partition has.
fn count(log: &dyn Log, topic: Topic, partition: Partition) -> usize {
    let (mut from, mut count) = (0, 0);
    loop {
        let read = log.read(topic, partition, from, 10_000).expect("the topic can be read");
        let Some(last) = read.last() else { return count };
        from = last.offset + 1;
        count += read.len();
    }
}

#[test]
fn a_cluster_that_is_not_there_is_unavailable_in_time() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound port").to_string();
    drop(listener);
    let watch = Elapsed::start();
    let opened = Kafka::open(&config(&address, "")).map(|_| ());
    assert!(matches!(opened, Err(LogError::Unavailable { .. })), "{opened:?}");
    assert!(watch.time() < Duration::from_secs(15), "after {} ms", watch.ms());
}
