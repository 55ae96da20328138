//! What is printed of a broken file, and that a secret in it is not.

use std::fs;
use std::path::Path;

use super::super::*;
use super::{CANARY, LEAST, check, folder, load_in, printed, with, write};

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
