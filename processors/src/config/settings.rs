//! How the processor is set: what an administrator decides outside of Engage, and what Engage's
//! transaction `hybrid_integration` decides.

use trunkline_schemas::configdb::{DnType, Transaction};
use trunkline_schemas::desired::UserKind;

use super::report::{Report, ReportCode};

/// Which of the two published sets of rules holds where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edition {
    /// Seed 001, of July 2023.
    Of2023,
    /// Seed 003, of 2024.
    #[default]
    Of2024,
}

/// What an administrator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names of the folders to be synchronised, with all that is below them. Nothing: everything of
    /// the types that are synchronised.
    pub folders: Option<Vec<String>>,
    /// What a description calls the tenant: its name, if the configuration does not have it.
    pub tenant_name: Option<String>,
    /// What a description calls the tenant if there is no name: its id.
    pub tenant_id: Option<String>,
    /// End of the name of each queue.
    pub queue_suffix: String,
    /// DNs that become queues.
    pub queue_types: Vec<DnType>,
    /// What becomes of objects that are gone.
    pub edition: Edition,
    /// Whether values of business attributes that are disabled become wrap-up codes too.
    pub disabled_codes: bool,
    /// Name of the presence source.
    pub source_name: String,
}

impl Default for Settings {
    /// Everything, by the rules of 2024: virtual queues only.
    fn default() -> Self {
        Self {
            folders: None,
            tenant_name: None,
            tenant_id: None,
            queue_suffix: "__Engage-external".to_owned(),
            queue_types: vec![DnType::VirtualQueue],
            edition: Edition::default(),
            disabled_codes: true,
            source_name: "Genesys Engage".to_owned(),
        }
    }
}

/// Section of the transaction.
const SECTION: &str = "config_sync";
/// Option with the roles of each kind of person, and what holds without it (seed 003, "Roles").
const ROLES: [(UserKind, &str, &[&str]); 3] = [
    (UserKind::NonAgent, "nonagent_role_names", &["Employee"]),
    (UserKind::Agent, "agent_role_names", &["Employee", "User"]),
    (UserKind::Supervisor, "supervisor_role_names", &["Employee", "User", "Supervisor"]),
];

/// Lowest and highest skill level that count; nothing: there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelRange {
    /// `skill_level_min_value`
    pub min: Option<i64>,
    /// `skill_level_max_value`
    pub max: Option<i64>,
}

/// Roles of a person of that kind.
pub fn role_names(kind: UserKind, transaction: Option<&Transaction>) -> Vec<String> {
    let (_, option, default) = ROLES[kind as usize];
    let given = transaction.and_then(|t| t.option(SECTION, option));
    let given = given.map(|names| elements(names).map(str::to_owned).collect::<Vec<_>>());
    given
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| default.iter().map(|name| (*name).to_owned()).collect())
}

/// The range of skill levels.
pub fn level_range(transaction: Option<&Transaction>, reports: &mut Vec<Report>) -> LevelRange {
    let Some(transaction) = transaction else { return LevelRange::default() };
    let read = |option| match transaction.option(SECTION, option) {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some),
    };
    match (read("skill_level_min_value"), read("skill_level_max_value")) {
        (Ok(min), Ok(max)) if min.zip(max).is_none_or(|(min, max)| min <= max) => {
            LevelRange { min, max }
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            let object = format!("transaction/{}", transaction.dbid);
            reports.push(Report::new(ReportCode::BadLevelRange, object));
            LevelRange::default()
        }
    }
}

/// Elements of a list separated by commas.
pub(super) fn elements(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_schemas::configdb::AnnexOption;

    fn transaction(options: &[(&str, &str)]) -> Transaction {
        let option = |(name, value): &(&str, &str)| AnnexOption {
            section: SECTION.to_owned(),
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        let options = options.iter().map(option).collect();
        Transaction { dbid: 101, name: "hybrid_integration".to_owned(), options }
    }

    #[test]
    fn roles_are_those_given_or_the_documented_ones() {
        for (kind, option, default) in ROLES {
            assert_eq!(ROLES[kind as usize].0, kind);
            assert_eq!(role_names(kind, None), default);
            assert_eq!(role_names(kind, Some(&transaction(&[]))), default);
            assert_eq!(role_names(kind, Some(&transaction(&[(option, " , ")]))), default);
            let given = transaction(&[(option, "Employee, Custom Role 01 ,,X")]);
            assert_eq!(role_names(kind, Some(&given)), ["Employee", "Custom Role 01", "X"]);
        }
    }

    #[test]
    fn a_range_that_makes_no_sense_is_reported_and_not_used() {
        for (min, max, expected, reported) in [
            ("0", "10", (Some(0), Some(10)), false),
            ("5", "5", (Some(5), Some(5)), false),
            ("", "10", (None, Some(10)), false),
            ("-3", "", (Some(-3), None), false),
            ("", "", (None, None), false),
            ("10", "0", (None, None), true),
            ("low", "10", (None, None), true),
            ("0", "1.5", (None, None), true),
        ] {
            let options = [("skill_level_min_value", min), ("skill_level_max_value", max)];
            let mut reports = Vec::new();
            let range = level_range(Some(&transaction(&options)), &mut reports);
            assert_eq!((range.min, range.max), expected, "{min} {max}");
            let codes: Vec<_> = reports.iter().map(|report| report.code).collect();
            let wanted = if reported { vec![ReportCode::BadLevelRange] } else { Vec::new() };
            assert_eq!(codes, wanted, "{min} {max}");
        }
    }
}
