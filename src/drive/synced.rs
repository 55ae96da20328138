//! The directory that the synchronisation of the configuration makes. What stands in the topic
//! `directory` is announced to the processors of every domain, once the first synchronisation has
//! succeeded; what has to be listened to is told to the links before, by what Engage wants alone;
//! and the presence sink learns the id of the presence source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trunkline_schemas::codec::{self, DesiredValue, DirectoryValue};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::topics::{COMMAND_CONFIG, DIRECTORY, STATE_CONFIG_SINK};
use trunkline_schemas::{DesiredObject, DirectoryRow, Partition, Stored, Topic};
use trunkline_sinks::config::memory::{META, Meta};

use super::links::{Listened, Telling};
use super::tail::Tail;
use super::vitals::Vitals;
use super::{Shell, TaskError, announce, state};
use crate::admin::health::Synced;
use crate::log::Log;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Looks after which a change is announced though more of them come: each announcement names every
/// row.
const LOOKS_MAX: u32 = 60;
/// What its thread and its condition are called.
pub(super) const NAME: &str = "directory";

/// A domain that is told.
#[derive(Debug)]
pub(super) struct Told {
    /// Its name.
    pub(super) domain: String,
    /// Its partition.
    pub(super) partition: Partition,
    /// The raw topics of the processors that need a directory.
    pub(super) topics: Vec<Topic>,
    /// What the domain's own file adds: servers, and where agents are logged in.
    pub(super) addition: DirectoryFile,
    /// Its links.
    pub(super) links: Arc<Telling>,
}

/// Follows the directory.
pub(super) struct Follower {
    shell: Shell,
    known: Known,
    told: Vec<Told>,
    source: watch::Sender<Arc<str>>,
    /// Looks since something changed that is not announced.
    owed: Option<u32>,
}

impl Follower {
    /// One that has read what there is.
    ///
    /// # Errors
    /// The log.
    pub(super) fn new(shell: &Shell) -> Result<Self, TaskError> {
        let mut known = Known::new();
        known.read(shell.log.as_ref())?;
        known.is_changed = false;
        let (source, _) = watch::channel(known.source());
        Ok(Self { shell: shell.clone(), known, told: Vec::new(), source, owed: None })
    }

    /// What has to be listened to.
    pub(super) fn listened(&self) -> Listened {
        self.known.listened()
    }

    /// The id of the presence source; empty before there is one.
    pub(super) fn source(&self) -> watch::Receiver<Arc<str>> {
        self.source.subscribe()
    }

    /// Announces the directory to a domain, if there is one, and whatever changes of it.
    ///
    /// # Errors
    /// The log.
    pub(super) fn tell(&mut self, told: Told) -> Result<(), TaskError> {
        self.announce(&told)?;
        self.told.push(told);
        Ok(())
    }

    /// Runs until the process stops.
    pub(super) fn run(mut self, vitals: Vitals) {
        loop {
            vitals.beat();
            match self.look() {
                Ok(()) => {
                    let synced = self.known.synced();
                    let waits = "the first synchronisation has not succeeded yet";
                    vitals.say(synced.is_none().then_some(waits));
                    if let Some(synced) = synced {
                        self.shell.health.tell_synced(synced);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the directory cannot be announced yet");
                    vitals.say(Some(&error.to_string()));
                }
            }
            if !self.shell.pause(LOOK) {
                break;
            }
        }
        vitals.retire();
    }

    fn look(&mut self) -> Result<(), TaskError> {
        self.known.read(self.shell.log.as_ref())?;
        let has_changed = std::mem::take(&mut self.known.is_changed);
        if has_changed {
            self.owed.get_or_insert(0);
            let listened = self.known.listened();
            self.told.iter().for_each(|told| told.links.tell(&listened));
            self.source.send_if_modified(|known| {
                let now = self.known.source();
                let differs = *known != now;
                *known = now;
                differs
            });
        }
        let Some(looks) = &mut self.owed else { return Ok(()) };
        *looks += 1;
        if has_changed && *looks < LOOKS_MAX {
            return Ok(());
        }
        for told in &self.told {
            self.announce(told)?;
        }
        self.owed = None;
        Ok(())
    }

    fn announce(&self, told: &Told) -> Result<(), TaskError> {
        if self.known.synced().is_none() {
            return Ok(());
        }
        let directory = self.known.directory(&told.addition);
        let mut topics = told.topics.clone();
        // What the processor of agents tells of the beginning is looked for behind the first
        // announcement to that of conversations; later the other knows an agent first, as with a
        // file ([`super::roster`]).
        if announce::is_announced(&self.shell, &told.domain)? {
            topics.reverse();
        }
        for topic in topics {
            let place = (topic, told.partition);
            announce::announce(&self.shell, &told.domain, place, &directory)?;
        }
        Ok(())
    }
}

/// What an object of Engage makes worth listening to.
#[derive(Debug, PartialEq, Eq)]
enum Names {
    Agents(Vec<String>),
    Queues(Vec<String>),
}

/// What stands in the topics.
struct Known {
    directory: Tail,
    commands: Tail,
    state: Tail,
    rows: BTreeMap<Vec<u8>, DirectoryRow>,
    names: BTreeMap<Vec<u8>, Names>,
    meta: Meta,
    /// When the config sink wrote last what it knows, milliseconds since 1970.
    written_ms: i64,
    /// Something is new since it was last asked.
    is_changed: bool,
}

impl Known {
    fn new() -> Self {
        Self {
            directory: Tail::new(DIRECTORY, 0, 0),
            commands: Tail::new(COMMAND_CONFIG, 0, 0),
            state: Tail::new(STATE_CONFIG_SINK, 0, 0),
            rows: BTreeMap::new(),
            names: BTreeMap::new(),
            meta: Meta::default(),
            written_ms: 0,
            is_changed: false,
        }
    }

    /// Reads on.
    fn read(&mut self, log: &dyn Log) -> Result<(), TaskError> {
        let Self { directory, commands, state, rows, names, meta, written_ms, is_changed } = self;
        // The state before the rows: all rows were written before the state said so.
        state.read(log, &mut |stored| {
            *written_ms = stored.append_time_ms;
            if let Some(now) = self::meta(&stored) {
                // Once is for ever: whatever is not as desired now is being made so.
                *is_changed |= now.is_synced && !meta.is_synced;
                *meta = Meta { is_synced: now.is_synced || meta.is_synced, ..now };
            }
        })?;
        directory.read(log, &mut |stored| {
            *is_changed = true;
            take(rows, stored, row);
        })?;
        commands.read(log, &mut |stored| {
            *is_changed = true;
            take(names, stored, self::names);
        })?;
        Ok(())
    }

    /// The configuration, once everything was as desired.
    fn synced(&self) -> Option<Synced> {
        let Meta { org, is_synced } = &self.meta;
        is_synced.then(|| Synced { org: org.clone(), at_ms: self.written_ms })
    }

    fn listened(&self) -> Listened {
        let mut listened = Listened::default();
        for names in self.names.values() {
            match names {
                Names::Agents(agents) => listened.agents.extend(agents.iter().cloned()),
                Names::Queues(dns) => listened.queues.extend(dns.iter().cloned()),
            }
        }
        for row in self.rows.values() {
            if let DirectoryRow::Extension(row) = row {
                listened.extensions.insert(row.dn.clone());
            }
        }
        listened
    }

    fn source(&self) -> Arc<str> {
        let source = self.rows.values().find_map(|row| match row {
            DirectoryRow::Source(row) => Some(row.source_id.as_str()),
            DirectoryRow::Server(_)
            | DirectoryRow::Agent(_)
            | DirectoryRow::Queue(_)
            | DirectoryRow::Extension(_)
            | DirectoryRow::WrapUpCode(_) => None,
        });
        source.unwrap_or_default().into()
    }

    /// The directory of a domain: the ids of the organisation, and what its own file adds.
    fn directory(&self, addition: &DirectoryFile) -> DirectoryFile {
        let logins: BTreeMap<&str, _> =
            addition.agents.iter().map(|row| (row.employee_id.as_str(), &row.logins)).collect();
        let mut directory =
            DirectoryFile { servers: addition.servers.clone(), ..DirectoryFile::default() };
        for row in self.rows.values().cloned() {
            match row {
                DirectoryRow::Agent(mut agent) => {
                    if let Some(logins) = logins.get(agent.employee_id.as_str()) {
                        agent.logins.clone_from(logins);
                    }
                    directory.agents.push(agent);
                }
                DirectoryRow::Server(server) => directory.servers.push(server),
                DirectoryRow::Queue(queue) => directory.queues.push(queue),
                DirectoryRow::Extension(extension) => directory.extensions.push(extension),
                DirectoryRow::WrapUpCode(code) => directory.wrap_up_codes.push(code),
                DirectoryRow::Source(source) => directory.source_id = source.source_id,
            }
        }
        directory
    }
}

/// Takes a record of a compacted topic. One that cannot be read says nothing; its writer reports.
fn take<T>(all: &mut BTreeMap<Vec<u8>, T>, stored: Stored, read: impl Fn(&[u8]) -> Option<T>) {
    match stored.record.value.as_deref().and_then(read) {
        Some(value) => drop(all.insert(stored.record.key, value)),
        None => drop(all.remove(&stored.record.key)),
    }
}

fn row(value: &[u8]) -> Option<DirectoryRow> {
    codec::decode::<DirectoryValue>(value).ok().map(|value| value.row)
}

fn names(value: &[u8]) -> Option<Names> {
    match codec::decode::<DesiredValue>(value).ok()?.object {
        DesiredObject::User(user) if !user.persons.is_empty() => {
            Some(Names::Agents(user.employee_ids))
        }
        DesiredObject::Queue(queue) => {
            Some(Names::Queues(queue.dns.into_iter().map(|at| at.dn).collect()))
        }
        DesiredObject::User(_)
        | DesiredObject::Skill(_)
        | DesiredObject::WrapUpCode(_)
        | DesiredObject::Source(_) => None,
    }
}

/// What the config sink knows of the whole, where a row of it says so.
fn meta(stored: &Stored) -> Option<Meta> {
    let value = stored.record.value.as_deref()?;
    if stored.record.key != META.as_bytes() {
        return None;
    }
    let body = state::unwrap(&stored.record.key, value).ok()?;
    serde_json::from_slice(&body).ok()
}
