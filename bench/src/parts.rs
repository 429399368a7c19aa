//! The parts that a request is made of and that can be had by themselves: what a missed bar is explained with.

use std::sync::Arc;

use anyhow::anyhow;
use standin::clock::{Clock as _, SystemClock, SystemEntropy};
use standin::engine::{CoreTemplate, Isolation, Runtime, RuntimeOptions, SandboxParts, Sandboxed};
use standin::policy::{BASELINE, PolicyLimits, PolicyModule};
use standin::types::{Input, Party};
use wasmtime::component::Component;

use crate::pipeline::runtime;
use crate::table::{Table, median};

const TIMES: usize = 3_000;

struct State(SandboxParts);

impl Sandboxed for State {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.0
    }
}

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    table.add("parts/core-sandbox", core()?, "µs", None, None);
    table.add("parts/policy-fresh", policy(Isolation::Request)?, "µs", None, None);
    table.add("parts/policy-reused", policy(Isolation::Reuse(u32::MAX))?, "µs", None, None);
    Ok(())
}

/// Making a sandbox of the component and clearing it away, without a request in between.
fn core() -> anyhow::Result<f64> {
    let engine = Runtime::new(RuntimeOptions::default())?;
    let component = Component::new(engine.engine(), standin::COMPONENT).map_err(|error| anyhow!("{error:#}"))?;
    let template = CoreTemplate::<State>::new(&engine, &component, |linker| linker.define_unknown_imports_as_traps(&component))?;
    let runtime = runtime()?;
    times(|| {
        let state = State(engine.parts(Arc::new(SystemClock::default()), Arc::new(SystemEntropy)));
        runtime.block_on(template.instantiate(state)).map(drop).map_err(|error| anyhow!("{error}"))
    })
}

/// One judgement by the default policy.
fn policy(isolation: Isolation) -> anyhow::Result<f64> {
    let engine = Runtime::new(RuntimeOptions { isolation, ..RuntimeOptions::default() })?;
    let module = PolicyModule::load(&engine, None, BASELINE, PolicyLimits::default())?;
    let input = question();
    times(|| module.evaluate(&input).map(drop).map_err(|error| anyhow!("{error:?}")))
}

fn question() -> Input {
    let party = |kind: &str, id: &str| Party {
        kind: kind.into(),
        id: id.into(),
        tenants: vec!["acme".into()],
        provisional: false,
        attributes: vec![],
    };
    Input {
        caller: party("client", "client:svc-router"),
        subject: party("external", "ext:corp:user-0001"),
        chain: vec![],
        tenant: "acme".into(),
        audience: vec!["https://api.example.com".into()],
        scope: vec!["expenses:read".into()],
        ttl: 300,
        flow: "local".into(),
        step: None,
        now: 1_800_000_000,
        attributes: vec![],
    }
}

fn times(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let clock = SystemClock::default();
    let mut micros = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = clock.monotonic();
        work()?;
        micros.push(clock.monotonic().saturating_sub(begun).as_secs_f64() * 1e6);
    }
    Ok(median(micros))
}
