//! The position of a task as its state knows it.
//!
//! A cluster that forgets to end a transaction may have told some of its partitions already (see
//! [`super::unended`]): the position of the group is moved, and state and outputs of its step are
//! not there, or the other way round. So a step also notes its position in the partition of its
//! state. Where the two differ, what the later one says is not there as a whole: the task goes on
//! from the earlier one. Nobody but this log sees the note; a position that the cluster has let
//! expire, as it does where nobody was in a group for days, is found in it too.

use trunkline_schemas::state::StateValue;
use trunkline_schemas::topics::ValueKind;
use trunkline_schemas::{Offset, Output, Record, Topic, codec};

use super::Inner;
use super::client::unavailable;
use super::reader::{Go, Scanned};
use crate::log::{Bounds, LogError, TaskSpec};

/// Keys of notes begin with it, and no key of a state does.
const PREFIX: &[u8] = b"\0position of ";
/// Records at the end of a state that are looked at first: a note ends its step.
const LAST: Offset = 64;
/// How many times more are looked at after that.
const FURTHER: Offset = 16;

/// Whether a record of this topic is a note.
pub(super) fn is_note(topic: Topic, key: &[u8]) -> bool {
    topic.spec().value == ValueKind::State && key.starts_with(PREFIX)
}

fn key(spec: &TaskSpec) -> Vec<u8> {
    [PREFIX, spec.id().as_bytes()].concat()
}

/// The note of a step.
pub(super) fn note(spec: &TaskSpec, next: Offset) -> Result<Output, LogError> {
    let body = next.to_string().into_bytes();
    let value = codec::encode(&StateValue { version: 1, body });
    let value = value.map_err(|error| unavailable("noting a position", error))?;
    let record = Record { key: key(spec), value: Some(value), headers: Vec::new() };
    Ok(Output { topic: spec.state, partition: spec.partition, record })
}

/// What was noted last; `None` before the first step that noted it.
pub(super) fn read(inner: &Inner, spec: &TaskSpec) -> Result<Option<Offset>, LogError> {
    let (place, key) = ((spec.state, spec.partition), key(spec));
    let Bounds { start, end } = inner.bounds(place.0, place.1)?;
    let what = format!("reading the position noted in {}/{}", place.0, place.1);
    let failed = |why: String| unavailable(what.clone(), why);
    let (mut to, mut most) = (end, LAST);
    while start < to {
        let from = (to - most).max(start);
        let mut newest = None;
        let scanned = inner.scan(place, (from, to), &mut |stored| {
            if stored.offset >= to {
                return Go::Stop;
            }
            if stored.record.key == key {
                newest = stored.record.value;
            }
            Go::On
        })?;
        if scanned == Scanned::OutOfRange {
            return Err(failed("it was cut".to_owned()));
        }
        if let Some(value) = newest {
            return parse(&value).map(Some).map_err(failed);
        }
        (to, most) = (from, most * FURTHER);
    }
    Ok(None)
}

fn parse(value: &[u8]) -> Result<Offset, String> {
    let note: StateValue = codec::decode(value).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&note.body);
    text.parse().map_err(|_| format!("{text:?} is no position"))
}

/// From where a task goes on whose group has this position and whose state this note.
pub(super) fn start(position: Option<Offset>, noted: Option<Offset>) -> Offset {
    position.into_iter().chain(noted).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::topics::{COMMAND_CONVERSATION, RAW_TLIB, STATE_CONVERSATION};

    use super::*;

    const SPEC: TaskSpec =
        TaskSpec { name: "conversation", input: RAW_TLIB, partition: 3, state: STATE_CONVERSATION };

    #[test]
    fn a_task_goes_on_from_the_earlier_of_two_positions() {
        for (position, noted, expected) in [
            (None, None, 0),
            (Some(7), None, 7),
            (None, Some(7), 7),
            (Some(7), Some(7), 7),
            (Some(9), Some(7), 7),
            (Some(7), Some(9), 7),
        ] {
            assert_eq!(start(position, noted), expected, "{position:?}, {noted:?}");
        }
    }

    #[test]
    fn a_note_is_known_by_its_key_and_says_its_position() {
        let Output { topic, partition, record } = note(&SPEC, 4_711).expect("a note");
        assert_eq!((topic, partition), (STATE_CONVERSATION, 3));
        assert!(is_note(topic, &record.key));
        assert!(!is_note(COMMAND_CONVERSATION, &record.key), "commands are the task's own");
        assert!(!is_note(STATE_CONVERSATION, b"position of conversation-3"));
        let value = record.value.expect("a value");
        assert_eq!(parse(&value), Ok(4_711));
        assert!(parse(&value[..4]).is_err());
    }
}
