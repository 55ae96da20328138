//! Lines of a feed: what is read, what is refused and how it is kept.

use trunkline_ingest::tlib::{
    Body, DEAD_HEAD_BYTES, FeedLine, LINE_BYTES_MAX, LineCode, LineContext, LineError, Lines,
    PAYLOAD_BYTES_MAX, Place, dead_letter, dead_letter_long, translate,
};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{RawEvent, RawKind, Record};

const CONTEXT: LineContext<'static> = LineContext {
    domain: "d1",
    link: "b1/east/call/0",
    received_time_us: 1_764_000_100_123_456,
    role: Stream::Call,
    server: Some("sips1"),
    server_start: Some(1_764_000_000),
    place: Place { line: 7, byte: 420 },
};

fn event(line: &str) -> RawEvent {
    match translate(line.as_bytes(), &CONTEXT) {
        Ok(FeedLine::Event(event)) => event,
        other => panic!("{line} gave {other:?}"),
    }
}

fn refusal(line: &[u8]) -> LineError {
    translate(line, &CONTEXT).expect_err("the line must be refused")
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.header(name).map(|value| std::str::from_utf8(value).expect("headers are text"))
}

fn nested(depth: usize) -> String {
    // The line and its event are two levels.
    let inner = depth - 2;
    format!(r#"{{"event":{{"id":"EventX","A":{}{}}}}}"#, "[".repeat(inner), "]".repeat(inner))
}

#[test]
fn an_event_keeps_its_payload_byte_for_byte() {
    let payload = concat!(
        r#"{ "id": "EventQueued",  "EventSequenceNumber": "00000000010c9288", "#,
        r#""ServerStartTime": 1764000001, "Server": "sips2", "#,
        r#""time": {"TimeinSecs": 1710406800, "TimeinuSecs": 458658}, "#,
        r#""CallUUID": "011AP643CSAPR4FKQGQE31TAES00029V", "ConnID": "006C02462A161006@tenant", "#,
        r#""ThisDN": "VQ_Sales", "CallType": 99, "#,
        r#""Neu\u00e9": {"k": [1, {"k": 1, "k": 2}]}, "x": 1e2 }"#,
    );
    let line =
        format!("{{\"source\":\"s\",\"stream\":\"vq\",\"event\": {payload} , \"more\":0}}\r");
    let expected = RawEvent {
        kind: RawKind::Event,
        domain: "d1".to_owned(),
        source: "s".to_owned(),
        stream: Some(Stream::Vq),
        link: "b1/east/call/0".to_owned(),
        server_start: Some(1_764_000_001),
        sequence: Some(0x010c_9288),
        name: Some("EventQueued".to_owned()),
        switch_time_us: Some(1_710_406_800_458_658),
        received_time_us: 1_764_000_100_123_456,
        call_uuid: Some("011AP643CSAPR4FKQGQE31TAES00029V".to_owned()),
        conn_id: Some("006c02462a161006".to_owned()),
        this_dn: Some("VQ_Sales".to_owned()),
        agent_id: None,
        record_time: false,
        payload: payload.as_bytes().to_vec(),
    };
    assert_eq!(event(&line), expected);
}

/// What an event with these attributes has in its typed fields.
#[test]
fn attributes_are_read_as_they_may_be_written() {
    type Field = fn(&RawEvent) -> String;
    let start: Field = |e| format!("{:?}", e.server_start);
    let number: Field = |e| format!("{:?}", e.sequence);
    let time: Field = |e| format!("{:?}", e.switch_time_us);
    let name: Field = |e| format!("{:?}", e.name);
    let dn: Field = |e| format!("{:?}", e.this_dn);
    let source: Field = |e| e.source.clone();
    for (attributes, field, expected) in [
        (r#""id":"CallCreated""#, name, r#"Some("EventCallCreated")"#),
        (r#""id":"EventNeverHeardOf""#, name, r#"Some("EventNeverHeardOf")"#),
        (r#""id":"X","EventSequenceNumber":4899493"#, number, "Some(4899493)"),
        (r#""id":"X","EventSequenceNumber":"1F""#, number, "Some(31)"),
        (r#""id":"X","EventSequenceNumber":"""#, number, "None"),
        (r#""id":"X","EventSequenceNumber":"+1f""#, number, "None"),
        (r#""id":"X","EventSequenceNumber":"ffffffffffffffff""#, number, "None"),
        (r#""id":"X","EventSequenceNumber":-1"#, number, "None"),
        (r#""id":"X","EventSequenceNumber":18446744073709551615"#, number, "None"),
        (r#""id":"X","EventSequenceNumber":[1]"#, number, "None"),
        (r#""id":"X","ServerStartTime":{"TimeinSecs":5,"TimeinuSecs":9}"#, start, "Some(5)"),
        (r#""id":"X","ServerStartTime":{"TimeinSecs":5}"#, start, "Some(5)"),
        (r#""id":"X""#, start, "Some(1764000000)"),
        (r#""id":"X","Server":"other""#, start, "None"),
        (r#""id":"X","time":{"TimeinSecs":5,"TimeinuSecs":999999}"#, time, "Some(5999999)"),
        (r#""id":"X","time":{"TimeinSecs":5,"TimeinuSecs":1000000}"#, time, "None"),
        (r#""id":"X","time":{"TimeinSecs":5,"TimeinuSecs":-1}"#, time, "None"),
        (r#""id":"X","time":{"TimeinSecs":9223372036854775807,"TimeinuSecs":1}"#, time, "None"),
        (r#""id":"X","time":{"TimeinSecs":"5","TimeinuSecs":1}"#, time, "None"),
        (r#""id":"X","time":{"TimeinSecs":5}"#, time, "None"),
        (r#""id":"X","time":true"#, time, "None"),
        (r#""id":"X""#, time, "None"),
        (r#""id":"X","ThisDN":5000"#, dn, r#"Some("5000")"#),
        (r#""id":"X","ThisDN":"a\"b""#, dn, r#"Some("a\"b")"#),
        (r#""id":"X","ThisDN":null"#, dn, "None"),
        (r#""id":"X","ThisDN":1.5"#, dn, "None"),
        (r#""id":"X","Server":"sips9""#, source, "sips9"),
        (r#""id":"X""#, source, "sips1"),
    ] {
        let read = event(&format!(r#"{{"event":{{{attributes}}}}}"#));
        assert_eq!(field(&read), expected, "{attributes}");
        assert_eq!(read.stream, Some(Stream::Call), "the role's stream where none is named");
    }
}

#[test]
fn a_line_names_its_link_only_where_nothing_else_does() {
    let line = br#"{"link":"b2","event":{"id":"X"}}"#;
    for (link, expected) in [("", "b2"), ("b1", "b1")] {
        let Ok(FeedLine::Event(event)) = translate(line, &LineContext { link, ..CONTEXT }) else {
            panic!("it is an event")
        };
        assert_eq!(event.link, expected);
    }
}

#[test]
fn words_of_the_protocol() {
    let welcome =
        |server_start, resumed| FeedLine::Welcome { server: "s".to_owned(), server_start, resumed };
    for (line, expected) in [
        (r#"{"welcome":{"server":"s","serverStart":9,"resumed":true}}"#, welcome(Some(9), true)),
        (r#"{"welcome":{"server":"s"}}"#, welcome(None, false)),
        (r#"{"caughtUp":true}"#, FeedLine::CaughtUp),
        (r#"{"keepAlive":true}"#, FeedLine::KeepAlive),
        (" \t\r", FeedLine::KeepAlive),
        ("", FeedLine::KeepAlive),
        (r#"{"error":"too many clients"}"#, FeedLine::Error("too many clients".to_owned())),
    ] {
        assert_eq!(translate(line.as_bytes(), &CONTEXT), Ok(expected), "{line}");
    }
}

/// Each is refused with its code, and neither reason nor headers show what stood in the line.
#[test]
fn a_bad_line_becomes_a_dead_letter() {
    let deep = nested(33);
    let very_deep = "[".repeat(100_000);
    let big_payload =
        format!(r#"{{"event":{{"id":"X","A":"{}"}}}}"#, "SECRET".repeat(PAYLOAD_BYTES_MAX / 6));
    let big_line = vec![b'{'; LINE_BYTES_MAX + 1];
    let big_name = format!(r#"{{"event":{{"id":"X","ThisDN":"{}"}}}}"#, "SECRET".repeat(100));
    let cases: [(&[u8], LineCode); 25] = [
        (b"SECRET", LineCode::NotJson),
        (br#"{"event":{"id":"X"}} SECRET"#, LineCode::NotJson),
        (br#"{"event":{"id":"X","SECRET":tru}}"#, LineCode::NotJson),
        (br"{'event':{'id':'SECRET'}}", LineCode::NotJson),
        (br#"{"event":{"id":"X","ThisDN":"SECRET\ud800"}}"#, LineCode::NotJson),
        (b"{\"event\":{\"id\":\"SECRET\x01\"}}", LineCode::NotJson),
        (br#"{"event":{"id":"EventX","ThisDN":"SECR"#, LineCode::Truncated),
        (br#"{"event":{"id":"SECRET"}"#, LineCode::Truncated),
        (b"{", LineCode::Truncated),
        (b"{\"event\":{\"id\":\"SECRET\xff\"}}", LineCode::NotUtf8),
        (b"\xed\xa0\x80", LineCode::NotUtf8),
        (deep.as_bytes(), LineCode::TooDeep),
        (very_deep.as_bytes(), LineCode::TooDeep),
        (big_line.as_slice(), LineCode::TooLong),
        (big_payload.as_bytes(), LineCode::TooLong),
        (b"[\"SECRET\"]", LineCode::NotAnObject),
        (br#"{"event":"SECRET"}"#, LineCode::NotAnObject),
        (br#"{"event":["SECRET"]}"#, LineCode::NotAnObject),
        (br#"{"event":{"id":"X","id":"SECRET"}}"#, LineCode::BadField),
        (br#"{"caughtUp":"SECRET"}"#, LineCode::BadField),
        (br#"{"welcome":{"serverStart":1}}"#, LineCode::BadField),
        (big_name.as_bytes(), LineCode::BadField),
        (br#"{"stream":"SECRET","event":{"id":"X"}}"#, LineCode::UnknownStream),
        (br#"{"source":"SECRET"}"#, LineCode::NoEvent),
        (br#"{"event":{"SECRET":1,"id":7}}"#, LineCode::NoId),
    ];
    for (line, code) in cases {
        let shown = String::from_utf8_lossy(&line[..line.len().min(60)]);
        let error = refusal(line);
        assert_eq!(error.code, code, "{shown}: {error}");
        let letter = dead_letter(line, &error, &CONTEXT);
        assert_eq!(letter.key, b"b1/east/call/0");
        for (name, expected) in [
            ("dead-stage", "ingest"),
            ("dead-code", code.name()),
            ("dead-source", "b1/east/call/0 line 7 byte 420"),
            ("dead-at", "2025-11-24T16:01:40.123Z"),
            ("dead-why", error.why.as_str()),
        ] {
            assert_eq!(header(&letter, name), Some(expected), "{shown}");
        }
        assert!(letter.headers.iter().all(|(_, v)| !String::from_utf8_lossy(v).contains("SECR")));
        assert!(letter.size_bytes() <= 1 << 20, "{shown}: over the limit of a record");
        let kept = letter.value.as_deref().expect("a dead letter has a value");
        assert!(line.starts_with(kept), "{shown}");
        assert_eq!(kept.len() < line.len(), header(&letter, "dead-length").is_some(), "{shown}");
    }
}

#[test]
fn the_deepest_nesting_and_brackets_in_texts_are_read() {
    assert_eq!(event(&nested(32)).name.as_deref(), Some("EventX"));
    let brackets = format!(r#"{{"event":{{"id":"X","ThisDN":"\"{}"}}}}"#, "[{".repeat(50));
    assert_eq!(event(&brackets).this_dn.map(|dn| dn.len()), Some(101));
}

#[test]
fn the_longest_event_still_makes_a_record() {
    let frame = r#"{"id":"X","A":""}"#.len();
    let line = |bytes| format!(r#"{{"event":{{"id":"X","A":"{}"}}}}"#, "a".repeat(bytes - frame));
    let longest = event(&line(PAYLOAD_BYTES_MAX));
    let record = trunkline_schemas::codec::record(longest.domain.clone(), &longest)
        .expect("a raw event has a schema");
    assert!(record.size_bytes() <= 1 << 20);
    assert_eq!(refusal(line(PAYLOAD_BYTES_MAX + 1).as_bytes()).code, LineCode::TooLong);
}

#[test]
fn of_a_line_too_long_for_a_record_the_head_and_the_digest_are_kept() {
    let mut line = vec![b'['];
    line.resize((1 << 20) + 1, b'y');
    let error = refusal(&line);
    assert_eq!(error.code, LineCode::NotJson);
    let letter = dead_letter(&line, &error, &CONTEXT);
    assert_eq!(letter.value.as_deref(), Some(&line[..DEAD_HEAD_BYTES]));
    assert_eq!(header(&letter, "dead-length"), Some("1048577"));
    // Computed apart from this code.
    let sha256 = "57f3d399bc134813b155c53b14b2d37985650dd027962a454d2f7cf0f9865365";
    assert_eq!(header(&letter, "dead-sha256"), Some(sha256));
}

/// Pushes the input in pieces and shows each line as `line@byte:content`.
fn cut(input: &[u8], piece: usize) -> Vec<String> {
    let mut lines = Lines::default();
    let mut shown = Vec::new();
    let mut show = |line: trunkline_ingest::tlib::Line<'_>| {
        let Place { line: number, byte } = line.place;
        shown.push(match line.body {
            Body::Whole(bytes) => format!("{number}@{byte}:{}", String::from_utf8_lossy(bytes)),
            Body::Long(long) => format!("{number}@{byte} long {}", long.length),
        });
    };
    for piece in input.chunks(piece) {
        lines.push(piece);
        while let Some(line) = lines.next_line() {
            show(line);
        }
    }
    while let Some(line) = lines.last_line() {
        show(line);
    }
    shown
}

#[test]
fn lines_are_the_same_however_they_arrive() {
    for piece in [1, 2, 3, 5, 100] {
        assert_eq!(cut(b"ab\n\nc\r\ndef", piece), ["1@0:ab", "2@3:", "3@4:c\r", "4@7:def"]);
        assert_eq!(cut(b"", piece), [""; 0]);
    }
    let longest = [vec![b'a'; LINE_BYTES_MAX], b"\nb\n".to_vec()].concat();
    let too_long = [vec![b'a'; LINE_BYTES_MAX + 1], b"\nb\n".to_vec()].concat();
    for piece in [1 << 10, 64 << 10, 8 << 20] {
        assert_eq!(cut(&longest, piece)[1], format!("2@{}:b", LINE_BYTES_MAX + 1));
        let after = LINE_BYTES_MAX + 2;
        assert_eq!(
            cut(&too_long, piece),
            [format!("1@0 long {}", LINE_BYTES_MAX + 1), format!("2@{after}:b")]
        );
    }
}

#[test]
fn a_line_of_16_mib_is_skipped_in_bounded_memory() {
    let piece = vec![b'x'; 64 << 10];
    let mut lines = Lines::default();
    for _ in 0..256 {
        lines.push(&piece);
        assert!(lines.next_line().is_none());
        assert!(lines.held_bytes() <= LINE_BYTES_MAX + piece.len());
    }
    lines.push(b"\nnext\n");
    let Some(Body::Long(long)) = lines.next_line().map(|line| line.body) else {
        panic!("the first line is too long")
    };
    let letter = dead_letter_long(&long, &CONTEXT);
    assert_eq!(letter.value.as_deref(), Some(&vec![b'x'; DEAD_HEAD_BYTES][..]));
    for (name, expected) in [
        ("dead-code", "too_long"),
        ("dead-length", "16777216"),
        // Computed apart from this code.
        ("dead-sha256", "a06c26cbac8b80704f420222dae5658b88ff2da96702d12ef7a4223e9361f7c1"),
    ] {
        assert_eq!(header(&letter, name), Some(expected));
    }
    let next = lines.next_line().map(|line| format!("{:?}", line.body));
    assert_eq!(next.as_deref(), Some("Whole([110, 101, 120, 116])"), "it goes on behind it");
}
