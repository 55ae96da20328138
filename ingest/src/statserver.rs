//! Agent states of Stat Server (seed 003, EXAS: two statistics an agent), which come by the lines
//! of [`crate::feed`] (docs/ingest.md). A feeder tells all values after each connection; nothing is
//! resumed.

use serde::Deserialize;

use crate::feed::{Attr, Fields, LineError, json_error};
use crate::tlib::event_id;

/// The members that become typed fields, or that must be there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes<'a> {
    #[serde(borrow)]
    id: Attr<'a>,
    #[serde(borrow)]
    time: Attr<'a>,
    #[serde(borrow, rename = "Server")]
    server: Attr<'a>,
    #[serde(borrow, rename = "AgentId")]
    agent_id: Attr<'a>,
    #[serde(borrow, rename = "Statistic")]
    statistic: Attr<'a>,
    #[serde(borrow, rename = "AgentStatus")]
    agent_status: Attr<'a>,
    #[serde(borrow, rename = "Reasons")]
    reasons: Attr<'a>,
}

/// Reads an event. Other events than `EventInfo`, and other statistics than the two, are kept.
pub(crate) fn fields(payload: &str) -> Result<Fields, LineError> {
    let event: Attributes<'_> =
        serde_json::from_str(payload).map_err(|error| json_error(&error))?;
    let name = event_id(&event.id)?;
    let agent_id = event.agent_id.text("AgentId")?;
    if name == "EventInfo" {
        let missing = |attribute| Err(LineError::missing(&name, attribute));
        if agent_id.is_none() {
            return missing("AgentId");
        }
        match event.statistic.text("Statistic")?.as_deref() {
            None => return missing("Statistic"),
            Some("CurrentState") if event.agent_status.text("AgentStatus")?.is_none() => {
                return missing("AgentStatus");
            }
            Some("CurrentStateReasons" | "CurrentStateReason") if event.reasons.is_absent() => {
                return missing("Reasons");
            }
            Some(_) => {}
        }
    }
    Ok(Fields {
        server: event.server.text("Server")?,
        name,
        switch_time_us: event.time.micros_of_time(),
        agent_id,
        ..Fields::default()
    })
}
