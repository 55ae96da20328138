//! The official SDK of Genesys Cloud for Python as a client of `trunkline gc-sim`: after the tenant
//! of the sample was synchronised it reads back what the organisation holds. A judge that shares no
//! code with the simulator, nor with the sink.
//!
//! It is fetched from PyPI once; `TRUNKLINE_REQUIRE_SDK=1` makes a test that cannot run a failure.

use super::config_sync::{HELD, prepare};
use super::fetched::{packages, python, skip};
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
    let packages = match tokio::task::block_in_place(|| packages("sdk", REQUIREMENTS)) {
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
