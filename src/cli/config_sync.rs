//! `trunkline config-sync`: what the organisation lacks of the Engage configuration.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::json;
use trunkline_sinks::config::memory::object_row;
use trunkline_sinks::config::{Next, Planned, Reconciler};

use super::run::config_place;
use super::{ConfigArg, complain, load, runtime, say, topics};
use crate::config::Code;
use crate::drive::config_sink::{self, Place};
use crate::drive::{Shell, chance};
use crate::log::{Log, Step};
use crate::{clock, telemetry, topology};

/// Tries of one question before it is given up.
const TRIES_MAX: u32 = 5;

/// Options of `config-sync`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigArg,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what differs between Engage and the organisation, and change nothing
    Plan {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make the organisation as desired, once
    Apply,
    /// Let objects that the organisation deleted be created again
    Forget {
        /// Keys as `plan` and `outcome.config` have them, for example `queue/sales`
        #[arg(required_unless_present = "all")]
        keys: Vec<String>,
        /// Everything that was deleted
        #[arg(long, conflicts_with = "keys")]
        all: bool,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match load(&args.file.config) {
        Ok(config) => config,
        Err(status) => return Ok(status),
    };
    telemetry::init(&super::quiet_logging())?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let Some(place) = config_place(&config)? else {
        let file = args.file.config.display();
        let sections = "[configdb] and [genesys_cloud.config_sync]";
        complain(&format!("error[{}]: {file} needs the sections {sections}", Code::MissingKey));
        return Ok(ExitCode::from(super::BAD_CONFIG));
    };
    let log = topics::open(&config.log)?;
    let layouts =
        topology::layouts(config.domains.len() as u32, config.topics.conversation_partitions);
    match &args.what {
        What::Plan { json } => plan(log.as_ref(), &place, *json),
        What::Apply => {
            log.ensure(&layouts)?;
            apply(&Shell::new(log, layouts)?, &place)
        }
        What::Forget { keys, all } => {
            log.ensure(&layouts)?;
            forget(log.as_ref(), &place, keys, *all)
        }
    }
}

fn plan(log: &dyn Log, place: &Place, as_json: bool) -> anyhow::Result<ExitCode> {
    let settings = trunkline_sinks::config::Settings { is_dry: true, ..place.settings.clone() };
    let mut reconciler = config_sink::look(log, settings)?;
    let _turns = place.outlet.own(0);
    place.outlet.runtime.block_on(observe(&mut reconciler, place))?;
    let planned = reconciler.planned().context("the organisation could not be read")?;
    for planned in planned {
        say(&if as_json { in_json(planned) } else { in_text(planned) })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks until everything is known that a plan needs.
async fn observe(reconciler: &mut Reconciler, place: &Place) -> anyhow::Result<()> {
    let mut tries = 0;
    while reconciler.planned().is_none() {
        let now_ms = clock::now_ms();
        match reconciler.next(now_ms) {
            Next::Ask(call) => {
                if let Err(wait_ms) = place.outlet.allowance.try_take(now_ms) {
                    pause(wait_ms).await;
                    continue;
                }
                let heard = place.outlet.cloud.ask(&call, now_ms).await;
                reconciler.answered(heard, clock::now_ms(), chance());
            }
            Next::Wait(_) if reconciler.planned().is_some() => {}
            Next::Wait(_) if reconciler.is_at_rest() => break,
            Next::Wait(wait_ms) => {
                tries += 1;
                if tries > TRIES_MAX {
                    break;
                }
                pause(wait_ms).await;
            }
        }
    }
    match reconciler.progress().blocked {
        Some(why) => Err(anyhow!(why)),
        None => Ok(()),
    }
}

async fn pause(wait_ms: i64) {
    tokio::time::sleep(Duration::from_millis(wait_ms.clamp(1, 60_000) as u64)).await;
}

/// Action, kind, name, fields.
fn in_text(planned: &Planned) -> String {
    let (kind, name) = planned.key.split_once('/').unwrap_or_default();
    let line = [planned.request.action(), kind, name, &planned.request.fields().join(", ")];
    line.join("\t").trim_end().to_owned()
}

fn in_json(planned: &Planned) -> String {
    let (kind, name) = planned.key.split_once('/').unwrap_or_default();
    json!({
        "action": planned.request.action(), "kind": kind, "name": name,
        "fields": planned.request.fields(),
    })
    .to_string()
}

fn apply(shell: &Shell, place: &Place) -> anyhow::Result<ExitCode> {
    let progress = config_sink::apply(shell, place)?;
    if let Some(why) = progress.blocked {
        return Err(anyhow!(why));
    }
    say(&format!("{} requests done", progress.done))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the ownership of the task: a sink that runs is dropped, and owns it anew with what is
/// forgotten here.
fn forget(log: &dyn Log, place: &Place, keys: &[String], all: bool) -> anyhow::Result<ExitCode> {
    let mut task = log.own(&config_sink::spec(0))?;
    let deleted = config_sink::look(log, place.settings.clone())?.deleted();
    let chosen = |key: &String| all || keys.contains(key);
    let forgotten: Vec<String> = deleted.into_iter().filter(chosen).collect();
    let state = forgotten.iter().map(|key| (object_row(key), None)).collect();
    task.commit(Step { state, next: task.position(), ..Step::default() })?;
    for key in &forgotten {
        say(key)?;
    }
    let unknown: Vec<&String> = keys.iter().filter(|key| !forgotten.contains(key)).collect();
    for key in &unknown {
        complain(&format!("{key}: the organisation did not delete it, as far as is known"));
    }
    Ok(if unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
