//! Brackets in brackets.
//!
//! What stands in brackets regorus reads as a comprehension first and then, if it is none, as what it is: twice at least, and three times
//! where an error or a union is in it; and so at every level. Thirty brackets that nobody closes would keep it for minutes.

use standin_policy_engine::{Fault, Source};

/// How often what stands one level deeper is read.
const AGAIN: u64 = 3;
/// The most bytes that are read, however often: seconds.
const MOST: u64 = 1 << 26;

/// The place from which on reading takes too long.
pub(crate) fn fault(source: &Source) -> Option<Fault> {
    let message = "brackets nest too deep here: what stands in them is read again at every level, which would take too long";
    too_often(&source.content).map(|at| Fault::at(&source.name, &source.content, at, message))
}

fn too_often(content: &str) -> Option<usize> {
    let (mut read, mut levels) = (0_u64, 0_u32);
    let mut bytes = content.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'#' => skip(&mut bytes, b'\n'),
            b'`' => skip(&mut bytes, b'`'),
            b'"' => {
                let mut escaped = false;
                let ends = |(_, byte): &(usize, u8)| {
                    let ends = matches!(byte, b'"' | b'\n') && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    ends
                };
                let _end = bytes.find(ends);
            }
            b'[' | b'{' => levels += 1,
            b']' | b'}' => levels = levels.saturating_sub(1),
            _ => {}
        }
        read = read.saturating_add(AGAIN.saturating_pow(levels));
        if read > MOST {
            return Some(at);
        }
    }
    None
}

/// To behind the next of these.
fn skip(bytes: &mut impl Iterator<Item = (usize, u8)>, end: u8) {
    let _end = bytes.find(|(_, byte)| *byte == end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_that_nest_too_deep_have_a_place() {
        assert_eq!(too_often(&"[".repeat(40)), Some(16));
        assert_eq!(too_often(&format!("x := {}1{}", "{".repeat(12), "}".repeat(12))), None);
        assert_eq!(too_often(&format!("x := {}{}{}", "{".repeat(12), "1,".repeat(100), "}".repeat(12))), Some(141));
        assert_eq!(too_often(&"x := [[[1], {2}], [3]]\n".repeat(10_000)), None);
    }

    #[test]
    fn brackets_in_texts_and_comments_are_none() {
        let brackets = "[".repeat(40);
        for text in [format!("x := \"\\\"{brackets}\""), format!("x := `\n\\{brackets}`"), format!("# {brackets}")] {
            assert_eq!(too_often(&text), None, "{text}");
            assert!(too_often(&format!("{text}\n{brackets}")).is_some(), "{text}");
        }
        // A text ends with its line.
        assert!(too_often(&format!("x := \"\n{brackets}")).is_some());
    }
}
