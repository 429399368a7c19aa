//! Why a bundle is not loaded: every fault with its file, line and column.

use std::fmt;

/// The most characters of a source line that are shown.
const LINE: usize = 160;

/// One thing that is wrong in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Name of the source.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line it is in.
    pub source_line: String,
}

impl Fault {
    /// At a byte of a source.
    pub fn at(file: &str, content: &str, offset: usize, message: impl fmt::Display) -> Self {
        let before = content.get(..content.floor_char_boundary(offset)).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = content.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        Self {
            file: file.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            message: message.to_string(),
            source_line: text.chars().take(LINE).collect(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, source_line } = self;
        let margin = " ".repeat(usize::try_from(column.saturating_sub(1)).unwrap_or(0).min(LINE));
        write!(f, "{file}:{line}:{column}: {message}\n  {source_line}\n  {margin}^")
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_a_line_and_a_column_in_characters() {
        let text = "first\nsecönd line\r\nthird";
        let place = |offset| {
            let fault = Fault::at("a", text, offset, "m");
            (fault.line, fault.column, fault.source_line)
        };
        assert_eq!(place(0), (1, 1, "first".into()));
        assert_eq!(place(5), (1, 6, "first".into()));
        assert_eq!(place(6), (2, 1, "secönd line".into()));
        assert_eq!(place(11), (2, 5, "secönd line".into()));
        assert_eq!(place(text.len()), (3, 6, "third".into()));
        assert_eq!(place(1000), (3, 6, "third".into()));
        assert_eq!(Fault::at("a", "", 3, "m").line, 1);
    }

    #[test]
    fn a_fault_shows_its_line() {
        let fault = Fault::at("a.cedar", "permit(x);", 7, "unexpected");
        assert_eq!(fault.to_string(), "a.cedar:1:8: unexpected\n  permit(x);\n         ^");
    }
}
