//! `translate --explain`: what became of each call, and why.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use trunkline_processors::conversation::ConversationProcessor;
use trunkline_processors::conversation::nearest::{FlowNumber, Told};
use trunkline_schemas::time::iso_millis;
use trunkline_schemas::{ConversationCommand, Outcome, OutcomeStatus};

/// Follows conversations until the processor has forgotten them.
#[derive(Default)]
pub(super) struct Explainer {
    followed: BTreeMap<String, Followed>,
    /// In the order in which they were first heard of.
    order: VecDeque<String>,
    /// Heard of since the last lines.
    touched: BTreeSet<String>,
}

#[derive(Default)]
struct Followed {
    calls: BTreeSet<String>,
    told: Told,
    ignored: Option<Noted>,
    suspended: Option<Noted>,
}

/// A reason, and the stream time at which it was noted.
struct Noted {
    code: String,
    at_ms: i64,
}

/// One line; its members stand in this order.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// GC conversation id.
    conversation: String,
    /// Its Engage calls by CallUUID.
    calls: BTreeSet<String>,
    /// The nearest of the 17 flows (docs/call-flows.md); nothing where nothing was told.
    flow: Option<String>,
    /// Why nothing of it was told.
    ignored: Option<String>,
    /// Why it is in Monitoring Suspension.
    suspended: Option<String>,
    /// When it was ignored or suspended.
    at: Option<String>,
}

impl Explainer {
    /// Something is told of a conversation.
    pub(super) fn command(&mut self, command: &ConversationCommand) {
        let followed = self.follow(&command.conversation_id, &command.call_uuid);
        followed.told.take(&command.event);
    }

    /// A call, or a part of it, is left out, or suspended.
    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        let noted = || {
            let code = outcome.code.clone().unwrap_or_default();
            Some(Noted { code, at_ms: outcome.at_ms })
        };
        let followed = self.follow(&outcome.conversation_id, &outcome.call_uuid);
        match outcome.status {
            OutcomeStatus::LeftOut => followed.ignored = followed.ignored.take().or_else(noted),
            OutcomeStatus::Suspended => {
                followed.suspended = followed.suspended.take().or_else(noted);
            }
            OutcomeStatus::Accepted
            | OutcomeStatus::AssumedApplied
            | OutcomeStatus::Refused
            | OutcomeStatus::Gated => {}
        }
    }

    fn follow(&mut self, id: &str, call: &str) -> &mut Followed {
        if !self.followed.contains_key(id) {
            self.order.push_back(id.to_owned());
        }
        self.touched.insert(id.to_owned());
        let followed = self.followed.entry(id.to_owned()).or_default();
        followed.calls.insert(call.to_owned());
        followed
    }

    /// Learns which calls the conversations have, and gives the lines of those that are over, in
    /// the order in which they were first heard of; of all of them at the end of the input.
    pub(super) fn lines(&mut self, processor: &ConversationProcessor, is_end: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        let touched = std::mem::take(&mut self.touched);
        let all = if is_end { self.followed.keys().cloned().collect() } else { touched };
        for id in all {
            if let Some(followed) = self.followed.get_mut(&id) {
                followed.calls.extend(processor.calls_of(&id).into_iter().flatten());
            }
        }
        while let Some(id) = self.order.front() {
            if !is_end && processor.calls_of(id).is_some() {
                break;
            }
            let id = self.order.pop_front().unwrap_or_default();
            lines.extend(self.followed.remove(&id).map(|followed| followed.line(id)));
        }
        lines
    }
}

impl Followed {
    fn line(self, conversation: String) -> Line {
        let flow = self.told.flow();
        // Of a call that was told, only a part was left out.
        let ignored = self.ignored.filter(|_| flow.is_none());
        let noted = ignored.as_ref().or(self.suspended.as_ref());
        let at = noted.map(|noted| iso_millis(noted.at_ms));
        Line {
            conversation,
            calls: self.calls,
            flow: flow.map(FlowNumber::name),
            ignored: ignored.map(|noted| noted.code),
            suspended: self.suspended.map(|noted| noted.code),
            at,
        }
    }
}
