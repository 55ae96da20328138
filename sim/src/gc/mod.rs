//! A simulated Genesys Cloud organisation over HTTP(S): login, the events endpoints of
//! conversations, presences and routing statuses (gc-api section 3), presence definitions, the
//! objects that a configuration makes (section 5), errors and limits like the real one, the
//! invariants of scenarios.md section 3, scripted faults, and a ledger of all it was sent.
//!
//! It reads JSON by itself and shares no type with what it judges, so errors cannot cancel out.
//! `GET /sim/summary`, `/sim/ledger`, `/sim/told`, `/sim/users`, `/sim/holdings` and `/sim/health`
//! and `POST /sim/faults` are its own and need no token.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsAcceptor;
use tokio::task::JoinHandle;

use crate::truth::{Told, UserHistory};

mod answer;
mod auth;
mod check;
mod conversation;
mod events;
mod faults;
mod holdings;
mod http;
mod ledger;
mod org;
mod schema;
#[cfg(test)]
mod script;
mod tls;
mod users;
mod wire;

pub use check::{Invariant, Violation};
pub use faults::{Fault, FaultPlan, FaultRule, When};
pub use holdings::{Code, Counts, Holdings, Queue, Role, Skill, Source, User};
pub use ledger::{EventOutcome, EventRecord, RequestRecord, Summary};
pub use org::ORGANIZATION_ID;

/// What kind of organisation to simulate.
#[derive(Clone, Debug)]
pub struct GcConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// HTTPS with a certificate of an authority made at the start.
    pub tls: bool,
    /// A name its certificate is for, beside those of this machine.
    pub tls_name: Option<String>,
    /// Id of the one OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// User ids of the organisation; nothing means that any will do.
    pub users: Option<Vec<String>>,
    /// Queue ids.
    pub queues: Option<Vec<String>>,
    /// Wrap-up code ids.
    pub wrap_up_codes: Option<Vec<String>>,
    /// The `sourceId` that established events and those of users must carry.
    pub source_id: Option<String>,
    /// Ids that objects get which are created, by kind and name (`user/a@b.example`, `queue/…`,
    /// `skill/…`, `code/…`, `source/…`); all others get one of the organisation's choice.
    pub ids: BTreeMap<String, String>,
    /// Names of system presences that are deactivated, for example `Meal`.
    pub deactivated_presences: Vec<String>,
    /// Requests the client may make in any 60 seconds, without those for tokens.
    pub requests_per_minute: u32,
    /// How long a token lives.
    pub token_lifetime: Duration,
    /// Whether a repeated `eventId` is ignored; else it is applied again.
    pub dedup: bool,
    /// What goes wrong.
    pub faults: FaultPlan,
}

impl Default for GcConfig {
    /// A free local port, plain HTTP, any ids, the limits of the real one, no fault.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: false,
            tls_name: None,
            client_id: "simulated-client".to_owned(),
            client_secret: "simulated-secret".to_owned(),
            users: None,
            queues: None,
            wrap_up_codes: None,
            source_id: None,
            ids: BTreeMap::new(),
            deactivated_presences: Vec::new(),
            requests_per_minute: 300,
            token_lifetime: Duration::from_hours(24),
            dedup: true,
            faults: FaultPlan::default(),
        }
    }
}

/// Starts an organisation; it serves until it is stopped or its last handle is dropped.
///
/// Fails if the address cannot be listened on or no certificate can be made.
pub async fn start(config: GcConfig) -> io::Result<GcSim> {
    let listener = tokio::net::TcpListener::bind(config.listen).await?;
    let addr = listener.local_addr()?;
    let wires = wire::Wires::default();
    let shared = http::Shared::new(org::Org::new(&config), wires.clone());
    let service = http::router(shared.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let handle = Handle::new();
    let server = axum_server::from_tcp(listener.into_std()?)?.handle(handle.clone());
    let (task, ca_pem) = if config.tls {
        let (tls, ca_pem) = tls::make(addr, config.tls_name.as_deref())?;
        let server = server.acceptor(RustlsAcceptor::new(tls).acceptor(wires));
        (tokio::spawn(server.serve(service)), Some(ca_pem))
    } else {
        (tokio::spawn(server.acceptor(wires).serve(service)), None)
    };
    let running = Running { handle, task: Mutex::new(Some(task)) };
    Ok(GcSim { addr, ca_pem, shared, running: Arc::new(running) })
}

/// A handle on a running organisation.
#[derive(Clone)]
pub struct GcSim {
    addr: SocketAddr,
    ca_pem: Option<String>,
    shared: http::Shared,
    running: Arc<Running>,
}

struct Running {
    handle: Handle<SocketAddr>,
    task: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl GcSim {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base of its addresses, for API and login alike, without a slash at the end.
    pub fn base_url(&self) -> String {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        let ip = match self.addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            IpAddr::V4(_) | IpAddr::V6(_) => self.addr.ip(),
        };
        format!("{scheme}://{}", SocketAddr::new(ip, self.addr.port()))
    }

    /// The certificate to trust, in PEM; nothing without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The sums so far.
    pub fn summary(&self) -> Summary {
        self.shared.org().summary()
    }

    /// What it was told of each conversation, by conversation id.
    pub fn told(&self) -> Vec<Told> {
        self.shared.org().told()
    }

    /// What it was told of each user, by user id.
    pub fn users(&self) -> Vec<UserHistory> {
        self.shared.org().users()
    }

    /// Deactivates these system presences and no others.
    pub fn set_deactivated_presences(&self, names: Vec<String>) {
        self.shared.org().set_deactivated_presences(names);
    }

    /// From now on allows so many requests a minute; those before do not count.
    pub fn set_requests_per_minute(&self, count: u32) {
        self.shared.org().set_requests_per_minute(count);
    }

    /// The requests it got, in order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.org().requests()
    }

    /// The events it got, in order of processing.
    pub fn events(&self) -> Vec<EventRecord> {
        self.shared.org().events()
    }

    /// What broke an invariant so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.org().violations()
    }

    /// The objects of the organisation, and how often they were read and written.
    pub fn holdings(&self) -> Holdings {
        self.shared.org().holdings().clone()
    }

    /// Changes objects as an administrator of the organisation does; versions of users that differ
    /// after it go up.
    pub fn change_holdings(&self, change: impl FnOnce(&mut Holdings)) {
        self.shared.org().change_holdings(change);
    }

    /// Begins another fault plan, counted from the next events request.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.org().set_faults(plan);
    }

    /// Stops serving and closes every connection. The ledger can still be read.
    ///
    /// Fails if serving had failed before.
    pub async fn stop(&self) -> io::Result<()> {
        self.running.handle.shutdown();
        let task = self.running.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        match task {
            Some(task) => task.await.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}
