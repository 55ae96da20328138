//! A real Kafka broker for a test: fetched from Maven Central once, started on free ports, killed
//! like a machine that loses its power, started again.
//!
//! - `TRUNKLINE_TEST_KAFKA=host:port` names a broker that runs already; tests that kill theirs
//!   start one all the same.
//! - `TRUNKLINE_REQUIRE_KAFKA=1` makes a test that cannot run a failure.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use trunkline::clock::Elapsed;
use trunkline::log::LogError;
use trunkline::log::kafka::{Kafka, KafkaConfig};

pub(crate) use super::super::fetched::announce;
use super::super::fetched::{self, fetched};

/// What is fetched.
const POM: &str = include_str!("pom.xml");
/// How long a broker may take until it answers; a busy machine needs a multiple of the usual 4 s.
const START_MAX: Duration = Duration::from_secs(90);
/// Of the cluster, which lives no longer than its test.
const CLUSTER_ID: &str = "Vp1m8nLpTRyTb2uJ0K3sPA";

/// Directories of the controllers of a cluster of three.
const VOTERS: [&str; 3] =
    ["3Db5QLSqSZieL3rJBUUegA", "L3rJBUUegA3Db5QLSqSZig", "SqSZieL3rJBUUegA3Db5Qw"];

/// A broker that belongs to one test.
pub(crate) struct Broker {
    directory: TempDir,
    libs: PathBuf,
    port: u16,
    /// Kills the broker when its standard input ends, and so when the test process does.
    keeper: Option<Child>,
    _turn: Option<Turn>,
}

/// So many tests at once have a broker of their own: they mostly wait for sessions to time out, but
/// more of them would starve each other.
const TURNS: usize = 2;

/// The leave to have one.
struct Turn;

static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

impl Turn {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = GIVEN_BACK.wait_while(taken, |taken| *taken == TURNS);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}

impl Broker {
    /// Starts one with these lines more in its settings; `None` where that is impossible here,
    /// which is said.
    pub(crate) fn start(test: &str, settings: &str) -> Option<Self> {
        match jars() {
            Ok(libs) => {
                let turn = Turn::take();
                Some(Self::start_with(&libs, settings, Some(turn)))
            }
            Err(why) => {
                skip(test, &why);
                None
            }
        }
    }

    fn start_with(libs: &Path, settings: &str, turn: Option<Turn>) -> Self {
        let [port, control] = ports();
        let quorum = format!("127.0.0.1:{control}");
        let node = Node { id: 1, port, control, quorum, brokers: 1 };
        Self::of(libs, &node, &["--standalone"], settings, turn)
    }

    /// Starts three that are one cluster: each keeps everything, two of them suffice.
    pub(crate) fn start_three(test: &str) -> Option<Vec<Self>> {
        let libs = jars().map_err(|why| skip(test, &why)).ok()?;
        let mut turn = Some(Turn::take());
        let places = [(); 3].map(|()| ports());
        let quorum: Vec<_> =
            places.iter().map(|[_, control]| format!("127.0.0.1:{control}")).collect();
        let voters: Vec<_> = (1..)
            .zip(&quorum)
            .zip(VOTERS)
            .map(|((id, address), directory)| format!("{id}@{address}:{directory}"))
            .collect();
        let (quorum, voters) = (quorum.join(","), voters.join(","));
        let start = |(id, [port, control]): (u32, [u16; 2])| {
            let node = Node { id, port, control, quorum: quorum.clone(), brokers: 3 };
            Self::of(&libs, &node, &["--initial-controllers", &voters], "", turn.take())
        };
        Some((1..).zip(places).map(start).collect())
    }

    fn of(libs: &Path, node: &Node, how: &[&str], settings: &str, turn: Option<Turn>) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the broker");
        let write = |name: &str, text: &str| {
            fs::write(directory.path().join(name), text).expect("the directory can be written");
        };
        let data = directory.path().join("data");
        write("server.properties", &properties(node, &data, settings));
        write("log4j2.properties", LOGGING);
        let libs = libs.to_owned();
        let mut broker = Self { directory, libs, port: node.port, keeper: None, _turn: turn };
        let formatted = Command::new("java")
            .arg("-cp")
            .arg(broker.classes())
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(broker.path("server.properties"))
            .args(how)
            .output()
            .expect("java starts");
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        broker.run();
        broker
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What one of Kafka's own tools writes to standard output; it must end well.
    pub(crate) fn tool(&self, class: &str, args: &[&str]) -> Vec<u8> {
        let mut command = Command::new("java");
        let logging = format!("-Dlog4j2.configurationFile={}", self.path("log4j2.properties"));
        command.args([&logging, "-cp", &self.classes(), class]);
        command.args(["--bootstrap-server", &self.address()]).args(args);
        let done = command.output().expect("java starts");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{class} {args:?}: {said}");
        done.stdout
    }

    /// Ends it with SIGKILL and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().expect("the broker ends");
        }
    }

    /// Starts it again on what it has left on disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.run();
    }

    fn run(&mut self) {
        // The shell kills the broker as soon as nobody holds the other end of its input.
        let keep = "java \"$@\" >>\"$BROKER_LOG\" 2>&1 </dev/null & echo $!; \
                    cat >/dev/null; kill -9 $! 2>/dev/null; wait";
        let logging = format!("-Dlog4j2.configurationFile={}", self.path("log4j2.properties"));
        // What it unpacks to load, it does not take away when it is killed.
        let unpacked = format!("-Djava.io.tmpdir={}", self.directory.path().display());
        let mut keeper = Command::new("sh")
            .args(["-c", keep, "sh", "-Xmx512m", &logging, &unpacked, "-cp"])
            .arg(self.classes())
            .args(["kafka.Kafka", &self.path("server.properties")])
            .env("BROKER_LOG", self.path("broker.log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut started = String::new();
        let out = keeper.stdout.take().expect("stdout is a pipe");
        BufReader::new(out).read_line(&mut started).expect("the shell names the broker");
        self.keeper = Some(keeper);
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn classes(&self) -> String {
        self.libs.join("*").display().to_string()
    }

    /// What it has said last.
    pub(crate) fn last_words(&self) -> String {
        let said = fs::read_to_string(self.path("broker.log")).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Opens the log on a broker that may still be starting.
pub(crate) fn open(broker: &Broker, prefix: &str) -> Arc<Kafka> {
    let config = config(&broker.address(), prefix);
    let watch = Elapsed::start();
    loop {
        match Kafka::open(&config) {
            Ok(log) => return log,
            Err(LogError::Unavailable { .. }) if watch.time() < START_MAX => {}
            Err(error) => panic!("no broker: {error}\n{}", broker.last_words()),
        }
    }
}

/// A configuration for topics under a prefix.
pub(crate) fn config(address: &str, prefix: &str) -> KafkaConfig {
    KafkaConfig {
        brokers: vec![address.to_owned()],
        prefix: prefix.to_owned(),
        replication: Some(1),
        ..KafkaConfig::default()
    }
}

/// The address of the broker that tests share, once it answers; `None` where there is none, which
/// is said.
pub(crate) fn shared(test: &str) -> Option<String> {
    static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
    if let Ok(address) = std::env::var("TRUNKLINE_TEST_KAFKA") {
        return Some(address);
    }
    match SHARED.get_or_init(|| jars().map(|libs| Broker::start_with(&libs, "", None))) {
        Ok(broker) => {
            drop(open(broker, "ready."));
            Some(broker.address())
        }
        Err(why) => {
            skip(test, why);
            None
        }
    }
}

/// A prefix nobody else uses.
pub(crate) fn prefix(test: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{test}-{}-{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn skip(test: &str, why: &str) {
    fetched::skip(test, "TRUNKLINE_REQUIRE_KAFKA", why);
}

/// The folder of Kafka's jars, fetched if they are not there.
fn jars() -> Result<PathBuf, String> {
    for program in ["java", "mvn"] {
        let asked = Command::new(program).arg("-version").output();
        if !asked.is_ok_and(|asked| asked.status.success()) {
            return Err(format!("there is no {program}, and TRUNKLINE_TEST_KAFKA is not set"));
        }
    }
    fetched("kafka", POM, |here| {
        let failed = |error: std::io::Error| format!("{}: {error}", here.display());
        fs::write(here.join("pom.xml"), POM).map_err(failed)?;
        let fetched = Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg("-DoutputDirectory=kafka")
            .current_dir(here)
            .output()
            .map_err(failed)?;
        let said = || format!("mvn: {}", String::from_utf8_lossy(&fetched.stdout));
        if fetched.status.success() { Ok(()) } else { Err(said()) }
    })
}

/// Two ports that nobody listens on.
///
/// A port the system gives away would be among those it gives to connections too: while a killed
/// broker is away, one of the clients that try to reach it could get the broker's own.
pub(crate) fn ports() -> [u16; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given: u32 = range.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(32_768);
    let (first, own) = (10_000, std::process::id());
    let mut free = (0..given.saturating_sub(first)).filter_map(|_| {
        let step = own.wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(first + step % (given - first)).ok()?;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    });
    [(); 2].map(|()| free.next().expect("a free port below those of connections"))
}

/// One broker of a cluster, each of which is a controller too.
struct Node {
    id: u32,
    port: u16,
    control: u16,
    /// Addresses of all controllers.
    quorum: String,
    /// Brokers there are: each keeps everything, and a majority of them must have it.
    brokers: u32,
}

fn properties(node: &Node, data: &Path, settings: &str) -> String {
    let Node { id, port, control, quorum, brokers } = node;
    let enough = brokers / 2 + 1;
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.bootstrap.servers={quorum}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{control}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
default.replication.factor={brokers}
min.insync.replicas={enough}
offsets.topic.replication.factor={brokers}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={brokers}
transaction.state.log.min.isr={enough}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={brokers}
share.coordinator.state.topic.min.isr={enough}
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
log.cleaner.backoff.ms=100
{settings}
",
        data = data.display()
    )
}

const LOGGING: &str = "rootLogger.level=warn
rootLogger.appenderRef.c.ref=C
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n
";
