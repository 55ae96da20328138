//! The admin listeners: health for the orchestrator, metrics for Prometheus, and a page for people.
//! Each role has one of its own, as the services of EXEC have (seed 003); they differ in what
//! `/health` and `/status` tell of.
//!
//! | path | answer |
//! |---|---|
//! | `/health` | 200 if everything that the role needs is well, else 503, and what it depends on |
//! | `/status` | 200 if the role does its work, else 503, in the form that EXCS has for it |
//! | `/livez` | 200 if every loop has stepped within its limit, else 503 and which has not |
//! | `/readyz` | 200 if every condition holds, else 503 and which does not |
//! | `/metrics` | the text form of Prometheus |
//! | `/config` | the configuration in force, secrets by reference |
//! | `/registry/…` | the built-in schemas, as a schema registry tells them |
//! | `/` | all of it, to be read |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub mod health;
pub mod metrics;
mod page;
mod registry;
pub mod roles;

use crate::clock;
use crate::config::Code;
use health::Health;
use metrics::Metrics;
use roles::Role;

/// How often histograms are tidied.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What the listener shows.
#[derive(Clone)]
pub struct Shown {
    /// What the loops report.
    pub health: Health,
    /// What they count.
    pub metrics: Metrics,
    /// The configuration as it may be shown ([`crate::config::Config::redacted_toml`]).
    pub config: String,
}

/// A listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "error[{}]: {key}\n{address} cannot be opened: {source}\n\nhint: is another Trunkline running \
     here? `{key}` sets another address",
    Code::AdminListener
)]
pub struct BindError {
    /// The key of the configuration that says the address.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// Opens the listener of a role.
///
/// # Errors
/// The address is in use, or not one of this machine.
pub async fn bind(role: Role, address: SocketAddr) -> Result<TcpListener, BindError> {
    let key = match role {
        Role::Conversation => "admin.listen",
        Role::Presence => "admin.presence_listen",
        Role::Config => "admin.config_listen",
    };
    TcpListener::bind(address).await.map_err(|source| BindError { key, address, source })
}

/// Answers at the listeners of these roles until `stop` is cancelled; open connections are cut
/// then, since a probe can ask again.
///
/// # Errors
/// A listener failed.
pub async fn serve(
    listeners: Vec<(Role, TcpListener)>,
    shown: Shown,
    stop: CancellationToken,
) -> io::Result<()> {
    let metrics = shown.metrics.clone();
    let shown = Arc::new(shown);
    let mut servers = JoinSet::new();
    for (role, listener) in listeners {
        let asked = Asked { shown: Arc::clone(&shown), role };
        servers.spawn(axum::serve(listener, router(asked)).into_future());
    }
    let served = tokio::select! {
        Some(served) = servers.join_next() => served.map_err(io::Error::other).flatten(),
        () = upkeep(metrics) => Ok(()),
        () = stop.cancelled() => Ok(()),
    };
    servers.shutdown().await;
    served
}

/// What is shown, and whose listener was asked.
#[derive(Clone)]
struct Asked {
    shown: Arc<Shown>,
    role: Role,
}

impl FromRef<Asked> for Arc<Shown> {
    fn from_ref(asked: &Asked) -> Self {
        Arc::clone(&asked.shown)
    }
}

async fn upkeep(metrics: Metrics) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.upkeep();
    }
}

fn router(asked: Asked) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/health", get(role_health))
        .route("/status", get(role_status))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .route("/config", get(config))
        .route("/registry/{*path}", get(schemas))
        .with_state(asked)
}

async fn role_health(State(asked): State<Asked>) -> Response {
    let (well, body) = roles::health(&asked.shown.health, asked.role, clock::uptime());
    answer(status(well), "application/json", body.to_string())
}

async fn role_status(State(asked): State<Asked>) -> Response {
    let (well, body) = roles::status(&asked.shown.health, asked.role, roles::id());
    answer(status(well), "application/json", body.to_string())
}

async fn livez(State(shown): State<Arc<Shown>>) -> Response {
    let loops = shown.health.loops(clock::uptime());
    let live = loops.iter().all(|state| state.live);
    let dead: Vec<_> = loops.into_iter().filter(|state| !state.live).collect();
    answer(status(live), "application/json", json!({ "live": live, "dead": dead }).to_string())
}

async fn readyz(State(shown): State<Arc<Shown>>) -> Response {
    let missing = shown.health.missing();
    let ready = missing.is_empty();
    let body = json!({ "ready": ready, "missing": missing }).to_string();
    answer(status(ready), "application/json", body)
}

async fn prometheus(State(shown): State<Arc<Shown>>) -> Response {
    let text = "text/plain; version=0.0.4; charset=utf-8";
    metrics::conditions_missing(shown.health.missing().len());
    answer(StatusCode::OK, text, shown.metrics.render())
}

async fn config(State(shown): State<Arc<Shown>>) -> Response {
    answer(StatusCode::OK, "text/plain; charset=utf-8", shown.config.clone())
}

async fn schemas(Path(path): Path<String>) -> Response {
    let (status, body) = registry::answer(&path);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, "application/vnd.schemaregistry.v1+json", body.to_string())
}

async fn page(State(shown): State<Arc<Shown>>) -> Response {
    let html = page::render(&shown, clock::uptime());
    answer(StatusCode::OK, "text/html; charset=utf-8", html)
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::Uptime;

    struct Running {
        base: String,
        health: Health,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<io::Result<()>>,
    }

    async fn run() -> Running {
        // The client wants TLS even where it speaks plain HTTP; the second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let any = ([127, 0, 0, 1], 0).into();
        let listener = bind(Role::Config, any).await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (health, stop) = (Health::new(), CancellationToken::new());
        let metrics = Metrics::install().expect("nobody else records here");
        let config = "[admin]\n".to_owned();
        let shown = Shown { health: health.clone(), metrics, config };
        let task = tokio::spawn(serve(vec![(Role::Config, listener)], shown, stop.clone()));
        Running { base, health, stop, task }
    }

    impl Running {
        async fn get(&self, path: &str) -> (u16, String) {
            let answer = reqwest::get(format!("{}{path}", self.base)).await.expect("an answer");
            let status = answer.status().as_u16();
            (status, answer.text().await.expect("a body"))
        }

        async fn json(&self, path: &str) -> (u16, Value) {
            let (status, body) = self.get(path).await;
            (status, serde_json::from_str(&body).expect("it is JSON"))
        }
    }

    #[tokio::test]
    async fn liveness_follows_the_loops() {
        let running = run().await;
        assert_eq!(running.json("/livez").await, (200, json!({ "live": true, "dead": [] })));

        let minute = Duration::from_mins(1);
        let progress = running.health.watch("sink-0", minute, clock::uptime());
        assert_eq!(running.json("/livez").await.0, 200);

        // A limit of nothing is always exceeded by the time the request arrives.
        let stuck = running.health.watch("bridge-b1", Duration::ZERO, Uptime::of_ms(0));
        let before = clock::uptime();
        while clock::uptime().as_ms() <= before.as_ms() {
            tokio::task::yield_now().await;
        }
        let (status, body) = running.json("/livez").await;
        assert_eq!((status, &body["live"]), (503, &Value::Bool(false)));
        assert_eq!(body["dead"].as_array().map(Vec::len), Some(1));
        assert_eq!(body["dead"][0]["name"], "bridge-b1");
        stuck.retire();
        assert_eq!(running.json("/livez").await.0, 200);

        drop(progress);
        let (status, body) = running.json("/livez").await;
        assert_eq!((status, &body["dead"][0]["ended"]), (503, &Value::Bool(true)));
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let running = run().await;
        assert_eq!(running.json("/readyz").await.0, 503);
        let (log, token) = (running.health.condition("log"), running.health.condition("token"));
        log.set(true, "");
        token.set(false, "the login server answered 401");
        let missing = json!([{ "condition": "token", "why": "the login server answered 401" }]);
        let expected = (503, json!({ "ready": false, "missing": missing }));
        assert_eq!(running.json("/readyz").await, expected);
        token.set(true, "");
        let ready = (200, json!({ "ready": true, "missing": [] }));
        assert_eq!(running.json("/readyz").await, ready);
    }

    #[tokio::test]
    async fn a_role_tells_of_itself() {
        let running = run().await;
        let sink = running.health.of(Role::Config).condition("config-sink-0");
        let other = running.health.of(Role::Presence).condition("presence-sink-0");
        other.set(false, "not its business");
        for (is_well, status, word, code) in [(false, 503, "DOWN", 50_301), (true, 200, "UP", 0)] {
            sink.set(is_well, "the organisation is being read");
            let (answered, body) = running.json("/health").await;
            assert_eq!((answered, &body["status"]), (status, &json!(word)), "{body}");
            let (answered, body) = running.json("/status").await;
            assert_eq!((answered, &body["status"]["code"]), (status, &json!(code)), "{body}");
        }
    }

    #[tokio::test]
    async fn metrics_configuration_and_page_are_served_and_nothing_else() {
        let running = run().await;
        let (status, metrics) = running.get("/metrics").await;
        assert_eq!(status, 200);
        assert!(metrics.contains("trunkline_build_info{version=\"0.1.0\"} 1"), "{metrics}");
        assert!(metrics.contains("\ntrunkline_conditions_missing 1\n"), "{metrics}");
        assert_eq!(running.get("/config").await, (200, "[admin]\n".to_owned()));
        let (status, page) = running.get("/").await;
        assert_eq!(status, 200);
        assert!(page.contains("not ready: start"), "{page}");
        assert_eq!(running.get("/etc/passwd").await.0, 404);
    }

    #[tokio::test]
    async fn it_ends_when_told_to_and_says_why_it_cannot_begin() {
        let running = run().await;
        let address: SocketAddr =
            running.base.trim_start_matches("http://").parse().expect("an address");
        for (role, key) in [
            (Role::Conversation, "admin.listen"),
            (Role::Presence, "admin.presence_listen"),
            (Role::Config, "admin.config_listen"),
        ] {
            let error = bind(role, address).await.expect_err("the port is taken").to_string();
            let (first, rest) = error.split_once(": Address").expect("the cause is named");
            assert_eq!(first, format!("error[E0017]: {key}\n{address} cannot be opened"));
            assert!(rest.contains("\n\nhint: is another Trunkline running here?"), "{rest}");
            assert!(rest.ends_with(&format!("`{key}` sets another address")), "{rest}");
        }
        running.stop.cancel();
        running.task.await.expect("no panic").expect("no error");
        bind(Role::Config, address).await.expect("the port is free again");
    }
}
