//! What agents do on the phone, for the presence processor: calls as they are, told or not.
//!
//! An agent may be in several calls: one is held while a consult is made, or a second one came to
//! the DN. As long as any goes on, the agent is processing a call (seed 000, "Call Type"), and
//! only if all of them are internal an internal one ("not-related to any interaction with a
//! customer ... All other call types trigger the Interacting Routing Status").
//!
//! | calls | told |
//! |---|---|
//! | none | none |
//! | internal ones only | internal |
//! | any other among them | other |

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::raw::PhoneCall;

use super::call::{Conversation, PartyKind};
use super::tables::{CallType, Talk};

/// Who is in which calls, and what was told of it.
#[derive(Clone, Debug, Default)]
pub struct Phones {
    /// Employee ids, and the conversations each is in.
    calls: BTreeMap<String, BTreeMap<String, PhoneCall>>,
    told: BTreeMap<String, PhoneCall>,
    touched: BTreeSet<String>,
}

impl Phones {
    /// The agents of a conversation are in it.
    pub fn put(&mut self, conversation: &Conversation) {
        for (agent, call) in calls(conversation) {
            self.enter(&agent, &conversation.id, call);
        }
    }

    /// The agents of a conversation, which is as it was put, are not in it.
    pub fn take(&mut self, conversation: &Conversation) {
        for agent in calls(conversation).into_keys() {
            self.leave(&agent, &conversation.id);
        }
    }

    /// What has changed for whom since it was asked last: the call each is in now, if any.
    pub fn changes(&mut self) -> Vec<(String, Option<PhoneCall>)> {
        let mut changes = Vec::new();
        for agent in std::mem::take(&mut self.touched) {
            let call = self.calls.get(&agent).and_then(|calls| calls.values().max()).copied();
            let before = match call {
                Some(call) => self.told.insert(agent.clone(), call),
                None => self.told.remove(&agent),
            };
            if before != call {
                changes.push((agent, call));
            }
        }
        changes
    }

    fn enter(&mut self, agent: &str, conversation: &str, call: PhoneCall) {
        self.touched.insert(agent.to_owned());
        self.calls.entry(agent.to_owned()).or_default().insert(conversation.to_owned(), call);
    }

    fn leave(&mut self, agent: &str, conversation: &str) {
        let Some(calls) = self.calls.get_mut(agent) else { return };
        self.touched.insert(agent.to_owned());
        calls.remove(conversation);
        if calls.is_empty() {
            self.calls.remove(agent);
        }
    }
}

/// The agents who are in a call of this conversation, by employee id. A call is internal if nobody
/// outside takes part in any of its conversation.
fn calls(conversation: &Conversation) -> BTreeMap<String, PhoneCall> {
    let outside = conversation.parties.iter().any(|party| party.kind == PartyKind::External);
    let mut calls = BTreeMap::new();
    for party in conversation.parties.iter().filter(|party| party.is_here()) {
        let talks = matches!(party.state.talk, Talk::Connected | Talk::Held);
        let first = party.agent.as_ref().map(|agent| &agent.employee_id);
        let (Some(agent), true) = (first.or(party.second.as_ref()), talks) else { continue };
        let call_type = conversation.calls.get(&party.call).map(|call| call.call_type);
        let is_internal = !outside && call_type == Some(CallType::Internal);
        let kind = if is_internal { PhoneCall::Internal } else { PhoneCall::Other };
        let known = calls.entry(agent.clone()).or_insert(kind);
        *known = kind.max(*known);
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_calls_the_greatest_is_told_until_the_last_is_over() {
        const INTERNAL: Option<PhoneCall> = Some(PhoneCall::Internal);
        const OTHER: Option<PhoneCall> = Some(PhoneCall::Other);
        // Conversation, the call the agent is in there from now on, what is told of it.
        for steps in [
            vec![("U", OTHER, Some(OTHER)), ("U", None, Some(None))],
            // The first ends while the second goes on, and the other way round.
            vec![("U", OTHER, Some(OTHER)), ("W", OTHER, None), ("U", None, None)],
            vec![("U", OTHER, Some(OTHER)), ("W", OTHER, None), ("W", None, None)],
            vec![
                ("U", OTHER, Some(OTHER)),
                ("W", INTERNAL, None),
                ("U", None, Some(INTERNAL)),
                ("W", None, Some(None)),
            ],
            vec![
                ("U", INTERNAL, Some(INTERNAL)),
                ("W", OTHER, Some(OTHER)),
                ("W", None, Some(INTERNAL)),
                ("U", None, Some(None)),
            ],
            // Somebody outside joins an internal call.
            vec![("U", INTERNAL, Some(INTERNAL)), ("U", OTHER, Some(OTHER))],
            vec![("U", None, None)],
        ] {
            let mut phones = Phones::default();
            for (conversation, call, told) in &steps {
                // A conversation is taken out whenever something happens in it.
                phones.leave("A1001", conversation);
                if let Some(call) = call {
                    phones.enter("A1001", conversation, *call);
                }
                let expected = told.map(|call| ("A1001".to_owned(), call));
                assert_eq!(phones.changes(), Vec::from_iter(expected), "{steps:?}");
            }
        }
    }
}
