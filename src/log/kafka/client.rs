//! Clients of the cluster: their settings, names, and what their errors mean.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaConfRes;
use trunkline_schemas::{Offset, Topic};

use super::{KafkaConfig, lock};
use crate::log::{LogError, MAX_RECORD_BYTES, MEMBER_PAUSE};
use crate::registry::SchemaIds;

/// How long one question to the cluster may take: metadata, bounds, positions.
pub(super) const CALL_MAX: Duration = Duration::from_secs(10);
/// Largest batch on the wire: a record of [`MAX_RECORD_BYTES`] with what frames it. Many tiny
/// headers take more room framed than bare; a record beyond even this is refused as too large.
pub(super) const MESSAGE_BYTES_MAX: usize = 2 * MAX_RECORD_BYTES;
/// A transaction that was left open is ended by the cluster after so long.
pub(super) const TRANSACTION_MAX: Duration = Duration::from_secs(10);
/// How long a record of a step may take; a step gives up before the cluster ends it.
pub(super) const STEP_MAX: Duration = Duration::from_secs(8);
/// How long an append may take.
pub(super) const APPEND_MAX: Duration = Duration::from_secs(15);
/// Kilobytes a consumer reads ahead. The library's own 64 MiB, a task each, would be the memory of
/// the process.
const READ_AHEAD_KBYTES: u32 = 8 * 1024;
/// Bytes of records a producer holds that are not acknowledged; more wait.
const UNSENT_KBYTES: u32 = 64 * 1024;

/// Settings the promises of the log rest on: they cannot be given from outside.
const OURS: [&str; 21] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.poll.interval.ms",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// See [`super::check_setting`].
pub(super) fn check_setting(name: &str, value: &str) -> Result<(), &'static str> {
    if OURS.contains(&name) {
        return Err("is Trunkline's own: the promises of the log rest on it");
    }
    let mut config = ClientConfig::new();
    match config.set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err("is no setting of librdkafka")
        }
        Err(_) => Err("may not have this value"),
    }
}

/// Makes clients and names.
pub(super) struct Clients {
    common: ClientConfig,
    prefix: String,
    ids: SchemaIds,
}

impl Clients {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let refused = |what: String| Err(LogError::Refused { what });
        if let Some(key) = config.settings.keys().find(|key| OURS.contains(&key.as_str())) {
            return refused(format!("the client setting `{key}`: it is Trunkline's own"));
        }
        // Kafka's own alphabet for names of topics.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !config.prefix.chars().all(plain) {
            return refused(format!("the prefix `{}` of topics", config.prefix));
        }
        let mut common = ClientConfig::new();
        for (key, value) in [
            ("client.id", "trunkline"),
            // A broker that comes back is found at once, not after the default of 10 s.
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "500"),
            ("socket.connection.setup.timeout.ms", "5000"),
            ("socket.keepalive.enable", "true"),
            ("socket.nagle.disable", "true"),
        ] {
            common.set(key, value);
        }
        for (key, value) in &config.settings {
            common.set(key, value);
        }
        common.set("bootstrap.servers", config.brokers.join(","));
        Ok(Self { common, prefix: config.prefix.clone(), ids: config.ids.clone() })
    }

    /// With which ids schemas are written.
    pub(super) fn ids(&self) -> &SchemaIds {
        &self.ids
    }

    /// Settings of the admin client.
    pub(super) fn admin(&self) -> ClientConfig {
        self.common.clone()
    }

    /// The brokers that are asked first, `host:port` each, with commas between them.
    pub(super) fn brokers(&self) -> &str {
        self.common.get("bootstrap.servers").unwrap_or_default()
    }

    /// Whether the names are apart from those of others.
    pub(super) fn has_prefix(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// The topic's name in the cluster.
    pub(super) fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    /// The topic of that name in the cluster.
    pub(super) fn known(&self, name: &str) -> Option<Topic> {
        name.strip_prefix(self.prefix.as_str()).and_then(Topic::find)
    }

    /// Settings of a consumer that owns a task: it reads from where it is told.
    pub(super) fn task_consumer(&self, task: &str) -> ClientConfig {
        self.consumer(&self.group(task))
    }

    /// Settings of a member of the group of a processor or sink.
    pub(super) fn member(&self, task: &str) -> ClientConfig {
        let mut config = self.consumer(&self.group(task));
        for (key, value) in [
            // A dead owner is noticed this soon; brokers allow no less by default.
            ("session.timeout.ms", "6000"),
            // A member learns from the answer that partitions are shared out anew.
            ("heartbeat.interval.ms", "500"),
            ("partition.assignment.strategy", "range"),
            // A partition that was added is shared out this soon, should nobody join or leave.
            ("topic.metadata.refresh.interval.ms", "30000"),
        ] {
            config.set(key, value);
        }
        config.set("max.poll.interval.ms", MEMBER_PAUSE.as_millis().to_string());
        config
    }

    fn group(&self, task: &str) -> String {
        format!("{}trunkline.{task}", self.prefix)
    }

    /// Settings of a consumer that belongs to no task and is told where a partition ends.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.consumer(&format!("{}trunkline.reader", self.prefix));
        // The end is told by an empty answer, which comes after this long.
        config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "10");
        config
    }

    fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.common.clone();
        for (key, value) in [
            ("group.id", group),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // A position that is gone is an error, never a silent jump.
            ("auto.offset.reset", "error"),
            // With little read ahead, the default of a second would be a gap in every second.
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.error.backoff.ms", "50"),
        ] {
            config.set(key, value);
        }
        config.set("queued.max.messages.kbytes", READ_AHEAD_KBYTES.to_string());
        config
    }

    /// Settings of a producer for appends.
    pub(super) fn append_producer(&self) -> ClientConfig {
        let mut config = self.producer();
        config.set("message.timeout.ms", APPEND_MAX.as_millis().to_string());
        config
    }

    /// Settings of the producer of a task's steps. Its name is the task's for ever: so the start
    /// of a new owner fences the old one and ends its open transaction.
    pub(super) fn step_producer(&self, task_id: &str) -> ClientConfig {
        let mut config = self.producer();
        for (key, value) in [
            // The first request after a commit is answered "concurrent transactions" while markers
            // are written: the default back-off would make every step cost 100 ms.
            ("retry.backoff.ms", "2"),
            ("retry.backoff.max.ms", "50"),
        ] {
            config.set(key, value);
        }
        config.set("transactional.id", format!("{}trunkline-{task_id}", self.prefix));
        config.set("transaction.timeout.ms", TRANSACTION_MAX.as_millis().to_string());
        config.set("message.timeout.ms", STEP_MAX.as_millis().to_string());
        config
    }

    fn producer(&self) -> ClientConfig {
        let mut config = self.common.clone();
        for (key, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // Never 0: then every record is a request of its own.
            ("linger.ms", "1"),
            ("compression.type", "lz4"),
        ] {
            config.set(key, value);
        }
        config.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
        config.set("queue.buffering.max.kbytes", UNSENT_KBYTES.to_string());
        config
    }
}

/// What happens to a producer behind the caller's back: what became of its records, and whether a
/// connection was lost.
#[derive(Default)]
pub(super) struct Events(Mutex<Told>);

/// See [`Events`].
#[derive(Default)]
pub(super) struct Told {
    /// Offsets of acknowledged records by the number each was sent with.
    pub(super) offsets: BTreeMap<usize, Offset>,
    /// The first record that failed.
    pub(super) failed: Option<KafkaError>,
    /// The first error of a connection.
    pub(super) lost: Option<String>,
}

impl Events {
    /// What was told since the last time.
    pub(super) fn take(&self) -> Told {
        std::mem::take(&mut *lock(&self.0))
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
        lock(&self.0).lost.get_or_insert_with(|| format!("{error}: {reason}"));
    }
}

impl ProducerContext for Events {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        use rdkafka::Message;
        let mut told = lock(&self.0);
        match result {
            Ok(message) => {
                told.offsets.insert(number, message.offset());
            }
            Err((error, _)) => {
                told.failed.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// A consumer's events are only logged: it goes on by itself.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka consumer");
    }
}

impl ConsumerContext for Quiet {}

pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(facility, "kafka: {message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(facility, "kafka: {message}"),
    }
}

/// Whether an error, or what the client died of, says that a newer owner exists.
pub(super) fn is_fenced<C: ClientContext>(error: &KafkaError, client: &Client<C>) -> bool {
    let says = |code| {
        matches!(
            code,
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        )
    };
    error.rdkafka_error_code().is_some_and(says)
        || client.fatal_error().is_some_and(|(code, _)| says(code))
}

/// What an error of a consumer means for the one who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The end of the partition.
    End,
    /// The position is not in the partition.
    OutOfRange,
    /// There is no such partition.
    Nowhere,
    /// Nobody answers for now: a connection was lost, or the leader is changing. It is asked again.
    Passing,
    /// Reading cannot go on.
    Final,
}

pub(super) fn meaning(error: &KafkaError) -> Meaning {
    if let KafkaError::PartitionEOF(_) = error {
        return Meaning::End;
    }
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            Meaning::OutOfRange
        }
        Some(
            RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition,
        ) => Meaning::Nowhere,
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::ReplicaNotAvailable
            | RDKafkaErrorCode::OffsetNotAvailable
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::NotCoordinator,
        ) => Meaning::Passing,
        _ => Meaning::Final,
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn unavailable(what: impl Into<String>, source: impl Into<Cause>) -> LogError {
    LogError::Unavailable { what: what.into(), source: source.into() }
}

pub(super) fn unknown(what: impl Into<String>, source: impl Into<Cause>) -> LogError {
    LogError::Unknown { what: what.into(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::topics::RAW_TLIB;

    use super::*;

    fn config(prefix: &str, settings: &[(&str, &str)]) -> KafkaConfig {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        KafkaConfig {
            brokers: vec!["a:1".to_owned(), "b:2".to_owned()],
            settings: settings.collect(),
            prefix: prefix.to_owned(),
            ..KafkaConfig::default()
        }
    }

    #[test]
    fn the_promises_rest_on_settings_nobody_else_can_give() {
        for key in OURS {
            let refused = Clients::new(&config("", &[(key, "1")])).map(|_| ());
            assert!(matches!(refused, Err(LogError::Refused { .. })), "{key}: {refused:?}");
        }
        let given = config("t.", &[("security.protocol", "ssl"), ("linger.ms", "0")]);
        let clients = Clients::new(&given).expect("settings of the connection");
        let step = clients.step_producer("conversation-3");
        let task = clients.task_consumer("conversation");
        let member = clients.member("conversation");
        for (config, key, value) in [
            (&step, "transactional.id", "t.trunkline-conversation-3"),
            (&step, "transaction.timeout.ms", "10000"),
            (&step, "retry.backoff.ms", "2"),
            (&step, "retry.backoff.max.ms", "50"),
            (&step, "linger.ms", "1"),
            (&step, "acks", "all"),
            (&step, "security.protocol", "ssl"),
            (&step, "bootstrap.servers", "a:1,b:2"),
            (&task, "group.id", "t.trunkline.conversation"),
            (&task, "isolation.level", "read_committed"),
            (&task, "enable.auto.commit", "false"),
            (&member, "group.id", "t.trunkline.conversation"),
            (&member, "session.timeout.ms", "6000"),
            (&member, "partition.assignment.strategy", "range"),
            (&clients.append_producer(), "enable.idempotence", "true"),
            (&clients.reader(), "enable.partition.eof", "true"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
        // Every client can be made of its settings: none is unknown or contradicts another.
        for config in
            [step, task, member, clients.append_producer(), clients.reader(), clients.admin()]
        {
            let map = config.config_map().len();
            config.create_native_config().unwrap_or_else(|e| panic!("{map} settings: {e}"));
        }
    }

    #[test]
    fn a_prefix_separates_names() {
        let clients = Clients::new(&config("t1.", &[])).expect("a good prefix");
        assert_eq!(clients.topic(RAW_TLIB), "t1.raw.tlib");
        for (name, known) in [
            ("t1.raw.tlib", Some(RAW_TLIB)),
            ("raw.tlib", None),
            ("t2.raw.tlib", None),
            ("t1.raw.other", None),
        ] {
            assert_eq!(clients.known(name), known, "{name}");
        }
        for prefix in ["a b", "ä", "a/"] {
            assert!(Clients::new(&config(prefix, &[])).is_err(), "{prefix}");
        }
    }

    #[test]
    fn errors_of_a_consumer_mean_what_they_say() {
        use RDKafkaErrorCode as Code;
        let consuming = KafkaError::MessageConsumption;
        for (error, expected) in [
            (KafkaError::PartitionEOF(0), Meaning::End),
            (consuming(Code::AutoOffsetReset), Meaning::OutOfRange),
            (consuming(Code::OffsetOutOfRange), Meaning::OutOfRange),
            (consuming(Code::UnknownTopicOrPartition), Meaning::Nowhere),
            (KafkaError::MetadataFetch(Code::UnknownPartition), Meaning::Nowhere),
            (consuming(Code::BrokerTransportFailure), Meaning::Passing),
            (consuming(Code::AllBrokersDown), Meaning::Passing),
            (KafkaError::MetadataFetch(Code::NotLeaderForPartition), Meaning::Passing),
            (consuming(Code::FencedLeaderEpoch), Meaning::Passing),
            (consuming(Code::NotCoordinator), Meaning::Passing),
            (consuming(Code::TopicAuthorizationFailed), Meaning::Final),
            (KafkaError::MessageConsumptionFatal(Code::Fatal), Meaning::Final),
        ] {
            assert_eq!(meaning(&error), expected, "{error}");
        }
    }
}
