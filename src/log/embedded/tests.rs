//! What the conformance suite cannot see: kills, full disks, damage, syncs, sharing.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Weak;
use std::sync::atomic::{AtomicI64, Ordering};
use std::{env, thread};

use trunkline_schemas::topics::{
    COMMAND_CONVERSATION, OUTCOME_CONVERSATION, RAW_TLIB, STATE_CONVERSATION,
};
use trunkline_schemas::{Output, Record};

use super::*;
use crate::log::conformance::{Hooks, LAYOUTS, check};
use crate::log::{MAX_RECORD_BYTES, Step};

mod compaction;

/// Names the directory to a child process of a test; unset in the test itself.
const CHILD_DIR: &str = "TRUNKLINE_TEST_LOG_DIR";

fn ticking() -> Clock {
    let now = AtomicI64::new(1_700_000_000_000);
    Arc::new(move || now.fetch_add(1, Ordering::Relaxed))
}

fn open(dir: &Path) -> Arc<Embedded> {
    Embedded::open(dir, ticking()).expect("the log opens")
}

fn open_ready(dir: &Path) -> Arc<Embedded> {
    let log = open(dir);
    log.ensure(&LAYOUTS).expect("the topics can be created");
    log
}

fn spec(partition: Partition) -> TaskSpec {
    TaskSpec { name: "worker", input: RAW_TLIB, partition, state: STATE_CONVERSATION }
}

fn to(topic: Topic, partition: Partition, value: Vec<u8>) -> Output {
    Output { topic, partition, record: Record::new("k", value) }
}

fn read_all(log: &Embedded, topic: Topic, partition: Partition) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let from = all.last().map_or(0, |last| last.offset + 1);
        let some = log.read(topic, partition, from, 1_000).expect("read");
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

/// The number in the first eight bytes of a value.
fn number(stored: &Stored) -> u64 {
    let value = stored.record.value.as_deref().expect("no tombstones here");
    u64::from_be_bytes(*value.first_chunk().expect("eight bytes"))
}

#[test]
fn it_keeps_every_promise() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join("log");
    let now = Arc::new(AtomicI64::new(1_700_000_000_000));
    let newest: RefCell<Weak<Embedded>> = RefCell::default();
    let open = || -> Arc<dyn Log> {
        let now = Arc::clone(&now);
        let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
        let log = Embedded::open(&home, clock).expect("the log opens");
        newest.replace(Arc::downgrade(&log));
        log
    };
    let forget = |topic, partition, offset| {
        let log = newest.borrow().upgrade().expect("the suite has it open");
        log.forget_before(topic, partition, offset).expect("forgetting");
    };
    let compact = || {
        let log = newest.borrow().upgrade().expect("the suite has it open");
        log.compact_now().expect("compacting");
    };
    let hooks = Hooks {
        forget_before: Some(&forget),
        compact: Some(&compact),
        set_clock: Some(&|at| now.store(at, Ordering::Relaxed)),
        wipe: Some(&|| fs::remove_dir_all(&home).expect("it can be removed")),
    };
    let checked = check(&open, &hooks);
    assert_eq!(checked.len(), 21, "{checked:#?}");
}

#[test]
fn a_second_opening_is_refused_with_the_path() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    match Embedded::open(dir.path(), ticking()).map(drop) {
        Err(LogError::InUse { path }) => assert_eq!(path, dir.path().display().to_string()),
        other => panic!("{other:?}"),
    }
    drop(log);
    open(dir.path());
}

#[test]
fn a_topic_of_another_version_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    read(&log.0.store).as_ref().expect("open").add_foreign_topic("raw.tomorrow");
    drop(log);
    let error = Embedded::open(dir.path(), ticking()).map(drop).expect_err("it is not known");
    assert!(matches!(error, LogError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("raw.tomorrow"), "{error}");
}

#[test]
fn damage_is_an_error_that_names_the_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    let mut appender = log.appender().expect("an appender");
    for n in 0..3 {
        appender.append(vec![to(RAW_TLIB, 1, vec![n])]).expect("append");
    }
    read(&log.0.store).as_ref().expect("open").damage((RAW_TLIB, 1), 1, &[1, 1, 0, 0, 0, 5]);
    let error = log.read(RAW_TLIB, 1, 0, 10).expect_err("it is damaged");
    assert!(matches!(error, LogError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("raw.tlib/1@1"), "{error}");
    assert_eq!(log.read(RAW_TLIB, 1, 2, 10).expect("beyond the damage").len(), 1);
}

#[test]
fn a_store_killed_while_it_was_made_is_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let unfinished = dir.path().join("store.unfinished");
    fs::create_dir(&unfinished).expect("a directory");
    fs::write(unfinished.join("0.jnl"), b"torn").expect("a file");
    let log = open_ready(dir.path());
    assert!(!unfinished.exists());
    assert_eq!(log.layouts().expect("layouts").len(), LAYOUTS.len());
}

#[test]
fn a_read_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    let mut appender = log.appender().expect("an appender");
    let big = || to(RAW_TLIB, 0, vec![7; MAX_RECORD_BYTES - 1]);
    appender.append((0..20).map(|_| big()).collect()).expect("append");
    let found = log.read(RAW_TLIB, 0, 0, 100).expect("read").len();
    assert_eq!(found, store::READ_BYTES / MAX_RECORD_BYTES);
    assert_eq!(read_all(&log, RAW_TLIB, 0).len(), 20, "and the rest with the next reads");
}

#[test]
fn many_writers_share_the_log() {
    const WRITERS: u32 = 8;
    const APPENDS: u32 = 40;
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut appender = log.appender().expect("an appender");
            scope.spawn(move || {
                for n in 0..APPENDS {
                    let value = [writer.to_be_bytes(), n.to_be_bytes()].concat();
                    let outputs = vec![to(RAW_TLIB, 0, value.clone()), to(RAW_TLIB, 1, value)];
                    appender.append(outputs).expect("append");
                }
            });
        }
    });
    for partition in 0..2 {
        let found = read_all(&log, RAW_TLIB, partition);
        let dense = (0..).zip(&found).all(|(wanted, stored)| stored.offset == wanted);
        assert!(dense, "offsets of partition {partition} have a gap");
        for writer in 0..WRITERS {
            let own = found.iter().map(number).filter(|n| (n >> 32) as u32 == writer);
            assert_eq!(own.map(|n| n as u32).collect::<Vec<_>>(), (0..APPENDS).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_broken_store_is_opened_again_and_read_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open_ready(dir.path());
    let mut appender = log.appender().expect("an appender");
    appender.append(vec![to(RAW_TLIB, 0, vec![1])]).expect("append");
    let mut task = log.own(&spec(0)).expect("own");
    assert_eq!(task.poll(1, Duration::ZERO).expect("poll").len(), 1);
    let broken = thread::scope(|scope| {
        // A poll that waits must learn of it.
        let waiting = scope.spawn(|| task.poll(1, Duration::from_secs(30)));
        log.0.mark_broken("the disk is full");
        waiting.join().expect("the poll does not panic").map(drop)
    });
    let is_unknown = |result: Result<(), LogError>| match result {
        Err(LogError::Unknown { .. }) => {}
        other => panic!("{other:?}"),
    };
    is_unknown(broken);
    is_unknown(appender.append(vec![to(RAW_TLIB, 0, vec![2])]).map(drop));
    is_unknown(task.commit(Step { next: 9, ..Step::default() }));
    is_unknown(log.read(RAW_TLIB, 0, 0, 1).map(drop));
    is_unknown(log.bounds(RAW_TLIB, 0).map(drop));
    is_unknown(log.ensure(&LAYOUTS));

    let mut again = log.own(&spec(0)).expect("owning it opens the store again");
    assert_eq!(again.position(), 0);
    assert_eq!(again.poll(10, Duration::ZERO).expect("poll").len(), 1);
    again.commit(Step { next: 1, ..Step::default() }).expect("commit");
    // Handles from before stay useless, for whoever holds them may not know what was written.
    is_unknown(appender.append(vec![to(RAW_TLIB, 0, vec![2])]).map(drop));
    is_unknown(task.commit(Step { next: 9, ..Step::default() }));
    is_unknown(task.poll(1, Duration::ZERO).map(drop));
    assert_eq!(read_all(&log, RAW_TLIB, 0).len(), 1);
}

/// The test itself, in a process of its own, behind `wrapper` (a command that runs its arguments).
fn child(test: &str, dir: &Path, wrapper: &[&str]) -> Child {
    let own = env::current_exe().expect("the path of the test binary");
    let own = own.display().to_string();
    // `trunkline::log::...` in a test binary is `log::...`.
    let module = module_path!().split_once("::").expect("a crate and a module").1;
    let name = format!("{module}::{test}");
    let mut line: Vec<&str> = wrapper.to_vec();
    line.extend([&own, "--exact", &name, "--nocapture", "--test-threads=1"]);
    Command::new(line[0])
        .args(&line[1..])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts")
}

/// Lines `word number` of the child, as they come.
fn said(child: &mut Child) -> impl Iterator<Item = (String, u64)> + use<> {
    let output = child.stdout.take().expect("it is piped");
    BufReader::new(output).lines().map_while(Result::ok).filter_map(|line| {
        // The test harness may have begun the first line.
        let mut words = line.rsplit(' ');
        let number = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), number))
    })
}

/// One write, so that a kill never cuts a line in a way that makes another number.
fn say(word: &str, number: u64) {
    let line = format!("{word} {number}\n");
    io::stdout().write_all(line.as_bytes()).expect("the parent reads");
}

/// Step `n` of a child: outputs to all partitions of two topics, state and position.
fn step(n: u64) -> Step {
    let outputs = [COMMAND_CONVERSATION, OUTCOME_CONVERSATION]
        .into_iter()
        .flat_map(|topic| (0..4).map(move |p| to(topic, p, n.to_be_bytes().to_vec())));
    let state = vec![
        (b"newest".to_vec(), Some(n.to_be_bytes().to_vec())),
        ((n % 10).to_be_bytes().to_vec(), Some(n.to_be_bytes().to_vec())),
    ];
    Step { outputs: outputs.collect(), state, next: n as Offset }
}

/// Appends and commits until it is killed; says each number once it is acknowledged.
fn work_until_killed(dir: &Path) {
    let log = open_ready(dir);
    let mut task = log.own(&spec(0)).expect("own");
    let first_append = read_all(&log, RAW_TLIB, 1).last().map_or(0, number) + 1;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut appender = log.appender().expect("an appender");
            for n in first_append.. {
                let value = n.to_be_bytes().to_vec();
                appender.append(vec![to(RAW_TLIB, 1, value)]).expect("append");
                say("append", n);
            }
        });
        for n in task.position() as u64 + 1.. {
            task.commit(step(n)).expect("commit");
            say("step", n);
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_killed() {
    if let Some(dir) = env::var_os(CHILD_DIR) {
        return work_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (mut step, mut append) = (0, 0);
    // How many acknowledgements to wait for before each kill.
    for patience in [1, 250, 37, 120, 5] {
        let mut child = child("nothing_acknowledged_is_lost_when_killed", dir.path(), &["env"]);
        let mut killed = false;
        for (index, (word, number)) in said(&mut child).enumerate() {
            match word.as_str() {
                "step" => step = number,
                "append" => append = number,
                other => panic!("{other}"),
            }
            if index == patience {
                child.kill().expect("it runs until it is killed");
                killed = true;
            }
        }
        child.wait().expect("it has ended");
        assert!(killed, "the child ended by itself after step {step} and append {append}");
        // The next child goes on behind what is there, and may acknowledge nothing of one kind.
        (step, append) = check_after_kill(dir.path(), step, append);
    }
}

/// Everything up to what was acknowledged is there once and in order; at most one more of each, and
/// that whole. What is there.
fn check_after_kill(dir: &Path, step: u64, append: u64) -> (u64, u64) {
    let log = open(dir);
    let numbers = |topic, partition| -> Vec<u64> {
        read_all(&log, topic, partition).iter().map(number).collect()
    };
    let appends = numbers(RAW_TLIB, 1);
    let appended = appends.len() as u64;
    assert!((append..=append + 1).contains(&appended), "{appended} there, {append} acknowledged");
    assert!(appends.iter().copied().eq(1..=appended), "appends lost or repeated");

    let mut task = log.own(&spec(0)).expect("own");
    let position = task.position() as u64;
    assert!((step..=step + 1).contains(&position), "at {position}, {step} acknowledged");
    for topic in [COMMAND_CONVERSATION, OUTCOME_CONVERSATION] {
        for partition in 0..4 {
            let found = numbers(topic, partition);
            assert!(found.into_iter().eq(1..=position), "{topic}/{partition} at {position}");
        }
    }
    let mut newest = Vec::new();
    let mut each = |key: Vec<u8>, value| {
        if key == b"newest" {
            newest.push(value);
        }
    };
    task.restore(&mut each, &mut |_| {}).expect("restore");
    let wanted: Vec<_> =
        (position > 0).then(|| position.to_be_bytes().to_vec()).into_iter().collect();
    assert_eq!(newest, wanted);
    (position, appended)
}

/// Appends until the disk is full, then shows what still works; says what was acknowledged.
fn work_until_full(dir: &Path) {
    let log = open(dir);
    let mut appender = log.appender().expect("an appender");
    let mut acknowledged = 0;
    // Not compressible, so that the journal grows by what is appended.
    let noise = |n: u64| -> Vec<u8> {
        let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut value = n.to_be_bytes().to_vec();
        value.extend((0..20_000).map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        }));
        value
    };
    let failure = loop {
        match appender.append(vec![to(RAW_TLIB, 0, noise(acknowledged + 1))]) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the limit on files is not in force");
    };
    assert!(matches!(failure, LogError::Unknown { .. }), "{failure:?}");
    let broken = log.read(RAW_TLIB, 0, 0, 1);
    assert!(matches!(broken, Err(LogError::Unknown { .. })), "{broken:?}");

    // The same process opens it again and reads on, though nothing can be written.
    let mut fresh = log.appender().expect("it opens again");
    let found: Vec<_> = read_all(&log, RAW_TLIB, 0).iter().map(number).collect();
    assert!(found.len() as u64 >= acknowledged, "{} of {acknowledged}", found.len());
    assert!(found.iter().copied().eq(1..=found.len() as u64), "records lost or repeated");
    let full = (0..60).find_map(|n| fresh.append(vec![to(RAW_TLIB, 1, noise(n))]).err());
    assert!(matches!(full, Some(LogError::Unknown { .. })), "{full:?}");
    log.reopen().expect("and again");
    assert!(read_all(&log, RAW_TLIB, 0).len() >= found.len());
    say("acknowledged", acknowledged);
}

#[test]
fn a_full_disk_loses_nothing_and_needs_no_restart() {
    if let Some(dir) = env::var_os(CHILD_DIR) {
        return work_until_full(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    drop(open_ready(dir.path()));
    // No file may grow beyond 1 MiB (2,048 blocks of 512 bytes); an ignored SIGXFSZ makes it EFBIG.
    let limited = ["sh", "-c", "ulimit -f 2048; trap '' XFSZ; exec \"$@\"", "sh"];
    let mut child = child("a_full_disk_loses_nothing_and_needs_no_restart", dir.path(), &limited);
    let said: Vec<_> = said(&mut child).collect();
    assert!(child.wait().expect("it ends").success(), "the child failed, see above");
    let [(word, acknowledged)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(word, "acknowledged");
    assert!(*acknowledged > 10, "only {acknowledged} records fitted");

    // With room again, a new process goes on.
    let log = open(dir.path());
    let found: Vec<_> = read_all(&log, RAW_TLIB, 0).iter().map(number).collect();
    assert!(
        found.len() as u64 >= *acknowledged && found.iter().copied().eq(1..=found.len() as u64)
    );
    let mut appender = log.appender().expect("an appender");
    let offsets = appender.append(vec![to(RAW_TLIB, 0, vec![0; 8])]).expect("append");
    assert_eq!(offsets, [found.len() as Offset]);
}

/// One append, between two lines.
fn append_once(dir: &Path) {
    let log = open(dir);
    let mut appender = log.appender().expect("an appender");
    say("appending", 1);
    appender.append(vec![to(RAW_TLIB, 0, vec![1])]).expect("append");
    say("acknowledged", 1);
}

#[test]
fn an_append_is_synced_before_it_is_acknowledged() {
    if let Some(dir) = env::var_os(CHILD_DIR) {
        return append_once(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    drop(open_ready(dir.path()));
    let trace = dir.path().join("trace");
    let trace = trace.display().to_string();
    let strace = ["strace", "-f", "-e", "trace=write,fdatasync,fsync", "-o", &trace];
    let can_trace = Command::new("strace").args(&strace[1..]).arg("true").status();
    if !can_trace.is_ok_and(|status| status.success()) {
        writeln!(io::stderr(), "SKIPPED: strace cannot be used here, no sync was looked for")
            .expect("standard error");
        return;
    }
    let mut child = child("an_append_is_synced_before_it_is_acknowledged", dir.path(), &strace);
    assert_eq!(said(&mut child).count(), 2);
    assert!(child.wait().expect("it ends").success());
    let trace = fs::read_to_string(trace).expect("strace wrote it");
    let line = |what: &str| trace.lines().position(|line| line.contains(what));
    let (from, to) = (line("\"appending 1"), line("\"acknowledged 1"));
    let between = from.zip(to).map(|(from, to)| (from, to - from)).expect("both lines are traced");
    let synced = trace.lines().skip(between.0).take(between.1).any(|l| l.contains("sync("));
    assert!(synced, "no sync between append and acknowledgement:\n{trace}");
}
