//! `standin policy diff`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::json;
use standin::audit::past::{Held, PastDecisions};
use standin::clock::{Clock, SystemClock};
use standin::policy::PolicyModule;
use standin::policy::diff::{Change, compare};
use standin::policy::package::PackageManifest;
use standin::types::Input;

use super::super::{Refused, print_json, term};
use super::sources::{SourceArgs, suite};
use super::subject::{self, SandboxArgs};
use crate::cli::out::{plain, say, tell};

/// The most lines that are named because they cannot be read.
const MAX_LINES: usize = 20;
/// How often long work says how far it is.
const EVERY: Duration = Duration::from_secs(5);

/// Asks two modules the same questions and shows which answers differ: of sample cases, or of past decisions.
///
/// An audit log holds what the policy was asked each time, so that it tells what would have been decided with another module. What is
/// compared is effect, limits and the names of the rules; whether it makes a difference to what was granted is said with each.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("questions").required(true).args(["cases", "audit"])),
    after_help = "\
Examples:
  standin policy diff acme-7.policy.wasm acme-8.policy.wasm --audit audit.jsonl
  standin policy diff acme-8.policy.wasm policies/ --cases cases/
  standin policy diff builtin:baseline acme-1.policy.wasm --audit .

Exit code 0 where nothing changes, 1 where something does, or where not all of the log can be read."
)]
pub(crate) struct Args {
    /// A module, a folder of policies, or `builtin:baseline`: what decides now.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// A module, a folder of policies, or `builtin:baseline`: what is to decide.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// A folder of cases, or one file of them; what they expect does not matter.
    #[arg(long, value_name = "DIR|FILE")]
    cases: Option<PathBuf>,
    /// An audit log, also one that is being written, with the files that were closed before it: the log or its folder. A closed file is only
    /// itself.
    #[arg(long, value_name = "DIR|FILE")]
    audit: Option<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// The most changes that are shown; all of them are counted.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// Print one JSON object (docs/policies.md).
    #[arg(long)]
    json: bool,
}

/// One of the two.
struct Side {
    path: PathBuf,
    manifest: Option<PackageManifest>,
    module: PolicyModule,
}

impl Side {
    fn load(path: &Path, args: &Args) -> anyhow::Result<Self> {
        let wasm = subject::wasm(path, &args.sources, args.cases.as_deref(), args.json)?;
        let manifest = PackageManifest::of(&wasm)?;
        let module = args.sandbox.load(&wasm, args.json).with_context(|| format!("cannot load {}", path.display()))?;
        Ok(Self { path: path.to_owned(), manifest, module })
    }

    fn told(&self) -> serde_json::Value {
        json!({ "path": self.path.display().to_string(), "digest": self.module.digest(), "manifest": self.manifest })
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (old, new) = (Side::load(&args.old, args)?, Side::load(&args.new, args)?);
    let mut comparison = Comparison::new(args, &old, &new);
    match (&args.cases, &args.audit) {
        (Some(cases), _) => comparison.cases(cases)?,
        (None, Some(audit)) => comparison.audit(audit)?,
        // The command line asks for one of them.
        (None, None) => {}
    }
    let report = comparison.finish();
    if args.json {
        let counted = serde_json::to_value(&report)?;
        let mut page = json!({ "ok": report.is_ok(), "old": old.told(), "new": new.told() });
        if let (Some(page), serde_json::Value::Object(counted)) = (page.as_object_mut(), counted) {
            page.extend(counted);
        }
        print_json(&page)?;
    } else {
        print(&report, &args.old)?;
    }
    if report.is_ok() { Ok(()) } else { Err(Refused.into()) }
}

/// What was found.
#[derive(Default, Serialize)]
struct Report {
    /// How many questions were asked.
    decisions: u64,
    /// To how many of them the answers differ.
    changed: u64,
    /// In how many of these what is granted is another.
    granted_changed: u64,
    /// How often which effect takes the place of which.
    effects: Vec<Effects>,
    /// Events without a decision, such as refused callers; of a log only.
    without_decision: Option<u64>,
    /// Lines that cannot be read; of a log only.
    unreadable: Option<u64>,
    /// The first of them.
    unreadable_lines: Vec<Unreadable>,
    /// Past decisions that the old module took no part in; of a log only, and not where the old one is a folder.
    by_another_module: Option<u64>,
    /// Changes that are not among `changes`.
    not_shown: u64,
    changes: Vec<Found>,
}

/// A line that cannot be read; its file where the log has several.
#[derive(Serialize)]
#[serde(untagged)]
enum Unreadable {
    In { file: String, line: u64 },
    Line(u64),
}

impl Unreadable {
    fn new(file: Option<String>, line: u64) -> Self {
        match file {
            Some(file) => Self::In { file, line },
            None => Self::Line(line),
        }
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::In { file, line } => write!(f, "{file} line {line}"),
            Self::Line(line) => line.fmt(f),
        }
    }
}

#[derive(Serialize)]
struct Effects {
    old: &'static str,
    new: &'static str,
    decisions: u64,
}

impl Report {
    /// Nothing changes, as far as that can be said.
    fn is_ok(&self) -> bool {
        self.changed == 0 && self.unreadable.is_none_or(|lines| lines == 0)
    }
}

/// One change, and where its question stands.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    place: Place,
    asked: Asked,
    #[serde(flatten)]
    change: Change,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Place {
    Case {
        file: String,
        case: String,
    },
    Event {
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        line: u64,
        time: String,
        correlation_id: String,
    },
}

/// What tells one question from another to whoever reads of it; all of it stands where the question does.
#[derive(Serialize)]
struct Asked {
    caller: String,
    subject: String,
    tenant: String,
    audience: Vec<String>,
    scope: Vec<String>,
    ttl: u32,
    step: Option<String>,
}

impl From<Input> for Asked {
    fn from(input: Input) -> Self {
        let Input { caller, subject, tenant, audience, scope, ttl, step, .. } = input;
        Self { caller: caller.id, subject: subject.id, tenant, audience, scope, ttl, step }
    }
}

/// The questions on their way through both modules.
struct Comparison<'a> {
    args: &'a Args,
    old: &'a Side,
    new: &'a Side,
    effects: BTreeMap<(&'static str, &'static str), u64>,
    report: Report,
    clock: SystemClock,
    told: Duration,
}

impl<'a> Comparison<'a> {
    fn new(args: &'a Args, old: &'a Side, new: &'a Side) -> Self {
        let (clock, effects) = (SystemClock::default(), BTreeMap::new());
        Self { args, old, new, effects, report: Report::default(), told: clock.monotonic(), clock }
    }

    fn cases(&mut self, cases: &Path) -> anyhow::Result<()> {
        let suite = suite(cases)?;
        for question in suite.questions() {
            let (file, case, input) = question?;
            self.ask(input, || Place::Case { file: file.to_owned(), case: case.to_owned() })?;
        }
        Ok(())
    }

    fn audit(&mut self, log: &Path) -> anyhow::Result<()> {
        let files = standin::audit::files(log)?;
        let (mut others, mut broken, mut anothers) = (0, 0, 0);
        for path in &files {
            let unreadable = || format!("cannot read {}", path.display());
            let file = File::open(path).with_context(unreadable)?;
            let name = (files.len() > 1).then(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            let mut past = PastDecisions::new(BufReader::with_capacity(1 << 16, file));
            while let Some((line, held)) = past.next_line().with_context(unreadable)? {
                let decisions = match held {
                    Held::Decisions(decisions) => decisions,
                    Held::Unreadable => {
                        broken += 1;
                        if self.report.unreadable_lines.len() < MAX_LINES {
                            self.report.unreadable_lines.push(Unreadable::new(name.clone(), line));
                        }
                        continue;
                    }
                };
                others += u64::from(decisions.is_empty());
                for decision in decisions {
                    // Where a tenant has a module of its own, both decided.
                    anothers += u64::from(decision.policy.split('+').all(|digest| digest != self.old.module.digest()));
                    let (time, correlation_id, file) = (decision.time, decision.correlation_id, name.clone());
                    self.ask(decision.input, || Place::Event { file, line, time, correlation_id })?;
                }
            }
        }
        if self.report.decisions == 0 {
            bail!("{} holds no decision that can be read: {others} other events, {broken} unreadable lines", log.display());
        }
        self.report.without_decision = Some(others);
        self.report.unreadable = Some(broken);
        // What was packed for this one comparison never served.
        self.report.by_another_module = (!self.old.path.is_dir()).then_some(anothers);
        Ok(())
    }

    /// Puts one question to both.
    fn ask(&mut self, input: Input, place: impl FnOnce() -> Place) -> anyhow::Result<()> {
        self.report.decisions += 1;
        self.progress();
        let Some(change) = compare(&self.old.module, &self.new.module, &input) else { return Ok(()) };
        self.report.changed += 1;
        self.report.granted_changed += u64::from(change.granted);
        *self.effects.entry((change.old.effect(), change.new.effect())).or_default() += 1;
        if self.report.changed > u64::try_from(self.args.limit).unwrap_or(u64::MAX) {
            self.report.not_shown += 1;
            return Ok(());
        }
        let found = Found { place: place(), asked: input.into(), change };
        if self.args.json {
            self.report.changes.push(found);
            return Ok(());
        }
        print_change(&found)
    }

    fn finish(self) -> Report {
        let effects = self.effects.into_iter().map(|((old, new), decisions)| Effects { old, new, decisions });
        Report { effects: effects.collect(), ..self.report }
    }

    fn progress(&mut self) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.told) >= EVERY {
            self.told = now;
            tell!("{} decisions so far, {} changed", self.report.decisions, self.report.changed);
        }
    }
}

fn print_change(found: &Found) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    let Found { place, asked, change } = found;
    match place {
        Place::Case { file, case } => say!("{} {file}: {}", stream.red("CHANGED"), stream.bold(case))?,
        Place::Event { file, line, time, correlation_id } => {
            let file = file.as_ref().map(|file| format!("{file} ")).unwrap_or_default();
            say!("{} {file}line {line}: {} {}", stream.red("CHANGED"), stream.bold(correlation_id), stream.dim(time))?;
        }
    }
    let Asked { caller, subject, tenant, audience, scope, ttl, step } = asked;
    let step = step.as_ref().map(|step| format!(", step {step}")).unwrap_or_default();
    let what = format!("audience {}, scope {}, {ttl} s{step}", audience.join(" "), scope.join(" "));
    say!("  {}", stream.dim(&format!("{caller} for {subject} in {tenant}: {what}")))?;
    for (field, old, new) in change.differences() {
        say!("  {field}")?;
        for (sign, value) in [("-", old), ("+", new)] {
            let line = format!("    {sign} {}", if value.is_empty() { "(none)".to_owned() } else { plain(&value) });
            say!("{}", if sign == "-" { stream.red(&line) } else { stream.green(&line) })?;
        }
    }
    for error in change.old_error.iter().map(|error| ("old", error)).chain(change.new_error.iter().map(|error| ("new", error))) {
        say!("  {}: {}", error.0, plain(error.1))?;
    }
    if !change.granted {
        say!("  {}", stream.dim("what is granted stays the same"))?;
    }
    Ok(())
}

fn print(report: &Report, old: &Path) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    let Report { decisions, changed, granted_changed, effects, not_shown, .. } = report;
    if *not_shown > 0 {
        say!("... and {not_shown} more; --limit shows more of them")?;
    }
    if *changed == 0 {
        say!("{} {decisions} decisions, none changes", stream.green("ok"))?;
    } else {
        say!("{} {changed} of {decisions} decisions, {granted_changed} of them in what is granted", stream.red("changed"))?;
        for Effects { old, new, decisions } in effects {
            say!("  {old} -> {new}: {decisions}")?;
        }
    }
    if let Some(anothers) = report.by_another_module.filter(|anothers| *anothers > 0) {
        say!("{anothers} of the {decisions} decisions were made without {}, which is asked here all the same", old.display())?;
    }
    if let Some(broken) = report.unreadable.filter(|broken| *broken > 0) {
        let first = report.unreadable_lines.iter().map(Unreadable::to_string).collect::<Vec<_>>().join(", ");
        let more = if broken > MAX_LINES as u64 { ", …" } else { "" };
        say!("{}", stream.red(&format!("{broken} lines cannot be read: {first}{more}")))?;
    }
    Ok(())
}
