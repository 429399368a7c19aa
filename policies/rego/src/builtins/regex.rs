//! Patterns of regular expressions as RE2 reads them, in the words of Rust's library.
//!
//! The two differ in what `\d`, `\w`, `\s` and `\b` are beyond ASCII, in flags, in escapes, and in what is no pattern at all. So only what
//! stands here is one, and every character of it is written so that it cannot be read in two ways.

use std::iter::Peekable;
use std::str::Chars;

/// The most repetitions of `{n,m}`; of those within each other there are none.
const MAX_COUNT: u32 = 100;
/// How deep groups stand in each other.
const MAX_DEPTH: usize = 20;
/// The longest pattern.
const MAX_PATTERN: usize = 1_000;

/// What stands for itself only behind a backslash.
const META: &str = "\\.+*?()|[]{}^$";

/// The pattern in Rust's words; none where the two could differ.
pub(super) fn translated(pattern: &str) -> Option<String> {
    if pattern.len() > MAX_PATTERN {
        return None;
    }
    let mut reader = Reader { rest: pattern.chars().peekable(), written: String::new() };
    reader.alternatives(0)?;
    reader.rest.next().is_none().then_some(reader.written)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    written: String,
}

/// What a piece of a pattern is, for what may stand behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// It cannot be repeated.
    Place,
    /// It can.
    Once,
    /// It can, but not by a count.
    Counted,
}

impl Reader<'_> {
    /// Whether there is a count in it.
    fn alternatives(&mut self, depth: usize) -> Option<bool> {
        let mut counted = false;
        while let Some(next) = self.rest.peek().copied().filter(|next| *next != ')') {
            if next == '|' {
                self.rest.next();
                self.written.push('|');
            } else {
                let piece = self.piece(depth)?;
                counted |= self.repetition(piece)? | (piece == Piece::Counted);
            }
        }
        Some(counted)
    }

    fn piece(&mut self, depth: usize) -> Option<Piece> {
        match self.rest.next()? {
            '(' if depth < MAX_DEPTH => {
                self.written.push('(');
                if self.rest.next_if_eq(&'?').is_some() {
                    self.rest.next_if_eq(&':')?;
                    self.written.push_str("?:");
                }
                let counted = self.alternatives(depth + 1)?;
                self.rest.next_if_eq(&')')?;
                self.written.push(')');
                Some(if counted { Piece::Counted } else { Piece::Once })
            }
            '[' => self.class(),
            place @ ('^' | '$') => {
                self.written.push(place);
                Some(Piece::Place)
            }
            '.' => {
                self.written.push('.');
                Some(Piece::Once)
            }
            '\\' => match self.rest.next()? {
                'b' => {
                    self.written.push_str("(?-u:\\b)");
                    Some(Piece::Place)
                }
                escape => {
                    let set = set(escape);
                    match set {
                        Some(set) if escape.is_ascii_lowercase() => self.written.push_str(&format!("[{set}]")),
                        Some(set) => self.written.push_str(&format!("[^{set}]")),
                        None => {
                            let character = escaped(escape)?;
                            self.character(character);
                        }
                    }
                    Some(Piece::Once)
                }
            },
            character if META.contains(character) => None,
            character => {
                self.character(character);
                Some(Piece::Once)
            }
        }
    }

    /// Whether it is by a count.
    fn repetition(&mut self, piece: Piece) -> Option<bool> {
        let Some(sign) = self.rest.next_if(|next| matches!(next, '*' | '+' | '?' | '{')) else { return Some(false) };
        if piece == Piece::Place || (sign == '{' && piece == Piece::Counted) {
            return None;
        }
        self.written.push(sign);
        if sign == '{' {
            self.count()?;
        }
        if self.rest.next_if_eq(&'?').is_some() {
            self.written.push('?');
        }
        // RE2 refuses a second repetition.
        let more = self.rest.peek().is_some_and(|next| matches!(next, '*' | '+' | '?' | '{'));
        (!more).then_some(sign == '{')
    }

    fn count(&mut self) -> Option<()> {
        let least = self.number()?;
        self.written.push_str(&least.to_string());
        let mut most = Some(least);
        if self.rest.next_if_eq(&',').is_some() {
            self.written.push(',');
            most = None;
            if self.rest.peek() != Some(&'}') {
                let bound = self.number()?;
                self.written.push_str(&bound.to_string());
                most = Some(bound);
            }
        }
        self.rest.next_if_eq(&'}')?;
        self.written.push('}');
        (most.is_none_or(|most| least <= most)).then_some(())
    }

    fn number(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let number: u32 = digits.parse().ok().filter(|number| *number <= MAX_COUNT)?;
        // RE2 takes a count with a leading zero, or does not, by its version.
        (digits == number.to_string()).then_some(number)
    }

    /// `[...]`: characters, ranges of them, and `\d`, `\w`, `\s`.
    fn class(&mut self) -> Option<Piece> {
        self.written.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.written.push('^');
        }
        let mut first = true;
        loop {
            let next = self.rest.next()?;
            match next {
                ']' if !first => break,
                '-' if first || self.rest.peek() == Some(&']') => self.character('-'),
                '\\' if self.rest.peek().is_some_and(|next| matches!(next, 'd' | 'w' | 's')) => {
                    self.written.push_str(set(self.rest.next()?)?);
                    // A range that begins here is none.
                    if self.rest.peek() == Some(&'-') {
                        return None;
                    }
                }
                _ => self.range(next)?,
            }
            first = false;
        }
        self.written.push(']');
        Some(Piece::Once)
    }

    fn range(&mut self, first: char) -> Option<()> {
        let from = self.member(first)?;
        self.character(from);
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || ahead.next() == Some(']') {
            return Some(());
        }
        self.rest.next();
        let next = self.rest.next()?;
        let to = self.member(next)?;
        self.written.push('-');
        self.character(to);
        (from <= to).then_some(())
    }

    /// One character of a class.
    fn member(&mut self, character: char) -> Option<char> {
        match character {
            '\\' => {
                let escape = self.rest.next()?;
                escaped(escape)
            }
            '[' | ']' | '&' | '~' | '-' | '^' => None,
            character => Some(character),
        }
    }

    /// By its number, so that it is nothing else.
    fn character(&mut self, character: char) {
        self.written.push_str(&format!("\\x{{{:x}}}", u32::from(character)));
    }
}

/// What a letter behind a backslash stands for, of ASCII only.
fn set(letter: char) -> Option<&'static str> {
    match letter {
        'd' | 'D' => Some("0-9"),
        'w' | 'W' => Some("0-9A-Za-z_"),
        's' | 'S' => Some("\\t\\n\\x0c\\r "),
        _ => None,
    }
}

/// What stands for itself behind a backslash.
fn escaped(character: char) -> Option<char> {
    match character {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '-' | '/' | '@' | ':' | '#' => Some(character),
        character => META.contains(character).then_some(character),
    }
}
