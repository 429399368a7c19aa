//! What one sandbox carries: the contexts of its imports, and what the host has seen proven in the request it serves.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};

use crate::audit::{AuditCtx, AuditView};
use crate::decision_point::{DecisionPointCtx, DecisionPointView};
use crate::directory::{DirectoryCtx, DirectoryView};
use crate::engine::{SandboxParts, Sandboxed};
use crate::evidence::Evidence;
use crate::http::{HttpCtx, HttpView};
use crate::keys::{KeysCtx, KeysView};
use crate::registry::{RegistryCtx, RegistryView};
use crate::store::{StoreCtx, StoreView};
use crate::tape::{Tape, Taped};

/// The contexts of the imports for one request: one configuration, one key set, one policy from beginning to end.
pub(crate) struct Contexts {
    pub(crate) decision_point: DecisionPointCtx,
    pub(crate) keys: KeysCtx,
    pub(crate) directory: Arc<DirectoryCtx>,
    pub(crate) registry: RegistryCtx,
    pub(crate) http: Arc<HttpCtx>,
    pub(crate) store: Arc<StoreCtx>,
    pub(crate) audit: AuditCtx,
}

/// The state of a sandbox.
pub(crate) struct RequestState {
    parts: SandboxParts,
    table: ResourceTable,
    tape: Tape,
    pub(crate) evidence: Evidence,
    pub(crate) contexts: Contexts,
}

impl RequestState {
    pub(crate) fn new(parts: SandboxParts, contexts: Contexts) -> Self {
        Self { parts, table: ResourceTable::new(), tape: Tape::default(), evidence: Evidence::default(), contexts }
    }

    /// Puts the parts of one request, which begins now by the monotonic clock, in place of those of another; nothing of the other is left.
    pub(crate) fn begin(&mut self, contexts: Contexts, tape: Tape, now: Duration) {
        self.contexts = contexts;
        self.tape = tape;
        self.table = ResourceTable::new();
        self.evidence = Evidence::begun(now);
    }
}

impl Sandboxed for RequestState {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.parts
    }
}

/// Links every import of the world `standin`, on its way past the tape.
pub(crate) fn link(linker: &mut Linker<RequestState>) -> wasmtime::Result<()> {
    crate::decision_point::add_to_linker(linker, |state| {
        let view = DecisionPointView {
            ctx: &state.contexts.decision_point,
            evidence: &mut state.evidence,
            table: &mut state.table,
            correlation_id: state.contexts.audit.correlation_id(),
        };
        Taped::new(&state.tape, view)
    })?;
    crate::keys::add_to_linker(linker, |state| {
        let view = KeysView {
            ctx: &state.contexts.keys,
            evidence: &mut state.evidence,
            audit: &mut state.contexts.audit,
            table: &mut state.table,
        };
        Taped::new(&state.tape, view)
    })?;
    crate::directory::add_to_linker(linker, |state| {
        let view = DirectoryView { ctx: &state.contexts.directory, evidence: &mut state.evidence };
        Taped::new(&state.tape, view)
    })?;
    crate::registry::add_to_linker(linker, |state| {
        let view = RegistryView { ctx: &state.contexts.registry, evidence: &mut state.evidence };
        Taped::new(&state.tape, view)
    })?;
    crate::http::add_to_linker(linker, |state| {
        Taped::new(&state.tape, HttpView { ctx: &state.contexts.http, evidence: &mut state.evidence })
    })?;
    crate::store::add_to_linker(linker, |state| {
        Taped::new(&state.tape, StoreView { ctx: &state.contexts.store, evidence: &mut state.evidence })
    })?;
    crate::audit::add_to_linker(linker, |state| {
        Taped::new(&state.tape, AuditView { ctx: &mut state.contexts.audit, evidence: &state.evidence })
    })
}
