//! `[genesys_cloud.config_sync]`: how the organisation is given the Engage configuration.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::reader::Reader;

/// How the config sink writes. Without the section, the organisation stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigSync {
    /// How much of the requests of the OAuth client of conversations is guaranteed to it, 0 to 100.
    pub guaranteed_percent: u32,
    /// Between two checks whether the organisation is still as desired, 1 to 1,440 minutes.
    #[serde(rename = "check_minutes", serialize_with = "as_minutes")]
    pub check: Duration,
}

fn as_minutes<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs() / 60)
}

/// Reads the section.
pub(super) fn sink(mut section: Reader<'_>) -> Option<ConfigSync> {
    let guaranteed_percent = section.whole("guaranteed_percent", 0..=100).or(10);
    let check_minutes = section.whole("check_minutes", 1..=1_440).or(60);
    section.finish();
    Some(ConfigSync {
        guaranteed_percent: guaranteed_percent? as u32,
        check: Duration::from_mins(check_minutes?),
    })
}
