//! Our keys as PKCS#8 PEM files in a folder that is nobody else's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use super::folder::Folder;
pub use super::index::{KeyInfo, KeyState, generate, list, rotate};
use super::jwk::{self, PublicKey};
pub use super::signing::SigningKeyError;
use super::signing::{self, SigningKey};
use super::{Keys, KeysError, VerifyingKey, index};
use crate::clock::{Clock, EntropyError};
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
    /// Somebody else owns the folder.
    #[error("{0}: the folder belongs to another user")]
    Owner(PathBuf),
    /// Others may read or write the file, or it is not a regular one.
    #[error("{path}: mode {mode:04o}; it must be a regular file of mode 0600")]
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
    /// There are keys already.
    #[error("{0}: there are keys already")]
    Exists(PathBuf),
    /// Somebody else is changing the keys.
    #[error("{0}: another process is changing the keys")]
    Busy(PathBuf),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// One consistent set of keys, as it was when it was read.
pub struct FileKeys {
    active: SigningKey,
    known: Vec<Known>,
    jwks: Arc<str>,
    pseudonym: SecretKey,
    seal: SecretKey,
    retention: Duration,
    clock: Arc<dyn Clock>,
}

struct Known {
    info: KeyInfo,
    key: Arc<PublicKey>,
    jwk: Value,
}

impl FileKeys {
    /// Reads the keys of a folder. `retention` is the longest life of a token and the leeway: that long a retired key serves on.
    ///
    /// # Errors
    /// Where a file is missing, malformed, or open to others.
    pub fn open(dir: &Path, retention: Duration, clock: Arc<dyn Clock>) -> Result<Self, KeyFileError> {
        let folder = Folder::open(dir)?;
        let now = clock.now().as_secs();
        let mut active = None;
        let mut known = Vec::new();
        for info in index::read(&folder)? {
            if !info.is_live(now, retention) {
                continue;
            }
            let path = folder.file(&info.file());
            let key =
                SigningKey::from_pem(info.algorithm, &folder.read(&info.file(), signing::MAX_PEM)?).map_err(
                    |error| match error {
                        SigningKeyError::Malformed => {
                            KeyFileError::Malformed { path: path.clone(), what: "not a key of its algorithm" }
                        }
                        other => other.into(),
                    },
                )?;
            if key.kid() != info.kid {
                return Err(KeyFileError::OtherKey(path));
            }
            let jwk = jwk::published(&info.kid, info.algorithm, key.parts());
            known.push(Known { key: Arc::new(key.public()?), jwk, info: info.clone() });
            if info.state == KeyState::Active {
                active = Some(key);
            }
        }
        let missing = || KeyFileError::Malformed { path: folder.file(index::INDEX), what: "there is no active key" };
        Ok(Self {
            active: active.ok_or_else(missing)?,
            jwks: set(known.iter()),
            known,
            pseudonym: secret(&folder, index::PSEUDONYM)?,
            seal: secret(&folder, index::SEAL)?,
            retention,
            clock,
        })
    }

    /// A host key for one purpose only, such as `image-cache` or `audit-head`: the same for the same folder, and unrelated to others.
    pub fn hmac_key(&self, purpose: &str) -> SecretKey {
        self.seal.derive(purpose)
    }

    fn live(&self) -> impl Iterator<Item = &Known> {
        let now = self.clock.now().as_secs();
        self.known.iter().filter(move |known| known.info.is_live(now, self.retention))
    }
}

/// A host key for one purpose, without reading the signing keys. See [`FileKeys::hmac_key`].
///
/// # Errors
/// Where the file is missing, malformed, or open to others.
pub fn hmac_key(dir: &Path, purpose: &str) -> Result<SecretKey, KeyFileError> {
    Ok(secret(&Folder::open(dir)?, index::SEAL)?.derive(purpose))
}

fn secret(folder: &Folder, name: &str) -> Result<SecretKey, KeyFileError> {
    let bytes = folder.read(name, SecretKey::LENGTH)?;
    SecretKey::new(&bytes).ok_or_else(|| KeyFileError::Malformed { path: folder.file(name), what: "it must have 32 bytes" })
}

fn set<'a>(keys: impl Iterator<Item = &'a Known>) -> Arc<str> {
    json!({ "keys": keys.map(|known| &known.jwk).collect::<Vec<_>>() }).to_string().into()
}

#[async_trait]
impl Keys for FileKeys {
    async fn sign(&self, typ: &str, claims: &str) -> Result<String, KeysError> {
        self.active.jws(typ, claims).map_err(|error| KeysError::Unavailable(error.to_string()))
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
        formatter.debug_struct("FileKeys").field("active", &self.active).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
