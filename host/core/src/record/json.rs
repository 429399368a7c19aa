//! How the host's facts look in JSON. Borrowed throughout: an event is written once and thrown away.

use serde::{Serialize, Serializer};
use standin_domain::contract::{Allowance, Attribute, Effect, Input, Party, Reason, Verdict};

use crate::evidence::{Evidence, SeenDecision, SeenOrigin, TokenRole};

/// What was granted.
#[derive(Serialize)]
pub(super) struct Granted<'a> {
    pub(super) scope: &'a [String],
    pub(super) audience: &'a [String],
    pub(super) ttl: u64,
    pub(super) expires_at: u64,
    pub(super) provisional: bool,
}

/// The tenant a crossing starts from, and who judged for it.
#[derive(Serialize)]
pub(super) struct Origin<'a> {
    from: &'a str,
    policy: &'a str,
}

impl<'a> Origin<'a> {
    pub(super) fn of(origin: &'a SeenOrigin) -> Self {
        Self { from: &origin.tenant, policy: &origin.module_digest }
    }
}

/// Who asked, as far as it was proven.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Requester<'a> {
    /// A client.
    Client(&'a str),
    /// Whom a verified token of a caller issuer names, where no client is registered for that.
    Identity { iss: &'a str, sub: &'a str },
}

impl<'a> Requester<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Option<Self> {
        if let Some(id) = evidence.requester() {
            return Some(Self::Client(id));
        }
        let token = evidence.tokens.iter().rfind(|token| token.role == TokenRole::Caller)?;
        Some(Self::Identity { iss: &token.issuer, sub: token.claims.get("sub")?.as_str()? })
    }
}

/// The last question to the policy and what came of it.
#[derive(Serialize)]
pub(super) struct Decision<'a> {
    target: &'a str,
    tenant: &'a str,
    effect: Option<Effected<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cross_tenant: Option<Origin<'a>>,
    policy: &'a str,
    rules: Rules<'a>,
    asked: Asked<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left_out: &'a [String],
}

impl<'a> Decision<'a> {
    pub(super) fn of(decision: &'a SeenDecision) -> Self {
        let verdict = decision.verdict.as_ref();
        Self {
            target: &decision.input.subject.id,
            tenant: &decision.input.tenant,
            effect: verdict.map(|verdict| Effected::of(&verdict.effect)),
            refusal: decision.refusal.as_deref(),
            cross_tenant: decision.origin.as_ref().map(Origin::of),
            policy: &decision.module_digest,
            rules: Rules(verdict.map(|verdict| verdict.reasons.as_slice()).unwrap_or_default()),
            asked: Asked(&decision.input),
            left_out: &decision.left_out,
        }
    }
}

/// What one module said of a question: its verdict, or why there is none.
#[derive(Serialize)]
pub struct Judged<'a> {
    policy: &'a str,
    effect: Option<Effected<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    rules: Rules<'a>,
}

impl<'a> Judged<'a> {
    /// Of the module with this digest.
    pub fn of(digest: &'a str, answer: Result<&'a Verdict, String>) -> Self {
        let (verdict, error) = match answer {
            Ok(verdict) => (Some(verdict), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            policy: digest,
            effect: verdict.map(|verdict| Effected::of(&verdict.effect)),
            error,
            rules: Rules(verdict.map(|verdict| verdict.reasons.as_slice()).unwrap_or_default()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Effected<'a> {
    Permit { scope: Option<&'a [String]>, audience: Option<&'a [String]>, ttl: Option<u32> },
    Deny,
    StepUp(&'a str),
}

impl<'a> Effected<'a> {
    fn of(effect: &'a Effect) -> Self {
        match effect {
            Effect::Permit(Allowance { scope, audience, ttl }) => {
                Self::Permit { scope: scope.as_deref(), audience: audience.as_deref(), ttl: *ttl }
            }
            Effect::Deny => Self::Deny,
            Effect::StepUp(acr) => Self::StepUp(acr),
        }
    }
}

/// Why it was decided so.
pub(super) struct Rules<'a>(pub(super) &'a [Reason]);

impl Serialize for Rules<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            rule: &'a str,
            text: &'a str,
        }
        serializer.collect_seq(self.0.iter().map(|reason| Row { rule: &reason.rule, text: &reason.text }))
    }
}

/// Everything the policy was asked.
pub(super) struct Asked<'a>(pub(super) &'a Input);

impl Serialize for Asked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            caller: Who<'a>,
            subject: Who<'a>,
            chain: &'a [String],
            tenant: &'a str,
            audience: &'a [String],
            scope: &'a [String],
            ttl: u32,
            flow: &'a str,
            step: Option<&'a str>,
            now: u64,
            attributes: Facts<'a>,
        }
        let Input { caller, subject, chain, tenant, audience, scope, ttl, flow, step, now, attributes } = self.0;
        Row {
            caller: Who(caller),
            subject: Who(subject),
            chain,
            tenant,
            audience,
            scope,
            ttl: *ttl,
            flow,
            step: step.as_deref(),
            now: *now,
            attributes: Facts(attributes),
        }
        .serialize(serializer)
    }
}

struct Who<'a>(&'a Party);

impl Serialize for Who<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            kind: &'a str,
            id: &'a str,
            tenants: &'a [String],
            provisional: bool,
            attributes: Facts<'a>,
        }
        let Party { kind, id, tenants, provisional, attributes } = self.0;
        Row { kind, id, tenants, provisional: *provisional, attributes: Facts(attributes) }.serialize(serializer)
    }
}

/// Names and values as the policy got them: the values stay JSON text, so that nothing in them can be taken for the event's own.
struct Facts<'a>(&'a [Attribute]);

impl Serialize for Facts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            name: &'a str,
            value: &'a str,
        }
        serializer.collect_seq(self.0.iter().map(|fact| Row { name: &fact.name, value: &fact.value }))
    }
}
