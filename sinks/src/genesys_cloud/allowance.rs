//! How often Genesys Cloud may be asked: 300 requests a minute for each OAuth client
//! (`client.credentials.token.rate.per.minute`, gc-api section 2).

use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The allowance of all sinks of one process.
#[derive(Debug)]
pub struct LocalAllowance(Mutex<Bucket>);

impl LocalAllowance {
    /// See [`Bucket::new`].
    pub fn new(per_minute: Option<u32>, burst: u32) -> Self {
        Self(Mutex::new(Bucket::new(per_minute, burst)))
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // A panic elsewhere cannot leave the bucket half changed: every change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LocalAllowance {
    fn default() -> Self {
        Self::new(Some(REQUESTS_PER_MINUTE), BURST)
    }
}

impl Allowance for LocalAllowance {
    fn try_take(&self, now_ms: i64) -> Result<(), i64> {
        self.bucket().try_take(now_ms)
    }

    fn close_until(&self, ms: i64) {
        self.bucket().close_until(ms);
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
