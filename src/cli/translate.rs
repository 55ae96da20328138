//! `trunkline translate`: TLib event lines in, Genesys Cloud requests out. No log, no network: the
//! same processor and the same request builder, fed by hand.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use trunkline_ingest::tlib::{Body, FeedLine, LineContext, Lines, Place, translate};
use trunkline_processors::Processor;
use trunkline_processors::conversation::{ConversationProcessor, Settings};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{
    COMMAND_CONVERSATION, DEAD_CONVERSATION, OUTCOME_CONVERSATION, RAW_TLIB,
};
use trunkline_schemas::{ConversationCommand, RawEvent, RawKind, Stored, codec};
use trunkline_sinks::request;

use super::complain;
use super::explain::Explainer;
use crate::config::directory;

/// After so long every wait has run out.
const REST_MS: i64 = 70_000;
/// Stream time advances by ticks, as in a bridge.
const TICK_MS: i64 = 1_000;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
const DOMAIN: &str = "translate";

/// Options of `translate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory: which Engage objects have which Genesys Cloud ids
    #[arg(long)]
    directory: PathBuf,
    /// Say on standard error what became of each call and why: one JSON object a line
    #[arg(long)]
    explain: bool,
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
    let translator = Translator { explainer, ..Translator::new(&directory) };
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
struct Request<'a> {
    method: &'static str,
    path: &'static str,
    body: &'a Value,
}

/// A processor that is fed by hand: stream time is the greatest event time read.
struct Translator {
    processor: ConversationProcessor,
    now_ms: i64,
    offset: i64,
    /// The number of the line of each record, for dead letters.
    lines: Vec<u64>,
    explainer: Option<Explainer>,
}

impl Translator {
    fn new(directory: &DirectoryFile) -> Self {
        let processor = ConversationProcessor::new(DOMAIN, Settings::default());
        let (now_ms, offset, lines) = (0, 0, Vec::new());
        let mut translator = Self { processor, now_ms, offset, lines, explainer: None };
        for row in directory.rows() {
            let payload = serde_json::to_vec(&row).expect("a row has string keys only");
            let raw = RawEvent { payload, ..translator.bare(RawKind::DirectoryRow) };
            translator.record(&raw, 0);
        }
        translator.record(&translator.bare(RawKind::DirectoryEnd), 0);
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
        if let Some(at_us) = raw.switch_time_us {
            self.pass(at_us.div_euclid(1000));
        }
        raw.received_time_us = raw.switch_time_us.unwrap_or(self.now_ms * 1000);
        self.record(&raw, line);
    }

    fn record(&mut self, raw: &RawEvent, line: u64) {
        let record = codec::record("", raw).expect("a raw event fits its schema");
        let stored = Stored {
            topic: RAW_TLIB,
            partition: 0,
            offset: self.offset,
            append_time_ms: self.now_ms,
            record,
        };
        self.offset += 1;
        self.lines.push(line);
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
            self.record(&self.bare(RawKind::Tick), 0);
        }
        self.now_ms = self.now_ms.max(to_ms);
    }

    fn write(
        &mut self,
        out: &mut impl Write,
        problem: &mut dyn FnMut(String),
    ) -> std::io::Result<()> {
        for (topic, record) in self.processor.drain().outputs {
            let value = record.value.as_deref().unwrap_or_default();
            if topic == COMMAND_CONVERSATION {
                let command: ConversationCommand =
                    codec::decode(value).expect("a command of our own");
                if let Some(explainer) = &mut self.explainer {
                    explainer.command(&command);
                }
                let batch = request(std::slice::from_ref(&command));
                let line = Request { method: "POST", path: batch.path, body: &batch.body };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            } else if topic == OUTCOME_CONVERSATION
                && let Some(explainer) = &mut self.explainer
            {
                explainer.outcome(&codec::decode(value).expect("an outcome of our own"));
            } else if topic == DEAD_CONVERSATION {
                let header = |name| {
                    String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned()
                };
                let source = header("dead-source");
                let offset = source.rsplit('@').next().and_then(|at| at.parse::<usize>().ok());
                let line = offset.and_then(|at| self.lines.get(at)).copied().unwrap_or_default();
                problem(format!("line {line}: {}: {}", header("dead-code"), header("dead-why")));
            }
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
