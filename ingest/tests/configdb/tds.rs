//! A SQL Server as far as the wire goes: it speaks TDS 7.4 (MS-TDS) with PRELOGIN, LOGIN7, SQL
//! batches and rows, and has the PostgreSQL of the tests answer them. So what the bridge sends is
//! carried out on the tables of the sample tenant, and what it reads is what a server would send.
//!
//! It says nothing of the grammar of SQL Server: it knows the few words that PostgreSQL does not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_rustls::TlsAcceptor;

/// Functions that PostgreSQL lacks.
pub(super) const FUNCTIONS: &str = "\
    CREATE FUNCTION public.datediff_day(date, timestamp) RETURNS integer \
    LANGUAGE sql AS 'SELECT CAST($2 AS date) - $1'; \
    CREATE FUNCTION public.datediff_second(date, timestamp) RETURNS integer \
    LANGUAGE sql AS 'SELECT CAST(EXTRACT(EPOCH FROM $2 - $1) AS integer)'";

/// Types of packets.
const BATCH: u8 = 1;
const ANSWER: u8 = 4;
const LOGIN: u8 = 16;
const PRELOGIN: u8 = 18;
const HEADER_BYTES: usize = 8;
const PACKET_BYTES: usize = 4096;
/// `SQL_Latin1_General_CP1_CI_AS`.
const COLLATION: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];
/// `fReadOnlyIntent` of the type flags of LOGIN7.
const READ_ONLY_INTENT: u8 = 0x20;

/// How a server behaves.
#[derive(Clone)]
pub(super) struct Behaviour {
    /// The PostgreSQL behind it.
    pub(super) postgres: tokio_postgres::Config,
    /// Its database, and who may read it.
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: String,
    /// Whether texts are `nvarchar`, else `varchar` of a code page.
    pub(super) wide: bool,
    /// Whether the database allows snapshot isolation.
    pub(super) snapshots: bool,
    /// Where it sends whoever only wants to read.
    pub(super) route: Option<SocketAddr>,
    /// What it encrypts with.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// What another client does between two reads of a transaction.
    pub(super) between: Option<String>,
    /// After how many bytes of rows the connection is cut, once.
    pub(super) cut: Arc<Mutex<Option<usize>>>,
}

impl Default for Behaviour {
    /// As it should, and nobody may log in.
    fn default() -> Self {
        Self {
            postgres: tokio_postgres::Config::new(),
            database: String::new(),
            user: String::new(),
            password: String::new(),
            wide: true,
            snapshots: true,
            route: None,
            tls: None,
            between: None,
            cut: Arc::default(),
        }
    }
}

/// A server; it serves until it is dropped.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    batches: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let batches = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&batches);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (behaviour, seen) = (behaviour.clone(), Arc::clone(&seen));
                // A client that goes away is none of its business.
                tokio::spawn(async move { drop(serve(tcp, behaviour, seen).await) });
            }
        });
        Self { address, batches, task }
    }

    /// The batches it was sent since it was last asked.
    pub(super) fn batches(&self) -> Vec<String> {
        std::mem::take(&mut self.batches.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Io<T> = std::io::Result<T>;

fn garbage(why: &str) -> std::io::Error {
    std::io::Error::other(why.to_owned())
}

async fn serve(mut tcp: TcpStream, behaviour: Behaviour, seen: Arc<Mutex<Vec<String>>>) -> Io<()> {
    tcp.set_nodelay(true)?;
    let (kind, asked) = message(&mut tcp).await?;
    if kind != PRELOGIN || asked.first() != Some(&0) {
        return Err(garbage("no PRELOGIN"));
    }
    // VERSION at 11, ENCRYPTION at 17: 3 is required, 2 is not supported.
    let encryption = if behaviour.tls.is_some() { 3 } else { 2 };
    let answer = [&[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff][..], &[16, 0, 0x10, 0, 0, 0, encryption]];
    send(&mut tcp, ANSWER, &answer.concat()).await?;
    match behaviour.tls.clone() {
        None => Connection::new(tcp, behaviour, seen).run().await,
        Some(tls) => {
            let (near, mut far) = tokio::io::duplex(65_536);
            let tls = {
                let accepting = TlsAcceptor::from(tls).accept(near);
                tokio::select! {
                    tls = accepting => tls?,
                    failed = wrapped(&mut far, &mut tcp) => return failed,
                }
            };
            last_flight(&mut far, &mut tcp).await?;
            let relay = async { tokio::io::copy_bidirectional(&mut far, &mut tcp).await };
            tokio::select! {
                done = Connection::new(tls, behaviour, seen).run() => done,
                done = relay => done.map(drop),
            }
        }
    }
}

/// Carries the records of a handshake in PRELOGIN packets, until it is dropped at its end.
async fn wrapped(records: &mut DuplexStream, tcp: &mut TcpStream) -> Io<()> {
    let (mut from_server, mut to_server) = tokio::io::split(records);
    let (mut from_client, mut to_client) = tcp.split();
    let there = async {
        let mut bytes = [0; PACKET_BYTES - HEADER_BYTES];
        loop {
            match from_server.read(&mut bytes).await? {
                0 => return Err(garbage("the handshake failed")),
                count => send(&mut to_client, PRELOGIN, &bytes[..count]).await?,
            }
        }
    };
    let back = async {
        loop {
            let (kind, received) = message(&mut from_client).await?;
            if kind != PRELOGIN {
                return Err(garbage("a handshake outside of PRELOGIN packets"));
            }
            to_server.write_all(&received).await?;
        }
    };
    tokio::select! {
        failed = there => failed,
        failed = back => failed,
    }
}

/// What the server said last in the handshake may be in the pipe when the handshake is over.
async fn last_flight(records: &mut DuplexStream, tcp: &mut TcpStream) -> Io<()> {
    let mut bytes = [0; PACKET_BYTES - HEADER_BYTES];
    let none = std::time::Duration::ZERO;
    while let Ok(count) = tokio::time::timeout(none, records.read(&mut bytes)).await {
        send(tcp, PRELOGIN, &bytes[..count?]).await?;
    }
    Ok(())
}

/// A message of however many packets: its type and what it holds.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> Io<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let held = length.checked_sub(HEADER_BYTES).ok_or_else(|| garbage("no packet"))?;
        let start = all.len();
        all.resize(start + held, 0);
        from.read_exact(&mut all[start..]).await?;
        if header[1] & 1 == 1 {
            return Ok((header[0], all));
        }
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), kind: u8, message: &[u8]) -> Io<()> {
    let mut chunks = message.chunks(PACKET_BYTES - HEADER_BYTES).peekable();
    let mut number: u8 = 0;
    while let Some(chunk) = chunks.next() {
        number = number.wrapping_add(1);
        let status = u8::from(chunks.peek().is_none());
        let [high, low] = u16::try_from(HEADER_BYTES + chunk.len()).expect("it fits").to_be_bytes();
        to.write_all(&[kind, status, high, low, 0, 51, number, 0]).await?;
        to.write_all(chunk).await?;
    }
    to.flush().await
}

/// A connection that is encrypted, or never will be.
struct Connection<S> {
    stream: S,
    behaviour: Behaviour,
    seen: Arc<Mutex<Vec<String>>>,
    /// Descriptor of the transaction; 0 if there is none.
    transaction: u64,
    transactions: u64,
    reads: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, behaviour: Behaviour, seen: Arc<Mutex<Vec<String>>>) -> Self {
        Self { stream, behaviour, seen, transaction: 0, transactions: 0, reads: 0 }
    }

    async fn run(mut self) -> Io<()> {
        let (kind, login) = message(&mut self.stream).await?;
        if kind != LOGIN {
            return Err(garbage("no LOGIN7"));
        }
        let (answer, is_in) = self.log_in(&Login::read(&login)?);
        send(&mut self.stream, ANSWER, &answer).await?;
        if !is_in {
            return Ok(());
        }
        let (client, connection) =
            self.behaviour.postgres.connect(NoTls).await.map_err(std::io::Error::other)?;
        let connection = tokio::spawn(connection);
        let done = self.batches(&client).await;
        connection.abort();
        done
    }

    fn log_in(&self, login: &Login) -> (Vec<u8>, bool) {
        let Behaviour { user, password, database, .. } = &self.behaviour;
        let mut tokens = Tokens::default();
        if (&login.user, &login.password) != (user, password) {
            tokens.error(18456, 14, &format!("Login failed for user '{}'.", login.user));
        } else if &login.database != database {
            let text = format!(
                "Cannot open database \"{}\" requested by the login. The login failed.",
                login.database
            );
            tokens.error(4060, 11, &text);
        } else if !login.reads_only {
            tokens.error(50_000, 16, "The login does not say that it only reads.");
        } else {
            tokens.env(1, &b_varchar(database), &b_varchar("master"));
            tokens.login_ack();
            tokens.env(4, &b_varchar("4096"), &b_varchar("4096"));
            if let Some(to) = self.behaviour.route {
                tokens.route(to);
            }
            tokens.done(0, 0);
            return (tokens.0, true);
        }
        tokens.done(2, 0);
        (tokens.0, false)
    }

    async fn batches(&mut self, client: &Client) -> Io<()> {
        loop {
            let (kind, batch) = message(&mut self.stream).await?;
            if kind != BATCH {
                return Err(garbage("no SQL batch"));
            }
            let sql = self.sql(&batch)?;
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(sql.clone());
            let answer = self.answer(client, &sql).await;
            let mut cut = None;
            if answer.len() > PACKET_BYTES {
                cut = self.behaviour.cut.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
            match cut {
                Some(bytes) => {
                    let [high, low] = u16::to_be_bytes(PACKET_BYTES as u16);
                    self.stream.write_all(&[ANSWER, 0, high, low, 0, 51, 1, 0]).await?;
                    self.stream.write_all(&answer[..bytes]).await?;
                    return self.stream.flush().await;
                }
                None => send(&mut self.stream, ANSWER, &answer).await?,
            }
        }
    }

    /// The text of a batch, whose headers must name the transaction it is part of.
    fn sql(&self, batch: &[u8]) -> Io<String> {
        let number = |at: usize| {
            let bytes = batch.get(at..at + 4).ok_or_else(|| garbage("a short batch"))?;
            Ok::<_, std::io::Error>(u32::from_le_bytes(bytes.try_into().expect("four")) as usize)
        };
        let total = number(0)?;
        let descriptor = batch.get(10..18).ok_or_else(|| garbage("a short batch"))?;
        let descriptor = u64::from_le_bytes(descriptor.try_into().expect("eight"));
        if batch.get(8..10) != Some(&[2, 0]) || descriptor != self.transaction {
            return Err(garbage("a batch outside of its transaction"));
        }
        utf16(batch.get(total..).ok_or_else(|| garbage("a short batch"))?)
    }

    async fn answer(&mut self, client: &Client, sql: &str) -> Vec<u8> {
        let mut tokens = Tokens::default();
        let done = match sql {
            "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION" => {
                self.begin(client, &mut tokens).await
            }
            "COMMIT TRANSACTION" => self.commit(client, &mut tokens).await,
            _ if self.transaction != 0 && !self.behaviour.snapshots => {
                tokens.error(
                    3952,
                    16,
                    &format!(
                        "Snapshot isolation transaction failed accessing database '{}' because \
                     snapshot isolation is not allowed in this database. Use ALTER DATABASE to \
                     allow snapshot isolation.",
                        self.behaviour.database
                    ),
                );
                tokens.done(2, 0);
                return tokens.0;
            }
            _ => self.select(client, sql, &mut tokens).await,
        };
        if let Err(error) = done {
            let (number, text) = translated(&error);
            tokens.error(number, 16, &text);
            tokens.done(2, 0);
        }
        tokens.0
    }

    async fn begin(&mut self, client: &Client, tokens: &mut Tokens) -> Done {
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        self.transactions += 1;
        (self.transaction, self.reads) = (0x51_0000 + self.transactions, 0);
        // The first of two statements: more is to come.
        tokens.done(1, 0);
        tokens.env(8, &b_bytes(&self.transaction.to_le_bytes()), &[0]);
        tokens.done(0, 0);
        Ok(())
    }

    async fn commit(&mut self, client: &Client, tokens: &mut Tokens) -> Done {
        client.batch_execute("COMMIT").await?;
        tokens.env(9, &[0], &b_bytes(&self.transaction.to_le_bytes()));
        tokens.done(0, 0);
        self.transaction = 0;
        Ok(())
    }

    async fn select(&mut self, client: &Client, sql: &str, tokens: &mut Tokens) -> Done {
        self.reads += usize::from(self.transaction != 0);
        let change = if self.reads == 2 { self.behaviour.between.take() } else { None };
        if let Some(change) = change {
            let (other, connection) = self.behaviour.postgres.connect(NoTls).await?;
            let connection = tokio::spawn(connection);
            other.batch_execute(&change).await?;
            connection.abort();
        }
        let sql = for_postgres(sql);
        let columns: Vec<Type> = {
            let prepared = client.prepare(&sql).await?;
            prepared.columns().iter().map(|column| column.type_().clone()).collect()
        };
        tokens.columns(&columns, self.behaviour.wide);
        let mut rows = 0;
        for message in client.simple_query(&sql).await? {
            if let SimpleQueryMessage::Row(row) = message {
                let values = (0..columns.len()).map(|at| row.get(at).map(type_name)).collect();
                tokens.row(&columns, values, self.behaviour.wide);
                rows += 1;
            }
        }
        tokens.done(0x10, rows);
        Ok(())
    }
}

type Done = Result<(), tokio_postgres::Error>;

/// The words that PostgreSQL does not know.
fn for_postgres(sql: &str) -> String {
    let sql = sql.replace("DATEDIFF(day, ", "datediff_day(");
    let sql = sql.replace("DATEDIFF(second, ", "datediff_second(");
    match sql.strip_prefix("SELECT TOP (").and_then(|rest| rest.split_once(") ")) {
        Some((rows, rest)) => format!("SELECT {rest} LIMIT {rows}"),
        None => sql,
    }
}

/// Names of types in the catalog.
fn type_name(text: &str) -> &str {
    match text {
        "character varying" => "varchar",
        "timestamp without time zone" => "datetime",
        "integer" => "int",
        other => other,
    }
}

/// What SQL Server would say.
fn translated(error: &tokio_postgres::Error) -> (u32, String) {
    let text = error.as_db_error().map_or_else(|| error.to_string(), |it| it.message().to_owned());
    match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("42P01") => (208, "Invalid object name.".to_owned()),
        Some("42501") => (229, "The SELECT permission was denied.".to_owned()),
        // It quotes the value, as the real one does.
        Some("22P02") => (245, format!("Conversion failed: {text}")),
        _ => (50_000, text),
    }
}

struct Login {
    user: String,
    password: String,
    database: String,
    reads_only: bool,
}

impl Login {
    fn read(bytes: &[u8]) -> Io<Self> {
        let short = || garbage("a short LOGIN7");
        let half = |at: usize| {
            let two = bytes.get(at..at + 2).ok_or_else(short)?;
            Ok::<_, std::io::Error>(usize::from(u16::from_le_bytes([two[0], two[1]])))
        };
        let field = |at: usize| {
            let (start, letters) = (half(at)?, half(at + 2)?);
            bytes.get(start..start + 2 * letters).ok_or_else(short)
        };
        let open = |byte: &u8| (byte ^ 0xa5).rotate_left(4);
        let password: Vec<u8> = field(44)?.iter().map(open).collect();
        Ok(Self {
            user: utf16(field(40)?)?,
            password: utf16(&password)?,
            database: utf16(field(68)?)?,
            reads_only: bytes.get(26).ok_or_else(short)? & READ_ONLY_INTENT != 0,
        })
    }
}

fn utf16(bytes: &[u8]) -> Io<String> {
    let units: Vec<u16> =
        bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    String::from_utf16(&units).map_err(std::io::Error::other)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn b_varchar(text: &str) -> Vec<u8> {
    let letters = u8::try_from(text.encode_utf16().count()).expect("a short name");
    [&[letters][..], &wide(text)].concat()
}

fn b_bytes(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("a few")][..], bytes].concat()
}

fn us_varchar(text: &str) -> Vec<u8> {
    let letters = u16::try_from(text.encode_utf16().count()).expect("a text");
    [&letters.to_le_bytes()[..], &wide(text)].concat()
}

/// An answer, token by token (MS-TDS 2.2.7).
#[derive(Default)]
struct Tokens(Vec<u8>);

impl Tokens {
    /// A token with its length.
    fn long(&mut self, token: u8, parts: &[&[u8]]) {
        let bytes = parts.concat();
        let length = u16::try_from(bytes.len()).expect("a short token").to_le_bytes();
        self.0.push(token);
        self.0.extend([&length[..], &bytes].concat());
    }

    fn error(&mut self, number: u32, class: u8, text: &str) {
        let (text, server) = (us_varchar(text), b_varchar("peer"));
        let (number, line) = (number.to_le_bytes(), 1_u32.to_le_bytes());
        self.long(0xaa, &[&number, &[1, class], &text, &server, &[0], &line]);
    }

    fn env(&mut self, kind: u8, new: &[u8], old: &[u8]) {
        self.long(0xe3, &[&[kind], new, old]);
    }

    fn login_ack(&mut self) {
        let name = b_varchar("Microsoft SQL Server");
        self.long(0xad, &[&[1, 0x74, 0, 0, 4], &name, &[16, 0, 0x10, 0]]);
    }

    fn route(&mut self, to: SocketAddr) {
        let host = us_varchar(&to.ip().to_string());
        let value = [&[0][..], &to.port().to_le_bytes(), &host].concat();
        let length = u16::try_from(value.len()).expect("short").to_le_bytes();
        self.long(0xe3, &[&[20], &length, &value, &[0, 0]]);
    }

    fn done(&mut self, status: u16, rows: u64) {
        self.0.push(0xfd);
        self.0.extend([&status.to_le_bytes()[..], &[0xc1, 0], &rows.to_le_bytes()].concat());
    }

    fn columns(&mut self, columns: &[Type], is_wide: bool) {
        self.0.push(0x81);
        self.0.extend(u16::try_from(columns.len()).expect("a few").to_le_bytes());
        for column in columns {
            // User type, and the flag of a column that may be NULL.
            self.0.extend([0, 0, 0, 0, 1, 0]);
            match (width(column), is_wide) {
                (Some(bytes), _) => self.0.extend([0x26, bytes]),
                (None, true) => self.0.extend([&[0xe7, 0xfe, 0x01][..], &COLLATION].concat()),
                (None, false) => self.0.extend([&[0xa7, 0xff, 0x00][..], &COLLATION].concat()),
            }
            self.0.push(0);
        }
    }

    /// A row; one with a NULL says in a bitmap where.
    fn row(&mut self, columns: &[Type], values: Vec<Option<&str>>, is_wide: bool) {
        if values.contains(&None) {
            self.0.push(0xd2);
            for eight in values.chunks(8) {
                let bits = eight.iter().enumerate();
                self.0.push(bits.fold(0, |all, (at, it)| all | u8::from(it.is_none()) << at));
            }
        } else {
            self.0.push(0xd1);
        }
        for (column, value) in columns.iter().zip(values) {
            let Some(value) = value else { continue };
            let bytes = match (width(column), is_wide) {
                (Some(width), _) => {
                    let number = value.parse::<i64>().expect("a whole number").to_le_bytes();
                    self.0.push(width);
                    self.0.extend(&number[..usize::from(width)]);
                    continue;
                }
                (None, true) => wide(value),
                // Code page 1252 is Latin 1 where the tests have letters.
                (None, false) => {
                    value.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
                }
            };
            self.0.extend(u16::try_from(bytes.len()).expect("a short text").to_le_bytes());
            self.0.extend(bytes);
        }
    }
}

/// Bytes of a whole number; nothing: a text.
fn width(column: &Type) -> Option<u8> {
    match *column {
        Type::INT8 => Some(8),
        Type::INT4 => Some(4),
        _ => None,
    }
}
