//! What Genesys Cloud is to be told: the 18 voice events of `POST /api/v2/events/conversations`
//! (`BatchConversationEventRequest`, gc-api section 3.3), with all their fields.

use serde::{Deserialize, Serialize};

/// One event for one conversation, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationCommand {
    /// V4 UUID of the event; the same for ever (DESIGN law 5).
    pub event_id: String,
    /// V4 UUID of the conversation; also the key of the record.
    pub conversation_id: String,
    /// Order within the conversation: dense, from 1.
    pub seq: i64,
    /// When it happened, milliseconds since 1970; strictly increasing within the conversation.
    pub event_date_time_ms: i64,
    /// Routing domain.
    pub domain: String,
    /// Root CallUUID.
    pub call_uuid: String,
    /// Place of the raw record that caused it, `topic/partition@offset`.
    pub cause: String,
    /// The event.
    pub event: VoiceEvent,
}

/// What a leg can hear and say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioState {
    /// It hears the others.
    pub can_hear: bool,
    /// The others hear it.
    pub can_speak: bool,
}

/// How a leg began (`InitialConfiguration`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitialConfiguration {
    /// What it can hear and say.
    pub audio_state: Option<AudioState>,
    /// It alerts and is not yet connected.
    pub alerting: Option<bool>,
    /// Towards the contact centre.
    pub inbound: Option<bool>,
    /// The leg that invited it.
    pub invited_by: Option<String>,
    /// It is being recorded from its beginning.
    pub recording_active: Option<bool>,
}

/// Where a leg comes from (`SourceConfiguration`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceConfiguration {
    /// The presence source that stands for the external platform.
    pub source_id: String,
    /// The external platform's id: the root CallUUID.
    pub interaction_id: String,
    /// Tag of the conversation.
    pub tag_id: Option<String>,
}

/// How a communication ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisconnectType {
    /// Something went wrong.
    Error,
    /// The other side hung up.
    Peer,
    /// This party hung up.
    #[serde(rename = "Self")]
    SelfEnded,
    /// The system removed it.
    System,
    /// It was transferred to a phone.
    Transfer,
    /// It was transferred to a queue.
    #[serde(rename = "TransferACD")]
    TransferAcd,
    /// It was merged into a conference.
    TransferConference,
    /// It completed a consult transfer.
    TransferConsult,
    /// It was transferred to an agent.
    TransferUser,
}

/// Whether the initiator stays until the destination accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferType {
    /// It stays.
    Attended,
    /// It leaves at once.
    Unattended,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinalState {
    /// The destination has the call.
    Completed,
    /// It was given up.
    Canceled,
    /// The destination did not take it.
    Failed,
}

/// One event of the batch, by its array. The order of the variants is the order of the Avro union.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VoiceEvent {
    /// The customer joined.
    ExternalEstablished(ExternalEstablished),
    /// An IVR joined.
    IvrEstablished(IvrEstablished),
    /// Another phone joined.
    PhoneEstablished(PhoneEstablished),
    /// The conversation waits in a queue.
    RoutingEstablished(RoutingEstablished),
    /// An agent joined.
    UserEstablished(UserEstablished),
    /// An alerting leg was answered.
    CommunicationAnswered(CommunicationAnswered),
    /// A leg ended.
    CommunicationEnded(CommunicationEnded),
    /// After-call work of a leg is done.
    CommunicationDispositionApplied(CommunicationDispositionApplied),
    /// A leg was held or retrieved.
    HoldUpdated(HoldUpdated),
    /// What a leg can hear or say changed.
    AudioUpdated(AudioUpdated),
    /// A transfer to a queue began.
    RoutingTransfer(RoutingTransfer),
    /// A transfer to an agent began.
    UserTransfer(UserTransfer),
    /// A transfer to a phone number began.
    PhoneTransfer(PhoneTransfer),
    /// The destination leg of a transfer is there.
    ProgressTransfer(ProgressTransfer),
    /// A transfer is over.
    EndTransfer(EndTransfer),
    /// A consult began.
    ConsultTransfer(ConsultTransfer),
    /// The consulted leg is there, or is another one.
    ProgressConsultTransfer(ProgressConsultTransfer),
    /// The consult is over.
    EndConsultTransfer(EndConsultTransfer),
}

impl VoiceEvent {
    /// Name of the array of the batch it belongs to (`BatchConversationEventRequest`).
    pub const fn array(&self) -> &'static str {
        match self {
            Self::ExternalEstablished(_) => "externalEstablishedEvents",
            Self::IvrEstablished(_) => "ivrEstablishedEvents",
            Self::PhoneEstablished(_) => "phoneEstablishedEvents",
            Self::RoutingEstablished(_) => "routingEstablishedEvents",
            Self::UserEstablished(_) => "userEstablishedEvents",
            Self::CommunicationAnswered(_) => "communicationAnsweredEvents",
            Self::CommunicationEnded(_) => "communicationEndedEvents",
            Self::CommunicationDispositionApplied(_) => "communicationDispositionAppliedEvents",
            Self::HoldUpdated(_) => "holdUpdatedEvents",
            Self::AudioUpdated(_) => "audioUpdatedEvents",
            Self::RoutingTransfer(_) => "routingTransferEvents",
            Self::UserTransfer(_) => "userTransferEvents",
            Self::PhoneTransfer(_) => "phoneTransferEvents",
            Self::ProgressTransfer(_) => "progressTransferEvents",
            Self::EndTransfer(_) => "endTransferEvents",
            Self::ConsultTransfer(_) => "consultTransferEvents",
            Self::ProgressConsultTransfer(_) => "progressConsultTransferEvents",
            Self::EndConsultTransfer(_) => "endConsultTransferEvents",
        }
    }

    /// The leg it is about; of a transfer event, none.
    pub fn communication(&self) -> Option<&str> {
        match self {
            Self::ExternalEstablished(e) => Some(&e.communication_id),
            Self::IvrEstablished(e) => Some(&e.communication_id),
            Self::PhoneEstablished(e) => Some(&e.communication_id),
            Self::RoutingEstablished(e) => Some(&e.communication_id),
            Self::UserEstablished(e) => Some(&e.communication_id),
            Self::CommunicationAnswered(e) => Some(&e.communication_id),
            Self::CommunicationEnded(e) => Some(&e.communication_id),
            Self::CommunicationDispositionApplied(e) => Some(&e.communication_id),
            Self::HoldUpdated(e) => Some(&e.communication_id),
            Self::AudioUpdated(e) => Some(&e.communication_id),
            Self::RoutingTransfer(_)
            | Self::UserTransfer(_)
            | Self::PhoneTransfer(_)
            | Self::ProgressTransfer(_)
            | Self::EndTransfer(_)
            | Self::ConsultTransfer(_)
            | Self::ProgressConsultTransfer(_)
            | Self::EndConsultTransfer(_) => None,
        }
    }
}

/// The customer joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEstablished {
    /// The leg.
    pub communication_id: String,
    /// Calling number.
    pub ani: Option<String>,
    /// Name of the calling number.
    pub ani_name: Option<String>,
    /// Dialled number.
    pub dnis: Option<String>,
    /// Name of the dialled number.
    pub dnis_name: Option<String>,
    /// How the leg began.
    pub initial_configuration: InitialConfiguration,
    /// Where it comes from.
    pub source_configuration: SourceConfiguration,
}

/// An IVR joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IvrEstablished {
    /// The leg.
    pub communication_id: String,
    /// Number of the IVR.
    pub ivr_phone_number: Option<String>,
    /// Name of the IVR.
    pub ivr_name: Option<String>,
    /// Calling number.
    pub ani: Option<String>,
    /// Dialled number.
    pub dnis: Option<String>,
    /// How the leg began.
    pub initial_configuration: InitialConfiguration,
    /// Where it comes from.
    pub source_configuration: SourceConfiguration,
}

/// Another phone joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhoneEstablished {
    /// The leg.
    pub communication_id: String,
    /// Number by which it was reached.
    pub phone_number: Option<String>,
    /// Calling number.
    pub ani: Option<String>,
    /// Dialled number.
    pub dnis: Option<String>,
    /// How the leg began.
    pub initial_configuration: InitialConfiguration,
    /// Where it comes from.
    pub source_configuration: SourceConfiguration,
}

/// The conversation waits in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingEstablished {
    /// The leg.
    pub communication_id: String,
    /// Number by which it was reached.
    pub phone_number: Option<String>,
    /// GC queue.
    pub queue_id: String,
    /// Calling number.
    pub ani: Option<String>,
    /// Dialled number.
    pub dnis: Option<String>,
    /// GC skills asked for.
    pub skill_ids: Option<Vec<String>>,
    /// GC language asked for.
    pub language_id: Option<String>,
    /// How the leg began.
    pub initial_configuration: InitialConfiguration,
    /// Where it comes from.
    pub source_configuration: SourceConfiguration,
}

/// An agent joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserEstablished {
    /// The leg.
    pub communication_id: String,
    /// Number by which it was reached.
    pub phone_number: Option<String>,
    /// GC user.
    pub user_id: String,
    /// GC station.
    pub station_id: Option<String>,
    /// Calling number.
    pub ani: Option<String>,
    /// Dialled number.
    pub dnis: Option<String>,
    /// Whether the user must do after-call work.
    pub after_call_work_required: Option<bool>,
    /// GC queue.
    pub queue_id: Option<String>,
    /// How the leg began.
    pub initial_configuration: InitialConfiguration,
    /// Where it comes from.
    pub source_configuration: SourceConfiguration,
}

/// An alerting leg was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationAnswered {
    /// The leg.
    pub communication_id: String,
}

/// A leg ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationEnded {
    /// The leg.
    pub communication_id: String,
    /// How it ended.
    pub disconnect_type: DisconnectType,
    /// Where it went, if conversations were merged.
    pub destination_conversation_id: Option<String>,
}

/// After-call work of a leg is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationDispositionApplied {
    /// The leg.
    pub communication_id: String,
    /// Wrap-up code; absent: the disposition was skipped.
    pub code: Option<String>,
    /// The agent's notes.
    pub notes: Option<String>,
    /// The agent's tags.
    pub tags: Option<Vec<String>>,
}

/// A leg was held or retrieved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldUpdated {
    /// The leg.
    pub communication_id: String,
    /// Whether it is held from then on.
    pub held: bool,
}

/// What a leg can hear or say changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioUpdated {
    /// The leg.
    pub communication_id: String,
    /// What it can hear and say.
    pub audio_state: AudioState,
}

/// A transfer to a queue began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingTransfer {
    /// Attended or not.
    pub transfer_type: TransferType,
    /// Names the transfer.
    pub command_id: String,
    /// The leg that transfers.
    pub initiating_communication_id: String,
    /// The leg that is transferred away from.
    pub target_communication_id: String,
    /// The leg that is transferred.
    pub object_communication_id: String,
    /// GC queue it goes to.
    pub destination_queue_id: String,
    /// GC language asked for.
    pub language_id: Option<String>,
    /// GC skills asked for.
    pub skill_ids: Option<Vec<String>>,
}

/// A transfer to an agent began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTransfer {
    /// Attended or not.
    pub transfer_type: TransferType,
    /// Names the transfer.
    pub command_id: String,
    /// The leg that transfers.
    pub initiating_communication_id: String,
    /// The leg that is transferred away from.
    pub target_communication_id: String,
    /// The leg that is transferred.
    pub object_communication_id: String,
    /// GC user it goes to.
    pub destination_user_id: String,
}

/// A transfer to a phone number began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhoneTransfer {
    /// Attended or not.
    pub transfer_type: TransferType,
    /// Names the transfer.
    pub command_id: String,
    /// The leg that transfers.
    pub initiating_communication_id: String,
    /// The leg that is transferred away from.
    pub target_communication_id: String,
    /// The leg that is transferred.
    pub object_communication_id: String,
    /// Number it goes to.
    pub destination_phone_number: String,
}

/// The destination leg of a transfer is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressTransfer {
    /// Names the transfer.
    pub command_id: String,
    /// The leg that is transferred.
    pub object_communication_id: String,
    /// The leg it goes to.
    pub destination_communication_id: String,
}

/// A transfer is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndTransfer {
    /// Names the transfer.
    pub command_id: String,
    /// How the transfer ended.
    pub final_state: FinalState,
    /// The leg that is transferred.
    pub object_communication_id: String,
}

/// A consult began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsultTransfer {
    /// The leg that transfers.
    pub initiating_communication_id: String,
    /// The leg it goes to.
    pub destination_communication_id: String,
    /// The leg that is transferred.
    pub object_communication_id: String,
}

/// The consulted leg is there, or is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressConsultTransfer {
    /// The leg that transfers.
    pub initiating_communication_id: String,
    /// The leg it goes to.
    pub destination_communication_id: String,
    /// The leg that is transferred.
    pub object_communication_id: String,
}

/// The consult is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndConsultTransfer {}
