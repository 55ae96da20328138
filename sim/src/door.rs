//! How simulated servers are reached: one loop that lets clients in, with or without TLS.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Clients of one server at a time.
const CLIENTS_MAX: usize = 64;
/// How long a client may take for its part of the TLS handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// After an error line the client gets this long to read it and close.
const FAREWELL_WAIT: Duration = Duration::from_secs(1);

/// A connection to a client.
pub(crate) type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Files by which a server speaks TLS, all as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities one of which must have certified a client; without it clients need no
    /// certificate.
    pub client_ca: Option<PathBuf>,
}

/// Lets clients in: as they are, or by TLS.
#[derive(Clone, Default)]
pub(crate) struct Door(Option<TlsAcceptor>);

impl Door {
    /// # Errors
    /// A file cannot be read, or does not hold what it ought to.
    pub(crate) fn new(files: Option<&TlsFiles>) -> io::Result<Self> {
        let acceptor = |files| Ok(TlsAcceptor::from(Arc::new(of_files(files)?)));
        files.map(acceptor).transpose().map(Self)
    }

    /// Serves clients until one of `ends` is cancelled: the first breaks them off, the second lets
    /// no more in. Returns when all are gone.
    pub(crate) async fn serve<Work: Future<Output = io::Result<()>> + Send + 'static>(
        self,
        listener: TcpListener,
        [stop, closed]: [&CancellationToken; 2],
        attend: impl Fn(Wire) -> Work + Clone + Send + 'static,
    ) {
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let clients = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                () = closed.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (door, attend, stop) = (self.clone(), attend.clone(), stop.clone());
            let place = Arc::clone(&places).try_acquire_owned();
            clients.spawn(async move {
                let work = async move {
                    let wire = door.let_in(stream).await?;
                    match place {
                        Ok(_place) => attend(wire).await,
                        Err(_) => refuse(wire, "too many clients").await,
                    }
                };
                // A client that goes away is nothing to worry about.
                if let Some(Err(error)) = stop.run_until_cancelled(work).await {
                    tracing::debug!(%address, %error, "a client went away");
                }
            });
        }
        drop(listener);
        clients.close();
        clients.wait().await;
    }

    async fn let_in(&self, stream: TcpStream) -> io::Result<Wire> {
        let Some(acceptor) = &self.0 else { return Ok(Either::Left(stream)) };
        let stream = timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await??;
        Ok(Either::Right(Box::new(stream)))
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Door").field(&self.0.is_some()).finish()
    }
}

fn of_files(files: &TlsFiles) -> io::Result<ServerConfig> {
    let client_ca = files.client_ca.as_deref().map(read).transpose()?;
    let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
    server_config(&certificate, &key, client_ca.as_deref())
}

/// A server with this certificate and key, for clients with a certificate of these authorities, or
/// for all; everything is PEM.
pub(crate) fn server_config(
    certificate: &[u8],
    key: &[u8],
    client_ca: Option<&[u8]>,
) -> io::Result<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(key);
    let key = key.map_err(|e| unusable(&format!("there is no private key: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem)? {
                roots.add(authority).map_err(io::Error::other)?;
            }
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(io::Error::other)?)
        }
    };
    builder.with_single_cert(certificates(certificate)?, key).map_err(io::Error::other)
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| unusable(&format!("a certificate cannot be read: {e}")))?;
    if found.is_empty() { Err(unusable("there is no certificate")) } else { Ok(found) }
}

fn unusable(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    fs::read(file).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.display())))
}

/// Sends lines, all of them.
pub(crate) async fn send(writer: &mut (impl AsyncWrite + Unpin), lines: &str) -> io::Result<()> {
    writer.write_all(lines.as_bytes()).await?;
    writer.flush().await
}

/// Says why, closes, and lets the client read it: closing with unread input would cut it off.
pub(crate) async fn refuse(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    why: &str,
) -> io::Result<()> {
    send(&mut client, &format!("{}\n", json!({ "error": why }))).await?;
    client.shutdown().await?;
    let mut rest = tokio::io::sink();
    let unread = tokio::io::copy(&mut client, &mut rest);
    timeout(FAREWELL_WAIT, unread).await.map_or(Ok(()), |copied| copied.map(|_| ()))
}

/// Counts a client as present while it lives.
pub(crate) struct Present<'a>(&'a watch::Sender<usize>);

impl<'a> Present<'a> {
    pub(crate) fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
