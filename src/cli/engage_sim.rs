//! `trunkline engage-sim`: a simulated Engage site.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use trunkline_sim::engage::{self, EngageConfig, TlsFiles};

use super::{Signals, complain, quiet_logging, runtime, say};
use crate::telemetry;

/// Options of `engage-sim`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where its SIP Server listens, for all three roles
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// How many calls
    #[arg(long, default_value_t = 100)]
    calls: u64,
    /// Calls a second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// How much shorter calls are than in life
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Names the calls: the same seed, the same calls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start the calls when so many links are up
    #[arg(long, default_value_t = 0)]
    wait_for_links: usize,
    /// Keep the VQs on a server of their own, on the next port
    #[arg(long)]
    vq_server: bool,
    /// Let a Stat Server at this port tell what agents do; its backup is at the next one
    #[arg(long, value_name = "PORT")]
    stat_server: Option<u16>,
    /// Let all its servers speak TLS with this certificate (PEM, with what leads to its authority)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Take only clients with a certificate of one of these authorities (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_client_ca: Option<PathBuf>,
    /// Play every call model, on two sites; in the middle the SIP Server fails over to its backup
    #[arg(long)]
    everything: bool,
    /// Write the site's directory to this file
    #[arg(long, value_name = "FILE")]
    directory: Option<PathBuf>,
    /// When told to stop, print what the organisation ought to hold, one call a line, then the day
    /// of each agent
    #[arg(long)]
    truth: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::init(&quiet_logging())?;
    let files = args.tls_certificate.clone().zip(args.tls_key.clone());
    let tls = files.map(|(certificate, key)| {
        let client_ca = args.tls_client_ca.clone();
        TlsFiles { certificate, key, client_ca }
    });
    let config = EngageConfig {
        listen: args.listen,
        calls: args.calls,
        rate_per_second: args.rate,
        speed: args.speed,
        seed: args.seed,
        wait_for_clients: args.wait_for_links,
        vq_server: args.vq_server,
        everything: args.everything,
        stat_server: args.stat_server.map(|port| SocketAddr::new(args.listen.ip(), port)),
        tls,
        ..EngageConfig::default()
    };
    runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        let site = engage::start(config).await.context("the site cannot be opened")?;
        if let Some(file) = &args.directory {
            std::fs::write(file, serde_json::to_vec_pretty(&site.directory())?)
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        complain(&format!("simulated Engage site at {}", site.addr()));
        if args.vq_server {
            complain(&format!("its VQ server at {}", site.vq_addr()));
        }
        if let Some(second) = site.second_addr() {
            complain(&format!("the second site's SIP Server at {second}"));
        }
        if let Some(backup) = site.backup_addr() {
            complain(&format!("the first site's backup, once it has taken over, at {backup}"));
        }
        if let Some((primary, backup)) = site.stat_addrs() {
            complain(&format!("its Stat Server at {primary}, the backup at {backup}"));
        }
        signals.told_to_stop().await;
        let progress = site.progress();
        complain(&format!("{} of {} calls finished", progress.finished, progress.total));
        if args.truth {
            for call in site.truth() {
                say(&serde_json::to_string(&call)?)?;
            }
            for day in site.agent_days() {
                say(&serde_json::to_string(&day)?)?;
            }
        }
        site.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}
