use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rstest::rstest;

use super::*;
use crate::clock::{Entropy, SystemEntropy};
use crate::registry::Algorithm;

const RETENTION: Duration = Duration::from_secs(930);

#[derive(Default)]
struct At(AtomicU64);

impl Clock for At {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.now()
    }
}

struct Bench {
    home: tempfile::TempDir,
    clock: Arc<At>,
}

impl Bench {
    fn new(algorithm: Algorithm) -> Self {
        let bench = Self { home: tempfile::tempdir().unwrap(), clock: Arc::new(At(1_000_000.into())) };
        generate(&bench.dir(), algorithm, &*bench.clock, &SystemEntropy).unwrap();
        bench
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("keys")
    }

    fn open(&self) -> Result<FileKeys, KeyFileError> {
        FileKeys::open(&self.dir(), RETENTION, Arc::<At>::clone(&self.clock))
    }

    fn rotate(&self) -> Vec<KeyInfo> {
        rotate(&self.dir(), None, RETENTION, &*self.clock, &SystemEntropy).unwrap()
    }

    fn pass(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn chmod(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.dir().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn active_file(&self) -> String {
        list(&self.dir()).unwrap().iter().find(|key| key.state == KeyState::Active).unwrap().file()
    }
}

fn kids(keys: &FileKeys) -> Vec<String> {
    let set: Value = serde_json::from_str(&keys.jwks()).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid_of(jws: &str) -> String {
    let header = BASE64URL.decode(jws.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn verifies(keys: &FileKeys, jws: &str) -> bool {
    let (message, signature) = jws.rsplit_once('.').unwrap();
    keys.verifying_key(&kid_of(jws))
        .is_some_and(|key| key.verify(key.algorithms()[0], message.as_bytes(), &BASE64URL.decode(signature).unwrap()))
}

#[rstest]
#[case(Algorithm::EdDsa)]
#[case(Algorithm::Es256)]
#[case(Algorithm::Rs256)]
#[tokio::test]
async fn signs_with_the_active_key(#[case] algorithm: Algorithm) {
    let bench = Bench::new(algorithm);
    let keys = bench.open().unwrap();
    let jws = keys.sign("at+jwt", r#"{"sub":"a"}"#).await.unwrap();
    assert_eq!(format!("{}.pem", kid_of(&jws)), bench.active_file());
    assert!(verifies(&keys, &jws));
    let set: Value = serde_json::from_str(&keys.jwks()).unwrap();
    for key in set["keys"].as_array().unwrap() {
        assert_eq!(key["alg"], algorithm.name());
        assert_eq!(key["use"], "sig");
        assert!(key.get("d").is_none());
        assert_eq!(PublicKey::parse(&key.to_string()).unwrap().thumbprint(), key["kid"].as_str().unwrap());
    }
}

#[tokio::test]
async fn rotation_keeps_old_tokens_verifiable_as_long_as_they_live() {
    let bench = Bench::new(Algorithm::EdDsa);
    let before = bench.open().unwrap();
    let next = list(&bench.dir()).unwrap().iter().find(|key| key.state == KeyState::Next).unwrap().kid.clone();
    assert!(kids(&before).contains(&next), "the next key is published before it signs");
    let old = before.sign("at+jwt", "{}").await.unwrap();

    bench.pass(100);
    bench.rotate();
    let after = bench.open().unwrap();
    assert_eq!(kids(&after).len(), 3);
    assert_eq!(kid_of(&after.sign("at+jwt", "{}").await.unwrap()), next);
    assert!(verifies(&after, &old));

    // The same value goes on for exactly the retention, and then forgets.
    bench.pass(930);
    assert!(verifies(&after, &old));
    assert!(kids(&after).contains(&kid_of(&old)));
    bench.pass(1);
    assert!(!verifies(&after, &old));
    assert!(!kids(&after).contains(&kid_of(&old)));
    assert_eq!(kids(&bench.open().unwrap()).len(), 2);

    // The next rotation deletes the file.
    let file = bench.dir().join(format!("{}.pem", kid_of(&old)));
    assert!(file.exists());
    assert_eq!(bench.rotate().len(), 3);
    assert!(!file.exists());
}

#[test]
fn rotation_may_change_the_algorithm() {
    let bench = Bench::new(Algorithm::EdDsa);
    let keys = rotate(&bench.dir(), Some(Algorithm::Es256), RETENTION, &*bench.clock, &SystemEntropy).unwrap();
    let next = |keys: &[KeyInfo]| keys.iter().find(|key| key.state == KeyState::Next).unwrap().algorithm;
    assert_eq!(next(&keys), Algorithm::Es256);
    assert_eq!(next(&bench.rotate()), Algorithm::Es256);
}

#[test]
fn rotation_works_without_a_next_key() {
    let bench = Bench::new(Algorithm::EdDsa);
    let path = bench.dir().join("keys.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["keys"].as_array_mut().unwrap().retain(|key| key["state"] == "active");
    std::fs::write(&path, index.to_string()).unwrap();
    let states: Vec<KeyState> = bench.rotate().iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Retired, KeyState::Active, KeyState::Next]);
}

#[rstest]
#[case("keys.json")]
#[case("pseudonym.key")]
#[case("seal.key")]
#[case("active")]
fn files_open_to_others_are_refused(#[case] name: &str, #[values(0o640, 0o604, 0o660, 0o644, 0o700, 0o4600)] mode: u32) {
    let bench = Bench::new(Algorithm::EdDsa);
    let name = if name == "active" { bench.active_file() } else { name.to_owned() };
    assert_eq!(std::fs::metadata(bench.dir().join(&name)).unwrap().permissions().mode() & 0o7777, 0o600);
    bench.chmod(&name, mode);
    assert!(matches!(bench.open(), Err(KeyFileError::FileMode { mode: found, .. }) if found == mode));
    bench.chmod(&name, 0o400);
    assert!(bench.open().is_ok());
}

#[rstest]
fn a_folder_open_to_others_is_refused(#[values(0o710, 0o701, 0o755, 0o720)] mode: u32) {
    let bench = Bench::new(Algorithm::EdDsa);
    bench.chmod(".", mode);
    assert!(matches!(bench.open(), Err(KeyFileError::FolderMode { .. })));
    assert!(matches!(list(&bench.dir()), Err(KeyFileError::FolderMode { .. })));
    assert!(matches!(hmac_key(&bench.dir(), "audit"), Err(KeyFileError::FolderMode { .. })));
    bench.chmod(".", 0o700);
    assert!(bench.open().is_ok());
}

#[test]
fn a_link_is_not_followed() {
    let bench = Bench::new(Algorithm::EdDsa);
    let seal = bench.dir().join("seal.key");
    std::fs::rename(&seal, bench.dir().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &seal).unwrap();
    assert!(matches!(bench.open(), Err(KeyFileError::Io { .. })));
}

#[test]
fn keys_are_not_made_twice() {
    let bench = Bench::new(Algorithm::EdDsa);
    let again = generate(&bench.dir(), Algorithm::EdDsa, &*bench.clock, &SystemEntropy);
    assert!(matches!(again, Err(KeyFileError::Exists(_))));
}

#[test]
fn one_process_at_a_time_changes_them() {
    let bench = Bench::new(Algorithm::EdDsa);
    let other = Folder::open(&bench.dir()).unwrap();
    other.lock().unwrap();
    let rotated = rotate(&bench.dir(), None, RETENTION, &*bench.clock, &SystemEntropy);
    assert!(matches!(rotated, Err(KeyFileError::Busy(_))));
    drop(other);
    assert_eq!(bench.rotate().len(), 3);
}

#[test]
fn a_key_of_another_name_is_refused() {
    let bench = Bench::new(Algorithm::EdDsa);
    let keys = list(&bench.dir()).unwrap();
    std::fs::copy(bench.dir().join(keys[1].file()), bench.dir().join(keys[0].file())).unwrap();
    assert!(matches!(bench.open(), Err(KeyFileError::OtherKey(_))));
}

#[rstest]
#[case::not_json("keys.json", "nothing")]
#[case::empty("keys.json", r#"{"keys":[]}"#)]
#[case::unknown_member("keys.json", r#"{"keys":[],"more":1}"#)]
#[case::path("keys.json", r#"{"keys":[{"kid":"../../x","algorithm":"EdDSA","state":"active","created":1}]}"#)]
#[case::algorithm("keys.json", r#"{"keys":[{"kid":"x","algorithm":"HS256","state":"active","created":1}]}"#)]
#[case::timeless(
    "keys.json",
    r#"{"keys":[{"kid":"0000000000000000000000000000000000000000000","algorithm":"EdDSA","state":"retired","created":1}]}"#
)]
#[case::short("seal.key", "short")]
#[case::long("pseudonym.key", "0123456789abcdef0123456789abcdef0")]
#[case::no_pem("active", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----")]
fn malformed_files_are_refused(#[case] name: &str, #[case] text: &str) {
    let bench = Bench::new(Algorithm::EdDsa);
    let name = if name == "active" { bench.active_file() } else { name.to_owned() };
    std::fs::write(bench.dir().join(name), text).unwrap();
    let refused = bench.open();
    assert!(matches!(refused, Err(KeyFileError::Malformed { .. })), "{refused:?}");
}

#[test]
fn missing_files_are_named() {
    let bench = Bench::new(Algorithm::EdDsa);
    std::fs::remove_file(bench.dir().join("seal.key")).unwrap();
    let message = bench.open().unwrap_err().to_string();
    assert!(message.contains("seal.key"), "{message}");
    assert!(matches!(FileKeys::open(Path::new("/nonexistent"), RETENTION, bench.clock), Err(KeyFileError::Io { .. })));
}

#[test]
fn no_keys_without_randomness_or_for_other_algorithms() {
    struct Broken;
    impl Entropy for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("keys");
    assert!(matches!(generate(&dir, Algorithm::EdDsa, &At::default(), &Broken), Err(KeyFileError::Entropy(_))));
    let refused = generate(&dir, Algorithm::Ps256, &At::default(), &SystemEntropy);
    assert!(matches!(refused, Err(KeyFileError::Key(SigningKeyError::Algorithm))));
}

#[test]
fn pseudonyms_are_keyed_and_stay_the_same() {
    let bench = Bench::new(Algorithm::EdDsa);
    let keys = bench.open().unwrap();
    let one = keys.pseudonym("acme", "a@example.com").unwrap();
    assert_eq!(one.len(), 43);
    assert_eq!(bench.open().unwrap().pseudonym("acme", "a@example.com").unwrap(), one);
    assert_ne!(keys.pseudonym("globex", "a@example.com").unwrap(), one);
    assert_ne!(keys.pseudonym("acmea", "@example.com").unwrap(), one);
    assert_ne!(Bench::new(Algorithm::EdDsa).open().unwrap().pseudonym("acme", "a@example.com").unwrap(), one);
}

#[test]
fn host_keys_differ_by_purpose_and_survive_rotation() {
    let bench = Bench::new(Algorithm::EdDsa);
    let image = bench.open().unwrap().hmac_key("image-cache");
    bench.rotate();
    assert_eq!(hmac_key(&bench.dir(), "image-cache").unwrap().expose(), image.expose());
    assert_ne!(hmac_key(&bench.dir(), "audit-head").unwrap().expose(), image.expose());
    assert!(format!("{:?}", bench.open().unwrap()).contains("[redacted]"));
}
