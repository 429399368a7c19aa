//! How values with a secret or a token in them are printed: without it.

use std::fmt::{Debug, Formatter, Result};

use super::types::{ClientSecret, Credential, DpopProof, Minted, Token};

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

impl Debug for Token {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { value: _, token_type } = self;
        f.debug_struct("Token").field("value", &REDACTED).field("token_type", token_type).finish()
    }
}

impl Debug for ClientSecret {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { client_id, secret: _ } = self;
        f.debug_struct("ClientSecret").field("client_id", client_id).field("secret", &REDACTED).finish()
    }
}

impl Debug for Credential {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::ClientSecret(shown) => f.debug_tuple("ClientSecret").field(shown).finish(),
            Self::ClientAssertion(_) => f.debug_tuple("ClientAssertion").field(&REDACTED).finish(),
            Self::Bearer(_) => f.debug_tuple("Bearer").field(&REDACTED).finish(),
            Self::Certificate(verified) => f.debug_tuple("Certificate").field(verified).finish(),
            Self::Attested(client) => f.debug_tuple("Attested").field(client).finish(),
        }
    }
}

impl Debug for DpopProof {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { proof: _, method, url } = self;
        f.debug_struct("DpopProof").field("proof", &REDACTED).field("method", method).field("url", url).finish()
    }
}

impl Debug for Minted {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { token: _, issued_token_type, token_type, expires_in, scope, correlation_id, attributes } = self;
        f.debug_struct("Minted")
            .field("token", &REDACTED)
            .field("issued_token_type", issued_token_type)
            .field("token_type", token_type)
            .field("expires_in", expires_in)
            .field("scope", scope)
            .field("correlation_id", correlation_id)
            .field("attributes", attributes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_proves_anything_is_printed() {
        let hush = || "hush".to_owned();
        let token = Token { value: hush(), token_type: "urn:t".into() };
        let minted = Minted {
            token: hush(),
            issued_token_type: "urn:t".into(),
            token_type: "Bearer".into(),
            expires_in: 300,
            scope: vec!["read".into()],
            correlation_id: "c-1".into(),
            attributes: Vec::new(),
        };
        let secret = Credential::ClientSecret(ClientSecret { client_id: "svc".into(), secret: hush() });
        let printed = [
            format!("{token:?}"),
            format!("{minted:?}"),
            format!("{secret:?}"),
            format!("{:?}", Credential::ClientAssertion(hush())),
            format!("{:?}", Credential::Bearer(hush())),
            format!("{:?}", DpopProof { proof: hush(), method: "POST".into(), url: "https://x".into() }),
        ];
        for text in &printed {
            assert!(text.contains("[redacted]") && !text.contains("hush"), "{text}");
        }
        assert!(printed[1].contains("c-1") && printed[2].contains("svc") && printed[5].contains("https://x"), "{printed:?}");
        assert_eq!(format!("{:?}", Credential::Attested("svc".into())), "Attested(\"svc\")");
    }
}
