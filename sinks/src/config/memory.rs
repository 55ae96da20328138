//! What must outlive a restart: which object of the organisation stands for which of Engage, and
//! what is still owed to it. One row an object, and one for the whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trunkline_schemas::DirectoryRow;
use trunkline_schemas::desired::UserKind;

/// `UserKind` as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// No agent.
    NonAgent,
    /// An agent.
    Agent,
    /// A supervisor.
    Supervisor,
}

impl From<UserKind> for Kind {
    fn from(kind: UserKind) -> Self {
        match kind {
            UserKind::NonAgent => Self::NonAgent,
            UserKind::Agent => Self::Agent,
            UserKind::Supervisor => Self::Supervisor,
        }
    }
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bound {
    /// Its id in Genesys Cloud.
    pub id: Option<String>,
    /// It is about to be created, or was and is not complete: its roles and its primary presence
    /// source are owed. Written before the request, so that a crash after it forgets nothing.
    pub is_owed: bool,
    /// What the user was when roles were last looked at.
    pub kind: Option<Kind>,
    /// The organisation deleted it; it is not created again until it is forgotten.
    pub is_deleted: bool,
    /// Rows of the directory that were written for it, by key.
    pub rows: BTreeMap<String, DirectoryRow>,
}

/// What is known of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Id of the organisation all this is of.
    pub org: Option<String>,
    /// Everything was as desired once.
    pub is_synced: bool,
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// By the key of the desired object.
    pub objects: BTreeMap<String, Bound>,
    /// The whole.
    pub meta: Meta,
}

/// Key of [`Meta`] in the state.
pub const META: &str = "meta";
const OBJECT: &str = "object/";

impl Memory {
    /// Takes a row back.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn restore(&mut self, key: &[u8], body: &[u8]) -> Result<(), String> {
        let key = String::from_utf8_lossy(key);
        let bad = |e: serde_json::Error| format!("state key {key}: {e}");
        if key == META {
            self.meta = serde_json::from_slice(body).map_err(bad)?;
        } else if let Some(object) = key.strip_prefix(OBJECT) {
            let bound = serde_json::from_slice(body).map_err(bad)?;
            self.objects.insert(object.to_owned(), bound);
        } else {
            return Err(format!("state key {key} is of no kind that is known"));
        }
        Ok(())
    }

    /// What differs from an earlier state, as rows; `None` forgets one.
    pub fn rows_since(&self, before: &Self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut rows = Vec::new();
        if self.meta != before.meta {
            rows.push((META.as_bytes().to_vec(), Some(json(&self.meta))));
        }
        for (key, bound) in &self.objects {
            if before.objects.get(key) != Some(bound) {
                rows.push((object_row(key), Some(json(bound))));
            }
        }
        let gone = before.objects.keys().filter(|key| !self.objects.contains_key(*key));
        rows.extend(gone.map(|key| (object_row(key), None)));
        rows
    }
}

/// Key of the row of an object.
pub fn object_row(key: &str) -> Vec<u8> {
    format!("{OBJECT}{key}").into_bytes()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("state has string keys and finite numbers only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let mut memory = Memory::default();
        let bound = Bound { id: Some("u1".to_owned()), is_owed: true, ..Bound::default() };
        memory.objects.insert("user/a@b.co".to_owned(), bound);
        memory.meta.is_synced = true;
        let rows = memory.rows_since(&Memory::default());
        assert_eq!(rows.len(), 2);
        let mut again = Memory::default();
        for (key, body) in rows {
            again.restore(&key, &body.expect("a row")).expect("it is read");
        }
        assert_eq!(again, memory);
        let rows = Memory::default().rows_since(&Memory { meta: Meta::default(), ..memory });
        assert_eq!(rows, [(b"object/user/a@b.co".to_vec(), None)]);
        assert!(again.restore(b"other", b"{}").is_err());
    }
}
