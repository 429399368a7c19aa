//! The host's own memory of a permit, and the comparison of claims with it.

pub use crate::bindings::keys::Purpose;

/// What was approved. Covers claims once, within its time.
#[derive(Debug)]
pub struct Approval {
    used: bool,
}

/// Claims that an approval covers, as far as the audit record names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// `jti`.
    pub jti: String,
    /// `exp`.
    pub expires_at: u64,
}

/// Why claims are not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was used before.
    #[error("the approval was used before")]
    Used,
}

impl Approval {
    /// Uses the approval up for these claims, covered or not. `now` is in Unix seconds.
    ///
    /// # Errors
    /// Where it does not cover them.
    pub fn cover(&mut self, _purpose: Purpose, _claims: &str, _now: u64) -> Result<Covered, Refusal> {
        if std::mem::replace(&mut self.used, true) {
            return Err(Refusal::Used);
        }
        Ok(Covered { jti: String::new(), expires_at: 0 })
    }
}
