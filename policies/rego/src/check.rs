//! What is wrong with a policy that compiles: rules that would be misunderstood, input that is never there, builtins that have no answer
//! here, rules of package `standin` and packages that nothing uses. A limit that is misspelt would be none.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{Expr, Literal, Module, Query, Ref, Rule, RuleHead, Span};
use standin_policy_engine::{Fault, Source};

use crate::builtins;
use crate::fault;
use crate::misread;
use crate::packages::Packages;
use crate::program::RULES;
use crate::syntax::{Place, indices, name_of, path, place_of, string, text_of};

/// The package that decides.
const PACKAGE: &str = "standin";

/// What the input document holds.
enum Shape {
    /// These members and no others.
    Members(&'static [(&'static str, Shape)]),
    /// A list of strings.
    List,
    /// One value.
    Scalar,
    /// Facts: any names.
    Facts,
}

const PARTY: Shape = Shape::Members(&[
    ("kind", Shape::Scalar),
    ("id", Shape::Scalar),
    ("tenants", Shape::List),
    ("provisional", Shape::Scalar),
    ("attributes", Shape::Facts),
]);
const INPUT: Shape = Shape::Members(&[
    ("caller", PARTY),
    ("subject", PARTY),
    ("chain", Shape::List),
    ("tenant", Shape::Scalar),
    ("audience", Shape::List),
    ("scope", Shape::List),
    ("ttl", Shape::Scalar),
    ("flow", Shape::Scalar),
    ("step", Shape::Scalar),
    ("now", Shape::Scalar),
    ("attributes", Shape::Facts),
    ("edge", Shape::Facts),
]);

/// What is known of the policies.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Those of [`RULES`] that there are.
    pub(crate) declared: Vec<&'static str>,
    /// The names of rules as reasons have them, where they are written down.
    pub(crate) rules: Vec<String>,
}

/// Checks all of them.
pub(crate) fn check(modules: &[Module], policies: &[&Source], data: &Value) -> Result<Checked, Vec<Fault>> {
    let mut checker = Checker { functions: modules.iter().flat_map(functions).collect(), ..Checker::default() };
    for module in modules {
        checker.module(module, data);
    }
    let Checker { mut faults, declared, named, own, used, packages, .. } = checker;
    let unused = own.into_iter().filter(|(name, _)| !used.contains(name) && !RULES.contains(&name.as_str()));
    faults.extend(unused.map(|(_, fault)| fault));
    if !declared.contains("allow") && faults.is_empty() {
        let message = "there is no rule `allow` in a `package standin`: nothing would ever be permitted";
        faults.push(fault::of(policies, &message));
    }
    faults.extend(packages.unused(PACKAGE));
    faults.extend(misread::faults(modules, data));
    if !faults.is_empty() {
        faults.sort();
        return Err(faults);
    }
    let mut rules = Vec::new();
    for name in named {
        if !rules.contains(&name) {
            rules.push(name);
        }
    }
    if !declared.contains("reasons") {
        rules.extend(["allow", "step_up"].into_iter().filter(|rule| declared.contains(rule)).map(str::to_owned));
    }
    Ok(Checked { declared: RULES.into_iter().filter(|rule| declared.contains(rule)).collect(), rules })
}

#[derive(Default)]
struct Checker {
    faults: Vec<Fault>,
    declared: BTreeSet<&'static str>,
    named: Vec<String>,
    /// Every rule of package `standin`, and what to say where nothing uses it.
    own: Vec<(String, Fault)>,
    /// The names that stand anywhere in an expression.
    used: BTreeSet<String>,
    /// The functions of all policies, with their package.
    functions: BTreeSet<String>,
    /// All packages.
    packages: Packages,
    /// The package that is looked at.
    package: String,
    /// The same, part by part.
    place: Place,
    /// What its imports stand for.
    imports: BTreeMap<String, String>,
}

impl Checker {
    fn module(&mut self, module: &Module, data: &Value) {
        self.imports.clear();
        let package = path(&module.package.refr);
        self.package = text_of(&package);
        self.place = place_of(&package);
        let ours = self.package == PACKAGE;
        self.package_of(module);
        for import in &module.imports {
            self.expression(&import.refr);
            let parts = path(&import.refr);
            let alias = import.r#as.as_ref().map(Span::text).or_else(|| parts.last().map(|(name, _)| *name));
            self.imports.extend(alias.map(|alias| (alias.to_owned(), text_of(&parts))));
        }
        let beside = package.iter().try_fold(data, |data, (name, _)| data.as_object().ok()?.get(&Value::from(*name)));
        for rule in &module.policy {
            self.no_data(rule, beside);
            if ours {
                self.own(rule);
            }
            self.rule(rule);
        }
    }

    /// A package below the one that decides would be taken for a part of it; any other decides only through what refers to it.
    fn package_of(&mut self, module: &Module) {
        let (span, name) = (module.package.refr.span(), &self.package);
        if name.strip_prefix(PACKAGE).is_some_and(|rest| rest.starts_with('.')) {
            let message = format!("nothing asks the package `{name}`: the rules that decide stand in `package {PACKAGE}` itself");
            self.faults.push(fault::at(span, message));
        } else if name != PACKAGE {
            let message = format!("nothing that decides refers to the package `{name}`: its rules would count for nothing");
            self.packages.add(self.place.clone(), fault::at(span, message));
        }
    }

    /// No data may stand where a rule does.
    fn no_data(&mut self, rule: &Rule, beside: Option<&Value>) {
        let parts = path(name_of(rule));
        let Some((name, span)) = parts.first() else { return };
        let taken = beside.is_some_and(|beside| beside.as_object().map_or(true, |data| data.contains_key(&Value::from(*name))));
        if taken {
            self.faults.push(fault::at(span, format!("`data.json` has something in the place of the rule `{name}`")));
        }
    }

    /// A rule of package `standin`.
    fn own(&mut self, rule: &Rule) {
        let (name, key, value, arguments) = match rule {
            Rule::Default { refr, value, args, .. } => (refr, None, Some(value), !args.is_empty()),
            Rule::Spec { head: RuleHead::Compr { refr, assign, .. }, .. } => {
                (refr, None, assign.as_ref().map(|assign| &assign.value), false)
            }
            Rule::Spec { head: RuleHead::Set { refr, key, .. }, .. } => (refr, key.as_ref(), None, false),
            Rule::Spec { head: RuleHead::Func { refr, .. }, .. } => (refr, None, None, true),
        };
        let parts = path(name);
        let [(name, span), further @ ..] = parts.as_slice() else { return };
        if self.own.iter().all(|(known, _)| known != name) {
            let message = format!("nothing uses the rule `{name}`: those that decide are {}", list(&RULES));
            self.own.push(((*name).to_owned(), fault::at(span, message)));
        }
        let Some(known) = RULES.into_iter().find(|rule| rule == name) else { return };
        self.declared.insert(known);
        let set = matches!(known, "deny" | "reasons" | "scope" | "audience");
        if arguments || !further.is_empty() || (key.is_some() && !set) {
            let form = if set { "a rule that is a set, or has a set or a list as its value" } else { "a rule with one value" };
            self.faults.push(fault::at(span, format!("`{known}` has to be {form}")));
        }
        if matches!(known, "deny" | "reasons") {
            for expression in key.into_iter().chain(value) {
                self.name(expression);
            }
        }
    }

    /// The strings that are written down as reasons.
    fn name(&mut self, expression: &Expr) {
        match expression {
            Expr::String { value, .. } | Expr::RawString { value, .. } => {
                self.named.extend(value.as_string().ok().map(|name| name.to_string()));
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                for item in items {
                    self.name(item);
                }
            }
            // An object says its name wherever it stands, which `expression` sees.
            _ => {}
        }
    }

    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Default { args, value, .. } => {
                self.expressions(args);
                self.expression(value);
            }
            Rule::Spec { head, bodies, .. } => {
                match head {
                    RuleHead::Compr { refr, assign, .. } => {
                        self.head(refr);
                        self.expressions(assign.as_ref().map(|assign| &assign.value));
                    }
                    RuleHead::Set { refr, key, .. } => {
                        self.head(refr);
                        self.expressions(key);
                    }
                    RuleHead::Func { refr, args, assign, .. } => {
                        self.head(refr);
                        self.expressions(args);
                        self.expressions(assign.as_ref().map(|assign| &assign.value));
                    }
                }
                for body in bodies {
                    self.expressions(body.assign.as_ref().map(|assign| &assign.value));
                    self.query(&body.query);
                }
            }
        }
    }

    /// What stands in brackets in the name of a rule.
    fn head(&mut self, name: &Expr) {
        for index in indices(name) {
            self.expression(index);
        }
    }

    fn query(&mut self, query: &Query) {
        for statement in &query.stmts {
            if let Some(with) = statement.with_mods.first() {
                self.faults
                    .push(fault::at(&with.span, "`with` belongs into tests: a decision is made of the input that there is"));
            }
            match &statement.literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn { key, value, collection, .. } => {
                    self.expressions(key);
                    self.expression(value);
                    self.expression(collection);
                }
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expression(expr),
                Literal::Every { domain, query, .. } => {
                    self.expression(domain);
                    self.query(query);
                }
            }
        }
    }

    fn expressions<'a>(&mut self, expressions: impl IntoIterator<Item = &'a Ref<Expr>>) {
        for expression in expressions {
            self.expression(expression);
        }
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. } => {}
            Expr::Var { .. } => self.reference(expression),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.expressions(items),
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    if let (Some("rule"), Some(name)) = (string(key), string(value)) {
                        self.named.push(name.to_owned());
                    }
                    self.expression(key);
                    self.expression(value);
                }
            }
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.expression(term);
                self.query(query);
            }
            Expr::ObjectCompr { key, value, query, .. } => {
                self.expression(key);
                self.expression(value);
                self.query(query);
            }
            Expr::Call { fcn, params, .. } => {
                self.call(fcn, params);
                self.reference(fcn);
                self.expressions(params);
            }
            Expr::UnaryExpr { expr, .. } => self.expression(expr),
            Expr::RefDot { refr, .. } => {
                self.reference(expression);
                self.within(refr);
            }
            Expr::RefBrack { refr, index, .. } => {
                self.reference(expression);
                self.within(refr);
                self.expression(index);
            }
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                self.expression(lhs);
                self.expression(rhs);
            }
            Expr::Membership { key, value, collection, .. } => {
                self.expressions(key);
                self.expression(value);
                self.expression(collection);
            }
        }
    }

    /// Whether there is such a function, and it is read as OPA reads it.
    fn call(&mut self, function: &Expr, arguments: &[Ref<Expr>]) {
        let name = text_of(&path(function));
        // It is a relation, in which the last argument takes what it says.
        if self.is_ours(&name) || (name == "walk" && arguments.len() == 2) {
            return;
        }
        let message = if let Some((_, instead)) = builtins::REFUSED.iter().find(|(known, _)| *known == name) {
            format!("`{name}` cannot be answered here; {instead}")
        } else if let Some(builtin) = builtins::taken(&name) {
            let (wanted, given) = (builtin.arguments(), arguments.len());
            if given == wanted {
                let Some((place, message)) = builtins::literal(&name, arguments) else { return };
                let span = arguments.get(place).map_or_else(|| function.span(), |argument| argument.span());
                return self.faults.push(fault::at(span, format!("`{name}`: {message}")));
            }
            let value = if given == wanted + 1 { ": what it says is given a name by `:=`" } else { "" };
            format!("`{name}` takes {wanted} arguments, not {given}{value}")
        } else if name == "walk" {
            "`walk` takes a value and what is to be a path and a value: `walk(input.edge, [path, value])`".to_owned()
        } else {
            format!("there is no function `{name}`")
        };
        self.faults.push(fault::at(function.span(), message));
    }

    /// Whether a name is of a function of the policies, as it is seen from this package.
    fn is_ours(&self, name: &str) -> bool {
        let (first, rest) = name.split_once('.').map_or((name, ""), |(first, rest)| (first, rest));
        let imported = self.imports.get(first).map(|full| format!("{full}.{rest}"));
        let whole =
            imported.unwrap_or_else(|| if first == "data" { name.to_owned() } else { format!("data.{}.{name}", self.package) });
        self.functions.contains(whole.trim_end_matches('.'))
    }

    /// The rest of a reference that was looked at whole: only what stands in its brackets is new.
    fn within(&mut self, expression: &Expr) {
        match expression {
            Expr::RefDot { refr, .. } => self.within(refr),
            Expr::RefBrack { refr, index, .. } => {
                self.within(refr);
                self.expression(index);
            }
            // The name it begins with was seen.
            Expr::Var { .. } => {}
            other => self.expression(other),
        }
    }

    /// What a reference uses, and whether there is such input.
    fn reference(&mut self, expression: &Expr) {
        let parts = path(expression);
        let [(root, _), parts @ ..] = parts.as_slice() else { return };
        if *root == "data" {
            self.packages.refers(&self.place, place_of(parts));
        }
        match (*root, parts) {
            ("data", [(PACKAGE, _), (name, _), ..]) => drop(self.used.insert((*name).to_owned())),
            (name, _) => drop(self.used.insert(name.to_owned())),
        }
        if *root != "input" {
            return;
        }
        let (mut shape, mut before) = (&INPUT, "input".to_owned());
        for (name, span) in parts {
            let message = match shape {
                Shape::Facts => return,
                Shape::Members(members) => match members.iter().find(|(known, _)| known == name) {
                    Some((_, inner)) => {
                        shape = inner;
                        before = format!("{before}.{name}");
                        continue;
                    }
                    None => {
                        let names: Vec<_> = members.iter().map(|(known, _)| *known).collect();
                        format!("`{before}` has no member `{name}`: there are {}", list(&names))
                    }
                },
                Shape::List => format!("`{before}` is a list of strings: it has no member `{name}`"),
                Shape::Scalar => format!("`{before}` is a single value: it has no member `{name}`"),
            };
            self.faults.push(fault::at(span, message));
            return;
        }
    }
}

/// The functions of a policy, with their package.
fn functions(module: &Module) -> Vec<String> {
    let package = text_of(&path(&module.package.refr));
    let name = |rule: &Ref<Rule>| match rule.as_ref() {
        Rule::Spec { head: RuleHead::Func { refr, .. }, .. } => Some(format!("data.{package}.{}", text_of(&path(refr)))),
        Rule::Default { refr, args, .. } if !args.is_empty() => Some(format!("data.{package}.{}", text_of(&path(refr)))),
        Rule::Spec { head: RuleHead::Compr { .. } | RuleHead::Set { .. }, .. } | Rule::Default { .. } => None,
    };
    module.policy.iter().filter_map(name).collect()
}

/// `a`, `b` and `c`.
fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        Some(_) | None => quoted.concat(),
    }
}
