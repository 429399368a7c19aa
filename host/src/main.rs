//! The command.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

/// A request makes and drops some hundred small values; this allocator is quicker at that than the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
