//! `keys.json`: which keys there are and in which state. The functions that change it.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use standin_core::registry::Algorithm;
use zeroize::Zeroizing;

use super::files::KeyFileError;
use super::folder::{Folder, Opened};
use super::signing::SigningKey;
use crate::clock::{Clock, Entropy};
use crate::json;
use crate::secret::SecretKey;

/// The index file.
pub(super) const INDEX: &str = "keys.json";
/// The key of pseudonyms.
pub(super) const PSEUDONYM: &str = "pseudonym.key";
/// The key other host keys are derived from.
pub(super) const SEAL: &str = "seal.key";
const MAX_INDEX: usize = 64 * 1024;
/// How long after a rotation the last server signs with what was retired. Each looks at the index more often than this, and signs with
/// nothing that it has not seen there for this long; see [`FileKeys`](super::files::FileKeys).
pub const TAKE_UP: Duration = Duration::from_secs(300);

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

    /// Whether something it signed may still live: `retention` is the longest life of a token and the leeway, which begins when the
    /// last server has stopped signing with it.
    pub(super) fn is_live(&self, now: u64, retention: Duration) -> bool {
        let lives_on = retention.saturating_add(TAKE_UP).as_secs();
        self.retired.is_none_or(|retired| now <= retired.saturating_add(lives_on))
    }

    fn is(&self, algorithm: Algorithm, state: KeyState) -> bool {
        self.algorithm == algorithm && self.state == state
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

/// The index as it was read.
pub(super) struct Index {
    pub(super) keys: Vec<KeyInfo>,
    /// Its bytes, to see later whether it is still the same.
    pub(super) text: Vec<u8>,
    /// When it was last written, in Unix seconds.
    pub(super) written: u64,
}

/// The bytes of the index.
pub(super) fn text(folder: &Folder) -> Result<Vec<u8>, KeyFileError> {
    Ok(folder.read(INDEX, MAX_INDEX)?.bytes.to_vec())
}

/// Reads the index: of each algorithm one active key and one next key at most, names that are thumbprints and nothing else.
pub(super) fn read(folder: &Folder) -> Result<Index, KeyFileError> {
    let malformed = |what| KeyFileError::Malformed { path: folder.file(INDEX), what };
    let Opened { bytes, written } = folder.read(INDEX, MAX_INDEX)?;
    let raw: RawIndex = json::from_slice(&bytes).map_err(|_| malformed("it is not an index"))?;
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
        if key.state != KeyState::Retired && keys.iter().any(|other| other.is(algorithm, key.state)) {
            return Err(malformed("there must be one active key and one next key of an algorithm at most"));
        }
        keys.push(KeyInfo { kid: key.kid, algorithm, state: key.state, created: key.created, retired: key.retired });
    }
    if !keys.iter().any(|key| key.state == KeyState::Active) {
        return Err(malformed("there is no active key"));
    }
    Ok(Index { keys, text: bytes.to_vec(), written })
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

/// What these algorithms lack of an active key and a next one each.
fn missing(keys: &[KeyInfo], algorithms: &[Algorithm]) -> Vec<(Algorithm, KeyState)> {
    let wanted = algorithms.iter().flat_map(|algorithm| [KeyState::Active, KeyState::Next].map(|state| (*algorithm, state)));
    let mut missing = Vec::new();
    for (algorithm, state) in wanted {
        if !missing.contains(&(algorithm, state)) && !keys.iter().any(|key| key.is(algorithm, state)) {
            missing.push((algorithm, state));
        }
    }
    missing
}

/// Fills a folder, made if it is missing: an active key and a next one of each of these algorithms, and the symmetric keys. What is
/// there stays, so that an algorithm that is new gets its keys, is published, and signs when an audience asks for it.
///
/// # Errors
/// Where there are all of these keys already, or a file cannot be written.
pub fn generate(
    dir: &Path,
    algorithms: &[Algorithm],
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Vec<KeyInfo>, KeyFileError> {
    let folder = Folder::create(dir)?;
    folder.lock()?;
    let mut keys = if folder.contains(INDEX)? { read(&folder)?.keys } else { Vec::new() };
    let missing = missing(&keys, algorithms);
    if missing.is_empty() {
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
    for (algorithm, state) in missing {
        keys.push(add(&folder, algorithm, state, now, entropy)?);
    }
    // The index goes last: what it does not name does not exist.
    write(&folder, &keys)?;
    Ok(keys)
}

/// What a rotation is about.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    /// The algorithms whose keys are rotated.
    pub rotated: &'a [Algorithm],
    /// The algorithms that are signed with. Active keys of others retire, next ones go.
    pub signing: &'a [Algorithm],
    /// The longest life of a token and the leeway. What retired so long before, and [`TAKE_UP`] besides, is deleted.
    pub retention: Duration,
}

/// Of each algorithm, the next key becomes active, the active one retires, a new next one is made.
///
/// # Errors
/// Where a file cannot be read or written; the keys are then as before.
pub fn rotate(
    dir: &Path,
    rotation: Rotation<'_>,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Vec<KeyInfo>, KeyFileError> {
    let folder = Folder::open(dir)?;
    folder.lock()?;
    let now = clock.now().as_secs();
    let mut keys = read(&folder)?.keys;
    let mut dead = Vec::new();
    for key in &mut keys {
        let is_dropped = !rotation.signing.contains(&key.algorithm);
        if !is_dropped && !rotation.rotated.contains(&key.algorithm) {
            continue;
        }
        match key.state {
            KeyState::Active => (key.state, key.retired) = (KeyState::Retired, Some(now)),
            // It has signed nothing.
            KeyState::Next if is_dropped => dead.push(key.clone()),
            KeyState::Next => key.state = KeyState::Active,
            KeyState::Retired => {}
        }
    }
    for (algorithm, state) in missing(&keys, rotation.rotated) {
        keys.push(add(&folder, algorithm, state, now, entropy)?);
    }
    dead.extend(keys.iter().filter(|key| !key.is_live(now, rotation.retention)).cloned());
    keys.retain(|key| !dead.contains(key));
    write(&folder, &keys)?;
    for key in dead {
        folder.remove(&key.file())?;
    }
    Ok(keys)
}

/// The keys of a folder.
///
/// # Errors
/// Where it cannot be read.
pub fn list(dir: &Path) -> Result<Vec<KeyInfo>, KeyFileError> {
    Ok(read(&Folder::open(dir)?)?.keys)
}
