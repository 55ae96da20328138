//! The embedded log: a durable log in one directory, for one process (DESIGN section 7).
//!
//! - `frame`: records as they are stored, one value for records appended together.
//! - `store`: the files; a keyspace for each partition.
//! - `writer`: group commit, one sync for all who write at the same time.
//! - `task`: the handles.
//! - `compaction`: what the catalogue lets a log forget is forgotten, by a thread of its own.
//!
//! Every commit is synced before it is acknowledged and before any reader sees it. A store error
//! leaves the outcome unknown: the store is *broken*, and every call fails with
//! [`LogError::Unknown`] until [`Log::own`], [`Log::appender`] or [`Embedded::reopen`] has opened
//! it from the disk again. Handles from before that stay useless; what a failed commit wrote may
//! be there.

mod compaction;
mod digest;
mod frame;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::Duration;

use trunkline_schemas::{Offset, Partition, Stored, Topic};

use self::compaction::{Maintainer, Memory, Wake};
use self::frame::{Place, View};
use self::store::Store;
use self::writer::{Job, Queue};
use super::{Appender, Bounds, Change, Lack, Layout, Log, LogError, Member, Task, TaskSpec, lack};

/// Gives the time in milliseconds since 1970; may go back, the log does not.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How often the lock of the directory is tried (1 s in all): a process that was killed may still
/// be giving up its files when the next one starts.
const LOCK_TRIES: u32 = 50;
/// Time between two tries.
const LOCK_STEP: Duration = Duration::from_millis(20);

/// The embedded log. Its maintenance ends with it, whatever handles there still are.
pub struct Embedded(Arc<Inner>, #[expect(dead_code, reason = "dropped")] Maintainer);

/// What all handles share. The store is closed before the lock of the directory is given up: fields
/// are dropped in this order.
struct Inner {
    dir: PathBuf,
    clock: Clock,
    /// Held for a whole round of maintenance, and taken before `store`: whoever opens the store
    /// again must not find its files open still.
    maintenance: Mutex<Memory>,
    wake: Wake,
    /// `None` after a reopening that failed. Writers and readers take it shared.
    store: RwLock<Option<Store>>,
    /// What is durable and visible. Taken after `store`, never before it.
    heads: Mutex<Heads>,
    /// Told whenever `heads` changes.
    arrived: Condvar,
    queue: Queue,
    _lock: DirectoryLock,
}

/// Where everything stands.
#[derive(Default)]
struct Heads {
    /// Counts the openings of the store, so that handles know whether they are of this one.
    generation: u64,
    /// Why the store cannot be used until it is opened again.
    broken: Option<String>,
    partitions: BTreeMap<Place, Head>,
    owners: BTreeMap<String, Owner>,
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug)]
struct Head {
    start: Offset,
    end: Offset,
    /// Of the newest record.
    append_time_ms: i64,
    /// What was appended since the store was opened, in bytes.
    appended: u64,
}

/// Newest owner of a task and what it has committed.
#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    epoch: u64,
    position: Offset,
}

impl Embedded {
    /// Opens the log in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`LogError::InUse`] where another process has it open, [`LogError::Unavailable`] where it
    /// cannot be read, is damaged or has topics only another version knows.
    pub fn open(path: &Path, clock: Clock) -> Result<Arc<Self>, LogError> {
        let lock = lock_directory(path)?;
        let (store, heads) = Store::open(path)?;
        let inner = Arc::new(Inner {
            dir: path.to_owned(),
            clock,
            maintenance: Mutex::default(),
            wake: Wake::default(),
            store: RwLock::new(Some(store)),
            heads: Mutex::new(heads),
            arrived: Condvar::new(),
            queue: Queue::default(),
            _lock: lock,
        });
        let maintainer = Maintainer::start(Arc::clone(&inner))?;
        Ok(Arc::new(Self(inner, maintainer)))
    }

    /// Opens a broken store from the disk again; does nothing to one that is not broken.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] where that fails; it can be tried again.
    pub fn reopen(&self) -> Result<(), LogError> {
        self.0.usable().map(|_| ())
    }

    /// Forgets the records of a partition below `offset`: the start moves there at once, room is
    /// made by whole frames, a bounded number with each call. Never goes beyond the end.
    ///
    /// # Errors
    /// [`LogError::NoSuchPartition`], or [`LogError::Unknown`] where it may have been done.
    pub fn forget_before(
        &self,
        topic: Topic,
        partition: Partition,
        offset: Offset,
    ) -> Result<(), LogError> {
        self.0.forget((topic, partition), offset).map(drop)
    }

    /// Forgets by the policies of the catalogue at once and everywhere, though it be little: what
    /// the log does by itself every 10 s where it pays. Returns how many records
    /// compaction removed.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] where a partition cannot be read, [`LogError::Unknown`] where a
    /// write failed; what was done before stays done.
    pub fn compact_now(&self) -> Result<u64, LogError> {
        self.0.maintain(true)
    }
}

impl Log for Embedded {
    fn ensure(&self, layouts: &[Layout]) -> Result<(), LogError> {
        let mut guard = write(&self.0.store);
        lock(&self.0.heads).check_usable()?;
        let store = guard.as_mut().ok_or_else(closed)?;
        let missing = missing(&store.layouts(), layouts)?;
        for layout in missing {
            if let Err(error) = store.set_partitions(layout) {
                self.0.mark_broken(&error.to_string());
                return Err(unknown(format!("creating topic {}", layout.topic), error));
            }
            let empty = Head { start: 0, end: 0, append_time_ms: i64::MIN, appended: 0 };
            let mut heads = lock(&self.0.heads);
            for partition in 0..layout.partitions {
                heads.partitions.entry((layout.topic, partition)).or_insert(empty);
            }
        }
        Ok(())
    }

    fn reach(&self) -> Result<(), LogError> {
        lock(&self.0.heads).check_usable()
    }

    fn layouts(&self) -> Result<Vec<Layout>, LogError> {
        let guard = read(&self.0.store);
        lock(&self.0.heads).check_usable()?;
        Ok(guard.as_ref().ok_or_else(closed)?.layouts())
    }

    fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        let Head { start, end, .. } = lock(&self.0.heads).checked(None, (topic, partition))?;
        Ok(Bounds { start, end })
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        self.0.read(None, (topic, partition), from, max)
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        let generation = self.0.usable()?;
        Ok(Box::new(task::Writer::new(Arc::clone(&self.0), generation)))
    }

    fn own(&self, spec: &TaskSpec) -> Result<Box<dyn Task>, LogError> {
        let generation = self.0.usable()?;
        for topic in [spec.input, spec.state] {
            lock(&self.0.heads).checked(None, (topic, spec.partition))?;
        }
        let owner = self.0.submit(generation, Job::Own { task: spec.id() })?.owner;
        Ok(Box::new(task::Owned::new(Arc::clone(&self.0), generation, spec.clone(), owner)))
    }

    fn join(&self, _: &'static str, input: Topic) -> Result<Box<dyn Member>, LogError> {
        let layouts = self.layouts()?;
        let layout = layouts.iter().find(|layout| layout.topic == input);
        let count = layout.map_or(0, |layout| layout.partitions);
        lock(&self.0.heads).checked(None, (input, count.saturating_sub(1)))?;
        Ok(Box::new(Alone { given: Some((0..count).collect()) }))
    }
}

/// The only member there is: the directory belongs to this process, and so do all partitions.
struct Alone {
    given: Option<Vec<Partition>>,
}

impl Member for Alone {
    fn poll(&mut self, wait: Duration) -> Result<Option<Change>, LogError> {
        let given = self.given.take();
        if given.is_none() {
            std::thread::park_timeout(wait);
        }
        Ok(given.map(Change::Take))
    }

    fn gave_up(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}

impl Inner {
    /// The generation of a store that can be used, opened again if it was broken.
    fn usable(&self) -> Result<u64, LogError> {
        {
            let heads = lock(&self.heads);
            if heads.broken.is_none() {
                return Ok(heads.generation);
            }
        }
        let _maintenance = lock(&self.maintenance);
        let mut guard = write(&self.store);
        let generation = {
            let heads = lock(&self.heads);
            if heads.broken.is_none() {
                return Ok(heads.generation); // somebody else was faster
            }
            heads.generation + 1
        };
        // Closed before it is opened: the files belong to one opening at a time.
        *guard = None;
        let (store, heads) = Store::open(&self.dir)?;
        *guard = Some(store);
        *lock(&self.heads) = Heads { generation, ..heads };
        self.arrived.notify_all();
        Ok(generation)
    }

    /// See [`Embedded::forget_before`]; returns whether there may be more room to make.
    fn forget(&self, place: Place, offset: Offset) -> Result<bool, LogError> {
        // Exclusive, so that no reader is in the middle of what goes away.
        let guard = write(&self.store);
        let head = lock(&self.heads).checked(None, place)?;
        let start = offset.min(head.end).max(head.start);
        let store = guard.as_ref().ok_or_else(closed)?;
        let more = store.forget(place, start).map_err(|error| {
            self.mark_broken(&error.to_string());
            unknown("forgetting records", error)
        })?;
        lock(&self.heads).partitions.insert(place, Head { start, ..head });
        Ok(more)
    }

    fn mark_broken(&self, reason: &str) {
        lock(&self.heads).broken.get_or_insert_with(|| reason.to_owned());
        self.arrived.notify_all();
    }

    fn read(
        &self,
        generation: Option<u64>,
        place: Place,
        from: Offset,
        max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        let guard = read(&self.store);
        let head = lock(&self.heads).checked(generation, place)?;
        if from < head.start {
            let ((topic, partition), oldest) = (place, head.start);
            return Err(LogError::BelowStart { topic, partition, asked: from, oldest });
        }
        guard.as_ref().ok_or_else(closed)?.read(place, (from, head.end), max)
    }

    /// Shows the records of a partition to `each`, newest first.
    fn backwards(
        &self,
        generation: u64,
        place: Place,
        each: &mut dyn FnMut(&View<'_>),
    ) -> Result<(), LogError> {
        let guard = read(&self.store);
        let head = lock(&self.heads).checked(Some(generation), place)?;
        guard.as_ref().ok_or_else(closed)?.backwards(place, head.end, each)
    }

    /// Waits up to `wait` until the partition goes beyond `from` or the handle has become useless.
    fn wait_beyond(&self, generation: u64, place: Place, from: Offset, wait: Duration) {
        let nothing = |heads: &mut Heads| {
            heads.checked(Some(generation), place).is_ok_and(|head| head.end <= from)
        };
        drop(self.arrived.wait_timeout_while(lock(&self.heads), wait, nothing));
    }
}

impl Heads {
    fn check_usable(&self) -> Result<(), LogError> {
        match &self.broken {
            Some(reason) => Err(unknown("using a broken store", reason.as_str())),
            None => Ok(()),
        }
    }

    /// Whether a handle of that generation can be used.
    fn check(&self, generation: u64) -> Result<(), LogError> {
        self.check_usable()?;
        if generation == self.generation {
            return Ok(());
        }
        Err(unknown("using a handle", "the store was opened again since: own the task anew"))
    }

    fn head(&self, (topic, partition): Place) -> Result<Head, LogError> {
        let found = self.partitions.get(&(topic, partition)).copied();
        found.ok_or(LogError::NoSuchPartition { topic, partition })
    }

    fn checked(&self, generation: Option<u64>, place: Place) -> Result<Head, LogError> {
        self.check(generation.unwrap_or(self.generation))?;
        self.head(place)
    }
}

/// The layouts that are wanted and not found, or not whole; nothing is made if one of them cannot
/// be had.
fn missing(found: &[Layout], wanted: &[Layout]) -> Result<Vec<Layout>, LogError> {
    let mut missing: Vec<Layout> = Vec::new();
    for layout in wanted {
        let mut known = missing.iter().chain(found);
        let known = known.find(|known| known.topic == layout.topic);
        match lack(*layout, known.map(|known| known.partitions))? {
            Lack::Topic | Lack::Partitions => missing.push(*layout),
            Lack::Nothing => {}
        }
    }
    Ok(missing)
}

/// Makes the directory and keeps every other process out of it. The store has a lock of its own,
/// but gives it up for a moment whenever it is opened again.
fn lock_directory(path: &Path) -> Result<DirectoryLock, LogError> {
    let failed = |e| unavailable(format!("opening the log in {}", path.display()), e);
    fs::create_dir_all(path).map_err(failed)?;
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(path.join("lock"));
    let file = file.map_err(failed)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(DirectoryLock(file)),
            // There is nothing to wait on that would end by itself.
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_STEP),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(LogError::InUse { path: path.display().to_string() })
}

/// Given up explicitly: a child process that is just being started may still hold the open file.
struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // An error leaves the lock to the closing of the file, which follows.
        drop(self.0.unlock());
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn unavailable(what: impl Into<String>, source: impl Into<Cause>) -> LogError {
    LogError::Unavailable { what: what.into(), source: source.into() }
}

fn unknown(what: impl Into<String>, source: impl Into<Cause>) -> LogError {
    LogError::Unknown { what: what.into(), source: source.into() }
}

/// A reopening failed and was not tried again.
fn closed() -> LogError {
    unknown("using a broken store", "it could not be opened again")
}

// A panic elsewhere leaves nothing half done behind these locks: what is durable is published in
// one assignment, and a panic of the store itself marks it broken.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
