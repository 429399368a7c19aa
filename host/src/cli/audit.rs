//! `standin audit`

mod rotate;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use standin::audit::verify::{Report, VerifyOptions, verify};
use standin::audit::{CHECKPOINT_TYP, SealKey, accept_damage};
use standin::clock::SystemClock;
use standin::config::Config;
use standin::keys::files::{self, FileKeys, KeyFolder};
use standin::keys::jwk::KeySet;
use standin::keys::{Keys as _, is_signed_by};

use super::out::say;
use super::{BadConfig, Refused, print_json, read, term};

/// The longest JWK set or checkpoint file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Audit logs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find a changed, missing, cut-off or reordered line; say what could not be checked.
    Verify(Verify),
    /// Let a damaged log be written again, from its last whole line on. What was lost stays lost, and verify goes on to report it.
    AcceptDamage(AcceptDamage),
    /// Close the file that is written and go on in the next one, in the running server or, where none runs, here.
    Rotate(rotate::Args),
}

/// The more is given, the more is checked: the key folder's seal shows a log that was cut off, a JWK set shows forged checkpoints,
/// and a checkpoint kept elsewhere shows an older log put back.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The folder of the log, the log, or one of its closed files: all of them are checked.
    #[arg(value_name = "DIR|FILE")]
    file: PathBuf,
    /// The configuration that wrote it; its key folder holds the seal, and the keys unless --jwks gives them.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A JWK set with the keys that signed the checkpoints: /jwks.json of the server, kept from then.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The `jws` of a checkpoint that was kept elsewhere.
    #[arg(long, value_name = "JWS")]
    known_checkpoint: Option<String>,
    /// No more lines than this may go without a checkpoint.
    #[arg(long, value_name = "LINES")]
    checkpoint_every: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AcceptDamage {
    #[command(flatten)]
    config: super::ConfigArg,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Verify(args) => check(&args),
        Command::AcceptDamage(args) => accept(&args),
        Command::Rotate(args) => super::block_on(rotate::run(args)),
    }
}

fn check(args: &Verify) -> anyhow::Result<()> {
    let config = args.config.as_deref().map(Config::read).transpose().map_err(BadConfig::from)?;
    let folder = config.map(|config| config.keys.dir);
    let seal = folder.as_deref().map(|folder| files::hmac_key(folder, standin::AUDIT_SEAL)).transpose()?;
    let seal = seal.map(|key| SealKey::new(*key.expose()));
    let keys = match (&args.jwks, folder) {
        (Some(path), _) => {
            Some(KeySet::parse(&read(path, MAX_FILE)?).with_context(|| format!("{} is no JWK set", path.display()))?)
        }
        (None, Some(folder)) => Some(KeySet::parse(public_keys(&folder)?.as_bytes())?),
        (None, None) => None,
    };
    let signed = |jws: &str| keys.as_ref().is_some_and(|keys| is_signed_by(jws, CHECKPOINT_TYP, keys));
    let options = VerifyOptions {
        signature: keys.is_some().then_some(&signed),
        seal: seal.as_ref(),
        known_checkpoint: args.known_checkpoint.as_deref(),
        checkpoint_every: args.checkpoint_every,
    };
    let report = verify(&args.file, &options).with_context(|| args.file.display().to_string())?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    if report.ok { Ok(()) } else { Err(Refused.into()) }
}

/// Every key of the folder, also those that are retired.
fn public_keys(folder: &Path) -> anyhow::Result<Arc<str>> {
    let folder = KeyFolder { dir: folder.to_owned(), algorithms: Vec::new(), retention: Duration::MAX };
    Ok(FileKeys::open(folder, Arc::new(SystemClock::default()))?.jwks())
}

fn print(report: &Report) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    let text = report.to_string();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    say!("{}", if report.ok { stream.green(first) } else { stream.red(first) })?;
    Ok(say!("{}", rest.trim_end())?)
}

fn accept(args: &AcceptDamage) -> anyhow::Result<()> {
    let config = args.config.read()?;
    let seal = SealKey::new(*files::hmac_key(&config.keys.dir, standin::AUDIT_SEAL)?.expose());
    let accepted = accept_damage(&config.audit.path, &seal, &SystemClock::default())?;
    if let Some(damage) = accepted.damage {
        say!("accepted: {damage}")?;
        say!("the log goes on after line {}; {} bytes were moved aside", accepted.seq, accepted.moved)?;
        return Ok(());
    }
    // Only the end of a log keeps it from being written.
    let report = verify(&config.audit.path, &VerifyOptions { seal: Some(&seal), ..VerifyOptions::default() })?;
    match report.fault {
        None => Ok(say!("there was no damage to accept; the log goes on after line {}", accepted.seq)?),
        Some(fault) => {
            say!("there was nothing to accept: the log's end is sound, and a server writes on after line {}", accepted.seq)?;
            say!(
                "before it something is wrong ({fault}), which this command does not mend; `standin audit verify` goes on to report it"
            )?;
            Err(Refused.into())
        }
    }
}
