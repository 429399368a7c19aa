//! What audiences and tenants are called, and how long a token may be.

use reqwest::ClientBuilder;
use rstest::rstest;
use serde_json::{Value, json};
use standin_tests::idp::claims_of;
use standin_tests::requests::{basic, body};
use standin_tests::world::{API, PATIENT, World};

use super::{exchange, exchanged, minted};

const POOL: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x";

#[tokio::test]
async fn an_audience_is_any_uri_reference() {
    let names =
        [POOL, "urn:example:reports", "reports", "/internal/reports", "api://0f8fad5b/.default?x=1", "https://r.example.com/a#b"];
    let change = |config: &mut String| {
        let list = names.map(|name| format!("{name:?}, ")).concat();
        *config = config.replacen("audiences = [", &format!("audiences = [{list}"), 1);
        for name in names {
            *config += &format!("\n[[audience]]\nid = {name:?}\n");
        }
    };
    let world = World::with(change, |_| {}).await;
    let standin = world.standin().await;
    for name in names {
        let asked = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": name });
        let said = body(&minted(&standin, "svc-router", &asked).await);
        assert_eq!(claims_of(said["access_token"].as_str().unwrap_or_else(|| panic!("{said}")))["aud"], name);
        let encoded = name.replace('%', "%25").replace('#', "%23").replace('&', "%26");
        let form = |parameter: &str| exchange(&world.idp.token(json!({})), &format!("&{parameter}={encoded}"));
        let said = body(&exchanged(&standin, Some(&basic("svc-router")), &form("audience")).await);
        assert_eq!(claims_of(said["access_token"].as_str().unwrap_or_else(|| panic!("{said}")))["aud"], name);
        // RFC 8707 §2: a resource is an absolute URI without fragment.
        let absolute = name.split('/').next().unwrap().contains(':') && !name.contains('#');
        let said = body(&exchanged(&standin, Some(&basic("svc-router")), &form("resource")).await);
        assert_eq!(said.get("code").and_then(Value::as_str), (!absolute).then_some("audience.invalid"), "{said}");
    }
    for malformed in ["a b", "1a:b", "https://a/%zz", "https://a:b/", "a{b}", "https:", "ä"] {
        let asked = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": malformed });
        assert_eq!(body(&minted(&standin, "svc-router", &asked).await)["code"], "audience.invalid", "{malformed}");
    }
}

#[rstest]
#[case::claim("tenant", json!({ "tenant": "acme" }), None)]
#[case::list_of_one("tenant", json!({ "tenant": ["acme"] }), None)]
#[case::pointer("/org/id", json!({ "org": { "id": "acme" } }), None)]
#[case::pointer_to_a_list_of_one("/org/ids", json!({ "org": { "ids": ["acme"] } }), None)]
#[case::pointer_into_a_list("/orgs/1", json!({ "orgs": ["initech", "acme"] }), None)]
#[case::pointer_with_escapes("/https:~1~1x.example~1t~0", json!({ "https://x.example/t~": "acme" }), None)]
#[case::list_of_two("tenant", json!({ "tenant": ["acme", "globex"] }), Some("subject.tenant"))]
#[case::list_of_the_same("tenant", json!({ "tenant": ["acme", "acme"] }), Some("subject.tenant"))]
#[case::empty_list("tenant", json!({ "tenant": [] }), Some("subject.tenant"))]
#[case::nothing_there("/org/id", json!({ "org": {} }), Some("subject.tenant"))]
#[case::the_pointers_own_name("/org", json!({ "/org": "acme" }), Some("subject.tenant"))]
#[case::another_tenant("/org/id", json!({ "org": { "id": "initech" } }), Some("subject.tenant"))]
#[case::object("/org", json!({ "org": { "id": "acme" } }), Some("subject.malformed"))]
#[case::number("/org", json!({ "org": 1 }), Some("subject.malformed"))]
#[case::list_of_a_number("/org", json!({ "org": [1] }), Some("subject.malformed"))]
#[tokio::test]
async fn a_tenant_is_named_by_a_claim_or_a_pointer(#[case] claim: &str, #[case] claims: Value, #[case] code: Option<&str>) {
    let setting = format!("tenant_claim = {claim:?}");
    let world = World::with(|config| *config = config.replace("tenant_claim = \"tenant\"", &setting), |_| {}).await;
    let mut changes = json!({ "tenant": null });
    changes.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let form = exchange(&world.idp.token(changes), &format!("&audience={API}"));
    let answer = exchanged(&world.standin().await, Some(&basic("svc-router")), &form).await;
    let said = body(&answer);
    assert_eq!(said.get("code").and_then(Value::as_str), code, "{said}");
    if code.is_none() {
        assert_eq!(claims_of(said["access_token"].as_str().unwrap())["tenant"], "acme");
    }
}

/// In the form, and as a caller JWT in the header.
#[rstest]
#[case::http_1_1(|client: ClientBuilder| client.http1_only())]
#[case::http_2(|client: ClientBuilder| client.http2_prior_knowledge())]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_have_64_kib(#[case] version: fn(ClientBuilder) -> ClientBuilder) {
    let change = |config: &mut String| *config += &["\n[limits]\nmax_token = \"64KiB\"\n", PATIENT].concat();
    let world = World::with(change, |_| {}).await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let client = version(reqwest::Client::builder().no_proxy()).build().unwrap();
    let padded = |short: &str, token: &dyn Fn(Value) -> String, most: usize| {
        // Three characters in four bytes of base64url: up to `most`, and not over it.
        let token = token(json!({ "pad": "x".repeat((most - short.len() - 64) / 4 * 3) }));
        assert!(token.len() <= most && token.len() > most - 256, "{} of {most}", token.len());
        token
    };
    let subject = |most| padded(&world.idp.token(json!({})), &|changes| world.idp.token(changes), most);
    let caller = |most| padded(&world.idp.caller(json!({})), &|changes| world.idp.caller(changes), most);
    let send = async |subject: &str, caller: &str| {
        let form = exchange(subject, &format!("&audience={API}"));
        let asked = client.post(server.url(super::TOKEN)).header("content-type", super::FORM.1).bearer_auth(caller).body(form);
        let answer = asked.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, said) = send(&subject(64 << 10), &caller(64 << 10)).await;
    assert_eq!(status, 200, "{said}");
    let (status, said) = send(&subject((64 << 10) + 512), &caller(1 << 10)).await;
    assert!(status == 400 && said.contains("subject.too_large"), "{said}");
    let (status, said) = send(&subject(1 << 10), &caller((64 << 10) + 512)).await;
    assert!(status == 401 && said.contains("caller.invalid"), "{said}");
    assert!(server.stop().await);
}
