//! The parts that a request is made of and that can be had by themselves: what a missed bar is explained with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use standin::clock::{SystemClock, SystemEntropy};
use standin::engine::{CoreTemplate, Isolation, Runtime, RuntimeOptions, SandboxParts, Sandboxed};
use standin::keys::Keys as _;
use standin::keys::files::{self, FileKeys, KeyFolder};
use standin::policy::{BASELINE, PolicyLimits};
use standin::registry::Algorithm;
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
    for (row, algorithm) in SIGNATURES {
        table.add(row, signature(algorithm)?, "µs", None, None);
    }
    Ok(())
}

/// What a token costs by the algorithm that its audience asks for.
const SIGNATURES: [(&str, Algorithm); 3] =
    [("parts/sign-eddsa", Algorithm::EdDsa), ("parts/sign-es256", Algorithm::Es256), ("parts/sign-rs256", Algorithm::Rs256)];
/// As long as the claims of a token are.
const CLAIMS: &str = r#"{"aud":"https://api.example.com","client_id":"svc-router","exp":1795228024,"iat":1795227724,"iss":"https://obo.example.com","jti":"mKOt-gE467InywgIZtksXw","obo_type":"user","scope":"expenses:read","sub":"user:acme:u-bob","tenant":"acme"}"#;

/// One signature with a key from a file, the JWS around it included.
fn signature(algorithm: Algorithm) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("keys");
    files::generate(&dir, &[algorithm], &SystemClock::default(), &SystemEntropy)?;
    let keys = KeyFolder { dir, algorithms: vec![algorithm], retention: Duration::from_secs(930) };
    let keys = FileKeys::open(keys, Arc::new(SystemClock::default()))?;
    let runtime = runtime()?;
    times(TIMES, || Ok(runtime.block_on(keys.sign(Some(algorithm), "at+jwt", CLAIMS)).map(drop)?))
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
