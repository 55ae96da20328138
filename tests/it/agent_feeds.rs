//! Agent states on their way in: simulated Stat Servers, the bridge that follows them, and what the
//! presence processor makes of what it wrote.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use trunkline::drive::rehearsal::TOLERANCE_MS;
use trunkline_processors::Processor;
use trunkline_processors::presence::{PresenceProcessor, Settings};
use trunkline_schemas::topics::{
    COMMAND_PRESENCE, DEAD_INGEST, DEAD_PRESENCE, RAW_AGENT, RAW_TLIB,
};
use trunkline_schemas::{PresenceChange, PresenceCommand, RawEvent, RawKind, Stored, codec};
use trunkline_sim::engage::{self, BACKUP_STAT_SERVER, EngageConfig, EngageSim, STAT_SERVER};
use trunkline_sim::truth::AgentDay;

use super::configured::Configured;
use super::program::{Server, run};
use super::running::records;

/// How long one step of a test may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Every presence with an id that names it.
const PRESENCES: [&str; 7] = ["Busy", "Break", "Meal", "Meeting", "Training", "OnQueue", "Offline"];

/// Writes what `run --only ingest` needs; returns its arguments. `agent_states` is what stands in
/// that section.
pub(super) fn ingest(
    dir: &Path,
    directory: &Value,
    sip: SocketAddr,
    agent_states: &str,
) -> Vec<String> {
    let (site, org, cloud) = ("", "http://127.0.0.1:9", "");
    let config = Configured { directory, sip, agent_states, site, org, cloud }.write(dir);
    ["run", "--only", "ingest", "--config", &config].map(str::to_owned).to_vec()
}

/// Starts what [`ingest`] has written.
pub(super) fn start(dir: &Path, name: &str, args: &[String]) -> Server {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Server::start(dir, name, &args)
}

/// The raw events of agents in the log of [`ingest`]; no process may be running.
pub(super) fn raw_agent(dir: &Path) -> Vec<(Stored, RawEvent)> {
    let decoded = |stored: Stored| {
        let value = stored.record.value.as_deref().expect("a raw event");
        let raw = codec::decode(value).expect("a raw event");
        (stored, raw)
    };
    records(&dir.join("log"), RAW_AGENT).into_iter().map(decoded).collect()
}

/// The raw events of calls in the log of [`ingest`]; no process may be running.
pub(super) fn raw_tlib(dir: &Path) -> Vec<RawEvent> {
    let decoded = |stored: Stored| {
        let value = stored.record.value.expect("a raw event");
        codec::decode(&value).expect("a raw event")
    };
    records(&dir.join("log"), RAW_TLIB).into_iter().map(decoded).collect()
}

fn site(seed: u64, calls: u64) -> EngageConfig {
    EngageConfig {
        calls,
        rate_per_second: 4.0,
        speed: 30.0,
        agents: 8,
        seed,
        stat_server: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..EngageConfig::default()
    }
}

/// What is told of one user: when, and what.
type Told = Vec<(i64, String)>;

/// What must be told of each user, by employee id.
fn truth(days: &[AgentDay]) -> BTreeMap<String, Told> {
    let day = |day: &AgentDay| {
        let (mut told, mut last) = (Vec::new(), (None, None));
        for state in &day.states {
            if last.0.as_ref() != Some(&state.presence) {
                told.push((state.at_ms, format!("presence {}", state.presence)));
            }
            if last.1.as_ref() != Some(&state.routing) {
                told.push((state.at_ms, format!("routing {}", state.routing)));
            }
            last = (Some(state.presence.clone()), Some(state.routing.clone()));
        }
        (day.employee_id.clone(), told)
    };
    days.iter().map(day).collect()
}

/// Fails where something else was told than the truth, or at another time.
fn assert_told(told: &BTreeMap<String, Told>, days: &[AgentDay]) {
    let truth = truth(days);
    assert!(truth.values().map(Vec::len).sum::<usize>() > 10 * truth.len(), "{truth:#?}");
    for (agent, wanted) in &truth {
        let told = told.get(agent).cloned().unwrap_or_default();
        let words = |told: &Told| told.iter().map(|(_, what)| what.clone()).collect::<Vec<_>>();
        assert_eq!(words(&told), words(wanted), "{agent}:\n{told:#?}\n{wanted:#?}");
        let late = told.iter().zip(wanted).find(|(a, b)| (a.0 - b.0).abs() > TOLERANCE_MS);
        assert!(late.is_none(), "{agent}: {late:?}");
    }
    assert_eq!(told.len(), truth.len());
}

/// A client of a Stat Server: its first line, then all it is told until the days are over.
async fn listen(site: &EngageSim, agents: &[String]) -> Vec<String> {
    let (address, _) = site.stat_addrs().expect("there is a Stat Server");
    let (reader, mut writer) = connect(address).await;
    let hello = json!({"hello": {"role": "stat", "bridge": "b1", "agents": agents}});
    writer.write_all(format!("{hello}\n").as_bytes()).await.expect("it can be told");
    let mut lines = BufReader::new(reader).lines();
    let mut heard = Vec::new();
    timeout(PATIENCE, async {
        let over = site.wait_days_over();
        tokio::pin!(over);
        let mut is_over = false;
        loop {
            tokio::select! {
                () = &mut over, if !is_over => is_over = true,
                line = lines.next_line() => {
                    let line = line.expect("it is connected").expect("a line");
                    // After the last change nothing but signs of life comes.
                    if is_over && line.contains("keepAlive") {
                        return;
                    }
                    heard.push(line);
                }
            }
        }
    })
    .await
    .expect("the days end in time");
    heard
}

async fn connect(address: SocketAddr) -> (OwnedReadHalf, OwnedWriteHalf) {
    TcpStream::connect(address).await.expect("it listens").into_split()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_days_are_what_translate_makes_of_their_lines() {
    let site = engage::start(EngageConfig { wait_for_clients: 1, ..site(3, 40) }).await;
    let site = site.expect("the site listens");
    let mut directory = site.directory();
    let ids: BTreeMap<&str, &str> = PRESENCES.iter().map(|name| (*name, *name)).collect();
    directory["presence"] = json!({"sourceId": directory["sourceId"], "definitions": ids});
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("directory.json");
    fs::write(&file, directory.to_string()).expect("the directory can be written");
    let people = directory["agents"].as_array().expect("agents");
    let named = |person: &Value| person["employeeId"].as_str().expect("a text").to_owned();
    let agents: Vec<String> = people.iter().map(named).collect();

    let lines = listen(&site, &agents).await;
    let events: Vec<&String> = lines.iter().filter(|line| line.contains("\"event\"")).collect();
    let schema = include_str!("../../docs/stat-line.schema.json");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    let schema = jsonschema::draft202012::new(&schema).expect("it is a schema");
    for line in &events {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        assert!(schema.is_valid(&line), "{line}");
    }
    let input = lines.join("\n") + "\n";
    let done = run(&["translate", "--directory", file.to_str().expect("UTF-8")], input.as_bytes());
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
    let days = site.agent_days();
    let employees: BTreeMap<&str, &str> =
        days.iter().map(|day| (day.user_id.as_str(), day.employee_id.as_str())).collect();
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for line in done.out.lines() {
        let request: Value = serde_json::from_str(line).expect("a request is JSON");
        let body = request["body"].as_object().expect("a body").values().next();
        let event = &body.expect("an array")[0];
        let text = |key: &str| event[key].as_str();
        let user = text("userId").or(text("agentId")).expect("a user");
        let at: jiff::Timestamp =
            text("eventDateTime").unwrap_or_default().parse().expect("a time of RFC 3339");
        let what = match text("presenceDefinitionId") {
            Some(presence) => format!("presence {presence}"),
            None => format!("routing {}", text("status").unwrap_or_default()),
        };
        let agent = employees.get(user).copied().unwrap_or(user).to_owned();
        told.entry(agent).or_default().push((at.as_millisecond(), what));
    }
    assert_told(&told, &days);
    site.stop().await;
}

/// What the presence processor says of the records.
fn commands(stored: &[(Stored, RawEvent)]) -> BTreeMap<String, Told> {
    let mut processor = PresenceProcessor::new("main", Settings::default());
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for (record, _) in stored {
        processor.apply(record);
        for (topic, output) in processor.drain().outputs {
            assert_ne!(topic, DEAD_PRESENCE, "{}", record.place());
            if topic == COMMAND_PRESENCE {
                let value = output.value.as_deref().expect("a command");
                let command: PresenceCommand = codec::decode(value).expect("a command");
                let what = match command.change {
                    PresenceChange::Presence(presence) => format!("presence {}", presence.name()),
                    PresenceChange::Routing(routing) => format!("routing {}", routing.name()),
                };
                told.entry(command.agent).or_default().push((command.at_ms, what));
            }
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_follows_the_stat_server_and_its_backup() {
    // Three links to the SIP Server and one to the Stat Server.
    let config = EngageConfig { wait_for_clients: 4, everything: true, ..site(5, 30) };
    let site = engage::start(config).await.expect("the site listens");
    let (primary, backup) = site.stat_addrs().expect("there is a Stat Server");
    let dir = tempfile::tempdir().expect("a directory");
    let states = format!("stat_servers = [\"{primary}/{backup}\"]");
    let args = ingest(dir.path(), &site.directory(), site.addr(), &states);
    let mut process = start(dir.path(), "ingest", &args);
    process.says("running").await;
    timeout(PATIENCE, site.wait_days_over()).await.expect("the days end in time");
    // The last change is on its way; a sign of life follows it.
    timeout(PATIENCE, sign_of_life(backup)).await.expect("the backup answers");
    process.stop().await;

    let raw = raw_agent(dir.path());
    let up = |(_, raw): &&(Stored, RawEvent)| raw.kind == RawKind::LinkUp;
    let servers: Vec<&str> = raw.iter().filter(up).map(|(_, raw)| raw.source.as_str()).collect();
    assert_eq!(servers, [STAT_SERVER, BACKUP_STAT_SERVER]);
    let count = |kind| raw.iter().filter(|(_, raw)| raw.kind == kind).count();
    assert_eq!((count(RawKind::LinkDown), count(RawKind::CaughtUp)), (2, 2));
    assert_eq!((count(RawKind::DirectoryStart), count(RawKind::DirectoryEnd)), (1, 1));
    assert!(count(RawKind::Tick) > 5, "{} ticks", count(RawKind::Tick));
    assert_eq!(records(&dir.path().join("log"), DEAD_INGEST).len(), 0);
    assert_told(&commands(&raw), &site.agent_days());
    site.stop().await;
}

/// A client that wants no agents is told when a second has passed in which nothing else was.
async fn sign_of_life(address: SocketAddr) {
    let (reader, mut writer) = connect(address).await;
    let hello = json!({"hello": {"role": "stat", "bridge": "t", "agents": []}});
    writer.write_all(format!("{hello}\n").as_bytes()).await.expect("it can be told");
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await.expect("it is connected") {
        if line.contains("keepAlive") {
            return;
        }
    }
}

/// A Stat Server that says nothing but that it is there, and what its client says.
struct Quiet {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Quiet {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a client comes");
        let (reader, writer) = stream.into_split();
        Self { lines: BufReader::new(reader).lines(), writer }
    }

    async fn say(&mut self, line: &Value) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    }

    /// The next line of the client; meanwhile the server lives.
    async fn hear(&mut self) -> Value {
        let lines = &mut self.lines;
        let writer = &mut self.writer;
        let heard = async {
            loop {
                tokio::select! {
                    line = lines.next_line() => {
                        let line = line.expect("it is connected").expect("a line");
                        return serde_json::from_str(&line).expect("a line is JSON");
                    }
                    () = tokio::time::sleep(Duration::from_secs(1)) => {
                        writer.write_all(b"{\"keepAlive\":true}\n").await.expect("it listens");
                    }
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("the client says something in time")
    }
}

fn agents_of(employees: &[&str]) -> Value {
    let agent = |(number, employee): (usize, &&str)| {
        let logins = json!([{"dn": format!("{}", 7001 + number), "switch": "SITE1"}]);
        json!({"employeeId": employee, "userId": format!("user-{employee}"), "logins": logins})
    };
    let agents: Vec<Value> = employees.iter().enumerate().map(agent).collect();
    json!({"servers": [], "agents": agents, "queues": [], "extensions": [], "sourceId": "s"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_follow_the_directory_over_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    let dir = tempfile::tempdir().expect("a directory");
    let write = |directory: &Value| {
        // In its place at once, so that nobody reads half of it.
        let (new, old) = (dir.path().join("new.json"), dir.path().join("directory.json"));
        fs::write(&new, directory.to_string()).expect("the directory can be written");
        fs::rename(new, old).expect("the directory can be written");
    };
    let states = format!("stat_servers = [\"{address}\"]");
    // Nobody listens for SIP clients here.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let args = ingest(dir.path(), &agents_of(&["A1", "A2"]), nobody, &states);
    let mut process = start(dir.path(), "ingest", &args);

    let mut server = timeout(PATIENCE, Quiet::accept(&listener)).await.expect("it connects");
    let hello = server.hear().await;
    let wanted = json!({"hello": {"role": "stat", "bridge": "b1", "agents": ["A1", "A2"]}});
    assert_eq!(hello, wanted);
    server.say(&json!({"welcome": {"server": "stat1", "serverStart": 1, "resumed": false}})).await;
    server.say(&json!({"caughtUp": true})).await;

    write(&agents_of(&["A2", "A3"]));
    assert_eq!(server.hear().await, json!({"close": ["A1"]}));
    assert_eq!(server.hear().await, json!({"open": ["A3"]}));
    // A file that is wrong changes nothing; the next good one is taken.
    write(&json!({"agents": "none"}));
    process.says("the directory is wrong and stays as it was").await;
    write(&agents_of(&["A2"]));
    assert_eq!(server.hear().await, json!({"close": ["A3"]}));

    // What a new connection asks for is what is wanted by then.
    drop(server);
    let mut server = timeout(PATIENCE, Quiet::accept(&listener)).await.expect("it comes again");
    assert_eq!(server.hear().await["hello"]["agents"], json!(["A2"]));
    process.stop().await;

    let rows = announced(raw_agent(dir.path()).into_iter().map(|(_, raw)| raw).collect());
    let expected = ["start", "A1", "A2", "end", "start", "A2", "A3", "end", "start", "A2", "end"];
    assert_eq!(rows, expected);
    // Conversations are told the same.
    assert_eq!(announced(raw_tlib(dir.path())), expected);
}

/// The announcements among raw events: start, the agents, end.
fn announced(raw: Vec<RawEvent>) -> Vec<String> {
    let said = |raw: RawEvent| {
        if raw.kind == RawKind::DirectoryStart {
            Some("start".to_owned())
        } else if raw.kind == RawKind::DirectoryEnd {
            Some("end".to_owned())
        } else if raw.kind == RawKind::DirectoryRow {
            let row: Value = serde_json::from_slice(&raw.payload).expect("a row");
            row["Agent"]["employeeId"].as_str().map(str::to_owned)
        } else {
            None
        }
    };
    raw.into_iter().filter_map(said).collect()
}
