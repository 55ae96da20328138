//! What becomes of an object of the organisation when what it stood for in Engage is gone: deleted,
//! moved out of the folders that are synchronised, or no longer what it was.

use trunkline_schemas::DesiredObject;
use trunkline_schemas::desired::{DesiredKind, Queue, User};

use super::settings::Edition;

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The user becomes inactive.
    Deactivate,
    /// The queue stays and loses its members.
    Empty,
    /// The object is deleted.
    Delete,
    /// The object stays as it is, and nothing is wanted of it any more.
    Leave,
}

/// Kind, by the rules of 2024 (seed 003, "Configuration Object Mapping Table"), by those of 2023
/// (seed 001).
pub const TABLE: [(DesiredKind, Fate, Fate); 5] = [
    (DesiredKind::User, Fate::Deactivate, Fate::Leave),
    (DesiredKind::Skill, Fate::Leave, Fate::Leave),
    (DesiredKind::Queue, Fate::Empty, Fate::Delete),
    (DesiredKind::WrapUpCode, Fate::Leave, Fate::Leave),
    (DesiredKind::Source, Fate::Leave, Fate::Leave),
];

/// What becomes of an object of that kind.
pub fn fate(kind: DesiredKind, edition: Edition) -> Fate {
    let row = TABLE[kind as usize];
    match edition {
        Edition::Of2024 => row.1,
        Edition::Of2023 => row.2,
    }
}

/// The object as it is to be now; nothing: nothing is wanted of it any more.
pub fn bereaved(told: &DesiredObject, edition: Edition) -> Option<DesiredObject> {
    match (told, fate(told.kind(), edition)) {
        (DesiredObject::User(user), Fate::Deactivate) => {
            Some(DesiredObject::User(User { active: false, persons: Vec::new(), ..user.clone() }))
        }
        (DesiredObject::Queue(queue), fate @ (Fate::Empty | Fate::Delete)) => {
            let (members, dns, delete) = (Vec::new(), Vec::new(), fate == Fate::Delete);
            Some(DesiredObject::Queue(Queue { members, dns, delete, ..queue.clone() }))
        }
        (
            DesiredObject::User(_)
            | DesiredObject::Skill(_)
            | DesiredObject::Queue(_)
            | DesiredObject::WrapUpCode(_)
            | DesiredObject::Source(_),
            Fate::Deactivate | Fate::Empty | Fate::Delete | Fate::Leave,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_finds_its_row() {
        for kind in DesiredKind::ALL {
            assert_eq!(TABLE[kind as usize].0, kind);
        }
        assert_eq!(fate(DesiredKind::Queue, Edition::Of2023), Fate::Delete);
        assert_eq!(fate(DesiredKind::Queue, Edition::Of2024), Fate::Empty);
        assert_eq!(fate(DesiredKind::User, Edition::Of2024), Fate::Deactivate);
    }
}
