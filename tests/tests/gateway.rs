//! The gateway example in front of an upstream that records everything: the inbound token never arrives there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../../host/examples/gateway/proxy.rs"]
mod proxy;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use reqwest::{Method, RequestBuilder};
use rstest::rstest;
use serde_json::{Value, json};
use standin::Standin;
use standin_tests::idp::{Idp, claims_of, now};
use standin_tests::peer;
use standin_tests::ports::NoAudit;
use standin_tests::world::{API, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::proxy::{Gateway, check_client};

/// What arrived upstream.
#[derive(Debug, Clone)]
struct Arrived {
    authorization: Vec<String>,
    /// Request line, header fields and body.
    whole: String,
}

/// A gateway, its upstream, and what arrived there.
struct Setup {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    _serving: JoinSet<()>,
}

impl Setup {
    async fn new(standin: &Standin) -> Self {
        Self::with(standin, &[("/expenses", "expenses:read")]).await
    }

    /// Prefixes and what may be done behind each.
    async fn with(standin: &Standin, routes: &[(&str, &str)]) -> Self {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let (upstream, upstream_address) = listener().await;
        let record = {
            let arrived = Arc::clone(&arrived);
            move |request: Request| record(Arc::clone(&arrived), request)
        };
        serving.spawn(async move { axum::serve(upstream, Router::new().fallback(record)).await.unwrap() });
        let (listener, address) = listener().await;
        let route = |(prefix, scope): &(&str, &str)| format!("{prefix}=http://{upstream_address},{API},{scope}").parse().unwrap();
        let gateway = Gateway::new(standin.clone(), "edge".to_owned(), routes.iter().map(route).collect()).unwrap();
        serving.spawn(gateway.serve(listener));
        Self { url: format!("http://{address}"), arrived, _serving: serving }
    }

    fn request(&self, path: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        client.request(Method::POST, format!("{}{path}", self.url))
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

async fn listener() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn record(arrived: Arc<Mutex<Vec<Arrived>>>, request: Request) -> &'static str {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let authorization = head.headers.get_all("authorization").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    let whole = format!("{} {} {:?} {}", head.method, head.uri, head.headers, String::from_utf8_lossy(&body));
    arrived.lock().unwrap().push(Arrived { authorization, whole });
    "upstream's answer"
}

/// Nothing of it that could be used: neither the token nor its signature.
fn assert_absent(inbound: &str, text: &str) {
    let signature = inbound.rsplit('.').next().unwrap();
    assert!(!text.contains(inbound) && !text.contains(signature), "the inbound token is there: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minted_token_arrives_in_place_of_the_inbound_one() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let setup = Setup::new(&standin).await;
    let inbound = world.idp.token(json!({}));
    let bearer = format!("Bearer {inbound}");
    let asked = setup.request("/expenses/7?month=5").header("authorization", &bearer).header("x-trace", "t-1").body("a body");
    // Everywhere the gateway strips, it may also stand.
    let asked = asked
        .header("cookie", format!("session={inbound}"))
        .header("proxy-authorization", &bearer)
        .header("connection", "x-hop")
        .header("x-hop", &inbound);
    let answer = asked.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "upstream's answer"));
    let [arrived] = setup.arrived().try_into().unwrap();
    assert_absent(&inbound, &arrived.whole);
    assert!(arrived.whole.starts_with("POST /expenses/7?month=5 ") && arrived.whole.ends_with(" a body"), "{}", arrived.whole);
    assert!(arrived.whole.contains("t-1"));
    let [authorization]: [String; 1] = arrived.authorization.try_into().unwrap();
    let minted = authorization.strip_prefix("Bearer ").unwrap();
    assert_eq!(peer::verify(minted, &peer::jwks(&standin), Default::default()), Ok(()));
    let claims = claims_of(minted);
    assert_eq!(
        (&claims["sub"], &claims["aud"], &claims["scope"]),
        (&json!("ext:corp:alice"), &json!(API), &json!("expenses:read"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_mint_sends_nothing_upstream() {
    let world = World::patient().await;
    let setup = Setup::new(&world.standin().await).await;
    let idp = &world.idp;
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": standin_tests::idp::KID });
    // RFC 6750 §3.1: what is wrong with the token itself is told from what it may not do.
    let tokens = [
        (401, idp.token(json!({ "exp": now() - 60, "iat": now() - 600 }))),
        (401, idp.token(json!({ "exp": now() - 5 }))),
        (401, idp.token(json!({ "cnf": { "jkt": "x" } }))),
        (401, idp.token(json!({ "aud": "https://other.example.com" }))),
        (403, idp.token(json!({ "scope": "expenses:write" }))),
        (403, idp.token(json!({ "tenant": "globex" }))),
        (401, idp.sign_as_stranger(&header, &Idp::claims(json!({})))),
        (401, idp.hmac_with_public_key(&Idp::claims(json!({})))),
        (401, "not-a-token.at-all".to_owned()),
    ];
    for (status, inbound) in tokens {
        let answer = setup.request("/expenses").bearer_auth(&inbound).send().await.unwrap();
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!(challenge, (status == 401).then_some("Bearer error=\"invalid_token\""));
        assert_eq!(answer.status(), status);
        assert_absent(&inbound, &answer.text().await.unwrap());
        assert!(setup.arrived().is_empty(), "{:?}", setup.arrived());
    }
}

#[tokio::test]
async fn only_an_attested_client_can_be_the_gateway() {
    let config = World::new().await.config();
    assert!(check_client(&config, "edge").is_ok());
    assert!(check_client(&config, "svc-router").unwrap_err().to_string().contains("attested"));
    assert!(check_client(&config, "nobody").unwrap_err().to_string().contains("no client nobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_record_nothing_goes_upstream() {
    let world = World::patient().await;
    let standin = world.builder().audit(Arc::new(NoAudit)).build().await.unwrap();
    let setup = Setup::new(&standin).await;
    let inbound = world.idp.token(json!({}));
    let answer = setup.request("/expenses").bearer_auth(&inbound).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let said: Value = answer.json().await.unwrap();
    assert_eq!(said["code"], "audit.unavailable");
    assert!(setup.arrived().is_empty());
}

#[rstest]
#[case::none(&[])]
#[case::twice(&["Bearer INBOUND", "Bearer INBOUND"])]
#[case::beside_another_scheme(&["Basic YTpi", "Bearer INBOUND"])]
#[case::another_scheme(&["Basic INBOUND"])]
#[case::no_scheme(&["INBOUND"])]
#[case::empty(&["Bearer  "])]
#[tokio::test(flavor = "multi_thread")]
async fn other_than_one_bearer_token_goes_nowhere(#[case] authorization: &[&str]) {
    let world = World::patient().await;
    let setup = Setup::new(&world.standin().await).await;
    let inbound = world.idp.token(json!({}));
    let mut asked = setup.request("/expenses");
    for value in authorization {
        asked = asked.header("authorization", value.replace("INBOUND", &inbound));
    }
    assert_eq!(asked.send().await.unwrap().status(), 401);
    assert!(setup.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_carries_the_token_a_second_time_goes_nowhere() {
    let world = World::patient().await;
    let setup = Setup::new(&world.standin().await).await;
    let inbound = world.idp.token(json!({}));
    let requests = [
        setup.request(&format!("/expenses?access_token={inbound}")),
        setup.request(&format!("/expenses/{inbound}/items")),
        setup.request("/expenses").header("x-forwarded-access-token", &inbound),
        setup.request("/expenses").header("x-original-authorization", format!("Bearer {inbound}")),
        // RFC 6750 §2.2.
        setup.request("/expenses").body(format!("access_token={inbound}")),
        setup.request("/expenses").body(format!("token={}", inbound.replace('.', "%252E"))),
        // Another signature of the same, which could be right too.
        setup.request("/expenses").header("x-token", format!("{}.AAAA", inbound.rsplit_once('.').unwrap().0)),
    ];
    for request in requests {
        let answer = request.bearer_auth(&inbound).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "token_elsewhere");
        assert!(setup.arrived().is_empty(), "{:?}", setup.arrived());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_outside_of_the_routes_goes_nowhere() {
    let world = World::patient().await;
    let setup = Setup::new(&world.standin().await).await;
    let inbound = world.idp.token(json!({}));
    let paths = [
        ("/", 404),
        ("/expensesandmore", 404),
        ("/%65xpenses", 400),
        ("/%2565xpenses", 400),
        ("//expenses", 400),
        ("/expenses//admin", 400),
        ("/;/expenses", 400),
        ("/;x/expenses", 400),
        ("/%3b/expenses", 400),
        ("/expenses/;x", 400),
        ("/expenses%3Bx", 400),
        ("/expenses%253bx", 400),
        ("/expenses%3Fx", 400),
        ("/expenses%2523x", 400),
        ("/expenses/..%20/admin", 400),
        ("/expenses/../admin", 400),
        ("/expenses/%2e%2E/admin", 400),
        ("/expenses%2fadmin", 400),
        ("/expenses/..%2fadmin", 400),
        ("/expenses/%252e%252e/admin", 400),
        ("/expenses/%25252e%25252e%25252fadmin", 400),
        ("/expenses/%2525252525252e", 400),
        ("/expenses/..%3bx/admin", 400),
        ("/expenses/..;x=1/admin", 400),
        ("/expenses/%00", 400),
        ("/expenses/7%00.png", 400),
        ("/expenses/%2500", 400),
        ("/expenses/a%0d%0aset-cookie:b", 400),
        ("/expenses/%5c..%5cadmin", 400),
        ("/expenses/%c0%ae%c0%ae/admin", 400),
        ("/expenses/%zz", 400),
        ("/expenses/%2", 400),
    ];
    for (path, status) in paths {
        let answer = by_hand(&setup, "GET", path, &inbound).await;
        assert_eq!(answer.split_whitespace().nth(1), Some(status.to_string().as_str()), "{path}: {answer}");
    }
    assert!(setup.arrived().is_empty());
    // What only looks odd goes on as it came.
    for path in ["/expenses/a%20b", "/expenses/100%25", "/expenses/%E2%82%AC/..x", "/expenses/a;b=c?d=%2f..%00"] {
        let answer = by_hand(&setup, "GET", path, &inbound).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(setup.arrived().last().unwrap().whole.contains(path), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_takes_the_first_route_that_an_upstream_could_read_in_it() {
    let world = World::patient().await;
    // This client may not write: whatever the other route covers is refused.
    let setup = Setup::with(&world.standin().await, &[("/expenses", "expenses:read"), ("/", "expenses:write")]).await;
    let inbound = world.idp.token(json!({ "scope": "expenses:read expenses:write" }));
    for path in ["/expenses", "/expenses/7", "/expenses;a=b", "/expenses;a=b/7;c"] {
        let answer = by_hand(&setup, "GET", path, &inbound).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let arrived = setup.arrived().pop().unwrap();
        let minted = arrived.authorization[0].strip_prefix("Bearer ").unwrap();
        assert_eq!(claims_of(minted)["scope"], "expenses:read", "{path}");
    }
    for path in ["/expenses7", "/reports/expenses"] {
        let answer = by_hand(&setup, "GET", path, &inbound).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("scope"), "{path}: {answer}");
    }
}

/// An HTTP client would tidy the path up, and has methods of its own.
async fn by_hand(setup: &Setup, method: &str, path: &str, inbound: &str) -> String {
    let mut connection = TcpStream::connect(setup.url.strip_prefix("http://").unwrap()).await.unwrap();
    let asked = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {inbound}\r\nconnection: close\r\n\r\n");
    connection.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_are_not_on_the_list_go_nowhere() {
    let world = World::patient().await;
    let setup = Setup::new(&world.standin().await).await;
    let inbound = world.idp.token(json!({}));
    for method in ["TRACE", "TRACK", "PROPFIND", "get"] {
        let answer = by_hand(&setup, method, "/expenses", &inbound).await;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.to_ascii_lowercase().contains("allow: get, head, post"), "{answer}");
    }
    assert!(setup.arrived().is_empty());
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.request(method, format!("{}/expenses", setup.url)).bearer_auth(&inbound).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_for_the_gateway_alone_is_not_forwarded() {
    let world = World::patient().await;
    let setup = Setup::new(&world.standin().await).await;
    let inbound = world.idp.token(json!({}));
    let asked = setup
        .request("/expenses")
        .bearer_auth(&inbound)
        .header("expect", "100-continue")
        .header("proxy-connection", "keep-alive");
    assert_eq!(asked.body("a body").send().await.unwrap().status(), 200);
    let [arrived] = setup.arrived().try_into().unwrap();
    assert!(!arrived.whole.contains("100-continue") && !arrived.whole.contains("proxy-connection"), "{}", arrived.whole);
}
