use std::sync::Arc;
use std::thread;

use wasmtime::component::TypedFunc;

use super::*;
use crate::clock::{SystemClock, SystemEntropy};
use crate::engine::RuntimeOptions;

/// Computes for ever, works in small pieces between host calls, waits in the host, eats memory, traps.
const COMPONENT: &str = r#"
(component
  (import "pause" (func $pause (param "ms" u32)))
  (core func $pause (canon lower (func $pause)))
  (core module $m
    (import "host" "pause" (func $pause (param i32)))
    (memory 1)
    (table 1 funcref)
    (func (export "spin") (loop (br 0)))
    (func (export "spin-and-call") (loop (call $pause (i32.const 0)) (br 0)))
    (func (export "wait") (call $pause (i32.const 30)) (call $pause (i32.const 30)))
    (func (export "grow") (drop (memory.grow (i32.const 1))))
    (func (export "grow-much") (drop (memory.grow (i32.const 32))))
    (func (export "grow-table") (drop (table.grow 0 (ref.null func) (i32.const 100000))))
    (func (export "trap") unreachable))
  (core instance $i (instantiate $m (with "host" (instance (export "pause" (func $pause))))))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "spin-and-call") (canon lift (core func $i "spin-and-call")))
  (func (export "wait") (canon lift (core func $i "wait")))
  (func (export "grow") (canon lift (core func $i "grow")))
  (func (export "grow-much") (canon lift (core func $i "grow-much")))
  (func (export "grow-table") (canon lift (core func $i "grow-table")))
  (func (export "trap") (canon lift (core func $i "trap"))))
"#;

struct State(SandboxParts);

impl Sandboxed for State {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.0
    }
}

fn runtime() -> Runtime {
    let options = RuntimeOptions { memory: 1 << 20, cpu: Duration::from_millis(20), slots: 2, ..RuntimeOptions::default() };
    Runtime::new(options).unwrap()
}

/// Calls `function` in a sandbox of 1 MiB and 20 ms.
async fn run(function: &str) -> Result<(), SandboxError> {
    let runtime = runtime();
    let component = Component::new(runtime.engine(), wat::parse_str(COMPONENT).unwrap()).unwrap();
    let mut linker = Linker::<State>::new(runtime.engine());
    let pause = |_: wasmtime::StoreContextMut<'_, State>, (ms,): (u32,)| {
        thread::sleep(Duration::from_millis(ms.into()));
        Ok(())
    };
    linker.root().func_wrap("pause", pause).unwrap();
    let state = State(runtime.parts(Arc::new(SystemClock::default()), Arc::new(SystemEntropy)));
    let mut store = timed_store(runtime.engine(), state);
    let instance = linker.instantiate_async(&mut store, &component).await.map_err(|error| classify(&error))?;
    let function: TypedFunc<(), ()> = instance.get_typed_func(&mut store, function).unwrap();
    function.call_async(&mut store, ()).await.map_err(|error| classify(&error))
}

#[tokio::test]
async fn computing_is_bounded() {
    assert_eq!(run("spin").await, Err(SandboxError::TimedOut));
}

#[tokio::test]
async fn computing_is_bounded_also_in_pieces() {
    assert_eq!(run("spin-and-call").await, Err(SandboxError::TimedOut));
}

#[tokio::test]
async fn time_in_host_calls_does_not_count() {
    assert_eq!(run("wait").await, Ok(()));
}

#[tokio::test]
async fn memory_is_bounded() {
    assert_eq!(run("grow").await, Ok(()));
    assert_eq!(run("grow-much").await, Err(SandboxError::OutOfMemory));
    assert_eq!(run("grow-table").await, Err(SandboxError::OutOfMemory));
}

#[tokio::test]
async fn a_trap_is_named() {
    let Err(SandboxError::Trapped(cause)) = run("trap").await else { panic!("it traps") };
    assert!(cause.contains("unreachable"), "{cause}");
}

#[test]
fn a_component_of_another_world_is_refused() {
    let runtime = runtime();
    let component = Component::new(runtime.engine(), wat::parse_str(COMPONENT).unwrap()).unwrap();
    let refused = CoreTemplate::<State>::new(&runtime, &component, |_| Ok(()));
    assert!(matches!(refused.err(), Some(EngineError::World(_))));
}
