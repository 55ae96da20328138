//! The process of bridges, processors and sinks is killed with SIGKILL again and again while calls
//! are made, and in the end the organisation must hold the truth. The simulators live on.
//!
//! What a kill may leave behind is said exactly (RELIABILITY section 4): an event is sent again
//! only if it was sent before without a committed outcome, by a process that was killed; it reads
//! the same; and at one kill no more requests are in that position than may be under way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trunkline_schemas::topics::{
    COMMAND_CONVERSATION, DEAD_CONVERSATION, DEAD_CONVERSATION_SINK, DEAD_INGEST,
    OUTCOME_CONVERSATION, RAW_TLIB,
};
use trunkline_schemas::{
    ConversationCommand, Outcome, OutcomeStatus, RawEvent, RawKind, Stored, codec,
};
use trunkline_sim::engage::EngageConfig;
use trunkline_sim::gc::{EventOutcome, EventRecord, GcConfig};

use super::running::{Process, Settings, World, until};

/// Every point at which a process can be held, and the most passings before it is.
const POINTS: [(&str, u64); 8] = [
    ("processor.before_commit", 20),
    ("processor.after_commit", 20),
    ("sink.before_post", 15),
    ("sink.after_post", 15),
    ("sink.before_commit", 15),
    ("sink.after_commit", 15),
    ("bridge.before_append", 40),
    ("bridge.after_append", 40),
];
/// Kills of one run: one at each point, the others by progress.
const KILLS: usize = 20;
/// Calls of a run, and how many begin in a second.
const CALLS: u64 = 220;
const CALLS_PER_SECOND: f64 = 5.0;
/// How much faster than in life they go.
const SPEED: f64 = 30.0;
/// How long a point or a progress may take to come.
const MOMENT_MAX: Duration = Duration::from_mins(2);
/// How long the last process may take for what the others left.
const LAST_MAX: Duration = Duration::from_mins(4);

/// Seeded draws (SplitMix64), so that a run can be played again.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// When it is held at a point.
    Held(&'static str, u64),
    /// When the organisation has processed so many more events.
    Progress(u64),
}

/// The moments of a run, in a seeded order.
fn moments(draw: &mut Draw) -> Vec<Moment> {
    let mut moments: Vec<Moment> =
        POINTS.iter().map(|(point, most)| Moment::Held(point, 1 + draw.below(*most))).collect();
    moments.resize_with(KILLS, || Moment::Progress(1 + draw.below(60)));
    for last in (1..moments.len()).rev() {
        moments.swap(last, draw.below(last as u64 + 1) as usize);
    }
    moments
}

/// One process, from its start to its end.
#[derive(Clone, Copy, Debug)]
struct Life {
    spawned_ms: i64,
    /// Number of its first request, the log-in (that of the next process if it made none).
    first_request: u64,
}

/// The processes of a run in their order; what was sent by which.
struct Lives {
    /// Start, and the number of the last request before it.
    starts: Vec<(i64, u64)>,
}

impl Lives {
    fn begin(&mut self, world: &World, process: &Process) {
        let requests = world.org.requests();
        self.starts.push((process.spawned_ms, requests.last().map_or(0, |last| last.number)));
    }

    /// A request that a killed process had put on the wire may be processed after its end, so each
    /// life begins with its log-in.
    fn told(&self, world: &World) -> Vec<Life> {
        let log_ins: Vec<u64> = world
            .org
            .requests()
            .iter()
            .filter(|request| request.path == "/oauth/token")
            .map(|request| request.number)
            .collect();
        let life = |(spawned_ms, seen): &(i64, u64)| {
            let first_request = log_ins.iter().copied().find(|number| number > seen);
            Life { spawned_ms: *spawned_ms, first_request: first_request.unwrap_or(u64::MAX) }
        };
        self.starts.iter().map(life).collect()
    }
}

/// Which life sent a request.
fn life_of(lives: &[Life], request: u64) -> usize {
    let begun = lives.iter().filter(|life| life.first_request <= request).count();
    begun.checked_sub(1).expect("a process logs in before it sends anything")
}

/// What the organisation got and what the log holds, by event id.
pub(super) struct Books {
    /// Every time an event was processed by the organisation, in order.
    posts: BTreeMap<String, Vec<EventRecord>>,
    /// What the log says became of it, and when that was committed (milliseconds since 1970).
    outcomes: BTreeMap<String, (Outcome, i64)>,
    /// Event ids of all commands.
    commands: BTreeSet<String>,
}

impl Books {
    /// Reads both; fails if the log says anything twice, or holds a dead letter or a gap.
    pub(super) fn open(world: &World) -> Self {
        let mut posts: BTreeMap<String, Vec<EventRecord>> = BTreeMap::new();
        for event in world.org.events() {
            let id = event.body["eventId"].as_str().expect("every event has an id");
            posts.entry(id.to_owned()).or_default().push(event);
        }
        let mut outcomes = BTreeMap::new();
        for stored in world.records(OUTCOME_CONVERSATION) {
            let outcome: Outcome = decode(&stored);
            let Some(id) = outcome.event_id.clone() else { continue };
            let before = outcomes.insert(id.clone(), (outcome, stored.append_time_ms));
            assert!(before.is_none(), "event {id} has two outcomes: {before:?}");
        }
        let mut commands = BTreeSet::new();
        for stored in world.records(COMMAND_CONVERSATION) {
            let command: ConversationCommand = decode(&stored);
            assert!(commands.insert(command.event_id), "a command is there twice: {stored:?}");
        }
        for topic in [DEAD_INGEST, DEAD_CONVERSATION, DEAD_CONVERSATION_SINK] {
            let dead: Vec<String> = world.records(topic).iter().map(Stored::place).collect();
            assert!(dead.is_empty(), "dead letters: {dead:?}");
        }
        for stored in world.records(RAW_TLIB) {
            let raw: RawEvent = decode(&stored);
            assert_ne!(raw.kind, RawKind::Gap, "a link lost events: {raw:?}");
        }
        Self { posts, outcomes, commands }
    }

    /// Events that were processed more than once.
    fn repeated(&self) -> impl Iterator<Item = (&String, &Vec<EventRecord>)> {
        self.posts.iter().filter(|(_, posts)| posts.len() > 1)
    }

    /// Requests whose events were sent again.
    pub(super) fn requests_repeated(&self) -> usize {
        let requests = self.repeated().flat_map(|(_, posts)| &posts[..posts.len() - 1]);
        requests.map(|post| post.request).collect::<BTreeSet<_>>().len()
    }

    /// Commands that never reached the organisation.
    fn lost(&self) -> Vec<&String> {
        self.commands.iter().filter(|id| !self.posts.contains_key(*id)).collect()
    }

    /// Every event sent is a command with an outcome, and nothing is left over.
    fn assert_complete(&self) {
        assert_eq!(self.lost(), Vec::<&String>::new());
        let (posted, told): (BTreeSet<&String>, BTreeSet<&String>) =
            (self.posts.keys().collect(), self.outcomes.keys().collect());
        assert_eq!(posted, self.commands.iter().collect());
        assert_eq!(posted, told);
    }

    /// Everything was told as it happened, in order, and accepted; what was sent again read the
    /// same. Returns how many events that were.
    pub(super) fn assert_truth(&self, world: &World) -> usize {
        self.assert_complete();
        let summary = world.org.summary();
        assert_eq!(world.differences(), []);
        assert_eq!((summary.open, summary.refused, summary.out_of_order), (0, 0, 0), "{summary:?}");
        assert_eq!(summary.repeats_differing, 0, "{summary:?}");
        assert!(summary.violations.is_empty(), "{:?}", world.org.violations());
        let repeats: usize = self.repeated().map(|(_, posts)| posts.len() - 1).sum();
        assert_eq!(summary.duplicates, repeats as u64);
        for (id, (outcome, _)) in &self.outcomes {
            assert_eq!(outcome.status, OutcomeStatus::Accepted, "event {id}");
        }
        repeats
    }

    /// What is wrong with the repeats: an event is sent again, word for word, only where its
    /// outcome was not committed when its sender was killed, and at one kill only so many requests
    /// are in that position as may be under way.
    fn wrong_repeats(&self, lives: &[Life], settings: &Settings) -> Vec<String> {
        let under_way = (settings.partitions * settings.requests_in_flight) as usize;
        let mut wrong = Vec::new();
        let mut requests: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for (id, posts) in self.repeated() {
            let (_, committed_ms) = &self.outcomes[id];
            for pair in posts.windows(2) {
                let (one, other) =
                    (life_of(lives, pair[0].request), life_of(lives, pair[1].request));
                if pair[0].body != pair[1].body {
                    wrong.push(format!("{id} reads otherwise when it is sent again"));
                }
                if one == other {
                    wrong.push(format!("{id} is sent twice by process {one}"));
                } else if *committed_ms < lives[one + 1].spawned_ms {
                    wrong.push(format!("{id} is sent again after its outcome was committed"));
                }
                requests.entry(one).or_default().insert(pair[0].request);
            }
        }
        for (life, requests) in requests.iter().filter(|(_, open)| open.len() > under_way) {
            wrong.push(format!("process {life} left {} requests open", requests.len()));
        }
        wrong
    }

    /// With an organisation that applies repeats again: whatever it objects to is a repeat, and the
    /// sink counts as applied exactly what was refused only as a repeat.
    fn assert_objections(&self, world: &World) -> usize {
        let repeated: BTreeSet<&str> = self.repeated().map(|(id, _)| id.as_str()).collect();
        for violation in world.org.violations() {
            let of_repeat = violation.event_id.as_deref().is_some_and(|id| repeated.contains(id));
            assert!(of_repeat, "{violation:?}");
        }
        let last_refused = |posts: &Vec<EventRecord>| {
            posts.last().is_some_and(|post| post.outcome == EventOutcome::Refused)
        };
        for (id, posts) in &self.posts {
            assert_eq!(posts[0].outcome, EventOutcome::Accepted, "{:?}", posts[0]);
            let wanted = if last_refused(posts) {
                OutcomeStatus::AssumedApplied
            } else {
                OutcomeStatus::Accepted
            };
            assert_eq!(self.outcomes[id].0.status, wanted, "event {id}: {posts:?}");
        }
        self.posts.values().filter(|posts| last_refused(posts)).count()
    }
}

fn decode<T: codec::Schemed>(stored: &Stored) -> T {
    let value = stored.record.value.as_deref().expect("the topic has no tombstones");
    codec::decode(value).expect("the topic holds what its schema says")
}

pub(super) fn site(seed: u64, calls: u64) -> EngageConfig {
    EngageConfig {
        seed,
        calls,
        rate_per_second: CALLS_PER_SECOND,
        speed: SPEED,
        ..EngageConfig::default()
    }
}

pub(super) fn org(dedup: bool) -> GcConfig {
    GcConfig { requests_per_minute: 30_000, dedup, ..GcConfig::default() }
}

/// Waits for the moment.
async fn come(world: &World, process: &mut Process, moment: Moment) {
    match moment {
        Moment::Held(point, _) => process.held(point, MOMENT_MAX).await,
        Moment::Progress(more) => {
            let processed = || {
                let summary = world.org.summary();
                summary.events + summary.duplicates
            };
            let goal = processed() + more;
            until("the organisation gets more events", MOMENT_MAX, || {
                process.assert_alive();
                processed() >= goal
            })
            .await;
        }
    }
}

/// Plays a run up to the last kill and lets a last process finish. Returns the processes.
async fn play(world: &World, seed: u64) -> Vec<Life> {
    let mut draw = Draw(seed);
    let mut lives = Lives { starts: Vec::new() };
    for (number, moment) in (1..).zip(moments(&mut draw)) {
        let hold = match moment {
            Moment::Held(point, nth) => Some((point, nth)),
            Moment::Progress(_) => None,
        };
        let mut process = world.run(hold);
        lives.begin(world, &process);
        come(world, &mut process, moment).await;
        let (progress, summary) = (world.progress(), world.org.summary());
        let under_load = progress.finished < progress.total || summary.open > 0;
        assert!(under_load, "kill {number} at {moment:?} came too late: {progress:?}");
        process.kill();
    }
    let mut process = world.run(None);
    lives.begin(world, &process);
    // A second hold is all that a repeat can do where repeats are applied.
    until("the rest is told", LAST_MAX, || {
        process.assert_alive();
        world.is_told(|| held_twice(world))
    })
    .await;
    process.stop().await;
    lives.told(world)
}

/// CallUUIDs of the calls of which the organisation applied a hold, or the end of one, twice.
fn held_twice(world: &World) -> BTreeSet<String> {
    let twice: BTreeSet<String> = world
        .org
        .events()
        .into_iter()
        .filter(|event| event.repeat && event.outcome == EventOutcome::Accepted)
        .filter(|event| event.array == "holdUpdatedEvents")
        .filter_map(|event| event.body["conversationId"].as_str().map(str::to_owned))
        .collect();
    let told = world.org.told().into_iter();
    told.filter(|one| twice.contains(&one.conversation_id)).map(|one| one.interaction_id).collect()
}

fn say(world: &World, books: &Books, assumed: usize) {
    let summary = world.org.summary();
    eprintln!(
        "kills {KILLS} points {0}/{0} calls {1} events {2} repeats {3} assumed_applied \
         {assumed} lost {4}",
        POINTS.len(),
        world.progress().total,
        books.posts.len(),
        summary.duplicates,
        books.lost().len(),
    );
}

/// The requests in which each event was sent, when their outcomes were committed, what is wrong.
type Repeats = (&'static [&'static [u64]], i64, &'static [&'static str]);

#[test]
fn a_repeat_that_no_kill_explains_is_found() {
    let life = |spawned_ms, first_request| Life { spawned_ms, first_request };
    let lives = [life(1_000, 1), life(2_000, 10), life(3_000, 20)];
    let settings = Settings { partitions: 1, requests_in_flight: 2, ..Settings::default() };
    let table: [Repeats; 6] = [
        (&[&[2], &[3]], 1_500, &[]),
        (&[&[2, 11], &[3, 11]], 2_500, &[]),
        (&[&[2, 11, 21]], 3_500, &[]),
        (&[&[2, 3]], 1_500, &["e0 is sent twice by process 0"]),
        (&[&[2, 11]], 1_999, &["e0 is sent again after its outcome was committed"]),
        (&[&[2, 11], &[3, 11], &[4, 11]], 2_500, &["process 0 left 3 requests open"]),
    ];
    for (sent, committed_ms, wrong) in table {
        let mut books =
            Books { posts: BTreeMap::new(), outcomes: BTreeMap::new(), commands: BTreeSet::new() };
        for (number, requests) in sent.iter().enumerate() {
            let id = format!("e{number}");
            let posts = requests.iter().map(|request| post(*request)).collect();
            books.posts.insert(id.clone(), posts);
            books.outcomes.insert(id, (accepted(), committed_ms));
        }
        assert_eq!(books.wrong_repeats(&lives, &settings), wrong, "{sent:?} {committed_ms}");
    }
}

fn post(request: u64) -> EventRecord {
    EventRecord {
        request,
        array: "communicationEndedEvents".to_owned(),
        outcome: EventOutcome::Accepted,
        repeat: false,
        differs: false,
        message: None,
        body: serde_json::Value::Null,
    }
}

fn accepted() -> Outcome {
    Outcome {
        status: OutcomeStatus::Accepted,
        conversation_id: String::new(),
        call_uuid: String::new(),
        domain: String::new(),
        event_id: None,
        seq: None,
        event: None,
        code: None,
        reason: None,
        attempts: 1,
        at_ms: 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_leave_the_truth_and_repeats_of_what_was_open_only() {
    survive(site(7, CALLS), &Settings::default()).await;
}

/// Twenty kills of a process that does everything: the truth must be there, and no repeats but of
/// what was open.
pub(super) async fn survive(site: EngageConfig, settings: &Settings) {
    let seed = site.seed;
    let world = World::new(site, org(true), settings).await;
    let lives = play(&world, seed).await;
    let books = Books::open(&world);
    say(&world, &books, 0);
    assert_eq!(books.wrong_repeats(&lives, settings), Vec::<String>::new());
    let repeats = books.assert_truth(&world);
    assert!(repeats > 0, "a process held after a POST leaves at least that one open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_without_deduplication_objects_to_such_repeats_only() {
    let settings = Settings::default();
    let world = World::new(site(11, CALLS), org(false), &settings).await;
    let lives = play(&world, 11).await;
    let books = Books::open(&world);
    let assumed = books.assert_objections(&world);
    say(&world, &books, assumed);
    books.assert_complete();
    assert_eq!(books.wrong_repeats(&lives, &settings), Vec::<String>::new());

    let summary = world.org.summary();
    assert_eq!((summary.open, summary.repeats_differing), (0, 0), "{summary:?}");
    let excused = held_twice(&world);
    for difference in world.differences() {
        assert!(excused.contains(&difference.call_uuid), "{difference}");
    }
    assert!(assumed > 0, "a process held after a POST leaves at least that one open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_leaves_nothing_open() {
    const STOPS: usize = 3;
    let settings = Settings::default();
    let world = World::new(site(13, 60), org(true), &settings).await;
    let mut draw = Draw(13);
    for _ in 0..STOPS {
        let mut process = world.run(None);
        come(&world, &mut process, Moment::Progress(40 + draw.below(60))).await;
        let (status, took) = process.terminate(settings.deadline * 2).await;
        assert!(status.success(), "{status:?}");
        assert!(took < settings.deadline, "{took:?}");
    }
    let mut process = world.run(None);
    world.told(&mut process, LAST_MAX).await;
    process.stop().await;

    let books = Books::open(&world);
    books.assert_complete();
    assert_eq!(books.repeated().collect::<Vec<_>>(), []);
    let summary = world.org.summary();
    assert_eq!((summary.duplicates, summary.refused, summary.out_of_order), (0, 0, 0));
    assert!(summary.violations.is_empty(), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_log_is_a_new_one_and_tells_everything_again_word_for_word() {
    let settings = Settings::default();
    let world = World::new(site(17, 25), org(true), &settings).await;
    let mut process = world.run(None);
    world.told(&mut process, LAST_MAX).await;
    process.stop().await;
    let (told, before) = (world.org.told(), world.org.summary());
    assert_eq!(before.duplicates, 0);

    std::fs::remove_dir_all(world.log_dir()).expect("nobody uses it");
    std::fs::create_dir(world.log_dir()).expect("it can be made");
    let mut process = world.run(None);
    until("everything is told again", LAST_MAX, || {
        process.assert_alive();
        world.org.summary().duplicates >= before.events
    })
    .await;
    process.stop().await;
    let after = world.org.summary();
    assert_eq!((after.events, after.duplicates), (before.events, before.events));
    assert_eq!((after.refused, after.repeats_differing, after.out_of_order), (0, 0, 0));
    assert!(after.violations.is_empty(), "{after:?}");
    assert_eq!(world.org.told(), told);
}

/// A killed process says nothing of its links, and stays away for longer than the processor waits
/// for one stream when the others are ahead (2 s): that time must not count as waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stays_away_while_one_of_its_links_lagged_tells_the_truth() {
    // Calls that begin while the link is held, and while the process is away: 0.2 s and 2.8 s.
    const LAGGED: u64 = 3;
    const AWAY: u64 = 14;
    let settings = Settings { bridges: &["b1"], ..Settings::default() };
    let world = World::new(site(19, 150), org(true), &settings).await;
    let mut draw = Draw(19);
    for _ in 0..5 {
        let point = "bridge.before_append";
        let mut process = world.run(Some((point, 8 + draw.below(20))));
        process.held(point, MOMENT_MAX).await;
        let started = || world.progress().started;
        let goal = started() + LAGGED;
        until("calls go on", MOMENT_MAX, || started() >= goal).await;
        process.kill();
        let goal = started() + AWAY;
        until("calls go on", MOMENT_MAX, || started() >= goal).await;
    }
    let mut process = world.run(None);
    world.told(&mut process, LAST_MAX).await;
    process.stop().await;
    Books::open(&world).assert_complete();
}
