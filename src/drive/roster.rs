//! Which agents are in scope while the process runs: the directory's file is looked at, and when it
//! has changed, announced anew and told to the Stat Server links, which open and close what they
//! have to. The processor of agents is told first: what it then relays of an agent finds the agent
//! known, and what it relays itself is remembered by the other until that is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;
use trunkline_schemas::Partition;
use trunkline_schemas::topics::{RAW_AGENT, RAW_TLIB};

use super::links::{Listened, Telling};
use super::{Shell, announce};
use crate::config::directory;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(2);

/// The domain whose directory is followed.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Its name.
    pub domain: String,
    /// Its partition.
    pub partition: Partition,
    /// The file of its directory.
    pub file: PathBuf,
}

/// Follows a directory until the process stops. A file that is wrong changes nothing.
pub(super) async fn follow(shell: Shell, followed: Followed, links: Arc<Telling>) {
    let mut interval = tokio::time::interval(LOOK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // What was read at the start may be older than the file: the first look announces what is new.
    let mut known = None;
    loop {
        tokio::select! {
            biased;
            () = shell.stop.cancelled() => break,
            _ = interval.tick() => {}
        }
        let now = stamp(&followed.file);
        if now.is_none() || now == known {
            continue;
        }
        let (shell, by) = (shell.clone(), followed.clone());
        match spawn_blocking(move || read(&shell, &by)).await {
            Ok(Ok(agents)) => {
                known = now;
                links.tell_agents(&agents);
            }
            Ok(Err(Unread::File(why))) => {
                known = now; // it is said once
                let domain = &followed.domain;
                tracing::warn!(domain, why, "the directory is wrong and stays as it was");
            }
            Ok(Err(Unread::Log(why))) => {
                tracing::warn!(why, "the directory cannot be announced yet");
            }
            Err(error) => tracing::warn!(%error, "the directory could not be read"),
        }
    }
}

/// When the file was last changed, and its length.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

enum Unread {
    /// The file is wrong.
    File(String),
    /// The log takes nothing.
    Log(String),
}

fn read(shell: &Shell, followed: &Followed) -> Result<BTreeSet<String>, Unread> {
    let directory = directory::load(&followed.file).map_err(|errors| {
        let first = errors.first().map(|e| format!("{}: {}", e.code, e.text));
        Unread::File(first.unwrap_or_default())
    })?;
    for topic in [RAW_AGENT, RAW_TLIB] {
        let place = (topic, followed.partition);
        announce::announce(shell, &followed.domain, place, &directory)
            .map_err(|error| Unread::Log(error.to_string()))?;
    }
    Ok(Listened::of(&directory).agents)
}
