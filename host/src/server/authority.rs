//! Whom a request is for: its `Host` field, its absolute target or its `:authority`. Servers that read these differently are how one
//! request becomes another on its way (RFC 9112 §11.2), so what is missing, there twice or malformed is refused.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Version};

/// Why it cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AuthorityError {
    /// There is none (RFC 9112 §3.2, RFC 9113 §8.3.1).
    #[error("the request names no host")]
    Missing,
    /// More than one `Host` (RFC 9112 §3.2).
    #[error("the request has several host fields")]
    Several,
    /// Not a host with an optional port (RFC 9110 §7.2), or with a user before it (RFC 9110 §4.2.4).
    #[error("the request's host is malformed")]
    Malformed,
    /// `Host` and `:authority` name two (RFC 9113 §8.3.1).
    #[error("the request names two hosts")]
    Differs,
}

/// The authority of the request; empty only for HTTP/1.0, which need not name one.
pub(super) fn authority(head: &Parts) -> Result<&str, AuthorityError> {
    let host = host(&head.headers)?;
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    if target.is_some_and(|target| !is_authority(target)) {
        return Err(AuthorityError::Malformed);
    }
    match (head.version, target, host) {
        (Version::HTTP_2, Some(target), Some(host)) if !target.eq_ignore_ascii_case(host) => Err(AuthorityError::Differs),
        // RFC 9112 §3.2: whatever the target says.
        (Version::HTTP_11, _, None) => Err(AuthorityError::Missing),
        // RFC 9112 §3.2.2: an absolute target counts before `Host`.
        (_, Some(named), _) | (_, None, Some(named)) => Ok(named),
        (Version::HTTP_10, None, None) => Ok(""),
        (_, None, None) => Err(AuthorityError::Missing),
    }
}

fn host(headers: &HeaderMap) -> Result<Option<&str>, AuthorityError> {
    let mut values = headers.get_all(HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AuthorityError::Several);
    }
    let host = value.to_str().ok().filter(|host| is_authority(host));
    host.map(Some).ok_or(AuthorityError::Malformed)
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), not empty: no `http` URI has an empty host (RFC 9110 §4.2.1).
fn is_authority(text: &str) -> bool {
    let literal = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match literal {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(name), port)
        }
    };
    host && match port.strip_prefix(':') {
        Some(port) => port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()),
        None => port.is_empty(),
    }
}

/// A `reg-name` or an IPv4 address (RFC 3986 §3.2.2).
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let allowed = match byte {
            b'%' => {
                bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit())
                    && bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit())
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !allowed {
            return false;
        }
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use rstest::rstest;

    use super::*;

    fn told(version: Version, target: &str, hosts: &[&[u8]]) -> Result<String, AuthorityError> {
        let request =
            hosts.iter().fold(Request::builder().version(version).uri(target), |request, host| request.header(HOST, *host));
        let (head, ()) = request.body(()).unwrap().into_parts();
        authority(&head).map(str::to_owned)
    }

    #[rstest]
    #[case("a")]
    #[case("obo.example.com")]
    #[case("obo.example.com.:443")]
    #[case("127.0.0.1:8080")]
    #[case("[::1]")]
    #[case("[2001:db8::1]:443")]
    #[case("under_score.example")]
    #[case("a:")]
    #[case("%c3%a4.example")]
    fn a_host_is_taken_word_for_word(#[case] host: &str) {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(told(version, "/", &[host.as_bytes()]).as_deref(), Ok(host));
        }
    }

    #[rstest]
    #[case("")]
    #[case(" ")]
    #[case(":80")]
    #[case("a b")]
    #[case("a/b")]
    #[case("a?b")]
    #[case("a#b")]
    #[case("a\\b")]
    #[case("a@b")]
    #[case("user:pass@b")]
    #[case("http://a")]
    #[case("a:b")]
    #[case("a:+1")]
    #[case("a:65536")]
    #[case("a:1:2")]
    #[case("::1")]
    #[case("[::1")]
    #[case("[::1]x")]
    #[case("[a]")]
    #[case("[]")]
    #[case("[::1%25eth0]")]
    #[case("%")]
    #[case("%c")]
    #[case("%zz")]
    #[case("a\tb")]
    #[case("ä.example")]
    #[case("a<b>")]
    fn a_malformed_host_is_refused(#[case] host: &str) {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(told(version, "/", &[host.as_bytes()]), Err(AuthorityError::Malformed));
        }
    }

    #[rstest]
    #[case::none(Version::HTTP_11, "/", &[], Err(AuthorityError::Missing))]
    #[case::none_beside_an_absolute_target(Version::HTTP_11, "http://a/", &[], Err(AuthorityError::Missing))]
    #[case::none_in_http2(Version::HTTP_2, "/", &[], Err(AuthorityError::Missing))]
    #[case::none_in_http10(Version::HTTP_10, "/", &[], Ok(""))]
    #[case::two(Version::HTTP_11, "/", &[b"a".as_slice(), b"b"], Err(AuthorityError::Several))]
    #[case::the_same_twice(Version::HTTP_11, "/", &[b"a".as_slice(), b"a"], Err(AuthorityError::Several))]
    #[case::two_in_http10(Version::HTTP_10, "/", &[b"a".as_slice(), b"a"], Err(AuthorityError::Several))]
    #[case::two_in_http2(Version::HTTP_2, "http://a/", &[b"a".as_slice(), b"a"], Err(AuthorityError::Several))]
    #[case::an_absolute_target(Version::HTTP_11, "http://a/", &[b"b".as_slice()], Ok("a"))]
    #[case::an_absolute_target_and_a_bad_host(Version::HTTP_11, "http://a/", &[b"b c".as_slice()], Err(AuthorityError::Malformed))]
    #[case::authority(Version::HTTP_2, "http://a/", &[], Ok("a"))]
    #[case::authority_and_host(Version::HTTP_2, "http://A:1/", &[b"a:1".as_slice()], Ok("A:1"))]
    #[case::authority_and_another_host(Version::HTTP_2, "http://a/", &[b"b".as_slice()], Err(AuthorityError::Differs))]
    #[case::a_user(Version::HTTP_2, "http://user@a/", &[], Err(AuthorityError::Malformed))]
    #[case::not_ascii(Version::HTTP_11, "/", &[b"a\xff".as_slice()], Err(AuthorityError::Malformed))]
    fn what_a_request_names(
        #[case] version: Version,
        #[case] target: &str,
        #[case] hosts: &[&[u8]],
        #[case] named: Result<&str, AuthorityError>,
    ) {
        assert_eq!(told(version, target, hosts), named.map(str::to_owned));
    }
}
