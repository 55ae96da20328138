//! The links of the bridges: to which servers, and what is wanted of each.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use trunkline_ingest::feed::{LinkConfig, Wanted};
use trunkline_schemas::directory::DirectoryFile;
use trunkline_schemas::raw::Stream;

use crate::config::{Domain, ServerPair, Site, SourceTls};

/// How long connecting to a server may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a server may be silent.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between two attempts to connect.
pub(super) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(10));

/// What has to be listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listened {
    /// Employee ids of agents.
    pub(super) agents: BTreeSet<String>,
    /// Virtual queues.
    pub(super) queues: BTreeSet<String>,
    /// Extensions.
    pub(super) extensions: BTreeSet<String>,
}

impl Listened {
    /// All that a directory names.
    pub(super) fn of(directory: &DirectoryFile) -> Self {
        Self {
            agents: directory.agents.iter().map(|row| row.employee_id.clone()).collect(),
            queues: directory.queues.iter().map(|row| row.dn.clone()).collect(),
            extensions: directory.extensions.iter().map(|row| row.dn.clone()).collect(),
        }
    }

    fn by(&self, role: Stream) -> Vec<String> {
        let objects = match role {
            Stream::Call | Stream::Dn | Stream::AgentState | Stream::Interaction => {
                return Vec::new();
            }
            Stream::Stat => &self.agents,
            Stream::Vq => &self.queues,
            Stream::Ext => &self.extensions,
        };
        objects.iter().cloned().collect()
    }
}

/// Tells links what is to be listened to.
#[derive(Debug)]
pub(super) struct Telling {
    agents: watch::Sender<BTreeSet<String>>,
    queues: watch::Sender<BTreeSet<String>>,
    extensions: watch::Sender<BTreeSet<String>>,
}

impl Telling {
    pub(super) fn new(now: &Listened) -> Self {
        let sender = |set: &BTreeSet<String>| watch::Sender::new(set.clone());
        let Listened { agents, queues, extensions } = now;
        Self { agents: sender(agents), queues: sender(queues), extensions: sender(extensions) }
    }

    /// What a link of that role is told, where that can change.
    pub(super) fn wanted(&self, role: Stream) -> Option<Wanted> {
        match role {
            Stream::Call | Stream::Dn | Stream::AgentState | Stream::Interaction => None,
            Stream::Stat => Some(self.agents.subscribe()),
            Stream::Vq => Some(self.queues.subscribe()),
            Stream::Ext => Some(self.extensions.subscribe()),
        }
    }

    pub(super) fn tell(&self, now: &Listened) {
        self.tell_agents(&now.agents);
        tell(&self.queues, &now.queues);
        tell(&self.extensions, &now.extensions);
    }

    pub(super) fn tell_agents(&self, agents: &BTreeSet<String>) {
        tell(&self.agents, agents);
    }
}

fn tell(links: &watch::Sender<BTreeSet<String>>, now: &BTreeSet<String>) {
    links.send_if_modified(|known| {
        let differs = known != now;
        if differs {
            known.clone_from(now);
        }
        differs
    });
}

/// Every link of these bridges to the SIP Servers and Stat Servers of a domain.
pub(super) fn links(domain: &Domain, bridges: &[String], listened: &Listened) -> Vec<LinkConfig> {
    type Place<'a> = (&'a str, Option<&'a SourceTls>);
    let link = |bridge: &String, place: Place<'_>, role, (pair, servers): (usize, &ServerPair)| {
        let (site, tls) = place;
        let backup = servers.backup.iter().map(ToString::to_string);
        LinkConfig {
            bridge: bridge.clone(),
            domain: domain.name.clone(),
            site: site.to_owned(),
            role,
            pair,
            servers: std::iter::once(servers.primary.to_string()).chain(backup).collect(),
            tls: tls.map(|section| section.tls.clone()),
            dns: listened.by(role),
            connect_timeout: CONNECT_TIMEOUT,
            silence_timeout: SILENCE_TIMEOUT,
            backoff_min: BACKOFF.0,
            backoff_max: BACKOFF.1,
        }
    };
    let mut links = Vec::new();
    for name in bridges {
        for site in &domain.sites {
            for (role, pairs) in roles(site) {
                let pairs = pairs.iter().enumerate();
                let place = (site.name.as_str(), site.tls.as_ref());
                links.extend(pairs.map(|pair| link(name, place, role, pair)));
            }
        }
        // A Stat Server belongs to no site: it tells of all agents.
        if let Some(states) = &domain.agent_states {
            let place = (domain.name.as_str(), states.tls.as_ref());
            let pairs = states.stat_servers.iter().enumerate();
            links.extend(pairs.map(|pair| link(name, place, Stream::Stat, pair)));
        }
    }
    links
}

fn roles(site: &Site) -> [(Stream, &Vec<ServerPair>); 3] {
    [
        (Stream::Call, &site.voice_server_call),
        (Stream::Vq, &site.voice_server_vq),
        (Stream::Ext, &site.voice_server_agent),
    ]
}
