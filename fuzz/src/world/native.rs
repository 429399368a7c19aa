//! The component's ports, over the host's own imports: what is asked crosses no sandbox, and everything else is what serves.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use standin::approval::Approval;
use standin::audit::{Audit, AuditCtx, AuditView, MemoryAudit};
use standin::bindings::{audit, decision_point, directory, keys, registry, store};
use standin::clock::{Clock as _, Entropy as _};
use standin::decision_point::{DecisionPointCtx, DecisionPointView};
use standin::directory::{DirectoryCtx, DirectoryView};
use standin::evidence::{Evidence, SeenDecision};
use standin::keys::{KeysCtx, KeysView};
use standin::presented::Presented;
use standin::record::Event;
use standin::registry::{RegistryCtx, RegistryView};
use standin::store::{Space, StoreCtx, StoreView};
use standin_domain::ports::{
    Account, AccountKey, Audience, AuditDown, AuditLog, Client, Clock, DecisionPoint, Directory, DirectoryError, Input, Issuer,
    JudgeError, Judged, KeyError, KeySource, Machine, MachineKey, Purpose, Random, Registry, Revocations, StoreDown, System,
    User, UserKey, Verified, Verifier,
};
use wasmtime::component::{Resource, ResourceTable};

use super::World;
use super::still::Still;

const TIMEOUT: Duration = Duration::from_secs(5);
const CORRELATION: &str = "c-1";

/// The imports of one request.
pub(crate) struct Native<'w> {
    world: &'w World,
    log: Arc<MemoryAudit>,
    inside: RefCell<Inside>,
}

struct Inside {
    evidence: Evidence,
    table: ResourceTable,
    audit: AuditCtx,
    decision_point: DecisionPointCtx,
    keys: KeysCtx,
    directory: DirectoryCtx,
    registry: RegistryCtx,
    store: StoreCtx,
}

impl<'w> Native<'w> {
    /// Of a request that carries this.
    pub(crate) fn new(world: &'w World, presented: Presented) -> Self {
        let log = Arc::new(MemoryAudit::new(64));
        let store = || StoreCtx::new(world.store.clone(), TIMEOUT);
        let (clock, entropy) = (Arc::new(Still), Arc::new(Still));
        let mut evidence = Evidence::default();
        evidence.presented = presented;
        let inside = Inside {
            evidence,
            table: ResourceTable::new(),
            audit: AuditCtx::new(Arc::<MemoryAudit>::clone(&log) as Arc<dyn Audit>, TIMEOUT, CORRELATION.into()),
            decision_point: DecisionPointCtx::new(world.judge.clone(), world.registry.clone(), clock.clone()),
            keys: KeysCtx::new(
                world.own.clone(),
                world.verifier.clone(),
                world.registry.clone(),
                Arc::new(store()),
                clock.clone(),
                entropy,
                TIMEOUT,
            ),
            directory: DirectoryCtx::new(world.directory.clone(), TIMEOUT),
            registry: RegistryCtx::new(world.registry.clone(), clock),
            store: store(),
        };
        Self { world, log, inside: RefCell::new(inside) }
    }

    /// What the host has seen.
    pub(crate) fn evidence<T>(&self, look: impl FnOnce(&Evidence) -> T) -> T {
        look(&self.inside.borrow().evidence)
    }

    /// The last decision.
    pub(crate) fn decision(&self) -> Option<Arc<SeenDecision>> {
        self.evidence(|evidence| evidence.decision.clone())
    }

    /// What was recorded.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.events()
    }

    fn keys<T>(&self, ask: impl AsyncFnOnce(&mut KeysView<'_>) -> T) -> T {
        let Inside { evidence, table, audit, keys, .. } = &mut *self.inside.borrow_mut();
        self.world.wait(ask(&mut KeysView { ctx: keys, evidence, audit, table }))
    }

    fn directory<T>(&self, ask: impl AsyncFnOnce(&mut DirectoryView<'_>) -> T) -> T {
        let Inside { evidence, directory, .. } = &mut *self.inside.borrow_mut();
        self.world.wait(ask(&mut DirectoryView { ctx: directory, evidence }))
    }

    fn registry<T>(&self, ask: impl FnOnce(&mut RegistryView<'_>) -> T) -> T {
        let Inside { evidence, registry, .. } = &mut *self.inside.borrow_mut();
        ask(&mut RegistryView { ctx: registry, evidence })
    }
}

impl Clock for Native<'_> {
    fn now(&self) -> u64 {
        Still.now().as_secs()
    }
}

impl Random for Native<'_> {
    fn bits128(&self) -> Option<[u8; 16]> {
        let mut bits = [0; 16];
        Still.fill(&mut bits).ok().map(|()| bits)
    }
}

impl Verifier for Native<'_> {
    fn verify(&self, jws: &str, source: &KeySource) -> Result<Verified, KeyError> {
        self.keys(async |view| keys::Host::verify(view, jws.to_owned(), source.clone()).await)
    }

    fn check_secret(&self, client: &str, secret: &str) -> Result<bool, KeyError> {
        self.keys(async |view| keys::Host::check_secret(view, client.to_owned(), secret.to_owned()).await)
    }

    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeyError> {
        self.keys(async |view| keys::Host::pseudonym(view, domain.to_owned(), value.to_owned()))
    }

    fn jwks(&self) -> String {
        self.keys(async |view| keys::Host::jwks(view))
    }
}

impl Directory for Native<'_> {
    fn find_account(&self, key: &AccountKey) -> Result<Option<Account>, DirectoryError> {
        self.directory(async |view| directory::Host::find_account(view, key.clone()).await)
    }

    fn find_user(&self, key: &UserKey) -> Result<Option<User>, DirectoryError> {
        self.directory(async |view| directory::Host::find_user(view, key.clone()).await)
    }

    fn find_machine(&self, key: &MachineKey) -> Result<Option<Machine>, DirectoryError> {
        self.directory(async |view| directory::Host::find_machine(view, key.clone()).await)
    }
}

impl Registry for Native<'_> {
    fn settings(&self) -> System {
        self.registry(|view| registry::Host::settings(view))
    }

    fn find_client(&self, id: &str) -> Option<Client> {
        self.registry(|view| registry::Host::find_client(view, id.to_owned()))
    }

    fn find_client_by_identity(&self, issuer: &str, sub: &str) -> Option<Client> {
        self.registry(|view| registry::Host::find_client_by_identity(view, issuer.to_owned(), sub.to_owned()))
    }

    fn find_issuer(&self, issuer: &str) -> Option<Issuer> {
        self.registry(|view| registry::Host::find_issuer(view, issuer.to_owned()))
    }

    fn find_audience(&self, id: &str) -> Option<Audience> {
        self.registry(|view| registry::Host::find_audience(view, id.to_owned()))
    }
}

impl Revocations for Native<'_> {
    fn any_revoked(&self, names: &[String]) -> Result<bool, StoreDown> {
        let keys = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let Inside { evidence, store, .. } = &mut *self.inside.borrow_mut();
        let mut view = StoreView { ctx: store, evidence };
        let space = Space::Revocation.name().to_owned();
        let entries = self.world.wait(store::Host::get_many(&mut view, space, keys)).map_err(|_| StoreDown)?;
        Ok(entries.iter().any(Option::is_some))
    }
}

impl DecisionPoint for Native<'_> {
    type Approval = Resource<Approval>;

    fn judge(&self, input: &Input) -> Result<Judged<Self::Approval>, JudgeError> {
        let Inside { evidence, table, decision_point, .. } = &mut *self.inside.borrow_mut();
        let mut view = DecisionPointView { ctx: decision_point, evidence, table, correlation_id: CORRELATION };
        let judged = self.world.wait(decision_point::Host::judge(&mut view, input.clone())).expect("a table with room");
        let decision_point::Judged { verdict, module_digest, approval } = judged?;
        Ok(Judged { verdict, module_digest, approval })
    }

    fn sign(&self, approval: Self::Approval, purpose: Purpose, claims: &str, event: &str) -> Result<String, KeyError> {
        let signed = self.keys(async |view| keys::Host::sign(view, approval, purpose, claims.to_owned(), event.to_owned()).await);
        signed.expect("an approval of this table")
    }
}

impl AuditLog for Native<'_> {
    fn append(&self, event: &str) -> Result<(), AuditDown> {
        let Inside { evidence, audit, .. } = &mut *self.inside.borrow_mut();
        let mut view = AuditView { ctx: audit, evidence };
        self.world.wait(audit::Host::append(&mut view, event.to_owned())).map_err(|_| AuditDown)
    }
}
