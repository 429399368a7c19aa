//! One event an attempt: what the component adds to what the host records itself.

use serde::Serialize;
use serde_json::json;

use crate::caller::Caller;
use crate::error::{Entry, MintError, Problem, Retry};
use crate::policy::Grant;
use crate::ports::{Attribute, Failure, Ports, Reason, Request, Subject, System};
use crate::target::{Ceiling, Dropped, Resolved};

/// The longest event, in bytes; the host takes no longer one.
pub const MAX_EVENT: usize = 16 * 1024;
/// The longest cause of one that had to be shortened, in bytes.
const MAX_CAUSE: usize = 1024;

/// One attempt, from the request to its answer.
#[derive(Debug)]
pub struct Attempt {
    correlation_id: String,
    settings: System,
    now: u64,
    asked: Asked,
    requester: Option<String>,
    target: Option<Found>,
}

#[derive(Debug, Default, Serialize)]
struct Asked {
    subject: &'static str,
    audience: Vec<String>,
    resource: Vec<String>,
    scope: Vec<String>,
    ttl: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_token_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    sub: String,
    obo_type: String,
    tenant: String,
    chain: Vec<String>,
}

#[derive(Serialize)]
struct Event<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a Found>,
    asked: &'a Asked,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<&'a Grant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<&'a [Dropped]>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: Vec<[&'a str; 2]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shortened: bool,
}

impl Attempt {
    /// Begins with a request.
    pub fn begin(ports: &impl Ports, request: &Request) -> Self {
        let subject = match &request.subject {
            Subject::Token(_) => "token",
            Subject::Descriptor(_) => "descriptor",
            Subject::Delegation(_) => "delegation",
            Subject::Caller => "caller",
        };
        Self {
            correlation_id: request.correlation_id.clone(),
            settings: ports.settings(),
            now: ports.now(),
            asked: Asked {
                subject,
                audience: request.audience.clone(),
                resource: request.resource.clone(),
                scope: request.scope.clone(),
                ttl: request.requested_ttl,
                requested_token_type: request.requested_token_type.clone(),
                step: request.step.clone(),
            },
            requester: None,
            target: None,
        }
    }

    /// The request's correlation id.
    pub fn correlation_id(&self) -> &str {
        &self.correlation_id
    }

    /// The type of token that was asked for.
    pub fn asked_type(&self) -> Option<&str> {
        self.asked.requested_token_type.as_deref()
    }

    /// What held when the request began.
    pub fn settings(&self) -> &System {
        &self.settings
    }

    /// When the request began, in Unix seconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The caller is known.
    pub fn authenticated(&mut self, caller: &Caller) {
        self.requester = Some(caller.id().to_owned());
    }

    /// The subject is known.
    pub fn resolved(&mut self, resolved: &Resolved) {
        self.target = Some(Found {
            sub: resolved.id.clone(),
            obo_type: resolved.obo_type.clone(),
            tenant: resolved.tenant.clone(),
            chain: resolved.actors.clone(),
        });
    }

    /// The event of a token, for the host to write before it signs. Who, for whom and what was granted the host says itself.
    pub fn permitted(&self, ceiling: &Ceiling) -> String {
        let dropped = Some(ceiling.dropped.as_slice()).filter(|dropped| !dropped.is_empty());
        self.write(&Event { requester: None, target: None, dropped, ..self.event("permit", &[]) })
    }

    /// The event of a dry run.
    pub fn explained(&self, grant: &Grant) -> String {
        self.write(&Event { granted: Some(grant), ..self.event("explain", &grant.reasons) })
    }

    /// Records a failure and turns it into what the caller may see. Where it cannot be recorded, that is the failure.
    pub fn failed(&self, ports: &impl Ports, problem: &Problem) -> Failure {
        let Entry { code, status, .. } = problem.error.entry();
        let outcome = if status >= 500 { "fail" } else { "deny" };
        let event = self.write(&Event {
            code: Some(code),
            field: problem.field,
            cause: problem.cause.as_deref(),
            ..self.event(outcome, &problem.reasons)
        });
        match ports.append(&event) {
            Ok(()) => self.failure(problem),
            Err(_down) => self.failure(&MintError::AuditUnavailable.into()),
        }
    }

    /// The failure as the caller may see it.
    pub fn failure(&self, problem: &Problem) -> Failure {
        failure(&self.correlation_id, problem)
    }

    fn event<'a>(&'a self, outcome: &'static str, reasons: &'a [Reason]) -> Event<'a> {
        Event {
            outcome,
            code: None,
            field: None,
            cause: None,
            requester: self.requester.as_deref(),
            target: self.target.as_ref(),
            asked: &self.asked,
            granted: None,
            dropped: None,
            reasons: reasons.iter().map(|reason| [reason.rule.as_str(), reason.text.as_str()]).collect(),
            shortened: false,
        }
    }

    fn write(&self, event: &Event<'_>) -> String {
        // Strings, numbers and string keys only: this cannot fail, and an empty event is refused by the host.
        let whole = serde_json::to_string(event).unwrap_or_default();
        if whole.len() <= MAX_EVENT {
            return whole;
        }
        // What is long is what was asked and what the rules said. As far as a policy had to do with it, the host records it itself.
        let asked = Asked { subject: self.asked.subject, ttl: self.asked.ttl, step: self.asked.step.clone(), ..Asked::default() };
        let cause = event.cause.map(|cause| cause.get(..cause.floor_char_boundary(MAX_CAUSE)).unwrap_or_default());
        let short = Event { asked: &asked, cause, granted: None, dropped: None, reasons: Vec::new(), shortened: true, ..*event };
        serde_json::to_string(&short).unwrap_or_default()
    }
}

/// A failure without an attempt: the request never became one.
pub fn failure(correlation_id: &str, problem: &Problem) -> Failure {
    let Entry { code, oauth, status, retry, text, .. } = problem.error.entry();
    let mut attributes = Vec::new();
    let mut add = |name: &str, value: &str| attributes.push(Attribute { name: name.into(), value: json!(value).to_string() });
    if let Some(field) = problem.field {
        add("field", field);
    }
    if let Some(acr) = &problem.acr {
        add("acr", acr);
    }
    Failure {
        code: code.into(),
        oauth_error: oauth.name().into(),
        status,
        message: text.into(),
        correlation_id: correlation_id.to_owned(),
        retry_after: match retry {
            Retry::Never => None,
            Retry::After(seconds) => Some(problem.retry_after.unwrap_or(seconds)),
        },
        attributes,
    }
}

/// Records a request that never became an attempt.
pub fn refused(ports: &impl Ports, correlation_id: &str, problem: &Problem) -> Failure {
    let event = json!({
        "outcome": "deny", "code": problem.error.entry().code, "field": problem.field, "cause": problem.cause,
    });
    match ports.append(&event.to_string()) {
        Ok(()) => failure(correlation_id, problem),
        Err(_down) => failure(correlation_id, &MintError::AuditUnavailable.into()),
    }
}
