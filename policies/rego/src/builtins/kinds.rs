//! What an argument has to be.

use regorus::Value;

/// The types of arguments as Open Policy Agent declares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Number,
    Integer,
    Array,
    Set,
    Object,
    /// An array or a set.
    List,
    /// An array or a set of strings.
    Texts,
    /// A string, or [`Kind::Texts`].
    TextOrTexts,
    /// An array or a set of integers.
    Integers,
    /// A set of sets.
    Sets,
    /// An array of objects.
    Objects,
    /// What names members: an array, a set or an object.
    Members,
    /// A collection or a string.
    Counted,
    /// Nanoseconds, or an array of them and the name of a time zone.
    Time,
}

impl Kind {
    /// Whether a value is one.
    pub(super) fn is(self, value: &Value) -> bool {
        match self {
            Self::Any => !matches!(value, Value::Undefined),
            Self::Text => matches!(value, Value::String(_)),
            Self::Number => matches!(value, Value::Number(_)),
            Self::Integer => is_integer(value),
            Self::Array => matches!(value, Value::Array(_)),
            Self::Set => matches!(value, Value::Set(_)),
            Self::Object => matches!(value, Value::Object(_)),
            Self::List => matches!(value, Value::Array(_) | Value::Set(_)),
            Self::Texts => all(value, |item| Self::Text.is(item)),
            Self::TextOrTexts => Self::Text.is(value) || Self::Texts.is(value),
            Self::Integers => all(value, is_integer),
            Self::Sets => Self::Set.is(value) && all(value, |item| Self::Set.is(item)),
            Self::Objects => Self::Array.is(value) && all(value, |item| Self::Object.is(item)),
            Self::Members => matches!(value, Value::Array(_) | Value::Set(_) | Value::Object(_)),
            Self::Counted => matches!(value, Value::Array(_) | Value::Set(_) | Value::Object(_) | Value::String(_)),
            Self::Time => is_time(value),
        }
    }

    /// In words.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Array => "an array",
            Self::Set => "a set",
            Self::Object => "an object",
            Self::List => "an array or a set",
            Self::Texts => "an array or a set of strings",
            Self::TextOrTexts => "a string, or an array or a set of strings",
            Self::Integers => "an array or a set of integers",
            Self::Sets => "a set of sets",
            Self::Objects => "an array of objects",
            Self::Members => "an array, a set or an object",
            Self::Counted => "an array, a set, an object or a string",
            Self::Time => {
                "integer nanoseconds that a 64-bit number holds, or an array of them and \"UTC\" or a zone such as \"Europe/Berlin\""
            }
        }
    }
}

fn all(value: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().all(holds),
        Value::Set(items) => items.iter().all(holds),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) | Value::Undefined => false,
    }
}

/// The digits of an integer that is one as it was written down: `1`, and not `1.0` or `1e0`, which Open Policy Agent goes on writing so.
pub(super) fn digits(value: &Value) -> Option<String> {
    let Value::Number(number) = value else { return None };
    // Nothing else tells these apart: a number that was read with a point gets one here.
    let digits = number.format_decimal_with_width(1);
    let whole = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole(digits.strip_prefix('-').unwrap_or(&digits)).then_some(digits)
}

fn is_integer(value: &Value) -> bool {
    digits(value).is_some()
}

/// The zones of a place are the same to both; what is called otherwise stands for a place on some machines only.
fn is_time(value: &Value) -> bool {
    let nanoseconds = |value: &Value| digits(value).is_some_and(|digits| digits.parse::<i64>().is_ok());
    match value {
        Value::Number(_) => nanoseconds(value),
        Value::Array(parts) => match parts.as_slice() {
            [time, Value::String(zone)] => nanoseconds(time) && (zone.is_empty() || zone.as_ref() == "UTC" || is_place(zone)),
            _ => false,
        },
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Set(_) | Value::Object(_) | Value::Undefined => false,
    }
}

const AREAS: [&str; 9] =
    ["Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/"];

fn is_place(zone: &str) -> bool {
    AREAS.iter().any(|area| zone.starts_with(area))
}
