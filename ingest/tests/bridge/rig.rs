//! A scripted feeder, a writer in memory, and a bridge between them.

use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use trunkline_ingest::feed::{Bridge, LinkConfig, LinkStatus, RawOut, Wanted, WriteError, Writer};
use trunkline_schemas::RawKind;
use trunkline_schemas::raw::Stream;

/// After so long a test that waits has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Start of the server, unless a test says otherwise.
pub(crate) const START: i64 = 1_764_000_000;

/// What a bridge wrote, shown as text, and what its writer is to do.
pub(crate) struct Store {
    written: watch::Sender<Written>,
    failures: Mutex<u32>,
    is_closed: Mutex<bool>,
    opened: Condvar,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    /// One line a record, without positions.
    pub(crate) records: Vec<String>,
    pub(crate) position: Option<(i64, i64)>,
    /// Batches that were begun.
    pub(crate) begun: usize,
    /// Records of each batch that was written.
    pub(crate) batches: Vec<usize>,
    /// Batches refused.
    pub(crate) refused: u32,
}

impl Store {
    /// The next `count` batches are refused.
    pub(crate) fn fail(&self, count: u32) {
        *self.failures.lock().expect("no test panics holding it") = count;
    }

    /// While closed, a batch that is being written does not end.
    pub(crate) fn close(&self, is_closed: bool) {
        *self.is_closed.lock().expect("no test panics holding it") = is_closed;
        self.opened.notify_all();
    }
}

struct Memory(Arc<Store>);

impl Writer for Memory {
    fn write(&mut self, batch: Vec<RawOut>) -> Result<(), WriteError> {
        self.0.written.send_modify(|written| written.begun += 1);
        let is_closed = self.0.is_closed.lock().expect("no test panics holding it");
        drop(self.0.opened.wait_while(is_closed, |closed| *closed).expect("as above"));
        let mut failures = self.0.failures.lock().expect("no test panics holding it");
        if *failures > 0 {
            *failures -= 1;
            self.0.written.send_modify(|written| written.refused += 1);
            return Err(WriteError::new("the disk is full"));
        }
        self.0.written.send_modify(|written| {
            written.batches.push(batch.len());
            for out in &batch {
                match out {
                    RawOut::Position { server_start, sequence, link } => {
                        assert_eq!(link, "b1/east/call/0");
                        written.position = Some((*server_start, *sequence));
                    }
                    RawOut::Raw(_) | RawOut::Dead(_) => written.records.push(show(out)),
                }
            }
        });
        Ok(())
    }

    fn position(&self) -> Option<(i64, i64)> {
        self.0.written.borrow().position
    }
}

fn show(out: &RawOut) -> String {
    let raw = match out {
        RawOut::Raw(raw) => raw,
        RawOut::Dead(letter) => {
            let code = letter.header("dead-code").unwrap_or_default();
            return format!("dead {}", String::from_utf8_lossy(code));
        }
        RawOut::Position { .. } => return "position".to_owned(),
    };
    let role = raw.stream.expect("a stream");
    let link = format!("b1/east/{}/0", role.name());
    assert_eq!((raw.domain.as_str(), raw.link.as_str()), ("d1", link.as_str()));
    let roles = [Stream::Call, Stream::Vq, Stream::Stat];
    assert!(roles.contains(&role) && raw.received_time_us == 42);
    let mut text = format!("{:?} {}", raw.kind, raw.source);
    if let Some(start) = raw.server_start {
        write!(text, "+{}", start - START).expect("a string takes it");
    }
    if raw.kind == RawKind::Event && role == Stream::Stat {
        let event: Value = serde_json::from_slice(&raw.payload).expect("an event is JSON");
        let (agent, statistic) = (&event["AgentId"], &event["Statistic"]);
        assert_eq!(raw.agent_id.as_deref(), agent.as_str());
        write!(text, " {agent} {statistic}").expect("a string takes it");
    } else if raw.kind == RawKind::Event {
        write!(text, " {}", raw.sequence.unwrap_or(-1)).expect("a string takes it");
    } else {
        let payload = String::from_utf8_lossy(&raw.payload);
        write!(text, " {payload}").expect("a string takes it");
    }
    text.trim_end().to_owned()
}

/// A running bridge.
pub(crate) struct Rig {
    pub(crate) store: Arc<Store>,
    pub(crate) status: Arc<LinkStatus>,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Rig {
    pub(crate) fn start(servers: &[&Feeder]) -> Self {
        Self::start_with(servers, |_| {})
    }

    pub(crate) fn start_with(servers: &[&Feeder], change: impl FnOnce(&mut LinkConfig)) -> Self {
        Self::start_wanting(servers, change, None)
    }

    pub(crate) fn start_wanting(
        servers: &[&Feeder],
        change: impl FnOnce(&mut LinkConfig),
        wanted: Option<Wanted>,
    ) -> Self {
        let store = Arc::new(Store {
            written: watch::Sender::default(),
            failures: Mutex::default(),
            is_closed: Mutex::default(),
            opened: Condvar::new(),
        });
        let mut config = config(servers.iter().map(|feeder| feeder.address.clone()).collect());
        change(&mut config);
        let writer = Box::new(Memory(Arc::clone(&store)));
        let bridge = Bridge::new(config, writer, Arc::new(|| 42), Box::new(|| 0.5))
            .expect("the configuration makes a link");
        let bridge = match wanted {
            Some(wanted) => bridge.wanting(wanted),
            None => bridge,
        };
        let (status, stop) = (bridge.status(), CancellationToken::new());
        let task = tokio::spawn(bridge.run(stop.clone()));
        Self { store, status, stop, task }
    }

    /// Waits until what was written is as asked for.
    pub(crate) async fn until(&self, is_there: impl Fn(&Written) -> bool) -> Written {
        let mut written = self.store.written.subscribe();
        let wait = timeout(PATIENCE, written.wait_for(|written| is_there(written)));
        let Ok(found) = wait.await else {
            panic!("only this was written: {:#?}", self.store.written.borrow())
        };
        found.expect("the store is there").clone()
    }

    /// Waits until this record was written.
    pub(crate) async fn until_record(&self, record: &str) -> Written {
        self.until(|written| written.records.iter().any(|r| r == record)).await
    }

    /// How many batches were written.
    pub(crate) fn batches(&self) -> usize {
        self.store.written.borrow().batches.len()
    }

    /// Stops the bridge and returns all it wrote.
    pub(crate) async fn finish(self) -> Written {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("it stops").expect("it does not panic");
        self.store.written.borrow().clone()
    }
}

pub(crate) fn config(servers: Vec<String>) -> LinkConfig {
    LinkConfig {
        bridge: "b1".to_owned(),
        domain: "d1".to_owned(),
        site: "east".to_owned(),
        role: Stream::Call,
        pair: 0,
        servers,
        tls: None,
        dns: Vec::new(),
        connect_timeout: PATIENCE,
        silence_timeout: PATIENCE,
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(4),
    }
}

/// A server that says what a test makes it say.
pub(crate) struct Feeder {
    pub(crate) address: String,
    listener: Option<TcpListener>,
}

/// One connection of a bridge.
pub(crate) struct Client {
    pub(crate) hello: Value,
    stream: BufReader<TcpStream>,
}

impl Feeder {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        Self { address, listener: Some(listener) }
    }

    /// From here connections are refused.
    pub(crate) fn unbind(&mut self) {
        self.listener = None;
    }

    pub(crate) async fn accept(&self) -> Client {
        let listener = self.listener.as_ref().expect("it is bound");
        let accepted = timeout(PATIENCE, listener.accept()).await.expect("a bridge connects");
        let mut stream = BufReader::new(accepted.expect("accepting works").0);
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("the bridge says hello");
        let hello = serde_json::from_str::<Value>(&line).expect("hello is JSON")["hello"].take();
        Client { hello, stream }
    }

    /// Accepts and welcomes with the usual start.
    pub(crate) async fn welcome(&self, resumed: bool) -> Client {
        let mut client = self.accept().await;
        client.say(&welcome(START, resumed)).await;
        client
    }
}

impl Client {
    pub(crate) async fn say(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes()).await;
    }

    pub(crate) async fn events(&mut self, numbers: impl IntoIterator<Item = i64>) {
        for number in numbers {
            self.say(&event(START, number)).await;
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("the bridge is there");
    }

    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the bridge reads")
    }

    /// The next line that the bridge says after its hello.
    pub(crate) async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await;
        read.expect("the bridge says something").expect("it is there");
        serde_json::from_str(&line).expect("a line is JSON")
    }

    /// Waits until the bridge has hung up.
    pub(crate) async fn until_closed(mut self) {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        drop(read.expect("the bridge hangs up"));
        assert_eq!(rest, b"", "a bridge says nothing but hello");
    }
}

pub(crate) fn welcome(start: i64, resumed: bool) -> String {
    json!({"welcome": {"server": "sips1", "serverStart": start, "resumed": resumed}}).to_string()
}

pub(crate) fn event(start: i64, number: i64) -> String {
    let event = json!({
        "id": "EventCallPartyState",
        "EventSequenceNumber": format!("{number:016x}"),
        "ServerStartTime": start,
        "Server": "sips1",
        "time": {"TimeinSecs": 1_710_406_800, "TimeinuSecs": 0},
        "CallUUID": "01TESTSIPS1AAAAAAAAAAAAAES000001",
    });
    json!({"source": "sips1", "stream": "call", "event": event}).to_string()
}
