//! The topic catalogue (DESIGN section 4), as data.

use std::fmt;

use crate::record::Partition;

/// Name of a topic of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(&'static str);

impl Topic {
    /// Its name.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The topic of that name, if the catalogue has it.
    pub fn find(name: &str) -> Option<Self> {
        CATALOGUE.iter().map(|spec| spec.topic).find(|t| t.0 == name)
    }

    /// Its entry in the catalogue.
    pub fn spec(self) -> &'static TopicSpec {
        CATALOGUE.iter().find(|spec| spec.topic == self).unwrap_or(&CATALOGUE[0])
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How records find their partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// One partition.
    One,
    /// One partition a routing domain.
    Domain,
    /// By [`hash_partition`] of the key.
    Hash,
}

/// What a log may forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Records older than so many days.
    DeleteDays(u32),
    /// All but the last record of each key.
    Compact,
}

/// What the values of a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// [`crate::RawEvent`]
    RawEvent,
    /// [`crate::ConversationCommand`]
    ConversationCommand,
    /// [`crate::PresenceCommand`]
    PresenceCommand,
    /// [`crate::PresenceOutcome`]
    PresenceOutcome,
    /// [`crate::Outcome`]
    Outcome,
    /// [`crate::Segment`]
    Segment,
    /// [`crate::DirectoryRow`]
    DirectoryRow,
    /// [`crate::ConfigObject`]
    ConfigObject,
    /// [`crate::DesiredObject`]
    DesiredObject,
    /// [`crate::ConfigOutcome`]
    ConfigOutcome,
    /// [`crate::state::StateValue`]
    State,
    /// The original record, untouched, whatever it was.
    Original,
}

impl ValueKind {
    /// Name of the built-in schema of such values ([`crate::codec::BUILT_IN`]); none where values
    /// may be anything.
    pub const fn schema(self) -> Option<&'static str> {
        Some(match self {
            Self::RawEvent => "RawEvent",
            Self::ConversationCommand => "ConversationCommand",
            Self::PresenceCommand => "PresenceCommand",
            Self::PresenceOutcome => "PresenceOutcome",
            Self::Outcome => "Outcome",
            Self::Segment => "Segment",
            Self::DirectoryRow => "Directory",
            Self::ConfigObject => "ConfigObject",
            Self::DesiredObject => "DesiredObject",
            Self::ConfigOutcome => "ConfigOutcome",
            Self::State => "StateValue",
            Self::Original => return None,
        })
    }
}

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct TopicSpec {
    /// The topic.
    pub topic: Topic,
    /// How its records find their partition.
    pub spread: Spread,
    /// What may be forgotten.
    pub policy: Policy,
    /// What its values are.
    pub value: ValueKind,
}

impl TopicSpec {
    /// How long a compacted topic keeps a tombstone, milliseconds: longer than anybody needs to
    /// read the topic. State is read by the task whose it is, within seconds, and has hundreds of
    /// tombstones a second at a busy site.
    pub const fn tombstone_ms(&self) -> i64 {
        match self.value {
            ValueKind::State => 5 * 60_000,
            ValueKind::RawEvent
            | ValueKind::ConversationCommand
            | ValueKind::PresenceCommand
            | ValueKind::PresenceOutcome
            | ValueKind::Outcome
            | ValueKind::Segment
            | ValueKind::DirectoryRow
            | ValueKind::ConfigObject
            | ValueKind::DesiredObject
            | ValueKind::ConfigOutcome
            | ValueKind::Original => 3_600_000,
        }
    }
}

/// Engage events of SIP Servers, link records, ticks, directory rows, relayed facts.
pub const RAW_TLIB: Topic = Topic("raw.tlib");
/// What Genesys Cloud is to be told of conversations.
pub const COMMAND_CONVERSATION: Topic = Topic("command.conversation");
/// What became of each command, and calls left out with the reason.
pub const OUTCOME_CONVERSATION: Topic = Topic("outcome.conversation");
/// One record a leg, for recordings and audit.
pub const SEGMENT: Topic = Topic("segment");
/// Engage object to GC id.
pub const DIRECTORY: Topic = Topic("directory");
/// State of the conversation processor.
pub const STATE_CONVERSATION: Topic = Topic("state.conversation");
/// State of the conversation sink.
pub const STATE_CONVERSATION_SINK: Topic = Topic("state.conversation-sink");
/// The last (server start, number) of each stream that is durable, by link.
pub const STATE_BRIDGE: Topic = Topic("state.bridge");
/// Agent states of Stat Server and Voice Microservices, link records, ticks, directory rows,
/// relayed facts.
pub const RAW_AGENT: Topic = Topic("raw.agent");
/// What Genesys Cloud is to be told of agents.
pub const COMMAND_PRESENCE: Topic = Topic("command.presence");
/// What became of each change of an agent, and agents left out with the reason.
pub const OUTCOME_PRESENCE: Topic = Topic("outcome.presence");
/// State of the presence processor.
pub const STATE_PRESENCE: Topic = Topic("state.presence");
/// State of the presence sink.
pub const STATE_PRESENCE_SINK: Topic = Topic("state.presence-sink");
/// Input lines that could not be read.
pub const DEAD_INGEST: Topic = Topic("dead.ingest");
/// Raw events that could not be processed.
pub const DEAD_CONVERSATION: Topic = Topic("dead.conversation");
/// Commands that Genesys Cloud refused for good.
pub const DEAD_CONVERSATION_SINK: Topic = Topic("dead.conversation-sink");

/// Raw agent states that could not be processed.
pub const DEAD_PRESENCE: Topic = Topic("dead.presence");
/// Changes of agents that Genesys Cloud refused for good.
pub const DEAD_PRESENCE_SINK: Topic = Topic("dead.presence-sink");
/// The Engage configuration, one record an object, and the ends of polls.
pub const RAW_CONFIGDB: Topic = Topic("raw.configdb");
/// What the organisation is to hold, one record an object.
pub const COMMAND_CONFIG: Topic = Topic("command.config");
/// What became of each object, and what is wrong with the configuration.
pub const OUTCOME_CONFIG: Topic = Topic("outcome.config");
/// State of the config processor.
pub const STATE_CONFIG: Topic = Topic("state.config");
/// State of the config sink.
pub const STATE_CONFIG_SINK: Topic = Topic("state.config-sink");
/// Records of the configuration that could not be processed.
pub const DEAD_CONFIG: Topic = Topic("dead.config");

const fn spec(topic: Topic, spread: Spread, policy: Policy, value: ValueKind) -> TopicSpec {
    TopicSpec { topic, spread, policy, value }
}

/// Every topic there is.
pub const CATALOGUE: [TopicSpec; 24] = [
    spec(RAW_TLIB, Spread::Domain, Policy::DeleteDays(7), ValueKind::RawEvent),
    spec(COMMAND_CONVERSATION, Spread::Hash, Policy::DeleteDays(7), ValueKind::ConversationCommand),
    spec(OUTCOME_CONVERSATION, Spread::Hash, Policy::DeleteDays(30), ValueKind::Outcome),
    spec(SEGMENT, Spread::Hash, Policy::DeleteDays(30), ValueKind::Segment),
    spec(DIRECTORY, Spread::One, Policy::Compact, ValueKind::DirectoryRow),
    spec(STATE_CONVERSATION, Spread::Domain, Policy::Compact, ValueKind::State),
    spec(STATE_CONVERSATION_SINK, Spread::Hash, Policy::Compact, ValueKind::State),
    spec(STATE_BRIDGE, Spread::One, Policy::Compact, ValueKind::State),
    spec(DEAD_INGEST, Spread::Domain, Policy::DeleteDays(30), ValueKind::Original),
    spec(DEAD_CONVERSATION, Spread::Domain, Policy::DeleteDays(30), ValueKind::Original),
    spec(DEAD_CONVERSATION_SINK, Spread::Hash, Policy::DeleteDays(30), ValueKind::Original),
    spec(RAW_AGENT, Spread::Domain, Policy::DeleteDays(7), ValueKind::RawEvent),
    spec(COMMAND_PRESENCE, Spread::Hash, Policy::DeleteDays(7), ValueKind::PresenceCommand),
    spec(OUTCOME_PRESENCE, Spread::Hash, Policy::DeleteDays(30), ValueKind::PresenceOutcome),
    spec(STATE_PRESENCE, Spread::Domain, Policy::Compact, ValueKind::State),
    spec(STATE_PRESENCE_SINK, Spread::Hash, Policy::Compact, ValueKind::State),
    spec(DEAD_PRESENCE, Spread::Domain, Policy::DeleteDays(30), ValueKind::Original),
    spec(DEAD_PRESENCE_SINK, Spread::Hash, Policy::DeleteDays(30), ValueKind::Original),
    spec(RAW_CONFIGDB, Spread::One, Policy::Compact, ValueKind::ConfigObject),
    spec(COMMAND_CONFIG, Spread::One, Policy::Compact, ValueKind::DesiredObject),
    spec(OUTCOME_CONFIG, Spread::Hash, Policy::DeleteDays(30), ValueKind::ConfigOutcome),
    spec(STATE_CONFIG, Spread::One, Policy::Compact, ValueKind::State),
    spec(STATE_CONFIG_SINK, Spread::One, Policy::Compact, ValueKind::State),
    spec(DEAD_CONFIG, Spread::One, Policy::DeleteDays(30), ValueKind::Original),
];

/// Partition of a key among `count`: FNV-1a of 64 bits, modulo the count.
///
/// Fixed for ever: a change would move keys and so break their order. `count` of 0 counts as 1.
pub fn hash_partition(key: &[u8], count: u32) -> Partition {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash % u64::from(count.max(1))) as Partition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_unique() {
        for spec in &CATALOGUE {
            assert_eq!(Topic::find(spec.topic.name()), Some(spec.topic));
            assert_eq!(spec.topic.spec().topic, spec.topic);
        }
        assert_eq!(Topic::find("raw.nothing"), None);
    }

    #[test]
    fn partitions_are_those_of_fnv_1a() {
        // Published test vectors of FNV-1a 64: "" and "a" and "foobar".
        assert_eq!(hash_partition(b"", u32::MAX), (0xcbf2_9ce4_8422_2325_u64 % 0xffff_ffff) as u32);
        assert_eq!(
            hash_partition(b"a", u32::MAX),
            (0xaf63_dc4c_8601_ec8c_u64 % 0xffff_ffff) as u32
        );
        assert_eq!(hash_partition(b"foobar", 16), (0x8594_4171_f739_67e8_u64 % 16) as u32);
        assert_eq!(hash_partition(b"x", 0), 0);
    }
}
