//! Answers of this crate's own, and what the arguments of regorus's have to pass.

use std::ops::RangeInclusive;

use regorus::Value;

use super::kinds::digits;
use super::{Unlike, exact, globs, inexact, regex, theirs};

/// The longest list that a builtin makes of two numbers.
const MAX_RANGE: u64 = 10_000;
/// The largest integer that a fraction is rounded to without loss.
const MAX_EXACT: u64 = 1 << 53;
/// The largest place in a text or a list: they are counted with 32 bits.
const MAX_PLACE: i64 = 1_000_000_000;

fn text(arguments: &[Value], index: usize) -> Result<&str, Unlike> {
    match arguments.get(index) {
        Some(Value::String(text)) => Ok(text),
        Some(_) | None => Err(Unlike::Form),
    }
}

fn integer(arguments: &[Value], index: usize) -> Result<i64, Unlike> {
    let digits = arguments.get(index).and_then(digits).and_then(|digits| digits.parse().ok());
    digits.ok_or(Unlike::Limit("an integer is larger than a 64-bit number"))
}

fn passes(holds: bool, limit: &'static str) -> Result<(), Unlike> {
    if holds { Ok(()) } else { Err(Unlike::Limit(limit)) }
}

/// The second argument is not empty.
pub(super) fn something(arguments: &[Value]) -> Result<(), Unlike> {
    passes(!text(arguments, 1)?.is_empty(), "the empty string is looked for")
}

pub(super) fn shift(arguments: &[Value]) -> Result<(), Unlike> {
    passes((0..=62).contains(&integer(arguments, 1)?), "a shift by less than 0 or more than 62")
}

pub(super) fn range(arguments: &[Value]) -> Result<(), Unlike> {
    let (from, to) = (integer(arguments, 0)?, integer(arguments, 1)?);
    passes(from.abs_diff(to) < MAX_RANGE, "a range of more than 10000 numbers")
}

/// OPA has ways of its own with what is between -1 and 0, and more digits.
fn rounded(name: &str, arguments: &[Value]) -> Result<Value, Unlike> {
    let negative = |value: &Value| value.as_f64().is_ok_and(|number| number < 0.0);
    passes(arguments.iter().all(|value| digits(value).is_some() || !negative(value)), "a negative number with a fraction")?;
    let rounded = theirs(name, arguments)?;
    let exact = integer(std::slice::from_ref(&rounded), 0)?.unsigned_abs() <= MAX_EXACT;
    passes(exact, "a number of more than 53 bits").map(|()| rounded)
}

pub(super) fn ceil(arguments: &[Value]) -> Result<Value, Unlike> {
    rounded("ceil", arguments)
}

pub(super) fn floor(arguments: &[Value]) -> Result<Value, Unlike> {
    rounded("floor", arguments)
}

pub(super) fn round(arguments: &[Value]) -> Result<Value, Unlike> {
    rounded("round", arguments)
}

/// Addresses, with or without the length of a prefix, in the forms that both read.
pub(super) fn addresses(arguments: &[Value]) -> Result<(), Unlike> {
    let canonical =
        |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    for index in 0..arguments.len() {
        let written = text(arguments, index)?;
        let (address, length) = written.split_once('/').unwrap_or((written, "0"));
        let version_4 = !address.contains(':');
        let readable = address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
        let parts = if version_4 { address.split('.').all(canonical) } else { !address.contains('.') };
        let mapped = address.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.to_ipv4_mapped().is_some());
        passes(
            readable && parts && !mapped && canonical(length),
            "an address is written in a form that only one of the two reads",
        )?;
    }
    Ok(())
}

/// Three numbers, and what comes before the release, without what tells builds apart.
pub(super) fn versions(arguments: &[Value]) -> Result<(), Unlike> {
    let number =
        |text: &str| text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let identifier = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && (!digits || number(text))
    };
    for index in 0..arguments.len() {
        let written = text(arguments, index)?;
        let (release, before) = written.split_once('-').map_or((written, None), |(release, before)| (release, Some(before)));
        let three = release.split('.').count() == 3 && release.split('.').all(|part| !part.is_empty() && number(part));
        let versions = three && before.is_none_or(|before| before.split('.').all(identifier));
        passes(versions, "a version is not like `1.2.3` or `1.2.3-rc.1`")?;
    }
    Ok(())
}

/// A number that is the same in 32 bits.
fn near(arguments: &[Value], index: usize) -> Result<i64, Unlike> {
    let number = integer(arguments, index)?;
    passes((-MAX_PLACE..=MAX_PLACE).contains(&number), "a place is beyond 1000000000").map(|()| number)
}

pub(super) fn places(arguments: &[Value]) -> Result<(), Unlike> {
    near(arguments, 1).and(near(arguments, 2)).map(drop)
}

/// A list of names goes on into what is there, also into lists.
pub(super) fn within(arguments: &[Value]) -> Result<(), Unlike> {
    match arguments.get(1) {
        Some(Value::Array(names)) => {
            let mut numbers = (0..names.len()).filter(|index| matches!(names.get(*index), Some(Value::Number(_))));
            numbers.try_for_each(|index| near(names.as_slice(), index).map(drop))
        }
        Some(_) => Ok(()),
        None => Err(Unlike::Form),
    }
}

/// `-1h30m15s`, of whole numbers.
pub(super) fn duration(arguments: &[Value]) -> Result<(), Unlike> {
    let written = text(arguments, 0)?;
    let mut rest = written.strip_prefix('-').unwrap_or(written);
    let mut parts = 0;
    while !rest.is_empty() {
        let count = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(0);
        let unit =
            rest.get(count..).and_then(|rest| ["ns", "us", "ms", "s", "m", "h"].into_iter().find(|unit| rest.starts_with(unit)));
        let unit = unit.filter(|_| (1..=6).contains(&count)).ok_or(Unlike::Limit("a duration is not like `1h30m` or `90s`"))?;
        rest = rest.get(count + unit.len()..).ok_or(Unlike::Form)?;
        parts += 1;
    }
    passes(parts > 0, "a duration is empty")
}

/// As RFC 3339 has it, in UTC, with as many digits of the second as there are.
pub(super) fn time_format(arguments: &[Value]) -> Result<Value, Unlike> {
    let nanoseconds = integer(arguments, 0)?.rem_euclid(1_000_000_000);
    let numbers = |name: &str| match theirs(name, arguments)? {
        Value::Array(parts) => (0..3).map(|index| integer(parts.as_slice(), index)).collect::<Result<Vec<_>, _>>(),
        _ => Err(Unlike::Form),
    };
    let (date, clock) = (numbers("time.date")?, numbers("time.clock")?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), clock.as_slice()) else { return Err(Unlike::Form) };
    let fraction = format!(".{nanoseconds:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    Ok(Value::from(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")))
}

/// The units that OPA knows, in every case that both know; of `parse` and of `parse_bytes` each knows some.
const UNITS: [&str; 33] = [
    "", "K", "k", "Ki", "ki", "KB", "kb", "KiB", "M", "Mi", "mi", "MB", "mb", "MiB", "G", "g", "Gi", "gi", "GB", "gb", "GiB",
    "T", "t", "Ti", "TB", "TiB", "P", "p", "Pi", "PB", "E", "Ei", "m",
];

/// A whole number and a unit.
pub(super) fn units(arguments: &[Value]) -> Result<(), Unlike> {
    let written = text(arguments, 0)?;
    let count = written.find(|character: char| !character.is_ascii_digit()).unwrap_or(written.len());
    let known = written.get(count..).is_some_and(|unit| UNITS.contains(&unit));
    passes((1..=9).contains(&count) && known, "a size is not a whole number of at most 9 digits and a unit, like `10Ki`")
}

pub(super) fn base(arguments: &[Value]) -> Result<(), Unlike> {
    passes(matches!(integer(arguments, 1)?, 2 | 8 | 10 | 16), "a base other than 2, 8, 10 and 16")
}

/// Of a string characters are counted, not the halves of surrogates.
pub(super) fn count(arguments: &[Value]) -> Result<Value, Unlike> {
    match arguments {
        [Value::String(text)] => Ok(Value::from(text.chars().count())),
        _ => theirs("count", arguments),
    }
}

pub(super) fn strings_count(arguments: &[Value]) -> Result<Value, Unlike> {
    something(arguments)?;
    Ok(Value::from(text(arguments, 0)?.matches(text(arguments, 1)?).count()))
}

/// Capitals that OPA does not know yet: of Unicode 16 and 17.
const NEW: [RangeInclusive<char>; 9] = [
    '\u{1c89}'..='\u{1c89}',
    '\u{a7cb}'..='\u{a7cc}',
    '\u{a7ce}'..='\u{a7ce}',
    '\u{a7d2}'..='\u{a7d2}',
    '\u{a7d4}'..='\u{a7d4}',
    '\u{a7da}'..='\u{a7da}',
    '\u{a7dc}'..='\u{a7dc}',
    '\u{10d50}'..='\u{10d65}',
    '\u{16ea0}'..='\u{16eb8}',
];

/// Character by character, where that is one again.
fn cased<I: Iterator<Item = char>>(text: &str, case: impl Fn(char) -> I) -> Result<Value, Unlike> {
    let one = |character| {
        let mut cased = case(character);
        let other = cased.next().filter(|_| cased.next().is_none());
        let other = other.ok_or(Unlike::Limit("a character becomes several in another case"))?;
        let new = other != character && NEW.iter().any(|range| range.contains(&character) || range.contains(&other));
        passes(!new, "a letter is of a newer version of Unicode than OPA's").map(|()| other)
    };
    Ok(Value::from(text.chars().map(one).collect::<Result<String, _>>()?))
}

pub(super) fn lower(arguments: &[Value]) -> Result<Value, Unlike> {
    cased(text(arguments, 0)?, char::to_lowercase)
}

pub(super) fn upper(arguments: &[Value]) -> Result<Value, Unlike> {
    cased(text(arguments, 0)?, char::to_uppercase)
}

/// What the two decode of it is text for both.
fn decoded(name: &str, arguments: &[Value]) -> Result<Value, Unlike> {
    let decoded = theirs(name, arguments)?;
    passes(!text(std::slice::from_ref(&decoded), 0)?.contains('\u{fffd}'), "what is encoded is no UTF-8").map(|()| decoded)
}

pub(super) fn base64_decode(arguments: &[Value]) -> Result<Value, Unlike> {
    decoded("base64.decode", arguments)
}

pub(super) fn base64url_decode(arguments: &[Value]) -> Result<Value, Unlike> {
    decoded("base64url.decode", arguments)
}

pub(super) fn hex_decode(arguments: &[Value]) -> Result<Value, Unlike> {
    decoded("hex.decode", arguments)
}

pub(super) fn glob_match(arguments: &[Value]) -> Result<Value, Unlike> {
    let delimiters: Vec<char> = match arguments.get(1) {
        Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) if items.is_empty() => vec!['.'],
        Some(Value::Array(items)) => items.iter().map(delimiter).collect::<Result<_, _>>()?,
        Some(_) | None => return Err(Unlike::Kind(2, "null or an array of strings of one character")),
    };
    let matched = globs::matches(text(arguments, 0)?, &delimiters, text(arguments, 2)?);
    matched.map(Value::from).ok_or(Unlike::Limit("the pattern has more than `*`, `**` and characters, or is too long"))
}

fn delimiter(item: &Value) -> Result<char, Unlike> {
    let text = text(std::slice::from_ref(item), 0).map_err(|_| Unlike::Limit("a delimiter is no string"))?;
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none()).ok_or(Unlike::Limit("a delimiter is not one character"))
}

pub(super) fn glob_quote_meta(arguments: &[Value]) -> Result<Value, Unlike> {
    Ok(Value::from(globs::quoted(text(arguments, 0)?)))
}

/// In Rust's words.
fn pattern(arguments: &[Value], index: usize) -> Result<Value, Unlike> {
    let limit = Unlike::Limit("the pattern has something that the two could read otherwise");
    regex::translated(text(arguments, index)?).map(Value::from).ok_or(limit)
}

pub(super) fn regex_match(arguments: &[Value]) -> Result<Value, Unlike> {
    theirs("regex.match", &[pattern(arguments, 0)?, Value::from(text(arguments, 1)?)])
}

/// With a pattern that is always of something: around empty matches the two differ.
fn splitting(arguments: &[Value], index: usize) -> Result<Value, Unlike> {
    let empty = theirs("regex.match", &[pattern(arguments, index)?, Value::from("")])?;
    let written = text(arguments, index)?;
    let places = written.contains(['^', '$']) || written.contains("\\b");
    passes(empty == Value::from(false) && !places, "the pattern may match nothing, or has `^`, `$` or `\\b`")?;
    pattern(arguments, index)
}

pub(super) fn regex_find_n(arguments: &[Value]) -> Result<Value, Unlike> {
    let count = Value::from(near(arguments, 2)?);
    theirs("regex.find_n", &[splitting(arguments, 0)?, Value::from(text(arguments, 1)?), count])
}

pub(super) fn regex_split(arguments: &[Value]) -> Result<Value, Unlike> {
    theirs("regex.split", &[splitting(arguments, 0)?, Value::from(text(arguments, 1)?)])
}

pub(super) fn regex_replace(arguments: &[Value]) -> Result<Value, Unlike> {
    passes(!text(arguments, 2)?.contains('$'), "what is put in its place has a `$`")?;
    theirs("regex.replace", &[Value::from(text(arguments, 0)?), splitting(arguments, 1)?, Value::from(text(arguments, 2)?)])
}

/// A string has to be a number as JSON has it.
pub(super) fn to_number(arguments: &[Value]) -> Result<(), Unlike> {
    match arguments {
        [Value::String(text)] => {
            passes(exact(text) && !text.starts_with('.') && !text.ends_with('.'), "the string is no number that is exact")
        }
        _ => Ok(()),
    }
}

pub(super) fn json_unmarshal(arguments: &[Value]) -> Result<(), Unlike> {
    passes(inexact(text(arguments, 0)?).is_none(), "a number has more digits than a 64-bit number")
}

/// All strings, all integers, or nothing to be put in order.
pub(super) fn ordered(arguments: &[Value]) -> Result<(), Unlike> {
    let alike = |items: &mut dyn Iterator<Item = &Value>| {
        let (mut strings, mut integers) = (true, true);
        for item in items {
            strings &= matches!(item, Value::String(_));
            integers &= digits(item).is_some();
        }
        strings || integers
    };
    let one_kind = match arguments.first() {
        Some(Value::Array(items)) => alike(&mut items.iter()),
        Some(Value::Set(items)) => alike(&mut items.iter()),
        Some(_) | None => false,
    };
    passes(one_kind, "there are other things in it than strings, or than integers")
}

/// `2026-01-14T10:30:00.5+01:00`, of which every part counts.
pub(super) fn rfc3339(arguments: &[Value]) -> Result<(), Unlike> {
    let written = text(arguments, arguments.len().saturating_sub(1))?;
    let form = "dddd-dd-ddTdd:dd:dd";
    let (time, rest) = written.split_at_checked(form.len()).unwrap_or(("", ""));
    let like = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, form)| if form == b'd' { byte.is_ascii_digit() } else { byte == form })
    };
    let fraction = rest.strip_prefix('.').map_or(Some(rest), |rest| {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        (1..=9).contains(&digits).then(|| rest.get(digits..)).flatten()
    });
    let zone = fraction.is_some_and(|zone| zone == "Z" || like(zone, "+dd:dd") || like(zone, "-dd:dd"));
    let second = time.get(17..).is_some_and(|second| second != "60");
    passes(like(time, form) && zone && second, "the text is not as RFC 3339 writes a time, with `T` and `Z` or an offset")
}
