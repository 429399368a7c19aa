//! Colour, only where a person looks: on a terminal, and not where `NO_COLOR` is set.

use std::io::IsTerminal as _;

/// Where something is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Whether colour is wanted here.
    pub(crate) fn is_coloured(self) -> bool {
        let terminal = match self {
            Self::Out => std::io::stdout().is_terminal(),
            Self::Err => std::io::stderr().is_terminal(),
        };
        terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    fn paint(self, code: u8, text: &str) -> String {
        if self.is_coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// For what went well.
    pub(crate) fn green(self, text: &str) -> String {
        self.paint(32, text)
    }

    /// For what did not.
    pub(crate) fn red(self, text: &str) -> String {
        self.paint(31, text)
    }

    /// For names.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(1, text)
    }

    /// For what stands in the background.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(2, text)
    }
}
