//! An agent consults somebody while the customer waits, and completes a transfer or comes back
//! (flows 14 to 17). Engage has a call of its own for it; Genesys Cloud one leg more.

use std::sync::Arc;

use trunkline_schemas::command::DisconnectType;
use trunkline_schemas::segment::LegKind;

use super::call::{LegState, Party};
use super::flow::{
    self, Flow, Reach, disconnect, hang_up, is_customer, is_leg_of, leg, note_out_of_scope,
    queue_leg, reach,
};
use super::legs::Input;
use super::reason::Reason;
use super::tables::{Leaving, Talk};
use super::tell::Teller;
use super::transfer::{alerts, establish};

/// A consult as told; the fields of [`Flow::Consulting`].
pub(super) struct Consult {
    /// The agent's leg.
    pub(super) agent: String,
    /// The consulted leg.
    pub(super) to: String,
    /// Of a queue: the leg it offers the consult to.
    pub(super) offered: Option<String>,
}

/// Somebody is offered, or takes, a consult.
pub(super) fn begin(teller: &mut Teller<'_>, at_ms: i64, agent: &str, id: &str) {
    if !consults(teller, agent) || is_leg_of(teller.conversation, agent, id) {
        return;
    }
    match reach(teller.conversation, id) {
        Reach::Agent(party) | Reach::Phone(party) => {
            if teller.conversation.was_told(&party.id) {
                return;
            }
            let to = establish(teller, at_ms, &party, Some(agent.to_owned()));
            teller.consult(at_ms, agent, &to);
            if party.state.talk == Talk::Connected {
                teller.progress_consult(at_ms, agent, &to);
            }
            let agent = agent.to_owned();
            teller.conversation.flow = Flow::Consulting { agent, to, offered: None };
        }
        Reach::OutOfScope(party) => {
            note_out_of_scope(teller, &party);
        }
        Reach::Nobody => {}
    }
}

/// A consult waits in a queue.
pub(super) fn begin_queue(teller: &mut Teller<'_>, at_ms: i64, agent: &str, entry: &str) {
    let entry = teller.conversation.entries.iter().find(|e| e.id == entry).cloned();
    let Some(entry) = entry.filter(|_| consults(teller, agent)) else { return };
    let invited_by = Some(agent.to_owned());
    let to = teller.establish(at_ms, queue_leg(&entry, invited_by));
    teller.consult(at_ms, agent, &to);
    let agent = agent.to_owned();
    teller.conversation.flow = Flow::Consulting { agent, to, offered: None };
}

/// Whether the leg is one that can consult: an agent's.
fn consults(teller: &Teller<'_>, agent: &str) -> bool {
    leg(teller.conversation, agent).is_some_and(|leg| leg.kind == LegKind::User)
}

/// Applies an input while a consult lasts.
pub(super) fn step(teller: &mut Teller<'_>, at_ms: i64, consult: Consult, input: &Input) {
    match input {
        Input::ConsultOffered(id) => offered(teller, at_ms, consult, id),
        Input::ConsultAnswered(id) => answered(teller, at_ms, consult, id),
        Input::ConsultLeft(id, leaving) => left(teller, at_ms, consult, id, *leaving),
        Input::ConsultOver => drop_consult(teller, at_ms, &consult, DisconnectType::Peer),
        Input::Left(id, leaving) => {
            let agent = is_leg_of(teller.conversation, &consult.agent, id);
            if agent && *leaving == Leaving::Transferred {
                complete(teller, at_ms, consult);
            } else if agent || is_customer(teller.conversation, id) {
                hang_up(teller, at_ms, id, *leaving);
            } else {
                left(teller, at_ms, consult, id, *leaving);
            }
        }
        Input::Merged(leaving) => {
            let held = leg(teller.conversation, &consult.agent).is_some_and(|leg| leg.held);
            if *leaving == Leaving::Conferenced || (*leaving != Leaving::Transferred && !held) {
                flow::suspend(teller, at_ms, Reason::ThirdParty);
            }
        }
        Input::Answered(id) => {
            if is_leg_of(teller.conversation, &consult.to, id) {
                answered(teller, at_ms, consult, id);
            }
        }
        Input::Over => {
            flow::give_up(teller, at_ms, Reason::TransferLost);
        }
        Input::Known
        | Input::Treatment(_)
        | Input::Queued(_)
        | Input::QueueLeft(_)
        | Input::Offered(_)
        | Input::CustomerAnswered
        | Input::Held(_)
        | Input::Retrieved(_)
        | Input::ConsultQueued(_)
        | Input::Supervised
        | Input::Crowded
        | Input::Nested
        | Input::Campaign
        | Input::Disposed
        | Input::TimeUp => {}
    }
}

/// The queue offers the consult to somebody.
fn offered(teller: &mut Teller<'_>, at_ms: i64, consult: Consult, id: &str) {
    let queued = is_queue(teller, &consult.to) && consult.offered.is_none();
    if !queued || is_leg_of(teller.conversation, &consult.agent, id) {
        return;
    }
    if let Some(party) = reached(teller, id) {
        let offered = Some(establish(teller, at_ms, &party, Some(consult.to.clone())));
        let Consult { agent, to, .. } = consult;
        teller.conversation.flow = Flow::Consulting { agent, to, offered };
    }
}

fn reached(teller: &mut Teller<'_>, id: &str) -> Option<Arc<Party>> {
    match reach(teller.conversation, id) {
        Reach::Agent(party) | Reach::Phone(party) => {
            Some(party).filter(|party| !teller.conversation.was_told(&party.id))
        }
        Reach::OutOfScope(party) => {
            note_out_of_scope(teller, &party);
            None
        }
        Reach::Nobody => None,
    }
}

/// Somebody takes the consult.
fn answered(teller: &mut Teller<'_>, at_ms: i64, mut consult: Consult, id: &str) {
    if is_leg_of(teller.conversation, &consult.agent, id) {
        return;
    }
    if is_leg_of(teller.conversation, &consult.to, id) {
        if alerts(teller.conversation, &consult.to) {
            teller.answer(at_ms, &consult.to);
            teller.progress_consult(at_ms, &consult.agent, &consult.to);
        }
        return;
    }
    let offered = consult.offered.take().filter(|o| is_leg_of(teller.conversation, o, id));
    let taken = match offered {
        Some(offered) => {
            teller.answer(at_ms, &offered);
            offered
        }
        None if is_queue(teller, &consult.to) => {
            let Some(party) = reached(teller, id) else { return };
            establish(teller, at_ms, &party, Some(consult.to.clone()))
        }
        None => return,
    };
    teller.progress_consult(at_ms, &consult.agent, &taken);
    teller.end(at_ms, &consult.to, DisconnectType::TransferUser);
    let agent = consult.agent;
    teller.conversation.flow = Flow::Consulting { agent, to: taken, offered: None };
}

fn is_queue(teller: &Teller<'_>, id: &str) -> bool {
    leg(teller.conversation, id)
        .is_some_and(|leg| leg.kind == LegKind::Routing && leg.state != LegState::Ended)
}

/// Somebody leaves the consult.
fn left(teller: &mut Teller<'_>, at_ms: i64, consult: Consult, id: &str, leaving: Leaving) {
    if is_leg_of(teller.conversation, &consult.to, id) {
        return drop_consult(teller, at_ms, &consult, disconnect(leaving));
    }
    if let Some(offered) = &consult.offered
        && is_leg_of(teller.conversation, offered, id)
    {
        teller.end(at_ms, offered, disconnect(leaving));
        let Consult { agent, to, .. } = consult;
        teller.conversation.flow = Flow::Consulting { agent, to, offered: None };
        return;
    }
    // The agent gives the consult up; a transfer or conference is told by the main call.
    if is_leg_of(teller.conversation, &consult.agent, id) && leaving == Leaving::HungUp {
        drop_consult(teller, at_ms, &consult, DisconnectType::Peer);
    }
}

/// The consult ends and the agent is back with the customer (flow 17).
fn drop_consult(teller: &mut Teller<'_>, at_ms: i64, consult: &Consult, how: DisconnectType) {
    take_out(teller, at_ms, &consult.to, consult.offered.clone(), how);
    teller.conversation.flow = Flow::Talking { with: consult.agent.clone() };
}

/// Takes the consulted legs out of the conversation and ends the consult.
pub(super) fn take_out(
    teller: &mut Teller<'_>,
    at_ms: i64,
    to: &str,
    offered: Option<String>,
    how: DisconnectType,
) {
    if let Some(offered) = offered {
        teller.end(at_ms, &offered, DisconnectType::Peer);
    }
    teller.end(at_ms, to, how);
    teller.end_consult(at_ms, to);
}

/// The agent leaves customer and consulted leg to each other (flows 14 to 16).
fn complete(teller: &mut Teller<'_>, at_ms: i64, consult: Consult) {
    let Consult { agent, to, offered } = consult;
    teller.end_consult(at_ms, &to);
    teller.end(at_ms, &agent, DisconnectType::TransferConsult);
    let queued = is_queue(teller, &to);
    teller.conversation.flow = match offered {
        Some(to) => Flow::Offered { to },
        None if queued => Flow::Queued,
        None if alerts(teller.conversation, &to) => Flow::Offered { to },
        None => Flow::Talking { with: to },
    };
}
