//! The claims of a subject token whose signature is right, by one of the trusted issuers, or by us where `iss` says so.

use serde_json::Value;
use standin::bindings::keys::KeySource;
use standin_domain::claims::Claims;
use standin_domain::flow::TYP_ACCESS_TOKEN;
use standin_domain::id;
use standin_domain::ports::{Directory as _, Input, Party, UserKey};

use crate::world::{API, Answer, ISSUER, World};

/// Component and host agree.
pub fn holds(data: &[u8]) {
    agrees("JWT", data);
    agrees(TYP_ACCESS_TOKEN, data);
}

/// Whatever the component makes of such a token, the host does too: it approves of what the component asks, it reads the same claims, and
/// what the component refuses it refuses whoever asks, and however.
pub(crate) fn agrees(typ: &str, claims: &[u8]) {
    let world = World::get();
    let said: Value = serde_json::from_slice(claims).unwrap_or_default();
    let ours = said.get("iss").and_then(Value::as_str) == Some(ISSUER);
    // Our own token is good only in the hands of its addressee.
    let (client, jws) =
        if ours { ("svc-ledger", world.own.token(typ, claims)) } else { ("svc-router", world.theirs.token(typ, claims)) };
    if let Ok(verified) = world.verified(&jws, &KeySource::SubjectIssuer) {
        assert_eq!(verified.as_bytes(), claims);
        assert!(Claims::parse(&verified, world.max_depth()).is_ok(), "only the host reads {said}");
    }
    let body = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type=urn:ietf:params:oauth:token-type:jwt\
         &subject_token={jws}&audience={API}&scope=expenses:read"
    );
    let answer = world.exchange(client, body.as_bytes());
    match answer.code() {
        None => carries_on(&answer, &said),
        Some(code) => refuses(&answer, client, &said, code.starts_with("subject.")),
    }
}

/// What is minted says what the token said.
fn carries_on(answer: &Answer<'_>, said: &Value) {
    let minted = answer.claims().unwrap_or_default();
    let ours = said.get("iss") == Some(&Value::from(ISSUER));
    for name in if ours { &["acr", "obo_type", "sub", "tenant"][..] } else { &["acr"] } {
        if let (Some(before), Some(after)) = (said.get(name), minted.get(name)) {
            assert_eq!(before, after, "{said} {minted}");
        }
    }
    let ends = |claims: &Value| claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
    assert!(ends(&minted) <= ends(said), "{said} {minted}");
    assert!(said.get("cnf").is_none(), "{said}");
    let inner = minted.pointer("/act/act/sub");
    assert_eq!(inner, said.pointer("/act/sub"), "{said} {minted}");
    if let Some(jti) = said.get("jti").filter(|_| ours) {
        let lineage = minted.get("lineage").and_then(Value::as_array).cloned().unwrap_or_default();
        assert!(lineage.contains(jti), "{said} {minted}");
    }
}

/// The component, were it another, gets nothing for this token: nobody's tenant but the caller's, and nothing at all where the honest one
/// refuses the token for itself.
fn refuses(answer: &Answer<'_>, client: &str, said: &Value, altogether: bool) {
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let sub = text("sub");
    let external = UserKey::External(("joined".to_owned(), text("employee").to_owned()));
    // Whom the directory knows can be named without a token too, so it is asked only where a token's limits hold: what the host does not
    // verify, such as a text with a member twice, has none, and names nobody.
    if answer.native.evidence(|seen| !seen.tokens.is_empty()) {
        let own = id::user_id(sub, "acme").map(UserKey::Id);
        for key in [UserKey::Id(sub.to_owned()), external].into_iter().chain(own) {
            let _known = answer.native.find_user(&key);
        }
    }
    let ids = match text("iss") {
        ISSUER => vec![sub.to_owned()],
        "https://joined.example.com" => vec![id::user("acme", "u-alice"), id::user("acme", "u-bob")],
        "https://owner.example.com" => vec![id::user("acme", sub)],
        _ => vec![id::external("corp", sub)],
    };
    for id in ids {
        for tenant in ["acme", "globex"] {
            if tenant == "globex" || altogether {
                let question = question(client, &id, tenant);
                assert!(!answer.is_proven(&question), "only the component refuses {said}: {:?}", answer.code());
            }
        }
    }
}

/// The least that one can ask.
fn question(client: &str, subject: &str, tenant: &str) -> Input {
    let party = |kind: &str, id: String| Party {
        kind: kind.to_owned(),
        id,
        tenants: vec![tenant.to_owned()],
        provisional: false,
        attributes: Vec::new(),
    };
    Input {
        caller: party("client", id::client(client)),
        subject: party("user", subject.to_owned()),
        chain: Vec::new(),
        tenant: tenant.to_owned(),
        audience: vec![API.to_owned()],
        scope: Vec::new(),
        ttl: 1,
        flow: "local".to_owned(),
        step: None,
        now: 0,
        attributes: Vec::new(),
    }
}
