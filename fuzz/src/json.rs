//! The JSON body of `obo_mint`.

use serde_json::Value;

use crate::world::World;

/// Every answer is a right one, and what was taken is an object of known members to any reader of JSON.
pub fn holds(data: &[u8]) {
    let answer = World::get().mint("svc-router", data);
    if answer.code().is_some_and(|code| code.starts_with("request.")) {
        return;
    }
    let body: Value = serde_json::from_slice(data).unwrap_or_else(|error| panic!("{error}"));
    let members = body.as_object().unwrap_or_else(|| panic!("{body}"));
    assert!(members.keys().all(|name| KNOWN.contains(&name.as_str())), "{body}");
    assert!(matches!(members.get("id_type").and_then(Value::as_str), Some("user" | "host" | "envoy")), "{body}");
}

/// docs/http.md.
const KNOWN: [&str; 9] = ["id_type", "id", "account_id", "account_csp_id", "sfdc_account_id", "audience", "scope", "ttl", "step"];
