//! Cases as data: a question, the answer it has to get, and what to say where it gets another.
//!
//! A file of cases is `{"cases": [{"name", "input", "expect"}]}`. `input` is a merge patch (RFC 7396) to a base question, which
//! is the contract's `input` with attributes as an object instead of a list.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PolicyModule;
use crate::bindings::decision_point::JudgeError;
use crate::bindings::types::{Allowance, Attribute, Effect, Input, Party, Verdict};
use crate::clock::Clock;
use crate::json;

/// What is asked where the cases bring no base of their own.
const BASE: &str = include_str!("base.json");

/// A base question and the cases, by file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    base: Value,
    files: BTreeMap<String, Cases>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "unpatched", deserialize_with = "json::field")]
    input: Value,
    expect: Expected,
}

/// The patch that changes nothing.
fn unpatched() -> Value {
    Value::Object(Map::new())
}

/// What a case expects, and what it got. A limit that is not there is no opinion; reasons that are not there are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    effect: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
}

/// What comes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Permit,
    Deny,
    StepUp,
    Error,
}

/// Why there are no cases.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file is no file of cases; the cause has line and column.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// A patched base is no question.
    #[error("{file}: case {case:?}: {source}")]
    Question {
        /// The file.
        file: String,
        /// The case.
        case: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// They take longer than they may.
    #[error("the cases take longer than {} s together", .0.as_secs())]
    TooLong(Duration),
    /// There is nothing to test.
    #[error("there is no case")]
    Empty,
}

/// How a suite went.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every case got its answer.
    pub ok: bool,
    /// How many cases there are.
    pub cases: usize,
    /// Those that got another answer.
    pub failures: Vec<Failure>,
    /// Rules that no answer named; `None` where the module does not list its rules.
    pub unreached: Option<Vec<String>>,
}

/// A case that got another answer.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The file.
    pub file: String,
    /// The case.
    pub case: String,
    /// The answer it has to get.
    pub expected: Expected,
    /// The answer it got.
    pub got: Expected,
    /// What the module, or the sandbox, said of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One field in which two answers differ: its name, what was expected, what came. Empty is not there.
pub type Difference = (String, String, String);

impl Suite {
    /// Files of cases, by name and text, and the base they are patches to.
    ///
    /// # Errors
    /// The first file or case that is none.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, base: Option<(&str, &str)>) -> Result<Self, CaseError> {
        let broken = |file: &str| {
            let file = file.to_owned();
            move |source| CaseError::File { file, source }
        };
        let (base_name, base_text) = base.unwrap_or(("base.json", BASE));
        let base = json::value(base_text)
            .and_then(|base| if base.is_object() { Ok(base) } else { Err(serde::de::Error::custom("not a JSON object")) });
        let base = base.map_err(broken(base_name))?;
        let mut read = BTreeMap::new();
        for (name, text) in files {
            read.insert(name.to_owned(), json::from_str(text).map_err(broken(name))?);
        }
        let suite = Self { base, files: read };
        if suite.is_empty() {
            return Err(CaseError::Empty);
        }
        suite.each().try_for_each(|(file, case)| suite.question(file, case).map(drop))?;
        Ok(suite)
    }

    /// How many cases there are.
    pub fn len(&self) -> usize {
        self.each().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn each(&self) -> impl Iterator<Item = (&str, &Case)> {
        self.files.iter().flat_map(|(file, cases)| cases.cases.iter().map(move |case| (file.as_str(), case)))
    }

    fn question(&self, file: &str, case: &Case) -> Result<Input, CaseError> {
        let mut question = self.base.clone();
        merge(&mut question, &case.input);
        let question: Question = json::from_value(question).map_err(|source| CaseError::Question {
            file: file.to_owned(),
            case: case.name.clone(),
            source,
        })?;
        Ok(question.into())
    }

    /// Every question, with the file and the name of its case.
    ///
    /// # Errors
    /// Where a case is no question.
    pub fn questions(&self) -> impl Iterator<Item = Result<(&str, &str, Input), CaseError>> {
        self.each().map(|(file, case)| Ok((file, case.name.as_str(), self.question(file, case)?)))
    }

    /// The name of the first case that gets another answer. `budget` is for all of them together.
    ///
    /// # Errors
    /// Where a case is no question, or they take too long.
    pub fn first_failure(&self, module: &PolicyModule, clock: &dyn Clock, budget: Duration) -> Result<Option<String>, CaseError> {
        let begun = clock.monotonic();
        for (file, case) in self.each() {
            if clock.monotonic().saturating_sub(begun) > budget {
                return Err(CaseError::TooLong(budget));
            }
            if !Expected::from(&module.evaluate(&self.question(file, case)?)).satisfies(&case.expect) {
                return Ok(Some(case.name.clone()));
            }
        }
        Ok(None)
    }

    /// Asks the module every question. `rules` are the names of its rules, where it lists them.
    ///
    /// # Errors
    /// Where a case is no question.
    pub fn run(&self, module: &PolicyModule, rules: Option<&[String]>) -> Result<Report, CaseError> {
        let (mut failures, mut reached) = (Vec::new(), BTreeSet::new());
        for (file, case) in self.each() {
            let answer = module.evaluate(&self.question(file, case)?);
            let got = Expected::from(&answer);
            reached.extend(got.reasons.iter().flatten().cloned());
            if !got.satisfies(&case.expect) {
                let (file, case, expected) = (file.to_owned(), case.name.clone(), case.expect.clone());
                failures.push(Failure { file, case, expected, got, error: answer.as_ref().err().map(describe) });
            }
        }
        let unreached = rules.map(|rules| rules.iter().filter(|rule| !reached.contains(*rule)).cloned().collect());
        Ok(Report { ok: failures.is_empty(), cases: self.len(), failures, unreached })
    }
}

impl Expected {
    fn satisfies(&self, expected: &Self) -> bool {
        let reasons = expected.reasons.is_none() || self.reasons == expected.reasons;
        reasons && Self { reasons: None, ..self.clone() } == Self { reasons: None, ..expected.clone() }
    }
}

impl Expected {
    /// What it comes to: `permit`, `deny`, `step-up` or `error`.
    pub fn effect(&self) -> &'static str {
        match self.effect {
            Outcome::Permit => "permit",
            Outcome::Deny => "deny",
            Outcome::StepUp => "step-up",
            Outcome::Error => "error",
        }
    }

    /// The same in one order: limits and reasons are sets.
    pub(super) fn sorted(mut self) -> Self {
        for list in [&mut self.scope, &mut self.audience, &mut self.reasons].into_iter().flatten() {
            list.sort_unstable();
            list.dedup();
        }
        self
    }

    /// The fields in which another answer differs.
    pub fn differences(&self, got: &Self) -> Vec<Difference> {
        let fields = |answer: &Expected| match serde_json::to_value(answer) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        let (expected, got) = (fields(self), fields(got));
        let show = |fields: &Map<String, Value>, name: &str| fields.get(name).map(Value::to_string).unwrap_or_default();
        let compared = ["effect", "acr", "scope", "audience", "ttl", "reasons"];
        let differ = compared
            .into_iter()
            .filter(|name| expected.get(*name) != got.get(*name) && (*name != "reasons" || expected.contains_key("reasons")));
        differ.map(|name| (name.to_owned(), show(&expected, name), show(&got, name))).collect()
    }
}

impl Failure {
    /// The fields in which the answer differs.
    pub fn differences(&self) -> Vec<Difference> {
        self.expected.differences(&self.got)
    }
}

impl From<&Result<Verdict, JudgeError>> for Expected {
    fn from(answer: &Result<Verdict, JudgeError>) -> Self {
        let none = Self { effect: Outcome::Error, scope: None, audience: None, ttl: None, acr: None, reasons: None };
        let Ok(verdict) = answer else { return none };
        let reasons = Some(verdict.reasons.iter().map(|reason| reason.rule.clone()).collect());
        match verdict.effect.clone() {
            Effect::Permit(Allowance { scope, audience, ttl }) => {
                Self { effect: Outcome::Permit, scope, audience, ttl, acr: None, reasons }
            }
            Effect::Deny => Self { effect: Outcome::Deny, reasons, ..none },
            Effect::StepUp(acr) => Self { effect: Outcome::StepUp, acr: Some(acr), reasons, ..none },
        }
    }
}

/// What the module, or the sandbox, said of an error.
pub(super) fn describe(why: &JudgeError) -> String {
    match why {
        JudgeError::Module(text) => text.clone(),
        JudgeError::Trapped => "it trapped, or wanted more memory than it may have".to_owned(),
        JudgeError::TimedOut => "it ran out of time".to_owned(),
        JudgeError::TooLarge => "its answer is too large".to_owned(),
        JudgeError::Invalid => "its answer contradicts itself or is not well formed".to_owned(),
        JudgeError::Unavailable => "no sandbox was free".to_owned(),
        JudgeError::Other(text) => text.clone().unwrap_or_default(),
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// The contract's `input`, as a person writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    caller: Somebody,
    subject: Somebody,
    #[serde(default)]
    chain: Vec<String>,
    tenant: String,
    audience: Vec<String>,
    scope: Vec<String>,
    ttl: u32,
    flow: String,
    #[serde(default)]
    step: Option<String>,
    now: u64,
    #[serde(default)]
    attributes: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Somebody {
    kind: String,
    id: String,
    tenants: Vec<String>,
    #[serde(default)]
    provisional: bool,
    #[serde(default)]
    attributes: Map<String, Value>,
}

impl From<Question> for Input {
    fn from(question: Question) -> Self {
        let Question { caller, subject, chain, tenant, audience, scope, ttl, flow, step, now, attributes } = question;
        let (caller, subject) = (caller.into(), subject.into());
        Self { caller, subject, chain, tenant, audience, scope, ttl, flow, step, now, attributes: facts(attributes) }
    }
}

impl From<Somebody> for Party {
    fn from(somebody: Somebody) -> Self {
        let Somebody { kind, id, tenants, provisional, attributes } = somebody;
        Self { kind, id, tenants, provisional, attributes: facts(attributes) }
    }
}

fn facts(attributes: Map<String, Value>) -> Vec<Attribute> {
    attributes.into_iter().map(|(name, value)| Attribute { name, value: value.to_string() }).collect()
}

#[cfg(test)]
mod tests;
