//! The log on Apache Kafka, for several processes (DESIGN section 7).
//!
//! - `client`: settings of every client, names, what errors mean.
//! - `admin`: topics are made and checked; brokers are checked.
//! - `producer`: sending, and waiting for what becomes of it.
//! - `reader`: committed records from any offset.
//! - `appender`, `task`: the handles.
//! - `member`: partitions shared among processes.
//! - `unended`: transactions that the cluster has forgotten to end.
//! - `noted`: the position of a task as its state knows it.
//! - `foreign`: a topic of another cluster, which others write.
//! - `held`, `aside`: the end of a client and the making of a step, which are not waited for for
//!   ever.
//!
//! | promise | how |
//! |---|---|
//! | durable appends | an idempotent producer, `acks=all`, each record's report awaited |
//! | atomic steps | one transaction with the position in it; all read `read_committed` |
//! | one owner | its producer is named after the task: a new one fences the old |
//! | a step that is torn | its position is noted beside its state: the earlier one counts |
//! | unknown outcomes | producer and task are dropped; a new epoch shuts the old one out |
//!
//! The end of a partition is its last stable offset. All calls block; none may be made on a thread
//! that serves other tasks of an asynchronous runtime.

mod admin;
mod appender;
mod aside;
mod client;
pub mod foreign;
mod held;
mod member;
mod newest;
mod noted;
mod producer;
mod reader;
mod task;
mod unended;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataBroker};
use trunkline_schemas::topics::RAW_TLIB;
use trunkline_schemas::{Offset, Partition, Stored, Topic};

use self::admin::Admin;
use self::client::{CALL_MAX, Clients, Meaning, Quiet, meaning, unavailable};
use self::held::Held;
use self::member::Groups;
use self::producer::{Deadline, Producer};
use self::reader::{Go, Reader, Scanned};
use super::{Appender, Bounds, Lack, Layout, Log, LogError, Member, Task, TaskSpec, lack};
use crate::registry::SchemaIds;

/// Bytes of records one read or poll gives, and one record more.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Consumers kept for the next read.
const IDLE_READERS_MAX: usize = 4;
/// Producers kept for the next appender.
const IDLE_PRODUCERS_MAX: usize = 4;
/// How long one asking for bounds may take: the leader may be gone, and another be there.
const ASK_MAX: Duration = Duration::from_secs(2);
/// A cluster that does not answer for so long is away.
const REACH_MAX: Duration = Duration::from_secs(5);
/// Between two looks at whether a topic is there, or has a leader.
const LOOK: Duration = Duration::from_millis(20);

/// How to reach a cluster, and what is kept there.
#[derive(Clone, Default)]
pub struct KafkaConfig {
    /// Some of its brokers, `host:port`.
    pub brokers: Vec<String>,
    /// Settings of the client for the connection (security, time-outs), by the names of librdkafka.
    /// Those the promises of the log rest on are refused.
    pub settings: BTreeMap<String, String>,
    /// Before the name of every topic, group and transaction; usually empty.
    pub prefix: String,
    /// Copies of each record in topics that are created; `None`: the cluster's own default.
    pub replication: Option<u16>,
    /// Ids of schemas in a registry, with which records are written.
    pub ids: SchemaIds,
}

impl fmt::Debug for KafkaConfig {
    /// Values of settings are left out: there may be a password among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("settings", &self.settings.keys())
            .field("prefix", &self.prefix)
            .field("replication", &self.replication)
            .finish_non_exhaustive()
    }
}

/// Checks a setting of the client alone: its name, its value, and that it is not Trunkline's own.
///
/// # Errors
/// What is wrong with it, without its value.
pub fn check_setting(name: &str, value: &str) -> Result<(), &'static str> {
    client::check_setting(name, value)
}

/// The log on a Kafka cluster.
pub struct Kafka(Arc<Inner>);

/// What all handles share.
struct Inner {
    clients: Clients,
    replication: Option<u16>,
    /// Asks for metadata and bounds; reads nothing. One that answers nonsense is replaced.
    asker: Mutex<Arc<Asker>>,
    /// Partitions of the topics that are known to exist.
    partitions: Mutex<BTreeMap<Topic, u32>>,
    readers: Pool<Reader>,
    producers: Pool<Producer>,
    groups: Groups,
}

/// A consumer that only asks.
type Asker = Held<BaseConsumer<Quiet>>;

impl Kafka {
    /// Connects to a cluster and checks its brokers.
    ///
    /// # Errors
    /// [`LogError::Refused`] where a setting is not ours to take or a broker does not verify
    /// transactions, [`LogError::Unavailable`] where the cluster cannot be reached within 10 s.
    pub fn open(config: &KafkaConfig) -> Result<Arc<Self>, LogError> {
        let inner = Inner::new(config)?;
        let metadata = inner.metadata()?;
        let brokers: Vec<_> = metadata.brokers().iter().map(MetadataBroker::id).collect();
        if brokers.is_empty() {
            return Err(unavailable("reading the brokers of the cluster", "it names none"));
        }
        Admin::new(&inner.clients)?.check_brokers(&brokers)?;
        Ok(Arc::new(Self(Arc::new(inner))))
    }

    /// Deletes every topic of the catalogue under the prefix: for rehearsals, which leave nothing
    /// behind.
    ///
    /// # Errors
    /// [`LogError::Refused`] where there is no prefix, [`LogError::Unavailable`].
    pub fn remove_topics(&self) -> Result<(), LogError> {
        if !self.0.clients.has_prefix() {
            return Err(LogError::Refused { what: "deleting topics without a prefix".to_owned() });
        }
        let topics: Vec<_> = self.layouts()?.iter().map(|layout| layout.topic).collect();
        Admin::new(&self.0.clients)?.delete(&topics)
    }
}

impl Log for Kafka {
    fn ensure(&self, layouts: &[Layout]) -> Result<(), LogError> {
        let found = self.0.found()?;
        let (mut missing, mut short) = (Vec::new(), Vec::new());
        for layout in layouts {
            match lack(*layout, found.get(&layout.topic).copied())? {
                Lack::Topic => missing.push(*layout),
                Lack::Partitions => short.push(*layout),
                Lack::Nothing => {}
            }
        }
        let admin = Admin::new(&self.0.clients)?;
        if !short.is_empty() {
            // A topic that will be refused is left as it is.
            let topics: Vec<_> = short.iter().map(|layout| layout.topic).collect();
            admin.check_policies(&topics)?;
            admin.grow(&short)?;
            // Those that are kept know of the old ones only.
            self.0.readers.clear();
            self.0.producers.clear();
        }
        if !missing.is_empty() {
            admin.create(&missing, self.0.replication)?;
        }
        missing.append(&mut short);
        self.0.wait_for(&missing)?;
        let topics: Vec<_> = layouts.iter().map(|layout| layout.topic).collect();
        admin.check_policies(&topics)
    }

    fn reach(&self) -> Result<(), LogError> {
        // Any broker knows, and one topic is less than all.
        let topic = self.0.clients.topic(RAW_TLIB);
        let asked = self.0.asker().fetch_metadata(Some(&topic), REACH_MAX);
        let brokers = || format!("reaching Kafka at {}", self.0.clients.brokers());
        asked.map(drop).map_err(|error| unavailable(brokers(), error))
    }

    fn layouts(&self) -> Result<Vec<Layout>, LogError> {
        let found = self.0.found()?.into_iter();
        Ok(found.map(|(topic, partitions)| Layout { topic, partitions }).collect())
    }

    fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        self.0.check(topic, partition)?;
        self.0.bounds(topic, partition)
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        let Bounds { start, end } = self.bounds(topic, partition)?;
        if from < start {
            return Err(LogError::BelowStart { topic, partition, asked: from, oldest: start });
        }
        let (mut found, mut bytes) = (Vec::new(), 0);
        if from >= end || max == 0 {
            return Ok(found);
        }
        let scanned = self.0.scan((topic, partition), (from, end), &mut |stored| {
            if noted::is_note(topic, &stored.record.key) {
                return Go::On;
            }
            bytes += stored.record.size_bytes();
            found.push(stored);
            if found.len() < max && bytes < READ_BYTES_MAX { Go::On } else { Go::Stop }
        })?;
        if scanned == Scanned::OutOfRange && found.is_empty() {
            // Forgotten between the two questions.
            let oldest = self.bounds(topic, partition)?.start;
            return Err(LogError::BelowStart { topic, partition, asked: from, oldest });
        }
        Ok(found)
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(appender::Writer::new(Arc::clone(&self.0))?))
    }

    fn own(&self, spec: &TaskSpec) -> Result<Box<dyn Task>, LogError> {
        for topic in [spec.input, spec.state] {
            self.0.check(topic, spec.partition)?;
        }
        Ok(Box::new(task::Owned::new(Arc::clone(&self.0), spec)?))
    }

    fn join(&self, name: &'static str, input: Topic) -> Result<Box<dyn Member>, LogError> {
        self.0.check(input, 0)?;
        Ok(Box::new(member::Shared::new(&self.0.clients, &self.0.groups, name, input)?))
    }
}

impl Inner {
    fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let clients = Clients::new(config)?;
        let asker = Mutex::new(Arc::new(new_asker(&clients)?));
        Ok(Self {
            clients,
            replication: config.replication,
            asker,
            partitions: Mutex::default(),
            readers: Pool::new(IDLE_READERS_MAX),
            producers: Pool::new(IDLE_PRODUCERS_MAX),
            groups: Groups::default(),
        })
    }

    fn asker(&self) -> Arc<Asker> {
        Arc::clone(&*lock(&self.asker))
    }

    fn metadata(&self) -> Result<Metadata, LogError> {
        let metadata = self.asker().fetch_metadata(None, CALL_MAX);
        metadata.map_err(|error| unavailable("reading the topics of the cluster", error))
    }

    /// The topics there are, with all their partitions led by somebody.
    fn found(&self) -> Result<BTreeMap<Topic, u32>, LogError> {
        let metadata = self.metadata()?;
        let topics = metadata.topics().iter().filter(|topic| {
            let is_led = topic.partitions().iter().all(|partition| partition.leader() >= 0);
            topic.error().is_none() && is_led
        });
        let known = topics.filter_map(|topic| {
            let count = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
            Some((self.clients.known(topic.name())?, count))
        });
        let found: BTreeMap<_, _> = known.collect();
        lock(&self.partitions).clone_from(&found);
        Ok(found)
    }

    /// Waits until topics that were created, and partitions that were added, are known to the
    /// brokers; nothing tells of it.
    fn wait_for(&self, layouts: &[Layout]) -> Result<(), LogError> {
        let deadline = Deadline::after(CALL_MAX);
        loop {
            let found = self.found()?;
            let mut missing = None;
            for layout in layouts {
                // Somebody else may have created it meanwhile, otherwise.
                let lack = lack(*layout, found.get(&layout.topic).copied())?;
                missing = missing.or((lack != Lack::Nothing).then_some(layout.topic));
            }
            let Some(topic) = missing else { return Ok(()) };
            if deadline.is_over() {
                return Err(unavailable(format!("creating topic {topic}"), "it does not appear"));
            }
            thread::park_timeout(LOOK);
        }
    }

    /// Refuses a partition that is not there. Another process may have added it since.
    fn check(&self, topic: Topic, partition: Partition) -> Result<(), LogError> {
        let cached = lock(&self.partitions).get(&topic).copied();
        let count = match cached {
            Some(count) if partition < count => Some(count),
            Some(_) | None => self.found()?.get(&topic).copied(),
        };
        if partition < count.unwrap_or(0) {
            return Ok(());
        }
        Err(LogError::NoSuchPartition { topic, partition })
    }

    fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, LogError> {
        let name = self.clients.topic(topic);
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let deadline = Deadline::after(CALL_MAX);
        let asked = |again| {
            let asker = self.asker();
            let most = deadline.left().min(ASK_MAX);
            if again {
                // It sends the question to the leader it knows, dead or not.
                asker.fetch_metadata(Some(&name), most)?;
            }
            let (start, end) = asker.fetch_watermarks(&name, number, most)?;
            Ok(Bounds { start, end: end.max(start) })
        };
        loop {
            match patiently(deadline, asked) {
                // A client that lost its brokers at the wrong moment may believe for ever that a
                // partition is not there. A new one is asked whether that is so.
                Err(error) if meaning(&error) == Meaning::Nowhere && !deadline.is_over() => {
                    let asker = Arc::new(new_asker(&self.clients)?);
                    // The old one ends when nobody holds the lock.
                    let _old = std::mem::replace(&mut *lock(&self.asker), asker);
                    let count = self.found()?.get(&topic).copied();
                    if count.is_some_and(|count| partition >= count) {
                        return Err(LogError::NoSuchPartition { topic, partition });
                    }
                    thread::park_timeout(LOOK);
                }
                Err(error) if meaning(&error) == Meaning::Nowhere => {
                    return Err(LogError::NoSuchPartition { topic, partition });
                }
                answer => {
                    let what = || format!("reading the bounds of {topic}/{partition}");
                    return answer.map_err(|error| unavailable(what(), error));
                }
            }
        }
    }

    /// See [`Reader::scan`].
    fn scan(
        &self,
        place: (Topic, Partition),
        range: (Offset, Offset),
        each: &mut dyn FnMut(Stored) -> Go,
    ) -> Result<Scanned, LogError> {
        let (topic, partition) = place;
        let idle = self.readers.take(|reader| reader.is_at(topic, partition, range.0));
        let idle = idle.or_else(|| self.readers.take(|_| true));
        let mut reader = idle.map_or_else(|| Reader::new(&self.clients), Ok)?;
        let scanned = reader.scan(&self.clients, place, range, each)?;
        self.readers.give(reader);
        Ok(scanned)
    }
}

fn new_asker(clients: &Clients) -> Result<Asker, LogError> {
    let asker = clients.reader().create_with_context(Quiet);
    asker.map(Held::new).map_err(|error| unavailable("making a consumer", error))
}

/// Asks until there is an answer. A topic that was just created, or that changes its leader, is
/// answered by nobody for a moment. `ask` is told whether it asks again.
fn patiently<T>(
    deadline: Deadline,
    mut ask: impl FnMut(bool) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let mut again = false;
    loop {
        match ask(again) {
            Err(error) if meaning(&error) == Meaning::Passing && !deadline.is_over() => {
                thread::park_timeout(LOOK);
                again = true;
            }
            answer => return answer,
        }
    }
}

/// Things that are dear to make, kept for the next who needs one.
struct Pool<T> {
    idle: Mutex<Vec<T>>,
    most: usize,
}

impl<T> Pool<T> {
    fn new(most: usize) -> Self {
        Self { idle: Mutex::default(), most }
    }

    fn take(&self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let mut idle = lock(&self.idle);
        let found = idle.iter().position(fits)?;
        Some(idle.swap_remove(found))
    }

    fn clear(&self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        drop(idle); // where nobody waits for the lock
    }

    fn give(&self, one: T) {
        let mut idle = lock(&self.idle);
        if idle.len() < self.most {
            idle.push(one);
        }
    }
}

// A panic elsewhere leaves nothing half done behind these locks: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_what_fits_and_no_more_than_it_may() {
        let pool = Pool::new(2);
        for one in [1, 2, 3] {
            pool.give(one);
        }
        assert_eq!(pool.take(|one| *one == 3), None, "a third is not kept");
        assert_eq!(pool.take(|one| *one == 2), Some(2));
        pool.give(4);
        pool.clear();
        assert_eq!(pool.take(|_| true), None, "it is empty");
        pool.give(1);
        assert_eq!(pool.take(|_| true), Some(1));
        assert_eq!(pool.take(|_| true), None);
    }

    #[test]
    fn a_question_is_asked_again_while_nobody_can_answer() {
        use rdkafka::error::RDKafkaErrorCode as Code;
        // errors before the answer, within, asked so many times, answered
        let (moment, long) = (Duration::ZERO, Duration::from_mins(1));
        for (errors, within, times, answered) in [
            (vec![], long, 1, true),
            (vec![Code::NotLeaderForPartition, Code::LeaderNotAvailable], long, 3, true),
            (vec![Code::NotLeaderForPartition], moment, 1, false),
            (vec![Code::TopicAuthorizationFailed], long, 1, false),
        ] {
            let (mut left, mut asked) = (errors.iter(), 0);
            let answer = patiently(Deadline::after(within), |again| {
                assert_eq!(again, asked > 0);
                asked += 1;
                left.next().map_or(Ok(()), |code| Err(KafkaError::MetadataFetch(*code)))
            });
            assert_eq!((asked, answer.is_ok()), (times, answered), "{errors:?}");
        }
    }

    #[test]
    fn what_is_shown_of_a_configuration_has_no_secret() {
        let settings = [("sasl.password".to_owned(), "tell-nobody".to_owned())];
        let config = KafkaConfig { settings: settings.into(), ..KafkaConfig::default() };
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("tell-nobody"), "{shown}");
    }
}
