//! The list: which topics there are in an installation, and with how many partitions.

use trunkline_schemas::topics::{CATALOGUE, RAW_TLIB, Spread};
use trunkline_schemas::{Partition, RawEvent, codec};

use crate::config::Domain;
use crate::log::{Layout, Log, LogError};

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

/// Refuses domains that stand elsewhere in the list than when their first record was written: the
/// place is the partition, and a domain in that of another would go on with the calls of that one.
/// To be asked before the topics are given more partitions.
///
/// # Errors
/// [`LogError::Refused`] for such a domain; whatever reading gives.
pub fn check_domains(log: &dyn Log, domains: &[Domain]) -> Result<(), LogError> {
    let found = log.layouts()?.into_iter().find(|layout| layout.topic == RAW_TLIB);
    let found = found.map_or(0, |layout| layout.partitions as usize);
    for (number, domain) in domains.iter().enumerate().take(found) {
        let partition = number as Partition;
        let start = log.bounds(RAW_TLIB, partition)?.start;
        let oldest = log.read(RAW_TLIB, partition, start, 1)?;
        let value = oldest.first().and_then(|stored| stored.record.value.as_deref());
        // One that cannot be read is nobody's; the processor buries it.
        let Some(Ok(raw)) = value.map(codec::decode::<RawEvent>) else { continue };
        if raw.domain != domain.name {
            let what = format!(
                "domain {number} of the configuration is `{}`, and {RAW_TLIB}/{partition} is that \
                 of `{}`: domains keep their names and places, and new ones are added at the end",
                domain.name, raw.domain
            );
            return Err(LogError::Refused { what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trunkline_schemas::directory::DirectoryFile;
    use trunkline_schemas::{Output, RawKind, Record};

    use super::*;
    use crate::clock;
    use crate::log::embedded::Embedded;

    fn domain(name: &str) -> Domain {
        Domain {
            name: name.to_owned(),
            directory_file: None,
            directory: DirectoryFile::default(),
            agent_states: None,
            interaction_reporting: None,
            sites: Vec::new(),
        }
    }

    #[test]
    fn a_domain_keeps_its_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = Embedded::open(directory.path(), Arc::new(clock::now_ms)).expect("a log");
        log.ensure(&layouts(2, 1)).expect("topics");
        let mut appender = log.appender().expect("usable");
        for (partition, name) in (0..).zip(["a", "b"]) {
            let raw = RawEvent::bare(RawKind::Tick, name, "trunkline", 0);
            let record = Record::new("k", codec::encode(&raw).expect("encodable"));
            let output = Output { topic: RAW_TLIB, partition, record };
            appender.append(vec![output]).expect("written");
        }
        let other = |number: usize, name: &str, whose: &str| {
            Some(format!(
                "refused: domain {number} of the configuration is `{name}`, and raw.tlib/{number} \
                 is that of `{whose}`: domains keep their names and places, and new ones are added \
                 at the end"
            ))
        };
        let fewer = "topic raw.tlib has 2 partitions, the configuration says 1: domains are added \
                     at the end of the list, and stay in it";
        let table: [(&[&str], Option<String>); 6] = [
            (&["a", "b"], None),
            (&["a"], Some(fewer.to_owned())),
            (&["b", "a"], other(0, "b", "a")),
            (&["a", "c"], other(1, "c", "b")),
            (&["c", "a", "b"], other(0, "c", "a")),
            (&["a", "b", "c"], None),
        ];
        for (names, refused) in table {
            let domains: Vec<_> = names.iter().map(|name| domain(name)).collect();
            let checked = check_domains(log.as_ref(), &domains);
            let checked = checked.and_then(|()| log.ensure(&layouts(domains.len() as u32, 1)));
            assert_eq!(checked.err().map(|error| error.to_string()), refused, "{names:?}");
        }
    }
}
