//! What regorus would read otherwise than OPA does, without a word. A denial that is lost so would deny nothing.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{AssignOp, Expr, Literal, Module, Query, Ref, Rule, RuleBody, RuleHead};
use standin_policy_engine::Fault;

use crate::arithmetic::{Forms, SetRules};
use crate::builtins;
use crate::fault;
use crate::names::{Names, imports};
use crate::negation::Negation;
use crate::places::{self, Around};
use crate::syntax::{Place, indices, name_of, package, path, text_of, variables};

/// Every fault of this kind.
pub(crate) fn faults(modules: &[Module], data: &Value) -> Vec<Fault> {
    let packages: BTreeSet<Place> = modules.iter().map(package).collect();
    let rules = places::rules(modules);
    let sets = SetRules::of(modules);
    let mut faults = Vec::new();
    for place in &packages {
        let of_it: Vec<&Module> = modules.iter().filter(|module| package(module) == *place).collect();
        names(&of_it, &mut faults);
        definitions(&of_it, &mut faults);
        let negation = Negation::of(place, &of_it, &sets);
        let names = Names::of(place, &of_it);
        faults.extend(places::faults(&of_it, Around { names: &names, sets: &sets, rules: &rules, data }));
        let forms = Forms::of(&names, &sets);
        let mut reader = Reader { rules: &rules, names: &names, forms, negation: &negation, faults: &mut faults };
        of_it.iter().flat_map(|module| &module.policy).for_each(|rule| reader.rule(rule));
    }
    faults
}

/// A name of an import is seen by every policy of the package, and a rule of that name hides it. Names of builtins are theirs.
fn names(modules: &[&Module], faults: &mut Vec<Fault>) {
    let mut known: BTreeMap<&str, Place> = BTreeMap::new();
    for module in modules {
        for (name, target, span) in imports(module) {
            if *known.entry(name).or_insert_with(|| target.clone()) != target {
                let message = format!(
                    "`{name}` is imported as something else in another policy of this package: give it a name of its own"
                );
                faults.push(fault::at(span, message));
            }
            if builtins::is_family(name) {
                let message = format!("builtins begin with `{name}.`: give the import another name by `as`");
                faults.push(fault::at(span, message));
            }
        }
    }
    for rule in modules.iter().flat_map(|module| &module.policy) {
        let parts = path(name_of(rule));
        let whole = text_of(&parts);
        let function = matches!(rule.as_ref(), Rule::Spec { head: RuleHead::Func { .. }, .. });
        if let Some((_, span)) = parts.first().filter(|_| function && builtins::is_name(&whole)) {
            faults.push(fault::at(span, format!("`{whole}` is a builtin: give the function a name of its own")));
        }
        let Some((name, span)) = parts.first().filter(|(name, _)| known.contains_key(name)) else { continue };
        faults.push(fault::at(
            span,
            format!("the rule `{name}` has the name of an import of this package: give it one of its own"),
        ));
    }
}

/// How a rule is defined.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Default,
    Value,
    Members,
}

/// A default counts for a rule of one value, and a rule with a value of its own has no members besides.
fn definitions(modules: &[&Module], faults: &mut Vec<Fault>) {
    let mut seen: BTreeSet<(String, Form)> = BTreeSet::new();
    for rule in modules.iter().flat_map(|module| &module.policy) {
        let parts = path(name_of(rule));
        let Some((_, span)) = parts.first() else { continue };
        let (whole, form) = (text_of(&parts), form(rule));
        let within = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
        let conflict = seen.iter().find_map(|(other, known)| match (form, *known) {
            (Form::Default, Form::Default) if *other == whole => Some(format!("the rule `{whole}` has another default already")),
            (Form::Default, Form::Members) | (Form::Members, Form::Default) if *other == whole => Some(format!(
                "a default does not count for `{whole}`, which is a set or an object: it is empty where nothing holds"
            )),
            (Form::Value | Form::Default, _) if within(other, &whole) => {
                Some(format!("the rule `{whole}` has a value of its own, and `{other}` a part of it: define it in one way"))
            }
            (_, Form::Value | Form::Default) if within(&whole, other) => {
                Some(format!("the rule `{other}` has a value of its own, and `{whole}` a part of it: define it in one way"))
            }
            (Form::Default | Form::Value | Form::Members, Form::Default | Form::Value | Form::Members) => None,
        });
        faults.extend(conflict.map(|message| fault::at(span, message)));
        seen.insert((whole, form));
    }
}

fn form(rule: &Rule) -> Form {
    match rule {
        Rule::Default { .. } => Form::Default,
        Rule::Spec { head: RuleHead::Set { .. }, .. } => Form::Members,
        Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Func { refr, .. }, .. } => {
            let written = indices(refr).into_iter().all(|index| matches!(index, Expr::String { .. }));
            if written { Form::Value } else { Form::Members }
        }
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// By itself, or behind `not`.
    Condition,
    /// As part of something else.
    Within,
}

struct Reader<'a> {
    rules: &'a BTreeMap<Place, bool>,
    names: &'a Names,
    forms: Forms<'a>,
    negation: &'a Negation,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn rule(&mut self, rule: &Rule) {
        self.forms.forget();
        for index in indices(name_of(rule)) {
            self.expression(index, Stands::Within);
        }
        match rule {
            Rule::Default { value, .. } => self.expression(value, Stands::Within),
            Rule::Spec { head, bodies, .. } => self.definition(head, bodies),
        }
    }

    fn definition(&mut self, head: &RuleHead, bodies: &[RuleBody]) {
        let value = match head {
            RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => assign.as_ref().map(|assign| &assign.value),
            RuleHead::Set { key, .. } => key.as_ref(),
        };
        if let RuleHead::Func { args, .. } = head {
            for argument in args {
                self.pattern(argument);
                self.given(argument);
            }
            self.all(args);
        }
        if bodies.is_empty() {
            self.all(value);
        }
        // Each body gives names of its own, of which the value of the rule may be made: its own after `else`.
        for body in bodies {
            let value = body.assign.as_ref().map(|assign| &assign.value).or(value);
            self.query(&body.query, value);
        }
    }

    /// A query, and what is made of the names that it gives.
    fn query<'e>(&mut self, query: &Query, terms: impl IntoIterator<Item = &'e Ref<Expr>>) {
        let scope = self.forms.scope();
        query.stmts.iter().for_each(|statement| self.names_of(&statement.literal));
        query.stmts.iter().for_each(|statement| self.statement(&statement.literal));
        self.all(terms);
        self.forms.leave(scope);
    }

    /// The names that a statement gives, or may give.
    fn names_of(&mut self, literal: &Literal) {
        match literal {
            Literal::SomeVars { vars, .. } => vars.iter().for_each(|name| self.forms.given(name.text())),
            Literal::SomeIn { key, value, .. } => key.iter().chain([value]).for_each(|pattern| self.given(pattern)),
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => match expr.as_ref() {
                Expr::AssignExpr { op, lhs, rhs, .. } => {
                    self.given(lhs);
                    if *op == AssignOp::Eq {
                        self.given(rhs);
                    }
                }
                Expr::Call { fcn, params, .. } if text_of(&path(fcn)) == "walk" => {
                    params.last().into_iter().for_each(|pattern| self.given(pattern))
                }
                _ => {}
            },
            Literal::Every { .. } => {}
        }
    }

    fn given(&mut self, pattern: &Expr) {
        variables(pattern).into_iter().for_each(|name| self.forms.given(name));
    }

    fn statement(&mut self, literal: &Literal) {
        match literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value]).for_each(|pattern| self.pattern(pattern));
                self.all(key.iter().chain([value, collection]));
            }
            Literal::Expr { expr, .. } => self.expression(expr, Stands::Condition),
            Literal::NotExpr { expr, .. } => {
                let message = "where this is not there, OPA does not take `not` of it for true, as it is here: make the condition a rule, \
                               and write `not` before its name";
                self.faults.extend(self.negation.unsure(expr).map(|unsure| fault::at(unsure.span(), message)));
                self.expression(expr, Stands::Condition);
            }
            Literal::Every { key, value, domain, query, .. } => {
                self.expression(domain, Stands::Within);
                let scope = self.forms.scope();
                key.iter().chain([value]).for_each(|name| self.forms.given(name.text()));
                self.query(query, []);
                self.forms.leave(scope);
            }
        }
    }

    fn all<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Ref<Expr>>) {
        for expression in expressions {
            self.expression(expression, Stands::Within);
        }
    }

    fn expression(&mut self, expression: &Expr, stands: Stands) {
        let fault = self.forms.fault(expression);
        self.faults.extend(fault.map(|message| fault::at(expression.span(), message)));
        match expression {
            Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. } => {}
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expression),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.all(items),
            Expr::Object { fields, .. } => self.all(fields.iter().flat_map(|(_, key, value)| [key, value])),
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => self.query(query, [term]),
            Expr::ObjectCompr { key, value, query, .. } => self.query(query, [key, value]),
            Expr::Call { fcn, params, .. } => match self.forms.rounded(fcn, params) {
                Some(divided) => self.all(divided),
                None => self.all(params),
            },
            Expr::UnaryExpr { expr, .. } => self.all([expr]),
            Expr::BinExpr { lhs, rhs, .. } | Expr::BoolExpr { lhs, rhs, .. } | Expr::ArithExpr { lhs, rhs, .. } => {
                self.all([lhs, rhs])
            }
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                self.pattern(lhs);
                if *op == AssignOp::Eq {
                    self.pattern(rhs);
                }
                self.all([lhs, rhs]);
                self.forms.assign(lhs, rhs);
            }
            Expr::Membership { key, value, collection, span, .. } => {
                if stands == Stands::Within {
                    let message = "a value is taken of `in`, which here is false, not undefined, where its list is not there: make it a \
                                   condition of its own";
                    self.faults.push(fault::at(span, message));
                }
                if key.is_some() {
                    let message = "a key before `in` holds here where it and what it stands for are both undefined: compare the member by `==`";
                    self.faults.push(fault::at(span, message));
                }
                self.all(key.iter().chain([value, collection]));
            }
        }
    }

    /// An object matches here whatever has its members, also with further ones.
    fn pattern(&mut self, pattern: &Expr) {
        match pattern {
            Expr::Array { items, .. } => items.iter().for_each(|item| self.pattern(item)),
            Expr::Object { span, .. } => {
                let message = "an object is no pattern here, which others with further members would match: compare it by `==`, or its \
                               members one by one";
                self.faults.push(fault::at(span, message));
            }
            _ => {}
        }
    }

    /// A computed part that could name a rule would find data only; a raw string is looked up among rules no more than a computed part.
    fn reference(&mut self, expression: &Expr) {
        let (mut parts, mut rest) = (Vec::new(), expression);
        let root = loop {
            match rest {
                Expr::RefDot { refr, field: (_, value), .. } => {
                    parts.push(value.as_string().ok().map(|name| name.to_string()));
                    rest = refr;
                }
                Expr::RefBrack { refr, index, .. } => {
                    self.expression(index, Stands::Within);
                    parts.push(match index.as_ref() {
                        Expr::String { value, .. } => value.as_string().ok().map(|name| name.to_string()),
                        _ => None,
                    });
                    rest = refr;
                }
                Expr::Var { span, .. } => break span.text(),
                other => return self.expression(other, Stands::Within),
            }
        };
        parts.reverse();
        let Some(mut place) = self.names.document(root).filter(|place| place.first().is_some_and(|first| first == "data")) else {
            return;
        };
        let (written, all) = (parts.iter().take_while(|part| part.is_some()).count(), parts.len());
        place.extend(parts.into_iter().take(written).flatten());
        let place = place.get(1..).unwrap_or_default();
        let below = |rule: &Place| rule.len() > place.len() && rule.starts_with(place);
        if (written < all || place.is_empty()) && self.rules.keys().any(below) {
            let place = [&["data".to_owned()], place].concat().join(".");
            let message =
                format!("a part of `data` that is computed finds no rules, and rules stand below `{place}`: write it out");
            self.faults.push(fault::at(expression.span(), message));
        }
    }
}
