//! Events as JSON lines over TCP: what the feeds of SIP Servers and Stat Servers share
//! (docs/ingest.md).
//!
//! The client says one line, `{"hello":{"role","bridge",...}}`; the server answers:
//!
//! | the server says | when |
//! |---|---|
//! | `{"welcome":{"server","serverStart","resumed"}}` | first |
//! | `{"source","stream","event":{"id",...}}` | for each event |
//! | `{"caughtUp":true}` | once, when all is told that was there at connecting |
//! | `{"keepAlive":true}` | after each second without a line |
//! | `{"error":"why"}` | instead of all this, and it hangs up |
//!
//! A feeder without a welcome (a file sent as it is) is read too; it cannot resume.
//!
//! The pure half: [`Lines`] cuts a stream into lines, [`translate`] reads one, [`dead_letter`]
//! keeps what cannot be read. The I/O half: a [`Bridge`] follows one server of a pair at a time and
//! gives all it reads to a [`Writer`].

mod attr;
mod backoff;
mod batch;
mod bridge;
mod dead;
mod follow;
mod hello;
mod line;
mod lines;
mod pen;

pub(crate) use attr::Attr;
pub use backoff::Backoff;
pub use batch::{BATCH_BYTES_MAX, BATCH_LINES_MAX, RawOut};
pub use bridge::{Bridge, Clock, Jitter, Wanted};
pub use dead::{
    DEAD_HEAD_BYTES, DEAD_WHOLE_BYTES_MAX, dead_letter, dead_letter_long, dead_letter_of,
};
pub use hello::{LinkConfig, LinkError, OBJECTS_PER_LINE_MAX, hello, subscriptions};
pub use line::{
    ATTRIBUTE_BYTES_MAX, DEPTH_MAX, FeedLine, LineCode, LineContext, LineError, PAYLOAD_BYTES_MAX,
    Place, translate,
};
pub(crate) use line::{Fields, checked_text, json_error};
pub use lines::{Body, LINE_BYTES_MAX, Line, Lines, LongLine};
pub(crate) use pen::Pen;
pub use pen::{LinkStatus, WriteError, Writer};
