//! Which id a presence has in an organisation: `GET /api/v2/presence/definitions`. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use trunkline_schemas::SystemPresence;

/// Path of the operation.
pub const DEFINITIONS_PATH: &str = "/api/v2/presence/definitions";

/// The ids of the system presences that Engage agents can have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions(BTreeMap<SystemPresence, String>);

/// An answer that is no list of presence definitions.
#[derive(Debug, thiserror::Error)]
#[error("the answer is no list of presence definitions: {0}")]
pub struct DefinitionsError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Listing {
    entities: Vec<Definition>,
}

/// `OrganizationPresenceDefinition`, as much of it as matters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    id: String,
    /// `System` or `User`: users may make further ones of a system presence.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The older operation has this instead of a type.
    primary: Option<bool>,
    system_presence: Option<String>,
    #[serde(default)]
    deactivated: bool,
}

impl Definitions {
    /// Reads the answer. Definitions that were deactivated, or that users made, are none of ours.
    ///
    /// # Errors
    /// [`DefinitionsError`].
    pub fn read(answer: Value) -> Result<Self, DefinitionsError> {
        let listing: Listing = serde_json::from_value(answer)?;
        let mut ids = BTreeMap::new();
        for definition in listing.entities {
            let is_system = match &definition.kind {
                Some(kind) => kind.eq_ignore_ascii_case("System"),
                None => definition.primary == Some(true),
            };
            let named = definition.system_presence.as_deref().and_then(find);
            if let Some(presence) = named.filter(|_| is_system && !definition.deactivated) {
                ids.entry(presence).or_insert(definition.id);
            }
        }
        Ok(Self(ids))
    }

    /// Of ids by the names of their presences; other names are none of ours.
    pub fn named<'a>(ids: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let known = ids.into_iter().filter_map(|(name, id)| Some((find(name)?, id.clone())));
        Self(known.collect())
    }

    /// The id of a presence.
    pub fn id(&self, presence: SystemPresence) -> Option<&str> {
        self.0.get(&presence).map(String::as_str)
    }

    /// The presences that have none.
    pub fn missing(&self) -> Vec<SystemPresence> {
        let all = SystemPresence::ALL.into_iter();
        all.filter(|presence| !self.0.contains_key(presence)).collect()
    }
}

/// A presence by its name, which the older operation writes with spaces and in any case.
fn find(name: &str) -> Option<SystemPresence> {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    SystemPresence::ALL.into_iter().find(|presence| presence.name().eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn system_definitions_give_the_ids() {
        let answer = json!({ "total": 9, "entities": [
            { "id": "1", "type": "System", "systemPresence": "Busy", "deactivated": false },
            { "id": "2", "type": "User", "systemPresence": "Busy" },
            { "id": "3", "type": "System", "systemPresence": "On Queue" },
            { "id": "4", "type": "System", "systemPresence": "OnQueue" },
            { "id": "5", "type": "System", "systemPresence": "Available" },
            { "id": "6", "type": "System", "systemPresence": "Meal", "deactivated": true },
            { "id": "7", "primary": true, "systemPresence": "MEETING" },
            { "id": "8", "primary": false, "systemPresence": "Break" },
            { "id": "9", "type": "System" },
        ]});
        let read = Definitions::read(answer).expect("a listing");
        let table = [
            (SystemPresence::Busy, Some("1")),
            (SystemPresence::Break, None),
            (SystemPresence::Meal, None),
            (SystemPresence::Meeting, Some("7")),
            (SystemPresence::Training, None),
            (SystemPresence::OnQueue, Some("3")),
            (SystemPresence::Offline, None),
        ];
        for (presence, id) in table {
            assert_eq!(read.id(presence), id, "{presence:?}");
        }
        let missing = table.iter().filter(|(_, id)| id.is_none()).map(|(presence, _)| *presence);
        assert_eq!(read.missing(), missing.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_listing_is_an_error() {
        for answer in [json!({}), json!([]), json!(null), json!({ "entities": [{ "id": 7 }] })] {
            assert!(Definitions::read(answer.clone()).is_err(), "{answer}");
        }
    }
}
