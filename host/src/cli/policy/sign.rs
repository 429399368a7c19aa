//! `standin policy sign`

use std::path::PathBuf;

use serde_json::json;
use standin::policy::signature::{sign, signers};
use zeroize::Zeroizing;

use super::super::{print_json, term};
use super::{MAX_KEY, MAX_MODULE, read, read_text, write};
use crate::cli::out::say;

/// Signs a module, in the module itself. A signature that it has already is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  standin policy sign acme.policy.wasm --key acme.key.pem")]
pub(crate) struct Args {
    /// The module.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The secret key, from `standin policy keygen`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write the signed module; otherwise where the unsigned one is.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let secret = Zeroizing::new(read_text(&args.key, MAX_KEY)?);
    let signed = sign(&read(&args.file, MAX_MODULE)?, &secret)?;
    let output = args.output.as_ref().unwrap_or(&args.file);
    write(output, &signed)?;
    let by = signers(&signed)?;
    if args.json {
        return print_json(&json!({ "file": output, "signers": by }));
    }
    say!("{} {} with key {}", term::Stream::Out.green("signed"), output.display(), by.join(", "))?;
    Ok(())
}
