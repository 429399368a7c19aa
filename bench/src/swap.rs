//! Policies that change under load: a steady one, paced, with and without a hundred swaps in between.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use standin::Standin;
use standin::clock::{Clock as _, SystemClock};
use standin::policy::pack::CEDAR;
use standin::types::Request;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::policies::packed;
use crate::table::{Bar, Table};
use crate::world::{Variant, World, by_token, request};

const SWAPS: usize = 100;
/// Between two swaps.
const PAUSE: Duration = Duration::from_millis(50);
/// Callers, and how long each waits from one request to the next: a steady thousand a second together.
const CALLERS: usize = 4;
const PACE: Duration = Duration::from_millis(4);
/// The lifetimes of the two modules that take turns.
const LIFETIMES: [u64; 2] = [60, 120];

/// What a caller saw.
#[derive(Default)]
struct Seen {
    micros: Vec<f64>,
    decided_by: HashSet<(String, u64)>,
}

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(table))
}

async fn run(table: &mut Table) -> anyhow::Result<()> {
    let world = World::new()?;
    let [first, second] = LIFETIMES.map(|seconds| {
        let policy = |number| format!("@id(\"p{number}\") @max_ttl(\"{seconds}s\") permit (principal, action, resource);\n");
        packed(CEDAR, "ten.cedar", (0..10).map(policy).collect())
    });
    let (first, second) = (first?, second?);
    let live = world.path("live.policy.wasm");
    put(&live, &first)?;
    let mut config = world.config(Variant::default())?;
    config.policy.platform.source = standin::config::PolicySource::File(live.clone());
    let standin = Standin::builder().config(config).build().await?;
    // Both are compiled once before anything is measured: an image that is in the cache is what a swap usually finds.
    for wasm in [&second, &first] {
        put(&live, wasm)?;
        standin.reload_policy().await?;
    }
    let mut digests = HashSet::from([digest(&standin)?]);
    let length = PAUSE * u32::try_from(SWAPS)?;
    let quiet = load(&world, &standin, length).await?;
    let loaded = tokio::spawn({
        let (standin, tokens) = (standin.clone(), world.tokens()?);
        async move { callers(&standin, tokens, length).await }
    });
    for swap in 0..SWAPS {
        put(&live, if swap % 2 == 0 { &second } else { &first })?;
        standin.reload_policy().await.context("a swap was refused")?;
        digests.insert(digest(&standin)?);
        tokio::time::sleep(PAUSE.saturating_sub(PAUSE / 10)).await;
    }
    let swapped = loaded.await??;
    check(&digests, &swapped)?;
    standin.close().await?;
    let (before, during) = (percentile(&quiet, 0.99), percentile(&swapped, 0.99));
    let beside =
        format!("p50 {:.0} -> {:.0} µs  {} requests", percentile(&quiet, 0.5), percentile(&swapped, 0.5), swapped.micros.len());
    table.add("swap-under-load/without", before, "µs", None, None);
    table.add_beside("swap-under-load", during, "µs", Some("swap-under-load/without"), Some(Bar::RatioAtMost(2.0)), beside);
    Ok(())
}

async fn load(world: &World, standin: &Standin, length: Duration) -> anyhow::Result<Seen> {
    callers(standin, world.tokens()?, length).await
}

/// Calls at a steady pace for this long. The first request that fails ends it.
async fn callers(standin: &Standin, tokens: Vec<String>, length: Duration) -> anyhow::Result<Seen> {
    let requests: Arc<Vec<Request>> = Arc::new(tokens.iter().map(|token| request(by_token(token))).collect());
    let (stop, stopped) = watch::channel(false);
    let tasks: Vec<_> =
        (0..CALLERS).map(|caller| tokio::spawn(call(standin.clone(), Arc::clone(&requests), caller, stopped.clone()))).collect();
    tokio::time::sleep(length).await;
    stop.send(true)?;
    let mut all = Seen::default();
    for task in tasks {
        let Seen { micros, decided_by } = task.await??;
        all.micros.extend(micros);
        all.decided_by.extend(decided_by);
    }
    Ok(all)
}

async fn call(
    standin: Standin,
    requests: Arc<Vec<Request>>,
    caller: usize,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<Seen> {
    let clock = SystemClock::default();
    let mut seen = Seen::default();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for request in requests.iter().cycle().skip(caller) {
        if *stopped.borrow() {
            break;
        }
        pace.tick().await;
        let begun = clock.monotonic();
        let minted = standin.mint_on_behalf(request.clone()).await;
        seen.micros.push(clock.monotonic().saturating_sub(begun).as_secs_f64() * 1e6);
        let Ok(minted) = minted else { bail!("a request failed: {:?}", minted.map_err(|failure| failure.code).err()) };
        seen.decided_by.insert((policy(&minted.token)?, u64::from(minted.expires_in)));
    }
    Ok(seen)
}

/// Every token was decided by one of the two modules, whole: its lifetime is that module's.
fn check(digests: &HashSet<String>, seen: &Seen) -> anyhow::Result<()> {
    let known = seen.decided_by.iter().all(|(digest, seconds)| digests.contains(digest) && LIFETIMES.contains(seconds));
    if digests.len() == 2 && seen.decided_by.len() == 2 && known {
        return Ok(());
    }
    bail!("decided by {:?}, live were {digests:?}", seen.decided_by)
}

fn digest(standin: &Standin) -> anyhow::Result<String> {
    let mut slots = standin.policy_status().slots;
    Ok(slots.remove(standin::policy::PLATFORM).context("nothing is live")?.digest)
}

/// The digest of the module that decided.
fn policy(token: &str) -> anyhow::Result<String> {
    let claims = token.split('.').nth(1).context("no token")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    Ok(claims.get("policy").and_then(Value::as_str).context("the token does not name its policy")?.to_owned())
}

/// In place whole.
fn put(live: &Path, wasm: &[u8]) -> anyhow::Result<()> {
    let next = live.with_extension("next");
    std::fs::write(&next, wasm)?;
    Ok(std::fs::rename(next, live)?)
}

fn percentile(seen: &Seen, share: f64) -> f64 {
    let mut micros = seen.micros.clone();
    micros.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a short list"
    )]
    let index = (micros.len() as f64 * share) as usize;
    micros.get(index.min(micros.len().saturating_sub(1))).copied().unwrap_or_default()
}
