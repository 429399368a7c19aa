//! A compact JWS (RFC 7515 §3.1) as a stranger hands it in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use standin::bindings::keys::KeySource;
use standin::keys::VerifyError;
use standin_domain::claims::Claims;

use crate::token;
use crate::world::World;

/// What is taken apart is three parts in their only spelling, with a header without critical extensions and claims that the component
/// reads too; and under a right signature both take it for the same.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let world = World::get();
    for source in [KeySource::SubjectIssuer, KeySource::CallerIssuer] {
        let verified = world.verified(text, &source);
        if matches!(verified, Err(VerifyError::Malformed(_))) {
            continue;
        }
        let parts: Vec<_> = text.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else { panic!("{} parts", parts.len()) };
        let header: Value = serde_json::from_slice(&decoded(header)).unwrap_or_else(|error| panic!("{error}"));
        assert!(header.get("alg").is_some_and(Value::is_string) && header.get("crit").is_none(), "{header}");
        // Nobody looks at the signature of an algorithm that has no name here, such as `none`.
        assert!(matches!(verified, Err(VerifyError::Algorithm)) || !decoded(signature).is_empty());
        let claims = String::from_utf8(decoded(claims)).unwrap_or_else(|error| panic!("{error}"));
        assert!(Claims::parse(&claims, world.max_depth()).is_ok(), "only the host reads {claims}");
        token::agrees(header.get("typ").and_then(Value::as_str).unwrap_or("JWT"), claims.as_bytes());
    }
}

/// A part, which has one spelling.
fn decoded(part: &str) -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_else(|error| panic!("{error}: {part}"));
    assert_eq!(URL_SAFE_NO_PAD.encode(&bytes), part);
    bytes
}
