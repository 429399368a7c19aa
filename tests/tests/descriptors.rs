//! Callers and descriptors: who may ask, whom a descriptor names, and that both say nothing to strangers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use rstest::rstest;
use serde_json::{Value, json};
use standin::config::secret_digest;
use standin::types::{ClientSecret, Credential, Descriptor, Failure, IdType, Request, Subject};
use standin::{Standin, attribute};
use standin_tests::idp::{claims_of, now};
use standin_tests::requests::{basic, body, descriptor, envoy, host, http, request, user};
use standin_tests::world::{ISSUER, SECRET, World};

async fn refused(standin: &Standin, request: Request) -> Failure {
    standin.mint_on_behalf(request).await.map(|minted| minted.token).unwrap_err()
}

/// What a failure says, without what tells one answer from another anyway.
fn said(failure: &Failure) -> (String, String, u16, String, usize) {
    let Failure { code, oauth_error, status, message, attributes, .. } = failure;
    (code.clone(), oauth_error.clone(), *status, message.clone(), attributes.len())
}

fn wrong_secret(client: &str) -> Credential {
    Credential::ClientSecret(ClientSecret { client_id: client.into(), secret: "wrong".into() })
}

fn with(subject: Descriptor, account: Option<&str>, csp: Option<i64>, sfdc: Option<&str>) -> Subject {
    Subject::Descriptor(Descriptor {
        account_id: account.map(str::to_owned),
        account_csp_id: csp,
        sfdc_account_id: sfdc.map(str::to_owned),
        ..subject
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_nothing() {
    let world = World::new().await;
    let standin = world.standin().await;
    let mut answers = Vec::new();
    for client in ["svc-router", "nobody", "edge", ""] {
        for subject in [user("bob@example.com"), user("nobody@example.com"), user("not an address")] {
            answers.push(said(&refused(&standin, Request { caller: wrong_secret(client), ..request(client, subject) }).await));
        }
    }
    for client in ["svc-router", "nobody"] {
        let caller = Credential::Attested(client.into());
        answers.push(said(&refused(&standin, Request { caller, ..request(client, user("bob@example.com")) }).await));
    }
    assert_eq!(answers[0].0, "caller.invalid");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_live_secrets_of_a_rotation_authenticate() {
    let one = secret_digest(SECRET);
    let two = secret_digest("the-next-secret");
    let change = |config: &mut String| *config = config.replacen(&format!("[\"{one}\"]"), &format!("[\"{one}\", \"{two}\"]"), 1);
    let world = World::with(change, |_| {}).await;
    let standin = world.standin().await;
    for secret in [SECRET, "the-next-secret"] {
        let caller = Credential::ClientSecret(ClientSecret { client_id: "svc-router".into(), secret: secret.into() });
        assert!(standin.mint_on_behalf(Request { caller, ..request("svc-router", user("bob@example.com")) }).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedding_program_vouches_for_attested_clients() {
    let world = World::new().await;
    let subject = with(descriptor(IdType::User, "email.bob@example.com"), None, None, None);
    let minted = world
        .standin()
        .await
        .mint_on_behalf(Request { caller: Credential::Attested("edge".into()), ..request("edge", subject) })
        .await
        .unwrap();
    assert_eq!(claims_of(&minted.token)["act"], json!({ "iss": ISSUER, "sub": "client:edge" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_jwt_authenticates_only_as_registered() {
    let world = World::new().await;
    let standin = world.standin().await;
    let ask = |jwt: String| Request { caller: Credential::Bearer(jwt), ..request("svc-bearer", user("bob@example.com")) };
    standin.mint_on_behalf(ask(world.idp.caller(json!({})))).await.unwrap();
    for changes in [
        json!({ "aud": "https://elsewhere.example.com" }),
        json!({ "exp": now() - 31 }),
        json!({ "nbf": now() + 600 }),
        json!({ "sub": "workload-8" }),
        json!({ "iss": "https://nobody.example.com" }),
    ] {
        assert_eq!(refused(&standin, ask(world.idp.caller(changes.clone()))).await.code, "caller.invalid", "{changes}");
    }
    // A user token shown as caller, also one whose `sub` is that of the workload.
    for changes in [json!({}), json!({ "sub": "workload-7" })] {
        assert_eq!(refused(&standin, ask(world.idp.token(changes))).await.code, "caller.invalid");
    }
    // A caller's token is no subject token either.
    let subject = standin_tests::requests::token(world.idp.caller(json!({})));
    assert_eq!(refused(&standin, request("svc-router", subject)).await.code, "subject.untrusted_issuer");
}

#[rstest]
#[case::none(vec![], "", 401, "caller.missing")]
#[case::basic(vec![basic("svc-router")], "", 200, "")]
#[case::basic_repeating_the_id(vec![basic("svc-router")], "&client_id=svc-router", 200, "")]
#[case::basic_contradicting_the_id(vec![basic("svc-router")], "&client_id=svc-strict", 400, "caller.several")]
#[case::form(vec![], "&client_id=svc-router&client_secret=SECRET", 200, "")]
#[case::both(vec![basic("svc-router")], "&client_id=svc-router&client_secret=SECRET", 400, "caller.several")]
#[case::two_headers(vec![basic("svc-router"), basic("svc-router")], "", 400, "request.duplicate_field")]
#[case::not_base64(vec!["Basic %%%".to_owned()], "", 401, "caller.invalid")]
#[case::attested_is_no_scheme(vec!["Attested edge".to_owned()], "", 401, "caller.method")]
#[case::attested_by_basic(vec![basic("edge")], "", 401, "caller.invalid")]
#[case::attested_by_form(vec![], "&client_id=edge&client_secret=SECRET", 400, "caller.invalid")]
#[tokio::test(flavor = "multi_thread")]
async fn callers_over_http(#[case] authorization: Vec<String>, #[case] more: &str, #[case] status: u16, #[case] code: &str) {
    let world = World::new().await;
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type={}&subject_token={}&audience={}{}",
        standin::JWT_TYPE,
        world.idp.token(json!({})),
        standin_tests::world::API,
        more.replace("SECRET", SECRET),
    );
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
    let answer = world.standin().await.handle(http("POST", "/oauth2/token", &headers, form.as_bytes())).await;
    assert_eq!((answer.status, body(&answer)["code"].as_str().unwrap_or_default()), (status, code));
    let challenged = answer.headers.iter().any(|(name, _)| name == "www-authenticate");
    assert_eq!(challenged, status == 401, "RFC 6749 section 5.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_that_mint() {
    let world = World::new().await;
    let standin = world.standin().await;
    let alice = || descriptor(IdType::User, "email.Alice@Example.com");
    let machine = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let machine_sub = format!("host:acme:{machine}");
    for (subject, sub, account, obo_type) in [
        (user("bob@example.com"), "user:acme:u-bob", "acme-eu", "user"),
        (with(alice(), Some("acme-us"), None, None), "user:acme:u-alice", "acme-us", "user"),
        (with(alice(), None, Some(1001), None), "user:acme:u-alice", "acme-eu", "user"),
        (with(alice(), Some("acme-us"), Some(1002), Some("001AcmeUS")), "user:acme:u-alice", "acme-us", "user"),
        (user("both@example.com"), "user:acme:u-both", "acme-eu", "user"),
        (host("ophid.edge-7"), machine_sub.as_str(), "acme-eu", "host"),
        (host(&format!("host_id.{}", machine.to_uppercase())), machine_sub.as_str(), "acme-eu", "host"),
        (envoy("bob@example.com", "001AcmeEU"), "user:acme:u-bob", "acme-eu", "envoy"),
    ] {
        let minted =
            standin.mint_on_behalf(request("svc-router", subject)).await.unwrap_or_else(|failure| panic!("{sub}: {failure:?}"));
        let claims = claims_of(&minted.token);
        let found = [&claims["sub"], &claims["account_id"], &claims["obo_type"], &claims["tenant"]];
        assert_eq!(found, [&json!(sub), &json!(account), &json!(obo_type), &json!("acme")]);
        assert_eq!(claims.get("provisional"), None);
        let machine = if obo_type == "host" { json!({ "id": machine, "ophid": "edge-7" }) } else { Value::Null };
        assert_eq!(claims["host"], machine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_not_a_member_and_not_yours_sound_the_same() {
    let world = World::new().await;
    let standin = world.standin().await;
    let bob = || descriptor(IdType::User, "email.bob@example.com");
    let mut answers = Vec::new();
    for subject in [
        user("nobody@example.com"),
        user("gina@globex.example"),
        with(bob(), Some("acme-us"), None, None),
        with(bob(), Some("globex"), None, None),
        with(bob(), Some("nowhere"), None, None),
        host("ophid.nothing"),
        host("ophid.edge-globex"),
        envoy("bob@example.com", "001Nowhere"),
        envoy("bob@example.com", "001Globex"),
    ] {
        answers.push(said(&refused(&standin, request("svc-router", subject)).await));
    }
    assert_eq!(answers[0].0, "target.not_found");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_that_mint_nothing() {
    let world = World::new().await;
    let standin = world.standin().await;
    let alice = || descriptor(IdType::User, "email.alice@example.com");
    for (client, subject, code) in [
        ("svc-router", user("alice@example.com"), "target.ambiguous_account"),
        ("svc-router", with(alice(), Some("acme-eu"), Some(1002), None), "target.contradictory_account"),
        (
            "svc-router",
            with(descriptor(IdType::Host, "ophid.edge-7"), Some("acme-eu"), Some(1002), None),
            "target.contradictory_account",
        ),
        ("svc-router", user("carl@example.com"), "target.inactive"),
        ("svc-router", user("dora@example.com"), "target.inactive"),
        ("svc-router", host("ophid.edge-off"), "target.inactive"),
        ("svc-router", envoy("x@example.com", "001AcmeOld"), "target.inactive"),
        ("svc-router", envoy("carl@example.com", "001AcmeEU"), "target.inactive"),
        ("svc-router", host("ophid.edge-keyless"), "target.no_live_key"),
        ("svc-router", host("ophid.edge-two"), "target.ambiguous_user"),
        ("svc-router", host("ophid.edge-foreign"), "target.host_account"),
        ("svc-router", user("root@example.com"), "target.protected"),
        ("svc-strict", envoy("new@example.com", "001AcmeEU"), "target.not_found"),
        ("svc-ledger", user("bob@example.com"), "caller.subject_kind"),
        ("svc-admin", host("ophid.edge-7"), "caller.subject_kind"),
    ] {
        let said = format!("{client} {subject:?}");
        assert_eq!(refused(&standin, request(client, subject)).await.code, code, "{said}");
    }
    standin.mint_on_behalf(request("svc-admin", user("root@example.com"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provisional_identity_is_marked_and_gets_only_provisional_scopes() {
    let world = World::new().await;
    let standin = world.standin().await;
    let ask = |email: &str| Request {
        scope: vec!["expenses:read".into(), "expenses:write".into()],
        ..request("svc-router", envoy(email, "001AcmeEU"))
    };
    let minted = standin.mint_on_behalf(ask("New@Example.com")).await.unwrap();
    let claims = claims_of(&minted.token);
    assert_eq!((&claims["provisional"], &claims["scope"]), (&json!(true), &json!("expenses:read")));
    assert!(claims["sub"].as_str().unwrap().starts_with("provisional:acme:"), "{claims}");
    assert!(!minted.token.contains("example"), "the address stays out of the token");
    let dropped = attribute(&minted.attributes, "dropped_scope").unwrap();
    assert_eq!(dropped, json!([{ "scope": "expenses:write", "by": "provisional" }]));
    let again = claims_of(&standin.mint_on_behalf(ask("new@example.com")).await.unwrap().token);
    let other = claims_of(&standin.mint_on_behalf(ask("newer@example.com")).await.unwrap().token);
    assert_eq!(again["sub"], claims["sub"]);
    assert_ne!(other["sub"], claims["sub"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_names_the_field_and_never_echoes_the_value() {
    let world = World::new().await;
    let standin = world.standin().await;
    let bob = || descriptor(IdType::User, "email.bob@example.com");
    for (subject, field, code) in [
        (user("zzz-secret"), "id", "request.invalid_field"),
        (user("zzz secret@example.com"), "id", "request.invalid_field"),
        (host("ophid.zzz/secret"), "id", "request.invalid_field"),
        (host("host_id.zzz-secret"), "id", "request.invalid_field"),
        (host("email.zzz@example.com"), "id", "request.invalid_field"),
        (with(bob(), Some("zzz secret"), None, None), "account_id", "request.invalid_field"),
        (with(bob(), None, Some(-9), None), "account_csp_id", "request.invalid_field"),
        (with(bob(), None, None, Some("zzz secret")), "sfdc_account_id", "request.invalid_field"),
        (Subject::Descriptor(descriptor(IdType::Envoy, "email.zzz@example.com")), "sfdc_account_id", "request.missing_field"),
    ] {
        let failure = refused(&standin, request("svc-router", subject)).await;
        assert_eq!(failure.code, code, "{failure:?}");
        assert_eq!(attribute(&failure.attributes, "field"), Some(json!(field)));
        assert!(!format!("{failure:?}").contains("zzz"), "{failure:?}");
    }
}
