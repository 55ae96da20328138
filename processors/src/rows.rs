//! Rows of the directory as a processor keeps them. An announcement is a start, every row there is,
//! and an end; a row that was not announced again is gone at the end and not before, so that nobody
//! ever sees half a directory.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trunkline_schemas::DirectoryRow;

/// A row, and the announcement that told it last.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    announcement: u64,
    row: DirectoryRow,
}

/// The rows by their keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Number of the announcement that began last.
    pub(crate) announcement: u64,
    kept: BTreeMap<String, Kept>,
    changed: BTreeSet<String>,
}

impl Rows {
    /// An announcement begins.
    pub(crate) fn begin(&mut self) {
        self.announcement += 1;
    }

    /// A row is announced.
    pub(crate) fn put(&mut self, row: DirectoryRow) {
        let key = row_key(&row);
        self.changed.insert(key.clone());
        self.kept.insert(key, Kept { announcement: self.announcement, row });
    }

    /// An announcement has ended: what it did not tell is gone.
    pub(crate) fn end(&mut self) {
        let is_old = |kept: &Kept| kept.announcement < self.announcement;
        let old = self.kept.iter().filter(|(_, kept)| is_old(kept));
        let gone: Vec<String> = old.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.kept.remove(&key);
            self.changed.insert(key);
        }
    }

    /// Whether an agent is among them.
    pub(crate) fn has_agent(&self, employee_id: &str) -> bool {
        self.kept.contains_key(&agent_key(employee_id))
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DirectoryRow> {
        self.kept.values().map(|kept| &kept.row)
    }

    /// What has changed since the last call, by key; nothing: the row is gone.
    pub(crate) fn changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let json = |kept| serde_json::to_vec(kept).expect("rows are texts and numbers");
        changed
            .map(|key| {
                let value = self.kept.get(&key).map(json);
                (key, value)
            })
            .collect()
    }

    /// Takes a row back; returns it. Older programs kept it without the number of its announcement.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8]) -> serde_json::Result<DirectoryRow> {
        let bare = || serde_json::from_slice(value).map(|row| Kept { announcement: 0, row });
        let kept = serde_json::from_slice::<Kept>(value).or_else(|_| bare())?;
        let row = kept.row.clone();
        self.kept.insert(key.to_owned(), kept);
        Ok(row)
    }
}

fn row_key(row: &DirectoryRow) -> String {
    match row {
        DirectoryRow::Server(row) => format!("server/{}", row.name),
        DirectoryRow::Agent(row) => agent_key(&row.employee_id),
        DirectoryRow::Queue(row) => format!("queue/{}@{}", row.dn, row.switch),
        DirectoryRow::Extension(row) => format!("extension/{}@{}", row.dn, row.switch),
        DirectoryRow::WrapUpCode(row) => format!("wrap-up-code/{}", row.name),
        DirectoryRow::Source(_) => "source".to_owned(),
    }
}

fn agent_key(employee_id: &str) -> String {
    format!("agent/{employee_id}")
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::directory::{Agent, Server};

    use super::*;

    fn agent(employee_id: &str) -> DirectoryRow {
        let (employee_id, user_id) = (employee_id.to_owned(), "U".to_owned());
        DirectoryRow::Agent(Agent { employee_id, user_id, logins: Vec::new() })
    }

    fn agents(rows: &Rows) -> Vec<&'static str> {
        ["A", "B", "C"].into_iter().filter(|id| rows.has_agent(id)).collect()
    }

    #[test]
    fn a_row_that_is_not_announced_again_is_gone_at_the_end() {
        let mut rows = Rows::default();
        rows.begin();
        rows.put(agent("A"));
        rows.put(agent("B"));
        rows.end();
        assert_eq!(agents(&rows), ["A", "B"]);
        let mut again = Rows { announcement: rows.announcement, ..Rows::default() };
        for (key, value) in rows.changes() {
            again.restore(&key, &value.expect("it is there")).expect("a row of ours");
        }
        again.begin();
        again.put(agent("C"));
        again.put(agent("B"));
        assert_eq!(agents(&again), ["A", "B", "C"], "nothing is missing on the way");
        again.end();
        assert_eq!(agents(&again), ["B", "C"]);
        let changes = again.changes();
        let gone = changes.iter().find(|(key, _)| key == "agent/A").map(|(_, value)| value);
        assert_eq!(gone, Some(&None));
        assert_eq!(changes.len(), 3);
    }

    #[test]
    fn a_row_of_an_older_program_is_read() {
        let row = DirectoryRow::Server(Server { name: "S".to_owned(), switch: "W".to_owned() });
        let value = serde_json::to_vec(&row).expect("texts");
        let mut rows = Rows::default();
        assert_eq!(rows.restore("server/S", &value).expect("it is read"), row);
        assert!(rows.restore("server/S", b"{}").is_err());
        rows.begin();
        rows.end();
        assert_eq!(rows.iter().count(), 0, "it was not announced again");
    }
}
