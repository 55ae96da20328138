//! The only loops (DESIGN section 3): a bridge, a processor task, a sink task; and the engine that
//! runs them as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trunkline_schemas::desired::ConfigOutcome;
use trunkline_schemas::topics::{
    OUTCOME_CONFIG, OUTCOME_CONVERSATION, OUTCOME_PRESENCE, Spread, hash_partition,
};
use trunkline_schemas::{Outcome, Output, Partition, PresenceOutcome, Record, Topic, codec};

use crate::admin::health::Health;
use crate::admin::metrics::{self, InstallError, Metrics, Stage};
use crate::admin::roles::Role;
use crate::log::{Layout, Log, LogError};
use crate::trace::Tracer;

pub mod announce;
pub mod beginning;
pub mod bridge;
pub mod config_bridge;
pub mod config_sink;
pub mod consumer;
mod definitions;
pub mod engine;
pub mod group;
mod kinds;
mod links;
pub mod point;
pub mod processor;
mod reach;
pub mod rehearsal;
mod reporting;
pub mod roster;
pub mod sink;
pub mod state;
mod synced;
mod tail;
mod vitals;

/// Records of one step at most (reliability/KAFKA section 6).
const STEP_RECORDS_MAX: usize = 2_000;
/// How long a loop waits for input before it looks around.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// A loop that makes no step for so long is not live.
const LOOP_LIMIT: Duration = Duration::from_secs(30);
/// How long a task that failed waits before it is owned anew.
const REOWN_WAIT: Duration = Duration::from_millis(500);

/// What every loop is given.
#[derive(Clone)]
pub struct Shell {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where loops report.
    pub health: Health,
    /// What they count.
    pub metrics: Metrics,
    /// Cancelled when the process is to stop.
    pub stop: CancellationToken,
    /// Partitions of the topics.
    pub layouts: Arc<Vec<Layout>>,
    /// Where the hops of traced calls are told.
    pub tracer: Tracer,
}

impl Shell {
    /// That of loops on a log with these topics: nothing is reported yet, and no call is traced.
    ///
    /// # Errors
    /// Something else records metrics in this process already.
    pub fn new(log: Arc<dyn Log>, layouts: Vec<Layout>) -> Result<Self, InstallError> {
        Ok(Self {
            log,
            health: Health::new(),
            metrics: Metrics::install()?,
            stop: CancellationToken::new(),
            layouts: Arc::new(layouts),
            tracer: Tracer::default(),
        })
    }

    /// The same, for loops that concern one role.
    fn of(&self, role: Option<Role>) -> Self {
        let health = role.map_or_else(|| self.health.clone(), |role| self.health.of(role));
        Self { health, ..self.clone() }
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: Topic) -> u32 {
        self.layouts.iter().find(|l| l.topic == topic).map_or(1, |l| l.partitions)
    }

    /// Chooses the partitions of what a task on partition `own` wants written: by key where the
    /// topic is hashed, else the domain's own.
    pub fn place(&self, outputs: Vec<(Topic, Record)>, own: Partition) -> Vec<Output> {
        let place = |(topic, record): (Topic, Record)| {
            let partition = match topic.spec().spread {
                Spread::One => 0,
                Spread::Domain => own,
                Spread::Hash => hash_partition(&record.key, self.partitions(topic)),
            };
            Output { topic, partition, record }
        };
        outputs.into_iter().map(place).collect()
    }

    /// Waits before a task is owned anew; `false` if it is time to stop.
    fn pause(&self, wait: Duration) -> bool {
        let (told, heard) = std::sync::mpsc::channel::<()>();
        let stop = self.stop.clone();
        let watcher = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            runtime.spawn(async move {
                stop.cancelled().await;
                drop(told);
            })
        });
        let _ = heard.recv_timeout(wait);
        if let Some(watcher) = watcher {
            watcher.abort();
        }
        !self.stop.is_cancelled()
    }
}

/// Why a task's life ended before its time. It is dropped and owned anew, never patched up.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A value of the state topic cannot be read.
    #[error("the state cannot be restored: {0}")]
    State(String),
    /// The processor panicked outside any conversation.
    #[error("the processor failed on the record at offset {0}")]
    Panicked(i64),
}

/// A number from 0 to 1, different each time.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(0_u8);
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// Counts what a stage is about to write: dead letters and outcomes by their codes.
fn count_outputs(stage: Stage, dead: Topic, outputs: &[(Topic, Record)]) {
    let mut written = 0;
    for (topic, record) in outputs {
        if *topic == dead {
            let code = record.header("dead-code").unwrap_or_default();
            metrics::record_dead(stage, &String::from_utf8_lossy(code));
            continue;
        }
        written += 1;
        let value = record.value.as_deref().unwrap_or_default();
        if *topic == OUTCOME_CONVERSATION
            && let Ok(outcome) = codec::decode::<Outcome>(value)
        {
            metrics::outcome(stage, outcome.status, outcome.code.as_deref());
        }
        if *topic == OUTCOME_CONFIG
            && let Ok(outcome) = codec::decode::<ConfigOutcome>(value)
        {
            metrics::outcome(stage, outcome.status, outcome.code.as_deref());
        }
        if *topic == OUTCOME_PRESENCE
            && let Ok(outcome) = codec::decode::<PresenceOutcome>(value)
        {
            metrics::outcome(stage, outcome.status, outcome.code.as_deref());
        }
    }
    metrics::records_out(stage, written);
}
