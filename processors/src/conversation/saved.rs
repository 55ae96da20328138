//! What outlives a restart, by the keys of the state topic.
//!
//! | key | value |
//! |---|---|
//! | `meta` | [`Meta`] |
//! | `call/` conversation id | the conversation, or once it is over `{"gravestone": ..}` |
//! | `held/` block of offsets | the events of it that wait for their order |
//! | `row/` kind and name | the row of the directory |
//! | `login/`, `work/` | [`logins`] |

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::call::Conversation;
use super::copies::Copies;
use super::gravestone::Gravestone;
use super::logins;
use super::order::{Held, Streams};
use crate::rows::{self, Announcement};

pub(super) const META: &str = "meta";
pub(super) const HELD: &str = "held/";
pub(super) const CALL: &str = "call/";
pub(super) const ROW: &str = "row/";
/// How the value of a conversation begins that is over; no other does.
const OVER: &[u8] = br#"{"gravestone":"#;

/// What must outlive a restart beside conversations and rows.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    pub(super) copies: Copies,
    pub(super) streams: Streams,
    pub(super) directory_complete: bool,
    pub(super) announced: Announcement,
}

/// What the value of a conversation is once it is over.
#[derive(Serialize, Deserialize)]
pub(super) struct Over<T> {
    pub(super) gravestone: T,
}

/// One key of the state and what it holds.
#[derive(Debug)]
pub struct Saved(pub(super) Kind);

/// Of which kind it is.
#[derive(Debug)]
pub(super) enum Kind {
    Meta(Box<Meta>),
    Call(Box<Conversation>),
    Over(Arc<str>, Gravestone),
    Held(i64, Vec<Held>),
    Row(String, rows::Kept),
    Login(logins::Kept),
}

impl Saved {
    /// Reads a key.
    ///
    /// # Errors
    /// A text that names the key and says what is wrong with it.
    pub(super) fn read(key: &[u8], value: &[u8]) -> Result<Self, String> {
        let key = str::from_utf8(key).map_err(|e| format!("a state key is no text: {e}"))?;
        let kind = Kind::read(key, value).map_err(|e| format!("state key {key}: {e}"))?;
        kind.map(Self).ok_or_else(|| format!("state key {key} is of no kind that there is"))
    }
}

impl Kind {
    fn read(key: &str, value: &[u8]) -> serde_json::Result<Option<Self>> {
        Ok(Some(if key == META {
            Self::Meta(serde_json::from_slice(value)?)
        } else if let Some(id) = key.strip_prefix(CALL) {
            if value.starts_with(OVER) {
                let over: Over<Gravestone> = serde_json::from_slice(value)?;
                Self::Over(id.into(), over.gravestone)
            } else {
                Self::Call(serde_json::from_slice(value)?)
            }
        } else if let Some(block) = key.strip_prefix(HELD) {
            // A number is JSON too.
            Self::Held(serde_json::from_str(block)?, serde_json::from_slice(value)?)
        } else if let Some(row) = key.strip_prefix(ROW) {
            Self::Row(row.to_owned(), rows::Kept::read(value)?)
        } else {
            return Ok(logins::Kept::read(key, value)?.map(Self::Login));
        }))
    }
}
