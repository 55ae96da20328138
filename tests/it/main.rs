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
mod fetched;
mod from_configdb;
mod front;
mod kafka;
mod kill;
/// The server that the tests of the bridge use.
#[path = "../../ingest/tests/configdb/server.rs"]
#[allow(dead_code, reason = "the tests of the bridge use more of it")]
mod postgres;
mod program;
mod redis;
mod registry;
mod reporting;
mod running;
mod sdk;
mod shipped;
mod tls;
mod traces;
mod translate;
mod translate_agents;
mod webdav;
