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
}
