//! What stands on the wire: error responses and their challenges, headers, metadata, names of audiences, tenants and addresses, what the
//! host fetches by a proxy, and a published client as a peer.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends")]

#[path = "wire/addresses.rs"]
mod addresses;
#[path = "wire/examples.rs"]
mod examples;
#[path = "wire/names.rs"]
mod names;
#[path = "wire/outgoing.rs"]
mod outgoing;
#[path = "wire/peer.rs"]
mod peer;

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use standin::Standin;
use standin::decision_point::{Judge, JudgeError, Judgement, Question};
use standin::endpoint::HttpResponse;
use standin::types::{Effect, Verdict};
use standin_domain::error::{CallerError, Error};
use standin_tests::idp::claims_of;
use standin_tests::requests::{basic, body, http};
use standin_tests::world::{API, SECRET, World};

const MINT: &str = "/v2/session/svc/obo_mint";
const TOKEN: &str = "/oauth2/token";
const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn headers<'a>(response: &'a HttpResponse, name: &str) -> Vec<&'a str> {
    let named = response.headers.iter().filter(|(header, _)| header == name);
    named.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect()
}

/// A token exchange of this token, with `more` behind it.
fn exchange(token: &str, more: &str) -> String {
    let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    format!("grant_type={grant}&subject_token={token}&subject_token_type={JWT}{more}")
}

async fn exchanged(standin: &Standin, authorization: Option<&str>, form: &str) -> HttpResponse {
    let mut headers = vec![FORM];
    headers.extend(authorization.map(|value| ("authorization", value)));
    standin.handle(http("POST", TOKEN, &headers, form.as_bytes())).await
}

async fn minted(standin: &Standin, client: &str, asked: &Value) -> HttpResponse {
    let headers = [JSON, ("authorization", &*basic(client))];
    standin.handle(http("POST", MINT, &headers, asked.to_string().as_bytes())).await
}

fn bob() -> Value {
    json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API })
}

/// A judge that always says the same.
struct Says(Result<Effect, fn() -> JudgeError>);

impl Judge for Says {
    fn judge(&self, _question: &Question<'_>) -> Result<Judgement, JudgeError> {
        let effect = self.0.clone().map_err(|error| error())?;
        let verdict = Verdict { effect, reasons: Vec::new(), attributes: Vec::new() };
        Ok(Judgement { verdict, module_digest: "0".repeat(64) })
    }
}

#[rstest]
#[case::denied(Ok(Effect::Deny), "policy.denied", "invalid_request")]
#[case::step_up(Ok(Effect::StepUp("urn:example:mfa".into())), "policy.step_up", "insufficient_user_authentication")]
#[case::failed(Err((|| JudgeError::Module("no".into())) as fn() -> JudgeError), "policy.error", "invalid_request")]
#[case::timed_out(Err((|| JudgeError::TimedOut) as fn() -> JudgeError), "policy.timed_out", "invalid_request")]
#[tokio::test]
async fn a_denial_is_a_bad_request(#[case] verdict: Result<Effect, fn() -> JudgeError>, #[case] code: &str, #[case] error: &str) {
    let world = World::new().await;
    let standin = world.builder().judge(Arc::new(Says(verdict))).build().await.unwrap();
    let form = exchange(&world.idp.token(json!({})), &format!("&audience={API}"));
    for answer in [minted(&standin, "svc-router", &bob()).await, exchanged(&standin, Some(&basic("svc-router")), &form).await] {
        let said = body(&answer);
        assert_eq!((answer.status, said["error"].as_str(), said["code"].as_str()), (400, Some(error), Some(code)), "{said}");
        assert!(headers(&answer, "www-authenticate").is_empty());
        let acr = if code == "policy.step_up" { json!("urn:example:mfa") } else { Value::Null };
        assert_eq!((&said["acr"], &said["acr_values"]), (&acr, &acr), "{said}");
    }
}

#[tokio::test]
async fn a_protected_user_is_refused_like_any_other() {
    let world = World::new().await;
    let root = json!({ "id_type": "user", "id": "email.root@example.com", "audience": API });
    let answer = minted(&world.standin().await, "svc-router", &root).await;
    let said = body(&answer);
    assert_eq!((answer.status, said["error"].as_str()), (400, Some("invalid_request")));
    assert_eq!(said["code"], "target.protected");
}

/// RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9470 §3, and for what is our own fault RFC 6749 §4.1.2.1.
#[test]
fn every_error_is_a_registered_one() {
    let registered = [
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "insufficient_user_authentication",
    ];
    for error in Error::all() {
        let entry = error.entry();
        let later = entry.status >= 500 || entry.status == 429;
        let ours = later && matches!(entry.oauth.name(), "server_error" | "temporarily_unavailable");
        assert!(ours || registered.contains(&entry.oauth.name()), "{}: {}", entry.code, entry.oauth.name());
    }
}

const BASIC: &str = "Basic realm=\"standin\", charset=\"UTF-8\"";
const BEARER: &str = "Bearer realm=\"standin\"";
const INVALID_BEARER: &str = "Bearer realm=\"standin\", error=\"invalid_token\"";

#[rstest]
#[case::bearer(Some("Bearer x"), "", 401, "caller.invalid", &[INVALID_BEARER])]
#[case::bearer_in_lower_case(Some("bearer x"), "", 401, "caller.invalid", &[INVALID_BEARER])]
#[case::empty_bearer(Some("Bearer "), "", 401, "caller.invalid", &[INVALID_BEARER])]
#[case::basic(Some("Basic c3ZjLXJvdXRlcjp3cm9uZw=="), "", 401, "caller.invalid", &[BASIC])]
#[case::basic_without_a_colon(Some("Basic c3Zj"), "", 401, "caller.invalid", &[BASIC])]
#[case::basic_beside_its_id(Some("Basic c3ZjLXJvdXRlcjp3cm9uZw=="), "&client_id=svc-router", 401, "caller.invalid", &[BASIC])]
#[case::another_scheme(Some("Digest x"), "", 401, "caller.method", &[BASIC, BEARER])]
#[case::nothing(None, "", 401, "caller.missing", &[BASIC, BEARER])]
#[case::an_id_alone(None, "&client_id=svc-router", 401, "caller.missing", &[BASIC, BEARER])]
#[case::a_wrong_secret_in_the_form(None, "&client_id=svc-router&client_secret=wrong", 400, "caller.invalid", &[])]
#[case::an_unknown_client_in_the_form(None, "&client_id=svc-none&client_secret=wrong", 400, "caller.invalid", &[])]
#[case::a_secret_without_its_id(None, "&client_secret=wrong", 400, "caller.missing", &[])]
#[case::an_assertion(None, "&client_assertion=x", 400, "caller.method", &[])]
#[tokio::test]
async fn a_failed_authentication_is_challenged_as_it_was_tried(
    #[case] authorization: Option<&str>,
    #[case] more: &str,
    #[case] status: u16,
    #[case] code: &str,
    #[case] challenges: &[&str],
) {
    let world = World::new().await;
    let standin = world.standin().await;
    let answer = exchanged(&standin, authorization, &exchange("x", more)).await;
    let said = body(&answer);
    assert_eq!((answer.status, said["error"].as_str()), (status, Some("invalid_client")), "{said}");
    assert_eq!((said["code"].as_str(), headers(&answer, "www-authenticate").as_slice()), (Some(code), challenges));
    if more.is_empty() {
        let mut sent = vec![JSON];
        sent.extend(authorization.map(|value| ("authorization", value)));
        let answer = standin.handle(http("POST", MINT, &sent, bob().to_string().as_bytes())).await;
        assert_eq!((answer.status, headers(&answer, "www-authenticate").as_slice()), (status, challenges));
    }
}

#[tokio::test]
async fn what_is_not_to_be_stored_says_so_to_old_caches_too() {
    let world = World::with(|config| config.push_str("\n[limits]\nmax_in_flight = 1\n"), |_| {}).await;
    let standin = world.standin().await;
    let mut answers = vec![minted(&standin, "svc-router", &bob()).await, minted(&standin, "svc-none", &bob()).await];
    answers.push(exchanged(&standin, None, "").await);
    answers.push(standin.handle(http("GET", "/nothing", &[], b"")).await);
    // And what the host answers by itself.
    let held =
        standin.resolve_target(standin_tests::requests::request("svc-router", standin_tests::requests::user("bob@example.com")));
    let _held = held.await.unwrap_or_else(|failure| panic!("{failure:?}"));
    answers.push(minted(&standin, "svc-router", &bob()).await);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 401, 400, 404, 503]);
    for answer in &answers {
        assert_eq!((headers(answer, "cache-control"), headers(answer, "pragma")), (vec!["no-store"], vec!["no-cache"]));
    }
}

#[tokio::test]
async fn a_client_id_beside_a_credential_is_its_clients() {
    let world = World::new().await;
    let standin = world.standin().await;
    let caller = format!("Bearer {}", world.idp.caller(json!({})));
    let form = |more: &str| exchange(&world.idp.token(json!({})), &format!("&audience={API}{more}"));
    for (authorization, own, other) in
        [(&*caller, "svc-bearer", "svc-router"), (&*basic("svc-router"), "svc-router", "svc-bearer")]
    {
        let answer = exchanged(&standin, Some(authorization), &form(&format!("&client_id={own}"))).await;
        assert_eq!(answer.status, 200, "{}", body(&answer));
        assert_eq!(claims_of(body(&answer)["access_token"].as_str().unwrap())["client_id"], own);
        for other in [other, "svc-none", "SVC-BEARER"] {
            let answer = exchanged(&standin, Some(authorization), &form(&format!("&client_id={other}"))).await;
            let said = body(&answer);
            assert_eq!((answer.status, said["error"].as_str()), (400, Some("invalid_request")), "{said}");
            assert_eq!((&said["code"], &said["field"]), (&json!(CallerError::Several.entry().code), &json!("client_id")));
            assert_eq!(world.audit_of(said["correlation_id"].as_str().unwrap()).len(), 1);
        }
    }
    // A wrong JWT is a wrong JWT, whoever is named beside it.
    let answer = exchanged(&standin, Some("Bearer x"), &form("&client_id=svc-bearer")).await;
    assert_eq!((answer.status, body(&answer)["code"].as_str()), (401, Some("caller.invalid")));
}

#[tokio::test]
async fn there_is_no_scope_where_none_is_granted() {
    let world = World::new().await;
    let standin = world.standin().await;
    let form = exchange(&world.idp.token(json!({})), &format!("&audience={API}"));
    let said = body(&exchanged(&standin, Some(&basic("svc-ledger")), &form).await);
    assert!(said["access_token"].is_string() && said.get("scope").is_none(), "{said}");
    let form = exchange(&world.idp.token(json!({})), &format!("&audience={API}&scope=expenses:read"));
    assert_eq!(body(&exchanged(&standin, Some(&basic("svc-ledger")), &form).await)["scope"], "expenses:read");
}

#[rstest]
#[case::nothing("", ACCESS_TOKEN)]
#[case::access_token("&requested_token_type=urn:ietf:params:oauth:token-type:access_token", ACCESS_TOKEN)]
#[case::jwt("&requested_token_type=urn:ietf:params:oauth:token-type:jwt", JWT)]
#[tokio::test]
async fn the_issued_type_is_the_one_that_was_asked_for(#[case] asked: &str, #[case] issued: &str) {
    let world = World::new().await;
    let form = exchange(&world.idp.token(json!({})), &format!("&audience={API}{asked}"));
    let said = body(&exchanged(&world.standin().await, Some(&basic("svc-router")), &form).await);
    assert_eq!((&said["issued_token_type"], &said["token_type"]), (&json!(issued), &json!("Bearer")), "{said}");
}

const PUBLIC: [&str; 3] = ["/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

#[tokio::test]
async fn the_metadata_has_no_empty_list() {
    let standin = World::new().await.standin().await;
    for path in &PUBLIC[1..] {
        let document = body(&standin.handle(http("GET", path, &[], b"")).await);
        assert_eq!(document["response_types_supported"], json!(["none"]));
        let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        assert!(!document.as_object().unwrap().values().any(empty), "{document}");
    }
}

#[tokio::test]
async fn pages_read_what_is_public_and_nothing_else() {
    let world = World::new().await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let origin = ("origin", "https://app.example.com");
    let cors = |answer: &reqwest::Response| {
        let names = answer.headers().keys().map(|name| name.as_str().to_owned());
        names.filter(|name| name.starts_with("access-control-")).collect::<Vec<_>>()
    };
    let preflight = async |path: &str, method: &str| {
        let asked = client.request(reqwest::Method::OPTIONS, server.url(path)).header(origin.0, origin.1);
        asked.header("access-control-request-method", method).send().await.unwrap()
    };
    for path in PUBLIC {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
            let answer = client.request(method, server.url(path)).header(origin.0, origin.1).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
                (200, &"*".parse().unwrap())
            );
            assert_eq!(cors(&answer).len(), 1, "{answer:?}");
        }
        let answer = preflight(path, "GET").await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["access-control-allow-methods"].to_str().unwrap()),
            (204, "GET, HEAD")
        );
        assert!(answer.headers().get("access-control-allow-credentials").is_none());
        let wrong = client.post(server.url(path)).header(origin.0, origin.1).send().await.unwrap();
        assert_eq!((wrong.status().as_u16(), cors(&wrong)), (405, vec![]));
        assert_eq!(wrong.headers()["allow"], "GET, HEAD, OPTIONS");
    }
    for path in [TOKEN, MINT] {
        let answer = preflight(path, "POST").await;
        assert_eq!((answer.status().as_u16(), cors(&answer)), (405, vec![]), "{path}");
        let asked = client.post(server.url(path)).basic_auth("svc-router", Some(SECRET)).header(origin.0, origin.1);
        let answer = asked.json(&bob()).send().await.unwrap();
        assert_eq!((answer.status() == 200, cors(&answer)), (path == MINT, vec![]));
    }
    for path in ["/healthz", "/readyz", "/metrics", "/nothing"] {
        let answer = client.get(server.url(path)).header(origin.0, origin.1).send().await.unwrap();
        assert_eq!(cors(&answer), [""; 0], "{path}");
        assert_eq!(cors(&preflight(path, "GET").await), [""; 0], "{path}");
    }
    assert!(server.stop().await);
}
