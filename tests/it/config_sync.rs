//! The configuration: the tenant of the sample through the config processor and the config sink
//! into a simulated organisation. What that holds at the end is the table below, worked out by hand
//! from what is known of the tenant and of the roles of the organisation.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output as Ended};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use trunkline::clock;
use trunkline::drive::Shell;
use trunkline::drive::config_bridge;
use trunkline::drive::config_sink::{self, Place};
use trunkline::drive::engine::{Configuration, Engine, Parts, Plan};
use trunkline::drive::sink::Outlet;
use trunkline::log::Log;
use trunkline::log::embedded::Embedded;
use trunkline::topology;
use trunkline_ingest::configdb::rows::Snapshot;
use trunkline_processors::Processor;
use trunkline_processors::config::settings::Settings as ProcessorSettings;
use trunkline_processors::config::{ConfigProcessor, raw_record};
use trunkline_processors::conversation;
use trunkline_schemas::codec::{self, DesiredValue, DirectoryValue};
use trunkline_schemas::configdb::{ConfigObject, Poll};
use trunkline_schemas::desired::{self, ConfigOutcome, Division, UserKind, UserSkill};
use trunkline_schemas::topics::{COMMAND_CONFIG, DIRECTORY, OUTCOME_CONFIG, RAW_CONFIGDB};
use trunkline_schemas::{
    DesiredObject, DirectoryRow, OutcomeStatus, Output, Record, Stored, Topic,
};
use trunkline_sim::gc::{self, Fault, FaultPlan, FaultRule, GcConfig, GcSim, Holdings};
use trunkline_sinks::config::{Next, Reconciler, Settings};
use trunkline_sinks::{ClientConfig, GenesysCloud, LocalAllowance, SinkConfig};

use super::running::until;

/// How long anything may take.
const TOLD_MAX: Duration = Duration::from_mins(2);
pub(super) const PARTITIONS: u32 = 2;

/// What the organisation must hold. Of 27 roles of agents it has two.
pub(super) const HELD: &str = "\
code Escalated
code Follow up
code Refund granted
code Resolved
code Wrong number
queue VQ_Billing__VQ-Switch__Engage-external 131 alice.smith bob.jones; 5 codes
queue VQ_Nobody__VQ-Switch__Engage-external 134 ; 5 codes
queue VQ_Retired__VQ-Switch__Engage-external 136 ; 5 codes
queue VQ_Sales_Leads__SIP_Switch__Engage-external 124 alice.smith carla.diaz lfox; 5 codes
queue VQ_Sales_Leads__VQ-Switch__Engage-external 130 alice.smith carla.diaz lfox; 5 codes
queue VQ_Support__VQ-Switch__Engage-external 133 carla.diaz eric.evans lfox; 5 codes
skill Billing
skill English
skill Sales
skill Spanish
skill Support
source Genesys Cloud: -
source Genesys Engage: Engage tenant 101
user alice.smith Alice Smith 101_alice.smith@example.com alice.smith@example.com active; User employee; Billing 30 English 50 Sales 28; Genesys Engage
user bob.jones Bob Jones 102_bjones bob@home.example.net active; User employee; Billing 50 English 39; Genesys Engage
user carla.diaz Carla Diaz 103_cdiaz carla.diaz@example.com active; User employee; English 6 Sales 50 Spanish 50; Genesys Engage
user dina.khan Dina Khan 104_dina.khan@example.com dina.khan@example.com active; Supervisor User employee; English 50 Sales 6; Genesys Engage
user eric.evans Eric Evans 105_eevans eric.evans@example.com active; Supervisor User employee; English 28 Spanish 21 Support 50; Genesys Engage
user fay.frost Fay Frost 106_ffrost fay.frost@example.com active; employee; ; Genesys Engage
user gus.green Gus Green 107_gus.green@example.com  active; employee; ; Genesys Engage
user joke.jansen Joke Jansen 110_joke.jansen@example.com joke.jansen@example.com inactive; User employee; Sales 50; Genesys Engage
user lfox lfox@example.com 112_lfox@example.com lfox@example.com active; User employee; Sales 11 Support 0; Genesys Engage
";

/// What it holds, in the words of the table.
pub(super) fn held(org: &GcSim) -> String {
    let Holdings { users, roles, skills, queues, codes, sources, .. } = org.holdings();
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list.join(" ")
    };
    let local = |name: &str| name.trim_end_matches("@example.com").to_owned();
    let mut lines: Vec<String> = Vec::new();
    lines.extend(skills.values().map(|skill| format!("skill {}", skill.name)));
    lines.extend(codes.values().map(|code| format!("code {}", code.name)));
    for source in sources.values() {
        let description = source.description.as_deref().unwrap_or("-");
        lines.push(format!("source {}: {description}", source.name));
    }
    for user in users.values() {
        let skill = |(id, tenths): (&String, &u32)| format!("{} {tenths}", skills[id].name);
        let source = user.primary_source.as_ref().map_or("-", |id| &sources[id].name);
        lines.push(format!(
            "user {} {} {} {} {}; {}; {}; {source}",
            local(&user.user_name),
            user.display_name,
            user.external_id.as_deref().unwrap_or("-"),
            user.emails.join(","),
            if user.active { "active" } else { "inactive" },
            sorted(user.roles.iter().map(|id| roles[id].name.clone()).collect()),
            sorted(user.skills.iter().map(skill).collect()),
        ));
    }
    for queue in queues.values() {
        let members = queue.members.iter().map(|id| local(&users[id].user_name)).collect();
        let (peer, codes) = (queue.peer_id.as_deref().unwrap_or("-"), queue.codes.len());
        lines.push(format!("queue {} {peer} {}; {codes} codes", queue.name, sorted(members)));
    }
    lines.sort();
    lines.join("\n") + "\n"
}

/// What the processor concludes of the tenant of the sample.
fn commands() -> Vec<Record> {
    let folders = ["EX_EVOLUTION", "EX_PILOT"].map(str::to_owned).to_vec();
    let settings = ProcessorSettings { folders: Some(folders), ..ProcessorSettings::default() };
    let mut processor = ConfigProcessor::new(settings);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("processors/cases/config/sample.jsonl");
    let sample = std::fs::read_to_string(file).expect("the sample is there");
    let objects = sample
        .lines()
        .map(|line| serde_json::from_str::<ConfigObject>(line).expect("an object of the sample"));
    let poll = Poll { at_ms: 1, objects: 0, digest: String::new() };
    for (offset, object) in (0..).zip(objects.chain([ConfigObject::Poll(poll)])) {
        let record = raw_record(&object);
        let (topic, partition) = (RAW_CONFIGDB, 0);
        processor.apply(&Stored { topic, partition, offset, append_time_ms: 1, record });
    }
    let outputs = processor.drain().outputs;
    outputs.into_iter().filter(|(topic, _)| *topic == COMMAND_CONFIG).map(|it| it.1).collect()
}

fn objects(records: &[Record]) -> Vec<DesiredObject> {
    let object = |record: &Record| {
        let value = record.value.as_deref().expect("nothing is left yet");
        codec::decode::<DesiredValue>(value).expect("a desired object").object
    };
    records.iter().map(object).collect()
}

pub(super) async fn organisation(faults: FaultPlan) -> GcSim {
    let config = GcConfig { requests_per_minute: 1_000_000, faults, ..GcConfig::default() };
    gc::start(config).await.expect("the organisation starts")
}

fn cloud(org: &GcSim) -> Arc<GenesysCloud> {
    // A second installation of the same provider fails, which changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cloud = GenesysCloud::new(ClientConfig {
        base_url: org.base_url(),
        auth_url: org.base_url(),
        client_id: "simulated-client".to_owned(),
        client_secret: SecretString::from("simulated-secret"),
        ca_pem: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
    });
    Arc::new(cloud.expect("a client"))
}

fn settings() -> Settings {
    Settings { tenant: "101".to_owned(), recreates: false, check_ms: 1_000_000, is_dry: false }
}

/// A sink without a log: its rows are kept here, and time is a number.
struct Bench {
    org: GcSim,
    cloud: Arc<GenesysCloud>,
    desired: Vec<DesiredObject>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    outcomes: Vec<ConfigOutcome>,
    now_ms: i64,
}

impl Bench {
    fn new(org: GcSim, desired: Vec<DesiredObject>) -> Self {
        let cloud = cloud(&org);
        let (rows, outcomes) = (BTreeMap::new(), Vec::new());
        Self { org, cloud, desired, rows, outcomes, now_ms: 0 }
    }

    /// Begins anew from what is kept and goes on until all is done, or until so many exchanges were
    /// had: then the answer to the last one is lost with all that was not durable. Returns how many
    /// there were.
    async fn live(&mut self, killed_at: Option<usize>) -> usize {
        let mut reconciler = Reconciler::new(settings());
        for (key, row) in &self.rows {
            reconciler.restore(key, row).expect("a row");
        }
        for object in &self.desired {
            reconciler.want(&object.key(), Some(object.clone()));
        }
        let mut exchanges = 0;
        loop {
            let next = reconciler.next(self.now_ms);
            self.keep(&mut reconciler);
            match next {
                Next::Ask(call) => {
                    exchanges += 1;
                    let heard = self.cloud.ask(&call, self.now_ms).await;
                    if killed_at == Some(exchanges) {
                        return exchanges;
                    }
                    reconciler.answered(heard, self.now_ms, 0.5);
                    self.keep(&mut reconciler);
                }
                Next::Wait(_) if reconciler.is_at_rest() => return exchanges,
                Next::Wait(wait_ms) => self.now_ms += wait_ms,
            }
        }
    }

    fn keep(&mut self, reconciler: &mut Reconciler) {
        let changes = reconciler.drain();
        for (key, row) in changes.state {
            match row {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
        }
        for (_, record) in changes.outputs.into_iter().filter(|(it, _)| *it == OUTCOME_CONFIG) {
            let value = record.value.expect("an outcome has a value");
            self.outcomes.push(codec::decode(&value).expect("an outcome"));
        }
    }

    fn writes(&self) -> u64 {
        self.org.holdings().counts.writes
    }

    /// Objects and codes of outcomes that are no success, roles apart.
    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.outcomes)
            .into_iter()
            .filter(|it| it.status != OutcomeStatus::Accepted && !it.object.starts_with("role/"))
            .map(|it| format!("{} {}", it.object, it.code.unwrap_or_default()))
            .collect()
    }
}

pub(super) fn records(log: &dyn Log, topic: Topic) -> Vec<Record> {
    let layouts = topology::layouts(1, PARTITIONS);
    let layout = layouts.iter().find(|layout| layout.topic == topic);
    let partitions = 0..layout.expect("a topic of the catalogue").partitions;
    let read = |partition| log.read(topic, partition, 0, 10_000).expect("it is read");
    partitions.flat_map(read).map(|stored| stored.record).collect()
}

fn append(log: &dyn Log, commands: Vec<Record>) {
    let output = |record| Output { topic: COMMAND_CONFIG, partition: 0, record };
    let mut appender = log.appender().expect("an appender");
    appender.append(commands.into_iter().map(output).collect()).expect("it is appended");
}

/// A process with a log in a directory, and the way to the organisation.
fn shell(dir: &Path, org: &GcSim) -> (Shell, Outlet) {
    let log: Arc<dyn Log> = Embedded::open(dir, Arc::new(clock::now_ms)).expect("the log opens");
    let layouts = topology::layouts(1, PARTITIONS);
    log.ensure(&layouts).expect("topics are made");
    let shell = Shell::new(log, layouts).expect("metrics are ours");
    let outlet = Outlet {
        cloud: cloud(org),
        allowance: Arc::new(LocalAllowance::new(None, 1)),
        config: SinkConfig::default(),
        deadline: Duration::from_secs(10),
        runtime: tokio::runtime::Handle::current(),
    };
    (shell, outlet)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_organisation_ends_as_worked_out_and_a_second_start_writes_nothing() {
    let org = organisation(FaultPlan::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let (shell, outlet) = shell(dir.path(), &org);
    let log = Arc::clone(&shell.log);
    append(log.as_ref(), commands());
    let place = Place { settings: settings(), outlet, once: true };
    let apply = || {
        tokio::task::block_in_place(|| config_sink::apply(&shell, &place)).expect("it is applied")
    };
    let progress = apply();
    assert_eq!(held(&org), HELD);
    assert!(progress.is_synced && progress.blocked.is_none(), "{progress:?}");
    // A source, 5 skills, 5 codes, 9 users and their source, 6 queues with codes, 4 with members.
    let counts = org.holdings().counts;
    assert_eq!((counts.writes, counts.refused), (1 + 5 + 5 + 9 + 9 + 6 + 6 + 4, 0));
    apply();
    assert_eq!(org.holdings().counts.writes, counts.writes);

    let rows = records(log.as_ref(), DIRECTORY).into_iter().map(|record| {
        let value = record.value.expect("no row is forgotten");
        codec::decode::<DirectoryValue>(&value).expect("a row").row
    });
    let mut kinds = BTreeMap::<&str, usize>::new();
    let holdings = org.holdings();
    for row in rows {
        let (kind, is_there) = match &row {
            DirectoryRow::Agent(it) => ("agent", holdings.users.contains_key(&it.user_id)),
            DirectoryRow::Queue(it) => ("queue", holdings.queues.contains_key(&it.queue_id)),
            DirectoryRow::WrapUpCode(it) => ("code", holdings.codes.contains_key(&it.id)),
            DirectoryRow::Source(it) => ("source", holdings.sources.contains_key(&it.source_id)),
            DirectoryRow::Server(_) | DirectoryRow::Extension(_) => ("other", false),
        };
        assert!(is_there, "{row:?} has the id of nothing");
        *kinds.entry(kind).or_default() += 1;
    }
    // Two DNs share a queue, two values a code.
    assert_eq!(kinds, BTreeMap::from([("agent", 9), ("queue", 7), ("code", 6), ("source", 1)]));
    let outcomes = records(log.as_ref(), OUTCOME_CONFIG);
    let roles = outcomes.iter().filter(|it| it.key.starts_with(b"role/")).count();
    // Each start says once which of the 27 roles of agents there are not.
    assert_eq!((outcomes.len() - roles, roles), (45, 2 * 25));
    org.stop().await.expect("it served");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_with_the_others_says_when_it_is_ready_and_follows_changes() {
    let org = organisation(FaultPlan::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let (shell, outlet) = shell(dir.path(), &org);
    let nothing = || Ok(Snapshot::new(BTreeMap::new()));
    let configuration = Configuration {
        bridge: config_bridge::Place {
            source: config_bridge::Source::Simulated(Arc::new(nothing)),
            every: TOLD_MAX,
            runtime: outlet.runtime.clone(),
        },
        settings: ProcessorSettings::default(),
        sink: Some(Place { settings: settings(), outlet: outlet.clone(), once: false }),
    };
    let plan = Plan {
        domains: &[],
        bridges: &[],
        settings: conversation::Settings::default(),
        outlet,
        agents: None,
        configuration: Some(configuration),
        parts: Parts { ingest: false, processors: false, sinks: true },
        deadline: Duration::from_secs(10),
    };
    let engine = tokio::task::block_in_place(|| Engine::start(&shell, &plan));
    let engine = engine.expect("the engine starts");
    // Nothing is wanted yet, so nothing was synchronised.
    let waits = |why: &str| {
        let mut missing = shell.health.missing().into_iter();
        missing.any(|it| it.condition == "config-sink-0" && it.why.contains(why))
    };
    until("it waits", TOLD_MAX, || waits("first synchronisation")).await;
    append(shell.log.as_ref(), commands());
    until("everything is there", TOLD_MAX, || held(&org) == HELD).await;
    until("it is ready", TOLD_MAX, || shell.health.missing().is_empty()).await;
    let mut changed = objects(&commands());
    changed.retain(|it| it.key() == "user/gus.green@example.com");
    for object in &mut changed {
        let DesiredObject::User(user) = object else { continue };
        (user.active, user.persons) = (false, Vec::new());
    }
    let record = |object: &DesiredObject| {
        let value = DesiredValue { object: object.clone() };
        codec::record(object.key(), &value).expect("it fits its schema")
    };
    append(shell.log.as_ref(), changed.iter().map(record).collect());
    let expected =
        HELD.replace("107_gus.green@example.com  active", "107_gus.green@example.com  inactive");
    until("the change is there", TOLD_MAX, || held(&org) == expected).await;
    assert!(engine.stop().await, "it stops in time");
    let rows = records(shell.log.as_ref(), DIRECTORY);
    let last = rows.iter().rev().find(|row| row.key == b"agent/E1007").expect("a row of gus");
    assert_eq!(last.value, None, "nobody stands behind the user any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_exchange_it_goes_on_without_doing_anything_twice() {
    let desired = objects(&commands());
    let mut whole = Bench::new(organisation(FaultPlan::default()).await, desired.clone());
    let exchanges = whole.live(None).await;
    assert_eq!(held(&whole.org), HELD);
    for killed_at in 1..=exchanges {
        let mut bench = Bench::new(organisation(FaultPlan::default()).await, desired.clone());
        bench.live(Some(killed_at)).await;
        bench.live(None).await;
        assert_eq!(held(&bench.org), HELD, "killed at exchange {killed_at}");
        let writes = bench.writes();
        assert_eq!(bench.org.holdings().counts.refused, 0, "killed at exchange {killed_at}");
        bench.live(None).await;
        assert_eq!(bench.writes(), writes, "killed at exchange {killed_at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_every_kind_change_nothing_of_the_end() {
    let rules = vec![
        FaultRule::every(5, 2, Fault::CutAfter),
        FaultRule::every(7, 3, Fault::Unavailable),
        FaultRule::every(11, 4, Fault::TooManyRequests { retry_after_secs: 2 }),
        FaultRule::every(13, 5, Fault::CutBefore),
        FaultRule::every(17, 6, Fault::Garbage),
        FaultRule::every(19, 7, Fault::TokenExpiry),
    ];
    let org = organisation(FaultPlan { rules }).await;
    let mut bench = Bench::new(org, objects(&commands()));
    bench.live(None).await;
    assert_eq!(held(&bench.org), HELD);
    assert_eq!(bench.complaints(), [""; 0]);
    let fired = bench.org.summary().faults;
    assert!(fired.len() == 6 && fired.values().all(|count| *count > 0), "{fired:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired_and_what_the_organisation_deleted_stays_deleted() {
    let mut bench = Bench::new(organisation(FaultPlan::default()).await, objects(&commands()));
    bench.live(None).await;
    bench.org.change_holdings(|holdings| {
        for user in holdings.users.values_mut().filter(|it| it.user_name.starts_with("alice")) {
            user.display_name = "Somebody".to_owned();
            user.active = false;
            user.skills.clear();
        }
        for queue in holdings.queues.values_mut().filter(|it| it.name.starts_with("VQ_Support")) {
            queue.members.clear();
            queue.description = None;
            queue.settings.insert("acwSettings".to_owned(), json!({ "timeoutMs": 9 }));
        }
    });
    let before = bench.writes();
    bench.live(None).await;
    assert_eq!(held(&bench.org), HELD);
    let kept = bench.org.holdings().queues.into_values().filter(|it| !it.settings.is_empty());
    let kept: Vec<Value> = kept.map(|it| it.settings["acwSettings"].clone()).collect();
    assert_eq!(kept, [json!({ "timeoutMs": 9 })], "what Engage does not control is left alone");
    assert_eq!(bench.writes() - before, 4, "user, skills, queue, members");

    let is_deleted = |name: &str| name.starts_with("VQ_Nobody") || name.starts_with("gus");
    bench.org.change_holdings(|holdings| {
        holdings.users.retain(|_, user| !is_deleted(&user.user_name));
        holdings.queues.retain(|_, queue| !is_deleted(&queue.name));
    });
    bench.outcomes.clear();
    let left = |line: &&str| !line.contains("VQ_Nobody") && !line.contains("gus.green");
    let expected = HELD.lines().filter(left).collect::<Vec<_>>().join("\n") + "\n";
    for _ in 0..2 {
        let before = bench.writes();
        bench.live(None).await;
        assert_eq!((held(&bench.org), bench.writes() - before), (expected.clone(), 0));
    }
    let mut said = bench.complaints();
    said.sort();
    let queue = "queue/vq_nobody__vq-switch__engage-external";
    let user = "user/gus.green@example.com";
    assert_eq!(said, [queue, user].map(|key| format!("{key} deleted_in_org")));
    for key in [queue, user] {
        let row = trunkline_sinks::config::memory::object_row(key);
        assert!(bench.rows.remove(&row).is_some(), "{key} has a row");
    }
    bench.live(None).await;
    assert_eq!(held(&bench.org), HELD, "what was forgotten is made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_that_has_it_all_is_found_again_after_the_state_was_lost() {
    let mut bench = Bench::new(organisation(FaultPlan::default()).await, objects(&commands()));
    bench.live(None).await;
    let before = bench.writes();
    bench.rows.clear();
    bench.live(None).await;
    assert_eq!((held(&bench.org).as_str(), bench.writes() - before), (HELD, 0));
}

/// 1,000 agents with two of 50 skills each, in one of 20 queues.
fn thousand() -> Vec<DesiredObject> {
    let skill = |n: i64| format!("Skill {:02}", n % 50);
    let user_name = |n: i64| format!("agent{n:04}@example.com");
    let mut objects = vec![DesiredObject::Source(desired::Source { name: "Engage".to_owned() })];
    for n in 0..50 {
        objects.push(DesiredObject::Skill(desired::Skill { name: skill(n), skills: vec![n] }));
    }
    let code = desired::WrapUpCode { name: "Done".to_owned(), values: vec!["Done".to_owned()] };
    objects.push(DesiredObject::WrapUpCode(code));
    for n in 0..1_000 {
        let skills = [n, n + 1].map(|n| UserSkill { name: skill(n), proficiency_tenths: 25 });
        objects.push(DesiredObject::User(desired::User {
            user_name: user_name(n),
            display_name: format!("Agent {n}"),
            e_mail: None,
            external_id: format!("{}_agent{n}", n + 200),
            active: true,
            kind: UserKind::Agent,
            roles: vec!["Employee".to_owned(), "User".to_owned()],
            division: Division::Home,
            skills: skills.to_vec(),
            employee_ids: vec![format!("E{n}")],
            persons: vec![n + 200],
        }));
    }
    for q in 0..20 {
        objects.push(DesiredObject::Queue(desired::Queue {
            name: format!("Queue {q:02}"),
            description: String::new(),
            peer_id: (q + 5_000).to_string(),
            members: (0..1_000).filter(|n| n % 20 == q).map(user_name).collect(),
            wrap_up_codes: vec!["Done".to_owned()],
            dns: vec![trunkline_schemas::directory::DnAt {
                dn: format!("{q}"),
                switch: "SW".to_owned(),
            }],
            delete: false,
        }));
    }
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_agents_take_little_more_than_two_requests_each() {
    let mut bench = Bench::new(organisation(FaultPlan::default()).await, thousand());
    let exchanges = bench.live(None).await;
    let holdings = bench.org.holdings();
    let members: usize = holdings.queues.values().map(|queue| queue.members.len()).sum();
    assert_eq!((holdings.users.len(), holdings.queues.len(), members), (1_000, 20, 1_000));
    // Each agent and its source, 50 skills, a code, a source; a queue with members and codes.
    assert_eq!(holdings.counts.writes, 2 * 1_000 + 50 + 1 + 1 + 20 * 3);
    // The rest is the look at the empty organisation: 2.1 an agent, the goal is 2.2.
    assert_eq!(exchanges, 2_112 + 9);
    let seconds = exchanges * 60 / 300;
    assert!(seconds < 8 * 60, "at 300 requests a minute it takes {seconds} s");
}

/// A configuration of the program in a directory, and the log with what is wanted.
pub(super) fn prepare(dir: &Path, base: &str) {
    let config = format!(
        "[log.embedded]\npath = \"log\"\n[[domain]]\nname = \"main\"\n\
         directory_file = \"directory.json\"\n[[domain.site]]\nname = \"one\"\n\
         voice_server_call = [\"s1:8000\"]\nvoice_server_vq = [\"s1:8001\"]\n\
         voice_server_agent = [\"s1:8002\"]\n[genesys_cloud]\nbase_url = \"{base}\"\n\
         auth_url = \"{base}\"\n[genesys_cloud.conversation]\nclient_id = \"simulated-client\"\n\
         client_secret_file = \"secret.txt\"\nrequests_per_minute = 30000\nburst = 1000\n\
         [genesys_cloud.config_sync]\n\
         [configdb]\nhost = \"db.example\"\ndatabase = \"engage\"\nuser = \"reader\"\n\
         tenant_dbid = 101\n[topics]\nconversation_partitions = {PARTITIONS}\n"
    );
    let directory = json!({ "servers": [], "agents": [], "queues": [], "sourceId": "s" });
    for (name, text) in [
        ("trunkline.toml", config),
        ("secret.txt", "simulated-secret".to_owned()),
        ("directory.json", directory.to_string()),
    ] {
        std::fs::write(dir.join(name), text).expect("the directory can be written");
    }
    {
        let path = dir.join("log");
        let log = Embedded::open(&path, Arc::new(clock::now_ms)).expect("the log opens");
        log.ensure(&topology::layouts(1, PARTITIONS)).expect("topics are made");
        append(log.as_ref(), commands());
    }
}

/// The program, to its end.
fn trunkline(dir: &Path, args: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.current_dir(dir).arg("config-sync").args(args).env_remove("RUST_LOG");
    command.output().expect("the program runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_plans_applies_and_forgets() {
    let org = organisation(FaultPlan::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let refused = tokio::task::block_in_place(|| trunkline(dir.path(), &["plan"]));
    assert!(!refused.status.success(), "there is no configuration");
    prepare(dir.path(), &org.base_url());
    let run = |args: &[&str]| {
        let ended = tokio::task::block_in_place(|| trunkline(dir.path(), args));
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{args:?}: {errors}");
        String::from_utf8(ended.stdout).expect("text")
    };
    let plan = run(&["plan"]);
    assert_eq!(plan.lines().count(), 45, "{plan}");
    for line in [
        "create\tuser\talice.smith@example.com",
        "create\tqueue\tvq_nobody__vq-switch__engage-external",
        "add-members\tqueue\tvq_billing__vq-switch__engage-external\t\
         user/alice.smith@example.com, user/bob.jones@example.com",
    ] {
        assert!(plan.lines().any(|it| it == line), "{line} is not in\n{plan}");
    }
    assert_eq!(org.holdings().counts.writes, 0, "a plan changes nothing");
    assert_eq!(run(&["apply"]), "45 requests done\n");
    assert_eq!(held(&org), HELD);
    assert_eq!(run(&["plan"]), "");
    org.change_holdings(|holdings| {
        holdings.queues.retain(|_, queue| !queue.name.starts_with("VQ_Nobody"));
        for user in holdings.users.values_mut().filter(|it| it.user_name.starts_with("alice")) {
            user.display_name = "Somebody".to_owned();
        }
    });
    let line: Value = serde_json::from_str(&run(&["plan", "--json"])).expect("one JSON object");
    let expected = json!({
        "action": "change", "kind": "user", "name": "alice.smith@example.com",
        "fields": ["displayName"],
    });
    assert_eq!(line, expected, "a queue that the organisation deleted is not made again");
    assert_eq!(run(&["apply"]), "1 requests done\n");
    let queue = "queue/vq_nobody__vq-switch__engage-external";
    assert_eq!(run(&["forget", queue]), format!("{queue}\n"));
    assert_eq!(run(&["apply"]), "2 requests done\n");
    assert_eq!(held(&org), HELD);
}

/// Runs the program until it passes a point for the so-manieth time, and kills it there. `false` if
/// it came to its end before.
async fn killed(dir: &Path, point: &str) -> bool {
    let hold = dir.join("held");
    let _ = std::fs::remove_file(&hold);
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.current_dir(dir).args(["config-sync", "apply"]).env_remove("RUST_LOG");
    command.env("TRUNKLINE_HOLD_AT", point).env("TRUNKLINE_HOLD_FILE", &hold);
    command.stdout(std::process::Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    let mut ended = None;
    until(point, TOLD_MAX, || {
        ended = child.try_wait().expect("it can be asked");
        ended.is_some() || hold.exists()
    })
    .await;
    if let Some(status) = ended {
        assert!(status.success(), "{point}: {status}");
        return false;
    }
    child.kill().expect("it is killed");
    child.wait().expect("it has ended");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_killed_at_twenty_points_goes_on_where_it_was() {
    let mut kills = 0;
    for place in ["before_ask", "after_ask", "before_commit", "after_commit"] {
        for count in [3, 12, 22, 31, 41] {
            let org = organisation(FaultPlan::default()).await;
            let dir = tempfile::tempdir().expect("a directory");
            prepare(dir.path(), &org.base_url());
            let point = format!("config_sink.{place}@{count}");
            kills += usize::from(killed(dir.path(), &point).await);
            let ended = tokio::task::block_in_place(|| trunkline(dir.path(), &["apply"]));
            assert!(ended.status.success(), "{point}: {ended:?}");
            assert_eq!(held(&org), HELD, "{point}");
            let counts = org.holdings().counts;
            assert_eq!(counts.refused, 0, "{point}");
            let ended = tokio::task::block_in_place(|| trunkline(dir.path(), &["apply"]));
            assert!(ended.status.success(), "{point}: {ended:?}");
            assert_eq!(org.holdings().counts.writes, counts.writes, "{point}");
        }
    }
    assert_eq!(kills, 20, "it was killed each time");
}
