//! The machine runs only what cannot fail, and says what the interpreter says.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use regorus::Value;
use rstest::rstest;
use standin_policy_engine::Source;

use crate::interpreter::Interpreter;
use crate::machine::{Machine, program};
use crate::program::{Parsed, parse};

const RULES: [&str; 5] =
    ["data.standin.allow", "data.standin.deny", "data.standin.max_ttl", "data.standin.scope", "data.standin.step_up"];
/// What stands in conditions, values and reasons.
const OPERANDS: [&str; 35] = [
    "input.tenant",
    "input.caller.id",
    "input.caller.tenants",
    "input.caller",
    "input.subject.provisional",
    "input.subject.attributes.protected",
    "input.subject.attributes.acr",
    "input.subject.attributes[\"two words\"]",
    "input.subject.attributes[input.tenant]",
    "input.edge.device",
    "input.edge.device.managed",
    "input.edge.device[input.edge.member].deeper",
    "input.edge.nothing.there",
    "input.scope",
    "input.scope[0]",
    "input.scope[7]",
    "input.ttl",
    "input.step",
    "input.tenant[0]",
    "data.teams",
    "data.teams.red",
    "data.teams[\"acme\"].red",
    "data.lib.red",
    "data.absent.entirely",
    "known",
    "names",
    "perhaps",
    "chosen",
    "true",
    "false",
    "null",
    "\"acme\"",
    "5",
    "[\"acme\", input.step]",
    "{\"acme\", \"globex\", input.tenant}",
];

fn operand() -> impl Strategy<Value = &'static str> {
    select(&OPERANDS[..])
}

fn condition() -> impl Strategy<Value = String> {
    let two = || (operand(), operand());
    prop_oneof![
        operand().prop_map(str::to_owned),
        operand().prop_map(|one| format!("not {one}")),
        two().prop_map(|(one, other)| format!("{one} == {other}")),
        two().prop_map(|(one, other)| format!("{one} != {other}")),
        two().prop_map(|(one, other)| format!("{one} in {other}")),
        two().prop_map(|(one, other)| format!("not {one} == {other}")),
        two().prop_map(|(one, other)| format!("not {one} in {other}")),
        (two(), operand()).prop_map(|((one, other), third)| format!("{third} == (({one} in {other}) == true)")),
        two().prop_map(|(one, other)| format!("{{\"k\": {one}, \"acme\": {other}}} == input.edge.device")),
    ]
}

fn body() -> impl Strategy<Value = String> {
    prop::collection::vec(condition(), 1..4).prop_map(|conditions| format!("{{\n\t{}\n}}", conditions.join("\n\t")))
}

/// A rule with something that is not plain.
fn odd() -> impl Strategy<Value = String> {
    let two = || (operand(), operand());
    let conditions = prop_oneof![
        two().prop_map(|(one, other)| format!("local := {one}\n\tnot local == {other}")),
        operand().prop_map(|one| format!("_ := {one}")),
        two().prop_map(|(one, other)| format!("{one}, {other} in input.edge.device")),
        two().prop_map(|(one, other)| format!("not {one}, {other} in input.edge.device")),
        two().prop_map(|(one, other)| format!("not {{\"k\": _, \"acme\": {one}}} = {other}")),
        two().prop_map(|(one, other)| format!("{{\"k\": {one}, {other}: 1}} == input.edge.device")),
        two().prop_map(|(one, other)| format!("{{input.tenant: {one}, \"acme\": {other}}}.acme == {one}")),
        operand().prop_map(|one| format!("data.lib[input.tenant].blocked == {one}")),
        operand().prop_map(|one| format!("data.numbers[input.ttl] == {one}")),
        operand().prop_map(|one| format!("roles.globex == {one}")),
        operand().prop_map(|one| format!("\"admin\" in roles[{one}]")),
        operand().prop_map(|one| format!("some {one} in input.scope")),
        operand().prop_map(|one| format!("listed == {{{one}}}")),
        two().prop_map(|(one, other)| format!("chain({one}) == {other}")),
    ];
    (conditions, any::<bool>()).prop_map(|(condition, denies)| {
        let head = if denies { "deny contains \"odd\"" } else { "allow" };
        format!(
            "{head} if {{\n\t{condition}\n}}\nroles[input.tenant] contains \"admin\"\nroles.red.deep := 1\n\
             default listed := {{x | some x in input.scope}}\nchain(x) := input.tenant if x\n"
        )
    })
}

/// Plain policies and an odd rule, of whose helpers some are left out.
fn with_odd() -> impl Strategy<Value = String> {
    (policies(), odd(), any::<[bool; 4]>()).prop_map(|(policies, odd, kept)| {
        let helpers = ["roles[", "roles.red", "default listed", "chain("];
        let stays = |line: &&str| helpers.iter().zip(kept).all(|(helper, kept)| kept || !line.starts_with(helper));
        policies + &odd.lines().filter(stays).map(|line| format!("{line}\n")).collect::<String>()
    })
}

/// Rules of which those in front are used by those behind.
fn policies() -> impl Strategy<Value = String> {
    let asked = prop_oneof![
        body().prop_map(|body| format!("allow if {body}\n")),
        (operand(), body()).prop_map(|(text, body)| format!("deny contains {{\"rule\": \"r\", \"text\": {text}}} if {body}\n")),
        (operand(), body()).prop_map(|(text, body)| format!("deny contains {text} if {body}\n")),
    ];
    let helpers = (operand(), body(), operand(), body(), body(), body(), body());
    let single = (operand(), body(), operand());
    (helpers, single, prop::collection::vec(asked, 1..7)).prop_map(|(helpers, (ttl, stepping, acr), asked)| {
        let (known, knowing, name, naming, hoping, other, choosing) = helpers;
        let own = |text: &str, from: usize| {
            let names = ["known", "names", "perhaps", "chosen"];
            names.iter().skip(from).fold(text.to_owned(), |text, name| text.replace(name, "input.step"))
        };
        format!(
            "package standin\nknown := {} if {}\nnames contains {} if {}\nnames contains \"acme\"\n\
             default perhaps := false\nperhaps if {}\nperhaps if {}\nchosen if {}\n\
             max_ttl := {ttl}\nstep_up := {acr} if {stepping}\nscope := [\"a\", {ttl}]\nallow if false\n{}",
            own(known, 0),
            own(&knowing, 0),
            own(name, 1),
            own(&naming, 1),
            own(&hoping, 2),
            own(&other, 2),
            own(&choosing, 3),
            asked.concat()
        )
    })
}

/// Inputs of every sort, also such as the host never asks.
fn input() -> impl Strategy<Value = String> {
    let scalar =
        || select(&["\"acme\"", "\"globex\"", "true", "false", "null", "5", "\"red\"", "[\"acme\"]", "{\"deeper\": true}"][..]);
    let maybe = move || prop::option::of(scalar());
    (scalar(), maybe(), maybe(), maybe(), maybe(), maybe(), any::<Index>()).prop_map(
        |(tenant, protected, acr, managed, member, step, cut)| {
            let with = |name: &str, value: Option<&str>| value.map(|value| format!(", \"{name}\": {value}")).unwrap_or_default();
            let scope = ["[]", "[\"acme\"]", "[\"acme\", true]"].get(cut.index(3)).copied().unwrap_or_default();
            format!(
                "{{\"tenant\": {tenant}, \"ttl\": 5, \"scope\": {scope}, \"caller\": {{\"id\": \"acme\", \"tenants\": [\"acme\", \"red\"]}}, \
                 \"subject\": {{\"provisional\": false, \"attributes\": {{\"two words\": 5{}{}}}}}, \
                 \"edge\": {{\"device\": {{\"k\": true, \"acme\": 1{}}}{}}}{}}}",
                with("protected", protected),
                with("acr", acr),
                with("managed", managed),
                with("member", member),
                with("step", step),
            )
        },
    )
}

fn parsed(content: &str) -> (Parsed, Value) {
    let data = "{\"teams\": {\"red\": [\"acme\"], \"acme\": {\"red\": true}}, \"numbers\": {\"5\": true}}";
    let data = Value::from_json_str(data).unwrap();
    let lib = "package lib\nred := [\"acme\"]\nlocal.blocked := true\nnames contains input.tenant\n";
    let sources = [("p.rego", content), ("lib.rego", lib)].map(|(name, text)| Source { name: name.into(), content: text.into() });
    let mut parsed = parse(&sources.each_ref()).unwrap_or_else(|faults| panic!("{faults:#?}\n{content}"));
    // Whether the rest of a bundle is plain is another question.
    parsed.modules.truncate(1);
    parsed.engine.add_data(data.clone()).unwrap();
    (parsed, data)
}

/// The machine, or none; an error where the policy does not compile.
fn compiled(content: &str, rules: &[String]) -> anyhow::Result<Option<Machine>> {
    let (Parsed { mut engine, modules }, data) = parsed(content);
    Ok(Machine::of(&modules, &engine.compile_with_entrypoint(&rules[0].clone().into())?, rules, data))
}

fn machine(content: &str, rules: &[String]) -> Option<Machine> {
    compiled(content, rules).unwrap_or_else(|why| panic!("{why}\n{content}"))
}

fn asked(content: &str) -> Vec<String> {
    let there = |rule: &&str| *rule != "data.standin.deny" || content.contains("deny");
    RULES.into_iter().filter(there).map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_the_interpreter_says(content in policies(), inputs in prop::collection::vec(input(), 4)) {
        let rules = asked(&content);
        let Some(machine) = machine(&content, &rules) else { panic!("no program for the machine\n{content}") };
        let interpreter = Interpreter::of(parsed(&content).0.engine, &rules).unwrap();
        for text in inputs {
            let input = Value::from_json_str(&text).unwrap();
            let expected = interpreter.run(input.clone(), rules.len()).unwrap_or_else(|why| panic!("{why}\n{content}\n{text}"));
            prop_assert_eq!(machine.run(input, rules.len()).unwrap(), expected, "{}\n{}", content, text);
        }
    }

    /// Whatever it takes on, it takes as the interpreter does: what is not plain it hardly ever takes, and should `plain` ever let more
    /// through, this is what notices.
    #[test]
    fn it_takes_nothing_otherwise_than_the_interpreter(content in with_odd(), inputs in prop::collection::vec(input(), 4)) {
        let found = parses(&content).then(|| compiled(&content, &asked(&content)).ok()).flatten();
        let Some(machine) = found.flatten() else { return Ok(()) };
        let rules = asked(&content);
        let interpreter = Interpreter::of(parsed(&content).0.engine, &rules).unwrap();
        for text in inputs {
            let input = Value::from_json_str(&text).unwrap();
            let expected = interpreter.run(input.clone(), rules.len()).ok();
            prop_assert_eq!(machine.run(input, rules.len()).ok(), expected, "{}\n{}", content, text);
        }
    }
}

fn parses(content: &str) -> bool {
    parse(&[&Source { name: "p.rego".into(), content: content.into() }]).is_ok()
}

#[rstest]
#[case::name("allow if { x := input.step; not x == \"evil\" }")]
#[case::name_without_use("allow if _ := input.step")]
#[case::unification("allow if x = input.step")]
#[case::pattern("allow if not {\"a\": _} = input.edge")]
#[case::key("allow if \"role\", \"admin\" in input.edge")]
#[case::default_of_input("allow if x\ndefault x := [y | some y in input.scope]")]
#[case::default_of_a_rule("allow if x == 1\ndefault x := y\ny := 1")]
#[case::dotted("allow if r == false\nr.ok := false")]
#[case::dotted_set("allow if \"admin\" in r\nr[input.tenant] contains \"admin\"")]
#[case::dotted_default("allow if r.a\ndefault r.a := true")]
#[case::computed_place("allow if not data.lib[input.flow].blocked")]
#[case::raw_place("allow if not data.lib[`local`].blocked")]
#[case::number_in_data("allow if data.numbers[5]")]
#[case::mixed_keys("allow if {input.tenant: \"a\", \"b\": \"c\"} == input.edge")]
#[case::same_keys("allow if {\"a\": 1, \"a\": 2} == input.edge")]
#[case::member_of_a_literal("allow if {\"a\": true}.a")]
#[case::import("import data.lib.red\nallow if input.tenant in red")]
#[case::otherwise("allow if input.step else := input.tenant == \"a\"")]
#[case::builtin("allow if startswith(input.tenant, \"a\")")]
#[case::arithmetic("allow if input.ttl + 1 == 2")]
#[case::order("allow if input.ttl < 5")]
#[case::function("allow if f(1)\nf(x) if x == 1")]
#[case::two_values("allow if x == 1\nx := 1 if input.step\nx := 2 if input.tenant")]
#[case::two_values_of_input("allow := input.subject.provisional\nallow := input.edge.a")]
#[case::object("allow if x.a\nx[y] := true if y := input.tenant")]
#[case::some("allow if some x in input.scope")]
#[case::every("allow if every x in input.scope { x == \"a\" }")]
#[case::any_element("allow if input.scope[_] == \"a\"")]
#[case::set_of("allow if {x | some x in input.scope} == {\"a\"}")]
#[case::itself("allow if x\nx if not y\ny if x")]
#[case::whole_package("allow if data.standin[input.tenant]\nx := 1")]
fn what_can_fail_is_left_to_the_interpreter(#[case] rules: &str) {
    assert!(machine(&format!("package standin\n{rules}"), &["data.standin.allow".to_owned()]).is_none());
}

/// The program says so too, for what `plain` does not look at.
#[rstest]
#[case::builtin("allow if startswith(input.tenant, \"a\")")]
#[case::arithmetic("allow if input.ttl + 1 == 2")]
#[case::order("allow if input.ttl < 5")]
#[case::function("allow if f(1)\nf(x) if x == 1")]
#[case::two_values("allow if x == 1\nx := 1 if input.step\nx := 2 if input.tenant")]
#[case::object("allow if x.a\nx[y] := true if y := input.tenant")]
#[case::some("allow if some x in input.scope")]
#[case::otherwise("allow if input.step else := input.tenant == \"a\"")]
#[case::itself("allow if x\nx if not y\ny if x")]
fn a_program_that_can_fail_is_no_program_for_the_machine(#[case] rules: &str) {
    let (Parsed { mut engine, .. }, _) = parsed(&format!("package standin\n{rules}"));
    let policy = engine.compile_with_entrypoint(&"data.standin.allow".to_owned().into()).unwrap();
    assert!(program(&policy, &["data.standin.allow".to_owned()]).is_none());
}

#[test]
fn what_cannot_fail_is_run_by_the_machine() {
    let policies = "package standin\nallow if { input.caller.id == \"a\"; people }\nallow if input.caller.id == \"b\"\n\
                    people if { input.tenant in input.caller.tenants; not input.subject.provisional }\n\
                    deny contains {\"rule\": \"protected\"} if input.subject.attributes.protected\n";
    assert!(machine(policies, &["data.standin.allow".to_owned(), "data.standin.deny".to_owned()]).is_some());
}
