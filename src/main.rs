//! Trunkline connects a Genesys Engage contact centre to a Genesys Cloud organisation.

use std::process::ExitCode;

/// Much of the work on an event is allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trunkline::cli::main()
}
