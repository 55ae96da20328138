//! Where the log of a run is kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use trunkline::clock;
use trunkline::log::embedded::Embedded;
use trunkline::log::kafka::{Kafka, KafkaConfig};
use trunkline::log::{Layout, Log};
use trunkline::topology;

/// Partitions of hashed topics.
pub(crate) const PARTITIONS: u32 = 4;

/// A log; as text it is handed to the process that measures a part.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a directory.
    Embedded(PathBuf),
    /// On a broker, in topics with a prefix.
    Kafka(String, String),
}

impl Place {
    /// What it is called in the table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Kafka(..) => "kafka",
        }
    }

    /// Opens it; topics that are missing are created.
    pub(crate) fn open(&self) -> anyhow::Result<Arc<dyn Log>> {
        let log: Arc<dyn Log> = match self {
            Self::Embedded(path) => Embedded::open(path, Arc::new(clock::now_ms))?,
            Self::Kafka(broker, prefix) => kafka(broker, prefix)?,
        };
        log.ensure(&layouts())?;
        Ok(log)
    }

    /// A log of its own beside it.
    pub(crate) fn apart(&self, name: &str) -> Self {
        match self {
            Self::Embedded(path) => Self::Embedded(path.join(name)),
            Self::Kafka(broker, prefix) => Self::Kafka(broker.clone(), format!("{prefix}{name}.")),
        }
    }

    /// Leaves nothing behind on a broker; a directory is its owner's.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Kafka(broker, prefix) => Ok(kafka(broker, prefix)?.remove_topics()?),
        }
    }
}

/// The topics of a run.
pub(crate) fn layouts() -> Vec<Layout> {
    topology::layouts(1, PARTITIONS)
}

fn kafka(broker: &str, prefix: &str) -> anyhow::Result<Arc<Kafka>> {
    Ok(Kafka::open(&KafkaConfig {
        brokers: vec![broker.to_owned()],
        prefix: prefix.to_owned(),
        ..KafkaConfig::default()
    })?)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "embedded {}", path.display()),
            Self::Kafka(broker, prefix) => write!(f, "kafka {broker} {prefix}"),
        }
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(' ').context("a kind of log and where it is")?;
        match kind {
            "embedded" => Ok(Self::Embedded(PathBuf::from(rest))),
            "kafka" => {
                let (broker, prefix) = rest.split_once(' ').context("a broker and a prefix")?;
                Ok(Self::Kafka(broker.to_owned(), prefix.to_owned()))
            }
            _ => anyhow::bail!("there is no log of the kind {kind:?}"),
        }
    }
}
