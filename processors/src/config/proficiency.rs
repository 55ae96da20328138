//! From a skill level of Engage to a proficiency of Genesys Cloud (seed 003, "ACD skills").

use super::settings::LevelRange;

/// The highest proficiency, in tenths.
const TENTHS_MAX: i128 = 50;

/// Lowest and highest level of a skill among all persons of the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The lowest.
    pub min: i64,
    /// The highest.
    pub max: i64,
}

impl Levels {
    /// Of the levels that anybody has; nothing if nobody has the skill.
    pub fn of(levels: impl IntoIterator<Item = i64>) -> Option<Self> {
        levels.into_iter().fold(None, |found: Option<Self>, level| {
            let found = found.unwrap_or(Self { min: level, max: level });
            Some(Self { min: found.min.min(level), max: found.max.max(level) })
        })
    }

    /// The same with a value outside of the range replaced by its boundary (rule 2).
    #[must_use]
    pub fn within(self, range: LevelRange) -> Self {
        let bound = |level: i64| {
            let level = range.min.map_or(level, |min| level.max(min));
            range.max.map_or(level, |max| level.min(max))
        };
        Self { min: bound(self.min), max: bound(self.max) }
    }

    /// Whether the formula would divide by zero.
    pub const fn are_equal(self) -> bool {
        self.min == self.max
    }
}

/// `5 * level / (MAX - MIN)`, rounded to one decimal (halves up), in tenths.
///
/// Where the formula leaves 0 to 5, the nearer of the two. Where it divides by zero, what it tends
/// to: 5 for a level above 0, else 0.
pub fn tenths(level: i64, levels: Levels) -> i32 {
    let (level, range) = (i128::from(level), i128::from(levels.max) - i128::from(levels.min));
    let tenths = match (level > 0, range > 0) {
        (false, _) => 0,
        (true, false) => TENTHS_MAX,
        (true, true) => ((2 * TENTHS_MAX * level + range) / (2 * range)).min(TENTHS_MAX),
    };
    tenths as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proficiencies_are_those_worked_out_by_hand() {
        let range = LevelRange { min: Some(0), max: Some(10) };
        // levels of all persons, level of one, tenths
        for (all, level, expected) in [
            // English: 1..25, cut to 1..10, so 5 * level / 9.
            (&[10, 7, 1, 25, 5][..], 1, 6),   // 0.555…
            (&[10, 7, 1, 25, 5][..], 5, 28),  // 2.777…
            (&[10, 7, 1, 25, 5][..], 7, 39),  // 3.888…
            (&[10, 7, 1, 25, 5][..], 10, 50), // 5.555…, cut
            (&[10, 7, 1, 25, 5][..], 25, 50), // 13.888…, cut
            // Spanish: 3..10, so 5 * level / 7.
            (&[10, 3][..], 3, 21),  // 2.142…
            (&[10, 3][..], 10, 50), // 7.142…, cut
            // Support: 0..6.
            (&[6, 0][..], 6, 50), // 5
            (&[6, 0][..], 0, 0),  // 0
            // Legacy: everybody 5.
            (&[5][..], 5, 50),   // 25 / 0
            (&[0, 0][..], 0, 0), // 0 / 0
            // Halves go up: 5 * 1 / 4 = 1.25; 5 * 3 / 4 = 3.75; 5 * 1 / 100 would be 0.05.
            (&[0, 4][..], 1, 13),
            (&[0, 4][..], 3, 38),
            // Below the range: -5..5 becomes 0..5.
            (&[-5, 5][..], -5, 0),
            (&[-5, 5][..], 2, 20),
            // All above the range: 20..30 becomes 10..10.
            (&[20, 30][..], 20, 50),
            // All below it: -9..-4 becomes 0..0.
            (&[-9, -4][..], -4, 0),
        ] {
            let levels = Levels::of(all.iter().copied()).expect("there are levels");
            assert_eq!(tenths(level, levels.within(range)), expected, "{level} of {all:?}");
        }
    }

    #[test]
    fn without_a_range_levels_are_what_they_are() {
        let levels = Levels::of([1, 100]).expect("there are levels");
        assert_eq!(levels.within(LevelRange::default()), levels);
        assert_eq!(tenths(1, levels), 1); // 5 / 99 = 0.0505…
        assert_eq!(tenths(50, levels), 25); // 250 / 99 = 2.5252…
        let widest = Levels { min: i64::MIN, max: i64::MAX };
        assert_eq!((tenths(i64::MAX, widest), tenths(i64::MIN, widest)), (25, 0));
        assert_eq!(Levels::of([]), None);
        assert!(Levels { min: 5, max: 5 }.are_equal() && !levels.are_equal());
    }
}
