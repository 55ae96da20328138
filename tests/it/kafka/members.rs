//! Members of a group: partitions are shared out, and go over to those who stay.

use std::time::Duration;

use trunkline::clock::Elapsed;
use trunkline::log::{Change, Layout, Log, LogError, Member, Step, TaskSpec};
use trunkline_schemas::Partition;
use trunkline_schemas::topics::{COMMAND_CONVERSATION, STATE_CONVERSATION_SINK};

use super::broker::{announce, config, prefix, shared};
use super::work::{PATIENCE, output};

/// Name of the sink that is shared.
const NAME: &str = "shared-sink";
/// Partitions of its input.
const PARTITIONS: u32 = 4;

/// A member and what it was given last.
struct Seen {
    member: Box<dyn Member>,
    given: Vec<Partition>,
    /// How often it had to give up everything.
    gave_up: u32,
}

impl Seen {
    fn join(log: &dyn Log) -> Self {
        let member = log.join(NAME, COMMAND_CONVERSATION).expect("a member");
        Self { member, given: Vec::new(), gave_up: 0 }
    }

    fn hear(&mut self) {
        match self.member.poll(Duration::from_millis(20)).expect("a member can ask") {
            Some(Change::Take(partitions)) => {
                assert!(self.given.is_empty(), "{:?} were not taken back", self.given);
                self.given = partitions;
            }
            Some(Change::GiveUp) => {
                self.given.clear();
                self.gave_up += 1;
                self.member.gave_up().expect("it was asked for");
            }
            None => {}
        }
    }
}

/// Lets members hear until each has as many partitions as expected, all of them together, and
/// returns after how many milliseconds.
fn settle(members: &mut [&mut Seen], expected: &[usize]) -> u64 {
    let watch = Elapsed::start();
    loop {
        for member in members.iter_mut() {
            member.hear();
        }
        let mut counts: Vec<_> = members.iter().map(|member| member.given.len()).collect();
        counts.sort_unstable();
        let mut all: Vec<_> = members.iter().flat_map(|member| member.given.clone()).collect();
        all.sort_unstable();
        if counts == expected && all == (0..PARTITIONS).collect::<Vec<_>>() {
            return watch.ms();
        }
        assert!(watch.time() < PATIENCE, "{counts:?} of {expected:?}: {all:?}");
    }
}

#[test]
fn members_share_partitions_and_take_over_from_those_who_leave() {
    let Some(address) = shared("members of a group") else { return };
    let prefix = prefix("members");
    let open = || trunkline::log::kafka::Kafka::open(&config(&address, &prefix)).expect("a log");
    let logs = [open(), open(), open()];
    let layouts = [COMMAND_CONVERSATION, STATE_CONVERSATION_SINK]
        .map(|topic| Layout { topic, partitions: PARTITIONS });
    logs[0].ensure(&layouts).expect("topics");

    let mut first = Seen::join(&*logs[0]);
    let alone = settle(&mut [&mut first], &[4]);
    let mut second = Seen::join(&*logs[1]);
    let two = settle(&mut [&mut first, &mut second], &[2, 2]);
    let mut third = Seen::join(&*logs[2]);
    let three = settle(&mut [&mut first, &mut second, &mut third], &[1, 1, 2]);
    assert!(first.gave_up >= 2 && second.gave_up >= 1, "nobody keeps what others are given");

    // A task that is owned works in its member's name, and can no more when that has gone.
    let partition = third.given[0];
    let spec = TaskSpec {
        name: NAME,
        input: COMMAND_CONVERSATION,
        partition,
        state: STATE_CONVERSATION_SINK,
    };
    let mut input = output(COMMAND_CONVERSATION, b"input".to_vec());
    input.partition = partition;
    logs[0].appender().expect("an appender").append(vec![input; 2]).expect("appended");
    let mut task = logs[2].own(&spec).expect("owned");
    task.commit(Step { next: 1, ..Step::default() }).expect("a member commits");
    drop(third);
    let gone = settle(&mut [&mut first, &mut second], &[2, 2]);
    let refused = task.commit(Step { next: 2, ..Step::default() });
    assert!(matches!(refused, Err(LogError::Unknown { .. })), "not a member: {refused:?}");
    drop(task);
    assert_eq!(logs[0].own(&spec).expect("owned").position(), 1, "what was refused is not there");
    drop(second);
    let last = settle(&mut [&mut first], &[4]);
    announce(&format!(
        "shared out after: alone {alone} ms, two {two} ms, three {three} ms; \
         after one left {gone} ms, after the next {last} ms"
    ));
    logs[0].remove_topics().expect("the topics are deleted");
}
