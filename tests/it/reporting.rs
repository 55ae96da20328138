//! Trunkline as the reporting engine of two simulated Interaction Servers (seed 002): what each is
//! told, what an agent's application gets of it, and what is kept.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trunkline_processors::Processor;
use trunkline_processors::presence::{PresenceProcessor, Settings};
use trunkline_schemas::RawKind;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::RAW_TLIB;
use trunkline_sim::interaction::{InteractionServer, Spelling};

use super::agent_feeds::{ingest, raw_agent, start};
use super::running::until;

/// How long one step of a test may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a server was told of one agent, in short.
fn told(server: &InteractionServer, agent: &str) -> Vec<String> {
    let of = |line: &String| {
        let value: Value = serde_json::from_str(line).expect("a line is JSON");
        let event = &value["event"];
        if event["AgentId"] != agent {
            return None;
        }
        assert_eq!(event["PlaceId"], format!("place of {agent}"));
        assert_eq!(event["TenantId"], 101);
        assert!(event["time"]["TimeinSecs"].as_i64() > Some(1_700_000_000), "{event}");
        let media = event["MediaStatus"].as_object().expect("media").iter().map(|(name, m)| {
            let ready = if m["Ready"] == true { "ready" } else { "closed" };
            format!("{name} {} of {} {ready}", m["Current"], m["Max"])
        });
        Some(media.collect::<Vec<_>>().join(", "))
    };
    server.told().iter().filter_map(of).collect()
}

async fn comes_true(server: &InteractionServer, agent: &str, wanted: &[&str]) {
    let mut last = Vec::new();
    until(&format!("{agent} is {wanted:?}"), PATIENCE, || {
        last = told(server, agent);
        last == wanted
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interaction_servers_are_told_what_their_agents_can_take() {
    let one = InteractionServer::start("ixn1", Spelling::Both, 0, None).await.expect("a port");
    let two = InteractionServer::start("ixn2", Spelling::Seed, 0, None).await.expect("a port");
    one.set("A1001", &[("email", true), ("chat", true)], &[]);
    one.set("A1002", &[("chat", false)], &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let sections = format!(
        r#"
stat_servers = ["127.0.0.1:9"]
[domain.interaction_reporting]
bridge = "b1"
servers = ["{}", "{}"]
capacity = ["email=2"]
"#,
        one.address(),
        two.address()
    );
    let user = "6d7a3f1e-0000-4000-8000-000000000001";
    let directory = json!({
        "sourceId": "6d7a3f1e-0000-4000-8000-000000000002",
        "servers": [{ "name": "sips1", "switch": "SITE1" }],
        "agents": [{ "employeeId": "A1001", "userId": user, "logins": [] }],
        "queues": [],
    });
    let args = ingest(dir.path(), &directory, "127.0.0.1:9".parse().expect("ours"), &sections);
    // The application of an agent, which is known before anything is told.
    let stream = TcpStream::connect(one.address()).await.expect("the server listens");
    let (reading, mut application) = stream.into_split();
    application.write_all(b"{\"application\":\"A1001\"}\n").await.expect("the server reads");
    let mut lines = BufReader::new(reading).lines();
    lines.next_line().await.expect("connected").expect("the application is known");
    let process = start(dir.path(), "lines", &args);

    let free = "chat 0 of 1 ready, email 0 of 2 ready";
    comes_true(&one, "A1001", &[free]).await;
    comes_true(&one, "A1002", &["chat 0 of 1 closed"]).await;
    assert_eq!(one.requests(), ["RequestStartPlaceAgentStateReportingAll"]);
    until("the second is asked by the name it knows", PATIENCE, || two.requests().len() == 2).await;
    assert_eq!(two.requests()[1], "RequestStartPlaceAgentReportingAll");

    let busy = "chat 1 of 1 closed, email 1 of 2 ready";
    one.set("A1001", &[("email", true), ("chat", true)], &["chat", "email"]);
    comes_true(&one, "A1001", &[free, busy]).await;
    // The same agent at another server: one capacity.
    let full = "chat 1 of 1 closed, email 2 of 2 closed";
    two.set("A1001", &[("email", true)], &["email"]);
    comes_true(&one, "A1001", &[free, busy, full]).await;
    comes_true(&two, "A1001", &[full]).await;
    // A server that is lost takes its part back, and brings it again.
    let port = two.address().port();
    drop(two);
    comes_true(&one, "A1001", &[free, busy, full, busy]).await;
    let two = InteractionServer::start("ixn2", Spelling::Both, port, None).await.expect("the port");
    two.set("A1001", &[("email", true)], &["email"]);
    comes_true(&two, "A1001", &[full]).await;
    comes_true(&one, "A1001", &[free, busy, full, busy, full]).await;

    // The application was told what its server was told, byte for byte.
    for line in one.told().into_iter().filter(|line| line.contains("A1001")) {
        let got = timeout(PATIENCE, lines.next_line()).await.expect("in time");
        assert_eq!(got.expect("connected"), Some(line));
    }
    process.stop().await;
    assert_kept(dir.path());
}

/// Every state is kept as it came; nothing of it becomes a presence.
fn assert_kept(dir: &std::path::Path) {
    let records = raw_agent(dir);
    let mut processor = PresenceProcessor::new("main", Settings::default());
    let mut states = 0;
    for (stored, raw) in &records {
        processor.apply(stored);
        if raw.stream == Some(Stream::Interaction) && raw.kind == RawKind::Event {
            if raw.name.as_deref() == Some("EventPlaceAgentState") {
                states += 1;
                let payload: Value = serde_json::from_slice(&raw.payload).expect("as it came");
                assert_eq!(raw.agent_id.as_deref(), payload["AgentId"].as_str());
            }
            assert!(raw.source.starts_with("ixn"), "{raw:?}");
        }
    }
    assert_eq!(states, 5, "two at the start, two changes, one more after the loss");
    let told = processor.drain().outputs.into_iter().filter(|(topic, _)| *topic != RAW_TLIB);
    assert_eq!(told.collect::<Vec<_>>(), [], "media other than voice are no presence");
}
