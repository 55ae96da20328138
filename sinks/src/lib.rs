//! Sinks: from commands to Genesys Cloud (GC) requests.
//!
//! Two halves that never mix (DESIGN law 1):
//!
//! - [`conversation`] decides: what to send next, what an answer means, what is durable. It does no
//!   I/O and knows no clock and no chance: the time and the jitter are arguments.
//! - [`genesys_cloud`] talks: log-in, one request, one classified answer. Its policies (allowance,
//!   backoff, meaning of an answer) are pure as well; only [`genesys_cloud::GenesysCloud`] waits.

pub mod conversation;
pub mod genesys_cloud;
pub mod presence;

pub use conversation::{ConversationSink, SinkConfig, SinkStep, Wave, request};
pub use genesys_cloud::{Allowance, Answer, ClientConfig, GenesysCloud, LocalAllowance};
