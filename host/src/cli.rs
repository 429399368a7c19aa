//! One file a command; here is what they share.

mod audit;
mod check;
mod client;
mod component;
mod demo;
mod directory;
mod explain;
mod init;
mod keys;
mod mint;
mod policy;
mod request;
mod serve;
mod term;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use standin::config::Config;

/// Mints short-lived, narrowed, audited tokens on behalf of users, hosts and edges.
///
/// Begin with `standin demo`, which shows every step on this machine, or with `standin init DIR`, which makes a folder that serves.
#[derive(Debug, Parser)]
#[command(
    name = "standin",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes:
  0  it was done
  1  it was refused or failed; the reason is on standard error, or in the JSON on standard output
  2  the command line or standin.toml is wrong

Environment: STANDIN_CONFIG, STANDIN_LOG (see standin serve --help), STANDIN_CLIENT_SECRET, NO_COLOR"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the protocol endpoints.
    Serve(serve::Args),
    /// Show every step of the main job, for real, on loopback and in a temporary folder.
    Demo(demo::Args),
    /// Make a folder that serves: configuration, keys, empty database, one client.
    Init(init::Args),
    /// Register a client or give it a new secret.
    #[command(subcommand)]
    Client(client::Command),
    /// Mint one token through the embedding API.
    Mint(mint::Args),
    /// Do everything but sign, and show every check, ceiling and reason.
    Explain(explain::Args),
    /// Check standin.toml, report every fault with its line, and do nothing else.
    Check(check::Args),
    /// Make, rotate and list signing keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Fill and search the directory.
    #[command(subcommand)]
    Directory(directory::Command),
    /// Write, test, sign and look into policy modules.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Verify audit logs, and accept a damaged one.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Write the component to a file, for gateways that load it.
    Component(component::Args),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigArg {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "standin.toml", env = "STANDIN_CONFIG")]
    config: PathBuf,
}

/// The configuration is wrong, which is exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadConfig(#[from] standin::config::ConfigError);

impl ConfigArg {
    fn read(&self) -> Result<Config, BadConfig> {
        Ok(Config::read(&self.config)?)
    }

    fn path(&self) -> &Path {
        &self.config
    }
}

/// What a command was told to do went otherwise; it has said so itself.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

/// Runs the command to its exit code.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Init(args) => init::run(&args),
        Command::Client(command) => client::run(command),
        Command::Mint(args) => block_on(mint::run(args)),
        Command::Explain(args) => block_on(explain::run(args)),
        Command::Check(args) => check::run(&args),
        Command::Keys(command) => keys::run(command),
        Command::Directory(command) => block_on(directory::run(command)),
        Command::Policy(command) => policy::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Component(args) => component::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Refused>() => ExitCode::from(1),
        Err(error) => {
            eprintln!("{} {error:#}", term::Stream::Err.red("error:"));
            ExitCode::from(if error.is::<BadConfig>() { 2 } else { 1 })
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?.block_on(work)
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
