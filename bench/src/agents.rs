//! Many agents: what the presence processor needs for them, and how long its state takes to come
//! back; and, with a clock of its own instead of waiting, how long it takes to tell that they all
//! logged in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline::clock::Elapsed;
use trunkline::drive::state;
use trunkline::log::{Log, Step, Task, TaskSpec};
use trunkline_processors::Processor;
use trunkline_processors::presence::{PresenceProcessor, Settings};
use trunkline_schemas::directory::{Agent, DnAt};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{
    COMMAND_PRESENCE, RAW_AGENT, STATE_PRESENCE, Spread, hash_partition,
};
use trunkline_schemas::{
    DirectoryRow, Offset, PresenceChange, PresenceCommand, RawEvent, RawKind, Record,
    RoutingStatus, Stored, SystemPresence, codec, ids,
};
use trunkline_sinks::delivery::WaveId;
use trunkline_sinks::{
    Allowance, Answer, Definitions, LocalAllowance, Presence, PresenceSink, SinkConfig,
};

use crate::load::{BEGIN_US, DOMAIN};
use crate::measure::{merge, resident_kib, round};

/// Records of one step.
const STEP: usize = 2_000;
/// Bridges, each of which tells everything.
const BRIDGES: [&str; 2] = ["b1", "b2"];
/// Seconds from one thing an agent does to the next.
const APART_SECS: i64 = 600;
/// Requests a minute, and at once, that an OAuth client may make (gc-api section 2).
const REQUESTS_PER_MINUTE: u32 = 300;
const BURST: u32 = 30;
/// How long Genesys Cloud is taken to need for an answer.
const ANSWER_MS: i64 = 200;

/// What one agent's day is made of: statuses of Stat Server, and reasons. It ends logged in.
const DAY: [(i64, Option<&str>); 20] = [
    (8, None),
    (4, None),
    (22, None),
    (9, None),
    (4, None),
    (22, None),
    (13, None),
    (22, None),
    (9, None),
    (8, Some("Break")),
    (4, None),
    (21, None),
    (4, None),
    (22, None),
    (9, None),
    (8, Some("Meal")),
    (4, None),
    (20, None),
    (22, None),
    (8, Some("Training")),
];

fn employee(agent: usize) -> String {
    format!("E{agent:06}")
}

fn user(agent: usize) -> String {
    format!("00000000-0000-4000-8000-{agent:012}")
}

fn row(agent: usize) -> RawEvent {
    let at = DnAt { dn: format!("{}", 100_000 + agent), switch: "SITE1".to_owned() };
    let row = Agent { employee_id: employee(agent), user_id: user(agent), logins: vec![at] };
    let payload = serde_json::to_vec(&DirectoryRow::Agent(row)).expect("a row is JSON");
    RawEvent { payload, ..RawEvent::bare(RawKind::DirectoryRow, DOMAIN, "directory", BEGIN_US) }
}

/// What both bridges tell of the `nth` thing an agent does.
fn told(agent: usize, nth: usize) -> Vec<RawEvent> {
    let secs = BEGIN_US / 1_000_000 + nth as i64 * APART_SECS + agent as i64 % APART_SECS;
    let (status, reason) = DAY[nth];
    let event = |statistic: &str, key: &str, value: Value| {
        json!({
            "id": "EventInfo", "Server": "stat1", "AgentId": employee(agent), "Since": secs,
            "time": { "TimeinSecs": secs, "TimeinuSecs": 0 }, "Statistic": statistic, key: value,
        })
    };
    let mut status = event("CurrentState", "AgentStatus", json!(status));
    let dn = json!({ "DN": format!("{}", 100_000 + agent), "Switch": "SITE1",
                     "Status": status["AgentStatus"] });
    status["DnStatuses"] = json!([dn]);
    let reason = reason
        .map(|reason| event("CurrentStateReasons", "Reasons", json!({ "ReasonCode": reason })));
    let raw = |bridge: &str, event: &Value| RawEvent {
        stream: Some(Stream::Stat),
        link: format!("{bridge}/{DOMAIN}/stat/0"),
        name: Some("EventInfo".to_owned()),
        switch_time_us: Some(secs * 1_000_000),
        agent_id: Some(employee(agent)),
        payload: event.to_string().into_bytes(),
        ..RawEvent::bare(RawKind::Event, DOMAIN, "stat1", secs * 1_000_000)
    };
    let events = std::iter::once(status).chain(reason);
    events.flat_map(|event| BRIDGES.map(|bridge| raw(bridge, &event))).collect()
}

/// The processor and its place in a log that keeps only its state.
struct Machine {
    processor: PresenceProcessor,
    task: Box<dyn Task>,
    next: Offset,
    /// How long the processor itself took.
    busy: Duration,
    commands: usize,
    state_records: usize,
}

impl Machine {
    fn step(&mut self, events: &[RawEvent]) -> anyhow::Result<()> {
        let mut stored = Vec::with_capacity(events.len());
        for raw in events {
            let record = codec::record(raw.agent_id.clone().unwrap_or_default(), raw)?;
            let append_time_ms = raw.received_time_us / 1_000;
            let (topic, partition, offset) = (RAW_AGENT, 0, self.next);
            stored.push(Stored { topic, partition, offset, append_time_ms, record });
            self.next += 1;
        }
        let watch = Elapsed::start();
        for record in &stored {
            self.processor.apply(record);
        }
        let effects = self.processor.drain();
        self.busy += watch.time();
        let is_command = |(topic, _): &&(_, Record)| *topic == COMMAND_PRESENCE;
        self.commands += effects.outputs.iter().filter(is_command).count();
        self.state_records += effects.state.len();
        let state = state::wrap(effects.state)?;
        let step = Step { outputs: Vec::new(), state, next: self.next };
        Ok(self.task.commit(step)?)
    }
}

/// A day of so many agents through the processor; its state goes to the log, for the restore that
/// follows.
pub(crate) fn days(log: &dyn Log, agents: usize) -> anyhow::Result<Value> {
    let task = log.own(&spec())?;
    let empty = resident_kib();
    let mut machine = Machine {
        processor: PresenceProcessor::new(DOMAIN, Settings::default()),
        task,
        next: 0,
        busy: Duration::ZERO,
        commands: 0,
        state_records: 0,
    };
    machine.step(&[RawEvent::bare(RawKind::DirectoryStart, DOMAIN, "directory", BEGIN_US)])?;
    let everybody: Vec<usize> = (0..agents).collect();
    for some in everybody.chunks(STEP) {
        machine.step(&some.iter().map(|agent| row(*agent)).collect::<Vec<_>>())?;
    }
    machine.step(&[RawEvent::bare(RawKind::DirectoryEnd, DOMAIN, "directory", BEGIN_US)])?;
    for nth in 0..DAY.len() {
        for some in everybody.chunks(STEP / BRIDGES.len()) {
            let events: Vec<RawEvent> = some.iter().flat_map(|agent| told(*agent, nth)).collect();
            machine.step(&events)?;
        }
    }
    let counters = machine.processor.counters();
    anyhow::ensure!(counters.agents == agents as u64, "{} agents are known", counters.agents);
    let seconds = machine.busy.as_secs_f64().max(1e-9);
    let row = json!({
        "what": "presence processor, a day",
        "records": machine.next,
        "records_per_second": (machine.next as f64 / seconds).round(),
        "seconds": round(seconds),
        "copies": counters.copies,
        "commands": machine.commands,
        "state_records": machine.state_records,
    });
    Ok(merge(row, &memory(empty, agents)))
}

/// The state of those days from the log into memory: what a new owner does first.
pub(crate) fn restore(log: &dyn Log, agents: usize) -> anyhow::Result<Value> {
    let mut processor = PresenceProcessor::new(DOMAIN, Settings::default());
    let empty = resident_kib();
    let watch = Elapsed::start();
    let mut task = log.own(&spec())?;
    let keys = state::restore_processor(task.as_mut(), &mut |_| {}, &mut processor)?;
    let seconds = watch.time().as_secs_f64();
    let known = processor.counters().agents;
    anyhow::ensure!(known == agents as u64, "{known} agents came back");
    let row = json!({ "what": "presence restore", "records": keys, "seconds": round(seconds) });
    Ok(merge(row, &memory(empty, agents)))
}

fn memory(empty_kib: u64, agents: usize) -> Value {
    let resident = resident_kib();
    let grown = resident.saturating_sub(empty_kib) * 1024;
    json!({ "resident_mb": resident / 1024, "bytes_per_agent": grown / agents.max(1) as u64 })
}

fn spec() -> TaskSpec {
    let (name, input, state) = ("presence", RAW_AGENT, STATE_PRESENCE);
    TaskSpec { name, input, partition: 0, state }
}

/// A sink, its commands that are still to be read, and where it reads on.
struct Partition {
    sink: PresenceSink,
    commands: Vec<PresenceCommand>,
    read: usize,
}

impl Partition {
    /// Reads, commits, and sends what the allowance gives leave for. Returns the waves that went
    /// out, and how long it must wait for leave if that is all it waits for.
    fn turn(&mut self, now_ms: i64, allowance: &dyn Allowance) -> (Vec<WaveId>, Option<i64>) {
        let room = self.sink.room().min(self.commands.len() - self.read);
        for command in &self.commands[self.read..self.read + room] {
            let value = codec::record(command.agent.as_bytes(), command);
            let record = value.expect("a command of our own is encoded");
            let (topic, partition, offset) = (COMMAND_PRESENCE, 0, self.read as Offset);
            let stored = Stored { topic, partition, offset, append_time_ms: now_ms, record };
            self.sink.offer(&stored, command.clone());
            self.read += 1;
        }
        drop(self.sink.take_step(now_ms)); // a commit, which here takes no time
        let mut sent = Vec::new();
        while self.sink.ready(now_ms) {
            if let Err(wait_ms) = allowance.try_take(now_ms) {
                return (sent, Some(wait_ms));
            }
            let Some(wave) = self.sink.next_wave(now_ms) else { break };
            sent.push(wave.id);
        }
        (sent, None)
    }
}

/// So many agents log in within one moment; how many requests that takes, and until when they are
/// told, under the limit of an OAuth client of its own. Nothing is waited for: time is a number.
pub(crate) fn logins(agents: usize, partitions: u32) -> anyhow::Result<Value> {
    let ids = SystemPresence::ALL.map(|p| (p.name().to_owned(), p.name().to_owned()));
    let definitions = Arc::new(Definitions::named(ids.iter().map(|(name, id)| (name, id))));
    let given_up = Arc::default();
    let rules = Presence { source_id: user(0).into(), definitions, given_up };
    let mut sinks: Vec<Partition> = (0..partitions)
        .map(|_| Partition {
            sink: PresenceSink::new(rules.clone(), SinkConfig::default(), 0, 0),
            commands: Vec::new(),
            read: 0,
        })
        .collect();
    anyhow::ensure!(COMMAND_PRESENCE.spec().spread == Spread::Hash, "agents are spread by hash");
    for agent in 0..agents {
        let partition = hash_partition(employee(agent).as_bytes(), partitions);
        sinks[partition as usize].commands.extend(login(agent));
    }
    let allowance = LocalAllowance::new(Some(REQUESTS_PER_MINUTE), BURST);
    let (begin_ms, mut now_ms) = (BEGIN_US / 1_000, BEGIN_US / 1_000);
    let mut answers: BinaryHeap<Reverse<(i64, usize, WaveId)>> = BinaryHeap::new();
    let (mut requests, mut told_ms) = (0_u64, now_ms);
    let watch = Elapsed::start();
    loop {
        let mut wake_ms = i64::MAX;
        for (number, partition) in sinks.iter_mut().enumerate() {
            let (sent, wait_ms) = partition.turn(now_ms, &allowance);
            requests += sent.len() as u64;
            answers
                .extend(sent.into_iter().map(|wave| Reverse((now_ms + ANSWER_MS, number, wave))));
            wake_ms = wait_ms.map_or(wake_ms, |wait_ms| wake_ms.min(now_ms + wait_ms));
        }
        let answer_ms = answers.peek().map_or(i64::MAX, |Reverse((at_ms, ..))| *at_ms);
        if answer_ms.min(wake_ms) == i64::MAX {
            break;
        }
        now_ms = answer_ms.min(wake_ms);
        while answers.peek().is_some_and(|Reverse((at_ms, ..))| *at_ms <= now_ms) {
            let Some(Reverse((at_ms, number, wave))) = answers.pop() else { break };
            let answer = Answer::Accepted { errors: Vec::new() };
            sinks[number].sink.answered(wave, answer, at_ms, 0.0);
            told_ms = at_ms;
        }
    }
    let accepted: u64 = sinks.iter().map(|partition| partition.sink.counters().accepted).sum();
    anyhow::ensure!(accepted == agents as u64 * 2, "{accepted} changes were told");
    let simulated_s = (told_ms - begin_ms) as f64 / 1_000.0;
    Ok(json!({
        "what": format!("logins, {partitions} partition(s)"),
        "records": accepted,
        "requests": requests,
        "events_per_request": round(accepted as f64 / requests.max(1) as f64),
        "requests_per_minute": round(requests as f64 / simulated_s * 60.0),
        "simulated_seconds": round(simulated_s),
        "seconds": round(watch.time().as_secs_f64()),
        "resident_mb": resident_kib() / 1024,
    }))
}

/// What a login becomes.
fn login(agent: usize) -> [PresenceCommand; 2] {
    let changes = [
        PresenceChange::Presence(SystemPresence::Busy),
        PresenceChange::Routing(RoutingStatus::OffQueue),
    ];
    [1, 2].map(|seq| {
        let change = changes[seq as usize - 1];
        let event_id = ids::presence_event_id(DOMAIN, &employee(agent), seq, change.array());
        PresenceCommand {
            event_id: event_id.to_string(),
            agent: employee(agent),
            user_id: user(agent),
            domain: DOMAIN.to_owned(),
            seq,
            at_ms: BEGIN_US / 1_000 + seq - 1,
            change,
            cause: String::new(),
        }
    })
}
