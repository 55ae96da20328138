//! The HTTP side: reads requests, asks the organisation, writes answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::answer::{self, Answer};
use super::faults::FaultPlan;
use super::org::{Org, Request};
use super::wire::Wires;

/// The most that is read of a body at all, so that a client which sends too much is told so
/// instead of being cut off.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Shared {
    org: Arc<Mutex<Org>>,
    wires: Wires,
    started: Instant,
}

impl Shared {
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulated organisation has a clock of its own"
    )]
    pub(super) fn new(org: Org, wires: Wires) -> Self {
        Self { org: Arc::new(Mutex::new(org)), wires, started: Instant::now() }
    }

    /// The organisation, for the moment of one request.
    pub(super) fn org(&self) -> MutexGuard<'_, Org> {
        self.org.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Everything under `/sim` is the simulator's own; the rest is the organisation's.
pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/sim/health", get(|| async { Json(json!({ "ok": true })) }))
        .route(
            "/sim/summary",
            get(|State(shared): State<Shared>| async move { Json(shared.org().summary()) }),
        )
        .route(
            "/sim/ledger",
            get(|State(shared): State<Shared>| async move { Json(shared.org().ledger()) }),
        )
        .route(
            "/sim/told",
            get(|State(shared): State<Shared>| async move { Json(shared.org().told()) }),
        )
        .route(
            "/sim/users",
            get(|State(shared): State<Shared>| async move { Json(shared.org().users()) }),
        )
        .route(
            "/sim/holdings",
            get(
                |State(shared): State<Shared>| async move { Json(shared.org().holdings().clone()) },
            ),
        )
        .route("/sim/faults", post(set_faults))
        .fallback(serve)
        .with_state(shared)
}

async fn set_faults(State(shared): State<Shared>, body: String) -> Response {
    match serde_json::from_str::<FaultPlan>(&body) {
        Ok(plan) => {
            let rules = plan.rules.len();
            shared.org().set_faults(plan);
            Json(json!({ "rules": rules })).into_response()
        }
        Err(error) => {
            let body = json!({ "message": error.to_string(), "code": "bad.request" });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

async fn serve(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: HttpRequest,
) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: HeaderName| text_of(&parts.headers, &name);
    // Far too long, or it ends early because the client has gone, which is no request at all and
    // has no place in the ledger.
    let Ok(body) = to_bytes(body, READ_BYTES_MAX).await else {
        return response(answer::too_large());
    };
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        if_match: header(header::IF_MATCH),
        authorization: header(header::AUTHORIZATION),
        content_type: header(header::CONTENT_TYPE),
        body: body.to_vec(),
    };
    let answer = shared.org().serve(shared.now_ms(), &request);
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    if answer.status.is_none() {
        shared.wires.cut(client);
    }
    response(answer)
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

fn response(answer: Answer) -> Response {
    let status = answer.status.unwrap_or(500);
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .header("ININ-Correlation-Id", answer.correlation_id);
    if let Some(secs) = answer.retry_after_secs {
        response = response.header(header::RETRY_AFTER, secs);
    }
    response.body(Body::from(answer.body)).expect("status and headers are made of legal characters")
}
