//! *Flow*: the told conversation as one machine, matched on (state, input).
//!
//! | state | who is there for Genesys Cloud | leaves it by |
//! |---|---|---|
//! | `Untold` | nobody | an external party and one other leg are known; the call's end |
//! | `Ivr` | customer, IVR | a queue, an agent or a phone (transfer), somebody leaving |
//! | `Queued` | customer, queue | an agent or a phone (transfer), another queue, leaving |
//! | `Offered` | customer, an alerting leg, what it came from | answer, no answer, leaving |
//! | `Dialing` | agent, alerting customer | answer, somebody leaving |
//! | `Talking` | customer, agent or phone | leaving, a third party, a transfer, a consult |
//! | `Consulting` | customer, agent, the consulted leg | its end, completion, leaving |
//! | `Transferring` | customer, the agent who left | a destination, 30 s, the customer leaving |
//! | `Suspended` | who was there | only by leaving (seed 003, "Monitoring Suspension Mode") |
//! | `Ignored` | nobody, for good | |
//! | `Ended` | nobody any more | |

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkline_schemas::command::{DisconnectType, FinalState};
use trunkline_schemas::outcome::OutcomeStatus;
use trunkline_schemas::segment::LegKind;

use super::call::{Conversation, Leg, Party, PartyKind, VqEntry};
use super::legs::Input;
use super::reason::Reason;
use super::tables::{CallType, Leaving, Talk};
use super::tell::{NewLeg, Teller};
use super::{consult, transfer};

/// How long a leg left by a transfer waits for the destination (DESIGN section 5).
pub const TRANSFER_WAIT_MS: i64 = 30_000;

/// Where the told conversation stands. Legs are named by their communication ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flow {
    /// Nothing was told.
    Untold,
    /// The customer talks to an IVR.
    Ivr,
    /// The customer waits in a queue.
    Queued,
    /// Somebody is offered the call.
    Offered {
        /// The alerting leg.
        to: String,
    },
    /// An agent calls the customer.
    Dialing {
        /// The agent's leg.
        agent: String,
    },
    /// The customer talks to somebody.
    Talking {
        /// That leg.
        with: String,
    },
    /// The agent consults somebody while the customer waits.
    Consulting {
        /// The agent's leg.
        agent: String,
        /// The consulted leg: an agent, a phone or a queue.
        to: String,
        /// Of a queue: the leg it offers the consult to.
        offered: Option<String>,
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

/// Applies one input. The one table of the machine: what an arm does stands in the functions below,
/// in `transfer` and in `consult`.
pub fn step(teller: &mut Teller<'_>, at_ms: i64, input: &Input) {
    let flow = teller.conversation.flow.clone();
    match (flow, input) {
        (_, Input::Disposed) => dispose_late(teller, at_ms),
        (Flow::Ended | Flow::Ignored, _) => {}
        (_, Input::Campaign) => suspend(teller, at_ms, Reason::Campaign),
        (_, Input::Supervised) => suspend(teller, at_ms, Reason::Supervision),
        (_, Input::Nested) => suspend(teller, at_ms, Reason::NestedConsult),

        (Flow::Untold, Input::Over) => leave_out_untold(teller),
        (Flow::Untold, Input::Answered(id)) => answered_untold(teller, at_ms, id),
        (Flow::Untold, Input::TimeUp) => {
            teller.conversation.link_awaited = true;
            open(teller, at_ms);
        }
        (Flow::Untold, _) => open(teller, at_ms),

        (Flow::Ivr, Input::Queued(entry)) => {
            transfer::holder_to_queue(teller, at_ms, LegKind::Ivr, entry);
        }
        (Flow::Queued, Input::Queued(entry)) => transfer::queued_again(teller, at_ms, entry),
        (Flow::Queued, Input::QueueLeft(_)) => transfer::overflow(teller, at_ms),
        (Flow::Ivr | Flow::Queued, Input::Offered(id)) => transfer::offer(teller, at_ms, id),
        (Flow::Ivr | Flow::Queued, Input::Answered(id)) => {
            transfer::answered_unoffered(teller, at_ms, id);
        }
        (Flow::Ivr | Flow::Queued, Input::Left(id, leaving)) => {
            waiting_left(teller, at_ms, id, *leaving);
        }

        (Flow::Offered { to }, Input::Answered(id)) => transfer::answered(teller, at_ms, &to, id),
        (Flow::Offered { to }, Input::Left(id, leaving)) => {
            transfer::offered_left(teller, at_ms, &to, id, *leaving);
        }
        (Flow::Offered { .. }, Input::Queued(entry)) => {
            transfer::continue_queue(teller.conversation, entry);
        }

        (Flow::Dialing { agent }, Input::CustomerAnswered) => {
            if let Some(customer) = leg_id(teller.conversation, LegKind::External) {
                teller.answer(at_ms, &customer);
                teller.conversation.flow = Flow::Talking { with: agent };
            }
        }
        (Flow::Talking { with }, Input::Left(id, Leaving::Transferred))
            if is_leg_of(teller.conversation, &with, id) =>
        {
            teller.conversation.flow = Flow::Transferring { from: with, at_ms };
            teller.conversation.due_ms = Some(teller.now_ms + TRANSFER_WAIT_MS);
        }
        (
            Flow::Dialing { .. } | Flow::Talking { .. } | Flow::Transferring { .. },
            Input::Left(id, leaving),
        ) => hang_up(teller, at_ms, id, *leaving),
        (
            Flow::Talking { with: agent } | Flow::Consulting { agent, .. },
            Input::Held(id) | Input::Retrieved(id),
        ) => {
            if is_leg_of(teller.conversation, &agent, id) {
                teller.hold(at_ms, &agent, matches!(input, Input::Held(_)));
            }
        }
        (Flow::Talking { with }, Input::Answered(id)) => {
            if !is_leg_of(teller.conversation, &with, id) && reaches(teller.conversation, id) {
                suspend(teller, at_ms, Reason::ThirdParty);
            }
        }
        (Flow::Talking { .. } | Flow::Consulting { .. }, Input::Crowded) => {
            suspend(teller, at_ms, Reason::ThirdParty);
        }

        (Flow::Talking { with }, Input::ConsultOffered(id) | Input::ConsultAnswered(id)) => {
            consult::begin(teller, at_ms, &with, id);
        }
        (Flow::Talking { with }, Input::ConsultQueued(entry)) => {
            consult::begin_queue(teller, at_ms, &with, entry);
        }
        (Flow::Consulting { agent, to, offered }, _) => {
            consult::step(teller, at_ms, consult::Consult { agent, to, offered }, input);
        }

        (Flow::Transferring { from, at_ms: left_ms }, Input::Offered(id) | Input::Answered(id)) => {
            transfer::left_to(teller, left_ms, at_ms, &from, id);
        }
        (Flow::Transferring { from, at_ms: left_ms }, Input::Queued(entry)) => {
            transfer::to_queue(teller, left_ms, &from, entry, at_ms);
        }
        (Flow::Transferring { .. }, Input::Over | Input::TimeUp) => {
            give_up(teller, at_ms, Reason::TransferLost);
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

        // What remains says nothing new in its state: VQ evidence after an agent was told is
        // context, a treatment after the first is music, a second offer waits for the first to
        // fail, a consult from nowhere is nobody's.
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
            | Input::ConsultQueued(_)
            | Input::ConsultOffered(_)
            | Input::ConsultAnswered(_)
            | Input::ConsultLeft(..)
            | Input::ConsultOver
            | Input::Merged(_)
            | Input::Crowded
            | Input::TimeUp,
        ) => {}
    }
}

/// Ends what is open, because nothing more will be heard, and says why.
pub fn give_up(teller: &mut Teller<'_>, at_ms: i64, reason: Reason) {
    teller.note(OutcomeStatus::LeftOut, reason, None);
    end_all(teller, at_ms);
}

/// Moves a told conversation to Monitoring Suspension; an untold one is left out. A consulted leg
/// is taken out: only the first two parties stay (seed 003, "Handling of Unsupported call flows").
pub fn suspend(teller: &mut Teller<'_>, at_ms: i64, reason: Reason) {
    match teller.conversation.flow.clone() {
        Flow::Ended | Flow::Ignored | Flow::Suspended => {}
        Flow::Untold => {
            teller.note(OutcomeStatus::LeftOut, reason, None);
            teller.conversation.flow = Flow::Ignored;
        }
        Flow::Consulting { to, offered, .. } => {
            consult::take_out(teller, at_ms, &to, offered, DisconnectType::TransferConference);
            teller.note(OutcomeStatus::Suspended, reason, None);
            teller.conversation.flow = Flow::Suspended;
        }
        Flow::Ivr
        | Flow::Queued
        | Flow::Offered { .. }
        | Flow::Dialing { .. }
        | Flow::Talking { .. } => {
            teller.note(OutcomeStatus::Suspended, reason, None);
            teller.conversation.flow = Flow::Suspended;
        }
        Flow::Transferring { from, .. } => {
            teller.note(OutcomeStatus::Suspended, reason, None);
            teller.conversation.flow = Flow::Suspended;
            teller.end(at_ms, &from, DisconnectType::TransferUser);
            end_lonely(teller, at_ms, DisconnectType::System);
        }
    }
}

/// After-call work that its agent has ended is closed as soon as no older disposition can come.
pub fn expect_after_call(teller: &mut Teller<'_>) {
    let soon_ms = teller.now_ms.saturating_add(teller.settings.wait_ms);
    let mut after_call = std::mem::take(&mut teller.conversation.after_call);
    for (leg, due_ms) in &mut after_call {
        if work_ended(teller, leg).is_some() {
            *due_ms = soon_ms.min(*due_ms);
        }
    }
    teller.conversation.after_call = after_call;
}

/// When the agent of a leg ended the after-call work that followed it.
fn work_ended(teller: &Teller<'_>, leg: &str) -> Option<i64> {
    let leg = teller.conversation.legs.iter().find(|known| known.id == leg)?;
    let ended_ms = teller.logins.work_ended(&leg.agent.as_ref()?.employee_id)?;
    leg.ended_ms.is_some_and(|end_ms| end_ms <= ended_ms).then_some(ended_ms)
}

/// Closes after-call work whose time is over: the disposition counts as skipped.
pub fn close_after_call(teller: &mut Teller<'_>, at_ms: i64) {
    let now_ms = teller.now_ms;
    let after_call = std::mem::take(&mut teller.conversation.after_call);
    for (leg, due_ms) in after_call {
        if due_ms <= now_ms {
            let at_ms = work_ended(teller, &leg).unwrap_or(at_ms);
            teller.disposition(at_ms, &leg, None);
        } else {
            teller.conversation.after_call.push((leg, due_ms));
        }
    }
}

/// A disposition became known after legs had ended.
fn dispose_late(teller: &mut Teller<'_>, at_ms: i64) {
    let Some(name) = teller.conversation.disposition.clone() else { return };
    for (leg, _) in std::mem::take(&mut teller.conversation.after_call) {
        teller.dispose(at_ms, &leg, &name, true);
    }
}

fn answered_untold(teller: &mut Teller<'_>, at_ms: i64, id: &str) {
    match reach(teller.conversation, id) {
        Reach::Agent(_) | Reach::Phone(_) => open(teller, at_ms),
        Reach::OutOfScope(party) => {
            let served = teller.conversation.customer().is_some();
            // Half of a call: who is seen from afar is told of by the other half.
            if served || !party.remote {
                note_out_of_scope(teller, &party);
            }
            if served {
                teller.conversation.flow = Flow::Ignored;
            }
        }
        Reach::Nobody => {}
    }
}

/// Opens the conversation, if an external party and one other leg are known. A call with parties of
/// another site first waits for its other half, at most W; without a link it is an overflow then.
fn open(teller: &mut Teller<'_>, at_ms: i64) {
    let conversation = &*teller.conversation;
    let Some(call) = conversation.root_call().filter(|call| call.created) else { return };
    let Some(customer) = conversation.customer().filter(|c| c.is_here()).cloned() else { return };
    let alone = customer.remote && conversation.calls.len() == 1;
    if alone && !conversation.link_awaited {
        let due_ms = teller.now_ms + teller.settings.wait_ms;
        teller.conversation.due_ms.get_or_insert(due_ms);
        return;
    }
    if alone && call.links.is_empty() {
        return suspend(teller, at_ms, Reason::CallOverflow);
    }
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
        .present()
        .find(|p| p.kind == PartyKind::RoutingPoint && p.state.treatment)
        .cloned();
    let reached = |p: &&Party| matches!(p.state.talk, Talk::Alerting | Talk::Connected);
    let agent = conversation.present().filter(|p| p.agent.is_some()).find(reached).cloned();
    if let Some(entry) = entry {
        let customer = establish_customer(teller, created_ms, &customer, false, None);
        let new = queue_leg(&entry, Some(customer));
        teller.establish(entry.entered_ms, new);
        teller.conversation.flow = Flow::Queued;
    } else if let Some(ivr) = ivr {
        let customer = establish_customer(teller, created_ms, &customer, false, None);
        let (kind, subject, dn) = (LegKind::Ivr, ivr.id.as_str(), ivr.dn.as_str());
        let invited_by = Some(customer);
        let new =
            NewLeg { kind, subject, dn, alerting: false, invited_by, agent: None, queue_id: None };
        teller.establish(at_ms, new);
        teller.conversation.flow = Flow::Ivr;
    } else if let Some(agent) = agent {
        let customer = establish_customer(teller, created_ms, &customer, false, None);
        transfer::establish_reached(teller, at_ms, &agent, Some(customer));
    }
}

fn open_outbound(teller: &mut Teller<'_>, created_ms: i64, at_ms: i64, customer: &Party) {
    let caller = teller.conversation.present().find(|p| p.kind == PartyKind::Extension);
    let Some(caller) = caller.cloned() else { return };
    if caller.agent.is_none() {
        note_out_of_scope(teller, &caller);
        teller.conversation.flow = Flow::Ignored;
        return;
    }
    let (kind, subject, dn) = (LegKind::User, caller.id.as_str(), caller.dn.as_str());
    let agent = caller.agent.clone();
    let new =
        NewLeg { kind, subject, dn, alerting: false, invited_by: None, agent, queue_id: None };
    let agent = teller.establish(created_ms, new);
    let alerting = customer.state.talk != Talk::Connected;
    establish_customer(teller, at_ms, customer, alerting, Some(agent.clone()));
    teller.conversation.flow =
        if alerting { Flow::Dialing { agent } } else { Flow::Talking { with: agent } };
}

fn establish_customer(
    teller: &mut Teller<'_>,
    at_ms: i64,
    customer: &Party,
    alerting: bool,
    invited_by: Option<String>,
) -> String {
    let (kind, subject, dn) = (LegKind::External, customer.id.as_str(), customer.dn.as_str());
    let new = NewLeg { kind, subject, dn, alerting, invited_by, agent: None, queue_id: None };
    teller.establish(at_ms, new)
}

/// The leg of a queue.
pub(super) fn queue_leg(entry: &VqEntry, invited_by: Option<String>) -> NewLeg<'_> {
    let (kind, alerting, agent) = (LegKind::Routing, false, None);
    let (subject, dn, queue_id) = (&entry.id, &entry.dn, entry.queue_id.clone());
    NewLeg { kind, subject, dn, alerting, invited_by, agent, queue_id }
}

/// Who is reached at a party.
pub(super) enum Reach {
    /// An agent in scope.
    Agent(Arc<Party>),
    /// A phone outside that is not the customer's.
    Phone(Arc<Party>),
    /// An extension without an agent in scope, or whose agent has another call.
    OutOfScope(Arc<Party>),
    /// No such party, or nobody to talk to.
    Nobody,
}

pub(super) fn reach(conversation: &Conversation, id: &str) -> Reach {
    let Some(party) = conversation.parties.iter().find(|p| p.id == id && p.is_here()) else {
        return Reach::Nobody;
    };
    match party.kind {
        PartyKind::Extension if party.agent.is_some() => Reach::Agent(Arc::clone(party)),
        PartyKind::Extension => Reach::OutOfScope(Arc::clone(party)),
        PartyKind::External if conversation.customer().is_some_and(|c| c.id != party.id) => {
            Reach::Phone(Arc::clone(party))
        }
        PartyKind::External | PartyKind::RoutingPoint | PartyKind::Service => Reach::Nobody,
    }
}

/// Whether somebody to talk to is reached at a party who is nobody told yet.
fn reaches(conversation: &Conversation, id: &str) -> bool {
    match reach(conversation, id) {
        Reach::Agent(party) | Reach::OutOfScope(party) => {
            let person = party.person.as_deref().unwrap_or_default();
            conversation.open_leg_of_person(person).is_none()
        }
        Reach::Phone(_) => true,
        Reach::Nobody => false,
    }
}

pub(super) fn note_out_of_scope(teller: &mut Teller<'_>, party: &Party) -> Reason {
    let (reason, what) = if party.busy {
        (Reason::SecondCall, "the agent has another call at")
    } else {
        (Reason::AgentNotMapped, "no agent in scope at")
    };
    let detail = Some(format!("{what} DN {}", party.dn));
    teller.note(OutcomeStatus::LeftOut, reason, detail);
    reason
}

/// Somebody leaves while the customer is with an IVR or in a queue. A Routing Point that is left by
/// routing is no end; an IVR that hangs up is.
fn waiting_left(teller: &mut Teller<'_>, at_ms: i64, id: &str, leaving: Leaving) {
    let ivr = teller.conversation.leg_of(id).is_some_and(|l| l.kind == LegKind::Ivr);
    if is_customer(teller.conversation, id) || (ivr && leaving == Leaving::HungUp) {
        hang_up(teller, at_ms, id, leaving);
    }
}

/// One party left and takes the conversation with it: it ends first, then the others (1 ms apart,
/// as all times of a conversation), a pending transfer or consult being given up.
pub(super) fn hang_up(teller: &mut Teller<'_>, at_ms: i64, id: &str, leaving: Leaving) {
    let Some(first) = teller.conversation.leg_of(id).map(|l| l.id.clone()) else { return };
    let consulted = match &teller.conversation.flow {
        Flow::Consulting { to, .. } => Some(to.clone()),
        Flow::Untold
        | Flow::Ivr
        | Flow::Queued
        | Flow::Offered { .. }
        | Flow::Dialing { .. }
        | Flow::Talking { .. }
        | Flow::Transferring { .. }
        | Flow::Suspended
        | Flow::Ignored
        | Flow::Ended => None,
    };
    teller.end(at_ms, &first, disconnect(leaving));
    if let Some(agent) = leg_id(teller.conversation, LegKind::User) {
        teller.end(at_ms, &agent, DisconnectType::Peer);
    }
    if let Some(consulted) = consulted {
        teller.end_consult(at_ms, &consulted);
    }
    teller.end_transfer(at_ms, FinalState::Canceled);
    while let Some(open) = any_open(teller.conversation) {
        teller.end(at_ms, &open, DisconnectType::Peer);
    }
    ended(teller.conversation);
}

fn suspended_left(teller: &mut Teller<'_>, at_ms: i64, id: &str, leaving: Leaving) {
    let Some(leg) = teller.conversation.leg_of(id).map(|l| l.id.clone()) else { return };
    teller.end(at_ms, &leg, disconnect(leaving));
    end_lonely(teller, at_ms, DisconnectType::Peer);
}

/// Never one party alone (seed 003, "to avoid leaving a call with a single party").
pub(super) fn end_lonely(teller: &mut Teller<'_>, at_ms: i64, how: DisconnectType) {
    if teller.conversation.open_legs().count() > 1 {
        return;
    }
    teller.end_transfer(at_ms, FinalState::Canceled);
    if let Some(last) = any_open(teller.conversation) {
        teller.end(at_ms, &last, how);
    }
    ended(teller.conversation);
}

/// The calls are gone without a word about who left: everything ends by the system.
fn end_all(teller: &mut Teller<'_>, at_ms: i64) {
    if let Flow::Consulting { to, .. } = teller.conversation.flow.clone() {
        teller.end_consult(at_ms, &to);
    }
    teller.end_transfer(at_ms, FinalState::Canceled);
    while let Some(open) = any_open(teller.conversation) {
        teller.end(at_ms, &open, DisconnectType::System);
    }
    ended(teller.conversation);
}

fn ended(conversation: &mut Conversation) {
    conversation.flow = Flow::Ended;
    conversation.due_ms = None;
}

fn leave_out_untold(teller: &mut Teller<'_>) {
    let conversation = &*teller.conversation;
    let reason = if !conversation.root_call().is_some_and(|call| call.created) {
        Reason::NeverCreated
    } else if conversation.customer().is_none() {
        Reason::Internal
    } else {
        Reason::NeverServed
    };
    teller.note(OutcomeStatus::LeftOut, reason, None);
    ended(teller.conversation);
}

pub(super) fn disconnect(leaving: Leaving) -> DisconnectType {
    match leaving {
        Leaving::HungUp => DisconnectType::SelfEnded,
        Leaving::NotTaken | Leaving::Redirected | Leaving::Routed => DisconnectType::System,
        Leaving::Transferred => DisconnectType::TransferUser,
        Leaving::Conferenced => DisconnectType::TransferConference,
    }
}

/// The IVR or queue that has the customer.
pub(super) fn holder(conversation: &Conversation) -> Option<String> {
    leg_id(conversation, LegKind::Routing).or_else(|| leg_id(conversation, LegKind::Ivr))
}

pub(super) fn leg<'a>(conversation: &'a Conversation, id: &str) -> Option<&'a Leg> {
    conversation.legs.iter().map(|leg| &**leg).find(|leg| leg.id == id)
}

pub(super) fn leg_id(conversation: &Conversation, kind: LegKind) -> Option<String> {
    conversation.open_kind(kind).map(|leg| leg.id.clone())
}

fn any_open(conversation: &Conversation) -> Option<String> {
    conversation.open_legs().next().map(|leg| leg.id.clone())
}

/// Whether a leg stands for a party: itself, or the same person seen from another site.
pub(super) fn is_leg_of(conversation: &Conversation, id: &str, party: &str) -> bool {
    conversation.leg_of(party).is_some_and(|leg| leg.id == id)
}

pub(super) fn is_customer(conversation: &Conversation, id: &str) -> bool {
    conversation.leg_of(id).is_some_and(|leg| leg.kind == LegKind::External)
}
