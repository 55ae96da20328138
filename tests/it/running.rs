//! Trunkline in a process of its own, between two simulators in this one: so that it can be killed
//! while the world it lives in goes on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use trunkline::clock::{self, Elapsed};
use trunkline::drive::rehearsal::{TOLERANCE_MS, know};
use trunkline::log::Log;
use trunkline::log::embedded::Embedded;
use trunkline::log::kafka::{Kafka, KafkaConfig};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::{Stored, Topic};
use trunkline_sim::compare::{Difference, compare};
use trunkline_sim::engage::{self, EngageConfig, EngageSim, Progress};
use trunkline_sim::gc::{self, GcConfig, GcSim};

use crate::program::get;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);
/// Records read at once.
const READ_MAX: usize = 1_000;
/// Lines of a process's log that a failed test shows.
const LINES_SHOWN: usize = 200;

/// Waits for a condition; fails if it does not come true in time.
pub(super) async fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let watch = Elapsed::start();
    let mut interval = tokio::time::interval(POLL);
    loop {
        interval.tick().await;
        if holds() {
            return;
        }
        assert!(watch.time() < limit, "within {limit:?} this did not come true: {what}");
    }
}

/// Where Trunkline keeps its log.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In the directory of the world.
    Embedded,
    /// On these brokers, each of which keeps everything.
    Kafka(Vec<String>),
}

/// How Trunkline is configured.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) log: Place,
    pub(super) bridges: &'static [&'static str],
    pub(super) partitions: u32,
    pub(super) requests_per_minute: u32,
    pub(super) burst: u32,
    pub(super) requests_in_flight: u32,
    /// The port of a Redis on this machine.
    pub(super) redis: Option<u16>,
    pub(super) deadline: Duration,
}

impl Default for Settings {
    /// An allowance that is never the bottleneck.
    fn default() -> Self {
        Self {
            log: Place::Embedded,
            bridges: &["b1", "b2"],
            partitions: 2,
            requests_per_minute: 30_000,
            burst: 1_000,
            requests_in_flight: 4,
            redis: None,
            deadline: Duration::from_secs(10),
        }
    }
}

/// Names of the routing domains, in their order.
pub(super) const DOMAINS: [&str; 5] = ["main", "north", "east", "south", "west"];

/// How a process is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    pub(super) bridges: &'a [&'a str],
    /// How many of the domains it knows, from the first.
    pub(super) domains: usize,
    /// Which parts it runs; none: all.
    pub(super) only: &'a [&'a str],
    /// A point, and how often it is passed before it holds.
    pub(super) hold: Option<(&'static str, u64)>,
}

/// The simulators, and the directory that all processes of a test share.
pub(super) struct World {
    /// A site for each routing domain.
    sites: Vec<EngageSim>,
    pub(super) org: GcSim,
    client_id: String,
    settings: Settings,
    processes: Cell<u32>,
    dir: tempfile::TempDir,
}

impl World {
    /// Starts a site, which is one domain, and the organisation.
    pub(super) async fn new(site: EngageConfig, org: GcConfig, settings: &Settings) -> Self {
        Self::of(vec![site], org, settings).await
    }

    /// Starts a site for each domain, and the organisation of them all; the calls of a domain begin
    /// when every link of every bridge of the settings is up.
    pub(super) async fn of(sites: Vec<EngageConfig>, org: GcConfig, settings: &Settings) -> Self {
        let mut started = Vec::new();
        for site in sites {
            let site = EngageConfig { wait_for_clients: 3 * settings.bridges.len(), ..site };
            started.push(engage::start(site).await.expect("the site listens"));
        }
        let sites = started;
        let directories = directories(&sites);
        let mut config = org;
        know(&mut config, &together(&directories));
        let secret = config.client_secret.clone();
        let client_id = config.client_id.clone();
        let org = gc::start(config).await.expect("the organisation listens");
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).expect("the directory can be written");
        };
        for (name, directory) in DOMAINS.iter().zip(&directories) {
            let text = serde_json::to_string(directory).expect("a directory is JSON");
            write(&directory_file(name), &text);
        }
        write("secret", &secret);
        if let Some(pem) = org.ca_pem() {
            write("ca.pem", pem);
        }
        let (settings, processes) = (settings.clone(), Cell::new(0));
        Self { sites, org, client_id, settings, processes, dir }
    }

    /// Starts Trunkline with all bridges; `hold` names a point and how often it is passed before it
    /// holds.
    pub(super) fn run(&self, hold: Option<(&'static str, u64)>) -> Process {
        self.run_with(self.settings.bridges, hold)
    }

    /// Starts Trunkline with these bridges.
    pub(super) fn run_with(&self, bridges: &[&str], hold: Option<(&'static str, u64)>) -> Process {
        self.start(&Start { bridges, domains: self.sites.len(), only: &[], hold })
    }

    /// Starts Trunkline so.
    pub(super) fn start(&self, start: &Start<'_>) -> Process {
        let number = self.processes.get();
        self.processes.set(number + 1);
        let file = |name: &str| self.dir.path().join(format!("{name}-{number}"));
        let (config, hold_file, lines) = (file("trunkline.toml"), file("held"), file("lines"));
        let mut text = toml(&self.org, &self.client_id, &self.settings, start.bridges);
        for domain in DOMAINS.iter().zip(&self.sites).take(start.domains) {
            text.push_str(&domain_toml(domain));
        }
        fs::write(&config, text).expect("the directory can be written");
        let stderr = File::create(&lines).expect("the log lines have a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.arg("run").arg("--config").arg(&config);
        command.args(start.only.iter().flat_map(|part| ["--only", *part]));
        if let Some((point, nth)) = start.hold {
            command.env("TRUNKLINE_HOLD_AT", format!("{point}@{nth}"));
            command.env("TRUNKLINE_HOLD_FILE", &hold_file);
        }
        let spawned_ms = clock::now_ms();
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().expect("trunkline starts");
        Process { child, lines, hold_file, spawned_ms }
    }

    /// The directory of the log.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The records of a topic, partition by partition. No process may be running.
    pub(super) fn records(&self, topic: Topic) -> Vec<Stored> {
        match &self.settings.log {
            Place::Embedded => records(&self.log_dir(), topic),
            Place::Kafka(brokers) => {
                let config = KafkaConfig { brokers: brokers.clone(), ..KafkaConfig::default() };
                records_of(&*Kafka::open(&config).expect("a broker"), topic)
            }
        }
    }

    /// What differs between the ledger and the truth of all domains.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let truth: Vec<_> = self.sites.iter().flat_map(EngageSim::truth).collect();
        compare(&truth, &self.org.told(), TOLERANCE_MS)
    }

    /// How far the calls of all domains are.
    pub(super) fn progress(&self) -> Progress {
        self.sites.iter().map(EngageSim::progress).fold(Progress::default(), |all, one| Progress {
            started: all.started + one.started,
            finished: all.finished + one.finished,
            total: all.total + one.total,
            talking: all.talking + one.talking,
            queued: all.queued + one.queued,
        })
    }

    /// Whether all calls were played and told, but for those that are excused by their CallUUID.
    pub(super) fn is_told(&self, excused: impl FnOnce() -> BTreeSet<String>) -> bool {
        let progress = self.progress();
        if progress.finished < progress.total || self.org.summary().open > 0 {
            return false;
        }
        let excused = excused();
        self.differences().iter().all(|one| excused.contains(&one.call_uuid))
    }

    /// Waits until all calls were played and told; shows what is missing if that does not happen.
    pub(super) async fn told(&self, process: &mut Process, limit: Duration) {
        let watch = Elapsed::start();
        until("all calls are told", limit + Duration::from_secs(5), || {
            process.assert_alive();
            let told = self.is_told(BTreeSet::new);
            let late = !told && watch.time() > limit;
            let state = || process.state();
            assert!(!late, "{:?}\n{:#?}\n{}", self.org.summary(), self.differences(), state());
            told
        })
        .await;
    }
}

/// The records of a topic of the log in a directory, partition by partition.
pub(super) fn records(dir: &Path, topic: Topic) -> Vec<Stored> {
    let log = Embedded::open(dir, Arc::new(clock::now_ms)).expect("the log is free");
    records_of(&*log, topic)
}

fn records_of(log: &dyn Log, topic: Topic) -> Vec<Stored> {
    let layouts = log.layouts().expect("the log can be read");
    let layout = layouts.iter().find(|layout| layout.topic == topic).expect("the topic is there");
    let mut all = Vec::new();
    for partition in 0..layout.partitions {
        let mut from = 0;
        loop {
            let read = log.read(topic, partition, from, READ_MAX).expect("the log can be read");
            let Some(last) = read.last() else { break };
            from = last.offset + 1;
            all.extend(read);
        }
    }
    all
}

/// The directories of sites whose organisation has one presence source.
fn directories(sites: &[EngageSim]) -> Vec<DirectoryFile> {
    let read = |site: &EngageSim| -> DirectoryFile {
        serde_json::from_value(site.directory()).expect("a directory")
    };
    let mut all: Vec<_> = sites.iter().map(read).collect();
    let source_id = all[0].source_id.clone();
    for directory in &mut all {
        directory.source_id.clone_from(&source_id);
    }
    all
}

/// What the organisation knows of all of them.
fn together(directories: &[DirectoryFile]) -> DirectoryFile {
    let mut all = directories[0].clone();
    for other in &directories[1..] {
        all.agents.extend(other.agents.iter().cloned());
        all.queues.extend(other.queues.iter().cloned());
        all.wrap_up_codes.extend(other.wrap_up_codes.iter().cloned());
    }
    all
}

fn directory_file(domain: &str) -> String {
    format!("directory-{domain}.json")
}

fn domain_toml((name, site): (&&str, &EngageSim)) -> String {
    let (file, sip, vq) = (directory_file(name), site.addr(), site.vq_addr());
    format!(
        r#"
[[domain]]
name = "{name}"
directory_file = "{file}"
[[domain.site]]
name = "site-of-{name}"
voice_server_call = ["{sip}"]
voice_server_vq = ["{vq}"]
voice_server_agent = ["{sip}"]
"#
    )
}

fn toml(org: &GcSim, client_id: &str, settings: &Settings, bridges: &[&str]) -> String {
    let org_url = org.base_url();
    let ca_file = org.ca_pem().map_or("", |_| "ca_file = \"ca.pem\"");
    let Settings { partitions, requests_per_minute, burst, requests_in_flight, .. } = settings;
    let deadline = settings.deadline.as_secs();
    let log = match &settings.log {
        Place::Embedded => "[log.embedded]\npath = \"log\"".to_owned(),
        Place::Kafka(brokers) => {
            format!("[log.kafka]\nbrokers = {brokers:?}\nreplication = {}", brokers.len())
        }
    };
    let redis = settings
        .redis
        .map_or_else(String::new, |port| format!("[redis]\nserver = \"127.0.0.1:{port}\""));
    format!(
        r#"
[admin]
listen = "127.0.0.1:0"
{log}
{redis}
[topics]
conversation_partitions = {partitions}
[bridge]
names = {bridges:?}
[genesys_cloud]
base_url = "{org_url}"
auth_url = "{org_url}"
{ca_file}
[genesys_cloud.conversation]
client_id = "{client_id}"
client_secret_file = "secret"
requests_per_minute = {requests_per_minute}
burst = {burst}
requests_in_flight = {requests_in_flight}
[shutdown]
deadline_secs = {deadline}
[logging]
filter = "info"
"#
    )
}

/// A running Trunkline. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    lines: PathBuf,
    hold_file: PathBuf,
    /// Just before it was started, milliseconds since 1970.
    pub(super) spawned_ms: i64,
}

impl Process {
    /// Fails if it has ended by itself.
    pub(super) fn assert_alive(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "trunkline ended with {ended:?}:\n{}", self.lines());
    }

    /// Waits until it is held at its point.
    pub(super) async fn held(&mut self, point: &str, limit: Duration) {
        let what = format!("the process is held at {point}");
        until(&what, limit, || {
            self.assert_alive();
            self.hold_file.exists()
        })
        .await;
    }

    /// What it says of itself, for a test that failed: life, readiness, lag, and its last lines.
    pub(super) fn state(&self) -> String {
        let admin = self.said_admin();
        let page =
            |path| admin.and_then(|at| get(at, path)).map_or_else(String::new, |page| page.1);
        let metrics = page("/metrics");
        let lags: Vec<_> = metrics.lines().filter(|line| line.contains("_lag_")).collect();
        let (lives, ready) = (page("/livez"), page("/readyz"));
        format!("{lives}\n{ready}\n{}\n{}", lags.join("\n"), self.lines())
    }

    fn said_admin(&self) -> Option<SocketAddr> {
        let said = fs::read_to_string(&self.lines).unwrap_or_default();
        let (_, rest) = said.split_once("admin_address=")?;
        rest.split_whitespace().next()?.parse().ok()
    }

    /// Where its admin listener is, once it has said so.
    pub(super) async fn admin(&mut self, limit: Duration) -> SocketAddr {
        let mut address = None;
        until("the process says that it runs", limit, || {
            self.assert_alive();
            address = self.said_admin();
            address.is_some()
        })
        .await;
        address.expect("it was found")
    }

    /// Sends it a signal, by its name without `SIG`.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(told.expect("there is kill").success(), "it can be told {name}");
    }

    /// Kills it with SIGKILL.
    pub(super) fn kill(mut self) {
        self.assert_alive();
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it can be waited for");
        assert_eq!(status.signal(), Some(9), "{status:?}");
    }

    /// Asks it to stop, and waits for it. Returns its status and how long that took.
    pub(super) async fn terminate(mut self, limit: Duration) -> (ExitStatus, Duration) {
        self.assert_alive();
        let watch = Elapsed::start();
        self.signal("TERM");
        let mut ended = None;
        until("the process stops", limit, || {
            ended = self.child.try_wait().expect("a child can be asked");
            ended.is_some()
        })
        .await;
        (ended.expect("it has stopped"), watch.time())
    }

    /// Asks it to stop; fails if it does not do so cleanly.
    pub(super) async fn stop(self) {
        let lines = self.lines.clone();
        let (status, _) = self.terminate(Duration::from_secs(15)).await;
        assert!(status.success(), "{status:?}:\n{}", last_lines(&lines));
    }

    fn lines(&self) -> String {
        last_lines(&self.lines)
    }
}

fn last_lines(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
