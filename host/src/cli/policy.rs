//! `standin policy`

mod cache;
mod cases;
mod diff;
mod inspect;
mod keygen;
mod pack;
mod rollback;
mod sign;
mod sources;
mod status;
mod subject;
mod verify;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;

use super::{block_on, read, read_text};

/// The longest module, in bytes.
const MAX_MODULE: u64 = 256 << 20;
/// The longest key file, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// Write, test, compare, sign and look into policy modules.
///
/// A policy module is a WebAssembly component that decides each request in a sandbox of its own: no network, no keys, no clock.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example, from a folder of Cedar policies to a module that serves:
  standin policy test policies/ --cases cases/
  standin policy pack --policies policies/ --cases cases/ --version 1 -o acme.policy.wasm
  standin policy keygen acme
  standin policy sign acme.policy.wasm --key acme.key.pem
  standin policy verify acme.policy.wasm --key acme.pub.pem

and in standin.toml:
  [policy]
  module = \"acme.policy.wasm\"
  trusted_keys = [\"acme.pub.pem\"]

docs/policies.md has the whole story, docs/cedar.md what a Cedar policy sees, docs/rego.md what a Rego policy sees.")]
pub(crate) enum Command {
    /// Make a module of a folder of policies.
    Pack(pack::Args),
    /// Ask a module, or a folder of policies, every question of its cases.
    Test(cases::Args),
    /// Ask two modules the same, and show which answers differ: of cases, or of past decisions.
    Diff(diff::Args),
    /// Show what a module is: manifest, imports, exports, size, signers.
    Inspect(inspect::Args),
    /// Make a key pair to sign modules with.
    Keygen(keygen::Args),
    /// Sign a module.
    Sign(sign::Args),
    /// Check that a key signed a module exactly as it is.
    Verify(verify::Args),
    /// Show what is live in the running server.
    Status(status::Args),
    /// Put back the module that was live before, or allow an older one.
    Rollback(rollback::Args),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Pack(args) => pack::run(&args),
        Command::Test(args) => cases::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Status(args) => block_on(status::run(args)),
        Command::Rollback(args) => block_on(rollback::run(args)),
    }
}

/// Nobody else may write a module that is made here, whatever the umask: a server would refuse it.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path);
    file.and_then(|mut file| file.write_all(bytes)).with_context(|| format!("cannot write {}", path.display()))
}
