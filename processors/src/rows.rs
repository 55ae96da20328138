//! The rows of the directory as they are announced through a partition.
//!
//! An announcement is told while the processor works, among everything else: a row holds from where
//! it is told, and what is not told again is gone when the announcement ends. Two processes may
//! tell the same one at the same time; by its name it is known to be one.
//!
//! | announcement | told | becomes |
//! |---|---|---|
//! | ended, or of another name | start | the next one, open |
//! | open | start of its name | goes on |
//! | open or ended | row | the row is of this announcement |
//! | of its name | end | older rows are gone; ended |
//! | of another name | end | nothing: a newer one is under way |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trunkline_schemas::DirectoryRow;

/// The announcement that began last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Announcement {
    number: u64,
    /// Names its contents; empty where they are not named.
    name: String,
    is_open: bool,
}

/// A row, and the announcement that told it last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    announcement: u64,
    pub(crate) row: DirectoryRow,
}

/// A row as it is, or was once, kept.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Kept(Kept),
    Bare(DirectoryRow),
}

impl Kept {
    /// Reads what was kept.
    ///
    /// # Errors
    /// The value is no row.
    pub(crate) fn read(value: &[u8]) -> serde_json::Result<Self> {
        Ok(match serde_json::from_slice(value)? {
            Told::Kept(kept) => kept,
            Told::Bare(row) => Self { announcement: 0, row },
        })
    }
}

/// All rows that hold, by what each is of.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    held: BTreeMap<String, Kept>,
    changed: BTreeSet<String>,
    announcement: Announcement,
}

impl Rows {
    /// An announcement begins.
    pub(crate) fn begin(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name);
        let last = &mut self.announcement;
        if last.is_open && !name.is_empty() && last.name == name {
            return;
        }
        last.number += 1;
        last.name = name.into_owned();
        last.is_open = true;
    }

    /// A row is told.
    pub(crate) fn put(&mut self, key: String, row: DirectoryRow) {
        self.changed.insert(key.clone());
        self.held.insert(key, Kept { announcement: self.announcement.number, row });
    }

    /// An announcement ends; whether that may have changed what holds.
    pub(crate) fn end(&mut self, name: &[u8]) -> bool {
        let last = &mut self.announcement;
        if last.name != String::from_utf8_lossy(name) {
            return false;
        }
        last.is_open = false;
        let number = last.number;
        let old = self.held.extract_if(.., |_, kept| kept.announcement < number);
        self.changed.extend(old.map(|(key, _)| key));
        true
    }

    /// Whether there is such a row.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.held.contains_key(key)
    }

    /// The rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DirectoryRow> {
        self.held.values().map(|kept| &kept.row)
    }

    /// The announcement that began last, to be kept.
    pub(crate) fn announcement(&self) -> Announcement {
        self.announcement.clone()
    }

    /// What has changed since the last call, by key; nothing where the row is gone.
    pub(crate) fn changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let json = |kept| serde_json::to_vec(kept).expect("rows are texts and numbers");
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|key| (key.clone(), self.held.get(&key).map(json))).collect()
    }

    /// Takes back the announcement that began last.
    pub(crate) fn restore_announcement(&mut self, announcement: Announcement) {
        let number = announcement.number.max(self.announcement.number);
        self.announcement = Announcement { number, ..announcement };
    }

    /// Takes back a row.
    pub(crate) fn restore(&mut self, key: String, kept: Kept) {
        self.announcement.number = self.announcement.number.max(kept.announcement);
        self.held.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str) -> DirectoryRow {
        let row = json!({ "WrapUpCode": { "name": name, "id": format!("id of {name}") } });
        serde_json::from_value(row).expect("a row")
    }

    /// `+a`: the announcement a begins; `-a`: it ends; anything else is a row.
    fn told(rows: &mut Rows, words: &str) {
        for word in words.split_whitespace() {
            match word.split_at(1) {
                ("+", name) => rows.begin(name.as_bytes()),
                ("-", name) => {
                    rows.end(name.as_bytes());
                }
                (..) => rows.put(word.to_owned(), row(word)),
            }
        }
    }

    #[test]
    fn what_is_not_told_again_is_gone_when_the_announcement_ends() {
        for (words, held) in [
            ("+a A B -a", "A B"),
            ("+a A B -a +b B C", "A B C"),
            ("+a A B -a +b B C -b", "B C"),
            // Two processes tell the same; the second has not told all when the first ends.
            ("+a A B -a +b +b B B C -b C -b", "B C"),
            ("+a A B -a +b B +b C -b B", "B C"),
            // One tells an older directory and is overtaken.
            ("+a A -a +b B +c C -b", "A B C"),
            ("+a A -a +b B +c C -b -c", "C"),
            // One dies on the way; it is told again.
            ("+a A B -a +b B +b B C -b", "B C"),
            ("+a A B -a +b B +c C -c", "C"),
            // Announcements without a name, as they once were.
            ("+ A B - + B -", "B"),
        ] {
            let mut rows = Rows::default();
            told(&mut rows, words);
            let found: Vec<&str> = rows.held.keys().map(String::as_str).collect();
            assert_eq!(found.join(" "), held, "{words}");
        }
    }

    #[test]
    fn rows_outlive_a_restart_in_the_middle_of_an_announcement() {
        let mut rows = Rows::default();
        told(&mut rows, "+a A B -a +b B");
        let mut again = Rows::default();
        for (key, value) in rows.changes() {
            let kept = Kept::read(&value.expect("it is there")).expect("it can be read");
            again.restore(key, kept);
        }
        again.restore_announcement(rows.announcement());
        assert!(again.changes().is_empty() && rows.changes().is_empty());
        told(&mut again, "C -b");
        let keys = |rows: &mut Rows| -> Vec<(String, bool)> {
            rows.changes().into_iter().map(|(key, value)| (key, value.is_some())).collect()
        };
        assert_eq!(keys(&mut again), [("A".to_owned(), false), ("C".to_owned(), true)]);
        assert!(again.has("B") && !again.has("A"));

        // As an older version kept it.
        let bare = serde_json::to_vec(&row("D")).expect("a row is JSON");
        let bare = Kept::read(&bare).expect("it can be read");
        assert_eq!(bare.row, row("D"));
        again.restore("D".to_owned(), bare);
        told(&mut again, "+c D -c");
        assert_eq!(again.iter().collect::<Vec<_>>(), [&row("D")]);
    }
}
