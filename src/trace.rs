//! Traces: what became of a call, hop by hop, from the raw event to the answer of Genesys Cloud,
//! for an OpenTelemetry collector. Off unless `[traces]` is configured.
//!
//! | hop | from | to |
//! |---|---|---|
//! | `ingest <event>` | a bridge received the event | it is durable in its raw topic |
//! | `conversation` | the step that decided began | the command is durable |
//! | `tell conversation` | the request was made | Genesys Cloud answered; one hop an attempt |
//!
//! The context of a hop travels in the header `traceparent` of what it wrote (W3C Trace Context,
//! section 3.2), so that a replay and a record that waited find it again. All events of a call
//! share one trace, whose id is made of domain and CallUUID: which calls are traced needs no
//! agreement between processes. A hop holds ids and times, never what callers said or dialled.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
    SpanProcessor as _,
};
use sha2::{Digest as _, Sha256};
use trunkline_schemas::record::TRACE_HEADER;
use trunkline_schemas::{Record, Topic};

use crate::config::Traces;

/// How long an export may take.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// A hop of a trace, by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    trace: TraceId,
    span: SpanId,
}

impl Context {
    /// Reads the header of a record; none where there is none, or where it is not to be traced.
    pub fn of(record: &Record) -> Option<Self> {
        Self::parse(record.header(TRACE_HEADER)?)
    }

    /// Reads a header.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(header).ok()?.split('-');
        let mut part = |length| parts.next().filter(|part| part.len() == length);
        part(2).filter(|version| *version == "00")?;
        let trace = TraceId::from_hex(part(32)?).ok()?;
        let span = SpanId::from_hex(part(16)?).ok()?;
        let flags = u8::from_str_radix(part(2)?, 16).ok()?;
        let known = trace != TraceId::INVALID && span != SpanId::INVALID;
        (known && TraceFlags::new(flags).is_sampled()).then_some(Self { trace, span })
    }

    /// The header for what this hop writes.
    pub fn header(self) -> String {
        format!("00-{}-{}-01", self.trace, self.span)
    }

    /// Id of the trace, as log lines carry it.
    pub fn trace_id(self) -> String {
        self.trace.to_string()
    }

    /// Another hop of the same trace.
    fn next(self) -> Self {
        Self { span: RandomIdGenerator::default().new_span_id(), ..self }
    }
}

/// A hop that is over.
pub struct Hop {
    /// Which it is.
    pub context: Context,
    /// What led to it.
    pub parent: Option<Context>,
    /// What part it plays.
    pub kind: SpanKind,
    /// What it is called.
    pub name: String,
    /// When it began, microseconds since 1970.
    pub from_us: i64,
    /// When it ended, microseconds since 1970.
    pub to_us: i64,
    /// Ids and places.
    pub attributes: Vec<KeyValue>,
    /// Why it did not do what it was to do.
    pub failed: Option<String>,
}

/// Sends hops to the collector in the background; does nothing where traces are off.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    processor: BatchSpanProcessor,
    /// A trace is sampled if the low half of its id is not above.
    below: u64,
}

impl Tracer {
    /// Traces as configured. The exporter has a thread of its own; what it cannot send it says in
    /// log lines, and nothing waits for it.
    ///
    /// # Errors
    /// The exporter cannot be made.
    pub fn start(traces: &Traces) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", traces.endpoint))
            .with_timeout(EXPORT_MAX)
            .build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&Resource::builder().with_service_name("trunkline").build());
        let below = u64::MAX / traces.one_call_in;
        Ok(Self(Some(Arc::new(Inner { processor, below }))))
    }

    /// Whether nothing is traced.
    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// A first hop of the trace of a call, if that is one of those traced.
    pub fn of_call(&self, domain: &str, call_uuid: &str) -> Option<Context> {
        let below = self.0.as_ref()?.below;
        let digest = Sha256::new_with_prefix(domain).chain_update([0]).chain_update(call_uuid);
        let mut id = [0; 16];
        id.copy_from_slice(&digest.finalize()[..16]);
        // The low half decides, as samplers by the ratio of trace ids do.
        let low = u128::from_be_bytes(id) as u64;
        let call = Context { trace: TraceId::from_bytes(id), span: SpanId::INVALID };
        (low <= below).then(|| call.next())
    }

    /// Makes the hop of each output that was caused by a traced record, and puts its context into
    /// the record: parent, hop and topic.
    pub fn step(&self, outputs: &mut [(Topic, Record)]) -> Vec<(Context, Context, Topic)> {
        if self.is_off() {
            return Vec::new();
        }
        let traced = outputs.iter_mut().filter_map(|(topic, record)| {
            let parent = Context::of(record)?;
            let hop = parent.next();
            record.set_header(TRACE_HEADER, hop.header());
            Some((parent, hop, *topic))
        });
        traced.collect()
    }

    /// A hop of what was caused by that record; none where traces are off.
    pub fn after(&self, parent: Context) -> Option<Context> {
        (!self.is_off()).then(|| parent.next())
    }

    /// Takes a hop that is over.
    pub fn ended(&self, hop: Hop) {
        let Some(inner) = &self.0 else { return };
        let Hop { context, parent, kind, name, from_us, to_us, attributes, failed } = hop;
        let Context { trace, span } = context;
        let flags = TraceFlags::SAMPLED;
        let status = failed.map_or(Status::Unset, Status::error);
        inner.processor.on_end(SpanData {
            span_context: SpanContext::new(trace, span, flags, false, TraceState::default()),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| parent.span),
            parent_span_is_remote: parent.is_some(),
            span_kind: kind,
            name: name.into(),
            start_time: time(from_us),
            end_time: time(to_us.max(from_us)),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("trunkline").build(),
        });
    }

    /// Sends what is left. It waits: on a runtime, only where that may be.
    pub fn stop(&self) {
        let Some(inner) = &self.0 else { return };
        if let Err(error) = inner.processor.shutdown_with_timeout(EXPORT_MAX) {
            tracing::warn!(%error, "the last hops of traces could not be sent");
        }
    }
}

fn time(us: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(us.max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_is_read_as_it_is_written_and_anything_else_is_none() {
        let context = Context::parse(HEADER.as_bytes()).expect("a context");
        assert_eq!(context.header(), HEADER);
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        for (header, why) in [
            ("", "nothing"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "not sampled"),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "another version"),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", "no trace"),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "no hop"),
            ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", "too short"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "cut off"),
        ] {
            assert_eq!(Context::parse(header.as_bytes()), None, "{why}");
        }
    }

    #[test]
    fn one_call_in_so_many_is_traced_and_by_every_process_the_same() {
        let tracer = |one_call_in| {
            let endpoint = "http://127.0.0.1:9".to_owned();
            Tracer::start(&Traces { endpoint, one_call_in }).expect("an exporter")
        };
        let (all, some, other) = (tracer(1), tracer(10), tracer(10));
        let mut traced = 0;
        for n in 0..10_000 {
            let call = format!("call-{n}");
            assert!(all.of_call("main", &call).is_some(), "{call}");
            let id = |tracer: &Tracer| tracer.of_call("main", &call).map(Context::trace_id);
            assert_eq!(id(&some), id(&other), "{call}");
            traced += u32::from(id(&some).is_some());
        }
        assert!((900..=1_100).contains(&traced), "{traced} of 10,000 calls are traced");
        assert!(Tracer::default().of_call("main", "call-1").is_none(), "traces are off");
    }
}
