//! Which of the mapped reasons a list of reasons names (engage/statserver.md section 4: the keys
//! are chosen by the desktop, so each value and each key is tried).

use std::collections::BTreeMap;

use serde_json::Value;

use super::table::Reason;

/// Deepest list of a list that is looked into.
const DEPTH_MAX: usize = 4;

/// What a source said of the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// No reason at all.
    Nothing,
    /// A reason: a mapped one, or one that is not.
    Reason(Reason),
}

/// Texts that stand for a mapped reason, beside its own name: for example codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasonNames(BTreeMap<String, Reason>);

impl ReasonNames {
    /// The names of seed 000 and these others. Case does not matter.
    pub fn new(others: impl IntoIterator<Item = (String, Reason)>) -> Self {
        let others = others.into_iter().map(|(name, reason)| (name.trim().to_lowercase(), reason));
        Self(others.collect())
    }

    fn find(&self, text: &str) -> Option<Reason> {
        let text = text.trim();
        let own = Reason::MAPPED.into_iter().find(|r| r.name().eq_ignore_ascii_case(text));
        own.or_else(|| self.0.get(&text.to_lowercase()).copied())
    }

    /// The reason of a KV list: an object, or an array of pairs where keys repeat. The first value
    /// that is a mapped reason decides, else the first such key.
    pub fn of(&self, list: &Value) -> Given {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        collect(list, DEPTH_MAX, &mut keys, &mut values);
        if keys.is_empty() && values.is_empty() {
            return Given::Nothing;
        }
        let mapped = values.iter().chain(&keys).find_map(|text| self.find(text));
        Given::Reason(mapped.unwrap_or_default())
    }
}

fn collect(list: &Value, depth: usize, keys: &mut Vec<String>, values: &mut Vec<String>) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    match list {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => values.push(number.to_string()),
        Value::String(text) => values.push(text.clone()),
        Value::Object(pairs) => {
            for (key, value) in pairs {
                keys.push(key.clone());
                collect(value, deeper, keys, values);
            }
        }
        Value::Array(items) => {
            for item in items {
                if let Some([key, value]) = item.as_array().map(Vec::as_slice) {
                    keys.extend(key.as_str().map(str::to_owned));
                    collect(value, deeper, keys, values);
                } else {
                    collect(item, deeper, keys, values);
                }
            }
        }
    }
}
