//! *Copies*: several bridges read the same servers, so an event comes more than once (DESIGN
//! section 5).
//!
//! Copies from one server process carry the same (server start, sequence number). For each stream
//! of each process the ranges of numbers already covered are kept: what a link gives between two
//! events of its own, without a gap record in between, is covered whole, because a client that is
//! registered for some DNs sees holes. A number inside a covered range is a copy.
//!
//! At a switchover another process goes on, with a start and numbers of its own. Until its feeder
//! has caught up, its events are matched with the last ones before it by content, without clock and
//! number.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use trunkline_schemas::raw::Stream;

/// Ranges kept for one stream of one server process; the oldest is forgotten first. More than one
/// is there only after gaps.
const RANGES_MAX: usize = 256;
/// Server processes remembered for one stream: the running one and those before it.
const STARTS_MAX: usize = 3;
/// Contents remembered for a stream whose events carry no server start.
const CONTENTS_MAX: usize = 4096;

/// Payloads of a stream remembered for a switchover.
const RECENT_MAX: usize = 256;

/// A stream of a server pair: the pair (or, of a file, the server) and the role.
pub type StreamKey = (String, Stream);

/// What the links have covered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    streams: Vec<(StreamKey, Vec<Process>)>,
    /// For each link and stream: the server start and number of its last event, while unbroken.
    links: Vec<((String, StreamKey), (i64, i64))>,
    /// The last payloads of each stream. Not kept over a restart: then a switchover is matched by
    /// what events say of parties and calls alone.
    #[serde(skip)]
    recent: Vec<(StreamKey, VecDeque<Vec<u8>>)>,
    /// Streams at a switchover: the new start, and what is left to match.
    #[serde(skip)]
    switching: Vec<(StreamKey, i64, VecDeque<u64>)>,
}

/// One server process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    start: Option<i64>,
    ranges: Vec<(i64, i64)>,
    /// Of a process whose start is unknown: number and content of its last events.
    contents: BTreeMap<i64, u64>,
}

/// Whether an event is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has not been seen.
    New,
    /// It has.
    Copy,
}

/// What identifies an event on its link.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// The link.
    pub link: &'a str,
    /// The stream.
    pub stream: &'a StreamKey,
    /// Server start.
    pub start: Option<i64>,
    /// Sequence number.
    pub sequence: Option<i64>,
    /// The event, byte for byte.
    pub payload: &'a [u8],
}

impl Copies {
    /// Decides about one event and remembers it.
    pub fn admit(&mut self, mark: &Mark<'_>) -> Admission {
        let Some(sequence) = mark.sequence else {
            return Admission::New; // nothing to tell it by; the flow is state-setting
        };
        let last = self.last_on_link(mark, sequence);
        let Some(start) = mark.start else {
            let content = content(mark.payload);
            return self.process(mark.stream, None).admit_content(sequence, content);
        };
        self.notice_switchover(mark.stream, start);
        let process = self.process(mark.stream, mark.start);
        let known = process.covers(sequence);
        process.cover(last.map_or(sequence, |last| (last + 1).min(sequence)), sequence);
        if known || self.matches_before(mark, start) {
            return Admission::Copy;
        }
        self.remember(mark);
        Admission::New
    }

    /// A feeder has told all that was there when its link came up: a switchover is over.
    pub fn caught_up(&mut self, stream: &StreamKey) {
        self.switching.retain(|(s, _, _)| s != stream);
    }

    /// Another process goes on where the last one was: what that one told last is matched.
    fn notice_switchover(&mut self, stream: &StreamKey, start: i64) {
        let processes = self.streams.iter().find(|(s, _)| s == stream).map(|(_, p)| p);
        let fresh = processes.is_some_and(|processes| {
            processes.iter().any(|p| p.start.is_some())
                && processes.iter().all(|p| p.start != Some(start))
        });
        if !fresh {
            return;
        }
        let recent = self.recent.iter().find(|(s, _)| s == stream);
        let contents = recent.map(|(_, r)| r.iter().map(|p| content(p)).collect());
        self.caught_up(stream);
        self.switching.push((stream.clone(), start, contents.unwrap_or_default()));
    }

    /// At a switchover: whether the event was told by the process before. What lies before it then
    /// was told too, and is matched no more.
    fn matches_before(&mut self, mark: &Mark<'_>, start: i64) -> bool {
        let switching =
            self.switching.iter_mut().find(|(s, new, _)| s == mark.stream && *new == start);
        let Some((_, _, contents)) = switching else { return false };
        let content = content(mark.payload);
        let Some(at) = contents.iter().position(|known| *known == content) else { return false };
        contents.drain(..=at);
        true
    }

    fn remember(&mut self, mark: &Mark<'_>) {
        let at = self.recent.iter().position(|(s, _)| s == mark.stream).unwrap_or_else(|| {
            self.recent.push((mark.stream.clone(), VecDeque::new()));
            self.recent.len() - 1
        });
        let recent = &mut self.recent[at].1;
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(mark.payload.to_vec());
    }

    /// A link came up without resuming, or has a gap: what follows joins nothing before it.
    pub fn broken(&mut self, link: &str, stream: &StreamKey) {
        self.links.retain(|((l, s), _)| !(l == link && s == stream));
    }

    /// The greatest number a link has given of a stream, while unbroken.
    pub fn reached(&self, link: &str, stream: &StreamKey) -> Option<(i64, i64)> {
        self.links.iter().find(|((l, s), _)| l == link && s == stream).map(|(_, last)| *last)
    }

    /// The last number of this link before this event, if both belong to one process and nothing is
    /// missing between them.
    fn last_on_link(&mut self, mark: &Mark<'_>, sequence: i64) -> Option<i64> {
        let start = mark.start.unwrap_or_default();
        let found = self.links.iter_mut().find(|((l, s), _)| l == mark.link && s == mark.stream);
        let Some((_, last)) = found else {
            let key = (mark.link.to_owned(), mark.stream.clone());
            self.links.push((key, (start, sequence)));
            return None;
        };
        let before = (last.0 == start).then_some(last.1);
        *last = (start, before.map_or(sequence, |b| b.max(sequence)));
        before.filter(|b| *b < sequence)
    }

    fn process(&mut self, stream: &StreamKey, start: Option<i64>) -> &mut Process {
        let at = self.streams.iter().position(|(s, _)| s == stream).unwrap_or_else(|| {
            self.streams.push((stream.clone(), Vec::new()));
            self.streams.len() - 1
        });
        let processes = &mut self.streams[at].1;
        let at = processes.iter().position(|p| p.start == start).unwrap_or_else(|| {
            if processes.len() == STARTS_MAX {
                processes.remove(0);
            }
            processes.push(Process { start, ..Process::default() });
            processes.len() - 1
        });
        &mut processes[at]
    }
}

impl Process {
    fn covers(&self, sequence: i64) -> bool {
        // The newest range is the last and almost always the only one.
        self.ranges.iter().rev().any(|(from, to)| (*from..=*to).contains(&sequence))
    }

    /// Covers `from..=to`, joining what touches or overlaps.
    fn cover(&mut self, from: i64, to: i64) {
        let (mut from, mut to) = (from, to);
        self.ranges.retain(|(f, t)| {
            let touches = *f <= to.saturating_add(1) && from <= t.saturating_add(1);
            if touches {
                from = from.min(*f);
                to = to.max(*t);
            }
            !touches
        });
        let at = self.ranges.partition_point(|(f, _)| *f < from);
        self.ranges.insert(at, (from, to));
        if self.ranges.len() > RANGES_MAX {
            self.ranges.remove(0);
        }
    }

    fn admit_content(&mut self, sequence: i64, content: u64) -> Admission {
        if self.contents.insert(sequence, content) == Some(content) {
            return Admission::Copy;
        }
        if self.contents.len() > CONTENTS_MAX {
            self.contents.pop_first();
        }
        Admission::New
    }
}

/// Content of an event without what differs between the copies of two processes: time, number,
/// start and server.
fn content(payload: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    match serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(payload) {
        Ok(object) => {
            let own = |key: &str| {
                matches!(key, "time" | "EventSequenceNumber" | "ServerStartTime" | "Server")
            };
            for (key, value) in object.iter().filter(|(key, _)| !own(key)) {
                add(key.as_bytes());
                add(value.to_string().as_bytes());
            }
        }
        Err(_) => add(payload),
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Option<i64> = Some(1_764_000_000);

    fn stream() -> StreamKey {
        ("sips1".to_owned(), Stream::Call)
    }

    fn see(copies: &mut Copies, link: &str, start: Option<i64>, sequence: i64) -> bool {
        let stream = stream();
        let mark = Mark { link, stream: &stream, start, sequence: Some(sequence), payload: b"7" };
        copies.admit(&mark) == Admission::New
    }

    #[test]
    fn what_each_link_gives() {
        // (link, number or None for a gap on it, new?)
        let table = [
            ("a", Some(10), true),
            ("b", Some(10), false),
            ("a", Some(17), true),
            ("b", Some(12), false), // between two of a: not for this role, or a copy
            ("b", Some(17), false),
            ("a", None, false),
            ("a", Some(30), true), // after a gap: 18..29 are open
            ("b", Some(21), true),
            ("b", Some(30), false),
            ("a", Some(31), true),
            ("a", Some(31), false), // a link that sends again
        ];
        let mut copies = Copies::default();
        for (n, (link, number, new)) in table.into_iter().enumerate() {
            match number {
                Some(number) => {
                    assert_eq!(see(&mut copies, link, START, number), new, "row {n}");
                }
                None => copies.broken(link, &stream()),
            }
        }
    }

    #[test]
    fn another_process_has_numbers_of_its_own() {
        let mut copies = Copies::default();
        assert!(see(&mut copies, "a", START, 10));
        copies.caught_up(&stream());
        assert!(tell(&mut copies, 1_764_000_999, 1, "else"));
        assert!(tell(&mut copies, 1_764_000_999, 10, "and more"));
        assert!(!see(&mut copies, "b", START, 10));
    }

    /// What a stream tells, each event with a content of its own.
    fn tell(copies: &mut Copies, start: i64, sequence: i64, what: &str) -> bool {
        let stream = stream();
        let payload = format!("{{\"id\":\"{what}\",\"time\":{sequence},\"Server\":\"{start}\"}}");
        let (start, sequence, payload) = (Some(start), Some(sequence), payload.as_bytes());
        let mark = Mark { link: "a", stream: &stream, start, sequence, payload };
        copies.admit(&mark) == Admission::New
    }

    #[test]
    fn at_a_switchover_the_last_events_are_matched_by_content() {
        let mut copies = Copies::default();
        for (n, what) in ["added", "held", "retrieved", "held"].into_iter().enumerate() {
            assert!(tell(&mut copies, 1, n as i64, what));
        }
        copies.broken("a", &stream());
        // (number, what, new?): the backup tells the end of it again, then goes on.
        for (number, what, new) in [
            (70, "created again", true),
            (71, "retrieved", false),
            (72, "held", false),
            (73, "retrieved", true),
        ] {
            assert_eq!(tell(&mut copies, 2, number, what), new, "{number} {what}");
        }
        copies.caught_up(&stream());
        assert!(tell(&mut copies, 2, 74, "held"), "after it has caught up, all is news");
    }

    #[test]
    fn without_a_start_number_and_content_decide() {
        let mut copies = Copies::default();
        assert!(see(&mut copies, "a", None, 10));
        assert!(see(&mut copies, "a", None, 12));
        assert!(see(&mut copies, "a", None, 11), "no range is concluded");
        assert!(!see(&mut copies, "b", None, 10));
    }

    proptest! {
        /// Two links that each give the whole stream, however interleaved and repeated: each event
        /// is new exactly once.
        #[test]
        fn each_event_is_new_once(
            steps in proptest::collection::vec(1_i64..4, 1..60),
            choices in proptest::collection::vec(any::<bool>(), 0..200),
        ) {
            let numbers: Vec<i64> = steps.iter().scan(0, |n, s| { *n += s; Some(*n) }).collect();
            let mut at = [0_usize; 2];
            let mut copies = Copies::default();
            let mut fresh = Vec::new();
            let mut choices = choices.into_iter();
            while at.iter().any(|a| *a < numbers.len()) {
                let side = usize::from(choices.next().unwrap_or(at[0] >= at[1]));
                let side = if at[side] < numbers.len() { side } else { 1 - side };
                let link = ["a", "b"][side];
                if see(&mut copies, link, START, numbers[at[side]]) {
                    fresh.push(numbers[at[side]]);
                }
                at[side] += 1;
            }
            prop_assert_eq!(fresh, numbers);
        }
    }
}
