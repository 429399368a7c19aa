//! Secrets: zeroized on drop, printed as `[redacted]`, and with one way out.

use zeroize::Zeroize;

/// A string nobody may print, compare or serialize.
pub struct Secret(String);

impl Secret {
    /// Takes the string over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The one way out.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing() {
        let secret = Secret::new("hush".into());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.expose(), "hush");
    }
}
