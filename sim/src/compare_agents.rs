//! Compares what a Genesys Cloud organisation was told of its users with the days that agents had.

use std::collections::BTreeMap;
use std::fmt;

use crate::truth::{AgentDay, Heard, Shown, UserChange, UserHistory};

/// One respect in which the organisation was not told the truth of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentDifference {
    /// GC user id.
    pub user_id: String,
    /// Employee id; nothing if no agent is that user.
    pub employee_id: Option<String>,
    /// What differs, for people to read.
    pub what: String,
}

impl fmt::Display for AgentDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.employee_id {
            Some(employee_id) => write!(f, "agent {employee_id}: {}", self.what),
            None => write!(f, "user {} (no agent): {}", self.user_id, self.what),
        }
    }
}

/// What was told as a present value is dated in whole seconds (milliseconds).
const SECOND_MS: i64 = 1_000;

/// Every change that the day of an agent asks for, in order: of each state first the presence, then
/// the routing status, and neither where it stays as it is.
pub fn changes(day: &AgentDay) -> Vec<UserChange> {
    expected(day).into_iter().map(|(change, _)| change).collect()
}

/// The changes, and by how much more the time of each may be off. Of several states one after the
/// other that nobody listened to, only the last is known to anybody.
fn expected(day: &AgentDay) -> Vec<(UserChange, i64)> {
    let mut changes = Vec::new();
    let (mut presence, mut routing) = (None, None);
    for (number, state) in day.states.iter().enumerate() {
        let next_is_later =
            day.states.get(number + 1).is_some_and(|next| next.heard == Heard::Later);
        if state.heard == Heard::Later && next_is_later {
            continue;
        }
        let more_ms = if state.heard.is_live() { 0 } else { SECOND_MS };
        let mut add = |shown: &mut Option<Shown>, new: Shown| {
            if shown.as_ref() != Some(&new) {
                *shown = Some(new.clone());
                changes.push((UserChange { at_ms: state.at_ms, state: new }, more_ms));
            }
        };
        add(&mut presence, Shown::Presence(state.presence.clone()));
        add(&mut routing, Shown::RoutingStatus(state.routing.clone()));
    }
    changes
}

/// All differences between the days and what was told, agent by agent in the order of the days,
/// then the users whom no agent is. Of an agent the first one is named: the rest is out of step.
/// Times may be off by `tolerance_ms`.
pub fn compare_agents(
    days: &[AgentDay],
    told: &[UserHistory],
    tolerance_ms: i64,
) -> Vec<AgentDifference> {
    let by_user: BTreeMap<&str, &[UserChange]> =
        told.iter().map(|user| (user.user_id.as_str(), user.changes.as_slice())).collect();
    let of_agent = |day: &AgentDay| {
        let told = by_user.get(day.user_id.as_str()).copied().unwrap_or_default();
        first_difference(&expected(day), told, tolerance_ms).map(|what| AgentDifference {
            user_id: day.user_id.clone(),
            employee_id: Some(day.employee_id.clone()),
            what,
        })
    };
    let is_agent = |user: &&UserHistory| days.iter().any(|day| day.user_id == user.user_id);
    let others = told.iter().filter(|user| !is_agent(user)).map(|user| AgentDifference {
        user_id: user.user_id.clone(),
        employee_id: None,
        what: format!("{} changes were told, although nothing is known", user.changes.len()),
    });
    days.iter().filter_map(of_agent).chain(others).collect()
}

fn first_difference(
    expected: &[(UserChange, i64)],
    told: &[UserChange],
    tolerance_ms: i64,
) -> Option<String> {
    for number in 0..expected.len().max(told.len()) {
        let place = format!("change {} of {}", number + 1, expected.len());
        let what = match (expected.get(number), told.get(number)) {
            (Some((right, _)), Some(was)) if right.state != was.state => {
                format!("is {}, not {}", shown(was), shown(right))
            }
            (Some((right, more_ms)), Some(was)) => {
                let off = was.at_ms - right.at_ms;
                if off.abs() <= tolerance_ms + more_ms {
                    continue;
                }
                format!("{} is off by {off} ms", shown(was))
            }
            (Some((right, _)), None) => format!("{} is missing", shown(right)),
            (None, Some(was)) => format!("{} should not be", shown(was)),
            (None, None) => continue,
        };
        return Some(format!("{place}: {what}"));
    }
    None
}

fn shown(change: &UserChange) -> String {
    let (kind, name) = match &change.state {
        Shown::Presence(name) => ("presence", name),
        Shown::RoutingStatus(name) => ("routing status", name),
    };
    format!("{kind} {name} at {}", change.at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::UserState;

    const TOLERANCE_MS: i64 = 10;

    fn day() -> AgentDay {
        let state = |at_ms, presence: &str, routing: &str| UserState {
            at_ms,
            presence: presence.to_owned(),
            routing: routing.to_owned(),
            heard: Heard::Live,
        };
        AgentDay {
            employee_id: "A1001".to_owned(),
            user_id: "u1".to_owned(),
            states: vec![
                state(1_000, "Busy", "OffQueue"),
                state(2_000, "OnQueue", "Idle"),
                state(3_000, "OnQueue", "Interacting"),
                state(4_000, "Meal", "OffQueue"),
                state(5_000, "Break", "OffQueue"),
            ],
        }
    }

    fn told() -> Vec<UserHistory> {
        let presence =
            |at_ms, name: &str| UserChange { at_ms, state: Shown::Presence(name.to_owned()) };
        let routing =
            |at_ms, name: &str| UserChange { at_ms, state: Shown::RoutingStatus(name.to_owned()) };
        let changes = vec![
            presence(1_000, "Busy"),
            routing(1_001, "OffQueue"),
            presence(2_000, "OnQueue"),
            routing(2_001, "Idle"),
            routing(2_999, "Interacting"),
            presence(4_000, "Meal"),
            routing(4_001, "OffQueue"),
            presence(5_010, "Break"),
        ];
        vec![UserHistory { user_id: "u1".to_owned(), changes }]
    }

    fn found(told: &[UserHistory]) -> Vec<String> {
        let found = compare_agents(&[day()], told, TOLERANCE_MS);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_told_as_it_was_is_no_difference() {
        assert_eq!(changes(&day()).len(), 8);
        assert_eq!(found(&told()), [""; 0]);
    }

    #[test]
    fn what_nobody_listened_to_may_be_told_by_the_second_and_the_last_of_it_only() {
        let mut day = day();
        (day.states[1].heard, day.states[2].heard) = (Heard::Later, Heard::Later);
        let mut told = told();
        told[0].changes.remove(3); // the routing status of the state that nobody knows
        let (presence, routing) = (2, 3);
        (told[0].changes[presence].at_ms, told[0].changes[routing].at_ms) = (2_000, 2_001);
        assert_eq!(compare_agents(&[day.clone()], &told, TOLERANCE_MS), []);
        told[0].changes[presence].at_ms = 1_989;
        assert_eq!(compare_agents(&[day], &told, TOLERANCE_MS).len(), 1);
    }

    #[test]
    fn what_was_told_twice_may_be_told_by_the_second_and_all_of_it() {
        let mut day = day();
        (day.states[1].heard, day.states[2].heard) = (Heard::Twice, Heard::Later);
        let mut told = told();
        (told[0].changes[2].at_ms, told[0].changes[3].at_ms) = (2_018, 2_019);
        assert_eq!(compare_agents(&[day.clone()], &told, TOLERANCE_MS), []);
        told[0].changes[2].at_ms = 3_011;
        assert_eq!(compare_agents(&[day.clone()], &told, TOLERANCE_MS).len(), 1);
        drop(told[0].changes.drain(2..4));
        assert_eq!(compare_agents(&[day], &told, TOLERANCE_MS).len(), 1);
    }

    #[test]
    fn every_way_to_be_wrong_is_found() {
        type Spoil = fn(&mut Vec<UserHistory>);
        let table: [(Spoil, &str); 8] = [
            (|told| told.clear(), "agent A1001: change 1 of 8: presence Busy at 1000 is missing"),
            (
                |told| drop(told[0].changes.pop()),
                "agent A1001: change 8 of 8: presence Break at 5000 is missing",
            ),
            (
                |told| drop(told[0].changes.remove(4)),
                "agent A1001: change 5 of 8: is presence Meal at 4000, \
                 not routing status Interacting at 3000",
            ),
            (
                |told| told[0].changes[5].at_ms = 4_011,
                "agent A1001: change 6 of 8: presence Meal at 4011 is off by 11 ms",
            ),
            (
                |told| told[0].changes.swap(2, 3),
                "agent A1001: change 3 of 8: is routing status Idle at 2001, \
                 not presence OnQueue at 2000",
            ),
            (
                |told| told[0].changes[5].state = Shown::Presence("Offline".to_owned()),
                "agent A1001: change 6 of 8: is presence Offline at 4000, \
                 not presence Meal at 4000",
            ),
            (
                |told| {
                    let last = told[0].changes[7].clone();
                    told[0].changes.push(last);
                },
                "agent A1001: change 9 of 8: presence Break at 5010 should not be",
            ),
            (
                |told| {
                    let changes = told[0].changes.clone();
                    told.push(UserHistory { user_id: "u9".to_owned(), changes });
                },
                "user u9 (no agent): 8 changes were told, although nothing is known",
            ),
        ];
        for (spoil, expected) in table {
            let mut told = told();
            spoil(&mut told);
            assert_eq!(found(&told), [expected]);
        }
    }
}
