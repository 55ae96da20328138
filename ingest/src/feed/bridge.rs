//! A bridge: follows one server of a pair at a time, and writes all it says.

use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use trunkline_schemas::RawEvent;

use super::backoff::Backoff;
use super::batch::{Batch, RawOut};
use super::follow::Follower;
use super::hello::{LinkConfig, LinkError, hello, subscriptions};
use super::line::Place;
use super::lines::{Body, Line, Lines};
use super::pen::{LinkStatus, Pen, WriteError, Writer};
use crate::wire::{self, ConnectError, Wire};

/// Most bytes taken from a connection at once.
const READ_BYTES_MAX: usize = 64 << 10;

/// Tells the time, microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
/// Gives numbers from 0 to 1, which spread reconnections.
pub type Jitter = Box<dyn FnMut() -> f64 + Send>;
/// The DNs wanted of a SIP Server, or the agents of a Stat Server, as the directory has them now.
pub type Wanted = watch::Receiver<BTreeSet<String>>;

/// One link from a server pair to a [`Writer`].
///
/// Nothing is lost and little repeated: a connection resumes after the last event that is durable,
/// because only what the writer has taken moves the position.
pub struct Bridge {
    config: LinkConfig,
    link: String,
    clock: Clock,
    jitter: Jitter,
    status: Arc<LinkStatus>,
    pen: Pen,
    backoff: Backoff,
    /// Counts the attempts; the servers take turns.
    attempts: usize,
    /// Where what is wanted changes while the bridge runs.
    wanted: Option<Wanted>,
}

impl Bridge {
    /// A bridge at rest.
    ///
    /// # Errors
    /// [`LinkError`] if the configuration makes no link.
    pub fn new(
        config: LinkConfig,
        writer: Box<dyn Writer>,
        clock: Clock,
        jitter: Jitter,
    ) -> Result<Self, LinkError> {
        hello(&config, Some((i64::MAX, i64::MAX)))?;
        let status = Arc::new(LinkStatus::default());
        Ok(Self {
            link: config.link(),
            backoff: Backoff::new(config.backoff_min, config.backoff_max),
            pen: Pen::new(writer, Arc::clone(&status)),
            config,
            clock,
            jitter,
            status,
            attempts: 0,
            wanted: None,
        })
    }

    /// The same, but with agents or DNs that come and go. Agents are opened and closed while the
    /// bridge is connected; for other DNs it connects anew, and goes on where it was.
    #[must_use]
    pub fn wanting(mut self, wanted: Wanted) -> Self {
        self.wanted = Some(wanted);
        self
    }

    /// How the link is doing; stays true while the bridge runs.
    pub fn status(&self) -> Arc<LinkStatus> {
        Arc::clone(&self.status)
    }

    /// Name of the link.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Follows the servers until `stop` is cancelled; then writes what was read, and that the link
    /// is down. How long that may take is the caller's to limit.
    ///
    /// # Panics
    /// If the writer does.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut owed = None;
        while !stop.is_cancelled() {
            owed = self.attempt(owed, &stop).await;
            let wait = self.backoff.next_wait((self.jitter)());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep(wait) => {}
            }
            self.status.reconnects.fetch_add(1, Relaxed);
        }
    }

    /// One connection from its beginning to its end. `owed` is a `LinkDown` that could not be
    /// written; so is what it returns. Before it stands in the log, no link comes up.
    async fn attempt(
        &mut self,
        owed: Option<RawEvent>,
        stop: &CancellationToken,
    ) -> Option<RawEvent> {
        if let Some(down) = owed
            && let Err(error) = self.pen.write(vec![RawOut::Raw(down.clone())]).await
        {
            tracing::warn!(link = self.link, %error, "the log still takes nothing");
            return Some(down);
        }
        if let Some(wanted) = &mut self.wanted {
            self.config.dns = wanted.borrow_and_update().iter().cloned().collect();
        }
        let server = self.config.servers[self.attempts % self.config.servers.len()].clone();
        self.attempts = self.attempts.wrapping_add(1);
        let resume = self.pen.position();
        let connected = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            connected = connect(&self.config, &server, resume) => connected,
        };
        let mut wire = match connected {
            Ok(wire) => wire,
            Err(error) => {
                tracing::warn!(link = self.link, server, %error, "cannot connect");
                self.status.fault.send_replace(format!("{server}: {error}"));
                return None;
            }
        };
        self.status.fault.send_replace(String::new());
        tracing::info!(link = self.link, server, ?resume, "connected");
        let mut session = Session {
            follower: Follower::new(&self.config.domain, &self.link, self.config.role, resume),
            lines: Lines::default(),
            batch: Batch::default(),
            was_heard: false,
            opened: self.config.dns.iter().cloned().collect(),
            server,
            bridge: self,
        };
        let end = session.read(&mut wire, stop).await;
        let owed = session.close(end).await;
        self.status.connected.store(false, Relaxed);
        self.status.caught_up.store(false, Relaxed);
        owed
    }
}

async fn connect(
    config: &LinkConfig,
    server: &str,
    resume: Option<(i64, i64)>,
) -> Result<Wire, ConnectError> {
    let line = hello(config, resume).map_err(|e| ConnectError::Tcp(io::Error::other(e)))?;
    let patience = config.connect_timeout;
    let mut wire = wire::connect(server, config.tls.as_ref(), patience).await?;
    wire::tell(&mut wire, &line, patience).await.map_err(ConnectError::Tcp)?;
    Ok(wire)
}

/// Why a connection is over.
enum End {
    /// The bridge is to stop.
    Stop,
    /// Something about the link.
    Link(String),
    /// The writer failed: what was collected is dropped and comes again.
    Write(WriteError),
}

/// One connection.
struct Session<'a> {
    bridge: &'a mut Bridge,
    follower: Follower,
    lines: Lines,
    batch: Batch,
    /// A line has come since the wait for one began.
    was_heard: bool,
    /// The agents that are open, where they can change.
    opened: BTreeSet<String>,
    server: String,
}

/// What is wanted when that has changed; never ready where it cannot.
async fn next_wanted(wanted: &mut Option<Wanted>) -> BTreeSet<String> {
    if let Some(receiver) = wanted
        && receiver.changed().await.is_ok()
    {
        return receiver.borrow_and_update().clone();
    }
    // Nobody will say anything more.
    *wanted = None;
    std::future::pending().await
}

impl Session<'_> {
    /// Reads and writes side by side. While a full batch waits for the one before it, nothing is
    /// read, so that the connection itself holds the server back.
    async fn read(&mut self, wire: &mut Wire, stop: &CancellationToken) -> End {
        let mut chunk = vec![0_u8; READ_BYTES_MAX];
        let patience = self.bridge.config.silence_timeout;
        let mut silence = pin!(sleep(patience));
        loop {
            let has_room = match self.take_lines() {
                Ok(has_room) => has_room,
                Err(why) => return End::Link(why),
            };
            // While nothing is read, no silence can be heard.
            if std::mem::take(&mut self.was_heard) || !has_room {
                silence.set(sleep(patience));
            }
            let is_busy = self.bridge.pen.is_busy();
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stop,
                wanted = next_wanted(&mut self.bridge.wanted) => {
                    if self.bridge.config.role.is_switch() {
                        // The same server again.
                        self.bridge.attempts = self.bridge.attempts.wrapping_sub(1);
                        return End::Link("other DNs are wanted".to_owned());
                    }
                    let lines = subscriptions(&self.opened, &wanted).concat();
                    self.opened = wanted;
                    if let Err(error) = wire::tell(wire, &lines, patience).await {
                        return End::Link(format!("cannot open agents: {error}"));
                    }
                }
                written = self.bridge.pen.finish(), if is_busy => {
                    if let Err(error) = written {
                        return End::Write(error);
                    }
                }
                // Before reading: a line without an end must not keep the link alive.
                () = &mut silence, if has_room => {
                    return End::Link(format!("no line for {} ms", patience.as_millis()));
                }
                read = wire.read(&mut chunk), if has_room => match read {
                    Ok(0) => return End::Link("the server closed the connection".to_owned()),
                    Ok(count) if wire::is_tls(&chunk[..count]) => {
                        return End::Link(wire::SPEAKS_TLS.to_owned());
                    }
                    Ok(count) => self.lines.push(&chunk[..count]),
                    Err(error) => {
                        let why = wire::explained(&error);
                        return End::Link(format!("the connection broke: {why}"));
                    }
                },
            }
        }
    }

    /// Takes the lines that are there, and begins to write if nothing is being written. Whether
    /// there is room for more; if not, the batch waits for the writer.
    fn take_lines(&mut self) -> Result<bool, String> {
        loop {
            while self.batch.has_room() {
                let Some(line) = self.lines.next_line() else {
                    self.start_writing();
                    return Ok(true);
                };
                let now_us = (self.bridge.clock)();
                if let Err(why) = self.follower.take(line, now_us, &mut self.batch) {
                    // What follows on a connection that is given up cannot be trusted.
                    self.lines = Lines::default();
                    return Err(why);
                }
                let status = &self.bridge.status;
                status.last_line_us.store(now_us, Relaxed);
                status.connected.store(self.follower.is_up(), Relaxed);
                status.caught_up.store(self.follower.is_caught_up(), Relaxed);
                self.was_heard = true;
            }
            if self.bridge.pen.is_busy() {
                return Ok(false);
            }
            self.start_writing();
        }
    }

    fn start_writing(&mut self) {
        if !self.bridge.pen.is_busy() && !self.batch.is_empty() {
            let batch = self.batch.take(self.follower.link());
            self.bridge.pen.start(batch);
        }
    }

    /// Writes what was read and that the link is down. Returns the latter if it could not be.
    async fn close(mut self, end: End) -> Option<RawEvent> {
        let now_us = (self.bridge.clock)();
        let why = match end {
            End::Stop => "the bridge stops".to_owned(),
            End::Link(why) => why,
            End::Write(error) => {
                let why = error.to_string();
                tracing::warn!(link = self.bridge.link, why, "the link is given up");
                return self.follower.down(&why, now_us);
            }
        };
        tracing::info!(link = self.bridge.link, why, "the link is down");
        if !self.follower.is_up() {
            self.bridge.status.fault.send_replace(format!("{}: {why}", self.server));
        }
        if let Err(error) = self.write_rest(&why, now_us).await {
            tracing::warn!(link = self.bridge.link, %error, "the last lines come again");
            return self.follower.down(&why, now_us);
        }
        if self.follower.has_progressed() {
            self.bridge.backoff.reset();
        }
        None
    }

    async fn write_rest(&mut self, why: &str, now_us: i64) -> Result<(), WriteError> {
        loop {
            let is_full = matches!(self.take_lines(), Ok(false));
            self.bridge.pen.finish().await?;
            if !is_full {
                break;
            }
        }
        self.take_last_line(now_us);
        if let Some(down) = self.follower.down(why, now_us) {
            self.batch.push(down);
        }
        let batch = self.batch.take(self.follower.link());
        self.bridge.pen.write(batch).await
    }

    /// A line cut off comes again where the feeder can resume. Elsewhere it is all there will be.
    fn take_last_line(&mut self, now_us: i64) {
        let is_welcomed = self.follower.is_welcomed();
        let Some(line) = self.lines.last_line() else { return };
        match line {
            Line { body: Body::Whole(_), place: Place { line, byte } } if is_welcomed => {
                tracing::info!(link = self.bridge.link, line, byte, "a line was cut off");
            }
            line => {
                // The connection is over: that the line asks to give it up changes nothing.
                let _ = self.follower.take(line, now_us, &mut self.batch);
            }
        }
    }
}
