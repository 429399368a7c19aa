//! Policies that are plain: what the virtual machine reads as the interpreter does.
//!
//! Its compiler takes some of Rego for something else, and nothing in the program shows it: names given by `:=` may stay without a
//! value, keys of `in` do not count, a rule with a dot in its name stands for the name before the dot. So only what is listed here is
//! plain; a property test holds the machine against the interpreter for it.

use regorus::Value;
use regorus::unstable::{BoolOp, Expr, Import, Literal, Module, Query, Ref, Rule, RuleBody, RuleHead};

use crate::syntax::root;

/// Whether all of them are.
pub(crate) fn all(modules: &[Module]) -> bool {
    modules.iter().all(|module| module.imports.iter().all(keyword) && module.policy.iter().all(|rule| is_rule(rule)))
}

/// `import rego.v1` and its like.
fn keyword(import: &Import) -> bool {
    root(&import.refr).is_some_and(|name| matches!(name, "rego" | "future"))
}

fn is_rule(rule: &Rule) -> bool {
    match rule {
        Rule::Default { refr, args, value, .. } => is_name(refr) && args.is_empty() && constant(value),
        Rule::Spec { head, bodies, .. } => bodies.iter().all(body) && is_head(head),
    }
}

fn is_head(head: &RuleHead) -> bool {
    match head {
        RuleHead::Compr { refr, assign, .. } => is_name(refr) && assign.as_ref().is_none_or(|assign| value(&assign.value)),
        RuleHead::Set { refr, key, .. } => is_name(refr) && key.iter().all(|key| value(key)),
        RuleHead::Func { .. } => false,
    }
}

fn is_name(head: &Expr) -> bool {
    matches!(head, Expr::Var { .. })
}

fn body(body: &RuleBody) -> bool {
    body.assign.is_none() && !body.is_else && query(&body.query)
}

fn query(query: &Query) -> bool {
    query.stmts.iter().all(|statement| {
        statement.with_mods.is_empty()
            && match &statement.literal {
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => value(expr),
                Literal::SomeVars { .. } | Literal::SomeIn { .. } | Literal::Every { .. } => false,
            }
    })
}

fn values(values: &[Ref<Expr>]) -> bool {
    values.iter().all(|one| value(one))
}

fn value(expression: &Expr) -> bool {
    match expression {
        Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. } => true,
        Expr::Var { span, .. } => span.text() != "_",
        Expr::Array { items, .. } | Expr::Set { items, .. } => values(items),
        Expr::Object { fields, .. } => keys(fields).is_some() && fields.iter().all(|(_, _, member)| value(member)),
        Expr::BoolExpr { op: BoolOp::Eq | BoolOp::Ne, lhs, rhs, .. } => value(lhs) && value(rhs),
        Expr::Membership { key: None, value: one, collection, .. } => value(one) && value(collection),
        Expr::RefDot { refr, .. } => root(refr).is_some() && value(refr),
        // In `data` a computed key could name a rule, and a number a member that is called so.
        Expr::RefBrack { refr, index, .. } => {
            let written = matches!(index.as_ref(), Expr::String { .. });
            root(refr).is_some_and(|root| written || root != "data") && value(refr) && value(index)
        }
        _ => false,
    }
}

/// The keys of an object, where all are written down and no two are the same.
fn keys<S>(fields: &[(S, Ref<Expr>, Ref<Expr>)]) -> Option<Vec<&Value>> {
    let mut keys = Vec::new();
    for (_, key, _) in fields {
        let Expr::String { value, .. } = key.as_ref() else { return None };
        if keys.contains(&value) {
            return None;
        }
        keys.push(value);
    }
    Some(keys)
}

fn constant(expression: &Expr) -> bool {
    match expression {
        Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. } => true,
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().all(|item| constant(item)),
        Expr::Object { fields, .. } => keys(fields).is_some() && fields.iter().all(|(_, _, member)| constant(member)),
        _ => false,
    }
}
