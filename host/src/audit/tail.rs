//! Reading a log: forwards a line at a time within a bound, and from its end backwards.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::line::{self, Line, MAX_LINE, Mark};

/// How much is read backwards at a time.
const STEP: u64 = 64 * 1024;

/// A stretch of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line, without its newline.
    Whole(&'a [u8]),
    /// A line over the limit, and how long it is with its newline.
    Long(u64),
    /// This many bytes after the last newline. Reading on sees what has been added since.
    Torn(u64),
}

/// A file's lines; holds at most one, and of that no more than the limit.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    resume: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), resume: false }
    }

    /// The next stretch; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        if !std::mem::take(&mut self.resume) {
            self.buffer.clear();
        }
        let room = MAX_LINE.saturating_sub(self.buffer.len());
        (&mut self.reader).take(room as u64).read_until(b'\n', &mut self.buffer)?;
        let length = self.buffer.len() as u64;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            return Ok(Some(Piece::Whole(&self.buffer)));
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        if self.buffer.len() < MAX_LINE {
            self.resume = true;
            return Ok(Some(Piece::Torn(length)));
        }
        self.skip(length).map(Some)
    }

    /// Whether there is a zero byte in what was read last: no line of ours has one, and no write leaves one.
    pub(super) fn has_zeros(&self) -> bool {
        self.buffer.contains(&0)
    }

    fn skip(&mut self, mut length: u64) -> io::Result<Piece<'static>> {
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(Piece::Torn(length));
            }
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let used = newline.map_or(chunk.len(), |position| position + 1);
            self.reader.consume(used);
            length = length.saturating_add(used as u64);
            if newline.is_some() {
                return Ok(Piece::Long(length));
            }
        }
    }
}

/// What follows the last line that continues the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// Only what a write that did not finish can leave: bytes that are no line of ours.
    Torn,
    /// Zeros: what a file is filled up with that was cut off and is as long as before again.
    Padded,
    /// A line that does not continue the chain.
    Broken,
}

/// Follows the chain from `from` to the end.
pub(super) fn follow(file: &File, from: Mark) -> io::Result<(Mark, Rest)> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(from.len))?;
    let mut lines = Lines::new(reader);
    let (mut at, mut rest) = (from, Rest::Nothing);
    loop {
        let (bytes, line, torn) = match lines.next()? {
            None => return Ok((at, rest)),
            Some(Piece::Whole(bytes)) => (bytes, Line::read(bytes), false),
            Some(Piece::Torn(_)) => (&[][..], None, true),
            Some(Piece::Long(_)) => (&[][..], None, false),
        };
        match (line, rest) {
            (Some(line), Rest::Nothing) if line.seq == at.seq.saturating_add(1) && line.prev == at.hash => {
                at = after(at, &line, bytes);
            }
            // A line of ours after something else is not a torn tail: writes are not finished in another order than begun.
            (Some(_), _) | (None, Rest::Broken) => rest = Rest::Broken,
            (None, Rest::Padded) => {}
            (None, Rest::Nothing | Rest::Torn) => rest = if lines.has_zeros() { Rest::Padded } else { Rest::Torn },
        }
        if torn {
            return Ok((at, rest));
        }
    }
}

fn after(at: Mark, line: &Line, bytes: &[u8]) -> Mark {
    let len = at.len.saturating_add(bytes.len() as u64).saturating_add(1);
    Mark { seq: line.seq, hash: line::hash(bytes), len }
}

/// The line that ends at `end`, its newline included; `None` where no line ends there or it is over the limit.
pub(super) fn line_ending_at(file: &File, end: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(newline) = end.checked_sub(1) else { return Ok(None) };
    let mut last = [0];
    file.read_exact_at(&mut last, newline)?;
    let start = newline_before(file, newline, newline.saturating_sub(MAX_LINE as u64))?;
    if last != *b"\n" || newline - start >= MAX_LINE as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(newline - start).unwrap_or_default()];
    file.read_exact_at(&mut bytes, start)?;
    Ok(Some(bytes))
}

/// The end of the last line of ours at or before `len`, whatever stands around it.
pub(super) fn last_line(file: &File, len: u64) -> io::Result<Mark> {
    let mut end = newline_before(file, len, 0)?;
    while end > 0 {
        if let Some(bytes) = line_ending_at(file, end)?
            && let Some(line) = Line::read(&bytes)
        {
            return Ok(Mark { seq: line.seq, hash: line::hash(&bytes), len: end });
        }
        end = newline_before(file, end - 1, 0)?;
    }
    Ok(Mark::START)
}

/// Where the line begins that the byte before `end` belongs to, looking back no further than `floor`.
fn newline_before(file: &File, mut end: u64, floor: u64) -> io::Result<u64> {
    let mut chunk = Vec::new();
    while end > floor {
        let start = end.saturating_sub(STEP).max(floor);
        chunk.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        file.read_exact_at(&mut chunk, start)?;
        if let Some(position) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + position as u64 + 1);
        }
        end = start;
    }
    Ok(floor)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some(piece) = lines.next().unwrap() {
            found.push(match piece {
                Piece::Whole(bytes) => format!("whole {}", bytes.len()),
                Piece::Long(length) => format!("long {length}"),
                Piece::Torn(length) => {
                    found.push(format!("torn {length}"));
                    break;
                }
            });
        }
        found
    }

    #[test]
    fn reads_within_the_limit() {
        assert_eq!(pieces(b"ab\n\nc"), ["whole 2", "whole 0", "torn 1"]);
        let mut bytes = vec![b'x'; MAX_LINE - 1];
        bytes.extend_from_slice(b"\ny\n");
        assert_eq!(pieces(&bytes), [format!("whole {}", MAX_LINE - 1), "whole 1".to_owned()]);
        let mut bytes = vec![b'x'; 3 * MAX_LINE];
        assert_eq!(pieces(&bytes), [format!("torn {}", 3 * MAX_LINE)]);
        bytes.extend_from_slice(b"\ny\n");
        assert_eq!(pieces(&bytes), [format!("long {}", 3 * MAX_LINE + 1), "whole 1".to_owned()]);
    }

    #[test]
    fn finds_lines_from_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        let text = format!("{}\nshort\n\ntail", "x".repeat(200_000));
        file.write_all(text.as_bytes()).unwrap();
        let at = |end: u64| line_ending_at(&file, end).unwrap().map(|bytes| bytes.len());
        assert_eq!((at(0), at(200_001), at(200_007), at(200_008), at(200_012)), (None, Some(200_000), Some(5), Some(0), None));
        assert_eq!(last_line(&file, text.len() as u64).unwrap(), Mark::START);
    }

    #[test]
    fn a_line_over_the_limit_does_not_end_anywhere() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'x'; MAX_LINE]).unwrap();
        file.write_all(b"\n").unwrap();
        assert_eq!(line_ending_at(&file, MAX_LINE as u64 + 1).unwrap(), None);
    }
}
