//! The I/O half for SQL Server: one transaction a poll, in which every read sees the database as it
//! was at one moment (`SNAPSHOT`, which the database must allow). The connection says that it
//! only reads, so that a listener of an availability group may send it to a readable secondary.

use std::fmt;

use secrecy::ExposeSecret;
use tiberius::error::Error;
use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel, Row};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::task::AbortOnDropHandle;

use super::database::{DatabaseConfig, DbError, ROWS_MAX};
use super::dialect::DatabaseKind;
use super::profile::{CatalogColumn, Kind};
use super::query::Query;
use super::rows::{Cell, Rows};
use super::tds_tls;

/// How often a connection is sent on to another server.
const ROUTES_MAX: usize = 3;
const CONNECTING: &str = "connecting to the database";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection.
pub struct Session {
    client: Client<Compat<Box<dyn Stream>>>,
    /// What encrypts it.
    relay: Option<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

/// Why there is no connection.
enum Refused {
    /// Another server is to be asked.
    Routed(String, u16),
    Failed(DbError),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        if let Error::Routing { host, port } = error {
            return Self::Routed(host, port);
        }
        Self::Failed(told(CONNECTING, &error))
    }
}

impl Session {
    pub(super) async fn connect(config: &DatabaseConfig) -> Result<Self, DbError> {
        let (mut host, mut port) = (config.host.clone(), config.port);
        for _ in 0..=ROUTES_MAX {
            match open(config, &host, port).await {
                Ok(session) => return Ok(session),
                Err(Refused::Routed(to_host, to_port)) => (host, port) = (to_host, to_port),
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
        Err(DbError::of(CONNECTING, format!("sent on to another server {ROUTES_MAX} times")))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.relay.as_ref().is_some_and(AbortOnDropHandle::is_finished)
    }

    /// Names in capitals, for the collation of the database may tell them apart.
    pub(super) async fn catalog(&mut self, schema: &str) -> Result<Vec<CatalogColumn>, DbError> {
        let doing = "reading the catalog";
        let sql = format!(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS \
             WHERE TABLE_SCHEMA = '{schema}' ORDER BY TABLE_NAME, ORDINAL_POSITION"
        );
        let mut columns = Vec::new();
        for row in self.rows(doing, &sql).await? {
            let texts = cells(&row, &[Kind::Text; 3]).map(<[Cell; 3]>::try_from);
            let Some(Ok([Cell::Text(table), Cell::Text(column), Cell::Text(kind)])) = texts else {
                return Err(DbError::of(doing, "it has a column without a name or type"));
            };
            columns.push(CatalogColumn { table, column, kind });
        }
        Ok(columns)
    }

    pub(super) async fn read(&mut self, queries: &[Query], tenant: i64) -> Result<Rows, DbError> {
        let begin = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION";
        self.rows("beginning a snapshot transaction", begin).await?;
        let mut found = Rows::new();
        for query in queries {
            let sql = query.text_for(tenant);
            let sql = DatabaseKind::SqlServer.limited(&sql, ROWS_MAX + 1);
            let rows = self.rows(query.entity, &sql).await?;
            if rows.len() > ROWS_MAX {
                return Err(DbError::TooMany(query.entity));
            }
            let rows: Option<Vec<_>> = rows.iter().map(|row| cells(row, &query.kinds)).collect();
            let wrong = || DbError::of(query.entity, "a column is neither number nor text");
            found.insert(query.entity, rows.ok_or_else(wrong)?);
        }
        self.rows("ending the transaction", "COMMIT TRANSACTION").await?;
        Ok(found)
    }

    async fn rows(&mut self, doing: &'static str, sql: &str) -> Result<Vec<Row>, DbError> {
        let answer = self.client.simple_query(sql).await.map_err(|e| told(doing, &e))?;
        answer.into_first_result().await.map_err(|e| told(doing, &e))
    }
}

async fn open(place: &DatabaseConfig, host: &str, port: u16) -> Result<Session, Refused> {
    let failed = |e: std::io::Error| Refused::Failed(DbError::of(CONNECTING, e.to_string()));
    let tcp = TcpStream::connect((host, port)).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let mut config = Config::new();
    config.host(host);
    config.port(port);
    config.database(&place.database);
    config.application_name("trunkline");
    config.readonly(true);
    config.encryption(EncryptionLevel::NotSupported);
    // The time-out of the poll is above it.
    config.handshake_timeout(None);
    let password = place.password.as_ref().map_or("", |password| password.expose_secret());
    config.authentication(AuthMethod::sql_server(&place.user, password));
    let Some(pem) = &place.ca_pem else {
        let stream: Box<dyn Stream> = Box::new(tcp);
        let client = Client::connect(config, stream.compat()).await?;
        return Ok(Session { client, relay: None });
    };
    let (near, far) = tokio::io::duplex(tds_tls::PIPE_BYTES);
    let stream: Box<dyn Stream> = Box::new(near);
    let (client, relay) = tokio::join!(
        Client::connect(config, stream.compat()),
        tds_tls::encrypt(far, tcp, host, pem)
    );
    // Without encryption the driver sees no more than a connection that ends.
    let relay = relay.map_err(Refused::Failed)?;
    Ok(Session { client: client?, relay: Some(relay) })
}

fn cells(row: &Row, kinds: &[Kind]) -> Option<Vec<Cell>> {
    let columns = row.cells().map(|(_, value)| value);
    kinds.iter().zip(columns).map(|(kind, value)| cell(*kind, value)).collect()
}

/// Nothing: the value is of a type that nobody asked for.
fn cell(kind: Kind, value: &ColumnData<'static>) -> Option<Cell> {
    match (kind, value) {
        (Kind::Number | Kind::Time, ColumnData::I64(number)) => {
            Some(number.map_or(Cell::Null, Cell::Number))
        }
        (Kind::Text, ColumnData::String(text)) => {
            let text = text.as_ref().map(|text| text.clone().into_owned());
            Some(text.map_or(Cell::Null, Cell::Text))
        }
        _ => None,
    }
}

/// Errors of the server whose text is about the connection, rights and names of tables, never about
/// what stands in them: syntax, names, rights, deadlock, snapshot isolation, database, login.
const SAFE_ERRORS: [u32; 13] =
    [102, 156, 207, 208, 229, 230, 916, 1205, 3952, 3960, 3961, 4060, 18456];

/// An error with its number, and with its text where that cannot be data.
fn told(doing: &'static str, error: &Error) -> DbError {
    let why = match error {
        Error::Server(told) => {
            let is_safe = SAFE_ERRORS.contains(&told.code());
            let text = if is_safe { format!(" ({})", told.message()) } else { String::new() };
            format!("error {}{text}", told.code())
        }
        Error::Io { .. } | Error::Protocol(_) | Error::Tls(_) => error.to_string(),
        // These may quote what they could not read.
        Error::Encoding(_)
        | Error::Conversion(_)
        | Error::Utf8
        | Error::Utf16
        | Error::ParseInt(_)
        | Error::Routing { .. }
        | Error::BulkInput(_) => "the answer could not be read".to_owned(),
    };
    DbError::of(doing, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_types_asked_for_are_taken_and_no_others() {
        let text = |text: &'static str| ColumnData::String(Some(text.into()));
        for (kind, value, expected) in [
            (Kind::Number, ColumnData::I64(Some(7)), Some(Cell::Number(7))),
            (Kind::Time, ColumnData::I64(Some(-7)), Some(Cell::Number(-7))),
            (Kind::Number, ColumnData::I64(None), Some(Cell::Null)),
            (Kind::Text, text("x"), Some(Cell::Text("x".to_owned()))),
            (Kind::Text, text(""), Some(Cell::Text(String::new()))),
            (Kind::Text, ColumnData::String(None), Some(Cell::Null)),
            (Kind::Number, ColumnData::I32(Some(7)), None),
            (Kind::Number, text("7"), None),
            (Kind::Text, ColumnData::I64(Some(7)), None),
            (Kind::Text, ColumnData::Bit(None), None),
        ] {
            assert_eq!(cell(kind, &value), expected, "{kind:?} {value:?}");
        }
    }
}
