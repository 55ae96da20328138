//! Feeding stories to a processor: in order or not, once or more often, by one bridge or two.

use trunkline_processors::Processor;
use trunkline_processors::conversation::ConversationProcessor;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::{COMMAND_CONVERSATION, OUTCOME_CONVERSATION, RAW_TLIB};
use trunkline_schemas::{ConversationCommand, Outcome, RawEvent, RawKind, Record, Stored, codec};

use crate::common::{EPOCH_MS, Feed, Line, raw_of};
use crate::events::events;
use crate::random::Random;
use crate::story::Story;

const STREAMS: [Stream; 3] = [Stream::Call, Stream::Vq, Stream::Ext];
/// Between two ticks. A bridge writes one each second; a record lets a wait go on by a second at most
/// (`Streams::advance`), so that with rarer ones it lasts longer, and changes nothing else.
const TICK_MS: i64 = 2_000;
/// Between two calls: the last events are taken, and what an untold call waits for is over.
const PAUSE_MS: i64 = 10_000;
/// The same where events are lost or come so late that a wait of 30 s may have to run out, and one
/// that follows from it.
const LONG_PAUSE_MS: i64 = 65_000;

/// How a story is fed.
#[derive(Default)]
pub(crate) struct Feeding {
    /// The streams in an order of their own, behind each other by so many milliseconds at most.
    pub(crate) order: Option<(Random, i64)>,
    /// A second bridge.
    pub(crate) copy: Option<Copy>,
    /// Whether the first bridge loses events instead of the second.
    pub(crate) first_loses: bool,
    /// Every event comes once to five times.
    pub(crate) repeats: Option<Random>,
    /// Events are given and commands taken as they are, not as records of the log, which costs a
    /// third of a case.
    pub(crate) decoded: bool,
}

/// The copy of a second bridge.
#[derive(Clone, Copy)]
pub(crate) struct Copy {
    /// How much later than the first it comes; negative: earlier.
    pub(crate) lag_ms: i64,
    /// Between these times one of the two is down and loses what is said.
    pub(crate) lost: Option<(i64, i64)>,
}

/// What was told of one story.
pub(crate) struct Told {
    pub(crate) commands: Vec<ConversationCommand>,
    pub(crate) outcomes: Vec<Outcome>,
    /// When the call was created, milliseconds since 1970.
    pub(crate) epoch_ms: i64,
}

/// A processor, and the time and place it has come to.
pub(crate) struct Runner {
    processor: ConversationProcessor,
    offset: i64,
    now_ms: i64,
    number: u64,
    second: bool,
    decoded: bool,
}

/// The lines of each stream in their order.
pub(crate) fn streams(lines: &[Line]) -> Vec<Vec<Line>> {
    let of = |stream| lines.iter().filter(move |line| line.stream == stream).cloned().collect();
    STREAMS.into_iter().map(of).collect()
}

/// The lines in an order in which each stream's own is kept, and nothing is read after something
/// more than `skew_ms` newer.
fn mixed(lines: &[Line], random: &mut Random, skew_ms: i64) -> Vec<Line> {
    let mut streams = streams(lines);
    for stream in &mut streams {
        stream.reverse();
    }
    let mut mixed = Vec::with_capacity(lines.len());
    while let Some(oldest) = streams.iter().filter_map(|s| s.last()).map(|l| l.at_ms).min() {
        let open: Vec<usize> = (0..streams.len())
            .filter(|i| streams[*i].last().is_some_and(|l| l.at_ms - oldest <= skew_ms))
            .collect();
        let chosen = open[random.below(open.len() as u64) as usize];
        mixed.extend(streams[chosen].pop());
    }
    mixed
}

impl Runner {
    pub(crate) fn new() -> Self {
        let Feed { processor, offset, now_ms, .. } = Feed::new();
        Self { processor, offset, now_ms, number: 0, second: false, decoded: false }
    }

    pub(crate) fn run(&mut self, story: &Story, feeding: &Feeding) -> Told {
        self.number += 1;
        self.decoded = feeding.decoded;
        let epoch_ms = self.now_ms + PAUSE_MS;
        let mut lines = events(self.number, story);
        for line in &mut lines {
            line.at_ms += epoch_ms - EPOCH_MS;
        }
        if let Some((random, skew_ms)) = &feeding.order {
            lines = mixed(&lines, &mut Random(random.0), *skew_ms);
        }
        match &feeding.copy {
            Some(copy) => self.two(&lines, *copy, feeding.first_loses, epoch_ms),
            None => self.one(&lines, feeding),
        }
        let late = feeding.order.as_ref().is_some_and(|(_, skew_ms)| *skew_ms > TICK_MS * 60);
        let lost = feeding.copy.is_some_and(|copy| copy.lost.is_some());
        self.ticks_to(self.now_ms + if late || lost { LONG_PAUSE_MS } else { PAUSE_MS });
        self.collect(epoch_ms)
    }

    fn one(&mut self, lines: &[Line], feeding: &Feeding) {
        let mut repeats = feeding.repeats.as_ref().map(|random| Random(random.0));
        for line in lines {
            self.ticks_to(line.at_ms);
            let raw = raw_of(line, "a");
            let times = repeats.as_mut().map_or(1, |random| 1 + random.below(5));
            for _ in 1..times {
                self.record(raw.clone());
            }
            self.record(raw);
        }
    }

    /// Two bridges: the second's copies come later by its lag, and one of the two is down for a
    /// while.
    fn two(&mut self, lines: &[Line], copy: Copy, first_loses: bool, epoch_ms: i64) {
        if !self.second {
            self.second = true;
            self.links("b", &[RawKind::LinkUp, RawKind::CaughtUp]);
        }
        let lost = copy.lost.map(|(from, to)| (epoch_ms + from, epoch_ms + to));
        let loser = if first_loses { "a" } else { "b" };
        // When, in which order at that moment, and what: a line of a bridge, or its link.
        let mut arrivals: Vec<(i64, &str, What<'_>)> = Vec::new();
        for (bridge, lag_ms) in [("a", 0.max(-copy.lag_ms)), ("b", 0.max(copy.lag_ms))] {
            for line in lines {
                let is_lost = bridge == loser
                    && lost.is_some_and(|(from, to)| (from..to).contains(&line.at_ms));
                if !is_lost {
                    arrivals.push((line.at_ms + lag_ms, bridge, What::Line(line)));
                }
            }
            if let Some((from, to)) = lost.filter(|_| bridge == loser) {
                arrivals.push((from + lag_ms, bridge, What::Down));
                arrivals.push((to + lag_ms, bridge, What::Up));
            }
        }
        // The link's records stand before the lines of their moment: a window is half open.
        arrivals.sort_by_key(|(at_ms, _, what)| (*at_ms, matches!(what, What::Line(_))));
        for (at_ms, bridge, what) in arrivals {
            self.ticks_to(at_ms);
            match what {
                What::Line(line) => self.record(raw_of(line, bridge)),
                What::Down => self.links(bridge, &[RawKind::LinkDown]),
                What::Up => {
                    self.links(bridge, &[RawKind::LinkUp, RawKind::Gap, RawKind::CaughtUp]);
                }
            }
        }
    }

    fn links(&mut self, bridge: &str, kinds: &[RawKind]) {
        for stream in STREAMS {
            for kind in kinds {
                let mut raw = RawEvent::bare(*kind, "test", "sips1", self.now_ms * 1000);
                raw.stream = Some(stream);
                raw.link = format!("{bridge}/sips1/{}", stream.name());
                self.record(raw);
            }
        }
    }

    fn ticks_to(&mut self, at_ms: i64) {
        while self.now_ms + TICK_MS < at_ms {
            self.now_ms += TICK_MS;
            self.record(RawEvent::bare(RawKind::Tick, "test", "", self.now_ms * 1000));
        }
        self.now_ms = self.now_ms.max(at_ms);
    }

    fn record(&mut self, raw: RawEvent) {
        let (topic, offset, append_time_ms) = (RAW_TLIB, self.offset, self.now_ms);
        self.offset += 1;
        let stored = |record| Stored { topic, partition: 0, offset, append_time_ms, record };
        if self.decoded {
            self.processor.apply_raw(&stored(Record::new("", Vec::new())), Ok(raw));
        } else {
            let record = codec::record("", &raw).expect("a raw event encodes");
            self.processor.apply(&stored(record));
        }
    }

    fn collect(&mut self, epoch_ms: i64) -> Told {
        let (mut commands, mut outcomes) =
            if self.decoded { self.processor.told() } else { (Vec::new(), Vec::new()) };
        for (topic, record) in self.processor.drain().outputs {
            let value = record.value.expect("no tombstones among outputs");
            if topic == COMMAND_CONVERSATION {
                commands.push(codec::decode(&value).expect("our own command"));
            } else if topic == OUTCOME_CONVERSATION {
                outcomes.push(codec::decode(&value).expect("our own outcome"));
            } else {
                assert!(!topic.name().starts_with("dead."), "a dead letter");
            }
        }
        Told { commands, outcomes, epoch_ms }
    }
}

/// What arrives from a bridge.
#[derive(Clone, Copy)]
enum What<'a> {
    Line(&'a Line),
    Down,
    Up,
}
