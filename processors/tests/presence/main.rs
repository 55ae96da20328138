//! The presence processor against what was written by hand (`cases/presence`), and against an
//! independent model over generated days of agents.

mod days;
mod feed;
mod generated;
mod model;

use feed::{Feed, case, settings};
use trunkline_processors::Processor;
use trunkline_processors::presence::PresenceProcessor;
use trunkline_schemas::RawKind;

const CASES: [&str; 9] = [
    "table",
    "after-call-work",
    "reasons",
    "calls",
    "logins",
    "links",
    "directory",
    "voice",
    "voice-beside",
];

/// Settings, and each given line with what must follow from it.
type Case = (Vec<String>, Vec<(String, Vec<String>)>);

fn read(name: &str) -> Case {
    let (mut set, mut steps) = (Vec::new(), Vec::<(String, Vec<String>)>::new());
    for line in case(&format!("presence/{name}.txt")).lines() {
        if line.starts_with('#') || line.trim().is_empty() {
        } else if let Some(setting) = line.strip_prefix("set ") {
            set.push(setting.to_owned());
        } else if line.starts_with(' ') {
            let (_, expected) = steps.last_mut().expect("a given line before");
            expected.push(line.trim().to_owned());
        } else {
            steps.push((line.to_owned(), Vec::new()));
        }
    }
    (set, steps)
}

fn start(set: &[String]) -> Feed {
    Feed::new(settings(&set.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[test]
fn every_case_says_what_was_written_by_hand() {
    for name in CASES {
        let (set, steps) = read(name);
        let mut feed = start(&set);
        assert_eq!(feed.take_said(), [""; 0], "{name}: before the first line");
        for (given, expected) in steps {
            feed.line(&given);
            assert_eq!(feed.take_said(), expected, "{name}: {given}");
        }
        let mut last = std::collections::BTreeMap::new();
        for command in &feed.commands {
            let (seq, at_ms) =
                last.insert(&command.agent, (command.seq, command.at_ms)).unwrap_or((0, 0));
            assert_eq!(command.seq, seq + 1, "{name}: numbers are dense");
            assert!(command.at_ms > at_ms, "{name}: times strictly increase");
        }
    }
}

#[test]
fn a_processor_restored_before_any_record_goes_on_as_if_nothing_had_been() {
    for name in CASES {
        let (set, steps) = read(name);
        let mut whole = start(&set);
        for (given, _) in &steps {
            whole.line(given);
        }
        let mut broken = start(&set);
        for (given, _) in &steps {
            let names: Vec<&str> = set.iter().map(String::as_str).collect();
            let mut restored = PresenceProcessor::new(feed::DOMAIN, settings(&names));
            for (key, value) in &broken.state {
                let saved = PresenceProcessor::read(key, value).expect("our own state");
                restored.restore(saved);
            }
            assert!(restored.drain().state.is_empty(), "{name}: what was read is no change");
            broken.processor = restored;
            broken.line(given);
        }
        assert_eq!(broken.commands, whole.commands, "{name}");
        assert_eq!(broken.state, whole.state, "{name}");
        assert_eq!(broken.take_said(), whole.take_said(), "{name}");
    }
}

#[test]
fn what_cannot_be_used_is_buried_and_the_rest_goes_on() {
    let mut feed = Feed::new(settings(&[]));
    let mut raw = feed.bare(RawKind::Event);
    raw.name = Some("EventInfo".to_owned());
    for payload in [&b"{"[..], b"{}", b"[]"] {
        raw.payload = payload.to_vec();
        feed.record(&raw);
        assert_eq!(feed.take_said(), ["dead bad_event"], "{}", String::from_utf8_lossy(payload));
    }
    let mut row = feed.bare(RawKind::DirectoryRow);
    row.payload = b"{}".to_vec();
    feed.record(&row);
    assert_eq!(feed.take_said(), ["dead bad_directory_row"]);
    let mut fact = feed.bare(RawKind::CallFact);
    fact.payload = b"{}".to_vec();
    feed.record(&fact);
    assert_eq!(feed.take_said(), ["dead bad_fact"]);
    feed.line("1000 stat A1001 4");
    assert_eq!(feed.take_said(), ["1000 A1001 presence OnQueue", "1001 A1001 routing Idle"]);
}

#[test]
fn a_numbered_record_told_again_changes_nothing_until_a_gap() {
    let mut feed = Feed::new(settings(&[]));
    let mut give = |number: i64, kind: RawKind, status: i64| {
        let mut raw = feed.bare(kind);
        raw.name = Some("EventInfo".to_owned());
        raw.sequence = Some(number).filter(|_| kind == RawKind::Event);
        let event = serde_json::json!({
            "AgentId": "A1001", "Statistic": "CurrentState", "AgentStatus": status,
        });
        raw.payload = event.to_string().into_bytes();
        feed.record(&raw);
        feed.take_said().len()
    };
    assert_eq!(give(7, RawKind::Event, 4), 2);
    assert_eq!(give(8, RawKind::Event, 22), 1);
    assert_eq!(give(7, RawKind::Event, 4), 0, "a number that was there");
    assert_eq!(give(0, RawKind::Gap, 0), 0);
    assert_eq!(give(1, RawKind::Event, 4), 1, "numbers began anew");
}
