//! The seam between the bridge and a database: where it is, and the three things asked of a
//! connection to it. Behind it, a module for each kind.

use std::time::Duration;

use rustls::SupportedProtocolVersion;
use secrecy::SecretString;

use super::dialect::DatabaseKind;
use super::profile::CatalogColumn;
use super::query::Query;
use super::rows::Rows;
use super::{postgres, sqlserver};
use crate::wire;

#[cfg(feature = "oracle")]
use super::oracle;

/// Rows of one read.
pub(super) const ROWS_MAX: usize = 5_000_000;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// What it is.
    pub kind: DatabaseKind,
    /// Name or IP address; of PostgreSQL, the folder of a Unix socket as well.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database; of Oracle, of the service.
    pub database: String,
    /// Who reads.
    pub user: String,
    /// The password, if one is asked for.
    pub password: Option<SecretString>,
    /// CA certificates as PEM: with them the connection is TLS and the server must prove its name;
    /// without, it is not encrypted.
    pub ca_pem: Option<Vec<u8>>,
    /// How long a poll may take, connecting included.
    pub timeout: Duration,
}

/// Why a read failed. Never what stands in the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The CA certificates are none.
    #[error("the CA file holds no usable certificate")]
    BadCa,
    /// This program cannot read that kind of database.
    #[error("this program was built without {0}: build it with `--features oracle`")]
    NotBuilt(DatabaseKind),
    /// It took too long.
    #[error("the database did not answer within {0} s")]
    Timeout(u64),
    /// What the database says, or what became of the connection.
    #[error("{doing}: {why}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What is wrong, by its code.
        why: String,
    },
    /// A read gave more rows than are taken.
    #[error("the table for {0} has more than {ROWS_MAX} rows")]
    TooMany(&'static str),
}

impl DbError {
    /// What went wrong while something was done.
    pub(super) fn of(doing: &'static str, why: impl Into<String>) -> Self {
        Self::Database { doing, why: why.into() }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Session {
    /// To PostgreSQL.
    PostgreSql(postgres::Session),
    /// To SQL Server.
    SqlServer(sqlserver::Session),
    /// To Oracle.
    #[cfg(feature = "oracle")]
    Oracle(oracle::Session),
}

impl DatabaseConfig {
    /// Runs something against the database within the time-out, on the connection that is kept, if
    /// it is still there, else on a new one. It is kept if nothing went wrong.
    ///
    /// # Errors
    /// [`DbError`] of connecting, of the work, or the time-out.
    pub async fn within<T>(
        &self,
        kept: &mut Option<Session>,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let open = kept.take().filter(|session| !session.is_closed());
        let all = async {
            let mut session = match open {
                Some(session) => session,
                None => Session::connect(self).await?,
            };
            Ok((work(&mut session).await?, session))
        };
        match tokio::time::timeout(self.timeout, all).await {
            Ok(done) => done.map(|(found, session)| {
                *kept = Some(session);
                found
            }),
            Err(_) => Err(DbError::Timeout(self.timeout.as_secs())),
        }
    }
}

impl Session {
    async fn connect(config: &DatabaseConfig) -> Result<Self, DbError> {
        match config.kind {
            DatabaseKind::PostgreSql => {
                postgres::Session::connect(config).await.map(Self::PostgreSql)
            }
            DatabaseKind::SqlServer => {
                sqlserver::Session::connect(config).await.map(Self::SqlServer)
            }
            #[cfg(feature = "oracle")]
            DatabaseKind::Oracle => oracle::Session::connect(config).await.map(Self::Oracle),
            #[cfg(not(feature = "oracle"))]
            DatabaseKind::Oracle => Err(DbError::NotBuilt(config.kind)),
        }
    }

    /// Whether the connection is known to be gone. What is not known is found by the next read.
    fn is_closed(&self) -> bool {
        match self {
            Self::PostgreSql(session) => session.is_closed(),
            Self::SqlServer(session) => session.is_closed(),
            #[cfg(feature = "oracle")]
            Self::Oracle(_) => false,
        }
    }

    /// Columns of all tables of a schema that may be read.
    ///
    /// # Errors
    /// [`DbError`]
    pub async fn catalog(&mut self, schema: &str) -> Result<Vec<CatalogColumn>, DbError> {
        match self {
            Self::PostgreSql(session) => session.catalog(schema).await,
            Self::SqlServer(session) => session.catalog(schema).await,
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => session.catalog(schema).await,
        }
    }

    /// All reads of one poll, as of one moment.
    ///
    /// # Errors
    /// [`DbError`]: nothing of the poll may be used.
    pub async fn read(&mut self, queries: &[Query], tenant: i64) -> Result<Rows, DbError> {
        match self {
            Self::PostgreSql(session) => session.read(queries, tenant).await,
            Self::SqlServer(session) => session.read(queries, tenant).await,
            #[cfg(feature = "oracle")]
            Self::Oracle(session) => session.read(queries, tenant).await,
        }
    }
}

/// TLS of these versions that trusts these certificates and no others.
///
/// # Errors
/// [`DbError::BadCa`]
pub(super) fn tls(
    pem: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<rustls::ClientConfig, DbError> {
    wire::client_config(pem, None, versions).map_err(|_| DbError::BadCa)
}
