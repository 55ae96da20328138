//! What the Engage configuration says, object by object: the values of `raw.configdb`.
//!
//! One record an object, with everything of it that a reader needs: its row, the rows that hang on
//! it (skill levels, members, values), the options of its annex and the folder it is in. Nothing
//! else of an annex is taken, so no secret of the `hybrid_integration` transaction is ever here.

use serde::{Deserialize, Serialize};

/// Type of a configuration object (`CfgObjectType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectType {
    /// A switch.
    Switch,
    /// A DN of a switch.
    Dn,
    /// A person.
    Person,
    /// An agent group, virtual or not.
    AgentGroup,
    /// A tenant.
    Tenant,
    /// A skill.
    Skill,
    /// A transaction, of which only `hybrid_integration` is read.
    Transaction,
    /// A folder.
    Folder,
    /// A business attribute (enumerator) with its values.
    BusinessAttribute,
}

impl ObjectType {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Switch,
        Self::Dn,
        Self::Person,
        Self::AgentGroup,
        Self::Tenant,
        Self::Skill,
        Self::Transaction,
        Self::Folder,
        Self::BusinessAttribute,
    ];

    /// Its number in the Config DB.
    pub const fn number(self) -> i64 {
        match self {
            Self::Switch => 1,
            Self::Dn => 2,
            Self::Person => 3,
            Self::AgentGroup => 5,
            Self::Tenant => 7,
            Self::Skill => 13,
            Self::Transaction => 16,
            Self::Folder => 22,
            Self::BusinessAttribute => 35,
        }
    }

    /// The type of that number, if it is one that is read.
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its name in keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Dn => "dn",
            Self::Person => "person",
            Self::AgentGroup => "agent-group",
            Self::Tenant => "tenant",
            Self::Skill => "skill",
            Self::Transaction => "transaction",
            Self::Folder => "folder",
            Self::BusinessAttribute => "business-attribute",
        }
    }
}

/// Type of a DN (`CfgDNType`), of those that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DnType {
    /// Where an agent works.
    Extension,
    /// An ACD queue.
    AcdQueue,
    /// A routing point.
    RoutingPoint,
    /// A virtual queue.
    VirtualQueue,
    /// A routing queue.
    RoutingQueue,
}

impl DnType {
    /// Every one, in the order of the Avro enum.
    pub const ALL: [Self; 5] = [
        Self::Extension,
        Self::AcdQueue,
        Self::RoutingPoint,
        Self::VirtualQueue,
        Self::RoutingQueue,
    ];

    /// Its number in the Config DB.
    pub const fn number(self) -> i64 {
        match self {
            Self::Extension => 1,
            Self::AcdQueue => 3,
            Self::RoutingPoint => 4,
            Self::VirtualQueue => 5,
            Self::RoutingQueue => 22,
        }
    }

    /// The type of that number, if it is one that is read.
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// The tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
}

/// A DN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dn {
    /// Its DBID.
    pub dbid: i64,
    /// DBID of its switch.
    pub switch: i64,
    /// Its type.
    pub kind: DnType,
    /// Its number; of a virtual queue, its name.
    pub number: String,
    /// Its alias; empty if there is none.
    pub alias: String,
    /// Whether its state is *Enabled*.
    pub enabled: bool,
    /// DBID of the folder it is in.
    pub folder: Option<i64>,
    /// When it was last modified, by the history: milliseconds since 1970 of a time whose zone is
    /// not known, taken for UTC.
    pub modified_ms: Option<i64>,
}

/// A skill of a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SkillLevel {
    /// DBID of the skill.
    pub skill: i64,
    /// The level.
    pub level: i64,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// Its DBID.
    pub dbid: i64,
    /// User Name.
    pub user_name: String,
    /// Employee ID.
    pub employee_id: String,
    /// E-Mail; empty if there is none, as every text here.
    pub e_mail: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// The *Is Agent* flag.
    pub is_agent: bool,
    /// Whether its state is *Enabled*.
    pub enabled: bool,
    /// DBID of the folder it is in.
    pub folder: Option<i64>,
    /// Annex, `htcc/roles`: a list separated by commas.
    pub roles: Option<String>,
    /// Its skills, by their DBID.
    pub skills: Vec<SkillLevel>,
}

/// A skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
    /// Whether its state is *Enabled*.
    pub enabled: bool,
    /// DBID of the folder it is in.
    pub folder: Option<i64>,
}

/// An agent group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentGroup {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
    /// Whether its state is *Enabled*.
    pub enabled: bool,
    /// DBID of the folder it is in.
    pub folder: Option<i64>,
    /// Annex, `hybrid/WFM_queue_number`: the queue DN its members work for.
    pub queue: Option<String>,
    /// Annex, `virtual/script`: the expression that makes it a virtual agent group.
    pub script: Option<String>,
    /// DBIDs of the persons listed as members, in order. A virtual agent group lists none.
    pub members: Vec<i64>,
}

/// A value of a business attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttributeValue {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
    /// Whether its state is *Enabled*.
    pub enabled: bool,
}

/// A business attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusinessAttribute {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
    /// Whether its type is *Interaction Operational Attribute*.
    pub operational: bool,
    /// Whether its state is *Enabled*.
    pub enabled: bool,
    /// Annex, `htcc/contains`.
    pub contains: Option<String>,
    /// Its values, by their DBID.
    pub values: Vec<AttributeValue>,
}

/// One option of an annex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AnnexOption {
    /// Its section.
    pub section: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The transaction `hybrid_integration` (seed 003, "Transaction Object"): only the options that are
/// needed and are no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
    /// The options, in order.
    pub options: Vec<AnnexOption>,
}

impl Transaction {
    /// The value of an option. An empty one is none, for one kind of database cannot tell the two.
    pub fn option(&self, section: &str, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|o| o.section == section && o.name == name)?;
        Some(found.value.trim()).filter(|value| !value.is_empty())
    }
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Its DBID.
    pub dbid: i64,
    /// Its name.
    pub name: String,
    /// Number of the type of the objects in it (`CfgObjectType`).
    pub kind: i64,
    /// DBID of the folder it is in; none for one that lies in a unit itself.
    pub parent: Option<i64>,
}

/// A poll of the database is all told: every object whose record stands before this one is as it
/// was at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// When the database was read, milliseconds since 1970.
    pub at_ms: i64,
    /// Objects there are.
    pub objects: i64,
    /// SHA-256 of the whole configuration, hexadecimal: whether two polls found the same.
    pub digest: String,
}

/// One value of `raw.configdb`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigObject {
    /// The tenant.
    Tenant(Tenant),
    /// A switch.
    Switch(Switch),
    /// A DN.
    Dn(Dn),
    /// A person.
    Person(Person),
    /// A skill.
    Skill(Skill),
    /// An agent group.
    AgentGroup(AgentGroup),
    /// A business attribute.
    BusinessAttribute(BusinessAttribute),
    /// The transaction.
    Transaction(Transaction),
    /// A folder.
    Folder(Folder),
    /// The end of a poll.
    Poll(Poll),
}

/// Key of [`ConfigObject::Poll`].
pub const POLL_KEY: &str = "poll";

impl ConfigObject {
    /// Its type; nothing for the end of a poll.
    pub const fn kind(&self) -> Option<ObjectType> {
        match self {
            Self::Tenant(_) => Some(ObjectType::Tenant),
            Self::Switch(_) => Some(ObjectType::Switch),
            Self::Dn(_) => Some(ObjectType::Dn),
            Self::Person(_) => Some(ObjectType::Person),
            Self::Skill(_) => Some(ObjectType::Skill),
            Self::AgentGroup(_) => Some(ObjectType::AgentGroup),
            Self::BusinessAttribute(_) => Some(ObjectType::BusinessAttribute),
            Self::Transaction(_) => Some(ObjectType::Transaction),
            Self::Folder(_) => Some(ObjectType::Folder),
            Self::Poll(_) => None,
        }
    }

    /// Its DBID; 0 for the end of a poll.
    pub const fn dbid(&self) -> i64 {
        match self {
            Self::Tenant(it) => it.dbid,
            Self::Switch(it) => it.dbid,
            Self::Dn(it) => it.dbid,
            Self::Person(it) => it.dbid,
            Self::Skill(it) => it.dbid,
            Self::AgentGroup(it) => it.dbid,
            Self::BusinessAttribute(it) => it.dbid,
            Self::Transaction(it) => it.dbid,
            Self::Folder(it) => it.dbid,
            Self::Poll(_) => 0,
        }
    }

    /// Key of its record: type and DBID, unique for ever (a DBID is never given again).
    pub fn key(&self) -> String {
        self.kind().map_or_else(|| POLL_KEY.to_owned(), |kind| object_key(kind, self.dbid()))
    }
}

/// Key of the record of an object.
pub fn object_key(kind: ObjectType, dbid: i64) -> String {
    format!("{}/{dbid}", kind.name())
}

/// The object a key names; nothing for [`POLL_KEY`] and for what is no key.
pub fn parse_key(key: &str) -> Option<(ObjectType, i64)> {
    let (name, dbid) = key.split_once('/')?;
    let kind = ObjectType::ALL.into_iter().find(|kind| kind.name() == name)?;
    Some((kind, dbid.parse().ok()?))
}
