//! What is measured of this process, and how a figure is written down.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline::clock::Elapsed;

/// Throughput and CPU time of a part that took so many records.
pub(crate) fn figures(what: &str, records: usize, watch: Elapsed, before: Duration) -> Value {
    let seconds = watch.time().as_secs_f64().max(1e-9);
    let cpu_us = usage().saturating_sub(before).as_micros() as f64 / records.max(1) as f64;
    json!({
        "what": what,
        "records": records,
        "records_per_second": (records as f64 / seconds).round(),
        "cpu_us_per_record": round(cpu_us),
        "seconds": round(seconds),
    })
}

/// A figure with more of it.
pub(crate) fn merge(mut value: Value, extra: &Value) -> Value {
    for (key, more) in extra.as_object().into_iter().flatten() {
        value[key] = more.clone();
    }
    value
}

/// Two digits behind the point.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// CPU time of this process, user and system (Linux: `/proc/self/stat`, in ticks of 10 ms).
pub(crate) fn usage() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Memory of this process, KiB (Linux: `/proc/self/status`).
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}
