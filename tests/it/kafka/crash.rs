//! A broker that is killed under load and comes back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use trunkline::clock::Elapsed;
use trunkline::log::{Log, Task};
use trunkline_schemas::Offset;
use trunkline_schemas::topics::RAW_TLIB;

use super::broker::{Broker, announce, open};
use super::work::{LAYOUTS, PATIENCE, all, check_done, output, spec, step, until};

/// Kills.
const KILLS: u32 = 3;
/// Records acknowledged and worked on between two kills, at least.
const BETWEEN: usize = 200;

/// A flag that is raised at the end at the latest: a failed assertion must not wait for ever for
/// those who wait for the flag.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Appends numbered records until told to stop, and keeps what was acknowledged.
fn append(log: &dyn Log, stop: &AtomicBool, acknowledged: &Mutex<Vec<(Offset, Vec<u8>)>>) {
    let mut number = 0_u64;
    while !stop.load(Ordering::Acquire) {
        // One that failed may be there: the number goes on, so that every value is sent once.
        let Ok(mut appender) = log.appender() else { continue };
        loop {
            let values: Vec<_> = (number..number + 3).map(|n| n.to_be_bytes().to_vec()).collect();
            number += 3;
            let outputs = values.iter().map(|value| output(RAW_TLIB, value.clone())).collect();
            let Ok(offsets) = appender.append(outputs) else { break };
            let mut acknowledged = acknowledged.lock().expect("nobody panics with it");
            acknowledged.extend(offsets.into_iter().zip(values));
            if stop.load(Ordering::Acquire) {
                break;
            }
        }
    }
}

/// Works until everything that was appended is done, owning the task anew after every error; at
/// most for [`PATIENCE`] once it was stopped.
fn work(log: &dyn Log, stop: &AtomicBool, owned: &AtomicU32, done: &AtomicUsize) {
    let spec = spec("crash");
    let mut after_stop = Elapsed::start();
    let mut owner: Option<Box<dyn Task>> = None;
    let mut failed = "no error".to_owned();
    loop {
        let was_stopped = stop.load(Ordering::Acquire);
        if !was_stopped {
            after_stop = Elapsed::start();
        }
        assert!(after_stop.time() < PATIENCE, "the rest is not done; last: {failed}");
        let Some(task) = &mut owner else {
            match log.own(&spec) {
                Ok(task) => {
                    owner = Some(task);
                    owned.fetch_add(1, Ordering::AcqRel);
                }
                Err(error) => failed = error.to_string(),
            }
            continue;
        };
        match step(&mut **task, 500, Duration::from_millis(200)) {
            Ok(0) if was_stopped => match log.bounds(spec.input, 0) {
                Ok(bounds) if task.position() >= bounds.end => return,
                Ok(_) | Err(_) => {}
            },
            Ok(count) => drop(done.fetch_add(count, Ordering::AcqRel)),
            Err(error) => {
                failed = error.to_string();
                owner = None;
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_broker_is_killed_under_load() {
    let Some(mut broker) = Broker::start("a broker killed", "") else { return };
    let log = open(&broker, "");
    log.ensure(&LAYOUTS).expect("the topics are made");
    let (appended, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let (owned, done) = (AtomicU32::new(0), AtomicUsize::new(0));
    let acknowledged = Mutex::new(Vec::new());
    let counts = || {
        [acknowledged.lock().expect("nobody panics with it").len(), done.load(Ordering::Acquire)]
    };
    let more = |count: usize| {
        let before = counts();
        let grown = || counts().into_iter().zip(before).all(|(now, was)| now >= was + count);
        until("records are acknowledged and worked on", &grown);
    };
    thread::scope(|scope| {
        let _ends = [Raised(&appended), Raised(&stop)];
        let appends = scope.spawn(|| append(&*log, &appended, &acknowledged));
        let works = scope.spawn(|| work(&*log, &stop, &owned, &done));
        for kill in 0..KILLS {
            more(BETWEEN);
            let watch = Elapsed::start();
            broker.restart();
            more(1);
            announce(&format!("kill {kill}: both go on after {} ms", watch.ms()));
        }
        more(BETWEEN);
        appended.store(true, Ordering::Release);
        appends.join().expect("the appends end");
        stop.store(true, Ordering::Release);
        works.join().expect("the work ends");
    });
    let owned = owned.into_inner();
    assert!(owned > KILLS, "owned {owned} times in {KILLS} kills: an owner outlived one");
    let found = all(&*log, RAW_TLIB);
    let acknowledged = acknowledged.into_inner().expect("nobody panics with it");
    for one in &acknowledged {
        assert!(found.binary_search(one).is_ok(), "{one:?} was acknowledged and is not there");
    }
    check_done(&*log, &spec("crash"));
    announce(&format!(
        "{KILLS} kills: {} records acknowledged, {} in the log, the task owned {} times",
        acknowledged.len(),
        found.len(),
        owned
    ));
}

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
