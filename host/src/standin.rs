//! The embedding API: a request in, a token or a failure out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use standin_guest::error::{Entry, Error, Retry, RuntimeError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::ResourceAny;

use crate::audit::{Audit, AuditCtx, AuditLog};
use crate::bindings::endpoint::{HttpRequest, HttpResponse};
use crate::bindings::obo::{Ceiling, Denial as WireDenial, Grant};
use crate::bindings::types::{Attribute, Credential, Failure, Minted, Party, Request};
use crate::builder::{Builder, Loader};
use crate::clock::{Clock, Entropy};
use crate::decision_point::{DecisionPointCtx, Judge};
use crate::directory::{Directory, DirectoryCtx};
use crate::engine::{Sandbox, SandboxError, Supply};
use crate::evidence::Evidence;
use crate::http::HttpCtx;
use crate::keys::{Keys, KeysCtx, Timeouts, Verifier};
use crate::record;
use crate::registry::{Registry, RegistryCtx};
use crate::state::{Contexts, RequestState};
use crate::store::{Store, StoreCtx};

/// What a request sees from beginning to end: one configuration, one key set, one policy.
#[derive(Clone)]
pub struct Snapshot {
    /// Who may ask for what.
    pub registry: Arc<dyn Registry>,
    /// Our own keys.
    pub keys: Arc<dyn Keys>,
    /// The live policies.
    pub judge: Arc<dyn Judge>,
}

/// How long the host's own calls may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) audit: Duration,
    pub(crate) keys: Duration,
    pub(crate) request: Duration,
}

/// What every request shares.
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) directory_ctx: Arc<DirectoryCtx>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) store_ctx: Arc<StoreCtx>,
    pub(crate) http_ctx: Arc<HttpCtx>,
    pub(crate) audit: Arc<dyn Audit>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) limits: Limits,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) supply: Supply<RequestState>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) loader: Loader,
    pub(crate) log: Option<Arc<AuditLog>>,
}

/// The component in its host. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Standin {
    pub(crate) inner: Arc<Inner>,
}

/// Which part cannot serve now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// `directory`, `store` or `audit`.
    pub part: &'static str,
    /// Why, for the operator.
    pub cause: String,
}

impl Standin {
    /// Begins with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The three steps in one call.
    ///
    /// # Errors
    /// The failure as the caller may see it; its cause is in the audit log.
    pub async fn mint_on_behalf(&self, mut request: Request) -> Result<Minted, Failure> {
        let mut call = self.begin(&mut request.correlation_id).await?;
        call.vouch(&request);
        let answer = call
            .bounded(async |sandbox| sandbox.obo(async |obo, store| obo.call_mint_on_behalf(store, &request).await).await)
            .await?;
        call.end(answer).await
    }

    /// Everything but the signature, as a JSON object (docs/explain.md).
    ///
    /// # Errors
    /// The failure, only where the caller could not be authenticated or the sandbox failed.
    pub async fn explain(&self, mut request: Request) -> Result<String, Failure> {
        let mut call = self.begin(&mut request.correlation_id).await?;
        call.vouch(&request);
        let answer =
            call.bounded(async |sandbox| sandbox.obo(async |obo, store| obo.call_explain(store, &request).await).await).await?;
        // A dry run answers also where it could not be recorded, and says so; whoever hid it is recorded here.
        if answer.is_ok()
            && let Some(evidence) = call.unrecorded()
        {
            let hidden = failure(&call.correlation_id, RuntimeError::Trapped.into());
            call.inner.shared.record(&evidence, &call.correlation_id, &hidden.code).await;
            call.release();
            return answer;
        }
        call.end(answer).await
    }

    /// Step 1: authenticates the caller and finds the subject.
    ///
    /// # Errors
    /// The failure as the caller may see it; its cause is in the audit log.
    pub async fn resolve_target(&self, mut request: Request) -> Result<Target, Failure> {
        let mut call = self.begin(&mut request.correlation_id).await?;
        call.vouch(&request);
        let answer = call
            .bounded(async |sandbox| sandbox.obo(async |obo, store| obo.call_resolve_target(store, &request).await).await)
            .await?;
        match answer {
            Ok(handle) => Ok(Target { call, handle }),
            Err(failure) => call.end(Err(failure)).await,
        }
    }

    /// Answers one HTTP request through the component's protocol faces. Every failure is an answer. A correlation id that is not
    /// 1 to 128 characters of `A-Z a-z 0-9 . _ : -` is replaced.
    pub async fn handle(&self, mut request: HttpRequest) -> HttpResponse {
        let mut call = match self.begin(&mut request.correlation_id).await {
            Ok(call) => call,
            Err(failure) => return error_response(&failure),
        };
        let mut answer = call.bounded(async |sandbox| sandbox.handle(&request).await).await;
        // What is public is fetched with GET and is no attempt.
        if request.method == "POST" && answer.as_ref().is_ok_and(|answer| answer.status < 400) {
            answer = call.settle(answer).await;
        }
        call.release();
        answer.unwrap_or_else(|failure| error_response(&failure))
    }

    /// Where the time comes from.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.shared.clock)
    }

    /// Puts another snapshot in place, whole. Requests in flight end on the one they began with.
    pub fn replace(&self, snapshot: Snapshot) {
        self.inner.shared.snapshot.store(Arc::new(snapshot));
    }

    /// What new requests see.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.shared.snapshot.load_full()
    }

    /// Whether every part can serve now; one entry for each that cannot.
    pub async fn not_ready(&self) -> Vec<NotReady> {
        let (directory, store, audit) =
            tokio::join!(self.inner.shared.directory.ready(), self.inner.shared.store.ready(), self.inner.shared.audit.ready());
        let parts = [
            ("directory", directory.map_err(|error| format!("{error:?}"))),
            ("store", store.map_err(|error| format!("{error:?}"))),
            ("audit", audit.map_err(|error| error.to_string())),
        ];
        parts.into_iter().filter_map(|(part, ready)| ready.err().map(|cause| NotReady { part, cause })).collect()
    }

    /// Deletes what has expired from the store; answers how many entries that were.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn sweep(&self) -> Result<u64, crate::store::StoreError> {
        self.inner.shared.store.sweep().await
    }

    /// Closes the audit log with a checkpoint. Nothing is minted afterwards.
    ///
    /// # Errors
    /// Where the log could not be closed in order.
    pub async fn close(&self) -> Result<(), crate::audit::AuditError> {
        self.inner.shared.audit.close().await
    }

    async fn begin(&self, correlation_id: &mut String) -> Result<Call, Failure> {
        let inner = &self.inner;
        *correlation_id = self.correlation_id(correlation_id);
        let snapshot = inner.shared.snapshot.load_full();
        let Ok(slot) = Arc::clone(&inner.in_flight).try_acquire_owned() else {
            return Err(inner.shared.failed(&Evidence::default(), correlation_id, RuntimeError::Overloaded).await);
        };
        let taken = inner.supply.take().await;
        let mut sandbox = match taken {
            Ok(sandbox) => sandbox,
            Err(error) => return Err(inner.shared.sandbox_failed(&Evidence::default(), correlation_id, &error).await),
        };
        sandbox.state().begin(inner.shared.contexts(&snapshot, correlation_id.clone()));
        Ok(Call { inner: Arc::clone(inner), correlation_id: correlation_id.clone(), sandbox: Some(sandbox), _slot: slot })
    }

    /// `given` if it is well formed, otherwise one of our own.
    pub(crate) fn correlation_id(&self, given: &str) -> String {
        if standin_guest::id::is_opaque(given) {
            return given.to_owned();
        }
        let mut bits = [0; 16];
        match self.inner.shared.entropy.fill(&mut bits) {
            Ok(()) => format!("{:032x}", u128::from_be_bytes(bits)),
            // Without randomness nothing is minted; the answer still names a moment.
            Err(_) => format!("t{}", self.inner.shared.clock.now().as_nanos()),
        }
    }
}

impl Shared {
    /// The imports' contexts for one request.
    pub(crate) fn contexts(&self, snapshot: &Snapshot, correlation_id: String) -> Contexts {
        let (registry, keys, judge) = (&snapshot.registry, &snapshot.keys, &snapshot.judge);
        Contexts {
            decision_point: DecisionPointCtx::new(Arc::clone(judge), Arc::clone(registry), Arc::clone(&self.clock)),
            keys: KeysCtx::new(
                Arc::clone(keys),
                Arc::clone(&self.verifier),
                Arc::clone(registry),
                Arc::clone(&self.clock),
                Timeouts { sign: self.limits.keys, verify: self.limits.keys },
            ),
            directory: Arc::clone(&self.directory_ctx),
            registry: RegistryCtx::new(Arc::clone(registry)),
            http: Arc::clone(&self.http_ctx),
            store: Arc::clone(&self.store_ctx),
            audit: AuditCtx { log: Arc::clone(&self.audit), timeout: self.limits.audit, correlation_id, written: 0 },
        }
    }

    async fn sandbox_failed(&self, evidence: &Evidence, correlation_id: &str, error: &SandboxError) -> Failure {
        tracing::error!(%correlation_id, %error, "sandbox");
        let cause = match error {
            SandboxError::TimedOut => RuntimeError::TimedOut,
            SandboxError::Exhausted => RuntimeError::Overloaded,
            SandboxError::OutOfMemory | SandboxError::Trapped(_) => RuntimeError::Trapped,
        };
        self.failed(evidence, correlation_id, cause).await
    }

    /// Records a failure that the component could not record itself.
    async fn failed(&self, evidence: &Evidence, correlation_id: &str, error: RuntimeError) -> Failure {
        let failure = failure(correlation_id, error.into());
        self.record(evidence, correlation_id, &failure.code).await;
        failure
    }

    async fn record(&self, evidence: &Evidence, correlation_id: &str, code: &str) {
        let mut audit = AuditCtx {
            log: Arc::clone(&self.audit),
            timeout: self.limits.audit,
            correlation_id: correlation_id.to_owned(),
            written: 0,
        };
        let written = match record::host_failure(correlation_id, evidence, code) {
            Ok(event) => audit.append(event).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = written {
            // Nothing was minted, so nothing goes out unrecorded; the operator must still hear of it.
            tracing::error!(%correlation_id, %error, code, "audit");
        }
    }
}

/// A failure of the host, as the caller may see it.
pub(crate) fn failure(correlation_id: &str, error: Error) -> Failure {
    let Entry { code, oauth, status, retry, text, .. } = error.entry();
    Failure {
        code: code.into(),
        oauth_error: oauth.name().into(),
        status,
        message: text.into(),
        correlation_id: correlation_id.to_owned(),
        retry_after: match retry {
            Retry::Never => None,
            Retry::After(seconds) => Some(seconds),
        },
        attributes: Vec::new(),
    }
}

/// An error response (RFC 6749 §5.2) for a request that the component did not answer.
pub(crate) fn error_response(failure: &Failure) -> HttpResponse {
    let body = serde_json::json!({
        "error": failure.oauth_error, "error_description": failure.message, "code": failure.code,
        "correlation_id": failure.correlation_id,
    });
    let mut headers = vec![
        ("content-type".to_owned(), b"application/json".to_vec()),
        ("cache-control".to_owned(), b"no-store".to_vec()),
        ("x-correlation-id".to_owned(), failure.correlation_id.clone().into_bytes()),
    ];
    if let Some(seconds) = failure.retry_after {
        headers.push(("retry-after".to_owned(), seconds.to_string().into_bytes()));
    }
    HttpResponse { status: failure.status, headers, body: body.to_string().into_bytes() }
}

/// One request in its sandbox.
struct Call {
    inner: Arc<Inner>,
    correlation_id: String,
    sandbox: Option<Sandbox<RequestState>>,
    _slot: OwnedSemaphorePermit,
}

impl Call {
    /// The embedding program's word for a client, and its own facts about the request; only the embedding API has them.
    fn vouch(&mut self, request: &Request) {
        let Some(sandbox) = &mut self.sandbox else { return };
        let evidence = &mut sandbox.state().evidence;
        evidence.edge.clone_from(&request.attributes);
        if let Credential::Attested(client) = &request.caller {
            evidence.saw_attested(client);
        }
    }

    /// Runs one call of the component within the request's time. A sandbox that failed is thrown away.
    async fn bounded<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Sandbox<RequestState>) -> Result<T, SandboxError>,
    ) -> Result<T, Failure> {
        let inner = Arc::clone(&self.inner);
        let Some(sandbox) = &mut self.sandbox else {
            return Err(failure(&self.correlation_id, RuntimeError::Trapped.into()));
        };
        let result =
            tokio::time::timeout(inner.shared.limits.request, call(sandbox)).await.unwrap_or(Err(SandboxError::TimedOut));
        match result {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let evidence = self.sandbox.take().map(|mut sandbox| std::mem::take(&mut sandbox.state().evidence));
                Err(inner.shared.sandbox_failed(&evidence.unwrap_or_default(), &self.correlation_id, &error).await)
            }
        }
    }

    /// Ends with an answer.
    async fn end<T>(mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let answer = self.settle(answer).await;
        self.release();
        answer
    }

    /// An attempt that the component did not record is recorded here, and then ends in a failure: nothing good goes out
    /// unrecorded, and a component that hides an attempt does not get to name it as it likes.
    async fn settle<T>(&mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let Some(evidence) = self.unrecorded() else { return answer };
        let told = match answer {
            Err(failure) if record::is_code(&failure.code) => failure,
            Ok(_) | Err(_) => failure(&self.correlation_id, RuntimeError::Trapped.into()),
        };
        self.inner.shared.record(&evidence, &self.correlation_id, &told.code).await;
        Err(told)
    }

    /// What was proven, where nothing of it has been recorded.
    fn unrecorded(&mut self) -> Option<Evidence> {
        let state = self.sandbox.as_mut()?.state();
        (state.contexts.audit.written == 0).then(|| std::mem::take(&mut state.evidence))
    }

    fn release(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.inner.supply.give_back(sandbox);
        }
    }
}

/// Proof that the caller was authenticated and the subject found. Consumed by [`Self::evaluate_policy`].
pub struct Target {
    call: Call,
    handle: ResourceAny,
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
    ($($(#[$doc:meta])* $name:ident, $resource:ident, $method:ident, $yields:ty;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// Where the sandbox fails.
            pub async fn $name(&mut self) -> Result<$yields, Failure> {
                let handle = self.handle;
                self.call
                    .bounded(async |sandbox| sandbox.obo(async |obo, store| obo.$resource().$method(store, handle).await).await)
                    .await
            }
        )*
    };
}

impl Target {
    looks! {
        /// The authenticated caller.
        caller, target, call_caller, Party;
        /// On whose behalf.
        subject, target, call_subject, Party;
        /// The canonical tenant.
        tenant, target, call_tenant, String;
        /// The most that could be granted.
        ceiling, target, call_ceiling, Ceiling;
    }

    /// Step 2: asks the policy, then narrows.
    ///
    /// # Errors
    /// Where the sandbox fails; a denial is no error.
    pub async fn evaluate_policy(self) -> Result<Decision, Failure> {
        let Self { mut call, handle } = self;
        let answer = call
            .bounded(async |sandbox| sandbox.obo(async |obo, store| obo.call_evaluate_policy(store, handle).await).await)
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
    }
}

impl Permit {
    looks! {
        /// What will be minted.
        grant, permit, call_grant, Grant;
    }

    /// Step 3: the token.
    ///
    /// # Errors
    /// The failure as the caller may see it; its cause is in the audit log.
    pub async fn mint(self) -> Result<Minted, Failure> {
        let Self { mut call, handle } = self;
        let answer =
            call.bounded(async |sandbox| sandbox.obo(async |obo, store| obo.call_mint(store, handle).await).await).await?;
        call.end(answer).await
    }
}

/// The JSON value of a named attribute.
pub fn attribute(attributes: &[Attribute], name: &str) -> Option<serde_json::Value> {
    let found = attributes.iter().find(|attribute| attribute.name == name)?;
    serde_json::from_str(&found.value).ok()
}
