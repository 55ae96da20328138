//! The connection of a bridge to a server: TCP, and TLS over it where the source has it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, SupportedProtocolVersion,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// A connection, with or without TLS.
pub type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// How the servers of a source are known, and how they know the bridge: TLS 1.2 or 1.3. A server
/// must prove that it has the name by which it is connected, or the one that is set.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// A certificate and its key, as PEM.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate, then those that lead to its authority.
    pub certificate: &'a [u8],
    /// The key.
    pub key: &'a [u8],
}

/// Why there can be no TLS as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The CA certificates are none.
    #[error("the CA file holds no usable certificate")]
    BadCa,
    /// The certificate of the client is none.
    #[error("the certificate file holds no usable certificate")]
    BadCertificate,
    /// The key is none.
    #[error("the key file holds no usable private key")]
    BadKey,
    /// The key is not that of the certificate.
    #[error("key and certificate do not belong together, or cannot be used")]
    BadIdentity,
    /// No certificate can have such a name.
    #[error("it is neither a DNS name nor an IP address")]
    BadName,
}

impl Tls {
    /// From PEM. `server_name` takes the place of the name by which a server is connected.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn new(
        ca: &[u8],
        identity: Option<Identity<'_>>,
        server_name: Option<&str>,
    ) -> Result<Self, TlsError> {
        let identity = identity.map(read).transpose()?;
        let name = server_name.map(|name| ServerName::try_from(name.to_owned()));
        let server_name = name.transpose().map_err(|_| TlsError::BadName)?;
        let config = client_config(ca, identity, rustls::DEFAULT_VERSIONS)?;
        Ok(Self { config: Arc::new(config), server_name })
    }

    fn name_of(&self, server: &str) -> Result<ServerName<'static>, ConnectError> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name)
    }
}

type Read = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(identity: Identity<'_>) -> Result<Read, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::BadCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key).map_err(|_| TlsError::BadKey)?;
    Ok((chain, key))
}

/// A client that speaks these versions and trusts these authorities (PEM) only.
///
/// # Errors
/// [`TlsError`]
pub(crate) fn client_config(
    ca: &[u8],
    identity: Option<Read>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.map_err(|_| TlsError::BadCa)?).map_err(|_| TlsError::BadCa)?;
    }
    if roots.is_empty() {
        return Err(TlsError::BadCa);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites for the usual versions")
        .with_root_certificates(roots);
    match identity {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|_| TlsError::BadIdentity)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Why a server cannot be connected; with the remedy where there is one here.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// What the system says.
    #[error("{0}")]
    Tcp(#[source] io::Error),
    /// There is no connection in time.
    #[error("it does not answer within {} ms", .0.as_millis())]
    TcpTimeout(Duration),
    /// It does not do its part of the TLS handshake in time.
    #[error("no TLS handshake within {} ms: does this port speak TLS?", .0.as_millis())]
    TlsTimeout(Duration),
    /// Its name cannot stand in a certificate.
    #[error("no certificate can have its name: set `server_name` of `tls`")]
    Name,
    /// The handshake failed.
    #[error("{}", explained(.0))]
    Tls(#[source] io::Error),
}

/// Connects to a server, `host:port`, TLS handshake included where there is TLS. Either may take
/// `patience`.
///
/// # Errors
/// [`ConnectError`]
pub async fn connect(
    server: &str,
    tls: Option<&Tls>,
    patience: Duration,
) -> Result<Wire, ConnectError> {
    let stream = timeout(patience, TcpStream::connect(server)).await;
    let stream = stream.map_err(|_| ConnectError::TcpTimeout(patience))?;
    let stream = stream.map_err(ConnectError::Tcp)?;
    let Some(tls) = tls else { return Ok(Either::Left(stream)) };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let handshake = timeout(patience, connector.connect(tls.name_of(server)?, stream)).await;
    let stream = handshake.map_err(|_| ConnectError::TlsTimeout(patience))?;
    Ok(Either::Right(Box::new(stream.map_err(ConnectError::Tls)?)))
}

/// Sends a text, all of it.
///
/// # Errors
/// What the system says; `TimedOut` if the server does not take it within `patience`.
pub(crate) async fn tell(wire: &mut Wire, text: &str, patience: Duration) -> io::Result<()> {
    let telling = async {
        wire.write_all(text.as_bytes()).await?;
        wire.flush().await
    };
    timeout(patience, telling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether these bytes are of a TLS record: what a server that speaks TLS says to a client that
/// does not. No line of the protocol begins so.
pub(crate) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, ..])
}

/// What is said of a server whose bytes are [`is_tls`].
pub(crate) const SPEAKS_TLS: &str =
    "the server speaks TLS: give its source `tls` in the configuration";

/// What an error of a connection means, and what to do about it where that is known.
pub(crate) fn explained(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause.and_then(remedy) {
        Some(text) => text.to_owned(),
        None if cause.is_some() => format!("TLS: {error}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server broke off: it speaks no TLS, or refuses the bridge".to_owned()
        }
        None => error.to_string(),
    }
}

fn remedy(error: &rustls::Error) -> Option<&'static str> {
    use AlertDescription as Alert;
    use CertificateError as Bad;
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    let rows = [
        (
            // The second: of an authority with the name of a known one and another key.
            matches!(error, InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature)),
            "its certificate is of an authority that is not known: add the certificate of that \
             authority to `ca_file` of `tls`",
        ),
        (
            matches!(
                error,
                InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. })
            ),
            "its certificate is for another name: connect it by a name that stands in the \
             certificate, or set `server_name` of `tls`",
        ),
        (
            matches!(error, InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. })),
            "its certificate has expired: renew it at the server, or mend the clock of this \
             machine",
        ),
        (
            matches!(error, InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. })),
            "its certificate is not valid yet: mend the clock of this machine or the server's \
             certificate",
        ),
        (
            matches!(error, InvalidMessage(_)),
            "it speaks no TLS: connect its port for TLS, or take `tls` out",
        ),
        (
            matches!(
                error,
                AlertReceived(
                    Alert::CertificateRequired
                        | Alert::BadCertificate
                        | Alert::UnknownCA
                        | Alert::CertificateExpired
                        | Alert::CertificateUnknown
                        | Alert::AccessDenied
                )
            ),
            "it refuses the certificate of the bridge, or that there is none: mend \
             `certificate_file` and `key_file` of `tls`",
        ),
    ];
    rows.into_iter().find(|(is_it, _)| *is_it).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn what_is_no_tls_is_refused_with_what_is_wrong() {
        let made = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new([name.to_owned()]).expect("parameters");
            let certificate = params.self_signed(&key).expect("a certificate");
            (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
        };
        let ((ca, key), (other, _)) = (made("ca"), made("other"));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        for (ca, identity, name, wrong) in [
            (&ca, None, None, None),
            (&ca, Some((&ca, &key)), Some("stat1.example"), None),
            (&ca, Some((&ca, &key)), Some("10.0.0.1"), None),
            (&key, None, None, Some(TlsError::BadCa)),
            (&broken, None, None, Some(TlsError::BadCa)),
            (&ca, Some((&key, &key)), None, Some(TlsError::BadCertificate)),
            (&ca, Some((&ca, &ca)), None, Some(TlsError::BadKey)),
            (&ca, Some((&other, &key)), None, Some(TlsError::BadIdentity)),
            (&ca, None, Some("no name"), Some(TlsError::BadName)),
        ] {
            let identity = identity.map(|(certificate, key)| Identity { certificate, key });
            assert_eq!(Tls::new(ca, identity, name).err(), wrong, "{name:?}");
        }
    }

    #[test]
    fn a_server_has_the_name_by_which_it_is_connected() {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["ca".to_owned()]).expect("parameters");
        let ca = params.self_signed(&key).expect("a certificate").pem();
        for (set, server, name) in [
            (None, "stat1.example:2060", Some("stat1.example")),
            (None, "[::1]:2060", Some("::1")),
            (None, "10.0.0.1:2060", Some("10.0.0.1")),
            (None, "-:2060", None),
            (Some("stat.example"), "10.0.0.1:2060", Some("stat.example")),
        ] {
            let tls = Tls::new(ca.as_bytes(), None, set).expect("it is right");
            let found = tls.name_of(server).ok().map(|name| name.to_str().into_owned());
            assert_eq!(found.as_deref(), name, "{server}");
        }
    }
}
