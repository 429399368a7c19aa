//! Our keys as PKCS#8 PEM files in a folder that is nobody else's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use standin_core::registry::Algorithm;
use tokio::sync::Mutex;

use super::folder::Folder;
use super::index::{self, Index};
pub use super::index::{KeyInfo, KeyState, Rotation, TAKE_UP, generate, list, rotate};
use super::jwk::{self, PublicKey};
pub use super::signing::SigningKeyError;
use super::signing::{self, SigningKey};
use super::{Keys, KeysError, VerifyingKey};
use crate::clock::{Clock, EntropyError};
use crate::guard::GuardError;
pub use crate::secret::SecretKey;

/// Why the keys are not there.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may enter the folder.
    #[error("{path}: mode {mode:04o} lets others in; it must be 0700")]
    FolderMode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else owns it.
    #[error("{0}: it belongs to another user")]
    Owner(PathBuf),
    /// Others may read or write the file, or it is not a regular one.
    #[error("{path}: mode {mode:04o}; it must be a regular file of mode 0600, 0400 or 0440")]
    FileMode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file does not say what it should.
    #[error("{path}: {what}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A key is not one, or could not be made.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// A key is not the one the index names.
    #[error("{0}: it is another key than the index names")]
    OtherKey(PathBuf),
    /// Others can put another file or folder in its place.
    #[error("{path}: {source}")]
    Unguarded {
        /// Which.
        path: PathBuf,
        /// How.
        source: GuardError,
    },
    /// The folder is filled from elsewhere.
    #[error("{0}: what is in it is swapped whole from outside (it has a link `..data`); change the keys where they come from")]
    Projected(PathBuf),
    /// An algorithm that is to be signed with has no active key.
    #[error("{path}: there is no active {algorithm} key: run `standin keys generate`")]
    NoActiveKey {
        /// The index.
        path: PathBuf,
        /// The algorithm's name.
        algorithm: &'static str,
    },
    /// There are keys already.
    #[error("{0}: there are keys already")]
    Exists(PathBuf),
    /// A look at the folder does not end.
    #[error("{0}: the folder does not answer")]
    Hangs(PathBuf),
    /// Somebody else is changing the keys.
    #[error("{0}: another process is changing the keys")]
    Busy(PathBuf),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// How often the index is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// One consistent set of keys, as it was when it was read.
///
/// What it was read from goes on changing: another process rotates, and other servers on the same folder take that up at once, at a
/// hangup, or later. So that a retired key is published and verifies for as long as something it signed may live, wherever that was
/// signed, two things hold. A set signs only while its index was seen unchanged within [`TAKE_UP`]; and a retired key's time runs from
/// `TAKE_UP` after the rotation, or after the index came here, or after this process stopped signing with it, whichever is last.
pub struct FileKeys {
    folder: KeyFolder,
    /// The active keys that sign, in the order of their algorithms: the first is the default.
    signing: Vec<SigningKey>,
    known: Vec<Known>,
    jwks: Arc<str>,
    pseudonym: SecretKey,
    seal: SecretKey,
    /// The index that was read.
    index: Arc<[u8]>,
    /// When the index was last looked at, and when it was last seen unchanged, both in seconds of the monotonic clock.
    looked: AtomicU64,
    seen: Arc<AtomicU64>,
    /// Whoever looks, to the end: a volume that hangs holds one thread and no more.
    looking: Arc<Mutex<()>>,
    clock: Arc<dyn Clock>,
}

/// Which keys, and what for.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    /// The folder.
    pub dir: PathBuf,
    /// What is signed with; the first is the default. Where this is empty, the keys verify only.
    pub algorithms: Vec<Algorithm>,
    /// The longest life of a token and the leeway: that long a key serves on after the last server has stopped signing with it.
    pub retention: Duration,
}

struct Known {
    info: KeyInfo,
    key: Arc<PublicKey>,
    jwk: Value,
}

impl FileKeys {
    /// Reads the keys of a folder.
    ///
    /// # Errors
    /// Where a file is missing, malformed, or open to others, or an algorithm has no active key.
    pub fn open(folder: KeyFolder, clock: Arc<dyn Clock>) -> Result<Self, KeyFileError> {
        Self::open_after(None, folder, clock)
    }

    /// The same, in place of keys that this process has signed with until now.
    ///
    /// # Errors
    /// As [`FileKeys::open`].
    pub fn open_after(before: Option<&Self>, folder: KeyFolder, clock: Arc<dyn Clock>) -> Result<Self, KeyFileError> {
        let opened = Folder::open(&folder.dir)?;
        let (now, monotonic) = (clock.now().as_secs(), clock.monotonic().as_secs());
        let Index { keys, text, written } = index::read(&opened)?;
        let mut active = Vec::new();
        let mut known = Vec::new();
        for mut info in keys {
            // Nobody who reads this folder knew of it before it was written here. A clock that goes wrong counts for nothing.
            let stopped = before.and_then(|before| before.stopped_signing(&info.kid, now)).into_iter();
            info.retired = info.retired.map(|at| stopped.chain([written].into_iter().filter(|at| *at <= now)).fold(at, u64::max));
            if !info.is_live(now, folder.retention) {
                continue;
            }
            let key = read_key(&opened, &info)?;
            let jwk = jwk::published(&info.kid, info.algorithm, key.parts());
            known.push(Known { key: Arc::new(key.public()?), jwk, info: info.clone() });
            if info.state == KeyState::Active {
                active.push(key);
            }
        }
        let mut signing = Vec::with_capacity(folder.algorithms.len());
        for algorithm in &folder.algorithms {
            let at = active.iter().position(|key| key.algorithm() == *algorithm);
            let missing = || KeyFileError::NoActiveKey { path: opened.file(index::INDEX), algorithm: algorithm.name() };
            signing.push(active.swap_remove(at.ok_or_else(missing)?));
        }
        Ok(Self {
            signing,
            jwks: set(known.iter()),
            known,
            pseudonym: secret(&opened, index::PSEUDONYM)?,
            seal: secret(&opened, index::SEAL)?,
            index: text.into(),
            looked: monotonic.into(),
            seen: Arc::new(monotonic.into()),
            looking: Arc::default(),
            folder,
            clock,
        })
    }

    /// The same keys as they are now.
    ///
    /// # Errors
    /// As [`FileKeys::open`].
    pub fn again(&self) -> Result<Self, KeyFileError> {
        Self::open_after(Some(self), self.folder.clone(), Arc::clone(&self.clock))
    }

    /// A host key for one purpose only, such as `image-cache` or `audit-head`: the same for the same folder, and unrelated to others.
    pub fn hmac_key(&self, purpose: &str) -> SecretKey {
        self.seal.derive(purpose)
    }

    /// Whether it is time to [look](FileKeys::look); says so to one of those who ask.
    pub fn is_due(&self) -> bool {
        let now = self.clock.monotonic().as_secs();
        let last = self.looked.load(Ordering::Relaxed);
        now.saturating_sub(last) >= LOOK.as_secs()
            && self.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether the index is still the one that was read. Nobody's worker waits for the folder, and the look goes on whoever gives up
    /// waiting for it.
    ///
    /// # Errors
    /// Where it cannot be read, or a look before has not come to its end.
    pub async fn look(&self) -> Result<bool, KeyFileError> {
        let dir = self.folder.dir.clone();
        let Ok(looking) = Arc::clone(&self.looking).try_lock_owned() else { return Err(KeyFileError::Hangs(dir)) };
        let now = self.clock.monotonic().as_secs();
        let (index, seen, path) = (Arc::clone(&self.index), Arc::clone(&self.seen), dir.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let _looking = looking;
            let is_same = index::text(&Folder::open(&path)?)? == *index;
            if is_same {
                seen.fetch_max(now, Ordering::Relaxed);
            }
            Ok(is_same)
        });
        looked.await.unwrap_or_else(|error| Err(KeyFileError::Io { path: dir, source: std::io::Error::other(error) }))
    }

    /// Whether the index was seen unchanged lately, so that what is active in it may sign.
    pub fn is_fresh(&self) -> bool {
        self.clock.monotonic().as_secs().saturating_sub(self.seen.load(Ordering::Relaxed)) <= index::TAKE_UP.as_secs()
    }

    /// When this process stopped signing with a key that is retired now, as far as it did.
    fn stopped_signing(&self, kid: &str, now: u64) -> Option<u64> {
        if self.signing.iter().any(|key| key.kid() == kid) {
            return Some(now);
        }
        self.known.iter().find(|known| known.info.kid == kid)?.info.retired
    }

    fn live(&self) -> impl Iterator<Item = &Known> {
        let now = self.clock.now().as_secs();
        self.known.iter().filter(move |known| known.info.is_live(now, self.folder.retention))
    }
}

fn read_key(folder: &Folder, info: &KeyInfo) -> Result<SigningKey, KeyFileError> {
    let path = folder.file(&info.file());
    let pem = folder.read(&info.file(), signing::MAX_PEM)?.bytes;
    let key = SigningKey::from_pem(info.algorithm, &pem).map_err(|error| match error {
        SigningKeyError::Malformed => KeyFileError::Malformed { path: path.clone(), what: "not a key of its algorithm" },
        SigningKeyError::Algorithm | SigningKeyError::Generation | SigningKeyError::Signing => error.into(),
    })?;
    if key.kid() == info.kid { Ok(key) } else { Err(KeyFileError::OtherKey(path)) }
}

/// A host key for one purpose, without reading the signing keys. See [`FileKeys::hmac_key`].
///
/// # Errors
/// Where the file is missing, malformed, or open to others.
pub fn hmac_key(dir: &Path, purpose: &str) -> Result<SecretKey, KeyFileError> {
    Ok(secret(&Folder::open(dir)?, index::SEAL)?.derive(purpose))
}

fn secret(folder: &Folder, name: &str) -> Result<SecretKey, KeyFileError> {
    let bytes = folder.read(name, SecretKey::LENGTH)?.bytes;
    SecretKey::new(&bytes).ok_or_else(|| KeyFileError::Malformed { path: folder.file(name), what: "it must have 32 bytes" })
}

fn set<'a>(keys: impl Iterator<Item = &'a Known>) -> Arc<str> {
    json!({ "keys": keys.map(|known| &known.jwk).collect::<Vec<_>>() }).to_string().into()
}

#[async_trait]
impl Keys for FileKeys {
    async fn sign(&self, algorithm: Option<Algorithm>, typ: &str, claims: &str) -> Result<String, KeysError> {
        // Whoever holds these keys looks at the folder often enough; where nobody did, it is done here.
        if !self.is_fresh() && !self.look().await.map_err(|error| KeysError::Unavailable(error.to_string()))? {
            return Err(KeysError::Unavailable("the keys were rotated, and the new ones were not taken up".to_owned()));
        }
        let mut keys = self.signing.iter();
        let key = match algorithm {
            None => keys.next(),
            Some(algorithm) => keys.find(|key| key.algorithm() == algorithm),
        };
        let jws = key.ok_or(KeysError::NoActiveKey)?.jws(typ, claims);
        jws.map_err(|error| KeysError::Unavailable(error.to_string()))
    }

    fn jwks(&self) -> Arc<str> {
        // A retired key may have run out since the set was read.
        if self.live().count() == self.known.len() { Arc::clone(&self.jwks) } else { set(self.live()) }
    }

    fn verifying_key(&self, kid: &str) -> Option<Arc<dyn VerifyingKey>> {
        let known = self.live().find(|known| known.info.kid == kid)?;
        Some(Arc::<PublicKey>::clone(&known.key))
    }

    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeysError> {
        Ok(BASE64URL.encode(self.pseudonym.mac(domain, value)))
    }
}

impl std::fmt::Debug for FileKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FileKeys").field("signing", &self.signing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
