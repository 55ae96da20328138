//! What users are given: roles, skills and a primary presence source; and the sources, roles and
//! divisions themselves.

use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::org::Request;
use super::super::schema::{check, check_list};
use super::scim::tenths;
use super::{
    Done, HOME, Objects, Source, User, listing, not_found, nothing, page, parse, refuse, shapes,
    text,
};

/// Skills a request may name.
const SKILLS_MAX: usize = 50;
/// Characters of the name of a source.
const SOURCE_NAME_MAX: usize = 200;

impl Objects {
    pub(super) fn subjects(&mut self, request: &Request, parts: &[&str]) -> Done {
        match (request.method.as_str(), parts) {
            ("GET", ["authorization", "divisions", "home"]) => {
                let body = json!({ "id": HOME, "name": "Home", "homeDivision": true });
                Ok(Answer::json(200, &body))
            }
            ("GET", ["authorization", "roles"]) => {
                let body = |id: &str, role: &super::Role| json!({ "id": id, "name": role.name });
                listing(request, &self.holdings.roles, |role| &role.name, body)
            }
            ("POST", ["authorization", "subjects", user, "bulkadd"]) => self.grant(request, user),
            ("GET", ["presence", "sources"]) => {
                let sources = self.holdings.sources.iter();
                let sources: Vec<Value> = sources.map(|(id, it)| source_body(id, it)).collect();
                Ok(Answer::json(200, &json!({ "total": sources.len(), "entities": sources })))
            }
            ("GET", ["presence", "sources", id]) => {
                let source = self.holdings.sources.get(*id).ok_or_else(not_found)?;
                Ok(Answer::json(200, &source_body(id, source)))
            }
            ("POST", ["presence", "sources"]) => self.put_source(request, None),
            ("PUT", ["presence", "sources", id]) => self.put_source(request, Some(id)),
            ("GET", ["presence", "users", user, "primarysource"]) => {
                let user = self.holdings.users.get(*user).ok_or_else(not_found)?;
                Ok(Answer::json(200, &json!({ "sourceId": user.primary_source })))
            }
            ("PUT", ["presence", "users", user, "primarysource"]) => {
                self.set_primary_source(request, user)
            }
            ("GET", ["users", user, "routingskills"]) => self.user_skills(request, user),
            ("PATCH", ["users", user, "routingskills", "bulk"]) => self.add_skills(request, user),
            ("DELETE", ["users", user, "routingskills", skill]) => {
                let user = self.user(user)?;
                user.skills.remove(*skill).ok_or_else(not_found)?;
                user.version += 1;
                Ok(nothing(200))
            }
            _ => Err(not_found()),
        }
    }

    fn user(&mut self, id: &str) -> Result<&mut User, super::Refusal> {
        self.holdings.users.get_mut(id).ok_or_else(not_found)
    }

    fn grant(&mut self, request: &Request, user: &str) -> Done {
        let body = parse(request)?;
        check(&body, "RoleDivisionGrants", &[shapes::GRANTS], "grants")?;
        let grants = body["grants"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut roles = Vec::new();
        for grant in grants {
            let role = grant["roleId"].as_str().unwrap_or_default();
            if grant["divisionId"] != HOME || !self.holdings.roles.contains_key(role) {
                let text = "Invalid role divisions in request.";
                return Err(refuse(400, "bad.role.divisions", text));
            }
            roles.push(role.to_owned());
        }
        let user = self.user(user)?;
        user.roles.extend(roles);
        user.version += 1;
        Ok(nothing(204))
    }

    fn put_source(&mut self, request: &Request, id: Option<&str>) -> Done {
        let body = parse(request)?;
        let object = check(&body, "Source", &[shapes::SOURCE], "source")?;
        let name = text(object, "name").unwrap_or_default();
        if name.trim().is_empty() || name.chars().count() > SOURCE_NAME_MAX {
            let code = "presenceservice.source.namecannotbeblank";
            return Err(refuse(409, code, "A name must be provided for a source"));
        }
        let source = Source { name, description: text(object, "description") };
        let id = match id {
            Some(id) if !self.holdings.sources.contains_key(id) => return Err(not_found()),
            Some(id) => id.to_owned(),
            None => self.id_of("source", &source.name),
        };
        let answer = Answer::json(200, &source_body(&id, &source));
        self.holdings.sources.insert(id, source);
        Ok(answer)
    }

    fn set_primary_source(&mut self, request: &Request, user: &str) -> Done {
        let body = parse(request)?;
        let object = check(&body, "UserPrimarySource", &[shapes::PRIMARY_SOURCE], "source")?;
        let source = text(object, "sourceId").unwrap_or_default();
        if !self.holdings.sources.contains_key(&source) {
            return Err(refuse(404, "presenceservice.source.sourcenotfound", "no such source"));
        }
        let user = self.user(user)?;
        user.primary_source = Some(source);
        Ok(Answer::json(200, &body))
    }

    fn user_skills(&self, request: &Request, user: &str) -> Done {
        let user = self.holdings.users.get(user).ok_or_else(not_found)?;
        let body = |(id, tenths): (&String, &u32)| {
            let name = self.holdings.skills.get(id).map(|skill| &skill.name);
            json!({ "id": id, "name": name, "proficiency": f64::from(*tenths) / 10.0 })
        };
        page(request, user.skills.iter().map(body).collect())
    }

    fn add_skills(&mut self, request: &Request, user: &str) -> Done {
        let body = parse(request)?;
        let skills = check_list(&body, "UserRoutingSkillPost", shapes::USER_SKILL, "skills")?;
        if skills.is_empty() || skills.len() > SKILLS_MAX {
            return Err(refuse(400, "bad.request", "1 to 50 skills"));
        }
        let mut given = Vec::new();
        for skill in skills {
            let id = text(skill, "id").unwrap_or_default();
            if !self.holdings.skills.contains_key(&id) {
                return Err(not_found());
            }
            given.push((id, tenths(&skill["proficiency"])));
        }
        let user = self.user(user)?;
        user.skills.extend(given);
        user.version += 1;
        Ok(Answer::json(200, &json!({ "total": user.skills.len() })))
    }
}

fn source_body(id: &str, source: &Source) -> Value {
    json!({
        "id": id, "name": source.name, "description": source.description, "type": "User",
        "deactivated": false, "selfUri": format!("/api/v2/presence/sources/{id}"),
    })
}
