//! The bridge to SQL Server, through its driver and over the wire, against [`super::tds`]. The same
//! tenant stands behind it as behind PostgreSQL, so the same must be read.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::SecretString;
use trunkline_ingest::configdb::dialect::DatabaseKind;
use trunkline_ingest::configdb::diff::Published;
use trunkline_ingest::configdb::probe::probe;
use trunkline_ingest::configdb::profile::Profile;
use trunkline_ingest::configdb::{ConfigBridge, PollError, Settings};
use trunkline_schemas::configdb::ConfigObject;

use super::server::{PASSWORD, Sample, server};
use super::tds::{Behaviour, FUNCTIONS, Peer};
use super::{polled, sample_objects, started};

/// What the server asks of a login.
const USER: &str = "trunkline";
const SECRET: &str = "p\u{e4}ssw\u{f6}rd";

/// The sample tenant behind a server that behaves as it should.
async fn behaviour(sample: &Sample) -> Behaviour {
    sample.execute(FUNCTIONS).await;
    let place = &sample.settings.database;
    let mut postgres = tokio_postgres::Config::new();
    postgres.host(&place.host).port(place.port).dbname(&place.database);
    postgres.user(&place.user).password(PASSWORD);
    Behaviour {
        postgres,
        database: "config".to_owned(),
        user: USER.to_owned(),
        password: SECRET.to_owned(),
        ..Behaviour::default()
    }
}

/// How a server is reached.
fn settings(sample: &Sample, peer: &Peer) -> Settings {
    let mut settings = sample.settings.clone();
    let database = &mut settings.database;
    database.kind = DatabaseKind::SqlServer;
    "127.0.0.1".clone_into(&mut database.host);
    database.port = peer.address.port();
    "config".clone_into(&mut database.database);
    USER.clone_into(&mut database.user);
    database.password = Some(SecretString::from(SECRET));
    settings
}

#[tokio::test]
async fn the_sample_tenant_is_read_through_tds_as_from_postgresql() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut behaviour = behaviour(&sample).await;
    for wide in [true, false] {
        behaviour.wide = wide;
        let peer = Peer::start(behaviour.clone()).await;
        let mut bridge = started(&settings(&sample, &peer)).await;
        let mut published = Published::default();
        assert_eq!(polled(&mut bridge, &mut published).await.len(), 77);
        assert_eq!(published.objects, sample_objects(), "wide: {wide}");
        // A catalog; then one transaction with every read.
        let batches = peer.batches();
        assert_eq!(batches.len(), 1 + 1 + 15 + 1);
        assert!(batches[0].contains("FROM INFORMATION_SCHEMA.COLUMNS"), "{}", batches[0]);
        let begin = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION";
        assert_eq!((batches[1].as_str(), batches[17].as_str()), (begin, "COMMIT TRANSACTION"));
        let reads = &batches[2..17];
        assert!(reads.iter().all(|it| it.starts_with("SELECT TOP (5000001) CAST(")), "{reads:?}");
        assert_eq!(
            reads[1],
            "SELECT TOP (5000001) CAST(dbid AS bigint), name FROM genesys.cfg_switch \
             WHERE tenant_dbid = CAST(101 AS bigint)"
        );
        // The same connection serves again, and nothing changed.
        assert_eq!(polled(&mut bridge, &mut published).await, Vec::<String>::new());
        assert_eq!(peer.batches().len(), 17);
    }
}

#[tokio::test]
async fn changes_are_told_with_their_letters_and_times() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut behaviour = behaviour(&sample).await;
    behaviour.wide = false;
    let peer = Peer::start(behaviour).await;
    let mut bridge = started(&settings(&sample, &peer)).await;
    let mut published = Published::default();
    polled(&mut bridge, &mut published).await;
    for (sql, told) in [
        ("UPDATE cfg_person SET last_name = 'M\u{fc}ller' WHERE dbid = 101", "person/101"),
        ("UPDATE cfg_person SET first_name = NULL WHERE dbid = 102", "person/102"),
        ("UPDATE cfg_person SET state = 3 WHERE dbid = 112", "-person/112"),
        (
            "INSERT INTO cfg_hdb_operation (id, operation_type, object_type, object_dbid, op_time) \
             VALUES (6001, 2, 2, 133, '2039-06-10 06:13:20')",
            "dn/133",
        ),
    ] {
        sample.execute(sql).await;
        assert_eq!(polled(&mut bridge, &mut published).await, [told, "poll"], "{sql}");
    }
    let ConfigObject::Person(person) = &published.objects["person/101"] else { panic!("a person") };
    assert_eq!(person.last_name, "M\u{fc}ller");
    let ConfigObject::Person(person) = &published.objects["person/102"] else { panic!("a person") };
    assert_eq!(person.first_name, "");
    // Beyond what DATEDIFF can say in seconds: 2039-06-10T06:13:20Z.
    let ConfigObject::Dn(dn) = &published.objects["dn/133"] else { panic!("a DN") };
    assert_eq!(dn.modified_ms, Some(2_191_299_200_000));
}

#[tokio::test]
async fn a_poll_is_of_one_moment_whatever_others_write() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut behaviour = behaviour(&sample).await;
    // After the first read of each connection: a person and its skill level, together.
    behaviour.postgres = {
        let mut owner = tokio_postgres::Config::new();
        let place = &sample.settings.database;
        owner.host(&place.host).port(place.port).dbname(&place.database);
        owner.user("owner").password(PASSWORD);
        owner
    };
    behaviour.between = Some(
        "BEGIN; UPDATE genesys.cfg_person SET last_name = 'Later' WHERE dbid = 101; \
         UPDATE genesys.cfg_skill SET name = 'Later' WHERE dbid = 101; COMMIT"
            .to_owned(),
    );
    let peer = Peer::start(behaviour).await;
    let mut bridge = started(&settings(&sample, &peer)).await;
    let mut published = Published::default();
    polled(&mut bridge, &mut published).await;
    assert_eq!(published.objects, sample_objects(), "nothing of the change was seen");
    assert_eq!(
        polled(&mut bridge, &mut published).await,
        ["person/101", "skill/101", "poll"],
        "then all of it"
    );
}

#[tokio::test]
async fn whoever_only_reads_may_be_sent_to_another_server() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut behaviour = behaviour(&sample).await;
    let secondary = Peer::start(behaviour.clone()).await;
    behaviour.route = Some(secondary.address);
    let listener = Peer::start(behaviour.clone()).await;
    let mut bridge = started(&settings(&sample, &listener)).await;
    assert_eq!(bridge.snapshot().await.expect("it is read").objects.len(), 76);
    assert_eq!((listener.batches().len(), secondary.batches().len()), (0, 18));
    // Two that send to each other.
    drop(secondary);
    behaviour.route = Some(listener.address);
    let circle = Peer::start(behaviour).await;
    let mut settings = settings(&sample, &circle);
    settings.database.timeout = Duration::from_secs(20);
    let error = ConfigBridge::start(settings).await.expect_err("nobody serves").to_string();
    assert!(error.starts_with("connecting to the database: "), "{error}");
}

/// A certificate and what a server encrypts with.
fn certificate() -> (String, Arc<ServerConfig>) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let own = own.expect("a certificate is made");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let chain = vec![CertificateDer::from(own.cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a key of its own");
    (own.cert.pem(), Arc::new(config))
}

#[tokio::test]
async fn a_connection_is_encrypted_and_the_server_proves_its_name() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut behaviour = behaviour(&sample).await;
    let plain = Peer::start(behaviour.clone()).await;
    let (pem, tls) = certificate();
    behaviour.tls = Some(tls);
    let peer = Peer::start(behaviour).await;
    let mut settings = settings(&sample, &peer);
    "localhost".clone_into(&mut settings.database.host);
    settings.database.ca_pem = Some(pem.clone().into_bytes());
    let mut bridge = started(&settings).await;
    let mut published = Published::default();
    polled(&mut bridge, &mut published).await;
    assert_eq!(published.objects, sample_objects());
    for (host, ca, port, said) in [
        ("localhost", certificate().0.as_str(), peer.address.port(), "certificate"),
        ("127.0.0.1", pem.as_str(), peer.address.port(), "certificate"),
        ("localhost", "none", peer.address.port(), "no usable certificate"),
        ("localhost", pem.as_str(), plain.address.port(), "the server does not offer TLS"),
    ] {
        let mut settings = settings.clone();
        (settings.database.host, settings.database.port) = (host.to_owned(), port);
        settings.database.ca_pem = Some(ca.as_bytes().to_vec());
        let refused = ConfigBridge::start(settings).await.expect_err(said).to_string();
        assert!(refused.contains(said), "{refused} does not say {said}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said_without_secrets() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let mut behaviour = behaviour(&sample).await;
    let peer = Peer::start(behaviour.clone()).await;
    let refused = async |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(&sample, &peer);
        change(&mut settings);
        let error = ConfigBridge::start(settings).await.expect_err("it is refused").to_string();
        assert!(!error.contains(SECRET), "{error}");
        error
    };
    let wrong = "some other password";
    assert_eq!(
        refused(&|it| it.database.password = Some(wrong.into())).await,
        "connecting to the database: error 18456 (Login failed for user 'trunkline'.)"
    );
    let error = refused(&|it| "nowhere".clone_into(&mut it.database.database)).await;
    assert!(error.starts_with("connecting to the database: error 4060 (Cannot open"), "{error}");
    let error = refused(&|it| "elsewhere".clone_into(&mut it.schema)).await;
    assert!(error.contains("person: there is no table cfg_person"), "{error}");
    // It waits for encryption, which was not asked for.
    behaviour.tls = Some(certificate().1);
    let encrypted = Peer::start(behaviour.clone()).await;
    let port = encrypted.address.port();
    let error = refused(&|it| it.database.port = port).await;
    assert!(error.starts_with("connecting to the database: "), "{error}");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let late = |it: &mut Settings| {
        (it.database.port, it.database.timeout) = (port, Duration::from_secs(1));
    };
    assert_eq!(refused(&late).await, "the database did not answer within 1 s");
    drop(silent);
    let error = refused(&late).await;
    assert!(error.starts_with("connecting to the database: "), "{error}");
    behaviour.tls = None;
    behaviour.snapshots = false;
    let strict = Peer::start(behaviour).await;
    let error = started(&settings(&sample, &strict)).await.snapshot().await.expect_err("refused");
    assert_eq!(
        error.to_string(),
        "tenant: error 3952 (Snapshot isolation transaction failed accessing database 'config' \
         because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow \
         snapshot isolation.)"
    );
    // A value that is no number is not shown.
    sample.execute("ALTER TABLE cfg_skill_level ALTER level_ TYPE text USING 'personal'").await;
    let error = started(&settings(&sample, &peer)).await.snapshot().await.expect_err("no number");
    assert_eq!(error.to_string(), "skill_level: error 245");
}

#[tokio::test]
async fn a_connection_that_is_cut_tells_nothing_and_is_made_anew() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    // Rows enough for several packets.
    sample
        .execute(
            "INSERT INTO cfg_skill (dbid, name, tenant_dbid, state) \
             SELECT n, 'Skill number ' || n, 101, 1 FROM generate_series(1000, 1999) n",
        )
        .await;
    let behaviour = behaviour(&sample).await;
    let peer = Peer::start(behaviour.clone()).await;
    let mut bridge = started(&settings(&sample, &peer)).await;
    let mut published = Published::default();
    assert_eq!(polled(&mut bridge, &mut published).await.len(), 1_077);
    for bytes in [0, 1, 7, 400, 3_999] {
        *behaviour.cut.lock().expect("nobody panicked") = Some(bytes);
        let error = bridge.poll(&published, 6).await.expect_err("it was cut");
        assert!(matches!(error, PollError::Database(_)), "{error}");
        assert_eq!(bridge.poll(&published, 6).await.expect("a new connection"), []);
    }
}

#[tokio::test]
async fn a_probe_shows_what_a_database_has() {
    let Some(server) = server() else { return };
    let sample = server.sample().await;
    let peer = Peer::start(behaviour(&sample).await).await;
    let database = settings(&sample, &peer).database;
    let found = probe(&database, "genesys", &Profile::built_in()).await.expect("it is probed");
    assert_eq!(found.resolution.missing, []);
    let tenants = [(1, "Environment"), (101, "tenant001"), (102, "tenant002")];
    assert_eq!(found.tenants, tenants.map(|(dbid, name)| (dbid, name.to_owned())));
    let direct = probe(&sample.settings.database, "genesys", &Profile::built_in()).await;
    assert_eq!(found.counted, direct.expect("it is probed").counted);
    let e_mail = found.columns.iter().find(|it| it.column == "e_mail").expect("it is there");
    assert_eq!((e_mail.table.as_str(), e_mail.kind.as_str()), ("cfg_person", "varchar"));
}
