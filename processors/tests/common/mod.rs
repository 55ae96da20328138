//! What the tests of the processor share: feeding call models and writing commands as text.
#![allow(unreachable_pub, dead_code, reason = "shared by several test binaries")]

use std::collections::BTreeMap;

use serde_json::Value;
use trunkline_processors::Processor;
use trunkline_processors::conversation::{ConversationProcessor, Settings};
use trunkline_schemas::command::{ConsultTransfer, ProgressConsultTransfer};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{COMMAND_CONVERSATION, OUTCOME_CONVERSATION, RAW_AGENT, RAW_TLIB};
use trunkline_schemas::{
    AgentFact, CallFact, ConversationCommand, Outcome, RawEvent, RawKind, Record, Stored,
    VoiceEvent, codec,
};

/// When the call models begin, milliseconds since 1970.
pub const EPOCH_MS: i64 = 1_710_406_800_000;
/// After so long every wait has run out.
pub const QUIET_MS: i64 = 35_000;
const DOMAIN: &str = "test";

/// One event line of a call model.
#[derive(Clone, Debug)]
pub struct Line {
    pub source: String,
    pub stream: Stream,
    pub at_ms: i64,
    pub event: Value,
}

/// The names of the models with expected commands.
pub const EXPECTED: [&str; 29] = [
    "01a", "01b", "02a", "02b", "03a", "03b", "04", "05a", "05b", "06a", "06b", "07", "07b", "08a",
    "08b", "09", "10", "11", "12a", "12b", "13", "14a", "14b", "15", "16", "17a", "17b", "18",
    "19",
];

pub fn case(path: &str) -> String {
    let path = format!("{}/cases/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names of all call models, from their files.
pub fn all_models() -> Vec<String> {
    let path = format!("{}/cases/models", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(path).expect("the models are part of the crate");
    let names = entries.map(|e| e.expect("readable").file_name().into_string().expect("ascii"));
    let mut names: Vec<String> = names.filter(|n| n.contains(".jsonl")).collect();
    names.sort();
    names
}

/// The consumed lines of a model, by the beginning of its file's name.
pub fn model(name: &str) -> Vec<Line> {
    let file = all_models().into_iter().find(|n| n.starts_with(&format!("{name}-")) || n == name);
    let file = file.unwrap_or_else(|| panic!("no model {name}"));
    let text = case(&format!("models/{file}"));
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let value: Value = serde_json::from_str(text).expect("a model line is JSON");
    let stream = Stream::find(value["stream"].as_str()?).expect("a known stream");
    let event = value["event"].clone();
    let seconds = event["time"]["TimeinSecs"].as_i64().expect("a time");
    let micros = event["time"]["TimeinuSecs"].as_i64().expect("a time");
    let at_ms = seconds * 1000 + micros / 1000;
    let source = value["source"].as_str().expect("a source").to_owned();
    (stream != Stream::Dn).then_some(Line { source, stream, at_ms, event })
}

/// Names of the cases of a folder.
pub fn cases(folder: &str) -> Vec<String> {
    let path = format!("{}/cases/{folder}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(path).expect("the cases are part of the crate");
    let names = entries.map(|e| e.expect("readable").file_name().into_string().expect("ascii"));
    let mut names: Vec<String> = names.filter(|n| n.contains(".txt")).collect();
    names.sort();
    names
}

/// The `n`th event of a case: `<ms> <server> <event> <attribute>=<value>...`.
pub fn compact(text: &str, n: usize) -> Line {
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap_or_else(|| panic!("too few words: {text}"));
    let at_ms = EPOCH_MS + word().parse::<i64>().expect("milliseconds");
    let (source, id) = (word().to_owned(), word().to_owned());
    let stream = match id.as_str() {
        "EventQueued" | "EventDiverted" => Stream::Vq,
        "EventUserEvent" => Stream::Ext,
        _ => Stream::Call,
    };
    let mut event =
        serde_json::json!({ "id": id, "EventSequenceNumber": format!("{:016x}", n + 1) });
    for pair in words {
        let (name, value) = pair.split_once('=').expect("attribute=value");
        let number = matches!(name, "CallType" | "Cause" | "PartyState");
        let value = match (number, value.strip_prefix("0x")) {
            (true, Some(hex)) => i64::from_str_radix(hex, 16).expect("hexadecimal").into(),
            (true, None) => value.parse::<i64>().expect("a number").into(),
            (false, _) => Value::from(value),
        };
        match name.split_once('.') {
            Some((list, key)) => event[list][key] = value,
            None => event[name] = value,
        }
    }
    Line { source, stream, at_ms, event }
}

/// A processor that is given lines as records.
pub struct Feed {
    pub processor: ConversationProcessor,
    pub now_ms: i64,
    pub offset: i64,
    pub commands: Vec<ConversationCommand>,
    pub outcomes: Vec<Outcome>,
    /// What the presence processor was told.
    pub calls: Vec<CallFact>,
    pub dead: usize,
    /// Every record given.
    pub stored_log: Vec<Stored>,
}

impl Feed {
    /// A processor with the directory of the cases and links that have caught up.
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    /// The same, set otherwise.
    pub fn with(settings: Settings) -> Self {
        let processor = ConversationProcessor::new(DOMAIN, settings);
        let mut feed = Self {
            processor,
            now_ms: EPOCH_MS,
            offset: 0,
            commands: Vec::new(),
            outcomes: Vec::new(),
            calls: Vec::new(),
            dead: 0,
            stored_log: Vec::new(),
        };
        let file: DirectoryFile =
            serde_json::from_str(&case("directory.json")).expect("the directory is valid");
        for row in file.rows() {
            let mut raw = feed.bare(RawKind::DirectoryRow);
            raw.payload = serde_json::to_vec(&row).expect("a row is JSON");
            feed.record(&raw);
        }
        feed.record(&feed.bare(RawKind::DirectoryEnd));
        for stream in [Stream::Call, Stream::Vq, Stream::Ext] {
            for kind in [RawKind::LinkUp, RawKind::CaughtUp] {
                let mut raw = feed.bare(kind);
                raw.stream = Some(stream);
                raw.link = format!("a/sips1/{}", stream.name());
                feed.record(&raw);
            }
        }
        feed
    }

    fn bare(&self, kind: RawKind) -> RawEvent {
        RawEvent::bare(kind, DOMAIN, "", self.now_ms * 1000)
    }

    pub fn record(&mut self, raw: &RawEvent) {
        let record = codec::record("", raw).expect("a raw event encodes");
        self.stored(record);
    }

    pub fn stored(&mut self, record: Record) {
        let stored = Stored {
            topic: RAW_TLIB,
            partition: 0,
            offset: self.offset,
            append_time_ms: self.now_ms,
            record,
        };
        self.offset += 1;
        self.processor.apply(&stored);
        self.stored_log.push(stored);
        self.collect();
    }

    /// Gives what the presence processor relays.
    pub fn fact(&mut self, fact: &AgentFact) {
        self.pass(fact.at_ms);
        let payload = serde_json::to_vec(fact).expect("JSON");
        self.record(&RawEvent { payload, ..self.bare(RawKind::AgentFact) });
    }

    /// Gives a part of an announcement of the directory.
    pub fn announced(&mut self, at_ms: i64, kind: RawKind, payload: Vec<u8>) {
        self.pass(at_ms);
        self.record(&RawEvent { payload, ..self.bare(kind) });
    }

    /// Gives a line; stream time is the greatest event time given.
    pub fn line(&mut self, line: &Line) {
        self.pass(line.at_ms);
        self.record(&raw_of(line, "a"));
    }

    /// Lets every wait run out.
    pub fn finish(&mut self) {
        self.pass(self.now_ms + 2 * QUIET_MS);
    }

    /// Lets time pass, a tick each second, as a bridge writes them.
    fn pass(&mut self, to_ms: i64) {
        let from_ms = self.now_ms.max(to_ms - QUIET_MS * 2);
        for at_ms in (from_ms..to_ms).step_by(1_000).skip(1) {
            self.now_ms = at_ms;
            self.record(&self.bare(RawKind::Tick));
        }
        self.now_ms = self.now_ms.max(to_ms);
    }

    fn collect(&mut self) {
        for (topic, record) in self.processor.drain().outputs {
            let value = record.value.expect("no tombstones among outputs");
            if topic == COMMAND_CONVERSATION {
                self.commands.push(codec::decode(&value).expect("our own command"));
            } else if topic == OUTCOME_CONVERSATION {
                self.outcomes.push(codec::decode(&value).expect("our own outcome"));
            } else if topic == RAW_AGENT {
                let raw: RawEvent = codec::decode(&value).expect("a raw event");
                self.calls.push(serde_json::from_slice(&raw.payload).expect("our own fact"));
            } else if topic.name().starts_with("dead.") {
                self.dead += 1;
            }
        }
    }
}

/// The raw event of a line, as a bridge writes it.
pub fn raw_of(line: &Line, bridge: &str) -> RawEvent {
    let text = |key: &str| line.event[key].as_str().map(str::to_owned);
    let sequence = text("EventSequenceNumber").and_then(|s| i64::from_str_radix(&s, 16).ok());
    RawEvent {
        stream: Some(line.stream),
        link: format!("{bridge}/{}/{}", line.source, line.stream.name()),
        server_start: Some(1_710_000_000),
        sequence,
        name: text("id"),
        switch_time_us: Some(line.at_ms * 1000),
        call_uuid: text("CallUUID"),
        conn_id: text("ConnID"),
        this_dn: text("ThisDN"),
        payload: serde_json::to_vec(&line.event).expect("JSON"),
        ..RawEvent::bare(RawKind::Event, DOMAIN, &line.source, line.at_ms * 1000)
    }
}

/// Commands and outcomes of one model in the words of the expected tables.
pub fn render(commands: &[ConversationCommand], outcomes: &[Outcome]) -> Vec<String> {
    let mut names = Names::default();
    let mut lines: Vec<String> = commands.iter().map(|c| names.line(c)).collect();
    for outcome in outcomes {
        let status = serde_json::to_value(outcome.status).expect("a name");
        let code = outcome.code.clone().unwrap_or_default();
        lines.push(format!("{} {code}", status.as_str().unwrap_or_default()));
    }
    lines
}

/// The lines of an expected table without its comments.
pub fn expected(name: &str) -> Vec<String> {
    let text = case(&format!("conversation/{name}.txt"));
    text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect()
}

#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn name(&self, id: &str) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| format!("?{id}"))
    }

    fn line(&mut self, command: &ConversationCommand) -> String {
        let since = command.event_date_time_ms - EPOCH_MS;
        let at = format!("{:02}.{:03}", since / 1000, since % 1000);
        let directory: DirectoryFile =
            serde_json::from_str(&case("directory.json")).expect("the directory is valid");
        let user = |id: &str| {
            let agent = directory.agents.iter().find(|a| a.user_id == id);
            agent.map_or_else(|| format!("?{id}"), |a| a.employee_id.clone())
        };
        let queue = |id: &str| {
            let queue = directory.queues.iter().find(|q| q.queue_id == id);
            queue.map_or_else(|| format!("?{id}"), |q| q.dn.clone())
        };
        let event = command.event.array().trim_end_matches("Events");
        let rest = match &command.event {
            VoiceEvent::ExternalEstablished(e) => {
                let how = self.begun(&e.communication_id, "customer", &e.initial_configuration);
                let number = |k: &str, v: &Option<String>| {
                    v.as_ref().map(|v| format!("{k}={v} ")).unwrap_or_default()
                };
                let numbers = number("ani", &e.ani) + &number("dnis", &e.dnis);
                format!("customer {numbers}{how}")
            }
            VoiceEvent::IvrEstablished(e) => {
                let how = self.begun(&e.communication_id, "ivr", &e.initial_configuration);
                let name = e.ivr_name.clone().unwrap_or_default();
                let number = e.ivr_phone_number.clone().unwrap_or_default();
                format!("ivr name={name} number={number} {how}")
            }
            VoiceEvent::RoutingEstablished(e) => {
                let name = queue(&e.queue_id);
                let how = self.begun(&e.communication_id, &name, &e.initial_configuration);
                format!("{name} {how}")
            }
            VoiceEvent::UserEstablished(e) => {
                let name = user(&e.user_id);
                let how = self.begun(&e.communication_id, &name, &e.initial_configuration);
                format!("{name} {how}")
            }
            VoiceEvent::CommunicationAnswered(e) => self.name(&e.communication_id),
            VoiceEvent::CommunicationEnded(e) => {
                let how = serde_json::to_value(e.disconnect_type).expect("a name");
                format!("{} {}", self.name(&e.communication_id), how.as_str().unwrap_or_default())
            }
            VoiceEvent::HoldUpdated(e) => {
                let how = if e.held { "held" } else { "retrieved" };
                format!("{} {how}", self.name(&e.communication_id))
            }
            VoiceEvent::RoutingTransfer(e) => {
                let from = self.name(&e.initiating_communication_id);
                let of = self.name(&e.object_communication_id);
                format!("{from} -> {} of {of}", queue(&e.destination_queue_id))
            }
            VoiceEvent::UserTransfer(e) => {
                let from = self.name(&e.initiating_communication_id);
                let of = self.name(&e.object_communication_id);
                format!("{from} -> {} of {of}", user(&e.destination_user_id))
            }
            VoiceEvent::ProgressTransfer(e) => {
                format!("-> {}", self.name(&e.destination_communication_id))
            }
            VoiceEvent::EndTransfer(e) => format!("{:?}", e.final_state),
            VoiceEvent::ConsultTransfer(ConsultTransfer {
                initiating_communication_id: from,
                destination_communication_id: to,
                object_communication_id: of,
            })
            | VoiceEvent::ProgressConsultTransfer(ProgressConsultTransfer {
                initiating_communication_id: from,
                destination_communication_id: to,
                object_communication_id: of,
            }) => format!("{} -> {} of {}", self.name(from), self.name(to), self.name(of)),
            VoiceEvent::EndConsultTransfer(_) => String::new(),
            VoiceEvent::PhoneEstablished(e) => {
                let number = e.phone_number.clone().unwrap_or_default();
                let how = self.begun(&e.communication_id, &number, &e.initial_configuration);
                format!("{number} {how}")
            }
            VoiceEvent::PhoneTransfer(e) => {
                let from = self.name(&e.initiating_communication_id);
                let of = self.name(&e.object_communication_id);
                format!("{from} -> {} of {of}", e.destination_phone_number)
            }
            VoiceEvent::CommunicationDispositionApplied(e) => {
                let code = e.code.clone().unwrap_or_else(|| "skipped".to_owned());
                format!("{} {code}", self.name(&e.communication_id))
            }
            VoiceEvent::AudioUpdated(e) => self.name(&e.communication_id),
        };
        format!("{at} {event} {rest}").trim_end().to_owned()
    }

    fn begun(
        &mut self,
        id: &str,
        name: &str,
        how: &trunkline_schemas::command::InitialConfiguration,
    ) -> String {
        self.0.insert(id.to_owned(), name.to_owned());
        let mut words = Vec::new();
        if how.alerting == Some(true) {
            words.push("alerting".to_owned());
        }
        words.push(if how.inbound == Some(true) { "inbound" } else { "outbound" }.to_owned());
        if let Some(by) = &how.invited_by {
            words.push(format!("invitedBy={}", self.name(by)));
        }
        words.join(" ")
    }
}
