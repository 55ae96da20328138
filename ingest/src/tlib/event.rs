//! The typed fields of a TLib event.

use serde::Deserialize;

use crate::feed::{Attr, Fields, LineCode, LineError, json_error};

/// The attributes that become typed fields.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes<'a> {
    #[serde(borrow)]
    id: Attr<'a>,
    #[serde(borrow)]
    time: Attr<'a>,
    #[serde(borrow, rename = "Server")]
    server: Attr<'a>,
    #[serde(borrow, rename = "ServerStartTime")]
    server_start: Attr<'a>,
    #[serde(borrow, rename = "EventSequenceNumber")]
    sequence: Attr<'a>,
    #[serde(borrow, rename = "CallUUID")]
    call_uuid: Attr<'a>,
    #[serde(borrow, rename = "ConnID")]
    conn_id: Attr<'a>,
    #[serde(borrow, rename = "ThisDN")]
    this_dn: Attr<'a>,
}

/// Reads an event.
pub(crate) fn fields(payload: &str) -> Result<Fields, LineError> {
    let event: Attributes<'_> =
        serde_json::from_str(payload).map_err(|error| json_error(&error))?;
    Ok(Fields {
        server: event.server.text("Server")?,
        server_start: event.server_start.seconds(),
        sequence: event.sequence.sequence(),
        name: event_id(&event.id)?,
        switch_time_us: event.time.micros(),
        call_uuid: event.call_uuid.text("CallUUID")?,
        conn_id: event.conn_id.text("ConnID")?.map(conn_id_of),
        this_dn: event.this_dn.text("ThisDN")?,
        ..Fields::default()
    })
}

/// The name of an event; `Event` is put before it where it is missing.
pub(crate) fn event_id(id: &Attr<'_>) -> Result<String, LineError> {
    let Attr::Text(_) = id else {
        return Err(LineError::new(LineCode::NoId, "the event has no id"));
    };
    match id.text("id")? {
        Some(name) if name.starts_with("Event") => Ok(name),
        Some(name) => Ok(format!("Event{name}")),
        None => Err(LineError::new(LineCode::NoId, "the id of the event is empty")),
    }
}

/// Voice Microservices add `@` and more to a ConnID (tlib section 4).
fn conn_id_of(mut text: String) -> String {
    if let Some(at) = text.find('@') {
        text.truncate(at);
    }
    text.make_ascii_lowercase();
    text
}
