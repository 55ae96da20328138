//! *Order*: puts the events of three independent streams into one order before anything is decided.
//!
//! Call monitoring, VQ and Extension events come over separate connections, even from separate
//! servers: there is no order across them (call-models section 1, rule 12). An event waits until
//! the streams that could still give something older have passed its time, and at most W of stream
//! time. So a busy site waits milliseconds, a quiet one W, and with a skew within W the order in
//! which the streams were read changes nothing. Timers run on stream time; the switch's clock only
//! orders.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trunkline_schemas::Offset;
use trunkline_schemas::raw::Stream;

use super::copies::StreamKey;

/// Ticks come each second: where nothing came for longer, nobody was recording, and no wait runs.
const TICK_MS: i64 = 1_000;
/// The longest an event waits while no link of a role is up and has caught up (DESIGN section 5).
pub const WAIT_MAX_MS: i64 = 30_000;

/// Clocks and links, as far as they must outlive a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Streams {
    /// The greatest switch time of each stream, microseconds.
    passed: Vec<(StreamKey, i64)>,
    /// Links by name: their stream, and whether each is up and has caught up.
    links: Vec<Link>,
    /// Stream time, milliseconds.
    pub now_ms: i64,
    /// Stream time while somebody was recording: the clock of the longest wait.
    recorded_ms: i64,
    /// The part of it during which every role had a link that had caught up: the clock of W.
    running_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    name: String,
    stream: StreamKey,
    caught_up: bool,
    /// After a gap: the stream waits for the other links to pass this number.
    gap: Option<Gap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    since_ms: i64,
    /// Number of the first event after it, once it is there.
    first: Option<(i64, i64)>,
}

impl Streams {
    /// Advances stream time; it never goes back. Until a link is told to be down nobody knows since
    /// when it was, so no wait runs until then.
    pub fn advance(&mut self, now_ms: i64, until_down: bool) {
        let most = if until_down { 0 } else { TICK_MS };
        let step = (now_ms - self.now_ms).clamp(0, most);
        self.now_ms = self.now_ms.max(now_ms);
        self.recorded_ms += step;
        if self.settled() {
            self.running_ms += step;
        }
        let recorded_ms = self.recorded_ms;
        for link in &mut self.links {
            if link.gap.is_some_and(|gap| recorded_ms - gap.since_ms > WAIT_MAX_MS) {
                link.gap = None;
            }
        }
    }

    /// A link is up. Its events begin; it has not caught up.
    pub fn link_up(&mut self, name: &str, stream: &StreamKey) {
        self.link_down(name);
        self.links.push(Link {
            name: name.to_owned(),
            stream: stream.clone(),
            caught_up: false,
            gap: None,
        });
    }

    /// A link is down.
    pub fn link_down(&mut self, name: &str) {
        self.links.retain(|link| link.name != name);
        let alone: Vec<StreamKey> = self.links.iter().map(|l| l.stream.clone()).collect();
        for link in &mut self.links {
            if alone.iter().filter(|s| **s == link.stream).count() < 2 {
                link.gap = None;
            }
        }
    }

    /// A link has delivered what was there when it came up.
    pub fn caught_up(&mut self, name: &str) {
        for link in self.links.iter_mut().filter(|link| link.name == name) {
            link.caught_up = true;
        }
    }

    /// A link has lost events. Another link of the same stream may still bring them.
    pub fn gap(&mut self, name: &str) {
        let since_ms = self.recorded_ms;
        let Some(stream) =
            self.links.iter().find(|link| link.name == name).map(|link| link.stream.clone())
        else {
            return;
        };
        if self.links.iter().filter(|link| link.stream == stream).count() < 2 {
            return;
        }
        for link in self.links.iter_mut().filter(|link| link.name == name) {
            link.gap = Some(Gap { since_ms, first: None });
        }
    }

    /// A link has given an event: number and switch time.
    pub fn seen(&mut self, name: &str, stream: &StreamKey, number: (i64, i64), at_us: i64) {
        for link in self.links.iter_mut().filter(|link| link.stream == *stream) {
            match &mut link.gap {
                Some(gap) if link.name == name => {
                    gap.first.get_or_insert(number);
                }
                Some(Gap { first: Some(first), .. }) if number >= *first => link.gap = None,
                Some(_) | None => {}
            }
        }
        if self.links.iter().any(|link| link.stream == *stream && link.gap.is_some()) {
            return;
        }
        match self.passed.iter_mut().find(|(s, _)| s == stream) {
            Some((_, passed)) => *passed = (*passed).max(at_us),
            None => self.passed.push((stream.clone(), at_us)),
        }
    }

    /// Whether a link of each role that has any is up and has caught up, and call and VQ have one.
    fn settled(&self) -> bool {
        let role = |stream: Stream| {
            self.links.iter().any(|l| l.stream.1 == stream && l.caught_up && l.gap.is_none())
        };
        role(Stream::Call) && role(Stream::Vq)
    }

    /// Whether every stream that an event of this role waits for has passed this time.
    fn passed(&self, role: Stream, at_us: i64) -> bool {
        let others: &[Stream] = match role {
            Stream::Call => &[Stream::Vq],
            Stream::Vq => &[Stream::Call],
            Stream::Ext | Stream::Dn | Stream::Stat | Stream::AgentState => {
                &[Stream::Call, Stream::Vq]
            }
        };
        others.iter().all(|other| {
            let mut streams = self.passed.iter().filter(|((_, s), _)| s == other).peekable();
            streams.peek().is_some() && streams.all(|(_, passed)| *passed > at_us)
        })
    }
}

/// The place of an event in the one order: switch time (never back within its stream), then role,
/// server and arrival.
type Place = (i64, Stream, String, Offset);

/// Since when an event waits, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The clock of W.
    running_ms: i64,
    /// The clock of the longest wait.
    recorded_ms: i64,
}

/// An event that waits.
#[derive(Clone, Debug)]
struct Waiting<T> {
    item: T,
    since: Since,
}

/// The events that wait.
#[derive(Clone, Debug)]
pub struct Order<T> {
    wait_ms: i64,
    waiting: BTreeMap<Place, Waiting<T>>,
    /// The last place given in each stream, so that its own order is kept whatever its clock does.
    last: Vec<(StreamKey, i64)>,
    /// After a restart: the events that waited and have not been read again.
    expected: Vec<(Offset, Since)>,
}

impl<T> Order<T> {
    /// Waits at most `wait_ms` (W).
    pub fn new(wait_ms: i64) -> Self {
        Self { wait_ms, waiting: BTreeMap::new(), last: Vec::new(), expected: Vec::new() }
    }

    /// Names the events that waited before a restart.
    pub fn expect(&mut self, waiting: Vec<(Offset, Since)>) {
        self.expected = waiting;
    }

    /// Offsets of those that have not been read again.
    pub fn expected(&self) -> Vec<Offset> {
        self.expected.iter().map(|(at, _)| *at).collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes an event of a stream.
    pub fn push(&mut self, streams: &Streams, stream: &StreamKey, at_us: i64, at: Offset, item: T) {
        let at_us = if let Some((_, last)) = self.last.iter_mut().find(|(s, _)| s == stream) {
            *last = (*last).max(at_us);
            *last
        } else {
            self.last.push((stream.clone(), at_us));
            at_us
        };
        let place = (at_us, stream.1, stream.0.clone(), at);
        // One that waited before a restart goes on waiting, as if there had been none.
        let before = self.expected.iter().position(|(offset, _)| *offset == at);
        let since = before.map_or(
            Since { running_ms: streams.running_ms, recorded_ms: streams.recorded_ms },
            |before| self.expected.remove(before).1,
        );
        self.waiting.insert(place, Waiting { item, since });
    }

    /// The next event in order, once nothing older can come or it has waited long enough.
    pub fn pop(&mut self, streams: &Streams) -> Option<T> {
        let (place, waiting) = self.waiting.first_key_value()?;
        let due = streams.passed(place.1, place.0)
            || streams.running_ms - waiting.since.running_ms > self.wait_ms
            || streams.recorded_ms - waiting.since.recorded_ms > WAIT_MAX_MS;
        if !due {
            return None;
        }
        self.waiting.pop_first().map(|(_, waiting)| waiting.item)
    }

    /// The events that wait, by offset.
    pub fn held(&self) -> Vec<(Offset, Since)> {
        let held = self.waiting.iter().map(|((_, _, _, at), waiting)| (*at, waiting.since));
        let mut held: Vec<_> = held.collect();
        held.sort_unstable_by_key(|(at, _)| *at);
        held
    }
}
