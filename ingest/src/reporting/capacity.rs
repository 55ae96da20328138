//! The capacity rule: from the state of an agent to its status (seed 002: "Status is the output of
//! an Agent Capacity Rule, which Stat Server calculates using the agent's state as part of the
//! input").

use std::collections::BTreeMap;

use super::state::PlaceAgentState;

/// How many interactions of a medium an agent may handle at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapacityRule {
    /// By medium.
    pub media: BTreeMap<String, u32>,
    /// Of every other medium.
    pub default: u32,
}

impl Default for CapacityRule {
    /// One interaction of each medium.
    fn default() -> Self {
        Self { media: BTreeMap::new(), default: 1 }
    }
}

/// The status of an agent: what can be offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentStatus {
    /// By medium.
    pub media: BTreeMap<String, MediumStatus>,
}

/// The status of an agent for one medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediumStatus {
    /// Interactions being handled.
    pub current: u32,
    /// Interactions that may be.
    pub maximum: u32,
    /// Whether one more may be offered.
    pub is_ready: bool,
}

impl CapacityRule {
    /// The status of an agent whom so many servers know. Interactions add up over the servers; a
    /// medium is ready where a server says so, unless any of them says *do not disturb*.
    pub fn status<'a>(&self, states: impl Iterator<Item = &'a PlaceAgentState>) -> AgentStatus {
        let mut status = AgentStatus::default();
        let mut do_not_disturb = false;
        for state in states.filter(|state| state.logged_in) {
            do_not_disturb |= state.do_not_disturb;
            for (name, medium) in &state.media {
                let maximum = self.media.get(name).copied().unwrap_or(self.default);
                let none = MediumStatus { current: 0, maximum, is_ready: false };
                let sum = status.media.entry(name.clone()).or_insert(none);
                sum.current += medium.interactions;
                sum.is_ready |= medium.is_ready;
            }
        }
        for medium in status.media.values_mut() {
            medium.is_ready &= !do_not_disturb && medium.current < medium.maximum;
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Medium;
    use super::*;

    fn state(do_not_disturb: bool, media: &[(&str, bool, u32)]) -> PlaceAgentState {
        let media = media.iter().map(|(name, is_ready, interactions)| {
            let (is_ready, interactions) = (*is_ready, *interactions);
            ((*name).to_owned(), Medium { is_ready, interactions })
        });
        PlaceAgentState {
            agent_id: "A1001".to_owned(),
            logged_in: true,
            do_not_disturb,
            media: media.collect(),
            ..PlaceAgentState::default()
        }
    }

    /// What is the case, the states, and of each medium: current, maximum, ready.
    type Row<'a> = (&'a str, Vec<PlaceAgentState>, &'a [(&'a str, u32, u32, bool)]);

    #[test]
    fn a_status_is_what_the_rule_makes_of_the_states() {
        let rule = CapacityRule { media: [("email".to_owned(), 3)].into(), default: 1 };
        let out = PlaceAgentState { logged_in: false, ..state(false, &[("email", true, 0)]) };
        let table: [Row<'_>; 8] = [
            ("nobody knows the agent", vec![], &[]),
            ("free", vec![state(false, &[("chat", true, 0)])], &[("chat", 0, 1, true)]),
            ("not ready", vec![state(false, &[("chat", false, 0)])], &[("chat", 0, 1, false)]),
            ("full", vec![state(false, &[("chat", true, 1)])], &[("chat", 1, 1, false)]),
            (
                "a medium of its own limit has room where another has none",
                vec![state(false, &[("chat", true, 1), ("email", true, 2)])],
                &[("chat", 1, 1, false), ("email", 2, 3, true)],
            ),
            (
                "do not disturb closes every medium",
                vec![state(true, &[("chat", true, 0), ("email", true, 0)])],
                &[("chat", 0, 1, false), ("email", 0, 3, false)],
            ),
            (
                "two servers add up",
                vec![state(false, &[("email", true, 2)]), state(false, &[("email", true, 1)])],
                &[("email", 3, 3, false)],
            ),
            ("logged out is not there", vec![out], &[]),
        ];
        for (name, states, expected) in table {
            let status = rule.status(states.iter());
            let found: Vec<_> = status
                .media
                .iter()
                .map(|(name, m)| (name.as_str(), m.current, m.maximum, m.is_ready))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
