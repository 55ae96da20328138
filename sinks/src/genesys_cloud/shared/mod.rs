//! The allowance that processes share.
//!
//! The limit of an OAuth client is cut into slots, one request each ([`grid`]), and each slot is
//! the turn of one partition of one sink. So without any word between processes the allowance is
//! divided by the partitions they own, as exactly as ownership is, and every sink has its
//! guaranteed share.
//!
//! What Redis adds: each process says of its partitions that their sink does not wait, and from
//! which slot on; such a slot may be taken by whoever asks first.
//!
//! | the partition of a slot | with Redis | without |
//! |---|---|---|
//! | is here, and the sink is its own | taken | taken |
//! | is here, and its sink does not wait | taken | taken |
//! | is elsewhere, and said that its sink does not wait | taken | left |
//! | is elsewhere, and waits or says nothing | left | left |
//!
//! A slot is taken in Redis by whoever writes its key first. When Redis is lost, a process goes on
//! with slots of its own that nobody can have taken from it: those that begin after its last word
//! is forgotten. When Redis comes, or comes back, or has forgotten everything, slots that had begun
//! before are left alone. So a loss costs a second, and no slot is ever taken twice.
//!
//! Everything here is pure but for one bell; what talks to Redis is the shell's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use trunkline_schemas::Partition;

use super::allowance::{Allowance, WANT_MS};
use grid::Grid;
pub use grid::{Place, Share, Slot};

mod grid;
#[cfg(test)]
mod tests;

/// How long what a process says of its partitions is kept for the others, milliseconds.
pub const WORD_MS: i64 = 600;
/// How often it is said, and what the others say is asked for, milliseconds.
pub const SAY_EVERY_MS: i64 = 150;
/// How old what the others say may be when it is acted upon, milliseconds.
const HEARD_MS: i64 = 300;
/// After so long nobody acts on a word any more, milliseconds.
const FORGOTTEN_MS: i64 = WORD_MS + HEARD_MS;
/// Clocks that differ by less are the same, milliseconds: an answer may take as long.
const SAME_MS: i64 = 20;
/// A clock that goes on from so far away was set, milliseconds.
const STEP_MS: i64 = 1_000;
/// The longest wait a sink is told, milliseconds.
const WAIT_MAX_MS: i64 = 250;

/// The allowance of an OAuth client as one process has it.
#[derive(Clone, Debug)]
pub struct Shared {
    pool: Arc<Mutex<Pool>>,
    bell: Arc<Notify>,
}

/// The allowance of one sink in this process.
#[derive(Clone, Debug)]
pub struct SharedAllowance {
    shared: Shared,
    sink: usize,
}

/// A slot to be taken in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// For which sink.
    sink: usize,
    /// The slot.
    pub slot: Slot,
}

/// What a process says to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Its partitions, and the slot from which on others may have theirs; none where their sink
    /// waits.
    pub places: Vec<(Place, Option<Slot>)>,
    /// Genesys Cloud asked to send nothing before this time of the shared clock, milliseconds since
    /// 1970.
    pub closed_until_ms: Option<i64>,
}

/// What the others say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// When it was asked for, by the own clock, milliseconds since 1970.
    pub asked_ms: i64,
    /// When it was answered, by the own clock.
    pub answered_ms: i64,
    /// The shared clock in between.
    pub shared_ms: i64,
    /// The partitions whose sink does not wait, and the slot from which on others may have theirs.
    pub places: BTreeMap<Place, Slot>,
    /// See [`Word::closed_until_ms`].
    pub closed_until_ms: Option<i64>,
}

/// With whom the slots are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    /// With nobody: there is no Redis.
    None,
    /// With nobody, as Redis does not answer.
    Lost,
    /// With all who reach Redis.
    Up {
        /// Before that, words may be there that were said to another Redis. Own clock.
        settled_ms: i64,
        heard: BTreeMap<Place, Slot>,
        /// When that was asked for. Own clock.
        heard_ms: i64,
    },
}

#[derive(Clone, Debug)]
struct Pool {
    grid: Grid,
    sinks: Vec<Sink>,
    /// The partitions owned here, and the newest slot that is not theirs to take.
    own: BTreeMap<Place, Slot>,
    link: Link,
    /// The shared clock less the own one, milliseconds.
    ahead_ms: i64,
    /// The newest slot seen.
    newest: Slot,
    /// Older slots are left alone.
    floor: Slot,
    /// Slots that somebody has, as far as this process knows.
    taken: BTreeSet<Slot>,
    /// By the shared clock.
    closed_until_ms: i64,
    /// What of it the others know.
    told_closed_ms: i64,
}

#[derive(Clone, Debug, Default)]
struct Sink {
    /// Until when it counts as waiting, by the own clock.
    wants_until_ms: i64,
    /// Whether it asked since it was last given a slot.
    asks: bool,
    /// Slots taken for it in Redis.
    granted: BTreeSet<Slot>,
}

impl Shared {
    /// The allowance of a client, and those of its sinks: each has the percentage of `per_minute`
    /// that its share says. `has_redis` says whether somebody will report what Redis does; until
    /// it is reached, it is lost.
    pub fn new<const N: usize>(
        per_minute: u32,
        burst: u32,
        shares: [Share; N],
        has_redis: bool,
    ) -> (Self, [SharedAllowance; N]) {
        let pool = Pool {
            grid: Grid::new(per_minute, burst, &shares),
            sinks: vec![Sink::default(); N],
            own: BTreeMap::new(),
            link: if has_redis { Link::Lost } else { Link::None },
            ahead_ms: 0,
            newest: Slot::MIN,
            floor: Slot::MIN,
            taken: BTreeSet::new(),
            closed_until_ms: i64::MIN,
            told_closed_ms: i64::MIN,
        };
        let shared = Self { pool: Arc::new(Mutex::new(pool)), bell: Arc::default() };
        let allowances =
            std::array::from_fn(|sink| SharedAllowance { shared: shared.clone(), sink });
        (shared, allowances)
    }

    /// What processes must agree on to share slots: part of the names of keys.
    pub fn shape(&self) -> String {
        self.pool().grid.shape()
    }

    /// Every partition of every sink, with the name of the sink.
    pub fn places(&self) -> Vec<(Place, &'static str)> {
        let pool = self.pool();
        let named = |place: Place| (place, pool.grid.shares()[place.sink].sink);
        pool.grid.places().into_iter().map(named).collect()
    }

    /// For how long the key of a slot must be kept, milliseconds: nobody takes the slot after that.
    pub fn slot_kept_ms(&self) -> i64 {
        // Twice, as clocks may differ.
        2 * self.pool().grid.depth_ms() + 5_000
    }

    /// Redis is reached, or has forgotten what it held.
    pub fn joined(&self, heard: Heard) {
        let mut pool = self.pool();
        let (now_ms, heard_ms) = (heard.answered_ms, heard.asked_ms);
        pool.set_clock(&heard);
        pool.begin_anew(now_ms);
        let settled_ms = now_ms + FORGOTTEN_MS;
        pool.told_closed_ms = i64::MIN;
        pool.hear_closed(heard.closed_until_ms);
        pool.link = Link::Up { settled_ms, heard: heard.places, heard_ms };
    }

    /// Redis does not answer.
    pub fn lost(&self, now_ms: i64) {
        let mut pool = self.pool();
        if matches!(pool.link, Link::Up { .. }) {
            pool.advance(now_ms);
            // Until then others may take what was said not to be wanted here.
            pool.floor = pool.grid.newest(now_ms + pool.ahead_ms + FORGOTTEN_MS) + 1;
            pool.link = Link::Lost;
        }
    }

    /// What this process has to say.
    pub fn word(&self, now_ms: i64) -> Word {
        let mut pool = self.pool();
        pool.advance(now_ms);
        let said = |(place, from): (&Place, &Slot)| {
            let waits = pool.sinks[place.sink].wants_until_ms > now_ms;
            // What is older may have been taken without Redis.
            (*place, (!waits).then_some(pool.floor.max(from + 1)))
        };
        let places = pool.own.iter().map(said).collect();
        let is_news = pool.closed_until_ms > pool.told_closed_ms.max(now_ms + pool.ahead_ms);
        Word { places, closed_until_ms: is_news.then_some(pool.closed_until_ms) }
    }

    /// What the others have to say.
    pub fn heard(&self, said: Heard) {
        let mut pool = self.pool();
        pool.set_clock(&said);
        pool.hear_closed(said.closed_until_ms);
        if let Link::Up { heard, heard_ms, .. } = &mut pool.link {
            (*heard, *heard_ms) = (said.places, said.asked_ms);
        }
    }

    /// The next slot to take in Redis for a sink of this process that waits.
    pub fn claim(&self, now_ms: i64) -> Option<Claim> {
        let mut pool = self.pool();
        pool.advance(now_ms);
        if !matches!(pool.link, Link::Up { .. }) || pool.is_closed(now_ms) {
            return None;
        }
        let waiting = (0..pool.sinks.len())
            .filter(|sink| pool.sinks[*sink].asks && pool.sinks[*sink].granted.is_empty());
        let mut claims =
            waiting.filter_map(|sink| Some(Claim { sink, slot: pool.find(sink, now_ms)? }));
        claims.next()
    }

    /// What became of a claim: whether the slot is this process's. One of unknown outcome is not.
    pub fn claimed(&self, claim: Claim, is_ours: bool) {
        let mut pool = self.pool();
        pool.taken.insert(claim.slot);
        if is_ours {
            let sink = &mut pool.sinks[claim.sink];
            sink.granted.insert(claim.slot);
            sink.asks = false;
        }
    }

    /// Returns when a sink has asked for a slot that is to be taken in Redis.
    pub async fn asked(&self) {
        self.bell.notified().await;
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // Every change is small and cannot panic half-way.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance for SharedAllowance {
    fn try_take(&self, now_ms: i64) -> Result<(), i64> {
        let mut pool = self.shared.pool();
        let taken = pool.try_take(self.sink, now_ms);
        if pool.sinks[self.sink].asks {
            self.shared.bell.notify_one();
        }
        taken.map(drop)
    }

    fn close_until(&self, ms: i64) {
        let mut pool = self.shared.pool();
        pool.closed_until_ms = pool.closed_until_ms.max(ms.saturating_add(pool.ahead_ms));
    }

    fn own(&self, partition: Partition, now_ms: i64) {
        let mut pool = self.shared.pool();
        // Who had it before may have taken what had begun, or have lent it to others.
        let lent_ms = if pool.link == Link::Lost { FORGOTTEN_MS } else { 0 };
        pool.advance(now_ms);
        let from = pool.grid.newest(now_ms + pool.ahead_ms + lent_ms);
        pool.own.insert(Place { sink: self.sink, partition }, from);
    }

    fn give_up(&self, partition: Partition) {
        self.shared.pool().own.remove(&Place { sink: self.sink, partition });
    }

    fn has_turns(&self) -> bool {
        let pool = self.shared.pool();
        matches!(pool.link, Link::Up { .. }) || !pool.own.is_empty()
    }
}

impl Pool {
    fn try_take(&mut self, sink: usize, now_ms: i64) -> Result<Slot, i64> {
        self.advance(now_ms);
        let is_up = matches!(self.link, Link::Up { .. });
        let found = if self.is_closed(now_ms) {
            Err(self.closed_until_ms - now_ms - self.ahead_ms)
        } else if let Some(slot) = self.sinks[sink].granted.pop_first() {
            Ok(slot)
        } else {
            match self.find(sink, now_ms) {
                Some(slot) if !is_up => {
                    self.taken.insert(slot);
                    Ok(slot)
                }
                // It is asked for in Redis.
                Some(_) => Err(1),
                None => Err(self.wait_ms(sink, now_ms)),
            }
        };
        if let Err(wait_ms) = found {
            let own = &mut self.sinks[sink];
            own.wants_until_ms = now_ms.saturating_add(wait_ms).saturating_add(WANT_MS);
            own.asks = is_up;
        }
        found
    }

    /// Moves on to the time, and forgets what is over. Returns the newest slot.
    fn advance(&mut self, now_ms: i64) -> Slot {
        let newest = self.grid.newest(now_ms.saturating_add(self.ahead_ms));
        if newest < self.newest.saturating_sub(self.grid.window()) {
            // Or it would be waited until the clock is where it was.
            self.begin_anew(now_ms);
        }
        self.newest = self.newest.max(newest);
        let oldest = self.grid.oldest(self.newest);
        self.taken = self.taken.split_off(&oldest);
        for sink in &mut self.sinks {
            sink.granted = sink.granted.split_off(&oldest);
        }
        self.newest
    }

    /// Whatever clock showed what before: from here on it is this one, and slots that have begun
    /// are left alone.
    fn begin_anew(&mut self, now_ms: i64) {
        let newest = self.grid.newest(now_ms.saturating_add(self.ahead_ms));
        (self.newest, self.floor) = (newest, newest + 1);
        for from in self.own.values_mut() {
            *from = newest.min(*from);
        }
        self.taken.clear();
        for sink in &mut self.sinks {
            sink.granted.clear();
        }
    }

    /// The oldest free slot that a sink may take.
    fn find(&self, sink: usize, now_ms: i64) -> Option<Slot> {
        let oldest = self.grid.oldest(self.newest).max(self.floor);
        (oldest..=self.newest)
            .find(|slot| !self.taken.contains(slot) && self.may_take(sink, *slot, now_ms))
    }

    /// The table at the head of this file.
    fn may_take(&self, sink: usize, slot: Slot, now_ms: i64) -> bool {
        let place = self.grid.place(slot);
        if let Some(from) = self.own.get(&place) {
            let waits = self.sinks[place.sink].wants_until_ms > now_ms;
            return slot > *from && (place.sink == sink || !waits);
        }
        match &self.link {
            Link::None | Link::Lost => false,
            Link::Up { settled_ms, heard, heard_ms } => {
                let is_fresh = (0..=HEARD_MS).contains(&(now_ms - heard_ms));
                let is_lent = heard.get(&place).is_some_and(|from| slot >= *from);
                now_ms >= *settled_ms && is_fresh && is_lent
            }
        }
    }

    /// How long until a slot begins that the sink may take, as far as can be seen.
    fn wait_ms(&self, sink: usize, now_ms: i64) -> i64 {
        let shared_ms = now_ms.saturating_add(self.ahead_ms);
        let begins_ms = |slot| self.grid.begins_ms(slot) - shared_ms;
        let next = (self.newest + 1..).take_while(|slot| begins_ms(*slot) < WAIT_MAX_MS);
        let mut next =
            next.filter(|slot| *slot >= self.floor && self.may_take(sink, *slot, now_ms));
        next.next().map_or(WAIT_MAX_MS, |slot| begins_ms(slot).max(1))
    }

    fn is_closed(&self, now_ms: i64) -> bool {
        now_ms.saturating_add(self.ahead_ms) < self.closed_until_ms
    }

    fn hear_closed(&mut self, until_ms: Option<i64>) {
        if let Some(until_ms) = until_ms {
            self.told_closed_ms = self.told_closed_ms.max(until_ms);
            self.closed_until_ms = self.closed_until_ms.max(until_ms);
        }
    }

    fn set_clock(&mut self, heard: &Heard) {
        let middle_ms = heard.asked_ms + (heard.answered_ms - heard.asked_ms) / 2;
        let ahead_ms = heard.shared_ms - middle_ms;
        let differs_ms = (ahead_ms - self.ahead_ms).abs();
        if differs_ms > SAME_MS {
            self.ahead_ms = ahead_ms;
        }
        if differs_ms > STEP_MS {
            self.begin_anew(heard.answered_ms);
        }
    }
}
