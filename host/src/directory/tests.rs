use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rstest::rstest;

use super::import::{Mode, import};
use super::*;
use crate::sqlite::Database;

/// The example in the documentation.
pub(super) fn example() -> String {
    let page = include_str!("../../../docs/directory.md");
    page.split("```json\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Memory,
    Sqlite,
}

pub(super) struct Rig {
    pub(super) directory: Arc<dyn Directory>,
    _folder: tempfile::TempDir,
}

pub(super) fn rig(kind: Kind, document: &str) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let directory: Arc<dyn Directory> = match kind {
        Kind::Memory => Arc::new(MemoryDirectory::load(document.as_bytes()).unwrap()),
        Kind::Sqlite => Arc::new(sqlite(&folder.path().join("a.db"), document)),
    };
    Rig { directory, _folder: folder }
}

fn sqlite(path: &Path, document: &str) -> SqliteDirectory {
    let database = Database::create(path).unwrap().with_busy_timeout(Duration::from_millis(50));
    import(&database, document.as_bytes(), Mode::Upsert).unwrap();
    SqliteDirectory::new(Arc::new(database))
}

impl Rig {
    async fn account(&self, key: AccountKey) -> Option<Account> {
        self.directory.find_account(&key).await.unwrap()
    }

    async fn user(&self, key: UserKey) -> Option<User> {
        self.directory.find_user(&key).await.unwrap()
    }

    async fn machine(&self, key: MachineKey) -> Option<Machine> {
        self.directory.find_machine(&key).await.unwrap()
    }
}

fn pairs(attributes: &[crate::bindings::types::Attribute]) -> Vec<(&str, &str)> {
    attributes.iter().map(|attribute| (attribute.name.as_str(), attribute.value.as_str())).collect()
}

#[rstest]
#[case(AccountKey::Id("acme-eu".into()), Some("acme-eu"))]
#[case(AccountKey::CspId(1002), Some("acme-us"))]
#[case(AccountKey::Sfdc("001A000001AcmeEU".into()), Some("acme-eu"))]
#[case(AccountKey::Id("ACME-EU".into()), None)]
#[case(AccountKey::CspId(0), None)]
#[case(AccountKey::Sfdc("001a000001acmeeu".into()), None)]
#[tokio::test]
async fn accounts_are_found_by_every_name(
    #[values(Kind::Memory, Kind::Sqlite)] kind: Kind,
    #[case] key: AccountKey,
    #[case] id: Option<&str>,
) {
    assert_eq!(rig(kind, &example()).account(key).await.map(|account| account.id).as_deref(), id);
}

#[rstest]
#[tokio::test]
async fn an_account_has_its_shape(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, &example());
    let account = rig.account(AccountKey::CspId(1001)).await.unwrap();
    assert_eq!((account.tenant.as_str(), account.csp_id), ("acme", Some(1001)));
    assert_eq!(account.sfdc_account_id.as_deref(), Some("001A000001AcmeEU"));
    assert_eq!(account.state, State::Active);
    assert_eq!(pairs(&account.attributes), [("plan", "\"gold\"")]);
    let bare = rig.account(AccountKey::Id("globex".into())).await.unwrap();
    assert_eq!((bare.csp_id, bare.sfdc_account_id, bare.state), (None, None, State::Disabled));
    assert!(bare.attributes.is_empty());
}

#[rstest]
#[case(UserKey::Id("u-alice".into()), Some("u-alice"))]
#[case(UserKey::Email("alice@example.com".into()), Some("u-alice"))]
#[case(UserKey::Email(" ALICE@Example.com ".into()), Some("u-alice"))]
#[case(UserKey::Email("alice@\u{ff45}xample\u{3002}com".into()), Some("u-alice"))]
#[case(UserKey::External(("corp".into(), "00u1alice".into())), Some("u-alice"))]
#[case(UserKey::External(("other".into(), "00u1alice".into())), None)]
#[case(UserKey::External(("corp".into(), "u-alice".into())), None)]
#[case(UserKey::Email("alice@example.org".into()), None)]
#[case(UserKey::Id("alice@example.com".into()), None)]
#[tokio::test]
async fn users_are_found_by_every_name(
    #[values(Kind::Memory, Kind::Sqlite)] kind: Kind,
    #[case] key: UserKey,
    #[case] id: Option<&str>,
) {
    assert_eq!(rig(kind, &example()).user(key).await.map(|user| user.id).as_deref(), id);
}

#[rstest]
#[tokio::test]
async fn a_user_has_its_shape(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, &example());
    let alice = rig.user(UserKey::Id("u-alice".into())).await.unwrap();
    assert_eq!(alice.email, "alice@example.com");
    let accounts: Vec<_> = alice.accounts.iter().map(|account| (account.id.as_str(), account.csp_id)).collect();
    assert_eq!(accounts, [("acme-eu", Some(1001)), ("acme-us", Some(1002))]);
    assert_eq!(alice.primary_account.as_deref(), Some("acme-eu"));
    assert_eq!(alice.scopes.unwrap(), ["expenses:read", "expenses:write"]);
    assert_eq!((alice.state, alice.protected), (State::Active, false));
    assert_eq!(pairs(&alice.attributes), [("department", "\"finance\""), ("level", "3")]);

    let root = rig.user(UserKey::Id("u-root".into())).await.unwrap();
    assert_eq!((root.protected, root.scopes.is_none(), root.primary_account), (true, true, None));
    let new = rig.user(UserKey::Id("u-new".into())).await.unwrap();
    assert_eq!((new.state, new.accounts.len()), (State::Pending, 0));
}

#[rstest]
#[tokio::test]
async fn no_scopes_are_not_all_scopes(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let rig = rig(kind, r#"{"users": [{"id": "u", "email": "u@example.com", "scopes": []}]}"#);
    assert_eq!(rig.user(UserKey::Id("u".into())).await.unwrap().scopes, Some(Vec::new()));
}

#[rstest]
#[case(MachineKey::Id("6f9619ff-8b86-d011-b42d-00c04fc964ff".into()), true)]
#[case(MachineKey::Id("6F9619FF-8B86-D011-B42D-00C04FC964FF".into()), true)]
#[case(MachineKey::Ophid("ddi-edge-7".into()), true)]
#[case(MachineKey::Ophid("DDI-EDGE-7".into()), false)]
#[case(MachineKey::Id("ddi-edge-7".into()), false)]
#[tokio::test]
async fn machines_are_found_by_every_name(
    #[values(Kind::Memory, Kind::Sqlite)] kind: Kind,
    #[case] key: MachineKey,
    #[case] there: bool,
) {
    assert_eq!(rig(kind, &example()).machine(key).await.is_some(), there);
}

#[rstest]
#[tokio::test]
async fn a_machine_has_its_shape(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    let machine = rig(kind, &example()).machine(MachineKey::Ophid("ddi-edge-7".into())).await.unwrap();
    assert_eq!(machine.id, "6f9619ff-8b86-d011-b42d-00c04fc964ff");
    assert_eq!((machine.account.id.as_str(), machine.state), ("acme-eu", State::Active));
    let keys: Vec<_> = machine.api_keys.iter().map(|key| (key.id.as_str(), key.user.as_str(), key.state)).collect();
    assert_eq!(keys, [("k-0", "u-root", State::Disabled), ("k-1", "u-alice", State::Active)]);
}

#[rstest]
#[tokio::test]
async fn it_says_when_it_is_ready(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind) {
    rig(kind, "{}").directory.ready().await.unwrap();
}

/// Rows another program wrote, past the bounds of an import.
#[tokio::test]
async fn too_many_memberships_are_an_error_not_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(&folder.path().join("a.db")).unwrap();
    let writer = database.connect().unwrap();
    writer.execute("INSERT INTO users VALUES ('u', 'u@example.com', NULL, 'active', 0, NULL, '{}')", []).unwrap();
    let join = |n: usize| {
        let id = format!("a{n}");
        writer.execute("INSERT INTO accounts VALUES (?1, 't', NULL, NULL, 'active', '{}')", [&id]).unwrap();
        writer.execute("INSERT INTO memberships VALUES ('u', ?1)", [&id]).unwrap();
    };
    (0..MAX_RELATED).for_each(join);
    let directory = SqliteDirectory::new(Arc::new(database));
    let key = UserKey::Id("u".into());
    assert_eq!(directory.find_user(&key).await.unwrap().unwrap().accounts.len(), MAX_RELATED);
    join(MAX_RELATED);
    assert!(matches!(directory.find_user(&key).await, Err(DirectoryError::Other(Some(_)))));
}

#[rstest]
#[case::json("UPDATE accounts SET attributes = 'x'")]
#[case::state("PRAGMA ignore_check_constraints = 1; UPDATE accounts SET state = 'gone'")]
#[tokio::test]
async fn rows_that_make_no_sense_are_unavailable(#[case] sql: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let directory = sqlite(&path, &example());
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    assert!(matches!(directory.find_account(&AccountKey::CspId(1001)).await, Err(DirectoryError::Unavailable)));
    assert!(matches!(directory.find_user(&UserKey::Id("u-alice".into())).await, Err(DirectoryError::Unavailable)));
}

#[rstest]
#[case::deleted(|path: &PathBuf| std::fs::remove_file(path).unwrap())]
#[case::cut(|path: &PathBuf| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap())]
#[case::overwritten(|path: &PathBuf| {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    file.write_all_at(&vec![0x5a; length], 0).unwrap();
})]
#[tokio::test]
async fn a_broken_database_is_unavailable(#[case] break_it: fn(&PathBuf)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(sqlite(&path, &example()));
    let database = Database::open(&path).unwrap();
    break_it(&path);
    let directory = SqliteDirectory::new(Arc::new(database));
    assert!(matches!(directory.ready().await, Err(DirectoryError::Unavailable)));
    assert!(matches!(directory.find_account(&AccountKey::CspId(1)).await, Err(DirectoryError::Unavailable)));
    assert!(matches!(directory.find_user(&UserKey::Id("u".into())).await, Err(DirectoryError::Unavailable)));
    assert!(matches!(directory.find_machine(&MachineKey::Ophid("o".into())).await, Err(DirectoryError::Unavailable)));
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let directory = sqlite(&path, &example());
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; UPDATE accounts SET state = 'disabled'").unwrap();
    let account = directory.find_account(&AccountKey::CspId(1001)).await.unwrap().unwrap();
    assert_eq!(account.state, State::Active);
    writer.execute_batch("COMMIT").unwrap();
    let account = directory.find_account(&AccountKey::CspId(1001)).await.unwrap().unwrap();
    assert_eq!(account.state, State::Disabled);
}
