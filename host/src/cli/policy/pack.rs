//! `standin policy pack`

use std::path::PathBuf;

use serde_json::json;
use standin::policy::PolicyLimits;

use super::super::{print_json, term};
use super::sources::{Bundle, SourceArgs, suite};
use super::write;
use crate::cli::out::say;

/// Reads and checks the policies once, and writes a module that begins with them parsed.
///
/// The same files make the same bytes, on every machine. Every fault is shown with its line.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  standin policy pack --policies policies/ --cases cases/ --version 1 -o acme.policy.wasm

For Cedar the folder holds *.cedar files and at most one entities.json and one *.cedarschema, for Rego *.rego files
and a data.json in any folder.")]
pub(crate) struct Args {
    /// The folder of policies.
    #[arg(long, value_name = "DIR")]
    policies: PathBuf,
    #[command(flatten)]
    sources: SourceArgs,
    /// A folder of cases to travel with the module: `standin policy test` finds them there.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Which version this is. A server takes none that is lower than one it has had.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    version: u64,
    /// What the module is called; otherwise the first word of its file's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where to write it.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let cases = args.cases.as_deref().map(suite).transpose()?;
    let bundle = Bundle::read(&args.policies, &args.sources, args.cases.as_deref())?;
    let stem = args.output.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
    let name = args.name.as_deref().or(stem).unwrap_or_default();
    let packed = bundle.pack(name, args.version, cases, args.json)?;
    write(&args.output, &packed.wasm)?;
    let manifest = &packed.manifest;
    if args.json {
        return print_json(&json!({ "ok": true, "file": args.output, "size": packed.wasm.len(), "manifest": manifest }));
    }
    let output = args.output.display();
    say!("{} {output}: {} version {}", term::Stream::Out.green("packed"), manifest.name, manifest.version)?;
    let (rules, size) = (manifest.rules.len(), packed.wasm.len());
    let noun = if rules == 1 { "rule" } else { "rules" };
    say!("  {rules} {noun} in {}, {size} bytes, begins with {} KiB of memory", manifest.engine, manifest.memory / 1024)?;
    let most = u64::try_from(PolicyLimits::default().memory)?;
    if manifest.memory + HEADROOM > most {
        say!("  that leaves little of the {} MiB it may have: set `policy.memory` in standin.toml", most >> 20)?;
    }
    Ok(())
}

/// What an evaluation should find free, in bytes: its question, its verdict and what is computed between them are seldom a tenth of it.
const HEADROOM: u64 = 4 << 20;
