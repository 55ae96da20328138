//! The page: what a person looks at first. Plain HTML that renews itself; no script.

use std::fmt::Write;

use super::Shown;
use crate::clock::Uptime;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"refresh\" content=\"5\"><title>Trunkline</title><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .8rem .2rem 0;\
border-bottom:1px solid #8884}td.n,th.n{text-align:right}.bad{color:#c22;font-weight:600}\
h2{margin-top:1.6rem;font-size:1.1rem}</style></head><body>\n";

/// Lines of counters shown at most.
const COUNTERS_MAX: usize = 200;

/// The page as of `now`.
pub(super) fn render(shown: &Shown, now: Uptime) -> String {
    let mut html = HEAD.to_owned();
    let seconds = now.as_ms() / 1000;
    let version = env!("CARGO_PKG_VERSION");
    add(&mut html, format_args!("<h1>Trunkline</h1>\n<p>version {version}, up {seconds} s"));
    html.push_str(", <a href=\"/metrics\">metrics</a>, <a href=\"/config\">configuration</a></p>");
    readiness(&mut html, shown);
    loops(&mut html, shown, now);
    tasks(&mut html, shown);
    counters(&mut html, shown);
    html.push_str("</body></html>\n");
    html
}

fn readiness(html: &mut String, shown: &Shown) {
    let missing = shown.health.missing();
    if missing.is_empty() {
        let names = shown.health.conditions().join(", ");
        add(html, format_args!("\n<p>ready: {}</p>", escaped(&names)));
    }
    for missing in missing {
        let (condition, why) = (escaped(&missing.condition), escaped(&missing.why));
        add(html, format_args!("\n<p class=\"bad\">not ready: {condition} ({why})</p>"));
    }
}

fn loops(html: &mut String, shown: &Shown, now: Uptime) {
    let loops = shown.health.loops(now);
    let heads = ["loop", "steps", "last step, ms ago", "limit, ms", ""];
    let rows = loops.iter().map(|state| {
        let word = match (state.live, state.ended) {
            (true, _) => "live",
            (false, true) => "<span class=\"bad\">ended</span>",
            (false, false) => "<span class=\"bad\">stuck</span>",
        };
        vec![
            escaped(&state.name),
            state.beats.to_string(),
            state.idle_ms.to_string(),
            state.limit_ms.to_string(),
            word.to_owned(),
        ]
    });
    table(html, "Loops", &heads, rows);
}

fn tasks(html: &mut String, shown: &Shown) {
    let tasks = shown.metrics.tasks();
    let heads = ["task", "lag, records", "lag, s", "state, keys", "to restore"];
    let number = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
    let rows = tasks.iter().map(|task| {
        vec![
            format!("{} ← {}/{}", task.stage.name(), task.topic, task.partition),
            number(task.lag_records),
            task.lag.map_or("–".to_owned(), |lag| format!("{:.1}", lag.as_secs_f64())),
            number(task.state_keys),
            number(task.restore_remaining),
        ]
    });
    table(html, "Tasks", &heads, rows);
}

/// Counters as they are in the metrics: dead letters first, for they are what matters.
fn counters(html: &mut String, shown: &Shown) {
    let text = shown.metrics.render();
    let dead = "trunkline_records_dead_total";
    let samples = || text.lines().filter_map(|line| line.rsplit_once(' '));
    let row = |(name, value): (&str, &str)| {
        vec![escaped(name.trim_start_matches("trunkline_")), escaped(value)]
    };
    let found = samples().filter(|(name, _)| name.starts_with(dead)).map(row);
    table(html, "Dead letters", &["stage and code", "records"], found.take(COUNTERS_MAX));
    let counter = |name: &str| name.contains("_total") && !name.starts_with('#');
    let rest = samples().filter(|(name, _)| counter(name) && !name.starts_with(dead)).map(row);
    table(html, "Counters", &["name", "count"], rest.take(COUNTERS_MAX));
}

fn table(html: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    add(html, format_args!("\n<h2>{title}</h2>"));
    if rows.is_empty() {
        html.push_str("\n<p>none</p>");
        return;
    }
    html.push_str("\n<table><tr>");
    for (column, head) in heads.iter().enumerate() {
        let class = if column == 0 { "" } else { " class=\"n\"" };
        add(html, format_args!("<th{class}>{head}</th>"));
    }
    for row in rows {
        html.push_str("</tr>\n<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = if column == 0 { "" } else { " class=\"n\"" };
            add(html, format_args!("<td{class}>{cell}</td>"));
        }
    }
    html.push_str("</tr></table>");
}

fn add(html: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = html.write_fmt(text);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkline_schemas::topics::RAW_TLIB;

    use super::super::health::Health;
    use super::super::metrics::{Metrics, Stage, record_dead};
    use super::*;

    #[test]
    fn the_page_shows_loops_lag_and_dead_letters_and_escapes_what_it_shows() {
        let metrics = Metrics::install().expect("nobody else records here");
        let health = Health::new();
        let shown =
            Shown { health: health.clone(), metrics: metrics.clone(), config: String::new() };
        let stuck = health.watch("<b1>", Duration::from_secs(1), Uptime::of_ms(0));
        stuck.beat(Uptime::of_ms(500));
        let task = metrics.task(Stage::Conversation, RAW_TLIB, 0);
        task.lag(12, Duration::from_millis(1500));
        record_dead(Stage::Conversation, "panic");
        let html = render(&shown, Uptime::of_ms(90_000));
        for part in [
            "up 90 s",
            "<td>&lt;b1&gt;</td><td class=\"n\">1</td><td class=\"n\">89500</td>",
            "<span class=\"bad\">stuck</span>",
            "<td>conversation ← raw.tlib/0</td><td class=\"n\">12</td><td class=\"n\">1.5</td>",
            "<td>records_dead_total{stage=&quot;conversation&quot;,code=&quot;panic&quot;}</td>",
            "not ready: start",
        ] {
            assert!(html.contains(part), "{part} is not in\n{html}");
        }
        assert!(!html.contains("<b1>") && !html.contains("<script"));
    }
}
