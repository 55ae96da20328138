//! A seeded load: calls of the call models, each with ids of its own, so many of them alive at
//! once, every event told by two bridges.

use serde_json::Value;
use trunkline_schemas::directory::{Agent, DnAt, Queue, Server, Source};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{DirectoryRow, RawEvent, RawKind, Record, codec};

/// The routing domain.
pub(crate) const DOMAIN: &str = "bench";
/// When the load begins, microseconds since 1970.
pub(crate) const BEGIN_US: i64 = 1_764_000_000_000_000;
/// Events a second of the load's own clock.
pub(crate) const EVENTS_PER_SECOND: i64 = 8_000;

/// The models played: answered from a queue, through an IVR, with a hold, abandoned.
const MODELS: [&str; 4] = [
    include_str!("../../processors/cases/models/01a-inbound-rp-vq-agent.jsonl"),
    include_str!("../../processors/cases/models/02a-ivr-on-rp-then-agent.jsonl"),
    include_str!("../../processors/cases/models/11-hold-retrieve.jsonl"),
    include_str!("../../processors/cases/models/03a-abandoned-in-queue.jsonl"),
];

/// Events of a model that are less apart tell of one happening and come together (microseconds).
const TOGETHER_US: i64 = 50_000;

/// One event of a model, its ids still to be filled in.
struct Template {
    stream: Stream,
    name: String,
    text: String,
    /// Whether the next event of the model tells of the same happening.
    goes_on: bool,
}

/// A call under way.
struct Call {
    number: u64,
    model: usize,
    next: usize,
}

/// Gives records without end.
pub(crate) struct Load {
    models: Vec<Vec<Template>>,
    live: Vec<Call>,
    at: usize,
    calls: u64,
    events: i64,
}

impl Load {
    /// A load with so many calls alive at once.
    pub(crate) fn new(live: usize) -> anyhow::Result<Self> {
        let models: Result<Vec<_>, _> = MODELS.iter().map(|text| templates(text)).collect();
        let mut load = Self { models: models?, live: Vec::new(), at: 0, calls: 0, events: 0 };
        for slot in 0..live {
            // Calls are spread over their life, or all would begin and end at once.
            let mut call = load.call();
            call.next = slot % 3;
            load.live.push(call);
        }
        for slot in 0..live {
            load.live[slot].next = 0;
        }
        Ok(load)
    }

    fn call(&mut self) -> Call {
        self.calls += 1;
        let number = self.calls;
        Call { number, model: (number % self.models.len() as u64) as usize, next: 0 }
    }

    /// The directory and the links, before the first event.
    pub(crate) fn beginning(&self) -> anyhow::Result<Vec<Record>> {
        let switch = || "SITE1".to_owned();
        let mut rows = vec![
            DirectoryRow::Source(Source { source_id: id(0) }),
            DirectoryRow::Server(Server { name: "sips1".to_owned(), switch: switch() }),
            DirectoryRow::Queue(Queue {
                dn: "VQ_Sales".to_owned(),
                switch: switch(),
                queue_id: id(1),
            }),
        ];
        for slot in 0..self.live.len() {
            rows.push(DirectoryRow::Agent(Agent {
                employee_id: format!("A{slot}"),
                user_id: id(slot as u64 + 1000),
                logins: vec![DnAt { dn: dn(slot), switch: switch() }],
            }));
        }
        let bare = |kind| RawEvent::bare(kind, DOMAIN, "sips1", BEGIN_US);
        let mut raws = vec![bare(RawKind::DirectoryStart)];
        for row in &rows {
            let payload = serde_json::to_vec(row)?;
            raws.push(RawEvent { payload, ..bare(RawKind::DirectoryRow) });
        }
        raws.push(bare(RawKind::DirectoryEnd));
        for bridge in ["b1", "b2"] {
            for stream in [Stream::Call, Stream::Vq, Stream::Ext] {
                for kind in [RawKind::LinkUp, RawKind::CaughtUp] {
                    let link = link(bridge, stream);
                    raws.push(RawEvent { stream: Some(stream), link, ..bare(kind) });
                }
            }
        }
        raws.iter().map(|raw| Ok(codec::record("", raw)?)).collect()
    }

    /// The next event, twice: as each bridge tells it.
    pub(crate) fn next_pair(&mut self) -> anyhow::Result<[Record; 2]> {
        self.next_pair_at(BEGIN_US + (self.events + 1) * 1_000_000 / EVENTS_PER_SECOND)
    }

    /// The next event, at this time of the switch (microseconds since 1970).
    pub(crate) fn next_pair_at(&mut self, at_us: i64) -> anyhow::Result<[Record; 2]> {
        let slot = self.at;
        let call = &self.live[slot];
        let template = &self.models[call.model][call.next];
        self.events += 1;
        let raw = event(template, call.number, slot, self.events, at_us);
        let last = call.next + 1 == self.models[call.model].len();
        if !template.goes_on {
            self.at = (self.at + 1) % self.live.len();
        }
        if last {
            self.live[slot] = self.call();
        } else {
            self.live[slot].next += 1;
        }
        let of = |bridge| -> anyhow::Result<Record> {
            let stream = raw.stream.unwrap_or(Stream::Dn);
            let raw = RawEvent { link: link(bridge, stream), ..raw.clone() };
            let key = raw.call_uuid.clone().unwrap_or_default();
            Ok(codec::record(key, &raw)?)
        };
        Ok([of("b1")?, of("b2")?])
    }
}

fn link(bridge: &str, stream: Stream) -> String {
    format!("{bridge}/site1/{}/0", stream.name())
}

fn id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn dn(slot: usize) -> String {
    format!("7{slot:05}")
}

fn templates(text: &str) -> anyhow::Result<Vec<Template>> {
    let mut templates: Vec<Template> = Vec::new();
    let mut before_us = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let stream = line["stream"].as_str().and_then(Stream::find).unwrap_or(Stream::Dn);
        if stream != Stream::Dn {
            let name = line["event"]["id"].as_str().unwrap_or_default().to_owned();
            let time = |unit: &str| line["event"]["time"][unit].as_i64().unwrap_or_default();
            let at_us = time("TimeinSecs") * 1_000_000 + time("TimeinuSecs");
            if let Some(before) = templates.last_mut() {
                before.goes_on = at_us - before_us < TOGETHER_US;
            }
            before_us = at_us;
            let text = line["event"].to_string();
            templates.push(Template { stream, name, text, goes_on: false });
        }
    }
    Ok(templates)
}

fn event(template: &Template, call: u64, slot: usize, number: i64, at_us: i64) -> RawEvent {
    let text = template
        .text
        .replace("01TESTSIPS1AAAAAAAAAAAAAES", &format!("{call:016}AAAAAAAAAA"))
        .replace("N6TESTURS0000000000000000L", &format!("{call:016}VQVQVQVQVQ"))
        .replace("0071030000000001", &format!("{call:016x}"))
        .replace("\"7001\"", &format!("\"{}\"", dn(slot)));
    let uuid = format!("{call:016}AAAAAAAAAA000001");
    RawEvent {
        stream: Some(template.stream),
        server_start: Some(1_763_000_000),
        sequence: Some(number),
        name: Some(template.name.clone()),
        switch_time_us: Some(at_us),
        call_uuid: (template.stream != Stream::Ext).then_some(uuid),
        conn_id: Some(format!("{call:016x}")),
        payload: text.into_bytes(),
        ..RawEvent::bare(RawKind::Event, DOMAIN, "sips1", at_us)
    }
}
