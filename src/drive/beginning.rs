//! How a processor begins that needs a directory which the synchronisation makes: raw events come
//! from the first moment, and wait in the log until there is one. The announcement stands behind
//! them in the partition, so it is looked up there and learned before its turn; when its turn
//! comes, it says nothing new.

use trunkline_processors::Informed;
use trunkline_processors::presence::RELAY;
use trunkline_schemas::{Partition, RawEvent, RawKind, Stored, Topic, codec};

use super::announce::Announced;
use super::bridge::Kept;
use super::tail::Tail;
use super::{IDLE_WAIT, Shell, TaskError};

/// What a processor waits for before it takes its first record.
pub struct Beginning<P> {
    /// Whether it has begun before.
    is_informed: fn(&P) -> bool,
    learn: fn(&mut P, &Stored),
    /// By partition.
    waits: Box<dyn Fn(Partition) -> Option<Waits> + Send + Sync>,
}

/// What is waited for in a partition.
#[derive(Clone, Debug)]
pub struct Waits {
    /// Key of the announcements in `state.bridge`.
    pub mark: String,
    /// Whether the presence processor must have told who is logged in where.
    pub relayed: bool,
}

impl<P: Informed> Beginning<P> {
    /// A processor waits for what `waits` says of its partition.
    pub fn new(waits: impl Fn(Partition) -> Option<Waits> + Send + Sync + 'static) -> Self {
        Self { is_informed: P::is_informed, learn: P::learn, waits: Box::new(waits) }
    }
}

impl<P> Beginning<P> {
    /// Waits, unless the processor has begun before, until there is all it needs, and gives it
    /// that. `false`: the process stops.
    ///
    /// # Errors
    /// The log.
    pub(super) fn wait(
        &self,
        shell: &Shell,
        (input, partition): (Topic, Partition),
        processor: &mut P,
        say: &mut dyn FnMut(&str),
    ) -> Result<bool, TaskError> {
        let waits = (self.waits)(partition).filter(|_| !(self.is_informed)(processor));
        let Some(Waits { mark, relayed }) = waits else { return Ok(true) };
        let mut mark = Kept::new(&mark);
        let first = loop {
            let kept = mark.read(shell.log.as_ref())?;
            if let Some(announced) = kept.and_then(|body| Announced::read(&body)) {
                break announced.first;
            }
            say("waits for the first synchronisation of the configuration");
            if !shell.pause(IDLE_WAIT) {
                return Ok(false);
            }
        };
        let mut tail = Tail::new(input, partition, first);
        let (mut has_directory, mut has_facts) = (false, !relayed);
        loop {
            tail.read(shell.log.as_ref(), &mut |stored| {
                match kind(&stored) {
                    Some((RawKind::DirectoryEnd, _)) => has_directory = true,
                    Some((RawKind::CaughtUp, source)) => has_facts |= source == RELAY,
                    Some(_) | None => {}
                }
                (self.learn)(processor, &stored);
            })?;
            if has_directory && has_facts {
                return Ok(true);
            }
            say("waits until it is known who is logged in where");
            if !shell.pause(IDLE_WAIT) {
                return Ok(false);
            }
        }
    }
}

fn kind(stored: &Stored) -> Option<(RawKind, String)> {
    let raw = codec::decode::<RawEvent>(stored.record.value.as_deref()?).ok()?;
    Some((raw.kind, raw.source))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trunkline_processors::{Effects, Processor};
    use trunkline_schemas::Offset;
    use trunkline_schemas::directory::{Agent, DirectoryFile};
    use trunkline_schemas::topics::RAW_TLIB;

    use super::super::announce::{announce, mark_key};
    use super::super::bridge::raw_output;
    use super::*;
    use crate::clock;
    use crate::log::Log;
    use crate::log::embedded::Embedded;
    use crate::topology;

    /// Notes what it learns.
    #[derive(Default)]
    struct Learner {
        is_informed: bool,
        learned: Vec<RawKind>,
    }

    impl Processor for Learner {
        type Saved = ();
        fn apply(&mut self, _: &Stored) {}
        fn drain(&mut self) -> Effects {
            Effects::default()
        }
        fn read(_: &[u8], _: &[u8]) -> Result<(), String> {
            Ok(())
        }
        fn restore(&mut self, (): ()) {}
        fn held(&self) -> Vec<Offset> {
            Vec::new()
        }
        fn rehold(&mut self, _: &Stored) {}
        fn noticed(&self) -> Vec<(&'static str, u64)> {
            Vec::new()
        }
    }

    impl Informed for Learner {
        fn is_informed(&self) -> bool {
            self.is_informed
        }
        fn learn(&mut self, stored: &Stored) {
            self.learned.extend(kind(stored).map(|(kind, _)| kind));
        }
    }

    fn shell(log: Arc<dyn Log>) -> Shell {
        let layouts = topology::layouts(1, 1);
        log.ensure(&layouts).expect("topics");
        Shell::new(log, layouts).expect("metrics are ours")
    }

    fn say(shell: &Shell, kind: RawKind, source: &str) {
        let event = RawEvent::bare(kind, "main", source, 1);
        let output = raw_output(RAW_TLIB, &event, 0).expect("it fits its schema");
        let mut appender = shell.log.appender().expect("an appender");
        appender.append(vec![output]).expect("it is appended");
    }

    #[test]
    fn the_directory_and_who_is_where_are_learned_from_behind_the_events() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Embedded::open(dir.path(), Arc::new(clock::now_ms)).expect("the log opens");
        let shell = shell(log);
        let waits = Waits { mark: mark_key("main", RAW_TLIB), relayed: true };
        let beginning = Beginning::<Learner>::new(move |_| Some(waits.clone()));
        say(&shell, RawKind::Event, "sips1");

        let mut learner = Learner::default();
        let mut said = Vec::new();
        // What is missing is added each time it is waited for; then the process stops.
        let directory = |agents: &[&str]| {
            let agent = |id: &&str| Agent {
                employee_id: (*id).to_owned(),
                user_id: "U".to_owned(),
                logins: Vec::new(),
            };
            let agents = agents.iter().map(agent).collect();
            DirectoryFile { agents, ..DirectoryFile::default() }
        };
        let place = (RAW_TLIB, 0);
        let began = beginning.wait(&shell, place, &mut learner, &mut |why| {
            said.push(why.to_owned());
            match said.len() {
                1 => announce(&shell, "main", place, &directory(&["A"])).expect("announced"),
                2 => say(&shell, RawKind::AgentFact, RELAY),
                3 => say(&shell, RawKind::CaughtUp, RELAY),
                _ => shell.stop.cancel(),
            }
        });
        assert!(began.expect("the log works"), "{said:?}");
        assert_eq!(said.len(), 3, "{said:?}");
        let row = RawKind::DirectoryRow;
        let announced = [RawKind::DirectoryStart, row, row, RawKind::DirectoryEnd];
        let facts = [RawKind::AgentFact, RawKind::CaughtUp];
        assert_eq!(learner.learned, [&announced[..], &facts].concat(), "not the event");

        // What is announced later changes nothing of where it begins.
        announce(&shell, "main", place, &directory(&["A", "B"])).expect("announced");
        let mut again = Learner::default();
        let began = beginning.wait(&shell, place, &mut again, &mut |why| panic!("{why}"));
        assert!(began.expect("the log works"));
        assert_eq!(again.learned[..learner.learned.len()], learner.learned);
        let mut knows = Learner { is_informed: true, ..Learner::default() };
        let began = beginning.wait(&shell, place, &mut knows, &mut |why| panic!("{why}"));
        assert!(began.expect("the log works") && knows.learned.is_empty());

        // A process that is to stop does not wait.
        let other = Waits { mark: mark_key("other", RAW_TLIB), relayed: false };
        let beginning = Beginning::<Learner>::new(move |_| Some(other.clone()));
        shell.stop.cancel();
        let began = beginning.wait(&shell, place, &mut Learner::default(), &mut |_| ());
        assert!(!began.expect("the log works"));
    }
}
