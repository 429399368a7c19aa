//! Where regorus's errors stand in a source.
//!
//! They are texts that begin with the place and a drawing of the line, and end with what is wrong:
//!
//! ```text
//! --> people.rego:3:7
//!   |
//! 3 | allow := tru
//!   |          ^
//! error: use of undefined variable `tru` is unsafe
//! ```

use std::fmt;

use regorus::unstable::Span;
use standin_policy_engine::{Fault, Source};

/// What stands before a place.
const ARROW: &str = "--> ";
/// What stands before what is wrong.
const ERROR: &str = "error: ";

/// At a part of a policy.
pub(crate) fn at(span: &Span, message: impl fmt::Display) -> Fault {
    let start = usize::try_from(span.start).unwrap_or(usize::MAX);
    Fault::at(span.source.file(), span.source.contents(), start, message)
}

/// What regorus says, where it says it; at the beginning of the first file where it does not say where.
pub(crate) fn of(policies: &[&Source], error: &dyn fmt::Display) -> Fault {
    let text = error.to_string();
    let message = said(&text);
    let place = text.split_once(ARROW).and_then(|(_, rest)| rest.lines().next());
    let found = place.and_then(|place| {
        let mut parts = place.rsplitn(3, ':');
        let column = parts.next()?.parse::<usize>().ok()?;
        let line = parts.next()?.parse::<usize>().ok()?;
        let file = parts.next()?;
        let source = policies.iter().find(|source| source.name == file)?;
        Some((*source, offset(&source.content, line, column)))
    });
    match (found, policies.first()) {
        (Some((source, offset)), _) => Fault::at(&source.name, &source.content, offset, message),
        (None, Some(first)) => Fault::at(&first.name, &first.content, 0, message),
        (None, None) => Fault::at("", "", 0, message),
    }
}

/// What regorus says, behind the file and the line where it says them.
pub(crate) fn brief(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let place = text.split_once(ARROW).and_then(|(_, rest)| rest.lines().next()).and_then(|place| place.rsplit_once(':'));
    place.map_or_else(|| said(&text).to_owned(), |(line, _)| format!("{line}: {}", said(&text)))
}

/// Without the drawing.
fn said(text: &str) -> &str {
    text.rsplit_once(ERROR).map_or(text, |(_, message)| message).trim()
}

/// The byte that a line and a column (in characters) name, both from 1.
fn offset(content: &str, line: usize, column: usize) -> usize {
    let mut lines = content.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line.saturating_sub(1)).map(str::len).sum();
    let inside: usize = lines.next().unwrap_or_default().chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    before + inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_its_place_taken_out() {
        let source = Source { name: "a:b.rego".into(), content: "one\nä two\n".into() };
        let text = "\n--> a:b.rego:2:3\n  |\n2 | ä two\n  |   ^\nerror: expecting `x`";
        let fault = of(&[&source], &text);
        assert_eq!((fault.file.as_str(), fault.line, fault.column), ("a:b.rego", 2, 3));
        assert_eq!((fault.message.as_str(), fault.source_line.as_str()), ("expecting `x`", "ä two"));
        assert_eq!(brief(&text), "a:b.rego:2: expecting `x`");
        assert_eq!(brief(&" x"), "x");
    }

    #[test]
    fn what_has_no_place_stands_at_the_beginning() {
        let source = Source { name: "a.rego".into(), content: "package a".into() };
        let fault = of(&[&source], &"something is wrong");
        assert_eq!((fault.line, fault.column, fault.message.as_str()), (1, 1, "something is wrong"));
        assert_eq!(of(&[&source], &"--> other.rego:1:2\nerror: x").column, 1);
        assert_eq!(of(&[], &"x").file, "");
    }
}
