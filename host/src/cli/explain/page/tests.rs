use serde_json::json;

use super::*;

fn permit() -> Value {
    json!({
        "correlation_id": "c-1", "outcome": "permit",
        "caller": { "id": "client:svc-router", "tenants": ["acme"], "subjects": ["user"] },
        "subject": {
            "kind": "user", "sub": "user:acme:u-bob", "obo_type": "user", "provisional": false, "host": null, "lineage": ["abc"],
            "account": { "account_id": "acme-eu", "csp_id": 1001, "sfdc_account_id": null },
            "chain": { "iss": "https://obo.example.com", "sub": "client:first", "act": { "sub": "second" } },
        },
        "tenant": "acme",
        "ceilings": {
            "scope": { "asked": ["expenses:read", "expenses:write", "reports:read"], "terms": [
                { "by": "subject", "allows": null },
                { "by": "client", "allows": ["expenses:read", "expenses:write"] },
                { "by": "audience", "allows": ["expenses:read", "expenses:write", "reports:read"] },
                { "by": "audience", "allows": ["expenses:read", "expenses:write"] },
                { "by": "policy", "allows": ["expenses:read"] },
            ] },
            "audience": { "asked": ["https://api.example.com"], "terms": [{ "by": "client", "allows": ["https://api.example.com"] }] },
            "ttl": [{ "by": "server", "seconds": 900 }, { "by": "request", "seconds": 90 }, { "by": "policy", "seconds": 90 }],
        },
        "granted": { "scope": ["expenses:read"], "audience": ["https://api.example.com"], "ttl": 90 },
        "dropped": [{ "scope": "reports:read", "by": "client" }, { "scope": "expenses:write", "by": "policy" }],
        "rules": [{ "rule": "people", "text": "for\u{1b}[2K people" }],
        "claims": { "iss": "https://obo.example.com", "exp": 1_795_228_024, "csp_id": 1001, "auth_time": 1_795_227_724 },
    })
}

#[test]
fn a_permit_shows_who_allows_what_and_until_when() {
    insta::assert_snapshot!(page(&permit(), Stream::Out));
}

#[test]
fn a_denial_says_why_first_and_shows_how_far_it_came() {
    let mut denied = permit();
    denied["outcome"] = json!("deny");
    for gone in ["granted", "claims", "rules"] {
        denied.as_object_mut().unwrap().remove(gone);
    }
    denied["failure"] = json!({
        "code": "scope.not_allowed", "error": "invalid_scope", "status": 400, "message": "a requested scope may not be granted",
        "field": "scope", "cause": "reports:read by client", "acr": null, "rules": [{ "rule": "r", "text": "" }],
    });
    insta::assert_snapshot!(page(&denied, Stream::Out));
}

#[test]
fn a_stranger_sees_the_failure_alone() {
    let failure =
        json!({ "code": "caller.invalid", "error": "invalid_client", "status": 401, "message": "client authentication failed" });
    let stranger = json!({ "outcome": "deny", "correlation_id": "c-2", "failure": failure });
    assert_eq!(page(&stranger, Stream::Out), "deny caller.invalid: client authentication failed\n\nrecord    c-2\n");
}
