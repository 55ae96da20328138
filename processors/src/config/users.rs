//! Persons into users (seed 003, "Synchronization of Users").

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::configdb::{ObjectType, Person, Transaction, object_key};
use trunkline_schemas::desired::{DesiredKind, Division, User, UserKind, UserSkill};

use super::report::{Report, ReportCode};
use super::settings::{elements, role_names};
use super::skills::Skills;

/// The built-in user of the product, which is never synchronised.
const BUILT_IN_PERSON: i64 = 100;
/// The role that makes an agent a supervisor.
const SUPERVISOR: &str = "Supervisor";
/// Bytes of a part of an e-mail address before the `@`, and of a whole one (RFC 5321).
const LOCAL_BYTES_MAX: usize = 64;
const ADDRESS_BYTES_MAX: usize = 254;

/// The users, by their keys.
pub type Users = BTreeMap<String, User>;

/// Users of the persons in scope, by key; persons that share one make it together.
pub fn users<'e>(
    persons: impl Iterator<Item = &'e Person>,
    skills: &Skills,
    transaction: Option<&Transaction>,
    reports: &mut Vec<Report>,
) -> Users {
    let mut sharing: BTreeMap<String, Vec<(&Person, &str)>> = BTreeMap::new();
    for person in persons.filter(|person| person.dbid != BUILT_IN_PERSON) {
        match user_name(person) {
            Some(name) => {
                let key = DesiredKind::User.key(name);
                sharing.entry(key).or_default().push((person, name));
            }
            None => reports.push(Report::new(ReportCode::NoEMail, person_key(person.dbid))),
        }
    }
    let mut users = Users::new();
    for (key, mut persons) in sharing {
        // Whoever is enabled decides, then whoever is older: a person that was created again takes
        // the place of the one that is disabled.
        persons.sort_by_key(|(person, _)| (!person.enabled, person.dbid));
        if persons.len() > 1 {
            let others: Vec<_> =
                persons.iter().map(|(person, _)| person_key(person.dbid)).collect();
            let report = Report::new(ReportCode::NameConflict, others[0].clone());
            reports.push(report.with(others[1..].join(" ")));
        }
        users.insert(key, user(&persons, skills, transaction));
    }
    users
}

fn user(persons: &[(&Person, &str)], skills: &Skills, transaction: Option<&Transaction>) -> User {
    let (person, user_name) = persons[0];
    let kind = kind(person);
    let mut levels: BTreeMap<&str, i32> = BTreeMap::new();
    for (name, tenths) in persons.iter().flat_map(|(person, _)| skills.of(person)) {
        let highest = levels.entry(name).or_insert(tenths);
        *highest = tenths.max(*highest);
    }
    let skills = levels
        .into_iter()
        .map(|(name, tenths)| UserSkill { name: name.to_owned(), proficiency_tenths: tenths })
        .collect();
    let employee_ids: BTreeSet<&str> = persons
        .iter()
        .map(|(person, _)| person.employee_id.trim())
        .filter(|id| !id.is_empty())
        .collect();
    User {
        user_name: user_name.to_owned(),
        display_name: display_name(person),
        e_mail: Some(person.e_mail.trim()).filter(|it| is_e_mail(it)).map(str::to_owned),
        external_id: external_id(person),
        active: person.enabled,
        kind,
        roles: role_names(kind, transaction),
        division: Division::Home,
        skills,
        employee_ids: employee_ids.into_iter().map(str::to_owned).collect(),
        persons: persons.iter().map(|(person, _)| person.dbid).collect(),
    }
}

/// The first of User Name, Employee ID and E-Mail that is a valid e-mail address.
pub fn user_name(person: &Person) -> Option<&str> {
    [&person.user_name, &person.employee_id, &person.e_mail]
        .into_iter()
        .map(|text| text.trim())
        .find(|text| is_e_mail(text))
}

/// `DBID_username`; the user name is that of Engage, as the other parameters of that column of the
/// table are.
fn external_id(person: &Person) -> String {
    format!("{}_{}", person.dbid, person.user_name.trim())
}

/// First and last name, whichever there are; without any, the user name.
fn display_name(person: &Person) -> String {
    let names = [person.first_name.trim(), person.last_name.trim()];
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() { person.user_name.trim().to_owned() } else { names.join(" ") }
}

/// What a person is (seed 003, "Roles").
pub fn kind(person: &Person) -> UserKind {
    let roles = person.roles.as_deref().unwrap_or_default();
    match (person.is_agent, elements(roles).any(|role| role == SUPERVISOR)) {
        (false, _) => UserKind::NonAgent,
        (true, false) => UserKind::Agent,
        (true, true) => UserKind::Supervisor,
    }
}

/// Key of a person.
pub(super) fn person_key(dbid: i64) -> String {
    object_key(ObjectType::Person, dbid)
}

/// Whether a text is an e-mail address as user names are: no comments, quotes or addresses by
/// number, and a domain of two labels at least.
pub fn is_e_mail(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_local = !local.is_empty()
        && local.len() <= LOCAL_BYTES_MAX
        && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
    let is_label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_domain = domain.contains('.') && domain.split('.').all(is_label);
    is_local && is_domain && text.len() <= ADDRESS_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        Person {
            dbid: 101,
            user_name: "asmith".to_owned(),
            employee_id: "E1".to_owned(),
            e_mail: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            is_agent: true,
            enabled: true,
            folder: None,
            roles: None,
            skills: Vec::new(),
        }
    }

    #[test]
    fn e_mail_addresses_are_told_from_other_texts() {
        for good in
            ["alice.smith@example.com", "a@b.co", "A+b_c'd@sub-domain.example.org", "1@2.example"]
        {
            assert!(is_e_mail(good), "{good}");
        }
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}.com", "b".repeat(250));
        for bad in [
            "",
            "@",
            "a@",
            "@b.com",
            "a@b",
            "ivan@@bad",
            "ivan@@bad.com",
            "ivan(at)example.com",
            "a b@example.com",
            "a@exam ple.com",
            "a@.com",
            "a@b..com",
            "a@b.com.",
            ".a@b.com",
            "a.@b.com",
            "a..b@c.com",
            "a@-b.com",
            "a@b-.com",
            "a@b.com,c@d.com",
            "<a@b.com>",
            "\"a b\"@c.com",
            "a@[192.0.2.1]",
            "ä@b.com",
            &long_local,
            &long,
        ] {
            assert!(!is_e_mail(bad), "{bad}");
        }
    }

    #[test]
    fn the_user_name_is_the_first_valid_address() {
        let (u, e, m) = ("u@example.com", "e@example.com", "m@example.com");
        for (user, employee, mail, expected) in [
            (u, e, m, Some(u)),
            ("u", e, m, Some(e)),
            ("u", "e", m, Some(m)),
            ("u", "", m, Some(m)),
            (" u@example.com ", e, m, Some(u)),
            ("u", "e", "m", None),
            ("", "", "", None),
        ] {
            let person = Person {
                user_name: user.to_owned(),
                employee_id: employee.to_owned(),
                e_mail: mail.to_owned(),
                ..person()
            };
            assert_eq!(user_name(&person), expected, "{user} {employee} {mail}");
        }
    }

    #[test]
    fn a_person_is_called_by_the_names_there_are() {
        for (first, last, expected) in [
            ("Alice", "Smith", "Alice Smith"),
            ("Alice", "", "Alice"),
            ("", "Smith", "Smith"),
            (" ", "", "asmith"),
        ] {
            let (first_name, last_name) = (first.to_owned(), last.to_owned());
            let person = Person { first_name, last_name, ..person() };
            assert_eq!(display_name(&person), expected);
        }
        assert_eq!(external_id(&person()), "101_asmith");
    }

    #[test]
    fn a_supervisor_is_an_agent_with_that_role() {
        for (is_agent, roles, expected) in [
            (true, None, UserKind::Agent),
            (true, Some("Agent"), UserKind::Agent),
            (true, Some("Supervisor"), UserKind::Supervisor),
            (true, Some("Agent, Supervisor ,x"), UserKind::Supervisor),
            (true, Some("supervisor"), UserKind::Agent),
            (true, Some("Supervisors"), UserKind::Agent),
            (false, None, UserKind::NonAgent),
            (false, Some("Supervisor"), UserKind::NonAgent),
        ] {
            let person = Person { is_agent, roles: roles.map(str::to_owned), ..person() };
            assert_eq!(kind(&person), expected, "{is_agent} {roles:?}");
        }
    }
}
