//! The server over TLS: whom it lets hear a token.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Client, ClientBuilder, Version};
use serde_json::{Value, json};
use standin_tests::peer;
use standin_tests::process::Process;
use standin_tests::requests::basic;
use standin_tests::world::{API, PATIENT, SECRET, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MINT: &str = "/v2/session/svc/obo_mint";
const SERVER: &str = "\n[server]\ntls = { certificate = \"chain.pem\", key = \"tls.key\" }\n";

/// A certificate authority, and in the world's folder what it gave the server on 127.0.0.1.
fn certify(world: &World) -> Certificate {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(world.path("chain.pem"), leaf.pem()).unwrap();
    std::fs::write(world.path("tls.key"), key.serialize_pem()).unwrap();
    Certificate::from_pem(authority.pem().as_bytes()).unwrap()
}

fn trusting(authority: &Certificate) -> ClientBuilder {
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).tls_certs_only([authority.clone()])
}

fn bob() -> Value {
    json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_minted_over_https_and_nothing_over_plain_http() {
    let world = World::with(|config| *config += &[PATIENT, SERVER].concat(), |_| {}).await;
    let authority = certify(&world);
    let process = Process::start(&world);
    let url = |path: &str| format!("https://{}{path}", process.address());
    let versions = [(trusting(&authority).http1_only(), Version::HTTP_11), (trusting(&authority), Version::HTTP_2)];
    for (client, version) in versions {
        let client = client.build().unwrap();
        let answer = client.post(url(MINT)).basic_auth("svc-router", Some(SECRET)).json(&bob()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        let minted: Value = answer.json().await.unwrap();
        let jwks: Value = client.get(url("/jwks.json")).send().await.unwrap().json().await.unwrap();
        assert_eq!(peer::verify(minted["access_token"].as_str().unwrap(), &jwks, Default::default()), Ok(()));
    }

    // HTTP/2 has no limit of its own on how many fields there are.
    let client = trusting(&authority).build().unwrap();
    let many = (0..100).fold(client.get(url("/healthz")), |request, at| request.header(format!("x-{at}"), "y"));
    let refused = many.send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.version()), (431, Version::HTTP_2));
    let large = client.get(url("/healthz")).header("x-large", "y".repeat(100_000)).send().await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 431));

    let stranger = trusting(&certify(&World::new().await)).build().unwrap();
    let refused = stranger.post(url(MINT)).basic_auth("svc-router", Some(SECRET)).json(&bob()).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");

    let mut plain = TcpStream::connect(process.address()).await.unwrap();
    let (secret, body) = (basic("svc-router"), bob().to_string());
    let asked = format!(
        "POST {MINT} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {secret}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    plain.write_all(asked.as_bytes()).await.unwrap();
    let mut answered = Vec::new();
    // A reset is as good as an end.
    let _ = tokio::time::timeout(Duration::from_secs(30), plain.read_to_end(&mut answered)).await.expect("it hangs up");
    // At most a TLS alert (RFC 8446 §6) of seven bytes: content type 21, version, length, level, description.
    assert!(answered.is_empty() || (answered.len() == 7 && answered.first() == Some(&21)), "{answered:?}");

    assert!(process.stop().success());
    let attempts = world.audit_lines().into_iter().filter(|line| line["event"] == "attempt").count();
    assert_eq!(attempts, 2, "only what came over https was an attempt");
    world.verify_audit();
}
