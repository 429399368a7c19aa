//! Values as text: `sprintf` and `json.marshal`.
//!
//! A number that was read with a point or an exponent keeps it in Open Policy Agent, and loses it here: only integers are printed.

use regorus::Value;

use super::Unlike;
use super::kinds::digits;

/// A part of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<'a> {
    This(&'a str),
    /// `%s`
    Text,
    /// `%d`
    Integer,
    /// `%v`
    Value,
}

/// The parts of a format; none where it has flags, a width, a precision, or another verb.
pub(super) fn format(mut rest: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while let Some((before, behind)) = rest.split_once('%') {
        parts.push(Part::This(before));
        let mut characters = behind.chars();
        parts.push(match characters.next()? {
            '%' => Part::This("%"),
            's' => Part::Text,
            'd' => Part::Integer,
            'v' => Part::Value,
            _ => return None,
        });
        rest = characters.as_str();
    }
    parts.push(Part::This(rest));
    Some(parts)
}

/// How many values a format takes.
pub(super) fn takes(parts: &[Part<'_>]) -> usize {
    parts.iter().filter(|part| !matches!(part, Part::This(_))).count()
}

/// `sprintf(format, values)`
pub(super) fn sprintf(arguments: &[Value]) -> Result<Value, Unlike> {
    let [Value::String(text), Value::Array(values)] = arguments else { return Err(Unlike::Form) };
    let parts = format(text).ok_or(Unlike::Limit("the format has other verbs than `%s`, `%d`, `%v` and `%%`"))?;
    if takes(&parts) != values.len() {
        return Err(Unlike::Limit("there are not as many values as the format takes"));
    }
    let mut values = values.iter();
    let mut written = String::new();
    for part in parts {
        match part {
            Part::This(text) => written.push_str(text),
            Part::Text => match values.next() {
                Some(Value::Number(_)) => return Err(Unlike::Limit("`%s` is given a number: take `%d`")),
                Some(value) => plain(&mut written, value)?,
                None => return Err(Unlike::Form),
            },
            Part::Integer => {
                let value = values.next().and_then(digits);
                written.push_str(&value.ok_or(Unlike::Limit("`%d` is given what is no integer"))?);
            }
            Part::Value => plain(&mut written, values.next().ok_or(Unlike::Form)?)?,
        }
    }
    Ok(Value::from(written))
}

/// A string is itself, whatever else as Rego has it.
fn plain(written: &mut String, value: &Value) -> Result<(), Unlike> {
    match value {
        Value::String(text) => written.push_str(text),
        other => rego(written, other)?,
    }
    Ok(())
}

fn rego(written: &mut String, value: &Value) -> Result<(), Unlike> {
    match value {
        Value::Null => written.push_str("null"),
        Value::Bool(value) => written.push_str(if *value { "true" } else { "false" }),
        Value::Number(_) => written.push_str(&integer(value)?),
        Value::String(text) => written.push_str(&quoted(text)?),
        Value::Array(items) => series(written, '[', items.iter(), rego, ']', ", ")?,
        Value::Set(items) if items.is_empty() => written.push_str("set()"),
        Value::Set(items) => series(written, '{', items.iter_sorted(), rego, '}', ", ")?,
        Value::Object(members) => {
            let member = |written: &mut String, (key, value): (&Value, &Value)| {
                rego(written, key)?;
                written.push_str(": ");
                rego(written, value)
            };
            series(written, '{', members.iter_sorted(), member, '}', ", ")?;
        }
        Value::Undefined => return Err(Unlike::Form),
    }
    Ok(())
}

fn integer(value: &Value) -> Result<String, Unlike> {
    digits(value).ok_or(Unlike::Limit("only integers are printed, and this is a number with a point or an exponent"))
}

fn series<T>(
    written: &mut String,
    open: char,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut String, T) -> Result<(), Unlike>,
    close: char,
    between: &str,
) -> Result<(), Unlike> {
    written.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            written.push_str(between);
        }
        write(written, item)?;
    }
    written.push(close);
    Ok(())
}

/// As Go quotes a string. What is not ASCII depends on the version of Unicode that each of the two knows.
fn quoted(text: &str) -> Result<String, Unlike> {
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(Unlike::Limit(
            "a string inside of a list or an object is printed with its escapes, which only ASCII has alike",
        ));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// `json.marshal(value)`: compact, members by name, and what could end a script in a page escaped.
pub(super) fn marshal(arguments: &[Value]) -> Result<Value, Unlike> {
    let [value] = arguments else { return Err(Unlike::Form) };
    let mut written = String::new();
    json(&mut written, value)?;
    Ok(Value::from(written))
}

fn json(written: &mut String, value: &Value) -> Result<(), Unlike> {
    match value {
        Value::Null => written.push_str("null"),
        Value::Bool(value) => written.push_str(if *value { "true" } else { "false" }),
        Value::Number(_) => written.push_str(&integer(value)?),
        Value::String(text) => json_string(written, text),
        Value::Array(items) => series(written, '[', items.iter(), json, ']', ",")?,
        Value::Set(items) => series(written, '[', items.iter_sorted(), json, ']', ",")?,
        Value::Object(members) => {
            let member = |written: &mut String, (key, value): (&Value, &Value)| {
                let Value::String(key) = key else { return Err(Unlike::Limit("a member's name is no string")) };
                json_string(written, key);
                written.push(':');
                json(written, value)
            };
            series(written, '{', members.iter_sorted(), member, '}', ",")?;
        }
        Value::Undefined => return Err(Unlike::Form),
    }
    Ok(())
}

fn json_string(written: &mut String, text: &str) {
    written.push('"');
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\u{8}' => written.push_str("\\b"),
            '\u{c}' => written.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' => {
                written.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => written.push(other),
        }
    }
    written.push('"');
}
