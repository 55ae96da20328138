//! What is left of a conversation that is over: its names, so that what comes late is known to be
//! of it, and says nothing any more (DESIGN section 5).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::call::Conversation;
use super::flow::Flow;

/// What kind of name a conversation is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NameKind {
    /// CallUUID.
    Call,
    /// ConnID.
    ConnId,
    /// IS-link.
    Link,
    /// Network call id.
    NetworkId,
    /// VQID.
    Vqid,
}

/// The gravestone of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gravestone {
    /// Number of its last command.
    pub seq: i64,
    /// When its root call was created, milliseconds since 1970.
    pub created_ms: i64,
    /// Stream time of the last event that had one of its names.
    pub touched_ms: i64,
    /// Its names, shared with the index of names: there are hundreds of thousands.
    pub names: Vec<(NameKind, Arc<str>)>,
}

impl Gravestone {
    /// The gravestone of a conversation, if nothing can be told of it any more: it has ended or was
    /// left out, each of its calls has ended, and it waits for nothing.
    pub fn of(conversation: &Conversation) -> Option<Self> {
        let is_silent = match conversation.flow {
            Flow::Ended | Flow::Ignored => conversation.is_over(),
            Flow::Untold
            | Flow::Ivr
            | Flow::Queued
            | Flow::Offered { .. }
            | Flow::Dialing { .. }
            | Flow::Talking { .. }
            | Flow::Consulting { .. }
            | Flow::Transferring { .. }
            | Flow::Suspended => false,
        };
        let waits = !conversation.after_call.is_empty() || conversation.due_ms.is_some();
        (is_silent && !waits).then(|| Self {
            seq: conversation.seq,
            created_ms: conversation.created_ms(),
            touched_ms: conversation.touched_ms,
            names: names(conversation),
        })
    }

    /// Takes over the names of a conversation that turns out to be part of this one.
    pub fn absorb(&mut self, conversation: &Conversation) {
        for name in names(conversation) {
            self.learn(name);
        }
    }

    /// Has one more name.
    pub fn learn(&mut self, name: (NameKind, Arc<str>)) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// A call of it, by CallUUID.
    pub fn calls(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter().filter(|(kind, _)| *kind == NameKind::Call).map(|(_, name)| name)
    }
}

/// Every name of a conversation, each once.
fn names(conversation: &Conversation) -> Vec<(NameKind, Arc<str>)> {
    let of = |kind| move |name: &String| (kind, Arc::from(name.as_str()));
    let calls = || conversation.calls.values();
    let mut names: Vec<_> = std::iter::once(&conversation.root)
        .chain(conversation.calls.keys())
        .map(of(NameKind::Call))
        .chain(calls().flat_map(|call| &call.conn_ids).map(of(NameKind::ConnId)))
        .chain(calls().flat_map(|call| &call.links).map(of(NameKind::Link)))
        .chain(calls().filter_map(|call| call.network_id.as_ref()).map(of(NameKind::NetworkId)))
        .chain(conversation.entries.iter().map(|entry| &entry.id).map(of(NameKind::Vqid)))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.shrink_to_fit();
    names
}
