//! *Correlate*: which conversation an event belongs to (DESIGN section 5).
//!
//! By CallUUID; a call not yet known by OrigCallUUID (a consult belongs to the call it was made
//! from), ISLinkList, ConnID and NetworkCallID (the halves of a call over several sites); VQ events
//! also by VQID; extension events, which carry nothing else, by ConnID. Aliases outlive the call by
//! the gravestone's time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::call::Conversation;
use super::event::{Event, Kind, text};
use super::gravestone::{Gravestone, NameKind};

/// Which conversation, and which call of it, a name stands for.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    calls: BTreeMap<String, Arc<str>>,
    conn_ids: BTreeMap<String, Named>,
    links: BTreeMap<String, Named>,
    network_ids: BTreeMap<String, Named>,
    vqids: BTreeMap<String, Arc<str>>,
}

/// A conversation and the call of it that has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    conversation: Arc<str>,
    call: Box<str>,
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
        if let Some(id) = event.call.as_ref().and_then(|call| self.calls.get(call)) {
            return to(id);
        }
        let origin = event.is.orig_call_uuid.as_ref();
        if let Some(id) = origin.and_then(|call| self.calls.get(call)) {
            return to(id);
        }
        let vqid = event.is.extension("VQID");
        if let Some(id) = vqid.and_then(|vqid| self.vqids.get(&vqid)) {
            return to(id);
        }
        match (&event.call, event.kind) {
            (Some(call), Kind::CallCreated | Kind::Queued | Kind::PartyAdded) => self
                .half(event)
                .map_or_else(|| Belongs::New(call.clone()), |named| named.belongs(event)),
            (Some(_), _) => Belongs::Nothing,
            (None, _) => {
                let named = event.conn_id.as_ref().and_then(|id| self.conn_ids.get(id));
                named.map_or(Belongs::Nothing, |named| to(&named.conversation))
            }
        }
    }

    /// The other half of a call nobody knows yet: by link, then ConnID, then network call id.
    fn half(&self, event: &Event) -> Option<&Named> {
        let links = event.is.links();
        let by_link = links.iter().find_map(|link| self.links.get(link));
        let by_conn_id = || event.conn_id.as_ref().and_then(|id| self.conn_ids.get(id));
        let by_network = || {
            let id = event.is.network_call_id.as_ref().and_then(text)?;
            self.network_ids.get(&id)
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

    /// Learns every name of a conversation that is over; it does not matter any more which call of
    /// it has which.
    pub fn learn_all(&mut self, id: &str, gravestone: &Gravestone) {
        let call = gravestone.calls().next().map_or("", String::as_str);
        let id = self.shared(call, id);
        for (kind, text) in &gravestone.names {
            match kind {
                NameKind::Call => put(&mut self.calls, text, &id),
                NameKind::ConnId => name(&mut self.conn_ids, text, &id, call),
                NameKind::Link => name(&mut self.links, text, &id, call),
                NameKind::NetworkId => name(&mut self.network_ids, text, &id, call),
                NameKind::Vqid => put(&mut self.vqids, text, &id),
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
        remove(&mut self.calls, conversation.calls.keys().chain([&conversation.root]), is);
        remove(&mut self.vqids, conversation.entries.iter().map(|entry| &entry.id), is);
        remove(&mut self.conn_ids, calls().flat_map(|call| &call.conn_ids), is_named);
        remove(&mut self.links, calls().flat_map(|call| &call.links), is_named);
        remove(&mut self.network_ids, calls().filter_map(|c| c.network_id.as_ref()), is_named);
    }

    /// Forgets every name of a conversation that is over.
    pub fn forget_all(&mut self, id: &str, gravestone: &Gravestone) {
        let is = |known: &Arc<str>| **known == *id;
        let is_named = |named: &Named| *named.conversation == *id;
        for (kind, text) in &gravestone.names {
            let one = std::iter::once(text);
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
fn put(map: &mut BTreeMap<String, Arc<str>>, text: &str, id: &Arc<str>) {
    match map.get_mut(text) {
        Some(known) if known == id => {}
        Some(known) => *known = Arc::clone(id),
        None => {
            map.insert(text.to_owned(), Arc::clone(id));
        }
    }
}

/// Lets a name stand for this conversation and call, if it stands for none yet.
fn name(map: &mut BTreeMap<String, Named>, text: &str, id: &Arc<str>, call: &str) {
    if !map.contains_key(text) {
        map.insert(text.to_owned(), Named { conversation: Arc::clone(id), call: call.into() });
    }
}

/// Removes these names where they still stand for the conversation.
fn remove<'a, T>(
    map: &mut BTreeMap<String, T>,
    names: impl Iterator<Item = &'a String>,
    is_ours: impl Fn(&T) -> bool,
) {
    for name in names {
        if map.get(name).is_some_and(&is_ours) {
            map.remove(name);
        }
    }
}
