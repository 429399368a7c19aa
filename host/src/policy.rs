//! Policy modules: loading, limits, judging.
//!
//! A module is a component without capabilities. It runs in a store of its own, without a fiber, under limits on memory, time
//! and the length of its answer; whatever goes wrong in there is no verdict, and no verdict denies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, Trap};

use crate::bindings::decision_point::JudgeError;
use crate::bindings::module::exports::standin::obo::policy::Manifest;
use crate::bindings::module::{PolicyModule as Instance, PolicyModulePre};
use crate::bindings::types::{Input, Verdict};
use crate::decision_point;
use crate::engine::{
    EngineError, Limits, MAX_MEMORY, Runtime, SandboxError, SandboxParts, Sandboxed, WasiRefusal, classify, guarded_store,
    link_wasi, ticks,
};
use crate::hex;
use crate::image::{self, ImageCache, ImageError};

use self::package::{PackageError, PackageManifest};

mod breaker;
pub mod cases;
pub mod diff;
pub mod inspect;
mod pace;
pub mod pack;
pub mod package;
pub mod rollout;
mod sections;
mod shadow;
pub mod signature;
mod slots;
pub mod trust;

pub use self::breaker::{BreakerOptions, BreakerState};
pub use self::sections::SectionError;
pub use self::shadow::{Shadow, ShadowCounts, ShadowLane};
pub use self::slots::{PLATFORM, PolicySlots, ShadowStatus, Slot, SlotStatus, tenant_slot};

/// The default module: what the client's registration allows is permitted.
pub const BASELINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/baseline.wasm"));

/// Packages of WASI a module may import functions and resources of. They lead nowhere; languages' runtimes want them.
const IMPORTABLE: [&str; 6] = ["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/", "wasi:sockets/"];

/// What a module may take at least to say what it is, while it is loaded: the first instance of a large one is slow to make, and nobody
/// waits for it.
const DESCRIBING: Duration = Duration::from_secs(2);

/// What one evaluation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Linear memory, in bytes.
    pub memory: usize,
    /// Time, instantiation included.
    pub deadline: Duration,
    /// Length of the answer, in bytes.
    pub answer: usize,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self { memory: 32 << 20, deadline: Duration::from_millis(50), answer: 256 << 10 }
    }
}

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Memory, time or answer of zero, or more than there can be.
    #[error("the policy's limits are out of range: memory of 64 KiB to 1 GiB, some time, some answer")]
    Limits,
    /// It does not compile, or cannot be loaded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It wants what no module is given.
    #[error("the module imports {0}, which no policy module is given")]
    Import(String),
    /// It does not export what a policy module exports.
    #[error(transparent)]
    World(#[from] EngineError),
    /// It does not say what it is.
    #[error("the module does not describe itself: {0}")]
    Describe(#[source] SandboxError),
    /// What it was packed with cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// The state of a module's sandbox: nothing but its limits.
struct State(SandboxParts);

impl Sandboxed for State {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.0
    }
}

/// A module in a sandbox, and how often it may still be asked.
struct Live {
    store: Store<State>,
    instance: Instance,
    left: u32,
}

/// A module, checked and ready to be asked.
pub struct PolicyModule {
    sandboxes: Sandboxes,
    digest: String,
    manifest: Manifest,
    package: Option<PackageManifest>,
    wasm: Arc<[u8]>,
}

impl std::fmt::Debug for PolicyModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("PolicyModule");
        debug.field("digest", &self.digest).field("limits", &self.sandboxes.limits).finish_non_exhaustive()
    }
}

impl PolicyModule {
    /// Compiles a module or takes it from the cache, and checks what it imports, exports and says of itself.
    ///
    /// # Errors
    /// Where any of that is not as it should be.
    pub fn load(runtime: &Runtime, cache: Option<&ImageCache>, wasm: &[u8], limits: PolicyLimits) -> Result<Self, PolicyError> {
        let in_range = (64 * 1024..=MAX_MEMORY).contains(&limits.memory);
        if !in_range || limits.deadline.is_zero() || limits.answer == 0 {
            return Err(PolicyError::Limits);
        }
        let engine = runtime.engine();
        let component = image::load(engine, cache, wasm)?;
        check_imports(engine, &component).map_err(PolicyError::Import)?;
        let pre = prepare(engine, &component).map_err(EngineError::World)?;
        let digest = hex::encode(digest(&SHA256, wasm).as_ref());
        let sandboxes = Sandboxes { runtime: runtime.clone(), pre, limits, spare: Mutex::new(Vec::new()) };
        let manifest = sandboxes.describe().map_err(|error| PolicyError::Describe(classify(&error)))?;
        let package = PackageManifest::of(wasm)?;
        Ok(Self { sandboxes, digest, manifest, package, wasm: Arc::from(wasm) })
    }

    /// What it may take.
    pub fn limits(&self) -> PolicyLimits {
        self.sandboxes.limits
    }

    /// Lowercase hex SHA-256 of the module's bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The version it was packed with; `None` where it was not packed.
    pub fn version(&self) -> Option<u64> {
        self.package.as_ref().map(|package| package.version)
    }

    /// Its name and version: those it was packed with, or else what it says itself.
    pub fn title(&self) -> (String, String) {
        match &self.package {
            Some(package) => (package.name.clone(), package.version.to_string()),
            None => (self.manifest.name.clone(), self.manifest.version.clone()),
        }
    }

    /// Its bytes: whether they are trusted can change while it is live.
    pub(crate) fn wasm(&self) -> &[u8] {
        &self.wasm
    }

    /// What the module says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Asks the module.
    ///
    /// # Errors
    /// Where it gave no verdict that can be used.
    pub fn evaluate(&self, input: &Input) -> Result<Verdict, JudgeError> {
        let answer = self.sandboxes.evaluate(input).map_err(|cause| {
            // The core learns only what kind of failure it was; whoever wrote the module wants to know more.
            tracing::debug!(module = self.digest, cause = format!("{cause:#}"), "a policy module gave no verdict");
            judge_error(&cause)
        })?;
        let verdict = answer.map_err(|text| JudgeError::Module(decision_point::shorten(&text).to_owned()))?;
        decision_point::check(&verdict)?;
        Ok(verdict)
    }
}

/// Where a module runs.
struct Sandboxes {
    runtime: Runtime,
    pre: PolicyModulePre<State>,
    limits: PolicyLimits,
    spare: Mutex<Vec<Live>>,
}

impl Sandboxes {
    fn evaluate(&self, input: &Input) -> wasmtime::Result<Result<Verdict, String>> {
        let mut live = self.take(self.limits.deadline)?;
        let answer = live.instance.standin_obo_policy().call_evaluate(&mut live.store, input)?;
        self.give_back(live);
        Ok(answer)
    }

    fn describe(&self) -> wasmtime::Result<Manifest> {
        let mut live = self.take(self.limits.deadline.max(DESCRIBING))?;
        live.instance.standin_obo_policy().call_describe(&mut live.store)
    }

    /// An instance that has so much time, from now.
    fn take(&self, time: Duration) -> wasmtime::Result<Live> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut live) = spare {
            self.runtime.spares().give_back(1);
            live.store.set_epoch_deadline(ticks(time));
            live.store.data_mut().0.renew();
            return Ok(live);
        }
        let limits = Limits { memory: self.limits.memory, cpu: time };
        let state = State(self.runtime.fixed_parts(limits));
        let mut store = guarded_store(self.runtime.engine(), state, self.limits.answer);
        store.set_epoch_deadline(ticks(time));
        let instance = self.pre.instantiate(&mut store)?;
        Ok(Live { store, instance, left: self.runtime.options().isolation.uses() })
    }

    /// Takes back an instance that answered.
    fn give_back(&self, mut live: Live) {
        live.left = live.left.saturating_sub(1);
        if live.left > 0 && self.runtime.spares().take() {
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(live);
        }
    }
}

impl Drop for Sandboxes {
    fn drop(&mut self) {
        let spare = self.spare.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.runtime.spares().give_back(spare.len());
    }
}

/// Refuses the first import that no module is given, by its name.
fn check_imports(engine: &Engine, component: &Component) -> Result<(), String> {
    match imports(engine, component).into_iter().find(|(_, given)| !given) {
        Some((refused, _)) => Err(decision_point::shorten(&refused).to_owned()),
        None => Ok(()),
    }
}

/// Every import, and whether a module is given it: one that carries a function or a resource has to be on the list.
fn imports(engine: &Engine, component: &Component) -> Vec<(String, bool)> {
    let given = |name: &str, item: &ComponentItem| {
        let only_types = match item {
            ComponentItem::Type(_) => true,
            ComponentItem::ComponentInstance(instance) => {
                instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
            }
            ComponentItem::ComponentFunc(_)
            | ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::Resource(_) => false,
        };
        only_types || IMPORTABLE.iter().any(|package| name.starts_with(package))
    };
    let all = component.component_type();
    all.imports(engine).map(|(name, import)| (name.to_owned(), given(name, &import.ty))).collect()
}

fn prepare(engine: &Engine, component: &Component) -> wasmtime::Result<PolicyModulePre<State>> {
    let mut linker = Linker::new(engine);
    link_wasi(&mut linker)?;
    PolicyModulePre::new(linker.instantiate_pre(component)?)
}

/// What the core is told of an evaluation that came to nothing.
fn judge_error(error: &wasmtime::Error) -> JudgeError {
    match classify(error) {
        SandboxError::TimedOut => JudgeError::TimedOut,
        SandboxError::OutOfMemory => JudgeError::Trapped,
        SandboxError::Exhausted => JudgeError::Unavailable,
        // wasmtime does not name its own error type for this one.
        SandboxError::Trapped(cause) if cause.contains("fuel allocated for hostcalls") => JudgeError::TooLarge,
        SandboxError::Trapped(_) if error.is::<Trap>() || error.is::<WasiRefusal>() => JudgeError::Trapped,
        // It ran to its end, and what it left cannot be read as a verdict.
        SandboxError::Trapped(_) => JudgeError::Invalid,
    }
}

#[cfg(test)]
mod tests;
