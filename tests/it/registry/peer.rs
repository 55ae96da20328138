//! A small registry that keeps what it promises: one id a schema, compatibility checked against
//! every version before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The first id: none that is built in.
pub(super) const FIRST_ID: usize = 100;

/// What it holds.
#[derive(Default)]
pub(super) struct Holds {
    /// Texts of schemas; the id is the place.
    pub(super) schemas: Vec<String>,
    /// Ids by subject, oldest first.
    pub(super) subjects: BTreeMap<String, Vec<usize>>,
    /// How the schemas of a subject must be compatible.
    pub(super) levels: BTreeMap<String, String>,
}

type Shared = Arc<Mutex<Holds>>;

/// A registry that listens until it is dropped.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) holds: Shared,
    stop: CancellationToken,
}

impl Peer {
    /// Starts one there, with what another held.
    pub(super) async fn start(address: SocketAddr, holds: Shared) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().expect("it is bound");
        let router = Router::new()
            .route("/subjects/{subject}/versions", post(register))
            .route("/config/{subject}", put(set_level))
            .route("/schemas/ids/{id}", get(by_id))
            .with_state(Arc::clone(&holds));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                served = axum::serve(listener, router).into_future() => served.expect("it serves"),
            }
        });
        Self { address, holds, stop }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Answer = (StatusCode, Json<Value>);

fn refuse(status: StatusCode, code: u32, message: &str) -> Answer {
    (status, Json(json!({ "error_code": code, "message": message })))
}

async fn register(
    State(holds): State<Shared>,
    Path(subject): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let mut holds = holds.lock().expect("nobody panics with it");
    let Some(text) = body["schema"].as_str() else {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, 42201, "there is no schema");
    };
    let Ok(schema) = Schema::parse_str(text) else {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, 42201, "it is no schema");
    };
    let versions = holds.subjects.get(&subject).cloned().unwrap_or_default();
    let known = holds.schemas.iter().position(|known| known == text).map(|at| at + FIRST_ID);
    if let Some(id) = known.filter(|id| versions.contains(id)) {
        return (StatusCode::OK, Json(json!({ "id": id })));
    }
    let level = holds.levels.get(&subject).map_or("BACKWARD_TRANSITIVE", String::as_str);
    for version in versions {
        let older = Schema::parse_str(&holds.schemas[version - FIRST_ID]).expect("it was parsed");
        let reads_older = SchemaCompatibility::can_read(&older, &schema).is_ok();
        let is_read = SchemaCompatibility::can_read(&schema, &older).is_ok();
        if !reads_older || (level == "FULL_TRANSITIVE" && !is_read) {
            return refuse(StatusCode::CONFLICT, 409, "it is incompatible with an earlier schema");
        }
    }
    let id = known.unwrap_or_else(|| {
        holds.schemas.push(text.to_owned());
        holds.schemas.len() - 1 + FIRST_ID
    });
    holds.subjects.entry(subject).or_default().push(id);
    (StatusCode::OK, Json(json!({ "id": id })))
}

async fn set_level(
    State(holds): State<Shared>,
    Path(subject): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let level = body["compatibility"].as_str().unwrap_or_default().to_owned();
    holds.lock().expect("nobody panics with it").levels.insert(subject, level);
    (StatusCode::OK, Json(body))
}

async fn by_id(State(holds): State<Shared>, Path(id): Path<usize>) -> Answer {
    let holds = holds.lock().expect("nobody panics with it");
    match id.checked_sub(FIRST_ID).and_then(|at| holds.schemas.get(at)) {
        Some(text) => (StatusCode::OK, Json(json!({ "schema": text }))),
        None => refuse(StatusCode::NOT_FOUND, 40403, "Schema not found"),
    }
}
