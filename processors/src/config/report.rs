//! What is wrong with the configuration of Engage: one closed list, the same codes in outcomes and
//! documentation (docs/configuration-db.md).

use serde::{Deserialize, Serialize};

/// Characters of a detail.
const DETAIL_MAX: usize = 400;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportCode {
    /// None of User Name, Employee ID and E-Mail of a person is a valid e-mail address, so it is
    /// not synchronised (seed 003, "Person Details"). A user that stood for it stays as it was.
    NoEMail,
    /// Names that differ only in case: the objects share one of Genesys Cloud (seed 003,
    /// "Case-Sensitivity of Object Names").
    NameConflict,
    /// An object without a name.
    EmptyName,
    /// A DN whose switch is not known.
    UnknownSwitch,
    /// The expression of a virtual agent group cannot be read; the group has no members.
    ScriptSyntax,
    /// The expression depends on who is logged in; the group has no members.
    ScriptUndecidable,
    /// The expression names a skill that the tenant does not have.
    UnknownSkill,
    /// An agent group is linked to a queue that is not in scope.
    UnknownQueue,
    /// An agent group is linked to a queue that exists on several switches; all of them get its
    /// members.
    AmbiguousQueue,
    /// An agent group is linked to a queue by its alias, not by its number.
    QueueByAlias,
    /// The number that links an agent group to a queue is also the alias of another queue.
    AliasOfAnother,
    /// Everybody has a skill at the same level, so the formula divides by zero.
    LevelsEqual,
    /// `skill_level_min_value` or `skill_level_max_value` is no whole number, or they contradict
    /// each other; neither is used.
    BadLevelRange,
    /// There is no transaction `hybrid_integration`; roles and levels have their defaults.
    NoTransaction,
    /// A folder to be synchronised does not exist.
    FolderNotFound,
    /// No folder to be synchronised exists; everything stays as it is.
    NoFolderFound,
}

const CODES: [(ReportCode, &str); 16] = [
    (ReportCode::NoEMail, "no_e_mail"),
    (ReportCode::NameConflict, "name_conflict"),
    (ReportCode::EmptyName, "empty_name"),
    (ReportCode::UnknownSwitch, "unknown_switch"),
    (ReportCode::ScriptSyntax, "script_syntax"),
    (ReportCode::ScriptUndecidable, "script_undecidable"),
    (ReportCode::UnknownSkill, "unknown_skill"),
    (ReportCode::UnknownQueue, "unknown_queue"),
    (ReportCode::AmbiguousQueue, "ambiguous_queue"),
    (ReportCode::QueueByAlias, "queue_by_alias"),
    (ReportCode::AliasOfAnother, "alias_of_another"),
    (ReportCode::LevelsEqual, "levels_equal"),
    (ReportCode::BadLevelRange, "bad_level_range"),
    (ReportCode::NoTransaction, "no_transaction"),
    (ReportCode::FolderNotFound, "folder_not_found"),
    (ReportCode::NoFolderFound, "no_folder_found"),
];

impl ReportCode {
    /// Its name.
    pub fn name(self) -> &'static str {
        CODES.iter().find(|(code, _)| *code == self).map_or("", |(_, name)| name)
    }

    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        CODES.iter().map(|(code, _)| *code)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Report {
    /// What is wrong.
    pub code: ReportCode,
    /// The object it is wrong with, by its key. Never a name of a person.
    pub object: String,
    /// What else there is to know: keys of other objects, a place.
    pub detail: String,
}

impl Report {
    /// A report without a detail.
    pub fn new(code: ReportCode, object: impl Into<String>) -> Self {
        Self { code, object: object.into(), detail: String::new() }
    }

    /// The same with a detail, of which so much is kept as a message may show.
    #[must_use]
    pub fn with(mut self, detail: impl AsRef<str>) -> Self {
        self.detail = detail.as_ref().chars().take(DETAIL_MAX).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_name_it_is_kept_by() {
        let mut names: Vec<String> = ReportCode::all()
            .map(|code| {
                let kept = serde_json::to_value(code).expect("a code is JSON");
                assert_eq!(kept, code.name());
                code.name().to_owned()
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CODES.len());
    }
}
