//! Hostile claims: every one is refused, whatever it changes.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use standin_domain::contract::Allowance;

use crate::approval::testing::{API, DIGEST, IDP, NOW, OURS, World, account, alice, texts};
use crate::approval::{Purpose, Refusal, Unproven};

/// What the host chose.
const JTI: &str = "hosts-own-jti-AAAAAAAA";

const UNLIMITED: Allowance = Allowance { scope: None, audience: None, ttl: None };

fn user() -> (World, Value) {
    let mut world = World::user();
    world.examine().unwrap();
    let mut claims = world.claims();
    claims["account_id"] = json!("a-1");
    (world, claims)
}

fn sign(world: &mut World, claims: &Value) -> Result<(), Refusal> {
    world.approve().cover(Purpose::AccessToken, &claims.to_string(), NOW, JTI).map(|_covered| ())
}

#[test]
fn honest_claims_are_covered_once() {
    let (mut world, mut claims) = user();
    claims["nbf"] = json!(NOW);
    claims["csp_id"] = json!(7);
    claims["sfdc_account_id"] = json!("001A");
    claims["provisional"] = json!(false);
    let mut approval = world.approve();
    let covered = approval.cover(Purpose::AccessToken, &claims.to_string(), NOW, JTI).unwrap();
    assert_eq!((covered.expires_at, covered.ttl), (NOW + 300, 300));
    assert_eq!((covered.audience, covered.scope), (texts(&[API]), texts(&["read"])));
    assert_eq!(approval.cover(Purpose::AccessToken, &claims.to_string(), NOW, JTI), Err(Refusal::Used));
}

#[test]
fn the_jti_is_the_hosts_whatever_the_component_says() {
    let (mut world, mut claims) = user();
    for said in [json!("abcdefghijklmnopqrstuv"), json!("1"), json!(["a"]), Value::Null] {
        match said {
            Value::Null => drop(claims.as_object_mut().unwrap().remove("jti")),
            said => claims["jti"] = said,
        }
        let covered = world.approve().cover(Purpose::AccessToken, &claims.to_string(), NOW, JTI).unwrap();
        let signed: Value = serde_json::from_str(&covered.claims).unwrap();
        let mut expected = claims.clone();
        expected["jti"] = json!(JTI);
        assert_eq!((signed, covered.jti.as_str()), (expected, JTI));
    }
}

#[test]
fn a_refused_use_is_a_use() {
    let (mut world, claims) = user();
    let mut approval = world.approve();
    assert_eq!(approval.cover(Purpose::IdJag, &claims.to_string(), NOW, JTI), Err(Refusal::Purpose));
    assert_eq!(approval.cover(Purpose::AccessToken, &claims.to_string(), NOW, JTI), Err(Refusal::Used));
}

#[test]
fn an_approval_expires() {
    let (mut world, mut claims) = user();
    for (later, outcome) in [(30, Ok(())), (31, Err(Refusal::TooLate))] {
        claims["iat"] = json!(NOW + later);
        let signed = world.approve().cover(Purpose::AccessToken, &claims.to_string(), NOW + later, JTI);
        assert_eq!(signed.map(|_covered| ()), outcome);
    }
}

#[rstest]
#[case(Purpose::TransactionToken)]
#[case(Purpose::IdJag)]
#[case(Purpose::Introspection)]
fn other_purposes_are_refused(#[case] purpose: Purpose) {
    let (mut world, claims) = user();
    assert_eq!(world.approve().cover(purpose, &claims.to_string(), NOW, JTI), Err(Refusal::Purpose));
}

#[test]
fn tokens_of_another_flow_are_not_ours_to_sign() {
    let (mut world, claims) = user();
    world.book.audiences[0].flow = "exchange".into();
    world.input.flow = "exchange".into();
    assert_eq!(sign(&mut world, &claims), Err(Refusal::Flow));
}

#[rstest]
#[case("iss", json!(IDP), Refusal::Issuer)]
#[case("sub", json!("user:acme:u-2"), Refusal::Subject)]
#[case("sub", json!("user:globex:u-1"), Refusal::Subject)]
#[case("sub", json!(["user:acme:u-1"]), Refusal::Subject)]
#[case("aud", json!("https://other.example.com"), Refusal::Audience)]
#[case("aud", json!([API, "https://other.example.com"]), Refusal::Audience)]
#[case("aud", json!([]), Refusal::Audience)]
#[case("aud", json!([API, 1]), Refusal::Audience)]
#[case("aud", json!({ "x": API }), Refusal::Audience)]
#[case("exp", json!(NOW + 301), Refusal::Expiry)]
#[case("exp", json!(NOW), Refusal::Expiry)]
#[case("exp", json!(NOW as f64 + 10.5), Refusal::Expiry)]
#[case("exp", json!("1800000300"), Refusal::Expiry)]
#[case("exp", json!(-1), Refusal::Expiry)]
#[case("exp", json!(u64::MAX), Refusal::Expiry)]
#[case("iat", json!(NOW + 6), Refusal::IssuedAt)]
#[case("iat", json!(NOW - 6), Refusal::IssuedAt)]
#[case("iat", json!(NOW - 1), Refusal::Expiry)]
#[case("nbf", json!(NOW + 6), Refusal::NotBefore)]
#[case("nbf", json!(0), Refusal::NotBefore)]
#[case("nbf", json!("now"), Refusal::NotBefore)]
#[case("client_id", json!("client:svc-router"), Refusal::ClientId)]
#[case("client_id", json!("another"), Refusal::ClientId)]
#[case("scope", json!("read write"), Refusal::Scope)]
#[case("scope", json!("read  read"), Refusal::Scope)]
#[case("scope", json!(["read"]), Refusal::Scope)]
#[case("act", json!({ "iss": OURS, "sub": "client:another" }), Refusal::Actor)]
#[case("act", json!({ "iss": IDP, "sub": "client:svc-router" }), Refusal::Actor)]
#[case("act", json!({ "sub": "client:svc-router" }), Refusal::Actor)]
#[case("act", json!({ "iss": OURS, "sub": "client:svc-router", "act": { "sub": "x" } }), Refusal::Actor)]
#[case("act", json!({ "iss": OURS, "sub": "client:svc-router", "role": "admin" }), Refusal::Actor)]
#[case("tenant", json!("globex"), Refusal::Tenant)]
#[case("policy", json!("ff"), Refusal::Policy)]
#[case("lineage", json!(["x"]), Refusal::Lineage)]
#[case("lineage", json!([]), Refusal::Lineage)]
#[case("provisional", json!(true), Refusal::Provisional)]
#[case("provisional", json!(0), Refusal::Provisional)]
#[case("obo_type", json!("envoy"), Refusal::OboType)]
#[case("obo_type", json!("host"), Refusal::OboType)]
#[case("account_id", json!("a-2"), Refusal::Account)]
#[case("account_id", json!(1), Refusal::Account)]
#[case("csp_id", json!(8), Refusal::Account)]
#[case("csp_id", json!("7"), Refusal::Account)]
#[case("sfdc_account_id", json!("001B"), Refusal::Account)]
#[case("host", json!({ "id": "m-1" }), Refusal::Host)]
#[case("step", json!("look"), Refusal::Step)]
#[case("step", json!(""), Refusal::Step)]
#[case("step", json!(null), Refusal::Step)]
#[case("acr", json!("high"), Refusal::Authentication)]
#[case("amr", json!([]), Refusal::Authentication)]
#[case("auth_time", json!(1), Refusal::Authentication)]
#[case("auth_time", json!(null), Refusal::Authentication)]
#[case("role", json!("admin"), Refusal::Member)]
#[case("cnf", json!({ "jkt": "x" }), Refusal::Member)]
fn every_changed_claim_is_refused(#[case] claim: &str, #[case] value: Value, #[case] why: Refusal) {
    let (mut world, mut claims) = user();
    claims[claim] = value;
    assert_eq!(sign(&mut world, &claims), Err(why));
}

#[rstest]
#[case("iss", Refusal::Issuer)]
#[case("sub", Refusal::Subject)]
#[case("aud", Refusal::Audience)]
#[case("exp", Refusal::Expiry)]
#[case("iat", Refusal::IssuedAt)]
#[case("client_id", Refusal::ClientId)]
#[case("act", Refusal::Actor)]
#[case("tenant", Refusal::Tenant)]
#[case("policy", Refusal::Policy)]
#[case("obo_type", Refusal::OboType)]
#[case("account_id", Refusal::Account)]
fn every_missing_claim_is_refused(#[case] claim: &str, #[case] why: Refusal) {
    let (mut world, mut claims) = user();
    claims.as_object_mut().unwrap().remove(claim).unwrap();
    assert_eq!(sign(&mut world, &claims), Err(why));
}

#[test]
fn claims_that_read_two_ways_are_refused() {
    let (mut world, claims) = user();
    let twice = claims.to_string().replacen('{', "{\"sub\":\"user:acme:u-2\",", 1);
    for text in [twice.as_str(), "", "[]", "{", "null"] {
        assert_eq!(world.approve().cover(Purpose::AccessToken, text, NOW, JTI), Err(Refusal::Malformed));
    }
}

#[test]
fn no_scope_at_all_is_always_covered() {
    let (mut world, mut claims) = user();
    claims.as_object_mut().unwrap().remove("scope");
    sign(&mut world, &claims).unwrap();
    claims["scope"] = json!("");
    sign(&mut world, &claims).unwrap();
}

#[test]
fn what_the_subject_token_says_of_its_authentication_stays() {
    let said = |claims: &mut Value| {
        claims["acr"] = json!("high");
        claims["amr"] = json!(["pwd", "otp"]);
        claims["auth_time"] = json!(NOW - 60);
    };
    for mut world in [World::foreign(said), World::own(said)] {
        world.input.ttl = 100;
        world.examine().unwrap();
        let mut claims = hop_claims(&world);
        if world.input.subject.kind == "external" {
            claims = world.claims();
            claims["obo_type"] = json!("token");
            claims["lineage"] = json!(["name-of-the-foreign-one"]);
        }
        sign(&mut world, &claims).unwrap();
        for name in ["acr", "amr", "auth_time"] {
            let mut without = claims.clone();
            without.as_object_mut().unwrap().remove(name).unwrap();
            assert_eq!(sign(&mut world, &without), Err(Refusal::Authentication), "{name} is left out");
        }
        for (claim, value) in [("acr", json!("higher")), ("amr", json!(["otp", "pwd"])), ("auth_time", json!(NOW))] {
            let mut changed = claims.clone();
            changed[claim] = value;
            assert_eq!(sign(&mut world, &changed), Err(Refusal::Authentication), "{claim}");
        }
    }
}

#[test]
fn an_account_must_be_one_and_the_same() {
    let mut bob = alice();
    bob.accounts = vec![account("a-1", "acme"), account("a-2", "acme"), account("a-3", "globex")];
    bob.accounts[1].csp_id = None;
    let mut world = World::of_user(bob);
    world.examine().unwrap();
    let mut claims = world.claims();
    for (id, csp, outcome) in [("a-1", 7, Ok(())), ("a-2", 7, Err(Refusal::Account)), ("a-3", 7, Err(Refusal::Account))] {
        claims["account_id"] = json!(id);
        claims["csp_id"] = json!(csp);
        assert_eq!(sign(&mut world, &claims), outcome, "{id}");
    }
}

#[test]
fn a_host_is_named_in_the_claims() {
    let mut world = World::host();
    world.examine().unwrap();
    let mut claims = world.claims();
    claims["account_id"] = json!("a-1");
    for (host, outcome) in [
        (json!({ "id": "m-1", "ophid": "op-1" }), Ok(())),
        (json!({ "id": "m-1" }), Err(Refusal::Host)),
        (json!({ "id": "m-2", "ophid": "op-1" }), Err(Refusal::Host)),
        (json!(null), Err(Refusal::Host)),
    ] {
        claims["host"] = host;
        assert_eq!(sign(&mut world, &claims), outcome);
    }
    claims.as_object_mut().unwrap().remove("host");
    assert_eq!(sign(&mut world, &claims), Err(Refusal::Host));
}

#[test]
fn a_step_is_named_in_the_claims() {
    let mut world = World::user();
    for (step, outcome) in [
        (json!("look"), Ok(())),
        (json!("approve"), Err(Refusal::Step)),
        (json!(["look"]), Err(Refusal::Step)),
        (json!(null), Err(Refusal::Step)),
    ] {
        world.input.step = Some("look".into());
        let mut claims = world.claims();
        claims["account_id"] = json!("a-1");
        assert_eq!(sign(&mut world, &claims), Err(Refusal::Step), "it is missing");
        claims["step"] = step;
        assert_eq!(sign(&mut world, &claims), outcome);
    }
}

#[test]
fn a_stranger_stays_marked() {
    let mut world = World::stranger();
    world.examine().unwrap();
    let mut claims = world.claims();
    claims["account_id"] = json!("a-1");
    claims["obo_type"] = json!("envoy");
    assert_eq!(sign(&mut world, &claims), Err(Refusal::Provisional));
    claims["provisional"] = json!(true);
    // The question was completed by now; the component asks about an envoy.
    sign(&mut world, &claims).unwrap();
    let mut hop = World::own(|claims| claims["provisional"] = json!(true));
    hop.examine().unwrap();
    let mut claims = hop_claims(&hop);
    assert_eq!(sign(&mut hop, &claims), Err(Refusal::Provisional));
    claims["provisional"] = json!(true);
    sign(&mut hop, &claims).unwrap();
}

fn hop_claims(world: &World) -> Value {
    let mut claims = world.claims();
    claims["act"] = json!({ "iss": OURS, "sub": "client:svc-router", "act": { "iss": OURS, "sub": "client:first" } });
    claims["lineage"] = json!(["foreign-1", "own-token-own-token-own"]);
    claims["account_id"] = json!("a-1");
    claims
}

#[rstest]
#[case("act", json!({ "iss": OURS, "sub": "client:svc-router" }), Refusal::Actor)]
#[case("lineage", json!(["own-token-own-token-own"]), Refusal::Lineage)]
#[case("lineage", json!(["own-token-own-token-own", "foreign-1"]), Refusal::Lineage)]
#[case("obo_type", json!("token"), Refusal::OboType)]
#[case("account_id", json!("a-2"), Refusal::Account)]
#[case("csp_id", json!(7), Refusal::Account)]
#[case("exp", json!(NOW + 201), Refusal::Expiry)]
fn a_hop_keeps_what_the_token_had(#[case] claim: &str, #[case] value: Value, #[case] why: Refusal) {
    let mut world = World::own(|_| {});
    world.examine().unwrap();
    let mut claims = hop_claims(&world);
    sign(&mut world, &claims).unwrap();
    claims[claim] = value;
    assert_eq!(sign(&mut world, &claims), Err(why));
}

#[test]
fn a_token_ends_with_its_subject_token() {
    let mut world = World::own(|_| {});
    world.input.ttl = 190;
    world.examine().unwrap();
    let mut claims = hop_claims(&world);
    claims["iat"] = json!(NOW + 20);
    for (exp, outcome) in [(NOW + 200, Ok(())), (NOW + 201, Err(Refusal::Expiry))] {
        claims["exp"] = json!(exp);
        let signed = world.approve().cover(Purpose::AccessToken, &claims.to_string(), NOW + 20, JTI);
        assert_eq!(signed.map(|_covered| ()), outcome);
    }
}

#[test]
fn a_foreign_token_has_a_lineage_and_no_account() {
    let mut world = World::foreign(|_| {});
    world.examine().unwrap();
    let mut claims = world.claims();
    claims["obo_type"] = json!("token");
    assert_eq!(sign(&mut world, &claims), Err(Refusal::Lineage));
    claims["lineage"] = json!(["name-of-the-foreign-one"]);
    sign(&mut world, &claims).unwrap();
    claims["account_id"] = json!("a-1");
    assert_eq!(sign(&mut world, &claims), Err(Refusal::Account));
}

#[test]
fn an_allowance_narrows() {
    let (mut world, claims) = user();
    let nothing = |allowance| Allowance { ..allowance };
    for allowance in [
        nothing(Allowance { scope: Some(vec![]), ..UNLIMITED }),
        nothing(Allowance { scope: Some(texts(&["write"])), ..UNLIMITED }),
        nothing(Allowance { audience: Some(vec![]), ..UNLIMITED }),
        nothing(Allowance { ttl: Some(0), ..UNLIMITED }),
    ] {
        assert_eq!(world.approve_within(allowance).unwrap_err(), Unproven::NothingLeft);
    }
    let mut approval = world.approve_within(Allowance { ttl: Some(299), ..UNLIMITED }).unwrap();
    assert_eq!(approval.cover(Purpose::AccessToken, &claims.to_string(), NOW, JTI), Err(Refusal::Expiry));
}

fn words(from: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(proptest::sample::select(from), 0..4).prop_map(|list| texts(&list))
}

fn value(honest: Value) -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => Just(honest),
        1 => prop_oneof![Just(json!("globex")), Just(json!("user:acme:u-2")), Just(json!(null)), any::<u64>().prop_map(Value::from)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_claims_widen(
        asked in words(&["read", "write"]),
        allowed in proptest::option::of(words(&["read", "write", "admin"])),
        allowed_ttl in proptest::option::of(1_u32..600),
        ttl in 1_u32..=500,
        scope in words(&["read", "write", "admin"]),
        audience in words(&[API, "https://other.example.com"]),
        sub in value(json!("user:acme:u-1")),
        tenant in value(json!("acme")),
        life in 0_u64..700,
        late in 0_u64..40,
        iat in -8_i64..8,
    ) {
        let mut world = World::user();
        world.input.scope.clone_from(&asked);
        world.input.ttl = ttl;
        let allowance = Allowance { scope: allowed.clone(), ttl: allowed_ttl, audience: None };
        let Ok(mut approval) = world.approve_within(allowance) else { return Ok(()) };
        let now = NOW + late;
        let iat = now.saturating_add_signed(iat);
        let claims = json!({
            "iss": OURS, "sub": sub, "aud": audience, "exp": now + life, "iat": iat, "jti": "abcdefghijklmnopqrstuv",
            "client_id": "svc-router", "scope": scope.join(" "), "act": { "iss": OURS, "sub": "client:svc-router" },
            "tenant": tenant, "policy": DIGEST, "obo_type": "user", "account_id": "a-1",
        });
        if approval.cover(Purpose::AccessToken, &claims.to_string(), now, JTI).is_ok() {
            prop_assert!(scope.iter().all(|item| asked.contains(item)));
            prop_assert!(scope.iter().all(|item| allowed.as_ref().is_none_or(|allowed| allowed.contains(item))));
            prop_assert!(!audience.is_empty() && audience.iter().all(|item| item == API));
            prop_assert!(life >= 1 && life <= u64::from(allowed_ttl.map_or(ttl, |most| most.min(ttl))));
            prop_assert!(late <= 30 && iat.abs_diff(now) <= 5);
            prop_assert_eq!(sub, "user:acme:u-1");
            prop_assert_eq!(tenant, "acme");
        }
    }
}
