//! One day of agents, told by Voice Microservices on a real broker and told by a Stat Server: the
//! organisation holds the same of its users.
//!
//! The day is written down by hand from seeds 000 and 004. In its middle an agent takes the call of
//! model 01a, which Voice Microservices do not tell: SIP Server does.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use trunkline::drive::rehearsal::{TOLERANCE_MS, know};
use trunkline_ingest::agentstate::EVENTS;
use trunkline_sim::compare_agents::{changes, compare_agents};
use trunkline_sim::gc::{self, GcConfig, GcSim};
use trunkline_sim::truth::{AgentDay, Heard, Shown, UserState};

use super::broker::{prefix, shared};
use super::cluster::create;
use super::voice::{PARTITIONS, dead_letters, event, produce};
use crate::configured::Configured;
use crate::feeder::{Feed, Feeder, call};
use crate::program::Server;
use crate::running::until;
use crate::translate::{EPOCH_MS, cases};

const PATIENCE: Duration = Duration::from_mins(1);
const BEGIN: i64 = EPOCH_MS / 1_000;
/// Agents with their DNs; the place is the partition of their events.
const AGENTS: [(&str, &str); 2] = [("A1001", "7001"), ("A1002", "7002")];
/// The call of model 01a at 7001: answered, and over.
const CALL: (i64, i64) = (20, 80);
/// From when on nobody listens, and until when.
const OUTAGE: (i64, i64) = (120, 720);
/// A moment at which the events that say nothing of agents come.
const OTHERS_AT: i64 = 50;

/// What an agent does: its event of seed 004, and the status of Stat Server (statserver.md).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    LogsIn,
    IsReady,
    /// With or without a reason.
    IsNotReady(Option<&'static str>),
    WorksAfterCall,
    LogsOut,
}

use Does::{IsNotReady, IsReady, LogsIn, LogsOut, WorksAfterCall};

/// Second of the day, agent, what is done.
const DAY: [(i64, usize, Does); 16] = [
    (0, 0, LogsIn),
    (2, 1, LogsIn),
    (5, 0, IsReady),
    (6, 1, IsReady),
    (10, 1, IsNotReady(Some("Meeting"))),
    (40, 1, IsReady),
    (85, 0, WorksAfterCall),
    (95, 0, IsReady),
    // In the outage.
    (120, 0, IsNotReady(Some("Break"))),
    (400, 0, IsReady),
    (410, 0, IsNotReady(Some("Training"))),
    (600, 1, IsNotReady(None)),
    (650, 1, IsReady),
    (660, 1, IsNotReady(Some("Meal"))),
    (700, 1, LogsOut),
    (760, 0, LogsOut),
];

/// Second of the day, presence, routing status, as seed 000 has them.
type Truth = (i64, &'static str, &'static str);
const TRUTH: [&[Truth]; 2] = [
    &[
        (0, "Busy", "OffQueue"),
        (5, "OnQueue", "Idle"),
        (20, "OnQueue", "Interacting"),
        (80, "OnQueue", "Idle"),
        (85, "OnQueue", "Interacting"),
        (95, "OnQueue", "Idle"),
        (120, "Break", "OffQueue"),
        (400, "OnQueue", "Idle"),
        (410, "Training", "OffQueue"),
        (760, "Offline", "OffQueue"),
    ],
    &[
        (2, "Busy", "OffQueue"),
        (6, "OnQueue", "Idle"),
        (10, "Meeting", "OffQueue"),
        (40, "OnQueue", "Idle"),
        (600, "Busy", "OffQueue"),
        (650, "OnQueue", "Idle"),
        (660, "Meal", "OffQueue"),
        (700, "Offline", "OffQueue"),
    ],
];

/// The days as they are before a second.
fn days_until(directory: &Value, end: i64) -> Vec<AgentDay> {
    let day = |((employee, _), states): (&(&str, &str), &&[Truth])| {
        let people = directory["agents"].as_array().expect("agents");
        let person = people.iter().find(|person| person["employeeId"] == *employee);
        let user_id = person.and_then(|person| person["userId"].as_str()).expect("a user");
        let states = states.iter().filter(|(at, ..)| *at < end);
        let state = |(at, presence, routing): &Truth| UserState {
            at_ms: (BEGIN + at) * 1_000,
            presence: (*presence).to_owned(),
            routing: (*routing).to_owned(),
            heard: Heard::Live,
        };
        AgentDay {
            employee_id: (*employee).to_owned(),
            user_id: user_id.to_owned(),
            states: states.map(state).collect(),
        }
    };
    AGENTS.iter().zip(&TRUTH).map(day).collect()
}

/// The record of Voice Microservices, and its partition.
fn voice_record((at, agent, does): (i64, usize, Does)) -> (i32, String) {
    let (name, mode, reason) = match does {
        LogsIn => ("EventAgentLogin", 0, None),
        IsReady => ("EventAgentReady", 0, None),
        IsNotReady(reason) => ("EventAgentNotReady", 0, reason),
        WorksAfterCall => ("EventAgentNotReady", 3, None),
        LogsOut => ("EventAgentLogout", 0, None),
    };
    let (employee, dn) = AGENTS[agent];
    let table = EVENTS.iter().find(|table| table.name == name).expect("one of the events");
    let mut event = event(table, at);
    let reason = reason.map_or(json!({}), |reason| json!({ "ReasonCode": reason }));
    for (key, value) in [
        ("AgentID", json!(employee)),
        ("AgentWorkMode", json!(mode)),
        ("Extensions", json!({})),
        ("Reasons", reason),
        ("Server", json!("sips1")),
        ("ThisDN", json!(dn)),
        ("time", json!({"TimeinSecs": BEGIN + at, "TimeinuSecs": 0})),
    ] {
        event[key] = value;
    }
    (agent as i32, event.to_string())
}

/// Every event that is of no agent, at the DN of the second one.
fn others() -> Vec<(i32, String)> {
    let others = EVENTS.iter().filter(|table| !table.name.starts_with("EventAgent"));
    let record = others.map(|table| {
        let mut event = event(table, OTHERS_AT);
        event["ThisDN"] = json!(AGENTS[1].1);
        if event.get("time").is_some() {
            event["time"]["TimeinSecs"] = json!(BEGIN + OTHERS_AT);
        }
        (1, event.to_string())
    });
    record.collect()
}

/// The lines of Stat Server; the call is a status of it.
fn stat_lines() -> Vec<Value> {
    let mut lines = Vec::new();
    let line = |at: i64, agent: usize, key: &str, value: Value| {
        let statistic = if key == "Reasons" { "CurrentStateReasons" } else { "CurrentState" };
        json!({ "source": "stat1", "stream": "stat", "event": {
            "id": "EventInfo", "Server": "stat1", "AgentId": AGENTS[agent].0,
            "time": { "TimeinSecs": BEGIN + at, "TimeinuSecs": 0 }, "Since": BEGIN + at,
            "Statistic": statistic, key: value,
        }})
    };
    let mut calls = vec![(CALL.0, json!(22)), (CALL.1, json!(4))];
    for (at, agent, does) in DAY {
        let status = match does {
            LogsIn => json!("LoggedIn"),
            IsReady => json!(4),
            IsNotReady(_) => json!(8),
            WorksAfterCall => json!(9),
            LogsOut => json!(23),
        };
        for (at, status) in calls.extract_if(.., |call| call.0 <= at) {
            lines.push(line(at, 0, "AgentStatus", status));
        }
        lines.push(line(at, agent, "AgentStatus", status));
        if let IsNotReady(Some(reason)) = does {
            lines.push(line(at, agent, "Reasons", json!({ "ReasonCode": reason })));
        }
    }
    lines
}

/// Says the lines to a client, and then that it lives, until the client is gone.
async fn say(mut client: TcpStream) {
    let mut said =
        vec![json!({"welcome": {"server": "stat1", "serverStart": 1, "resumed": false}})];
    said.extend(stat_lines());
    said.push(json!({"caughtUp": true}));
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        for line in said.drain(..) {
            if client.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                return;
            }
        }
        beat.tick().await;
        said.push(json!({"keepAlive": true}));
    }
}

/// An organisation, and the directory of a program that tells it of agents.
struct Rig {
    org: GcSim,
    dir: tempfile::TempDir,
    directory: Value,
}

impl Rig {
    async fn new(sip: SocketAddr, agent_states: &str) -> Self {
        let text = std::fs::read_to_string(cases().join("directory.json")).expect("it is there");
        let directory: Value = serde_json::from_str(&text).expect("it is JSON");
        let mut config = GcConfig { requests_per_minute: 30_000, ..GcConfig::default() };
        know(&mut config, &serde_json::from_str(&text).expect("a directory"));
        let org = gc::start(config).await.expect("the organisation listens");
        let dir = tempfile::tempdir().expect("a directory");
        let source = &directory["sourceId"];
        let cloud = format!(
            "requests_per_minute = 30000\nburst = 1000\n\
             [genesys_cloud.presence]\nsource_id = {source}"
        );
        let configured = Configured {
            directory: &directory,
            sip,
            agent_states,
            site: "",
            org: &org.base_url(),
            cloud: &cloud,
        };
        configured.write(dir.path());
        Self { org, dir, directory }
    }

    fn start(&self, name: &str, only: &[&str]) -> Server {
        let config = path(self.dir.path(), "trunkline.toml");
        let args: Vec<&str> =
            ["run", "--config", &config].into_iter().chain(only.to_vec()).collect();
        Server::start(self.dir.path(), name, &args)
    }

    /// Waits until the organisation holds the day until a second, and nothing else.
    async fn holds(&self, process: &mut Server, end: i64) {
        let days = days_until(&self.directory, end);
        let wanted: usize = days.iter().map(|day| changes(day).len()).sum();
        let told = || self.org.users().iter().map(|user| user.changes.len()).sum::<usize>();
        until(&format!("the day until {end} is told"), PATIENCE, || {
            process.assert_alive();
            told() >= wanted
        })
        .await;
        let differences = compare_agents(&days, &self.org.users(), TOLERANCE_MS);
        assert_eq!(differences, [], "until {end}: {:#?}", self.org.users());
    }

    /// What is held, by user, without its times.
    fn states(&self) -> Vec<(String, Vec<Shown>)> {
        let states = self.org.users().into_iter().map(|user| {
            (user.user_id, user.changes.into_iter().map(|change| change.state).collect())
        });
        states.collect()
    }
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().expect("UTF-8").to_owned()
}

/// The records of a part of the day.
fn voice_day(from: i64, end: i64) -> Vec<(i32, String)> {
    let part = DAY.into_iter().filter(|(at, ..)| (from..end).contains(at));
    part.map(voice_record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sources_tell_the_same_day_and_an_outage_loses_nothing_of_it() {
    let Some(address) = shared("a day of agents") else { return };
    let topic = format!("{}voice-agentstate", prefix("voice-day"));
    tokio::task::block_in_place(|| create(&address, &topic, PARTITIONS));
    let produce = |records: &[(i32, String)]| {
        tokio::task::block_in_place(|| produce(&address, &topic, records));
    };
    let feeder = Feeder::start(Feed::new()).await;
    let states = format!(
        "[domain.agent_states.voice_microservices]\nbrokers = [\"{address}\"]\ntopic = \"{topic}\""
    );
    let voice = Rig::new(feeder.address(), &states).await;

    let mut process = voice.start("morning", &[]);
    // A login that is repeated changes nothing.
    let again = [voice_record((0, 0, LogsIn))];
    produce(&[voice_day(0, CALL.0), again.to_vec(), voice_day(CALL.0, OTHERS_AT)].concat());
    produce(&others());
    // Before the call begins and after it, both agents are where they were.
    let before_call = |days: &mut Vec<AgentDay>| {
        days[0].states.retain(|state| state.at_ms < (BEGIN + CALL.0) * 1_000);
    };
    let mut days = days_until(&voice.directory, OTHERS_AT);
    before_call(&mut days);
    until("both are ready", PATIENCE, || {
        process.assert_alive();
        compare_agents(&days, &voice.org.users(), TOLERANCE_MS).is_empty()
    })
    .await;
    feeder.say(&call("01a", 0));
    voice.holds(&mut process, CALL.1 + 1).await;
    produce(&voice_day(CALL.1, OUTAGE.0));
    voice.holds(&mut process, OUTAGE.0).await;
    process.stop().await;

    // Ten minutes in which only bridges run. What is no event ends as the last dead letter of each
    // partition: with it everything has come in.
    let mut process = voice.start("outage", &["--only", "ingest"]);
    let admin = process.address("admin_address=").await;
    let last = AGENTS.iter().zip(0..).map(|(_, partition)| (partition, "no event".to_owned()));
    produce(&[voice_day(OUTAGE.0, OUTAGE.1), last.collect()].concat());
    until("the outage has come in", PATIENCE, || {
        process.assert_alive();
        dead_letters(admin) == AGENTS.len() as u64
    })
    .await;
    process.stop().await;
    let early = days_until(&voice.directory, OUTAGE.0);
    assert_eq!(
        compare_agents(&early, &voice.org.users(), TOLERANCE_MS),
        [],
        "nobody told anything"
    );

    let mut process = voice.start("evening", &[]);
    voice.holds(&mut process, OUTAGE.1).await;
    produce(&voice_day(OUTAGE.1, i64::MAX));
    voice.holds(&mut process, i64::MAX).await;
    process.stop().await;

    // The same day, told by a Stat Server.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let states = format!("stat_servers = [\"{}\"]", listener.local_addr().expect("it listens"));
    let serving = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(say(client));
        }
    });
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let stat = Rig::new(nobody, &states).await;
    let mut process = stat.start("stat", &[]);
    stat.holds(&mut process, i64::MAX).await;
    process.stop().await;
    serving.abort();

    assert_eq!(voice.states(), stat.states());
    for org in [&voice.org, &stat.org] {
        let summary = org.summary();
        assert_eq!((summary.refused, summary.out_of_order, summary.duplicates), (0, 0, 0));
    }
}
