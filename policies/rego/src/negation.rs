//! `not` of what is not there.
//!
//! OPA asks for the operands of a comparison or a call before it negates it: `not input.edge.risk > 5` does not hold where there is no `risk`,
//! and holds here. So behind `not` only those are taken of which every operand is always there; `==` of references is the same to both.

use std::collections::BTreeSet;

use regorus::unstable::{BoolOp, Expr, Module, Ref};

use crate::builtins;
use crate::syntax::{name_of, path, text_of};

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

/// The names that stand for something that may not be there.
#[derive(Debug)]
pub(crate) struct Negation {
    /// Rules, but for those that are sets.
    rules: BTreeSet<String>,
}

impl Negation {
    /// Of all policies. `sets` are the rules that are sets, which are always there.
    pub(crate) fn of(modules: &[Module], sets: &BTreeSet<String>) -> Self {
        let rules = modules.iter().flat_map(|module| &module.policy).map(|rule| path(name_of(rule)));
        let imports = modules.iter().flat_map(|module| &module.imports);
        let aliases = imports.filter_map(|import| {
            import.r#as.as_ref().map(|name| name.text()).or_else(|| path(&import.refr).last().map(|(name, _)| *name))
        });
        let first = rules.filter_map(|parts| parts.first().map(|(name, _)| *name));
        let names = first.chain(aliases).chain(["input", "data"]).map(str::to_owned);
        Self { rules: names.filter(|name| !sets.contains(name)).collect() }
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
                (!ALWAYS.contains(&text_of(&path(expression)).as_str())).then_some(expression)
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.operands(items),
            Expr::Object { fields, .. } => {
                fields.iter().find_map(|(_, key, value)| self.operand(key).or_else(|| self.operand(value)))
            }
            Expr::Call { fcn, params, .. } => match builtins::taken(&text_of(&path(fcn))) {
                Some(_) => self.operands(params),
                None => self.operands(params).or(Some(expression)),
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
