use std::collections::BTreeMap;

use super::*;
use crate::bindings::types::{Allowance, Effect, Party};
use crate::clock::SystemClock;
use crate::decision_point::{Judge as _, Question};
use crate::engine::{Isolation, RuntimeOptions};

fn runtime() -> Runtime {
    Runtime::new(RuntimeOptions { slots: 1, ahead: 0, ..RuntimeOptions::default() }).unwrap()
}

fn limits() -> PolicyLimits {
    PolicyLimits { memory: 1 << 20, deadline: Duration::from_millis(50), answer: 64 << 10 }
}

/// A module whose `evaluate` does this and then returns what stands at 1024.
fn module(evaluate: &str) -> Vec<u8> {
    module_with(evaluate, "")
}

fn module_with(evaluate: &str, describe: &str) -> Vec<u8> {
    let text = include_str!("testing/module.wat").replace(";; evaluate", evaluate).replace(";; describe", describe);
    wat::parse_str(text).unwrap()
}

fn party(kind: &str) -> Party {
    Party { kind: kind.into(), id: "id".into(), tenants: vec!["acme".into()], provisional: false, attributes: Vec::new() }
}

fn input() -> Input {
    Input {
        caller: party("client"),
        subject: party("user"),
        chain: Vec::new(),
        tenant: "acme".into(),
        audience: vec!["https://api.example.com".into()],
        scope: vec!["expenses:read".into()],
        ttl: 300,
        flow: "local".into(),
        step: None,
        now: 1_700_000_000,
        attributes: Vec::new(),
    }
}

fn slot(name: &str, module: PolicyModule) -> Arc<Slot> {
    let clock = Arc::new(SystemClock::default());
    Arc::new(Slot::new(name.to_owned(), Arc::new(module), BreakerOptions::default(), clock))
}

fn evaluate(body: &str) -> Result<Verdict, JudgeError> {
    PolicyModule::load(&runtime(), None, &module(body), limits()).unwrap().evaluate(&input())
}

#[test]
fn baseline_permits() {
    let baseline = PolicyModule::load(&runtime(), None, BASELINE, PolicyLimits::default()).unwrap();
    let slots = PolicySlots::new(slot(PLATFORM, baseline), BTreeMap::new());
    let judgement = slots.judge(&Question { tenant: "acme", correlation_id: "c-1", input: &input() }).unwrap();
    let effect = judgement.verdict.effect;
    assert!(matches!(effect, Effect::Permit(Allowance { scope: None, audience: None, ttl: None })), "{effect:?}");
    assert_eq!(judgement.module_digest, crate::hex::encode(digest(&SHA256, BASELINE).as_ref()));
    assert_eq!(judgement.module_digest.len(), 64);
}

#[test]
fn a_module_says_what_it_is() {
    let baseline = PolicyModule::load(&runtime(), None, BASELINE, PolicyLimits::default()).unwrap();
    assert_eq!((baseline.manifest().name.as_str(), baseline.manifest().engine.as_str()), ("baseline", "none"));
    assert_eq!(baseline.digest(), crate::hex::encode(digest(&SHA256, BASELINE).as_ref()));
}

/// `result<verdict, string>`: 1024 which, 1028 effect, 1032 allowance, 1064 reasons, 1072 attributes.
const DENY: &str = "(i32.store8 (i32.const 1028) (i32.const 1))";

#[test]
fn a_module_may_deny() {
    assert!(matches!(evaluate(DENY).unwrap().effect, Effect::Deny));
}

#[test]
fn what_loops_runs_out_of_time() {
    assert!(matches!(evaluate("(loop (br 0))"), Err(JudgeError::TimedOut)));
}

#[test]
fn what_traps_denies() {
    assert!(matches!(evaluate("unreachable"), Err(JudgeError::Trapped)));
    assert!(matches!(evaluate("(drop (i32.load (i32.const 0x7fffffff)))"), Err(JudgeError::Trapped)));
}

#[test]
fn what_eats_memory_denies() {
    assert!(matches!(evaluate("(drop (memory.grow (i32.const 9)))"), Err(JudgeError::Trapped)));
}

#[test]
fn what_the_module_says_of_its_error_is_kept_in_part() {
    let error = |length: u32| {
        evaluate(&format!(
            "(i32.store8 (i32.const 1024) (i32.const 1))
             (i32.store (i32.const 1028) (i32.const 8192)) (i32.store (i32.const 1032) (i32.const {length}))
             (memory.fill (i32.const 8192) (i32.const 120) (i32.const {length}))"
        ))
    };
    assert!(matches!(error(3), Err(JudgeError::Module(text)) if text == "xxx"));
    assert!(matches!(error(5000), Err(JudgeError::Module(text)) if text.len() == 1024));
    assert!(matches!(error(70_000), Err(JudgeError::TooLarge)));
}

#[test]
fn a_long_answer_is_refused() {
    let reasons = "(i32.store (i32.const 1064) (i32.const 8192)) (i32.store (i32.const 1068) (i32.const 20000))";
    assert!(matches!(evaluate(&format!("{DENY} {reasons}")), Err(JudgeError::TooLarge)));
}

#[test]
fn an_answer_that_is_none_is_refused() {
    let invalid = [
        // No such effect, no such text, a list outside the memory.
        "(i32.store8 (i32.const 1028) (i32.const 7))",
        "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 8192) (i32.const 0xff))
         (i32.store (i32.const 1028) (i32.const 8192)) (i32.store (i32.const 1032) (i32.const 1))",
        "(i32.store (i32.const 1064) (i32.const 0x7ffffff0)) (i32.store (i32.const 1068) (i32.const 9))",
        // Step up to nothing.
        "(i32.store8 (i32.const 1028) (i32.const 2))",
    ];
    for body in invalid {
        assert!(matches!(evaluate(body), Err(JudgeError::Invalid)), "{body}: {:?}", evaluate(body));
    }
}

#[test]
fn without_a_free_sandbox_there_is_no_verdict() {
    let module = PolicyModule::load(&runtime(), None, &module(DENY), limits()).unwrap();
    let mut live = Vec::new();
    while let Ok(one) = module.sandboxes.take(module.limits().deadline) {
        live.push(one);
        assert!(live.len() < 100);
    }
    assert!(matches!(module.evaluate(&input()), Err(JudgeError::Unavailable)));
    drop(live);
    assert!(module.evaluate(&input()).is_ok());
}

/// Counts in a global: permits the first time, denies from then on.
const COUNTS: &str = "(if (i32.load (i32.const 2048)) (then (i32.store8 (i32.const 1028) (i32.const 1))))
                      (i32.store (i32.const 2048) (i32.const 1))";

#[test]
fn a_fresh_sandbox_remembers_nothing() {
    let module = PolicyModule::load(&runtime(), None, &module(COUNTS), limits()).unwrap();
    for _ in 0..5 {
        assert!(matches!(module.evaluate(&input()).unwrap().effect, Effect::Permit(_)));
    }
}

#[test]
fn a_reused_sandbox_serves_its_count() {
    let options = RuntimeOptions { isolation: Isolation::Reuse(2), ..RuntimeOptions::default() };
    let module = PolicyModule::load(&Runtime::new(options).unwrap(), None, &module(COUNTS), limits()).unwrap();
    let first = |verdict: Verdict| matches!(verdict.effect, Effect::Permit(_));
    let seen: Vec<bool> = (0..5).map(|_| first(module.evaluate(&input()).unwrap())).collect();
    assert_eq!(seen, [true, false, true, false, true]);
}

#[test]
fn after_a_trap_there_is_no_reuse() {
    let options = RuntimeOptions { isolation: Isolation::Reuse(9), ..RuntimeOptions::default() };
    let body = format!("(if (i32.load (i32.const 2048)) (then unreachable)) {COUNTS}");
    let module = PolicyModule::load(&Runtime::new(options).unwrap(), None, &module(&body), limits()).unwrap();
    let seen: Vec<bool> = (0..4).map(|_| module.evaluate(&input()).is_ok()).collect();
    assert_eq!(seen, [true, false, true, false]);
}

fn refused(wasm: &[u8], limits: PolicyLimits) -> PolicyError {
    PolicyModule::load(&runtime(), None, wasm, limits).unwrap_err()
}

#[test]
fn imports_of_ours_are_refused() {
    for import in [
        r#"(import "standin:obo/keys@0.1.0" (instance (export "jwks" (func (result string)))))"#,
        r#"(import "standin:obo/decision-point@0.1.0" (instance (export "approval" (type (sub resource)))))"#,
        r#"(import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func))))"#,
        r#"(import "wasi:clocksmith/time@0.2.0" (instance (export "now" (func))))"#,
        r#"(import "jwks" (func (result string)))"#,
    ] {
        let wasm = wat::parse_str(format!("(component {import})")).unwrap();
        assert!(matches!(refused(&wasm, limits()), PolicyError::Import(_)), "{import}");
    }
}

#[test]
fn what_is_no_policy_module_is_refused() {
    assert!(matches!(refused(&wat::parse_str("(component)").unwrap(), limits()), PolicyError::World(_)));
    assert!(matches!(refused(b"nonsense", limits()), PolicyError::Image(_)));
    let silent = module_with(DENY, "unreachable");
    assert!(matches!(refused(&silent, limits()), PolicyError::Describe(SandboxError::Trapped(_))));
    let slow = module_with(DENY, "(loop (br 0))");
    assert!(matches!(refused(&slow, limits()), PolicyError::Describe(SandboxError::TimedOut)));
}

/// Nobody waits for a module that is loaded, and the first instance of a large one is slow.
#[test]
fn describing_may_take_longer_than_deciding() {
    let lengthy = "(loop (i32.store (i32.const 4096) (i32.add (i32.load (i32.const 4096)) (i32.const 1)))
                     (br_if 0 (i32.lt_u (i32.load (i32.const 4096)) (i32.const 50000000))))
                   (i32.store (i32.const 4096) (i32.const 0))";
    let short = PolicyLimits { deadline: Duration::from_millis(1), ..limits() };
    PolicyModule::load(&runtime(), None, &module_with(DENY, lengthy), short).unwrap();
    let deciding = PolicyModule::load(&runtime(), None, &module_with(&format!("{lengthy} {DENY}"), ""), short).unwrap();
    assert!(matches!(deciding.evaluate(&input()), Err(JudgeError::TimedOut)));
}

#[test]
fn limits_out_of_range_are_refused() {
    for wrong in [
        PolicyLimits { memory: 1, ..limits() },
        PolicyLimits { memory: MAX_MEMORY + 1, ..limits() },
        PolicyLimits { deadline: Duration::ZERO, ..limits() },
        PolicyLimits { answer: 0, ..limits() },
    ] {
        assert!(matches!(refused(BASELINE, wrong), PolicyError::Limits));
    }
}
