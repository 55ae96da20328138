//! Tables: what is desired, what there is, what is known, and the requests that follow. The small
//! tenant of all tables: a source, two skills, a code, two users, a queue with both.

use std::collections::BTreeSet;

use serde_json::json;
use trunkline_schemas::desired::{self, Division, UserKind, UserSkill};
use trunkline_schemas::directory::DnAt;

use super::actual::{Queue, Source, User};
use super::memory::{Bound, Kind};
use super::*;

const ANN: &str = "user/ann@x.co";
const BOB: &str = "user/bob@x.co";
const SALES: &str = "queue/sales";

fn skill(name: &str, tenths: i32) -> UserSkill {
    UserSkill { name: name.to_owned(), proficiency_tenths: tenths }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn user(name: &str, dbid: i64, skills: &[UserSkill]) -> desired::User {
    desired::User {
        user_name: format!("{name}@x.co"),
        display_name: name.to_owned(),
        e_mail: None,
        external_id: format!("{dbid}_{name}"),
        active: true,
        kind: UserKind::Agent,
        roles: strings(&["Employee", "User"]),
        division: Division::Home,
        skills: skills.to_vec(),
        employee_ids: vec![name.to_uppercase()],
        persons: vec![dbid],
    }
}

fn queue() -> desired::Queue {
    desired::Queue {
        name: "Sales".to_owned(),
        description: "D".to_owned(),
        peer_id: "130".to_owned(),
        members: strings(&["ann@x.co", "bob@x.co"]),
        wrap_up_codes: strings(&["Resolved"]),
        dns: vec![DnAt { dn: "7".to_owned(), switch: "SW".to_owned() }],
        delete: false,
    }
}

fn desired() -> Desired {
    let skill_object = |name: &str| {
        DesiredObject::Skill(desired::Skill { name: name.to_owned(), skills: vec![1] })
    };
    let code = desired::WrapUpCode { name: "Resolved".to_owned(), values: strings(&["Resolved"]) };
    let objects = [
        DesiredObject::Source(desired::Source { name: "Engage".to_owned() }),
        skill_object("English"),
        skill_object("Sales"),
        DesiredObject::WrapUpCode(code),
        DesiredObject::User(user("ann", 101, &[skill("English", 28), skill("Sales", 50)])),
        DesiredObject::User(user("bob", 102, &[])),
        DesiredObject::Queue(queue()),
    ];
    objects.into_iter().map(|object| (object.key(), object)).collect()
}

fn there(name: &str, external_id: &str, skills: &[(&str, i32)]) -> User {
    User {
        user_name: format!("{name}@x.co"),
        display_name: name.to_owned(),
        external_id: external_id.to_owned(),
        active: true,
        emails: Vec::new(),
        roles: ["employee".to_owned(), "user".to_owned()].into(),
        skills: skills.iter().map(|(name, tenths)| ((*name).to_owned(), *tenths)).collect(),
        version: "1".to_owned(),
    }
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect()
}

fn ids(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|&id| id.to_owned()).collect()
}

/// An organisation with nothing of ours.
fn empty() -> Actual {
    Actual {
        org: "o".to_owned(),
        home: "h".to_owned(),
        roles: named(&[("r1", "employee"), ("r2", "User"), ("r3", "Supervisor")]),
        ..Actual::default()
    }
}

/// An organisation that is as desired.
fn full() -> Actual {
    let mut actual = empty();
    let source = Source { name: "Engage".to_owned(), description: "Engage tenant 1".to_owned() };
    actual.sources.insert("p".to_owned(), source);
    actual.skills = named(&[("s1", "English"), ("s2", "sales"), ("s3", "Chess")]);
    actual.codes = named(&[("c", "Resolved")]);
    let ann = there("ann", "101_ann", &[("english", 28), ("sales", 50), ("chess", 10)]);
    actual.users.insert("a".to_owned(), ann);
    actual.users.insert("b".to_owned(), there("bob", "102_bob", &[]));
    let queue = Queue {
        name: "Sales".to_owned(),
        description: "D".to_owned(),
        peer_id: "130".to_owned(),
        members: Some(ids(&["a", "b"])),
        codes: Some(ids(&["c", "c9"])),
    };
    actual.queues.insert("q".to_owned(), queue);
    actual
}

/// What is known after everything was made.
fn known() -> Memory {
    let mut memory = Memory::default();
    for (key, id) in [
        ("source/engage", "p"),
        ("skill/english", "s1"),
        ("skill/sales", "s2"),
        ("wrap-up-code/resolved", "c"),
        (ANN, "a"),
        (BOB, "b"),
        (SALES, "q"),
    ] {
        let kind = key.starts_with("user/").then_some(Kind::Agent);
        let bound = Bound { id: Some(id.to_owned()), kind, ..Bound::default() };
        memory.objects.insert(key.to_owned(), bound);
    }
    memory
}

/// The requests, one line each, after it was settled what is which.
fn lines(desired: &Desired, actual: &Actual, memory: &mut Memory) -> Vec<String> {
    bind::bind(desired, actual, memory, false);
    let line = |planned: Planned| {
        let Planned { key, request } = planned;
        format!("{} {key} {}", request.action(), request.fields().join(","))
    };
    let requests = plan::requests(desired, actual, memory);
    requests.into_iter().map(|planned| line(planned).trim_end().to_owned()).collect()
}

#[test]
fn from_empty_everything_is_made_in_the_order_of_dependencies() {
    let expected = [
        "create source/engage",
        "create skill/english",
        "create skill/sales",
        "create wrap-up-code/resolved",
        "create user/ann@x.co",
        "create user/bob@x.co",
        "set-primary-source user/ann@x.co",
        "set-primary-source user/bob@x.co",
        "create queue/sales",
        "add-members queue/sales user/ann@x.co,user/bob@x.co",
        "add-codes queue/sales Resolved",
    ];
    assert_eq!(lines(&desired(), &empty(), &mut Memory::default()), expected);
}

#[test]
fn what_is_as_desired_needs_nothing_whether_it_is_known_or_found_again() {
    assert_eq!(lines(&desired(), &full(), &mut known()), [""; 0]);
    let mut memory = Memory::default();
    assert_eq!(lines(&desired(), &full(), &mut memory), [""; 0]);
    assert_eq!(memory, known(), "everything is found by its name");
}

type Change =
    (&'static str, fn(&mut Desired), fn(&mut Actual), fn(&mut Memory), &'static [&'static str]);

fn of_user(desired: &mut Desired, change: impl FnOnce(&mut desired::User)) {
    if let Some(DesiredObject::User(user)) = desired.get_mut(ANN) {
        change(user);
    }
}

fn of_queue(desired: &mut Desired, change: impl FnOnce(&mut desired::Queue)) {
    if let Some(DesiredObject::Queue(queue)) = desired.get_mut(SALES) {
        change(queue);
    }
}

fn ann(actual: &mut Actual, change: impl FnOnce(&mut User)) {
    change(actual.users.get_mut("a").expect("ann"));
}

fn sales(actual: &mut Actual, change: impl FnOnce(&mut Queue)) {
    change(actual.queues.get_mut("q").expect("the queue"));
}

const CHANGES: &[Change] = &[
    // What the organisation changed is changed back.
    (
        "parameters of a user",
        |_| (),
        |actual| ann(actual, |it| (it.display_name, it.active) = ("Z".to_owned(), false)),
        |_| (),
        &["change user/ann@x.co displayName,active"],
    ),
    (
        "skills of a user: one of Engage too many, one missing, one with another level",
        |_| (),
        |actual| {
            ann(actual, |it| it.skills = [("english".to_owned(), 27)].into());
            let bob = actual.users.get_mut("b").expect("bob");
            bob.skills = [("sales".to_owned(), 5), ("chess".to_owned(), 5)].into();
        },
        |_| (),
        &["set-skills user/ann@x.co English=2.8,Sales=5.0", "remove-skill user/bob@x.co sales"],
    ),
    (
        "parameters, members and codes of a queue",
        |_| (),
        |actual| {
            sales(actual, |it| {
                it.description = "other".to_owned();
                it.members = Some(ids(&["b", "x"]));
                it.codes = Some(ids(&[]));
            });
        },
        |_| (),
        &[
            "change queue/sales description",
            "add-members queue/sales user/ann@x.co",
            "remove-members queue/sales x",
            "add-codes queue/sales Resolved",
        ],
    ),
    // What is gone in the organisation stays gone.
    (
        "a user, a skill and a queue deleted in the organisation",
        |_| (),
        |actual| {
            actual.users.remove("a");
            actual.skills.remove("s1");
            actual.queues.remove("q");
        },
        |_| (),
        &[],
    ),
    (
        "a queue deleted in the organisation and forgotten",
        |_| (),
        |actual| drop(actual.queues.remove("q")),
        |memory| drop(memory.objects.remove(SALES)),
        &[
            "create queue/sales",
            "add-members queue/sales user/ann@x.co,user/bob@x.co",
            "add-codes queue/sales Resolved",
        ],
    ),
    // Engage.
    (
        "a person that is gone",
        |desired| of_user(desired, |it| (it.active, it.persons) = (false, Vec::new())),
        |_| (),
        |_| (),
        &["change user/ann@x.co active"],
    ),
    (
        "a person created again",
        |desired| {
            let again = |it: &mut desired::User| {
                (it.external_id, it.persons) = ("109_ann".to_owned(), vec![109]);
            };
            of_user(desired, again);
        },
        |actual| ann(actual, |it| it.active = false),
        |_| (),
        &["change user/ann@x.co externalId,active"],
    ),
    (
        "a person with another user name is the same user, in the queue too",
        |desired| {
            let Some(DesiredObject::User(old)) = desired.remove(ANN) else { return };
            let gone = desired::User { active: false, persons: Vec::new(), ..old.clone() };
            desired.insert(ANN.to_owned(), DesiredObject::User(gone));
            let new = desired::User {
                user_name: "eve@x.co".to_owned(),
                external_id: "101_eve".to_owned(),
                ..old
            };
            desired.insert("user/eve@x.co".to_owned(), DesiredObject::User(new));
            of_queue(desired, |it| it.members[0] = "eve@x.co".to_owned());
        },
        |_| (),
        |_| (),
        &["change user/eve@x.co userName,externalId"],
    ),
    (
        "an agent that has become a supervisor",
        |desired| {
            of_user(desired, |it| {
                it.kind = UserKind::Supervisor;
                it.roles = strings(&["Employee", "User", "Supervisor", "No such role"]);
            });
        },
        |_| (),
        |_| (),
        &["add-roles user/ann@x.co Supervisor"],
    ),
    (
        "no agent that has become one",
        |desired| of_user(desired, |it| it.roles = strings(&["Employee", "User", "Supervisor"])),
        |_| (),
        |memory| memory.objects.get_mut(ANN).expect("ann").kind = Some(Kind::NonAgent),
        &[],
    ),
    (
        "roles that somebody took away",
        |_| (),
        |actual| ann(actual, |it| it.roles.clear()),
        |_| (),
        &[],
    ),
    (
        "a queue that is gone",
        |desired| of_queue(desired, |it| (it.members, it.dns) = (Vec::new(), Vec::new())),
        |_| (),
        |_| (),
        &["remove-members queue/sales a,b"],
    ),
    (
        "a queue that is gone by the rules of 2023",
        |desired| {
            of_queue(desired, |it| {
                (it.members, it.dns, it.delete) = (Vec::new(), Vec::new(), true);
            });
        },
        |_| (),
        |_| (),
        &["delete queue/sales"],
    ),
    (
        "a skill and a code that are gone stay, and are taken from users and queues",
        |desired| {
            desired.remove("skill/sales");
            desired.remove("wrap-up-code/resolved");
            of_user(desired, |it| drop(it.skills.pop()));
            of_queue(desired, |it| it.wrap_up_codes.clear());
        },
        |_| (),
        |_| (),
        &["remove-skill user/ann@x.co sales", "remove-code queue/sales c"],
    ),
    (
        "a DN with another name is the same queue, found by its peer id",
        |desired| {
            let Some(DesiredObject::Queue(old)) = desired.remove(SALES) else { return };
            let new = desired::Queue { name: "Leads".to_owned(), ..old };
            desired.insert("queue/leads".to_owned(), DesiredObject::Queue(new));
        },
        |_| (),
        |_| (),
        &["change queue/leads name"],
    ),
    // Stopped in the middle.
    (
        "a user that was made before its answer came",
        |_| (),
        |actual| ann(actual, |it| it.roles = ["employee".to_owned()].into()),
        |memory| {
            let bound = Bound { is_owed: true, ..Bound::default() };
            memory.objects.insert(ANN.to_owned(), bound);
        },
        &["add-roles user/ann@x.co User", "set-primary-source user/ann@x.co"],
    ),
    (
        "a user that was to be made and is not there",
        |_| (),
        |actual| drop(actual.users.remove("a")),
        |memory| {
            let bound = Bound { is_owed: true, ..Bound::default() };
            memory.objects.insert(ANN.to_owned(), bound);
        },
        &[
            "create user/ann@x.co",
            "set-primary-source user/ann@x.co",
            "add-members queue/sales user/ann@x.co",
            "remove-members queue/sales a",
        ],
    ),
];

#[test]
fn each_difference_needs_its_requests_and_no_others() {
    for (name, of_engage, of_org, of_memory, expected) in CHANGES {
        let (mut desired, mut actual, mut memory) = (desired(), full(), known());
        of_engage(&mut desired);
        of_org(&mut actual);
        of_memory(&mut memory);
        assert_eq!(lines(&desired, &actual, &mut memory), *expected, "{name}");
    }
}

#[test]
fn by_the_rules_of_2023_what_the_organisation_deleted_is_made_again() {
    for (recreates, expected) in [(false, vec![]), (true, vec![Request::Create])] {
        let (mut actual, mut memory) = (full(), known());
        actual.queues.remove("q");
        let deleted = bind::bind(&desired(), &actual, &mut memory, recreates);
        assert_eq!(deleted, [SALES], "{recreates}");
        let requests = plan::requests(&desired(), &actual, &memory);
        let of_queue = requests.into_iter().map(|it| it.request).take(1).collect::<Vec<_>>();
        assert_eq!(of_queue, expected, "{recreates}");
    }
}

#[test]
fn large_sets_go_by_the_hundred_and_skills_by_fifty() {
    let (mut desired, actual) = (desired(), empty());
    let mut members = Vec::new();
    for number in 0..205 {
        let new = user(&format!("u{number:03}"), 1_000 + number, &[]);
        members.push(new.user_name.clone());
        let new = DesiredObject::User(new);
        desired.insert(new.key(), new);
    }
    of_queue(&mut desired, |it| it.members = members);
    let many: Vec<UserSkill> = (0..120).map(|n| skill(&format!("K{n:03}"), 10)).collect();
    for it in &many {
        let new = desired::Skill { name: it.name.clone(), skills: vec![1] };
        let new = DesiredObject::Skill(new);
        desired.insert(new.key(), new);
    }
    of_user(&mut desired, |it| it.skills = many);
    let mut memory = Memory::default();
    bind::bind(&desired, &actual, &mut memory, false);
    let mut sizes = Vec::new();
    for planned in plan::requests(&desired, &actual, &memory) {
        if let Request::AddMembers(keys) = &planned.request {
            sizes.push(("members", keys.len()));
        } else if let Request::SetSkills(skills) = &planned.request {
            sizes.push(("skills", skills.len()));
        }
    }
    let expected =
        [("skills", 50), ("skills", 20), ("members", 100), ("members", 100), ("members", 5)];
    assert_eq!(sizes, expected, "the first fifty skills come with the user");
}

#[test]
fn requests_become_calls() {
    let (desired, actual, memory) = (desired(), full(), known());
    let known =
        Known { desired: &desired, actual: &actual, memory: &memory, marker: "Engage tenant 1" };
    let call = |key: &str, request: Request| {
        let call = known.call(&Planned { key: key.to_owned(), request }).expect("a call");
        (format!("{} {}", call.method, call.path), call.body.unwrap_or_default(), call.if_match)
    };
    let (line, body, version) = call(
        ANN,
        Request::ChangeUser(vec![
            request::UserChange::Active(false),
            request::UserChange::EMail("m@x.co".to_owned()),
        ]),
    );
    assert_eq!(
        (line.as_str(), version.as_deref()),
        ("PATCH /api/v2/scim/v2/users/a", Some("\"1\""))
    );
    let emails = json!([{ "value": "m@x.co", "type": "work", "primary": true }]);
    let operations = json!([
        { "op": "replace", "path": "active", "value": false },
        { "op": "replace", "path": "emails", "value": emails },
    ]);
    assert_eq!(body["Operations"], operations);
    let (line, body, _) = call(ANN, Request::Create);
    let expected = json!({
        "userName": "ann@x.co", "displayName": "ann", "active": true, "externalId": "101_ann",
        "roles": [{ "value": "employee" }, { "value": "User" }],
        actual::GENESYS: { "routingSkills": [
            { "name": "English", "proficiency": 2.8 }, { "name": "sales", "proficiency": 5.0 },
        ] },
    });
    assert_eq!((line.as_str(), body), ("POST /api/v2/scim/v2/users", expected));
    let (line, body, _) = call(ANN, Request::AddRoles(strings(&["supervisor", "nothing"])));
    let grants = json!({ "grants": [{ "roleId": "r3", "divisionId": "h" }] });
    assert_eq!((line.as_str(), body), ("POST /api/v2/authorization/subjects/a/bulkadd", grants));
    let (line, ..) = call(ANN, Request::RemoveSkill("english".to_owned()));
    assert_eq!(line, "DELETE /api/v2/users/a/routingskills/s1");
    let (line, body, _) = call(SALES, Request::RemoveMembers(strings(&["a"])));
    let path = "POST /api/v2/routing/queues/q/members?delete=true";
    assert_eq!((line.as_str(), body), (path, json!([{ "id": "a" }])));
    let nobody = Request::AddMembers(strings(&["user/nobody@x.co"]));
    assert_eq!(known.call(&Planned { key: SALES.to_owned(), request: nobody }), None);
}

#[test]
fn what_engage_does_not_control_of_a_queue_is_written_back() {
    let (desired, actual, memory) = (desired(), full(), known());
    let known = Known { desired: &desired, actual: &actual, memory: &memory, marker: "" };
    let read = json!({
        "id": "q", "name": "sales", "description": "old", "memberCount": 3, "selfUri": "/q",
        "dateModified": "2024-01-01T00:00:00.000Z", "outboundEmailAddress": null,
        "division": { "id": "h", "name": "Home", "selfUri": "/h" },
        "queueFlow": { "id": "f", "selfUri": "/f" }, "acwSettings": { "timeoutMs": 9 },
    });
    let call = known.merged(SALES, &read).expect("a call");
    let expected = json!({
        "name": "Sales", "description": "D", "peerId": "130", "division": { "id": "h" },
        "queueFlow": { "id": "f" }, "acwSettings": { "timeoutMs": 9 },
    });
    assert_eq!((call.method, call.body), ("PUT", Some(expected)));
}

fn reconciler() -> Reconciler {
    let settings =
        Settings { tenant: "1".to_owned(), recreates: false, check_ms: 1_000, is_dry: false };
    let mut reconciler = Reconciler::new(settings);
    for (key, object) in desired() {
        reconciler.want(&key, Some(object));
    }
    reconciler
}

/// Answers what is asked of an organisation whose source says so.
fn source_says(reconciler: &mut Reconciler, description: &str) {
    for _ in 0..9 {
        let Next::Ask(call) = reconciler.next(0) else { break };
        let has_id = ["organizations/me", "divisions/home"];
        let body = if has_id.iter().any(|end| call.path.ends_with(end)) {
            json!({ "id": "o" })
        } else if call.path.ends_with("sources") {
            json!({ "entities": [{ "id": "p", "name": "engage", "description": description }] })
        } else {
            json!({ "entities": [], "pageCount": 0, "totalResults": 0, "Resources": [] })
        };
        reconciler.answered(Heard::Done(body), 0, 0.0);
    }
}

#[test]
fn an_organisation_bound_to_another_tenant_or_another_state_is_refused() {
    for (description, org, is_refused) in [
        ("Engage tenant 1", None, false),
        ("made by hand", None, false),
        ("Engage tenant 2", None, true),
        ("Engage tenant 1", Some("o"), false),
        ("Engage tenant 1", Some("other"), true),
    ] {
        let mut reconciler = reconciler();
        reconciler.memory.meta.org = org.map(str::to_owned);
        source_says(&mut reconciler, description);
        let next = reconciler.next(0);
        assert_eq!(matches!(next, Next::Wait(_)), is_refused, "{description} {org:?}: {next:?}");
        assert_eq!(reconciler.progress().blocked.is_some(), is_refused, "{description} {org:?}");
    }
}

#[test]
fn an_intent_is_kept_before_a_user_is_made() {
    let mut reconciler = reconciler();
    source_says(&mut reconciler, "Engage tenant 1");
    let mut number = 0;
    loop {
        let Next::Ask(call) = reconciler.next(0) else { panic!("nothing is asked") };
        if call.path == "/api/v2/scim/v2/users" {
            break;
        }
        number += 1;
        let id = format!("i{number}");
        reconciler.answered(Heard::Done(json!({ "id": id, "name": "n" })), 0, 0.0);
    }
    let state = reconciler.drain().state;
    let (_, body) = state.iter().find(|(key, _)| key.ends_with(ANN.as_bytes())).expect("a row");
    let bound: Bound = serde_json::from_slice(body.as_ref().expect("a body")).expect("JSON");
    assert_eq!(bound, Bound { is_owed: true, ..Bound::default() });
}

/// A reconciler that knows everything, in front of an organisation where this is different.
fn before(change: impl FnOnce(&mut Actual)) -> Reconciler {
    let mut reconciler = reconciler();
    reconciler.actual = full();
    change(&mut reconciler.actual);
    reconciler.memory = known();
    reconciler.phase = Phase::Rest;
    reconciler.check_at_ms = 1_000;
    reconciler
}

/// The next exchange: method, path and version.
fn asked(reconciler: &mut Reconciler) -> String {
    match reconciler.next(0) {
        Next::Ask(Call { method, path, if_match, .. }) => {
            format!("{method} {path} {}", if_match.unwrap_or_default()).trim_end().to_owned()
        }
        Next::Wait(wait_ms) => format!("wait {wait_ms}"),
    }
}

/// Codes of outcomes that are no success.
fn codes(reconciler: &mut Reconciler) -> Vec<String> {
    let outputs = reconciler.drain().outputs.into_iter();
    let outcomes = outputs.filter(|(topic, _)| topic.name() == "outcome.config");
    let outcomes = outcomes.map(|(_, record)| {
        let value = record.value.expect("an outcome has a value");
        trunkline_schemas::codec::decode::<desired::ConfigOutcome>(&value).expect("an outcome")
    });
    outcomes.filter_map(|outcome| outcome.code).collect()
}

#[test]
fn a_change_for_an_old_version_is_made_again_for_the_new_one_and_not_for_ever() {
    let mut reconciler = before(|actual| ann(actual, |it| it.display_name = "Z".to_owned()));
    for version in 1..=11 {
        let patch = format!("PATCH /api/v2/scim/v2/users/a \"{version}\"");
        assert_eq!(asked(&mut reconciler), patch);
        reconciler.answered(Heard::Outdated, 0, 0.0);
        if version < 11 {
            assert_eq!(asked(&mut reconciler), "GET /api/v2/scim/v2/users/a");
            let body = json!({
                "id": "a", "userName": "ann@x.co", "displayName": "Z", "externalId": "101_ann",
                "active": true, "meta": { "version": (version + 1).to_string() },
                actual::GENESYS: { "routingSkills": [
                    { "name": "English", "proficiency": 2.8 },
                    { "name": "Sales", "proficiency": 5.0 },
                ] },
            });
            reconciler.answered(Heard::Done(body), 0, 0.0);
        }
    }
    assert_eq!(asked(&mut reconciler), "wait 1000");
    assert_eq!(codes(&mut reconciler), ["version_conflict"]);
}

#[test]
fn what_exists_already_is_looked_for_by_its_name_once() {
    let mut reconciler = before(|actual| drop(actual.codes.remove("c")));
    reconciler.memory.objects.remove("wrap-up-code/resolved");
    for (heard, next) in [
        (None, "POST /api/v2/routing/wrapupcodes"),
        (Some(Heard::Exists), "GET /api/v2/routing/wrapupcodes?pageSize=100&name=Resolved"),
        (Some(Heard::Done(json!({ "entities": [] }))), "POST /api/v2/routing/wrapupcodes"),
        (Some(Heard::Exists), "wait 1000"),
    ] {
        if let Some(heard) = heard {
            reconciler.answered(heard, 0, 0.0);
        }
        assert_eq!(asked(&mut reconciler), next);
    }
    assert_eq!(codes(&mut reconciler), ["conflict"]);
}

#[test]
fn a_user_that_is_gone_when_it_is_changed_counts_as_deleted() {
    let mut reconciler = before(|actual| ann(actual, |it| it.active = false));
    assert_eq!(asked(&mut reconciler), "PATCH /api/v2/scim/v2/users/a \"1\"");
    reconciler.answered(Heard::Gone, 0, 0.0);
    assert_eq!(asked(&mut reconciler), "GET /api/v2/scim/v2/users/a");
    reconciler.answered(Heard::Gone, 0, 0.0);
    // It is no member any more either.
    assert_eq!(asked(&mut reconciler), "POST /api/v2/routing/queues/q/members?delete=true");
    reconciler.answered(Heard::Done(Value::Null), 0, 0.0);
    assert_eq!(asked(&mut reconciler), "wait 1000");
    assert_eq!(codes(&mut reconciler), ["not_found", "deleted_in_org"]);
    assert_eq!(reconciler.deleted(), [ANN]);
}

#[test]
fn an_answer_that_did_not_come_is_waited_for_and_a_source_is_not_made_twice() {
    let mut reconciler = reconciler();
    source_says(&mut reconciler, "");
    reconciler.actual.sources.clear();
    assert_eq!(asked(&mut reconciler), "POST /api/v2/presence/sources");
    reconciler.answered(Heard::Unclear { why: "503".to_owned() }, 0, 0.0);
    assert_eq!(reconciler.progress().blocked.as_deref(), Some("503"));
    assert_eq!(asked(&mut reconciler), "wait 500");
    reconciler.not_before_ms = 0;
    assert_eq!(asked(&mut reconciler), "GET /api/v2/organizations/me", "it looks first");
    let mut reconciler = before(|actual| ann(actual, |it| it.active = false));
    assert_eq!(asked(&mut reconciler), "PATCH /api/v2/scim/v2/users/a \"1\"");
    reconciler.answered(Heard::Limited { retry_after_s: Some(7) }, 0, 0.0);
    assert_eq!(asked(&mut reconciler), "wait 7000");
    reconciler.not_before_ms = 0;
    assert_eq!(asked(&mut reconciler), "PATCH /api/v2/scim/v2/users/a \"1\"");
}
