//! Leaf values: from a TOML value to one that is right.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use toml_edit::Value;

use super::fault::Problem;
use crate::hex;
use crate::sqlite::path_of_url;

const MAX_NAME: usize = 128;
const MAX_URI: usize = 2_048;

/// A string that `parse` takes.
pub(super) fn text<T>(parse: impl Fn(&str) -> Result<T, Problem>) -> impl Fn(&Value) -> Result<T, Problem> {
    move |value| match value.as_str() {
        Some(text) => parse(text),
        None => Err(Problem::WrongType { expected: "a string", found: value.type_name() }),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, Problem> {
    value.as_bool().ok_or(Problem::WrongType { expected: "a boolean", found: value.type_name() })
}

/// A share, from 0 to 1.
pub(super) fn share(value: &Value) -> Result<f64, Problem> {
    let number = match value {
        Value::Float(_) => value.as_float(),
        // `1` is meant where it stands.
        Value::Integer(_) => value.as_integer().and_then(|number| i32::try_from(number).ok()).map(f64::from),
        _ => return Err(Problem::WrongType { expected: "a number", found: value.type_name() }),
    };
    within(&(0.0..=1.0), number, |limit: &f64| format!("{limit:.1}"))
}

/// A whole number within a range.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> impl Fn(&Value) -> Result<T, Problem>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |value| {
        let number = value.as_integer().ok_or(Problem::WrongType { expected: "an integer", found: value.type_name() })?;
        within(&range, T::try_from(number).ok(), T::to_string)
    }
}

/// A duration such as `"5m"` within a range.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Result<Duration, Problem> {
    text(move |text| {
        const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
        let malformed = Problem::Malformed { expected: "a duration such as \"5m\", \"90s\", \"50ms\" or \"1h\"" };
        let millis = quantity(text, &UNITS).ok_or(malformed)?;
        within(&range, millis.map(Duration::from_millis), |limit| show_duration(*limit))
    })
}

/// A lifetime in whole seconds, up to `most`.
pub(super) fn lifetime(most: u32) -> impl Fn(&Value) -> Result<u32, Problem> {
    let parse = duration(Duration::from_secs(1)..=Duration::from_secs(most.into()));
    move |value| {
        let duration = parse(value)?;
        match u32::try_from(duration.as_secs()) {
            Ok(seconds) if duration.subsec_nanos() == 0 => Ok(seconds),
            Ok(_) | Err(_) => Err(Problem::Malformed { expected: "a whole number of seconds" }),
        }
    }
}

/// A size such as `"32MiB"` in bytes, within a range.
pub(super) fn size(range: RangeInclusive<u32>) -> impl Fn(&Value) -> Result<u32, Problem> {
    text(move |text| {
        const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
        let malformed = Problem::Malformed { expected: "a size such as \"32MiB\" or \"64KiB\"" };
        let bytes = quantity(text, &UNITS).ok_or(malformed)?;
        within(&range, bytes.and_then(|bytes| u32::try_from(bytes).ok()), |limit| show_size(*limit))
    })
}

/// Digits and a unit. The inner `None` is a number too large for any range.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<Option<u64>> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)))
}

fn within<T: PartialOrd>(range: &RangeInclusive<T>, value: Option<T>, show: impl Fn(&T) -> String) -> Result<T, Problem> {
    value
        .filter(|value| range.contains(value))
        .ok_or_else(|| Problem::OutOfRange { least: show(range.start()), most: show(range.end()) })
}

fn show_duration(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0s".to_owned(),
        millis if millis % 3_600_000 == 0 => format!("{}h", millis / 3_600_000),
        millis if millis % 60_000 == 0 => format!("{}m", millis / 60_000),
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

fn show_size(size: u32) -> String {
    match size {
        size if size > 0 && size.is_multiple_of(1 << 20) => format!("{}MiB", size >> 20),
        size if size > 0 && size.is_multiple_of(1 << 10) => format!("{}KiB", size >> 10),
        size => format!("{size}B"),
    }
}

/// One of a closed set of names.
pub(super) fn choice<T: Copy>(choices: &[(&'static str, T)]) -> impl Fn(&Value) -> Result<T, Problem> {
    text(move |text| match choices.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            Err(Problem::NotOneOf { allowed: names.join(", ") })
        }
    })
}

fn checked(text: &str, right: bool, expected: &'static str) -> Result<String, Problem> {
    if right { Ok(text.to_owned()) } else { Err(Problem::Malformed { expected }) }
}

fn plain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

fn visible(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A client's id, an issuer's or a provider's name.
pub(super) fn name(text: &str) -> Result<String, Problem> {
    checked(text, plain(text), "1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`")
}

/// A workflow step of a client.
pub(super) fn step(text: &str) -> Result<String, Problem> {
    checked(text, standin_domain::id::is_opaque(text), "1 to 128 characters of `A-Z a-z 0-9 . _ : -`")
}

/// A tenant.
pub(super) fn tenant(text: &str) -> Result<String, Problem> {
    checked(text, visible(text, MAX_NAME), "1 to 128 visible ASCII characters")
}

/// A claim's name.
pub(super) fn claim(text: &str) -> Result<String, Problem> {
    checked(text, visible(text, MAX_NAME), "a claim's name of 1 to 128 visible ASCII characters")
}

/// Where a token names its tenant: a claim, or a JSON pointer (RFC 6901).
pub(super) fn tenant_claim(text: &str) -> Result<String, Problem> {
    if text.starts_with('/') {
        let right = visible(text, MAX_NAME) && standin_domain::claims::is_pointer(text);
        return checked(text, right, "a JSON pointer (RFC 6901) of at most 128 visible ASCII characters");
    }
    claim(text)
}

/// A `sub`: RFC 7519 §4.1.2 leaves the form open; OpenID Connect Core §2 allows 255 ASCII characters.
pub(super) fn sub(text: &str) -> Result<String, Problem> {
    let right = (1..=255).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    checked(text, right, "1 to 255 printable ASCII characters")
}

/// A scope token (RFC 6749 §3.3).
pub(super) fn scope(text: &str) -> Result<String, Problem> {
    let right = visible(text, 256) && !text.contains(['"', '\\']);
    checked(text, right, "one scope token: visible ASCII without space, `\"` and `\\` (RFC 6749 section 3.3)")
}

/// A `typ` header value (RFC 7515 §4.1.9) in the form it is compared in; empty for none at all.
pub(super) fn media_type(text: &str) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&^_.+-".contains(&byte);
    let right = text.len() <= MAX_NAME && text.bytes().all(allowed);
    checked(text, right, "a `typ` in lower case without `application/`, or \"\" for none")
}

/// An audience: a URI reference.
pub(super) fn audience(text: &str) -> Result<String, Problem> {
    checked(
        text,
        standin_domain::id::is_audience(text),
        "a URI reference (RFC 3986) such as https://…, urn:…, //… or a plain name",
    )
}

/// RFC 3986 appendix A, without `#`.
fn uri_characters(text: &str) -> bool {
    visible(text, MAX_URI) && !text.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}', '#'])
}

/// An issuer: an `https` URL without query and fragment (RFC 8414 §2), or `http` on loopback.
pub(super) fn issuer(text: &str) -> Result<String, Problem> {
    let expected = "an https URL without query, fragment and user";
    match url(text, expected)?.query() {
        None if !text.contains('?') => Ok(text.to_owned()),
        None | Some(_) => Err(Problem::Malformed { expected }),
    }
}

/// Where keys are fetched: `https`, or `http` on loopback.
pub(super) fn fetched(text: &str) -> Result<String, Problem> {
    url(text, "an https URL without fragment and user").map(|_| text.to_owned())
}

/// A scheme, host and port and nothing more.
pub(super) fn origin(text: &str) -> Result<String, Problem> {
    let expected = "an https origin: scheme, host and port, without path";
    let url = url(text, expected)?;
    let bare = url.path() == "/" && !text.ends_with('/') && !text.contains('?');
    checked(text, bare, expected)
}

fn url(text: &str, expected: &'static str) -> Result<::http::Uri, Problem> {
    let malformed = || Problem::Malformed { expected };
    // `http::Uri` drops a fragment without a word.
    if !uri_characters(text) {
        return Err(malformed());
    }
    let url: ::http::Uri = text.parse().map_err(|_| malformed())?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else { return Err(malformed()) };
    let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return Err(malformed());
    }
    if authority.as_str().contains('@') || authority.host().is_empty() || !text.starts_with(scheme) {
        return Err(malformed());
    }
    match scheme {
        "https" => Ok(url),
        "http" if loopback(authority.host()) => Ok(url),
        "http" => Err(Problem::PlainHttp),
        _ => Err(malformed()),
    }
}

/// `localhost`, 127.0.0.0/8 or `[::1]`.
fn loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A path, resolved against the file's folder.
pub(super) fn path(base: &Path) -> impl Fn(&Value) -> Result<PathBuf, Problem> {
    text(|text| match text {
        "" => Err(Problem::Malformed { expected: "a path" }),
        text if text.contains('\0') => Err(Problem::Malformed { expected: "a path" }),
        text => Ok(base.join(text)),
    })
}

/// `sqlite:<path>`.
pub(super) fn sqlite(base: &Path) -> impl Fn(&Value) -> Result<PathBuf, Problem> {
    text(|text| path_of_url(text, base).ok_or(Problem::Malformed { expected: "\"sqlite:\" and a path" }))
}

/// A SHA-256 digest: 64 lowercase hexadecimal digits or 43 characters of base64url.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Problem> {
    hex::decode(text)
        .or_else(|| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok())
        .ok_or(Problem::Malformed { expected: "a SHA-256 digest: 64 lowercase hex digits or 43 characters of base64url" })
}
