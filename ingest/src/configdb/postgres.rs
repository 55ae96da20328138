//! The I/O half for PostgreSQL: one read-only transaction a poll, in which every read sees the
//! database as it was at one moment (`REPEATABLE READ`).

use std::fmt;

use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, IsolationLevel, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::database::{DatabaseConfig, DbError, ROWS_MAX, tls};
use super::dialect::DatabaseKind;
use super::profile::{CatalogColumn, Kind};
use super::query::Query;
use super::rows::{Cell, Rows};

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

impl Session {
    pub(super) async fn connect(place: &DatabaseConfig) -> Result<Self, DbError> {
        let mut config = tokio_postgres::Config::new();
        config.host(&place.host).port(place.port).dbname(&place.database).user(&place.user);
        config.application_name("trunkline").connect_timeout(place.timeout);
        if let Some(password) = &place.password {
            config.password(password.expose_secret());
        }
        let wrong = |e| database("connecting to the database", &e);
        let (client, connection) = match &place.ca_pem {
            None => {
                config.ssl_mode(tokio_postgres::config::SslMode::Disable);
                let (client, connection) = config.connect(NoTls).await.map_err(wrong)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            Some(pem) => {
                config.ssl_mode(tokio_postgres::config::SslMode::Require);
                let tls = MakeRustlsConnect::new(tls(pem, rustls::DEFAULT_VERSIONS)?);
                let (client, connection) = config.connect(tls).await.map_err(wrong)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Self { client, connection })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) async fn catalog(&mut self, schema: &str) -> Result<Vec<CatalogColumn>, DbError> {
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

    pub(super) async fn read(&mut self, queries: &[Query], tenant: i64) -> Result<Rows, DbError> {
        let doing = "beginning a read-only transaction";
        let transaction = self.client.build_transaction();
        let transaction =
            transaction.isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = transaction.start().await.map_err(|e| database(doing, &e))?;
        let mut found = Rows::new();
        for query in queries {
            let sql = DatabaseKind::PostgreSql.limited(&query.sql, ROWS_MAX + 1);
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
    DbError::of(doing, why)
}
