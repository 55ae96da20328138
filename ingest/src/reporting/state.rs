//! What `EventPlaceAgentState` says (seed 002: the state of an agent is the media the agent is
//! ready for, and the interactions the agent is handling).
//!
//! Reconstructed: no list of the event's attributes is public. What is read of it is read here, and
//! nowhere else.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::feed::{Fields, LineCode, LineError, json_error};

/// The state of an agent, as one Interaction Server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceAgentState {
    /// Employee id.
    pub agent_id: String,
    /// The place the agent works at.
    pub place_id: Option<String>,
    /// The tenant, as the server numbers it.
    pub tenant_id: Option<i64>,
    /// Whether the agent is logged in at this server.
    pub logged_in: bool,
    /// Nothing new is to be offered, of any medium.
    pub do_not_disturb: bool,
    /// Of each medium the agent has: whether the agent is ready for it, and how many interactions
    /// are being handled.
    pub media: BTreeMap<String, Medium>,
}

/// One medium of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Medium {
    /// The agent takes interactions of it.
    pub is_ready: bool,
    /// Interactions being handled.
    pub interactions: u32,
}

impl PlaceAgentState {
    /// Reads the event.
    ///
    /// # Errors
    /// [`LineError`]: it does not say which agent, or an attribute is not what it must be.
    pub fn read(payload: &[u8]) -> Result<Self, LineError> {
        let event: Map<String, Value> =
            serde_json::from_slice(payload).map_err(|error| json_error(&error))?;
        let agent_id = text(&event, "AgentId")?;
        let missing = || LineError::missing("EventPlaceAgentState", "AgentId");
        let mut state = Self {
            agent_id: agent_id.ok_or_else(missing)?,
            place_id: text(&event, "PlaceId")?,
            tenant_id: event.get("TenantId").and_then(Value::as_i64),
            logged_in: flag(&event, "LoggedIn")?.unwrap_or(true),
            do_not_disturb: flag(&event, "DonotDisturb")?.unwrap_or(false),
            media: BTreeMap::new(),
        };
        for (medium, said) in object(&event, "MediaStateList")?.into_iter().flatten() {
            let Some(said) = said.as_object() else { return Err(bad("MediaStateList")) };
            let is_ready = flag(said, "Ready")?.unwrap_or(false);
            state.media.entry(medium.clone()).or_default().is_ready = is_ready;
        }
        for one in list(&event, "Interactions")?.into_iter().flatten() {
            let medium = one.as_object().map(|one| text(one, "MediaType")).transpose()?.flatten();
            let Some(medium) = medium else { return Err(bad("Interactions")) };
            state.media.entry(medium).or_default().interactions += 1;
        }
        Ok(state)
    }
}

/// Reads the typed fields of any event of an Interaction Server.
pub(crate) fn fields(payload: &str) -> Result<Fields, LineError> {
    let event: Map<String, Value> =
        serde_json::from_str(payload).map_err(|error| json_error(&error))?;
    let id = text(&event, "id")?;
    let name = id.ok_or_else(|| LineError::new(LineCode::NoId, "the event has no id"))?;
    let name = if name.starts_with("Event") { name } else { format!("Event{name}") };
    if name == "EventPlaceAgentState" {
        PlaceAgentState::read(payload.as_bytes())?;
    }
    let part = |name: &str| event.get("time").and_then(|time| time.get(name)?.as_i64());
    let switch_time_us = part("TimeinSecs").filter(|s| (0..=253_402_300_799).contains(s));
    let micros = part("TimeinuSecs").filter(|us| (0..1_000_000).contains(us)).unwrap_or(0);
    Ok(Fields {
        server: text(&event, "Server")?,
        name,
        switch_time_us: switch_time_us.map(|seconds| seconds * 1_000_000 + micros),
        agent_id: text(&event, "AgentId")?,
        ..Fields::default()
    })
}

/// The number of the request an event answers.
pub(super) fn reference(payload: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(payload).ok()?.get("ReferenceId")?.as_i64()
}

fn text(of: &Map<String, Value>, name: &str) -> Result<Option<String>, LineError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() <= crate::feed::ATTRIBUTE_BYTES_MAX => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(bad(name)),
    }
}

fn flag(of: &Map<String, Value>, name: &str) -> Result<Option<bool>, LineError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::Number(number)) => Ok(Some(number.as_i64() != Some(0))),
        Some(_) => Err(bad(name)),
    }
}

fn object<'a>(
    of: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, LineError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(bad(name)),
    }
}

fn list<'a>(of: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Vec<Value>>, LineError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => Err(bad(name)),
    }
}

fn bad(name: &str) -> LineError {
    LineError::new(LineCode::BadField, format!("{name} is not what docs/ingest.md says"))
}
