//! *Correlate*: which conversation an event belongs to.
//!
//! By CallUUID, then OrigCallUUID (a consult belongs to the call it was made from), then VQID, then
//! ConnID (extension events carry nothing else). Aliases outlive the call by the gravestone's time.

use std::collections::BTreeMap;

use super::call::Conversation;
use super::event::{Event, Kind};

/// Which conversation a name stands for.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    calls: BTreeMap<String, String>,
    conn_ids: BTreeMap<String, String>,
    vqids: BTreeMap<String, String>,
}

/// What to do with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// It concerns this conversation.
    To(String),
    /// It begins a conversation whose root is this call.
    New(String),
    /// It concerns nothing that is known, and begins nothing.
    Nothing,
}

impl Aliases {
    /// Finds the conversation of an event.
    pub fn find(&self, event: &Event) -> Belongs {
        let by_call = event.call.as_ref().and_then(|call| self.calls.get(call));
        if let Some(id) = by_call {
            return Belongs::To(id.clone());
        }
        let origin = event.is.orig_call_uuid.as_ref().and_then(|call| self.calls.get(call));
        if let Some(id) = origin {
            return Belongs::To(id.clone());
        }
        let vqid = event.is.extension("VQID");
        if let Some(id) = vqid.and_then(|vqid| self.vqids.get(&vqid)) {
            return Belongs::To(id.clone());
        }
        match (&event.call, event.kind) {
            (Some(call), Kind::CallCreated | Kind::Queued | Kind::PartyAdded) => {
                Belongs::New(call.clone())
            }
            (Some(_), _) => Belongs::Nothing,
            (None, _) => {
                let known = event.conn_id.as_ref().and_then(|id| self.conn_ids.get(id));
                known.map_or(Belongs::Nothing, |id| Belongs::To(id.clone()))
            }
        }
    }

    /// The conversation of a call.
    pub fn of_call(&self, call: &str) -> Option<&String> {
        self.calls.get(call)
    }

    /// Learns every name of a conversation.
    pub fn learn(&mut self, conversation: &Conversation) {
        let id = &conversation.id;
        self.calls.insert(conversation.root.clone(), id.clone());
        for (uuid, call) in &conversation.calls {
            self.calls.insert(uuid.clone(), id.clone());
            for conn_id in &call.conn_ids {
                self.conn_ids.insert(conn_id.clone(), id.clone());
            }
        }
        for entry in &conversation.entries {
            self.vqids.insert(entry.id.clone(), id.clone());
        }
    }

    /// Forgets every name of a conversation.
    pub fn forget(&mut self, conversation: &Conversation) {
        let id = &conversation.id;
        self.calls.retain_named(conversation.calls.keys().chain([&conversation.root]), id);
        let conn_ids = conversation.calls.values().flat_map(|call| &call.conn_ids);
        self.conn_ids.retain_named(conn_ids, id);
        self.vqids.retain_named(conversation.entries.iter().map(|entry| &entry.id), id);
    }
}

trait RetainNamed {
    /// Removes these names where they still stand for this conversation.
    fn retain_named<'a>(&mut self, names: impl Iterator<Item = &'a String>, id: &str);
}

impl RetainNamed for BTreeMap<String, String> {
    fn retain_named<'a>(&mut self, names: impl Iterator<Item = &'a String>, id: &str) {
        for name in names {
            if self.get(name).is_some_and(|known| known == id) {
                self.remove(name);
            }
        }
    }
}
