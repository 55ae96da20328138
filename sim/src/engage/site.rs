//! The small site that is simulated: its servers, agents, queues and the ids they go by. All of it
//! follows from the seed, so that a seed names the same site and the same calls for good.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The SIP Server of the site.
pub const SIP_SERVER: &str = "sips1";
/// The server of the VQ DNs, where they have their own (call model 19).
pub const VQ_SERVER: &str = "vqs";
/// The process that takes the SIP Server's place when that fails.
pub const BACKUP_SERVER: &str = "sips1b";
/// The SIP Server of the second site.
pub const SECOND_SERVER: &str = "sips2";
/// The switch all DNs of the site belong to.
pub const SWITCH: &str = "SITE1";
/// The switch of the second site.
const SECOND_SWITCH: &str = "SITE2";

/// Both, in the order of their DBIDs.
pub(super) const SWITCHES: [&str; 2] = [SWITCH, SECOND_SWITCH];

/// First extension; agent *i* sits at this number plus *i*.
const EXTENSION_FIRST: usize = 7001;
/// First employee number, written `A1001`.
const EMPLOYEE_FIRST: usize = 1001;
/// First Routing Point; each queue is fed by its own.
const ROUTING_POINT_FIRST: usize = 5000;
/// The number customers dial for the first Routing Point.
const DNIS_FIRST: u64 = 15_559_990_000;
/// The virtual queues.
const VIRTUAL_QUEUES: [&str; 3] = ["VQ_Sales", "VQ_Support", "VQ_Billing"];
/// The virtual queue that only recorded calls come into.
const OVERFLOW_QUEUE: &str = "VQ_Overflow";
/// The agents of a cell by the names of the fixtures: employee, DN and switch.
const CELL_AGENTS: [(&str, &str, &str); 3] =
    [("A1001", "7001", SWITCH), ("A1002", "7002", SWITCH), ("A2001", "8001", SECOND_SWITCH)];
/// Who is at a phone of a cell, but not in the directory; and a phone nobody is logged in at.
const CELL_STRANGERS: [&str; 3] = ["A1003", "7003", "7999"];
/// The wrap-up codes of the organisation.
pub(super) const WRAP_UP_CODES: [&str; 3] = ["Resolved", "Callback", "Wrong number"];

/// Digits of a CallUUID (tlib.md section 4).
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
/// The part of a CallUUID that is constant for a server.
const UUID_PREFIX_DIGITS: usize = 26;
/// The counting part of a CallUUID.
const UUID_COUNTER_DIGITS: u32 = 6;
/// Counter values kept for one call: its own and those of its parties.
const IDS_PER_CALL: u64 = 16;

/// An agent and the extension he is logged in at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) employee: String,
    pub(super) dn: String,
    pub(super) user_id: String,
}

/// A virtual queue and the Routing Point whose strategy queues calls on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) dn: String,
    pub(super) id: String,
    pub(super) routing_point: String,
    pub(super) dnis: String,
}

/// The site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) agents: Vec<Agent>,
    pub(super) queues: Vec<Queue>,
    /// Whether the VQ DNs live on a server of their own.
    pub(super) vq_server: bool,
    /// Cells of agents for recorded calls, where there is a second site.
    cells: Option<usize>,
    seed: u64,
    call_prefix: String,
    queue_prefix: String,
    conn_prefix: String,
}

impl Site {
    /// The site of this seed, with that many agents.
    pub(super) fn new(seed: u64, agents: usize, vq_server: bool) -> Self {
        let agent = |number: usize| {
            let employee = format!("A{}", EMPLOYEE_FIRST + number);
            let user_id = uuid_of(seed, "user", &employee);
            Agent { dn: (EXTENSION_FIRST + number).to_string(), employee, user_id }
        };
        let queue = |(number, name): (usize, &&str)| Queue {
            dn: (*name).to_owned(),
            id: uuid_of(seed, "queue", name),
            routing_point: (ROUTING_POINT_FIRST + number).to_string(),
            dnis: format!("+{}", DNIS_FIRST + number as u64),
        };
        let conn = digest(seed, "connection", SIP_SERVER);
        Self {
            agents: (0..agents).map(agent).collect(),
            queues: VIRTUAL_QUEUES.iter().enumerate().map(queue).collect(),
            vq_server,
            cells: None,
            seed,
            call_prefix: base32_prefix(seed, SIP_SERVER),
            queue_prefix: base32_prefix(seed, "URS1"),
            conn_prefix: format!("0071{:02x}{:02x}", conn[0], conn[1]),
        }
    }

    /// The same with a second site, a backup of the SIP Server, and so many cells of agents for
    /// recorded calls.
    pub(super) fn with_second(self, cells: usize) -> Self {
        Self { cells: Some(cells), ..self }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// GC id of the user of an employee.
    pub(super) fn user_id(&self, employee: &str) -> String {
        uuid_of(self.seed, "user", employee)
    }

    /// GC id of a virtual queue.
    pub(super) fn queue_id(&self, dn: &str) -> String {
        uuid_of(self.seed, "queue", dn)
    }

    /// A name of a fixture as it is in a cell, if it is that of somebody or a phone of theirs.
    pub(super) fn recorded_name(name: &str, cell: usize) -> String {
        let agent = CELL_AGENTS.iter().any(|(employee, dn, _)| [*employee, *dn].contains(&name));
        if agent || CELL_STRANGERS.contains(&name) {
            format!("{name}{cell:03}")
        } else {
            name.to_owned()
        }
    }

    /// A CallUUID, PartyUUID, VQID or link of a fixture as it is in the call of this number.
    pub(super) fn recorded_id(&self, call: u32, id: &str) -> String {
        let digits = digest(self.seed, "recorded", &format!("{call}/{id}"));
        digits.iter().map(|byte| base32_digit(u64::from(*byte))).collect()
    }

    /// A ConnID of a fixture as it is in the call of this number.
    pub(super) fn recorded_conn_id(&self, call: u32, id: &str) -> String {
        let digits = digest(self.seed, "recorded connection", &format!("{call}/{id}"));
        digits[..6].iter().fold("0071".to_owned(), |id, byte| format!("{id}{byte:02x}"))
    }

    /// CallUUID of a call, by its number.
    pub(super) fn call_uuid(&self, call: u32) -> String {
        format!("{}{}", self.call_prefix, base32_counter(call_base(call)))
    }

    /// PartyUUID of the *n*th party of a call (1 to 15).
    pub(super) fn party_uuid(&self, call: u32, party: u8) -> String {
        format!("{}{}", self.call_prefix, base32_counter(call_base(call) + u64::from(party)))
    }

    /// VQID of the *n*th time a call is queued.
    pub(super) fn vq_id(&self, call: u32, time: u8) -> String {
        format!("{}{}", self.queue_prefix, base32_counter(call_base(call) + u64::from(time)))
    }

    /// ConnID of a call.
    pub(super) fn conn_id(&self, call: u32) -> String {
        format!("{}{:08x}", self.conn_prefix, call + 1)
    }

    /// The directory of the site, in the format of the command line's directory file.
    pub(super) fn directory(&self) -> Value {
        let mut servers = vec![json!({"name": SIP_SERVER, "switch": SWITCH})];
        if self.vq_server {
            servers.push(json!({"name": VQ_SERVER, "switch": SWITCH}));
        }
        let agent = |employee: &str, user_id: &str, dn: &str, switch: &str| {
            let logins = json!([{"dn": dn, "switch": switch}]);
            json!({"employeeId": employee, "userId": user_id, "logins": logins})
        };
        let extension = |dn: &str, switch: &str| json!({"dn": dn, "switch": switch});
        let queue = |dn: &str, id: &str| json!({"dn": dn, "switch": SWITCH, "queueId": id});
        let own = self.agents.iter();
        let mut agents: Vec<_> =
            own.clone().map(|one| agent(&one.employee, &one.user_id, &one.dn, SWITCH)).collect();
        let mut extensions: Vec<_> = own.map(|one| extension(&one.dn, SWITCH)).collect();
        let mut queues: Vec<_> = self.queues.iter().map(|one| queue(&one.dn, &one.id)).collect();
        if let Some(cells) = self.cells {
            servers.push(json!({"name": BACKUP_SERVER, "switch": SWITCH}));
            servers.push(json!({"name": SECOND_SERVER, "switch": SECOND_SWITCH}));
            queues.push(queue(OVERFLOW_QUEUE, &self.queue_id(OVERFLOW_QUEUE)));
            for cell in 0..cells {
                for (employee, dn, switch) in CELL_AGENTS {
                    let (employee, dn) =
                        (Self::recorded_name(employee, cell), Self::recorded_name(dn, cell));
                    agents.push(agent(&employee, &self.user_id(&employee), &dn, switch));
                    extensions.push(extension(&dn, switch));
                }
                let phones = CELL_STRANGERS.iter().filter(|name| !name.starts_with('A'));
                extensions
                    .extend(phones.map(|dn| extension(&Self::recorded_name(dn, cell), SWITCH)));
            }
        }
        let codes = WRAP_UP_CODES
            .iter()
            .map(|name| json!({"name": name, "id": uuid_of(self.seed, "wrapUpCode", name)}));
        json!({
            "servers": servers,
            "agents": agents,
            "queues": queues,
            "extensions": extensions,
            "wrapUpCodes": codes.collect::<Vec<_>>(),
            "sourceId": uuid_of(self.seed, "source", SIP_SERVER),
        })
    }
}

fn call_base(call: u32) -> u64 {
    (u64::from(call) + 1) * IDS_PER_CALL
}

fn digest(seed: u64, kind: &str, name: &str) -> [u8; 32] {
    Sha256::digest(format!("{seed}/{kind}/{name}")).into()
}

/// A UUID with the version 4 bits set, as Genesys Cloud asks for.
fn uuid_of(seed: u64, kind: &str, name: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(seed, kind, name)[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().as_hyphenated().to_string()
}

fn base32_prefix(seed: u64, name: &str) -> String {
    let digits = digest(seed, "uuid", name);
    digits[..UUID_PREFIX_DIGITS].iter().map(|byte| base32_digit(u64::from(*byte))).collect()
}

fn base32_counter(value: u64) -> String {
    (0..UUID_COUNTER_DIGITS).rev().map(|place| base32_digit(value >> (5 * place))).collect()
}

fn base32_digit(value: u64) -> char {
    char::from(BASE32[(value & 31) as usize])
}

/// Whether this is a UUID of version 4; the tests of the other modules ask it too.
#[cfg(test)]
pub(super) fn is_uuid_v4(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok_and(|id| id.get_version_num() == 4)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_have_the_formats_of_the_real_ones_and_never_meet() {
        let site = Site::new(7, 60, false);
        let mut seen = BTreeSet::new();
        for call in 0..500 {
            let mut ids = vec![site.call_uuid(call), site.vq_id(call, 1), site.vq_id(call, 2)];
            ids.extend((1..=5).map(|party| site.party_uuid(call, party)));
            for id in ids {
                assert_eq!(id.len(), 32, "{id}");
                assert!(id.bytes().all(|byte| BASE32.contains(&byte)), "{id}");
                assert!(seen.insert(id));
            }
            let conn = site.conn_id(call);
            assert_eq!(conn.len(), 16);
            assert!(seen.insert(conn));
        }
    }

    #[test]
    fn the_directory_names_every_object_once() {
        let site = Site::new(7, 60, true);
        let directory = site.directory();
        assert_eq!(directory["servers"][1]["name"], "vqs");
        assert_eq!(directory["agents"].as_array().map(Vec::len), Some(60));
        assert_eq!(directory["extensions"].as_array().map(Vec::len), Some(60));
        assert_eq!(directory["queues"][0]["dn"], "VQ_Sales");
        assert_eq!(directory["queues"][0]["switch"], "SITE1");
        let last = &directory["agents"][59];
        assert_eq!(last["employeeId"], "A1060");
        assert_eq!(last["logins"][0]["dn"], "7060");
        let mut ids = BTreeSet::new();
        for (list, key) in [("agents", "userId"), ("queues", "queueId"), ("wrapUpCodes", "id")] {
            for row in directory[list].as_array().expect("a list") {
                let id = row[key].as_str().expect("an id");
                assert!(is_uuid_v4(id), "{id}");
                assert!(ids.insert(id.to_owned()));
            }
        }
        assert!(is_uuid_v4(directory["sourceId"].as_str().expect("an id")));
        assert_ne!(Site::new(8, 60, true).directory(), directory);
    }
}
