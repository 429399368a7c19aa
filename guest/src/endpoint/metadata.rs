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
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [],
    })
}
