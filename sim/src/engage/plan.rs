//! The plan of a run: every call with all its moments, worked out before the first one is played.
//! A discrete-event simulation on a virtual time line in microseconds: an agent takes one call at
//! a time, and a call that finds no free agent waits for one. Nothing here depends on a clock, so
//! the same seed gives the same plan.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::model::{Model, SHARES};

/// A moment or a span on the virtual time line, in microseconds.
pub(super) type Micros = u64;

/// One millisecond.
pub(super) const MS: Micros = 1_000;
const SECOND: Micros = 1_000 * MS;

/// From the creation of a call to its treatment.
pub(super) const TREATED_AFTER: Micros = 101 * MS;
/// From the moment the strategy has the call to the queueing on the VQ.
pub(super) const QUEUED_AFTER: Micros = 200 * MS;
/// From the selection of an agent to his phone ringing.
pub(super) const ALERTED_AFTER: Micros = 10 * MS;
/// From dialling to the far end ringing.
pub(super) const FAR_END_AFTER: Micros = 40 * MS;
/// From dialling to a colleague's phone ringing.
pub(super) const COLLEAGUE_AFTER: Micros = 5 * MS;
/// From a busy tone to the agent hanging up.
pub(super) const BUSY_TONE: Micros = 2 * SECOND;

/// How long people take: least and most.
const IVR: (Micros, Micros) = (5 * SECOND, 40 * SECOND);
const WAIT: (Micros, Micros) = (2 * SECOND, 40 * SECOND);
const RING: (Micros, Micros) = (2 * SECOND, 8 * SECOND);
const NO_ANSWER: (Micros, Micros) = (10 * SECOND, 12 * SECOND);
const REROUTE: (Micros, Micros) = (SECOND, 4 * SECOND);
const TALK: (Micros, Micros) = (20 * SECOND, 180 * SECOND);
const REST: (Micros, Micros) = (SECOND, 10 * SECOND);
/// How long an agent who did not answer stays not ready.
pub(super) const NOT_READY: Micros = 10 * SECOND;
/// Calls out of a hundred in which the side that usually stays on the line hangs up first.
const OTHER_SIDE_PERCENT: u64 = 30;

/// One call with its moments on the virtual time line (0 where its model has no such moment).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// Its number, from 0.
    pub(super) number: u32,
    pub(super) model: Model,
    /// The customer's number.
    pub(super) customer: String,
    /// Index of the queue it arrives for.
    pub(super) queue: usize,
    /// Index of the agent it is offered to first, or who makes it.
    pub(super) agent: usize,
    /// Index of the agent who takes it after the first did not answer, or who is called.
    pub(super) second_agent: usize,
    /// Whether the agent hangs up first.
    pub(super) agent_hangs_up: bool,
    pub(super) created: Micros,
    pub(super) treatment_end: Micros,
    pub(super) queued: Micros,
    pub(super) selected: Micros,
    /// The first agent's phone stops ringing unanswered.
    pub(super) refused: Micros,
    /// The second agent's phone rings.
    pub(super) rerouted: Micros,
    pub(super) answered: Micros,
    pub(super) held: Micros,
    pub(super) retrieved: Micros,
    /// The first party leaves for good.
    pub(super) ended: Micros,
}

/// What a plan is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) calls: u32,
    /// Calls in a second of the virtual time line.
    pub(super) rate: f64,
    pub(super) agents: usize,
    pub(super) queues: usize,
    /// All calls of this model instead of the mixture.
    pub(super) only: Option<Model>,
}

/// The plan: all calls in order of their number.
pub(super) fn plan(settings: &Settings) -> Vec<Call> {
    let mut floor = Floor::new(settings.agents);
    let mut arrivals = Draw::new(settings.seed, u64::MAX);
    let mut now = 0;
    for number in 0..settings.calls {
        now += (-(1.0 - arrivals.unit()).ln() / settings.rate * SECOND as f64) as Micros;
        floor.arrive(Draft::new(settings, number), now);
    }
    floor.run();
    floor.drafts.into_iter().map(|draft| draft.call).collect()
}

/// A call in the making: what people will do in it, and the moments known so far.
#[derive(Debug)]
struct Draft {
    call: Call,
    ivr: Micros,
    wait: Micros,
    ring: Micros,
    no_answer: Micros,
    reroute: Micros,
    talk: Micros,
    rest: Micros,
}

impl Draft {
    fn new(settings: &Settings, number: u32) -> Self {
        let mut draw = Draw::new(settings.seed, u64::from(number));
        // Always drawn, so that a call of one model has the same times as in the mixture.
        let mixed = Model::of_share(draw.below(SHARES.iter().map(|(_, share)| share).sum()));
        let model = settings.only.unwrap_or(mixed);
        let other_side = draw.below(100) < OTHER_SIDE_PERCENT;
        let call = Call {
            number,
            model,
            customer: format!("+1555{:07}", draw.below(10_000_000)),
            queue: draw.below(settings.queues as u64) as usize,
            agent_hangs_up: model.agent_usually_hangs_up() != (other_side && model.is_answered()),
            ..Call::default()
        };
        Self {
            call,
            ivr: draw.between(IVR),
            wait: draw.between(WAIT),
            ring: draw.between(RING),
            no_answer: draw.between(NO_ANSWER),
            reroute: draw.between(REROUTE),
            talk: draw.between(TALK),
            rest: draw.between(REST),
        }
    }
}

/// What happens next on the time line. At the same moment the agents come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// An agent is ready again.
    Ready(usize),
    /// A call asks for an agent.
    Ask(usize),
}

/// The agents' floor.
struct Floor {
    drafts: Vec<Draft>,
    agenda: BinaryHeap<Reverse<(Micros, Next)>>,
    /// Ready agents, the longest idle first.
    idle: VecDeque<usize>,
    /// Calls that want an agent, the first to be served in front.
    waiting: VecDeque<usize>,
}

impl Floor {
    fn new(agents: usize) -> Self {
        Self {
            drafts: Vec::new(),
            agenda: BinaryHeap::new(),
            idle: (0..agents).collect(),
            waiting: VecDeque::new(),
        }
    }

    fn arrive(&mut self, mut draft: Draft, now: Micros) {
        let call = &mut draft.call;
        call.created = now;
        if call.model.has_treatment() {
            call.treatment_end = now + TREATED_AFTER + draft.ivr;
        }
        let at = if call.model.is_queued() {
            call.queued = now.max(call.treatment_end) + QUEUED_AFTER;
            call.queued + draft.wait
        } else {
            now
        };
        match call.model {
            Model::IvrOnly => call.ended = call.treatment_end,
            Model::AbandonedInQueue => call.ended = at,
            Model::DivertOnRinging
            | Model::DivertOnAnswer
            | Model::IvrThenAgent
            | Model::AbandonedWhileRinging
            | Model::NoAnswerRecalled
            | Model::NoAnswerRerouted
            | Model::Outbound
            | Model::OutboundBusy
            | Model::HoldRetrieve
            | Model::Internal => {
                self.agenda.push(Reverse((at, Next::Ask(self.drafts.len()))));
            }
        }
        self.drafts.push(draft);
    }

    fn run(&mut self) {
        while let Some(Reverse((now, next))) = self.agenda.pop() {
            match next {
                Next::Ready(agent) => self.idle.push_back(agent),
                // Who was offered to an agent already has waited longest.
                Next::Ask(index) if self.drafts[index].call.refused > 0 => {
                    self.waiting.push_front(index);
                }
                Next::Ask(index) => self.waiting.push_back(index),
            }
            while let Some(&index) = self.waiting.front() {
                if !self.serve(index, now) {
                    break;
                }
                self.waiting.pop_front();
            }
        }
    }

    /// Gives the call the agents it needs; false if they are not there.
    fn serve(&mut self, index: usize, now: Micros) -> bool {
        let call = &self.drafts[index].call;
        if call.refused > 0 {
            let Some(place) = self.idle.iter().position(|agent| *agent != call.agent) else {
                return false;
            };
            let agent = self.idle.remove(place).expect("the place was just found");
            self.offer_again(index, agent, now);
            return true;
        }
        let internal = call.model == Model::Internal;
        if self.idle.len() < if internal { 2 } else { 1 } {
            return false;
        }
        let first = self.idle.pop_front().expect("counted above");
        let second = if internal { self.idle.pop_front() } else { None };
        self.start(index, first, second, now);
        true
    }

    /// The call gets its first agent (an internal call its two), or an agent starts it.
    fn start(&mut self, index: usize, agent: usize, second: Option<usize>, now: Micros) {
        let draft = &mut self.drafts[index];
        let call = &mut draft.call;
        call.agent = agent;
        match call.model {
            Model::IvrOnly | Model::AbandonedInQueue => unreachable!("they ask for no agent"),
            Model::DivertOnRinging | Model::DivertOnAnswer | Model::IvrThenAgent => {
                call.selected = now;
                call.answered = now + ALERTED_AFTER + draft.ring;
                call.ended = call.answered + draft.talk;
            }
            Model::HoldRetrieve => {
                call.selected = now;
                call.answered = now + ALERTED_AFTER + draft.ring;
                call.held = call.answered + draft.talk / 4;
                call.retrieved = call.answered + draft.talk / 2;
                call.ended = call.answered + draft.talk;
            }
            Model::AbandonedWhileRinging => {
                call.selected = now;
                call.ended = now + ALERTED_AFTER + draft.ring;
            }
            Model::NoAnswerRecalled | Model::NoAnswerRerouted => {
                call.selected = now;
                call.refused = now + ALERTED_AFTER + draft.no_answer;
                let again = call.refused + draft.reroute;
                self.agenda.push(Reverse((call.refused + NOT_READY, Next::Ready(agent))));
                self.agenda.push(Reverse((again, Next::Ask(index))));
                return;
            }
            Model::Outbound => {
                call.created = now;
                call.answered = now + FAR_END_AFTER + draft.ring;
                call.ended = call.answered + draft.talk;
            }
            Model::OutboundBusy => {
                call.created = now;
                call.ended = now + FAR_END_AFTER + draft.ring;
            }
            Model::Internal => {
                call.created = now;
                call.second_agent = second.expect("an internal call has two agents");
                call.answered = now + COLLEAGUE_AFTER + draft.ring;
                call.ended = call.answered + draft.talk;
            }
        }
        let busy_tone = if call.model == Model::OutboundBusy { BUSY_TONE } else { 0 };
        let ready = call.ended + busy_tone + draft.rest;
        for agent in [Some(agent), second].into_iter().flatten() {
            self.agenda.push(Reverse((ready, Next::Ready(agent))));
        }
    }

    /// The call that was not answered gets another agent, who answers.
    fn offer_again(&mut self, index: usize, agent: usize, now: Micros) {
        let draft = &mut self.drafts[index];
        let call = &mut draft.call;
        call.second_agent = agent;
        call.rerouted = now;
        call.answered = now + draft.ring;
        call.ended = call.answered + draft.talk;
        self.agenda.push(Reverse((call.ended + draft.rest, Next::Ready(agent))));
    }
}

/// Seeded draws (`SplitMix64`). Not a generator of the `rand` crate, whose streams may change with
/// its releases: a seed must name the same calls for good.
#[derive(Debug)]
pub(super) struct Draw(u64);

impl Draw {
    /// The stream of draws of this number under the seed.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut mixed = Self(seed);
        let mut own = Self(mixed.next() ^ number);
        Self(own.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number under `limit` (the bias of a remainder is far below what a site shows).
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn between(&mut self, (least, most): (Micros, Micros)) -> Micros {
        least + self.below(most - least)
    }

    /// A fraction from 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(seed: u64) -> Settings {
        Settings { seed, calls: 2_000, rate: 2.0, agents: 60, queues: 3, only: None }
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        assert_eq!(plan(&settings(7)), plan(&settings(7)));
        assert_ne!(plan(&settings(7)), plan(&settings(8)));
    }

    /// (agent, from, until) of every call: from its first ring to the end of its talk.
    fn occupations(calls: &[Call]) -> Vec<(usize, Micros, Micros)> {
        let mut all = Vec::new();
        for call in calls {
            match call.model {
                Model::IvrOnly | Model::AbandonedInQueue => {}
                Model::NoAnswerRecalled | Model::NoAnswerRerouted => {
                    assert_ne!(call.agent, call.second_agent, "{call:?}");
                    all.push((call.agent, call.selected, call.refused));
                    all.push((call.second_agent, call.rerouted, call.ended));
                }
                Model::Internal => {
                    all.push((call.agent, call.created, call.ended));
                    all.push((call.second_agent, call.created, call.ended));
                }
                Model::Outbound => all.push((call.agent, call.created, call.ended)),
                Model::OutboundBusy => {
                    all.push((call.agent, call.created, call.ended + BUSY_TONE));
                }
                Model::DivertOnRinging
                | Model::DivertOnAnswer
                | Model::IvrThenAgent
                | Model::AbandonedWhileRinging
                | Model::HoldRetrieve => all.push((call.agent, call.selected, call.ended)),
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn an_agent_has_one_call_at_a_time() {
        // Two calls a second keep 60 agents busy all the time; two agents are the least there are.
        for (calls, agents) in [(2_000, 60), (200, 2)] {
            let calls = plan(&Settings { calls, agents, ..settings(7) });
            assert!(calls.iter().all(|call| call.ended > call.created));
            for pair in occupations(&calls).windows(2) {
                let ((one, _, until), (other, from, _)) = (pair[0], pair[1]);
                assert!(one != other || until < from, "{pair:?}");
            }
        }
    }

    #[test]
    fn a_call_that_finds_no_agent_waits() {
        let longest = |agents| {
            let calls = plan(&Settings { agents, ..settings(7) });
            calls.iter().map(|call| call.selected.saturating_sub(call.queued)).max()
        };
        assert!(longest(1_000) < Some(WAIT.1));
        assert!(longest(60) > Some(WAIT.1));
    }

    #[test]
    fn the_models_come_in_their_shares() {
        let calls = plan(&Settings { calls: 20_000, ..settings(7) });
        for (model, share) in SHARES {
            let found = calls.iter().filter(|call| call.model == model).count();
            let wanted = share as usize * calls.len() / 100;
            let off = found.abs_diff(wanted);
            assert!(off * 8 < wanted + 400, "{model:?}: {found} instead of {wanted}");
        }
    }

    #[test]
    fn calls_arrive_at_the_rate() {
        let calls = plan(&Settings { only: Some(Model::IvrOnly), ..settings(7) });
        let last = calls.last().expect("2000 calls").created;
        assert!((900 * SECOND..1_100 * SECOND).contains(&last), "{last}");
    }
}
