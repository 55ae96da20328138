//! Skills, and the proficiencies of persons in them.

use std::collections::BTreeMap;

use trunkline_schemas::configdb::{ObjectType, Person, object_key};
use trunkline_schemas::desired::{DesiredKind, Skill};

use super::engage::{Engage, Scope};
use super::proficiency::{Levels, tenths};
use super::report::{Report, ReportCode};
use super::settings::LevelRange;

/// The skills in scope.
#[derive(Debug, Default)]
pub struct Skills {
    /// Skills of the organisation, by key.
    pub wanted: BTreeMap<String, Skill>,
    /// By DBID: the key, and the levels that count.
    levels: BTreeMap<i64, (String, Levels)>,
}

impl Skills {
    /// Those in scope. Levels are compared among all persons, in scope or not (rule 1).
    pub fn new(
        engage: &Engage,
        scope: &Scope,
        range: LevelRange,
        reports: &mut Vec<Report>,
    ) -> Self {
        let mut found = Self::default();
        let mut all: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for held in engage.persons.values().flat_map(|person| &person.skills) {
            all.entry(held.skill).or_default().push(held.level);
        }
        for skill in engage.skills.values().filter(|skill| scope.has(skill.folder)) {
            let (object, name) = (object_key(ObjectType::Skill, skill.dbid), skill.name.trim());
            if name.is_empty() {
                reports.push(Report::new(ReportCode::EmptyName, object));
                continue;
            }
            let key = DesiredKind::Skill.key(name);
            let wanted = found.wanted.entry(key.clone());
            let new = || Skill { name: name.to_owned(), skills: Vec::new() };
            wanted.or_insert_with(new).skills.push(skill.dbid);
            let levels = all.get(&skill.dbid).and_then(|all| Levels::of(all.iter().copied()));
            if let Some(levels) = levels.map(|levels| levels.within(range)) {
                if levels.are_equal() {
                    reports.push(Report::new(ReportCode::LevelsEqual, object));
                }
                found.levels.insert(skill.dbid, (key, levels));
            }
        }
        for skill in found.wanted.values().filter(|skill| skill.skills.len() > 1) {
            let keys: Vec<_> =
                skill.skills.iter().map(|dbid| object_key(ObjectType::Skill, *dbid)).collect();
            let report = Report::new(ReportCode::NameConflict, keys[0].clone());
            reports.push(report.with(keys[1..].join(" ")));
        }
        found
    }

    /// Skills of a person by name, with the proficiency in tenths.
    pub fn of<'s>(&'s self, person: &'s Person) -> impl Iterator<Item = (&'s str, i32)> + 's {
        person.skills.iter().filter_map(|held| {
            let (key, levels) = self.levels.get(&held.skill)?;
            Some((self.wanted.get(key)?.name.as_str(), tenths(held.level, *levels)))
        })
    }
}
