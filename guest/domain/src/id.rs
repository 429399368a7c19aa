//! Names of subjects: what `sub` says, and the identifiers a descriptor may carry.

mod email;
mod uri;

use std::fmt::Write as _;

pub use self::email::{Email, MAX_LOCAL};
pub use self::uri::{is_audience, is_resource_uri};
use crate::percent;

/// The longest name that a token gives (`sub`, `jti`, a joining claim), in bytes.
pub const MAX_NAME: usize = 512;

/// `user:<tenant>:<id>`.
pub fn user(tenant: &str, id: &str) -> String {
    join("user", &[tenant, id])
}

/// The `id` behind `user:<tenant>:<id>`, where this is such a name in this tenant.
pub fn user_id(sub: &str, tenant: &str) -> Option<String> {
    let escaped = sub.strip_prefix(&user(tenant, ""))?;
    let mut id = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                id.push(percent::byte(*high, *low)?);
                after
            }
            _ => {
                id.push(*first);
                after
            }
        };
    }
    // Only the one spelling that we write ourselves.
    String::from_utf8(id).ok().filter(|id| user(tenant, id) == sub)
}

/// `host:<tenant>:<id>`.
pub fn host(tenant: &str, id: &str) -> String {
    join("host", &[tenant, id])
}

/// `provisional:<tenant>:<keyed digest of the normalised address>`.
pub fn provisional(tenant: &str, digest: &str) -> String {
    join("provisional", &[tenant, digest])
}

/// `ext:<issuer name>:<sub>`.
pub fn external(issuer_name: &str, sub: &str) -> String {
    join("ext", &[issuer_name, sub])
}

/// `client:<id>`.
pub fn client(id: &str) -> String {
    join("client", &[id])
}

/// The domain in which provisional addresses of a tenant are digested.
pub fn provisional_domain(tenant: &str) -> String {
    join("provisional", &[tenant])
}

/// Whether a domain is one of those.
pub fn is_provisional_domain(domain: &str) -> bool {
    domain.starts_with("provisional:")
}

/// Parts are escaped so that no two identities share a name: a part never contains the separator.
fn join(kind: &str, parts: &[&str]) -> String {
    let mut name = String::with_capacity(kind.len() + parts.iter().map(|part| part.len() + 1).sum::<usize>());
    name.push_str(kind);
    for part in parts {
        name.push(':');
        for byte in part.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'@' | b'+' | b'-' => name.push(char::from(byte)),
                // Writing to a String cannot fail.
                _ => drop(write!(name, "%{byte:02X}")),
            }
        }
    }
    name
}

/// A UUID in its one text form (RFC 9562 §4), lowercase.
pub fn parse_uuid(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let fits = bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    fits.then(|| text.to_ascii_lowercase())
}

/// An opaque identifier: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
pub fn is_opaque(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_two_identities_share_a_sub(a in ".{0,12}", b in ".{0,12}", c in ".{0,12}", d in ".{0,12}") {
            if (&a, &b) != (&c, &d) {
                prop_assert_ne!(user(&a, &b), user(&c, &d));
                prop_assert_ne!(external(&a, &b), external(&c, &d));
            }
            prop_assert_eq!(user_id(&user(&a, &b), &a), Some(b.clone()));
            let names = [user(&a, &b), host(&a, &b), provisional(&a, &b), external(&a, &b), client(&a)];
            for (at, name) in names.iter().enumerate() {
                prop_assert!(names.iter().skip(at + 1).all(|other| other != name));
            }
        }
    }

    #[rstest::rstest]
    #[case("user:acme:a%3Ab", Some("a:b"))]
    #[case("user:acme:a%3ab", None)]
    #[case("user:acme:a:b", None)]
    #[case("user:acme:%4", None)]
    #[case("user:acme:%FF", None)]
    #[case("user:globex:a", None)]
    #[case("host:acme:a", None)]
    fn users_of_a_name(#[case] sub: &str, #[case] id: Option<&str>) {
        assert_eq!(user_id(sub, "acme").as_deref(), id);
    }

    #[rstest::rstest]
    #[case("0F8FAD5B-D9CB-469F-A165-70867728950E", true)]
    #[case("0f8fad5bd9cb469fa16570867728950e", false)]
    #[case("0f8fad5b-d9cb-469f-a165-70867728950g", false)]
    #[case("{0f8fad5b-d9cb-469f-a165-70867728950e}", false)]
    fn uuids(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(parse_uuid(text).is_some(), valid);
    }
}
