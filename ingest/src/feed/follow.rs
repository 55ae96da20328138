//! What the lines of one connection come to: records, link records, gaps. No I/O and no clock.
//!
//! | state | line | becomes |
//! |---|---|---|
//! | `Silent` | welcome | `LinkUp`, and `Gap` if it does not resume where asked to; `Up` |
//! | `Silent` | event, caught up | as after a welcome that does not resume; then as in `Up` |
//! | `Up` | event | `Event`, before it a `Gap` if its number goes back or its start changes |
//! | `Up` | caught up | `CaughtUp`; `CaughtUp` |
//! | `CaughtUp` | event | as in `Up` |
//! | `CaughtUp` | caught up | nothing |
//! | `Up`, `CaughtUp` | welcome | the connection is given up |
//! | any | keep alive | nothing |
//! | any | error | the connection is given up |
//! | any | cannot be read | a dead letter |

use serde_json::json;
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{RawEvent, RawKind};

use super::batch::Batch;
use super::dead::{dead_letter, dead_letter_long};
use super::line::{FeedLine, LineContext, Place, translate};
use super::lines::{Body, Line};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Up,
    CaughtUp,
}

/// One connection of a link.
#[derive(Debug)]
pub(super) struct Follower {
    domain: String,
    link: String,
    role: Stream,
    /// What was named in hello.
    resume: Option<(i64, i64)>,
    state: State,
    welcomed: bool,
    server: Option<String>,
    server_start: Option<i64>,
    /// The last numbered event that the next one must follow.
    last: Option<(i64, i64)>,
    has_progressed: bool,
}

impl Follower {
    pub(super) fn new(domain: &str, link: &str, role: Stream, resume: Option<(i64, i64)>) -> Self {
        Self {
            domain: domain.to_owned(),
            link: link.to_owned(),
            role,
            resume,
            state: State::Silent,
            welcomed: false,
            server: None,
            server_start: None,
            last: None,
            has_progressed: false,
        }
    }

    pub(super) fn link(&self) -> &str {
        &self.link
    }

    pub(super) fn is_up(&self) -> bool {
        self.state != State::Silent
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.state == State::CaughtUp
    }

    /// Whether the feeder speaks the protocol, so that what was cut off comes again.
    pub(super) fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Whether anything was told that was worth connecting for.
    pub(super) fn has_progressed(&self) -> bool {
        self.has_progressed
    }

    /// Takes one line. `Err` says why the connection must be given up.
    pub(super) fn take(
        &mut self,
        line: Line<'_>,
        now_us: i64,
        batch: &mut Batch,
    ) -> Result<(), String> {
        let ctx = self.context(line.place, now_us);
        let bytes = match line.body {
            Body::Whole(bytes) => bytes,
            Body::Long(long) => {
                tracing::warn!(link = self.link, bytes = long.length, "a line is too long");
                batch.push_dead(dead_letter_long(&long, &ctx));
                return Ok(());
            }
        };
        let said = match translate(bytes, &ctx) {
            Ok(said) => said,
            Err(error) => {
                let Place { line, byte } = ctx.place;
                tracing::warn!(link = self.link, line, byte, %error, "a line cannot be read");
                batch.push_dead(dead_letter(bytes, &error, &ctx));
                return Ok(());
            }
        };
        match (self.state, said) {
            (State::Silent, FeedLine::Welcome { server, server_start, resumed }) => {
                self.welcomed = true;
                self.come_up((Some(server), server_start), resumed, now_us, batch);
            }
            (State::Up | State::CaughtUp, FeedLine::Welcome { .. }) => {
                return Err("the server said welcome a second time".to_owned());
            }
            (State::Silent | State::Up | State::CaughtUp, FeedLine::Event(event)) => {
                let source = Some(event.source.clone()).filter(|source| !source.is_empty());
                self.come_up_unwelcomed((source, event.server_start), now_us, batch);
                self.event(event, now_us, batch);
            }
            (State::Silent | State::Up, FeedLine::CaughtUp) => {
                self.come_up_unwelcomed((None, None), now_us, batch);
                batch.push(self.bare(RawKind::CaughtUp, now_us));
                self.state = State::CaughtUp;
                self.has_progressed = true;
            }
            (State::CaughtUp, FeedLine::CaughtUp)
            | (State::Silent | State::Up | State::CaughtUp, FeedLine::KeepAlive) => {}
            (State::Silent | State::Up | State::CaughtUp, FeedLine::Error(why)) => {
                return Err(format!("the server refuses: {why}"));
            }
        }
        Ok(())
    }

    /// The record that says the link is down; none if it never was up.
    pub(super) fn down(&self, why: &str, now_us: i64) -> Option<RawEvent> {
        let mut down = self.bare(RawKind::LinkDown, now_us);
        down.payload = json!({ "why": why }).to_string().into_bytes();
        Some(down).filter(|_| self.is_up())
    }

    fn context(&self, place: Place, received_time_us: i64) -> LineContext<'_> {
        LineContext {
            domain: &self.domain,
            link: &self.link,
            received_time_us,
            role: self.role,
            // A server that did not introduce itself is not named where an event names none.
            server: self.server.as_deref().filter(|_| self.welcomed),
            server_start: self.server_start.filter(|_| self.welcomed),
            place,
        }
    }

    fn come_up_unwelcomed(
        &mut self,
        server: (Option<String>, Option<i64>),
        now_us: i64,
        batch: &mut Batch,
    ) {
        match self.state {
            State::Silent => self.come_up(server, false, now_us, batch),
            State::Up | State::CaughtUp => {}
        }
    }

    fn come_up(
        &mut self,
        (server, server_start): (Option<String>, Option<i64>),
        resumed: bool,
        now_us: i64,
        batch: &mut Batch,
    ) {
        self.state = State::Up;
        (self.server, self.server_start) = (server, server_start);
        let follows = resumed
            && self.resume.is_some_and(|held| server_start.is_none_or(|start| start == held.0));
        let mut up = self.bare(RawKind::LinkUp, now_us);
        let server = &up.source;
        up.payload = json!({ "server": server, "resumed": follows }).to_string().into_bytes();
        batch.push(up);
        match self.resume {
            Some(held) if follows => self.last = Some(held),
            Some(held) => batch.push(self.gap(held, now_us)),
            None => {}
        }
    }

    fn event(&mut self, event: RawEvent, now_us: i64, batch: &mut Batch) {
        if let (Some(start), Some(sequence)) = (event.server_start, event.sequence) {
            let breaks = |last: &(i64, i64)| start != last.0 || sequence < last.1;
            if let Some(last) = self.last.filter(breaks) {
                self.server_start = Some(start);
                batch.push(self.gap(last, now_us));
            }
            self.last = Some((start, sequence));
            batch.set_position((start, sequence));
        }
        self.has_progressed = true;
        batch.push(event);
    }

    fn gap(&self, from: (i64, i64), now_us: i64) -> RawEvent {
        let mut gap = self.bare(RawKind::Gap, now_us);
        gap.payload = json!({ "from": [from.0, from.1] }).to_string().into_bytes();
        gap
    }

    fn bare(&self, kind: RawKind, now_us: i64) -> RawEvent {
        let source = self.server.as_deref().unwrap_or_default();
        RawEvent {
            stream: Some(self.role),
            link: self.link.clone(),
            server_start: self.server_start,
            ..RawEvent::bare(kind, &self.domain, source, now_us)
        }
    }
}
