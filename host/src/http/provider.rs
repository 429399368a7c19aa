//! A remote authorization server we may talk to, and how we authenticate there.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use zeroize::Zeroizing;

use super::HttpError;

/// Why a provider is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Not an origin we may talk to.
    #[error("the origin is not usable: {0}")]
    Origin(#[from] HttpError),
    /// More than scheme, host and port.
    #[error("the origin has a path, a query or a fragment")]
    NotAnOrigin,
}

/// Our client credential there (RFC 6749 §2.3.1).
#[derive(Clone)]
pub struct ProviderCredential {
    client_id: String,
    secret: Zeroizing<String>,
}

impl ProviderCredential {
    /// A client id and its secret.
    pub fn new(client_id: &str, secret: Zeroizing<String>) -> Self {
        Self { client_id: client_id.to_owned(), secret }
    }
}

impl fmt::Debug for ProviderCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ProviderCredential({}, [redacted])", self.client_id)
    }
}

/// A configured provider.
#[derive(Debug, Clone)]
pub struct Provider {
    origin: Url,
    credential: Option<ProviderCredential>,
    limits: Option<(Duration, usize)>,
}

impl Provider {
    /// A provider at this origin: scheme, host and port, nothing else.
    ///
    /// # Errors
    /// Where the origin is none, or neither `https` nor `http` to loopback.
    pub fn new(origin: &str, credential: Option<ProviderCredential>) -> Result<Self, ProviderError> {
        let origin = super::allowed(origin)?;
        if origin.path() != "/" || origin.query().is_some() || origin.fragment().is_some() {
            return Err(ProviderError::NotAnOrigin);
        }
        Ok(Self { origin, credential, limits: None })
    }

    /// With limits of its own: each exchange ends within `timeout`, and no answer's body is longer than `max_body` bytes.
    pub fn with_limits(mut self, timeout: Duration, max_body: usize) -> Self {
        self.limits = Some((timeout, max_body));
        self
    }

    /// Its own limits, if it has any.
    pub(super) fn limits(&self) -> Option<(Duration, usize)> {
        self.limits
    }

    /// Whether a URL lies within the origin (RFC 6454 §4).
    pub(super) fn covers(&self, url: &Url) -> bool {
        url.origin() == self.origin.origin()
    }

    /// The value of `authorization`: RFC 6749 §2.3.1 has both parts form-encoded before they are joined.
    pub(super) fn authorization(&self) -> Option<String> {
        let credential = self.credential.as_ref()?;
        let mut pair = Zeroizing::new(String::with_capacity(credential.client_id.len() + credential.secret.len() * 3 + 64));
        form_encode(&credential.client_id, &mut pair);
        pair.push(':');
        form_encode(&credential.secret, &mut pair);
        Some(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
    }
}

fn form_encode(text: &str, into: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => into.push(byte.into()),
            b' ' => into.push('+'),
            _ => {
                into.push('%');
                into.extend(HEX.get(usize::from(byte >> 4)));
                into.extend(HEX.get(usize::from(byte & 15)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn credentials_are_form_encoded_and_not_printed() {
        let credential = ProviderCredential::new("svc a", Zeroizing::new("s:ü%/".to_owned()));
        assert!(format!("{credential:?}").contains("[redacted]"));
        let provider = Provider::new("https://idp.example.com", Some(credential)).unwrap();
        let expected = format!("Basic {}", STANDARD.encode("svc+a:s%3A%C3%BC%25%2F"));
        assert_eq!(provider.authorization(), Some(expected));
    }

    #[rstest]
    #[case("https://idp.example.com/token", true)]
    #[case("https://idp.example.com:443/token?x=1", true)]
    #[case("https://IDP.example.com/", true)]
    #[case("https://idp.example.com:444/token", false)]
    #[case("https://idp.example.com.evil.example/", false)]
    #[case("https://evil.example/https://idp.example.com/", false)]
    fn covers_its_origin_only(#[case] url: &str, #[case] covered: bool) {
        let provider = Provider::new("https://idp.example.com", None).unwrap();
        assert_eq!(provider.covers(&Url::parse(url).unwrap()), covered);
    }

    #[rstest]
    #[case("https://idp.example.com/path")]
    #[case("https://idp.example.com/?q")]
    #[case("https://idp.example.com/#f")]
    fn refuses_more_than_an_origin(#[case] origin: &str) {
        assert_eq!(Provider::new(origin, None).err(), Some(ProviderError::NotAnOrigin));
    }

    #[rstest]
    #[case("http://idp.example.com")]
    #[case("https://user@idp.example.com")]
    #[case("idp.example.com")]
    fn refuses_unsafe_origins(#[case] origin: &str) {
        assert!(matches!(Provider::new(origin, None), Err(ProviderError::Origin(HttpError::Refused(_)))));
    }
}
