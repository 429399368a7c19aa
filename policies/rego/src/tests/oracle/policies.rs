//! Small policies of everything that the language has: what `pack` takes is decided as Open Policy Agent decides it, or fails.

use regorus::Value;
use serde_json::Value as Json;
use standin_policy_engine::Source;

use super::chance::Chance;
use super::opa::{Bundle, Outcome, ask};
use crate::check::check;
use crate::program::{Program, parse};

const SEED: u64 = 20_261_126;
const POLICIES: usize = 400;
/// The rules that are compared.
const RULES: [&str; 4] = ["allow", "deny", "max_ttl", "reasons"];

const OPERANDS: [&str; 36] = [
    "input.tenant",
    "input.tenant",
    "input.flow",
    "input.edge.s",
    "input.edge.s",
    "input.edge.n",
    "input.edge.n",
    "input.edge.f",
    "input.edge.z",
    "input.edge.b",
    "input.edge.list",
    "input.edge.list",
    "input.edge.list[0]",
    "input.edge.list[_]",
    "input.edge.list[input.edge.n]",
    "input.edge.obj",
    "input.edge.obj.a",
    "input.edge.obj[input.edge.s]",
    "input.edge.obj[_]",
    "input.edge.none",
    "input.edge.none.there",
    "input.edge.nil",
    "input.edge.empty",
    "input.edge",
    "input.scope",
    "input.ttl",
    "input.now",
    "input.step",
    "input.edge.one",
    "input.edge.one",
    "1",
    "1.0",
    "\"a\"",
    "`a`",
    "[1, \"a\"]",
    "{\"a\", 1}",
];

/// `$0` to `$2` are operands.
const BODIES: [&str; 44] = [
    "$0",
    "not $0",
    "$0 == $1",
    "$0 != $1",
    "not $0 == $1",
    "not $0 != $1",
    "$0 = $1",
    "$0 < $1",
    "$0 >= $1",
    "not $0 > $1",
    "$0 in $1",
    "not $0 in $1",
    "some x in $0\n\tx == $1",
    "some x in $0\n\tnot x == $1",
    "some i, x in $0\n\ti == $1",
    "some i\n\t$0[i] == $1",
    "every x in $0 { x == $1 }",
    "every x in $0 { not x == $1 }",
    "not every_one($0)",
    "x := $0\n\tx == $1",
    "x := $0\n\tnot x",
    "[x, y] := [$0, $1]\n\tx == y",
    "[x, 1] = $0\n\tx == $1",
    "count([x | some x in $0; x != $1]) == $2",
    "count({x | some x in $0}) > 1",
    "{x | some x in $0} == {$1}",
    "{x: y | some y in $0; x := y} == $1",
    "[x | some x in $0] == $1",
    "f($0) == $1",
    "not f($0)",
    "f($0)",
    "g($0) == $1",
    "helper == $0",
    "not helper",
    "chosen == $0",
    "chosen != $0",
    "partial[$0]",
    "not partial[$0]",
    "$0 in names",
    "obj[$0] == $1",
    "startswith($0, $1)",
    "sprintf(\"%v\", [$0]) == $1",
    "count($0) == $1",
    "is_string($0)\n\tnot $0 == $1",
];

const HELPERS: [&str; 18] = [
    "helper := $0 if $1",
    "helper := $0 if $1 == $2\nhelper := $1 if $2 == $0",
    "helper := $0",
    "default helper := false\nhelper if $0 == $1",
    "helper if $0\nhelper if $1",
    "helper := $0 if { not $1 } else := $2",
    "helper := $0 if { $1 == $2 } else := $1 if { $2 }",
    "helper := x if { some x in $0 }",
    "helper := [x | some x in $0; x != $1]",
    "helper := {x | some x in $0}",
    "helper if helper2\nhelper2 if not $0 == $1",
    "helper := $0[_]",
    "helper.a := $0 if $1",
    "helper if not chosen",
    "helper := {\"a\": $0, \"b\": $1}",
    "default helper := {\"a\"}\nhelper := $0 if $1",
    "helper := `$0\\` if $1",
    "helper := \"\\u0061\\t\\\"\" if $0",
];

fn fill(text: &str, chance: &mut Chance) -> String {
    (0..3).fold(text.to_owned(), |text, index| text.replace(&format!("${index}"), chance.of_these::<&str>(&OPERANDS)))
}

fn policy(chance: &mut Chance) -> String {
    let rule = |chance: &mut Chance, head: &str| {
        let bodies: Vec<String> = (0..=chance.below(2)).map(|_| fill(chance.of_these::<&str>(&BODIES), chance)).collect();
        format!("{head} if {{\n\t{}\n}}\n", bodies.join("\n\t"))
    };
    let mut policy = String::from("package standin\n");
    for head in [
        "allow",
        "deny contains \"p\"",
        "deny contains \"q\"",
        "reasons contains \"r\"",
        "partial contains input.edge.s",
        "names contains \"a\"",
    ] {
        let rule = rule(chance, head);
        policy += &rule;
    }
    policy += &format!("deny contains {} if {{\n\t{}\n}}\n", fill("$0", chance), fill(chance.of_these::<&str>(&BODIES), chance));
    policy += &format!("max_ttl := {} if {{\n\t{}\n}}\n", fill("$0", chance), fill(chance.of_these::<&str>(&BODIES), chance));
    // A rule that nothing uses is a fault.
    policy += "reasons contains \"used\" if { false; helper; helper2; chosen; partial; names; obj; f(1); g(1); every_one([]) }\nhelper2 if false\n";
    policy += &fill(chance.of_these::<&str>(&HELPERS), chance);
    policy += &fill(
        "\nchosen := $0 if { $1 } else := $2\nf(x) := $0 if x == $1\nf(x) := y if { y := x; x != $2 }\n\
         g(1) := \"one\"\ng(x) := \"other\" if x != 1\nevery_one(x) if { every y in x { y == $0 } }\n\
         obj[k] := v if { some k, v in $1 }\n",
        chance,
    );
    policy
}

const INPUTS: [&str; 4] = [
    r#"{"tenant": "a", "scope": ["a", "b"], "ttl": 1, "now": 5, "flow": "local", "step": "a", "edge": {"one": "a", "s": "a", "n": 1, "f": 0.5, "z": 1.0, "b": false, "list": [1, "a", null], "obj": {"a": 1, "b": "a"}, "nil": null, "empty": []}}"#,
    r#"{"tenant": "acme", "scope": [], "ttl": 300, "now": 5, "flow": "a", "edge": {"one": 1, "s": "b", "n": 0, "f": 2, "z": 0, "b": true, "list": [false], "obj": {"b": [1], "1": "a"}, "nil": {}, "empty": {}}}"#,
    r#"{"tenant": "", "scope": ["a", "a"], "ttl": 2, "now": 5, "flow": "none", "edge": {"one": null, "s": 1, "n": "1", "f": [1, "a"], "z": -1, "b": null, "list": {"0": 1, "a": "a"}, "obj": ["a"], "empty": ""}}"#,
    r#"{"tenant": "1", "flow": "local", "scope": ["1"], "ttl": 1, "now": 5, "edge": {}}"#,
];

/// Whichever order things were put in; without the difference of `1` and `1.0`, which are equal.
fn plain(value: &Json) -> String {
    match value {
        Json::Array(items) => {
            let mut items: Vec<_> = items.iter().map(plain).collect();
            items.sort();
            items.dedup();
            format!("[{}]", items.join(","))
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| format!("{name:?}:{}", plain(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        Json::Number(number) => number.as_f64().unwrap().to_string(),
        Json::Null | Json::Bool(_) | Json::String(_) => value.to_string(),
    }
}

fn packed(content: &str) -> Option<(Program, Vec<&'static str>)> {
    let source = Source { name: "p.rego".into(), content: content.into() };
    let parsed = parse(&[&source]).ok()?;
    let checked = check(&parsed.modules, &[&source], &Value::new_object()).ok()?;
    Some((Program::of(parsed, &checked.declared, Value::new_object()).ok()?, checked.declared))
}

/// What one policy comes to for one request, where both have an answer.
fn compare(text: &str, values: &[Option<Value>], declared: &[&str], answers: &[Outcome]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (rule, theirs) in RULES.iter().zip(answers) {
        let place = declared.iter().position(|known| known == rule).unwrap();
        let ours = values[place].as_ref().map(|value| plain(&serde_json::from_str(&value.to_json_str().unwrap()).unwrap()));
        let theirs = match theirs {
            Outcome::Value(value) => Some(plain(value)),
            Outcome::Undefined => None,
            // Here builtins fail loudly in OPA too, and which of them is come to first is nobody's promise.
            Outcome::Error(why) if why.contains("eval_builtin_error") || why.contains("eval_type_error") => continue,
            Outcome::Error(why) => Some(format!("error {why}")),
        };
        if ours != theirs {
            wrong.push(format!("{rule}: here {ours:?}, in OPA {theirs:?}\n{text}"));
        }
    }
    wrong
}

/// A rule that has a value on one side and none on the other, or another value, could be a denial that is lost.
#[test]
fn what_is_packed_is_decided_as_opa_decides_it() {
    let mut chance = Chance::of(SEED, "policies");
    let (mut written, mut taken) = (0, Vec::new());
    while taken.len() < POLICIES {
        written += 1;
        let text = policy(&mut chance);
        taken.extend(packed(&text).map(|packed| (text, packed)));
    }
    let bundle = |text: &str| Bundle {
        modules: vec![("p.rego".into(), text.to_owned())],
        data: "{}".into(),
        queries: RULES.iter().map(|rule| format!("standin.{rule}")).collect(),
        inputs: INPUTS.iter().map(|input| (*input).to_owned()).collect(),
    };
    let answers = ask(&taken.iter().map(|(text, _)| bundle(text)).collect::<Vec<_>>());
    let (mut uncompiled, mut asked, mut failed, mut wrong) = (0, 0, 0, Vec::new());
    for ((text, (program, declared)), answers) in taken.iter().zip(&answers) {
        // What Open Policy Agent does not compile, nobody has written for it.
        if matches!(&answers[0][0], Outcome::Error(why) if why.contains("rego_")) {
            uncompiled += 1;
            continue;
        }
        for (input, answers) in INPUTS.iter().zip(answers) {
            asked += 1;
            match program.run(Value::from_json_str(input).unwrap(), declared.len()) {
                Ok(values) => wrong.extend(compare(&format!("{input}\n{text}"), &values, declared, answers)),
                Err(_) => failed += 1,
            }
        }
    }
    println!(
        "seed {SEED}: {written} policies, {POLICIES} packed, {uncompiled} of them not compiled by OPA; {asked} requests, {failed} failed here, \
         {} rules decided otherwise",
        wrong.len()
    );
    assert!(asked - failed >= 150, "hardly anything was compared");
    assert!(wrong.is_empty(), "{}", wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n----\n"));
}
