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

use self::proxy::Gateway;

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
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let (upstream, upstream_address) = listener().await;
        let record = {
            let arrived = Arc::clone(&arrived);
            move |request: Request| record(Arc::clone(&arrived), request)
        };
        serving.spawn(async move { axum::serve(upstream, Router::new().fallback(record)).await.unwrap() });
        let (listener, address) = listener().await;
        let route = format!("/expenses=http://{upstream_address},{API},expenses:read").parse().unwrap();
        let gateway = Gateway::new(standin.clone(), "edge".to_owned(), vec![route]).unwrap();
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
    let tokens = [
        idp.token(json!({ "exp": now() - 60, "iat": now() - 600 })),
        idp.token(json!({ "aud": "https://other.example.com" })),
        idp.token(json!({ "scope": "expenses:write" })),
        idp.token(json!({ "tenant": "globex" })),
        idp.sign_as_stranger(&header, &Idp::claims(json!({}))),
        idp.hmac_with_public_key(&Idp::claims(json!({}))),
        "not-a-token.at-all".to_owned(),
    ];
    for inbound in tokens {
        let answer = setup.request("/expenses").bearer_auth(&inbound).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        assert_absent(&inbound, &answer.text().await.unwrap());
        assert!(setup.arrived().is_empty(), "{:?}", setup.arrived());
    }
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
        ("/expenses/../admin", 400),
        ("/expenses/%2e%2E/admin", 400),
        ("/expenses%2fadmin", 400),
    ];
    for (path, status) in paths {
        // By hand: an HTTP client would tidy the path up.
        let mut connection = TcpStream::connect(setup.url.strip_prefix("http://").unwrap()).await.unwrap();
        let asked = format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {inbound}\r\nconnection: close\r\n\r\n");
        connection.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split_whitespace().nth(1), Some(status.to_string().as_str()), "{path}: {answer}");
    }
    assert!(setup.arrived().is_empty());
}
