//! What the headers of an answer say about its body: how long it is fresh, and whether it is encoded.

use std::time::Duration;

/// The shortest and the longest time for which a source may have a set kept without being asked for its successor. Where a source says
/// less, every request would ask it; where it says more, a key that was withdrawn would serve for too long.
const LEAST: Duration = Duration::from_secs(30);
const MOST: Duration = Duration::from_secs(60 * 60);

/// For how long the answer is fresh (RFC 9111 §4.2.1), as far as it says so: `max-age` less the `age` that it had on arrival. What is
/// not to be stored or used without asking is fresh for the shortest time.
pub(super) fn of(headers: &[(String, String)]) -> Option<Duration> {
    let mut fresh: Option<u64> = None;
    for directive in values(headers, "cache-control").flat_map(|value| value.split(',')) {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        let said = match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => 0,
            // A value that is none is as good as stale (RFC 9111 §4.2.1). One that does not fit is endless.
            "max-age" => seconds(argument),
            _ => continue,
        };
        fresh = Some(fresh.map_or(said, |fresh| fresh.min(said)));
    }
    let age = values(headers, "age").map(seconds).max().unwrap_or(0);
    fresh.map(|fresh| Duration::from_secs(fresh.saturating_sub(age)).clamp(LEAST, MOST))
}

/// Whether the body is in an encoding (RFC 9110 §8.4).
pub(super) fn is_encoded(headers: &[(String, String)]) -> bool {
    let mut encodings = values(headers, "content-encoding").flat_map(|value| value.split(',')).map(str::trim);
    encodings.any(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
}

fn values<'a>(headers: &'a [(String, String)], name: &'static str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn seconds(text: &str) -> u64 {
    let digits = text.trim().trim_matches('"');
    match digits.parse() {
        Ok(seconds) => seconds,
        Err(_) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => u64::MAX,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[rstest]
    #[case::nothing(&[], None)]
    #[case::something_else(&[("cache-control", "public, s-maxage=60"), ("expires", "0")], None)]
    #[case::within(&[("cache-control", "max-age=300")], Some(300))]
    #[case::least(&[("cache-control", "max-age=5")], Some(30))]
    #[case::most(&[("cache-control", "public, max-age=31536000, immutable")], Some(3_600))]
    #[case::endless(&[("cache-control", "max-age=99999999999999999999999")], Some(3_600))]
    #[case::spelt_otherwise(&[("Cache-Control", "Public , Max-Age = \"120\" ")], Some(120))]
    #[case::aged(&[("cache-control", "max-age=600"), ("age", "400")], Some(200))]
    #[case::aged_out(&[("cache-control", "max-age=600"), ("age", "601")], Some(30))]
    #[case::not_to_be_stored(&[("cache-control", "no-store, max-age=600")], Some(30))]
    #[case::to_be_asked_for(&[("cache-control", "no-cache")], Some(30))]
    #[case::twice(&[("cache-control", "max-age=600"), ("cache-control", "max-age=60")], Some(60))]
    #[case::no_number(&[("cache-control", "max-age=-1")], Some(30))]
    #[case::no_value(&[("cache-control", "max-age")], Some(30))]
    fn freshness(#[case] list: &[(&str, &str)], #[case] seconds: Option<u64>) {
        assert_eq!(of(&headers(list)), seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case(&[], false)]
    #[case(&[("content-encoding", "identity")], false)]
    #[case(&[("content-encoding", "gzip")], true)]
    #[case(&[("Content-Encoding", "identity, br")], true)]
    fn encodings(#[case] list: &[(&str, &str)], #[case] encoded: bool) {
        assert_eq!(is_encoded(&headers(list)), encoded);
    }
}
