//! The owner of a task: a transactional producer, and a consumer that reads where it is told.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use trunkline_schemas::{Offset, Output, Record, Stored};

use super::aside::Aside;
use super::client::{
    CALL_MAX, Meaning, Quiet, STEP_MAX, TRANSACTION_MAX, meaning, unavailable, unknown,
};
use super::held::Held;
use super::newest::Newest;
use super::noted;
use super::producer::{Deadline, Producer, check_sizes};
use super::reader::{assign, stored};
use super::{Inner, READ_BYTES_MAX, lock, unended};
use crate::clock::Elapsed;
use crate::log::{Bounds, LogError, Step, Task, TaskSpec};

/// How long a new owner waits until the old one is fenced and its open transaction ended.
const TAKE_OVER_MAX: Duration = Duration::from_secs(15);
/// How long a fenced owner asks who has fenced it.
const ASK_MAX: Duration = Duration::from_secs(1);

/// A poll that served an event of the client has seen no record, and there may be one all the same:
/// nobody rings twice for one queue.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The owner of a task.
pub(super) struct Owned {
    inner: Arc<Inner>,
    spec: TaskSpec,
    /// `None` once an outcome is unknown or a newer owner exists.
    hands: Option<Hands>,
    /// This ownership and, where it has ended by one, the newer.
    epochs: (u64, Option<u64>),
    position: Offset,
    read_to: Offset,
    /// Whether the consumer reads at `read_to`.
    is_reading: bool,
}

/// What an owner works with.
struct Hands {
    writes: Arc<Writes>,
    /// Makes steps.
    aside: Aside,
    consumer: Held<BaseConsumer<Quiet>>,
    /// Rung by the consumer when it has something.
    bell: Arc<Bell>,
}

/// What a step is written with.
pub(super) struct Writes {
    pub(super) producer: Producer,
    pub(super) group: ConsumerGroupMetadata,
}

/// Wakes the one who waits for it; rung before, it does not let him wait.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *lock(&self.rung) = true;
        self.heard.notify_one();
    }

    /// Waits until it is rung, or long enough.
    pub(super) fn wait(&self, most: Duration) {
        let waited = self.heard.wait_timeout_while(lock(&self.rung), most, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Why a step did not become what it should.
enum Failure {
    /// Nothing of it can be there.
    Before(LogError),
    /// A newer owner exists.
    Fenced,
    /// It may be there.
    Unknown(&'static str, String),
}

impl Owned {
    /// Fences every older owner, ends its open transaction, and finds out where it had come to:
    /// in this order, so that nothing found out changes any more.
    pub(super) fn new(inner: Arc<Inner>, spec: &TaskSpec) -> Result<Self, LogError> {
        let id = spec.id();
        let failed = |error: KafkaError| unavailable(format!("taking over task {id}"), error);
        let topic = inner.clients.topic(spec.input);
        let config = inner.clients.step_producer(&id);
        let producer = Producer::new(&config, Some(&topic)).map_err(failed)?;
        producer.inner.init_transactions(TAKE_OVER_MAX).map_err(failed)?;
        let config = inner.clients.task_consumer(spec.name);
        let mut consumer: BaseConsumer<Quiet> =
            config.create_with_context(Quiet).map_err(failed)?;
        let bell = Arc::new(Bell::default());
        let rings = Arc::clone(&bell);
        consumer.set_nonempty_callback(move || rings.ring());
        // A member's name, so that the cluster refuses one that is a member no more.
        let group = inner.groups.metadata(spec.name).or_else(|| consumer.group_metadata());
        let group = group.ok_or(KafkaError::Canceled).map_err(failed)?;
        let writes = Arc::new(Writes { producer, group });
        let aside = Aside::new();
        let aside = aside.map_err(|error| unavailable(format!("taking over task {id}"), error))?;
        let asked = || committed(&inner, spec, &consumer, CALL_MAX);
        let left_open = |why: &str| give_up(&inner, (&aside, &writes), spec, why);
        let (position, epoch) = match asked() {
            Err(error) if is_late(&error) => {
                left_open("the cluster does not tell the position")?;
                asked()
            }
            found => found,
        }
        .map_err(|error| unavailable(format!("asking for the position of task {id}"), error))?;
        let noted = noted::read(&inner, spec)?;
        if let (Some(group), Some(state)) = (position, noted)
            && group != state
        {
            left_open(&format!("the group's position is {group}, the state's {state}"))?;
        }
        let position = noted::start(position, noted);
        Ok(Self {
            inner,
            spec: spec.clone(),
            hands: Some(Hands { writes, aside, consumer: Held::new(consumer), bell }),
            epochs: (epoch + 1, None),
            position,
            read_to: position,
            is_reading: false,
        })
    }

    fn fenced(&self) -> LogError {
        let (ours, newest) = self.epochs;
        let newest = newest.unwrap_or(ours + 1);
        LogError::Fenced { task: self.spec.id(), ours, newest }
    }

    fn hands(&self) -> Result<&Hands, LogError> {
        match &self.hands {
            Some(hands) => Ok(hands),
            None if self.epochs.1.is_some() => Err(self.fenced()),
            None => {
                let task = self.spec.id();
                Err(unknown("using a task", format!("{task} must be owned anew")))
            }
        }
    }

    /// Ends this ownership: what its producer was told may still be done, but only under its epoch.
    fn end(&mut self, failure: Failure) -> LogError {
        let Some(hands) = self.hands.take() else { return self.fenced() };
        match failure {
            Failure::Before(error) => error,
            Failure::Fenced => {
                // The newer owner leaves its epoch with its first step; until then it is the next.
                let found = committed(&self.inner, &self.spec, &hands.consumer, ASK_MAX);
                let newest = found.map_or(0, |(_, epoch)| epoch).max(self.epochs.0 + 1);
                self.epochs.1 = Some(newest);
                self.fenced()
            }
            Failure::Unknown(what, why) => {
                unknown(format!("{what} a step of task {}", self.spec.id()), why)
            }
        }
    }

    /// A step's records: its outputs, its changed state as records of the state topic, and behind
    /// them what it notes.
    fn records(&self, step: &mut Step) -> Result<Vec<Output>, LogError> {
        let mut records = std::mem::take(&mut step.outputs);
        let (topic, partition) = (self.spec.state, self.spec.partition);
        let changes = !step.state.is_empty() || step.next != self.position;
        records.extend(step.state.drain(..).map(|(key, value)| Output {
            topic,
            partition,
            record: Record { key, value, headers: Vec::new() },
        }));
        if changes {
            records.push(noted::note(&self.spec, step.next)?);
        }
        Ok(records)
    }

    /// Points the consumer at `read_to`; `false` if there is nothing there yet.
    fn start_reading(&mut self) -> Result<bool, LogError> {
        let (topic, partition) = (self.spec.input, self.spec.partition);
        let Bounds { start, end } = self.inner.bounds(topic, partition)?;
        let asked = self.read_to;
        if asked < start {
            return Err(LogError::BelowStart { topic, partition, asked, oldest: start });
        }
        if asked > end {
            return Ok(false);
        }
        let name = self.inner.clients.topic(topic);
        let assigned = assign(&self.hands()?.consumer, &name, partition, asked);
        assigned.map_err(|error| unavailable(format!("reading {topic}/{partition}"), error))?;
        self.is_reading = true;
        Ok(true)
    }
}

impl Task for Owned {
    fn position(&self) -> Offset {
        self.position
    }

    fn restore(
        &mut self,
        each: &mut dyn FnMut(Vec<u8>, Vec<u8>),
        left: &mut dyn FnMut(u64),
    ) -> Result<u64, LogError> {
        self.hands()?;
        let place = (self.spec.state, self.spec.partition);
        // The end as of now: this owner is the only one who can move it.
        let Bounds { start, end } = self.inner.bounds(place.0, place.1)?;
        let newest = if start < end {
            self.inner.newest(place, (start, end), left)?
        } else {
            Newest::default()
        };
        // In an order that does not differ from run to run, and is that in which they were read:
        // what is freed meanwhile lies together and is used again.
        let mut newest: Vec<_> = newest.into_iter().collect();
        newest.sort_unstable_by_key(|(_, (offset, _))| *offset);
        let given = newest.len() as u64;
        for (key, (_, value)) in newest {
            each(key, value);
        }
        left(0);
        Ok(given)
    }

    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Stored>, LogError> {
        self.hands()?.writes.producer.serve();
        let (topic, partition) = (self.spec.input, self.spec.partition);
        let watch = Elapsed::start();
        let (mut found, mut bytes) = (Vec::new(), 0);
        if !self.is_reading && !self.start_reading()? {
            // Nothing can come; the consumer only serves its events.
            self.hands()?.bell.wait(wait);
            self.hands()?.consumer.poll(Duration::ZERO);
            return Ok(found);
        }
        while found.len() < max && bytes < READ_BYTES_MAX {
            // The client's own waiting spins through the last millisecond of it.
            match self.hands()?.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let stored = stored(topic, partition, &message);
                    bytes += stored.record.size_bytes();
                    found.push(stored);
                }
                Some(Err(error)) => match meaning(&error) {
                    Meaning::OutOfRange => {
                        self.is_reading = false;
                        break;
                    }
                    Meaning::Nowhere => return Err(LogError::NoSuchPartition { topic, partition }),
                    Meaning::End | Meaning::Passing => {}
                    Meaning::Final => {
                        return Err(unavailable(format!("reading {topic}/{partition}"), error));
                    }
                },
                None if !found.is_empty() => break,
                None => {
                    let left = wait.saturating_sub(watch.time());
                    if left.is_zero() {
                        break;
                    }
                    self.hands()?.bell.wait(left.min(LOOK_AGAIN));
                }
            }
        }
        if let Some(last) = found.last() {
            self.read_to = last.offset + 1;
        }
        Ok(found)
    }

    fn commit(&mut self, mut step: Step) -> Result<(), LogError> {
        let records = self.records(&mut step)?;
        check_sizes(&records)?;
        for output in &records {
            self.inner.check(output.topic, output.partition)?;
        }
        let offsets = offsets(&self.inner, &self.spec, step.next, self.epochs.0);
        let hands = self.hands()?;
        let (inner, writes) = (Arc::clone(&self.inner), Arc::clone(&hands.writes));
        let write = move || transact(&inner, &writes, &records, offsets);
        let done = hands.aside.call(TRANSACTION_MAX, write).unwrap_or_else(|| {
            let why = "the Kafka client does not come back; it is left behind";
            Err(Failure::Unknown("committing", why.to_owned()))
        });
        if let Err(failure) = done {
            return Err(self.end(failure));
        }
        self.position = step.next;
        if step.next > self.read_to {
            // A step may leave out input that is gone; reading goes on behind it.
            self.read_to = step.next;
            self.is_reading = false;
        }
        Ok(())
    }
}

/// One step as one transaction.
///
/// The client asks again by itself when a connection is lost, and the lost request may still be
/// carried out late, upon the next transaction: so a loss at any time ends the producer
/// (reliability/KAFKA section 6).
fn transact(
    inner: &Inner,
    writes: &Writes,
    records: &[Output],
    offsets: Result<TopicPartitionList, KafkaError>,
) -> Result<(), Failure> {
    let Writes { producer, group } = writes;
    let deadline = Deadline::after(STEP_MAX);
    let failed = |what, error: KafkaError| {
        if producer.is_fenced(&error) {
            return Failure::Fenced;
        }
        Failure::Unknown(what, error.to_string())
    };
    if let Some(lost) = producer.told().lost {
        return Err(Failure::Before(unavailable("beginning a step", lost)));
    }
    let offsets = offsets.map_err(|error| failed("beginning", error))?;
    producer.inner.begin_transaction().map_err(|error| failed("beginning", error))?;
    for numbered in records.iter().enumerate() {
        let sent = producer.send(&inner.clients, numbered, deadline);
        sent.map_err(|error| failed("sending", error))?;
    }
    // Asked while the records are on their way.
    let added = producer.inner.send_offsets_to_transaction(&offsets, group, deadline.left());
    added.map_err(|error| failed("dating", error))?;
    producer.settle(deadline).map_err(|error| failed("sending", error))?;
    let told = producer.told();
    if let Some(error) = told.failed {
        return Err(failed("sending", error));
    }
    if told.offsets.len() < records.len() {
        return Err(Failure::Unknown("sending", "not every record was acknowledged".to_owned()));
    }
    let committed = producer.inner.commit_transaction(deadline.left());
    committed.map_err(|error| failed("committing", error))?;
    match told.lost.or_else(|| producer.told().lost) {
        Some(lost) => Err(Failure::Unknown("committing", lost)),
        None => Ok(()),
    }
}

fn is_late(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut)
}

/// See [`unended`].
fn give_up(
    inner: &Arc<Inner>,
    (aside, writes): (&Aside, &Arc<Writes>),
    spec: &TaskSpec,
    why: &str,
) -> Result<(), LogError> {
    let id = spec.id();
    tracing::warn!(
        task = id,
        "{why}: should a transaction have been left open, it is given up, and its step is done \
         again"
    );
    let what = || format!("ending what was left open of task {id}");
    let (within, with, of) = (Arc::clone(inner), Arc::clone(writes), spec.clone());
    let ended = aside.call(TRANSACTION_MAX, move || unended::give_up(&within, &with, &of));
    let ended = ended.ok_or_else(|| unavailable(what(), "the Kafka client does not come back"))?;
    ended.map_err(|error| unavailable(what(), error))
}

/// The position of a step, with the epoch of its owner beside it.
pub(super) fn offsets(
    inner: &Inner,
    spec: &TaskSpec,
    next: Offset,
    epoch: u64,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    let partition = i32::try_from(spec.partition).unwrap_or(i32::MAX);
    let mut one = list.add_partition(&inner.clients.topic(spec.input), partition);
    one.set_offset(KafkaOffset::Offset(next))?;
    one.set_metadata(epoch.to_string());
    Ok(list)
}

/// The committed position of a task, none before the first step, and the epoch of the owner who
/// left it.
fn committed(
    inner: &Inner,
    spec: &TaskSpec,
    consumer: &BaseConsumer<Quiet>,
    most: Duration,
) -> Result<(Option<Offset>, u64), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    let partition = i32::try_from(spec.partition).unwrap_or(i32::MAX);
    list.add_partition(&inner.clients.topic(spec.input), partition);
    let found = consumer.committed_offsets(list, most)?;
    let one = found.elements().into_iter().next().ok_or(KafkaError::Canceled)?;
    one.error()?;
    let KafkaOffset::Offset(position) = one.offset() else { return Ok((None, 0)) };
    Ok((Some(position), one.metadata().parse().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::producer::DefaultProducerContext;
    use trunkline_schemas::topics::{RAW_TLIB, STATE_CONVERSATION};

    use super::*;
    use crate::log::kafka::KafkaConfig;

    const SPEC: TaskSpec =
        TaskSpec { name: "conversation", input: RAW_TLIB, partition: 0, state: STATE_CONVERSATION };

    /// The broker that leads the topics and coordinates the group, and another for transactions.
    const HERE: [i32; 2] = [1, 2];
    /// The broker that was never there.
    const AWAY: i32 = 3;

    /// A cluster that the library plays, and what reaches it.
    fn cluster() -> (MockCluster<'static, DefaultProducerContext>, Arc<Inner>) {
        let cluster = MockCluster::new(3).expect("a cluster of the library");
        let brokers = cluster.bootstrap_servers().split(',').map(str::to_owned).collect::<Vec<_>>();
        cluster.broker_down(AWAY).expect("it is away");
        let brokers = brokers.into_iter().take(HERE.len()).collect();
        let config = KafkaConfig { brokers, ..KafkaConfig::default() };
        let inner = Arc::new(Inner::new(&config).expect("clients"));
        for topic in [SPEC.input, SPEC.state] {
            let name = inner.clients.topic(topic);
            cluster.create_topic(&name, 1, 1).expect("a topic");
            cluster.partition_leader(&name, 0, Some(HERE[0])).expect("a leader");
            lock(&inner.partitions).insert(topic, 1);
        }
        let transactions = MockCoordinator::Transaction("trunkline-conversation-0".to_owned());
        cluster.coordinator(transactions, HERE[1]).expect("a coordinator");
        coordinate_group(&cluster, HERE[0]);
        (cluster, inner)
    }

    fn coordinate_group(cluster: &MockCluster<'_, DefaultProducerContext>, broker: i32) {
        let group = MockCoordinator::Group("trunkline.conversation".to_owned());
        cluster.coordinator(group, broker).expect("a coordinator");
    }

    fn step(next: Offset) -> Step {
        let state = vec![(b"key".to_vec(), Some(next.to_be_bytes().to_vec()))];
        Step { state, next, ..Step::default() }
    }

    /// With the client's own wait for the position, which has no end, this test has none.
    #[test]
    fn a_coordinator_that_is_away_costs_a_step_and_not_the_task() {
        let (cluster, inner) = cluster();
        let mut task = Owned::new(Arc::clone(&inner), &SPEC).expect("it is owned");
        // Its producer asks who coordinates the group with its first step only, and then waits for
        // a connection.
        coordinate_group(&cluster, AWAY);
        for why in ["the Kafka client does not come back", "must be owned anew"] {
            let lost = task.commit(step(1)).expect_err("nobody can keep the position");
            assert!(matches!(lost, LogError::Unknown { .. }), "{lost:?}");
            assert!(format!("{lost:?}").contains(why), "{lost:?}");
        }
        drop(task);

        coordinate_group(&cluster, HERE[0]);
        let mut task = Owned::new(inner, &SPEC).expect("it is owned anew");
        task.commit(step(1)).expect("the step is made again");
    }

    #[test]
    fn what_was_left_open_is_given_up_in_every_partition_a_step_may_have_written() {
        let (_cluster, inner) = cluster();
        let mut task = Owned::new(Arc::clone(&inner), &SPEC).expect("it is owned");
        task.commit(step(1)).expect("a step");
        let ends = || [SPEC.input, SPEC.state].map(|it| inner.bounds(it, 0).expect("it is").end);
        let before = ends();
        let hands = task.hands().expect("it is owned");
        give_up(&inner, (&hands.aside, &hands.writes), &SPEC, "a test").expect("it is given up");
        for (before, after) in before.into_iter().zip(ends()) {
            assert!(after > before, "a record that is not to be read, and the mark");
        }
        task.commit(step(2)).expect("the task goes on");
    }
}
