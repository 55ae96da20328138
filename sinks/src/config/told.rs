//! What is told of it: outcomes and rows of the directory.

use std::collections::BTreeMap;

use trunkline_schemas::codec::{self, DirectoryValue};
use trunkline_schemas::desired::{ConfigOutcome, DesiredObject};
use trunkline_schemas::directory::{Agent, Queue, Source, WrapUpCode};
use trunkline_schemas::topics::{DIRECTORY, OUTCOME_CONFIG};
use trunkline_schemas::{DirectoryRow, OutcomeStatus, Record};

use super::Reconciler;
use super::bind::is_live;
use super::memory::Memory;

/// Rows of the directory by key.
type Rows = BTreeMap<String, DirectoryRow>;

/// Rows of the directory for an object of that id, by key.
pub(super) fn rows(object: &DesiredObject, id: &str) -> BTreeMap<String, DirectoryRow> {
    if !is_live(object) {
        return BTreeMap::new();
    }
    let id = || id.to_owned();
    match object {
        DesiredObject::User(user) => user
            .employee_ids
            .iter()
            .map(|employee_id| {
                let (employee_id, logins) = (employee_id.clone(), Vec::new());
                let key = format!("agent/{employee_id}");
                (key, DirectoryRow::Agent(Agent { employee_id, user_id: id(), logins }))
            })
            .collect(),
        DesiredObject::Queue(queue) => queue
            .dns
            .iter()
            .map(|at| {
                let (dn, switch) = (at.dn.clone(), at.switch.clone());
                let key = format!("queue/{dn}@{switch}");
                (key, DirectoryRow::Queue(Queue { dn, switch, queue_id: id() }))
            })
            .collect(),
        DesiredObject::WrapUpCode(code) => code
            .values
            .iter()
            .map(|name| {
                let row = WrapUpCode { name: name.clone(), id: id() };
                (format!("code/{name}"), DirectoryRow::WrapUpCode(row))
            })
            .collect(),
        DesiredObject::Source(_) => {
            let row = DirectoryRow::Source(Source { source_id: id() });
            BTreeMap::from([("source".to_owned(), row)])
        }
        DesiredObject::Skill(_) => BTreeMap::new(),
    }
}

impl Reconciler {
    /// Writes the rows of all objects that differ from those that were written, those of `before`
    /// included: a row may have passed from one object to another.
    pub(super) fn sync_all_rows(&mut self, before: &Memory) {
        let keys: Vec<String> = self.memory.objects.keys().cloned().collect();
        let mut written = BTreeMap::new();
        for bound in before.objects.values() {
            written.extend(bound.rows.clone());
        }
        let mut all = BTreeMap::new();
        for key in keys {
            let rows = self.rows_of(&key);
            if let Some(bound) = self.memory.objects.get_mut(&key) {
                bound.rows.clone_from(&rows);
            }
            all.extend(rows);
        }
        self.write_rows(&written, &all);
    }

    /// Writes the rows of one object.
    pub(super) fn sync_rows(&mut self, key: &str) {
        let rows = self.rows_of(key);
        let Some(bound) = self.memory.objects.get_mut(key) else { return };
        let written = std::mem::replace(&mut bound.rows, rows.clone());
        self.write_rows(&written, &rows);
    }

    fn rows_of(&self, key: &str) -> BTreeMap<String, DirectoryRow> {
        let id = self.memory.objects.get(key).and_then(|bound| bound.id.as_ref());
        match (self.desired.get(key), id) {
            (Some(object), Some(id)) => rows(object, id),
            _ => BTreeMap::new(),
        }
    }

    fn write_rows(&mut self, written: &Rows, rows: &Rows) {
        for gone in written.keys().filter(|row| !rows.contains_key(*row)) {
            self.outputs.push((DIRECTORY, Record::tombstone(gone.as_bytes())));
        }
        for (row, value) in rows.iter().filter(|(row, value)| written.get(*row) != Some(value)) {
            let value = DirectoryValue { row: value.clone() };
            self.outputs.push((DIRECTORY, encoded(row, &value)));
        }
    }

    /// Forgets an object and its rows.
    pub(super) fn drop_object(&mut self, key: &str) {
        let Some(bound) = self.memory.objects.remove(key) else { return };
        for row in bound.rows.keys() {
            self.outputs.push((DIRECTORY, Record::tombstone(row.as_bytes())));
        }
    }

    /// Roles that Engage names and the organisation does not have, each once.
    pub(super) fn report_roles(&mut self, now_ms: i64) {
        let mut missing = Vec::new();
        for object in self.desired.values() {
            let DesiredObject::User(user) = object else { continue };
            for role in user.roles.iter().filter(|role| self.actual.role(role).is_none()) {
                if self.reported.insert(role.to_lowercase()) {
                    missing.push(role.clone());
                }
            }
        }
        for role in missing {
            let (object, status) = (format!("role/{role}"), OutcomeStatus::LeftOut);
            self.tell(&object, status, None, Some("role_missing"), None, now_ms);
        }
    }

    pub(super) fn tell(
        &mut self,
        key: &str,
        status: OutcomeStatus,
        action: Option<&str>,
        code: Option<&str>,
        reason: Option<String>,
        now_ms: i64,
    ) {
        let outcome = ConfigOutcome {
            status,
            object: key.to_owned(),
            gc_id: self.memory.objects.get(key).and_then(|bound| bound.id.clone()),
            action: action.map(str::to_owned),
            code: code.map(str::to_owned),
            reason,
            attempts: i32::try_from(self.attempts).unwrap_or(i32::MAX),
            at_ms: now_ms,
        };
        self.outputs.push((OUTCOME_CONFIG, encoded(key, &outcome)));
    }
}

fn encoded<T: codec::Schemed>(key: &str, value: &T) -> Record {
    match codec::record(key, value) {
        Ok(record) => record,
        Err(e) => panic!("a value of our own does not fit its schema: {e}"),
    }
}
