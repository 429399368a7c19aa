//! Addresses of RFC 6531, whichever way they are written.

use serde_json::{Value, json};
use standin::directory::import::{self, Mode};
use standin::sqlite::Database;
use standin_tests::requests::body;
use standin_tests::world::{API, World};

use super::minted;

/// `ü` in one character, and as a letter with a mark.
const COMPOSED: &str = "jürgen@bücher.example";
const DECOMPOSED: &str = "ju\u{308}rgen@bu\u{308}cher.example";
const IN_ASCII: &str = "jürgen@xn--bcher-kva.example";

async fn world() -> World {
    let person =
        |id: &str, email: &str| json!({ "id": id, "email": email, "accounts": ["acme-eu"], "primary_account": "acme-eu" });
    World::with(
        |_| {},
        |directory| {
            let users = directory["users"].as_array_mut().unwrap();
            users.push(person("u-juergen", " JÜRGEN@Bücher.Example"));
            users.push(person("u-local", "root@localhost"));
            users.push(person("u-han", "用户@例子.广告"));
        },
    )
    .await
}

#[tokio::test]
async fn a_user_is_found_by_every_spelling_of_its_address() {
    let world = world().await;
    let standin = world.standin().await;
    for (address, sub) in [
        (COMPOSED, "u-juergen"),
        (DECOMPOSED, "u-juergen"),
        (IN_ASCII, "u-juergen"),
        ("JÜRGEN@BÜCHER.EXAMPLE", "u-juergen"),
        ("ju\u{308}rgen@XN--BCHER-KVA.example", "u-juergen"),
        ("jürgen@bücher。example", "u-juergen"),
        ("Root@LOCALHOST", "u-local"),
        ("用户@例子.广告", "u-han"),
        ("用户@xn--fsqu00a.xn--4rr70v", "u-han"),
        (" Bob@Example.COM ", "u-bob"),
    ] {
        let asked = json!({ "id_type": "user", "id": format!("email.{address}"), "audience": API });
        let said = body(&minted(&standin, "svc-router", &asked).await);
        assert_eq!(said["sub"], format!("user:acme:{sub}"), "{address}: {said}");
    }
    // A letter without its mark is another's.
    for (address, code) in [
        ("jurgen@bücher.example", "target.not_found"),
        ("jürgen@bucher.example", "target.not_found"),
        ("jürgen@xn--a.example", "target.not_found"),
        ("jür\u{200b}gen@bücher.example", "request.invalid_field"),
        ("jür gen@bücher.example", "request.invalid_field"),
        ("jür\u{a0}gen@bücher.example", "request.invalid_field"),
        ("root@", "request.invalid_field"),
        ("@localhost", "request.invalid_field"),
        ("root@local_host", "request.invalid_field"),
        ("root@localhost.", "request.invalid_field"),
    ] {
        let asked = json!({ "id_type": "user", "id": format!("email.{address}"), "audience": API });
        assert_eq!(body(&minted(&standin, "svc-router", &asked).await)["code"], code, "{address}");
    }
}

#[tokio::test]
async fn an_unknown_address_is_one_person_however_it_is_written() {
    let world = world().await;
    let standin = world.standin().await;
    let envoy = async |address: &str| {
        let id = format!("email.{address}");
        let asked = json!({ "id_type": "envoy", "id": id, "sfdc_account_id": "001AcmeEU", "audience": API });
        body(&minted(&standin, "svc-router", &asked).await)
    };
    let spellings = ["Zoë@münchen.example", "zoe\u{308}@MÜNCHEN.example", "zoë@xn--mnchen-3ya.example"];
    let mut subs = Vec::new();
    for spelling in spellings {
        let said = envoy(spelling).await;
        assert_eq!(said["provisional"], true, "{said}");
        subs.push(said["sub"].as_str().unwrap().to_owned());
    }
    assert!(subs.iter().all(|sub| *sub == subs[0]), "{subs:?}");
    // The host finds no normal form of it.
    assert_eq!(envoy("zoë@xn--a.example").await["code"], "request.invalid_field");
    assert_ne!(envoy("zoe@münchen.example").await["sub"], subs[0].as_str());
    // Nobody passes under another spelling of a known address.
    for spelling in [COMPOSED, DECOMPOSED, IN_ASCII] {
        let said = envoy(spelling).await;
        assert_eq!((&said["sub"], &said["provisional"]), (&json!("user:acme:u-juergen"), &json!(false)), "{said}");
    }
}

#[tokio::test]
async fn two_spellings_of_one_address_are_one_in_an_import() {
    let world = world().await;
    let database = Database::create(&world.config().directory).unwrap();
    let twice = |addresses: [&str; 2]| {
        let users: Vec<Value> =
            addresses.iter().enumerate().map(|(at, email)| json!({ "id": format!("u-new-{at}"), "email": email })).collect();
        import::import(&database, json!({ "users": users }).to_string().as_bytes(), Mode::Upsert)
    };
    let refused = twice(["ø@bücher.example", "Ø@xn--bcher-kva.example"]).unwrap_err();
    let import::ImportError::Rows(rows) = refused else { panic!("{refused}") };
    assert_eq!(rows.listed[0].path(), "users[1].email");
    let taken = twice([DECOMPOSED, "other@example.com"]).unwrap_err();
    let import::ImportError::Rows(rows) = taken else { panic!("{taken}") };
    assert_eq!((rows.listed.len(), rows.listed[0].path()), (1, "users[0].email".to_owned()));
    // 254 bytes, as written.
    let label = "ü".repeat(20);
    let long = format!("a@{}example", format!("{label}.").repeat(7));
    assert!(long.len() > 254 && twice([&long, "other@example.com"]).is_err());
}
