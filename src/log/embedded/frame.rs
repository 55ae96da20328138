//! One stored value: a frame of records of one partition.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, [`DENSE`] or [`SPARSE`] |
//! | 4 | number of records |
//! | 8 | append time of the last record, milliseconds since 1970 |
//! | rest | the records, see `put_record` |
//!
//! A dense frame holds consecutive records that were appended together. A sparse frame is what
//! compaction leaves of several: before each record stand its offset and its append time, 8 bytes
//! each, and the first of these offsets is the key of the frame.
//!
//! Numbers are little endian. The store checks its own blocks and journal with checksums; a frame
//! checks its lengths, so that whatever else goes wrong is an error and never another record.

use std::collections::BTreeMap;

use trunkline_schemas::{Offset, Output, Partition, Record, Topic};

use super::super::{LogError, MAX_RECORD_BYTES};

/// Version of a frame of consecutive records of one append time.
const DENSE: u8 = 1;
/// Version of a frame whose records each have an offset and an append time.
const SPARSE: u8 = 2;
/// Version, count and append time.
const HEAD_BYTES: usize = 13;
/// A frame takes no further record once it is this large; so a frame is smaller than this and one
/// record together, and a reader never loads much more than it gives.
pub(super) const FRAME_BYTES: usize = 256 * 1024;
/// Stands for the length of the value of a tombstone.
const NO_VALUE: u32 = u32::MAX;

/// Where a frame goes.
pub(super) type Place = (Topic, Partition);

/// Records in their stored form, short of the append time.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    /// How many records there are.
    pub(super) count: u32,
}

impl Frame {
    fn new(version: u8) -> Self {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes[0] = version;
        Self { bytes, count: 0 }
    }

    fn push(&mut self, record: &Record) {
        put_record(&mut self.bytes, record);
        self.count += 1;
    }

    /// How large the value to store is.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The value to store, with the time at which the log took it.
    pub(super) fn sealed(mut self, append_time_ms: i64) -> Vec<u8> {
        self.bytes[1..5].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[5..HEAD_BYTES].copy_from_slice(&append_time_ms.to_le_bytes());
        self.bytes
    }
}

/// Frames for each place, in the order of its records.
pub(super) type Packed = BTreeMap<Place, Vec<Frame>>;

/// Sorts outputs by place, keeping the order within each.
///
/// # Errors
/// [`LogError::TooLarge`] for a record over [`MAX_RECORD_BYTES`].
pub(super) fn pack(outputs: &[Output]) -> Result<Packed, LogError> {
    let mut packed = Packed::new();
    for Output { topic, partition, record } in outputs {
        let bytes = record.size_bytes();
        if bytes > MAX_RECORD_BYTES {
            return Err(LogError::TooLarge { topic: *topic, bytes });
        }
        let frames = packed.entry((*topic, *partition)).or_default();
        match frames.last_mut() {
            Some(frame) if frame.bytes.len() < FRAME_BYTES => frame.push(record),
            Some(_) | None => {
                let mut frame = Frame::new(DENSE);
                frame.push(record);
                frames.push(frame);
            }
        }
    }
    Ok(packed)
}

/// A record of a frame with its place and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its offset.
    pub(super) offset: Offset,
    /// When the log took it.
    pub(super) append_time_ms: i64,
    /// The record.
    pub(super) record: Record,
}

/// An entry as it lies in the bytes of its frame, for those that leave most of them alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View<'a> {
    /// Its offset.
    pub(super) offset: Offset,
    /// When the log took it.
    pub(super) append_time_ms: i64,
    /// Its key.
    pub(super) key: &'a [u8],
    /// Its value; a tombstone has none.
    pub(super) value: Option<&'a [u8]>,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl View<'_> {
    /// As [`Record::size_bytes`].
    pub(super) fn size_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.key.len() + self.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
    }

    /// The entry by itself.
    pub(super) fn to_entry(&self) -> Entry {
        let headers = self.headers.iter();
        let record = Record {
            key: self.key.to_vec(),
            value: self.value.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        };
        Entry { offset: self.offset, append_time_ms: self.append_time_ms, record }
    }
}

/// Sparse frames of entries in the order of their offsets, each with the offset that is its key.
pub(super) fn sparse(entries: &[Entry]) -> Vec<(Offset, Vec<u8>)> {
    let mut frames: Vec<(Offset, Frame, i64)> = Vec::new();
    for Entry { offset, append_time_ms, record } in entries {
        if frames.last().is_none_or(|(_, frame, _)| frame.bytes.len() >= FRAME_BYTES) {
            frames.push((*offset, Frame::new(SPARSE), *append_time_ms));
        }
        let (_, frame, newest) = frames.last_mut().expect("one was just made if there was none");
        frame.bytes.extend(offset.to_le_bytes());
        frame.bytes.extend(append_time_ms.to_le_bytes());
        frame.push(record);
        *newest = *append_time_ms;
    }
    frames.into_iter().map(|(base, frame, newest)| (base, frame.sealed(newest))).collect()
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    sparse: bool,
    /// Number of records, at least 1.
    count: u32,
    /// When the log took the last of them.
    append_time_ms: i64,
}

/// Where a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    /// One more than its last offset.
    pub(super) end: Offset,
    /// When the log took its last record.
    pub(super) append_time_ms: i64,
}

/// A stored value that is no frame; the caller adds the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// It ends too early.
    #[error("the stored frame of {0} bytes ends within a record")]
    Short(usize),
    /// It goes on after the last record.
    #[error("the stored frame goes on for {0} bytes after its last record")]
    Long(usize),
    /// Another format.
    #[error("the stored frame has version {0}, this program knows {DENSE} and {SPARSE}")]
    Version(u8),
    /// Offsets that do not increase from the frame's key on.
    #[error("the stored frame has offset {0} out of order")]
    Order(Offset),
    /// It says it has no records.
    #[error("the stored frame is empty")]
    Empty,
    /// A header name that is no UTF-8.
    #[error("a header name in the stored frame is not UTF-8")]
    HeaderName,
}

/// Where the frame with that key ends; reads no more of it than is needed.
pub(super) fn last(base: Offset, bytes: &[u8]) -> Result<Last, Damage> {
    let Head { sparse, count, append_time_ms } = Rest { bytes, whole: bytes.len() }.head()?;
    let end = if sparse {
        views(base, bytes)?.last().map_or(base, |view| view.offset + 1)
    } else {
        base + Offset::from(count)
    };
    Ok(Last { end, append_time_ms })
}

/// Reads the frame with that key: at least one entry, in order.
pub(super) fn open(base: Offset, bytes: &[u8]) -> Result<Vec<Entry>, Damage> {
    Ok(views(base, bytes)?.iter().map(View::to_entry).collect())
}

/// As [`open`], without copying anything.
pub(super) fn views(base: Offset, bytes: &[u8]) -> Result<Vec<View<'_>>, Damage> {
    let mut rest = Rest { bytes, whole: bytes.len() };
    let head = rest.head()?;
    // Not `with_capacity(count)`: a damaged count must not decide how much memory is taken.
    let mut views: Vec<View<'_>> = Vec::new();
    for index in 0..head.count {
        let (offset, append_time_ms) = if head.sparse {
            (i64::from_le_bytes(rest.array()?), i64::from_le_bytes(rest.array()?))
        } else {
            (base + Offset::from(index), head.append_time_ms)
        };
        let in_order = match views.last() {
            Some(before) => before.offset < offset,
            None => offset == base,
        };
        if !in_order {
            return Err(Damage::Order(offset));
        }
        views.push(rest.view(offset, append_time_ms)?);
    }
    match rest.bytes.len() {
        0 => Ok(views),
        more => Err(Damage::Long(more)),
    }
}

/// Key of a frame within its partition: the offset of its first record.
pub(super) fn key(base: Offset) -> [u8; 8] {
    (base as u64).to_be_bytes()
}

/// The offset a key stands for.
pub(super) fn base(key: &[u8]) -> Option<Offset> {
    key.try_into().ok().map(|bytes| u64::from_be_bytes(bytes) as Offset)
}

/// Lengths of key, value and number of headers, then key and value, then each header with the
/// lengths of name and value before it.
fn put_record(out: &mut Vec<u8>, record: &Record) {
    let value = record.value.as_deref();
    put_len(out, record.key.len());
    out.extend(value.map_or(NO_VALUE, |v| v.len() as u32).to_le_bytes());
    put_len(out, record.headers.len());
    out.extend(&record.key);
    out.extend(value.unwrap_or_default());
    for (name, value) in &record.headers {
        put_len(out, name.len());
        put_len(out, value.len());
        out.extend(name.as_bytes());
        out.extend(value);
    }
}

/// Every length fits: [`pack`] refuses records over [`MAX_RECORD_BYTES`].
fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend((len as u32).to_le_bytes());
}

/// What of a frame is still to be read.
struct Rest<'a> {
    bytes: &'a [u8],
    whole: usize,
}

impl<'a> Rest<'a> {
    fn head(&mut self) -> Result<Head, Damage> {
        let sparse = match self.array()? {
            [DENSE] => false,
            [SPARSE] => true,
            [other] => return Err(Damage::Version(other)),
        };
        let count = self.number()?;
        let append_time_ms = i64::from_le_bytes(self.array()?);
        if count == 0 { Err(Damage::Empty) } else { Ok(Head { sparse, count, append_time_ms }) }
    }

    fn view(&mut self, offset: Offset, append_time_ms: i64) -> Result<View<'a>, Damage> {
        let (key, value, count) = (self.number()?, self.number()?, self.number()?);
        let key = self.take(key)?;
        let value = match value {
            NO_VALUE => None,
            len => Some(self.take(len)?),
        };
        let mut headers = Vec::new();
        for _ in 0..count {
            let (name, value) = (self.number()?, self.number()?);
            let name = std::str::from_utf8(self.take(name)?).map_err(|_| Damage::HeaderName)?;
            headers.push((name, self.take(value)?));
        }
        Ok(View { offset, append_time_ms, key, value, headers })
    }

    fn number(&mut self) -> Result<u32, Damage> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Damage::Short(self.whole))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], Damage> {
        let split = self.bytes.split_at_checked(len as usize);
        let (taken, rest) = split.ok_or(Damage::Short(self.whole))?;
        self.bytes = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::topics::{RAW_TLIB, SEGMENT};

    use super::*;

    fn output(topic: Topic, partition: Partition, record: Record) -> Output {
        Output { topic, partition, record }
    }

    fn records() -> Vec<Record> {
        vec![
            Record::new("key", b"value".to_vec()).with_header("h", "1").with_header("h", "2"),
            Record::new("", Vec::new()).with_header("", ""),
            Record::tombstone("key"),
        ]
    }

    fn sealed() -> Vec<u8> {
        let outputs: Vec<_> = records().into_iter().map(|r| output(RAW_TLIB, 0, r)).collect();
        let mut packed = pack(&outputs).expect("small records");
        let mut frames = packed.remove(&(RAW_TLIB, 0)).expect("that place");
        frames.remove(0).sealed(77)
    }

    /// The records at those offsets, each taken at its offset times ten.
    fn entries(offsets: [Offset; 3]) -> Vec<Entry> {
        let entry = |(offset, record)| Entry { offset, append_time_ms: offset * 10, record };
        offsets.into_iter().zip(records()).map(entry).collect()
    }

    #[test]
    fn a_frame_gives_back_its_records() {
        let together: Vec<_> = entries([40, 41, 42])
            .into_iter()
            .map(|entry| Entry { append_time_ms: 77, ..entry })
            .collect();
        assert_eq!(open(40, &sealed()), Ok(together));
        assert_eq!(last(40, &sealed()), Ok(Last { end: 43, append_time_ms: 77 }));
    }

    #[test]
    fn a_sparse_frame_keeps_offsets_and_times() {
        let kept = entries([7, 9, 5_000_000_000]);
        let frames = sparse(&kept);
        let [(base, value)] = frames.as_slice() else { panic!("{} frames", frames.len()) };
        assert_eq!((*base, open(7, value)), (7, Ok(kept)));
        let wanted = Last { end: 5_000_000_001, append_time_ms: 50_000_000_000 };
        assert_eq!(last(7, value), Ok(wanted));
        // Under another key it is another frame, and offsets never go back.
        assert_eq!(open(6, value), Err(Damage::Order(7)));
        let swapped = sparse(&entries([9, 9, 10]));
        assert_eq!(open(9, &swapped[0].1), Err(Damage::Order(9)));
        for cut in 0..value.len() {
            assert_eq!(open(7, &value[..cut]), Err(Damage::Short(cut)), "cut at {cut}");
        }
    }

    #[test]
    fn sparse_frames_are_cut_to_size() {
        let entry = |offset| {
            let record = Record::new("k", vec![1; FRAME_BYTES / 2]);
            Entry { offset, append_time_ms: 5, record }
        };
        let bases = |offsets: &[Offset]| -> Vec<_> {
            let entries: Vec<_> = offsets.iter().copied().map(entry).collect();
            sparse(&entries).into_iter().map(|(base, _)| base).collect()
        };
        assert_eq!(bases(&[]), [] as [Offset; 0]);
        assert_eq!(bases(&[2, 4, 6, 8, 10]), [2, 6, 10]);
    }

    #[test]
    fn a_frame_cut_anywhere_or_longer_is_damage() {
        let whole = sealed();
        for cut in 0..whole.len() {
            assert_eq!(open(0, &whole[..cut]), Err(Damage::Short(cut)), "cut at {cut}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(open(0, &longer), Err(Damage::Long(1)));
        let mut newer = whole.clone();
        newer[0] = 9;
        assert_eq!(open(0, &newer), Err(Damage::Version(9)));
        let mut empty = whole;
        empty[1..5].fill(0);
        assert_eq!(open(0, &empty), Err(Damage::Empty));
    }

    #[test]
    fn places_are_kept_apart_and_large_ones_cut_into_frames() {
        let big = || Record::new("k", vec![7; FRAME_BYTES]);
        let small = || Record::new("k", vec![1]);
        let packed = pack(&[
            output(RAW_TLIB, 1, small()),
            output(SEGMENT, 1, small()),
            output(RAW_TLIB, 1, big()),
            output(RAW_TLIB, 1, small()),
            output(RAW_TLIB, 0, small()),
        ])
        .expect("within the limit");
        let counts: Vec<_> = packed
            .iter()
            .map(|((topic, partition), frames)| {
                (topic.name(), *partition, frames.iter().map(|f| f.count).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            counts,
            [("raw.tlib", 0, vec![1]), ("raw.tlib", 1, vec![2, 1]), ("segment", 1, vec![1])]
        );
    }

    #[test]
    fn keys_sort_as_their_offsets() {
        for (low, high) in [(0, 1), (255, 256), (65_535, 1 << 40)] {
            assert!(key(low) < key(high));
            assert_eq!(base(&key(high)), Some(high));
        }
        assert_eq!(base(b"short"), None);
    }
}
