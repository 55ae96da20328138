//! The connections of the reporting engine: it goes to each Interaction Server in turn, writes down
//! what it says, and only then tells it what follows from that.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{RawEvent, RawKind};

use super::capacity::CapacityRule;
use super::engine::{Effect, Engine, Input};
use crate::feed::{
    Backoff, Body, Clock, FeedLine, LineContext, Lines, LinkStatus, Pen, Place, RawOut, WriteError,
    Writer, dead_letter, dead_letter_long, translate,
};
use crate::wire::{self, Tls, Wire};

/// Most bytes taken from a connection at once.
const READ_BYTES_MAX: usize = 64 << 10;
/// Lines that wait to be taken, over all servers; more wait in the connections.
const HEARD_MAX: usize = 1_000;
/// Lines that wait to be told to one server; one that leaves more unread is given up.
const TOLD_MAX: usize = 10_000;

/// Gives numbers from 0 to 1, which spread reconnections.
pub type Chance = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What the reporting engine of a domain needs.
#[derive(Clone, Debug)]
pub struct ReportingConfig {
    /// Name of the bridge.
    pub bridge: String,
    /// Routing domain.
    pub domain: String,
    /// The Interaction Servers, `host:port`, in the order in which they are connected.
    pub servers: Vec<String>,
    /// With it, connections are TLS.
    pub tls: Option<Tls>,
    /// From states to statuses.
    pub rule: CapacityRule,
    /// How long connecting may take, and a TLS handshake.
    pub connect_timeout: Duration,
    /// A server that says nothing for so long is given up.
    pub silence_timeout: Duration,
    /// First and longest wait before a server is connected again.
    pub backoff: (Duration, Duration),
}

impl ReportingConfig {
    fn link(&self, server: usize) -> String {
        let role = Stream::Interaction.name();
        format!("{}/{}/{role}/{server}", self.bridge, self.domain)
    }
}

/// The reporting engine of a domain, with its connections.
pub struct Reporting {
    config: ReportingConfig,
    engine: Engine,
    pen: Pen,
    clock: Clock,
    chance: Chance,
    is_complete: Arc<AtomicBool>,
    /// How lines are told to the servers that are connected.
    tells: Vec<Option<mpsc::Sender<String>>>,
    /// Whether it is written down that the link is up.
    is_up: Vec<bool>,
    lines: Vec<u64>,
}

/// What is heard of a server.
enum Heard {
    /// It is connected; here is how to tell it lines.
    Connected(mpsc::Sender<String>),
    Line(OwnedLine),
    /// It cannot be reached, or not any more.
    Lost(String),
}

enum OwnedLine {
    Whole(Vec<u8>),
    Long(crate::feed::LongLine),
}

impl Reporting {
    /// An engine at rest.
    pub fn new(
        config: ReportingConfig,
        writer: Box<dyn Writer>,
        clock: Clock,
        chance: Chance,
    ) -> Self {
        let servers = config.servers.len();
        Self {
            engine: Engine::new(config.rule.clone(), servers),
            pen: Pen::new(writer, Arc::new(LinkStatus::default())),
            config,
            clock,
            chance,
            is_complete: Arc::default(),
            tells: vec![None; servers],
            is_up: vec![false; servers],
            lines: vec![0; servers],
        }
    }

    /// Whether every server reports; stays true to that while it runs.
    pub fn is_complete(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_complete)
    }

    /// Follows all servers until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let (heard_by, mut heard) = mpsc::channel(HEARD_MAX);
        let (turn, may_connect) = watch::channel(1_usize);
        let connections: Vec<_> = (0..self.config.servers.len())
            .map(|server| {
                let connection = Connection {
                    server,
                    config: self.config.clone(),
                    heard: heard_by.clone(),
                    chance: Arc::clone(&self.chance),
                };
                tokio::spawn(connection.run(may_connect.clone(), stop.clone()))
            })
            .collect();
        drop(heard_by);
        let mut batch = Vec::new();
        // Ends when every connection has ended, and what they said last is taken.
        while heard.recv_many(&mut batch, HEARD_MAX).await > 0 {
            if let Err(error) = self.take(std::mem::take(&mut batch), &turn).await {
                tracing::warn!(domain = self.config.domain, %error, "all servers are given up");
                // What was not written comes again with the next snapshots.
                self.tells.fill(None);
            }
            self.is_complete.store(self.engine.is_complete(), Relaxed);
        }
        for connection in connections {
            if let Err(error) = connection.await {
                tracing::error!(%error, "a connection to an Interaction Server ended by a panic");
            }
        }
    }

    /// Writes down what was heard, then does what follows from it.
    async fn take(
        &mut self,
        batch: Vec<(usize, Heard)>,
        turn: &watch::Sender<usize>,
    ) -> Result<(), WriteError> {
        let (mut outs, mut effects) = (Vec::new(), Vec::new());
        for (server, heard) in batch {
            let now_us = (self.clock)();
            match heard {
                Heard::Connected(tell) => {
                    self.tells[server] = Some(tell);
                    self.is_up[server] = true;
                    self.lines[server] = 0;
                    outs.push(RawOut::Raw(self.bare(RawKind::LinkUp, server, now_us, "")));
                    effects.extend(self.engine.step(server, &Input::Connected, now_us));
                }
                Heard::Lost(why) => {
                    self.tells[server] = None;
                    if std::mem::take(&mut self.is_up[server]) {
                        let down = self.bare(RawKind::LinkDown, server, now_us, &why);
                        outs.push(RawOut::Raw(down));
                    }
                    effects.extend(self.engine.step(server, &Input::Lost, now_us));
                }
                Heard::Line(line) => {
                    effects.extend(self.line(server, &line, now_us, &mut outs));
                }
            }
        }
        self.pen.write(outs).await?;
        for effect in effects {
            self.follow(effect, turn);
        }
        Ok(())
    }

    fn line(
        &mut self,
        server: usize,
        line: &OwnedLine,
        now_us: i64,
        outs: &mut Vec<RawOut>,
    ) -> Vec<Effect> {
        self.lines[server] += 1;
        let link = self.config.link(server);
        let ctx = LineContext {
            domain: &self.config.domain,
            link: &link,
            received_time_us: now_us,
            role: Stream::Interaction,
            server: None,
            server_start: None,
            place: Place { line: self.lines[server], byte: 0 },
        };
        let bytes = match line {
            OwnedLine::Whole(bytes) => bytes,
            OwnedLine::Long(long) => {
                outs.push(RawOut::Dead(dead_letter_long(long, &ctx)));
                return Vec::new();
            }
        };
        match translate(bytes, &ctx) {
            Ok(FeedLine::Event(event)) => {
                let effects = self.engine.step(server, &Input::Said(&event), now_us);
                outs.push(RawOut::Raw(event));
                effects
            }
            Ok(FeedLine::Error(why)) => vec![Effect::GiveUp(server, why)],
            Ok(FeedLine::Welcome { .. } | FeedLine::CaughtUp | FeedLine::KeepAlive) => Vec::new(),
            Err(error) => {
                tracing::warn!(link, line = ctx.place.line, %error, "a line cannot be read");
                outs.push(RawOut::Dead(dead_letter(bytes, &error, &ctx)));
                Vec::new()
            }
        }
    }

    fn follow(&mut self, effect: Effect, turn: &watch::Sender<usize>) {
        match effect {
            Effect::MayConnect(servers) => {
                turn.send_replace(servers);
            }
            Effect::GiveUp(server, why) => {
                tracing::warn!(link = self.config.link(server), why, "a server is given up");
                self.tells[server] = None;
            }
            Effect::Tell(server, line) => {
                let told = self.tells[server].as_ref().map(|tell| tell.try_send(line));
                if let Some(Err(_)) = told {
                    let link = self.config.link(server);
                    tracing::warn!(link, "a server that reads nothing is given up");
                    self.tells[server] = None;
                }
            }
        }
    }

    fn bare(&self, kind: RawKind, server: usize, now_us: i64, why: &str) -> RawEvent {
        let payload = match why {
            "" => Vec::new(),
            why => json!({ "why": why }).to_string().into_bytes(),
        };
        RawEvent {
            stream: Some(Stream::Interaction),
            link: self.config.link(server),
            payload,
            ..RawEvent::bare(kind, &self.config.domain, &self.config.servers[server], now_us)
        }
    }
}

/// The connection to one server, made anew as often as it breaks.
struct Connection {
    server: usize,
    config: ReportingConfig,
    heard: mpsc::Sender<(usize, Heard)>,
    chance: Chance,
}

impl Connection {
    async fn run(self, mut may_connect: watch::Receiver<usize>, stop: CancellationToken) {
        let (least, most) = self.config.backoff;
        let mut backoff = Backoff::new(least, most);
        let turn = may_connect.wait_for(|servers| *servers > self.server);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // Nobody gives turns any more where the engine has ended.
            turn = turn => if turn.is_err() { return },
        }
        while !stop.is_cancelled() {
            let (why, has_spoken) = self.attempt(&stop).await;
            let (link, server) = (self.config.link(self.server), &self.address());
            if !stop.is_cancelled() {
                tracing::warn!(link, server, why, "the Interaction Server is not connected");
            }
            if self.heard.send((self.server, Heard::Lost(why))).await.is_err() {
                return;
            }
            if has_spoken {
                backoff.reset();
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(backoff.next_wait((self.chance)())) => {}
            }
        }
    }

    fn address(&self) -> &str {
        &self.config.servers[self.server]
    }

    /// One connection: why it ended, and whether the server said anything.
    async fn attempt(&self, stop: &CancellationToken) -> (String, bool) {
        let (tls, patience) = (self.config.tls.as_ref(), self.config.connect_timeout);
        let connected = tokio::select! {
            biased;
            () = stop.cancelled() => return ("the bridge stops".to_owned(), false),
            connected = wire::connect(self.address(), tls, patience) => connected,
        };
        let wire = match connected {
            Ok(wire) => wire,
            Err(error) => return (format!("it cannot be connected: {error}"), false),
        };
        let (tell, told) = mpsc::channel(TOLD_MAX);
        if self.heard.send((self.server, Heard::Connected(tell))).await.is_err() {
            return ("the bridge stops".to_owned(), false);
        }
        let mut has_spoken = false;
        let why = self.talk(wire, told, &mut has_spoken, stop).await;
        (why, has_spoken)
    }

    async fn talk(
        &self,
        mut wire: Wire,
        mut told: mpsc::Receiver<String>,
        has_spoken: &mut bool,
        stop: &CancellationToken,
    ) -> String {
        let patience = self.config.silence_timeout;
        let (mut lines, mut chunk) = (Lines::default(), vec![0_u8; READ_BYTES_MAX]);
        let mut silence = pin!(sleep(patience));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return "the bridge stops".to_owned(),
                () = &mut silence => return format!("no line for {} ms", patience.as_millis()),
                line = told.recv() => {
                    let Some(line) = line else { return "it was given up".to_owned() };
                    if let Err(error) = wire::tell(&mut wire, &line, patience).await {
                        return format!("it cannot be told anything: {error}");
                    }
                }
                read = wire.read(&mut chunk) => match read {
                    Ok(0) => return "the server closed the connection".to_owned(),
                    Ok(count) if wire::is_tls(&chunk[..count]) => {
                        return wire::SPEAKS_TLS.to_owned();
                    }
                    Ok(count) => lines.push(&chunk[..count]),
                    Err(error) => {
                        return format!("the connection broke: {}", wire::explained(&error));
                    }
                },
            }
            while let Some(line) = lines.next_line() {
                *has_spoken = true;
                silence.set(sleep(patience));
                let line = match line.body {
                    Body::Whole(bytes) => OwnedLine::Whole(bytes.to_vec()),
                    Body::Long(long) => OwnedLine::Long(long),
                };
                if self.heard.send((self.server, Heard::Line(line))).await.is_err() {
                    return "the bridge stops".to_owned();
                }
            }
        }
    }
}
