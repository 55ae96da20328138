//! TLS as SQL Server has it before version 8 of its protocol (MS-TDS 2.2.6.5 and 3.2.5): the client
//! asks for it in its PRELOGIN message, the records of the handshake ride in packets of that type,
//! and everything after it is TLS alone.
//!
//! The driver could do it itself, but only with a second crypto library beside the one of the whole
//! program, and trusting the certificates of the operating system besides those it is given.
//! So it speaks without encryption into a pipe, and this here stands between the pipe and the
//! server.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::database::{DbError, tls};

/// Bytes that a pipe holds.
pub(super) const PIPE_BYTES: usize = 64 * 1024;
/// Bytes of a packet before the login, its header included.
const PACKET_BYTES_MAX: usize = 4096;
const HEADER_BYTES: usize = 8;
/// Types of packets, and the status of the last one of a message.
const ANSWER: u8 = 4;
const PRELOGIN: u8 = 18;
const END_OF_MESSAGE: u8 = 1;
/// The option of PRELOGIN that is about encryption, the end of the options, and its values.
const ENCRYPTION: u8 = 1;
const TERMINATOR: u8 = 0xff;
const ENCRYPT_ON: u8 = 1;
const ENCRYPT_NOT_SUPPORTED: u8 = 2;
const ENCRYPT_REQUIRED: u8 = 3;

/// Makes TLS with a server that must prove to be `host`, and keeps it between the driver, which
/// speaks without encryption at the other end of the pipe, and the server.
pub(super) async fn encrypt(
    mut driver: DuplexStream,
    mut server: TcpStream,
    host: &str,
    ca_pem: &[u8],
) -> Result<AbortOnDropHandle<()>, DbError> {
    // After a handshake of TLS 1.3 the server may send more, and it is not said in what packets.
    let config = tls(ca_pem, &[&rustls::version::TLS12])?;
    let secured = async {
        let mut asked = packet(&mut driver, PRELOGIN).await?;
        encryption(&mut asked, ENCRYPT_ON)?;
        send(&mut server, PRELOGIN, &asked).await?;
        let mut answer = packet(&mut server, ANSWER).await?;
        let offered = encryption(&mut answer, ENCRYPT_NOT_SUPPORTED)?;
        if ![ENCRYPT_ON, ENCRYPT_REQUIRED].contains(&offered) {
            return Err(io::Error::other("the server does not offer TLS"));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let (near, mut records) = tokio::io::duplex(PIPE_BYTES);
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, near);
        let tls = tokio::select! {
            tls = connecting => tls?,
            failed = wrapped(&mut records, &mut server) => match failed? {},
        };
        send(&mut driver, ANSWER, &answer).await?;
        Ok((tls, records))
    };
    let doing = "encrypting the connection to the database";
    let failed = |e: io::Error| DbError::of(doing, e.to_string());
    let (tls, records) = secured.await.map_err(failed)?;
    Ok(AbortOnDropHandle::new(tokio::spawn(relay(driver, tls, records, server))))
}

/// Carries records of a handshake in packets, until it is dropped at its end.
async fn wrapped(records: &mut DuplexStream, server: &mut TcpStream) -> io::Result<Infallible> {
    let (mut to_us, mut from_us) = tokio::io::split(records);
    let (mut to_client, mut to_server) = server.split();
    let there = async {
        let mut bytes = [0; PACKET_BYTES_MAX - HEADER_BYTES];
        loop {
            match to_us.read(&mut bytes).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => send(&mut to_server, PRELOGIN, &bytes[..count]).await?,
            }
        }
    };
    let back = async {
        loop {
            let records = packet(&mut to_client, PRELOGIN).await?;
            from_us.write_all(&records).await?;
        }
    };
    tokio::select! {
        failed = there => failed,
        failed = back => failed,
    }
}

/// Runs until either side ends the connection.
async fn relay(
    mut driver: DuplexStream,
    mut tls: TlsStream<DuplexStream>,
    mut records: DuplexStream,
    mut server: TcpStream,
) {
    // What fails here ends the connection, which the driver sees.
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut driver, &mut tls) => {}
        _ = tokio::io::copy_bidirectional(&mut records, &mut server) => {}
    }
}

/// What the next packet, which must be of that type and the only one of its message, holds.
async fn packet(from: &mut (impl AsyncRead + Unpin), kind: u8) -> io::Result<Vec<u8>> {
    let mut header = [0; HEADER_BYTES];
    from.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_legal = (HEADER_BYTES..=PACKET_BYTES_MAX).contains(&length);
    if header[0] != kind || !is_legal {
        return Err(io::Error::other("the server does not speak TDS"));
    }
    let mut bytes = vec![0; length - HEADER_BYTES];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), kind: u8, bytes: &[u8]) -> io::Result<()> {
    let [high, low] = ((HEADER_BYTES + bytes.len()) as u16).to_be_bytes();
    let mut packet = vec![kind, END_OF_MESSAGE, high, low, 0, 0, 1, 0];
    packet.extend_from_slice(bytes);
    to.write_all(&packet).await
}

/// Puts another value for the encryption into a PRELOGIN message; returns the one it had.
fn encryption(message: &mut [u8], value: u8) -> io::Result<u8> {
    let mut options = message.chunks_exact(5).take_while(|option| option[0] != TERMINATOR);
    let option = options.find(|option| option[0] == ENCRYPTION);
    let place = option.map(|option| usize::from(u16::from_be_bytes([option[1], option[2]])));
    let byte = place.and_then(|place| message.get_mut(place));
    let byte = byte.ok_or_else(|| io::Error::other("PRELOGIN says nothing of encryption"))?;
    Ok(std::mem::replace(byte, value))
}
