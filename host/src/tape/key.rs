//! The operator's key that seals tapes: 32 bytes in a file that is nobody else's.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::clock::{Entropy, EntropyError};
use crate::hex;
use crate::secret::SecretKey;

/// Length of a nonce (RFC 5116 §5.1).
pub(super) const NONCE: usize = 12;
/// Length of a tag (RFC 5116 §5.2).
pub(super) const TAG: usize = 16;
/// Bytes of the key's digest that make its id.
const ID: usize = 8;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write the file, or it is not a regular one.
    #[error("{path}: mode {mode:04o}; it must be a regular file of mode 0600")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else owns the file.
    #[error("{0}: the file belongs to another user")]
    Owner(PathBuf),
    /// It is not a key.
    #[error("{0}: a key has exactly 32 bytes")]
    Length(PathBuf),
    /// No randomness to make one of.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// The key of tapes. Wiped when dropped, never printed.
#[derive(Debug, Clone)]
pub struct TapeKey(SecretKey);

impl TapeKey {
    /// Makes a key and writes it to a new file of mode 0600.
    ///
    /// # Errors
    /// Where there is such a file already, or it cannot be written.
    pub fn create(path: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; SecretKey::LENGTH]);
        entropy.fill(bytes.as_mut_slice())?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let written = file.and_then(|mut file| file.write_all(bytes.as_slice()).and_then(|()| file.sync_all()));
        written.map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        SecretKey::new(bytes.as_slice()).map(Self).ok_or_else(|| KeyError::Length(path.to_owned()))
    }

    /// Reads a key. Every check is made on the descriptor that is then read.
    ///
    /// # Errors
    /// Where the file cannot be read, is open to others or somebody else's, or is no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        // Not blocking, so that a pipe put there does not hold us up before it is refused.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(io)?;
        let found = file.metadata().map_err(io)?;
        let mode = found.permissions().mode() & 0o7777;
        if !found.is_file() || mode & 0o177 != 0 {
            return Err(KeyError::Mode { path: path.to_owned(), mode });
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(KeyError::Owner(path.to_owned()));
        }
        let bytes = read_all(file).map_err(io)?;
        SecretKey::new(&bytes).map(Self).ok_or_else(|| KeyError::Length(path.to_owned()))
    }

    /// Says which key it is, and nothing about it.
    pub fn id(&self) -> String {
        let digest = self.0.mac("tape-key-id", "");
        hex::encode(digest.get(..ID).unwrap_or_default())
    }

    /// Seals in place; answers the tag. `nonce` is random and never used twice: 96 bits are enough for 2^32 tapes of one key
    /// (NIST SP 800-38D §8.3).
    pub(super) fn seal(&self, nonce: [u8; NONCE], header: &[u8], bytes: &mut [u8]) -> Option<[u8; TAG]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher()?.seal_in_place_separate_tag(nonce, Aad::from(header), bytes).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Opens in place what ends with its tag; answers how many bytes there are in front of it.
    pub(super) fn open(&self, nonce: [u8; NONCE], header: &[u8], bytes: &mut [u8]) -> Option<usize> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.cipher()?.open_in_place(nonce, Aad::from(header), bytes).ok()?;
        Some(opened.len())
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        let key = self.0.derive("tape");
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).ok()?))
    }
}

/// One byte more than a key has, at most, in a buffer that does not grow.
fn read_all(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = SecretKey::LENGTH + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    struct Dry;

    impl Entropy for Dry {
        fn fill(&self, _bytes: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.key");
        assert!(matches!(TapeKey::create(&path, &Dry), Err(KeyError::Entropy(_))));
        let made = TapeKey::create(&path, &SystemEntropy).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!((made.id(), made.id().len()), (TapeKey::read(&path).unwrap().id(), 16));
        assert!(matches!(TapeKey::create(&path, &SystemEntropy), Err(KeyError::Io { .. })));
        assert_eq!(format!("{made:?}"), "TapeKey([redacted])");
    }

    #[test]
    fn what_is_open_to_others_or_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.key");
        assert!(matches!(TapeKey::read(&path), Err(KeyError::Io { .. })));
        for length in [0, 31, 33] {
            std::fs::write(&path, vec![1; length]).unwrap();
            set_mode(&path, 0o600);
            assert!(matches!(TapeKey::read(&path), Err(KeyError::Length(_))), "{length}");
        }
        std::fs::write(&path, [1; 32]).unwrap();
        for mode in [0o640, 0o604, 0o700] {
            set_mode(&path, mode);
            assert!(matches!(TapeKey::read(&path), Err(KeyError::Mode { mode: found, .. }) if found == mode), "{mode:o}");
        }
        set_mode(&path, 0o400);
        assert!(TapeKey::read(&path).is_ok());
        assert!(matches!(TapeKey::read(folder.path()), Err(KeyError::Mode { .. })));
    }

    #[test]
    fn somebody_elses_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.key");
        TapeKey::create(&path, &SystemEntropy).unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(65534), None).is_ok() {
            assert!(matches!(TapeKey::read(&path), Err(KeyError::Owner(_))));
        }
    }
}
