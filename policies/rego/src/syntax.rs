//! References, and names of rules, as they are written down.

use regorus::unstable::{Expr, Module, Rule, RuleHead, Span};

/// A place in `data`, part by part.
pub(crate) type Place = Vec<String>;

/// The parts of a reference up to the first that is computed; none where it does not begin with a name.
pub(crate) fn path(mut expression: &Expr) -> Vec<(&str, &Span)> {
    let mut parts = Vec::new();
    loop {
        match expression {
            Expr::RefDot { refr, field: (span, value), .. } => {
                parts.extend(value.as_string().ok().map(|name| (name.as_ref(), span)));
                expression = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                match string(index) {
                    Some(name) => parts.push((name, index.span())),
                    None => parts.clear(),
                }
                expression = refr;
            }
            Expr::Var { span, value, .. } => {
                parts.extend(value.as_string().ok().map(|name| (name.as_ref(), span)));
                parts.reverse();
                return parts;
            }
            _ => return Vec::new(),
        }
    }
}

/// The parts of a reference; none where any of them is computed.
pub(crate) fn written(expression: &Expr) -> Option<Vec<(&str, &Span)>> {
    let computed = indices(expression).into_iter().any(|index| string(index).is_none());
    Some(path(expression)).filter(|parts| !computed && !parts.is_empty())
}

/// The variables that a pattern gives a value.
pub(crate) fn variables(pattern: &Expr) -> Vec<&str> {
    match pattern {
        Expr::Var { span, .. } => vec![span.text()],
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().flat_map(|item| variables(item)).collect(),
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, key, value)| [key, value]).flat_map(|part| variables(part)).collect()
        }
        _ => Vec::new(),
    }
}

/// The name that a reference begins with.
pub(crate) fn root(mut expression: &Expr) -> Option<&str> {
    loop {
        match expression {
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => expression = refr,
            Expr::Var { value, .. } => return value.as_string().ok().map(AsRef::as_ref),
            _ => return None,
        }
    }
}

/// The name of a rule.
pub(crate) fn name_of(rule: &Rule) -> &Expr {
    let (Rule::Default { refr, .. }
    | Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. }, .. }) = rule;
    refr
}

/// What stands in the brackets of a reference.
pub(crate) fn indices(mut expression: &Expr) -> Vec<&Expr> {
    let mut indices = Vec::new();
    loop {
        match expression {
            Expr::RefBrack { refr, index, .. } => {
                indices.push(index.as_ref());
                expression = refr;
            }
            Expr::RefDot { refr, .. } => expression = refr,
            _ => return indices,
        }
    }
}

/// Where a package stands.
pub(crate) fn package(module: &Module) -> Place {
    place_of(&path(&module.package.refr))
}

pub(crate) fn text_of(parts: &[(&str, &Span)]) -> String {
    parts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(".")
}

pub(crate) fn place_of(parts: &[(&str, &Span)]) -> Place {
    parts.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// The text of a string.
pub(crate) fn string(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::String { value, .. } | Expr::RawString { value, .. } => value.as_string().ok().map(AsRef::as_ref),
        _ => None,
    }
}
