//! Every letter in the other case, of whichever version of Unicode each of the two knows.

use regorus::Value;

use super::opa::{Bundle, Outcome, ask};
use crate::builtins::taken;

#[test]
fn every_letter_has_the_case_that_opa_gives_it() {
    let all: String = ('\0'..=char::MAX).collect();
    let policy = "package peer\nlower_case := lower(input.all)\nupper_case := upper(input.all)\n";
    let answers = ask(&[Bundle {
        modules: vec![("peer.rego".into(), policy.into())],
        data: "{}".into(),
        queries: ["lower", "upper"].map(|builtin| format!("peer.{builtin}_case")).into(),
        inputs: vec![serde_json::json!({ "all": all }).to_string()],
    }]);
    for (builtin, answer) in ["lower", "upper"].into_iter().zip(&answers[0][0]) {
        let Outcome::Value(theirs) = answer else { panic!("{answer:?}") };
        let theirs = theirs.as_str().unwrap();
        assert_eq!(theirs.chars().count(), all.chars().count());
        let (mut cased, mut refused, mut differ) = (0, 0, Vec::new());
        for (letter, there) in all.chars().zip(theirs.chars()) {
            let text = Value::from(letter.to_string());
            if letter == there && !letter.is_lowercase() && !letter.is_uppercase() {
                continue;
            }
            cased += 1;
            match taken(builtin).unwrap().call(&[text]) {
                Ok(here) if here == Value::from(there.to_string()) => {}
                Ok(here) => differ.push(format!("{builtin} of {letter:?}: here {here}, in OPA {there:?}")),
                Err(_) => refused += 1,
            }
        }
        println!("{builtin}: {cased} letters, {refused} refused");
        assert!(differ.is_empty(), "{}", differ.join("\n"));
        assert!(cased > 4_000 && refused < 300, "{cased} letters, {refused} refused");
    }
}
