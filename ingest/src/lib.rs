//! Bridges: from an Engage source to raw events.
//!
//! Every bridge has a pure half, which turns bytes into records and is told the time, and a thin
//! half that does the I/O. Neither knows the log: what a bridge has to write goes to a
//! [`feed::Writer`] that is given to it.

pub mod agentstate;
pub mod configdb;
pub mod feed;
pub mod reporting;
pub mod statserver;
pub mod tlib;
pub mod wire;
