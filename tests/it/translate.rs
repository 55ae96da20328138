//! `trunkline translate` against the tables of the call models, as its users call it.
//!
//! What a request says is put into the words of the tables by a small reader of its own, which
//! knows only JSON: it shares nothing with what made the request.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use trunkline::drive::rehearsal::know;
use trunkline_sim::gc::{self, GcConfig};

use super::program::{Done, run};

/// When the call models begin, milliseconds since 1970 (2024-03-14T09:00:00Z).
pub(super) const EPOCH_MS: i64 = 1_710_406_800_000;
/// Interleavings of one model that go through the program.
const INTERLEAVINGS: u64 = 20;
/// How far streams may be apart without consequence, milliseconds (the setting `wait_ms`).
const SKEW_MS: i64 = 2_000;
/// The operation of every request.
const OPERATION: &str = "POST /api/v2/events/conversations";

pub(super) fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("processors/cases")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a call model, by the name before the first `-` of its file.
pub(super) fn model(name: &str) -> Vec<String> {
    let entries = fs::read_dir(cases().join("models")).expect("there are models");
    let mut paths = entries.map(|entry| entry.expect("readable").path());
    let begins = format!("{name}-");
    let is_it = |path: &PathBuf| {
        path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&begins))
    };
    let path = paths.find(is_it).unwrap_or_else(|| panic!("there is no model {name}"));
    read(&path).lines().map(str::to_owned).collect()
}

/// The names of all models that have a table.
fn tabled() -> Vec<String> {
    let entries = fs::read_dir(cases().join("conversation")).expect("there are tables");
    let names = entries.filter_map(|entry| {
        let name = entry.expect("readable").file_name().into_string().expect("ASCII");
        name.strip_suffix(".txt").map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The lines of a table that are requests: outcomes are not printed by `translate`.
pub(super) fn table(name: &str) -> Vec<String> {
    let text = read(&cases().join(format!("conversation/{name}.txt")));
    let is_request = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
    text.lines().filter(is_request).map(str::to_owned).collect()
}

pub(super) fn directory() -> String {
    cases().join("directory.json").to_str().expect("UTF-8").to_owned()
}

fn translate(lines: &[String]) -> Done {
    let mut input = lines.join("\n").into_bytes();
    input.push(b'\n');
    translate_bytes(&input)
}

fn translate_bytes(input: &[u8]) -> Done {
    run(&["translate", "--directory", &directory()], input)
}

/// The requests that were printed.
fn requests(done: &Done) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).expect("every line of output is JSON");
    done.out.lines().map(parse).collect()
}

/// Puts events of the batch into the words of the tables.
pub(super) struct Reader {
    /// When the call begins, milliseconds since 1970.
    epoch_ms: i64,
    directory: Value,
    /// What stands for each communication.
    names: BTreeMap<String, String>,
}

impl Reader {
    /// For a call that begins then.
    pub(super) fn new(epoch_ms: i64) -> Self {
        let directory = serde_json::from_str(&read(&cases().join("directory.json")));
        let directory = directory.expect("the directory is JSON");
        Self { epoch_ms, directory, names: BTreeMap::new() }
    }

    /// The only event of a body.
    fn body(&mut self, body: &Value) -> String {
        let arrays = body.as_object().expect("a body is an object");
        let (array, events) = arrays.iter().next().expect("a body has an array");
        let events = events.as_array().expect("it is an array");
        assert_eq!((arrays.len(), events.len()), (1, 1), "one event a request: {body}");
        self.event(array, &events[0])
    }

    pub(super) fn event(&mut self, array: &str, event: &Value) -> String {
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        let leg = |key: &str| self.names.get(text(key)).cloned().unwrap_or_default();
        let kind = array.strip_suffix("Events").expect("arrays are named so");
        let rest = match kind {
            "externalEstablished" => {
                let number = |key: &str| match event.get(key) {
                    Some(number) => format!("{key}={} ", number.as_str().unwrap_or_default()),
                    None => String::new(),
                };
                let numbers = number("ani") + &number("dnis");
                self.begin(event, "customer", &numbers)
            }
            "ivrEstablished" => {
                let named = format!("name={} number={} ", text("ivrName"), text("ivrPhoneNumber"));
                self.begin(event, "ivr", &named)
            }
            "routingEstablished" => self.begin(event, &self.queue(text("queueId")), ""),
            "userEstablished" => self.begin(event, &self.user(text("userId")), ""),
            "phoneEstablished" => self.begin(event, text("phoneNumber"), ""),
            "communicationAnswered" | "audioUpdated" => leg("communicationId"),
            "communicationEnded" => {
                format!("{} {}", leg("communicationId"), text("disconnectType"))
            }
            "communicationDispositionApplied" => {
                let code = event["code"].as_str().unwrap_or("skipped");
                format!("{} {code}", leg("communicationId"))
            }
            "holdUpdated" => {
                let held = event["held"].as_bool().expect("held is told");
                format!("{} {}", leg("communicationId"), if held { "held" } else { "retrieved" })
            }
            "routingTransfer" | "userTransfer" | "phoneTransfer" => {
                let to = match kind {
                    "routingTransfer" => self.queue(text("destinationQueueId")),
                    "userTransfer" => self.user(text("destinationUserId")),
                    _ => text("destinationPhoneNumber").to_owned(),
                };
                let from = leg("initiatingCommunicationId");
                format!("{from} -> {to} of {}", leg("objectCommunicationId"))
            }
            "consultTransfer" | "progressConsultTransfer" => format!(
                "{} -> {} of {}",
                leg("initiatingCommunicationId"),
                leg("destinationCommunicationId"),
                leg("objectCommunicationId")
            ),
            "progressTransfer" => format!("-> {}", leg("destinationCommunicationId")),
            "endTransfer" => text("finalState").to_owned(),
            "endConsultTransfer" => String::new(),
            other => panic!("no table has a word for {other}: {event}"),
        };
        let at: jiff::Timestamp = text("eventDateTime").parse().expect("a time of RFC 3339");
        let since_ms = at.as_millisecond() - self.epoch_ms;
        let at = format!("{:02}.{:03}", since_ms / 1000, since_ms % 1000);
        format!("{at} {kind} {rest}").trim_end().to_owned()
    }

    fn begin(&mut self, event: &Value, name: &str, more: &str) -> String {
        let id = event["communicationId"].as_str().expect("a leg has an id").to_owned();
        let how = &event["initialConfiguration"];
        let mut words = format!("{name} {more}");
        if how["alerting"] == json!(true) {
            words += "alerting ";
        }
        words += if how["inbound"] == json!(true) { "inbound" } else { "outbound" };
        if let Some(by) = how["invitedBy"].as_str() {
            words += " invitedBy=";
            words += self.names.get(by).map_or("nobody", String::as_str);
        }
        self.names.insert(id, name.to_owned());
        words
    }

    fn named(&self, rows: &str, id_key: &str, id: &str, name_key: &str) -> String {
        let rows = self.directory[rows].as_array().expect("the directory has these rows");
        let row = rows.iter().find(|row| row[id_key] == json!(id));
        row.and_then(|row| row[name_key].as_str()).unwrap_or("unknown").to_owned()
    }

    fn queue(&self, id: &str) -> String {
        self.named("queues", "queueId", id, "dn")
    }

    fn user(&self, id: &str) -> String {
        self.named("agents", "userId", id, "employeeId")
    }
}

/// What `translate` said, in the words of the tables.
fn told(done: &Done) -> Vec<String> {
    let mut reader = Reader::new(EPOCH_MS);
    requests(done).iter().map(|request| reader.body(&request["body"])).collect()
}

/// The published schema of an operation's body; nothing where it is not beside the checkout.
pub(super) fn schema(operation: &str) -> Option<jsonschema::Validator> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("TRUNKLINE_SHARED").map_or(beside, PathBuf::from);
    let file = shared.join("gc/request-schemas.json");
    let Ok(text) = fs::read_to_string(&file) else {
        eprintln!(
            "SKIPPED: no body was held against the published request schemas, which are not at \
             ../shared/gc/request-schemas.json; set TRUNKLINE_SHARED to their folder"
        );
        return None;
    };
    let mut document: Map<String, Value> = serde_json::from_str(&text).expect("it is JSON");
    let operation = document["x-operations"][operation].clone();
    document.insert("$ref".to_owned(), operation["$ref"].clone());
    let validator = jsonschema::draft202012::new(&Value::Object(document));
    Some(validator.expect("the schema of the operation can be used"))
}

#[test]
fn each_model_becomes_the_requests_of_its_table() {
    let schema = schema(OPERATION);
    let names = tabled();
    let listed = ["01a", "01b", "02a", "02b", "03a", "03b", "05a", "05b", "06a", "06b"];
    for name in listed.iter().chain(&["11", "13", "19"]) {
        assert!(names.iter().any(|tabled| tabled == name), "model {name} has no table");
    }
    for name in names {
        let done = translate(&model(&name));
        assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "model {name}");
        assert_eq!(told(&done).join("\n"), table(&name).join("\n"), "model {name}");
        for (line, request) in done.out.lines().zip(requests(&done)) {
            let begins =
                "{\"method\":\"POST\",\"path\":\"/api/v2/events/conversations\",\"body\":{";
            assert!(line.starts_with(begins) && line.ends_with("}}"), "model {name}: {line}");
            assert_eq!(request.as_object().map(Map::len), Some(3), "model {name}: {line}");
            if let Some(schema) = &schema {
                let flaw = schema.iter_errors(&request["body"]).next();
                assert!(flaw.is_none(), "model {name}: {}\n{line}", flaw.expect("a flaw"));
            }
        }
    }
}

/// The invariants (a) to (i) of scenarios.md section 3 are the simulated organisation's to judge:
/// it shares nothing with what made the requests.
#[tokio::test]
async fn each_model_keeps_every_invariant() {
    // It fails if another test has done so, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for name in tabled() {
        let mut config = GcConfig::default();
        let known = serde_json::from_str(&read(Path::new(&directory()))).expect("a directory");
        know(&mut config, &known);
        let secret = format!("{}:{}", config.client_id, config.client_secret);
        let org = gc::start(config).await.expect("the organisation listens");
        let client = reqwest::Client::new();
        let at = |path: &str| format!("{}{path}", org.base_url());
        let log_in = client
            .post(at("/oauth/token"))
            .header("authorization", format!("Basic {}", STANDARD.encode(secret)))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let answer: Value = log_in.send().await.expect("an answer").json().await.expect("JSON");
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        let requests = requests(&translate(&model(&name)));
        for request in &requests {
            let path = request["path"].as_str().expect("a path");
            let post = client.post(at(path)).bearer_auth(&token).json(&request["body"]);
            let status = post.send().await.expect("an answer").status();
            assert_eq!(status, 200, "model {name}: {request}");
        }
        let (summary, broken) = (org.summary(), org.violations());
        assert!(broken.is_empty(), "model {name}: {broken:#?}");
        let events = summary.events as usize;
        assert_eq!((events, summary.open, summary.refused), (requests.len(), 0, 0), "model {name}");
        org.stop().await.expect("it stops");
    }
}

/// A model, how many Engage calls it has, its flow, and why it is ignored or suspended.
type Explained = (&'static str, usize, Option<&'static str>, [Option<&'static str>; 2]);

#[test]
fn each_call_is_explained_in_one_line() {
    let table: [Explained; 7] = [
        ("01a", 1, Some("03"), [None, None]),
        ("04", 1, Some("03"), [None, None]),
        ("09", 1, Some("03"), [None, Some("third_party")]),
        ("12a", 2, Some("03"), [None, None]),
        ("13", 1, None, [Some("internal"), None]),
        ("14a", 1, Some("02"), [None, Some("agent_not_mapped")]),
        ("14b", 1, None, [Some("agent_not_mapped"), None]),
    ];
    for (name, calls, flow, [ignored, suspended]) in table {
        let mut input = model(name).join("\n").into_bytes();
        input.extend(b"\nnonsense\n");
        let done = run(&["translate", "--explain", "--directory", &directory()], &input);
        let quiet = translate(&model(name));
        assert_eq!(done.out, quiet.out, "model {name}: the requests are the same");
        let lines: Vec<&str> = done.err.lines().collect();
        let [problem, line] = lines[..] else { panic!("model {name}: {lines:#?}") };
        assert!(problem.contains("not_json"), "model {name}: {problem}");
        let found: Value = serde_json::from_str(line).expect("a line is JSON");
        let members = ["conversation", "calls", "flow", "ignored", "suspended", "at"];
        let places = members.map(|member| line.find(&format!("\"{member}\":")));
        assert!(places.is_sorted() && places[0] == Some(1), "model {name}: {line}");
        assert_eq!(found.as_object().map(Map::len), Some(members.len()), "model {name}: {line}");
        assert_eq!(found["calls"].as_array().map(Vec::len), Some(calls), "model {name}: {line}");
        let values = ["flow", "ignored", "suspended"].map(|member| found[member].as_str());
        assert_eq!(values, [flow, ignored, suspended], "model {name}");
        let at = found["at"].as_str().and_then(trunkline_schemas::time::parse_millis);
        assert_eq!(at.is_some(), ignored.or(suspended).is_some(), "model {name}: {line}");
        assert!(at.is_none_or(|at| at >= EPOCH_MS), "model {name}: {line}");
        if let Some(request) = requests(&done).first() {
            let events = request["body"].as_object().expect("a body").values().next();
            let told = &events.expect("an array")[0]["conversationId"];
            assert_eq!(&found["conversation"], told, "model {name}");
        }
    }
}

#[test]
fn the_published_schema_refuses_what_is_wrong() {
    let Some(schema) = schema(OPERATION) else { return };
    let done = translate(&model("01a"));
    let good = requests(&done)[0]["body"].clone();
    assert!(schema.is_valid(&good), "{good}");
    for (member, value) in [("eventId", json!(7)), ("initialConfiguration", json!("inbound"))] {
        let mut bad = good.clone();
        bad["externalEstablishedEvents"][0][member] = value;
        assert!(!schema.is_valid(&bad), "{bad}");
    }
    let mut bad = good;
    bad["externalEstablishedEvents"][0].as_object_mut().expect("an event").remove("eventId");
    assert!(!schema.is_valid(&bad), "{bad}");
}

/// Seeded draws (SplitMix64), so that an order can be had again.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// Stream and event time of a line.
fn place(line: &str) -> (String, i64) {
    let line: Value = serde_json::from_str(line).expect("a model line is JSON");
    let stream = line["stream"].as_str().expect("a line names its stream").to_owned();
    let time = &line["event"]["time"];
    let part = |name: &str| time[name].as_i64().expect("an event has a time");
    (stream, part("TimeinSecs") * 1_000 + part("TimeinuSecs") / 1_000)
}

/// The lines in another order: that within each stream is kept, and a line comes before those that
/// are over [`SKEW_MS`] newer.
fn interleaved(lines: &[String], seed: u64) -> Vec<String> {
    let mut draw = Draw(seed);
    let mut streams: BTreeMap<String, Vec<(i64, &String)>> = BTreeMap::new();
    for line in lines.iter().rev() {
        let (stream, at_ms) = place(line);
        streams.entry(stream).or_default().push((at_ms, line));
    }
    let mut streams: Vec<Vec<(i64, &String)>> = streams.into_values().collect();
    let mut order = Vec::new();
    while let Some(oldest) = streams.iter().filter_map(|s| s.last()).map(|next| next.0).min() {
        let may = |stream: &&mut Vec<(i64, &String)>| {
            stream.last().is_some_and(|next| next.0 - oldest <= SKEW_MS)
        };
        let mut open: Vec<_> = streams.iter_mut().filter(may).collect();
        let chosen = draw.below(open.len());
        order.extend(open[chosen].pop().map(|(_, line)| line.clone()));
    }
    order
}

#[test]
fn the_order_of_the_streams_changes_nothing() {
    let lines = model("05a");
    let wanted = translate(&lines);
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..INTERLEAVINGS {
        let order = interleaved(&lines, seed);
        let done = translate(&order);
        assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "seed {seed}");
        assert_eq!(done.out, wanted.out, "seed {seed}");
        orders.insert(order);
    }
    assert!(orders.len() > INTERLEAVINGS as usize / 2, "{} orders are no test", orders.len());
}

#[test]
fn a_bad_line_is_named_with_its_number_and_the_rest_goes_on() {
    let lines = model("01a");
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    // (before which line of the model, the bad line, how it is named)
    let bad: [(usize, Vec<u8>, &str); 9] = [
        (0, b"this is no JSON".to_vec(), "not_json"),
        (1, lines[1].as_bytes()[..40].to_vec(), "truncated"),
        (2, b"{\"stream\":\"call\",\"event\":{\"id\":\"\xff\xfe\"}}".to_vec(), "not_utf8"),
        (3, deep.into_bytes(), "too_deep"),
        (4, b"[1,2,3]".to_vec(), "not_an_object"),
        (5, b"{\"stream\":\"call\"}".to_vec(), "no_event"),
        (6, b"{\"stream\":\"radio\",\"event\":{\"id\":\"EventX\"}}".to_vec(), "unknown_stream"),
        (7, b"{\"stream\":\"call\",\"event\":{}}".to_vec(), "no_id"),
        (8, vec![b'x'; 16 << 20], "too_long"),
    ];
    let (mut input, mut named, mut number) = (Vec::new(), Vec::new(), 0);
    for (at, line) in lines.iter().enumerate() {
        for (_, bytes, code) in bad.iter().filter(|(before, _, _)| *before == at) {
            number += 1;
            named.push(format!("line {number}: {code}: "));
            input.extend_from_slice(bytes);
            input.push(b'\n');
        }
        number += 1;
        input.extend_from_slice(line.as_bytes());
        input.push(b'\n');
    }
    // The last line has no newline: it is cut off in the middle.
    named.push(format!("line {}: truncated: ", number + 1));
    input.extend_from_slice(&lines[0].as_bytes()[..100]);

    let done = translate_bytes(&input);
    assert_eq!(done.status, Some(0), "{}", done.err);
    assert_eq!(told(&done), table("01a"));
    let said: Vec<&str> = done.err.lines().collect();
    assert_eq!(said.len(), named.len(), "{}", done.err);
    for (said, named) in said.iter().zip(&named) {
        assert!(said.starts_with(named.as_str()), "{said:?} is not {named:?}");
    }
}

#[test]
fn two_copies_of_the_feed_give_what_one_gives() {
    let lines = model("05b");
    let from = |link: &str, line: &String| {
        let mut line: Value = serde_json::from_str(line).expect("a model line is JSON");
        line["link"] = json!(format!("{link}/{}", line["stream"].as_str().unwrap_or_default()));
        line["event"]["ServerStartTime"] = json!(EPOCH_MS / 1000 - 60);
        line.to_string()
    };
    let one: Vec<String> = lines.iter().map(|line| from("a", line)).collect();
    let other: Vec<String> = lines.iter().map(|line| from("b", line)).collect();
    let wanted = translate(&one);
    assert_eq!(told(&wanted), table("05b"));
    // Side by side, one a few lines behind the other, and whole behind whole.
    for behind in [0, 3, lines.len()] {
        let mut both = Vec::new();
        for at in 0..lines.len() + behind {
            both.extend(one.get(at).cloned());
            both.extend(at.checked_sub(behind).and_then(|at| other.get(at)).cloned());
        }
        assert_eq!(both.len(), 2 * lines.len());
        let done = translate(&both);
        assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{behind} lines behind");
        assert_eq!(done.out, wanted.out, "{behind} lines behind");
    }
}

#[test]
fn without_a_directory_nothing_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = folder.path().join("none.json");
    let broken = folder.path().join("broken.json");
    fs::write(&broken, "{\"servers\": [}").expect("the folder can be written");
    for (file, wanted) in [(&none, "none.json"), (&broken, "broken.json, line 1, column 14")] {
        let file = file.to_str().expect("UTF-8");
        let done = run(&["translate", "--directory", file], b"");
        assert_eq!((done.status, done.out.as_str()), (Some(78), ""), "{}", done.err);
        assert!(done.err.contains(wanted), "{}", done.err);
    }
}
