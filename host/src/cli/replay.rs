//! `standin replay`

mod folder;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use standin::replay::{Decided, Difference, Divergence, Replayed, Replayer, WhatIf};
use standin::tape::TapeKey;
use standin::tape::file::{Header, Opened};

use super::out::{plain, say};
use super::{Refused, print_json, read, term};

/// The longest component or module, in bytes.
const MAX_WASM: u64 = 256 << 20;

/// Runs a recorded request again, in a fresh sandbox and from its tape alone: without configuration, keys, network or audit log.
///
/// Says whether every question and the outcome are the same byte for byte, or where they are not. With --policy, says what another
/// policy would have decided, and stops before anything would be signed. Tokens and secrets are never printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  standin replay tapes/1795244400123-c-7-9f3a11c2.tape --key record.key
  standin replay tapes/1795244400123-c-7-9f3a11c2.tape --key record.key --policy candidate.wasm
  standin replay tapes/ --key record.key --policy candidate.wasm

Of a folder every tape is run; what is not the same is told a line each, and the sum at the end.
Exit code 1 where it is not the same, or where the other policy would have changed the outcome.
docs/replay.md describes the JSON.")]
pub(crate) struct Args {
    /// The tape, or a folder of tapes.
    #[arg(value_name = "TAPE|FOLDER")]
    tape: PathBuf,
    /// The key that seals it: `record.key` of standin.toml.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Run this component instead of the embedded one.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Let this policy module decide.
    #[arg(long, value_name = "MODULE")]
    policy: Option<PathBuf>,
    /// The most memory of one evaluation of it, in MiB, as `policy.memory` of standin.toml has it.
    #[arg(
        long,
        value_name = "MIB",
        default_value = "32",
        value_parser = clap::value_parser!(u16).range(1..=1024),
        requires = "policy"
    )]
    memory: u16,
    /// Print one JSON object (docs/replay.md).
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let key = TapeKey::read(&args.key).context("the key")?;
    let component = args.component.as_deref().map(|path| read(path, MAX_WASM)).transpose()?;
    let replayer = Replayer::new(component.as_deref().unwrap_or(standin::COMPONENT))?;
    let judge = |module: &PathBuf| anyhow::Ok(replayer.policy(&read(module, MAX_WASM)?, usize::from(args.memory) << 20)?);
    let judge = args.policy.as_ref().map(judge).transpose()?;
    if args.tape.is_dir() {
        let same = folder::replay(&args.tape, &key, &replayer, judge, args.json).await?;
        return if same { Ok(()) } else { Err(Refused.into()) };
    }
    let tape = Opened::read(&args.tape, &key)?;
    let page = Page { header: tape.header(), component: replayer.component(), json: args.json };
    let done = match judge {
        None => {
            let replayed = replayer.replay(&tape).await?;
            page.replayed(&replayed)?;
            replayed.same
        }
        Some(judge) => {
            let what_if = replayer.what_if(&tape, judge).await?;
            page.what_if(&what_if)?;
            !what_if.changed
        }
    };
    if done { Ok(()) } else { Err(Refused.into()) }
}

/// What is printed.
struct Page<'a> {
    header: &'a Header,
    component: &'a str,
    json: bool,
}

impl Page<'_> {
    fn object(&self, name: &str, found: &impl serde::Serialize) -> anyhow::Result<()> {
        let same = self.header.component == self.component;
        print_json(&json!({ "tape": self.header, "component": self.component, "same_component": same, name: found }))
    }

    fn head(&self) -> anyhow::Result<()> {
        let stream = term::Stream::Out;
        let Header { standin, component, correlation_id, time, call, .. } = self.header;
        let time = standin::audit::time(Duration::from_millis(*time));
        say!("{} {correlation_id}: {call}, {time}, standin {standin}", stream.bold("tape"))?;
        if component != self.component {
            say!("{} recorded with component {component}, replayed with {}", stream.red("another component"), self.component)?;
        }
        Ok(())
    }

    fn replayed(&self, replayed: &Replayed) -> anyhow::Result<()> {
        if self.json {
            return self.object("replay", replayed);
        }
        self.head()?;
        let stream = term::Stream::Out;
        let Replayed { same, questions, asked, divergence, calls, replaced } = replayed;
        if let Some(divergence) = divergence {
            print_divergence(divergence, *questions)?;
        }
        for call in calls {
            let outcome = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), shown);
            if call.same {
                say!("{} {}: {}", stream.green("same"), call.call, outcome(&call.recorded))?;
            } else {
                say!("{} {}", stream.red("differs"), call.call)?;
                say!("  recorded {}", outcome(&call.recorded))?;
                say!("  replayed {}", outcome(&call.replayed))?;
            }
            print_differences(&call.differences)?;
        }
        if let Some(code) = replaced {
            say!(
                "{} the host answered {} instead, because the component had recorded nothing",
                stream.bold("note"),
                plain(code)
            )?;
        }
        let told = format!("{asked} of {questions} questions");
        if *same {
            say!("{} {told}, byte for byte", stream.green("same"))?;
        } else {
            say!("{} after {told}", stream.red("not the same"))?;
        }
        Ok(())
    }

    fn what_if(&self, what_if: &WhatIf) -> anyhow::Result<()> {
        if self.json {
            return self.object("what_if", what_if);
        }
        self.head()?;
        let stream = term::Stream::Out;
        let WhatIf { asked, changed, decided, would, divergence } = what_if;
        print_decided("decided", decided)?;
        match (divergence, would) {
            (Some(divergence), _) => print_divergence(divergence, divergence.at)?,
            (None, Some(would)) if *asked => print_decided("would have been", would)?,
            (None, _) => say!("{} no policy was asked: it did not come to that", stream.bold("note"))?,
        }
        if *changed {
            say!("{}", stream.red("another outcome"))?;
        } else {
            say!("{}", stream.green("the same outcome"))?;
        }
        Ok(())
    }
}

fn print_decided(title: &str, decided: &Decided) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    let Decided { outcome, policy, verdict, reasons, claims, failure } = decided;
    let coloured = if *outcome == "permit" { stream.green(outcome) } else { stream.red(outcome) };
    say!("{} {coloured}", stream.bold(title))?;
    if let Some(verdict) = verdict {
        say!("  policy  {verdict} {}", policy.as_deref().unwrap_or_default())?;
    }
    for reason in reasons {
        say!("  reason  {} {}", plain(&reason.rule), stream.dim(&plain(&reason.text)))?;
    }
    if let Some(claims) = claims {
        say!("  claims  {}", shown(claims))?;
    }
    if let Some(failure) = failure {
        say!("  failure {}", shown(failure))?;
    }
    Ok(())
}

fn print_divergence(divergence: &Divergence, questions: usize) -> anyhow::Result<()> {
    let Divergence { at, expected, asked, differences } = divergence;
    let named = |import: &Option<&'static str>| import.unwrap_or("nothing more");
    let diverged = term::Stream::Out.red("diverged");
    say!("{diverged} at question {at} of {questions}: {} was asked, now {}", named(expected), named(asked))?;
    print_differences(differences)
}

fn print_differences(differences: &[Difference]) -> anyhow::Result<()> {
    for Difference { path, recorded, replayed } in differences {
        say!("  {}", if path.is_empty() { "/".to_owned() } else { plain(path) })?;
        say!("    - {}", shown(recorded))?;
        say!("    + {}", shown(replayed))?;
    }
    Ok(())
}

/// JSON leaves control characters of C1 and what turns text around as they are.
fn shown(value: &Value) -> String {
    plain(&value.to_string())
}
