//! Conversations written as text, and the caller's loop around the sink.
//!
//! An event is a leg and a sign: `ext+` established, `a?` answered, `a-` ended, `ah` held, `a>` a
//! transfer to it. They follow each other by a second of event time; `a-.` follows by 1 ms.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub(crate) mod durable;

use trunkline_schemas::command::{
    CommunicationAnswered, CommunicationEnded, DisconnectType, ExternalEstablished, HoldUpdated,
    TransferType, UserEstablished, UserTransfer,
};
use trunkline_schemas::{
    ConversationCommand, Outcome, Record, Stored, VoiceEvent, codec, ids, topics,
};

use durable::Durable;

pub(crate) const START_MS: i64 = 1_700_000_000_000;

pub(crate) fn event(text: &str) -> VoiceEvent {
    let text = text.trim_end_matches('.');
    let (leg, sign) = text.split_at(text.len() - 1);
    let communication_id = leg.to_owned();
    match (leg, sign) {
        ("ext", "+") => VoiceEvent::ExternalEstablished(ExternalEstablished {
            communication_id,
            ..ExternalEstablished::default()
        }),
        (_, "+") => VoiceEvent::UserEstablished(UserEstablished {
            communication_id,
            ..UserEstablished::default()
        }),
        (_, "?") => VoiceEvent::CommunicationAnswered(CommunicationAnswered { communication_id }),
        (_, "-") => VoiceEvent::CommunicationEnded(CommunicationEnded {
            communication_id,
            disconnect_type: DisconnectType::Peer,
            destination_conversation_id: None,
        }),
        (_, "h") => VoiceEvent::HoldUpdated(HoldUpdated { communication_id, held: true }),
        (_, ">") => VoiceEvent::UserTransfer(UserTransfer {
            transfer_type: TransferType::Unattended,
            command_id: communication_id,
            initiating_communication_id: "q".into(),
            target_communication_id: "q".into(),
            object_communication_id: "ext".into(),
            destination_user_id: "u".into(),
        }),
        _ => panic!("no event {text}"),
    }
}

/// The text of an event; the sink's own end of a leg is `leg-!`.
pub(crate) fn text(event: &VoiceEvent) -> String {
    let sign = match event {
        VoiceEvent::ExternalEstablished(_) | VoiceEvent::UserEstablished(_) => "+",
        VoiceEvent::CommunicationAnswered(_) => "?",
        VoiceEvent::CommunicationEnded(e) if e.disconnect_type == DisconnectType::System => "-!",
        VoiceEvent::CommunicationEnded(_) => "-",
        VoiceEvent::HoldUpdated(_) => "h",
        VoiceEvent::UserTransfer(e) => return format!("{}>", e.command_id),
        VoiceEvent::IvrEstablished(_)
        | VoiceEvent::PhoneEstablished(_)
        | VoiceEvent::RoutingEstablished(_)
        | VoiceEvent::CommunicationDispositionApplied(_)
        | VoiceEvent::AudioUpdated(_)
        | VoiceEvent::RoutingTransfer(_)
        | VoiceEvent::PhoneTransfer(_)
        | VoiceEvent::ProgressTransfer(_)
        | VoiceEvent::EndTransfer(_)
        | VoiceEvent::ConsultTransfer(_)
        | VoiceEvent::ProgressConsultTransfer(_)
        | VoiceEvent::EndConsultTransfer(_) => panic!("no text for {event:?}"),
    };
    format!("{}{sign}", event.communication().expect("these have a leg"))
}

pub(crate) fn conversation(id: &str, texts: &str) -> Vec<ConversationCommand> {
    let mut at_ms = START_MS;
    let texts = texts.split_whitespace().enumerate();
    let command = |(n, text): (usize, &str)| {
        at_ms += if text.ends_with('.') { 1 } else { 1_000 };
        ConversationCommand {
            event_id: ids::event_id(id, text, n as u32).to_string(),
            conversation_id: id.into(),
            seq: n as i64 + 1,
            event_date_time_ms: at_ms,
            domain: "d".into(),
            call_uuid: "C".into(),
            cause: "raw.tlib/0@1".into(),
            event: event(text),
        }
    };
    texts.map(command).collect()
}

pub(crate) fn stored(offset: i64, append_time_ms: i64, record: Record) -> Stored {
    let (topic, partition) = (topics::COMMAND_CONVERSATION, 3);
    Stored { topic, partition, offset, append_time_ms, record }
}

pub(crate) fn record_of(command: &ConversationCommand) -> Record {
    codec::record(command.conversation_id.as_bytes(), command).expect("a command is encoded")
}

/// What the conversation sink made durable.
pub(crate) type Kept = Durable<Outcome>;

impl Kept {
    /// `ext+ Accepted` and so on, in the order of their commits.
    pub(crate) fn told(&self, commands: &[ConversationCommand]) -> Vec<String> {
        let name = |o: &Outcome| {
            let of = commands.iter().find(|c| Some(&c.event_id) == o.event_id.as_ref());
            let name = of.map_or_else(|| "!".to_owned(), |c| text(&c.event));
            let code = o.code.as_ref().map(|c| format!("/{c}")).unwrap_or_default();
            format!("{name} {:?}{code}", o.status)
        };
        self.outcomes.iter().map(name).collect()
    }
}
