//! The shapes of events: the fields of the 18 voice events (gc-api section 3.3) in one table, and
//! the check of any event against its fields.

use serde_json::{Map, Value};

use crate::truth::LegKind;

/// Why a whole request is refused with 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadRequest {
    /// Stable machine key of the error body.
    pub(super) code: &'static str,
    /// The text for people.
    pub(super) message: String,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Type {
    /// An id minted by the sender: a V4 UUID in lower case.
    V4,
    /// An id minted by the organisation: any UUID.
    Uuid,
    Text,
    Flag,
    Moment,
    OneOf(&'static [&'static str]),
    Texts,
    Uuids,
    TextMap,
    Object(&'static str, &'static [Field]),
    Objects(&'static str, &'static [Field]),
    /// A number of these bounds, in tenths.
    Tenths(u32, u32),
    /// Whatever a model says that this organisation only keeps.
    Any,
}

/// A field of an object.
pub(super) struct Field {
    name: &'static str,
    required: bool,
    kind: Type,
}

/// An array of a batch.
pub(super) struct Array<S = Says> {
    pub(super) name: &'static str,
    pub(super) model: &'static str,
    pub(super) says: S,
    pub(super) fields: &'static [Field],
}

/// Which act the events of an array are.
#[derive(Clone, Copy)]
pub(super) enum Says {
    Established(LegKind),
    TransferStarted,
    TransferProgressed,
    TransferEnded,
    ConsultStarted,
    ConsultProgressed,
    ConsultEnded,
    Answered,
    Held,
    AudioUpdated,
    Disposed,
    Ended,
}

pub(super) const fn must(name: &'static str, kind: Type) -> Field {
    Field { name, required: true, kind }
}

pub(super) const fn may(name: &'static str, kind: Type) -> Field {
    Field { name, required: false, kind }
}

/// What every event has.
pub(super) const COMMON: &[Field] = &[
    must("eventId", Type::V4),
    must("eventDateTime", Type::Moment),
    must("conversationId", Type::V4),
];

const AUDIO_STATE: Type =
    Type::Object("AudioState", &[may("canHear", Type::Flag), may("canSpeak", Type::Flag)]);

const COMMUNICATION: Field = must("communicationId", Type::V4);
const COMMAND: Field = must("commandId", Type::V4);
const INITIATING: Field = must("initiatingCommunicationId", Type::V4);
const TARGET: Field = must("targetCommunicationId", Type::V4);
const OBJECT: Field = must("objectCommunicationId", Type::V4);
const DESTINATION: Field = must("destinationCommunicationId", Type::V4);
const TRANSFER_TYPE: Field = must("transferType", Type::OneOf(&["Attended", "Unattended"]));
const ANI: Field = may("ani", Type::Text);
const DNIS: Field = may("dnis", Type::Text);
const PHONE_NUMBER: Field = may("phoneNumber", Type::Text);
const SKILLS: Field = may("skillIds", Type::Uuids);
const LANGUAGE: Field = may("languageId", Type::Uuid);

const INITIAL: Field = must(
    "initialConfiguration",
    Type::Object(
        "InitialConfiguration",
        &[
            may("audioState", AUDIO_STATE),
            may("alerting", Type::Flag),
            may("inbound", Type::Flag),
            may("invitedBy", Type::V4),
            may("recordingActive", Type::Flag),
            may("additionalInfo", Type::TextMap),
        ],
    ),
);

const SOURCE: Field = must(
    "sourceConfiguration",
    Type::Object(
        "SourceConfiguration",
        &[
            must("sourceId", Type::Uuid),
            must("interactionId", Type::Text),
            may("tagId", Type::Text),
        ],
    ),
);

const CONSULT: &[Field] = &[INITIATING, DESTINATION, OBJECT];

const DISCONNECT_TYPES: &[&str] = &[
    "Error",
    "Peer",
    "Self",
    "System",
    "Transfer",
    "TransferACD",
    "TransferConference",
    "TransferConsult",
    "TransferUser",
];

/// The table.
#[rustfmt::skip]
pub(super) const ARRAYS: [Array; 18] = [
    Array { name: "externalEstablishedEvents", model: "ExternalEstablishedEvent",
        says: Says::Established(LegKind::External),
        fields: &[COMMUNICATION, ANI, may("aniName", Type::Text), DNIS,
            may("dnisName", Type::Text), INITIAL, SOURCE] },
    Array { name: "ivrEstablishedEvents", model: "IvrEstablishedEvent",
        says: Says::Established(LegKind::Ivr),
        fields: &[COMMUNICATION, may("ivrPhoneNumber", Type::Text), may("ivrName", Type::Text),
            ANI, DNIS, INITIAL, SOURCE] },
    Array { name: "phoneEstablishedEvents", model: "PhoneEstablishedEvent",
        says: Says::Established(LegKind::Phone),
        fields: &[COMMUNICATION, PHONE_NUMBER, ANI, DNIS, INITIAL, SOURCE] },
    Array { name: "routingEstablishedEvents", model: "RoutingEstablishedEvent",
        says: Says::Established(LegKind::Routing),
        fields: &[COMMUNICATION, PHONE_NUMBER, must("queueId", Type::Uuid), ANI, DNIS, SKILLS,
            LANGUAGE, INITIAL, SOURCE] },
    Array { name: "userEstablishedEvents", model: "UserEstablishedEvent",
        says: Says::Established(LegKind::User),
        fields: &[COMMUNICATION, PHONE_NUMBER, must("userId", Type::Uuid),
            may("stationId", Type::Uuid), ANI, DNIS, may("afterCallWorkRequired", Type::Flag),
            may("queueId", Type::Uuid), INITIAL, SOURCE] },
    Array { name: "phoneTransferEvents", model: "PhoneTransferEvent",
        says: Says::TransferStarted,
        fields: &[TRANSFER_TYPE, COMMAND, INITIATING, TARGET, OBJECT,
            must("destinationPhoneNumber", Type::Text)] },
    Array { name: "routingTransferEvents", model: "RoutingTransferEvent",
        says: Says::TransferStarted,
        fields: &[TRANSFER_TYPE, COMMAND, INITIATING, TARGET, OBJECT,
            must("destinationQueueId", Type::Uuid), LANGUAGE, SKILLS] },
    Array { name: "userTransferEvents", model: "UserTransferEvent",
        says: Says::TransferStarted,
        fields: &[TRANSFER_TYPE, COMMAND, INITIATING, TARGET, OBJECT,
            must("destinationUserId", Type::Uuid)] },
    Array { name: "progressTransferEvents", model: "ProgressTransferEvent",
        says: Says::TransferProgressed, fields: &[COMMAND, OBJECT, DESTINATION] },
    Array { name: "endTransferEvents", model: "EndTransferEvent",
        says: Says::TransferEnded,
        fields: &[COMMAND, OBJECT,
            must("finalState", Type::OneOf(&["Completed", "Canceled", "Failed"]))] },
    Array { name: "consultTransferEvents", model: "ConsultTransferEvent",
        says: Says::ConsultStarted, fields: CONSULT },
    Array { name: "progressConsultTransferEvents", model: "ProgressConsultTransferEvent",
        says: Says::ConsultProgressed, fields: CONSULT },
    Array { name: "endConsultTransferEvents", model: "EndConsultTransferEvent",
        says: Says::ConsultEnded, fields: &[] },
    Array { name: "communicationAnsweredEvents", model: "CommunicationAnsweredEvent",
        says: Says::Answered, fields: &[COMMUNICATION] },
    Array { name: "holdUpdatedEvents", model: "HoldUpdatedEvent",
        says: Says::Held, fields: &[COMMUNICATION, must("held", Type::Flag)] },
    Array { name: "audioUpdatedEvents", model: "AudioUpdatedEvent",
        says: Says::AudioUpdated, fields: &[COMMUNICATION, must("audioState", AUDIO_STATE)] },
    Array { name: "communicationEndedEvents", model: "CommunicationEndedEvent",
        says: Says::Ended,
        fields: &[COMMUNICATION, must("disconnectType", Type::OneOf(DISCONNECT_TYPES)),
            may("destinationConversationId", Type::V4)] },
    Array { name: "communicationDispositionAppliedEvents",
        model: "CommunicationDispositionAppliedEvent",
        says: Says::Disposed,
        fields: &[COMMUNICATION, may("code", Type::Uuid), may("notes", Type::Text),
            may("tags", Type::Texts)] },
];

/// Checks an object against its fields.
pub(super) fn check<'a>(
    value: &'a Value,
    model: &str,
    shape: &[&[Field]],
    place: &str,
) -> Result<&'a Map<String, Value>, BadRequest> {
    let Value::Object(object) = value else {
        return Err(bad("invalid.value", format!("{place} is not an object")));
    };
    let fields = || shape.iter().copied().flatten();
    if let Some(name) = object.keys().find(|name| fields().all(|field| field.name != **name)) {
        return Err(unknown_member(name, model));
    }
    for field in fields() {
        let place = format!("{place}.{}", field.name);
        match object.get(field.name) {
            Some(value) => check_value(value, field.kind, &place)?,
            None if field.required => {
                return Err(bad("constraint.validation", format!("{place} is missing")));
            }
            None => {}
        }
    }
    Ok(object)
}

/// Checks an array of objects against their fields.
pub(super) fn check_list<'a>(
    value: &'a Value,
    model: &str,
    fields: &[Field],
    place: &str,
) -> Result<Vec<&'a Map<String, Value>>, BadRequest> {
    let Value::Array(list) = value else {
        return Err(bad("invalid.value", format!("{place} is not an array")));
    };
    list.iter().map(|item| check(item, model, &[fields], place)).collect()
}

fn check_value(value: &Value, kind: Type, place: &str) -> Result<(), BadRequest> {
    let text = value.as_str();
    let texts = |fits: fn(&str) -> bool| {
        value.as_array().is_some_and(|list| list.iter().all(|item| item.as_str().is_some_and(fits)))
    };
    let (fits, wanted) = match kind {
        Type::V4 => (text.is_some_and(is_v4), "a V4 UUID in lower case"),
        Type::Uuid => (text.is_some_and(is_uuid), "a UUID"),
        Type::Text => (text.is_some(), "a string"),
        Type::Flag => (value.is_boolean(), "true or false"),
        Type::OneOf(words) => {
            (text.is_some_and(|text| words.contains(&text)), "a value of its enumeration")
        }
        Type::Texts => (texts(|_| true), "an array of strings"),
        Type::Uuids => (texts(is_uuid), "an array of UUIDs"),
        Type::TextMap => (
            value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
            "an object of strings",
        ),
        Type::Object(model, fields) => return check(value, model, &[fields], place).map(|_| ()),
        Type::Objects(model, fields) => return check_list(value, model, fields, place).map(|_| ()),
        Type::Tenths(least, most) => {
            let bounds = f64::from(least) / 10.0..=f64::from(most) / 10.0;
            (
                value.as_f64().is_some_and(|number| bounds.contains(&number)),
                "a number within bounds",
            )
        }
        Type::Any => (true, "anything"),
        Type::Moment => {
            return if text.and_then(milliseconds).is_some() {
                Ok(())
            } else {
                Err(bad(
                    "invalid.date",
                    format!(
                        "{place}: Dates must be specified as ISO-8601 strings. For example: \
                         yyyy-MM-ddTHH:mm:ss.SSSZ"
                    ),
                ))
            };
        }
    };
    if fits { Ok(()) } else { Err(bad("invalid.value", format!("{place} is not {wanted}"))) }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_v4(text: &str) -> bool {
    let byte = |place: usize| text.as_bytes().get(place).copied().unwrap_or_default();
    is_uuid(text)
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
        && byte(14) == b'4'
        && matches!(byte(19), b'8' | b'9' | b'a' | b'b')
}

/// Milliseconds since 1970 of `yyyy-MM-ddTHH:mm:ss[.SSS]Z`; nothing if it is written otherwise.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    const PATTERN: &[u8] = b"0000-00-00T00:00:00.000Z";
    let (head, tail) = (PATTERN.get(..19)?, PATTERN.get(19..)?);
    let fits = |bytes: &[u8], pattern: &[u8]| {
        bytes.len() == pattern.len()
            && bytes.iter().zip(pattern).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                _ => byte == wanted,
            })
    };
    let bytes = text.as_bytes();
    let rest = bytes.get(19..)?;
    if !fits(bytes.get(..19)?, head) || !(rest == b"Z" || fits(rest, tail)) {
        return None;
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// A refusal of the whole request.
pub(super) fn bad(code: &'static str, message: String) -> BadRequest {
    BadRequest { code, message }
}

/// The refusal of a member that is not in the table.
pub(super) fn unknown_member(name: &str, model: &str) -> BadRequest {
    bad("invalid.property", format!("Value [{name}] is not a valid property for object [{model}]"))
}
