use std::time::Duration;

use wasmtime::component::Component;

use super::*;
use crate::builder::COMPONENT;
use crate::clock::{SystemClock, SystemEntropy};
use crate::engine::{RuntimeOptions, SandboxParts};

struct State(SandboxParts);

impl Sandboxed for State {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.0
    }
}

/// The real component; an import that it calls traps.
fn supply(isolation: Isolation, slots: u32, ahead: u32) -> Supply<State> {
    let runtime = Runtime::new(RuntimeOptions { isolation, slots, ahead, ..RuntimeOptions::default() }).unwrap();
    let component = Component::new(runtime.engine(), COMPONENT).unwrap();
    let link = |linker: &mut wasmtime::component::Linker<State>| linker.define_unknown_imports_as_traps(&component);
    let template = CoreTemplate::new(&runtime, &component, link).unwrap();
    let source = runtime.clone();
    Supply::new(&runtime, template, move || State(source.parts(Arc::new(SystemClock::default()), Arc::new(SystemEntropy))))
}

/// One request that does nothing.
async fn serve(supply: &Supply<State>) -> u32 {
    let mut sandbox = supply.take().await.unwrap();
    sandbox.obo(async |_, _| Ok(())).await.unwrap();
    let served = sandbox.served();
    supply.give_back(sandbox);
    served
}

async fn wait_for(supply: &Supply<State>, ready: usize) {
    for _ in 0..500 {
        if supply.ready() == ready {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{} ready instead of {ready}", supply.ready());
}

#[tokio::test]
async fn one_request_one_sandbox() {
    let supply = supply(Isolation::Request, 2, 1);
    for _ in 0..3 {
        assert_eq!(serve(&supply).await, 1);
        wait_for(&supply, 1).await;
    }
}

#[tokio::test]
async fn no_more_are_made_ahead_than_asked_for() {
    let supply = supply(Isolation::Request, 4, 2);
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(supply.take().await.unwrap());
    }
    for sandbox in taken {
        supply.give_back(sandbox);
    }
    wait_for(&supply, 2).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(supply.ready(), 2);
}

#[tokio::test]
async fn reuse_ends_with_the_count() {
    let supply = supply(Isolation::Reuse(3), 2, 0);
    let mut served = Vec::new();
    for _ in 0..7 {
        served.push(serve(&supply).await);
    }
    // What was spent was torn down; whether its replacement is ready by then makes no difference to the counts.
    assert_eq!(served, [1, 2, 3, 1, 2, 3, 1]);
}

#[tokio::test]
async fn after_a_trap_there_is_no_reuse() {
    let supply = supply(Isolation::Reuse(3), 2, 0);
    let mut sandbox = supply.take().await.unwrap();
    let trapped = sandbox.obo(async |_, _| Err::<(), _>(wasmtime::Trap::UnreachableCodeReached.into())).await;
    assert!(matches!(trapped, Err(SandboxError::Trapped(_))));
    supply.give_back(sandbox);
    assert_eq!(serve(&supply).await, 1);
}

#[tokio::test]
async fn a_call_given_up_halfway_ends_reuse() {
    let supply = supply(Isolation::Reuse(3), 2, 0);
    let mut sandbox = supply.take().await.unwrap();
    let call = sandbox.obo(async |_, _| std::future::pending::<wasmtime::Result<()>>().await);
    assert!(tokio::time::timeout(Duration::from_millis(1), call).await.is_err());
    assert!(!sandbox.is_sound());
    supply.give_back(sandbox);
    assert_eq!(serve(&supply).await, 1);
}

#[tokio::test]
async fn sandboxes_are_bounded() {
    let supply = supply(Isolation::Request, 1, 0);
    let mut taken = Vec::new();
    let refused = loop {
        match supply.take().await {
            Ok(sandbox) => taken.push(sandbox),
            Err(error) => break error,
        }
        assert!(taken.len() < 100);
    };
    assert_eq!(refused, SandboxError::Exhausted);
    drop(taken);
    assert!(supply.take().await.is_ok());
}

#[test]
fn outside_a_runtime_nothing_is_made_ahead() {
    let supply = supply(Isolation::Request, 2, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sandbox = runtime.block_on(supply.take()).unwrap();
    supply.give_back(sandbox);
    assert_eq!(supply.ready(), 0);
}
