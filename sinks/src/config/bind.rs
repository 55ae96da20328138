//! Which object of the organisation stands for which that is wanted. Pure.
//!
//! One that is known by its id stays what it is. Else it is found again by its name, then, for what
//! was renamed or after the state was lost, by what Engage calls it: `externalId` of users and
//! `peerId` of queues begin with or are the DBID. What is known by its id and not there was deleted
//! in the organisation (seed 003: it is not created again).

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::desired::{DesiredKind, DesiredObject};

use super::Desired;
use super::actual::Actual;
use super::memory::{Bound, Kind, Memory};

/// Whether anything of Engage stands behind it; else only what is left of it is looked after.
pub fn is_live(object: &DesiredObject) -> bool {
    match object {
        DesiredObject::User(user) => !user.persons.is_empty(),
        DesiredObject::Queue(queue) => !queue.dns.is_empty(),
        DesiredObject::Skill(_) | DesiredObject::WrapUpCode(_) | DesiredObject::Source(_) => true,
    }
}

/// Ids by kind and what tells objects apart.
struct Index<'a> {
    names: BTreeMap<(DesiredKind, String), &'a str>,
    /// Users by DBID, queues by peer id.
    origins: BTreeMap<(DesiredKind, &'a str), &'a str>,
    ids: BTreeSet<(DesiredKind, &'a str)>,
}

impl<'a> Index<'a> {
    fn new(actual: &'a Actual) -> Self {
        let mut index =
            Self { names: BTreeMap::new(), origins: BTreeMap::new(), ids: BTreeSet::new() };
        for (id, user) in &actual.users {
            index.add(DesiredKind::User, id, &user.user_name);
            if let Some((dbid, _)) = user.external_id.split_once('_') {
                index.origins.insert((DesiredKind::User, dbid), id);
            }
        }
        for (id, queue) in &actual.queues {
            index.add(DesiredKind::Queue, id, &queue.name);
            if !queue.peer_id.is_empty() {
                index.origins.insert((DesiredKind::Queue, &queue.peer_id), id);
            }
        }
        for (id, source) in &actual.sources {
            index.add(DesiredKind::Source, id, &source.name);
        }
        for (kind, objects) in
            [(DesiredKind::Skill, &actual.skills), (DesiredKind::WrapUpCode, &actual.codes)]
        {
            for (id, name) in objects {
                index.add(kind, id, name);
            }
        }
        index
    }

    fn add(&mut self, kind: DesiredKind, id: &'a str, name: &str) {
        self.ids.insert((kind, id));
        self.names.entry((kind, name.to_lowercase())).or_insert(id);
    }

    fn by_name(&self, object: &DesiredObject) -> Option<&'a str> {
        self.names.get(&(object.kind(), object.name().to_lowercase())).copied()
    }

    fn by_origin(&self, object: &DesiredObject) -> Option<&'a str> {
        let find = |kind, origin: &str| self.origins.get(&(kind, origin)).copied();
        match object {
            DesiredObject::User(user) => {
                user.persons.iter().find_map(|dbid| find(DesiredKind::User, &dbid.to_string()))
            }
            DesiredObject::Queue(queue) => find(DesiredKind::Queue, &queue.peer_id),
            DesiredObject::Skill(_) | DesiredObject::WrapUpCode(_) | DesiredObject::Source(_) => {
                None
            }
        }
    }
}

/// Settles which is which. With `recreates`, what the organisation deleted is forgotten, so that it
/// is created again (seed 001). Returns the keys of what it deleted since the last time.
pub fn bind(
    desired: &Desired,
    actual: &Actual,
    memory: &mut Memory,
    recreates: bool,
) -> Vec<String> {
    let index = Index::new(actual);
    let mut found = held(desired, memory, &index);
    let is_here = |key: &str| desired.get(key).filter(|object| is_live(object));
    let claim = |(key, id): (&String, &String)| Some((is_here(key)?.kind(), id.clone()));
    // What stands for something live stands for nothing else.
    let mut claimed: BTreeSet<(DesiredKind, String)> = found.iter().filter_map(claim).collect();
    for by in [Index::by_name, Index::by_origin] {
        for (key, object) in desired.iter().filter(|(_, object)| is_live(object)) {
            if !found.contains_key(key)
                && let Some(id) = by(&index, object)
                && claimed.insert((object.kind(), id.to_owned()))
            {
                found.insert(key.clone(), id.to_owned());
            }
        }
    }
    for (key, object) in desired.iter().filter(|(_, object)| !is_live(object)) {
        let id = found.remove(key).or_else(|| index.by_name(object).map(str::to_owned));
        match id.filter(|id| !claimed.contains(&(object.kind(), id.clone()))) {
            Some(id) => drop(found.insert(key.clone(), id)),
            // Another took its place, or nothing is left of it.
            None => drop(memory.objects.remove(key)),
        }
    }
    let deleted = remember(desired, memory, found, recreates);
    settle_kinds(desired, actual, memory);
    deleted
}

/// What is known by its id and there.
fn held(desired: &Desired, memory: &Memory, index: &Index<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, object) in desired {
        let id = memory.objects.get(key).and_then(|bound| bound.id.as_ref());
        if let Some(id) = id.filter(|id| index.ids.contains(&(object.kind(), id.as_str()))) {
            found.insert(key.clone(), id.clone());
        }
    }
    found
}

fn remember(
    desired: &Desired,
    memory: &mut Memory,
    found: BTreeMap<String, String>,
    recreates: bool,
) -> Vec<String> {
    let mut deleted = Vec::new();
    for key in desired.keys() {
        if let Some(bound) = memory.objects.get_mut(key)
            && bound.id.is_some()
            && !found.contains_key(key)
        {
            bound.id = None;
            bound.is_owed = false;
            bound.kind = None;
            bound.is_deleted = !recreates;
            deleted.push(key.clone());
        }
    }
    for (key, id) in found {
        let bound = memory.objects.entry(key).or_default();
        if bound.id.as_ref() != Some(&id) {
            let (is_owed, rows) = (bound.is_owed, std::mem::take(&mut bound.rows));
            *bound = Bound { id: Some(id), is_owed, rows, ..Bound::default() };
        }
    }
    deleted
}

/// Users that are no step from agent to supervisor or back need no roles (seed 003, "Roles"), nor
/// do those that have them.
fn settle_kinds(desired: &Desired, actual: &Actual, memory: &mut Memory) {
    for (key, object) in desired {
        let DesiredObject::User(user) = object else { continue };
        let Some(bound) = memory.objects.get_mut(key) else { continue };
        let Some(there) = bound.id.as_ref().and_then(|id| actual.users.get(id)) else { continue };
        let kind = Kind::from(user.kind);
        let steps = bound.kind.is_some_and(|before| is_step(before, kind));
        let is_missing = |role: &String| {
            actual.role(role).is_some() && !there.roles.contains(&role.to_lowercase())
        };
        if !steps || !user.roles.iter().any(is_missing) {
            bound.kind = Some(kind);
        }
    }
}

/// Whether a change of kind adds roles.
pub fn is_step(before: Kind, now: Kind) -> bool {
    before != now && before != Kind::NonAgent && now != Kind::NonAgent
}
