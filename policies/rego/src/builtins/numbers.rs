//! Numbers that both read alike: Open Policy Agent keeps every digit, and regorus what a 64-bit number has.

/// The most digits that a decimal may have so that no two of them become the same.
const MAX_DIGITS: usize = 15;
/// How far the point may be moved.
const MAX_EXPONENT: i32 = 280;

/// Whether a number, as JSON or Rego has it, is exactly that for both.
pub(crate) fn exact(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return text != "-0" && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok());
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let digits: String = mantissa.chars().filter(|character| *character != '.').collect();
    let significant = digits.trim_matches('0').len();
    let small = exponent.parse::<i32>().is_ok_and(|exponent| exponent.abs() <= MAX_EXPONENT);
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && significant > 0
        && significant <= MAX_DIGITS
        && digits.len() <= 20
        && small
}

/// The first number of a JSON text that is not exact.
pub(crate) fn inexact(json: &str) -> Option<&str> {
    let mut rest = json;
    loop {
        let begin = rest.find(|character: char| character == '"' || character == '-' || character.is_ascii_digit())?;
        let (_, found) = rest.split_at_checked(begin)?;
        if let Some(text) = found.strip_prefix('"') {
            rest = behind_string(text)?;
            continue;
        }
        let end =
            found.find(|character: char| !matches!(character, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(found.len());
        let (number, behind) = found.split_at_checked(end)?;
        if !exact(number) {
            return Some(number);
        }
        rest = behind;
    }
}

/// What stands behind a string of which the first quote is gone.
fn behind_string(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some(characters.as_str()),
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    None
}
