//! Authorization server metadata (RFC 8414 §2), also for clients that ask for OpenID Provider configuration.

use serde_json::{Map, Value, json};

use super::token::TOKEN_EXCHANGE;

/// The document of this issuer, whose keys are these (a JWK set).
pub(super) fn document(issuer: &str, jwks: &str) -> Value {
    let base = issuer.trim_end_matches('/');
    let mut document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{base}/oauth2/token"),
        "jwks_uri": format!("{base}/jwks.json"),
        "grant_types_supported": [TOKEN_EXCHANGE],
        // Required, and there is no authorization endpoint; an empty list would be left out (RFC 8414 §3.2).
        "response_types_supported": ["none"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
    });
    let algorithms = algorithms(jwks);
    // No member where nothing is known: a list that is empty would say that nothing is ever signed.
    if let (Some(members), false) = (document.as_object_mut(), algorithms.is_empty()) {
        members.insert("id_token_signing_alg_values_supported".into(), algorithms.into());
    }
    document
}

/// What live tokens may be signed with: the algorithms of the published keys, each once. RFC 8414 has no member for access tokens;
/// verifiers that configure themselves from this document take the one for ID tokens.
fn algorithms(jwks: &str) -> Vec<Value> {
    let set: Map<String, Value> = serde_json::from_str(jwks).unwrap_or_default();
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut algorithms: Vec<Value> = Vec::new();
    for algorithm in keys.iter().filter_map(|key| key.get("alg")).filter(|algorithm| algorithm.is_string()) {
        if !algorithms.contains(algorithm) {
            algorithms.push(algorithm.clone());
        }
    }
    algorithms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_in_use_are_those_of_the_published_keys() {
        let set = r#"{"keys":[{"alg":"ES256"},{"alg":"EdDSA"},{"alg":"ES256"},{"kty":"RSA"},{"alg":1}]}"#;
        assert_eq!(document("https://a.example", set)["id_token_signing_alg_values_supported"], json!(["ES256", "EdDSA"]));
        for nothing in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[{"kty":"RSA"}]}"#] {
            assert!(document("https://a.example", nothing).get("id_token_signing_alg_values_supported").is_none(), "{nothing}");
        }
    }

    #[test]
    fn no_list_is_empty() {
        let document = document("https://a.example/t1/", "{}");
        let members = document.as_object().unwrap();
        assert!(members.values().all(|value| value.as_array().is_none_or(|list| !list.is_empty())), "{document}");
        assert_eq!(members["token_endpoint"], "https://a.example/t1/oauth2/token");
        assert_eq!(members["response_types_supported"], json!(["none"]));
    }
}
