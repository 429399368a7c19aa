//! A dry run: everything but the signature, written down step by step so that a failure shows how far the request came.

use serde_json::{Map, Value, json};

use crate::audit::Attempt;
use crate::caller::Caller;
use crate::error::{MintError, Problem};
use crate::mint;
use crate::pipeline;
use crate::ports::{Failure, Ports, Reason, Request, SubjectKind};
use crate::target::{Ceiling, Resolved};

/// Explains a request as a JSON object (docs/explain.md).
///
/// # Errors
/// A recorded failure, only where the caller could not be authenticated.
pub fn explain(ports: &impl Ports, mut request: Request) -> Result<String, Failure> {
    let mut attempt = pipeline::begin(ports, &mut request)?;
    let mut page = Page(Map::new());
    page.write("correlation_id", json!(attempt.correlation_id()));
    match dry_run(ports, &mut attempt, request, &mut page) {
        Ok(()) => page.write("outcome", json!("permit")),
        Err(problem) => {
            let failure = attempt.failed(ports, &problem);
            if !page.0.contains_key("caller") {
                return Err(failure);
            }
            page.write("outcome", json!(if failure.status >= 500 { "fail" } else { "deny" }));
            page.write("failure", explained(&failure, &problem));
        }
    }
    Ok(Value::Object(page.0).to_string())
}

struct Page(Map<String, Value>);

impl Page {
    fn write(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

fn dry_run(ports: &impl Ports, attempt: &mut Attempt, mut request: Request, page: &mut Page) -> Result<(), Problem> {
    let caller = pipeline::authenticate(ports, attempt, &mut request)?;
    page.write("caller", party(&caller));
    let found = pipeline::find(ports, attempt, caller, &request)?;
    page.write("subject", subject(found.resolved()));
    page.write("tenant", json!(found.resolved().tenant));
    let bounded = pipeline::bound(ports, attempt, found, &request)?;
    page.write("ceilings", ceilings(bounded.ceiling()));
    page.write("dropped", json!(bounded.ceiling().dropped));
    let target = bounded.within()?;
    let permit = pipeline::evaluate(ports, attempt, target, &request)?;
    page.write("ceilings", ceilings(permit.ceiling()));
    page.write("granted", json!(permit.grant()));
    page.write("dropped", json!(permit.ceiling().dropped));
    page.write("rules", rules(&permit.grant().reasons));
    let claims = mint::preview(ports, &permit, attempt)?;
    page.write("claims", serde_json::from_str(&claims).unwrap_or(Value::Null));
    ports.append(&attempt.explained(permit.grant())).map_err(|_down| MintError::AuditUnavailable.into())
}

fn party(caller: &Caller) -> Value {
    let client = caller.client();
    let subjects: Vec<&str> = client.subjects.iter().copied().map(kind).collect();
    json!({ "id": caller.id(), "tenants": client.tenants, "subjects": subjects })
}

fn kind(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::User => "user",
        SubjectKind::Host => "host",
        SubjectKind::Envoy => "envoy",
        SubjectKind::Token => "token",
        SubjectKind::Delegation => "delegation",
        SubjectKind::Caller => "caller",
    }
}

fn subject(resolved: &Resolved) -> Value {
    json!({
        "kind": resolved.kind, "sub": resolved.id, "obo_type": resolved.obo_type, "provisional": resolved.provisional,
        "account": resolved.account, "host": resolved.host, "chain": resolved.chain,
        "actors": resolved.actors, "lineage": resolved.lineage,
    })
}

fn ceilings(ceiling: &Ceiling) -> Value {
    json!({
        "scope": { "asked": ceiling.asked.as_slice(), "terms": ceiling.terms },
        "audience": { "asked": ceiling.asked_audience, "terms": ceiling.audience_terms },
        "ttl": ceiling.caps,
    })
}

fn rules(reasons: &[Reason]) -> Value {
    reasons.iter().map(|reason| json!({ "rule": reason.rule, "text": reason.text })).collect()
}

fn explained(failure: &Failure, problem: &Problem) -> Value {
    json!({
        "code": failure.code, "error": failure.oauth_error, "status": failure.status, "message": failure.message,
        "field": problem.field, "cause": problem.cause, "acr": problem.acr, "rules": rules(&problem.reasons),
    })
}
