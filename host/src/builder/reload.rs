//! Makes snapshots: at the start, and again whenever something of them changes while requests are served.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use tokio::sync::Mutex;

use super::policy::{LoadError, Refused};
use super::{BuildError, Parts, Source, inspect, open_keys, read};
use crate::audit::{Announced, Audit, AuditError};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::decision_point::Judge;
use crate::engine::Runtime;
use crate::hex;
use crate::image::{self, ImageCache};
use crate::keys::Keys;
use crate::keys::files::FileKeys;
use crate::keys::issuers::Registered;
use crate::policy::rollout::{self, Rollout};
use crate::policy::{PolicySlots, ShadowLane};
use crate::record::{self, SlotChange};
use crate::registry::{Registrations, Registry};
use crate::shared::Snapshot;
use crate::sqlite::{Database, SqliteError};
use crate::standin::{Inner, Standin};

/// Makes snapshots.
pub(crate) struct Loader {
    pub(super) runtime: Runtime,
    pub(super) images: Option<Arc<ImageCache>>,
    pub(super) parts: Parts,
    pub(super) clock: Arc<dyn Clock>,
    /// The configuration of the start, without its registrations.
    pub(super) begun_with: Option<Config>,
    pub(super) rollout: Rollout,
    /// Where candidates' differences and changes of policy are recorded, and how long that may take.
    pub(super) audit: Option<(Arc<dyn Audit>, Duration)>,
    /// Started for the first candidate.
    pub(super) lane: OnceLock<ShadowLane>,
    /// The database of the store, where a configuration names one.
    pub(super) store: Option<PathBuf>,
    /// The keys, where they are files: what becomes of these is taken up.
    pub(super) followed: ArcSwapOption<FileKeys>,
    /// Changes take turns.
    pub(super) turn: Mutex<()>,
}

/// A snapshot, and its policies where they are modules.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    /// Where the keys of its issuers come from.
    pub(super) issuers: Vec<Registered>,
    pub(super) slots: Option<Arc<PolicySlots>>,
    /// What was not taken up, and why.
    pub(super) refused: Vec<Refused>,
}

impl Loader {
    /// The engine.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The component, and the SHA-256 of its bytes in lowercase hex.
    pub(super) fn component(&self, source: &Source) -> Result<(wasmtime::component::Component, String), BuildError> {
        let wasm = match source {
            Source::Embedded => Cow::Borrowed(super::COMPONENT),
            Source::Bytes(wasm) => Cow::Borrowed(wasm.as_slice()),
            Source::File(path) => Cow::Owned(read(path)?),
        };
        let component = image::load(self.runtime.engine(), self.images.as_deref(), &wasm)?;
        Ok((component, hex::encode(digest::digest(&digest::SHA256, &wasm).as_ref())))
    }

    pub(super) fn keys(&self, file_keys: Option<Arc<FileKeys>>) -> Result<Arc<dyn Keys>, BuildError> {
        match (&self.parts.keys, file_keys) {
            (Some(keys), _) => Ok(Arc::clone(keys)),
            (None, Some(keys)) => Ok(keys),
            (None, None) => Err(BuildError::Missing("keys")),
        }
    }

    pub(super) fn load(&self, config: Option<&Config>, keys: Arc<dyn Keys>) -> Result<Loaded, BuildError> {
        let mut issuers = Vec::new();
        let registry: Arc<dyn Registry> = match (&self.parts.registry, config) {
            (Some(registry), _) => Arc::clone(registry),
            (None, Some(config)) => {
                issuers = config.issuers.iter().map(inspect::registered).collect::<Result<_, _>>()?;
                Arc::new(Registrations::from_config(config))
            }
            (None, None) => return Err(BuildError::Missing("registry")),
        };
        let (judge, slots, refused) = match &self.parts.judge {
            Some(judge) => (Arc::clone(judge), None, Vec::new()),
            None => {
                let (slots, refused) = self.policies(config.map(|config| &config.policy))?;
                (Arc::clone(&slots) as Arc<dyn Judge>, Some(slots), refused)
            }
        };
        Ok(Loaded { snapshot: Snapshot { registry, keys, judge }, issuers, slots, refused })
    }

    pub(super) fn store_database(&self) -> Result<Database, LoadError> {
        let path = self.store.as_deref().unwrap_or(Path::new(""));
        let opened = if path.as_os_str().is_empty() { Err(SqliteError::Missing) } else { Database::create(path) };
        opened.map_err(|source| self.store_failed(source))
    }

    pub(super) fn store_failed(&self, source: SqliteError) -> LoadError {
        LoadError::Database { path: self.store.clone().unwrap_or_default(), source }
    }

    /// The lane of the candidates; runs within a tokio runtime.
    pub(super) fn lane(&self) -> Option<ShadowLane> {
        let (audit, patience) = self.audit.as_ref()?;
        Some(self.lane.get_or_init(|| ShadowLane::start(Arc::clone(audit), *patience)).clone())
    }
}

impl Standin {
    /// Takes registrations, keys, policy and the limits of tokens from another configuration, as one snapshot. Requests in flight
    /// end on the old one; on an error the old one serves on.
    ///
    /// # Errors
    /// The first part that cannot be used; [`BuildError::NeedsRestart`] where it differs from the configuration of the start in
    /// anything else, [`BuildError::NoClients`] where nobody could ask for anything any more.
    pub async fn reload(&self, config: Config) -> Result<(), BuildError> {
        let fixed = self.inner.loader.begun_with.as_ref().map(|old| old.needing_restart(&config)).unwrap_or_default();
        if !fixed.is_empty() {
            return Err(BuildError::NeedsRestart(fixed));
        }
        // A file that was emptied or cut off by mistake would turn everybody away.
        if config.clients.is_empty() && self.inner.loader.parts.registry.is_none() {
            return Err(BuildError::NoClients);
        }
        self.change("reload", move |inner| {
            let file_keys = match &inner.loader.parts.keys {
                Some(_) => None,
                None => Some(open_keys(inner.loader.followed.load().as_deref(), &config, &inner.loader.clock)?),
            };
            let loaded = inner.loader.load(Some(&config), inner.loader.keys(file_keys.clone())?)?;
            Ok(Planned { file_keys, registers: true, configured: Some(config.policy), ..Planned::of(loaded) })
        })
        .await
    }

    /// Reads the files of the policy modules again, and takes up what they have become.
    ///
    /// # Errors
    /// The first that may not become live; the old ones serve on.
    pub async fn reload_policy(&self) -> Result<(), BuildError> {
        self.change("file", |inner| {
            let configured = inner.loader.rollout.configured();
            let (slots, refused) = inner.loader.policies(configured.as_ref())?;
            Ok(Planned { configured, ..Planned::of(with_slots(inner, slots, refused)) })
        })
        .await
    }

    /// Puts the module back that was live in this slot before the last change, and lets its version be live again. The file that
    /// was rolled back from is not taken up again before it is another one.
    ///
    /// # Errors
    /// Where nothing was live there before, it is not trusted any more, or the change could not be recorded.
    pub async fn roll_back_policy(&self, slot: &str) -> Result<(), BuildError> {
        let slot = slot.to_owned();
        self.change("rollback", move |inner| {
            let slots = inner.loader.rolled_back(&slot)?;
            Ok(Planned { rolled_back: Some(slot), ..Planned::of(with_slots(inner, slots, Vec::new())) })
        })
        .await
    }

    /// Which policy modules are live, and what became of the last attempt to change them.
    pub fn policy_status(&self) -> rollout::Status {
        self.inner.loader.rollout.status()
    }

    /// Plans a change, records it, and only then puts it in place: one change after the other, and each to its end, whoever asked
    /// for it and has gone.
    pub(super) async fn change(
        &self,
        because: &'static str,
        plan: impl FnOnce(&Inner) -> Result<Planned, BuildError> + Send + 'static,
    ) -> Result<(), BuildError> {
        let this = self.clone();
        let changing = tokio::spawn(async move {
            let _turn = this.inner.loader.turn.lock().await;
            let inner = Arc::clone(&this.inner);
            // Compiling a policy takes seconds: not on a thread that answers requests.
            let planned = tokio::task::spawn_blocking(move || plan(&inner)).await.map_err(|_| BuildError::Interrupted);
            let done = match planned.flatten() {
                Ok(planned) => this.take(planned, because).await,
                Err(error) => Err(error),
            };
            done.inspect_err(|error| refused(&this.inner.loader.rollout, error))
        });
        changing.await.map_err(|_| BuildError::Interrupted)?
    }

    async fn take(&self, planned: Planned, because: &'static str) -> Result<(), BuildError> {
        let Planned { loaded, file_keys, registers, configured, rolled_back } = planned;
        let Loaded { snapshot, issuers, slots, refused: kept } = loaded;
        let mut announced = None;
        if let Some(slots) = &slots {
            announced = self.inner.loader.record(slots, because).await?;
            if rolled_back.is_none() {
                self.raise_floors(Arc::clone(slots)).await?;
            }
        }
        if let Some(log) = &self.inner.log {
            log.replace_keys(Arc::clone(&snapshot.keys));
        }
        if file_keys.is_some() {
            self.inner.loader.followed.store(file_keys);
        }
        if registers {
            self.inner.shared.verifier.issuers().register(issuers);
        }
        self.inner.shared.snapshot.store(Arc::new(snapshot));
        if let Some(announced) = announced {
            announced.done();
        }
        let rollout = &self.inner.loader.rollout;
        match (slots, rolled_back) {
            (Some(slots), Some(slot)) => {
                rollout.rolled_back(Arc::clone(&slots), &slot);
                self.lower_floor(slots, slot).await?;
            }
            (Some(slots), None) => rollout.took(slots, configured),
            (None, _) => {}
        }
        for Refused { slot, file, source } in kept {
            let error = BuildError::Policy { slot, file, source };
            tracing::error!(%error, "what is live in this slot stays");
            refused(rollout, &error);
        }
        metrics::gauge!("standin_policy_refused").set(if rollout.status().refused.is_empty() { 0.0 } else { 1.0 });
        Ok(())
    }

    /// Only after the swap: a version that is not live again must not be let in.
    async fn lower_floor(&self, slots: Arc<PolicySlots>, slot: String) -> Result<(), BuildError> {
        let inner = Arc::clone(&self.inner);
        let lowering = tokio::task::spawn_blocking(move || match slots.find(&slot) {
            Some(live) => inner.loader.lower_floor(live).map_err(|source| BuildError::Policy { slot, file: None, source }),
            None => Ok(()),
        });
        lowering.await.map_err(|_| BuildError::Interrupted)?
    }

    /// Only after the change was recorded: what nobody reads of must not keep anything out.
    async fn raise_floors(&self, slots: Arc<PolicySlots>) -> Result<(), BuildError> {
        let inner = Arc::clone(&self.inner);
        let raising = tokio::task::spawn_blocking(move || inner.loader.raise_floors(&slots));
        raising.await.map_err(|_| BuildError::Interrupted)?
    }
}

impl Loader {
    /// One event for all of it: what is written is what becomes live. Where it does not after all, another event takes it back.
    async fn record(&self, slots: &PolicySlots, because: &str) -> Result<Option<Announced>, BuildError> {
        let live = self.rollout.live();
        let changes = rollout::changes(live.as_deref(), slots);
        let announced = self.announce(&changes, because).await?;
        for change in &changes {
            let SlotChange { slot, from, to, name, version } = change;
            tracing::info!(slot, name, version, to, from, because, "policy changes");
            metrics::counter!("standin_policy_swaps_total", "outcome" => "done").increment(1);
        }
        Ok(announced)
    }

    /// A start with a version that was not live the last time is a change too.
    pub(super) async fn record_start(&self, slots: &PolicySlots) -> Result<(), BuildError> {
        let changed = self.with_other_versions(slots)?;
        let changes: Vec<SlotChange<'_>> = changed.into_iter().map(rollout::started).collect();
        let announced = self.announce(&changes, "start").await?;
        self.raise_floors(slots)?;
        if let Some(announced) = announced {
            announced.done();
        }
        Ok(())
    }

    async fn announce(&self, changes: &[SlotChange<'_>], because: &str) -> Result<Option<Announced>, BuildError> {
        let Some((audit, patience)) = self.audit.as_ref().filter(|_| !changes.is_empty()) else { return Ok(None) };
        let malformed = |_| BuildError::Unrecorded(AuditError::Malformed);
        let event = record::policy_change(because, changes).map_err(malformed)?;
        let otherwise = record::policy_change("not-taken", &rollout::reversed(changes)).map_err(malformed)?;
        let announced = Announced::record(audit, event, otherwise, *patience).await;
        Ok(Some(announced.map_err(BuildError::Unrecorded)?))
    }
}

/// A change that was looked at and found good.
pub(super) struct Planned {
    pub(super) loaded: Loaded,
    /// The keys, where they are files and were read again.
    pub(super) file_keys: Option<Arc<FileKeys>>,
    /// Whether it has other issuers.
    pub(super) registers: bool,
    /// What the policies are configured by afterwards.
    pub(super) configured: Option<config::Policy>,
    pub(super) rolled_back: Option<String>,
}

impl Planned {
    pub(super) fn of(loaded: Loaded) -> Self {
        Self { loaded, file_keys: None, registers: false, configured: None, rolled_back: None }
    }
}

/// What is live now, with other policies.
fn with_slots(inner: &Inner, slots: Arc<PolicySlots>, refused: Vec<Refused>) -> Loaded {
    let live = inner.shared.snapshot.load_full();
    let judge = Arc::clone(&slots) as Arc<dyn Judge>;
    Loaded { snapshot: Snapshot { judge, ..Snapshot::clone(&live) }, issuers: Vec::new(), slots: Some(slots), refused }
}

/// Keeps why the policies did not change, for whoever asks.
fn refused(rollout: &Rollout, error: &BuildError) {
    // Where there is nothing to go back to, no module was refused.
    if matches!(error, BuildError::Policy { source: LoadError::NothingBefore, .. }) {
        return;
    }
    let Some((slot, code)) = error.policy() else { return };
    rollout.refused(slot.to_owned(), code, error.to_string());
    metrics::counter!("standin_policy_swaps_total", "outcome" => "refused").increment(1);
    metrics::gauge!("standin_policy_refused").set(1.0);
}
