//! Calls as people live them: what happens when, composed from the steps of the call models.

use crate::random::Random;

/// Who may be at a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// An agent in scope.
    One,
    /// Another.
    Two,
    /// Somebody the directory does not know.
    Stranger,
}

/// A virtual queue that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vq {
    Sales,
    Support,
    Overflow,
}

impl Vq {
    const ALL: [Self; 3] = [Self::Sales, Self::Support, Self::Overflow];

    pub(crate) fn dn(self) -> &'static str {
        match self {
            Self::Sales => "VQ_Sales",
            Self::Support => "VQ_Support",
            Self::Overflow => "VQ_Overflow",
        }
    }
}

/// One step of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A customer calls in (models 01 to 05).
    CallIn,
    /// An agent calls a customer (06).
    CallOut(Who),
    /// An agent calls another (13).
    CallInside(Who, Who),
    /// The customer called answers.
    CustomerAnswers,
    /// The customer called is busy (06b).
    CustomerBusy,
    /// The Routing Point treats the caller (02).
    Treat,
    /// The strategy queues the call (01), once more (05a), or somewhere else (04, 16).
    Queue(Vq),
    /// An agent's phone rings; whether the Routing Point lets go at once (01a) or at the answer
    /// (01b).
    Ring(Who, bool),
    /// Nobody answers (05).
    NoAnswer,
    Answer,
    Hold,
    Retrieve,
    /// The agent consults somebody (07).
    Consult(Who),
    /// The agent consults whomever a queue finds (17).
    ConsultQueue(Vq),
    /// It finds somebody, whose phone rings (17a).
    ConsultRing(Who),
    ConsultAnswer,
    /// The consulted agent hangs up, the first takes the caller back (07b).
    ConsultDrop,
    /// The agent completes the transfer, before the answer (08a, 17b) or after it (07, 17a).
    Complete,
    /// The agent passes the call on in one step (08b).
    Pass(Who),
    /// The agent passes the call to a queue's Routing Point (16).
    PassToQueue,
    /// The agent brings a third party in, who answers (09).
    Conference(Who),
    /// The customer, or else the agent, hangs up.
    HangUp {
        customer: bool,
    },
}

impl Step {
    /// The queue it gives a call to.
    pub(crate) fn queue(self) -> Option<Vq> {
        match self {
            Self::Queue(vq) | Self::ConsultQueue(vq) => Some(vq),
            _ => None,
        }
    }
}

/// A call: its steps with their times in milliseconds since its creation.
pub(crate) type Story = Vec<(i64, Step)>;

/// The story of a seed.
pub(crate) fn story(random: &mut Random) -> Story {
    let mut teller = Teller { random, at_ms: 0, steps: Vec::new() };
    match teller.random.below(100) {
        0..5 => {
            teller.step(0, Step::CallInside(Who::One, Who::Two));
            teller.later(2_000, 8_000, Step::Answer);
            teller.later(5_000, 60_000, Step::HangUp { customer: false });
        }
        5..15 => {
            teller.step(0, Step::CallOut(Who::One));
            if teller.chance(25) {
                teller.later(2_000, 9_000, Step::CustomerBusy);
            } else {
                teller.later(2_000, 9_000, Step::CustomerAnswers);
                teller.talk(Who::One);
            }
        }
        _ => teller.inbound(),
    }
    teller.steps
}

struct Teller<'a> {
    random: &'a mut Random,
    at_ms: i64,
    steps: Story,
}

impl Teller<'_> {
    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn step(&mut self, after_ms: i64, step: Step) {
        self.at_ms += after_ms;
        self.steps.push((self.at_ms, step));
    }

    /// After a time between these; life is slower than that, and no other.
    fn later(&mut self, least_ms: i64, most_ms: i64, step: Step) {
        let (least_ms, most_ms) = (least_ms.min(400), most_ms / 8);
        let span = (most_ms - least_ms) as u64;
        let after_ms = least_ms + self.random.below(span) as i64;
        self.step(after_ms, step);
    }

    fn hang_up(&mut self) {
        let customer = self.chance(60);
        self.later(3_000, 60_000, Step::HangUp { customer });
    }

    fn inbound(&mut self) {
        self.step(0, Step::CallIn);
        if self.chance(40) {
            self.step(101, Step::Treat);
            if self.chance(15) {
                return self.later(2_000, 30_000, Step::HangUp { customer: true });
            }
            self.later(2_000, 30_000, Step::Queue(Vq::Sales));
        } else {
            let vq = Vq::ALL[self.random.below(3) as usize];
            self.step(200, Step::Queue(vq));
        }
        self.wait();
    }

    /// The queue the call was given to last.
    fn queue(&self) -> Vq {
        let queued = self.steps.iter().rev().find_map(|(_, step)| step.queue());
        queued.expect("it was queued")
    }

    /// In a queue.
    fn wait(&mut self) {
        for _ in 0..3 {
            match self.random.below(100) {
                0..10 => return self.later(2_000, 40_000, Step::HangUp { customer: true }),
                10..25 => {
                    let vq = Vq::ALL[self.random.below(3) as usize];
                    if self.queue() != vq {
                        self.later(3_000, 30_000, Step::Queue(vq));
                    }
                }
                _ => break,
            }
        }
        let lets_go = self.chance(60);
        if self.chance(5) {
            self.later(3_000, 30_000, Step::Ring(Who::Stranger, lets_go));
            self.later(2_000, 8_000, Step::Answer);
            return self.hang_up();
        }
        let mut who = if self.chance(50) { Who::One } else { Who::Two };
        self.later(3_000, 30_000, Step::Ring(who, lets_go));
        if self.chance(12) {
            return self.later(2_000, 8_000, Step::HangUp { customer: true });
        }
        if self.chance(15) {
            self.later(8_000, 12_000, Step::NoAnswer);
            who = if who == Who::One { Who::Two } else { Who::One };
            if lets_go {
                let queue = self.queue();
                self.step(200, Step::Queue(queue));
            }
            self.later(1_000, 5_000, Step::Ring(who, lets_go));
        }
        self.later(2_000, 8_000, Step::Answer);
        self.talk(who);
    }

    /// The customer talks to an agent.
    fn talk(&mut self, mut who: Who) {
        let inbound = self.steps[0].1 == Step::CallIn;
        // Most calls are short; the few that are not make up for it.
        let rounds = match self.random.below(20) {
            0..8 => 0,
            8..15 => 1,
            15..18 => 2,
            _ => 3,
        };
        for _ in 0..rounds {
            let other = if who == Who::One { Who::Two } else { Who::One };
            match self.random.below(if inbound { 7 } else { 1 }) {
                0 => {
                    self.later(2_000, 30_000, Step::Hold);
                    self.later(2_000, 30_000, Step::Retrieve);
                }
                1 => {
                    self.later(2_000, 30_000, Step::Consult(other));
                    who = self.consulted(who, other);
                }
                2 => {
                    self.later(2_000, 30_000, Step::Consult(other));
                    self.later(100, 3_000, Step::Complete);
                    self.later(2_000, 8_000, Step::Answer);
                    who = other;
                }
                3 => {
                    self.later(2_000, 30_000, Step::Pass(other));
                    self.later(2_000, 8_000, Step::Answer);
                    who = other;
                }
                4 => {
                    self.later(2_000, 30_000, Step::PassToQueue);
                    self.step(200, Step::Queue(Vq::Support));
                    return self.wait();
                }
                5 => {
                    self.later(2_000, 30_000, Step::ConsultQueue(Vq::Support));
                    if self.chance(50) {
                        self.later(3_000, 20_000, Step::Complete);
                        return self.wait();
                    }
                    self.later(3_000, 20_000, Step::ConsultRing(other));
                    who = self.consulted(who, other);
                }
                _ => {
                    self.later(2_000, 30_000, Step::Conference(other));
                    return self.hang_up();
                }
            }
        }
        self.hang_up();
    }

    /// Whom the agent consults answers: who of the two has the caller in the end.
    fn consulted(&mut self, who: Who, other: Who) -> Who {
        self.later(2_000, 8_000, Step::ConsultAnswer);
        if self.chance(50) {
            self.later(2_000, 20_000, Step::ConsultDrop);
            who
        } else {
            self.later(2_000, 20_000, Step::Complete);
            other
        }
    }
}
