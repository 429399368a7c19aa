//! The honest way to a token, step by step, each step bent by the orders.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::bindings::standin::obo::decision_point::{self, Approval, Judged};
use crate::bindings::standin::obo::directory::{self, AccountKey, MachineKey, UserKey};
use crate::bindings::standin::obo::keys::{self, KeyError, KeySource, Purpose};
use crate::bindings::standin::obo::registry;
use crate::bindings::standin::obo::types::{Attribute, Credential, Input, Party, Request};
use crate::orders::Orders;

/// Why there is no token.
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) text: String,
}

impl Refused {
    pub(crate) fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into() }
    }
}

/// A question that was permitted, and the approval.
pub(crate) struct Permitted {
    pub(crate) approval: Approval,
    pub(crate) claims: Map<String, Value>,
}

/// The whole way: evidence, question, claims, signature.
pub(crate) fn mint(request: &Request, orders: &Orders<'_>) -> Result<String, Refused> {
    let Permitted { approval, mut claims } = permitted(request, orders)?;
    orders.change("claims", &mut claims);
    sign(approval, orders, &write(&claims, orders))
}

/// Gathers evidence and asks the policy.
pub(crate) fn permitted(request: &Request, orders: &Orders<'_>) -> Result<Permitted, Refused> {
    gather(request, orders);
    let input = question(request, orders);
    let judged = decision_point::judge(&input).map_err(|error| Refused::new("hostile.judge", format!("{error:?}")))?;
    let Judged { verdict: _, module_digest, approval } = judged;
    let approval = approval.ok_or_else(|| Refused::new("hostile.unapproved", "no approval"))?;
    Ok(Permitted { approval, claims: claims(&input, &module_digest) })
}

pub(crate) fn sign(approval: Approval, orders: &Orders<'_>, claims: &str) -> Result<String, Refused> {
    let purpose = match orders.text("purpose").as_deref() {
        Some("transaction-token") => Purpose::TransactionToken,
        Some("id-jag") => Purpose::IdJag,
        Some("introspection") => Purpose::Introspection,
        _ => Purpose::AccessToken,
    };
    let event = orders.text("event").unwrap_or_else(|| "{}".into());
    keys::sign(approval, purpose, claims, &event).map_err(|error| match error {
        KeyError::Refused(text) => Refused::new("hostile.refused", text),
        other => Refused::new("hostile.unsigned", format!("{other:?}")),
    })
}

/// The claims as text; `append` adds members behind the last one, also such as are there already.
pub(crate) fn write(claims: &Map<String, Value>, orders: &Orders<'_>) -> String {
    let mut text = Value::Object(claims.clone()).to_string();
    if let Some(more) = orders.text("append") {
        text.pop();
        text.push_str(&more);
    }
    text
}

/// Shows the host the caller's credential and asks the directory for alice, or does what `evidence` lists instead.
fn gather(request: &Request, orders: &Orders<'_>) {
    let Value::Array(calls) = orders.get("evidence") else {
        authenticate(request);
        let _found = directory::find_user(&UserKey::Email("alice@example.com".into()));
        return;
    };
    for call in &calls {
        let argument = |at: usize| call.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        // What comes of it does not matter here: only what the host remembers does.
        match argument(0).as_str() {
            "authenticate" => authenticate(request),
            "user" => drop(directory::find_user(&UserKey::Email(argument(1)))),
            "user-id" => drop(directory::find_user(&UserKey::Id(argument(1)))),
            "account" => drop(directory::find_account(&AccountKey::Sfdc(argument(1)))),
            "machine" => drop(directory::find_machine(&MachineKey::Ophid(argument(1)))),
            "subject-token" => drop(keys::verify(&argument(1), &KeySource::SubjectIssuer)),
            "caller-token" => drop(keys::verify(&argument(1), &KeySource::CallerIssuer)),
            "secret" => drop(keys::check_secret(&argument(1), &argument(2))),
            "pseudonym" => drop(keys::pseudonym(&argument(1), &argument(2))),
            _ => {}
        }
    }
}

pub(crate) fn authenticate(request: &Request) {
    match &request.caller {
        Credential::ClientSecret(shown) => drop(keys::check_secret(&shown.client_id, &shown.secret)),
        // Nothing of the token is looked at: that is for the host.
        Credential::Bearer(token) => {
            let _verified = keys::verify(token, &KeySource::CallerIssuer);
            let _named = registry::find_client_by_identity("https://callers.example.com", "workload-7");
        }
        Credential::ClientAssertion(_) | Credential::Certificate(_) | Credential::Attested(_) => {}
    }
}

/// Whether `svc-router` may act for alice at the API, or what `question` makes of that.
fn question(request: &Request, orders: &Orders<'_>) -> Input {
    let mut asked = match json!({
        "caller": "client:svc-router", "kind": "user", "subject": "user:acme:u-alice", "tenant": "acme",
        "audience": ["https://api.example.com"], "scope": ["expenses:read"], "ttl": 60, "flow": "local", "attributes": [],
        "step": request.step,
    }) {
        Value::Object(asked) => asked,
        _ => Map::new(),
    };
    orders.change("question", &mut asked);
    let text = |name| asked.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |name| {
        let list = asked.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let facts = texts("attributes").into_iter();
    Input {
        caller: party("client", &text("caller")),
        subject: party(&text("kind"), &text("subject")),
        chain: texts("chain"),
        tenant: text("tenant"),
        audience: texts("audience"),
        scope: texts("scope"),
        ttl: asked.get("ttl").and_then(Value::as_u64).and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(u32::MAX),
        flow: text("flow"),
        step: asked.get("step").and_then(Value::as_str).map(str::to_owned),
        now: now(),
        attributes: facts.map(|name| Attribute { name, value: "true".into() }).collect(),
    }
}

/// The claims an honest component would have signed for this question.
fn claims(input: &Input, module_digest: &str) -> Map<String, Value> {
    let issuer = "https://obo.example.com";
    let claims = json!({
        "iss": issuer, "sub": input.subject.id, "aud": input.audience, "iat": now(), "exp": now() + u64::from(input.ttl),
        "jti": "AAAAAAAAAAAAAAAAAAAAAA", "client_id": input.caller.id.trim_start_matches("client:"), "scope": input.scope.join(" "),
        "act": { "iss": issuer, "sub": input.caller.id }, "tenant": input.tenant, "account_id": "acme-eu", "obo_type": "user",
        "policy": module_digest, "step": input.step,
    });
    match claims {
        Value::Object(mut claims) => {
            claims.retain(|_, value| !value.is_null());
            claims
        }
        _ => Map::new(),
    }
}

pub(crate) fn party(kind: &str, id: &str) -> Party {
    // Nothing in here is true: the host has to know it all by itself.
    let attributes = vec![Attribute { name: "protected".into(), value: "false".into() }];
    Party { kind: kind.into(), id: id.into(), tenants: vec!["acme".into(), "globex".into()], provisional: false, attributes }
}

#[expect(clippy::disallowed_methods, reason = "this component has no ports")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
