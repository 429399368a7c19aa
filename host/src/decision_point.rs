//! Import `decision-point`: asks the live policy and keeps the approval. The port, and its link to the component.

use std::sync::Arc;

use standin_core::limits;
pub(crate) use standin_core::limits::{both, describe, shorten, verdict as check};
use standin_core::registry::Registry;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::approval::{self, Approval, Grant};
pub use crate::bindings::decision_point::{JudgeError, Judged};
use crate::bindings::types::Effect;
pub use crate::bindings::types::{Input, Verdict};
use crate::clock::Clock;
use crate::door::{Crowded, Turn};
use crate::evidence::{Evidence, SeenDecision, SeenOrigin, Stage};
use crate::tape::{Completed, Completes, Taped};

/// A verdict and the module that gave it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What it decided.
    pub verdict: Verdict,
    /// Lowercase hex SHA-256 of the module; of both, joined by `+`, where a tenant's was ANDed with the platform's.
    pub module_digest: String,
}

/// What the policies are asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Whose policy: the tenant's of the subject, or that of the tenant a crossing starts from.
    pub tenant: &'a str,
    /// The request's correlation id.
    pub correlation_id: &'a str,
    /// The question.
    pub input: &'a Input,
}

/// The policies that are live. One value is one consistent snapshot: it never changes while a request holds it.
pub trait Judge: Send + Sync + 'static {
    /// Asks the policy of this tenant. Runs to its end within the policy's own limits.
    ///
    /// # Errors
    /// Where there is no verdict; all of them deny.
    fn judge(&self, question: &Question<'_>) -> Result<Judgement, JudgeError>;

    /// Whether the policy of this tenant may keep a thread for milliseconds: then only as many are asked at once as there are
    /// processors, and whoever waits for that waits in turn with other clients.
    fn is_slow(&self, _tenant: &str) -> bool {
        false
    }
}

/// What the import needs of one request.
pub struct DecisionPointCtx {
    judge: Arc<dyn Judge>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    turn: Turn,
}

impl DecisionPointCtx {
    /// Asks `judge` about what `registry` and the evidence bear out.
    pub fn new(judge: Arc<dyn Judge>, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { judge, registry, clock, turn: Turn::default() }
    }

    /// The same for a request that came through the door.
    #[must_use]
    pub(crate) fn in_turn(self, turn: Turn) -> Self {
        Self { turn, ..self }
    }
}

/// The context with what it shares with the other imports.
pub struct DecisionPointView<'a> {
    /// The import's own context.
    pub ctx: &'a DecisionPointCtx,
    /// What the host has seen proven in this request.
    pub evidence: &'a mut Evidence,
    /// Where approvals live until `keys.sign` takes them.
    pub table: &'a mut ResourceTable,
    /// The request's correlation id.
    pub correlation_id: &'a str,
}

impl DecisionPointView<'_> {
    /// Completes the question, examines it, asks the policies, and approves what is both proven and permitted.
    async fn decide(&mut self, mut input: Input) -> Result<(Verdict, String, Option<Approval>), JudgeError> {
        self.evidence.spend_decision().map_err(|why| JudgeError::Other(Some(why.to_string())))?;
        self.evidence.stages.end(Stage::Resolve, self.ctx.clock.monotonic());
        limits::question(&input)?;
        limits::edge(&self.evidence.edge)?;
        let now = self.ctx.clock.now().as_secs();
        let proof = approval::examine(&mut input, self.evidence, &*self.ctx.registry, now);
        let (proven, from) = (proof.is_ok(), proof.as_ref().ok().and_then(|proof| proof.origin.clone()));
        let left_out = proof.as_ref().map(|proof| proof.left_out.clone()).unwrap_or_default();
        let (judgement, origin) = match in_turn(self.ctx, self.correlation_id, &input, from.as_deref()).await {
            Ok(answer) => answer,
            Err(why) => {
                let origin = from.map(|tenant| SeenOrigin { tenant, module_digest: String::new() });
                let refusal = Some(limits::describe(&why));
                let seen = SeenDecision { input, left_out, proven, module_digest: String::new(), verdict: None, origin, refusal };
                self.evidence.decided(Arc::new(seen));
                return Err(why);
            }
        };
        let Judgement { verdict, module_digest } = judgement;
        let granted = match &verdict.effect {
            Effect::Permit(allowance) => proof.and_then(|proof| Ok(Some((Grant::narrow(&input, allowance)?, proof)))),
            Effect::Deny | Effect::StepUp(_) => proof.map(|_unused| None),
        };
        let refusal = granted.as_ref().err().map(ToString::to_string);
        let digest = module_digest.clone();
        let seen =
            SeenDecision { input, left_out, proven, module_digest: digest, verdict: Some(verdict.clone()), origin, refusal };
        let seen = Arc::new(seen);
        self.evidence.decided(Arc::clone(&seen));
        let approval = granted.ok().flatten().map(|(grant, proof)| Approval::new(proof, grant, seen));
        Ok((verdict, module_digest, approval))
    }
}

/// Asks; where that may take long, beside the requests that it would hold up.
async fn in_turn(
    ctx: &DecisionPointCtx,
    correlation_id: &str,
    input: &Input,
    from: Option<&str>,
) -> Result<(Judgement, Option<SeenOrigin>), JudgeError> {
    let DecisionPointCtx { judge, turn, .. } = ctx;
    if !std::iter::once(input.tenant.as_str()).chain(from).any(|tenant| judge.is_slow(tenant)) {
        return ask(&**judge, correlation_id, input, from);
    }
    turn.slow().await.map_err(|Crowded| JudgeError::Unavailable)?;
    let answer = ask(&**judge, correlation_id, input, from);
    turn.swift().await;
    answer
}

/// Asks the policy of the tenant and, where it is reached by crossing, also that of the origin: both must permit.
pub(crate) fn ask(
    judge: &dyn Judge,
    correlation_id: &str,
    input: &Input,
    from: Option<&str>,
) -> Result<(Judgement, Option<SeenOrigin>), JudgeError> {
    let judged_by = |tenant| {
        let judgement = judge.judge(&Question { tenant, correlation_id, input })?;
        limits::joined(&judgement.verdict)?;
        Ok(judgement)
    };
    let judgement = judged_by(&input.tenant)?;
    let Some(from) = from else { return Ok((judgement, None)) };
    let Judgement { verdict, module_digest } = judgement;
    let asked = |module_digest| Some(SeenOrigin { tenant: from.to_owned(), module_digest });
    let permits = match &verdict.effect {
        Effect::Permit(_) => true,
        Effect::Deny | Effect::StepUp(_) => false,
    };
    if !permits {
        return Ok((Judgement { verdict, module_digest }, asked(String::new())));
    }
    let origin = judged_by(from)?;
    let verdict = limits::both(verdict, origin.verdict)?;
    Ok((Judgement { verdict, module_digest }, asked(origin.module_digest)))
}

impl crate::bindings::decision_point::Host for DecisionPointView<'_> {
    async fn judge(&mut self, input: Input) -> wasmtime::Result<Result<Judged, JudgeError>> {
        let decided = self.decide(input).await;
        self.evidence.stages.end(Stage::Policy, self.ctx.clock.monotonic());
        let (verdict, module_digest, approval) = match decided {
            Ok(decided) => decided,
            Err(why) => return Ok(Err(why)),
        };
        let approval = approval.map(|approval| self.table.push(approval)).transpose()?;
        Ok(Ok(Judged { verdict, module_digest, approval }))
    }
}

impl crate::bindings::decision_point::HostApproval for DecisionPointView<'_> {
    fn drop(&mut self, approval: Resource<Approval>) -> wasmtime::Result<()> {
        self.table.delete(approval)?;
        Ok(())
    }
}

impl Completes for DecisionPointView<'_> {
    fn decisions(&self) -> usize {
        self.evidence.earlier.len() + usize::from(self.evidence.decision.is_some())
    }

    fn completed(&self) -> Option<Completed> {
        let SeenDecision { input, proven, origin, .. } = self.evidence.decision.as_deref()?;
        let origin = origin.as_ref().map(|origin| origin.tenant.clone());
        Some(Completed { input: input.clone(), origin, proven: *proven })
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = Taped<DecisionPointView<'a>>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Taped<DecisionPointView<'_>>,
) -> wasmtime::Result<()> {
    crate::bindings::decision_point::add_to_linker::<T, Import>(linker, view)
}

#[cfg(test)]
mod tests;
