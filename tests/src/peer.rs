//! Whether a token is ours, as somebody sees it who has only the published key set: `jwt-simple`, which shares no code with us.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{
    ECDSAP256PublicKeyLike as _, ES256PublicKey, Ed25519PublicKey, EdDSAPublicKeyLike as _, NoCustomClaims, RS256PublicKey,
    RSAPublicKeyLike as _, Token, VerificationOptions,
};
use serde_json::Value;
use standin::Standin;

/// The key set as this host publishes it.
pub fn jwks(standin: &Standin) -> Value {
    serde_json::from_str(&standin.snapshot().keys.jwks()).expect("a key set")
}

/// Verifies with the published key that the token names.
///
/// # Errors
/// Why it does not verify.
pub fn verify(token: &str, jwks: &Value, options: VerificationOptions) -> Result<(), String> {
    let kid = Token::decode_metadata(token).map_err(|error| error.to_string())?.key_id().unwrap_or_default().to_owned();
    let keys = jwks.get("keys").and_then(Value::as_array).ok_or("no key set")?;
    let key = keys.iter().find(|key| key.get("kid").is_some_and(|known| known == &kid)).ok_or("an unknown key")?;
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)).map_err(|error| error.to_string());
    let options = Some(options);
    let verified = match text("alg") {
        "EdDSA" => Ed25519PublicKey::from_bytes(&bytes("x")?)
            .and_then(|key| key.verify_token::<NoCustomClaims>(token, options).map(drop)),
        "ES256" => {
            let point = [vec![4], bytes("x")?, bytes("y")?].concat();
            ES256PublicKey::from_bytes(&point).and_then(|key| key.verify_token::<NoCustomClaims>(token, options).map(drop))
        }
        "RS256" => RS256PublicKey::from_components(&bytes("n")?, &bytes("e")?)
            .and_then(|key| key.verify_token::<NoCustomClaims>(token, options).map(drop)),
        other => return Err(format!("the algorithm {other:?}")),
    };
    verified.map_err(|error| error.to_string())
}
