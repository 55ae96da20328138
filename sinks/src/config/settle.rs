//! What an answer changes.

use serde_json::Value;
use trunkline_schemas::OutcomeStatus;
use trunkline_schemas::desired::{DesiredKind, DesiredObject};

use super::answer::Heard;
use super::look::{self, Look};
use super::memory::Kind;
use super::request::{Planned, Request, UserChange};
use super::{Phase, Reconciler, VERSIONS_MAX};
use crate::genesys_cloud::retry::{backoff_ms, retry_after_ms};

impl Reconciler {
    /// Takes the answer to the last call. `jitter` is a uniform random number of 0 to 1.
    pub fn answered(&mut self, heard: Heard, now_ms: i64, jitter: f64) {
        match heard {
            Heard::Unclear { why } => {
                self.attempts += 1;
                self.fail(why, now_ms, jitter);
                if self.is_source_unclear() {
                    // Sources may share a name: a second one would be made.
                    self.phase = Phase::Lists(look::everything());
                    self.actual = super::Actual::default();
                }
                return;
            }
            Heard::Later { why } => return self.fail(why, now_ms, jitter),
            Heard::Limited { retry_after_s } => {
                self.not_before_ms = now_ms.saturating_add(retry_after_ms(retry_after_s));
                return;
            }
            Heard::Done(_)
            | Heard::Exists
            | Heard::Outdated
            | Heard::Gone
            | Heard::Refused { .. } => {}
        }
        match &self.phase {
            Phase::Lists(_) | Phase::Looks(_) => self.seen(&heard, now_ms, jitter),
            Phase::Work => self.sent(&heard, now_ms),
            // What has changed meanwhile is looked at anew.
            Phase::Rest | Phase::Foreign => {}
        }
    }

    fn fail(&mut self, why: String, now_ms: i64, jitter: f64) {
        self.failures += 1;
        self.not_before_ms = now_ms.saturating_add(backoff_ms(self.failures, jitter));
        self.blocked = Some(why);
    }

    fn is_source_unclear(&self) -> bool {
        self.phase == Phase::Work
            && self.requests.front().is_some_and(|planned| {
                planned.request == Request::Create
                    && DesiredKind::of_key(&planned.key) == Some(DesiredKind::Source)
            })
    }

    fn seen(&mut self, heard: &Heard, now_ms: i64, jitter: f64) {
        let (Phase::Lists(looks) | Phase::Looks(looks)) = &mut self.phase else { return };
        let Some(look) = looks.pop_front() else { return };
        match heard {
            Heard::Done(body) if look.fits(body) => {
                let next = look.take(body, &mut self.actual);
                if let Some(next) = next {
                    looks.push_front(next);
                }
            }
            Heard::Gone
                if matches!(look, Look::ById(..) | Look::Members(..) | Look::QueueCodes(..)) =>
            {
                look.gone(&mut self.actual);
            }
            Heard::Done(_)
            | Heard::Exists
            | Heard::Outdated
            | Heard::Gone
            | Heard::Refused { .. }
            | Heard::Unclear { .. }
            | Heard::Later { .. }
            | Heard::Limited { .. } => {
                // What follows the path may name a person.
                let path = look.call().path;
                let path = path.split('?').next().unwrap_or_default();
                let why = format!("GET {path}: {}", code(heard).1);
                looks.push_front(look);
                return self.fail(why, now_ms, jitter);
            }
        }
        (self.failures, self.blocked) = (0, None);
    }

    fn sent(&mut self, heard: &Heard, now_ms: i64) {
        let Some(planned) = self.requests.front().cloned() else { return };
        (self.failures, self.blocked) = (0, None);
        let is_first_half =
            matches!(planned.request, Request::ChangeQueue(_)) && self.half.is_none();
        if let (Heard::Done(body), true) = (heard, is_first_half) {
            self.half = Some(body.clone());
            return;
        }
        self.requests.pop_front();
        self.half = None;
        self.attempts += 1;
        let deletes = matches!(
            planned.request,
            Request::DeleteQueue | Request::RemoveSkill(_) | Request::RemoveCode(_)
        );
        match heard {
            Heard::Done(body) => self.apply(&planned, body, now_ms),
            Heard::Gone if deletes => self.apply(&planned, &Value::Null, now_ms),
            Heard::Exists if self.sought.insert(planned.key.clone()) => {
                let named = self.desired.get(&planned.key);
                let look = named.map(|it| Look::Named(it.kind(), it.name().to_owned()));
                self.look_at(look);
            }
            Heard::Outdated if self.may_repeat(&planned.key) => self.look_again(&planned),
            Heard::Exists
            | Heard::Outdated
            | Heard::Gone
            | Heard::Refused { .. }
            | Heard::Unclear { .. }
            | Heard::Later { .. }
            | Heard::Limited { .. } => self.refused(planned, heard, now_ms),
        }
        self.attempts = 0;
    }

    /// It is not sent again before the next look at everything.
    fn refused(&mut self, planned: Planned, heard: &Heard, now_ms: i64) {
        let (status, text) = code(heard);
        let (action, reason) = (planned.request.action(), status.map(|it| it.to_string()));
        let refused = OutcomeStatus::Refused;
        self.tell(&planned.key, refused, Some(action), Some(&text), reason, now_ms);
        if *heard == Heard::Gone {
            self.look_again(&planned);
        }
        self.failed.insert(planned);
    }

    fn may_repeat(&mut self, key: &str) -> bool {
        let count = self.versions.entry(key.to_owned()).or_default();
        *count += 1;
        *count <= VERSIONS_MAX
    }

    /// Looks at the object of a request, which is no longer what it was.
    fn look_again(&mut self, planned: &Planned) {
        let kind = DesiredKind::of_key(&planned.key);
        let id = self.memory.objects.get(&planned.key).and_then(|bound| bound.id.clone());
        self.look_at(kind.zip(id).map(|(kind, id)| Look::ById(kind, id)));
    }

    fn look_at(&mut self, look: Option<Look>) {
        if let Some(look) = look {
            self.phase = Phase::Looks([look].into());
        }
    }

    /// What was sent has happened.
    fn apply(&mut self, planned: &Planned, body: &Value, now_ms: i64) {
        let Planned { key, request } = planned;
        self.done += 1;
        if *request == Request::Create {
            self.created(key, body);
        } else {
            self.changed(planned, body);
        }
        self.tell(key, OutcomeStatus::Accepted, Some(request.action()), None, None, now_ms);
        if *request == Request::DeleteQueue {
            self.drop_object(key);
        } else {
            self.sync_rows(key);
        }
    }

    fn created(&mut self, key: &str, body: &Value) {
        let Some(object) = self.desired.get(key) else { return };
        let Some(id) = super::actual::id(body) else {
            // Made, but nobody said under which id: it is looked for by its name.
            let look = Look::Named(object.kind(), object.name().to_owned());
            return self.look_at(Some(look));
        };
        look::put(object.kind(), body, &mut self.actual);
        if let Some(queue) = self.actual.queues.get_mut(&id) {
            queue.members.get_or_insert_default();
            queue.codes.get_or_insert_default();
        }
        let bound = self.memory.objects.entry(key.to_owned()).or_default();
        bound.id = Some(id);
        bound.is_deleted = false;
        if let DesiredObject::User(user) = object {
            bound.kind = Some(Kind::from(user.kind));
        }
    }

    fn changed(&mut self, planned: &Planned, body: &Value) {
        let Planned { key, request } = planned;
        let Some(bound) = self.memory.objects.get_mut(key) else { return };
        let Some(id) = bound.id.clone() else { return };
        if *request == Request::SetPrimarySource {
            bound.is_owed = false;
            return;
        }
        if let (Request::AddRoles(_), Some(DesiredObject::User(user))) =
            (request, self.desired.get(key))
        {
            bound.kind = Some(Kind::from(user.kind));
        }
        let id_of = |key: &String| self.memory.objects.get(key)?.id.clone();
        let code = |name: &String| id_of(&DesiredKind::WrapUpCode.key(name));
        if let Some(user) = self.actual.users.get_mut(&id) {
            match request {
                Request::ChangeUser(changes) => match super::actual::user(body) {
                    Some((_, changed)) => *user = changed,
                    None => change(user, changes),
                },
                Request::AddRoles(names) => {
                    user.roles.extend(names.iter().map(|name| name.to_lowercase()));
                    user.version.clear();
                }
                Request::SetSkills(skills) => {
                    let skills = skills.iter().map(|(name, tenths)| (name.to_lowercase(), *tenths));
                    user.skills.extend(skills);
                    user.version.clear();
                }
                Request::RemoveSkill(name) => {
                    user.skills.remove(&name.to_lowercase());
                    user.version.clear();
                }
                Request::Create
                | Request::SetPrimarySource
                | Request::ChangeQueue(_)
                | Request::DeleteQueue
                | Request::AddMembers(_)
                | Request::RemoveMembers(_)
                | Request::AddCodes(_)
                | Request::RemoveCode(_) => {}
            }
        }
        if matches!(request, Request::ChangeQueue(_)) {
            look::put(DesiredKind::Queue, body, &mut self.actual);
        }
        let Some(queue) = self.actual.queues.get_mut(&id) else { return };
        let members = queue.members.get_or_insert_default();
        match request {
            Request::AddMembers(keys) => members.extend(keys.iter().filter_map(id_of)),
            Request::RemoveMembers(ids) => members.retain(|id| !ids.contains(id)),
            Request::AddCodes(names) => {
                let ids = names.iter().filter_map(code);
                queue.codes.get_or_insert_default().extend(ids);
            }
            Request::RemoveCode(code) => drop(queue.codes.get_or_insert_default().remove(code)),
            Request::DeleteQueue => drop(self.actual.queues.remove(&id)),
            Request::Create
            | Request::ChangeUser(_)
            | Request::AddRoles(_)
            | Request::SetSkills(_)
            | Request::RemoveSkill(_)
            | Request::SetPrimarySource
            | Request::ChangeQueue(_) => {}
        }
    }
}

fn change(user: &mut super::actual::User, changes: &[UserChange]) {
    user.version.clear();
    for change in changes {
        match change {
            UserChange::UserName(text) => user.user_name.clone_from(text),
            UserChange::DisplayName(text) => user.display_name.clone_from(text),
            UserChange::ExternalId(text) => user.external_id.clone_from(text),
            UserChange::Active(flag) => user.active = *flag,
            UserChange::EMail(text) => user.emails = vec![text.clone()],
        }
    }
}

/// Status and code of a refusal, for outcomes.
fn code(heard: &Heard) -> (Option<u16>, String) {
    match heard {
        Heard::Refused { status, code } if code.is_empty() => (Some(*status), status.to_string()),
        Heard::Refused { status, code } => (Some(*status), code.clone()),
        Heard::Exists => (None, "conflict".to_owned()),
        Heard::Outdated => (None, "version_conflict".to_owned()),
        Heard::Gone => (None, "not_found".to_owned()),
        Heard::Done(_) => (None, "the answer is none to the question".to_owned()),
        Heard::Unclear { .. } | Heard::Later { .. } | Heard::Limited { .. } => {
            (None, String::new())
        }
    }
}
