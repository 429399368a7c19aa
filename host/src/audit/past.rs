//! The decisions of a log, one line after the other: for whoever wants to know what another policy would have said.

use std::io::{self, BufRead};

use super::tail::{Lines, Piece};
use crate::record::past::{PastDecision, decisions};

/// Reads a log forwards. It trusts nothing and proves nothing: whether the log was altered is what [`super::verify`] finds out.
pub struct PastDecisions<R> {
    lines: Lines<R>,
    line: u64,
}

/// What one line holds.
#[derive(Debug)]
pub enum Held {
    /// These decisions; none in an event without.
    Decisions(Vec<PastDecision>),
    /// No event that can be read, or too long for one.
    Unreadable,
}

impl<R: BufRead> PastDecisions<R> {
    /// From the beginning of a file of JSON lines.
    pub fn new(reader: R) -> Self {
        Self { lines: Lines::new(reader), line: 0 }
    }

    /// The next line, counted from 1, and what it holds. A last line without its end, which may still be being written, is none.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, Held)>> {
        let held = match self.lines.next()? {
            None | Some(Piece::Torn(_)) => return Ok(None),
            Some(Piece::Long(_)) => Held::Unreadable,
            Some(Piece::Whole(line)) => decisions(line).map_or(Held::Unreadable, Held::Decisions),
        };
        self.line += 1;
        Ok(Some((self.line, held)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_stops_nothing() {
        let asked = concat!(
            r#"{"caller":{"kind":"client","id":"client:a","tenants":[],"provisional":false,"attributes":[]},"#,
            r#""subject":{"kind":"user","id":"user:t:b","tenants":["t"],"provisional":false,"#,
            r#""attributes":[{"name":"protected","value":"false"}]},"#,
            r#""chain":[],"tenant":"t","audience":[],"scope":[],"ttl":9,"flow":"local","step":null,"now":1,"attributes":[]}"#
        );
        let event =
            |id: &str| format!(r#"{{"event":"attempt","correlation_id":"{id}","decision":{{"policy":"d","asked":{asked}}}}}"#);
        let long = "x".repeat(2 << 20);
        let log = format!("{}\n{{\"event\":\"checkpoint\"}}\nno json\n{long}\n{}\n{}", event("a"), event("b"), event("torn"));
        let mut past = PastDecisions::new(BufReader::new(log.as_bytes()));
        let mut found = Vec::new();
        while let Some((line, held)) = past.next_line().unwrap() {
            found.push(match held {
                Held::Decisions(decisions) => {
                    (line, decisions.iter().map(|past| past.correlation_id.clone()).collect::<Vec<_>>().join(","))
                }
                Held::Unreadable => (line, "unreadable".to_owned()),
            });
        }
        let expected = [(1, "a"), (2, ""), (3, "unreadable"), (4, "unreadable"), (5, "b")];
        assert_eq!(found, expected.map(|(line, what)| (line, what.to_owned())));
        // A log that fails under way is an error, not its end.
        let mut broken = PastDecisions::new(BufReader::new(Broken));
        assert!(broken.next_line().is_err());
    }

    struct Broken;

    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
}
