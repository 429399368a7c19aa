//! `standin record-key`

use std::path::PathBuf;

use serde_json::json;
use standin::clock::SystemEntropy;
use standin::tape::TapeKey;

use super::out::say;
use super::{print_json, term};

/// Makes the key that seals the tapes of recorded requests, a file of mode 0600: name it in `record.key` of standin.toml, and give it
/// to `standin replay`. What is there already stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  standin record-key record.key

and in standin.toml:
  [record]
  dir = \"tapes\"
  key = \"record.key\"
  sample = 0.01")]
pub(crate) struct Args {
    /// Where to write it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let key = TapeKey::create(&args.file, &SystemEntropy)?;
    if args.json {
        return print_json(&json!({ "key_id": key.id(), "key": args.file }));
    }
    say!("{} key {}", term::Stream::Out.green("made"), key.id())?;
    Ok(say!("  {} opens every tape that it seals: keep it secret", args.file.display())?)
}
