//! What every request shares, and what is recorded where the component cannot do it itself.

pub(crate) mod failures;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use standin_domain::error::{Entry, Error, Retry, RuntimeError};

use crate::audit::{Audit, AuditCtx, AuditError};
use crate::bindings::types::Failure;
use crate::clock::{Clock, Entropy};
use crate::decision_point::{DecisionPointCtx, Judge};
use crate::directory::{Directory, DirectoryCtx};
use crate::engine::SandboxError;
use crate::evidence::Evidence;
use crate::guessing::{Asker, Guessing};
use crate::http::HttpCtx;
use crate::keys::{Keys, KeysCtx, Verifier};
use crate::record;
use crate::registry::{Registry, RegistryCtx};
use crate::state::Contexts;
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
    pub(crate) guessing: Arc<Guessing>,
    pub(crate) limits: Limits,
}

impl Shared {
    /// The imports' contexts for one request of somebody.
    pub(crate) fn contexts(&self, snapshot: &Snapshot, correlation_id: String, asker: Asker) -> Contexts {
        let (registry, keys, judge) = (&snapshot.registry, &snapshot.keys, &snapshot.judge);
        Contexts {
            decision_point: DecisionPointCtx::new(Arc::clone(judge), Arc::clone(registry), Arc::clone(&self.clock))
                .in_turn(asker.turn.clone()),
            registry: RegistryCtx::new(Arc::clone(registry), Arc::clone(&self.clock)).asked_by(asker.clone()),
            keys: KeysCtx::new(
                Arc::clone(keys),
                Arc::clone(&self.verifier),
                Arc::clone(registry),
                Arc::<StoreCtx>::clone(&self.store_ctx),
                Arc::clone(&self.clock),
                Arc::clone(&self.entropy),
                self.limits.keys,
            )
            .asked_by(asker),
            directory: Arc::clone(&self.directory_ctx),
            http: Arc::clone(&self.http_ctx),
            store: Arc::clone(&self.store_ctx),
            audit: self.audit_ctx(correlation_id),
        }
    }

    fn audit_ctx(&self, correlation_id: String) -> AuditCtx {
        AuditCtx::new(Arc::clone(&self.audit), self.limits.audit, correlation_id)
    }

    pub(crate) async fn sandbox_failed(&self, evidence: &Evidence, correlation_id: &str, error: &SandboxError) -> Failure {
        tracing::error!(%correlation_id, %error, "sandbox");
        let cause = match error {
            SandboxError::TimedOut => RuntimeError::TimedOut,
            SandboxError::Exhausted => RuntimeError::Overloaded,
            SandboxError::OutOfMemory | SandboxError::Trapped(_) => RuntimeError::Trapped,
        };
        self.failed(evidence, correlation_id, cause).await
    }

    /// Records a failure that the component could not record itself.
    pub(crate) async fn failed(&self, evidence: &Evidence, correlation_id: &str, error: RuntimeError) -> Failure {
        let failure = failure(correlation_id, error.into());
        self.record(evidence, correlation_id, &failure.code).await;
        failure
    }

    pub(crate) async fn record(&self, evidence: &Evidence, correlation_id: &str, code: &str) {
        let written = recorded(self.audit_ctx(correlation_id.to_owned()), evidence, code).await;
        if let Err(error) = written {
            // Nothing was minted, so nothing goes out unrecorded; the operator must still hear of it.
            tracing::error!(%correlation_id, %error, code, "audit");
        }
    }
}

/// What the host says of an attempt is its own and well formed: what the log does not take is too long, and is said in short.
pub(crate) async fn recorded(mut audit: AuditCtx, evidence: &Evidence, code: &str) -> Result<(), Unrecorded> {
    let correlation_id = audit.correlation_id().to_owned();
    match audit.append(record::host_failure(&correlation_id, evidence, code)?).await {
        Err(AuditError::Malformed) => Ok(audit.append(record::shortened(&correlation_id, evidence, code)?).await?),
        written => Ok(written?),
    }
}

/// Why the host could not record an attempt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unrecorded {
    /// There is no such event.
    #[error(transparent)]
    Event(#[from] record::RecordError),
    /// The log does not take it.
    #[error(transparent)]
    Log(#[from] AuditError),
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
