//! The I/O half for Oracle: one `READ ONLY` transaction a poll, in which every read sees the
//! database as it was at one moment.
//!
//! The vendor's driver in Rust is a beta: it needs no client libraries, knows neither Native
//! Network Encryption nor Kerberos, and blocks. So each piece of work has a thread of its own. That
//! one cannot be stopped while the database says nothing during a login, and the number of those
//! that wait is bounded.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use oracledb::{Config, Connection, Error, ErrorKind, Row};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::database::{DatabaseConfig, DbError, ROWS_MAX, tls};
use super::dialect::DatabaseKind;
use super::profile::{CatalogColumn, Kind};
use super::query::Query;
use super::rows::{Cell, Rows};

/// Threads that wait for a database.
const THREADS_MAX: usize = 4;
/// Rows that one exchange fetches.
const FETCHED: u32 = 1_000;
const CONNECTING: &str = "connecting to the database";
/// The one name that the driver looks for in the folder of a wallet.
const WALLET: &str = "ewallet.pem";

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// A connection.
pub struct Session {
    /// Away while a thread works with it.
    connection: Option<Connection>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    pub(super) async fn connect(place: &DatabaseConfig) -> Result<Self, DbError> {
        let place = place.clone();
        let connection = on_a_thread(CONNECTING, move || open(&place)).await?;
        Ok(Self { connection: Some(connection) })
    }

    /// Names as they stand there, in capitals; the schema of a profile is written without quotes,
    /// which means the same.
    pub(super) async fn catalog(&mut self, schema: &str) -> Result<Vec<CatalogColumn>, DbError> {
        let doing = "reading the catalog";
        let sql = format!(
            "SELECT table_name, column_name, data_type FROM all_tab_columns \
             WHERE owner = UPPER('{schema}') ORDER BY table_name, column_id"
        );
        let read = move |connection: &Connection| {
            let mut columns = Vec::new();
            for row in rows(connection, doing, &sql, &[Kind::Text; 3])? {
                let [Cell::Text(table), Cell::Text(column), Cell::Text(kind)] = row.as_slice()
                else {
                    return Err(DbError::of(doing, "it has a column without a name or type"));
                };
                let (table, column, kind) = (table.clone(), column.clone(), kind.clone());
                columns.push(CatalogColumn { table, column, kind });
            }
            Ok(columns)
        };
        self.work(doing, read).await
    }

    pub(super) async fn read(&mut self, queries: &[Query], tenant: i64) -> Result<Rows, DbError> {
        let queries = queries.to_vec();
        let read = move |connection: &Connection| {
            let doing = "beginning a read-only transaction";
            let begun = connection.execute("SET TRANSACTION READ ONLY", &[]);
            begun.map_err(|e| told(doing, &e))?;
            let mut found = Rows::new();
            for query in &queries {
                let sql = query.text_for(tenant);
                let sql = DatabaseKind::Oracle.limited(&sql, ROWS_MAX + 1);
                let rows = rows(connection, query.entity, &sql, &query.kinds)?;
                if rows.len() > ROWS_MAX {
                    return Err(DbError::TooMany(query.entity));
                }
                found.insert(query.entity, rows);
            }
            connection.commit().map_err(|e| told("ending the transaction", &e))?;
            Ok(found)
        };
        self.work("reading the database", read).await
    }

    /// Does something with the connection, which is lost with an error.
    async fn work<T: Send + 'static>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let connection = self.connection.take();
        let connection = connection.ok_or_else(|| DbError::of(doing, "the connection is gone"))?;
        let done = move || {
            let done = work(&connection)?;
            Ok((done, connection))
        };
        let (done, connection) = on_a_thread(doing, done).await?;
        self.connection = Some(connection);
        Ok(done)
    }
}

/// Counts a thread as long as it runs.
struct Counted;

impl Counted {
    fn new() -> Option<Self> {
        let next = |count| (count < THREADS_MAX).then_some(count + 1);
        let counted = THREADS.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        counted.is_ok().then_some(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Not on the pool of the runtime, whose end waits for what blocks.
async fn on_a_thread<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
) -> Result<T, DbError> {
    let waits = || DbError::of(doing, format!("{THREADS_MAX} earlier attempts have no answer yet"));
    let counted = Counted::new().ok_or_else(waits)?;
    let (tell, told) = oneshot::channel();
    let run = move || {
        let _counted = counted;
        // Nobody may be waiting any more.
        let _ = tell.send(work());
    };
    let thread = thread::Builder::new().name("oracle".to_owned()).spawn(run);
    thread.map_err(|e| DbError::of(doing, e.to_string()))?;
    told.await.map_err(|_| DbError::of(doing, "the driver failed"))?
}

fn open(place: &DatabaseConfig) -> Result<Connection, DbError> {
    let protocol = if place.ca_pem.is_some() { "tcps" } else { "tcp" };
    let host =
        if place.host.contains(':') { format!("[{}]", place.host) } else { place.host.clone() };
    let address = format!("{protocol}://{host}:{}/{}", place.port, place.database);
    let password = place.password.as_ref().map_or("", |password| password.expose_secret());
    let failed = |e: Error| told(CONNECTING, &e);
    let mut config = Config::default()
        .set_credentials(&place.user, password)
        .set_transport_connect_timeout(Some(place.timeout))
        .set_connect_string(&address)
        .map_err(failed)?;
    let wallet = place.ca_pem.as_deref().map(wallet).transpose()?;
    if let Some(wallet) = &wallet {
        config = config.set_wallet_location(wallet.path().display().to_string());
    }
    let connection = oracledb::connect(config).map_err(failed)?;
    connection.set_call_timeout(Some(place.timeout)).map_err(failed)?;
    Ok(connection)
}

/// The certificates where the driver wants them: in a folder of their own.
fn wallet(pem: &[u8]) -> Result<TempDir, DbError> {
    tls(pem, rustls::DEFAULT_VERSIONS)?;
    // The driver asks for the provider of the program; if one was chosen, that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |e: std::io::Error| DbError::of(CONNECTING, e.to_string());
    let folder = tempfile::tempdir().map_err(failed)?;
    std::fs::write(folder.path().join(WALLET), pem).map_err(failed)?;
    Ok(folder)
}

/// At most one more than may be.
fn rows(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    kinds: &[Kind],
) -> Result<Vec<Vec<Cell>>, DbError> {
    let failed = |e: Error| told(doing, &e);
    let statement = connection.statement(sql).map_err(failed)?;
    let statement = statement.prefetch_rows(FETCHED).fetch_array_size(FETCHED);
    let cursor = statement.build().and_then(|it| it.query(&[])).map_err(failed)?;
    let mut rows = Vec::new();
    for row in cursor.take(ROWS_MAX + 1) {
        let row = row.and_then(|row| cells(&row, kinds));
        rows.push(row.map_err(failed)?);
    }
    Ok(rows)
}

fn cells(row: &Row, kinds: &[Kind]) -> Result<Vec<Cell>, Error> {
    let cell = |(at, kind): (usize, &Kind)| {
        Ok(match kind {
            Kind::Number | Kind::Time => {
                row.get::<Option<i64>>(at)?.map_or(Cell::Null, Cell::Number)
            }
            Kind::Text => row.get::<Option<String>>(at)?.map_or(Cell::Null, Cell::Text),
        })
    };
    kinds.iter().enumerate().map(cell).collect()
}

/// Errors of the database whose text is about the connection, rights and names of tables, never
/// about what stands in them: names, rights, login, resources, listener, too old a snapshot.
const SAFE_ERRORS: [usize; 12] =
    [18, 904, 942, 1012, 1017, 1031, 1045, 1555, 12_154, 12_505, 12_514, 28_000];

/// An error with its number, and with its text where that cannot be data.
fn told(doing: &'static str, error: &Error) -> DbError {
    let kind = error.kind();
    let why = if let ErrorKind::DbError(told) = kind {
        let is_safe = SAFE_ERRORS.contains(&told.code());
        let text = if is_safe { format!(" ({})", told.message()) } else { String::new() };
        format!("ORA-{:05}{text}", told.code())
    } else if matches!(kind, ErrorKind::InvalidOracleNumber(_) | ErrorKind::OutOfRange(_)) {
        // They quote what they could not read.
        "the answer could not be read".to_owned()
    } else {
        error.to_string()
    };
    DbError::of(doing, why)
}
