//! Where everything is printed. Whoever reads it may go before the end, and a disk may be full: neither may end in a panic.

use std::fmt::Arguments;
use std::io::{self, Write as _};

use anyhow::Error;

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct Unwritable(#[source] io::Error);

impl Unwritable {
    /// Nobody reads it any more, which is no failure of the command: `standin keys list | head -1`.
    pub(crate) fn is_unread(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a line to standard output.
pub(crate) fn to_stdout(line: Arguments<'_>) -> Result<(), Unwritable> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Unwritable)
}

/// Writes a line to standard error. Where that fails there is nobody left to tell.
pub(crate) fn to_stderr(line: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Like `println!`, with the failure as a value.
macro_rules! say {
    ($($line:tt)*) => { $crate::cli::out::to_stdout(format_args!($($line)*)) };
}

/// Like `eprintln!`, and never fails.
macro_rules! tell {
    ($($line:tt)*) => { $crate::cli::out::to_stderr(format_args!($($line)*)) };
}

pub(crate) use {say, tell};

/// The error and its causes on one line; a cause that the text before already tells is not told again.
pub(crate) fn told(error: &Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// What somebody else wrote, such as a policy's reasons, for one line of a terminal: what would move the cursor, colour or turn
/// around the text is escaped.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            plain.extend(character.escape_unicode());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Separators of lines, and what turns the direction of a text around (Unicode UAX #9).
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn tells_every_cause_once() {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        let own = refused().to_string();
        assert_eq!(told(&Error::new(Unwritable(refused()))), format!("cannot write to standard output: {own}"));
        let error = Err::<(), _>(Unwritable(refused())).context("first").unwrap_err();
        assert_eq!(told(&error), format!("first: cannot write to standard output: {own}"));
    }

    #[test]
    fn what_somebody_else_wrote_stays_on_its_line() {
        assert_eq!(plain("nobody acts für anybody"), "nobody acts für anybody");
        assert_eq!(plain("a\u{1b}[2Kb\nc\u{9b}d\u{202e}e\u{7f}"), "a\\u{1b}[2Kb\\u{a}c\\u{9b}d\\u{202e}e\\u{7f}");
    }
}
