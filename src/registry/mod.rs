//! A schema registry (Confluent's REST API): the schemas of all topics are registered there, so
//! that tools which know it can read them, and so that nobody changes them as they must not be
//! changed.
//!
//! Without one, or until it answers, records have the built-in ids, and the admin listener serves
//! the same API to be read ([`crate::admin`]).

use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder};
use schema_registry_converter::async_impl::schema_registry::{SrSettings, post_schema};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use trunkline_schemas::codec::BUILT_IN;
use trunkline_schemas::topics::{CATALOGUE, TopicSpec, ValueKind};

pub use self::ids::{SchemaIds, inward};
use crate::admin::metrics;
use crate::drive::Shell;

mod ids;

/// How long a request may take.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Between two attempts while something is wrong.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two looks whether everything is still there.
const LOOK: Duration = Duration::from_mins(1);
/// The kind of body the API takes.
const KIND: &str = "application/vnd.schemaregistry.v1+json";

/// Where the registry is, and who asks.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Its base URL, without a slash at its end.
    pub url: String,
    /// User and password.
    pub login: Option<(String, SecretString)>,
    /// Certificates to trust, as PEM; those of the system without.
    pub ca_pem: Option<Vec<u8>>,
}

/// Why the registry does not have every schema.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The settings do not make a client.
    #[error("the client cannot be made: {0}")]
    Setup(String),
    /// A schema was not taken.
    #[error("{subject}: {why}")]
    Refused {
        /// The subject.
        subject: String,
        /// What the registry, or the way to it, says.
        why: String,
    },
}

/// A registry.
pub struct Registry {
    settings: SrSettings,
    http: Client,
    config: RegistryConfig,
}

impl Registry {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// [`RegistryError::Setup`].
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let setup = |error: &dyn std::fmt::Display| RegistryError::Setup(error.to_string());
        let builder = || -> Result<ClientBuilder, RegistryError> {
            // No redirects: a password must not go where it was not meant to.
            let builder =
                Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(REQUEST_MAX);
            let Some(pem) = &config.ca_pem else { return Ok(builder) };
            let authorities = Certificate::from_pem_bundle(pem).map_err(|e| setup(&e))?;
            Ok(builder.tls_certs_only(authorities))
        };
        let mut settings = SrSettings::new_builder(config.url.clone());
        settings.set_timeout(REQUEST_MAX);
        if let Some((user, password)) = &config.login {
            settings.set_basic_authorization(user, Some(password.expose_secret()));
        }
        let settings = settings.build_with(builder()?).map_err(|e| setup(&e))?;
        let http = builder()?.build().map_err(|e| setup(&e))?;
        Ok(Self { settings, http, config })
    }

    /// Registers every schema that is not there yet, oldest first, and has the registry keep them
    /// compatible as DESIGN section 4 says; then the ids are those of the registry.
    ///
    /// # Errors
    /// The first schema that is not taken.
    pub async fn register(&self, ids: &SchemaIds) -> Result<usize, RegistryError> {
        let mut found = ids::Ids::new();
        for spec in &CATALOGUE {
            let Some(name) = spec.value.schema() else { continue };
            let subject = format!("{}-value", spec.topic);
            let schemas = (1..).zip(&BUILT_IN).filter(|(_, built_in)| built_in.name == name);
            for (number, (built_in_id, built_in)) in schemas.enumerate() {
                let text = built_in.text.to_owned();
                let schema = SuppliedSchema::new(None, SchemaType::Avro, text);
                let posted = post_schema(&self.settings, subject.clone(), schema).await;
                let posted = posted.map_err(|error| refused(&subject, &said(&error)))?;
                found.insert((spec.topic, built_in_id), posted.id);
                if number == 0 {
                    // A registry may know nothing of a subject before it has a schema.
                    self.keep(&subject, compatibility(spec)).await?;
                }
            }
        }
        let count = found.len();
        ids.set(found);
        Ok(count)
    }

    /// Sets how the schemas of a subject must be compatible.
    async fn keep(&self, subject: &str, level: &str) -> Result<(), RegistryError> {
        let url = format!("{}/config/{subject}", self.config.url);
        let mut put = self.http.put(url).header("content-type", KIND);
        if let Some((user, password)) = &self.config.login {
            put = put.basic_auth(user, Some(password.expose_secret()));
        }
        let body = json!({ "compatibility": level }).to_string();
        let answer = put.body(body).send().await;
        let answer = answer.map_err(|error| refused(subject, &error.without_url().to_string()))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(refused(subject, &format!("compatibility {level}: status {}", answer.status())))
    }
}

/// How the schemas of a topic must be compatible: what is raw is read by what is newer, everything
/// else by what is older too, for mixed versions and the way back (DESIGN section 4).
const fn compatibility(spec: &TopicSpec) -> &'static str {
    match spec.value {
        ValueKind::RawEvent | ValueKind::ConfigObject => "BACKWARD_TRANSITIVE",
        ValueKind::ConversationCommand
        | ValueKind::PresenceCommand
        | ValueKind::PresenceOutcome
        | ValueKind::Outcome
        | ValueKind::Segment
        | ValueKind::DirectoryRow
        | ValueKind::DesiredObject
        | ValueKind::ConfigOutcome
        | ValueKind::State
        | ValueKind::Original => "FULL_TRANSITIVE",
    }
}

fn refused(subject: &str, why: &str) -> RegistryError {
    RegistryError::Refused { subject: subject.to_owned(), why: why.to_owned() }
}

fn said(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.error),
        None => error.error.clone(),
    }
}

/// Keeps the schemas registered until the process stops. The first attempt is made before this
/// returns what remains to be run.
pub async fn start(
    shell: Shell,
    registry: Registry,
    ids: SchemaIds,
) -> impl Future<Output = ()> + Send + 'static {
    let mut last = registry.register(&ids).await;
    async move {
        let ready = shell.health.condition("schema registry");
        let mut was = None;
        loop {
            metrics::schema_registry_up(last.is_ok());
            let why = last.as_ref().err().map(|error| {
                format!("{error}; records keep the ids they have, and can be read all the same")
            });
            ready.set(why.is_none(), why.clone().unwrap_or_default());
            if was.as_ref() != Some(&why) {
                if let Some(why) = &why {
                    tracing::warn!("schema registry: {why}");
                } else {
                    tracing::info!("the schema registry has every schema");
                }
                was = Some(why);
            }
            let wait = if last.is_ok() { LOOK } else { AGAIN };
            tokio::select! {
                () = shell.stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
            last = registry.register(&ids).await;
        }
        ready.retire();
    }
}
