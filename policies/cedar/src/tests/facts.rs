//! What policies see of a request.

use serde_json::json;
use standin_policy_engine::{Effect, Input, PolicyEngine as _};

use super::{engine, fact, input, load, with};
use crate::{BUILT_IN_SCHEMA, Engine};

/// Whether a policy with this condition permits.
fn holds(condition: &str, input: &Input) -> bool {
    permits(&engine(&format!("permit(principal, action, resource) when {{ {condition} }};")), input)
}

fn permits(engine: &Engine, input: &Input) -> bool {
    match engine.evaluate(input).unwrap_or_else(|why| panic!("{why}")).effect {
        Effect::Permit(_) => true,
        Effect::Deny => false,
        Effect::StepUp(acr) => panic!("stepped up to {acr}"),
    }
}

#[test]
fn the_request_is_in_the_context() {
    for condition in [
        "principal == Client::\"client:router\"",
        "resource == User::\"user:acme:alice\"",
        "principal in Tenant::\"acme\" && resource in Tenant::\"acme\"",
        "context.tenant == Tenant::\"acme\"",
        "!(context has cross_tenant_from)",
        "context.audience == [Audience::\"https://api.example.com\"]",
        "context has sole_audience && context.sole_audience == Audience::\"https://api.example.com\"",
        "[\"expenses:read\", \"expenses:write\", \"more\"].containsAll(context.scope)",
        "context.ttl == 300 && context.flow == \"local\"",
        "context.hops == 0 && context.chain.isEmpty() && !(context has actor) && !(context has step)",
        "context.now == 1768386600 && context.hour == 10 && context.weekday == 3",
        "!(resource has acr) && !(resource has protected) && !resource.provisional",
        "!context.edge.hasTag(\"country\")",
    ] {
        assert!(holds(condition, &input()), "{condition}");
    }
}

#[test]
fn what_is_optional_is_there_when_it_is_said() {
    let asked = with(|input| {
        input.chain = vec!["client:near".into(), "client:far".into()];
        input.step = Some("approve".into());
        input.audience.push("https://ledger.example.com".into());
        input.attributes = vec![fact("cross_tenant.from", "globex"), fact("edge.country", "DE"), fact("edge.risk", 7)];
        input.subject.provisional = true;
        input.subject.attributes = vec![
            fact("protected", true),
            fact("acr", "mfa"),
            fact("amr", json!(["pwd", "otp"])),
            fact("roles", "admin"),
            fact("auth_time", 1),
            fact("department", "finance"),
        ];
    });
    for condition in [
        "context has cross_tenant_from && context.cross_tenant_from == Tenant::\"globex\"",
        "context.hops == 2 && context.chain.contains(\"client:far\") && context has actor && context.actor == \"client:near\"",
        "context has step && context.step == \"approve\"",
        "!(context has sole_audience) && context.audience.contains(Audience::\"https://ledger.example.com\")",
        "context.edge.hasTag(\"country\") && context.edge.getTag(\"country\") == \"DE\"",
        "context.edge.hasTag(\"risk\") && context.edge.getTag(\"risk\") == \"7\"",
        "resource.provisional && resource has protected && resource.protected",
        "resource has acr && resource.acr == \"mfa\" && resource has amr && resource.amr.contains(\"otp\")",
        "resource has roles && resource.roles == [\"admin\"] && resource has auth_time && resource.auth_time < context.now",
        "resource.hasTag(\"department\") && resource.getTag(\"department\") == \"finance\"",
    ] {
        assert!(holds(condition, &asked), "{condition}");
    }
}

#[test]
fn every_kind_has_its_type() {
    for (kind, name) in [
        ("user", "User"),
        ("host", "Host"),
        ("envoy", "Envoy"),
        ("provisional", "Provisional"),
        ("external", "External"),
        ("client", "Client"),
    ] {
        let asked = with(|input| {
            input.subject.kind = kind.into();
            input.subject.id = "x".into();
        });
        assert!(holds(&format!("resource is {name} && resource == {name}::\"x\""), &asked), "{kind}");
    }
    let failure = engine("").evaluate(&with(|input| input.subject.kind = "robot".into())).unwrap_err();
    assert_eq!(failure.to_string(), "`robot` is no kind of party");
    // A principal is a client; what else says it calls is nobody.
    assert!(!holds("true", &with(|input| input.caller.kind = "user".into())));
}

#[test]
fn a_caller_that_acts_for_itself_is_one_entity() {
    let asked = with(|input| {
        input.caller.attributes = vec![fact("team", "one")];
        input.subject = input.caller.clone();
        input.subject.tenants = vec!["globex".into()];
        input.subject.attributes = vec![fact("team", "two"), fact("acr", "mfa")];
    });
    for condition in [
        "principal == resource",
        "resource in Tenant::\"acme\" && principal in Tenant::\"globex\"",
        "principal.hasTag(\"team\") && principal.getTag(\"team\") == \"one\"",
        "principal has acr && principal.acr == \"mfa\"",
    ] {
        assert!(holds(condition, &asked), "{condition}");
    }
}

#[test]
fn a_fact_that_is_not_of_its_type_denies() {
    let permit = engine("permit(principal, action, resource);");
    for (name, value, expected) in [
        ("protected", json!("yes"), "Bool"),
        ("acr", json!(null), "String"),
        ("auth_time", json!(1.5), "Long"),
        ("groups", json!([1]), "Set<String>"),
    ] {
        let failure = permit.evaluate(&with(|input| input.subject.attributes = vec![fact(name, value)])).unwrap_err();
        assert_eq!(failure.to_string(), format!("the fact `{name}` is not of type {expected}"));
    }
    let asked = with(|input| input.attributes = vec![fact("cross_tenant.from", 1)]);
    assert_eq!(permit.evaluate(&asked).unwrap_err().to_string(), "the fact `cross_tenant.from` is not of type String");
    let asked =
        with(|input| input.subject.attributes = vec![standin_policy_engine::Attribute { name: "x".into(), value: "{".into() }]);
    assert_eq!(permit.evaluate(&asked).unwrap_err().to_string(), "the fact `x` is not of type String");
    assert!(permit.evaluate(&with(|input| input.now = u64::MAX)).is_err());
}

#[test]
fn nobody_says_provisional_but_the_contract() {
    let asked = with(|input| {
        input.subject.provisional = true;
        input.subject.attributes = vec![fact("provisional", false)];
    });
    assert!(holds("resource.provisional", &asked));
}

#[test]
fn hours_and_weekdays_are_utc() {
    for (now, hour, weekday) in [(0, 0, 4), (86_399, 23, 4), (86_400, 0, 5), (3 * 86_400, 0, 7), (4 * 86_400, 0, 1)] {
        let condition = format!("context.hour == {hour} && context.weekday == {weekday}");
        assert!(holds(&condition, &with(|input| input.now = now)), "{now}");
    }
}

#[test]
fn a_schema_of_the_bundles_own_types_its_facts() {
    let schema = BUILT_IN_SCHEMA
        .replace("entity Edge tags String;", "entity Edge = { risk?: Long, device?: { managed: Bool, owner?: User } };")
        .replace("  acr?: String,", "  acr?: String,\n  manager?: User,\n  level?: Long,")
        .replace("  edge: Edge,", "  edge: Edge,\n  \"ticket.id\"?: String,");
    let conditions = [
        "context.edge has risk && context.edge.risk < 10",
        "context.edge has device && context.edge.device.managed && context.edge.device has owner && context.edge.device.owner == resource",
        "context has \"ticket.id\" && context[\"ticket.id\"] == \"T-1\"",
        // The bundle knows the manager, and the request reaches it through the attribute.
        "resource has manager && resource.manager has level && resource.manager.level == 9",
    ];
    let entities = r#"[{"uid": {"type": "User", "id": "user:acme:boss"}, "attrs": {"level": 9}, "parents": []}]"#;
    let asked = with(|input| {
        let device = json!({"managed": true, "owner": "user:acme:alice"});
        input.attributes =
            vec![fact("edge.risk", 7), fact("edge.device", device), fact("edge.more", 1), fact("ticket.id", "T-1")];
        input.subject.attributes = vec![fact("manager", "user:acme:boss")];
    });
    for condition in conditions {
        let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
        let engine = load(&[("p.cedar", &policy), ("s.cedarschema", &schema), ("entities.json", entities)]);
        assert!(permits(&engine, &asked), "{condition}");
        assert!(!permits(&engine, &input()), "{condition}");
    }
    let engine = load(&[("p.cedar", ""), ("s.cedarschema", &schema)]);
    let failure = engine.evaluate(&with(|input| input.attributes = vec![fact("edge.risk", "high")])).unwrap_err();
    assert_eq!(failure.to_string(), "the fact `edge.risk` is not of type Long");
}

#[test]
fn a_schema_may_leave_requests_out() {
    let schema = BUILT_IN_SCHEMA.replacen("resource: [Client, User, Host, Envoy, Provisional, External]", "resource: [User]", 1);
    let engine = load(&[("p.cedar", "permit(principal, action, resource);"), ("s.cedarschema", &schema)]);
    assert!(permits(&engine, &input()));
    assert!(!permits(&engine, &with(|input| input.subject.kind = "host".into())));
}

#[test]
fn entities_of_the_bundle_are_within_reach() {
    let entities = r#"[
        {"uid": {"type": "Group", "id": "staff"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Group", "id": "finance"}, "attrs": {}, "parents": [{"type": "Group", "id": "staff"}], "tags": {"floor": "3"}},
        {"uid": {"type": "Group", "id": "europe"}, "attrs": {}, "parents": []},
        {"uid": {"type": "User", "id": "user:acme:alice"}, "attrs": {"groups": ["a"]}, "parents": [{"type": "Group", "id": "finance"}],
         "tags": {"desk": "4", "department": "unknown"}},
        {"uid": {"type": "Tenant", "id": "acme"}, "attrs": {}, "parents": [{"type": "Group", "id": "europe"}], "tags": {"plan": "gold"}},
        {"uid": {"type": "Audience", "id": "https://api.example.com"}, "attrs": {}, "parents": [{"type": "Group", "id": "europe"}]}
    ]"#;
    let asked = with(|input| input.subject.attributes = vec![fact("department", "finance")]);
    for condition in [
        "resource in Group::\"finance\" && resource in Group::\"staff\" && !(principal in Group::\"staff\")",
        "principal in Group::\"europe\" && resource in Group::\"europe\" && context.tenant in Group::\"europe\"",
        "context.tenant.hasTag(\"plan\") && context.tenant.getTag(\"plan\") == \"gold\"",
        "context has sole_audience && context.sole_audience in Group::\"europe\"",
        "resource.hasTag(\"desk\") && resource has groups && resource.groups.contains(\"a\")",
        // What the request says comes before what the bundle says.
        "resource.hasTag(\"department\") && resource.getTag(\"department\") == \"finance\"",
        // Reached by its name.
        "Group::\"finance\".hasTag(\"floor\") && Group::\"finance\" in Group::\"staff\"",
        "!resource.provisional",
    ] {
        let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
        assert!(permits(&load(&[("p.cedar", &policy), ("entities.json", entities)]), &asked), "{condition}");
    }
}
