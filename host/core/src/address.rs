//! Addresses as RFC 6531 has them, in the one form in which they are compared, stored and digested.

use icu_normalizer::ComposingNormalizerBorrowed;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use standin_domain::id::{Email, MAX_LOCAL};

/// An e-mail address in normal form: what the component takes for one ([`Email`]), the local part in lowercase and NFC, the domain in
/// its ASCII form (RFC 5891 §4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The address that is written so; 254 bytes at most, as written and in normal form.
    pub fn parse(text: &str) -> Option<Self> {
        let written = Email::parse(text)?;
        let (local, domain) = written.as_str().split_once('@')?;
        let normal = format!("{}@{}", local_part(local)?, domain_name(domain)?);
        // In normal form it still has to be one: some characters stand for ASCII ones.
        Email::parse(&normal).filter(|email| email.as_str() == normal).map(|email| Self(email.into_string()))
    }

    /// As it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is stored.
    pub fn into_string(self) -> String {
        self.0
    }
}

fn local_part(local: &str) -> Option<String> {
    let local = if local.is_ascii() {
        local.to_owned()
    } else {
        let composed = ComposingNormalizerBorrowed::new_nfc();
        // A character at a time: a sigma is the same letter wherever it stands.
        let lower: String = composed.normalize(local).chars().flat_map(char::to_lowercase).collect();
        composed.normalize(&lower).into_owned()
    };
    (local.len() <= MAX_LOCAL).then_some(local)
}

/// The A-labels of what is not ASCII; of what is, that `xn--` stands before nothing else (UTS 46 §4).
fn domain_name(domain: &str) -> Option<String> {
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    ascii.ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[rstest::rstest]
    #[case("alice@example.com", Some("alice@example.com"))]
    #[case(" Alice+tag@Example.COM ", Some("alice+tag@example.com"))]
    #[case("root@localhost", Some("root@localhost"))]
    #[case("a@r3---x.example.com", Some("a@r3---x.example.com"))]
    #[case("Ä@bücher.example", Some("ä@xn--bcher-kva.example"))]
    #[case("A\u{308}@BU\u{308}CHER.example", Some("ä@xn--bcher-kva.example"))]
    #[case("ä@XN--BCHER-KVA.example", Some("ä@xn--bcher-kva.example"))]
    #[case("ΣΣ@faß.example", Some("σσ@xn--fa-hia.example"))]
    #[case("a@\u{ff45}xample\u{3002}com", Some("a@example.com"))]
    #[case("\u{212a}@example.com", Some("k@example.com"))]
    #[case("用户@例子.广告", Some("用户@xn--fsqu00a.xn--4rr70v"))]
    #[case("a@نامه\u{200c}ای.example", Some("a@xn--mgba3gch31f060k.example"))]
    #[case("a@ex\u{200c}ample.com", None)]
    #[case("alice", None)]
    #[case("@example.com", None)]
    #[case("a@", None)]
    #[case("a@b@example.com", None)]
    #[case("a@b\u{ff20}example.com", None)]
    #[case(".a@example.com", None)]
    #[case("a..b@example.com", None)]
    #[case("\"a b\"@example.com", None)]
    #[case("a@[127.0.0.1]", None)]
    #[case("a@-x.com", None)]
    #[case("a@x-.com", None)]
    #[case("a@b_c.com", None)]
    #[case("a@example..com", None)]
    #[case("a@example.com.", None)]
    #[case("a b@example.com", None)]
    #[case("a\u{a0}b@example.com", None)]
    #[case("a\u{85}@example.com", None)]
    #[case("a\u{200d}b@example.com", None)]
    #[case("a\u{202e}b@example.com", None)]
    #[case("a\u{e000}@example.com", None)]
    #[case("a\u{1fffe}@example.com", None)]
    #[case("a\u{37e}b@example.com", None)]
    #[case("a@xn--a.example", None)]
    #[case("a@xn--bücher.example", None)]
    #[case("a@ex\u{202e}ample.com", None)]
    #[case("a@example.com\n", None)]
    fn addresses(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(Address::parse(text).as_ref().map(Address::as_str), expected);
    }

    #[test]
    fn they_are_bounded() {
        let of = |local: usize, label: usize| Address::parse(&format!("{}@{}.example", "a".repeat(local), "b".repeat(label)));
        assert!(of(64, 63).is_some() && of(65, 63).is_none() && of(64, 64).is_none());
        let long = |labels: usize| Address::parse(&format!("{}@{}e", "a".repeat(64), "abcdefgh.".repeat(labels)));
        assert!(long(20).is_some() && long(21).is_none());
        // The normal form of a domain can be longer than what was written.
        assert!(Address::parse(&format!("{}@{}e", "a".repeat(64), "ü.".repeat(50))).is_none());
        // And that of a local part shorter.
        assert!(Address::parse(&format!("{}@example.com", "a\u{308}".repeat(30))).is_some());
    }

    #[test]
    fn the_normal_form_of_every_character_stands() {
        for c in '\u{80}'..'\u{32000}' {
            for text in [format!("{c}@example.com"), format!("a@{c}.example")] {
                if let Some(email) = Address::parse(&text) {
                    assert_eq!(Address::parse(email.as_str()), Some(email), "{c:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_stands(local in "[a-zÀ-ɏͰ-Ͽ\u{300}-\u{36f}.]{1,12}", domain in "[A-Za-zÀ-ɏ\u{300}-\u{36f}.-]{1,12}") {
            if let Some(email) = Address::parse(&format!("{local}@{domain}")) {
                prop_assert_eq!(Address::parse(email.as_str()), Some(email.clone()));
                prop_assert!(email.as_str().len() <= 254);
            }
        }

        #[test]
        fn nothing_panics(text in ".{0,40}@.{0,40}") {
            let _ = Address::parse(&text);
        }
    }
}
