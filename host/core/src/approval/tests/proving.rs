//! Each kind of subject, each disqualifier.

use rstest::rstest;
use serde_json::{Value, json};
use standin_domain::contract::{Attribute, Machine, State, User, UserKey};
use standin_domain::id;

use crate::approval::testing::{API, IDP, NOW, OURS, PSEUDONYM, World, account, alice, issuer, machine, texts};
use crate::approval::{Unproven, identified};
use crate::evidence::TokenRole;
use crate::registry::{ALGORITHM, Algorithm, IssuerRole, SubjectKind, SubjectMapping};

#[rstest]
#[case(World::user(), "user")]
#[case(World::host(), "host")]
#[case(World::stranger(), "provisional")]
#[case(World::foreign(|_| {}), "external")]
#[case(World::joined(alice(), |_| {}), "user")]
#[case(World::owned(None, |_| {}), "user")]
#[case(World::owned(Some(alice()), |_| {}), "user")]
#[case(World::own(|_| {}), "user")]
fn every_kind_is_proven_by_its_evidence(#[case] mut world: World, #[case] kind: &str) {
    world.examine().unwrap();
    assert_eq!(world.input.subject.kind, kind);
    assert_eq!(world.input.now, NOW);
    assert_eq!(world.input.subject.provisional, kind == "provisional");
}

#[rstest]
#[case(World::user())]
#[case(World::host())]
#[case(World::stranger())]
#[case(World::foreign(|_| {}))]
#[case(World::joined(alice(), |_| {}))]
#[case(World::owned(None, |_| {}))]
#[case(World::owned(Some(alice()), |_| {}))]
#[case(World::own(|_| {}))]
fn nothing_is_proven_without_evidence_or_for_a_kind_not_registered(#[case] mut world: World) {
    let subjects = std::mem::take(&mut world.client().subjects);
    assert_eq!(world.examine(), Err(Unproven::SubjectKind));
    world.client().subjects = subjects;
    let mut bare = World::new(&world.input.subject.kind, world.input.subject.id.clone());
    assert_eq!(bare.examine(), Err(Unproven::Subject));
    world.evidence.callers.clear();
    assert_eq!(world.examine(), Err(Unproven::Caller));
}

#[rstest]
#[case(|user: &mut User| user.state = State::Disabled, Unproven::UserNotActive)]
#[case(|user: &mut User| user.state = State::Pending, Unproven::UserNotActive)]
#[case(|user: &mut User| user.accounts.clear(), Unproven::NotAMember)]
#[case(|user: &mut User| user.accounts[0].tenant = "globex".into(), Unproven::NotAMember)]
#[case(|user: &mut User| user.accounts[0].state = State::Disabled, Unproven::NotAMember)]
#[case(|user: &mut User| user.protected = true, Unproven::Protected)]
#[case(|user: &mut User| user.scopes = Some(texts(&["write"])), Unproven::SubjectScope)]
#[case(|user: &mut User| user.scopes = Some(vec![]), Unproven::SubjectScope)]
fn disqualified_users(#[case] change: fn(&mut User), #[case] why: Unproven) {
    let mut user = alice();
    change(&mut user);
    assert_eq!(World::of_user(user.clone()).examine(), Err(why));
    assert_eq!(World::joined(user.clone(), |_| {}).examine(), Err(why));
    assert_eq!(World::owned(Some(user), |_| {}).examine(), Err(why));
}

#[test]
fn protected_users_are_for_clients_registered_for_them() {
    let admin = User { protected: true, ..alice() };
    for mut world in [World::of_user(admin.clone()), World::of_host(machine(), admin)] {
        assert_eq!(world.examine(), Err(Unproven::Protected));
        world.client().protected = true;
        world.examine().unwrap();
    }
}

#[test]
fn an_envoy_may_be_a_known_user_and_is_registered_apart() {
    let mut world = World::user();
    world.input.subject.kind = "envoy".into();
    world.examine().unwrap();
    assert_eq!(world.input.subject.kind, "envoy");
    world.client().subjects = vec![SubjectKind::User];
    assert_eq!(world.examine(), Err(Unproven::SubjectKind));
    world.input.subject.kind = "wizard".into();
    assert_eq!(world.examine(), Err(Unproven::SubjectKind));
}

#[rstest]
#[case(|host: &mut Machine, _: &mut User| host.state = State::Disabled, Unproven::HostNotActive)]
#[case(|host: &mut Machine, _: &mut User| host.account.state = State::Pending, Unproven::HostAccount)]
#[case(|host: &mut Machine, _: &mut User| host.account.tenant = "globex".into(), Unproven::HostAccount)]
#[case(|host: &mut Machine, _: &mut User| host.account.id = "a-2".into(), Unproven::HostKey)]
#[case(|host: &mut Machine, _: &mut User| host.api_keys.clear(), Unproven::HostKey)]
#[case(|host: &mut Machine, _: &mut User| host.api_keys[0].state = State::Disabled, Unproven::HostKey)]
#[case(|host: &mut Machine, _: &mut User| host.api_keys[0].user = "u-2".into(), Unproven::HostKey)]
#[case(|_: &mut Machine, user: &mut User| user.state = State::Disabled, Unproven::HostKey)]
#[case(|_: &mut Machine, user: &mut User| user.primary_account = None, Unproven::HostKey)]
#[case(|_: &mut Machine, user: &mut User| user.protected = true, Unproven::Protected)]
#[case(|_: &mut Machine, user: &mut User| user.scopes = Some(vec![]), Unproven::SubjectScope)]
fn disqualified_hosts(#[case] change: fn(&mut Machine, &mut User), #[case] why: Unproven) {
    let (mut host, mut user) = (machine(), alice());
    change(&mut host, &mut user);
    assert_eq!(World::of_host(host, user).examine(), Err(why));
}

#[rstest]
#[case(|world: &mut World| world.client().provisional_scopes = None, Unproven::ProvisionalNotRegistered)]
#[case(|world: &mut World| world.client().provisional_scopes = Some(vec![]), Unproven::SubjectScope)]
#[case(|world: &mut World| world.evidence.user_questions.clear(), Unproven::ProvisionalUnasked)]
#[case(|world: &mut World| world.evidence.accounts.clear(), Unproven::ProvisionalAccount)]
#[case(|world: &mut World| world.evidence.accounts[0].state = State::Disabled, Unproven::ProvisionalAccount)]
#[case(|world: &mut World| world.evidence.accounts[0].tenant = "globex".into(), Unproven::ProvisionalAccount)]
#[case(|world: &mut World| world.evidence.pseudonyms[0].domain = "provisional:globex".into(), Unproven::Subject)]
#[case(|world: &mut World| world.evidence.pseudonyms[0].digest = "other".into(), Unproven::Subject)]
fn disqualified_strangers(#[case] change: fn(&mut World), #[case] why: Unproven) {
    let mut world = World::stranger();
    change(&mut world);
    assert_eq!(world.examine(), Err(why));
}

#[test]
fn a_known_address_is_no_stranger() {
    let member = User { email: "new@example.com".into(), ..alice() };
    let disabled = User { state: State::Disabled, ..member.clone() };
    let elsewhere = User { accounts: vec![account("a-9", "globex")], ..member.clone() };
    let disabled_elsewhere = User { state: State::Disabled, ..elsewhere.clone() };
    let beyond_reach = User { accounts: vec![account("a-9", "initech")], ..member.clone() };
    let disabled_beyond_reach = User { state: State::Disabled, ..beyond_reach.clone() };
    let pending_nowhere = User { state: State::Pending, accounts: vec![], ..member.clone() };
    for (user, outcome) in [
        (member, Err(Unproven::ProvisionalKnown)),
        (disabled, Err(Unproven::ProvisionalKnown)),
        (elsewhere, Ok(())),
        (disabled_elsewhere, Err(Unproven::ProvisionalKnown)),
        (beyond_reach, Ok(())),
        (disabled_beyond_reach, Err(Unproven::ProvisionalKnown)),
        (pending_nowhere, Err(Unproven::ProvisionalKnown)),
    ] {
        let mut world = World::stranger();
        world.client().cross_tenant = vec![("acme".into(), "globex".into())];
        world.evidence.saw_user(UserKey::Email("new@example.com".into()), Some(&user));
        assert_eq!(world.examine(), outcome);
    }
}

#[test]
fn another_spelling_of_an_address_is_no_stranger() {
    for spelling in ["Alice@example.com", " alice@example.com", "alice", "a\u{308}lice@example.com", "alice@bücher.example"] {
        let mut world = World::new("envoy", id::provisional("acme", PSEUDONYM));
        world.evidence.saw_user(UserKey::Email(spelling.into()), None);
        world.evidence.saw_pseudonym("provisional:acme".into(), spelling.into(), PSEUDONYM);
        world.evidence.saw_account(Some(&account("a-1", "acme")));
        assert_eq!(world.examine(), Err(Unproven::ProvisionalUnasked));
    }
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({ "sub": "client:a" }), |act, _| json!({ "sub": "client:b", "act": act }))
}

#[rstest]
#[case("exp", json!(NOW - 31), Unproven::TokenExpired)]
#[case("exp", json!(NOW - 10), Unproven::TokenExpired)]
#[case("exp", json!(NOW), Unproven::TokenExpired)]
#[case("exp", json!(NOW + 69), Unproven::Lifetime)]
#[case("cnf", json!({ "jkt": "x" }), Unproven::TokenBound)]
#[case("cnf", Value::Null, Unproven::TokenBound)]
#[case("token_type", json!("DPoP"), Unproven::TokenBound)]
#[case("exp", json!("soon"), Unproven::TokenMalformed)]
#[case("exp", Value::Null, Unproven::TokenMalformed)]
#[case("nbf", json!(NOW + 31), Unproven::TokenNotYet)]
#[case("iat", json!(NOW + 31), Unproven::TokenNotYet)]
#[case("iss", json!("https://evil.example.com"), Unproven::TokenIssuer)]
#[case("aud", json!("https://evil.example.com"), Unproven::TokenAudience)]
#[case("aud", json!([]), Unproven::TokenAudience)]
#[case("aud", json!([1]), Unproven::TokenMalformed)]
#[case("tenant", json!("globex"), Unproven::TokenTenant)]
#[case("tenant", json!("initech"), Unproven::TokenTenant)]
#[case("scope", json!("write"), Unproven::SubjectScope)]
#[case("scope", json!(1), Unproven::TokenMalformed)]
#[case("may_act", json!({ "sub": "client:another" }), Unproven::MayAct)]
#[case("may_act", json!({ "sub": "svc-router", "iss": IDP }), Unproven::MayAct)]
#[case("may_act", json!("svc-router"), Unproven::MayAct)]
#[case("act", json!({ "iss": OURS }), Unproven::ChainMalformed)]
#[case("act", json!({ "sub": "a", "act": 1 }), Unproven::ChainMalformed)]
#[case("act", json!({ "sub": "a", "iss": 1 }), Unproven::ChainMalformed)]
#[case("act", nested(5), Unproven::ChainTooLong)]
fn disqualified_tokens(#[case] claim: &str, #[case] value: Value, #[case] why: Unproven) {
    let change = |claims: &mut Value| claims[claim] = value.clone();
    for mut world in [World::foreign(change), World::own(change)] {
        world.input.ttl = 100;
        assert_eq!(world.examine(), Err(why));
    }
}

#[rstest]
#[case("may_act", json!({ "sub": "client:svc-router", "iss": OURS }))]
#[case("may_act", json!({ "sub": "svc-router" }))]
#[case("act", nested(4))]
#[case("nbf", json!(NOW + 30))]
#[case("exp", json!((NOW + 300) as f64 + 0.5))]
fn tokens_at_the_limit(#[case] claim: &str, #[case] value: Value) {
    World::foreign(|claims| claims[claim] = value.clone()).examine().unwrap();
    World::own(|claims| claims[claim] = value.clone()).examine().unwrap();
}

#[rstest]
#[case("jti", json!(1))]
#[case("obo_type", Value::Null)]
#[case("lineage", json!("x"))]
#[case("provisional", json!("no"))]
#[case("csp_id", json!("7"))]
fn malformed_tokens_of_ours(#[case] claim: &str, #[case] value: Value) {
    assert_eq!(World::own(|claims| claims[claim] = value).examine(), Err(Unproven::TokenMalformed));
}

#[test]
fn a_bound_token_is_for_audiences_that_do_without_the_proof() {
    let bound = |claims: &mut Value| claims["cnf"] = json!({ "x5t#S256": "x" });
    for mut world in [World::foreign(bound), World::own(bound), World::joined(alice(), bound)] {
        world.input.ttl = 100;
        world.input.audience = texts(&[API, "https://other.example.com"]);
        world.book.audiences[0].unbound = true;
        assert_eq!(world.examine(), Err(Unproven::TokenBound), "every one of them");
        world.book.audiences[1].unbound = true;
        world.examine().unwrap();
    }
}

#[test]
fn what_is_left_of_a_token_is_all_that_is_approved() {
    // The component reckoned 100 seconds when the request came in.
    let ends = |claims: &mut Value| claims["exp"] = json!(NOW + 70);
    for mut world in [World::foreign(ends), World::own(ends)] {
        world.input.ttl = 100;
        world.examine().unwrap();
        assert_eq!(world.input.ttl, 70);
    }
}

#[test]
fn a_token_of_ours_serves_only_whom_it_was_addressed_to() {
    let mut world = World::own(|_| {});
    world.client().is_audience = texts(&["https://another.example.com"]);
    assert_eq!(world.examine(), Err(Unproven::TokenAudience));
}

#[test]
fn the_tokens_limits_hold_though_the_directory_names_the_subject_too() {
    let mut world = World::own(|claims| claims["exp"] = json!(NOW - 60));
    world.evidence.saw_user(UserKey::Id("u-1".into()), Some(&alice()));
    assert_eq!(world.examine(), Err(Unproven::TokenExpired));
}

#[test]
fn without_a_scope_claim_the_issuers_scopes_hold_and_else_none() {
    let drop_scope = |claims: &mut Value| {
        claims.as_object_mut().unwrap().remove("scope");
    };
    let mut world = World::foreign(drop_scope);
    assert_eq!(world.examine(), Err(Unproven::SubjectScope));
    world.book.issuers[0].scopes = Some(texts(&["read"]));
    world.examine().unwrap();
    assert_eq!(World::own(drop_scope).examine(), Err(Unproven::SubjectScope));
}

#[test]
fn the_tenant_is_claimed_or_the_only_one() {
    let mut world = World::foreign(|claims| {
        claims.as_object_mut().unwrap().remove("tenant");
    });
    assert_eq!(world.examine(), Err(Unproven::TokenTenant));
    world.book.issuers[0].tenant_claim = None;
    assert_eq!(world.examine(), Err(Unproven::TokenTenant));
    world.book.issuers[0].tenants = texts(&["acme"]);
    world.examine().unwrap();
}

#[test]
fn an_issuer_of_callers_speaks_for_no_subject() {
    let mut world = World::foreign(|_| {});
    world.book.issuers[0].role = IssuerRole::Caller;
    assert_eq!(world.examine(), Err(Unproven::TokenIssuer));
    let mut world = World::foreign(|_| {});
    world.evidence.tokens[0].role = TokenRole::Caller;
    assert_eq!(world.examine(), Err(Unproven::Subject));
}

#[test]
fn an_issuer_owns_the_names_of_users_and_no_others() {
    for (said, ours, outcome) in [
        ("alice", "ext:corp:alice", Err(Unproven::Subject)),
        ("alice", "alice", Err(Unproven::Subject)),
        ("alice", "user:acme:alice", Ok(())),
        ("client:svc-router", "client:svc-router", Err(Unproven::Subject)),
        ("globex:alice", "user:globex:alice", Err(Unproven::Subject)),
    ] {
        let mut world = World::foreign(|claims| claims["sub"] = json!(said));
        world.book.issuers[0] = issuer("corp", IDP, IssuerRole::Subject, SubjectMapping::AsIs);
        world.input.subject.id = ours.into();
        world.evidence.saw_user(UserKey::Id(said.into()), None);
        assert_eq!(world.examine(), outcome, "{said} as {ours}");
    }
}

#[test]
fn a_claim_joins_only_the_user_the_directory_gave_for_it() {
    let mut world = World::joined(alice(), |claims| claims["email"] = json!("eve@example.com"));
    // The token names nobody; as a descriptor the directory's answer still does.
    world.client().subjects = vec![SubjectKind::Token];
    assert_eq!(world.examine(), Err(Unproven::SubjectKind));
}

#[test]
fn callers_by_token() {
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({ "iss": "https://callers.example.com", "sub": "router", "aud": OURS, "exp": NOW + 60 });
        change(&mut claims);
        let mut world = World::user();
        world.evidence.callers.clear();
        world.evidence.saw_token(
            TokenRole::Caller,
            "https://callers.example.com",
            "name-of-the-callers",
            Some("jwt"),
            claims.as_object().unwrap().clone(),
        );
        world
    };
    // What the request is told before it asks the policy takes the same proof.
    let known = |world: &World| {
        let client = identified("https://callers.example.com", "router", &world.evidence, &world.book, NOW);
        client.map(|client| client.id.clone())
    };
    claims(&|_| {}).examine().unwrap();
    assert_eq!(known(&claims(&|_| {})).as_deref(), Some("svc-router"));
    for (claim, value, why) in [
        ("iss", json!(IDP), Unproven::CallerToken),
        ("sub", json!("another"), Unproven::CallerUnregistered),
        ("sub", json!(1), Unproven::CallerToken),
        ("aud", json!(API), Unproven::CallerTokenAudience),
        ("exp", json!(NOW - 30), Unproven::CallerTokenTime),
        ("cnf", json!({ "jkt": "x" }), Unproven::CallerTokenBound),
        ("cnf", Value::Null, Unproven::CallerTokenBound),
        ("nbf", json!(NOW + 31), Unproven::CallerTokenTime),
        ("exp", Value::Null, Unproven::CallerToken),
    ] {
        let mut world = claims(&|claims| claims[claim] = value.clone());
        assert_eq!(known(&world), None, "{claim}: {value}");
        assert_eq!(world.examine(), Err(why), "{claim}");
    }
    let mut world = claims(&|_| {});
    world.evidence.tokens[0].role = TokenRole::Subject;
    assert_eq!(known(&world), None);
    assert_eq!(world.examine(), Err(Unproven::Caller));
    let mut world = claims(&|_| {});
    world.book.issuers[2].role = IssuerRole::Subject;
    assert_eq!(world.examine(), Err(Unproven::CallerToken));
}

#[test]
fn attested_callers_are_registered_for_it() {
    let mut world = World::user();
    world.evidence.callers.clear();
    world.evidence.saw_attested("svc-router");
    assert_eq!(world.examine(), Err(Unproven::CallerNotAttestable));
    world.client().attested = true;
    world.examine().unwrap();
    world.book.clients.clear();
    assert_eq!(world.examine(), Err(Unproven::CallerUnregistered));
}

#[test]
fn crossing_is_directed_and_starts_from_an_own_tenant() {
    let globex = User { accounts: vec![account("a-2", "globex")], ..alice() };
    let mut world = World::of_user(globex);
    world.input.tenant = "globex".into();
    world.input.subject.id = id::user("globex", "u-1");
    for refused in [vec![], vec![("globex".into(), "acme".into())], vec![("initech".into(), "globex".into())]] {
        world.client().cross_tenant = refused;
        assert_eq!(world.examine(), Err(Unproven::Tenant));
    }
    world.client().cross_tenant = vec![("acme".into(), "globex".into())];
    world.examine().unwrap();
    let fact = world.input.attributes.last().unwrap();
    assert_eq!((fact.name.as_str(), fact.value.as_str()), ("cross_tenant.from", "\"acme\""));
}

#[rstest]
#[case(|world: &mut World| world.input.scope = texts(&["delete"]), Unproven::ClientScope)]
#[case(|world: &mut World| world.input.scope = texts(&["admin"]), Unproven::AudienceScope)]
#[case(|world: &mut World| world.input.audience.clear(), Unproven::AudienceUnregistered)]
#[case(|world: &mut World| world.input.audience.push("https://third.example.com".into()), Unproven::ClientAudience)]
#[case(|world: &mut World| world.book.audiences.clear(), Unproven::AudienceUnregistered)]
#[case(|world: &mut World| world.book.audiences[0].tenants = Some(texts(&["globex"])), Unproven::AudienceTenant)]
#[case(|world: &mut World| world.book.audiences[0].attributes = vec![signed_with("\"none\"")], Unproven::AudienceAlgorithm)]
#[case(|world: &mut World| world.book.audiences[0].attributes = vec![signed_with("ES256")], Unproven::AudienceAlgorithm)]
#[case(|world: &mut World| world.book.audiences[0].flow = "exchange".into(), Unproven::AudienceFlow)]
#[case(|world: &mut World| world.input.ttl = 0, Unproven::Lifetime)]
#[case(|world: &mut World| world.input.ttl = 501, Unproven::Lifetime)]
#[case(|world: &mut World| world.client().max_ttl = 299, Unproven::Lifetime)]
#[case(|world: &mut World| world.book.settings.max_ttl = 299, Unproven::Lifetime)]
fn nothing_beyond_the_registrations(#[case] change: fn(&mut World), #[case] why: Unproven) {
    let mut world = World::user();
    change(&mut world);
    assert_eq!(world.examine(), Err(why));
}

fn signed_with(value: &str) -> Attribute {
    Attribute { name: ALGORITHM.into(), value: value.into() }
}

#[test]
fn the_audiences_registration_says_what_is_signed_with() {
    let mut world = World::user();
    world.book.audiences[0].attributes = vec![signed_with("\"RS256\"")];
    assert_eq!(world.approve().algorithm(), Some(Algorithm::Rs256));
    world.input.audience = world.book.audiences.iter().map(|audience| audience.id.clone()).collect();
    assert!(world.input.audience.len() > 1);
    let all = world.input.audience.clone();
    world.client().audiences = all;
    assert_eq!(world.examine(), Err(Unproven::AudienceAlgorithm), "one token has one signature");
    for audience in &mut world.book.audiences {
        audience.attributes = vec![signed_with("\"ES256\"")];
    }
    assert_eq!(world.approve().algorithm(), Some(Algorithm::Es256));
    world.book.audiences.iter_mut().for_each(|audience| audience.attributes.clear());
    assert_eq!(world.approve().algorithm(), None);
}

#[test]
fn the_policy_sees_the_hosts_facts_and_not_the_components() {
    let lie = |name: &str| Attribute { name: name.into(), value: "true".into() };
    let mut world = World::foreign(|claims| claims["act"] = nested(2));
    world.input.subject.attributes = vec![lie("mfa")];
    world.input.caller.attributes = vec![lie("trusted")];
    world.input.caller.tenants = texts(&["globex"]);
    world.input.attributes = vec![lie("edge.invented"), lie("cross_tenant.from")];
    world.evidence.edge = vec![lie("edge.country"), lie("cross_tenant.from")];
    world.input.chain = texts(&["client:liar"]);
    world.examine().unwrap();
    let names = |list: &[Attribute]| list.iter().map(|fact| fact.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&world.input.subject.attributes), ["issuer", "acr"]);
    assert_eq!(names(&world.input.caller.attributes), ["team"]);
    assert_eq!(names(&world.input.attributes), ["edge.country"]);
    assert_eq!(world.input.caller.tenants, ["acme"]);
    assert_eq!(world.input.chain, ["ext:corp:client%3Ab", "ext:corp:client%3Aa"]);
    let mut world = World::user();
    world.examine().unwrap();
    assert_eq!(names(&world.input.subject.attributes), ["protected", "department"]);
}
