//! `trunkline gc-sim`: a simulated Genesys Cloud organisation.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use trunkline_sim::gc::{self, FaultPlan, GcConfig};

use super::{Signals, complain, quiet_logging, runtime, say};
use crate::config::directory;
use crate::drive::rehearsal::know;
use crate::telemetry;

/// Options of `gc-sim`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Serve HTTPS with a certificate of its own, whose authority is written to this file
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// A name its certificate is for, beside those of this machine
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_name: Option<String>,
    /// Know only the users, queues and codes of this directory
    #[arg(long, value_name = "FILE")]
    directory: Option<PathBuf>,
    /// Requests a client may make in a minute
    #[arg(long, default_value_t = 300)]
    requests_per_minute: u32,
    /// Apply a repeated event again
    #[arg(long)]
    no_dedup: bool,
    /// Scripted faults, as JSON
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::init(&quiet_logging())?;
    let mut config = GcConfig {
        listen: args.listen,
        tls: args.tls_ca.is_some(),
        tls_name: args.tls_name.clone(),
        requests_per_minute: args.requests_per_minute,
        dedup: !args.no_dedup,
        ..GcConfig::default()
    };
    if let Some(file) = &args.directory {
        match directory::load(file) {
            Ok(known) => know(&mut config, &known),
            Err(errors) => {
                for error in &errors {
                    complain(&format!("{error}\n"));
                }
                return Ok(ExitCode::from(super::BAD_CONFIG));
            }
        }
    }
    if let Some(file) = &args.faults {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        config.faults = serde_json::from_str::<FaultPlan>(&text)
            .with_context(|| format!("{} is no plan of faults", file.display()))?;
    }
    runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        let client = (config.client_id.clone(), config.client_secret.clone());
        let sim = gc::start(config).await.context("the listener cannot be opened")?;
        if let (Some(file), Some(pem)) = (&args.tls_ca, sim.ca_pem()) {
            std::fs::write(file, pem)
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        complain(&format!("simulated Genesys Cloud at {}", sim.base_url()));
        complain(&format!("client_id {}, client_secret {}", client.0, client.1));
        signals.told_to_stop().await;
        say(&serde_json::to_string(&sim.summary())?)?;
        sim.stop().await?;
        Ok(ExitCode::SUCCESS)
    })
}
