//! Avro in the Confluent wire format: a zero byte, the schema id (four bytes, big endian), the
//! datum.
//!
//! Without a schema registry the ids are those of [`BUILT_IN`]. A value is decoded by the schema it
//! was written with, found by its id (reliability/KAFKA section 7: `read_deser` cannot resolve).

use std::sync::LazyLock;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, rabin::Rabin};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::command::ConversationCommand;
use crate::configdb::ConfigObject;
use crate::desired::{ConfigOutcome, DesiredObject};
use crate::directory::DirectoryRow;
use crate::outcome::Outcome;
use crate::presence::{PresenceCommand, PresenceOutcome};
use crate::raw::RawEvent;
use crate::record::Record;
use crate::segment::Segment;
use crate::state::StateValue;

/// Header that carries the fingerprint of the writer's schema (Rabin of 64 bits, hexadecimal).
pub const FINGERPRINT_HEADER: &str = "schema-fingerprint";

/// Why a value could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not the Confluent wire format.
    #[error("not a value in the Confluent wire format: {0}")]
    Frame(&'static str),
    /// An id that is not built in.
    #[error("schema id {id} is not built in (this program knows 1 to {known})")]
    UnknownSchema {
        /// The id of the value.
        id: i32,
        /// The greatest id known.
        known: usize,
    },
    /// The schema is known, but it is another type's.
    #[error("the value is a {found}, expected a {expected}")]
    OtherType {
        /// Name of the schema it was written with.
        found: &'static str,
        /// Name of the schema asked for.
        expected: &'static str,
    },
    /// The datum does not fit its schema.
    #[error("the datum does not fit schema {name}: {source}")]
    Datum {
        /// Name of the schema.
        name: &'static str,
        /// What Avro says.
        source: Box<apache_avro::Error>,
    },
}

/// A schema that is part of the program. Its id is its place in [`BUILT_IN`], from 1.
pub struct BuiltIn {
    /// Name of the type.
    pub name: &'static str,
    /// The schema as text (`avro/*.avsc`).
    pub text: &'static str,
    /// The parsed schema.
    pub schema: LazyLock<Schema>,
    /// Rabin fingerprint of its canonical form, hexadecimal.
    pub fingerprint: LazyLock<String>,
}

macro_rules! built_in {
    ($index:expr, $name:literal, $file:literal) => {
        BuiltIn {
            name: $name,
            text: include_str!(concat!("../avro/", $file)),
            schema: LazyLock::new(|| {
                Schema::parse_str(include_str!(concat!("../avro/", $file)))
                    .expect("a built-in schema parses, as the tests show")
            }),
            fingerprint: LazyLock::new(|| {
                BUILT_IN[$index].schema.fingerprint::<Rabin>().to_string()
            }),
        }
    };
}

/// The built-in schemas. Only ever appended to: the place is the id.
pub static BUILT_IN: [BuiltIn; 13] = [
    built_in!(0, "RawEvent", "raw.tlib.avsc"),
    built_in!(1, "ConversationCommand", "command.conversation.avsc"),
    built_in!(2, "Outcome", "outcome.conversation.avsc"),
    built_in!(3, "Segment", "segment.avsc"),
    built_in!(4, "Directory", "directory.avsc"),
    built_in!(5, "StateValue", "state.avsc"),
    built_in!(6, "RawEvent", "raw.2.avsc"),
    built_in!(7, "PresenceCommand", "command.presence.avsc"),
    built_in!(8, "PresenceOutcome", "outcome.presence.avsc"),
    built_in!(9, "RawEvent", "raw.3.avsc"),
    built_in!(10, "ConfigObject", "raw.configdb.avsc"),
    built_in!(11, "DesiredObject", "command.config.avsc"),
    built_in!(12, "ConfigOutcome", "outcome.config.avsc"),
];

/// A type that has a built-in schema.
pub trait Schemed: Serialize + DeserializeOwned {
    /// Index of its newest schema in [`BUILT_IN`]; the id less one.
    const INDEX: usize;
}

impl Schemed for RawEvent {
    const INDEX: usize = 9;
}
impl Schemed for ConversationCommand {
    const INDEX: usize = 1;
}
impl Schemed for Outcome {
    const INDEX: usize = 2;
}
impl Schemed for Segment {
    const INDEX: usize = 3;
}
impl Schemed for DirectoryValue {
    const INDEX: usize = 4;
}
impl Schemed for StateValue {
    const INDEX: usize = 5;
}
impl Schemed for PresenceCommand {
    const INDEX: usize = 7;
}
impl Schemed for PresenceOutcome {
    const INDEX: usize = 8;
}
impl Schemed for ConfigValue {
    const INDEX: usize = 10;
}
impl Schemed for DesiredValue {
    const INDEX: usize = 11;
}
impl Schemed for ConfigOutcome {
    const INDEX: usize = 12;
}

/// A directory row as a value of its topic: Avro wants a record around the union.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename = "Directory")]
pub struct DirectoryValue {
    /// The row.
    pub row: DirectoryRow,
}

/// An object of the Engage configuration as a value of its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename = "ConfigObject")]
pub struct ConfigValue {
    /// The object.
    pub object: ConfigObject,
}

/// The desired state of an object as a value of its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename = "DesiredObject")]
pub struct DesiredValue {
    /// The object.
    pub object: DesiredObject,
}

/// Encodes a value with its built-in schema.
///
/// # Errors
/// Never for the types of this crate: their schemas are tested against them. A value whose schema
/// and type differ gives [`CodecError::Datum`].
pub fn encode<T: Schemed>(value: &T) -> Result<Vec<u8>, CodecError> {
    let built_in = &BUILT_IN[T::INDEX];
    let mut bytes = Vec::with_capacity(256);
    bytes.push(0);
    bytes.extend_from_slice(&(T::INDEX as i32 + 1).to_be_bytes());
    WRITERS[T::INDEX]
        .write_ser(&mut bytes, value)
        .map_err(|e| CodecError::Datum { name: built_in.name, source: Box::new(e) })?;
    Ok(bytes)
}

static WRITERS: LazyLock<Vec<GenericDatumWriter<'static>>> = LazyLock::new(|| {
    BUILT_IN
        .iter()
        .map(|b| {
            GenericDatumWriter::builder(&b.schema)
                .human_readable(false)
                .build()
                .expect("a built-in schema resolves, as the tests show")
        })
        .collect()
});

static READERS: LazyLock<Vec<GenericDatumReader<'static>>> = LazyLock::new(|| {
    BUILT_IN
        .iter()
        .map(|b| {
            GenericDatumReader::builder(&b.schema)
                .human_readable(false)
                .build()
                .expect("a built-in schema resolves, as the tests show")
        })
        .collect()
});

/// Encodes a value as a record with its key and the fingerprint header.
///
/// # Errors
/// As [`encode`].
pub fn record<T: Schemed>(key: impl Into<Vec<u8>>, value: &T) -> Result<Record, CodecError> {
    let fingerprint = BUILT_IN[T::INDEX].fingerprint.as_str();
    Ok(Record::new(key, encode(value)?).with_header(FINGERPRINT_HEADER, fingerprint))
}

/// Decodes a value by the schema it was written with.
///
/// # Errors
/// [`CodecError`], which names what is wrong with the bytes.
pub fn decode<T: Schemed>(bytes: &[u8]) -> Result<T, CodecError> {
    let [0, a, b, c, d, datum @ ..] = bytes else {
        return Err(CodecError::Frame(if bytes.is_empty() {
            "it is empty"
        } else {
            "it has no zero byte and schema id"
        }));
    };
    let id = i32::from_be_bytes([*a, *b, *c, *d]);
    let known = BUILT_IN.len();
    let found = usize::try_from(id)
        .ok()
        .and_then(|id| id.checked_sub(1))
        .filter(|index| *index < known)
        .ok_or(CodecError::UnknownSchema { id, known })?;
    let expected = BUILT_IN[T::INDEX].name;
    let name = BUILT_IN[found].name;
    if name != expected {
        return Err(CodecError::OtherType { found: name, expected });
    }
    let mut rest = datum;
    READERS[found]
        .read_deser(&mut rest)
        .map_err(|e| CodecError::Datum { name, source: Box::new(e) })
}
