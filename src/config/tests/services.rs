//! Redis, the schema registry and the Kafka cluster.

use super::super::*;
use super::{LEAST, folder, load_in, printed};

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
