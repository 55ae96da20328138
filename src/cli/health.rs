//! `trunkline health`: asks the running program how it is, for health checks of containers.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::{ConfigArg, load, say};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// What is read of an answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Options of `health`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// Ask whether it is ready (/readyz), not only whether it lives (/livez)
    #[arg(long)]
    ready: bool,
}

/// Exit status 0 for an answer 200, 1 for any other or none.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let listen = match load(&args.file.config) {
        Ok(config) => config.admin.listen,
        Err(status) => return Ok(status),
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    let (status, body) = ask(reachable(listen), path)
        .with_context(|| format!("nothing answers at http://{listen}{path} (admin.listen)"))?;
    say(body.trim_end())?;
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An address to connect to, of a listener that may listen at all of them.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Status and body of one request. HTTP/1.0 (RFC 1945): the end of the connection ends the answer.
fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("the answer has no status")?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_at_every_address_is_asked_at_this_machines_own() {
        for (listen, asked) in [
            ("0.0.0.0:3650", "127.0.0.1:3650"),
            ("[::]:3650", "[::1]:3650"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("192.0.2.7:3650", "192.0.2.7:3650"),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(reachable(address(listen)), address(asked), "{listen}");
        }
    }
}
