//! Plays the plan: at its time each event gets its number and the time of day, and is said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::event::{Event, Phase, Place, Role};
use super::feed::{Entry, Server, line_of};
use super::plan::{Call, Draw, MS, Micros};
use super::recorded::Take;
use super::script;
use super::site::Site;
use super::standby::{Memory, Standby};
use crate::truth::CallTruth;

/// Events said at once at most, so that the clients are not kept waiting for a long burst.
const BURST_MAX: usize = 512;
/// The backup's clock is behind by this many microseconds.
const CLOCK_OFF: i64 = -2_500;
/// The number of a server's first event is below this.
const SEQUENCE_FIRST_MAX: u64 = 1 << 16;
/// Numbers of successive events are at most this far apart, as other streams take some.
const SEQUENCE_STEP_MAX: u64 = 3;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Calls that have begun.
    pub started: u64,
    /// Calls that are over.
    pub finished: u64,
    /// Calls of the whole run.
    pub total: u64,
    /// Calls in which people talk.
    pub talking: u64,
    /// Calls that wait in a queue, until they are answered or given up.
    pub queued: u64,
}

impl Progress {
    /// Takes a call from one phase to the next.
    fn step(&mut self, before: Option<Phase>, after: Phase) {
        match before {
            Some(Phase::Queued) => self.queued -= 1,
            Some(Phase::Talking) => self.talking -= 1,
            Some(Phase::Started | Phase::Finished) | None => {}
        }
        match after {
            Phase::Started => self.started += 1,
            Phase::Queued => self.queued += 1,
            Phase::Talking => self.talking += 1,
            Phase::Finished => self.finished += 1,
        }
    }
}

/// When the plan began, and how fast it is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    /// Microseconds since 1970 of the plan's beginning.
    pub(super) start: i64,
    pub(super) speed: f64,
}

impl Beat {
    /// The real time from the beginning of the plan to a moment of it, in microseconds.
    pub(super) fn real(&self, at: Micros) -> Micros {
        (at as f64 / self.speed) as Micros
    }

    /// The time of day of a moment of the plan: microseconds since 1970.
    pub(super) fn wall(&self, at: Micros) -> i64 {
        self.start + self.real(at) as i64
    }

    /// The same in milliseconds since 1970.
    pub(super) fn wall_ms(&self, at: Micros) -> i64 {
        self.wall(at).div_euclid(MS as i64)
    }
}

/// All events of the run in their order.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Moment, number of the call, number of the event in its call.
    rows: Vec<(Micros, u32, u16)>,
}

impl Schedule {
    pub(super) fn new(site: &Site, calls: &[Played]) -> Self {
        let mut rows = Vec::new();
        for (call, played) in (0..).zip(calls) {
            let moments = played.events(site).into_iter().map(|event| event.at);
            rows.extend((0..).zip(moments).map(|(number, at)| (at, call, number)));
        }
        rows.sort_unstable();
        Self { rows }
    }

    /// When half of the events are over.
    pub(super) fn middle(&self) -> Micros {
        self.rows.get(self.rows.len() / 2).map_or(0, |(at, ..)| *at)
    }
}

/// One call of the run. Its place among them is its number.
#[derive(Clone, Debug)]
pub(super) enum Played {
    /// Composed by the plan.
    Planned(Call),
    /// A fixture, with other names.
    Recorded(Take),
}

impl Played {
    fn events(&self, site: &Site) -> Vec<Event> {
        match self {
            Self::Planned(call) => script::events(site, call),
            Self::Recorded(take) => take.events(site),
        }
    }

    /// What the organisation must hold; `to_ms` turns a moment of the plan into milliseconds since
    /// 1970.
    pub(super) fn truth(&self, site: &Site, to_ms: impl Fn(Micros) -> i64) -> CallTruth {
        match self {
            Self::Planned(call) => super::expected::truth(site, call, to_ms),
            Self::Recorded(take) => take.truth(site, to_ms),
        }
    }
}

/// The servers of the site while they speak.
pub(super) struct Voices {
    sip: Voice,
    /// Nothing if the VQ DNs are on the SIP Server.
    vq: Option<Voice>,
    second: Option<Voice>,
    /// What the SIP Server's backup knows; nothing where there is none.
    memory: Option<Memory>,
}

/// A server that speaks.
struct Voice {
    server: Arc<Server>,
    steps: Draw,
    sequence: u64,
    /// How far its clock is from that of the site, in microseconds.
    clock_off: i64,
    burst: Vec<Entry>,
}

impl Voice {
    fn new(seed: u64, number: u64, server: Arc<Server>) -> Self {
        let mut steps = Draw::new(seed, u64::MAX - number);
        let sequence = steps.below(SEQUENCE_FIRST_MAX);
        Self { server, sequence, steps, clock_off: 0, burst: Vec::new() }
    }

    fn add(&mut self, event: Event, beat: &Beat) {
        self.sequence += 1 + self.steps.below(SEQUENCE_STEP_MAX);
        let micros = beat.wall(event.at) + self.clock_off;
        self.burst.push(entry(&self.server, self.sequence, event, micros));
    }

    fn say(&mut self) {
        if !self.burst.is_empty() {
            self.server.say(self.burst.drain(..));
        }
    }
}

/// The servers of a site.
pub(super) struct Servers {
    pub(super) sip: Arc<Server>,
    pub(super) vq: Option<Arc<Server>>,
    pub(super) second: Option<Arc<Server>>,
}

impl Voices {
    pub(super) fn new(seed: u64, servers: &Servers) -> Self {
        let voice = |number, server: &Arc<Server>| Voice::new(seed, number, Arc::clone(server));
        Self {
            sip: voice(1, &servers.sip),
            vq: servers.vq.as_ref().map(|server| voice(2, server)),
            second: servers.second.as_ref().map(|server| voice(3, server)),
            memory: servers.second.as_ref().map(|_| Memory::default()),
        }
    }

    fn add(&mut self, event: Event, beat: &Beat) {
        match (event.role, event.place, &mut self.vq, &mut self.second) {
            (Role::Vq, _, Some(vq), _) => vq.add(event, beat),
            (Role::Call | Role::Agent, Place::Second, _, Some(second)) => second.add(event, beat),
            _ => {
                if let Some(memory) = &mut self.memory {
                    memory.heard(&event);
                }
                self.sip.add(event, beat);
            }
        }
    }

    fn say(&mut self) {
        let servers = [Some(&mut self.sip), self.vq.as_mut(), self.second.as_mut()];
        servers.into_iter().flatten().for_each(Voice::say);
    }

    /// The SIP Server fails, and its backup takes its place: with numbers and a clock of its own,
    /// it says the last events again and announces the calls that are there.
    fn switch_over(&mut self, standby: Standby, at: Micros, beat: &Beat) {
        self.say();
        self.sip.server.end();
        let server = standby.take_over();
        self.sip = Voice::new(u64::try_from(server.started_at).unwrap_or_default(), 4, server);
        self.sip.clock_off = CLOCK_OFF;
        for event in self.memory.iter().flat_map(|memory| memory.tell(at)) {
            self.sip.add(event, beat);
        }
        self.say();
    }
}

fn entry(server: &Server, sequence: u64, event: Event, micros: i64) -> Entry {
    let mut attributes = event.attributes;
    let dn = attributes.get("ThisDN").and_then(Value::as_str).map(str::to_owned);
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    attributes.insert("id".to_owned(), json!(event.name));
    attributes.insert("Server".to_owned(), json!(server.name));
    attributes.insert("ServerStartTime".to_owned(), json!(server.started_at));
    attributes.insert("EventSequenceNumber".to_owned(), json!(format!("{sequence:016x}")));
    attributes.insert("time".to_owned(), json!({"TimeinSecs": seconds, "TimeinuSecs": rest}));
    let line = line_of(&json!({
        "source": server.name, "stream": event.role.stream(), "event": attributes,
    }));
    Entry { sequence, role: event.role, dn, line }
}

/// Plays all calls; `report` is told of the progress after every burst. With a standby, the SIP
/// Server fails in the middle.
pub(super) async fn play(
    site: &Site,
    calls: &[Played],
    schedule: &Schedule,
    beat: Beat,
    mut voices: Voices,
    mut standby: Option<Standby>,
    report: impl Fn(Progress),
) {
    let began = Instant::now();
    let mut progress = Progress { total: calls.len() as u64, ..Progress::default() };
    // The events still to come of the calls that have begun, and where those calls stand.
    let mut open: BTreeMap<u32, (std::vec::IntoIter<Event>, Option<Phase>)> = BTreeMap::new();
    let mut rows = schedule.rows.iter().peekable();
    while let Some(&&(at, _, _)) = rows.peek() {
        sleep_until(began + Duration::from_micros(beat.real(at))).await;
        let elapsed = began.elapsed();
        if at >= schedule.middle()
            && let Some(standby) = standby.take()
        {
            voices.switch_over(standby, at, &beat);
        }
        let due = |at: Micros| Duration::from_micros(beat.real(at)) <= elapsed;
        for _ in 0..BURST_MAX {
            let Some((_, number, _)) = rows.next_if(|(at, _, _)| due(*at)) else { break };
            let call = &calls[*number as usize];
            let (coming, phase) =
                open.entry(*number).or_insert_with(|| (call.events(site).into_iter(), None));
            let Some(event) = coming.next() else { continue };
            if let Some(next) = event.phase {
                progress.step(*phase, next);
                *phase = Some(next);
                if next == Phase::Finished {
                    open.remove(number);
                }
            }
            voices.add(event, &beat);
        }
        voices.say();
        report(progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_a_call_where_it_stands() {
        use Phase::{Finished, Queued, Started, Talking};
        // (phases of one call, then: talking, queued, finished)
        let table = [
            (vec![Started], (0, 0, 0)),
            (vec![Started, Queued], (0, 1, 0)),
            // Queued again after nobody answered: still one call in the queue.
            (vec![Started, Queued, Queued], (0, 1, 0)),
            (vec![Started, Queued, Talking], (1, 0, 0)),
            (vec![Started, Queued, Talking, Finished], (0, 0, 1)),
            (vec![Started, Queued, Finished], (0, 0, 1)),
        ];
        for (phases, wanted) in table {
            let (mut progress, mut before) = (Progress::default(), None);
            for phase in &phases {
                progress.step(before, *phase);
                before = Some(*phase);
            }
            let got = (progress.talking, progress.queued, progress.finished);
            assert_eq!(got, wanted, "{phases:?}");
            assert_eq!(progress.started, 1);
        }
    }

    #[test]
    fn time_is_divided_by_the_speed() {
        let beat = Beat { start: 1_764_000_000_999_500, speed: 60.0 };
        assert_eq!(beat.wall(60_000_000), 1_764_000_001_999_500);
        assert_eq!(beat.wall_ms(60_000_000), 1_764_000_001_999);
    }
}
