//! What one sink does in its own way: the particulars that [`super::Sink`] asks for.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trunkline_schemas::codec::Schemed;
use trunkline_schemas::{OutcomeStatus, Record, Topic};

/// One request for Genesys Cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Path of the operation, from the root of the API host.
    pub path: &'static str,
    /// The body, JSON.
    pub body: Value,
}

/// What became of a command, for its outcome record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// What became of it.
    pub status: OutcomeStatus,
    /// A code from a closed list.
    pub code: Option<&'static str>,
    /// What Genesys Cloud said.
    pub reason: Option<String>,
    /// How often it was sent.
    pub attempts: i32,
    /// When, milliseconds since 1970, by the sink's clock.
    pub at_ms: i64,
    /// The sink made the event itself, so it has no place in the order of commands.
    pub is_own: bool,
}

/// Whether a command can be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Telling {
    /// All is known that the request needs.
    Now,
    /// Something is not known yet: the command waits, and its key.
    Later,
    /// What is needed will not come: the command is given up, for the reason of this code and text.
    Never(&'static str, String),
}

/// The particulars of a sink.
pub trait Rules: PartialEq {
    /// What it delivers.
    type Command: Schemed + Clone + Debug + PartialEq;
    /// What it knows of a key beyond what every sink knows ([`super::Memory`]).
    type Knowledge: Knowledge<Self::Command>;

    /// Name of the sink in headers, causes and the names of its topics.
    const STAGE: &'static str;
    /// Where outcomes go.
    const OUTCOME: Topic;
    /// Where commands go that were not applied.
    const DEAD: Topic;
    /// Event ids kept of one key, to know a command that was written twice; of more, the oldest
    /// go first. What was merely read again is known by its offset.
    const ACCEPTED_IDS_MAX: usize;

    /// The key of a command: within it order is kept.
    fn key(command: &Self::Command) -> &str;
    /// Its event id: what is sent twice is recognised by it.
    fn event_id(command: &Self::Command) -> &str;
    /// Its place in the order of its key.
    fn seq(command: &Self::Command) -> i64;
    /// The operation it is told by; a request has the events of one.
    fn path(command: &Self::Command) -> &'static str;
    /// Whether the command can be told. It may be another as soon as the rules are.
    fn telling(&self, command: &Self::Command) -> Telling;
    /// The request that tells these commands, which all have the same path.
    fn request(&self, commands: &[Self::Command]) -> Batch;
    /// The record of an outcome.
    fn outcome(command: &Self::Command, fate: Fate) -> Record;
}

/// What a sink knows of one key beyond what every sink knows; durable, as JSON.
pub trait Knowledge<C>: Clone + Debug + Default + Serialize + DeserializeOwned {
    /// A command of the key was read.
    fn met(&mut self, _command: &C) {}

    /// Whether the command may be sent at all.
    fn passes(&self, _command: &C) -> bool {
        true
    }

    /// Whether the next command may depend on the answer to this one, so that they do not share a
    /// request.
    fn is_careful(&self) -> bool {
        false
    }

    /// Genesys Cloud has the event.
    fn applied(&mut self, command: &C);

    /// Genesys Cloud refused the event for good.
    fn refused(&mut self, _command: &C) {}

    /// A command of the key cannot be read, so nobody knows what it was to tell.
    fn unreadable(&mut self) {}

    /// Whether nothing more is to be expected of the key.
    fn is_over(&self) -> bool;

    /// Whether the sink has to add an event of its own, unless what is at the head does it.
    fn owes(&self, _head: Option<&C>) -> bool {
        false
    }

    /// Decides on that event; `false` if there is nothing to decide.
    fn decide(&mut self) -> bool {
        false
    }

    /// The event decided on and not yet answered. `seq` is that of the last command done with.
    fn decided(&self, _key: &str, _seq: i64) -> Option<C> {
        None
    }
}
