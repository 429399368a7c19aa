//! A loaded bundle, and its answer to one request.

use std::collections::BTreeSet;

use cedar_policy::Validator;
use cedar_policy_core::ast::{Effect as PolicyEffect, Literal, SlotEnv, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use standin_policy_engine::{Allowance, Effect, Failure, Fault, Input, PolicyEngine, Reason, Source, Verdict, digest};

use crate::bundle::Bundle;
use crate::entities::Store;
use crate::index::Index;
use crate::request::{Question, QuestionError};
use crate::rule::{self, Rule};
use crate::schema::{self, Shapes};

impl From<QuestionError> for Failure {
    fn from(why: QuestionError) -> Self {
        Self::new(why.to_string())
    }
}

/// A bundle, read, validated and indexed.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shapes: Shapes,
    pub(crate) store: Store,
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
    digest: String,
}

impl PolicyEngine for Engine {
    const NAME: &'static str = "cedar";

    fn library() -> String {
        format!("cedar-policy {}", cedar_policy::get_sdk_version())
    }

    /// Reads a bundle: `*.cedar`, and at most one `*.cedarschema` and one `entities.json`.
    fn load(sources: &[Source]) -> Result<Self, Vec<Fault>> {
        let bundle = Bundle::of(sources)?;
        let checked = schema::load(bundle.schema)?;
        let validator = Validator::new(checked.schema.clone());
        let (rules, store) = match (rule::load(&bundle.policies, &validator), Store::load(bundle.entities, &checked)) {
            (Ok(rules), Ok(store)) => (rules, store),
            (rules, store) => {
                let mut faults = [rules.err(), store.err()].into_iter().flatten().flatten().collect::<Vec<_>>();
                faults.sort();
                return Err(faults);
            }
        };
        let (rules, policies): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
        let mut engine =
            Self { index: Index::of(&policies, &checked.shapes), shapes: checked.shapes, store, rules, digest: digest(sources) };
        for rule in &mut engine.rules {
            engine.store.retain(&mut rule.names);
        }
        // Whatever is built lazily is built now, and is in the snapshot.
        let _verdict = engine.evaluate(&Input::rehearsal());
        Ok(engine)
    }

    fn source_digest(&self) -> &str {
        &self.digest
    }

    fn rule_names(&self) -> Vec<String> {
        self.rules.iter().map(|rule| rule.id.clone()).collect()
    }

    /// It fails where the question is none, a fact is not of its declared type, or any policy that could match fails.
    fn evaluate(&self, input: &Input) -> Result<Verdict, Failure> {
        let question = Question::of(input, &self.shapes, &self.store)?;
        let picked =
            if question.applies { self.index.pick(question.action, &question.principal, &question.resource) } else { Vec::new() };
        let candidates: Vec<&Rule> = picked.into_iter().filter_map(|place| self.rules.get(place)).collect();
        let satisfied = self.satisfied(&question, &candidates)?;
        Ok(decide(&satisfied, input))
    }
}

impl Engine {
    /// How many policies there are.
    pub fn policies(&self) -> usize {
        self.rules.len()
    }

    /// The candidates that apply.
    fn satisfied<'a>(&self, question: &Question, candidates: &[&'a Rule]) -> Result<Vec<&'a Rule>, Failure> {
        let entities = question.entities(&self.store, candidates.iter().flat_map(|rule| &rule.names))?;
        let evaluator = Evaluator::new(question.request.clone(), &entities, Extensions::all_available());
        let no_slots = SlotEnv::new();
        let (mut satisfied, mut failed) = (Vec::new(), Vec::new());
        for rule in candidates {
            let Some(condition) = &rule.condition else {
                satisfied.push(*rule);
                continue;
            };
            match evaluator.interpret(condition, &no_slots) {
                Ok(value) => match value.value_kind() {
                    ValueKind::Lit(Literal::Bool(true)) => satisfied.push(*rule),
                    ValueKind::Lit(Literal::Bool(false)) => {}
                    _ => failed.push(format!("policy `{}` is neither true nor false", rule.id)),
                },
                Err(why) => failed.push(format!("policy `{}` failed: {why}", rule.id)),
            }
        }
        // An errored `forbid` might have forbidden, an errored `permit` might have limited.
        if failed.is_empty() {
            return Ok(satisfied);
        }
        failed.sort_unstable();
        Err(Failure::new(failed.join("; ")))
    }
}

/// Forbids win; then every permit that applies limits.
fn decide(satisfied: &[&Rule], input: &Input) -> Verdict {
    let of = |effect: PolicyEffect| satisfied.iter().copied().filter(move |rule| rule.effect == effect);
    if of(PolicyEffect::Forbid).next().is_some() {
        return Verdict { effect: Effect::Deny, reasons: reasons(of(PolicyEffect::Forbid)) };
    }
    if of(PolicyEffect::Permit).next().is_none() {
        return Verdict::default_deny();
    }
    let reached = input.subject.acr();
    let wants = |rule: &&Rule| rule.limits.step_up.as_deref().is_some_and(|acr| reached.as_deref() != Some(acr));
    let missing: BTreeSet<&str> =
        of(PolicyEffect::Permit).filter(wants).filter_map(|rule| rule.limits.step_up.as_deref()).collect();
    if let Some(acr) = missing.first() {
        return Verdict { effect: Effect::StepUp((*acr).to_owned()), reasons: reasons(of(PolicyEffect::Permit).filter(wants)) };
    }
    let allowance = Allowance {
        scope: meet(of(PolicyEffect::Permit).filter_map(|rule| rule.limits.scope.as_ref())),
        audience: meet(of(PolicyEffect::Permit).filter_map(|rule| rule.limits.audience.as_ref())),
        ttl: of(PolicyEffect::Permit).filter_map(|rule| rule.limits.ttl).min(),
    };
    Verdict { effect: Effect::Permit(allowance), reasons: reasons(of(PolicyEffect::Permit)) }
}

/// What all of them have; `None` where there is none.
fn meet<'a>(mut sets: impl Iterator<Item = &'a BTreeSet<String>>) -> Option<Vec<String>> {
    let first = sets.next()?;
    let others: Vec<_> = sets.collect();
    Some(first.iter().filter(|item| others.iter().all(|set| set.contains(*item))).cloned().collect())
}

fn reasons<'a>(rules: impl Iterator<Item = &'a Rule>) -> Vec<Reason> {
    Reason::bounded(rules.map(|rule| Reason { rule: rule.id.clone(), text: rule.text.clone() }))
}
