//! The Stat Servers of the site: what agents do, as two statistics each, over JSON lines. A client
//! names agents; it is told the present values of those, then every change. Primary and backup know
//! the same, each under its own name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Near;
use super::day::{Day, Doing};
use super::feed::line_of;
use super::plan::{Draw, MS, Micros};
use super::play::Beat;
use super::site::{Agent, SWITCH};
use crate::door::{Present, Wire, refuse, send};
use crate::truth::Heard;

/// The primary Stat Server.
pub const STAT_SERVER: &str = "stat1";
/// The backup.
pub const BACKUP_STAT_SERVER: &str = "stat1b";

/// Longest line of a client.
const LINE_BYTES_MAX: usize = (1 << 20) + (4 << 10);
/// How long a client may take to say hello.
const HELLO_WAIT: Duration = Duration::from_secs(10);
/// A line is sent at least this often.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);
/// Changes looked at in one go.
const SCAN_MAX: usize = 4_096;
/// The second statistic comes so much after the first, or before it, at most (real time).
const APART_MAX_MS: u64 = 150;
/// The draws of the order of the statistics are apart from all others.
const DRAWS: u64 = 1 << 41;

/// The value of one statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statistic {
    Status(u32),
    Reasons(Option<(&'static str, &'static str)>),
}

/// A change of one statistic of one agent.
#[derive(Clone, Copy, Debug)]
struct Change {
    agent: usize,
    /// When, microseconds since 1970.
    at_us: i64,
    value: Statistic,
}

/// What all Stat Servers of the site know.
#[derive(Debug)]
pub(super) struct Board {
    agents: Vec<Agent>,
    numbers: BTreeMap<String, usize>,
    told: RwLock<Told>,
    said: watch::Sender<usize>,
    /// Since when nobody is logged in, microseconds since 1970.
    begun_us: i64,
    /// Clients that were told the present values and are told every change; changed only while
    /// `told` is locked, so that a change is either among the former or told to them.
    listening: AtomicUsize,
}

#[derive(Debug, Default)]
struct Told {
    changes: Vec<Change>,
    /// The last change of each statistic, by agent.
    status: BTreeMap<usize, Change>,
    reasons: BTreeMap<usize, Change>,
    /// Changes of status that were not, or not only, told as they were said.
    heard: BTreeMap<(usize, i64), Heard>,
}

impl Board {
    pub(super) fn new(agents: &[Agent], begun_us: i64) -> Self {
        let names = agents.iter().map(|agent| agent.employee.clone());
        Self {
            agents: agents.to_vec(),
            numbers: names.zip(0..).collect(),
            told: RwLock::default(),
            said: watch::Sender::new(0),
            begun_us,
            listening: AtomicUsize::new(0),
        }
    }

    /// The changes of status that were not, or not only, told as they were said: agent, and when,
    /// microseconds since 1970.
    pub(super) fn heard(&self) -> BTreeMap<(usize, i64), Heard> {
        self.told.read().unwrap_or_else(PoisonError::into_inner).heard.clone()
    }

    fn say(&self, new: &[Change]) {
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        for change in new {
            let last = match change.value {
                Statistic::Status(_) => &mut told.status,
                Statistic::Reasons(_) => &mut told.reasons,
            };
            last.insert(change.agent, *change);
            told.changes.push(*change);
            let is_status = matches!(change.value, Statistic::Status(_));
            if is_status && self.listening.load(Ordering::SeqCst) == 0 {
                told.heard.insert((change.agent, change.at_us), Heard::Later);
            }
        }
        self.said.send_replace(told.changes.len());
    }
}

/// A Stat Server.
#[derive(Debug)]
pub(super) struct StatServer {
    name: &'static str,
    /// Seconds since 1970.
    started_at: i64,
    board: Arc<Board>,
    /// Clients that listen.
    clients: AtomicUsize,
    /// Set when the process ends.
    ended: CancellationToken,
}

impl StatServer {
    pub(super) fn new(name: &'static str, started_at: i64, board: &Arc<Board>) -> Self {
        let (clients, ended) = (AtomicUsize::new(0), CancellationToken::new());
        Self { name, started_at, board: Arc::clone(board), clients, ended }
    }

    /// Ends the process; nobody listens to it any more.
    pub(super) fn end(&self) {
        let _told = self.board.told.write().unwrap_or_else(PoisonError::into_inner);
        self.ended.cancel();
        let gone = self.clients.swap(0, Ordering::SeqCst);
        self.board.listening.fetch_sub(gone, Ordering::SeqCst);
    }

    /// A client is told everything from now on. The caller has locked what was told.
    fn begin_listening(&self) {
        if !self.ended.is_cancelled() {
            self.clients.fetch_add(1, Ordering::SeqCst);
            self.board.listening.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A client is gone.
    fn end_listening(&self) {
        let _told = self.board.told.write().unwrap_or_else(PoisonError::into_inner);
        if !self.ended.is_cancelled() {
            self.clients.fetch_sub(1, Ordering::SeqCst);
            self.board.listening.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A change as it is told when it happens.
    fn line(&self, change: &Change) -> String {
        self.line_at(&self.board.agents[change.agent].employee, change, change.at_us)
    }

    fn line_at(&self, employee: &str, change: &Change, time_us: i64) -> String {
        let time = |us: i64| {
            json!({"TimeinSecs": us.div_euclid(1_000_000),
                                    "TimeinuSecs": us.rem_euclid(1_000_000)})
        };
        let mut event = json!({
            "id": "EventInfo", "Server": self.name, "time": time(time_us), "AgentId": employee,
            "Since": change.at_us.div_euclid(1_000_000),
        });
        match change.value {
            Statistic::Status(status) => {
                let dn = &self.board.agents[change.agent].dn;
                event["Statistic"] = json!("CurrentState");
                event["AgentStatus"] = json!(status);
                event["DnStatuses"] = json!([{"DN": dn, "Switch": SWITCH, "Status": status}]);
            }
            Statistic::Reasons(reason) => {
                let pairs = reason.map(|(key, value)| (key.to_owned(), json!(value)));
                event["Statistic"] = json!("CurrentStateReasons");
                event["Reasons"] = Value::Object(pairs.into_iter().collect());
            }
        }
        line_of(&json!({"source": self.name, "stream": "stat", "event": event}))
    }

    /// Both statistics of these agents as they are, and up to which change that is. `is_new`: a
    /// client listens from then on.
    fn present(&self, agents: &BTreeSet<String>, now_us: i64, is_new: bool) -> (String, usize) {
        let mut told = self.board.told.write().unwrap_or_else(PoisonError::into_inner);
        if is_new {
            self.begin_listening();
        }
        let mut lines = String::new();
        for employee in agents {
            let Some(agent) = self.board.numbers.get(employee).copied() else {
                lines.push_str(&self.unmonitored(employee, now_us));
                continue;
            };
            let at_us = self.board.begun_us;
            let logged_out = Statistic::Status(Doing::LoggedOut.status());
            let status = Change { agent, at_us, value: logged_out };
            let status = told.status.get(&agent).copied().unwrap_or(status);
            let reasons = Change { agent, at_us, value: Statistic::Reasons(None) };
            let reasons = told.reasons.get(&agent).copied().unwrap_or(reasons);
            for change in [status, reasons] {
                lines.push_str(&self.line_at(employee, &change, now_us));
            }
            told.heard.entry((agent, status.at_us)).or_insert(Heard::Twice);
        }
        (lines, told.changes.len())
    }

    /// Of somebody who is at no switch of this server.
    fn unmonitored(&self, employee: &str, now_us: i64) -> String {
        let time = json!({"TimeinSecs": now_us.div_euclid(1_000_000),
                          "TimeinuSecs": now_us.rem_euclid(1_000_000)});
        let event = |statistic: &str, key: &str, value: &Value| {
            let event = json!({
                "id": "EventInfo", "Server": self.name, "time": time, "AgentId": employee,
                "Statistic": statistic, key: value,
            });
            line_of(&json!({"source": self.name, "stream": "stat", "event": event}))
        };
        event("CurrentState", "AgentStatus", &json!("NotMonitored"))
            + &event("CurrentStateReasons", "Reasons", &json!({}))
    }

    /// Changes of these agents from `position` on, and where to read on.
    fn read(&self, position: usize, agents: &BTreeSet<String>) -> (String, usize) {
        let told = self.board.told.read().unwrap_or_else(PoisonError::into_inner);
        let (mut lines, mut next) = (String::new(), position);
        for change in told.changes[position..].iter().take(SCAN_MAX) {
            next += 1;
            if agents.contains(&self.board.agents[change.agent].employee) {
                lines.push_str(&self.line(change));
            }
        }
        (lines, next)
    }
}

/// Serves the clients of a server until it ends.
pub(super) async fn serve(listener: TcpListener, server: Arc<StatServer>, near: Near) {
    let Near { door, present, stop, .. } = near;
    let ended = server.ended.clone();
    let attend = move |wire| {
        let (server, present) = (Arc::clone(&server), Arc::clone(&present));
        async move { self::attend(BufReader::new(wire), &server, &present).await }
    };
    door.serve(listener, [&stop, &ended], attend).await;
}

#[derive(Debug, Deserialize)]
struct Opening {
    hello: Hello,
}

#[derive(Debug, Deserialize)]
struct Hello {
    role: String,
    agents: BTreeSet<String>,
}

/// What a client says later.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Wish {
    Open(BTreeSet<String>),
    Close(BTreeSet<String>),
}

async fn attend(
    mut wire: BufReader<Wire>,
    server: &StatServer,
    present: &watch::Sender<usize>,
) -> io::Result<()> {
    let mut line = Vec::new();
    let hello = timeout(HELLO_WAIT, wire.read_until(b'\n', &mut line)).await;
    hello.map_err(io::Error::from).and_then(|read| read)?;
    let opening: Result<Opening, _> = serde_json::from_slice(&line);
    let agents = match opening {
        Ok(Opening { hello }) if hello.role == "stat" => hello.agents,
        Ok(_) | Err(_) => return refuse(wire, "bad hello: a Stat Server has the role stat").await,
    };
    let _present = Present::new(present);
    let done = feed(server, wire, agents).await;
    server.end_listening();
    done
}

async fn feed(
    server: &StatServer,
    mut wire: BufReader<Wire>,
    mut agents: BTreeSet<String>,
) -> io::Result<()> {
    let mut said = server.board.said.subscribe();
    let welcome = json!({"welcome": {
        "server": server.name, "serverStart": server.started_at, "resumed": false,
    }});
    let (now, mut position) = server.present(&agents, super::now_micros(), true);
    let caught_up = line_of(&json!({"caughtUp": true}));
    send(&mut wire, &(line_of(&welcome) + &now + &caught_up)).await?;
    let (mut sent_at, mut line) = (Instant::now(), Vec::new());
    loop {
        let (lines, next) = server.read(position, &agents);
        let moved = next > position;
        position = next;
        if !lines.is_empty() {
            send(&mut wire, &lines).await?;
            sent_at = Instant::now();
        }
        if moved {
            tokio::task::yield_now().await;
            continue;
        }
        // Fails only when the board is gone, and with it everything.
        let more = async { said.wait_for(|end| *end > position).await.is_ok() };
        tokio::select! {
            biased;
            () = server.ended.cancelled() => return Ok(()),
            more = more => if !more { return Ok(()); },
            // What was read of a line stays in it if something else comes first.
            read = wire.read_until(b'\n', &mut line) => {
                if read? == 0 { return Ok(()); }
                if line.ends_with(b"\n") {
                    if let Some(opened) = wish(&line, &mut agents)? {
                        let (lines, _) = server.present(&opened, super::now_micros(), false);
                        send(&mut wire, &lines).await?;
                        sent_at = Instant::now();
                    }
                    line.clear();
                } else if line.len() > LINE_BYTES_MAX {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
                }
            }
            () = sleep_until(sent_at + KEEP_ALIVE_EVERY) => {
                send(&mut wire, &line_of(&json!({"keepAlive": true}))).await?;
                sent_at = Instant::now();
            }
        }
    }
}

/// Takes what a client wishes; returns the agents that are open only now.
fn wish(line: &[u8], agents: &mut BTreeSet<String>) -> io::Result<Option<BTreeSet<String>>> {
    let wish: Wish = serde_json::from_slice(line)?;
    Ok(match wish {
        Wish::Open(new) => {
            let opened: BTreeSet<String> = new.difference(agents).cloned().collect();
            agents.extend(new);
            Some(opened)
        }
        Wish::Close(old) => {
            agents.retain(|agent| !old.contains(agent));
            None
        }
    })
}

/// All that the Stat Servers say, in its order.
#[derive(Debug)]
pub(super) struct Sayings(Vec<Saying>);

#[derive(Clone, Copy, Debug)]
struct Saying {
    said: Micros,
    agent: usize,
    at: Micros,
    value: Statistic,
}

impl Sayings {
    /// The two statistics have no order between them; each has its own.
    pub(super) fn new(seed: u64, days: &[Day], speed: f64) -> Self {
        let mut draw = Draw::new(seed, DRAWS);
        let mut sayings = Vec::new();
        for (agent, Day(day)) in days.iter().enumerate() {
            let mut reason = None;
            for (at, doing) in day {
                let (given, was) = (doing.reason(), reason);
                reason = given;
                let apart = draw.below(APART_MAX_MS + 1) * MS;
                let later = at + (apart as f64 * speed) as Micros;
                // A reason may be told first; that there is none any more is told last.
                let is_first = given.is_some() && draw.below(2) == 0;
                let (status_said, reasons_said) = match (given == was, is_first) {
                    (true, _) => (*at, None),
                    (false, true) => (later, Some(*at)),
                    (false, false) if given.is_some() => (*at, Some(later)),
                    (false, false) => (*at, Some(*at)),
                };
                let value = Statistic::Status(doing.status());
                sayings.push(Saying { said: status_said, agent, at: *at, value });
                sayings.extend(reasons_said.map(|said| Saying {
                    said,
                    agent,
                    at: *at,
                    value: Statistic::Reasons(given),
                }));
            }
        }
        sayings.sort_by_key(|saying| saying.said);
        Self(sayings)
    }

    /// In the middle third of all that is said, the moment in the middle of the longest silence.
    pub(super) fn quiet_moment(&self) -> Micros {
        let third = self.0.len() / 3;
        let middle = &self.0[third..self.0.len() - third];
        let longest = middle.windows(2).max_by_key(|pair| pair[1].said - pair[0].said);
        longest.map_or(0, |pair| pair[0].said.midpoint(pair[1].said))
    }
}

/// Says everything at its time. At `fails`, the primary ends.
pub(super) async fn play(
    board: &Board,
    sayings: &Sayings,
    beat: Beat,
    fails: Option<(Micros, Arc<StatServer>)>,
    over: &watch::Sender<bool>,
) {
    let began = Instant::now();
    let reached = async |at: Micros| {
        sleep_until(began + Duration::from_micros(beat.real(at))).await;
    };
    let mut fails = fails;
    for saying in &sayings.0 {
        if let Some((at, server)) = fails.take_if(|(at, _)| *at <= saying.said) {
            reached(at).await;
            server.end();
        }
        reached(saying.said).await;
        let Saying { agent, at, value, .. } = *saying;
        board.say(&[Change { agent, at_us: beat.wall(at), value }]);
    }
    over.send_replace(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_change_was_told_depends_on_who_listened_and_who_came_later() {
        let (employee, dn, user_id) = ("A1001".to_owned(), "1001".to_owned(), "u1".to_owned());
        let agents = BTreeSet::from([employee.clone()]);
        let board = Arc::new(Board::new(&[Agent { employee, dn, user_id }], 0));
        let server = StatServer::new(STAT_SERVER, 0, &board);
        let say = |at_us| {
            let value = Statistic::Status(Doing::Ready.status());
            board.say(&[Change { agent: 0, at_us, value }]);
        };
        let come = || server.present(&agents, 0, true);
        say(1);
        say(2);
        come();
        say(3);
        say(4);
        come();
        say(5);
        let expected = [((0, 1), Heard::Later), ((0, 2), Heard::Later), ((0, 4), Heard::Twice)];
        assert_eq!(board.heard(), BTreeMap::from(expected));
    }
}
