//! The request: `BatchConversationEventRequest` (gc-api section 3.3).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use trunkline_schemas::time::iso_millis;
use trunkline_schemas::{ConversationCommand, VoiceEvent};

use crate::delivery::Batch;

/// Path of the operation `POST /api/v2/events/conversations`.
pub const PATH: &str = "/api/v2/events/conversations";

/// The request that tells these commands.
///
/// The same commands give the same body in whatever order they come: the arrays stand in the
/// alphabetical order of their names, the events in an array by (time, conversation, `seq`).
/// Members that are `None` are left out.
pub fn request(commands: &[ConversationCommand]) -> Batch {
    let mut sorted: Vec<&ConversationCommand> = commands.iter().collect();
    sorted.sort_by_key(|c| (c.event_date_time_ms, c.conversation_id.as_str(), c.seq));
    let mut arrays: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    for command in sorted {
        arrays.entry(command.event.array()).or_default().push(event(command));
    }
    let body = arrays.into_iter().map(|(name, events)| (name.to_owned(), Value::Array(events)));
    Batch { path: PATH, body: Value::Object(body.collect()) }
}

fn event(command: &ConversationCommand) -> Value {
    let mut members = Map::new();
    members.insert("eventId".into(), command.event_id.clone().into());
    members.insert("eventDateTime".into(), iso_millis(command.event_date_time_ms).into());
    members.insert("conversationId".into(), command.conversation_id.clone().into());
    if let Value::Object(own) = own_members(&command.event) {
        members.extend(own);
    }
    without_nulls(Value::Object(members))
}

/// The members of the event itself: `VoiceEvent` is one of these, named by its variant.
fn own_members(event: &VoiceEvent) -> Value {
    let named = serde_json::to_value(event).expect("strings, numbers and booleans become JSON");
    match named {
        Value::Object(one) => one.into_iter().next().map_or(Value::Null, |(_, members)| members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Value::Null
        }
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trunkline_schemas::command::{
        CommunicationEnded, DisconnectType, EndConsultTransfer, ExternalEstablished,
        InitialConfiguration, SourceConfiguration,
    };

    use super::*;

    fn command(conversation: &str, seq: i64, at_ms: i64, event: VoiceEvent) -> ConversationCommand {
        ConversationCommand {
            event_id: format!("{conversation}-{seq}"),
            conversation_id: conversation.into(),
            seq,
            event_date_time_ms: at_ms,
            domain: "d".into(),
            call_uuid: "C".into(),
            cause: "raw.tlib/0@1".into(),
            event,
        }
    }

    fn ended(leg: &str) -> VoiceEvent {
        VoiceEvent::CommunicationEnded(CommunicationEnded {
            communication_id: leg.into(),
            disconnect_type: DisconnectType::SelfEnded,
            destination_conversation_id: None,
        })
    }

    #[test]
    fn a_batch_has_the_shape_of_the_published_model() {
        let external = VoiceEvent::ExternalEstablished(ExternalEstablished {
            communication_id: "ext".into(),
            ani: Some("+15551230001".into()),
            initial_configuration: InitialConfiguration {
                alerting: Some(false),
                inbound: Some(true),
                ..InitialConfiguration::default()
            },
            source_configuration: SourceConfiguration {
                source_id: "s".into(),
                interaction_id: "C".into(),
                tag_id: None,
            },
            ..ExternalEstablished::default()
        });
        let t = 1_729_857_600_001;
        let commands = [
            command("b", 3, t + 5, VoiceEvent::EndConsultTransfer(EndConsultTransfer {})),
            command("b", 2, t, ended("two")),
            command("a", 9, t, ended("one")),
            command("a", 1, t, external),
        ];
        let batch = request(&commands);
        let expected = json!({
            "communicationEndedEvents": [
                {"eventId": "a-9", "eventDateTime": "2024-10-25T12:00:00.001Z",
                 "conversationId": "a", "communicationId": "one", "disconnectType": "Self"},
                {"eventId": "b-2", "eventDateTime": "2024-10-25T12:00:00.001Z",
                 "conversationId": "b", "communicationId": "two", "disconnectType": "Self"}],
            "endConsultTransferEvents": [
                {"eventId": "b-3", "eventDateTime": "2024-10-25T12:00:00.006Z",
                 "conversationId": "b"}],
            "externalEstablishedEvents": [
                {"eventId": "a-1", "eventDateTime": "2024-10-25T12:00:00.001Z",
                 "conversationId": "a", "communicationId": "ext", "ani": "+15551230001",
                 "initialConfiguration": {"alerting": false, "inbound": true},
                 "sourceConfiguration": {"sourceId": "s", "interactionId": "C"}}],
        });
        assert_eq!(batch, Batch { path: "/api/v2/events/conversations", body: expected });

        let names: Vec<&String> = batch.body.as_object().expect("an object").keys().collect();
        assert!(names.is_sorted(), "arrays in alphabetical order: {names:?}");
        let mut turned = commands;
        turned.reverse();
        assert_eq!(request(&turned).body.to_string(), batch.body.to_string());
    }
}
