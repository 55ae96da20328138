//! `[schema_registry]`: where the schemas of the topics are registered.

use std::path::PathBuf;

use serde::Serialize;

use super::checks;
use super::codes::Code;
use super::configdb::{self, Password};
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
    pub password: Option<Password>,
    /// CA certificates to trust instead of those of the system, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// CA certificates that were read.
    #[serde(skip)]
    pub ca_pem: Option<Vec<u8>>,
}

impl SchemaRegistry {
    /// How the registry is reached.
    pub fn connection(&self) -> RegistryConfig {
        let password = self.password.as_ref().map(Password::value);
        RegistryConfig {
            url: self.url.clone(),
            login: self.user.clone().zip(password),
            ca_pem: self.ca_pem.clone(),
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
    let password = configdb::password(&mut section, environment);
    let ca = configdb::ca(&mut section);
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
    let (ca_file, ca_pem) = ca.ok()?.unzip();
    Some(SchemaRegistry { url: url?, user, password, ca_file, ca_pem })
}
