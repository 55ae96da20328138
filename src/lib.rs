//! The shell of Trunkline: the only code that knows the log, the clock, listeners and loops.
//!
//! The folders read left to right are the pipeline: `ingest/` -> `schemas/` -> `processors/` ->
//! `sinks/`; this crate joins them (ARCHITECTURE.md).

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod drive;
pub mod log;
pub mod redis;
pub mod registry;
pub mod telemetry;
pub mod topology;
pub mod trace;
