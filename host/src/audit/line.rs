//! One line of the log: how it is spelled, how it is read back, and the hash that the line after it holds.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::Deserialize;

use super::AuditError;
use crate::hex;
use crate::json;

/// SHA-256 of a line's bytes, without its newline.
pub(super) type Hash = [u8; 32];
/// What the first line holds in place of the hash of a line before it.
pub(super) const GENESIS: Hash = [0; 32];
/// The `event` of the line that says that an operator accepted damage.
pub(super) const DAMAGE_ACCEPTED: &str = "damage_accepted";
/// The `event` of a checkpoint's line.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The `event` of the line that begins a file after another one.
pub(super) const CONTINUED: &str = "continued";
/// The `event` of the line that says which files were removed.
pub(super) const REMOVED: &str = "removed";
/// The longest line, with its newline.
pub(super) const MAX_LINE: usize = 1 << 20;
/// What the log itself adds to an event is never longer.
const MAX_FRAME: usize = 256;
/// The last second that RFC 3339 can spell.
const LAST_SECOND: u64 = 253_402_300_799;

/// A place in the log: the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The line's number; 0 before the first.
    pub(super) seq: u64,
    /// The line's hash.
    pub(super) hash: Hash,
    /// How many bytes the log has up to here, the newline included.
    pub(super) len: u64,
}

impl Mark {
    /// Before the first line.
    pub(super) const START: Self = Self { seq: 0, hash: GENESIS, len: 0 };
}

/// An event's JSON object, known to fit on one line.
#[derive(Debug)]
pub(super) struct Body(String);

impl Body {
    /// Takes the text of a JSON object. It is spliced, not parsed: the host built it. A newline would let one event forge another,
    /// so that is looked for.
    pub(super) fn new(json: String) -> Result<Self, AuditError> {
        let object = json.len() >= 2 && json.starts_with('{') && json.ends_with('}');
        let fits = json.len() <= MAX_LINE - MAX_FRAME && !json.as_bytes().contains(&b'\n');
        if object && fits { Ok(Self(json)) } else { Err(AuditError::Malformed) }
    }

    /// A line of the log's own.
    pub(super) fn own(value: &serde_json::Value) -> Result<Self, AuditError> {
        Self::new(value.to_string())
    }

    /// How long the text is.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn members(&self) -> &str {
        self.0.get(1..self.0.len() - 1).unwrap_or_default()
    }
}

/// Appends a line to `out` and says where the log stands after it.
pub(super) fn push(out: &mut Vec<u8>, before: Mark, time: Duration, body: &Body) -> Mark {
    let start = out.len();
    let seq = before.seq.saturating_add(1);
    out.extend_from_slice(b"{\"seq\":");
    push_number(out, seq);
    out.extend_from_slice(b",\"time\":\"");
    push_time(out, time);
    out.extend_from_slice(b"\",\"prev\":\"");
    hex::push(out, &before.hash);
    out.push(b'"');
    let members = body.members();
    if !members.is_empty() {
        out.push(b',');
        out.extend_from_slice(members.as_bytes());
    }
    out.push(b'}');
    let hash = hash(out.get(start..).unwrap_or_default());
    out.push(b'\n');
    let bytes = u64::try_from(out.len() - start).unwrap_or(u64::MAX);
    Mark { seq, hash, len: before.len.saturating_add(bytes) }
}

/// SHA-256.
pub(super) fn hash(line: &[u8]) -> Hash {
    let mut hash = GENESIS;
    for (to, from) in hash.iter_mut().zip(digest::digest(&digest::SHA256, line).as_ref()) {
        *to = *from;
    }
    hash
}

fn push_number(out: &mut Vec<u8>, value: u64) {
    if value >= 10 {
        push_number(out, value / 10);
    }
    out.push(b'0' + (value % 10) as u8);
}

/// `width` digits of `value`, the highest first.
fn push_digits(out: &mut Vec<u8>, value: u64, width: u32) {
    out.extend((0..width).rev().map(|place| b'0' + (value / 10_u64.pow(place) % 10) as u8));
}

/// RFC 3339 §5.6 in UTC with microseconds.
pub(super) fn push_time(out: &mut Vec<u8>, since_epoch: Duration) {
    let seconds = since_epoch.as_secs().min(LAST_SECOND);
    let (day, of_day) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar from a count of days: eras of 400 years that begin on 1 March.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    push_digits(out, era * 400 + year_of_era + u64::from(month <= 2), 4);
    out.push(b'-');
    push_digits(out, month, 2);
    out.push(b'-');
    push_digits(out, of_year - (153 * from_march + 2) / 5 + 1, 2);
    out.push(b'T');
    push_digits(out, of_day / 3_600, 2);
    out.push(b':');
    push_digits(out, of_day / 60 % 60, 2);
    out.push(b':');
    push_digits(out, of_day % 60, 2);
    out.push(b'.');
    push_digits(out, u64::from(since_epoch.subsec_micros()), 6);
    out.push(b'Z');
}

/// A time as the log spells it (RFC 3339, in UTC).
pub fn time(since_epoch: Duration) -> String {
    let mut out = Vec::with_capacity(27);
    push_time(&mut out, since_epoch);
    String::from_utf8(out).unwrap_or_default()
}

/// What is read of a line; the rest is only checked to be JSON.
#[derive(Deserialize)]
struct Members<'a> {
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    event: Option<serde_json::Value>,
    file: Option<serde_json::Value>,
}

/// A line that was read back.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) prev: Hash,
    /// The member `event` where it is a string: lines of the log's own have one.
    pub(super) event: Option<String>,
    /// The number of the file that it begins, where it begins one.
    pub(super) file: Option<u64>,
}

impl Line {
    /// Reads a line without its newline; `None` where it is not one that the log could have written.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() >= MAX_LINE {
            return None;
        }
        let members: Members<'_> = json::from_slice(bytes).ok()?;
        let event = members.event.and_then(|event| event.as_str().map(str::to_owned));
        let file = members.file.and_then(|file| file.as_u64());
        Some(Self { seq: members.seq, time: members.time.into_owned(), prev: hex::decode(&members.prev)?, event, file })
    }
}

/// What a line that accepts damage says of it.
pub(super) fn damage(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Accepted {
        damage: String,
    }
    json::from_slice(bytes).map_or_else(|_| "the line does not say what".to_owned(), |Accepted { damage }| damage)
}

/// A checkpoint's members.
#[derive(Deserialize)]
pub(super) struct Checkpoint {
    pub(super) head: CheckpointHead,
    pub(super) jws: String,
    /// The number of the file that it closes, where it closes one.
    pub(super) closes: Option<u64>,
}

/// What a line says of files that were removed: up to where, and the hash that the next one begins with.
pub(super) fn removed(bytes: &[u8]) -> Option<(u64, Hash)> {
    #[derive(Deserialize)]
    struct Removed {
        last: u64,
        hash: String,
    }
    let Removed { last, hash } = json::from_slice(bytes).ok()?;
    Some((last, hex::decode(&hash)?))
}

/// The line that a checkpoint speaks of.
#[derive(Deserialize)]
pub(super) struct CheckpointHead {
    pub(super) seq: u64,
    pub(super) hash: String,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "1970-01-01T00:00:00.000000Z")]
    #[case(951_782_399_000_001, "2000-02-28T23:59:59.000001Z")]
    #[case(951_782_400_000_000, "2000-02-29T00:00:00.000000Z")]
    #[case(1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z")]
    #[case(1_767_225_599_500_000, "2025-12-31T23:59:59.500000Z")]
    #[case(4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z")]
    #[case(253_402_300_799_000_000, "9999-12-31T23:59:59.000000Z")]
    #[case(253_402_300_800_000_000, "9999-12-31T23:59:59.000000Z")]
    fn spells_times(#[case] micros: u64, #[case] expected: &str) {
        assert_eq!(time(Duration::from_micros(micros)), expected);
    }

    #[rstest]
    #[case("")]
    #[case("{")]
    #[case("[1]")]
    #[case("{\"a\":1}\n")]
    #[case("{\"a\":\n1}")]
    fn refuses_what_is_not_one_line(#[case] json: &str) {
        assert!(matches!(Body::new(json.to_owned()), Err(AuditError::Malformed)));
    }

    #[test]
    fn refuses_an_event_that_would_not_fit() {
        let json = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_LINE - MAX_FRAME - 8));
        assert_eq!(json.len(), MAX_LINE - MAX_FRAME);
        let mut out = Vec::new();
        let far = Mark { seq: u64::MAX - 1, ..Mark::START };
        push(&mut out, far, Duration::from_secs(LAST_SECOND), &Body::new(json.clone()).unwrap());
        assert!(Line::read(&out[..out.len() - 1]).is_some(), "the longest event makes a line that can be read");
        assert!(matches!(Body::new(json.replace("x\"", "xx\"")), Err(AuditError::Malformed)));
    }

    #[test]
    fn reads_what_it_wrote() {
        let mut out = Vec::new();
        let first = push(&mut out, Mark::START, Duration::from_secs(1), &Body::new("{}".to_owned()).unwrap());
        let text = format!("{{\"seq\":1,\"time\":\"1970-01-01T00:00:01.000000Z\",\"prev\":\"{}\"}}\n", "0".repeat(64));
        assert_eq!(String::from_utf8(out.clone()).unwrap(), text);
        assert_eq!(first.len, text.len() as u64);
        let second = push(&mut out, first, Duration::ZERO, &Body::new("{\"event\":\"x\"}".to_owned()).unwrap());
        assert_eq!(second.len, out.len() as u64);
        let line = Line::read(&out[first.len as usize..out.len() - 1]).unwrap();
        assert_eq!((line.seq, line.prev, line.event.as_deref()), (2, first.hash, Some("x")));
    }

    #[rstest]
    #[case("{}")]
    #[case("{\"seq\":1,\"time\":\"\",\"prev\":\"00\"}")]
    #[case("[1,\"\",\"0000000000000000000000000000000000000000000000000000000000000000\",null,null]")]
    #[case("not json")]
    fn does_not_read_other_lines(#[case] text: &str) {
        assert!(Line::read(text.as_bytes()).is_none());
    }
}
