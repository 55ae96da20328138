//! Enumerations of the T-Library as tables (engage/tlib.md section 3).

use serde::{Deserialize, Serialize};

/// The generic part of a `PartyState` (mask 0xF).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Talk {
    /// 0, or nothing known.
    Null,
    /// 1: it dials.
    Initiated,
    /// 9: it waits in a queue or on a Routing Point.
    Queued,
    /// 0xA: it rings.
    Alerting,
    /// 0xB.
    Busy,
    /// 0xC: it is connected, the only answer.
    Connected,
    /// 0xD: call progress detection.
    Detecting,
    /// 0xE.
    Held,
    /// 0xF.
    Failed,
}

const TALK: [(i64, Talk); 9] = [
    (0x0, Talk::Null),
    (0x1, Talk::Initiated),
    (0x9, Talk::Queued),
    (0xA, Talk::Alerting),
    (0xB, Talk::Busy),
    (0xC, Talk::Connected),
    (0xD, Talk::Detecting),
    (0xE, Talk::Held),
    (0xF, Talk::Failed),
];

/// Treatment bits of a `PartyState`: TreatmentReq 0x100 is only asked for, Treatment 0x200 plays.
const TREATMENT: i64 = 0x200;
/// Routing bit of a `PartyState`.
const ROUTING: i64 = 0x800;
/// Observation (0xA0 of the supplementary mask 0xF0): a supervisor listens.
const OBSERVING: i64 = 0xA0;

/// A `PartyState`, compared with masks and never for equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyState {
    /// What it does.
    pub talk: Talk,
    /// A treatment plays.
    pub treatment: bool,
    /// It is on a Routing Point.
    pub routing: bool,
    /// It observes.
    pub observing: bool,
}

impl PartyState {
    /// The state of these bits. An unknown generic value is `Null`: nothing is concluded from it.
    pub fn from_bits(bits: i64) -> Self {
        let generic = bits & 0xF;
        let talk = TALK.iter().find(|(n, _)| *n == generic).map_or(Talk::Null, |(_, t)| *t);
        Self {
            talk,
            treatment: bits & TREATMENT != 0,
            routing: bits & ROUTING != 0,
            observing: bits & 0xF0 == OBSERVING,
        }
    }
}

/// `CallType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallType {
    /// 0, or a number nobody knows.
    #[default]
    Unknown,
    /// 1.
    Internal,
    /// 2.
    Inbound,
    /// 3.
    Outbound,
    /// 4.
    Consult,
}

impl CallType {
    /// By number or name (seed 004 writes numbers; names are accepted).
    pub fn find(number: i64, name: &str) -> Self {
        match (number, name) {
            (1, _) | (_, "Internal") => Self::Internal,
            (2, _) | (_, "Inbound") => Self::Inbound,
            (3, _) | (_, "Outbound") => Self::Outbound,
            (4, _) | (_, "Consult") => Self::Consult,
            (_, _) => Self::Unknown,
        }
    }
}

/// What a `Cause` says of a party that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leaving {
    /// It hung up, or was hung up on: no cause, or one that says nothing.
    HungUp,
    /// It was routed on: Route, ACD, Coverage, Forward, ConverseOn.
    Routed,
    /// It did not take the call: Busy, NoAnswer, Reject and what a dialler detects.
    NotTaken,
    /// The call was sent on to somewhere else: Redirect.
    Redirected,
    /// It transferred the call.
    Transferred,
    /// A conference was made of it.
    Conferenced,
}

const CAUSES: [(i64, Leaving); 16] = [
    (0, Leaving::HungUp),
    (1, Leaving::Routed),
    (2, Leaving::NotTaken),
    (3, Leaving::NotTaken),
    (4, Leaving::NotTaken),
    (5, Leaving::Routed),
    (6, Leaving::Routed),
    (7, Leaving::Routed),
    (8, Leaving::Routed),
    (9, Leaving::Redirected),
    (10, Leaving::Transferred),
    (11, Leaving::Transferred),
    (12, Leaving::Conferenced),
    (13, Leaving::NotTaken),
    (14, Leaving::NotTaken),
    (15, Leaving::NotTaken),
];

impl Leaving {
    /// What this `Cause` means; an unknown number means no more than none.
    pub fn from_cause(cause: Option<i64>) -> Self {
        let cause = cause.unwrap_or(0);
        CAUSES.iter().find(|(n, _)| *n == cause).map_or(Self::HungUp, |(_, l)| *l)
    }
}

/// Parties that are no people: recorders and parking (call-models section 5).
pub fn is_service_dn(dn: &str) -> bool {
    dn.starts_with("gcti::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_states_of_the_call_models() {
        for (bits, talk, treatment, routing) in [
            (0x1000C, Talk::Connected, false, false),
            (0x809, Talk::Queued, false, true),
            (0xA09, Talk::Queued, true, true),
            (0x10001, Talk::Initiated, false, false),
            (0xA, Talk::Alerting, false, false),
            (0xE, Talk::Held, false, false),
            (0x5, Talk::Null, false, false),
        ] {
            let state = PartyState::from_bits(bits);
            let got = (state.talk, state.treatment, state.routing);
            assert_eq!(got, (talk, treatment, routing), "{bits:#x}");
        }
    }

    #[test]
    fn causes_say_why_a_party_left() {
        for (cause, leaving) in [
            (None, Leaving::HungUp),
            (Some(3), Leaving::NotTaken),
            (Some(5), Leaving::Routed),
            (Some(9), Leaving::Redirected),
            (Some(11), Leaving::Transferred),
            (Some(99), Leaving::HungUp),
        ] {
            assert_eq!(Leaving::from_cause(cause), leaving, "{cause:?}");
        }
    }
}
