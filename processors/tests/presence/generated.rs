//! Generated days against the model that decides from the whole history.

use std::io::{self, Write};
use std::time::Instant;

use serde_json::json;
use trunkline_processors::Processor;
use trunkline_processors::presence::{PresenceProcessor, Settings};
use trunkline_schemas::directory::Agent;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{COMMAND_PRESENCE, RAW_AGENT};
use trunkline_schemas::{
    DirectoryRow, PresenceChange, PresenceCommand, RawEvent, RawKind, Stored, codec,
};

use crate::days::{Chance, Telling, Told, day};
use crate::feed::{DOMAIN, EPOCH_MS};
use crate::model::{History, Must};

/// Agents of one partition.
const AGENTS: usize = 100;
/// Days of agents, unless `TRUNKLINE_AGENT_DAYS` says otherwise.
const DAYS: usize = 50_000;

fn raw(telling: &Telling) -> RawEvent {
    let agent = format!("E{}", telling.agent);
    let mut event = json!({
        "id": "EventInfo",
        "time": {
            "TimeinSecs": telling.made_ms.div_euclid(1_000),
            "TimeinuSecs": telling.made_ms.rem_euclid(1_000) * 1_000,
        },
        "AgentId": agent,
        "Since": telling.since_s,
    });
    match telling.told {
        Told::Status(code) => {
            event["Statistic"] = "CurrentState".into();
            event["AgentStatus"] = match code {
                0 => "NotMonitored".into(),
                2 => "LoggedIn".into(),
                code => code.into(),
            };
        }
        Told::Reason(reason) => {
            event["Statistic"] = "CurrentStateReason".into();
            event["Reasons"] = match reason {
                Some(reason) => json!([["ReasonCode", reason]]),
                None => json!({}),
            };
        }
    }
    RawEvent {
        stream: Some(Stream::Stat),
        link: "b1/site1/stat/0".to_owned(),
        name: Some("EventInfo".to_owned()),
        switch_time_us: Some(telling.made_ms * 1_000),
        agent_id: Some(agent),
        payload: event.to_string().into_bytes(),
        ..RawEvent::bare(RawKind::Event, DOMAIN, "stat1", telling.appended_ms * 1_000)
    }
}

/// A processor and the number of the next record.
struct Partition {
    processor: PresenceProcessor,
    offset: i64,
}

impl Partition {
    fn new() -> Self {
        let processor = PresenceProcessor::new(DOMAIN, Settings::default());
        let mut partition = Self { processor, offset: 0 };
        for agent in 0..AGENTS {
            let row = DirectoryRow::Agent(Agent {
                employee_id: format!("E{agent}"),
                user_id: format!("U{agent}"),
                logins: Vec::new(),
            });
            let payload = serde_json::to_vec(&row).expect("a row is JSON");
            let bare = RawEvent::bare(RawKind::DirectoryRow, DOMAIN, "", EPOCH_MS * 1_000);
            partition.give(&RawEvent { payload, ..bare }, EPOCH_MS);
        }
        partition
    }

    fn give(&mut self, raw: &RawEvent, append_time_ms: i64) {
        let record = codec::record("", raw).expect("a raw event encodes");
        let (partition, offset) = (0, self.offset);
        self.offset += 1;
        self.processor.apply(&Stored {
            topic: RAW_AGENT,
            partition,
            offset,
            append_time_ms,
            record,
        });
    }
}

/// The days of one partition's agents, by both. Returns how many records were given.
fn compare(seed: u64) -> usize {
    let mut chance = Chance::new(seed);
    let days: Vec<Vec<Telling>> =
        (0..AGENTS).map(|agent| day(agent, EPOCH_MS, &mut chance)).collect();
    let mut all: Vec<Telling> = days.iter().flatten().copied().collect();
    all.sort_by_key(|telling| telling.appended_ms);
    let mut partition = Partition::new();
    let mut clock = Vec::new();
    for telling in &all {
        clock.push(telling.appended_ms);
        partition.give(&raw(telling), telling.appended_ms);
    }
    // Some of the waits run out, the others stay open: then nothing may have been told of them.
    let end_ms = clock.last().copied().unwrap_or(EPOCH_MS) + chance.below(1_500) as i64;
    clock.push(end_ms);
    partition.give(&RawEvent::bare(RawKind::Tick, DOMAIN, "", end_ms * 1_000), end_ms);

    let mut told: Vec<Vec<Must>> = vec![Vec::new(); AGENTS];
    for (topic, record) in partition.processor.drain().outputs {
        if topic != COMMAND_PRESENCE {
            continue;
        }
        let value = record.value.expect("a command");
        let command: PresenceCommand = codec::decode(&value).expect("our own command");
        let agent: usize = command.agent[1..].parse().expect("a number");
        assert_eq!(command.seq, told[agent].len() as i64 + 1, "numbers are dense");
        told[agent].push((
            command.at_ms,
            match command.change {
                PresenceChange::Presence(presence) => presence.name(),
                PresenceChange::Routing(status) => status.name(),
            },
        ));
    }
    for (agent, day) in days.iter().enumerate() {
        let window_ms = Settings::default().reason_wait_ms;
        let must = History { told: day, clock: &clock, window_ms }.must();
        assert!(
            told[agent] == must,
            "seed {seed}, agent {agent}: {}",
            difference(day, &told[agent], &must)
        );
    }
    all.len()
}

/// The day, and where the two part.
fn difference(day: &[Telling], told: &[Must], must: &[Must]) -> String {
    let given = day.iter().map(|t| {
        let (appended, made) = (t.appended_ms - EPOCH_MS, t.made_ms - EPOCH_MS);
        format!("{appended} {:?} made {made} since {}", t.told, t.since_s - EPOCH_MS / 1_000)
    });
    let show = |all: &[Must]| -> Vec<String> {
        all.iter().map(|(at, name)| format!("{} {name}", at - EPOCH_MS)).collect()
    };
    let given: Vec<String> = given.collect();
    format!("given\n{}\ntold {:?}\nmust {:?}", given.join("\n"), show(told), show(must))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it says how long it took; nothing depends on it")]
fn generated_days_give_what_the_whole_history_asks_for() {
    let days = std::env::var("TRUNKLINE_AGENT_DAYS").ok().and_then(|days| days.parse().ok());
    let days: usize = days.unwrap_or(DAYS);
    let partitions = days.div_ceil(AGENTS) as u64;
    let begun = Instant::now();
    let halves = [0, 1].map(|half| {
        std::thread::spawn(move || (half..partitions).step_by(2).map(compare).sum::<usize>())
    });
    let records: usize = halves.into_iter().map(|half| half.join().expect("both agree")).sum();
    let (days, seconds) = (partitions as usize * AGENTS, begun.elapsed().as_secs_f64());
    // Past the capture: it is for whoever reads what the tests printed.
    let said = format!("{days} days of agents, {records} records, {seconds:.1} s: as the model");
    writeln!(io::stderr(), "{said}").expect("standard error can be written");
    assert!(records > days * 8, "the days are not empty");
}
