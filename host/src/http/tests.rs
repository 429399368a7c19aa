use std::sync::Mutex;

use rstest::rstest;
use zeroize::Zeroizing;

use super::*;
use crate::approval::testing::World;
use crate::bindings::http::Host as _;
use crate::evidence::MAX_LOOKUPS;

/// Remembers what it was asked, and answers or fails.
struct Peer {
    answer: Result<usize, HttpError>,
    asked: Mutex<Vec<Outbound>>,
}

#[async_trait]
impl Http for Peer {
    async fn send(&self, request: Outbound) -> Result<Inbound, HttpError> {
        self.asked.lock().unwrap().push(request);
        let body = vec![b'x'; self.answer.clone()?];
        Ok(Inbound { status: 200, headers: vec![("a".into(), "b".into())], body })
    }
}

struct Hanging;

#[async_trait]
impl Http for Hanging {
    async fn send(&self, _: Outbound) -> Result<Inbound, HttpError> {
        std::future::pending().await
    }
}

fn ctx(http: Arc<dyn Http>) -> HttpCtx {
    let credential = ProviderCredential::new("me", Zeroizing::new("pw".into()));
    let provider = Provider::new("https://idp.example.com", Some(credential)).unwrap();
    let bare = Provider::new("http://localhost:9", None).unwrap().with_limits(Duration::from_secs(9), 9);
    let providers = HashMap::from([("corp".into(), provider), ("bare".into(), bare)]);
    HttpCtx::new(http, Arc::new(providers), Duration::from_millis(200), 100)
}

fn peer(answer: Result<usize, HttpError>) -> Arc<Peer> {
    Arc::new(Peer { answer, asked: Mutex::default() })
}

fn request() -> Request {
    Request {
        provider: "corp".into(),
        method: "POST".into(),
        url: "https://idp.example.com/token".into(),
        headers: vec![("Accept".into(), "application/json".into())],
        body: b"a=b".to_vec(),
    }
}

async fn send(http: Arc<dyn Http>, request: Request) -> Result<Response, WireError> {
    let Inbound { status, headers, body } = ctx(http).exchange(request).await?;
    Ok(Response { status, headers, body })
}

#[tokio::test]
async fn the_host_adds_the_credential() {
    let peer = peer(Ok(5));
    let answer = send(Arc::<Peer>::clone(&peer), request()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"xxxxx"[..]));
    let asked = peer.asked.lock().unwrap();
    assert!(asked[0].headers.contains(&("authorization".into(), "Basic bWU6cHc=".into())));
    assert_eq!(format!("{:?}", asked[0]), "Outbound(POST https://idp.example.com/token, [redacted])");
}

#[tokio::test]
async fn a_provider_may_have_limits_of_its_own_and_no_credential() {
    let peer = peer(Ok(9));
    let bare = Request { provider: "bare".into(), url: "http://localhost:9/x".into(), ..request() };
    send(Arc::<Peer>::clone(&peer), bare).await.unwrap();
    send(Arc::<Peer>::clone(&peer), request()).await.unwrap();
    let asked = peer.asked.lock().unwrap();
    assert_eq!((asked[0].timeout, asked[0].max_body), (Duration::from_secs(9), 9));
    assert!(asked[0].headers.iter().all(|(name, _)| name != "authorization"));
    assert_eq!((asked[1].timeout, asked[1].max_body), (Duration::from_millis(200), 100));
}

#[rstest]
#[case::provider(Request { provider: "other".into(), ..request() })]
#[case::origin(Request { url: "https://evil.example/token".into(), ..request() })]
#[case::port(Request { url: "https://idp.example.com:8443/token".into(), ..request() })]
#[case::scheme(Request { url: "http://idp.example.com/token".into(), ..request() })]
#[case::user(Request { url: "https://idp.example.com@evil.example/".into(), ..request() })]
#[case::method(Request { method: "CONNECT".into(), ..request() })]
#[case::body(Request { body: vec![0; MAX_BODY + 1], ..request() })]
#[case::many_headers(Request { headers: vec![("a".into(), "b".into()); MAX_HEADERS + 1], ..request() })]
#[case::header_name(Request { headers: vec![("a b".into(), "c".into())], ..request() })]
#[case::header_value(Request { headers: vec![("a".into(), "b\r\nhost: c".into())], ..request() })]
#[tokio::test]
async fn refused_before_anything_is_sent(#[case] request: Request) {
    let peer = peer(Ok(0));
    assert!(matches!(send(Arc::<Peer>::clone(&peer), request).await, Err(WireError::Refused(_))));
    assert!(peer.asked.lock().unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn the_component_does_not_set(
    #[values("Authorization", "authorization", "HOST", "Cookie", "Proxy-Authorization", "Transfer-Encoding", "content-length")]
    name: &str,
) {
    let request = Request { headers: vec![(name.into(), "x".into())], ..request() };
    assert!(matches!(send(peer(Ok(0)), request).await, Err(WireError::Refused(_))));
}

#[rstest]
#[case(HttpError::Refused("x".into()), |error: &WireError| matches!(error, WireError::Refused(_)))]
#[case(HttpError::Timeout, |error: &WireError| matches!(error, WireError::Timeout))]
#[case(HttpError::Connect("x".into()), |error: &WireError| matches!(error, WireError::Connect))]
#[case(HttpError::Broken("x".into()), |error: &WireError| matches!(error, WireError::Other(_)))]
#[case(HttpError::TooLarge, |error: &WireError| matches!(error, WireError::TooLarge))]
#[tokio::test]
async fn failures_have_their_names(#[case] error: HttpError, #[case] expected: fn(&WireError) -> bool) {
    assert!(expected(&send(peer(Err(error)), request()).await.unwrap_err()));
}

#[tokio::test]
async fn a_port_that_keeps_no_limits_is_limited() {
    assert!(matches!(send(Arc::new(Hanging), request()).await, Err(WireError::Timeout)));
    assert!(matches!(send(peer(Ok(101)), request()).await, Err(WireError::TooLarge)));
}

#[tokio::test]
async fn nothing_is_sent_for_a_flow_that_asks_no_provider() {
    let peer = peer(Ok(0));
    let ctx = ctx(Arc::<Peer>::clone(&peer));
    let (mut evidence, mut world) = (Evidence::default(), World::user());
    world.examine().unwrap();
    let approval = world.approve();
    for decision in [None, Some(approval.decision().clone())] {
        evidence.decision = decision.map(Arc::new);
        let refused = HttpView { ctx: &ctx, evidence: &mut evidence }.send(request()).await;
        assert!(matches!(refused, Err(WireError::Refused(why)) if why == "no permitted flow asks a provider"));
    }
    assert!(peer.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn requests_are_counted() {
    let (ctx, mut evidence) = (ctx(peer(Ok(0))), Evidence::default());
    let mut view = HttpView { ctx: &ctx, evidence: &mut evidence };
    for _ in 0..MAX_LOOKUPS {
        view.send(request()).await.unwrap_err();
    }
    assert!(matches!(view.send(request()).await, Err(WireError::Refused(why)) if why == "too many questions"));
}
