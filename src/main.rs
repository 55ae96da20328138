//! Trunkline connects a Genesys Engage contact centre to a Genesys Cloud organisation.

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkline::cli::main()
}
