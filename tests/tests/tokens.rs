//! Subject tokens: trusted issuers, hops, chains, scopes and lifetimes, through the real component.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use standin::Standin;
use standin::directory::import::{Mode, import};
use standin::keys::foreign_name;
use standin::sqlite::Database;
use standin::types::{Minted, Request, Subject};
use standin_tests::idp::{IDP, Idp, KID, claims_of, message, now};
use standin_tests::requests::{envoy, host, request, token, user};
use standin_tests::world::{API, ISSUER, LEDGER, World, directory};

async fn mint(standin: &Standin, request: Request) -> Result<Minted, String> {
    standin.mint_on_behalf(request).await.map_err(|failure| failure.code)
}

async fn exchange(standin: &Standin, client: &str, subject_token: String) -> Result<Value, String> {
    mint(standin, request(client, token(subject_token))).await.map(|minted| claims_of(&minted.token))
}

fn header() -> Value {
    json!({ "alg": "ES256", "typ": "JWT", "kid": KID })
}

fn asking(client: &str, subject_token: String, scope: &[&str], audience: &str, ttl: Option<u32>) -> Request {
    Request {
        scope: scope.iter().map(|scope| (*scope).to_owned()).collect(),
        audience: vec![audience.to_owned()],
        requested_ttl: ttl,
        ..request(client, token(subject_token))
    }
}

#[tokio::test]
async fn a_good_token_is_exchanged_with_every_claim_in_place() {
    let world = World::new().await;
    let standin = world.standin().await;
    let subject = world.idp.token(json!({ "act": { "sub": "portal" } }));
    let name = foreign_name(IDP, claims_of(&subject)["jti"].as_str().unwrap());
    let minted = mint(&standin, asking("svc-router", subject, &["expenses:read"], API, Some(120))).await.unwrap();
    assert_eq!((minted.token_type.as_str(), minted.expires_in), ("Bearer", 120));
    let claims = claims_of(&minted.token);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], "ext:corp:alice");
    assert_eq!(claims["aud"], API);
    assert_eq!(claims["client_id"], "svc-router");
    assert_eq!(claims["scope"], "expenses:read");
    assert_eq!(claims["tenant"], "acme");
    assert_eq!(claims["obo_type"], "token");
    assert_eq!(claims["lineage"], json!([name]));
    let portal = json!({ "iss": IDP, "sub": "portal" });
    assert_eq!(claims["act"], json!({ "iss": ISSUER, "sub": "client:svc-router", "act": portal }));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    assert_eq!(claims["policy"].as_str().unwrap().len(), 64);
}

#[rstest]
#[case::expired(json!({ "exp": now() - 31 }), "subject.expired")]
#[case::expired_within_the_leeway(json!({ "exp": now() - 5 }), "subject.expired")]
#[case::expired_this_very_second(json!({ "exp": now() }), "subject.expired")]
#[case::bound_to_a_key(json!({ "cnf": { "jkt": "x" } }), "subject.bound")]
#[case::not_before(json!({ "nbf": now() + 60 }), "subject.not_yet_valid")]
#[case::issued_in_the_future(json!({ "iat": now() + 60 }), "subject.not_yet_valid")]
#[case::without_exp(json!({ "exp": null }), "subject.missing_claim")]
#[case::without_sub(json!({ "sub": null }), "subject.missing_claim")]
#[case::exp_of_another_type(json!({ "exp": "soon" }), "subject.malformed")]
#[case::empty_sub(json!({ "sub": "" }), "subject.malformed")]
#[case::wrong_audience(json!({ "aud": "https://elsewhere.example.com" }), "subject.audience")]
#[case::no_audience(json!({ "aud": null }), "subject.audience")]
#[case::wrong_issuer(json!({ "iss": "https://evil.example.com" }), "subject.untrusted_issuer")]
#[case::a_caller_issuer(json!({ "iss": "https://callers.example.com" }), "subject.untrusted_issuer")]
#[case::our_own_issuer(json!({ "iss": ISSUER }), "subject.unknown_key")]
#[case::tenant_of_nobody(json!({ "tenant": "initech" }), "subject.tenant")]
#[case::without_tenant(json!({ "tenant": null }), "subject.tenant")]
#[case::tenant_of_another_client(json!({ "tenant": "globex" }), "target.tenant")]
#[case::may_act_of_another(json!({ "may_act": { "sub": "svc-other" } }), "subject.may_act")]
#[case::may_act_elsewhere(json!({ "may_act": { "sub": "svc-router", "iss": IDP } }), "subject.may_act")]
#[case::may_act_malformed(json!({ "may_act": "svc-router" }), "subject.may_act")]
#[case::chain_without_sub(json!({ "act": { "iss": "x" } }), "subject.chain")]
#[case::chain_of_another_type(json!({ "act": "svc" }), "subject.chain")]
#[case::chain_too_long(json!({ "act": { "sub": "5", "act": { "sub": "4", "act": { "sub": "3", "act": { "sub": "2", "act": { "sub": "1" } } } } } }), "subject.chain_too_long")]
#[tokio::test]
async fn a_bad_claim_is_refused(#[case] changes: Value, #[case] code: &str) {
    let world = World::new().await;
    let standin = world.standin().await;
    assert_eq!(exchange(&standin, "svc-router", world.idp.token(changes)).await.unwrap_err(), code);
}

#[rstest]
#[case::may_act_by_id(json!({ "may_act": { "sub": "svc-router" } }))]
#[case::may_act_by_sub(json!({ "may_act": { "sub": "client:svc-router", "iss": ISSUER } }))]
#[case::within_the_leeway(json!({ "nbf": now() + 20, "iat": now() + 20 }))]
#[case::several_audiences(json!({ "aud": ["https://elsewhere.example.com", ISSUER] }))]
#[case::four_actors(json!({ "act": { "sub": "4", "act": { "sub": "3", "act": { "sub": "2", "act": { "sub": "1" } } } } }))]
#[tokio::test]
async fn a_good_claim_is_taken(#[case] changes: Value) {
    let world = World::new().await;
    let standin = world.standin().await;
    exchange(&standin, "svc-router", world.idp.token(changes)).await.unwrap();
}

#[tokio::test]
async fn forged_and_misshapen_tokens_are_refused() {
    let world = World::new().await;
    let standin = world.standin().await;
    let idp = &world.idp;
    let claims = Idp::claims(json!({}));
    let good = idp.sign(&header(), &claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let mut deep = json!({});
    for _ in 0..40 {
        deep = json!({ "in": deep });
    }
    let twice = format!("{}.{}.AAAA", message(&header(), &claims).split('.').next().unwrap(), {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD
            .encode(r#"{"iss":"https://idp.example.com","iss":"https://evil.example.com"}"#)
    });
    let cases = [
        ("alg none", format!("{}.", message(&json!({ "alg": "none", "typ": "JWT", "kid": KID }), &claims)), "subject.algorithm"),
        (
            "alg none, signed",
            format!("{}.{signature}", message(&json!({ "alg": "none", "kid": KID }), &claims)),
            "subject.algorithm",
        ),
        ("hmac with the public key", idp.hmac_with_public_key(&claims), "subject.algorithm"),
        ("an algorithm not registered", idp.sign(&json!({ "alg": "RS256", "kid": KID }), &claims), "subject.algorithm"),
        ("unknown kid", idp.sign(&json!({ "alg": "ES256", "kid": "other" }), &claims), "subject.unknown_key"),
        ("stranger's key", idp.sign_as_stranger(&header(), &claims), "subject.signature"),
        (
            "changed claims",
            format!("{}.{signature}", message(&header(), &Idp::claims(json!({ "sub": "root" })))),
            "subject.signature",
        ),
        ("typ of something else", idp.sign(&json!({ "alg": "ES256", "typ": "logout+jwt", "kid": KID }), &claims), "subject.type"),
        ("crit", idp.sign(&json!({ "alg": "ES256", "kid": KID, "crit": ["exp"] }), &claims), "subject.malformed"),
        ("two parts", head.to_owned(), "subject.malformed"),
        ("four parts", format!("{good}.x"), "subject.malformed"),
        ("padding", format!("{good}="), "subject.malformed"),
        ("not base64", good.replacen('.', ".!", 1), "subject.malformed"),
        ("nothing", String::new(), "subject.malformed"),
        ("a megabyte", idp.token(json!({ "pad": "x".repeat(1 << 20) })), "subject.too_large"),
        ("deep claims", idp.token(json!({ "deep": deep })), "subject.malformed"),
        ("a claim twice", twice, "subject.malformed"),
    ];
    for (name, subject_token, code) in cases {
        assert_eq!(exchange(&standin, "svc-router", subject_token).await.unwrap_err(), code, "{name}");
    }
    let mut wrong_type = request("svc-router", token(good));
    if let standin::types::Subject::Token(token) = &mut wrong_type.subject {
        token.token_type = "urn:ietf:params:oauth:token-type:saml2".to_owned();
    }
    assert_eq!(mint(&standin, wrong_type).await.unwrap_err(), "subject.token_type");
}

#[tokio::test]
async fn issuers_map_their_subjects_as_registered() {
    let world = World::new().await;
    let standin = world.standin().await;
    let of = |issuer: &str, more: Value| {
        let mut changes = json!({ "iss": issuer, "tenant": null });
        changes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.idp.token(changes)
    };
    let named = async |subject_token| exchange(&standin, "svc-router", subject_token).await.map(|claims| claims["sub"].clone());
    assert_eq!(named(of("https://joined.example.com", json!({ "employee": "E-2" }))).await.unwrap(), "user:acme:u-bob");
    assert_eq!(named(of("https://joined.example.com", json!({ "employee": "E-9" }))).await.unwrap_err(), "target.not_found");
    assert_eq!(named(of("https://joined.example.com", json!({}))).await.unwrap_err(), "subject.missing_claim");
    assert_eq!(named(of("https://owner.example.com", json!({ "sub": "a:b" }))).await.unwrap(), "user:acme:a%3Ab");
    assert_eq!(named(world.idp.token(json!({ "sub": "a:b" }))).await.unwrap(), "ext:corp:a%3Ab");
    // A token without `scope` has its issuer's; where none is registered, none.
    let scopeless = of("https://owner.example.com", json!({ "scope": null }));
    let claims = exchange(&standin, "svc-router", scopeless).await.unwrap();
    assert_eq!(claims["scope"], "expenses:read");
    let claims = exchange(&standin, "svc-router", world.idp.token(json!({ "scope": null }))).await.unwrap();
    assert_eq!(claims.get("scope"), None);
}

#[tokio::test]
async fn key_sets_are_cached_refreshed_with_measure_and_outlive_their_source() {
    let world = World::new().await;
    let standin = world.standin().await;
    for _ in 0..5 {
        exchange(&standin, "svc-router", world.idp.token(json!({}))).await.unwrap();
    }
    assert_eq!(world.idp.fetched(), 1);
    for _ in 0..5 {
        let unknown = world.idp.sign(&json!({ "alg": "ES256", "kid": "rotated" }), &Idp::claims(json!({})));
        assert_eq!(exchange(&standin, "svc-router", unknown).await.unwrap_err(), "subject.unknown_key");
    }
    assert_eq!(world.idp.fetched(), 2, "an unknown kid refreshes once a minute");
    world.idp.go_down();
    exchange(&standin, "svc-router", world.idp.token(json!({}))).await.unwrap();

    let world = World::new().await;
    world.idp.go_down();
    let standin = world.standin().await;
    assert_eq!(exchange(&standin, "svc-router", world.idp.token(json!({}))).await.unwrap_err(), "subject.unavailable");
}

#[tokio::test]
async fn a_hop_is_for_the_addressee_only_and_narrows() {
    let world = World::new().await;
    let standin = world.standin().await;
    let first =
        mint(&standin, asking("svc-router", world.idp.token(json!({})), &["expenses:read"], API, Some(200))).await.unwrap();
    let first_claims = claims_of(&first.token);
    assert_eq!(exchange(&standin, "svc-router", first.token.clone()).await.unwrap_err(), "subject.addressee");
    assert_eq!(exchange(&standin, "svc-strict", first.token.clone()).await.unwrap_err(), "subject.addressee");
    let wider = asking("svc-ledger", first.token.clone(), &["expenses:write"], API, None);
    assert_eq!(mint(&standin, wider).await.unwrap_err(), "scope.empty");
    let second = mint(&standin, asking("svc-ledger", first.token.clone(), &["expenses:read"], LEDGER, Some(900))).await.unwrap();
    let claims = claims_of(&second.token);
    assert_eq!(claims["sub"], first_claims["sub"]);
    assert_eq!(claims["scope"], "expenses:read");
    assert!(claims["exp"].as_u64() <= first_claims["exp"].as_u64());
    assert!(second.expires_in <= 120, "the audience's own bound");
    let router = json!({ "iss": ISSUER, "sub": "client:svc-router" });
    assert_eq!(claims["act"], json!({ "iss": ISSUER, "sub": "client:svc-ledger", "act": router }));
    assert_eq!(claims["lineage"].as_array().unwrap().last(), Some(&first_claims["jti"]));
    assert_eq!(claims["lineage"].as_array().unwrap().len(), 2);
    // Nobody receives tokens as the ledger.
    assert_eq!(exchange(&standin, "svc-ledger", second.token).await.unwrap_err(), "subject.addressee");
}

/// What the directory takes back holds for tokens that are out already: at the next hop.
#[rstest]
#[case::the_user_is_disabled(user("bob@example.com"), "/users/1/state", json!("disabled"), Err("target.inactive"))]
#[case::the_user_is_protected_now(user("bob@example.com"), "/users/1/protected", json!(true), Err("target.protected"))]
#[case::the_user_has_left_the_account(user("bob@example.com"), "/users/1", json!({ "id": "u-bob", "email": "bob@example.com", "accounts": ["acme-us"], "primary_account": "acme-us" }), Err("target.not_found"))]
#[case::the_account_is_disabled(user("bob@example.com"), "/accounts/0/state", json!("disabled"), Err("target.not_found"))]
#[case::the_user_has_less_scope(user("bob@example.com"), "/users/1/scopes", json!(["expenses:write"]), Err("scope.empty"))]
#[case::the_host_is_disabled(host("ophid.edge-7"), "/hosts/0/state", json!("disabled"), Err("target.inactive"))]
#[case::the_hosts_user_is_disabled(host("ophid.edge-7"), "/users/1/state", json!("disabled"), Err("target.inactive"))]
#[case::the_hosts_key_is_disabled(host("ophid.edge-7"), "/hosts/0/api_keys/0/state", json!("disabled"), Err("target.no_live_key"))]
#[case::the_edges_account_is_disabled(envoy("new@example.com", "001AcmeEU"), "/accounts/0/state", json!("disabled"), Err("target.not_found"))]
#[case::another_user_is_disabled(user("bob@example.com"), "/users/0/state", json!("disabled"), Ok(()))]
#[case::the_hosts_neighbour_is_disabled(host("ophid.edge-7"), "/users/0/state", json!("disabled"), Ok(()))]
#[tokio::test]
async fn a_hop_asks_the_directory_again(
    #[case] subject: Subject,
    #[case] at: &str,
    #[case] value: Value,
    #[case] expected: Result<(), &str>,
) {
    let world = World::new().await;
    let standin = world.standin().await;
    let first = mint(&standin, request("svc-router", subject)).await.unwrap();
    let mut document = directory();
    match document.pointer_mut(at) {
        Some(known) => *known = value,
        None => {
            let (parent, name) = at.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    let database = Database::create(&world.config().directory).unwrap();
    import(&database, document.to_string().as_bytes(), Mode::Replace).unwrap();
    let second = mint(&standin, asking("svc-ledger", first.token, &["expenses:read"], LEDGER, None)).await;
    assert_eq!(second.map(|_| ()), expected.map_err(str::to_owned));
}

#[tokio::test]
async fn a_provisional_subject_stays_provisional() {
    let world = World::new().await;
    let standin = world.standin().await;
    let envoy = request("svc-router", standin_tests::requests::envoy("new@example.com", "001AcmeEU"));
    let first = mint(&standin, envoy).await.unwrap();
    let claims = exchange(&standin, "svc-ledger", first.token.clone()).await.unwrap();
    assert_eq!(claims["provisional"], true);
    assert_eq!(claims["sub"], claims_of(&first.token)["sub"]);
}

#[tokio::test]
async fn a_chain_stops_growing_at_its_cap() {
    let loops = |text: &mut String| {
        *text = text.replace(
            "is_audience = [\"https://api.example.com\"]",
            "is_audience = [\"https://api.example.com\"]\ndefault_scopes = [\"expenses:read\"]",
        )
    };
    let world = World::with(loops, |_| {}).await;
    let standin = world.standin().await;
    let mut subject_token = mint(&standin, request("svc-router", token(world.idp.token(json!({}))))).await.unwrap().token;
    for _ in 0..4 {
        subject_token = mint(&standin, request("svc-ledger", token(subject_token))).await.unwrap().token;
    }
    assert_eq!(exchange(&standin, "svc-ledger", subject_token).await.unwrap_err(), "subject.chain_too_long");
}

#[tokio::test]
async fn crossing_is_directed() {
    let world = World::new().await;
    let standin = world.standin().await;
    let globex = || world.idp.token(json!({ "tenant": "globex" }));
    assert_eq!(exchange(&standin, "svc-crosser", globex()).await.unwrap()["tenant"], "globex");
    assert_eq!(exchange(&standin, "svc-router", globex()).await.unwrap_err(), "target.tenant");
    // The other way round nobody registered.
    assert_eq!(exchange(&standin, "svc-other", world.idp.token(json!({}))).await.unwrap_err(), "target.tenant");
    let gina = |client| request(client, user("gina@globex.example"));
    assert_eq!(claims_of(&mint(&standin, gina("svc-crosser")).await.unwrap().token)["sub"], "user:globex:u-gina");
    assert_eq!(mint(&standin, gina("svc-router")).await.unwrap_err(), "target.not_found");
    // In both tenants: one's own comes first.
    let both = request("svc-crosser", user("both@example.com"));
    assert_eq!(claims_of(&mint(&standin, both).await.unwrap().token)["tenant"], "acme");
}

#[tokio::test]
async fn scopes_narrow_and_say_what_was_dropped() {
    let world = World::new().await;
    let standin = world.standin().await;
    let read_only = || world.idp.token(json!({ "scope": "expenses:read" }));
    let both = &["expenses:read", "expenses:write"];
    let minted = mint(&standin, asking("svc-router", read_only(), both, API, None)).await.unwrap();
    assert_eq!(minted.scope, ["expenses:read"]);
    let dropped = standin::attribute(&minted.attributes, "dropped_scope").unwrap();
    assert_eq!(dropped, json!([{ "scope": "expenses:write", "by": "subject" }]));
    assert_eq!(mint(&standin, asking("svc-strict", read_only(), both, API, None)).await.unwrap_err(), "scope.not_allowed");
    assert_eq!(
        mint(&standin, asking("svc-router", read_only(), &["expenses:write"], API, None)).await.unwrap_err(),
        "scope.empty"
    );
    assert_eq!(mint(&standin, asking("svc-router", read_only(), &["bad\"scope"], API, None)).await.unwrap_err(), "scope.invalid");
    // What refuses is explained with every term.
    let refused = standin.explain(asking("svc-strict", read_only(), both, API, None)).await.unwrap();
    let refused: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!((&refused["outcome"], &refused["failure"]["code"]), (&json!("deny"), &json!("scope.not_allowed")));
    let terms = refused["ceilings"]["scope"]["terms"].as_array().unwrap();
    assert!(terms.contains(&json!({ "by": "subject", "allows": ["expenses:read"] })), "{refused}");
    assert_eq!(refused["dropped"], json!([{ "scope": "expenses:write", "by": "subject" }]));
    // Nothing asked is the client's default; the audience's own scopes are a term too.
    let minted = mint(&standin, asking("svc-router", world.idp.token(json!({})), &[], API, None)).await.unwrap();
    assert_eq!(minted.scope, ["expenses:read"]);
    let minted = mint(&standin, asking("svc-router", world.idp.token(json!({})), both, LEDGER, None)).await.unwrap();
    assert_eq!(minted.scope, ["expenses:read"]);
}

#[tokio::test]
async fn audiences_are_the_clients_own_and_well_formed() {
    let world = World::new().await;
    let standin = world.standin().await;
    let of = |audience: &[&str], resource: &[&str]| Request {
        audience: audience.iter().map(|name| (*name).to_owned()).collect(),
        resource: resource.iter().map(|name| (*name).to_owned()).collect(),
        ..request("svc-router", token(world.idp.token(json!({}))))
    };
    let minted = mint(&standin, of(&[API], &[LEDGER])).await.unwrap();
    assert_eq!(claims_of(&minted.token)["aud"], json!([API, LEDGER]));
    assert_eq!(mint(&standin, of(&[], &[])).await.unwrap_err(), "audience.missing");
    assert_eq!(mint(&standin, of(&["https://other.example.com"], &[])).await.unwrap_err(), "audience.not_allowed");
    assert_eq!(mint(&standin, of(&[API, "https://other.example.com"], &[])).await.unwrap_err(), "audience.not_allowed");
    assert_eq!(mint(&standin, of(&[], &["https://api.example.com/#x"])).await.unwrap_err(), "audience.invalid");
    assert_eq!(mint(&standin, of(&[], &["/relative"])).await.unwrap_err(), "audience.invalid");
}

#[rstest]
#[case::default(API, None, 600, 300)]
#[case::asked(API, Some(60), 600, 60)]
#[case::the_clients(API, Some(3600), 1800, 600)]
#[case::the_audiences(LEDGER, Some(3600), 600, 120)]
#[case::what_remains(API, Some(3600), 90, 90)]
#[tokio::test]
async fn a_lifetime_is_the_least_of_its_bounds(
    #[case] audience: &str,
    #[case] asked: Option<u32>,
    #[case] remains: u64,
    #[case] granted: u32,
) {
    let world = World::new().await;
    let standin = world.standin().await;
    let subject = world.idp.token(json!({ "exp": now() + remains }));
    let minted = mint(&standin, asking("svc-router", subject, &["expenses:read"], audience, asked)).await.unwrap();
    assert!(minted.expires_in <= granted && minted.expires_in + 2 >= granted, "{} instead of {granted}", minted.expires_in);
}

#[tokio::test]
async fn no_lifetime_is_no_token() {
    let world = World::new().await;
    let standin = world.standin().await;
    assert_eq!(
        mint(&standin, asking("svc-router", world.idp.token(json!({})), &[], API, Some(0))).await.unwrap_err(),
        "ttl.none"
    );
}

#[tokio::test]
async fn a_revoked_ancestor_ends_the_chain() {
    let world = World::new().await;
    let store = Arc::new(standin::store::MemoryStore::new(Arc::new(standin::clock::SystemClock::default())));
    let standin = world.builder().store(Arc::clone(&store) as Arc<dyn standin::store::Store>).build().await.unwrap();
    let subject = world.idp.token(json!({}));
    let name = foreign_name(IDP, claims_of(&subject)["jti"].as_str().unwrap());
    let first = mint(&standin, request("svc-router", token(subject))).await.unwrap();
    exchange(&standin, "svc-ledger", first.token.clone()).await.unwrap();
    let space = standin::store::Space::Revocation;
    standin::store::Store::compare_and_swap(&*store, space, name.as_bytes(), None, b"", now() + 600).await.unwrap();
    assert_eq!(exchange(&standin, "svc-ledger", first.token).await.unwrap_err(), "subject.revoked");
}
