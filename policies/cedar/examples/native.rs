//! What one judgement costs without a sandbox, for `make bench`: `native FILE` prints the median of many, in microseconds.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use standin_policy_cedar::Engine;
use standin_policy_engine::{Effect, Input, Party, PolicyEngine as _, Source};

const TIMES: usize = 3_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: native FILE")?;
    let sources = [Source { name: "policies.cedar".into(), content: std::fs::read_to_string(file)? }];
    let engine = Engine::load(&sources).map_err(|faults| format!("{faults:?}"))?;
    let input = question();
    let mut micros = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
        let begun = Instant::now();
        let verdict = engine.evaluate(black_box(&input)).map_err(|failure| failure.to_string())?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
        if !matches!(verdict.effect, Effect::Permit(_)) {
            return Err("the question is not permitted".into());
        }
    }
    micros.sort_by(f64::total_cmp);
    let median = micros.get(TIMES / 2).ok_or("nothing was measured")?;
    Ok(writeln!(std::io::stdout(), "{median:.2}")?)
}

/// The question that `bench/src/policies.rs` asks.
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
