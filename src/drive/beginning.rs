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
