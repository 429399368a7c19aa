//! Policies, read and validated.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use cedar_policy::{PolicySet, ValidationMode, Validator};
use cedar_policy_core::ast::{Effect, EntityUID, Expr, ExprKind, Literal, Policy};
use cedar_policy_core::parser::Loc;
use cedar_policy_core::pst::{self, PstConstructionError};
use standin_policy_engine::{Fault, Source};

use crate::annotation::{Annotations, Limits};
use crate::fault;

/// What is kept of one policy. Its scope is kept by the index.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    /// Every `when` and `unless` as one expression; `None` where there is none.
    pub(crate) condition: Option<Expr>,
    pub(crate) id: String,
    /// Its `@reason`, or where it stands.
    pub(crate) text: String,
    pub(crate) limits: Limits,
    /// The entities that the condition names.
    pub(crate) names: BTreeSet<EntityUID>,
}

/// Reads every policy of the bundle, in the order of files and lines.
pub(crate) fn load(sources: &[&Source], validator: &Validator) -> Result<Vec<(Rule, Policy)>, Vec<Fault>> {
    let mut rules = Vec::new();
    let mut faults = Vec::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for source in sources {
        match load_file(source, validator) {
            Ok(found) => {
                for (rule, policy, line) in found {
                    match ids.entry(rule.id.clone()) {
                        Entry::Vacant(free) => {
                            free.insert(format!("{}:{line}", source.name));
                        }
                        Entry::Occupied(taken) => {
                            let message = format!("the policy at {} has the id `{}` already", taken.get(), rule.id);
                            faults.push(fault::of(&source.name, &source.content, policy.loc(), message));
                        }
                    }
                    rules.push((rule, policy));
                }
            }
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

/// The policies of one file, and their lines.
fn load_file(source: &Source, validator: &Validator) -> Result<Vec<(Rule, Policy, usize)>, Vec<Fault>> {
    let Source { name, content } = source;
    let set = PolicySet::from_str(content)
        .map_err(|why| why.iter().map(|why| fault::from_diagnostic(name, content, why)).collect::<Vec<_>>())?;
    let mut faults = Vec::new();
    for template in set.templates() {
        let loc = template.as_ref().loc();
        faults.push(fault::of(
            name,
            content,
            loc,
            "templates are not supported: write the entities that `?principal` and `?resource` stand for",
        ));
    }
    let validated = validator.validate(&set, ValidationMode::Strict);
    faults.extend(validated.validation_errors().map(|why| fault::from_diagnostic(name, content, why)));
    // Nothing warns and carries on: a policy that can never apply is a mistake.
    faults.extend(validated.validation_warnings().map(|why| fault::from_diagnostic(name, content, why)));
    let mut policies: Vec<&Policy> = set.policies().map(AsRef::as_ref).collect();
    policies.sort_by_key(|policy| policy.loc().map(Loc::start));
    let mut rules = Vec::with_capacity(policies.len());
    let (mut line, mut counted) = (1, 0);
    for (index, policy) in policies.into_iter().enumerate() {
        let start = policy.loc().map_or(counted, Loc::start);
        line += content.get(counted..start).unwrap_or_default().matches('\n').count();
        counted = start;
        match Annotations::of(policy) {
            Ok(annotations) => {
                let id = annotations.id.unwrap_or_else(|| format!("{name}#{}", index + 1));
                let text = annotations.reason.unwrap_or_else(|| format!("{name}:{line}"));
                match Rule::new(policy, id, text, annotations.limits) {
                    Ok(rule) => rules.push((rule, policy.clone(), line)),
                    Err(why) => faults.push(fault::of(name, content, policy.loc(), why)),
                }
            }
            Err(wrong) => faults.extend(wrong.into_iter().map(|(why, loc)| fault::of(name, content, loc.as_ref(), why))),
        }
    }
    faults.sort();
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

impl Rule {
    fn new(policy: &Policy, id: String, text: String, limits: Limits) -> Result<Self, PstConstructionError> {
        let condition = policy.non_scope_constraints().cloned().map(unplaced).transpose()?;
        let parts = condition.iter().flat_map(Expr::subexpressions);
        let named = parts.filter_map(|part| match part.expr_kind() {
            ExprKind::Lit(Literal::EntityUID(uid)) => Some((**uid).clone()),
            _ => None,
        });
        Ok(Self { names: named.collect(), effect: policy.effect(), condition, id, text, limits })
    }
}

/// Without the places in the source: the evaluator would copy them from every part of the expression to every value.
fn unplaced(condition: Expr) -> Result<Expr, PstConstructionError> {
    pst::Expr::try_from(condition).map(Expr::from)
}
