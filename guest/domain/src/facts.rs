//! Facts that everybody reads the same way: the component, the host and every policy. One of another type, as some servers send them, is
//! as if it were not there; the host names it in the audit record.

use serde::Serialize;
use serde_json::Value;

use crate::claims;

/// What policies are told of a subject token beside its issuer.
pub const OF_TOKENS: [&str; 5] = ["acr", "amr", "auth_time", "groups", "roles"];

/// The longest `acr`, and the longest `amr` in all, in bytes: they go on from token to token.
const MAX_TEXT: usize = 512;
/// The first second that not every JSON parser can count to.
const TOO_LATE: u64 = 1 << 53;

/// What a subject token says of the authentication behind it (OpenID Connect Core §2); our own token says the same (RFC 9068 §2.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Authentication {
    /// Its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Its methods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// When it was, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
}

impl Authentication {
    /// The claims that say it.
    pub const CLAIMS: [&str; 3] = ["acr", "amr", "auth_time"];

    /// Of these claims; one of another type is left out.
    pub fn of<'a>(claim: impl Fn(&str) -> Option<&'a Value>) -> Self {
        Self {
            acr: claim("acr").and_then(class),
            amr: claim("amr").and_then(methods),
            auth_time: claim("auth_time").and_then(moment),
        }
    }
}

/// The fact as policies are told it; `None` where it is not of the type that its name has. A single string stands for the list of it, a
/// time is in whole seconds. Facts of other names are what they are.
pub fn read(name: &str, value: &Value) -> Option<Value> {
    match name {
        "protected" => value.as_bool().map(Value::from),
        "issuer" => value.as_str().map(Value::from),
        "acr" => class(value).map(Value::from),
        "amr" => methods(value).map(Value::from),
        "auth_time" => moment(value).map(Value::from),
        "groups" | "roles" => texts(value).map(Value::from),
        _ => Some(value.clone()),
    }
}

fn class(value: &Value) -> Option<String> {
    value.as_str().filter(|text| text.len() <= MAX_TEXT).map(str::to_owned)
}

fn methods(value: &Value) -> Option<Vec<String>> {
    // As JSON writes it, with two quotation marks and a comma each.
    texts(value).filter(|texts| texts.iter().map(|text| text.len() + 3).sum::<usize>() <= MAX_TEXT)
}

fn moment(value: &Value) -> Option<u64> {
    claims::seconds(value).filter(|seconds| *seconds < TOO_LATE)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("acr", json!("urn:mfa"), Some(json!("urn:mfa")))]
    #[case("acr", json!(1), None)]
    #[case("acr", json!(["urn:mfa"]), None)]
    #[case("acr", json!("x".repeat(MAX_TEXT + 1)), None)]
    #[case("amr", json!(["pwd", "otp"]), Some(json!(["pwd", "otp"])))]
    #[case("amr", json!("pwd"), Some(json!(["pwd"])))]
    #[case("amr", json!([]), Some(json!([])))]
    #[case("amr", json!(["pwd", 1]), None)]
    #[case("amr", json!(vec!["x"; MAX_TEXT]), None)]
    #[case("auth_time", json!(1_700_000_000), Some(json!(1_700_000_000)))]
    #[case("auth_time", json!(1_700_000_000.9), Some(json!(1_700_000_000)))]
    #[case("auth_time", json!(0), Some(json!(0)))]
    #[case("auth_time", json!("2020-01-01T00:00:00Z"), None)]
    #[case("auth_time", json!(-1), None)]
    #[case("auth_time", json!(u64::MAX), None)]
    #[case("auth_time", json!(1e300), None)]
    #[case("groups", Value::Null, None)]
    #[case("groups", json!("staff"), Some(json!(["staff"])))]
    #[case("roles", json!({}), None)]
    #[case("roles", json!([["admin"]]), None)]
    #[case("protected", json!("no"), None)]
    #[case("issuer", json!(7), None)]
    #[case("department", json!({ "any": [1, null] }), Some(json!({ "any": [1, null] })))]
    fn a_fact_is_of_the_type_its_name_has(#[case] name: &str, #[case] value: Value, #[case] told: Option<Value>) {
        assert_eq!(read(name, &value), told);
    }

    #[test]
    fn what_goes_on_reads_the_same_at_the_next_hop() {
        let said = json!({ "acr": "high", "amr": "pwd", "auth_time": 12.5 });
        let first = Authentication::of(|name| said.get(name));
        let claims = serde_json::to_value(&first).unwrap();
        assert_eq!(claims, json!({ "acr": "high", "amr": ["pwd"], "auth_time": 12 }));
        assert_eq!(Authentication::of(|name| claims.get(name)), first);
        for name in Authentication::CLAIMS {
            assert_eq!(read(name, &said[name]).as_ref(), claims.get(name));
        }
        let odd = json!({ "acr": 1, "amr": {}, "auth_time": "now" });
        assert_eq!(Authentication::of(|name| odd.get(name)), Authentication::default());
    }
}
