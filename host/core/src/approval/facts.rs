//! What policies are told of a question's parties and of the edge: facts of the type their name has, each name once. What else is known is
//! left out and named, for the audit record.

use std::collections::HashSet;

use standin_domain::contract::{Attribute, Input};
use standin_domain::facts;

use crate::json;

/// Leaves out of a completed question what is not of its type; answers the names of that, under those of whom it is about.
pub(super) fn settle(input: &mut Input) -> Vec<String> {
    let mut left_out = Vec::new();
    for (whose, facts) in [
        ("caller.", &mut input.caller.attributes),
        ("subject.", &mut input.subject.attributes),
        // Names of the edge begin with `edge.` as it is.
        ("", &mut input.attributes),
    ] {
        // The first to say a thing is the only one, also where it is left out: nobody else's word takes the place of a directory's.
        let mut said = HashSet::with_capacity(facts.len());
        facts.retain_mut(|fact| {
            if !said.insert(fact.name.clone()) {
                return false;
            }
            match read(fact) {
                Some(value) => fact.value = value,
                None => {
                    left_out.push(format!("{whose}{}", fact.name));
                    return false;
                }
            }
            true
        });
    }
    left_out
}

/// The fact as it is told. A text that is no JSON, which only an embedding program's own directory or edge could give, is of no type.
fn read(fact: &Attribute) -> Option<String> {
    let value = json::value(&fact.value).ok()?;
    let told = facts::read(&fact.name, &value)?;
    Some(if told == value { fact.value.clone() } else { told.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_first_to_say_a_thing_is_the_only_one() {
        let fact = |name: &str, value: Value| Attribute { name: name.into(), value: value.to_string() };
        let mut input = crate::approval::testing::World::user().input;
        input.subject.attributes = vec![
            fact("groups", Value::Null),
            fact("roles", json!("clerk")),
            fact("groups", json!(["staff"])),
            fact("roles", json!(["boss"])),
        ];
        assert_eq!(settle(&mut input), ["subject.groups"]);
        let told: Vec<_> = input.subject.attributes.iter().map(|fact| (&*fact.name, &*fact.value)).collect();
        assert_eq!(told, [("roles", "[\"clerk\"]")]);
    }
}
