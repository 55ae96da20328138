//! The config processor: the Engage configuration into what the Genesys Cloud organisation is to
//! hold (DESIGN section 5, seed 003, EXCS).
//!
//! `engage` is the configuration and the part of it that is synchronised; `users`, `skills`,
//! `queues` and `codes` say what follows from it, `fate` what becomes of objects that are gone,
//! `conclude` puts it together. Records of a poll are taken one by one; only its end, when all
//! objects are as they were at one moment, is concluded from. What differs from what was told
//! before is told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trunkline_schemas::codec::{self, ConfigValue, DesiredValue, DirectoryValue};
use trunkline_schemas::configdb::{ConfigObject, Poll, parse_key};
use trunkline_schemas::desired::{ConfigOutcome, DesiredKind, DesiredObject};
use trunkline_schemas::directory::Extension;
use trunkline_schemas::topics::{COMMAND_CONFIG, DEAD_CONFIG, DIRECTORY, OUTCOME_CONFIG};
use trunkline_schemas::{DirectoryRow, Offset, OutcomeStatus, Record, Stored};

use crate::written::{self, encoded, json};
use crate::{Effects, Processor};

mod codes;
pub mod conclude;
pub mod engage;
pub mod fate;
pub mod proficiency;
mod queues;
pub mod report;
pub mod script;
pub mod settings;
mod skills;
pub mod users;

use conclude::{Conclusion, Wanted, conclude};
use engage::Engage;
use report::Report;
use settings::Settings;

/// Order in which kinds are told: what others refer to comes first.
const ORDER: [DesiredKind; 5] = [
    DesiredKind::Source,
    DesiredKind::Skill,
    DesiredKind::WrapUpCode,
    DesiredKind::User,
    DesiredKind::Queue,
];

const META: &str = "meta";
const OBJECT: &str = "object/";
const TOLD: &str = "told/";
const EXTENSION: &str = "row/";
const REPORT: &str = "report/";

/// What must outlive a restart beside objects.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    /// The last poll that was concluded from.
    poll: Option<Poll>,
}

/// One key of the state and what it holds.
#[derive(Debug)]
pub struct Saved(OneOf);

#[derive(Debug)]
enum OneOf {
    Meta(Meta),
    Object(Box<ConfigObject>),
    Told(String, Box<DesiredObject>),
    Report(String, Report),
    Extension(String, Extension),
}

/// The processor of the one partition there is.
#[derive(Debug, Default)]
pub struct ConfigProcessor {
    settings: Settings,
    engage: Engage,
    told: Wanted,
    extensions: BTreeMap<String, Extension>,
    /// What is wrong, by the key of the state: a record each, for there may be many.
    reports: BTreeMap<String, Report>,
    meta: Meta,
    /// Keys of the state that changed.
    changed: BTreeSet<String>,
    effects: Effects,
}

impl ConfigProcessor {
    /// A processor that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The last poll that was concluded from.
    pub fn poll(&self) -> Option<&Poll> {
        self.meta.poll.as_ref()
    }

    /// What the organisation is to hold.
    pub fn wanted(&self) -> &Wanted {
        &self.told
    }

    /// Extensions in scope.
    pub fn extensions(&self) -> impl Iterator<Item = &Extension> {
        self.extensions.values()
    }

    /// What is wrong with the configuration.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
    }

    fn take(&mut self, stored: &Stored) -> Result<(), String> {
        let key = String::from_utf8_lossy(&stored.record.key).into_owned();
        let named = parse_key(&key);
        let Some(value) = stored.record.value.as_deref() else {
            let (kind, dbid) = named.ok_or("a tombstone of no object")?;
            self.engage.remove(kind, dbid);
            self.changed.insert(format!("{OBJECT}{key}"));
            return Ok(());
        };
        let object = codec::decode::<ConfigValue>(value).map_err(|e| e.to_string())?.object;
        if object.key() != key {
            return Err(format!("the value is of {}", object.key()));
        }
        if let ConfigObject::Poll(poll) = object {
            self.end_poll(poll, stored);
        } else {
            self.engage.put(object);
            self.changed.insert(format!("{OBJECT}{key}"));
        }
        Ok(())
    }

    fn end_poll(&mut self, poll: Poll, stored: &Stored) {
        let at_ms = stored.append_time_ms;
        match conclude(&self.engage, &self.settings, &self.told) {
            Ok(conclusion) => {
                self.meta.poll = Some(poll);
                self.tell(conclusion, at_ms);
            }
            Err(report) => self.report(&[report], at_ms),
        }
        self.changed.insert(META.to_owned());
    }

    /// Writes what differs.
    fn tell(&mut self, conclusion: Conclusion, at_ms: i64) {
        for kind in ORDER {
            let prefix = format!("{}/", kind.name());
            self.tell_kind(&prefix, &conclusion.wanted);
        }
        self.told = conclusion.wanted;
        let rows = &conclusion.extensions;
        for key in self.extensions.keys().filter(|key| !rows.contains_key(*key)) {
            self.effects.outputs.push((DIRECTORY, Record::tombstone(key.as_bytes())));
            self.changed.insert(format!("{EXTENSION}{key}"));
        }
        for (key, row) in rows.iter().filter(|(key, row)| self.extensions.get(*key) != Some(row)) {
            let row = DirectoryValue { row: DirectoryRow::Extension(row.clone()) };
            self.effects.outputs.push((DIRECTORY, encoded(key, &row)));
            self.changed.insert(format!("{EXTENSION}{key}"));
        }
        self.extensions = conclusion.extensions;
        self.report(&conclusion.reports, at_ms);
    }

    fn tell_kind(&mut self, prefix: &str, wanted: &Wanted) {
        let of_kind = |key: &&String| key.starts_with(prefix);
        for key in self.told.keys().filter(of_kind).filter(|key| !wanted.contains_key(*key)) {
            self.effects.outputs.push((COMMAND_CONFIG, Record::tombstone(key.as_bytes())));
            self.changed.insert(format!("{TOLD}{key}"));
        }
        for (key, object) in wanted.iter().filter(|(key, _)| of_kind(key)) {
            if self.told.get(key) != Some(object) {
                let value = DesiredValue { object: object.clone() };
                self.effects.outputs.push((COMMAND_CONFIG, encoded(key, &value)));
                self.changed.insert(format!("{TOLD}{key}"));
            }
        }
    }

    /// Writes what is wrong and was not before.
    fn report(&mut self, reports: &[Report], at_ms: i64) {
        let key = |report: &Report| {
            format!("{REPORT}{}/{}/{}", report.code.name(), report.object, report.detail)
        };
        let now: BTreeMap<String, Report> =
            reports.iter().map(|report| (key(report), report.clone())).collect();
        let gone = self.reports.keys().filter(|key| !now.contains_key(*key));
        self.changed.extend(gone.cloned());
        for report in reports {
            let key = key(report);
            if self.reports.contains_key(&key) {
                continue;
            }
            self.changed.insert(key);
            let outcome = ConfigOutcome {
                status: OutcomeStatus::LeftOut,
                object: report.object.clone(),
                gc_id: None,
                action: None,
                code: Some(report.code.name().to_owned()),
                reason: Some(report.detail.clone()).filter(|detail| !detail.is_empty()),
                attempts: 0,
                at_ms,
            };
            self.effects.outputs.push((OUTCOME_CONFIG, encoded(&report.object, &outcome)));
        }
        self.reports = now;
    }

    /// What the state holds of a key; nothing: it is gone.
    fn kept(&self, key: &str) -> Option<Vec<u8>> {
        if key == META {
            return Some(json(&self.meta));
        }
        if let Some(key) = key.strip_prefix(OBJECT) {
            let (kind, dbid) = parse_key(key)?;
            return self.engage.get(kind, dbid).as_ref().map(json);
        }
        if let Some(key) = key.strip_prefix(TOLD) {
            return self.told.get(key).map(json);
        }
        if key.starts_with(REPORT) {
            return self.reports.get(key).map(json);
        }
        self.extensions.get(key.strip_prefix(EXTENSION)?).map(json)
    }
}

impl Processor for ConfigProcessor {
    type Saved = Saved;

    fn apply(&mut self, stored: &Stored) {
        if let Err(why) = self.take(stored) {
            self.effects.outputs.push((DEAD_CONFIG, dead_letter(stored, "undecodable", &why)));
        }
    }

    fn drain(&mut self) -> Effects {
        let mut effects = std::mem::take(&mut self.effects);
        for key in std::mem::take(&mut self.changed) {
            let value = self.kept(&key);
            effects.state.push((key.into_bytes(), value));
        }
        effects
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Saved, String> {
        let key = String::from_utf8_lossy(key).into_owned();
        let bad = |e: serde_json::Error| format!("state key {key}: {e}");
        Ok(Saved(if key == META {
            OneOf::Meta(serde_json::from_slice(value).map_err(bad)?)
        } else if key.starts_with(OBJECT) {
            OneOf::Object(serde_json::from_slice(value).map_err(bad)?)
        } else if let Some(told) = key.strip_prefix(TOLD) {
            OneOf::Told(told.to_owned(), serde_json::from_slice(value).map_err(bad)?)
        } else if key.starts_with(REPORT) {
            let report = serde_json::from_slice(value).map_err(bad)?;
            OneOf::Report(key, report)
        } else if let Some(row) = key.strip_prefix(EXTENSION) {
            OneOf::Extension(row.to_owned(), serde_json::from_slice(value).map_err(bad)?)
        } else {
            return Err(format!("state key {key} is of no kind that is known"));
        }))
    }

    fn restore(&mut self, Saved(one): Saved) {
        match one {
            OneOf::Meta(meta) => self.meta = meta,
            OneOf::Object(object) => self.engage.put(*object),
            OneOf::Told(key, told) => drop(self.told.insert(key, *told)),
            OneOf::Report(key, report) => drop(self.reports.insert(key, report)),
            OneOf::Extension(key, row) => drop(self.extensions.insert(key, row)),
        }
    }

    fn held(&self) -> Vec<Offset> {
        Vec::new()
    }

    fn rehold(&mut self, _: &Stored) {}

    fn noticed(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// A record of `raw.configdb`.
pub fn raw_record(object: &ConfigObject) -> Record {
    encoded(&object.key(), &ConfigValue { object: object.clone() })
}

/// The original record, untouched, with what happened to it.
pub fn dead_letter(stored: &Stored, code: &str, why: &str) -> Record {
    written::dead_letter("config", stored, code, why)
}
