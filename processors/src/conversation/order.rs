//! *Order*: puts the events of independent streams into one order before anything is decided.
//!
//! Call monitoring, VQ and Extension events come over separate connections, and those of each site
//! from its own servers: there is no order across them (call-models section 1, rule 12). An event
//! waits until the streams that could still give something older have passed its time, and at most
//! W of stream time. So a busy site waits milliseconds, a quiet one W, and with a skew within W the
//! order in which the streams were read changes nothing. Timers run on stream time; the switch's
//! clock only orders.

use std::collections::{BTreeMap, BTreeSet};

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
    pub fn seen(&mut self, name: &str, stream: &StreamKey, number: Number, at_us: i64) {
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

    /// Whether call and VQ have a link that is up and has caught up, and no lost events of theirs
    /// are awaited from another link.
    fn settled(&self) -> bool {
        let role = |stream: Stream| {
            let mut links = self.links.iter().filter(|link| link.stream.1 == stream);
            links.clone().any(|link| link.caught_up) && links.all(|link| link.gap.is_none())
        };
        role(Stream::Call) && role(Stream::Vq)
    }

    /// Whether every stream that an event of this one waits for has passed this time: the call and
    /// VQ streams of all servers but its own, for a call goes on at other sites.
    fn passed(&self, server: &str, own: Stream, at_us: i64) -> bool {
        [Stream::Call, Stream::Vq].iter().all(|role| {
            let of_role = self.passed.iter().filter(|((_, stream), _)| stream == role);
            let mut others = of_role.filter(|((s, _), _)| own != *role || s != server).peekable();
            (own == *role || others.peek().is_some()) && others.all(|(_, passed)| *passed > at_us)
        })
    }
}

/// Whether others wait for the events of such a stream.
fn orders(role: Stream) -> bool {
    matches!(role, Stream::Call | Stream::Vq)
}

/// The place of an event in the one order: switch time (never back within its stream), then role,
/// server and arrival.
type Place = (i64, Stream, String, Offset);

/// The number of an event in its stream: server start and sequence number, 0 where there is none.
pub type Number = (i64, i64);

/// Since when an event waits, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Since {
    /// The clock of W.
    running_ms: i64,
    /// The clock of the longest wait.
    recorded_ms: i64,
}

/// An event that waits, as it must outlive a restart: its offset, and since when it waits by the
/// clock of W and by that of the longest wait.
pub type Held = (Offset, i64, i64);

/// Offsets whose waiting events are kept together: a step rewrites what changed, not everything
/// that waits.
const BLOCK: Offset = 128;

/// The events that wait.
#[derive(Clone, Debug)]
pub struct Order<T> {
    wait_ms: i64,
    waiting: BTreeMap<Place, T>,
    /// Since when each of them waits.
    since: BTreeMap<Offset, Since>,
    /// The last number of each stream and its place, so that its own order is kept whatever its
    /// clock does.
    last: Vec<(StreamKey, Number, i64)>,
    /// After a restart: the events that waited and have not been read again.
    expected: BTreeMap<Offset, Since>,
    /// Blocks that changed, and blocks that somebody keeps.
    touched: BTreeSet<Offset>,
    kept: BTreeSet<Offset>,
    /// The greatest time of a call or VQ event that waits no more, and how many came after it with
    /// a smaller one.
    decided_us: i64,
    late: u64,
}

impl<T> Order<T> {
    /// Waits at most `wait_ms` (W).
    pub fn new(wait_ms: i64) -> Self {
        Self {
            wait_ms,
            waiting: BTreeMap::new(),
            since: BTreeMap::new(),
            last: Vec::new(),
            expected: BTreeMap::new(),
            touched: BTreeSet::new(),
            kept: BTreeSet::new(),
            decided_us: i64::MIN,
            late: 0,
        }
    }

    /// Names events of a block that waited before a restart.
    pub fn expect(&mut self, block: Offset, held: Vec<Held>) {
        self.kept.insert(block);
        let since = |(at, running_ms, recorded_ms)| (at, Since { running_ms, recorded_ms });
        self.expected.extend(held.into_iter().map(since));
    }

    /// Offsets of those that have not been read again.
    pub fn expected(&self) -> Vec<Offset> {
        self.expected.keys().copied().collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many call and VQ events came after something newer of another stream was decided.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes an event of a stream.
    pub fn push(
        &mut self,
        streams: &Streams,
        (stream, number): (&StreamKey, Number),
        at_us: i64,
        at: Offset,
        item: T,
    ) {
        let last = self.last.iter_mut().find(|(known, ..)| known == stream);
        let at_us = match last {
            // Lost on one link and brought by another: it has its own place, before what was.
            Some((_, newest, _)) if number.0 == newest.0 && number.1 < newest.1 => at_us,
            Some((_, newest, place)) => {
                (*newest, *place) = (number, (*place).max(at_us));
                *place
            }
            None => {
                self.last.push((stream.clone(), number, at_us));
                at_us
            }
        };
        // One that waited before a restart goes on waiting, as if there had been none.
        let now = Since { running_ms: streams.running_ms, recorded_ms: streams.recorded_ms };
        self.since.insert(at, self.expected.remove(&at).unwrap_or(now));
        self.touched.insert(at.div_euclid(BLOCK));
        self.late += u64::from(orders(stream.1) && at_us < self.decided_us);
        self.waiting.insert((at_us, stream.1, stream.0.clone(), at), item);
    }

    /// The time of the first of those that wait, in milliseconds.
    pub fn first_ms(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|(place, _)| place.0.div_euclid(1000))
    }

    /// The next event in order, once nothing older can come or it has waited long enough.
    pub fn pop(&mut self, streams: &Streams) -> Option<T> {
        let ((at_us, role, server, at), _) = self.waiting.first_key_value()?;
        let at = *at;
        let due = streams.passed(server, *role, *at_us)
            || self.since.get(&at).is_none_or(|since| {
                streams.running_ms - since.running_ms > self.wait_ms
                    || streams.recorded_ms - since.recorded_ms > WAIT_MAX_MS
            });
        if !due {
            return None;
        }
        if orders(*role) {
            self.decided_us = self.decided_us.max(*at_us);
        }
        self.since.remove(&at);
        self.touched.insert(at.div_euclid(BLOCK));
        self.waiting.pop_first().map(|(_, item)| item)
    }

    /// Blocks that changed since the last time, with the events that wait in each; `None` where
    /// none does any more.
    pub fn changes(&mut self) -> Vec<(Offset, Option<Vec<Held>>)> {
        let mut changes = Vec::new();
        for block in std::mem::take(&mut self.touched) {
            let range = block * BLOCK..(block + 1) * BLOCK;
            let held = self.since.range(range);
            let held: Vec<Held> =
                held.map(|(at, since)| (*at, since.running_ms, since.recorded_ms)).collect();
            if !held.is_empty() {
                self.kept.insert(block);
                changes.push((block, Some(held)));
            } else if self.kept.remove(&block) {
                changes.push((block, None));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_what_changed_of_those_that_wait() {
        let mut streams = Streams::default();
        let (call, vq) = (("s".to_owned(), Stream::Call), ("s".to_owned(), Stream::Vq));
        let mut order = Order::new(2_000);
        streams.seen("vq", &vq, (1, 1), 5);
        // Two blocks, of which the second's event passes at once.
        for (at_us, at) in [(10, 1), (11, 2), (4, 130)] {
            order.push(&streams, (&call, (1, at)), at_us, at, at);
        }
        // The third waits behind the others: its own stream never goes back.
        assert_eq!(
            order.changes(),
            [(0, Some(vec![(1, 0, 0), (2, 0, 0)])), (1, Some(vec![(130, 0, 0)]))]
        );
        assert_eq!(order.changes(), []);
        streams.seen("vq", &vq, (1, 2), 11);
        assert_eq!((order.pop(&streams), order.pop(&streams)), (Some(1), None));
        assert_eq!(order.changes(), [(0, Some(vec![(2, 0, 0)]))]);
        streams.seen("vq", &vq, (1, 3), 12);
        assert_eq!((order.pop(&streams), order.pop(&streams)), (Some(2), Some(130)));
        // What came and went within a step was never kept.
        order.push(&streams, (&call, (1, 300)), 11, 300, 300);
        assert_eq!(order.pop(&streams), Some(300));
        assert_eq!(order.changes(), [(0, None), (1, None)]);
    }

    #[test]
    fn what_another_link_brings_after_a_gap_takes_its_own_place() {
        let mut streams = Streams::default();
        let (call, vq) = (("s".to_owned(), Stream::Call), ("s".to_owned(), Stream::Vq));
        let mut order = Order::new(2_000);
        // Number and time: 2 and 3 were lost, and come later. 5 and 6 were said while the clock
        // stood behind.
        for (offset, (number, at_us)) in
            (0..).zip([(1, 10), (4, 40), (2, 20), (3, 30), (5, 15), (6, 16)])
        {
            order.push(&streams, (&call, (1, number)), at_us, offset, number);
        }
        streams.seen("vq", &vq, (1, 7), 100);
        let found: Vec<_> = std::iter::from_fn(|| order.pop(&streams)).collect();
        assert_eq!(found, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_comes_after_something_newer_was_decided_is_late() {
        let mut streams = Streams::default();
        let key = |server: &str, stream| (server.to_owned(), stream);
        let (here, there) = (key("s1", Stream::Call), key("s2", Stream::Call));
        let (vq, ext) = (key("s1", Stream::Vq), key("s1", Stream::Ext));
        // Events by number and time, the VQ's last, of a stream; whether one waits W for the rest.
        let mut order = Order::new(2_000);
        let mut offset = 0;
        let mut push = |order: &mut Order<i64>, streams: &mut Streams, key, at_us| {
            offset += 1;
            streams.seen("link", key, (1, offset), at_us);
            order.push(streams, (key, (1, offset)), at_us, offset, at_us);
        };
        push(&mut order, &mut streams, &there, 5);
        push(&mut order, &mut streams, &here, 10);
        push(&mut order, &mut streams, &vq, 20);
        let popped = |order: &mut Order<i64>, streams: &Streams| -> Vec<i64> {
            std::iter::from_fn(|| order.pop(streams)).collect()
        };
        assert_eq!(popped(&mut order, &streams), [5], "the other site may say something older");
        push(&mut order, &mut streams, &there, 8);
        assert_eq!((popped(&mut order, &streams), order.late()), (vec![8], 0));
        streams.running_ms += 2_001;
        assert_eq!(popped(&mut order, &streams), [10, 20], "after W");
        // What Extension events say is waited for by nobody.
        push(&mut order, &mut streams, &ext, 9);
        assert_eq!(order.late(), 0);
        push(&mut order, &mut streams, &there, 9);
        assert_eq!(order.late(), 1);
    }

    #[test]
    fn after_a_restart_they_wait_on_as_if_there_had_been_none() {
        let streams = Streams { running_ms: 2_000, recorded_ms: 2_000, ..Streams::default() };
        let call = ("s".to_owned(), Stream::Call);
        for (since, popped) in [(0, None), (-1, Some(7))] {
            let mut order = Order::new(2_000);
            order.expect(0, vec![(7, since, since)]);
            assert_eq!(order.expected(), [7]);
            order.push(&streams, (&call, (1, 7)), 10, 7, 7);
            assert!(order.expected().is_empty());
            assert_eq!(order.pop(&streams), popped, "since {since}");
            let left = popped.is_none().then(|| vec![(7, since, since)]);
            assert_eq!(order.changes(), [(0, left)]);
        }
    }
}
