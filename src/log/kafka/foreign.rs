//! A topic of another cluster, which others write: read whole, from positions that are kept here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use trunkline_schemas::{Offset, Partition};

use super::client::{CALL_MAX, Clients, Meaning, Quiet, meaning, unavailable};
use super::task::Bell;
use super::{KafkaConfig, READ_BYTES_MAX};
use crate::clock::Elapsed;
use crate::log::{Bounds, LogError};

/// Records are looked for this often though no bell rings.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A topic of another cluster.
pub struct ForeignTopic {
    consumer: BaseConsumer<Quiet>,
    bell: Arc<Bell>,
    name: String,
}

/// A record of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRecord {
    /// Its partition.
    pub partition: Partition,
    /// Its place there.
    pub offset: Offset,
    /// Its time stamp, milliseconds since 1970; of a record without one, `None`.
    pub time_ms: Option<i64>,
    /// Its value; of a tombstone, empty.
    pub value: Vec<u8>,
}

impl ForeignTopic {
    /// Makes a client; it connects when it is asked something.
    ///
    /// # Errors
    /// [`LogError::Refused`] for a setting that is not the caller's to give.
    pub fn open(config: &KafkaConfig, name: &str) -> Result<Self, LogError> {
        let settings = Clients::new(config)?.task_consumer(name);
        let mut consumer: BaseConsumer<Quiet> = settings
            .create_with_context(Quiet)
            .map_err(|error| unavailable("making a consumer", error))?;
        let bell = Arc::new(Bell::default());
        let rings = Arc::clone(&bell);
        consumer.set_nonempty_callback(move || rings.ring());
        Ok(Self { consumer, bell, name: name.to_owned() })
    }

    /// The partitions there are.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] where the cluster does not answer or has no such topic.
    pub fn partitions(&self) -> Result<Vec<Partition>, LogError> {
        let asking = || format!("reading the partitions of {}", self.name);
        let metadata = self.consumer.fetch_metadata(Some(&self.name), CALL_MAX);
        let metadata = metadata.map_err(|error| unavailable(asking(), error))?;
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let found = topics.filter(|topic| topic.name() == self.name).flat_map(|topic| {
            topic.partitions().iter().filter_map(|one| Partition::try_from(one.id()).ok())
        });
        let mut found: Vec<Partition> = found.collect();
        found.sort_unstable();
        if found.is_empty() {
            return Err(unavailable(asking(), "the cluster has no such topic"));
        }
        Ok(found)
    }

    /// The records a partition has.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] where the cluster does not answer.
    pub fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        let asked = self.consumer.fetch_watermarks(&self.name, number(partition), CALL_MAX);
        let (start, end) = asked.map_err(|error| {
            unavailable(format!("reading the bounds of {}/{partition}", self.name), error)
        })?;
        Ok(Bounds { start, end: end.max(start) })
    }

    /// Reads from these offsets on.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] where the client cannot.
    pub fn read_from(&self, from: &BTreeMap<Partition, Offset>) -> Result<(), LogError> {
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (partition, offset) in from {
            let offset = KafkaOffset::Offset(*offset);
            list.add_partition_offset(&self.name, number(*partition), offset)
                .map_err(|error| unavailable(format!("reading {}", self.name), error))?;
        }
        let assigned = self.consumer.assign(&list);
        assigned.map_err(|error| unavailable(format!("reading {}", self.name), error))
    }

    /// The next records, at most `max`; none if nothing comes within `wait`.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] where reading cannot go on, or an offset is not there any more:
    /// the caller opens the topic anew.
    pub fn poll(&self, max: usize, wait: Duration) -> Result<Vec<ForeignRecord>, LogError> {
        let watch = Elapsed::start();
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < max && bytes < READ_BYTES_MAX {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default().to_vec();
                    bytes += value.len();
                    found.push(ForeignRecord {
                        partition: Partition::try_from(message.partition()).unwrap_or_default(),
                        offset: message.offset(),
                        time_ms: message.timestamp().to_millis(),
                        value,
                    });
                }
                Some(Err(error)) => match meaning(&error) {
                    Meaning::End | Meaning::Passing => {}
                    Meaning::OutOfRange | Meaning::Nowhere | Meaning::Final => {
                        return Err(unavailable(format!("reading {}", self.name), error));
                    }
                },
                None if !found.is_empty() => break,
                None => {
                    let left = wait.saturating_sub(watch.time());
                    if left.is_zero() {
                        break;
                    }
                    self.bell.wait(left.min(LOOK_AGAIN));
                }
            }
        }
        Ok(found)
    }
}

fn number(partition: Partition) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
