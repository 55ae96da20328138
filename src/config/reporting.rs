//! `[domain.interaction_reporting]`: the reporting engine of Interaction Servers.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::codes::Code;
use super::document::Flaw;
use super::reader::{Placed, Reader, Unique, shown};
use super::tls::{SourceTls, tls};
use super::{HostPort, checks};

/// Interactions of one medium that an agent may be allowed to handle.
const CAPACITY_MAX: u64 = 1_000;

/// Trunkline as the reporting engine of Interaction Servers (seed 002), in the place of Stat
/// Server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InteractionReporting {
    /// The bridge that is the engine: a server has one.
    pub bridge: String,
    /// The servers, distinct, at least one, in the order in which they are connected.
    pub servers: Vec<HostPort>,
    /// TLS to all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<SourceTls>,
    /// How many interactions of a medium an agent may handle.
    #[serde(serialize_with = "as_written")]
    pub capacity: BTreeMap<String, u32>,
    /// Of every other medium.
    pub capacity_default: u32,
}

/// As the file has it: a list of `medium=number`.
fn as_written<S: Serializer>(of: &BTreeMap<String, u32>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(of.iter().map(|(medium, most)| format!("{medium}={most}")))
}

/// Reads the section.
pub(super) fn interaction_reporting(mut section: Reader<'_>) -> Option<InteractionReporting> {
    let bridge = section.text("bridge").check(checks::name).required();
    let mut unique = Unique::new(section.document(), "Interaction Server");
    let servers = section.list("servers", checks::host_port).check(|servers| {
        if servers.is_empty() {
            let flaw = Flaw::new(Code::OutOfRange, "the list is empty");
            Err(flaw.hint("write `servers = [\"host:port\"]`"))
        } else {
            Ok(servers)
        }
    });
    let servers = servers.required();
    for Placed { value, key, span } in servers.iter().flatten() {
        unique.add(&value.to_string(), key, span);
    }
    let tls = tls(&mut section);
    let mut media = Unique::new(section.document(), "medium");
    let capacity = section.list("capacity", medium).or(Vec::new());
    for Placed { value: (name, _), key, span } in capacity.iter().flatten() {
        media.add(name, key, span);
    }
    let capacity_default = section.whole("capacity_default", 0..=CAPACITY_MAX).or(1);
    section.finish();
    Some(InteractionReporting {
        bridge: bridge?,
        servers: servers?.into_iter().map(|placed| placed.value).collect(),
        tls: tls.ok()?,
        capacity: capacity?.into_iter().map(|placed| placed.value).collect(),
        capacity_default: capacity_default? as u32,
    })
}

/// `medium=most`.
fn medium(text: &str) -> Result<(String, u32), Flaw> {
    let parts = text.split_once('=').map(|(name, most)| (name.trim(), most.trim().parse::<u32>()));
    match parts {
        Some((name, Ok(most))) if !name.is_empty() && u64::from(most) <= CAPACITY_MAX => {
            Ok((name.to_owned(), most))
        }
        Some(_) | None => {
            let said = format!("{} is no medium with its capacity", shown(text));
            let hint = format!("write for example `\"email=3\"`, at most {CAPACITY_MAX}");
            Err(Flaw::new(Code::OutOfRange, said).hint(hint))
        }
    }
}
