//! The key set of an issuer: what is in it that verifies, and why the rest does not.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use standin_core::registry::Algorithm;

use super::{JwkError, PublicKey};
use crate::bounded;
use crate::json;
use crate::keys::VerifyingKey;

/// The longest JWK set, in bytes.
pub const MAX_SET_BYTES: usize = 256 * 1024;
/// The most keys in a JWK set.
pub const MAX_SET_KEYS: usize = 100;
/// As much of a `kid` is shown.
const SHOWN_KID: usize = 64;

/// What a set has for one header.
#[derive(Debug, Clone)]
pub enum Picked {
    /// This key.
    Key(Arc<dyn VerifyingKey>),
    /// There is a key of this name, but not for this algorithm.
    Misfit,
    /// There is none, or more than one.
    None,
}

/// A key of a set that verifies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the set, counted from 1.
    pub at: usize,
    /// Its name, as far as it has one that can be shown.
    pub kid: Option<String>,
    /// Why.
    pub why: JwkError,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kid, why } = self;
        match kid {
            Some(kid) => write!(formatter, "key {at} ({kid}): {why}"),
            None => write!(formatter, "key {at}: {why}"),
        }
    }
}

/// The keys of an issuer.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Arc<PublicKey>>,
    left_out: Vec<LeftOut>,
}

impl KeySet {
    /// Reads a JWK set. Keys that may not be used are left out (RFC 7517 §5); the same key twice is one key.
    ///
    /// # Errors
    /// Where it is none, or too long.
    pub fn parse(json: &[u8]) -> Result<Self, JwkError> {
        #[derive(Deserialize)]
        struct RawSet {
            keys: Vec<Value>,
        }
        if json.len() > MAX_SET_BYTES {
            return Err(JwkError::TooLong);
        }
        let raw: RawSet = json::from_slice(bounded::without_mark(json)).map_err(|_| JwkError::Malformed)?;
        if raw.keys.len() > MAX_SET_KEYS {
            return Err(JwkError::TooLong);
        }
        let mut keys: Vec<PublicKey> = Vec::with_capacity(raw.keys.len());
        let mut left_out = Vec::new();
        for (index, value) in raw.keys.into_iter().enumerate() {
            let kid = value.get("kid").and_then(Value::as_str).map(shown);
            match json::from_value(value).map_err(|_| JwkError::Malformed).and_then(PublicKey::from_raw) {
                Ok(key) => match keys.iter_mut().find(|known| known.kid == key.kid && known.thumbprint == key.thumbprint) {
                    Some(known) => known.merge(key),
                    None => keys.push(key),
                },
                Err(why) => left_out.push(LeftOut { at: index + 1, kid, why }),
            }
        }
        Ok(Self { keys: keys.into_iter().map(Arc::new).collect(), left_out })
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether one of them verifies with one of these algorithms.
    pub fn serves(&self, algorithms: &[Algorithm]) -> bool {
        self.keys.iter().any(|key| key.algorithms.iter().any(|algorithm| algorithms.contains(algorithm)))
    }

    /// The others.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The key of this `kid`; without one, the only key that fits.
    pub fn pick(&self, kid: Option<&str>, algorithm: Algorithm) -> Picked {
        let named = || self.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        let mut fitting = named().filter(|key| key.algorithms.contains(&algorithm));
        match fitting.next() {
            // Under whatever names: the same key written twice is one key.
            Some(key) if fitting.all(|other| other.thumbprint == key.thumbprint) => Picked::Key(Arc::<PublicKey>::clone(key)),
            Some(_) => Picked::None,
            None if kid.is_some() && named().next().is_some() => Picked::Misfit,
            None => Picked::None,
        }
    }
}

/// A name somebody else chose, bounded and without anything that a terminal would obey.
fn shown(kid: &str) -> String {
    kid.escape_debug().take(SHOWN_KID).collect()
}
