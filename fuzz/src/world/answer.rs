//! One request, its answer, and what has to hold of every one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use standin::bindings::keys::KeySource;
use standin::endpoint::HttpRequest;
use standin::evidence::SeenDecision;
use standin::keys::is_signed_by;
use standin::keys::jwk::KeySet;
use standin::keys::{Keys as _, VerifyError};
use standin::presented::Presented;
use standin::record::past;
use standin_domain::contract::HttpResponse;
use standin_domain::endpoint;
use standin_domain::error::Error;
use standin_domain::flow::TYP_ACCESS_TOKEN;
use standin_domain::ports::{DecisionPoint as _, Input};

use super::crossing;
use super::native::Native;
use super::still::NOW;
use super::{ISSUER, World};

/// The scopes of every registration here.
const SCOPES: [&str; 2] = ["expenses:read", "expenses:write"];
/// The longest life that a registration here gives.
const MAX_TTL: u64 = 600;

/// An answered request.
pub(crate) struct Answer<'w> {
    world: &'w World,
    /// The imports that it used.
    pub(crate) native: Native<'w>,
    response: HttpResponse,
    body: Value,
}

impl<'w> Answer<'w> {
    pub(super) fn of(world: &'w World, request: HttpRequest) -> Self {
        let native = Native::new(world, Presented::by_http(&request.headers, &request.body));
        let response = endpoint::handle(&native, &crossing::request(request));
        let body = serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {:?}", response.body));
        let answer = Self { world, native, response, body };
        answer.check();
        answer
    }

    /// The code of the failure.
    pub(crate) fn code(&self) -> Option<&str> {
        self.body.get("code").and_then(Value::as_str)
    }

    /// A member of the answer.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.body.get(name)
    }

    /// The values of a header of the answer.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let named = self.response.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The claims of the token, if there is one.
    pub(crate) fn claims(&self) -> Option<Value> {
        Some(claims_of(self.body.get("access_token")?.as_str()?))
    }

    fn check(&self) {
        assert_eq!(self.header("x-correlation-id"), ["c-1"]);
        // Everything there is can be asked, and the host refuses nothing that an honest component wants.
        assert!(self.response.status < 500, "{}", self.body);
        assert_eq!(self.native.evidence(|evidence| evidence.refused.clone()), [""; 0]);
        if let Some(decision) = self.native.decision() {
            assert!(
                decision.proven,
                "the component asks what the host sees unproven: {:?} {:?}",
                decision.refusal, decision.input
            );
        }
        match self.response.status {
            200 => self.check_token(),
            _ => self.check_failure(),
        }
        self.check_events();
    }

    fn check_failure(&self) {
        let code = self.code().unwrap_or_else(|| panic!("no code: {}", self.body));
        let entry = Error::all().into_iter().map(Error::entry).find(|entry| entry.code == code);
        let entry = entry.unwrap_or_else(|| panic!("an unknown code: {}", self.body));
        assert_eq!(self.member("error"), Some(&Value::from(entry.oauth.name())), "{}", self.body);
        assert_eq!(self.member("error_description"), Some(&Value::from(entry.text)), "{}", self.body);
        assert!(self.response.status == entry.status || self.response.status == 400, "{}", self.body);
        // RFC 9110 §15.5.2: with a challenge, and only then.
        assert_eq!(self.response.status == 401, !self.header("www-authenticate").is_empty(), "{}", self.body);
    }

    fn check_token(&self) {
        let token = self.member("access_token").and_then(Value::as_str).unwrap_or_else(|| panic!("no token: {}", self.body));
        let keys = KeySet::parse(self.world.own.jwks().as_bytes()).expect("our keys");
        assert!(is_signed_by(token, TYP_ACCESS_TOKEN, &keys));
        let claims = claims_of(token);
        let number = |name: &str| claims.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {name}: {claims}"));
        assert_eq!(claims.get("iss"), Some(&Value::from(ISSUER)));
        assert_eq!(number("iat"), NOW);
        assert!(number("exp") > NOW && number("exp") <= NOW + MAX_TTL, "{claims}");
        assert_eq!(self.member("expires_in"), Some(&Value::from(number("exp") - NOW)));
        let scope = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
        assert!(scope.split(' ').filter(|scope| !scope.is_empty()).all(|scope| SCOPES.contains(&scope)), "{claims}");
        let decision = self.native.decision().expect("no token without a decision");
        let asked: BTreeSet<_> = decision.input.scope.iter().map(String::as_str).collect();
        assert!(scope.split_terminator(' ').all(|scope| asked.contains(scope)), "{claims}");
        assert_eq!(claims.get("sub"), Some(&Value::from(decision.input.subject.id.as_str())));
        assert_eq!(claims.get("tenant"), Some(&Value::from(decision.input.tenant.as_str())));
    }

    /// One event, of what happened, from which the question to the policy can be read back.
    fn check_events(&self) {
        let events = self.native.events();
        assert_eq!(events.len(), 1, "{events:?}");
        for event in &events {
            assert!(!event.json.contains(['\n', '\r']), "{}", event.json);
            let said: Value = serde_json::from_str(&event.json).expect("an event is JSON");
            assert_eq!(said.get("code").and_then(Value::as_str), self.code(), "{said}");
            let line = format!("{{\"seq\":1,\"time\":\"t\",\"prev\":\"p\",{}", event.json.get(1..).unwrap_or_default());
            let past: Vec<_> = past::decisions(line.as_bytes()).expect("an event").into_iter().map(|past| past.input).collect();
            let asked: Vec<_> = self.native.decision().iter().map(|decision| decision.input.clone()).collect();
            assert_eq!(format!("{past:?}"), format!("{asked:?}"));
        }
    }

    /// Whether the host would approve of this question after what this request has shown. The component here is not the honest one.
    pub(crate) fn is_proven(&self, question: &Input) -> bool {
        let before = self.native.decision();
        let _verdict = self.native.judge(question);
        let new = |decision: &Arc<SeenDecision>| before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, decision));
        self.native.decision().is_some_and(|decision| new(&decision) && decision.proven)
    }
}

impl World {
    /// Why the host does not verify this, if it does not.
    pub(crate) fn verified(&self, jws: &str, source: &KeySource) -> Result<String, VerifyError> {
        let verified = self.wait(self.verifier.verify(jws, source, &*self.own, &*self.registry))?;
        Ok(verified.verified.claims)
    }
}

/// The claims of a compact JWS.
fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("claims")
}
