//! A JWK set (RFC 7517 §5) as an issuer publishes it, and as an operator puts it into a file.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use standin::keys::VerifyingKey as _;
use standin::keys::jwk::{KeySet, MAX_SET_BYTES, MAX_SET_KEYS, Picked, PublicKey};
use standin::registry::Algorithm;

/// Every key is taken or left out with a reason, none that shows a secret is taken, names and thumbprints are what the set says, and no key
/// verifies what nobody signed.
pub fn holds(data: &[u8]) {
    let Ok(set) = KeySet::parse(data) else { return };
    assert!(data.len() <= MAX_SET_BYTES);
    let text = std::str::from_utf8(data).expect("what was read is UTF-8");
    // Where nobody looks there may be JSON that `Value` does not take: a number too large for f64, or nesting beyond serde_json's limit.
    let Ok(document) = serde_json::from_str::<Value>(text.strip_prefix('\u{feff}').unwrap_or(text)) else { return };
    let keys = document.get("keys").and_then(Value::as_array).expect("a set has keys");
    assert!(keys.len() <= MAX_SET_KEYS && set.len() + set.left_out().len() <= keys.len());
    for out in set.left_out() {
        assert!(out.at >= 1 && out.at <= keys.len() && !out.to_string().contains(char::is_control), "{out}");
    }
    let taken: Vec<_> = keys.iter().filter_map(|key| PublicKey::parse(&key.to_string()).ok().map(|read| (key, read))).collect();
    assert_eq!(taken.is_empty(), set.is_empty());
    for (key, read) in &taken {
        assert!(key.get("d").is_none_or(Value::is_null) && key.get("k").is_none_or(Value::is_null), "{key}");
        assert_eq!(read.kid(), key.get("kid").and_then(Value::as_str));
        assert!(!read.algorithms().is_empty());
        if let Some(thumbprint) = thumbprint(key) {
            assert_eq!(read.thumbprint(), thumbprint, "{key}");
        }
        for algorithm in read.algorithms() {
            assert!(!read.verify(*algorithm, b"nobody signed this", &[1; 64]), "{key}");
        }
    }
    let kids = taken.iter().map(|(_, read)| read.kid()).chain([None, Some("none of these")]);
    for kid in kids {
        for algorithm in Algorithm::ALL {
            if let Picked::Key(picked) = set.pick(kid, algorithm) {
                assert!(picked.algorithms().contains(&algorithm));
                let is_there =
                    |read: &PublicKey| read.thumbprint() == picked.thumbprint() && (kid.is_none() || read.kid() == kid);
                assert!(taken.iter().any(|(_, read)| is_there(read)));
            }
        }
    }
}

/// RFC 7638 §3.2 of a key that spells its numbers out; an RSA modulus with leading zeros is another text of the same key.
fn thumbprint(key: &Value) -> Option<String> {
    let member = |name: &str| Some(format!("{name:?}:{:?}", key.get(name)?.as_str()?));
    let members = match key.get("kty")?.as_str()? {
        "EC" => vec![member("crv")?, member("kty")?, member("x")?, member("y")?],
        "OKP" => vec![member("crv")?, member("kty")?, member("x")?],
        _ => return None,
    };
    let canonical = format!("{{{}}}", members.join(","));
    Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes())))
}
