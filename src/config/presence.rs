//! `[genesys_cloud.presence]` and `[presence]`: how agents are told, and what is made of their
//! states.

use serde::Serialize;

use super::codes::Code;
use super::document::Flaw;
use super::reader::{Placed, Reader, Unique};
use super::{Secret, access, checks};

/// How the presence sink writes. Without the section, agents are not told.
#[derive(Clone, Debug, Serialize)]
pub struct PresenceSink {
    /// Id of the presence source that stands for Engage: one for the whole organisation. Nothing:
    /// it is the one that the synchronisation of the configuration makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// An OAuth client of its own; without one it shares that of conversations.
    #[serde(flatten)]
    pub client: Option<OwnClient>,
    /// How much of the requests of a shared client is guaranteed to it, 0 to 100; the rest is
    /// guaranteed to conversations.
    pub guaranteed_percent: u32,
    /// Events of one agent in one request, 1 to 100.
    pub events_per_agent: usize,
    /// Requests under way at once, 1 to 64.
    pub requests_in_flight: usize,
}

/// An OAuth client of one sink, and what it may ask for.
#[derive(Clone, Debug, Serialize)]
pub struct OwnClient {
    /// Id of the client.
    pub client_id: String,
    /// Its secret.
    #[serde(flatten)]
    pub client_secret: Secret,
    /// Requests it may make in a minute.
    pub requests_per_minute: u32,
    /// Requests it may make at once after a quiet time, at most `requests_per_minute`.
    pub burst: u32,
}

/// The presence processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Presence {
    /// How long a change to *not ready* waits for its reason, milliseconds of stream time, 0 to
    /// 30,000.
    pub reason_wait_ms: i64,
    /// Texts that stand for a reason beside its own name.
    pub reasons: Reasons,
}

/// Texts by the reason for which they stand; case does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reasons {
    /// A break.
    #[serde(rename = "break")]
    pub breaks: Vec<String>,
    /// A meal.
    pub meal: Vec<String>,
    /// A meeting.
    pub meeting: Vec<String>,
    /// A training.
    pub training: Vec<String>,
}

/// Reads `[genesys_cloud.presence]`.
pub(super) fn sink(
    mut section: Reader<'_>,
    is_synced: bool,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<PresenceSink> {
    let source_id = section.text("source_id").check(checks::id);
    let source_id = if is_synced {
        let made = "the synchronisation of the configuration makes the presence source";
        let flaw = || Flaw::new(Code::Contradiction, made).hint("leave `source_id` out");
        source_id.check(|_| Err(flaw())).or(None)
    } else {
        source_id.required().map(Some)
    };
    let own = ["client_id", "client_secret_file", "client_secret_env"];
    let client = if own.iter().any(|key| section.has(key)) {
        client(&mut section, environment).map(Some)
    } else {
        Some(None)
    };
    let guaranteed_percent = section.whole("guaranteed_percent", 0..=100).or(20);
    let events_per_agent = section.whole("events_per_agent", 1..=100).or(1);
    let requests_in_flight = section.whole("requests_in_flight", 1..=64).or(4);
    section.finish();
    Some(PresenceSink {
        source_id: source_id?,
        client: client?,
        guaranteed_percent: guaranteed_percent? as u32,
        events_per_agent: events_per_agent? as usize,
        requests_in_flight: requests_in_flight? as usize,
    })
}

fn client(
    section: &mut Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<OwnClient> {
    let client_id = section.text("client_id").check(checks::id).required();
    let client_secret = access::client_secret(section, environment);
    let requests_per_minute = section.whole("requests_per_minute", 1..=30_000).or(300);
    let most = requests_per_minute.unwrap_or(300);
    let burst = section.whole("burst", 1..=most).or(most.min(10));
    Some(OwnClient {
        client_id: client_id?,
        client_secret: client_secret.ok()?,
        requests_per_minute: requests_per_minute? as u32,
        burst: burst? as u32,
    })
}

/// Reads `[presence]`.
pub(super) fn presence(mut section: Reader<'_>) -> Option<Presence> {
    let reason_wait_ms = section.whole("reason_wait_ms", 0..=30_000).or(1_000);
    let mut reasons = section.section("reasons");
    section.finish();
    let mut unique = Unique::new(reasons.document(), "reason");
    let mut texts = |key| {
        let texts: Vec<Placed<String>> = reasons.list(key, checks::id).or(Vec::new())?;
        for Placed { value, key, span } in &texts {
            unique.add(&value.to_lowercase(), key, span);
        }
        Some(texts.into_iter().map(|placed| placed.value).collect())
    };
    let (breaks, meal) = (texts("break"), texts("meal"));
    let (meeting, training) = (texts("meeting"), texts("training"));
    reasons.finish();
    let reasons = Reasons { breaks: breaks?, meal: meal?, meeting: meeting?, training: training? };
    Some(Presence { reason_wait_ms: reason_wait_ms? as i64, reasons })
}
