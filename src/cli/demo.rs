//! `trunkline demo`: two simulated sites whose calls follow every model, whose agents have their
//! day and whose SIP Server and Stat Server fail over to their backups, two bridges, the log, the
//! processors, the sinks and a simulated organisation in one process; and the organisation's ledger
//! held against the truth.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use trunkline_sim::compare::Difference;
use trunkline_sim::compare_agents::AgentDifference;
use trunkline_sim::engage::EngageConfig;
use trunkline_sim::gc::Summary;

use super::{complain, quiet_logging, runtime, say};
use crate::clock::Elapsed;
use crate::drive::rehearsal::{
    ByReason, Directory, LeftOut, Moment, Place, Rehearsal, Script, Synchronised,
};
use crate::telemetry;

/// How often the progress is drawn.
const DRAW: Duration = Duration::from_millis(200);
/// Differences shown at most.
const SHOWN_MAX: usize = 10;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many calls
    #[arg(long, default_value_t = 100)]
    calls: u64,
    /// Calls a second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// How much shorter calls are than in life
    #[arg(long, default_value_t = 20.0)]
    speed: f64,
    /// Names the calls: the same seed, the same calls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the log on this Kafka broker instead of inside the process
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Print the organisation's summary as one line of JSON, and nothing else
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::init(&quiet_logging())?;
    let script = Script {
        site: EngageConfig {
            calls: args.calls,
            rate_per_second: args.rate,
            speed: args.speed,
            seed: args.seed,
            vq_server: true,
            everything: true,
            stat_server: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            ..EngageConfig::default()
        },
        log: args.kafka.clone().map_or(Place::Passing, Place::Kafka),
        directory: Directory::Synchronised,
        ..Script::default()
    };
    let runtime = runtime()?;
    let (found, clean) = runtime.block_on(async {
        let watch = Elapsed::start();
        let rehearsal = Rehearsal::start(script).await.context("the demo cannot start")?;
        let screen = Screen::new(args);
        let told = rehearsal.play(DRAW, &mut |moment| screen.draw(moment)).await;
        screen.clear();
        let (left_out, expected) = (rehearsal.outcomes()?, rehearsal.expected_outcomes());
        let agents = Users::of(&rehearsal);
        let (summary, synchronised) = (rehearsal.summary(), rehearsal.synchronised());
        let clean = rehearsal.stop().await;
        let took = watch.time();
        let differences = told;
        let found = Found { differences, agents, left_out, expected, summary, synchronised, took };
        anyhow::Ok((found, clean))
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let ok = found.ok() && clean;
    if args.json {
        for difference in found.shown() {
            complain(&difference);
        }
        say(&serde_json::to_string(&found.told(args, ok))?)?;
    } else {
        found.print(args, ok)?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `--json` prints; its members stand in this order.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    ok: bool,
    calls: u64,
    ignored: BTreeMap<&'a str, u64>,
    suspended: BTreeMap<&'a str, u64>,
    agents: Agents,
    configuration: Option<Configuration>,
}

/// What `--json` says of the configuration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    users: usize,
    queues: usize,
    skills: usize,
    wrap_up_codes: usize,
    requests: u64,
}

impl From<Synchronised> for Configuration {
    fn from(it: Synchronised) -> Self {
        let Synchronised { users, queues, skills, wrap_up_codes, requests, took: _ } = it;
        Self { users, queues, skills, wrap_up_codes, requests }
    }
}

/// What `--json` says of agents.
#[derive(Serialize)]
struct Agents {
    users: usize,
    changes: usize,
    differences: usize,
}

/// What was found of agents.
struct Users {
    count: usize,
    /// Changes that their days ask for.
    changes: usize,
    differences: Vec<AgentDifference>,
}

impl Users {
    fn of(rehearsal: &Rehearsal) -> Self {
        let (count, changes) = rehearsal.expected_agents();
        Self { count, changes, differences: rehearsal.agent_differences() }
    }
}

/// What the demo found.
struct Found {
    differences: Vec<Difference>,
    agents: Users,
    left_out: ByReason,
    /// What `left_out` ought to be.
    expected: ByReason,
    summary: Summary,
    synchronised: Option<Synchronised>,
    took: Duration,
}

impl Found {
    fn ok(&self) -> bool {
        self.differences.is_empty()
            && self.agents.differences.is_empty()
            && self.left_out == self.expected
            && self.summary.violations.is_empty()
            && self.summary.open == 0
            && self.summary.refused == 0
            && self.summary.out_of_order == 0
    }

    /// The first differences as texts.
    fn shown(&self) -> impl Iterator<Item = String> {
        let calls = self.differences.iter().map(ToString::to_string);
        let agents = self.agents.differences.iter().map(ToString::to_string);
        calls.take(SHOWN_MAX).chain(agents.take(SHOWN_MAX))
    }

    fn by_reason(&self, name: LeftOut) -> BTreeMap<&str, u64> {
        let of = self.left_out.iter().filter(|((n, _), _)| *n == name);
        of.map(|((_, code), count)| (code.as_str(), *count)).collect()
    }

    fn told(&self, args: &Args, ok: bool) -> Told<'_> {
        Told {
            summary: &self.summary,
            ok,
            calls: args.calls,
            ignored: self.by_reason(LeftOut::Ignored),
            suspended: self.by_reason(LeftOut::Suspended),
            agents: Agents {
                users: self.agents.count,
                changes: self.agents.changes,
                differences: self.agents.differences.len(),
            },
            configuration: self.synchronised.map(Configuration::from),
        }
    }

    fn print(&self, args: &Args, ok: bool) -> anyhow::Result<()> {
        let s = &self.summary;
        let (users, changes) = (self.agents.count, self.agents.changes);
        let rows: [(&str, String); 11] = [
            ("configuration", self.synchronised.map_or_else(|| "given".to_owned(), configuration)),
            ("calls in Engage", args.calls.to_string()),
            ("conversations", s.conversations.to_string()),
            ("left open", s.open.to_string()),
            ("events", s.events.to_string()),
            ("requests", format!("{} ({:.1} events each)", s.requests, s.events_per_request)),
            ("refused / repeated", format!("{} / {}", s.refused, s.duplicates)),
            ("rules broken", s.violations.values().sum::<u64>().to_string()),
            ("ignored, as specified", reasons(&self.by_reason(LeftOut::Ignored))),
            ("suspended, as specified", reasons(&self.by_reason(LeftOut::Suspended))),
            ("agents", format!("{users}, whose presence or status changed {changes} times")),
        ];
        say("The simulated Genesys Cloud organisation holds:")?;
        for (name, value) in rows {
            say(&format!("  {name:<24}{value}"))?;
        }
        for difference in self.shown() {
            say(&format!("  differs: {difference}"))?;
        }
        if self.left_out != self.expected {
            say(&format!("  ignored and suspended should be: {:?}", self.expected))?;
        }
        let took = self.took.as_secs();
        say(&if ok {
            format!("ok: every call and every agent is there as it happened ({took} s)")
        } else {
            let (calls, agents) = (self.differences.len(), self.agents.differences.len());
            format!("not ok: {calls} calls and {agents} agents differ from what happened")
        })
    }
}

fn configuration(it: Synchronised) -> String {
    format!(
        "{} users, {} queues, {} skills, {} codes, by {} requests in {} s",
        it.users,
        it.queues,
        it.skills,
        it.wrap_up_codes,
        it.requests,
        it.took.as_secs()
    )
}

fn reasons(by_reason: &BTreeMap<&str, u64>) -> String {
    let texts: Vec<String> =
        by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// The progress a person watches; nothing where nobody does.
struct Screen(Option<ProgressBar>);

impl Screen {
    fn new(args: &Args) -> Self {
        if args.json {
            return Self(None);
        }
        let bar = ProgressBar::new(args.calls);
        let style = ProgressStyle::with_template("  calls {pos:>4}/{len} {bar:40}\n  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        complain(
            "Engage (simulated) -> bridges -> log -> processor -> sink -> \
             Genesys Cloud (simulated)",
        );
        Self(Some(bar))
    }

    fn draw(&self, moment: &Moment) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(moment.site.finished);
        bar.set_message(format!(
            "queued {:>3}, talking {:>3} | told {:>4}, open {:>3} | {:>5} events, {:>4} requests",
            moment.site.queued,
            moment.site.talking,
            moment.org.conversations,
            moment.org.open,
            moment.org.events,
            moment.org.requests,
        ));
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
