//! Rules on regorus's interpreter: whatever fails in them is an error.

use std::sync::{Mutex, PoisonError};

use regorus::{Engine, Value};

use crate::program::Unanswered;

/// The package that asks the rules.
pub(crate) const ANSWER: &str = "__standin_answer";
/// Where it begins.
const ENTRY: &str = "data.__standin_answer.rules";

/// Policies, and what evaluates them.
#[derive(Debug)]
pub(crate) struct Interpreter {
    /// Before any question.
    ready: Engine,
    live: Mutex<Engine>,
}

impl Interpreter {
    /// Asks these rules, all in one run, so that what several of them use is evaluated once and what contradicts is seen. One rule with a
    /// comprehension for each: a rule for each costs as much as one of the policy's own.
    pub(crate) fn of(mut engine: Engine, rules: &[String]) -> anyhow::Result<Self> {
        let values: Vec<_> = rules.iter().map(|rule| format!("[{rule} | true]")).collect();
        engine.add_policy(format!("{ANSWER}.rego"), format!("package {ANSWER}\nrules := [{}]\n", values.join(", ")))?;
        engine.compile_with_entrypoint(&ENTRY.into())?;
        Ok(Self { ready: engine.clone(), live: Mutex::new(engine) })
    }

    /// The value of each rule, in their order; of one that is not defined there is none.
    pub(crate) fn run(&self, input: Value, rules: usize) -> Result<Vec<Option<Value>>, Unanswered> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.set_input(input);
        let values = live.eval_rule(ENTRY.to_owned()).inspect_err(|_| {
            // What was interrupted may have left something behind.
            *live = self.ready.clone();
        })?;
        values_of(&values, rules).ok_or(Unanswered::Incomplete)
    }
}

/// For each of the rules there is a list of its value, empty where it is not defined.
fn values_of(lists: &Value, rules: usize) -> Option<Vec<Option<Value>>> {
    let lists = lists.as_array().ok().filter(|lists| lists.len() == rules)?;
    let value = |list: &Value| list.as_array().ok().filter(|list| list.len() <= 1).map(|list| list.first().cloned());
    lists.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_value_or_none() {
        let lists = Value::from_json_str("[[true], []]").unwrap();
        assert_eq!(values_of(&lists, 2), Some(vec![Some(Value::from(true)), None]));
    }

    #[test]
    fn an_answer_that_is_not_one_list_for_each_rule_is_none() {
        for lists in ["[]", "[[true]]", "[[true], [], []]", "[[true], [1, 2]]", "[[true], 1]", "{}", "null"] {
            assert_eq!(values_of(&Value::from_json_str(lists).unwrap(), 2), None, "{lists}");
        }
        assert_eq!(values_of(&Value::Undefined, 1), None);
    }
}
