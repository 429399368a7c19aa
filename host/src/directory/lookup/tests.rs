use rstest::rstest;

use super::super::tests::{Kind, example, rig};
use super::*;

#[rstest]
#[case("email.alice@example.com", "u-alice")]
#[case("email. Alice@EXAMPLE.com", "u-alice")]
#[case("user_id.u-root", "u-root")]
#[case("ophid.ddi-edge-7", "6f9619ff-8b86-d011-b42d-00c04fc964ff")]
#[case("host_id.6F9619FF-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964ff")]
#[case("account_id.globex", "globex")]
#[case("csp_id.1002", "acme-us")]
#[case("sfdc.001A000001AcmeEU", "acme-eu")]
#[tokio::test]
async fn every_key_finds(#[values(Kind::Memory, Kind::Sqlite)] kind: Kind, #[case] key: &str, #[case] id: &str) {
    let rig = rig(kind, &example());
    let found = lookup(rig.directory.as_ref(), key).await.unwrap().unwrap();
    assert_eq!(found["id"], id);
}

#[rstest]
#[case("email.bob@example.com")]
#[case("user_id.alice@example.com")]
#[case("csp_id.-1")]
#[tokio::test]
async fn nothing_is_found_where_nothing_is(#[case] key: &str) {
    assert!(lookup(rig(Kind::Memory, &example()).directory.as_ref(), key).await.unwrap().is_none());
}

#[rstest]
#[case("alice@example", "LookupError::Key")]
#[case("name.alice", "LookupError::Key")]
#[case("", "LookupError::Key")]
#[case("csp_id.12x", "LookupError::Number")]
#[case("email.alice", "LookupError::Value")]
#[case("host_id.7", "LookupError::Value")]
#[case("ophid.a b", "LookupError::Value")]
#[case("user_id.", "LookupError::Value")]
#[tokio::test]
async fn keys_are_checked(#[case] key: &str, #[case] expected: &str) {
    let error = lookup(rig(Kind::Memory, "{}").directory.as_ref(), key).await.unwrap_err();
    let variant = match error {
        LookupError::Key => "LookupError::Key",
        LookupError::Value(_) => "LookupError::Value",
        LookupError::Number => "LookupError::Number",
        LookupError::Directory(_) => "LookupError::Directory",
    };
    assert_eq!(variant, expected);
}

#[tokio::test]
async fn a_directory_that_gives_no_answer_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let database = crate::sqlite::Database::create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let directory = super::super::SqliteDirectory::new(std::sync::Arc::new(database));
    let answer = lookup(&directory, "csp_id.1").await;
    assert!(matches!(answer, Err(LookupError::Directory(DirectoryError::Unavailable))));
}

#[tokio::test]
async fn entries_are_printed_whole() {
    let rig = rig(Kind::Sqlite, &example());
    let of = async |key: &str| lookup(rig.directory.as_ref(), key).await.unwrap().unwrap();
    insta::assert_json_snapshot!([of("user_id.u-alice").await, of("ophid.ddi-edge-7").await]);
}
