//! Connections that can be cut: a client then sees a transport error instead of an answer.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The open connections by the client's address. It lies beneath TLS, so that a cut is one for
/// TLS as well.
#[derive(Clone, Default)]
pub(super) struct Wires(Arc<Mutex<BTreeMap<SocketAddr, Arc<AtomicBool>>>>);

impl Wires {
    /// From here on nothing more is written to this client; the attempt closes the connection.
    pub(super) fn cut(&self, client: SocketAddr) {
        self.with(|wires| {
            if let Some(cut) = wires.get(&client) {
                cut.store(true, Ordering::Release);
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<SocketAddr, Arc<AtomicBool>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Accept<TcpStream, S> for Wires {
    type Stream = Wire;
    type Service = S;
    type Future = Ready<io::Result<(Wire, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let wire = stream.set_nodelay(true).and_then(|()| stream.peer_addr()).map(|client| {
            let cut = Arc::new(AtomicBool::new(false));
            self.with(|wires| wires.insert(client, Arc::clone(&cut)));
            Wire { stream, client, cut, wires: self.clone() }
        });
        ready(wire.map(|wire| (wire, service)))
    }
}

/// One connection.
pub(super) struct Wire {
    stream: TcpStream,
    client: SocketAddr,
    cut: Arc<AtomicBool>,
    wires: Wires,
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The address may belong to a newer connection by now.
        self.wires.with(|wires| {
            if wires.get(&self.client).is_some_and(|cut| Arc::ptr_eq(cut, &self.cut)) {
                wires.remove(&self.client);
            }
        });
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
