//! `[redis]`: where the processes of one installation share the allowance.

use serde::Serialize;

use super::access::{self, Authorities, Secret};
use super::codes::Code;
use super::document::Flaw;
use super::reader::{Placed, Reader, Unique};
use super::{HostPort, checks};
use crate::redis::{RedisConfig, Servers};

/// The section.
#[derive(Clone, Debug, Serialize)]
pub struct Redis {
    /// The server; this or `sentinels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<HostPort>,
    /// Sentinels that know where the master is, in the order in which they are asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sentinels: Vec<HostPort>,
    /// Name of the master, as the Sentinels have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// A user of the access control list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(flatten)]
    pub password: Option<Secret>,
    /// The connection is TLS with them only.
    #[serde(flatten)]
    pub ca: Option<Authorities>,
}

impl Redis {
    /// How Redis is reached.
    pub fn connection(&self) -> RedisConfig {
        let address = |at: &HostPort| (at.host.clone(), at.port);
        let place = match (&self.server, &self.master) {
            (Some(server), _) => Servers::Server(server.host.clone(), server.port),
            (None, master) => Servers::Sentinels {
                sentinels: self.sentinels.iter().map(address).collect(),
                master: master.clone().unwrap_or_default(),
            },
        };
        RedisConfig {
            place,
            user: self.user.clone(),
            password: self.password.as_ref().map(|secret| secret.value.clone()),
            ca_pem: self.ca.as_ref().map(Authorities::pem),
        }
    }
}

/// Reads the section.
pub(super) fn redis(
    mut section: Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Redis> {
    let has = [section.has("server"), section.has("sentinels"), section.has("master")];
    let flaw = match has {
        [true, false, false] | [false, true, true] => None,
        [false, false, false] => Some(
            Flaw::new(Code::MissingKey, "it does not say where Redis is")
                .hint("write `server = \"host:port\"`, or `sentinels` and `master`"),
        ),
        [true, _, _] => {
            let said = "`server` and `sentinels` with `master` exclude each other";
            Some(Flaw::new(Code::Contradiction, said))
        }
        [false, _, _] => {
            Some(Flaw::new(Code::MissingKey, "`sentinels` and `master` belong together"))
        }
    };
    let is_placed = flaw.is_none();
    if let Some(flaw) = flaw {
        section.report("", flaw);
    }
    let server = section.text("server").check(|text| checks::host_port(text).map(Some)).or(None);
    let sentinels = section.list("sentinels", checks::host_port).or(Vec::new());
    let mut unique = Unique::new(section.document(), "Sentinel");
    for Placed { value, key, span } in sentinels.iter().flatten() {
        unique.add(&value.to_string(), key, span);
    }
    let master = section.text("master").check(|text| checks::id(text).map(Some)).or(None);
    let user = section.text("user").check(|text| checks::id(text).map(Some)).or(None);
    let password = access::password(&mut section, environment);
    let ca = access::authorities(&mut section);
    section.finish();
    let read = Redis {
        server: server?,
        sentinels: sentinels?.into_iter().map(|placed| placed.value).collect(),
        master: master?,
        user: user?,
        password: password.ok()?,
        ca: ca.ok()?,
    };
    is_placed.then_some(read)
}
