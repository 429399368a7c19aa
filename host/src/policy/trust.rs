//! Which modules may become live: a digest that is pinned, keys that count, and a version that only goes up.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::package::{PackageError, PackageManifest};
use super::signature::{SignatureError, TrustedKeys};
use crate::hex;
use crate::sqlite::{Database, SqliteError};

/// Why a module may not become live.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Another file than the one that is pinned.
    #[error("the module's digest is {found}, and `digest` pins {pinned}")]
    Digest {
        /// What `digest` says.
        pinned: String,
        /// The file's.
        found: String,
    },
    /// Nobody who counts signed it as it is.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What it says of itself cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A later one was live already.
    #[error("{} is older than version {floor}, which was live already; `standin policy rollback` allows it", version(*.found))]
    Older {
        /// The highest version that was ever live.
        floor: u64,
        /// The module's; `None` where it has none.
        found: Option<u64>,
    },
    /// The versions that were live cannot be read or written.
    #[error("the versions that were live: {0}")]
    Floor(#[from] SqliteError),
}

fn version(found: Option<u64>) -> String {
    found.map_or_else(|| "the module has no version, which".to_owned(), |found| format!("the module's version {found}"))
}

/// What is asked of a module before it is even compiled.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Keys of which one has to have signed it; without any, nobody has to.
    pub keys: TrustedKeys,
    /// The SHA-256 it has to have.
    pub digest: Option<[u8; 32]>,
}

impl Trust {
    /// Holds the module against digest and keys, and reads its manifest.
    ///
    /// # Errors
    /// Where it is not the pinned file, or no trusted key signed it as it is.
    pub fn check(&self, wasm: &[u8]) -> Result<Option<PackageManifest>, TrustError> {
        let found = digest(&SHA256, wasm);
        if let Some(pinned) = self.digest.filter(|pinned| found.as_ref() != pinned) {
            return Err(TrustError::Digest { pinned: hex::encode(&pinned), found: hex::encode(found.as_ref()) });
        }
        if !self.keys.is_empty() {
            self.keys.verify(wasm)?;
        }
        // Read only now: what nobody vouches for is not looked into further than it has to be.
        Ok(PackageManifest::of(wasm)?)
    }
}

/// The highest version that was ever live in a slot.
#[derive(Debug)]
pub struct Floor<'a> {
    database: &'a Database,
    slot: &'a str,
}

impl<'a> Floor<'a> {
    /// Kept in this database.
    pub fn new(database: &'a Database, slot: &'a str) -> Self {
        Self { database, slot }
    }

    /// The version; `None` where no module with a version was ever live.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn get(&self) -> Result<Option<u64>, SqliteError> {
        read(&self.database.connect()?, self.slot)
    }

    /// Refuses a module that is older.
    ///
    /// # Errors
    /// Where it is, or the database cannot be read.
    pub fn check(&self, found: Option<u64>) -> Result<(), TrustError> {
        match self.get()? {
            Some(floor) if found.is_none_or(|found| found < floor) => Err(TrustError::Older { floor, found }),
            Some(_) | None => Ok(()),
        }
    }

    /// A module became live: none that is older may, from now on.
    ///
    /// # Errors
    /// Where a later one became live meanwhile, or the database cannot be written.
    pub fn raise(&self, found: u64) -> Result<(), TrustError> {
        let mut connection = self.database.connect()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SqliteError::Query)?;
        if let Some(floor) = read(&transaction, self.slot)?.filter(|floor| found < *floor) {
            return Err(TrustError::Older { floor, found: Some(found) });
        }
        write(&transaction, self.slot, found)?;
        Ok(transaction.commit().map_err(SqliteError::Query)?)
    }

    /// Lets this version be live, and whatever is later. Returns what was the floor.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub fn roll_back(&self, to: u64) -> Result<Option<u64>, SqliteError> {
        let mut connection = self.database.connect()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = read(&transaction, self.slot)?;
        write(&transaction, self.slot, to)?;
        transaction.commit()?;
        Ok(before)
    }
}

fn read(connection: &Connection, slot: &str) -> Result<Option<u64>, SqliteError> {
    let mut query = connection.prepare_cached("SELECT version FROM policy_floor WHERE slot = ?1")?;
    let found: Option<i64> = query.query_row(params![slot], |row| row.get(0)).optional()?;
    Ok(found.map(i64::cast_unsigned))
}

fn write(connection: &Connection, slot: &str, version: u64) -> Result<(), SqliteError> {
    let upsert = "INSERT INTO policy_floor (slot, version) VALUES (?1, ?2) ON CONFLICT (slot) DO UPDATE SET version = ?2";
    // SQLite knows 63 bits; no version has more.
    connection.execute(upsert, params![slot, i64::try_from(version).unwrap_or(i64::MAX)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::signature::{generate, sign};

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_digest_pins_one_file() {
        let pinned: [u8; 32] = digest(&SHA256, EMPTY).as_ref().try_into().unwrap();
        let trust = Trust { digest: Some(pinned), ..Trust::default() };
        assert!(trust.check(EMPTY).unwrap().is_none());
        let other = [EMPTY, &[0, 2, 1, b'a']].concat();
        assert!(matches!(trust.check(&other), Err(TrustError::Digest { .. })));
        assert!(Trust::default().check(&other).is_ok());
    }

    #[test]
    fn with_keys_a_module_has_to_be_signed() {
        let ((secret, public), (another, _)) = (generate(), generate());
        let mut trust = Trust::default();
        trust.keys.add(&public).unwrap();
        assert!(matches!(trust.check(EMPTY), Err(TrustError::Signature(SignatureError::Unsigned))));
        assert!(trust.check(&sign(EMPTY, &secret).unwrap()).is_ok());
        let wrong = trust.check(&sign(EMPTY, &another).unwrap());
        assert!(matches!(wrong, Err(TrustError::Signature(SignatureError::Untrusted(_)))));
    }

    #[test]
    fn a_version_goes_down_by_hand_only() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(&folder.path().join("standin.db")).unwrap();
        let floor = Floor::new(&database, "platform");
        assert!(floor.get().unwrap().is_none() && floor.check(None).is_ok());
        floor.raise(3).unwrap();
        floor.raise(3).unwrap();
        assert!(floor.check(Some(3)).is_ok() && floor.check(Some(4)).is_ok());
        assert!(matches!(floor.check(Some(2)), Err(TrustError::Older { floor: 3, found: Some(2) })));
        assert!(matches!(floor.check(None), Err(TrustError::Older { floor: 3, found: None })));
        assert!(matches!(floor.raise(2), Err(TrustError::Older { .. })));
        assert_eq!(floor.roll_back(1).unwrap(), Some(3));
        assert!(floor.check(Some(2)).is_ok());
        // Every slot has its own.
        assert!(Floor::new(&database, "tenant:acme").get().unwrap().is_none());
        let older = TrustError::Older { floor: 3, found: None }.to_string();
        assert!(older.contains("has no version, which is older than version 3"), "{older}");
    }
}
