//! Compaction and retention: what goes, what stays, and that nobody notices.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use trunkline_schemas::topics::SEGMENT;

use super::*;
use crate::log::TaskSpec;

type State = BTreeMap<Vec<u8>, Vec<u8>>;

const STATE: Place = (STATE_CONVERSATION, 0);
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// What compaction leaves alone, and one step of the tests more: frames are kept whole.
const TAIL: usize = 1_000 + PER_STEP as usize;
/// Changes of state in one step of the tests.
const PER_STEP: u64 = 500;

/// A log with a clock that stands at what is set.
fn at(dir: &Path) -> (Arc<Embedded>, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_700_000_000_000));
    let shared = Arc::clone(&now);
    let clock: Clock = Arc::new(move || shared.load(Ordering::Relaxed));
    let log = Embedded::open(dir, clock).expect("the log opens");
    log.ensure(&LAYOUTS).expect("the topics can be created");
    (log, now)
}

fn restored(log: &Embedded, spec: &TaskSpec) -> State {
    let mut state = State::new();
    let mut task = log.own(spec).expect("own");
    let each = &mut |key, value| assert_eq!(state.insert(key, value), None, "a key given twice");
    task.restore(each, &mut |_| {}).expect("restore");
    state
}

fn key(n: u64) -> Vec<u8> {
    format!("key-{n}").into_bytes()
}

/// Changes of step `n`: 37 keys over and over, one key of its own every 10 steps.
fn changes(n: u64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let value = |i: u64| Some([n, i].map(u64::to_be_bytes).concat());
    let often = (0..PER_STEP).map(|i| (key(i % 37), value(i)));
    let once = n.is_multiple_of(10).then(|| (key(1_000 + n), value(0)));
    once.into_iter().chain(often).collect()
}

/// The state after that many steps.
fn after(steps: u64) -> State {
    let all = (1..=steps).flat_map(changes);
    all.filter_map(|(key, value)| value.map(|value| (key, value))).collect()
}

fn commit(task: &mut dyn Task, steps: std::ops::RangeInclusive<u64>) {
    for n in steps {
        let step = Step { state: changes(n), next: n as Offset, ..Step::default() };
        task.commit(step).expect("commit");
    }
}

#[test]
fn only_the_newest_are_left_and_offsets_stay() {
    const STEPS: u64 = 60;
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    commit(&mut *log.own(&spec(0)).expect("own"), 1..=STEPS);
    let before: BTreeMap<Offset, Stored> =
        read_all(&log, STATE.0, STATE.1).into_iter().map(|s| (s.offset, s)).collect();
    let bounds = log.bounds(STATE.0, STATE.1).expect("bounds");
    assert_eq!(restored(&log, &spec(0)), after(STEPS));

    let removed = log.compact_now().expect("compacting");
    let check = |log: &Embedded| {
        let kept = read_all(log, STATE.0, STATE.1);
        assert_eq!(kept.len() as u64, before.len() as u64 - removed);
        let most = after(STEPS).len() + TAIL;
        assert!(kept.len() <= most, "{} records are left, {most} would do", kept.len());
        for stored in &kept {
            assert_eq!(before.get(&stored.offset), Some(stored), "another record");
        }
        assert_eq!(log.bounds(STATE.0, STATE.1).expect("bounds"), bounds);
        assert_eq!(restored(log, &spec(0)), after(STEPS));
        let offsets: Vec<_> = kept.iter().map(|stored| stored.offset).collect();
        for from in (0..bounds.end).step_by(97) {
            let found = log.read(STATE.0, STATE.1, from, 3).expect("a read across gaps");
            let found: Vec<_> = found.iter().map(|stored| stored.offset).collect();
            let wanted = offsets.iter().copied().filter(|kept| *kept >= from).take(3);
            assert_eq!(found, wanted.collect::<Vec<_>>(), "read from {from}");
        }
    };
    check(&log);
    let (frames, passed) = log
        .0
        .look(|store| {
            Ok((store.frames(STATE, 0..bounds.end, usize::MAX)?, store.passed_over(STATE)))
        })
        .expect("the store");
    assert_eq!(passed, frames.len(), "a scan passes over what was removed");
    assert_eq!(log.compact_now().expect("again"), 0, "nothing more can go");
    drop(log);
    let log = open(dir.path());
    check(&log);
    commit(&mut *log.own(&spec(0)).expect("own"), STEPS + 1..=STEPS + 10);
    log.compact_now().expect("what was compacted is compacted with the rest");
    assert_eq!(restored(&log, &spec(0)), after(STEPS + 10));
    let left = read_all(&log, STATE.0, STATE.1).len();
    assert!(left <= after(STEPS + 10).len() + TAIL, "{left} records are left");
}

#[test]
fn it_happens_by_itself_when_a_partition_has_grown() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    let mut task = log.own(&spec(0)).expect("own");
    for n in 0..21_u64 {
        let value = |i: u64| Some([n, i].map(u64::to_be_bytes).concat());
        let state = (0..5_000).map(|i| (key(i % 10), value(i))).collect();
        task.commit(Step { state, next: 0, ..Step::default() }).expect("commit");
    }
    let end = log.bounds(STATE.0, STATE.1).expect("bounds").end;
    let first = || log.read(STATE.0, STATE.1, 0, 1).expect("read")[0].offset;
    // Each step of compaction wakes whoever waits; 30 s in all at most.
    let waits = (0..3_000).find(|_| {
        log.0.wait_beyond(0, STATE, end, Duration::from_millis(10));
        first() > 0
    });
    assert!(waits.is_some(), "the first record is there still");
    assert_eq!(restored(&log, &spec(0)).len(), 10);
}

#[test]
fn records_go_when_they_are_too_old() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, now) = at(dir.path());
    log.ensure(&[Layout { topic: SEGMENT, partitions: 1 }]).expect("ensure");
    let zero = now.load(Ordering::Relaxed);
    let mut appender = log.appender().expect("an appender");
    // More appends than one call of forgetting takes away on the first day.
    for (day, appends) in [(0, 600), (1, 2), (9, 1)] {
        now.store(zero + day * DAY_MS, Ordering::Relaxed);
        for n in 0..appends {
            let two = |topic| [to(topic, 0, vec![n as u8]), to(topic, 0, vec![n as u8])];
            appender.append([two(RAW_TLIB), two(SEGMENT)].concat()).expect("append");
        }
    }
    // Time of the round, then the starts of a topic kept for 7 days and of one kept for 30.
    for (elapsed, raw, segment) in [
        (7 * DAY_MS, 0, 0),
        (7 * DAY_MS + 1, 1_200, 0),
        (8 * DAY_MS, 1_200, 0),
        (8 * DAY_MS + 1, 1_204, 0),
        (16 * DAY_MS, 1_204, 0),
        (31 * DAY_MS, 1_206, 1_200),
        (40 * DAY_MS, 1_206, 1_206),
    ] {
        now.store(zero + elapsed, Ordering::Relaxed);
        log.compact_now().expect("a round");
        let start = |topic| log.bounds(topic, 0).expect("bounds").start;
        assert_eq!((start(RAW_TLIB), start(SEGMENT)), (raw, segment), "after {elapsed} ms");
        let end = log.bounds(RAW_TLIB, 0).expect("bounds").end;
        assert_eq!(end, 1_206);
        let kept = log.read(RAW_TLIB, 0, raw, 10_000).expect("read").len() as Offset;
        assert_eq!(kept, end - raw);
        match log.read(RAW_TLIB, 0, raw - 1, 1) {
            Err(LogError::BelowStart { oldest, .. }) if oldest == raw => {}
            other => panic!("a read below {raw}: {other:?}"),
        }
    }
    let frames = log.0.look(|store| store.frames((RAW_TLIB, 0), 0..1_206, usize::MAX));
    assert_eq!(frames.expect("the store").len(), 1, "only the newest frame is left on the disk");
    let offsets = appender.append(vec![to(RAW_TLIB, 0, vec![1])]).expect("append");
    assert_eq!(offsets, [1_206]);
}

#[test]
fn tombstones_go_after_their_time_and_bring_nothing_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, now) = at(dir.path());
    let zero = now.load(Ordering::Relaxed);
    let mut task = log.own(&spec(0)).expect("own");
    let (gone, stays) = (key(500), key(501));
    for state in [
        vec![(gone.clone(), Some(vec![1])), (stays.clone(), Some(vec![2]))],
        vec![(gone.clone(), None)],
        (1..=3).flat_map(changes).collect(),
    ] {
        task.commit(Step { state, next: 0, ..Step::default() }).expect("commit");
    }
    let tombstones = || {
        let found = read_all(&log, STATE.0, STATE.1);
        found.into_iter().filter(|stored| stored.record.value.is_none()).count()
    };
    for (elapsed, left) in [(0, 1), (5 * MINUTE_MS, 1), (5 * MINUTE_MS + 1, 0)] {
        now.store(zero + elapsed, Ordering::Relaxed);
        log.compact_now().expect("a round");
        assert_eq!(tombstones(), left, "after {elapsed} ms");
        let state = restored(&log, &spec(0));
        assert_eq!((state.get(&gone), state.get(&stays)), (None, Some(&vec![2])));
    }
}

#[test]
fn nobody_notices_while_it_works() {
    const STEPS: u64 = 60;
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    let working = AtomicBool::new(true);
    let (mut rounds, mut removed) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            commit(&mut *log.own(&spec(0)).expect("own"), 1..=STEPS);
            working.store(false, Ordering::Release);
        });
        scope.spawn(|| {
            // State of the same partition, without the ownership of the task that writes it.
            let reader = TaskSpec { name: "reader", ..spec(0) };
            while working.load(Ordering::Acquire) {
                let steps = log.bounds(STATE.0, STATE.1).expect("bounds").end as u64 / 501;
                let found = restored(&log, &reader);
                let missing = after(steps).into_keys().find(|key| !found.contains_key(key));
                assert_eq!(missing, None, "after at least {steps} steps");
                let offsets: Vec<_> =
                    read_all(&log, STATE.0, STATE.1).iter().map(|stored| stored.offset).collect();
                assert!(offsets.is_sorted_by(|a, b| a < b), "offsets do not increase");
            }
        });
        while working.load(Ordering::Acquire) {
            removed += log.compact_now().expect("compacting");
            rounds += 1;
        }
    });
    assert!(removed > 0, "{rounds} rounds removed nothing");
    assert_eq!(restored(&log, &spec(0)), after(STEPS));
}

#[test]
fn a_damaged_partition_keeps_no_other_from_being_compacted() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    for partition in 0..3 {
        commit(&mut *log.own(&spec(partition)).expect("own"), 1..=5);
    }
    read(&log.0.store).as_ref().expect("open").damage((STATE.0, 1), 0, &[9]);
    let error = log.compact_now().expect_err("one is damaged");
    assert!(error.to_string().contains("state.conversation/1@0"), "{error}");
    for partition in [0, 2] {
        let first = log.read(STATE.0, partition, 0, 1).expect("read")[0].offset;
        assert!(first > 0, "partition {partition} was left alone");
    }
    assert_eq!(restored(&log, &spec(2)), after(5));
}

/// Commits and compacts until it is killed; says each step once it is acknowledged.
fn compact_until_killed(dir: &Path) {
    let log = open_ready(dir);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                match log.compact_now().expect("compacting") {
                    0 => {}
                    removed => say("removed", removed),
                }
            }
        });
        let mut task = log.own(&spec(0)).expect("own");
        for n in task.position() as u64 + 1.. {
            commit(&mut *task, n..=n);
            say("step", n);
        }
    });
}

#[test]
fn a_kill_within_compaction_loses_nothing() {
    const TEST: &str = "compaction::a_kill_within_compaction_loses_nothing";
    if let Some(dir) = env::var_os(CHILD_DIR) {
        return compact_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (mut all_removed, mut step) = (0, 0);
    // How many steps to wait for before each kill, and once for a round that found something.
    for patience in [40, 31, 25, 8] {
        let mut child = child(TEST, dir.path(), &["env"]);
        let (before, mut killed) = (step, false);
        for (word, number) in said(&mut child) {
            match word.as_str() {
                "step" => step = number,
                "removed" => all_removed += number,
                other => panic!("{other}"),
            }
            assert!(all_removed > 0 || step < 1_000, "nothing was ever compacted");
            if step > before + patience && all_removed > 0 && !killed {
                child.kill().expect("it runs until it is killed");
                killed = true;
            }
        }
        child.wait().expect("it has ended");
        assert!(killed, "the child ended by itself after step {step}");
        let log = open(dir.path());
        let position = log.own(&spec(0)).expect("own").position() as u64;
        assert!((step..=step + 1).contains(&position), "at {position}, {step} acknowledged");
        assert_eq!(restored(&log, &spec(0)), after(position));
        let offsets: Vec<_> =
            read_all(&log, STATE.0, STATE.1).iter().map(|stored| stored.offset).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "offsets do not increase");
    }
}
