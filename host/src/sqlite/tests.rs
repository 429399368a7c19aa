use std::os::unix::fs::PermissionsExt;

use rstest::rstest;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn one(database: &Database) -> Result<i64, SqliteError> {
    database.read(|tx| Ok(tx.query_row("SELECT count(*) FROM spaces", [], |row| row.get(0))?))
}

#[rstest]
#[case("sqlite:standin.db", "/etc/standin/standin.db")]
#[case("sqlite:data/a b.db", "/etc/standin/data/a b.db")]
#[case("sqlite:/var/lib/standin.db", "/var/lib/standin.db")]
fn a_url_names_a_file(#[case] url: &str, #[case] path: &str) {
    assert_eq!(path_of_url(url, Path::new("/etc/standin")).unwrap(), Path::new(path));
}

#[rstest]
#[case("")]
#[case("standin.db")]
#[case("sqlite:")]
#[case("sqlite::memory:")]
#[case("sqlite://host/standin.db")]
#[case("sqlite:standin.db?mode=ro")]
#[case("sqlite:standin.db#1")]
#[case("sqlite:standin\0.db")]
#[case("postgres:standin")]
fn other_urls_are_refused(#[case] url: &str) {
    assert_eq!(path_of_url(url, Path::new("/etc")), None);
}

#[test]
fn files_are_made_for_their_owner_only() {
    let dir = folder();
    let path = dir.path().join("a.db");
    let database = Database::create(&path).unwrap();
    let writer = database.connect().unwrap();
    writer.execute("UPDATE revisions SET last = 1", []).unwrap();
    for name in ["a.db", "a.db-wal", "a.db-shm"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert_eq!(one(&Database::open(&path).unwrap()).unwrap(), 3);
}

#[test]
fn a_file_others_may_read_is_refused() {
    let dir = folder();
    let path = dir.path().join("a.db");
    drop(Database::create(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Database::open(&path).unwrap_err();
    assert!(matches!(error, SqliteError::Permissions { mode: 0o640 }));
    assert!(error.to_string().contains("0640"), "{error}");
}

#[test]
fn a_missing_file_is_not_made_by_opening() {
    let dir = folder();
    let path = dir.path().join("a.db");
    assert!(matches!(Database::open(&path), Err(SqliteError::Missing)));
    assert!(!path.exists());
    assert!(matches!(Database::create(&dir.path().join("no/a.db")), Err(SqliteError::File(_))));
}

#[test]
fn another_programs_database_is_left_alone() {
    let dir = folder();
    let path = dir.path().join("a.db");
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(Database::open(&path), Err(SqliteError::Foreign)));
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = folder();
    let path = dir.path().join("a.db");
    Database::create(&path).unwrap().connect().unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Database::open(&path), Err(SqliteError::Newer { found: 99, known: 2 })));
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let dir = folder();
    let path = dir.path().join("a.db");
    drop(Database::create(&path).unwrap());
    fs::write(&path, vec![0x5a; 8192]).unwrap();
    assert!(matches!(Database::open(&path), Err(SqliteError::Query(_))));
}

#[test]
fn a_deleted_or_replaced_file_is_noticed() {
    let dir = folder();
    let path = dir.path().join("a.db");
    let database = Database::create(&path).unwrap();
    one(&database).unwrap();
    fs::rename(&path, dir.path().join("b.db")).unwrap();
    assert!(matches!(one(&database), Err(SqliteError::Moved)));
    drop(Database::create(&path).unwrap());
    assert!(matches!(one(&database), Err(SqliteError::Moved)));
    assert!(matches!(database.connect(), Err(SqliteError::Moved)));
}

#[test]
fn read_connections_cannot_write() {
    let dir = folder();
    let database = Database::create(&dir.path().join("a.db")).unwrap();
    let written: Result<usize, SqliteError> = database.read(|tx| Ok(tx.execute("UPDATE revisions SET last = 9", [])?));
    assert!(matches!(written, Err(SqliteError::Query(_))));
    assert_eq!(database.readers().open, 0, "a connection that failed is closed");
}

#[test]
fn a_read_is_one_snapshot() {
    let dir = folder();
    let database = Database::create(&dir.path().join("a.db")).unwrap();
    let writer = database.connect().unwrap();
    let last = |tx: &Transaction<'_>| tx.query_row("SELECT last FROM revisions", [], |row| row.get::<_, i64>(0));
    let seen: Result<_, SqliteError> = database.read(|tx| {
        let before = last(tx)?;
        writer.execute("UPDATE revisions SET last = 7", [])?;
        Ok((before, last(tx)?))
    });
    assert_eq!(seen.unwrap(), (0, 0));
    assert_eq!(database.read(|tx| Ok::<_, SqliteError>(last(tx)?)).unwrap(), 7);
}

#[test]
fn readers_are_bounded_and_come_back() {
    fn nest(database: &Database, depth: usize) -> Result<(), SqliteError> {
        database.read(|_| if depth == 0 { Ok(()) } else { nest(database, depth - 1) })
    }
    let dir = folder();
    let database = Database::create(&dir.path().join("a.db")).unwrap().with_busy_timeout(Duration::from_millis(20));
    assert!(matches!(nest(&database, MAX_READERS), Err(SqliteError::Exhausted)));
    nest(&database, MAX_READERS - 1).unwrap();
    assert_eq!(database.readers().open, MAX_READERS);
    one(&database).unwrap();
}
