//! What is shipped besides the program: containers, the unit of systemd, examples of
//! configurations, dashboards. Whatever they name must exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::program::{Done, run, run_command, trunkline};

/// The image of this repository; all others have a version.
const OWN_IMAGE: &str = "trunkline:latest";
/// Where the program's configuration is in its container.
const CONFIG: &str = "/etc/trunkline/trunkline.toml";

fn shipped(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&file).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&shipped(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn toml(path: &str) -> Value {
    let table: toml::Table = shipped(path).parse().unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::to_value(table).expect("no dates are configured")
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The value of `--name=value` in a command.
fn option<'a>(service: &'a Value, name: &str) -> &'a str {
    let given = |word: &&'a str| word.strip_prefix(&format!("--{name}=")).is_some();
    let word = texts(&service["command"]).into_iter().find(given);
    let word = word.unwrap_or_else(|| panic!("no --{name} in {}", service["command"]));
    word.split_once('=').expect("it was found so").1
}

/// The text without its comments.
fn without_comments(path: &str) -> String {
    let text = shipped(path);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

fn validate(file: &Path) -> Done {
    let file = file.to_str().expect("UTF-8");
    let mut command = trunkline(&["validate", "--config", file]);
    command.env("TRUNKLINE_CONVERSATION_SECRET", "secret");
    run_command(command, b"")
}

#[test]
fn every_example_of_a_configuration_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let examples = fs::read_dir(&folder).expect("there are examples").map(|entry| {
        let name = entry.expect("readable").file_name();
        name.into_string().expect("UTF-8")
    });
    let is_toml = |name: &String| Path::new(name).extension().is_some_and(|it| it == "toml");
    let examples: BTreeSet<String> = examples.filter(is_toml).collect();
    let wanted = ["example.toml", "multi-site.toml", "single-site.toml", "vq-server.toml"];
    assert_eq!(examples, wanted.map(str::to_owned).into());
    for name in examples {
        let done = validate(&folder.join(&name));
        assert_eq!(done.status, Some(0), "{name}: {}", done.err);
    }
}

#[test]
fn the_instances_of_the_compose_file_are_valid_and_differ_in_their_bridge_alone() {
    let (a, b) =
        (without_comments("config/compose/a.toml"), without_comments("config/compose/b.toml"));
    assert_eq!(a.replace("name = \"a\"", "name = \"b\""), b);
    // Its files are those that the simulators write.
    let dir = tempfile::tempdir().expect("a directory");
    let ca =
        rcgen::generate_simple_self_signed(["organisation".to_owned()]).expect("a certificate");
    fs::write(dir.path().join("organisation-ca.pem"), ca.cert.pem()).expect("writable");
    let mut known: Value =
        serde_json::from_str(&shipped("config/directory.example.json")).expect("JSON");
    let told = toml("config/compose/a.toml")["genesys_cloud"]["presence"]["source_id"].clone();
    known["sourceId"] = told.clone();
    known["presence"]["sourceId"] = told;
    fs::write(dir.path().join("directory.json"), known.to_string()).expect("writable");
    let here = format!("\"{}/", dir.path().display());
    let file = dir.path().join("trunkline.toml");
    fs::write(&file, a.replace("\"/site/", &here)).expect("writable");
    let done = validate(&file);
    assert_eq!(done.status, Some(0), "{}", done.err);
}

#[test]
fn the_compose_file_names_only_what_is_there() {
    let file = yaml("docker-compose.yml");
    let services = file["services"].as_object().expect("services");
    for (name, service) in services {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has an image"));
        let versioned = image.split_once(':').is_some_and(|(_, tag)| tag != "latest");
        assert!(versioned || image == OWN_IMAGE, "{name}: {image} has no version");
        for dependency in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(dependency.0), "{name} depends on {}", dependency.0);
        }
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().expect("a volume has a source");
            let there = match source.strip_prefix("./") {
                Some(path) => Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(),
                None => file["volumes"].get(source).is_some(),
            };
            assert!(there, "{name}: there is no {source}");
        }
        if image != OWN_IMAGE {
            continue;
        }
        // What the program is told, it understands.
        let words = texts(&service["command"]);
        if let Some((command, options)) = words.split_first() {
            let help = run(&[command, "--help"], b"");
            assert_eq!(help.status, Some(0), "{name}: {}", help.err);
            for option in options {
                let option = option.split('=').next().expect("a word");
                assert!(help.out.contains(&format!("{option} ")), "{name}: {command} {option}");
            }
        }
    }
    let built = services.values().filter(|service| service["build"] == ".").count();
    assert_eq!(built, 1, "the image is built once");
}

#[test]
fn the_parts_of_the_compose_file_find_each_other() {
    let file = yaml("docker-compose.yml");
    let (services, config) = (&file["services"], toml("config/compose/a.toml"));
    let listens =
        |name: &str| option(&services[name], "listen").rsplit(':').next().map(str::to_owned);
    let engage = format!("engage:{}", listens("engage").expect("a port"));
    for role in ["voice_server_call", "voice_server_vq", "voice_server_agent"] {
        assert_eq!(texts(&config["domain"][0]["site"][0][role]), [&engage], "{role}");
    }
    let stat: u16 = option(&services["engage"], "stat-server").parse().expect("a port");
    let pair = format!("engage:{stat}/engage:{}", stat + 1);
    assert_eq!(texts(&config["domain"][0]["agent_states"]["stat_servers"]), [&pair]);

    let organisation = &services["organisation"];
    let url = format!("https://organisation:{}", listens("organisation").expect("a port"));
    let cloud = &config["genesys_cloud"];
    assert_eq!((&cloud["base_url"], &cloud["auth_url"]), (&url.clone().into(), &url.into()));
    assert_eq!(cloud["ca_file"], option(organisation, "tls-ca"));
    assert_eq!(option(organisation, "tls-name"), "organisation");
    for reader in [option(organisation, "directory"), option(&services["engage"], "directory")] {
        assert_eq!(config["domain"][0]["directory_file"], reader);
    }

    let kafka = &services["kafka"]["environment"];
    let advertised = kafka["KAFKA_ADVERTISED_LISTENERS"].as_str().expect("a text");
    for broker in texts(&config["log"]["kafka"]["brokers"]) {
        assert!(advertised.contains(&format!("//{broker},")), "{broker} is not {advertised}");
    }

    // What they need besides is a service that listens at its usual port.
    assert_eq!(config["redis"]["server"], "redis:6379");
    let registry = config["schema_registry"]["url"].as_str().expect("a text");
    let published = texts(&services["registry"]["ports"])[0].rsplit(':').next().expect("a port");
    assert_eq!(registry, format!("http://registry:{published}/apis/ccompat/v7"));

    let webdav = &services["webdav"];
    let told = |name: &str| webdav["environment"][name].as_str().expect("a text").to_owned();
    let published = format!("127.0.0.1:{0}:{0}", told("WEBDAV_LISTEN"));
    assert_eq!(texts(&webdav["ports"]), [published.as_str()]);
    let writable = texts(&webdav["tmpfs"]).into_iter().filter_map(|place| place.split(':').next());
    assert_eq!(writable.collect::<Vec<_>>(), [told("WEBDAV_DIR"), told("WEBDAV_RUN")]);

    let admin = config["admin"]["listen"].as_str().expect("a text");
    let port = admin.rsplit(':').next().expect("a port");
    let secret = cloud["conversation"]["client_secret_env"].as_str().expect("a text");
    let mut scraped = Vec::new();
    for (name, own) in [("trunkline-a", "a"), ("trunkline-b", "b")] {
        let service = &services[name];
        let mount = format!("./config/compose/{own}.toml:{CONFIG}:ro");
        assert!(texts(&service["volumes"]).contains(&mount.as_str()), "{name}: {mount}");
        let published = texts(&service["ports"]);
        assert!(published.iter().all(|p| p.ends_with(&format!(":{port}"))), "{published:?}");
        let variables = service["environment"].as_object().expect("variables");
        assert_eq!(variables.keys().collect::<Vec<_>>(), [secret], "{name}");
        scraped.push(format!("{name}:{port}"));
    }
    let prometheus = yaml("ops/prometheus.yml");
    assert_eq!(texts(&prometheus["scrape_configs"][0]["static_configs"][0]["targets"]), scraped);
}

#[test]
fn the_image_runs_what_there_is_as_nobody() {
    let file = shipped("Dockerfile");
    let line = |word: &str| {
        let found = file.lines().map(str::trim).rfind(|line| line.starts_with(word));
        found.unwrap_or_else(|| panic!("no {word}")).to_owned()
    };
    let words = |line: &str| -> Vec<String> {
        let list = &line[line.find('[').expect("a list")..];
        serde_json::from_str(list).expect("a list of words")
    };
    assert_eq!(line("USER"), "USER 10001:10001");
    assert_eq!(line("ENTRYPOINT"), r#"ENTRYPOINT ["trunkline"]"#);
    let health = file.lines().map(str::trim).find(|line| line.starts_with("CMD"));
    let health = words(health.expect("a health check"));
    assert_eq!(health, ["trunkline", "health", "--config", CONFIG]);
    assert_eq!(words(&line("CMD")), ["run", "--config", CONFIG]);
    for command in ["run", "health"] {
        let help = run(&[command, "--help"], b"");
        assert!(help.out.contains("--config "), "{command}: {help:?}");
    }
    let example = toml("config/example.toml");
    let listen = example["admin"]["listen"].as_str().expect("the default");
    assert_eq!(line("EXPOSE"), format!("EXPOSE {}", listen.rsplit(':').next().expect("a port")));
    let manifest: toml::Table = shipped("Cargo.toml").parse().expect("a manifest");
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().expect("a version");
    assert!(file.contains(&format!("FROM rust:{rust}-")), "the image is built with Rust {rust}");
}

#[test]
fn the_unit_of_systemd_starts_what_there_is() {
    let unit = shipped("ops/trunkline.service");
    for (key, command) in [("ExecStart", "run"), ("ExecStartPre", "validate")] {
        let line = format!("{key}=/usr/local/bin/trunkline {command} --config {CONFIG}");
        assert!(unit.lines().any(|l| l == line), "no {line}");
    }
    // The exit status of a wrong configuration, which no restart mends.
    assert!(unit.contains("RestartPreventExitStatus=78"));
    assert_eq!(run(&["validate", "--config", "none.toml"], b"").status, Some(78));
}

#[test]
fn dashboards_show_metrics_that_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/grafana/dashboards");
    let explained = shipped("docs/operations.md");
    let mut shown = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("there are dashboards") {
        let text = fs::read_to_string(entry.expect("readable").path()).expect("readable");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            let metrics = expression.split(word).filter(|name| name.starts_with("trunkline_"));
            shown.extend(metrics.map(|name| name.trim_end_matches("_bucket").to_owned()));
        }
    }
    assert!(shown.len() > 10, "{shown:?}");
    for metric in shown {
        assert!(explained.contains(&format!("`{metric}`")), "{metric} is not explained");
    }
}
