//! Bodies of the events operations, read strictly, and what those of `POST
//! /api/v2/events/conversations` say (gc-api section 3.3).
//!
//! What is not in the table of shapes, has the wrong type or is missing fails the whole request, as
//! `invalid.property` and its like.

use serde_json::{Map, Value};

use super::schema::{
    ARRAYS, Array, BadRequest, COMMON, Field, Says, bad, check, milliseconds, unknown_member,
};
use crate::truth::LegKind;

/// The most events one request may carry, all arrays together (gc-api section 3).
pub(super) const BATCH_EVENTS_MAX: usize = 100;

/// One event of a request, with its body as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Event<A = Act> {
    /// The array it stood in.
    pub(super) array: &'static str,
    /// `eventId`.
    pub(super) id: String,
    /// Within which order holds: the conversation, or the user.
    pub(super) key: String,
    /// `eventDateTime` in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// What it says.
    pub(super) act: A,
    /// The JSON object.
    pub(super) body: Value,
}

/// What an event says. Strings are communication ids unless named otherwise.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A leg begins.
    Established(Established),
    /// `routingTransfer`, `userTransfer` or `phoneTransfer`.
    TransferStarted { command: String, named: [String; 2], object: String, to: Option<GcId> },
    /// `progressTransfer`.
    TransferProgressed { command: String, object: String, destination: String },
    /// `endTransfer`.
    TransferEnded { command: String, object: String, completed: bool },
    /// `consultTransfer`.
    ConsultStarted(Consult),
    /// `progressConsultTransfer`.
    ConsultProgressed(Consult),
    /// `endConsultTransfer`.
    ConsultEnded,
    /// `communicationAnswered`.
    Answered(String),
    /// `holdUpdated`.
    Held(String, bool),
    /// `audioUpdated`.
    AudioUpdated(String),
    /// `communicationDispositionApplied`.
    Disposed(String, Option<GcId>),
    /// `communicationEnded` with its disconnect type.
    Ended(String, String),
}

/// An `*Established` event.
#[derive(Clone, Debug)]
pub(super) struct Established {
    pub(super) communication: String,
    pub(super) kind: LegKind,
    /// The user of a user's leg, the queue of a queue's.
    pub(super) id: Option<GcId>,
    /// The queue a user calls on behalf of.
    pub(super) behalf: Option<GcId>,
    pub(super) alerting: bool,
    pub(super) invited_by: Option<String>,
    pub(super) source_id: String,
    pub(super) interaction_id: String,
}

/// The three parties of a consult.
#[derive(Clone, Debug)]
pub(super) struct Consult {
    pub(super) initiating: String,
    pub(super) destination: String,
    pub(super) object: String,
}

/// An id that the organisation itself gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GcId {
    User(String),
    Queue(String),
    WrapUpCode(String),
}

/// The events of a request, or why it is refused whole.
pub(super) type Events<A = Act> = Result<Vec<Event<A>>, BadRequest>;

/// Makes an event of the fields of an item and of the item itself.
type MakeEvent<S, A> = fn(&Array<S>, &Map<String, Value>, Value) -> Event<A>;

/// Reads the body of a request about conversations.
pub(super) fn parse(body: &[u8]) -> Events {
    read(body, "BatchConversationEventRequest", COMMON, &ARRAYS, event)
}

/// Reads a request body into its events, in order of `eventDateTime`: the place in an array says
/// nothing. Equal times keep the order of the table.
pub(super) fn read<S, A>(
    body: &[u8],
    model: &str,
    common: &'static [Field],
    arrays: &[Array<S>],
    event: MakeEvent<S, A>,
) -> Events<A> {
    let root: Value = serde_json::from_slice(body)
        .map_err(|error| bad("bad.request", format!("The request body is not JSON: {error}")))?;
    let Value::Object(batch) = root else {
        return Err(bad("bad.request", "The request body is not a JSON object".to_owned()));
    };
    if let Some(name) = batch.keys().find(|name| arrays.iter().all(|array| array.name != **name)) {
        return Err(unknown_member(name, model));
    }
    let mut events = Vec::new();
    for array in arrays {
        let Some(list) = batch.get(array.name) else { continue };
        let Value::Array(items) = list else {
            return Err(bad("invalid.value", format!("{} is not an array", array.name)));
        };
        for (index, item) in items.iter().enumerate() {
            let place = format!("{}[{index}]", array.name);
            let fields = check(item, array.model, &[common, array.fields], &place)?;
            events.push(event(array, fields, item.clone()));
        }
    }
    check_size(events.len())?;
    events.sort_by_key(|event| event.at_ms);
    Ok(events)
}

fn check_size(events: usize) -> Result<(), BadRequest> {
    match events {
        0 => Err(bad("zero.events.submitted", "A minimum of 1 event must be submitted".to_owned())),
        1..=BATCH_EVENTS_MAX => Ok(()),
        _ => Err(bad(
            "max.batch.size.surpassed",
            "Max allowed event count per request has been surpassed. Max batch size is 100"
                .to_owned(),
        )),
    }
}

fn event(array: &Array, fields: &Map<String, Value>, body: Value) -> Event {
    Event {
        array: array.name,
        id: text(fields, "eventId"),
        key: text(fields, "conversationId"),
        at_ms: moment(fields),
        act: act(array.says, fields),
        body,
    }
}

fn act(says: Says, fields: &Map<String, Value>) -> Act {
    let communication = || text(fields, "communicationId");
    let command = || text(fields, "commandId");
    let object = || text(fields, "objectCommunicationId");
    let initiating = || text(fields, "initiatingCommunicationId");
    let destination = || text(fields, "destinationCommunicationId");
    let consult =
        || Consult { initiating: initiating(), destination: destination(), object: object() };
    match says {
        Says::Established(kind) => Act::Established(established(kind, fields)),
        Says::TransferStarted => Act::TransferStarted {
            command: command(),
            named: [initiating(), text(fields, "targetCommunicationId")],
            object: object(),
            to: optional(fields, "destinationQueueId")
                .map(GcId::Queue)
                .or_else(|| optional(fields, "destinationUserId").map(GcId::User)),
        },
        Says::TransferProgressed => Act::TransferProgressed {
            command: command(),
            object: object(),
            destination: destination(),
        },
        Says::TransferEnded => Act::TransferEnded {
            command: command(),
            object: object(),
            completed: text(fields, "finalState") == "Completed",
        },
        Says::ConsultStarted => Act::ConsultStarted(consult()),
        Says::ConsultProgressed => Act::ConsultProgressed(consult()),
        Says::ConsultEnded => Act::ConsultEnded,
        Says::Answered => Act::Answered(communication()),
        Says::Held => Act::Held(communication(), flag(fields, "held")),
        Says::AudioUpdated => Act::AudioUpdated(communication()),
        Says::Disposed => {
            Act::Disposed(communication(), optional(fields, "code").map(GcId::WrapUpCode))
        }
        Says::Ended => Act::Ended(communication(), text(fields, "disconnectType")),
    }
}

fn established(kind: LegKind, fields: &Map<String, Value>) -> Established {
    let part = |name| {
        fields.get(name).and_then(Value::as_object).expect("the table demands both configurations")
    };
    let (initial, source) = (part("initialConfiguration"), part("sourceConfiguration"));
    let queue = || optional(fields, "queueId").map(GcId::Queue);
    let (id, behalf) = match kind {
        LegKind::User => (optional(fields, "userId").map(GcId::User), queue()),
        LegKind::Routing => (queue(), None),
        LegKind::External | LegKind::Ivr | LegKind::Phone => (None, None),
    };
    Established {
        communication: text(fields, "communicationId"),
        kind,
        id,
        behalf,
        alerting: flag(initial, "alerting"),
        invited_by: optional(initial, "invitedBy"),
        source_id: text(source, "sourceId"),
        interaction_id: text(source, "interactionId"),
    }
}

pub(super) fn optional(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(ToOwned::to_owned)
}

/// `eventDateTime`.
pub(super) fn moment(fields: &Map<String, Value>) -> i64 {
    let at_ms = fields.get("eventDateTime").and_then(Value::as_str).and_then(milliseconds);
    at_ms.expect("the table demands a moment")
}

pub(super) fn text(fields: &Map<String, Value>, name: &str) -> String {
    optional(fields, name).expect("the table demands this field")
}

fn flag(fields: &Map<String, Value>, name: &str) -> bool {
    fields.get(name).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "63540cb0-ac0e-487f-9287-b98d8b621158";

    fn ended(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
        let mut event = json!({
            "eventId": ID, "eventDateTime": "2024-10-25T12:00:30.001Z", "conversationId": ID,
            "communicationId": ID, "disconnectType": "Self",
        });
        change(event.as_object_mut().expect("an object"));
        json!({ "communicationEndedEvents": [event] }).to_string().into_bytes()
    }

    fn with(name: &str, value: Value) -> Vec<u8> {
        ended(|event| drop(event.insert(name.to_owned(), value)))
    }

    #[test]
    fn whole_requests_are_refused_with_the_code_of_their_fault() {
        let many = json!({ "holdUpdatedEvents": vec![json!({
            "eventId": ID, "eventDateTime": "2024-10-25T12:00:30Z", "conversationId": ID,
            "communicationId": ID, "held": true }); 101] });
        let deep = "[".repeat(100_000);
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (b"{".to_vec(), "bad.request"),
            (deep.into_bytes(), "bad.request"),
            (b"\xff".to_vec(), "bad.request"),
            (b"[]".to_vec(), "bad.request"),
            (b"{}".to_vec(), "zero.events.submitted"),
            (br#"{"endTransferEvents":[]}"#.to_vec(), "zero.events.submitted"),
            (br#"{"endTransferEvents":{}}"#.to_vec(), "invalid.value"),
            (br#"{"endTransferEvents":[1]}"#.to_vec(), "invalid.value"),
            (br#"{"somethingElse":[]}"#.to_vec(), "invalid.property"),
            (many.to_string().into_bytes(), "max.batch.size.surpassed"),
            (with("colour", json!("red")), "invalid.property"),
            (ended(|event| drop(event.remove("disconnectType"))), "constraint.validation"),
            (ended(|event| drop(event.remove("eventId"))), "constraint.validation"),
            (with("disconnectType", json!("Bored")), "invalid.value"),
            (with("eventId", json!(ID.to_uppercase())), "invalid.value"),
            (with("eventId", json!("63540cb0-ac0e-587f-9287-b98d8b621158")), "invalid.value"),
            (with("eventId", json!("63540cb0-ac0e-487f-c287-b98d8b621158")), "invalid.value"),
            (with("communicationId", json!(null)), "invalid.value"),
            (with("eventDateTime", json!("2024-10-25 12:00:30Z")), "invalid.date"),
            (with("eventDateTime", json!("2024-10-25T12:00:30.1Z")), "invalid.date"),
            (with("eventDateTime", json!("2024-10-25T12:00:30+00:00")), "invalid.date"),
            (with("eventDateTime", json!("2024-13-25T12:00:30Z")), "invalid.date"),
            (with("eventDateTime", json!(1)), "invalid.date"),
        ];
        for (body, code) in cases {
            let error = parse(&body).expect_err(code);
            let start = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
            assert_eq!(error.code, code, "{start}: {}", error.message);
        }
    }

    #[test]
    fn milliseconds_are_optional_and_ids_of_the_organisation_need_not_be_v4() {
        let body = json!({ "userEstablishedEvents": [{
            "eventId": ID, "eventDateTime": "2024-10-25T12:00:30Z", "conversationId": ID,
            "communicationId": ID, "userId": "d2390a99-8546-bad9-8f0a-219548e8aeb0",
            "initialConfiguration": { "additionalInfo": { "a": "b" }, "audioState": {} },
            "sourceConfiguration": { "sourceId": ID, "interactionId": "1" } }] });
        let events = parse(body.to_string().as_bytes()).expect("a legal request");
        assert_eq!(events.first().map(|event| event.at_ms), Some(1_729_857_630_000));
    }

    #[test]
    fn unknown_members_of_nested_objects_are_named_with_their_model() {
        let body = json!({ "audioUpdatedEvents": [{
            "eventId": ID, "eventDateTime": "2024-10-25T12:00:30Z", "conversationId": ID,
            "communicationId": ID, "audioState": { "canSing": true } }] });
        let error = parse(body.to_string().as_bytes()).expect_err("canSing");
        assert_eq!(
            error.message,
            "Value [canSing] is not a valid property for object [AudioState]"
        );
    }
}
