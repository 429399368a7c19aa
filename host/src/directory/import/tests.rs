use std::sync::Arc;

use rstest::rstest;
use serde_json::json;

use super::super::tests::example;
use super::super::{AccountKey, Directory, MachineKey, SqliteDirectory, User, UserKey};
use super::*;

struct Rig {
    database: Arc<Database>,
    directory: SqliteDirectory,
    _folder: tempfile::TempDir,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::create(&folder.path().join("a.db")).unwrap());
    Rig { directory: SqliteDirectory::new(database.clone()), database, _folder: folder }
}

impl Rig {
    fn import(&self, document: impl ToString, mode: Mode) -> Result<Imported, ImportError> {
        import(&self.database, document.to_string().as_bytes(), mode)
    }

    /// The faults of `document`, as lines.
    fn faults(&self, document: impl ToString, mode: Mode) -> Vec<String> {
        match self.import(document, mode) {
            Err(ImportError::Rows(rows)) => rows.listed.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn user(&self, id: &str) -> Option<User> {
        self.directory.find_user(&UserKey::Id(id.into())).await.unwrap()
    }
}

fn counts(inserted: u64, updated: u64, deleted: u64) -> Counts {
    Counts { inserted, updated, deleted }
}

#[test]
fn the_documented_example_is_right() {
    let rig = rig();
    let first = rig.import(example(), Mode::Upsert).unwrap();
    assert_eq!(first, Imported { accounts: counts(3, 0, 0), users: counts(3, 0, 0), hosts: counts(1, 0, 0) });
    for mode in [Mode::Upsert, Mode::Replace] {
        let again = rig.import(example(), mode).unwrap();
        assert_eq!(again, Imported { accounts: counts(0, 3, 0), users: counts(0, 3, 0), hosts: counts(0, 1, 0) });
    }
}

#[tokio::test]
async fn upsert_replaces_a_row_whole_and_keeps_the_others() {
    let rig = rig();
    rig.import(example(), Mode::Upsert).unwrap();
    let document = json!({"users": [
        {"id": "u-alice", "email": "alice@example.org", "accounts": ["acme-us"], "state": "disabled"},
        {"id": "u-bob", "email": "bob@example.com", "accounts": ["globex"]},
    ]});
    let imported = rig.import(document, Mode::Upsert).unwrap();
    assert_eq!(imported, Imported { users: counts(1, 1, 0), ..Imported::default() });
    let alice = rig.user("u-alice").await.unwrap();
    assert_eq!(alice.accounts.len(), 1);
    assert_eq!((alice.primary_account, alice.scopes, alice.attributes.len()), (None, None, 0));
    let old_name = UserKey::External(("corp".into(), "00u1alice".into()));
    assert!(rig.directory.find_user(&old_name).await.unwrap().is_none());
    assert!(rig.user("u-root").await.is_some());
    let host = rig.directory.find_machine(&MachineKey::Ophid("ddi-edge-7".into())).await.unwrap().unwrap();
    assert_eq!(host.api_keys.len(), 2);
}

#[tokio::test]
async fn replace_deletes_what_is_missing() {
    let rig = rig();
    rig.import(example(), Mode::Upsert).unwrap();
    let document = json!({
        "hosts": [],
        "users": [{"id": "u-alice", "email": "alice@example.com", "accounts": ["initech"]}],
        "accounts": [{"id": "initech", "tenant": "initech", "csp_id": 1001}],
    });
    let imported = rig.import(document, Mode::Replace).unwrap();
    assert_eq!(imported, Imported { accounts: counts(1, 0, 3), users: counts(0, 1, 2), hosts: counts(0, 0, 1) });
    assert!(rig.user("u-root").await.is_none());
    assert!(rig.directory.find_account(&AccountKey::Id("acme-eu".into())).await.unwrap().is_none());
    assert_eq!(rig.directory.find_account(&AccountKey::CspId(1001)).await.unwrap().unwrap().id, "initech");
    assert!(rig.directory.find_machine(&MachineKey::Ophid("ddi-edge-7".into())).await.unwrap().is_none());
}

#[tokio::test]
async fn names_may_change_hands() {
    let rig = rig();
    let users = |a: &str, b: &str| {
        json!({"users": [
            {"id": "a", "email": a, "external": [{"issuer": "corp", "value": a}]},
            {"id": "b", "email": b, "external": [{"issuer": "corp", "value": b}]},
        ]})
    };
    rig.import(users("1@example.com", "2@example.com"), Mode::Upsert).unwrap();
    rig.import(users("2@example.com", "1@example.com"), Mode::Upsert).unwrap();
    assert_eq!(rig.user("a").await.unwrap().email, "2@example.com");
    let named = UserKey::External(("corp".into(), "1@example.com".into()));
    assert_eq!(rig.directory.find_user(&named).await.unwrap().unwrap().id, "b");
}

#[tokio::test]
async fn every_bad_row_is_reported_and_nothing_is_written() {
    let rig = rig();
    let many: Vec<String> = (0..65).map(|n| format!("a{n}")).collect();
    let document = json!({
        "accounts": [
            {"id": "good", "tenant": "acme"},
            {"id": "no-tenant"},
            {"id": "bad id", "tenant": "acme"},
            {"id": "x", "tenant": "acme", "colour": "red"},
            {"id": "good", "tenant": "acme"},
            {"id": "y", "tenant": "acme", "csp_id": "7"},
            {"id": "z", "tenant": "acme", "state": "gone"},
            7,
        ],
        "users": [
            {"id": "u0", "email": "u0@example.com", "accounts": ["good", "nowhere", "x"]},
            {"id": "u1", "email": "not an address"},
            {"id": "u2", "email": "U0@example.com "},
            {"id": "u3", "email": "u3@example.com", "accounts": ["good", "good"], "primary_account": "x"},
            {"id": "u4", "email": "u4@example.com", "accounts": many},
            {"id": "u5", "email": "u5@example.com", "scopes": ["a b"], "attributes": {}},
            {"id": "u6", "email": "u6@example.com", "attributes": {"edge.ip": "1"}},
        ],
        "hosts": [
            {"id": "1", "account": "good"},
            {"id": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "account": "none", "api_keys": [
                {"id": "k", "user": "u0"}, {"id": "k2", "user": "u1"}, {"id": "k3", "user": "u9"}]},
            {"id": "6f9619ff-8b86-d011-b42d-00c04fc964fe", "account": "good", "api_keys": [{"id": "k", "user": "u0"}]},
            {"id": "6f9619ff-8b86-d011-b42d-00c04fc964fd", "account": "good", "api_keys": [{"id": "k9", "user": "u0", "secret": "s"}]},
        ],
    });
    insta::assert_snapshot!(rig.faults(document, Mode::Upsert).join("\n"));
    assert!(rig.user("u0").await.is_none());
    assert!(rig.directory.find_account(&AccountKey::Id("good".into())).await.unwrap().is_none());
}

#[rstest]
#[case(json!({"accounts": [{"id": "new", "tenant": "t", "csp_id": 1001}]}), "accounts[0].csp_id (\"new\"): already used by another row of the directory")]
#[case(json!({"accounts": [{"id": "new", "tenant": "t", "sfdc_account_id": "001A000001AcmeEU"}]}), "accounts[0].sfdc_account_id (\"new\"): already used by another row of the directory")]
#[case(json!({"users": [{"id": "new", "email": "ROOT@example.com"}]}), "users[0].email (\"new\"): already used by another row of the directory")]
#[case(json!({"users": [{"id": "new", "email": "n@example.com", "external": [{"issuer": "corp", "value": "00u1alice"}]}]}), "users[0].external[0] (\"new\"): already used by another row of the directory")]
#[case(json!({"hosts": [{"id": "00000000-0000-0000-0000-000000000000", "account": "globex", "ophid": "ddi-edge-7"}]}), "hosts[0].ophid (\"00000000-0000-0000-0000-000000000000\"): already used by another row of the directory")]
#[case(json!({"hosts": [{"id": "00000000-0000-0000-0000-000000000000", "account": "globex", "api_keys": [{"id": "k-1", "user": "u-root"}]}]}), "hosts[0].api_keys[0].id (\"00000000-0000-0000-0000-000000000000\"): already used by another row of the directory")]
fn what_another_row_has_is_taken(#[case] document: serde_json::Value, #[case] fault: &str) {
    let rig = rig();
    rig.import(example(), Mode::Upsert).unwrap();
    assert_eq!(rig.faults(document, Mode::Upsert), [fault]);
}

#[test]
fn replaced_rows_cannot_be_referred_to() {
    let rig = rig();
    rig.import(example(), Mode::Upsert).unwrap();
    let document = json!({"accounts": [], "hosts": [], "users": [{"id": "u", "email": "u@example.com", "accounts": ["globex"]}]});
    assert_eq!(rig.faults(&document, Mode::Replace), ["users[0].accounts[0] (\"u\"): does not exist"]);
    rig.import(document, Mode::Upsert).unwrap();
}

#[test]
fn replace_needs_every_list() {
    let rig = rig();
    let error = rig.import(json!({"accounts": [], "users": []}), Mode::Replace).unwrap_err();
    assert!(matches!(error, ImportError::MissingList(List::Hosts)));
}

#[rstest]
#[case("")]
#[case("[]")]
#[case("{\"accounts\": [}")]
#[case("{\"accounts\": {}}")]
#[case("{\"accounts\": [], \"accounts\": []}")]
#[case("{\"machines\": []}")]
#[case("{} {}")]
#[case("{\"users\": [{\"id\": \"u\"")]
fn a_malformed_document_is_refused(#[case] document: &str) {
    assert!(matches!(rig().import(document, Mode::Upsert), Err(ImportError::Malformed(_))));
}

#[test]
fn a_field_twice_is_a_fault() {
    let document = r#"{"users": [{"id": "a", "email": "a@example.com", "protected": true, "protected": false}]}"#;
    assert_eq!(rig().faults(document, Mode::Upsert), ["users[0] (\"a\"): duplicate field `protected`"]);
}

#[test]
fn a_list_is_no_row() {
    let user = r#"{"id": "u", "email": "u@example.com", "external": [["corp", "u"]]}"#;
    let document = format!(r#"{{"accounts": [["a", "acme"]], "users": [{user}]}}"#);
    let faults = [
        "accounts[0]: invalid type: sequence, expected an account",
        "users[0].external[0] (\"u\"): invalid type: sequence, expected an external name",
    ];
    assert_eq!(rig().faults(document, Mode::Upsert), faults);
}

#[test]
fn an_attribute_reads_only_one_way() {
    let account = |attributes: &str| format!(r#"{{"accounts": [{{"id": "a", "tenant": "t", "attributes": {attributes}}}]}}"#);
    for (attributes, problem) in [
        (r#"{"a": {"x": 1, "x": 2}}"#.to_owned(), "a member stands there twice"),
        (r#"{"level": {"$serde_json::private::RawValue": "7"}}"#.to_owned(), "a member has a name that is no data"),
        (format!(r#"{{"level": {}}}"#, crate::json::testing::bomb(45)), "a member has a name that is no data"),
    ] {
        let faults = rig().faults(account(&attributes), Mode::Upsert);
        assert!(
            faults.len() == 1 && faults[0].starts_with("accounts[0].attributes") && faults[0].contains(problem),
            "{faults:?}"
        );
    }
}

#[test]
fn a_row_is_bounded() {
    let document = json!({"accounts": [{"id": "a", "tenant": "t", "attributes": {"x": "y".repeat(300_000)}}]});
    assert_eq!(rig().faults(document, Mode::Upsert), ["accounts[0] (\"a\"): the row is longer than 256 KiB"]);
}

#[test]
fn a_document_that_cannot_be_read_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    assert!(matches!(import(&rig().database, Broken, Mode::Upsert), Err(ImportError::Read(_))));
}

#[test]
fn a_document_is_bounded() {
    let mut connection = rig().database.connect().unwrap();
    let document = example();
    let length = document.len() as u64;
    let cut = import_bounded(&mut connection, document.as_bytes(), Mode::Upsert, length - 1);
    assert!(matches!(cut, Err(ImportError::TooLarge)));
    import_bounded(&mut connection, document.as_bytes(), Mode::Upsert, length).unwrap();
}

#[test]
fn more_faults_than_can_be_listed_are_counted() {
    let rows = vec![json!({}); MAX_LISTED + 3];
    match rig().import(json!({"accounts": rows}), Mode::Upsert) {
        Err(error @ ImportError::Rows(_)) => {
            assert_eq!(error.to_string(), "10003 faults in the rows of the document");
            let ImportError::Rows(rows) = error else { unreachable!() };
            assert_eq!((rows.listed.len(), rows.unlisted), (MAX_LISTED, 3));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_database_that_fails_is_an_error() {
    let rig = rig();
    rig.database.connect().unwrap().execute_batch("DROP TABLE api_keys").unwrap();
    assert!(matches!(rig.import(example(), Mode::Upsert), Err(ImportError::Database(_))));
}

/// Linear, or nearly: 20,000 users in a debug build would take minutes if each were compared with each.
#[tokio::test]
async fn many_rows_are_imported_and_found() {
    let rig = rig();
    let user =
        |n: u32| json!({"id": format!("u{n}"), "email": format!("u{n}@example.com"), "accounts": ["a"], "primary_account": "a"});
    let users: Vec<_> = (0..20_000).map(user).collect();
    let document = json!({"accounts": [{"id": "a", "tenant": "t"}], "users": users, "hosts": []});
    assert_eq!(rig.import(&document, Mode::Replace).unwrap().users, counts(20_000, 0, 0));
    assert_eq!(rig.import(&document, Mode::Replace).unwrap().users, counts(0, 20_000, 0));
    assert_eq!(rig.user("u19999").await.unwrap().primary_account.as_deref(), Some("a"));
}
