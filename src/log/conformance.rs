//! The conformance suite: what [`Log`] promises, checked on any implementation.
//!
//! [`check`] may run on a log that already has records: it looks only at what it adds. It needs
//! the topics of [`LAYOUTS`] and `dead.conversation`, which it creates, and task names beginning
//! with `conformance-`.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use trunkline_schemas::topics::{
    COMMAND_CONVERSATION, DEAD_CONVERSATION, OUTCOME_CONVERSATION, RAW_TLIB, STATE_CONVERSATION,
};
use trunkline_schemas::{Offset, Output, Partition, Record, Stored, Topic};

use super::{Bounds, Change, Layout, Log, LogError, MAX_RECORD_BYTES, Step, Task, TaskSpec};

/// How often, and after what time each, a reader looks for a committed step.
const VISIBLE_TRIES: u32 = 2_000;
const VISIBLE_WAIT: Duration = Duration::from_millis(5);

/// Partitions of each topic the suite uses.
const PARTITIONS: u32 = 4;

/// The topics the suite writes to.
pub const LAYOUTS: [Layout; 4] = [
    Layout { topic: RAW_TLIB, partitions: PARTITIONS },
    Layout { topic: COMMAND_CONVERSATION, partitions: PARTITIONS },
    Layout { topic: OUTCOME_CONVERSATION, partitions: PARTITIONS },
    Layout { topic: STATE_CONVERSATION, partitions: PARTITIONS },
];

/// How long a poll waits for what another thread does meanwhile; far more than it ever takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records of one read; more than any check adds.
const MANY: usize = 10_000;

/// How often a member asks until it is given something, waiting for [`MEMBER_WAIT`] each time.
const MEMBER_TRIES: u32 = 300;
const MEMBER_WAIT: Duration = Duration::from_millis(100);

/// What the suite needs to be done to the log from outside. A promise whose hook is absent is not
/// checked, and so not in the list that [`check`] returns.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Makes the partition begin at the offset (retention).
    pub forget_before: Option<&'a dyn Fn(Topic, Partition, Offset)>,
    /// Compacts every topic that may be, as far as the log ever does; called while it is open.
    pub compact: Option<&'a dyn Fn()>,
    /// Sets the clock of the log, in milliseconds since 1970.
    pub set_clock: Option<&'a dyn Fn(i64)>,
    /// Empties the place the log is kept in; called while it is closed.
    pub wipe: Option<&'a dyn Fn()>,
}

/// One promise, on a log that is open.
type Check = fn(&dyn Log);

/// Checks every promise and returns those checked, in words.
///
/// `open` opens the same log each time; the suite drops every handle before it opens again.
///
/// # Panics
/// With what was promised and what was found, on the first violation.
pub fn check(open: &dyn Fn() -> Arc<dyn Log>, hooks: &Hooks<'_>) -> Vec<&'static str> {
    open().ensure(&LAYOUTS).expect("the topics of the suite can be created");
    let mut checked = Vec::new();
    let on_log: [(&'static str, Check); 16] = [
        ("ensure is repeatable and refuses another layout", layouts),
        ("partitions of domains are added behind the others", partitions_are_added),
        ("an unknown partition is an error", unknown_partition),
        ("the caller chooses the partition", partitions_are_chosen),
        ("offsets increase, in the order of the records", offsets_increase),
        ("a read gives at most what was asked, from any offset", reads_are_bounded),
        ("headers are ordered, repeatable bytes", headers_are_kept),
        ("records up to 1 MiB", size_limit),
        ("an append is all there or not at all", refused_append_leaves_nothing),
        ("a step is all there or not at all", steps_are_atomic),
        ("only the newest owner commits", old_owners_are_fenced),
        ("tasks of four partitions do not disturb each other", four_tasks),
        ("restore gives the newest value of each key", restore_gives_newest),
        ("polling runs ahead of the position and resumes at it", polling_resumes),
        ("a poll wakes up for a record and gives up in time", polling_waits),
        ("a member that is alone is given every partition, and again", members_are_given),
    ];
    for (promise, run) in on_log {
        run(&*open());
        checked.push(promise);
    }
    reopening_keeps_everything(open);
    checked.push("what is acknowledged is there after reopening");
    if let Some(compact) = hooks.compact {
        compaction_keeps_newest(open, compact);
        checked.push("compaction keeps at least the newest record of each key");
    }
    if let Some(set_clock) = hooks.set_clock {
        append_time_never_goes_back(open, set_clock);
        checked.push("append time never goes back within a partition");
    }
    if let Some(forget_before) = hooks.forget_before {
        below_start_is_an_error(open, forget_before);
        checked.push("reading below the oldest record is an error");
    }
    if let Some(wipe) = hooks.wipe {
        wipe();
        emptied_log_is_new(&*open());
        checked.push("an emptied place is a new log");
    }
    checked
}

fn layouts(log: &dyn Log) {
    log.ensure(&LAYOUTS).expect("ensure is repeatable");
    let found = log.layouts().expect("layouts");
    for layout in &LAYOUTS {
        assert!(found.contains(layout), "{} is not listed as created: {found:?}", layout.topic);
    }
    // More of a hashed topic would part keys from their past, fewer of any would lose some.
    for (topic, wanted) in [(COMMAND_CONVERSATION, PARTITIONS + 1), (RAW_TLIB, PARTITIONS - 1)] {
        match log.ensure(&[Layout { topic, partitions: wanted }]) {
            Err(LogError::OtherLayout { topic: of, found: PARTITIONS, wanted: refused })
                if (of, refused) == (topic, wanted) => {}
            other => panic!("{wanted} partitions of {topic} were not refused: {other:?}"),
        }
    }
}

fn partitions_are_added(log: &dyn Log) {
    let topic = DEAD_CONVERSATION;
    let layout = |partitions| Layout { topic, partitions };
    let write = |partition, value: &[u8]| {
        let record = Record::new("k", value.to_vec());
        let output = Output { topic, partition, record };
        log.appender().expect("an appender").append(vec![output])
    };
    let values = |partition| -> Vec<Option<Vec<u8>>> {
        let read = log.read(topic, partition, 0, MANY).expect("the partition can be read");
        read.into_iter().map(|stored| stored.record.value).collect()
    };
    log.ensure(&[layout(1)]).expect("the topic is made");
    let offsets = write(0, b"before").expect("appended");
    write(1, b"too soon").expect_err("the partition is not there yet");
    for _ in 0..2 {
        log.ensure(&[layout(3)]).expect("it is given two more, once");
        assert!(log.layouts().expect("layouts").contains(&layout(3)), "it has three");
    }
    assert_eq!(values(0), [Some(b"before".to_vec())], "what was there stays where it was");
    assert_eq!((values(1), values(2)), (vec![], vec![]), "the others are empty");
    let more = write(0, b"after").expect("appended");
    assert!(more[0] > offsets[0], "offsets go on: {offsets:?}, {more:?}");
    write(2, b"new").expect("appended");
    assert_eq!(values(0), [Some(b"before".to_vec()), Some(b"after".to_vec())]);
    assert_eq!(values(2), [Some(b"new".to_vec())]);
    let fewer = log.ensure(&[layout(1)]);
    assert!(matches!(fewer, Err(LogError::OtherLayout { found: 3, wanted: 1, .. })), "{fewer:?}");
}

fn members_are_given(log: &dyn Log) {
    for _ in 0..2 {
        let mut member = log.join("conformance-member", RAW_TLIB).expect("join");
        let mut tries = (0..MEMBER_TRIES).map(|_| member.poll(MEMBER_WAIT).expect("poll"));
        let given = tries.find_map(|change| change);
        let all: Vec<Partition> = (0..PARTITIONS).collect();
        assert_eq!(given, Some(Change::Take(all)), "what a lone member was given");
        // Work goes on while it is a member: its steps are taken in its name.
        let spec = spec("conformance-member", 0);
        let mut task = log.own(&spec).expect("own");
        let next = task.position() + 1;
        let input = to(RAW_TLIB, 0, Record::new("member", b"input".to_vec()));
        log.appender().expect("appender").append(vec![input]).expect("append");
        task.commit(Step { next, ..Step::default() }).expect("a member commits");
    }
}

fn unknown_partition(log: &dyn Log) {
    let is_refused = |result: Result<(), LogError>, what: &str| match result {
        Err(LogError::NoSuchPartition { topic: RAW_TLIB, partition: PARTITIONS }) => {}
        other => panic!("{what} partition {PARTITIONS} of {PARTITIONS}: {other:?}"),
    };
    is_refused(log.bounds(RAW_TLIB, PARTITIONS).map(drop), "bounds of");
    is_refused(log.read(RAW_TLIB, PARTITIONS, 0, 1).map(drop), "read of");
    let mut appender = log.appender().expect("an appender");
    let output = to(RAW_TLIB, PARTITIONS, Record::new("k", vec![1]));
    is_refused(appender.append(vec![output]).map(drop), "append to");
    is_refused(log.own(&spec("conformance-nowhere", PARTITIONS)).map(drop), "task on");
}

fn partitions_are_chosen(log: &dyn Log) {
    let before: Vec<_> = (0..PARTITIONS).map(|p| end(log, RAW_TLIB, p)).collect();
    // The same key everywhere: nothing but the caller's choice tells them apart.
    let outputs = (0..PARTITIONS).map(|p| to(RAW_TLIB, p, Record::new("same", vec![p as u8])));
    log.appender().expect("an appender").append(outputs.collect()).expect("append");
    for (partition, from) in (0..).zip(before) {
        let values = values(&read_from(log, RAW_TLIB, partition, from));
        assert_eq!(values, [vec![partition as u8]], "records of partition {partition}");
    }
}

fn offsets_increase(log: &dyn Log) {
    let from = end(log, RAW_TLIB, 0);
    let mut appender = log.appender().expect("an appender");
    let mut offsets = Vec::new();
    for round in 0..10_u8 {
        let outputs = (0..5_u8).map(|i| to(RAW_TLIB, 0, Record::new("k", vec![round, i])));
        offsets.extend(appender.append(outputs.collect()).expect("append"));
    }
    assert!(offsets.is_sorted_by(|a, b| a < b), "offsets do not increase: {offsets:?}");
    let found = read_from(log, RAW_TLIB, 0, from);
    let places: Vec<_> = found.iter().map(|stored| stored.offset).collect();
    assert_eq!(places, offsets, "offsets read are not the offsets acknowledged");
    let written: Vec<_> = (0..10).flat_map(|r| (0..5).map(move |i| vec![r, i])).collect();
    assert_eq!(values(&found), written, "records are not in the order they were appended");
    assert!(found.iter().all(|s| (s.topic, s.partition) == (RAW_TLIB, 0)), "wrong place");
    let Bounds { start, end } = log.bounds(RAW_TLIB, 0).expect("bounds");
    let last = offsets.last().copied().unwrap_or_default();
    assert!(start <= from && end > last, "bounds {start}..{end} do not hold {from}..={last}");
}

fn reads_are_bounded(log: &dyn Log) {
    let mut appender = log.appender().expect("an appender");
    let outputs = (0..20_u8).map(|i| to(RAW_TLIB, 1, Record::new("k", vec![i])));
    let offsets = appender.append(outputs.collect()).expect("append");
    for (index, from) in offsets.iter().enumerate() {
        for max in [1, 3, MANY] {
            let found = log.read(RAW_TLIB, 1, *from, max).expect("read");
            let places: Vec<_> = found.iter().map(|stored| stored.offset).collect();
            let wanted: Vec<_> = offsets[index..].iter().copied().take(max).collect();
            // Fewer than asked for are allowed, none are not.
            let is_prefix = !places.is_empty() && wanted.starts_with(&places);
            assert!(is_prefix, "read of {max} from {from} gave {places:?}, not {wanted:?}");
        }
    }
    let end = end(log, RAW_TLIB, 1);
    for beyond in [end, end + 1_000] {
        let found = log.read(RAW_TLIB, 1, beyond, 1).expect("a read at the end");
        assert_eq!(found, [], "a read at {beyond}, the end being {end}");
    }
}

fn headers_are_kept(log: &dyn Log) {
    let record = Record::new("k", vec![1])
        .with_header("b", "1")
        .with_header("a", vec![0, 255])
        .with_header("b", "2")
        .with_header("", "");
    let from = end(log, RAW_TLIB, 2);
    let tombstone = Record::tombstone("k").with_header("h", "v");
    let outputs = vec![to(RAW_TLIB, 2, record.clone()), to(RAW_TLIB, 2, tombstone.clone())];
    log.appender().expect("an appender").append(outputs).expect("append");
    let found: Vec<_> =
        read_from(log, RAW_TLIB, 2, from).into_iter().map(|stored| stored.record).collect();
    assert_eq!(found, [record, tombstone], "key, value and headers are not as they were given");
}

fn size_limit(log: &dyn Log) {
    let sized = |bytes: usize| Record::new("key", vec![7; bytes - 8]).with_header("name", "v");
    let from = end(log, RAW_TLIB, 3);
    let largest = sized(MAX_RECORD_BYTES);
    assert_eq!(largest.size_bytes(), MAX_RECORD_BYTES);
    let mut appender = log.appender().expect("an appender");
    appender.append(vec![to(RAW_TLIB, 3, largest.clone())]).expect("a record at the limit");
    match appender.append(vec![to(RAW_TLIB, 3, sized(MAX_RECORD_BYTES + 1))]) {
        Err(LogError::TooLarge { topic: RAW_TLIB, bytes }) if bytes == MAX_RECORD_BYTES + 1 => {}
        other => panic!("a record one byte over the limit: {other:?}"),
    }
    let found = read_from(log, RAW_TLIB, 3, from);
    assert_eq!(found.len(), 1, "records after one at the limit and one over it");
    assert!(found[0].record == largest, "the record at the limit is not as it was given");
}

fn refused_append_leaves_nothing(log: &dyn Log) {
    let before: Vec<_> = (0..PARTITIONS).map(|p| end(log, RAW_TLIB, p)).collect();
    let small = |partition| to(RAW_TLIB, partition, Record::new("k", vec![1]));
    let mut appender = log.appender().expect("an appender");
    let too_large = to(RAW_TLIB, 1, Record::new("k", vec![0; MAX_RECORD_BYTES]));
    let nowhere = to(RAW_TLIB, PARTITIONS, Record::new("k", vec![1]));
    for bad in [too_large, nowhere] {
        let refused = appender.append(vec![small(0), bad, small(2)]);
        assert!(refused.is_err(), "an append with a bad record was taken: {refused:?}");
    }
    for (partition, from) in (0..).zip(before) {
        assert_eq!(read_from(log, RAW_TLIB, partition, from), [], "left in {partition}");
    }
    appender.append(vec![small(0)]).expect("the appender can be used after a refusal");
}

/// A step's outputs to every partition of two topics, one key of state and a position.
fn wide_step(mark: u8, next: Offset) -> Step {
    let outputs = [COMMAND_CONVERSATION, OUTCOME_CONVERSATION]
        .into_iter()
        .flat_map(|topic| (0..PARTITIONS).map(move |p| to(topic, p, Record::new("k", vec![mark]))));
    Step { outputs: outputs.collect(), state: vec![(b"mark".to_vec(), Some(vec![mark]))], next }
}

/// Commits a step and returns when a reader sees its outputs: a log may show them a moment after it
/// has acknowledged the commit.
fn commit(log: &dyn Log, task: &mut dyn Task, step: Step) {
    let places: Vec<_> = step.outputs.iter().map(|o| (o.topic, o.partition)).collect();
    let before: Vec<Offset> = places.iter().map(|(t, p)| end(log, *t, *p)).collect();
    task.commit(step).expect("the only owner commits");
    for ((topic, partition), before) in places.into_iter().zip(before) {
        let seen = (0..VISIBLE_TRIES).any(|_| {
            let visible = end(log, topic, partition) > before;
            if !visible {
                thread::park_timeout(VISIBLE_WAIT);
            }
            visible
        });
        assert!(seen, "a committed step is not visible in {topic}/{partition}");
    }
}

/// Ends of all partitions that [`wide_step`] writes to, and how many of its records are beyond.
fn ends(log: &dyn Log) -> Vec<Offset> {
    let topics = [COMMAND_CONVERSATION, OUTCOME_CONVERSATION, STATE_CONVERSATION];
    let ends = topics.into_iter().flat_map(|t| (0..PARTITIONS).map(move |p| (t, p)));
    ends.map(|(topic, partition)| end(log, topic, partition)).collect()
}

fn steps_are_atomic(log: &dyn Log) {
    let spec = spec("conformance-atomic", 0);
    let mut task = log.own(&spec).expect("own");
    let next = task.position() + 7;
    let (command, outcome) = (end(log, COMMAND_CONVERSATION, 3), end(log, OUTCOME_CONVERSATION, 0));
    commit(log, &mut *task, wide_step(1, next));
    assert_eq!(task.position(), next, "position after a commit");
    assert_eq!(values(&read_from(log, COMMAND_CONVERSATION, 3, command)), [vec![1]]);
    assert_eq!(values(&read_from(log, OUTCOME_CONVERSATION, 0, outcome)), [vec![1]]);

    let before = ends(log);
    let mut step = wide_step(2, next + 1);
    step.outputs.push(to(OUTCOME_CONVERSATION, 3, Record::new("k", vec![0; MAX_RECORD_BYTES])));
    let refused = task.commit(step);
    assert!(matches!(refused, Err(LogError::TooLarge { .. })), "a bad record: {refused:?}");
    assert_eq!(ends(log), before, "a refused step left records");
    drop(task);
    let mut task = log.own(&spec).expect("own");
    assert_eq!(task.position(), next, "position after a refused step");
    assert_eq!(state(&mut *task, b"mark"), [vec![1]], "state after a refused step");
    // A step may be empty but for its position.
    task.commit(Step { next: next + 2, ..Step::default() }).expect("commit");
    drop(task);
    assert_eq!(log.own(&spec).expect("own").position(), next + 2, "position of an empty step");
}

fn old_owners_are_fenced(log: &dyn Log) {
    let spec = spec("conformance-fenced", 1);
    let mut old = log.own(&spec).expect("own");
    let first = old.position() + 1;
    commit(log, &mut *old, wide_step(1, first));
    let mut new = log.own(&spec).expect("own again");
    assert_eq!(new.position(), first, "the new owner goes on from the committed position");
    let before = ends(log);
    for attempt in 0..2 {
        match old.commit(wide_step(9, first + 100)) {
            Err(LogError::Fenced { task, ours, newest }) => {
                assert_eq!(task, spec.id());
                assert!(ours < newest, "epochs {ours} and {newest}");
            }
            other => panic!("attempt {attempt} of the old owner: {other:?}"),
        }
    }
    assert_eq!(ends(log), before, "a fenced owner left records");
    new.commit(wide_step(2, first + 1)).expect("the new owner commits");
    let fenced = old.commit(wide_step(9, first + 100));
    assert!(matches!(fenced, Err(LogError::Fenced { .. })), "after the new owner: {fenced:?}");
    let mut last = log.own(&spec).expect("own");
    assert_eq!(last.position(), first + 1);
    assert_eq!(state(&mut *last, b"mark"), [vec![2]]);
}

fn four_tasks(log: &dyn Log) {
    const STEPS: u8 = 25;
    let from: Vec<_> = (0..PARTITIONS).map(|p| end(log, COMMAND_CONVERSATION, p)).collect();
    thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            scope.spawn(move || {
                let mut task = log.own(&spec("conformance-four", partition)).expect("own");
                let first = task.position();
                for n in 0..STEPS {
                    let record = Record::new("k", vec![partition as u8, n]);
                    let outputs = vec![to(COMMAND_CONVERSATION, partition, record)];
                    let state = vec![(b"four".to_vec(), Some(vec![partition as u8, n]))];
                    let next = first + Offset::from(n) + 1;
                    task.commit(Step { outputs, state, next }).expect("commit");
                }
            });
        }
    });
    for (partition, from) in (0..).zip(from) {
        let mark = partition as u8;
        let found = values(&read_from(log, COMMAND_CONVERSATION, partition, from));
        assert_eq!(found, (0..STEPS).map(|n| vec![mark, n]).collect::<Vec<_>>());
        let mut task = log.own(&spec("conformance-four", partition)).expect("own");
        assert_eq!(state(&mut *task, b"four"), [vec![mark, STEPS - 1]]);
    }
}

fn restore_gives_newest(log: &dyn Log) {
    let spec = spec("conformance-restore", 2);
    let mut task = log.own(&spec).expect("own");
    let next = task.position();
    let key = |name: &str| format!("restore-{name}").into_bytes();
    let steps = [
        vec![(key("a"), Some(vec![1])), (key("b"), Some(vec![1])), (key("c"), Some(vec![1]))],
        vec![(key("a"), Some(vec![2])), (key("a"), Some(vec![3]))],
        vec![(key("b"), None), (key("c"), None)],
        vec![(key("c"), Some(Vec::new())), (key("d"), None)],
    ];
    for state in steps {
        task.commit(Step { state, next, ..Step::default() }).expect("commit");
    }
    drop(task);
    let mut task = log.own(&spec).expect("own");
    let (mut found, mut given, mut left) = (Vec::new(), 0, Vec::new());
    let mut each = |key: Vec<u8>, value| {
        given += 1;
        if key.starts_with(b"restore-") {
            found.push((key, value));
        }
    };
    let count = task.restore(&mut each, &mut |records| left.push(records)).expect("restore");
    found.sort();
    assert!(left.first() > Some(&0) && left.last() == Some(&0), "records left: {left:?}");
    assert!(left.is_sorted_by(|before, after| before >= after), "records left: {left:?}");
    assert_eq!(found, [(key("a"), vec![3]), (key("c"), Vec::new())]);
    assert_eq!(count, given, "restore returns how many it gave");
}

fn polling_resumes(log: &dyn Log) {
    let spec = spec("conformance-resume", 2);
    let mut task = log.own(&spec).expect("own");
    let from = end(log, RAW_TLIB, 2);
    task.commit(Step { next: from, ..Step::default() }).expect("commit");
    let outputs = (0..6_u8).map(|i| to(RAW_TLIB, 2, Record::new("k", vec![i])));
    let offsets = log.appender().expect("an appender").append(outputs.collect()).expect("append");
    let poll = |task: &mut dyn Task, count| {
        let mut all = Vec::new();
        while all.len() < count {
            let some = task.poll(count - all.len(), PATIENCE).expect("poll");
            assert!(!some.is_empty(), "a poll gave up, records {all:?} of {count}");
            all.extend(values(&some).concat());
        }
        all
    };
    assert_eq!(poll(&mut *task, 2), [0, 1], "polling goes on at the committed position");
    assert_eq!(poll(&mut *task, 2), [2, 3], "polling runs ahead of the position");
    task.commit(Step { next: offsets[1] + 1, ..Step::default() }).expect("commit");
    assert_eq!(poll(&mut *task, 1), [4], "a commit does not move reading back");
    drop(task);
    let mut task = log.own(&spec).expect("own");
    assert_eq!(poll(&mut *task, 4), [2, 3, 4, 5], "a new owner reads from the position");
    task.commit(Step { next: offsets[5] + 1, ..Step::default() }).expect("commit");
    let mut task = log.own(&spec).expect("own");
    task.commit(Step { next: offsets[5] + 1, ..Step::default() }).expect("commit");
    assert_eq!(task.poll(MANY, Duration::ZERO).expect("poll"), [], "nothing is left");
}

fn polling_waits(log: &dyn Log) {
    let mut task = log.own(&spec("conformance-poll", 3)).expect("own");
    task.commit(Step { next: end(log, RAW_TLIB, 3), ..Step::default() }).expect("commit");
    let empty = task.poll(1, Duration::from_millis(5)).expect("poll");
    assert_eq!(empty, [], "a poll of an idle partition");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| task.poll(1, PATIENCE).expect("poll"));
        let mut appender = log.appender().expect("an appender");
        // Of another partition first: a poll must not take that for its own.
        for partition in [2, 3] {
            let output = to(RAW_TLIB, partition, Record::new("k", vec![partition as u8]));
            appender.append(vec![output]).expect("append");
        }
        let found = waiting.join().expect("the poll does not panic");
        assert_eq!(values(&found), [vec![3]], "what a waiting poll was given");
    });
}

fn reopening_keeps_everything(open: &dyn Fn() -> Arc<dyn Log>) {
    let spec = spec("conformance-reopen", 3);
    let log = open();
    let from = end(&*log, RAW_TLIB, 0);
    let mut offsets = Vec::new();
    for n in 0..10_u8 {
        let mut appender = log.appender().expect("an appender");
        let output = to(RAW_TLIB, 0, Record::new("k", vec![n]));
        offsets.extend(appender.append(vec![output]).expect("append"));
    }
    let next = {
        let mut task = log.own(&spec).expect("own");
        let next = task.position() + 3;
        commit(&*log, &mut *task, wide_step(5, next));
        next
    };
    let (bounds, ends) = (log.bounds(RAW_TLIB, 0).expect("bounds"), ends(&*log));
    drop(log);

    let log = open();
    let found = read_from(&*log, RAW_TLIB, 0, from);
    assert_eq!(found.iter().map(|s| s.offset).collect::<Vec<_>>(), offsets, "after reopening");
    assert_eq!(values(&found), (0..10).map(|n| vec![n]).collect::<Vec<_>>());
    assert_eq!(log.bounds(RAW_TLIB, 0).expect("bounds"), bounds, "bounds after reopening");
    assert_eq!(self::ends(&*log), ends, "ends after reopening");
    let mut task = log.own(&spec).expect("own");
    assert_eq!(task.position(), next, "position after reopening");
    assert_eq!(state(&mut *task, b"mark"), [vec![5]], "state after reopening");
    let mut appender = log.appender().expect("an appender");
    let more = appender.append(vec![to(RAW_TLIB, 0, Record::new("k", vec![99]))]);
    let more = more.expect("append after reopening");
    assert!(more[0] > offsets[9], "offset {} after {}", more[0], offsets[9]);
}

fn compaction_keeps_newest(open: &dyn Fn() -> Arc<dyn Log>, compact: &dyn Fn()) {
    const KEYS: u32 = 7;
    let log = open();
    let spec = spec("conformance-compact", 1);
    let mut task = log.own(&spec).expect("own");
    let next = task.position();
    let (from, mut written) = (end(&*log, STATE_CONVERSATION, 1), Vec::new());
    for round in 0..30_u32 {
        let value = |n: u32| (n % 100 != 99).then(|| [round, n].map(u32::to_be_bytes).concat());
        let key = |n: u32| [b"compact-".as_slice(), &(n % KEYS).to_be_bytes()].concat();
        let state: Vec<_> = (0..100).map(|n| (key(n), value(n))).collect();
        written.extend(state.clone());
        task.commit(Step { state, next, ..Step::default() }).expect("commit");
    }
    let all = read_from(&*log, STATE_CONVERSATION, 1, from);
    let end = end(&*log, STATE_CONVERSATION, 1);
    compact();
    drop((task, log));
    let log = open();
    assert_eq!(self::end(&*log, STATE_CONVERSATION, 1), end, "the end after compaction");
    let kept = read_from(&*log, STATE_CONVERSATION, 1, from);
    assert!(kept.len() <= all.len(), "compaction added records");
    for stored in &kept {
        let found = all.iter().find(|before| before.offset == stored.offset);
        assert_eq!(found, Some(stored), "a record that was not there, or another, before");
    }
    for key in 0..KEYS {
        let key = [b"compact-".as_slice(), &key.to_be_bytes()].concat();
        let newest = |records: &[Stored]| {
            records.iter().rfind(|stored| stored.record.key == key).map(|stored| stored.offset)
        };
        assert_eq!(newest(&kept), newest(&all), "the newest record of {key:?}");
        let wanted = written.iter().rfind(|(k, _)| *k == key).and_then(|(_, value)| value.clone());
        let mut task = log.own(&spec).expect("own");
        assert_eq!(state(&mut *task, &key), Vec::from_iter(wanted), "restored for {key:?}");
    }
    // Offsets that are gone may be asked for: the next one kept is the answer.
    for asked in all.iter().step_by(61).map(|stored| stored.offset) {
        let wanted = kept.iter().map(|stored| stored.offset).find(|kept| *kept >= asked);
        let found = log.read(STATE_CONVERSATION, 1, asked, 1).expect("read");
        assert_eq!(found.first().map(|s| s.offset), wanted, "a read from {asked}");
    }
    let more = vec![to(STATE_CONVERSATION, 1, Record::new("compact-more", vec![1]))];
    let offsets = log.appender().expect("an appender").append(more).expect("append");
    assert!(offsets[0] >= end, "offset {} after the end {end}", offsets[0]);
}

fn append_time_never_goes_back(open: &dyn Fn() -> Arc<dyn Log>, set_clock: &dyn Fn(i64)) {
    let log = open();
    let from = end(&*log, RAW_TLIB, 1);
    let append = |log: &dyn Log, clock: i64| {
        set_clock(clock);
        let output = to(RAW_TLIB, 1, Record::new("k", vec![1]));
        log.appender().expect("an appender").append(vec![output]).expect("append");
    };
    let later = 4_000_000_000_000; // beyond any clock of today
    for clock in [later, later + 5, later - 60_000] {
        append(&*log, clock);
    }
    drop(log);
    let log = open();
    append(&*log, later - 60_000);
    append(&*log, later + 6);
    let times: Vec<_> =
        read_from(&*log, RAW_TLIB, 1, from).iter().map(|s| s.append_time_ms - later).collect();
    assert_eq!(times, [0, 5, 5, 5, 6], "append times, the clock going back twice");
}

fn below_start_is_an_error(
    open: &dyn Fn() -> Arc<dyn Log>,
    forget_before: &dyn Fn(Topic, Partition, Offset),
) {
    let log = open();
    let spec = spec("conformance-behind", 0);
    let mut task = log.own(&spec).expect("own");
    task.commit(Step { next: end(&*log, RAW_TLIB, 0), ..Step::default() }).expect("commit");
    drop(task);
    let outputs = (0..4_u8).map(|i| to(RAW_TLIB, 0, Record::new("k", vec![i])));
    let mut appender = log.appender().expect("an appender");
    let offsets = appender.append(outputs.collect()).expect("append");
    forget_before(RAW_TLIB, 0, offsets[2]);

    let check = |log: &dyn Log| {
        let bounds = log.bounds(RAW_TLIB, 0).expect("bounds");
        assert_eq!(bounds.start, offsets[2], "the start after forgetting");
        match log.read(RAW_TLIB, 0, offsets[0], MANY) {
            Err(LogError::BelowStart { topic: RAW_TLIB, partition: 0, asked, oldest })
                if (asked, oldest) == (offsets[0], offsets[2]) => {}
            other => panic!("a read of {} with the start at {}: {other:?}", offsets[0], offsets[2]),
        }
        let kept = values(&read_from(log, RAW_TLIB, 0, offsets[2]));
        assert_eq!(kept, [vec![2], vec![3]], "what is kept");
        let mut task = log.own(&spec).expect("own");
        let polled = task.poll(MANY, Duration::ZERO);
        assert!(matches!(polled, Err(LogError::BelowStart { .. })), "a task behind: {polled:?}");
        task
    };
    drop(check(&*log));
    drop((appender, log));
    let log = open();
    let mut task = check(&*log);
    task.commit(Step { next: offsets[2], ..Step::default() }).expect("commit");
    let polled = values(&task.poll(1, PATIENCE).expect("poll"));
    assert_eq!(polled, [vec![2]], "polling goes on at the oldest record");

    // Everything forgotten: the offsets go on all the same.
    forget_before(RAW_TLIB, 0, offsets[3] + 1);
    drop((task, log));
    let log = open();
    let Bounds { start, end } = log.bounds(RAW_TLIB, 0).expect("bounds");
    assert_eq!((start, end), (offsets[3] + 1, offsets[3] + 1), "bounds of an emptied partition");
    let output = to(RAW_TLIB, 0, Record::new("k", vec![9]));
    let more = log.appender().expect("an appender").append(vec![output]).expect("append");
    assert!(more[0] > offsets[3], "offset {} after {} was forgotten", more[0], offsets[3]);
}

fn emptied_log_is_new(log: &dyn Log) {
    assert_eq!(log.layouts().expect("layouts"), [], "topics of an emptied log");
    log.ensure(&LAYOUTS).expect("ensure");
    for Layout { topic, partitions } in LAYOUTS {
        for partition in 0..partitions {
            let Bounds { start, end } = log.bounds(topic, partition).expect("bounds");
            assert_eq!(start, end, "{topic}/{partition} of an emptied log");
        }
    }
    let mut task = log.own(&spec("conformance-reopen", 3)).expect("own");
    assert_eq!(task.position(), 0, "position of a new task");
    assert_eq!(
        task.restore(&mut |_, _| {}, &mut |_| {}).expect("restore"),
        0,
        "state of a new task"
    );
}

fn spec(name: &'static str, partition: Partition) -> TaskSpec {
    TaskSpec { name, input: RAW_TLIB, partition, state: STATE_CONVERSATION }
}

fn to(topic: Topic, partition: Partition, record: Record) -> Output {
    Output { topic, partition, record }
}

fn end(log: &dyn Log, topic: Topic, partition: Partition) -> Offset {
    log.bounds(topic, partition).expect("bounds").end
}

/// Everything from that offset on.
fn read_from(log: &dyn Log, topic: Topic, partition: Partition, mut from: Offset) -> Vec<Stored> {
    let mut all = Vec::new();
    loop {
        let some = log.read(topic, partition, from, MANY).expect("read");
        let Some(last) = some.last() else { return all };
        from = last.offset + 1;
        all.extend(some);
    }
}

fn values(records: &[Stored]) -> Vec<Vec<u8>> {
    records.iter().map(|stored| stored.record.value.clone().unwrap_or_default()).collect()
}

/// The values restore gives for a key.
fn state(task: &mut dyn Task, key: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut each = |k: Vec<u8>, value| {
        if k == key {
            found.push(value);
        }
    };
    task.restore(&mut each, &mut |_| {}).expect("restore");
    found
}
