//! The attributes of a TLib event that the conversation processor reads (engage/tlib.md section 5).
//! Everything else stays in the raw record, untouched.

use serde::Deserialize;
use serde_json::{Map, Value};
use trunkline_schemas::RawEvent;
use trunkline_schemas::raw::Stream;

use super::tables::{CallType, PartyState, is_service_dn};

/// Participants of an extension's list that are read.
const LCT_MAX: usize = 16;

/// The event kinds that are consumed (seed 003, "EXCP General Operating Principles").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Call monitoring: a call is there.
    CallCreated,
    /// Call monitoring: something about it changed.
    CallDataChanged,
    /// Call monitoring: it is gone, or merged into another.
    CallDeleted,
    /// Call monitoring: a party joined.
    PartyAdded,
    /// Call monitoring: a party changed.
    PartyState,
    /// Call monitoring: a party left.
    PartyDeleted,
    /// Call monitoring: a party went to another call; not in the seed's list, used when it comes.
    PartyMoved,
    /// VQ: the call waits in a virtual queue.
    Queued,
    /// VQ: it left the virtual queue.
    Diverted,
    /// Extension: who is in the call (`LCTParty` list).
    UserEvent,
}

const KINDS: [(Stream, &str, Kind); 10] = [
    (Stream::Call, "EventCallCreated", Kind::CallCreated),
    (Stream::Call, "EventCallDataChanged", Kind::CallDataChanged),
    (Stream::Call, "EventCallDeleted", Kind::CallDeleted),
    (Stream::Call, "EventCallPartyAdded", Kind::PartyAdded),
    (Stream::Call, "EventCallPartyState", Kind::PartyState),
    (Stream::Call, "EventCallPartyDeleted", Kind::PartyDeleted),
    (Stream::Call, "EventCallPartyMoved", Kind::PartyMoved),
    (Stream::Vq, "EventQueued", Kind::Queued),
    (Stream::Vq, "EventDiverted", Kind::Diverted),
    (Stream::Ext, "EventUserEvent", Kind::UserEvent),
];

impl Kind {
    /// The kind of an event of that stream and name; `None` for what nobody consumes.
    pub fn find(stream: Stream, name: &str) -> Option<Self> {
        KINDS.iter().find(|(s, n, _)| *s == stream && *n == name).map(|(_, _, kind)| *kind)
    }
}

/// One event, read.
#[derive(Clone, Debug)]
pub struct Event {
    /// What it is.
    pub kind: Kind,
    /// The server that told it.
    pub server: String,
    /// When, by the switch's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// Where its record stands, `topic/partition@offset`.
    pub place: String,
    /// The call, or of VQ events also what `Extensions.CallUUID` says.
    pub call: Option<String>,
    /// Connection id, lower case.
    pub conn_id: Option<String>,
    /// The attributes of its own kind.
    pub is: Attributes,
}

/// Attributes read as they are written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Attributes {
    /// Attribute 54.
    call_type: Option<Value>,
    /// Attribute 19.
    #[serde(rename = "ANI")]
    pub ani: Option<Value>,
    /// Attribute 18.
    #[serde(rename = "DNIS")]
    pub dnis: Option<Value>,
    /// Attribute 116.
    pub dialed_number: Option<Value>,
    /// Attribute 143: the call from which this one was made.
    #[serde(rename = "OrigCallUUID")]
    pub orig_call_uuid: Option<String>,
    /// Attribute 144: the call into which this one was merged.
    #[serde(rename = "RefCallUUID")]
    pub ref_call_uuid: Option<String>,
    /// Attribute 142: of a moved party, where it went.
    #[serde(rename = "NewCallUUID")]
    pub new_call_uuid: Option<String>,
    /// Attribute 145.
    #[serde(rename = "PartyUUID")]
    pub party_uuid: Option<String>,
    /// Attribute 115.
    #[serde(rename = "DN")]
    pub dn: Option<Value>,
    /// Attribute 124.
    party_state: Option<Value>,
    /// Attribute 114.
    cause: Option<Value>,
    /// Attribute 127.
    pub remote_loc: Option<Value>,
    /// Attribute 20.
    #[serde(rename = "ThisDN")]
    pub this_dn: Option<Value>,
    /// Attribute 28: of a VQ's Diverted, where the call went.
    #[serde(rename = "ThirdPartyDN")]
    pub third_party_dn: Option<Value>,
    /// Attribute 53.
    extensions: Option<Value>,
    /// Attribute 51.
    user_data: Option<Value>,
    /// Attribute 146: IS-link ids and the site at their other end.
    #[serde(rename = "ISLinkList")]
    is_link_list: Option<Value>,
    /// Attribute 5.
    #[serde(rename = "NetworkCallID")]
    pub network_call_id: Option<Value>,
}

impl Attributes {
    /// The call type, if it is told.
    pub fn call_type(&self) -> Option<CallType> {
        let value = self.call_type.as_ref()?;
        Some(CallType::find(value.as_i64().unwrap_or(-1), value.as_str().unwrap_or_default()))
    }

    /// The state of the party, if it is told as a number.
    pub fn state(&self) -> Option<PartyState> {
        self.party_state.as_ref().and_then(Value::as_i64).map(PartyState::from_bits)
    }

    /// The cause, if it is told.
    pub fn cause(&self) -> Option<i64> {
        self.cause.as_ref().and_then(Value::as_i64)
    }

    /// One value of `Extensions`.
    pub fn extension(&self, key: &str) -> Option<String> {
        self.extensions.as_ref().and_then(|list| pair(list, key)).and_then(text)
    }

    /// The IS-link ids told.
    pub fn links(&self) -> Vec<String> {
        self.is_link_list.as_ref().map(keys).unwrap_or_default()
    }

    /// Whether a key of `UserData` begins with this.
    pub fn has_user_data_prefix(&self, prefix: &str) -> bool {
        let keys = self.user_data.as_ref().map(keys).unwrap_or_default();
        keys.iter().any(|key| key.starts_with(prefix))
    }

    /// How many people the extension's list of participants names (`LCTParty<n>`), recorders and
    /// the like left out.
    pub fn lct_parties(&self) -> usize {
        (0..LCT_MAX)
            .map_while(|n| self.extension(&format!("LCTParty{n}")))
            .filter(|dn| !is_service_dn(dn))
            .count()
    }

    /// Whether the extension's list names a supervisor.
    pub fn lct_supervised(&self) -> bool {
        let count = self.extension("LCTSupervisorLength");
        count.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 0)
    }

    /// One value of `UserData`.
    pub fn user_data(&self, key: &str) -> Option<String> {
        self.user_data.as_ref().and_then(|list| pair(list, key)).and_then(text)
    }
}

/// A DN, number or id as text: switches write them as strings, some feeders as numbers.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// The keys of a KV list.
fn keys(list: &Value) -> Vec<String> {
    match list {
        Value::Object(object) => object.keys().cloned().collect(),
        Value::Array(pairs) => pairs
            .iter()
            .filter_map(|pair| pair.as_array()?.first()?.as_str().map(str::to_owned))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The first value of a key in a KV list: an object, or an array of pairs where keys repeat.
fn pair<'a>(list: &'a Value, key: &str) -> Option<&'a Value> {
    match list {
        Value::Object(object) => Map::get(object, key),
        Value::Array(pairs) => pairs.iter().find_map(|pair| match pair.as_array()?.as_slice() {
            [name, value] if name == key => Some(value),
            _ => None,
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Why an event cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// From a closed list: `not_json`, `no_call`, `no_party`.
    pub code: &'static str,
    /// What is missing, without its contents.
    pub why: String,
}

/// Reads an event of a consumed kind.
///
/// # Errors
/// [`Unusable`] names what a mandatory attribute lacks (engage/tlib.md section 5).
pub fn read(raw: &RawEvent, kind: Kind, at_ms: i64, place: String) -> Result<Event, Unusable> {
    let is: Attributes = serde_json::from_slice(&raw.payload).map_err(|e| Unusable {
        code: "not_json",
        why: format!("the payload is unreadable: {e}"),
    })?;
    let call = raw.call_uuid.clone().or_else(|| is.extension("CallUUID"));
    let conn_id = raw.conn_id.clone();
    let name = raw.name.clone().unwrap_or_default();
    let missing = |code, what: &str| Unusable { code, why: format!("{name} without {what}") };
    match kind {
        Kind::CallCreated | Kind::CallDataChanged | Kind::CallDeleted if call.is_none() => {
            return Err(missing("no_call", "CallUUID"));
        }
        Kind::PartyAdded | Kind::PartyState | Kind::PartyDeleted | Kind::PartyMoved => {
            if call.is_none() {
                return Err(missing("no_call", "CallUUID"));
            }
            if is.party_uuid.is_none() && is.dn.is_none() {
                return Err(missing("no_party", "PartyUUID or DN"));
            }
        }
        Kind::Queued | Kind::Diverted => {
            if call.is_none() && conn_id.is_none() && is.extension("VQID").is_none() {
                return Err(missing("no_call", "CallUUID, ConnID or VQID"));
            }
            if is.this_dn.as_ref().and_then(text).is_none() {
                return Err(missing("no_dn", "ThisDN"));
            }
        }
        Kind::UserEvent if conn_id.is_none() && call.is_none() => {
            return Err(missing("no_call", "ConnID"));
        }
        Kind::CallCreated | Kind::CallDataChanged | Kind::CallDeleted | Kind::UserEvent => {}
    }
    Ok(Event { kind, server: raw.source.clone(), at_ms, place, call, conn_id, is })
}
