//! What an audit event says. Facts the host knows itself stand at the top; what the component adds stands under `detail`.

mod json;
pub mod past;
mod policy;

use serde::Serialize;
use serde_json::{Map, Value};
use standin_domain::error::{NOT_RELEASED, is_hosts_own};

use self::json::{Asked, Decision, Granted, Origin, Requester};
use crate::approval::{Approval, Covered};
use crate::evidence::{Evidence, Stages};

pub use self::json::Judged;
pub use self::policy::{Difference, SlotChange, policy_change};

/// The longest event of the component, in bytes.
pub const MAX_DETAIL: usize = standin_domain::audit::MAX_EVENT;
/// The deepest nesting of the component's event; readers of the log need not take more.
pub const MAX_DEPTH: u8 = 32;
/// The longest code.
pub const MAX_CODE: usize = 64;

/// One audit event: a JSON object on one line, without the `seq`, `time` and `prev` that the log adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The JSON text, `{…}`.
    pub json: String,
    /// Set for an attempt whose caller was not authenticated: the code under which repetitions are counted.
    pub anonymous: Option<String>,
}

/// What the component handed in cannot stand in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a JSON object, or too long.
    #[error("the component's event is not a json object within the limits")]
    Malformed,
    /// `outcome` is neither `deny`, `fail` nor `explain`.
    #[error("the component's event has no known outcome")]
    Outcome,
    /// `code` is missing, not made of lowercase letters, digits, `.`, `_` and `-`, or one that only the host gives.
    #[error("the component's event has no valid code")]
    Code,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Permit,
    Deny,
    Fail,
    Explain,
}

#[derive(Serialize)]
struct Minted<'a> {
    event: &'static str,
    outcome: Outcome,
    correlation_id: &'a str,
    requester: &'a str,
    target: &'a str,
    obo_type: &'a str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    jti: &'a str,
    flow: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    granted: Granted<'a>,
    chain: &'a [String],
    lineage: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    cross_tenant: Option<Origin<'a>>,
    policy: &'a str,
    rules: json::Rules<'a>,
    asked: Asked<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left_out: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier_decisions: Vec<Decision<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    refused_signatures: &'a [String],
    #[serde(skip_serializing_if = "Stages::is_empty")]
    stages_us: &'a Stages,
    detail: &'a Map<String, Value>,
}

/// The event of a token about to be signed. To be recorded before the signature leaves.
///
/// # Errors
/// Where `detail` is not a JSON object within the limits.
pub fn minted(
    correlation_id: &str,
    evidence: &Evidence,
    approval: &Approval,
    covered: &Covered,
    detail: &str,
) -> Result<Event, RecordError> {
    let decision = approval.decision();
    let reasons = decision.verdict.as_ref().map(|verdict| verdict.reasons.as_slice()).unwrap_or_default();
    let event = Minted {
        event: "attempt",
        outcome: Outcome::Permit,
        correlation_id,
        requester: approval.client_id(),
        target: &decision.input.subject.id,
        obo_type: &covered.obo_type,
        tenant: &decision.input.tenant,
        account_id: covered.account_id.as_deref(),
        jti: &covered.jti,
        flow: &decision.input.flow,
        step: decision.input.step.as_deref(),
        granted: Granted {
            scope: &covered.scope,
            audience: &covered.audience,
            ttl: covered.ttl,
            expires_at: covered.expires_at,
            provisional: decision.input.subject.provisional,
        },
        chain: approval.chain(),
        lineage: &covered.lineage,
        cross_tenant: decision.origin.as_ref().map(Origin::of),
        policy: &decision.module_digest,
        rules: json::Rules(reasons),
        asked: Asked(&decision.input),
        left_out: &decision.left_out,
        earlier_decisions: earlier(evidence),
        refused_signatures: &evidence.refused,
        stages_us: &evidence.stages,
        detail: &component_event(detail)?,
    };
    Ok(Event { json: encode(&event)?, anonymous: None })
}

/// The event that follows the one of [`minted`] with this `jti` where the token was not released after all.
///
/// # Errors
/// Never; as the others.
pub fn not_released(correlation_id: &str, requester: &str, jti: &str) -> Result<Event, RecordError> {
    #[derive(Serialize)]
    struct Row<'a> {
        event: &'static str,
        outcome: Outcome,
        code: &'static str,
        correlation_id: &'a str,
        requester: &'a str,
        jti: &'a str,
    }
    let event = Row { event: "attempt", outcome: Outcome::Fail, code: NOT_RELEASED, correlation_id, requester, jti };
    Ok(Event { json: encode(&event)?, anonymous: None })
}

#[derive(Serialize)]
struct Attempt<'a> {
    event: &'static str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    correlation_id: &'a str,
    requester: Option<Requester<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier_decisions: Vec<Decision<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    refused_signatures: &'a [String],
    #[serde(skip_serializing_if = "Stages::is_empty")]
    stages_us: &'a Stages,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a Map<String, Value>>,
}

/// The event of an attempt that ended without a token.
///
/// # Errors
/// Where `detail` is not a JSON object within the limits that says how it ended.
pub fn attempt(correlation_id: &str, evidence: &Evidence, detail: &str) -> Result<Event, RecordError> {
    let detail = component_event(detail)?;
    let outcome = match text(&detail, "outcome")? {
        Some("deny") => Outcome::Deny,
        Some("fail") => Outcome::Fail,
        Some("explain") => Outcome::Explain,
        Some(_) | None => return Err(RecordError::Outcome),
    };
    let code = match (text(&detail, "code")?, outcome) {
        (Some(code), _) if is_components(code) => Some(code),
        // A dry run may have gone well.
        (None, Outcome::Explain) => None,
        (Some(_) | None, _) => return Err(RecordError::Code),
    };
    write(correlation_id, evidence, outcome, code, Some(&detail))
}

/// One of the two members of the component's event that decide how it is filed.
fn text<'a>(detail: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, RecordError> {
    match detail.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(RecordError::Malformed),
    }
}

/// The event of an attempt that the host ended: a trap, a time-out, a shed request. `code` is one of the host's own.
///
/// # Errors
/// Where `code` is none.
pub fn host_failure(correlation_id: &str, evidence: &Evidence, code: &str) -> Result<Event, RecordError> {
    let code = if is_code(code) { code } else { return Err(RecordError::Code) };
    write(correlation_id, evidence, Outcome::Fail, Some(code), None)
}

#[derive(Serialize)]
struct Shortened<'a> {
    event: &'static str,
    outcome: Outcome,
    code: &'a str,
    correlation_id: &'a str,
    requester: Option<Requester<'a>>,
    shortened: bool,
}

/// The same without what was decided, for where that is more than a line of the log holds: who tried stands there all the same.
///
/// # Errors
/// Where `code` is none.
pub fn shortened(correlation_id: &str, evidence: &Evidence, code: &str) -> Result<Event, RecordError> {
    let code = if is_code(code) { code } else { return Err(RecordError::Code) };
    let anonymous = evidence.requester().is_none().then(|| code.to_owned());
    let requester = Requester::of(evidence);
    let event = Shortened { event: "attempt", outcome: Outcome::Fail, code, correlation_id, requester, shortened: true };
    Ok(Event { json: encode(&event)?, anonymous })
}

fn write(
    correlation_id: &str,
    evidence: &Evidence,
    outcome: Outcome,
    code: Option<&str>,
    detail: Option<&Map<String, Value>>,
) -> Result<Event, RecordError> {
    let requester = Requester::of(evidence);
    // Somebody whose token we can read but whom no client names is a stranger too.
    let anonymous = evidence.requester().is_none().then(|| code.unwrap_or("explain").to_owned());
    let event = Attempt {
        event: "attempt",
        outcome,
        code,
        correlation_id,
        tried: evidence.tried.as_deref().filter(|_| requester.is_none()),
        requester,
        decision: evidence.decision.as_deref().map(Decision::of),
        earlier_decisions: earlier(evidence),
        refused_signatures: &evidence.refused,
        stages_us: &evidence.stages,
        detail,
    };
    Ok(Event { json: encode(&event)?, anonymous })
}

fn earlier(evidence: &Evidence) -> Vec<Decision<'_>> {
    evidence.earlier.iter().map(|decision| Decision::of(decision)).collect()
}

fn encode(event: &impl Serialize) -> Result<String, RecordError> {
    // Texts, numbers and the component's checked JSON: only the last could fail.
    serde_json::to_string(event).map_err(|_| RecordError::Malformed)
}

/// The component's event, parsed, so that what stands in the log is what any reader of JSON takes: not too long, not too deep, no member
/// twice, no text that is no Unicode.
fn component_event(detail: &str) -> Result<Map<String, Value>, RecordError> {
    let one_line = !detail.bytes().any(|byte| byte == b'\n' || byte == b'\r');
    if detail.len() > MAX_DETAIL || !one_line || !detail.starts_with('{') {
        return Err(RecordError::Malformed);
    }
    crate::json::object(detail, MAX_DEPTH).map_err(|_| RecordError::Malformed)
}

/// Whether the component may give this code: a well-formed one that is not the host's own.
pub fn is_components(code: &str) -> bool {
    is_code(code) && !is_hosts_own(code)
}

/// Whether a code is one of those that can stand in the log.
pub fn is_code(code: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_CODE).contains(&code.len()) && code.bytes().all(known)
}

#[cfg(test)]
mod tests;
