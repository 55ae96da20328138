//! When requests may go out, and whose turn it is: one request a slot.
//!
//! Slots follow each other at the pace of the refill and may be taken for as long as a burst is
//! deep. With burst `b` and `limit - b` slots a window, no window, wherever it begins, sees more
//! than `limit` requests, whoever sends them: that a slot is taken once is all there is to keep.

use trunkline_schemas::Partition;

/// The window of the limit, milliseconds, and what clocks and ways of different length to Genesys
/// Cloud may add to it.
const WINDOW_MS: i64 = 60_000 + 250;

/// A turn to send one request: the number of the slot since 1970.
pub type Slot = i64;

/// What a sink is guaranteed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Name of the sink.
    pub sink: &'static str,
    /// Of all requests, percent; at least 1 where the sink has partitions.
    pub percent: u32,
    /// Partitions of its input, each of which has the same part of the share. 0: it is not run.
    pub partitions: u32,
}

/// A partition of a sink's input: whose turn a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the sink among the shares.
    pub sink: usize,
    /// The partition.
    pub partition: Partition,
}

/// The slots of an OAuth client.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Slots that begin in a window.
    pace: i64,
    /// Slots that may be taken at one time.
    depth: i64,
    shares: Vec<Share>,
    /// Sinks in turn, and the how-manieth slot of its sink in a round each one is.
    round: Vec<(usize, i64)>,
    /// Slots of each sink in a round.
    turns: Vec<i64>,
}

impl Grid {
    /// The least limit is 2; the burst is at least 1 and less than the limit.
    pub(super) fn new(per_minute: u32, burst: u32, shares: &[Share]) -> Self {
        let limit = i64::from(per_minute.max(2));
        let depth = i64::from(burst).clamp(1, limit - 1);
        let shares = shares.to_vec();
        let round = round(&shares);
        let turns = |sink| round.iter().filter(|(other, _)| *other == sink).count() as i64;
        let turns = (0..shares.len()).map(turns).collect();
        Self { pace: limit - depth, depth, shares, round, turns }
    }

    /// The newest slot that has begun.
    pub(super) fn newest(&self, now_ms: i64) -> Slot {
        (i128::from(now_ms) * i128::from(self.pace)).div_euclid(i128::from(WINDOW_MS)) as Slot
    }

    /// The oldest slot that may be taken while this one is the newest.
    pub(super) fn oldest(&self, newest: Slot) -> Slot {
        newest - self.depth + 1
    }

    /// When a slot begins, milliseconds since 1970.
    pub(super) fn begins_ms(&self, slot: Slot) -> i64 {
        let parts = i128::from(slot) * i128::from(WINDOW_MS) + i128::from(self.pace) - 1;
        parts.div_euclid(i128::from(self.pace)) as i64
    }

    /// For how long a slot may be taken, milliseconds.
    pub(super) fn depth_ms(&self) -> i64 {
        self.depth * WINDOW_MS / self.pace
    }

    /// Slots of a window.
    pub(super) fn window(&self) -> i64 {
        self.pace
    }

    /// Whose turn a slot is.
    pub(super) fn place(&self, slot: Slot) -> Place {
        let length = self.round.len() as i64;
        let (sink, nth) = self.round[slot.rem_euclid(length) as usize];
        let number = slot.div_euclid(length) * self.turns[sink] + nth;
        let partitions = i64::from(self.shares[sink].partitions.max(1));
        Place { sink, partition: number.rem_euclid(partitions) as Partition }
    }

    /// Every partition of every sink.
    pub(super) fn places(&self) -> Vec<Place> {
        let of_sink = |(sink, share): (usize, &Share)| {
            (0..share.partitions).map(move |partition| Place { sink, partition })
        };
        self.shares.iter().enumerate().flat_map(of_sink).collect()
    }

    /// What the sinks are guaranteed.
    pub(super) fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// What two processes must agree on to share slots.
    pub(super) fn shape(&self) -> String {
        let parts =
            self.shares.iter().map(|share| format!("{}x{}", share.percent, share.partitions));
        format!("{}-{}-{}", self.pace, self.depth, parts.collect::<Vec<_>>().join("-"))
    }
}

/// Sinks in turn, each as often as it has percents and as evenly as that goes: at each turn all
/// gain their percents, the richest is next and pays for the turn.
fn round(shares: &[Share]) -> Vec<(usize, i64)> {
    let runs = |share: &Share| share.partitions > 0;
    let weight = |share: &Share| if runs(share) { i64::from(share.percent.max(1)) } else { 0 };
    let weights: Vec<i64> = shares.iter().map(weight).collect();
    let all: i64 = weights.iter().sum();
    let (mut purses, mut turns) = (vec![0; shares.len()], vec![0; shares.len()]);
    let mut round = Vec::new();
    for _ in 0..all {
        for (purse, weight) in purses.iter_mut().zip(&weights) {
            *purse += weight;
        }
        let richest = (0..shares.len()).rev().max_by_key(|sink| purses[*sink]).unwrap_or_default();
        purses[richest] -= all;
        round.push((richest, turns[richest]));
        turns[richest] += 1;
    }
    if round.is_empty() {
        // Nobody runs, and nobody asks.
        round.push((0, 0));
    }
    round
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn share(sink: &'static str, percent: u32, partitions: u32) -> Share {
        Share { sink, percent, partitions }
    }

    #[test]
    fn every_partition_has_its_part_of_the_share_and_no_long_wait() {
        // Of 100 slots: conversation 70, presence 20, config 10.
        let shares =
            [share("conversation", 70, 4), share("presence", 20, 2), share("config", 10, 1)];
        let grid = Grid::new(300, 10, &shares);
        let mut counted: BTreeMap<Place, Vec<Slot>> = BTreeMap::new();
        for slot in 1_000_000..1_000_400 {
            counted.entry(grid.place(slot)).or_default().push(slot);
        }
        assert_eq!(counted.keys().copied().collect::<Vec<_>>(), grid.places());
        for (place, slots) in counted {
            // In 400 slots; a partition waits no longer than twice its mean.
            let [each, mean] = [[70, 6], [40, 10], [40, 10]][place.sink];
            assert_eq!(slots.len(), each, "{place:?}");
            let longest = slots.windows(2).map(|two| two[1] - two[0]).max();
            assert!(longest <= Some(2 * mean as i64), "{place:?}: {longest:?}");
        }
    }

    #[test]
    fn who_does_not_run_has_no_slot_and_who_runs_has_one() {
        for (shares, wanted) in [
            ([share("a", 100, 2), share("b", 0, 0), share("c", 0, 0)], [100, 0, 0]),
            ([share("a", 90, 2), share("b", 10, 0), share("c", 0, 1)], [90, 0, 1]),
            ([share("a", 0, 1), share("b", 60, 1), share("c", 60, 1)], [1, 60, 60]),
        ] {
            let round = round(&shares);
            let count = |sink| round.iter().filter(|(other, _)| *other == sink).count();
            assert_eq!([0, 1, 2].map(count), wanted, "{shares:?}");
        }
        let nobody = Grid::new(300, 10, &[share("a", 0, 0)]);
        assert_eq!((nobody.place(7).sink, nobody.places()), (0, Vec::new()));
    }

    #[test]
    fn a_slot_begins_when_it_is_the_newest_for_the_first_time() {
        for (per_minute, burst) in [(300, 10), (2, 1), (30_000, 1_000), (7, 6)] {
            let grid = Grid::new(per_minute, burst, &[share("a", 100, 1)]);
            let first = grid.newest(1_700_000_000_000);
            for slot in first..first + 500 {
                let begins_ms = grid.begins_ms(slot);
                assert_eq!(grid.newest(begins_ms), slot, "{per_minute} {burst}");
                assert_eq!(grid.newest(begins_ms - 1), slot - 1, "{per_minute} {burst}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_limit(
            per_minute in 2_u32..2_000,
            burst in 0_u32..2_000,
            from_ms in 0_i64..2_000_000_000_000,
        ) {
            let grid = Grid::new(per_minute, burst, &[share("a", 100, 1)]);
            // Taken as late as may be before the window ends, as early as may be when it begins.
            let (first, last) = (grid.newest(from_ms), grid.newest(from_ms + 60_000));
            let taken = last - grid.oldest(first) + 1;
            prop_assert!(taken <= i64::from(per_minute), "{taken} of {per_minute}");
        }
    }
}
