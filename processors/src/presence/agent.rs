//! The machine of one agent: what its sources say into what is to be shown, and since when.
//!
//! Each of the two statistics comes in its own order, with none between them. A change to *not
//! ready* therefore waits a little for its reason; a reason that comes later corrects what was
//! shown. A reason belongs to the time not ready that it was given in: one given before it began
//! (less the wait) or before the agent was last ready is an older one's.

use serde::{Deserialize, Serialize};
use trunkline_schemas::directory::DnAt;
use trunkline_schemas::raw::{AgentDeed, PhoneCall};
use trunkline_schemas::{RoutingStatus, SystemPresence};

use super::reason::Given;
use super::status::{Meaning, says_logged_in};
use super::table::{AgentState, Reason, find};

/// `Since` is told in whole seconds.
const RESOLUTION_MS: i64 = 1_000;
/// Most DNs an agent is remembered at.
const DNS_MAX: usize = 16;

/// Whether the agent takes calls: what a call hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// Nothing has told yet.
    #[default]
    Unknown,
    /// Logged out.
    LoggedOut,
    /// Not ready.
    NotReady,
    /// Ready.
    Ready,
}

/// What one agent is known to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    readiness: Readiness,
    /// Since when not ready.
    since_ms: i64,
    /// When last ready; 0 for never.
    ready_ms: i64,
    reason: Reason,
    /// When that reason was given; 0 for never.
    reason_ms: i64,
    /// The call the agent is in.
    call: Option<PhoneCall>,
    /// The call that a consult was made beside, or that is on hold.
    main: Option<PhoneCall>,
    after_call_work: bool,
    wait: Option<Wait>,
    dns: Vec<Dn>,
}

/// A change to *not ready* that waits for its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wait {
    due_ms: i64,
    cause: String,
}

/// A DN at which the agent is, or was, logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dn {
    /// Where.
    pub at: DnAt,
    /// Whether the agent is logged in there.
    pub is_in: bool,
    /// What Voice Microservices last told of it.
    voice: DnState,
    /// What the source called the agent when it logged in there.
    pub given: Option<String>,
}

/// State of a DN by its events, the least first: an agent's state is the greatest of its DNs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum DnState {
    #[default]
    LoggedIn,
    Ready,
    NotReady,
    AfterCallWork,
}

impl DnState {
    const fn meaning(self) -> Meaning {
        match self {
            Self::LoggedIn => Meaning::LoggedIn,
            Self::Ready => Meaning::Ready,
            Self::NotReady => Meaning::NotReady,
            Self::AfterCallWork => Meaning::AfterCallWork,
        }
    }
}

/// What a record says of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The first statistic, and what it told of DNs.
    Status(Meaning, Vec<(DnAt, Meaning)>),
    /// The second statistic.
    Reasons(Given),
    /// An event of a DN. `bool`: whether such events decide what is shown.
    Voice(DnAt, Deed, bool),
    /// The call the agent is in, as conversations know it.
    Call(Option<PhoneCall>),
    /// Stream time has passed.
    Time,
}

/// What an agent did at a DN (seed 004).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `EventAgentLogin`, with what it calls the agent.
    Login(Option<String>),
    /// `EventAgentLogout`
    Logout,
    /// `EventAgentReady`
    Ready,
    /// `EventAgentNotReady`
    NotReady(Given),
    /// `EventAgentNotReady` in the work mode of after-call work.
    AfterCallWork,
}

/// When and why the machine is asked.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// When it happened, milliseconds since 1970.
    pub at_ms: i64,
    /// Stream time.
    pub now_ms: i64,
    /// Longest wait for a reason, milliseconds of stream time; 0 for none.
    pub window_ms: i64,
    /// Place of the record.
    pub cause: &'a str,
}

/// What follows from an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// From then on the EX user shows this; no presence: as before.
    Show {
        /// Since when.
        at_ms: i64,
        /// Presence.
        presence: Option<SystemPresence>,
        /// Routing status.
        routing: RoutingStatus,
        /// The record that told it.
        cause: String,
    },
    /// Conversations are to know this.
    Fact(AgentDeed, DnAt, i64),
    /// A reason came for a time that is over.
    LateReason,
}

impl Agent {
    /// When the machine must be asked though nothing is heard.
    pub fn due_ms(&self) -> Option<i64> {
        self.wait.as_ref().map(|wait| wait.due_ms)
    }

    /// The DNs at which the agent is, or was, logged in.
    pub fn dns(&self) -> &[Dn] {
        &self.dns
    }

    /// Forgets a DN at which somebody else has logged in.
    pub fn leave_dn(&mut self, at: &DnAt) {
        self.dns.retain(|dn| dn.at != *at);
    }

    /// What the EX user is to show now; nothing while nothing is known.
    pub fn shown(&self) -> Option<(Option<SystemPresence>, RoutingStatus)> {
        let state = match (self.readiness, self.call, self.after_call_work) {
            (Readiness::LoggedOut, _, _) => return find(AgentState::LoggedOff, None),
            (_, None, true) => AgentState::AfterCallWork,
            (Readiness::Unknown, None, false) => return None,
            (Readiness::Unknown | Readiness::NotReady, _, _) => AgentState::NotReady(self.reason),
            (Readiness::Ready, _, _) => AgentState::Ready,
        };
        find(state, self.call)
    }

    /// Takes what a record says.
    pub fn take(&mut self, input: &Input, moment: &Moment<'_>, effects: &mut Vec<Effect>) {
        match (input, &self.wait) {
            (Input::Status(meaning, dns), _) => self.status(*meaning, dns, moment, effects),
            (Input::Reasons(given), _) => self.reasons(*given, moment, effects),
            (Input::Voice(at, deed, decides), _) => {
                self.voice(at, deed, moment, effects);
                if *decides {
                    self.decide_by_dns(deed, moment, effects);
                }
            }
            (Input::Call(call), _) => {
                self.stop_waiting(effects);
                (self.call, self.main) = (*call, *call);
                self.show(moment.at_ms, moment.cause, effects);
            }
            (Input::Time, Some(wait)) if wait.due_ms <= moment.now_ms => self.stop_waiting(effects),
            (Input::Time, _) => {}
        }
    }

    fn status(
        &mut self,
        meaning: Meaning,
        dns: &[(DnAt, Meaning)],
        moment: &Moment<'_>,
        effects: &mut Vec<Effect>,
    ) {
        for (at, told) in dns {
            if let Some(is_in) = says_logged_in(*told) {
                self.note_login(at, is_in, None, moment, effects);
            }
        }
        let goes_on = matches!(meaning, Meaning::Nothing | Meaning::NotReady | Meaning::LoggedIn);
        if !goes_on {
            self.stop_waiting(effects);
        }
        if meaning == Meaning::LoggedOut {
            let here: Vec<DnAt> = self.dns.iter().map(|dn| dn.at.clone()).collect();
            for at in here {
                self.note_login(&at, false, None, moment, effects);
            }
        }
        let was = self.readiness;
        self.become_ready_or_not(meaning, moment);
        self.take_phone(meaning, moment, effects);
        // A DN that is in no call tells what the call hides.
        let seen = |wanted| dns.iter().any(|(_, told)| *told == wanted);
        if self.call.is_some() && seen(Meaning::NotReady) {
            self.become_ready_or_not(Meaning::NotReady, moment);
        } else if self.call.is_some() && seen(Meaning::Ready) {
            self.become_ready_or_not(Meaning::Ready, moment);
        }
        let began = was != Readiness::NotReady && self.readiness == Readiness::NotReady;
        if began && self.call.is_none() && self.reason_ms == 0 && moment.window_ms > 0 {
            let due_ms = moment.now_ms.saturating_add(moment.window_ms);
            self.wait = Some(Wait { due_ms, cause: moment.cause.to_owned() });
        }
        self.show(moment.at_ms, moment.cause, effects);
    }

    /// Readiness after a status or event of this meaning.
    fn become_ready_or_not(&mut self, meaning: Meaning, moment: &Moment<'_>) {
        let next = match (self.readiness, meaning) {
            (_, Meaning::LoggedOut) => Readiness::LoggedOut,
            (_, Meaning::Ready) => Readiness::Ready,
            (_, Meaning::NotReady | Meaning::LoggedIn) => Readiness::NotReady,
            (
                Readiness::LoggedOut,
                Meaning::NoCall
                | Meaning::Call(_)
                | Meaning::Consult
                | Meaning::Hold
                | Meaning::AfterCallWork,
            ) => Readiness::Unknown,
            (now, Meaning::Nothing)
            | (
                now @ (Readiness::Unknown | Readiness::NotReady | Readiness::Ready),
                Meaning::NoCall
                | Meaning::Call(_)
                | Meaning::Consult
                | Meaning::Hold
                | Meaning::AfterCallWork,
            ) => now,
        };
        match (self.readiness, next) {
            (Readiness::Unknown | Readiness::LoggedOut | Readiness::Ready, Readiness::NotReady) => {
                self.since_ms = moment.at_ms;
                let is_old = self.reason_ms < self.oldest_reason_ms(moment.window_ms);
                if is_old || self.reason == Reason::Unmapped {
                    (self.reason, self.reason_ms) = (Reason::Unmapped, 0);
                }
            }
            (_, Readiness::Ready) if meaning == Meaning::Ready => self.ready_ms = moment.at_ms,
            (_, Readiness::LoggedOut) if meaning == Meaning::LoggedOut => {
                (self.reason, self.reason_ms) = (Reason::Unmapped, 0);
            }
            (Readiness::NotReady, Readiness::NotReady)
            | (_, Readiness::Unknown | Readiness::LoggedOut | Readiness::Ready) => {}
        }
        self.readiness = next;
    }

    /// When a reason of the present time not ready can have been given at the earliest.
    fn oldest_reason_ms(&self, window_ms: i64) -> i64 {
        self.since_ms.saturating_sub(window_ms.max(RESOLUTION_MS)).max(self.ready_ms)
    }

    fn take_phone(&mut self, meaning: Meaning, moment: &Moment<'_>, effects: &mut Vec<Effect>) {
        let (call, main, after_call_work) = match meaning {
            Meaning::Nothing => return,
            Meaning::LoggedIn
            | Meaning::Ready
            | Meaning::NotReady
            | Meaning::NoCall
            | Meaning::LoggedOut => (None, None, false),
            Meaning::AfterCallWork => (None, None, true),
            Meaning::Call(kind) => (Some(kind), Some(kind), self.after_call_work),
            Meaning::Consult => (Some(PhoneCall::Other), self.main, self.after_call_work),
            Meaning::Hold => {
                let held = self.main.or(self.call).unwrap_or(PhoneCall::Other);
                (Some(held), Some(held), self.after_call_work)
            }
        };
        if self.after_call_work && !after_call_work {
            let at = self.dns.iter().find(|dn| dn.is_in).map(|dn| dn.at.clone());
            let at = at.unwrap_or(DnAt { dn: String::new(), switch: String::new() });
            effects.push(Effect::Fact(AgentDeed::AfterCallWorkEnded, at, moment.at_ms));
        }
        (self.call, self.main, self.after_call_work) = (call, main, after_call_work);
    }

    fn reasons(&mut self, given: Given, moment: &Moment<'_>, effects: &mut Vec<Effect>) {
        let at_ms = moment.at_ms;
        let (reason, is_given) = match given {
            Given::Nothing => (Reason::Unmapped, false),
            Given::Reason(reason) => (reason, true),
        };
        match (self.readiness, &self.wait) {
            (Readiness::NotReady, waits) => {
                let oldest_ms = self.oldest_reason_ms(moment.window_ms).max(self.reason_ms);
                if at_ms < oldest_ms {
                    let is_new = is_given && reason != self.reason;
                    effects.extend(is_new.then_some(Effect::LateReason));
                } else if is_given && waits.is_some() {
                    (self.reason, self.reason_ms) = (reason, at_ms);
                    self.stop_waiting(effects);
                } else if waits.is_none() {
                    (self.reason, self.reason_ms) = (reason, at_ms);
                    self.show(at_ms.max(self.since_ms), moment.cause, effects);
                }
                // No reason yet is no reason to stop waiting for one.
            }
            (Readiness::Unknown | Readiness::LoggedOut | Readiness::Ready, _) if is_given => {
                (self.reason, self.reason_ms) = (reason, at_ms);
            }
            (Readiness::Unknown | Readiness::LoggedOut | Readiness::Ready, _) => {
                (self.reason, self.reason_ms) = (Reason::Unmapped, 0);
            }
        }
    }

    fn voice(&mut self, at: &DnAt, deed: &Deed, moment: &Moment<'_>, effects: &mut Vec<Effect>) {
        let was_in = self.dns.iter().any(|dn| dn.at == *at && dn.is_in);
        let state = match (deed, was_in) {
            (Deed::Login(_), true) => return, // it changes nothing (seed 004)
            (Deed::Login(given), false) => {
                self.note_login(at, true, given.as_deref(), moment, effects);
                DnState::LoggedIn
            }
            (Deed::Logout, _) => {
                self.note_login(at, false, None, moment, effects);
                return;
            }
            (Deed::Ready, _) => DnState::Ready,
            (Deed::NotReady(_), _) => DnState::NotReady,
            (Deed::AfterCallWork, _) => DnState::AfterCallWork,
        };
        self.note_login(at, true, None, moment, effects);
        if let Some(dn) = self.dns.iter_mut().find(|dn| dn.at == *at) {
            dn.voice = state;
        }
    }

    fn decide_by_dns(&mut self, deed: &Deed, moment: &Moment<'_>, effects: &mut Vec<Effect>) {
        let greatest = self.dns.iter().filter(|dn| dn.is_in).map(|dn| dn.voice).max();
        let meaning = greatest.map_or(Meaning::LoggedOut, DnState::meaning);
        // Events come with their reason: there is nothing to wait for.
        match deed {
            Deed::NotReady(Given::Reason(reason)) => {
                (self.reason, self.reason_ms) = (*reason, moment.at_ms);
            }
            Deed::NotReady(Given::Nothing) => {
                (self.reason, self.reason_ms) = (Reason::Unmapped, moment.at_ms);
            }
            Deed::Login(_) | Deed::Logout | Deed::Ready | Deed::AfterCallWork => {}
        }
        let (call, main) = (self.call, self.main);
        self.become_ready_or_not(meaning, moment);
        self.take_phone(meaning, moment, effects);
        (self.call, self.main) = (call, main); // of calls, conversations tell
        self.show(moment.at_ms, moment.cause, effects);
    }

    fn note_login(
        &mut self,
        at: &DnAt,
        is_in: bool,
        given: Option<&str>,
        moment: &Moment<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.dns.iter_mut().find(|dn| dn.at == *at);
        match (known, is_in) {
            (None, false) => return,
            (Some(dn), _) if dn.is_in == is_in => return,
            (Some(dn), _) => {
                dn.is_in = is_in;
                if is_in {
                    (dn.voice, dn.given) = (DnState::default(), given.map(str::to_owned));
                }
            }
            (None, true) => {
                if self.dns.len() >= DNS_MAX {
                    let oldest = self.dns.iter().position(|dn| !dn.is_in).unwrap_or(0);
                    self.dns.remove(oldest);
                }
                let given = given.map(str::to_owned);
                self.dns.push(Dn { at: at.clone(), is_in, voice: DnState::default(), given });
            }
        }
        let deed = if is_in { AgentDeed::Login } else { AgentDeed::Logout };
        effects.push(Effect::Fact(deed, at.clone(), moment.at_ms));
    }

    /// Shows what waits: with the reason that came, or without one.
    fn stop_waiting(&mut self, effects: &mut Vec<Effect>) {
        if let Some(wait) = self.wait.take() {
            self.show(self.since_ms, &wait.cause, effects);
        }
    }

    fn show(&self, at_ms: i64, cause: &str, effects: &mut Vec<Effect>) {
        if self.wait.is_some() {
            return;
        }
        if let Some((presence, routing)) = self.shown() {
            effects.push(Effect::Show { at_ms, presence, routing, cause: cause.to_owned() });
        }
    }
}
