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

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trunkline_schemas::command::{CommunicationEnded, DisconnectType};
use trunkline_schemas::{ConversationCommand, VoiceEvent, ids};

use crate::delivery::Knowledge;

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

/// What is kept of one conversation beside what every sink keeps (`state.conversation-sink`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Known {
    /// Routing domain.
    pub domain: String,
    /// Root CallUUID.
    pub call_uuid: String,
    /// The legs GC accepted.
    pub legs: BTreeMap<String, Leg>,
    /// Whether it may be told freely.
    pub gate: Gate,
    /// Time of the last event accepted, milliseconds since 1970.
    pub last_ms: i64,
    /// An end decided and not yet answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_end: Option<GateEnd>,
}

impl Knowledge<ConversationCommand> for Known {
    fn met(&mut self, command: &ConversationCommand) {
        self.domain.clone_from(&command.domain);
        self.call_uuid.clone_from(&command.call_uuid);
    }

    fn passes(&self, command: &ConversationCommand) -> bool {
        match (self.gate, ended_leg(&command.event)) {
            (Gate::Open, _) => true,
            (Gate::Closed, Some(leg)) => self.legs.get(leg) == Some(&Leg::Open),
            (Gate::Closed, None) => false,
        }
    }

    /// Behind a closed gate the next event may have to be gated, depending on the answer.
    fn is_careful(&self) -> bool {
        self.gate == Gate::Closed
    }

    fn applied(&mut self, command: &ConversationCommand) {
        self.last_ms = self.last_ms.max(command.event_date_time_ms);
        if let Some(leg) = ended_leg(&command.event) {
            self.legs.insert(leg.to_owned(), Leg::Ended);
            self.forget_gate_end(&command.event_id);
        } else if let Some(leg) = established_leg(&command.event) {
            self.legs.insert(leg.to_owned(), Leg::Open);
        }
    }

    fn refused(&mut self, command: &ConversationCommand) {
        if let Some(leg) = self.forget_gate_end(&command.event_id) {
            self.legs.insert(leg, Leg::Lost);
        }
        if !is_optional(&command.event) {
            self.gate = Gate::Closed;
        }
    }

    fn unreadable(&mut self) {
        self.gate = Gate::Closed;
    }

    /// Whether no leg is open.
    fn is_over(&self) -> bool {
        !self.legs.values().any(|leg| *leg == Leg::Open)
    }

    /// A party is left alone, and its own end is not at the head, soon enough after the last event.
    fn owes(&self, head: Option<&ConversationCommand>) -> bool {
        let ends = |leg, command| self.ends_in_time(leg, command);
        self.left_alone().is_some_and(|leg| !head.is_some_and(|command| ends(leg, command)))
    }

    /// Decides the end of the party left alone, 1 ms after the last event.
    fn decide(&mut self) -> bool {
        let Some(leg) = self.left_alone().map(str::to_owned) else { return false };
        self.gate_end = Some(GateEnd { leg, at_ms: self.last_ms.saturating_add(1) });
        true
    }

    fn decided(&self, conversation_id: &str, seq: i64) -> Option<ConversationCommand> {
        let end = self.gate_end.as_ref()?;
        Some(ConversationCommand {
            event_id: gate_end_id(&end.leg),
            conversation_id: conversation_id.to_owned(),
            seq,
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
}

impl Known {
    fn forget_gate_end(&mut self, event_id: &str) -> Option<String> {
        let of_gate = |end: &GateEnd| gate_end_id(&end.leg) == event_id;
        self.gate_end.take_if(|end| of_gate(end)).map(|end| end.leg)
    }

    /// The one open leg of a conversation whose gate is closed and in which another leg has ended,
    /// unless its end is decided already.
    fn left_alone(&self) -> Option<&str> {
        let mut open = self.legs.iter().filter(|(_, leg)| **leg == Leg::Open);
        let (Some((alone, _)), None) = (open.next(), open.next()) else { return None };
        let one_has_gone = self.legs.values().any(|leg| *leg == Leg::Ended);
        let is_left = self.gate == Gate::Closed && one_has_gone && self.gate_end.is_none();
        is_left.then_some(alone.as_str())
    }

    fn ends_in_time(&self, leg: &str, command: &ConversationCommand) -> bool {
        ended_leg(&command.event) == Some(leg)
            && command.event_date_time_ms <= self.last_ms.saturating_add(ALONE_MS)
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
