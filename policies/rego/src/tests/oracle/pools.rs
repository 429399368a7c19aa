//! What arguments are taken from: edge cases of every kind.

mod forms;
mod values;

use self::forms::{CIDRS, DURATIONS, GLOBBED, GLOBS, MOMENTS, REGEXES, TIMES, VERBS, ZONES};
use self::values::{
    BASE64, BASES, DIGITS, HEX, JSONS, LIKELY_SEMVERS, LIKELY_UNITS, NUMBERS, SEMVERS, SMALL, TEXTS, UNITS, WHOLE, WORDS,
};
use super::chance::{Chance, number, text};
use super::term::Term;

/// What an argument is meant to be. One in eight is anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Any,
    Text,
    Number,
    Int,
    Small,
    Shift,
    Array,
    Set,
    Object,
    Collection,
    Texts,
    TextOrTexts,
    Numbers,
    Sets,
    Objects,
    Keys,
    Graph,
    Base64,
    Hex,
    Cidr,
    Regex,
    Glob,
    Delimiters,
    Semver,
    Units,
    Digits,
    Json,
    TimeZone,
    Moment,
    Duration,
    Verbs,
    Values,
    Base,
    Word,
    Letter,
    Globbed,
    Near,
    Decimal,
    Ordered,
    Document,
    Path,
    Whole,
    Time,
}

fn words(chance: &mut Chance, most: usize) -> Vec<Term> {
    chance.some(most, |chance| text(*chance.of_these(&WORDS)))
}

fn pick(chance: &mut Chance, these: &[&str]) -> Term {
    text(*chance.of_these(these))
}

fn digits(chance: &mut Chance, these: &[&str]) -> Term {
    number(*chance.of_these(these))
}

/// Characters that are like others, and some that are not.
fn mixed(chance: &mut Chance, alphabet: &str, most: usize) -> Term {
    let alphabet: Vec<char> = alphabet.chars().collect();
    text(chance.some(most, |chance| *chance.of_these(&alphabet)).into_iter().collect::<String>())
}

fn any(chance: &mut Chance, depth: usize) -> Term {
    let inner = |chance: &mut Chance| any(chance, depth.saturating_sub(1));
    match chance.below(if depth == 0 { 5 } else { 10 }) {
        0 => Term::Null,
        1 => Term::Bool(chance.once_in(2)),
        2 => digits(chance, &NUMBERS),
        3 | 4 => pick(chance, &TEXTS),
        5 | 6 => Term::Array(chance.some(3, inner)),
        7 => Term::Set(chance.some(3, inner)),
        8 => Term::Object(chance.some(3, |chance| (pick(chance, &WORDS), inner(chance))).into_iter().collect()),
        _ => Term::Object(chance.some(2, |chance| (any(chance, 0), inner(chance))).into_iter().collect()),
    }
}

/// What JSON has.
fn document(chance: &mut Chance, depth: usize) -> Term {
    let inner = |chance: &mut Chance| document(chance, depth.saturating_sub(1));
    match chance.below(if depth == 0 { 5 } else { 7 }) {
        0 => Term::Null,
        1 => Term::Bool(chance.once_in(2)),
        2 => digits(chance, &NUMBERS),
        3 | 4 => pick(chance, &TEXTS),
        5 => Term::Array(chance.some(3, inner)),
        _ => Term::Object(chance.some(3, |chance| (pick(chance, &WORDS), inner(chance))).into_iter().collect()),
    }
}

fn object(chance: &mut Chance, depth: usize) -> Term {
    let inner = |chance: &mut Chance| match depth {
        0 => any(chance, 1),
        _ if chance.once_in(2) => object(chance, depth - 1),
        _ if chance.once_in(2) => Term::Array(chance.some(3, |chance| object(chance, depth - 1))),
        _ => any(chance, 1),
    };
    Term::Object(chance.some(4, |chance| (pick(chance, &WORDS), inner(chance))).into_iter().collect())
}

fn either(chance: &mut Chance, items: Vec<Term>) -> Term {
    if chance.once_in(2) { Term::Set(items) } else { Term::Array(items) }
}

/// One argument.
pub(super) fn argument(slot: Slot, chance: &mut Chance) -> Term {
    // As much memory as a number says is what these take.
    if matches!(slot, Slot::Near | Slot::Shift) {
        return if chance.once_in(8) { pick(chance, &TEXTS) } else { meant(slot, chance) };
    }
    if !matches!(slot, Slot::Document | Slot::Decimal | Slot::Whole | Slot::Time) && chance.once_in(8) {
        any(chance, 2)
    } else {
        meant(slot, chance)
    }
}

fn ordered(chance: &mut Chance) -> Term {
    let texts = chance.once_in(2);
    let items = chance.some(5, |chance| if texts { pick(chance, &TEXTS) } else { digits(chance, &NUMBERS[..19]) });
    either(chance, items)
}

fn collection(chance: &mut Chance) -> Term {
    match chance.below(4) {
        0 => Term::Array(chance.some(6, |chance| any(chance, 1))),
        1 => Term::Set(chance.some(6, |chance| any(chance, 1))),
        2 => object(chance, 1),
        _ => either(chance, Vec::new()),
    }
}

fn texts(chance: &mut Chance) -> Term {
    let items = chance.some(4, |chance| pick(chance, &TEXTS));
    either(chance, items)
}

fn numbers(chance: &mut Chance) -> Term {
    let wide = chance.once_in(2);
    let items = chance.some(4, |chance| if wide { digits(chance, &NUMBERS) } else { digits(chance, &NUMBERS[..22]) });
    either(chance, items)
}

/// Into what is there.
fn route(chance: &mut Chance) -> Term {
    Term::Array(chance.some(3, |chance| match chance.below(3) {
        0 => digits(chance, &SMALL),
        _ => pick(chance, &WORDS),
    }))
}

fn keys(chance: &mut Chance) -> Term {
    match chance.below(3) {
        0 => object(chance, 0),
        1 => Term::Set(words(chance, 4)),
        _ => Term::Array(words(chance, 4)),
    }
}

fn graph(chance: &mut Chance) -> Term {
    let edges = |chance: &mut Chance| {
        let to = words(chance, 3);
        (pick(chance, &WORDS), either(chance, to))
    };
    Term::Object(chance.some(5, edges).into_iter().collect())
}

fn delimiters(chance: &mut Chance) -> Term {
    match chance.below(4) {
        0 => Term::Null,
        1 => Term::Array(Vec::new()),
        2 => Term::Array(vec![pick(chance, &[".", "/", ":", "ä", "", "ab"])]),
        _ => Term::Array(vec![text("."), text("/")]),
    }
}

fn beginnings(chance: &mut Chance) -> Term {
    let items = chance.some(3, |chance| pick(chance, &["a", "ab", "", "abc", "ä", "acme", "c"]));
    either(chance, items)
}

/// A list of one, as most formats take.
fn one_value(chance: &mut Chance) -> Term {
    let one = match chance.below(3) {
        0 => digits(chance, &NUMBERS[..22]),
        1 => pick(chance, &TEXTS),
        _ => any(chance, 2),
    };
    Term::Array(vec![one])
}

fn values(chance: &mut Chance) -> Term {
    Term::Array(chance.some(3, |chance| match chance.below(4) {
        0 => digits(chance, &NUMBERS),
        1 => pick(chance, &TEXTS),
        2 => digits(chance, &["0", "1", "-1", "42", "255", "65", "128512", "1.5", "100"]),
        _ => any(chance, 2),
    }))
}

fn meant(slot: Slot, chance: &mut Chance) -> Term {
    match slot {
        Slot::Any => any(chance, 3),
        Slot::Text if chance.once_in(3) => mixed(chance, "aabAß ä\u{301}İ😀.", 6),
        Slot::Text => pick(chance, &TEXTS),
        Slot::Word => pick(chance, &WORDS),
        Slot::Letter => pick(chance, &["a", "", "b", "ab", "c", " ", "ä", "aa", "\u{301}", "İ", "😀", "a.", ".", "xa ", "\u{0}"]),
        Slot::Number | Slot::Decimal => digits(chance, &NUMBERS),
        Slot::Int => digits(chance, &NUMBERS[..22]),
        Slot::Small => digits(chance, &SMALL),
        Slot::Document => document(chance, 3),
        Slot::Whole if chance.once_in(8) => pick(chance, &TEXTS),
        Slot::Whole => digits(chance, &WHOLE),
        Slot::Time => digits(chance, &WHOLE[..27]),
        Slot::Path if chance.once_in(2) => pick(chance, &WORDS),
        Slot::Path => route(chance),
        Slot::Ordered => ordered(chance),
        Slot::Near => digits(chance, &["0", "1", "-1", "2", "3", "17", "100", "-20", "1.0", "1.5", "-0", "1e1", "2.5"]),
        Slot::Shift => digits(chance, &["0", "1", "2", "7", "31", "32", "63", "64", "100", "-1", "1.5", "2.0", "1000"]),
        Slot::Array => Term::Array(chance.some(5, |chance| any(chance, 2))),
        Slot::Set => Term::Set(chance.some(5, |chance| any(chance, 1))),
        Slot::Object => object(chance, 2),
        Slot::Collection => collection(chance),
        Slot::Texts => texts(chance),
        Slot::TextOrTexts if chance.once_in(2) => pick(chance, &TEXTS),
        Slot::TextOrTexts => beginnings(chance),
        Slot::Numbers => numbers(chance),
        Slot::Sets => Term::Set(chance.some(3, |chance| Term::Set(words(chance, 4)))),
        Slot::Objects => Term::Array(chance.some(3, |chance| object(chance, 1))),
        Slot::Keys => keys(chance),
        Slot::Graph => graph(chance),
        Slot::Base64 if chance.once_in(3) => mixed(chance, "YWJj=_-/+", 8),
        Slot::Base64 => pick(chance, &BASE64),
        Slot::Hex if chance.once_in(3) => mixed(chance, "0123abcDEFg", 6),
        Slot::Hex => pick(chance, &HEX),
        Slot::Cidr => pick(chance, &CIDRS),
        Slot::Regex if chance.once_in(3) => mixed(chance, "ab.*+?^$[]()|\\dä{}2-", 6),
        Slot::Regex => pick(chance, &REGEXES),
        Slot::Glob if chance.once_in(2) => mixed(chance, "ab*?.[]{},!\\-/", 6),
        Slot::Glob => pick(chance, &GLOBS),
        Slot::Globbed if chance.once_in(2) => mixed(chance, "ab./*\\[]-,", 5),
        Slot::Globbed => pick(chance, &GLOBBED),
        Slot::Delimiters => delimiters(chance),
        Slot::Semver if chance.once_in(2) => pick(chance, &LIKELY_SEMVERS),
        Slot::Semver if chance.once_in(3) => mixed(chance, "01.2-+a", 8),
        Slot::Semver => pick(chance, &SEMVERS),
        Slot::Units if chance.once_in(2) => pick(chance, &LIKELY_UNITS),
        Slot::Units if chance.once_in(3) => mixed(chance, "012.KMGikmB-+", 6),
        Slot::Units => pick(chance, &UNITS),
        Slot::Digits if chance.once_in(5) => digits(chance, &NUMBERS),
        Slot::Digits if chance.once_in(3) => mixed(chance, "01.-+eE_x", 5),
        Slot::Digits => pick(chance, &DIGITS),
        Slot::Json if chance.once_in(3) => mixed(chance, "[]{}\"01,:ae.- ", 6),
        Slot::Json => pick(chance, &JSONS),
        Slot::TimeZone if chance.once_in(2) => digits(chance, &TIMES),
        Slot::TimeZone => Term::Array(vec![digits(chance, &TIMES), pick(chance, &ZONES)]),
        Slot::Moment => pick(chance, &MOMENTS),
        Slot::Duration if chance.once_in(3) => mixed(chance, "012.hmsnu-+", 6),
        Slot::Duration => pick(chance, &DURATIONS),
        Slot::Verbs if chance.once_in(2) => pick(chance, &["%s", "%d", "%v", "%%", "a%sb", "%v%%", "x", "<%v>"]),
        Slot::Verbs if chance.once_in(3) => mixed(chance, "%%%sdvxqf.5+-# 0a", 7),
        Slot::Verbs => pick(chance, &VERBS),
        Slot::Values if chance.once_in(2) => one_value(chance),
        Slot::Values => values(chance),
        Slot::Base => digits(chance, &BASES),
    }
}
