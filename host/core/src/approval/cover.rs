//! The comparison, claim by claim.

use serde_json::{Map, Value};
use standin_domain::chain::Actor;
use standin_domain::facts::Authentication;
use standin_domain::id;

use super::Approval;
use super::subject::AccountIds;
use crate::json;

/// The longest claims set, in bytes: more than the longest scope, audience and chain of actors that may be asked for together.
const MAX_CLAIMS: usize = 64 * 1024;
/// Their deepest nesting: a chain of actors at its longest, and some room.
const MAX_DEPTH: u8 = 32;
/// How far `iat` and `nbf` may lie from now.
const SKEW: u64 = 5;

/// Every claim a token of ours may have.
const KNOWN: [&str; 23] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "client_id",
    "scope",
    "act",
    "tenant",
    "account_id",
    "csp_id",
    "sfdc_account_id",
    "obo_type",
    "provisional",
    "acr",
    "amr",
    "auth_time",
    "host",
    "lineage",
    "step",
    "policy",
];

/// Claims that an approval covers, as far as the audit record names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// All of them as they will be signed, with the host's `jti`.
    pub claims: String,
    /// `jti`.
    pub jti: String,
    /// `exp`.
    pub expires_at: u64,
    /// Seconds from `iat` to `exp`.
    pub ttl: u64,
    /// `aud`.
    pub audience: Vec<String>,
    /// `scope`.
    pub scope: Vec<String>,
    /// `obo_type`.
    pub obo_type: String,
    /// `account_id`.
    pub account_id: Option<String>,
    /// `lineage`.
    pub lineage: Vec<String>,
}

/// Why claims are not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was used before.
    #[error("the approval was used before")]
    Used,
    /// It was kept too long.
    #[error("the approval has expired")]
    TooLate,
    /// The subject token, or one that it descends from, was revoked.
    #[error("the subject token or an ancestor of it was revoked")]
    Revoked,
    /// Only access tokens are signed on an approval.
    #[error("the approval is not for this purpose")]
    Purpose,
    /// The audience gets its tokens from somebody else.
    #[error("the approval is not for a token of ours")]
    Flow,
    /// Not a JSON object that reads only one way, or too long.
    #[error("the claims are not a strict json object")]
    Malformed,
    /// A claim that no token of ours has.
    #[error("the claims have an unknown member")]
    Member,
    /// `iss` is not ours.
    #[error("iss is not our issuer")]
    Issuer,
    /// `sub` is not the approved subject.
    #[error("sub is not the approved subject")]
    Subject,
    /// `aud` is empty or more than was approved.
    #[error("aud exceeds the approval")]
    Audience,
    /// `iat` is not now.
    #[error("iat is not now")]
    IssuedAt,
    /// `nbf` is not now.
    #[error("nbf is not now")]
    NotBefore,
    /// `exp` is past, or later than was approved.
    #[error("exp exceeds the approval")]
    Expiry,
    /// Nothing is signed in a dry run.
    #[error("a dry run signs nothing")]
    DryRun,
    /// `client_id` is not the caller.
    #[error("client_id is not the caller")]
    ClientId,
    /// `scope` is more than was approved.
    #[error("scope exceeds the approval")]
    Scope,
    /// `act` is not the caller upon the subject token's chain.
    #[error("act is not the approved chain")]
    Actor,
    /// `tenant` is not the approved one.
    #[error("tenant is not the approved tenant")]
    Tenant,
    /// `policy` is not the module that permitted it.
    #[error("policy is not the module that permitted")]
    Policy,
    /// `step` is not the approved one, or is there where none is.
    #[error("step is not the approved step")]
    Step,
    /// `lineage` is not that of the subject token.
    #[error("lineage is not the subject token's")]
    Lineage,
    /// `provisional` does not say what the subject is.
    #[error("provisional does not fit the subject")]
    Provisional,
    /// `obo_type` is not the approved one.
    #[error("obo_type is not the approved kind")]
    OboType,
    /// `acr`, `amr` or `auth_time` is not what the subject token says, or is there where it says nothing.
    #[error("acr, amr or auth_time is not the subject token's")]
    Authentication,
    /// `account_id`, `csp_id` or `sfdc_account_id` is not one of the subject's accounts in the tenant.
    #[error("the account is not one of the subject's")]
    Account,
    /// `host` is not the machine.
    #[error("host is not the approved machine")]
    Host,
}

/// Compares the claims with the approval.
pub(super) fn compare(approval: &Approval, claims: &str, now: u64, jti: &str) -> Result<Covered, Refusal> {
    if claims.len() > MAX_CLAIMS {
        return Err(Refusal::Malformed);
    }
    let mut claims = json::object(claims, MAX_DEPTH).map_err(|_| Refusal::Malformed)?;
    if claims.keys().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err(Refusal::Member);
    }
    // Whoever chose it could make two tokens pass for one, or one that was revoked for another.
    claims.insert("jti".to_owned(), Value::from(jti));
    let comparison = Comparison { approval, claims: &claims };
    comparison.parties()?;
    comparison.authentication()?;
    comparison.history()?;
    let (expires_at, ttl) = comparison.times(now)?;
    Ok(Covered {
        claims: serde_json::to_string(&claims).map_err(|_| Refusal::Malformed)?,
        jti: jti.to_owned(),
        expires_at,
        ttl,
        audience: comparison.audience()?,
        scope: comparison.scope()?,
        obo_type: approval.proof.subject.obo_type.clone(),
        account_id: comparison.account()?,
        lineage: approval.proof.subject.lineage.clone(),
    })
}

struct Comparison<'a> {
    approval: &'a Approval,
    claims: &'a Map<String, Value>,
}

impl Comparison<'_> {
    /// Whether this claim is exactly this text.
    fn is(&self, name: &str, text: &str, otherwise: Refusal) -> Result<(), Refusal> {
        if self.claims.get(name).and_then(Value::as_str) == Some(text) { Ok(()) } else { Err(otherwise) }
    }

    /// A text claim, if it is there.
    fn text(&self, name: &str, otherwise: Refusal) -> Result<Option<&str>, Refusal> {
        self.claims.get(name).map(|value| value.as_str().ok_or(otherwise)).transpose()
    }

    /// Who speaks, for whom, where, on whose decision.
    fn parties(&self) -> Result<(), Refusal> {
        let Approval { proof, decision, .. } = self.approval;
        self.is("iss", &proof.issuer, Refusal::Issuer)?;
        self.is("sub", &decision.input.subject.id, Refusal::Subject)?;
        self.is("client_id", &proof.client.id, Refusal::ClientId)?;
        self.is("tenant", &decision.input.tenant, Refusal::Tenant)?;
        self.is("policy", &decision.module_digest, Refusal::Policy)?;
        self.is("obo_type", &proof.subject.obo_type, Refusal::OboType)?;
        if self.text("step", Refusal::Step)? != decision.input.step.as_deref() {
            return Err(Refusal::Step);
        }
        let said = self.claims.get("provisional").map(|value| value.as_bool().ok_or(Refusal::Provisional)).transpose()?;
        if said.unwrap_or(false) != proof.subject.provisional {
            return Err(Refusal::Provisional);
        }
        if self.claims.get("host") != proof.subject.host.as_ref() { Err(Refusal::Host) } else { Ok(()) }
    }

    /// How strongly the subject authenticated, for step-ups at the next hop.
    fn authentication(&self) -> Result<(), Refusal> {
        let known = serde_json::to_value(&self.approval.proof.subject.authentication).map_err(|_| Refusal::Authentication)?;
        let same = Authentication::CLAIMS.iter().all(|name| self.claims.get(*name) == known.get(name));
        if same { Ok(()) } else { Err(Refusal::Authentication) }
    }

    /// Who acted before: `act` nests what was there (RFC 8693 §4.1), `lineage` goes on.
    fn history(&self) -> Result<(), Refusal> {
        let proof = &self.approval.proof;
        let caller = id::client(&proof.client.id);
        // How long the chain may be was a question of the proof.
        let act = Actor::in_front_of(&proof.issuer, &caller, proof.subject.act.clone(), usize::MAX);
        let act = act.ok().and_then(|act| serde_json::to_value(act).ok());
        if act.is_none() || self.claims.get("act") != act.as_ref() {
            return Err(Refusal::Actor);
        }
        let lineage = &proof.subject.lineage;
        let same = match self.claims.get("lineage") {
            None => lineage.is_empty(),
            // An empty list would say "none" in a second way.
            Some(said) => !lineage.is_empty() && said.as_array().is_some_and(|said| said == lineage),
        };
        if same { Ok(()) } else { Err(Refusal::Lineage) }
    }

    /// When it begins and ends; answers `exp` and the lifetime.
    fn times(&self, now: u64) -> Result<(u64, u64), Refusal> {
        let time = |name, otherwise| self.claims.get(name).map(|value| value.as_u64().ok_or(otherwise)).transpose();
        let iat = time("iat", Refusal::IssuedAt)?.filter(|iat| iat.abs_diff(now) <= SKEW).ok_or(Refusal::IssuedAt)?;
        if time("nbf", Refusal::NotBefore)?.is_some_and(|nbf| nbf.abs_diff(now) > SKEW) {
            return Err(Refusal::NotBefore);
        }
        let exp = time("exp", Refusal::Expiry)?.ok_or(Refusal::Expiry)?;
        let ttl = self.approval.grant.ttl;
        // The lifetime runs from the signature, which comes at most `permit_ttl` after the approval.
        let latest = now.saturating_add(ttl).min(self.approval.proof.subject.expires_at.unwrap_or(u64::MAX));
        if exp <= now || exp > latest || exp.saturating_sub(iat) > ttl {
            return Err(Refusal::Expiry);
        }
        Ok((exp, exp.saturating_sub(iat)))
    }

    fn audience(&self) -> Result<Vec<String>, Refusal> {
        let said = match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(list)) => {
                list.iter().map(|item| item.as_str().map(str::to_owned).ok_or(Refusal::Audience)).collect::<Result<_, _>>()?
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => return Err(Refusal::Audience),
        };
        let approved = said.iter().all(|audience| self.approval.grant.audience.contains(audience));
        if approved && !said.is_empty() { Ok(said) } else { Err(Refusal::Audience) }
    }

    fn scope(&self) -> Result<Vec<String>, Refusal> {
        let said = self.text("scope", Refusal::Scope)?.unwrap_or_default();
        let said: Vec<String> = if said.is_empty() { Vec::new() } else { said.split(' ').map(str::to_owned).collect() };
        if said.iter().all(|scope| self.approval.grant.scope.contains(scope)) { Ok(said) } else { Err(Refusal::Scope) }
    }

    fn account(&self) -> Result<Option<String>, Refusal> {
        let text = |name| self.text(name, Refusal::Account).map(|text| text.map(str::to_owned));
        let claimed = AccountIds {
            account_id: text("account_id")?,
            csp_id: self.claims.get("csp_id").map(|id| id.as_i64().ok_or(Refusal::Account)).transpose()?,
            sfdc_account_id: text("sfdc_account_id")?,
        };
        if self.approval.proof.subject.accounts.cover(&claimed) { Ok(claimed.account_id) } else { Err(Refusal::Account) }
    }
}
