//! `POST /v2/session/svc/obo_mint`: a token for a subject named by a descriptor.

use serde_json::Value;

use super::credential::{self, InForm};
use super::{Answer, expect_media_type, insert, json, refused, token_response};
use crate::contract::HttpRequest;
use crate::error::{Problem, RequestError};
use crate::pipeline;
use crate::ports::{Descriptor, Failure, IdType, Ports, Request, Subject, System};
use crate::scope;

const FIELDS: [&str; 9] =
    ["id_type", "id", "account_id", "account_csp_id", "sfdc_account_id", "audience", "scope", "ttl", "step"];

/// Answers with a token response and `sub`, `tenant`, `obo_type`, `provisional`.
pub(super) fn answer(ports: &impl Ports, settings: &System, http: &HttpRequest) -> Result<Answer, Failure> {
    let request = read(http, usize::from(settings.max_depth)).map_err(|problem| refused(ports, http, &problem))?;
    let minted = pipeline::mint_on_behalf(ports, request)?;
    let mut body = token_response(&minted);
    for attribute in &minted.attributes {
        insert(&mut body, attribute);
    }
    Ok(Answer::token(&Value::Object(body)))
}

fn read(http: &HttpRequest, max_depth: usize) -> Result<Request, Problem> {
    expect_media_type(http, "application/json")?;
    let caller = credential::of(http, InForm::default())?;
    let mut fields = Fields(json::parse(&http.body, max_depth, &FIELDS)?);
    let id_type = match fields.require("id_type")?.as_str() {
        "user" => IdType::User,
        "host" => IdType::Host,
        "envoy" => IdType::Envoy,
        _ => return Err(Problem::at(RequestError::InvalidField, "id_type")),
    };
    let descriptor = Descriptor {
        id_type,
        id: fields.require("id")?,
        account_id: fields.string("account_id")?,
        account_csp_id: fields.take("account_csp_id").map(|value| integer(&value, "account_csp_id")).transpose()?,
        sfdc_account_id: fields.string("sfdc_account_id")?,
    };
    let ttl = fields.take("ttl").map(|value| integer(&value, "ttl")).transpose()?;
    let requested_ttl =
        ttl.map(|ttl| u32::try_from(ttl).map_err(|_| Problem::at(RequestError::InvalidField, "ttl"))).transpose()?;
    Ok(Request {
        correlation_id: http.correlation_id.clone(),
        caller,
        subject: Subject::Descriptor(descriptor),
        actor: None,
        audience: fields.strings("audience")?,
        resource: Vec::new(),
        scope: fields.string("scope")?.map(|scope| scope::split(&scope)).unwrap_or_default(),
        requested_token_type: None,
        requested_ttl,
        step: fields.string("step")?,
        dpop: None,
        attributes: Vec::new(),
    })
}

fn integer(value: &Value, field: &'static str) -> Result<i64, Problem> {
    value.as_i64().ok_or_else(|| Problem::at(RequestError::InvalidField, field))
}

struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(field, _)| *field == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn string(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(Problem::at(RequestError::InvalidField, name)),
        }
    }

    fn require(&mut self, name: &'static str) -> Result<String, Problem> {
        self.string(name)?.ok_or_else(|| Problem::at(RequestError::MissingField, name))
    }

    /// One string or several.
    fn strings(&mut self, name: &'static str) -> Result<Vec<String>, Problem> {
        let invalid = || Problem::at(RequestError::InvalidField, name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) if !text.is_empty() => Ok(vec![text]),
            Some(Value::Array(items)) => {
                items.into_iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(invalid)).collect()
            }
            Some(_) => Err(invalid()),
        }
    }
}
