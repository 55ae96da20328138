//! Call models that the plan does not compose: their fixtures, played again and again with other
//! people, numbers and ids. What the organisation must hold of them was written by hand from the
//! flows (`processors/cases`), long before any of them is played.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::event::{Event, Phase, Place, Role};
use super::plan::{Draw, MS, Micros};
use super::site::Site;
use crate::truth::{CallTruth, Expected, Leg, LegKind, Outcome};

/// Name of a model, its events, and what the organisation must hold.
type Fixture = (&'static str, &'static str, &'static str);

macro_rules! fixture {
    ($name:literal, $file:literal) => {
        (
            $name,
            include_str!(concat!("../../../processors/cases/models/", $name, "-", $file, ".jsonl")),
            include_str!(concat!("../../../processors/cases/conversation/", $name, ".txt")),
        )
    };
}

const FIXTURES: [Fixture; 17] = [
    fixture!("04", "overflow-vq-to-vq"),
    fixture!("07", "consult-two-step-transfer"),
    fixture!("07b", "consult-cancelled"),
    fixture!("08a", "mute-transfer"),
    fixture!("08b", "single-step-transfer"),
    fixture!("09", "single-step-conference"),
    fixture!("10", "consult-conference"),
    fixture!("12a", "multisite-iscc-route"),
    fixture!("12b", "multisite-consult-transfer"),
    fixture!("14a", "agent-not-mapped"),
    fixture!("14b", "dn-without-login"),
    fixture!("15", "acw"),
    fixture!("16", "blind-transfer-to-queue"),
    fixture!("17a", "consult-to-queue-complete-after-answer"),
    fixture!("17b", "consult-to-queue-complete-while-queued"),
    fixture!("18", "transfer-back-to-same-queue"),
    fixture!("19", "dedicated-vq-sip-server"),
];

/// The customer's call in every fixture.
const FIRST_CALL: &str = "01TESTSIPS1AAAAAAAAAAAAAES000001";
/// The customer, as caller and as called.
const CUSTOMERS: [&str; 2] = ["+15551230001", "+15557770001"];
/// CallIDs of recorded calls are far from those of the plan.
const CALL_ID_BASE: u64 = 1 << 24;
/// CallIDs kept for one of them.
const CALL_IDS: u64 = 256;
/// How long the agents of a cell rest.
const REST: Micros = 2_000 * MS;

/// One fixture as it is played.
#[derive(Debug)]
struct Recording {
    name: &'static str,
    events: Vec<Event>,
    expected: Vec<Line>,
    outcomes: Vec<Outcome>,
}

/// A line of what the organisation must hold: when, and what is said of whom.
#[derive(Debug)]
struct Line {
    at: Micros,
    verb: &'static str,
    whose: &'static str,
    rest: &'static str,
}

/// One playing of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Take {
    /// Its number among the calls of the run.
    pub(super) number: u32,
    /// Which recording.
    recording: usize,
    /// Whose agents take part.
    pub(super) cell: usize,
    /// When it begins.
    pub(super) created: Micros,
}

/// The takes of a run: `count` of them from number `first` on, each recording in turn, evenly over
/// the `span` of the planned calls. A cell has one take at a time.
pub(super) fn takes(first: u32, count: u32, span: Micros) -> Vec<Take> {
    // When the agents of each cell are free again.
    let mut cells: Vec<Micros> = Vec::new();
    let take = |index: u32| {
        let recording = index as usize % recordings().len();
        let created = span * u64::from(2 * index + 1) / u64::from(2 * count);
        let free = created + length(recording) + REST;
        let cell = cells.iter().position(|until| *until <= created);
        let cell = cell.unwrap_or_else(|| {
            cells.push(0);
            cells.len() - 1
        });
        cells[cell] = free;
        Take { number: first + index, recording, cell, created }
    };
    (0..count).map(take).collect()
}

fn length(recording: usize) -> Micros {
    recordings()[recording].events.last().map_or(0, |event| event.at)
}

impl Take {
    fn recording(&self) -> &'static Recording {
        &recordings()[self.recording]
    }

    /// CallUUID of the customer's call.
    fn call_uuid(&self, site: &Site) -> String {
        site.recorded_id(self.number, FIRST_CALL)
    }

    /// Its events, in the order in which they happen.
    pub(super) fn events(&self, site: &Site) -> Vec<Event> {
        let names = Names::new(site, self);
        let said = self.recording().events.iter().map(|event| Event {
            at: self.created + event.at,
            attributes: names.map(&event.attributes),
            ..event.clone()
        });
        said.collect()
    }

    /// What the organisation must hold; `to_ms` turns a moment of the plan into milliseconds since
    /// 1970.
    pub(super) fn truth(&self, site: &Site, to_ms: impl Fn(Micros) -> i64) -> CallTruth {
        let names = Names::new(site, self);
        let recording = self.recording();
        let mut legs: Vec<(&str, Leg)> = Vec::new();
        for line in &recording.expected {
            let at_ms = to_ms(self.created + line.at);
            if let Some(kind) = established(line.verb) {
                legs.push((line.whose, begun(kind, names.id(kind, line.whose), at_ms, line)));
                continue;
            }
            let open =
                |(whose, leg): &&mut (&str, Leg)| *whose == line.whose && leg.end_ms.is_none();
            let Some((_, leg)) = legs.iter_mut().rev().find(open) else { continue };
            match line.verb {
                "communicationAnswered" => leg.answered_ms = Some(at_ms),
                "holdUpdated" => leg.holds.push((at_ms, line.rest == "held")),
                "communicationEnded" => {
                    leg.end_ms = Some(at_ms);
                    leg.disconnect = Some(line.rest.to_owned());
                }
                _ => {} // what else is said of a transfer leaves no trace in a leg
            }
        }
        let outcomes = recording.outcomes.clone();
        let expected = match outcomes.first() {
            Some(Outcome::LeftOut(why)) if legs.is_empty() => Expected::Nothing(why.clone()),
            _ => Expected::Conversation(legs.into_iter().map(|(_, leg)| leg).collect()),
        };
        let model = recording.name.to_owned();
        CallTruth { call_uuid: self.call_uuid(site), model, expected, outcomes }
    }
}

fn established(verb: &str) -> Option<LegKind> {
    Some(match verb {
        "externalEstablished" => LegKind::External,
        "ivrEstablished" => LegKind::Ivr,
        "routingEstablished" => LegKind::Routing,
        "userEstablished" => LegKind::User,
        "phoneEstablished" => LegKind::Phone,
        _ => return None,
    })
}

fn begun(kind: LegKind, id: Option<String>, start_ms: i64, line: &Line) -> Leg {
    Leg {
        kind,
        id,
        start_ms,
        alerting: line.rest.split(' ').any(|word| word == "alerting"),
        answered_ms: None,
        holds: Vec::new(),
        end_ms: None,
        disconnect: None,
    }
}

/// Who and what the names of a fixture are in one take.
struct Names<'a> {
    site: &'a Site,
    take: &'a Take,
    customer: String,
}

impl<'a> Names<'a> {
    fn new(site: &'a Site, take: &'a Take) -> Self {
        let mut draw = Draw::new(site.seed(), u64::from(take.number));
        Self { site, take, customer: format!("+1555{:07}", draw.below(10_000_000)) }
    }

    /// GC id of an agent or a queue.
    fn id(&self, kind: LegKind, whose: &str) -> Option<String> {
        match kind {
            LegKind::User => Some(self.site.user_id(&Site::recorded_name(whose, self.take.cell))),
            LegKind::Routing => Some(self.site.queue_id(whose)),
            LegKind::External | LegKind::Ivr | LegKind::Phone => None,
        }
    }

    fn map(&self, attributes: &Map<String, Value>) -> Map<String, Value> {
        attributes.iter().map(|(key, value)| (self.text(key), self.value(key, value))).collect()
    }

    fn value(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Object(inner) => Value::Object(self.map(inner)),
            Value::Array(inner) => inner.iter().map(|value| self.value(key, value)).collect(),
            Value::Number(id) if key == "CallID" => {
                let id = id.as_u64().unwrap_or_default() % CALL_IDS;
                Value::from(CALL_ID_BASE + u64::from(self.take.number) * CALL_IDS + id)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        if CUSTOMERS.contains(&text) {
            return self.customer.clone();
        }
        let is_id = text.starts_with("01TEST") || text.starts_with("N6TEST");
        if is_id {
            return self.site.recorded_id(self.take.number, text);
        }
        if text.len() == 16 && text.starts_with("0071") {
            return self.site.recorded_conn_id(self.take.number, text);
        }
        match text.strip_prefix("Place_") {
            Some(dn) => format!("Place_{}", Site::recorded_name(dn, self.take.cell)),
            None => Site::recorded_name(text, self.take.cell),
        }
    }
}

fn recordings() -> &'static [Recording] {
    static PARSED: OnceLock<Vec<Recording>> = OnceLock::new();
    PARSED.get_or_init(|| FIXTURES.iter().map(parse).collect())
}

fn parse(&(name, events, expected): &Fixture) -> Recording {
    let mut said: Vec<Event> = events.lines().filter_map(parse_event).collect();
    let began = said.first().map_or(0, |event| event.at);
    let mut phases = BTreeMap::new();
    for (index, event) in said.iter_mut().enumerate() {
        event.at -= began;
        let phase = match (&*event.name, event.role) {
            ("EventCallCreated", _) => Phase::Started,
            ("EventQueued", _) => Phase::Queued,
            (_, Role::Agent) => Phase::Talking,
            _ => continue,
        };
        phases.entry(phase).or_insert(index);
    }
    for (phase, index) in phases {
        said[index].phase = Some(phase);
    }
    if let Some(last) = said.last_mut() {
        last.phase = Some(Phase::Finished);
    }
    let (mut lines, mut outcomes) = (Vec::new(), Vec::new());
    for row in expected.lines().filter(|row| !row.starts_with('#')) {
        let (head, rest) = row.split_once(' ').unwrap_or((row, ""));
        match head {
            "leftOut" => outcomes.push(Outcome::LeftOut(rest.to_owned())),
            "suspended" => outcomes.push(Outcome::Suspended(rest.to_owned())),
            at => {
                let (seconds, ms) = at.split_once('.').expect("a time in seconds");
                let number = |digits: &str| digits.parse::<Micros>().expect("a time in seconds");
                let at = (number(seconds) * 1_000 + number(ms)) * MS;
                let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let (whose, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                lines.push(Line { at, verb, whose, rest });
            }
        }
    }
    Recording { name, events: said, expected: lines, outcomes }
}

/// An event of a fixture, its time since 1970; nothing for those no client asks for.
fn parse_event(line: &str) -> Option<Event> {
    let row: Value = serde_json::from_str(line).expect("a line of JSON");
    if row["consumed_by_excp"] != true {
        return None;
    }
    let Value::Object(mut attributes) = row["event"].clone() else { unreachable!("an event") };
    let time = attributes.remove("time").expect("an event has a time");
    let part = |key: &str| time[key].as_u64().expect("a time of day");
    for own in ["Server", "EventSequenceNumber"] {
        attributes.remove(own);
    }
    let name = attributes.remove("id").and_then(|id| id.as_str().map(str::to_owned));
    Some(Event {
        at: part("TimeinSecs") * 1_000_000 + part("TimeinuSecs"),
        role: Role::of_stream(row["stream"].as_str().expect("a stream")),
        place: if row["source"] == "sips2" { Place::Second } else { Place::First },
        name: Cow::Owned(name.expect("an event has a name")),
        phase: None,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_share_cells_only_one_after_the_other() {
        let takes = takes(100, 200, 600_000 * MS);
        assert!(takes.iter().map(|take| take.number).eq(100..300));
        for recording in 0..FIXTURES.len() {
            assert!(takes.iter().any(|take| take.recording == recording), "{recording}");
        }
        let most = takes.iter().map(|take| take.cell).max().expect("there are takes");
        assert!(most < 60, "{most}: cells are used again");
        for one in &takes {
            let until = one.created + length(one.recording);
            let meets = |other: &&Take| other.created > one.created && other.created < until;
            for other in takes.iter().filter(meets) {
                assert_ne!(one.cell, other.cell, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_take_keeps_nothing_of_the_names_of_its_fixture() {
        let site = Site::new(7, 2, true).with_second(3);
        for (recording, (name, ..)) in FIXTURES.iter().enumerate() {
            let take = Take { number: 9, recording, cell: 2, created: 0 };
            let events = take.events(&site);
            let text = format!("{events:?}");
            for old in ["TEST", "\"7001\"", "\"A1001\"", "Place_7001\"", "555123", "\"0071030"] {
                assert!(!text.contains(old), "{name}: {old} in {text}");
            }
            let other = Take { number: 10, ..take };
            assert_ne!(other.call_uuid(&site), take.call_uuid(&site));
            let phases: Vec<_> = events.iter().filter_map(|event| event.phase).collect();
            assert_eq!(phases.first(), Some(&Phase::Started), "{name}");
            assert_eq!(phases.last(), Some(&Phase::Finished), "{name}");
        }
    }

    /// Kind, start, answer, end and how it ended.
    type Row = (LegKind, i64, Option<i64>, i64, &'static str);

    #[test]
    fn the_truth_is_what_the_tables_say() {
        use LegKind::{External, Routing, User};
        let site = Site::new(7, 2, true).with_second(1);
        // By hand, from call models 07b, 14a and 14b.
        let consult: [Row; 4] = [
            (External, 0, None, 70_000, "Self"),
            (Routing, 200, None, 20_002, "TransferUser"),
            (User, 15_011, Some(20_000), 70_001, "Peer"),
            (User, 30_010, Some(34_000), 40_000, "Self"),
        ];
        let unmapped: [Row; 2] =
            [(External, 0, None, 20_001, "System"), (Routing, 200, None, 20_000, "TransferUser")];
        let left_out = || Outcome::LeftOut("agent_not_mapped".to_owned());
        let suspended = || Outcome::Suspended("agent_not_mapped".to_owned());
        for (name, legs, outcomes) in [
            ("07b", Some(consult.as_slice()), vec![]),
            ("14a", Some(unmapped.as_slice()), vec![left_out(), suspended()]),
            ("14b", None, vec![left_out()]),
        ] {
            let recording = FIXTURES.iter().position(|(known, ..)| *known == name);
            let recording = recording.expect("the fixture is there");
            let take = Take { number: 0, recording, cell: 0, created: 5 * MS };
            let truth = take.truth(&site, |at| (at / MS) as i64 - 5);
            let expected = match legs {
                None => Expected::Nothing("agent_not_mapped".to_owned()),
                Some(rows) => {
                    let Expected::Conversation(found) = &truth.expected else {
                        panic!("{name}: {truth:?}")
                    };
                    let row = |leg: &Leg| {
                        let end = (leg.end_ms, leg.disconnect.clone().unwrap_or_default());
                        (leg.kind, leg.start_ms, leg.answered_ms, end)
                    };
                    let wanted = rows.iter().map(|(kind, start, answer, end, how)| {
                        (*kind, *start, *answer, (Some(*end), (*how).to_owned()))
                    });
                    assert!(found.iter().map(row).eq(wanted), "{name}: {found:?}");
                    truth.expected.clone()
                }
            };
            assert_eq!((truth.expected, truth.outcomes), (expected, outcomes), "{name}");
        }
    }
}
