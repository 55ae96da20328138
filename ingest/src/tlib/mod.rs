//! TLib events (seed 003, `VOICE_SERVER_VQ`, `_AGENT`, `_CALL`; the form of an event is that of
//! seed 004), which come by the lines of [`crate::feed`]. A client resumes after the last event it
//! holds durably.

mod event;

pub(crate) use event::{event_id, fields};

pub use crate::feed::*;
