//! `standin component`

use std::path::PathBuf;

use anyhow::Context as _;

use super::out::say;

/// Writes the component that this program embeds. Any runtime that gives it the imports of `wit/` can load it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write it.
    #[arg(value_name = "FILE", default_value = "standin.wasm")]
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    std::fs::write(&args.file, standin::COMPONENT).with_context(|| format!("cannot write {}", args.file.display()))?;
    Ok(say!("{} bytes written to {}", standin::COMPONENT.len(), args.file.display())?)
}
