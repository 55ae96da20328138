//! Compares what a Genesys Cloud organisation was told with what really happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::truth::{CallTruth, Expected, Leg, LegKind, Told};

/// One respect in which the organisation was not told the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// CallUUID of the call (the interaction id of a conversation nobody expected).
    pub call_uuid: String,
    /// Its call model; nothing if no such call was made.
    pub model: Option<String>,
    /// What differs, for people to read.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "call {} (model {model}): {}", self.call_uuid, self.what),
            None => write!(f, "call {} (never made): {}", self.call_uuid, self.what),
        }
    }
}

/// All differences between the truth and what was told, call by call in the order of the truth,
/// then the conversations of calls that were never made. Times may be off by `tolerance_ms`.
pub fn compare(truth: &[CallTruth], told: &[Told], tolerance_ms: i64) -> Vec<Difference> {
    let mut by_call: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for one in told {
        by_call.entry(&one.interaction_id).or_default().push(one);
    }
    let mut differences = Vec::new();
    let mut made = BTreeSet::new();
    for call in truth {
        made.insert(call.call_uuid.as_str());
        let conversations = by_call.get(call.call_uuid.as_str()).map_or(&[][..], Vec::as_slice);
        let found = compare_call(&call.expected, conversations, tolerance_ms);
        differences.extend(found.into_iter().map(|what| Difference {
            call_uuid: call.call_uuid.clone(),
            model: Some(call.model.clone()),
            what,
        }));
    }
    for one in told.iter().filter(|one| !made.contains(one.interaction_id.as_str())) {
        differences.push(Difference {
            call_uuid: one.interaction_id.clone(),
            model: None,
            what: format!("conversation {} of no known call", one.conversation_id),
        });
    }
    differences
}

fn compare_call(expected: &Expected, told: &[&Told], tolerance_ms: i64) -> Vec<String> {
    let (legs, one) = match (expected, told) {
        (Expected::Nothing(_), []) => return Vec::new(),
        (Expected::Nothing(why), [one, ..]) => {
            let id = &one.conversation_id;
            return vec![format!("conversation {id} was told, although nothing is: {why}")];
        }
        (Expected::Conversation(_), []) => return vec!["no conversation was told".to_owned()],
        (Expected::Conversation(legs), [one]) => (legs, one),
        (Expected::Conversation(_), [_, _, ..]) => {
            let ids: Vec<_> = told.iter().map(|one| one.conversation_id.as_str()).collect();
            return vec![format!("{} conversations of one call: {}", ids.len(), ids.join(", "))];
        }
    };
    let name = |leg: &Leg| (leg.kind, leg.id.clone());
    if !legs.iter().map(name).eq(one.legs.iter().map(name)) {
        return vec![format!("legs are [{}], not [{}]", names(&one.legs), names(legs))];
    }
    let pairs = legs.iter().zip(&one.legs).zip(1..);
    pairs.flat_map(|((leg, told), number)| compare_leg(number, leg, told, tolerance_ms)).collect()
}

fn compare_leg(number: usize, leg: &Leg, told: &Leg, tolerance_ms: i64) -> Vec<String> {
    let name = format!("leg {number} {}", name_of(leg));
    let near = |one: Option<i64>, other: Option<i64>| match (one, other) {
        (Some(one), Some(other)) => one.abs_diff(other) <= tolerance_ms.max(0).unsigned_abs(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let mut found = Vec::new();
    let times = [
        ("start", Some(leg.start_ms), Some(told.start_ms)),
        ("answer", leg.answered_ms, told.answered_ms),
        ("end", leg.end_ms, told.end_ms),
    ];
    for (what, right, was) in times {
        if !near(right, was) {
            found.push(format!("{name}: {what} {}", off(right, was)));
        }
    }
    if leg.alerting != told.alerting {
        let (was, right) = (alerting(told.alerting), alerting(leg.alerting));
        found.push(format!("{name}: began {was}, not {right}"));
    }
    if leg.disconnect != told.disconnect {
        let shown = |kind: &Option<String>| kind.clone().unwrap_or_else(|| "no end".to_owned());
        let (was, right) = (shown(&told.disconnect), shown(&leg.disconnect));
        found.push(format!("{name}: disconnected with {was}, not {right}"));
    }
    let same_holds = leg.holds.len() == told.holds.len()
        && leg
            .holds
            .iter()
            .zip(&told.holds)
            .all(|(right, was)| right.1 == was.1 && near(Some(right.0), Some(was.0)));
    if !same_holds {
        found.push(format!("{name}: holds are {:?}, not {:?}", told.holds, leg.holds));
    }
    found
}

fn alerting(alerting: bool) -> &'static str {
    if alerting { "alerting" } else { "connected" }
}

fn off(right: Option<i64>, was: Option<i64>) -> String {
    match (right, was) {
        (Some(right), Some(was)) => format!("{was} is off by {} ms", was - right),
        (Some(right), None) => format!("is missing, should be {right}"),
        (None, Some(was)) => format!("{was} should not be"),
        (None, None) => "is missing on both sides".to_owned(),
    }
}

fn names(legs: &[Leg]) -> String {
    legs.iter().map(name_of).collect::<Vec<_>>().join(", ")
}

fn name_of(leg: &Leg) -> String {
    let kind = match leg.kind {
        LegKind::External => "external",
        LegKind::Ivr => "ivr",
        LegKind::Routing => "routing",
        LegKind::User => "user",
        LegKind::Phone => "phone",
    };
    leg.id.as_ref().map_or_else(|| kind.to_owned(), |id| format!("{kind}({id})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE_MS: i64 = 10;

    fn leg(kind: LegKind, id: Option<&str>, times: (i64, Option<i64>, i64), end: &str) -> Leg {
        Leg {
            kind,
            id: id.map(str::to_owned),
            start_ms: times.0,
            alerting: times.1.is_some(),
            answered_ms: times.1,
            holds: Vec::new(),
            end_ms: Some(times.2),
            disconnect: Some(end.to_owned()),
        }
    }

    fn legs() -> Vec<Leg> {
        let mut user = leg(LegKind::User, Some("u1"), (15_010, Some(20_000), 80_001), "Peer");
        user.holds = vec![(30_000, true), (45_000, false)];
        vec![
            leg(LegKind::External, None, (0, None, 80_000), "Self"),
            leg(LegKind::Routing, Some("q1"), (200, None, 20_000), "TransferUser"),
            user,
        ]
    }

    fn truth() -> Vec<CallTruth> {
        let call = |uuid: &str, model: &str, expected| CallTruth {
            call_uuid: uuid.to_owned(),
            model: model.to_owned(),
            expected,
            outcomes: Vec::new(),
        };
        vec![
            call("CALL1", "11", Expected::Conversation(legs())),
            call("CALL2", "13", Expected::Nothing("internal".to_owned())),
        ]
    }

    fn conversation(id: &str, call: &str, legs: Vec<Leg>) -> Told {
        Told { conversation_id: id.to_owned(), interaction_id: call.to_owned(), legs }
    }

    fn texts(told: &[Told]) -> Vec<String> {
        compare(&truth(), told, TOLERANCE_MS).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_truth_told_is_no_difference() {
        assert_eq!(texts(&[conversation("c1", "CALL1", legs())]), Vec::<String>::new());
    }

    #[test]
    fn times_within_the_tolerance_are_no_difference() {
        for (by, differences) in [(-11, 6), (-10, 0), (10, 0), (11, 6)] {
            let mut late = legs();
            late[2].start_ms += by;
            late[2].answered_ms = late[2].answered_ms.map(|at| at + by);
            late[2].holds[1].0 += by;
            for leg in &mut late {
                leg.end_ms = leg.end_ms.map(|at| at + by);
            }
            let found = texts(&[conversation("c1", "CALL1", late)]);
            assert_eq!(found.len(), differences, "{by}: {found:?}");
        }
    }

    /// One planted fault: its name, how it is planted, and the text it must lead to.
    type Planted = (&'static str, fn(&mut Vec<Told>), &'static str);

    const PLANTED: [Planted; 15] = [
        ("missing conversation", |told| told.clear(), "no conversation was told"),
        (
            "two conversations",
            |told| told.push(conversation("c2", "CALL1", legs())),
            "2 conversations of one call: c1, c2",
        ),
        (
            "a missing leg",
            |told| drop(told[0].legs.remove(1)),
            "legs are [external, user(u1)], not [external, routing(q1), user(u1)]",
        ),
        (
            "a leg too many",
            |told| {
                let again = told[0].legs[1].clone();
                told[0].legs.push(again);
            },
            "legs are [external, routing(q1), user(u1), routing(q1)], not \
             [external, routing(q1), user(u1)]",
        ),
        (
            "legs in another order",
            |told| told[0].legs.swap(1, 2),
            "legs are [external, user(u1), routing(q1)], not [external, routing(q1), user(u1)]",
        ),
        (
            "another queue",
            |told| told[0].legs[1].id = Some("q2".to_owned()),
            "legs are [external, routing(q2), user(u1)], not [external, routing(q1), user(u1)]",
        ),
        (
            "another kind",
            |told| told[0].legs[0].kind = LegKind::Phone,
            "legs are [phone, routing(q1), user(u1)], not [external, routing(q1), user(u1)]",
        ),
        (
            "an early start",
            |told| told[0].legs[2].start_ms = 14_999,
            "leg 3 user(u1): start 14999 is off by -11 ms",
        ),
        (
            "no answer",
            |told| told[0].legs[2].answered_ms = None,
            "leg 3 user(u1): answer is missing, should be 20000",
        ),
        (
            "an answer nobody gave",
            |told| told[0].legs[0].answered_ms = Some(7),
            "leg 1 external: answer 7 should not be",
        ),
        (
            "a late end",
            |told| told[0].legs[0].end_ms = Some(80_011),
            "leg 1 external: end 80011 is off by 11 ms",
        ),
        (
            "another disconnect type",
            |told| told[0].legs[0].disconnect = Some("Peer".to_owned()),
            "leg 1 external: disconnected with Peer, not Self",
        ),
        (
            "alerting",
            |told| told[0].legs[2].alerting = false,
            "leg 3 user(u1): began connected, not alerting",
        ),
        (
            "a lost retrieve",
            |told| told[0].legs[2].holds.truncate(1),
            "leg 3 user(u1): holds are [(30000, true)], not [(30000, true), (45000, false)]",
        ),
        (
            "a turned hold",
            |told| told[0].legs[2].holds[1].1 = true,
            "leg 3 user(u1): holds are [(30000, true), (45000, true)], not \
             [(30000, true), (45000, false)]",
        ),
    ];

    #[test]
    fn every_planted_difference_is_found_and_named() {
        for (name, plant, text) in PLANTED {
            let mut told = vec![conversation("c1", "CALL1", legs())];
            plant(&mut told);
            assert_eq!(texts(&told), [format!("call CALL1 (model 11): {text}")], "{name}");
        }
    }

    #[test]
    fn a_leg_still_open_is_named_with_both_things_it_lacks() {
        let mut told = vec![conversation("c1", "CALL1", legs())];
        told[0].legs[1].end_ms = None;
        told[0].legs[1].disconnect = None;
        let call = "call CALL1 (model 11): leg 2 routing(q1)";
        let wanted = [
            format!("{call}: end is missing, should be 20000"),
            format!("{call}: disconnected with no end, not TransferUser"),
        ];
        assert_eq!(texts(&told), wanted);
    }

    #[test]
    fn conversations_nobody_expected_are_named() {
        let told = [
            conversation("c1", "CALL1", legs()),
            conversation("c2", "CALL2", legs()),
            conversation("c3", "CALL3", legs()),
        ];
        let wanted = [
            "call CALL2 (model 13): conversation c2 was told, although nothing is: internal",
            "call CALL3 (never made): conversation c3 of no known call",
        ];
        assert_eq!(texts(&told), wanted);
    }
}
