//! Schema registries: one of a test's own, a real one, and the built-in one as tools see it that
//! are not ours.

mod apicurio;
mod peer;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset as KafkaOffset, TopicPartitionList};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trunkline::admin::health::Health;
use trunkline::admin::metrics::Metrics;
use trunkline::admin::roles::Role;
use trunkline::admin::{self, Shown};
use trunkline::clock;
use trunkline::drive::Shell;
use trunkline::log::embedded::Embedded;
use trunkline::log::kafka::{Kafka, KafkaConfig};
use trunkline::log::{Layout, Log};
use trunkline::registry::{self, Registry, RegistryConfig, SchemaIds};
use trunkline_schemas::Output;
use trunkline_schemas::codec::{self, BUILT_IN};
use trunkline_schemas::state::StateValue;
use trunkline_schemas::topics::STATE_BRIDGE;

use crate::fetched::{packages, python, skip};
use crate::kafka::broker::{config, prefix, shared};
use crate::running::until;
use peer::{FIRST_ID, Peer};

const SOON: Duration = Duration::from_secs(30);
const ANYWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn at(url: String) -> Registry {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Registry::new(RegistryConfig { url, login: None, ca_pem: None }).expect("a client")
}

#[tokio::test]
async fn every_schema_is_registered_and_kept_compatible() {
    let peer = Peer::start(ANYWHERE.into(), Arc::default()).await;
    let count = at(peer.url()).register(&SchemaIds::default()).await.expect("all are taken");
    // Twice changes nothing.
    let again = at(peer.url()).register(&SchemaIds::default()).await.expect("all are there");
    let holds = peer.holds.lock().expect("nobody panics with it");
    assert_eq!((holds.schemas.len(), again), (BUILT_IN.len(), count));
    for (subject, versions, level) in [
        ("raw.tlib-value", 3, "BACKWARD_TRANSITIVE"),
        ("raw.agent-value", 3, "BACKWARD_TRANSITIVE"),
        ("raw.configdb-value", 1, "BACKWARD_TRANSITIVE"),
        ("command.conversation-value", 1, "FULL_TRANSITIVE"),
        ("state.conversation-value", 1, "FULL_TRANSITIVE"),
        ("outcome.presence-value", 1, "FULL_TRANSITIVE"),
    ] {
        assert_eq!(holds.subjects[subject].len(), versions, "{subject}");
        assert_eq!(holds.levels[subject], level, "{subject}");
    }
    assert!(!holds.subjects.contains_key("dead.ingest-value"));
}

#[tokio::test]
async fn a_registry_that_holds_something_else_refuses_and_is_named() {
    let peer = Peer::start(ANYWHERE.into(), Arc::default()).await;
    {
        let mut holds = peer.holds.lock().expect("nobody panics with it");
        let other = r#"{"type":"record","name":"Other","fields":[{"name":"a","type":"int"}]}"#;
        holds.schemas.push(other.to_owned());
        holds.subjects.insert("segment-value".to_owned(), vec![FIRST_ID]);
    }
    let refused = at(peer.url()).register(&SchemaIds::default()).await.expect_err("it conflicts");
    let text = refused.to_string();
    assert!(text.starts_with("segment-value: "), "{text}");
    assert!(text.contains("incompatible"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_away_is_seen_and_comes_back() {
    let peer = Peer::start(ANYWHERE.into(), Arc::default()).await;
    let (address, holds) = (peer.address, Arc::clone(&peer.holds));
    drop(peer);
    let directory = tempfile::tempdir().expect("a directory");
    let log = Embedded::open(directory.path(), Arc::new(clock::now_ms)).expect("it is free");
    let shell = Shell::new(log, Vec::new()).expect("nobody else records here");
    let registry = at(format!("http://{address}"));
    tokio::spawn(registry::start(shell.clone(), registry, SchemaIds::default()).await);
    let why = || shell.health.missing().into_iter().map(|one| one.why).collect::<String>();
    until("it is missed", SOON, || why().contains("records keep the ids they have")).await;
    let up = |value: u8| format!("trunkline_schema_registry_up {value}\n");
    assert!(shell.metrics.render().contains(&up(0)));
    let _peer = Peer::start(address, holds).await;
    until("it is there", SOON, || shell.health.missing().is_empty()).await;
    assert!(shell.metrics.render().contains(&up(1)));
    shell.stop.cancel();
}

/// Records of a state topic with and without the ids of a registry, as Kafka has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_have_the_ids_of_the_registry_and_are_read_without_it() {
    let found = tokio::task::block_in_place(|| shared("ids of a registry on Kafka"));
    let Some(address) = found else { return };
    let prefix = prefix("registry");
    let ids = SchemaIds::default();
    let with_ids = KafkaConfig { ids: ids.clone(), ..config(&address, &prefix) };
    let write = |body: &[u8]| {
        tokio::task::block_in_place(|| {
            let log = Kafka::open(&with_ids).expect("the broker answers");
            let layout = Layout { topic: STATE_BRIDGE, partitions: 1 };
            log.ensure(&[layout]).expect("the topic is made");
            let state = StateValue { version: 1, body: body.to_vec() };
            let record = codec::record(body, &state).expect("it has a schema");
            let output = Output { topic: STATE_BRIDGE, partition: 0, record };
            log.appender().and_then(|mut to| to.append(vec![output])).expect("it is appended");
        });
    };
    write(b"before");
    let peer = Peer::start(ANYWHERE.into(), Arc::default()).await;
    at(peer.url()).register(&ids).await.expect("all are taken");
    let subject = format!("{STATE_BRIDGE}-value");
    let theirs = peer.holds.lock().expect("nobody panics with it").subjects[&subject][0];
    drop(peer);
    write(b"after");
    let topic = format!("{prefix}{STATE_BRIDGE}");
    let on_wire = tokio::task::block_in_place(|| ids_on_wire(&address, &topic, 2));
    assert_eq!(on_wire, [6, theirs as u32]);
    // By a process that knows no registry.
    let read = tokio::task::block_in_place(|| {
        let log = Kafka::open(&config(&address, &prefix)).expect("the broker answers");
        log.read(STATE_BRIDGE, 0, 0, 10).expect("it can be read")
    });
    let decode = |value: &[u8]| codec::decode::<StateValue>(value).expect("it is a state").body;
    let bodies: Vec<_> =
        read.iter().map(|stored| decode(stored.record.value.as_deref().unwrap_or(b""))).collect();
    assert_eq!(bodies, [b"before".to_vec(), b"after".to_vec()]);
}

/// Schema ids of a topic's first records, as another client sees them.
fn ids_on_wire(address: &str, topic: &str, count: usize) -> Vec<u32> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", address).set("group.id", "stranger");
    let consumer: BaseConsumer = settings.create().expect("a client");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, KafkaOffset::Beginning).expect("an offset");
    consumer.assign(&from).expect("it is assigned");
    let watch = clock::Elapsed::start();
    let mut ids = Vec::new();
    while ids.len() < count {
        assert!(watch.time() < SOON, "only {ids:?}");
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            let id = message.payload().and_then(|value| value.get(1..5)?.try_into().ok());
            ids.push(u32::from_be_bytes(id.expect("a value has an id")));
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_is_not_ours_decodes_what_the_built_in_registry_describes() {
    let test = "decoding in Python";
    let requirements = include_str!("requirements.txt");
    let packages = match tokio::task::block_in_place(|| packages("decoder", requirements)) {
        Ok(packages) => packages,
        Err(why) => return skip(test, "TRUNKLINE_REQUIRE_PYTHON", &why),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener =
        admin::bind(Role::Conversation, SocketAddr::from(ANYWHERE)).await.expect("a free port");
    let url = format!("http://{}/registry", listener.local_addr().expect("it is bound"));
    let metrics = Metrics::install().expect("nobody else records here");
    let shown = Shown { health: Health::new(), metrics, config: String::new() };
    let stop = CancellationToken::new();
    tokio::spawn(admin::serve(vec![(Role::Conversation, listener)], shown, stop.clone()));
    let state = StateValue { version: 1, body: b"{\"calls\":2}".to_vec() };
    let value = codec::encode(&state).expect("it has a schema");
    let lines = format!("{STATE_BRIDGE} {}\n", hex(&value));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/registry/decode.py");
    let said = tokio::task::block_in_place(|| {
        let mut child = python()
            .args([script, &url])
            .env("PYTHONPATH", &packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut input = child.stdin.take().expect("stdin is a pipe");
        input.write_all(lines.as_bytes()).expect("it reads");
        drop(input);
        child.wait_with_output().expect("it ends")
    });
    stop.cancel();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{errors}");
    let decoded: BTreeMap<String, Value> =
        serde_json::from_slice(&said.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"));
    assert_eq!(decoded["version"], json!(1), "{decoded:?}");
    assert_eq!(decoded["body"], json!("b'{\"calls\":2}'"), "{decoded:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
