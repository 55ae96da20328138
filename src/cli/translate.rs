//! `trunkline translate`: lines of events in, Genesys Cloud requests out. No log, no network: the
//! same processor and the same request builder, fed by hand.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use trunkline_ingest::tlib::{Body, FeedLine, LineContext, Lines, Place, translate};
use trunkline_processors::Processor;
use trunkline_processors::conversation::{ConversationProcessor, Settings};
use trunkline_schemas::directory::{DirectoryFile, DirectoryRow};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{
    COMMAND_CONVERSATION, DEAD_CONVERSATION, OUTCOME_CONVERSATION, RAW_AGENT, RAW_TLIB,
};
use trunkline_schemas::{ConversationCommand, RawEvent, RawKind, Record, Stored, Topic, codec};
use trunkline_sinks::request;

use super::agents::{self, Agents};
use super::complain;
use super::explain::Explainer;
use crate::config::directory;

/// After so long every wait has run out.
const REST_MS: i64 = 70_000;
/// Stream time advances by ticks, as in a bridge.
const TICK_MS: i64 = 1_000;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
pub(super) const DOMAIN: &str = "translate";

/// Options of `translate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory: which Engage objects have which Genesys Cloud ids
    #[arg(long)]
    directory: PathBuf,
    /// Say on standard error what became of each call and why: one JSON object a line
    #[arg(long)]
    explain: bool,
    /// Which source of agent states decides; by default that of the first agent state
    #[arg(long, value_enum, value_name = "SOURCE")]
    agent_states: Option<agents::Source>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let directory = match directory::load(&args.directory) {
        Ok(directory) => directory,
        Err(errors) => {
            for error in &errors {
                complain(&format!("{error}\n"));
            }
            return Ok(ExitCode::from(super::BAD_CONFIG));
        }
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let explainer = args.explain.then(Explainer::default);
    let translator = Translator { explainer, ..Translator::new(&directory, args.agent_states) };
    let input = std::io::stdin().lock();
    let done = translate_lines(translator, input, &mut out, &mut |problem| complain(&problem));
    match done.and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        done => Ok(done.map(|()| ExitCode::SUCCESS)?),
    }
}

/// Translates lines until the end of input. `problem` is told of each line that cannot be used,
/// with its number; the rest goes on.
///
/// # Errors
/// Reading or writing failed.
fn translate_lines(
    mut translator: Translator,
    mut input: impl BufRead,
    out: &mut impl Write,
    problem: &mut dyn FnMut(String),
) -> std::io::Result<()> {
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        lines.push(&buffer[..read]);
        while let Some(line) = lines.next_line() {
            translator.line(line.place, &line.body, problem);
            translator.write(out, problem)?;
        }
    }
    if let Some(line) = lines.last_line() {
        translator.line(line.place, &line.body, problem);
    }
    translator.finish();
    translator.write(out, problem)?;
    translator.explain(true, problem)
}

/// One line of output; its members stand in this order.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    method: &'static str,
    path: &'static str,
    body: &'a Value,
}

impl<'a> Request<'a> {
    pub(super) fn of(path: &'static str, body: &'a Value) -> Self {
        Self { method: "POST", path, body }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{}", serde_json::to_string(self)?)
    }
}

/// A partition that is written by hand.
pub(super) struct Feed {
    topic: Topic,
    /// The number of the line of each record, for dead letters.
    lines: Vec<u64>,
}

impl Feed {
    pub(super) fn new(topic: Topic) -> Self {
        Self { topic, lines: Vec::new() }
    }

    /// The next record, of a raw event.
    pub(super) fn stored(&mut self, raw: &RawEvent, now_ms: i64, line: u64) -> Stored {
        self.place(codec::record("", raw).expect("a raw event fits its schema"), now_ms, line)
    }

    /// The next record.
    pub(super) fn place(&mut self, record: Record, now_ms: i64, line: u64) -> Stored {
        let offset = self.lines.len() as i64;
        self.lines.push(line);
        Stored { topic: self.topic, partition: 0, offset, append_time_ms: now_ms, record }
    }

    /// The line that the record at a place came from, `topic/partition@offset`; 0 for none.
    pub(super) fn line_of(&self, place: &str) -> u64 {
        let offset = place.rsplit('@').next().and_then(|at| at.parse::<usize>().ok());
        offset.and_then(|at| self.lines.get(at)).copied().unwrap_or_default()
    }
}

/// What a dead letter says, with the line it came from.
pub(super) fn dead(record: &Record, feed: &Feed) -> String {
    let header =
        |name| String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned();
    let line = feed.line_of(&header("dead-source"));
    format!("line {line}: {}: {}", header("dead-code"), header("dead-why"))
}

/// Processors that are fed by hand: stream time is the greatest event time read.
struct Translator {
    processor: ConversationProcessor,
    agents: Agents,
    now_ms: i64,
    feed: Feed,
    explainer: Option<Explainer>,
}

impl Translator {
    fn new(directory: &DirectoryFile, source: Option<agents::Source>) -> Self {
        // Who is told nothing by a Stat Server needs the calls; others do not look at them.
        let settings = Settings { relay_calls: true, ..Settings::default() };
        let processor = ConversationProcessor::new(DOMAIN, settings);
        let bare = |kind| RawEvent::bare(kind, DOMAIN, "", 0);
        let row = |row: &DirectoryRow| {
            let payload = serde_json::to_vec(row).expect("a row has string keys only");
            RawEvent { payload, ..bare(RawKind::DirectoryRow) }
        };
        let mut beginning: Vec<RawEvent> = directory.rows().iter().map(row).collect();
        beginning.push(bare(RawKind::DirectoryEnd));
        let mut translator = Self {
            processor,
            agents: Agents::new(directory, source, beginning.clone()),
            now_ms: 0,
            feed: Feed::new(RAW_TLIB),
            explainer: None,
        };
        for raw in &beginning {
            translator.record(raw, 0);
        }
        for stream in [Stream::Call, Stream::Vq, Stream::Ext] {
            for kind in [RawKind::LinkUp, RawKind::CaughtUp] {
                let link = stream.name().to_owned();
                let stream = Some(stream);
                let raw = RawEvent { stream, link, ..translator.bare(kind) };
                translator.record(&raw, 0);
            }
        }
        translator
    }

    fn bare(&self, kind: RawKind) -> RawEvent {
        RawEvent::bare(kind, DOMAIN, "", self.now_ms * 1000)
    }

    fn line(&mut self, place: Place, body: &Body<'_>, problem: &mut dyn FnMut(String)) {
        let number = place.line;
        let bytes = match body {
            Body::Whole(bytes) => bytes,
            Body::Long(long) => {
                let bytes = long.length;
                return problem(format!("line {number}: too_long: {bytes} bytes"));
            }
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let context = LineContext {
            domain: DOMAIN,
            link: "",
            received_time_us: self.now_ms * 1000,
            role: Stream::Call,
            server: None,
            server_start: None,
            place,
        };
        match translate(bytes, &context) {
            Ok(FeedLine::Event(raw)) => self.event(raw, number),
            Ok(FeedLine::Welcome { .. } | FeedLine::CaughtUp | FeedLine::KeepAlive) => {}
            Ok(FeedLine::Error(said)) => problem(format!("line {number}: the feeder says: {said}")),
            Err(error) => problem(format!("line {number}: {error}")),
        }
    }

    fn event(&mut self, mut raw: RawEvent, line: u64) {
        let time_us = agents::time_us(&raw);
        if let Some(at_us) = time_us {
            self.pass(at_us.div_euclid(1000));
        }
        raw.received_time_us = time_us.unwrap_or(self.now_ms * 1000);
        if raw.stream.is_some_and(|stream| !stream.is_switch()) {
            self.agents.event(&raw, self.now_ms, line);
        } else {
            self.record(&raw, line);
        }
    }

    fn record(&mut self, raw: &RawEvent, line: u64) {
        let stored = self.feed.stored(raw, self.now_ms, line);
        self.processor.apply(&stored);
    }

    fn finish(&mut self) {
        self.pass(self.now_ms + REST_MS);
    }

    /// Lets stream time pass. After a long silence only the end of it is ticked: every wait runs
    /// out.
    fn pass(&mut self, to_ms: i64) {
        self.now_ms = self.now_ms.max(to_ms - REST_MS);
        while self.now_ms + TICK_MS < to_ms {
            self.now_ms += TICK_MS;
            let tick = self.bare(RawKind::Tick);
            self.record(&tick, 0);
            self.agents.record(&tick, self.now_ms, 0);
        }
        self.now_ms = self.now_ms.max(to_ms);
    }

    fn write(
        &mut self,
        out: &mut impl Write,
        problem: &mut dyn FnMut(String),
    ) -> std::io::Result<()> {
        for record in self.agents.write(out, problem)? {
            let stored = self.feed.place(record, self.now_ms, 0);
            self.processor.apply(&stored);
        }
        for (topic, record) in self.processor.drain().outputs {
            let value = record.value.as_deref().unwrap_or_default();
            if topic == COMMAND_CONVERSATION {
                let command: ConversationCommand =
                    codec::decode(value).expect("a command of our own");
                if let Some(explainer) = &mut self.explainer {
                    explainer.command(&command);
                }
                let batch = request(std::slice::from_ref(&command));
                Request::of(batch.path, &batch.body).write(out)?;
            } else if topic == OUTCOME_CONVERSATION
                && let Some(explainer) = &mut self.explainer
            {
                explainer.outcome(&codec::decode(value).expect("an outcome of our own"));
            } else if topic == DEAD_CONVERSATION {
                problem(dead(&record, &self.feed));
            } else if topic == RAW_AGENT {
                self.agents.relayed(record, self.now_ms);
            }
        }
        // What calls told of agents; facts for conversations do not follow from it.
        for record in self.agents.write(out, problem)? {
            let stored = self.feed.place(record, self.now_ms, 0);
            self.processor.apply(&stored);
        }
        self.explain(false, problem)
    }

    fn explain(&mut self, is_end: bool, say: &mut dyn FnMut(String)) -> std::io::Result<()> {
        let Some(explainer) = &mut self.explainer else { return Ok(()) };
        for line in explainer.lines(&self.processor, is_end) {
            say(serde_json::to_string(&line)?);
        }
        Ok(())
    }
}
