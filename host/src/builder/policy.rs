//! The policy modules of a configuration: read, held against what is trusted, compiled, tested with their own cases, and only then
//! live. Whatever fails on the way leaves what was live where it is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::{BuildError, Loader, MAX_COMPONENT};
use crate::bounded;
use crate::clock::Clock;
use crate::config::{self, PolicySource};
use crate::guard::{self, GuardError};
use crate::hex;
use crate::policy::cases::CaseError;
use crate::policy::package::{PackageError, cases_of};
use crate::policy::signature::SignatureError;
use crate::policy::trust::{Floor, Trust, TrustError};
use crate::policy::{
    BASELINE, BreakerOptions, PLATFORM, PolicyError, PolicyLimits, PolicyModule, PolicySlots, Shadow, Slot, tenant_slot,
};
use crate::sqlite::SqliteError;

/// The longest file of a public key, in bytes.
const MAX_KEY: u64 = 16 * 1024;
/// How long a module's own cases may take together.
const CASES: Duration = Duration::from_secs(30);

/// Why a module may not become live.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others can write what says which modules count, or a module that nothing else vouches for.
    #[error("cannot trust {}: {source}", path.display())]
    Unguarded {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: GuardError,
    },
    /// A file of `trusted_keys` is none.
    #[error("{}: {source}", path.display())]
    TrustedKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SignatureError,
    },
    /// It is not one that is trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is no policy module, or it does not compile.
    #[error(transparent)]
    Module(#[from] PolicyError),
    /// The cases that travel with it cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The cases that travel with it are none.
    #[error("the module's own cases: {0}")]
    Cases(#[from] CaseError),
    /// It does not do what its own cases say.
    #[error("the module fails its own case {case:?}")]
    Fails {
        /// The first of those it fails.
        case: String,
    },
    /// The candidate beside it may not be asked.
    #[error("the candidate {}: {cause}", path.display())]
    Candidate {
        /// Its file.
        path: PathBuf,
        /// Why not.
        cause: Box<LoadError>,
    },
    /// There is nothing to go back to.
    #[error("no other module was live in this slot since the start")]
    NothingBefore,
    /// The database of the versions that were live.
    #[error("the versions that were live: the store's database {}: {source}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: SqliteError,
    },
}

impl LoadError {
    /// The module's file as it follows the slot's name; nothing where the error names the file itself.
    pub(super) fn file(&self, file: Option<&Path>) -> String {
        match self {
            Self::Unreadable { .. }
            | Self::Unguarded { .. }
            | Self::TrustedKey { .. }
            | Self::Candidate { .. }
            | Self::Database { .. } => String::new(),
            Self::Trust(_) | Self::Module(_) | Self::Package(_) | Self::Cases(_) | Self::Fails { .. } | Self::NothingBefore => {
                file.map(|file| format!(" ({})", file.display())).unwrap_or_default()
            }
        }
    }

    /// Which step failed, in one word: a stranger may know it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Unguarded { .. } => "writable",
            Self::TrustedKey { .. } => "trusted-keys",
            Self::Trust(TrustError::Digest { .. }) => "digest",
            Self::Trust(TrustError::Signature(_)) => "signature",
            Self::Trust(TrustError::Package(_)) | Self::Package(_) => "manifest",
            Self::Trust(TrustError::Older { .. }) => "version",
            Self::Trust(TrustError::Floor(_)) | Self::Database { .. } => "database",
            Self::Module(PolicyError::Import(_)) => "imports",
            Self::Module(PolicyError::World(_)) => "world",
            Self::Module(PolicyError::Describe(_)) => "describe",
            Self::Module(PolicyError::Image(_) | PolicyError::Limits | PolicyError::Package(_)) => "compile",
            Self::Cases(_) | Self::Fails { .. } => "cases",
            Self::Candidate { .. } => "candidate",
            Self::NothingBefore => "nothing-before",
        }
    }
}

impl Loader {
    /// What a configuration wants live, and what of it may not be: that stays as it is. Slots that do not change stay the same ones.
    /// The platform's module has to be one that may be live, and so has every module at the start, when there is none to stay.
    pub(super) fn policies(&self, policy: Option<&config::Policy>) -> Result<(Arc<PolicySlots>, Vec<Refused>), BuildError> {
        let Some(policy) = policy else {
            let module = self.module(BASELINE, PolicyLimits::default());
            let module = module.map_err(|source| BuildError::Policy { slot: PLATFORM.to_owned(), file: None, source })?;
            let slot = self.slot(PLATFORM, Arc::new(module), BreakerOptions::default(), None);
            return Ok((Arc::new(PolicySlots::new(slot, BTreeMap::new())), Vec::new()));
        };
        self.rollout.reads(policy);
        let breaker = breaker(policy);
        let live = self.rollout.live();
        let live = |slot: &str| live.as_ref().and_then(|live| live.find(slot)).map(Arc::clone);
        let mut refused = Vec::new();
        let mut load = |slot: String, module: &config::PolicyModule| {
            let (live, mut kept) = (live(&slot), Vec::new());
            let loaded = self.configured(&slot, module, breaker, live.as_ref(), &mut kept);
            let file = file_of(module);
            refused.extend(kept.into_iter().map(|source| Refused { slot: slot.clone(), file: file.clone(), source }));
            match (loaded, live) {
                (Ok(loaded), _) => Ok(loaded),
                // One tenant's file must not keep the others from what they are to get, nor the platform's.
                (Err(source), Some(live)) if slot != PLATFORM => {
                    refused.push(Refused { slot, file, source });
                    Ok(live)
                }
                (Err(source), _) => Err(BuildError::Policy { slot, file, source }),
            }
        };
        let platform = load(PLATFORM.to_owned(), &policy.platform)?;
        let tenants = policy.tenants.iter().map(|tenant| {
            let slot = load(tenant_slot(&tenant.tenant), &tenant.module)?;
            Ok((tenant.tenant.clone(), slot))
        });
        let slots = PolicySlots::new(platform, tenants.collect::<Result<_, BuildError>>()?);
        Ok((Arc::new(slots), refused))
    }

    /// From now on nothing older may be live in these slots: only once all of them may be, and that is recorded.
    pub(super) fn raise_floors(&self, slots: &PolicySlots) -> Result<(), BuildError> {
        for slot in slots.each() {
            let failed = |source| BuildError::Policy { slot: slot.name().to_owned(), file: None, source };
            self.raise_floor(slot).map_err(failed)?;
        }
        Ok(())
    }

    /// The slots whose version is another than the one that was recorded as live last.
    pub(super) fn with_other_versions<'a>(&self, slots: &'a PolicySlots) -> Result<Vec<&'a Slot>, BuildError> {
        let mut found: Vec<&'a Slot> = Vec::new();
        for slot in slots.each() {
            let Some(version) = slot.module().version() else { continue };
            let floor = self.floor(slot.name());
            let failed = |source| BuildError::Policy { slot: slot.name().to_owned(), file: None, source };
            if floor.map_err(failed)? != Some(version) {
                found.push(slot);
            }
        }
        Ok(found)
    }

    /// What is live, with the module that was in this slot before: one that is trusted still.
    pub(super) fn rolled_back(&self, slot: &str) -> Result<Arc<PolicySlots>, BuildError> {
        let nothing = || BuildError::Policy { slot: slot.to_owned(), file: None, source: LoadError::NothingBefore };
        let live = self.rollout.live().ok_or_else(nothing)?;
        let previous = self.rollout.previous(slot).ok_or_else(nothing)?;
        let configured = self.rollout.configured();
        if let Some(module) = configured.as_ref().and_then(|policy| module_of(policy, slot)) {
            // The one that is built in is as good as this program: nobody signs it.
            let is_built_in = previous.wasm() == BASELINE;
            let check = || policy_trust(module).and_then(|trust| Ok(trust.check(previous.wasm())?));
            let trusted = if is_built_in { Ok(None) } else { check() };
            trusted.map_err(|source| BuildError::Policy { slot: slot.to_owned(), file: None, source })?;
        }
        let breaker = configured.as_ref().map(breaker).unwrap_or_default();
        let shadow = live.find(slot).and_then(|slot| slot.shadow()).map(|shadow| Arc::clone(shadow.candidate()));
        Ok(Arc::new(live.with(self.slot(slot, previous, breaker, shadow))))
    }

    /// Lets the version that was rolled back to be live, after a restart too.
    pub(super) fn lower_floor(&self, slot: &Slot) -> Result<(), LoadError> {
        if let Some(version) = slot.module().version() {
            Floor::new(&self.store_database()?, slot.name()).roll_back(version).map_err(|source| self.store_failed(source))?;
        }
        Ok(())
    }

    /// One slot. A candidate that may not be asked goes to `refused`, and the one before it stays, if there is one.
    fn configured(
        &self,
        name: &str,
        config: &config::PolicyModule,
        breaker: BreakerOptions,
        live: Option<&Arc<Slot>>,
        refused: &mut Vec<LoadError>,
    ) -> Result<Arc<Slot>, LoadError> {
        let limits = limits(config);
        let trust = policy_trust(config)?;
        let module = match &config.source {
            PolicySource::Baseline => self.reused(live.map(|slot| slot.module()), BASELINE, limits)?,
            PolicySource::File(path) => {
                let wasm = read(path, &trust)?;
                match live.filter(|_| self.rollout.holds(name, &sha256(&wasm))) {
                    Some(held) => {
                        tracing::warn!(slot = name, "the file is the one that was rolled back from: what is live stays");
                        trust.check(held.module().wasm())?;
                        self.reused(Some(held.module()), held.module().wasm(), limits)?
                    }
                    None => {
                        let version = trust.check(&wasm)?.map(|manifest| manifest.version);
                        Floor::new(&self.store_database()?, name).check(version)?;
                        self.reused(live.map(|slot| slot.module()), &wasm, limits)?
                    }
                }
            }
        };
        let before = live.and_then(|slot| slot.shadow()).map(|shadow| shadow.candidate());
        let shadow = config.shadow.as_ref().map(|path| {
            // What may be pinned is the module that decides.
            let trust = Trust { digest: None, ..trust.clone() };
            let wasm = read(path, &trust)?;
            trust.check(&wasm)?;
            self.reused(before, &wasm, limits)
        });
        let shadow = match (shadow.transpose(), live) {
            (Ok(shadow), _) => shadow,
            (Err(cause), live) => {
                let path = config.shadow.clone().unwrap_or_default();
                let error = LoadError::Candidate { path, cause: Box::new(cause) };
                // It decides nothing: whoever serves already goes on without the new one.
                if live.is_none() {
                    return Err(error);
                }
                refused.push(error);
                before.map(Arc::clone)
            }
        };
        if let Some(live) = live.filter(|live| live.is(&module, breaker, shadow.as_ref())) {
            return Ok(Arc::clone(live));
        }
        Ok(self.slot(name, module, breaker, shadow))
    }

    fn slot(
        &self,
        name: &str,
        module: Arc<PolicyModule>,
        breaker: BreakerOptions,
        shadow: Option<Arc<PolicyModule>>,
    ) -> Arc<Slot> {
        let shadow = shadow.zip(self.lane()).map(|(candidate, lane)| Shadow::new(candidate, lane));
        Arc::new(Slot::new(name.to_owned(), module, breaker, Arc::clone(&self.clock)).shadowed(shadow))
    }

    /// The module that is there already, if it is the same in everything.
    fn reused(
        &self,
        live: Option<&Arc<PolicyModule>>,
        wasm: &[u8],
        limits: PolicyLimits,
    ) -> Result<Arc<PolicyModule>, LoadError> {
        match live.filter(|live| live.limits() == limits && live.digest() == sha256(wasm)) {
            Some(live) => Ok(Arc::clone(live)),
            None => Ok(Arc::new(self.module(wasm, limits)?)),
        }
    }

    /// Compiles a module and asks it its own cases.
    fn module(&self, wasm: &[u8], limits: PolicyLimits) -> Result<PolicyModule, LoadError> {
        let module = PolicyModule::load(&self.runtime, self.images.as_deref(), wasm, limits)?;
        check_cases(&module, wasm, &*self.clock)?;
        Ok(module)
    }

    fn floor(&self, slot: &str) -> Result<Option<u64>, LoadError> {
        Floor::new(&self.store_database()?, slot).get().map_err(|source| self.store_failed(source))
    }

    fn raise_floor(&self, slot: &Slot) -> Result<(), LoadError> {
        if let Some(version) = slot.module().version() {
            Floor::new(&self.store_database()?, slot.name()).raise(version)?;
        }
        Ok(())
    }
}

/// Asks a module the cases that travel with it.
pub(super) fn check_cases(module: &PolicyModule, wasm: &[u8], clock: &dyn Clock) -> Result<(), LoadError> {
    let Some(suite) = cases_of(wasm)? else { return Ok(()) };
    match suite.first_failure(module, clock, CASES)? {
        None => Ok(()),
        Some(case) => Err(LoadError::Fails { case }),
    }
}

/// A module that may not be live where another one stays in its place.
pub(super) struct Refused {
    pub(super) slot: String,
    pub(super) file: Option<PathBuf>,
    pub(super) source: LoadError,
}

/// Where a module lies, if it is not built in.
pub(super) fn file_of(module: &config::PolicyModule) -> Option<PathBuf> {
    match &module.source {
        PolicySource::Baseline => None,
        PolicySource::File(path) => Some(path.clone()),
    }
}

/// The module that a slot is configured with.
fn module_of<'a>(policy: &'a config::Policy, slot: &str) -> Option<&'a config::PolicyModule> {
    let own = || policy.tenants.iter().find(|tenant| tenant_slot(&tenant.tenant) == slot).map(|tenant| &tenant.module);
    if slot == PLATFORM { Some(&policy.platform) } else { own() }
}

pub(super) fn limits(module: &config::PolicyModule) -> PolicyLimits {
    let memory = usize::try_from(module.memory).unwrap_or(usize::MAX);
    PolicyLimits { memory, deadline: module.deadline, ..PolicyLimits::default() }
}

fn breaker(policy: &config::Policy) -> BreakerOptions {
    let config::Breaker { failures, window, rest } = policy.breaker;
    BreakerOptions { failures: usize::try_from(failures).unwrap_or(usize::MAX), window, rest }
}

/// What `[policy]` or `[[policy.tenant]]` asks of a module before it may become live.
///
/// # Errors
/// Where a file of `trusted_keys` cannot be read or is no public key.
pub fn policy_trust(policy: &config::PolicyModule) -> Result<Trust, LoadError> {
    let mut trust = Trust { digest: policy.digest, ..Trust::default() };
    for path in &policy.trusted_keys {
        let bytes = read_guarded(path, MAX_KEY)?;
        let broken = |source| LoadError::TrustedKey { path: path.clone(), source };
        trust.keys.add(&String::from_utf8_lossy(bounded::without_mark(&bytes))).map_err(broken)?;
    }
    Ok(trust)
}

/// Reads a module. Where neither a key nor a digest says which one it may be, whoever can write the file decides.
pub(super) fn read(path: &Path, trust: &Trust) -> Result<Vec<u8>, LoadError> {
    if trust.keys.is_empty() && trust.digest.is_none() {
        return read_guarded(path, MAX_COMPONENT);
    }
    bounded::read_file(path, MAX_COMPONENT).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })
}

/// Reads what nobody else may write.
fn read_guarded(path: &Path, most: u64) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let file = guard::open(path).map_err(|error| match error {
        GuardError::Io(errno) => unreadable(errno.into()),
        error @ GuardError::NoFile => unreadable(io::Error::new(io::ErrorKind::InvalidInput, error.to_string())),
        source => LoadError::Unguarded { path: path.to_owned(), source },
    })?;
    bounded::read(file, most).map_err(unreadable)
}

fn sha256(wasm: &[u8]) -> String {
    hex::encode(digest(&SHA256, wasm).as_ref())
}
