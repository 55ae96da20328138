//! Agent state and DN events of Voice Microservices (seed 004): the records of the Kafka topic
//! `voice-agentstate`. The pure half; who reads the topic is not here.

use serde_json::{Map, Value};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{RawEvent, RawKind, Record};

use crate::feed::{
    ATTRIBUTE_BYTES_MAX, Fields, LineCode, LineError, PAYLOAD_BYTES_MAX, checked_text,
    dead_letter_of, json_error,
};

/// One event and the attributes of its own table. `AgentID` stands for `Agent ID` too.
#[derive(Clone, Copy, Debug)]
pub struct EventTable {
    /// The name of the event.
    pub name: &'static str,
    /// Attributes that must be there.
    pub mandatory: &'static [&'static str],
    /// Attributes that may be there.
    pub optional: &'static [&'static str],
}

const fn event(
    name: &'static str,
    mandatory: &'static [&'static str],
    optional: &'static [&'static str],
) -> EventTable {
    EventTable { name, mandatory, optional }
}

const SERVER_AND_TIME: &[&str] = &["id", "Server", "ThisDN", "time"];
const LOGIN: &[&str] =
    &["AgentID", "CustomerID", "Extensions", "Reasons", "ReferenceID", "ThisQueue"];
const READY: &[&str] = &["CustomerID", "Extensions", "Reasons", "ReferenceID", "ThisQueue"];
const NOT_READY: &[&str] =
    &["AgentWorkMode", "CustomerID", "Extensions", "Reasons", "ReferenceID", "ThisQueue"];
const FEATURE: &[&str] = &["CustomerID", "Extensions", "Reasons", "ReferenceID"];
const FORWARD: &[&str] =
    &["CustomerID", "Extensions", "InfoStatus", "OtherDN", "Reasons", "ReferenceID"];
const OFF_HOOK: &[&str] = &[
    "CallHistory",
    "CallID",
    "CallState",
    "CallType",
    "ConnID",
    "CustomerID",
    "Extensions",
    "NetworkCallID",
    "NetworkNodeID",
    "ThisTrunk",
    "UserData",
];
const ON_HOOK: &[&str] = &[
    "CallHistory",
    "CallID",
    "ConnID",
    "CustomerID",
    "Extensions",
    "NetworkCallID",
    "NetworkNodeID",
    "ThisDNRole",
    "ThisTrunk",
    "UserData",
];
const OF_PARTY: &[&str] = &["ConnID", "id", "ThisDNRole", "ThisDN"];
const MUTE: &[&str] = &[
    "CustomerID",
    "Extensions",
    "NetworkCallID",
    "NetworkNodeID",
    "Reasons",
    "ReferenceID",
    "UserData",
];

/// The 14 events in the order of seed 004, each with its own table. The text beside the tables of
/// the agent events lets `AgentID` be there too, where the table itself does not name it.
pub const EVENTS: [EventTable; 14] = [
    event("EventAgentLogin", SERVER_AND_TIME, LOGIN),
    event("EventAgentLogout", SERVER_AND_TIME, LOGIN),
    event("EventAgentReady", &["AgentWorkMode", "id", "Server", "ThisDN", "time"], READY),
    event("EventAgentNotReady", SERVER_AND_TIME, NOT_READY),
    event("EventDNOutOfService", &["id", "ThisDN"], &["Extensions"]),
    event("EventDNBackInService", &["id", "ThisDN"], &["Extensions"]),
    event("EventDNDOn", SERVER_AND_TIME, FEATURE),
    event("EventDNDOff", SERVER_AND_TIME, FEATURE),
    event("EventForwardSet", SERVER_AND_TIME, FORWARD),
    event("EventForwardCancel", SERVER_AND_TIME, FEATURE),
    event("EventOffHook", SERVER_AND_TIME, OFF_HOOK),
    event("EventOnHook", SERVER_AND_TIME, ON_HOOK),
    event("EventMuteOn", OF_PARTY, MUTE),
    event("EventMuteOff", OF_PARTY, MUTE),
];

/// The names that `InfoStatus` of `EventForwardSet` may have; its numbers are not published.
const FORWARDING: [&str; 2] = ["CallForwardingStatus", "SendAllCallsStatus"];

/// What is known about a record from where it came.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext<'a> {
    /// Routing domain.
    pub domain: &'a str,
    /// The link: of a consumer, its bridge, site and partition.
    pub link: &'a str,
    /// The bridge's clock, microseconds since 1970.
    pub received_time_us: i64,
    /// Time stamp of the record, microseconds since 1970.
    pub record_time_us: i64,
    /// Offset of the record in its partition; it numbers the events of the link.
    pub offset: i64,
}

/// Reads the value of one record.
///
/// Events that are none of the 14 are kept, and so is every attribute, since the payload is.
///
/// # Errors
/// [`LineError`]; the record then belongs to `dead.ingest`.
pub fn translate(value: &[u8], ctx: &RecordContext<'_>) -> Result<RawEvent, LineError> {
    if value.len() > PAYLOAD_BYTES_MAX {
        let why = format!("the event has {} bytes, the limit is {PAYLOAD_BYTES_MAX}", value.len());
        return Err(LineError::new(LineCode::TooLong, why));
    }
    let fields = fields(checked_text(value)?, ctx.record_time_us)?;
    let source = fields.server.unwrap_or_default();
    Ok(RawEvent {
        stream: Some(Stream::AgentState),
        link: ctx.link.to_owned(),
        sequence: Some(ctx.offset),
        name: Some(fields.name),
        switch_time_us: fields.switch_time_us,
        conn_id: fields.conn_id,
        this_dn: fields.this_dn,
        agent_id: fields.agent_id,
        record_time: fields.record_time,
        payload: value.to_vec(),
        ..RawEvent::bare(RawKind::Event, ctx.domain, &source, ctx.received_time_us)
    })
}

/// The dead letter of a record: its value untouched, and in the headers why, whence and when.
pub fn dead_letter(value: &[u8], error: &LineError, ctx: &RecordContext<'_>) -> Record {
    let source = format!("{} offset {}", ctx.link, ctx.offset);
    dead_letter_of(value, error, ctx.link, &source, ctx.received_time_us)
}

/// Reads an event. One without a time has that of its record.
pub(crate) fn fields(payload: &str, record_time_us: i64) -> Result<Fields, LineError> {
    let event: Map<String, Value> =
        serde_json::from_str(payload).map_err(|error| json_error(&error))?;
    let name =
        text(&event, "id")?.ok_or_else(|| LineError::new(LineCode::NoId, "the event has no id"))?;
    let name = if name.starts_with("Event") { name } else { format!("Event{name}") };
    if let Some(table) = EVENTS.iter().find(|table| table.name == name) {
        let is_there = |attribute: &&&str| find(&event, attribute).is_some();
        if let Some(missing) = table.mandatory.iter().find(|attribute| !is_there(attribute)) {
            return Err(LineError::missing(&name, missing));
        }
    }
    let time_us = time(&event)?;
    if name == "EventForwardSet" {
        check_forwarding(&event)?;
    }
    Ok(Fields {
        server: text(&event, "Server")?,
        name,
        switch_time_us: Some(time_us.unwrap_or(record_time_us)),
        record_time: time_us.is_none(),
        conn_id: text(&event, "ConnID")?,
        this_dn: text(&event, "ThisDN")?,
        agent_id: text(&event, "AgentID")?,
        ..Fields::default()
    })
}

/// An attribute by its name, or, of `AgentID`, by either of its names. Null and an empty text are
/// none.
fn find<'a>(event: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let other = if name == "AgentID" { event.get("Agent ID") } else { None };
    let is_something = |value: &&Value| match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
    };
    event.get(name).filter(is_something).or(other.filter(is_something))
}

/// A text or number.
fn text(event: &Map<String, Value>, name: &str) -> Result<Option<String>, LineError> {
    let bad = |why: String| Err(LineError::new(LineCode::BadField, why));
    match find(event, name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() > ATTRIBUTE_BYTES_MAX => {
            bad(format!("{name} is over {ATTRIBUTE_BYTES_MAX} bytes"))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            bad(format!("{name} is neither text nor a number"))
        }
    }
}

/// `time`: `TimeinSecs` and `TimeinuSecs`, as microseconds since 1970.
fn time(event: &Map<String, Value>) -> Result<Option<i64>, LineError> {
    let Some(time) = find(event, "time") else { return Ok(None) };
    let part = |name: &str, max: i64| {
        time.get(name).and_then(Value::as_i64).filter(|part| (0..=max).contains(part))
    };
    let (seconds, micros) = (part("TimeinSecs", 253_402_300_799), part("TimeinuSecs", 999_999));
    match (seconds, micros, time.get("TimeinuSecs")) {
        (Some(seconds), Some(micros), _) => Ok(Some(seconds * 1_000_000 + micros)),
        (Some(seconds), None, None) => Ok(Some(seconds * 1_000_000)),
        (_, _, _) => {
            let why = "time is not TimeinSecs and TimeinuSecs";
            Err(LineError::new(LineCode::BadField, why))
        }
    }
}

fn check_forwarding(event: &Map<String, Value>) -> Result<(), LineError> {
    let Some(Value::String(status)) = find(event, "InfoStatus") else { return Ok(()) };
    let status = status.strip_prefix("AddressInfo").unwrap_or(status);
    let is_number = status.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || FORWARDING.iter().any(|name| name.eq_ignore_ascii_case(status)) {
        return Ok(());
    }
    let why = "InfoStatus is neither CallForwardingStatus nor SendAllCallsStatus";
    Err(LineError::new(LineCode::BadField, why))
}
