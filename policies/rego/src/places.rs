//! Computed parts of references: what stands in brackets.
//!
//! The engine computes with 32 bits: a place in a list that is 4294967296 or more would be a smaller one. And in `data` OPA finds a member
//! by a number that its name looks like, and a place in a list by text that looks like a number. So what is in brackets has to be known
//! well enough, or what stands before them.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{ArithOp, AssignOp, Expr, Literal, Module, Rule, Span};
use standin_policy_engine::Fault;

use crate::arithmetic::{SetRule, SetRules};
use crate::fault;
use crate::names::Names;
use crate::syntax::{Place, name_of, package, path, place_of, root, string, text_of, variables, written};
use crate::visit::{self, Node};

/// What requests always have as text, or never as a number.
const TEXTS: [&str; 15] = [
    "input.caller.attributes.acr",
    "input.caller.attributes.issuer",
    "input.caller.attributes.protected",
    "input.caller.id",
    "input.caller.kind",
    "input.caller.provisional",
    "input.flow",
    "input.step",
    "input.subject.attributes.acr",
    "input.subject.attributes.issuer",
    "input.subject.attributes.protected",
    "input.subject.id",
    "input.subject.kind",
    "input.subject.provisional",
    "input.tenant",
];
/// Lists of texts.
const LISTS: [&str; 11] = [
    "input.audience",
    "input.caller.attributes.amr",
    "input.caller.attributes.groups",
    "input.caller.attributes.roles",
    "input.caller.tenants",
    "input.chain",
    "input.scope",
    "input.subject.attributes.amr",
    "input.subject.attributes.groups",
    "input.subject.attributes.roles",
    "input.subject.tenants",
];
/// What has members by name, always.
const OBJECTS: [&str; 7] = [
    "input",
    "input.attributes",
    "input.caller",
    "input.caller.attributes",
    "input.edge",
    "input.subject",
    "input.subject.attributes",
];
/// Builtins that say text, or what is no number.
const SAY_TEXT: [&str; 19] = [
    "base64.decode",
    "base64.encode",
    "concat",
    "format_int",
    "hex.decode",
    "hex.encode",
    "json.marshal",
    "lower",
    "replace",
    "sprintf",
    "substring",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "upper",
];
/// Builtins that say how many, or where.
const SAY_PLACES: [&str; 3] = ["count", "indexof", "strings.count"];
/// Builtins that say objects or sets.
const SAY_MEMBERS: [&str; 8] = [
    "graph.reachable",
    "intersection",
    "object.filter",
    "object.keys",
    "object.remove",
    "object.union",
    "object.union_n",
    "union",
];
/// The largest number that is written down as a place.
const MAX_PLACE: u32 = 1_000_000;
/// How many names may stand for each other in turn.
const MAX_DEPTH: usize = 6;

const PLACE: &str = "a number that is not known beforehand is no place in a list here, where those beyond 32 bits would count as smaller ones: take \
                     `object.get` of an object, and of a list `some i, x in` it and compare `i`";
const DOCUMENT: &str = "in `data` OPA finds a place in a list also by text, and a member also by a number, which is not so here: take `object.get` of \
                        an object, and of a list `some i, x in` it and compare `i`";
const RULE: &str =
    "a number finds a member of a rule by its text here, if that begins with `data`: import the rule, or take `object.get`";

/// Something that an expression may be.
#[derive(Debug, Clone, Copy)]
enum Known<'d> {
    /// In the data document, by a reference.
    Document(&'d Value),
    /// The same, by a name that was given to it.
    Constant(&'d Value),
    /// A rule, by a reference that begins with `data`.
    Rule,
    /// An object or a set, of whatever.
    Members,
    /// A list of texts.
    Texts,
    /// No number and no list.
    Text,
    /// A place in a list.
    Place,
    /// Of what a request brings: as JSON has it.
    Json,
    Any,
}

/// What may stand in brackets.
#[derive(Debug, Clone, Copy, Default)]
struct Index {
    text: bool,
    place: bool,
    /// Any other number.
    number: bool,
}

impl Index {
    fn or(self, other: Self) -> Self {
        Self { text: self.text || other.text, place: self.place || other.place, number: self.number || other.number }
    }
}

const TEXT: Index = Index { text: true, place: false, number: false };
const SMALL: Index = Index { text: false, place: true, number: false };
const ANYTHING: Index = Index { text: true, place: true, number: true };

/// What gives a name its value.
#[derive(Debug, Clone, Copy)]
enum Given<'e> {
    By(&'e Expr),
    /// Something in it.
    In(&'e Expr),
    /// The name or the place of something in it.
    KeyOf(&'e Expr),
    Unknown,
}

/// What there is beside the rule that is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'e> {
    pub(crate) names: &'e Names,
    pub(crate) sets: &'e SetRules,
    /// The rules of all policies: whether each has parts, and no value of its own.
    pub(crate) rules: &'e BTreeMap<Place, bool>,
    pub(crate) data: &'e Value,
}

/// The rules of policies, and whether each has parts, and no value of its own.
pub(crate) fn rules(modules: &[Module]) -> BTreeMap<Place, bool> {
    let mut rules = BTreeMap::new();
    for module in modules {
        for rule in &module.policy {
            let name = name_of(rule);
            let place = [package(module), place_of(&path(name))].concat();
            *rules.entry(place).or_insert(true) &= written(name).is_none();
        }
    }
    rules
}

/// The faults of the policies of a package.
pub(crate) fn faults<'e>(modules: &[&'e Module], around: Around<'e>) -> Vec<Fault> {
    let rules = modules.iter().flat_map(|module| &module.policy);
    let own: BTreeSet<&str> = rules.filter_map(|rule| path(name_of(rule)).first().map(|(name, _)| *name)).collect();
    let of_rule = |rule| {
        let reader = Reader { around, own: &own, given: given(rule), loops: loops(rule) };
        let mut faults = Vec::new();
        visit::rule(rule, &mut |node| {
            if let Node::Expression(expression) = node {
                let wrong = reader.wrong(expression);
                faults.extend(wrong.map(|(span, message)| fault::at(span, message)));
            }
        });
        faults
    };
    modules.iter().flat_map(|module| &module.policy).flat_map(|rule| of_rule(rule)).collect()
}

/// Whatever gives values to names, anywhere in a rule.
fn given(rule: &Rule) -> BTreeMap<&str, Vec<Given<'_>>> {
    let mut given: BTreeMap<&str, Vec<Given<'_>>> = BTreeMap::new();
    visit::rule(rule, &mut |node| {
        let mut give = |pattern, whole| {
            for name in variables(pattern) {
                let by = if matches!(pattern, Expr::Var { .. }) { whole } else { Given::Unknown };
                given.entry(name).or_default().push(by);
            }
        };
        match node {
            Node::Argument(pattern) => give(pattern, Given::Unknown),
            Node::Expression(Expr::AssignExpr { op, lhs, rhs, .. }) => {
                give(lhs, Given::By(rhs));
                if *op == AssignOp::Eq {
                    give(rhs, Given::By(lhs));
                }
            }
            Node::Expression(Expr::Call { fcn, params, .. }) if text_of(&path(fcn)) == "walk" => {
                params.last().into_iter().for_each(|pattern| give(pattern, Given::Unknown));
            }
            Node::Statement(Literal::SomeIn { key, value, collection, .. }) => {
                key.iter().for_each(|key| give(key, Given::KeyOf(collection)));
                give(value, Given::In(collection));
            }
            Node::Statement(Literal::Every { key, value, domain, .. }) => {
                key.iter().for_each(|key| given.entry(key.text()).or_default().push(Given::KeyOf(domain)));
                given.entry(value.text()).or_default().push(Given::In(domain));
            }
            // They are given a value elsewhere, and are no rules.
            Node::Statement(Literal::SomeVars { vars, .. }) => {
                for name in vars {
                    given.entry(name.text()).or_default();
                }
            }
            Node::Statement(_) | Node::Expression(_) => {}
        }
    });
    given
}

/// The names that stand in brackets, and what before them.
fn loops(rule: &Rule) -> BTreeMap<&str, Vec<&Expr>> {
    let mut loops: BTreeMap<&str, Vec<&Expr>> = BTreeMap::new();
    visit::rule(rule, &mut |node| {
        let Node::Expression(Expr::RefBrack { refr, index, .. }) = node else { return };
        let Expr::Var { span, .. } = index.as_ref() else { return };
        let before = loops.entry(span.text()).or_default();
        if !before.iter().any(|other| same(other, refr)) {
            before.push(refr);
        }
    });
    loops
}

/// Whether two references are written alike.
fn same(one: &Expr, other: &Expr) -> bool {
    match (one, other) {
        (Expr::Var { span: one, .. }, Expr::Var { span: other, .. }) => one.text() == other.text() && one.text() != "_",
        (Expr::RefDot { refr: one, field: (_, name), .. }, Expr::RefDot { refr: other, field: (_, same_name), .. }) => {
            name == same_name && same(one, other)
        }
        (Expr::RefBrack { refr: one, index, .. }, Expr::RefBrack { refr: other, index: other_index, .. }) => {
            same(one, other) && (same(index, other_index) || string(index).is_some_and(|text| string(other_index) == Some(text)))
        }
        _ => false,
    }
}

struct Reader<'r, 'e> {
    around: Around<'e>,
    /// The names of the rules of the package.
    own: &'r BTreeSet<&'e str>,
    given: BTreeMap<&'e str, Vec<Given<'e>>>,
    loops: BTreeMap<&'e str, Vec<&'e Expr>>,
}

impl<'e> Reader<'_, 'e> {
    /// What is wrong with the last part of a reference.
    fn wrong(&self, expression: &'e Expr) -> Option<(&'e Span, &'static str)> {
        let Expr::RefBrack { refr, index, .. } = expression else { return None };
        let before = self.known(refr, 0);
        if let Some(name) = string(index) {
            let is_place = |known: &Known<'_>| matches!(known, Known::Document(Value::Array(_))) && name.parse::<i64>().is_ok();
            return before.iter().any(is_place).then_some((index.span(), DOCUMENT));
        }
        let index_is = self.index(index, 0);
        before.into_iter().find_map(|known| unlike(known, index_is)).map(|message| (index.span(), message))
    }

    /// What an expression may be; nothing where it has no value, or goes through what stands before it.
    fn known(&self, expression: &'e Expr, depth: usize) -> Vec<Known<'e>> {
        if depth > MAX_DEPTH {
            return vec![Known::Any];
        }
        let known = match expression {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => return self.reference(expression, depth),
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::BoolExpr { .. }
            | Expr::Membership { .. }
            | Expr::AssignExpr { .. } => Known::Text,
            Expr::Set { .. } | Expr::SetCompr { .. } | Expr::Object { .. } | Expr::ObjectCompr { .. } | Expr::BinExpr { .. } => {
                Known::Members
            }
            Expr::Number { span, .. } if span.text().parse::<u32>().is_ok_and(|number| number <= MAX_PLACE) => Known::Place,
            Expr::Number { .. } | Expr::Array { .. } | Expr::ArrayCompr { .. } | Expr::UnaryExpr { .. } => Known::Any,
            Expr::Call { fcn, .. } => says(&text_of(&path(fcn))),
            Expr::ArithExpr { op, lhs, rhs, .. } => {
                let is_place = |side| self.known(side, depth).iter().all(|known| matches!(known, Known::Place));
                let written = matches!(rhs.as_ref(), Expr::Number { .. });
                let near = match op {
                    ArithOp::Sub => is_place(lhs) && is_place(rhs),
                    ArithOp::Mod => written && is_place(rhs),
                    ArithOp::Add | ArithOp::Mul | ArithOp::Div => false,
                };
                if near { Known::Place } else { Known::Any }
            }
        };
        vec![known]
    }

    fn reference(&self, expression: &'e Expr, depth: usize) -> Vec<Known<'e>> {
        let local = |name: &str| !self.own.contains(name) && self.around.names.document(name).is_none();
        let is_local = |name: &str| self.given.contains_key(name) || local(name);
        let begin = root(expression).filter(|name| !is_local(name));
        if let Some((begin, place)) = begin.zip(self.around.names.place(expression)) {
            return self.at(&place, begin == "data");
        }
        let (before, name) = match expression {
            Expr::Var { span, .. } => return self.variable(span.text(), depth),
            Expr::RefDot { refr, field: (_, name), .. } => (refr, name.as_string().ok().map(AsRef::as_ref)),
            Expr::RefBrack { refr, index, .. } => (refr, string(index)),
            other => return self.known(other, depth),
        };
        self.known(before, depth).into_iter().flat_map(|known| part(known, name)).collect()
    }

    /// What stands at a place of `input` or `data`.
    fn at(&self, place: &[String], by_data: bool) -> Vec<Known<'e>> {
        let Some(("data", rest)) = place.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
            return vec![requested(place)];
        };
        let Around { sets, rules, data, .. } = self.around;
        let within = (0..rest.len()).any(|length| rest.get(..length).is_some_and(|before| rules.contains_key(before)));
        let here = rules.get(rest).copied();
        let below = rules.keys().any(|rule| rule.len() > rest.len() && rule.starts_with(rest));
        if !within && !below && here.is_none() {
            let found = rest.iter().try_fold(data, |data, name| data.as_object().ok()?.get(&Value::from(name.as_str())));
            return found.into_iter().map(Known::Document).collect();
        }
        let is_set = matches!(sets.at(rest), SetRule::Members | SetRule::Value);
        let has_parts = !within && here.unwrap_or(below);
        vec![if by_data {
            Known::Rule
        } else if is_set || has_parts {
            Known::Members
        } else {
            Known::Any
        }]
    }

    /// What a name may stand for that the rule gives, by any of its bodies.
    fn variable(&self, name: &str, depth: usize) -> Vec<Known<'e>> {
        let inside = |whole, of: fn(Known<'e>) -> Vec<Known<'e>>| self.known(whole, depth + 1).into_iter().flat_map(of).collect();
        let given = self.given.get(name).into_iter().flatten().flat_map(|given| match given {
            Given::By(value) => self.known(value, depth + 1).into_iter().map(constant).collect(),
            Given::In(whole) => inside(whole, |known| part(constant(known), None)),
            Given::KeyOf(whole) => inside(whole, keys),
            Given::Unknown => vec![Known::Any],
        });
        // One that only goes through what stands before it, always fits there.
        let loops = self.loops.get(name).filter(|before| before.len() > 1 && name != "_");
        given.chain(loops.into_iter().flatten().flat_map(|before| inside(before, keys))).collect()
    }

    fn index(&self, index: &'e Expr, depth: usize) -> Index {
        match index {
            Expr::Array { .. } | Expr::ArrayCompr { .. } => Index::default(),
            other => self.known(other, depth).into_iter().map(as_index).fold(Index::default(), Index::or),
        }
    }
}

/// Why the two could find something else.
fn unlike(before: Known<'_>, index: Index) -> Option<&'static str> {
    let looks_like_number = |name: &Value| name.as_string().is_ok_and(|name| name.parse::<f64>().is_ok());
    let numbers = index.place || index.number;
    match before {
        Known::Document(Value::Array(_)) => (index.text || index.number).then_some(DOCUMENT),
        Known::Document(Value::Object(members)) => (numbers && members.keys().any(looks_like_number)).then_some(DOCUMENT),
        Known::Rule => numbers.then_some(RULE),
        Known::Constant(Value::Array(_)) | Known::Texts | Known::Json | Known::Any => index.number.then_some(PLACE),
        Known::Document(_) | Known::Constant(_) | Known::Members | Known::Text | Known::Place => None,
    }
}

/// What a request has at a place of `input`.
fn requested(place: &[String]) -> Known<'static> {
    let name = place.join(".");
    let has = |names: &[&str]| names.contains(&name.as_str());
    match place.last().map(String::as_str) {
        Some("cross_tenant.from") if place.len() == 3 => Known::Text,
        Some("ttl") if place.len() == 2 => Known::Place,
        Some(_) | None if has(&TEXTS) => Known::Text,
        Some(_) | None if has(&LISTS) => Known::Texts,
        Some(_) | None if has(&OBJECTS) => Known::Members,
        Some(_) | None => Known::Json,
    }
}

fn says(builtin: &str) -> Known<'static> {
    if SAY_TEXT.contains(&builtin) {
        Known::Text
    } else if SAY_PLACES.contains(&builtin) {
        Known::Place
    } else if SAY_MEMBERS.contains(&builtin) {
        Known::Members
    } else {
        Known::Any
    }
}

/// What a name stands for is a value, wherever it is from.
fn constant(known: Known<'_>) -> Known<'_> {
    match known {
        Known::Document(value) => Known::Constant(value),
        Known::Rule => Known::Any,
        other => other,
    }
}

/// A part of something, by its name, or any of its parts.
fn part<'d>(whole: Known<'d>, name: Option<&str>) -> Vec<Known<'d>> {
    let values = |value: &'d Value| -> Vec<&'d Value> {
        match (value, name) {
            (Value::Object(members), Some(name)) => members.get(&Value::from(name)).into_iter().collect(),
            (Value::Object(members), None) => members.values().collect(),
            (Value::Array(items), None) => items.iter().collect(),
            _ => Vec::new(),
        }
    };
    match whole {
        Known::Document(value) => values(value).into_iter().map(Known::Document).collect(),
        Known::Constant(value) => values(value).into_iter().map(Known::Constant).collect(),
        Known::Texts => vec![Known::Text],
        Known::Text | Known::Place => Vec::new(),
        Known::Rule => vec![Known::Rule],
        Known::Json => vec![Known::Json],
        Known::Members | Known::Any => vec![Known::Any],
    }
}

/// The names or places of the parts of something.
fn keys(whole: Known<'_>) -> Vec<Known<'_>> {
    match whole {
        Known::Document(Value::Array(_)) | Known::Constant(Value::Array(_)) | Known::Texts => vec![Known::Place],
        Known::Document(Value::Object(_)) | Known::Constant(Value::Object(_)) => vec![Known::Text],
        Known::Json => vec![Known::Text, Known::Place],
        Known::Rule | Known::Members | Known::Any => vec![Known::Any],
        Known::Document(_) | Known::Constant(_) | Known::Text | Known::Place => Vec::new(),
    }
}

/// What it is in brackets.
fn as_index(known: Known<'_>) -> Index {
    match known {
        Known::Document(value) | Known::Constant(value) => match value {
            Value::Number(number) if number.as_u64().is_some_and(|number| number <= u64::from(MAX_PLACE)) => SMALL,
            Value::Number(_) => Index { number: true, ..Index::default() },
            _ => TEXT,
        },
        Known::Members | Known::Texts => Index::default(),
        Known::Text => TEXT,
        Known::Place => SMALL,
        Known::Rule | Known::Json | Known::Any => ANYTHING,
    }
}
