//! The WebDAV server of the compose file: a real Apache httpd with its configuration.
//!
//! `TRUNKLINE_REQUIRE_WEBDAV=1` makes a test that cannot run a failure.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};

use crate::fetched::skip;
use crate::kafka::broker::ports;
use crate::running::until;

/// Where Debian keeps the modules; the image of the compose file has them at its own root.
const ROOT: &str = "/usr/lib/apache2";
/// Generous: machines are slow.
const SOON: Duration = Duration::from_secs(30);

/// The server. It ends when its standard input does, and so when the test process does.
struct Server {
    keeper: Child,
    directory: tempfile::TempDir,
    url: String,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // Started by root, it serves as a user of its own.
        for path in [directory.path().to_owned(), directory.path().join("kept")] {
            fs::create_dir_all(&path).expect("the directory can be written");
            fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("it is ours");
        }
        let address = format!("127.0.0.1:{}", ports()[0]);
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/webdav/httpd.conf");
        let keep = "apache2 -d \"$1\" -f \"$2\" -D FOREGROUND </dev/null & cat >/dev/null; \
                    kill -TERM $!; wait";
        let keeper = Command::new("sh")
            .args(["-c", keep, "sh", ROOT])
            .arg(config)
            .env("WEBDAV_LISTEN", &address)
            .env("WEBDAV_DIR", directory.path().join("kept"))
            .env("WEBDAV_RUN", directory.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        Self { keeper, directory, url: format!("http://{address}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It fails if it has ended, which is what is wanted.
        let _ = self.keeper.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_are_kept_listed_and_given_back() {
    let asked = Command::new("apache2").arg("-v").output();
    if !asked.is_ok_and(|asked| asked.status.success()) {
        return skip("WebDAV", "TRUNKLINE_REQUIRE_WEBDAV", "there is no apache2");
    }
    let server = Server::start();
    let at = server.url.strip_prefix("http://").expect("it was written so").to_owned();
    until("httpd listens", SOON, || std::net::TcpStream::connect(&at).is_ok()).await;
    // A second installation of the same provider fails, which changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Client::new();
    let ask = |method: &str, path: &str, body: &'static [u8]| {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let asked = http.request(method, format!("{}{path}", server.url)).header("Depth", "1");
        let asked = asked.body(body).send();
        async move {
            let answer = asked.await.expect("an answer");
            (answer.status(), answer.text().await.expect("a text"))
        }
    };
    let (folder, recording) = ("/2026", "/2026/call.opus");
    for (method, path, body, status) in [
        ("MKCOL", folder, &b""[..], StatusCode::CREATED),
        ("PUT", recording, b"a recording", StatusCode::CREATED),
        ("PUT", recording, b"the whole recording", StatusCode::NO_CONTENT),
        ("DELETE", "/none", b"", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(ask(method, path, body).await.0, status, "{method} {path}");
    }
    assert_eq!(ask("GET", recording, b"").await, (StatusCode::OK, "the whole recording".into()));
    let (status, listed) = ask("PROPFIND", folder, b"").await;
    assert_eq!(status, StatusCode::MULTI_STATUS);
    assert!(listed.contains(&format!("<D:href>{recording}</D:href>")), "{listed}");
    let kept = fs::read(server.directory.path().join("kept/2026/call.opus"));
    assert_eq!(kept.expect("it is kept"), b"the whole recording");
}
