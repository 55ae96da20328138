//! One call, traced: every hop from the raw event to the answer of Genesys Cloud arrives at a
//! collector, in one trace, each after the one that led to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::Value;

use super::program::{Server, example_config, get};
use super::running::until;

/// How long the call may take to be told.
const TOLD_MAX: Duration = Duration::from_secs(90);

/// An OpenTelemetry collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let kept = collector.clone();
        let take = post(async move |body: Bytes| kept.take(body));
        let router = Router::new().route("/v1/traces", take);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, address)
    }

    fn take(&self, body: Bytes) -> Vec<u8> {
        let told = ExportTraceServiceRequest::decode(body).expect("OTLP");
        let scopes = told.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(scopes.flat_map(|s| s.spans));
        Vec::new()
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn hex(id: &[u8]) -> String {
    let digits: Vec<_> = id.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// The value of an attribute, as text.
fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Attribute::StringValue(text)) => text.clone(),
        Some(Attribute::IntValue(number)) => number.to_string(),
        other => panic!("{name} of {} is {other:?}", span.name),
    }
}

/// Runs one call through the three programs; returns what the collector has, what the organisation
/// has of events, and what the connector said.
async fn one_call(traces: impl Fn(SocketAddr) -> String) -> (Vec<Span>, u64, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (collector, address) = Collector::start().await;
    let directory = path("directory.json");
    let site = ["engage-sim", "--listen=127.0.0.1:0", "--calls=1", "--speed=20"];
    let site = [&site[..], &["--wait-for-links=3", "--directory", &directory]].concat();
    let mut site = Server::start(dir.path(), "engage-sim", &site);
    let site_address = site.address("simulated Engage site at ").await;
    let org = ["gc-sim", "--listen=127.0.0.1:0", "--directory", &directory];
    let mut org = Server::start(dir.path(), "gc-sim", &org);
    let org_address = org.address("simulated Genesys Cloud at ").await;
    fs::write(path("secret"), "simulated-secret\n").expect("the folder can be written");
    let config = example_config(site_address, org_address);
    let config = config.replace("filter = \"info\"", "filter = \"info,trunkline=debug\"");
    fs::write(path("trunkline.toml"), config + &traces(address)).expect("it can be written");
    let run = ["run", "--config", &path("trunkline.toml")];
    let mut connector = Server::start(dir.path(), "run", &run);
    let mut events = 0;
    until("the call is told", TOLD_MAX, || {
        connector.assert_alive();
        let (_, body) = get(org_address, "/sim/summary").expect("the organisation answers");
        let summary: Value = serde_json::from_str(&body).expect("it answers with JSON");
        events = summary["events"].as_u64().expect("a number");
        summary["conversations"] == 1 && summary["open"] == 0
    })
    .await;
    // The hops that are left are sent before it ends.
    connector.stop().await;
    let said = fs::read_to_string(dir.path().join("run.err")).expect("UTF-8");
    (collector.spans(), events, said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hop_of_a_call_arrives_at_a_collector_in_one_trace() {
    let traces = |at| format!("\n[traces]\nendpoint = \"http://{at}/\"\none_call_in = 1\n");
    let (mut spans, events, said) = one_call(traces).await;
    spans.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
    let began = spans.first().expect("hops").start_time_unix_nano;
    for span in &spans {
        let ms = |nanos: u64| (nanos - began) as f64 / 1e6;
        let (from, to) = (ms(span.start_time_unix_nano), ms(span.end_time_unix_nano));
        let (id, parent) = (hex(&span.span_id), hex(&span.parent_span_id));
        eprintln!("{from:9.3} ms  {:8.3} ms  {id} < {parent:16}  {}", to - from, span.name);
    }
    let traces: BTreeSet<_> = spans.iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 1, "one call is one trace");
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.span_id.clone(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "a hop has an id of its own");
    let parent = |span: &Span, wanted: &str| -> Span {
        let parent = by_id.get(&span.parent_span_id).unwrap_or_else(|| panic!("{span:?} alone"));
        assert!(parent.name.starts_with(wanted), "{} comes from {}", span.name, parent.name);
        let in_order = parent.end_time_unix_nano <= span.end_time_unix_nano;
        assert!(in_order, "{} ended before {}", span.name, parent.name);
        (*parent).clone()
    };
    let mut told = 0;
    for span in spans.iter().filter(|span| span.name == "tell conversation") {
        assert_eq!(attribute(span, "http.response.status_code"), "200");
        let decided = parent(span, "conversation");
        assert_eq!(attribute(&decided, "messaging.destination.name"), "command.conversation");
        let received = parent(&decided, "ingest Event");
        assert!(received.parent_span_id.is_empty(), "a trace begins with a raw event");
        assert!(attribute(&received, "trunkline.link").starts_with("b1/"));
        told += 1;
    }
    assert_eq!(told, events, "each event told has its hops");
    let trace = traces.first().expect("one");
    let accepted = said.lines().filter(|line| line.contains("accepted") && line.contains(trace));
    assert!(accepted.count() > 0, "log lines carry the id of the trace:\n{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_delays_nothing_and_is_told_of_in_the_log() {
    // Port 9 is discard: nobody listens there.
    let nobody = |_| "\n[traces]\nendpoint = \"http://127.0.0.1:9\"\none_call_in = 1\n".to_owned();
    let (spans, events, said) = one_call(nobody).await;
    assert!(spans.is_empty() && events > 0);
    let failed = |line: &str| line.contains(" ERROR opentelemetry") && line.contains("export");
    assert!(said.lines().any(failed), "{said}");
}
