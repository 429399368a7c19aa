//! A question as the input document that policies see.

use std::collections::BTreeMap;

use regorus::Value;
use standin_policy_engine::{Attribute, Input, Party};

use crate::builtins;

/// What the edge says carries this prefix.
const EDGE: &str = "edge.";
/// The contract has a field of its own for it.
const PROVISIONAL: &str = "provisional";

const KINDS: [&str; 6] = ["client", "user", "host", "envoy", "provisional", "external"];
const FLOWS: [&str; 5] = ["local", "exchange", "delegation", "client-credentials", "none"];

/// The type of a fact that everybody reads the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Integer,
    String,
    Strings,
}

/// Facts of parties whose type is known.
const PARTY_FACTS: [(&str, Kind); 7] = [
    ("protected", Kind::Bool),
    ("issuer", Kind::String),
    ("acr", Kind::String),
    ("amr", Kind::Strings),
    ("auth_time", Kind::Integer),
    ("groups", Kind::Strings),
    ("roles", Kind::Strings),
];
/// Facts of requests whose type is known.
const REQUEST_FACTS: [(&str, Kind); 1] = [("cross_tenant.from", Kind::String)];

/// The largest integer of those whose quotients are rounded to what OPA rounds them to.
const MAX_INTEGER: u64 = 1 << 50;

/// Why a question cannot be put to policies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    /// A party of an unknown kind.
    #[error("`{0}` is no kind of party")]
    Kind(String),
    /// An unknown flow.
    #[error("`{0}` is no flow")]
    Flow(String),
    /// A fact with a number that not everybody reads alike.
    #[error("the fact `{0}` has a number of more than 15 digits that is no integer of 64 bits")]
    Number(String),
    /// A fact that is not of its type.
    #[error("the fact `{name}` is not {expected}")]
    Fact {
        /// Its name.
        name: String,
        /// What it has to be.
        expected: &'static str,
    },
}

/// The document; `docs/rego.md` describes it.
pub(crate) fn of(input: &Input) -> Result<Value, DocumentError> {
    if !FLOWS.contains(&input.flow.as_str()) {
        return Err(DocumentError::Flow(input.flow.clone()));
    }
    let (mut attributes, mut edge) = (BTreeMap::new(), BTreeMap::new());
    for fact in &input.attributes {
        match fact.name.strip_prefix(EDGE) {
            Some(name) => edge.insert(Value::from(name), json(fact)?),
            None => attributes.insert(Value::from(fact.name.as_str()), value(fact, &REQUEST_FACTS)?),
        };
    }
    let mut members = vec![
        ("caller", party(&input.caller)?),
        ("subject", party(&input.subject)?),
        ("chain", texts(&input.chain)),
        ("tenant", Value::from(input.tenant.as_str())),
        ("audience", texts(&input.audience)),
        ("scope", texts(&input.scope)),
        ("ttl", Value::from(u64::from(input.ttl))),
        ("flow", Value::from(input.flow.as_str())),
        ("now", Value::from(input.now)),
        ("attributes", Value::from(attributes)),
        ("edge", Value::from(edge)),
    ];
    members.extend(input.step.as_deref().map(|step| ("step", Value::from(step))));
    Ok(object(members))
}

fn party(party: &Party) -> Result<Value, DocumentError> {
    if !KINDS.contains(&party.kind.as_str()) {
        return Err(DocumentError::Kind(party.kind.clone()));
    }
    let mut attributes = BTreeMap::new();
    for fact in party.attributes.iter().filter(|fact| fact.name != PROVISIONAL) {
        attributes.insert(Value::from(fact.name.as_str()), value(fact, &PARTY_FACTS)?);
    }
    Ok(object([
        ("kind", Value::from(party.kind.as_str())),
        ("id", Value::from(party.id.as_str())),
        ("tenants", texts(&party.tenants)),
        ("provisional", Value::from(party.provisional)),
        ("attributes", Value::from(attributes)),
    ]))
}

fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::from(members.into_iter().map(|(name, value)| (Value::from(name), value)).collect::<BTreeMap<_, _>>())
}

fn texts(texts: &[String]) -> Value {
    Value::from(texts.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>())
}

fn json(fact: &Attribute) -> Result<Value, DocumentError> {
    if builtins::inexact(&fact.value).is_some() {
        return Err(DocumentError::Number(fact.name.clone()));
    }
    Value::from_json_str(&fact.value).map_err(|_| DocumentError::Fact { name: fact.name.clone(), expected: "JSON" })
}

/// The fact, of its type where that is known. A single string stands for the list of it, as `aud` does (RFC 7519 §4.1.3).
fn value(fact: &Attribute, known: &[(&str, Kind)]) -> Result<Value, DocumentError> {
    let value = json(fact)?;
    let Some((_, kind)) = known.iter().find(|(name, _)| *name == fact.name) else { return Ok(value) };
    let wrong = |expected: &'static str| Err(DocumentError::Fact { name: fact.name.clone(), expected });
    match (kind, value) {
        (Kind::Bool, value @ Value::Bool(_)) | (Kind::String, value @ Value::String(_)) => Ok(value),
        // What is written with a point is the same number without it, and arithmetic rounds none of those.
        (Kind::Integer, Value::Number(number)) => match number.as_i64() {
            Some(number) if number.unsigned_abs() < MAX_INTEGER => Ok(Value::from(number)),
            Some(_) | None => wrong("an integer"),
        },
        (Kind::Strings, value @ Value::String(_)) => Ok(Value::from(vec![value])),
        (Kind::Strings, Value::Array(items)) if items.iter().all(|item| matches!(item, Value::String(_))) => {
            Ok(Value::Array(items))
        }
        (Kind::Bool, _) => wrong("true or false"),
        (Kind::Integer, _) => wrong("an integer"),
        (Kind::String, _) => wrong("a string"),
        (Kind::Strings, _) => wrong("a list of strings"),
    }
}
