//! Broken files, and exactly what is printed of them.

use std::fs;

use tempfile::TempDir;

use super::{Config, ConfigError};

mod agents;
mod directory;
mod mistakes;
mod services;
mod shown;

const CANARY: &str = "c4n4ry-0f-a-s3cret";

const DIRECTORY: &str = r#"{"servers":[{"name":"S1","switch":"SW"}],
"agents":[{"employeeId":"E1","userId":"U1","logins":[{"dn":"7001","switch":"SW"}]}],
"queues":[{"dn":"VQ1","switch":"SW","queueId":"Q1"}],
"extensions":[{"dn":"7001","switch":"SW"}],
"wrapUpCodes":[{"name":"Sold","id":"W1"}],"sourceId":"P1"}"#;

/// The least a configuration must say.
pub(super) const LEAST: &str = r#"[[domain]]
name = "main"
directory_file = "directory.json"
[[domain.site]]
name = "one"
voice_server_call = ["sip1:8000/sip2:8000"]
voice_server_vq = ["sip1:8001"]
voice_server_agent = ["sip1:8002"]
[genesys_cloud]
base_url = "https://api.example"
auth_url = "https://login.example"
[genesys_cloud.conversation]
client_id = "client"
client_secret_file = "secret.txt"
"#;

pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(&folder, "directory.json", DIRECTORY);
    write(&folder, "secret.txt", &format!("{CANARY}\n"));
    folder
}

pub(super) fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).expect("the folder can be written");
}

fn environment(variable: &str) -> Option<String> {
    let given = ["SECRET", "TRUNKLINE_CONVERSATION_SECRET"].contains(&variable);
    given.then(|| CANARY.to_owned())
}

pub(super) fn load_in(folder: &TempDir, text: &str) -> Result<Config, Vec<ConfigError>> {
    write(folder, "t.toml", text);
    Config::load_with(&folder.path().join("t.toml"), &environment)
}

/// What is printed of a file, with the temporary folder left out.
fn printed(text: &str) -> String {
    let folder = folder();
    let errors = load_in(&folder, text).expect_err("the file has errors");
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    shown.join("\n\n").replace(&format!("{}/", folder.path().display()), "")
}

/// [`LEAST`] with one line put in the place of another; an empty one takes it out.
fn with(line: &str, instead: &str) -> String {
    assert!(LEAST.lines().any(|found| found == line), "{line}");
    let lines = LEAST.lines().map(|found| if found == line { instead } else { found });
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}

fn check(cases: &[(&str, String, &str)]) {
    for (what, text, expected) in cases {
        assert_eq!(printed(text), *expected, "{what}");
    }
}
