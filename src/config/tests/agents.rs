//! Where agent states come from, how they are told, and who makes the directory they stand in.

use secrecy::ExposeSecret;
use trunkline_schemas::directory::DirectoryFile;

use super::super::*;
use super::{CANARY, LEAST, folder, load_in, printed, with, write};

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
