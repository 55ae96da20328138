//! The program as its users meet it: started with arguments, fed, asked over HTTP, told to stop.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use trunkline::clock::Elapsed;

use super::running::until;

/// How long a program may take until it says what is waited for.
const SAY_MAX: Duration = Duration::from_mins(1);
/// How long a program that is told to stop may take (issue: 5 s).
pub(super) const STOP_MAX: Duration = Duration::from_secs(5);
/// How long an answer of the admin listener may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The program with these arguments and nothing of the environment that could change what it does.
pub(super) fn trunkline(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    for variable in ["RUST_LOG", "NO_COLOR", "TRUNKLINE_HOLD_AT", "TRUNKLINE_CONVERSATION_SECRET"] {
        command.env_remove(variable);
    }
    command.args(args);
    command
}

/// What a program that ended has left.
#[derive(Debug)]
pub(super) struct Done {
    /// Exit status; nothing if a signal ended it.
    pub(super) status: Option<i32>,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

/// Runs the program to its end.
pub(super) fn run(args: &[&str], input: &[u8]) -> Done {
    run_command(trunkline(args), input)
}

/// Runs a command to its end, with this input.
pub(super) fn run_command(mut command: Command, input: &[u8]) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // A program that ends before it has read everything is not at fault.
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the program ends");
    feed.join().expect("the input is written");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Done { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Starts a program whose standard output is read until its first line, and closed then. Returns
/// that line and what the program has left.
pub(super) fn run_and_read_one_line(args: &[&str], input: &[u8]) -> (String, Done) {
    let mut command = trunkline(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout: ChildStdout = child.stdout.take().expect("stdout is a pipe");
    let mut line = String::new();
    BufReader::with_capacity(64, stdout).read_line(&mut line).expect("there is a line");
    let output = child.wait_with_output().expect("the program ends");
    feed.join().expect("the input is written");
    let err = String::from_utf8(output.stderr).expect("the program writes UTF-8");
    (line, Done { status: output.status.code(), out: String::new(), err })
}

/// A program that runs until it is told to stop. Dropping it kills it.
pub(super) struct Server {
    child: Child,
    started: Elapsed,
    out: PathBuf,
    err: PathBuf,
    /// Copies what it says on standard error.
    keeps: JoinHandle<()>,
}

impl Server {
    /// Starts the program; what it writes goes to files in `dir` named after `name`.
    pub(super) fn start(dir: &Path, name: &str, args: &[&str]) -> Self {
        Self::start_command(dir, name, trunkline(args))
    }

    /// Starts the program so that it holds when it passes a point for the `nth` time, as `nth` of
    /// `point@nth`; it then makes the file `held` in `dir`, and holds as long as that is there.
    pub(super) fn start_held(dir: &Path, name: &str, point: &str, args: &[&str]) -> Self {
        let mut command = trunkline(args);
        command.env("TRUNKLINE_HOLD_AT", point).env("TRUNKLINE_HOLD_FILE", dir.join("held"));
        Self::start_command(dir, name, command)
    }

    /// Starts the program where no file may become longer than so many KiB, as on a full disk.
    pub(super) fn start_limited(dir: &Path, name: &str, file_kib: u32, args: &[&str]) -> Self {
        // `ulimit -f` counts blocks of 512 bytes; an ignored SIGXFSZ makes a write fail instead.
        let blocks = file_kib * 2;
        let script = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_trunkline")]).args(args);
        Self::start_command(dir, name, command)
    }

    fn start_command(dir: &Path, name: &str, mut command: Command) -> Self {
        let (out, err) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        let file = |path: &Path| File::create(path).expect("an output file can be made");
        // Through a pipe, standard error is not bound by a limit on files.
        command.stdin(Stdio::null()).stdout(file(&out)).stderr(Stdio::piped());
        let started = Elapsed::start();
        let mut child = command.spawn().expect("the program starts");
        let mut said = child.stderr.take().expect("stderr is a pipe");
        let mut kept = file(&err);
        let keeps = std::thread::spawn(move || drop(std::io::copy(&mut said, &mut kept)));
        Self { child, started, out, err, keeps }
    }

    /// What it said so far on standard error.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Since its start.
    pub(super) fn age(&self) -> Duration {
        self.started.time()
    }

    /// Fails if it has ended by itself.
    pub(super) fn assert_alive(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.said());
    }

    /// Waits until it has said `text` on standard error; returns what follows in that line.
    pub(super) async fn says(&mut self, text: &str) -> String {
        let mut found = None;
        until(&format!("it says {text:?}"), SAY_MAX, || {
            self.assert_alive();
            let said = self.said();
            // Only whole lines: the rest may still be on its way.
            let mut whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            found = whole.find_map(|line| line.trim_end().split_once(text)).map(own);
            found.is_some()
        })
        .await;
        found.expect("it was found")
    }

    /// The address that follows `text` in what it says.
    pub(super) async fn address(&mut self, text: &str) -> SocketAddr {
        let rest = self.says(text).await;
        let word = rest.split_whitespace().next().unwrap_or_default();
        word.trim_start_matches("http://").parse().expect("an address")
    }

    /// Tells it to stop.
    pub(super) fn tell_to_stop(&mut self) {
        self.assert_alive();
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("there is kill");
        assert!(told.success(), "{told:?}");
    }

    /// Waits until it has ended and all it said is kept; returns its status.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        until("it ends", SAY_MAX, || {
            ended = self.child.try_wait().expect("a child can be asked");
            ended.is_some()
        })
        .await;
        until("what it said is kept", SAY_MAX, || self.keeps.is_finished()).await;
        ended.expect("it has ended")
    }

    /// Tells it to stop and waits for it. Returns its status, how long it took, and what it wrote.
    pub(super) async fn terminate(mut self) -> (ExitStatus, Duration, String) {
        let watch = Elapsed::start();
        self.tell_to_stop();
        let status = self.ended().await;
        let out = fs::read_to_string(&self.out).expect("what it wrote is UTF-8");
        (status, watch.time(), out)
    }

    /// Tells it to stop; fails if it does not cleanly, which means within its own deadline. Returns
    /// what it wrote on standard output.
    pub(super) async fn stop(self) -> String {
        self.stop_within(SAY_MAX).await
    }

    /// [`Server::stop`], which may take so long.
    pub(super) async fn stop_within(self, limit: Duration) -> String {
        let err = self.err.clone();
        let (status, took, out) = self.terminate().await;
        let said = fs::read_to_string(err).unwrap_or_default();
        assert!(status.success() && took < limit, "{status:?} after {took:?}:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
        out
    }
}

fn own((_, rest): (&str, &str)) -> String {
    rest.to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks an HTTP server; returns the status and the body. Nothing if it does not answer.
pub(super) fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX).ok()?;
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The text of `config/example.toml` for this site and organisation: only addresses, paths and the
/// place of the secret differ from what users are given.
pub(super) fn example_config(sip: SocketAddr, org: SocketAddr) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("config/example.toml")).expect("there is an example");
    let (pair, url) = (format!("[\"{sip}\"]"), format!("\"http://{org}\""));
    let changes = [
        ("\"127.0.0.1:3650\"", "\"127.0.0.1:0\""),
        ("\"127.0.0.1:3630\"", "\"127.0.0.1:0\""),
        ("\"127.0.0.1:3640\"", "\"127.0.0.1:0\""),
        ("\"directory.example.json\"", "\"directory.json\""),
        ("[\"sip1.example:8000/sip1b.example:8000\"]", &pair),
        ("[\"sip2.example:8000/sip2b.example:8000\"]", &pair),
        ("[\"sip3.example:8000\"]", &pair),
        ("\"https://api.mypurecloud.de\"", &url),
        ("\"https://login.mypurecloud.de\"", &url),
        ("\"00000000-0000-4000-8000-000000000000\"", "\"simulated-client\""),
        (
            "client_secret_env = \"TRUNKLINE_CONVERSATION_SECRET\"",
            "client_secret_file = \"secret\"",
        ),
        ("conversation_partitions = 4", "conversation_partitions = 2"),
    ];
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "the example has no {from}");
        text.replace(from, to)
    })
}
