//! Waves: what goes out together, and what an answer means for each event of it.
//!
//! A request that is refused whole, or that stays unanswered while others are answered, is made
//! smaller again and again until the event stands alone that spoils it: each of its keys may
//! then ride only in requests of that size. What is accepted on the way is free again.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_schemas::record::TRACE_HEADER;

use super::Sink;
use super::finish::{CODE_REFUSED, CODE_RETRIES_EXHAUSTED, CODE_TOO_LARGE, CODE_UNANSWERED, End};
use super::lane::{Item, Lane};
use super::rules::{Knowledge, Rules, Telling};
use crate::genesys_cloud::retry::{backoff_ms, retry_after_ms};
use crate::genesys_cloud::{Answer, EventError};

/// Requests without an answer, one after the other, from which on one request at a time probes
/// whether Genesys Cloud is back.
pub const BREAKER_AFTER: u32 = 3;
/// The longest wait between two such probes, milliseconds.
pub const BREAKER_MAX_MS: i64 = 2_000;
/// Unanswered requests, while others were answered, after which the events of such a request ride
/// in smaller ones.
pub const STRIKES_BEFORE_SMALLER: u32 = 3;
/// The shortest wait after a refused log-in or permission, milliseconds; the longest is that of
/// every backoff.
pub const BLOCKED_MIN_MS: i64 = 10_000;

/// Names a wave.
pub type WaveId = u64;

/// Events that go out in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave<C> {
    /// Its name, for [`Sink::answered`].
    pub id: WaveId,
    /// The events, all for one path; of each key in order.
    pub commands: Vec<C>,
    /// The trace contexts of their records, of those that have one.
    pub traces: Vec<Vec<u8>>,
}

/// The waves in flight, and what concerns all of them.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Keys and how many of their events, by wave.
    waves: BTreeMap<WaveId, Vec<(String, usize)>>,
    last_id: WaveId,
    /// Answers that said something of events; the measure of "others were answered".
    answered: u64,
    /// Requests without an answer since the last one with.
    silent: u32,
    closed_until_ms: i64,
    blocked: Option<String>,
}

impl Flight {
    pub(super) fn waves(&self) -> usize {
        self.waves.len()
    }

    pub(super) fn blocked(&self) -> Option<&str> {
        self.blocked.as_deref()
    }
}

/// What an answer says of one event.
enum Said {
    Accepted,
    Refused { code: &'static str, why: String },
    Retryable { why: String },
}

impl<R: Rules> Sink<R> {
    /// Whether [`Sink::next_wave`] has something to give: then the leave of the
    /// allowance is worth taking.
    pub fn ready(&self, now_ms: i64) -> bool {
        self.has_seat() && now_ms >= self.flight.closed_until_ms && {
            self.listed().any(|lane| !lane.changed && lane.not_before_ms <= now_ms)
        }
    }

    /// The next request, oldest commands first, or `None` if there is nothing to send now: see
    /// [`Sink::wake_at`].
    pub fn next_wave(&mut self, now_ms: i64) -> Option<Wave<R::Command>> {
        if !self.has_seat() || now_ms < self.flight.closed_until_ms {
            return None;
        }
        let parts = self.choose(now_ms);
        if parts.is_empty() {
            return None;
        }
        self.flight.last_id += 1;
        self.counters.waves += 1;
        let (mut commands, mut traces) = (Vec::new(), Vec::new());
        for (key, take) in &parts {
            let Some(lane) = self.lanes.get_mut(key) else { continue };
            lane.in_flight = *take;
            for item in lane.waiting.iter_mut().take(*take) {
                self.counters.retries += u64::from(item.attempts > 0);
                item.attempts = item.attempts.saturating_add(1);
                commands.extend(item.told.iter().cloned());
                let stored = item.stored.as_ref();
                let trace = stored.and_then(|stored| stored.record.header(TRACE_HEADER));
                traces.extend(trace.map(<[u8]>::to_vec));
            }
            self.list(key);
        }
        let id = self.flight.last_id;
        self.flight.waves.insert(id, parts);
        Some(Wave { id, commands, traces })
    }

    /// Takes the answer to a wave. `jitter` is a uniform random number of 0 to 1. The answer to a
    /// wave that is not in flight is ignored.
    pub fn answered(&mut self, wave: WaveId, answer: Answer, now_ms: i64, jitter: f64) {
        let Some(parts) = self.flight.waves.remove(&wave) else { return };
        let events: usize = parts.iter().map(|(_, take)| take).sum();
        self.weigh(&answer, now_ms, jitter);
        match answer {
            Answer::Accepted { errors } => self.accepted(parts, errors, now_ms, jitter),
            Answer::BadRequest { code, message } | Answer::Conflict { code, message } => {
                let why = format!("{code}: {message}");
                self.spoilt(&parts, events, &mut |_| Said::Refused {
                    code: CODE_REFUSED,
                    why: why.clone(),
                });
            }
            Answer::TooLarge => self.spoilt(&parts, events, &mut |item| {
                // Too large is too large: no earlier attempt can have been applied.
                item.ambiguous = false;
                let why = "the request is over the size limit with this event alone".into();
                Said::Refused { code: CODE_TOO_LARGE, why }
            }),
            Answer::Ambiguous { why } => {
                for (key, take) in &parts {
                    self.unanswered(key, *take, events, &why, now_ms, jitter);
                }
            }
            Answer::RateLimited { .. }
            | Answer::Unauthorized
            | Answer::NotSent { .. }
            | Answer::Refused { .. } => {
                // Nothing was applied and no event is to blame: they only wait.
                for (key, _) in &parts {
                    self.land(key);
                }
            }
        }
    }

    /// When `take_step` and `next_wave` are worth asking again although nothing was offered or
    /// answered, milliseconds since 1970; in the past if they are now. `None`: not before something
    /// is offered or answered.
    pub fn wake_at(&self) -> Option<i64> {
        let owing = self.owing.iter().filter_map(|key| self.lanes.get(key));
        let decide = owing.map(|lane| lane.owes_due_ms.unwrap_or(0)).min();
        let closed = self.flight.closed_until_ms;
        let send = self.listed().filter(|lane| !lane.changed);
        let send = send.map(|lane| lane.not_before_ms.max(closed));
        let send = if self.has_seat() { send.min() } else { None };
        let commit = (!self.changed.is_empty()).then_some(0);
        [decide, send, commit].into_iter().flatten().min()
    }

    /// The keys whose head could be told.
    fn listed(&self) -> impl Iterator<Item = &Lane<R>> {
        let lanes = self.ready.iter().filter_map(|(_, key)| self.lanes.get(key));
        lanes.filter(|lane| lane.head().is_some_and(|command| self.can_tell(command)))
    }

    fn can_tell(&self, command: &R::Command) -> bool {
        self.rules.telling(command) == Telling::Now
    }

    fn has_seat(&self) -> bool {
        let is_silent = self.flight.silent >= BREAKER_AFTER;
        let seats = if is_silent { 1 } else { self.config.max_waves_in_flight };
        self.flight.waves.len() < seats
    }

    /// The keys of the next wave and how many events of each: the oldest that may go decides by
    /// which path.
    fn choose(&self, now_ms: i64) -> Vec<(String, usize)> {
        let mut parts = Vec::new();
        let mut count = 0;
        let mut size = self.config.max_events_per_request;
        let mut path = None;
        for (_, key) in &self.ready {
            let Some(lane) = self.lanes.get(key) else { continue };
            let fits = lane.ride_limit.unwrap_or(size).min(size);
            if lane.changed || lane.not_before_ms > now_ms || count >= fits {
                continue;
            }
            let Some(own) = lane.head().map(R::path) else { continue };
            let take = self.sendable(lane, path.unwrap_or(own)).min(fits - count);
            if take == 0 {
                continue;
            }
            path = Some(own);
            size = fits;
            count += take;
            parts.push((key.clone(), take));
            if count >= size {
                break;
            }
        }
        parts
    }

    /// How many events from the front may go together, and by this path.
    fn sendable(&self, lane: &Lane<R>, path: &str) -> usize {
        let is_careful = lane.memory.known.is_careful();
        let most = if is_careful { 1 } else { self.config.per_key.max(1) };
        let goes = |command: &R::Command| R::path(command) == path && self.can_tell(command);
        let waiting = lane.waiting.iter().take(most);
        waiting.take_while(|item| item.told.as_ref().is_ok_and(goes)).count()
    }

    /// What an answer means for the requests to come.
    fn weigh(&mut self, answer: &Answer, now_ms: i64, jitter: f64) {
        let close = |flight: &mut Flight, wait_ms: i64| {
            let until = now_ms.saturating_add(wait_ms);
            flight.closed_until_ms = flight.closed_until_ms.max(until);
        };
        let flight = &mut self.flight;
        match answer {
            Answer::Accepted { .. }
            | Answer::BadRequest { .. }
            | Answer::Conflict { .. }
            | Answer::TooLarge => {
                flight.answered += 1;
                flight.silent = 0;
                flight.blocked = None;
            }
            Answer::RateLimited { retry_after_s } => {
                flight.silent = 0;
                close(flight, retry_after_ms(*retry_after_s));
            }
            Answer::Unauthorized => {
                flight.silent = 0;
                flight.blocked = Some("401: the log-in was refused".into());
                close(flight, backoff_ms(u32::MAX, jitter).max(BLOCKED_MIN_MS));
            }
            Answer::Refused { status, code } => {
                flight.silent = 0;
                flight.blocked = Some(format!("{status}: {code}"));
                close(flight, backoff_ms(u32::MAX, jitter).max(BLOCKED_MIN_MS));
            }
            Answer::Ambiguous { .. } => {
                flight.silent = flight.silent.saturating_add(1);
                if flight.silent >= BREAKER_AFTER {
                    let over = flight.silent - BREAKER_AFTER;
                    close(flight, backoff_ms(over, jitter).min(BREAKER_MAX_MS));
                }
            }
            Answer::NotSent { .. } => {
                flight.silent = flight.silent.saturating_add(1);
                close(flight, backoff_ms(flight.silent, jitter).min(BREAKER_MAX_MS));
            }
        }
    }

    /// A 200: every event that is not named was accepted.
    fn accepted(
        &mut self,
        parts: Vec<(String, usize)>,
        errors: Vec<EventError>,
        now_ms: i64,
        jitter: f64,
    ) {
        let mut by_id: BTreeMap<String, EventError> = BTreeMap::new();
        for error in errors {
            let known = by_id.entry(error.event_id.clone()).or_insert_with(|| error.clone());
            // Named twice: the final word counts.
            known.retryable &= error.retryable;
        }
        let mut seen = BTreeSet::new();
        for (key, take) in parts {
            self.judge(&key, take, now_ms, jitter, &mut |item| {
                let id = item.told.as_ref().map_or("", R::event_id);
                let Some(error) = by_id.get(id) else { return Said::Accepted };
                seen.insert(error.event_id.clone());
                if error.retryable {
                    Said::Retryable { why: error.message.clone() }
                } else {
                    Said::Refused { code: CODE_REFUSED, why: error.message.clone() }
                }
            });
        }
        self.counters.unknown_errors += (by_id.len() - seen.len()) as u64;
    }

    /// A request refused whole: halved, and of a single event, final.
    fn spoilt(
        &mut self,
        parts: &[(String, usize)],
        events: usize,
        said: &mut dyn FnMut(&mut Item<R::Command>) -> Said,
    ) {
        if let ([(key, _)], 1) = (parts, events) {
            // What was said is final, so there is nothing to wait for: no time, no jitter.
            self.judge(key, 1, 0, 0.0, said);
            return;
        }
        for (key, _) in parts {
            if let Some(lane) = self.lanes.get_mut(key) {
                lane.ride_limit = Some((events / 2).max(1));
            }
            self.land(key);
        }
    }

    /// Ends the flight of a key's events, each by what was said of it.
    fn judge(
        &mut self,
        key: &str,
        take: usize,
        now_ms: i64,
        jitter: f64,
        said: &mut dyn FnMut(&mut Item<R::Command>) -> Said,
    ) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let flown: Vec<Item<R::Command>> =
            lane.waiting.drain(..take.min(lane.waiting.len())).collect();
        let mut ends = Vec::new();
        let mut kept = Vec::new();
        for mut item in flown {
            match said(&mut item) {
                Said::Accepted => ends.push((item, End::Applied)),
                Said::Refused { why, .. } if item.ambiguous => {
                    ends.push((item, End::Assumed { why }));
                }
                Said::Refused { code, why } => ends.push((item, End::Refused { code, why })),
                Said::Retryable { why } => {
                    item.retries += 1;
                    if item.retries < self.config.max_attempts {
                        kept.push(item);
                    } else {
                        ends.push((item, End::Refused { code: CODE_RETRIES_EXHAUSTED, why }));
                    }
                }
            }
        }
        lane.ride_limit = None;
        lane.strikes = 0;
        lane.strike_mark = None;
        if kept.is_empty() {
            lane.failures = 0;
        } else {
            lane.failures = lane.failures.saturating_add(1);
            lane.not_before_ms = now_ms.saturating_add(backoff_ms(lane.failures, jitter));
        }
        for item in kept.into_iter().rev() {
            lane.waiting.push_front(item);
        }
        for (item, end) in ends {
            self.finish(key, item, end);
        }
        self.land(key);
    }

    /// The events of a key may or may not have been applied: they are sent again, the same
    /// ids in the same order, after a wait of this key alone.
    fn unanswered(
        &mut self,
        key: &str,
        take: usize,
        events: usize,
        why: &str,
        now_ms: i64,
        jitter: f64,
    ) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        for item in lane.waiting.iter_mut().take(take) {
            item.ambiguous = true;
        }
        lane.failures = lane.failures.saturating_add(1);
        lane.not_before_ms = now_ms.saturating_add(backoff_ms(lane.failures, jitter));
        // While nobody is answered the fault is not in the events.
        let others = lane.strike_mark.replace(self.flight.answered);
        lane.strikes += u32::from(others.is_some_and(|mark| mark < self.flight.answered));
        if lane.strikes >= STRIKES_BEFORE_SMALLER {
            lane.ride_limit = Some((events / 4).max(1));
        }
        if lane.strikes >= self.config.max_attempts && events == 1 {
            lane.strikes = 0;
            lane.ride_limit = None;
            if let Some(item) = lane.waiting.pop_front() {
                let end = End::Refused { code: CODE_UNANSWERED, why: why.to_owned() };
                self.finish(key, item, end);
            }
        }
        self.land(key);
    }

    fn land(&mut self, key: &str) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.in_flight = 0;
        }
        self.settle(key);
    }
}
