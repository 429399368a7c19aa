//! The tricks.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::MADE_UP;
use crate::bindings::standin::obo::decision_point::Approval;
use crate::bindings::standin::obo::directory::{self, AccountKey, MachineKey, UserKey};
use crate::bindings::standin::obo::keys::{self, KeySource};
use crate::bindings::standin::obo::types::{Credential, Request, Subject};
use crate::bindings::standin::obo::{audit, http, registry, store};
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
        "credentials-kept" => keep_credentials(request),
        "credentials-from-before" => credentials_from_before(request, orders),
        "ask-around" => Err(Refused::new("hostile.asked", ask_around())),
        "ask-around-authenticated" => {
            script::authenticate(request);
            Err(Refused::new("hostile.asked", ask_around()))
        }
        "http" => Err(Refused::new("hostile.sent", send(request, orders)?)),
        "loop" => spin(),
        "trap" => trap(),
        "eat-memory" => Ok(eat()),
        "overflow-stack" => Ok(dig(0).to_string()),
        "flood-directory" => {
            script::authenticate(request);
            Err(flood(|| directory::find_user(&UserKey::Email("alice@example.com".into())).is_ok()))
        }
        "flood-policy" => {
            Err(flood(|| !matches!(script::permitted(request, orders), Err(Refused { code, .. }) if code == "hostile.judge")))
        }
        "flood-audit" => Err(flood(|| audit::append(r#"{"outcome":"deny","code":"hostile.flood"}"#).is_ok())),
        "flood-registry" => Err(flood(|| registry::find_client("svc-router").is_some())),
        "flood-store" => Err(flood(|| store::get_many("revocation", &[vec![0; 1 << 8]]).is_ok())),
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

/// The secret, or the caller's token, and the subject token of another request, where the sandbox remembers.
static CREDENTIALS: Mutex<Option<(Credential, String)>> = Mutex::new(None);

/// Keeps what this request proves itself by.
fn keep_credentials(request: &Request) -> Result<String, Refused> {
    let subject = match &request.subject {
        Subject::Token(token) => token.value.clone(),
        Subject::Descriptor(_) | Subject::Delegation(_) | Subject::Caller => String::new(),
    };
    *CREDENTIALS.lock().unwrap_or_else(PoisonError::into_inner) = Some((request.caller.clone(), subject));
    Err(Refused::new("hostile.kept", "kept the credentials"))
}

/// Mints with what another request has proven itself by.
fn credentials_from_before(request: &Request, orders: &Orders<'_>) -> Result<String, Refused> {
    let kept = CREDENTIALS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some((caller, subject)) = kept else {
        return Err(Refused::new("hostile.nothing_kept", "this sandbox remembers nothing"));
    };
    let shown = match &caller {
        Credential::ClientSecret(shown) => format!("{:?}", keys::check_secret(&shown.client_id, &shown.secret)),
        Credential::Bearer(token) => format!("{:?}", keys::verify(token, &KeySource::CallerIssuer).map(|_| ())),
        Credential::ClientAssertion(_) | Credential::Certificate(_) | Credential::Attested(_) => String::new(),
    };
    let verified = keys::verify(&subject, &KeySource::SubjectIssuer).map(|_| ());
    match script::mint(request, orders) {
        Ok(token) => Ok(token),
        Err(_) => Err(Refused::new("hostile.before", format!("{shown} {verified:?}"))),
    }
}

/// Asks about everything; says what was answered.
fn ask_around() -> String {
    let email = UserKey::Email("bob@example.com".into());
    let answered = [
        ("user", directory::find_user(&email).is_ok_and(|user| user.is_some())),
        ("account", directory::find_account(&AccountKey::Id("acme-eu".into())).is_ok_and(|account| account.is_some())),
        ("machine", directory::find_machine(&MachineKey::Ophid("edge-7".into())).is_ok_and(|machine| machine.is_some())),
        ("client", registry::find_client("svc-router").is_some()),
        ("identity", registry::find_client_by_identity("https://callers.example.com", "workload-7").is_some()),
        ("issuer", registry::find_issuer("https://idp.example.com").is_some()),
        ("callers", registry::find_issuer("https://callers.example.com").is_some()),
        ("audience", registry::find_audience("https://api.example.com").is_some()),
        ("pseudonym", keys::pseudonym("provisional:acme", "bob@example.com").is_ok()),
    ];
    answered.into_iter().filter(|(_, answered)| *answered).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

/// Sends to a provider, once with nothing shown and once with a permit.
fn send(request: &Request, orders: &Orders<'_>) -> Result<String, Refused> {
    let ask = || {
        http::send(&http::Request {
            provider: "idp".into(),
            method: "POST".into(),
            url: orders.text("url").unwrap_or_default(),
            headers: Vec::new(),
            body: b"grant_type=client_credentials".to_vec(),
        })
    };
    let before = ask().map(|answer| answer.status);
    let _permitted = script::permitted(request, orders)?;
    Ok(format!("{before:?} {:?}", ask().map(|answer| answer.status)))
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
