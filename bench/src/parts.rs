//! The parts that a request is made of and that can be had by themselves: what a missed bar is explained with.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::anyhow;
use standin::clock::{Clock as _, SystemClock, SystemEntropy};
use standin::engine::{CoreTemplate, Isolation, Runtime, RuntimeOptions, SandboxParts, Sandboxed};
use standin::policy::pack::{CEDAR, Package, Source, pack};
use standin::policy::{BASELINE, PolicyLimits, PolicyModule};
use standin::types::{Effect, Input, Party};
use wasmtime::component::Component;

use crate::pipeline::runtime;
use crate::table::{Bar, Table, median};

const TIMES: usize = 3_000;

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
    let cedar = ten_cedar_policies()?;
    table.add("policy/cedar-10-fresh", policy(&cedar, Isolation::Request)?, "µs", None, Some(Bar::ValueAtMost(45.0)));
    table.add("policy/cedar-10-reused", policy(&cedar, Isolation::Reuse(u32::MAX))?, "µs", None, Some(Bar::ValueAtMost(25.0)));
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

/// Ten policies, two of which can match by their scope.
fn ten_cedar_policies() -> anyhow::Result<Vec<u8>> {
    let mut content = String::from(
        "@id(\"protected\") forbid (principal, action, resource) when { resource has protected && resource.protected };\n",
    );
    for number in 0..9 {
        writeln!(
            content,
            "@id(\"p{number}\") @max_ttl(\"5m\") permit (principal == Client::\"client:svc-{number}\", action == Action::\"mint\", \
             resource is User) when {{ principal in context.tenant && resource in context.tenant && !resource.provisional }};"
        )?;
    }
    let sources = vec![Source { name: "ten.cedar".into(), content }];
    Ok(pack(CEDAR, &Package { name: "ten".into(), version: 1, sources, cases: None })?.wasm)
}

/// One judgement by this module; it has to be a permit.
fn policy(wasm: &[u8], isolation: Isolation) -> anyhow::Result<f64> {
    let engine = Runtime::new(RuntimeOptions { isolation, ..RuntimeOptions::default() })?;
    let module = PolicyModule::load(&engine, None, wasm, PolicyLimits::default())?;
    let input = question();
    times(|| match module.evaluate(&input).map_err(|error| anyhow!("{error:?}"))?.effect {
        Effect::Permit(_) => Ok(()),
        refused @ (Effect::Deny | Effect::StepUp(_)) => Err(anyhow!("{refused:?}")),
    })
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
        caller: party("client", "client:svc-3"),
        subject: party("user", "user:acme:u-1"),
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
