//! Symmetric keys in memory.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::{Zeroize, Zeroizing};

/// 32 secret bytes. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; Self::LENGTH]>);

impl SecretKey {
    /// How many bytes a key has.
    pub const LENGTH: usize = 32;

    /// A key of exactly these bytes; `None` if they are not [`Self::LENGTH`] many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; Self::LENGTH]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// The bytes: the one way out.
    pub fn expose(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// A key for one purpose only, which says nothing about this one.
    pub fn derive(&self, purpose: &str) -> Self {
        let mut tag = self.mac(purpose, "");
        let derived = Self(Zeroizing::new(tag));
        tag.zeroize();
        derived
    }

    /// HMAC-SHA256 of `value` within `domain`. The domain's length goes first, so that no two pairs run together.
    pub fn mac(&self, domain: &str, value: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.expose());
        let mut mac = hmac::Context::with_key(&key);
        mac.update(&(domain.len() as u64).to_be_bytes());
        mac.update(domain.as_bytes());
        mac.update(value.as_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(mac.sign().as_ref());
        out
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_exactly_32_bytes_and_prints_none() {
        assert!(SecretKey::new(&[1; 31]).is_none());
        assert!(SecretKey::new(&[1; 33]).is_none());
        let key = SecretKey::new(&[7; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "[redacted]");
        assert_eq!(key.expose(), &[7; 32]);
    }

    #[test]
    fn domains_and_values_do_not_run_together() {
        let key = SecretKey::new(&[7; 32]).unwrap();
        assert_ne!(key.mac("ab", "c"), key.mac("a", "bc"));
        assert_ne!(key.derive("image").expose(), key.derive("audit").expose());
    }
}
