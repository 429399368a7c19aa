//! Policies in engines: ten of them, ten among ten thousand, and the same without a sandbox.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use standin::clock::{Clock as _, SystemClock};
use standin::engine::{Isolation, Runtime, RuntimeOptions};
use standin::policy::cases::Suite;
use standin::policy::pack::{CEDAR, Package, REGO, Source, pack};
use standin::policy::{PolicyLimits, PolicyModule};
use standin::types::{Effect, Input};

use crate::table::{Bar, Table, median};

/// How often a judgement is measured.
pub(crate) const TIMES: usize = 3_000;
/// The image of ten thousand policies is 92 MB.
const BIG: PolicyLimits = PolicyLimits { memory: 512 << 20, deadline: Duration::from_millis(50), answer: 256 << 10 };

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let ten = packed(CEDAR, "ten.cedar", cedar(0)?)?;
    let reused = Isolation::Reuse(u32::MAX);
    let at_most = |value| Some(Bar::ValueAtMost(value));
    let of_ten = |isolation| judgement(&ten, isolation, PolicyLimits::default(), TIMES);
    table.add("policy/cedar-10-fresh", of_ten(Isolation::Request)?, "µs", None, at_most(45.0));
    table.add("policy/cedar-10-reused", of_ten(reused)?, "µs", None, at_most(25.0));
    let many = packed(CEDAR, "many.cedar", cedar(9_990)?)?;
    let of_many = |isolation| judgement(&many, isolation, BIG, TIMES);
    let (fresh, again) = (Some("policy/cedar-10-fresh"), Some("policy/cedar-10-reused"));
    table.add("policy/cedar-10000-fresh", of_many(Isolation::Request)?, "µs", fresh, Some(Bar::RatioAtMost(3.0)));
    table.add("policy/cedar-10000-reused", of_many(reused)?, "µs", again, Some(Bar::RatioAtMost(1.5)));
    match native() {
        Ok(micros) => {
            table.add("policy/cedar-native", micros, "µs", again, None);
        }
        Err(why) => table.add_absent("policy/cedar-native", "µs", format!("not measured: {why:#}")),
    }
    let rego = packed(REGO, "ten.rego", rego()?)?;
    let of_rego = |isolation| judgement(&rego, isolation, PolicyLimits::default(), TIMES);
    table.add("policy/rego-10-fresh", of_rego(Isolation::Request)?, "µs", None, at_most(60.0));
    table.add("policy/rego-10-reused", of_rego(reused)?, "µs", None, at_most(30.0));
    Ok(())
}

/// Ten policies whose scope the question matches, and others that it does not.
fn cedar(others: usize) -> anyhow::Result<String> {
    let mut text = String::from(
        "@id(\"protected\") forbid (principal, action, resource) when { resource has protected && resource.protected };\n",
    );
    let clients =
        std::iter::repeat_n("client:svc-3".to_owned(), 9).chain((0..others).map(|number| format!("client:other-{number}")));
    for (number, client) in clients.enumerate() {
        writeln!(
            text,
            "@id(\"p{number}\") @max_ttl(\"5m\") permit (principal == Client::\"{client}\", action == Action::\"mint\", resource is User) \
             when {{ principal in context.tenant && resource in context.tenant && !resource.provisional && context.ttl > {number} }};"
        )?;
    }
    Ok(text)
}

/// Ten rules, each for a client of its own, as Rego has no scope to pick rules by.
fn rego() -> anyhow::Result<String> {
    let mut text = String::from(
        "package standin\n\ndeny contains {\"rule\": \"protected\"} if input.subject.attributes.protected\n\n\
         people if {\n\tinput.flow == \"local\"\n\tinput.subject.kind == \"user\"\n\tinput.tenant in input.caller.tenants\n\t\
         input.tenant in input.subject.tenants\n\tnot input.subject.provisional\n}\n\nmax_ttl := \"5m\"\n\n",
    );
    for number in 0..9 {
        writeln!(text, "allow if {{\n\tinput.caller.id == \"client:svc-{number}\"\n\tpeople\n}}\n")?;
    }
    Ok(text)
}

/// A module of one file.
pub(crate) fn packed(engine: &[u8], name: &str, content: String) -> anyhow::Result<Vec<u8>> {
    let sources = vec![Source { name: name.into(), content }];
    Ok(pack(engine, &Package { name: "bench".into(), version: 1, sources, cases: None })?.wasm)
}

/// The same ten policies and the same question in process: the example `native` of the engine's crate, which the command that
/// runs this built.
fn native() -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let (policies, question) = (folder.path().join("ten.cedar"), folder.path().join("question.json"));
    std::fs::write(&policies, cedar(0)?)?;
    std::fs::write(&question, QUESTION)?;
    let here = std::env::current_exe()?;
    let program = here.parent().unwrap_or(Path::new("")).join("examples/native");
    let said = Command::new(&program)
        .args([&policies, &question])
        .output()
        .with_context(|| format!("there is no {}", program.display()))?;
    if !said.status.success() {
        bail!("{}", String::from_utf8_lossy(&said.stderr));
    }
    String::from_utf8_lossy(&said.stdout).trim().parse().context("it prints no number")
}

/// One judgement by this module, this many times; it has to be a permit.
pub(crate) fn judgement(wasm: &[u8], isolation: Isolation, limits: PolicyLimits, count: usize) -> anyhow::Result<f64> {
    let engine = Runtime::new(RuntimeOptions { isolation, ..RuntimeOptions::default() })?;
    let module = PolicyModule::load(&engine, None, wasm, limits)?;
    let input = question()?;
    times(count, || match module.evaluate(&input).map_err(|error| anyhow!("{error:?}"))?.effect {
        Effect::Permit(_) => Ok(()),
        refused @ (Effect::Deny | Effect::StepUp(_)) => Err(anyhow!("{refused:?}")),
    })
}

/// What every policy is asked, as cases write it; whole, so that whoever reads it without a base question reads the same.
const QUESTION: &str = include_str!("../question.json");

fn question() -> anyhow::Result<Input> {
    let suite = Suite::of([("question.json", QUESTION)], None)?;
    let (_file, _name, input) = suite.questions().next().context("there is no question")??;
    Ok(input)
}

/// The median of this many rounds, in microseconds.
pub(crate) fn times(count: usize, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let clock = SystemClock::default();
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = clock.monotonic();
        work()?;
        micros.push(clock.monotonic().saturating_sub(begun).as_secs_f64() * 1e6);
    }
    Ok(median(micros))
}
