//! Where two values differ, told without secrets.

use serde::Serialize;
use serde_json::{Value, json};

use crate::json;
use crate::tape::{Import, Outcome};

/// The most differences that are told.
const MOST: usize = 16;
/// The longest text that is told, in characters.
const TEXT: usize = 512;
/// The deepest nesting that is looked at.
const DEPTH: usize = 32;
/// What stands for what is not told.
const REDACTED: &str = "[redacted]";
/// Members whose values are credentials, whatever they look like.
const SECRETS: [&str; 6] = ["access_token", "refresh_token", "id_token", "client_secret", "secret", "token"];

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where it is (RFC 6901).
    pub path: String,
    /// What stood there when it was recorded.
    pub recorded: Value,
    /// What stands there now.
    pub replayed: Value,
}

/// Between two questions to one import.
pub(super) fn of_questions(import: Import, recorded: &impl Serialize, asked: &impl Serialize) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", &value(recorded), &value(asked), &mut found);
    let hide = import.asks_with_secrets();
    found.into_iter().map(|difference| told(difference, hide)).collect()
}

fn value(question: &impl Serialize) -> Value {
    opened(serde_json::to_value(question).unwrap_or_default(), 0)
}

/// Between two outcomes.
pub(super) fn of_outcomes(recorded: Option<&Outcome>, replayed: Option<&Outcome>) -> Vec<Difference> {
    let (Some(recorded), Some(replayed)) = (recorded, replayed) else { return Vec::new() };
    let mut found = Vec::new();
    compare("", &read(recorded), &read(replayed), &mut found);
    found.into_iter().map(|difference| told(difference, false)).collect()
}

/// An outcome without the tokens in it.
pub(super) fn shown(outcome: &Outcome) -> Value {
    redacted(read(outcome))
}

/// An outcome as JSON, and JSON in it too.
pub(super) fn read(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Answered(text) => opened(json::value(text).unwrap_or_default(), 0),
        Outcome::Failed(why) => json!({ "sandbox": why }),
    }
}

/// Texts that are JSON objects become objects: claims, events, pages, bodies.
fn opened(value: Value, depth: usize) -> Value {
    if depth > DEPTH {
        return value;
    }
    match value {
        Value::String(text) if text.starts_with('{') => match json::value(&text) {
            Ok(object) => opened(object, depth + 1),
            Err(_no_object) => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(|item| opened(item, depth + 1)).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, member)| (name, opened(member, depth + 1))).collect())
        }
        other => other,
    }
}

fn compare(path: &str, recorded: &Value, replayed: &Value, found: &mut Vec<Difference>) {
    if recorded == replayed || found.len() >= MOST {
        return;
    }
    match (recorded, replayed) {
        (Value::Object(one), Value::Object(other)) => {
            let added = other.keys().filter(|name| !one.contains_key(*name));
            for name in one.keys().chain(added) {
                let at = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                compare(&at, one.get(name).unwrap_or(&Value::Null), other.get(name).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}/{at}"), one, other, found);
            }
        }
        _ => found.push(Difference { path: path.to_owned(), recorded: recorded.clone(), replayed: replayed.clone() }),
    }
}

fn told(difference: Difference, hide: bool) -> Difference {
    let Difference { path, recorded, replayed } = difference;
    let hide = hide || path.rsplit('/').next().is_some_and(|name| SECRETS.contains(&name));
    let tell = |value: Value| if hide { REDACTED.into() } else { redacted(value) };
    Difference { recorded: tell(recorded), replayed: tell(replayed), path }
}

/// Without what is or may be a credential, and not too long.
pub(super) fn redacted(value: Value) -> Value {
    match value {
        Value::String(text) if is_jws(&text) => REDACTED.into(),
        Value::String(text) if text.chars().nth(TEXT).is_some() => Value::String(text.chars().take(TEXT).chain(['…']).collect()),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::Object(members) => {
            let told = |(name, member): (String, Value)| {
                let secret = SECRETS.contains(&name.as_str()) && member.is_string();
                (name, if secret { REDACTED.into() } else { redacted(member) })
            };
            Value::Object(members.into_iter().map(told).collect())
        }
        other => other,
    }
}

/// A compact JWS (RFC 7515 §7.1) anywhere in it: a header that begins with `{"`, and two dots.
fn is_jws(text: &str) -> bool {
    text.contains("eyJ") && text.matches('.').count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(value: &Value) -> Outcome {
        Outcome::Answered(value.to_string())
    }

    #[test]
    fn differences_are_told_by_their_place() {
        let recorded = answered(&json!({ "a": { "b/c": [1, 2] }, "gone": 1, "text": "{\"d\":1}", "same": true }));
        let replayed = answered(&json!({ "a": { "b/c": [1, 3] }, "text": "{\"d\":2}", "same": true, "new~": [] }));
        let found = of_outcomes(Some(&recorded), Some(&replayed));
        let paths: Vec<&str> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["/a/b~1c/1", "/gone", "/text/d", "/new~0"]);
        assert_eq!((&found[0].recorded, &found[0].replayed, &found[1].replayed), (&json!(2), &json!(3), &Value::Null));
        assert!(of_outcomes(Some(&recorded), Some(&recorded)).is_empty() && of_outcomes(None, Some(&recorded)).is_empty());
        let many = |from: u32| answered(&(from..from + 100).collect());
        assert_eq!(of_outcomes(Some(&many(0)), Some(&many(1))).len(), MOST);
        assert_eq!(shown(&Outcome::Failed("it trapped".into())), json!({ "sandbox": "it trapped" }));
    }

    #[test]
    fn nothing_secret_is_told() {
        let jws = "eyJhbGciOiJFZERTQSJ9.e30.c2ln";
        let page = json!({
            "minted": { "token": "opaque", "expires_in": 1 }, "body": format!("{{\"access_token\":\"opaque\",\"x\":\"{jws}\"}}"),
            "list": [jws], "long": "x".repeat(TEXT + 1), "token": { "value": 1 },
        });
        let told = shown(&answered(&page));
        assert_eq!(told["minted"], json!({ "token": REDACTED, "expires_in": 1 }));
        assert_eq!(told["body"], json!({ "access_token": REDACTED, "x": REDACTED }));
        assert_eq!((&told["list"][0], &told["token"]), (&json!(REDACTED), &json!({ "value": 1 })));
        assert_eq!(told["long"].as_str().unwrap().chars().count(), TEXT + 1);
        let found = of_questions(Import::CheckSecret, &("svc", "one"), &("svc", "other"));
        let hidden = Difference { path: "/1".into(), recorded: json!(REDACTED), replayed: json!(REDACTED) };
        assert_eq!(found, [hidden]);
        let found = of_questions(Import::FindClient, &("svc",), &("other",));
        assert_eq!((&found[0].recorded, &found[0].replayed), (&json!("svc"), &json!("other")));
        let found = of_outcomes(Some(&answered(&json!({ "secret": 1 }))), Some(&answered(&json!({ "secret": 2 }))));
        assert_eq!(found[0].recorded, json!(REDACTED));
    }
}
