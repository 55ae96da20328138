//! The official SDK of Genesys Cloud for Python as a client of `trunkline gc-sim`: after the tenant
//! of the sample was synchronised it reads back what the organisation holds. A judge that shares no
//! code with the simulator, nor with the sink.
//!
//! It is fetched from PyPI once; `TRUNKLINE_REQUIRE_SDK=1` makes a test that cannot run a failure.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::config_sync::{HELD, prepare};
use super::fetched::{fetched, skip};
use super::program::{Server, run_command, trunkline};

/// What is fetched.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// What reads.
const READ_BACK: &str = include_str!("read_back.py");
/// Id and secret of the one client of the simulated organisation.
const CLIENT: [&str; 2] = ["simulated-client", "simulated-secret"];

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_reads_back_what_was_synchronised() {
    let test = "the_official_sdk_reads_back_what_was_synchronised";
    let packages = match tokio::task::block_in_place(packages) {
        Ok(packages) => packages,
        Err(why) => return skip(test, "TRUNKLINE_REQUIRE_SDK", &why),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["gc-sim", "--listen=127.0.0.1:0", "--requests-per-minute=100000"];
    let mut org = Server::start(dir.path(), "org", &args);
    let base_url = format!("http://{}", org.address("simulated Genesys Cloud at ").await);
    prepare(dir.path(), &base_url);
    let mut apply = trunkline(&["config-sync", "apply"]);
    apply.current_dir(dir.path());
    let applied = tokio::task::block_in_place(|| run_command(apply, b""));
    assert_eq!((applied.status, applied.out.as_str()), (Some(0), "45 requests done\n"));
    let read = |secret: &str| {
        let mut python = python();
        python.args(["-c", READ_BACK, &base_url, CLIENT[0], secret]).env("PYTHONPATH", &packages);
        tokio::task::block_in_place(|| run_command(python, b""))
    };
    let done = read(CLIENT[1]);
    assert_eq!(done.status, Some(0), "{}", done.err);
    let mut lines: Vec<&str> = done.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, HELD.lines().collect::<Vec<_>>());
    // It reads nothing without the right secret.
    let refused = read("another secret");
    assert_eq!((refused.status, refused.out.as_str()), (Some(1), ""));
    assert!(refused.err.contains("invalid_client"), "{}", refused.err);
    org.stop().await;
}

/// Python without what is installed for the user it runs as.
fn python() -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONNOUSERSITE", "1");
    python
}

/// The folder with the SDK, fetched if it is not there.
fn packages() -> Result<PathBuf, String> {
    let asked = python().args(["-m", "pip", "--version"]).output();
    if !asked.is_ok_and(|asked| asked.status.success()) {
        return Err("there is no python3 with pip".to_owned());
    }
    fetched("sdk", REQUIREMENTS, |here| {
        let failed = |error: std::io::Error| format!("{}: {error}", here.display());
        fs::write(here.join("requirements.txt"), REQUIREMENTS).map_err(failed)?;
        let fetched = python()
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--target", "sdk", "-r", "requirements.txt"])
            .current_dir(here)
            .output()
            .map_err(failed)?;
        let said = || format!("pip: {}", String::from_utf8_lossy(&fetched.stderr));
        if fetched.status.success() { Ok(()) } else { Err(said()) }
    })
}
