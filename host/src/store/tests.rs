use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use rstest::rstest;

use super::sqlite::MAX_QUEUE;
use super::*;
use crate::clock::Clock;
use crate::sqlite::Database;

const NOW: u64 = 1_000;

struct TestClock(AtomicU64);

impl TestClock {
    fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.now()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Memory,
    Sqlite,
}

struct Rig {
    store: Arc<dyn Store>,
    clock: Arc<TestClock>,
    _folder: tempfile::TempDir,
}

fn sqlite(path: &std::path::Path, clock: &Arc<TestClock>) -> SqliteStore {
    let database = Database::create(path).unwrap().with_busy_timeout(Duration::from_millis(100));
    SqliteStore::new(Arc::new(database), clock.clone()).unwrap()
}

fn rig(kind: Kind, max_entries: u64) -> Rig {
    let clock = TestClock::at(NOW);
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = match kind {
        Kind::Memory => Arc::new(MemoryStore::new(clock.clone()).with_max_entries(max_entries)),
        Kind::Sqlite => Arc::new(sqlite(&folder.path().join("a.db"), &clock).with_max_entries(max_entries)),
    };
    Rig { store, clock, _folder: folder }
}

impl Rig {
    async fn swap(&self, key: &str, expected: Option<u64>, value: &str, expires_at: u64) -> Swap {
        self.store.compare_and_swap(Space::State, key.as_bytes(), expected, value.as_bytes(), expires_at).await.unwrap()
    }

    async fn get(&self, key: &str) -> Option<(String, u64)> {
        let found = self.store.get_many(Space::State, &[key.as_bytes().to_vec()]).await.unwrap().remove(0);
        found.map(|entry| (String::from_utf8(entry.value).unwrap(), entry.revision))
    }
}

fn stored(swap: Swap) -> u64 {
    match swap {
        Swap::Stored(revision) => revision,
        Swap::Conflict(there) => panic!("conflict with {there:?}"),
    }
}

fn conflict(swap: Swap) -> Option<u64> {
    match swap {
        Swap::Stored(revision) => panic!("stored as {revision}"),
        Swap::Conflict(there) => there.map(|entry| entry.revision),
    }
}

#[rstest]
#[tokio::test]
async fn what_was_written_is_read_in_the_keys_order(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, MAX_ENTRIES);
    stored(rig.swap("a", None, "1", NOW + 10).await);
    stored(rig.swap("b", None, "2", NOW + 20).await);
    let keys: Vec<Vec<u8>> = ["b", "none", "a", "b"].map(|key| key.as_bytes().to_vec()).to_vec();
    let found = rig.store.get_many(Space::State, &keys).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|entry| entry.map(|entry| (entry.value, entry.expires_at))).collect();
    let (a, b) = (Some((b"1".to_vec(), NOW + 10)), Some((b"2".to_vec(), NOW + 20)));
    assert_eq!(found, [b.clone(), None, a, b]);
    let elsewhere = rig.store.get_many(Space::SingleUse, &keys).await.unwrap();
    assert!(elsewhere.iter().all(Option::is_none), "spaces are apart");
}

#[rstest]
#[tokio::test]
async fn a_swap_needs_the_revision_that_is_there(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, MAX_ENTRIES);
    assert_eq!(conflict(rig.swap("a", Some(1), "x", NOW + 10).await), None);
    let first = stored(rig.swap("a", None, "1", NOW + 10).await);
    assert_eq!(conflict(rig.swap("a", None, "x", NOW + 10).await), Some(first));
    let second = stored(rig.swap("a", Some(first), "2", NOW + 10).await);
    assert!(second > first);
    assert_eq!(conflict(rig.swap("a", Some(first), "x", NOW + 10).await), Some(second));
    assert_eq!(rig.get("a").await, Some(("2".into(), second)));
}

#[rstest]
#[tokio::test]
async fn what_has_expired_is_absent(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, MAX_ENTRIES);
    let first = stored(rig.swap("a", None, "1", NOW + 10).await);
    rig.clock.set(NOW + 9);
    assert!(rig.get("a").await.is_some());
    rig.clock.set(NOW + 10);
    assert_eq!(rig.get("a").await, None);
    assert_eq!(conflict(rig.swap("a", Some(first), "x", NOW + 20).await), None);
    assert!(!rig.store.delete(Space::State, b"a", None).await.unwrap());
    assert!(stored(rig.swap("a", None, "2", NOW + 20).await) > first);
}

#[rstest]
#[tokio::test]
async fn deletion_is_by_revision(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, MAX_ENTRIES);
    let first = stored(rig.swap("a", None, "1", NOW + 10).await);
    assert!(!rig.store.delete(Space::State, b"a", Some(first + 1)).await.unwrap());
    assert!(rig.store.delete(Space::State, b"a", Some(first)).await.unwrap());
    assert!(!rig.store.delete(Space::State, b"a", None).await.unwrap());
    let second = stored(rig.swap("a", None, "2", NOW + 10).await);
    assert!(second > first, "a revision never comes back");
    assert!(rig.store.delete(Space::State, b"a", None).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn insert_only_spaces_keep_what_they_have(
    #[values(Kind::Memory, Kind::Sqlite)] kind: Kind,
    #[values(Space::SingleUse, Space::Revocation)] space: Space,
) {
    let rig = rig(kind, MAX_ENTRIES);
    let first = stored(rig.store.compare_and_swap(space, b"a", None, b"1", NOW + 10).await.unwrap());
    assert_eq!(conflict(rig.store.compare_and_swap(space, b"a", None, b"2", NOW + 10).await.unwrap()), Some(first));
    let swapped = rig.store.compare_and_swap(space, b"a", Some(first), b"2", NOW + 10).await;
    assert!(matches!(swapped, Err(StoreError::Refused)));
    assert!(matches!(rig.store.delete(space, b"a", None).await, Err(StoreError::Refused)));
    rig.clock.set(NOW + 10);
    stored(rig.store.compare_and_swap(space, b"a", None, b"3", NOW + 20).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_kept_is_refused(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, MAX_ENTRIES);
    for expires_at in [0, NOW, u64::MAX] {
        let written = rig.store.compare_and_swap(Space::State, b"a", None, b"1", expires_at).await;
        assert!(matches!(written, Err(StoreError::Refused)), "{expires_at}");
    }
    let (long_key, long_value) = (vec![0; MAX_KEY + 1], vec![0; MAX_VALUE + 1]);
    let write = |key: Vec<u8>, value: Vec<u8>| {
        let store = rig.store.clone();
        async move { store.compare_and_swap(Space::State, &key, None, &value, NOW + 1).await }
    };
    assert!(matches!(write(long_key.clone(), vec![]).await, Err(StoreError::TooLarge)));
    assert!(matches!(write(vec![], long_value).await, Err(StoreError::TooLarge)));
    stored(write(vec![0; MAX_KEY], vec![0; MAX_VALUE]).await.unwrap());
    let read = rig.store.get_many(Space::State, &[long_key]).await;
    assert!(matches!(read, Err(StoreError::TooLarge)));
    let read = rig.store.get_many(Space::State, &vec![vec![]; MAX_KEYS + 1]).await;
    assert!(matches!(read, Err(StoreError::TooLarge)));
}

#[rstest]
#[tokio::test]
async fn a_sweep_is_bounded_and_takes_only_the_expired(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, MAX_ENTRIES);
    for n in 0..SWEEP + 5 {
        stored(rig.swap(&format!("short {n}"), None, "", NOW + 1).await);
    }
    stored(rig.swap("long", None, "", NOW + 2).await);
    assert_eq!(rig.store.sweep().await.unwrap(), 0);
    rig.clock.set(NOW + 1);
    assert_eq!(rig.store.sweep().await.unwrap(), SWEEP as u64);
    assert_eq!(rig.store.sweep().await.unwrap(), 5);
    assert_eq!(rig.store.sweep().await.unwrap(), 0);
    assert!(rig.get("long").await.is_some());
}

#[rstest]
#[tokio::test]
async fn a_full_space_takes_nothing_new(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, 2);
    let first = stored(rig.swap("a", None, "1", NOW + 10).await);
    stored(rig.swap("b", None, "1", NOW + 20).await);
    let third = rig.store.compare_and_swap(Space::State, b"c", None, b"", NOW + 10).await;
    assert!(matches!(third, Err(StoreError::Other(Some(text))) if text == "full"));
    stored(rig.swap("a", Some(first), "2", NOW + 10).await);
    stored(rig.store.compare_and_swap(Space::SingleUse, b"c", None, b"", NOW + 10).await.unwrap());
    rig.clock.set(NOW + 10);
    stored(rig.swap("c", None, "1", NOW + 20).await);
    assert_eq!(rig.get("a").await, None, "the expired made room");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_has_one_winner(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, MAX_ENTRIES);
    let mut expected = None;
    for round in 0..5 {
        let racers: Vec<_> = (0..32u8)
            .map(|racer| {
                let store = rig.store.clone();
                tokio::spawn(
                    async move { store.compare_and_swap(Space::State, b"a", expected, &[racer], NOW + 10).await.unwrap() },
                )
            })
            .collect();
        let mut winners = Vec::new();
        let mut seen = Vec::new();
        for racer in racers {
            match racer.await.unwrap() {
                Swap::Stored(revision) => winners.push(revision),
                Swap::Conflict(there) => seen.push(there.unwrap().revision),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert!(seen.iter().all(|revision| *revision == winners[0]), "the losers see the winner");
        expected = Some(winners[0]);
    }
}

#[rstest]
#[tokio::test]
async fn it_says_when_it_is_ready(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    rig(kind, MAX_ENTRIES).store.ready().await.unwrap();
}

/// Two stores on one file, as two processes have them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_between_two_processes_has_one_winner() {
    let (clock, folder) = (TestClock::at(NOW), tempfile::tempdir().unwrap());
    let path = folder.path().join("a.db");
    let open = || {
        let database = Database::create(&path).unwrap().with_busy_timeout(Duration::from_secs(10));
        Arc::new(SqliteStore::new(Arc::new(database), clock.clone()).unwrap())
    };
    let stores = [open(), open()];
    let racers: Vec<_> = (0..16)
        .map(|racer| {
            let store = stores[racer % 2].clone();
            tokio::spawn(async move { store.compare_and_swap(Space::SingleUse, b"jti", None, b"", NOW + 10).await.unwrap() })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(matches!(racer.await.unwrap(), Swap::Stored(_)));
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_locked_database_is_unavailable_for_writes() {
    let (clock, folder) = (TestClock::at(NOW), tempfile::tempdir().unwrap());
    let path = folder.path().join("a.db");
    let store = sqlite(&path, &clock);
    stored(store.compare_and_swap(Space::State, b"a", None, b"1", NOW + 10).await.unwrap());
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(store.ready().await, Err(StoreError::Unavailable)));
    assert!(matches!(store.sweep().await, Err(StoreError::Unavailable)));
    assert!(matches!(store.delete(Space::State, b"a", None).await, Err(StoreError::Unavailable)));
    let written = store.compare_and_swap(Space::State, b"b", None, b"1", NOW + 10).await;
    assert!(matches!(written, Err(StoreError::Unavailable)));
    assert!(store.get_many(Space::State, &[b"a".to_vec()]).await.unwrap()[0].is_some(), "readers do not wait for writers");
    other.execute_batch("ROLLBACK").unwrap();
    store.ready().await.unwrap();
}

#[rstest]
#[case::deleted(|path: &PathBuf| std::fs::remove_file(path).unwrap())]
#[case::corrupt(|path: &PathBuf| {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let length = std::fs::metadata(&name).map_or(0, |found| found.len()) as usize;
        std::fs::write(&name, vec![0x5a; length]).unwrap();
    }
})]
#[tokio::test]
async fn a_broken_database_is_unavailable(#[case] break_it: fn(&PathBuf)) {
    let (clock, folder) = (TestClock::at(NOW), tempfile::tempdir().unwrap());
    let path = folder.path().join("a.db");
    let store = sqlite(&path, &clock);
    stored(store.compare_and_swap(Space::State, b"a", None, b"1", NOW + 10).await.unwrap());
    break_it(&path);
    assert!(matches!(store.get_many(Space::State, &[b"a".to_vec()]).await, Err(StoreError::Unavailable)));
    let written = store.compare_and_swap(Space::State, b"b", None, b"1", NOW + 10).await;
    assert!(matches!(written, Err(StoreError::Unavailable)));
    assert!(matches!(store.ready().await, Err(StoreError::Unavailable)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_waiting_writes_are_refused() {
    let (clock, folder) = (TestClock::at(NOW), tempfile::tempdir().unwrap());
    let path = folder.path().join("a.db");
    let store = Arc::new(sqlite(&path, &clock));
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let writes: Vec<_> = (0..MAX_QUEUE + 10)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { tokio::time::timeout(Duration::from_millis(300), store.sweep()).await })
        })
        .collect();
    let mut refused = 0;
    for write in writes {
        refused += usize::from(matches!(write.await.unwrap(), Ok(Err(StoreError::Unavailable))));
    }
    assert!(refused >= 10, "{refused}");
    other.execute_batch("ROLLBACK").unwrap();
    store.sweep().await.unwrap();
}

const CHILD_DATABASE: &str = "STANDIN_TEST_STORE";

/// The other process of the test below; does nothing in a run of its own.
#[tokio::test]
async fn child_that_writes_until_killed() {
    let Some(path) = std::env::var_os(CHILD_DATABASE) else { return };
    let store = sqlite(&PathBuf::from(path), &TestClock::at(NOW));
    for n in 0u32..100_000 {
        stored(store.compare_and_swap(Space::SingleUse, &n.to_be_bytes(), None, b"used", NOW + 10).await.unwrap());
        println!("wrote {n}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_that_writes_until_killed", "--nocapture"])
        .env(CHILD_DATABASE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut numbers = output.map_while(Result::ok).filter_map(|line| line.split("wrote ").nth(1)?.parse::<u32>().ok());
    let before = numbers.by_ref().take(50).last().unwrap();
    child.kill().unwrap();
    let last = numbers.last().unwrap_or(before);
    child.wait().unwrap();

    let store = sqlite(&path, &TestClock::at(NOW));
    for n in 0..=last {
        let again = store.compare_and_swap(Space::SingleUse, &n.to_be_bytes(), None, b"again", NOW + 10).await.unwrap();
        assert!(conflict(again).is_some(), "{n} of {last}");
    }
}
