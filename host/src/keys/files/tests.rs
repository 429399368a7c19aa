use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rstest::rstest;
use standin_core::registry::Algorithm;

use super::*;
use crate::clock::{Entropy, SystemEntropy};

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
        generate(&bench.dir(), &[algorithm], &*bench.clock, &SystemEntropy).unwrap();
        bench
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("keys")
    }

    fn folder(&self) -> KeyFolder {
        KeyFolder { dir: self.dir(), algorithms: Vec::new(), retention: RETENTION }
    }

    /// With every algorithm that has an active key.
    fn open(&self) -> Result<FileKeys, KeyFileError> {
        let keys = list(&self.dir()).unwrap_or_default();
        let algorithms = keys.iter().filter(|key| key.state == KeyState::Active).map(|key| key.algorithm).collect();
        self.open_with(algorithms)
    }

    fn open_with(&self, algorithms: Vec<Algorithm>) -> Result<FileKeys, KeyFileError> {
        FileKeys::open(KeyFolder { algorithms, ..self.folder() }, Arc::<At>::clone(&self.clock))
    }

    fn rotate(&self) -> Vec<KeyInfo> {
        let algorithms: Vec<_> = list(&self.dir()).unwrap().iter().map(|key| key.algorithm).collect();
        self.rotate_to(&algorithms, &algorithms).unwrap()
    }

    fn rotate_to(&self, rotated: &[Algorithm], signing: &[Algorithm]) -> Result<Vec<KeyInfo>, KeyFileError> {
        rotate(&self.dir(), Rotation { rotated, signing, retention: RETENTION }, &*self.clock, &SystemEntropy)
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

impl FileKeys {
    fn active_jws(&self) -> String {
        self.signing[0].jws("at+jwt", "{}").unwrap()
    }
}

/// A volume as kubelet fills it: the files of this moment in a folder of their own, and links to them through `..data`.
struct Volume(tempfile::TempDir);

impl Volume {
    fn of(keys: &Path) -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        volume.chmod(".", 0o1777);
        volume.fill(keys, "..2026_11_25_10_00_00.1");
        volume
    }

    /// Writes the files of another moment and swaps them in, in one step.
    fn fill(&self, keys: &Path, moment: &str) {
        let data = self.path(moment);
        std::fs::create_dir(&data).unwrap();
        for file in std::fs::read_dir(keys).unwrap() {
            let name = file.unwrap().file_name();
            std::fs::copy(keys.join(&name), data.join(&name)).unwrap();
            std::fs::set_permissions(data.join(&name), std::fs::Permissions::from_mode(0o440)).unwrap();
            let _there = std::os::unix::fs::symlink(Path::new("..data").join(&name), self.path(".").join(&name));
        }
        self.chmod(moment, 0o2755);
        std::os::unix::fs::symlink(moment, self.path("..data_tmp")).unwrap();
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn chmod(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn open(&self) -> Result<FileKeys, KeyFileError> {
        let folder = KeyFolder { dir: self.path("."), algorithms: vec![Algorithm::EdDsa], retention: RETENTION };
        FileKeys::open(folder, Arc::new(At(1_000_000.into())))
    }
}

#[tokio::test]
async fn a_secret_volume_is_read_and_followed() {
    let bench = Bench::new(Algorithm::EdDsa);
    let volume = Volume::of(&bench.dir());
    let keys = volume.open().unwrap();
    assert!(keys.look().await.unwrap());
    bench.rotate();
    volume.fill(&bench.dir(), "..2026_11_25_11_00_00.2");
    assert!(!keys.look().await.unwrap());
    let after = keys.again().unwrap();
    assert_ne!(kid_of(&after.active_jws()), kid_of(&keys.active_jws()));
    assert!(verifies(&after, &keys.active_jws()));
    // What makes sense only where it comes from is not done here.
    let moved =
        rotate(&volume.path("."), Rotation { rotated: &[], signing: &[], retention: RETENTION }, &*bench.clock, &SystemEntropy);
    assert!(matches!(moved, Err(KeyFileError::Projected(_))));
    let made = generate(&volume.path("."), &[Algorithm::Es256], &*bench.clock, &SystemEntropy);
    assert!(matches!(made, Err(KeyFileError::Projected(_))));
}

#[test]
fn a_volume_that_others_may_fill_is_refused() {
    let bench = Bench::new(Algorithm::EdDsa);
    let volume = Volume::of(&bench.dir());
    for (name, wrong, right) in [(".", 0o777, 0o755), ("..data", 0o777, 0o755), ("..data", 0o775, 0o1777)] {
        volume.chmod(name, wrong);
        assert!(matches!(volume.open(), Err(KeyFileError::Unguarded { .. })), "{name} {wrong:o}");
        volume.chmod(name, right);
        volume.open().unwrap();
    }
    for mode in [0o444, 0o644, 0o460, 0o404] {
        volume.chmod("seal.key", mode);
        assert!(matches!(volume.open(), Err(KeyFileError::FileMode { mode: found, .. }) if found == mode), "{mode:o}");
    }
    volume.chmod("seal.key", 0o400);
    volume.open().unwrap();
    for elsewhere in ["../elsewhere", "/etc", ".", ".."] {
        std::fs::remove_file(volume.path("..data")).unwrap();
        std::os::unix::fs::symlink(elsewhere, volume.path("..data")).unwrap();
        assert!(matches!(volume.open(), Err(KeyFileError::Malformed { .. })), "{elsewhere}");
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
    let jws = keys.sign(None, "at+jwt", r#"{"sub":"a"}"#).await.unwrap();
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
    let old = before.sign(None, "at+jwt", "{}").await.unwrap();

    bench.pass(100);
    bench.rotate();
    let after = bench.open().unwrap();
    assert_eq!(kids(&after).len(), 3);
    assert_eq!(kid_of(&after.sign(None, "at+jwt", "{}").await.unwrap()), next);
    assert!(verifies(&after, &old));

    // The same value goes on for exactly as long as the last token lives that a server could have signed, and then forgets.
    bench.pass(300 + 930);
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

#[tokio::test]
async fn a_server_that_has_not_seen_a_rotation_stops_signing_in_time() {
    let bench = Bench::new(Algorithm::EdDsa);
    let server = bench.open().unwrap();
    assert!(!server.is_due() && server.look().await.unwrap());
    bench.pass(29);
    assert!(!server.is_due());
    bench.pass(1);
    assert!(server.is_due() && !server.is_due(), "one of those who ask looks");
    bench.rotate();
    assert!(!server.look().await.unwrap());
    // It may not have had the time to take that up: until then its tokens verify everywhere, for as long as they live.
    bench.pass(270);
    assert!(server.is_fresh());
    let last = server.sign(None, "at+jwt", "{}").await.unwrap();
    bench.pass(1);
    assert!(!server.is_fresh());
    assert!(matches!(server.sign(None, "at+jwt", "{}").await, Err(KeysError::Unavailable(_))));
    bench.pass(929);
    assert!(verifies(&bench.open().unwrap(), &last));
    // A folder that hangs holds nobody up, and one thread at most.
    let hanging = bench.open().unwrap();
    bench.pass(400);
    let looking = Arc::clone(&hanging.looking).lock_owned().await;
    assert!(matches!(hanging.look().await, Err(KeyFileError::Hangs(_))));
    assert!(matches!(hanging.sign(None, "at+jwt", "{}").await, Err(KeysError::Unavailable(_))));
    drop(looking);
    assert!(hanging.sign(None, "at+jwt", "{}").await.is_ok());
    // Where nothing was rotated, somebody who never looked signs on.
    let quiet = bench.open().unwrap();
    bench.pass(100_000);
    assert!(!quiet.is_fresh());
    assert!(quiet.sign(None, "at+jwt", "{}").await.is_ok() && quiet.is_fresh());
}

#[tokio::test]
async fn retention_counts_from_when_this_process_stopped_signing() {
    let bench = Bench::new(Algorithm::EdDsa);
    let server = bench.open().unwrap();
    bench.rotate();
    // The rotated folder comes here an hour later, as a volume does that is filled from elsewhere.
    bench.pass(3_600);
    let last = server.active_jws();
    let after = server.again().unwrap();
    assert!(verifies(&after, &last));
    assert!(!verifies(&bench.open().unwrap(), &last), "another process knows the rotation's time only");
    bench.pass(300 + 930);
    let again = after.again().unwrap();
    assert!(verifies(&after, &last) && verifies(&again, &last), "reading them again neither forgets nor begins anew");
    bench.pass(1);
    assert!(!verifies(&after, &last) && !verifies(&again, &last));
}

#[test]
fn retention_counts_from_when_the_index_came_here() {
    let bench = Bench::new(Algorithm::EdDsa);
    let last = bench.open().unwrap().active_jws();
    bench.rotate();
    bench.pass(3_600);
    assert!(!verifies(&bench.open().unwrap(), &last));
    let index = std::fs::File::options().write(true).open(bench.dir().join("keys.json")).unwrap();
    let written = |seconds| index.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    written(1_000_000 + 3_500);
    assert!(verifies(&bench.open().unwrap(), &last));
    // A time that is still to come is none.
    written(1_000_000 + 3_601);
    assert!(!verifies(&bench.open().unwrap(), &last));
}

#[tokio::test]
async fn several_algorithms_sign_at_once() {
    let bench = Bench::new(Algorithm::EdDsa);
    let all = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
    let missing = bench.open_with(all.to_vec()).unwrap_err();
    assert!(matches!(missing, KeyFileError::NoActiveKey { algorithm: "ES256", .. }), "{missing}");
    let first = list(&bench.dir()).unwrap();
    let keys = generate(&bench.dir(), &all, &*bench.clock, &SystemEntropy).unwrap();
    assert_eq!((keys.len(), &keys[..2]), (6, &first[..]), "what is there stays");
    let keys = bench.open_with(all.to_vec()).unwrap();
    for algorithm in all {
        let jws = keys.sign(Some(algorithm), "at+jwt", "{}").await.unwrap();
        assert_eq!(keys.verifying_key(&kid_of(&jws)).unwrap().algorithms(), [algorithm]);
        assert!(verifies(&keys, &jws));
    }
    let default = keys.sign(None, "at+jwt", "{}").await.unwrap();
    assert_eq!(keys.verifying_key(&kid_of(&default)).unwrap().algorithms(), [Algorithm::Es256]);
    let fewer = bench.open_with(vec![Algorithm::EdDsa]).unwrap();
    assert!(matches!(fewer.sign(Some(Algorithm::Rs256), "at+jwt", "{}").await, Err(KeysError::NoActiveKey)));
    assert!(verifies(&fewer, &default), "what another configuration signed verifies");
    let none = bench.open_with(Vec::new()).unwrap();
    assert!(matches!(none.sign(None, "at+jwt", "{}").await, Err(KeysError::NoActiveKey)));
}

#[test]
fn rotation_is_by_algorithm() {
    let bench = Bench::new(Algorithm::EdDsa);
    let both = [Algorithm::EdDsa, Algorithm::Es256];
    let states = |keys: &[KeyInfo], algorithm| -> Vec<KeyState> {
        keys.iter().filter(|key| key.algorithm == algorithm).map(|key| key.state).collect()
    };
    // One that is new has no key to retire.
    let keys = bench.rotate_to(&[Algorithm::Es256], &both).unwrap();
    assert_eq!(states(&keys, Algorithm::EdDsa), [KeyState::Active, KeyState::Next], "the others stay");
    assert_eq!(states(&keys, Algorithm::Es256), [KeyState::Active, KeyState::Next]);
    let keys = bench.rotate_to(&both, &both).unwrap();
    assert_eq!(states(&keys, Algorithm::EdDsa), [KeyState::Retired, KeyState::Active, KeyState::Next]);
    // One that is given up retires, with what it signed.
    let before = bench.open().unwrap().active_jws();
    let keys = bench.rotate_to(&[Algorithm::Es256], &[Algorithm::Es256]).unwrap();
    assert_eq!(states(&keys, Algorithm::EdDsa), [KeyState::Retired, KeyState::Retired]);
    assert!(verifies(&bench.open().unwrap(), &before));
    bench.pass(300 + 931);
    assert!(states(&bench.rotate_to(&[Algorithm::Es256], &[Algorithm::Es256]).unwrap(), Algorithm::EdDsa).is_empty());
    let files =
        std::fs::read_dir(bench.dir()).unwrap().filter(|file| file.as_ref().unwrap().path().extension() == Some("pem".as_ref()));
    assert_eq!(files.count(), 3);
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
fn files_open_to_others_are_refused(
    #[case] name: &str,
    #[values(0o640, 0o604, 0o660, 0o644, 0o700, 0o4600, 0o444, 0o460)] mode: u32,
) {
    let bench = Bench::new(Algorithm::EdDsa);
    let name = if name == "active" { bench.active_file() } else { name.to_owned() };
    assert_eq!(std::fs::metadata(bench.dir().join(&name)).unwrap().permissions().mode() & 0o7777, 0o600);
    bench.chmod(&name, mode);
    assert!(matches!(bench.open(), Err(KeyFileError::FileMode { mode: found, .. }) if found == mode));
    for mode in [0o400, 0o440] {
        bench.chmod(&name, mode);
        assert!(bench.open().is_ok());
    }
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
    let again = generate(&bench.dir(), &[Algorithm::EdDsa], &*bench.clock, &SystemEntropy);
    assert!(matches!(again, Err(KeyFileError::Exists(_))));
}

#[test]
fn one_process_at_a_time_changes_them() {
    let bench = Bench::new(Algorithm::EdDsa);
    let other = Folder::open(&bench.dir()).unwrap();
    other.lock().unwrap();
    let rotated = bench.rotate_to(&[Algorithm::EdDsa], &[Algorithm::EdDsa]);
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
#[case::two_active(
    "keys.json",
    r#"{"keys":[{"kid":"0000000000000000000000000000000000000000000","algorithm":"EdDSA","state":"active","created":1},
                {"kid":"1111111111111111111111111111111111111111111","algorithm":"EdDSA","state":"active","created":1}]}"#
)]
#[case::none_active(
    "keys.json",
    r#"{"keys":[{"kid":"0000000000000000000000000000000000000000000","algorithm":"EdDSA","state":"next","created":1}]}"#
)]
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
fn an_index_is_an_object() {
    let bench = Bench::new(Algorithm::EdDsa);
    let index = bench.dir().join("keys.json");
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    std::fs::write(&index, format!("[{}]", whole["keys"])).unwrap();
    assert!(matches!(bench.open(), Err(KeyFileError::Malformed { .. })), "its members in their order");
}

#[test]
fn missing_files_are_named() {
    let bench = Bench::new(Algorithm::EdDsa);
    std::fs::remove_file(bench.dir().join("seal.key")).unwrap();
    let message = bench.open().unwrap_err().to_string();
    assert!(message.contains("seal.key"), "{message}");
    assert!(matches!(
        FileKeys::open(KeyFolder { dir: "/nonexistent".into(), ..bench.folder() }, bench.clock),
        Err(KeyFileError::Io { .. })
    ));
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
    assert!(matches!(generate(&dir, &[Algorithm::EdDsa], &At::default(), &Broken), Err(KeyFileError::Entropy(_))));
    let refused = generate(&dir, &[Algorithm::Ps256], &At::default(), &SystemEntropy);
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
