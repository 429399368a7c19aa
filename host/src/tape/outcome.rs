//! Answers of the component as JSON: two that are equal have the same text, and two that are not have another.

use serde::Serialize;
use serde_json::{Value, json};
use wasmtime::component::ResourceAny;

use super::entry::Outcome;
use crate::bindings::endpoint::HttpResponse;
use crate::bindings::obo::{Ceiling, Decision, Denial, Grant};
use crate::bindings::types::{Failure, Minted, Party};

/// What a call of the component answers.
pub(crate) trait Answered {
    /// The whole of it. A handle is nothing but there.
    fn written(&self) -> Value;

    /// The same as an outcome.
    fn outcome(&self) -> Outcome {
        Outcome::Answered(self.written().to_string())
    }
}

fn value(part: &impl Serialize) -> Value {
    // Only a map with keys that are no text could fail, and the contract has none.
    serde_json::to_value(part).unwrap_or_default()
}

fn or_failure<T>(answer: &Result<T, Failure>, written: impl FnOnce(&T) -> Value) -> Value {
    match answer {
        Ok(answer) => written(answer),
        Err(failure) => json!({ "failure": value(failure) }),
    }
}

impl Answered for Result<Minted, Failure> {
    fn written(&self) -> Value {
        or_failure(self, |minted| json!({ "minted": value(minted) }))
    }
}

impl Answered for Result<String, Failure> {
    fn written(&self) -> Value {
        or_failure(self, |page| json!({ "explained": page }))
    }
}

impl Answered for Result<ResourceAny, Failure> {
    fn written(&self) -> Value {
        or_failure(self, |_handle| json!({ "target": {} }))
    }
}

impl Answered for Result<Decision, Failure> {
    fn written(&self) -> Value {
        or_failure(self, |decision| match decision {
            Decision::Permit(_handle) => json!({ "permit": {} }),
            Decision::Deny(Denial { failure, reasons }) => {
                json!({ "denial": { "failure": value(failure), "reasons": value(reasons) } })
            }
        })
    }
}

impl Answered for HttpResponse {
    fn written(&self) -> Value {
        let Self { status, headers, body } = self;
        let headers: Vec<Value> = headers.iter().map(|(name, content)| json!([name, bytes(content)])).collect();
        json!({ "http": { "status": status, "headers": headers, "body": bytes(body) } })
    }
}

/// Text as text, anything else as a list of numbers.
fn bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), Value::from)
}

impl Answered for Party {
    fn written(&self) -> Value {
        json!({ "party": value(self) })
    }
}

impl Answered for String {
    fn written(&self) -> Value {
        json!({ "tenant": self })
    }
}

impl Answered for Ceiling {
    fn written(&self) -> Value {
        let Self { scope, audience, ttl, attributes } = self;
        json!({ "ceiling": { "scope": scope, "audience": audience, "ttl": ttl, "attributes": value(attributes) } })
    }
}

impl Answered for Grant {
    fn written(&self) -> Value {
        let Self { flow, audience, scope, dropped_scope, ttl, reasons, attributes } = self;
        json!({ "grant": {
            "flow": flow, "audience": audience, "scope": scope, "dropped_scope": dropped_scope, "ttl": ttl,
            "reasons": value(reasons), "attributes": value(attributes),
        } })
    }
}
