//! What the sink remembers of one conversation, and its gate (DESIGN section 6).
//!
//! After a structural event was refused, Genesys Cloud (GC) and the processor no longer agree on
//! the conversation. From then on the gate lets only the ends of legs pass that GC accepted, and a
//! party left alone is ended, as in the Monitoring Suspension of seed 003.
//!
//! | gate | event | passes |
//! |---|---|---|
//! | open | any | yes |
//! | closed | `communicationEnded` of a leg that GC accepted and that is open | yes |
//! | closed | any other | no: outcome `gated` |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trunkline_schemas::command::{CommunicationEnded, DisconnectType};
use trunkline_schemas::{ConversationCommand, Offset, VoiceEvent, ids};

/// Event ids kept of one conversation. A conversation has 10 to 40 events; of a monstrous one the
/// oldest ids go first, and what was read again is still known by its offset.
pub const MAX_ACCEPTED_IDS: usize = 1_000;

/// An own end that follows within this time (event time, milliseconds) is waited for when one party
/// is left alone: scenarios section 3, invariant f.
pub const ALONE_MS: i64 = 1_000;

/// Whether a conversation may be told freely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// Every event passes.
    #[default]
    Open,
    /// Only ends of legs that GC accepted pass.
    Closed,
}

/// A leg as GC knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leg {
    /// Accepted and not ended.
    Open,
    /// Its end was accepted.
    Ended,
    /// GC refused even the end the sink made for it: nothing more can be done.
    Lost,
}

/// The end the sink itself makes for a party left alone. It is durable before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateEnd {
    /// The leg.
    pub leg: String,
    /// When it ends, milliseconds since 1970.
    pub at_ms: i64,
}

/// The durable state of one conversation (`state.conversation-sink`), as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Routing domain.
    pub domain: String,
    /// Root CallUUID.
    pub call_uuid: String,
    /// The greatest `seq` that is done with.
    pub seq: i64,
    /// All records of the conversation up to this offset are done with.
    pub offset: Option<Offset>,
    /// Records beyond `offset` that are done with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ahead: BTreeSet<Offset>,
    /// Event ids that GC accepted, oldest first.
    pub accepted: Vec<String>,
    /// The legs GC accepted.
    pub legs: BTreeMap<String, Leg>,
    /// Whether it may be told freely.
    pub gate: Gate,
    /// Time of the last event accepted, milliseconds since 1970.
    pub last_ms: i64,
    /// An end decided and not yet answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_end: Option<GateEnd>,
    /// Append time of the last record done with, milliseconds since 1970.
    pub append_ms: i64,
}

impl Memory {
    /// Whether the record at this offset was done with, perhaps before a restart.
    pub fn has_done(&self, offset: Offset) -> bool {
        Some(offset) <= self.offset || self.ahead.contains(&offset)
    }

    /// Whether GC accepted the event.
    pub fn has_accepted(&self, event_id: &str) -> bool {
        self.accepted.iter().any(|id| id == event_id)
    }

    /// Whether the gate lets the event pass.
    pub fn passes(&self, event: &VoiceEvent) -> bool {
        match (self.gate, ended_leg(event)) {
            (Gate::Open, _) => true,
            (Gate::Closed, Some(leg)) => self.legs.get(leg) == Some(&Leg::Open),
            (Gate::Closed, None) => false,
        }
    }

    /// The newest record that is done with.
    pub fn last_done(&self) -> Option<Offset> {
        self.ahead.last().copied().max(self.offset)
    }

    /// GC has the event.
    pub fn applied(&mut self, command: &ConversationCommand) {
        if self.accepted.len() >= MAX_ACCEPTED_IDS {
            self.accepted.remove(0);
        }
        self.accepted.push(command.event_id.clone());
        self.last_ms = self.last_ms.max(command.event_date_time_ms);
        if let Some(leg) = ended_leg(&command.event) {
            self.legs.insert(leg.to_owned(), Leg::Ended);
            self.forget_gate_end(&command.event_id);
        } else if let Some(leg) = established_leg(&command.event) {
            self.legs.insert(leg.to_owned(), Leg::Open);
        }
    }

    /// GC refused the event for good.
    pub fn refused(&mut self, command: &ConversationCommand) {
        if let Some(leg) = self.forget_gate_end(&command.event_id) {
            self.legs.insert(leg, Leg::Lost);
        }
        if !is_optional(&command.event) {
            self.gate = Gate::Closed;
        }
    }

    fn forget_gate_end(&mut self, event_id: &str) -> Option<String> {
        let of_gate = |end: &GateEnd| gate_end_id(&end.leg) == event_id;
        self.gate_end.take_if(|end| of_gate(end)).map(|end| end.leg)
    }

    /// The record at this offset is done with. `open_from` is the oldest record of the conversation
    /// that may not be: the first that waits, or the first that has not been read. (After a restart
    /// records are done with that have not been read again.)
    pub fn done(&mut self, offset: Offset, append_ms: i64, open_from: Offset) {
        self.ahead.insert(offset);
        let beyond = self.ahead.split_off(&open_from);
        self.offset = self.offset.max(self.ahead.last().copied());
        self.ahead = beyond;
        self.append_ms = self.append_ms.max(append_ms);
    }

    /// The one open leg of a conversation whose gate is closed and in which another leg has ended,
    /// unless its end is decided already.
    pub fn left_alone(&self) -> Option<&str> {
        let mut open = self.legs.iter().filter(|(_, leg)| **leg == Leg::Open);
        let (Some((alone, _)), None) = (open.next(), open.next()) else { return None };
        let one_has_gone = self.legs.values().any(|leg| *leg == Leg::Ended);
        let is_left = self.gate == Gate::Closed && one_has_gone && self.gate_end.is_none();
        is_left.then_some(alone.as_str())
    }

    /// Whether this event is the leg's own end, soon enough after the last event.
    pub fn ends_in_time(&self, leg: &str, command: &ConversationCommand) -> bool {
        ended_leg(&command.event) == Some(leg)
            && command.event_date_time_ms <= self.last_ms.saturating_add(ALONE_MS)
    }

    /// Decides the end of the party left alone, 1 ms after the last event.
    pub fn decide_gate_end(&mut self) -> bool {
        let Some(leg) = self.left_alone().map(str::to_owned) else { return false };
        self.gate_end = Some(GateEnd { leg, at_ms: self.last_ms.saturating_add(1) });
        true
    }

    /// The decided end as a command.
    pub fn gate_end_command(&self, conversation_id: &str) -> Option<ConversationCommand> {
        let end = self.gate_end.as_ref()?;
        Some(ConversationCommand {
            event_id: gate_end_id(&end.leg),
            conversation_id: conversation_id.to_owned(),
            seq: self.seq,
            event_date_time_ms: end.at_ms,
            domain: self.domain.clone(),
            call_uuid: self.call_uuid.clone(),
            cause: super::STAGE.to_owned(),
            event: VoiceEvent::CommunicationEnded(CommunicationEnded {
                communication_id: end.leg.clone(),
                disconnect_type: DisconnectType::System,
                destination_conversation_id: None,
            }),
        })
    }

    /// Whether no leg is open.
    pub fn is_over(&self) -> bool {
        !self.legs.values().any(|leg| *leg == Leg::Open)
    }
}

fn gate_end_id(leg: &str) -> String {
    ids::event_id(leg, "gate-end", 1).to_string()
}

/// How an event bears on the legs of the conversation. One table for the three questions below, so
/// that a new event has to be thought of once.
enum Bearing<'a> {
    Establishes(&'a str),
    Ends(&'a str),
    Structural,
    Optional,
}

fn bearing(event: &VoiceEvent) -> Bearing<'_> {
    match event {
        VoiceEvent::ExternalEstablished(e) => Bearing::Establishes(&e.communication_id),
        VoiceEvent::IvrEstablished(e) => Bearing::Establishes(&e.communication_id),
        VoiceEvent::PhoneEstablished(e) => Bearing::Establishes(&e.communication_id),
        VoiceEvent::RoutingEstablished(e) => Bearing::Establishes(&e.communication_id),
        VoiceEvent::UserEstablished(e) => Bearing::Establishes(&e.communication_id),
        VoiceEvent::CommunicationEnded(e) => Bearing::Ends(&e.communication_id),
        VoiceEvent::CommunicationDispositionApplied(_)
        | VoiceEvent::HoldUpdated(_)
        | VoiceEvent::AudioUpdated(_) => Bearing::Optional,
        VoiceEvent::CommunicationAnswered(_)
        | VoiceEvent::RoutingTransfer(_)
        | VoiceEvent::UserTransfer(_)
        | VoiceEvent::PhoneTransfer(_)
        | VoiceEvent::ProgressTransfer(_)
        | VoiceEvent::EndTransfer(_)
        | VoiceEvent::ConsultTransfer(_)
        | VoiceEvent::ProgressConsultTransfer(_)
        | VoiceEvent::EndConsultTransfer(_) => Bearing::Structural,
    }
}

fn established_leg(event: &VoiceEvent) -> Option<&str> {
    match bearing(event) {
        Bearing::Establishes(leg) => Some(leg),
        Bearing::Ends(_) | Bearing::Structural | Bearing::Optional => None,
    }
}

fn ended_leg(event: &VoiceEvent) -> Option<&str> {
    match bearing(event) {
        Bearing::Ends(leg) => Some(leg),
        Bearing::Establishes(_) | Bearing::Structural | Bearing::Optional => None,
    }
}

/// Whether the conversation stays legal without the event.
fn is_optional(event: &VoiceEvent) -> bool {
    match bearing(event) {
        Bearing::Optional => true,
        Bearing::Establishes(_) | Bearing::Ends(_) | Bearing::Structural => false,
    }
}
