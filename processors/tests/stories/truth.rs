//! What the organisation must hold of a call, told from its whole story with hindsight: a table of
//! legs with their beginnings and ends. Written from seed 003 (EXCP), the 17 flows and the tables
//! in `cases/conversation`; it knows no event of Engage and no state of the processor.

use crate::story::{Step, Story, Vq, Who};

/// Who a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Customer,
    Ivr,
    Queue(&'static str),
    Agent(&'static str),
}

/// One leg, all times in milliseconds since the call's creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) name: Name,
    pub(crate) start_ms: i64,
    pub(crate) alerting: bool,
    pub(crate) answered_ms: Option<i64>,
    pub(crate) holds: Vec<(i64, bool)>,
    pub(crate) end_ms: i64,
    pub(crate) disconnect: &'static str,
}

/// What the organisation must hold, and what must be said of the call besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) legs: Vec<Leg>,
    pub(crate) outcomes: Vec<&'static str>,
}

pub(crate) fn agent(who: Who) -> &'static str {
    match who {
        Who::One => "A1001",
        Who::Two => "A1002",
        Who::Stranger => "nobody",
    }
}

/// The truth of a story.
pub(crate) fn truth(story: &Story) -> Truth {
    match story[0].1 {
        Step::CallInside(..) => Truth { legs: Vec::new(), outcomes: vec!["leftOut internal"] },
        _ if is_suspended_by_stranger(story) => stranger(story),
        _ => Truth { legs: legs(story), outcomes: outcomes(story) },
    }
}

fn is_suspended_by_stranger(story: &Story) -> bool {
    story.iter().any(|(_, step)| matches!(step, Step::Ring(Who::Stranger, _)))
}

fn outcomes(story: &Story) -> Vec<&'static str> {
    let conference = story.iter().any(|(_, step)| matches!(step, Step::Conference(_)));
    if conference { vec!["suspended third_party"] } else { Vec::new() }
}

/// An agent out of scope answers: the queue is left, and the caller not left alone (model 14a).
fn stranger(story: &Story) -> Truth {
    let at = story.iter().position(|(_, step)| matches!(step, Step::Ring(Who::Stranger, _)));
    let at = at.expect("a stranger rings");
    let answered_ms = story[at + 1].0;
    let mut before = story[..at].to_vec();
    before.push((answered_ms, Step::HangUp { customer: true }));
    let mut legs = legs(&before);
    let open = legs.iter_mut().filter(|leg| leg.end_ms >= answered_ms);
    for leg in open {
        (leg.end_ms, leg.disconnect) = match leg.name {
            Name::Queue(_) => (answered_ms, "TransferUser"),
            Name::Customer | Name::Ivr | Name::Agent(_) => (answered_ms + 1, "System"),
        };
    }
    let outcomes = vec!["leftOut agent_not_mapped", "suspended agent_not_mapped"];
    Truth { legs, outcomes }
}

/// The legs in order of their start. A leg is found by looking ahead for what ends it.
fn legs(story: &Story) -> Vec<Leg> {
    let (last_ms, last) = *story.last().expect("a story ends");
    let customer_ends = matches!(last, Step::HangUp { customer: true } | Step::CustomerBusy);
    let mut legs = vec![Leg {
        name: Name::Customer,
        start_ms: 0,
        alerting: false,
        answered_ms: None,
        holds: Vec::new(),
        end_ms: last_ms,
        disconnect: if customer_ends { "Self" } else { "Peer" },
    }];
    for (index, (at_ms, step)) in story.iter().enumerate() {
        let rest = &story[index + 1..];
        match step {
            Step::CallOut(who) => {
                let customer = &mut legs[0];
                customer.start_ms = 40;
                customer.alerting = true;
                let busy = last == Step::CustomerBusy;
                if busy {
                    customer.disconnect = "System";
                } else {
                    customer.answered_ms = story.get(1).map(|(at_ms, _)| *at_ms);
                }
                let mut leg = agent_leg(*who, 0, false, rest);
                if busy {
                    leg.disconnect = "Peer";
                }
                legs.insert(0, leg);
            }
            Step::Treat => {
                let (end_ms, how) = ends(rest, |step| match step {
                    Step::Queue(_) => Some("TransferACD"),
                    Step::HangUp { .. } => Some("Peer"),
                    _ => None,
                });
                legs.push(waiting(Name::Ivr, *at_ms, end_ms, how));
            }
            Step::Queue(vq) if !continues(&story[..index], *vq) => {
                let (end_ms, how) = queue_ends(rest, *vq);
                legs.push(waiting(Name::Queue(vq.dn()), *at_ms, end_ms, how));
            }
            Step::Ring(who, _) if *who != Who::Stranger => {
                legs.push(agent_leg(*who, *at_ms, true, rest));
            }
            Step::ConsultQueue(vq) => {
                let (end_ms, how) = queue_ends(rest, *vq);
                legs.push(waiting(Name::Queue(vq.dn()), *at_ms + 200, end_ms, how));
            }
            Step::Consult(who) | Step::ConsultRing(who) => {
                let dials_ms = if matches!(step, Step::Consult(_)) { 10 } else { 0 };
                let mut leg = agent_leg(*who, *at_ms + dials_ms, true, after_consult(rest));
                let answered = rest
                    .iter()
                    .find(|(_, step)| matches!(step, Step::ConsultAnswer | Step::Answer));
                leg.answered_ms = answered.map(|(at_ms, _)| *at_ms);
                if let Some((at_ms, Step::ConsultDrop)) = rest.get(1) {
                    (leg.end_ms, leg.disconnect) = (*at_ms, "Self");
                    leg.holds.clear();
                }
                legs.push(leg);
            }
            Step::Pass(who) => legs.push(agent_leg(*who, *at_ms + 5, true, rest)),
            _ => {}
        }
    }
    legs
}

/// What follows a consult from the view of the consulted: its own holds come after the completion.
fn after_consult(rest: &[(i64, Step)]) -> &[(i64, Step)] {
    let completed = rest.iter().take(2).position(|(_, step)| *step == Step::Complete);
    completed.map_or(&[], |at| &rest[at + 1..])
}

/// Whether a call that nobody answered returns to its own queue: that is one leg throughout.
fn continues(before: &[(i64, Step)], vq: Vq) -> bool {
    let last = before.last().map(|(_, step)| *step);
    let was_there = before.iter().any(|(_, step)| step.queue() == Some(vq));
    last == Some(Step::NoAnswer) && was_there
}

fn queue_ends(rest: &[(i64, Step)], vq: Vq) -> (i64, &'static str) {
    let mut unanswered = false;
    for (at_ms, step) in rest {
        match step {
            Step::NoAnswer => unanswered = true,
            Step::Queue(other) if *other == vq && unanswered => unanswered = false,
            Step::Queue(_) => return (*at_ms, "TransferACD"),
            Step::Answer | Step::ConsultAnswer => return (*at_ms, "TransferUser"),
            Step::HangUp { .. } => return (*at_ms, "Peer"),
            _ => {}
        }
    }
    unreachable!("a queue is left")
}

/// An agent's leg: what the rest of the story does with it.
fn agent_leg(who: Who, start_ms: i64, alerting: bool, rest: &[(i64, Step)]) -> Leg {
    let mut leg = Leg {
        name: Name::Agent(agent(who)),
        start_ms,
        alerting,
        answered_ms: None,
        holds: Vec::new(),
        end_ms: 0,
        disconnect: "",
    };
    for (index, (at_ms, step)) in rest.iter().enumerate() {
        let mut end = |how| (leg.end_ms, leg.disconnect) = (*at_ms, how);
        match step {
            Step::NoAnswer => {
                return {
                    end("System");
                    leg
                };
            }
            Step::Answer => leg.answered_ms = Some(*at_ms),
            Step::Hold | Step::Consult(_) | Step::ConsultQueue(_) => leg.holds.push((*at_ms, true)),
            Step::Retrieve => leg.holds.push((*at_ms, false)),
            Step::ConsultDrop => leg.holds.push((*at_ms + 100, false)),
            Step::Complete => {
                return {
                    end("TransferConsult");
                    leg
                };
            }
            Step::Pass(_) => {
                return {
                    end("TransferUser");
                    leg
                };
            }
            Step::PassToQueue => {
                let (queued_ms, _) = rest[index + 1];
                (leg.end_ms, leg.disconnect) = (queued_ms, "TransferACD");
                return leg;
            }
            Step::HangUp { customer } => {
                return {
                    end(if *customer { "Peer" } else { "Self" });
                    leg
                };
            }
            Step::CustomerBusy => {
                return {
                    end("Peer");
                    leg
                };
            }
            _ => {}
        }
    }
    leg
}

fn waiting(name: Name, start_ms: i64, end_ms: i64, disconnect: &'static str) -> Leg {
    let (alerting, answered_ms, holds) = (false, None, Vec::new());
    Leg { name, start_ms, alerting, answered_ms, holds, end_ms, disconnect }
}

fn ends(rest: &[(i64, Step)], how: impl Fn(&Step) -> Option<&'static str>) -> (i64, &'static str) {
    let found = rest.iter().find_map(|(at_ms, step)| Some((*at_ms, how(step)?)));
    found.expect("every leg ends")
}
