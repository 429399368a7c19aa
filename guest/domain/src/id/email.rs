//! Addresses as RFC 6531 §3.3 has them, as far as they can be judged without tables. What is not ASCII has its normal form from the
//! host: the tables for it are as large as the rest of the component.

/// The longest address, in bytes (RFC 5321 §4.5.3.1.3).
const MAX_ADDRESS: usize = 254;
/// The longest local part, in bytes (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL: usize = 64;

/// An e-mail address: trimmed, with its ASCII letters in lowercase. An ASCII one is in its normal form; of others the host makes it. The
/// domain may be a single label, such as `localhost`; a quoted local part and an address literal are refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Parses strictly; 254 bytes at most.
    pub fn parse(text: &str) -> Option<Self> {
        let address = text.trim_matches(' ').to_ascii_lowercase();
        let (local, domain) = address.split_once('@')?;
        let fits = address.len() <= MAX_ADDRESS && is_local_part(local) && is_domain(domain);
        fits.then_some(Self(address))
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

/// A dot-atom (RFC 5321 §4.1.2, RFC 6531 §3.3).
fn is_local_part(local: &str) -> bool {
    // A decomposed one may be longer than its normal form.
    (!local.is_ascii() || local.len() <= MAX_LOCAL) && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) } else { is_seen(c) }
}

/// A host name of one label or more; of one that is not ASCII, that there is nothing in it that could be in none.
fn is_domain(domain: &str) -> bool {
    if domain.is_ascii() {
        return domain.split('.').all(is_label);
    }
    // Joiners are letters of some scripts' names (RFC 5892 appendix A.1); where they may stand the host knows.
    let right = |c: char| match c {
        '-' | '.' | '\u{200c}' | '\u{200d}' => true,
        c if c.is_ascii() => c.is_ascii_alphanumeric(),
        c => is_seen(c),
    };
    domain.chars().all(right)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a character that is not ASCII can tell two addresses apart: no control, space, format character, filler, variation selector
/// or tag, and nothing that is nobody's character (private use, noncharacters).
fn is_seen(c: char) -> bool {
    let unseen = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
        | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{ffff}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}');
    !unseen && !c.is_control() && !c.is_whitespace() && u32::from(c) & 0xfffe != 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("alice@example.com", Some("alice@example.com"))]
    #[case(" Alice+tag@Example.COM ", Some("alice+tag@example.com"))]
    #[case("root@localhost", Some("root@localhost"))]
    #[case("Jürgen@Bücher.Example", Some("jürgen@bücher.example"))]
    #[case("alice", None)]
    #[case("@example.com", None)]
    #[case("a@", None)]
    #[case("a@b@example.com", None)]
    #[case(".a@example.com", None)]
    #[case("a..b@example.com", None)]
    #[case("\"a b\"@example.com", None)]
    #[case("a@[127.0.0.1]", None)]
    #[case("a@-x.com", None)]
    #[case("a@x-.com", None)]
    #[case("a@b_c.com", None)]
    #[case("ä@b_ü.com", None)]
    #[case("a@example..com", None)]
    #[case("a@example.com.", None)]
    #[case("a b@example.com", None)]
    #[case("a\u{a0}b@example.com", None)]
    #[case("a\u{85}@example.com", None)]
    #[case("a\u{200d}b@example.com", None)]
    #[case("a\u{202e}b@example.com", None)]
    #[case("a\u{e000}@example.com", None)]
    #[case("a\u{1fffe}@example.com", None)]
    #[case("a@ex\u{202e}ample.com", None)]
    #[case("a@example.com\n", None)]
    fn emails(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(Email::parse(text).as_ref().map(Email::as_str), expected);
    }

    #[test]
    fn they_are_bounded() {
        let of = |local: usize, label: usize| Email::parse(&format!("{}@{}.example", "a".repeat(local), "b".repeat(label)));
        assert!(of(64, 63).is_some() && of(65, 63).is_none() && of(64, 64).is_none());
        let long = |labels: usize| Email::parse(&format!("{}@{}e", "a".repeat(64), "abcdefgh.".repeat(labels)));
        assert!(long(20).is_some() && long(21).is_none());
        assert!(Email::parse(&format!("a@{}e", "ü.".repeat(90))).is_none());
    }
}
