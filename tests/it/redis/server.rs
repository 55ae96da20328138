//! A real Redis for a test, on a free port, gone with the test.
//!
//! `TRUNKLINE_REQUIRE_REDIS=1` makes a test that cannot run a failure.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::fetched::skip;
use crate::kafka::broker::ports;

/// A server, or a Sentinel.
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: TempDir,
    arguments: Vec<String>,
    /// Kills the server when its standard input ends, and so when the test process does.
    keeper: Option<Child>,
}

/// Whether there is Redis here; that there is none is said.
pub(crate) fn is_there(test: &str) -> bool {
    let asked = Command::new("redis-server").arg("--version").output();
    if asked.is_ok_and(|asked| asked.status.success()) {
        return true;
    }
    skip(test, "TRUNKLINE_REQUIRE_REDIS", "there is no redis-server");
    false
}

impl Server {
    /// Starts one with these arguments more.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::on(ports()[0], arguments)
    }

    /// Starts one on a port.
    pub(crate) fn on(port: u16, arguments: &[&str]) -> Self {
        let number = port.to_string();
        let port_arguments: &[&str] =
            if arguments.contains(&"--tls-port") { &["--port", "0"] } else { &["--port", &number] };
        let common = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let all = [port_arguments, &common, arguments].concat();
        Self::of(port, all.into_iter().map(str::to_owned).collect(), None)
    }

    /// Starts a Sentinel that watches a master.
    pub(crate) fn sentinel(master: &str, port: u16) -> Self {
        let own = ports()[0];
        let text = format!(
            "port {own}\nbind 127.0.0.1\nsentinel monitor {master} 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds {master} 500\n\
             sentinel failover-timeout {master} 3000\n"
        );
        let arguments = vec!["sentinel.conf".to_owned(), "--sentinel".to_owned()];
        Self::of(own, arguments, Some(&text))
    }

    fn of(port: u16, arguments: Vec<String>, settings: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the server");
        if let Some(text) = settings {
            let file = directory.path().join("sentinel.conf");
            std::fs::write(file, text).expect("the directory can be written");
        }
        let mut server = Self { port, directory, arguments, keeper: None };
        server.run();
        server
    }

    /// Ends it with SIGKILL and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().expect("the server ends");
        }
    }

    /// Starts it, with nothing in it, and returns when it listens.
    pub(crate) fn run(&mut self) {
        self.kill();
        let keep = "redis-server \"$@\" >redis.log 2>&1 </dev/null & echo $!; \
                    cat >/dev/null; kill -9 $! 2>/dev/null; wait";
        let mut keeper = Command::new("sh")
            .args(["-c", keep, "sh"])
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut started = String::new();
        let out = keeper.stdout.take().expect("stdout is a pipe");
        BufReader::new(out).read_line(&mut started).expect("the shell names the server");
        self.keeper = Some(keeper);
        let watch = trunkline::clock::Elapsed::start();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(watch.time().as_secs() < 30, "no Redis listens:\n{}", self.words());
            std::thread::yield_now();
        }
    }

    /// What it has said.
    fn words(&self) -> String {
        std::fs::read_to_string(self.file("redis.log")).unwrap_or_default()
    }

    /// A file of its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What it answers to a command of `redis-cli`.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let asked = Command::new("redis-cli").args(["-p", &port]).args(arguments).output();
        let asked = asked.expect("redis-cli starts");
        String::from_utf8_lossy(&asked.stdout).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
