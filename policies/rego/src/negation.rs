//! `not` of what is not there.
//!
//! OPA asks for the operands of a comparison or a call before it negates it: `not input.edge.risk > 5` does not hold where there is no `risk`,
//! and holds here. So behind `not` only those are taken of which every operand is always there; `==` of references is the same to both.

use std::collections::BTreeSet;

use regorus::unstable::{BoolOp, Expr, Module, Ref};

use crate::arithmetic::{SetRule, SetRules};
use crate::builtins;
use crate::syntax::{Place, name_of, path, text_of, written};

/// What a request always has.
const ALWAYS: [&str; 21] = [
    "input.attributes",
    "input.audience",
    "input.caller",
    "input.caller.attributes",
    "input.caller.id",
    "input.caller.kind",
    "input.caller.provisional",
    "input.caller.tenants",
    "input.chain",
    "input.edge",
    "input.flow",
    "input.now",
    "input.scope",
    "input.subject",
    "input.subject.attributes",
    "input.subject.id",
    "input.subject.kind",
    "input.subject.provisional",
    "input.subject.tenants",
    "input.tenant",
    "input.ttl",
];

/// The names that stand for something that may not be there, in one package.
#[derive(Debug)]
pub(crate) struct Negation {
    /// Rules, but for those that are sets.
    rules: BTreeSet<String>,
}

impl Negation {
    /// Of a package that has these policies. `sets` are the rules of all that are sets, which are always there.
    pub(crate) fn of(package: &Place, modules: &[&Module], sets: &SetRules) -> Self {
        let rules = modules.iter().flat_map(|module| &module.policy);
        let first = rules.filter_map(|rule| path(name_of(rule)).first().map(|(name, _)| (*name).to_owned()));
        let is_there = |name: &String| sets.at(&[package.as_slice(), std::slice::from_ref(name)].concat()) == SetRule::Members;
        let aliases = modules.iter().flat_map(|module| &module.imports).filter_map(|import| {
            import.r#as.as_ref().map(|name| name.text()).or_else(|| path(&import.refr).last().map(|(name, _)| *name))
        });
        let others = aliases.chain(["input", "data"]).map(str::to_owned);
        Self { rules: first.filter(|name| !is_there(name)).chain(others).collect() }
    }

    /// The part of what is negated that makes it differ.
    pub(crate) fn unsure<'e>(&self, negated: &'e Expr) -> Option<&'e Expr> {
        match negated {
            Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. } => self.reference(lhs).or_else(|| self.reference(rhs)),
            // It may itself have no value, as long as its arguments are there.
            Expr::Call { params, .. } => self.operands(params),
            other => self.reference(other),
        }
    }

    /// The first index in a reference that may be undefined; the reference itself may be.
    fn reference<'e>(&self, mut expression: &'e Expr) -> Option<&'e Expr> {
        loop {
            match expression {
                Expr::Var { .. } => return None,
                Expr::RefDot { refr, .. } => expression = refr,
                Expr::RefBrack { refr, index, .. } => {
                    if let Some(unsure) = self.operand(index) {
                        return Some(unsure);
                    }
                    expression = refr;
                }
                other => return self.operand(other),
            }
        }
    }

    /// An operand is there.
    fn operand<'e>(&self, expression: &'e Expr) -> Option<&'e Expr> {
        match expression {
            Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. } => None,
            // Their bodies are looked at by themselves.
            Expr::ArrayCompr { .. } | Expr::SetCompr { .. } | Expr::ObjectCompr { .. } => None,
            Expr::Var { span, .. } => self.rules.contains(span.text()).then_some(expression),
            Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                let always = written(expression).is_some_and(|parts| ALWAYS.contains(&text_of(&parts).as_str()));
                (!always).then_some(expression)
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.operands(items),
            Expr::Object { fields, .. } => {
                fields.iter().find_map(|(_, key, value)| self.operand(key).or_else(|| self.operand(value)))
            }
            Expr::Call { fcn, params, .. } => match builtins::taken(&text_of(&path(fcn))) {
                Some(builtin) if !builtins::EMPTY.contains(&builtin.name) => self.operands(params),
                Some(_) | None => self.operands(params).or(Some(expression)),
            },
            Expr::UnaryExpr { expr, .. } => self.operand(expr),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => self.operand(lhs).or_else(|| self.operand(rhs)),
            Expr::Membership { key, value, collection, .. } => {
                key.iter().find_map(|key| self.operand(key)).or_else(|| self.operand(value)).or_else(|| self.operand(collection))
            }
        }
    }

    fn operands<'e>(&self, expressions: &'e [Ref<Expr>]) -> Option<&'e Expr> {
        expressions.iter().find_map(|expression| self.operand(expression))
    }
}
