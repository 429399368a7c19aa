//! Import `registry`: the operator's registrations. The port is the core's; here is its link to the component.

mod memory;

use std::sync::Arc;

pub use standin_core::registry::*;
use wasmtime::component::{HasData, Linker};

pub use self::memory::Registrations;
use crate::approval::identified;
use crate::clock::Clock;
use crate::evidence::{Evidence, Stage};
use crate::guessing::Asker;
use crate::tape::Taped;

/// What the import needs of one request.
pub struct RegistryCtx {
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    asker: Asker,
}

impl RegistryCtx {
    /// Answers from `registry`; whether a caller's token is live, `clock` says.
    pub fn new(registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { registry, clock, asker: Asker::default() }
    }

    /// The same for a request of somebody.
    #[must_use]
    pub(crate) fn asked_by(self, asker: Asker) -> Self {
        Self { asker, ..self }
    }
}

/// The context, ready to serve a call.
pub struct RegistryView<'a> {
    /// The import's own context.
    pub ctx: &'a RegistryCtx,
    /// What the host has seen proven in this request.
    pub evidence: &'a mut Evidence,
}

/// A stranger is told what it takes to find out who it is, and nothing else.
impl crate::bindings::registry::Host for RegistryView<'_> {
    fn settings(&mut self) -> System {
        self.ctx.registry.settings().clone()
    }

    fn find_client(&mut self, id: String) -> Option<Client> {
        if !self.evidence.knows_caller() && !self.evidence.is_attested(&id) {
            return None;
        }
        let client = self.ctx.registry.find_client(&id)?;
        if client.attested && self.evidence.is_attested(&id) {
            self.evidence.saw_vouched();
            self.evidence.stages.end(Stage::Authenticate, self.ctx.clock.monotonic());
        }
        Some(Arc::unwrap_or_clone(client))
    }

    fn find_client_by_identity(&mut self, issuer: String, sub: String) -> Option<Client> {
        let RegistryCtx { registry, clock, asker } = self.ctx;
        let shown = identified(&issuer, &sub, self.evidence, &**registry, clock.now().as_secs());
        if let Some(client) = shown
            && self.evidence.saw_identity(&client.id)
        {
            self.evidence.stages.end(Stage::Authenticate, clock.monotonic());
            asker.turn.recognise(&client.id);
            asker.succeeded(&client.id);
        }
        let known = self.evidence.knows_caller();
        known.then(|| registry.find_client_by_identity(&issuer, &sub)).flatten().map(Arc::unwrap_or_clone)
    }

    fn find_issuer(&mut self, issuer: String) -> Option<Issuer> {
        let needed = self.evidence.knows_caller() || self.evidence.vouches_for_callers(&issuer);
        needed.then(|| self.ctx.registry.find_issuer(&issuer)).flatten().map(Arc::unwrap_or_clone)
    }

    fn find_audience(&mut self, id: String) -> Option<Audience> {
        let known = self.evidence.knows_caller();
        known.then(|| self.ctx.registry.find_audience(&id)).flatten().map(Arc::unwrap_or_clone)
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = Taped<RegistryView<'a>>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Taped<RegistryView<'_>>,
) -> wasmtime::Result<()> {
    crate::bindings::registry::add_to_linker::<T, Import>(linker, view)
}
