//! What an answer of Genesys Cloud means (gc-api section 2, RELIABILITY section 4). Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One event that was not accepted (`EventError` of `BatchEventResponse.errors`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventError {
    /// The event.
    pub event_id: String,
    /// What is wrong with it.
    #[serde(default)]
    pub message: String,
    /// The same event can be sent again.
    #[serde(default)]
    pub retryable: bool,
}

/// The meaning of an answer, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: every event was accepted but for these.
    Accepted {
        /// The events that were not.
        errors: Vec<EventError>,
    },
    /// 429: nothing was applied; nothing may be sent before the time is over.
    RateLimited {
        /// `Retry-After`, seconds.
        retry_after_s: Option<u64>,
    },
    /// 401 after a fresh log-in, or a log-in refused: nothing was applied.
    Unauthorized,
    /// Nothing was sent: no connection or no token.
    NotSent {
        /// Why.
        why: String,
    },
    /// It may or may not have been applied: time-out, cut connection, 408, 5xx, unreadable 200.
    Ambiguous {
        /// Why.
        why: String,
    },
    /// 413: nothing was applied; fewer events may pass.
    TooLarge,
    /// 400: nothing was applied, because of at least one of the events.
    BadRequest {
        /// `ErrorBody.code`.
        code: String,
        /// `ErrorBody.message`.
        message: String,
    },
    /// 409: refused for good, because of at least one of the events.
    Conflict {
        /// `ErrorBody.code`.
        code: String,
        /// `ErrorBody.message`.
        message: String,
    },
    /// Nothing was applied and no event is to blame: 403, 404, 415 and the like. Somebody has to
    /// set it right (permission, address).
    Refused {
        /// HTTP status.
        status: u16,
        /// `ErrorBody.code`.
        code: String,
    },
}

/// The parts of `ErrorBody` that are used. No field is required (gc-api section 2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
}

/// What a complete answer to an event batch means. `body` of `None` is one that was cut or too
/// large.
pub fn classify(status: u16, retry_after: Option<&str>, body: Option<&[u8]>) -> Answer {
    if (200..300).contains(&status) {
        return match body.ok_or("the answer was cut or over the limit").and_then(errors_of) {
            Ok(errors) => Answer::Accepted { errors },
            Err(why) => Answer::Ambiguous { why: format!("{status}: {why}") },
        };
    }
    let error = body.and_then(|b| serde_json::from_slice::<ErrorBody>(b).ok()).unwrap_or_default();
    let code = error.code.unwrap_or_default();
    let message = error.message.unwrap_or_default();
    match status {
        400 | 422 => Answer::BadRequest { code, message },
        401 => Answer::Unauthorized,
        408 | 500..=599 => Answer::Ambiguous { why: format!("{status} {code}").trim_end().into() },
        409 => Answer::Conflict { code, message },
        413 => Answer::TooLarge,
        429 => {
            Answer::RateLimited { retry_after_s: retry_after.and_then(|s| s.trim().parse().ok()) }
        }
        _ => Answer::Refused { status, code },
    }
}

/// The errors of a `BatchEventResponse`.
///
/// `errors` is not required by the model, so an object without it accepts everything; but one that
/// looks like an `ErrorBody` is no `BatchEventResponse`.
fn errors_of(body: &[u8]) -> Result<Vec<EventError>, &'static str> {
    let mut members: BTreeMap<String, Value> =
        serde_json::from_slice(body).map_err(|_| "the body is no JSON object")?;
    match members.remove("errors") {
        Some(errors) if !errors.is_null() => {
            serde_json::from_value(errors).map_err(|_| "errors is no list of EventError")
        }
        Some(_) | None => {
            let alien = ["code", "status", "message", "error"];
            if alien.iter().any(|name| members.contains_key(*name)) {
                return Err("the body is no BatchEventResponse");
            }
            Ok(Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(why: &str) -> Answer {
        Answer::Ambiguous { why: why.into() }
    }

    fn event_error(message: &str, retryable: bool) -> EventError {
        EventError { event_id: "e".into(), message: message.into(), retryable }
    }

    #[test]
    fn every_status_has_its_meaning() {
        let body = r#"{"code":"some.code","message":"m","status":1}"#;
        let (code, message) = (String::from("some.code"), String::from("m"));
        let table = [
            (400, Answer::BadRequest { code: code.clone(), message: message.clone() }),
            (401, Answer::Unauthorized),
            (403, Answer::Refused { status: 403, code: code.clone() }),
            (404, Answer::Refused { status: 404, code: code.clone() }),
            (408, ambiguous("408 some.code")),
            (409, Answer::Conflict { code: code.clone(), message: message.clone() }),
            (413, Answer::TooLarge),
            (415, Answer::Refused { status: 415, code: code.clone() }),
            (429, Answer::RateLimited { retry_after_s: Some(7) }),
            (500, ambiguous("500 some.code")),
            (503, ambiguous("503 some.code")),
            (504, ambiguous("504 some.code")),
            (302, Answer::Refused { status: 302, code }),
        ];
        for (status, answer) in table {
            assert_eq!(classify(status, Some(" 7"), Some(body.as_bytes())), answer);
        }
        assert_eq!(classify(503, None, None), ambiguous("503"));
        assert_eq!(
            classify(429, Some("soon"), Some(b"<html>")),
            Answer::RateLimited { retry_after_s: None }
        );
    }

    #[test]
    fn a_200_is_not_success() {
        let accepted = |errors| Answer::Accepted { errors };
        let table = [
            ("{}", accepted(vec![])),
            (r#"{"errors":null}"#, accepted(vec![])),
            (r#"{"errors":[],"added":"later"}"#, accepted(vec![])),
            (
                r#"{"errors":[{"eventId":"e","message":"no","retryable":true}]}"#,
                accepted(vec![event_error("no", true)]),
            ),
            (r#"{"errors":[{"eventId":"e"}]}"#, accepted(vec![event_error("", false)])),
            (
                r#"{"errors":[{"message":"whose?"}]}"#,
                ambiguous("200: errors is no list of EventError"),
            ),
            (r#"{"errors":"many"}"#, ambiguous("200: errors is no list of EventError")),
            (r#"{"message":"hm"}"#, ambiguous("200: the body is no BatchEventResponse")),
            ("[]", ambiguous("200: the body is no JSON object")),
            ("", ambiguous("200: the body is no JSON object")),
            ("<html>", ambiguous("200: the body is no JSON object")),
        ];
        for (body, answer) in table {
            assert_eq!(classify(200, None, Some(body.as_bytes())), answer, "{body}");
        }
        assert_eq!(
            classify(200, None, None),
            ambiguous("200: the answer was cut or over the limit")
        );
    }
}
