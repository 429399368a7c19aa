//! What the host fetches: by the proxy that the environment names, from whom the certificates there vouch for, and from loopback directly.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use standin_tests::process::{Process, binary, shell};
use standin_tests::requests::basic;
use standin_tests::world::{API, PATIENT, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{FORM, TOKEN, exchange};

/// What comes before the body; it has none.
async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_gone) => break,
        }
    }
    String::from_utf8(read).unwrap()
}

/// Serves this document over TLS as `idp.test` and `localhost`; the authority's certificate goes to `authority`.
async fn issuer(document: String, authority: &Path) -> SocketAddr {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(authority, root.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["idp.test".to_owned(), "localhost".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(leaf.pem().as_bytes()).unwrap()];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}", document.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// A proxy of CONNECT (RFC 9110 §9.3.6) that knows one host; what it is asked goes to the list.
async fn proxy(host: &'static str, behind: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = head(&mut stream).await;
            seen.lock().unwrap().push(request.clone());
            if !request.starts_with(&format!("CONNECT {host}:443 ")) {
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut onward = TcpStream::connect(behind).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut onward).await });
        }
    });
    (address, asked)
}

/// The command with nothing of this environment that says how to reach the world, and then this.
fn with(environment: &[(&str, &str)]) -> Command {
    let mut command = shell("");
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").envs(environment.iter().copied());
    command
}

/// The status of a token exchange, and its answer.
async fn exchanged(world: &World, process: &Process) -> (u16, Value) {
    let form = exchange(&world.idp.token(json!({})), &format!("&audience={API}"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.post(process.url(TOKEN)).header("authorization", basic("svc-router")).header(FORM.0, FORM.1);
    let answer = asked.body(form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_sets_are_fetched_by_the_proxy_and_the_certificates_of_the_environment() {
    let world = World::with(|config| config.push_str(PATIENT), |_| {}).await;
    let authority = world.path("authority.pem").to_str().unwrap().to_owned();
    let address = issuer(world.idp.jwks().to_string(), authority.as_ref()).await;
    let (through, asked) = proxy("idp.test", address).await;
    let (proxy, authority) = (&*format!("http://standin:s3cret@{through}"), &*authority);
    let by = |uri: &str| {
        world.config_text().replace(&format!("jwks_uri = \"{}\"", world.idp.jwks_uri()), &format!("jwks_uri = \"{uri}\""))
    };
    let (far, near) = (by("https://idp.test/jwks.json"), by(&format!("https://localhost:{}/jwks.json", address.port())));
    let taken = || std::mem::take(&mut *asked.lock().unwrap());
    let config = world.path("standin.toml");

    std::fs::write(&config, &far).unwrap();
    let process = Process::of(with(&[("HTTPS_PROXY", proxy), ("SSL_CERT_FILE", authority)]), &config);
    let (status, said) = exchanged(&world, &process).await;
    assert_eq!(status, 200, "{said}: {:?}", process.log());
    let requests = taken();
    let connects = |request: &String| request.starts_with("CONNECT idp.test:443 HTTP/1.1\r\n");
    assert!(!requests.is_empty() && requests.iter().all(connects), "{requests:?}");
    // `standin:s3cret`.
    assert!(requests[0].contains("Basic c3RhbmRpbjpzM2NyZXQ="), "{requests:?}");
    assert!(process.stop().success());

    // Nobody vouches for it: the system does not know this authority.
    let process = Process::of(with(&[("https_proxy", proxy)]), &config);
    let (status, said) = exchanged(&world, &process).await;
    assert_eq!((status, said["code"].as_str()), (503, Some("subject.unavailable")), "{said}");
    assert!(!taken().is_empty());
    assert!(process.stop().success());

    // What is on this machine is not what a proxy would find on its own.
    std::fs::write(&config, &near).unwrap();
    let process = Process::of(with(&[("HTTPS_PROXY", proxy), ("SSL_CERT_FILE", authority)]), &config);
    let (status, said) = exchanged(&world, &process).await;
    assert_eq!((status, taken()), (200, Vec::new()), "{said}: {:?}", process.log());
    assert!(process.stop().success());
}

#[tokio::test]
async fn a_proxy_that_is_none_stops_the_start_and_the_check() {
    let world = World::new().await;
    for value in ["socks5://127.0.0.1:1080", "http://", "http://proxy/path"] {
        for asked in [&["serve", "--listen", "127.0.0.1:0"][..], &["check"]] {
            let mut command = Command::new(binary());
            command.args(asked).arg("--config").arg(world.path("standin.toml")).env("HTTPS_PROXY", value);
            let refused = command.output().unwrap();
            let said = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(said.contains("HTTPS_PROXY is not the url of a proxy"), "{said}");
        }
    }
}
