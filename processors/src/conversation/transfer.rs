//! The customer is passed on: from an IVR or queue to a queue, an agent or a phone (flows 02 to 05,
//! 13), and blindly by an agent (flows 10 to 12).

use std::sync::Arc;

use trunkline_schemas::command::{DisconnectType, FinalState};
use trunkline_schemas::segment::LegKind;

use super::call::{Conversation, LegState, Party, PartyKind};
use super::flow::{
    Flow, Reach, disconnect, end_lonely, hang_up, holder, is_customer, is_leg_of, leg, leg_id,
    note_out_of_scope, queue_leg, reach, suspend,
};
use super::tables::{Leaving, Talk};
use super::tell::{Destination, NewLeg, Teller};

/// How long a customer may be alone in a conversation (gc/scenarios section 3, invariant f).
const ALONE_MAX_MS: i64 = 1_000;

/// The customer goes from an IVR or queue to a queue: a transfer that is complete at once (flow
/// 02).
pub(super) fn holder_to_queue(teller: &mut Teller<'_>, at_ms: i64, from: LegKind, entry: &str) {
    if let Some(from) = leg_id(teller.conversation, from) {
        to_queue(teller, at_ms, &from, entry, at_ms);
    }
}

/// Transfers the customer from a leg to a queue; the leg leaves when the queue is there (flows 02,
/// 11).
pub(super) fn to_queue(
    teller: &mut Teller<'_>,
    began_ms: i64,
    from: &str,
    entry: &str,
    at_ms: i64,
) {
    let conversation = &*teller.conversation;
    let Some(entry) = conversation.entries.iter().find(|e| e.id == entry).cloned() else { return };
    let Some(queue_id) = entry.queue_id.clone().filter(|_| !conversation.was_told(&entry.id))
    else {
        return;
    };
    let customer = leg_id(conversation, LegKind::External);
    teller.begin_transfer(began_ms, from, &Destination::Queue(&queue_id), &entry.id);
    let queue = teller.establish(at_ms, queue_leg(&entry, customer));
    teller.progress_transfer(at_ms, &queue);
    teller.end_transfer(at_ms, FinalState::Completed);
    teller.end(at_ms, from, DisconnectType::TransferAcd);
    teller.conversation.flow = Flow::Queued;
    teller.conversation.due_ms = None;
}

/// A VQ is entered while the customer waits in one: the same queue continues its leg, another takes
/// over once the first was left, else it is queued in parallel and waits.
pub(super) fn queued_again(teller: &mut Teller<'_>, at_ms: i64, entry: &str) {
    if !continue_queue(teller.conversation, entry) {
        overflow(teller, at_ms);
    }
}

/// A new entry of the queue whose leg is open continues that leg (DESIGN section 5, *legs*).
pub(super) fn continue_queue(conversation: &mut Conversation, entry: &str) -> bool {
    let queue =
        conversation.entries.iter().find(|e| e.id == entry).and_then(|e| e.queue_id.clone());
    let open = conversation.legs.iter_mut().find(|leg| {
        leg.kind == LegKind::Routing && leg.state != LegState::Ended && leg.queue_id == queue
    });
    let Some(leg) = open else { return false };
    if !leg.subjects.iter().any(|s| s == entry) {
        Arc::make_mut(leg).subjects.push(entry.to_owned());
    }
    true
}

/// Moves the customer to another queue it waits in, if that of the open leg was left.
pub(super) fn overflow(teller: &mut Teller<'_>, at_ms: i64) {
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
        holder_to_queue(teller, at_ms, LegKind::Routing, &next);
    }
}

/// The call is offered to an agent or phone by the IVR or queue that has it: a transfer begins. An
/// IVR or queue leaves a phone to itself at once (flow 13), an agent when it answers (flow 03).
pub(super) fn offer(teller: &mut Teller<'_>, at_ms: i64, id: &str) {
    match reach(teller.conversation, id) {
        Reach::Agent(party) | Reach::Phone(party) => {
            if seen_from_afar(teller.conversation, &party) {
                return;
            }
            let Some(from) = holder(teller.conversation) else { return };
            begin(teller, at_ms, &from, &party);
            if party.kind == PartyKind::External {
                teller.end(at_ms, &from, DisconnectType::Transfer);
            }
            establish_reached(teller, at_ms, &party, Some(from));
        }
        Reach::OutOfScope(party) => {
            note_out_of_scope(teller, &party);
        }
        Reach::Nobody => {}
    }
}

/// Whether the party, or the same person seen from another site, has a leg.
fn seen_from_afar(conversation: &Conversation, party: &Party) -> bool {
    let person = party.person.as_deref();
    let told = person.is_some_and(|person| conversation.open_leg_of_person(person).is_some());
    told || conversation.was_told(&party.id)
}

fn begin(teller: &mut Teller<'_>, at_ms: i64, from: &str, party: &Party) {
    let user = party.agent.as_ref().map(|agent| agent.user_id.clone());
    let to = match &user {
        Some(user) => Destination::User(user),
        None => Destination::Phone(&party.dn),
    };
    teller.begin_transfer(at_ms, from, &to, &party.id);
}

/// Establishes the leg of an agent or phone: offered, or talking where the answer came with it.
pub(super) fn establish_reached(
    teller: &mut Teller<'_>,
    at_ms: i64,
    party: &Party,
    invited_by: Option<String>,
) {
    let alerting = party.state.talk != Talk::Connected;
    let to = establish(teller, at_ms, party, invited_by);
    teller.progress_transfer(at_ms, &to);
    teller.conversation.flow =
        if alerting { Flow::Offered { to } } else { Flow::Talking { with: to } };
}

/// Establishes the leg of an agent or phone.
pub(super) fn establish(
    teller: &mut Teller<'_>,
    at_ms: i64,
    party: &Party,
    invited_by: Option<String>,
) -> String {
    let alerting = party.state.talk != Talk::Connected;
    let kind = if party.kind == PartyKind::External { LegKind::Phone } else { LegKind::User };
    let (subject, dn, agent) = (party.id.as_str(), party.dn.as_str(), party.agent.clone());
    teller
        .establish(at_ms, NewLeg { kind, subject, dn, alerting, invited_by, agent, queue_id: None })
}

/// Somebody is connected to whom the call was not offered as told.
pub(super) fn answered_unoffered(teller: &mut Teller<'_>, at_ms: i64, id: &str) {
    match reach(teller.conversation, id) {
        Reach::Agent(_) | Reach::Phone(_) => {
            offer(teller, at_ms, id);
            if matches!(teller.conversation.flow, Flow::Talking { .. }) {
                complete(teller, at_ms);
            }
        }
        Reach::OutOfScope(party) => {
            let reason = note_out_of_scope(teller, &party);
            suspend(teller, at_ms, reason);
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

/// Somebody answers while one is offered the call.
pub(super) fn answered(teller: &mut Teller<'_>, at_ms: i64, to: &str, id: &str) {
    if is_leg_of(teller.conversation, to, id) {
        teller.answer(at_ms, to);
        teller.conversation.flow = Flow::Talking { with: to.to_owned() };
        return complete(teller, at_ms);
    }
    // Ringing in parallel: another one took it.
    if matches!(reach(teller.conversation, id), Reach::Nobody) {
        return;
    }
    teller.end(at_ms, to, DisconnectType::System);
    teller.end_transfer(at_ms, FinalState::Failed);
    if holder(teller.conversation).is_some() {
        back_to_holder(teller);
        answered_unoffered(teller, at_ms, id);
    } else {
        direct(teller, at_ms, id);
    }
}

/// The customer reached somebody without an IVR or queue.
fn direct(teller: &mut Teller<'_>, at_ms: i64, id: &str) {
    match reach(teller.conversation, id) {
        Reach::Agent(party) if !seen_from_afar(teller.conversation, &party) => {
            let customer = leg_id(teller.conversation, LegKind::External);
            establish_reached(teller, at_ms, &party, customer);
        }
        Reach::OutOfScope(party) => {
            let reason = note_out_of_scope(teller, &party);
            suspend(teller, at_ms, reason);
            end_lonely(teller, at_ms, DisconnectType::System);
        }
        Reach::Agent(_) | Reach::Phone(_) | Reach::Nobody => {
            end_lonely(teller, at_ms, DisconnectType::Peer);
        }
    }
}

/// The call was taken: the transfer is complete and what it came from leaves.
fn complete(teller: &mut Teller<'_>, at_ms: i64) {
    teller.end_transfer(at_ms, FinalState::Completed);
    if let Some(from) = holder(teller.conversation) {
        teller.end(at_ms, &from, DisconnectType::TransferUser);
    }
}

/// Somebody leaves while the call is offered: the customer gives up, or it is not taken and the
/// call returns to what offered it (flow 05).
pub(super) fn offered_left(
    teller: &mut Teller<'_>,
    at_ms: i64,
    to: &str,
    id: &str,
    leaving: Leaving,
) {
    if is_customer(teller.conversation, id) {
        return hang_up(teller, at_ms, id, leaving);
    }
    if !is_leg_of(teller.conversation, to, id) {
        return;
    }
    teller.end(at_ms, to, disconnect(leaving));
    teller.end_transfer(at_ms, FinalState::Failed);
    let ringing = |p: &&Party| p.agent.is_some() && p.state.talk == Talk::Alerting;
    let untold = |p: &&Party| !seen_from_afar(teller.conversation, p);
    let waiting = teller.conversation.present().filter(ringing).find(untold);
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

/// The destination of an agent's blind transfer is there (flows 10, 12).
pub(super) fn left_to(teller: &mut Teller<'_>, began_ms: i64, at_ms: i64, from: &str, id: &str) {
    match reach(teller.conversation, id) {
        Reach::Agent(party) | Reach::Phone(party) => {
            if seen_from_afar(teller.conversation, &party)
                && !is_leg_of(teller.conversation, from, &party.id)
            {
                return;
            }
            begin(teller, began_ms, from, &party);
            let how = match party.kind {
                PartyKind::External => DisconnectType::Transfer,
                PartyKind::Extension | PartyKind::RoutingPoint | PartyKind::Service => {
                    DisconnectType::TransferUser
                }
            };
            teller.end(leaves_ms(began_ms, at_ms), from, how);
            establish_reached(teller, at_ms, &party, Some(from.to_owned()));
            if matches!(teller.conversation.flow, Flow::Talking { .. }) {
                teller.end_transfer(at_ms, FinalState::Completed);
            }
            teller.conversation.due_ms = None;
        }
        Reach::OutOfScope(party) if party.state.talk == Talk::Connected => {
            let reason = note_out_of_scope(teller, &party);
            suspend(teller, at_ms, reason);
        }
        Reach::OutOfScope(_) | Reach::Nobody => {}
    }
}

/// When a person who transferred at `began_ms` leaves, if the destination is there at `at_ms`: at
/// once, unless the customer would be alone for long.
fn leaves_ms(began_ms: i64, at_ms: i64) -> i64 {
    if at_ms - began_ms < ALONE_MAX_MS { began_ms } else { at_ms }
}

/// Whether a leg alerts.
pub(super) fn alerts(conversation: &Conversation, id: &str) -> bool {
    leg(conversation, id).is_some_and(|leg| leg.state == LegState::Alerting)
}
