//! The events of one server as its clients get them: JSON lines over TCP, three roles, resumption
//! from any number. A server keeps all it ever said; each client reads it at its own position, so
//! that a slow one needs no queue of its own and disturbs nobody.
//!
//! A client says hello on the first line. It is answered with a welcome, the events of its role
//! from where it left off, `caughtUp` once when it has all that was there at its hello, and
//! `keepAlive` whenever nothing was sent for a second. A bad hello is answered with one error line.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Near;
use super::event::Role;
use crate::door::{Present, Wire, refuse, send};

/// Longest line of the protocol.
const LINE_BYTES_MAX: u64 = (1 << 20) + (4 << 10);
/// How long a client may take to say hello.
const HELLO_WAIT: Duration = Duration::from_secs(10);
/// A line is sent at least this often.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);
/// Entries looked at, and bytes collected, in one go.
const SCAN_ENTRIES_MAX: usize = 4_096;
const SEND_BYTES_MAX: usize = 64 << 10;

/// One event as it was said.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) role: Role,
    /// `ThisDN`; none for call monitoring.
    pub(super) dn: Option<String>,
    /// The line with its newline.
    pub(super) line: String,
}

/// A server process: its name, when it started, and all it said.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    /// Seconds since 1970.
    pub(super) started_at: i64,
    entries: RwLock<Vec<Entry>>,
    /// How many entries there are.
    said: watch::Sender<usize>,
    /// Set when the process ends: its clients get what it said, and no more.
    ended: CancellationToken,
}

impl Server {
    pub(super) fn new(name: &'static str, started_at: i64) -> Self {
        let (entries, said) = (RwLock::new(Vec::new()), watch::Sender::new(0));
        Self { name, started_at, entries, said, ended: CancellationToken::new() }
    }

    /// Ends the process.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    pub(super) fn say(&self, new: impl IntoIterator<Item = Entry>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.extend(new);
        self.said.send_replace(entries.len());
    }

    /// Where the reading of a client starts, and whether that is exactly where it left off.
    fn start_of(&self, resume: Option<(i64, u64)>) -> (usize, bool) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Some((start, sequence)) = resume else { return (0, false) };
        let known = entries.last().is_some_and(|last| sequence <= last.sequence);
        if start != self.started_at || !known {
            return (0, false);
        }
        (entries.partition_point(|entry| entry.sequence <= sequence), true)
    }

    /// The lines for this client from `position` on, as many as fit, and where to read on.
    fn read(&self, position: usize, hello: &Hello) -> (String, usize) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let (mut lines, mut next) = (String::new(), position);
        for entry in entries[position..].iter().take(SCAN_ENTRIES_MAX) {
            if lines.len() >= SEND_BYTES_MAX {
                break;
            }
            next += 1;
            if hello.wants(entry) {
                lines.push_str(&entry.line);
            }
        }
        (lines, next)
    }
}

/// Serves the clients of a server until it ends.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>, near: Near) {
    let Near { door, present, stop, .. } = near;
    let ended = server.ended.clone();
    let attend = move |wire| {
        let client = Client { server: Arc::clone(&server), wire: BufReader::new(wire) };
        let present = Arc::clone(&present);
        async move { client.attend(&present).await }
    };
    door.serve(listener, [&stop, &ended], attend).await;
}

#[derive(Debug, Deserialize)]
struct Opening {
    hello: Hello,
}

#[derive(Debug, Deserialize)]
struct Hello {
    role: Role,
    bridge: String,
    dns: Option<BTreeSet<String>>,
    resume: Option<Resume>,
}

#[derive(Debug, Deserialize)]
struct Resume {
    #[serde(rename = "serverStart")]
    server_start: i64,
    sequence: String,
}

impl Hello {
    /// Whether an event is for this client: of its role, and of one of its DNs where the role has
    /// DNs.
    fn wants(&self, entry: &Entry) -> bool {
        let named = |dn| self.dns.as_ref().is_some_and(|dns| dns.contains(dn));
        entry.role == self.role && entry.dn.as_ref().is_none_or(named)
    }
}

/// Reads a hello line: what the client wants and the (server start, number) it resumes after.
fn parse_hello(line: &[u8]) -> Result<(Hello, Option<(i64, u64)>), String> {
    let opening: Opening =
        serde_json::from_slice(line).map_err(|error| format!("bad hello: {error}"))?;
    let hello = opening.hello;
    if hello.dns.is_none() && hello.role != Role::Call {
        return Err("bad hello: this role must name its DNs in \"dns\"".to_owned());
    }
    let Some(resume) = &hello.resume else { return Ok((hello, None)) };
    let digits =
        resume.sequence.len() == 16 && resume.sequence.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(&resume.sequence, 16);
    let (true, Ok(number)) = (digits, number) else {
        return Err("bad hello: \"sequence\" must be 16 hexadecimal digits".to_owned());
    };
    let from = (resume.server_start, number);
    Ok((hello, Some(from)))
}

struct Client {
    server: Arc<Server>,
    wire: BufReader<Wire>,
}

impl Client {
    async fn attend(mut self, present: &watch::Sender<usize>) -> io::Result<()> {
        let line = match timeout(HELLO_WAIT, self.first_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return refuse(self.wire, &error.to_string()).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return refuse(self.wire, "no hello in time").await,
        };
        match parse_hello(&line) {
            Ok((hello, from)) => {
                let _present = Present::new(present);
                self.feed(&hello, from).await
            }
            Err(error) => refuse(self.wire, &error).await,
        }
    }

    /// The first line; nothing if the client left without a word.
    async fn first_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        (&mut self.wire).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
        if line.ends_with(b"\n") {
            return Ok(Some(line));
        }
        if line.is_empty() {
            return Ok(None);
        }
        let what = if line.len() as u64 == LINE_BYTES_MAX { "too long" } else { "cut off" };
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("bad hello: the line is {what}")))
    }

    async fn feed(mut self, hello: &Hello, from: Option<(i64, u64)>) -> io::Result<()> {
        let server = Arc::clone(&self.server);
        let mut said = server.said.subscribe();
        let (mut position, resumed) = server.start_of(from);
        let mut there_at_hello = Some(*said.borrow());
        tracing::debug!(server = server.name, bridge = hello.bridge, resumed, "a client came");
        let welcome = json!({"welcome": {
            "server": server.name, "serverStart": server.started_at, "resumed": resumed,
        }});
        self.send(&line_of(&welcome)).await?;
        let mut sent_at = Instant::now();
        let mut scratch = [0; 256];
        loop {
            let (mut lines, next) = server.read(position, hello);
            let moved = next > position;
            position = next;
            if there_at_hello.is_some_and(|end| position >= end) {
                there_at_hello = None;
                lines.push_str(&line_of(&json!({"caughtUp": true})));
            }
            if !lines.is_empty() {
                self.send(&lines).await?;
                sent_at = Instant::now();
            }
            if moved {
                tokio::task::yield_now().await;
                continue;
            }
            // Fails only when the server is gone, and with it everything.
            let more = async { said.wait_for(|end| *end > position).await.is_ok() };
            tokio::select! {
                biased;
                more = more => {
                    if !more { return Ok(()); }
                }
                () = server.ended.cancelled() => return Ok(()),
                read = self.wire.read(&mut scratch) => {
                    if read? == 0 { return Ok(()); }
                }
                () = sleep_until(sent_at + KEEP_ALIVE_EVERY) => {
                    self.send(&line_of(&json!({"keepAlive": true}))).await?;
                    sent_at = Instant::now();
                }
            }
        }
    }

    async fn send(&mut self, lines: &str) -> io::Result<()> {
        send(&mut self.wire, lines).await
    }
}

/// A value as a line of the protocol.
pub(super) fn line_of(value: &Value) -> String {
    format!("{value}\n")
}
