//! The tricks.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::MADE_UP;
use crate::bindings::standin::obo::decision_point::Approval;
use crate::bindings::standin::obo::directory::{self, UserKey};
use crate::bindings::standin::obo::types::Request;
use crate::bindings::standin::obo::{audit, registry, store};
use crate::orders::Orders;
use crate::script::{self, Permitted, Refused};

/// Questions of a flood.
const FLOOD: usize = 10_000;

/// A handle that outlives its request, where the sandbox does.
static KEPT: AtomicU32 = AtomicU32::new(0);

/// Plays the trick that the request names.
pub(crate) fn play(request: &Request) -> Result<String, Refused> {
    let orders = &Orders::of(request);
    match orders.trick().as_str() {
        "mint" => script::mint(request, orders),
        "approval-forged" => script::sign(forged(7), orders, "{}"),
        "approval-twice" => twice(request, orders),
        "approval-kept" => keep(request, orders),
        "approval-from-before" => from_before(request, orders),
        "loop" => spin(),
        "trap" => trap(),
        "eat-memory" => Ok(eat()),
        "overflow-stack" => Ok(dig(0).to_string()),
        "flood-directory" => Err(flood(|| directory::find_user(&UserKey::Email("alice@example.com".into())).is_ok())),
        "flood-policy" => {
            Err(flood(|| !matches!(script::permitted(request, orders), Err(Refused { code, .. }) if code == "hostile.judge")))
        }
        "flood-audit" => Err(flood(|| audit::append(r#"{"outcome":"deny","code":"hostile.flood"}"#).is_ok())),
        "flood-registry" => Err(flood(|| registry::find_client("svc-router").is_some())),
        "flood-store" => Err(flood(|| store::get_many("revocation", &[vec![0; 1 << 10]]).is_ok())),
        "long-event" => Err(Refused::new("hostile.audit", format!("{:?}", audit::append(&"x".repeat(7 << 20))))),
        "too-much-at-once" => Err(Refused::new("hostile.audit", format!("{:?}", audit::append(&"x".repeat(12 << 20))))),
        "event" => Err(Refused::new("hostile.audit", format!("{:?}", audit::append(&orders.text("event").unwrap_or_default())))),
        "made-up-token" => Ok(MADE_UP.into()),
        "made-up-token-with-event" => {
            let _recorded = audit::append(r#"{"outcome":"deny","code":"hostile.made_up"}"#);
            Ok(MADE_UP.into())
        }
        "hide-behind-a-stranger" => {
            let _recorded = audit::append(r#"{"outcome":"deny","code":"caller.invalid"}"#);
            let _unsigned = script::mint(request, orders);
            Err(Refused::new("hostile.hidden", "what was recorded names nobody"))
        }
        "fail-silently" => Err(Refused::new("hostile.silent", "nothing was recorded")),
        "fail-with-code" => Err(Refused::new(&orders.text("code").unwrap_or_default(), "nothing was recorded")),
        "fail-with-a-bad-code" => Err(Refused::new("permit\n{\"outcome\":\"permit\"}", "nothing was recorded")),
        other => Err(Refused::new("hostile.unknown_trick", other)),
    }
}

/// An approval that the host never gave.
#[expect(unsafe_code, reason = "forging a handle is the trick")]
fn forged(handle: u32) -> Approval {
    // SAFETY: a handle is an index into a table of the host's, which checks it.
    unsafe { Approval::from_handle(handle) }
}

/// Signs, and signs again with what was used up.
fn twice(request: &Request, orders: &Orders<'_>) -> Result<String, Refused> {
    let Permitted { approval, claims } = script::permitted(request, orders)?;
    let handle = approval.handle();
    let claims = script::write(&claims, orders);
    let _first = script::sign(approval, orders, &claims)?;
    script::sign(forged(handle), orders, &claims)
}

/// Keeps an approval for another request.
fn keep(request: &Request, orders: &Orders<'_>) -> Result<String, Refused> {
    let Permitted { approval, .. } = script::permitted(request, orders)?;
    KEPT.store(approval.take_handle(), Ordering::Relaxed);
    Err(Refused::new("hostile.kept", "kept an approval"))
}

/// Signs with an approval of another request.
fn from_before(request: &Request, orders: &Orders<'_>) -> Result<String, Refused> {
    let handle = KEPT.load(Ordering::Relaxed);
    if handle == 0 {
        return Err(Refused::new("hostile.nothing_kept", "this sandbox remembers nothing"));
    }
    let Permitted { claims, .. } = script::permitted(request, orders)?;
    script::sign(forged(handle), orders, &script::write(&claims, orders))
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

#[expect(clippy::panic, reason = "a component that traps is what is asked for")]
fn trap() -> ! {
    panic!("as told")
}

/// Asks for memory until there is none.
fn eat() -> String {
    let mut eaten = Vec::new();
    while eaten.len() < 4096 {
        eaten.push(black_box(vec![1_u8; 1 << 20]));
    }
    eaten.len().to_string()
}

/// Calls itself until the stack is used up.
#[expect(unconditional_recursion, reason = "a component that overflows its stack is what is asked for")]
fn dig(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    dig(depth + 1) + frame.iter().sum::<u64>()
}

/// Asks again and again; says how often it was answered.
fn flood(mut ask: impl FnMut() -> bool) -> Refused {
    let answered = (0..FLOOD).filter(|_| ask()).count();
    Refused::new("hostile.flooded", answered.to_string())
}
