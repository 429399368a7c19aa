//! Lifetimes, scopes, audiences and `acr`s as they are written in policies.

/// One to `longest` characters, none of them a control character.
pub fn is_text(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A lifetime such as `90s`, `5m` or `1h`, of at least one second.
pub fn seconds(text: &str) -> Option<u32> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse::<u32>().ok()?.checked_mul(unit).filter(|seconds| *seconds > 0)
}

/// RFC 6749 §3.3: one or more of `%x21 / %x23-5B / %x5D-7E`.
pub fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// One or more visible ASCII characters: an audience or an `acr`.
pub fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit_and_are_not_nothing() {
        assert_eq!(["1s", "90s", "5m", "2h"].map(seconds), [Some(1), Some(90), Some(300), Some(7200)]);
        for text in ["", "5", "m", "0s", "-1s", "+1s", "1.5m", "5 m", "5d", "4294967295m", "99999999999s", "ä"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn words_are_what_their_specifications_say() {
        assert!(is_scope_token("expenses:read") && is_visible("https://api.example.com") && is_text("wörds and spaces", 16));
        assert!(!["", "a b", "\"", "\\", "ä"].into_iter().any(is_scope_token));
        assert!(!["", "a b", "ä"].into_iter().any(is_visible));
        assert!(!["", "a\nb", "seventeen letters"].into_iter().any(|text| is_text(text, 16)));
    }
}
