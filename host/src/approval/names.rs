//! What `sub` says: a kind and escaped parts, so that no two identities share a name.

use std::fmt::Write as _;

/// What our own names begin with; no foreign name may.
pub(super) const RESERVED: [&str; 5] = ["user:", "host:", "provisional:", "ext:", "client:"];

/// Whether a foreign name could be taken for one of ours.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|prefix| name.starts_with(prefix))
}

/// A directory user in a tenant.
pub(super) fn user(tenant: &str, id: &str) -> String {
    join("user", &[tenant, id])
}

/// A machine in a tenant.
pub(super) fn host(tenant: &str, id: &str) -> String {
    join("host", &[tenant, id])
}

/// Somebody the directory does not know.
pub(super) fn provisional(tenant: &str, digest: &str) -> String {
    join("provisional", &[tenant, digest])
}

/// A subject of a trusted issuer.
pub(super) fn external(issuer: &str, sub: &str) -> String {
    join("ext", &[issuer, sub])
}

/// A registered caller.
pub(super) fn client(id: &str) -> String {
    join("client", &[id])
}

fn join(kind: &str, parts: &[&str]) -> String {
    let mut name = String::with_capacity(kind.len() + parts.iter().map(|part| part.len() + 1).sum::<usize>());
    name.push_str(kind);
    for part in parts {
        name.push(':');
        for byte in part.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'@' | b'+' | b'-' => name.push(char::from(byte)),
                other => {
                    // Writing to a `String` cannot fail.
                    let _ = write!(name, "%{other:02X}");
                }
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_escaped() {
        assert_eq!(user("acme", "a:b/%é"), "user:acme:a%3Ab%2F%25%C3%A9");
        assert_eq!(client("svc-router"), "client:svc-router");
        assert_eq!(provisional("t", "d_-"), "provisional:t:d_-");
        assert_eq!(external("corp", "a@b.c+d~"), "ext:corp:a@b.c+d~");
        assert!(is_reserved("client:x") && !is_reserved("clients:x"));
    }

    proptest! {
        #[test]
        fn no_two_identities_share_a_name(a in ".{0,6}", b in ".{0,6}", c in ".{0,6}", d in ".{0,6}") {
            prop_assert_eq!(user(&a, &b) == user(&c, &d), (&a, &b) == (&c, &d));
            prop_assert!(user(&a, &b) != host(&c, &d));
        }
    }
}
