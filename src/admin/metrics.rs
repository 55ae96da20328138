//! Every metric there is: names, help texts and label sets in one place.
//!
//! Labels come from closed sets: no keys, no ids, no texts of other systems. What belongs to a
//! partition disappears with its owner, so that nobody sees the lag of a partition that moved.

#![expect(clippy::disallowed_macros, reason = "the one place that names metrics")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use trunkline_schemas::{OutcomeStatus, Partition, Topic};

use super::roles::Role;

const RECORDS_IN: &str = "trunkline_records_in_total";
const RECORDS_OUT: &str = "trunkline_records_out_total";
const RECORDS_DEAD: &str = "trunkline_records_dead_total";
const STAGE_DURATION: &str = "trunkline_stage_duration_seconds";
const LINK_EVENTS: &str = "trunkline_link_events_total";
const OUTCOMES: &str = "trunkline_outcomes_total";
const DELIVERIES: &str = "trunkline_deliveries_total";
const NOTICED: &str = "trunkline_noticed_total";
const TARGET_REQUESTS: &str = "trunkline_target_requests_seconds";
const CONFIG_REQUESTS: &str = "trunkline_config_requests";
const CONFIGDB_POLLS: &str = "trunkline_configdb_polls_total";
const RESTARTS: &str = "trunkline_restarts_total";
const CONDITIONS_MISSING: &str = "trunkline_conditions_missing";
const REDIS_UP: &str = "trunkline_redis_up";
const SCHEMA_REGISTRY_UP: &str = "trunkline_schema_registry_up";
const BUILD_INFO: &str = "trunkline_build_info";

/// Bounds of the buckets of histograms, seconds: a step of a processor to a slow answer.
const BUCKETS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Different codes a label may have; whatever comes after them is `other`.
const CODES_MAX: usize = 200;
/// Letters of a code.
const CODE_LETTERS_MAX: usize = 48;

/// A stage of the pipeline, named as its dead-letter topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The bridges.
    Ingest,
    /// The conversation processor.
    Conversation,
    /// The conversation sink.
    ConversationSink,
    /// The presence processor.
    Presence,
    /// The presence sink.
    PresenceSink,
    /// The bridge of the Config DB.
    ConfigDb,
    /// The config processor.
    Config,
    /// The config sink.
    ConfigSink,
}

/// Where a sink delivers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The conversation events of Genesys Cloud.
    Conversation,
    /// The presence and routing status events of Genesys Cloud.
    Presence,
    /// The objects of the organisation.
    Config,
}

/// What became of one attempt to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Accepted.
    Done,
    /// To be sent again.
    Retry,
    /// Refused for good.
    Reject,
    /// Not sent, because it had been accepted already.
    Duplicate,
}

/// What happened to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It came up.
    Up,
    /// It went down.
    Down,
    /// Events may be missing.
    Gap,
}

/// What a poll of the Config DB came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Something changed, and is told.
    Told,
    /// Nothing changed.
    Unchanged,
    /// The database could not be read.
    Failed,
    /// Too much vanished at once.
    Refused,
}

impl Polled {
    const fn name(self) -> &'static str {
        match self {
            Polled::Told => "told",
            Polled::Unchanged => "unchanged",
            Polled::Failed => "failed",
            Polled::Refused => "refused",
        }
    }
}

impl Stage {
    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Ingest => "ingest",
            Stage::Conversation => "conversation",
            Stage::ConversationSink => "conversation-sink",
            Stage::Presence => "presence",
            Stage::PresenceSink => "presence-sink",
            Stage::ConfigDb => "configdb",
            Stage::Config => "config",
            Stage::ConfigSink => "config-sink",
        }
    }

    /// Whose work it is; nothing: everybody's.
    pub const fn role(self) -> Option<Role> {
        match self {
            Stage::Ingest => None,
            Stage::Conversation | Stage::ConversationSink => Some(Role::Conversation),
            Stage::Presence | Stage::PresenceSink => Some(Role::Presence),
            Stage::ConfigDb | Stage::Config | Stage::ConfigSink => Some(Role::Config),
        }
    }
}

impl Target {
    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Conversation => "conversation",
            Target::Presence => "presence",
            Target::Config => "config",
        }
    }
}

impl Delivered {
    const fn name(self) -> &'static str {
        match self {
            Delivered::Done => "done",
            Delivered::Retry => "retry",
            Delivered::Reject => "reject",
            Delivered::Duplicate => "duplicate",
        }
    }
}

impl LinkEvent {
    const fn name(self) -> &'static str {
        match self {
            LinkEvent::Up => "up",
            LinkEvent::Down => "down",
            LinkEvent::Gap => "gap",
        }
    }
}

/// Records a stage read.
pub fn records_in(stage: Stage, count: u64) {
    counter!(RECORDS_IN, "stage" => stage.name()).increment(count);
}

/// Records a stage wrote, dead letters not included.
pub fn records_out(stage: Stage, count: u64) {
    counter!(RECORDS_OUT, "stage" => stage.name()).increment(count);
}

/// A record that became a dead letter.
pub fn record_dead(stage: Stage, code: &str) {
    counter!(RECORDS_DEAD, "stage" => stage.name(), "code" => closed(code)).increment(1);
}

/// What a processor noticed in the records it took, by a name of its closed list.
pub fn noticed(stage: Stage, what: &'static str, count: u64) {
    counter!(NOTICED, "stage" => stage.name(), "what" => what).increment(count);
}

/// How long one step of a stage took.
pub fn stage_duration(stage: Stage, took: Duration) {
    histogram!(STAGE_DURATION, "stage" => stage.name()).record(took.as_secs_f64());
}

/// Something happened to a link of a bridge; bridges are named by the configuration.
pub fn link_event(bridge: &str, event: LinkEvent) {
    counter!(LINK_EVENTS, "bridge" => bridge.to_owned(), "event" => event.name()).increment(1);
}

/// An outcome: an answer of Genesys Cloud, or a call or agent left out or suspended, with its code.
pub fn outcome(stage: Stage, status: OutcomeStatus, code: Option<&str>) {
    let status = match status {
        OutcomeStatus::Accepted => "accepted",
        OutcomeStatus::AssumedApplied => "assumed_applied",
        OutcomeStatus::Refused => "refused",
        OutcomeStatus::Gated => "gated",
        OutcomeStatus::LeftOut => "left_out",
        OutcomeStatus::Suspended => "suspended",
    };
    let code = code.map_or_else(|| "none".to_owned(), closed);
    counter!(OUTCOMES, "stage" => stage.name(), "status" => status, "code" => code).increment(1);
}

/// A poll of the Config DB.
pub fn configdb_poll(polled: Polled) {
    counter!(CONFIGDB_POLLS, "outcome" => polled.name()).increment(1);
}

/// How far the config sink is: requests answered since it last looked at everything, and requests
/// that are planned.
pub fn config_requests(done: u64, left: u64) {
    gauge!(CONFIG_REQUESTS, "state" => "done").set(done as f64);
    gauge!(CONFIG_REQUESTS, "state" => "left").set(left as f64);
}

/// A task or a group of a stage failed, and begins anew.
pub fn restart(stage: Stage) {
    counter!(RESTARTS, "stage" => stage.name()).increment(1);
}

/// How many conditions of readiness do not hold.
pub fn conditions_missing(count: usize) {
    gauge!(CONDITIONS_MISSING).set(count as f64);
}

/// Whether the allowance of an OAuth client, named by its sink, is shared through Redis.
pub fn redis_up(sink: &'static str, is_up: bool) {
    gauge!(REDIS_UP, "sink" => sink).set(f64::from(u8::from(is_up)));
}

/// Whether the schema registry has every schema.
pub fn schema_registry_up(is_up: bool) {
    gauge!(SCHEMA_REGISTRY_UP).set(f64::from(u8::from(is_up)));
}

/// What became of attempts to deliver.
pub fn deliveries(target: Target, delivered: Delivered, count: u64) {
    counter!(DELIVERIES, "target" => target.name(), "outcome" => delivered.name()).increment(count);
}

/// How long a request took, whatever the answer.
pub fn target_request(target: Target, took: Duration) {
    histogram!(TARGET_REQUESTS, "target" => target.name()).record(took.as_secs_f64());
}

/// A code as a label: what looks like no code, and what comes when there are too many, is `other`.
fn closed(code: &str) -> String {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if code.is_empty() || code.len() > CODE_LETTERS_MAX || !code.chars().all(fits) {
        return "other".to_owned();
    }
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.contains(code) {
        return code.to_owned();
    }
    if seen.len() >= CODES_MAX {
        return "other".to_owned();
    }
    seen.insert(code.to_owned());
    code.to_owned()
}

/// The metrics of the process. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    board: Arc<Mutex<Board>>,
}

/// What must disappear again, or is not a whole number, and so is kept here.
#[derive(Debug, Default)]
struct Board {
    next_id: u64,
    tasks: BTreeMap<u64, TaskState>,
    throttled: BTreeMap<Target, Duration>,
}

/// A task at some moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// Its stage.
    pub stage: Stage,
    /// What it reads.
    pub topic: Topic,
    /// Which partition of it.
    pub partition: Partition,
    /// Records not yet read, once known.
    pub lag_records: Option<u64>,
    /// How old the next of them is.
    pub lag: Option<Duration>,
    /// Keys of its state.
    pub state_keys: Option<u64>,
    /// Records of its state not yet restored.
    pub restore_remaining: Option<u64>,
}

/// The gauges of one task; dropped, they disappear.
#[must_use = "the gauges disappear with their handle"]
pub struct TaskGauges {
    board: Arc<Mutex<Board>>,
    id: u64,
}

impl Metrics {
    /// The metrics of this process, set up by the first call.
    ///
    /// # Errors
    /// Something else records metrics in this process already.
    pub fn install() -> Result<Self, InstallError> {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        static FIRST: Mutex<()> = Mutex::new(());
        let _first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = INSTALLED.get() {
            return Ok(metrics.clone());
        }
        let (recorder, metrics) = Self::with_recorder();
        metrics::set_global_recorder(recorder).map_err(|_| InstallError)?;
        describe();
        Ok(INSTALLED.get_or_init(|| metrics).clone())
    }

    fn with_recorder() -> (PrometheusRecorder, Self) {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets(&BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        (recorder, Self { handle, board: Arc::default() })
    }

    /// The gauges of a task, for as long as it owns its partition.
    pub fn task(&self, stage: Stage, topic: Topic, partition: Partition) -> TaskGauges {
        let mut board = lock(&self.board);
        board.next_id += 1;
        let id = board.next_id;
        let state = TaskState {
            stage,
            topic,
            partition,
            lag_records: None,
            lag: None,
            state_keys: None,
            restore_remaining: None,
        };
        board.tasks.insert(id, state);
        drop(board);
        TaskGauges { board: Arc::clone(&self.board), id }
    }

    /// Time a target held us back: a spent allowance or a Retry-After.
    pub fn throttled(&self, target: Target, waited: Duration) {
        *lock(&self.board).throttled.entry(target).or_default() += waited;
    }

    /// All tasks of this process, in the order they began.
    pub fn tasks(&self) -> Vec<TaskState> {
        lock(&self.board).tasks.values().cloned().collect()
    }

    /// The text form Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        let throttled = lock(&self.board).throttled.clone();
        let rows = throttled
            .iter()
            .map(|(t, waited)| (format!("target=\"{}\"", t.name()), waited.as_secs_f64()));
        family(&mut text, &THROTTLED, rows.collect());
        let tasks = self.tasks();
        for (spec, value) in TASK_GAUGES {
            let rows = tasks.iter().filter_map(|task| {
                let (stage, topic) = (task.stage.name(), task.topic);
                let labels =
                    format!("stage=\"{stage}\",topic=\"{topic}\",partition=\"{}\"", task.partition);
                Some((labels, value(task)?))
            });
            family(&mut text, &spec, rows.collect());
        }
        family(&mut text, &OWNED, vec![(String::new(), tasks.len() as f64)]);
        text
    }

    /// Moves what histograms gathered into their buckets; to be called every few seconds, or they
    /// grow without bound while nobody asks.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Something else records the metrics of this process.
#[derive(Debug, thiserror::Error)]
#[error("another recorder of metrics is set up in this process already")]
pub struct InstallError;

impl TaskGauges {
    /// What is left to read: records, and the age of the next one.
    pub fn lag(&self, records: u64, age: Duration) {
        self.change(|task| (task.lag_records, task.lag) = (Some(records), Some(age)));
    }

    /// The size of the state.
    pub fn state(&self, keys: u64) {
        self.change(|task| task.state_keys = Some(keys));
    }

    /// Records of the state that are still to be restored.
    pub fn restoring(&self, remaining: u64) {
        self.change(|task| task.restore_remaining = Some(remaining));
    }

    fn change(&self, change: impl FnOnce(&mut TaskState)) {
        if let Some(task) = lock(&self.board).tasks.get_mut(&self.id) {
            change(task);
        }
    }
}

impl Drop for TaskGauges {
    fn drop(&mut self) {
        lock(&self.board).tasks.remove(&self.id);
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    // Every change is one assignment, so a panic elsewhere leaves nothing half done.
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

type TaskGauge = (Family, fn(&TaskState) -> Option<f64>);

const TASK_GAUGES: [TaskGauge; 4] = [
    (gauge_family("trunkline_lag_records", "Records not yet read."), |task| {
        task.lag_records.map(|records| records as f64)
    }),
    (gauge_family("trunkline_lag_seconds", "Age of the next record to be read."), |task| {
        task.lag.map(|lag| lag.as_secs_f64())
    }),
    (gauge_family("trunkline_state_keys", "Keys of the state."), |task| {
        task.state_keys.map(|keys| keys as f64)
    }),
    (
        gauge_family("trunkline_restore_remaining_records", "State records not yet restored."),
        |task| task.restore_remaining.map(|records| records as f64),
    ),
];

const OWNED: Family = gauge_family("trunkline_partitions_owned", "Partitions this process owns.");

const THROTTLED: Family = Family {
    name: "trunkline_target_throttled_seconds_total",
    kind: "counter",
    help: "Time a target held requests back.",
};

const fn gauge_family(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "gauge", help }
}

fn family(text: &mut String, family: &Family, rows: Vec<(String, f64)>) {
    if rows.is_empty() {
        return;
    }
    let Family { name, kind, help } = family;
    // Writing to a String cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, value) in rows {
        let _ = if labels.is_empty() {
            writeln!(text, "{name} {value}")
        } else {
            writeln!(text, "{name}{{{labels}}} {value}")
        };
    }
    text.push('\n');
}

fn describe() {
    let counters = [
        (RECORDS_IN, "Records a stage read."),
        (RECORDS_OUT, "Records a stage wrote."),
        (RECORDS_DEAD, "Records that became dead letters."),
        (NOTICED, "What a processor noticed in the records it took."),
        (LINK_EVENTS, "Links that came up or went down, and gaps in what they gave."),
        (OUTCOMES, "Outcomes: answers of Genesys Cloud, calls or agents left out."),
        (DELIVERIES, "Attempts to deliver, by what became of them."),
        (CONFIGDB_POLLS, "Polls of the Config DB, by what they came to."),
        (RESTARTS, "Tasks and groups that failed and began anew."),
    ];
    for (name, help) in counters {
        metrics::describe_counter!(name, help);
    }
    metrics::describe_histogram!(STAGE_DURATION, "Time of one step of a stage.");
    metrics::describe_histogram!(TARGET_REQUESTS, "Time of one request to a target.");
    metrics::describe_gauge!(
        CONFIG_REQUESTS,
        "Requests of the config sink since it last looked at everything, by state."
    );
    metrics::describe_gauge!(CONDITIONS_MISSING, "Conditions of readiness that do not hold.");
    metrics::describe_gauge!(REDIS_UP, "Whether an allowance is shared through Redis: 1 or 0.");
    metrics::describe_gauge!(
        SCHEMA_REGISTRY_UP,
        "Whether the schema registry has every schema: 1 or 0."
    );
    metrics::describe_gauge!(BUILD_INFO, "1, with the version that runs.");
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::topics;

    use super::*;

    fn samples(text: &str, start: &str) -> Vec<String> {
        text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn counters_and_histograms_appear_with_their_labels_and_help() {
        let (recorder, metrics) = Metrics::with_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            records_in(Stage::Ingest, 3);
            records_out(Stage::Conversation, 2);
            record_dead(Stage::ConversationSink, "refused");
            record_dead(Stage::ConversationSink, "Alice <+49 170>");
            stage_duration(Stage::Conversation, Duration::from_micros(200));
            link_event("b1", LinkEvent::Gap);
            outcome(Stage::Presence, OutcomeStatus::LeftOut, Some("agent_not_mapped"));
            outcome(Stage::ConversationSink, OutcomeStatus::AssumedApplied, None);
            deliveries(Target::Conversation, Delivered::Retry, 4);
            target_request(Target::Conversation, Duration::from_millis(300));
        });
        metrics.throttled(Target::Conversation, Duration::from_millis(1500));
        metrics.upkeep();
        let text = metrics.render();
        for line in [
            "# HELP trunkline_records_in_total Records a stage read.",
            "trunkline_records_in_total{stage=\"ingest\"} 3",
            "trunkline_records_out_total{stage=\"conversation\"} 2",
            "trunkline_records_dead_total{stage=\"conversation-sink\",code=\"refused\"} 1",
            "trunkline_records_dead_total{stage=\"conversation-sink\",code=\"other\"} 1",
            "trunkline_stage_duration_seconds_bucket{stage=\"conversation\",le=\"0.0005\"} 1",
            "trunkline_link_events_total{bridge=\"b1\",event=\"gap\"} 1",
            "trunkline_outcomes_total{stage=\"presence\",status=\"left_out\",\
             code=\"agent_not_mapped\"} 1",
            "trunkline_outcomes_total{stage=\"conversation-sink\",status=\"assumed_applied\",\
             code=\"none\"} 1",
            "trunkline_deliveries_total{target=\"conversation\",outcome=\"retry\"} 4",
            "trunkline_target_requests_seconds_count{target=\"conversation\"} 1",
            "trunkline_target_throttled_seconds_total{target=\"conversation\"} 1.5",
            "trunkline_build_info{version=\"0.1.0\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("Alice"));
    }

    #[test]
    fn what_belongs_to_a_partition_disappears_with_its_owner() {
        let (_, metrics) = Metrics::with_recorder();
        let task = metrics.task(Stage::ConversationSink, topics::COMMAND_CONVERSATION, 2);
        task.lag(7, Duration::from_millis(250));
        task.state(3);
        task.restoring(0);
        let text = metrics.render();
        let labels = "{stage=\"conversation-sink\",topic=\"command.conversation\",partition=\"2\"}";
        assert_eq!(
            samples(&text, "trunkline_lag"),
            [
                format!("trunkline_lag_records{labels} 7"),
                format!("trunkline_lag_seconds{labels} 0.25"),
            ]
        );
        assert_eq!(
            samples(&text, "trunkline_state_keys"),
            [format!("trunkline_state_keys{labels} 3")]
        );
        assert_eq!(samples(&text, "trunkline_partitions_owned"), ["trunkline_partitions_owned 1"]);
        drop(task);
        let text = metrics.render();
        assert_eq!(samples(&text, "trunkline_"), ["trunkline_partitions_owned 0"]);
    }

    #[test]
    fn stages_are_named_as_their_dead_letter_topics() {
        for (stage, topic) in [
            (Stage::Ingest, topics::DEAD_INGEST),
            (Stage::Conversation, topics::DEAD_CONVERSATION),
            (Stage::ConversationSink, topics::DEAD_CONVERSATION_SINK),
            (Stage::Presence, topics::DEAD_PRESENCE),
            (Stage::PresenceSink, topics::DEAD_PRESENCE_SINK),
        ] {
            assert_eq!(format!("dead.{}", stage.name()), topic.name());
        }
    }
}
