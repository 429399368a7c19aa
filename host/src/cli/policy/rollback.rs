//! `standin policy rollback`

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use standin::policy::trust::Floor;
use standin::sqlite::Database;

use super::super::{ConfigArg, print_json, term};
use super::{MAX_MODULE, read};
use crate::cli::out::say;

/// Allows a module that is older than one that was live. Name it in standin.toml and reload; nothing changes before that.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, from version 8 back to version 7:
  standin policy rollback acme-7.policy.wasm
  cp acme-7.policy.wasm acme.policy.wasm && kill -HUP $(pidof standin)")]
pub(crate) struct Args {
    /// The older module; it has to be one that the configuration trusts.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.config.read()?;
    // `digest` pins the module that serves now, and may well be another.
    let mut trust = standin::policy_trust(&config.policy)?;
    trust.digest = None;
    let manifest = trust.check(&read(&args.file, MAX_MODULE)?)?;
    let version = manifest.context("the module has no version: it was not packed by `standin policy pack`")?.version;
    let before = Floor::new(Database::create(&config.store)?).roll_back(version)?;
    if args.json {
        return print_json(&json!({ "version": version, "before": before }));
    }
    let before = before.map_or_else(String::new, |before| format!(" (it was {before})"));
    say!("{} version {version} and later may be live{before}", term::Stream::Out.green("done:"))?;
    Ok(())
}
