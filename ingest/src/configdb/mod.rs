//! The Engage Configuration Database into `raw.configdb` (docs/configuration-db.md).
//!
//! A poll reads everything of a tenant as of one moment; what differs from what stands in the topic
//! is told. The pure half: [`profile`] finds the tables, [`query`] writes the reads, [`rows`] makes
//! objects of the answers, [`diff`] compares and guards; [`dialect`] knows in what the kinds of
//! databases differ. The I/O half is [`database`], with a driver for each kind behind it.

pub mod database;
pub mod dialect;
pub mod diff;
#[cfg(feature = "oracle")]
pub mod oracle;
pub mod plain;
pub mod postgres;
pub mod probe;
pub mod profile;
pub mod query;
pub mod rows;
#[cfg(test)]
mod rows_tests;
pub mod sqlserver;
mod tds_tls;

use trunkline_schemas::Record;

use database::{DatabaseConfig, DbError, Session};
use diff::{Guard, Published, Refusal, changes};
use profile::{Mapping, Missing, Profile, resolve};
use query::{Query, queries};
use rows::{RowError, Snapshot};

/// What is read and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database.
    pub database: DatabaseConfig,
    /// Schema of its tables.
    pub schema: String,
    /// DBID of the tenant.
    pub tenant: i64,
    /// Physical names.
    pub profile: Profile,
    /// Whether objects are selected by folder, so that the tables of folders must be there.
    pub by_folder: bool,
    /// How much may vanish at once.
    pub guard: Guard,
    /// Digest of a state of the database that may be taken over whatever vanished.
    pub approved: Option<String>,
}

/// Why a bridge does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be read.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The database does not have what is needed.
    #[error("the database lacks what the profile `{profile}` needs:{}", list(.missing))]
    Missing {
        /// Name of the profile.
        profile: String,
        /// All that is missing.
        missing: Vec<Missing>,
    },
}

/// Why a poll told nothing.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The database could not be read.
    #[error(transparent)]
    Database(#[from] DbError),
    /// What was read makes no sense.
    #[error("the database is not as it should be: {0}")]
    Rows(#[from] RowError),
    /// Somebody must approve of it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

fn list(missing: &[Missing]) -> String {
    let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    format!("\n  {}", lines.join("\n  "))
}

/// A bridge that has found its tables.
#[derive(Debug)]
pub struct ConfigBridge {
    settings: Settings,
    mapping: Mapping,
    queries: Vec<Query>,
    session: Option<Session>,
    is_first: bool,
}

impl ConfigBridge {
    /// Finds the tables.
    ///
    /// # Errors
    /// [`StartError`], which names all that is missing.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let schema = settings.schema.clone();
        let catalog = async |session: &mut Session| session.catalog(&schema).await;
        let mut session = None;
        let catalog = settings.database.within(&mut session, catalog).await?;
        let resolution = resolve(&settings.profile, &settings.schema, &catalog);
        let mapping = resolution.usable(settings.by_folder).map_err(|missing| {
            StartError::Missing { profile: settings.profile.name.clone(), missing }
        })?;
        let queries = queries(&mapping, settings.database.kind);
        Ok(Self { settings, mapping, queries, session, is_first: true })
    }

    /// What every logical name is called in this database.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The configuration as it is.
    ///
    /// # Errors
    /// [`PollError`]
    pub async fn snapshot(&mut self) -> Result<Snapshot, PollError> {
        let (queries, tenant) = (&self.queries, self.settings.tenant);
        let read = async |session: &mut Session| session.read(queries, tenant).await;
        let rows = self.settings.database.within(&mut self.session, read).await?;
        Ok(Snapshot::of(&rows, tenant)?)
    }

    /// One poll: what to write after what is `published`, in this order. The first poll of a
    /// bridge always has its end to write, so that a processor with other settings concludes anew.
    ///
    /// # Errors
    /// [`PollError`]: nothing is to be written, and the next poll tries again.
    pub async fn poll(
        &mut self,
        published: &Published,
        at_ms: i64,
    ) -> Result<Vec<Record>, PollError> {
        let now = self.snapshot().await?;
        self.settings.guard.check(published, &now, self.settings.approved.as_deref())?;
        let records = changes(published, &now, at_ms, self.is_first);
        self.is_first = false;
        Ok(records)
    }
}
