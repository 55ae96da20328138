//! *Logins*: what agents did, as the presence processor relays it: who logged in where, and when
//! after-call work ended.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trunkline_schemas::directory::DnAt;
use trunkline_schemas::raw::{AgentDeed, AgentFact};

/// Logins remembered of a DN: events that wait for their order are older than the newest.
const LOGINS_MAX: usize = 4;
const LOGIN: &str = "login/";
const WORK: &str = "work/";

/// Who is at a DN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'a> {
    /// No fact says.
    Unknown,
    /// Whoever was there has logged out.
    Nobody,
    /// The agent of this employee id.
    Somebody(&'a str),
}

/// A login, or that nobody is there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    at_ms: i64,
    employee_id: Option<String>,
}

/// The logins of one DN as they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptLogins {
    at: DnAt,
    logins: Vec<Login>,
}

/// One key of these and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Kept(OneOf);

#[derive(Clone, Debug)]
enum OneOf {
    Logins(KeptLogins),
    /// An agent's employee id, and when after-call work ended.
    Work(String, i64),
}

impl Kept {
    /// Reads a key; `None` if it is none of these.
    ///
    /// # Errors
    /// The value cannot be read.
    pub(super) fn read(key: &str, value: &[u8]) -> serde_json::Result<Option<Self>> {
        Ok(if key.starts_with(LOGIN) {
            Some(Self(OneOf::Logins(serde_json::from_slice(value)?)))
        } else if let Some(employee_id) = key.strip_prefix(WORK) {
            Some(Self(OneOf::Work(employee_id.to_owned(), serde_json::from_slice(value)?)))
        } else {
            None
        })
    }
}

/// The facts.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    at: BTreeMap<DnAt, Vec<Login>>,
    /// When each agent's after-call work ended last.
    work: BTreeMap<String, i64>,
    changed: BTreeSet<String>,
}

impl Logins {
    /// Takes a fact.
    pub fn take(&mut self, fact: &AgentFact) {
        let who = match fact.fact {
            AgentDeed::Login => Some(fact.employee_id.clone()),
            AgentDeed::Logout => None,
            AgentDeed::AfterCallWorkEnded => {
                let last = self.work.entry(fact.employee_id.clone()).or_insert(fact.at_ms);
                *last = fact.at_ms.max(*last);
                self.changed.insert(format!("{WORK}{}", fact.employee_id));
                return;
            }
        };
        let at = DnAt { dn: fact.dn.clone(), switch: fact.switch.clone() };
        let logins = self.at.entry(at).or_default();
        let last = logins.last().and_then(|login| login.employee_id.as_ref());
        // Somebody else has logged in there meanwhile.
        if who.is_none() && last.is_some_and(|last| *last != fact.employee_id) {
            return;
        }
        let login = Login { at_ms: fact.at_ms, employee_id: who };
        if logins.contains(&login) {
            return; // it was learned before its turn
        }
        logins.push(login);
        logins.sort_by_key(|login| login.at_ms);
        if logins.len() > LOGINS_MAX {
            logins.remove(0);
        }
        self.changed.insert(format!("{LOGIN}{}@{}", fact.dn, fact.switch));
    }

    /// Who is at a DN at a time, milliseconds since 1970.
    pub fn at(&self, dn: &str, switch: &str, at_ms: i64) -> At<'_> {
        if self.at.is_empty() {
            return At::Unknown; // as at every site without agent states
        }
        // A source that names no switch tells of the only DN of that number.
        let found = [switch, ""].into_iter().find_map(|switch| {
            let at = DnAt { dn: dn.to_owned(), switch: switch.to_owned() };
            self.at.get(&at)?.iter().rfind(|login| login.at_ms <= at_ms)
        });
        match found.map(|login| login.employee_id.as_deref()) {
            None => At::Unknown,
            Some(None) => At::Nobody,
            Some(Some(employee_id)) => At::Somebody(employee_id),
        }
    }

    /// When an agent's after-call work ended last, milliseconds since 1970.
    pub fn work_ended(&self, employee_id: &str) -> Option<i64> {
        self.work.get(employee_id).copied()
    }

    /// What has changed since the last call, by key.
    pub fn changes(&mut self) -> Vec<(String, Vec<u8>)> {
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("texts and numbers are JSON");
        let changed = std::mem::take(&mut self.changed);
        let mut changes = Vec::new();
        for (at, logins) in &self.at {
            let key = format!("{LOGIN}{}@{}", at.dn, at.switch);
            if changed.contains(&key) {
                let kept = KeptLogins { at: at.clone(), logins: logins.clone() };
                changes.push((key, json(serde_json::to_vec(&kept))));
            }
        }
        for (employee_id, at_ms) in &self.work {
            let key = format!("{WORK}{employee_id}");
            if changed.contains(&key) {
                changes.push((key, json(serde_json::to_vec(at_ms))));
            }
        }
        changes
    }

    /// Takes one key back.
    pub(super) fn restore(&mut self, Kept(one): Kept) {
        match one {
            OneOf::Logins(kept) => drop(self.at.insert(kept.at, kept.logins)),
            OneOf::Work(employee_id, at_ms) => drop(self.work.insert(employee_id, at_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(employee: &str, deed: AgentDeed, dn: &str, switch: &str, at_ms: i64) -> AgentFact {
        AgentFact {
            employee_id: employee.to_owned(),
            fact: deed,
            dn: dn.to_owned(),
            switch: switch.to_owned(),
            at_ms,
            cause: String::new(),
        }
    }

    #[test]
    fn who_logged_in_last_by_then_is_there() {
        use AgentDeed::{Login, Logout};
        let mut logins = Logins::default();
        for (employee, deed, dn, switch, at_ms) in [
            ("A", Login, "7001", "S", 10),
            ("B", Login, "7001", "S", 20),
            // A has gone from there already.
            ("A", Logout, "7001", "S", 25),
            ("B", Logout, "7001", "S", 30),
            ("C", Login, "7002", "", 10),
        ] {
            logins.take(&fact(employee, deed, dn, switch, at_ms));
        }
        for (dn, switch, at_ms, expected) in [
            ("7001", "S", 9, At::Unknown),
            ("7001", "S", 10, At::Somebody("A")),
            ("7001", "S", 29, At::Somebody("B")),
            ("7001", "S", 30, At::Nobody),
            ("7001", "T", 30, At::Unknown),
            ("7002", "S", 10, At::Somebody("C")),
        ] {
            assert_eq!(logins.at(dn, switch, at_ms), expected, "{dn}@{switch} at {at_ms}");
        }
    }

    #[test]
    fn facts_outlive_a_restart_and_are_bounded() {
        let mut logins = Logins::default();
        for at_ms in 0..20 {
            logins.take(&fact("A", AgentDeed::Login, "7001", "S", at_ms));
            logins.take(&fact("A", AgentDeed::AfterCallWorkEnded, "7001", "S", at_ms));
        }
        let mut again = Logins::default();
        let changes = logins.changes();
        assert_eq!(changes.len(), 2);
        for (key, value) in changes {
            let kept = Kept::read(&key, &value).expect("it can be read");
            again.restore(kept.expect("it is one of these"));
        }
        assert_eq!(again.at("7001", "S", 15), At::Unknown, "only the last {LOGINS_MAX} are kept");
        assert_eq!(again.at("7001", "S", 16), At::Somebody("A"));
        assert_eq!(again.work_ended("A"), Some(19));
        assert!(logins.changes().is_empty() && again.changes().is_empty());
        assert!(Kept::read("call/1", b"").expect("it is none of these").is_none());
    }
}
