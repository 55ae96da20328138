//! Defaults, the example, and what is shown of a configuration.

use std::fs;
use std::path::Path;

use secrecy::ExposeSecret;
use trunkline_schemas::directory::DirectoryFile;

use super::super::*;
use super::{CANARY, DIRECTORY, LEAST, environment, folder, load_in, with, write};

#[test]
fn the_listeners_of_the_roles_stand_beside_the_first() {
    // listen, presence_listen, config_listen; then what they are
    let table = [
        ([None, None, None], ["127.0.0.1:3650", "127.0.0.1:3630", "127.0.0.1:3640"]),
        ([Some("0.0.0.0:80"), None, None], ["0.0.0.0:80", "0.0.0.0:3630", "0.0.0.0:3640"]),
        ([Some("[::1]:0"), None, None], ["[::1]:0", "[::1]:0", "[::1]:0"]),
        (
            [Some("10.0.0.1:0"), Some("127.0.0.1:1"), Some("127.0.0.1:2")],
            ["10.0.0.1:0", "127.0.0.1:1", "127.0.0.1:2"],
        ),
    ];
    let folder = folder();
    for (given, expected) in table {
        let keys = ["listen", "presence_listen", "config_listen"].into_iter().zip(given);
        let line = |(key, value): (&str, Option<&str>)| Some(format!("{key} = {:?}\n", value?));
        let section: String = keys.filter_map(line).collect();
        let text = format!("{LEAST}\n[admin]\n{section}");
        let Admin { listen, presence_listen, config_listen } =
            load_in(&folder, &text).expect("it is complete").admin;
        let found = [listen, presence_listen, config_listen].map(|at| at.to_string());
        assert_eq!(found, expected, "{section}");
    }
}

#[test]
fn the_least_configuration_has_every_default() {
    let folder = folder();
    let config = load_in(&folder, &format!("\u{feff}{LEAST}")).expect("it is complete");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:3650");
    assert_eq!(config.log, Log::Embedded { path: folder.path().join("trunkline-data") });
    assert_eq!(config.bridge.names, ["b1"]);
    let conversation = Conversation {
        wait_ms: 2000,
        disposition_key: "DispositionCode".to_owned(),
        campaign_prefix: "GSW_".to_owned(),
        after_call_secs: 0,
        idle_minutes: 720,
    };
    assert_eq!(config.conversation, conversation);
    assert_eq!(config.shutdown.deadline, Duration::from_secs(10));
    let site = &config.domains[0].sites[0];
    assert_eq!(site.voice_server_call[0].to_string(), "sip1:8000/sip2:8000");
    assert_eq!(site.voice_server_agent[0].backup, None);
    let directory: DirectoryFile = serde_json::from_str(DIRECTORY).expect("it is a directory");
    assert_eq!(config.domains[0].directory, directory);
}

#[test]
fn the_example_has_every_key_and_shows_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.toml");
    let example = Config::load_with(&file, &environment).expect("the example is complete");
    let text = fs::read_to_string(&file).expect("the example is there");
    for line in example.redacted_toml().lines().filter(|line| !line.is_empty()) {
        let key = line.split_inclusive('=').next().expect("a line has a first part");
        assert!(text.contains(key), "{key} is not in the example");
    }
    let folder = folder();
    let least = load_in(&folder, LEAST).expect("it is complete").redacted_toml();
    let shown = example.redacted_toml();
    let given = ["path", "name ", "directory_file", "voice_", "base_url", "auth_url", "client_"];
    let defaults = |text: &str| -> Vec<String> {
        let kept = text.lines().filter(|line| !given.iter().any(|key| line.starts_with(key)));
        kept.map(str::to_owned).collect()
    };
    assert_eq!(defaults(&shown), defaults(&least));
}

#[test]
fn what_is_shown_loads_again_and_is_the_same() {
    let folder = folder();
    for secret in ["client_secret_file = \"secret.txt\"", "client_secret_env = \"SECRET\""] {
        let text = with("client_secret_file = \"secret.txt\"", secret);
        let shown = load_in(&folder, &text).expect("it is complete").redacted_toml();
        let again = load_in(&folder, &shown).expect("it is complete").redacted_toml();
        assert_eq!(shown, again);
        assert!(shown.contains("request_timeout_secs = 30"), "{shown}");
    }
}

#[test]
fn a_secret_is_read_without_its_newline_and_never_shown() {
    let folder = folder();
    for content in [format!("{CANARY}\n"), format!("{CANARY}\r\n"), CANARY.to_owned()] {
        write(&folder, "secret.txt", &content);
        let config = load_in(&folder, LEAST).expect("it is complete");
        let secret = &config.genesys_cloud.conversation.client_secret;
        assert_eq!(secret.value.expose_secret(), CANARY);
        assert!(!format!("{config:?}{}", config.redacted_toml()).contains(CANARY));
    }
    for (content, said) in [
        (String::new(), "is empty"),
        (" \n".to_owned(), "is empty"),
        (format!("{CANARY}\n{CANARY}\n"), "has more than one line"),
    ] {
        write(&folder, "secret.txt", &content);
        let errors = load_in(&folder, LEAST).expect_err("it is no secret");
        assert!(errors[0].text.ends_with(said), "{errors:?}");
        assert!(!format!("{errors:?}").contains(CANARY));
    }
}
