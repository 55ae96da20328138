//! Several routing domains in one installation: each has its partitions to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trunkline_schemas::topics::RAW_TLIB;
use trunkline_schemas::{Partition, RawEvent, codec};

use super::kill::{Books, org, site};
use super::running::{DOMAINS, Settings, Start, World, until};

/// How long anything may take.
const MOMENT_MAX: Duration = Duration::from_mins(2);

/// Each of the first so many domains has a raw partition that holds nothing of the others.
pub(super) fn assert_apart(world: &World, domains: usize) {
    let mut found: BTreeMap<Partition, BTreeSet<String>> = BTreeMap::new();
    for stored in world.records(RAW_TLIB) {
        let value = stored.record.value.as_deref().expect("no tombstones here");
        let raw: RawEvent = codec::decode(value).expect("a raw event");
        found.entry(stored.partition).or_default().insert(raw.domain);
    }
    let expected: BTreeMap<Partition, BTreeSet<String>> =
        (0..).zip(&DOMAINS[..domains]).map(|(n, name)| (n, [(*name).to_owned()].into())).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_added_later_leaves_the_others_alone() {
    let settings = Settings::default();
    let world = World::of(vec![site(43, 60), site(47, 25)], org(true), &settings).await;
    let start = Start { bridges: settings.bridges, domains: 1, only: &[], hold: None };
    let mut process = world.start(&start);
    until("the first domain's calls are told", MOMENT_MAX, || {
        process.assert_alive();
        world.org.summary().events >= 40
    })
    .await;
    process.stop().await;
    assert_apart(&world, 1);
    let progress = world.progress();
    assert!(progress.finished < 60, "the first domain has had all its calls: {progress:?}");

    let mut process = world.start(&Start { domains: 2, ..start });
    world.told(&mut process, MOMENT_MAX).await;
    process.stop().await;
    assert_apart(&world, 2);
    let repeats = Books::open(&world).assert_truth(&world);
    assert_eq!(repeats, 0, "a graceful stop leaves nothing open");
}
