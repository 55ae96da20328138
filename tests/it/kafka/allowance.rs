//! Two whole processes that share a Kafka log and, through Redis, one allowance.

use std::time::Duration;

use trunkline_sim::gc::{GcConfig, RequestRecord};

use super::broker::{Broker, announce, open};
use super::killed::{MOMENT_MAX, Member, calls, told};
use crate::kill::{Books, org};
use crate::program::get;
use crate::redis::server::{Server, is_there};
use crate::running::{Place, Settings, World, until};

/// What the organisation takes in 60 s, and what each of the processes is told of it.
const PER_MINUTE: u32 = 300;
/// How long calls are made: longer than the window.
const CALLS_SECS: f64 = 80.0;

/// What a process says of its Redis: readiness, and the metric.
fn says(member: &Member) -> Option<(bool, bool)> {
    let (status, why) = get(member.admin, "/readyz")?;
    let (_, metrics) = get(member.admin, "/metrics")?;
    let up = metrics.contains("trunkline_redis_up{sink=\"conversation\"} 1");
    Some((status == 200 || !why.contains("redis for conversation"), up))
}

async fn redis_is(up: bool, members: &[&Member]) {
    until(&format!("both say that Redis is up: {up}"), MOMENT_MAX, || {
        members.iter().all(|member| says(member) == Some((up, up)))
    })
    .await;
}

/// The most requests in any 60 s.
fn most(requests: &[RequestRecord]) -> usize {
    let told: Vec<u64> =
        requests.iter().filter(|one| one.path != "/oauth/token").map(|one| one.at_ms).collect();
    let count = |(from, first): (usize, &u64)| {
        told[from..].iter().take_while(|at_ms| **at_ms < first + 60_000).count()
    };
    told.iter().enumerate().map(count).max().unwrap_or(0)
}

/// The organisation takes no request too many, and the processes leave none of what it takes
/// unused, while Redis forgets, dies and comes back, and one of them leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_keep_one_limit_through_a_redis_that_forgets_and_dies() {
    if !is_there("two processes over one Redis") {
        return;
    }
    let Some(broker) = Broker::start("two processes over one Redis", "") else { return };
    drop(open(&broker, ""));
    let mut server = Server::start(&[]);
    let settings = Settings {
        log: Place::Kafka(vec![broker.address()]),
        requests_per_minute: PER_MINUTE,
        burst: 10,
        redis: Some(server.port),
        ..Settings::default()
    };
    let org = GcConfig { requests_per_minute: PER_MINUTE, ..org(true) };
    let world = World::new(calls(71, 3.0, CALLS_SECS), org, &settings).await;
    let mut one = Member::of(world.run_with(&["b1"], None)).await;
    let mut two = Member::of(world.run_with(&["b2"], None)).await;
    for member in [&mut one, &mut two] {
        member.takes_part().await;
    }
    redis_is(true, &[&one, &two]).await;
    told(&world, 100, &mut one.process).await;
    assert_eq!(server.ask(&["FLUSHALL"]).trim(), "OK");
    told(&world, 100, &mut one.process).await;
    server.kill();
    redis_is(false, &[&one, &two]).await;
    told(&world, 100, &mut one.process).await;
    server.run();
    redis_is(true, &[&one, &two]).await;
    told(&world, 100, &mut one.process).await;
    let progress = world.progress();
    assert!(progress.finished < progress.total, "the calls were over too soon: {progress:?}");

    until("all calls were made", Duration::from_mins(4), || {
        let progress = world.progress();
        progress.finished == progress.total
    })
    .await;
    two.process.stop().await;
    world.told(&mut one.process, MOMENT_MAX * 2).await;
    one.process.stop().await;
    assert_eq!(Books::open(&world).assert_truth(&world), 0, "a graceful stop leaves nothing open");
    let (summary, most) = (world.org.summary(), most(&world.org.requests()));
    announce(&format!(
        "two processes over one Redis: {most} requests in 60 s of {PER_MINUTE}, {} events, {} \
         requests too many, lost 0",
        summary.events, summary.throttled
    ));
    assert_eq!(summary.throttled, 0, "{summary:?}");
    assert!(most * 100 >= PER_MINUTE as usize * 80, "{most} of {PER_MINUTE}");
}
