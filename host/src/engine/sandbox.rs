//! One sandbox: a store, an instance of the component in it, and the limits on both.

use std::time::Duration;

use std::sync::Arc;

use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Engine, PoolConcurrencyLimitError, ResourceLimiter, Store, Trap, UpdateDeadline};

use super::wasi::{self, Wasi};
use super::{EngineError, Runtime, TABLE_ELEMENTS, ticks};
use crate::bindings::core::StandinPre;
use crate::bindings::endpoint::{self, HttpRequest, HttpResponse};
use crate::bindings::obo;

/// What a component may hand to the host in one call.
const HANDED_OVER: usize = 8 << 20;
/// Length of a cause that is kept.
const CAUSE: usize = 512;

/// Why a sandbox gave no answer. It is spent then, whatever the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The component computed for longer than it may.
    #[error("the component ran out of time")]
    TimedOut,
    /// The component wanted more memory than it may have.
    #[error("the component ran out of memory")]
    OutOfMemory,
    /// Every sandbox is in use.
    #[error("there is no free sandbox")]
    Exhausted,
    /// The component trapped, or a host function ended it; the text is for the audit record.
    #[error("the component trapped: {0}")]
    Trapped(String),
}

/// The component has used up its time.
#[derive(Debug, thiserror::Error)]
#[error("out of time")]
struct Overdue;

/// The component has used up its memory.
#[derive(Debug, thiserror::Error)]
#[error("out of memory")]
struct Overgrown;

/// Names the cause of an error that came out of a component.
pub(crate) fn classify(error: &wasmtime::Error) -> SandboxError {
    if error.is::<Overdue>() || matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt)) {
        SandboxError::TimedOut
    } else if error.is::<Overgrown>() {
        SandboxError::OutOfMemory
    } else if error.is::<PoolConcurrencyLimitError>() {
        SandboxError::Exhausted
    } else {
        SandboxError::Trapped(error.root_cause().to_string().chars().take(CAUSE).collect())
    }
}

/// The bounds of one sandbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) memory: usize,
    pub(crate) cpu: Duration,
}

/// Keeps the limits: memory as it grows, time as it passes inside the component.
struct Guard {
    limits: Limits,
    memory: usize,
    /// Ticks the component may still see.
    ticks: u64,
}

/// Ticks that host calls may cost an honest request: each that waits costs one at most, and it makes about eight.
const HOST_CALLS: u64 = 8;

fn allowance(limits: Limits) -> u64 {
    ticks(limits.cpu) + HOST_CALLS
}

impl Guard {
    /// The component has seen a tick go by.
    fn tick(&mut self) -> Result<(), Overdue> {
        self.ticks = self.ticks.checked_sub(1).ok_or(Overdue)?;
        Ok(())
    }
}

impl ResourceLimiter for Guard {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory || maximum.is_some_and(|maximum| desired > maximum) {
            return Err(Overgrown.into());
        }
        self.memory = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Overgrown.into())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS { Err(Overgrown.into()) } else { Ok(true) }
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Overgrown.into())
    }
}

/// What the state of a sandbox embeds: its limits and its WASI. Made by [`Runtime::parts`].
pub struct SandboxParts {
    guard: Guard,
    pub(super) wasi: Wasi,
}

impl SandboxParts {
    pub(super) fn new(limits: Limits, wasi: Wasi) -> Self {
        let guard = Guard { limits, memory: 0, ticks: allowance(limits) };
        Self { guard, wasi }
    }

    /// A new request begins: its allowances are whole.
    pub(crate) fn renew(&mut self) {
        self.guard.ticks = allowance(self.guard.limits);
        self.wasi.renew();
    }
}

/// The state of a sandbox.
pub trait Sandboxed: Send + 'static {
    /// The part that keeps the limits.
    fn parts(&mut self) -> &mut SandboxParts;
}

/// A store whose memory is bounded. Its time is the caller's to bound.
pub(crate) fn guarded_store<T: Sandboxed>(engine: &Engine, state: T, handed_over: usize) -> Store<T> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.parts().guard);
    store.set_hostcall_fuel(handed_over);
    store
}

/// A store whose memory and computing time are bounded; time in host calls does not count.
fn timed_store<T: Sandboxed>(engine: &Engine, state: T) -> Store<T> {
    let mut store = guarded_store(engine, state, HANDED_OVER);
    // Only the component's own code sees epochs go by, and one at a time: a host call counts as one tick at most, however long it
    // waits. That is one comparison in a loop, where reading the clock at every crossing costs more than the crossing. It yields
    // at every tick: host calls that never wait must not keep the request's own time limit from being looked at.
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().parts().guard.tick()?;
        Ok(UpdateDeadline::Yield(1))
    });
    renew(&mut store);
    store
}

/// The component, checked and ready to be instantiated.
pub struct CoreTemplate<T: 'static> {
    pre: InstancePre<T>,
    faces: Arc<Faces>,
}

impl<T: 'static> Clone for CoreTemplate<T> {
    fn clone(&self) -> Self {
        Self { pre: self.pre.clone(), faces: Arc::clone(&self.faces) }
    }
}

/// Where the exported interfaces are. A request needs one of them, and looking its functions up takes time.
struct Faces {
    obo: obo::GuestIndices,
    endpoint: endpoint::GuestIndices,
}

impl<T: Sandboxed> CoreTemplate<T> {
    /// Checks the component against its world. `link` gives it our imports; WASI is given here.
    ///
    /// # Errors
    /// Where the component wants other imports or lacks an export.
    pub fn new(
        runtime: &Runtime,
        component: &Component,
        link: impl FnOnce(&mut Linker<T>) -> wasmtime::Result<()>,
    ) -> Result<Self, EngineError> {
        let mut linker = Linker::new(runtime.engine());
        wasi::link(&mut linker).map_err(EngineError::World)?;
        link(&mut linker).map_err(EngineError::World)?;
        let pre = linker.instantiate_pre(component).map_err(EngineError::World)?;
        // The whole world is checked once, here.
        StandinPre::new(pre.clone()).map_err(EngineError::World)?;
        let obo = obo::GuestIndices::new(&pre).map_err(EngineError::World)?;
        let endpoint = endpoint::GuestIndices::new(&pre).map_err(EngineError::World)?;
        Ok(Self { pre, faces: Arc::new(Faces { obo, endpoint }) })
    }

    /// A fresh sandbox around this state.
    ///
    /// # Errors
    /// Where no slot is free, or the component exceeds its limits or traps as it starts.
    pub async fn instantiate(&self, state: T) -> Result<Sandbox<T>, SandboxError> {
        let mut store = timed_store(self.pre.engine(), state);
        let instance = self.pre.instantiate_async(&mut store).await.map_err(|error| classify(&error))?;
        Ok(Sandbox {
            store,
            instance,
            faces: Arc::clone(&self.faces),
            obo: None,
            endpoint: None,
            served: 0,
            sound: true,
            retired: false,
        })
    }
}

/// Gives the next request its whole allowance.
fn renew<T: Sandboxed>(store: &mut Store<T>) {
    store.data_mut().parts().renew();
    store.set_epoch_deadline(1);
}

/// An instance of the component in a store of its own.
pub struct Sandbox<T: 'static> {
    store: Store<T>,
    instance: Instance,
    faces: Arc<Faces>,
    obo: Option<obo::Guest>,
    endpoint: Option<endpoint::Guest>,
    served: u32,
    sound: bool,
    /// Serves no request after this one.
    retired: bool,
}

impl<T: Sandboxed> Sandbox<T> {
    /// A request begins: the limits start anew. What belongs to the request is set through [`Self::state`].
    pub fn begin(&mut self) {
        self.served = self.served.saturating_add(1);
        renew(&mut self.store);
    }

    /// The state, for what belongs to the request.
    pub fn state(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// No other request may come here.
    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    /// How many requests began here.
    pub fn served(&self) -> u32 {
        self.served
    }

    /// Whether every call so far came to its end without a trap, and another request may come here.
    pub fn is_sound(&self) -> bool {
        self.sound && !self.retired
    }

    /// Calls into `obo`. Until the call has come to its end the sandbox counts as unsound, so that one which is given up halfway
    /// cannot leak into another request.
    ///
    /// # Errors
    /// The cause, named, where the component gave no answer.
    pub async fn obo<R>(
        &mut self,
        call: impl AsyncFnOnce(&obo::Guest, &mut Store<T>) -> wasmtime::Result<R>,
    ) -> Result<R, SandboxError> {
        self.sound = false;
        let face = match self.obo.take() {
            Some(face) => face,
            None => self.faces.obo.load(&mut self.store, &self.instance).map_err(|error| classify(&error))?,
        };
        let result = call(self.obo.insert(face), &mut self.store).await;
        self.sound = result.is_ok();
        result.map_err(|error| classify(&error))
    }

    /// Calls `endpoint.handle`.
    ///
    /// # Errors
    /// The cause, named, where the component gave no answer.
    pub async fn handle(&mut self, request: &HttpRequest) -> Result<HttpResponse, SandboxError> {
        self.sound = false;
        let face = match self.endpoint.take() {
            Some(face) => face,
            None => self.faces.endpoint.load(&mut self.store, &self.instance).map_err(|error| classify(&error))?,
        };
        let result = self.endpoint.insert(face).call_handle(&mut self.store, request).await;
        self.sound = result.is_ok();
        result.map_err(|error| classify(&error))
    }
}

#[cfg(test)]
mod tests;
