//! The wasmtime engine, its sandboxes and the supply of instances.
//!
//! One engine serves the core component and the policies. A fresh sandbox for every request is cheap because instances come
//! from a pool whose memory is restored page by page: only what a request dirtied is put back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::clock::{Clock, Entropy};
use crate::door;

mod sandbox;
mod supply;
mod ticker;
mod wasi;

pub use self::sandbox::{CoreTemplate, Sandbox, SandboxError, SandboxParts, Sandboxed};
pub(crate) use self::sandbox::{Limits, classify, guarded_store};
pub use self::supply::Supply;
pub(crate) use self::ticker::ticks;
pub use self::wasi::WasiRefusal;
pub(crate) use self::wasi::link as link_wasi;

/// The most linear memory any sandbox can be given.
pub const MAX_MEMORY: usize = 1 << 30;
/// The most requests that can be in flight.
pub const MAX_SLOTS: u32 = 4096;

/// Sandboxes of policies that wait to be used again, of all modules together.
const MAX_SPARES: usize = 64;

/// Stack of the WebAssembly code of one component.
const WASM_STACK: usize = 512 * 1024;
/// A policy runs nested on the stack of the core's call: two components, and room for the host's own frames.
const ASYNC_STACK: usize = 2 * WASM_STACK + 1024 * 1024;
/// Memory of a pooled slot that is restored in place instead of being given back to the system.
const KEEP_RESIDENT: usize = 1024 * 1024;
/// Most elements of a component's table.
pub(crate) const TABLE_ELEMENTS: usize = 64 * 1024;
/// Core modules, memories and tables in one component: its own, and the adapters between it and the host. A runtime that links
/// its libraries dynamically, as Python's does, has forty modules and three memories.
const MODULES_PER_COMPONENT: u32 = 64;
const MEMORIES_PER_COMPONENT: u32 = 3;
const TABLES_PER_COMPONENT: u32 = 4;
/// What the pool has of them for each sandbox: half of the sandboxes are the core's, with one memory each.
const MEMORIES_PER_SANDBOX: u32 = 2;

/// How long a sandbox lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// One request.
    Request,
    /// This many requests, if nothing goes wrong in between.
    Reuse(u32),
}

impl Isolation {
    /// How many requests a sandbox may serve.
    pub(crate) fn uses(self) -> u32 {
        match self {
            Self::Request => 1,
            Self::Reuse(count) => count.max(1),
        }
    }
}

/// What the operator sets.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeOptions {
    /// Linear memory of one core sandbox, in bytes.
    pub memory: usize,
    /// What the core component itself may compute for one request; time in host calls does not count.
    pub cpu: Duration,
    /// The most requests in flight.
    pub slots: u32,
    /// How long a core sandbox lives.
    pub isolation: Isolation,
    /// How many core instances are made ahead.
    pub ahead: u32,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self { memory: 32 << 20, cpu: Duration::from_millis(50), slots: 256, isolation: Isolation::Request, ahead: 4 }
    }
}

/// Why there is no engine, or why a component does not fit it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Memory, time or slots of zero, or more than there can be.
    #[error("the runtime's limits are out of range: memory of 64 KiB to 1 GiB, some cpu, 1 to 4096 slots, at most as many ahead")]
    Limits,
    /// wasmtime refuses the configuration.
    #[error("the engine cannot be made: {0:#}")]
    Engine(wasmtime::Error),
    /// No thread for the ticker.
    #[error("the ticker's thread cannot be started: {0}")]
    Ticker(#[source] std::io::Error),
    /// The component wants imports that are not given, or lacks exports.
    #[error("the component does not fit its world: {0:#}")]
    World(wasmtime::Error),
}

/// The engine with its ticker. Cheap to clone; everything ends with the last clone and the last component.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    options: RuntimeOptions,
    pooled: bool,
    spares: Arc<Spares>,
}

/// Places for policies' sandboxes that wait to be used again: of all modules together, so that many modules do not fill the pool.
#[derive(Debug, Default)]
pub(crate) struct Spares(AtomicUsize);

impl Spares {
    /// Takes a place; `false` where there is none.
    pub(crate) fn take(&self) -> bool {
        let more = |taken| (taken < MAX_SPARES).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives places back that were taken.
    pub(crate) fn give_back(&self, places: usize) {
        self.0.fetch_sub(places, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("options", &self.options).field("pooled", &self.pooled).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Makes the engine and starts its ticker.
    ///
    /// # Errors
    /// Where the limits are out of range, or the engine or its ticker cannot be made.
    pub fn new(options: RuntimeOptions) -> Result<Self, EngineError> {
        let in_range = (64 * 1024..=MAX_MEMORY).contains(&options.memory)
            && !options.cpu.is_zero()
            && (1..=MAX_SLOTS).contains(&options.slots)
            && options.ahead <= MAX_SLOTS;
        if !in_range {
            return Err(EngineError::Limits);
        }
        let (engine, pooled) = match Engine::new(&pooled_config(&options)) {
            Ok(engine) => (engine, true),
            // Address space may be short (`ulimit -v`, small virtual machines): slower is better than not at all.
            Err(cause) => {
                tracing::warn!(%cause, "there is no pool of sandboxes; each is made from nothing, which is slower");
                (Engine::new(&frugal_config()).map_err(EngineError::Engine)?, false)
            }
        };
        ticker::start(&engine).map_err(EngineError::Ticker)?;
        Ok(Self { engine, options, pooled, spares: Arc::default() })
    }

    /// The same without a pool, for what is done once: nothing is set aside for others.
    ///
    /// # Errors
    /// Where the engine or its ticker cannot be made.
    pub(crate) fn unpooled() -> Result<Self, EngineError> {
        let engine = Engine::new(&base_config()).map_err(EngineError::Engine)?;
        ticker::start(&engine).map_err(EngineError::Ticker)?;
        Ok(Self { engine, options: RuntimeOptions::default(), pooled: false, spares: Arc::default() })
    }

    /// The engine components are compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The places of spare sandboxes of policies.
    pub(crate) fn spares(&self) -> &Spares {
        &self.spares
    }

    /// What the operator set.
    pub fn options(&self) -> &RuntimeOptions {
        &self.options
    }

    /// What the state of one core sandbox has to embed: its limits and its WASI.
    pub fn parts(&self, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> SandboxParts {
        let limits = Limits { memory: self.options.memory, cpu: self.options.cpu };
        SandboxParts::new(limits, wasi::Wasi::with_ports(clock, entropy))
    }

    /// The same with these limits instead of the operator's.
    pub(crate) fn limited_parts(&self, limits: Limits, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> SandboxParts {
        SandboxParts::new(limits, wasi::Wasi::with_ports(clock, entropy))
    }

    /// The same for a policy: time stands still, randomness is constant.
    pub(crate) fn fixed_parts(&self, limits: Limits) -> SandboxParts {
        SandboxParts::new(limits, wasi::Wasi::fixed())
    }
}

/// What pooled and unpooled engines have in common.
fn base_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        // A decision judged again has to come out the same on another machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

/// Without a pool: memories grow where they are needed, instead of reserving 4 GiB of address space each.
fn frugal_config() -> Config {
    let mut config = base_config();
    config.memory_reservation(0).memory_reservation_for_growth(1 << 20).memory_guard_size(64 * 1024);
    config
}

fn pooled_config(options: &RuntimeOptions) -> Config {
    // Every request in flight holds a core sandbox and, while it is judged, a policy; spent ones may still be on their way out.
    let spares = u32::try_from(MAX_SPARES).unwrap_or(u32::MAX);
    // Whoever waits for somebody else's server is not in flight and keeps its sandbox.
    let sandboxes = 2 * options.slots + door::away(options.slots) + 2 * options.ahead + spares + 8;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(sandboxes)
        .total_core_instances(sandboxes * MODULES_PER_COMPONENT)
        .total_memories(sandboxes * MEMORIES_PER_SANDBOX)
        .total_tables(sandboxes * TABLES_PER_COMPONENT)
        .total_stacks(sandboxes)
        .max_core_instances_per_component(MODULES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(MAX_MEMORY)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .async_stack_keep_resident(KEEP_RESIDENT);
    // Linux 6.7 and later. Without it, restoring a megabyte in place costs more than giving the pages back.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes);
    } else {
        pool.linear_memory_keep_resident(64 * 1024);
    }
    let mut config = base_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

#[cfg(test)]
mod tests;
