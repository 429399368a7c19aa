//! Policies as a program, and what runs it.

use regorus::unstable::{Module, Parser};
use regorus::{Engine, Value};
use standin_policy_engine::{Failure, Fault, Source};

use crate::builtins;
use crate::fault;
use crate::interpreter::Interpreter;
use crate::machine::Machine;
use crate::nesting;

/// The rules that are asked, all of package `standin`.
pub(crate) const RULES: [&str; 7] = ["allow", "audience", "deny", "max_ttl", "reasons", "scope", "step_up"];

/// Policies that were read, and their syntax.
pub(crate) struct Parsed {
    pub(crate) engine: Engine,
    pub(crate) modules: Vec<Module>,
}

/// Parses every policy; each has its own fault.
pub(crate) fn parse(policies: &[&Source]) -> Result<Parsed, Vec<Fault>> {
    let mut parsed = Parsed { engine: Engine::new(), modules: Vec::new() };
    parsed.engine.set_strict_builtin_errors(true);
    builtins::install(&mut parsed.engine).map_err(|why| vec![fault::of(policies, &why)])?;
    let mut add = |source: &Source| match nesting::fault(source) {
        Some(fault) => Some(fault),
        None => parsed.add(source).err().map(|why| fault::of(policies, &why)),
    };
    let faults: Vec<_> = policies.iter().filter_map(|source| add(source)).collect();
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

/// Why there are no values.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// A rule failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
    /// Not one list for each rule.
    #[error("the policies did not answer for every rule")]
    Incomplete,
}

/// Policies that can be asked.
#[derive(Debug)]
pub(crate) enum Program {
    /// Nothing in them can fail.
    Machine(Box<Machine>),
    /// Something can.
    Interpreted(Box<Interpreter>),
}

impl Program {
    /// Of policies of which these rules of package `standin` are asked.
    pub(crate) fn of(Parsed { mut engine, modules }: Parsed, rules: &[&str], data: Value) -> anyhow::Result<Self> {
        let rules: Vec<_> = rules.iter().map(|rule| format!("data.standin.{rule}")).collect();
        engine.add_data(data.clone())?;
        let first = rules.first().map_or_else(String::new, Clone::clone);
        match Machine::of(&modules, &engine.compile_with_entrypoint(&first.into())?, &rules, data) {
            Some(machine) => Ok(Self::Machine(Box::new(machine))),
            None => Ok(Self::Interpreted(Box::new(Interpreter::of(engine, &rules)?))),
        }
    }

    /// The value of each of so many rules, in their order; of one that is not defined there is none.
    pub(crate) fn run(&self, input: Value, rules: usize) -> Result<Vec<Option<Value>>, Failure> {
        let values = match self {
            Self::Machine(machine) => machine.run(input, rules),
            Self::Interpreted(interpreter) => interpreter.run(input, rules),
        };
        values.map_err(|why| Failure::new(fault::brief(&why)))
    }
}
