//! Conversations and what must hold of them: the invariants (a) to (i) of scenarios.md section 3.
//!
//! An event that makes no sense (an unknown communication, a second beginning, something after an
//! end, an unknown id) is refused and leaves no trace. What is odd but can be applied is applied
//! and noted. What shows only over time, (f) and (g), is judged by event time over the whole
//! conversation, so the order of arrival has no part in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::conversation::{Breach, Conversation, Refusal, refuse, unknown_communication};
use super::events::{Act, Established, Event, GcId};
use crate::truth::Told;

/// The invariants of scenarios.md section 3, by their letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Invariant {
    /// The first event is an Established.
    A,
    /// A communication is established once, before any event that names it.
    B,
    /// Nothing but a disposition after a communication's end.
    C,
    /// A transfer has one start, a progress if a destination leg appeared, one end.
    D,
    /// One open consult at most, and none left at the end.
    E,
    /// No leg is left alone.
    F,
    /// At most two talking parties besides an open consult.
    G,
    /// Event ids are unique, event times strictly increase.
    H,
    /// Users, queues, wrap-up codes and the source are known.
    I,
}

/// One breach of an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// In which conversation; the user of an agent's event.
    pub conversation_id: String,
    /// The event that shows it; nothing if only the whole conversation does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// What is wrong, for people.
    pub text: String,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was applied, perhaps with breaches.
    Applied { breaches: Vec<Breach>, out_of_order: bool },
    /// It was not; some refusals break no lettered invariant.
    Refused { invariant: Option<Invariant>, message: String },
}

/// The ids the organisation knows; nothing means that any will do.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) users: Option<BTreeSet<String>>,
    pub(super) queues: Option<BTreeSet<String>>,
    pub(super) wrap_up_codes: Option<BTreeSet<String>>,
    pub(super) source_id: Option<String>,
}

/// All conversations of the organisation. Like the organisation, it forgets none.
#[derive(Default)]
pub(super) struct Conversations {
    known: Known,
    by_id: BTreeMap<String, Conversation>,
    /// Every communication ever established, in whichever conversation.
    communications: BTreeSet<String>,
}

impl Conversations {
    pub(super) fn new(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    /// Judges an event and applies it unless it is refused.
    pub(super) fn offer(&mut self, event: &Event) -> Verdict {
        if let Err((invariant, message)) = self.judge(event) {
            return Verdict::Refused { invariant, message };
        }
        let conversation = self.by_id.entry(event.key.clone()).or_default();
        if let Act::Established(leg) = &event.act {
            self.communications.insert(leg.communication.clone());
        }
        let (breaches, out_of_order) = conversation.apply(event);
        Verdict::Applied { breaches, out_of_order }
    }

    /// How many conversations there are, and how many of them have not ended.
    pub(super) fn count(&self) -> (u64, u64) {
        let open = self.by_id.values().filter(|conversation| !conversation.has_ended()).count();
        (self.by_id.len() as u64, open as u64)
    }

    /// The breaches that whole conversations show so far.
    pub(super) fn lasting(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (id, conversation) in &self.by_id {
            let judged = if conversation.has_ended() { None } else { Some(conversation.judge()) };
            for (invariant, text) in judged.as_ref().unwrap_or(&conversation.settled) {
                violations.push(Violation {
                    invariant: *invariant,
                    conversation_id: id.clone(),
                    event_id: None,
                    text: text.clone(),
                });
            }
        }
        violations
    }

    /// What was told of each conversation, by conversation id.
    pub(super) fn told(&self) -> Vec<Told> {
        self.by_id.iter().map(|(id, conversation)| conversation.told(id)).collect()
    }

    fn judge(&self, event: &Event) -> Result<(), Refusal> {
        self.known.judge(event)?;
        let Some(conversation) = self.by_id.get(&event.key) else {
            let Act::Established(leg) = &event.act else {
                return refuse(Invariant::A, "the conversation is unknown".to_owned());
            };
            self.judge_new_leg(leg)?;
            return match &leg.invited_by {
                Some(id) => refuse(Invariant::B, unknown_communication(id)),
                None => Ok(()),
            };
        };
        if let Act::Established(leg) = &event.act {
            self.judge_new_leg(leg)?;
        }
        conversation.refusal(&event.act)
    }

    fn judge_new_leg(&self, leg: &Established) -> Result<(), Refusal> {
        if self.communications.contains(&leg.communication) {
            let text = format!("communication {} is established twice", leg.communication);
            return refuse(Invariant::B, text);
        }
        Ok(())
    }
}

impl Known {
    fn judge(&self, event: &Event) -> Result<(), Refusal> {
        let ids: [Option<&GcId>; 2] = match &event.act {
            Act::Established(leg) => {
                if self.source_id.as_ref().is_some_and(|source| *source != leg.source_id) {
                    return refuse(Invariant::I, format!("source {} is unknown", leg.source_id));
                }
                [leg.id.as_ref(), leg.behalf.as_ref()]
            }
            Act::TransferStarted { to, .. } => [to.as_ref(), None],
            Act::Disposed(_, code) => [code.as_ref(), None],
            Act::TransferProgressed { .. }
            | Act::TransferEnded { .. }
            | Act::ConsultStarted(_)
            | Act::ConsultProgressed(_)
            | Act::ConsultEnded
            | Act::Answered(_)
            | Act::Held(..)
            | Act::AudioUpdated(_)
            | Act::Ended(..) => [None, None],
        };
        for id in ids.into_iter().flatten() {
            let (name, id, known) = match id {
                GcId::User(id) => ("user", id, &self.users),
                GcId::Queue(id) => ("queue", id, &self.queues),
                GcId::WrapUpCode(id) => ("wrap-up code", id, &self.wrap_up_codes),
            };
            if known.as_ref().is_some_and(|known| !known.contains(id)) {
                return refuse(Invariant::I, format!("{name} {id} is unknown"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
