//! *Correlate*: which conversation an event belongs to (DESIGN section 5).
//!
//! By CallUUID; a call not yet known by OrigCallUUID (a consult belongs to the call it was made
//! from), ISLinkList, ConnID and NetworkCallID (the halves of a call over several sites); VQ events
//! also by VQID; extension events, which carry nothing else, by ConnID. Aliases outlive the call by
//! the gravestone's time.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::call::Conversation;
use super::event::{Event, Kind, text};
use super::gravestone::{Gravestone, NameKind};
use crate::Hashed;

/// Which conversation, and which call of it, a name stands for. Hashed: there are millions of them,
/// and nobody goes through them in order.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    calls: Hashed<Arc<str>, Arc<str>>,
    conn_ids: Hashed<Arc<str>, Named>,
    links: Hashed<Arc<str>, Named>,
    network_ids: Hashed<Arc<str>, Named>,
    vqids: Hashed<Arc<str>, Arc<str>>,
}

/// A conversation and the call of it that has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    conversation: Arc<str>,
    call: Arc<str>,
}

/// What to do with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// It concerns this conversation; a call not yet known is the other half of `sibling`.
    To {
        /// The conversation.
        id: String,
        /// The call by which it was found.
        sibling: Option<String>,
    },
    /// It begins a conversation whose root is this call.
    New(String),
    /// It concerns nothing that is known, and begins nothing.
    Nothing,
}

impl Aliases {
    /// Finds the conversation of an event.
    pub fn find(&self, event: &Event) -> Belongs {
        let to = |id: &Arc<str>| Belongs::To { id: id.to_string(), sibling: None };
        if let Some(id) = event.call.as_ref().and_then(|call| self.calls.get(call.as_str())) {
            return to(id);
        }
        let origin = event.is.orig_call_uuid.as_ref();
        if let Some(id) = origin.and_then(|call| self.calls.get(call.as_str())) {
            return to(id);
        }
        let vqid = event.is.extension("VQID");
        if let Some(id) = vqid.and_then(|vqid| self.vqids.get(vqid.as_str())) {
            return to(id);
        }
        match (&event.call, event.kind) {
            (Some(call), Kind::CallCreated | Kind::Queued | Kind::PartyAdded) => self
                .half(event)
                .map_or_else(|| Belongs::New(call.clone()), |named| named.belongs(event)),
            (Some(_), _) => Belongs::Nothing,
            (None, _) => {
                let named = event.conn_id.as_ref().and_then(|id| self.conn_ids.get(id.as_str()));
                named.map_or(Belongs::Nothing, |named| to(&named.conversation))
            }
        }
    }

    /// The other half of a call nobody knows yet: by link, then ConnID, then network call id.
    fn half(&self, event: &Event) -> Option<&Named> {
        let links = event.is.links();
        let by_link = links.iter().find_map(|link| self.links.get(link.as_str()));
        let by_conn_id = || event.conn_id.as_ref().and_then(|id| self.conn_ids.get(id.as_str()));
        let by_network = || {
            let id = event.is.network_call_id.as_ref().and_then(text)?;
            self.network_ids.get(id.as_str())
        };
        by_link.or_else(by_conn_id).or_else(by_network)
    }

    /// Another conversation than this that an event names by link or ConnID: a link learned late.
    /// Also the call of it that has the name.
    pub fn twin(&self, id: &str, event: &Event) -> Option<(String, String)> {
        if !matches!(event.kind, Kind::CallCreated | Kind::CallDataChanged) {
            return None;
        }
        let named = self.half(event).filter(|named| *named.conversation != *id)?;
        Some((named.conversation.to_string(), named.call.to_string()))
    }

    /// Learns every name of a conversation. A name that stands for another conversation stays its.
    pub fn learn(&mut self, conversation: &Conversation) {
        let id = self.shared(&conversation.root, &conversation.id);
        put(&mut self.calls, &conversation.root, &id);
        for (uuid, call) in &conversation.calls {
            put(&mut self.calls, uuid, &id);
            for conn_id in &call.conn_ids {
                name(&mut self.conn_ids, conn_id, &id, uuid);
            }
            for link in &call.links {
                name(&mut self.links, link, &id, uuid);
            }
            if let Some(network_id) = &call.network_id {
                name(&mut self.network_ids, network_id, &id, uuid);
            }
        }
        for entry in &conversation.entries {
            put(&mut self.vqids, &entry.id, &id);
        }
    }

    /// Learns every name of a conversation that is over, in the very text the gravestone has. It
    /// does not matter any more which call of it has which.
    pub fn learn_all(&mut self, id: &Arc<str>, gravestone: &Gravestone) {
        let is_ours = |named: &Named| named.conversation == *id;
        let call = gravestone.calls().next().unwrap_or(id);
        let named = || Named { conversation: Arc::clone(id), call: Arc::clone(call) };
        for (kind, text) in &gravestone.names {
            match kind {
                NameKind::Call => share(&mut self.calls, text, Arc::clone(id), |_| true),
                NameKind::ConnId => share(&mut self.conn_ids, text, named(), is_ours),
                NameKind::Link => share(&mut self.links, text, named(), is_ours),
                NameKind::NetworkId => share(&mut self.network_ids, text, named(), is_ours),
                NameKind::Vqid => share(&mut self.vqids, text, Arc::clone(id), |_| true),
            }
        }
    }

    /// The id as all names of the conversation share it.
    fn shared(&self, call: &str, id: &str) -> Arc<str> {
        let known = self.calls.get(call).filter(|known| ***known == *id);
        known.map_or_else(|| id.into(), Arc::clone)
    }

    /// Forgets every name of a conversation.
    pub fn forget(&mut self, conversation: &Conversation) {
        let is = |known: &Arc<str>| **known == *conversation.id;
        let is_named = |named: &Named| *named.conversation == *conversation.id;
        let calls = || conversation.calls.values();
        let uuids = conversation.calls.keys().chain([&conversation.root]);
        let entries = conversation.entries.iter();
        let conn_ids = calls().flat_map(|call| &call.conn_ids);
        let links = calls().flat_map(|call| &call.links);
        let network_ids = calls().filter_map(|call| call.network_id.as_deref());
        remove(&mut self.calls, uuids.map(String::as_str), is);
        remove(&mut self.vqids, entries.map(|entry| entry.id.as_str()), is);
        remove(&mut self.conn_ids, conn_ids.map(String::as_str), is_named);
        remove(&mut self.links, links.map(String::as_str), is_named);
        remove(&mut self.network_ids, network_ids, is_named);
    }

    /// Forgets every name of a conversation that is over.
    pub fn forget_all(&mut self, id: &str, gravestone: &Gravestone) {
        let is = |known: &Arc<str>| **known == *id;
        let is_named = |named: &Named| *named.conversation == *id;
        for (kind, text) in &gravestone.names {
            let one = std::iter::once(&**text);
            match kind {
                NameKind::Call => remove(&mut self.calls, one, is),
                NameKind::ConnId => remove(&mut self.conn_ids, one, is_named),
                NameKind::Link => remove(&mut self.links, one, is_named),
                NameKind::NetworkId => remove(&mut self.network_ids, one, is_named),
                NameKind::Vqid => remove(&mut self.vqids, one, is),
            }
        }
    }
}

impl Named {
    fn belongs(&self, event: &Event) -> Belongs {
        // A VQ event of a call nobody created says nothing of whose half it is.
        let sibling = (event.kind != Kind::Queued).then(|| self.call.to_string());
        Belongs::To { id: self.conversation.to_string(), sibling }
    }
}

/// Lets a name stand for this conversation, whatever it stood for before.
fn put(map: &mut Hashed<Arc<str>, Arc<str>>, text: &str, id: &Arc<str>) {
    match map.get_mut(text) {
        Some(known) if known == id => {}
        Some(known) => *known = Arc::clone(id),
        None => {
            map.insert(text.into(), Arc::clone(id));
        }
    }
}

/// Lets a name stand for this conversation and call, if it stands for none yet.
fn name(map: &mut Hashed<Arc<str>, Named>, text: &str, id: &Arc<str>, call: &str) {
    if !map.contains_key(text) {
        map.insert(text.into(), Named { conversation: Arc::clone(id), call: call.into() });
    }
}

/// Puts this very text in the place of the same one, if it may stand for what it stood for.
fn share<T>(map: &mut Hashed<Arc<str>, T>, text: &Arc<str>, value: T, may: impl Fn(&T) -> bool) {
    match map.entry(Arc::clone(text)) {
        Entry::Vacant(entry) => {
            entry.insert(value);
        }
        Entry::Occupied(entry) if may(entry.get()) => {
            entry.remove();
            map.insert(Arc::clone(text), value);
        }
        Entry::Occupied(_) => {}
    }
}

/// Removes these names where they still stand for the conversation.
fn remove<'a, T>(
    map: &mut Hashed<Arc<str>, T>,
    names: impl Iterator<Item = &'a str>,
    is_ours: impl Fn(&T) -> bool,
) {
    for name in names {
        if map.get(name).is_some_and(&is_ours) {
            map.remove(name);
        }
    }
}
