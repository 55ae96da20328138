//! The state of a task: how it is written, in its envelope, and how it comes back.

use std::mem;
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use trunkline_processors::Processor;
use trunkline_schemas::codec;
use trunkline_schemas::state::StateValue;

use super::TaskError;
use crate::log::Task;

/// Keys that are handed over at a time.
const BATCH: usize = 256;
/// Batches that may wait to be taken.
const BATCHES_MAX: usize = 4;

/// Changed state by key; `None` forgets the key.
pub type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// State as it is written: in its envelope.
///
/// # Errors
/// [`TaskError::State`]: it cannot be encoded.
pub fn wrap(state: Changes) -> Result<Changes, TaskError> {
    let wrap = |(key, body): (Vec<u8>, Option<Vec<u8>>)| {
        let value = body.map(|body| codec::encode(&StateValue { version: 1, body })).transpose();
        value.map(|value| (key, value)).map_err(|e| TaskError::State(e.to_string()))
    };
    state.into_iter().map(wrap).collect()
}

/// State as it was before it was written.
///
/// # Errors
/// A text that names the key: the value is none, or that of a newer program.
pub fn unwrap(key: &[u8], value: &[u8]) -> Result<Vec<u8>, String> {
    let bad = |why: String| format!("{}: {why}", String::from_utf8_lossy(key));
    let state: StateValue = codec::decode(value).map_err(|e| bad(e.to_string()))?;
    match state.version {
        1 => Ok(state.body),
        newer => Err(bad(format!("version {newer} is newer than this program"))),
    }
}

/// Gives every key of a task's state and what it holds, and says meanwhile how many records are
/// `left`. To `read` a key takes as long as to `take` what was read: each has a thread, and the
/// order stays. Returns how many keys there are.
///
/// # Errors
/// The log, or what `read` or `take` says is wrong with a key: nothing is taken after it.
pub fn restore<T: Send>(
    task: &mut dyn Task,
    left: &mut dyn FnMut(u64),
    read: impl Fn(&[u8], &[u8]) -> Result<T, String>,
    take: impl FnMut(T) -> Result<(), String> + Send,
) -> Result<u64, TaskError> {
    let (batches, given) = sync_channel::<Vec<T>>(BATCHES_MAX);
    thread::scope(|scope| {
        let taking = scope.spawn(move || given.into_iter().flatten().try_for_each(take));
        let (mut batch, mut failed) = (Vec::with_capacity(BATCH), None);
        let mut each = |key: Vec<u8>, value: Vec<u8>| {
            if failed.is_some() {
                return;
            }
            match unwrap(&key, &value).and_then(|body| read(&key, &body)) {
                Ok(one) => batch.push(one),
                Err(why) => failed = Some(why),
            }
            if batch.len() == BATCH {
                // Nobody takes them any more only where one could not be taken.
                let _ = batches.send(mem::replace(&mut batch, Vec::with_capacity(BATCH)));
            }
        };
        let keys = task.restore(&mut each, left);
        let _ = batches.send(batch);
        drop(batches);
        let taken = taking.join().unwrap_or_else(|panic| resume_unwind(panic));
        let keys = keys?;
        failed.map_or(taken, Err).map(|()| keys).map_err(TaskError::State)
    })
}

/// Gives a processor its state back, as [`restore`] does.
///
/// # Errors
/// As there.
pub fn restore_processor<P: Processor>(
    task: &mut dyn Task,
    left: &mut dyn FnMut(u64),
    processor: &mut P,
) -> Result<u64, TaskError> {
    restore(task, left, P::read, |saved| {
        processor.restore(saved);
        Ok(())
    })
}

/// The same where a key is read when it is taken.
///
/// # Errors
/// As there.
pub(super) fn restore_unread(
    task: &mut dyn Task,
    left: &mut dyn FnMut(u64),
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), String> + Send,
) -> Result<u64, TaskError> {
    let as_it_is = |key: &[u8], body: &[u8]| Ok((key.to_vec(), body.to_vec()));
    restore(task, left, as_it_is, |(key, body): (Vec<u8>, Vec<u8>)| take(&key, &body))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trunkline_schemas::topics::{RAW_TLIB, STATE_CONVERSATION};

    use super::*;
    use crate::clock;
    use crate::log::embedded::Embedded;
    use crate::log::{Log, Step, TaskSpec};
    use crate::topology;

    /// More than are handed over at a time.
    const KEYS: u32 = 3 * BATCH as u32 + 7;

    /// A task whose state has so many keys, each holding its number, of which one is changed.
    fn task(directory: &tempfile::TempDir, change: impl FnOnce(&mut Changes)) -> Box<dyn Task> {
        let log = Embedded::open(directory.path(), Arc::new(clock::now_ms)).expect("a log");
        log.ensure(&topology::layouts(1, 1)).expect("topics are made");
        let (name, input, state) = ("conversation", RAW_TLIB, STATE_CONVERSATION);
        let mut task = log.own(&TaskSpec { name, input, partition: 0, state }).expect("ours");
        let one = |n: u32| (n.to_be_bytes().to_vec(), Some(n.to_string().into_bytes()));
        let mut state = wrap((0..KEYS).map(one).collect()).expect("it is encoded");
        change(&mut state);
        task.commit(Step { outputs: Vec::new(), state, next: 0 }).expect("a step");
        task
    }

    fn number(key: &[u8], body: &[u8]) -> Result<u32, String> {
        let n = u32::from_be_bytes(key.try_into().map_err(|_| format!("{key:?}"))?);
        if body == n.to_string().as_bytes() { Ok(n) } else { Err(format!("{n} holds {body:?}")) }
    }

    #[test]
    fn every_key_comes_back_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut task = task(&directory, |_| {});
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        let take = |n| {
            taken.push(n);
            Ok(())
        };
        let keys = restore(task.as_mut(), &mut |n| left.push(n), number, take).expect("restored");
        assert_eq!(keys, u64::from(KEYS));
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..KEYS));
        assert_eq!(left.last(), Some(&0));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_wherever_it_is_found() {
        let newer = codec::encode(&StateValue { version: 2, body: Vec::new() }).expect("encoded");
        let other = codec::encode(&StateValue { version: 1, body: vec![7] }).expect("encoded");
        for (value, untaken, why) in [
            (Some(b"no envelope".to_vec()), None, "\0\0\0\u{9}: "),
            (Some(newer), None, "version 2 is newer than this program"),
            (Some(other), None, "9 holds [7]"),
            (None, Some(20), "20 cannot be taken"),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let mut task = task(&directory, |state| {
                if let Some(value) = value {
                    state[9].1 = Some(value);
                }
            });
            let take = |n| match untaken {
                Some(bad) if bad == n => Err(format!("{n} cannot be taken")),
                _ => Ok(()),
            };
            let failed = restore(task.as_mut(), &mut |_| {}, number, take).expect_err(why);
            assert!(failed.to_string().contains(why), "{failed}");
        }
    }
}
