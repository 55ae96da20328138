//! The day of each agent: when people log in, are ready, take the calls of the plan, work after
//! them, have a break and go home. What a user must show follows from it by the table of seed 000,
//! written down here once more, apart from the program that is judged by it.

use super::model::Model;
use super::plan::{ALERTED_AFTER, BUSY_TONE, COLLEAGUE_AFTER, Call, Draw, MS, Micros, NOT_READY};
use super::play::Played;
use crate::truth::{Heard, UserState};

const SECOND: Micros = 1_000 * MS;
/// The draws of an agent's day are apart from those of calls.
const DRAWS_FIRST: u64 = 1 << 40;
/// Longest after-call work.
const AFTER_CALL_MAX: Micros = 5 * SECOND;
/// Free time of which a part becomes a break, in real time.
const FREE_MIN: Micros = 4 * SECOND;
/// Free times out of a hundred with a break.
const BREAK_PERCENT: u64 = 60;
/// Outbound calls out of a hundred that are made while not ready.
const NOT_READY_PERCENT: u64 = 50;
/// Between the last call, the last break, and the way home, in real time.
const HOME: Micros = SECOND;

/// Reasons as desktops give them, and the presence each stands for.
const REASONS: [(&str, &str, &str); 6] = [
    ("ReasonCode", "Break", "Break"),
    ("Reason", "MEAL", "Meal"),
    ("Meeting", "17", "Meeting"),
    ("ReasonCode", "training", "Training"),
    ("ReasonCode", "Coffee", "Busy"),
    ("ReasonCode", "4", "Busy"),
];

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    LoggedOut,
    /// With the number of a reason, if one is given.
    NotReady(Option<usize>),
    Ready,
    Ringing,
    Dialing,
    Inbound,
    Outbound,
    Internal,
    OnHold,
    AfterCallWork,
}

impl Doing {
    /// The status of Stat Server (statserver.md section 2).
    pub(super) fn status(self) -> u32 {
        match self {
            Self::Ready => 4,
            Self::Dialing => 6,
            Self::Ringing => 7,
            Self::NotReady(_) => 8,
            Self::AfterCallWork => 9,
            Self::OnHold => 13,
            Self::Internal => 20,
            Self::Outbound => 21,
            Self::Inbound => 22,
            Self::LoggedOut => 23,
        }
    }

    /// The reason as the desktop gives it: key and value.
    pub(super) fn reason(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NotReady(Some(number)) => Some((REASONS[number].0, REASONS[number].1)),
            Self::NotReady(None)
            | Self::LoggedOut
            | Self::Ready
            | Self::Ringing
            | Self::Dialing
            | Self::Inbound
            | Self::Outbound
            | Self::Internal
            | Self::OnHold
            | Self::AfterCallWork => None,
        }
    }
}

/// The day of one agent: what he does, each from a moment on, after he was logged out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Day(pub(super) Vec<(Micros, Doing)>);

impl Day {
    /// What the agent's user must show, and since when; logged out since `first_ms`. `heard` says
    /// how a moment was told.
    pub(super) fn states(
        &self,
        first_ms: i64,
        to_ms: impl Fn(Micros) -> i64,
        heard: impl Fn(Micros) -> Heard,
    ) -> Vec<UserState> {
        let state = |at_ms, presence: &str, routing: &str, heard| UserState {
            at_ms,
            presence: presence.to_owned(),
            routing: routing.to_owned(),
            heard,
        };
        let mut states = vec![state(first_ms, "Offline", "OffQueue", Heard::Live)];
        let mut is_ready = false;
        for (at, doing) in &self.0 {
            let (presence, routing) =
                states.last().map(|s| (s.presence.clone(), s.routing.clone())).unwrap_or_default();
            let in_call = if is_ready { "OnQueue" } else { "Busy" };
            let (presence, routing) = match doing {
                Doing::LoggedOut => ("Offline".to_owned(), "OffQueue"),
                Doing::NotReady(why) => {
                    is_ready = false;
                    (why.map_or("Busy", |number| REASONS[number].2).to_owned(), "OffQueue")
                }
                Doing::Ready => {
                    is_ready = true;
                    ("OnQueue".to_owned(), "Idle")
                }
                Doing::Ringing | Doing::Dialing | Doing::OnHold => (presence, routing.as_str()),
                Doing::Inbound | Doing::Outbound => (in_call.to_owned(), "Interacting"),
                Doing::Internal => (in_call.to_owned(), "Communicating"),
                Doing::AfterCallWork => (presence, "Interacting"),
            };
            let next = state(to_ms(*at), &presence, routing, heard(*at));
            if states
                .last()
                .is_none_or(|s| (&s.presence, &s.routing) != (&next.presence, &next.routing))
            {
                states.push(next);
            }
        }
        states
    }
}

/// A time in which an agent is busy with a call.
struct Stretch {
    steps: Vec<(Micros, Doing)>,
    until: Micros,
    /// Whether there is after-call work.
    has_work: bool,
}

impl Stretch {
    fn from(&self) -> Micros {
        self.steps.first().map_or(self.until, |(at, _)| *at)
    }
}

/// The days of the agents of the plan, in their order. `speed` is how much faster than in life they
/// go.
pub(super) fn days(seed: u64, agents: usize, calls: &[Played], speed: f64) -> Vec<Day> {
    let mut busy: Vec<Vec<Stretch>> = (0..agents).map(|_| Vec::new()).collect();
    for call in calls {
        if let Played::Planned(call) = call {
            for (agent, stretch) in stretches(call) {
                busy[agent].push(stretch);
            }
        }
    }
    let real = |span: Micros| (span as f64 * speed) as Micros;
    let day = |(number, mut stretches): (u64, Vec<Stretch>)| {
        stretches.sort_by_key(Stretch::from);
        day(&stretches, &real, &mut Draw::new(seed, DRAWS_FIRST + number))
    };
    (0..).zip(busy).map(day).collect()
}

/// Who is busy with a call, and how.
fn stretches(call: &Call) -> Vec<(usize, Stretch)> {
    let rings = (call.selected + ALERTED_AFTER, Doing::Ringing);
    let of = |agent, steps, until, has_work| (agent, Stretch { steps, until, has_work });
    match call.model {
        Model::IvrOnly | Model::AbandonedInQueue => Vec::new(),
        Model::DivertOnRinging | Model::DivertOnAnswer | Model::IvrThenAgent => {
            let steps = vec![rings, (call.answered, Doing::Inbound)];
            vec![of(call.agent, steps, call.ended, true)]
        }
        Model::HoldRetrieve => {
            let steps = vec![
                rings,
                (call.answered, Doing::Inbound),
                (call.held, Doing::OnHold),
                (call.retrieved, Doing::Inbound),
            ];
            vec![of(call.agent, steps, call.ended, true)]
        }
        Model::AbandonedWhileRinging => vec![of(call.agent, vec![rings], call.ended, false)],
        Model::NoAnswerRecalled | Model::NoAnswerRerouted => {
            let first = vec![rings, (call.refused, Doing::NotReady(None))];
            let second = vec![(call.rerouted, Doing::Ringing), (call.answered, Doing::Inbound)];
            vec![
                of(call.agent, first, call.refused + NOT_READY, false),
                of(call.second_agent, second, call.ended, true),
            ]
        }
        Model::Outbound => {
            let steps = vec![(call.created, Doing::Dialing), (call.answered, Doing::Outbound)];
            vec![of(call.agent, steps, call.ended, true)]
        }
        Model::OutboundBusy => {
            let steps = vec![(call.created, Doing::Dialing)];
            vec![of(call.agent, steps, call.ended + BUSY_TONE, false)]
        }
        Model::Internal => {
            let talk = (call.answered, Doing::Internal);
            let first = vec![(call.created, Doing::Dialing), talk];
            let second = vec![(call.created + COLLEAGUE_AFTER, Doing::Ringing), talk];
            vec![
                of(call.agent, first, call.ended, false),
                of(call.second_agent, second, call.ended, false),
            ]
        }
    }
}

fn day(stretches: &[Stretch], real: &dyn Fn(Micros) -> Micros, draw: &mut Draw) -> Day {
    let mut day = Vec::new();
    let first = stretches.first().map_or_else(|| real(2 * SECOND), Stretch::from);
    day.push((first / 4, Doing::NotReady(None)));
    day.push((first / 2, Doing::Ready));
    let mut free_from = first / 2;
    for (index, stretch) in stretches.iter().enumerate() {
        dial_while_not_ready(stretch, free_from, real, draw, &mut day);
        let next = stretches.get(index + 1).map(Stretch::from);
        let gap = next.unwrap_or(Micros::MAX).saturating_sub(stretch.until);
        free_from = stretch.until;
        if stretch.has_work {
            day.push((stretch.until, Doing::AfterCallWork));
            free_from += (gap / 4).min(AFTER_CALL_MAX);
        }
        day.push((free_from, Doing::Ready));
        let free = next.unwrap_or(Micros::MAX).saturating_sub(free_from);
        let wants_break = draw.below(100) < BREAK_PERCENT;
        if next.is_some() && free >= real(FREE_MIN) && wants_break {
            have_break(free_from + free / 4, free / 2, draw, &mut day);
            free_from += free / 4 * 3;
        }
    }
    have_break(free_from + real(HOME), real(HOME), draw, &mut day);
    day.push((free_from + real(HOME) * 3, Doing::LoggedOut));
    Day(day)
}

/// The call of a stretch. Some who make one are not ready before, which hides that they dial.
fn dial_while_not_ready(
    stretch: &Stretch,
    free_from: Micros,
    real: &dyn Fn(Micros) -> Micros,
    draw: &mut Draw,
    day: &mut Vec<(Micros, Doing)>,
) {
    let free = stretch.from().saturating_sub(free_from);
    let may = stretch.steps.iter().any(|(_, doing)| *doing == Doing::Outbound);
    let wants = draw.below(100) < NOT_READY_PERCENT;
    if may && wants && free >= real(FREE_MIN / 2) {
        day.push((stretch.from() - free / 4, Doing::NotReady(None)));
        day.extend(stretch.steps.iter().filter(|(_, doing)| *doing != Doing::Dialing));
    } else {
        day.extend(&stretch.steps);
    }
}

fn have_break(from: Micros, length: Micros, draw: &mut Draw, day: &mut Vec<(Micros, Doing)>) {
    let why = draw.below(REASONS.len() as u64) as usize;
    day.push((from, Doing::NotReady(Some(why))));
    day.push((from + length, Doing::Ready));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (moment in seconds, what is done; from when on the user shows what else)
    #[test]
    fn a_day_shows_what_the_table_of_seed_000_says() {
        use Doing::{
            AfterCallWork, Dialing, Inbound, Internal, LoggedOut, NotReady, OnHold, Outbound,
            Ready, Ringing,
        };
        let day = Day(vec![
            (1, NotReady(None)),
            (2, Ready),
            (3, Ringing),
            (4, Inbound),
            (5, OnHold),
            (6, Inbound),
            (7, AfterCallWork),
            (8, Ready),
            (9, NotReady(Some(1))),
            (10, Outbound),
            (11, AfterCallWork),
            (12, Ready),
            (13, Dialing),
            (14, Internal),
            (15, LoggedOut),
        ]);
        let states = day.states(-5, |at| at as i64, |_| Heard::Live);
        let told: Vec<_> =
            states.iter().map(|s| (s.at_ms, s.presence.as_str(), s.routing.as_str())).collect();
        let expected = [
            (-5, "Offline", "OffQueue"),
            (1, "Busy", "OffQueue"),
            (2, "OnQueue", "Idle"),
            (4, "OnQueue", "Interacting"),
            (8, "OnQueue", "Idle"),
            (9, "Meal", "OffQueue"),
            (10, "Busy", "Interacting"),
            (12, "OnQueue", "Idle"),
            (14, "OnQueue", "Communicating"),
            (15, "Offline", "OffQueue"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn days_are_consistent_with_the_calls_that_are_played() {
        let call = |number, model, agent, from: Micros| Call {
            number,
            model,
            agent,
            second_agent: 1,
            created: from,
            selected: from,
            answered: from + 10 * SECOND,
            ended: from + 60 * SECOND,
            ..Call::default()
        };
        let calls = [
            call(0, Model::DivertOnRinging, 0, 100 * SECOND),
            call(1, Model::Internal, 0, 400 * SECOND),
            call(2, Model::OutboundBusy, 1, 500 * SECOND),
        ];
        let calls: Vec<Played> = calls.into_iter().map(Played::Planned).collect();
        for seed in 0..50 {
            let days = days(seed, 3, &calls, 1.0);
            for Day(day) in &days {
                assert!(day.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}: {day:?}");
                assert_eq!(day[0].1, Doing::NotReady(None), "seed {seed}");
                assert_eq!(day.last().map(|(_, doing)| *doing), Some(Doing::LoggedOut));
                assert!(day.iter().any(|(_, doing)| doing.reason().is_some()), "seed {seed}");
            }
            let has = |agent: usize, at: Micros, doing| days[agent].0.contains(&(at, doing));
            assert!(has(0, 100 * SECOND + ALERTED_AFTER, Doing::Ringing), "seed {seed}");
            assert!(has(0, 110 * SECOND, Doing::Inbound), "seed {seed}");
            assert!(has(0, 160 * SECOND, Doing::AfterCallWork), "seed {seed}");
            assert!(has(0, 410 * SECOND, Doing::Internal), "seed {seed}");
            assert!(has(1, 410 * SECOND, Doing::Internal), "seed {seed}");
            assert!(has(1, 500 * SECOND, Doing::Dialing), "seed {seed}");
            assert!(has(1, 560 * SECOND + BUSY_TONE, Doing::Ready), "seed {seed}");
        }
    }
}
