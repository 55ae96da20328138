//! The ids that schemas have in a registry, which are those in the records of the log.
//!
//! Inside the program a schema has the id it is built in with; the log exchanges ids at its edge. A
//! record says by the fingerprint in its header what it was written with: so records can be read
//! whatever registry there was when they were written, and whether there is one now.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use trunkline_schemas::codec::{BUILT_IN, FINGERPRINT_HEADER};
use trunkline_schemas::{Record, Topic};

/// Where the id of a value stands.
const ID: std::ops::Range<usize> = 1..5;

/// The ids of built-in schemas in the registry, by topic; none before it has given them. Clones are
/// the same.
#[derive(Clone, Debug, Default)]
pub struct SchemaIds(Arc<RwLock<Ids>>);

/// Topic and built-in id, then the registry's.
pub(super) type Ids = BTreeMap<(Topic, u32), u32>;

static BY_FINGERPRINT: LazyLock<BTreeMap<&'static [u8], u32>> = LazyLock::new(|| {
    (1..).zip(&BUILT_IN).map(|(id, built_in)| (built_in.fingerprint.as_bytes(), id)).collect()
});

impl SchemaIds {
    /// From here on, records are written with these.
    pub(super) fn set(&self, ids: Ids) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    /// The record as it is written, where that is not as it is. It says by its header what it was
    /// written with, so that only what was exchanged is exchanged again when it is read.
    pub fn outward(&self, topic: Topic, record: &Record) -> Option<Record> {
        let value = record.value.as_deref()?;
        let built_in = id(value)?;
        let ids = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let theirs = if topic.spec().value.schema().is_some() {
            ids.get(&(topic, built_in))
        } else {
            // A dead letter is as it was, whichever topic it came from.
            let is_known = fingerprinted(record) == Some(built_in);
            let mut same = ids.iter().filter(|((_, id), _)| is_known && *id == built_in);
            same.next().map(|(_, theirs)| theirs)
        };
        let theirs = theirs.filter(|theirs| **theirs != built_in)?;
        let schema = BUILT_IN.get(built_in.checked_sub(1)? as usize)?;
        let mut written = Record { value: Some(with_id(value, *theirs)), ..record.clone() };
        written.set_header(FINGERPRINT_HEADER, schema.fingerprint.as_str());
        Some(written)
    }
}

/// Gives a record that was read the id with which its schema is built in, where its header says it.
pub fn inward(record: &mut Record) {
    let Some(found) = record.value.as_deref().and_then(id) else { return };
    let known = fingerprinted(record).filter(|known| *known != found);
    if let (Some(known), Some(value)) = (known, &mut record.value) {
        *value = with_id(value, known);
    }
}

fn id(value: &[u8]) -> Option<u32> {
    let [0, a, b, c, d, ..] = value else { return None };
    Some(u32::from_be_bytes([*a, *b, *c, *d]))
}

fn with_id(value: &[u8], id: u32) -> Vec<u8> {
    let mut value = value.to_vec();
    value[ID].copy_from_slice(&id.to_be_bytes());
    value
}

/// The built-in id of the schema that the header names.
fn fingerprinted(record: &Record) -> Option<u32> {
    BY_FINGERPRINT.get(record.header(FINGERPRINT_HEADER)?).copied()
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::codec::{self, DirectoryValue};
    use trunkline_schemas::state::StateValue;
    use trunkline_schemas::topics::{
        COMMAND_CONVERSATION, DEAD_CONVERSATION, RAW_AGENT, RAW_TLIB, STATE_CONVERSATION,
    };

    use super::*;

    /// A value of a schema, with the header or without.
    fn value(built_in: u32, has_header: bool) -> Record {
        let record = Record::new("k", [&[0][..], &built_in.to_be_bytes(), b"datum"].concat());
        let fingerprint = BUILT_IN[built_in as usize - 1].fingerprint.as_str();
        if has_header { record.with_header(FINGERPRINT_HEADER, fingerprint) } else { record }
    }

    #[test]
    fn what_is_written_has_the_ids_of_the_registry_and_is_read_with_the_built_in_ones() {
        let ids = SchemaIds::default();
        // Ids of the registry that are built-in ids of other schemas, to make it hard.
        ids.set(
            [
                ((RAW_TLIB, 1), 7),
                ((RAW_TLIB, 10), 1),
                ((RAW_AGENT, 10), 1),
                ((STATE_CONVERSATION, 6), 10),
            ]
            .into(),
        );
        for (topic, built_in, has_header, written) in [
            (RAW_TLIB, 1, true, 7),
            (RAW_TLIB, 10, true, 1),
            (RAW_AGENT, 10, true, 1),
            // The registry does not have it: it keeps its id.
            (COMMAND_CONVERSATION, 2, true, 2),
            // A state has no header until it is written with another id.
            (STATE_CONVERSATION, 6, false, 10),
            (DEAD_CONVERSATION, 10, true, 1),
            // A letter that is nobody's value is left as it is.
            (DEAD_CONVERSATION, 10, false, 10),
        ] {
            let mut record = value(built_in, has_header);
            let before = record.value.clone();
            if let Some(outward) = ids.outward(topic, &record) {
                record = outward;
            }
            let found = record.value.as_deref().and_then(id);
            assert_eq!(found, Some(written), "{topic} {built_in}");
            inward(&mut record);
            assert_eq!(record.value, before, "{topic} {built_in}");
        }
    }

    #[test]
    fn what_is_no_value_is_left_alone() {
        let ids = SchemaIds::default();
        // The last is a number that looks like one.
        for bytes in [&b""[..], b"\x00\x00\x00", b"{\"json\": true}", &[0, 0, 0, 0, 2, 0, 0, 1]] {
            for topic in [RAW_TLIB, STATE_CONVERSATION] {
                let mut record = Record::new("k", bytes.to_vec());
                assert_eq!(ids.outward(topic, &record), None);
                inward(&mut record);
                assert_eq!(record.value.as_deref(), Some(bytes));
            }
        }
        let mut tombstone = Record::tombstone("k");
        inward(&mut tombstone);
        assert_eq!(tombstone.value, None);
    }

    #[test]
    fn a_state_is_read_though_the_registry_that_gave_its_id_is_gone() {
        let state = StateValue { version: 1, body: b"{}".to_vec() };
        let record = Record::new("k", codec::encode(&state).expect("it has a schema"));
        let built_in = record.value.as_deref().and_then(id).expect("an id");
        let ids = SchemaIds::default();
        ids.set([((STATE_CONVERSATION, built_in), 4_711)].into());
        let mut record = ids.outward(STATE_CONVERSATION, &record).expect("another id");
        inward(&mut record);
        let read = codec::decode::<StateValue>(record.value.as_deref().unwrap_or_default());
        assert_eq!(read.expect("it is a state"), state);
        assert!(
            codec::decode::<DirectoryValue>(record.value.as_deref().unwrap_or_default()).is_err()
        );
    }
}
