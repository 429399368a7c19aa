//! Requests of the embedding API and over HTTP, good ones; a test changes what it is about.

use standin::JWT_TYPE;
use standin::endpoint::{HttpRequest, HttpResponse};
use standin::types::{ClientSecret, Credential, Descriptor, IdType, Request, Subject, Token};

use crate::world::{API, SECRET};

/// `client` with the right secret, for `subject`, audience [`API`].
pub fn request(client: &str, subject: Subject) -> Request {
    Request {
        correlation_id: String::new(),
        caller: secret(client),
        subject,
        actor: None,
        audience: vec![API.to_owned()],
        resource: Vec::new(),
        scope: Vec::new(),
        requested_token_type: None,
        requested_ttl: None,
        step: None,
        dpop: None,
        attributes: Vec::new(),
    }
}

/// The right secret of a client.
pub fn secret(client: &str) -> Credential {
    Credential::ClientSecret(ClientSecret { client_id: client.to_owned(), secret: SECRET.to_owned() })
}

/// A descriptor without account ids.
pub fn descriptor(id_type: IdType, id: &str) -> Descriptor {
    Descriptor { id_type, id: id.to_owned(), account_id: None, account_csp_id: None, sfdc_account_id: None }
}

/// A user by address.
pub fn user(email: &str) -> Subject {
    Subject::Descriptor(descriptor(IdType::User, &format!("email.{email}")))
}

/// A user by address, in one of its accounts.
pub fn user_of(account: &str, email: &str) -> Subject {
    let named = descriptor(IdType::User, &format!("email.{email}"));
    Subject::Descriptor(Descriptor { account_id: Some(account.to_owned()), ..named })
}

/// A host by `ophid.…` or `host_id.…`.
pub fn host(id: &str) -> Subject {
    Subject::Descriptor(descriptor(IdType::Host, id))
}

/// An edge identity.
pub fn envoy(email: &str, sfdc: &str) -> Subject {
    let named = descriptor(IdType::Envoy, &format!("email.{email}"));
    Subject::Descriptor(Descriptor { sfdc_account_id: Some(sfdc.to_owned()), ..named })
}

/// A subject token.
pub fn token(value: impl Into<String>) -> Subject {
    Subject::Token(Token { value: value.into(), token_type: JWT_TYPE.to_owned() })
}

/// An HTTP request to the component, without a network in between.
pub fn http(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        scheme: "http".to_owned(),
        authority: "127.0.0.1".to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
        body: body.to_vec(),
        peer: "127.0.0.1:1".to_owned(),
        certificate: None,
        correlation_id: String::new(),
    }
}

/// HTTP Basic for a client with the right secret.
pub fn basic(client: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{client}:{SECRET}")))
}

/// The JSON body of an answer.
pub fn body(response: &HttpResponse) -> serde_json::Value {
    serde_json::from_slice(&response.body).expect("a JSON body")
}

/// A number that no other call of this process gets.
pub fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}
