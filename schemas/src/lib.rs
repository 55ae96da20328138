//! The words of Trunkline: records, raw events, commands, outcomes, segments, directory rows, the
//! topics they live in, their Avro form and the deterministic ids.
//!
//! This crate does no I/O and reads no clock (ARCHITECTURE.md, invariant 1).

pub mod codec;
pub mod command;
pub mod configdb;
pub mod desired;
pub mod directory;
pub mod ids;
pub mod outcome;
pub mod presence;
pub mod raw;
pub mod record;
pub mod segment;
pub mod state;
pub mod time;
pub mod topics;

pub use command::{ConversationCommand, VoiceEvent};
pub use configdb::ConfigObject;
pub use desired::{ConfigOutcome, DesiredObject};
pub use directory::DirectoryRow;
pub use outcome::{Outcome, OutcomeStatus};
pub use presence::{
    PresenceChange, PresenceCommand, PresenceOutcome, RoutingStatus, SystemPresence,
};
pub use raw::{AgentFact, CallFact, RawEvent, RawKind};
pub use record::{Offset, Output, Partition, Record, Stored};
pub use segment::Segment;
pub use topics::Topic;
