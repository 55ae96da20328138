//! What agents do on the phone, for the presence processor: calls as they are, told or not.

use std::collections::BTreeMap;

use trunkline_schemas::raw::PhoneCall;

use super::call::{Conversation, PartyKind};
use super::tables::{CallType, Talk};

/// The agents who are in a call of this conversation, by employee id. A call is internal if nobody
/// outside takes part in any of its conversation (seed 000: "not-related to any interaction with a
/// customer"). Of a second call on a DN nothing is told: it is left out.
pub fn calls(conversation: &Conversation) -> BTreeMap<String, PhoneCall> {
    let outside = conversation.parties.iter().any(|party| party.kind == PartyKind::External);
    let mut calls = BTreeMap::new();
    for party in conversation.parties.iter().filter(|party| party.is_here()) {
        let talks = matches!(party.state.talk, Talk::Connected | Talk::Held);
        let (Some(agent), true) = (&party.agent, talks) else { continue };
        let call_type = conversation.calls.get(&party.call).map(|call| call.call_type);
        let is_internal = !outside && call_type == Some(CallType::Internal);
        let kind = if is_internal { PhoneCall::Internal } else { PhoneCall::Other };
        let known = calls.entry(agent.employee_id.clone()).or_insert(kind);
        *known = kind.max(*known);
    }
    calls
}

/// What has changed for whom: the call each is in now, if any.
pub fn changes(
    before: &BTreeMap<String, PhoneCall>,
    after: &BTreeMap<String, PhoneCall>,
) -> Vec<(String, Option<PhoneCall>)> {
    let gone = before.keys().filter(|agent| !after.contains_key(*agent));
    let mut changes: Vec<_> = gone.map(|agent| (agent.clone(), None)).collect();
    let new = after.iter().filter(|(agent, call)| before.get(*agent) != Some(call));
    changes.extend(new.map(|(agent, call)| (agent.clone(), Some(*call))));
    changes
}
