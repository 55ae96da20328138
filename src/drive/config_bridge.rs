//! The bridge of the Engage Configuration Database: polls it by an interval, and commits what
//! differs from what stands in `raw.configdb`. It is a task of that topic, so that of several
//! processes one polls, and one that was replaced writes nothing more.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use trunkline_ingest::configdb::diff::{Guard, Published, Refusal, changes};
use trunkline_ingest::configdb::rows::{RowError, Snapshot};
use trunkline_ingest::configdb::{ConfigBridge, PollError, Settings, StartError};
use trunkline_schemas::topics::{RAW_CONFIGDB, STATE_BRIDGE};
use trunkline_schemas::{Partition, Record};

use super::group::Reached;
use super::tail::Tail;
use super::vitals::Vitals;
use super::{IDLE_WAIT, STEP_RECORDS_MAX, Shell, TaskError, point};
use crate::admin::metrics::{self, Polled, Stage};
use crate::clock::{self, Elapsed};
use crate::log::{Step, Task, TaskSpec};

/// Its name.
pub const NAME: &str = "configdb";

/// The bridge in its place in the pipeline.
#[derive(Clone)]
pub struct Place {
    /// What is read.
    pub source: Source,
    /// Between two polls.
    pub every: Duration,
    /// Where it is read.
    pub runtime: Handle,
}

/// What is read.
#[derive(Clone)]
pub enum Source {
    /// A database.
    Database(Box<Settings>),
    /// A simulated one: gives what is in it.
    Simulated(Arc<Simulated>),
}

type Simulated = dyn Fn() -> Result<Snapshot, RowError> + Send + Sync;

/// Why a poll told nothing.
#[derive(Debug, thiserror::Error)]
enum Unpolled {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Poll(#[from] PollError),
}

impl Unpolled {
    const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Poll(PollError::Refused(refusal)) => Some(refusal),
            Self::Poll(PollError::Database(_) | PollError::Rows(_)) | Self::Start(_) => None,
        }
    }
}

/// Runs the bridge until the process stops.
pub fn run(shell: &Shell, partition: Partition, place: &Place, reached: &Reached, vitals: Vitals) {
    let (input, state) = (RAW_CONFIGDB, STATE_BRIDGE);
    let spec = TaskSpec { name: NAME, input, partition, state };
    vitals.keep(shell, Stage::ConfigDb, |vitals| {
        vitals.say(Some("the database has not been read yet"));
        Life::new(shell, place, shell.log.own(&spec)?, reached).live(vitals)
    });
}

/// One ownership of the task.
struct Life<'a> {
    shell: &'a Shell,
    place: &'a Place,
    reached: &'a Reached,
    task: Box<dyn Task>,
    tail: Tail,
    published: Published,
    /// The database, once its tables are found.
    bridge: Option<ConfigBridge>,
    is_first: bool,
    /// What is wrong, as it was said last.
    said: Option<String>,
}

impl<'a> Life<'a> {
    fn new(shell: &'a Shell, place: &'a Place, task: Box<dyn Task>, reached: &'a Reached) -> Self {
        let (tail, published) = (Tail::new(RAW_CONFIGDB, 0, 0), Published::default());
        let (bridge, is_first, said) = (None, true, None);
        Self { shell, place, reached, task, tail, published, bridge, is_first, said }
    }

    fn live(&mut self, vitals: &Vitals) -> Result<(), TaskError> {
        let mut waited: Option<Elapsed> = None;
        while !self.shell.stop.is_cancelled() {
            vitals.beat();
            if waited.as_ref().is_some_and(|waited| waited.time() < self.place.every) {
                self.shell.pause(IDLE_WAIT);
                continue;
            }
            self.fold()?;
            let watch = Elapsed::start();
            let Some(polled) = self.poll(vitals) else { break };
            match polled {
                Ok(records) => {
                    let is_new = !records.is_empty();
                    metrics::configdb_poll(if is_new { Polled::Told } else { Polled::Unchanged });
                    self.commit(records)?;
                    self.well();
                    vitals.say(None);
                }
                Err(error) => {
                    let why = self.unwell(&error);
                    vitals.say(Some(&why));
                }
            }
            metrics::stage_duration(Stage::ConfigDb, watch.time());
            waited = Some(Elapsed::start());
        }
        Ok(())
    }

    /// Takes what stands in the topic.
    fn fold(&mut self) -> Result<(), TaskError> {
        let published = &mut self.published;
        self.tail.read(self.shell.log.as_ref(), &mut |stored| {
            if let Err(error) = published.take(&stored.record) {
                // It is told again, as if it had never been.
                tracing::warn!(at = stored.place(), %error, "an object is unreadable");
            }
        })?;
        Ok(())
    }

    /// One poll; nothing: the process stops.
    fn poll(&mut self, vitals: &Vitals) -> Option<Result<Vec<Record>, Unpolled>> {
        let (stop, now_ms) = (self.shell.stop.clone(), clock::now_ms());
        let (source, is_first) = (&self.place.source, self.is_first);
        let (bridge, published) = (&mut self.bridge, &self.published);
        self.place.runtime.block_on(async {
            let mut work = pin!(polled(source, bridge, published, (now_ms, is_first)));
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return None,
                    records = &mut work => return Some(records),
                    () = tokio::time::sleep(IDLE_WAIT) => vitals.beat(),
                }
            }
        })
    }

    fn commit(&mut self, records: Vec<Record>) -> Result<(), TaskError> {
        self.is_first = false;
        metrics::records_out(Stage::ConfigDb, records.len() as u64);
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let some = records.by_ref().take(STEP_RECORDS_MAX).map(|it| (RAW_CONFIGDB, it));
            let outputs = self.shell.place(some.collect(), 0);
            point::pass("configdb.before_commit");
            let next = self.tail.next().max(self.task.position());
            self.task.commit(Step { outputs, next, ..Step::default() })?;
            point::pass("configdb.after_commit");
        }
        let end = self.shell.log.bounds(RAW_CONFIGDB, 0)?.end;
        self.reached.tell(end, None);
        Ok(())
    }

    fn well(&mut self) {
        if self.said.take().is_some() {
            tracing::info!("the database is read again");
        }
    }

    /// Says what is wrong, once, and returns it.
    fn unwell(&mut self, error: &Unpolled) -> String {
        let refusal = error.refusal();
        metrics::configdb_poll(if refusal.is_some() { Polled::Refused } else { Polled::Failed });
        let why = match refusal {
            Some(refusal) => {
                format!("{refusal} as `approved_digest` in [configdb] and start anew")
            }
            None => error.to_string(),
        };
        if self.said.as_ref() != Some(&why) {
            tracing::warn!(why, "the database tells nothing");
            self.said = Some(why.clone());
        }
        why
    }
}

async fn polled(
    source: &Source,
    bridge: &mut Option<ConfigBridge>,
    published: &Published,
    (now_ms, is_first): (i64, bool),
) -> Result<Vec<Record>, Unpolled> {
    match source {
        Source::Database(settings) => {
            let bridge = match bridge {
                Some(bridge) => bridge,
                None => bridge.insert(ConfigBridge::start((**settings).clone()).await?),
            };
            Ok(bridge.poll(published, now_ms).await?)
        }
        Source::Simulated(read) => {
            let now = read().map_err(PollError::from)?;
            Guard::default().check(published, &now, None).map_err(PollError::from)?;
            Ok(changes(published, &now, now_ms, is_first))
        }
    }
}
