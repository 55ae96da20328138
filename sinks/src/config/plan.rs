//! What has to be done so that the organisation is as desired: the smallest set of requests, those
//! first that others depend on. Pure.

use std::collections::BTreeSet;

use trunkline_schemas::desired::{self, DesiredKind, DesiredObject};

use super::Desired;
use super::actual::{self, Actual};
use super::bind::{is_live, is_step};
use super::memory::{Bound, Kind, Memory};
use super::request::{BATCH_MAX, Planned, Request, SKILLS_MAX, UserChange, queue_fields};

/// The requests, in the order in which they are to be sent. Which object is which was settled
/// before ([`super::bind::bind`]).
pub fn requests<'a>(desired: &'a Desired, actual: &'a Actual, memory: &'a Memory) -> Vec<Planned> {
    let plan = Plan { desired, actual, memory };
    let stages: [Stage<'a>; 9] = [
        |plan, key, object, out| plan.creation(key, object, DesiredKind::Source, out),
        |plan, key, object, out| plan.creation(key, object, DesiredKind::Skill, out),
        |plan, key, object, out| plan.creation(key, object, DesiredKind::WrapUpCode, out),
        Plan::user,
        Plan::roles,
        Plan::skills,
        Plan::primary_source,
        Plan::queue,
        Plan::members_and_codes,
    ];
    let mut requests = Vec::new();
    let mut of_object = Vec::new();
    for stage in stages {
        for (key, object) in desired {
            stage(&plan, key, object, &mut of_object);
            let planned = |request| Planned { key: key.clone(), request };
            requests.extend(of_object.drain(..).map(planned));
        }
    }
    requests
}

/// Adds the requests of one stage that an object needs.
type Stage<'a> = fn(&Plan<'a>, &str, &DesiredObject, &mut Vec<Request>);

struct Plan<'a> {
    desired: &'a Desired,
    actual: &'a Actual,
    memory: &'a Memory,
}

impl Plan<'_> {
    fn bound(&self, key: &str) -> Option<&Bound> {
        self.memory.objects.get(key)
    }

    fn id(&self, key: &str) -> Option<&str> {
        self.bound(key)?.id.as_deref()
    }

    fn is_new(&self, key: &str, object: &DesiredObject) -> bool {
        let is_deleted = self.bound(key).is_some_and(|bound| bound.is_deleted);
        self.id(key).is_none() && !is_deleted && is_live(object)
    }

    fn creation(
        &self,
        key: &str,
        object: &DesiredObject,
        kind: DesiredKind,
        requests: &mut Vec<Request>,
    ) {
        if object.kind() == kind && self.is_new(key, object) {
            requests.push(Request::Create);
        }
    }

    fn user(&self, key: &str, object: &DesiredObject, requests: &mut Vec<Request>) {
        let DesiredObject::User(user) = object else { return };
        self.creation(key, object, DesiredKind::User, requests);
        let Some(there) = self.id(key).and_then(|id| self.actual.users.get(id)) else { return };
        let changes = user_changes(user, there);
        if !changes.is_empty() {
            requests.push(Request::ChangeUser(changes));
        }
    }

    fn roles(&self, key: &str, object: &DesiredObject, requests: &mut Vec<Request>) {
        let DesiredObject::User(user) = object else { return };
        let Some(bound) = self.bound(key) else { return };
        let Some(there) = self.id(key).and_then(|id| self.actual.users.get(id)) else { return };
        let steps = bound.kind.is_some_and(|before| is_step(before, Kind::from(user.kind)));
        if !is_live(object) || !(bound.is_owed || steps) {
            return;
        }
        let is_missing = |role: &&String| {
            self.actual.role(role).is_some() && !there.roles.contains(&role.to_lowercase())
        };
        let missing: Vec<String> = user.roles.iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            requests.push(Request::AddRoles(missing));
        }
    }

    fn skills(&self, key: &str, object: &DesiredObject, requests: &mut Vec<Request>) {
        let DesiredObject::User(user) = object else { return };
        if !is_live(object) {
            return;
        }
        let wanted = user.skills.iter().map(|it| (it.name.clone(), it.proficiency_tenths));
        let Some(there) = self.id(key).and_then(|id| self.actual.users.get(id)) else {
            if self.is_new(key, object) {
                // The first ones come with the user.
                let rest: Vec<_> = wanted.skip(SKILLS_MAX).collect();
                set_skills(&rest, requests);
            }
            return;
        };
        let is_kept = |name: &str| {
            let key = DesiredKind::Skill.key(name);
            !self.bound(&key).is_some_and(|bound| bound.is_deleted)
        };
        let differs = |(name, tenths): &(String, i32)| {
            is_kept(name) && there.skills.get(&name.to_lowercase()) != Some(tenths)
        };
        let wanted: Vec<(String, i32)> = wanted.collect();
        let differing: Vec<_> = wanted.iter().filter(|it| differs(it)).cloned().collect();
        set_skills(&differing, requests);
        for name in there.skills.keys() {
            let is_wanted = wanted.iter().any(|(wanted, _)| wanted.to_lowercase() == *name);
            // Skills that Engage neither has nor had are none of ours.
            if !is_wanted && self.is_ours(&DesiredKind::Skill.key(name)) {
                requests.push(Request::RemoveSkill(name.clone()));
            }
        }
    }

    fn primary_source(&self, key: &str, object: &DesiredObject, requests: &mut Vec<Request>) {
        let is_user = object.kind() == DesiredKind::User;
        let is_owed = self.bound(key).is_some_and(|bound| bound.is_owed && bound.id.is_some());
        let exists = |(key, it): (&String, &DesiredObject)| {
            it.kind() == DesiredKind::Source && (self.id(key).is_some() || self.is_new(key, it))
        };
        let is_due = is_user && is_live(object) && (is_owed || self.is_new(key, object));
        if is_due && self.desired.iter().any(exists) {
            requests.push(Request::SetPrimarySource);
        }
    }

    fn queue(&self, key: &str, object: &DesiredObject, requests: &mut Vec<Request>) {
        let DesiredObject::Queue(queue) = object else { return };
        self.creation(key, object, DesiredKind::Queue, requests);
        let Some(there) = self.id(key).and_then(|id| self.actual.queues.get(id)) else { return };
        if queue.delete {
            requests.push(Request::DeleteQueue);
        } else if is_live(object) {
            let has = [&there.name, &there.description, &there.peer_id];
            let fields = queue_fields(queue).into_iter().zip(has);
            let differing = fields.filter(|((_, wanted), has)| wanted != has);
            let differing: Vec<&str> = differing.map(|((name, _), _)| name).collect();
            if !differing.is_empty() {
                requests.push(Request::ChangeQueue(differing));
            }
        }
    }

    fn members_and_codes(&self, key: &str, object: &DesiredObject, requests: &mut Vec<Request>) {
        let DesiredObject::Queue(queue) = object else { return };
        let nobody = BTreeSet::new();
        let (members, codes) = match self.id(key).and_then(|id| self.actual.queues.get(id)) {
            Some(there) => (there.members.as_ref(), there.codes.as_ref()),
            None if self.is_new(key, object) => (Some(&nobody), Some(&nobody)),
            None => (None, None),
        };
        if queue.delete {
            return;
        }
        if let Some(members) = members {
            self.members(queue, members, requests);
        }
        if let Some(codes) = codes.filter(|_| is_live(object)) {
            let is_missing = |name: &&String| {
                let key = DesiredKind::WrapUpCode.key(name);
                self.will_be(&key) && !self.id(&key).is_some_and(|id| codes.contains(id))
            };
            let missing: Vec<String> =
                queue.wrap_up_codes.iter().filter(is_missing).cloned().collect();
            let batches = missing.chunks(BATCH_MAX);
            requests.extend(batches.map(|batch| Request::AddCodes(batch.to_vec())));
            self.codes_to_remove(queue, codes, requests);
        }
    }

    /// Codes that Engage had and the queue is not to have any more.
    fn codes_to_remove(
        &self,
        queue: &desired::Queue,
        codes: &BTreeSet<String>,
        requests: &mut Vec<Request>,
    ) {
        let wanted = queue.wrap_up_codes.iter().map(|name| DesiredKind::WrapUpCode.key(name));
        let wanted: BTreeSet<String> = wanted.collect();
        for (key, bound) in &self.memory.objects {
            let is_code = DesiredKind::of_key(key) == Some(DesiredKind::WrapUpCode);
            let Some(id) = bound.id.as_ref().filter(|_| is_code) else { continue };
            if codes.contains(id) && !wanted.contains(key) {
                requests.push(Request::RemoveCode(id.clone()));
            }
        }
    }

    /// Whether Engage has, or had, the object.
    fn is_ours(&self, key: &str) -> bool {
        self.desired.contains_key(key) || self.id(key).is_some()
    }

    fn members(
        &self,
        queue: &desired::Queue,
        members: &BTreeSet<String>,
        requests: &mut Vec<Request>,
    ) {
        let keys = queue.members.iter().map(|name| DesiredKind::User.key(name));
        let keys: Vec<String> = keys.filter(|key| self.will_be(key)).collect();
        let wanted: BTreeSet<&str> = keys.iter().filter_map(|key| self.id(key)).collect();
        let is_missing = |key: &&String| !self.id(key).is_some_and(|id| members.contains(id));
        let missing: Vec<String> = keys.iter().filter(is_missing).cloned().collect();
        let is_other = |id: &&String| !wanted.contains(id.as_str());
        let others: Vec<String> = members.iter().filter(is_other).cloned().collect();
        let batches = missing.chunks(BATCH_MAX);
        requests.extend(batches.map(|batch| Request::AddMembers(batch.to_vec())));
        let batches = others.chunks(BATCH_MAX);
        requests.extend(batches.map(|batch| Request::RemoveMembers(batch.to_vec())));
    }

    /// Whether an object is there, or will be before the last stage.
    fn will_be(&self, key: &str) -> bool {
        let is_new = self.desired.get(key).is_some_and(|object| self.is_new(key, object));
        is_new || self.id(key).is_some()
    }
}

fn set_skills(skills: &[(String, i32)], requests: &mut Vec<Request>) {
    let batches = skills.chunks(SKILLS_MAX);
    requests.extend(batches.map(|batch| Request::SetSkills(batch.to_vec())));
}

fn user_changes(user: &desired::User, there: &actual::User) -> Vec<UserChange> {
    let mut changes = Vec::new();
    if !user.persons.is_empty() {
        if user.user_name.to_lowercase() != there.user_name.to_lowercase() {
            changes.push(UserChange::UserName(user.user_name.clone()));
        }
        if user.display_name != there.display_name {
            changes.push(UserChange::DisplayName(user.display_name.clone()));
        }
        if user.external_id != there.external_id {
            changes.push(UserChange::ExternalId(user.external_id.clone()));
        }
        let is_there = |wanted: &&String| {
            there.emails.iter().any(|it| it.to_lowercase() == wanted.to_lowercase())
        };
        if let Some(e_mail) = user.e_mail.as_ref().filter(|wanted| !is_there(wanted)) {
            changes.push(UserChange::EMail(e_mail.clone()));
        }
    }
    if user.active != there.active {
        changes.push(UserChange::Active(user.active));
    }
    changes
}
