//! Named points at which a debug build can be held, so that a test can kill the process exactly
//! there, or tell it something. A release build has none of it.

/// Passes a point. In a debug build whose environment says `TRUNKLINE_HOLD_AT=<point>@<n>`, the
/// `n`th passing writes the file named by `TRUNKLINE_HOLD_FILE` and returns once it is gone.
#[cfg(debug_assertions)]
pub fn pass(point: &str) {
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    const LOOK: Duration = Duration::from_millis(5);
    static HOLD: OnceLock<Option<(String, u64, String)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let hold = HOLD.get_or_init(|| {
        let at = std::env::var("TRUNKLINE_HOLD_AT").ok()?;
        let file = std::env::var("TRUNKLINE_HOLD_FILE").ok()?;
        let (name, nth) = at.split_once('@')?;
        Some((name.to_owned(), nth.parse().ok()?, file))
    });
    let Some((name, nth, file)) = hold else { return };
    if name != point || PASSED.fetch_add(1, Ordering::SeqCst) + 1 != *nth {
        return;
    }
    if let Err(error) = std::fs::write(file, point) {
        tracing::error!(%error, file, "the hold file cannot be written");
    }
    while Path::new(file).exists() {
        std::thread::park_timeout(LOOK);
    }
}

/// Passes a point: nothing to do in a release build.
#[cfg(not(debug_assertions))]
pub fn pass(_point: &str) {}
