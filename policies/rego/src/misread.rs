//! What regorus would read otherwise than OPA does, without a word. A denial that is lost so would deny nothing.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{AssignOp, Expr, Literal, Module, Query, Ref, Rule, RuleHead, Span};
use standin_policy_engine::Fault;

use crate::arithmetic::Forms;
use crate::fault;
use crate::negation::Negation;
use crate::syntax::{Place, indices, name_of, package, path, place_of, text_of};

/// Every fault of this kind.
pub(crate) fn faults(modules: &[Module]) -> Vec<Fault> {
    let packages: BTreeSet<Place> = modules.iter().map(package).collect();
    let rules: BTreeSet<Place> = modules.iter().flat_map(rules).collect();
    let mut forms = Forms::of(modules);
    let negation = Negation::of(modules, forms.set_rules());
    let mut faults = Vec::new();
    for place in &packages {
        let of_it: Vec<&Module> = modules.iter().filter(|module| package(module) == *place).collect();
        names(&of_it, &mut faults);
        definitions(&of_it, &mut faults);
    }
    for module in modules {
        let imports = imports(module).map(|(name, target, _)| (name.to_owned(), target)).collect();
        let mut reader = Reader { rules: &rules, imports, forms: &mut forms, negation: &negation, faults: &mut faults };
        module.policy.iter().for_each(|rule| reader.rule(rule));
    }
    faults
}

/// Where the rules of a policy stand.
fn rules(module: &Module) -> impl Iterator<Item = Place> {
    let package = package(module);
    module.policy.iter().map(move |rule| [package.clone(), place_of(&path(name_of(rule)))].concat())
}

/// What the imports of a policy are called here, and what they stand for; keywords are no names.
fn imports(module: &Module) -> impl Iterator<Item = (&str, Place, &Span)> {
    module.imports.iter().filter_map(|import| {
        let parts = path(&import.refr);
        let (last, span) = *parts.last()?;
        let name = import.r#as.as_ref().map_or(last, |name| name.text());
        matches!(parts.first(), Some(("data" | "input", _))).then(|| (name, place_of(&parts), span))
    })
}

/// A name of an import is seen by every policy of the package, and a rule of that name hides it.
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
        }
    }
    for rule in modules.iter().flat_map(|module| &module.policy) {
        let parts = path(name_of(rule));
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
    rules: &'a BTreeSet<Place>,
    imports: BTreeMap<String, Place>,
    forms: &'a mut Forms,
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
            Rule::Spec { head, bodies, .. } => {
                let values = match head {
                    RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => assign.as_ref().map(|assign| &assign.value),
                    RuleHead::Set { key, .. } => key.as_ref(),
                };
                if let RuleHead::Func { args, .. } = head {
                    args.iter().for_each(|argument| self.pattern(argument));
                    self.all(args);
                }
                for body in bodies {
                    self.query(&body.query);
                    // What was given a name in the body is what its value may be made of.
                    self.all(body.assign.as_ref().map(|assign| &assign.value));
                }
                self.all(values);
            }
        }
    }

    fn query(&mut self, query: &Query) {
        for statement in &query.stmts {
            match &statement.literal {
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
                Literal::Every { domain, query, .. } => {
                    self.expression(domain, Stands::Within);
                    self.query(query);
                }
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
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.query(query);
                self.all([term]);
            }
            Expr::ObjectCompr { key, value, query, .. } => {
                self.query(query);
                self.all([key, value]);
            }
            Expr::Call { params, .. } => self.all(params),
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
        let mut place = if root == "data" { vec![root.to_owned()] } else { self.imports.get(root).cloned().unwrap_or_default() };
        if place.first().is_none_or(|first| first != "data") {
            return;
        }
        let (written, all) = (parts.iter().take_while(|part| part.is_some()).count(), parts.len());
        place.extend(parts.into_iter().take(written).flatten());
        let place = place.get(1..).unwrap_or_default();
        let below = |rule: &Place| rule.len() > place.len() && rule.starts_with(place);
        if (written < all || place.is_empty()) && self.rules.iter().any(below) {
            let place = [&["data".to_owned()], place].concat().join(".");
            let message =
                format!("a part of `data` that is computed finds no rules, and rules stand below `{place}`: write it out");
            self.faults.push(fault::at(expression.span(), message));
        }
    }
}
