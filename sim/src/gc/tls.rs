//! A certificate authority of its own, made anew at each start.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;

use crate::certificates::{Authority, Validity};
use crate::door;

/// The configuration of a server at `listen`, which may have another name, and the PEM of the
/// authority to trust.
pub(super) fn make(listen: SocketAddr, name: Option<&str>) -> io::Result<(RustlsConfig, String)> {
    let authority = Authority::new()?;
    let ip = listen.ip().to_string();
    let names = ["localhost", "127.0.0.1", &ip].into_iter().chain(name);
    let made = authority.certify(&names.collect::<Vec<_>>(), Validity::Valid)?;
    let mut config = door::server_config(made.certificate.as_bytes(), made.key.as_bytes(), None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((RustlsConfig::from_config(Arc::new(config)), authority.pem()))
}
