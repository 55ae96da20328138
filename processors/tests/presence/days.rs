//! Generated days of agents: what happened, and how the two statistics told it.

/// A generator of numbers that anybody can repeat (xorshift64*).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from) as u64 + 1) as i64
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What one statistic tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Code of the status; 2 for `LoggedIn`, 0 for `NotMonitored`.
    Status(i64),
    /// Name of the reason, or nothing.
    Reason(Option<&'static str>),
}

/// One record of the partition that is about the agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling {
    /// Which agent.
    pub(crate) agent: usize,
    /// When it was appended, milliseconds.
    pub(crate) appended_ms: i64,
    /// When the event was made, milliseconds.
    pub(crate) made_ms: i64,
    /// Since when it holds, seconds.
    pub(crate) since_s: i64,
    pub(crate) told: Told,
}

const STATUSES: [i64; 18] = [4, 4, 4, 8, 8, 8, 22, 22, 20, 21, 19, 13, 9, 7, 6, 23, 18, 2];
const REASONS: [Option<&str>; 8] = [
    None,
    Some("Break"),
    Some("MEAL"),
    Some("meeting"),
    Some("Training"),
    Some("Coaching"),
    Some("Break"),
    None,
];

/// A day: some twenty changes. The two statistics keep their own order and have none between them;
/// some things are told twice; a lost connection delays what follows it, and is followed by a
/// snapshot.
pub(crate) fn day(agent: usize, begin_ms: i64, chance: &mut Chance) -> Vec<Telling> {
    let (mut tellings, mut now_ms) = (Vec::new(), begin_ms + chance.between(0, 5_000));
    let mut last_ms = [0_i64; 2];
    let mut current: [Option<Telling>; 2] = [None, None];
    let changes = chance.between(8, 16);
    let mut tell = |telling: Telling, delay_ms: i64, tellings: &mut Vec<Telling>| {
        let stream = usize::from(matches!(telling.told, Told::Reason(_)));
        last_ms[stream] = (telling.appended_ms + delay_ms).max(last_ms[stream]);
        tellings.push(Telling { appended_ms: last_ms[stream], ..telling });
    };
    for _ in 0..changes {
        now_ms += match chance.below(4) {
            0 => chance.between(1, 900),
            1 => chance.between(900, 3_000),
            _ => chance.between(3_000, 60_000),
        };
        let status = chance.pick(&STATUSES);
        let told_before = current[1].map(|telling| telling.told);
        let reason = if status == 8 { chance.pick(&REASONS) } else { None };
        for told in [Told::Status(status), Told::Reason(reason)] {
            let is_reason = matches!(told, Told::Reason(_));
            if is_reason && told_before == Some(told) && !chance.one_in(4) {
                continue; // a statistic that has not changed is not told
            }
            let telling = Telling {
                agent,
                appended_ms: now_ms,
                made_ms: now_ms,
                since_s: now_ms.div_euclid(1_000),
                told,
            };
            current[usize::from(is_reason)] = Some(telling);
            let delay_ms = match chance.below(8) {
                0 => chance.between(900, 4_000),
                1 | 2 => chance.between(100, 1_000),
                _ => chance.between(0, 30),
            };
            tell(telling, delay_ms, &mut tellings);
            if chance.one_in(10) {
                tell(telling, delay_ms + chance.between(0, 500), &mut tellings);
            }
        }
        if chance.one_in(12) {
            // The connection is lost and comes back: all that holds is told again.
            now_ms += chance.between(500, 20_000);
            let snapshot = current.into_iter().flatten();
            for telling in snapshot {
                let again = Telling { appended_ms: now_ms, made_ms: now_ms, ..telling };
                tell(again, chance.between(0, 50), &mut tellings);
            }
            if chance.one_in(3) {
                let lost = Told::Status(0);
                let since_s = now_ms.div_euclid(1_000);
                let (appended_ms, made_ms) = (now_ms, now_ms);
                tell(
                    Telling { agent, appended_ms, made_ms, since_s, told: lost },
                    60,
                    &mut tellings,
                );
            }
        }
    }
    tellings.sort_by_key(|telling| telling.appended_ms);
    tellings
}
