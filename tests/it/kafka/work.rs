//! The work that owners do in these tests: for every input record one output that names its
//! offset, and the last offset as state.

use std::thread;
use std::time::Duration;

use trunkline::clock::Elapsed;
use trunkline::log::{Layout, Log, LogError, Step, Task, TaskSpec};
use trunkline_schemas::topics::{COMMAND_CONVERSATION, RAW_TLIB, STATE_CONVERSATION};
use trunkline_schemas::{Offset, Output, Record, Topic};

/// How long anything may take that a test waits for.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// Key of the state.
pub(super) const LAST: &[u8] = b"last";

/// The topics the work needs.
pub(super) const LAYOUTS: [Layout; 3] = [
    Layout { topic: RAW_TLIB, partitions: 1 },
    Layout { topic: COMMAND_CONVERSATION, partitions: 1 },
    Layout { topic: STATE_CONVERSATION, partitions: 1 },
];

/// The task that does it.
pub(super) fn spec(name: &'static str) -> TaskSpec {
    TaskSpec { name, input: RAW_TLIB, partition: 0, state: STATE_CONVERSATION }
}

/// Reads what has come and does one step of it; how many records that were.
pub(super) fn step(task: &mut dyn Task, max: usize, wait: Duration) -> Result<usize, LogError> {
    let records = task.poll(max, wait)?;
    let Some(last) = records.last() else { return Ok(0) };
    let (next, name) = (last.offset + 1, |offset: Offset| offset.to_be_bytes().to_vec());
    let outputs = records.iter().map(|r| output(COMMAND_CONVERSATION, name(r.offset)));
    let state = vec![(LAST.to_vec(), Some(name(last.offset)))];
    task.commit(Step { outputs: outputs.collect(), state, next })?;
    Ok(records.len())
}

/// A record for partition 0.
pub(super) fn output(topic: Topic, value: Vec<u8>) -> Output {
    Output { topic, partition: 0, record: Record::new("k", value) }
}

/// All values of partition 0 with their offsets.
pub(super) fn all(log: &dyn Log, topic: Topic) -> Vec<(Offset, Vec<u8>)> {
    let (mut from, mut found) = (0, Vec::new());
    loop {
        let records = log.read(topic, 0, from, 1_000).expect("the topic can be read");
        let Some(last) = records.last() else { return found };
        from = last.offset + 1;
        found.extend(records.into_iter().map(|r| (r.offset, r.record.value.unwrap_or_default())));
    }
}

/// That every input record was worked on once, in order, and the state says so.
pub(super) fn check_done(log: &dyn Log, spec: &TaskSpec) {
    let inputs: Vec<_> = all(log, RAW_TLIB).into_iter().map(|(offset, _)| offset).collect();
    let done = all(log, COMMAND_CONVERSATION).into_iter();
    let done: Vec<_> = done
        .map(|(_, value)| Offset::from_be_bytes(value.try_into().expect("an offset has 8 bytes")))
        .collect();
    assert_eq!(done, inputs, "what was worked on, and what came in");
    let mut task = log.own(spec).expect("own");
    assert_eq!(Some(task.position()), inputs.last().map(|last| last + 1), "the position");
    let mut state = Vec::new();
    task.restore(&mut |key, value| state.push((key, value)), &mut |_| {}).expect("restore");
    let last = inputs.last().expect("something came in").to_be_bytes().to_vec();
    assert_eq!(state, [(LAST.to_vec(), last)], "the state");
}

/// Waits until something holds.
pub(super) fn until(what: &str, holds: &dyn Fn() -> bool) {
    let watch = Elapsed::start();
    while !holds() {
        assert!(watch.time() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        thread::park_timeout(Duration::from_millis(20));
    }
}
