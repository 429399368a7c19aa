//! What an audience is called: URI references (RFC 3986).

use std::net::Ipv6Addr;

/// The longest audience, in bytes.
const MAX_URI: usize = 2048;

/// An audience: a URI reference (RFC 3986 §4.1), so also `//iam.googleapis.com/…` and a plain word; 2,048 bytes at most.
pub fn is_audience(text: &str) -> bool {
    (1..=MAX_URI).contains(&text.len()) && parts(text).is_some()
}

/// A resource: an absolute URI without fragment (RFC 8707 §2), 2,048 bytes at most.
pub fn is_resource_uri(text: &str) -> bool {
    text.len() <= MAX_URI && !text.contains('#') && parts(text).is_some_and(|scheme| scheme.is_some())
}

/// The scheme of a URI reference, if it has one; none where this is no URI reference.
fn parts(text: &str) -> Option<Option<&str>> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (hierarchy, query) = text.split_once('?').unwrap_or((text, ""));
    // What has a colon in its first segment has a scheme (RFC 3986 §4.2), and a scheme alone names nothing.
    let first_segment = hierarchy.split('/').next().unwrap_or_default();
    let (scheme, rest) = match first_segment.split_once(':') {
        Some((scheme, _)) => (Some(scheme), hierarchy.get(scheme.len() + 1..).filter(|rest| !rest.is_empty())?),
        None => (None, hierarchy),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').map_or((rest, ""), |at| rest.split_at(at)),
        None => ("", rest),
    };
    let right = scheme.is_none_or(is_scheme)
        && is_authority(authority)
        && is_made_of(path, b":@/")
        && is_made_of(query, b":@/?")
        && is_made_of(fragment, b":@/?");
    right.then_some(scheme)
}

/// RFC 3986 §3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// RFC 3986 §3.2.
fn is_authority(authority: &str) -> bool {
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, "")) => (Err(literal), ""),
        Some((literal, rest)) => match rest.strip_prefix(':') {
            Some(port) => (Err(literal), port),
            None => return false,
        },
        None => {
            let (host, port) = place.split_once(':').unwrap_or((place, ""));
            (Ok(host), port)
        }
    };
    let host = match host {
        Ok(name) => is_made_of(name, b""),
        Err(literal) => literal.parse::<Ipv6Addr>().is_ok(),
    };
    host && is_made_of(user, b":") && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Unreserved characters, subordinate delimiters, whole percent-encoded bytes, and these (RFC 3986 appendix A).
fn is_made_of(text: &str, more: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let right = match byte {
            b'%' => bytes.next().zip(bytes.next()).is_some_and(|(high, low)| high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || more.contains(&byte),
        };
        if !right {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("https://api.example.com", true, true)]
    #[case("https://api.example.com:8443/a/b;c=1?x=y/z?", true, true)]
    #[case("https://user:pw@[2001:db8::1]:1/", true, true)]
    #[case("https://[::1]", true, true)]
    #[case("urn:example:api", true, true)]
    #[case("api://0f8fad5b-d9cb-469f-a165-70867728950e", true, true)]
    #[case("spiffe://example.org/ns/a/sa/b", true, true)]
    #[case("mailto:a@example.com", true, true)]
    #[case("https://api.example.com/#x", true, false)]
    #[case("//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x", true, false)]
    #[case("//iam.googleapis.com", true, false)]
    #[case("/relative", true, false)]
    #[case("reports", true, false)]
    #[case("0oa1~client.id_2-3", true, false)]
    #[case("a/b:c", true, false)]
    #[case("?q", true, false)]
    #[case("a%2Fb", true, false)]
    #[case("", false, false)]
    #[case("https:", false, false)]
    #[case(":a", false, false)]
    #[case("1a:b", false, false)]
    #[case("a b", false, false)]
    #[case("https://a b", false, false)]
    #[case("https://a\"b", false, false)]
    #[case("https://a/{x}", false, false)]
    #[case("https://a/%2", false, false)]
    #[case("https://a/%zz", false, false)]
    #[case("https://a:b", false, false)]
    #[case("https://a@b@c", false, false)]
    #[case("https://[::1", false, false)]
    #[case("https://[::1]x", false, false)]
    #[case("https://[a]", false, false)]
    #[case("a[b]", false, false)]
    #[case("https://a#b#c", false, false)]
    #[case("https://ä.example", false, false)]
    #[case("a\n", false, false)]
    fn audiences_and_resources(#[case] text: &str, #[case] audience: bool, #[case] resource: bool) {
        assert_eq!((is_audience(text), is_resource_uri(text)), (audience, resource));
    }

    #[test]
    fn they_are_bounded() {
        for (length, fits) in [(MAX_URI, true), (MAX_URI + 1, false)] {
            let text = format!("{:a<length$}", "urn:");
            assert_eq!((is_audience(&text), is_resource_uri(&text)), (fits, fits));
        }
    }
}
