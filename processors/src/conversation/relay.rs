//! What the two processors tell each other: facts of agents come in, calls go out.

use trunkline_schemas::topics::RAW_AGENT;
use trunkline_schemas::{AgentFact, CallFact, RawEvent, RawKind, Stored};

use super::call::Conversation;
use super::{ConversationProcessor, flow};
use crate::written::json;

impl ConversationProcessor {
    /// Takes what the presence processor relays.
    pub(super) fn take_fact(&mut self, stored: &Stored, raw: &RawEvent) {
        let fact = match serde_json::from_slice::<AgentFact>(&raw.payload) {
            Ok(fact) => fact,
            Err(e) => {
                let why = format!("a relayed fact is unreadable: {e}");
                return self.bury(stored, "bad_fact", &why);
            }
        };
        self.logins.take(&fact);
        let waiting = self.working.get(&fact.employee_id).cloned().unwrap_or_default();
        for id in waiting {
            let Some(mut conversation) = self.take_out(&id) else { continue };
            self.with_teller(&mut conversation, &stored.place(), flow::expect_after_call);
            self.put_back(conversation);
        }
    }

    /// Tells the presence processor what has changed on the phone.
    pub(super) fn relay(&mut self, at_ms: i64, cause: &str) {
        for (employee_id, call) in self.phones.changes() {
            let now_us = self.streams.now_ms.saturating_mul(1_000);
            let fact = CallFact { employee_id, call, at_ms, cause: cause.to_owned() };
            let raw = RawEvent {
                switch_time_us: Some(at_ms.saturating_mul(1_000)),
                agent_id: Some(fact.employee_id.clone()),
                payload: json(&fact),
                ..RawEvent::bare(RawKind::CallFact, &self.domain, "conversation", now_us)
            };
            self.write(RAW_AGENT, &fact.employee_id, &raw);
        }
    }
}

/// The agents whose after-call work a conversation waits for.
pub(super) fn working(conversation: &Conversation) -> impl Iterator<Item = &String> {
    let agent = |(id, _): &(String, i64)| {
        let leg = conversation.legs.iter().find(|leg| leg.id == *id);
        leg.and_then(|leg| leg.agent.as_ref()).map(|agent| &agent.employee_id)
    };
    conversation.after_call.iter().filter_map(agent)
}
