//! Everything that stands in a rule, from left to right.

use regorus::unstable::{Expr, Literal, Query, Rule, RuleHead};

use crate::syntax::indices;

/// A statement or an expression, before what stands in it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'e> {
    Statement(&'e Literal),
    Expression(&'e Expr),
    /// The pattern of an argument of a function.
    Argument(&'e Expr),
}

/// Shows every part of a rule.
pub(crate) fn rule<'e>(rule: &'e Rule, show: &mut dyn FnMut(Node<'e>)) {
    match rule {
        Rule::Default { refr, args, value, .. } => {
            args.iter().for_each(|argument| show(Node::Argument(argument)));
            indices(refr).into_iter().chain([value.as_ref()]).for_each(|part| expression(part, show));
        }
        Rule::Spec { head, bodies, .. } => {
            let (name, arguments, value) = match head {
                RuleHead::Compr { refr, assign, .. } => (refr, &[][..], assign.as_ref().map(|assign| &assign.value)),
                RuleHead::Set { refr, key, .. } => (refr, &[][..], key.as_ref()),
                RuleHead::Func { refr, args, assign, .. } => (refr, args.as_slice(), assign.as_ref().map(|assign| &assign.value)),
            };
            arguments.iter().for_each(|argument| show(Node::Argument(argument)));
            indices(name).into_iter().for_each(|part| expression(part, show));
            arguments.iter().chain(value).for_each(|part| expression(part, show));
            for body in bodies {
                body.assign.iter().for_each(|assign| expression(&assign.value, show));
                query(&body.query, show);
            }
        }
    }
}

fn query<'e>(whole: &'e Query, show: &mut dyn FnMut(Node<'e>)) {
    for statement in &whole.stmts {
        show(Node::Statement(&statement.literal));
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value, collection]).for_each(|part| expression(part, show));
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => expression(expr, show),
            Literal::Every { domain, query: each, .. } => {
                expression(domain, show);
                query(each, show);
            }
        }
    }
}

fn expression<'e>(whole: &'e Expr, show: &mut dyn FnMut(Node<'e>)) {
    show(Node::Expression(whole));
    match whole {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => {}
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().for_each(|item| expression(item, show)),
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, key, value)| [key, value]).for_each(|part| expression(part, show));
        }
        Expr::ArrayCompr { term, query: body, .. } | Expr::SetCompr { term, query: body, .. } => {
            expression(term, show);
            query(body, show);
        }
        Expr::ObjectCompr { key, value, query: body, .. } => {
            [key, value].into_iter().for_each(|part| expression(part, show));
            query(body, show);
        }
        Expr::Call { fcn, params, .. } => [fcn].into_iter().chain(params).for_each(|part| expression(part, show)),
        Expr::UnaryExpr { expr, .. } => expression(expr, show),
        Expr::RefDot { refr, .. } => expression(refr, show),
        Expr::RefBrack { refr, index, .. } => [refr, index].into_iter().for_each(|part| expression(part, show)),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => [lhs, rhs].into_iter().for_each(|part| expression(part, show)),
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).for_each(|part| expression(part, show));
        }
    }
}
