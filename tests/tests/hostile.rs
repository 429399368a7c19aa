//! A component that misbehaves gets no approval and no signature it should not have.
//!
//! Every row is played by `tests/guests/hostile` inside the real host: what it shows the host, asks and wants signed stands in the
//! row; everything else is as an honest component would have it.

use rstest::rstest;
use serde_json::{Value, json};
use standin::types::{Credential, Request};
use standin_tests::hostile::{hostile, order, refused, verifies};
use standin_tests::idp::{Idp, now};
use standin_tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_honest_way_works_so_every_row_fails_for_its_own_reason() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let order = order("mint", &json!({ "event": "{\"outcome\":\"permit\",\"note\":\"mine\"}" }));
    let id = order.correlation_id.clone();
    let minted = standin.mint_on_behalf(order).await.unwrap();
    assert!(verifies(&standin, &minted.token));
    let events = world.audit_of(&id);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["outcome"], "permit");
    assert_eq!(events[0]["requester"], "svc-router");
    assert_eq!(events[0]["target"], "user:acme:u-alice");
    assert_eq!(events[0]["detail"]["note"], "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_signature_for_claims_that_were_not_approved() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let act = |act: Value| json!({ "claims": { "act": act } });
    let claims = |claims: Value| json!({ "claims": claims });
    let rows = [
        ("another issuer", claims(json!({ "iss": "https://evil.example.com" })), "iss is not our issuer"),
        ("no issuer", claims(json!({ "iss": null })), "iss is not our issuer"),
        ("another subject", claims(json!({ "sub": "user:acme:u-root" })), "sub is not the approved subject"),
        ("another tenant", claims(json!({ "tenant": "globex" })), "tenant is not the approved tenant"),
        ("another client", claims(json!({ "client_id": "svc-admin" })), "client_id is not the caller"),
        ("more scope", claims(json!({ "scope": "expenses:read expenses:write" })), "scope exceeds the approval"),
        ("a scope list", claims(json!({ "scope": ["expenses:read"] })), "scope exceeds the approval"),
        ("another audience", claims(json!({ "aud": "https://ledger.example.com" })), "aud exceeds the approval"),
        (
            "one more audience",
            claims(json!({ "aud": ["https://api.example.com", "https://ledger.example.com"] })),
            "aud exceeds the approval",
        ),
        ("no audience", claims(json!({ "aud": [] })), "aud exceeds the approval"),
        ("a longer life", claims(json!({ "exp": now() + 900 })), "exp exceeds the approval"),
        ("an endless life", claims(json!({ "exp": null })), "exp exceeds the approval"),
        ("a life in the future", claims(json!({ "iat": now() + 3600, "exp": now() + 3660 })), "iat is not now"),
        ("a life from the past", claims(json!({ "iat": now() - 3600 })), "iat is not now"),
        ("a later begin", claims(json!({ "nbf": now() + 3600 })), "nbf is not now"),
        (
            "another actor",
            act(json!({ "iss": "https://obo.example.com", "sub": "client:svc-admin" })),
            "act is not the approved chain",
        ),
        ("no actor", act(Value::Null), "act is not the approved chain"),
        (
            "a longer chain",
            act(json!({ "iss": "https://obo.example.com", "sub": "client:svc-router", "act": { "sub": "client:svc-admin" } })),
            "act is not the approved chain",
        ),
        ("a lineage", claims(json!({ "lineage": ["jti-of-somebody"] })), "lineage is not the subject token's"),
        ("another policy", claims(json!({ "policy": "0".repeat(64) })), "policy is not the module that permitted"),
        ("no policy", claims(json!({ "policy": null })), "policy is not the module that permitted"),
        ("an account of another tenant", claims(json!({ "account_id": "globex" })), "the account is not one of the subject's"),
        ("an account's names mixed", claims(json!({ "csp_id": 1002 })), "the account is not one of the subject's"),
        ("another kind", claims(json!({ "obo_type": "host" })), "obo_type is not the approved kind"),
        (
            "a machine",
            claims(json!({ "host": { "id": "0f8fad5b-d9cb-469f-a165-70867728950e" } })),
            "host is not the approved machine",
        ),
        ("a provisional mark", claims(json!({ "provisional": true })), "provisional does not fit the subject"),
        ("an acr of its own", claims(json!({ "acr": "mfa" })), "acr, amr or auth_time is not the subject token's"),
        ("an extra claim", claims(json!({ "role": "admin" })), "the claims have an unknown member"),
        ("a claim twice", json!({ "append": ",\"sub\":\"user:acme:u-root\"}" }), "the claims are not a strict json object"),
        (
            "a claim twice, escaped",
            json!({ "append": ",\"s\\u0075b\":\"user:acme:u-root\"}" }),
            "the claims are not a strict json object",
        ),
        (
            "text behind the claims",
            json!({ "append": "} {\"sub\":\"user:acme:u-root\"}" }),
            "the claims are not a strict json object",
        ),
        ("a transaction token", json!({ "purpose": "transaction-token" }), "the approval is not for this purpose"),
        ("an id-jag", json!({ "purpose": "id-jag" }), "the approval is not for this purpose"),
        ("an introspection answer", json!({ "purpose": "introspection" }), "the approval is not for this purpose"),
        (
            "an event on two lines",
            json!({ "event": "{}\n{\"outcome\":\"permit\"}" }),
            "the component's event is not a json object within the limits",
        ),
        ("two events", json!({ "event": "{},{}" }), "the component's event is not a json object within the limits"),
        ("no event", json!({ "event": "" }), "the component's event is not a json object within the limits"),
        (
            "a long event",
            json!({ "event": format!("{{\"a\":\"{}\"}}", "x".repeat(20_000)) }),
            "the component's event is not a json object within the limits",
        ),
        (
            "a deep event",
            json!({ "event": format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200)) }),
            "the component's event is not a json object within the limits",
        ),
    ];
    for (what, orders, why) in rows {
        let (failure, event) = refused(&world, &standin, order("mint", &orders)).await;
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("hostile.refused", why), "{what}");
        assert_eq!(event["outcome"], "fail", "{what}");
        assert_eq!(event["requester"], "svc-router", "{what}");
        assert_eq!(event["decision"]["target"], "user:acme:u-alice", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn no_approval_for_what_was_not_proven() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let question = |question: Value| json!({ "question": question });
    let seen = |evidence: Value, question: Value| json!({ "evidence": evidence, "question": question });
    let ask_about = |token: &str, subject: &str| {
        seen(json!([["authenticate"], ["subject-token", token]]), json!({ "subject": subject, "kind": "external" }))
    };
    let idp = &world.idp;
    let stranger =
        idp.sign_as_stranger(&json!({ "alg": "ES256", "typ": "JWT", "kid": standin_tests::idp::KID }), &Idp::claims(json!({})));
    let unproven = "no evidence names the subject";
    let rows = [
        ("a made-up user", question(json!({ "subject": "user:acme:u-nobody" })), unproven),
        ("a user nobody asked for", question(json!({ "subject": "user:acme:u-bob" })), unproven),
        (
            "a user of another tenant",
            seen(json!([["authenticate"], ["user", "gina@globex.example"]]), json!({ "subject": "user:acme:u-gina" })),
            "the user has no active account in the tenant",
        ),
        (
            "another tenant",
            seen(
                json!([["authenticate"], ["user", "gina@globex.example"]]),
                json!({ "subject": "user:globex:u-gina", "tenant": "globex" }),
            ),
            "the tenant is not the caller's",
        ),
        (
            "a disabled user",
            seen(json!([["authenticate"], ["user", "carl@example.com"]]), json!({ "subject": "user:acme:u-carl" })),
            "the user is not active",
        ),
        (
            "a user of a disabled account",
            seen(json!([["authenticate"], ["user", "dora@example.com"]]), json!({ "subject": "user:acme:u-dora" })),
            "the user has no active account in the tenant",
        ),
        (
            "a protected user",
            seen(json!([["authenticate"], ["user", "root@example.com"]]), json!({ "subject": "user:acme:u-root" })),
            "the user is protected",
        ),
        (
            "a kind it may not name",
            seen(
                json!([["secret", "svc-admin", standin_tests::world::SECRET], ["user", "alice@example.com"]]),
                json!({ "caller": "client:svc-admin", "kind": "envoy" }),
            ),
            "the caller may not name subjects of this kind",
        ),
        (
            "a machine without its user",
            seen(
                json!([["authenticate"], ["machine", "edge-7"]]),
                json!({ "kind": "host", "subject": "host:acme:0f8fad5b-d9cb-469f-a165-70867728950e" }),
            ),
            "the host has no active key of an active user of its account",
        ),
        (
            "a disabled machine",
            seen(
                json!([["authenticate"], ["machine", "edge-off"], ["user", "bob@example.com"]]),
                json!({ "kind": "host", "subject": "host:acme:1f8fad5b-d9cb-469f-a165-70867728950e" }),
            ),
            "the host is not active",
        ),
        ("a token nobody verified", ask_about("", "ext:corp:alice"), unproven),
        ("a token of a stranger", ask_about(&stranger, "ext:corp:alice"), unproven),
        (
            "an expired token",
            ask_about(&idp.token(json!({ "exp": now() - 60, "iat": now() - 600 })), "ext:corp:alice"),
            "the subject token has expired",
        ),
        (
            "a token from the future",
            ask_about(&idp.token(json!({ "nbf": now() + 600 })), "ext:corp:alice"),
            "the subject token is not valid yet",
        ),
        (
            "a token for somebody else",
            ask_about(&idp.token(json!({ "aud": "https://other.example.com" })), "ext:corp:alice"),
            "the subject token is addressed to somebody else",
        ),
        (
            "a token of another tenant",
            ask_about(&idp.token(json!({ "tenant": "globex" })), "ext:corp:alice"),
            "the subject token speaks for another tenant",
        ),
        (
            "a token that is bound to a key",
            ask_about(&idp.token(json!({ "cnf": { "jkt": "x" } })), "ext:corp:alice"),
            "the subject token is bound to a key, and an audience is not",
        ),
        ("another subject than the token's", ask_about(&idp.token(json!({})), "ext:corp:bob"), unproven),
        (
            "more scope than the token's",
            {
                let mut orders = ask_about(&idp.token(json!({ "scope": "expenses:read" })), "ext:corp:alice");
                orders["question"]["scope"] = json!(["expenses:write"]);
                orders
            },
            "a scope exceeds the subject's",
        ),
        (
            "a longer life than the token's",
            {
                let mut orders = ask_about(&idp.token(json!({ "exp": now() + 40 })), "ext:corp:alice");
                orders["question"]["ttl"] = json!(600);
                orders
            },
            "the lifetime exceeds a limit",
        ),
        ("more scope than registered", question(json!({ "scope": ["admin"] })), "a scope exceeds the caller's registration"),
        (
            "more scope than the directory gives",
            seen(
                json!([["authenticate"], ["user", "bob@example.com"]]),
                json!({ "subject": "user:acme:u-bob", "scope": ["expenses:write"] }),
            ),
            "a scope exceeds the subject's",
        ),
        (
            "more scope than the audience takes",
            question(json!({ "audience": ["https://ledger.example.com"], "scope": ["expenses:write"] })),
            "a scope exceeds the audience's registration",
        ),
        (
            "an audience not registered",
            question(json!({ "audience": ["https://evil.example.com"] })),
            "an audience exceeds the caller's registration",
        ),
        ("no audience", question(json!({ "audience": [] })), "an audience is not registered"),
        ("another flow", question(json!({ "flow": "exchange" })), "an audience is registered for another flow"),
        ("a longer life", question(json!({ "ttl": 601 })), "the lifetime exceeds a limit"),
        ("no life", question(json!({ "ttl": 0 })), "the lifetime exceeds a limit"),
        (
            "an unknown address nobody asked for",
            seen(
                json!([["authenticate"], ["account", "001AcmeEU"], ["pseudonym", "provisional:acme", "new@example.com"]]),
                json!({ "kind": "envoy", "subject": "provisional:acme:x" }),
            ),
            unproven,
        ),
        (
            "a caller that did not authenticate",
            seen(json!([["user", "alice@example.com"]]), json!({})),
            "the caller has not proven itself",
        ),
        (
            "a caller with a wrong secret",
            seen(json!([["secret", "svc-router", "wrong"], ["user", "alice@example.com"]]), json!({})),
            "the caller has not proven itself",
        ),
        (
            "another caller than the one that did",
            seen(json!([["authenticate"], ["user", "alice@example.com"]]), json!({ "caller": "client:svc-admin" })),
            "the caller has not proven itself",
        ),
        (
            "a caller that nobody vouched for",
            seen(json!([["user", "alice@example.com"]]), json!({ "caller": "client:edge" })),
            "the caller has not proven itself",
        ),
        (
            "a user's token as a caller's",
            seen(
                json!([["caller-token", idp.token(json!({ "sub": "workload-7" }))], ["user", "alice@example.com"]]),
                json!({ "caller": "client:svc-bearer" }),
            ),
            "the caller has not proven itself",
        ),
        (
            "an expired caller token",
            seen(
                json!([["caller-token", idp.caller(json!({ "exp": now() - 60 }))], ["user", "alice@example.com"]]),
                json!({ "caller": "client:svc-bearer" }),
            ),
            "the caller's token is not live",
        ),
        (
            "a caller token for somebody else",
            seen(
                json!([
                    ["caller-token", idp.caller(json!({ "aud": "https://other.example.com" }))],
                    ["user", "alice@example.com"]
                ]),
                json!({ "caller": "client:svc-bearer" }),
            ),
            "the caller's token is not addressed to us",
        ),
        (
            "a caller token that is bound to a key",
            seen(
                json!([["caller-token", idp.caller(json!({ "cnf": { "jkt": "x" } }))], ["user", "alice@example.com"]]),
                json!({ "caller": "client:svc-bearer" }),
            ),
            "the caller's token is bound to a key",
        ),
        (
            "a caller token of an unknown client",
            seen(
                json!([["caller-token", idp.caller(json!({ "sub": "workload-8" }))], ["user", "alice@example.com"]]),
                json!({ "caller": "client:svc-bearer" }),
            ),
            "the caller is not registered",
        ),
    ];
    for (what, orders, why) in rows {
        let (failure, event) = refused(&world, &standin, order("mint", &orders)).await;
        assert_eq!(failure.code, "hostile.unapproved", "{what}");
        assert_eq!(event["decision"]["refusal"], why, "{what}");
        assert_eq!(event["outcome"], "fail", "{what}");
        // Nothing that the component claims of the parties reaches the policy.
        assert!(!event["decision"]["asked"].to_string().contains("protected\\\",\\\"value\\\":\\\"false"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_registered_and_the_one_that_was_asked_for() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let within = |step: Option<&str>, orders: Value| Request { step: step.map(str::to_owned), ..order("mint", &orders) };
    let write = json!(["expenses:write"]);
    let honest = within(Some("approve-expense"), json!({ "question": { "scope": write } }));
    assert!(verifies(&standin, &standin.mint_on_behalf(honest).await.unwrap().token));
    let unnamed = "the step is not the one that the request names";
    let questions = [
        ("one nobody registered", Some("pay"), json!({}), "the caller's registration has no such step"),
        ("one of the client's that was not asked for", Some("approve-expense"), json!({ "step": "review" }), unnamed),
        ("none although one was asked for", Some("approve-expense"), json!({ "step": null }), unnamed),
        ("one although none was asked for", None, json!({ "step": "review" }), unnamed),
        ("more scope than the step's", Some("approve-expense"), json!({}), "a scope exceeds the step's registration"),
        (
            "another audience than the step's",
            Some("approve-expense"),
            json!({ "scope": [], "audience": ["https://ledger.example.com"] }),
            "an audience exceeds the step's registration",
        ),
        ("a step of another client", Some("review"), json!({ "caller": "client:svc-admin" }), "the caller has not proven itself"),
    ];
    for (what, step, question, why) in questions {
        let (failure, event) = refused(&world, &standin, within(step, json!({ "question": question }))).await;
        assert_eq!(failure.code, "hostile.unapproved", "{what}");
        assert_eq!(event["decision"]["refusal"], why, "{what}");
    }
    for (what, step, claimed) in [
        ("another step", Some("review"), json!("approve-expense")),
        ("a step in place of none", None, json!("review")),
        ("no step", Some("review"), Value::Null),
    ] {
        let (failure, event) = refused(&world, &standin, within(step, json!({ "claims": { "step": claimed } }))).await;
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("hostile.refused", "step is not the approved step"),
            "{what}"
        );
        assert_eq!(event["decision"]["asked"]["step"].as_str(), step, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_nobody_may_vouch_for_is_not_attested() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let mut order = order("mint", &json!({ "evidence": [["user", "alice@example.com"]] }));
    order.caller = Credential::Attested("svc-router".into());
    let (failure, event) = refused(&world, &standin, order).await;
    assert_eq!(failure.code, "hostile.unapproved");
    assert_eq!(event["decision"]["refusal"], "the caller's registration does not let the embedding program vouch for it");
}

#[rstest]
#[case::forged("approval-forged", 0)]
#[case::used_twice("approval-twice", 1)]
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_the_hosts_and_good_for_one_signature(#[case] trick: &str, #[case] signed: usize) {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let request = order(trick, &json!({}));
    let id = request.correlation_id.clone();
    let failure = standin.mint_on_behalf(request).await.unwrap_err();
    assert_eq!(failure.code, "runtime.trapped");
    let events = world.audit_of(&id);
    // The first signature was honest and is on record; it went down with the sandbox.
    assert_eq!(events.iter().filter(|event| event["outcome"] == "permit").count(), signed);
    assert_eq!(events.iter().filter(|event| event["code"] == "runtime.trapped").count(), 1);
}

#[rstest]
#[case::fresh("request", "hostile.nothing_kept")]
#[case::reused("reuse", "runtime.trapped")]
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_does_not_outlive_its_request(#[case] isolation: &str, #[case] code: &str) {
    let runtime = format!("\n[policy]\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\nisolation = \"{isolation}\"\n");
    let world = World::with(|config| config.push_str(&runtime), |_| {}).await;
    let standin = hostile(&world).await;
    let mut codes = Vec::new();
    // As often as it takes to meet the same sandbox again.
    for _ in 0..12 {
        let (kept, _) = refused(&world, &standin, order("approval-kept", &json!({}))).await;
        assert_eq!(kept.code, "hostile.kept");
        let before = order("approval-from-before", &json!({}));
        match standin.mint_on_behalf(before).await {
            Ok(minted) => panic!("signed with an approval of another request: {minted:?}"),
            Err(failure) => codes.push(failure.code),
        }
    }
    assert!(codes.iter().any(|seen| seen == code), "{codes:?}");
    assert!(codes.iter().all(|seen| seen == code || seen == "hostile.nothing_kept"), "{codes:?}");
}
