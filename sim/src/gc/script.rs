//! Flows for the tests of this module, one event a line: `seconds word arguments`. Names of up to
//! six characters become ids; `key=value` sets a detail.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The id a name stands for.
pub(super) fn id(name: &str) -> String {
    let number = name.bytes().fold(0_u64, |all, byte| all << 8 | u64::from(byte));
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// The request body of a flow. Event ids count the lines from `first`.
pub(super) fn batch(first: usize, lines: &[&str]) -> Vec<u8> {
    let mut arrays: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        let (array, event) = event(first + index, line);
        arrays.entry(array.to_owned()).or_default().push(event);
    }
    serde_json::to_vec(&arrays).expect("JSON")
}

const COMMUNICATION: &[&str] = &["communicationId"];
const CONSULT: &[&str] =
    &["initiatingCommunicationId", "destinationCommunicationId", "objectCommunicationId"];

/// Word, array, and which ids the words after it are.
#[rustfmt::skip]
const WORDS: [(&str, &str, &[&str]); 16] = [
    ("external", "externalEstablishedEvents", COMMUNICATION),
    ("ivr", "ivrEstablishedEvents", COMMUNICATION),
    ("phone", "phoneEstablishedEvents", COMMUNICATION),
    ("routing", "routingEstablishedEvents", COMMUNICATION),
    ("user", "userEstablishedEvents", COMMUNICATION),
    ("transfer", "userTransferEvents",
        &["commandId", "initiatingCommunicationId", "objectCommunicationId"]),
    ("progress", "progressTransferEvents",
        &["commandId", "objectCommunicationId", "destinationCommunicationId"]),
    ("endTransfer", "endTransferEvents", &["commandId", "objectCommunicationId"]),
    ("consult", "consultTransferEvents", CONSULT),
    ("progressConsult", "progressConsultTransferEvents", CONSULT),
    ("endConsult", "endConsultTransferEvents", &[]),
    ("answered", "communicationAnsweredEvents", COMMUNICATION),
    ("hold", "holdUpdatedEvents", COMMUNICATION),
    ("audio", "audioUpdatedEvents", COMMUNICATION),
    ("ended", "communicationEndedEvents", COMMUNICATION),
    ("disposed", "communicationDispositionAppliedEvents", COMMUNICATION),
];

fn event(number: usize, line: &str) -> (&'static str, Value) {
    let (details, words): (Vec<&str>, Vec<&str>) =
        line.split_whitespace().partition(|word| word.contains('='));
    let details: BTreeMap<&str, &str> =
        details.into_iter().filter_map(|word| word.split_once('=')).collect();
    let word = |place: usize| *words.get(place).unwrap_or_else(|| panic!("more words: {line}"));
    let (name, array, names) =
        WORDS.iter().find(|known| known.0 == word(1)).unwrap_or_else(|| panic!("words: {line}"));
    let seconds: f64 = word(0).parse().expect("seconds");
    let at = jiff::Timestamp::from_millisecond(1_700_000_000_000 + (seconds * 1e3).round() as i64);
    let detail = |key: &str, name: &str| id(details.get(key).copied().unwrap_or(name));
    let mut fields = more(name, &detail, words.last().copied().unwrap_or(""));
    for (place, field) in names.iter().enumerate() {
        fields.insert((*field).to_owned(), json!(id(word(2 + place))));
    }
    if let Some(initiating) = fields.get("commandId").and(fields.get("initiatingCommunicationId")) {
        fields.insert("targetCommunicationId".to_owned(), initiating.clone());
    }
    if array.contains("Established") {
        let mut initial = json!({ "alerting": words.contains(&"alerting") });
        if let (Some(by), Some(initial)) = (details.get("by"), initial.as_object_mut()) {
            initial.insert("invitedBy".to_owned(), json!(id(by)));
        }
        fields.insert("initialConfiguration".to_owned(), initial);
        let source = json!({ "sourceId": detail("source", "engage"), "interactionId": "call-1" });
        fields.insert("sourceConfiguration".to_owned(), source);
    }
    fields.insert("eventId".to_owned(), json!(detail("id", &number.to_string())));
    fields.insert("conversationId".to_owned(), json!(detail("in", "conv")));
    fields.insert("eventDateTime".to_owned(), json!(format!("{:.3}", at.expect("in range"))));
    (array, Value::Object(fields))
}

/// What the events of a word have beside ids of communications and commands.
fn more(word: &str, id_of: &dyn Fn(&str, &str) -> String, last: &str) -> Map<String, Value> {
    let more = match word {
        "routing" => json!({ "queueId": id_of("queue", "sales") }),
        "user" if id_of("queue", "") != id("") => {
            json!({ "userId": id_of("user", "ada"), "queueId": id_of("queue", "") })
        }
        "user" => json!({ "userId": id_of("user", "ada") }),
        "transfer" => {
            json!({ "transferType": "Unattended", "destinationUserId": id_of("user", "ada") })
        }
        "endTransfer" => json!({ "finalState": last }),
        "hold" => json!({ "held": last == "on" }),
        "audio" => json!({ "audioState": {} }),
        "ended" => json!({ "disconnectType": last }),
        "disposed" => json!({ "code": id_of("code", "sold") }),
        _ => json!({}),
    };
    more.as_object().cloned().unwrap_or_default()
}
