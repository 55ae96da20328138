use super::*;

fn ask(objects: &mut Objects, line: &str, body: &Value) -> (u16, Value) {
    let (method, address) = line.split_once(' ').expect("a method and an address");
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let (query, if_match) = match query.split_once("&if=") {
        Some((query, version)) => (query, Some(format!("\"{version}\""))),
        None => (query, None),
    };
    let request = Request {
        method: method.to_owned(),
        path: format!("/api/v2/{path}"),
        query: query.to_owned(),
        if_match,
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        ..Request::default()
    };
    let answer = objects.answer(1, &request);
    let body = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status.expect("an answer"), body)
}

fn patch(path: &str, value: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": path, "value": value }] })
}

/// The id of what a request made.
fn made(objects: &mut Objects, line: &str, body: &Value) -> String {
    let (status, answer) = ask(objects, line, body);
    assert!(matches!(status, 200 | 201), "{line}: {status} {answer}");
    answer["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_user_is_made_with_roles_and_skills_and_found_when_it_is_inactive() {
    let mut objects = Objects::default();
    let o = &mut objects;
    made(o, "POST routing/skills", &json!({ "name": "English" }));
    let genesys = scim::GENESYS;
    let user = json!({
        "userName": "a@b.co", "displayName": "A", "externalId": "101_a", "active": false,
        "emails": [{ "value": "m@b.co", "type": "work", "primary": true }],
        "roles": [{ "value": "Employee" }, { "value": "User" }],
        genesys: { "routingSkills": [{ "name": "English", "proficiency": 2.8 }] },
    });
    let id = made(o, "POST scim/v2/users", &user);
    let held = o.holdings.users[&id].clone();
    assert_eq!((held.user_name.as_str(), held.active, held.version), ("a@b.co", false, 1));
    assert_eq!(held.roles.len(), 2);
    assert_eq!(held.skills.into_values().collect::<Vec<_>>(), [28]);
    for (filter, found) in [
        ("", 0),
        ("?filter=active%20eq%20false", 1),
        ("?filter=userName%20eq%20%22A@B.CO%22", 1),
        ("?filter=externalId+eq+101_a", 1),
        ("?filter=externalId+eq+101_A", 0),
    ] {
        let (status, body) = ask(o, &format!("GET scim/v2/users{filter}"), &Value::Null);
        assert_eq!((status, &body["totalResults"]), (200, &json!(found)), "{filter}");
    }
    let (status, body) = ask(o, "POST scim/v2/users", &user);
    assert_eq!((status, &body["scimType"]), (409, &json!("uniqueness")));
}

#[test]
fn a_change_for_an_old_version_is_refused() {
    let mut objects = Objects::default();
    let o = &mut objects;
    let id = made(o, "POST scim/v2/users", &json!({ "userName": "a@b.co", "displayName": "A" }));
    let line = |version: u32| format!("PATCH scim/v2/users/{id}?&if={version}");
    assert_eq!(ask(o, &line(1), &patch("displayName", &json!("B"))).0, 200);
    let (status, body) = ask(o, &line(1), &patch("active", &json!(false)));
    assert_eq!((status, &body["scimType"]), (400, &json!("invalidVers")));
    assert_eq!(ask(o, &line(2), &patch("active", &json!(false))).0, 200);
    let user = &o.holdings.users[&id];
    assert_eq!((user.display_name.as_str(), user.active, user.version), ("B", false, 3));
    o.change(|holdings| drop(holdings.users.remove(&id)));
    assert_eq!(ask(o, &line(3), &patch("active", &json!(true))).0, 404);
}

#[test]
fn names_are_unique_without_regard_to_case_and_bodies_are_strict() {
    let mut objects = Objects::default();
    let o = &mut objects;
    for (path, name) in
        [("routing/skills", "Skill"), ("routing/wrapupcodes", "Code"), ("routing/queues", "Queue")]
    {
        let line = format!("POST {path}");
        made(o, &line, &json!({ "name": name }));
        let (status, body) = ask(o, &line, &json!({ "name": name.to_uppercase() }));
        let conflict = if path == "routing/skills" { 409 } else { 400 };
        assert_eq!(status, conflict, "{path}: {body}");
        let (status, body) = ask(o, &line, &json!({ "name": "Other", "id": "x" }));
        assert_eq!((status, &body["code"]), (400, &json!("invalid.property")), "{path}");
        assert_eq!(ask(o, &line, &json!({})).0, 400, "{path}");
        let (_, body) = ask(o, &format!("GET {path}?name=qu*"), &Value::Null);
        assert_eq!(body["total"], json!(i32::from(name == "Queue")), "{path}");
    }
    assert_eq!(o.holdings.counts, Counts { reads: 3, writes: 12, refused: 9 });
}

#[test]
fn a_queue_is_replaced_whole_and_keeps_members_and_codes() {
    let mut objects = Objects::default();
    let o = &mut objects;
    let queue = json!({ "name": "Q", "peerId": "7", "acwSettings": { "timeoutMs": 9 } });
    let id = made(o, "POST routing/queues", &queue);
    let user = made(o, "POST scim/v2/users", &json!({ "userName": "a@b.co", "displayName": "A" }));
    let code = made(o, "POST routing/wrapupcodes", &json!({ "name": "Done" }));
    let line = |part: &str| format!("POST routing/queues/{id}/{part}");
    assert_eq!(ask(o, &line("members"), &json!([{ "id": user }])).0, 200);
    assert_eq!(ask(o, &line("wrapupcodes"), &json!([{ "id": code }])).0, 200);
    let other = json!({ "userName": "b@b.co", "displayName": "B" });
    let other = made(o, "POST scim/v2/users", &other);
    assert_eq!(ask(o, &line("members"), &json!([{ "id": other }])).0, 200);
    let listing = format!("routing/queues/{id}/members?pageSize=1&pageNumber=");
    for (number, next) in [(1, json!(format!("/api/v2/{listing}2"))), (2, Value::Null)] {
        let (_, body) = ask(o, &format!("GET {listing}{number}"), &Value::Null);
        assert_eq!(body["entities"].as_array().map(Vec::len), Some(1));
        assert_eq!((&body["nextUri"], body.get("total")), (&next, None), "{body}");
    }
    let remove = format!("{}?delete=true", line("members"));
    assert_eq!(ask(o, &remove, &json!([{ "id": other }])).0, 200);
    let many: Vec<Value> = (0..101).map(|_| json!({ "id": user })).collect();
    assert_eq!(ask(o, &line("members"), &json!(many)).0, 400);
    let put = format!("PUT routing/queues/{id}");
    assert_eq!(ask(o, &put, &json!({ "name": "Q2", "description": "D" })).0, 200);
    let held = o.holdings.queues[&id].clone();
    assert_eq!((held.name.as_str(), held.peer_id, held.settings.len()), ("Q2", None, 0));
    assert_eq!((held.members.len(), held.codes.len()), (1, 1));
    let taken = format!("DELETE routing/queues/{id}/wrapupcodes/{code}");
    assert_eq!([200, 404].map(|_| ask(o, &taken, &Value::Null).0), [200, 404]);
    assert_eq!(ask(o, &line("members?delete=true"), &json!([{ "id": user }])).0, 200);
    assert!(o.holdings.queues[&id].members.is_empty());
}

#[test]
fn listings_come_in_pages() {
    let mut objects = Objects::default();
    let o = &mut objects;
    for number in 0..30 {
        made(o, "POST routing/skills", &json!({ "name": format!("S{number:02}") }));
        let user = json!({ "userName": format!("u{number:02}@b.co"), "displayName": "U" });
        made(o, "POST scim/v2/users", &user);
    }
    for (line, list, length, first) in [
        ("GET routing/skills", "entities", 25, "S00"),
        ("GET routing/skills?pageNumber=2", "entities", 5, "S25"),
        ("GET routing/skills?pageSize=100&pageNumber=1", "entities", 30, "S00"),
        ("GET scim/v2/users?startIndex=26&count=25", "Resources", 5, "u25@b.co"),
    ] {
        let (status, body) = ask(o, line, &Value::Null);
        let list = body[list].as_array().expect("a list");
        assert_eq!((status, list.len()), (200, length), "{line}");
        let name = list[0].get("userName").unwrap_or(&list[0]["name"]);
        assert_eq!(name, &json!(first), "{line}");
    }
    assert_eq!(ask(o, "GET routing/skills?pageSize=101", &Value::Null).0, 400);
    assert_eq!(ask(o, "GET scim/v2/users?count=26", &Value::Null).0, 400);
}

#[test]
fn roles_and_skills_are_added_and_a_skill_is_taken_away() {
    let mut objects = Objects::default();
    let o = &mut objects;
    let user = made(o, "POST scim/v2/users", &json!({ "userName": "a@b.co", "displayName": "A" }));
    let skill = made(o, "POST routing/skills", &json!({ "name": "S" }));
    let (_, roles) = ask(o, "GET authorization/roles?name=supervisor", &Value::Null);
    let role = &roles["entities"][0]["id"];
    let (_, home) = ask(o, "GET authorization/divisions/home", &Value::Null);
    let grant =
        |division: &Value| json!({ "grants": [{ "roleId": role, "divisionId": division }] });
    let line = format!("POST authorization/subjects/{user}/bulkadd");
    assert_eq!(ask(o, &line, &grant(&home["id"])).0, 204);
    assert_eq!(ask(o, &line, &grant(&json!(user))).0, 400);
    let bulk = format!("PATCH users/{user}/routingskills/bulk");
    for (tenths, status) in [(5.0, 200), (5.1, 400)] {
        let body = json!([{ "id": skill, "proficiency": tenths }]);
        assert_eq!(ask(o, &bulk, &body).0, status, "{tenths}");
    }
    let held = &o.holdings.users[&user];
    assert_eq!((held.roles.len(), held.skills.get(&skill)), (1, Some(&50)));
    let line = format!("DELETE users/{user}/routingskills/{skill}");
    assert_eq!(ask(o, &line, &Value::Null).0, 200);
    assert_eq!(ask(o, &line, &Value::Null).0, 404);
    let source = made(o, "POST presence/sources", &json!({ "name": "Engage" }));
    let line = format!("PUT presence/users/{user}/primarysource");
    assert_eq!(ask(o, &line, &json!({ "sourceId": source })).0, 200);
    assert_eq!(ask(o, &line, &json!({ "sourceId": user })).0, 404);
    assert_eq!(o.holdings.users[&user].primary_source, Some(source));
}

#[test]
fn users_are_listed_by_state_with_what_is_asked_for() {
    let mut objects = Objects::default();
    let o = &mut objects;
    made(o, "POST routing/skills", &json!({ "name": "English" }));
    let mut ids = Vec::new();
    for (name, active) in [("b", true), ("a", true), ("c", false)] {
        let user = json!({
            "userName": format!("{name}@b.co"), "displayName": name.to_uppercase(),
            "active": active, "roles": [{ "value": "User" }],
            "emails": [{ "value": "m@b.co", "type": "work", "primary": true }],
            scim::GENESYS: { "routingSkills": [{ "name": "English", "proficiency": 2.8 }] },
        });
        ids.push(made(o, "POST scim/v2/users", &user));
    }
    let (b, c) = (ids[0].clone(), ids[2].clone());
    for (query, found) in [
        ("", "A B"),
        ("?state=active", "A B"),
        ("?state=inactive", "C"),
        ("?state=deleted", ""),
        ("?state=any", "A B C"),
        ("?state=any&sortOrder=descending", "C B A"),
        ("?state=any&pageSize=2", "A B"),
        ("?state=any&pageSize=2&pageNumber=2", "C"),
        ("?pageSize=500", "A B"),
        (format!("?id={b}&id={c}").as_str(), "B"),
        (format!("?state=any&id={b},{c}").as_str(), "B C"),
    ] {
        let (status, body) = ask(o, &format!("GET users{query}"), &Value::Null);
        let users = body["entities"].as_array().expect("a listing");
        let names: Vec<_> = users.iter().filter_map(|user| user["name"].as_str()).collect();
        assert_eq!((status, names.join(" ").as_str()), (200, found), "{query}");
        assert!(users.iter().all(|user| user.get("skills").is_none()), "{query}");
    }
    let line = "GET users?expand=skills,authorization&expand=station";
    let (_, body) = ask(o, line, &Value::Null);
    let user = &body["entities"][0];
    assert_eq!((&user["email"], &user["state"]), (&json!("a@b.co"), &json!("active")));
    assert_eq!(user["skills"][0]["name"], "English");
    assert_eq!(user["skills"][0]["proficiency"], json!(2.8));
    assert_eq!(user["authorization"]["roles"][0]["name"], "User");
    assert_eq!(user["primaryContactInfo"][0]["address"], "m@b.co");
    let many = format!("?id={}", vec![b; 101].join("&id="));
    for (query, status, code) in [
        ("?state=gone", 400, "invalid.query.param.value"),
        ("?sortOrder=asc", 400, "invalid.query.param.value"),
        ("?expand=everything", 400, "invalid.query.param.value"),
        ("?pageSize=501", 400, "invalid.query.param.value"),
        ("?id=nobody", 404, "general.resource.not.found"),
        (many.as_str(), 400, "max.user.ids"),
    ] {
        let (given, body) = ask(o, &format!("GET users{query}"), &Value::Null);
        assert_eq!((given, &body["code"]), (status, &json!(code)), "{query}");
    }
    assert_eq!(ask(o, "POST users", &json!({})).0, 404);
}
