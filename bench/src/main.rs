//! Measures, never asserts: each figure of a run is printed as a table and as JSON, beside a bare
//! loop on the same log that does nothing but read, copy and write (ratios outlive the machine).
//!
//! Every part runs in a process of its own, so that its memory and its caches are its own.

use std::process::{Command, Stdio};

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use trunkline::clock;

mod agents;
mod latency;
mod load;
mod measure;
mod parts;
mod place;

use measure::{merge, round};
use place::Place;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Trunkline.
#[derive(Parser)]
struct Args {
    /// Raw records, both copies of every event counted
    #[arg(long, default_value_t = 400_000)]
    records: usize,
    /// Calls alive at once
    #[arg(long, default_values_t = [500_usize, 30_000])]
    live: Vec<usize>,
    /// Measure on this broker too (`host:port`); its topics are deleted afterwards
    #[arg(long)]
    kafka: Option<String>,
    /// Measure the restore after so many seconds of the load too (8,000 events a second)
    #[arg(long, default_value_t = 0)]
    updates: i64,
    /// Measure so many agents instead: a day of each, the restore of their state, their logins
    #[arg(long, default_value_t = 0)]
    agents: usize,
    /// Print only JSON
    #[arg(long)]
    json: bool,
    /// Measure only this part, in the log that is named
    #[arg(long, hide = true, requires = "log")]
    part: Option<Part>,
    #[arg(long, hide = true)]
    log: Option<Place>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    InMemory,
    Fill,
    Bare,
    Pipeline,
    Restore,
    Updates,
    Latency,
    AgentDays,
    AgentRestore,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    records: usize,
    live: usize,
    /// Seconds of the load; 0: none.
    updates: i64,
    /// Agents; 0: none.
    agents: usize,
}

impl Args {
    fn size(&self, live: usize) -> Size {
        Size { records: self.records, live, updates: self.updates, agents: self.agents }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let (Some(part), Some(log)) = (args.part, &args.log) {
        let live = args.live.first().copied().unwrap_or(1);
        return print(&[measure(part, log, args.size(live))?], &[], true);
    }
    if args.agents > 0 {
        return print(&[], &of_agents(&args)?, args.json);
    }
    let mut rows = Vec::new();
    for live in &args.live {
        let directory = tempfile::tempdir()?;
        let embedded = Place::Embedded(directory.path().to_owned());
        let size = args.size(*live);
        rows.push(child(Part::InMemory, &embedded, size)?);
        rows.extend(on_log(&embedded, size)?);
        if let Some(broker) = &args.kafka {
            let prefix = format!("bench-{}.", clock::now_ms());
            let kafka = Place::Kafka(broker.clone(), prefix);
            let measured = on_log(&kafka, size);
            kafka.remove()?;
            rows.extend(measured?);
        }
    }
    print(&rows, &[], args.json)
}

/// Everything that is measured of agents.
fn of_agents(args: &Args) -> anyhow::Result<Vec<Value>> {
    let directory = tempfile::tempdir()?;
    let mut logs = vec![Place::Embedded(directory.path().join("agents"))];
    if let Some(broker) = &args.kafka {
        logs.push(Place::Kafka(broker.clone(), format!("bench-agents-{}.", clock::now_ms())));
    }
    let mut rows = Vec::new();
    for log in logs {
        let days = child(Part::AgentDays, &log, args.size(0));
        let restored =
            days.and_then(|days| Ok([days, child(Part::AgentRestore, &log, args.size(0))?]));
        log.remove()?;
        rows.extend(restored?);
    }
    for partitions in [1, place::PARTITIONS] {
        rows.push(agents::logins(args.agents, partitions)?);
    }
    Ok(rows)
}

/// Everything that is measured on a log: first the path with the allowance open, on an empty log.
fn on_log(log: &Place, size: Size) -> anyhow::Result<Vec<Value>> {
    let apart = log.apart("latency");
    let path = child(Part::Latency, &apart, Size { live: size.live.min(500), ..size });
    apart.remove()?;
    let mut rows = vec![path?];
    if size.updates > 0 {
        let apart = log.apart("updates");
        let written = child(Part::Updates, &apart, size);
        let restored = written.and_then(|row| Ok([row, child(Part::Restore, &apart, size)?]));
        apart.remove()?;
        rows.extend(restored?);
    }
    let log = &match log {
        Place::Embedded(path) => Place::Embedded(path.join("log")),
        Place::Kafka(..) => log.clone(),
    };
    let part = |part| child(part, log, size);
    part(Part::Fill)?;
    // The first reader finds nothing warm but what the writer left; the page cache is the system's.
    let cold = part(Part::Pipeline)?;
    let restored = part(Part::Restore)?;
    let bare = part(Part::Bare)?;
    let ratio = |value: &Value| {
        let rate = |row: &Value| row["records_per_second"].as_f64().unwrap_or(1.0);
        json!({ "ratio_to_bare": round(rate(value) / rate(&bare)) })
    };
    let cold = merge(cold.clone(), &ratio(&cold));
    rows.extend([bare, cold, restored]);
    Ok(rows)
}

/// Measures a part in a process of its own.
fn child(part: Part, log: &Place, size: Size) -> anyhow::Result<Value> {
    let Size { records, live, updates, agents } = size;
    let name = part.to_possible_value();
    let name = name.as_ref().map_or("", clap::builder::PossibleValue::get_name);
    let output = Command::new(std::env::current_exe()?)
        .args(["--part", name, "--log", &log.to_string()])
        .args(["--records", &records.to_string(), "--live", &live.to_string()])
        .args(["--updates", &updates.to_string(), "--agents", &agents.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "{name} on {log}: {}", output.status);
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let row = rows.into_iter().next().unwrap_or_default();
    let of_agents = matches!(part, Part::AgentDays | Part::AgentRestore);
    let many = if of_agents { json!({ "agents": agents }) } else { json!({ "live": live }) };
    Ok(merge(merge(row, &json!({ "log": log.name() })), &many))
}

fn measure(part: Part, log: &Place, size: Size) -> anyhow::Result<Value> {
    let Size { records, live, updates, agents } = size;
    match part {
        Part::InMemory => parts::in_memory(records, live),
        Part::Fill => parts::fill(log.open()?.as_ref(), records, live),
        Part::Bare => parts::bare(log.open()?.as_ref()),
        Part::Pipeline => parts::pipeline(log.open()?.as_ref()),
        Part::Restore => parts::restore(log.open()?.as_ref()),
        Part::Updates => parts::updates(log.open()?.as_ref(), updates, live),
        Part::Latency => latency::latency(&log.open()?, live),
        Part::AgentDays => agents::days(log.open()?.as_ref(), agents),
        Part::AgentRestore => agents::restore(log.open()?.as_ref(), agents),
    }
}

/// A column: its heading, its width, and the member it shows.
const COLUMNS: [(&str, usize, &str); 12] = [
    ("what", 22, "what"),
    ("log", 9, "log"),
    ("live", 7, "live"),
    ("records", 10, "records"),
    ("records/s", 10, "records_per_second"),
    ("of bare", 8, "ratio_to_bare"),
    ("CPU us", 8, "cpu_us_per_record"),
    ("s", 8, "seconds"),
    ("MB", 6, "resident_mb"),
    ("B/call", 8, "bytes_per_call"),
    ("p50 ms", 7, "p50_ms"),
    ("p99 ms", 7, "p99_ms"),
];

/// The columns of agents.
const AGENT_COLUMNS: [(&str, usize, &str); 9] = [
    ("what", 26, "what"),
    ("log", 9, "log"),
    ("records", 10, "records"),
    ("records/s", 10, "records_per_second"),
    ("s", 8, "seconds"),
    ("MB", 6, "resident_mb"),
    ("B/agent", 8, "bytes_per_agent"),
    ("requests", 9, "requests"),
    ("simulated s", 11, "simulated_seconds"),
];

#[expect(clippy::print_stdout, reason = "it is what this program is for")]
fn print(rows: &[Value], agents: &[Value], json: bool) -> anyhow::Result<()> {
    for (rows, columns) in [(rows, &COLUMNS[..]), (agents, &AGENT_COLUMNS[..])] {
        if !json && !rows.is_empty() {
            print!("{}", table(rows, columns));
        }
    }
    println!("{}", serde_json::to_string(&[rows, agents].concat())?);
    Ok(())
}

/// Rows under their headings.
fn table(rows: &[Value], columns: &[(&str, usize, &str)]) -> String {
    let line = |cell: &dyn Fn(&str, &str) -> String| {
        let cells = columns.iter().map(|(head, width, key)| {
            let text = cell(head, key);
            if *key == "what" || *key == "log" {
                format!("{text:<width$}")
            } else {
                format!("{text:>width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join(" ");
        line.trim_end().to_owned() + "\n"
    };
    let mut text = line(&|head, _| head.to_owned());
    for row in rows {
        let cell = |_: &str, key: &str| {
            let value = row.get(key);
            let text = value.and_then(Value::as_str).map(str::to_owned);
            text.or_else(|| value.map(Value::to_string)).unwrap_or_default()
        };
        text.push_str(&line(&cell));
    }
    text
}
