//! The conversation sink as tables: given commands and answers, then requests, outcomes and state.

mod support;

use support::{Kept, START_MS, conversation, record_of, stored, text};
use trunkline_schemas::{ConversationCommand, OutcomeStatus, Record, Stored};
use trunkline_sinks::conversation::{Gate, Memory};
use trunkline_sinks::delivery::{BLOCKED_MIN_MS, BREAKER_MAX_MS, Knowledge, MAX_WHY_CHARS};
use trunkline_sinks::{Answer, Conversation, ConversationSink, SinkConfig, Wave};

/// An answer by its name; see [`support::durable::answer`].
fn answer(name: &str, wave: &Wave<ConversationCommand>) -> Answer {
    support::durable::answer::<Conversation>(name, wave, |command| text(&command.event))
}

/// The caller's loop with a virtual clock.
struct Bench {
    config: SinkConfig,
    sink: ConversationSink,
    durable: Kept,
    commands: Vec<ConversationCommand>,
    log: Vec<Stored>,
    now_ms: i64,
    waves: Vec<String>,
}

impl Bench {
    fn new(config: SinkConfig) -> Self {
        let sink = ConversationSink::new(Conversation, config.clone(), 0, 0);
        let (durable, now_ms) = (Kept::default(), START_MS);
        let (commands, log, waves) = (vec![], vec![], vec![]);
        Self { config, sink, durable, commands, log, now_ms, waves }
    }

    fn append(&mut self, command: &ConversationCommand) {
        self.commands.push(command.clone());
        // Offsets may have gaps.
        let stored = stored(self.log.len() as i64 * 3, self.now_ms, record_of(command));
        self.log.push(stored.clone());
        self.sink.offer(&stored, command.clone());
    }

    fn restart(&mut self) {
        let end = self.log.last().map_or(0, |s| s.offset + 1);
        self.sink = self.durable.restore(Conversation, self.config.clone(), end);
        for (stored, command) in self.log.iter().zip(&self.commands) {
            if stored.offset >= self.durable.position {
                self.sink.offer(stored, command.clone());
            }
        }
    }

    fn commit(&mut self) {
        if let Some(step) = self.sink.take_step(self.now_ms) {
            self.durable.commit::<Conversation>(step);
        }
    }

    /// Sends and answers until nothing is left to do; answers that are not given are `ok`. The
    /// clock jumps to the next moment of which the sink speaks.
    fn run(&mut self, answers: &[&str]) {
        let mut answers = answers.iter();
        for _ in 0..10_000 {
            self.commit();
            if let Some(wave) = self.sink.next_wave(self.now_ms) {
                let texts: Vec<String> = wave.commands.iter().map(|c| text(&c.event)).collect();
                self.waves.push(texts.join(" "));
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

    fn memory(&self, id: &str) -> Memory {
        let value = self.durable.state.get(id.as_bytes()).expect("the conversation has a state");
        serde_json::from_slice(value).expect("the state is JSON")
    }
}

struct Row {
    name: &'static str,
    given: &'static str,
    answers: &'static [&'static str],
    waves: &'static [&'static str],
    outcomes: &'static [&'static str],
    dead: &'static [&'static str],
}

const ROWS: [Row; 12] = [
    Row {
        name: "one event after the other",
        given: "ext+ a+ a? ext- a-.",
        answers: &[],
        waves: &["ext+", "a+", "a?", "ext-", "a-"],
        outcomes: &["ext+ Accepted", "a+ Accepted", "a? Accepted", "ext- Accepted", "a- Accepted"],
        dead: &[],
    },
    Row {
        name: "a retryable error holds the conversation back",
        given: "ext+ a+",
        answers: &["again ext+", "again ext+"],
        waves: &["ext+", "ext+", "ext+", "a+"],
        outcomes: &["ext+ Accepted", "a+ Accepted"],
        dead: &[],
    },
    Row {
        name: "attempts are bounded",
        given: "ext+ a+",
        answers: &["again ext+", "again ext+", "again ext+"],
        waves: &["ext+", "ext+", "ext+"],
        outcomes: &["ext+ Refused/retries_exhausted", "a+ Gated/gated"],
        dead: &["retries_exhausted", "gated"],
    },
    Row {
        name: "the first refused: all later ones are gated",
        given: "ext+ a+ a- ext-",
        answers: &["no ext+"],
        waves: &["ext+"],
        outcomes: &["ext+ Refused/refused", "a+ Gated/gated", "a- Gated/gated", "ext- Gated/gated"],
        dead: &["refused", "gated", "gated", "gated"],
    },
    Row {
        name: "an optional event refused changes nothing else",
        given: "ext+ a+ ah ext- a-.",
        answers: &["ok", "ok", "no ah"],
        waves: &["ext+", "a+", "ah", "ext-", "a-"],
        outcomes: &[
            "ext+ Accepted",
            "a+ Accepted",
            "ah Refused/refused",
            "ext- Accepted",
            "a- Accepted",
        ],
        dead: &["refused"],
    },
    Row {
        name: "structural: only ends of accepted legs pass, the last one in time",
        given: "ext+ q+ a> a+ a? ext- q-. a-.",
        answers: &["ok", "ok", "ok", "no a+"],
        waves: &["ext+", "q+", "a>", "a+", "ext-", "q-"],
        outcomes: &[
            "ext+ Accepted",
            "q+ Accepted",
            "a> Accepted",
            "a+ Refused/refused",
            "a? Gated/gated",
            "ext- Accepted",
            "q- Accepted",
            "a- Gated/gated",
        ],
        dead: &["refused", "gated", "gated"],
    },
    Row {
        name: "the own end of a party left alone comes within a second and is taken",
        given: "ext+ q+ a+ q- ext-",
        answers: &["ok", "ok", "no a+"],
        waves: &["ext+", "q+", "a+", "q-", "ext-"],
        outcomes: &[
            "ext+ Accepted",
            "q+ Accepted",
            "a+ Refused/refused",
            "q- Accepted",
            "ext- Accepted",
        ],
        dead: &["refused"],
    },
    Row {
        name: "cut, then refused: counted as applied",
        given: "ext+ a+",
        answers: &["cut", "no ext+"],
        waves: &["ext+", "ext+", "a+"],
        outcomes: &["ext+ AssumedApplied/assumed_applied", "a+ Accepted"],
        dead: &[],
    },
    Row {
        name: "cut, then conflict: counted as applied",
        given: "ext+",
        answers: &["cut", "409"],
        waves: &["ext+", "ext+"],
        outcomes: &["ext+ AssumedApplied/assumed_applied"],
        dead: &[],
    },
    Row {
        name: "never sent is not ambiguous",
        given: "ext+",
        answers: &["down", "429", "401", "403", "no ext+"],
        waves: &["ext+", "ext+", "ext+", "ext+", "ext+"],
        outcomes: &["ext+ Refused/refused"],
        dead: &["refused"],
    },
    Row {
        name: "a bad request of one event is final",
        given: "ext+",
        answers: &["400"],
        waves: &["ext+"],
        outcomes: &["ext+ Refused/refused"],
        dead: &["refused"],
    },
    Row {
        name: "too large is too large, whatever came before",
        given: "ext+",
        answers: &["cut", "413"],
        waves: &["ext+", "ext+"],
        outcomes: &["ext+ Refused/request_too_large"],
        dead: &["request_too_large"],
    },
];

#[test]
fn one_conversation() {
    for row in ROWS {
        let mut bench = Bench::new(SinkConfig { max_attempts: 3, ..SinkConfig::default() });
        for command in conversation("c", row.given) {
            bench.append(&command);
        }
        bench.run(row.answers);
        assert_eq!(bench.waves, row.waves, "{}", row.name);
        assert_eq!(bench.durable.told(&bench.commands), row.outcomes, "{}", row.name);
        assert_eq!(bench.durable.dead_codes(), row.dead, "{}", row.name);
        let end = bench.log.last().expect("something was given").offset + 1;
        assert_eq!(bench.durable.position, end, "{}", row.name);
        assert_eq!(bench.sink.backlog().waiting, 0, "{}", row.name);
    }
}

/// A conversation in which `a` was refused after `q` had joined `ext`.
fn left_alone(rest: &str) -> Bench {
    let mut bench = Bench::new(SinkConfig::default());
    for command in conversation("c", &format!("ext+ q+ a+ q- {rest}")) {
        bench.append(&command);
    }
    bench
}

#[test]
fn a_party_left_alone_is_ended_a_millisecond_later() {
    // Its own end comes much later by event time, or has not been told yet.
    for rest in ["ah ah ext-", ""] {
        let mut bench = left_alone(rest);
        bench.run(&["ok", "ok", "no a+"]);
        assert_eq!(bench.waves[3..], ["q-", "ext-!"], "{rest}");
        let memory = bench.memory("c");
        assert_eq!(memory.known.last_ms, START_MS + 4_001);
        assert!(memory.known.is_over());
        let own = bench.durable.outcomes.iter().find(|o| o.seq.is_none()).expect("its outcome");
        assert_eq!(own.status, OutcomeStatus::Accepted);
        let id = trunkline_schemas::ids::event_id("ext", "gate-end", 1).to_string();
        assert_eq!(own.event_id.as_ref(), Some(&id));
        assert_eq!(bench.sink.counters().own_events, 1);
    }
}

#[test]
fn the_end_a_sink_makes_survives_a_restart_and_is_then_ambiguous() {
    let mut bench = left_alone("");
    for said in ["ok", "ok", "no a+", "ok"] {
        bench.commit();
        let wave = bench.sink.next_wave(bench.now_ms).expect("an event to send");
        bench.sink.answered(wave.id, answer(said, &wave), bench.now_ms, 1.0);
    }
    bench.commit();
    bench.now_ms += bench.config.grace_ms;
    assert_eq!(bench.sink.wake_at(), Some(bench.now_ms));
    assert!(bench.sink.next_wave(bench.now_ms).is_none(), "not before it is durable");
    bench.commit();
    let wave = bench.sink.next_wave(bench.now_ms).expect("the end the sink made");
    assert_eq!(text(&wave.commands[0].event), "ext-!");
    // Sent, and the process dies before the answer is durable.
    bench.restart();
    bench.run(&["no ext-!"]);
    assert_eq!(bench.waves, ["ext-!"]);
    assert_eq!(
        bench.durable.told(&bench.commands).last().map(String::as_str),
        Some("! AssumedApplied/assumed_applied")
    );
    assert!(bench.memory("c").known.is_over());
}

#[test]
fn a_refused_end_of_the_sink_is_not_made_twice() {
    let mut bench = left_alone("");
    bench.run(&["ok", "ok", "no a+", "ok", "no ext-!"]);
    assert_eq!(bench.waves, ["ext+", "q+", "a+", "q-", "ext-!"]);
    let dead = bench.durable.dead.last().expect("a dead letter");
    assert_eq!(dead.header("dead-source"), Some(&b"conversation-sink"[..]));
    assert_eq!(bench.memory("c").known.gate_end, None);
}

#[test]
fn waves_join_conversations_and_leave_those_in_backoff_out() {
    let mut bench = Bench::new(SinkConfig::default());
    let many: Vec<_> =
        (0..120).map(|n| conversation(&format!("c{n:03}"), "ext+ a+ ext- a-.")).collect();
    for seq in 0..4 {
        for commands in &many {
            bench.append(&commands[seq]);
        }
    }
    let first = bench.sink.next_wave(bench.now_ms).expect("a full wave");
    let second = bench.sink.next_wave(bench.now_ms).expect("the rest");
    assert_eq!((first.commands.len(), second.commands.len()), (100, 20));
    assert!(!bench.sink.ready(bench.now_ms), "every conversation has one in flight");
    bench.sink.answered(first.id, answer("again ext+", &first), bench.now_ms, 0.0);
    bench.sink.answered(second.id, Answer::Accepted { errors: vec![] }, bench.now_ms, 0.0);
    assert!(bench.sink.next_wave(bench.now_ms).is_none(), "a change is committed first");
    bench.commit();
    assert_eq!(bench.durable.position, 0, "the oldest is not done with");
    let third = bench.sink.next_wave(bench.now_ms).expect("those not in backoff");
    assert_eq!(third.commands.len(), 20);
    assert!(third.commands.iter().all(|c| c.seq == 2));
    assert_eq!(bench.sink.wake_at(), Some(bench.now_ms + 500));
    bench.sink.answered(third.id, Answer::Accepted { errors: vec![] }, bench.now_ms, 0.0);
    bench.run(&[]);
    assert_eq!(bench.sink.counters().accepted, 480);
    assert_eq!(bench.sink.counters().retries, 100);
}

#[test]
fn only_so_many_waves_are_in_flight() {
    let config = SinkConfig { max_events_per_request: 1, ..SinkConfig::default() };
    let mut bench = Bench::new(config);
    for n in 0..6 {
        bench.append(&conversation(&format!("c{n}"), "ext+")[0]);
    }
    let waves: Vec<_> = std::iter::from_fn(|| bench.sink.next_wave(bench.now_ms)).collect();
    assert_eq!(waves.len(), 4);
    assert_eq!(bench.sink.backlog().in_flight, 4);
    assert_eq!(bench.sink.wake_at(), None, "only an answer helps");
    bench.sink.answered(99, Answer::Accepted { errors: vec![] }, bench.now_ms, 0.0);
    assert_eq!(bench.sink.backlog().in_flight, 4, "an unknown wave is ignored");
}

#[test]
fn a_spoilt_request_is_halved_until_the_event_stands_alone() {
    for (said, code) in [("400", "refused"), ("413", "request_too_large"), ("409", "refused")] {
        let mut bench = Bench::new(SinkConfig::default());
        for n in 0..100 {
            bench.append(&conversation(&format!("c{n:02}"), "ext+")[0]);
        }
        let mut requests = 0;
        loop {
            bench.commit();
            let Some(wave) = bench.sink.next_wave(bench.now_ms) else { break };
            let spoils = wave.commands.iter().any(|c| c.conversation_id == "c37");
            let said = answer(if spoils { said } else { "ok" }, &wave);
            bench.sink.answered(wave.id, said, bench.now_ms, 0.0);
            requests += 1;
        }
        assert!(requests <= 15, "{requests} requests to find one of 100");
        let counters = bench.sink.counters();
        assert_eq!((counters.accepted, counters.refused), (99, 1));
        assert_eq!(bench.durable.dead_codes(), [code]);
        assert_eq!(bench.durable.dead[0].key, b"c37");
    }
}

#[test]
fn an_event_that_spoils_answers_is_found_and_given_up_while_others_go_on() {
    let mut bench = Bench::new(SinkConfig::default());
    let spoilt = conversation("spoilt", "ext+ a+");
    bench.append(&spoilt[0]);
    let mut offered = 0;
    while bench.sink.counters().refused == 0 {
        // Other calls keep coming in.
        bench.append(&conversation(&format!("c{offered:05}"), "ext+")[0]);
        offered += 1;
        assert!(offered < 2_000, "it is never given up");
        bench.commit();
        while let Some(wave) = bench.sink.next_wave(bench.now_ms) {
            let spoils = wave.commands.iter().any(|c| c.conversation_id == "spoilt");
            let said = answer(if spoils { "cut" } else { "ok" }, &wave);
            bench.sink.answered(wave.id, said, bench.now_ms, 1.0);
            bench.commit();
        }
        bench.now_ms += 1_000;
    }
    bench.run(&[]);
    assert_eq!(bench.durable.dead_codes(), ["unanswered"]);
    assert_eq!(bench.sink.counters().accepted, offered);
}

#[test]
fn an_outage_wears_out_no_event() {
    let mut bench = Bench::new(SinkConfig::default());
    bench.append(&conversation("c", "ext+")[0]);
    let outage: Vec<&str> = (0..200).map(|n| if n % 2 == 0 { "cut" } else { "down" }).collect();
    bench.run(&outage);
    assert_eq!(bench.durable.told(&bench.commands), ["ext+ Accepted"]);
    assert_eq!(bench.durable.outcomes[0].attempts, 201);
}

#[test]
fn what_concerns_all_holds_all_back() {
    let table = [
        ("429", 7_000, None),
        ("401", 60_000, Some("401: the log-in was refused")),
        ("403", 60_000, Some("403: code")),
        ("down", 1_000, None),
    ];
    for (said, wait_ms, blocked) in table {
        let mut bench = Bench::new(SinkConfig::default());
        bench.append(&conversation("c", "ext+")[0]);
        let wave = bench.sink.next_wave(bench.now_ms).expect("an event to send");
        bench.sink.answered(wave.id, answer(said, &wave), bench.now_ms, 1.0);
        bench.append(&conversation("d", "ext+")[0]);
        assert_eq!(bench.sink.wake_at(), Some(bench.now_ms + wait_ms), "{said}");
        assert!(bench.sink.next_wave(bench.now_ms + wait_ms - 1).is_none(), "{said}");
        assert!(!bench.sink.ready(bench.now_ms + wait_ms - 1), "{said}");
        assert_eq!(bench.sink.backlog().blocked.as_deref(), blocked, "{said}");
        assert!(bench.sink.ready(bench.now_ms + wait_ms), "{said}");
        let wave = bench.sink.next_wave(bench.now_ms + wait_ms).expect("both");
        assert_eq!(wave.commands.len(), 2, "{said}");
        bench.sink.answered(wave.id, answer("ok", &wave), bench.now_ms + wait_ms, 0.0);
        assert_eq!(bench.sink.backlog().blocked, None, "{said}");
    }
    const { assert!(BREAKER_MAX_MS < BLOCKED_MIN_MS) };
}

#[test]
fn in_an_outage_one_request_probes() {
    let mut bench = Bench::new(SinkConfig::default());
    for n in 0..8 {
        bench.append(&conversation(&format!("c{n}"), "ext+")[0]);
        if let Some(wave) = bench.sink.next_wave(bench.now_ms) {
            bench.sink.answered(wave.id, answer("cut", &wave), bench.now_ms, 1.0);
        }
    }
    // Three were sent and not answered; the other five wait for the probe.
    assert_eq!(bench.sink.counters().waves, 3);
    bench.now_ms += BREAKER_MAX_MS;
    let probe = bench.sink.next_wave(bench.now_ms).expect("a probe");
    bench.append(&conversation("late", "ext+")[0]);
    assert!(bench.sink.next_wave(bench.now_ms).is_none(), "one at a time");
    bench.sink.answered(probe.id, answer("ok", &probe), bench.now_ms, 1.0);
    bench.run(&[]);
    assert_eq!(bench.sink.counters().accepted, 9);
}

#[test]
fn after_a_restart_only_what_can_have_been_sent_is_ambiguous() {
    // The first unfinished event of each conversation, if it was there before the restart.
    let mut bench = Bench::new(SinkConfig::default());
    for command in &conversation("c", "ext+ a+")[..] {
        bench.append(command);
    }
    bench.commit();
    let _lost = bench.sink.next_wave(bench.now_ms).expect("sent, and the process dies");
    bench.restart();
    bench.append(&conversation("new", "ext+")[0]);
    bench.run(&["no ext+", "no a+"]);
    assert_eq!(
        bench.durable.told(&bench.commands),
        // `new` rides in the first wave: it cannot have been sent before.
        ["ext+ AssumedApplied/assumed_applied", "ext+ Refused/refused", "a+ Refused/refused"]
    );
    assert_eq!(bench.sink.counters().assumed_applied, 1);
}

#[test]
fn records_done_with_beyond_the_position_are_known_after_a_restart() {
    let mut bench = Bench::new(SinkConfig::default());
    bench.append(&conversation("slow", "ext+")[0]);
    for command in &conversation("c", "ext+ ah ext-") {
        bench.append(command);
    }
    bench.commit();
    let wave = bench.sink.next_wave(bench.now_ms).expect("both first events");
    let only_slow = Answer::Accepted {
        errors: vec![trunkline_sinks::genesys_cloud::EventError {
            event_id: wave.commands[0].event_id.clone(),
            message: String::new(),
            retryable: true,
        }],
    };
    bench.sink.answered(wave.id, only_slow, bench.now_ms, 1.0);
    bench.commit();
    for said in ["no ah", "ok"] {
        let wave = bench.sink.next_wave(bench.now_ms).expect("the next of c");
        bench.sink.answered(wave.id, answer(said, &wave), bench.now_ms, 1.0);
        bench.commit();
    }
    assert_eq!(bench.durable.position, 0);
    bench.restart();
    assert_eq!(bench.sink.counters().already_done, 3);
    bench.run(&[]);
    assert_eq!(bench.waves, ["ext+"], "only slow's event is sent again");
    assert_eq!(bench.durable.position, 10);
    assert_eq!(bench.durable.outcomes.len(), 4);
}

#[test]
fn an_accepted_event_is_not_sent_again_and_a_refused_one_can_be() {
    let mut bench = Bench::new(SinkConfig::default());
    let commands = conversation("c", "ext+ ah ext-");
    for command in &commands[..2] {
        bench.append(command);
    }
    bench.run(&["ok", "no ah"]);
    // Both once more, at new places: a replay.
    for command in &commands {
        bench.append(command);
    }
    bench.run(&[]);
    assert_eq!(bench.waves, ["ext+", "ah", "ah", "ext-"]);
    assert_eq!(bench.sink.counters().duplicates, 1);
    assert_eq!(bench.durable.position, 13);
}

#[test]
fn what_cannot_be_decoded_is_a_dead_letter_and_closes_the_gate() {
    let mut bench = Bench::new(SinkConfig::default());
    let commands = conversation("c", "ext+ a+ ext-");
    bench.append(&commands[0]);
    let garbage = Record::new("c", vec![9, 9, 9]).with_header("traceparent", "00-1");
    bench.sink.undecodable(&stored(1, START_MS, garbage), "it has no zero byte and schema id");
    bench.sink.offer(&stored(2, START_MS, record_of(&commands[1])), commands[1].clone());
    bench.sink.offer(&stored(3, START_MS, record_of(&commands[2])), commands[2].clone());
    bench.run(&[]);
    assert_eq!(bench.waves, ["ext+", "ext-"]);
    assert_eq!(bench.durable.dead_codes(), ["undecodable", "gated"]);
    assert_eq!(bench.memory("c").known.gate, Gate::Closed);
    let letter = &bench.durable.dead[0];
    assert_eq!(letter.value, Some(vec![9, 9, 9]));
    let headers: Vec<(&str, String)> = letter
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), String::from_utf8(v.clone()).expect("text")))
        .collect();
    let expected = [
        ("traceparent", "00-1"),
        ("dead-stage", "conversation-sink"),
        ("dead-code", "undecodable"),
        ("dead-why", "it has no zero byte and schema id"),
        ("dead-source", "command.conversation/3@1"),
        ("dead-at", "2023-11-14T22:13:20.000Z"),
        ("dead-attempts", "0"),
    ];
    assert_eq!(headers, expected.map(|(n, v)| (n, v.to_owned())));
}

#[test]
fn errors_of_events_that_were_not_sent_are_counted_and_change_nothing() {
    let mut bench = Bench::new(SinkConfig::default());
    bench.append(&conversation("c", "ext+")[0]);
    bench.commit();
    let wave = bench.sink.next_wave(bench.now_ms).expect("an event to send");
    let error = |id: &str, retryable| trunkline_sinks::genesys_cloud::EventError {
        event_id: id.into(),
        message: "x".repeat(2_000),
        retryable,
    };
    let id = wave.commands[0].event_id.clone();
    // Named twice: the final word counts.
    let errors = vec![error("whose", false), error(&id, true), error(&id, false)];
    bench.sink.answered(wave.id, Answer::Accepted { errors }, bench.now_ms, 0.0);
    bench.commit();
    assert_eq!(bench.sink.counters().unknown_errors, 1);
    assert_eq!(bench.durable.told(&bench.commands), ["ext+ Refused/refused"]);
    let reason = bench.durable.outcomes[0].reason.as_ref().expect("what GC said");
    assert_eq!(reason.len(), MAX_WHY_CHARS);
}

#[test]
fn a_conversation_that_is_over_is_forgotten_after_its_gravestone() {
    let config = SinkConfig { gravestone_ms: 1_000, abandoned_ms: 5_000, ..SinkConfig::default() };
    let mut bench = Bench::new(config);
    for command in &conversation("over", "ext+ ext-") {
        bench.append(command);
    }
    bench.append(&conversation("open", "ext+")[0]);
    bench.run(&[]);
    let keys = |b: &Bench| b.durable.state.keys().cloned().collect::<Vec<_>>();
    let table = [
        (999, vec!["open", "over", "tick0"]),
        (1_000, vec!["open", "tick0", "tick1"]),
        (4_999, vec!["open", "tick2"]),
        (5_000, vec!["tick2", "tick3"]),
    ];
    for (n, (after_ms, left)) in table.into_iter().enumerate() {
        // Only the input's append time counts, and a restart changes nothing.
        bench.now_ms = START_MS + after_ms;
        bench.restart();
        for command in &conversation(&format!("tick{n}"), "ext+ ext-") {
            bench.append(command);
        }
        bench.run(&[]);
        let left: Vec<Vec<u8>> = left.into_iter().map(|k| k.as_bytes().to_vec()).collect();
        assert_eq!(keys(&bench), left, "after {after_ms} ms");
    }
    assert_eq!(bench.sink.counters().abandoned, 1);
}

#[test]
fn what_would_be_read_again_is_not_forgotten() {
    let mut bench = Bench::new(SinkConfig { gravestone_ms: 1_000, ..SinkConfig::default() });
    bench.append(&conversation("slow", "ext+")[0]);
    for command in &conversation("over", "ext+ ext-") {
        bench.append(command);
    }
    let is_kept = |b: &Bench| b.durable.state.contains_key(&b"over"[..]);
    for _ in 0..3 {
        bench.commit();
        while let Some(wave) = bench.sink.next_wave(bench.now_ms) {
            let errors = wave.commands.iter().filter(|c| c.conversation_id == "slow");
            let errors = errors.map(|c| trunkline_sinks::genesys_cloud::EventError {
                event_id: c.event_id.clone(),
                message: String::new(),
                retryable: true,
            });
            let answer = Answer::Accepted { errors: errors.collect() };
            bench.sink.answered(wave.id, answer, bench.now_ms, 1.0);
            bench.commit();
        }
        bench.now_ms += 1_000;
        bench.append(&conversation(&format!("{}", bench.now_ms), "ext+ ext-")[0]);
    }
    assert_eq!(bench.durable.position, 0);
    assert!(is_kept(&bench), "its records lie beyond the position");
    bench.run(&[]);
    assert!(!is_kept(&bench), "the position has passed them");
}

#[test]
fn several_events_of_a_conversation_may_ride_together() {
    let mut bench = Bench::new(SinkConfig { per_key: 3, ..SinkConfig::default() });
    for command in &conversation("c", "ext+ a+ ah a- ext-.") {
        bench.append(command);
    }
    // The first is to be tried again while the second is accepted.
    bench.run(&["again ext+", "cut", "ok", "no a-"]);
    assert_eq!(bench.waves, ["ext+ a+ ah", "ext+ a- ext-", "ext+ a- ext-"]);
    assert_eq!(bench.durable.position, 13);
    assert_eq!(bench.sink.counters().accepted, 5);
}

#[test]
fn what_was_done_ahead_hides_nothing_that_is_read_again_later() {
    let config = SinkConfig { per_key: 3, gravestone_ms: 0, ..SinkConfig::default() };
    let mut bench = Bench::new(config);
    for command in &conversation("c", "ext+ a+ ah") {
        bench.append(command);
    }
    let wave = bench.sink.next_wave(bench.now_ms).expect("all three");
    let again = |c: &ConversationCommand| trunkline_sinks::genesys_cloud::EventError {
        event_id: c.event_id.clone(),
        message: String::new(),
        retryable: true,
    };
    let errors = wave.commands[..2].iter().map(again).collect();
    bench.sink.answered(wave.id, Answer::Accepted { errors }, bench.now_ms, 0.0);
    bench.commit();
    // After the restart the first is read, sent and done with before the second is read.
    bench.sink = bench.durable.restore(Conversation, bench.config.clone(), 7);
    for n in 0..3 {
        bench.sink.offer(&bench.log[n], bench.commands[n].clone());
        bench.run(&[]);
    }
    assert_eq!(bench.waves, ["ext+", "a+"]);
    assert_eq!(bench.durable.position, 7);
    assert_eq!(bench.sink.counters().already_done, 1);
    for command in &conversation("c", "ext+ a+ ah ext- a-.")[3..] {
        bench.append(command);
    }
    bench.run(&[]);
    assert!(bench.durable.state.is_empty(), "it is over and forgotten");
}

#[test]
fn state_that_cannot_be_read_stops_the_sink() {
    let mut sink = ConversationSink::new(Conversation, SinkConfig::default(), 0, 0);
    let error = sink.restore(b"c", b"{").expect_err("half a state");
    assert!(error.to_string().starts_with("the state of c cannot be read"));
    assert!(sink.restore(b"c", b"{}").is_ok(), "fields have defaults");
}

#[test]
fn holes_in_the_numbering_are_counted_and_reading_is_bounded() {
    let mut bench = Bench::new(SinkConfig { max_waiting: 2, ..SinkConfig::default() });
    let commands = conversation("c", "ext+ a+ ah ext-");
    assert_eq!(bench.sink.room(), 2);
    bench.append(&commands[0]);
    bench.append(&commands[3]);
    assert_eq!((bench.sink.room(), bench.sink.counters().seq_gaps), (0, 1));
    assert_eq!(bench.sink.backlog().oldest_append_ms, Some(START_MS));
}
