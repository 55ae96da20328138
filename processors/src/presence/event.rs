//! What a raw event says: of Stat Server (engage/statserver.md section 4) or of Voice Microservices
//! (seed 004).

use serde::Deserialize;
use serde_json::Value;
use trunkline_schemas::RawEvent;
use trunkline_schemas::raw::Stream;

use super::agent::Deed;
use super::reason::{Given, ReasonNames};
use super::status::{self, Meaning};

/// A time so far in the future of its reception is replaced by it (DESIGN law 3).
const FUTURE_MAX_MS: i64 = 60_000;

/// What an event says, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The first statistic of an agent; DNs by number and switch, as the event names it.
    Status {
        /// Employee id.
        agent: String,
        /// What the status means.
        meaning: Meaning,
        /// What was told of DNs: number, switch, meaning.
        dns: Vec<(String, String, Meaning)>,
    },
    /// The second statistic of an agent.
    Reasons {
        /// Employee id.
        agent: String,
        /// What was given.
        given: Given,
    },
    /// An agent at a DN.
    Voice {
        /// What the event calls the agent: an employee id or a login code.
        agent: Option<String>,
        /// Where.
        dn: String,
        /// What the agent did.
        deed: Deed,
    },
    /// Nothing that shows: kept for audit.
    Nothing,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "AgentId")]
    agent_id: Option<Value>,
    #[serde(rename = "Statistic")]
    statistic: Option<String>,
    #[serde(rename = "AgentStatus", default)]
    agent_status: Value,
    #[serde(rename = "Since", default)]
    since: Value,
    #[serde(rename = "DnStatuses", default)]
    dn_statuses: Vec<DnStatus>,
    #[serde(rename = "Reasons", default)]
    reasons: Value,
}

#[derive(Deserialize)]
struct DnStatus {
    #[serde(rename = "DN", default)]
    dn: Value,
    #[serde(rename = "Switch", default)]
    switch: String,
    #[serde(rename = "Status", default)]
    status: Value,
}

#[derive(Deserialize)]
struct Voice {
    #[serde(rename = "AgentWorkMode", default)]
    work_mode: Value,
    #[serde(rename = "Reasons", default)]
    reasons: Value,
    #[serde(rename = "Extensions", default)]
    extensions: Value,
}

/// Reads an event: what it says, and since when, milliseconds since 1970.
///
/// # Errors
/// A text that says what is wrong with the payload, without its contents.
pub fn read(raw: &RawEvent, names: &ReasonNames) -> Result<(Said, i64), String> {
    match raw.stream {
        Some(Stream::Stat) => stat(raw, names),
        Some(Stream::AgentState) => Ok((voice(raw, names)?, at_ms(raw, None))),
        // Media other than voice are kept for audit (seed 002), and are no state of voice.
        Some(Stream::Call | Stream::Vq | Stream::Ext | Stream::Dn | Stream::Interaction) | None => {
            Ok((Said::Nothing, at_ms(raw, None)))
        }
    }
}

fn stat(raw: &RawEvent, names: &ReasonNames) -> Result<(Said, i64), String> {
    if raw.name.as_deref() != Some("EventInfo") {
        return Ok((Said::Nothing, at_ms(raw, None)));
    }
    let info: Info = serde_json::from_slice(&raw.payload).map_err(|e| unreadable(&e))?;
    let agent = info.agent_id.as_ref().and_then(text).ok_or("EventInfo without AgentId")?;
    let at_ms = at_ms(raw, info.since.as_i64());
    let said = match info.statistic.as_deref() {
        Some("CurrentState") => status_of(agent, &info),
        Some("CurrentStateReasons" | "CurrentStateReason") => {
            Said::Reasons { agent, given: names.of(&info.reasons) }
        }
        Some(_) | None => Said::Nothing,
    };
    Ok((said, at_ms))
}

fn status_of(agent: String, info: &Info) -> Said {
    let known = |value| status::find(value);
    let mut status = known(&info.agent_status);
    // Logged out of one DN is not logged out of the others.
    if status.is_some_and(|status| status.meaning == Meaning::LoggedOut) {
        let dns = info.dn_statuses.iter().filter_map(|dn| known(&dn.status));
        status = status::of_logged_in(dns).or(status);
    }
    let dns = info.dn_statuses.iter().filter_map(|dn| {
        let meaning = known(&dn.status)?.meaning;
        Some((text(&dn.dn)?, dn.switch.clone(), meaning))
    });
    let meaning = status.map_or(Meaning::Nothing, |status| status.meaning);
    Said::Status { agent, meaning, dns: dns.collect() }
}

fn voice(raw: &RawEvent, names: &ReasonNames) -> Result<Said, String> {
    let name = raw.name.as_deref().unwrap_or_default();
    let is_of_agent = matches!(
        name,
        "EventAgentLogin" | "EventAgentLogout" | "EventAgentReady" | "EventAgentNotReady"
    );
    if !is_of_agent {
        return Ok(Said::Nothing);
    }
    let voice: Voice = serde_json::from_slice(&raw.payload).map_err(|e| unreadable(&e))?;
    let agent = raw.agent_id.clone();
    let dn = raw.this_dn.clone().ok_or_else(|| format!("{name} without ThisDN"))?;
    let deed = match name {
        "EventAgentLogin" => Deed::Login(agent.clone()),
        "EventAgentLogout" => Deed::Logout,
        "EventAgentReady" => Deed::Ready,
        _ if is_after_call_work(&voice.work_mode) => Deed::AfterCallWork,
        _ => Deed::NotReady(reason(&voice, names)),
    };
    Ok(Said::Voice { agent, dn, deed })
}

/// The reasons of the request; else the one of the telephone (seed 004: "ReasonCode value
/// specifically used to communicate hardware reasons").
fn reason(voice: &Voice, names: &ReasonNames) -> Given {
    match names.of(&voice.reasons) {
        Given::Nothing => names.of(voice.extensions.get("ReasonCode").unwrap_or(&Value::Null)),
        given @ Given::Reason(_) => given,
    }
}

/// `AgentWorkMode` 3, `AgentAfterCallWork` (engage/tlib.md section 3).
fn is_after_call_work(mode: &Value) -> bool {
    match mode {
        Value::Number(number) => number.as_i64() == Some(3),
        Value::String(text) => {
            let text = text.trim();
            text == "3"
                || text.eq_ignore_ascii_case("AfterCallWork")
                || text.eq_ignore_ascii_case("AgentAfterCallWork")
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Since when it holds: `Since`, or, where the event was made in the same second, its finer time.
fn at_ms(raw: &RawEvent, since_s: Option<i64>) -> i64 {
    let received_ms = raw.received_time_us.div_euclid(1_000);
    let told_ms = raw.switch_time_us.map(|us| us.div_euclid(1_000));
    let since_s = since_s.filter(|since| (0..=i64::MAX / 1_000).contains(since));
    let at_ms = match (since_s, told_ms) {
        (Some(since), Some(told)) if told.div_euclid(1_000) == since => told,
        (Some(since), _) => since * 1_000,
        (None, told) => told.unwrap_or(received_ms),
    };
    if at_ms > received_ms.saturating_add(FUTURE_MAX_MS) { received_ms } else { at_ms }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn unreadable(error: &serde_json::Error) -> String {
    format!("the payload is unreadable at column {}", error.column())
}
