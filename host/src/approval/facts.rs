//! What policies are told of a question's parties and of the edge: facts of the type their name has, each name once. What else is known is
//! left out and named, for the audit record.

use serde_json::Value;
use standin_guest::facts;

use crate::bindings::types::{Attribute, Input};

/// Leaves out of a completed question what is not of its type; answers the names of that, under those of whom it is about.
pub(super) fn settle(input: &mut Input) -> Vec<String> {
    let mut left_out = Vec::new();
    for (whose, facts) in [
        ("caller.", &mut input.caller.attributes),
        ("subject.", &mut input.subject.attributes),
        // Names of the edge begin with `edge.` as it is.
        ("", &mut input.attributes),
    ] {
        let mut told: Vec<Attribute> = Vec::with_capacity(facts.len());
        for fact in std::mem::take(facts) {
            if told.iter().any(|known| known.name == fact.name) {
                continue;
            }
            match read(&fact) {
                Some(value) => told.push(Attribute { value, ..fact }),
                None => left_out.push(format!("{whose}{}", fact.name)),
            }
        }
        *facts = told;
    }
    left_out
}

/// The fact as it is told. A text that is no JSON, which only an embedding program's own directory or edge could give, is of no type.
fn read(fact: &Attribute) -> Option<String> {
    let value: Value = serde_json::from_str(&fact.value).ok()?;
    let told = facts::read(&fact.name, &value)?;
    Some(if told == value { fact.value.clone() } else { told.to_string() })
}
