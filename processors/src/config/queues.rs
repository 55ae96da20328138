//! DNs into queues, and agent groups into their members (seed 003, "Synchronization of Queues").

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::configdb::{AgentGroup, Dn, ObjectType, Person, object_key};
use trunkline_schemas::desired::{DesiredKind, Queue};
use trunkline_schemas::directory::DnAt;
use trunkline_schemas::time::iso_millis;

use super::engage::{Engage, Scope};
use super::report::{Report, ReportCode};
use super::script::Script;
use super::settings::Settings;

/// What a description calls the tenant if nothing else is known (seed 003).
const NO_TENANT: &str = "default_tenant";

/// The queues in scope.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Queues of the organisation, by key, without their members.
    pub(super) wanted: BTreeMap<String, Queue>,
    /// DNs by number and by alias: DBID and key.
    by_number: BTreeMap<String, BTreeMap<i64, String>>,
    by_alias: BTreeMap<String, BTreeMap<i64, String>>,
}

impl Queues {
    /// Those in scope, the one of the lowest DBID deciding where several share a name.
    pub(super) fn new(
        engage: &Engage,
        scope: &Scope,
        settings: &Settings,
        reports: &mut Vec<Report>,
    ) -> Self {
        let mut found = Self::default();
        let mut sharing: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let is_queue = |dn: &&Dn| settings.queue_types.contains(&dn.kind) && scope.has(dn.folder);
        for dn in engage.dns.values().filter(is_queue) {
            let object = object_key(ObjectType::Dn, dn.dbid);
            let number = dn.number.trim();
            if number.is_empty() {
                reports.push(Report::new(ReportCode::EmptyName, object));
                continue;
            }
            let Some(switch) = engage.switch_name(dn.switch) else {
                reports.push(Report::new(ReportCode::UnknownSwitch, object));
                continue;
            };
            let name = format!("{number}__{switch}{}", settings.queue_suffix);
            let key = DesiredKind::Queue.key(&name);
            let queue = found.wanted.entry(key.clone()).or_insert_with(|| Queue {
                name,
                description: description(engage, settings, switch, dn),
                peer_id: dn.dbid.to_string(),
                members: Vec::new(),
                wrap_up_codes: Vec::new(),
                dns: Vec::new(),
                delete: false,
            });
            queue.dns.push(DnAt { dn: number.to_owned(), switch: switch.to_owned() });
            sharing.entry(key.clone()).or_default().push(object);
            let by_number = found.by_number.entry(number.to_owned()).or_default();
            by_number.insert(dn.dbid, key.clone());
            if !dn.alias.trim().is_empty() {
                found.by_alias.entry(dn.alias.trim().to_owned()).or_default().insert(dn.dbid, key);
            }
        }
        for objects in sharing.into_values().filter(|objects| objects.len() > 1) {
            let report = Report::new(ReportCode::NameConflict, objects[0].clone());
            reports.push(report.with(objects[1..].join(" ")));
        }
        found
    }

    /// Keys of the queues that `hybrid/WFM_queue_number` of a group means: those whose DN has that
    /// number, else those whose DN has that alias. It names no switch, so all of them are meant.
    fn linked(&self, number: &str, object: &str, reports: &mut Vec<Report>) -> BTreeSet<String> {
        let (numbered, aliased) = (self.by_number.get(number), self.by_alias.get(number));
        let mut say = |code| reports.push(Report::new(code, object).with(number));
        match (numbered, aliased) {
            (Some(numbered), Some(aliased))
                if aliased.keys().any(|d| !numbered.contains_key(d)) =>
            {
                say(ReportCode::AliasOfAnother);
            }
            (None, Some(_)) => say(ReportCode::QueueByAlias),
            (Some(_), _) => {}
            (None, None) => say(ReportCode::UnknownQueue),
        }
        let found = numbered.or(aliased).map(|found| found.values().cloned().collect());
        let found: BTreeSet<String> = found.unwrap_or_default();
        if found.len() > 1 {
            say(ReportCode::AmbiguousQueue);
        }
        found
    }

    /// Gives each queue its members: the users of the persons in the groups that are linked to it.
    ///
    /// `users` gives the user name of each person that has an active user; nobody else is a member.
    pub(super) fn add_members<'e>(
        &mut self,
        engage: &'e Engage,
        groups: impl Iterator<Item = &'e AgentGroup>,
        users: &BTreeMap<i64, String>,
        reports: &mut Vec<Report>,
    ) {
        let names = SkillNames::new(engage);
        let mut members: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for group in groups {
            let Some(number) = group.queue.as_deref().map(str::trim).filter(|n| !n.is_empty())
            else {
                continue;
            };
            let object = object_key(ObjectType::AgentGroup, group.dbid);
            let queues = self.linked(number, &object, reports);
            let persons = persons(engage, group, &names, users, &object, reports);
            let persons: Vec<&str> =
                persons.iter().filter_map(|dbid| users.get(dbid).map(String::as_str)).collect();
            for key in queues {
                members.entry(key).or_default().extend(&persons);
            }
        }
        for (key, members) in members {
            if let Some(queue) = self.wanted.get_mut(&key) {
                queue.members = members.into_iter().map(str::to_owned).collect();
            }
        }
    }
}

/// `Engage Reference: <TENANT-SWITCH-DN>; Last modified: <hh:mm:ss MM/DD/YYYY>;`, the second part
/// only if the history knows of a modification.
fn description(engage: &Engage, settings: &Settings, switch: &str, dn: &Dn) -> String {
    let configured = engage.tenants.values().next().map(|tenant| tenant.name.trim());
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let tenant = configured
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or_else(|| given(&settings.tenant_name))
        .or_else(|| given(&settings.tenant_id))
        .unwrap_or_else(|| NO_TENANT.to_owned());
    let reference = format!("Engage Reference: {tenant}-{switch}-{};", dn.number.trim());
    match dn.modified_ms {
        Some(ms) => format!("{reference} Last modified: {};", modified(ms)),
        None => reference,
    }
}

/// `hh:mm:ss MM/DD/YYYY`
fn modified(ms: i64) -> String {
    let iso = iso_millis(ms);
    let (date, time) = iso.split_once('T').unwrap_or_default();
    let mut date = date.splitn(3, '-');
    let mut next = || date.next().unwrap_or_default();
    let (year, month, day) = (next(), next(), next());
    format!("{} {month}/{day}/{year}", time.split('.').next().unwrap_or_default())
}

/// Skills of the tenant by their names, in scope or not: expressions may name any.
struct SkillNames<'e>(BTreeMap<&'e str, BTreeSet<i64>>);

impl<'e> SkillNames<'e> {
    fn new(engage: &'e Engage) -> Self {
        let mut names: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for skill in engage.skills.values() {
            names.entry(skill.name.as_str()).or_default().insert(skill.dbid);
        }
        Self(names)
    }
}

/// DBIDs of the persons in a group: of a virtual one, the agents whose skills satisfy its
/// expression; of another one, those it lists.
fn persons(
    engage: &Engage,
    group: &AgentGroup,
    names: &SkillNames<'_>,
    users: &BTreeMap<i64, String>,
    object: &str,
    reports: &mut Vec<Report>,
) -> Vec<i64> {
    let Some(text) = group.script.as_deref().filter(|text| !text.trim().is_empty()) else {
        return group.members.clone();
    };
    let script = match Script::parse(text) {
        Ok(script) => script,
        Err(error) => {
            let report = Report::new(ReportCode::ScriptSyntax, object);
            reports.push(report.with(error.to_string()));
            return Vec::new();
        }
    };
    for name in script.skills().iter().filter(|name| !names.0.contains_key(*name)) {
        reports.push(Report::new(ReportCode::UnknownSkill, object).with(*name));
    }
    if script.needs_login() {
        reports.push(Report::new(ReportCode::ScriptUndecidable, object));
        return Vec::new();
    }
    let candidates = users.keys().filter_map(|dbid| engage.persons.get(dbid));
    let holds = |person: &&Person| {
        let level = |name: &str| {
            let skills = names.0.get(name)?;
            let held = person.skills.iter().find(|held| skills.contains(&held.skill))?;
            Some(held.level)
        };
        script.holds(&level) == Some(true)
    };
    candidates.filter(|person| person.is_agent).filter(holds).map(|person| person.dbid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_called_by_its_name_else_its_id_else_by_none() {
        let dn = Dn {
            dbid: 124,
            switch: 101,
            kind: trunkline_schemas::configdb::DnType::VirtualQueue,
            number: "VQ_Sales_Leads".to_owned(),
            alias: String::new(),
            enabled: true,
            folder: None,
            modified_ms: None,
        };
        for (configured, name, id, expected) in [
            (Some("tenant001"), Some("given"), Some("101"), "tenant001"),
            (Some(" "), Some("given"), Some("101"), "given"),
            (None, Some("given"), Some("101"), "given"),
            (None, None, Some("101"), "101"),
            (None, Some(""), Some(""), "default_tenant"),
            (None, None, None, "default_tenant"),
        ] {
            let mut engage = Engage::default();
            if let Some(name) = configured {
                let (dbid, name) = (101, name.to_owned());
                engage.tenants.insert(dbid, trunkline_schemas::configdb::Tenant { dbid, name });
            }
            let settings = Settings {
                tenant_name: name.map(str::to_owned),
                tenant_id: id.map(str::to_owned),
                ..Settings::default()
            };
            let said = description(&engage, &settings, "SIP_Switch", &dn);
            assert_eq!(said, format!("Engage Reference: {expected}-SIP_Switch-VQ_Sales_Leads;"));
        }
    }

    #[test]
    fn a_modification_is_written_as_the_guide_shows_it() {
        assert_eq!(modified(1_681_909_525_000), "13:05:25 04/19/2023");
        assert_eq!(modified(0), "00:00:00 01/01/1970");
    }
}
