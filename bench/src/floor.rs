//! The floor over HTTP: a bare hyper server that does only the job, on `POST /oauth2/token`. Started as `standin-bench floor DIR`.

use std::borrow::Cow;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use crate::native::{Floor, Refused};

/// Serves until it is killed; says where on standard error, as Standin does.
pub(crate) fn serve(folder: &Path) -> anyhow::Result<()> {
    let floor = Arc::new(Floor::new(folder)?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("serving {} as the floor", listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let floor = Arc::clone(&floor);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let floor = Arc::clone(&floor);
                    async move { Ok::<_, Infallible>(answer(&floor, request).await) }
                });
                // A driver that hangs up ends its connection with an error; that is no failure of the bench.
                if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                    && !error.is_incomplete_message()
                {
                    eprintln!("{error}");
                }
            });
        }
    })
}

async fn answer(floor: &Floor, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = match mint(floor, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err(Refused) => (StatusCode::BAD_REQUEST, r#"{"error":"invalid_request"}"#.to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn mint(floor: &Floor, request: Request<Incoming>) -> Result<String, Refused> {
    if request.method() != Method::POST || request.uri().path() != "/oauth2/token" {
        return Err(Refused);
    }
    let basic = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Refused)?;
    let basic = STANDARD.decode(basic.strip_prefix("Basic ").ok_or(Refused)?).map_err(|_| Refused)?;
    let basic = String::from_utf8(basic).map_err(|_| Refused)?;
    let (client, secret) = basic.split_once(':').ok_or(Refused)?;
    let body = request.into_body().collect().await.map_err(|_| Refused)?.to_bytes();
    let body = std::str::from_utf8(&body).map_err(|_| Refused)?;
    let (mut audience, mut scope, mut token, mut grant) = (Cow::default(), Cow::default(), Cow::default(), Cow::default());
    for pair in body.split('&') {
        let (name, value) = pair.split_once('=').ok_or(Refused)?;
        let value = decode(value)?;
        match name {
            "audience" => audience = value,
            "scope" => scope = value,
            "subject_token" => token = value,
            "grant_type" => grant = value,
            _ => {}
        }
    }
    if grant != "urn:ietf:params:oauth:grant-type:token-exchange" {
        return Err(Refused);
    }
    let token = floor.mint(client, secret, &audience, &scope, &token)?;
    let answer = json!({
        "access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer", "expires_in": 300, "scope": scope,
    });
    Ok(answer.to_string())
}

/// `application/x-www-form-urlencoded`, one value.
fn decode(value: &str) -> Result<Cow<'_, str>, Refused> {
    if !value.contains(['%', '+']) {
        return Ok(Cow::Borrowed(value));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Refused)
}

fn digit(byte: Option<u8>) -> Result<u8, Refused> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(Refused)?;
    u8::try_from(digit).map_err(|_| Refused)
}
