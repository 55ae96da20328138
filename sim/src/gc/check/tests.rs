use super::super::events;
use super::super::script::{batch, id};
use super::*;
use crate::truth::{Leg, LegKind};

/// A queue answered by an agent, up to the moment both talk at 14 s.
const DELIVERED: &[&str] = &[
    "0.001 external c",
    "0.002 routing q by=c",
    "10.001 transfer t q c",
    "10.002 user a by=q alerting",
    "10.003 progress t c a",
    "14.001 answered a",
    "14.002 endTransfer t c Completed",
    "14.003 ended q TransferUser",
];

/// The agent asks another.
const CONSULT: &[&str] = &[
    "20.001 hold a on",
    "20.002 user b by=a alerting",
    "20.003 consult a b c",
    "25.001 answered b",
];

const OVER: &[&str] = &["60.001 ended c Self", "60.002 ended a Peer"];

fn known() -> Known {
    let set = |name| Some(BTreeSet::from([id(name)]));
    Known {
        users: set("ada"),
        queues: set("sales"),
        wrap_up_codes: set("sold"),
        source_id: Some(id("engage")),
    }
}

/// Plays a flow, each line a request of its own. Returns the violations by letter and the number
/// of events refused and out of order.
fn play(flow: &[&[&str]]) -> (Conversations, String, u64, u64) {
    let mut conversations = Conversations::new(known());
    let (mut refused, mut late) = (0, 0);
    let mut letters: Vec<Invariant> = Vec::new();
    for (number, line) in flow.concat().iter().enumerate() {
        let events = events::parse(&batch(number, &[line])).expect(line);
        match conversations.offer(events.first().expect("one event")) {
            Verdict::Applied { breaches, out_of_order } => {
                letters.extend(breaches.iter().map(|breach| breach.0));
                late += u64::from(out_of_order);
            }
            Verdict::Refused { invariant, .. } => {
                letters.extend(invariant);
                refused += 1;
            }
        }
    }
    letters.extend(conversations.lasting().iter().map(|violation| violation.invariant));
    letters.sort_unstable();
    (conversations, text_of(&letters), refused, late)
}

fn text_of(letters: &[Invariant]) -> String {
    let texts: Vec<String> = letters.iter().map(|letter| format!("{letter:?}")).collect();
    texts.concat().to_lowercase()
}

/// Name, flow, letters broken, events refused, events out of order.
type Case<'a> = (&'a str, Vec<&'a [&'a str]>, &'a str, u64, u64);

fn check(cases: Vec<Case<'_>>) {
    for (name, flow, letters, refused, late) in cases {
        let (_, broken, no, after) = play(&flow);
        assert_eq!((broken.as_str(), no, after), (letters, refused, late), "{name}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    #[rustfmt::skip]
    check(vec![
        ("begins with an end", vec![&["0 ended c Self"]], "a", 1, 0),
        ("begins with a transfer", vec![&["0 transfer t q c"]], "a", 1, 0),
        ("established twice", vec![DELIVERED, &["20 user a"], OVER], "b", 1, 0),
        ("established in two conversations", vec![DELIVERED, &["20 user a in=other"]], "b", 1, 0),
        ("invited by nobody", vec![&["0 external c by=x"]], "b", 1, 0),
        ("invited by nobody later", vec![DELIVERED, &["20 phone p by=x"]], "b", 1, 0),
        ("names nobody", vec![DELIVERED, &["20 hold x on"], OVER], "b", 1, 0),
        ("transfers nobody", vec![DELIVERED, &["20 transfer u a x"], OVER], "b", 1, 0),
        ("consults nobody", vec![DELIVERED, &["20 consult a x c"], OVER], "b", 1, 0),
        ("disposes of nobody", vec![DELIVERED, &["20 disposed x"], OVER], "b", 1, 0),
        ("ended twice", vec![DELIVERED, OVER, &["61 ended a Peer"]], "c", 1, 0),
        ("held after its end", vec![DELIVERED, &["20 hold q on"], OVER], "c", 1, 0),
        ("audio after its end", vec![DELIVERED, &["20 audio q"], OVER], "c", 1, 0),
        ("a leg after the end", vec![DELIVERED, OVER, &["61 phone p"]], "c", 1, 0),
        ("answered twice", vec![DELIVERED, &["15 answered a"], OVER], "", 1, 0),
        ("a transfer started twice", vec![DELIVERED, &["20 transfer t a c"], OVER], "d", 1, 0),
        ("an unknown transfer", vec![DELIVERED, &["20 progress u c a"], OVER], "d", 1, 0),
        ("an unknown end", vec![DELIVERED, &["20 endTransfer u c Failed"], OVER], "d", 1, 0),
        ("ended again", vec![DELIVERED, &["20 endTransfer t c Failed"], OVER], "d", 1, 0),
        ("progress after its end", vec![DELIVERED, &["20 progress t c a"], OVER], "d", 1, 0),
        ("the end of no consult", vec![DELIVERED, &["20 endConsult"], OVER], "e", 1, 0),
        ("progress of no consult", vec![DELIVERED, &["20 progressConsult a q c"], OVER],
            "e", 1, 0),
        ("an unknown user", vec![&["0 external c", "1 user a user=bob"]], "i", 1, 0),
        ("an unknown queue", vec![&["0 external c", "1 routing q queue=x"]], "i", 1, 0),
        ("an unknown queue to call for", vec![&["0 user a queue=x"]], "i", 1, 0),
        ("an unknown destination", vec![DELIVERED, &["20 transfer u a c user=bob"]], "i", 1, 0),
        ("an unknown code", vec![DELIVERED, OVER, &["80 disposed a code=x"]], "i", 1, 0),
        ("an unknown source", vec![&["0 external c source=x"]], "i", 1, 0),
    ]);
}

#[test]
fn what_is_odd_is_noted() {
    let conference: &[&str] = &["20.001 phone p by=c", "30 ended p Self"];
    #[rustfmt::skip]
    check(vec![
        ("a whole call", vec![DELIVERED, OVER, &["80 disposed a"]], "", 0, 0),
        ("still open", vec![DELIVERED], "", 0, 0),
        ("without an end", vec![DELIVERED, &["20 transfer u a c"], OVER], "d", 0, 0),
        ("without an end so far", vec![DELIVERED, &["20 transfer u a c"]], "", 0, 0),
        ("completed without progress",
            vec![DELIVERED, &["20 transfer u a c", "21 endTransfer u c Completed"], OVER],
            "d", 0, 0),
        ("failed without progress",
            vec![DELIVERED, &["20 transfer u a c", "21 endTransfer u c Failed"], OVER], "", 0, 0),
        ("of another object",
            vec![DELIVERED, &["20 transfer u a c", "21 endTransfer u a Failed"], OVER], "d", 0, 0),
        ("two consults",
            vec![DELIVERED, CONSULT, &["26 consult a b c", "27 endConsult"],
                &["28 ended b Self"], OVER], "e", 0, 0),
        ("a consult without an end", vec![DELIVERED, CONSULT, &["28 ended b Self"], OVER],
            "e", 0, 0),
        ("alone for a second", vec![DELIVERED, &["60 ended c Self", "61 ended a Peer"]], "", 0, 0),
        ("alone for more", vec![DELIVERED, &["60 ended c Self", "61.001 ended a Peer"]],
            "f", 0, 0),
        ("alone still", vec![DELIVERED, &["60 ended c Self", "62 hold a on"]], "f", 0, 0),
        ("alone from the first", vec![&["0 external c", "9 ended c Self"]], "", 0, 0),
        ("alone twice", vec![&["0 external c", "5 ivr i", "6 ended i Peer", "8 ivr k",
            "9 ended k Peer", "11 ended c Self"]], "ff", 0, 0),
        ("alone only by arrival", vec![&["0 external c", "0.1 user a", "30 ended c Self",
            "50 disposed a", "30.001 ended a Peer"]], "h", 0, 1),
        ("three talk", vec![DELIVERED, conference, OVER], "g", 0, 0),
        ("three talk in passing", vec![DELIVERED, &["20.001 phone p", "21 ended p Self"], OVER],
            "", 0, 0),
        ("a third alerts", vec![DELIVERED, &["20 phone p alerting", "30 ended p System"], OVER],
            "", 0, 0),
        ("a third talks while one holds",
            vec![DELIVERED, &["20 hold a on", "20.001 phone p", "30 ended p Self"], OVER],
            "", 0, 0),
        ("a third is consulted",
            vec![DELIVERED, CONSULT, &["25.002 hold a off", "30 ended b Self", "30.001 endConsult"],
                OVER], "", 0, 0),
        ("the same time", vec![&["0 external c", "0 routing q", "1 ended c Self",
            "1.001 ended q Peer"]], "h", 0, 1),
        ("an earlier time", vec![&["1 external c", "0 routing q"]], "h", 0, 1),
    ]);
}

#[test]
fn refused_events_leave_no_trace() {
    let (without, ..) = play(&[DELIVERED, OVER]);
    let nonsense: &[&str] =
        &["20 hold x on", "21 user b user=bob", "22 ended q Self", "23 answered a", "24 hold y on"];
    let (with, _, refused, _) = play(&[DELIVERED, nonsense, OVER, &["70 external d"]]);
    assert_eq!(refused, 6);
    assert_eq!(with.told(), without.told());
    assert_eq!(with.count(), (1, 0));
}

#[test]
fn what_was_told_is_what_the_events_say() {
    let held: &[&str] = &["20 hold a on", "25.5 hold a off"];
    let (conversations, ..) = play(&[DELIVERED, held, OVER]);
    let at = |ms: i64| 1_700_000_000_000 + ms;
    let leg = |kind, id, start_ms, end_ms, disconnect: &str| Leg {
        kind,
        id,
        start_ms: at(start_ms),
        alerting: false,
        answered_ms: None,
        holds: Vec::new(),
        end_ms: Some(at(end_ms)),
        disconnect: Some(disconnect.to_owned()),
    };
    let wanted = Told {
        conversation_id: id("conv"),
        interaction_id: "call-1".to_owned(),
        legs: vec![
            leg(LegKind::External, None, 1, 60_001, "Self"),
            leg(LegKind::Routing, Some(id("sales")), 2, 14_003, "TransferUser"),
            Leg {
                alerting: true,
                answered_ms: Some(at(14_001)),
                holds: vec![(at(20_000), true), (at(25_500), false)],
                ..leg(LegKind::User, Some(id("ada")), 10_002, 60_002, "Peer")
            },
        ],
    };
    assert_eq!(conversations.told(), vec![wanted]);
}

#[test]
fn conversations_are_open_until_their_last_leg_ends() {
    let cases = [
        (vec![], (0, 0)),
        (vec![DELIVERED], (1, 1)),
        (vec![DELIVERED, OVER], (1, 0)),
        (vec![DELIVERED, OVER, &["90 external d in=other"]], (2, 1)),
    ];
    for (flow, wanted) in cases {
        assert_eq!(play(&flow).0.count(), wanted, "{flow:?}");
    }
}
