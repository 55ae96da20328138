//! The conversation sink: what is particular to conversations (DESIGN section 6). Whatever sinks
//! have in common is in [`crate::delivery`].
//!
//! After a structural event was refused its gate closes; see `gate`.

mod gate;
mod request;

use trunkline_schemas::{ConversationCommand, Outcome, Record, Topic, codec, topics};

use crate::delivery::{self, Batch, Fate, Rules, Sink, Telling};

pub use gate::{ALONE_MS, Gate, GateEnd, Known, Leg};
pub use request::{PATH, request};

/// The name of this sink in headers and causes.
pub const STAGE: &str = "conversation-sink";

/// The sink of one partition of `command.conversation`.
pub type ConversationSink = Sink<Conversation>;
/// The durable state of one conversation.
pub type Memory = delivery::Memory<Known>;

/// The particulars of the conversation sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversation;

impl Rules for Conversation {
    type Command = ConversationCommand;
    type Knowledge = Known;

    const STAGE: &'static str = STAGE;
    const OUTCOME: Topic = topics::OUTCOME_CONVERSATION;
    const DEAD: Topic = topics::DEAD_CONVERSATION_SINK;
    /// A conversation has 10 to 40 events; only a monstrous one has more.
    const ACCEPTED_IDS_MAX: usize = 1_000;

    fn key(command: &ConversationCommand) -> &str {
        &command.conversation_id
    }

    fn event_id(command: &ConversationCommand) -> &str {
        &command.event_id
    }

    fn seq(command: &ConversationCommand) -> i64 {
        command.seq
    }

    fn path(_: &ConversationCommand) -> &'static str {
        PATH
    }

    fn telling(&self, _: &ConversationCommand) -> Telling {
        Telling::Now
    }

    fn request(&self, commands: &[ConversationCommand]) -> Batch {
        request(commands)
    }

    fn outcome(command: &ConversationCommand, fate: Fate) -> Record {
        let outcome = Outcome {
            status: fate.status,
            conversation_id: command.conversation_id.clone(),
            call_uuid: command.call_uuid.clone(),
            domain: command.domain.clone(),
            event_id: Some(command.event_id.clone()),
            seq: (!fate.is_own).then_some(command.seq),
            event: Some(command.event.array().to_owned()),
            code: fate.code.map(str::to_owned),
            reason: fate.reason,
            attempts: fate.attempts,
            at_ms: fate.at_ms,
        };
        codec::record(command.conversation_id.as_bytes(), &outcome)
            .expect("an outcome fits its built-in schema")
    }
}
