//! Patterns of names: `*` is anything up to a delimiter, `**` anything.

/// The longest pattern and text, in characters: what is compared is their product.
const MAX_LENGTH: usize = 1_000;

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    This(char),
    Some,
    Any,
}

/// `?` is left out, which OPA also takes for nothing, and so are sets, alternatives and escapes, of which each has its own reading.
fn parts(pattern: &str) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for character in pattern.chars() {
        let part = match character {
            '*' if parts.last() == Some(&Part::Some) => {
                parts.pop();
                Part::Any
            }
            '*' if parts.last() == Some(&Part::Any) => return None,
            '*' => Part::Some,
            '?' | '[' | ']' | '{' | '}' | '\\' | ',' => return None,
            other => Part::This(other),
        };
        parts.push(part);
    }
    Some(parts)
}

/// Whether a text is as the pattern says; none where the pattern is not one of these.
pub(super) fn matches(pattern: &str, delimiters: &[char], text: &str) -> Option<bool> {
    let parts = parts(pattern)?;
    let text: Vec<char> = text.chars().collect();
    if parts.len() > MAX_LENGTH || text.len() > MAX_LENGTH {
        return None;
    }
    // After each part: up to which characters the text may have been read.
    let mut reached = vec![false; text.len() + 1];
    reached.first_mut().map(|first| *first = true)?;
    for part in parts {
        let mut next = vec![false; reached.len()];
        let mut before = false;
        for (index, (now, is_here)) in next.iter_mut().zip(&reached).enumerate() {
            let last = index.checked_sub(1).and_then(|index| Some((*text.get(index)?, *reached.get(index)?)));
            *now = match (part, last) {
                (Part::This(wanted), Some((character, was))) => was && character == wanted,
                (Part::This(_), None) => false,
                (Part::Any, _) => *is_here || before,
                (Part::Some, Some((character, _))) => *is_here || (before && !delimiters.contains(&character)),
                (Part::Some, None) => *is_here,
            };
            before = *now;
        }
        reached = next;
    }
    reached.last().copied()
}

/// With a backslash before what means something in a pattern.
pub(super) fn quoted(text: &str) -> String {
    let quote = |character: char| {
        let special = matches!(character, '*' | '?' | '[' | ']' | '{' | '}' | '\\');
        special.then_some('\\').into_iter().chain([character])
    };
    text.chars().flat_map(quote).collect()
}
