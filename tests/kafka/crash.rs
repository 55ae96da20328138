//! A broker that dies: what stands on it can be dropped.

use std::time::Duration;

use trunkline::clock::Elapsed;
use trunkline::log::Log;
use trunkline_schemas::topics::RAW_TLIB;

use super::broker::{Broker, announce, open};
use super::work::{LAYOUTS, all, output, spec, step};

#[test]
fn everything_can_be_dropped_while_the_broker_is_dead() {
    let Some(mut broker) = Broker::start("dropping without a broker", "") else { return };
    let log = open(&broker, "");
    log.ensure(&LAYOUTS).expect("the topics are made");
    let mut appender = log.appender().expect("an appender");
    appender.append(vec![output(RAW_TLIB, vec![1])]).expect("append");
    let mut task = log.own(&spec("dropped")).expect("own");
    while step(&mut *task, 1, Duration::from_secs(1)).expect("a step") == 0 {}
    assert_eq!(all(&*log, RAW_TLIB).len(), 1);
    broker.kill();
    let watch = Elapsed::start();
    drop((appender, task, log));
    announce(&format!("dropped without a broker in {} ms", watch.ms()));
    assert!(watch.time() < Duration::from_secs(5), "dropping took {} ms", watch.ms());
}
