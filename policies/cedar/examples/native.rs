//! What one judgement costs without a sandbox, for `make bench`: `native POLICIES CASES` asks the first case many times and prints
//! the median, in microseconds.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use standin_policy_cedar::Engine;
use standin_policy_engine::testing::input;
use standin_policy_engine::{Effect, PolicyEngine as _, Source};

const TIMES: usize = 3_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(policies), Some(cases)) = (arguments.next(), arguments.next()) else {
        return Err("usage: native POLICIES CASES".into());
    };
    let sources = [Source { name: "policies.cedar".into(), content: std::fs::read_to_string(policies)? }];
    let cases: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(cases)?)?;
    let engine = Engine::load(&sources).map_err(|faults| format!("{faults:?}"))?;
    let input = input(cases.pointer("/cases/0/input").ok_or("there is no case")?);
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
