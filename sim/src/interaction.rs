//! A simulated Interaction Server (seed 002, "Reporting Engine Connects"): it reports the states of
//! its agents to whoever asks, and hands the statuses it is told on to the agents' applications,
//! unchanged.
//!
//! The first line of a client says what it is: a `request` of a reporting engine, under either of
//! its names, or `{"application":"<agent>"}`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWrite, BufReader};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

pub use crate::door::TlsFiles;
use crate::door::{Door, Wire, send};

/// The names of the request.
const REQUESTS: [&str; 2] =
    ["RequestStartPlaceAgentStateReportingAll", "RequestStartPlaceAgentReportingAll"];
/// Lines a client may be behind.
const BEHIND_MAX: usize = 10_000;
/// What a server says that has nothing to say; to an application, that it is known.
const KEEP_ALIVE: &str = "{\"keepAlive\":true}\n";
/// A line is sent at least this often.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Which names of the request a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Both.
    Both,
    /// That of seed 002 alone.
    Seed,
}

/// A running server; dropped, it stops.
pub struct InteractionServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    name: String,
    spelling: Spelling,
    known: Mutex<Known>,
    /// Events for reporting engines.
    states: broadcast::Sender<String>,
    /// Lines for applications: whose, and what.
    statuses: broadcast::Sender<(String, String)>,
}

#[derive(Default)]
struct Known {
    agents: BTreeMap<String, Value>,
    /// Every status that was told, as it came.
    told: Vec<String>,
    /// Names of the requests that came.
    requests: Vec<String>,
}

impl InteractionServer {
    /// Starts a server without agents on a free port, or on this one; with files it speaks TLS.
    ///
    /// # Errors
    /// The port cannot be had, or the files are not what they ought to be.
    pub async fn start(
        name: &str,
        spelling: Spelling,
        port: u16,
        tls: Option<&TlsFiles>,
    ) -> io::Result<Self> {
        let door = Door::new(tls)?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            spelling,
            known: Mutex::default(),
            states: broadcast::channel(BEHIND_MAX).0,
            statuses: broadcast::channel(BEHIND_MAX).0,
        });
        let stop = CancellationToken::new();
        let (serving, stopped) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            let attend = move |wire| {
                let shared = Arc::clone(&serving);
                async move { serve(wire, &shared).await }
            };
            door.serve(listener, [&stopped, &stopped], attend).await;
        });
        Ok(Self { address, shared, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An agent's state has changed: the media with their readiness, and the interactions by
    /// medium. It is reported.
    pub fn set(&self, agent: &str, media: &[(&str, bool)], interactions: &[&str]) {
        let list = media.iter().map(|(name, ready)| ((*name).to_owned(), json!({"Ready": ready})));
        let list: serde_json::Map<String, Value> = list.collect();
        let interactions: Vec<Value> = interactions
            .iter()
            .enumerate()
            .map(|(n, medium)| json!({ "InteractionId": format!("i{n}"), "MediaType": medium }))
            .collect();
        let event = json!({
            "id": "EventPlaceAgentState",
            "Server": self.shared.name,
            "AgentId": agent,
            "PlaceId": format!("place of {agent}"),
            "TenantId": 101,
            "MediaStateList": list,
            "Interactions": interactions,
        });
        let line = json!({ "event": event }).to_string();
        self.shared.known().agents.insert(agent.to_owned(), event);
        // Nobody may have asked yet.
        let _ = self.shared.states.send(line);
    }

    /// The statuses it was told, each line as it came.
    pub fn told(&self) -> Vec<String> {
        self.shared.known().told.clone()
    }

    /// The names of the requests that came.
    pub fn requests(&self) -> Vec<String> {
        self.shared.known().requests.clone()
    }
}

impl Drop for InteractionServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(wire: Wire, shared: &Shared) -> io::Result<()> {
    let mut lines = BufReader::new(wire).lines();
    // Before the snapshot: what changes meanwhile is told twice rather than never.
    let mut states = shared.states.subscribe();
    let mut statuses = shared.statuses.subscribe();
    let (mut is_asked, mut application) = (false, None);
    let mut keep_alive = interval(KEEP_ALIVE_EVERY);
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let said: Value = serde_json::from_str(&line).map_err(io::Error::other)?;
                if let Some(agent) = said["application"].as_str() {
                    application = Some(agent.to_owned());
                    send(lines.get_mut(), KEEP_ALIVE).await?;
                } else if said["event"]["id"] == "EventCurrentAgentStatus" {
                    let agent = said["event"]["AgentId"].as_str().unwrap_or_default().to_owned();
                    shared.known().told.push(line.clone());
                    // No application may be there.
                    let _ = shared.statuses.send((agent, line));
                } else {
                    is_asked |= answer(&said["request"], shared, lines.get_mut()).await?;
                }
            }
            Ok(line) = states.recv(), if is_asked => {
                send(lines.get_mut(), &format!("{line}\n")).await?;
            }
            Ok((agent, line)) = statuses.recv() => {
                if application.as_ref() == Some(&agent) {
                    send(lines.get_mut(), &format!("{line}\n")).await?;
                }
            }
            _ = keep_alive.tick(), if is_asked => {
                send(lines.get_mut(), KEEP_ALIVE).await?;
            }
        }
    }
}

/// Answers a request; whether it may have what it asks for.
async fn answer(
    request: &Value,
    shared: &Shared,
    client: &mut (impl AsyncWrite + Unpin),
) -> io::Result<bool> {
    let name = request["id"].as_str().unwrap_or_default().to_owned();
    let is_known = match shared.spelling {
        Spelling::Both => REQUESTS.contains(&name.as_str()),
        Spelling::Seed => name == REQUESTS[1],
    };
    let (number, server) = (&request["ReferenceId"], &shared.name);
    let id = if is_known { "EventAck" } else { "EventError" };
    let answer = json!({ "event": { "id": id, "ReferenceId": number, "Server": server } });
    let mut text = format!("{answer}\n");
    let agents = {
        let mut known = shared.known();
        known.requests.push(name);
        known.agents.clone()
    };
    if is_known {
        for event in agents.into_values() {
            text.push_str(&json!({ "event": event }).to_string());
            text.push('\n');
        }
    }
    send(client, &text).await?;
    Ok(is_known)
}
