//! Who is who: actors that another issuer names, users whose names an issuer owns, unknown users, the account that is meant, and what
//! was revoked. Through the real component; what the host alone has to hold is in `host/core/src/approval/tests` and `hostile.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use standin::Standin;
use standin::clock::SystemClock;
use standin::directory::import::{Mode, import};
use standin::keys::foreign_name;
use standin::sqlite::Database;
use standin::store::{MemoryStore, Space, Store};
use standin::types::{Attribute, Minted, Request};
use standin_tests::idp::{IDP, claims_of, now};
use standin_tests::ports::NoStore;
use standin_tests::requests::{basic, body, envoy, http, request, token, unique};
use standin_tests::world::{API, ISSUER, LEDGER, World, directory};

const OWNER: &str = "https://owner.example.com";
const JOINED: &str = "https://joined.example.com";

async fn mint(standin: &Standin, request: Request) -> Result<Minted, String> {
    standin.mint_on_behalf(request).await.map_err(|failure| failure.code)
}

async fn exchange(standin: &Standin, client: &str, subject_token: String) -> Result<Value, String> {
    mint(standin, request(client, token(subject_token))).await.map(|minted| claims_of(&minted.token))
}

/// The next hop, by the service that the token was addressed to.
fn next(subject_token: &str) -> Request {
    Request {
        audience: vec![LEDGER.to_owned()],
        scope: vec!["expenses:read".to_owned()],
        ..request("svc-ledger", token(subject_token))
    }
}

/// A token of the issuer that owns the names of acme's users, or of the one that joins them to the directory.
fn of(world: &World, issuer: &str, more: Value) -> String {
    let mut changes = json!({ "iss": issuer, "tenant": null, "scope": "expenses:read expenses:write" });
    changes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.idp.token(changes)
}

/// Puts another directory in place of the one that is there.
fn redirect(world: &World, change: impl FnOnce(&mut Value)) {
    let mut document = directory();
    change(&mut document);
    let database = Database::create(&world.config().directory).unwrap();
    import(&database, document.to_string().as_bytes(), Mode::Replace).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_issuer_does_not_write_our_actors() {
    let world = World::patient().await;
    let standin = world.standin().await;
    // Word for word what would pass for a client of ours.
    let act = json!({ "sub": "client:svc-admin", "act": { "iss": "https://elsewhere.example.com", "sub": "client:svc-admin" } });
    let id = format!("c-{}", unique());
    let asked = Request { correlation_id: id.clone(), ..request("svc-router", token(world.idp.token(json!({ "act": act })))) };
    let first = mint(&standin, asked).await.unwrap();
    let elsewhere = json!({ "iss": "https://elsewhere.example.com", "sub": "client:svc-admin" });
    let foreign = json!({ "iss": IDP, "sub": "client:svc-admin", "act": elsewhere });
    let router = json!({ "iss": ISSUER, "sub": "client:svc-router", "act": foreign });
    assert_eq!(claims_of(&first.token)["act"], router);
    let event = &world.audit_of(&id)[0];
    let names = json!(["ext:corp:client%3Asvc-admin", "ext:https%3A%2F%2Felsewhere.example.com:client%3Asvc-admin"]);
    assert_eq!((&event["chain"], &event["asked"]["chain"]), (&names, &names));

    // At the next hop the token is ours, and they are still not.
    let id = format!("c-{}", unique());
    let second = mint(&standin, Request { correlation_id: id.clone(), ..next(&first.token) }).await.unwrap();
    assert_eq!(claims_of(&second.token)["act"], json!({ "iss": ISSUER, "sub": "client:svc-ledger", "act": router }));
    let event = &world.audit_of(&id)[0];
    let names = json!(["client:svc-router", names[0], names[1]]);
    assert_eq!((&event["chain"], &event["asked"]["chain"]), (&names, &names));
    let explained: Value = serde_json::from_str(&standin.explain(next(&first.token)).await.unwrap()).unwrap();
    assert_eq!((&explained["subject"]["actors"], &explained["subject"]["chain"]), (&names, &router));

    // A denial says it as the policy would have seen it.
    let id = format!("c-{}", unique());
    let denied = Request { correlation_id: id.clone(), scope: vec!["expenses:write".to_owned()], ..next(&first.token) };
    mint(&standin, denied).await.unwrap_err();
    assert_eq!(world.audit_of(&id)[0]["detail"]["target"]["chain"], names);
}

#[rstest]
#[case::nearest(json!({ "iss": ISSUER, "sub": "client:svc-admin" }))]
#[case::behind_others(json!({ "sub": "a", "act": { "iss": IDP, "sub": "b", "act": { "iss": ISSUER, "sub": "client:svc-admin" } } }))]
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_of_ours_in_a_foreign_token_is_refused(#[case] act: Value) {
    let world = World::patient().await;
    let standin = world.standin().await;
    let tokens = [
        world.idp.token(json!({ "act": act })),
        of(&world, OWNER, json!({ "sub": "u-bob", "act": act })),
        of(&world, JOINED, json!({ "employee": "E-2", "act": act })),
    ];
    for subject_token in tokens {
        assert_eq!(exchange(&standin, "svc-router", subject_token).await.unwrap_err(), "subject.chain");
    }
}

/// An actor's issuer that is registered no more does not make it one of ours.
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_outlives_the_registration_of_its_issuer() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let first = mint(&standin, request("svc-router", token(world.idp.token(json!({ "act": { "sub": "client:svc-admin" } })))));
    let first = first.await.unwrap();
    let renamed = world.config_text().replace("issuer = \"https://idp.example.com\"", "issuer = \"https://new.example.com\"");
    std::fs::write(world.path("standin.toml"), renamed).unwrap();
    standin.reload(world.config()).await.unwrap();
    let id = format!("c-{}", unique());
    mint(&standin, Request { correlation_id: id.clone(), ..next(&first.token) }).await.unwrap();
    let names = json!(["client:svc-router", "ext:https%3A%2F%2Fidp.example.com:client%3Asvc-admin"]);
    assert_eq!(world.audit_of(&id)[0]["asked"]["chain"], names);
}

#[rstest]
#[case::nobody("somebody-else", Ok("user:acme:somebody-else"))]
#[case::a_member("u-bob", Ok("user:acme:u-bob"))]
#[case::protected("u-root", Err("target.protected"))]
#[case::disabled("u-carl", Err("target.inactive"))]
#[case::pending("u-new", Err("target.inactive"))]
#[case::in_a_disabled_account("u-dora", Err("target.inactive"))]
#[case::of_another_tenant("u-gina", Err("target.not_found"))]
#[case::disabled_and_nowhere("u-gone", Err("target.not_found"))]
#[case::in_two_accounts("u-alice", Err("target.ambiguous_account"))]
#[case::in_one_of_the_tenant("u-both", Ok("user:acme:u-both"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_name_an_issuer_owns_is_looked_up(#[case] sub: &str, #[case] expected: Result<&str, &str>) {
    let more = |document: &mut Value| {
        let users = document["users"].as_array_mut().unwrap();
        users.push(json!({ "id": "u-new", "email": "n@example.com", "accounts": ["acme-eu"], "state": "pending" }));
        users.push(json!({ "id": "u-gone", "email": "g@example.com", "state": "disabled" }));
    };
    let world = World::with(|config| config.push_str(standin_tests::world::PATIENT), more).await;
    let standin = world.standin().await;
    let claims = exchange(&standin, "svc-router", of(&world, OWNER, json!({ "sub": sub }))).await;
    let named = claims.as_ref().map(|claims| claims["sub"].as_str().unwrap()).map_err(String::as_str);
    assert_eq!(named, expected);
    if sub == "u-bob" {
        let claims = claims.unwrap();
        assert_eq!((&claims["account_id"], &claims["csp_id"]), (&json!("acme-eu"), &json!(1001)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_limits_what_an_issuer_gives_its_users() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let asking = |sub: &str, scope: &str| Request {
        scope: vec![scope.to_owned()],
        ..request("svc-router", token(of(&world, OWNER, json!({ "sub": sub }))))
    };
    assert_eq!(mint(&standin, asking("u-bob", "expenses:write")).await.unwrap_err(), "scope.empty");
    assert_eq!(mint(&standin, asking("u-bob", "expenses:read")).await.unwrap().scope, ["expenses:read"]);
    assert_eq!(mint(&standin, asking("nobody-known", "expenses:write")).await.unwrap().scope, ["expenses:write"]);
    // A client that may act for protected users may do so here too.
    let protected =
        |config: &mut String| *config = config.replacen("provisional = true", "protected = true\nprovisional = true", 1);
    let world = World::with(protected, |_| {}).await;
    let standin = world.standin().await;
    let id = format!("c-{}", unique());
    let asked = request("svc-router", token(of(&world, OWNER, json!({ "sub": "u-root" }))));
    mint(&standin, Request { correlation_id: id.clone(), ..asked }).await.unwrap();
    let facts = &world.audit_of(&id)[0]["asked"]["subject"]["attributes"];
    assert!(facts.as_array().unwrap().contains(&json!({ "name": "protected", "value": "true" })), "{facts}");
}

#[rstest]
#[case::disabled(json!({ "id": "newcomer", "email": "n@example.com", "accounts": ["acme-eu"], "state": "disabled" }), Err("target.inactive"))]
#[case::protected(json!({ "id": "newcomer", "email": "n@example.com", "accounts": ["acme-eu"], "protected": true }), Err("target.protected"))]
#[case::elsewhere(json!({ "id": "newcomer", "email": "n@example.com", "accounts": ["globex"] }), Err("target.not_found"))]
#[case::nowhere(json!({ "id": "newcomer", "email": "n@example.com" }), Err("target.not_found"))]
#[case::without_the_scope(json!({ "id": "newcomer", "email": "n@example.com", "accounts": ["acme-eu"], "scopes": [] }), Err("scope.empty"))]
#[case::a_member(json!({ "id": "newcomer", "email": "n@example.com", "accounts": ["acme-eu", "acme-us"] }), Ok(()))]
#[case::still_unknown(json!({ "id": "another", "email": "n@example.com", "state": "disabled" }), Ok(()))]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_directory_learns_of_an_issuers_user_counts_at_the_next_hop(
    #[case] user: Value,
    #[case] expected: Result<(), &str>,
) {
    let world = World::patient().await;
    let standin = world.standin().await;
    let first = mint(&standin, request("svc-router", token(of(&world, OWNER, json!({ "sub": "newcomer" }))))).await.unwrap();
    assert_eq!(claims_of(&first.token).get("account_id"), None);
    redirect(&world, |document| document["users"].as_array_mut().unwrap().push(user));
    assert_eq!(mint(&standin, next(&first.token)).await.map(drop), expected.map_err(str::to_owned));
}

#[rstest]
#[case::disabled_without_accounts(json!({ "id": "x", "email": "new@example.com", "state": "disabled" }), false)]
#[case::pending_without_accounts(json!({ "id": "x", "email": "new@example.com", "state": "pending" }), false)]
#[case::disabled_in_a_tenant_out_of_reach(json!({ "id": "x", "email": "new@example.com", "accounts": ["globex"], "state": "disabled" }), false)]
#[case::pending_in_another_account(json!({ "id": "x", "email": "new@example.com", "accounts": ["acme-us"], "state": "pending" }), false)]
#[case::active_in_another_account(json!({ "id": "x", "email": "new@example.com", "accounts": ["acme-us"] }), false)]
#[case::active_out_of_reach(json!({ "id": "x", "email": "new@example.com", "accounts": ["globex"] }), true)]
#[case::somebody_else(json!({ "id": "x", "email": "other@example.com", "state": "disabled" }), true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_known_user_who_is_not_active_is_nobodys_unknown_one(#[case] user: Value, #[case] unknown: bool) {
    let more = |document: &mut Value| document["users"].as_array_mut().unwrap().push(user);
    let world = World::with(|config| config.push_str(standin_tests::world::PATIENT), more).await;
    let standin = world.standin().await;
    let minted = mint(&standin, request("svc-router", envoy("new@example.com", "001AcmeEU"))).await;
    match minted {
        Ok(minted) => assert!(unknown && claims_of(&minted.token)["provisional"] == json!(true)),
        Err(code) => assert_eq!((code.as_str(), unknown), ("target.not_found", false)),
    }
}

fn alice(world: &World, more: Value) -> String {
    let mut claims = json!({ "employee": "E-1" });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    of(world, JOINED, claims)
}

fn fact(name: &str, value: Value) -> Attribute {
    Attribute { name: name.to_owned(), value: value.to_string() }
}

#[rstest]
#[case::nothing(json!({}), vec![], Err("target.ambiguous_account"))]
#[case::the_request(json!({}), vec![fact("account_id", json!("acme-us"))], Ok("acme-us"))]
#[case::the_request_by_csp_id(json!({}), vec![fact("account_csp_id", json!(1002))], Ok("acme-us"))]
#[case::the_request_by_salesforce_id(json!({}), vec![fact("sfdc_account_id", json!("001AcmeEU"))], Ok("acme-eu"))]
#[case::the_token(json!({ "account_id": "acme-us" }), vec![], Ok("acme-us"))]
#[case::the_token_by_csp_id(json!({ "csp_id": 1001 }), vec![], Ok("acme-eu"))]
#[case::both(json!({ "account_id": "acme-us" }), vec![fact("account_csp_id", json!(1002))], Ok("acme-us"))]
#[case::two_that_contradict(json!({ "account_id": "acme-us" }), vec![fact("account_id", json!("acme-eu"))], Err("target.contradictory_account"))]
#[case::two_kinds_that_contradict(json!({ "account_id": "acme-us" }), vec![fact("account_csp_id", json!(1001))], Err("target.contradictory_account"))]
#[case::an_account_of_others(json!({}), vec![fact("account_id", json!("acme-old"))], Err("target.not_found"))]
#[case::an_account_of_others_in_the_token(json!({ "account_id": "acme-old" }), vec![], Err("target.not_found"))]
#[case::an_account_of_another_tenant(json!({}), vec![fact("account_id", json!("globex"))], Err("target.not_found"))]
#[case::an_account_of_nobody(json!({}), vec![fact("account_id", json!("nobody"))], Err("target.not_found"))]
#[case::a_claim_that_means_something_else(json!({ "account_id": "4711", "csp_id": "x" }), vec![], Err("target.ambiguous_account"))]
#[case::no_id(json!({}), vec![fact("account_id", json!(7))], Err("request.invalid_field"))]
#[case::no_id_either(json!({}), vec![fact("account_csp_id", json!(-1))], Err("request.invalid_field"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_joined_user_of_two_accounts_is_not_put_in_one_silently(
    #[case] claims: Value,
    #[case] attributes: Vec<Attribute>,
    #[case] expected: Result<&str, &str>,
) {
    let world = World::patient().await;
    let standin = world.standin().await;
    let asked = Request { attributes, ..request("svc-router", token(alice(&world, claims))) };
    let minted = mint(&standin, asked).await.map(|minted| claims_of(&minted.token));
    let account = minted.as_ref().map(|claims| claims["account_id"].as_str().unwrap()).map_err(String::as_str);
    assert_eq!(account, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_named_over_http_too_and_confirmed_at_the_next_hop() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let post = async |client: &str, subject_token: &str, audience: &str, more: &str| {
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type={}&subject_token={subject_token}\
             &audience={audience}&scope=expenses:read{more}",
            standin::JWT_TYPE,
        );
        let authorization = basic(client);
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", authorization.as_str())];
        let answer = standin.handle(http("POST", "/oauth2/token", &headers, form.as_bytes())).await;
        let said = body(&answer);
        match said["access_token"].as_str() {
            Some(minted) => Ok(minted.to_owned()),
            None => Err((said["code"].as_str().unwrap().to_owned(), said["field"].as_str().map(str::to_owned))),
        }
    };
    let refused = |code: &str, field: Option<&str>| Err((code.to_owned(), field.map(str::to_owned)));
    let subject = alice(&world, json!({}));
    assert_eq!(post("svc-router", &subject, API, "").await, refused("target.ambiguous_account", None));
    assert_eq!(
        post("svc-router", &subject, API, "&account_csp_id=x").await,
        refused("request.invalid_field", Some("account_csp_id"))
    );
    assert_eq!(post("svc-router", &subject, API, "&account_id=%2F").await, refused("request.invalid_field", Some("account_id")));
    let first = post("svc-router", &subject, API, "&account_csp_id=1002&sfdc_account_id=001AcmeUS").await.unwrap();
    assert_eq!(claims_of(&first)["account_id"], "acme-us");
    // The token is in that account; another cannot be asked for.
    post("svc-ledger", &first, LEDGER, "&account_id=acme-us").await.unwrap();
    assert_eq!(post("svc-ledger", &first, LEDGER, "&account_id=acme-eu").await, refused("target.not_found", None));
    let contradictory = post("svc-ledger", &first, LEDGER, "&account_id=acme-us&account_csp_id=1001").await;
    assert_eq!(contradictory, refused("target.contradictory_account", None));
    // Whoever is in no account is not in the one that is asked for.
    let external = world.idp.token(json!({}));
    assert_eq!(post("svc-router", &external, API, "&account_id=acme-eu").await, refused("target.not_found", None));
    let unknown = of(&world, OWNER, json!({ "sub": "nobody-known" }));
    assert_eq!(post("svc-router", &unknown, API, "&account_id=acme-eu").await, refused("target.not_found", None));
}

/// An issuer for several tenants that joins its users need not say which tenant: the user's account does, as a descriptor's would.
#[rstest]
#[case::own_tenants_come_first("svc-crosser", Value::Null, Ok("acme"))]
#[case::out_of_reach("svc-router", json!("globex"), Err("target.tenant"))]
#[case::a_claim_tells("svc-crosser", json!("globex"), Ok("globex"))]
#[case::no_such_tenant("svc-crosser", json!("initech"), Err("subject.tenant"))]
#[tokio::test(flavor = "multi_thread")]
async fn of_several_tenants_the_token_or_the_account_tells(
    #[case] client: &str,
    #[case] tenant: Value,
    #[case] expected: Result<&str, &str>,
) {
    let claimed = !tenant.is_null();
    let change = move |config: &mut String| {
        config.push_str(standin_tests::world::PATIENT);
        let joined = "tenants = [\"acme\"]\nsubject = \"directory\"";
        let several = format!(
            "tenants = [\"acme\", \"globex\"]\n{}subject = \"directory\"",
            if claimed { "tenant_claim = \"tenant\"\n" } else { "" }
        );
        assert!(config.contains(joined));
        *config = config.replace(joined, &several);
    };
    let more = |document: &mut Value| {
        document["users"][6]["external"] = json!([{ "issuer": "joined", "value": "E-6" }]);
        assert_eq!(document["users"][6]["id"], "u-both");
    };
    let world = World::with(change, more).await;
    let standin = world.standin().await;
    let subject = of(&world, JOINED, json!({ "employee": "E-6", "tenant": tenant }));
    let claims = exchange(&standin, client, subject).await;
    let named = claims.as_ref().map(|claims| claims["tenant"].as_str().unwrap()).map_err(String::as_str);
    assert_eq!(named, expected);
}

struct Revoking {
    world: World,
    store: Arc<MemoryStore>,
    standin: Standin,
}

impl Revoking {
    async fn new() -> Self {
        let world = World::patient().await;
        let store = Arc::new(MemoryStore::new(Arc::new(SystemClock::default())));
        let standin = world.builder().store(Arc::clone(&store) as Arc<dyn Store>).build().await.unwrap();
        Self { world, store, standin }
    }

    async fn revoke(&self, name: &str) {
        self.store.compare_and_swap(Space::Revocation, name.as_bytes(), None, b"", now() + 600).await.unwrap();
    }
}

#[rstest]
#[case::namespaced(IDP, json!({ "tenant": "acme" }))]
#[case::as_is(OWNER, json!({ "sub": "u-bob" }))]
#[case::joined(JOINED, json!({ "employee": "E-2" }))]
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_token_that_was_revoked_is_refused_at_its_first_hop(#[case] issuer: &str, #[case] claims: Value) {
    let case = Revoking::new().await;
    let subject = of(&case.world, issuer, claims);
    let jti = claims_of(&subject)["jti"].as_str().unwrap().to_owned();
    // What another issuer calls by this name, and the bare name, are not it.
    case.revoke(&foreign_name("https://another.example.com", &jti)).await;
    case.revoke(&jti).await;
    exchange(&case.standin, "svc-router", subject.clone()).await.unwrap();
    case.revoke(&foreign_name(issuer, &jti)).await;
    assert_eq!(exchange(&case.standin, "svc-router", subject).await.unwrap_err(), "subject.revoked");
}

#[rstest]
#[case::the_first(0)]
#[case::the_second(1)]
#[case::the_token_itself(2)]
#[tokio::test(flavor = "multi_thread")]
async fn every_ancestor_is_looked_up(#[case] revoked: usize) {
    let case = Revoking::new().await;
    let loops = Request {
        audience: vec![API.to_owned()],
        ..next(&{
            let first = request("svc-router", token(case.world.idp.token(json!({}))));
            mint(&case.standin, first).await.unwrap().token
        })
    };
    let second = mint(&case.standin, loops).await.unwrap().token;
    let claims = claims_of(&second);
    let names: Vec<String> = claims["lineage"]
        .as_array()
        .unwrap()
        .iter()
        .chain([&claims["jti"]])
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.len() == 22), "{names:?}");
    mint(&case.standin, next(&second)).await.unwrap();
    case.revoke(&names[revoked]).await;
    assert_eq!(mint(&case.standin, next(&second)).await.map(drop).unwrap_err(), "subject.revoked");
}

/// What is revoked between permit and signature is not signed: the host looks itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_after_the_permit_is_not_signed() {
    let case = Revoking::new().await;
    let subject = case.world.idp.token(json!({}));
    let name = foreign_name(IDP, claims_of(&subject)["jti"].as_str().unwrap());
    let id = format!("c-{}", unique());
    let asked = Request { correlation_id: id.clone(), ..request("svc-router", token(subject)) };
    let target = case.standin.resolve_target(asked).await.unwrap();
    let Ok(standin::Decision::Permit(permit)) = target.evaluate_policy().await else { panic!("the policy permits") };
    case.revoke(&name).await;
    assert_eq!(permit.mint().await.unwrap_err().code, "mint.refused");
    let event = &case.world.audit_of(&id)[0];
    assert_eq!(event["refused_signatures"], json!(["the subject token or an ancestor of it was revoked"]), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_no_token_is_exchanged() {
    let world = World::patient().await;
    let standin = world.builder().store(Arc::new(NoStore::default())).build().await.unwrap();
    assert_eq!(exchange(&standin, "svc-router", world.idp.token(json!({}))).await.unwrap_err(), "store.unavailable");
    // A subject without a token descends from none.
    mint(&standin, request("svc-router", envoy("bob@example.com", "001AcmeEU"))).await.unwrap();
}
