//! What a poll has to tell beyond what has been told, and whether it may.
//!
//! What has been told is folded from `raw.configdb` itself, so a crash between two records is
//! mended by the next poll: it tells the rest, and the end of the poll.

use std::collections::BTreeMap;
use std::fmt;

use trunkline_schemas::Record;
use trunkline_schemas::codec::{self, CodecError, ConfigValue};
use trunkline_schemas::configdb::{ConfigObject, ObjectType, POLL_KEY, Poll, parse_key};

use super::rows::Snapshot;

/// What stands in `raw.configdb`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Objects by their keys.
    pub objects: BTreeMap<String, ConfigObject>,
    /// The last poll that was told to its end.
    pub poll: Option<Poll>,
}

impl Published {
    /// Takes one record, in the order of the log.
    ///
    /// # Errors
    /// The value is not one of this topic.
    pub fn take(&mut self, record: &Record) -> Result<(), CodecError> {
        let key = String::from_utf8_lossy(&record.key).into_owned();
        let Some(value) = record.value.as_deref() else {
            self.objects.remove(&key);
            if key == POLL_KEY {
                self.poll = None;
            }
            return Ok(());
        };
        let object = codec::decode::<ConfigValue>(value)?.object;
        if let ConfigObject::Poll(poll) = object {
            self.poll = Some(poll);
        } else {
            self.objects.insert(key, object);
        }
        Ok(())
    }
}

/// What to write: objects that are new or other than told, tombstones of those that are gone, and
/// the end of the poll last. Nothing, if nothing changed; `mark` has the end told nevertheless.
pub fn changes(published: &Published, now: &Snapshot, at_ms: i64, mark: bool) -> Vec<Record> {
    let mut records = Vec::new();
    for (key, object) in &now.objects {
        if published.objects.get(key) != Some(object) {
            records.push(record(key, object));
        }
    }
    let gone = published.objects.keys().filter(|key| !now.objects.contains_key(*key));
    records.extend(gone.map(|key| Record::tombstone(key.as_bytes())));
    let is_told = published.poll.as_ref().is_some_and(|poll| poll.digest == now.digest);
    if mark || !is_told || !records.is_empty() {
        let objects = now.objects.len() as i64;
        let poll = Poll { at_ms, objects, digest: now.digest.clone() };
        records.push(record(POLL_KEY, &ConfigObject::Poll(poll)));
    }
    records
}

fn record(key: &str, object: &ConfigObject) -> Record {
    codec::record(key, &ConfigValue { object: object.clone() })
        .expect("objects fit their schema, as its tests show")
}

/// How much may vanish at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Objects of one type that may vanish, in percent of those there were.
    pub vanish_percent: u32,
    /// So many may vanish in any case.
    pub vanish_free: usize,
}

impl Default for Guard {
    /// 10 percent, and 5 objects in any case.
    fn default() -> Self {
        Self { vanish_percent: 10, vanish_free: 5 }
    }
}

/// More vanished at once than may: nothing of the poll is told before somebody approves of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Type, objects there were, objects that vanished.
    pub vanished: Vec<(ObjectType, usize, usize)>,
    /// What stands for this state of the database; approving it approves no other one.
    pub digest: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much vanished from the database at once:")?;
        for (kind, before, vanished) in &self.vanished {
            write!(f, " {vanished} of {before} {},", kind.name())?;
        }
        write!(f, " so nothing is taken over; if it is meant, approve {}", self.digest)
    }
}

impl std::error::Error for Refusal {}

impl Guard {
    /// Whether a poll may be told. A type of which nothing is left is always asked about.
    ///
    /// # Errors
    /// [`Refusal`], unless its digest is the one `approved`.
    pub fn check(
        &self,
        published: &Published,
        now: &Snapshot,
        approved: Option<&str>,
    ) -> Result<(), Refusal> {
        let mut counts: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
        for key in published.objects.keys() {
            let Some((kind, _)) = parse_key(key) else { continue };
            let (before, vanished) = counts.entry(kind.number()).or_default();
            *before += 1;
            *vanished += usize::from(!now.objects.contains_key(key));
        }
        let left = |kind: ObjectType| now.objects.values().any(|it| it.kind() == Some(kind));
        let mut refused = Vec::new();
        for kind in ObjectType::ALL {
            let (before, vanished) = counts.get(&kind.number()).copied().unwrap_or_default();
            let may = before.saturating_mul(self.vanish_percent as usize) / 100;
            let is_emptied = vanished > 0 && !left(kind);
            if is_emptied || vanished > may.max(self.vanish_free) {
                refused.push((kind, before, vanished));
            }
        }
        if refused.is_empty() || approved == Some(now.digest.as_str()) {
            return Ok(());
        }
        Err(Refusal { vanished: refused, digest: now.digest.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_schemas::configdb::{Skill, Tenant};

    fn skill(dbid: i64, name: &str) -> ConfigObject {
        let name = name.to_owned();
        ConfigObject::Skill(Skill { dbid, name, enabled: true, folder: None })
    }

    /// A tenant with skills of these DBIDs.
    fn snapshot(skills: impl IntoIterator<Item = i64>) -> Snapshot {
        let tenant = ConfigObject::Tenant(Tenant { dbid: 101, name: "t".to_owned() });
        let skills = skills.into_iter().map(|dbid| skill(dbid, &format!("S{dbid}")));
        let objects = skills.chain([tenant]).map(|object| (object.key(), object));
        Snapshot::new(objects.collect())
    }

    fn told(records: &[Record]) -> Vec<String> {
        let line = |record: &Record| {
            let key = String::from_utf8_lossy(&record.key).into_owned();
            if record.value.is_none() { format!("-{key}") } else { key }
        };
        records.iter().map(line).collect()
    }

    #[test]
    fn only_what_differs_is_told_and_then_the_end() {
        let mut published = Published::default();
        let first = snapshot([1, 2]);
        let records = changes(&published, &first, 5, false);
        assert_eq!(told(&records), ["skill/1", "skill/2", "tenant/101", "poll"]);
        // A crash after two records: the next poll tells the rest.
        for record in &records[..2] {
            published.take(record).expect("a record of ours");
        }
        let rest = changes(&published, &first, 6, false);
        assert_eq!(told(&rest), ["tenant/101", "poll"]);
        // A crash before the end alone: the next poll tells the end.
        published.take(&rest[0]).expect("a record of ours");
        let end = changes(&published, &first, 7, false);
        assert_eq!(told(&end), ["poll"]);
        published.take(&end[0]).expect("a record of ours");
        assert_eq!(told(&changes(&published, &first, 8, false)), Vec::<String>::new());
        assert_eq!(told(&changes(&published, &first, 8, true)), ["poll"]);
        // One is gone, one is another, one is new.
        let mut next = snapshot([2, 3]);
        next.objects.insert("skill/2".to_owned(), skill(2, "other"));
        let next = Snapshot::new(next.objects);
        let records = changes(&published, &next, 9, false);
        assert_eq!(told(&records), ["skill/2", "skill/3", "-skill/1", "poll"]);
        for record in &records {
            published.take(record).expect("a record of ours");
        }
        assert_eq!(published.objects, next.objects);
        let poll = Poll { at_ms: 9, objects: 3, digest: next.digest.clone() };
        assert_eq!(published.poll, Some(poll));
        assert_ne!(first.digest, next.digest);
        assert!(published.take(&Record::new("skill/1", b"?".to_vec())).is_err());
    }

    #[test]
    fn more_than_may_vanish_at_once_is_asked_about() {
        let guard = Guard { vanish_percent: 10, vanish_free: 2 };
        // skills before, skills now, refused
        let skills = |first: i64, count: i64| first..first + count;
        for (before, now, refused) in [
            (skills(1, 100), skills(1, 100), None),
            (skills(1, 100), skills(1, 90), None),
            (skills(1, 100), skills(1, 89), Some((100, 11))),
            (skills(1, 100), skills(101, 100), Some((100, 100))),
            (skills(1, 10), skills(3, 8), None),
            (skills(1, 10), skills(4, 7), Some((10, 3))),
            (skills(1, 1), skills(2, 1), None),
            (skills(1, 1), skills(2, 0), Some((1, 1))),
            (skills(1, 2), skills(3, 0), Some((2, 2))),
            (skills(1, 0), skills(1, 5), None),
        ] {
            let mut published = Published::default();
            for record in changes(&published.clone(), &snapshot(before.clone()), 1, false) {
                published.take(&record).expect("a record of ours");
            }
            let next = snapshot(now.clone());
            let checked = guard.check(&published, &next, None);
            let expected = refused.map(|(all, gone)| (ObjectType::Skill, all, gone));
            let said = checked.as_ref().err().map(|refusal| refusal.vanished.clone());
            assert_eq!(said, expected.map(|row| vec![row]), "{before:?} {now:?}");
            assert_eq!(guard.check(&published, &next, Some(&next.digest)), Ok(()));
            let other = guard.check(&published, &next, Some("another state"));
            assert_eq!(other.is_err(), refused.is_some());
        }
        let refusal =
            Refusal { vanished: vec![(ObjectType::Person, 1000, 900)], digest: "ab".to_owned() };
        assert_eq!(
            refusal.to_string(),
            "too much vanished from the database at once: 900 of 1000 person, so nothing is taken \
             over; if it is meant, approve ab"
        );
    }
}
