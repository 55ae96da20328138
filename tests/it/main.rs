//! The whole system: one test binary, a file for each concern.

mod bad_input;
mod cli;
mod configdb;
mod faults;
mod feeder;
mod front;
mod kafka;
mod kill;
mod program;
mod running;
mod translate;
