//! When to try again. Pure: the chance is an argument.

/// The shortest backoff, milliseconds.
pub const BACKOFF_MIN_MS: i64 = 500;
/// The longest backoff, milliseconds.
pub const BACKOFF_MAX_MS: i64 = 60_000;
/// Taken where a 429 names no time, seconds: what the official SDKs take (gc-api section 2).
pub const RETRY_AFTER_DEFAULT_S: u64 = 3;
/// The longest `Retry-After` that is believed, seconds: a day (daily limits exist).
pub const RETRY_AFTER_MAX_S: u64 = 86_400;

/// How long to wait before attempt `failures` + 1: full jitter between [`BACKOFF_MIN_MS`] and a
/// ceiling that doubles with every failure up to [`BACKOFF_MAX_MS`].
///
/// `jitter` is a uniform random number of 0 to 1; anything outside counts as the nearer end.
pub fn backoff_ms(failures: u32, jitter: f64) -> i64 {
    let doublings = failures.clamp(1, 16);
    let ceiling = (BACKOFF_MIN_MS << doublings).min(BACKOFF_MAX_MS);
    let jitter = if jitter.is_nan() { 1.0 } else { jitter.clamp(0.0, 1.0) };
    BACKOFF_MIN_MS + ((ceiling - BACKOFF_MIN_MS) as f64 * jitter) as i64
}

/// The wait that a 429 asks for, milliseconds.
pub fn retry_after_ms(seconds: Option<u64>) -> i64 {
    seconds.unwrap_or(RETRY_AFTER_DEFAULT_S).min(RETRY_AFTER_MAX_S) as i64 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_and_stays_in_its_bounds() {
        let table = [
            (0, 0.0, 500),
            (0, 1.0, 1_000),
            (1, 0.0, 500),
            (1, 1.0, 1_000),
            (2, 0.5, 1_250),
            (3, 1.0, 4_000),
            (7, 1.0, 60_000),
            (u32::MAX, 1.0, 60_000),
            (u32::MAX, -3.0, 500),
            (2, f64::NAN, 2_000),
        ];
        for (failures, jitter, wait_ms) in table {
            assert_eq!(backoff_ms(failures, jitter), wait_ms, "{failures} failures, {jitter}");
        }
    }

    #[test]
    fn a_429_is_obeyed_to_the_second() {
        let table = [(None, 3_000), (Some(0), 0), (Some(17), 17_000), (Some(u64::MAX), 86_400_000)];
        for (seconds, wait_ms) in table {
            assert_eq!(retry_after_ms(seconds), wait_ms);
        }
    }
}
