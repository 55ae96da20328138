//! One line of a feed into what it says.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{RawEvent, RawKind};

use super::attr::Attr;
use super::lines::LINE_BYTES_MAX;
use crate::{agentstate, reporting, statserver, tlib};

/// Deepest nesting of a line that is read, its outermost object counted as 1.
pub const DEPTH_MAX: usize = 32;
/// Longest payload: a record takes 1 MiB at most, and the typed fields need room beside it.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 20) - (8 << 10);
/// Longest text that is taken over into a typed field, so that a record stays within its limit.
pub const ATTRIBUTE_BYTES_MAX: usize = 512;

/// Where a line stood in its connection or file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Number of the line, from 1.
    pub line: u64,
    /// Bytes before it.
    pub byte: u64,
}

/// What is known about a line from where it came.
#[derive(Clone, Copy, Debug)]
pub struct LineContext<'a> {
    /// Routing domain.
    pub domain: &'a str,
    /// The link; if empty (a file), the line may name one itself.
    pub link: &'a str,
    /// The bridge's clock, microseconds since 1970.
    pub received_time_us: i64,
    /// Stream of lines that name none.
    pub role: Stream,
    /// Server of the welcome: the source of lines that name none.
    pub server: Option<&'a str>,
    /// Start of that server, seconds since 1970, for events that name none.
    pub server_start: Option<i64>,
    /// Where the line stood.
    pub place: Place,
}

/// What a line says.
#[expect(clippy::large_enum_variant, reason = "nearly every line is an event; no box for it")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedLine {
    /// An event, its payload byte for byte as it stood in the line.
    Event(RawEvent),
    /// The answer to hello.
    Welcome {
        /// Name of the server.
        server: String,
        /// Its start, seconds since 1970.
        server_start: Option<i64>,
        /// Whether every event after the one named in hello follows.
        resumed: bool,
    },
    /// All that was there at connecting has been told.
    CaughtUp,
    /// Nothing but a sign of life; so is a blank line.
    KeepAlive,
    /// The feeder refuses, and says why.
    Error(String),
}

/// Why a line cannot be read: a closed list, fit for a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineCode {
    /// Longer than a line or payload may be.
    TooLong,
    /// Not UTF-8.
    NotUtf8,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Not JSON.
    NotJson,
    /// It ends before its JSON does.
    Truncated,
    /// JSON, but the line or its event is no object.
    NotAnObject,
    /// A field stands there twice or cannot be what it is.
    BadField,
    /// A stream that does not exist.
    UnknownStream,
    /// Neither an event nor a word of the protocol.
    NoEvent,
    /// An event without `id`.
    NoId,
    /// An event without an attribute that it must have.
    MissingAttribute,
}

impl LineCode {
    /// The code as it stands in the header `dead-code`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotUtf8 => "not_utf8",
            Self::TooDeep => "too_deep",
            Self::NotJson => "not_json",
            Self::Truncated => "truncated",
            Self::NotAnObject => "not_an_object",
            Self::BadField => "bad_field",
            Self::UnknownStream => "unknown_stream",
            Self::NoEvent => "no_event",
            Self::NoId => "no_id",
            Self::MissingAttribute => "missing_attribute",
        }
    }
}

/// Why a line cannot be read. Never shows what the line says: that may be personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", code.name())]
pub struct LineError {
    /// Which of the reasons.
    pub code: LineCode,
    /// The reason in words.
    pub why: String,
}

impl LineError {
    pub(crate) fn new(code: LineCode, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }

    pub(crate) fn missing(event: &str, attribute: &str) -> Self {
        Self::new(LineCode::MissingAttribute, format!("{event} without {attribute}"))
    }

    pub(super) fn too_long(bytes: u64) -> Self {
        Self::new(
            LineCode::TooLong,
            format!("the line has {bytes} bytes, the limit is {LINE_BYTES_MAX}"),
        )
    }
}

/// Reads one line, given without its newline.
///
/// Attributes and events nobody knows are kept, since the payload is; a known attribute that cannot
/// be read (a time outside its second, a number that is none) is left out of the typed fields.
///
/// # Errors
/// [`LineError`] with one of the codes of [`LineCode`]; the line then belongs to `dead.ingest`.
pub fn translate(line: &[u8], ctx: &LineContext<'_>) -> Result<FeedLine, LineError> {
    let text = checked_text(line)?;
    let Some(first) = text.bytes().find(|byte| !byte.is_ascii_whitespace()) else {
        return Ok(FeedLine::KeepAlive);
    };
    if first != b'{' {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| json_error(&error))?;
        return Err(LineError::new(LineCode::NotAnObject, "the line is JSON, but no object"));
    }
    let outer: Outer<'_> = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    if let Some(event) = outer.event {
        return event_of(event.get(), &outer, ctx).map(FeedLine::Event);
    }
    if let Some(welcome) = outer.welcome {
        let server = welcome.server.text("welcome.server")?.ok_or_else(|| {
            LineError::new(LineCode::BadField, "the welcome does not name its server")
        })?;
        let server_start = welcome.server_start.seconds();
        return Ok(FeedLine::Welcome { server, server_start, resumed: welcome.resumed });
    }
    if let Some(why) = outer.error.text("error")? {
        return Ok(FeedLine::Error(why));
    }
    match (outer.caught_up, outer.keep_alive) {
        (Some(true), _) => Ok(FeedLine::CaughtUp),
        (_, Some(true)) => Ok(FeedLine::KeepAlive),
        (_, _) => Err(LineError::new(LineCode::NoEvent, "the line has no event")),
    }
}

pub(crate) fn checked_text(line: &[u8]) -> Result<&str, LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::too_long(line.len() as u64));
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        LineError::new(LineCode::NotUtf8, format!("byte {at} of the line is not UTF-8"))
    })?;
    if is_too_deep(line) {
        let why = format!("nested deeper than {DEPTH_MAX}");
        return Err(LineError::new(LineCode::TooDeep, why));
    }
    Ok(text)
}

/// Whether brackets outside strings are ever more than [`DEPTH_MAX`] deep. Looks at bytes only, so
/// that what is refused for its depth is never read recursively.
fn is_too_deep(line: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The parser's own words are used only where they are fixed texts: those about data quote it.
pub(crate) fn json_error(error: &serde_json::Error) -> LineError {
    match error.classify() {
        Category::Eof => LineError::new(LineCode::Truncated, error.to_string()),
        Category::Syntax | Category::Io => LineError::new(LineCode::NotJson, error.to_string()),
        Category::Data => LineError::new(
            LineCode::BadField,
            format!(
                "column {}: a field is of the wrong type or stands there twice",
                error.column()
            ),
        ),
    }
}

fn event_of(
    payload: &str,
    outer: &Outer<'_>,
    ctx: &LineContext<'_>,
) -> Result<RawEvent, LineError> {
    if !payload.starts_with('{') {
        return Err(LineError::new(LineCode::NotAnObject, "the event is no object"));
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        let why =
            format!("the event has {} bytes, the limit is {PAYLOAD_BYTES_MAX}", payload.len());
        return Err(LineError::new(LineCode::TooLong, why));
    }
    let stream = stream_of(&outer.stream, ctx);
    // Where the stream is none, the event itself may be what is wrong: that is told first.
    let fields = match stream.as_ref().copied().unwrap_or(ctx.role) {
        Stream::Call | Stream::Vq | Stream::Ext | Stream::Dn => tlib::fields(payload),
        Stream::Stat => statserver::fields(payload),
        Stream::AgentState => agentstate::fields(payload, ctx.received_time_us),
        Stream::Interaction => reporting::fields(payload),
    }?;
    let source = match outer.source.text("source")? {
        Some(source) => source,
        None => fields.server.or(ctx.server.map(str::to_owned)).unwrap_or_default(),
    };
    let link = match outer.link.text("link")? {
        Some(link) if ctx.link.is_empty() => link,
        Some(_) | None => ctx.link.to_owned(),
    };
    // The welcome speaks for its own server only.
    let welcome_start = ctx.server_start.filter(|_| ctx.server.is_none_or(|name| name == source));
    Ok(RawEvent {
        kind: RawKind::Event,
        domain: ctx.domain.to_owned(),
        source,
        stream: Some(stream?),
        link,
        server_start: fields.server_start.or(welcome_start),
        sequence: fields.sequence,
        name: Some(fields.name),
        switch_time_us: fields.switch_time_us,
        received_time_us: ctx.received_time_us,
        call_uuid: fields.call_uuid,
        conn_id: fields.conn_id,
        this_dn: fields.this_dn,
        agent_id: fields.agent_id,
        record_time: fields.record_time,
        payload: payload.as_bytes().to_vec(),
    })
}

/// What the event of one source gives to the typed fields of a record.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) server: Option<String>,
    pub(crate) server_start: Option<i64>,
    pub(crate) sequence: Option<i64>,
    pub(crate) name: String,
    pub(crate) switch_time_us: Option<i64>,
    pub(crate) call_uuid: Option<String>,
    pub(crate) conn_id: Option<String>,
    pub(crate) this_dn: Option<String>,
    pub(crate) agent_id: Option<String>,
    pub(crate) record_time: bool,
}

/// The stream of a line: of a link, one of those its role gets; of a file, any.
fn stream_of(named: &Attr<'_>, ctx: &LineContext<'_>) -> Result<Stream, LineError> {
    let comes_here = |stream: &Stream| match ctx.role {
        _ if ctx.link.is_empty() => true,
        Stream::Call | Stream::Vq | Stream::Ext | Stream::Dn => stream.is_switch(),
        Stream::Stat | Stream::AgentState | Stream::Interaction => *stream == ctx.role,
    };
    match named {
        Attr::Absent => return Ok(ctx.role),
        Attr::Text(name) => Stream::find(name).filter(comes_here).ok_or(()),
        Attr::Integer(_) | Attr::Time { .. } | Attr::Other => Err(()),
    }
    .map_err(|()| {
        let why = match ctx.role {
            Stream::Call | Stream::Vq | Stream::Ext | Stream::Dn => {
                "the stream is none of call, vq, ext, dn"
            }
            Stream::Stat => "the stream is not stat",
            Stream::AgentState => "the stream is not agentstate",
            Stream::Interaction => "the stream is not interaction",
        };
        LineError::new(LineCode::UnknownStream, why)
    })
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Outer<'a> {
    #[serde(borrow)]
    source: Attr<'a>,
    #[serde(borrow)]
    stream: Attr<'a>,
    #[serde(borrow)]
    link: Attr<'a>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    welcome: Option<Welcome<'a>>,
    #[serde(borrow)]
    error: Attr<'a>,
    caught_up: Option<bool>,
    keep_alive: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Welcome<'a> {
    #[serde(borrow)]
    server: Attr<'a>,
    #[serde(borrow)]
    server_start: Attr<'a>,
    resumed: bool,
}
