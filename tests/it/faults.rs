//! The whole system against an organisation that goes wrong in every way it can be told to, one by
//! one and all together.
//!
//! What is allowed is said exactly: an event is processed twice only if the answer to the request
//! it was in never came or could not be read; refused are the events of the script and no others;
//! and every call but those of the refused events equals the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trunkline::drive::rehearsal::{Rehearsal, Script};
use trunkline_sim::engage::EngageConfig;
use trunkline_sim::gc::{
    EventOutcome, EventRecord, Fault, FaultPlan, FaultRule, GcConfig, GcSim, Invariant,
    RequestRecord,
};

use super::running::{Settings, World, until};

/// How long a run may take.
const RUN_MAX: Duration = Duration::from_mins(4);
/// How long the client waits for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// A slow answer that is waited for, and one that is not.
const SLOW_MS: u64 = 300;
const TOO_SLOW_MS: u64 = 2_500;
/// The path of the events endpoint.
const EVENTS_PATH: &str = "/api/v2/events/conversations";
/// What the organisation says of a refusal of the script.
const SCRIPTED: &str = "a scripted error";
/// Times are whole milliseconds on both sides.
const ROUNDING_MS: u64 = 2;

fn site(seed: u64, calls: u64) -> EngageConfig {
    EngageConfig { seed, calls, rate_per_second: 6.0, speed: 30.0, ..EngageConfig::default() }
}

/// The requests to the events endpoint, in order of arrival.
fn events_requests(org: &GcSim) -> Vec<RequestRecord> {
    org.requests().into_iter().filter(|request| request.path == EVENTS_PATH).collect()
}

fn log_ins(org: &GcSim) -> u64 {
    org.requests().iter().filter(|request| request.path == "/oauth/token").count() as u64
}

/// What the organisation processed, by event id, in order.
fn posts(org: &GcSim) -> BTreeMap<String, Vec<EventRecord>> {
    let mut posts: BTreeMap<String, Vec<EventRecord>> = BTreeMap::new();
    for event in org.events() {
        let id = event.body["eventId"].as_str().expect("every event has an id");
        posts.entry(id.to_owned()).or_default().push(event);
    }
    posts
}

/// Processed requests whose answer did not reach the client, or could not be read: those with one
/// of these faults.
fn unanswered(org: &GcSim, losing: &[&str]) -> BTreeSet<u64> {
    let is_lost = |request: &RequestRecord| {
        request.faults.iter().any(|fault| losing.contains(&fault.as_str()))
    };
    events_requests(org).iter().filter(|r| is_lost(r)).map(|request| request.number).collect()
}

/// Whether every event whose answer was lost has been sent again.
fn is_answered(org: &GcSim, lost: &BTreeSet<u64>) -> bool {
    let open = |post: &EventRecord| lost.contains(&post.request);
    posts(org).values().all(|posts| posts.last().is_some_and(|last| !open(last)))
}

/// An event is processed again exactly if the answer to its request was lost.
fn assert_duplicates(name: &str, org: &GcSim, lost: &BTreeSet<u64>) {
    for (id, posts) in posts(org) {
        for pair in posts.windows(2) {
            let open = pair[0].outcome == EventOutcome::Retryable;
            let is_lost = lost.contains(&pair[0].request);
            assert!(open || is_lost, "{name}: event {id} was sent again without need: {posts:?}");
            assert_eq!(pair[0].body, pair[1].body, "{name}: a repeat reads otherwise");
        }
    }
    assert!(is_answered(org, lost), "{name}: an event without an answer was not sent again");
}

/// Events of the script that were refused, and the calls they belong to, by CallUUID.
fn refused(org: &GcSim) -> Vec<(EventRecord, String)> {
    let text = |event: &EventRecord, path: &str| {
        event.body.pointer(path).and_then(|value| value.as_str()).map(str::to_owned)
    };
    let events = org.events();
    let mut calls = BTreeMap::new();
    for event in &events {
        let call = text(event, "/sourceConfiguration/interactionId");
        if let (Some(conversation), Some(call)) = (text(event, "/conversationId"), call) {
            calls.insert(conversation, call);
        }
    }
    let refused = events.into_iter().filter(|event| event.outcome == EventOutcome::Refused);
    refused
        .map(|event| {
            let conversation = text(&event, "/conversationId").expect("every event names it");
            let call = calls[&conversation].clone();
            (event, call)
        })
        .collect()
}

/// Refused are the events of the script, each once, and nothing of their conversations but what
/// leads to their end is sent from then on.
fn assert_refusals(name: &str, org: &GcSim) {
    let refused = refused(org);
    let scripted = org.summary().faults.get("eventFinal").copied().unwrap_or_default();
    assert_eq!(refused.len() as u64, scripted, "{name}: {refused:?}");
    let posts = posts(org);
    let events = org.events();
    for (event, _) in &refused {
        assert_eq!(event.message.as_deref(), Some(SCRIPTED), "{name}: {event:?}");
        let id = event.body["eventId"].as_str().expect("every event has an id");
        assert_eq!(posts[id].len(), 1, "{name}: {event:?} was sent again");
        let is_optional = event.array == "holdUpdatedEvents";
        for later in events.iter().filter(|later| later.request > event.request) {
            let same = later.body["conversationId"] == event.body["conversationId"];
            let may_pass = is_optional || later.array == "communicationEndedEvents";
            assert!(!same || may_pass, "{name}: after {event:?} came {later:?}");
        }
    }
}

/// The calls that differ are those of the refused events: all whose event shows in a leg, and of
/// the others (parts of a transfer) those of which something else was held back.
fn assert_differences(name: &str, org: &GcSim, differing: &BTreeSet<String>) {
    let refused = refused(org);
    let of_refused: BTreeSet<String> = refused.iter().map(|(_, call)| call.clone()).collect();
    assert!(differing.is_subset(&of_refused), "{name}: {differing:?}, not {of_refused:?}");
    for (event, call) in &refused {
        let shows = !event.array.contains("Transfer");
        assert!(!shows || differing.contains(call), "{name}: no difference by {event:?}");
    }
    for violation in org.violations() {
        let is_refused = refused.iter().any(|(event, _)| {
            event.body["conversationId"].as_str() == Some(violation.conversation_id.as_str())
        });
        assert!(is_refused, "{name}: {violation:?}");
        assert_ne!(violation.invariant, Invariant::F, "{name}: {violation:?}");
        // What is missing was refused or held back: nothing that was sent is wrong.
        assert_eq!(violation.event_id, None, "{name}: {violation:?}");
    }
}

/// Plays a script to its end and checks what holds of every run; `losing` are the faults by which
/// answers are lost. Returns the organisation.
async fn play(name: &str, site: EngageConfig, rules: Vec<FaultRule>, losing: &[&str]) -> GcSim {
    // Only fails where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let calls = site.calls;
    let script = Script {
        site,
        faults: FaultPlan { rules },
        requests_per_minute: None,
        request_timeout: REQUEST_TIMEOUT,
        ..Script::default()
    };
    let rehearsal = Rehearsal::start(script).await.expect("the rehearsal starts");
    let org = rehearsal.org().clone();
    let differing = || -> BTreeSet<String> {
        rehearsal.differences().into_iter().map(|one| one.call_uuid).collect()
    };
    until(&format!("{name}: all calls are told"), RUN_MAX, || {
        let summary = org.summary();
        let calls_refused = || refused(&org).into_iter().map(|(_, call)| call).collect();
        let told = || differing().is_subset(&calls_refused());
        let answered = || is_answered(&org, &unanswered(&org, losing));
        summary.conversations > 0 && summary.open == 0 && told() && answered()
    })
    .await;
    let differing = differing();
    assert!(rehearsal.stop().await, "{name}: the stop was not clean");

    let summary = org.summary();
    eprintln!(
        "faults {name} {:?} calls {calls} events {} duplicates {} refused {} throttled {} lost 0",
        summary.faults, summary.events, summary.duplicates, summary.refused, summary.throttled,
    );
    let counts = (summary.open, summary.out_of_order, summary.repeats_differing);
    assert_eq!(counts, (0, 0, 0), "{name}: {summary:?}");
    assert_refusals(name, &org);
    assert_differences(name, &org, &differing);
    assert_duplicates(name, &org, &unanswered(&org, losing));
    org
}

/// The faults, each with the answers it leaves lost: none, or all of its requests.
fn alone() -> Vec<(&'static str, Fault, bool)> {
    vec![
        ("unavailable", Fault::Unavailable, false),
        ("timeout", Fault::Timeout, false),
        ("badGateway", Fault::BadGateway, false),
        ("tooManyRequests", Fault::TooManyRequests { retry_after_secs: 1 }, false),
        ("cutBefore", Fault::CutBefore, false),
        ("tokenExpiry", Fault::TokenExpiry, false),
        ("slow", Fault::Slow { ms: SLOW_MS }, false),
        ("eventRetryable", Fault::EventRetryable { index: 1 }, false),
        ("cutAfter", Fault::CutAfter, true),
        ("garbage", Fault::Garbage, true),
        ("tooSlow", Fault::Slow { ms: TOO_SLOW_MS }, true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_alone_costs_time_and_never_the_truth() {
    let mut runs = tokio::task::JoinSet::new();
    for (number, (name, fault, loses)) in (1..).zip(alone()) {
        runs.spawn(async move {
            let rules = vec![FaultRule::every(6, 3, fault.clone())];
            let losing = if loses { vec![fault.name()] } else { Vec::new() };
            let org = play(name, site(number, 30), rules, &losing).await;
            let fired = org.summary().faults.get(fault.name()).copied().unwrap_or_default();
            assert!(fired > 2, "{name} fired {fired} times");
            let lost = unanswered(&org, &losing).len() as u64;
            assert_eq!(lost, if loses { fired } else { 0 }, "{name}");
            let summary = org.summary();
            assert_eq!(summary.duplicates > 0, loses, "{name}: {summary:?}");
            assert_eq!(summary.refused, 0, "{name}: {summary:?}");
            let is = |wanted: &str| if fault.name() == wanted { fired } else { 0 };
            assert_eq!(summary.throttled, is("tooManyRequests"), "{name}: {summary:?}");
            assert!(summary.retryable >= is("eventRetryable"), "{name}: {summary:?}");
            // However many requests find their token spent, one log-in serves them all.
            assert_eq!(log_ins(&org), 1 + is("tokenExpiry"), "{name}");
        });
    }
    while let Some(run) = runs.join_next().await {
        run.expect("the run holds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_costs_its_own_conversation_and_no_other() {
    // Early, so that none of them hits the end that the sink itself makes for a party left alone.
    let rules = (1..=8).map(|n| FaultRule::at(2 * n, Fault::EventFinal { index: n as usize % 3 }));
    let org = play("eventFinal", site(23, 60), rules.collect(), &[]).await;
    let summary = org.summary();
    assert_eq!((summary.refused, summary.duplicates), (8, 0), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_together_leaves_the_truth_but_for_what_was_refused() {
    // A refusal counts as applied where an earlier attempt had no answer, so the final ones come
    // before the others.
    let rules = vec![
        FaultRule::at(3, Fault::EventFinal { index: 1 }),
        FaultRule::at(6, Fault::EventFinal { index: 0 }),
        FaultRule::every(19, 10, Fault::Unavailable),
        FaultRule::every(23, 12, Fault::Timeout),
        FaultRule::every(29, 14, Fault::BadGateway),
        FaultRule::every(31, 16, Fault::TooManyRequests { retry_after_secs: 1 }),
        FaultRule::every(17, 18, Fault::CutBefore),
        FaultRule::every(37, 20, Fault::TokenExpiry),
        FaultRule::every(11, 13, Fault::CutAfter),
        FaultRule::every(13, 15, Fault::Garbage),
        FaultRule::every(41, 17, Fault::Slow { ms: TOO_SLOW_MS }),
        FaultRule::every(7, 11, Fault::EventRetryable { index: 1 }),
    ];
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.fault.name()).collect();
    assert_eq!(names.len(), 11, "every fault there is");
    let wanted: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
    let org = play("together", site(29, 120), rules, &["cutAfter", "garbage", "slow"]).await;
    let summary = org.summary();
    assert_eq!(summary.faults.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    assert!(summary.duplicates > 0 && summary.retryable > 0, "{summary:?}");
    assert_eq!(summary.refused, 2, "{summary:?}");
    assert_eq!(log_ins(&org), 1 + summary.faults["tokenExpiry"]);
}

/// One request at a time, so that whatever comes after an answer was sent knowing it.
fn one_at_a_time() -> Settings {
    Settings { partitions: 1, requests_in_flight: 1, ..Settings::default() }
}

/// What holds of every run against an organisation that loses nothing.
fn assert_smooth(world: &World) {
    let summary = world.org.summary();
    assert_eq!(world.differences(), []);
    let counts = (summary.duplicates, summary.refused, summary.out_of_order, summary.open);
    assert_eq!(counts, (0, 0, 0, 0), "{summary:?}");
    assert!(summary.violations.is_empty(), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_asked_before_the_end_of_retry_after() {
    let closed = [(5, 2), (11, 3)];
    let rules = closed.map(|(at, retry_after_secs)| {
        FaultRule::at(at, Fault::TooManyRequests { retry_after_secs })
    });
    let faults = FaultPlan { rules: rules.into() };
    let org = GcConfig { faults, requests_per_minute: 30_000, ..GcConfig::default() };
    let world = World::new(site(31, 40), org, &one_at_a_time()).await;
    let mut process = world.run(None);
    world.told(&mut process, RUN_MAX).await;
    process.stop().await;

    let requests = events_requests(&world.org);
    for (at, secs) in closed {
        let [refused, next] = [&requests[at as usize - 1], &requests[at as usize]];
        assert_eq!(refused.status, Some(429), "{refused:?}");
        let waited_ms = next.at_ms - refused.at_ms;
        assert!(waited_ms + ROUNDING_MS >= secs * 1_000, "{refused:?} {next:?}");
    }
    assert_eq!(world.org.summary().throttled, closed.len() as u64);
    assert_smooth(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_that_allows_less_than_was_promised_is_told_everything() {
    // Its window is a minute, so that this run takes one.
    let org = GcConfig { requests_per_minute: 25, ..GcConfig::default() };
    let world = World::new(site(37, 40), org, &one_at_a_time()).await;
    let mut process = world.run(None);
    world.told(&mut process, RUN_MAX * 2).await;
    process.stop().await;

    let summary = world.org.summary();
    assert!(summary.throttled > 0, "{summary:?}");
    for pair in events_requests(&world.org).windows(2).filter(|p| p[0].status == Some(429)) {
        // A second is the least that Retry-After can say.
        assert!(pair[1].at_ms - pair[0].at_ms + ROUNDING_MS >= 1_000, "{pair:?}");
    }
    assert_smooth(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_before_it_expires_and_tls_is_verified_by_the_given_authority() {
    let org = GcConfig {
        tls: true,
        token_lifetime: Duration::from_secs(4),
        requests_per_minute: 30_000,
        ..GcConfig::default()
    };
    let world = World::new(site(41, 40), org, &Settings::default()).await;
    assert!(world.org.base_url().starts_with("https://"));
    let mut process = world.run(None);
    world.told(&mut process, RUN_MAX).await;
    process.stop().await;

    assert!(log_ins(&world.org) > 2, "{} log-ins", log_ins(&world.org));
    let requests = events_requests(&world.org);
    let late = requests.iter().find(|request| request.status == Some(401));
    assert_eq!(late, None);
    assert_smooth(&world);
}
