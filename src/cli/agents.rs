//! `translate`, agent states: the presence processor, fed by hand.

use std::io::Write;

use trunkline_processors::Processor;
use trunkline_processors::presence::{Authority, PresenceProcessor, Settings};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{COMMAND_PRESENCE, DEAD_PRESENCE, RAW_AGENT, RAW_TLIB};
use trunkline_schemas::{PresenceChange, PresenceCommand, RawEvent, Record, codec};
use trunkline_sinks::Definitions;
use trunkline_sinks::presence::request;

use super::translate::{DOMAIN, Feed, Request, dead};

/// Which source of agent states decides what is shown: lines of the stream `stat`, or of
/// `agentstate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Source {
    StatServer,
    VoiceMicroservices,
}

/// The presence processor of `translate`.
pub(super) struct Agents {
    /// Until a line says which source there is, nothing decides.
    source: Option<Source>,
    processor: Option<PresenceProcessor>,
    /// What every processor is told first.
    beginning: Vec<RawEvent>,
    source_id: String,
    definitions: Definitions,
    feed: Feed,
}

impl Agents {
    /// A processor that is begun with the first agent state. `beginning` is what announces the
    /// directory.
    pub(super) fn new(
        directory: &DirectoryFile,
        source: Option<Source>,
        beginning: Vec<RawEvent>,
    ) -> Self {
        let presence = directory.presence.as_ref();
        let source_id = presence.map_or(&directory.source_id, |ids| &ids.source_id).clone();
        let definitions = Definitions::named(presence.iter().flat_map(|ids| &ids.definitions));
        let feed = Feed::new(RAW_AGENT);
        Self { source, processor: None, beginning, source_id, definitions, feed }
    }

    /// An agent state. Where nobody said which source decides, that of the first one does.
    pub(super) fn event(&mut self, raw: &RawEvent, now_ms: i64, line: u64) {
        if self.processor.is_none() {
            let source = self.source.unwrap_or(match raw.stream {
                Some(Stream::AgentState) => Source::VoiceMicroservices,
                Some(
                    Stream::Call
                    | Stream::Vq
                    | Stream::Ext
                    | Stream::Dn
                    | Stream::Stat
                    | Stream::Interaction,
                )
                | None => Source::StatServer,
            });
            let authority = match source {
                Source::StatServer => Authority::StatServer,
                Source::VoiceMicroservices => Authority::VoiceMicroservices,
            };
            let settings = Settings { authority, ..Settings::default() };
            self.processor = Some(PresenceProcessor::new(DOMAIN, settings));
            for raw in std::mem::take(&mut self.beginning) {
                self.record(&raw, now_ms, 0);
            }
        }
        self.record(raw, now_ms, line);
    }

    /// Anything else that comes by the partition of agents.
    pub(super) fn record(&mut self, raw: &RawEvent, now_ms: i64, line: u64) {
        if let Some(processor) = &mut self.processor {
            processor.apply(&self.feed.stored(raw, now_ms, line));
        }
    }

    /// A record that another processor relays.
    pub(super) fn relayed(&mut self, record: Record, now_ms: i64) {
        if let Some(processor) = &mut self.processor {
            processor.apply(&self.feed.place(record, now_ms, 0));
        }
    }

    /// Prints what the organisation is to be told; returns what conversations are to know.
    pub(super) fn write(
        &mut self,
        out: &mut impl Write,
        problem: &mut dyn FnMut(String),
    ) -> std::io::Result<Vec<Record>> {
        let mut relayed = Vec::new();
        let Some(processor) = &mut self.processor else { return Ok(relayed) };
        for (topic, record) in processor.drain().outputs {
            if topic == COMMAND_PRESENCE {
                let value = record.value.as_deref().unwrap_or_default();
                let command: PresenceCommand = codec::decode(value).expect("a command of our own");
                match command.change {
                    PresenceChange::Presence(presence)
                        if self.definitions.id(presence).is_none() =>
                    {
                        let (line, name) = (self.feed.line_of(&command.cause), presence.name());
                        problem(format!(
                            "line {line}: no_definition: no presence definition is known for \
                             {name}: the directory has none"
                        ));
                    }
                    PresenceChange::Presence(_) | PresenceChange::Routing(_) => {
                        let commands = std::slice::from_ref(&command);
                        let batch = request(commands, &self.source_id, &self.definitions);
                        Request::of(batch.path, &batch.body).write(out)?;
                    }
                }
            } else if topic == RAW_TLIB {
                relayed.push(record);
            } else if topic == DEAD_PRESENCE {
                problem(dead(&record, &self.feed));
            }
        }
        Ok(relayed)
    }
}

/// When an event happened, by whatever its payload says of it: of a Stat Server that gives no time,
/// since when the statistic holds (microseconds since 1970).
pub(super) fn time_us(raw: &RawEvent) -> Option<i64> {
    let since = || {
        let payload: serde_json::Value = serde_json::from_slice(&raw.payload).ok()?;
        payload.get("Since")?.as_i64()?.checked_mul(1_000_000)
    };
    raw.switch_time_us.or_else(|| since().filter(|_| raw.stream == Some(Stream::Stat)))
}
