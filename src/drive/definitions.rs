//! The presence definitions of the organisation: asked for until all are known, and now and then
//! after that, as somebody may change them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trunkline_schemas::SystemPresence;
use trunkline_sinks::genesys_cloud::Found;
use trunkline_sinks::genesys_cloud::retry::retry_after_ms;
use trunkline_sinks::presence::DEFINITIONS_PATH;
use trunkline_sinks::{Answer, Definitions};

use super::Shell;
use super::sink::Outlet;
use crate::admin::health::Condition;
use crate::clock::{self, Uptime};

/// Between two questions, once all definitions are known.
const RENEW: Duration = Duration::from_hours(1);
/// Between two questions while something is missing, or after one without an answer.
const RETRY: Duration = Duration::from_secs(5);
/// How long changes wait for a presence that the organisation lacks, before they are dead letters.
const LACKED_MAX: Duration = Duration::from_mins(10);
/// What `/readyz` calls it.
const CONDITION: &str = "presence definitions";

/// The presences of the organisation, as far as they are known.
#[derive(Clone, Default)]
pub(super) struct Presences {
    /// Their ids.
    pub(super) definitions: Arc<Definitions>,
    /// Those that it has lacked for too long.
    pub(super) given_up: Arc<BTreeSet<SystemPresence>>,
}

/// Since when each presence is lacking, by the time the process runs.
#[derive(Default)]
struct Lacking(BTreeMap<SystemPresence, Uptime>);

impl Lacking {
    /// The organisation has said that it lacks these. Returns those that it has said so of for too
    /// long; while it says nothing, nothing is given up.
    fn note(&mut self, missing: &[SystemPresence], uptime: Uptime) -> BTreeSet<SystemPresence> {
        self.0.retain(|presence, _| missing.contains(presence));
        for presence in missing {
            self.0.entry(*presence).or_insert(uptime);
        }
        let is_old = |since: &Uptime| uptime.since(*since) >= LACKED_MAX;
        self.0.iter().filter(|(_, since)| is_old(since)).map(|(presence, _)| *presence).collect()
    }
}

/// Keeps the definitions up to date until the process stops. Changes whose definition is missing
/// wait for it, but not for ever, and `/readyz` says so.
pub(super) async fn follow(shell: Shell, outlet: Outlet, known: watch::Sender<Presences>) {
    let ready = shell.health.condition(CONDITION);
    let (mut is_known, mut lacking) = (false, Lacking::default());
    loop {
        let answered = tokio::select! {
            () = shell.stop.cancelled() => break,
            answered = ask(&outlet, &ready, is_known) => answered,
        };
        let wait = match answered {
            Ok(definitions) => {
                is_known = true;
                let missing = definitions.missing();
                let given_up = Arc::new(lacking.note(&missing, clock::uptime()));
                known.send_replace(Presences { definitions: Arc::new(definitions), given_up });
                if missing.is_empty() {
                    ready.set(true, "");
                    RENEW
                } else {
                    let names: Vec<&str> = missing.iter().map(|p| p.name()).collect();
                    let why = format!(
                        "the organisation has no active system presence {}: activate it; agents \
                         who change to it wait for {} minutes, then the change is a dead letter",
                        names.join(", "),
                        LACKED_MAX.as_secs() / 60
                    );
                    tracing::warn!("{why}");
                    ready.set(false, why);
                    RETRY
                }
            }
            Err(Unread { why, wait }) => {
                tracing::warn!(why, "the presence definitions cannot be read");
                if !is_known {
                    ready.set(false, why);
                }
                wait.max(RETRY)
            }
        };
        tokio::select! {
            () = shell.stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    ready.retire();
}

/// Why there are no definitions, and how long not to ask.
struct Unread {
    why: String,
    wait: Duration,
}

async fn ask(outlet: &Outlet, ready: &Condition, is_known: bool) -> Result<Definitions, Unread> {
    while let Err(wait_ms) = outlet.allowance.try_take(clock::now_ms()) {
        // Who has no part of the allowance has no agents to tell either.
        if !is_known {
            ready.set(!outlet.allowance.has_turns(), "they have not been read yet");
        }
        tokio::time::sleep(Duration::from_millis(wait_ms.max(1) as u64)).await;
    }
    let now_ms = clock::now_ms();
    let Found { reply, body } = outlet.cloud.get(DEFINITIONS_PATH, now_ms).await;
    if let Some(body) = body {
        let unread = |e: trunkline_sinks::presence::DefinitionsError| Unread {
            why: e.to_string(),
            wait: Duration::ZERO,
        };
        return Definitions::read(body).map_err(unread);
    }
    let wait_ms = if let Answer::RateLimited { retry_after_s } = &reply.answer {
        let wait_ms = retry_after_ms(*retry_after_s);
        outlet.allowance.close_until(now_ms + wait_ms);
        wait_ms
    } else {
        0
    };
    let status = reply.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let why = format!("GET {DEFINITIONS_PATH}: {status}");
    Err(Unread { why, wait: Duration::from_millis(wait_ms as u64) })
}

#[cfg(test)]
mod tests {
    use SystemPresence::{Meal, Training};

    use super::*;

    #[test]
    fn what_is_lacking_all_the_time_is_given_up() {
        let mut lacking = Lacking::default();
        // Minutes the process has run, what is missing, what is given up.
        for (minutes, missing, given_up) in [
            (0, vec![], vec![]),
            (5, vec![Meal], vec![]),
            (14, vec![Meal, Training], vec![]),
            (15, vec![Meal, Training], vec![Meal]),
            // Activated, and deactivated again.
            (16, vec![Training], vec![]),
            (17, vec![Meal, Training], vec![]),
            (24, vec![Meal, Training], vec![Training]),
            (27, vec![Meal, Training], vec![Meal, Training]),
            (60, vec![], vec![]),
        ] {
            let found = lacking.note(&missing, Uptime::of_ms(minutes * 60_000));
            assert_eq!(found, BTreeSet::from_iter(given_up), "after {minutes} minutes");
        }
    }
}
