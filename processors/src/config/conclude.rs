//! From the whole Engage configuration to all that the organisation is to hold.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::DesiredObject;
use trunkline_schemas::configdb::{Dn, DnType, ObjectType, object_key};
use trunkline_schemas::desired::{DesiredKind, Source, User};
use trunkline_schemas::directory::Extension;

use super::codes::wrap_up_codes;
use super::engage::{Engage, Scope};
use super::fate::bereaved;
use super::queues::Queues;
use super::report::{Report, ReportCode};
use super::settings::{Settings, level_range};
use super::skills::Skills;
use super::users::{Users, user_name, users};

/// Desired objects by their keys.
pub type Wanted = BTreeMap<String, DesiredObject>;

/// What follows from a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conclusion {
    /// What the organisation is to hold. What was told before and is not here is wanted no more.
    pub wanted: Wanted,
    /// Extensions in scope, by key, for the directory.
    pub extensions: BTreeMap<String, Extension>,
    /// What is wrong with the configuration, in order.
    pub reports: Vec<Report>,
}

/// Concludes. `told` is what was concluded last.
///
/// # Errors
/// None of the folders to be synchronised exists, so nothing may be concluded.
pub fn conclude(engage: &Engage, settings: &Settings, told: &Wanted) -> Result<Conclusion, Report> {
    let mut reports = Vec::new();
    let scope = Scope::new(engage, settings.folders.as_deref(), &mut reports)?;
    let transaction = engage.transaction();
    if transaction.is_none() {
        reports.push(Report::new(ReportCode::NoTransaction, "transaction"));
    }
    let range = level_range(transaction, &mut reports);
    let skills = Skills::new(engage, &scope, range, &mut reports);
    let codes = wrap_up_codes(engage.attributes.values(), settings.disabled_codes, &mut reports);
    let persons = || engage.persons.values().filter(|person| scope.has(person.folder));
    let mut users = users(persons(), &skills, transaction, &mut reports);
    // Whoever lost the last valid address is not synchronised: the user stays as it was.
    let nameless: BTreeSet<i64> =
        persons().filter(|p| user_name(p).is_none()).map(|p| p.dbid).collect();
    keep(&mut users, &nameless, told);
    let mut queues = Queues::new(engage, &scope, settings, &mut reports);
    let members = members(engage, &users);
    let groups = engage.groups.values().filter(|group| scope.has(group.folder));
    queues.add_members(engage, groups, &members, &mut reports);
    let names: Vec<String> = codes.values().map(|code| code.name.clone()).collect();
    for queue in queues.wanted.values_mut() {
        queue.wrap_up_codes.clone_from(&names);
    }
    let source = Source { name: settings.source_name.clone() };
    let mut wanted = Wanted::new();
    wanted.extend(skills.wanted.into_iter().map(|(key, it)| (key, DesiredObject::Skill(it))));
    wanted.extend(codes.into_iter().map(|(key, it)| (key, DesiredObject::WrapUpCode(it))));
    wanted.extend(users.into_iter().map(|(key, it)| (key, DesiredObject::User(it))));
    wanted.extend(queues.wanted.into_iter().map(|(key, it)| (key, DesiredObject::Queue(it))));
    wanted.insert(DesiredKind::Source.key(&source.name), DesiredObject::Source(source));
    let left = left_behind(&wanted, settings, told);
    wanted.extend(left);
    drop_unknown(&mut wanted);
    let extensions = extensions(engage, &scope, &mut reports);
    reports.sort();
    reports.dedup();
    Ok(Conclusion { wanted, extensions, reports })
}

/// Users of these persons that were told before and are in nobody's name now. Of those that shared
/// one, only these still stand for it.
fn keep(users: &mut Users, persons: &BTreeSet<i64>, told: &Wanted) {
    for (key, object) in told {
        let DesiredObject::User(user) = object else { continue };
        let left: Vec<i64> =
            user.persons.iter().copied().filter(|dbid| persons.contains(dbid)).collect();
        if !left.is_empty() {
            users.entry(key.clone()).or_insert_with(|| User { persons: left, ..user.clone() });
        }
    }
}

/// User names of the persons that may be members of queues: enabled, with an active user.
fn members(engage: &Engage, users: &Users) -> BTreeMap<i64, String> {
    let mut members = BTreeMap::new();
    for user in users.values().filter(|user| user.active) {
        let persons = user.persons.iter().filter_map(|dbid| engage.persons.get(dbid));
        for person in persons.filter(|person| person.enabled) {
            members.insert(person.dbid, user.user_name.clone());
        }
    }
    members
}

/// What becomes of objects told before that nothing in Engage stands for. One that has only been
/// given another name is not left behind: it is the same object of the organisation.
fn left_behind(wanted: &Wanted, settings: &Settings, told: &Wanted) -> Wanted {
    let mut persons = BTreeSet::new();
    let mut peers = BTreeSet::new();
    for object in wanted.values() {
        match object {
            DesiredObject::User(user) => persons.extend(user.persons.iter().copied()),
            DesiredObject::Queue(queue) => drop(peers.insert(queue.peer_id.as_str())),
            DesiredObject::Skill(_) | DesiredObject::WrapUpCode(_) | DesiredObject::Source(_) => {}
        }
    }
    let is_renamed = |object: &DesiredObject| match object {
        DesiredObject::User(user) => user.persons.iter().any(|dbid| persons.contains(dbid)),
        DesiredObject::Queue(queue) => peers.contains(queue.peer_id.as_str()),
        DesiredObject::Skill(_) | DesiredObject::WrapUpCode(_) | DesiredObject::Source(_) => false,
    };
    told.iter()
        .filter(|(key, object)| !wanted.contains_key(*key) && !is_renamed(object))
        .filter_map(|(key, object)| Some((key.clone(), bereaved(object, settings.edition)?)))
        .collect()
}

/// Objects that stay as they were may name skills and codes that are wanted no more: nothing is
/// told that names what is not told.
fn drop_unknown(wanted: &mut Wanted) {
    let of = |kind: DesiredKind| -> BTreeSet<String> {
        let objects = wanted.values().filter(|object| object.kind() == kind);
        objects.map(|object| object.name().to_owned()).collect()
    };
    let (skills, codes) = (of(DesiredKind::Skill), of(DesiredKind::WrapUpCode));
    for object in wanted.values_mut() {
        match object {
            DesiredObject::User(user) => user.skills.retain(|skill| skills.contains(&skill.name)),
            DesiredObject::Queue(queue) => queue.wrap_up_codes.retain(|code| codes.contains(code)),
            DesiredObject::Skill(_) | DesiredObject::WrapUpCode(_) | DesiredObject::Source(_) => {}
        }
    }
}

/// Extension DNs in scope (seed 003, "Extension DNs").
fn extensions(
    engage: &Engage,
    scope: &Scope,
    reports: &mut Vec<Report>,
) -> BTreeMap<String, Extension> {
    let is_extension = |dn: &&Dn| dn.kind == DnType::Extension && scope.has(dn.folder);
    let mut found = BTreeMap::new();
    for dn in engage.dns.values().filter(is_extension) {
        let number = dn.number.trim();
        match engage.switch_name(dn.switch) {
            Some(switch) if !number.is_empty() => {
                let row = Extension { dn: number.to_owned(), switch: switch.to_owned() };
                found.insert(format!("extension/{}@{}", row.dn, row.switch), row);
            }
            Some(_) | None => {
                let code = if number.is_empty() {
                    ReportCode::EmptyName
                } else {
                    ReportCode::UnknownSwitch
                };
                reports.push(Report::new(code, object_key(ObjectType::Dn, dn.dbid)));
            }
        }
    }
    found
}
