//! The presence definitions of the organisation: asked for until all are known, and now and then
//! after that, as somebody may change them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trunkline_sinks::genesys_cloud::Found;
use trunkline_sinks::genesys_cloud::retry::retry_after_ms;
use trunkline_sinks::presence::DEFINITIONS_PATH;
use trunkline_sinks::{Answer, Definitions};

use super::Shell;
use super::sink::Outlet;
use crate::admin::health::Condition;
use crate::clock;

/// Between two questions, once all definitions are known.
const RENEW: Duration = Duration::from_hours(1);
/// Between two questions while something is missing, or after one without an answer.
const RETRY: Duration = Duration::from_secs(5);
/// What `/readyz` calls it.
const CONDITION: &str = "presence definitions";

/// Keeps the definitions up to date until the process stops. Changes whose definition is missing
/// wait, and `/readyz` says so.
pub(super) async fn follow(shell: Shell, outlet: Outlet, known: watch::Sender<Arc<Definitions>>) {
    let ready = shell.health.condition(CONDITION);
    let mut is_known = false;
    loop {
        let answered = tokio::select! {
            () = shell.stop.cancelled() => break,
            answered = ask(&outlet, &ready, is_known) => answered,
        };
        let wait = match answered {
            Ok(definitions) => {
                is_known = true;
                let missing = definitions.missing();
                known.send_replace(Arc::new(definitions));
                if missing.is_empty() {
                    ready.set(true, "");
                    RENEW
                } else {
                    let names: Vec<&str> = missing.iter().map(|p| p.name()).collect();
                    let why = format!(
                        "the organisation has no active system presence {}: activate it; agents \
                         who change to it wait",
                        names.join(", ")
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
