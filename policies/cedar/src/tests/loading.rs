//! Every fault of a bundle has its place.

use rstest::rstest;
use standin_policy_engine::{Fault, PolicyEngine as _};

use super::source;
use crate::{BUILT_IN_SCHEMA, Engine};

fn faults(sources: &[(&str, &str)]) -> Vec<Fault> {
    let sources: Vec<_> = sources.iter().map(|(name, content)| source(name, content)).collect();
    Engine::load(&sources).err().unwrap_or_default()
}

const ALL: &str = "permit(principal, action, resource)";

#[rstest]
#[case::syntax("permit(principal, action, resource) when { ", 1, 43, "unexpected end of input")]
#[case::syntax_on_a_later_line("permit(principal, action, resource);\n\n  permt(principal, action, resource);", 3, 3, "permt")]
#[case::unknown_attribute("permit(principal, action, resource)\nwhen { resource.colour == 1 };", 2, 8, "colour")]
#[case::unsafe_optional("permit(principal, action, resource)\nwhen { resource.acr == \"x\" };", 2, 8, "optional attribute")]
#[case::unknown_type("permit(principal is Robot, action, resource);", 1, 21, "Robot")]
#[case::unknown_action("permit(principal, action == Action::\"steal\", resource);", 1, 29, "steal")]
#[case::wrong_types("permit(principal, action, resource) when {\n  context.ttl == \"x\"\n};", 2, 3, "compatible types")]
#[case::impossible("permit(principal, action, resource) when { false };", 1, 1, "impossible")]
#[case::template("permit(principal == ?principal, action, resource);", 1, 1, "templates are not supported")]
#[case::unknown_annotation("@max_tll(\"5m\")\npermit(principal, action, resource);", 1, 1, "unknown annotation")]
#[case::bad_limit("@id(\"a\")\n  @max_ttl(\"soon\") permit(principal, action, resource);", 2, 3, "a lifetime is")]
#[case::bad_scope("@scope(\"\") permit(principal, action, resource);", 1, 1, "a scope is")]
#[case::limit_on_a_forbid("@scope(\"a\") forbid(principal, action, resource);", 1, 1, "grants nothing")]
fn a_faulty_policy_is_located(#[case] policy: &str, #[case] line: u32, #[case] column: u32, #[case] says: &str) {
    let faults = faults(&[("good.cedar", "permit(principal, action, resource);"), ("dir/bad.cedar", policy)]);
    let fault = faults.iter().find(|fault| fault.message.contains(says)).unwrap_or_else(|| panic!("{faults:#?}"));
    assert_eq!((fault.file.as_str(), fault.line, fault.column), ("dir/bad.cedar", line, column), "{fault}");
    assert_eq!(fault.source_line, policy.lines().nth(line as usize - 1).unwrap());
}

#[test]
fn every_fault_is_reported_at_once_and_in_order() {
    let bad = format!("@step_up {ALL};\n@max_ttl(\"x\") @scope(\" \") {ALL};\n{ALL} when {{ context.none }};\n");
    let entities = "[{\"uid\": {\"type\": \"Group\", \"id\": \"g\"}, \"attrs\": {\"x\": 1}, \"parents\": []}]";
    let faults = faults(&[("z.cedar", "nonsense"), ("a.cedar", &bad), ("entities.json", entities)]);
    let places: Vec<_> = faults.iter().map(|fault| (fault.file.as_str(), fault.line)).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(places[..4], [("a.cedar", 1), ("a.cedar", 2), ("a.cedar", 2), ("a.cedar", 3)]);
    assert!(places.contains(&("entities.json", 1)) && places.contains(&("z.cedar", 1)), "{places:?}");
}

#[test]
fn an_id_names_one_policy() {
    let policy = |id: &str| format!("@id(\"{id}\")\n{ALL};\n");
    let found = faults(&[("a.cedar", &policy("x")), ("b.cedar", &format!("{}{}", policy("y"), policy("x")))]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].file.as_str(), found[0].line), ("b.cedar", 3));
    assert_eq!(found[0].message, "the policy at a.cedar:1 has the id `x` already");
    // Also where it is the place of another.
    assert_eq!(faults(&[("a.cedar", &format!("{ALL};\n{}", policy("a.cedar#1")))]).len(), 1);
}

#[rstest]
#[case::no_json("[\n  {]", 2, 4, "JSON array")]
#[case::no_array("{}", 1, 1, "JSON array")]
#[case::unknown_type("[\n {\"uid\": {\"type\": \"Robot\", \"id\": \"r\"}, \"attrs\": {}, \"parents\": []}]", 2, 2, "Robot")]
#[case::unknown_attribute("[{\"uid\": {\"type\": \"Group\", \"id\": \"g\"}, \"attrs\": {\"x\": 1}, \"parents\": []}]", 1, 2, "x")]
#[case::wrong_type("[{\"uid\": {\"type\": \"User\", \"id\": \"u\"}, \"attrs\": {\"acr\": 1}, \"parents\": []}]", 1, 2, "acr")]
#[case::wrong_parent(
    "[{\"uid\": {\"type\": \"Group\", \"id\": \"g\"}, \"attrs\": {}, \"parents\": [{\"type\": \"User\", \"id\": \"u\"}]}]",
    1,
    2,
    "User"
)]
#[case::said_by_the_request(
    "[{\"uid\": {\"type\": \"User\", \"id\": \"u\"}, \"attrs\": {\"provisional\": true}, \"parents\": []}]",
    1,
    2,
    "said by the request"
)]
#[case::twice(
    "[{\"uid\": {\"type\": \"Group\", \"id\": \"g\"}, \"attrs\": {}, \"parents\": []},\n{\"uid\": {\"type\": \"Group\", \"id\": \"g\"}, \"attrs\": {}, \"parents\": []}]",
    2,
    1,
    "already"
)]
#[case::member_twice(
    "[{\"uid\": {\"type\": \"Group\", \"id\": \"g\"}, \"attrs\": {}, \"attrs\": {}, \"parents\": []}]",
    1,
    2,
    "duplicate"
)]
#[case::action(
    "[{\"uid\": {\"type\": \"Action\", \"id\": \"mint\"}, \"attrs\": {}, \"parents\": []}]",
    1,
    2,
    "actions are the schema's"
)]
#[case::cycle(
    "[{\"uid\": {\"type\": \"Group\", \"id\": \"a\"}, \"attrs\": {}, \"parents\": [{\"type\": \"Group\", \"id\": \"b\"}]},\n{\"uid\": {\"type\": \"Group\", \"id\": \"b\"}, \"attrs\": {}, \"parents\": [{\"type\": \"Group\", \"id\": \"a\"}]}]",
    1,
    1,
    "cycle"
)]
fn a_faulty_entity_is_located(#[case] entities: &str, #[case] line: u32, #[case] column: u32, #[case] says: &str) {
    let faults = faults(&[("entities.json", entities)]);
    let fault = faults.iter().find(|fault| fault.message.contains(says)).unwrap_or_else(|| panic!("{faults:#?}"));
    assert_eq!((fault.file.as_str(), fault.line, fault.column), ("entities.json", line, column), "{fault}");
}

#[rstest]
#[case::syntax("entity User = {", "entity", "unexpected")]
#[case::unknown_type("  tenant: Tenant,", "  tenant: Tenent,", "Tenent")]
#[case::of_another_type("  ttl: Long,", "  ttl: String,", "has to be of type Long")]
fn a_faulty_schema_is_located(#[case] from: &str, #[case] to: &str, #[case] says: &str) {
    let schema = if BUILT_IN_SCHEMA.contains(from) { BUILT_IN_SCHEMA.replace(from, to) } else { format!("// a\n{from}") };
    let faults = faults(&[("p.cedar", ""), ("my.cedarschema", &schema)]);
    let fault = faults.iter().find(|fault| fault.message.contains(says)).unwrap_or_else(|| panic!("{faults:#?}"));
    assert_eq!(fault.file, "my.cedarschema");
    assert!(fault.line > 1, "{fault}");
}

#[test]
fn a_source_without_a_place_is_refused() {
    let found = faults(&[("notes.txt", "some\nnotes")]);
    assert_eq!((found[0].file.as_str(), found[0].line, found[0].column), ("notes.txt", 1, 1));
    assert_eq!(found[0].source_line, "some");
}

#[test]
fn nothing_is_a_bundle_that_denies() {
    let engine = Engine::load(&[]).unwrap();
    assert_eq!(engine.policies(), 0);
    assert_eq!(engine.source_digest(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn a_policy_is_validated_against_the_bundles_schema() {
    let schema = BUILT_IN_SCHEMA.replace("  acr?: String,", "  acr?: String,\n  level?: Long,");
    let policy = format!("{ALL} when {{ resource has level && resource.level > 1 }};");
    assert_eq!(faults(&[("p.cedar", &policy), ("s.cedarschema", &schema)]), []);
    assert!(!faults(&[("p.cedar", &policy)]).is_empty());
}
