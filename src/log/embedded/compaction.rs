//! Forgetting by the policies of the catalogue, in the background and in bounded steps.
//!
//! | policy | what goes |
//! |---|---|
//! | [`Policy::DeleteDays`] | records older by append time, whole frames; the start moves up |
//! | [`Policy::Compact`] | records with a newer one of the same key, and tombstones of some age |
//!
//! Compaction of a partition is a scan and then a rewrite:
//!
//! 1. The scan goes from the newest record to the oldest and notes the newest offset of each key.
//!    If too little is dead, that is all. Appends meanwhile only make more records dead.
//! 2. The rewrite goes from the oldest frame to the newest. Each step puts one run of frames, with
//!    the dead records left out, in the place of the old ones, in one batch of the writer. Because
//!    older records go first, a tombstone never goes before what it hides, wherever it is stopped.
//!
//! Offsets stay what they are, so there are gaps; the newest [`TAIL_RECORDS`] offsets are left
//! alone, so that the end of a partition is always said by a record.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use trunkline_schemas::Offset;
use trunkline_schemas::topics::Policy;

use super::digest::{DigestMap, Digests};
use super::frame::{self, Entry, Place, View};
use super::store::{Raw, damaged};
use super::writer::Job;
use super::{Head, Inner, closed, lock, read, unavailable};
use crate::log::LogError;

/// How often the log looks for what it may forget.
const ROUND: Duration = Duration::from_secs(10);
/// It looks sooner once so many bytes were added to compacted topics.
const GROWTH_BYTES: u64 = 16 * 1024 * 1024;
/// The newest offsets of a partition, which compaction leaves alone.
const TAIL_RECORDS: Offset = 1_000;
/// A partition is compacted when it has so many dead bytes for each live one: each rewrite of a
/// live byte then is paid for by so many appends, and a restore reads so many in vain.
const DEAD_FOR_ONE: u64 = 2;
/// A partition counts as having at least so many live bytes: small ones are left alone.
const LIVE_BYTES: u64 = 512 * 1024;
/// A partition not scanned since the store was opened is scanned at so many records.
const UNKNOWN_RECORDS: Offset = 10_000;
/// What one step reads, in bytes of frames, apart from the last frame.
const STEP_READ_BYTES: usize = 4 * 1024 * 1024;
/// What one step writes, in bytes of records, apart from the last frame; commits wait so long.
const STEP_WRITE_BYTES: usize = 1024 * 1024;
/// How many keys a scan may hold in memory, at 25 to 50 bytes each: what a table of two million
/// places takes before it would grow. Keys beyond that are kept with all their records.
const INDEX_KEYS: usize = (1 << 21) / 8 * 7;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What one round of maintenance leaves for the next.
#[derive(Default)]
pub(super) struct Memory {
    /// What the last scan of a partition found.
    scanned: BTreeMap<Place, Scanned>,
    /// Start and append time of the oldest record.
    oldest: BTreeMap<Place, (Offset, i64)>,
}

/// What the last scan of a partition found, after the rewrite if there was one; in bytes.
#[derive(Clone, Copy)]
struct Scanned {
    /// What had been appended, by the partition's head.
    appended: u64,
    /// What all records take.
    bytes: u64,
    /// What those take that compaction must keep.
    live: u64,
}

/// Wakes the thread and ends it.
#[derive(Default)]
pub(super) struct Wake {
    state: Mutex<WakeState>,
    changed: Condvar,
}

#[derive(Default)]
struct WakeState {
    stopped: bool,
    grown: u64,
}

/// The newest offset of each key of a partition.
struct Index {
    newest: DigestMap<Offset>,
    digests: Digests,
    /// How many keys there may be.
    most: usize,
    /// Bytes of the records that compaction must keep, and of all there are.
    live: u64,
    bytes: u64,
}

/// What a step is to write.
#[derive(Default)]
struct Rewrite {
    removed: Vec<Offset>,
    kept: Vec<Entry>,
    /// What is left out: how many records, and their bytes.
    dead: u64,
    dead_bytes: u64,
    /// Where the next step goes on.
    next: Offset,
}

/// The thread; stops and waits for it when dropped.
pub(super) struct Maintainer {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl Maintainer {
    pub(super) fn start(inner: Arc<Inner>) -> Result<Self, LogError> {
        let shared = Arc::clone(&inner);
        let thread = Builder::new()
            .name("log-maintenance".to_owned())
            .spawn(move || run(&shared))
            .map_err(|e| unavailable("starting the maintenance of the log", e))?;
        Ok(Self { inner, thread: Some(thread) })
    }
}

impl Drop for Maintainer {
    fn drop(&mut self) {
        lock(&self.inner.wake.state).stopped = true;
        self.inner.wake.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            drop(thread.join());
        }
    }
}

fn run(inner: &Inner) {
    while inner.wake.next_round() {
        if let Err(error) = inner.maintain(false) {
            // A broken store is reported by whoever owns a task; the next round may find it whole.
            tracing::warn!(%error, "the log could not forget what it may; it tries again");
        }
    }
}

impl Wake {
    /// Tells of bytes added to compacted topics.
    pub(super) fn grown(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut state = lock(&self.state);
        state.grown += bytes;
        if state.grown >= GROWTH_BYTES {
            self.changed.notify_all();
        }
    }

    fn stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// Waits for the next round; `false` when there is none.
    fn next_round(&self) -> bool {
        let idle = |state: &mut WakeState| !state.stopped && state.grown < GROWTH_BYTES;
        let woken = self.changed.wait_timeout_while(lock(&self.state), ROUND, idle);
        let (mut state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        state.grown = 0;
        !state.stopped
    }
}

impl Inner {
    /// One round: every partition by its policy. `force` compacts where it does not pay, too.
    /// Returns how many records compaction removed.
    pub(super) fn maintain(&self, force: bool) -> Result<u64, LogError> {
        let mut memory = lock(&self.maintenance);
        let (generation, places) = {
            let heads = lock(&self.heads);
            heads.check_usable()?;
            (heads.generation, heads.partitions.keys().copied().collect::<Vec<_>>())
        };
        // One partition that cannot be read keeps no other from being worked on.
        let (mut removed, mut failed) = (0, None);
        for place in places {
            if self.wake.stopped() {
                break;
            }
            let done = match place.0.spec().policy {
                Policy::DeleteDays(days) => {
                    self.retain(&mut memory, generation, place, days).map(|()| 0)
                }
                Policy::Compact => self.compact(&mut memory, generation, place, force),
            };
            match done {
                Ok(records) => removed += records,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(removed), Err)
    }

    /// Moves the start of a partition up to its first record that is young enough.
    fn retain(
        &self,
        memory: &mut Memory,
        generation: u64,
        place: Place,
        days: u32,
    ) -> Result<(), LogError> {
        let head = lock(&self.heads).checked(Some(generation), place)?;
        let cutoff = (self.clock)() - i64::from(days) * DAY_MS;
        let young = |(start, time): &(Offset, i64)| *start == head.start && *time >= cutoff;
        if head.start == head.end || memory.oldest.get(&place).is_some_and(young) {
            return Ok(());
        }
        let (start, oldest) = self.first_since(place, head, cutoff)?;
        if start > head.start {
            while self.forget(place, start)? && !self.wake.stopped() {}
        }
        match oldest {
            Some(time) => memory.oldest.insert(place, (start, time)),
            None => memory.oldest.remove(&place),
        };
        Ok(())
    }

    /// The first offset taken at or after `cutoff`, and when; the end if there is none. Times never
    /// go back, so that it can be searched by halves.
    fn first_since(
        &self,
        place: Place,
        head: Head,
        cutoff: i64,
    ) -> Result<(Offset, Option<i64>), LogError> {
        if head.append_time_ms < cutoff {
            return Ok((head.end, None));
        }
        let guard = read(&self.store);
        let store = guard.as_ref().ok_or_else(closed)?;
        let (mut low, mut high, mut probe) = (head.start, head.end, head.start);
        let mut oldest = head.append_time_ms;
        while low < high {
            match store.frame_at(place, probe)? {
                Some((base, last)) if last.append_time_ms >= cutoff => {
                    high = base.max(low);
                    oldest = last.append_time_ms;
                }
                Some((_, last)) => low = last.end.max(probe + 1),
                None => low = probe + 1,
            }
            probe = low + (high - low) / 2;
        }
        Ok((low, Some(oldest)))
    }

    /// Compacts a partition, if it pays or must be.
    fn compact(
        &self,
        memory: &mut Memory,
        generation: u64,
        place: Place,
        force: bool,
    ) -> Result<u64, LogError> {
        let head = lock(&self.heads).checked(Some(generation), place)?;
        let limit = head.end - TAIL_RECORDS;
        let due = match memory.scanned.get(&place) {
            Some(known) => known.is_due(head.appended),
            None => head.end - head.start >= UNKNOWN_RECORDS,
        };
        if limit <= head.start || !(force || due) {
            return Ok(0);
        }
        let expired = (self.clock)() - place.0.spec().tombstone_ms();
        let Some(index) = self.scan(place, head.end, expired)? else { return Ok(0) };
        let Index { bytes, live, .. } = index;
        let mut found = Scanned { appended: head.appended, bytes, live };
        let mut removed = 0;
        if force || found.is_due(head.appended) {
            let rewritten = self.rewrite(generation, place, limit, &index, expired)?;
            removed = rewritten.0;
            found.bytes = found.bytes.saturating_sub(rewritten.1);
        }
        memory.scanned.insert(place, found);
        if removed > 0 {
            let reclaimer = self.look(|store| store.reclaimer(place))?;
            reclaimer.run().map_err(|e| unavailable("giving back room", e))?;
        }
        Ok(removed)
    }

    /// Rewrites the frames below `limit`, oldest first; returns how many records are gone, and how
    /// many bytes.
    fn rewrite(
        &self,
        generation: u64,
        place: Place,
        limit: Offset,
        index: &Index,
        expired: i64,
    ) -> Result<(u64, u64), LogError> {
        let (mut from, mut removed, mut gone) = (0, 0, 0);
        while !self.wake.stopped() {
            let raw = self.look(|store| store.frames(place, from..limit, STEP_READ_BYTES))?;
            let step = index.rewrite(place, raw, (from, limit), expired)?;
            if step.next == from {
                break;
            }
            from = step.next;
            if step.dead > 0 {
                removed += step.dead;
                gone += step.dead_bytes;
                let frames = frame::sparse(&step.kept);
                self.submit(generation, Job::replace(place, step.removed, frames))?;
            }
        }
        Ok((removed, gone))
    }

    /// Notes the newest offset of each key below `end`; `None` when it was stopped.
    fn scan(&self, place: Place, end: Offset, expired: i64) -> Result<Option<Index>, LogError> {
        let (mut index, mut before) = (Index::new(INDEX_KEYS), end);
        while !self.wake.stopped() {
            let raw = self.look(|store| store.frames_before(place, before, STEP_READ_BYTES))?;
            let Some((oldest, _)) = raw.last() else { return Ok(Some(index)) };
            before = *oldest;
            for (base, value) in &raw {
                let views = frame::views(*base, value).map_err(|d| damaged(place, *base, d))?;
                views.iter().rev().for_each(|view| index.note(view, expired));
            }
        }
        Ok(None)
    }

    /// Looks into the store for one step; writers go on, and openings wait no longer than that.
    pub(super) fn look<T>(
        &self,
        look: impl FnOnce(&super::Store) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let guard = read(&self.store);
        look(guard.as_ref().ok_or_else(closed)?)
    }
}

impl Job {
    /// Frames for those that go. A key is written or removed, never both in one batch.
    fn replace(place: Place, mut removed: Vec<Offset>, frames: Vec<(Offset, Vec<u8>)>) -> Self {
        removed.retain(|base| frames.binary_search_by_key(base, |(base, _)| *base).is_err());
        Self::Replace { place, removed, frames }
    }
}

impl Scanned {
    /// Whether enough may be dead when the partition has grown to so many appended bytes.
    fn is_due(self, appended: u64) -> bool {
        // Appends count from nothing again when the store was opened again.
        let bytes = self.bytes + appended.saturating_sub(self.appended);
        bytes >= self.live.max(LIVE_BYTES) * (DEAD_FOR_ONE + 1)
    }
}

impl Index {
    fn new(most: usize) -> Self {
        Self { newest: DigestMap::default(), digests: Digests::new(), most, live: 0, bytes: 0 }
    }

    /// Notes the next older record.
    fn note(&mut self, view: &View<'_>, expired: i64) {
        let (bytes, digest) = (view.size_bytes() as u64, self.digests.of(view.key));
        self.bytes += bytes;
        if self.newest.contains_key(&digest) {
            return;
        }
        let full = self.newest.len() >= self.most;
        if full || !view.is_expired(expired) {
            self.live += bytes;
        }
        if !full {
            self.newest.insert(digest, view.offset);
        }
    }

    fn is_dead(&self, view: &View<'_>, expired: i64) -> bool {
        match self.newest.get(&self.digests.of(view.key)) {
            Some(newest) if view.offset < *newest => true,
            Some(newest) => view.offset == *newest && view.is_expired(expired),
            None => false,
        }
    }

    /// What becomes of those frames, as far as they end at or below `limit`.
    fn rewrite(
        &self,
        place: Place,
        raw: Vec<Raw>,
        (from, limit): (Offset, Offset),
        expired: i64,
    ) -> Result<Rewrite, LogError> {
        let mut rewrite = Rewrite { next: from, ..Rewrite::default() };
        let mut bytes = 0;
        for (base, value) in raw {
            let views = frame::views(base, &value).map_err(|d| damaged(place, base, d))?;
            let end = views.last().map_or(base, |last| last.offset + 1);
            if end > limit || bytes >= STEP_WRITE_BYTES {
                break;
            }
            rewrite.removed.push(base);
            rewrite.next = end;
            for view in &views {
                let size = view.size_bytes();
                if self.is_dead(view, expired) {
                    rewrite.dead += 1;
                    rewrite.dead_bytes += size as u64;
                } else {
                    bytes += size;
                    rewrite.kept.push(view.to_entry());
                }
            }
        }
        Ok(rewrite)
    }
}

impl View<'_> {
    /// Whether it is a tombstone that everybody has seen.
    fn is_expired(&self, expired: i64) -> bool {
        self.value.is_none() && self.append_time_ms < expired
    }
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::Record;
    use trunkline_schemas::topics::STATE_BRIDGE;

    use super::*;

    #[test]
    fn a_partition_is_due_when_two_of_three_bytes_may_be_dead() {
        const MB: u64 = 1024 * 1024;
        let scanned = |bytes, live| Scanned { appended: 100, bytes, live };
        // What a scan found: all bytes and live ones, when 100 were appended; appended since.
        for (scanned, since, due) in [
            (scanned(0, 0), 3 * LIVE_BYTES - 1, false),
            (scanned(0, 0), 3 * LIVE_BYTES, true),
            (scanned(6 * MB, 6 * MB), 12 * MB - 1, false),
            (scanned(6 * MB, 6 * MB), 12 * MB, true),
            (scanned(30 * MB, 10 * MB), 0, true),
            (scanned(30 * MB, 10 * MB + 1), 0, false),
        ] {
            let Scanned { bytes, live, .. } = scanned;
            assert_eq!(scanned.is_due(100 + since), due, "{bytes} bytes, {live} live, {since}");
        }
        assert!(!scanned(MB, MB).is_due(0), "a store opened again");
    }

    #[test]
    fn a_step_leaves_out_what_is_dead_and_ends_at_a_whole_frame() {
        const EXPIRED: i64 = 1_000;
        let place = (STATE_BRIDGE, 0);
        let entry = |(offset, append_time_ms, key, value): (Offset, i64, &str, Option<u8>)| {
            let record =
                Record { key: key.into(), value: value.map(|v| vec![v]), headers: Vec::new() };
            Entry { offset, append_time_ms, record }
        };
        // Offset, append time, key, value; whether it is kept.
        let table = [
            ((0, 10, "a", Some(1)), false),
            ((1, 10, "once", Some(1)), true),
            ((2, 20, "gone", Some(1)), false),
            ((3, 20, "gone", None), false),
            ((7, 30, "back", None), false),
            ((8, 999, "back", Some(2)), true),
            ((9, 1_000, "fresh", None), true),
            ((12, 1_000, "a", Some(2)), true),
        ];
        let entries: Vec<_> = table.iter().map(|(given, _)| entry(*given)).collect();
        let mut index = Index::new(INDEX_KEYS);
        for (base, value) in frame::sparse(&entries) {
            let views = frame::views(base, &value).expect("a whole frame");
            views.iter().rev().for_each(|view| index.note(view, EXPIRED));
        }
        assert_eq!((index.bytes, index.live), (32, 17));
        let raw = || -> Vec<Raw> {
            let halves = [&entries[..4], &entries[4..]];
            halves
                .iter()
                .flat_map(|half| frame::sparse(half))
                .map(|(base, value)| (base, value.into()))
                .collect()
        };
        let kept = |to: usize| -> Vec<_> {
            table[..to].iter().filter(|(_, kept)| *kept).map(|(given, _)| given.0).collect()
        };
        for (limit, whole, next, removed) in
            [(13, 8, 13, vec![0, 7]), (12, 4, 4, vec![0]), (3, 0, 0, vec![])]
        {
            let step = index.rewrite(place, raw(), (0, limit), EXPIRED).expect("whole frames");
            let offsets: Vec<_> = step.kept.iter().map(|entry| entry.offset).collect();
            assert_eq!(offsets, kept(whole), "kept below {limit}");
            assert_eq!((step.next, step.removed), (next, removed), "limit {limit}");
            assert_eq!(step.dead as usize, whole - offsets.len());
            let bytes = |entries: &[Entry]| -> u64 {
                entries.iter().map(|entry| entry.record.size_bytes() as u64).sum()
            };
            assert_eq!(step.dead_bytes, bytes(&entries[..whole]) - bytes(&step.kept));
        }
    }

    #[test]
    fn keys_beyond_the_memory_of_a_scan_are_kept() {
        let record = |key: &[u8]| Record::new(key, vec![1]);
        let frame = |(offset, key): (Offset, &[u8])| {
            let entry = Entry { offset, append_time_ms: 0, record: record(key) };
            frame::sparse(&[entry]).remove(0)
        };
        let mut index = Index::new(1);
        let mut note = |offset, key| {
            let (base, value) = frame((offset, key));
            index.note(&frame::views(base, &value).expect("a whole frame")[0], 0);
        };
        note(9, b"known");
        for offset in [8, 7] {
            note(offset, b"other");
            note(offset - 4, b"known");
        }
        assert_eq!((index.bytes, index.live, index.newest.len()), (30, 18, 1));
        for (offset, key, dead) in
            [(9, b"known", false), (3, b"known", true), (8, b"other", false), (7, b"other", false)]
        {
            let (base, value) = frame((offset, key));
            let view = &frame::views(base, &value).expect("a whole frame")[0];
            assert_eq!(index.is_dead(view, 1), dead, "offset {offset}");
        }
    }
}
