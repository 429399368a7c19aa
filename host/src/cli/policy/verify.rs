//! `standin policy verify`

use std::path::PathBuf;

use serde_json::json;
use standin::config::Config;
use standin::policy::signature::{SignatureError, TrustedKeys};
use standin::policy::trust::{Trust, TrustError};

use super::super::{BadConfig, Refused, print_json, term};
use super::{MAX_KEY, MAX_MODULE, read, read_text};
use crate::cli::out::{say, tell};

/// Checks that a key signed a module exactly as it is. With --config it asks what a server would ask: `trusted_keys` and `digest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  standin policy verify acme.policy.wasm --key acme.pub.pem")]
pub(crate) struct Args {
    /// The module.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A public key that counts; repeatable.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    key: Vec<PathBuf>,
    /// The configuration whose `[policy]` counts.
    #[arg(long, short, value_name = "FILE", conflicts_with = "key")]
    config: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trust = match &args.config {
        Some(path) => standin::policy_trust(&Config::read(path).map_err(BadConfig::from)?.policy.platform)?,
        None => Trust { keys: keys(&args.key)?, digest: None },
    };
    let wasm = read(&args.file, MAX_MODULE)?;
    let verified = trust.check(&wasm).and_then(|_manifest| Ok(trust.keys.verify(&wasm)?));
    match verified {
        Ok(by) => accept(args, &by),
        Err(why) => refuse(args, &why),
    }
}

fn keys(files: &[PathBuf]) -> Result<TrustedKeys, anyhow::Error> {
    let mut keys = TrustedKeys::default();
    for file in files {
        keys.add(&read_text(file, MAX_KEY)?).map_err(|why: SignatureError| anyhow::anyhow!("{}: {why}", file.display()))?;
    }
    Ok(keys)
}

fn accept(args: &Args, by: &[String]) -> anyhow::Result<()> {
    if args.json {
        return print_json(&json!({ "ok": true, "signers": by }));
    }
    say!("{} signed by key {}", term::Stream::Out.green("ok"), by.join(", "))?;
    Ok(())
}

fn refuse(args: &Args, why: &TrustError) -> anyhow::Result<()> {
    if args.json {
        print_json(&json!({ "ok": false, "error": why.to_string() }))?;
    } else {
        tell!("{} {why}", term::Stream::Err.red("refused:"));
    }
    Err(Refused.into())
}
