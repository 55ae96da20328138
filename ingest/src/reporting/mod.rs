//! Trunkline as the reporting engine of Interaction Servers (seed 002, "Reporting Engine
//! Connects"), in the place of Stat Server: a labelled substitute, off unless it is configured. The
//! lines are in docs/ingest.md.
//!
//! An Interaction Server reports the *state* of its agents: the media an agent is ready for, and
//! the interactions being handled. A capacity rule makes the *status* of it: what can be offered.
//! The server hands that on to the agent's application. States are kept on `raw.agent` for audit;
//! nothing of them is told to Genesys Cloud.

mod capacity;
mod engine;
mod follow;
mod state;

pub use capacity::{AgentStatus, CapacityRule, MediumStatus};
pub use engine::{Effect, Engine, Input, REQUESTS};
pub use follow::{Chance, Reporting, ReportingConfig};
pub(crate) use state::fields;
pub use state::{Medium, PlaceAgentState};
