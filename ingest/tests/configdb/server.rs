//! A PostgreSQL of the tests' own: in a temporary folder, on a free port, stopped with the last
//! test that uses it.
//!
//! Where no PostgreSQL is installed the tests say so and pass; with `TRUNKLINE_REQUIRE_POSTGRES=1`
//! they fail instead. The server refuses to run as root, so root runs it as `nobody`.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use trunkline_ingest::configdb::Settings;
use trunkline_ingest::configdb::database::DatabaseConfig;
use trunkline_ingest::configdb::dialect::DatabaseKind;
use trunkline_ingest::configdb::diff::Guard;
use trunkline_ingest::configdb::profile::Profile;

const SCHEMA: &str = include_str!("schema.sql");
const SAMPLE: &str = include_str!("sample-data.sql");
/// Who reads in the tests: a role that may do nothing else.
const READER: &str = "reader";
pub(super) const PASSWORD: &str = "correct horse battery staple";
/// `nobody` and its group.
const NOBODY: u32 = 65534;
/// How often another port is tried when somebody else was faster.
const STARTS_MAX: usize = 5;

pub(super) struct Server {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    databases: AtomicUsize,
    /// Certificate that its own one is signed by: itself.
    pub(super) certificate: String,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server, started if no test is using it. Nothing: there is no PostgreSQL here.
pub(super) fn server() -> Option<Arc<Server>> {
    let Some(programs) = programs() else {
        let required = std::env::var("TRUNKLINE_REQUIRE_POSTGRES").is_ok_and(|v| v == "1");
        assert!(!required, "TRUNKLINE_REQUIRE_POSTGRES=1, and PostgreSQL is not installed");
        // Past the harness, which shows nothing of a test that passes.
        let said = "SKIPPED: PostgreSQL (initdb, pg_ctl) is not installed, nothing was tested";
        writeln!(std::io::stderr(), "{said}").expect("there is a standard error");
        return None;
    };
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Server::start(programs));
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// Folder of `initdb` and `pg_ctl`: on the path, or where Debian puts them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    folders.extend(debian.filter_map(|entry| Some(entry.ok()?.path().join("bin"))));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// Runs a program of PostgreSQL as a user that it accepts.
fn run(program: &Path, folder: &Path, args: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env("LC_ALL", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let done = command.output().map_err(|e| format!("{}: {e}", program.display()))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(format!("{} {args:?}: {}: {said}", program.display(), done.status))
}

/// A file that PostgreSQL accepts as a private key.
fn private(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give it away");
    }
}

impl Server {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may give it away");
        }
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let own = own.expect("a certificate is made");
        let certificate = own.cert.pem();
        private(&folder.path().join("server.crt"), &certificate);
        private(&folder.path().join("server.key"), &own.signing_key.serialize_pem());
        let init = ["-D", "data", "-U", "owner", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8"];
        let password = folder.path().join("password");
        private(&password, PASSWORD);
        let init = [&init[..], &["--pwfile", "password", "--locale", "C"]].concat();
        run(&programs.join("initdb"), folder.path(), &init).expect("initdb");
        let mut server =
            Self { folder, programs, port: 0, databases: AtomicUsize::new(0), certificate };
        for attempt in 1.. {
            server.port = free_port();
            match server.control(&["-w", "-l", "log", "-o", &server.options(), "start"]) {
                Ok(()) => break,
                Err(why) => assert!(attempt < STARTS_MAX, "{why}\n{}", server.log()),
            }
        }
        server
    }

    fn options(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "-p {} -k {folder} -F -c listen_addresses=localhost -c ssl=on \
             -c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key",
            self.port
        )
    }

    fn control(&self, args: &[&str]) -> Result<(), String> {
        let args = [&["-D", "data", "-s"], args].concat();
        run(&self.programs.join("pg_ctl"), self.folder.path(), &args)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn client(&self, database: &str) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host(self.folder.path().to_str().expect("UTF-8")).port(self.port);
        config.dbname(database).user("owner").password(PASSWORD);
        let (client, connection) = config.connect(NoTls).await.expect("the server is up");
        tokio::spawn(connection);
        client
    }

    /// A database with the sample tenant, and a role that may read it.
    pub(super) async fn sample(&self) -> Sample {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("config{number}");
        let reader = format!("{READER}{number}");
        let owner = self.client("postgres").await;
        let create = format!("CREATE DATABASE {name}");
        owner.batch_execute(&create).await.expect("a database is made");
        let owner = self.client(&name).await;
        owner.batch_execute(SCHEMA).await.expect("the schema is loaded");
        owner.batch_execute(SAMPLE).await.expect("the sample is loaded");
        let grants = format!(
            "CREATE ROLE {reader} LOGIN PASSWORD '{PASSWORD}'; \
             GRANT USAGE ON SCHEMA genesys TO {reader}; \
             GRANT SELECT ON ALL TABLES IN SCHEMA genesys TO {reader};"
        );
        owner.batch_execute(&grants).await.expect("the role is made");
        let database = DatabaseConfig {
            kind: DatabaseKind::PostgreSql,
            host: self.folder.path().to_str().expect("UTF-8").to_owned(),
            port: self.port,
            database: name,
            user: reader,
            password: Some(SecretString::from(PASSWORD)),
            ca_pem: None,
            timeout: Duration::from_mins(1),
        };
        let settings = Settings {
            database,
            schema: "genesys".to_owned(),
            tenant: 101,
            profile: Profile::built_in(),
            by_folder: true,
            guard: Guard::default(),
            approved: None,
        };
        Sample { owner, settings }
    }

    /// Another connection of the owner.
    pub(super) async fn owner(&self, sample: &Sample) -> Client {
        let client = self.client(&sample.settings.database.database).await;
        client.batch_execute("SET search_path = genesys").await.expect("it is there");
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(why) = self.control(&["-m", "immediate", "stop"]) {
            eprintln!("PostgreSQL could not be stopped: {why}");
        }
    }
}

/// A database of one test.
pub(super) struct Sample {
    owner: Client,
    pub(super) settings: Settings,
}

impl Sample {
    /// Changes it.
    pub(super) async fn execute(&self, sql: &str) {
        let sql = format!("SET search_path = genesys; {sql}");
        self.owner.batch_execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
