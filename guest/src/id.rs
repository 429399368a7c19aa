//! Names of subjects: what `sub` says, and the identifiers a descriptor may carry.

use std::fmt::Write as _;

use crate::percent;

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

/// An e-mail address in normal form: trimmed and lowercase (ASCII, RFC 5321 §4.1.2 without quoting).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Parses strictly: one `@`, a dot-atom before it (64 bytes at most), a dotted host name after it, 254 bytes at most.
    pub fn parse(text: &str) -> Option<Self> {
        let address = text.trim_matches(' ').to_ascii_lowercase();
        let (local, domain) = address.split_once('@')?;
        let local_fits =
            !local.is_empty() && local.len() <= 64 && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
        let labels: Vec<&str> = domain.split('.').collect();
        let domain_fits = labels.len() >= 2 && labels.iter().all(|label| is_label(label));
        (address.len() <= 254 && local_fits && domain_fits).then_some(Self(address))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address.
    pub fn into_string(self) -> String {
        self.0
    }
}

fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
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

/// An absolute URI without fragment (RFC 8707 §2), printable ASCII, 2,048 bytes at most.
pub fn is_resource_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    text.len() <= 2048
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
        && is_graphic(rest)
        && !text.contains('#')
}

/// An audience: printable ASCII without spaces, 2,048 bytes at most.
pub fn is_audience(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && is_graphic(text)
}

fn is_graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>".contains(&byte))
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
    #[case("alice@example.com", Some("alice@example.com"))]
    #[case(" Alice+tag@Example.COM ", Some("alice+tag@example.com"))]
    #[case("alice", None)]
    #[case("alice@localhost", None)]
    #[case("a@b@example.com", None)]
    #[case(".a@example.com", None)]
    #[case("a@-x.com", None)]
    #[case("a b@example.com", None)]
    #[case("älice@example.com", None)]
    #[case("a@example.com\n", None)]
    fn emails(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(Email::parse(text).as_ref().map(Email::as_str), expected);
    }

    #[rstest::rstest]
    #[case("0F8FAD5B-D9CB-469F-A165-70867728950E", true)]
    #[case("0f8fad5bd9cb469fa16570867728950e", false)]
    #[case("0f8fad5b-d9cb-469f-a165-70867728950g", false)]
    #[case("{0f8fad5b-d9cb-469f-a165-70867728950e}", false)]
    fn uuids(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(parse_uuid(text).is_some(), valid);
    }

    #[rstest::rstest]
    #[case("https://api.example.com", true)]
    #[case("urn:example:api", true)]
    #[case("https://api.example.com/#x", false)]
    #[case("/relative", false)]
    #[case("https://a b", false)]
    fn resources(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(is_resource_uri(text), valid);
    }
}
