//! *Legs*: what an Engage event changes in the parties and VQ entries of a conversation, and what
//! that means for the flow.
//!
//! Parties are known by (CallUUID, PartyUUID), never by DN, and VQ entries by VQID (call-models
//! section 2, items 1 and 2). A person may be a party on two sites (one of them seen from afar) and
//! in a main and a consult call; the flow hears of people, not of parties.

use std::sync::Arc;

use super::Settings;
use super::call::{Call, Conversation, Party, PartyKind, VqEntry};
use super::directory::{AgentAt, Directory};
use super::event::{Event, Kind, text};
use super::logins::{At, Logins};
use super::tables::{CallType, Leaving, PartyState, Talk, is_service_dn};
use crate::Hashed;

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
    /// The call was offered to an extension or a phone.
    Offered(String),
    /// An extension or a phone is connected.
    Answered(String),
    /// The customer is connected.
    CustomerAnswered,
    /// An extension holds the call.
    Held(String),
    /// An extension took it back.
    Retrieved(String),
    /// A party left.
    Left(String, Leaving),
    /// In a consult call: a VQ in scope was entered.
    ConsultQueued(String),
    /// In a consult call: offered to somebody.
    ConsultOffered(String),
    /// In a consult call: somebody is connected.
    ConsultAnswered(String),
    /// In a consult call: a party left.
    ConsultLeft(String, Leaving),
    /// A consult call ended without becoming part of the root call.
    ConsultOver,
    /// A consult call became part of the root call, by a transfer or a conference.
    Merged(Leaving),
    /// A supervisor takes part.
    Supervised,
    /// More than two people take part.
    Crowded,
    /// A consult was made from a consult.
    Nested,
    /// The call belongs to an automated campaign.
    Campaign,
    /// After-call work has a disposition.
    Disposed,
    /// Every call of the conversation is gone.
    Over,
    /// The time by which something had to happen is over.
    TimeUp,
}

/// What an event is read with.
pub struct Context<'a> {
    /// The directory.
    pub directory: &'a Directory,
    /// Who logged in where.
    pub logins: &'a Logins,
    /// Which conversation a person is busy with, by DN and switch.
    pub busy: &'a Hashed<String, String>,
    /// How the processor is set.
    pub settings: &'a Settings,
}

/// Takes an event into the conversation and says what it means. `sibling` is the call of the same
/// conversation that an event of a call not yet known was found by.
pub fn take(
    conversation: &mut Conversation,
    context: &Context<'_>,
    event: &Event,
    sibling: Option<&str>,
) -> Vec<Input> {
    let call = call_of(conversation, event);
    match event.kind {
        Kind::CallCreated | Kind::CallDataChanged => {
            describe(conversation, context.settings, &call, event, sibling)
        }
        Kind::PartyAdded | Kind::PartyState => party(conversation, context, &call, event),
        Kind::PartyDeleted => party_left(conversation, event),
        Kind::PartyMoved => merged(conversation, &call, event.is.new_call_uuid.as_deref(), event),
        Kind::CallDeleted => {
            let mut inputs = merged(conversation, &call, event.is.ref_call_uuid.as_deref(), event);
            inputs.extend(call_deleted(conversation, &call, event.at_ms));
            inputs
        }
        Kind::Queued => queued(conversation, context.directory, &call, event),
        Kind::Diverted => diverted(conversation, event),
        Kind::UserEvent => participants(conversation, &call, event),
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

/// The call, made known if it is not: linked calls share their sibling's group.
fn known<'a>(
    conversation: &'a mut Conversation,
    uuid: &str,
    sibling: Option<&str>,
) -> &'a mut Arc<Call> {
    let group = sibling
        .and_then(|sibling| conversation.calls.get(sibling))
        .map_or_else(|| uuid.to_owned(), |call| call.group.clone());
    let fresh = || Arc::new(Call { group, ..Call::default() });
    conversation.calls.entry(uuid.to_owned()).or_insert_with(fresh)
}

fn describe(
    conversation: &mut Conversation,
    settings: &Settings,
    uuid: &str,
    event: &Event,
    sibling: Option<&str>,
) -> Vec<Input> {
    let mut inputs = vec![Input::Known];
    let origin = event.is.orig_call_uuid.as_deref().filter(|origin| *origin != uuid);
    if origin.is_some_and(|origin| {
        conversation.calls.contains_key(origin) && !conversation.is_root(origin)
    }) {
        inputs.push(Input::Nested);
    }
    let call = Arc::make_mut(known(conversation, uuid, sibling));
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
    set(&mut call.network_id, event.is.network_call_id.as_ref().and_then(text));
    let links = event.is.links();
    call.links
        .extend(links.iter().filter(|l| !call.links.contains(l)).cloned().collect::<Vec<_>>());
    if let Some(conn_id) = &event.conn_id
        && !call.conn_ids.contains(conn_id)
    {
        call.conn_ids.push(conn_id.clone());
    }
    inputs.extend(linked(conversation, uuid, &links));
    if event.is.has_user_data_prefix(&settings.campaign_prefix) {
        inputs.push(Input::Campaign);
    }
    if let Some(name) = event.is.user_data(&settings.disposition_key)
        && conversation.is_root(uuid)
    {
        conversation.disposition = Some(name);
        inputs.push(Input::Disposed);
    }
    inputs
}

fn set(slot: &mut Option<String>, value: Option<String>) {
    if value.is_some() {
        *slot = value;
    }
}

/// A link that another call of the conversation has too makes one group of theirs.
fn linked(conversation: &mut Conversation, uuid: &str, links: &[String]) -> Vec<Input> {
    let other = conversation
        .calls
        .iter()
        .find(|(other, call)| *other != uuid && links.iter().any(|link| call.links.contains(link)));
    let Some(other) = other.map(|(_, call)| call.group.clone()) else { return Vec::new() };
    let Some(own) = conversation.calls.get(uuid).map(|call| call.group.clone()) else {
        return Vec::new();
    };
    if own == other {
        Vec::new()
    } else if own == conversation.root {
        join(conversation, &other, &own)
    } else {
        join(conversation, &own, &other)
    }
}

/// A party joined or changed. A state of a party nobody has seen joining is its joining.
fn party(
    conversation: &mut Conversation,
    context: &Context<'_>,
    call: &str,
    event: &Event,
) -> Vec<Input> {
    let dn = event.is.dn.as_ref().and_then(text);
    let Some(id) = event.is.party_uuid.clone().or_else(|| dn.clone()) else {
        return Vec::new();
    };
    known(conversation, call, None);
    let state = event.is.state();
    let found = conversation.parties.iter().position(|p| p.id == id);
    let at = match (found, dn) {
        (Some(at), _) => at,
        (None, Some(dn)) => {
            let new = joining(conversation, context, call, id, dn, event);
            conversation.parties.push(Arc::new(new));
            conversation.parties.len() - 1
        }
        (None, None) => return Vec::new(),
    };
    let party = &mut conversation.parties[at];
    if !party.is_here() {
        return Vec::new();
    }
    let before = party.state;
    let after = state.unwrap_or(before);
    if after != before {
        Arc::make_mut(party).state = after;
    }
    let party = Arc::clone(party);
    if after.observing {
        return vec![Input::Supervised];
    }
    inputs_of(conversation, &party, before, after, found.is_none())
}

fn joining(
    conversation: &Conversation,
    context: &Context<'_>,
    call: &str,
    id: String,
    dn: String,
    event: &Event,
) -> Party {
    let remote = event.is.remote_loc.as_ref().and_then(text);
    let home = context.directory.switch_of(&event.server);
    let switch = remote.as_deref().unwrap_or(home);
    let of = conversation.calls.get(call).map(|call| &**call);
    let kind = classify(context.directory, of, switch, &dn, event);
    let person = (kind == PartyKind::Extension).then(|| format!("{dn}@{switch}"));
    let busy = person.as_ref().and_then(|person| context.busy.get(person));
    let busy = busy.is_some_and(|with| *with != conversation.id);
    let agent = agent_at(context, &dn, switch, event.at_ms);
    let agent = agent.filter(|_| kind == PartyKind::Extension);
    let second = agent.as_ref().filter(|_| busy).map(|agent| agent.employee_id.clone());
    let agent = agent.filter(|_| !busy);
    let (call, state, remote) = (call.to_owned(), PartyState::from_bits(0), remote.is_some());
    Party { id, call, dn, kind, state, agent, person, remote, busy, second, left: None }
}

/// Who is at a DN: who logged in there last; where no fact says, whom the configuration has there.
/// The one place that decides it; the party and its leg keep the decision.
fn agent_at(context: &Context<'_>, dn: &str, switch: &str, at_ms: i64) -> Option<AgentAt> {
    match context.logins.at(dn, switch, at_ms) {
        At::Somebody(employee_id) => context.directory.user(employee_id),
        At::Nobody => None,
        At::Unknown => context.directory.agent(dn, switch).cloned(),
    }
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
    let internal = call.is_some_and(|c| c.call_type == CallType::Internal);
    let inbound_caller = !internal && call.is_some_and(|c| dialled(&c.ani));
    if is_service_dn(dn) {
        PartyKind::Service
    } else if directory.is_extension(dn, switch) {
        PartyKind::Extension
    } else if inbound_caller || call.is_some_and(|c| dialled(&c.dialed)) {
        PartyKind::External
    } else if state.is_some_and(|s| s.routing || s.treatment || s.talk == Talk::Queued) {
        PartyKind::RoutingPoint
    } else if internal {
        // A DN of the site that the directory does not know is no customer.
        PartyKind::Extension
    } else {
        PartyKind::External
    }
}

/// What a change of a party means, for the root call or for a consult. A customer seen from afar
/// says nothing that is not said at home.
fn inputs_of(
    conversation: &Conversation,
    party: &Party,
    before: PartyState,
    after: PartyState,
    joined: bool,
) -> Vec<Input> {
    let id = party.id.clone();
    let root = conversation.is_root(&party.call);
    let is_customer = conversation.customer().is_some_and(|c| c.id == party.id);
    if !is_customer && is_at_home(conversation, party) {
        return Vec::new();
    }
    match party.kind {
        PartyKind::Service => Vec::new(),
        PartyKind::RoutingPoint => {
            let starts = root && after.treatment && !before.treatment;
            if starts { vec![Input::Treatment(id)] } else { Vec::new() }
        }
        PartyKind::External if root && is_customer => {
            if after.talk == Talk::Connected && before.talk != Talk::Connected {
                vec![Input::CustomerAnswered]
            } else if joined {
                vec![Input::Known]
            } else {
                Vec::new()
            }
        }
        PartyKind::External | PartyKind::Extension => {
            let talks = talk_inputs(before.talk, after.talk, id);
            let talks = if root { talks } else { talks.and_then(consulting) };
            match talks {
                Some(input) => vec![input],
                None if joined && root => vec![Input::Known],
                None => Vec::new(),
            }
        }
    }
}

/// What a change of what somebody does means, if it means anything: an answer and a hold are told
/// once.
fn talk_inputs(before: Talk, after: Talk, id: String) -> Option<Input> {
    match after {
        _ if before == after => None,
        Talk::Connected if before == Talk::Held => Some(Input::Retrieved(id)),
        Talk::Connected => Some(Input::Answered(id)),
        Talk::Held => Some(Input::Held(id)),
        Talk::Alerting => Some(Input::Offered(id)),
        Talk::Null
        | Talk::Initiated
        | Talk::Queued
        | Talk::Busy
        | Talk::Detecting
        | Talk::Failed => None,
    }
}

/// The same of a consult call. Hold there is between the two who consult, and is not told.
fn consulting(input: Input) -> Option<Input> {
    if let Input::Offered(id) = input {
        Some(Input::ConsultOffered(id))
    } else if let Input::Answered(id) = input {
        Some(Input::ConsultAnswered(id))
    } else {
        None
    }
}

fn party_left(conversation: &mut Conversation, event: &Event) -> Vec<Input> {
    let dn = event.is.dn.as_ref().and_then(text);
    let named = event.is.party_uuid.clone().or(dn);
    let here =
        conversation.parties.iter_mut().find(|p| p.is_here() && Some(&p.id) == named.as_ref());
    let Some(party) = here else { return Vec::new() };
    let leaving = Leaving::from_cause(event.is.cause());
    Arc::make_mut(party).left = Some((event.at_ms, leaving));
    let party = Arc::clone(party);
    if seen_elsewhere(conversation, &party) {
        return Vec::new();
    }
    if conversation.is_root(&party.call) {
        vec![Input::Left(party.id.clone(), leaving)]
    } else {
        vec![Input::ConsultLeft(party.id.clone(), leaving)]
    }
}

/// Whether a person seen from afar has been seen at home, where the truth is; of somebody outside
/// the party at the site where the call came in is that.
fn is_at_home(conversation: &Conversation, party: &Party) -> bool {
    let home = |p: &Party| !p.remote && p.person == party.person;
    let outside = party.kind == PartyKind::External;
    party.remote && (outside || conversation.parties().any(home))
}

/// Whether a party seen from afar has one at home, which alone says when the person left.
fn seen_elsewhere(conversation: &Conversation, party: &Party) -> bool {
    let same_part =
        |p: &Party| conversation.is_root(&p.call) == conversation.is_root(&party.call) && !p.remote;
    let same_person = |p: &Party| match party.kind {
        PartyKind::External => p.kind == PartyKind::External,
        PartyKind::Extension => p.person == party.person,
        PartyKind::RoutingPoint | PartyKind::Service => false,
    };
    party.remote && conversation.parties().any(|p| same_part(p) && same_person(p))
}

/// A call is merged into the root call: by its end (`RefCallUUID`) or by a moved party, whichever
/// is heard first.
fn merged(
    conversation: &mut Conversation,
    call: &str,
    into: Option<&str>,
    event: &Event,
) -> Vec<Input> {
    let merges = into.is_some_and(|into| into != call && conversation.is_root(into));
    let group = conversation.calls.get(call).map(|call| call.group.clone());
    match group.filter(|group| merges && *group != conversation.root) {
        Some(group) => {
            let mut inputs = vec![Input::Merged(Leaving::from_cause(event.is.cause()))];
            inputs.extend(join(conversation, &group, &conversation.root.clone()));
            inputs
        }
        None => Vec::new(),
    }
}

/// Takes over an untold conversation that turned out to be the other half of `sibling`'s call (one
/// of its own, where that is not known yet).
pub fn absorb(conversation: &mut Conversation, other: Conversation, sibling: &str) -> Vec<Input> {
    let half = other.root.clone();
    for (uuid, call) in other.calls {
        conversation.calls.entry(uuid).or_insert(call);
    }
    conversation.parties.extend(other.parties);
    conversation.entries.extend(other.entries);
    let group = conversation.calls.get(sibling).map(|call| call.group.clone());
    match group {
        Some(group) => join(conversation, &half, &group),
        None => Vec::new(),
    }
}

/// The parties and entries of a group become those of another, of the root call or of a consult:
/// what they do is news to the flow.
fn join(conversation: &mut Conversation, group: &str, into: &str) -> Vec<Input> {
    let is_root = into == conversation.root;
    let joining: Vec<String> = conversation
        .calls
        .iter_mut()
        .filter(|(_, call)| call.group == group)
        .map(|(uuid, call)| {
            into.clone_into(&mut Arc::make_mut(call).group);
            uuid.clone()
        })
        .collect();
    let entries = conversation.entries.iter().filter(|e| joining.contains(&e.call));
    let mut inputs: Vec<Input> = entries
        .filter(|entry| entry.queue_id.is_some() && !entry.left)
        .map(|entry| {
            let id = entry.id.clone();
            if is_root { Input::Queued(id) } else { Input::ConsultQueued(id) }
        })
        .collect();
    let null = PartyState::from_bits(0);
    for party in conversation.parties.iter().filter(|p| joining.contains(&p.call)) {
        if party.is_here() {
            inputs.extend(inputs_of(conversation, party, null, party.state, true));
        }
    }
    inputs
}

fn call_deleted(conversation: &mut Conversation, uuid: &str, at_ms: i64) -> Vec<Input> {
    let mut inputs = Vec::new();
    let consult = !conversation.is_root(uuid);
    if let Some(call) = conversation.calls.get_mut(uuid) {
        Arc::make_mut(call).deleted = true;
    }
    if consult {
        inputs.push(Input::ConsultOver);
    }
    if conversation.is_root(uuid) {
        // Parties that moved to the root call stay; those of the call itself are gone with it.
        let own = uuid == conversation.root;
        for party in conversation.parties.iter_mut().filter(|p| own && p.call == uuid) {
            Arc::make_mut(party).left.get_or_insert((at_ms, Leaving::HungUp));
        }
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
    known(conversation, call, None);
    let location = event.is.extension("Location");
    let switch = location.as_deref().unwrap_or_else(|| directory.switch_of(&event.server));
    let queue_id = directory.queue(&dn, switch).map(str::to_owned);
    let in_scope = queue_id.is_some();
    let call = call.to_owned();
    let root = conversation.is_root(&call);
    let entered_ms = event.at_ms;
    let entry = VqEntry { id: id.clone(), call, dn, queue_id, entered_ms, left: false };
    conversation.entries.push(Arc::new(entry));
    match (in_scope, root) {
        (true, true) => vec![Input::Queued(id)],
        (true, false) => vec![Input::ConsultQueued(id)],
        (false, _) => Vec::new(),
    }
}

fn diverted(conversation: &mut Conversation, event: &Event) -> Vec<Input> {
    let vqid = event.is.extension("VQID");
    let dn = event.is.this_dn.as_ref().and_then(text);
    let found = conversation.entries.iter_mut().find(|entry| {
        !entry.left && vqid.as_ref().map_or(Some(&entry.dn) == dn.as_ref(), |id| *id == entry.id)
    });
    let Some(entry) = found else { return Vec::new() };
    Arc::make_mut(entry).left = true;
    let (id, call) = (entry.id.clone(), entry.call.clone());
    if conversation.is_root(&call) { vec![Input::QueueLeft(id)] } else { Vec::new() }
}

/// The list of participants an extension is told: more than two, or a supervisor, is no flow.
fn participants(conversation: &Conversation, call: &str, event: &Event) -> Vec<Input> {
    if event.is.lct_supervised() {
        vec![Input::Supervised]
    } else if conversation.is_root(call) && event.is.lct_parties() > 2 {
        vec![Input::Crowded]
    } else {
        Vec::new()
    }
}
