//! The topics: made with the policies of the catalogue, and checked; and the brokers, checked.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use trunkline_schemas::Topic;
use trunkline_schemas::topics::Policy;

use super::LOOK;
use super::client::{CALL_MAX, Clients, MESSAGE_BYTES_MAX, unavailable};
use super::producer::Deadline;
use crate::log::{Layout, LogError};

/// The broker setting without which a late request of a fenced owner can still do harm (KIP-890).
const VERIFICATION: &str = "transaction.partition.verification.enable";
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Asks the cluster to do things to itself.
pub(super) struct Admin<'a> {
    clients: &'a Clients,
    client: AdminClient<DefaultClientContext>,
    options: AdminOptions,
}

impl<'a> Admin<'a> {
    pub(super) fn new(clients: &'a Clients) -> Result<Self, LogError> {
        let client = clients.admin().create();
        let client = client.map_err(|error| unavailable("making an admin client", error))?;
        let most = Some(CALL_MAX);
        let options = AdminOptions::new().request_timeout(most).operation_timeout(most);
        Ok(Self { clients, client, options })
    }

    /// Refuses brokers that do not check that a partition belongs to a transaction.
    pub(super) fn check_brokers(&self, ids: &[i32]) -> Result<(), LogError> {
        // One broker a question: a broker answers for itself only.
        for id in ids {
            let asked = [ResourceSpecifier::Broker(*id)];
            let found = self.describe(&asked, &format!("the settings of broker {id}"))?;
            let value = found.first().and_then(|resource| value(resource, VERIFICATION));
            if value != Some("true") {
                let value = value.unwrap_or("absent");
                let what = format!(
                    "broker {id}: its setting {VERIFICATION} is {value}, and must be true \
                     (Apache Kafka 3.6 or newer)"
                );
                return Err(LogError::Refused { what });
            }
        }
        Ok(())
    }

    /// Creates topics with the policies of the catalogue. One that somebody else creates meanwhile
    /// is as good.
    pub(super) fn create(
        &self,
        layouts: &[Layout],
        replication: Option<u16>,
    ) -> Result<(), LogError> {
        let names: Vec<_> = layouts.iter().map(|l| self.clients.topic(l.topic)).collect();
        let policies: Vec<_> = layouts.iter().map(|l| policy(l.topic, replication)).collect();
        let factor = replication.map_or(-1, i32::from); // -1: the cluster's own default
        let wanted = layouts.iter().zip(&names).zip(&policies).map(|((layout, name), policy)| {
            let partitions = i32::try_from(layout.partitions).unwrap_or(i32::MAX);
            let new = NewTopic::new(name, partitions, TopicReplication::Fixed(factor));
            policy.iter().fold(new, |new, setting| new.set(setting.key, &setting.value))
        });
        let wanted: Vec<_> = wanted.collect();
        let created = block_on(self.client.create_topics(&wanted, &self.options));
        let failed = |error| unavailable("creating topics", error);
        for result in created.map_err(failed)? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(unavailable(format!("creating topic {name}"), code));
                }
            }
        }
        Ok(())
    }

    /// Gives topics the partitions they lack, behind those they have. Those that somebody else adds
    /// meanwhile are as good.
    pub(super) fn grow(&self, layouts: &[Layout]) -> Result<(), LogError> {
        let names: Vec<_> = layouts.iter().map(|l| self.clients.topic(l.topic)).collect();
        let wanted = layouts.iter().zip(&names);
        let wanted: Vec<_> =
            wanted.map(|(l, name)| NewPartitions::new(name, l.partitions as usize)).collect();
        let grown = block_on(self.client.create_partitions(&wanted, &self.options));
        for result in grown.map_err(|error| unavailable("adding partitions", error))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::InvalidPartitions)) => {}
                Err((name, code)) => {
                    return Err(unavailable(format!("adding partitions to topic {name}"), code));
                }
            }
        }
        Ok(())
    }

    /// Refuses topics that would forget too much or date their records otherwise.
    pub(super) fn check_policies(&self, topics: &[Topic]) -> Result<(), LogError> {
        let names: Vec<_> = topics.iter().map(|topic| self.clients.topic(*topic)).collect();
        let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let deadline = Deadline::after(CALL_MAX);
        let found = loop {
            let found = self.describe(&asked, "the settings of the topics")?;
            // A broker that has not heard of a new topic yet knows no settings of it.
            if deadline.is_over() || found.iter().all(|resource| !resource.entries.is_empty()) {
                break found;
            }
            thread::park_timeout(LOOK);
        };
        for ((topic, name), resource) in topics.iter().zip(&names).zip(&found) {
            for setting in policy(*topic, None) {
                let value = value(resource, setting.key);
                if !setting.holds(value) {
                    let what = format!(
                        "topic {name}: its setting {} is {}, and must be {}{}",
                        setting.key,
                        value.unwrap_or("absent"),
                        setting.value,
                        if setting.rule == Rule::AtLeast { " or more" } else { "" },
                    );
                    return Err(LogError::Refused { what });
                }
            }
        }
        Ok(())
    }

    /// Deletes topics; those that are not there are as good as deleted.
    pub(super) fn delete(&self, topics: &[Topic]) -> Result<(), LogError> {
        let names: Vec<_> = topics.iter().map(|topic| self.clients.topic(*topic)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let deleted = block_on(self.client.delete_topics(&names, &self.options));
        for result in deleted.map_err(|error| unavailable("deleting topics", error))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => {
                    return Err(unavailable(format!("deleting topic {name}"), code));
                }
            }
        }
        Ok(())
    }

    fn describe(
        &self,
        asked: &[ResourceSpecifier<'_>],
        what: &str,
    ) -> Result<Vec<ConfigResource>, LogError> {
        let failed = |error: KafkaError| unavailable(format!("reading {what}"), error);
        let found: KafkaResult<_> = block_on(self.client.describe_configs(asked, &self.options));
        let found = found.map_err(failed)?.into_iter();
        found.map(|resource| resource.map_err(KafkaError::AdminOp).map_err(failed)).collect()
    }
}

fn value<'r>(resource: &'r ConfigResource, key: &str) -> Option<&'r str> {
    resource.get(key)?.value.as_deref()
}

/// One setting of a topic.
#[derive(Debug)]
struct Setting {
    key: &'static str,
    value: String,
    rule: Rule,
}

/// What a topic that exists may have instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Nothing else.
    Equal,
    /// More, or -1 for no limit.
    AtLeast,
    /// Anything: it only saves room or time.
    Free,
}

impl Setting {
    fn holds(&self, found: Option<&str>) -> bool {
        match self.rule {
            Rule::Equal => found == Some(self.value.as_str()),
            Rule::AtLeast => {
                let number = |text: &str| text.parse::<i64>().ok();
                let wanted = number(&self.value).unwrap_or(i64::MAX);
                found.and_then(number).is_some_and(|found| found == -1 || found >= wanted)
            }
            Rule::Free => true,
        }
    }
}

/// The settings of a topic (DESIGN section 4, reliability/KAFKA section 6).
fn policy(topic: Topic, replication: Option<u16>) -> Vec<Setting> {
    let set = |key, value: &str, rule| Setting { key, value: value.to_owned(), rule };
    let mut settings = vec![
        // So that the append time is that of one clock, the leader's.
        set("message.timestamp.type", "LogAppendTime", Rule::Equal),
        set("max.message.bytes", &MESSAGE_BYTES_MAX.to_string(), Rule::AtLeast),
    ];
    if let Some(replication) = replication {
        // What is acknowledged is on a majority: one broker may be lost of three, none of two.
        set_replicas(&mut settings, replication);
    }
    match topic.spec().policy {
        Policy::DeleteDays(days) => settings.extend([
            set("cleanup.policy", "delete", Rule::Equal),
            set("retention.ms", &(u64::from(days) * DAY_MS).to_string(), Rule::AtLeast),
            // A limit in bytes would forget days that are promised.
            set("retention.bytes", "-1", Rule::Equal),
        ]),
        Policy::Compact => settings.extend([
            set("cleanup.policy", "compact", Rule::Equal),
            // A lag would make every start read all updates of that time again.
            set("min.compaction.lag.ms", "0", Rule::Equal),
            set("segment.bytes", &(64 * 1024 * 1024).to_string(), Rule::Free),
            set("segment.ms", "60000", Rule::Free),
            set("min.cleanable.dirty.ratio", "0.2", Rule::Free),
            set("delete.retention.ms", &topic.spec().tombstone_ms().to_string(), Rule::Free),
        ]),
    }
    settings
}

fn set_replicas(settings: &mut Vec<Setting>, replication: u16) {
    let value = (replication / 2 + 1).to_string();
    settings.push(Setting { key: "min.insync.replicas", value, rule: Rule::Free });
}

/// Waits for an answer that another thread brings. The client bounds it.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::topics::{OUTCOME_CONVERSATION, RAW_TLIB, STATE_BRIDGE};

    use super::*;

    #[test]
    fn a_topic_has_the_policy_of_the_catalogue() {
        let lines = |topic, replication| -> Vec<String> {
            let settings = policy(topic, replication);
            settings.iter().map(|s| format!("{}={} {:?}", s.key, s.value, s.rule)).collect()
        };
        let all =
            ["message.timestamp.type=LogAppendTime Equal", "max.message.bytes=2097152 AtLeast"];
        let delete =
            |retention| ["cleanup.policy=delete Equal", retention, "retention.bytes=-1 Equal"];
        let raw = lines(RAW_TLIB, None);
        assert_eq!(raw, [&all[..], &delete("retention.ms=604800000 AtLeast")].concat());
        let outcome = lines(OUTCOME_CONVERSATION, Some(3));
        let retention = delete("retention.ms=2592000000 AtLeast");
        let replicas = ["min.insync.replicas=2 Free"];
        assert_eq!(outcome, [&all[..], &replicas, &retention].concat());
        let compact = [
            "cleanup.policy=compact Equal",
            "min.compaction.lag.ms=0 Equal",
            "segment.bytes=67108864 Free",
            "segment.ms=60000 Free",
            "min.cleanable.dirty.ratio=0.2 Free",
            "delete.retention.ms=300000 Free",
        ];
        assert_eq!(lines(STATE_BRIDGE, None), [&all[..], &compact].concat());
    }

    #[test]
    fn settings_hold_as_their_rule_says() {
        let table = [
            (Rule::Equal, "compact", Some("compact"), true),
            (Rule::Equal, "compact", Some("compact,delete"), false),
            (Rule::Equal, "compact", None, false),
            (Rule::AtLeast, "100", Some("100"), true),
            (Rule::AtLeast, "100", Some("101"), true),
            (Rule::AtLeast, "100", Some("-1"), true),
            (Rule::AtLeast, "100", Some("99"), false),
            (Rule::AtLeast, "100", Some("much"), false),
            (Rule::AtLeast, "100", None, false),
            (Rule::Free, "100", Some("1"), true),
            (Rule::Free, "100", None, true),
        ];
        for (rule, value, found, holds) in table {
            let setting = Setting { key: "k", value: value.to_owned(), rule };
            assert_eq!(setting.holds(found), holds, "{setting:?} {found:?}");
        }
    }
}
