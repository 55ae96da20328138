//! One conversation: what is known of its Engage calls, and what Genesys Cloud has been told.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkline_schemas::OutcomeStatus;
use trunkline_schemas::segment::LegKind;

use super::directory::AgentAt;
use super::flow::Flow;
use super::reason::Reason;
use super::tables::{CallType, Leaving, PartyState};

/// One Engage call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Connection ids it has had, the newest last.
    pub conn_ids: Vec<String>,
    /// Call type.
    pub call_type: CallType,
    /// When it was created, milliseconds since 1970.
    pub created_ms: i64,
    /// Whether its creation was seen.
    pub created: bool,
    /// Calling number.
    pub ani: Option<String>,
    /// Number called from outside.
    pub dnis: Option<String>,
    /// Number dialled to the outside.
    pub dialed: Option<String>,
    /// Whether its end was seen.
    pub deleted: bool,
    /// The calls of several sites that are one call share a group: the CallUUID of its first. The
    /// group of the root call is what is told; any other is a consult.
    pub group: String,
    /// IS-link ids (TLib attribute 146 `ISLinkList`).
    pub links: Vec<String>,
    /// Network call id (attribute 5).
    pub network_id: Option<String>,
}

/// What a party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartyKind {
    /// Somebody outside.
    External,
    /// An extension of the site.
    Extension,
    /// A Routing Point.
    RoutingPoint,
    /// A recorder and the like: no party to anybody.
    Service,
}

/// One party of an Engage call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// PartyUUID, else the DN: unique within its call.
    pub id: String,
    /// CallUUID of the call it is in.
    pub call: String,
    /// Its DN.
    pub dn: String,
    /// What it is.
    pub kind: PartyKind,
    /// Its last known state.
    pub state: PartyState,
    /// The agent at its DN, decided when it joined.
    pub agent: Option<AgentAt>,
    /// DN and switch of an extension: one person may be a party on two sites and in two calls.
    pub person: Option<String>,
    /// It stands for a party of another site (attribute `RemoteLoc`).
    pub remote: bool,
    /// Its agent has another call, which goes first (seed 003, unsupported scenario 5).
    pub busy: bool,
    /// Employee id of that agent, who is on the phone all the same.
    #[serde(default)]
    pub second: Option<String>,
    /// When and why it left.
    pub left: Option<(i64, Leaving)>,
}

impl Party {
    /// Whether it is still there.
    pub fn is_here(&self) -> bool {
        self.left.is_none()
    }
}

/// One stay in a virtual queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VqEntry {
    /// VQID, else VQ name and time of entry.
    pub id: String,
    /// CallUUID under which it was entered.
    pub call: String,
    /// VQ name.
    pub dn: String,
    /// GC queue; `None` where the VQ is not in the directory: it is context.
    pub queue_id: Option<String>,
    /// When it was entered.
    pub entered_ms: i64,
    /// Whether it was left.
    pub left: bool,
}

/// State of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegState {
    /// It alerts.
    Alerting,
    /// It is connected.
    Connected,
    /// It has ended.
    Ended,
}

/// One leg of the GC conversation as told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// GC communication id.
    pub id: String,
    /// The party or VQ entry it stands for; entries of the same queue that continue it are added.
    pub subjects: Vec<String>,
    /// What it is.
    pub kind: LegKind,
    /// Its state.
    pub state: LegState,
    /// Whether it is held.
    pub held: bool,
    /// How many times hold was told.
    pub holds: u32,
    /// DN or VQ.
    pub dn: String,
    /// The agent.
    pub agent: Option<AgentAt>,
    /// GC queue.
    pub queue_id: Option<String>,
    /// Its beginning.
    pub start_ms: i64,
    /// Its answer.
    pub answered_ms: Option<i64>,
    /// Its end.
    #[serde(default)]
    pub ended_ms: Option<i64>,
    /// After-call work was announced for it.
    #[serde(default)]
    pub after_call: bool,
}

/// A transfer that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// GC command id.
    pub command_id: String,
    /// Leg that is transferred.
    pub object: String,
}

/// One conversation. What it is made of is shared with its copies: before each event one is kept,
/// and most of it stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// GC conversation id.
    pub id: String,
    /// Root CallUUID.
    pub root: String,
    /// Its Engage calls by CallUUID.
    pub calls: BTreeMap<String, Arc<Call>>,
    /// Parties, in order of their joining.
    pub parties: Vec<Arc<Party>>,
    /// VQ entries, in order.
    pub entries: Vec<Arc<VqEntry>>,
    /// Where the told conversation stands.
    pub flow: Flow,
    /// Its legs, in order of their establishment.
    pub legs: Vec<Arc<Leg>>,
    /// The open transfer.
    pub transfer: Option<Transfer>,
    /// Number of the last command.
    pub seq: i64,
    /// Time of the last command.
    pub last_ms: i64,
    /// What was told as outcomes, so that each is told once.
    pub noted: Vec<(OutcomeStatus, Reason)>,
    /// Name of the disposition in user data, the newest.
    pub disposition: Option<String>,
    /// Legs whose announced after-call work is not closed, and by when it must be.
    pub after_call: Vec<(String, i64)>,
    /// Whether a call with remote parties has waited for its link.
    pub link_awaited: bool,
    /// Switch time of the newest event.
    #[serde(default)]
    pub newest_ms: i64,
    /// Stream time of the last event.
    pub touched_ms: i64,
    /// Stream time by which something must happen if nothing else does.
    pub due_ms: Option<i64>,
}

impl Conversation {
    /// A conversation of which nothing is known but its root call.
    pub fn new(id: String, root: String) -> Self {
        Self {
            id,
            root,
            calls: BTreeMap::new(),
            parties: Vec::new(),
            entries: Vec::new(),
            flow: Flow::Untold,
            legs: Vec::new(),
            transfer: None,
            seq: 0,
            last_ms: i64::MIN,
            noted: Vec::new(),
            disposition: None,
            after_call: Vec::new(),
            link_awaited: false,
            newest_ms: i64::MIN,
            touched_ms: 0,
            due_ms: None,
        }
    }

    /// The root call.
    pub fn root_call(&self) -> Option<&Call> {
        self.calls.get(&self.root).map(|call| &**call)
    }

    /// When its root call was created, milliseconds since 1970; 0 where that is not known.
    pub fn created_ms(&self) -> i64 {
        self.root_call().map_or(0, |call| call.created_ms)
    }

    /// Its parties, in order of their joining.
    pub fn parties(&self) -> impl Iterator<Item = &Party> + Clone {
        self.parties.iter().map(|party| &**party)
    }

    /// The party of that id in that call.
    pub fn party(&self, call: &str, id: &str) -> Option<&Party> {
        self.parties().find(|p| p.call == call && p.id == id)
    }

    /// Whether a call of it is the root call, is linked to it or has become part of it; a consult
    /// is not.
    pub fn is_root(&self, call: &str) -> bool {
        call == self.root || self.calls.get(call).is_some_and(|call| call.group == self.root)
    }

    /// The open leg that stands for a party or VQ entry.
    pub fn open_leg(&self, subject: &str) -> Option<&Leg> {
        self.open_legs().find(|leg| leg.subjects.iter().any(|s| s == subject))
    }

    /// The open leg of a party: its own, or that of the same person seen from another site.
    pub fn leg_of(&self, id: &str) -> Option<&Leg> {
        let person = || {
            let party = self.parties.iter().find(|p| p.id == id)?;
            self.open_leg_of_person(party.person.as_deref()?)
        };
        self.open_leg(id).or_else(person)
    }

    /// Whether a leg ever stood for it.
    pub fn was_told(&self, subject: &str) -> bool {
        self.legs.iter().any(|leg| leg.subjects.iter().any(|s| s == subject))
    }

    /// The open leg of that kind, of which there is at most one in a supported flow.
    pub fn open_kind(&self, kind: LegKind) -> Option<&Leg> {
        self.open_legs().find(|leg| leg.kind == kind)
    }

    /// Open legs.
    pub fn open_legs(&self) -> impl Iterator<Item = &Leg> {
        self.legs.iter().map(|leg| &**leg).filter(|leg| leg.state != LegState::Ended)
    }

    /// The customer: the external party of the root call, at home rather than seen from afar, the
    /// first where there are several.
    pub fn customer(&self) -> Option<&Party> {
        let outside = |p: &&Party| p.kind == PartyKind::External && self.is_root(&p.call);
        let mut parties = self.parties().filter(outside);
        parties.clone().find(|p| !p.remote).or_else(|| parties.next())
    }

    /// The parties that are of the root call and still there.
    pub fn present(&self) -> impl Iterator<Item = &Party> {
        self.parties().filter(|p| p.is_here() && self.is_root(&p.call))
    }

    /// The open leg of a person.
    pub fn open_leg_of_person(&self, person: &str) -> Option<&Leg> {
        let stands = |leg: &&Leg| {
            self.parties
                .iter()
                .any(|p| p.person.as_deref() == Some(person) && leg.subjects.contains(&p.id))
        };
        self.open_legs().filter(|leg| leg.kind == LegKind::User).find(stands)
    }

    /// Whether every call of it has ended.
    pub fn is_over(&self) -> bool {
        self.calls.values().all(|call| call.deleted)
    }
}
