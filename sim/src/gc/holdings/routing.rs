//! Skills, wrap-up codes, queues, their members and codes.

use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::org::Request;
use super::super::schema::{check, check_list};
use super::{
    Code, Done, HOME, Objects, Queue, Refusal, Skill, is_taken, listing, not_found, nothing, page,
    page_of, parameter, parameters, parse, refuse, shapes, text,
};

/// Members or codes a request may name.
const BATCH_MAX: usize = 100;
/// When every object was made: nobody looks.
const THEN: &str = "2024-01-01T00:00:00.000Z";

impl Objects {
    pub(super) fn routing(&mut self, request: &Request, rest: &[&str]) -> Done {
        match (request.method.as_str(), rest) {
            ("GET", ["skills"]) => {
                let body = |id: &str, skill: &Skill| named(id, &skill.name);
                listing(request, &self.holdings.skills, |skill| &skill.name, body)
            }
            ("GET", ["skills", id]) => {
                let skill = self.holdings.skills.get(*id).ok_or_else(not_found)?;
                Ok(Answer::json(200, &named(id, &skill.name)))
            }
            ("POST", ["skills"]) => self.create_skill(request),
            ("GET", ["wrapupcodes"]) => {
                let body = |id: &str, code: &Code| named(id, &code.name);
                listing(request, &self.holdings.codes, |code| &code.name, body)
            }
            ("GET", ["wrapupcodes", id]) => {
                let code = self.holdings.codes.get(*id).ok_or_else(not_found)?;
                Ok(Answer::json(200, &named(id, &code.name)))
            }
            ("POST", ["wrapupcodes"]) => self.create_code(request),
            ("GET", ["queues"]) => self.list_queues(request),
            ("POST", ["queues"]) => self.put_queue(request, None),
            ("GET", ["queues", id]) => {
                let queue = self.holdings.queues.get(*id).ok_or_else(not_found)?;
                Ok(Answer::json(200, &queue_body(id, queue)))
            }
            ("PUT", ["queues", id]) => self.put_queue(request, Some(id)),
            ("DELETE", ["queues", id]) => {
                self.holdings.queues.remove(*id).ok_or_else(not_found)?;
                Ok(nothing(200))
            }
            ("DELETE", ["queues", id, "wrapupcodes", code]) => {
                let queue = self.holdings.queues.get_mut(*id).ok_or_else(no_queue)?;
                if queue.codes.remove(*code) { Ok(nothing(200)) } else { Err(not_found()) }
            }
            (_, ["queues", id, part]) => self.queue_part(request, id, part),
            _ => Err(not_found()),
        }
    }

    fn create_skill(&mut self, request: &Request) -> Done {
        let body = parse(request)?;
        let object = check(&body, "CreateRoutingSkill", &[shapes::SKILL], "skill")?;
        let name = text(object, "name").unwrap_or_default();
        if is_taken(&self.holdings.skills, |skill| &skill.name, &name, None) {
            return Err(refuse(409, "general.conflict", "a skill has that name"));
        }
        let id = self.id_of("skill", &name);
        let answer = Answer::json(200, &named(&id, &name));
        self.holdings.skills.insert(id, Skill { name });
        Ok(answer)
    }

    fn create_code(&mut self, request: &Request) -> Done {
        let body = parse(request)?;
        let object = check(&body, "WrapupCodeRequest", &[shapes::CODE], "code")?;
        let name = text(object, "name").unwrap_or_default();
        if is_taken(&self.holdings.codes, |code| &code.name, &name, None) {
            return Err(duplicate("wrapup code"));
        }
        let id = self.id_of("code", &name);
        let answer = Answer::json(200, &named(&id, &name));
        self.holdings.codes.insert(id, Code { name });
        Ok(answer)
    }

    fn list_queues(&self, request: &Request) -> Done {
        let peers = parameters(request, "peerId");
        let is_asked = |queue: &Queue| {
            peers.is_empty() || queue.peer_id.as_ref().is_some_and(|peer| peers.contains(peer))
        };
        let queues = self.holdings.queues.iter().filter(|(_, queue)| is_asked(queue));
        let queues = queues.map(|(id, queue)| (id.clone(), queue.clone())).collect();
        listing(request, &queues, |queue| &queue.name, queue_body)
    }

    /// Creates a queue, or replaces all its parameters: what a request leaves out is gone.
    fn put_queue(&mut self, request: &Request, id: Option<&str>) -> Done {
        let body = parse(request)?;
        let object = check(&body, "QueueRequest", &[shapes::QUEUE], "queue")?;
        let name = text(object, "name").unwrap_or_default();
        if name.trim().is_empty() {
            return Err(refuse(400, "invalid.name", "Invalid queue name specified."));
        }
        if is_taken(&self.holdings.queues, |queue| &queue.name, &name, id) {
            return Err(duplicate("queue"));
        }
        let old = match id {
            Some(id) => self.holdings.queues.get(id).ok_or_else(not_found)?.clone(),
            None => Queue::default(),
        };
        let own = ["name", "description", "peerId", "division", "dateCreated", "dateModified"];
        let settings = object.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        let queue = Queue {
            name,
            description: text(object, "description"),
            peer_id: text(object, "peerId"),
            settings: settings.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..old
        };
        let id = id.map_or_else(|| self.id_of("queue", &queue.name), str::to_owned);
        let answer = Answer::json(200, &queue_body(&id, &queue));
        self.holdings.queues.insert(id, queue);
        Ok(answer)
    }

    fn queue_part(&mut self, request: &Request, id: &str, part: &str) -> Done {
        let queue = self.holdings.queues.get(id).ok_or_else(no_queue)?;
        match (request.method.as_str(), part) {
            ("GET", "members") => {
                let body = |id: &String| {
                    let name = self.holdings.users.get(id).map(|user| &user.display_name);
                    json!({ "id": id, "name": name, "memberBy": "user", "joined": true })
                };
                let mut listed = page_of(request, queue.members.iter().map(body).collect(), 100)?;
                // The one listing that says neither (swagger, `QueueMemberEntityListing`).
                if let Some(listed) = listed.as_object_mut() {
                    listed.retain(|name, _| name != "total" && name != "pageCount");
                }
                Ok(Answer::json(200, &listed))
            }
            ("GET", "wrapupcodes") => {
                let body = |id: &String| {
                    let name = self.holdings.codes.get(id).map(|code| code.name.as_str());
                    named(id, name.unwrap_or_default())
                };
                page(request, queue.codes.iter().map(body).collect())
            }
            ("POST", "members") => {
                let ids = references(request)?;
                if ids.iter().any(|id| !self.holdings.users.contains_key(id)) {
                    return Err(refuse(404, "resource.not.found", "no such user"));
                }
                let queue = self.holdings.queues.get_mut(id).ok_or_else(no_queue)?;
                if parameter(request, "delete").as_deref() == Some("true") {
                    queue.members.retain(|id| !ids.contains(id));
                } else {
                    queue.members.extend(ids);
                }
                Ok(nothing(200))
            }
            ("POST", "wrapupcodes") => {
                let ids = references(request)?;
                if ids.iter().any(|id| !self.holdings.codes.contains_key(id)) {
                    return Err(refuse(404, "resource.not.found", "no such code"));
                }
                let queue = self.holdings.queues.get_mut(id).ok_or_else(no_queue)?;
                queue.codes.extend(ids);
                Ok(Answer::json(200, &json!([])))
            }
            _ => Err(not_found()),
        }
    }
}

/// The ids a batch names.
fn references(request: &Request) -> Result<Vec<String>, Refusal> {
    let body = parse(request)?;
    let items = check_list(&body, "WritableEntity", shapes::REFERENCE, "items")?;
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(refuse(400, "bad.request", "1 to 100 items"));
    }
    Ok(items.into_iter().filter_map(|item| text(item, "id")).collect())
}

fn duplicate(kind: &str) -> Refusal {
    refuse(400, "duplicate.name", format!("A {kind} with this name already exists."))
}

fn no_queue() -> Refusal {
    refuse(404, "resource.not.found", "The specified queue was not found.")
}

fn named(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "state": "active" })
}

fn queue_body(id: &str, queue: &Queue) -> Value {
    let mut body = json!({
        "id": id, "name": queue.name, "memberCount": queue.members.len(),
        "userMemberCount": queue.members.len(), "dateCreated": THEN, "dateModified": THEN,
        "division": { "id": HOME, "name": "Home", "selfUri": "/api/v2/authorization/divisions" },
        "selfUri": format!("/api/v2/routing/queues/{id}"),
    });
    if let Some(body) = body.as_object_mut() {
        body.extend(queue.settings.iter().map(|(name, value)| (name.clone(), value.clone())));
        let own = [("description", &queue.description), ("peerId", &queue.peer_id)];
        for (name, value) in own {
            if let Some(value) = value {
                body.insert(name.to_owned(), json!(value));
            }
        }
    }
    body
}
