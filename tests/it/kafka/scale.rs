//! Four routing domains on one Kafka log, and one to three processes that share them under load.
//! Times and throughput are printed, not judged: they are the machine's too.

use std::thread::available_parallelism;
use std::time::Duration;

use trunkline::clock::Elapsed;
use trunkline_sim::engage::EngageConfig;

use super::broker::{Broker, announce, open};
use super::killed::{MOMENT_MAX, Member, calls, open_most, shared, told};
use crate::domains::assert_apart;
use crate::kill::{Books, org, site};
use crate::running::{Place, Settings, Start, World, until};

/// Routing domains from the beginning.
const DOMAINS: usize = 4;
/// Partitions of hashed topics.
const PARTITIONS: u32 = 4;
/// Tasks of an installation: the conversations of each domain, and the sinks.
const TASKS: u32 = DOMAINS as u32 + PARTITIONS;
/// What a process is that has tasks only.
const TASKS_ONLY: &[&str] = &["processors", "sinks"];

/// Calls begin when the first process is there.
fn settings(broker: &Broker) -> Settings {
    Settings {
        log: Place::Kafka(vec![broker.address()]),
        partitions: PARTITIONS,
        bridges: &["b1"],
        ..Settings::default()
    }
}

fn start<'a>(bridges: &'a [&'a str], domains: usize, only: &'a [&'a str]) -> Start<'a> {
    Start { bridges, domains, only, hold: None }
}

async fn member(world: &World, bridge: &str, domains: usize) -> Member {
    Member::of(world.start(&start(&[bridge], domains, &[]))).await
}

/// What is printed of one change of processes.
fn note(notes: &mut Vec<String>, what: &str, took: Duration) {
    notes.push(format!("{what} {} ms", took.as_millis()));
}

/// One process, three, two and one again; and in the end a domain is added by a rolling restart.
/// After each change more is told: there is work left whenever there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_domains_go_on_while_processes_come_and_go() {
    let Some(broker) = Broker::start("four domains", "") else { return };
    drop(open(&broker, ""));
    let settings = settings(&broker);
    let mut sites: Vec<_> = (51..55).map(|seed| calls(seed, 0.8, 60.0)).collect();
    sites.push(calls(55, 3.0, 6.0)); // added later
    let world = World::of(sites, org(true), &settings).await;
    let mut notes = Vec::new();

    let mut one = member(&world, "b1", DOMAINS).await;
    told(&world, 20, &mut one.process).await;
    let mut two = member(&world, "b2", DOMAINS).await;
    let three = member(&world, "b3", DOMAINS).await;
    note(&mut notes, "three share", shared(&[&one, &two, &three], TASKS).await);
    told(&world, 20, &mut two.process).await;

    three.process.signal("STOP");
    note(&mut notes, "take-over from a frozen one", shared(&[&one, &two], TASKS).await);
    told(&world, 10, &mut two.process).await;
    three.process.signal("CONT");
    note(&mut notes, "it is back", shared(&[&one, &two, &three], TASKS).await);
    told(&world, 10, &mut two.process).await;

    one.process.kill();
    note(&mut notes, "take-over from a killed one", shared(&[&two, &three], TASKS).await);
    told(&world, 10, &mut two.process).await;
    three.process.stop().await;
    note(&mut notes, "take-over from a stopped one", two.owns(TASKS).await);

    let mut last = member(&world, "b1", DOMAINS + 1).await;
    last.takes_part().await;
    two.process.stop().await;
    note(&mut notes, "a fifth domain is added", last.owns(TASKS + 1).await);
    world.told(&mut last.process, MOMENT_MAX * 2).await;
    last.process.stop().await;
    judge(&world, &settings, &notes);
}

/// Nothing is lost or out of order; what was sent twice was in flight at the kill or the freeze.
fn judge(world: &World, settings: &Settings, notes: &[String]) {
    const ENDS: usize = 2;
    assert_apart(world, DOMAINS + 1);
    let books = Books::open(world);
    let (repeats, requests) = (books.assert_truth(world), books.requests_repeated());
    let summary = world.org.summary();
    announce(&format!(
        "four domains, then five, 1 -> 3 -> 2 -> 1 processes: {}; events {}, lost 0, reordered {}, \
         repeats {repeats} of {requests} requests",
        notes.join(", "),
        summary.events,
        summary.out_of_order,
    ));
    let under_way = (settings.partitions * settings.requests_in_flight) as usize;
    assert!(requests <= ENDS * under_way, "{requests} requests, {under_way} are under way at most");
    let most = ENDS * open_most(settings);
    assert!(repeats <= most, "{repeats} events were sent again, {most} can have been open");
}

/// Events a second that so many processes tell of a backlog of four domains, from their start until
/// the last call is told.
async fn throughput(processes: usize) -> Option<f64> {
    let broker = Broker::start("throughput of processes", "")?;
    drop(open(&broker, ""));
    let backlog = |seed| EngageConfig { rate_per_second: 100.0, speed: 150.0, ..site(seed, 500) };
    let sites = (61..65).map(backlog).collect();
    let world = World::of(sites, org(true), &settings(&broker)).await;
    let mut recorder = world.start(&start(&["b1"], DOMAINS, &["ingest"]));
    until("all calls are over", MOMENT_MAX * 2, || {
        recorder.assert_alive();
        let progress = world.progress();
        progress.finished == progress.total
    })
    .await;

    let watch = Elapsed::start();
    let names = &["b2", "b3"][..processes];
    let mut running: Vec<_> =
        names.iter().map(|name| world.start(&start(&[*name], DOMAINS, TASKS_ONLY))).collect();
    world.told(&mut running[0], MOMENT_MAX * 4).await;
    let took = watch.time();
    // Until then the recorder tells what time it is.
    running.push(recorder);
    for process in running {
        process.stop().await;
    }
    assert_eq!(Books::open(&world).assert_truth(&world), 0, "a graceful stop leaves nothing open");
    Some(world.org.summary().events as f64 / took.as_secs_f64())
}

/// The same backlog is told by one process, and by two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_told_by_one_process_and_by_two() {
    let (Some(one), Some(two)) = (throughput(1).await, throughput(2).await) else { return };
    let cores = available_parallelism().map_or(1, usize::from);
    announce(&format!(
        "throughput of four domains on {cores} cores with broker and organisation: {one:.0} events/s \
         by one process, {two:.0} by two, ratio {:.2}",
        two / one
    ));
}
