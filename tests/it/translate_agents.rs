//! `trunkline translate` with agent states: what each source makes of the same day of an agent.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::program::{Done, run};
use super::translate::{EPOCH_MS, Reader, directory, model, schema, table};

const PRESENCE: &str = "/api/v2/events/users/presence";
const ROUTING: &str = "/api/v2/events/users/routingstatus";
const SOURCE_ID: &str = "55555555-5555-4555-8555-555555555001";
const USER_ID: &str = "11111111-1111-4111-8111-111111111001";

/// Presence definitions of the organisation (gc-api section 3.1).
const DEFINITIONS: [(&str, &str); 5] = [
    ("Busy", "31fe3bac-dea6-44b7-bed7-47f91660a1a0"),
    ("Meal", "3fd96123-badb-4f69-bc03-1b1ccc6d8014"),
    ("Training", "d2390a99-8546-bad9-8f0a-219548e8aeb0"),
    ("On Queue", "e08eaf1b-ee47-4fa9-a231-1200e284798f"),
    ("Offline", "ccf3c10a-aa2c-4845-8e8d-f59fa48c58e5"),
];

/// A directory whose `presence` is this; it lives as long as the folder.
fn directory_with(presence: &Value) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(directory()).expect("the directory of the cases");
    let mut whole: Value = serde_json::from_str(&text).expect("it is JSON");
    whole["presence"] = presence.clone();
    let file = folder.path().join("directory.json");
    fs::write(&file, whole.to_string()).expect("the folder can be written");
    (folder, file)
}

fn definitions() -> Value {
    let named: serde_json::Map<String, Value> =
        DEFINITIONS.iter().map(|(name, id)| ((*name).to_owned(), json!(id))).collect();
    json!({"sourceId": SOURCE_ID, "definitions": named})
}

fn translate(presence: &Value, more: &[&str], lines: &[String]) -> Done {
    let (_folder, file) = directory_with(presence);
    let file = file.to_str().expect("UTF-8");
    let mut args = vec!["translate", "--directory", file];
    args.extend(more);
    run(&args, format!("{}\n", lines.join("\n")).as_bytes())
}

/// A line of Stat Server so many seconds after the beginning.
fn stat(at_s: i64, members: Value) -> String {
    let second = EPOCH_MS / 1000 + at_s;
    let mut event = json!({
        "id": "EventInfo", "Server": "stat1", "AgentId": "A1001", "Since": second,
        "time": {"TimeinSecs": second, "TimeinuSecs": 0},
    });
    event.as_object_mut().expect("an object").extend(object(members));
    json!({"source": "stat1", "stream": "stat", "event": event}).to_string()
}

fn status(at_s: i64, status: impl Into<Value>) -> String {
    stat(at_s, json!({"Statistic": "CurrentState", "AgentStatus": status.into()}))
}

fn reasons(at_s: i64, reasons: &Value) -> String {
    stat(at_s, json!({"Statistic": "CurrentStateReasons", "Reasons": reasons}))
}

/// A record of Voice Microservices; without a time if `at_s` is none.
fn voice(at_s: Option<i64>, id: &str, members: Value) -> String {
    let mut event = json!({"id": id, "Server": "vm-1", "ThisDN": "7001"});
    if let Some(at_s) = at_s {
        let second = EPOCH_MS / 1000 + at_s;
        event["time"] = json!({"TimeinSecs": second, "TimeinuSecs": 0});
    }
    event.as_object_mut().expect("an object").extend(object(members));
    json!({"stream": "agentstate", "event": event}).to_string()
}

fn object(members: Value) -> serde_json::Map<String, Value> {
    let Value::Object(members) = members else { panic!("{members} is no object") };
    members
}

/// What was told of users: seconds, what, which; and whatever else a request must be.
fn told(done: &Done) -> Vec<String> {
    let schemas = [PRESENCE, ROUTING].map(|path| schema(&format!("POST {path}")));
    let mut told = Vec::new();
    for line in done.out.lines() {
        let request: Value = serde_json::from_str(line).expect("every line of output is JSON");
        let (body, path) = (&request["body"], request["path"].as_str().unwrap_or_default());
        let (array, user, schema) = match path {
            PRESENCE => ("userPresenceEvents", "userId", &schemas[0]),
            ROUTING => ("userRoutingStatusEvents", "agentId", &schemas[1]),
            _ => continue,
        };
        if let Some(schema) = schema {
            let flaw = schema.iter_errors(body).next();
            assert!(flaw.is_none(), "{}\n{line}", flaw.expect("a flaw"));
        }
        let events = body[array].as_array().expect("the array of the path");
        let [event] = events.as_slice() else { panic!("one event a request: {line}") };
        assert_eq!((&event[user], &event["sourceId"]), (&json!(USER_ID), &json!(SOURCE_ID)));
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        let at: jiff::Timestamp = text("eventDateTime").parse().expect("a time of RFC 3339");
        let since_ms = at.as_millisecond() - EPOCH_MS;
        let what = if path == PRESENCE {
            let id = text("presenceDefinitionId");
            let known = DEFINITIONS.iter().find(|(_, known)| *known == id);
            format!("presence {}", known.map_or("unknown", |(name, _)| *name))
        } else {
            format!("routing {}", text("status"))
        };
        told.push(format!("{:02}.{:03} {what}", since_ms / 1000, since_ms % 1000));
    }
    told
}

/// Logged in, ready, in a call, after-call work, ready, at lunch, gone.
fn day_by_stat() -> Vec<String> {
    vec![
        status(0, 8),
        reasons(0, &json!({})),
        status(10, 4),
        status(20, "CallInbound"),
        status(50, 9),
        status(60, 4),
        status(70, 8),
        reasons(70, &json!({"ReasonCode": "meal"})),
        status(90, 23),
    ]
}

fn day_by_voice() -> Vec<String> {
    vec![
        voice(Some(0), "EventAgentLogin", json!({"Agent ID": "A1001", "ThisQueue": "Q1"})),
        // It changes nothing; neither does anything of a DN alone.
        voice(Some(5), "EventAgentLogin", json!({"Agent ID": "A1001", "ThisQueue": "Q2"})),
        voice(None, "EventDNOutOfService", json!({})),
        voice(Some(10), "EventAgentReady", json!({"AgentWorkMode": 0})),
        voice(Some(19), "EventOffHook", json!({})),
        voice(None, "EventMuteOn", json!({"ConnID": "00716af900000001", "ThisDNRole": 2})),
        voice(Some(50), "EventAgentNotReady", json!({"AgentWorkMode": 3})),
        voice(Some(55), "EventDNDOn", json!({})),
        voice(Some(60), "EventAgentReady", json!({"AgentWorkMode": 0})),
        voice(Some(70), "EventAgentNotReady", json!({"Reasons": {"ReasonCode": "Meal"}})),
        voice(Some(90), "EventAgentLogout", json!({"ThisQueue": "Q1"})),
    ]
}

#[test]
fn a_day_by_stat_server_becomes_the_requests_of_the_table() {
    let done = translate(&definitions(), &[], &day_by_stat());
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
    let expected = [
        "00.000 presence Busy",
        "00.001 routing OffQueue",
        "10.000 presence On Queue",
        "10.001 routing Idle",
        "20.000 routing Interacting",
        "60.000 routing Idle",
        "70.000 presence Meal",
        "70.001 routing OffQueue",
        "90.000 presence Offline",
    ];
    assert_eq!(told(&done), expected);
}

#[test]
fn a_day_by_voice_microservices_becomes_the_same_but_for_the_call() {
    let done = translate(&definitions(), &[], &day_by_voice());
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
    let expected = [
        "00.000 presence Busy",
        "00.001 routing OffQueue",
        "10.000 presence On Queue",
        "10.001 routing Idle",
        "50.000 routing Interacting",
        "60.000 routing Idle",
        "70.000 presence Meal",
        "70.001 routing OffQueue",
        "90.000 presence Offline",
    ];
    assert_eq!(told(&done), expected);
}

/// Which source decides is that of the first line, or the one that is named.
#[test]
fn one_source_decides() {
    let both = |first: Vec<String>, second: Vec<String>| [first, second].concat();
    let stat = told(&translate(&definitions(), &[], &day_by_stat()));
    let lines = both(day_by_stat(), day_by_voice());
    assert_eq!(told(&translate(&definitions(), &[], &lines)), stat);
    let named = ["--agent-states", "voice-microservices"];
    let voice = told(&translate(&definitions(), &[], &day_by_voice()));
    let lines = both(day_by_stat()[..1].to_vec(), day_by_voice());
    assert_eq!(told(&translate(&definitions(), &named, &lines)), voice);
}

#[test]
fn calls_beside_agent_states_are_told_as_without_them() {
    let calls = model("01a");
    let alone = translate(&definitions(), &[], &calls);
    let lines = [calls, vec![status(0, 4)]].concat();
    let both = translate(&definitions(), &[], &lines);
    let of_calls = |done: &Done| -> Vec<String> {
        let is_of_call = |line: &&str| line.contains("/api/v2/events/conversations");
        done.out.lines().filter(is_of_call).map(str::to_owned).collect()
    };
    assert!(!of_calls(&alone).is_empty());
    assert_eq!(of_calls(&both), of_calls(&alone));
    assert_eq!(told(&both), ["00.000 presence On Queue", "00.001 routing Idle"]);
}

/// A Stat Server that tells of A1002 at the DN where the directory has A1001: the call is A1002's.
#[test]
fn who_logs_in_at_a_dn_gets_the_calls_there() {
    let mut login = stat(0, json!({"Statistic": "CurrentState", "AgentStatus": 4}));
    login = login.replace("A1001", "A1002");
    let mut login: Value = serde_json::from_str(&login).expect("a line is JSON");
    login["event"]["DnStatuses"] = json!([{"DN": "7001", "Switch": "SITE1", "Status": 4}]);
    let lines = [vec![login.to_string()], model("01a")].concat();
    let done = translate(&definitions(), &[], &lines);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
    let mut reader = Reader::new(EPOCH_MS);
    let mut told = Vec::new();
    for line in done.out.lines().filter(|line| line.contains("/events/conversations")) {
        let request: Value = serde_json::from_str(line).expect("a request is JSON");
        for (array, events) in request["body"].as_object().expect("a body") {
            told.push(reader.event(array, &events[0]));
        }
    }
    let wanted: Vec<String> =
        table("01a").iter().map(|line| line.replace("A1001", "A1002")).collect();
    assert_eq!(told, wanted);
}

/// Where Voice Microservices decide, calls come from the events of calls: model 01a is answered by
/// A1001 at 20 s and left by them at 80.001 s.
#[test]
fn calls_of_the_switch_reach_presence_where_no_stat_server_tells_of_them() {
    let mut lines = vec![voice(Some(0), "EventAgentReady", json!({"AgentWorkMode": 0}))];
    lines.extend(model("01a"));
    let done = translate(&definitions(), &[], &lines);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
    let expected = [
        "00.000 presence On Queue",
        "00.001 routing Idle",
        "20.000 routing Interacting",
        "80.001 routing Idle",
    ];
    assert_eq!(told(&done), expected);
}

#[test]
fn what_cannot_be_used_is_named_with_its_line() {
    let lines = [
        status(0, 8),
        r#"{"stream":"stat","event":{"id":"EventInfo","Statistic":"CurrentState","AgentStatus":4}}"#
            .to_owned(),
        voice(None, "EventAgentReady", json!({"AgentWorkMode": 0})),
        status(5, 23),
        status(10, 4),
    ];
    let known = json!({"sourceId": SOURCE_ID, "definitions": {"Busy": DEFINITIONS[0].1}});
    let done = translate(&known, &[], &lines);
    assert_eq!(done.status, Some(0));
    assert_eq!(
        told(&done),
        ["00.000 presence Busy", "00.001 routing OffQueue", "10.001 routing Idle"]
    );
    let said: Vec<&str> = done.err.lines().collect();
    let wanted = [
        "line 2: missing_attribute: EventInfo without AgentId",
        "line 3: missing_attribute: EventAgentReady without time",
        "line 4: no_definition: no presence definition is known for Offline",
        "line 5: no_definition: no presence definition is known for OnQueue",
    ];
    assert_eq!(said.len(), wanted.len(), "{}", done.err);
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "{said:?} is not {wanted:?}");
    }
}

#[test]
fn a_presence_that_genesys_cloud_does_not_have_is_no_directory() {
    let wrong = json!({"sourceId": SOURCE_ID, "definitions": {"Bussy": "x"}});
    let done = translate(&wrong, &[], &[]);
    assert_eq!((done.status, done.out.as_str()), (Some(78), ""));
    assert!(done.err.contains("did you mean `Busy`?"), "{}", done.err);
}
