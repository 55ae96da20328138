//! Processes that share one Kafka log: killed, stopped and frozen while calls are made. The
//! simulators and the broker live on. Times are printed, not judged: they are the machine's too.

use std::net::SocketAddr;
use std::slice::from_ref;
use std::time::Duration;

use trunkline::clock::Elapsed;
use trunkline_sim::engage::EngageConfig;

use super::broker::{Broker, announce, open};
use crate::kill::{Books, org, site, survive};
use crate::program::get;
use crate::running::{Place, Process, Settings, World, until};

/// Partitions of hashed topics.
const PARTITIONS: u32 = 2;
/// Tasks of an installation: the conversations of the one domain, and the sinks.
const TASKS: u32 = 1 + PARTITIONS;
/// The two processes, by the bridge each of them runs.
const BRIDGES: [&str; 2] = ["b1", "b2"];
/// How long a process is frozen.
const FROZEN: Duration = Duration::from_secs(30);
/// How long anything else may take.
pub(super) const MOMENT_MAX: Duration = Duration::from_mins(2);

fn settings(brokers: &[Broker]) -> Settings {
    Settings {
        log: Place::Kafka(brokers.iter().map(Broker::address).collect()),
        partitions: PARTITIONS,
        bridges: &BRIDGES,
        ..Settings::default()
    }
}

/// Calls over so many seconds.
pub(super) fn calls(seed: u64, per_second: f64, seconds: f64) -> EngageConfig {
    EngageConfig { rate_per_second: per_second, ..site(seed, (per_second * seconds) as u64) }
}

/// Tasks of it that a process owns, and whether that is ready: see [`Member::has`].
type Owned = (u32, bool);

/// How many tasks the process at this admin listener owns, and whether it is ready.
fn owned(admin: SocketAddr) -> Option<Owned> {
    let (_, metrics) = get(admin, "/metrics")?;
    let line = metrics.lines().find(|line| line.starts_with("trunkline_partitions_owned "))?;
    let (status, _) = get(admin, "/readyz")?;
    Some((line.split(' ').nth(1)?.parse().ok()?, status == 200))
}

/// A process and its admin listener.
pub(super) struct Member {
    pub(super) process: Process,
    pub(super) admin: SocketAddr,
}

impl Member {
    async fn start(world: &World, bridge: &str) -> Self {
        Self::of(world.run_with(&[bridge], None)).await
    }

    /// A process that was just started, once it runs.
    pub(super) async fn of(mut process: Process) -> Self {
        let admin = process.admin(MOMENT_MAX).await;
        Self { process, admin }
    }

    /// Waits until it owns so many tasks and is ready; returns after how long.
    pub(super) async fn owns(&mut self, tasks: u32) -> Duration {
        self.has(&format!("it owns {tasks} tasks"), |owned| owned == (tasks, true)).await
    }

    /// Waits until it owns a task at least, and is ready.
    pub(super) async fn takes_part(&mut self) {
        self.has("it takes part", |(tasks, ready)| tasks > 0 && ready).await;
    }

    async fn has(&mut self, what: &str, holds: impl Fn(Owned) -> bool) -> Duration {
        let watch = Elapsed::start();
        until(what, MOMENT_MAX, || {
            self.process.assert_alive();
            owned(self.admin).is_some_and(&holds)
        })
        .await;
        watch.time()
    }
}

/// Waits until members share all the tasks, each of them at least one; returns after how long.
pub(super) async fn shared(members: &[&Member], tasks: u32) -> Duration {
    let watch = Elapsed::start();
    until("all tasks are shared out", MOMENT_MAX, || {
        let counts: Vec<_> = members.iter().filter_map(|member| owned(member.admin)).collect();
        let all: u32 = counts.iter().map(|(tasks, _)| tasks).sum();
        let good = |(tasks, ready): &Owned| *tasks > 0 && *ready;
        counts.len() == members.len() && all == tasks && counts.iter().all(good)
    })
    .await;
    watch.time()
}

/// Waits until the organisation was told so many events more; the process must live.
pub(super) async fn told(world: &World, more: u64, process: &mut Process) {
    let goal = world.org.summary().events + more;
    let watch = Elapsed::start();
    until("the organisation is told more", MOMENT_MAX * 2, || {
        process.assert_alive();
        assert!(
            watch.time() < MOMENT_MAX,
            "the organisation is told nothing:\n{}",
            process.state()
        );
        world.org.summary().events >= goal
    })
    .await;
}

/// Events that may be open at one moment: a request for each that may be under way.
pub(super) fn open_most(settings: &Settings) -> usize {
    (settings.partitions * settings.requests_in_flight * 100) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_on_kafka_leave_the_truth() {
    let Some(broker) = Broker::start("twenty kills on Kafka", "") else { return };
    drop(open(&broker, ""));
    survive(calls(23, 1.5, 240.0), &settings(from_ref(&broker))).await;
}

/// The cluster loses one of three brokers and gets it back; what was acknowledged is on the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_brokers_is_killed_under_load() {
    let Some(mut brokers) = Broker::start_three("one of three brokers killed") else { return };
    for broker in &brokers {
        drop(open(broker, ""));
    }
    let world = World::new(calls(41, 3.0, 60.0), org(true), &settings(&brokers)).await;
    let mut process = world.run(None);
    told(&world, 40, &mut process).await;
    let watch = Elapsed::start();
    brokers[0].kill();
    told(&world, 40, &mut process).await;
    let gone_ms = watch.ms();
    brokers[0].restart();
    told(&world, 40, &mut process).await;
    let progress = world.progress();
    assert!(progress.finished < progress.total, "the calls were over too soon: {progress:?}");
    world.told(&mut process, Duration::from_mins(2)).await;
    process.stop().await;
    let repeats = Books::open(&world).assert_truth(&world);
    announce(&format!(
        "one of three brokers killed: 40 events later after {gone_ms} ms, repeats {repeats}, lost 0"
    ));
    let most = open_most(&settings(&brokers));
    assert!(repeats <= most, "{repeats} events were sent again, {most} can have been open");
}

/// The only broker dies and comes back: the process waits for it, says so, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_broker_is_killed_under_load_and_comes_back() {
    let Some(mut broker) = Broker::start("the only broker killed", "") else { return };
    drop(open(&broker, ""));
    let settings = settings(from_ref(&broker));
    let world = World::new(calls(43, 3.0, 60.0), org(true), &settings).await;
    let mut process = world.run(None);
    let admin = process.admin(MOMENT_MAX).await;
    told(&world, 40, &mut process).await;

    broker.kill();
    let watch = Elapsed::start();
    let is_ready = || get(admin, "/readyz").map(|(status, _)| status == 200);
    let away = format!("reaching Kafka at {}", broker.address());
    let counts = |metric: &str| {
        let (_, metrics) = get(admin, "/metrics").unwrap_or_default();
        let mut lines = metrics.lines().filter(|line| line.starts_with(metric));
        lines.any(|line| !line.ends_with(" 0"))
    };
    let metrics = ["trunkline_restarts_total{", "trunkline_conditions_missing "];
    until("it is said in /readyz and in metrics", MOMENT_MAX, || {
        process.assert_alive();
        let named = get(admin, "/readyz").is_some_and(|(_, why)| why.contains(&away));
        named && is_ready() == Some(false) && metrics.iter().all(|metric| counts(metric))
    })
    .await;
    let said_ms = watch.ms();
    broker.restart();
    let watch = Elapsed::start();
    until("it is ready again", MOMENT_MAX * 2, || {
        assert!(
            watch.time() < MOMENT_MAX,
            "it is not ready again:\n{}\nthe broker:\n{}",
            process.state(),
            broker.last_words()
        );
        is_ready() == Some(true)
    })
    .await;
    let back_ms = watch.ms();
    told(&world, 40, &mut process).await;
    world.told(&mut process, Duration::from_mins(2)).await;
    process.stop().await;

    let repeats = Books::open(&world).assert_truth(&world);
    announce(&format!(
        "the only broker killed: said after {said_ms} ms, ready {back_ms} ms after its restart \
         began, events {}, repeats {repeats}, lost 0",
        world.org.summary().events
    ));
    let most = open_most(&settings);
    assert!(repeats <= most, "{repeats} events were sent again, {most} can have been open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_killed_in_turn_take_over_from_each_other() {
    const ROUNDS: usize = 6;
    let Some(broker) = Broker::start("two processes killed in turn", "") else { return };
    drop(open(&broker, ""));
    let settings = settings(from_ref(&broker));
    let world = World::new(calls(29, 3.0, 80.0), org(true), &settings).await;
    let mut one = Member::start(&world, BRIDGES[0]).await;
    let mut other = Member::start(&world, BRIDGES[1]).await;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        shared(&[&one, &other], TASKS).await;
        told(&world, 20, &mut one.process).await;
        // The first goes, the second takes over, and a new one joins it.
        one.process.kill();
        took.push(other.owns(TASKS).await);
        told(&world, 5, &mut other.process).await;
        one = other;
        other = Member::start(&world, BRIDGES[round % 2]).await;
    }
    let progress = world.progress();
    assert!(progress.finished < progress.total, "the calls were over too soon: {progress:?}");
    world.told(&mut one.process, Duration::from_mins(2)).await;
    one.process.stop().await;
    other.process.stop().await;

    let books = Books::open(&world);
    let repeats = books.assert_truth(&world);
    let most = ROUNDS * open_most(&settings);
    assert!(repeats <= most, "{repeats} events were sent again, {most} can have been open");
    let milliseconds: Vec<_> = took.iter().map(Duration::as_millis).collect();
    announce(&format!(
        "{ROUNDS} processes killed in turn: take-over after {milliseconds:?} ms, events {}, \
         repeats {repeats}, lost 0",
        world.org.summary().events
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_stop_hands_over_at_once() {
    let Some(broker) = Broker::start("a planned restart", "") else { return };
    drop(open(&broker, ""));
    let settings = settings(from_ref(&broker));
    let world = World::new(calls(31, 3.0, 25.0), org(true), &settings).await;
    let one = Member::start(&world, BRIDGES[0]).await;
    let mut other = Member::start(&world, BRIDGES[1]).await;
    shared(&[&one, &other], TASKS).await;
    told(&world, 20, &mut other.process).await;
    one.process.stop().await;
    let took = other.owns(TASKS).await;
    let mut again = Member::start(&world, BRIDGES[0]).await;
    shared(&[&again, &other], TASKS).await;
    world.told(&mut again.process, Duration::from_mins(2)).await;
    again.process.stop().await;
    other.process.stop().await;
    let repeats = Books::open(&world).assert_truth(&world);
    announce(&format!("planned restart: the other owned everything after {} ms", took.as_millis()));
    assert_eq!(repeats, 0, "a graceful stop leaves nothing open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_process_sends_nothing_when_it_wakes_up() {
    let Some(broker) = Broker::start("a frozen process", "") else { return };
    drop(open(&broker, ""));
    let settings = settings(from_ref(&broker));
    let world = World::new(calls(37, 3.0, 60.0), org(true), &settings).await;
    let frozen = Member::start(&world, BRIDGES[0]).await;
    let mut other = Member::start(&world, BRIDGES[1]).await;
    shared(&[&frozen, &other], TASKS).await;
    told(&world, 20, &mut other.process).await;

    frozen.process.signal("STOP");
    let watch = Elapsed::start();
    let took = other.owns(TASKS).await;
    until("it has been frozen for long enough", FROZEN * 2, || watch.time() >= FROZEN).await;
    let before = world.org.summary().duplicates;
    frozen.process.signal("CONT");
    // It notices that it is no member any more, and becomes one again.
    shared(&[&frozen, &other], TASKS).await;
    let mut frozen = frozen;
    world.told(&mut frozen.process, Duration::from_mins(2)).await;
    frozen.process.stop().await;
    other.process.stop().await;

    let books = Books::open(&world);
    let repeats = books.assert_truth(&world);
    let after = world.org.summary().duplicates - before;
    announce(&format!(
        "frozen for {} s: take-over after {} ms, repeats {repeats}, of those {after} when it woke \
         up, lost 0",
        FROZEN.as_secs(),
        took.as_millis()
    ));
    let most = open_most(&settings);
    assert!(repeats <= most, "{repeats} events were sent again, {most} can have been open");
}
