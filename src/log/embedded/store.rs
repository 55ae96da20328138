//! The files of the embedded log: one fjall database, a keyspace for each partition and one,
//! `meta`, for everything else.
//!
//! | key in `meta` | value |
//! |---|---|
//! | `format` | [`FORMAT`] |
//! | `topic/<topic>` | number of partitions, u32 |
//! | `start/<topic>/<partition>` | oldest offset kept, i64; absent is 0 |
//! | `task/<task id>` | epoch of its newest owner, u64, and position, i64 |
//!
//! A partition has a keyspace to itself because its keys then only ever grow, but for what
//! compaction of the log puts in place of older frames: tables of a keyspace hardly overlap, so
//! that the database moves them as they are and rewrites next to nothing.
//!
//! Readers look through a snapshot: a plain iterator of the database sees a batch that is just
//! being applied in part, and so could miss frames that are being replaced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use fjall::config::{CompressionPolicy, FilterPolicy, PinningPolicy};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable as _, UserValue,
};
use trunkline_schemas::{Offset, Stored, Topic};

use super::frame::{self, Entry, Last, Place, View};
use super::{Head, Heads, Owner, unavailable};
use crate::log::{Layout, LogError};

/// Version of the layout above.
const FORMAT: &[u8] = &[1];
/// What a memtable holds before it is written as a table, in bytes.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Blocks kept in memory for readers, in bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Journals kept before the memtables they stand for are written out, in bytes.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;
/// Threads that write tables in the background.
const WORKERS: usize = 2;
/// Full memtables of one partition that may wait to be written before an append waits too. The
/// database itself waits at 4, but without noticing that its workers have failed.
const SEALED_MEMTABLES: usize = 2;
/// How often such a wait looks again; the database has nothing to wait on.
const STALL_STEP: Duration = Duration::from_millis(5);
/// After so many looks (30 s) the store counts as broken.
const STALL_STEPS: u32 = 6_000;
/// What one read gives at most, in bytes of records, apart from the last record.
pub(super) const READ_BYTES: usize = 8 * 1024 * 1024;
/// How many frames one call of `forget` removes at most; the next call goes on.
const FORGET_FRAMES: usize = 512;

/// A stored frame and the offset that is its key.
pub(super) type Raw = (Offset, UserValue);

/// The open files.
pub(super) struct Store {
    db: Database,
    meta: Keyspace,
    topics: BTreeMap<Topic, Vec<Keyspace>>,
}

impl Store {
    /// Opens the store in that directory, or makes a new one, and reads where everything stands.
    pub(super) fn open(dir: &Path) -> Result<(Self, Heads), LogError> {
        let home = dir.join("store");
        if !home.try_exists().map_err(|e| unavailable(opening(dir), e))? {
            create(dir, &home).map_err(|e| unavailable(opening(dir), e))?;
        }
        let db = database(&home).map_err(|error| {
            if matches!(error, fjall::Error::Locked) {
                return LogError::InUse { path: dir.display().to_string() };
            }
            unavailable(opening(dir), error)
        })?;
        Self::recover(db).map_err(|e| unavailable(opening(dir), e))
    }

    fn recover(db: Database) -> Result<(Self, Heads), Box<dyn std::error::Error + Send + Sync>> {
        let meta = db.keyspace("meta", meta_options)?;
        match meta.get("format")? {
            Some(format) if &*format == FORMAT => {}
            Some(other) => return Err(format!("store format {other:?} is not known").into()),
            None => return Err("the store has lost its format entry".into()),
        }
        let mut store = Self { db, meta, topics: BTreeMap::new() };
        let mut heads = Heads::default();
        let mut unknown = Vec::new();
        for (name, value) in store.entries("topic/")? {
            let Some(topic) = Topic::find(&name) else {
                unknown.push(name);
                continue;
            };
            let partitions = u32::from_be_bytes(fixed(&value, &name)?);
            let lost = (0..partitions).find(|p| !store.db.keyspace_exists(&named((topic, *p))));
            if let Some(lost) = lost {
                return Err(format!("the store has lost partition {topic}/{lost}").into());
            }
            store.attach(topic, partitions)?;
        }
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            return Err(format!("topics unknown to this version: {names} (a newer one?)").into());
        }
        for (name, value) in store.entries("task/")? {
            let value: [u8; 16] = fixed(&value, &name)?;
            heads.owners.insert(name, Owner::from_bytes(value));
        }
        for (topic, partitions) in &store.topics {
            for (partition, keyspace) in (0..).zip(partitions) {
                let head = store.recover_head((*topic, partition), keyspace)?;
                heads.partitions.insert((*topic, partition), head);
            }
        }
        Ok((store, heads))
    }

    fn recover_head(
        &self,
        place: Place,
        keyspace: &Keyspace,
    ) -> Result<Head, Box<dyn std::error::Error + Send + Sync>> {
        let start = match self.meta.get(start_key(place))? {
            Some(value) => Offset::from_be_bytes(fixed(&value, "start")?),
            None => 0,
        };
        let Some(last) = keyspace.last_key_value() else {
            return Ok(Head { start, end: start, append_time_ms: i64::MIN, appended: 0 });
        };
        let (key, value) = last.into_inner()?;
        let base = frame::base(&key).ok_or("a frame has no offset for a key")?;
        let Last { end, append_time_ms } = frame::last(base, &value)
            .map_err(|damage| format!("{}/{}@{base}: {damage}", place.0, place.1))?;
        Ok(Head { start, end, append_time_ms, appended: 0 })
    }

    /// The entries of `meta` under a prefix, without it.
    fn entries(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, fjall::Error> {
        let mut entries = Vec::new();
        for guard in self.meta.prefix(prefix) {
            let (key, value) = guard.into_inner()?;
            let name = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            entries.push((name, value.to_vec()));
        }
        Ok(entries)
    }

    fn attach(&mut self, topic: Topic, partitions: u32) -> Result<(), fjall::Error> {
        let keyspaces: Result<_, _> = (0..partitions)
            .map(|partition| self.db.keyspace(&named((topic, partition)), log_options))
            .collect();
        self.topics.insert(topic, keyspaces?);
        Ok(())
    }

    /// Makes a topic, or gives one the partitions it lacks. Its entry is written last, so that it
    /// is there whole or not at all.
    pub(super) fn set_partitions(&mut self, layout: Layout) -> Result<(), fjall::Error> {
        self.attach(layout.topic, layout.partitions)?;
        let mut batch = self.batch();
        let key = format!("topic/{}", layout.topic);
        batch.insert(&self.meta, key.as_bytes(), layout.partitions.to_be_bytes());
        batch.commit()
    }

    /// The topics there are.
    pub(super) fn layouts(&self) -> Vec<Layout> {
        self.topics
            .iter()
            .map(|(topic, parts)| Layout { topic: *topic, partitions: parts.len() as u32 })
            .collect()
    }

    fn keyspace(&self, (topic, partition): Place) -> Result<&Keyspace, LogError> {
        let found = self.topics.get(&topic).and_then(|parts| parts.get(partition as usize));
        found.ok_or(LogError::NoSuchPartition { topic, partition })
    }

    /// A batch that is on the disk when its commit returns.
    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.db.batch().durability(Some(PersistMode::SyncData))
    }

    /// Puts a frame into a batch.
    pub(super) fn put(
        &self,
        batch: &mut OwnedWriteBatch,
        place: Place,
        base: Offset,
        value: Vec<u8>,
    ) -> Result<(), LogError> {
        batch.insert(self.keyspace(place)?, frame::key(base), value);
        Ok(())
    }

    /// Puts the removal of a frame into a batch.
    pub(super) fn remove(
        &self,
        batch: &mut OwnedWriteBatch,
        place: Place,
        base: Offset,
    ) -> Result<(), LogError> {
        batch.remove(self.keyspace(place)?, frame::key(base));
        Ok(())
    }

    /// Puts the ownership and position of a task into a batch.
    pub(super) fn put_owner(&self, batch: &mut OwnedWriteBatch, task: &str, owner: Owner) {
        batch.insert(&self.meta, format!("task/{task}").as_bytes(), owner.to_bytes());
    }

    /// Commits a batch that touches those places: written, synced, then visible.
    pub(super) fn commit<'a>(
        &self,
        batch: OwnedWriteBatch,
        places: impl Iterator<Item = &'a Place>,
    ) -> Result<(), fjall::Error> {
        wait_for_tables(&self.db, &self.meta, SEALED_MEMTABLES)?;
        for keyspace in places.filter_map(|place| self.keyspace(*place).ok()) {
            wait_for_tables(&self.db, keyspace, SEALED_MEMTABLES)?;
        }
        batch.commit()
    }

    /// Moves the start of a partition up to `start` and removes frames wholly below it, except the
    /// newest frame: it says at what offset and time the partition goes on. Returns whether there
    /// may be more to remove.
    pub(super) fn forget(&self, place: Place, start: Offset) -> Result<bool, LogError> {
        let keyspace = self.keyspace(place)?;
        let mut batch = self.batch();
        batch.insert(&self.meta, start_key(place), start.to_be_bytes());
        let (mut older, mut frames): (Option<Vec<u8>>, _) = (None, 0);
        let failed =
            |e: fjall::Error| unavailable(format!("forgetting {}/{}", place.0, place.1), e);
        for guard in keyspace.range(..=frame::key(start)).take(FORGET_FRAMES) {
            // A frame is wholly below the start when the next one begins at or below it.
            let key = guard.key().map_err(failed)?.to_vec();
            frames += 1;
            if let Some(older) = older.replace(key) {
                batch.remove(keyspace, older);
            }
        }
        batch.commit().map_err(failed)?;
        Ok(frames == FORGET_FRAMES)
    }

    /// Frames with keys in the range, oldest first, up to about `bytes` of them; the first one
    /// whatever its size.
    pub(super) fn frames(
        &self,
        place: Place,
        keys: Range<Offset>,
        bytes: usize,
    ) -> Result<Vec<Raw>, LogError> {
        let range = frame::key(keys.start)..frame::key(keys.end.max(keys.start));
        let frames = self.db.snapshot().range(self.keyspace(place)?, range);
        bounded(place, frames, bytes)
    }

    /// As [`Store::frames`], for keys below `end`, newest first.
    pub(super) fn frames_before(
        &self,
        place: Place,
        end: Offset,
        bytes: usize,
    ) -> Result<Vec<Raw>, LogError> {
        let frames = self.db.snapshot().range(self.keyspace(place)?, ..frame::key(end)).rev();
        bounded(place, frames, bytes)
    }

    /// Where the frame that holds `offset`, or the next one below it, begins and ends.
    pub(super) fn frame_at(
        &self,
        place: Place,
        offset: Offset,
    ) -> Result<Option<(Offset, Last)>, LogError> {
        let found = self.db.snapshot().range(self.keyspace(place)?, ..=frame::key(offset)).rev();
        let Some((base, value)) = bounded(place, found.take(1), 0)?.pop() else { return Ok(None) };
        let last = frame::last(base, &value).map_err(|d| damaged(place, base, d))?;
        Ok(Some((base, last)))
    }

    /// What gives the room of removed frames back; holds the files open.
    pub(super) fn reclaimer(&self, place: Place) -> Result<Reclaimer, LogError> {
        Ok(Reclaimer { db: self.db.clone(), keyspace: self.keyspace(place)?.clone() })
    }

    /// Reads up to `max` records and [`READ_BYTES`] from `from` up to `end`.
    pub(super) fn read(
        &self,
        place: Place,
        (from, end): (Offset, Offset),
        max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        let (keyspace, mut records, mut bytes) = (self.keyspace(place)?, Vec::new(), 0);
        if from >= end || max == 0 {
            return Ok(records);
        }
        let snapshot = self.db.snapshot();
        let failed = |e: fjall::Error| unavailable(format!("reading {}/{}", place.0, place.1), e);
        // The frame that holds `from` begins at or below it.
        let first = match snapshot.range(keyspace, ..=frame::key(from)).next_back() {
            Some(guard) => guard.key().map_err(failed)?.to_vec(),
            None => frame::key(from).to_vec(),
        };
        for guard in snapshot.range(keyspace, first..frame::key(end).to_vec()) {
            let (key, value) = guard.into_inner().map_err(failed)?;
            for stored in unfold(place, &key, &value)? {
                if stored.offset < from {
                    continue;
                }
                bytes += stored.record.size_bytes();
                records.push(stored);
                if records.len() == max || bytes >= READ_BYTES {
                    return Ok(records);
                }
            }
        }
        Ok(records)
    }

    /// Shows every record of a partition below `end` to `each`, newest first.
    pub(super) fn backwards(
        &self,
        place: Place,
        end: Offset,
        each: &mut dyn FnMut(&View<'_>),
    ) -> Result<(), LogError> {
        let failed = |e: fjall::Error| unavailable(format!("reading {}/{}", place.0, place.1), e);
        let snapshot = self.db.snapshot();
        for guard in snapshot.range(self.keyspace(place)?, ..frame::key(end)).rev() {
            let (key, value) = guard.into_inner().map_err(failed)?;
            let base = frame::base(&key).unwrap_or(-1);
            let views = frame::views(base, &value).map_err(|d| damaged(place, base, d))?;
            views.iter().rev().for_each(&mut *each);
        }
        Ok(())
    }

    /// Overwrites a stored frame, as a damaged disk would.
    #[cfg(test)]
    pub(super) fn damage(&self, place: Place, base: Offset, value: &[u8]) {
        let keyspace = self.keyspace(place).expect("the partition is there");
        keyspace.insert(frame::key(base), value).expect("the store takes it");
    }

    /// How many frames a scan of the partition passes over, removed ones among them.
    #[cfg(test)]
    pub(super) fn passed_over(&self, place: Place) -> usize {
        self.keyspace(place).expect("the partition is there").approximate_len()
    }

    /// Adds a topic only another version knows.
    #[cfg(test)]
    pub(super) fn add_foreign_topic(&self, name: &str) {
        self.meta.insert(format!("topic/{name}"), 1_u32.to_be_bytes()).expect("it takes it");
    }
}

impl Owner {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[8..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { epoch: (both >> 64) as u64, position: both as u64 as Offset }
    }
}

/// Gives the room of removed frames back. Until then every scan passes over what was removed.
pub(super) struct Reclaimer {
    db: Database,
    keyspace: Keyspace,
}

impl Reclaimer {
    /// Writes the partition's tables anew without what was removed, which the database by itself
    /// does only when more is written there. Nobody waits for it.
    pub(super) fn run(self) -> Result<(), fjall::Error> {
        self.keyspace.rotate_memtable()?;
        wait_for_tables(&self.db, &self.keyspace, 0)?;
        self.keyspace.major_compact()
    }
}

/// Waits until at most `most` memtables of a keyspace wait to be written as tables.
fn wait_for_tables(db: &Database, keyspace: &Keyspace, most: usize) -> Result<(), fjall::Error> {
    for _ in 0..STALL_STEPS {
        if keyspace.sealed_memtable_count() <= most {
            return Ok(());
        }
        // Fails as soon as a worker has failed, which is what a wait must not miss.
        db.persist(PersistMode::Buffer)?;
        std::thread::park_timeout(STALL_STEP);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "tables are not written out").into())
}

fn bounded(
    place: Place,
    frames: impl Iterator<Item = fjall::Guard>,
    bytes: usize,
) -> Result<Vec<Raw>, LogError> {
    let failed = |e: fjall::Error| unavailable(format!("reading {}/{}", place.0, place.1), e);
    let (mut found, mut taken) = (Vec::new(), 0);
    for guard in frames {
        let (key, value) = guard.into_inner().map_err(failed)?;
        taken += value.len();
        found.push((frame::base(&key).unwrap_or(-1), value));
        if taken >= bytes {
            break;
        }
    }
    Ok(found)
}

/// The records of a frame with their places.
fn unfold(
    (topic, partition): Place,
    key: &[u8],
    value: &[u8],
) -> Result<impl Iterator<Item = Stored>, LogError> {
    let base = frame::base(key).unwrap_or(-1);
    let entries = frame::open(base, value).map_err(|d| damaged((topic, partition), base, d))?;
    Ok(entries.into_iter().map(move |Entry { offset, append_time_ms, record }| Stored {
        topic,
        partition,
        offset,
        append_time_ms,
        record,
    }))
}

/// The error for a stored value that is no frame.
pub(super) fn damaged((topic, partition): Place, base: Offset, damage: frame::Damage) -> LogError {
    unavailable(format!("reading {topic}/{partition}@{base}"), damage)
}

/// Makes the store under another name and renames it when it is whole, so that a process killed
/// meanwhile leaves nothing half made behind.
fn create(dir: &Path, home: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let unfinished = dir.join("store.unfinished");
    if unfinished.try_exists()? {
        fs::remove_dir_all(&unfinished)?;
    }
    {
        let db = database(&unfinished)?;
        let meta = db.keyspace("meta", meta_options)?;
        meta.insert("format", FORMAT)?;
        db.persist(PersistMode::SyncAll)?;
    }
    fs::rename(&unfinished, home)?;
    fs::File::open(dir)?.sync_all()?;
    Ok(())
}

fn database(home: &Path) -> Result<Database, fjall::Error> {
    Database::builder(home)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .worker_threads(WORKERS)
        .open()
}

/// Options of a partition's keyspace. Frames are found by ranges, so filters would be of no use,
/// and pinned index blocks of a week of tables would fill the memory.
fn log_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .filter_policy(FilterPolicy::disabled())
        .filter_block_pinning_policy(PinningPolicy::disabled())
        .index_block_pinning_policy(PinningPolicy::disabled())
}

fn meta_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}

/// Name of a partition's keyspace.
fn named((topic, partition): Place) -> String {
    format!("{topic}-{partition}")
}

fn start_key((topic, partition): Place) -> Vec<u8> {
    format!("start/{topic}/{partition}").into_bytes()
}

fn opening(dir: &Path) -> String {
    format!("opening the log in {}", dir.display())
}

fn fixed<const N: usize>(value: &[u8], name: &str) -> Result<[u8; N], String> {
    value.try_into().map_err(|_| format!("entry {name} has {} bytes, not {N}", value.len()))
}
