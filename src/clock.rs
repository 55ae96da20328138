//! The clock: the only place that asks what time it is (CONTRIBUTING: time is an input).
//!
//! The core never sees it. The shell reads it to date receptions and answers, and to watch its own
//! loops; the first with the wall clock, the second with one that never goes back.

#![expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

static START: OnceLock<Instant> = OnceLock::new();

/// Wall clock, milliseconds since 1970; negative before. It can be set back: never measure with it.
pub fn now_ms() -> i64 {
    now_us().div_euclid(1000)
}

/// Wall clock, microseconds since 1970; negative before.
pub fn now_us() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

/// How long the process has run, by a clock that never goes back. Starts with the first reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    /// A given time, for tests and simulations.
    pub const fn of_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Milliseconds.
    pub fn as_ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// How much later this is than `earlier`; nothing if it is not.
    pub fn since(self, earlier: Uptime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time by the clock that never goes back.
pub fn uptime() -> Uptime {
    Uptime(START.get_or_init(Instant::now).elapsed())
}

/// A stopwatch that cannot go back.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed(Instant);

impl Elapsed {
    /// Starts it.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn time(self) -> Duration {
        self.0.elapsed()
    }

    /// Whole milliseconds since the start.
    pub fn ms(self) -> u64 {
        u64::try_from(self.time().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whole microseconds since the start.
    pub fn us(self) -> u64 {
        u64::try_from(self.time().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_reads_the_same_in_both_units_and_lies_in_this_era() {
        let (before, us, after) = (now_ms(), now_us(), now_ms());
        assert!(before <= us.div_euclid(1000) && us.div_euclid(1000) <= after);
        assert!(before > 1_700_000_000_000, "{before}");
    }

    #[test]
    fn uptime_and_stopwatch_do_not_go_back() {
        let watch = Elapsed::start();
        let (first, second) = (uptime(), uptime());
        assert!(first <= second);
        assert!(watch.us() >= watch.ms() * 1000 || watch.ms() > 0);
        assert_eq!(Uptime::of_ms(7).since(Uptime::of_ms(5)), Duration::from_millis(2));
        assert_eq!(Uptime::of_ms(5).since(Uptime::of_ms(7)), Duration::ZERO);
        assert_eq!(Uptime::of_ms(5).as_ms(), 5);
    }
}
