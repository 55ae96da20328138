//! *Legs*: what an Engage event changes in the parties and VQ entries of a conversation, and what
//! that means for the flow.
//!
//! Parties are known by (CallUUID, PartyUUID), never by DN, and VQ entries by VQID (call-models
//! section 2, items 1 and 2).

use super::call::{Call, Conversation, Party, PartyKind, VqEntry};
use super::directory::Directory;
use super::event::{Event, Kind, text};
use super::tables::{CallType, Leaving, PartyState, Talk, is_service_dn};

/// What happened, in the words of the flow. Parties and entries are named by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A call was created, or something about it became known.
    Known,
    /// A treatment plays on a Routing Point.
    Treatment(String),
    /// A VQ in scope was entered.
    Queued(String),
    /// A VQ in scope was left.
    QueueLeft(String),
    /// A call was offered to an extension.
    Offered(String),
    /// An extension is connected.
    Answered(String),
    /// The customer is connected.
    CustomerAnswered,
    /// An extension holds the call.
    Held(String),
    /// An extension took it back.
    Retrieved(String),
    /// A party left.
    Left(String, Leaving),
    /// Every call of the conversation is gone.
    Over,
    /// The time by which something had to happen is over.
    TimeUp,
}

/// Takes an event into the conversation and says what it means. Inputs about calls that are not
/// part of the root call (consults) are not given.
pub fn take(conversation: &mut Conversation, directory: &Directory, event: &Event) -> Vec<Input> {
    let call = call_of(conversation, event);
    match event.kind {
        Kind::CallCreated | Kind::CallDataChanged => {
            describe(conversation, &call, event);
            vec![Input::Known]
        }
        Kind::PartyAdded | Kind::PartyState => party(conversation, directory, &call, event),
        Kind::PartyDeleted => party_left(conversation, &call, event),
        Kind::PartyMoved | Kind::CallDeleted => {
            let into = match event.kind {
                Kind::PartyMoved => event.is.new_call_uuid.as_deref(),
                _ => event.is.ref_call_uuid.as_deref(),
            };
            let merges = into.is_some_and(|into| into != call && conversation.is_root(into));
            let moved = if merges { merge(conversation, &call) } else { Vec::new() };
            if event.kind == Kind::PartyMoved {
                return moved;
            }
            call_deleted(conversation, &call, event.at_ms, moved)
        }
        Kind::Queued => queued(conversation, directory, &call, event),
        Kind::Diverted => diverted(conversation, event),
        Kind::UserEvent => Vec::new(),
    }
}

fn call_of(conversation: &Conversation, event: &Event) -> String {
    event.call.clone().unwrap_or_else(|| {
        event
            .conn_id
            .as_ref()
            .and_then(|id| conversation.calls.iter().find(|(_, call)| call.conn_ids.contains(id)))
            .map_or_else(|| conversation.root.clone(), |(uuid, _)| uuid.clone())
    })
}

fn describe(conversation: &mut Conversation, uuid: &str, event: &Event) {
    let call = conversation.calls.entry(uuid.to_owned()).or_default();
    if event.kind == Kind::CallCreated && !call.created {
        call.created = true;
        call.created_ms = event.at_ms;
    }
    if let Some(call_type) = event.is.call_type() {
        call.call_type = call_type;
    }
    set(&mut call.ani, event.is.ani.as_ref().and_then(text));
    set(&mut call.dnis, event.is.dnis.as_ref().and_then(text));
    set(&mut call.dialed, event.is.dialed_number.as_ref().and_then(text));
    if let Some(conn_id) = &event.conn_id
        && !call.conn_ids.contains(conn_id)
    {
        call.conn_ids.push(conn_id.clone());
    }
}

fn set(slot: &mut Option<String>, value: Option<String>) {
    if value.is_some() {
        *slot = value;
    }
}

/// A party joined or changed. A state of a party nobody has seen joining is its joining.
fn party(
    conversation: &mut Conversation,
    directory: &Directory,
    call: &str,
    event: &Event,
) -> Vec<Input> {
    let dn = event.is.dn.as_ref().and_then(text);
    let Some(id) = event.is.party_uuid.clone().or_else(|| dn.clone()) else {
        return Vec::new();
    };
    let state = event.is.state();
    let found = conversation.parties.iter().position(|p| p.call == call && p.id == id);
    let at = match (found, dn) {
        (Some(at), _) => at,
        (None, Some(dn)) => {
            let switch = directory.switch_of(&event.server);
            let about = conversation.calls.get(call);
            let kind = classify(directory, about, switch, &dn, event);
            let agent = directory.agent(&dn, switch).cloned();
            let agent = agent.filter(|_| kind == PartyKind::Extension);
            let state = PartyState::from_bits(0);
            let call = call.to_owned();
            conversation.parties.push(Party { id, call, dn, kind, state, agent, left: None });
            conversation.parties.len() - 1
        }
        (None, None) => return Vec::new(),
    };
    let party = &mut conversation.parties[at];
    if !party.is_here() {
        return Vec::new();
    }
    let before = party.state;
    party.state = state.unwrap_or(before);
    let (party, after) = (party.clone(), party.state);
    if !conversation.is_root(&party.call) {
        return Vec::new();
    }
    changed(&party, before, after, found.is_none())
}

fn classify(
    directory: &Directory,
    call: Option<&Call>,
    switch: &str,
    dn: &str,
    event: &Event,
) -> PartyKind {
    let state = event.is.state();
    let dialled = |number: &Option<String>| number.as_deref() == Some(dn);
    let inbound_caller = call.is_some_and(|c| c.call_type != CallType::Internal && dialled(&c.ani));
    match () {
        () if is_service_dn(dn) => PartyKind::Service,
        () if directory.is_extension(dn, switch) => PartyKind::Extension,
        () if inbound_caller || call.is_some_and(|c| dialled(&c.dialed)) => PartyKind::External,
        () if state.is_some_and(|s| s.routing || s.treatment || s.talk == Talk::Queued) => {
            PartyKind::RoutingPoint
        }
        // A DN of the site that the directory does not know is no customer.
        () if call.is_some_and(|c| c.call_type == CallType::Internal) => PartyKind::Extension,
        () => PartyKind::External,
    }
}

/// What a change of state means.
fn changed(party: &Party, before: PartyState, after: PartyState, joined: bool) -> Vec<Input> {
    let id = party.id.clone();
    match party.kind {
        PartyKind::Service => Vec::new(),
        PartyKind::RoutingPoint => {
            if after.treatment && !before.treatment {
                vec![Input::Treatment(id)]
            } else {
                Vec::new()
            }
        }
        PartyKind::External => {
            if after.talk == Talk::Connected && before.talk != Talk::Connected {
                vec![Input::CustomerAnswered]
            } else if joined {
                vec![Input::Known]
            } else {
                Vec::new()
            }
        }
        PartyKind::Extension => match (before.talk, after.talk) {
            (Talk::Held, Talk::Connected) => vec![Input::Retrieved(id)],
            (Talk::Connected, Talk::Connected) => Vec::new(),
            (_, Talk::Connected) => vec![Input::Answered(id)],
            (Talk::Held, Talk::Held) => Vec::new(),
            (_, Talk::Held) => vec![Input::Held(id)],
            (_, Talk::Alerting) if before.talk != Talk::Alerting => vec![Input::Offered(id)],
            (_, _) if joined => vec![Input::Known],
            (_, _) => Vec::new(),
        },
    }
}

fn party_left(conversation: &mut Conversation, call: &str, event: &Event) -> Vec<Input> {
    let dn = event.is.dn.as_ref().and_then(text);
    let named = event.is.party_uuid.clone().or(dn);
    let here = conversation
        .parties
        .iter_mut()
        .find(|p| p.call == call && p.is_here() && Some(&p.id) == named.as_ref());
    let Some(party) = here else { return Vec::new() };
    let leaving = Leaving::from_cause(event.is.cause());
    party.left = Some((event.at_ms, leaving));
    let (id, call) = (party.id.clone(), party.call.clone());
    if conversation.is_root(&call) { vec![Input::Left(id, leaving)] } else { Vec::new() }
}

/// The parties and entries of a call become those of the root call: what they do is news to the flow.
fn merge(conversation: &mut Conversation, uuid: &str) -> Vec<Input> {
    let call = conversation.calls.entry(uuid.to_owned()).or_default();
    if std::mem::replace(&mut call.merged, true) {
        return Vec::new();
    }
    let root = conversation.root.clone();
    let null = PartyState::from_bits(0);
    let mut inputs = Vec::new();
    for entry in conversation.entries.iter_mut().filter(|entry| entry.call == uuid) {
        entry.call.clone_from(&root);
        if entry.queue_id.is_some() && !entry.left {
            inputs.push(Input::Queued(entry.id.clone()));
        }
    }
    for party in conversation.parties.iter_mut().filter(|p| p.call == uuid) {
        party.call.clone_from(&root);
        if party.is_here() {
            inputs.extend(changed(party, null, party.state, true));
        }
    }
    inputs
}

fn call_deleted(
    conversation: &mut Conversation,
    uuid: &str,
    at_ms: i64,
    mut inputs: Vec<Input>,
) -> Vec<Input> {
    if let Some(call) = conversation.calls.get_mut(uuid) {
        call.deleted = true;
    }
    for party in conversation.parties.iter_mut().filter(|p| p.call == uuid && p.is_here()) {
        party.left = Some((at_ms, Leaving::HungUp));
    }
    if conversation.is_over() {
        inputs.push(Input::Over);
    }
    inputs
}

fn queued(
    conversation: &mut Conversation,
    directory: &Directory,
    call: &str,
    event: &Event,
) -> Vec<Input> {
    let Some(dn) = event.is.this_dn.as_ref().and_then(text) else { return Vec::new() };
    let id = event.is.extension("VQID").unwrap_or_else(|| format!("{dn}@{}", event.at_ms));
    if conversation.entries.iter().any(|entry| entry.id == id) {
        return Vec::new();
    }
    let location = event.is.extension("Location");
    let switch = location.as_deref().unwrap_or_else(|| directory.switch_of(&event.server));
    let queue_id = directory.queue(&dn, switch).map(str::to_owned);
    let in_scope = queue_id.is_some();
    let root = conversation.is_root(call);
    let call = if root { conversation.root.clone() } else { call.to_owned() };
    let entered_ms = event.at_ms;
    let entry = VqEntry { id: id.clone(), call, dn, queue_id, entered_ms, left: false };
    conversation.entries.push(entry);
    if in_scope && root { vec![Input::Queued(id)] } else { Vec::new() }
}

fn diverted(conversation: &mut Conversation, event: &Event) -> Vec<Input> {
    let vqid = event.is.extension("VQID");
    let dn = event.is.this_dn.as_ref().and_then(text);
    let found = conversation.entries.iter_mut().find(|entry| {
        !entry.left && vqid.as_ref().map_or(Some(&entry.dn) == dn.as_ref(), |id| *id == entry.id)
    });
    let Some(entry) = found else { return Vec::new() };
    entry.left = true;
    let (id, call) = (entry.id.clone(), entry.call.clone());
    if conversation.is_root(&call) { vec![Input::QueueLeft(id)] } else { Vec::new() }
}
