//! How long to wait before the next attempt.

use std::time::Duration;

/// Doubles from `min` to `max`, and starts over after a success.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// No failure yet. A `max` below `min` counts as `min`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), failures: 0 }
    }

    /// The wait after one more failure. `jitter` from 0 to 1 takes up to half of it away, so that
    /// bridges that lost the same server do not come back together.
    pub fn next_wait(&mut self, jitter: f64) -> Duration {
        let doubled = self.min.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.max).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// All is well again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for (jitter, millis) in [(0.0, 100), (0.0, 200), (1.0, 200), (0.5, 600), (0.0, 1_000)] {
            assert_eq!(backoff.next_wait(jitter), Duration::from_millis(millis));
        }
        for _ in 0..100 {
            assert_eq!(backoff.next_wait(7.0), Duration::from_millis(500), "jitter is bounded");
        }
        backoff.reset();
        assert_eq!(backoff.next_wait(0.0), Duration::from_millis(100));
    }
}
