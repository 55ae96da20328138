//! Runs the tests on an Apache Kafka in a container, where a Docker engine answers. Arguments are
//! those of `cargo test`; without any, all tests of the workspace run. Tests that kill their broker
//! still start one of their own, as everywhere.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, GenericImage, ImageExt};

/// The same as in `docker-compose.yml`.
const IMAGE: (&str, &str) = ("apache/kafka", "4.3.1");
/// Where the broker listens in its container for those outside. To itself it speaks elsewhere: what
/// they call it by is nothing in there.
const OUTSIDE: u16 = 9092;
/// Settings of a broker that is its own controller.
const SETTINGS: [(&str, &str); 15] = [
    ("KAFKA_NODE_ID", "1"),
    ("KAFKA_PROCESS_ROLES", "broker,controller"),
    ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
    ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
    ("KAFKA_INTER_BROKER_LISTENER_NAME", "INSIDE"),
    ("KAFKA_LISTENERS", "OUTSIDE://:9092,CONTROLLER://:9093,INSIDE://:9094"),
    (
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT",
    ),
    ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
    // As the brokers that tests start themselves: quick on an empty cluster, and quick to compact.
    ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4"),
    ("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ("KAFKA_LOG_CLEANER_BACKOFF_MS", "100"),
];

fn main() -> anyhow::Result<ExitCode> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let all = ["--workspace", "--locked"].map(str::to_owned).to_vec();
    let arguments = if given.is_empty() { all } else { given };
    let (broker, address) = kafka().context("Kafka cannot be started in a container")?;
    let tests = Command::new("cargo")
        .arg("test")
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .env("TRUNKLINE_TEST_KAFKA", &address)
        .status()
        .context("cargo cannot be started");
    // Before its runtime ends, the container is removed.
    broker.rm()?;
    Ok(if tests?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A broker, and where it can be reached. It has to know its address before it starts, so that the
/// port is chosen here.
fn kafka() -> anyhow::Result<(Container<GenericImage>, String)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let listeners = format!("OUTSIDE://{address},INSIDE://localhost:9094");
    let image = GenericImage::new(IMAGE.0, IMAGE.1)
        .with_wait_for(WaitFor::message_on_stdout("Kafka Server started"))
        .with_mapped_port(port, OUTSIDE.tcp())
        .with_env_var("KAFKA_ADVERTISED_LISTENERS", listeners);
    let image =
        SETTINGS.iter().fold(image, |image, (name, value)| image.with_env_var(*name, *value));
    Ok((image.start()?, address))
}
