//! The server's limits, reached: for headers, for connections, for how often it asks its parts.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use rstest::rstest;
use serde_json::{Value, json};
use standin::directory::{Account, AccountKey, Directory, DirectoryError, Machine, MachineKey, User, UserKey};
use standin_tests::ports::NoStore;
use standin_tests::requests::basic;
use standin_tests::world::{API, PATIENT, Running, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// More than any limit of these tests, on a busy machine.
const LONG: Duration = Duration::from_secs(30);
const HEADER_TIME: Duration = Duration::from_millis(400);

async fn served(limits: &str) -> (World, Running) {
    let world = World::with(|config| config.push_str(&format!("\n[server]\n{limits}\n")), |_| {}).await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    (world, server)
}

/// A connection of which every byte is ours.
struct Raw(TcpStream);

impl Raw {
    async fn connect(server: &Running) -> Self {
        Self(TcpStream::connect(server.address).await.expect("a connection"))
    }

    async fn send(&mut self, bytes: &str) -> bool {
        self.0.write_all(bytes.as_bytes()).await.is_ok()
    }

    /// The status of the next answer, read with its short body; `None` where the connection ends instead.
    async fn status(&mut self) -> Option<u16> {
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let read = timeout(LONG, self.0.read(&mut piece)).await.expect("it answers or hangs up").unwrap_or(0);
            answer.extend_from_slice(piece.get(..read).unwrap_or_default());
            let text = String::from_utf8_lossy(&answer).into_owned();
            if read == 0 || text.contains("\r\n\r\n") {
                return text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
            }
        }
    }

    async fn healthy(&mut self) -> Option<u16> {
        self.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        self.status().await
    }
}

#[rstest]
#[case::nothing("", false)]
#[case::half_a_line("GET /heal", false)]
#[case::half_the_headers("GET /healthz HTTP/1.1\r\nhost: a\r\n", false)]
#[case::a_byte_at_a_time("GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ", true)]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_finish_the_headers_is_dropped_in_time(#[case] sent: &str, #[case] drips: bool) {
    let (_world, server) = served("header_timeout = \"400ms\"").await;
    for kept_alive in [false, true] {
        let began = Instant::now();
        let mut slow = Raw::connect(&server).await;
        if kept_alive {
            assert_eq!(slow.healthy().await, Some(200));
        }
        slow.send(sent).await;
        let drip = async {
            while drips && slow.0.try_write(b"x").is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, drip).await.expect("bytes do not put the end off");
        assert_ne!(slow.status().await, Some(200));
        assert!(began.elapsed() >= HEADER_TIME / 2 && began.elapsed() < LONG, "{:?}", began.elapsed());
    }
    // Nobody else is harmed.
    assert_eq!(Raw::connect(&server).await.healthy().await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_or_too_large_headers_are_refused() {
    let (_world, server) = served("max_headers = 16").await;
    let with = async |fields: usize, length: usize| {
        let more: String = (1..fields).map(|at| format!("x-{at}: {}\r\n", "y".repeat(length))).collect();
        let mut raw = Raw::connect(&server).await;
        raw.send(&format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{more}\r\n")).await;
        raw.status().await
    };
    assert_eq!(with(16, 1).await, Some(200));
    assert_eq!(with(17, 1).await, Some(431));
    assert_eq!(with(4, 10_000).await, Some(200));
    // More than the server keeps is refused or cut off, never served.
    let large = with(4, 100_000).await;
    assert!(matches!(large, Some(431) | None), "{large:?}");
    assert_eq!(with(16, 1).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_takes_the_place_of_the_one_that_rested_longest() {
    let (_world, server) = served("max_connections = 2\nmax_connections_per_peer = 2").await;
    let (mut first, mut second) = (Raw::connect(&server).await, Raw::connect(&server).await);
    assert_eq!((first.healthy().await, second.healthy().await), (Some(200), Some(200)));
    // The first one has rested less since.
    assert_eq!(first.healthy().await, Some(200));
    let mut third = Raw::connect(&server).await;
    assert_eq!(third.healthy().await, Some(200));
    assert_eq!(second.status().await, None, "it is hung up on");
    assert_eq!((first.healthy().await, third.healthy().await), (Some(200), Some(200)));
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_asked_is_never_cut_off_for_one_connection_too_many() {
    let (_world, server) = served("max_connections = 1\nmax_connections_per_peer = 1").await;
    let mut first = Raw::connect(&server).await;
    first.send("POST /oauth2/token HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n").await;
    assert_eq!(first.status().await, Some(100), "it is being asked");
    let mut second = Raw::connect(&server).await;
    let mut waiting = tokio::spawn(async move { second.healthy().await });
    assert!(timeout(Duration::from_millis(500), &mut waiting).await.is_err(), "it is not served beside the first");
    first.send("x").await;
    assert!(matches!(first.status().await, Some(400..=499)), "it is answered");
    assert_eq!(timeout(LONG, waiting).await.expect("it is served").expect("it ran"), Some(200));
    assert!(server.stop().await);
}

/// It knows nobody, and takes its time to say so; as long as it looks whether it is ready, it keeps the thread that asks.
#[derive(Default)]
struct SlowDirectory {
    finds: Duration,
    looks: Duration,
}

#[async_trait]
impl Directory for SlowDirectory {
    async fn find_account(&self, _key: &AccountKey) -> Result<Option<Account>, DirectoryError> {
        Ok(None)
    }

    async fn find_user(&self, _key: &UserKey) -> Result<Option<User>, DirectoryError> {
        sleep(self.finds).await;
        Ok(None)
    }

    async fn find_machine(&self, _key: &MachineKey) -> Result<Option<Machine>, DirectoryError> {
        Ok(None)
    }

    async fn ready(&self) -> Result<(), DirectoryError> {
        std::thread::sleep(self.looks);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_time_for_its_body_and_for_what_is_done_about_it() {
    let world = World::with(|config| *config += &format!("{PATIENT}[server]\nrequest_timeout = \"2s\"\n"), |_| {}).await;
    let slow = SlowDirectory { finds: Duration::from_millis(800), ..SlowDirectory::default() };
    let standin = world.builder().directory(Arc::new(slow)).build().await.expect("a host");
    let server = world.serve(&standin).await;
    let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API }).to_string();
    for (late, expected) in [(Duration::ZERO, 400..=499), (Duration::from_millis(1_500), 503..=503)] {
        let mut raw = Raw::connect(&server).await;
        let head = format!(
            "POST /v2/session/svc/obo_mint HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            basic("svc-router"),
            body.len(),
        );
        raw.send(&head).await;
        sleep(late).await;
        raw.send(&body).await;
        let status = raw.status().await.expect("an answer");
        assert!(expected.contains(&status), "{late:?}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_is_asked_is_ended() {
    let (_world, server) = served("idle_timeout = \"300ms\"").await;
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.healthy().await, Some(200));
    assert_eq!(raw.status().await, None, "it is hung up on");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_no_answer_is_ended() {
    let (_world, server) = served("idle_timeout = \"500ms\"").await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a small window");
    let mut connection = socket.connect(server.address).await.expect("a connection");
    let asked = "GET /jwks.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(64);
    let began = Instant::now();
    // Asks on as long as anything of it is taken, and reads nothing.
    loop {
        match timeout(LONG, connection.write_all(asked.as_bytes())).await {
            Ok(Ok(())) => assert!(began.elapsed() < LONG, "it goes on for ever"),
            Ok(Err(_ended)) => break,
            Err(_elapsed) => panic!("it is left open"),
        }
    }
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_part_that_keeps_its_thread_keeps_no_page_waiting() {
    let world = World::new().await;
    let stuck = SlowDirectory { looks: Duration::from_secs(5), ..SlowDirectory::default() };
    let standin = world.builder().directory(Arc::new(stuck)).build().await.expect("a host");
    let server = world.serve(&standin).await;
    let mut asking = Raw::connect(&server).await;
    asking.send("GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.healthy().await, Some(200));
    assert!(began.elapsed() < Duration::from_secs(3), "it waited for the directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_asked_of_the_parts_once_a_second() {
    let world = World::new().await;
    let store = Arc::new(NoStore::default());
    let standin = world.builder().store(Arc::clone(&store) as Arc<_>).build().await.expect("a host");
    let server = world.serve(&standin).await;
    let (client, url) = (reqwest::Client::builder().no_proxy().build().expect("a client"), server.url("/readyz"));
    let ask = || {
        let asked = client.get(&url);
        tokio::spawn(async move {
            let answer = asked.send().await.expect("an answer");
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.json::<Value>().await.expect("JSON")["unavailable"], serde_json::json!(["store"]));
        })
    };
    // One that hangs up while the parts are asked, and many who wait for the answer; a failure counts as long as a success.
    let mut hasty = Raw::connect(&server).await;
    hasty.send("GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    while store.asked.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let began = Instant::now();
    drop(hasty);
    for one in (0..50).map(|_| ask()).collect::<Vec<_>>() {
        one.await.expect("it ran");
    }
    // On a machine so busy that this took long, each second begun may have asked again.
    let most = 1 + began.elapsed().as_secs();
    assert!(store.asked.load(Ordering::Relaxed) <= most, "{most}");
    sleep(Duration::from_millis(1_100)).await;
    let before = store.asked.load(Ordering::Relaxed);
    ask().await.expect("it ran");
    assert_eq!(store.asked.load(Ordering::Relaxed), before + 1, "and not never");
}
