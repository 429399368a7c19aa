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
    let last = |tx: &Connection| tx.query_row("SELECT last FROM revisions", [], |row| row.get::<_, i64>(0));
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

/// A database that is read where it lies, and the file that somebody else writes.
fn read_only(dir: &Path) -> (Database, PathBuf) {
    let path = dir.join("a.db");
    drop(Database::create(&path).unwrap());
    (Database::open_for(&path, Access::Reads).unwrap(), path)
}

fn last(database: &Database) -> Result<i64, SqliteError> {
    database.read(|tx| Ok(tx.query_row("SELECT max(last) FROM revisions", [], |row| row.get(0))?))
}

#[test]
fn what_is_read_only_follows_another_file_and_what_is_written_into_it() {
    let dir = folder();
    let (database, path) = read_only(dir.path());
    assert_eq!(last(&database).unwrap(), 0);
    assert!(matches!(database.connect(), Err(SqliteError::ReadOnly)));
    let beside = dir.path().join("b.db");
    let write = |path: &Path, value: i64| {
        let writer = Database::create(path).unwrap().connect().unwrap();
        writer.execute("UPDATE revisions SET last = ?1", [value]).unwrap();
        writer
    };
    drop(write(&beside, 7));
    fs::rename(&beside, &path).unwrap();
    assert_eq!(last(&database).unwrap(), 7);
    // Nothing is read of what is not closed, and all of it then.
    let writer = write(&path, 8);
    assert!(matches!(last(&database), Err(SqliteError::Unsettled)));
    drop(writer);
    assert_eq!(last(&database).unwrap(), 8);
}

#[test]
fn what_is_written_in_the_middle_of_a_read_is_no_answer() {
    let dir = folder();
    let (database, path) = read_only(dir.path());
    let read = database.read(|tx| {
        let writer = Database::open(&path)?.connect()?;
        writer.execute("UPDATE revisions SET last = 9", [])?;
        drop(writer);
        Ok::<i64, SqliteError>(tx.query_row("SELECT max(last) FROM revisions", [], |row| row.get(0))?)
    });
    assert!(matches!(read, Err(SqliteError::Changed)), "{read:?}");
    assert_eq!(last(&database).unwrap(), 9);
}

#[test]
fn a_file_of_another_user_is_refused() {
    let dir = folder();
    let (database, path) = read_only(dir.path());
    // Only root can give a file away; for everyone else root's are as good as their own.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert!(matches!(Database::open(&path), Err(SqliteError::Owner(65534))));
        fs::write(dir.path().join("b.db"), fs::read(&path).unwrap()).unwrap();
        fs::set_permissions(dir.path().join("b.db"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(dir.path().join("b.db"), Some(65534), None).unwrap();
        fs::rename(dir.path().join("b.db"), &path).unwrap();
        assert!(matches!(one(&database), Err(SqliteError::Owner(65534))));
    } else {
        assert!(matches!(Database::open(Path::new("/etc/passwd")), Err(SqliteError::Permissions { .. })));
    }
}
