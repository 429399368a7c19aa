//! Connections, bodies and hosts: what a peer can do before anybody knows who it is, and what becomes of the others meanwhile.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Version};
use rstest::rstest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use standin_tests::process::Process;
use standin_tests::world::{API, PATIENT, Running, SECRET, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const MINT: &str = "/v2/session/svc/obo_mint";
/// More than any limit of these tests, on a busy machine.
const LONG: Duration = Duration::from_secs(40);
/// RFC 9113 §3.4: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn served(limits: &str) -> (World, Running) {
    let world = World::with(|config| *config += &format!("{PATIENT}{limits}\n"), |_| {}).await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    (world, server)
}

/// The status of a request for bob's token.
async fn mint(url: String) -> u16 {
    let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API });
    let client = Client::builder().no_proxy().build().unwrap();
    client.post(url).basic_auth("svc-router", Some(SECRET)).json(&body).send().await.unwrap().status().as_u16()
}

/// Sends all of it, and answers with what comes back to the end of a short answer, or of the connection.
async fn told(stream: &mut TcpStream, bytes: &[u8]) -> String {
    // Whoever is hung up on hears that when it reads.
    let _ = stream.write_all(bytes).await;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = timeout(LONG, stream.read(&mut piece)).await.expect("it answers or hangs up").unwrap_or(0);
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer).into_owned();
        if read == 0 || text.contains("\r\n\r\n") {
            return text;
        }
    }
}

fn status(answer: &str) -> Option<u16> {
    answer.split_whitespace().nth(1)?.parse().ok()
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_one_byte_chunks_is_charged_its_bytes() {
    let (_world, server) = served("").await;
    let head = "POST /oauth2/token HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let chunks = [head.as_bytes(), &b"1\r\nx\r\n".repeat(65_536)].concat();
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(server.address).await;
        stream.write_all(&chunks).await.unwrap();
        attackers.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(mint(server.url(MINT)).await, 200);
    }
    for mut stream in attackers {
        let answer = told(&mut stream, b"0\r\n\r\n").await;
        assert!(matches!(status(&answer), Some(400..=499)), "it is read like any other: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_no_memory_for_its_body_waits_for_it() {
    let (_world, server) = served("[limits]\nmax_body = \"1MiB\"").await;
    // Eight connections with the most that one may hold: all that a peer may hold.
    let head = "POST /oauth2/token HTTP/1.1\r\nhost: a\r\ncontent-length: 1048576\r\n\r\n";
    let body = [head.as_bytes(), &vec![b'x'; (1 << 20) - 1]].concat();
    let mut holders = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(server.address).await;
        stream.write_all(&body).await.unwrap();
        holders.push(stream);
    }
    let mut waiting = None;
    for _ in 0..64 {
        let mut asked = tokio::spawn(mint(server.url(MINT)));
        match timeout(Duration::from_secs(1), &mut asked).await {
            Ok(answered) => assert_eq!(answered.unwrap(), 200, "it is never refused"),
            Err(_waits) => {
                waiting = Some(asked);
                break;
            }
        }
        // What was asked while the holders' bodies still came may have left a little: one more takes it, or waits for more before others.
        let mut stream = connect(server.address).await;
        stream.write_all(&body[..head.len() + 2_047]).await.unwrap();
        holders.push(stream);
    }
    let waiting = waiting.expect("the memory is taken in the end");
    drop(holders);
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), 200);
}

/// A connection from another address of loopback.
async fn connect_from(last: u8, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

/// A request that says of its body that it is as long as may be, and leaves the last byte out.
fn all_but_a_byte() -> Vec<u8> {
    let head = "POST /oauth2/token HTTP/1.1\r\nhost: a\r\ncontent-length: 1048576\r\n\r\n";
    [head.as_bytes(), &vec![b'x'; (1 << 20) - 1]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_authorization_share_a_quarter_of_the_memory() {
    let (_world, server) = served("[limits]\nmax_body = \"1MiB\"").await;
    let mut holders = Vec::new();
    // Two peers with the most that each may hold.
    for peer in [2; 8].into_iter().chain([3; 8]) {
        let mut stream = connect_from(peer, server.address).await;
        stream.write_all(&all_but_a_byte()).await.unwrap();
        holders.push(stream);
    }
    let mut waiting = None;
    for _ in 0..8 {
        let mut stream = connect_from(4, server.address).await;
        stream.write_all(b"POST /oauth2/token HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx").await.unwrap();
        if timeout(Duration::from_secs(2), stream.readable()).await.is_err() {
            waiting = Some(stream);
            break;
        }
        // The holders' bodies still came, and one of them may have gone on without: another one takes what is left.
        let mut stream = connect_from(5, server.address).await;
        stream.write_all(&all_but_a_byte()).await.unwrap();
        holders.push(stream);
    }
    let mut waiting = waiting.expect("the quarter is taken in the end");
    // From the same address with the header, three quarters are there.
    let client = Client::builder().no_proxy().local_address(std::net::IpAddr::from([127, 0, 0, 4])).build().unwrap();
    let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API });
    let asked = client.post(server.url(MINT)).basic_auth("svc-router", Some(SECRET)).json(&body).send();
    assert_eq!(timeout(LONG, asked).await.unwrap().unwrap().status(), 200);
    drop(holders);
    assert!(matches!(status(&told(&mut waiting, b"").await), Some(400..=499)), "it is answered once there is room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_finds_no_memory_in_time_is_refused() {
    let (_world, server) = served("[server]\nrequest_timeout = \"6s\"\n[limits]\nmax_body = \"1MiB\"").await;
    // Its time begins before that of the others, and its body comes after theirs.
    let mut asking = connect(server.address).await;
    let begun = "POST /oauth2/token HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    assert_eq!(status(&told(&mut asking, begun.as_bytes()).await), Some(100));
    sleep(Duration::from_secs(2)).await;
    let mut holders = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(server.address).await;
        stream.write_all(&all_but_a_byte()).await.unwrap();
        holders.push(stream);
    }
    sleep(Duration::from_secs(2)).await;
    let answer = told(&mut asking, b"x").await;
    assert_eq!(status(&answer), Some(503), "{answer}");
    assert!(answer.contains("runtime.overloaded"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_listener_of_a_process_has_its_metrics() {
    let health = "[server]\nhealth_listen = \"127.0.0.1:0\"\n";
    let world = World::with(|config| *config += &[PATIENT, health].concat(), |_| {}).await;
    let mut process = Process::start(&world);
    let line = process.wait_for("health endpoint");
    let address = line.split_once("address=").unwrap().1.split_whitespace().next().unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{address}/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("standin_http_responses_total"));
    assert_eq!(client.get(process.url("/metrics")).send().await.unwrap().status(), 404);
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_one_peer_keep_nobody_out() {
    // Without giving way they would all stay for a minute.
    let world = World::with(|config| *config += &[PATIENT, "[server]\nheader_timeout = \"1m\"\n"].concat(), |_| {}).await;
    let process = Process::start(&world);
    let address: SocketAddr = process.address().parse().unwrap();
    let mut asking = connect(address).await;
    let begun = "POST /oauth2/token HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    assert_eq!(status(&told(&mut asking, begun.as_bytes()).await), Some(100));
    let descriptors = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: descriptors.maximum, ..descriptors }).expect("as many as may be");
    let mut silent = Vec::new();
    for _ in 0..2_500 {
        silent.push(connect(address).await);
    }
    let healthy = async {
        let answer = told(&mut connect(address).await, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(status(&answer), Some(200));
        assert_eq!(mint(process.url(MINT)).await, 200);
    };
    timeout(LONG, healthy).await.expect("it is answered beside them");
    assert!(matches!(status(&told(&mut asking, b"x").await), Some(400..=499)), "what was being asked is answered");
    let metrics = reqwest::get(process.url("/metrics")).await.unwrap().text().await.unwrap();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("standin_connections_dropped_total ")).unwrap();
    assert!(dropped.parse::<u32>().unwrap() >= 2_000, "{dropped}");
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_system_has_no_descriptor_left_the_one_that_rested_longest_goes() {
    let server = "[server]\nheader_timeout = \"1m\"\nmax_connections_per_peer = 1024\n";
    let world = World::with(|config| *config += &[PATIENT, server].concat(), |_| {}).await;
    let process = Process::under("ulimit -n 100;", &world);
    let address: SocketAddr = process.address().parse().unwrap();
    let mut silent = Vec::new();
    for _ in 0..120 {
        silent.push(connect(address).await);
    }
    let healthy = async { told(&mut connect(address).await, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await };
    assert_eq!(status(&timeout(LONG, healthy).await.expect("it is answered beside them")), Some(200));
    drop(silent);
    assert!(process.stop().success());
}

#[rstest]
#[case::nothing(b"".as_slice())]
#[case::half_of_the_preface(b"PRI * HTTP/2.0\r\n".as_slice())]
#[case::no_request(PREFACE)]
#[case::half_of_the_headers(b"GET / HTTP/1.1\r\nhost: a\r\n".as_slice())]
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_asks_has_a_deadline_and_holds_no_stop(#[case] sent: &[u8]) {
    let hung_up = async |stream: &mut TcpStream| {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        timeout(LONG, stream.read_to_end(&mut rest)).await.is_ok()
    };
    let (_world, server) = served("[server]\nheader_timeout = \"400ms\"").await;
    let mut stream = connect(server.address).await;
    stream.write_all(sent).await.unwrap();
    assert!(hung_up(&mut stream).await);

    let (_world, server) = served("[server]\nheader_timeout = \"1m\"\ngrace = \"1m\"").await;
    let mut stream = connect(server.address).await;
    stream.write_all(sent).await.unwrap();
    // Whoever came later is served: so is the one before accepted.
    assert_eq!(mint(server.url(MINT)).await, 200);
    let began = Instant::now();
    assert!(server.stop().await);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    assert!(hung_up(&mut stream).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_rest_hold_no_stop() {
    let (_world, server) = served("[server]\nheader_timeout = \"1m\"\ngrace = \"1m\"").await;
    let mut http1 = connect(server.address).await;
    assert_eq!(status(&told(&mut http1, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await), Some(200));
    // Stream 1, END_STREAM and END_HEADERS: GET, http, /, and `a` as :authority (RFC 7541 §6). It answers nothing that it is sent.
    let mut http2 = connect(server.address).await;
    http2.write_all(PREFACE).await.unwrap();
    http2.write_all(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a").await.unwrap();
    let mut answered = [0; 9];
    timeout(LONG, async {
        loop {
            http2.read_exact(&mut answered).await.unwrap();
            let [_, high, low, kind, ..] = answered;
            let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
            http2.read_exact(&mut payload).await.unwrap();
            if kind == 1 {
                break;
            }
        }
    })
    .await
    .unwrap();
    let began = Instant::now();
    assert!(server.stop().await);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_pages_have_a_listener_of_their_own() {
    let limits = "[server]\nmax_connections = 1\nmax_connections_per_peer = 1\nhealth_listen = \"127.0.0.1:0\"";
    let (_world, mut server) = served(limits).await;
    let (client, health) = (Client::builder().no_proxy().build().unwrap(), server.health.unwrap());
    let page = async |path: &str| client.get(format!("http://{health}{path}")).send().await.unwrap();
    for path in ["/healthz", "/readyz", "/metrics"] {
        let mut stream = connect(server.address).await;
        let answer = told(&mut stream, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&answer), Some(404), "it is there no longer: {answer}");
    }
    // No metrics are kept in this process.
    for (path, expected) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/jwks.json", 404), (MINT, 404)] {
        assert_eq!(page(path).await.status(), expected, "{path}");
    }
    // Whatever goes on at the other one, and while it ends.
    let mut asking = connect(server.address).await;
    let begun = "POST /oauth2/token HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    assert_eq!(status(&told(&mut asking, begun.as_bytes()).await), Some(100));
    assert_eq!(page("/healthz").await.status(), 200);
    server.begin_to_stop();
    let stopping = async {
        loop {
            let ready = page("/readyz").await;
            if ready.status() == 503 {
                return ready.json::<Value>().await.unwrap();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let told_ready = timeout(LONG, stopping).await.expect("it says that it stops");
    assert_eq!(told_ready["unavailable"], json!(["stopping"]));
    assert_eq!(page("/healthz").await.status(), 200);
    assert!(matches!(status(&told(&mut asking, b"x").await), Some(400..=499)));
    assert!(server.stop().await);
}

#[rstest]
#[case::none("GET /healthz HTTP/1.1\r\n\r\n", 400)]
#[case::none_for_the_component("GET /jwks.json HTTP/1.1\r\n\r\n", 400)]
#[case::none_beside_a_target("GET http://a/healthz HTTP/1.1\r\n\r\n", 400)]
#[case::two("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400)]
#[case::the_same_twice("GET /jwks.json HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", 400)]
#[case::empty("GET /healthz HTTP/1.1\r\nhost:\r\n\r\n", 400)]
#[case::a_list("GET /healthz HTTP/1.1\r\nhost: a, b\r\n\r\n", 400)]
#[case::a_user("GET /healthz HTTP/1.1\r\nhost: a@b\r\n\r\n", 400)]
#[case::a_path("GET /healthz HTTP/1.1\r\nhost: a/b\r\n\r\n", 400)]
#[case::no_port("GET /healthz HTTP/1.1\r\nhost: a:b\r\n\r\n", 400)]
#[case::one("GET /healthz HTTP/1.1\r\nhost: a:8080\r\n\r\n", 200)]
#[case::an_address("GET /healthz HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n", 200)]
#[case::a_target("GET http://a/healthz HTTP/1.1\r\nhost: a\r\n\r\n", 200)]
#[case::of_1_0("GET /healthz HTTP/1.0\r\n\r\n", 200)]
#[case::an_upgrade_is_not_followed(
    "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    200
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host(#[case] request: &str, #[case] expected: u16) {
    let (_world, server) = served("").await;
    let answer = told(&mut connect(server.address).await, request.as_bytes()).await;
    assert_eq!(status(&answer), Some(expected), "{answer}");
    assert!(answer.starts_with("HTTP/1."), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_in_the_clear_with_prior_knowledge() {
    let (_world, server) = served("").await;
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API });
    let asked = client.post(server.url(MINT)).basic_auth("svc-router", Some(SECRET)).json(&body).send().await.unwrap();
    assert_eq!((asked.status().as_u16(), asked.version()), (200, Version::HTTP_2));
    for (host, expected) in [(server.address.to_string(), 200), ("other.example.com".to_owned(), 400)] {
        let asked = client.get(server.url("/healthz")).header("host", host).send().await.unwrap();
        assert_eq!((asked.status().as_u16(), asked.version()), (expected, Version::HTTP_2));
    }
    // HTTP/1.1 is spoken beside it.
    assert_eq!(mint(server.url(MINT)).await, 200);
}
