//! What is wrong with a file, and where.

use std::fmt;
use std::path::PathBuf;

use crate::guard::GuardError;

/// The longest part of a source line that a report shows, in characters.
const EXCERPT: usize = 160;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Somebody else can write the file.
    #[error("{}: {source}", file.display())]
    Unguarded {
        /// The file.
        file: PathBuf,
        /// How.
        source: GuardError,
    },
    /// The file is longer than any configuration may be.
    #[error("{}: the file is longer than {limit} bytes", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file can be read and says something wrong.
    #[error("{0}")]
    Faulty(Report),
}

impl ConfigError {
    /// Every fault of the file, in its order; none where it could not be read.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Unreadable { .. } | Self::Unguarded { .. } | Self::TooLong { .. } => &[],
            Self::Faulty(report) => &report.faults,
        }
    }
}

/// Every fault of one file, in the order of the file.
#[derive(Debug)]
pub struct Report {
    /// The file, as it was named.
    pub file: PathBuf,
    /// At least one.
    pub faults: Vec<Fault>,
}

/// One fault of the file.
#[derive(Debug)]
pub struct Fault {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The key, such as `client[0].max_ttl`; empty where the text is no TOML.
    pub path: String,
    /// What is wrong.
    pub problem: Problem,
    /// The source line; `None` where it may hold a secret.
    pub source: Option<String>,
}

/// What is wrong with a key or value. `line` is where the other one stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not TOML; nothing else of the file can be judged.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The same key or table twice.
    #[error("the key is already there")]
    DuplicateKey,
    /// Nothing of this name exists.
    #[error("unknown key; known here: {known}")]
    UnknownKey {
        /// What exists.
        known: String,
    },
    /// A key without which there is no default.
    #[error("is missing")]
    Missing,
    /// A string where a number has to be, and the like.
    #[error("must be {expected}, not {found}")]
    WrongType {
        /// The type it has to have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// The right type and the wrong form.
    #[error("must be {expected}")]
    Malformed {
        /// The form it has to have.
        expected: &'static str,
    },
    /// Not one of a closed set.
    #[error("must be one of {allowed}")]
    NotOneOf {
        /// The set.
        allowed: String,
    },
    /// Too small or too large.
    #[error("must be between {least} and {most}")]
    OutOfRange {
        /// The least allowed.
        least: String,
        /// The most allowed.
        most: String,
    },
    /// An empty list where that would mean nothing.
    #[error("must not be empty")]
    Empty,
    /// More entries than allowed.
    #[error("at most {limit} are allowed")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A value that may stand only once.
    #[error("is already there in line {line}")]
    Repeated {
        /// Where.
        line: usize,
    },
    /// A reference to nothing.
    #[error("no such {what} is registered")]
    Dangling {
        /// What it should name.
        what: &'static str,
    },
    /// A value outside of another list of the same table.
    #[error("is not among {list}")]
    Outside {
        /// The list.
        list: &'static str,
    },
    /// A pair whose two sides are the same.
    #[error("crosses from a tenant to itself")]
    CrossesToItself,
    /// Plain HTTP that leaves the machine.
    #[error("plain http is allowed on loopback only")]
    PlainHttp,
    /// A listener that would send secrets and tokens in clear over a network.
    #[error("needs `tls` in `server` off loopback, or `dangerous_plain_http = true`")]
    NeedsTls,
    /// Two keys that exclude each other.
    #[error("cannot stand beside `{other}`")]
    Excludes {
        /// The other one.
        other: &'static str,
    },
    /// One of several keys is needed.
    #[error("needs one of {keys}")]
    NeedsOneOf {
        /// The keys.
        keys: &'static str,
    },
    /// A key that another one asks for.
    #[error("is needed with {because}")]
    NeededWith {
        /// The other one.
        because: &'static str,
    },
    /// A key that has no effect as the others stand.
    #[error("means nothing without {condition}")]
    Useless {
        /// What would give it a meaning.
        condition: &'static str,
    },
    /// A second issuer that would own a tenant's subject names.
    #[error("tenant `{tenant}` already has an `as-is` issuer in line {line}")]
    TwoOwners {
        /// The tenant.
        tenant: String,
        /// Where.
        line: usize,
    },
    /// A trusted issuer that is this server.
    #[error("is this server's own issuer")]
    OwnIssuer,
    /// A kind of subject of another version.
    #[error("this version cannot act for such subjects yet; it can for `user`, `host`, `envoy` and `token`")]
    NoSuchSubject,
    /// A flow of another version.
    #[error("this version has no such flow; `local` is the only one")]
    NoSuchFlow,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.problem)
    }
}

impl fmt::Display for Report {
    /// `file:line:column: key: problem`, and below it the line with a mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{fault}", self.file.display())?;
            let Some(source) = &fault.source else { continue };
            let gutter = fault.line.to_string();
            write!(f, "\n  {gutter} | {source}")?;
            if fault.column <= EXCERPT {
                write!(f, "\n  {:2$} | {:3$}^", "", "", gutter.len(), fault.column - 1)?;
            }
        }
        Ok(())
    }
}

/// Turns byte offsets of the text into lines and columns.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The line at this offset, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// A fault at this offset.
    pub(super) fn fault(&self, at: usize, path: String, problem: Problem) -> Fault {
        let line = self.line(at);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        let text = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        // The line of a misspelt or misplaced secret goes into no log.
        let secret = path.contains("secret") || text.contains("secret");
        Fault { line, column, path, problem, source: (!secret).then(|| excerpt(text)) }
    }
}

/// One printable line: what controls a terminal is blanked, character for character.
fn excerpt(line: &str) -> String {
    let mut shown: String = line.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().nth(EXCERPT).is_some() {
        shown.push('…');
    }
    shown
}
