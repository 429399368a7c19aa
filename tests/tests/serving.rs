//! The protocol faces, the server in front of them, and what an operator does: through the real component.

use std::sync::Arc;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use standin::endpoint::HttpResponse;
use standin::keys::files::Rotation;
use standin_tests::idp::claims_of;
use standin_tests::ports::{NoAudit, NoDirectory, NoStore};
use standin_tests::requests::{basic, body, http, request, token, user};
use standin_tests::world::{API, ISSUER, SECRET, World};

const MINT: &str = "/v2/session/svc/obo_mint";
const TOKEN: &str = "/oauth2/token";
const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";

fn header<'a>(response: &'a HttpResponse, name: &str) -> Option<&'a str> {
    let (_, value) = response.headers.iter().find(|(header, _)| header == name)?;
    std::str::from_utf8(value).ok()
}

fn deep() -> String {
    format!("{}1{}", "{\"id\":".repeat(40), "}".repeat(40))
}

#[rstest]
#[case::empty(MINT, JSON, b"".as_slice(), 400, "request.empty", None)]
#[case::empty_form(TOKEN, FORM, b"".as_slice(), 400, "request.empty", None)]
#[case::not_utf8(MINT, JSON, b"{\"id\":\"\xff\"}".as_slice(), 400, "request.not_utf8", None)]
#[case::not_utf8_form(TOKEN, FORM, b"scope=%ff".as_slice(), 400, "request.not_utf8", None)]
#[case::malformed_json(MINT, JSON, b"{".as_slice(), 400, "request.malformed", None)]
#[case::not_an_object(MINT, JSON, b"[]".as_slice(), 400, "request.malformed", None)]
#[case::malformed_form(TOKEN, FORM, b"scope=%zz".as_slice(), 400, "request.malformed", None)]
#[case::deep(MINT, JSON, b"DEEP".as_slice(), 400, "request.too_deep", None)]
#[case::oversized(MINT, JSON, b"LONG".as_slice(), 413, "request.too_large", None)]
#[case::twice(MINT, JSON, br#"{"id_type":"user","id_type":"host"}"#.as_slice(), 400, "request.duplicate_field", Some("id_type"))]
#[case::twice_in_the_form(TOKEN, FORM, b"grant_type=a&grant_type=b".as_slice(), 400, "request.duplicate_field", None)]
#[case::unknown_member(MINT, JSON, br#"{"idtype":"user"}"#.as_slice(), 400, "request.unknown_field", None)]
#[case::unknown_id_type(MINT, JSON, br#"{"id_type":"robot","id":"email.a@example.com"}"#.as_slice(), 400, "request.invalid_field", Some("id_type"))]
#[case::no_id_type(MINT, JSON, br#"{"id":"email.a@example.com"}"#.as_slice(), 400, "request.missing_field", Some("id_type"))]
#[case::no_id(MINT, JSON, br#"{"id_type":"user"}"#.as_slice(), 400, "request.missing_field", Some("id"))]
#[case::bad_email(MINT, JSON, br#"{"id_type":"user","id":"email.not-an-address"}"#.as_slice(), 400, "request.invalid_field", Some("id"))]
#[case::bad_uuid(MINT, JSON, br#"{"id_type":"host","id":"host_id.not-a-uuid"}"#.as_slice(), 400, "request.invalid_field", Some("id"))]
#[case::bad_csp_id(MINT, JSON, br#"{"id_type":"user","id":"email.bob@example.com","account_csp_id":"x"}"#.as_slice(), 400, "request.invalid_field", Some("account_csp_id"))]
#[case::bad_ttl(MINT, JSON, br#"{"id_type":"user","id":"email.bob@example.com","ttl":-1}"#.as_slice(), 400, "request.invalid_field", Some("ttl"))]
#[case::envoy_without_account(MINT, JSON, br#"{"id_type":"envoy","id":"email.bob@example.com"}"#.as_slice(), 400, "request.missing_field", Some("sfdc_account_id"))]
#[case::wrong_media_type(MINT, FORM, b"{}".as_slice(), 415, "request.media_type", None)]
#[case::wrong_media_type_of_the_form(TOKEN, JSON, b"a=b".as_slice(), 415, "request.media_type", None)]
#[case::other_grant(TOKEN, FORM, b"grant_type=password".as_slice(), 400, "request.grant_type", Some("grant_type"))]
#[case::no_grant(TOKEN, FORM, b"scope=a".as_slice(), 400, "request.missing_field", Some("grant_type"))]
#[tokio::test]
async fn bad_input_gets_a_typed_answer(
    #[case] path: &str,
    #[case] media_type: (&str, &str),
    #[case] sent: &[u8],
    #[case] status: u16,
    #[case] code: &str,
    #[case] field: Option<&str>,
) {
    let world = World::new().await;
    let standin = world.standin().await;
    let sent = match sent {
        b"DEEP" => deep().into_bytes(),
        b"LONG" => vec![b' '; 100 * 1024],
        sent => sent.to_vec(),
    };
    let answer = standin.handle(http("POST", path, &[media_type, ("authorization", &basic("svc-router"))], &sent)).await;
    let said = body(&answer);
    assert_eq!((answer.status, said["code"].as_str()), (status, Some(code)));
    assert_eq!(said.get("field").and_then(Value::as_str), field);
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    assert_eq!(header(&answer, "x-correlation-id"), said["correlation_id"].as_str());
    let echoed = ["not-an-address", "not-a-uuid", "robot", "idtype"].iter().any(|value| said.to_string().contains(value));
    assert!(!echoed, "the value is echoed: {said}");
}

#[rstest]
#[case::nobody(&[], 401, "caller.missing")]
#[case::wrong_secret(&[("authorization", "Basic c3ZjLXJvdXRlcjp3cm9uZw==")], 401, "caller.invalid")]
#[case::no_base64(&[("authorization", "Basic ???")], 401, "caller.invalid")]
#[case::no_colon(&[("authorization", "Basic c3Zj")], 401, "caller.invalid")]
#[case::unknown_scheme(&[("authorization", "Digest x")], 401, "caller.method")]
#[case::garbage_bearer(&[("authorization", "Bearer x")], 401, "caller.invalid")]
#[case::two_headers(&[("authorization", "Basic a"), ("authorization", "Basic b")], 400, "request.duplicate_field")]
#[tokio::test]
async fn a_stranger_learns_nothing(#[case] headers: &[(&str, &str)], #[case] status: u16, #[case] code: &str) {
    let world = World::new().await;
    let standin = world.standin().await;
    let mut answers = Vec::new();
    for email in ["bob@example.com", "nobody@example.com"] {
        let sent = json!({ "id_type": "user", "id": format!("email.{email}") }).to_string();
        let mut headers = headers.to_vec();
        headers.push(JSON);
        let answer = standin.handle(http("POST", MINT, &headers, sent.as_bytes())).await;
        assert_eq!((answer.status, body(&answer)["code"].as_str()), (status, Some(code)));
        assert_eq!(header(&answer, "www-authenticate").is_some(), status == 401);
        let mut said = body(&answer);
        said["correlation_id"] = Value::Null;
        answers.push(said);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn credentials_in_the_form_and_by_caller_jwt() {
    let world = World::new().await;
    let standin = world.standin().await;
    let subject = |more: &str| {
        let token = world.idp.token(json!({}));
        format!(
            "{EXCHANGE}&subject_token={token}&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&audience={API}{more}"
        )
    };
    let form = subject(&format!("&client_id=svc-router&client_secret={SECRET}"));
    let answer = standin.handle(http("POST", TOKEN, &[FORM], form.as_bytes())).await;
    let said = body(&answer);
    assert_eq!(answer.status, 200, "{said}");
    assert_eq!(said["token_type"], "Bearer");
    assert_eq!(said["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(claims_of(said["access_token"].as_str().unwrap())["client_id"], "svc-router");
    let bearer = format!("Bearer {}", world.idp.caller(json!({})));
    let answer = standin.handle(http("POST", TOKEN, &[FORM, ("authorization", &bearer)], subject("").as_bytes())).await;
    assert_eq!(claims_of(body(&answer)["access_token"].as_str().unwrap())["client_id"], "svc-bearer");
    let both = standin.handle(http("POST", TOKEN, &[FORM, ("authorization", &basic("svc-router"))], form.as_bytes())).await;
    assert_eq!(body(&both)["code"], "caller.several");
    // A user token is no credential, and a caller JWT is no subject.
    let user = format!("Bearer {}", world.idp.token(json!({})));
    let answer = standin.handle(http("POST", TOKEN, &[FORM, ("authorization", &user)], subject("").as_bytes())).await;
    assert_eq!(body(&answer)["code"], "caller.invalid");
    for changes in [json!({ "aud": API }), json!({ "exp": 1 }), json!({ "sub": "workload-8" })] {
        let bearer = format!("Bearer {}", world.idp.caller(changes));
        let answer = standin.handle(http("POST", TOKEN, &[FORM, ("authorization", &bearer)], subject("").as_bytes())).await;
        assert_eq!(body(&answer)["code"], "caller.invalid");
    }
    // Nobody vouches over HTTP.
    let edge = standin.handle(http("POST", TOKEN, &[FORM], subject("&client_id=edge").as_bytes())).await;
    assert_eq!(body(&edge)["code"], "caller.missing");
}

#[tokio::test]
async fn the_server_serves_its_pages_and_correlation_ids() {
    let world = World::new().await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let get = async |path: &str| client.get(server.url(path)).send().await.unwrap();
    assert_eq!(get("/healthz").await.status(), 200);
    assert_eq!(get("/readyz").await.json::<Value>().await.unwrap()["ready"], true);
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let metadata: Value = get(path).await.json().await.unwrap();
        assert_eq!(metadata["issuer"], ISSUER);
        assert_eq!(metadata["token_endpoint"], format!("{ISSUER}/oauth2/token"));
    }
    let jwks: Value = get("/jwks.json").await.json().await.unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2, "active and next");
    let nothing = get("/nothing").await;
    assert_eq!(
        (nothing.status().as_u16(), nothing.json::<Value>().await.unwrap()["code"].clone()),
        (404, json!("request.not_found"))
    );
    let wrong_method = get(TOKEN).await;
    assert_eq!((wrong_method.status().as_u16(), wrong_method.headers()["allow"].to_str().unwrap()), (405, "POST"));
    let minted = client.post(server.url(MINT)).basic_auth("svc-router", Some(SECRET)).header("x-correlation-id", "req-7");
    let minted = minted.json(&json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API })).send().await.unwrap();
    assert_eq!(minted.headers()["x-correlation-id"], "req-7");
    let minted: Value = minted.json().await.unwrap();
    assert_eq!((minted["sub"].as_str(), minted["tenant"].as_str()), (Some("user:acme:u-bob"), Some("acme")));
    let odd = client.post(server.url(MINT)).header("x-correlation-id", "not well formed").send().await.unwrap();
    assert_ne!(odd.headers()["x-correlation-id"], "not well formed");
    let long = client.post(server.url(MINT)).body(vec![b'x'; 1 << 20]).send().await.unwrap();
    assert_eq!(long.status(), 413);
    assert!(server.stop().await);
}

#[tokio::test]
async fn one_event_an_attempt_without_any_secret() {
    let world = World::new().await;
    let standin = world.standin().await;
    let subject = world.idp.token(json!({}));
    let minted = standin.mint_on_behalf(request("svc-router", token(subject.clone()))).await.unwrap();
    let refused = standin.mint_on_behalf(request("svc-router", user("nobody@example.com"))).await.unwrap_err();
    standin.close().await.unwrap();
    let [event] = world.audit_of(&minted.correlation_id).try_into().unwrap_or_else(|events| panic!("{events:?}"));
    let claims = claims_of(&minted.token);
    assert_eq!(event["outcome"], "permit");
    assert_eq!(event["requester"], "svc-router");
    assert_eq!(event["target"], claims["sub"]);
    assert_eq!(event["tenant"], "acme");
    assert_eq!(event["jti"], claims["jti"]);
    assert_eq!(event["policy"], claims["policy"]);
    let [event] = world.audit_of(&refused.correlation_id).try_into().unwrap_or_else(|events| panic!("{events:?}"));
    assert_eq!((event["outcome"].as_str(), event["code"].as_str()), (Some("deny"), Some("target.not_found")));
    let log = std::fs::read_to_string(world.path("audit.jsonl")).unwrap();
    assert!(!log.contains(SECRET) && !log.contains(&subject) && !log.contains(&minted.token));
    assert!(!log.contains(subject.rsplit('.').next().unwrap()));
}

#[tokio::test]
async fn what_is_down_is_named_and_nothing_is_minted() {
    let world = World::new().await;
    let standin = world.builder().audit(Arc::new(NoAudit)).build().await.unwrap();
    let failure = standin.mint_on_behalf(request("svc-router", user("bob@example.com"))).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.status, failure.retry_after), ("audit.unavailable", 503, Some(5)));
    assert_eq!(standin.not_ready().await.iter().map(|part| part.part).collect::<Vec<_>>(), ["audit"]);
    drop(standin);
    let standin = world.standin().await;
    let first = standin.mint_on_behalf(request("svc-router", token(world.idp.token(json!({}))))).await.unwrap();
    standin.close().await.unwrap();
    let standin = world.builder().directory(Arc::new(NoDirectory)).store(Arc::new(NoStore::default())).build().await.unwrap();
    let failure = standin.mint_on_behalf(request("svc-router", user("bob@example.com"))).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.status), ("directory.unavailable", 503));
    for asked in [request("svc-router", token(world.idp.token(json!({})))), request("svc-ledger", token(first.token))] {
        let failure = standin.mint_on_behalf(asked).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.status), ("store.unavailable", 503));
    }
    let server = world.serve(&standin).await;
    let ready = reqwest::Client::builder().no_proxy().build().unwrap().get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.json::<Value>().await.unwrap()["unavailable"], json!(["directory", "store"]));
}

#[tokio::test]
async fn a_reload_is_whole_or_not_at_all() {
    let world = World::new().await;
    let standin = world.standin().await;
    let bob = || request("svc-router", user("bob@example.com"));
    let before = standin.mint_on_behalf(bob()).await.unwrap();
    let file = world.path("standin.toml");
    std::fs::write(&file, format!("{}\nunknown = 1\n", world.config_text())).unwrap();
    assert!(standin::config::Config::read(&file).is_err());
    standin.mint_on_behalf(bob()).await.unwrap();
    std::fs::write(&file, world.config_text().replace("svc-router", "svc-renamed")).unwrap();
    let rotated = world.config();
    let clock = standin::clock::SystemClock::default();
    let retention = standin::key_retention(&rotated);
    let rotation = Rotation { rotated: &rotated.keys.algorithms, signing: &rotated.keys.algorithms, retention };
    standin::keys::files::rotate(&rotated.keys.dir, rotation, &clock, &standin::clock::SystemEntropy).unwrap();
    standin.reload(rotated).await.unwrap();
    assert_eq!(standin.mint_on_behalf(bob()).await.unwrap_err().code, "caller.invalid");
    let after = standin.mint_on_behalf(request("svc-renamed", user("bob@example.com"))).await.unwrap();
    let kid = |token: &str| standin_tests::idp::header_of(token)["kid"].clone();
    assert_ne!(kid(&before.token), kid(&after.token));
    let jwks: Value = serde_json::from_str(&standin.snapshot().keys.jwks()).unwrap();
    let published: Vec<&Value> = jwks["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert!(published.contains(&&kid(&before.token)) && published.contains(&&kid(&after.token)));
}
