//! The list: which topics there are in an installation, and with how many partitions.

use trunkline_schemas::topics::{CATALOGUE, Spread};

use crate::log::Layout;

/// Every topic of the catalogue with its partitions: one, one a domain, or the configured number.
pub fn layouts(domains: u32, hashed: u32) -> Vec<Layout> {
    let partitions = |spread| match spread {
        Spread::One => 1,
        Spread::Domain => domains.max(1),
        Spread::Hash => hashed.max(1),
    };
    CATALOGUE
        .iter()
        .map(|spec| Layout { topic: spec.topic, partitions: partitions(spec.spread) })
        .collect()
}
