//! The snapshot of an engine that has read its sources.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Component, Instance, Lift, Linker, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::{Fault, PackError, Package, Packed, Source, Step};
use crate::bindings::module::PolicyModule as Module;
use crate::engine::{Limits, MAX_MEMORY, Runtime, SandboxError, classify, guarded_store, link_wasi, ticks};
use crate::image::{self, ImageCache};
use crate::policy::package::{self, PackageManifest};
use crate::policy::{State, check_imports};

/// How long an engine may take to read its sources: ten thousand policies take seconds.
const TIME: Duration = Duration::from_secs(10 * 60);
/// What an engine may hand to the host: faults of every line of large sources.
const HANDED_OVER: usize = 256 << 20;
/// Taking the snapshot is the host's own doing: it has all the time it needs.
const UNLIMITED: u64 = 1 << 40;

/// See [`super::pack_with`].
pub(super) fn pack(
    engine: &[u8],
    package: &Package,
    cache: Option<&ImageCache>,
    begin: &dyn Fn(Step),
) -> Result<Packed, PackError> {
    begin(Step::Compiling);
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument_component(engine).map_err(PackError::NotAnEngine)?;
    let runtime = Runtime::unpooled()?;
    let component = image::load(runtime.engine(), cache, &instrumented)?;
    begin(Step::Reading);
    let (mut store, instance) = start(&runtime, &component)?;
    let mut manifest = load(&mut store, &instance, package)?;
    begin(Step::Writing);
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
fn start(runtime: &Runtime, component: &Component) -> Result<(Store<State>, Instance), PackError> {
    check_imports(runtime.engine(), component).map_err(PackError::Import)?;
    let mut linker = Linker::new(runtime.engine());
    link_wasi(&mut linker).map_err(PackError::NotAnEngine)?;
    let limits = Limits { memory: MAX_MEMORY, cpu: TIME };
    let mut store = guarded_store(runtime.engine(), State(runtime.fixed_parts(limits)), HANDED_OVER);
    store.set_epoch_deadline(ticks(TIME));
    let prepared = linker.instantiate_pre(component).map_err(PackError::NotAnEngine)?;
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
