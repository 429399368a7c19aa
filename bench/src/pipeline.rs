//! The pipeline without a network: the floor, a reused sandbox and a fresh one, turn by turn on one thread.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use standin::Standin;
use standin::audit::MemoryAudit;
use standin::clock::{Clock as _, SystemClock};
use standin::directory::MemoryDirectory;
use standin::store::MemoryStore;
use standin::types::Request;
use tokio::runtime::Runtime;

use crate::native::Floor;
use crate::table::{Bar, Table, median};
use crate::world::{API, CLIENT, SCOPE, SECRET, Variant, World, by_token, request};

/// Rounds, and mints of each side in a round. A round is short, so that what disturbs the machine disturbs every side.
const ROUNDS: usize = 150;
const MINTS: usize = 40;
const WARM_UP: usize = 300;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let world = World::new()?;
    let tokens = world.tokens()?;
    let requests: Vec<Request> = tokens.iter().map(|token| request(by_token(token))).collect();
    let floor = Floor::new(world.folder())?;
    let runtime = runtime()?;
    let reused = runtime.block_on(in_memory(&world, Variant { reuse: true, ..Variant::default() }))?;
    let fresh = runtime.block_on(in_memory(&world, Variant::default()))?;
    let mut native = Timed::default();
    let [mut with_reused, mut with_fresh] = [&reused, &fresh].map(|standin| Side::new(standin, &requests));
    for side in [&mut with_reused, &mut with_fresh] {
        runtime.block_on(side.run(WARM_UP))?;
        side.timed.clear();
    }
    for _ in 0..ROUNDS {
        for token in tokens.iter().take(MINTS) {
            native.take(|| floor.mint(CLIENT, SECRET, API, SCOPE, token)).map_err(|refused| anyhow!("{refused:?}"))?;
        }
        runtime.block_on(with_reused.run(MINTS))?;
        runtime.block_on(with_fresh.run(MINTS))?;
    }
    let of = Some("pipeline/floor");
    table.add("pipeline/floor", native.median(), "µs", None, None);
    table.add("pipeline/reused", with_reused.timed.median(), "µs", of, Some(Bar::RatioAtMost(1.8)));
    table.add("pipeline/fresh", with_fresh.timed.median(), "µs", of, Some(Bar::RatioAtMost(2.5)));
    // By itself: tapes are sealed and written behind it, beside whatever else is measured.
    let recorded = runtime.block_on(in_memory(&world, Variant { record: true, ..Variant::default() }))?;
    let mut with_tapes = Side::new(&recorded, &requests);
    runtime.block_on(with_tapes.run(WARM_UP))?;
    with_tapes.timed.clear();
    runtime.block_on(with_tapes.run(ROUNDS * MINTS))?;
    let beside = "every request on a tape; as many are written as the disk takes".to_owned();
    table.add_beside("pipeline/fresh-recorded", with_tapes.timed.median(), "µs", Some("pipeline/fresh"), None, beside);
    Ok(())
}

/// One thread for everything: what a mint leaves to be done behind its back is part of what it costs.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Standin with directory, store and audit in memory, and signatures verified every time.
async fn in_memory(world: &World, variant: Variant) -> anyhow::Result<Standin> {
    let builder = Standin::builder()
        .config(world.config(variant)?)
        .directory(Arc::new(MemoryDirectory::default()))
        .store(Arc::new(MemoryStore::new(Arc::new(SystemClock::default()))))
        .audit(Arc::new(MemoryAudit::new(1_000)))
        .remember_signatures(false);
    Ok(builder.build().await?)
}

/// Times of single mints, in microseconds.
#[derive(Default)]
pub(crate) struct Timed {
    clock: SystemClock,
    micros: Vec<f64>,
}

impl Timed {
    fn take<T>(&mut self, mint: impl FnOnce() -> T) -> T {
        let begun = self.clock.monotonic();
        let result = std::hint::black_box(mint());
        self.record(begun);
        result
    }

    fn record(&mut self, begun: Duration) {
        self.micros.push(self.clock.monotonic().saturating_sub(begun).as_secs_f64() * 1e6);
    }

    pub(crate) fn clear(&mut self) {
        self.micros.clear();
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.micros.clone())
    }
}

/// One Standin under measurement.
pub(crate) struct Side<'a> {
    standin: &'a Standin,
    requests: &'a [Request],
    next: usize,
    pub(crate) timed: Timed,
}

impl<'a> Side<'a> {
    pub(crate) fn new(standin: &'a Standin, requests: &'a [Request]) -> Self {
        Self { standin, requests, next: 0, timed: Timed::default() }
    }

    /// Mints `count` times.
    pub(crate) async fn run(&mut self, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            let request = self.requests.get(self.next % self.requests.len()).cloned().ok_or_else(|| anyhow!("no requests"))?;
            self.next += 1;
            let begun = self.timed.clock.monotonic();
            let minted = self.standin.mint_on_behalf(request).await;
            // The next sandbox is made by a task of its own: let it run, and count it.
            tokio::task::yield_now().await;
            self.timed.record(begun);
            let minted = minted.map_err(|failure| anyhow!("not minted: {} {}", failure.code, failure.message))?;
            std::hint::black_box(minted.token);
        }
        Ok(())
    }
}
