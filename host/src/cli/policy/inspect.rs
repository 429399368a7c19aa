//! `standin policy inspect`

use std::path::PathBuf;

use standin::policy::inspect::{Inspection, inspect};

use super::super::{print_json, term};
use super::{MAX_MODULE, read};
use crate::cli::out::say;

/// Shows what a module is, without running it. Signers are only named: `standin policy verify` verifies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  standin policy inspect acme.policy.wasm")]
pub(crate) struct Args {
    /// The module.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let inspection = inspect(&read(&args.file, MAX_MODULE)?)?;
    if args.json {
        return print_json(&inspection);
    }
    print(&inspection)
}

fn print(inspection: &Inspection) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    let line = |name: &str, value: &str| say!("{} {value}", stream.bold(&format!("{name:<8}")));
    match &inspection.manifest {
        Some(manifest) => {
            line("name", &format!("{} version {}", manifest.name, manifest.version))?;
            line("engine", &manifest.engine)?;
            line("sources", &format!("sha256 {}", manifest.source_digest))?;
            line("rules", &manifest.rules.len().to_string())?;
            line("memory", &format!("{} KiB at the start", manifest.memory / 1024))?;
        }
        None => line("name", "none: not packed by `standin policy pack`")?,
    }
    line("cases", &inspection.cases.to_string())?;
    line("size", &format!("{} bytes", inspection.size))?;
    line("digest", &format!("sha256 {}", inspection.digest))?;
    match inspection.signers.as_slice() {
        [] => line("signer", "none")?,
        signers => signers.iter().try_for_each(|signer| line("signer", &format!("key {signer} (not verified)")))?,
    }
    for import in &inspection.imports {
        let refused =
            if import.given { String::new() } else { format!("  {}", stream.red("given to no module: refused at load")) };
        line("import", &format!("{}{refused}", import.name))?;
    }
    inspection.exports.iter().try_for_each(|export| line("export", export))?;
    Ok(())
}
