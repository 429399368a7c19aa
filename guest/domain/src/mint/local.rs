//! Flow `local`: an RFC 9068 access token, signed by the host.

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::audit::Attempt;
use crate::chain::Actor;
use crate::error::{MintError, Problem, SubjectError};
use crate::facts::Authentication;
use crate::flow::ACCESS_TOKEN;
use crate::policy::{Grant, Permit};
use crate::ports::{Attribute, KeyError, Minted, Ports, Purpose, System};
use crate::target::{HostClaim, Target};

/// The claims of an access token (RFC 9068 §2.2, RFC 8693 §4) but for `jti`, which the host puts in.
#[derive(Debug, Serialize)]
pub struct AccessTokenClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    #[serde(serialize_with = "one_or_many")]
    aud: &'a [String],
    exp: u64,
    iat: u64,
    client_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: String,
    act: Actor,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    csp_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sfdc_account_id: Option<&'a str>,
    obo_type: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    provisional: bool,
    #[serde(flatten)]
    authentication: &'a Authentication,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a HostClaim>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    lineage: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    policy: &'a str,
}

/// `aud` is one string or several (RFC 7519 §4.1.3).
fn one_or_many<S: Serializer>(aud: &&[String], serializer: S) -> Result<S::Ok, S::Error> {
    match aud {
        [only] => only.serialize(serializer),
        many => many.serialize(serializer),
    }
}

/// Builds the claims, has the host check, record and sign them.
pub(super) fn mint<P: Ports>(ports: &P, permit: Permit<P::Approval>, attempt: &Attempt) -> Result<Minted, Problem> {
    let now = ports.now();
    let (target, grant, approval) = permit.redeem(now)?;
    let claims = claims(attempt.settings(), now, &target, &grant)?;
    let expires_in = u32::try_from(claims.exp.saturating_sub(claims.iat)).unwrap_or(grant.ttl);
    let expires_at = claims.exp;
    let claims = write(&claims)?;
    let event = attempt.permitted(target.ceiling());
    let signed = ports.sign(approval, Purpose::AccessToken, &claims, &event);
    let token = signed.map_err(|error| match error {
        // A token's last second may have gone by between the clock and the signature.
        KeyError::Refused(_) if expires_at <= ports.now() => over(&target, expires_at),
        error => not_signed(error),
    })?;
    Ok(Minted {
        token,
        // RFC 8693 §2.2.1: what was asked for, and this is both.
        issued_token_type: attempt.asked_type().unwrap_or(ACCESS_TOKEN).into(),
        token_type: "Bearer".into(),
        expires_in,
        correlation_id: attempt.correlation_id().to_owned(),
        attributes: attributes(&target),
        scope: grant.scope,
    })
}

/// The claims that would be signed.
pub(super) fn preview<P: Ports>(ports: &P, permit: &Permit<P::Approval>, attempt: &Attempt) -> Result<String, Problem> {
    write(&claims(attempt.settings(), ports.now(), permit.target(), permit.grant())?)
}

fn claims<'a>(settings: &'a System, now: u64, target: &'a Target, grant: &'a Grant) -> Result<AccessTokenClaims<'a>, Problem> {
    let (resolved, caller) = (target.resolved(), target.caller());
    let act = Actor::in_front_of(&settings.issuer, caller.id(), resolved.chain.clone(), usize::from(settings.max_chain));
    let account = resolved.account.as_ref();
    Ok(AccessTokenClaims {
        iss: &settings.issuer,
        sub: &resolved.id,
        aud: &grant.audience,
        exp: now.saturating_add(u64::from(grant.ttl)).min(resolved.expires_at.unwrap_or(u64::MAX)),
        iat: now,
        client_id: &caller.client().id,
        scope: grant.scope.join(" "),
        act: act.map_err(|_| SubjectError::ChainTooLong)?,
        tenant: &resolved.tenant,
        account_id: account.and_then(|account| account.account_id.as_deref()),
        csp_id: account.and_then(|account| account.csp_id),
        sfdc_account_id: account.and_then(|account| account.sfdc_account_id.as_deref()),
        obo_type: &resolved.obo_type,
        provisional: resolved.provisional,
        authentication: &resolved.authentication,
        host: resolved.host.as_ref(),
        lineage: &resolved.lineage,
        step: grant.step.as_deref(),
        policy: &grant.policy,
    })
}

fn write(claims: &AccessTokenClaims<'_>) -> Result<String, Problem> {
    serde_json::to_string(claims).map_err(|error| Problem::from(MintError::Refused).because(error.to_string()))
}

/// What an answer says beside RFC 8693 §2.2.1.
fn attributes(target: &Target) -> Vec<Attribute> {
    let (resolved, ceiling) = (target.resolved(), target.ceiling());
    let mut attributes = vec![
        attribute("sub", &json!(resolved.id)),
        attribute("tenant", &json!(resolved.tenant)),
        attribute("obo_type", &json!(resolved.obo_type)),
        attribute("provisional", &json!(resolved.provisional)),
    ];
    if !ceiling.dropped.is_empty() {
        attributes.push(attribute("dropped_scope", &json!(ceiling.dropped)));
    }
    attributes
}

fn attribute(name: &str, value: &serde_json::Value) -> Attribute {
    Attribute { name: name.into(), value: value.to_string() }
}

/// Nothing is left of what was to be minted: with the subject token, or for it was to be short.
fn over(target: &Target, expires_at: u64) -> Problem {
    let with_subject = target.resolved().expires_at == Some(expires_at);
    if with_subject { SubjectError::Expired.into() } else { MintError::PermitExpired.into() }
}

fn not_signed(error: KeyError) -> Problem {
    let mint = match &error {
        KeyError::AuditFailed => MintError::AuditUnavailable,
        KeyError::Unavailable | KeyError::UnknownKey => MintError::KeysUnavailable,
        KeyError::Refused(_)
        | KeyError::UnknownIssuer
        | KeyError::BadSignature
        | KeyError::Malformed
        | KeyError::Algorithm
        | KeyError::Throttled(_)
        | KeyError::Other(_) => MintError::Refused,
    };
    Problem::from(mint).because(format!("{error:?}"))
}
