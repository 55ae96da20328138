//! The allowance that processes share, through a real Redis. What the arithmetic promises in any
//! order of events is tested where it is (`trunkline-sinks`); here it is seen to hold on a server.

pub(crate) mod server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use trunkline::clock::{self, Elapsed};
use trunkline::drive::Shell;
use trunkline::log::embedded::Embedded;
use trunkline::redis::{self, Party, RedisConfig, Servers};
use trunkline_sinks::{Allowance, Share, Shared, SharedAllowance};

use crate::fetched::announce;
use crate::running::until;
use server::{Server, is_there};

/// Limits of the shares: conversation, presence, config.
const PERCENT: [u32; 3] = [70, 20, 10];
const SINKS: [&str; 3] = ["conversation", "presence", "config"];
const PARTITIONS: [u32; 3] = [4, 4, 1];
/// Generous: machines are slow, and a loss is noticed within a second.
const SOON: Duration = Duration::from_secs(20);

/// Requests that were given leave: when (milliseconds of the test), which instance, which sink.
type Sent = Arc<Mutex<Vec<(u64, usize, usize)>>>;

/// Instances that share an allowance, each with all three sinks, which always have something to
/// send.
struct Party3 {
    instances: Vec<(Shell, [SharedAllowance; 3])>,
    sent: Sent,
    watch: Elapsed,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Party3 {
    fn new(count: usize, per_minute: u32, client: &'static str, redis: &RedisConfig) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = Embedded::open(directory.path(), Arc::new(clock::now_ms)).expect("it is free");
        let stop = CancellationToken::new();
        let shares = std::array::from_fn(|sink| Share {
            sink: SINKS[sink],
            percent: PERCENT[sink],
            partitions: PARTITIONS[sink],
        });
        let redis = Arc::new(redis.clone());
        let instance = |number: usize| {
            let (shared, allowances) = Shared::new(per_minute, 10, shares, true);
            for (sink, allowance) in allowances.iter().enumerate() {
                let own = |partition: &u32| (sink + *partition as usize) % count == number;
                (0..PARTITIONS[sink])
                    .filter(own)
                    .for_each(|partition| allowance.own(partition, clock::now_ms()));
            }
            let shell = Shell::new(log.clone(), Vec::new()).expect("nobody else records here");
            let shell = Shell { stop: stop.clone(), ..shell };
            let party = Party { sink: client, client_id: client.to_owned(), shared };
            tokio::spawn(redis::follow(shell.clone(), Arc::clone(&redis), party));
            (shell, allowances)
        };
        let instances = (0..count).map(instance).collect();
        let (sent, watch) = (Sent::default(), Elapsed::start());
        Self { instances, sent, watch, stop, _directory: directory }
    }

    /// Has these sinks of these instances send from now on.
    fn send(&self, wants: impl Fn(usize, usize) -> bool) {
        for (number, (_, allowances)) in self.instances.iter().enumerate() {
            for (sink, allowance) in allowances.iter().enumerate() {
                if wants(number, sink) {
                    let (allowance, stop) = (allowance.clone(), self.stop.clone());
                    let (sent, watch) = (Arc::clone(&self.sent), self.watch);
                    tokio::spawn(async move {
                        while !stop.is_cancelled() {
                            match allowance.try_take(clock::now_ms()) {
                                Ok(()) => {
                                    let mut sent = sent.lock().expect("nobody panics with it");
                                    sent.push((watch.ms(), number, sink));
                                }
                                Err(wait_ms) => {
                                    let wait = Duration::from_millis(wait_ms as u64);
                                    tokio::time::sleep(wait).await;
                                }
                            }
                        }
                    });
                }
            }
        }
    }

    async fn ready(&self, wanted: bool) {
        let what = format!("readiness is {wanted}");
        until(&what, SOON, || {
            self.instances.iter().all(|(shell, _)| shell.health.missing().is_empty() == wanted)
        })
        .await;
    }

    async fn pass(&self, until_ms: u64) {
        let limit = Duration::from_millis(until_ms) + SOON;
        until("the time has passed", limit, || self.watch.ms() >= until_ms).await;
    }

    fn why(&self) -> String {
        let missing = self.instances[0].0.health.missing();
        let said = missing.into_iter().map(|one| format!("{}: {}", one.condition, one.why));
        said.collect::<Vec<_>>().join("; ")
    }

    /// The most requests in any window.
    fn most(&self, window_ms: u64) -> usize {
        let mut sent = self.sent.lock().expect("nobody panics with it").clone();
        sent.sort_unstable();
        let count = |(from, first): (usize, &(u64, usize, usize))| {
            sent[from..].iter().take_while(|one| one.0 <= first.0 + window_ms).count()
        };
        sent.iter().enumerate().map(count).max().unwrap_or(0)
    }

    /// Requests of a stretch of time, by sink.
    fn by_sink(&self, from_ms: u64, to_ms: u64) -> [usize; 3] {
        let sent = self.sent.lock().expect("nobody panics with it");
        let here = |one: &&(u64, usize, usize)| (from_ms..to_ms).contains(&one.0);
        std::array::from_fn(|sink| sent.iter().filter(here).filter(|one| one.2 == sink).count())
    }
}

impl Drop for Party3 {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn at(server: &Server) -> RedisConfig {
    RedisConfig {
        place: Servers::Server("127.0.0.1".to_owned(), server.port),
        user: None,
        password: None,
        ca_pem: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_together_keep_the_limit_and_each_sink_its_share() {
    if !is_there("shares on Redis") {
        return;
    }
    let server = Server::start(&[]);
    // Of 3,000 a minute: 10 at once, 2,990 in 60.25 s, so 496 in 10 s.
    for (client, count) in [("two", 2), ("three", 3)] {
        let party = Party3::new(count, 3_000, client, &at(&server));
        party.ready(true).await;
        party.send(|_, _| true);
        let from_ms = party.watch.ms() + 2_000;
        party.pass(from_ms + 10_000).await;
        let (sent, most) = (party.by_sink(from_ms, from_ms + 10_000), party.most(10_000));
        announce(&format!("{count} instances: {sent:?} of 347, 99 and 49; {most} in 10 s"));
        assert!(most <= 496 + 10 + 1, "{most}");
        for (sent, share) in sent.into_iter().zip([347, 99, 49]) {
            assert!(sent * 100 >= share * 90, "{sent} of {share}");
        }
    }
    // What nobody else wants: nearly all of it, for the one sink of one instance that sends.
    let party = Party3::new(3, 3_000, "one", &at(&server));
    party.ready(true).await;
    party.send(|number, sink| number == 2 && sink == 1);
    let from_ms = party.watch.ms() + 2_000;
    party.pass(from_ms + 5_000).await;
    let [_, presence, _] = party.by_sink(from_ms, from_ms + 5_000);
    assert!((200..=260).contains(&presence), "{presence} of 248");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_stops_and_comes_back_costs_a_second() {
    if !is_there("loss of Redis") {
        return;
    }
    let mut server = Server::start(&[]);
    let party = Party3::new(3, 300, "conversation", &at(&server));
    party.ready(true).await;
    let up = || party.instances[0].0.metrics.render();
    assert!(up().contains("trunkline_redis_up{sink=\"conversation\"} 1"), "{}", up());
    party.send(|_, _| true);
    party.pass(15_000).await;
    assert_eq!(server.ask(&["FLUSHALL"]).trim(), "OK");
    party.pass(30_000).await;
    server.kill();
    let lost_ms = party.watch.ms();
    party.ready(false).await;
    assert!(up().contains("trunkline_redis_up{sink=\"conversation\"} 0"), "{}", up());
    let why = party.why();
    assert!(why.starts_with("redis for conversation: Redis: 127.0.0.1:"), "{why}");
    assert!(why.contains("divided by the partitions owned"), "{why}");
    party.pass(lost_ms + 15_000).await;
    server.run();
    party.ready(true).await;
    party.pass(75_000).await;
    // 290 in 60.25 s.
    let divided: usize = party.by_sink(lost_ms + 3_000, lost_ms + 15_000).iter().sum();
    let most = party.most(60_000);
    announce(&format!("Redis flushed, stopped and back: {most} in 60 s, {divided} of 57 alone"));
    assert!((50..=59).contains(&divided), "{divided}");
    assert!((250..=300).contains(&most), "{most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_needs_no_more_than_six_commands_and_a_wrong_password_stops_nobody() {
    if !is_there("a user of Redis") {
        return;
    }
    let rights = "--user trunk on >right ~trunkline:* -@all +info +time +set +mget";
    let server = Server::start(&rights.split(' ').collect::<Vec<_>>());
    let secret = |text: &str| Some(SecretString::from(text.to_owned()));
    let user = Some("trunk".to_owned());
    let wrong = RedisConfig { user, password: secret("wrong"), ..at(&server) };
    let party = Party3::new(1, 3_000, "presence", &wrong);
    until("the password is refused", SOON, || party.why().contains("authentication failed")).await;
    assert!(!party.why().contains("wrong\"") && !format!("{wrong:?}").contains("\"wrong\""));
    party.send(|_, _| true);
    until("requests go out all the same", SOON, || party.most(u64::MAX / 2) > 50).await;
    redis::check(&wrong).await.expect("a password may be mended while it runs");
    drop(party);
    let right = RedisConfig { password: secret("right"), ..wrong };
    let party = Party3::new(2, 3_000, "right", &right);
    party.ready(true).await;
    party.send(|number, _| number == 0);
    until("requests go out", SOON, || party.most(u64::MAX / 2) > 50).await;
    assert!(party.why().is_empty(), "{}", party.why());
    let statistics = server.ask(&["INFO", "commandstats"]);
    let used = |line: &str| Some(line.strip_prefix("cmdstat_")?.split_once(':')?.0.to_owned());
    let used: Vec<String> = statistics.lines().filter_map(used).collect();
    let known = ["auth", "info", "time", "set", "mget"];
    assert!(used.iter().all(|one| known.contains(&one.as_str())), "{used:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_the_master_before_and_after_a_failover() {
    if !is_there("Sentinel") {
        return;
    }
    let mut master = Server::start(&[]);
    let port = master.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let in_step = || replica.ask(&["INFO", "replication"]).contains("master_link_status:up");
    until("the replica follows", SOON, in_step).await;
    let sentinel = Server::sentinel("trunk", master.port);
    let place = Servers::Sentinels {
        sentinels: vec![("127.0.0.1".to_owned(), 1), ("127.0.0.1".to_owned(), sentinel.port)],
        master: "trunk".to_owned(),
    };
    let party = Party3::new(2, 3_000, "sentinel", &RedisConfig { place, ..at(&master) });
    party.ready(true).await;
    party.send(|_, _| true);
    let known = || sentinel.ask(&["SENTINEL", "REPLICAS", "trunk"]).contains("127.0.0.1");
    until("the Sentinel knows the replica", SOON, known).await;
    master.kill();
    party.ready(false).await;
    party.ready(true).await;
    let role = replica.ask(&["INFO", "replication"]);
    assert!(role.contains("role:master"), "{role}");
    let most = party.most(10_000);
    assert!(most <= 496 + 10 + 1, "{most} in 10 s");
    let unknown = Servers::Sentinels {
        sentinels: vec![("127.0.0.1".to_owned(), sentinel.port)],
        master: "nobody".to_owned(),
    };
    let party = Party3::new(1, 300, "nobody", &RedisConfig { place: unknown, ..at(&master) });
    until("the name is refused", SOON, || party.why().contains("knows no master \"nobody\"")).await;
}

#[tokio::test]
async fn a_cluster_is_refused_and_said_why() {
    if !is_there("Redis Cluster") {
        return;
    }
    let server = Server::start(&["--cluster-enabled", "yes"]);
    // One that does not answer yet is not refused: it listens before it has written its nodes.
    let watch = Elapsed::start();
    let refused = loop {
        match redis::check(&at(&server)).await {
            Err(refused) => break refused.to_string(),
            Ok(()) => assert!(watch.time() < SOON, "it is a cluster"),
        }
    };
    let expected = format!(
        "127.0.0.1:{} is a node of a Redis Cluster, which is not supported: name a server of its \
         own, or Sentinels with a master",
        server.port
    );
    assert_eq!(refused, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_a_server_whose_certificate_is_trusted() {
    if !is_there("Redis over TLS") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let (own, other) = (certificate().expect("made"), certificate().expect("made"));
    let files = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let file = files.path().join(name);
        std::fs::write(&file, text).expect("it can be written");
        file.display().to_string()
    };
    let (pem, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let (pem_file, key_file) = (write("cert.pem", &pem), write("key.pem", &key));
    let port = crate::kafka::broker::ports()[0];
    let tls = ["--tls-port", &port.to_string(), "--tls-auth-clients", "no"];
    let named = ["--tls-cert-file", &pem_file, "--tls-key-file", &key_file];
    let server = Server::on(port, &[&tls[..], &named[..]].concat());
    let trusted = RedisConfig { ca_pem: Some(pem.into_bytes()), ..at(&server) };
    let party = Party3::new(1, 3_000, "trusted", &trusted);
    party.ready(true).await;
    let strange = RedisConfig { ca_pem: Some(other.cert.pem().into_bytes()), ..at(&server) };
    let party = Party3::new(1, 3_000, "strange", &strange);
    until("the certificate is refused", SOON, || party.why().contains("certificate")).await;
}
