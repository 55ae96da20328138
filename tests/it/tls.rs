//! Feeds over TLS: with a good chain all three come in, with certificates of both sides; whatever
//! is wrong with it is one clear error that names the server and the remedy, and is tried again
//! until it is mended, without loss.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::topics::DEAD_INGEST;
use trunkline_schemas::{RawEvent, RawKind};
use trunkline_sim::certificates::{Authority, Validity};
use trunkline_sim::engage::{
    self, BACKUP_STAT_SERVER, EngageConfig, EngageSim, STAT_SERVER, TlsFiles,
};
use trunkline_sim::interaction::{InteractionServer, Spelling};

use super::agent_feeds::{raw_agent, raw_tlib, start};
use super::configured::Configured;
use super::program::{Server, get};
use super::running::{records, until};

/// How long one step of a test may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// The name in the certificates of good servers.
const NAME: &str = "engage.example";

/// Writes a certificate and its key.
fn certify(dir: &Path, name: &str, by: &Authority, names: &[&str], when: Validity) -> TlsFiles {
    let made = by.certify(names, when).expect("a certificate");
    let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    fs::write(&certificate, made.certificate).expect("the directory can be written");
    fs::write(&key, made.key).expect("the directory can be written");
    TlsFiles { certificate, key, client_ca: None }
}

/// The authority, its certificate in `ca.pem`.
fn authority(dir: &Path) -> Authority {
    let authority = Authority::new().expect("a key");
    fs::write(dir.join("ca.pem"), authority.pem()).expect("the directory can be written");
    authority
}

fn ingest(dir: &Path, directory: &Value, sip: SocketAddr, states: &str, site: &str) -> Server {
    let (org, cloud) = ("http://127.0.0.1:9", "");
    let configured = Configured { directory, sip, agent_states: states, site, org, cloud };
    let config = configured.write(dir);
    let args = ["run", "--only", "ingest", "--config", &config].map(str::to_owned);
    start(dir, "ingest", &args)
}

async fn site(config: EngageConfig, tls: Option<TlsFiles>) -> EngageSim {
    let config = EngageConfig { calls: 10, rate_per_second: 4.0, agents: 8, tls, ..config };
    let config = EngageConfig { speed: 30.0, seed: 5, ..config };
    engage::start(config).await.expect("the site listens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_feeds_come_in_over_tls_with_certificates_of_both_sides() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority(dir.path());
    let mut files = certify(dir.path(), "server", &authority, &[NAME], Validity::Valid);
    files.client_ca = Some(dir.path().join("ca.pem"));
    certify(dir.path(), "bridge", &authority, &["bridge"], Validity::Valid);
    let ixn = InteractionServer::start("ixn1", Spelling::Both, 0, Some(&files)).await;
    let ixn = ixn.expect("a port");
    ixn.set("A1001", &[("email", true)], &[]);
    // Three links to the SIP Server, one to the Stat Server, which fails on the way.
    let config = EngageConfig {
        wait_for_clients: 4,
        everything: true,
        stat_server: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..EngageConfig::default()
    };
    let site = site(config, Some(files)).await;
    let (primary, backup) = site.stat_addrs().expect("there is a Stat Server");
    let tls = format!(
        "tls = {{ ca_file = \"ca.pem\", certificate_file = \"bridge.pem\", \
         key_file = \"bridge.key\", server_name = \"{NAME}\" }}\n"
    );
    let states = format!(
        "stat_servers = [\"{primary}/{backup}\"]\n{tls}\
         [domain.interaction_reporting]\nbridge = \"b1\"\nservers = [\"{}\"]\n{tls}",
        ixn.address()
    );
    let mut process = ingest(dir.path(), &site.directory(), site.addr(), &states, &tls);
    process.says("running").await;
    timeout(PATIENCE, site.wait_days_over()).await.expect("the days end in time");
    timeout(PATIENCE, site.wait_finished()).await.expect("the calls end in time");
    until("the agent's status is told", PATIENCE, || !ixn.told().is_empty()).await;
    process.stop().await;

    let calls = raw_tlib(dir.path());
    let has = |role| calls.iter().any(|raw| raw.stream == Some(role) && raw.kind == RawKind::Event);
    assert!(has(Stream::Call) && has(Stream::Vq), "{} records", calls.len());
    let agents: Vec<RawEvent> = raw_agent(dir.path()).into_iter().map(|(_, raw)| raw).collect();
    let of = |role| agents.iter().filter(move |raw| raw.stream == Some(role));
    let up = of(Stream::Stat).filter(|raw| raw.kind == RawKind::LinkUp);
    let servers: Vec<&str> = up.map(|raw| raw.source.as_str()).collect();
    assert_eq!(servers, [STAT_SERVER, BACKUP_STAT_SERVER]);
    let states = of(Stream::Interaction).filter(|raw| raw.kind == RawKind::Event);
    assert!(states.count() > 0, "the Interaction Server's agent");
    assert_eq!(records(&dir.path().join("log"), DEAD_INGEST).len(), 0);
    site.stop().await;
}

/// What is wrong with a server.
enum Wrong {
    /// It speaks TLS by these files.
    Files(TlsFiles),
    /// It speaks no TLS.
    Plain,
    /// It takes connections and says nothing.
    Silent,
}

/// An address at which one server can take the place of another.
struct Relay {
    address: SocketAddr,
    to: watch::Sender<SocketAddr>,
}

impl Relay {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, to) = (listener.local_addr().expect("it listens"), watch::Sender::new(to));
        let now = to.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = *now.borrow();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(to).await.expect("the server listens");
                    // Either may break off.
                    drop(copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { address, to }
    }
}

/// A site with a Stat Server, and where that is.
async fn stat_server(tls: Option<TlsFiles>) -> (EngageSim, SocketAddr) {
    let any_port = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let config = EngageConfig { stat_server: any_port, ..EngageConfig::default() };
    let site = site(config, tls).await;
    let (address, _) = site.stat_addrs().expect("there is a Stat Server");
    (site, address)
}

/// A Stat Server that has something wrong, until it is mended: what is said of it, and that all
/// comes in then.
async fn is_said_and_mended(wrong: impl FnOnce(&Path, &Authority) -> Wrong, said: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority(dir.path());
    let good = certify(dir.path(), "good", &authority, &[NAME], Validity::Valid);
    let (mended, mended_at) = stat_server(Some(good)).await;
    // Nobody takes what comes to it.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (bad, bad_at) = match wrong(dir.path(), &authority) {
        Wrong::Files(files) => stat_server(Some(files)).await,
        Wrong::Plain => stat_server(None).await,
        Wrong::Silent => (stat_server(None).await.0, silent.local_addr().expect("it listens")),
    };
    let relay = Relay::start(bad_at).await;
    let address = relay.address;
    let states = format!(
        "stat_servers = [\"{address}\"]\n\
         tls = {{ ca_file = \"ca.pem\", server_name = \"{NAME}\" }}\n"
    );
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let agent = json!({"employeeId": "E1", "userId": "U1", "logins": []});
    let directory = json!({"servers": [], "agents": [agent], "queues": [], "sourceId": "s"});
    let mut process = ingest(dir.path(), &directory, nobody, &states, "");
    let admin = process.address("admin_address=").await;
    process.says(&format!("server=\"{address}\" error={said}")).await;
    let ready = |holds: &dyn Fn(&str) -> bool| {
        get(admin, "/readyz").is_some_and(|(status, body)| status == 503 && holds(&body))
    };
    until("/readyz says so", PATIENCE, || ready(&|body| body.contains(said))).await;

    relay.to.send_replace(mended_at);
    // The SIP Servers are away all the time.
    until("it is connected", PATIENCE, || ready(&|body| !body.contains("b1/main/stat/0"))).await;
    process.stop().await;
    let raw = raw_agent(dir.path());
    let of = |kind| raw.iter().filter(move |(_, raw)| raw.kind == kind);
    assert_eq!(of(RawKind::LinkUp).count(), 1, "only the mended server was ever up");
    assert_eq!(of(RawKind::Event).count(), 2, "both statistics of the agent");
    assert_eq!(records(&dir.path().join("log"), DEAD_INGEST).len(), 0);
    bad.stop().await;
    mended.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_not_known_is_said_and_mended() {
    let wrong = |dir: &Path, _: &Authority| {
        let other = Authority::new().expect("a key");
        Wrong::Files(certify(dir, "bad", &other, &[NAME], Validity::Valid))
    };
    let said = "its certificate is of an authority that is not known: add the certificate of that \
                authority to `ca_file` of `tls`";
    is_said_and_mended(wrong, said).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_said_and_mended() {
    let wrong = |dir: &Path, authority: &Authority| {
        Wrong::Files(certify(dir, "bad", authority, &["other.example"], Validity::Valid))
    };
    is_said_and_mended(wrong, "its certificate is for another name: connect it by a name").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_said_and_mended() {
    let wrong = |dir: &Path, authority: &Authority| {
        Wrong::Files(certify(dir, "bad", authority, &[NAME], Validity::Expired))
    };
    is_said_and_mended(wrong, "its certificate has expired: renew it at the server").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_said_and_mended() {
    let said = "it speaks no TLS: connect its port for TLS, or take `tls` out";
    is_said_and_mended(|_, _| Wrong::Plain, said).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let said = "no TLS handshake within 4000 ms: does this port speak TLS?";
    is_said_and_mended(|_, _| Wrong::Silent, said).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_one_side_knows_of_tls_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority(dir.path());
    let mut files = certify(dir.path(), "server", &authority, &[NAME], Validity::Valid);
    files.client_ca = Some(dir.path().join("ca.pem"));
    let (site, address) = stat_server(Some(files)).await;
    // To the SIP Server without TLS, to the Stat Server without the certificate that it asks for.
    let states = format!(
        "stat_servers = [\"{address}\"]\n\
         tls = {{ ca_file = \"ca.pem\", server_name = \"{NAME}\" }}\n"
    );
    let mut process = ingest(dir.path(), &site.directory(), site.addr(), &states, "");
    let admin = process.address("admin_address=").await;
    for said in [
        "the server speaks TLS: give its source `tls` in the configuration",
        "it refuses the certificate of the bridge, or that there is none",
    ] {
        process.says(said).await;
        until("/readyz says so", PATIENCE, || {
            get(admin, "/readyz").is_some_and(|(_, body)| body.contains(said))
        })
        .await;
    }
    process.stop().await;
    let events = raw_tlib(dir.path()).into_iter().filter(|raw| raw.kind == RawKind::Event);
    assert_eq!(events.count(), 0);
    assert_eq!(records(&dir.path().join("log"), DEAD_INGEST).len(), 0, "an alert is no line");
    site.stop().await;
}
