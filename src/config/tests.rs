//! Broken files, and exactly what is printed of them.

use std::fs;
use std::path::Path;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use trunkline_schemas::directory::DirectoryFile;

use super::*;

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

#[test]
fn a_mistake_in_a_key_is_shown_where_it_stands() {
    let id = "client_id = \"client\"";
    check(&[
        (
            "a misspelt key",
            with(id, "client_id = \"client\"\nreqests_per_minute = 200"),
            "error[E0004]: t.toml, line 14, column 1: genesys_cloud.conversation.reqests_per_minute
   |
14 | reqests_per_minute = ******
   | ^^^^^^^^^^^^^^^^^^
unknown key

hint: did you mean `requests_per_minute`?",
        ),
        (
            "a key of nowhere",
            format!("colour = 1\n{LEAST}"),
            "error[E0004]: t.toml, line 1, column 1: colour
  |
1 | colour = ******
  | ^^^^^^
unknown key

hint: known here: admin, log, topics, bridge, domain, genesys_cloud, configdb, redis, \
             schema_registry, conversation, presence, shutdown, logging, \
             traces",
        ),
        (
            "a missing key",
            with(id, ""),
            "error[E0005]: t.toml, line 12, column 1: genesys_cloud.conversation.client_id
   |
12 | [genesys_cloud.conversation]
   | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
the key `client_id` is missing",
        ),
        (
            "a missing section",
            LEAST.split("[genesys_cloud]").next().expect("the first half").to_owned(),
            "error[E0005]: t.toml: genesys_cloud
the section [genesys_cloud] is missing

hint: it says which organisation to write to: base_url, auth_url, and \
             [genesys_cloud.conversation] with an OAuth client",
        ),
    ]);
}

#[test]
fn a_mistake_in_a_type_is_shown_where_it_stands() {
    check(&[
        (
            "a unit in the value",
            format!("[shutdown]\ndeadline_secs = \"5s\" # soon\n{LEAST}"),
            "error[E0007]: t.toml, line 2, column 17: shutdown.deadline_secs
  |
2 | deadline_secs = \"5s\"
  |                 ^^^^
invalid type: string \"5s\", expected a whole number

hint: units are in the key; write `deadline_secs = 5`",
        ),
        (
            "a number for a text",
            with("name = \"one\"", "name = 1"),
            "error[E0007]: t.toml, line 5, column 8: domain[0].site[0].name
  |
5 | name = 1
  |        ^
invalid type: integer 1, expected a string

hint: write `name = \"1\"`",
        ),
        (
            "a text for a list",
            with("voice_server_vq = [\"sip1:8001\"]", "voice_server_vq = \"sip1:8001\""),
            "error[E0007]: t.toml, line 7, column 19: domain[0].site[0].voice_server_vq
  |
7 | voice_server_vq = \"sip1:8001\"
  |                   ^^^^^^^^^^^
invalid type: string \"sip1:8001\", expected a list

hint: write `voice_server_vq = [\"sip1:8001\"]`",
        ),
    ]);
}

#[test]
fn a_mistake_in_a_value_is_shown_where_it_stands() {
    let id = "client_id = \"client\"";
    check(&[
        (
            "a number out of range",
            with(id, "client_id = \"client\"\nevents_per_request = 101"),
            "error[E0008]: t.toml, line 14, column 22: genesys_cloud.conversation.events_per_request
   |
14 | events_per_request = 101
   |                      ^^^
101 is not between 1 and 100",
        ),
        (
            "a limit set by another key",
            with(id, "client_id = \"client\"\nrequests_per_minute = 60\nburst = 61"),
            "error[E0008]: t.toml, line 15, column 9: genesys_cloud.conversation.burst
   |
15 | burst = 61
   |         ^^
61 is not between 1 and 60",
        ),
        (
            "a word that is no choice",
            format!("[logging]\nformat = \"xml\"\n{LEAST}"),
            "error[E0009]: t.toml, line 2, column 10: logging.format
  |
2 | format = \"xml\"
  |          ^^^^^
\"xml\" is neither \"text\" nor \"json\"",
        ),
        (
            "an address without a port",
            with("voice_server_agent = [\"sip1:8002\"]", "voice_server_agent = [\"a:1\", \"b\"]"),
            "error[E0010]: t.toml, line 8, column 30: domain[0].site[0].voice_server_agent[1]
  |
8 | voice_server_agent = [\"a:1\", \"b\"]
  |                              ^^^
\"b\" has no port

hint: write `host:port`, or `primary:port/backup:port` for a pair",
        ),
        (
            "a URL in clear text",
            with("base_url = \"https://api.example\"", "base_url = \"http://api.example\""),
            "error[E0011]: t.toml, line 10, column 12: genesys_cloud.base_url
   |
10 | base_url = \"http://api.example\"
   |            ^^^^^^^^^^^^^^^^^^^^
\"http://api.example\" would send tokens in clear text

hint: write `https://api.example`",
        ),
    ]);
}

#[test]
fn what_excludes_or_repeats_something_names_both() {
    let second = "[[domain]]\nname = \"main\"\ndirectory_file = \"directory.json\"\n\
                  [[domain.site]]\nname = \"two\"\nvoice_server_call = [\"c:1\"]\n\
                  voice_server_vq = [\"c:2\"]\nvoice_server_agent = [\"c:3\"]\n";
    check(&[
        (
            "a domain twice",
            with("[genesys_cloud]", &format!("{second}[genesys_cloud]")),
            "error[E0012]: t.toml, line 10, column 8: domain[1].name
   |
10 | name = \"main\"
   |        ^^^^^^
the domain \"main\" stands at domain[0].name (line 2) already",
        ),
        (
            "a site twice, though in another domain",
            with("[genesys_cloud]", &{
                let other = second.replace("\"main\"", "\"north\"").replace("\"two\"", "\"one\"");
                format!("{other}[genesys_cloud]")
            }),
            "error[E0012]: t.toml, line 13, column 8: domain[1].site[0].name
   |
13 | name = \"one\"
   |        ^^^^^
the site \"one\" stands at domain[0].site[0].name (line 5) already",
        ),
        (
            "a server twice",
            with("voice_server_vq = [\"sip1:8001\"]", "voice_server_vq = [\"a:1/b:1\", \"b:1\"]"),
            "error[E0012]: t.toml, line 7, column 31: domain[0].site[0].voice_server_vq[1]
  |
7 | voice_server_vq = [\"a:1/b:1\", \"b:1\"]
  |                               ^^^^^
the SIP Server \"b:1\" stands at domain[0].site[0].voice_server_vq[0] (line 7) already",
        ),
        (
            "two ways of one thing",
            format!("[bridge]\nname = \"b1\"\nnames = [\"b2\"]\n{LEAST}"),
            "error[E0013]: t.toml, line 3, column 9: bridge.names
  |
3 | names = [\"b2\"]
  |         ^^^^^^
`name` and `names` exclude each other

hint: one bridge has `name`, several `names`",
        ),
        (
            "two logs",
            format!("[log.embedded]\npath = \"d\"\n[log.kafka]\nbrokers = [\"k:1\"]\n{LEAST}"),
            "error[E0013]: t.toml, line 3, column 1: log.kafka
  |
3 | [log.kafka]
  | ^^^^^^^^^^^
[log.embedded] and [log.kafka] exclude each other",
        ),
        (
            "a broker twice",
            format!("[log.kafka]\nbrokers = [\"k:1\", \"k:1\"]\n{LEAST}"),
            "error[E0012]: t.toml, line 2, column 19: log.kafka.brokers[1]
  |
2 | brokers = [\"k:1\", \"k:1\"]
  |                   ^^^^^
the broker \"k:1\" stands at log.kafka.brokers[0] (line 2) already",
        ),
    ]);
}

#[test]
fn how_agents_are_told_is_read_and_shown_again() {
    let folder = folder();
    let least = load_in(&folder, LEAST).expect("it is complete");
    assert!(least.genesys_cloud.presence.is_none(), "without the section they are not told");
    assert_eq!(least.presence, Presence { reason_wait_ms: 1_000, reasons: Reasons::default() });
    let shared = "[genesys_cloud.presence]\nsource_id = \"P1\"\nguaranteed_percent = 30\n\
                  [presence]\nreason_wait_ms = 0\n[presence.reasons]\nmeal = [\"Lunch\", \"7\"]\n";
    let config = load_in(&folder, &format!("{LEAST}{shared}")).expect("it is complete");
    let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
    for config in [config, again] {
        let sink = config.genesys_cloud.presence.expect("agents are told");
        assert!(sink.client.is_none(), "it shares the client of conversations");
        assert_eq!((sink.source_id.as_deref(), sink.guaranteed_percent), (Some("P1"), 30));
        assert_eq!((sink.events_per_agent, sink.requests_in_flight), (1, 4));
        let meal = vec!["Lunch".to_owned(), "7".to_owned()];
        let reasons = Reasons { meal, ..Reasons::default() };
        assert_eq!(config.presence, Presence { reason_wait_ms: 0, reasons });
    }
    let own = "[genesys_cloud.presence]\nsource_id = \"P1\"\nclient_id = \"other\"\n\
               client_secret_file = \"secret.txt\"\nrequests_per_minute = 60\n";
    let config = load_in(&folder, &format!("{LEAST}{own}")).expect("it is complete");
    assert!(!format!("{config:?}{}", config.redacted_toml()).contains(CANARY));
    let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
    for config in [config, again] {
        let client = config.genesys_cloud.presence.and_then(|sink| sink.client);
        let client = client.expect("a client of its own");
        assert_eq!((client.client_id.as_str(), client.requests_per_minute), ("other", 60));
        assert_eq!((client.client_secret.value.expose_secret(), client.burst), (CANARY, 10));
    }
}

#[test]
fn another_presence_source_than_that_of_the_directory_is_one_error() {
    let shown = printed(&format!("{LEAST}[genesys_cloud.presence]\nsource_id = \"P2\"\n"));
    let expected = "error[E0013]: t.toml: genesys_cloud.presence.source_id\n\
         it is \"P2\", but the directory of domain \"main\" has \"P1\" as its `sourceId`\n\n\
         hint: there is one presence source for Engage: write its id in both places";
    assert_eq!(shown, expected);
}

#[test]
fn how_the_organisation_is_given_the_configuration_is_read_and_shown_again() {
    let folder = folder();
    let least = load_in(&folder, LEAST).expect("it is complete");
    assert_eq!(least.genesys_cloud.config_sync, None, "without the section it is not");
    let lines = "[genesys_cloud.config_sync]\nguaranteed_percent = 30\ncheck_minutes = 5\n";
    let configdb = "[configdb]\nhost = \"h\"\ndatabase = \"d\"\nuser = \"u\"\ntenant_dbid = 1\n";
    let config = load_in(&folder, &format!("{LEAST}{lines}{configdb}")).expect("it is complete");
    let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
    for config in [config, again] {
        let sync = config.genesys_cloud.config_sync.expect("it is given");
        assert_eq!((sync.guaranteed_percent, sync.check.as_secs()), (30, 300));
    }
    let shown = printed(&format!("{LEAST}{lines}"));
    let expected = "error[E0005]: t.toml: configdb";
    assert_eq!(shown.lines().next(), Some(expected), "{shown}");
}

#[test]
fn a_directory_that_is_made_needs_no_file_and_a_file_adds_to_it() {
    let folder = folder();
    let sync = "[genesys_cloud.config_sync]\n[genesys_cloud.presence]\n[configdb]\nhost = \"h\"\n\
                database = \"d\"\nuser = \"u\"\ntenant_dbid = 1\n";
    let none = format!("{}{sync}", with("directory_file = \"directory.json\"", ""));
    let config = load_in(&folder, &none).expect("it is complete");
    let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
    for config in [config, again] {
        assert_eq!(config.domains[0].directory_file, None);
        assert_eq!(config.domains[0].directory, DirectoryFile::default());
        assert_eq!(config.genesys_cloud.presence.expect("agents are told").source_id, None);
    }
    let addition = r#"{"servers":[{"name":"S1","switch":"SW"}],
"agents":[{"employeeId":"E1","logins":[{"dn":"7001","switch":"SW"}]},{"employeeId":"E2"}]}"#;
    write(&folder, "directory.json", addition);
    let config = load_in(&folder, &format!("{LEAST}{sync}")).expect("it needs no ids");
    let directory = &config.domains[0].directory;
    assert_eq!((directory.servers.len(), directory.agents.len()), (1, 2));
    let missing = load_in(&folder, LEAST).expect_err("a directory of its own has ids");
    let keys: Vec<&str> = missing.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["sourceId", "agents[0].userId", "agents[1].userId"]);
    let own = sync.replace("presence]\n", "presence]\nsource_id = \"P1\"\n");
    let said = load_in(&folder, &format!("{LEAST}{own}")).expect_err("which one?");
    assert!(said[0].to_string().contains("E0013"), "{}", said[0]);
}

#[test]
fn where_redis_is_is_read_and_shown_again() {
    let folder = folder();
    let on_kafka = |redis: &str| {
        let kafka = "[log.kafka]\nbrokers = [\"k:9092\"]\n";
        format!("{LEAST}{kafka}{redis}")
    };
    let one = "[redis]\nserver = \"r:6379\"\nuser = \"trunk\"\n";
    let three = "[redis]\nsentinels = [\"a:1\", \"b:2\"]\nmaster = \"m\"\n";
    for (text, user) in [(one, Some("trunk")), (three, None)] {
        let config = load_in(&folder, &on_kafka(text)).expect("it is complete");
        let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
        let redis = again.redis.expect("it is given");
        assert_eq!(redis.user.as_deref(), user);
        let place = config.redis.expect("it is given").connection().place;
        assert_eq!(redis.connection().place, place, "{text}");
    }
    for (text, first) in [
        (on_kafka("[redis]\n"), "redis"),
        (on_kafka(&format!("{one}master = \"m\"\n")), "redis"),
        (on_kafka("[redis]\nmaster = \"m\"\n"), "redis"),
        (on_kafka(&three.replace("b:2", "a:1")), "redis.sentinels[1]"),
        // One process has nobody to share with.
        (format!("{LEAST}{one}"), "redis"),
    ] {
        let shown = printed(&text);
        let place = shown.lines().next().unwrap_or_default();
        assert!(place.ends_with(&format!(": {first}")), "{shown}");
    }
}

#[test]
fn where_the_schema_registry_is_is_read_and_shown_again() {
    let folder = folder();
    let kafka = "[log.kafka]\nbrokers = [\"k:9092\"]\n";
    let least = "[schema_registry]\nurl = \"https://r:8081/\"\n";
    let config = load_in(&folder, &format!("{LEAST}{kafka}{least}")).expect("it is complete");
    let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
    let registry = again.schema_registry.expect("it is given").connection();
    assert_eq!((registry.url.as_str(), registry.login.is_none()), ("https://r:8081", true));
    for (text, first) in [
        (format!("{kafka}[schema_registry]\n"), "schema_registry.url"),
        (format!("{kafka}{}", least.replace("https:", "ftp:")), "schema_registry.url"),
        (
            format!("{kafka}{}user = \"u\"\npassword_file = \"secret.txt\"\n", {
                least.replace("https", "http")
            }),
            "schema_registry.url",
        ),
        (format!("{kafka}{least}user = \"u\"\n"), "schema_registry"),
        (least.to_owned(), "schema_registry"),
    ] {
        let shown = printed(&format!("{LEAST}{text}"));
        let place = shown.lines().next().unwrap_or_default();
        assert!(place.ends_with(&format!(": {first}")), "{shown}");
    }
}

#[test]
fn what_is_wrong_with_how_agents_are_told_is_shown_where_it_stands() {
    let wrong = |lines: &str| {
        let shown = printed(&format!("{LEAST}{lines}"));
        shown.lines().next().map(str::to_owned).unwrap_or_default()
    };
    for (lines, first) in [
        (
            "[genesys_cloud.presence]\n",
            "error[E0005]: t.toml, line 15, column 1: genesys_cloud.presence.source_id",
        ),
        (
            "[genesys_cloud.presence]\nsource_id = \"P1\"\nguaranteed_percent = 101\n",
            "error[E0008]: t.toml, line 17, column 22: genesys_cloud.presence.guaranteed_percent",
        ),
        (
            "[genesys_cloud.presence]\nsource_id = \"P1\"\nclient_id = \"other\"\n",
            "error[E0005]: t.toml, line 15, column 1: genesys_cloud.presence.client_secret_file",
        ),
        (
            "[genesys_cloud.presence]\nsource_id = \"P1\"\nrequests_per_minute = 60\n",
            "error[E0004]: t.toml, line 17, column 1: genesys_cloud.presence.requests_per_minute",
        ),
        (
            "[presence.reasons]\nmeal = [\"Lunch\"]\nbreak = [\"lunch\"]\n",
            "error[E0012]: t.toml, line 16, column 9: presence.reasons.meal[0]",
        ),
    ] {
        assert_eq!(wrong(lines), first, "{lines}");
    }
}

#[test]
fn what_is_missing_outside_the_file_is_named() {
    let secret = "client_secret_file = \"secret.txt\"";
    check(&[
        (
            "a missing secret file",
            with(secret, "client_secret_file = \"no/such.txt\""),
            "error[E0014]: t.toml, line 14, column 22: genesys_cloud.conversation.client_secret_file
   |
14 | client_secret_file = \"no/such.txt\"
   |                      ^^^^^^^^^^^^^
no/such.txt cannot be read: No such file or directory (os error 2)

hint: write the secret into that file, readable by this user only",
        ),
        (
            "a missing variable",
            with(secret, "client_secret_env = \"NOT_SET\""),
            "error[E0014]: t.toml, line 14, column 21: genesys_cloud.conversation.client_secret_env
   |
14 | client_secret_env = \"NOT_SET\"
   |                     ^^^^^^^^^
the environment variable NOT_SET is not set

hint: start with NOT_SET in the environment",
        ),
        (
            "a secret in the file",
            with(secret, &format!("client_secret = \"{CANARY}\" # {CANARY}")),
            "error[E0006]: t.toml, line 14, column 1: genesys_cloud.conversation.client_secret
   |
14 | client_secret = ******
   | ^^^^^^^^^^^^^
secrets are given by reference only

hint: write `client_secret_file = \"…\"` or `client_secret_env = \"…\"`",
        ),
        (
            "a missing directory file",
            with("directory_file = \"directory.json\"", "directory_file = \"d.json\""),
            "error[E0016]: t.toml, line 3, column 18: domain[0].directory_file
  |
3 | directory_file = \"d.json\"
  |                  ^^^^^^^^
d.json is not a file",
        ),
    ]);
}

#[test]
fn all_problems_of_all_files_are_reported_at_once_in_the_order_of_their_places() {
    let folder = folder();
    write(&folder, "directory.json", "{\"sourceId\":\"\",\"agent\":[]}");
    let text = LEAST
        .replace("client_id = \"client\"", "clientid = \"client\"\nburst = \"3\"")
        .replace("sip1:8001", "sip1")
        .replace("https://login.example", "login.example");
    let errors = load_in(&folder, &text).expect_err("the files have errors");
    let found: Vec<String> = errors.iter().map(|e| format!("{} {}", e.code, e.key)).collect();
    let expected = [
        "E0010 domain[0].site[0].voice_server_vq[0]",
        "E0011 genesys_cloud.auth_url",
        "E0005 genesys_cloud.conversation.client_id",
        "E0004 genesys_cloud.conversation.clientid",
        "E0007 genesys_cloud.conversation.burst",
        "E0015 sourceId",
        "E0004 agent",
    ];
    assert_eq!(found, expected);
    assert!(errors[6].to_string().ends_with("hint: did you mean `agents`?"));
}

#[test]
fn files_that_are_no_text_are_named_as_a_whole() {
    let folder = folder();
    let file = folder.path().join("t.toml");
    for (bytes, code, text) in [
        (b"a = \"\xff\"".to_vec(), "E0002", "is not UTF-8 (line 1, byte 5 of the file)"),
        (vec![b'#'; 1024 * 1024 + 1], "E0002", "is larger than 1048576 bytes"),
    ] {
        fs::write(&file, bytes).expect("the folder can be written");
        let errors = Config::load(&file).expect_err("it is no text");
        let expected = format!("error[{code}]: {}\n{text}", file.display());
        assert_eq!(errors[0].to_string(), expected);
    }
    let errors = Config::load(Path::new("no/such.toml")).expect_err("it does not exist");
    let expected = "error[E0001]: no/such.toml\ncannot be read: No such file or directory \
                    (os error 2)";
    assert_eq!(errors[0].to_string(), expected);
}

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
fn the_log_may_be_a_kafka_cluster() {
    let folder = folder();
    let pair = |brokers: &str, more: &str| {
        load_in(&folder, &format!("[log.kafka]\nbrokers = {brokers}\n{more}\n{LEAST}"))
    };
    let at = |host: &str, port| HostPort { host: host.to_owned(), port };
    for (brokers, more, expected) in [
        (r#"["k:9092"]"#, "", (vec![at("k", 9092)], None)),
        (r#"["k1:1", "[::1]:2"]"#, "replication = 3", (vec![at("k1", 1), at("::1", 2)], Some(3))),
    ] {
        let config = pair(brokers, more).expect("it is complete");
        let (brokers, replication) = expected;
        assert_eq!(config.log, Log::Kafka { brokers, replication, client: None });
        let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
        assert_eq!(again.log, config.log);
    }
    for (brokers, more, code, key) in [
        ("[]", "", "E0008", "log.kafka.brokers"),
        (r#"["k"]"#, "", "E0010", "log.kafka.brokers[0]"),
        (r#""k:1""#, "", "E0007", "log.kafka.brokers"),
        (r#"["k:1"]"#, "replication = 0", "E0008", "log.kafka.replication"),
        (r#"["k:1"]"#, "acks = 1", "E0004", "log.kafka.acks"),
    ] {
        let errors = pair(brokers, more).expect_err("it is refused");
        let printed = errors[0].to_string();
        assert!(printed.contains(code) && printed.contains(key), "{brokers} {more}: {printed}");
    }
    let errors = load_in(&folder, &format!("[log.kafka]\n{LEAST}")).expect_err("no brokers");
    assert!(errors[0].to_string().contains("log.kafka.brokers"), "{}", errors[0]);
}

#[test]
fn settings_of_kafka_clients_stand_in_a_file_whose_values_are_never_shown() {
    let folder = folder();
    let file = folder.path().join("client");
    let load = |lines: &str| {
        std::fs::write(&file, lines).expect("the folder can be written");
        let log = "[log.kafka]\nbrokers = [\"k:1\"]\nclient_file = \"client\"";
        load_in(&folder, &format!("{log}\n{LEAST}"))
    };
    let good = "# who we are\n\nsecurity.protocol = sasl_ssl\nsasl.mechanism=PLAIN\n\
                sasl.username=t\nsasl.password=tell=nobody\n";
    let config = load(good).expect("it is complete");
    let Log::Kafka { client: Some(client), .. } = &config.log else { panic!("{:?}", config.log) };
    assert_eq!(client.settings["sasl.password"], "tell=nobody");
    assert_eq!(client.settings.len(), 4);
    let shown = format!("{config:?}{}", config.redacted_toml());
    assert!(shown.contains("client") && !shown.contains("nobody"), "{shown}");
    let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
    assert_eq!(again.log, config.log);
    for (lines, said) in [
        ("acks=1", "line 1: `acks` is Trunkline's own"),
        ("\nno.such=1", "line 2: `no.such` is no setting of librdkafka"),
        ("socket.timeout.ms=secret", "line 1: `socket.timeout.ms` may not have this value"),
        ("ssl.key.password=a\nssl.key.password=b", "line 2: `ssl.key.password` is there already"),
        ("secret", "line 1: there is no `=`"),
    ] {
        let errors = load(lines).expect_err("it is refused");
        let printed = errors[0].to_string();
        assert!(printed.contains("E0016") && printed.contains(said), "{lines}: {printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }
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

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let line = "client_secret_file = \"secret.txt\"";
    for instead in [
        format!("client_secret = \"{CANARY}\""),
        format!("client_secret = \"\"\"\n{CANARY}\"\"\""),
        format!("client_secret = \"{CANARY}"),
        format!("client_secret = {CANARY}"),
        format!("client_secret_file = \"{CANARY}\""),
        format!("client_secret_file = [\"{CANARY}\"]"),
        format!("client_secret_env = \"{CANARY}\""),
        format!("client_secrt_file = \"{CANARY}\""),
        format!("clientsecret = \"{CANARY}\"\nburst = 0"),
        format!("password = {{ value = \"{CANARY}\", burst = \"x\" }}"),
        format!("key = \"{CANARY}\""),
        format!("secret = \"{CANARY}\"\nsecret = \"{CANARY}\""),
        format!("client_secret_file = \"secret.txt\" # was {CANARY}\nburst = 0 # {CANARY}"),
    ] {
        let shown = printed(&with(line, &instead));
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.starts_with("error[E00"), "{shown}");
    }
    let url = "auth_url = \"https://login.example\"";
    let shown = printed(&with(url, &format!("auth_url = \"https://me:{CANARY}@login.example\"")));
    assert!(!shown.contains(CANARY) && shown.contains("auth_url = ******\n"), "{shown}");
}

/// Code and key of the one problem, the directory, the text and the hint.
type DirectoryCase = (&'static str, String, &'static str, &'static str);

fn broken_directories() -> [DirectoryCase; 9] {
    let agents = "\"agents\":[{\"employeeId\":\"E1\",\"userId\":\"U1\",\"logins\":[{\
                  \"dn\":\"7001\",\"switch\":\"SW\"}]}]";
    let second = "{\"employeeId\":\"E2\",\"userId\":\"U2\",\"logins\":[{\"dn\":\"7001\",\
                  \"switch\":\"SW\"}]}";
    let queue = "{\"dn\":\"VQ1\",\"switch\":\"SW\",\"queueId\":\"Q1\"}";
    let both = agents.replace("}]}]", &format!("}}]}},{second}]"));
    [
        (
            "E0012 agents[1].logins[0].dn",
            DIRECTORY.replace(agents, &both),
            "agent \"E2\" is at DN \"7001\" of switch \"SW\", where agent \"E1\" is already \
             (line 2)",
            "",
        ),
        (
            "E0012 queues[1].dn",
            DIRECTORY.replace(queue, &format!("{queue},\n{queue}")),
            "the queue \"VQ1@SW\" stands at queues[0].dn (line 3) already",
            "",
        ),
        (
            "E0005 servers[0].switch",
            DIRECTORY.replace(",\"switch\":\"SW\"}],\n\"agents", "}],\n\"agents"),
            "the key `switch` is missing",
            "",
        ),
        ("E0015 agents[0].userId", DIRECTORY.replace("\"U1\"", "\" \""), "is empty", ""),
        (
            "E0004 agents[0].loginz",
            DIRECTORY.replace("logins", "loginz"),
            "unknown key",
            "did you mean `logins`?",
        ),
        (
            "E0007 extensions[0].dn",
            DIRECTORY.replace("\"extensions\":[{\"dn\":\"7001\"", "\"extensions\":[{\"dn\":7001"),
            "invalid type: integer 7001, expected a string",
            "write `\"dn\": \"7001\"`",
        ),
        (
            "E0012 sourceId",
            DIRECTORY.replace("\"sourceId\":\"P1\"", "\"sourceId\":\"P1\",\"sourceId\":\"P2\""),
            "the key stands in line 5 already",
            "",
        ),
        ("E0007 ", "[]".to_owned(), "invalid type: list, expected a table", ""),
        ("E0003 ", "{\"sourceId\":}".to_owned(), "expected value", ""),
    ]
}

#[test]
fn a_directory_is_checked_with_the_same_care() {
    let folder = folder();
    let file = folder.path().join("directory.json");
    for (what, text, said, hint) in broken_directories() {
        assert_ne!(text, DIRECTORY, "{what}");
        write(&folder, "directory.json", &text);
        let errors = load_directory(&file).expect_err(what);
        assert_eq!(format!("{} {}", errors[0].code, errors[0].key), what);
        assert_eq!(errors[0].text, said);
        assert_eq!(errors[0].hint.as_deref().unwrap_or_default(), hint);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].place.is_some(), "{errors:?}");
    }
}

#[test]
fn what_serde_writes_of_a_directory_is_read_as_the_same() {
    let folder = folder();
    let directory: DirectoryFile = serde_json::from_str(DIRECTORY).expect("it is a directory");
    let text = serde_json::to_string_pretty(&directory).expect("it can be written");
    write(&folder, "directory.json", &text);
    let read = load_directory(&folder.path().join("directory.json")).expect("it is complete");
    assert_eq!(read, directory);
    let least: DirectoryFile = serde_json::from_str("{\"sourceId\":\"P\"}").expect("the least");
    write(&folder, "directory.json", "{\"sourceId\":\"P\"}");
    let read = load_directory(&folder.path().join("directory.json")).expect("it is complete");
    assert_eq!(read, least);
}

/// A file with one stretch taken out and something else put there.
fn damaged(text: &str, from: usize, length: usize, instead: &str) -> String {
    let from = text.floor_char_boundary(from % (text.len() + 1));
    let to = text.ceil_char_boundary((from + length).min(text.len()));
    format!("{}{instead}{}", &text[..from], &text[to..])
}

proptest::proptest! {
    #[test]
    fn a_damaged_file_is_read_or_refused_with_a_reason(
        from in 0_usize..1000,
        length in 0_usize..40,
        instead in "[\\PC\\n\"\\[\\]{}=,#.]{0,6}",
    ) {
        let folder = folder();
        if let Err(errors) = load_in(&folder, &damaged(LEAST, from, length, &instead)) {
            proptest::prop_assert!(!errors.is_empty());
            let shown: String = errors.iter().map(ToString::to_string).collect();
            proptest::prop_assert!(!shown.contains(CANARY));
        }
        let text = damaged(DIRECTORY, from, length, &instead);
        write(&folder, "directory.json", &text);
        match load_directory(&folder.path().join("directory.json")) {
            Err(errors) => proptest::prop_assert!(!errors.is_empty()),
            Ok(read) => {
                let serde = serde_json::from_str::<DirectoryFile>(&text).ok();
                proptest::prop_assert_eq!(Some(read), serde);
            }
        }
    }
}

/// [`LEAST`] with these lines in the section of agent states.
fn with_agent_states(lines: &str) -> String {
    let before = "[[domain.site]]";
    with(before, &format!("[domain.agent_states]\n{lines}\n{before}"))
}

#[test]
fn agent_states_come_from_the_sources_that_are_named() {
    let folder = folder();
    let voice = "[domain.agent_states.voice_microservices]\nbrokers = [\"k:9092\"]";
    let both = format!("stat_servers = [\"a:2060/b:2060\", \"c:1\"]\n{voice}");
    for (lines, authority, pairs, topic) in [
        ("stat_servers = [\"a:2060\"]", AgentSource::StatServer, 1, None),
        (voice, AgentSource::VoiceMicroservices, 0, Some("voice-agentstate")),
        (&both, AgentSource::StatServer, 2, Some("voice-agentstate")),
        (
            &format!("authority = \"voice_microservices\"\n{both}\ntopic = \"t\""),
            AgentSource::VoiceMicroservices,
            2,
            Some("t"),
        ),
    ] {
        let config = load_in(&folder, &with_agent_states(lines)).expect("it is complete");
        let states = config.domains[0].agent_states.as_ref().expect("the section is there");
        let found = states.voice_microservices.as_ref().map(|voice| voice.topic.as_str());
        assert_eq!((states.authority, states.stat_servers.len()), (authority, pairs), "{lines}");
        assert_eq!(found, topic, "{lines}");
        let again = load_in(&folder, &config.redacted_toml()).expect("what is shown loads");
        assert_eq!(again.domains[0].agent_states, config.domains[0].agent_states);
    }
    let none = load_in(&folder, LEAST).expect("it is complete");
    assert_eq!(none.domains[0].agent_states, None);
}

#[test]
fn what_is_wrong_with_agent_states_is_said() {
    let folder = folder();
    let stat = "stat_servers = [\"a:2060\"]";
    for (lines, code, key, said) in [
        ("", "E0005", "agent_states.stat_servers", "there is no source of agent states"),
        ("stat_servers = []", "E0008", "agent_states.stat_servers", "the list is empty"),
        ("stat_servers = [\"a\"]", "E0010", "agent_states.stat_servers[0]", "has no port"),
        (
            "stat_servers = [\"a:1\", \"b:1/a:1\"]",
            "E0012",
            "agent_states.stat_servers[1]",
            "Stat Server",
        ),
        (
            &format!("authority = \"voice_microservices\"\n{stat}"),
            "E0005",
            "agent_states.authority",
            "there is no `voice_microservices`",
        ),
        (
            &format!("authority = \"both\"\n{stat}"),
            "E0009",
            "agent_states.authority",
            "write `stat_server` or `voice_microservices`",
        ),
        (
            "[domain.agent_states.voice_microservices]",
            "E0005",
            "agent_states.voice_microservices.brokers",
            "the key `brokers` is missing",
        ),
        (
            "[domain.agent_states.voice_microservices]\nbrokers = [\"k:1\"]\ntopic = \"a b\"",
            "E0015",
            "agent_states.voice_microservices.topic",
            "is not a name",
        ),
    ] {
        let errors = load_in(&folder, &with_agent_states(lines)).expect_err("it is refused");
        let printed = errors[0].to_string();
        assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
        for wanted in [code, key, said] {
            assert!(printed.contains(wanted), "{lines}: no {wanted:?} in {printed}");
        }
    }
}
