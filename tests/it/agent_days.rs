//! Days of agents through the whole system: from simulated Stat Servers, of which the primary dies
//! in the middle, to the histories of the organisation's users.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use trunkline::drive::rehearsal::{Place, Rehearsal, Script};
use trunkline_schemas::topics::RAW_AGENT;
use trunkline_schemas::{RawEvent, RawKind, codec};
use trunkline_sim::engage::{BACKUP_STAT_SERVER, EngageConfig, STAT_SERVER};
use trunkline_sim::truth::{Shown, UserHistory};

use super::running::records;

/// How often it is looked whether all is told.
const LOOK: Duration = Duration::from_millis(200);
const BRIDGES: [&str; 2] = ["b1", "b2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stat_server_that_dies_is_no_logout_and_its_backup_goes_on() {
    // Only fails where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let site = EngageConfig {
        calls: 40,
        rate_per_second: 4.0,
        speed: 30.0,
        agents: 8,
        seed: 5,
        everything: true,
        stat_server: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        ..EngageConfig::default()
    };
    let script = Script {
        site,
        requests_per_minute: None,
        bridges: BRIDGES.map(str::to_owned).to_vec(),
        log: Place::Directory(log.clone()),
        ..Script::default()
    };
    let rehearsal = Rehearsal::start(script).await.expect("the rehearsal starts");
    let calls = rehearsal.play(LOOK, &mut |_| ()).await;
    assert_eq!(calls, [], "calls differ");
    assert_eq!(rehearsal.agent_differences(), [], "agents differ");
    let (users, changes) = rehearsal.expected_agents();
    let told = rehearsal.org().users();
    let summary = rehearsal.summary();
    assert!(rehearsal.stop().await, "everything ends");

    assert_eq!((users, told.len()), (8, 8));
    assert!(changes > 80, "{changes} changes");
    assert_eq!((summary.refused, summary.out_of_order, summary.duplicates), (0, 0, 0));
    for UserHistory { user_id, changes } in &told {
        let is_offline = |n: &usize| changes[*n].state == Shown::Presence("Offline".to_owned());
        let offline: Vec<usize> = (0..changes.len()).filter(is_offline).collect();
        assert_eq!(offline.len(), 2, "{user_id} before and after the day: {changes:#?}");
    }
    let took_over_ms = took_over(&log);
    let all = || told.iter().flat_map(|user| &user.changes);
    let later = all().filter(|change| change.at_ms > took_over_ms).count();
    assert!(later > changes / 5 && later < changes / 5 * 4, "{later} of {changes} after the loss");
}

/// When the last bridge followed the backup, after its link to the primary had gone down.
fn took_over(log: &std::path::Path) -> i64 {
    let decoded = records(log, RAW_AGENT).into_iter().map(|stored| {
        let value = stored.record.value.expect("a raw event has a value");
        codec::decode::<RawEvent>(&value).expect("a raw event")
    });
    let all: Vec<RawEvent> = decoded.collect();
    let mut took_over_ms = 0;
    for bridge in BRIDGES {
        let link = format!("{bridge}/");
        let of_link = all.iter().filter(|raw| raw.link.starts_with(&link));
        let ups: Vec<&RawEvent> = of_link.filter(|raw| raw.kind == RawKind::LinkUp).collect();
        let servers: Vec<&str> = ups.iter().map(|raw| raw.source.as_str()).collect();
        assert_eq!(servers, [STAT_SERVER, BACKUP_STAT_SERVER], "{bridge}");
        took_over_ms = ups[1].received_time_us.div_euclid(1_000).max(took_over_ms);
    }
    took_over_ms
}
