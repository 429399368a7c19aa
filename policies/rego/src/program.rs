//! Policies as a program: what regorus interprets.
//!
//! Its virtual machine would be faster, but takes a rule that fails, or has two values at once, for one without a value: a denial that
//! fails would deny nothing.

use regorus::unstable::{Module, Parser};
use regorus::{Engine, Value};
use standin_policy_engine::{Fault, Source};

use crate::fault;

/// The package that asks the rules.
pub(crate) const ANSWER: &str = "__standin_answer";
/// The rules that are asked, all of package `standin`.
pub(crate) const RULES: [&str; 7] = ["allow", "audience", "deny", "max_ttl", "reasons", "scope", "step_up"];
/// Where it begins.
pub(crate) const ENTRY: &str = "data.__standin_answer.rules";

/// Policies that were read, and their syntax.
pub(crate) struct Parsed {
    pub(crate) engine: Engine,
    pub(crate) modules: Vec<Module>,
}

/// Parses every policy; each has its own fault.
pub(crate) fn parse(policies: &[&Source]) -> Result<Parsed, Vec<Fault>> {
    let mut parsed = Parsed { engine: Engine::new(), modules: Vec::new() };
    parsed.engine.set_strict_builtin_errors(true);
    let faults: Vec<_> =
        policies.iter().filter_map(|source| parsed.add(source).err()).map(|why| fault::of(policies, &why)).collect();
    if faults.is_empty() { Ok(parsed) } else { Err(faults) }
}

impl Parsed {
    fn add(&mut self, source: &Source) -> anyhow::Result<()> {
        let text = regorus::Source::from_contents(source.name.clone(), source.content.clone())?;
        let mut parser = Parser::new(&text)?;
        parser.enable_rego_v1()?;
        self.modules.push(parser.parse()?);
        self.engine.add_policy(source.name.clone(), source.content.clone())?;
        Ok(())
    }
}

/// Makes them ready, with a rule that asks those of [`RULES`] that are declared: one run for all of them, so that what several of
/// them use is evaluated once and what contradicts is seen. One rule with a comprehension for each: a rule for each costs as much as
/// one of the policy's own.
pub(crate) fn compile(engine: &mut Engine, declared: &[&str], data: Value) -> anyhow::Result<()> {
    let values: Vec<_> = declared.iter().map(|rule| format!("[data.standin.{rule} | true]")).collect();
    engine.add_policy(format!("{ANSWER}.rego"), format!("package {ANSWER}\nrules := [{}]\n", values.join(", ")))?;
    engine.add_data(data)?;
    engine.compile_with_entrypoint(&ENTRY.into())?;
    Ok(())
}
