//! Every fault of a bundle has its place.

use rstest::rstest;
use standin_policy_engine::{Fault, PolicyEngine as _, Source};

use crate::Engine;

fn load(sources: &[(&str, &str)]) -> Result<Engine, Vec<Fault>> {
    let sources = sources.iter().map(|(name, content)| Source { name: (*name).into(), content: (*content).into() });
    Engine::load(&sources.collect::<Vec<_>>())
}

fn faults(sources: &[(&str, &str)]) -> Vec<Fault> {
    load(sources).err().unwrap_or_default()
}

const ALLOW: &str = "package standin\nallow if input.tenant == \"acme\"\n";

#[rstest]
#[case::no_package("allow := true", 1, 1, "package")]
#[case::syntax("package standin\nallow if {\n", 3, 1, "expecting expression")]
#[case::syntax_behind_other_characters("package standin\nx := \"ä\" !", 2, 11, "invalid character")]
#[case::version_0("package standin\ndeny[msg] { msg := \"no\" }", 2, 11, "`if` keyword is required")]
#[case::nesting("package standin\nx := [[[[[[[[[[[[[[[[[[[[[[[[1", 2, 22, "brackets nest too deep")]
#[case::undefined_variable("package standin\nallow if tenant == \"acme\"", 2, 10, "unsafe")]
#[case::unknown_function("package standin\nx if startwith(input.tenant, \"a\")", 2, 6, "there is no function `startwith`")]
#[case::arguments("package standin\nx if startswith(input.tenant)", 2, 6, "takes 2 arguments, not 1")]
#[case::unknown_function_of_a_package("package standin\nimport data.lib\nx if lib.f(1)", 3, 6, "there is no function `lib.f`")]
#[case::unknown_input("package standin\nx if input.tenat == \"acme\"", 2, 12, "`input` has no member `tenat`")]
#[case::unknown_member("package standin\nx if input[\"subject\"].name == 1", 2, 23, "`input.subject` has no member `name`")]
#[case::member_of_a_list("package standin\nx if input.caller.tenants.acme", 2, 27, "`input.caller.tenants` is a list")]
#[case::member_of_a_value("package standin\nx if input.tenant.id", 2, 19, "`input.tenant` is a single value")]
#[case::clock("package standin\nx if time.now_ns() > 1", 2, 6, "`input.now` is the time")]
#[case::randomness("package standin\nx if rand.intn(\"a\", 2) > 1", 2, 6, "no randomness")]
#[case::network("package standin\nx if http.send({}).body", 2, 6, "no network")]
#[case::format(
    "package standin\ndeny contains \"p\" if sprintf(\"%.2s\", [input.tenant]) == \"ac\"",
    2,
    31,
    "without flags, width or precision"
)]
#[case::values_of_a_format("package standin\nx if sprintf(\"%s %s\", [input.tenant]) == \"\"", 2, 23, "as many values")]
#[case::pattern("package standin\nx if regex.match(`(?i)a`, input.tenant)", 2, 19, "a pattern has")]
#[case::pattern_to_replace("package standin\nx if regex.replace(input.tenant, `\\pL`, \"\") == \"\"", 2, 35, "a pattern has")]
#[case::builtin_that_differs("package standin\nx if json.is_valid(input.tenant)", 2, 6, "`json.unmarshal` fails")]
#[case::value_by_an_argument("package standin\nx if count(input.scope, 1)", 2, 6, "is given a name by `:=`")]
#[case::walk_alone("package standin\nx if walk(input.edge)", 2, 6, "a path and a value")]
#[case::fraction("package standin\nx if input.edge.a + 0.2 == 0.3", 2, 6, "arithmetic is of whole numbers")]
#[case::fraction_by_name("package standin\nx if { y := input.edge.a; y * 2 > 1 }", 2, 27, "arithmetic is of whole numbers")]
#[case::quotient("package standin\nx if input.ttl / 7 == 0.2", 2, 6, "with more digits")]
#[case::quotient_of_anything("package standin\nx if floor(sum(input.edge.l) / 7) == 2", 2, 12, "with more digits")]
#[case::digits("package standin\nx if input.edge.a == 3.14159265358979323846", 2, 22, "at most 15 digits")]
#[case::order_of_collections("package standin\nx if input.edge.a < {1}", 2, 6, "another order")]
#[case::negated_comparison("package standin\nx if not input.edge.risk > 5", 2, 10, "make the condition a rule")]
#[case::negated_membership("package standin\nx if not input.edge.country in [\"DE\"]", 2, 10, "make the condition a rule")]
#[case::negated_call("package standin\nx if not startswith(input.edge.country, \"D\")", 2, 21, "make the condition a rule")]
#[case::negated_index("package standin\nx if not input.edge.list[input.edge.n]", 2, 26, "make the condition a rule")]
#[case::negated_place("package standin\nx if not startswith(input.chain[0], \"ext:\")", 2, 21, "make the condition a rule")]
#[case::negated_member_of_facts("package standin\nx if not input.edge[input.step] > 5", 2, 10, "make the condition a rule")]
#[case::negated_place_in("package standin\nx if not input.scope[0] in {\"a\"}", 2, 10, "make the condition a rule")]
#[case::negated_fact(
    "package standin\nx if { some k in [\"a\"]; not input.subject.attributes[k] < 1 }",
    2,
    29,
    "make the condition a rule"
)]
#[case::negated_without_a_value(
    "package standin\nx if not startswith(min(input.scope), \"a\")",
    2,
    21,
    "make the condition a rule"
)]
#[case::function_of_a_builtin("package standin\nx if count(1)\ncount(y) := y", 3, 1, "`count` is a builtin")]
#[case::import_of_a_family("package standin\nimport data.time\nx if time.f", 2, 13, "builtins begin with `time.`")]
#[case::fraction_hidden_by_a_query(
    "package standin\nx if { y := input.edge.f; count([1 | y := 1]) == 1; y * 3 == 0.3 }",
    2,
    53,
    "arithmetic is of whole"
)]
#[case::fraction_in_a_query(
    "package standin\nx if { y := 1; [1 | y := input.edge.f; y * 3 == 0.3] == [1] }",
    2,
    40,
    "arithmetic is of whole"
)]
#[case::fraction_of_some(
    "package standin\nx if { y := 1; [1 | some y in input.edge.l; y * 3 == 0.3] == [1] }",
    2,
    45,
    "arithmetic is of whole"
)]
#[case::fraction_of_some_key(
    "package standin\nx if { y := 1; [1 | some y, _ in input.edge.l; y * 3 == 3] == [1] }",
    2,
    48,
    "arithmetic is of whole"
)]
#[case::fraction_of_every(
    "package standin\nx if { y := 1; every y in input.edge.l { y * 3 == 0.3 } }",
    2,
    42,
    "arithmetic is of whole"
)]
#[case::fraction_of_a_pattern(
    "package standin\nx if { y := 1; [1 | [y, _] := input.edge.l; y * 3 == 0.3] == [1] }",
    2,
    45,
    "arithmetic is of whole"
)]
#[case::fraction_of_walk(
    "package standin\nx if { y := 1; [1 | some y; walk(input.edge, [_, y]); y * 3 == 0.3] == [1] }",
    2,
    55,
    "arithmetic is of whole"
)]
#[case::fraction_behind_else(
    "package standin\nx := 1 if { y := 1; y == 2 } else := 2 if { y = input.edge.f; y * 3 == 0.3 }",
    2,
    63,
    "arithmetic is of whole"
)]
#[case::fraction_before_else(
    "package standin\nx := y * 3 if { y = input.edge.f } else := 2 if { y := 1; y == 1 }",
    2,
    6,
    "arithmetic is of whole"
)]
#[case::fraction_of_an_argument(
    "package standin\nx contains 1 if input.ttl > 1\nf(x) := x - 0.1",
    3,
    9,
    "arithmetic is of whole"
)]
#[case::fraction_by_the_name_of_a_set(
    "package standin\nx contains 1\ny if { x := input.edge.f; x - 1 == 0.2 }",
    3,
    27,
    "arithmetic is of whole"
)]
#[case::fraction_by_the_name_of_a_part(
    "package standin\nx.part contains 1\ny if { x := input.edge.f; x.part - 1 == 0.2 }",
    3,
    27,
    "arithmetic is of whole"
)]
#[case::fraction_at_times_a_set(
    "package standin\nx := {1} if input.step else := 0.5\ny if x - 1 == 0.2",
    3,
    6,
    "arithmetic is of whole"
)]
#[case::order_of_sets("package standin\nx contains 1\ny contains 2\nz if x < y", 4, 6, "another order")]
#[case::order_of_unions("package standin\nx if union({input.edge.a}) <= input.edge.b", 2, 6, "another order")]
#[case::order_of_named_sets("package standin\nx if { y := {1} | {input.edge.a}; 3 > y }", 2, 35, "another order")]
#[case::order_of_values(
    "package standin\ny := {1} if input.step else := 0\nz if data.standin.y >= input.edge.a",
    3,
    6,
    "another order"
)]
#[case::print("package standin\nx if print(\"here\")", 2, 6, "nobody would see it")]
#[case::with("package standin\nx if allow with input.tenant as \"acme\"", 2, 12, "belongs into tests")]
#[case::misspelt("package standin\nmax_tll := 60", 2, 1, "nothing uses the rule `max_tll`")]
#[case::limit_with_arguments("package standin\nmax_ttl(x) := 60", 2, 1, "has to be a rule with one value")]
#[case::set_for_one_value("package standin\nstep_up contains \"mfa\"", 2, 1, "has to be a rule with one value")]
#[case::object_for_a_set("package standin\ndeny.x := 1", 2, 1, "a set or a list as its value")]
#[case::value_of_in("package standin\nx if (input.tenant in input.edge.list) == false", 2, 7, "false, not undefined")]
#[case::value_of_in_by_name("package standin\nx if { y := input.tenant in input.chain; y }", 2, 13, "false, not undefined")]
#[case::value_of_in_of_a_rule("package standin\nx := input.tenant in input.edge.list", 2, 6, "false, not undefined")]
#[case::value_of_in_of_a_name("package standin\nx[input.tenant in input.edge.list] := true", 2, 3, "false, not undefined")]
#[case::value_of_in_of_an_argument(
    "package standin\nf(x) if some [x, input.tenant in input.chain] in input.edge.list",
    2,
    18,
    "false, not undefined"
)]
#[case::key_of_in("package standin\nx if \"role\", input.step in input.edge", 2, 7, "a key before `in`")]
#[case::object_pattern("package standin\nx if {\"country\": y} = input.edge", 2, 6, "an object is no pattern")]
#[case::object_pattern_behind("package standin\nx if input.edge = {\"country\": y}", 2, 19, "an object is no pattern")]
#[case::object_pattern_inside("package standin\nx if [{\"country\": y}] := [input.edge]", 2, 7, "an object is no pattern")]
#[case::object_pattern_of_some("package standin\nx if some {\"a\": y} in input.edge.list", 2, 11, "an object is no pattern")]
#[case::object_pattern_of_a_function("package standin\nf({\"a\": x}) := x", 2, 3, "an object is no pattern")]
#[case::two_defaults("package standin\ndefault x := 1\ndefault x := 2", 3, 9, "another default")]
#[case::default_of_a_set(
    "package standin\ndefault deny := {\"x\"}\ndeny contains \"y\" if input.step",
    3,
    1,
    "a default does not count"
)]
#[case::value_and_part("package standin\nx := {\"b\": 1}\nx.a := 1", 3, 1, "a value of its own")]
#[case::part_and_value("package standin\nx.a.b := 1\nx.a := {\"c\": 1}", 3, 1, "a value of its own")]
#[case::all_of_data("package standin\nx := data", 2, 6, "computed finds no rules")]
#[case::computed_place("package standin\nx if data[input.tenant].local.blocked", 2, 6, "computed finds no rules")]
#[case::computed_rule("package standin\nx if data.standin[input.edge.k].a", 2, 6, "rules stand below `data.standin`")]
#[case::raw_rule("package standin\nx if data.standin[`allow`]", 2, 6, "rules stand below `data.standin`")]
#[case::computed_by_import(
    "package standin\nimport data.standin as s\nx if s[input.tenant]",
    3,
    6,
    "rules stand below `data.standin`"
)]
fn a_faulty_policy_is_located(#[case] policy: &str, #[case] line: u32, #[case] column: u32, #[case] says: &str) {
    let found = faults(&[("good.rego", ALLOW), ("dir/bad.rego", policy)]);
    let fault = found.iter().find(|fault| fault.message.contains(says)).unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!((fault.file.as_str(), fault.line, fault.column), ("dir/bad.rego", line, column), "{fault}");
    assert_eq!(fault.source_line, policy.lines().nth(line as usize - 1).unwrap_or_default());
}

#[test]
fn input_is_looked_at_wherever_it_is_named() {
    let policy = "package standin\nimport input.calller\nallow if {\n\tsome x in input.a\n\tevery y in input.b { y == input.c }\n\
                  \tnot input.d\n\tz := [{input.e: {input.f | input.g}}, -input.h, input.now + input.i, input.attributes[input.j]]\n\
                  \tf(input.k) in {input.l}\n\tu := {k: input.m | some k in input.chain}\n\tv := [1 | input.n]\n}\n\
                  f(x) := input.o if x == input.p else := input.q\ndefault allow := false\ndeny contains input.r\n";
    let mut found = faults(&[("a.rego", policy)]);
    // What else is wrong with it is another question.
    found.retain(|fault| fault.message.contains("has no member"));
    let names: Vec<_> = found.iter().map(|fault| fault.message.split('`').nth(3).unwrap()).collect();
    let all = ["calller", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
    assert_eq!(names, all, "{found:#?}");
}

#[test]
fn every_fault_is_reported_at_once_and_in_order() {
    let found = faults(&[("z.rego", "nonsense"), ("a.rego", "package a\nx :="), ("b.rego", ALLOW)]);
    assert_eq!(found.iter().map(|fault| fault.file.as_str()).collect::<Vec<_>>(), ["a.rego", "z.rego"]);
    let unknown = "package standin\nallow if input.x\ndeny contains \"y\" if input.y\n";
    assert_eq!(faults(&[("a.rego", unknown)]).iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn without_a_rule_allow_there_is_no_bundle() {
    for sources in [&[][..], &[("a.rego", "package other\nallow := true")], &[("a.rego", "package standin\ndeny contains \"x\"")]]
    {
        let found = faults(sources);
        assert!(found[0].message.contains("no rule `allow`"), "{found:?}");
    }
}

#[test]
fn data_and_rules_do_not_share_a_place() {
    let allow = "package standin\nallow if data.lib.x == 1\n";
    let found = faults(&[("a.rego", allow), ("lib.rego", "package lib\nx := 1"), ("lib/data.json", "{\"x\": 2}")]);
    assert_eq!((found[0].file.as_str(), found[0].line), ("lib.rego", 2), "{found:?}");
    let found = faults(&[("a.rego", allow), ("lib.rego", "package lib\nx := 1"), ("data.json", "{\"lib\": 2}")]);
    assert!(found[0].message.contains("in the place of the rule `x`"), "{found:?}");
}

#[rstest]
#[case::below("package standin.deny\nx contains \"always\"", "nothing asks the package `standin.deny`")]
#[case::below_and_used("package standin.lib\nx := 1", "nothing asks the package `standin.lib`")]
#[case::misspelt("package standn\ndeny contains \"always\"", "refers to the package `standn`")]
#[case::quoted("package limits[\"a.b\"]\ndeny contains \"always\"", "refers to the package `limits.a.b`")]
#[case::refers_to_us("package other\ndeny contains \"always\" if data.standin.allow", "refers to the package `other`")]
#[case::of_its_own_kind("package one\ndeny contains data.one.x\nx := 1", "refers to the package `one`")]
#[case::answer("package __standin_answer\nrules contains [\"allow\", true]", "refers to the package `__standin_answer`")]
fn a_package_that_decides_nothing_is_a_fault(#[case] policy: &str, #[case] says: &str) {
    let allow = "package standin\nallow if data.standin.lib.x == data.limits.a.c\n";
    let found = faults(&[("a.rego", allow), ("dir/other.rego", policy)]);
    assert!(found.len() == 1 && found[0].message.contains(says), "{found:#?}");
    assert_eq!((found[0].file.as_str(), found[0].line), ("dir/other.rego", 1));
}

#[test]
fn a_package_is_used_through_whatever_refers_to_it() {
    let lib = ("lib.rego", "package lib.names\nx := data.far.y");
    let far = ("far.rego", "package far\ny := 1");
    for used in
        ["import data.lib.names", "import data.lib as l", "x := data.lib.names.x", "x := data.lib[input.tenant]", "x := data"]
    {
        let policy = format!("package standin\n{used}\nallow if input.ttl > 1\ndeny contains \"x\" if x == 2\nx := 1\n");
        let found = faults(&[("a.rego", &policy), lib, far]);
        assert!(found.iter().all(|fault| !fault.message.contains("refers to")), "{used}: {found:#?}");
    }
    // Those that only refer to each other are used by nobody.
    let back = ("far.rego", "package far\ny := data.lib.names.x");
    let found = faults(&[("a.rego", ALLOW), lib, back]);
    assert_eq!(found.iter().map(|fault| fault.file.as_str()).collect::<Vec<_>>(), ["far.rego", "lib.rego"], "{found:#?}");
}

#[test]
fn rules_are_named_where_names_are_written_down() {
    let rules = |policies: &str| load(&[("a.rego", &format!("{ALLOW}{policies}"))]).unwrap().rule_names();
    assert_eq!(rules(""), ["allow"]);
    assert_eq!(rules("step_up := \"mfa\"\ndeny contains \"no\" if input.ttl > 9"), ["no", "allow", "step_up"]);
    let objects =
        "reasons contains r if some r in rs\nrs contains {\"rule\": \"b\", \"text\": \"x\"}\nrs contains {\"rule\": \"a\"}\n";
    assert_eq!(rules(objects), ["b", "a"]);
    assert_eq!(rules("deny := {\"x\", `y`} if input.ttl > 9\nreasons := [\"z\"]\n"), ["x", "y", "z"]);
    assert_eq!(rules("deny contains sprintf(\"%d\", [input.ttl]) if input.ttl > 9\nreasons contains \"x\"\n"), ["x"]);
}

#[test]
fn names_of_imports_are_one_thing_in_a_package() {
    let importing = |what: &str| {
        format!("package standin\nimport data.lists.{what} as names\ndeny contains \"x\" if input.tenant in names\n")
    };
    let (one, other) = (importing("blocked"), importing("allowed"));
    let found = faults(&[("a.rego", &one), ("b.rego", &other), ("c.rego", ALLOW)]);
    assert!(found.len() == 1 && found[0].message.contains("`names` is imported as something else"), "{found:#?}");
    assert_eq!((found[0].file.as_str(), found[0].line), ("b.rego", 2));
    assert!(faults(&[("a.rego", &one), ("b.rego", &one), ("c.rego", ALLOW)]).is_empty());
    for rule in ["names := []", "names.x := 1"] {
        let hiding = format!("package standin\n{rule}\n");
        let found = faults(&[("a.rego", &one), ("b.rego", &hiding), ("c.rego", ALLOW)]);
        let fault = found
            .iter()
            .find(|fault| fault.message.contains("has the name of an import"))
            .unwrap_or_else(|| panic!("{found:#?}"));
        assert_eq!((fault.file.as_str(), fault.line), ("b.rego", 2));
    }
    // Another package has names of its own.
    let (lib, used) = ("package lib\nnames := []\n", "package standin\ndeny contains \"y\" if data.lib.names == 1\n");
    assert!(faults(&[("a.rego", &one), ("lib.rego", lib), ("b.rego", used), ("c.rego", ALLOW)]).is_empty());
}

/// A set of another package makes nothing of this one a set.
#[test]
fn names_are_of_their_package() {
    let lib = ("lib.rego", "package lib\nrisky contains 1\nquiet := input.edge.risk\n");
    let using =
        |rule: &str| format!("package standin\nimport data.lib.risky as r\nallow if 2 in r\n{rule}\nrisky := input.edge.risk\n");
    for (rule, column) in [("deny contains 1 if not risky > 5", 24), ("deny contains 1 if risky - 0.1 == 0.2", 20)] {
        let found = faults(&[("a.rego", &using(rule)), lib]);
        assert!(found.len() == 1 && (found[0].line, found[0].column) == (4, column), "{rule}: {found:#?}");
    }
    for rule in ["deny contains 1 if data.lib.risky < {risky}", "deny contains 1 if r < risky"] {
        let found = faults(&[("a.rego", &using(rule)), lib]);
        assert!(found.len() == 1 && found[0].message.contains("another order"), "{rule}: {found:#?}");
    }
    let found = faults(&[("a.rego", &using("deny contains 1 if r - {1} == risky")), lib]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn data_may_be_computed_where_no_rules_stand() {
    let policy =
        "package standin\nimport data.lists\nallow if {\n\tinput.tenant in data.teams[input.flow]\n\tlists[input.tenant][0]\n}\n";
    let found = faults(&[("a.rego", policy)]);
    assert!(found.is_empty(), "{found:#?}");
    let (lib, below) = ("package lib\nlimits := {\"acme\": true}\n", "package lib\nlimits.acme := true\n");
    let used = "package standin\nallow if data.lib.limits[input.tenant]\ndeny contains \"x\" if data.lib.tenants[input.tenant]\n";
    let data = ("lib/data.json", "{\"tenants\": {\"globex\": true}}");
    let found = faults(&[("a.rego", used), ("lib.rego", lib), data]);
    assert!(found.is_empty(), "{found:#?}");
    let found = faults(&[("a.rego", used), ("lib.rego", below), data]);
    assert!(found.len() == 1 && found[0].message.contains("rules stand below `data.lib.limits`"), "{found:#?}");
}

#[test]
fn parts_of_a_rule_are_defined_in_one_way() {
    for rules in ["default x[\"a\"] := 1\nx[\"a\"] := 2 if input.step", "x[input.tenant].b := 1\nx.c := 2", "x.a := 1\nx.b := 2"]
    {
        let policy = format!("{ALLOW}deny contains \"x\" if x.a == 1\n{rules}\n");
        let found = faults(&[("a.rego", &policy)]);
        assert!(found.iter().all(|fault| !fault.message.contains("define") && !fault.message.contains("default")), "{found:#?}");
    }
}

#[test]
fn what_both_read_alike_is_taken() {
    for rules in [
        "x if not input.tenant in input.chain",
        "x if not input.edge.a == input.edge.b",
        "x if not risky\nrisky if input.edge.risk > 5",
        "x if { some role in input.edge.roles; not role in names }\nnames contains \"a\"",
        "x if names - {\"a\"} == set()\nnames contains \"b\"",
        "x if { y := input.ttl * 2; z := y + count(input.scope); z - 1 > -5 }",
        "x if round(input.edge.a) + 1 == 2",
        "x if { y := input.now % 86400; floor(y / 3600) >= 8 }",
        "x if ceil((input.now - input.subject.attributes.auth_time) / 60) + 1 > 10",
        "x if { y := 1; [1 | y := input.edge.f; y == 2] == []; y * 3 == 3 }",
        "x := y + 1 if { y := 1; input.step } else := y + 2 if { y := count(input.scope) }",
        "x if { not input.subject.id == input.chain[0]; not input.tenant in names }\nnames contains \"a\"",
        "x if regex.match(`^[a-z0-9-]+\\.example\\.(com|org)$`, input.tenant)",
        "x if { walk(input.edge, [path, value]); value == 1; count(path) == 2 }",
    ] {
        let policy = format!("{ALLOW}deny contains \"x\" if x\n{rules}\n");
        let found = faults(&[("a.rego", &policy)]);
        assert!(found.is_empty(), "{rules}: {found:#?}");
    }
}

#[test]
fn numbers_of_data_lose_no_digits() {
    let found = faults(&[("a.rego", ALLOW), ("data.json", "{\n  \"a\": [1.5, 12345678901234567890123]}")]);
    assert!(found.len() == 1 && found[0].message.contains("12345678901234567890123"), "{found:#?}");
    assert_eq!((found[0].line, found[0].column), (2, 14));
}

#[test]
fn tests_take_no_part() {
    let tests = "package standin_test\ntest_allow if data.standin.allow with input as {\"tenant\": \"acme\"}";
    assert!(faults(&[("a.rego", ALLOW), ("a_test.rego", tests)]).is_empty());
}

#[test]
fn the_library_is_the_one_that_is_built_in() {
    let lock = include_str!("../../../../Cargo.lock");
    let version = lock.split("name = \"regorus\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(Engine::library(), format!("regorus {version}"));
}

#[test]
fn the_policy_of_the_page_is_a_bundle() {
    let page = include_str!("../../../../docs/rego.md");
    let policy = page.split("```rego\n").nth(1).unwrap().split("```").next().unwrap();
    let engine = load(&[("page.rego", policy)]).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(engine.rule_names(), ["people", "protected"]);
}
