//! Arithmetic and order that regorus has as OPA has it: of whole numbers, and of what has one order for both.
//!
//! OPA computes fractions with more digits than regorus does, so that `input.edge.a + 0.2 == 0.3` holds there and not here.

use std::collections::BTreeMap;

use regorus::unstable::{ArithOp, BoolOp, Expr, Module, Ref, Rule, RuleHead};

use crate::builtins::exact;
use crate::names::Names;
use crate::syntax::{Place, name_of, package, path, place_of, root, text_of, written};

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
/// Builtins that round.
const ROUNDING: [&str; 3] = ["ceil", "floor", "round"];
/// Those that say how many, or where.
const NEAR: [&str; 4] = ["count", "indexof", "semver.compare", "strings.count"];
/// Those that say sets.
const SETS: [&str; 4] = ["graph.reachable", "intersection", "object.keys", "union"];

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A whole number that is no larger than those of time are.
    Near,
    /// A whole number.
    Whole,
    Set,
    Other,
}

/// What is known of names that are given in a rule, at some point of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope(BTreeMap<String, Form>);

/// What is known of names, by the form of what they stand for.
#[derive(Debug)]
pub(crate) struct Forms<'a> {
    names: &'a Names,
    /// Rules of all policies.
    sets: &'a SetRules,
    given: Scope,
}

/// How far a rule is a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SetRule {
    /// By one of its definitions and not by another.
    Sometimes,
    /// Where it has a value.
    Value,
    /// Always: it has members.
    Members,
    /// Never.
    No,
}

/// The rules that are sets, and where they stand.
#[derive(Debug, Default)]
pub(crate) struct SetRules(BTreeMap<Place, SetRule>);

impl SetRules {
    /// Of all policies.
    pub(crate) fn of(modules: &[Module]) -> Self {
        let mut rules: BTreeMap<Place, SetRule> = BTreeMap::new();
        for module in modules {
            for rule in &module.policy {
                let name = name_of(rule);
                let place = [package(module), place_of(&path(name))].concat();
                let how = if written(name).is_some() { definition(rule) } else { SetRule::No };
                let known = rules.entry(place).or_insert(how);
                *known = match (*known, how) {
                    (one, other) if one == other => one,
                    (SetRule::Members | SetRule::Value, SetRule::Members | SetRule::Value) => SetRule::Value,
                    (SetRule::No | SetRule::Sometimes | SetRule::Value | SetRule::Members, _) => SetRule::Sometimes,
                };
            }
        }
        Self(rules)
    }

    pub(crate) fn at(&self, place: &[String]) -> SetRule {
        self.0.get(place).copied().unwrap_or(SetRule::No)
    }
}

fn definition(rule: &Rule) -> SetRule {
    let values: Vec<&Expr> = match rule {
        Rule::Spec { head: RuleHead::Set { .. }, .. } => return SetRule::Members,
        Rule::Spec { head: RuleHead::Compr { assign, .. }, bodies, .. } => {
            let further = bodies.iter().filter_map(|body| body.assign.as_ref());
            assign.iter().chain(further).map(|assign| assign.value.as_ref()).collect()
        }
        Rule::Default { value, args, .. } if args.is_empty() => vec![value],
        Rule::Default { .. } | Rule::Spec { head: RuleHead::Func { .. }, .. } => Vec::new(),
    };
    match values.iter().filter(|value| makes_set(value)).count() {
        0 => SetRule::No,
        sets if sets == values.len() => SetRule::Value,
        _ => SetRule::Sometimes,
    }
}

/// A set by its own form.
fn makes_set(expression: &Expr) -> bool {
    match expression {
        Expr::Set { .. } | Expr::SetCompr { .. } | Expr::BinExpr { .. } => true,
        Expr::Call { fcn, .. } => SETS.contains(&text_of(&path(fcn)).as_str()),
        _ => false,
    }
}

impl<'a> Forms<'a> {
    /// Of a policy, before any rule.
    pub(crate) fn of(names: &'a Names, sets: &'a SetRules) -> Self {
        Self { names, sets, given: Scope::default() }
    }

    /// Another rule begins.
    pub(crate) fn forget(&mut self) {
        self.given.0.clear();
    }

    /// What is known before a query, in which names may be given that are others.
    pub(crate) fn scope(&self) -> Scope {
        self.given.clone()
    }

    /// The query is over.
    pub(crate) fn leave(&mut self, scope: Scope) {
        self.given = scope;
    }

    /// A name is given, whatever it stands for.
    pub(crate) fn given(&mut self, name: &str) {
        self.given.0.insert(name.to_owned(), Form::Other);
    }

    /// A name is given.
    pub(crate) fn assign(&mut self, name: &Expr, value: &Expr) {
        let Expr::Var { span, .. } = name else { return };
        let form = if self.is_near(value) {
            Form::Near
        } else if self.is_whole(value) {
            Form::Whole
        } else if self.is_set(value) {
            Form::Set
        } else {
            Form::Other
        };
        self.given.0.insert(span.text().to_owned(), form);
    }

    /// What is wrong with an expression itself, whatever stands in it.
    pub(crate) fn fault(&self, expression: &Expr) -> Option<&'static str> {
        match expression {
            Expr::Number { span, .. } if !exact(span.text()) => {
                Some("a number has at most 15 digits, or is an integer of 64 bits: OPA keeps digits that are lost here")
            }
            Expr::ArithExpr { op: ArithOp::Sub, lhs, rhs, .. } if self.is_set(lhs) || self.is_set(rhs) => None,
            Expr::ArithExpr { op: ArithOp::Div, .. } => Some(QUOTIENTS),
            Expr::ArithExpr { lhs, rhs, .. } if !self.is_whole(lhs) || !self.is_whole(rhs) => Some(FRACTIONS),
            Expr::UnaryExpr { expr, .. } if !self.is_whole(expr) && !matches!(&**expr, Expr::Number { .. }) => Some(FRACTIONS),
            Expr::BoolExpr { op: BoolOp::Lt | BoolOp::Le | BoolOp::Gt | BoolOp::Ge, lhs, rhs, .. }
                if [lhs, rhs].into_iter().any(|side| is_collection(side) || self.may_be_set(side)) =>
            {
                Some("sets and objects have another order here than in OPA: compare what is in them")
            }
            _ => None,
        }
    }

    /// What is divided, where the quotient is rounded at once, and comes to the same for both.
    pub(crate) fn rounded<'e>(&self, function: &Expr, arguments: &'e [Ref<Expr>]) -> Option<[&'e Ref<Expr>; 2]> {
        let [argument] = arguments else { return None };
        let Expr::ArithExpr { op: ArithOp::Div, lhs, rhs, .. } = argument.as_ref() else { return None };
        let rounds = ROUNDING.contains(&text_of(&path(function)).as_str());
        (rounds && self.is_near(lhs) && self.is_near(rhs)).then_some([lhs, rhs])
    }

    /// Whether it is a whole number of so few bits that quotients of them are rounded alike, or no value.
    fn is_near(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Number { span, .. } => span.text().parse::<u32>().is_ok(),
            Expr::Var { .. } => self.named(expression) == Some(Form::Near),
            Expr::RefDot { .. } => self.is_whole(expression),
            Expr::Call { fcn, params, .. } => NEAR.contains(&text_of(&path(fcn)).as_str()) || self.rounded(fcn, params).is_some(),
            Expr::ArithExpr { op: ArithOp::Add | ArithOp::Sub, lhs, rhs, .. } => self.is_near(lhs) && self.is_near(rhs),
            Expr::ArithExpr { op: ArithOp::Mod, lhs, rhs, .. } => self.is_whole(lhs) && self.is_near(rhs),
            _ => false,
        }
    }

    /// Whether it is a whole number, or no value.
    fn is_whole(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Number { span, .. } => span.text().bytes().all(|byte| byte.is_ascii_digit()),
            Expr::Var { .. } => matches!(self.named(expression), Some(Form::Near | Form::Whole)),
            Expr::RefDot { .. } => written(expression).is_some_and(|parts| FACTS.contains(&text_of(&parts).as_str())),
            Expr::Call { fcn, .. } => WHOLE.contains(&text_of(&path(fcn)).as_str()),
            Expr::UnaryExpr { expr, .. } => self.is_whole(expr),
            Expr::ArithExpr { op: ArithOp::Add | ArithOp::Sub | ArithOp::Mul | ArithOp::Mod, lhs, rhs, .. } => {
                self.is_whole(lhs) && self.is_whole(rhs)
            }
            _ => false,
        }
    }

    /// The rule that a reference names.
    fn rule(&self, expression: &Expr) -> SetRule {
        let place = self.names.place(expression).filter(|_| root(expression).is_none_or(|name| !self.given.0.contains_key(name)));
        place.as_deref().and_then(<[String]>::split_first).map_or(SetRule::No, |(_, place)| self.sets.at(place))
    }

    fn is_set(&self, expression: &Expr) -> bool {
        match (self.named(expression), expression) {
            (Some(form), _) => form == Form::Set,
            (None, Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. }) => {
                matches!(self.rule(expression), SetRule::Value | SetRule::Members)
            }
            (None, Expr::ArithExpr { op: ArithOp::Sub, lhs, rhs, .. }) => self.is_set(lhs) || self.is_set(rhs),
            (None, other) => makes_set(other),
        }
    }

    /// Whether it could be one, as far as is known.
    fn may_be_set(&self, expression: &Expr) -> bool {
        self.is_set(expression) || (self.named(expression).is_none() && self.rule(expression) == SetRule::Sometimes)
    }

    /// What is known of a name that the rule gives.
    fn named(&self, expression: &Expr) -> Option<Form> {
        match expression {
            Expr::Var { span, .. } => self.given.0.get(span.text()).copied(),
            _ => None,
        }
    }
}

const QUOTIENTS: &str = "OPA computes quotients with more digits: they are taken as `floor`, `ceil` or `round` of `/`, of times, counts, integers that \
                         are written down, and sums, differences and `%` of these";
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
