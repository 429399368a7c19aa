//! Authorization server metadata (RFC 8414 §2), also for clients that ask for OpenID Provider configuration.

use serde_json::{Value, json};

use super::token::TOKEN_EXCHANGE;

/// The document of this issuer.
pub(super) fn document(issuer: &str) -> Value {
    let base = issuer.trim_end_matches('/');
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{base}/oauth2/token"),
        "jwks_uri": format!("{base}/jwks.json"),
        "grant_types_supported": [TOKEN_EXCHANGE],
        // Required, and there is no authorization endpoint; an empty list would be left out (RFC 8414 §3.2).
        "response_types_supported": ["none"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_is_empty() {
        let document = document("https://a.example/t1/");
        let members = document.as_object().unwrap();
        assert!(members.values().all(|value| value.as_array().is_none_or(|list| !list.is_empty())), "{document}");
        assert_eq!(members["token_endpoint"], "https://a.example/t1/oauth2/token");
        assert_eq!(members["response_types_supported"], json!(["none"]));
    }
}
