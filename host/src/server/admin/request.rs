//! A request to explain, as JSON.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::bindings::types::{Attribute, ClientSecret, Credential, Descriptor, IdType, Request, Subject, Token};
use crate::json;
use crate::standin::account_of_token;

/// What `POST /v2/explain` takes: the members of `obo_mint`, and who asks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainRequest {
    client_id: String,
    /// Without it the client is vouched for, which counts for clients registered with `attested = true`.
    #[serde(default)]
    client_secret: Option<Hidden>,
    #[serde(default)]
    id_type: Option<Kind>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    subject_token: Option<Hidden>,
    #[serde(default)]
    account_id: Option<String>,
    #[serde(default)]
    account_csp_id: Option<i64>,
    #[serde(default)]
    sfdc_account_id: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    audience: Vec<String>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    step: Option<String>,
    /// Facts of the edge, named `edge.…`.
    #[serde(default, deserialize_with = "json::members")]
    attributes: Map<String, Value>,
}

/// A text that is not printed.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Hidden(Zeroizing<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    User,
    Host,
    Envoy,
}

/// What cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    /// Nobody, or two.
    #[error("the subject is either `id_type` and `id`, or `subject_token`")]
    Subject,
}

fn one_or_many<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(audience) => vec![audience],
        Given::Many(audiences) => audiences,
    })
}

impl ExplainRequest {
    /// The request.
    pub(super) fn request(self) -> Result<Request, Wrong> {
        let client_id = self.client_id;
        let caller = match self.client_secret {
            Some(secret) => Credential::ClientSecret(ClientSecret { client_id, secret: secret.0.to_string() }),
            None => Credential::Attested(client_id),
        };
        let mut account = Vec::new();
        let subject = match (self.id_type, self.id, self.subject_token) {
            (Some(kind), Some(id), None) => Subject::Descriptor(Descriptor {
                id_type: match kind {
                    Kind::User => IdType::User,
                    Kind::Host => IdType::Host,
                    Kind::Envoy => IdType::Envoy,
                },
                id,
                account_id: self.account_id,
                account_csp_id: self.account_csp_id,
                sfdc_account_id: self.sfdc_account_id,
            }),
            (None, None, Some(token)) => {
                account = account_of_token(self.account_id.as_deref(), self.account_csp_id, self.sfdc_account_id.as_deref());
                let token_type = standin_domain::flow::JWT.to_owned();
                Subject::Token(Token { value: token.0.to_string(), token_type })
            }
            _ => return Err(Wrong::Subject),
        };
        let mut attributes: Vec<Attribute> =
            self.attributes.into_iter().map(|(name, value)| Attribute { name, value: value.to_string() }).collect();
        attributes.extend(account);
        Ok(Request {
            correlation_id: String::new(),
            caller,
            subject,
            actor: None,
            audience: self.audience,
            resource: Vec::new(),
            scope: standin_domain::scope::split(&self.scope),
            requested_token_type: None,
            requested_ttl: self.ttl,
            step: self.step,
            dpop: None,
            attributes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, Wrong> {
        crate::json::from_str::<ExplainRequest>(text).unwrap().request()
    }

    #[test]
    fn a_descriptor_or_a_token_is_the_subject() {
        let request =
            read(r#"{"client_id":"c","id_type":"user","id":"email.a@b","audience":"x","scope":"a b","ttl":5}"#).unwrap();
        assert!(matches!(request.caller, Credential::Attested(client) if client == "c"));
        assert_eq!((request.audience, request.scope), (vec!["x".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
        let request = read(r#"{"client_id":"c","client_secret":"s","subject_token":"t","audience":["x","y"]}"#).unwrap();
        assert!(matches!(request.subject, Subject::Token(token) if token.value == "t"));
        assert!(matches!(request.caller, Credential::ClientSecret(shown) if shown.secret == "s"));
        for neither in [
            r#"{"client_id":"c"}"#,
            r#"{"client_id":"c","id":"email.a@b"}"#,
            r#"{"client_id":"c","id_type":"user","id":"email.a@b","subject_token":"t"}"#,
        ] {
            assert_eq!(read(neither).unwrap_err(), Wrong::Subject);
        }
    }

    #[test]
    fn a_fact_reads_only_one_way() {
        for fact in [r#"{"x":1,"x":2}"#.to_owned(), crate::json::testing::bomb(45)] {
            let body = format!(r#"{{"client_id":"c","id_type":"user","id":"email.a@b","attributes":{{"edge.a":{fact}}}}}"#);
            assert!(crate::json::from_str::<ExplainRequest>(&body).is_err(), "{}", fact.len());
        }
    }

    #[test]
    fn what_is_secret_is_not_printed() {
        let asked: ExplainRequest = crate::json::from_str(r#"{"client_id":"c","client_secret":"s"}"#).unwrap();
        assert_eq!(format!("{:?}", asked.client_secret), "Some([redacted])");
        assert!(crate::json::from_str::<ExplainRequest>(r#"{"client_id":"c","surprise":1}"#).is_err());
    }
}
