//! A scripted feeder of TLib lines over TCP: it says exactly what a test gives it, good or bad, and
//! more when it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::translate::{EPOCH_MS, model};

/// A line is sent at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// The start of the server, seconds since 1970.
const SERVER_START: i64 = EPOCH_MS / 1000 - 3_600;
/// Seconds from the beginning of one call to that of the next, and numbers that a call may use.
const CALL_SECS: i64 = 1_000;
const CALL_NUMBERS: i64 = 0x1000;

/// Lines by the role whose client gets them, each without its newline.
pub(super) type Feed = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// The lines of a call model as the `number`-th call of a feed: ids of its own, later times and
/// higher numbers. Lines of streams that nobody reads are left out.
pub(super) fn call(name: &str, number: i64) -> Vec<Value> {
    let lines = model(name).into_iter().filter_map(|line| {
        let line = line
            .replace("AAAAAAAAAAAAAE", &format!("AAAAAAAAAAA{number:03}"))
            .replace("TESTURS0", &format!("TESTURS{number}"))
            .replace("00710300", &format!("0071{number:04}"));
        let mut line: Value = serde_json::from_str(&line).expect("a model line is JSON");
        let event = &mut line["event"];
        let seconds = event["time"]["TimeinSecs"].as_i64().expect("an event has a time");
        event["time"]["TimeinSecs"] = json!(seconds + number * CALL_SECS);
        let sequence = event["EventSequenceNumber"].as_str().expect("an event has a number");
        let sequence = i64::from_str_radix(sequence, 16).expect("it is hexadecimal");
        let sequence = sequence + number * CALL_NUMBERS;
        event["EventSequenceNumber"] = json!(format!("{sequence:016x}"));
        (line["stream"] != "dn").then_some(line)
    });
    lines.collect()
}

/// When that call begins, milliseconds since 1970.
pub(super) fn call_begins_ms(number: i64) -> i64 {
    EPOCH_MS + number * CALL_SECS * 1_000
}

/// The `CallUUID` of that call.
pub(super) fn call_uuid(number: i64) -> String {
    format!("01TESTSIPS1AAAAAAAAAAA{number:03}S000001")
}

/// The role whose client gets a line.
pub(super) fn role_of(line: &Value) -> &'static str {
    match line["stream"].as_str() {
        Some("vq") => "vq",
        Some("ext") => "agent",
        _ => "call",
    }
}

/// Adds lines to a feed, each for its role.
pub(super) fn add(feed: &mut Feed, lines: &[Value]) {
    for line in lines {
        feed.entry(role_of(line)).or_default().push(line.to_string().into_bytes());
    }
}

/// The feeder. Dropping it ends all connections.
pub(super) struct Feeder {
    address: SocketAddr,
    feed: watch::Sender<Feed>,
    serving: JoinHandle<()>,
}

impl Feeder {
    /// Listens, and says these lines to whoever asks.
    pub(super) async fn start(feed: Feed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let feed = watch::Sender::new(feed);
        let lines = feed.subscribe();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, lines.clone()));
            }
        });
        Self { address, feed, serving }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says more.
    pub(super) fn say(&self, lines: &[Value]) {
        self.feed.send_modify(|feed| add(feed, lines));
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves one client until it hangs up or the feeder is gone.
async fn serve(stream: TcpStream, mut feed: watch::Receiver<Feed>) {
    let (reading, mut writing) = stream.into_split();
    let mut hello = String::new();
    if BufReader::new(reading).read_line(&mut hello).await.is_err() {
        return;
    }
    let Ok(hello) = serde_json::from_str::<Value>(&hello) else { return };
    let role = hello["hello"]["role"].as_str().unwrap_or_default().to_owned();
    let resumed = hello["hello"]["resume"].is_object();
    let lines_of = |feed: &Feed| feed.get(role.as_str()).cloned().unwrap_or_default();
    // Whoever comes again has heard everything: no test breaks a connection on purpose.
    let mut said = if resumed { lines_of(&feed.borrow()).len() } else { 0 };
    let welcome = json!({
        "welcome": { "server": "sips1", "serverStart": SERVER_START, "resumed": resumed }
    });
    let mut out = format!("{welcome}\n").into_bytes();
    let mut caught_up = false;
    let mut beat = tokio::time::interval(KEEP_ALIVE);
    loop {
        let lines = lines_of(&feed.borrow_and_update());
        for line in &lines[said..] {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        said = lines.len();
        if !std::mem::replace(&mut caught_up, true) {
            out.extend_from_slice(b"{\"caughtUp\":true}\n");
        }
        if writing.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        tokio::select! {
            changed = feed.changed() => if changed.is_err() { return },
            _ = beat.tick() => out.extend_from_slice(b"{\"keepAlive\":true}\n"),
        }
    }
}
