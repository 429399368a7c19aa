//! Computed parts of references: the engine has 32 bits, and OPA its own way with `data`.

use rstest::rstest;
use standin_policy_engine::{Fault, PolicyEngine as _, Source};

use crate::Engine;

const DATA: &str = r#"{
  "grants": ["a", "b"],
  "teams": { "acme": { "roles": ["x"], "limits": { "a": 1 } }, "globex": { "roles": [], "limits": {} } },
  "accounts": { "1": "one", "two": "two" },
  "order": [1, 0]
}"#;
const LIB: &str = "package lib\nlist := [\"a\"]\nnames contains \"a\"\n";

fn faults(rules: &str) -> Vec<Fault> {
    let policy = format!("package standin\nimport data.grants as g\nimport data.lib.list as l\nallow if g[0] == l[0]\n{rules}\n");
    let sources = [("a.rego", policy.as_str()), ("data.json", DATA), ("lib.rego", LIB)];
    let sources = sources.map(|(name, content)| Source { name: name.into(), content: content.into() });
    Engine::load(&sources).err().unwrap_or_default()
}

#[rstest]
#[case::data("deny contains 1 if data.grants[input.edge.n]", 32, "in `data` OPA finds")]
#[case::import("deny contains 1 if g[input.edge.n]", 22, "in `data` OPA finds")]
#[case::text("deny contains 1 if data.grants[input.tenant]", 32, "in `data` OPA finds")]
#[case::text_that_is_written("deny contains 1 if data.grants[\"0\"]", 33, "in `data` OPA finds")]
#[case::below_a_name("deny contains 1 if data.teams[input.tenant].roles[input.edge.n]", 51, "in `data` OPA finds")]
#[case::name_like_a_number("deny contains 1 if data.accounts[input.edge.n]", 34, "in `data` OPA finds")]
#[case::written_name_like_a_number("deny contains 1 if data.accounts[1]", 34, "in `data` OPA finds")]
#[case::places_for_names("deny contains 1 if { some i, x in input.edge.l; data.accounts[i] == x }", 63, "in `data` OPA finds")]
#[case::loop_through_both("deny contains 1 if { some i; input.edge.l[i]; data.grants[i] }", 59, "in `data` OPA finds")]
#[case::rule("deny contains 1 if data.lib.list[input.edge.n]", 34, "a number finds a member of a rule")]
#[case::own_rule("deny contains 1 if own[input.edge.n]\nown := [1]", 24, "no place in a list")]
#[case::rule_by_import("deny contains 1 if l[input.edge.n]", 22, "no place in a list")]
#[case::fact("deny contains 1 if input.edge.l[input.edge.n]", 33, "no place in a list")]
#[case::known_list("deny contains 1 if input.scope[input.edge.n]", 32, "no place in a list")]
#[case::name("deny contains 1 if { n := input.edge.n; input.scope[n] }", 53, "no place in a list")]
#[case::name_that_is_equal("deny contains 1 if { input.scope[n]; n = input.edge.n }", 34, "no place in a list")]
#[case::name_of_two(
    "deny contains 1 if { [1 | n := 1; input.scope[n]] == [1 | n := input.edge.n; n == 1] }",
    47,
    "no place in a list"
)]
#[case::element("deny contains 1 if { some n in input.edge.l; input.scope[n] }", 58, "no place in a list")]
#[case::domain("deny contains 1 if { every n in input.edge.l { input.scope[n] } }", 60, "no place in a list")]
#[case::key("deny contains 1 if { some n, _ in own; input.scope[n] }\nown[input.edge.n] := 1", 52, "no place in a list")]
#[case::set("deny contains 1 if { some n; own[n]; input.scope[n] }\nown contains input.edge.n", 50, "no place in a list")]
#[case::pattern("deny contains 1 if { [n, _] := input.edge.l; input.scope[n] }", 58, "no place in a list")]
#[case::walked("deny contains 1 if { walk(input.edge, [_, n]); input.scope[n] }", 60, "no place in a list")]
#[case::argument("deny contains 1 if f(1)\nf(n) if input.scope[n]", 21, "no place in a list")]
#[case::computed("deny contains 1 if input.scope[input.ttl * 99999999]", 32, "no place in a list")]
#[case::read("deny contains 1 if input.scope[to_number(input.edge.n)]", 32, "no place in a list")]
#[case::written("deny contains 1 if input.scope[4294967296]", 32, "no place in a list")]
#[case::table("deny contains 1 if { t := data.grants; t[input.edge.n] }", 42, "no place in a list")]
fn what_could_find_something_else_is_located(#[case] rules: &str, #[case] column: u32, #[case] says: &str) {
    let found = faults(rules);
    assert!(found.len() == 1 && found[0].message.contains(says), "{found:#?}");
    assert_eq!(found[0].column, column, "{found:#?}");
}

#[rstest]
#[case::places("input.scope[0] == data.grants[1]")]
#[case::loops("some i; input.edge.l[i] == 1; input.edge.l[i] != input.edge.m[_]")]
#[case::loops_alike("some i; input.edge.l[i] == input.edge.m[i]")]
#[case::loops_through_data("some i; data.teams[i].roles[_] == input.tenant; data.teams[i].limits.a == 1")]
#[case::tables("data.teams[input.edge.team].limits[input.edge.kind] > 1")]
#[case::names("data.accounts[input.tenant]; input.edge.l[input.tenant]; data.accounts[lower(input.step)]")]
#[case::tables_by_name("team := data.teams[input.edge.team]; team.limits[input.edge.kind]")]
#[case::facts("some k in input.edge.keys; input.edge[k]; input.subject.attributes[k]")]
#[case::objects("own[input.edge.k]; names[input.edge.k]; part[input.edge.k]; part.list[input.edge.k].a")]
#[case::counted("input.scope[count(input.scope) - 1]; input.scope[input.now % 2]")]
#[case::got("object.get(data.accounts, input.edge.n, 0) == 1")]
#[case::compared("some i, x in input.edge.l; i == input.edge.n; x == 1")]
#[case::of_data("some i in data.order; data.grants[i]")]
#[case::of_a_rule("data.lib.names[input.tenant]")]
#[case::texts("some t in input.caller.tenants; data.accounts[t]; data.accounts[input.scope[_]]")]
fn what_is_known_well_enough_is_taken(#[case] body: &str) {
    let rules = "own[k] := 1 if some k in input.edge.keys\nnames contains 1\npart.list[k] := {\"a\": 1} if some k in input.edge.keys\n\
                 part.other := 1\ndeny contains 2 if { own; names; part }";
    let found = faults(&format!("deny contains 1 if {{ {body} }}\n{rules}"));
    assert!(found.is_empty(), "{found:#?}");
}
