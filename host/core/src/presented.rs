//! What one request carries to prove something by. Nothing else counts in it: a component that kept a credential or a token of an earlier
//! request, where it is not thrown away between two, has nothing to show for it.

use standin_domain::contract::{Credential, Request, Subject};
use standin_domain::endpoint::{authorization, parse_form};
use zeroize::Zeroizing;

/// The parameters of a form that can be a token about a subject (RFC 8693 §2.1, RFC 7523 §2.1).
const SUBJECTS: [&str; 3] = ["subject_token", "actor_token", "assertion"];

/// The credentials and tokens of one request; by default of one that carries none.
#[derive(Default)]
pub struct Presented {
    secrets: Vec<[Zeroizing<String>; 2]>,
    callers: Vec<Zeroizing<String>>,
    subjects: Vec<Zeroizing<String>>,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl Presented {
    /// What a request of the embedding program carries.
    pub fn by_request(request: &Request) -> Self {
        let mut presented = Self::default();
        match &request.caller {
            Credential::ClientSecret(shown) => presented.secret(&shown.client_id, &shown.secret),
            Credential::Bearer(token) | Credential::ClientAssertion(token) => presented.caller(token),
            Credential::Certificate(_) | Credential::Attested(_) => {}
        }
        match &request.subject {
            Subject::Token(token) => presented.subject(&token.value),
            Subject::Descriptor(_) | Subject::Delegation(_) | Subject::Caller => {}
        }
        if let Some(actor) = &request.actor {
            presented.subject(&actor.value);
        }
        presented
    }

    /// What a request over HTTP with these headers and this body carries: in `authorization`, and in a form. Read with the very functions that the component reads with;
    /// what they do not take proves nothing.
    pub fn by_http(headers: &[(String, Vec<u8>)], body: &[u8]) -> Self {
        let mut presented = Self::default();
        let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        for (_, value) in values {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            match authorization(value) {
                Ok(Credential::ClientSecret(shown)) => presented.secret(&shown.client_id, &shown.secret),
                Ok(Credential::Bearer(token) | Credential::ClientAssertion(token)) => presented.caller(&token),
                Ok(Credential::Certificate(_) | Credential::Attested(_)) | Err(_) => {}
            }
        }
        let form = parse_form(body).unwrap_or_default();
        let parameter = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if let (Some(id), Some(secret)) = (parameter("client_id"), parameter("client_secret")) {
            presented.secret(id, secret);
        }
        if let Some(assertion) = parameter("client_assertion") {
            presented.caller(assertion);
        }
        for token in SUBJECTS.into_iter().filter_map(parameter) {
            presented.subject(token);
        }
        presented
    }

    /// Whether it carries this secret for this client.
    pub fn has_secret(&self, client: &str, secret: &str) -> bool {
        self.secrets.iter().any(|[id, shown]| id.as_str() == client && shown.as_str() == secret)
    }

    /// Whether it carries this token to prove who calls.
    pub fn has_caller(&self, token: &str) -> bool {
        self.callers.iter().any(|shown| shown.as_str() == token)
    }

    /// Whether it carries this token to say on whose behalf.
    pub fn has_subject(&self, token: &str) -> bool {
        self.subjects.iter().any(|shown| shown.as_str() == token)
    }

    /// Adds a secret.
    pub fn secret(&mut self, client: &str, secret: &str) {
        self.secrets.push([Zeroizing::new(client.to_owned()), Zeroizing::new(secret.to_owned())]);
    }

    /// Adds a token of the caller's.
    pub fn caller(&mut self, token: &str) {
        self.callers.push(Zeroizing::new(token.to_owned()));
    }

    /// Adds a token about a subject.
    pub fn subject(&mut self, token: &str) {
        self.subjects.push(Zeroizing::new(token.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(headers: &[(&str, &str)], body: &str) -> Presented {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Presented::by_http(&headers, body.as_bytes())
    }

    #[test]
    fn what_a_request_over_http_carries() {
        // `svc:a` and `se:cret`, form-encoded first.
        let basic = http(&[("Authorization", "basic c3ZjJTNBYTpzZSUzQWNyZXQ=")], "");
        assert!(basic.has_secret("svc:a", "se:cret"));
        assert!(!basic.has_secret("svc:a", "secret") && !basic.has_secret("svc", "se:cret"));
        let form = http(&[], "client_id=svc&client_secret=a%2Bb&subject_token=x.%79.z&actor_token=a.b.c&other=d");
        assert!(form.has_secret("svc", "a+b") && form.has_subject("x.y.z") && form.has_subject("a.b.c"));
        assert!(!form.has_caller("x.y.z") && !form.has_subject("d"));
        let bearer = http(&[("AUTHORIZATION", "Bearer  x.y.z")], "client_secret=s");
        assert!(bearer.has_caller("x.y.z") && !bearer.has_subject("x.y.z") && !bearer.has_secret("", "s"));
        let nothing = http(&[("x-token", "x.y.z"), ("authorization", "Attested edge")], "%%%");
        assert!(!nothing.has_caller("x.y.z") && !nothing.has_caller("edge"));
        assert_eq!(format!("{form:?}"), "[redacted]");
    }
}
