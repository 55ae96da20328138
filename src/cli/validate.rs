//! `trunkline validate`.

use std::process::ExitCode;

use super::{ConfigArg, complain, load};

/// Options of `validate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigArg,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match load(&args.file.config) {
        Ok(config) => {
            let (domains, bridges) = (config.domains.len(), config.bridge.names.len());
            let file = args.file.config.display();
            complain(&format!("{file}: valid (domains: {domains}, bridges: {bridges})"));
            ExitCode::SUCCESS
        }
        Err(status) => status,
    }
}
