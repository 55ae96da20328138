//! Processes that share an allowance, beside a Redis that comes and goes, in a time of their own.

use proptest::prelude::*;

use super::*;

const START_MS: i64 = 1_700_000_000_000;
const SINKS: [&str; 3] = ["conversation", "presence", "config"];
/// Partitions of the inputs of the three sinks.
const PARTITIONS: [u32; 3] = [4, 4, 1];
/// Between two looks at everything.
const TICK_MS: i64 = 5;
/// How long after a loss it is tried again.
const AGAIN_MS: i64 = 250;

/// What Redis keeps.
#[derive(Default)]
struct Redis {
    is_up: bool,
    /// Which of its lives this is: it forgets everything between two.
    life: u64,
    words: BTreeMap<Place, (Option<Slot>, i64)>,
    closed_until_ms: Option<i64>,
    slots: BTreeSet<Slot>,
}

impl Redis {
    fn forget(&mut self) {
        let (is_up, life) = (self.is_up, self.life + 1);
        *self = Self { is_up, life, ..Self::default() };
    }

    fn heard(&self, now_ms: i64, ahead_ms: i64) -> Heard {
        let words = self.words.iter().filter(|(_, (_, until_ms))| *until_ms > now_ms);
        Heard {
            asked_ms: now_ms + ahead_ms,
            answered_ms: now_ms + ahead_ms,
            shared_ms: now_ms,
            places: words.filter_map(|(place, (from, _))| Some((*place, (*from)?))).collect(),
            closed_until_ms: self.closed_until_ms,
        }
    }
}

/// A process, with what would be its loops.
struct Process {
    shared: Shared,
    sinks: [SharedAllowance; 3],
    /// Which sinks have something to send, always.
    wants: [bool; 3],
    reaches_redis: bool,
    /// Its clock less that of Redis.
    ahead_ms: i64,
    asks_ms: [i64; 3],
    joined: Option<u64>,
    says_ms: i64,
}

struct World {
    redis: Redis,
    processes: Vec<Process>,
    now_ms: i64,
    /// When which sink of which process sent, and in which slot.
    sent: Vec<(i64, usize, usize, Slot)>,
}

impl World {
    /// Processes that own the partitions by turns.
    fn new(count: usize, has_redis: bool, wants: impl Fn(usize) -> [bool; 3]) -> Self {
        let shares = std::array::from_fn(|sink| Share {
            sink: SINKS[sink],
            percent: [70, 20, 10][sink],
            partitions: PARTITIONS[sink],
        });
        let process = |number| {
            let (shared, sinks) = Shared::new(300, 10, shares, has_redis);
            Process {
                shared,
                sinks,
                wants: wants(number),
                reaches_redis: has_redis,
                ahead_ms: 0,
                asks_ms: [0; 3],
                joined: None,
                says_ms: 0,
            }
        };
        let processes = (0..count).map(process).collect();
        let redis = Redis { is_up: true, life: 1, ..Redis::default() };
        let mut world = Self { redis, processes, now_ms: START_MS, sent: Vec::new() };
        world.share_out(|sink, partition| (sink + partition as usize) % count);
        world
    }

    /// Gives every partition to a process.
    fn share_out(&mut self, owner: impl Fn(usize, Partition) -> usize) {
        for process in &self.processes {
            for (sink, allowance) in process.sinks.iter().enumerate() {
                (0..PARTITIONS[sink]).for_each(|partition| allowance.give_up(partition));
            }
        }
        for (sink, partitions) in PARTITIONS.into_iter().enumerate() {
            for partition in 0..partitions {
                let owner = &self.processes[owner(sink, partition)];
                owner.sinks[sink].own(partition, self.now_ms + owner.ahead_ms);
            }
        }
    }

    fn run(&mut self, ms: i64) {
        for _ in 0..ms / TICK_MS {
            self.now_ms += TICK_MS;
            for number in 0..self.processes.len() {
                self.talk(number);
                self.send(number);
                // Whoever waits for a slot of Redis has it a moment later.
                self.talk(number);
            }
        }
    }

    fn talk(&mut self, number: usize) {
        let (redis, now_ms) = (&mut self.redis, self.now_ms);
        let process = &mut self.processes[number];
        let own_ms = now_ms + process.ahead_ms;
        if !redis.is_up || !process.reaches_redis {
            if process.joined.take().is_some() {
                process.shared.lost(own_ms);
                process.says_ms = now_ms + AGAIN_MS;
            }
            return;
        }
        if now_ms >= process.says_ms && process.joined == Some(redis.life) {
            let Word { places, closed_until_ms } = process.shared.word(own_ms);
            for (place, from) in places {
                redis.words.insert(place, (from, now_ms + WORD_MS));
            }
            redis.closed_until_ms = closed_until_ms.or(redis.closed_until_ms);
            process.shared.heard(redis.heard(now_ms, process.ahead_ms));
            process.says_ms = now_ms + SAY_EVERY_MS;
        }
        let must_join = process.joined != Some(redis.life);
        if must_join && (process.joined.is_some() || now_ms >= process.says_ms) {
            process.shared.joined(redis.heard(now_ms, process.ahead_ms));
            process.joined = Some(redis.life);
            process.says_ms = now_ms;
        }
        while let Some(claim) = process.shared.claim(own_ms) {
            let is_first = redis.slots.insert(claim.slot);
            process.shared.claimed(claim, is_first);
        }
    }

    fn send(&mut self, number: usize) {
        let process = &mut self.processes[number];
        let own_ms = self.now_ms + process.ahead_ms;
        for sink in 0..SINKS.len() {
            while process.wants[sink] && process.asks_ms[sink] <= self.now_ms {
                match process.shared.pool().try_take(sink, own_ms) {
                    Ok(slot) => self.sent.push((self.now_ms, number, sink, slot)),
                    Err(wait_ms) => {
                        assert!(wait_ms > 0);
                        process.asks_ms[sink] = self.now_ms + wait_ms;
                    }
                }
            }
        }
    }

    /// Requests from a time on, by sink.
    fn by_sink(&self, from_ms: i64) -> [usize; 3] {
        let sent = |sink| self.sent.iter().filter(|one| one.0 >= from_ms && one.2 == sink).count();
        std::array::from_fn(sent)
    }

    /// The most requests in any 60 s.
    fn most(&self) -> usize {
        let in_window = |from: usize| {
            let until_ms = self.sent[from].0 + 60_000;
            self.sent[from..].iter().take_while(|one| one.0 <= until_ms).count()
        };
        (0..self.sent.len()).map(in_window).max().unwrap_or(0)
    }
}

const ALL: [bool; 3] = [true; 3];
const CONVERSATION: [bool; 3] = [true, false, false];
const NONE: [bool; 3] = [false; 3];

#[test]
fn without_redis_the_partitions_divide_it() {
    for count in 1..=3 {
        let mut world = World::new(count, false, |_| ALL);
        world.run(300_000);
        // 290 in 60.25 s: 1,444 in 5 min, of which 70, 20 and 10 percent.
        let [conversation, presence, config] = world.by_sink(0);
        assert!((1_005..=1_015).contains(&conversation), "{count}: {conversation}");
        assert!((284..=292).contains(&presence), "{count}: {presence}");
        assert!((140..=146).contains(&config), "{count}: {config}");
        assert!(world.most() <= 300, "{count}: {}", world.most());
    }
    // What a process cannot know to be unwanted it leaves: it has half of the calls and of the
    // agents, and the configuration (0.35 + 0.1 + 0.1).
    let mut world = World::new(2, false, |number| if number == 0 { CONVERSATION } else { NONE });
    world.run(300_000);
    let [conversation, ..] = world.by_sink(0);
    assert!((785..=800).contains(&conversation), "{conversation}");
}

#[test]
fn with_redis_a_share_is_guaranteed_and_what_nobody_wants_is_for_all() {
    // Who wants what; least requests by sink in 5 min after the first, of 1,444.
    type Case = (usize, fn(usize) -> [bool; 3], [usize; 3]);
    let cases: [Case; 6] = [
        (2, |_| ALL, [1_005, 284, 140]),
        (3, |_| ALL, [1_005, 284, 140]),
        (2, |number| if number == 0 { CONVERSATION } else { NONE }, [1_435, 0, 0]),
        (3, |number| if number == 2 { [false, true, false] } else { NONE }, [0, 1_435, 0]),
        // One sink in each process.
        (3, |number| std::array::from_fn(|sink| sink == number), [330, 90, 0]),
        (2, |_| [true, false, true], [1_005, 0, 140]),
    ];
    for (case, (count, wants, least)) in cases.into_iter().enumerate() {
        let mut world = World::new(count, true, wants);
        world.run(60_000);
        let from_ms = world.now_ms;
        world.run(300_000);
        let sent = world.by_sink(from_ms);
        assert!(sent.iter().zip(least).all(|(sent, least)| *sent >= least), "{case}: {sent:?}");
        let all: usize = sent.iter().sum();
        assert!((1_430..=1_450).contains(&all), "{case}: {sent:?}");
        assert!(world.most() <= 300, "{case}: {}", world.most());
    }
}

#[test]
fn a_loss_costs_a_second_and_takes_nothing_twice() {
    let mut world = World::new(2, true, |_| ALL);
    world.run(90_000);
    world.redis.is_up = false;
    let lost_ms = world.now_ms;
    world.run(30_000);
    let next = world.sent.iter().find(|one| one.0 > lost_ms + 10).expect("they go on");
    assert!(next.0 - lost_ms <= 1_200, "{} ms", next.0 - lost_ms);
    let divided: usize = world.by_sink(lost_ms + 1_500).iter().sum();
    assert!((134..=140).contains(&divided), "290 a minute for 28.5 s: {divided}");
    world.redis.is_up = true;
    world.redis.forget();
    world.run(60_000);
    world.redis.forget();
    world.run(60_000);
    assert!(world.most() <= 300, "{}", world.most());
}

#[test]
fn a_retry_after_closes_for_all() {
    let mut world = World::new(2, true, |_| ALL);
    world.run(20_000);
    world.processes[0].sinks[0].close_until(world.now_ms + 5_000);
    let closed_ms = world.now_ms;
    world.run(10_000);
    let sent = |number| {
        let mut sent = world.sent.iter().filter(|one| one.1 == number && one.0 > closed_ms);
        sent.find(|one| one.0 > closed_ms + SAY_EVERY_MS * 2).expect("it goes on").0 - closed_ms
    };
    for number in 0..2 {
        assert!((5_000..6_500).contains(&sent(number)), "{number}: {} ms", sent(number));
    }
}

#[test]
fn a_clock_that_is_set_stops_nobody() {
    for by_ms in [3_600_000, -3_600_000, 30_000, -30_000] {
        let mut world = World::new(2, true, |_| ALL);
        world.run(60_000);
        world.processes[0].ahead_ms = by_ms;
        world.run(500);
        let from_ms = world.now_ms;
        world.run(60_000);
        let sent = world.sent.iter().filter(|one| one.0 >= from_ms && one.1 == 0).count();
        assert!(sent >= 130, "{by_ms}: {sent}");
    }
}

#[test]
fn who_owns_nothing_has_no_turns_unless_others_lend_theirs() {
    for (has_redis, expected) in [(false, false), (true, true)] {
        let mut world = World::new(2, has_redis, |number| if number == 1 { ALL } else { NONE });
        world.share_out(|_, _| 0);
        world.run(10_000);
        assert_eq!(world.processes[1].sinks[1].has_turns(), expected);
        assert_eq!(world.sent.is_empty(), !expected);
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Down,
    Up,
    Forget,
    CutOff(usize),
    Reached(usize),
    Move(usize),
    Wants(usize, [bool; 3]),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        Just(Blow::Down),
        Just(Blow::Up),
        Just(Blow::Up),
        Just(Blow::Forget),
        (0..3_usize).prop_map(Blow::CutOff),
        (0..3_usize).prop_map(Blow::Reached),
        (0..9_usize).prop_map(Blow::Move),
        (0..3_usize, any::<[bool; 3]>()).prop_map(|(number, wants)| Blow::Wants(number, wants)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_no_slot_is_taken_twice_and_no_window_sees_more_than_the_limit(
        blows in proptest::collection::vec((blow(), 1_i64..9_000), 10..40),
        ahead_ms in prop_oneof![Just(0), -5_000_i64..5_000],
    ) {
        let mut world = World::new(3, true, |_| ALL);
        world.processes[1].ahead_ms = ahead_ms;
        for (blow, ms) in blows {
            match blow {
                Blow::Down => world.redis.is_up = false,
                Blow::Up => world.redis.is_up = true,
                Blow::Forget => world.redis.forget(),
                Blow::CutOff(number) => world.processes[number].reaches_redis = false,
                Blow::Reached(number) => world.processes[number].reaches_redis = true,
                Blow::Move(by) => world.share_out(|sink, at| (sink + at as usize + by) % 3),
                Blow::Wants(number, wants) => world.processes[number].wants = wants,
            }
            world.run(ms);
        }
        prop_assert!(world.most() <= 300, "{}", world.most());
        if ahead_ms == 0 {
            let slots: BTreeSet<Slot> = world.sent.iter().map(|one| one.3).collect();
            prop_assert_eq!(slots.len(), world.sent.len(), "slots were taken twice");
        }
    }
}
