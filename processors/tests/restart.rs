//! A processor that is stopped at any record and restored from its state tells the same; a second
//! bridge that reads the same servers changes nothing.

mod common;

use std::collections::BTreeMap;

use common::{EXPECTED, Feed, Line, all_models, expected, model, raw_of};
use proptest::prelude::*;
use trunkline_processors::Processor;
use trunkline_processors::conversation::{ConversationProcessor, Settings};
use trunkline_schemas::topics::{COMMAND_CONVERSATION, RAW_TLIB};
use trunkline_schemas::{ConversationCommand, RawEvent, RawKind, Stored, codec};

/// The records of some models mixed by time and numbered as one server would, as a log would hold
/// them.
fn records(names: &[&str], bridges: &[(&str, i64)]) -> Vec<Stored> {
    let mut lines: Vec<Line> = names
        .iter()
        .enumerate()
        .flat_map(|(n, name)| model(name).into_iter().map(move |line| renamed(&line, n)))
        .collect();
    lines.sort_by_key(|line| line.at_ms);
    let mut events: Vec<(i64, RawEvent)> = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        for (bridge, lag_ms) in bridges {
            let raw = RawEvent { sequence: Some(n as i64 * 2 + 1), ..raw_of(line, bridge) };
            events.push((line.at_ms + lag_ms, raw));
        }
    }
    events.sort_by_key(|(at_ms, _)| *at_ms);
    let mut stored: Vec<Stored> = Feed::new().stored_log;
    for n in 0..names.len() {
        for (agent, dn) in [("1001", 1), ("1002", 2)] {
            let row = serde_json::json!({ "Agent": {
                "employeeId": format!("A{agent}-{n}"),
                "userId": format!("11111111-1111-4111-8111-11111111{agent}"),
                "logins": [{ "dn": format!("7{n}0{dn}"), "switch": "SITE1" }],
            }});
            let row = RawEvent {
                payload: row.to_string().into_bytes(),
                ..RawEvent::bare(RawKind::DirectoryRow, "test", "", 0)
            };
            stored.push(at(stored.len(), common::EPOCH_MS, &row));
        }
    }
    let tick = RawEvent::bare(RawKind::Tick, "test", "", 0);
    let end_ms = events.last().expect("events").0 + 2 * common::QUIET_MS;
    let mut now_ms = events.first().expect("events").0;
    events.push((end_ms, tick.clone()));
    for (at_ms, raw) in events {
        while now_ms + 1_000 < at_ms {
            now_ms += 1_000;
            stored.push(at(stored.len(), now_ms, &tick));
        }
        now_ms = at_ms;
        stored.push(at(stored.len(), at_ms, &raw));
    }
    stored
}

fn at(offset: usize, append_time_ms: i64, raw: &RawEvent) -> Stored {
    let record = codec::record("", raw).expect("encodes");
    Stored { topic: RAW_TLIB, partition: 0, offset: offset as i64, append_time_ms, record }
}

/// The same line for another call: models share their ids.
fn renamed(line: &Line, n: usize) -> Line {
    let text = line.event.to_string();
    let text = text.replace("01TESTSIPS", &format!("{:02}TESTSIPS", n + 10));
    let text =
        text.replace("N6TESTURS", &format!("N{n}TESTURS")).replace("00710", &format!("0{n}710"));
    // An agent has one call at a time: each model has agents of its own.
    let text = text.replace("\"7001\"", &format!("\"7{n}01\""));
    let text = text.replace("\"7002\"", &format!("\"7{n}02\""));
    Line { event: serde_json::from_str(&text).expect("JSON"), ..line.clone() }
}

/// Runs the records, restoring a new processor from the state after each of these offsets.
fn run(records: &[Stored], restarts: &[usize]) -> Vec<ConversationCommand> {
    let mut processor = ConversationProcessor::new("test", Settings::default());
    let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut commands = Vec::new();
    for (n, stored) in records.iter().enumerate() {
        processor.apply(stored);
        let effects = processor.drain();
        for (key, value) in effects.state {
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
        for (topic, record) in effects.outputs {
            if topic == COMMAND_CONVERSATION {
                let value = record.value.expect("a command");
                commands.push(codec::decode(&value).expect("a command"));
            }
        }
        if restarts.contains(&n) {
            processor = ConversationProcessor::new("test", Settings::default());
            for (key, value) in &state {
                let saved = ConversationProcessor::read(key, value).expect("its own state");
                processor.restore(saved);
            }
            for offset in processor.held() {
                processor.rehold(&records[offset as usize]);
            }
            assert!(processor.held().is_empty());
        }
    }
    commands
}

fn sorted(mut commands: Vec<ConversationCommand>) -> Vec<ConversationCommand> {
    for command in &mut commands {
        command.cause.clear();
    }
    commands.sort_by(|a, b| (&a.conversation_id, a.seq).cmp(&(&b.conversation_id, b.seq)));
    commands
}

#[test]
fn a_restart_after_any_record_changes_nothing() {
    for name in EXPECTED {
        let records = records(&[name], &[("a", 0)]);
        let wanted = run(&records, &[]);
        for n in 0..records.len() {
            assert_eq!(run(&records, &[n]), wanted, "model {name}, restart after {n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn restarts_in_a_busy_hour_change_nothing(
        restarts in proptest::collection::vec(0_usize..200, 1..12),
    ) {
        let names = ["01a", "02a", "05a", "06a", "11", "03b"];
        let records = records(&names, &[("a", 0)]);
        let wanted = run(&records, &[]);
        prop_assert_eq!(
            wanted.len(),
            names.iter().map(|name| expected(name).len()).sum::<usize>()
        );
        prop_assert_eq!(run(&records, &restarts), wanted);
    }

    #[test]
    fn a_second_bridge_changes_nothing(lag_ms in -40_000_i64..40_000) {
        let names = ["01a", "02b", "03a", "05b", "06b"];
        let one = records(&names, &[("a", 0)]);
        let two = records(&names, &[("a", 0), ("b", lag_ms)]);
        let (one, two) = (sorted(run(&one, &[])), sorted(run(&two, &[])));
        prop_assert_eq!(one.len(), names.iter().map(|name| expected(name).len()).sum::<usize>());
        prop_assert_eq!(one, two);
    }
}

#[test]
fn every_model_survives_a_restart_after_each_record() {
    for name in all_models() {
        let records = records(&[&name], &[("a", 0)]);
        let all: Vec<usize> = (0..records.len()).collect();
        assert_eq!(run(&records, &all), run(&records, &[]), "model {name}");
    }
}
