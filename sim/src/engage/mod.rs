//! A simulated Engage site: external callers, Routing Points, virtual queues and agents behind one
//! SIP Server (and, if wanted, a VQ server of its own), played from a seeded plan and served over
//! the TLib feed protocol. It knows the truth about every call it plays.
//!
//! ```text
//! seed -> site (agents, queues, ids)
//!      -> plan (every call with all its moments, on a virtual time line)
//!           -> script (TLib events) -> play (number, time of day) -> feed (clients, resumption)
//!           -> expected (what the organisation must hold)
//! ```

mod database;
mod day;
mod event;
mod expected;
mod feed;
#[cfg(test)]
mod feed_tests;
mod model;
#[cfg(test)]
mod model_tests;
mod plan;
mod play;
mod recorded;
mod script;
mod site;
mod standby;
mod stat;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::Door;
use crate::truth::{AgentDay, CallTruth};

pub use crate::door::TlsFiles;
pub use database::TENANT;
pub use model::{Model, SHARES};
pub use play::Progress;
pub use site::{BACKUP_SERVER, SECOND_SERVER, SIP_SERVER, SWITCH, VQ_SERVER};
pub use stat::{BACKUP_STAT_SERVER, STAT_SERVER};

use day::Day;

use feed::Server;
use play::{Beat, Played, Schedule, Servers, Voices};
use site::Site;
use standby::Standby;
use stat::{Board, Sayings, StatServer};

/// Most calls of a run: plan and events are kept in memory (about 5 KiB a call).
pub const CALLS_MAX: u64 = 200_000;
/// Most agents of the site.
pub const AGENTS_MAX: usize = 2_000;
/// Fewest agents: an internal call, and a call not answered by the first, need two.
pub const AGENTS_MIN: usize = 2;
/// The VQ server was started this long before the SIP Server.
const VQ_SERVER_OLDER_SECS: i64 = 7;
/// The second site's SIP Server was started this long before that of the first.
const SECOND_SERVER_OLDER_SECS: i64 = 3;
/// Nobody has been logged in for so long when the site starts.
const LOGGED_OUT_SECS: i64 = 60;
/// The backup was started this long before the primary.
const BACKUP_SERVER_OLDER_SECS: i64 = 11;
/// Of a hundred calls with everything, so many are recorded ones.
const RECORDED_PERCENT: u64 = 34;

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct EngageConfig {
    /// Where the SIP Server listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The same seed (with the same numbers below) gives the same site and the same calls.
    pub seed: u64,
    /// Calls of the run.
    pub calls: u64,
    /// Calls that arrive in a second of real time, on average.
    pub rate_per_second: f64,
    /// How much faster than in life calls go: all durations are divided by it.
    pub speed: f64,
    /// Agents of the site.
    pub agents: usize,
    /// The calls start when so many clients have said hello and are connected.
    pub wait_for_clients: usize,
    /// Whether the VQ DNs are on a server of their own (call model 19). It listens on the next
    /// port, or on one the system chooses if `listen` has port 0.
    pub vq_server: bool,
    /// All calls of this model, instead of the models in their usual shares.
    pub only: Option<Model>,
    /// Every call model, recorded ones among them, on two sites; and in the middle of the run the
    /// SIP Server fails over to its backup.
    pub everything: bool,
    /// Where the Stat Server listens, if there is one; its backup has the next port, or one that
    /// the system chooses if this is port 0. With `everything` the primary fails on the way. Agents
    /// of recorded calls are at no switch of theirs.
    pub stat_server: Option<SocketAddr>,
    /// By which all its servers speak TLS, if they do.
    pub tls: Option<TlsFiles>,
}

impl Default for EngageConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            calls: 100,
            rate_per_second: 5.0,
            speed: 1.0,
            agents: 60,
            wait_for_clients: 0,
            vq_server: false,
            only: None,
            everything: false,
            stat_server: None,
            tls: None,
        }
    }
}

/// What the servers of a site share.
#[derive(Clone)]
struct Near {
    door: Door,
    /// Counts the clients that said hello and are still there.
    present: Arc<watch::Sender<usize>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A running site. Dropping it stops it.
#[derive(Debug)]
pub struct EngageSim {
    addr: SocketAddr,
    vq_addr: SocketAddr,
    backup_addr: Option<SocketAddr>,
    second_addr: Option<SocketAddr>,
    stat_addrs: Option<(SocketAddr, SocketAddr)>,
    run: Arc<Run>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Run {
    site: Site,
    calls: Vec<Played>,
    speed: f64,
    /// Set when the calls start.
    beat: OnceLock<Beat>,
    progress: watch::Sender<Progress>,
    /// What agents do, where a Stat Server tells it.
    floor: Option<AgentFloor>,
}

/// The agents of a run.
#[derive(Debug)]
struct AgentFloor {
    days: Vec<Day>,
    sayings: Sayings,
    board: Arc<Board>,
    /// Since when everybody is logged out, seconds since 1970.
    begun_secs: i64,
    /// Whether all days are over.
    over: watch::Sender<bool>,
}

/// Starts a site: it listens when this returns, and plays its calls once enough clients are there.
///
/// # Errors
/// `InvalidInput` for numbers out of range and TLS files that are none; whatever the system says
/// when it cannot listen.
pub async fn start(config: EngageConfig) -> io::Result<EngageSim> {
    check(&config)?;
    let (site, calls) = calls(&config);
    let schedule = Schedule::new(&site, &calls);
    let total = calls.len() as u64;
    let progress = watch::Sender::new(Progress { total, ..Progress::default() });
    let (speed, beat) = (config.speed, OnceLock::new());
    let started_at = now_micros().div_euclid(1_000_000);
    let begun_secs = started_at - LOGGED_OUT_SECS;
    let floor = config.stat_server.map(|_| floor(&config, &site, &calls, begun_secs));
    let run = Arc::new(Run { site, calls, speed, beat, progress, floor });

    let near = Near {
        door: Door::new(config.tls.as_ref())?,
        present: Arc::new(watch::Sender::new(0)),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let open = async |listen, name, older_secs| {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let server = Arc::new(Server::new(name, started_at - older_secs));
        near.tasks.spawn(feed::serve(listener, Arc::clone(&server), near.clone()));
        io::Result::Ok((server, addr))
    };
    let (sip, addr) = open(config.listen, SIP_SERVER, 0).await?;
    let mut servers = Servers { sip, vq: None, second: None };
    let (mut vq_addr, mut backup_addr, mut second_addr, mut standby) = (addr, None, None, None);
    if config.vq_server {
        let (vq, at) = open(next_port(config.listen), VQ_SERVER, VQ_SERVER_OLDER_SECS).await?;
        (servers.vq, vq_addr) = (Some(vq), at);
    }
    if config.everything {
        let any_port = SocketAddr::new(config.listen.ip(), 0);
        let (second, at) = open(any_port, SECOND_SERVER, SECOND_SERVER_OLDER_SECS).await?;
        (servers.second, second_addr) = (Some(second), Some(at));
        let backup = Arc::new(Server::new(BACKUP_SERVER, started_at - BACKUP_SERVER_OLDER_SECS));
        let made = Standby::new(any_port, backup, near.clone())?;
        (standby, backup_addr) = (Some(made.0), Some(made.1));
    }
    let stat = match (config.stat_server, &run.floor) {
        (Some(listen), Some(floor)) => Some(open_stat(listen, floor, started_at, &near).await?),
        (_, _) => None,
    };
    let stat_addrs = stat.as_ref().map(|(_, addrs)| *addrs);
    let primary = stat.map(|(primary, _)| primary).filter(|_| config.everything);
    let voices = Voices::new(config.seed, &servers);
    let standbys = (standby, primary);
    let Near { present, stop, tasks, .. } = near;
    let playing = play_when_ready(Arc::clone(&run), schedule, voices, standbys, config, present);
    let stopped = stop.clone();
    tasks.spawn(async move { stopped.run_until_cancelled(playing).await });
    Ok(EngageSim { addr, vq_addr, backup_addr, second_addr, stat_addrs, run, stop, tasks })
}

fn floor(config: &EngageConfig, site: &Site, calls: &[Played], begun_secs: i64) -> AgentFloor {
    let days = day::days(config.seed, site.agents.len(), calls, config.speed);
    let sayings = Sayings::new(config.seed, &days, config.speed);
    let board = Arc::new(Board::new(&site.agents, begun_secs * 1_000_000));
    AgentFloor { days, sayings, board, begun_secs, over: watch::Sender::new(false) }
}

/// Opens the Stat Server and its backup; returns the former, and where both listen.
async fn open_stat(
    listen: SocketAddr,
    floor: &AgentFloor,
    started_at: i64,
    near: &Near,
) -> io::Result<(Arc<StatServer>, (SocketAddr, SocketAddr))> {
    let open = async |listen, name, older_secs| {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let server = Arc::new(StatServer::new(name, started_at - older_secs, &floor.board));
        near.tasks.spawn(stat::serve(listener, Arc::clone(&server), near.clone()));
        io::Result::Ok((server, addr))
    };
    let (primary, addr) = open(listen, STAT_SERVER, 0).await?;
    let (_, backup) = open(next_port(listen), BACKUP_STAT_SERVER, BACKUP_SERVER_OLDER_SECS).await?;
    Ok((primary, (addr, backup)))
}

/// The site and all its calls.
fn calls(config: &EngageConfig) -> (Site, Vec<Played>) {
    let site = Site::new(config.seed, config.agents, config.vq_server);
    let recorded = if config.everything { config.calls * RECORDED_PERCENT / 100 } else { 0 };
    let planned = plan::plan(&settings(config, config.calls - recorded, &site));
    let count = |calls: u64| u32::try_from(calls).expect("checked against CALLS_MAX");
    let span = planned.last().map_or(0, |call| call.created);
    let first = count(config.calls - recorded);
    let takes = recorded::takes(first, count(recorded), span);
    let cells = takes.iter().map(|take| take.cell + 1).max().unwrap_or_default();
    let site = if config.everything { site.with_second(cells) } else { site };
    let planned = planned.into_iter().map(Played::Planned);
    (site, planned.chain(takes.into_iter().map(Played::Recorded)).collect())
}

impl EngageSim {
    /// Where the SIP Server listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the VQ events are served: the VQ server's address if there is one, else the SIP
    /// Server's.
    pub fn vq_addr(&self) -> SocketAddr {
        self.vq_addr
    }

    /// Where the SIP Server's backup is once it has taken over, if there is one.
    pub fn backup_addr(&self) -> Option<SocketAddr> {
        self.backup_addr
    }

    /// Where the SIP Server of the second site listens, if there is one.
    pub fn second_addr(&self) -> Option<SocketAddr> {
        self.second_addr
    }

    /// Where the Stat Server and its backup listen, if there are any.
    pub fn stat_addrs(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.run.floor.as_ref().and(self.stat_addrs)
    }

    /// The day of each agent as the organisation must have it. Empty until the calls have started,
    /// and where no Stat Server tells it; else it covers what is still to come as well.
    pub fn agent_days(&self) -> Vec<AgentDay> {
        let (Some(beat), Some(floor)) = (self.run.beat.get(), &self.run.floor) else {
            return Vec::new();
        };
        let heard = floor.board.heard();
        let day = |(number, (agent, day)): (usize, (&site::Agent, &Day))| AgentDay {
            employee_id: agent.employee.clone(),
            user_id: agent.user_id.clone(),
            states: day.states(
                floor.begun_secs * 1_000,
                |at| beat.wall_ms(at),
                |at| heard.get(&(number, beat.wall(at))).copied().unwrap_or_default(),
            ),
        };
        self.run.site.agents.iter().zip(&floor.days).enumerate().map(day).collect()
    }

    /// Whether everybody has gone home; so it is where no Stat Server tells of anybody.
    pub fn days_are_over(&self) -> bool {
        self.run.floor.as_ref().is_none_or(|floor| *floor.over.borrow())
    }

    /// Waits until everybody has gone home, where a Stat Server tells it.
    pub async fn wait_days_over(&self) {
        if let Some(floor) = &self.run.floor {
            // The sender lives as long as `self`, so that the wait cannot fail.
            let _ = floor.over.subscribe().wait_for(|over| *over).await;
        }
    }

    /// The directory of the site, as `translate` and `run` read it from a file.
    pub fn directory(&self) -> Value {
        self.run.site.directory()
    }

    /// The rows of the site's Configuration Database, by table, each a list of columns in the order
    /// of the reads.
    pub fn database(&self) -> Value {
        self.run.site.database()
    }

    /// The ids by which the truth knows the objects that an organisation makes of that database, by
    /// kind and name.
    pub fn ids(&self) -> BTreeMap<String, String> {
        self.run.site.ids()
    }

    /// The truth about all calls of the run in their order. Empty until the calls have started, as
    /// it names times of day; from then on it covers the calls still to come as well.
    pub fn truth(&self) -> Vec<CallTruth> {
        let Some(beat) = self.run.beat.get() else { return Vec::new() };
        let truth = |call: &Played| call.truth(&self.run.site, |at| beat.wall_ms(at));
        self.run.calls.iter().map(truth).collect()
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        *self.run.progress.borrow()
    }

    /// Waits until all calls are over. Their last events may still be on the way to the clients.
    pub async fn wait_finished(&self) {
        let mut progress = self.run.progress.subscribe();
        // The sender lives as long as `self`, so that the wait cannot fail.
        let _ = progress.wait_for(|progress| progress.finished == progress.total).await;
    }

    /// Closes all connections and stops.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for EngageSim {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn play_when_ready(
    run: Arc<Run>,
    schedule: Schedule,
    voices: Voices,
    (standby, stat_primary): (Option<Standby>, Option<Arc<StatServer>>),
    config: EngageConfig,
    present: Arc<watch::Sender<usize>>,
) {
    let mut clients = present.subscribe();
    // The sender is held above, so that the wait cannot fail.
    let _ = clients.wait_for(|clients| *clients >= config.wait_for_clients).await;
    let beat = *run.beat.get_or_init(|| Beat { start: now_micros(), speed: run.speed });
    let report = |progress| {
        run.progress.send_replace(progress);
    };
    let calls = play::play(&run.site, &run.calls, &schedule, beat, voices, standby, report);
    let agents = async {
        if let Some(AgentFloor { board, sayings, over, .. }) = &run.floor {
            let fails = stat_primary.map(|server| (sayings.quiet_moment(), server));
            stat::play(board, sayings, beat, fails, over).await;
        }
    };
    tokio::join!(calls, agents);
}

fn check(config: &EngageConfig) -> io::Result<()> {
    let positive = |number: f64| number.is_finite() && number > 0.0;
    let wrong = if config.calls > CALLS_MAX {
        format!("calls is {}: at most {CALLS_MAX}", config.calls)
    } else if !(AGENTS_MIN..=AGENTS_MAX).contains(&config.agents) {
        format!("agents is {}: from {AGENTS_MIN} to {AGENTS_MAX}", config.agents)
    } else if !positive(config.rate_per_second) {
        format!("rate is {}: must be above 0", config.rate_per_second)
    } else if !positive(config.speed) {
        format!("speed is {}: must be above 0", config.speed)
    } else if config.vq_server && config.listen.port() == u16::MAX {
        "the VQ server needs the port after that of listen".to_owned()
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
}

fn settings(config: &EngageConfig, planned: u64, site: &Site) -> plan::Settings {
    let share = planned as f64 / config.calls.max(1) as f64;
    plan::Settings {
        seed: config.seed,
        calls: u32::try_from(planned).expect("checked against CALLS_MAX"),
        // The rate is one of real time, the plan's time line is the virtual one.
        rate: config.rate_per_second / config.speed * share,
        agents: config.agents,
        queues: site.queues.len(),
        only: config.only,
    }
}

fn next_port(mut address: SocketAddr) -> SocketAddr {
    if address.port() != 0 {
        address.set_port(address.port() + 1);
    }
    address
}

#[expect(clippy::disallowed_methods, reason = "the simulated site has a clock of its own")]
fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
