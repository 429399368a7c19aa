//! `POST /oauth2/token`: token exchange (RFC 8693 §2).

use serde_json::{Value, json};

use super::credential::{self, InForm};
use super::{Answer, expect_media_type, form, refused, shown, token_response};
use crate::contract::HttpRequest;
use crate::error::{Problem, RequestError};
use crate::pipeline;
use crate::ports::{Attribute, Failure, Ports, Request, Subject, Token};
use crate::scope;

/// RFC 8693 §2.1.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Answers with a token response.
pub(super) fn answer(ports: &impl Ports, http: &HttpRequest) -> Result<Answer, Failure> {
    let (request, client) = read(http).map_err(|problem| refused(ports, http, &problem))?;
    let minted = pipeline::mint_as(ports, request, client.as_deref())?;
    Ok(Answer::token(&Value::Object(token_response(&minted))))
}

/// The request, and the client that its form names.
fn read(http: &HttpRequest) -> Result<(Request, Option<String>), Problem> {
    expect_media_type(http, "application/x-www-form-urlencoded")?;
    let mut form = Form(form::parse(&http.body)?);
    let audience = form.every("audience");
    let resource = form.every("resource");
    form.refuse_duplicates()?;
    let client = form.take("client_id");
    let in_form = InForm {
        client_id: client.clone(),
        client_secret: form.take("client_secret"),
        client_assertion: form.take("client_assertion"),
    };
    let caller = credential::of(http, in_form)?;
    if form.require("grant_type")? != TOKEN_EXCHANGE {
        return Err(Problem::at(RequestError::GrantType, "grant_type"));
    }
    let subject = Token { token_type: form.require("subject_token_type")?, value: form.require("subject_token")? };
    let actor = form.take("actor_token");
    let actor_type = form.take("actor_token_type");
    let actor = match (actor, actor_type) {
        (Some(value), Some(token_type)) => Some(Token { value, token_type }),
        (None, None) => None,
        (Some(_), None) => return Err(Problem::at(RequestError::MissingField, "actor_token_type")),
        (None, Some(_)) => return Err(Problem::at(RequestError::MissingField, "actor_token")),
    };
    let attributes = account(&mut form)?;
    let request = Request {
        correlation_id: http.correlation_id.clone(),
        caller,
        subject: Subject::Token(subject),
        actor,
        audience,
        resource,
        scope: form.take("scope").map(|scope| scope::split(&scope)).unwrap_or_default(),
        requested_token_type: form.take("requested_token_type"),
        requested_ttl: None,
        step: form.take("step"),
        dpop: None,
        attributes,
    };
    Ok((request, client))
}

/// The account meant, where the subject is in several; an extension that RFC 8693 does not know.
fn account(form: &mut Form) -> Result<Vec<Attribute>, Problem> {
    let csp_id = form.take("account_csp_id").map(|id| {
        let id: i64 = id.parse().map_err(|_| Problem::at(RequestError::InvalidField, "account_csp_id"))?;
        Ok::<_, Problem>(json!(id))
    });
    let facts = [
        ("account_id", form.take("account_id").map(Value::String)),
        ("account_csp_id", csp_id.transpose()?),
        ("sfdc_account_id", form.take("sfdc_account_id").map(Value::String)),
    ];
    let given = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Ok(given.map(|(name, value)| Attribute { name: name.to_owned(), value: value.to_string() }).collect())
}

struct Form(Vec<(String, String)>);

impl Form {
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(parameter, _)| parameter == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn require(&mut self, name: &'static str) -> Result<String, Problem> {
        self.take(name).ok_or_else(|| Problem::at(RequestError::MissingField, name))
    }

    fn every(&mut self, name: &str) -> Vec<String> {
        let (named, rest) = std::mem::take(&mut self.0).into_iter().partition(|(parameter, _)| parameter == name);
        self.0 = rest;
        named.into_iter().map(|(_, value): (String, String)| value).collect()
    }

    /// Every other parameter at most once (RFC 6749 §3.2), also those unknown here.
    fn refuse_duplicates(&self) -> Result<(), Problem> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if self.0.iter().skip(at + 1).any(|(other, _)| other == name) {
                return Err(Problem::from(RequestError::DuplicateField).because(shown(name)));
            }
        }
        Ok(())
    }
}
