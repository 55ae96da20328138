//! Agent states: a line of Stat Server, a record of Voice Microservices, and what makes neither.

use serde_json::{Value, json};
use trunkline_ingest::agentstate::{self, EVENTS, RecordContext};
use trunkline_ingest::feed::{FeedLine, LineContext, LineError, Place, translate};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{RawEvent, RawKind};

const RECEIVED_US: i64 = 1_764_000_500_000_000;

fn line(text: &str) -> Result<RawEvent, LineError> {
    let context = LineContext {
        domain: "d1",
        link: "b1/east/stat/0",
        received_time_us: RECEIVED_US,
        role: Stream::Stat,
        server: Some("stat1"),
        server_start: Some(1_764_000_000),
        place: Place { line: 1, byte: 0 },
    };
    let said = translate(text.as_bytes(), &context)?;
    let FeedLine::Event(event) = said else { panic!("{text} gave {said:?}") };
    Ok(event)
}

#[test]
fn a_line_of_stat_server_is_kept_byte_for_byte() {
    let payload = concat!(
        r#"{"id":"EventInfo",  "Server":"stat9","time":{"TimeinSecs":1764000123,"#,
        r#""TimeinuSecs":200000},"AgentId":"A1001","Statistic":"CurrentState","AgentStatus":22,"#,
        r#""Since":1764000120,"DnStatuses":[{"DN":"7001","Status":8}], "Own":{"k":[1]}}"#,
    );
    let read = line(&format!(r#"{{"source":"stat1","stream":"stat","event":{payload} , "x":1}}"#));
    let expected = RawEvent {
        stream: Some(Stream::Stat),
        link: "b1/east/stat/0".to_owned(),
        server_start: Some(1_764_000_000),
        name: Some("EventInfo".to_owned()),
        switch_time_us: Some(1_764_000_123_200_000),
        agent_id: Some("A1001".to_owned()),
        payload: payload.as_bytes().to_vec(),
        ..RawEvent::bare(RawKind::Event, "d1", "stat1", RECEIVED_US)
    };
    assert_eq!(read, Ok(expected));
}

/// Lines, and the code and text of the refusal, if they are refused.
const LINES: [(&str, Option<&str>); 14] = [
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentState","AgentStatus":4}}"#,
        None,
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentState","AgentStatus":"LoggedOut"}}"#,
        None,
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentStateReasons","Reasons":{"a":"b"}}}"#,
        None,
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentStateReason","Reasons":[["a","b"]]}}"#,
        None,
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentStateReason","Reasons":{}}}"#,
        None,
    ),
    (
        r#"{"stream":"stat","event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentState","AgentStatus":4,"time":{"TimeinSecs":5},"Since":5}}"#,
        None,
    ),
    (
        r#"{"event":{"id":"EventInfo","Statistic":"CurrentState","AgentStatus":4}}"#,
        Some("missing_attribute: EventInfo without AgentId"),
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"","Statistic":"CurrentState","AgentStatus":4}}"#,
        Some("missing_attribute: EventInfo without AgentId"),
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","AgentStatus":4}}"#,
        Some("missing_attribute: EventInfo without Statistic"),
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentState","Reasons":{}}}"#,
        Some("missing_attribute: EventInfo without AgentStatus"),
    ),
    (
        r#"{"event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentStateReasons","AgentStatus":4}}"#,
        Some("missing_attribute: EventInfo without Reasons"),
    ),
    (
        r#"{"event":{"AgentId":"A","Statistic":"CurrentState","AgentStatus":4}}"#,
        Some("no_id: the event has no id"),
    ),
    (
        r#"{"stream":"vq","event":{"id":"EventInfo","AgentId":"A","Statistic":"CurrentState","AgentStatus":4}}"#,
        Some("unknown_stream: the stream is not stat"),
    ),
    (r#"{"source":"stat1"}"#, Some("no_event: the line has no event")),
];

#[test]
fn the_schema_and_the_reader_agree_on_every_line() {
    let text = include_str!("../../docs/stat-line.schema.json");
    let schema: Value = serde_json::from_str(text).expect("the schema is JSON");
    let schema = jsonschema::validator_for(&schema).expect("the schema is one");
    for (text, refusal) in LINES {
        let read = line(text).map_err(|error| error.to_string());
        assert_eq!(read.err().as_deref(), refusal, "{text}");
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(schema.is_valid(&value), refusal.is_none(), "{text}");
    }
    let docs = include_str!("../../docs/ingest.md");
    let mut examples = 0;
    for example in docs.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let lines = serde_json::Deserializer::from_str(example).into_iter::<Value>();
        for value in lines.map(|value| value.expect("an example is JSON")) {
            if value["stream"] == "stat" {
                assert!(schema.is_valid(&value), "{value}");
                line(&value.to_string()).expect("an example is read");
                examples += 1;
            }
        }
    }
    assert_eq!(examples, 2, "the examples of docs/ingest.md");
}

#[test]
fn what_nobody_knows_is_kept() {
    for event in [
        r#"{"id":"EventStatisticOpened","ReferenceId":7}"#,
        r#"{"id":"EventInfo","AgentId":"A","Statistic":"TotalLoginTime","Value":7}"#,
        r#"{"id":"EventInfo","AgentId":"A","Statistic":"CurrentState","AgentStatus":99,"x":[{}]}"#,
    ] {
        let read = line(&format!(r#"{{"event":{event}}}"#)).expect("it is kept");
        assert_eq!(read.payload, event.as_bytes());
    }
}

/// The tables of seed 004 by hand: event, mandatory attributes, number of optional ones. `M` and so
/// on are written out in [`written_out`].
const TABLES: [(&str, &str, usize); 14] = [
    ("EventAgentLogin", "S D T", 6),
    ("EventAgentLogout", "S D T", 6),
    ("EventAgentReady", "W S D T", 5),
    ("EventAgentNotReady", "S D T", 6),
    ("EventDNOutOfService", "D", 1),
    ("EventDNBackInService", "D", 1),
    ("EventDNDOn", "S D T", 4),
    ("EventDNDOff", "S D T", 4),
    ("EventForwardSet", "S D T", 6),
    ("EventForwardCancel", "S D T", 4),
    ("EventOffHook", "S D T", 11),
    ("EventOnHook", "S D T", 10),
    ("EventMuteOn", "C R D", 7),
    ("EventMuteOff", "C R D", 7),
];

fn written_out(letter: &str) -> &'static str {
    match letter {
        "W" => "AgentWorkMode",
        "S" => "Server",
        "D" => "ThisDN",
        "T" => "time",
        "C" => "ConnID",
        "R" => "ThisDNRole",
        other => panic!("no attribute {other}"),
    }
}

fn value(attribute: &str) -> Value {
    match attribute {
        "time" => json!({"TimeinSecs": 1_764_000_123, "TimeinuSecs": 200_000}),
        "AgentWorkMode" | "ThisDNRole" | "CallState" | "CallType" | "CallID" => 2.into(),
        "Extensions" | "Reasons" | "UserData" => json!({"ReasonCode": "Break"}),
        "InfoStatus" => "CallForwardingStatus".into(),
        other => format!("a {other}").into(),
    }
}

const RECORD_US: i64 = 1_764_000_400_000_000;

fn record(event: &Value) -> Result<RawEvent, String> {
    let context = RecordContext {
        domain: "d1",
        link: "b1/east/agentstate/3",
        received_time_us: RECEIVED_US,
        record_time_us: RECORD_US,
        offset: 41,
    };
    let text = event.to_string();
    let read = agentstate::translate(text.as_bytes(), &context);
    if let Err(error) = &read {
        let letter = agentstate::dead_letter(text.as_bytes(), error, &context);
        assert_eq!(letter.value.as_deref(), Some(text.as_bytes()));
        let source = letter.header("dead-source").expect("it has a place");
        assert_eq!(source, b"b1/east/agentstate/3 offset 41");
    }
    read.map_err(|error| error.to_string())
}

#[test]
fn each_of_the_14_events_needs_what_its_own_table_says() {
    for ((name, mandatory, optional), table) in TABLES.into_iter().zip(EVENTS) {
        assert_eq!((table.name, table.optional.len()), (name, optional));
        let mandatory: Vec<&str> = mandatory.split(' ').map(written_out).collect();
        assert_eq!(table.mandatory.len(), mandatory.len() + 1, "{name}: and id");
        let mut whole = json!({ "id": name });
        for attribute in table.mandatory.iter().chain(table.optional).filter(|a| **a != "id") {
            whole[*attribute] = value(attribute);
        }
        let read = record(&whole).expect("it is whole");
        let has_time = mandatory.contains(&"time");
        let expected = RawEvent {
            stream: Some(Stream::AgentState),
            link: "b1/east/agentstate/3".to_owned(),
            sequence: Some(41),
            name: Some(name.to_owned()),
            switch_time_us: Some(if has_time { 1_764_000_123_200_000 } else { RECORD_US }),
            record_time: !has_time,
            this_dn: Some("a ThisDN".to_owned()),
            conn_id: whole["ConnID"].as_str().map(str::to_owned),
            agent_id: whole["AgentID"].as_str().map(str::to_owned),
            source: whole["Server"].as_str().unwrap_or_default().to_owned(),
            payload: whole.to_string().into_bytes(),
            ..RawEvent::bare(RawKind::Event, "d1", "", RECEIVED_US)
        };
        assert_eq!(read, expected);
        for attribute in mandatory {
            for nothing in [None, Some(Value::Null), Some("".into())] {
                let mut broken = whole.clone();
                let members = broken.as_object_mut().expect("an object");
                members.remove(attribute);
                members.extend(nothing.map(|nothing| (attribute.to_owned(), nothing)));
                let why = format!("missing_attribute: {name} without {attribute}");
                assert_eq!(record(&broken), Err(why));
            }
        }
        for attribute in table.optional {
            let mut without = whole.clone();
            without.as_object_mut().expect("an object").remove(*attribute);
            record(&without).expect("it is optional");
        }
    }
}

#[test]
fn attributes_are_taken_as_they_may_be_written() {
    let login = |more: Value| {
        let mut event = json!({"id": "AgentLogin", "Server": "s", "ThisDN": 7001,
            "time": {"TimeinSecs": 1_764_000_123}});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        record(&event)
    };
    let read = login(json!({"Agent ID": "5501"})).expect("it is read");
    let (name, agent) = (read.name.as_deref(), read.agent_id.as_deref());
    assert_eq!((name, agent), (Some("EventAgentLogin"), Some("5501")));
    assert_eq!((read.this_dn.as_deref(), read.record_time), (Some("7001"), false));
    assert_eq!(read.switch_time_us, Some(1_764_000_123_000_000));
    let both = login(json!({"Agent ID": "5501", "AgentID": "A1001"})).expect("it is read");
    assert_eq!(both.agent_id.as_deref(), Some("A1001"));
    assert_eq!(login(json!({})).expect("it may be absent").agent_id, None);
    let unknown = record(&json!({"id": "EventRegistered", "AgentID": "A1001"}));
    let unknown = unknown.expect("it is kept");
    assert!(unknown.record_time && unknown.switch_time_us == Some(RECORD_US));
    for (more, why) in [
        (json!({"ThisDN": ["7001"]}), "bad_field: ThisDN is neither text nor a number"),
        (json!({"AgentID": {"a": 1}}), "bad_field: AgentID is neither text nor a number"),
        (json!({"time": 17}), "bad_field: time is not TimeinSecs and TimeinuSecs"),
        (
            json!({"time": {"TimeinSecs": 1, "TimeinuSecs": 1_000_000}}),
            "bad_field: time is not TimeinSecs and TimeinuSecs",
        ),
        (json!({"AgentID": "x".repeat(513)}), "bad_field: AgentID is over 512 bytes"),
    ] {
        assert_eq!(login(more).expect_err("it is refused"), why);
    }
    let forward = |status: Value| {
        record(&json!({"id": "EventForwardSet", "Server": "s", "ThisDN": "7001",
            "time": {"TimeinSecs": 1, "TimeinuSecs": 2}, "InfoStatus": status}))
    };
    for status in [
        "CallForwardingStatus".into(),
        "SendAllCallsStatus".into(),
        "AddressInfoSendAllCallsStatus".into(),
        Value::from(3),
        "10".into(),
    ] {
        forward(status).expect("it is one of the two, or a number");
    }
    let why = "bad_field: InfoStatus is neither CallForwardingStatus nor SendAllCallsStatus";
    assert_eq!(forward("AgentStatus".into()).expect_err("it is neither"), why);
    for (text, code) in [("[]", "bad_field"), ("{", "truncated"), ("x", "not_json")] {
        let context = RecordContext {
            domain: "d1",
            link: "l",
            received_time_us: 0,
            record_time_us: 0,
            offset: 0,
        };
        let error = agentstate::translate(text.as_bytes(), &context).expect_err("no event");
        assert_eq!(error.code.name(), code, "{text}");
    }
}
