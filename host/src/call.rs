//! One request in its sandbox, and the proofs it yields on the way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use standin_domain::error::RuntimeError;
use wasmtime::component::ResourceAny;

use crate::bindings::endpoint::HttpRequest;
use crate::bindings::obo::{Ceiling, Denial as WireDenial, Grant};
use crate::bindings::types::{Credential, Failure, Minted, Party, Request};
use crate::door::{Crowded, Place, Turn};
use crate::engine::{Sandbox, SandboxError, Supply};
use crate::evidence::Evidence;
use crate::presented::Presented;
use crate::record;
use crate::shared::{Shared, failure};
use crate::state::RequestState;
use crate::tape::{self, Answered, Outcome, Tape};

/// One request in its sandbox.
pub(crate) struct Call {
    shared: Arc<Shared>,
    supply: Supply<RequestState>,
    correlation_id: String,
    sandbox: Option<Sandbox<RequestState>>,
    tape: Tape,
    place: Place,
    /// How long the first call may take: the request has waited for its place.
    left: Option<Duration>,
}

impl Call {
    /// One request begins in this sandbox.
    pub(crate) fn new(
        shared: Arc<Shared>,
        supply: Supply<RequestState>,
        correlation_id: String,
        sandbox: Sandbox<RequestState>,
        tape: Tape,
        place: Place,
        left: Duration,
    ) -> Self {
        Self { shared, supply, correlation_id, sandbox: Some(sandbox), tape, place, left: Some(left) }
    }

    /// For one step of several: the request has its place already.
    fn turns(&self) -> Turns {
        let correlation_id = self.correlation_id.clone();
        Turns { turn: self.place.turn(), patience: self.shared.limits.request, correlation_id }
    }

    /// Whether a client has shown who it is.
    pub(crate) fn knows_requester(&mut self) -> bool {
        self.sandbox.as_mut().is_some_and(|sandbox| sandbox.state().evidence.requester().is_some())
    }

    /// Says on the tape that a client has shown who it is: before what was proven is taken out or thrown away.
    fn attribute(&mut self) {
        if self.tape.is_on() && self.knows_requester() {
            self.tape.attributed();
        }
    }

    /// Records what the component left out.
    pub(crate) async fn record(&mut self, evidence: &Evidence, code: &str) {
        self.shared.record(evidence, &self.correlation_id, code).await;
    }

    /// The embedding program's word for a client, its own facts about the request and the step it names; only the embedding API has
    /// them.
    pub(crate) fn vouch(&mut self, request: &Request) {
        let Some(sandbox) = &mut self.sandbox else { return };
        let evidence = &mut sandbox.state().evidence;
        evidence.presented = Presented::by_request(request);
        evidence.edge.clone_from(&request.attributes);
        evidence.step = Some(request.step.clone());
        if let Credential::Attested(client) = &request.caller {
            evidence.saw_attested(client);
        }
    }

    /// A dry run: nothing of it is signed.
    pub(crate) fn runs_dry(&mut self) {
        if let Some(sandbox) = &mut self.sandbox {
            sandbox.state().evidence.dry_run = true;
        }
    }

    /// What a request over HTTP carries to prove something by.
    pub(crate) fn carries(&mut self, request: &HttpRequest) {
        if let Some(sandbox) = &mut self.sandbox {
            sandbox.state().evidence.presented = Presented::by_http(&request.headers, &request.body);
        }
    }

    /// Runs one call of the component within the request's time. A sandbox that failed is thrown away.
    pub(crate) async fn bounded<T: Answered>(
        &mut self,
        called: tape::Call<'_>,
        call: impl AsyncFnOnce(&mut Sandbox<RequestState>) -> Result<T, SandboxError>,
    ) -> Result<T, Failure> {
        let shared = Arc::clone(&self.shared);
        let Some(sandbox) = &mut self.sandbox else {
            return Err(failure(&self.correlation_id, RuntimeError::Trapped.into()));
        };
        let limit = self.left.take().unwrap_or(shared.limits.request);
        self.tape.called(&called);
        let result = tokio::time::timeout(limit, call(sandbox)).await.unwrap_or(Err(SandboxError::TimedOut));
        match result {
            Ok(answer) => {
                self.tape.ended(|| answer.outcome());
                self.attribute();
                Ok(answer)
            }
            Err(error) => {
                self.tape.ended(|| Outcome::Failed(error.to_string()));
                self.attribute();
                let evidence = self.sandbox.take().map(|mut sandbox| std::mem::take(&mut sandbox.state().evidence));
                Err(shared.sandbox_failed(&evidence.unwrap_or_default(), &self.correlation_id, &error).await)
            }
        }
    }

    /// Ends with an answer.
    pub(crate) async fn end<T>(mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let answer = self.settle(answer).await;
        self.release();
        answer
    }

    /// An attempt that the component did not record is recorded here, and then ends in a failure: nothing good goes out
    /// unrecorded, and a component that hides an attempt does not get to name it as it likes.
    pub(crate) async fn settle<T>(&mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let Some(evidence) = self.unrecorded() else { return answer };
        let told = match answer {
            Err(failure) if record::is_components(&failure.code) => failure,
            Ok(_) | Err(_) => {
                let trapped = failure(&self.correlation_id, RuntimeError::Trapped.into());
                self.tape.replaced(&trapped.code);
                trapped
            }
        };
        self.record(&evidence, &told.code).await;
        Err(told)
    }

    /// What was proven, where nothing of it has been recorded.
    pub(crate) fn unrecorded(&mut self) -> Option<Evidence> {
        let state = self.sandbox.as_mut()?.state();
        // What was written before anybody was known, or to hide who it was, is no record of somebody who is known.
        let audit = &state.contexts.audit;
        let recorded = if state.evidence.requester().is_some() { audit.attributed() } else { audit.written() };
        (recorded == 0).then(|| std::mem::take(&mut state.evidence))
    }

    pub(crate) fn release(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.supply.give_back(sandbox);
        }
    }
}

impl Drop for Call {
    /// Also a call that was given up halfway has a tape.
    fn drop(&mut self) {
        self.attribute();
        self.tape.finish();
    }
}

/// The turns of a request that takes its steps one by one.
struct Turns {
    turn: Turn,
    patience: Duration,
    correlation_id: String,
}

impl Turns {
    async fn work<T>(self, step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let worked = self.turn.work(self.patience, step).await;
        worked.unwrap_or_else(|Crowded| Err(failure(&self.correlation_id, RuntimeError::Overloaded.into())))
    }
}

/// Proof that the caller was authenticated and the subject found. Consumed by [`Self::evaluate_policy`].
pub struct Target {
    pub(crate) call: Call,
    pub(crate) handle: ResourceAny,
}

/// Proof that the policy permits. Consumed by [`Self::mint`], which has to come within 30 seconds.
pub struct Permit {
    call: Call,
    handle: ResourceAny,
}

/// What [`Target::evaluate_policy`] yields.
pub enum Decision {
    /// Leave to mint.
    Permit(Box<Permit>),
    /// A refusal, with the reasons an operator may see.
    Deny(WireDenial),
}

macro_rules! looks {
    ($($(#[$doc:meta])* $name:ident, $call:ident, $resource:ident, $method:ident, $yields:ty;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// Where the sandbox fails.
            pub async fn $name(&mut self) -> Result<$yields, Failure> {
                let handle = self.handle;
                let turns = self.call.turns();
                let look = self.call.bounded(tape::Call::$call, async |sandbox| {
                    sandbox.obo(async |obo, store| obo.$resource().$method(store, handle).await).await
                });
                turns.work(look).await
            }
        )*
    };
}

impl Target {
    looks! {
        /// The authenticated caller.
        caller, Caller, target, call_caller, Party;
        /// On whose behalf.
        subject, Subject, target, call_subject, Party;
        /// The canonical tenant.
        tenant, Tenant, target, call_tenant, String;
        /// The most that could be granted.
        ceiling, Ceiling, target, call_ceiling, Ceiling;
    }

    /// Step 2: asks the policy, then narrows.
    ///
    /// # Errors
    /// Where the sandbox fails; a denial is no error.
    pub async fn evaluate_policy(self) -> Result<Decision, Failure> {
        let Self { mut call, handle } = self;
        let turns = call.turns();
        let evaluate = async move {
            let answer = call
                .bounded(tape::Call::EvaluatePolicy, async |sandbox| {
                    sandbox.obo(async |obo, store| obo.call_evaluate_policy(store, handle).await).await
                })
                .await?;
            match answer {
                Ok(crate::bindings::obo::Decision::Permit(handle)) => Ok(Decision::Permit(Box::new(Permit { call, handle }))),
                Ok(crate::bindings::obo::Decision::Deny(denial)) => {
                    let WireDenial { failure, reasons } = denial;
                    match call.end::<Infallible>(Err(failure)).await {
                        Err(failure) => Ok(Decision::Deny(WireDenial { failure, reasons })),
                    }
                }
                Err(failure) => call.end(Err(failure)).await,
            }
        };
        turns.work(evaluate).await
    }
}

impl Permit {
    looks! {
        /// What will be minted.
        grant, Grant, permit, call_grant, Grant;
    }

    /// Step 3: the token.
    ///
    /// # Errors
    /// The failure as the caller may see it; its cause is in the audit log.
    pub async fn mint(self) -> Result<Minted, Failure> {
        let Self { mut call, handle } = self;
        let turns = call.turns();
        let mint = async move {
            let answer = call
                .bounded(tape::Call::Mint, async |sandbox| {
                    sandbox.obo(async |obo, store| obo.call_mint(store, handle).await).await
                })
                .await?;
            call.end(answer).await
        };
        turns.work(mint).await
    }
}
