//! Reading committed records from any offset.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use trunkline_schemas::{Offset, Partition, Record, Stored, Topic};

use super::client::{CALL_MAX, Clients, Meaning, Quiet, meaning, unavailable};
use super::held::Held;
use crate::clock::Elapsed;
use crate::log::LogError;
use crate::registry;

/// A consumer looks around this often while nothing comes.
const WAIT: Duration = Duration::from_millis(100);

/// What `each` says of a record it was given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// More, please.
    On,
    /// It was the last that is wanted.
    Stop,
}

/// A consumer for reads, and where it stands.
pub(super) struct Reader {
    consumer: Held<BaseConsumer<Quiet>>,
    /// Where it has read to and goes on by itself.
    at: Option<(Topic, Partition, Offset)>,
}

impl Reader {
    pub(super) fn new(clients: &Clients) -> Result<Self, LogError> {
        let consumer = clients.reader().create_with_context(Quiet);
        let consumer = consumer.map_err(|error| unavailable("making a consumer", error))?;
        Ok(Self { consumer: Held::new(consumer), at: None })
    }

    /// Whether it stands there.
    pub(super) fn is_at(&self, topic: Topic, partition: Partition, offset: Offset) -> bool {
        self.at == Some((topic, partition, offset))
    }

    /// Gives the records from `from` on, up to the end of the partition, which is not below `end`.
    ///
    /// The end of a partition written in transactions is a marker, not a record: so the end is
    /// reached when the cluster says so, or with the last record before `end`.
    pub(super) fn scan(
        &mut self,
        clients: &Clients,
        (topic, partition): (Topic, Partition),
        (from, end): (Offset, Offset),
        each: &mut dyn FnMut(Stored) -> Go,
    ) -> Result<Scanned, LogError> {
        let failed = |error| unavailable(format!("reading {topic}/{partition}"), error);
        if !self.is_at(topic, partition, from) {
            assign(&self.consumer, &clients.topic(topic), partition, from).map_err(failed)?;
        }
        self.at = None;
        let mut quiet: Option<Elapsed> = None;
        loop {
            // Of many records, hardly one has to be waited for; each look at the clock costs.
            let polled = self.consumer.poll(Duration::ZERO).or_else(|| self.consumer.poll(WAIT));
            match polled {
                Some(Ok(message)) => {
                    quiet = None;
                    let next = message.offset() + 1;
                    if each(stored(topic, partition, &message)) == Go::Stop {
                        self.at = Some((topic, partition, next));
                        return Ok(Scanned::Enough);
                    }
                    if next >= end {
                        break;
                    }
                    continue;
                }
                Some(Err(error)) => match meaning(&error) {
                    Meaning::End => break,
                    Meaning::OutOfRange => return Ok(Scanned::OutOfRange),
                    Meaning::Nowhere => {
                        return Err(LogError::NoSuchPartition { topic, partition });
                    }
                    Meaning::Passing => {}
                    Meaning::Final => return Err(failed(error)),
                },
                None => {}
            }
            if quiet.get_or_insert_with(Elapsed::start).time() > CALL_MAX {
                return Err(failed(KafkaError::NoMessageReceived));
            }
        }
        // An idle consumer would go on asking.
        self.consumer.unassign().map_err(failed)?;
        Ok(Scanned::All)
    }
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// At the end of the partition.
    All,
    /// It was told to stop.
    Enough,
    /// What it wanted is gone.
    OutOfRange,
}

/// Makes a consumer read a partition from an offset on.
pub(super) fn assign(
    consumer: &BaseConsumer<Quiet>,
    topic: &str,
    partition: Partition,
    from: Offset,
) -> Result<(), KafkaError> {
    // A consumer that is not connected yet, or does not know the topic, looks again after half a
    // second only.
    consumer.fetch_metadata(Some(topic), CALL_MAX)?;
    let mut list = TopicPartitionList::with_capacity(1);
    let from = KafkaOffset::Offset(from);
    list.add_partition_offset(topic, i32::try_from(partition).unwrap_or(i32::MAX), from)?;
    consumer.assign(&list)
}

/// A message as the log gives it.
pub(super) fn stored(topic: Topic, partition: Partition, message: &BorrowedMessage<'_>) -> Stored {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let owned = |value: Option<&[u8]>| value.unwrap_or_default().to_vec();
        headers.iter().map(|header| (header.key.to_owned(), owned(header.value))).collect()
    });
    let mut record = Record {
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    };
    registry::inward(&mut record);
    let append_time_ms = message.timestamp().to_millis().unwrap_or_default();
    Stored { topic, partition, offset: message.offset(), append_time_ms, record }
}
