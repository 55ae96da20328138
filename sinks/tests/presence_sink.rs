//! The presence sink as tables: given changes of agents and answers, then requests, outcomes and
//! state.
//!
//! A change is an agent and a sign: `a:Busy` a presence, `a:Idle` a routing status. They follow
//! each other by a second.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use support::START_MS;
use support::durable::Durable;
use trunkline_schemas::{
    PresenceChange, PresenceCommand, PresenceOutcome, RoutingStatus, Stored, SystemPresence, codec,
    ids, topics,
};
use trunkline_sinks::delivery::BREAKER_MAX_MS;
use trunkline_sinks::presence::{Known, Memory, PRESENCE_PATH, ROUTING_PATH};
use trunkline_sinks::{Answer, Definitions, Presence, PresenceSink, Rules, SinkConfig, Wave};

/// An organisation that has all definitions but these.
fn rules(without: &[SystemPresence]) -> Presence {
    let all = SystemPresence::ALL.iter().filter(|presence| !without.contains(presence));
    let entities: Vec<Value> = all
        .map(|p| {
            json!({ "id": format!("id-{}", p.name()), "type": "System",
            "systemPresence": p.name() })
        })
        .collect();
    let definitions = Definitions::read(json!({ "entities": entities })).expect("a listing");
    let (definitions, given_up) = (Arc::new(definitions), Arc::default());
    Presence { source_id: "source".into(), definitions, given_up }
}

fn change(name: &str) -> PresenceChange {
    let presence = SystemPresence::ALL.into_iter().find(|p| p.name() == name);
    let routing = RoutingStatus::ALL.into_iter().find(|r| r.name() == name);
    let presence = presence.map(PresenceChange::Presence);
    presence.or(routing.map(PresenceChange::Routing)).expect("a name of the table")
}

fn name(change: PresenceChange) -> &'static str {
    match change {
        PresenceChange::Presence(presence) => presence.name(),
        PresenceChange::Routing(routing) => routing.name(),
    }
}

fn text(command: &PresenceCommand) -> String {
    format!("{}:{}", command.agent, name(command.change))
}

fn commands(given: &str) -> Vec<PresenceCommand> {
    let mut seqs: BTreeMap<String, i64> = BTreeMap::new();
    let each = given.split_whitespace().enumerate().map(|(n, word)| {
        let (agent, name) = word.split_once(':').expect("agent:change");
        let seq = seqs.entry(agent.to_owned()).or_default();
        *seq += 1;
        PresenceCommand {
            event_id: ids::presence_event_id("d", agent, *seq, name).to_string(),
            agent: agent.into(),
            user_id: format!("user-{agent}"),
            domain: "d".into(),
            seq: *seq,
            at_ms: START_MS + n as i64 * 1_000,
            change: change(name),
            cause: "raw.agent/0@1".into(),
        }
    });
    each.collect()
}

/// The caller's loop with a virtual clock.
struct Bench {
    config: SinkConfig,
    rules: Presence,
    sink: PresenceSink,
    durable: Durable<PresenceOutcome>,
    log: Vec<(Stored, PresenceCommand)>,
    now_ms: i64,
    waves: Vec<String>,
}

impl Bench {
    fn new(config: SinkConfig, rules: Presence) -> Self {
        let sink = PresenceSink::new(rules.clone(), config.clone(), 0, 0);
        Self {
            config,
            rules,
            sink,
            durable: Durable::default(),
            log: Vec::new(),
            now_ms: START_MS,
            waves: Vec::new(),
        }
    }

    fn append(&mut self, command: &PresenceCommand) {
        let record = codec::record(command.agent.as_bytes(), command).expect("it is encoded");
        let (topic, offset) = (topics::COMMAND_PRESENCE, self.log.len() as i64);
        let append_time_ms = self.now_ms;
        let stored = Stored { topic, partition: 0, offset, append_time_ms, record };
        self.sink.offer(&stored, command.clone());
        self.log.push((stored, command.clone()));
    }

    fn commit(&mut self) {
        if let Some(step) = self.sink.take_step(self.now_ms) {
            self.durable.commit::<Presence>(step);
        }
    }

    /// `a:Busy Accepted` and so on, in the order of their commits.
    fn outcomes(&self) -> Vec<String> {
        let name = |outcome: &PresenceOutcome| {
            let of = self.log.iter().find(|(_, c)| Some(&c.event_id) == outcome.event_id.as_ref());
            let (_, command) = of.expect("an outcome is of a command");
            assert_eq!(outcome.user_id.as_ref(), Some(&command.user_id));
            assert_eq!(outcome.event.as_deref(), Some(command.change.array()));
            let code = outcome.code.as_ref().map(|code| format!("/{code}")).unwrap_or_default();
            format!("{} {:?}{code}", text(command), outcome.status)
        };
        self.durable.outcomes.iter().map(name).collect()
    }

    fn restart(&mut self) {
        let end = self.log.len() as i64;
        self.sink = self.durable.restore(self.rules.clone(), self.config.clone(), end);
        for (stored, command) in &self.log[self.durable.position as usize..] {
            self.sink.offer(stored, command.clone());
        }
    }

    fn next_wave(&mut self) -> Option<Wave<PresenceCommand>> {
        self.commit();
        let wave = self.sink.next_wave(self.now_ms)?;
        let texts: Vec<String> = wave.commands.iter().map(text).collect();
        self.waves.push(texts.join(" "));
        let paths: Vec<&str> = wave.commands.iter().map(Presence::path).collect();
        assert!(paths.iter().all(|path| *path == paths[0]), "one operation a request: {texts:?}");
        let known = [PRESENCE_PATH, ROUTING_PATH];
        assert!(known.contains(&self.sink.rules().request(&wave.commands).path));
        Some(wave)
    }

    /// Sends and answers until nothing is left to do; answers that are not given are `ok`. The
    /// clock jumps to the next moment of which the sink speaks.
    fn run(&mut self, answers: &[&str]) {
        let mut answers = answers.iter();
        for _ in 0..10_000 {
            if let Some(wave) = self.next_wave() {
                let answer = answer(answers.next().unwrap_or(&"ok"), &wave);
                self.sink.answered(wave.id, answer, self.now_ms, 1.0);
            } else if let Some(at) = self.sink.wake_at() {
                assert!(at > self.now_ms, "asked to wake at a moment at which nothing is sent");
                self.now_ms = at;
            } else {
                return;
            }
        }
        panic!("the sink never comes to rest");
    }

    fn known(&self, agent: &str) -> Known {
        let value = self.durable.state.get(agent.as_bytes()).expect("the agent has a state");
        let memory: Memory = serde_json::from_slice(value).expect("the state is JSON");
        memory.known
    }
}

/// An answer by its name; see [`support::durable::answer`].
fn answer(name: &str, wave: &Wave<PresenceCommand>) -> Answer {
    support::durable::answer::<Presence>(name, wave, text)
}

struct Row {
    name: &'static str,
    given: &'static str,
    answers: &'static [&'static str],
    waves: &'static [&'static str],
    outcomes: &'static [&'static str],
    dead: &'static [&'static str],
}

const ROWS: [Row; 9] = [
    Row {
        name: "each agent's changes one after the other, one operation a request",
        given: "a:Busy a:OffQueue b:OnQueue b:Idle b:Interacting",
        answers: &[],
        waves: &["a:Busy b:OnQueue", "a:OffQueue b:Idle", "b:Interacting"],
        outcomes: &[
            "a:Busy Accepted",
            "b:OnQueue Accepted",
            "a:OffQueue Accepted",
            "b:Idle Accepted",
            "b:Interacting Accepted",
        ],
        dead: &[],
    },
    Row {
        name: "the oldest change decides which operation comes first",
        given: "a:Idle b:Busy c:Interacting",
        answers: &[],
        waves: &["a:Idle c:Interacting", "b:Busy"],
        outcomes: &["a:Idle Accepted", "c:Interacting Accepted", "b:Busy Accepted"],
        dead: &[],
    },
    Row {
        name: "an error is of one event; a retryable one holds its agent back and no other",
        given: "a:Busy b:Busy a:OffQueue b:OffQueue",
        answers: &["again a:Busy"],
        waves: &["a:Busy b:Busy", "b:OffQueue", "a:Busy", "a:OffQueue"],
        outcomes: &[
            "b:Busy Accepted",
            "b:OffQueue Accepted",
            "a:Busy Accepted",
            "a:OffQueue Accepted",
        ],
        dead: &[],
    },
    Row {
        name: "a change refused for good is a dead letter, and what comes later is told",
        given: "a:Busy a:OffQueue a:OnQueue",
        answers: &["no a:Busy"],
        waves: &["a:Busy", "a:OffQueue", "a:OnQueue"],
        outcomes: &["a:Busy Refused/refused", "a:OffQueue Accepted", "a:OnQueue Accepted"],
        dead: &["refused"],
    },
    Row {
        name: "attempts are bounded",
        given: "a:Busy a:Idle",
        answers: &["again a:Busy", "again a:Busy", "again a:Busy"],
        waves: &["a:Busy", "a:Busy", "a:Busy", "a:Idle"],
        outcomes: &["a:Busy Refused/retries_exhausted", "a:Idle Accepted"],
        dead: &["retries_exhausted"],
    },
    Row {
        name: "without an answer the same event goes again, in its place",
        given: "a:Busy a:Idle",
        answers: &["cut", "cut"],
        waves: &["a:Busy", "a:Busy", "a:Busy", "a:Idle"],
        outcomes: &["a:Busy Accepted", "a:Idle Accepted"],
        dead: &[],
    },
    Row {
        name: "a resend that is refused had been applied",
        given: "a:Busy a:Idle",
        answers: &["cut", "no a:Busy"],
        waves: &["a:Busy", "a:Busy", "a:Idle"],
        outcomes: &["a:Busy AssumedApplied/assumed_applied", "a:Idle Accepted"],
        dead: &[],
    },
    Row {
        name: "a request refused whole is halved until the event stands alone that spoils it",
        given: "a:Busy b:Busy",
        answers: &["400", "ok", "400"],
        waves: &["a:Busy b:Busy", "a:Busy", "b:Busy"],
        outcomes: &["a:Busy Accepted", "b:Busy Refused/refused"],
        dead: &["refused"],
    },
    Row {
        name: "nothing was sent: nothing is lost, and no attempt is to blame",
        given: "a:Busy",
        answers: &["down", "down", "down", "down"],
        waves: &["a:Busy", "a:Busy", "a:Busy", "a:Busy", "a:Busy"],
        outcomes: &["a:Busy Accepted"],
        dead: &[],
    },
];

#[test]
fn given_changes_and_answers_then_requests_and_outcomes() {
    for row in ROWS {
        let config = SinkConfig { max_attempts: 3, ..SinkConfig::default() };
        let mut bench = Bench::new(config, rules(&[]));
        for command in commands(row.given) {
            bench.append(&command);
        }
        bench.run(row.answers);
        assert_eq!(bench.waves, row.waves, "{}: requests", row.name);
        assert_eq!(bench.outcomes(), row.outcomes, "{}: outcomes", row.name);
        assert_eq!(bench.durable.dead_codes(), row.dead, "{}: dead letters", row.name);
        assert_eq!(bench.durable.position, bench.log.len() as i64, "{}: position", row.name);
    }
}

#[test]
fn nothing_is_sent_inside_a_retry_after() {
    let mut bench = Bench::new(SinkConfig::default(), rules(&[]));
    for command in commands("a:Busy b:Busy") {
        bench.append(&command);
    }
    let wave = bench.next_wave().expect("a request");
    bench.sink.answered(wave.id, answer("429", &wave), START_MS, 1.0);
    assert_eq!(bench.sink.wake_at(), Some(START_MS + 7_000));
    bench.now_ms = START_MS + 6_999;
    assert_eq!(bench.next_wave(), None);
    bench.now_ms = START_MS + 7_000;
    let wave = bench.next_wave().expect("the same again");
    assert_eq!(bench.waves, ["a:Busy b:Busy", "a:Busy b:Busy"]);
    bench.sink.answered(wave.id, answer("ok", &wave), bench.now_ms, 1.0);
    bench.run(&[]);
    assert_eq!(bench.outcomes(), ["a:Busy Accepted", "b:Busy Accepted"]);
}

#[test]
fn a_request_has_a_hundred_events_of_different_agents_at_most() {
    let mut bench = Bench::new(SinkConfig::default(), rules(&[]));
    let logins = |n: usize| format!("a{n}:Busy a{n}:OffQueue");
    let given: Vec<String> = (0..250).map(logins).collect();
    for command in commands(&given.join(" ")) {
        bench.append(&command);
    }
    let mut waves = Vec::new();
    while let Some(wave) = bench.next_wave() {
        waves.push(wave);
    }
    // Four at once, while the fourth waits for nobody: 100, 100, 50, and no agent twice.
    let sizes: Vec<usize> = waves.iter().map(|wave| wave.commands.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    let mut agents: Vec<&str> =
        waves.iter().flat_map(|w| &w.commands).map(|c| c.agent.as_str()).collect();
    agents.sort_unstable();
    agents.dedup();
    assert_eq!(agents.len(), 250, "one request in flight an agent");
    for wave in waves {
        bench.sink.answered(wave.id, answer("ok", &wave), START_MS, 1.0);
    }
    bench.run(&[]);
    assert_eq!((bench.waves.len(), bench.outcomes().len()), (6, 500));
}

#[test]
fn a_change_whose_presence_has_no_definition_waits_with_its_agent_alone() {
    let mut bench = Bench::new(SinkConfig::default(), rules(&[SystemPresence::Meal]));
    for command in commands("a:Meal a:OffQueue b:Busy a:Busy b:OffQueue") {
        bench.append(&command);
    }
    bench.run(&[]);
    assert_eq!(bench.waves, ["b:Busy", "b:OffQueue"]);
    assert_eq!((bench.durable.position, bench.sink.backlog().waiting), (0, 3));
    assert!(!bench.sink.ready(bench.now_ms), "nothing is worth an allowance");
    bench.sink.set_rules(rules(&[]));
    bench.run(&[]);
    assert_eq!(bench.waves[2..], ["a:Meal", "a:OffQueue", "a:Busy"]);
    assert_eq!((bench.durable.position, bench.sink.backlog().waiting), (5, 0));
}

#[test]
fn a_presence_that_is_given_up_stops_nobody() {
    let lacking = rules(&[SystemPresence::Meal]);
    let config = SinkConfig { max_waiting: 4, ..SinkConfig::default() };
    let mut bench = Bench::new(config, lacking.clone());
    for command in commands("a:Meal a:OffQueue b:Meal b:Busy") {
        bench.append(&command);
    }
    bench.run(&[]);
    assert_eq!((bench.waves.len(), bench.sink.room()), (0, 0), "the partition is full");

    let given_up = Arc::new([SystemPresence::Meal].into());
    bench.sink.set_rules(Presence { given_up, ..lacking });
    bench.run(&[]);
    // What the agents do next goes out; what comes later waits for nothing.
    bench.append(&commands("c:Meal")[0]);
    bench.run(&[]);
    assert_eq!(bench.waves, ["a:OffQueue", "b:Busy"]);
    assert_eq!((bench.durable.position, bench.sink.room()), (5, 4));
    let expected = [
        "a:Meal Refused/no_definition",
        "b:Meal Refused/no_definition",
        "a:OffQueue Accepted",
        "b:Busy Accepted",
        "c:Meal Refused/no_definition",
    ];
    assert_eq!(bench.outcomes(), expected);
    assert_eq!(bench.durable.dead_codes(), ["no_definition"; 3]);

    // Once there is such a presence, it is told.
    bench.sink.set_rules(rules(&[]));
    bench.append(&commands("d:Meal")[0]);
    bench.run(&[]);
    assert_eq!(bench.waves[2..], ["d:Meal"]);
}

#[test]
fn a_restart_sends_what_was_on_the_wire_again_and_nothing_twice_that_was_answered() {
    let mut bench = Bench::new(SinkConfig::default(), rules(&[]));
    for command in commands("a:Busy b:OnQueue a:OffQueue b:Idle") {
        bench.append(&command);
    }
    let wave = bench.next_wave().expect("a request");
    bench.sink.answered(wave.id, answer("ok", &wave), START_MS, 1.0);
    let second = bench.next_wave().expect("a second request");
    assert_eq!(second.commands.len(), 2);
    bench.restart();
    bench.run(&["no a:OffQueue"]);
    assert_eq!(bench.waves, ["a:Busy b:OnQueue", "a:OffQueue b:Idle", "a:OffQueue b:Idle"]);
    let expected = [
        "a:Busy Accepted",
        "b:OnQueue Accepted",
        "a:OffQueue AssumedApplied/assumed_applied",
        "b:Idle Accepted",
    ];
    assert_eq!(bench.outcomes(), expected);
    let shown =
        Known { presence: Some(SystemPresence::OnQueue), routing: Some(RoutingStatus::Idle) };
    assert_eq!(bench.known("b"), shown);
}

#[test]
fn an_agent_who_logged_off_is_forgotten_after_the_gravestone_and_others_are_not() {
    let config = SinkConfig { gravestone_ms: 60_000, ..SinkConfig::default() };
    let mut bench = Bench::new(config, rules(&[]));
    for command in commands("a:Offline a:OffQueue b:OnQueue b:Idle") {
        bench.append(&command);
    }
    bench.run(&[]);
    assert_eq!(bench.durable.state.len(), 2);
    bench.now_ms += 60_001;
    bench.append(&commands("c:Busy")[0]);
    bench.run(&[]);
    let known: Vec<&[u8]> = bench.durable.state.keys().map(Vec::as_slice).collect();
    assert_eq!(known, [b"b", b"c"]);
}

#[test]
fn after_silence_one_request_at_a_time_probes() {
    let mut bench = Bench::new(SinkConfig::default(), rules(&[]));
    for command in commands("a:Busy b:Idle c:Busy d:Idle") {
        bench.append(&command);
    }
    for _ in 0..3 {
        let wave = bench.next_wave().expect("a request");
        bench.sink.answered(wave.id, answer("cut", &wave), bench.now_ms, 1.0);
        bench.now_ms = bench.sink.wake_at().expect("it goes on").max(bench.now_ms);
    }
    let waited = bench.sink.wake_at().expect("it goes on") - bench.now_ms;
    assert!(waited <= BREAKER_MAX_MS);
    assert!(bench.next_wave().is_some());
    assert_eq!(bench.next_wave(), None, "a second one while the first probes");
}
