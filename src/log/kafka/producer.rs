//! A producer and the waiting for what becomes of its records, which no thread of its own does.

use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use trunkline_schemas::{Output, Record};

use super::client::{CALL_MAX, Clients, Events, Told, is_fenced};
use super::held::Held;
use crate::clock::Elapsed;
use crate::log::{LogError, MAX_RECORD_BYTES};

/// Between two looks at what has been acknowledged. The client can wake nobody but a thread that
/// does nothing else, and its own waiting goes in steps of 100 ms.
const LOOK: Duration = Duration::from_micros(300);

/// A producer.
pub(super) struct Producer {
    pub(super) inner: Held<BaseProducer<Events>>,
}

impl Producer {
    /// Makes one that is connected, and knows of a topic or all: a producer that first asks for its
    /// number and finds no connection looks again after 500 ms only.
    pub(super) fn new(config: &ClientConfig, topic: Option<&str>) -> Result<Self, KafkaError> {
        let inner: BaseProducer<Events> = config.create_with_context(Events::default())?;
        inner.client().fetch_metadata(topic, CALL_MAX)?;
        Ok(Self { inner: Held::new(inner) })
    }

    /// Whether the producer was ended for good.
    pub(super) fn is_dead(&self) -> bool {
        self.inner.client().fatal_error().is_some()
    }

    /// Whether a newer owner of the same name exists.
    pub(super) fn is_fenced(&self, error: &KafkaError) -> bool {
        is_fenced(error, self.inner.client())
    }

    /// What was told since the last time, and has been waiting to be told.
    pub(super) fn told(&self) -> Told {
        self.serve();
        self.inner.context().take()
    }

    /// Serves what waits to be told. A single poll serves a single event.
    pub(super) fn serve(&self) {
        let mut waiting = i32::MAX;
        while (1..waiting).contains(&self.inner.in_flight_count()) {
            waiting = self.inner.in_flight_count();
            self.inner.poll(Duration::ZERO);
        }
    }

    /// Hands a record to the client, which sends it soon; waits where it holds too much.
    pub(super) fn send(
        &self,
        clients: &Clients,
        (number, output): (usize, &Output),
        deadline: Deadline,
    ) -> Result<(), KafkaError> {
        let topic = clients.topic(output.topic);
        let outward = clients.ids().outward(output.topic, &output.record);
        let mut record = BaseRecord::with_opaque_to(&topic, number)
            .partition(i32::try_from(output.partition).unwrap_or(i32::MAX))
            .key(output.record.key.as_slice());
        let written = outward.as_ref().unwrap_or(&output.record);
        record.payload = written.value.as_deref();
        record.headers = headers(written);
        loop {
            match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                    if !deadline.is_over() =>
                {
                    record = again;
                    self.look();
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until the client knows of every record what became of it.
    pub(super) fn settle(&self, deadline: Deadline) -> Result<(), KafkaError> {
        loop {
            self.serve();
            if self.inner.in_flight_count() == 0 {
                return Ok(());
            }
            if deadline.is_over() {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
            }
            thread::park_timeout(LOOK);
        }
    }

    fn look(&self) {
        self.serve();
        thread::park_timeout(LOOK);
    }
}

/// When something must be done.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    watch: Elapsed,
    most: Duration,
}

impl Deadline {
    pub(super) fn after(most: Duration) -> Self {
        Self { watch: Elapsed::start(), most }
    }

    pub(super) fn left(self) -> Duration {
        self.most.saturating_sub(self.watch.time())
    }

    pub(super) fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// Refuses a record over the limit of the log, before anything is sent.
pub(super) fn check_sizes(records: &[Output]) -> Result<(), LogError> {
    let too_large = |output: &&Output| output.record.size_bytes() > MAX_RECORD_BYTES;
    match records.iter().find(too_large) {
        Some(output) => {
            let bytes = output.record.size_bytes();
            Err(LogError::TooLarge { topic: output.topic, bytes })
        }
        None => Ok(()),
    }
}

fn headers(record: &Record) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    let add = |headers: OwnedHeaders, (key, value): &(String, Vec<u8>)| {
        headers.insert(Header { key, value: Some(value.as_slice()) })
    };
    Some(record.headers.iter().fold(empty, add))
}
