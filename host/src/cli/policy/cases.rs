//! `standin policy test`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;
use standin::policy::cases::{Failure, Report, Suite};
use standin::policy::package::{PackageManifest, cases_of};

use super::super::{Refused, print_json, term};
use super::sources::{SourceArgs, suite};
use super::subject::{self, SandboxArgs};
use crate::cli::out::say;

/// Asks every question of the cases in the sandbox that serves, and shows each answer that is another.
///
/// A case is a question, as a patch to a base question, and the answer it has to get:
///   {"cases": [{"name": "interns do not write", "input": {"scope": ["expenses:write"]}, "expect": {"effect": "deny"}}]}
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  standin policy test policies/ --cases cases/     a folder of policies
  standin policy test acme.policy.wasm             a module, with the cases it was packed with

Exit code 1 where an answer is another than expected, or with --every-rule where no case reached a rule.")]
pub(crate) struct Args {
    /// A module, or a folder of policies.
    #[arg(value_name = "MODULE|DIR")]
    subject: PathBuf,
    /// The folder of cases; otherwise those the module was packed with, or the folder `cases` within the folder of policies.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Fail where no case reached a rule.
    #[arg(long)]
    every_rule: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (wasm, suite) = if args.subject.is_dir() { folder(args)? } else { module(args)? };
    let manifest = PackageManifest::of(&wasm)?;
    let loaded = args.sandbox.load(&wasm, args.json)?;
    let report = suite.run(&loaded, manifest.as_ref().map(|manifest| manifest.rules.as_slice()))?;
    let every = !args.every_rule || report.unreached.as_ref().is_some_and(Vec::is_empty);
    if args.json {
        print_json(&json!({ "digest": loaded.digest(), "manifest": manifest, "report": report }))?;
    } else {
        print(&report, args.every_rule)?;
    }
    if report.ok && every { Ok(()) } else { Err(Refused.into()) }
}

fn folder(args: &Args) -> anyhow::Result<(Vec<u8>, Suite)> {
    let inside = args.subject.join("cases");
    let cases = args.cases.as_deref().or_else(|| inside.is_dir().then_some(inside.as_path()));
    let Some(cases) = cases else { bail!("there are no cases: give --cases DIR, or a folder {}", inside.display()) };
    let suite = suite(cases)?;
    Ok((subject::wasm(&args.subject, &args.sources, Some(cases), args.json)?, suite))
}

fn module(args: &Args) -> anyhow::Result<(Vec<u8>, Suite)> {
    let wasm = subject::wasm(&args.subject, &args.sources, None, args.json)?;
    let suite = match &args.cases {
        Some(folder) => suite(folder)?,
        None => packed(&wasm, &args.subject)?,
    };
    Ok((wasm, suite))
}

fn packed(wasm: &[u8], file: &Path) -> anyhow::Result<Suite> {
    cases_of(wasm)?.with_context(|| format!("{} was packed without cases: give --cases DIR", file.display()))
}

fn print(report: &Report, every_rule: bool) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    report.failures.iter().try_for_each(print_failure)?;
    let Report { cases, failures, unreached, .. } = report;
    if failures.is_empty() {
        say!("{} {cases} cases", stream.green("ok"))?;
    } else {
        say!("{} {} of {cases} cases", stream.red("failed"), failures.len())?;
    }
    match unreached.as_deref() {
        None => say!("which rules were reached is not known: the module does not list them")?,
        Some([]) => say!("every rule was reached")?,
        Some(rules) => {
            let say = format!("no case reached {}", rules.join(", "));
            say!("{}", if every_rule { stream.red(&say) } else { stream.bold(&say) })?;
        }
    }
    Ok(())
}

fn print_failure(failure: &Failure) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    say!("{} {}: {}", stream.red("FAILED"), failure.file, stream.bold(&failure.case))?;
    for (field, expected, got) in failure.differences() {
        say!("  {field}")?;
        for (sign, value) in [("-", expected), ("+", got)] {
            let line = format!("    {sign} {}", if value.is_empty() { "(none)" } else { &value });
            say!("{}", if sign == "-" { stream.red(&line) } else { stream.green(&line) })?;
        }
    }
    if let Some(error) = &failure.error {
        say!("  {error}")?;
    }
    Ok(())
}
