//! Rules on regorus's virtual machine, as far as nothing in them can fail.
//!
//! The machine is several times as fast as the interpreter, but takes a rule that fails, or that has two values at once, for one without a
//! value: a denial that fails would deny nothing. So it runs only plain policies, and only programs of which every instruction is known
//! to have no way to fail but that a condition does not hold: references, comparison for equality, membership, negation, values
//! that are put together. Whatever has more than that is left to the interpreter, as a whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::{Program, RuleInfo, RuleType};
use regorus::rvm::{Instruction, RegoVM};
use regorus::unstable::Module;
use regorus::{CompiledPolicy, Value};

use crate::plain;
use crate::program::Unanswered;

/// A program in which nothing can fail, and what runs it.
pub(crate) struct Machine(Mutex<RegoVM>);

impl std::fmt::Debug for Machine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Machine")
    }
}

impl Machine {
    /// A machine that answers for these rules; `None` where anything in them could fail, or where they are no program for it.
    pub(crate) fn of(modules: &[Module], policy: &CompiledPolicy, rules: &[String], data: Value) -> Option<Self> {
        if !plain::all(modules) {
            return None;
        }
        let program = program(policy, rules)?;
        let mut machine = RegoVM::new();
        machine.load_program(program);
        // The sandbox's own limit on time holds, as for the interpreter.
        machine.set_max_instructions(usize::MAX);
        machine.set_data(data).ok()?;
        Some(Self(Mutex::new(machine)))
    }

    /// The value of each rule, in their order; of one that is not defined there is none. Before each of them the machine forgets what
    /// it did.
    pub(crate) fn run(&self, input: Value, rules: usize) -> Result<Vec<Option<Value>>, Unanswered> {
        let mut machine = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        machine.set_input(input);
        let value = |rule| match machine.execute_entry_point_by_index(rule).map_err(anyhow::Error::from)? {
            Value::Undefined => Ok(None),
            value => Ok(Some(value)),
        };
        (0..rules).map(value).collect()
    }
}

/// The program, where nothing in it can fail.
pub(crate) fn program(policy: &CompiledPolicy, rules: &[String]) -> Option<Arc<Program>> {
    let entries: Vec<&str> = rules.iter().map(String::as_str).collect();
    let program = Compiler::compile_from_policy(policy, &entries).ok()?;
    (program.validate_limits().is_ok() && cannot_fail(&program)).then_some(program)
}

fn cannot_fail(program: &Program) -> bool {
    program.rule_infos.iter().all(has_one_value) && program.instructions.iter().all(never_fails) && ends(program)
}

/// Whether no rule needs itself: there is an order in which each rule stands behind those that it calls. regorus's compiler looks at each
/// rule once, by the first way to it, and so misses circles that are closed later.
fn ends(program: &Program) -> bool {
    let mut left: Vec<BTreeSet<usize>> = program.rule_infos.iter().map(|rule| calls(program, rule)).collect();
    let mut behind = vec![false; left.len()];
    loop {
        let mut next = left.iter().zip(&behind).map(|(calls, behind)| !behind && calls.is_empty());
        let Some(rule) = next.position(|next| next) else { return behind.iter().all(|behind| *behind) };
        if let Some(behind) = behind.get_mut(rule) {
            *behind = true;
        }
        for calls in &mut left {
            calls.remove(&rule);
        }
    }
}

/// The rules that a rule calls. Without loops every body goes straight from where it begins to where the rule returns.
fn calls(program: &Program, rule: &RuleInfo) -> BTreeSet<usize> {
    let bodies = rule.definitions.iter().flatten().filter_map(|begin| program.instructions.get(usize::try_from(*begin).ok()?..));
    let returns = |instruction: &&Instruction| !matches!(instruction, Instruction::RuleReturn {});
    let called = |instruction: &Instruction| match instruction {
        Instruction::CallRule { rule_index, .. } => Some(usize::from(*rule_index)),
        _ => None,
    };
    bodies.flat_map(|body| body.iter().take_while(returns)).filter_map(called).collect()
}

/// Whether a rule is a set, or has the same value whichever of its definitions holds. Behind a body that holds, but for which there is
/// no value, the machine would not go on to `else`.
fn has_one_value(rule: &RuleInfo) -> bool {
    let complete = rule.definitions.len() <= 1 || rule.early_exit_on_first_success;
    rule.function_info.is_none()
        && rule.definitions.iter().all(|bodies| bodies.len() <= 1)
        && match rule.rule_type {
            RuleType::Complete => complete,
            RuleType::PartialSet => true,
            RuleType::PartialObject => false,
        }
}

/// Whether an instruction does nothing but yield a value, or none, or end a rule whose condition does not hold.
fn never_fails(instruction: &Instruction) -> bool {
    use Instruction::{
        ArrayCreate, AssertEq, CallRule, ChainedIndex, Contains, Eq, Guard, Index, IndexLiteral, Load, LoadBool, LoadData,
        LoadFalse, LoadInput, LoadNull, LoadTrue, Move, Ne, Not, ObjectCreate, Return, RuleInit, RuleReturn, SetAdd, SetCreate,
    };
    matches!(
        instruction,
        Load { .. }
            | LoadBool { .. }
            | LoadData { .. }
            | LoadFalse { .. }
            | LoadInput { .. }
            | LoadNull { .. }
            | LoadTrue { .. }
            | Move { .. }
            | Eq { .. }
            | Ne { .. }
            | Not { .. }
            | AssertEq { .. }
            | Guard { .. }
            | Contains { .. }
            | Index { .. }
            | IndexLiteral { .. }
            | ChainedIndex { .. }
            | ArrayCreate { .. }
            | ObjectCreate { .. }
            | SetCreate { .. }
            | SetAdd { .. }
            | CallRule { .. }
            | RuleInit { .. }
            | RuleReturn {}
            | Return { .. }
    )
}
