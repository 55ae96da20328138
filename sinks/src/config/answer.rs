//! What an answer to a request about an object means (gc-api section 5). Pure.

use serde_json::Value;

/// The meaning of an answer, or of its absence.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Done; what it says, or null.
    Done(Value),
    /// An object of that name exists.
    Exists,
    /// It was made for a version that is no longer the current one.
    Outdated,
    /// The object, or one it refers to, does not exist.
    Gone,
    /// Refused: nothing was applied, and it will not be otherwise another time.
    Refused {
        /// HTTP status.
        status: u16,
        /// The code of the error.
        code: String,
    },
    /// It may or may not have been applied.
    Unclear {
        /// Why.
        why: String,
    },
    /// Nothing was applied; it may be another time.
    Later {
        /// Why.
        why: String,
    },
    /// 429: nothing may be sent before the time is over.
    Limited {
        /// `Retry-After`, seconds.
        retry_after_s: Option<u64>,
    },
}

/// What a complete answer means; `body` of `None` was cut or is no JSON.
pub fn meaning(status: u16, retry_after: Option<&str>, body: Option<Value>) -> Heard {
    if (200..300).contains(&status) {
        return match body {
            Some(body) => Heard::Done(body),
            None => Heard::Unclear { why: format!("{status}: the answer was cut or is no JSON") },
        };
    }
    let body = body.unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    // SCIM has its own form of errors.
    let code = [text("code"), text("scimType")].into_iter().find(|code| !code.is_empty());
    let code = code.unwrap_or_default().to_owned();
    let is_about_version = code == "invalidVers"
        || text("message").contains("does not match the current version")
        || text("message").contains("version supplied does");
    match (status, code.as_str()) {
        (400 | 409, _) if is_about_version => Heard::Outdated,
        (409, _) | (400, "duplicate.name" | "general.conflict" | "uniqueness") => Heard::Exists,
        (404 | 410, _) => Heard::Gone,
        (401, _) => Heard::Later { why: "401: the log-in is refused".to_owned() },
        (408 | 500..=599, _) => {
            Heard::Unclear { why: format!("{status} {code}").trim_end().to_owned() }
        }
        (429, _) => {
            Heard::Limited { retry_after_s: retry_after.and_then(|text| text.trim().parse().ok()) }
        }
        _ => Heard::Refused { status, code },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let refused = |status, code: &str| Heard::Refused { status, code: code.to_owned() };
        let unclear = |why: &str| Heard::Unclear { why: why.to_owned() };
        let version = "The version supplied does not match the current version of the user";
        for (status, body, expected) in [
            (200, json!({ "id": "x" }), Heard::Done(json!({ "id": "x" }))),
            (400, json!({ "code": "duplicate.name" }), Heard::Exists),
            (409, json!({ "code": "general.conflict" }), Heard::Exists),
            (409, json!({ "scimType": "uniqueness" }), Heard::Exists),
            (400, json!({ "scimType": "invalidVers" }), Heard::Outdated),
            (409, json!({ "code": "general.conflict", "message": version }), Heard::Outdated),
            (400, json!({ "code": "invalid.name" }), refused(400, "invalid.name")),
            (403, json!({ "code": "missing.permissions" }), refused(403, "missing.permissions")),
            (404, json!({ "code": "not.found" }), Heard::Gone),
            (503, json!({ "code": "service.unavailable" }), unclear("503 service.unavailable")),
            (408, Value::Null, unclear("408")),
        ] {
            assert_eq!(meaning(status, None, Some(body.clone())), expected, "{status} {body}");
        }
        let limited = |retry_after_s| Heard::Limited { retry_after_s };
        assert_eq!(meaning(429, Some("7"), None), limited(Some(7)));
        assert_eq!(meaning(429, None, None), limited(None));
        assert_eq!(meaning(200, None, None), unclear("200: the answer was cut or is no JSON"));
    }
}
