//! Small policies of everything that the language has: what `pack` takes is decided as Open Policy Agent decides it, or fails.

use regorus::Value;
use serde_json::Value as Json;
use standin_policy_engine::{Fault, Source};

use super::chance::Chance;
use super::opa::{Bundle, Outcome, ask};
use crate::check::check;
use crate::program::{Program, parse};

const SEED: u64 = 20_261_126;
const POLICIES: usize = 500;
/// The rules that are compared.
const RULES: [&str; 4] = ["allow", "deny", "max_ttl", "reasons"];

const OPERANDS: [&str; 54] = [
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
    "input.scope[0]",
    "input.chain[0]",
    "input.audience[_]",
    "input.edge[input.edge.s]",
    "input.caller.id",
    "input.subject.tenants",
    "input.subject.attributes",
    "input.subject.attributes.acr",
    "input.subject.attributes[input.edge.s]",
    "input.attributes[\"cross_tenant.from\"]",
    "data.table",
    "data.table[input.edge.s]",
    "data.list[0]",
    "data.list[_]",
    "data.list[input.edge.n]",
    "data.numbered[input.tenant]",
    "data.numbered[input.edge.n]",
    "data.nested[input.tenant].a",
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
const BODIES: [&str; 58] = [
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
    "not startswith($0, $1)",
    "not startswith(min($0), $1)",
    "not count($0) == $1",
    "not $0 - names == $1",
    "some i\n\t$0[i] == $1\n\t$2[i]",
    "some i, x in $0\n\tdata.list[i] == x",
    "some k in $0\n\tdata.table[k] == $1",
    "object.get($0, $1, $2) == $2",
    "x := $0\n\ty := $1\n\tx[y] == $2",
    "x := $0\n\tcount([1 | x := 1]) == 1\n\tx * 3 == $1",
    "x := 1\n\t[y | some x in $0; y := x + 1] == [$1]",
    "x := count($0)\n\tx + 1 == $1",
    "names < {x | some x in $0}",
    "x := {$0}\n\tx | names >= {$1}",
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

/// A part of a policy: lines of its own.
fn part(index: usize, chance: &mut Chance) -> String {
    let rule = |chance: &mut Chance, head: &str| {
        let bodies: Vec<String> = (0..=chance.below(2)).map(|_| fill(chance.of_these::<&str>(&BODIES), chance)).collect();
        format!("{head} if {{\n\t{}\n}}\n", bodies.join("\n\t"))
    };
    let heads = [
        "allow",
        "deny contains \"p\"",
        "deny contains \"q\"",
        "reasons contains \"r\"",
        "partial contains input.edge.s",
        "names contains \"a\"",
    ];
    let helpers = [
        "chosen := $0 if { $1 } else := $2\n",
        "f(x) := $0 if x == $1\n",
        "f(x) := y if { y := x; x != $2 }\n",
        "g(1) := \"one\"\ng(x) := \"other\" if x != 1\n",
        "every_one(x) if { every y in x { y == $0 } }\n",
        "obj[k] := v if { some k, v in $1 }\n",
        // A rule that nothing uses is a fault.
        "reasons contains \"used\" if { false; helper; helper2; chosen; partial; names; obj; f(1); g(1); every_one([]) }\nhelper2 if false\n",
        "package standin\n",
    ];
    match index.checked_sub(heads.len()) {
        None => rule(chance, heads[index]),
        Some(which @ (0 | 1)) => {
            let head = fill(["deny contains $0", "max_ttl := $0"][which], chance);
            rule(chance, &head)
        }
        Some(2) => fill(chance.of_these::<&str>(&HELPERS), chance) + "\n",
        Some(further) => fill(helpers[further - 3], chance),
    }
}

const PARTS: usize = 17;

/// A policy that `pack` takes: parts that it does not are made anew. With how many were made.
fn policy(chance: &mut Chance, data: &Value) -> (String, Packed, usize) {
    let mut parts: Vec<String> = (0..PARTS).rev().map(|index| part(index, chance)).collect();
    let mut made = PARTS;
    loop {
        let text = parts.concat();
        let faults = match packed(&text, data) {
            Ok(packed) => return (text, packed, made),
            Err(faults) => faults,
        };
        let mut line = 1;
        for (index, part_of_it) in parts.iter_mut().enumerate() {
            let lines = u32::try_from(part_of_it.lines().count()).unwrap();
            if faults.iter().any(|fault| (line..line + lines).contains(&fault.line)) {
                *part_of_it = part(PARTS - 1 - index, chance);
                made += 1;
            }
            line += lines;
        }
        assert!(made < 10_000, "{faults:#?}\n{text}");
    }
}

const DATA: &str = r#"{"table": {"a": 1, "b": "a"}, "list": ["a", 1], "numbered": {"1": "a", "acme": 1}, "nested": {"a": {"a": 1}, "acme": {"a": "a"}}}"#;

const INPUTS: [&str; 4] = [
    r#"{"caller": {"kind": "client", "id": "a", "tenants": ["a"], "provisional": false, "attributes": {}}, "subject": {"kind": "user", "id": "a", "tenants": ["a", "acme"], "provisional": false, "attributes": {"acr": "a", "a": 1, "b": "a"}}, "chain": ["a"], "audience": ["a"], "attributes": {"cross_tenant.from": "a"}, "tenant": "a", "scope": ["a", "b"], "ttl": 1, "now": 5, "flow": "local", "step": "a", "edge": {"one": "a", "a": 1, "s": "a", "n": 1, "f": 0.5, "z": 1.0, "b": false, "list": [1, "a", null], "obj": {"a": 1, "b": "a"}, "nil": null, "empty": []}}"#,
    r#"{"caller": {"kind": "client", "id": "acme", "tenants": [], "provisional": true, "attributes": {"n": 1}}, "subject": {"kind": "host", "id": "1", "tenants": [], "provisional": true, "attributes": {"b": [1]}}, "chain": [], "audience": ["a", "b"], "attributes": {}, "tenant": "acme", "scope": [], "ttl": 300, "now": 5, "flow": "a", "edge": {"one": 1, "s": "b", "n": 0, "f": 2, "z": 0, "b": true, "list": [false], "obj": {"b": [1], "1": "a"}, "nil": {}, "empty": {}}}"#,
    r#"{"caller": {"kind": "client", "id": "", "tenants": ["1"], "provisional": false, "attributes": {"a": "a"}}, "subject": {"kind": "client", "id": "a", "tenants": ["a"], "provisional": false, "attributes": {"1": 1, "acr": "1"}}, "chain": ["b", "a"], "audience": [], "attributes": {"cross_tenant.from": "1", "x": [1]}, "tenant": "", "scope": ["a", "a"], "ttl": 2, "now": 5, "flow": "none", "edge": {"one": null, "s": 1, "n": "1", "f": [1, "a"], "z": -1, "b": null, "list": {"0": 1, "a": "a"}, "obj": ["a"], "empty": ""}}"#,
    r#"{"caller": {"kind": "client", "id": "a", "tenants": ["a"], "provisional": false, "attributes": {}}, "subject": {"kind": "user", "id": "b", "tenants": [], "provisional": false, "attributes": {}}, "chain": [], "audience": [], "attributes": {}, "tenant": "1", "flow": "local", "scope": ["1"], "ttl": 1, "now": 5, "edge": {}}"#,
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

type Packed = (Program, Vec<&'static str>);

fn packed(content: &str, data: &Value) -> Result<Packed, Vec<Fault>> {
    let source = Source { name: "p.rego".into(), content: content.into() };
    let parsed = parse(&[&source])?;
    let checked = check(&parsed.modules, &[&source], data)?;
    let program = Program::of(parsed, &checked.declared, data.clone());
    Ok((program.map_err(|why| vec![crate::fault::of(&[&source], &why)])?, checked.declared))
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
    let data = Value::from_json_str(DATA).unwrap();
    let (mut made, mut taken) = (0, Vec::new());
    for _ in 0..POLICIES {
        let (text, packed, parts) = policy(&mut chance, &data);
        made += parts;
        taken.push((text, packed));
    }
    let bundle = |text: &str| Bundle {
        modules: vec![("p.rego".into(), text.to_owned())],
        data: DATA.into(),
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
        "seed {SEED}: {POLICIES} policies of {made} parts that were made, {uncompiled} of them not compiled by OPA; {asked} requests, {failed} failed here, \
         {} rules decided otherwise",
        wrong.len()
    );
    assert!(asked - failed >= 150, "hardly anything was compared");
    assert!(wrong.is_empty(), "{}", wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n----\n"));
}
