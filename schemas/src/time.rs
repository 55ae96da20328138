//! Times as Genesys Cloud writes them.

use jiff::Timestamp;

/// `yyyy-MM-ddTHH:mm:ss.SSSZ`, the form of `eventDateTime` (gc-api section 3).
///
/// A time outside the years 0 to 9999 is shown as the nearest one inside.
pub fn iso_millis(ms: i64) -> String {
    let ms = ms.clamp(-62_167_219_200_000, 253_402_300_799_000);
    let t = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The inverse of [`iso_millis`]; `None` for anything that is not a time with an offset.
pub fn parse_millis(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_three_digits_and_read_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_729_857_600_001, "2024-10-25T12:00:00.001Z"),
            (1_710_406_815_045, "2024-03-14T09:00:15.045Z"),
        ] {
            assert_eq!(iso_millis(ms), text);
            assert_eq!(parse_millis(text), Some(ms));
        }
        assert_eq!(parse_millis("yesterday"), None);
    }
}
