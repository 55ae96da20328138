//! Sinks: from commands to Genesys Cloud (GC) requests.
//!
//! Two halves that never mix (DESIGN law 1):
//!
//! - [`delivery`] decides: what to send next, what an answer means, what is durable.
//!   [`conversation`] and [`presence`] are the particulars of the two sinks. None of them does I/O
//!   or knows clock or chance: the time and the jitter are arguments.
//! - [`genesys_cloud`] talks: log-in, one request, one classified answer. Its policies (allowance,
//!   backoff, meaning of an answer) are pure as well; only [`genesys_cloud::GenesysCloud`] waits.

pub mod config;
pub mod conversation;
pub mod delivery;
pub mod genesys_cloud;
pub mod presence;

pub use conversation::{Conversation, ConversationSink, request};
pub use delivery::{Rules, Sink, SinkConfig, SinkStep, Wave};
pub use genesys_cloud::{
    Allowance, Answer, ClientConfig, GenesysCloud, LocalAllowance, Share, Shared, SharedAllowance,
};
pub use presence::{Definitions, Presence, PresenceSink};
