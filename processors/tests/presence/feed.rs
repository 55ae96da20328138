//! A presence processor that is given the lines of a case, and what it writes as text.

use serde_json::{Map, Value, json};
use trunkline_processors::Processor;
use trunkline_processors::presence::reason::ReasonNames;
use trunkline_processors::presence::table::Reason;
use trunkline_processors::presence::{Authority, PresenceProcessor, Settings};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::raw::{AgentDeed, PhoneCall, Stream};
use trunkline_schemas::topics::{COMMAND_PRESENCE, OUTCOME_PRESENCE, RAW_AGENT, RAW_TLIB};
use trunkline_schemas::{
    AgentFact, CallFact, DirectoryRow, Output, PresenceChange, PresenceCommand, PresenceOutcome,
    RawEvent, RawKind, Stored, codec,
};

/// When the cases begin, milliseconds since 1970.
pub(crate) const EPOCH_MS: i64 = 1_710_406_800_000;
pub(crate) const DOMAIN: &str = "test";

pub(crate) fn case(path: &str) -> String {
    let path = format!("{}/cases/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

pub(crate) fn directory() -> DirectoryFile {
    serde_json::from_str(&case("directory.json")).expect("the directory is valid")
}

/// The settings of a case.
pub(crate) fn settings(lines: &[&str]) -> Settings {
    let mut settings = Settings::default();
    let mut names = Vec::new();
    for line in lines {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["authority", "voice"] => settings.authority = Authority::VoiceMicroservices,
            ["wait", ms] => settings.reason_wait_ms = ms.parse().expect("milliseconds"),
            ["reason", text, name] => {
                let reason = Reason::MAPPED.into_iter().find(|reason| reason.name() == *name);
                names.push(((*text).to_owned(), reason.expect("a mapped reason")));
            }
            other => panic!("no setting: {other:?}"),
        }
    }
    settings.reasons = ReasonNames::new(names);
    settings
}

pub(crate) struct Feed {
    pub(crate) processor: PresenceProcessor,
    pub(crate) now_ms: i64,
    offset: i64,
    link: String,
    /// What was written since it was last taken.
    said: Vec<String>,
    /// Every command.
    pub(crate) commands: Vec<PresenceCommand>,
    /// Every record given, and the last value of each key of the state.
    pub(crate) stored: Vec<Stored>,
    pub(crate) state: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Feed {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut feed = Self {
            processor: PresenceProcessor::new(DOMAIN, settings),
            now_ms: EPOCH_MS,
            offset: 0,
            link: "b1/site1/stat/0".to_owned(),
            said: Vec::new(),
            commands: Vec::new(),
            stored: Vec::new(),
            state: std::collections::BTreeMap::new(),
        };
        feed.announce(&directory().rows());
        feed
    }

    pub(crate) fn announce(&mut self, rows: &[DirectoryRow]) {
        self.record(&self.bare(RawKind::DirectoryStart));
        for row in rows {
            let payload = serde_json::to_vec(row).expect("a row is JSON");
            self.record(&RawEvent { payload, ..self.bare(RawKind::DirectoryRow) });
        }
        self.record(&self.bare(RawKind::DirectoryEnd));
    }

    /// What was written since the last call.
    pub(crate) fn take_said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    pub(crate) fn bare(&self, kind: RawKind) -> RawEvent {
        let link = self.link.clone();
        let stream = Some(Stream::Stat);
        RawEvent { link, stream, ..RawEvent::bare(kind, DOMAIN, "stat1", self.now_ms * 1_000) }
    }

    pub(crate) fn record(&mut self, raw: &RawEvent) {
        let record = codec::record("", raw).expect("a raw event encodes");
        let stored = Stored {
            topic: RAW_AGENT,
            partition: 0,
            offset: self.offset,
            append_time_ms: self.now_ms,
            record,
        };
        self.offset += 1;
        self.processor.apply(&stored);
        self.stored.push(stored);
        self.collect();
    }

    pub(crate) fn collect(&mut self) {
        let effects = self.processor.drain();
        for (key, value) in effects.state {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
        for (topic, record) in effects.outputs {
            if topic.name().starts_with("dead.") {
                let code = String::from_utf8_lossy(record.header("dead-code").unwrap_or_default());
                self.said.push(format!("dead {code}"));
                continue;
            }
            let output = Output { topic, partition: 0, record };
            if !is_end_of_facts(&output) {
                let said = self.show(&output);
                self.said.push(said);
            }
        }
    }

    fn show(&mut self, output: &Output) -> String {
        let value = output.record.value.as_deref().expect("no tombstones among outputs");
        let key = String::from_utf8_lossy(&output.record.key).into_owned();
        if output.topic == COMMAND_PRESENCE {
            let command: PresenceCommand = codec::decode(value).expect("our own command");
            assert_eq!(command.agent, key);
            assert!(command.cause.starts_with("raw.agent/0@"), "{}", command.cause);
            let (at, agent) = (command.at_ms - EPOCH_MS, command.agent.clone());
            let said = match command.change {
                PresenceChange::Presence(presence) => {
                    format!("{at} {agent} presence {}", presence.name())
                }
                PresenceChange::Routing(status) => {
                    format!("{at} {agent} routing {}", status.name())
                }
            };
            self.commands.push(command);
            said
        } else if output.topic == OUTCOME_PRESENCE {
            let outcome: PresenceOutcome = codec::decode(value).expect("our own outcome");
            format!("leftOut {} {}", outcome.agent, outcome.code.expect("a code"))
        } else {
            assert_eq!(output.topic, RAW_TLIB);
            let raw: RawEvent = codec::decode(value).expect("our own fact");
            assert_eq!(raw.kind, RawKind::AgentFact);
            let fact: AgentFact = serde_json::from_slice(&raw.payload).expect("a fact");
            let (at, agent) = (fact.at_ms - EPOCH_MS, &fact.employee_id);
            match fact.fact {
                AgentDeed::Login => format!("{at} {agent} login {}@{}", fact.dn, fact.switch),
                AgentDeed::Logout => format!("{at} {agent} logout {}@{}", fact.dn, fact.switch),
                AgentDeed::AfterCallWorkEnded => format!("{at} {agent} acwEnded"),
            }
        }
    }

    /// Lets time pass, a tick each second.
    pub(crate) fn pass(&mut self, to_ms: i64) {
        for at_ms in (self.now_ms..to_ms).step_by(1_000).skip(1) {
            self.now_ms = at_ms;
            self.record(&self.bare(RawKind::Tick));
        }
        self.now_ms = self.now_ms.max(to_ms);
    }

    /// Gives one line of a case.
    pub(crate) fn line(&mut self, text: &str) {
        let (at, rest) = text.split_once(' ').expect("a time and more");
        self.pass(EPOCH_MS + at.parse::<i64>().expect("milliseconds"));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match words.as_slice() {
            ["tick"] => self.record(&self.bare(RawKind::Tick)),
            ["up"] => self.record(&self.bare(RawKind::LinkUp)),
            ["down"] => self.record(&self.bare(RawKind::LinkDown)),
            ["link", name] => (*name).clone_into(&mut self.link),
            ["announce", agents @ ..] => {
                let mut file = directory();
                file.agents.retain(|agent| agents.contains(&agent.employee_id.as_str()));
                self.announce(&file.rows());
            }
            ["call", agent, call] => self.call(agent, call),
            ["stat", agent, status, more @ ..] => {
                let mut event =
                    json!({ "Statistic": "CurrentState", "AgentStatus": number(status) });
                let dns = more.iter().filter_map(|word| word.strip_prefix("dn=")).map(dn_status);
                let dns: Vec<Value> = dns.collect();
                if !dns.is_empty() {
                    event["DnStatuses"] = dns.into();
                }
                self.info(agent, event, more);
            }
            ["reasons", agent, more @ ..] => {
                let pairs = more.iter().filter_map(|word| word.split_once('='));
                let pairs = pairs.filter(|(key, _)| !["at", "since"].contains(key));
                let reasons: Map<String, Value> =
                    pairs.map(|(key, value)| (key.to_owned(), number(value))).collect();
                let event = json!({ "Statistic": "CurrentStateReasons", "Reasons": reasons });
                self.info(agent, event, more);
            }
            ["voice", name, more @ ..] => self.voice(name, more),
            other => panic!("no line of a case: {other:?}"),
        }
    }

    fn info(&mut self, agent: &str, mut event: Value, more: &[&str]) {
        let time = |name: &str| {
            let found = more.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.map(|ms| EPOCH_MS + ms.parse::<i64>().expect("milliseconds"))
        };
        let made_ms = time("at").unwrap_or(self.now_ms);
        event["id"] = "EventInfo".into();
        event["AgentId"] = agent.into();
        event["Since"] = time("since").unwrap_or(made_ms).div_euclid(1_000).into();
        event["time"] = json!({
            "TimeinSecs": made_ms.div_euclid(1_000),
            "TimeinuSecs": made_ms.rem_euclid(1_000) * 1_000,
        });
        let raw = RawEvent {
            name: Some("EventInfo".to_owned()),
            switch_time_us: Some(made_ms * 1_000),
            agent_id: Some(agent.to_owned()),
            payload: event.to_string().into_bytes(),
            ..self.bare(RawKind::Event)
        };
        self.record(&raw);
    }

    fn voice(&mut self, name: &str, more: &[&str]) {
        let mut event = json!({ "id": name });
        for (key, value) in more.iter().map(|word| word.split_once('=').expect("a pair")) {
            match key.split_once('.') {
                Some((list, key)) => event[list][key] = number(value),
                None => {
                    event[key] = if key == "AgentWorkMode" { number(value) } else { value.into() }
                }
            }
        }
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        let raw = RawEvent {
            stream: Some(Stream::AgentState),
            name: Some(name.to_owned()),
            switch_time_us: Some(self.now_ms * 1_000),
            this_dn: text("ThisDN"),
            agent_id: text("AgentID"),
            payload: event.to_string().into_bytes(),
            ..self.bare(RawKind::Event)
        };
        self.record(&raw);
    }

    fn call(&mut self, agent: &str, call: &str) {
        let fact = CallFact {
            employee_id: agent.to_owned(),
            call: match call {
                "internal" => Some(PhoneCall::Internal),
                "other" => Some(PhoneCall::Other),
                "none" => None,
                other => panic!("no call: {other}"),
            },
            at_ms: self.now_ms,
            cause: "raw.tlib/0@1".to_owned(),
        };
        let payload = serde_json::to_vec(&fact).expect("a fact is JSON");
        self.record(&RawEvent { payload, ..self.bare(RawKind::CallFact) });
    }
}

fn number(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)
}

fn dn_status(text: &str) -> Value {
    let (dn, rest) = text.split_once('@').expect("DN@SWITCH:STATUS");
    let (switch, status) = rest.split_once(':').expect("DN@SWITCH:STATUS");
    json!({ "DN": dn, "Switch": switch, "Status": number(status) })
}

/// Whether it says that, with the directory, every fact so far was relayed: that concerns no agent.
fn is_end_of_facts(output: &Output) -> bool {
    let value = output.record.value.as_deref().filter(|_| output.topic == RAW_TLIB);
    let raw = value.map(|value| codec::decode::<RawEvent>(value).expect("a raw event"));
    raw.is_some_and(|raw| raw.kind == RawKind::CaughtUp)
}
