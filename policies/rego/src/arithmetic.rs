//! Arithmetic and order that regorus has as OPA has it: of whole numbers, and of what has one order for both.
//!
//! OPA computes fractions with more digits than regorus does, so that `input.edge.a + 0.2 == 0.3` holds there and not here.

use std::collections::BTreeSet;

use regorus::unstable::{ArithOp, BoolOp, Expr, Module, Rule, RuleHead};

use crate::builtins::exact;
use crate::syntax::{name_of, path, text_of};

/// What a request has of whole numbers.
const FACTS: [&str; 4] = ["input.caller.attributes.auth_time", "input.now", "input.subject.attributes.auth_time", "input.ttl"];
/// Builtins that say whole numbers, or nothing.
const WHOLE: [&str; 18] = [
    "abs",
    "bits.and",
    "bits.lsh",
    "bits.negate",
    "bits.or",
    "bits.rsh",
    "bits.xor",
    "ceil",
    "count",
    "floor",
    "indexof",
    "product",
    "round",
    "semver.compare",
    "strings.count",
    "sum",
    "time.parse_duration_ns",
    "time.parse_rfc3339_ns",
];
/// Those that say sets.
const SETS: [&str; 4] = ["graph.reachable", "intersection", "object.keys", "union"];

/// What is known of names, by the form of what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    /// In this rule, by `:=`.
    whole: BTreeSet<String>,
    /// The same.
    sets: BTreeSet<String>,
    /// Rules of any policy.
    rules: BTreeSet<String>,
}

impl Forms {
    /// Of all policies, before any rule.
    pub(crate) fn of(modules: &[Module]) -> Self {
        let set = |rule: &Rule| matches!(rule, Rule::Spec { head: RuleHead::Set { .. }, .. });
        let rules = modules.iter().flat_map(|module| &module.policy).filter(|rule| set(rule));
        Self { rules: rules.map(|rule| text_of(&path(name_of(rule)))).collect(), ..Self::default() }
    }

    /// The rules that are sets.
    pub(crate) fn set_rules(&self) -> &BTreeSet<String> {
        &self.rules
    }

    /// Another rule begins.
    pub(crate) fn forget(&mut self) {
        self.whole.clear();
        self.sets.clear();
    }

    /// A name is given.
    pub(crate) fn assign(&mut self, name: &Expr, value: &Expr) {
        let Expr::Var { span, .. } = name else { return };
        let name = span.text().to_owned();
        let (whole, set) = (self.is_whole(value), self.is_set(value));
        if whole {
            self.whole.insert(name.clone())
        } else {
            self.whole.remove(&name)
        };
        if set {
            self.sets.insert(name)
        } else {
            self.sets.remove(&name)
        };
    }

    /// What is wrong with an expression itself, whatever stands in it.
    pub(crate) fn fault(&self, expression: &Expr) -> Option<&'static str> {
        match expression {
            Expr::Number { span, .. } if !exact(span.text()) => {
                Some("a number has at most 15 digits, or is an integer of 64 bits: OPA keeps digits that are lost here")
            }
            Expr::ArithExpr { op: ArithOp::Sub, lhs, rhs, .. } if self.is_set(lhs) || self.is_set(rhs) => None,
            Expr::ArithExpr { lhs, rhs, .. } if !self.is_whole(lhs) || !self.is_whole(rhs) => Some(FRACTIONS),
            Expr::UnaryExpr { expr, .. } if !self.is_whole(expr) && !matches!(&**expr, Expr::Number { .. }) => Some(FRACTIONS),
            Expr::BoolExpr { op: BoolOp::Lt | BoolOp::Le | BoolOp::Gt | BoolOp::Ge, lhs, rhs, .. }
                if is_collection(lhs) || is_collection(rhs) =>
            {
                Some("sets and objects have another order here than in OPA: compare what is in them")
            }
            _ => None,
        }
    }

    /// Whether it is a whole number, or no value.
    fn is_whole(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Number { span, .. } => span.text().bytes().all(|byte| byte.is_ascii_digit()),
            Expr::Var { span, .. } => self.whole.contains(span.text()),
            Expr::RefDot { .. } => FACTS.contains(&text_of(&path(expression)).as_str()),
            Expr::Call { fcn, .. } => WHOLE.contains(&text_of(&path(fcn)).as_str()),
            Expr::UnaryExpr { expr, .. } => self.is_whole(expr),
            Expr::ArithExpr { op: ArithOp::Add | ArithOp::Sub | ArithOp::Mul | ArithOp::Mod, lhs, rhs, .. } => {
                self.is_whole(lhs) && self.is_whole(rhs)
            }
            _ => false,
        }
    }

    fn is_set(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Set { .. } | Expr::SetCompr { .. } | Expr::BinExpr { .. } => true,
            Expr::Var { span, .. } => self.sets.contains(span.text()) || self.rules.contains(span.text()),
            Expr::Call { fcn, .. } => SETS.contains(&text_of(&path(fcn)).as_str()),
            Expr::ArithExpr { op: ArithOp::Sub, lhs, rhs, .. } => self.is_set(lhs) || self.is_set(rhs),
            _ => false,
        }
    }
}

const FRACTIONS: &str = "arithmetic is of whole numbers here, as OPA computes fractions with more digits: take `round`, `floor` or `ceil` of what \
                         may have any";

fn is_collection(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Array { .. }
            | Expr::Set { .. }
            | Expr::Object { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. }
    )
}
