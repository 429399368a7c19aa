//! Import `decision-point`: asks the live policy and keeps the approval. The port, and its link to the component.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::approval::Approval;
pub use crate::bindings::decision_point::{JudgeError, Judged};
pub use crate::bindings::types::{Input, Verdict};
use crate::clock::Clock;
use crate::evidence::Evidence;
use crate::registry::Registry;

/// A verdict and the module that gave it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What it decided.
    pub verdict: Verdict,
    /// Lowercase hex SHA-256 of the module.
    pub module_digest: String,
}

/// The policies that are live. One value is one consistent snapshot: it never changes while a request holds it.
pub trait Judge: Send + Sync + 'static {
    /// Asks the policy of this tenant. Runs to its end within the policy's own limits.
    ///
    /// # Errors
    /// Where there is no verdict; all of them deny.
    fn judge(&self, tenant: &str, input: &Input) -> Result<Judgement, JudgeError>;
}

/// What the import needs of one request.
pub struct DecisionPointCtx {
    judge: Arc<dyn Judge>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
}

impl DecisionPointCtx {
    /// Asks `judge` about what `registry` and the evidence bear out.
    pub fn new(judge: Arc<dyn Judge>, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { judge, registry, clock }
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
}

impl crate::bindings::decision_point::Host for DecisionPointView<'_> {
    async fn judge(&mut self, _input: Input) -> wasmtime::Result<Result<Judged, JudgeError>> {
        let _ = (&self.ctx.judge, &self.ctx.registry, &self.ctx.clock, &self.evidence);
        Ok(Err(JudgeError::Unavailable))
    }
}

impl crate::bindings::decision_point::HostApproval for DecisionPointView<'_> {
    fn drop(&mut self, approval: Resource<Approval>) -> wasmtime::Result<()> {
        self.table.delete(approval)?;
        Ok(())
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = DecisionPointView<'a>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> DecisionPointView<'_>,
) -> wasmtime::Result<()> {
    crate::bindings::decision_point::add_to_linker::<T, Import>(linker, view)
}
