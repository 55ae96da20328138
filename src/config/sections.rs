//! The sections of the configuration, one function each: keys, defaults, limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use trunkline_schemas::directory::DirectoryFile;

use super::codes::Code;
use super::document::Flaw;
use super::reader::{Placed, Reader, Unique, shown};
use super::{
    Admin, Bridge, ClientFile, Config, Conversation, ConversationClient, Domain, GenesysCloud,
    HostPort, Log, Logging, ServerPair, Shutdown, Site, Topics, access, agent_states, checks,
    config_sync, configdb, directory, presence, redis, registry, reporting, tls, traces,
};
use crate::admin::roles::Role;

/// Partitions a hashed topic may have.
const PARTITIONS_MAX: u64 = 1024;
/// Copies of a record a cluster may keep.
const REPLICATION_MAX: u64 = 9;
/// Bridges one process may run.
const BRIDGES_MAX: usize = 8;
/// Events Genesys Cloud takes in one request (gc-api section 3).
const EVENTS_PER_REQUEST_MAX: u64 = 100;

/// Everything; `None` where a problem was reported.
pub(super) fn config(
    mut top: Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Config> {
    let admin = admin(top.section("admin"));
    let log = log(top.section("log"));
    let topics = topics(top.section("topics"));
    let bridge = bridge(top.section("bridge"));
    let is_synced = top.has_in("genesys_cloud", "config_sync");
    let domains = domains(&mut top, is_synced);
    let hint = "it says which organisation to write to: base_url, auth_url, and \
                [genesys_cloud.conversation] with an OAuth client";
    let genesys_cloud = top.required_section("genesys_cloud", hint);
    let genesys_cloud = self::genesys_cloud(genesys_cloud, environment);
    let has_configdb = top.has("configdb");
    let configdb = top.section("configdb");
    let configdb = has_configdb.then(|| configdb::configdb(configdb, environment));
    if let (Some(cloud), Some(domains)) = (&genesys_cloud, &domains) {
        one_source(&top, cloud, domains);
    }
    let syncs = genesys_cloud.as_ref().is_some_and(|cloud| cloud.config_sync.is_some());
    if syncs && !has_configdb {
        let text = "genesys_cloud.config_sync has nothing to synchronise";
        let hint = "it needs [configdb], which says of which tenant the configuration is";
        top.report("configdb", Flaw::new(Code::MissingKey, text).hint(hint));
    }
    let (has_redis, section) = (top.has("redis"), top.section("redis"));
    let redis = has_redis.then(|| redis::redis(section, environment));
    let (has_registry, section) = (top.has("schema_registry"), top.section("schema_registry"));
    let schema_registry = has_registry.then(|| registry::registry(section, environment));
    let is_embedded = matches!(log, Some(Log::Embedded { .. }));
    if is_embedded && top.has("schema_registry") {
        let text = "[schema_registry] is for tools that read Kafka, and there is [log.embedded]";
        let hint = "the admin listener serves the built-in schemas under /registry";
        top.report("schema_registry", Flaw::new(Code::Contradiction, text).hint(hint));
    }
    if is_embedded && top.has("redis") {
        let text = "[redis] shares the allowance of several processes, and [log.embedded] has one";
        let hint = "several processes need [log.kafka]; leave [redis] out otherwise";
        top.report("redis", Flaw::new(Code::Contradiction, text).hint(hint));
    }
    let conversation = conversation(top.section("conversation"));
    let presence = presence::presence(top.section("presence"));
    let shutdown = shutdown(top.section("shutdown"));
    let logging = logging(top.section("logging"));
    let (has_traces, section) = (top.has("traces"), top.section("traces"));
    let traces = has_traces.then(|| traces::traces(section));
    top.finish();
    Some(Config {
        admin: admin?,
        log: log?,
        topics: topics?,
        bridge: bridge?,
        domains: domains?,
        genesys_cloud: genesys_cloud?,
        configdb: configdb.map_or(Some(None), |configdb| configdb.map(Some))?,
        redis: redis.map_or(Some(None), |redis| redis.map(Some))?,
        schema_registry: schema_registry.map_or(Some(None), |registry| registry.map(Some))?,
        conversation: conversation?,
        presence: presence?,
        shutdown: shutdown?,
        logging: logging?,
        traces: traces.map_or(Some(None), |traces| traces.map(Some))?,
    })
}

/// There is one presence source for the whole organisation (gc-api section 3): all that is told
/// names the same.
fn one_source(top: &Reader<'_>, cloud: &GenesysCloud, domains: &[Domain]) {
    let Some(source) = cloud.presence.as_ref().and_then(|sink| sink.source_id.as_ref()) else {
        return;
    };
    let differs = |domain: &&Domain| domain.directory.source_id != *source;
    if let Some(domain) = domains.iter().find(differs) {
        let text = format!(
            "it is {}, but the directory of domain {} has {} as its `sourceId`",
            shown(source),
            shown(&domain.name),
            shown(&domain.directory.source_id)
        );
        let flaw = Flaw::new(Code::Contradiction, text);
        let hint = "there is one presence source for Engage: write its id in both places";
        top.report("genesys_cloud.presence.source_id", flaw.hint(hint));
    }
}

fn admin(mut section: Reader<'_>) -> Option<Admin> {
    let default = SocketAddr::from(([127, 0, 0, 1], Role::Conversation.port()));
    let listen = section.text("listen").check(checks::listener).or(default);
    let beside = listen.unwrap_or(default);
    let mut of_role = |key, role: Role| {
        // Any free port stands for all of them.
        let port = if beside.port() == 0 { 0 } else { role.port() };
        section.text(key).check(checks::listener).or(SocketAddr::new(beside.ip(), port))
    };
    let presence = of_role("presence_listen", Role::Presence);
    let config = of_role("config_listen", Role::Config);
    section.finish();
    Some(Admin { listen: listen?, presence_listen: presence?, config_listen: config? })
}

fn log(mut section: Reader<'_>) -> Option<Log> {
    if section.has("kafka") {
        return kafka(section);
    }
    let mut embedded = section.section("embedded");
    section.finish();
    let document = embedded.document();
    let path = embedded.text("path").check(checks::path).or("trunkline-data");
    embedded.finish();
    Some(Log::Embedded { path: document.resolve(path?) })
}

fn kafka(mut section: Reader<'_>) -> Option<Log> {
    let mut kafka = section.section("kafka");
    if section.has("embedded") {
        let said = "[log.embedded] and [log.kafka] exclude each other";
        kafka.report("", Flaw::new(Code::Contradiction, said));
        section.section("embedded");
    }
    section.finish();
    let brokers = brokers(&mut kafka);
    let replication = kafka.whole("replication", 1..=REPLICATION_MAX).check(|n| Ok(Some(n as u16)));
    let replication = replication.or(None);
    let client = client_file(&mut kafka);
    kafka.finish();
    Some(Log::Kafka { brokers: brokers?, replication: replication?, client })
}

/// Some brokers of a cluster.
pub(super) fn brokers(section: &mut Reader<'_>) -> Option<Vec<HostPort>> {
    let mut unique = Unique::new(section.document(), "broker");
    let brokers = section.list("brokers", checks::host_port).check(|brokers| {
        if brokers.is_empty() {
            Err(Flaw::new(Code::OutOfRange, "the list is empty").hint(
                "write `brokers = [\"host:port\"]`; some of the cluster's brokers are enough",
            ))
        } else {
            Ok(brokers)
        }
    });
    let brokers = brokers.required();
    for Placed { value, key, span } in brokers.iter().flatten() {
        unique.add(&value.to_string(), key, span);
    }
    Some(brokers?.into_iter().map(|placed| placed.value).collect())
}

/// How the clients of a cluster connect, where a file says it that is right.
pub(super) fn client_file(section: &mut Reader<'_>) -> Option<ClientFile> {
    let document = section.document();
    let client = section.text("client_file").check(checks::path);
    let client = client.check(|path| checks::client_file(document.resolve(path)));
    client.placed().map(|placed| placed.value)
}

fn topics(mut section: Reader<'_>) -> Option<Topics> {
    let partitions = section.whole("conversation_partitions", 1..=PARTITIONS_MAX).or(4);
    section.finish();
    Some(Topics { conversation_partitions: partitions? as u32 })
}

fn bridge(mut section: Reader<'_>) -> Option<Bridge> {
    let name = section.text("name").check(checks::name);
    let mut names = section.list("names", checks::name);
    if section.has("name") && section.has("names") {
        let said = "`name` and `names` exclude each other";
        names = names.check(|_| {
            Err(Flaw::new(Code::Contradiction, said).hint("one bridge has `name`, several `names`"))
        });
    }
    let names = names
        .check(|names| match names.len() {
            1..=BRIDGES_MAX => Ok(Some(names)),
            count => {
                let said = format!("{count} bridges: from 1 to {BRIDGES_MAX} may be named");
                Err(Flaw::new(Code::OutOfRange, said))
            }
        })
        .or(None);
    let mut unique = Unique::new(section.document(), "bridge");
    for placed in names.iter().flatten().flatten() {
        unique.add(&placed.value, &placed.key, &placed.span);
    }
    let name = name.or("b1".to_owned());
    section.finish();
    let names = names?.map(|names| names.into_iter().map(|placed| placed.value).collect());
    Some(Bridge { names: names.unwrap_or(vec![name?]) })
}

fn domains(top: &mut Reader<'_>, is_synced: bool) -> Option<Vec<Domain>> {
    let document = top.document();
    let readers = top.sections("domain")?;
    if readers.is_empty() {
        let flaw = Flaw::new(Code::MissingKey, "there is no [[domain]]");
        top.report("domain", flaw.hint("a routing domain names its directory and its SIP Servers"));
    }
    let mut names = Unique::new(document, "domain");
    // One server in two places would send every event of it twice.
    let roles = ["voice_server_call", "voice_server_vq", "voice_server_agent"];
    let mut servers = roles.map(|_| Unique::new(document, "SIP Server"));
    // A link is named by its site, and keeps its place in the log by that name.
    let mut sites = Unique::new(document, "site");
    let each = |reader| domain(reader, is_synced, &mut names, &mut sites, &mut servers);
    let read: Vec<Option<Domain>> = readers.into_iter().map(each).collect();
    let domains: Vec<Domain> = read.into_iter().collect::<Option<_>>()?;
    (!domains.is_empty()).then_some(domains)
}

fn domain<'d>(
    mut section: Reader<'d>,
    is_synced: bool,
    names: &mut Unique<'d>,
    sites: &mut Unique<'d>,
    servers: &mut [Unique<'d>; 3],
) -> Option<Domain> {
    let name = section.text("name").check(checks::name).required_placed();
    let directory = directory_file(&mut section, is_synced);
    let readers = section.sections("site");
    if readers.as_ref().is_some_and(Vec::is_empty) {
        let flaw = Flaw::new(Code::MissingKey, "the domain has no [[domain.site]]");
        section.report("site", flaw.hint("a site names the SIP Servers to follow"));
    }
    let readers = readers.into_iter().flatten();
    let read: Vec<Option<Site>> = readers.map(|reader| site(reader, sites, servers)).collect();
    let agent_states = if section.has("agent_states") {
        agent_states::agent_states(section.section("agent_states")).map(Some)
    } else {
        Some(None)
    };
    let interaction_reporting = if section.has("interaction_reporting") {
        reporting::interaction_reporting(section.section("interaction_reporting")).map(Some)
    } else {
        Some(None)
    };
    section.finish();
    if let Some(name) = &name {
        names.add(&name.value, &name.key, &name.span);
    }
    let sites: Vec<Site> = read.into_iter().collect::<Option<_>>()?;
    let (directory_file, directory) = directory?;
    let (name, agent_states) = (name?.value, agent_states?);
    let interaction_reporting = interaction_reporting?;
    Some(Domain { name, directory_file, directory, agent_states, interaction_reporting, sites })
}

/// The directory of a domain, or what a file adds to the one that the synchronisation makes.
fn directory_file(
    section: &mut Reader<'_>,
    is_synced: bool,
) -> Option<(Option<PathBuf>, DirectoryFile)> {
    let document = section.document();
    let file = section.text("directory_file").check(checks::path).check(|path| {
        let path = document.resolve(path);
        if path.is_file() {
            Ok(Some(path))
        } else {
            let said = format!("{} is not a file", path.display());
            Err(Flaw::new(Code::NamedFileUnusable, said))
        }
    });
    let file = if is_synced { file.or(None) } else { file.required() };
    let Some(path) = file? else { return Some((None, DirectoryFile::default())) };
    let read = if is_synced { directory::load_addition } else { directory::load };
    match read(&path) {
        Ok(directory) => Some((Some(path), directory)),
        Err(errors) => {
            document.report_all(errors);
            None
        }
    }
}

fn site<'d>(
    mut section: Reader<'d>,
    sites: &mut Unique<'d>,
    [call, vq, agent]: &mut [Unique<'d>; 3],
) -> Option<Site> {
    let name = section.text("name").check(checks::name).required_placed();
    if let Some(name) = &name {
        sites.add(&name.value, &name.key, &name.span);
    }
    let voice_server_call = servers(&mut section, "voice_server_call", call);
    let voice_server_vq = servers(&mut section, "voice_server_vq", vq);
    let voice_server_agent = servers(&mut section, "voice_server_agent", agent);
    let tls = tls::tls(&mut section);
    section.finish();
    Some(Site {
        name: name?.value,
        voice_server_call: voice_server_call?,
        voice_server_vq: voice_server_vq?,
        voice_server_agent: voice_server_agent?,
        tls: tls.ok()?,
    })
}

fn servers<'d>(
    section: &mut Reader<'d>,
    key: &'static str,
    unique: &mut Unique<'d>,
) -> Option<Vec<ServerPair>> {
    let pairs = section.list(key, checks::server_pair).check(|pairs| {
        if pairs.is_empty() {
            Err(Flaw::new(Code::OutOfRange, "the list is empty")
                .hint(format!("write `{key} = [\"primary:port/backup:port\"]`")))
        } else {
            Ok(pairs)
        }
    });
    let pairs = pairs.required()?;
    for Placed { value, key, span } in &pairs {
        for address in std::iter::once(&value.primary).chain(&value.backup) {
            unique.add(&address.to_string(), key, span);
        }
    }
    Some(pairs.into_iter().map(|placed| placed.value).collect())
}

fn genesys_cloud(
    mut section: Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<GenesysCloud> {
    let base_url = section.text("base_url").check(checks::url).required();
    let auth_url = section.text("auth_url").check(checks::url).required();
    let ca = access::authorities(&mut section);
    let hint = "every sink has an OAuth client of its own: client_id and client_secret_file";
    let conversation = section.required_section("conversation", hint);
    let conversation = conversation_client(conversation, environment);
    let presence = if section.has("presence") {
        presence::sink(section.section("presence"), section.has("config_sync"), environment)
            .map(Some)
    } else {
        Some(None)
    };
    let config_sync = if section.has("config_sync") {
        config_sync::sink(section.section("config_sync")).map(Some)
    } else {
        Some(None)
    };
    section.finish();
    Some(GenesysCloud {
        base_url: base_url?,
        auth_url: auth_url?,
        ca: ca.ok()?,
        conversation: conversation?,
        presence: presence?,
        config_sync: config_sync?,
    })
}

fn conversation_client(
    mut section: Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<ConversationClient> {
    let client_id = section.text("client_id").check(checks::id).required();
    let client_secret = access::client_secret(&mut section, environment);
    let requests_per_minute = section.whole("requests_per_minute", 1..=30_000).or(300);
    let most = requests_per_minute.unwrap_or(300);
    let burst = section.whole("burst", 1..=most).or(most.min(10));
    let events = 1..=EVENTS_PER_REQUEST_MAX;
    let events_per_request = section.whole("events_per_request", events).or(100);
    let most = events_per_request.unwrap_or(EVENTS_PER_REQUEST_MAX);
    let events_per_conversation = section.whole("events_per_conversation", 1..=most).or(1);
    let requests_in_flight = section.whole("requests_in_flight", 1..=64).or(4);
    let request_timeout = section.whole("request_timeout_secs", 1..=300).or(30);
    section.finish();
    Some(ConversationClient {
        client_id: client_id?,
        client_secret: client_secret.ok()?,
        requests_per_minute: requests_per_minute? as u32,
        burst: burst? as u32,
        events_per_request: events_per_request? as usize,
        events_per_conversation: events_per_conversation? as usize,
        requests_in_flight: requests_in_flight? as usize,
        request_timeout: Duration::from_secs(request_timeout?),
    })
}

fn conversation(mut section: Reader<'_>) -> Option<Conversation> {
    let wait_ms = section.whole("wait_ms", 0..=30_000).or(2000);
    let disposition_key = section.text("disposition_key").check(checks::user_data_key);
    let disposition_key = disposition_key.or("DispositionCode".to_owned());
    // A campaign is known by the beginning of a key: by an empty one every call would be one.
    let campaign_prefix = section.text("campaign_prefix").check(checks::user_data_key);
    let campaign_prefix = campaign_prefix.or("GSW_".to_owned());
    let after_call_secs = section.whole("after_call_secs", 0..=86_400).or(0);
    let idle_minutes = section.whole("idle_minutes", 10..=10_080).or(720);
    section.finish();
    Some(Conversation {
        wait_ms: wait_ms? as i64,
        disposition_key: disposition_key?,
        campaign_prefix: campaign_prefix?,
        after_call_secs: after_call_secs? as i64,
        idle_minutes: idle_minutes? as i64,
    })
}

fn shutdown(mut section: Reader<'_>) -> Option<Shutdown> {
    let deadline = section.whole("deadline_secs", 1..=600).or(10);
    section.finish();
    Some(Shutdown { deadline: Duration::from_secs(deadline?) })
}

fn logging(mut section: Reader<'_>) -> Option<Logging> {
    let format = section.text("format").check(checks::log_format).or(super::LogFormat::Text);
    let filter = section.text("filter").check(checks::log_filter).or("info".to_owned());
    section.finish();
    Some(Logging { format: format?, filter: filter? })
}
