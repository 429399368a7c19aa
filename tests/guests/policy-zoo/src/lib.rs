//! A policy module that does what the attribute `edge.zoo` of the request says. Without that attribute it permits.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "policy-module" });
}

use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bindings::exports::standin::obo::policy::{Guest, Manifest};
use bindings::standin::obo::types::{Allowance, Attribute, Effect, Input, Reason, Verdict};
use serde_json::Value;

struct Zoo;

impl Guest for Zoo {
    fn evaluate(input: Input) -> Result<Verdict, String> {
        let order = input.attributes.iter().find(|attribute| attribute.name == "edge.zoo");
        let order = order.and_then(|order| serde_json::from_str::<Value>(&order.value).ok()).unwrap_or_default();
        match order.get("allow") {
            Some(allow) => Ok(permit(allowance(allow))),
            None => behave(order.as_str().unwrap_or_default()),
        }
    }

    fn describe() -> Manifest {
        let version = env!("CARGO_PKG_VERSION").into();
        Manifest { name: "zoo".into(), version, engine: "none".into(), source_digest: String::new() }
    }
}

fn behave(order: &str) -> Result<Verdict, String> {
    match order {
        "deny" => Ok(verdict(Effect::Deny)),
        "step-up" => Ok(verdict(Effect::StepUp("urn:example:mfa".into()))),
        "step-up-to-nothing" => Ok(verdict(Effect::StepUp(String::new()))),
        "error" => Err("no rule matched".into()),
        "trap" => trap(),
        "loop" => spin(),
        "take-its-time" => Ok(dawdle()),
        "eat-memory" => Ok(verdict(eat())),
        "allocate-4-gib" => Ok(grow()),
        "overflow-stack" => Err(format!("{}", dig(0))),
        "long-answer" => Err("x".repeat(100 << 20)),
        "many-reasons" => Ok(Verdict { reasons: vec![reason("again"); 1000], ..permit(allowance(&Value::Null)) }),
        "bad-scope" => Ok(permit(Allowance { scope: Some(vec!["a b".into()]), audience: None, ttl: None })),
        "bad-audience" => Ok(permit(Allowance { scope: None, audience: Some(vec![String::new()]), ttl: None })),
        "twice-the-same-attribute" => Ok(Verdict { attributes: vec![attribute("1"), attribute("2")], ..verdict(Effect::Deny) }),
        "attribute-that-is-not-json" => Ok(Verdict { attributes: vec![attribute("{")], ..permit(allowance(&Value::Null)) }),
        "clocks-and-seeds" => Ok(tell()),
        "change-its-mind" => Ok(change()),
        _ => Ok(permit(allowance(&Value::Null))),
    }
}

fn permit(allowance: Allowance) -> Verdict {
    verdict(Effect::Permit(allowance))
}

fn verdict(effect: Effect) -> Verdict {
    Verdict { effect, reasons: vec![reason("as told")], attributes: Vec::new() }
}

fn reason(text: &str) -> Reason {
    Reason { rule: "zoo".into(), text: text.into() }
}

fn attribute(value: &str) -> Attribute {
    Attribute { name: "zoo".into(), value: value.into() }
}

/// `{"scope": […], "audience": […], "ttl": …}`; what is missing is no opinion.
fn allowance(order: &Value) -> Allowance {
    let texts = |name| {
        let list = order.get(name)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let ttl = order.get("ttl").and_then(Value::as_u64).map(|ttl| u32::try_from(ttl).unwrap_or(u32::MAX));
    Allowance { scope: texts("scope"), audience: texts("audience"), ttl }
}

#[expect(clippy::panic, reason = "a module that traps is what is asked for")]
fn trap() -> ! {
    panic!("as told")
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// Computes for some tens of milliseconds, then permits.
fn dawdle() -> Verdict {
    for at in 0..60_000_000_u32 {
        black_box(at);
    }
    permit(allowance(&Value::Null))
}

/// Asks for memory until there is none.
fn eat() -> Effect {
    let mut eaten = Vec::new();
    while eaten.len() < 4096 {
        eaten.push(black_box(vec![1_u8; 1 << 20]));
    }
    black_box(&eaten);
    Effect::Permit(allowance(&Value::Null))
}

/// Asks for all the memory there can be, at once.
fn grow() -> Verdict {
    black_box(std::arch::wasm32::memory_grow::<0>(65_000));
    permit(allowance(&Value::Null))
}

/// Says what time it is and what is random.
#[expect(clippy::disallowed_methods, reason = "what a module learns of time is what is asked for")]
fn tell() -> Verdict {
    let now = (SystemTime::now(), Instant::now());
    let told = reason(&format!("{now:?} {}", RandomState::new().hash_one(0)));
    Verdict { reasons: vec![told], ..permit(allowance(&Value::Null)) }
}

/// Permits the first time, and never again.
fn change() -> Verdict {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    match ASKED.fetch_add(1, Ordering::Relaxed) {
        0 => permit(allowance(&Value::Null)),
        _ => verdict(Effect::Deny),
    }
}

/// Calls itself until the stack is used up.
#[expect(unconditional_recursion, reason = "a module that overflows its stack is what is asked for")]
fn dig(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    dig(depth + 1) + frame.iter().sum::<u64>()
}

#[expect(unsafe_code, reason = "generated by wit-bindgen: the component's entry points")]
mod export {
    use super::{Zoo, bindings};

    bindings::export!(Zoo with_types_in bindings);
}
