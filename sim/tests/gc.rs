//! The simulated organisation over real HTTP, as a client meets it.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use trunkline_sim::gc::{self, Fault, FaultPlan, FaultRule, GcConfig, GcSim};
use trunkline_sim::truth::{LegKind, Told};

const CONVERSATION: &str = "0b54bd38-5e4b-4f0a-8b2c-6f7a1c1f0001";

#[tokio::test]
async fn every_fixture_flow_is_accepted_without_violation() {
    for (name, fixture) in fixtures() {
        // At once, and event by event.
        for requests in [vec![fixture["batch"].clone()], one_by_one(&fixture)] {
            let caller = Caller::new(org_of_the_fixtures()).await;
            for request in &requests {
                let answer = caller.post(request).await;
                assert_eq!(answer, (200, json!({ "errors": [] })), "{name}");
            }
            let summary = caller.sim.summary();
            let told = caller.sim.told();
            assert_eq!(caller.sim.violations(), vec![], "{name}");
            assert_eq!(
                (summary.conversations, summary.open, summary.events, summary.refused),
                (1, 0, fixture["order"].as_array().map_or(0, Vec::len) as u64, 0),
                "{name}"
            );
            assert_eq!((summary.duplicates, summary.out_of_order), (0, 0), "{name}");
            assert_eq!(summary.requests, requests.len() as u64);
            assert_eq!(told.len(), 1);
            assert!(told.iter().flat_map(|told| &told.legs).all(|leg| leg.end_ms.is_some()));
        }
    }
}

#[tokio::test]
async fn a_fixture_is_told_as_it_reads() {
    let (_, fixture) = fixtures().into_iter().find(|(name, _)| name.starts_with("05")).expect("05");
    let caller = Caller::new(org_of_the_fixtures()).await;
    caller.post(&fixture["batch"]).await;
    let told: Vec<Told> = serde_json::from_value(caller.get("/sim/told").await).expect("told");
    assert_eq!(told, caller.sim.told());
    let conversation = told.first().expect("one");
    assert_eq!(conversation.interaction_id, "00ABCDEF00000004");
    let midday = 1_729_857_600_000;
    let legs: Vec<_> = conversation
        .legs
        .iter()
        .map(|leg| {
            let seconds = |ms: Option<i64>| ms.map(|ms| (ms - midday) / 1_000);
            let end = leg.disconnect.as_deref().unwrap_or("");
            (leg.kind, seconds(leg.answered_ms), seconds(leg.end_ms), end)
        })
        .collect();
    let wanted = vec![
        (LegKind::External, None, Some(90), "Self"),
        (LegKind::Routing, None, Some(30), "TransferUser"),
        (LegKind::User, None, Some(25), "System"),
        (LegKind::User, Some(30), Some(90), "Peer"),
    ];
    assert_eq!(legs, wanted);
}

#[tokio::test]
async fn a_cut_connection_is_a_transport_error_and_the_events_are_applied_or_not() {
    for tls in [false, true] {
        for (fault, events) in [(Fault::CutBefore, 0), (Fault::CutAfter, 1)] {
            let config = GcConfig { tls, ..faulty(vec![FaultRule::at(2, fault.clone())]) };
            let caller = Caller::new(config).await;
            // The second request goes over the connection of the first.
            caller.post(&external(1, 0)).await;
            let sent = caller.events(&external(2, 1)).send().await;
            let error = sent.expect_err("no answer");
            assert!(error.status().is_none() && !error.is_timeout(), "{fault:?} {error:?}");
            let summary = caller.sim.summary();
            assert_eq!((summary.events, summary.requests), (1 + events, 2), "{fault:?}");
            let answer = caller.post(&external(2, 1)).await;
            assert_eq!(answer.0, 200);
            let summary = caller.sim.summary();
            assert_eq!((summary.events, summary.duplicates), (2, events), "{fault:?}");
            assert_eq!((summary.repeats_differing, summary.violations.len()), (0, 0));
        }
    }
}

#[tokio::test]
async fn a_slow_answer_comes_after_the_events_were_applied() {
    let caller = Caller::new(faulty(vec![FaultRule::at(1, Fault::Slow { ms: 600_000 })])).await;
    let waiting = tokio::spawn(caller.events(&external(1, 0)).send());
    let applied = async {
        while caller.sim.summary().events == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), applied).await.expect("the event is applied");
    assert!(!waiting.is_finished());
    waiting.abort();
    assert_eq!(caller.post(&external(1, 0)).await.0, 200);
    assert_eq!((caller.sim.summary().events, caller.sim.summary().duplicates), (1, 1));
}

#[tokio::test]
async fn answers_that_are_no_json() {
    let rules = vec![FaultRule::at(1, Fault::Garbage), FaultRule::at(2, Fault::BadGateway)];
    let caller = Caller::new(faulty(rules)).await;
    for (status, kind) in [(200, "application/json"), (502, "text/html")] {
        let answer = caller.events(&external(1, 0)).send().await.expect("an answer");
        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "content-type"), kind);
        let body = answer.text().await.expect("a body");
        assert!(serde_json::from_str::<Value>(&body).is_err(), "{body}");
    }
}

#[tokio::test]
async fn beyond_the_allowance_it_says_when_to_come_back() {
    let config = GcConfig { requests_per_minute: 2, ..GcConfig::default() };
    let caller = Caller::new(config).await;
    assert_eq!(caller.post(&external(1, 0)).await.0, 200);
    assert_eq!(caller.get("/api/v2/organizations/me").await["state"], "active");
    let answer = caller.events(&external(2, 1)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let secs: u64 = header(&answer, "retry-after").parse().expect("whole seconds");
    assert!((1..=60).contains(&secs), "{secs}");
    assert!(!header(&answer, "inin-correlation-id").is_empty());
    let body: Value = answer.json().await.expect("an error body");
    assert_eq!((&body["code"], &body["status"]), (&json!("too.many.requests"), &json!(429)));
    let summary = caller.sim.summary();
    assert_eq!((summary.requests, summary.throttled, summary.events), (2, 1, 1));
}

#[tokio::test]
async fn tokens_expire_and_are_given_anew() {
    let mut caller = Caller::new(faulty(vec![FaultRule::at(2, Fault::TokenExpiry)])).await;
    assert_eq!(caller.post(&external(1, 0)).await.0, 200);
    for _ in 0..2 {
        let (status, body) = caller.post(&external(2, 1)).await;
        assert_eq!((status, &body["code"]), (401, &json!("bad.credentials")));
    }
    caller.log_in().await;
    assert_eq!(caller.post(&external(2, 1)).await.0, 200);
    assert_eq!(caller.sim.summary().events, 2);

    let config = GcConfig { token_lifetime: Duration::ZERO, ..GcConfig::default() };
    assert_eq!(Caller::new(config).await.post(&external(1, 0)).await.0, 401);
}

#[tokio::test]
async fn wrong_credentials_get_no_token() {
    let caller = Caller::new(GcConfig::default()).await;
    let answer = caller.token_request("simulated-client", "guess").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let body: Value = answer.json().await.expect("an error");
    assert_eq!(
        (&body["error"], &body["code"]),
        (&json!("invalid_client"), &json!("bad.credentials"))
    );
}

#[tokio::test]
async fn a_repeated_event_id_is_ignored_or_applied() {
    for (dedup, refused) in [(true, 0), (false, 1)] {
        let caller = Caller::new(GcConfig { dedup, ..GcConfig::default() }).await;
        caller.post(&external(1, 0)).await;
        let (status, body) = caller.post(&external(1, 0)).await;
        let errors = body["errors"].as_array().map_or(0, Vec::len);
        let summary = caller.sim.summary();
        assert_eq!((status, errors as u64, summary.duplicates), (200, refused, 1));
        assert_eq!(summary.violations.values().sum::<u64>(), refused);
    }
}

#[tokio::test]
async fn users_have_a_history_of_what_was_told_of_them_once() {
    const USER: &str = "00000000-0000-4000-8000-0000000000aa";
    const BUSY: &str = "31fe3bac-dea6-44b7-bed7-47f91660a1a0";
    let rules = vec![FaultRule::at(2, Fault::EventRetryable { index: 0 })];
    let caller = Caller::new(faulty(rules)).await;
    let definitions = caller.get("/api/v2/presence/definitions").await;
    let entities = definitions["entities"].as_array().cloned().unwrap_or_default();
    let named = entities.iter().find(|entity| entity["systemPresence"] == "Busy");
    assert_eq!(named.map(|entity| entity["id"].clone()), Some(json!(BUSY)));

    let presence = json!({ "userPresenceEvents": [{
        "eventId": "00000000-0000-4000-8000-000000000001", "userId": USER, "sourceId": USER,
        "eventDateTime": "2024-10-25T12:00:00.001Z", "presenceDefinitionId": BUSY }] });
    let status = json!({ "userRoutingStatusEvents": [{
        "eventId": "00000000-0000-4000-8000-000000000002", "agentId": USER, "sourceId": USER,
        "eventDateTime": "2024-10-25T12:00:00.002Z", "status": "OffQueue" }] });
    let tell = async |operation: &str, body: &Value| {
        let url = format!("{}/api/v2/events/users/{operation}", caller.base);
        let answer = caller.client.post(url).bearer_auth(&caller.token).json(body).send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let fine = (200, json!({ "errors": [] }));
    assert_eq!(tell("presence", &presence).await, fine);
    let (code, body) = tell("routingstatus", &status).await;
    assert_eq!((code, &body["errors"][0]["retryable"]), (200, &json!(true)));
    assert_eq!(tell("routingstatus", &status).await, fine);
    assert_eq!(tell("presence", &presence).await, fine, "a repeat is ignored");
    assert_eq!(tell("presence", &status).await.0, 400, "each operation has its own body");

    let changes = json!([
        { "atMs": 1_729_857_600_001_i64, "presence": "Busy" },
        { "atMs": 1_729_857_600_002_i64, "routingStatus": "OffQueue" },
    ]);
    let users = json!([{ "userId": USER, "changes": changes }]);
    assert_eq!(caller.get("/sim/users").await, users);
    assert_eq!((caller.sim.summary().duplicates, caller.sim.summary().requests), (1, 5));
}

#[tokio::test]
async fn tls_is_trusted_by_its_own_authority_only() {
    let caller = Caller::new(GcConfig { tls: true, ..GcConfig::default() }).await;
    assert!(caller.base.starts_with("https://127.0.0.1:"), "{}", caller.base);
    assert_eq!(caller.get("/sim/health").await, json!({ "ok": true }));
    let other = Caller::new(GcConfig { tls: true, ..GcConfig::default() }).await;
    let stranger = other.client.get(format!("{}/sim/health", caller.base)).send().await;
    assert!(stranger.expect_err("another authority").is_connect());
}

#[tokio::test]
async fn a_body_too_large_is_refused_with_an_answer() {
    let caller = Caller::new(GcConfig::default()).await;
    let request = caller.events(&Value::Null).body(vec![b' '; 5_000_000]);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body: Value = answer.json().await.expect("an error body");
    assert_eq!(body["code"], "request.entity.too.large");
}

#[tokio::test]
async fn its_own_addresses_show_the_ledger_and_set_faults() {
    let caller = Caller::new(GcConfig::default()).await;
    let faults = format!("{}/sim/faults", caller.base);
    let plan = json!({ "rules": [{ "at": 1, "fault": { "eventFinal": {} } }] });
    let set = |body: String| caller.client.post(&faults).body(body).send();
    assert_eq!(set(plan.to_string()).await.expect("an answer").status(), 200);
    assert_eq!(set("{\"rules\":7}".to_owned()).await.expect("an answer").status(), 400);
    let (_, body) = caller.post(&external(1, 0)).await;
    assert_eq!(body["errors"][0]["retryable"], false);
    caller.post(&external(2, 0)).await;

    let summary = caller.get("/sim/summary").await;
    assert_eq!(summary["refused"], 1);
    assert_eq!(summary["faults"], json!({ "eventFinal": 1 }));
    let ledger = caller.get("/sim/ledger").await;
    assert_eq!(ledger["summary"], summary);
    let list = |name: &str| ledger[name].as_array().cloned().unwrap_or_default();
    let outcomes: Vec<_> = list("events").iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, vec![json!("refused"), json!("accepted")]);
    let statuses: Vec<_> =
        list("requests").iter().map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, vec![json!(200), json!(200), json!(200)]);
    assert_eq!(list("conversations").len(), 1);
    let answer = caller.client.get(format!("{}/api/v2/flights", caller.base)).send().await;
    assert_eq!(answer.expect("an answer").status(), 404);
}

#[tokio::test]
async fn a_stopped_organisation_answers_no_more_but_can_be_read() {
    let caller = Caller::new(GcConfig::default()).await;
    caller.post(&external(1, 0)).await;
    caller.sim.stop().await.expect("it served well");
    caller.sim.stop().await.expect("stopping again changes nothing");
    caller.events(&external(2, 1)).send().await.expect_err("it has stopped");
    assert_eq!((caller.sim.summary().events, caller.sim.requests().len()), (1, 2));
}

// ---- the caller ----------------------------------------------------------------------------

/// A client with a token.
struct Caller {
    sim: GcSim,
    client: Client,
    base: String,
    token: String,
}

impl Caller {
    async fn new(config: GcConfig) -> Self {
        // A second installation of the same provider fails, which changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sim = gc::start(config).await.expect("a free port");
        let roots = sim.ca_pem().map(|pem| Certificate::from_pem(pem.as_bytes()).expect("PEM"));
        let client = Client::builder().tls_certs_only(roots).build().expect("a client");
        let base = sim.base_url();
        let mut caller = Self { sim, client, base, token: String::new() };
        caller.log_in().await;
        caller
    }

    async fn log_in(&mut self) {
        let request = self.token_request("simulated-client", "simulated-secret");
        let body: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(body["token_type"], "bearer");
        body["access_token"].as_str().expect("a token").clone_into(&mut self.token);
    }

    fn token_request(&self, id: &str, secret: &str) -> RequestBuilder {
        self.client
            .post(format!("{}/oauth/token", self.base))
            .header("authorization", format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials")
    }

    fn events(&self, body: &Value) -> RequestBuilder {
        let url = format!("{}/api/v2/events/conversations", self.base);
        self.client.post(url).bearer_auth(&self.token).json(body)
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        let answer = self.events(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.base);
        let answer = self.client.get(url).bearer_auth(&self.token).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
}

fn faulty(rules: Vec<FaultRule>) -> GcConfig {
    GcConfig { faults: FaultPlan { rules }, ..GcConfig::default() }
}

fn org_of_the_fixtures() -> GcConfig {
    let ids = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
    GcConfig {
        users: ids(&[
            "e4ed48e4-03db-4a05-9caf-aae509c1d65d",
            "2870d65c-5d7a-4cd8-b2e7-0c1017ee5bbc",
        ]),
        queues: ids(&[
            "344a69ee-c4a4-4c7b-baa0-eb9f2c5c77b8",
            "3f93d930-8145-4f17-a8db-1173612c0182",
        ]),
        wrap_up_codes: ids(&["e3dea811-7b9e-4178-8e5c-ae4881bf0f9b"]),
        source_id: Some("720fd115-84f4-46dd-b67d-7f9119b62819".to_owned()),
        ..GcConfig::default()
    }
}

/// The external party of a conversation, at a second of its own.
fn external(number: u32, second: u32) -> Value {
    let id = |kind: u32| format!("0b54bd38-5e4b-4f0a-8b2c-{kind:04}{number:08}");
    json!({ "externalEstablishedEvents": [{
        "eventId": id(1), "communicationId": id(2), "conversationId": CONVERSATION,
        "eventDateTime": format!("2024-10-25T12:00:{second:02}Z"),
        "initialConfiguration": { "alerting": false },
        "sourceConfiguration": { "sourceId": CONVERSATION, "interactionId": "1" },
    }] })
}

fn fixtures() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut fixtures: Vec<(String, Value)> = std::fs::read_dir(folder)
        .expect("fixtures")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a file");
            (path.display().to_string(), serde_json::from_str(&text).expect("JSON"))
        })
        .map(|(path, json)| (path.rsplit('/').next().unwrap_or("").to_owned(), json))
        .collect();
    fixtures.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(fixtures.len(), 17);
    fixtures
}

/// A request for each event of a fixture, in its order.
fn one_by_one(fixture: &Value) -> Vec<Value> {
    let order = fixture["order"].as_array().expect("an order");
    order
        .iter()
        .map(|entry| {
            let array = entry[0].as_str().expect("an array");
            let events = fixture["batch"][array].as_array().expect("events");
            let event = events.iter().find(|event| event["eventId"] == entry[1]).expect("there");
            json!({ array: [event] })
        })
        .collect()
}
