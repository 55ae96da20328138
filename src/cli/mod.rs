//! The command line, one file a command. Data goes to standard output, everything else to standard
//! error. Exit status: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, LogFormat, Logging};

mod agents;
mod config_sync;
mod configdb;
mod demo;
mod engage_sim;
mod explain;
mod gc_sim;
mod health;
mod run;
mod topics;
pub mod translate;
mod validate;

/// Exit status of a wrong configuration (`EX_CONFIG`).
const BAD_CONFIG: u8 = 78;
/// Where the configuration is looked for.
const CONFIG_FILE: &str = "trunkline.toml";

/// Connects a Genesys Engage contact centre to a Genesys Cloud organisation.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, propagate_version = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a simulated site, the pipeline and a simulated organisation at work
    Demo(demo::Args),
    /// Run bridges, processors and sinks
    Run(run::Args),
    /// Check a configuration as `run` does, and report every problem
    Validate(validate::Args),
    /// Translate TLib events on standard input into Genesys Cloud requests
    Translate(translate::Args),
    /// Ask the running program how it is: exit status 0 if it is well
    Health(health::Args),
    /// List topics, or show the records of one
    Topics(topics::Args),
    /// Look into the Engage Configuration Database
    Configdb(configdb::Args),
    /// Bring the Engage configuration to the organisation, or show what that would change
    ConfigSync(config_sync::Args),
    /// Serve a simulated Engage site
    EngageSim(engage_sim::Args),
    /// Serve a simulated Genesys Cloud organisation
    GcSim(gc_sim::Args),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    // Only fails where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Args::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Validate(args) => Ok(validate::run(&args)),
        Command::Translate(args) => translate::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Configdb(args) => configdb::run(&args),
        Command::ConfigSync(args) => config_sync::run(&args),
        Command::EngageSim(args) => engage_sim::run(&args),
        Command::GcSim(args) => gc_sim::run(&args),
    };
    done.unwrap_or_else(|error| {
        complain(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Reads a configuration, or tells every problem it has.
fn load(file: &std::path::Path) -> Result<Config, ExitCode> {
    Config::load(file).map_err(|errors| {
        for error in &errors {
            complain(&format!("{error}\n"));
        }
        let problems = if errors.len() == 1 { "1 problem" } else { "problems" };
        let count = if errors.len() == 1 { String::new() } else { format!("{} ", errors.len()) };
        complain(&format!("{}: {count}{problems}", file.display()));
        ExitCode::from(BAD_CONFIG)
    })
}

/// Writes a line of data. A reader that has gone away ends the program quietly.
fn say(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// Writes a line that is no data.
fn complain(line: &str) {
    // Nowhere is left to say that this failed.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Log lines of a command that has no configuration: warnings, unless `RUST_LOG` says otherwise.
fn quiet_logging() -> Logging {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    Logging { format: LogFormat::Text, filter }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// SIGINT and SIGTERM, which end the process no more once this is there.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits until the process is told to stop: from the time this was made, not only from now.
    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The option every command that reads a configuration has.
#[derive(Debug, clap::Args)]
struct ConfigArg {
    /// The configuration
    #[arg(long, short, default_value = CONFIG_FILE)]
    config: PathBuf,
}
