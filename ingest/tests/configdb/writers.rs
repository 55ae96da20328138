//! Others change the database while it is polled: no poll sees half of a change, and no change that
//! lasts is lost.
//!
//! Each writer hires and dismisses people of its own, each time in one transaction: a person with a
//! skill level equal to its number of changes so far, in a group, and a counter in a text of its
//! own. Whoever sees a part of one transaction sees numbers that do not agree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trunkline_ingest::configdb::ConfigBridge;
use trunkline_ingest::configdb::diff::{Guard, Published};
use trunkline_schemas::configdb::ConfigObject;

use super::server::server;

const POLLS: i64 = 1_000;
const WRITERS: i64 = 4;

/// One transaction of a writer: everything of it says `round`.
fn change(writer: i64, round: i64) -> String {
    let (person, group, skill) = (1_000 + writer, 2_000 + writer, 3_000 + writer);
    let hired = if round % 3 == 0 {
        String::new()
    } else {
        format!(
            "INSERT INTO cfg_person (dbid, tenant_dbid, employee_id, is_agent, state) \
             VALUES ({person}, 101, '{round}', 2, 1); \
             INSERT INTO cfg_skill_level VALUES ({person}, {skill}, {round}); \
             INSERT INTO cfg_agent_group VALUES ({group}, {person});"
        )
    };
    format!(
        "BEGIN; DELETE FROM cfg_agent_group WHERE group_dbid = {group}; \
         DELETE FROM cfg_skill_level WHERE person_dbid = {person}; \
         DELETE FROM cfg_person WHERE dbid = {person}; \
         UPDATE cfg_group SET name = '{round}' WHERE dbid = {group}; \
         UPDATE cfg_skill SET name = '{round}' WHERE dbid = {skill}; {hired} COMMIT;"
    )
}

/// The round that everything of a writer says; nothing: the parts do not agree.
fn round(objects: &BTreeMap<String, ConfigObject>, writer: i64) -> Option<i64> {
    let (person, group, skill) = (1_000 + writer, 2_000 + writer, 3_000 + writer);
    let ConfigObject::AgentGroup(group) = objects.get(&format!("agent-group/{group}"))? else {
        return None;
    };
    let ConfigObject::Skill(skill) = objects.get(&format!("skill/{skill}"))? else { return None };
    let round: i64 = group.name.parse().ok()?;
    let mut agrees = skill.name == group.name;
    match objects.get(&format!("person/{person}")) {
        None => agrees &= round % 3 == 0 && group.members.is_empty(),
        Some(ConfigObject::Person(it)) => {
            agrees &= round % 3 != 0 && group.members == [person];
            agrees &= it.employee_id == group.name;
            agrees &= it.skills.len() == 1 && it.skills[0].level == round;
        }
        Some(_) => agrees = false,
    }
    agrees.then_some(round)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_poll_is_torn_and_no_change_is_lost() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    for writer in 0..WRITERS {
        sample
            .execute(&format!(
                "INSERT INTO cfg_group (dbid, group_type, tenant_dbid, name, state) \
                 VALUES ({}, 5, 101, '0', 1); \
                 INSERT INTO cfg_skill (dbid, name, tenant_dbid, state) VALUES ({}, '0', 101, 1);",
                2_000 + writer,
                3_000 + writer
            ))
            .await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (client, stop) = (server.owner(&sample).await, Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                client.batch_execute(&change(writer, round)).await.expect("it is written");
            }
            round
        }));
    }
    let mut settings = sample.settings.clone();
    settings.guard = Guard { vanish_percent: 100, vanish_free: 100 };
    let mut bridge = ConfigBridge::start(settings).await.expect("the bridge starts");
    let mut published = Published::default();
    let mut seen = vec![Vec::new(); WRITERS as usize];
    for poll in 0..POLLS {
        for record in bridge.poll(&published, poll).await.expect("the poll is told") {
            published.take(&record).expect("a record of ours");
        }
        for (writer, seen) in (0..).zip(&mut seen) {
            let round = round(&published.objects, writer);
            let round = round.unwrap_or_else(|| panic!("poll {poll} of writer {writer} is torn"));
            assert!(seen.last().is_none_or(|last| *last <= round), "time went back");
            seen.push(round);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut last = Vec::new();
    for writer in writers {
        last.push(writer.await.expect("a writer ends"));
    }
    for record in bridge.poll(&published, POLLS).await.expect("the poll is told") {
        published.take(&record).expect("a record of ours");
    }
    for (writer, last) in (0..).zip(&last) {
        assert_eq!(round(&published.objects, writer), Some(*last), "the last change is lost");
    }
    let moved: usize =
        seen.iter().map(|seen| seen.windows(2).filter(|w| w[0] != w[1]).count()).sum();
    assert!(moved > 1_000, "the writers changed too little while it was polled: {moved}");
}
