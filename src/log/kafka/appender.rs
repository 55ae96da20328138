//! Appends that belong to no task.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::error::KafkaError;
use trunkline_schemas::topics::Policy;
use trunkline_schemas::{Offset, Output};

use super::Inner;
use super::client::{APPEND_MAX, unavailable, unknown};
use super::producer::{Deadline, Producer, check_sizes};
use crate::log::{Appender, LogError};

/// Writes records through a producer that it has for itself while it lives.
///
/// Records of compacted topics say how far other records have come (a bridge's position): they are
/// sent when all the others are durable, so that an append that was cut off never has them alone.
pub(super) struct Writer {
    inner: Arc<Inner>,
    /// `None` after a failure: what the old one was told may be done late, or never.
    producer: Option<Producer>,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>) -> Result<Self, LogError> {
        let idle = inner.producers.take(|producer| !producer.is_dead());
        let producer = idle.map_or_else(|| make(&inner), Ok)?;
        Ok(Self { inner, producer: Some(producer) })
    }
}

impl Appender for Writer {
    fn append(&mut self, records: Vec<Output>) -> Result<Vec<Offset>, LogError> {
        check_sizes(&records)?;
        for output in &records {
            self.inner.check(output.topic, output.partition)?;
        }
        let producer = self.producer.take().map_or_else(|| make(&self.inner), Ok)?;
        let offsets = deliver(&self.inner, &producer, &records)
            .map_err(|error| unknown("appending records", error))?;
        self.producer = Some(producer);
        Ok(offsets)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            self.inner.producers.give(producer);
        }
    }
}

fn make(inner: &Inner) -> Result<Producer, LogError> {
    let config = inner.clients.append_producer();
    Producer::new(&config, None).map_err(|error| unavailable("making a producer", error))
}

fn deliver(
    inner: &Inner,
    producer: &Producer,
    records: &[Output],
) -> Result<Vec<Offset>, KafkaError> {
    let deadline = Deadline::after(APPEND_MAX);
    let mut offsets = BTreeMap::new();
    for is_last in [false, true] {
        let told_by = |output: &Output| output.topic.spec().policy == Policy::Compact;
        let now = records.iter().enumerate().filter(|(_, output)| told_by(output) == is_last);
        for numbered in now {
            producer.send(&inner.clients, numbered, deadline)?;
        }
        producer.settle(deadline)?;
        let told = producer.told();
        if let Some(error) = told.failed {
            return Err(error);
        }
        offsets.extend(told.offsets);
    }
    if offsets.len() < records.len() {
        return Err(KafkaError::Canceled);
    }
    Ok(offsets.into_values().collect())
}
