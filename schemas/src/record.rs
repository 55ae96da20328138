//! Records as every log keeps them: bytes with a key, headers and a place.

use crate::topics::Topic;

/// Number of a partition of a topic, from 0.
pub type Partition = u32;

/// Header with the trace context of what wrote a record (W3C Trace Context, section 3.2).
pub const TRACE_HEADER: &str = "traceparent";

/// Position of a record in its partition. Offsets increase and may have gaps.
pub type Offset = i64;

/// One record as it is given to a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What it concerns; compaction keeps at least the last record of a key.
    pub key: Vec<u8>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Ordered, repeatable headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A record with a value and no headers.
    pub fn new(key: impl Into<Vec<u8>>, value: Vec<u8>) -> Self {
        Self { key: key.into(), value: Some(value), headers: Vec::new() }
    }

    /// A tombstone: compaction forgets the key.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: None, headers: Vec::new() }
    }

    /// The same record with one more header at the end.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Puts a header in the place of all of that name.
    pub fn set_header(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }

    /// Bytes the record takes: key, value and headers.
    pub fn size_bytes(&self) -> usize {
        self.key.len()
            + self.value.as_ref().map_or(0, Vec::len)
            + self.headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
    }
}

/// A record on its way to a chosen partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where it goes.
    pub topic: Topic,
    /// Chosen by our own function ([`crate::topics::hash_partition`]), never by the log.
    pub partition: Partition,
    /// The record.
    pub record: Record,
}

/// A record as it stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// When the log took it, in milliseconds since 1970. Never goes back within a partition.
    pub append_time_ms: i64,
    /// The record.
    pub record: Record,
}

impl Stored {
    /// `topic/partition@offset`, the way every message names a record.
    pub fn place(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, self.offset)
    }
}
