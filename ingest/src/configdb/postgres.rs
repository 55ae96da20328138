//! The I/O half for PostgreSQL: one read-only transaction a poll, in which every read sees the
//! database as it was at one moment (`REPEATABLE READ`).

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, IsolationLevel, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::profile::{CatalogColumn, Kind};
use super::query::Query;
use super::rows::{Cell, Rows};
use crate::wire;

/// Rows of one read.
const ROWS_MAX: usize = 5_000_000;
/// Bytes of a file of CA certificates.
pub const CA_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Name or IP address, or the folder of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database.
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
    /// It took too long.
    #[error("the database did not answer within {0} s")]
    Timeout(u64),
    /// What PostgreSQL says.
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

/// A connection.
pub struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl PostgresConfig {
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
        let open = kept.take().filter(|session| !session.client.is_closed());
        let all = async {
            let mut session = match open {
                Some(session) => session,
                None => self.connect().await?,
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

    async fn connect(&self) -> Result<Session, DbError> {
        let mut config = tokio_postgres::Config::new();
        config.host(&self.host).port(self.port).dbname(&self.database).user(&self.user);
        config.application_name("trunkline").connect_timeout(self.timeout);
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        let wrong = |e| database("connecting to the database", &e);
        let (client, connection) = match &self.ca_pem {
            None => {
                config.ssl_mode(tokio_postgres::config::SslMode::Disable);
                let (client, connection) = config.connect(NoTls).await.map_err(wrong)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            Some(pem) => {
                config.ssl_mode(tokio_postgres::config::SslMode::Require);
                let tls = MakeRustlsConnect::new(
                    wire::client_config(pem, None).map_err(|_| DbError::BadCa)?,
                );
                let (client, connection) = config.connect(tls).await.map_err(wrong)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Session { client, connection })
    }
}

impl Session {
    /// Columns of all tables of a schema that may be read.
    ///
    /// # Errors
    /// [`DbError`]
    pub async fn catalog(&mut self, schema: &str) -> Result<Vec<CatalogColumn>, DbError> {
        let sql = "SELECT CAST(table_name AS text), CAST(column_name AS text), \
                   CAST(data_type AS text) FROM information_schema.columns \
                   WHERE table_schema = $1 ORDER BY table_name, ordinal_position";
        let doing = "reading the catalog";
        let rows = self.client.query(sql, &[&schema]).await;
        let rows = rows.map_err(|e| database(doing, &e))?;
        let column = |row: &Row| {
            let (table, column, kind) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok(CatalogColumn { table, column, kind })
        };
        let columns: Result<Vec<_>, tokio_postgres::Error> = rows.iter().map(column).collect();
        columns.map_err(|e| database(doing, &e))
    }

    /// All reads of one poll, as of one moment.
    ///
    /// # Errors
    /// [`DbError`]: nothing of the poll may be used.
    pub async fn read(&mut self, queries: &[Query], tenant: i64) -> Result<Rows, DbError> {
        let doing = "beginning a read-only transaction";
        let transaction = self.client.build_transaction();
        let transaction =
            transaction.isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = transaction.start().await.map_err(|e| database(doing, &e))?;
        let mut found = Rows::new();
        for query in queries {
            let sql = format!("{} LIMIT {}", query.sql, ROWS_MAX + 1);
            let rows = if query.has_tenant() {
                transaction.query(&sql, &[&tenant]).await
            } else {
                transaction.query(&sql, &[]).await
            };
            let rows = rows.map_err(|e| database(query.entity, &e))?;
            if rows.len() > ROWS_MAX {
                return Err(DbError::TooMany(query.entity));
            }
            let rows: Result<Vec<_>, _> = rows.iter().map(|row| cells(row, &query.kinds)).collect();
            found.insert(query.entity, rows.map_err(|e| database(query.entity, &e))?);
        }
        transaction.commit().await.map_err(|e| database("ending the transaction", &e))?;
        Ok(found)
    }
}

fn cells(row: &Row, kinds: &[Kind]) -> Result<Vec<Cell>, tokio_postgres::Error> {
    let cell = |(at, kind): (usize, &Kind)| {
        Ok(match kind {
            Kind::Number | Kind::Time => {
                row.try_get::<_, Option<i64>>(at)?.map_or(Cell::Null, Cell::Number)
            }
            Kind::Text => row.try_get::<_, Option<String>>(at)?.map_or(Cell::Null, Cell::Text),
        })
    };
    kinds.iter().enumerate().map(cell).collect()
}

/// Classes of errors whose text is about the connection, rights and names of tables, never about
/// what stands in them: 08 connection, 28 authorisation, 3D database, 42 names and rights, 53
/// resources, 57 intervention.
const SAFE_CLASSES: [&str; 6] = ["08", "28", "3D", "42", "53", "57"];

/// An error with its code, and with its text where that cannot be data.
fn database(doing: &'static str, error: &tokio_postgres::Error) -> DbError {
    let why = match error.as_db_error() {
        Some(told) => {
            let code = told.code().code();
            let is_safe = SAFE_CLASSES.iter().any(|class| code.starts_with(class));
            let text = if is_safe { format!(" ({})", told.message()) } else { String::new() };
            format!("SQLSTATE {code}{text}")
        }
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error} ({source})"),
            None => error.to_string(),
        },
    };
    DbError::Database { doing, why }
}
