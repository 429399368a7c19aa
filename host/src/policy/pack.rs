//! Packing: an engine that has read its sources, as a module that begins with its rules parsed.
//!
//! The engine is instantiated once, in a sandbox whose time stands still and whose randomness is a constant, and takes the
//! sources; then its memory becomes the initial memory of a new component. So a fresh sandbox parses nothing, and the same sources
//! make the same bytes.

use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentType, Instance, Lift, Linker, Lower, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::cases::Suite;
use super::package::{self, PackageManifest};
use super::{State, check_imports};
use crate::bindings::module::PolicyModule as Module;
use crate::engine::{EngineError, Limits, MAX_MEMORY, Runtime, SandboxError, classify, guarded_store, link_wasi, ticks};

/// The Cedar engine, before packing.
pub const CEDAR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cedar.wasm"));

/// The Rego engine, before packing.
pub const REGO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rego.wasm"));

/// How long an engine may take to read its sources: ten thousand policies take seconds.
const TIME: Duration = Duration::from_secs(10 * 60);
/// What an engine may hand to the host: faults of every line of large sources.
const HANDED_OVER: usize = 256 << 20;
/// Taking the snapshot is the host's own doing: it has all the time it needs.
const UNLIMITED: u64 = 1 << 40;

/// One file of policies: its path inside the bundle, and its text.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Source {
    /// Its path inside the bundle.
    pub name: String,
    /// Its text.
    pub content: String,
}

/// One thing that is wrong in the sources.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Fault {
    /// The file's path inside the bundle.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line it is in.
    #[component(name = "source-line")]
    pub source_line: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// No runtime.
    #[error(transparent)]
    Runtime(#[from] EngineError),
    /// The engine wants what no module is given.
    #[error("the engine imports {0}, which no policy module is given")]
    Import(String),
    /// It is no component of world `policy-engine`, or cannot be made into a module.
    #[error("this is no policy engine that can be packed: {0:#}")]
    NotAnEngine(wasmtime::Error),
    /// The engine gave no answer.
    #[error("the engine failed: {0}")]
    Sandbox(SandboxError),
    /// The sources are wrong.
    #[error("{}", count(.0.len()))]
    Faults(Vec<Fault>),
    /// The manifest or the cases cannot be written.
    #[error("manifest and cases cannot be written: {0}")]
    Package(#[from] serde_json::Error),
}

fn count(faults: usize) -> String {
    format!("{faults} {} in the policies", if faults == 1 { "fault" } else { "faults" })
}

/// What is packed.
#[derive(Debug, Clone)]
pub struct Package {
    /// What the module is called.
    pub name: String,
    /// Which version it is.
    pub version: u64,
    /// The policies, and what belongs to them.
    pub sources: Vec<Source>,
    /// The cases that travel with it.
    pub cases: Option<Suite>,
}

/// A packed module.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The component.
    pub wasm: Vec<u8>,
    /// What it says of itself.
    pub manifest: PackageManifest,
}

/// Packs sources with an engine: [`CEDAR`], [`REGO`], or any component of world `policy-engine`.
///
/// # Errors
/// Where the engine is none, or finds faults in the sources.
pub fn pack(engine: &[u8], package: &Package) -> Result<Packed, PackError> {
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument_component(engine).map_err(PackError::NotAnEngine)?;
    let runtime = Runtime::unpooled()?;
    let (mut store, instance) = start(&runtime, &instrumented)?;
    let mut manifest = load(&mut store, &instance, package)?;
    store.set_epoch_deadline(UNLIMITED);
    let mut state = Reader { store, instance, memory: 0, failed: None };
    let snapshot = at_once(wizer.snapshot_component(&context, &mut state));
    if let Some(cause) = state.failed {
        return Err(PackError::NotAnEngine(cause));
    }
    let waiting = || PackError::Sandbox(SandboxError::Trapped("it waits".to_owned()));
    let mut wasm = snapshot.ok_or_else(waiting)?.map_err(PackError::NotAnEngine)?;
    manifest.memory = state.memory;
    package::attach(&mut wasm, &manifest, package.cases.as_ref())?;
    Ok(Packed { wasm, manifest })
}

fn failed(error: &wasmtime::Error) -> PackError {
    PackError::Sandbox(classify(error))
}

/// The engine in a sandbox that has time and memory, and nothing else.
fn start(runtime: &Runtime, instrumented: &[u8]) -> Result<(Store<State>, Instance), PackError> {
    let component = Component::new(runtime.engine(), instrumented).map_err(PackError::NotAnEngine)?;
    check_imports(runtime.engine(), &component).map_err(PackError::Import)?;
    let mut linker = Linker::new(runtime.engine());
    link_wasi(&mut linker).map_err(PackError::NotAnEngine)?;
    let limits = Limits { memory: MAX_MEMORY, cpu: TIME };
    let mut store = guarded_store(runtime.engine(), State(runtime.fixed_parts(limits)), HANDED_OVER);
    store.set_epoch_deadline(ticks(TIME));
    let prepared = linker.instantiate_pre(&component).map_err(PackError::NotAnEngine)?;
    let instance = prepared.instantiate(&mut store).map_err(|error| failed(&error))?;
    Ok((store, instance))
}

/// Gives the engine its sources, and asks what it made of them.
fn load(store: &mut Store<State>, instance: &Instance, package: &Package) -> Result<PackageManifest, PackError> {
    let load = instance.get_typed_func::<(&[Source],), (Result<(), Vec<Fault>>,)>(&mut *store, "load");
    let rules = instance.get_typed_func::<(), (Vec<String>,)>(&mut *store, "rules").map_err(PackError::NotAnEngine)?;
    let module = Module::new(&mut *store, instance).map_err(PackError::NotAnEngine)?;
    let loaded = load.map_err(PackError::NotAnEngine)?.call(&mut *store, (&package.sources,));
    loaded.map_err(|error| failed(&error))?.0.map_err(PackError::Faults)?;
    let (rules,) = rules.call(&mut *store, ()).map_err(|error| failed(&error))?;
    let says = module.standin_obo_policy().call_describe(&mut *store).map_err(|error| failed(&error))?;
    let (name, version) = (package.name.clone(), package.version);
    Ok(PackageManifest { name, version, engine: says.engine, source_digest: says.source_digest, memory: 0, rules })
}

/// Reads the state of a stopped instance through the functions that [`Wizer`] put in.
struct Reader {
    store: Store<State>,
    instance: Instance,
    /// Of all linear memories, in bytes.
    memory: u64,
    /// The functions are [`Wizer`]'s own and only read, so there is none; its interface has no place for one.
    failed: Option<wasmtime::Error>,
}

impl Reader {
    fn call<R: Lift + 'static>(&mut self, instance: &str, function: &str) -> wasmtime::Result<R> {
        let missing = || wasmtime::format_err!("{instance} {function} is missing");
        let (_, instance_index) = self.instance.get_export(&mut self.store, None, instance).ok_or_else(missing)?;
        let (_, index) = self.instance.get_export(&mut self.store, Some(&instance_index), function).ok_or_else(missing)?;
        let function = self.instance.get_typed_func::<(), (R,)>(&mut self.store, index)?;
        Ok(function.call(&mut self.store, ())?.0)
    }

    fn get<R: Lift + Default + 'static>(&mut self, instance: &str, function: &str) -> R {
        self.call(instance, function).unwrap_or_else(|cause| {
            self.failed = Some(cause);
            R::default()
        })
    }
}

impl ComponentInstanceState for Reader {
    async fn call_func_ret_list_u8(&mut self, instance: &str, function: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.call::<WasmList<u8>>(instance, function) {
            Ok(list) => {
                let bytes = list.as_le_slice(&self.store);
                self.memory = self.memory.max(bytes.len() as u64);
                contents(bytes);
            }
            Err(cause) => self.failed = Some(cause),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, function: &str) -> i32 {
        self.get(instance, function)
    }

    async fn call_func_ret_s64(&mut self, instance: &str, function: &str) -> i64 {
        self.get(instance, function)
    }

    async fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> u32 {
        self.get::<f32>(instance, function).to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> u64 {
        self.get::<f64>(instance, function).to_bits()
    }
}

/// Runs what never waits: every call into the engine is a plain one.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests;
