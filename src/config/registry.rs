//! `[schema_registry]`: where the schemas of the topics are registered.

use serde::Serialize;

use super::access::{self, Authorities, Secret};
use super::checks;
use super::codes::Code;
use super::document::Flaw;
use super::reader::Reader;
use crate::registry::RegistryConfig;

/// The section.
#[derive(Clone, Debug, Serialize)]
pub struct SchemaRegistry {
    /// Its base URL, without a slash at its end.
    pub url: String,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(flatten)]
    pub password: Option<Secret>,
    /// Trusted instead of those of the system.
    #[serde(flatten)]
    pub ca: Option<Authorities>,
}

impl SchemaRegistry {
    /// How the registry is reached.
    pub fn connection(&self) -> RegistryConfig {
        let password = self.password.as_ref().map(|secret| secret.value.clone());
        RegistryConfig {
            url: self.url.clone(),
            login: self.user.clone().zip(password),
            ca_pem: self.ca.as_ref().map(Authorities::pem),
        }
    }
}

/// Reads the section.
pub(super) fn registry(
    mut section: Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<SchemaRegistry> {
    let url = section.text("url").check(checks::any_url).required();
    let user = section.text("user").check(|text| checks::id(text).map(Some)).or(None);
    let password = access::password(&mut section, environment);
    let ca = access::authorities(&mut section);
    let (user, password) = (user?, password.ok()?);
    if user.is_some() != password.is_some() {
        let flaw = Flaw::new(Code::MissingKey, "`user` and a password belong together");
        section.report("", flaw);
        return None;
    }
    if let Some(flaw) = user.as_ref().and_then(|_| checks::url(url.as_deref()?).err()) {
        section.report("url", flaw);
        return None;
    }
    section.finish();
    Some(SchemaRegistry { url: url?, user, password, ca: ca.ok()? })
}
