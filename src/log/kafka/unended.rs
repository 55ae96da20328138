//! Transactions that the cluster has forgotten to end.
//!
//! A cluster that starts as a whole loads what transactions are to be ended before it knows who
//! leads their partitions, and then takes them for ended although no partition has been told (seen
//! with Apache Kafka 4.3.1, whose only broker was killed between the decision and the marks). They
//! stay open for ever, and whoever asks for a position within waits as long. Partitions know
//! producers by number, and a task's has the same in every life: its next mark ends them.

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use trunkline_schemas::{Output, Record};

use super::client::STEP_MAX;
use super::producer::Deadline;
use super::task::{Writes, offsets};
use super::{Inner, lock};
use crate::log::TaskSpec;

/// Gives up what older lives of a task have left open, wherever it may be: the step is done again.
/// Nothing else is changed.
///
/// # Errors
/// The cluster is away, or a newer owner exists.
pub(super) fn give_up(inner: &Inner, writes: &Writes, spec: &TaskSpec) -> Result<(), KafkaError> {
    let Writes { producer, group } = writes;
    let deadline = Deadline::after(STEP_MAX);
    producer.inner.begin_transaction()?;
    // Raw topics too: processors relay facts to each other there.
    let known = lock(&inner.partitions).clone().into_iter();
    let places = known.flat_map(|(topic, count)| (0..count).map(move |one| (topic, one)));
    for (number, (topic, partition)) in places.enumerate() {
        let key = spec.id().into_bytes();
        let record = Record { key, value: None, headers: Vec::new() };
        producer.send(&inner.clients, (number, &Output { topic, partition, record }), deadline)?;
    }
    let position = offsets(inner, spec, 0, 0)?;
    producer.inner.send_offsets_to_transaction(&position, group, deadline.left())?;
    producer.settle(deadline)?;
    producer.inner.abort_transaction(deadline.left())?;
    producer.told();
    Ok(())
}
