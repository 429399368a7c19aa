//! The `authorization` header: `Basic` (RFC 7617, RFC 6749 §2.3.1) and `Bearer` (RFC 6750 §2.1).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use standin_domain::endpoint::authorization;
use standin_domain::ports::{Credential, Registry as _};

use crate::world::{API, CALLERS, JSON, World};

/// Component and host read one credential in it; one that is written anew reads the same; every answer is a right one. A caller JWT's
/// claims, rightly signed, make somebody known to both or to neither.
pub fn holds(data: &[u8]) {
    let answer = post(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    match authorization(text) {
        Ok(Credential::ClientSecret(shown)) => {
            assert!(answer.native.evidence(|seen| seen.presented.has_secret(&shown.client_id, &shown.secret)));
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let again = STANDARD.encode(format!("{}:{}", encode(&shown.client_id), encode(&shown.secret)));
            let Ok(Credential::ClientSecret(again)) = authorization(&format!("BASIC  {again}")) else {
                panic!("what was read cannot be written");
            };
            assert_eq!((again.client_id, again.secret), (shown.client_id, shown.secret));
        }
        Ok(Credential::Bearer(token)) => {
            assert!(answer.native.evidence(|seen| seen.presented.has_caller(&token)));
            let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
            if let Some(claims) = payload {
                caller(&claims);
            }
        }
        Ok(Credential::ClientAssertion(_) | Credential::Certificate(_) | Credential::Attested(_)) => {
            panic!("a header cannot carry this");
        }
        Err(_) => assert_eq!(answer.native.evidence(|seen| seen.requester().map(str::to_owned)), None),
    }
}

/// A caller JWT of these claims is good to both, or to neither.
fn caller(claims: &[u8]) {
    let jws = World::get().theirs.token("JWT", claims);
    let answer = post(format!("Bearer {jws}").as_bytes());
    if answer.code().is_some_and(|code| code.starts_with("caller.")) {
        // The component says no; now it asks all the same.
        let claims: Value = serde_json::from_slice(claims).unwrap_or_default();
        let sub = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        answer.native.find_client_by_identity(CALLERS, sub);
        assert!(!answer.native.evidence(|seen| seen.knows_caller()), "only the component refuses {claims}");
    } else {
        assert_eq!(answer.native.evidence(|seen| seen.requester().map(str::to_owned)).as_deref(), Some("svc-bearer"));
    }
}

fn post(authorization: &[u8]) -> crate::world::Answer<'static> {
    let body = format!(r#"{{"id_type":"user","id":"email.bob@example.com","account_id":"acme-eu","audience":"{API}"}}"#);
    World::get().post("/v2/session/svc/obo_mint", &[("authorization", authorization), ("content-type", JSON)], body.as_bytes())
}
