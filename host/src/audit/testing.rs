//! What the tests of the log share: a clock that stands still, keys, a sink that fails, and logs to look at.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::file::{Displaced, LogFile};
use super::line::Mark;
use super::writer::Sink;
use super::{AuditLog, Durability, LogOptions, SealKey};
use crate::clock::Clock;
use crate::keys::{Keys, KeysError, VerifyingKey};
use crate::record::Event;
use crate::registry::Algorithm;

/// Waits for it, not for ever.
pub(super) async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain");
}

/// A clock that a test moves.
#[derive(Debug)]
pub(super) struct TestClock(AtomicU64);

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_767_225_600_000_000)))
    }

    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.now()
    }
}

/// One Ed25519 key.
#[derive(Debug)]
pub(super) struct TestKeys {
    key: Ed25519KeyPair,
    fails: AtomicBool,
}

impl TestKeys {
    pub(super) fn new(seed: u8) -> Arc<Self> {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Arc::new(Self { key, fails: AtomicBool::new(false) })
    }

    pub(super) fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    pub(super) fn jws(&self, typ: &str, claims: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"EdDSA\",\"typ\":\"{typ}\"}}"));
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub(super) fn has_signed(&self, jws: &str) -> bool {
        let Some((signed, signature)) = jws.rsplit_once('.') else { return false };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, self.key.public_key()).verify(signed.as_bytes(), &signature).is_ok()
    }
}

#[async_trait]
impl Keys for TestKeys {
    async fn sign(&self, _algorithm: Option<Algorithm>, typ: &str, claims: &str) -> Result<String, KeysError> {
        if self.fails.load(Ordering::Relaxed) {
            Err(KeysError::Unavailable("the test says so".to_owned()))
        } else {
            Ok(self.jws(typ, claims))
        }
    }

    fn jwks(&self) -> Arc<str> {
        "{\"keys\":[]}".into()
    }

    fn verifying_key(&self, _kid: &str) -> Option<Arc<dyn VerifyingKey>> {
        None
    }

    fn pseudonym(&self, _domain: &str, _value: &str) -> Result<String, KeysError> {
        Err(KeysError::Unavailable("the test says so".to_owned()))
    }
}

/// A file that fails as told.
#[derive(Debug)]
pub(super) struct FaultySink {
    file: LogFile,
    path: PathBuf,
    faults: Mutex<Faults>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Faults {
    /// The disk takes this many more bytes.
    pub(super) room: Option<usize>,
    pub(super) sync: bool,
    pub(super) truncate: bool,
    /// It takes no more than this at a time.
    pub(super) most: Option<usize>,
    /// Somebody moves the file after the next write.
    pub(super) moves: bool,
}

impl FaultySink {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        let file = LogFile::new(super::file::open(path, false).unwrap(), path).unwrap();
        Arc::new(Self { file, path: path.to_owned(), faults: Mutex::default() })
    }

    pub(super) fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }
}

impl Sink for FaultySink {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut faults = self.faults.lock().unwrap();
        let most = faults.most.unwrap_or(bytes.len()).min(faults.room.unwrap_or(bytes.len())).min(bytes.len());
        if faults.room == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.file.write(&bytes[..most])?;
        if let Some(room) = &mut faults.room {
            *room -= written;
        }
        if std::mem::take(&mut faults.moves) {
            std::fs::rename(&self.path, self.path.with_extension("moved")).unwrap();
        }
        Ok(written)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if self.faults.lock().unwrap().truncate { Err(io::ErrorKind::Other.into()) } else { self.file.truncate(len) }
    }

    fn sync(&self) -> io::Result<()> {
        if self.faults.lock().unwrap().sync { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn stands(&self, len: u64) -> Result<(), Displaced> {
        self.file.stands(len)
    }

    fn holds(&self, base: Mark, at: Mark) -> io::Result<bool> {
        self.file.holds(base, at)
    }
}

/// A file on a mount that hangs when it is told to: until it is let go, or for longer than any test waits.
#[derive(Debug)]
pub(super) struct HangingSink {
    file: LogFile,
    /// Whether it hangs, and how many wait in it.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl HangingSink {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        let file = LogFile::new(super::file::open(path, false).unwrap(), path).unwrap();
        Arc::new(Self { file, state: Mutex::default(), changed: Condvar::new() })
    }

    pub(super) fn hang(&self, hangs: bool) {
        self.state.lock().unwrap().0 = hangs;
        self.changed.notify_all();
    }

    pub(super) fn holds_somebody(&self) -> bool {
        self.state.lock().unwrap().1 > 0
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        let (mut state, _) = self.changed.wait_timeout_while(state, Duration::from_secs(15), |state| state.0).unwrap();
        state.1 -= 1;
    }
}

impl Sink for HangingSink {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.pass();
        self.file.write(bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn stands(&self, len: u64) -> Result<(), Displaced> {
        self.file.stands(len)
    }

    fn holds(&self, base: Mark, at: Mark) -> io::Result<bool> {
        self.pass();
        self.file.holds(base, at)
    }

    fn put_back(&self) -> io::Result<Option<()>> {
        self.file.put_back()
    }
}

/// A folder with a log, and all it takes to open it.
pub(super) struct Place {
    pub(super) _folder: tempfile::TempDir,
    pub(super) path: PathBuf,
    pub(super) seal: SealKey,
    pub(super) keys: Arc<TestKeys>,
    pub(super) clock: Arc<TestClock>,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        Self { _folder: folder, path, seal: SealKey::new([9; 32]), keys: TestKeys::new(1), clock: TestClock::new() }
    }

    pub(super) fn open(&self, durability: Durability) -> Result<AuditLog, super::OpenError> {
        self.open_with(LogOptions { durability, ..LogOptions::default() })
    }

    pub(super) fn open_with(&self, options: LogOptions) -> Result<AuditLog, super::OpenError> {
        AuditLog::open(&self.path, &self.seal, Arc::clone(&self.keys) as _, Arc::clone(&self.clock) as _, options)
    }

    /// The folder as a crash at this moment leaves it.
    pub(super) fn crashed(&self) -> Self {
        let other = Self { keys: Arc::clone(&self.keys), clock: Arc::clone(&self.clock), ..Self::new() };
        std::fs::copy(&self.path, &other.path).unwrap();
        std::fs::copy(self.head(), other.head()).unwrap();
        other
    }

    pub(super) fn head(&self) -> PathBuf {
        super::head::path_of(&self.path)
    }

    pub(super) fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<serde_json::Value> {
        // A line that is being written is not there yet.
        let text = self.text();
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Appends raw bytes, as a write that was cut short or a forger does.
    pub(super) fn add(&self, bytes: &[u8]) {
        io::Write::write_all(&mut File::options().append(true).open(&self.path).unwrap(), bytes).unwrap();
    }

    pub(super) fn verify(&self) -> super::verify::Report {
        self.verify_at(&self.path)
    }

    pub(super) fn verify_at(&self, path: &Path) -> super::verify::Report {
        let signature = |jws: &str| self.keys.has_signed(jws);
        let options = super::verify::VerifyOptions {
            signature: Some(&signature),
            seal: Some(&self.seal),
            ..super::verify::VerifyOptions::default()
        };
        super::verify::verify(path, &options).unwrap()
    }
}

pub(super) fn event(number: usize) -> Event {
    Event { json: format!("{{\"outcome\":\"permit\",\"n\":{number}}}"), anonymous: None }
}

pub(super) fn anonymous(code: &str) -> Event {
    Event { json: "{\"outcome\":\"deny\"}".to_owned(), anonymous: Some(code.to_owned()) }
}
