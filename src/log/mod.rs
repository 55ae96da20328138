//! The log: what every bridge, processor and sink stands on (DESIGN section 7).
//!
//! The trait says what is promised; `conformance` checks every promise on every implementation.
//!
//! | promise | said where |
//! |---|---|
//! | the caller chooses the partition | [`Output::partition`] |
//! | offsets increase and may have gaps | [`Log::read`] |
//! | an acknowledged append is durable | [`Appender::append`] |
//! | a committed step is all there or not at all | [`Task::commit`] |
//! | only the newest owner of a task can commit | [`Log::own`] |
//! | reading below the oldest record is an error, never a silent jump | [`Log::read`] |
//! | append time never goes back within a partition | [`Stored::append_time_ms`] |
//! | compaction keeps at least the newest record of each key | [`Task::restore`] |
//! | headers are ordered, repeatable bytes | [`Record::headers`](trunkline_schemas::Record) |
//! | records up to 1 MiB | [`MAX_RECORD_BYTES`] |

use std::time::Duration;

use trunkline_schemas::topics::Spread;
use trunkline_schemas::{Offset, Output, Partition, Stored, Topic};

pub mod conformance;
pub mod embedded;
pub mod kafka;

/// The largest record a log must take: key, value and headers together.
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// A restore says how many records are left whenever it has read so many.
const RESTORE_SAID: u64 = 1_000;

/// Why a log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A newer owner of the same task exists: this one must stop at once.
    #[error("task {task} has a newer owner (epoch {newest}, ours {ours})")]
    Fenced {
        /// The task.
        task: String,
        /// Our epoch.
        ours: u64,
        /// The newest epoch.
        newest: u64,
    },
    /// The record asked for is older than the oldest kept.
    #[error("{topic}/{partition}@{asked} is gone: the oldest record kept is {oldest}")]
    BelowStart {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// The offset asked for.
        asked: Offset,
        /// The oldest offset there is.
        oldest: Offset,
    },
    /// There is no such topic or partition.
    #[error("there is no partition {topic}/{partition}")]
    NoSuchPartition {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
    },
    /// A topic exists with another number of partitions, and may not be given it.
    #[error(
        "topic {topic} has {found} partitions, the configuration says {wanted}: {}",
        remedy(*topic)
    )]
    OtherLayout {
        /// The topic.
        topic: Topic,
        /// How many it has.
        found: u32,
        /// How many were asked for.
        wanted: u32,
    },
    /// A record over [`MAX_RECORD_BYTES`].
    #[error("a record of {bytes} bytes for {topic} is over the limit of {MAX_RECORD_BYTES}")]
    TooLarge {
        /// The topic.
        topic: Topic,
        /// Its size.
        bytes: usize,
    },
    /// Somebody else has the log's directory open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The directory.
        path: String,
    },
    /// A log that is there but cannot keep what is promised, or may not be used so.
    #[error("refused: {what}")]
    Refused {
        /// What is wrong, and what it must be.
        what: String,
    },
    /// The log could not be read or opened; nothing was written.
    #[error("{what}: {source}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Whether it was written is not known: drop the task, open it anew and read on.
    #[error("{what}: outcome unknown: {source}")]
    Unknown {
        /// What was being done.
        what: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How many partitions a topic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The topic.
    pub topic: Topic,
    /// Number of partitions, at least 1.
    pub partitions: u32,
}

/// What a topic lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// Nothing.
    Nothing,
    /// Itself.
    Topic,
    /// Partitions, behind those it has.
    Partitions,
}

/// What a topic lacks that is there with so many partitions. Where each is a routing domain's, more
/// move nobody; elsewhere they would part a key from its past.
fn lack(layout: Layout, found: Option<u32>) -> Result<Lack, LogError> {
    let Layout { topic, partitions: wanted } = layout;
    if wanted == 0 {
        let what = format!("creating topic {topic}");
        return Err(LogError::Unavailable { what, source: "no partitions".into() });
    }
    match found {
        None => Ok(Lack::Topic),
        Some(found) if found == wanted => Ok(Lack::Nothing),
        Some(found) if found < wanted && topic.spec().spread == Spread::Domain => {
            Ok(Lack::Partitions)
        }
        Some(found) => Err(LogError::OtherLayout { topic, found, wanted }),
    }
}

/// What can be done about another number of partitions.
fn remedy(topic: Topic) -> &'static str {
    match topic.spec().spread {
        Spread::One => "it must have one",
        Spread::Domain => "domains are added at the end of the list, and stay in it",
        Spread::Hash => "`topics.conversation_partitions` is fixed once a log exists",
    }
}

/// A task: one processor or sink on one input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// Name of the processor or sink, for example `conversation`.
    pub name: &'static str,
    /// What it reads.
    pub input: Topic,
    /// Which partition of it; its state lives in the partition of the same number.
    pub partition: Partition,
    /// Where its state lives.
    pub state: Topic,
}

impl TaskSpec {
    /// `name-partition`, by which its ownership and position are kept.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.partition)
    }
}

/// The oldest offset kept and the one the next record will get, or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Offset of the oldest record kept (equal to `end` where there is none).
    pub start: Offset,
    /// One more than the newest offset.
    pub end: Offset,
}

/// One atomic step of a task (DESIGN law 4): outputs, changed state and the new input position.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Records for other topics.
    pub outputs: Vec<Output>,
    /// Changed state by key; `None` forgets the key.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Offset of the next input record to read.
    pub next: Offset,
}

/// A log.
pub trait Log: Send + Sync {
    /// Creates the topics that are missing; one whose partitions are routing domains
    /// ([`Spread::Domain`]) is given those it lacks, behind the others, which stay as they are.
    ///
    /// # Errors
    /// [`LogError::OtherLayout`] where one exists with another number of partitions otherwise.
    fn ensure(&self, layouts: &[Layout]) -> Result<(), LogError>;

    /// Whether the log can be asked at all: where it cannot, everything else that is down has this
    /// for its cause.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] of a cluster, naming the brokers that do not answer;
    /// [`LogError::Unknown`] of a log on this disk that can be used no more.
    fn reach(&self) -> Result<(), LogError>;

    /// The topics there are.
    fn layouts(&self) -> Result<Vec<Layout>, LogError>;

    /// The bounds of a partition.
    fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError>;

    /// Up to `max` records with offsets of at least `from`, in order; empty at the end and beyond.
    /// A log may give fewer than `max` to bound memory (8 MiB and one record), but at least one if
    /// there is one.
    ///
    /// # Errors
    /// [`LogError::BelowStart`] where `from` is older than the oldest record kept.
    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        max: usize,
    ) -> Result<Vec<Stored>, LogError>;

    /// A writer for bridges.
    fn appender(&self) -> Result<Box<dyn Appender>, LogError>;

    /// Takes ownership of a task. Every older owner can no longer commit.
    fn own(&self, spec: &TaskSpec) -> Result<Box<dyn Task>, LogError>;

    /// Joins those who run the processor or sink of that name ([`TaskSpec::name`]): the partitions
    /// of its input are shared out among them.
    ///
    /// # Errors
    /// [`LogError::NoSuchPartition`] where the input has none.
    fn join(&self, name: &'static str, input: Topic) -> Result<Box<dyn Member>, LogError>;
}

/// One of those who share the partitions of an input. Dropped, it leaves: what it still had is
/// given to others.
pub trait Member: Send {
    /// What has changed, waiting up to `wait` for it. To be called again within [`MEMBER_PAUSE`]: a
    /// member that does not is taken for dead.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] where the membership is over: give everything up and join again.
    fn poll(&mut self, wait: Duration) -> Result<Option<Change>, LogError>;

    /// Says that everything is given up, as [`Change::GiveUp`] asked: others may have it.
    ///
    /// # Errors
    /// As [`Member::poll`].
    fn gave_up(&mut self) -> Result<(), LogError>;
}

/// The most a member may take to come back to [`Member::poll`]: giving everything up is in it.
pub const MEMBER_PAUSE: Duration = Duration::from_mins(2);

/// What changes for a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These partitions are to be owned, besides none: they come when all have been given up.
    Take(Vec<Partition>),
    /// Everything is to be given up, and [`Member::gave_up`] called.
    GiveUp,
}

/// Writes records that belong to no task.
pub trait Appender: Send {
    /// Appends the records, all or none, and returns when they are durable: their offsets, in
    /// order.
    ///
    /// # Errors
    /// [`LogError::Unknown`] where they may or may not be there.
    fn append(&mut self, records: Vec<Output>) -> Result<Vec<Offset>, LogError>;
}

/// The owner of a task.
pub trait Task: Send {
    /// Offset of the next input record to read, as of the last commit; 0 before the first.
    fn position(&self) -> Offset;

    /// Gives the newest value of every key of the state, in no order; returns how many there are.
    /// Meanwhile `left` is told now and then how many records are still to be read, and 0 at the
    /// end.
    ///
    /// # Errors
    /// As [`Log::read`].
    fn restore(
        &mut self,
        each: &mut dyn FnMut(Vec<u8>, Vec<u8>),
        left: &mut dyn FnMut(u64),
    ) -> Result<u64, LogError>;

    /// Up to `max` input records from where this owner has read to, waiting up to `wait` for the
    /// first. Reading runs ahead of the committed position.
    ///
    /// # Errors
    /// As [`Log::read`]. After [`LogError::BelowStart`] the owner says so in its outputs and
    /// commits a step whose `next` is the oldest offset; polling goes on there.
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Stored>, LogError>;

    /// Makes a step durable, all of it or nothing; readers see it whole, a moment later at
    /// most. Where `next` is beyond what this
    /// owner has read, reading goes on at `next`.
    ///
    /// # Errors
    /// [`LogError::Fenced`] where a newer owner exists; [`LogError::Unknown`] where the step may or
    /// may not be there: the task must be dropped and owned anew.
    fn commit(&mut self, step: Step) -> Result<(), LogError>;
}
