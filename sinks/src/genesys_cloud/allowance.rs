//! How often Genesys Cloud may be asked: 300 requests a minute for each OAuth client
//! (`client.credentials.token.rate.per.minute`, gc-api section 2).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkline_schemas::Partition;

/// Requests a minute, unless configured otherwise.
pub const REQUESTS_PER_MINUTE: u32 = 300;
/// Requests that may go out at once after a quiet time, unless configured otherwise.
pub const BURST: u32 = 30;

/// The window of the limit, milliseconds. Also the parts of which a token consists, so that
/// a limit of n tokens a window is n parts a millisecond: the arithmetic is exact.
const WINDOW_MS: i64 = 60_000;

/// Leave to send requests for one OAuth client.
pub trait Allowance: Send + Sync {
    /// Takes leave for one request now.
    ///
    /// # Errors
    /// The milliseconds to wait before asking again; at least 1.
    fn try_take(&self, now_ms: i64) -> Result<(), i64>;

    /// Gives no leave before that time (a 429 with its `Retry-After`).
    fn close_until(&self, ms: i64);

    /// The sink's task on this partition runs in this process from now on.
    fn own(&self, partition: Partition, now_ms: i64);

    /// It runs here no longer.
    fn give_up(&self, partition: Partition);

    /// Whether leave can be had at all: a process that owns nothing may have no part of it.
    fn has_turns(&self) -> bool;
}

/// A token bucket as a function of the time.
///
/// With burst `b` and `limit - b` tokens refilled in 60 s, no window of 60 s, wherever it begins,
/// sees more than `limit` requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// `None`: no limit but for [`Bucket::close_until`].
    limit: Option<Limit>,
    level: i64,
    filled_at_ms: i64,
    closed_until_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    capacity: i64,
    refill_per_ms: i64,
}

impl Bucket {
    /// A full bucket. `per_minute` of `None` is no limit; the least limit is 2, and the burst is at
    /// least 1 and less than the limit, so that something is left to refill.
    pub fn new(per_minute: Option<u32>, burst: u32) -> Self {
        let limit = per_minute.map(|n| {
            let n = i64::from(n.max(2));
            let burst = i64::from(burst).clamp(1, n - 1);
            Limit { capacity: burst * WINDOW_MS, refill_per_ms: n - burst }
        });
        let level = limit.map_or(0, |l| l.capacity);
        Self { limit, level, filled_at_ms: i64::MIN, closed_until_ms: i64::MIN }
    }

    /// Takes a token, or says how long to wait, milliseconds. A clock that goes back refills
    /// nothing.
    ///
    /// # Errors
    /// The wait, at least 1 ms.
    pub fn try_take(&mut self, now_ms: i64) -> Result<(), i64> {
        if now_ms < self.closed_until_ms {
            return Err(self.closed_until_ms.saturating_sub(now_ms));
        }
        let Some(limit) = self.limit else { return Ok(()) };
        let elapsed = now_ms.saturating_sub(self.filled_at_ms).clamp(0, WINDOW_MS);
        self.level = (self.level + elapsed * limit.refill_per_ms).min(limit.capacity);
        self.filled_at_ms = self.filled_at_ms.max(now_ms);
        if self.level < WINDOW_MS {
            let missing = WINDOW_MS - self.level;
            return Err((missing + limit.refill_per_ms - 1) / limit.refill_per_ms);
        }
        self.level -= WINDOW_MS;
        Ok(())
    }

    /// Gives nothing before that time.
    pub fn close_until(&mut self, ms: i64) {
        self.closed_until_ms = self.closed_until_ms.max(ms);
    }
}

/// How long a sink that was given no leave counts as one that waits for it, beyond the wait it was
/// told, milliseconds. A sink asks again after the wait, or has nothing to send any more.
pub(super) const WANT_MS: i64 = 1_000;

/// Requests a sink may fall behind its guaranteed rate and still catch up.
const GUARANTEED_BURST: u32 = 5;

/// The bucket of an OAuth client, and what each of its sinks may count on.
///
/// Whoever asks is served, but for one case: a sink beyond its guaranteed share waits as long as
/// another one waits that is within its own. So nothing is kept from those who send for those who
/// do not.
#[derive(Clone, Debug)]
struct Pool {
    bucket: Bucket,
    sinks: Vec<Holder>,
}

#[derive(Clone, Debug)]
struct Holder {
    /// A bucket of the guaranteed rate; while it gives, the sink is within its share.
    guaranteed: Bucket,
    /// Until when it counts as waiting.
    wants_until_ms: i64,
}

impl Pool {
    fn try_take(&mut self, sink: usize, now_ms: i64) -> Result<(), i64> {
        let within = |holder: &Holder| holder.guaranteed.clone().try_take(now_ms).is_ok();
        let is_owed = |holder: &Holder| holder.wants_until_ms > now_ms && within(holder);
        let mut others = self.sinks.iter().enumerate().filter(|(number, _)| *number != sink);
        let is_beyond = self.sinks.get(sink).is_some_and(|own| !within(own));
        let taken = if is_beyond && others.any(|(_, other)| is_owed(other)) {
            // A token that is there is the other one's.
            Err(self.bucket.clone().try_take(now_ms).err().unwrap_or(1))
        } else {
            self.bucket.try_take(now_ms)
        };
        if let Some(own) = self.sinks.get_mut(sink) {
            own.wants_until_ms = match taken {
                Ok(()) => {
                    // Beyond the share there is nothing to take from it.
                    let _ = own.guaranteed.try_take(now_ms);
                    i64::MIN
                }
                Err(wait_ms) => now_ms.saturating_add(wait_ms).saturating_add(WANT_MS),
            };
        }
        taken
    }
}

/// The allowance of one sink in this process: its part of what the sinks of one OAuth client share.
#[derive(Clone, Debug)]
pub struct LocalAllowance {
    pool: Arc<Mutex<Pool>>,
    sink: usize,
}

impl LocalAllowance {
    /// The allowance of a sink that has a client to itself; see [`Bucket::new`].
    pub fn new(per_minute: Option<u32>, burst: u32) -> Self {
        let [alone] = Self::shared(per_minute, burst, [100]);
        alone
    }

    /// The allowances of sinks that share a client, each with the percentage of the requests that
    /// is guaranteed to it. Percentages that add up to more than 100 guarantee less.
    pub fn shared<const N: usize>(
        per_minute: Option<u32>,
        burst: u32,
        guaranteed_percent: [u32; N],
    ) -> [Self; N] {
        // Of what is refilled: the burst is for whoever comes first after a quiet time.
        let refilled = per_minute.map(|n| n.saturating_sub(burst));
        let guaranteed = |percent: u32| {
            let rate = refilled.map(|n| n.saturating_mul(percent) / 100);
            Bucket::new(rate.map(|n| n.saturating_add(GUARANTEED_BURST)), GUARANTEED_BURST)
        };
        let holder = |percent| Holder { guaranteed: guaranteed(percent), wants_until_ms: i64::MIN };
        let sinks = guaranteed_percent.into_iter().map(holder).collect();
        let pool = Arc::new(Mutex::new(Pool { bucket: Bucket::new(per_minute, burst), sinks }));
        std::array::from_fn(|sink| Self { pool: Arc::clone(&pool), sink })
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // A panic elsewhere cannot leave the pool half changed: every change is one assignment.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LocalAllowance {
    fn default() -> Self {
        Self::new(Some(REQUESTS_PER_MINUTE), BURST)
    }
}

impl Allowance for LocalAllowance {
    fn try_take(&self, now_ms: i64) -> Result<(), i64> {
        self.pool().try_take(self.sink, now_ms)
    }

    fn close_until(&self, ms: i64) {
        self.pool().bucket.close_until(ms);
    }

    // All partitions are in the one process there is.
    fn own(&self, _: Partition, _: i64) {}

    fn give_up(&self, _: Partition) {}

    fn has_turns(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_one_token_after_the_other() {
        let allowance = LocalAllowance::default();
        for n in 0..BURST {
            assert_eq!(allowance.try_take(1_000), Ok(()), "request {n} of the burst");
        }
        // 270 in 60 s are left: one in 222.2 ms.
        assert_eq!(allowance.try_take(1_000), Err(223));
        assert_eq!(allowance.try_take(1_222), Err(1));
        assert_eq!(allowance.try_take(1_223), Ok(()));
        assert_eq!(allowance.try_take(900), Err(222), "a clock that goes back refills nothing");
    }

    #[test]
    fn closed_means_closed_even_without_a_limit() {
        for per_minute in [None, Some(300)] {
            let allowance = LocalAllowance::new(per_minute, 30);
            allowance.close_until(5_000);
            allowance.close_until(4_000);
            assert_eq!(allowance.try_take(3_000), Err(2_000));
            assert_eq!(allowance.try_take(5_000), Ok(()));
        }
        let open = LocalAllowance::new(None, 0);
        assert!((0..10_000).all(|_| open.try_take(1).is_ok()));
    }

    /// What two sinks that ask as often as they may are given in ten minutes, requests.
    fn given(guaranteed: [u32; 2], wants: [bool; 2]) -> [i64; 2] {
        let sinks = LocalAllowance::shared(Some(300), 30, guaranteed);
        let mut next_ms = [0, 0];
        let mut given = [0, 0];
        for now_ms in 0..600_000 {
            for (sink, allowance) in sinks.iter().enumerate() {
                while wants[sink] && next_ms[sink] <= now_ms {
                    match allowance.try_take(now_ms) {
                        Ok(()) => given[sink] += 1,
                        Err(wait_ms) => next_ms[sink] = now_ms + wait_ms,
                    }
                }
            }
        }
        given
    }

    #[test]
    fn a_share_is_guaranteed_and_what_nobody_wants_is_for_all() {
        // 30 at once and 270 a minute: 2,730 in ten minutes, whoever gets them.
        for (guaranteed, wants, least) in [
            ([80, 20], [true, false], [2_729, 0]),
            ([80, 20], [false, true], [0, 2_729]),
            // Each has its percentage of the 270 a minute: 2,160, 540 and 1,350.
            ([80, 20], [true, true], [2_160, 540]),
            ([20, 80], [true, true], [540, 2_160]),
            ([50, 50], [true, true], [1_350, 1_350]),
            // What nobody is guaranteed goes to whoever comes first.
            ([50, 10], [true, true], [1_350, 270]),
        ] {
            let given = given(guaranteed, wants);
            let all: i64 = given.iter().sum();
            assert!((2_729..=2_730).contains(&all), "{guaranteed:?} {wants:?}: {given:?}");
            let holds = given[0] >= least[0] && given[1] >= least[1];
            assert!(holds, "{guaranteed:?} {wants:?}: {given:?}, at least {least:?}");
        }
    }

    #[test]
    fn a_retry_after_closes_for_all_that_share() {
        let [one, other] = LocalAllowance::shared(Some(300), 30, [80, 20]);
        one.close_until(5_000);
        assert_eq!(other.try_take(1_000), Err(4_000));
        assert_eq!(other.try_take(5_000), Ok(()));
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_limit(
            limit in 2_u32..400,
            burst in 0_u32..400,
            waits in proptest::collection::vec(0_i64..400, 1..2_000),
        ) {
            let mut bucket = Bucket::new(Some(limit), burst);
            let mut now = 0;
            let mut taken: Vec<i64> = Vec::new();
            for wait in waits {
                now += wait;
                match bucket.try_take(now) {
                    Ok(()) => taken.push(now),
                    Err(ms) => {
                        prop_assert!(ms > 0);
                        // The wait is enough, if nobody else takes.
                        prop_assert!(bucket.clone().try_take(now + ms).is_ok());
                    }
                }
            }
            for (i, from) in taken.iter().enumerate() {
                let in_window = taken[i..].iter().take_while(|at| **at <= from + WINDOW_MS).count();
                prop_assert!(in_window <= limit as usize, "{in_window} from {from}");
            }
        }
    }
}
