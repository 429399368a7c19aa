//! One file a command; here is what they share.

mod admin;
mod audit;
mod check;
mod client;
mod component;
mod demo;
mod directory;
mod edit;
mod explain;
mod init;
mod keys;
mod mint;
mod out;
mod policy;
mod progress;
mod record_key;
mod replay;
mod request;
mod serve;
mod term;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use standin::audit::OpenError;
use standin::config::{Config, ConfigError, Fault};
use standin::{BuildError, Standin, bounded};

use self::out::{Unwritable, say, tell};

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
  2  the command line, its environment or standin.toml is wrong

Environment: STANDIN_CONFIG, STANDIN_LOG (see standin serve --help), STANDIN_CLIENT_SECRET,
STANDIN_ADMIN_SECRET, NO_COLOR, XDG_CACHE_HOME, HOME"
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
    /// Check standin.toml and what it names, report every fault with its line, and do nothing else.
    Check(check::Args),
    /// Make, rotate and list signing keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Fill and search the directory.
    #[command(subcommand)]
    Directory(directory::Command),
    /// Write, test, compare, sign and look into policy modules.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Verify audit logs, and accept a damaged one.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make the key that seals the tapes of recorded requests.
    RecordKey(record_key::Args),
    /// Run a recorded request again, or see what another policy would have decided.
    Replay(replay::Args),
    /// Write the component to a file, for gateways that load it.
    Component(component::Args),
}

/// Where the configuration is.
#[derive(Debug, Clone, clap::Args)]
struct ConfigArg {
    /// The configuration file [default: what STANDIN_CONFIG names, or standin.toml].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The configuration is wrong, which is exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadConfig(#[from] standin::config::ConfigError);

impl ConfigArg {
    fn read(&self) -> Result<Config, BadConfig> {
        Ok(Config::read(&self.path())?)
    }

    /// A variable that is set to nothing is not set.
    fn path(&self) -> PathBuf {
        let named = || std::env::var_os("STANDIN_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(named).unwrap_or_else(|| PathBuf::from("standin.toml"))
    }
}

/// The command line or its environment is wrong, which is exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl Usage {
    /// Faults in a file that was never written are faults of the options that it was made from: `options` names them by their keys.
    fn of_options(error: &ConfigError, options: &[(&str, &'static str)]) -> Self {
        let named = |fault: &Fault| {
            let key = fault.path.rsplit_once("].").map_or(fault.path.as_str(), |(_, key)| key);
            let key = key.split('[').next().unwrap_or_default();
            let option = options.iter().find(|(known, _)| *known == key).map_or(fault.path.as_str(), |(_, option)| option);
            format!("{option}: {}", fault.problem)
        };
        let mut faults: Vec<String> = error.faults().iter().map(named).collect();
        faults.dedup();
        Self(if faults.is_empty() { error.to_string() } else { faults.join("; ") })
    }
}

/// What a command was told to do went otherwise; it has said so itself.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

/// What is to be done after a change of registrations or keys.
const ON_HANGUP: &str = "a running server takes this up on SIGHUP";

/// Runs the command to its exit code.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(args) => serve::run(args),
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
        Command::RecordKey(args) => record_key::run(&args),
        Command::Replay(args) => block_on(replay::run(args)),
        Command::Component(args) => component::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref().is_some_and(Unwritable::is_unread) => ExitCode::SUCCESS,
        Err(error) if error.is::<Refused>() => ExitCode::from(1),
        Err(error) => {
            tell!("{} {}", term::Stream::Err.red("error:"), out::told(&error));
            ExitCode::from(if error.is::<BadConfig>() || error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// Puts the host together, and says what to do where its audit log cannot be opened.
async fn build(config: Config) -> anyhow::Result<Standin> {
    match Standin::builder().config(config).build().await {
        Ok(standin) => Ok(standin),
        Err(error @ BuildError::Audit { source: OpenError::Locked, .. }) => {
            Err(error).context("cannot open the audit log; if a server is running on this configuration, ask that one")
        }
        Err(error) if matches!(&error, BuildError::Audit { source, .. } if source.is_damage()) => Err(error).context(
            "the audit log is damaged; `standin audit verify` shows where, and `standin audit accept-damage` lets it go on",
        ),
        Err(error) => Err(error.into()),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    runtime()?.block_on(work)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")
}

/// A file that the command line names, of at most `most` bytes. Where it is a pipe, what comes out of it is meant: `/dev/stdin`, `<(…)`.
fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let read = File::open(path).and_then(|file| bounded::read(file, most));
    read.with_context(|| format!("cannot read {}", path.display()))
}

/// The same of a text.
fn read_text(path: &Path, most: u64) -> anyhow::Result<String> {
    let read = File::open(path).and_then(|file| bounded::text(file, most));
    read.with_context(|| format!("cannot read {}", path.display()))
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(say!("{}", serde_json::to_string_pretty(value)?)?)
}
