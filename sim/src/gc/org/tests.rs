use serde_json::json;

use super::super::faults::FaultRule;
use super::super::script::{batch, id};
use super::*;

const CALL: &[&str] =
    &["0 external c", "0.001 routing q by=c", "9 ended c Self", "9.001 ended q Peer"];

fn org(config: &GcConfig) -> (Org, String) {
    let mut org = Org::new(config);
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        config.client_id, config.client_secret
    );
    let answer = org.serve(
        0,
        &Request {
            method: "POST".to_owned(),
            path: "/oauth/token".to_owned(),
            body: form.into_bytes(),
            ..Request::default()
        },
    );
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    let token = body["access_token"].as_str().expect("a token");
    (org, format!("Bearer {token}"))
}

fn with_faults(rules: Vec<FaultRule>) -> (Org, String) {
    org(&GcConfig { faults: FaultPlan { rules }, ..GcConfig::default() })
}

fn post(org: &mut Org, token: &str, body: Vec<u8>) -> Answer {
    let request = Request {
        method: "POST".to_owned(),
        path: EVENTS_PATH.to_owned(),
        authorization: Some(token.to_owned()),
        content_type: Some("application/json; charset=utf-8".to_owned()),
        body,
        ..Request::default()
    };
    org.serve(1, &request)
}

/// `errors[]` as pairs of event id and retryable.
fn errors(answer: &Answer) -> Vec<(String, bool)> {
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    let list = body["errors"].as_array().cloned().unwrap_or_default();
    let pair = |error: &Value| {
        (error["eventId"].as_str().unwrap_or("").to_owned(), error["retryable"] == json!(true))
    };
    list.iter().map(pair).collect()
}

#[test]
fn the_place_in_an_array_carries_no_order() {
    let (mut org, token) = org(&GcConfig::default());
    let mut backwards = CALL.to_vec();
    backwards.reverse();
    let answer = post(&mut org, &token, batch(0, &backwards));
    assert_eq!((answer.status, errors(&answer)), (Some(200), vec![]));
    let summary = org.summary();
    assert_eq!((summary.events, summary.open, summary.out_of_order), (4, 0, 0));
    assert_eq!(summary.violations, BTreeMap::new());
}

#[test]
fn a_repeat_is_ignored_or_applied_and_compared() {
    for (dedup, events, refused, letters) in [(true, 5, 0, ""), (false, 6, 3, "bcch")] {
        let (mut org, token) = org(&GcConfig { dedup, ..GcConfig::default() });
        post(&mut org, &token, batch(0, &[CALL, &["20 disposed q"]].concat()[..]));
        assert_eq!((org.summary().events, org.summary().duplicates), (5, 0));
        post(&mut org, &token, batch(4, &["20 disposed q"]));
        post(&mut org, &token, batch(3, &["9.001 ended q Peer"]));
        post(&mut org, &token, batch(1, &["0.001 routing q by=c"]));
        post(&mut org, &token, batch(2, &["9 ended c Self"]));
        let summary = org.summary();
        assert_eq!(summary.duplicates, 4, "dedup {dedup}");
        assert_eq!(summary.repeats_differing, 0);
        assert_eq!((summary.events, summary.refused), (events, refused), "dedup {dedup}");
        let broken: String = summary
            .violations
            .iter()
            .map(|(letter, count)| format!("{letter:?}").repeat(*count as usize).to_lowercase())
            .collect();
        assert_eq!(broken, letters, "dedup {dedup}");
    }
}

#[test]
fn a_repeat_that_reads_otherwise_is_noted() {
    let (mut org, token) = org(&GcConfig::default());
    post(&mut org, &token, batch(0, CALL));
    post(&mut org, &token, batch(2, &["9 ended c System"]));
    let summary = org.summary();
    assert_eq!((summary.duplicates, summary.repeats_differing), (1, 1));
    assert_eq!(summary.violations, BTreeMap::from([(Invariant::H, 1)]));
    assert_eq!(org.told()[0].legs[0].disconnect.as_deref(), Some("Self"));
    let last = org.events().pop().expect("an event");
    assert_eq!((last.outcome, last.repeat, last.differs), (EventOutcome::Duplicate, true, true));
}

#[test]
fn a_retryable_error_holds_back_the_rest_of_its_conversation_only() {
    let (mut org, token) = with_faults(vec![FaultRule::at(1, Fault::EventRetryable { index: 1 })]);
    let other = ["0 external d in=other"];
    let answer = post(&mut org, &token, batch(0, &[CALL, &other].concat()[..]));
    let wanted = |number: usize| (id(&number.to_string()), true);
    // By time the external parties of both conversations come first.
    assert_eq!(errors(&answer), vec![wanted(4)]);
    let answer = post(&mut org, &token, batch(4, &other));
    assert_eq!(errors(&answer), vec![]);
    let summary = org.summary();
    assert_eq!((summary.events, summary.retryable, summary.refused), (5, 1, 0));
    assert_eq!(summary.faults, BTreeMap::from([("eventRetryable".to_owned(), 1)]));

    let (mut org, token) = with_faults(vec![FaultRule::at(1, Fault::EventRetryable { index: 2 })]);
    let answer = post(&mut org, &token, batch(0, CALL));
    assert_eq!(errors(&answer), vec![wanted(2), wanted(3)]);
    assert_eq!(errors(&post(&mut org, &token, batch(0, CALL))), vec![]);
    let summary = org.summary();
    assert_eq!((summary.events, summary.retryable, summary.duplicates), (4, 2, 2));
    assert_eq!(summary.violations, BTreeMap::new());
}

#[test]
fn a_final_error_stays_final() {
    let (mut org, token) = with_faults(vec![FaultRule::at(1, Fault::EventFinal { index: 5 })]);
    let refused = vec![(id("1"), false)];
    let three = [&CALL[..2], &["5 hold c on"], &["6 hold c off"]].concat();
    assert_eq!(errors(&post(&mut org, &token, batch(0, &three))), refused);
    assert_eq!(errors(&post(&mut org, &token, batch(0, &three))), refused);
    let summary = org.summary();
    assert_eq!((summary.refused, summary.events, summary.duplicates), (2, 3, 3));
    assert_eq!(summary.faults, BTreeMap::from([("eventFinal".to_owned(), 1)]));
    assert_eq!(summary.violations, BTreeMap::new());
}

#[test]
fn faults_before_processing_leave_nothing_and_after_it_everything() {
    // fault, status, code, events applied
    let cases = [
        (Fault::Unavailable, Some(503), Some("service.unavailable"), 0),
        (Fault::Timeout, Some(408), Some("client.timeout"), 0),
        (Fault::BadGateway, Some(502), None, 0),
        (Fault::TooManyRequests { retry_after_secs: 7 }, Some(429), Some("too.many.requests"), 0),
        (Fault::CutBefore, None, None, 0),
        (Fault::TokenExpiry, Some(401), Some("bad.credentials"), 0),
        (Fault::CutAfter, None, None, 4),
        (Fault::Garbage, Some(200), None, 4),
        (Fault::Slow { ms: 5 }, Some(200), None, 4),
    ];
    for (fault, status, code, applied) in cases {
        let (mut org, token) = with_faults(vec![FaultRule::at(1, fault.clone())]);
        let answer = post(&mut org, &token, batch(0, CALL));
        let record = org.requests().pop().expect("a record");
        assert_eq!((answer.status, record.status), (status, status), "{fault:?}");
        assert_eq!(record.code.as_deref(), code, "{fault:?}");
        assert_eq!(record.faults, vec![fault.name()]);
        let summary = org.summary();
        assert_eq!((summary.events, summary.requests), (applied, 1), "{fault:?}");
        assert_eq!(summary.throttled, u64::from(status == Some(429)));
        assert_eq!(summary.faults, BTreeMap::from([(fault.name().to_owned(), 1)]));
        // The same again goes through, but for a client without a token.
        let again = post(&mut org, &token, batch(0, CALL)).status;
        assert_eq!(again, Some(if fault == Fault::TokenExpiry { 401 } else { 200 }), "{fault:?}");
    }
}

#[test]
fn errors_have_the_error_body() {
    let (mut org, token) = org(&GcConfig { requests_per_minute: 4, ..GcConfig::default() });
    let get = |path: &str, token: Option<&str>| Request {
        method: "GET".to_owned(),
        path: path.to_owned(),
        authorization: token.map(ToOwned::to_owned),
        ..Request::default()
    };
    let events = |body: Vec<u8>, kind: &str| Request {
        method: "POST".to_owned(),
        path: EVENTS_PATH.to_owned(),
        authorization: Some(token.clone()),
        content_type: Some(kind.to_owned()),
        body,
        ..Request::default()
    };
    let me = "/api/v2/organizations/me";
    let cases = [
        (get("/api/v2/flights", Some(&token)), 404, "not.found"),
        (get(EVENTS_PATH, Some(&token)), 404, "not.found"),
        (get(me, None), 401, "authentication.required"),
        (get(me, Some("Bearer x")), 401, "bad.credentials"),
        (get(me, Some(&token)), 200, ""),
        (
            events(vec![b' '; BODY_BYTES_MAX + 1], "application/json"),
            413,
            "request.entity.too.large",
        ),
        (events(batch(0, CALL), "text/plain"), 415, "unsupported.media.type"),
        (events(b"[".to_vec(), "application/json"), 400, "bad.request"),
        (events(batch(0, CALL), "application/json"), 200, ""),
        (events(batch(0, CALL), "application/json"), 429, "too.many.requests"),
    ];
    for (request, status, code) in cases {
        let answer = org.serve(2, &request);
        assert_eq!(answer.status, Some(status), "{} {code}", request.path);
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        if status != 200 {
            assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)));
            assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()));
        }
        assert_eq!(answer.retry_after_secs, (status == 429).then_some(60));
        assert!(!answer.correlation_id.is_empty());
    }
}

#[test]
fn the_mean_of_events_counts_processed_requests_only() {
    let (mut org, token) = with_faults(vec![FaultRule::at(1, Fault::Unavailable)]);
    post(&mut org, &token, batch(0, CALL));
    post(&mut org, &token, b"{}".to_vec());
    post(&mut org, &token, batch(0, &CALL[..2]));
    post(&mut org, &token, batch(2, &CALL[2..3]));
    post(&mut org, &token, batch(3, &CALL[3..]));
    let summary = org.summary();
    assert_eq!((summary.requests, summary.events), (5, 4));
    assert!((summary.events_per_request - 1.33).abs() < 1e-9, "{}", summary.events_per_request);
}
