//! `keys.json`: which keys there are and in which state. The functions that change it.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::files::KeyFileError;
use super::folder::Folder;
use super::signing::SigningKey;
use crate::clock::{Clock, Entropy};
use crate::registry::Algorithm;
use crate::secret::SecretKey;

/// The index file.
pub(super) const INDEX: &str = "keys.json";
/// The key of pseudonyms.
pub(super) const PSEUDONYM: &str = "pseudonym.key";
/// The key other host keys are derived from.
pub(super) const SEAL: &str = "seal.key";
const MAX_INDEX: usize = 64 * 1024;

/// What a key is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, so that everybody knows it when it becomes active.
    Next,
    /// Signs.
    Active,
    /// Signs no more; what it signed is still verified.
    Retired,
}

/// One key of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// What it is there for.
    pub state: KeyState,
    /// When it was made, in Unix seconds.
    pub created: u64,
    /// When it was retired, in Unix seconds.
    pub retired: Option<u64>,
}

impl KeyInfo {
    /// The name of its file.
    pub(super) fn file(&self) -> String {
        format!("{}.pem", self.kid)
    }

    /// Whether something it signed may still live: `retention` is the longest life of a token and the leeway.
    pub(super) fn is_live(&self, now: u64, retention: Duration) -> bool {
        self.retired.is_none_or(|retired| now <= retired.saturating_add(retention.as_secs()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIndex {
    keys: Vec<RawKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    kid: String,
    algorithm: String,
    state: KeyState,
    created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<u64>,
}

/// Reads the index: exactly one active key, at most one next, names that are thumbprints and nothing else.
pub(super) fn read(folder: &Folder) -> Result<Vec<KeyInfo>, KeyFileError> {
    let malformed = |what| KeyFileError::Malformed { path: folder.file(INDEX), what };
    let raw: RawIndex = serde_json::from_slice(&folder.read(INDEX, MAX_INDEX)?).map_err(|_| malformed("it is not an index"))?;
    let mut keys: Vec<KeyInfo> = Vec::with_capacity(raw.keys.len());
    for key in raw.keys {
        let algorithm = Algorithm::named(&key.algorithm).ok_or_else(|| malformed("an algorithm is unknown"))?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if key.kid.len() != 43 || !key.kid.bytes().all(is_name) || keys.iter().any(|other| other.kid == key.kid) {
            return Err(malformed("a kid is not a thumbprint of its own"));
        }
        if (key.state == KeyState::Retired) != key.retired.is_some() {
            return Err(malformed("a key is retired without a time, or has a time without being retired"));
        }
        keys.push(KeyInfo { kid: key.kid, algorithm, state: key.state, created: key.created, retired: key.retired });
    }
    let count = |state| keys.iter().filter(|key| key.state == state).count();
    if count(KeyState::Active) != 1 || count(KeyState::Next) > 1 {
        return Err(malformed("there must be one active key and at most one next"));
    }
    Ok(keys)
}

fn write(folder: &Folder, keys: &[KeyInfo]) -> Result<(), KeyFileError> {
    let keys = keys.iter().map(|key| RawKey {
        kid: key.kid.clone(),
        algorithm: key.algorithm.name().to_owned(),
        state: key.state,
        created: key.created,
        retired: key.retired,
    });
    let text = serde_json::to_vec_pretty(&RawIndex { keys: keys.collect() })
        .map_err(|_| KeyFileError::Malformed { path: folder.file(INDEX), what: "it cannot be written" })?;
    folder.write(INDEX, &text)
}

fn add(folder: &Folder, algorithm: Algorithm, state: KeyState, now: u64, entropy: &dyn Entropy) -> Result<KeyInfo, KeyFileError> {
    let (key, pem) = SigningKey::generate(algorithm, entropy)?;
    let info = KeyInfo { kid: key.kid().to_owned(), algorithm, state, created: now, retired: None };
    folder.write(&info.file(), pem.as_bytes())?;
    Ok(info)
}

/// Fills a folder, made if it is missing: an active key, a next one, and the symmetric keys.
///
/// # Errors
/// Where there are keys already, or a file cannot be written.
pub fn generate(
    dir: &Path,
    algorithm: Algorithm,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Vec<KeyInfo>, KeyFileError> {
    let folder = Folder::create(dir)?;
    folder.lock()?;
    if folder.contains(INDEX)? {
        return Err(KeyFileError::Exists(folder.file(INDEX)));
    }
    for name in [PSEUDONYM, SEAL] {
        // One that is there already stays: pseudonyms made with it must keep their meaning.
        if !folder.contains(name)? {
            let mut bytes = Zeroizing::new([0_u8; SecretKey::LENGTH]);
            entropy.fill(&mut *bytes)?;
            folder.write(name, &*bytes)?;
        }
    }
    let now = clock.now().as_secs();
    let active = add(&folder, algorithm, KeyState::Active, now, entropy)?;
    let next = add(&folder, algorithm, KeyState::Next, now, entropy)?;
    // The index goes last: what it does not name does not exist.
    let keys = vec![active, next];
    write(&folder, &keys)?;
    Ok(keys)
}

/// The next key becomes active, the active one retires, a new next one is made (of `algorithm`, else as the last next one was).
/// What retired longer than `retention` ago is deleted.
///
/// # Errors
/// Where a file cannot be read or written; the keys are then as before.
pub fn rotate(
    dir: &Path,
    algorithm: Option<Algorithm>,
    retention: Duration,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Vec<KeyInfo>, KeyFileError> {
    let folder = Folder::open(dir)?;
    folder.lock()?;
    let now = clock.now().as_secs();
    let mut keys = read(&folder)?;
    let had_next = keys.iter().any(|key| key.state == KeyState::Next);
    let latest = keys.iter().find(|key| (key.state == KeyState::Next) == had_next && key.state != KeyState::Retired);
    let algorithm = algorithm.or(latest.map(|key| key.algorithm)).unwrap_or(Algorithm::EdDsa);
    for key in &mut keys {
        match key.state {
            KeyState::Active => (key.state, key.retired) = (KeyState::Retired, Some(now)),
            KeyState::Next => key.state = KeyState::Active,
            KeyState::Retired => {}
        }
    }
    if !had_next {
        keys.push(add(&folder, algorithm, KeyState::Active, now, entropy)?);
    }
    keys.push(add(&folder, algorithm, KeyState::Next, now, entropy)?);
    let (live, dead): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.is_live(now, retention));
    write(&folder, &live)?;
    for key in dead {
        folder.remove(&key.file())?;
    }
    Ok(live)
}

/// The keys of a folder.
///
/// # Errors
/// Where it cannot be read.
pub fn list(dir: &Path) -> Result<Vec<KeyInfo>, KeyFileError> {
    read(&Folder::open(dir)?)
}
