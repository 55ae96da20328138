//! *Flow*: the told conversation as one machine, matched on (state, input).
//!
//! | state | who is there for Genesys Cloud | leaves it by |
//! |---|---|---|
//! | `Untold` | nobody | an external party and one other leg are known; the call's end |
//! | `Ivr` | customer, IVR | a queue (transfer), an agent (transfer), somebody leaving |
//! | `Queued` | customer, queue | an agent (transfer), another queue, the customer leaving |
//! | `Offered` | customer, an alerting agent, what it came from | answer, no answer, leaving |
//! | `Dialing` | agent, alerting customer | answer, somebody leaving |
//! | `Talking` | customer, agent | leaving, a third party (suspension), a transfer |
//! | `Transferring` | customer, the agent who left | a destination, 30 s, the customer leaving |
//! | `Suspended` | who was there | only by leaving (seed 003, "Monitoring Suspension Mode") |
//! | `Ignored` | nobody, for good | |
//! | `Ended` | nobody any more | |

use serde::{Deserialize, Serialize};
use trunkline_schemas::command::{DisconnectType, FinalState};
use trunkline_schemas::outcome::OutcomeStatus;
use trunkline_schemas::segment::LegKind;

use super::call::{Conversation, Leg, LegState, Party, PartyKind};
use super::legs::Input;
use super::reason::Reason;
use super::tables::{CallType, Leaving, Talk};
use super::tell::{Destination, NewLeg, Teller};

/// How long a leg left by a transfer waits for the destination (DESIGN section 5).
pub const TRANSFER_WAIT_MS: i64 = 30_000;

/// How long a customer may be alone in a conversation.
const ALONE_MAX_MS: i64 = 1_000;

/// Where the told conversation stands. Legs are named by their communication ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flow {
    /// Nothing was told.
    Untold,
    /// The customer talks to an IVR.
    Ivr,
    /// The customer waits in a queue.
    Queued,
    /// An agent is offered the call.
    Offered {
        /// The agent's leg.
        agent: String,
    },
    /// An agent calls the customer.
    Dialing {
        /// The agent's leg.
        agent: String,
    },
    /// Customer and agent talk.
    Talking {
        /// The agent's leg.
        agent: String,
    },
    /// The agent has transferred the call; nobody knows yet whereto.
    Transferring {
        /// The agent's leg.
        from: String,
        /// When the agent left.
        at_ms: i64,
    },
    /// Nothing is told any more but ends.
    Suspended,
    /// The call is left out.
    Ignored,
    /// Everything has ended.
    Ended,
}

/// Applies one input.
pub fn step(teller: &mut Teller<'_>, at_ms: i64, input: &Input) {
    let flow = teller.conversation.flow.clone();
    match (flow, input) {
        (Flow::Ended | Flow::Ignored, _) => {}
        (Flow::Untold, Input::Over) => leave_out_untold(teller),
        (Flow::Untold, Input::Answered(id)) => match reach(teller.conversation, id) {
            Reach::InScope(_) => open(teller, at_ms),
            Reach::OutOfScope(dn) => {
                let detail = Some(format!("no agent in scope at DN {dn}"));
                teller.note(OutcomeStatus::LeftOut, Reason::AgentNotMapped, detail);
                if teller.conversation.customer().is_some() {
                    teller.conversation.flow = Flow::Ignored;
                }
            }
            Reach::Nobody => {}
        },
        (Flow::Untold, _) => open(teller, at_ms),

        (Flow::Ivr, Input::Queued(entry)) => from_leg_to_queue(teller, at_ms, LegKind::Ivr, entry),
        (Flow::Queued, Input::Queued(entry)) => queued_again(teller, at_ms, entry),
        (Flow::Queued, Input::QueueLeft(_)) => overflow(teller, at_ms),
        (Flow::Ivr | Flow::Queued, Input::Offered(id)) => offer(teller, at_ms, id),
        (Flow::Ivr | Flow::Queued, Input::Answered(id)) => answered_unoffered(teller, at_ms, id),
        (Flow::Ivr | Flow::Queued, Input::Left(id, leaving)) => {
            waiting_left(teller, at_ms, id, *leaving);
        }

        (Flow::Offered { agent }, Input::Answered(id)) => answered(teller, at_ms, &agent, id),
        (Flow::Offered { agent }, Input::Left(id, leaving)) => {
            offered_left(teller, at_ms, &agent, id, *leaving);
        }
        (Flow::Offered { .. }, Input::Queued(entry)) => {
            continue_queue(teller.conversation, entry);
        }

        (Flow::Dialing { agent }, Input::CustomerAnswered) => {
            if let Some(customer) = leg_id(teller.conversation, LegKind::External) {
                teller.answer(at_ms, &customer);
                teller.conversation.flow = Flow::Talking { agent };
            }
        }
        (Flow::Talking { agent }, Input::Left(id, Leaving::Transferred))
            if is_leg_of(teller.conversation, &agent, id) =>
        {
            teller.conversation.flow = Flow::Transferring { from: agent, at_ms };
            teller.conversation.due_ms = Some(teller.now_ms + TRANSFER_WAIT_MS);
        }
        (Flow::Dialing { .. } | Flow::Talking { .. }, Input::Left(id, leaving)) => {
            talking_left(teller, at_ms, id, *leaving);
        }
        (Flow::Talking { agent }, Input::Held(id)) => hold(teller, at_ms, &agent, id, true),
        (Flow::Talking { agent }, Input::Retrieved(id)) => {
            hold(teller, at_ms, &agent, id, false);
        }
        (Flow::Talking { agent }, Input::Answered(id)) => {
            if !is_leg_of(teller.conversation, &agent, id) {
                suspend(teller, Reason::ThirdParty);
            }
        }

        (Flow::Transferring { from, at_ms: left_ms }, Input::Offered(id) | Input::Answered(id)) => {
            transferred_to(teller, left_ms, at_ms, &from, id);
        }
        (Flow::Transferring { from, at_ms: left_ms }, Input::Queued(entry)) => {
            move_to_queue(teller, left_ms, &from, entry, at_ms);
        }
        (Flow::Transferring { .. }, Input::Left(id, leaving)) => {
            talking_left(teller, at_ms, id, *leaving);
        }
        (Flow::Transferring { .. }, Input::Over | Input::TimeUp) => {
            teller.note(OutcomeStatus::LeftOut, Reason::TransferLost, None);
            end_all(teller, at_ms);
        }

        (Flow::Suspended, Input::Left(id, leaving)) => suspended_left(teller, at_ms, id, *leaving),
        (
            Flow::Ivr
            | Flow::Queued
            | Flow::Offered { .. }
            | Flow::Dialing { .. }
            | Flow::Talking { .. }
            | Flow::Suspended,
            Input::Over,
        ) => end_all(teller, at_ms),

        // What remains says nothing new in its state: VQ evidence after an agent was told is context,
        // a treatment after the first is music, a second offer waits for the first to fail.
        (
            Flow::Ivr
            | Flow::Queued
            | Flow::Offered { .. }
            | Flow::Dialing { .. }
            | Flow::Talking { .. }
            | Flow::Transferring { .. }
            | Flow::Suspended,
            Input::Known
            | Input::Treatment(_)
            | Input::Queued(_)
            | Input::QueueLeft(_)
            | Input::Offered(_)
            | Input::Answered(_)
            | Input::CustomerAnswered
            | Input::Held(_)
            | Input::Retrieved(_)
            | Input::TimeUp,
        ) => {}
    }
}

/// Ends what is open, because nothing more will be heard, and says why.
pub fn give_up(teller: &mut Teller<'_>, at_ms: i64, reason: Reason) {
    teller.note(OutcomeStatus::LeftOut, reason, None);
    end_all(teller, at_ms);
}

/// Moves a told conversation to Monitoring Suspension; an untold one is left out.
pub fn suspend(teller: &mut Teller<'_>, reason: Reason) {
    match teller.conversation.flow {
        Flow::Ended | Flow::Ignored | Flow::Suspended => {}
        Flow::Untold => {
            teller.note(OutcomeStatus::LeftOut, reason, None);
            teller.conversation.flow = Flow::Ignored;
        }
        Flow::Ivr
        | Flow::Queued
        | Flow::Offered { .. }
        | Flow::Dialing { .. }
        | Flow::Talking { .. }
        | Flow::Transferring { .. } => {
            teller.note(OutcomeStatus::Suspended, reason, None);
            teller.conversation.flow = Flow::Suspended;
        }
    }
}

/// Opens the conversation, if an external party and one other leg are known.
fn open(teller: &mut Teller<'_>, at_ms: i64) {
    let conversation = &*teller.conversation;
    let Some(call) = conversation.root_call().filter(|call| call.created) else { return };
    let Some(customer) = conversation.customer().filter(|c| c.is_here()).cloned() else { return };
    let created_ms = call.created_ms;
    if call.call_type == CallType::Outbound || call.dialed.is_some() {
        return open_outbound(teller, created_ms, at_ms, &customer);
    }
    let entry = conversation
        .entries
        .iter()
        .find(|e| e.queue_id.is_some() && !e.left && conversation.is_root(&e.call))
        .cloned();
    let ivr = conversation
        .parties
        .iter()
        .find(|p| p.kind == PartyKind::RoutingPoint && p.is_here() && p.state.treatment);
    let agent = conversation.parties.iter().find(|p| {
        let reached = matches!(p.state.talk, Talk::Alerting | Talk::Connected);
        p.agent.is_some() && p.is_here() && reached && conversation.is_root(&p.call)
    });
    let (ivr, agent) = (ivr.cloned(), agent.cloned());
    if let Some(entry) = entry {
        let customer = establish_customer(teller, created_ms, &customer, false, None);
        let new = queue_leg(&entry.id, &entry.dn, entry.queue_id, Some(customer));
        teller.establish(entry.entered_ms, new);
        teller.conversation.flow = Flow::Queued;
    } else if let Some(ivr) = ivr {
        let customer = establish_customer(teller, created_ms, &customer, false, None);
        teller.establish(at_ms, ivr_leg(&ivr, customer));
        teller.conversation.flow = Flow::Ivr;
    } else if let Some(agent) = agent {
        let customer = establish_customer(teller, created_ms, &customer, false, None);
        establish_agent(teller, at_ms, &agent, Some(customer));
    }
}

fn open_outbound(teller: &mut Teller<'_>, created_ms: i64, at_ms: i64, customer: &Party) {
    let caller = teller.conversation.parties.iter().find(|p| {
        p.kind == PartyKind::Extension && p.is_here() && teller.conversation.is_root(&p.call)
    });
    let Some(caller) = caller.cloned() else { return };
    if caller.agent.is_none() {
        let detail = Some(format!("no agent in scope at DN {}", caller.dn));
        teller.note(OutcomeStatus::LeftOut, Reason::AgentNotMapped, detail);
        teller.conversation.flow = Flow::Ignored;
        return;
    }
    let agent = teller.establish(
        created_ms,
        NewLeg {
            kind: LegKind::User,
            subject: &caller.id,
            dn: &caller.dn,
            alerting: false,
            invited_by: None,
            agent: caller.agent.clone(),
            queue_id: None,
        },
    );
    let alerting = customer.state.talk != Talk::Connected;
    establish_customer(teller, at_ms, customer, alerting, Some(agent.clone()));
    teller.conversation.flow =
        if alerting { Flow::Dialing { agent } } else { Flow::Talking { agent } };
}

fn establish_customer(
    teller: &mut Teller<'_>,
    at_ms: i64,
    customer: &Party,
    alerting: bool,
    invited_by: Option<String>,
) -> String {
    let new = NewLeg {
        kind: LegKind::External,
        subject: &customer.id,
        dn: &customer.dn,
        alerting,
        invited_by,
        agent: None,
        queue_id: None,
    };
    teller.establish(at_ms, new)
}

fn ivr_leg(ivr: &Party, customer: String) -> NewLeg<'_> {
    NewLeg {
        kind: LegKind::Ivr,
        subject: &ivr.id,
        dn: &ivr.dn,
        alerting: false,
        invited_by: Some(customer),
        agent: None,
        queue_id: None,
    }
}

fn queue_leg<'a>(
    id: &'a str,
    dn: &'a str,
    queue_id: Option<String>,
    invited_by: Option<String>,
) -> NewLeg<'a> {
    let (kind, alerting, agent) = (LegKind::Routing, false, None);
    NewLeg { kind, subject: id, dn, alerting, invited_by, agent, queue_id }
}

/// Establishes an agent's leg: offered, or talking where the answer came with it.
fn establish_agent(teller: &mut Teller<'_>, at_ms: i64, party: &Party, invited_by: Option<String>) {
    let alerting = party.state.talk != Talk::Connected;
    let new = NewLeg {
        kind: LegKind::User,
        subject: &party.id,
        dn: &party.dn,
        alerting,
        invited_by,
        agent: party.agent.clone(),
        queue_id: None,
    };
    let agent = teller.establish(at_ms, new);
    teller.progress_transfer(at_ms, &agent);
    teller.conversation.flow =
        if alerting { Flow::Offered { agent } } else { Flow::Talking { agent } };
}

/// The IVR's call goes to a queue: a transfer that is complete at once (flow 02).
fn from_leg_to_queue(teller: &mut Teller<'_>, at_ms: i64, from: LegKind, entry: &str) {
    if let Some(from) = leg_id(teller.conversation, from) {
        move_to_queue(teller, at_ms, &from, entry, at_ms);
    }
}

/// When a person who transferred at `began_ms` leaves, if the destination is there at `at_ms`: at once,
/// unless the customer would be alone for long (gc/scenarios section 3, invariant f).
fn leaves_ms(began_ms: i64, at_ms: i64) -> i64 {
    if at_ms - began_ms < ALONE_MAX_MS { began_ms } else { at_ms }
}

/// Transfers the customer from a leg to a queue. A person leaves before the queue is there (flow 11),
/// an IVR or a queue after it (flow 02).
fn move_to_queue(teller: &mut Teller<'_>, began_ms: i64, from: &str, entry: &str, at_ms: i64) {
    let conversation = &*teller.conversation;
    let Some(entry) = conversation.entries.iter().find(|e| e.id == entry).cloned() else { return };
    let Some(queue_id) = entry.queue_id.clone() else { return };
    if conversation.was_told(&entry.id) {
        return;
    }
    let person = leg(conversation, from).is_some_and(|l| l.kind == LegKind::User);
    let customer = leg_id(conversation, LegKind::External);
    teller.begin_transfer(began_ms, from, &Destination::Queue(&queue_id), &entry.id);
    if person {
        teller.end(leaves_ms(began_ms, at_ms), from, DisconnectType::TransferAcd);
    }
    let queue = teller.establish(at_ms, queue_leg(&entry.id, &entry.dn, entry.queue_id, customer));
    teller.progress_transfer(at_ms, &queue);
    teller.end_transfer(at_ms, FinalState::Completed);
    teller.end(at_ms, from, DisconnectType::TransferAcd);
    teller.conversation.flow = Flow::Queued;
    teller.conversation.due_ms = None;
}

/// A VQ is entered while the customer waits in one: the same queue continues its leg, another takes
/// over once the first was left, else it is queued in parallel and waits.
fn queued_again(teller: &mut Teller<'_>, at_ms: i64, entry: &str) {
    if !continue_queue(teller.conversation, entry) {
        overflow(teller, at_ms);
    }
}

/// A new entry of the queue whose leg is open continues that leg (DESIGN section 5, *legs*).
fn continue_queue(conversation: &mut Conversation, entry: &str) -> bool {
    let queue =
        conversation.entries.iter().find(|e| e.id == entry).and_then(|e| e.queue_id.clone());
    let open = conversation.legs.iter_mut().find(|leg| {
        leg.kind == LegKind::Routing && leg.state != LegState::Ended && leg.queue_id == queue
    });
    let Some(leg) = open else { return false };
    leg.subjects.push(entry.to_owned());
    true
}

/// Moves the customer to another queue it waits in, if that of the open leg was left.
fn overflow(teller: &mut Teller<'_>, at_ms: i64) {
    let conversation = &*teller.conversation;
    let Some(queue) = conversation.open_kind(LegKind::Routing) else { return };
    let stays = |id: &String| conversation.entries.iter().any(|e| e.id == *id && !e.left);
    if queue.subjects.iter().any(stays) {
        return;
    }
    let next = conversation
        .entries
        .iter()
        .find(|e| !e.left && e.queue_id.is_some() && conversation.is_root(&e.call));
    if let Some(next) = next.map(|e| e.id.clone()) {
        from_leg_to_queue(teller, at_ms, LegKind::Routing, &next);
    }
}

/// Who is reached at a party.
enum Reach {
    /// An agent in scope.
    InScope(Party),
    /// An extension without one; its DN.
    OutOfScope(String),
    /// No such party, or no extension.
    Nobody,
}

fn reach(conversation: &Conversation, id: &str) -> Reach {
    let here = |p: &&Party| p.id == id && p.is_here() && conversation.is_root(&p.call);
    match conversation.parties.iter().find(here) {
        Some(party) if party.agent.is_some() => Reach::InScope(party.clone()),
        Some(party) if party.kind == PartyKind::Extension => Reach::OutOfScope(party.dn.clone()),
        Some(_) | None => Reach::Nobody,
    }
}

/// The call is offered to an agent by the IVR or queue that has it: a transfer begins (flow 03).
fn offer(teller: &mut Teller<'_>, at_ms: i64, id: &str) {
    match reach(teller.conversation, id) {
        Reach::InScope(party) if !teller.conversation.was_told(&party.id) => {
            let Some(from) = holder(teller.conversation) else { return };
            let user = party.agent.as_ref().map(|a| a.user_id.clone()).unwrap_or_default();
            teller.begin_transfer(at_ms, &from, &Destination::User(&user), &party.id);
            establish_agent(teller, at_ms, &party, Some(from));
        }
        Reach::OutOfScope(dn) => {
            let detail = Some(format!("no agent in scope at DN {dn}"));
            teller.note(OutcomeStatus::LeftOut, Reason::AgentNotMapped, detail);
        }
        Reach::InScope(_) | Reach::Nobody => {}
    }
}

/// An extension is connected that was not offered the call as told.
fn answered_unoffered(teller: &mut Teller<'_>, at_ms: i64, id: &str) {
    match reach(teller.conversation, id) {
        Reach::InScope(_) => {
            offer(teller, at_ms, id);
            if matches!(teller.conversation.flow, Flow::Talking { .. }) {
                complete(teller, at_ms);
            }
        }
        Reach::OutOfScope(dn) => {
            let detail = Some(format!("no agent in scope at DN {dn}"));
            teller.note(OutcomeStatus::LeftOut, Reason::AgentNotMapped, detail);
            suspend(teller, Reason::AgentNotMapped);
            end_waiting(teller, at_ms);
        }
        Reach::Nobody => {}
    }
}

/// The customer has arrived at somebody who is not told: it waits no longer, and is not left alone.
fn end_waiting(teller: &mut Teller<'_>, at_ms: i64) {
    teller.end_transfer(at_ms, FinalState::Canceled);
    for waiting in [LegKind::Ivr, LegKind::Routing] {
        if let Some(leg) = leg_id(teller.conversation, waiting) {
            teller.end(at_ms, &leg, DisconnectType::TransferUser);
        }
    }
    end_lonely(teller, at_ms, DisconnectType::System);
}

fn answered(teller: &mut Teller<'_>, at_ms: i64, agent: &str, id: &str) {
    if is_leg_of(teller.conversation, agent, id) {
        teller.answer(at_ms, agent);
        teller.conversation.flow = Flow::Talking { agent: agent.to_owned() };
        return complete(teller, at_ms);
    }
    // Ringing in parallel: another one took it.
    if matches!(reach(teller.conversation, id), Reach::Nobody) {
        return;
    }
    teller.end(at_ms, agent, DisconnectType::System);
    teller.end_transfer(at_ms, FinalState::Failed);
    match holder(teller.conversation) {
        Some(_) => {
            back_to_holder(teller);
            answered_unoffered(teller, at_ms, id);
        }
        None => direct(teller, at_ms, id),
    }
}

/// The customer reached an agent without IVR or queue.
fn direct(teller: &mut Teller<'_>, at_ms: i64, id: &str) {
    match reach(teller.conversation, id) {
        Reach::InScope(party) if !teller.conversation.was_told(&party.id) => {
            let customer = leg_id(teller.conversation, LegKind::External);
            establish_agent(teller, at_ms, &party, customer);
        }
        Reach::OutOfScope(_) => {
            suspend(teller, Reason::AgentNotMapped);
            end_lonely(teller, at_ms, DisconnectType::System);
        }
        Reach::InScope(_) | Reach::Nobody => end_lonely(teller, at_ms, DisconnectType::Peer),
    }
}

/// The agent has the call: the transfer is complete and what it came from leaves.
fn complete(teller: &mut Teller<'_>, at_ms: i64) {
    teller.end_transfer(at_ms, FinalState::Completed);
    if let Some(from) = holder(teller.conversation) {
        teller.end(at_ms, &from, DisconnectType::TransferUser);
    }
}

fn offered_left(teller: &mut Teller<'_>, at_ms: i64, agent: &str, id: &str, leaving: Leaving) {
    if is_customer(teller.conversation, id) {
        return hang_up(teller, at_ms, id, leaving);
    }
    if !is_leg_of(teller.conversation, agent, id) {
        return;
    }
    teller.end(at_ms, agent, disconnect(leaving));
    teller.end_transfer(at_ms, FinalState::Failed);
    let waiting = teller.conversation.parties.iter().find(|p| {
        let ringing = p.agent.is_some() && p.is_here() && p.state.talk == Talk::Alerting;
        ringing && !teller.conversation.was_told(&p.id) && teller.conversation.is_root(&p.call)
    });
    let waiting = waiting.map(|p| p.id.clone());
    match (holder(teller.conversation), waiting) {
        (Some(_), waiting) => {
            back_to_holder(teller);
            if let Some(id) = waiting {
                offer(teller, at_ms, &id);
            }
        }
        (None, Some(id)) => direct(teller, at_ms, &id),
        (None, None) => end_lonely(teller, at_ms, DisconnectType::Peer),
    }
}

fn back_to_holder(teller: &mut Teller<'_>) {
    let ivr = teller.conversation.open_kind(LegKind::Ivr).is_some();
    teller.conversation.flow = if ivr { Flow::Ivr } else { Flow::Queued };
}

/// Somebody leaves while the customer is with an IVR or in a queue. A Routing Point that is left by
/// routing is no end; an IVR that hangs up is.
fn waiting_left(teller: &mut Teller<'_>, at_ms: i64, id: &str, leaving: Leaving) {
    let ivr = teller.conversation.open_leg(id).filter(|l| l.kind == LegKind::Ivr).is_some();
    if is_customer(teller.conversation, id) || (ivr && leaving == Leaving::HungUp) {
        hang_up(teller, at_ms, id, leaving);
    }
}

fn talking_left(teller: &mut Teller<'_>, at_ms: i64, id: &str, leaving: Leaving) {
    if teller.conversation.open_leg(id).is_some() {
        hang_up(teller, at_ms, id, leaving);
    }
}

/// One party left and takes the conversation with it: it ends first, then the others (1 ms apart, as
/// all times of a conversation), a pending transfer being given up.
fn hang_up(teller: &mut Teller<'_>, at_ms: i64, id: &str, leaving: Leaving) {
    let Some(first) = teller.conversation.open_leg(id).map(|l| l.id.clone()) else { return };
    teller.end(at_ms, &first, disconnect(leaving));
    if let Some(agent) = leg_id(teller.conversation, LegKind::User) {
        teller.end(at_ms, &agent, DisconnectType::Peer);
    }
    teller.end_transfer(at_ms, FinalState::Canceled);
    while let Some(open) = any_open(teller.conversation) {
        teller.end(at_ms, &open, DisconnectType::Peer);
    }
    teller.conversation.flow = Flow::Ended;
}

fn transferred_to(teller: &mut Teller<'_>, began_ms: i64, at_ms: i64, from: &str, id: &str) {
    match reach(teller.conversation, id) {
        Reach::InScope(party) if !teller.conversation.was_told(&party.id) => {
            let user = party.agent.as_ref().map(|a| a.user_id.clone()).unwrap_or_default();
            teller.begin_transfer(began_ms, from, &Destination::User(&user), &party.id);
            teller.end(leaves_ms(began_ms, at_ms), from, DisconnectType::TransferUser);
            establish_agent(teller, at_ms, &party, Some(from.to_owned()));
            if matches!(teller.conversation.flow, Flow::Talking { .. }) {
                teller.end_transfer(at_ms, FinalState::Completed);
            }
            teller.conversation.due_ms = None;
        }
        Reach::OutOfScope(_) => {
            suspend(teller, Reason::AgentNotMapped);
            teller.end(at_ms, from, DisconnectType::TransferUser);
            end_lonely(teller, at_ms, DisconnectType::System);
        }
        Reach::InScope(_) | Reach::Nobody => {}
    }
}

fn hold(teller: &mut Teller<'_>, at_ms: i64, agent: &str, id: &str, held: bool) {
    if is_leg_of(teller.conversation, agent, id) {
        teller.hold(at_ms, agent, held);
    }
}

fn suspended_left(teller: &mut Teller<'_>, at_ms: i64, id: &str, leaving: Leaving) {
    let Some(leg) = teller.conversation.open_leg(id).map(|l| l.id.clone()) else { return };
    teller.end(at_ms, &leg, disconnect(leaving));
    end_lonely(teller, at_ms, DisconnectType::Peer);
}

/// Never one party alone (seed 003, "to avoid leaving a call with a single party").
fn end_lonely(teller: &mut Teller<'_>, at_ms: i64, how: DisconnectType) {
    if teller.conversation.open_legs().count() > 1 {
        return;
    }
    teller.end_transfer(at_ms, FinalState::Canceled);
    if let Some(last) = any_open(teller.conversation) {
        teller.end(at_ms, &last, how);
    }
    teller.conversation.flow = Flow::Ended;
}

/// The calls are gone without a word about who left: everything ends by the system.
fn end_all(teller: &mut Teller<'_>, at_ms: i64) {
    teller.end_transfer(at_ms, FinalState::Canceled);
    while let Some(open) = any_open(teller.conversation) {
        teller.end(at_ms, &open, DisconnectType::System);
    }
    teller.conversation.flow = Flow::Ended;
    teller.conversation.due_ms = None;
}

fn leave_out_untold(teller: &mut Teller<'_>) {
    let conversation = &*teller.conversation;
    let reason = if !conversation.root_call().is_some_and(|call| call.created) {
        Reason::NeverCreated
    } else if conversation.parties.iter().all(|p| p.kind != PartyKind::External) {
        Reason::Internal
    } else {
        Reason::NeverServed
    };
    teller.note(OutcomeStatus::LeftOut, reason, None);
    teller.conversation.flow = Flow::Ended;
}

fn disconnect(leaving: Leaving) -> DisconnectType {
    match leaving {
        Leaving::HungUp => DisconnectType::SelfEnded,
        Leaving::NotTaken | Leaving::Redirected | Leaving::Routed => DisconnectType::System,
        Leaving::Transferred => DisconnectType::TransferUser,
        Leaving::Conferenced => DisconnectType::TransferConference,
    }
}

/// The IVR or queue that has the customer.
fn holder(conversation: &Conversation) -> Option<String> {
    leg_id(conversation, LegKind::Routing).or_else(|| leg_id(conversation, LegKind::Ivr))
}

fn leg<'a>(conversation: &'a Conversation, id: &str) -> Option<&'a Leg> {
    conversation.legs.iter().find(|leg| leg.id == id)
}

fn leg_id(conversation: &Conversation, kind: LegKind) -> Option<String> {
    conversation.open_kind(kind).map(|leg| leg.id.clone())
}

fn any_open(conversation: &Conversation) -> Option<String> {
    conversation.open_legs().next().map(|leg| leg.id.clone())
}

fn is_leg_of(conversation: &Conversation, id: &str, subject: &str) -> bool {
    leg(conversation, id).is_some_and(|leg| leg.subjects.iter().any(|s| s == subject))
}

fn is_customer(conversation: &Conversation, id: &str) -> bool {
    conversation.open_leg(id).is_some_and(|leg| leg.kind == LegKind::External)
}
