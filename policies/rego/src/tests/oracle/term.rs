//! Values that both interpreters are given, and answers in a form in which they can be compared.

use std::collections::BTreeMap;

use regorus::Value;
use serde_json::{Value as Json, json};

use crate::builtins::exact;

/// A value as it is written down; numbers keep their digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Term {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Self>),
    Set(Vec<Self>),
    Object(BTreeMap<Self, Self>),
}

impl Term {
    /// In Rego.
    pub(super) fn rego(&self) -> String {
        let all = |items: &[Self]| items.iter().map(Self::rego).collect::<Vec<_>>().join(", ");
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) => text.clone(),
            Self::Text(text) => escaped(text),
            Self::Array(items) => format!("[{}]", all(items)),
            Self::Set(items) if items.is_empty() => "set()".into(),
            Self::Set(items) => format!("{{{}}}", all(items)),
            Self::Object(members) => {
                let member = |(key, value): (&Self, &Self)| format!("{}: {}", key.rego(), value.rego());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// As a request would bring it: numbers are read from JSON. None where it would be refused.
    pub(super) fn value(&self) -> Option<Value> {
        let all = |items: &[Self]| items.iter().map(Self::value).collect::<Option<Vec<_>>>();
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Number(text) => Value::from_json_str(text).ok().filter(|_| exact(text))?,
            Self::Text(text) => Value::from(text.as_str()),
            Self::Array(items) => Value::from(all(items)?),
            Self::Set(items) => Value::from(all(items)?.into_iter().collect::<std::collections::BTreeSet<_>>()),
            Self::Object(members) => {
                let member = |(key, value): (&Self, &Self)| Some((key.value()?, value.value()?));
                Value::from(members.iter().map(member).collect::<Option<BTreeMap<_, _>>>()?)
            }
        })
    }
}

/// In ASCII: a source may not have everything that a string may.
fn escaped(text: &str) -> String {
    let escape = |unit: u16| match char::from_u32(u32::from(unit)) {
        Some(character @ ' '..='~') if !matches!(character, '"' | '\\') => character.to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    format!("\"{}\"", text.encode_utf16().map(escape).collect::<String>())
}

/// Rules `mark` for Open Policy Agent, which say of what type everything in a value is, and numbers by their digits.
pub(super) fn marking(depth: usize) -> String {
    let mut rules = String::from("mark0(x) := \"too deep\" if not is_string(x)\nmark0(x) := {\"s\": x} if is_string(x)\n");
    for level in 1..=depth {
        let below = level - 1;
        rules += &format!(
            "mark{level}(x) := x if is_null(x)\nmark{level}(x) := x if is_boolean(x)\nmark{level}(x) := {{\"s\": x}} if is_string(x)\n\
             mark{level}(x) := {{\"n\": sprintf(\"%v\", [x])}} if is_number(x)\n\
             mark{level}(x) := {{\"array\": [mark{below}(y) | some y in x]}} if is_array(x)\n\
             mark{level}(x) := {{\"set\": [mark{below}(y) | some y in x]}} if is_set(x)\n\
             mark{level}(x) := {{\"object\": [[mark{below}(k), mark{below}(v)] | some k, v in x]}} if is_object(x)\n"
        );
    }
    rules + &format!("mark(x) := mark{depth}(x)\n")
}

/// The same of a value of ours.
pub(super) fn marked(value: &Value, depth: usize) -> Json {
    if depth == 0 && !matches!(value, Value::String(_)) {
        return json!("too deep");
    }
    let below = |value: &Value| marked(value, depth.saturating_sub(1));
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(number) => json!({ "n": number.format_decimal() }),
        Value::String(text) => json!({ "s": text.as_ref() }),
        Value::Array(items) => json!({ "array": items.iter().map(below).collect::<Vec<_>>() }),
        Value::Set(items) => json!({ "set": items.iter_sorted().map(below).collect::<Vec<_>>() }),
        Value::Object(members) => {
            json!({ "object": members.iter_sorted().map(|(key, value)| [below(key), below(value)]).collect::<Vec<_>>() })
        }
        Value::Undefined => json!("undefined"),
    }
}

/// With numbers by their value, and sets and objects in one order, whatever each interpreter's is.
pub(super) fn settled(marked: &Json) -> Json {
    match marked {
        Json::Object(members) => {
            let mut all = members.clone();
            for (kind, inner) in &mut all {
                *inner = match (kind.as_str(), &*inner) {
                    ("n", Json::String(digits)) => json!(number(digits)),
                    ("set" | "object", Json::Array(items)) => {
                        let mut items: Vec<_> = items.iter().map(settled).collect();
                        items.sort_by_key(ToString::to_string);
                        json!(items)
                    }
                    (_, other) => settled(other),
                };
            }
            Json::Object(all)
        }
        Json::Array(items) => json!(items.iter().map(settled).collect::<Vec<_>>()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => marked.clone(),
    }
}

/// Digits without zeros at either end, and the power of ten behind them.
fn number(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = exponent.parse::<i64>() else { return text.to_owned() };
    let digits = format!("{whole}{fraction}");
    let stripped = digits.trim_end_matches('0');
    let power = exponent - i64::try_from(fraction.len()).unwrap() + i64::try_from(digits.len() - stripped.len()).unwrap();
    match stripped.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}e{power}"),
    }
}
