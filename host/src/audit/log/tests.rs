use rstest::rstest;

use super::*;
use crate::approval::testing::World;
use crate::audit::AuditCtx;
use crate::audit::head::HeadFile;
use crate::audit::testing::{Faults, FaultySink, HangingSink, Place, TestKeys, anonymous, event, until};
use crate::audit::writer::{Sink, Writer};
use crate::bindings::types::Attribute;
use crate::evidence::Evidence;
use crate::keys::KeysError;
use crate::record;
use crate::shared::{Unrecorded, recorded};

fn events_of(place: &Place, kind: &str) -> Vec<serde_json::Value> {
    place.lines().into_iter().filter(|line| line["event"] == kind).collect()
}

/// A log on a sink that fails as told.
fn faulty(place: &Place, durability: Durability) -> (AuditLog, Arc<FaultySink>) {
    let sink = FaultySink::new(&place.path);
    (on(place, Arc::clone(&sink) as _, LogOptions { durability, ..LogOptions::default() }), sink)
}

/// A log on a sink that hangs as told.
fn hanging(place: &Place, options: LogOptions) -> (Arc<AuditLog>, Arc<HangingSink>) {
    let sink = HangingSink::new(&place.path);
    (Arc::new(on(place, Arc::clone(&sink) as _, options)), sink)
}

fn on(place: &Place, sink: Arc<dyn Sink>, options: LogOptions) -> AuditLog {
    let writer = Writer::new(sink, options.durability == Durability::Fsync, Mark::START, Mark::START);
    let (head, _) = HeadFile::open(&place.path, &place.seal).unwrap();
    let opened = Opened { writer, head, path: place.path.clone(), clean: true };
    AuditLog::start(opened, Arc::clone(&place.keys) as _, Arc::clone(&place.clock) as _, options).unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_make_one_chain(#[values(Durability::Fsync, Durability::Os)] durability: Durability) {
    let place = Place::new();
    let options = LogOptions { durability, checkpoint_lines: 100, ..LogOptions::default() };
    let log = Arc::new(place.open_with(options).unwrap());
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for number in 0..25 {
                    log.append(event(task * 25 + number)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut seen: Vec<u64> = place.lines().iter().filter_map(|line| line["n"].as_u64()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..1_600).collect::<Vec<_>>(), "an event stands in the file when its append is answered");
    log.close().await.unwrap();
    let report = place.verify();
    assert!(report.ok, "{report}");
    assert!(report.checkpoints >= 1 && report.checkpoints == report.signed, "{report}");
    assert_eq!((report.after_checkpoint, report.after_head), (0, 0));
}

#[tokio::test]
async fn a_line_is_the_event_with_what_the_log_adds() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    log.append(event(7)).await.unwrap();
    let zeros = "0".repeat(64);
    let expected =
        format!("{{\"seq\":1,\"time\":\"2026-01-01T00:00:00.000000Z\",\"prev\":\"{zeros}\",\"outcome\":\"permit\",\"n\":7}}\n");
    assert_eq!(place.text(), expected);
}

#[tokio::test]
async fn the_log_and_its_head_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let _log = place.open(Durability::Os).unwrap();
    for path in [place.path.clone(), place.head()] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[rstest]
#[tokio::test]
async fn a_closed_log_takes_nothing(#[values(Durability::Fsync, Durability::Os)] durability: Durability) {
    let place = Place::new();
    let log = place.open(durability).unwrap();
    log.ready().await.unwrap();
    log.append(event(1)).await.unwrap();
    log.close().await.unwrap();
    log.close().await.unwrap();
    assert!(matches!(log.append(event(2)).await, Err(AuditError::Closed)));
    assert!(matches!(log.ready().await, Err(AuditError::Closed)));
    assert_eq!(place.lines().len(), 2, "the event and its checkpoint");
}

#[rstest]
#[tokio::test]
async fn an_event_that_is_not_one_line_is_refused(#[values("", "[]", "{\n}")] json: &str) {
    let place = Place::new();
    let log = place.open(Durability::Fsync).unwrap();
    let event = Event { json: json.to_owned(), anonymous: None };
    assert!(matches!(log.append(event).await, Err(AuditError::Malformed)));
    assert_eq!(place.text(), "");
}

#[rstest]
#[tokio::test]
async fn a_full_disk_in_the_faulty_sink_refuses_until_there_is_room(
    #[values(Durability::Fsync, Durability::Os)] durability: Durability,
) {
    let place = Place::new();
    let (log, sink) = faulty(&place, durability);
    log.append(event(1)).await.unwrap();
    sink.set(Faults { room: Some(30), ..Faults::default() });
    assert!(matches!(log.append(event(2)).await, Err(AuditError::Write(_))));
    assert!(matches!(log.ready().await, Err(AuditError::Write(_))));
    sink.set(Faults::default());
    // Nobody sends to what is not ready: the log finds out by itself.
    let inner = Arc::clone(&log.inner);
    until(move || inner.files.ready().is_ok()).await;
    log.append(event(3)).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(events_of(&place, "resumed")[0]["refused"], 1);
    assert!(place.verify().ok, "{}", place.verify());
}

#[tokio::test]
async fn a_failed_sync_in_the_faulty_sink_fails_everyone_who_waits() {
    let place = Place::new();
    let (log, sink) = faulty(&place, Durability::Fsync);
    let log = Arc::new(log);
    sink.set(Faults { sync: true, ..Faults::default() });
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.append(event(number)).await })
        })
        .collect();
    for task in tasks {
        let Err(AuditError::Write(error)) = task.await.unwrap() else { panic!("nothing was synced") };
        assert_eq!(error.raw_os_error(), Some(5));
    }
    assert!(log.close().await.is_err());
    assert_eq!(place.text(), "");
}

/// Run by the test below in a process of its own, which may only write small files.
#[tokio::test]
async fn child_with_a_file_size_limit() {
    let Ok(path) = std::env::var("STANDIN_TEST_LIMITED_LOG") else { return };
    let mut place = Place::new();
    place.path = path.into();
    let log = place.open(Durability::Fsync).unwrap();
    let mut written = 0;
    while log.append(event(written)).await.is_ok() {
        written += 1;
        assert!(written < 10_000, "the limit never came");
    }
    assert!(matches!(log.append(event(0)).await, Err(AuditError::Write(_))));
    println!("written {written}");
    // No orderly close: the process ends as if it had crashed.
    std::process::exit(0);
}

#[tokio::test]
async fn a_file_size_limit_of_the_system_leaves_whole_lines() {
    let place = Place::new();
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact --nocapture audit::log::tests::child_with_a_file_size_limit",
        ])
        .arg(std::env::current_exe().unwrap())
        .env("STANDIN_TEST_LIMITED_LOG", &place.path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let written: usize = said.lines().find_map(|line| line.split_once("written ")?.1.parse().ok()).expect(&said);
    assert!(output.status.success() && written > 50, "{said}");
    assert_eq!(place.lines().len(), written, "each acknowledged event, nothing else");
    let log = place.open(Durability::Fsync).unwrap();
    log.append(event(written)).await.unwrap();
    log.close().await.unwrap();
    assert!(place.verify().ok, "{}", place.verify());
}

#[tokio::test]
async fn anonymous_failures_are_counted() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    for _ in 0..50 {
        log.append(anonymous("caller.unknown")).await.unwrap();
    }
    for _ in 0..3 {
        log.append(anonymous("caller.secret")).await.unwrap();
    }
    assert_eq!(place.lines().len(), 13);
    place.clock.advance(Duration::from_secs(60));
    log.append(event(1)).await.unwrap();
    let counts = events_of(&place, "anonymous_failures");
    assert_eq!(counts.len(), 1, "nothing was only counted of the other code");
    assert_eq!((&counts[0]["code"], &counts[0]["count"]), (&"caller.unknown".into(), &40.into()));
    assert_eq!(counts[0]["since"], "2026-01-01T00:00:00.000000Z");
    for _ in 0..12 {
        log.append(anonymous("caller.unknown")).await.unwrap();
    }
    log.close().await.unwrap();
    assert_eq!(events_of(&place, "anonymous_failures")[1]["count"], 2, "close writes what is open");
    assert!(place.verify().ok);
}

#[tokio::test]
async fn counts_are_written_without_another_append() {
    let place = Place::new();
    let log = place.open(Durability::Fsync).unwrap();
    for _ in 0..11 {
        log.append(anonymous("caller.unknown")).await.unwrap();
    }
    place.clock.advance(Duration::from_secs(61));
    until(|| events_of(&place, "anonymous_failures").len() == 1).await;
}

#[tokio::test]
async fn counts_survive_a_full_disk_in_the_faulty_sink() {
    let place = Place::new();
    let (log, sink) = faulty(&place, Durability::Os);
    for _ in 0..15 {
        log.append(anonymous("caller.unknown")).await.unwrap();
    }
    sink.set(Faults { room: Some(0), ..Faults::default() });
    place.clock.advance(Duration::from_secs(61));
    assert!(log.append(event(1)).await.is_err());
    log.append(anonymous("caller.unknown")).await.unwrap_err();
    sink.set(Faults::default());
    log.append(event(2)).await.unwrap();
    log.close().await.unwrap();
    let counted: u64 = events_of(&place, "anonymous_failures").iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(counted, 5);
}

#[rstest]
#[tokio::test]
async fn a_checkpoint_comes_by_number_and_by_time(#[values(Durability::Fsync, Durability::Os)] durability: Durability) {
    let place = Place::new();
    let options = LogOptions { durability, checkpoint_lines: 5, ..LogOptions::default() };
    let log = place.open_with(options).unwrap();
    for number in 0..5 {
        log.append(event(number)).await.unwrap();
    }
    until(|| events_of(&place, "checkpoint").len() == 1).await;
    log.append(event(5)).await.unwrap();
    place.clock.advance(Duration::from_secs(60));
    until(|| events_of(&place, "checkpoint").len() == 2).await;
    place.clock.advance(Duration::from_secs(600));
    tokio::time::sleep(TICK * 3).await;
    assert_eq!(events_of(&place, "checkpoint").len(), 2, "nothing new, no checkpoint");
    log.close().await.unwrap();
    let report = place.verify();
    assert_eq!((report.ok, report.checkpoints, report.signed), (true, 2, 2), "{report}");
}

#[tokio::test]
async fn keys_that_fail_stop_no_append() {
    let place = Place::new();
    place.keys.set_failing(true);
    let log = place.open_with(LogOptions { checkpoint_lines: 1, ..LogOptions::default() }).unwrap();
    for number in 0..10 {
        log.append(event(number)).await.unwrap();
    }
    let error = log.close().await.unwrap_err();
    assert!(matches!(error, AuditError::Checkpoint(KeysError::Unavailable(_))));
    assert!(events_of(&place, "checkpoint").is_empty());
    place.keys.set_failing(false);
    let log = place.open(Durability::Os).unwrap();
    log.close().await.unwrap();
    assert_eq!(events_of(&place, "checkpoint").len(), 1, "the next run makes up for it");
}

#[tokio::test]
async fn later_checkpoints_are_signed_with_the_new_keys() {
    let mut place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    log.append(event(1)).await.unwrap();
    place.keys = TestKeys::new(2);
    log.replace_keys(Arc::clone(&place.keys) as _);
    log.close().await.unwrap();
    let report = place.verify();
    assert_eq!((report.ok, report.signed), (true, 1));
}

#[tokio::test]
async fn the_head_of_an_os_log_follows() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    for number in 0..5 {
        log.append(event(number)).await.unwrap();
    }
    until(|| place.verify().after_head == 0).await;
}

#[tokio::test]
async fn a_write_that_hangs_is_given_up() {
    #[derive(Debug)]
    struct Hanging;
    impl crate::audit::writer::Sink for Hanging {
        fn write(&self, _bytes: &[u8]) -> std::io::Result<usize> {
            std::thread::sleep(Duration::from_millis(500));
            Err(std::io::ErrorKind::Other.into())
        }
        fn truncate(&self, _len: u64) -> std::io::Result<()> {
            Ok(())
        }
        fn sync(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn len(&self) -> std::io::Result<u64> {
            Ok(0)
        }
        fn stands(&self, _len: u64) -> Result<(), crate::audit::Displaced> {
            Ok(())
        }
        fn holds(&self, _base: Mark, _at: Mark) -> std::io::Result<bool> {
            Ok(true)
        }
    }
    let place = Place::new();
    let (head, _) = HeadFile::open(&place.path, &place.seal).unwrap();
    let writer = Writer::new(Arc::new(Hanging), true, Mark::START, Mark::START);
    let opened = Opened { writer, head, path: place.path.clone(), clean: true };
    let options = LogOptions { write_limit: Duration::from_millis(50), ..LogOptions::default() };
    let log = AuditLog::start(opened, Arc::clone(&place.keys) as _, Arc::clone(&place.clock) as _, options).unwrap();
    assert!(matches!(log.append(event(1)).await, Err(AuditError::TimedOut)));
}

/// The mount of the log is away, and whoever writes there does not come back.
#[rstest]
fn a_write_that_hangs_stops_nobody_else(
    #[values(1, 2)] workers: usize,
    #[values(Durability::Fsync, Durability::Os)] durability: Durability,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    runtime.block_on(async {
        let place = Place::new();
        let (log, sink) = hanging(&place, LogOptions { durability, ..LogOptions::default() });
        log.append(event(1)).await.unwrap();
        sink.hang(true);
        let append = |number| {
            let log = Arc::clone(&log);
            async move { log.append(event(number)).await }
        };
        let stuck = tokio::spawn(append(2));
        until(|| sink.holds_somebody()).await;
        let others: Vec<_> = (3..11).map(|number| tokio::spawn(timeout(Duration::from_millis(100), append(number)))).collect();
        for other in others {
            let waited = timeout(Duration::from_secs(5), other).await.expect("its own limit ends it").unwrap();
            assert!(waited.is_err(), "{waited:?}");
        }
        log.ready().await.unwrap();
        place.clock.advance(Duration::from_secs(3));
        assert!(matches!(log.ready().await, Err(AuditError::TimedOut)));
        sink.hang(false);
        stuck.await.unwrap().unwrap();
        log.append(event(11)).await.unwrap();
        log.ready().await.unwrap();
        log.close().await.unwrap();
        assert!(place.verify().ok, "{}", place.verify());
    });
}

/// Where the runtime has one thread only.
#[rstest]
#[case::a_request(Durability::Os, true, true)]
#[case::synced(Durability::Fsync, true, false)]
#[case::the_runtimes_own(Durability::Os, false, false)]
#[tokio::test]
async fn only_a_thread_that_is_set_apart_writes_itself(
    #[case] durability: Durability,
    #[case] apart: bool,
    #[case] itself: bool,
) {
    let place = Place::new();
    let (log, sink) = hanging(&place, LogOptions { durability, ..LogOptions::default() });
    sink.hang(true);
    let (runtime, appended) = (tokio::runtime::Handle::current(), Arc::clone(&log));
    let appender = std::thread::spawn(move || {
        if apart {
            threads::set_apart();
        }
        let mut waited = false;
        let mut appending = std::pin::pin!(appended.append(event(1)));
        let polled = std::future::poll_fn(|context| {
            let polled = appending.as_mut().poll(context);
            waited |= polled.is_pending();
            polled
        });
        runtime.block_on(polled).unwrap();
        waited
    });
    until(|| sink.holds_somebody()).await;
    sink.hang(false);
    let waited = tokio::task::spawn_blocking(|| appender.join().unwrap()).await.unwrap();
    assert_eq!(waited, !itself, "whoever writes itself waits for no other thread");
    log.close().await.unwrap();
    assert!(place.verify().ok, "{}", place.verify());
}

#[tokio::test]
async fn nobody_waits_while_a_log_that_came_back_is_read() {
    let place = Place::new();
    let (log, sink) = hanging(&place, LogOptions { durability: Durability::Os, ..LogOptions::default() });
    log.append(event(1)).await.unwrap();
    std::fs::rename(&place.path, place.path.with_extension("moved")).unwrap();
    assert!(matches!(log.append(event(2)).await, Err(AuditError::Displaced(_))));
    sink.hang(true);
    let rotating = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.rotate().await }
    });
    until(|| sink.holds_somebody()).await;
    let told = timeout(Duration::from_secs(5), log.append(event(3))).await.expect("it is told at once");
    assert!(matches!(told, Err(AuditError::Displaced(_))));
    assert!(!rotating.is_finished());
    sink.hang(false);
    assert_eq!(rotating.await.unwrap().unwrap().file, "audit.jsonl.000001");
    log.append(event(4)).await.unwrap();
    log.close().await.unwrap();
    assert!(place.verify().ok, "{}", place.verify());
}

#[tokio::test]
async fn counts_that_may_be_written_are_not_counted_again() {
    let place = Place::new();
    let (log, sink) = hanging(&place, LogOptions { write_limit: Duration::from_secs(1), ..LogOptions::default() });
    for _ in 0..15 {
        log.append(anonymous("caller.unknown")).await.unwrap();
    }
    sink.hang(true);
    place.clock.advance(Duration::from_secs(61));
    assert!(matches!(log.append(event(1)).await, Err(AuditError::TimedOut)));
    sink.hang(false);
    until(|| !events_of(&place, "anonymous_failures").is_empty()).await;
    place.clock.advance(Duration::from_secs(61));
    tokio::time::sleep(TICK * 3).await;
    log.close().await.unwrap();
    let counted: u64 = events_of(&place, "anonymous_failures").iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(counted, 5);
}

/// A caller who was known, and eight long questions to the policy.
fn evidence() -> Evidence {
    let mut world = World::user();
    world.examine().unwrap();
    let mut decision = world.approve().decision().clone();
    let fact = |at| Attribute { name: format!("edge.{at}"), value: json!("x".repeat(8_000)).to_string() };
    decision.input.attributes = (0..64).map(fact).collect();
    for _ in 0..8 {
        world.evidence.decided(Arc::new(decision.clone()));
    }
    world.evidence
}

#[tokio::test]
async fn an_attempt_that_is_too_long_for_the_log_is_recorded_in_short() {
    let place = Place::new();
    let log = Arc::new(place.open(Durability::Os).unwrap());
    let ctx = || AuditCtx::new(Arc::clone(&log) as Arc<dyn Audit>, Duration::from_secs(5), "c-1".to_owned());
    recorded(ctx(), &evidence(), "hostile.flooded").await.unwrap();
    let line = place.lines().remove(0);
    let expected = json!({
        "event": "attempt", "outcome": "fail", "code": "hostile.flooded", "correlation_id": "c-1", "requester": "svc-router",
        "shortened": true, "seq": line["seq"], "time": line["time"], "prev": line["prev"],
    });
    assert_eq!((line, place.lines().len()), (expected, 1));
    // What fits stands there whole, and what is no code not at all.
    recorded(ctx(), &World::user().evidence, "runtime.trapped").await.unwrap();
    assert!(place.lines()[1].get("shortened").is_none());
    assert!(matches!(recorded(ctx(), &evidence(), "no code").await, Err(Unrecorded::Event(_))));
    assert!(record::shortened("c-1", &evidence(), "no code").is_err());
    log.close().await.unwrap();
    assert!(matches!(recorded(ctx(), &World::user().evidence, "a").await, Err(Unrecorded::Log(AuditError::Closed))));
}
