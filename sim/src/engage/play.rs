//! Plays the plan: at its time each event gets its number and the time of day, and is said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::event::{Event, Phase, Role};
use super::feed::{Entry, Server, line_of};
use super::plan::{Call, Draw, MS, Micros};
use super::script::events;
use super::site::Site;

/// Events said at once at most, so that the clients are not kept waiting for a long burst.
const BURST_MAX: usize = 512;
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
    pub(super) fn new(site: &Site, calls: &[Call]) -> Self {
        let mut rows = Vec::new();
        for call in calls {
            let moments = events(site, call).into_iter().map(|event| event.at);
            rows.extend((0..).zip(moments).map(|(number, at)| (at, call.number, number)));
        }
        rows.sort_unstable();
        Self { rows }
    }
}

/// The servers of the site while they speak.
pub(super) struct Voices {
    sip: Voice,
    /// Nothing if the VQ DNs are on the SIP Server.
    vq: Option<Voice>,
}

struct Voice {
    server: Arc<Server>,
    steps: Draw,
    sequence: u64,
    burst: Vec<Entry>,
}

impl Voices {
    pub(super) fn new(seed: u64, sip: Arc<Server>, vq: Option<Arc<Server>>) -> Self {
        let voice = |number: u64, server| {
            let mut steps = Draw::new(seed, u64::MAX - number);
            Voice { server, sequence: steps.below(SEQUENCE_FIRST_MAX), steps, burst: Vec::new() }
        };
        Self { sip: voice(1, sip), vq: vq.map(|server| voice(2, server)) }
    }

    fn add(&mut self, event: Event, beat: &Beat) {
        let voice = match (event.role, &mut self.vq) {
            (Role::Vq, Some(vq)) => vq,
            (Role::Vq | Role::Call | Role::Agent, _) => &mut self.sip,
        };
        voice.sequence += 1 + voice.steps.below(SEQUENCE_STEP_MAX);
        let entry = entry(&voice.server, voice.sequence, event, beat);
        voice.burst.push(entry);
    }

    fn say(&mut self) {
        for voice in [Some(&mut self.sip), self.vq.as_mut()].into_iter().flatten() {
            if !voice.burst.is_empty() {
                voice.server.say(voice.burst.drain(..));
            }
        }
    }
}

fn entry(server: &Server, sequence: u64, event: Event, beat: &Beat) -> Entry {
    let mut attributes = event.attributes;
    let dn = attributes.get("ThisDN").and_then(Value::as_str).map(str::to_owned);
    let micros = beat.wall(event.at);
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

/// Plays all calls; `report` is told of the progress after every burst.
pub(super) async fn play(
    site: &Site,
    calls: &[Call],
    schedule: &Schedule,
    beat: Beat,
    mut voices: Voices,
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
        let due = |at: Micros| Duration::from_micros(beat.real(at)) <= elapsed;
        for _ in 0..BURST_MAX {
            let Some((_, number, _)) = rows.next_if(|(at, _, _)| due(*at)) else { break };
            let call = &calls[*number as usize];
            let (coming, phase) =
                open.entry(*number).or_insert_with(|| (events(site, call).into_iter(), None));
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
