//! `Http` over the network.

use std::error::Error as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, ClientBuilder, Method, Url};
use tokio::sync::OnceCell;

use super::proxy::{Proxy, ProxyError};
use super::{Http, HttpError, Inbound, Outbound, USER_AGENT};

const CONNECT: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 8;

/// Sends over TCP and TLS. No redirects, no cookies. Nothing is built before it is used: reading the root certificates, the machine's or
/// those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, takes longer than everything else at start.
#[derive(Debug, Default)]
pub struct ReqwestHttp {
    proxy: Proxy,
    /// For `https`.
    secure: OnceCell<Client>,
    /// For `http` to loopback, without any certificates.
    plain: OnceCell<Client>,
}

impl ReqwestHttp {
    /// A client that has not been used and knows no proxy.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with the proxy for `https` that `HTTPS_PROXY` and `NO_PROXY` say.
    ///
    /// # Errors
    /// Where what is named there is no proxy.
    pub fn from_env() -> Result<Self, ProxyError> {
        Ok(Self { proxy: Proxy::of(|name| std::env::var_os(name))?, ..Self::default() })
    }

    async fn client(&self, url: &Url) -> Result<&Client, HttpError> {
        if url.scheme() == "http" {
            return self.plain.get_or_try_init(|| build(common().tls_certs_only([]))).await;
        }
        let secure = || async { build(self.proxy.applied(common().https_only(true)).map_err(failure)?).await };
        self.secure.get_or_try_init(secure).await
    }
}

fn common() -> ClientBuilder {
    // `localhost` is what we say it is, not what a resolver makes of it.
    let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .resolve_to_addrs("localhost", &loopback)
}

async fn build(builder: ClientBuilder) -> Result<Client, HttpError> {
    // Reads files.
    let built = tokio::task::spawn_blocking(move || builder.build()).await;
    built.map_err(|error| HttpError::Connect(error.to_string()))?.map_err(failure)
}

#[async_trait]
impl Http for ReqwestHttp {
    async fn send(&self, request: Outbound) -> Result<Inbound, HttpError> {
        let timeout = request.timeout;
        tokio::time::timeout(timeout, self.exchange(request)).await.map_err(|_elapsed| HttpError::Timeout)?
    }
}

impl ReqwestHttp {
    async fn exchange(&self, request: Outbound) -> Result<Inbound, HttpError> {
        let url = super::allowed(&request.url)?;
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| HttpError::Refused("no such method".into()))?;
        let mut outbound = self.client(&url).await?.request(method, url);
        for (name, value) in request.headers {
            outbound = outbound.header(name, value);
        }
        let mut answer = outbound.body(request.body).send().await.map_err(failure)?;
        let status = answer.status().as_u16();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let announced = answer.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |length| length > request.max_body) {
            return Err(HttpError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > request.max_body {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Inbound { status, headers, body })
    }
}

/// Without the URL, which may carry what does not belong into a log.
fn failure(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    if error.is_timeout() {
        HttpError::Timeout
    } else if error.is_builder() {
        HttpError::Refused(with_causes(&error))
    } else if error.is_connect() {
        HttpError::Connect(with_causes(&error))
    } else {
        HttpError::Broken(with_causes(&error))
    }
}

/// Whether it was the proxy, a certificate or the name stands in the causes only.
fn with_causes(error: &reqwest::Error) -> String {
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use wiremock::matchers::{body_string, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn get(url: &str) -> Outbound {
        Outbound {
            method: "GET".into(),
            url: url.into(),
            headers: vec![("accept".into(), "text/plain".into())],
            body: Vec::new(),
            timeout: Duration::from_secs(5),
            max_body: 1_000,
        }
    }

    /// Answers one connection with these bytes.
    async fn raw_server(answer: Vec<u8>, hold: bool) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request's end; it has no body.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(&answer).await.unwrap();
            if hold {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        });
        format!("http://{address}/")
    }

    #[tokio::test]
    async fn sends_and_reads() {
        let server = MockServer::start().await;
        let mock = Mock::given(method("POST")).and(path("/token")).and(header("accept", "text/plain")).and(body_string("a=b"));
        mock.respond_with(ResponseTemplate::new(201).insert_header("x-a", "1").set_body_string("hello")).mount(&server).await;
        let request = Outbound { method: "POST".into(), body: b"a=b".to_vec(), ..get(&format!("{}/token", server.uri())) };
        let answer = ReqwestHttp::new().send(request).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (201, &b"hello"[..]));
        assert!(answer.headers.contains(&("x-a".into(), "1".into())));
        assert_eq!(format!("{answer:?}"), "Inbound(201, [redacted])");
    }

    #[tokio::test]
    async fn localhost_is_loopback() {
        let server = MockServer::start().await;
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
        let url = format!("http://localhost:{}/", server.address().port());
        assert_eq!(ReqwestHttp::new().send(get(&url)).await.unwrap().status, 204);
    }

    #[tokio::test]
    async fn redirects_are_answers() {
        let server = MockServer::start().await;
        Mock::given(path("/from")).respond_with(ResponseTemplate::new(302).insert_header("location", "/to")).mount(&server).await;
        Mock::given(path("/to")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
        assert_eq!(ReqwestHttp::new().send(get(&format!("{}/from", server.uri()))).await.unwrap().status, 302);
    }

    #[rstest]
    #[case("http://idp.example.com/")]
    #[case("http://127.0.0.1.example.com/")]
    #[case("http://localhost.example.com/")]
    #[case("http://user:pw@127.0.0.1/")]
    #[case("ftp://127.0.0.1/")]
    #[case("file:///etc/passwd")]
    #[case("/relative")]
    #[tokio::test]
    async fn refuses_other_than_https_and_loopback(#[case] url: &str) {
        assert!(matches!(ReqwestHttp::new().send(get(url)).await, Err(HttpError::Refused(_))));
    }

    #[rstest]
    #[case::method(Outbound { method: "B AD".into(), ..get("http://127.0.0.1/") })]
    #[case::header(Outbound { headers: vec![("a\nb".into(), "c".into())], ..get("http://127.0.0.1/") })]
    #[tokio::test]
    async fn refuses_malformed_requests(#[case] request: Outbound) {
        assert!(matches!(ReqwestHttp::new().send(request).await, Err(HttpError::Refused(_))));
    }

    #[tokio::test]
    async fn long_answers_are_cut_off() {
        let announced = raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec(), true).await;
        assert_eq!(ReqwestHttp::new().send(get(&announced)).await.err(), Some(HttpError::TooLarge));
        let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        endless.resize(100_000, b'x');
        let unannounced = raw_server(endless, true).await;
        assert_eq!(ReqwestHttp::new().send(get(&unannounced)).await.err(), Some(HttpError::TooLarge));
    }

    #[tokio::test]
    async fn slow_answers_time_out() {
        let url = raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec(), true).await;
        let request = Outbound { timeout: Duration::from_millis(100), ..get(&url) };
        assert_eq!(ReqwestHttp::new().send(request).await.err(), Some(HttpError::Timeout));
    }

    #[tokio::test]
    async fn broken_answers_are_errors() {
        let url = raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec(), false).await;
        assert!(matches!(ReqwestHttp::new().send(get(&url)).await, Err(HttpError::Broken(_))));
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(ReqwestHttp::new().send(get(&url)).await, Err(HttpError::Connect(_))));
    }
}
