//! What stands between the connector and the organisation and garbles: whole connections, answers
//! to log-ins, answers to events that were not passed on, and answers to events that were.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is garbled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Garbled {
    /// A log-in: it never reaches the organisation.
    LogIn,
    /// A request with events: it never reaches the organisation.
    Request,
    /// The answer to a request with events, which the organisation has processed.
    Answer,
}

const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";

/// What is still to be garbled, in order.
type Script = Arc<Mutex<Vec<(Garbled, Vec<u8>)>>>;

/// What is said instead of an answer: bytes, headers that promise more than comes, JSON of another
/// form.
fn script() -> Vec<(Garbled, Vec<u8>)> {
    let json = |body: &str| format!("{JSON}content-length: {}\r\n\r\n{body}", body.len());
    let cut = format!("{JSON}content-length: 5000\r\n\r\n{{\"errors\"");
    let (noise, huge) = (vec![0xff; 3_000], json(&"[".repeat(100_000)));
    vec![
        (Garbled::LogIn, Vec::new()),
        (Garbled::LogIn, noise.clone()),
        (Garbled::LogIn, json("not json!").into()),
        (Garbled::LogIn, json("{\"access_token\":7}").into()),
        (Garbled::Request, noise.clone()),
        (Garbled::Request, b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        (Garbled::Request, cut.clone().into()),
        (Garbled::Answer, huge.into()),
        (Garbled::Answer, noise),
        (Garbled::Answer, cut.into()),
        (Garbled::Answer, json("<html>Service is fine</html>").into()),
        (Garbled::Answer, json("{\"errors\":\"none\"}").into()),
    ]
}

/// The garbler. Dropping it ends it.
pub(super) struct Front {
    address: SocketAddr,
    script: Script,
    serving: JoinHandle<()>,
}

impl Front {
    /// Listens in front of the organisation.
    pub(super) async fn start(org: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let script = Arc::new(Mutex::new(script()));
        let todo = Arc::clone(&script);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, org, Arc::clone(&todo)));
            }
        });
        Self { address, script, serving }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much is still to be garbled.
    pub(super) fn left(&self) -> usize {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How much of this kind is garbled in all.
    pub(super) fn garbled(kind: Garbled) -> usize {
        script().iter().filter(|(garbled, _)| *garbled == kind).count()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One connection, one request.
async fn serve(mut client: TcpStream, org: SocketAddr, script: Script) {
    let Some(request) = read_request(&mut client).await else { return };
    let is_log_in = request.starts_with(b"POST /oauth/token ");
    let garbled = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let next = script.iter().position(|(what, _)| (*what == Garbled::LogIn) == is_log_in);
        next.map(|next| script.remove(next))
    };
    // The client may have given up; its next request is a connection of its own.
    match garbled {
        Some((Garbled::LogIn | Garbled::Request, bytes)) => drop(client.write_all(&bytes).await),
        Some((Garbled::Answer, bytes)) => {
            let answered = ask(org, &request).await;
            assert!(answered.is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200")));
            drop(client.write_all(&bytes).await);
        }
        None => {
            let Some(answer) = ask(org, &request).await else { return };
            drop(client.write_all(&answer).await);
        }
    }
}

/// A request with its body, made one that closes its connection.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if request.len() >= end + 4 + length {
            request.splice(end..end, b"\r\nconnection: close".iter().copied());
            return Some(request);
        }
    }
}

async fn ask(org: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(org).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    Some(answer)
}
