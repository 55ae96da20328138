//! The client against a small Genesys Cloud that does what it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use trunkline_sinks::conversation::PATH;
use trunkline_sinks::delivery::Batch;
use trunkline_sinks::genesys_cloud::auth::{FAILURE_HELD_MS, RENEW_BEFORE_MS};
use trunkline_sinks::genesys_cloud::client::{CONNECT_TIMEOUT, MAX_ANSWER_BYTES, RateHint};
use trunkline_sinks::genesys_cloud::{ClientError, Found, Reply};
use trunkline_sinks::presence::DEFINITIONS_PATH;
use trunkline_sinks::{Answer, ClientConfig, GenesysCloud};

const SECRET: &str = "a-secret-nobody-may-see";
const NOW_MS: i64 = 1_700_000_000_000;
const LIFETIME_S: i64 = 3_600;

/// One answer of the events operation.
#[derive(Clone, Copy, Debug)]
enum Say {
    /// Status, headers, body.
    This(u16, &'static [(&'static str, &'static str)], &'static str),
    /// A body of so many bytes.
    Huge(u16, usize),
    /// Nothing, ever.
    Nothing,
}

#[derive(Default)]
struct Script {
    /// What the events operation says; nothing left: an empty `BatchEventResponse`.
    events: VecDeque<Say>,
    /// What the log-in says; nothing left: a token.
    log_ins: VecDeque<Say>,
    /// Tokens given so far; the newest is valid.
    tokens: u64,
    /// Every token is refused.
    refuses_all: bool,
    log_ins_seen: Vec<String>,
    events_seen: Vec<String>,
}

#[derive(Clone, Default)]
struct Cloud(Arc<Mutex<Script>>);

impl Cloud {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().expect("no test panics with the script in hand")
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/oauth/token", post(log_in))
            .route(PATH, post(events))
            .route(DEFINITIONS_PATH, get(events))
            .with_state(self.clone())
    }

    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(axum::serve(listener, self.router()).into_future());
        format!("http://{address}")
    }
}

fn response(status: u16, body: impl Into<Body>) -> Response {
    let response = Response::builder().status(status).body(body.into());
    response.expect("a status and a body are a response")
}

async fn say(say: Say) -> Response {
    match say {
        Say::This(status, headers, body) => {
            let mut response = response(status, body);
            for (name, value) in headers {
                let value = value.parse().expect("a header value");
                response.headers_mut().insert(*name, value);
            }
            response
        }
        Say::Huge(status, bytes) => response(status, "x".repeat(bytes)),
        Say::Nothing => std::future::pending().await,
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|v| v.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn log_in(State(cloud): State<Cloud>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1_000).await.expect("a short body");
    let seen = format!(
        "{} {} {}",
        header(&parts.headers, "authorization"),
        header(&parts.headers, "content-type"),
        String::from_utf8_lossy(&body)
    );
    let said = {
        let mut script = cloud.script();
        script.log_ins_seen.push(seen);
        script.log_ins.pop_front()
    };
    if let Some(said) = said {
        return say(said).await;
    }
    let token = {
        let mut script = cloud.script();
        script.tokens += 1;
        format!("token-{}", script.tokens)
    };
    let body = json!({"access_token": token, "token_type": "bearer", "expires_in": LIFETIME_S});
    response(200, body.to_string())
}

async fn events(State(cloud): State<Cloud>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1_000_000).await.expect("a whole body");
    let said = {
        let mut script = cloud.script();
        script.events_seen.push(String::from_utf8_lossy(&body).into_owned());
        let valid = format!("Bearer token-{}", script.tokens);
        if script.refuses_all || header(&parts.headers, "authorization") != valid {
            let body = r#"{"code":"bad.credentials","status":401}"#;
            Some(Say::This(401, &[], body))
        } else {
            script.events.pop_front()
        }
    };
    say(said.unwrap_or(Say::This(200, &[], "{\"errors\":[]}"))).await
}

fn config(url: &str) -> ClientConfig {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let provider = rustls::crypto::ring::default_provider();
        provider.install_default().expect("it is installed once");
    });
    ClientConfig {
        base_url: format!("{url}/"),
        auth_url: url.to_owned(),
        client_id: "client".into(),
        client_secret: SECRET.into(),
        ca_pem: None,
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: Duration::from_secs(30),
    }
}

fn client(url: &str) -> GenesysCloud {
    GenesysCloud::new(config(url)).expect("a good configuration")
}

fn batch() -> Batch {
    Batch { path: PATH, body: json!({"communicationEndedEvents": []}) }
}

#[tokio::test]
async fn what_is_asked_for_is_there_or_the_answer_says_why_not() {
    let cloud = Cloud::default();
    let client = client(&cloud.serve().await);
    let listing = r#"{"entities":[]}"#;
    let refused = Answer::Refused { status: 403, code: "missing.permissions".into() };
    let limited = Answer::RateLimited { retry_after_s: Some(7) };
    let ambiguous = |why: &str| Answer::Ambiguous { why: why.into() };
    let table = [
        (Say::This(200, &[], listing), Some(json!({ "entities": [] })), ACCEPTED),
        (Say::This(200, &[], "<html>"), None, ambiguous("200: the body is no JSON object")),
        (Say::This(403, &[], r#"{"code":"missing.permissions"}"#), None, refused),
        (Say::This(429, &[("retry-after", "7")], listing), None, limited),
        (Say::This(503, &[], listing), None, ambiguous("503")),
    ];
    for (said, body, answer) in table {
        cloud.script().events.push_back(said);
        let found: Found = client.get(DEFINITIONS_PATH, NOW_MS).await;
        assert_eq!((found.body, found.reply.answer), (body, answer), "{said:?}");
    }
    // Somebody else logged in: the token is renewed, and the question asked again, once.
    cloud.script().tokens += 1;
    cloud.script().events.push_back(Say::This(200, &[], listing));
    assert_eq!(client.get(DEFINITIONS_PATH, NOW_MS).await.body, Some(json!({ "entities": [] })));
    cloud.script().refuses_all = true;
    let asked = cloud.script().events_seen.len();
    let found = client.get(DEFINITIONS_PATH, NOW_MS).await;
    assert_eq!((found.body, found.reply.answer), (None, Answer::Unauthorized));
    assert_eq!(cloud.script().events_seen.len() - asked, 2);
}

const ACCEPTED: Answer = Answer::Accepted { errors: Vec::new() };

fn ambiguous_why(reply: &Reply) -> &str {
    let Answer::Ambiguous { why } = &reply.answer else { panic!("{reply:?} is not ambiguous") };
    why
}

fn not_sent_why(reply: &Reply) -> &str {
    let Answer::NotSent { why } = &reply.answer else { panic!("{reply:?} was sent") };
    why
}

#[tokio::test]
async fn fifty_requests_at_once_log_in_once() {
    let cloud = Cloud::default();
    let client = Arc::new(client(&cloud.serve().await));
    let post = |_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.post(&batch(), NOW_MS).await })
    };
    let posts: Vec<_> = (0..50).map(post).collect();
    for post in posts {
        assert_eq!(post.await.expect("no panic").answer, ACCEPTED);
    }
    let script = cloud.script();
    // The Basic credentials are those of RFC 7617: base64 of `client:a-secret-nobody-may-see`.
    let credentials = "Basic Y2xpZW50OmEtc2VjcmV0LW5vYm9keS1tYXktc2Vl";
    let form = "application/x-www-form-urlencoded grant_type=client_credentials";
    assert_eq!(script.log_ins_seen, [format!("{credentials} {form}")]);
    assert_eq!(script.events_seen, vec![batch().body.to_string(); 50]);
}

#[tokio::test]
async fn fifty_requests_with_a_spent_token_log_in_once_more() {
    let cloud = Cloud::default();
    let client = Arc::new(client(&cloud.serve().await));
    assert_eq!(client.post(&batch(), NOW_MS).await.answer, ACCEPTED);
    // GC forgets the token: as if another had been given in its place.
    cloud.script().tokens = 6;
    let post = |_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.post(&batch(), NOW_MS).await })
    };
    let posts: Vec<_> = (0..50).map(post).collect();
    for post in posts {
        assert_eq!(post.await.expect("no panic").answer, ACCEPTED);
    }
    assert_eq!(cloud.script().log_ins_seen.len(), 2);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_a_401_is_asked_once_more() {
    let cloud = Cloud::default();
    let client = client(&cloud.serve().await);
    let renewed_ms = NOW_MS + LIFETIME_S * 1_000 - RENEW_BEFORE_MS;
    for (at_ms, log_ins) in [(NOW_MS, 1), (renewed_ms - 1, 1), (renewed_ms, 2)] {
        assert_eq!(client.post(&batch(), at_ms).await.answer, ACCEPTED);
        assert_eq!(cloud.script().log_ins_seen.len(), log_ins, "at {at_ms}");
    }
    cloud.script().refuses_all = true;
    let before = cloud.script().events_seen.len();
    let reply = client.post(&batch(), renewed_ms).await;
    assert_eq!((reply.answer, reply.status), (Answer::Unauthorized, Some(401)));
    assert_eq!(cloud.script().events_seen.len(), before + 2);
    assert_eq!(cloud.script().log_ins_seen.len(), 3);
}

#[tokio::test]
async fn a_failed_log_in_sends_nothing_and_is_not_hammered() {
    let not_sent = |why: &str| Answer::NotSent { why: format!("no token: {why}") };
    let table = [
        (Say::This(400, &[], SECRET), Answer::Unauthorized, FAILURE_HELD_MS),
        (Say::This(401, &[], SECRET), Answer::Unauthorized, FAILURE_HELD_MS),
        (Say::This(503, &[], ""), not_sent("the log-in was answered with 503"), FAILURE_HELD_MS),
        (
            Say::This(200, &[], "{\"access_token\":7}"),
            not_sent("the answer holds no token"),
            FAILURE_HELD_MS,
        ),
        (Say::This(200, &[], "<html>"), not_sent("the answer holds no token"), FAILURE_HELD_MS),
        (
            Say::Huge(200, MAX_ANSWER_BYTES + 1),
            not_sent("the answer is over 1048576 bytes"),
            FAILURE_HELD_MS,
        ),
        (Say::This(429, &[("retry-after", "9")], ""), not_sent("too many log-ins (429)"), 9_000),
    ];
    for (said, answer, held_ms) in table {
        let cloud = Cloud::default();
        cloud.script().log_ins.push_back(said);
        let client = client(&cloud.serve().await);
        for at_ms in [NOW_MS, NOW_MS + held_ms - 1] {
            assert_eq!(client.post(&batch(), at_ms).await.answer, answer, "{said:?}");
        }
        assert_eq!(cloud.script().log_ins_seen.len(), 1, "{said:?}");
        assert!(cloud.script().events_seen.is_empty(), "{said:?}");
        assert_eq!(client.post(&batch(), NOW_MS + held_ms).await.answer, ACCEPTED, "{said:?}");
    }
}

#[tokio::test]
async fn answers_keep_what_the_log_should_know() {
    let cloud = Cloud::default();
    let headers = &[
        ("retry-after", "17"),
        ("inin-correlation-id", "c0"),
        ("inin-ratelimit-count", "301"),
        ("inin-ratelimit-allowed", "300"),
        ("inin-ratelimit-reset", "12"),
    ];
    let body = "{\"code\":\"too.many.requests\"}";
    cloud.script().events.push_back(Say::This(429, headers, body));
    let reply = client(&cloud.serve().await).post(&batch(), NOW_MS).await;
    let expected = Reply {
        answer: Answer::RateLimited { retry_after_s: Some(17) },
        status: Some(429),
        correlation_id: Some("c0".into()),
        rate: RateHint { count: Some(301), allowed: Some(300), reset_s: Some(12) },
    };
    assert_eq!(reply, expected);
}

#[tokio::test]
async fn what_cannot_be_understood_is_ambiguous() {
    let cut = "200: the answer was cut or over the limit";
    let table = [
        (Say::This(200, &[], "<html>"), "200: the body is no JSON object"),
        (Say::This(204, &[], ""), "204: the body is no JSON object"),
        (Say::Huge(200, 16 * 1024 * 1024), cut),
        (Say::Huge(503, 16 * 1024 * 1024), "503"),
    ];
    for (said, why) in table {
        let cloud = Cloud::default();
        cloud.script().events.push_back(said);
        let reply = client(&cloud.serve().await).post(&batch(), NOW_MS).await;
        assert_eq!(ambiguous_why(&reply), why, "{said:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_ambiguous() {
    let cloud = Cloud::default();
    cloud.script().events.push_back(Say::Nothing);
    let mut config = config(&cloud.serve().await);
    config.request_timeout = Duration::from_secs(2);
    let client = GenesysCloud::new(config).expect("a good configuration");
    let reply = client.post(&batch(), NOW_MS).await;
    assert!(ambiguous_why(&reply).contains("timed out"), "{reply:?}");
    assert_eq!(client.post(&batch(), NOW_MS).await.answer, ACCEPTED, "and the next one is sent");
}

/// A server that reads a request and then sends these bytes and cuts the connection.
async fn cutting(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let whole = batch().body.to_string().into_bytes();
            while !request.ends_with(&whole) {
                match stream.read_buf(&mut request).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            if stream.write_all(bytes).await.is_err() {
                break;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_cut_connection_is_ambiguous_and_none_at_all_is_not() {
    let cloud = Cloud::default();
    let auth_url = cloud.serve().await;
    let with_base = |base_url: String| {
        let config = ClientConfig { base_url, ..config(&auth_url) };
        GenesysCloud::new(config).expect("a good configuration")
    };
    let table: [&'static [u8]; 3] = [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"errors\":[",
    ];
    for bytes in table {
        let address = cutting(bytes).await;
        let reply = with_base(format!("http://{address}")).post(&batch(), NOW_MS).await;
        let why = ambiguous_why(&reply);
        assert!(!why.contains(&address.to_string()), "{why} names no address");
    }
    // Nobody listens at a port that was just given back.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let reply = with_base(format!("http://{address}")).post(&batch(), NOW_MS).await;
    assert!(not_sent_why(&reply).contains("refused"), "{reply:?}");
}

#[tokio::test]
async fn only_the_authority_given_is_trusted() {
    let certificate =
        |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (good, stranger, elsewhere) =
        (certificate("localhost"), certificate("localhost"), certificate("elsewhere.example"));
    let table = [(&good, &good, true), (&good, &stranger, false), (&elsewhere, &elsewhere, false)];
    for (server, trusted, is_good) in table {
        let cloud = Cloud::default();
        let url = config_and_serve(&cloud, server).await;
        let mut config = config(&url);
        config.ca_pem = Some(trusted.cert.pem().into_bytes());
        let client = GenesysCloud::new(config).expect("a good configuration");
        let reply = client.post(&batch(), NOW_MS).await;
        if is_good {
            assert_eq!(reply.answer, ACCEPTED);
        } else {
            assert!(not_sent_why(&reply).contains("certificate"), "{reply:?}");
            assert!(cloud.script().log_ins_seen.is_empty(), "no secret goes to a stranger");
        }
    }
}

async fn config_and_serve(cloud: &Cloud, key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    // The provider first: the server's TLS needs it as well.
    let _ = config("http://localhost");
    let certificate = vec![key.cert.der().to_vec()];
    let tls = axum_server::tls_rustls::RustlsConfig::from_der(
        certificate,
        key.signing_key.serialize_der(),
    );
    let tls = tls.await.expect("a certificate and its key");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    let port = listener.local_addr().expect("an address").port();
    let server = axum_server::from_tcp_rustls(listener, tls).expect("a listener");
    tokio::spawn(server.serve(cloud.router().into_make_service()));
    format!("https://localhost:{port}")
}

#[tokio::test]
async fn a_wrong_configuration_names_its_setting_and_shows_no_secret() {
    let good = config("https://api.example");
    assert!(!format!("{good:?}").contains(SECRET));
    let made = GenesysCloud::new(good.clone()).expect("a good configuration");
    assert!(!format!("{made:?}").contains(SECRET));

    let with = |base_url: &str, auth_url: &str, ca: Option<&[u8]>| ClientConfig {
        base_url: base_url.into(),
        auth_url: auth_url.into(),
        ca_pem: ca.map(<[u8]>::to_vec),
        ..good.clone()
    };
    let user = format!("https://me:{SECRET}@api.example");
    let table = [
        (with("api.example", "https://a", None), "base_url"),
        (with("https://a", "ftp://login.example", None), "auth_url"),
        (with("https://a", "https://", None), "auth_url"),
        (with(&user, "https://a", None), "base_url"),
        (with("https://a", "https://a", Some(b"no PEM")), "certificate"),
    ];
    for (config, named) in table {
        let error: ClientError = GenesysCloud::new(config).expect_err("a wrong configuration");
        let text = error.to_string();
        assert!(text.contains(named), "{text} names {named}");
        assert!(!text.contains(SECRET));
    }
}
