//! What must be told, decided from the whole history at once: every question is answered by looking
//! back over (and, for waits, ahead in) the list of all that was told. No state is kept.

use crate::days::{Telling, Told};

/// One line of what must be told: time, and presence or routing status by name.
pub(crate) type Must = (i64, &'static str);

/// The history of one agent, and the times of all records of the partition.
pub(crate) struct History<'a> {
    /// What was told of the agent, in the order of the partition.
    pub(crate) told: &'a [Telling],
    /// When each record of the partition was appended, ticks included, in order.
    pub(crate) clock: &'a [i64],
    pub(crate) window_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    Unknown,
    Out,
    No,
    Yes,
}

const CALLS: [i64; 8] = [13, 16, 17, 18, 19, 20, 21, 22];

impl History<'_> {
    /// The code of a record that says something of the agent.
    fn code(&self, i: usize) -> Option<i64> {
        match self.told[i].told {
            Told::Status(0) | Told::Reason(_) => None,
            Told::Status(code) => Some(code),
        }
    }

    fn codes_back_from(&self, i: usize) -> impl Iterator<Item = (usize, i64)> + '_ {
        (0..=i).rev().filter_map(|j| Some((j, self.code(j)?)))
    }

    fn at(&self, i: usize) -> i64 {
        let Telling { made_ms, since_s, .. } = self.told[i];
        if made_ms.div_euclid(1_000) == since_s { made_ms } else { since_s * 1_000 }
    }

    fn ready(&self, i: usize) -> Ready {
        let told = self.codes_back_from(i).find(|(_, code)| [2, 4, 8, 23].contains(code));
        match told {
            None => Ready::Unknown,
            Some((_, 4)) => Ready::Yes,
            Some((_, 23)) if self.codes_back_from(i).next().is_some_and(|(_, code)| code != 23) => {
                Ready::Unknown
            }
            Some((_, 23)) => Ready::Out,
            Some(_) => Ready::No,
        }
    }

    /// Kind of the call at a record: internal or not; none outside calls.
    fn is_internal(&self, i: usize) -> Option<bool> {
        let (_, code) = self.codes_back_from(i).next()?;
        match code {
            13 => {
                let run = self.codes_back_from(i).map(|(_, code)| code);
                let mut run = run.take_while(|code| CALLS.contains(code));
                Some(run.find(|code| ![13, 19].contains(code)) == Some(20))
            }
            20 => Some(true),
            code => CALLS.contains(&code).then_some(false),
        }
    }

    /// The record with which the time not ready that holds at a record began.
    fn period(&self, i: usize) -> Option<usize> {
        let mut first = None;
        for j in (0..=i).rev() {
            if self.ready(j) != Ready::No {
                break;
            }
            first = Some(j);
        }
        first
    }

    /// A reason given before this is an older period's.
    fn bound(&self, begin: usize) -> i64 {
        let ready = self.codes_back_from(begin).find(|(_, code)| *code == 4);
        let ready_ms = ready.map_or(0, |(j, _)| self.at(j));
        (self.at(begin) - self.window_ms.max(1_000)).max(ready_ms)
    }

    /// The reason that was told last when the period began, if it is of that period.
    fn brought(&self, begin: usize) -> Option<(i64, Option<&'static str>)> {
        let back = || (0..begin).rev();
        let out = back().find(|j| self.told[*j].told == Told::Status(23));
        let last_said = |j: usize| match self.told[j].told {
            // Of a period before, what counted there counts here, if it is not too old.
            Told::Reason(_) if self.ready(j) == Ready::No => None,
            Told::Reason(reason) => Some((j, reason)),
            Told::Status(_) => None,
        };
        let said = back().take_while(|j| Some(*j) > out).find_map(last_said);
        let before = back().take_while(|j| Some(*j) > out).find(|j| self.ready(*j) == Ready::No);
        let (at, reason) = match (said, before) {
            (Some((j, _)), Some(before)) if before > j => self.held(before)?,
            (Some((j, Some(reason))), _) => (self.at(j), Some(reason)),
            (Some((_, None)), _) | (None, None) => return None,
            (None, Some(before)) => self.held(before)?,
        };
        let is_mapped = reason.is_some_and(|reason| reason != "Coaching");
        (is_mapped && at >= self.bound(begin)).then_some((at, reason))
    }

    /// The reason that holds at a record of a period, and when it was given.
    fn held(&self, i: usize) -> Option<(i64, Option<&'static str>)> {
        let begin = self.period(i)?;
        let mut held = self.brought(begin);
        for j in begin + 1..=i {
            let Told::Reason(reason) = self.told[j].told else { continue };
            let at = self.at(j);
            let counts = at >= self.bound(begin) && held.is_none_or(|(last, _)| at >= last);
            if counts && (reason.is_some() || self.wait_end(begin) <= j) {
                held = Some((at, reason));
            }
        }
        held
    }

    /// The record before or with which the wait for a reason ends; its beginning, if there is none.
    fn wait_end(&self, begin: usize) -> usize {
        if self.brought(begin).is_some() || self.window_ms == 0 {
            return begin;
        }
        let due_ms = self.told[begin].appended_ms + self.window_ms;
        let ends = |j: &usize| {
            let told = self.told[*j];
            told.appended_ms >= due_ms
                || match told.told {
                    Told::Status(code) => ![0, 2, 8].contains(&code),
                    Told::Reason(reason) => reason.is_some() && self.at(*j) >= self.bound(begin),
                }
        };
        (begin + 1..self.told.len()).find(ends).unwrap_or(self.told.len())
    }

    /// Presence and routing status at a record.
    fn shown(&self, i: usize, with_reason: bool) -> Option<(Option<&'static str>, &'static str)> {
        let not_ready = || {
            let reason =
                if with_reason { self.held(i).and_then(|(_, reason)| reason) } else { None };
            match reason.map(str::to_lowercase).as_deref() {
                Some("break") => "Break",
                Some("meal") => "Meal",
                Some("meeting") => "Meeting",
                Some("training") => "Training",
                Some(_) | None => "Busy",
            }
        };
        let in_work = self.codes_back_from(i).next().is_some_and(|(_, code)| code == 9);
        match (self.ready(i), self.is_internal(i)) {
            (Ready::Out, _) => Some((Some("Offline"), "OffQueue")),
            (_, None) if in_work => Some((None, "Interacting")),
            (Ready::Unknown, None) => None,
            (Ready::No, None) => Some((Some(not_ready()), "OffQueue")),
            (Ready::Yes, None) => Some((Some("OnQueue"), "Idle")),
            (Ready::Yes, Some(true)) => Some((Some("OnQueue"), "Communicating")),
            (Ready::Yes, Some(false)) => Some((Some("OnQueue"), "Interacting")),
            (Ready::Unknown | Ready::No, Some(true)) => Some((Some("Busy"), "Communicating")),
            (Ready::Unknown | Ready::No, Some(false)) => Some((Some("Busy"), "Interacting")),
        }
    }

    /// All that must be told.
    pub(crate) fn must(&self) -> Vec<Must> {
        let (mut must, mut last_ms) = (Vec::<Must>::new(), 0);
        let mut shows: [Option<&'static str>; 2] = [None, None];
        let mut show = |at_ms: i64, what: Option<(Option<&'static str>, &'static str)>| {
            let Some((presence, routing)) = what else { return };
            for (which, new) in [presence, Some(routing)].into_iter().enumerate() {
                if new.is_some() && new != shows[which] {
                    shows[which] = new;
                    last_ms = at_ms.max(last_ms + 1);
                    must.extend(new.map(|name| (last_ms, name)));
                }
            }
        };
        for i in 0..self.told.len() {
            let begin = self.period(i);
            if let Some(waited) = i.checked_sub(1).and_then(|before| self.period(before)) {
                // The wait of the period before this record ends here, in time or by the record.
                let end = self.wait_end(waited);
                let is_reason = matches!(self.told[i].told, Told::Reason(_));
                let due_ms = self.told[waited].appended_ms + self.window_ms;
                let in_time = self.clock_passes(due_ms, self.told[i].appended_ms);
                if end == i && waited < end {
                    let by_reason = is_reason && !in_time;
                    let at = if by_reason { i } else { i - 1 };
                    show(self.at(waited), self.shown(at, true));
                }
            }
            let is_waiting = begin.is_some_and(|begin| i < self.wait_end(begin));
            match self.told[i].told {
                _ if is_waiting => {}
                Told::Status(_) => show(self.at(i), self.shown(i, true)),
                Told::Reason(_) => {
                    if let Some(begin) = begin {
                        show(self.at(i).max(self.at(begin)), self.shown(i, true));
                    }
                }
            }
        }
        if let Some(last) = self.told.len().checked_sub(1)
            && let Some(begin) = self.period(last)
            && last < self.wait_end(begin)
        {
            let due_ms = self.told[begin].appended_ms + self.window_ms;
            if self.clock_passes(due_ms, i64::MAX) {
                show(self.at(begin), self.shown(last, true));
            }
        }
        must
    }

    /// Whether any record was appended at or after `due_ms` and not after `by_ms`.
    fn clock_passes(&self, due_ms: i64, by_ms: i64) -> bool {
        let first = self.clock.partition_point(|at| *at < due_ms);
        self.clock.get(first).is_some_and(|at| *at <= by_ms)
    }
}
