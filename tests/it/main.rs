//! The whole system: one test binary, a file for each concern.

mod agent_days;
mod agent_feeds;
mod agents;
mod bad_input;
mod cli;
mod config_sync;
mod configdb;
mod configured;
mod domains;
mod faults;
mod feeder;
mod front;
mod kafka;
mod kill;
mod program;
mod reporting;
mod running;
mod shipped;
mod tls;
mod traces;
mod translate;
mod translate_agents;
