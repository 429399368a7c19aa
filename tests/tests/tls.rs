//! The server over TLS: whom it lets hear a token.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Client, ClientBuilder, Version};
use rstest::rstest;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use standin_tests::peer;
use standin_tests::process::Process;
use standin_tests::requests::basic;
use standin_tests::world::{API, PATIENT, SECRET, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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
    std::fs::write(world.path("authority.pem"), authority.pem()).unwrap();
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

/// A connection that has negotiated HTTP/2 and said nothing of it.
async fn negotiated(world: &World, address: SocketAddr) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let authority = rustls::pki_types::CertificateDer::from_pem_file(world.path("authority.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let plain = TcpStream::connect(address).await.unwrap();
    let name = address.ip().to_string().try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, plain).await.unwrap()
}

/// A connection that speaks HTTP/2 as far as a client that never finishes its first request.
async fn unfinished(world: &World, address: SocketAddr) -> TlsStream<TcpStream> {
    let mut stream = negotiated(world, address).await;
    // RFC 9113 §3.4 and §6.2: the preface, empty settings, and a header block of stream 1 without END_HEADERS.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82").await.unwrap();
    stream
}

#[rstest]
#[case::silent(false)]
#[case::answering_pings(true)]
#[tokio::test(flavor = "multi_thread")]
async fn half_a_header_block_of_http2_is_dropped_in_time(#[case] pongs: bool) {
    let limits = format!("{SERVER}header_timeout = \"400ms\"\n");
    let world = World::with(|config| *config += &limits, |_| {}).await;
    certify(&world);
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let mut stream = unfinished(&world, server.address).await;
    let ended = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let [high, middle, low, kind, flags, ..] = head;
            let mut payload = vec![0; usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            // RFC 9113 §6.7. An answer does not help: nothing may stand within a header block (§6.10).
            if pongs
                && (kind, flags) == (6, 0)
                && stream.write_all(&[b"\0\0\x08\x06\x01\0\0\0\0".as_slice(), &payload].concat()).await.is_err()
            {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it is dropped");
}

/// The certificate that the server shows, and the one in the world's folder.
async fn shown(world: &World, address: &str) -> (Vec<u8>, Vec<u8>) {
    let stream = negotiated(world, address.parse().unwrap()).await;
    let shown = stream.get_ref().1.peer_certificates().unwrap().first().unwrap().to_vec();
    let file = rustls::pki_types::CertificateDer::from_pem_file(world.path("chain.pem")).unwrap();
    (shown, file.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_on_a_hangup_and_when_the_files_change() {
    let world = World::with(|config| *config += &[PATIENT, SERVER].concat(), |_| {}).await;
    certify(&world);
    let mut process = Process::start(&world);
    let (first, file) = shown(&world, process.address()).await;
    assert_eq!(first, file);

    certify(&world);
    process.signal("HUP");
    process.wait_for("serve: reloaded");
    let (second, file) = shown(&world, process.address()).await;
    assert!(second == file && second != first);

    // The key of another: refused whole, with what else the file would have changed, and the old ones serve on.
    let (chain, key) = (std::fs::read(world.path("chain.pem")).unwrap(), std::fs::read(world.path("tls.key")).unwrap());
    std::fs::write(world.path("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    std::fs::write(world.path("standin.toml"), world.config_text().replace("svc-router", "svc-renamed")).unwrap();
    process.signal("HUP");
    let said = process.wait_for("not reloaded");
    assert!(said.contains("tls certificate and key"), "{said}");
    assert_eq!(shown(&world, process.address()).await.0, second);
    let client = trusting(&Certificate::from_pem(&std::fs::read(world.path("authority.pem")).unwrap()).unwrap()).build().unwrap();
    let url = format!("https://{}{MINT}", process.address());
    let answer = client.post(url).basic_auth("svc-router", Some(SECRET)).json(&bob()).send().await.unwrap();
    assert_eq!(answer.status(), 200, "the old clients serve on too");

    // Nobody says anything: the half pair is refused, and the whole one is taken up.
    process.wait_for("were refused; the old ones serve on");
    assert_eq!(shown(&world, process.address()).await.0, second);
    std::fs::write(world.path("chain.pem"), b"").unwrap();
    process.wait_for("were refused; the old ones serve on");
    certify(&world);
    process.wait_for("changed and were taken up");
    let (third, file) = shown(&world, process.address()).await;
    assert!(third == file && third != second);
    std::fs::write(world.path("chain.pem"), chain).unwrap();
    std::fs::write(world.path("tls.key"), key).unwrap();
    process.wait_for("changed and were taken up");
    assert!(process.stop().success());
}

#[rstest]
#[case::nothing(b"")]
#[case::the_beginning_of_a_record(b"\x16\x03\x01\x02\x00\x01")]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_never_shakes_hands_is_dropped_in_time_and_holds_no_stop(#[case] sent: &[u8]) {
    let world = World::with(|config| *config += &[PATIENT, SERVER, "grace = \"1m\"\n"].concat(), |_| {}).await;
    certify(&world);
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let silent = async || {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stream
    };
    let (mut rest, mut stream) = (Vec::new(), silent().await);
    // A reset is as good as an end.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.expect("it is dropped");
    let _later = silent().await;
    // Whoever came later has shaken hands: the one before was accepted.
    drop(negotiated(&world, server.address).await);
    let began = tokio::time::Instant::now();
    assert!(server.stop().await);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_negotiates_http2_and_sends_nothing_is_dropped_in_time() {
    let world = World::with(|config| *config += &format!("{SERVER}header_timeout = \"400ms\"\n"), |_| {}).await;
    certify(&world);
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let mut stream = negotiated(&world, server.address).await;
    let mut rest = Vec::new();
    // What the server says of itself first is no answer; a connection that ends without a word is at its end.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.expect("it is dropped");
}
