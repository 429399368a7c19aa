//! The parts that a request is made of and that can be had by themselves: what a missed bar is explained with.

use std::sync::Arc;

use anyhow::anyhow;
use standin::clock::{SystemClock, SystemEntropy};
use standin::engine::{CoreTemplate, Isolation, Runtime, RuntimeOptions, SandboxParts, Sandboxed};
use standin::policy::{BASELINE, PolicyLimits};
use wasmtime::component::Component;

use crate::pipeline::runtime;
use crate::policies::{TIMES, judgement, times};
use crate::table::Table;

struct State(SandboxParts);

impl Sandboxed for State {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.0
    }
}

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    table.add("parts/core-sandbox", core()?, "µs", None, None);
    table.add("parts/policy-fresh", policy(BASELINE, Isolation::Request)?, "µs", None, None);
    table.add("parts/policy-reused", policy(BASELINE, Isolation::Reuse(u32::MAX))?, "µs", None, None);
    Ok(())
}

/// Making a sandbox of the component and clearing it away, without a request in between.
fn core() -> anyhow::Result<f64> {
    let engine = Runtime::new(RuntimeOptions::default())?;
    let component = Component::new(engine.engine(), standin::COMPONENT).map_err(|error| anyhow!("{error:#}"))?;
    let template = CoreTemplate::<State>::new(&engine, &component, |linker| linker.define_unknown_imports_as_traps(&component))?;
    let runtime = runtime()?;
    times(TIMES, || {
        let state = State(engine.parts(Arc::new(SystemClock::default()), Arc::new(SystemEntropy)));
        runtime.block_on(template.instantiate(state)).map(drop).map_err(|error| anyhow!("{error}"))
    })
}

/// One judgement by this module; it has to be a permit.
fn policy(wasm: &[u8], isolation: Isolation) -> anyhow::Result<f64> {
    judgement(wasm, isolation, PolicyLimits::default(), TIMES)
}
