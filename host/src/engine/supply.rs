//! The supply of sandboxes: a few are made ahead, off the path of any answer, and sound ones come back if they may.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::sandbox::{CoreTemplate, Sandbox, SandboxError, Sandboxed};
use super::{Isolation, Runtime};

/// Makes the state of a sandbox that serves no request yet.
type MakeState<T> = dyn Fn() -> T + Send + Sync;

/// Sandboxes of one component. Cheap to clone.
pub struct Supply<T: 'static> {
    inner: Arc<Inner<T>>,
}

impl<T: 'static> Clone for Supply<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<T: 'static> {
    template: CoreTemplate<T>,
    state: Box<MakeState<T>>,
    isolation: Isolation,
    /// The most that are kept ready.
    capacity: usize,
    ready: Mutex<Vec<Sandbox<T>>>,
    /// How many are being made.
    coming: AtomicUsize,
}

impl<T: Sandboxed> Supply<T> {
    /// A supply of instances of `template`; `state` makes a state whose request parts are empty.
    pub fn new(runtime: &Runtime, template: CoreTemplate<T>, state: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let options = runtime.options();
        let capacity = match options.isolation {
            Isolation::Request => options.ahead,
            // Those that come back are worth keeping: as many as ever ran at once.
            Isolation::Reuse(_) => options.ahead.max(options.slots),
        };
        let inner = Inner {
            template,
            state: Box::new(state),
            isolation: options.isolation,
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            ready: Mutex::new(Vec::new()),
            coming: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A sandbox for one request, whose limits begin now. The caller sets the request's parts of its state.
    ///
    /// # Errors
    /// Where none is ready and none can be made.
    pub async fn take(&self) -> Result<Sandbox<T>, SandboxError> {
        let ready = self.inner.ready().pop();
        let mut sandbox = match ready {
            Some(sandbox) => sandbox,
            None => self.inner.make().await?,
        };
        sandbox.begin();
        Ok(sandbox)
    }

    /// A sandbox around this state, which no other request had or will have: its limits begin now.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub async fn fresh(&self, state: T) -> Result<Sandbox<T>, SandboxError> {
        let mut sandbox = self.inner.template.instantiate(state).await?;
        sandbox.begin();
        sandbox.retire();
        Ok(sandbox)
    }

    /// Takes a sandbox back once its answer is given: it is kept if it may serve again, otherwise torn down and replaced, on the
    /// runtime where there is one.
    pub fn give_back(&self, sandbox: Sandbox<T>) {
        if self.inner.keeps(&sandbox) {
            let mut ready = self.inner.ready();
            if ready.len() < self.inner.capacity {
                ready.push(sandbox);
            }
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.inner.reserve() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        runtime.spawn(async move {
            drop(sandbox);
            inner.replace().await;
        });
    }

    /// How many are ready.
    pub fn ready(&self) -> usize {
        self.inner.ready().len()
    }
}

impl<T: Sandboxed> Inner<T> {
    fn ready(&self) -> MutexGuard<'_, Vec<Sandbox<T>>> {
        // Nothing that holds this lock can leave the list half changed.
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make(&self) -> Result<Sandbox<T>, SandboxError> {
        self.template.instantiate((self.state)()).await
    }

    fn keeps(&self, sandbox: &Sandbox<T>) -> bool {
        sandbox.is_sound() && sandbox.served() < self.isolation.uses()
    }

    /// Whether one more should be made; counts it as coming.
    fn reserve(&self) -> bool {
        let ready = self.ready().len();
        let coming = self.coming.fetch_add(1, Ordering::Relaxed);
        let wanted = ready.saturating_add(coming) < self.capacity;
        if !wanted {
            self.coming.fetch_sub(1, Ordering::Relaxed);
        }
        wanted
    }

    async fn replace(&self) {
        let made = self.make().await;
        self.coming.fetch_sub(1, Ordering::Relaxed);
        // One that cannot be made ahead is made, and its failure reported, when a request wants it.
        if let Ok(sandbox) = made {
            let mut ready = self.ready();
            if ready.len() < self.capacity {
                ready.push(sandbox);
            }
        }
    }
}

#[cfg(test)]
mod tests;
