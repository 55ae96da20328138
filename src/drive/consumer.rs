//! The bridge of Voice Microservices: follows a topic of another Kafka cluster, and keeps its place
//! in each partition with what it wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trunkline_ingest::agentstate::{RecordContext, dead_letter, translate};
use trunkline_ingest::feed::{Backoff, RawOut, WriteError, Writer};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{Offset, Partition, RawEvent, RawKind};

use super::bridge::{LogWriter, read_position};
use super::{IDLE_WAIT, LOOP_LIMIT, Shell, chance};
use crate::clock::{self, Elapsed};
use crate::log::kafka::KafkaConfig;
use crate::log::kafka::foreign::{ForeignRecord, ForeignTopic};
use crate::log::{Bounds, LogError};

/// Records of one append at most.
const RECORDS_MAX: usize = 1_000;
/// Waits before the cluster is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// While nothing comes, the cluster is asked this often whether it is there, and whether the topic
/// has other partitions.
const LOOK: Duration = Duration::from_secs(5);

/// What is followed, and where it goes.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name of the bridge.
    pub bridge: String,
    /// Routing domain.
    pub domain: String,
    /// Partition of the domain.
    pub partition: Partition,
    /// The cluster.
    pub cluster: KafkaConfig,
    /// The topic.
    pub topic: String,
}

impl Source {
    /// Name of the link to a partition of the topic.
    pub fn link(&self, partition: Partition) -> String {
        format!("{}/{}/{}/{partition}", self.bridge, self.domain, Stream::AgentState.name())
    }
}

/// Why following was interrupted.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the topic has other partitions than before")]
    Partitions,
}

/// Follows the topic until the process stops. Whatever goes wrong, it goes on from what is durable.
pub fn run(shell: &Shell, source: &Source) {
    let name = format!("link {}/{}/{}", source.bridge, source.domain, Stream::AgentState.name());
    let progress = shell.health.watch(&name, LOOP_LIMIT, clock::uptime());
    let ready = shell.health.condition(&name);
    ready.set(false, "the cluster has not been reached yet");
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        let mut life = Life { shell, source, links: BTreeMap::new(), writer: None };
        let lived = life.live(&mut || {
            progress.beat(clock::uptime());
            ready.set(true, "");
        });
        let why = match &lived {
            Ok(()) => "the bridge stops".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Err(error) = life.go_down(&why) {
            tracing::warn!(name, %error, "it could not be written that the link is down");
        }
        if lived.is_ok() {
            break;
        }
        tracing::warn!(name, why, "the topic is opened anew");
        ready.set(false, why);
        progress.beat(clock::uptime());
        if life.links.values().any(|link| link.has_progressed) {
            backoff.reset();
        }
        if !shell.pause(backoff.next_wait(chance())) {
            break;
        }
    }
    progress.retire();
    ready.retire();
}

/// A partition of the topic.
struct Link {
    name: String,
    /// Where reading goes on.
    next: Offset,
    /// Where the partition ended when it was opened.
    end: Offset,
    is_caught_up: bool,
    has_progressed: bool,
}

/// One opening of the topic.
struct Life<'a> {
    shell: &'a Shell,
    source: &'a Source,
    links: BTreeMap<Partition, Link>,
    writer: Option<LogWriter>,
}

impl Life<'_> {
    fn live(&mut self, beat: &mut dyn FnMut()) -> Result<(), Interrupted> {
        let topic = ForeignTopic::open(&self.source.cluster, &self.source.topic)?;
        let partitions = topic.partitions()?;
        self.come_up(&topic, &partitions)?;
        beat();
        let mut looked = Elapsed::start();
        while !self.shell.stop.is_cancelled() {
            let records = topic.poll(RECORDS_MAX, IDLE_WAIT)?;
            if records.is_empty() {
                if looked.time() >= LOOK {
                    self.catch_up(true)?;
                    if topic.partitions()? != partitions {
                        return Err(Interrupted::Partitions);
                    }
                    looked = Elapsed::start();
                }
            } else {
                self.take(&records)?;
                looked = Elapsed::start();
            }
            beat();
        }
        Ok(())
    }

    /// Finds out where each partition was left, and reads on from there.
    fn come_up(
        &mut self,
        topic: &ForeignTopic,
        partitions: &[Partition],
    ) -> Result<(), Interrupted> {
        let (mut from, mut batch) = (BTreeMap::new(), Vec::new());
        for partition in partitions {
            let name = self.source.link(*partition);
            let held = read_position(self.shell.log.as_ref(), &name)?.map(|(_, offset)| offset);
            let bounds = topic.bounds(*partition)?;
            let begin = begin(held, bounds);
            if held.is_some() {
                // The process before may have been killed, and could not say so.
                batch.push(self.bare(RawKind::LinkDown, &name, "the process starts"));
            }
            batch.push(self.bare(RawKind::LinkUp, &name, ""));
            if begin.is_gap {
                batch.push(self.bare(RawKind::Gap, &name, "records are gone"));
            }
            from.insert(*partition, begin.from);
            let link = Link {
                name,
                next: begin.from,
                end: bounds.end,
                is_caught_up: false,
                has_progressed: false,
            };
            self.links.insert(*partition, link);
        }
        self.write(batch)?;
        topic.read_from(&from)?;
        self.catch_up(false)
    }

    /// Writes records and the new positions, in one append.
    fn take(&mut self, records: &[ForeignRecord]) -> Result<(), Interrupted> {
        let mut batch = Vec::with_capacity(records.len() + self.links.len());
        let mut last = BTreeMap::new();
        for record in records {
            let Some(link) = self.links.get(&record.partition) else { continue };
            let received_time_us = clock::now_us();
            let context = RecordContext {
                domain: &self.source.domain,
                link: &link.name,
                received_time_us,
                record_time_us: record.time_ms.map_or(received_time_us, |ms| ms * 1_000),
                offset: record.offset,
            };
            batch.push(match translate(&record.value, &context) {
                Ok(event) => RawOut::Raw(event),
                Err(error) => {
                    let (link, offset) = (&link.name, record.offset);
                    tracing::warn!(link, offset, %error, "a record cannot be read");
                    RawOut::Dead(dead_letter(&record.value, &error, &context))
                }
            });
            last.insert(record.partition, record.offset);
        }
        for (partition, offset) in &last {
            let link = self.source.link(*partition);
            batch.push(RawOut::Position { link, server_start: 0, sequence: *offset });
        }
        self.write(batch)?;
        for (partition, offset) in last {
            if let Some(link) = self.links.get_mut(&partition) {
                (link.next, link.has_progressed) = (offset + 1, true);
            }
        }
        self.catch_up(false)
    }

    /// Says of links that all is told that was there when they came up. A partition may end with
    /// what is no record: where nothing comes any more, its end is reached.
    fn catch_up(&mut self, is_quiet: bool) -> Result<(), Interrupted> {
        let is_due = |link: &Link| !link.is_caught_up && (is_quiet || link.next >= link.end);
        let due = self.links.values().filter(|link| is_due(link));
        let batch: Vec<_> = due.map(|link| self.bare(RawKind::CaughtUp, &link.name, "")).collect();
        if batch.is_empty() {
            return Ok(());
        }
        self.write(batch)?;
        for link in self.links.values_mut().filter(|link| is_due(link)) {
            link.is_caught_up = true;
        }
        Ok(())
    }

    fn go_down(&mut self, why: &str) -> Result<(), Interrupted> {
        let names = self.links.values().map(|link| &link.name);
        let batch: Vec<_> = names.map(|name| self.bare(RawKind::LinkDown, name, why)).collect();
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    fn bare(&self, kind: RawKind, link: &str, why: &str) -> RawOut {
        let source = &self.source.topic;
        let payload = match why {
            "" => Vec::new(),
            why => serde_json::json!({ "why": why }).to_string().into_bytes(),
        };
        RawOut::Raw(RawEvent {
            stream: Some(Stream::AgentState),
            link: link.to_owned(),
            payload,
            ..RawEvent::bare(kind, &self.source.domain, source, clock::now_us())
        })
    }

    fn write(&mut self, batch: Vec<RawOut>) -> Result<(), Interrupted> {
        let mut writer = if let Some(writer) = self.writer.take() {
            writer
        } else {
            let log = Arc::clone(&self.shell.log);
            let (bridge, link) = (&self.source.bridge, self.source.link(0));
            LogWriter::new(log, self.source.partition, bridge, &link)?
        };
        writer.write(batch)?;
        self.writer = Some(writer);
        Ok(())
    }
}

/// Where reading begins.
#[derive(Debug, PartialEq, Eq)]
struct Begin {
    from: Offset,
    /// Records after the last one held are gone, or the topic is another one.
    is_gap: bool,
}

fn begin(held: Option<Offset>, bounds: Bounds) -> Begin {
    match held.map(|held| held + 1) {
        Some(next) if (bounds.start..=bounds.end).contains(&next) => {
            Begin { from: next, is_gap: false }
        }
        Some(_) => Begin { from: bounds.start, is_gap: true },
        None => Begin { from: bounds.start, is_gap: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_behind_what_is_held_or_says_that_something_is_gone() {
        let bounds = Bounds { start: 10, end: 20 };
        for (held, from, is_gap) in [
            (None, 10, false),
            (Some(9), 10, false),
            (Some(14), 15, false),
            (Some(19), 20, false),
            (Some(8), 10, true),
            // A topic that was made anew.
            (Some(20), 10, true),
        ] {
            assert_eq!(begin(held, bounds), Begin { from, is_gap }, "{held:?}");
        }
    }
}
