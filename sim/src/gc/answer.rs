//! Answers, and the error body (gc-api section 2).

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::auth::hex;

/// The largest request body.
pub(super) const BODY_BYTES_MAX: usize = 3_000_000;

/// An answer, or none.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// HTTP status; nothing if the connection is to be cut instead.
    pub(super) status: Option<u16>,
    pub(super) content_type: &'static str,
    pub(super) retry_after_secs: Option<u64>,
    pub(super) correlation_id: String,
    pub(super) body: String,
    /// How long to hold it back.
    pub(super) delay: Duration,
    /// What the ledger wants to know beside.
    pub(super) code: Option<String>,
    pub(super) events: usize,
    pub(super) errors: usize,
    pub(super) faults: Vec<String>,
}

impl Answer {
    /// With a JSON body.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status: Some(status),
            content_type: "application/json",
            retry_after_secs: None,
            correlation_id: String::new(),
            body: body.to_string(),
            delay: Duration::ZERO,
            code: None,
            events: 0,
            errors: 0,
            faults: Vec::new(),
        }
    }
}

/// The answer to a body beyond [`BODY_BYTES_MAX`].
pub(super) fn too_large() -> Answer {
    let text = format!("The request is over the size limit. Maximum bytes: {BODY_BYTES_MAX}");
    error(0, 413, "request.entity.too.large", &text)
}

/// An answer with the `ErrorBody` of gc-api section 2.
pub(super) fn error(number: u64, status: u16, code: &str, message: &str) -> Answer {
    let body = json!({
        "message": message, "code": code, "status": status, "contextId": correlation_id(number),
        "details": [], "errors": [],
    });
    Answer { code: Some(code.to_owned()), ..Answer::json(status, &body) }
}

/// 429 with `Retry-After`.
pub(super) fn too_many(number: u64, message: &str, retry_after_secs: u64, limit: u32) -> Answer {
    let code = "too.many.requests";
    let body = json!({
        "message": message, "code": code, "status": 429, "contextId": correlation_id(number),
        "details": [], "errors": [],
        "limit": {
            "key": "client.credentials.token.rate.per.minute", "namespace": "platform.api",
            "value": limit,
        },
    });
    Answer {
        code: Some(code.to_owned()),
        retry_after_secs: Some(retry_after_secs),
        ..Answer::json(429, &body)
    }
}

/// By which support finds a request again; also the `contextId` of its error.
pub(super) fn correlation_id(number: u64) -> String {
    hex(&Sha256::digest(format!("request {number}")))
}
