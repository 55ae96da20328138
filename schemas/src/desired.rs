//! What the Genesys Cloud organisation is to hold of the Engage configuration: the values of
//! `command.config`, each the whole desired state of one object of the organisation, and what
//! became of it.
//!
//! The key names the object as Genesys Cloud tells objects apart, by a name without regard to case.
//! A tombstone means that Engage wants nothing any more of the object: it stays as it is. What
//! Engage does not control is in none of these types and is left alone.

use serde::{Deserialize, Serialize};

use crate::directory::DnAt;
use crate::outcome::OutcomeStatus;

/// What a person is to Genesys Cloud (seed 003, "Roles").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UserKind {
    /// *Is Agent* is not set.
    NonAgent,
    /// *Is Agent* is set.
    Agent,
    /// *Is Agent* is set, and `htcc/roles` has *Supervisor*.
    Supervisor,
}

impl UserKind {
    /// Every one, in the order of the Avro enum.
    pub const ALL: [Self; 3] = [Self::NonAgent, Self::Agent, Self::Supervisor];
}

/// The division objects are assigned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Division {
    /// The organisation's own (seed 003: "assigned to Home Division").
    Home,
}

/// A skill of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserSkill {
    /// Name of the skill as its [`Skill`] has it.
    pub name: String,
    /// The proficiency in tenths, 0 to 50: 28 is 2.8.
    pub proficiency_tenths: i32,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// `userName`, a valid e-mail address. A user of that name is the one meant, also an inactive
    /// one; else the one that stood for the same person before.
    pub user_name: String,
    /// `displayName`.
    pub display_name: String,
    /// `emails`: the E-Mail of the person, if it has one.
    pub e_mail: Option<String>,
    /// `externalId`.
    pub external_id: String,
    /// `active`.
    pub active: bool,
    /// What the person is.
    pub kind: UserKind,
    /// Roles to grant when the user is created, and to add when a user that was an agent has become
    /// a supervisor or the other way round. None is ever taken away.
    pub roles: Vec<String>,
    /// Its division.
    pub division: Division,
    /// Skills of Engage, by name. Others that the user has are left alone.
    pub skills: Vec<UserSkill>,
    /// Employee IDs it goes by in events, for the directory.
    pub employee_ids: Vec<String>,
    /// DBIDs of the persons it stands for, the one that decides first. None: they are gone.
    pub persons: Vec<i64>,
}

/// A skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// DBIDs of the skills it stands for, the one that decides first.
    pub skills: Vec<i64>,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: String,
    /// `peerId`: the DBID of the DN.
    pub peer_id: String,
    /// Members by `userName`, in order. Every other member is removed.
    pub members: Vec<String>,
    /// Wrap-up codes by name. Others that the queue has are left alone.
    pub wrap_up_codes: Vec<String>,
    /// The DNs it stands for, for the directory. None: they are gone.
    pub dns: Vec<DnAt>,
    /// Whether the queue itself is to be deleted, which only the older rules want (seed 001).
    pub delete: bool,
}

/// A wrap-up code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapUpCode {
    /// Its name.
    pub name: String,
    /// Names of the dispositions it stands for, which differ in case at most.
    pub values: Vec<String>,
}

/// The presence source that stands for Engage; it becomes the primary one of each user that is
/// created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
}

/// One value of `command.config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DesiredObject {
    /// A user.
    User(User),
    /// A skill.
    Skill(Skill),
    /// A queue.
    Queue(Queue),
    /// A wrap-up code.
    WrapUpCode(WrapUpCode),
    /// The presence source.
    Source(Source),
}

/// Kinds of objects of the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DesiredKind {
    /// A user.
    User,
    /// A skill.
    Skill,
    /// A queue.
    Queue,
    /// A wrap-up code.
    WrapUpCode,
    /// The presence source.
    Source,
}

impl DesiredKind {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::User, Self::Skill, Self::Queue, Self::WrapUpCode, Self::Source];

    /// Its name in keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Skill => "skill",
            Self::Queue => "queue",
            Self::WrapUpCode => "wrap-up-code",
            Self::Source => "source",
        }
    }

    /// Key of the object of that name: two names that differ only in case are one object.
    pub fn key(self, name: &str) -> String {
        format!("{}/{}", self.name(), name.to_lowercase())
    }

    /// The kind a key names.
    pub fn of_key(key: &str) -> Option<Self> {
        let (name, _) = key.split_once('/')?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl DesiredObject {
    /// Its kind.
    pub const fn kind(&self) -> DesiredKind {
        match self {
            Self::User(_) => DesiredKind::User,
            Self::Skill(_) => DesiredKind::Skill,
            Self::Queue(_) => DesiredKind::Queue,
            Self::WrapUpCode(_) => DesiredKind::WrapUpCode,
            Self::Source(_) => DesiredKind::Source,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::User(it) => &it.user_name,
            Self::Skill(it) => &it.name,
            Self::Queue(it) => &it.name,
            Self::WrapUpCode(it) => &it.name,
            Self::Source(it) => &it.name,
        }
    }

    /// Key of its record.
    pub fn key(&self) -> String {
        self.kind().key(self.name())
    }
}

/// What became of an object, or what is wrong with one of Engage: a fact for `outcome.config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigOutcome {
    /// What became of it.
    pub status: OutcomeStatus,
    /// Key of the object of the organisation, or of Engage if it is about that one; also the key of
    /// the record.
    pub object: String,
    /// Id in Genesys Cloud, if it has one.
    pub gc_id: Option<String>,
    /// What was done to it.
    pub action: Option<String>,
    /// A code from a closed list.
    pub code: Option<String>,
    /// What is known besides; never a name of a person.
    pub reason: Option<String>,
    /// How often it was sent.
    pub attempts: i32,
    /// When, milliseconds since 1970: of an answer, the sink's clock; else stream time.
    pub at_ms: i64,
}
