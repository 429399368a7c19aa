//! A component that misbehaves learns nothing for a stranger, sends nothing, signs nothing in a dry run, chooses no `jti`, and has no use
//! for what another request has proven itself by.

use std::collections::HashSet;

use rstest::rstest;
use serde_json::{Value, json};
use standin::types::{Credential, Request};
use standin_tests::hostile::{hostile, order, refused, verifies};
use standin_tests::idp::{claims_of, now};
use standin_tests::requests::{basic, http, token};
use standin_tests::world::{PATIENT, SECRET, World};

/// What the component was told when it asked about everything.
async fn told(world: &World, trick: &str, caller: Credential) -> String {
    let standin = hostile(world).await;
    let (failure, _) = refused(world, &standin, Request { caller, ..order(trick, &json!({})) }).await;
    assert_eq!(failure.code, "hostile.asked");
    failure.message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_request_learns_nothing() {
    let world = World::patient().await;
    let right = order("", &json!({})).caller;
    assert_eq!(told(&world, "ask-around", right.clone()).await, "", "nothing was shown yet");
    let Credential::ClientSecret(shown) = right.clone() else { panic!("a secret") };
    let wrong = Credential::ClientSecret(standin::types::ClientSecret { secret: "wrong".into(), ..shown });
    assert_eq!(told(&world, "ask-around-authenticated", wrong).await, "");
    // A program may vouch only for those who are registered for it, and until then only they themselves are looked up.
    assert_eq!(told(&world, "ask-around", Credential::Attested("svc-strict".into())).await, "");
    assert_eq!(told(&world, "ask-around", Credential::Attested("svc-router".into())).await, "client");
    let everything = "user account machine client identity issuer callers audience pseudonym";
    assert_eq!(told(&world, "ask-around-authenticated", right).await, everything);
}

/// The component verifies the token and asks for its client without looking at anything else in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_token_that_is_not_live_here_makes_nobody_known() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let rows = [
        ("expired", json!({ "exp": now() - 60, "iat": now() - 600 })),
        ("not valid yet", json!({ "nbf": now() + 600 })),
        ("for somebody else", json!({ "aud": "https://other.example.com" })),
        ("bound to a key", json!({ "cnf": { "jkt": "x" } })),
    ];
    for (what, changes) in rows {
        let caller = Credential::Bearer(world.idp.caller(changes));
        let (failure, event) =
            refused(&world, &standin, Request { caller, ..order("ask-around-authenticated", &json!({})) }).await;
        // Who may sign for callers is what it takes to find out that this one is nobody.
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("hostile.asked", "callers"), "{what}");
        let shown = json!({ "iss": "https://callers.example.com", "sub": "workload-7" });
        assert_eq!(event["requester"], shown, "{what}");
    }
    let caller = Credential::Bearer(world.idp.caller(json!({})));
    let live = Request { caller, ..order("ask-around-authenticated", &json!({})) };
    let (failure, event) = refused(&world, &standin, live).await;
    assert_eq!(failure.message, "user account machine client identity issuer callers audience pseudonym");
    assert_eq!(event["requester"], "svc-bearer");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_provider() {
    let provider = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    provider.set_nonblocking(true).unwrap();
    let origin = format!("http://{}", provider.local_addr().unwrap());
    let section = format!("\n[[provider]]\nname = \"idp\"\norigin = \"{origin}\"\n");
    let world = World::with(|config| config.push_str(&(section + PATIENT)), |_| {}).await;
    let standin = hostile(&world).await;
    let sends = order("http", &json!({ "url": format!("{origin}/token") }));
    let (failure, _) = refused(&world, &standin, sends).await;
    assert_eq!(failure.code, "hostile.sent");
    let refusals = failure.message.matches("no permitted flow asks a provider").count();
    assert_eq!(refusals, 2, "{}", failure.message);
    assert_eq!(provider.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_signs_nothing() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let dry = order("mint", &json!({}));
    let id = dry.correlation_id.clone();
    let failure = standin.explain(dry).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("hostile.refused", "a dry run signs nothing"));
    let events = world.audit_of(&id);
    assert!(events.iter().all(|event| event["outcome"] != "permit"), "{events:?}");
    assert_eq!(events[0]["refused_signatures"], json!(["a dry run signs nothing"]));
    // The next request of the same sandboxes is none.
    assert!(verifies(&standin, &standin.mint_on_behalf(order("mint", &json!({}))).await.unwrap().token));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_does_not_choose_the_jti() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let mut seen = HashSet::new();
    for said in [json!("AAAAAAAAAAAAAAAAAAAAAA"), json!("AAAAAAAAAAAAAAAAAAAAAA"), json!("1"), json!({}), Value::Null] {
        let bent = order("mint", &json!({ "claims": { "jti": said } }));
        let id = bent.correlation_id.clone();
        let minted = standin.mint_on_behalf(bent).await.unwrap();
        let claims = claims_of(&minted.token);
        let jti = claims["jti"].as_str().unwrap().to_owned();
        assert!(verifies(&standin, &minted.token));
        assert_eq!((jti.len(), claims["jti"] == said), (22, false));
        assert_eq!(world.audit_of(&id)[0]["jti"], jti);
        assert!(seen.insert(jti));
    }
}

/// The component shows a secret over HTTP that the request does not carry, in the sandbox of one that did.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_request_over_http_names_nobody() {
    let runtime = "\n[policy]\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\nisolation = \"reuse\"\n";
    let world = World::with(|config| config.push_str(runtime), |_| {}).await;
    let standin = hostile(&world).await;
    let (answer, carried) = (json!({ "status": 403 }).to_string(), basic("svc-router"));
    let shown = [("x-answer", answer.as_str()), ("x-secret", SECRET), ("authorization", carried.as_str())];
    for at in 0..8 {
        for (carries, requester) in [(true, json!("svc-router")), (false, Value::Null)] {
            let headers = if carries { &shown[..] } else { &shown[..2] };
            let mut request = http("POST", "/oauth2/token", headers, b"");
            request.correlation_id = format!("over-http-{at}-{carries}");
            let id = request.correlation_id.clone();
            assert_eq!(standin.handle(request).await.status, 403);
            let events = world.audit_of(&id);
            assert_eq!((events.len(), &events[0]["requester"]), (1, &requester), "{events:?}");
        }
    }
}

#[rstest]
#[case::fresh("request", "hostile.nothing_kept")]
#[case::reused("reuse", "hostile.before")]
#[tokio::test(flavor = "multi_thread")]
async fn what_proves_one_request_proves_no_other(#[case] isolation: &str, #[case] code: &str) {
    let runtime = format!("\n[policy]\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\nisolation = \"{isolation}\"\n");
    let world = World::with(|config| config.push_str(&runtime), |_| {}).await;
    let standin = hostile(&world).await;
    let about = json!({ "question": { "subject": "ext:corp:alice", "kind": "external" }, "evidence": [] });
    let mut codes = Vec::new();
    // As often as it takes to meet the same sandbox again.
    for at in 0..24 {
        let mut honest = order("credentials-kept", &json!({}));
        honest.subject = token(world.idp.token(json!({})));
        if at % 2 == 1 {
            honest.caller = Credential::Bearer(world.idp.caller(json!({})));
        }
        assert_eq!(standin.mint_on_behalf(honest).await.unwrap_err().code, "hostile.kept");
        let stranger = Request { caller: Credential::Bearer("x.y.z".into()), ..order("credentials-from-before", &about) };
        let failure = standin.mint_on_behalf(stranger).await.unwrap_err();
        if failure.code == "hostile.before" {
            let carried =
                [failure.message.contains("does not carry this secret"), failure.message.contains("does not carry this token")];
            assert!(carried[1], "{}", failure.message);
            assert!(carried[0] || failure.message.matches("does not carry this token").count() == 2, "{}", failure.message);
        }
        codes.push(failure.code);
    }
    assert!(codes.iter().any(|seen| seen == code), "{codes:?}");
    assert!(codes.iter().all(|seen| seen == code || seen == "hostile.nothing_kept"), "{codes:?}");
}
