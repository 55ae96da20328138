//! Membership in a consumer group, which shares out partitions and reads nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use trunkline_schemas::{Partition, Topic};

use super::client::{Clients, Meaning, log_line, meaning, unavailable};
use super::held::Held;
use super::lock;
use crate::clock::Elapsed;
use crate::log::{Change, LogError, Member};

/// How long a member may wait for its group to share out. An only broker that was killed and is
/// back takes half as long, members that are gone a tenth; but the library may wait for ever for a
/// broker that it has lost at the wrong moment, and a new member does not.
const SHARE_MAX: Duration = Duration::from_mins(1);

/// The groups this process is a member of: a step says in whose name it moves the position.
#[derive(Default)]
pub(super) struct Groups(Mutex<BTreeMap<&'static str, Weak<Asked>>>);

type Asked = Held<BaseConsumer<Shares>>;

impl Groups {
    /// The membership of this process as it is now; `None` where it has none.
    pub(super) fn metadata(&self, name: &str) -> Option<ConsumerGroupMetadata> {
        let member = lock(&self.0).get(name).and_then(Weak::upgrade)?;
        member.group_metadata()
    }
}

/// A member.
pub(super) struct Shared {
    consumer: Arc<Asked>,
    name: &'static str,
    topic: String,
    input: Topic,
    /// Since when the group owes an answer, and how long it may.
    owed: Option<Elapsed>,
    patience: Duration,
}

impl Shared {
    pub(super) fn new(
        clients: &Clients,
        groups: &Groups,
        name: &'static str,
        input: Topic,
    ) -> Result<Self, LogError> {
        let failed = |error| unavailable(format!("joining the group of {name}"), error);
        let topic = clients.topic(input);
        let consumer = clients.member(name).create_with_context(Shares::default());
        let consumer: BaseConsumer<Shares> = consumer.map_err(failed)?;
        consumer.subscribe(&[&topic]).map_err(failed)?;
        let consumer = Arc::new(Held::new(consumer));
        lock(&groups.0).insert(name, Arc::downgrade(&consumer));
        let owed = Some(Elapsed::start());
        Ok(Self { consumer, name, topic, input, owed, patience: SHARE_MAX })
    }

    /// Takes what the group gives, and reads nothing of it: tasks read for themselves.
    fn take(&self, partitions: &[Partition]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let number = i32::try_from(*partition).unwrap_or(i32::MAX);
            list.add_partition_offset(&self.topic, number, KafkaOffset::End)?;
        }
        self.consumer.assign(&list)?;
        self.consumer.pause(&list)
    }
}

impl Member for Shared {
    fn poll(&mut self, wait: Duration) -> Result<Option<Change>, LogError> {
        let failed = |error| unavailable(format!("being in the group of {}", self.name), error);
        match self.consumer.poll(wait) {
            None | Some(Ok(_)) => {}
            Some(Err(error)) => match meaning(&error) {
                Meaning::End | Meaning::OutOfRange | Meaning::Passing => {}
                Meaning::Nowhere => {
                    let (topic, partition) = (self.input, 0);
                    return Err(LogError::NoSuchPartition { topic, partition });
                }
                Meaning::Final => return Err(failed(error)),
            },
        }
        let change = lock(&self.consumer.context().told).take();
        match &change {
            Some(Change::Take(partitions)) => {
                self.take(partitions).map_err(failed)?;
                self.owed = None;
            }
            Some(Change::GiveUp) => self.owed = None,
            None if self.owed.as_ref().is_some_and(|owed| owed.time() >= self.patience) => {
                let seconds = self.patience.as_secs();
                let what = format!("being in the group of {}", self.name);
                return Err(unavailable(what, format!("nothing was shared out for {seconds} s")));
            }
            None => {}
        }
        Ok(change)
    }

    fn gave_up(&mut self) -> Result<(), LogError> {
        self.owed = Some(Elapsed::start());
        let given = self.consumer.unassign();
        given.map_err(|error| unavailable(format!("giving up tasks of {}", self.name), error))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The client asks once more before it leaves, and waits for the answer; it may have asked
        // already.
        self.consumer.context().leaves.store(true, Ordering::Release);
        if let Err(error) = self.consumer.unassign() {
            tracing::warn!(%error, name = self.name, "leaving a consumer group");
        }
    }
}

/// What the group has said and nobody has heard yet. The client waits for the answer of the last:
/// there is never more than one.
#[derive(Default)]
pub(super) struct Shares {
    told: Mutex<Option<Change>>,
    leaves: AtomicBool,
}

impl ClientContext for Shares {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka member");
    }
}

impl ConsumerContext for Shares {
    /// Notes what is asked; [`Member::poll`] and [`Member::gave_up`] answer it, outside the
    /// callback: giving up takes its time.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if self.leaves.load(Ordering::Acquire) {
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "leaving a consumer group");
            }
            return;
        }
        let change = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let elements = list.elements();
            let mut partitions: Vec<Partition> = elements
                .iter()
                .filter_map(|one| Partition::try_from(one.partition()).ok())
                .collect();
            partitions.sort_unstable();
            Change::Take(partitions)
        } else {
            Change::GiveUp
        };
        *lock(&self.told) = Some(change);
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use trunkline_schemas::topics::RAW_TLIB;

    use super::*;
    use crate::log::kafka::KafkaConfig;

    /// A cluster that the library plays, in which one of two brokers coordinates the group; the
    /// second was never there.
    fn member(coordinator: i32) -> (impl Sized, Shared) {
        let cluster = MockCluster::new(2).expect("a cluster of the library");
        let first = cluster.bootstrap_servers().split(',').take(1).map(str::to_owned).collect();
        let config = KafkaConfig { brokers: first, ..KafkaConfig::default() };
        let clients = Clients::new(&config).expect("clients");
        let topic = clients.topic(RAW_TLIB);
        cluster.create_topic(&topic, 1, 1).expect("a topic");
        cluster.partition_leader(&topic, 0, Some(1)).expect("a leader");
        cluster.broker_down(2).expect("it is away");
        let group = MockCoordinator::Group("trunkline.conversation".to_owned());
        cluster.coordinator(group, coordinator).expect("a coordinator");
        let member = Shared::new(&clients, &Groups::default(), "conversation", RAW_TLIB);
        (cluster, member.expect("a member"))
    }

    fn hear(member: &mut Shared) -> Result<Change, LogError> {
        loop {
            if let Some(change) = member.poll(Duration::from_millis(5))? {
                return Ok(change);
            }
        }
    }

    #[test]
    fn a_member_whom_nobody_answers_is_over() {
        let (_cluster, mut member) = member(2);
        member.patience = Duration::from_millis(200);
        let heard = hear(&mut member);
        let Err(LogError::Unavailable { what, .. }) = heard else { panic!("{heard:?}") };
        assert_eq!(what, "being in the group of conversation");
    }

    #[test]
    fn a_member_that_has_its_share_is_owed_nothing_until_it_gives_up() {
        let (_cluster, mut member) = member(1);
        assert_eq!(hear(&mut member).expect("an answer"), Change::Take(vec![0]));
        member.patience = Duration::ZERO;
        assert_eq!(member.poll(Duration::from_millis(5)).expect("its share is its own"), None);
        member.gave_up().expect("it is given up");
        let heard = hear(&mut member);
        assert!(matches!(heard, Err(LogError::Unavailable { .. })), "{heard:?}");
    }
}
