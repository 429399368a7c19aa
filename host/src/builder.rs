//! Puts a [`Standin`] together: from a configuration, from the embedding program's own parts, or from both.

mod error;
mod follow;
mod inspect;
mod policy;
mod providers;
mod reload;
mod watch;

pub use self::error::BuildError;
pub use self::inspect::{Unusable, inspect};
pub use self::policy::{LoadError, policy_trust};
use self::providers::providers;
pub(crate) use self::reload::Loader;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::audit::{Audit, AuditLog, Durability, LogOptions, SealKey};
use crate::bounded;
use crate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::config::{self, Config};
use crate::decision_point::Judge;
use crate::directory::{Directory, DirectoryCtx, SqliteDirectory};
use crate::door::Door;
use crate::engine::{CoreTemplate, Isolation, Runtime, RuntimeOptions, Supply};
use crate::guessing::{Asker, Guessing};
use crate::http::{Http, HttpCtx, ReqwestHttp};
use crate::image::ImageCache;
use crate::keys::files::{FileKeys, KeyFolder};
use crate::keys::{IssuerKeySets, Keys, Verifier};
use crate::policy::rollout::Rollout;
use crate::registry::Registry;
use crate::shared::{Limits, Shared, failures};
use crate::sqlite::{Database, SqliteError};
use crate::standin::{Inner, Standin};
use crate::state::{self, RequestState};
use crate::store::{MemoryStore, SqliteStore, Store, StoreCtx};
use crate::tape::{Recorded, Recorder};

/// The component this crate was built with.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standin.wasm"));

/// What the key that seals the audit log's head is derived for; see [`crate::keys::files::hmac_key`].
pub const AUDIT_SEAL: &str = "audit-head";

/// The longest provider answer, where the provider sets none.
const MAX_ANSWER: usize = 1 << 20;
/// The longest component file, in bytes.
const MAX_COMPONENT: u64 = 256 << 20;

/// The parts that databases are for, as errors name them.
const DIRECTORY: &str = "directory";
const STORE: &str = "store";

/// Where the component comes from.
#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    Embedded,
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// The embedding program's own parts; each takes the place of the configured one.
#[derive(Clone, Default)]
struct Parts {
    keys: Option<Arc<dyn Keys>>,
    directory: Option<Arc<dyn Directory>>,
    registry: Option<Arc<dyn Registry>>,
    store: Option<Arc<dyn Store>>,
    audit: Option<Arc<dyn Audit>>,
    http: Option<Arc<dyn Http>>,
    judge: Option<Arc<dyn Judge>>,
}

/// Where events go, and the file log if it is one.
type OpenedLog = (Arc<dyn Audit>, Option<Arc<AuditLog>>);

/// Builds a [`Standin`].
#[derive(Clone)]
pub struct Builder {
    config: Option<Config>,
    source: Source,
    parts: Parts,
    runtime: Option<RuntimeOptions>,
    remember_signatures: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: None,
            source: Source::default(),
            parts: Parts::default(),
            runtime: None,
            remember_signatures: true,
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

impl Builder {
    /// Everything that is not given otherwise comes from this configuration.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Loads the component from a file instead of the embedded one.
    #[must_use]
    pub fn component_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Source::File(path.into());
        self
    }

    /// Loads these bytes as the component instead of the embedded one.
    #[must_use]
    pub fn component_bytes(mut self, wasm: Vec<u8>) -> Self {
        self.source = Source::Bytes(wasm);
        self
    }

    /// Signs with these keys.
    #[must_use]
    pub fn keys(mut self, keys: Arc<dyn Keys>) -> Self {
        self.parts.keys = Some(keys);
        self
    }

    /// Looks subjects up here.
    #[must_use]
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.parts.directory = Some(directory);
        self
    }

    /// Takes registrations from here.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.parts.registry = Some(registry);
        self
    }

    /// Keeps small shared state here. Without a configuration the default is in memory.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.parts.store = Some(store);
        self
    }

    /// Records attempts here.
    #[must_use]
    pub fn audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.parts.audit = Some(audit);
        self
    }

    /// Sends HTTP through this.
    #[must_use]
    pub fn http(mut self, http: Arc<dyn Http>) -> Self {
        self.parts.http = Some(http);
        self
    }

    /// Asks this instead of a policy module in its sandbox.
    #[must_use]
    pub fn judge(mut self, judge: Arc<dyn Judge>) -> Self {
        self.parts.judge = Some(judge);
        self
    }

    /// The sandbox's limits, in place of the configured ones.
    #[must_use]
    pub fn runtime(mut self, options: RuntimeOptions) -> Self {
        self.runtime = Some(options);
        self
    }

    /// Whether a signature that was right once is believed for a while (default) or verified every time. The configuration's
    /// `remember_signatures` can say no as well.
    #[must_use]
    pub fn remember_signatures(mut self, remember: bool) -> Self {
        self.remember_signatures = remember;
        self
    }

    /// Takes the time from here.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes randomness from here.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Puts it together. Runs within a tokio runtime.
    ///
    /// # Errors
    /// The first part that is missing or cannot be used.
    pub async fn build(self) -> Result<Standin, BuildError> {
        let config = self.config.as_ref();
        let options = self.runtime.unwrap_or_else(|| config.map(runtime_options).unwrap_or_default());
        let runtime = Runtime::new(options)?;
        let file_keys = match (&self.parts.keys, config) {
            (None, Some(config)) => Some(open_keys(None, config, &self.clock)?),
            (Some(_), _) | (None, None) => None,
        };
        let images = match (config, &file_keys) {
            (Some(config), Some(keys)) => Some(ImageCache::open(&config.runtime.cache, &seal(keys, "image-cache"))?),
            (Some(_) | None, _) => None,
        };
        let mut loader = Loader {
            runtime,
            images: images.map(Arc::new),
            parts: self.parts.clone(),
            clock: Arc::clone(&self.clock),
            begun_with: None,
            rollout: Rollout::new(Arc::clone(&self.clock)),
            audit: None,
            lane: OnceLock::new(),
            store: config.map(|config| config.store.clone()),
            followed: ArcSwapOption::new(file_keys.clone()),
            turn: Mutex::default(),
        };
        let keys = loader.keys(file_keys.clone())?;
        let (audit, log) = self.audit_log(&keys, file_keys.as_deref())?;
        let timeouts = config.map(|config| config.timeouts.clone());
        let timeout = |choose: fn(&config::Timeouts) -> Duration, default| timeouts.as_ref().map_or(default, choose);
        let audit_patience = timeout(|t| t.audit, Duration::from_secs(5));
        loader.audit = Some((Arc::clone(&audit), audit_patience));
        let loaded = loader.load(config, keys)?;
        if let Some(slots) = loaded.slots {
            loader.record_start(&slots).await?;
            loader.rollout.took(slots, config.map(|config| config.policy.clone()));
        }
        let http = match &self.parts.http {
            Some(http) => Arc::clone(http),
            None => Arc::new(ReqwestHttp::from_env()?),
        };
        let issuers = Arc::new(IssuerKeySets::new(Arc::clone(&http), Arc::clone(&self.clock)));
        issuers.register(loaded.issuers);
        let directory = self.directory_part()?;
        let store = self.store_part()?;
        let http_ctx = HttpCtx::new(http, Arc::new(providers(config)?), timeout(|t| t.http, Duration::from_secs(5)), MAX_ANSWER);
        let (component, digest) = loader.component(&self.source)?;
        let recorder = self.recorder(&options, digest)?;
        let template = CoreTemplate::new(&loader.runtime, &component, state::link)?;
        let snapshot = Arc::new(ArcSwap::from_pointee(loaded.snapshot));
        let remember = self.remember_signatures && config.is_none_or(|config| config.runtime.remember_signatures);
        let failures = config.map_or(config::FAILURES, |config| config.limits.caller_failures);
        let shared = Shared {
            snapshot,
            verifier: Arc::new(Verifier::new(remember, issuers, Arc::clone(&self.clock))),
            directory_ctx: Arc::new(DirectoryCtx::new(Arc::clone(&directory), timeout(|t| t.directory, Duration::from_secs(2)))),
            directory,
            store_ctx: Arc::new(StoreCtx::new(Arc::clone(&store), timeout(|t| t.store, Duration::from_secs(2)))),
            store,
            http_ctx: Arc::new(http_ctx),
            audit,
            guessing: Arc::new(Guessing::new(failures, Arc::clone(&self.clock))),
            clock: self.clock,
            entropy: self.entropy,
            limits: Limits {
                audit: audit_patience,
                keys: timeout(|t| t.keys, Duration::from_secs(5)),
                request: config.map_or(Duration::from_secs(30), |config| config.server.request_timeout),
            },
        };
        let shared = Arc::new(shared);
        let make = {
            let (shared, runtime) = (Arc::clone(&shared), loader.runtime.clone());
            move || {
                let parts = runtime.parts(Arc::clone(&shared.clock), Arc::clone(&shared.entropy));
                RequestState::new(parts, shared.contexts(&shared.snapshot.load(), String::new(), Asker::default()))
            }
        };
        let door = Door::new(options.slots, Arc::clone(&shared.clock));
        failures::watch(&shared);
        let supply = Supply::new(&loader.runtime, template, make);
        loader.begun_with = self.config.map(Config::without_registrations);
        Ok(Standin { inner: Arc::new(Inner { shared, supply, door, loader, log, recorder }) })
    }

    fn recorder(&self, options: &RuntimeOptions, component: String) -> Result<Option<Arc<Recorder>>, BuildError> {
        let Some(record) = self.config.as_ref().and_then(|config| config.record.as_ref()) else { return Ok(None) };
        let recorded = Recorded { component, memory: options.memory, cpu: options.cpu };
        let recorder = Recorder::open(record, recorded, Arc::clone(&self.clock), Arc::clone(&self.entropy))?;
        Ok(Some(Arc::new(recorder)))
    }

    fn audit_log(&self, keys: &Arc<dyn Keys>, file_keys: Option<&FileKeys>) -> Result<OpenedLog, BuildError> {
        if let Some(audit) = &self.parts.audit {
            return Ok((Arc::clone(audit), None));
        }
        let config = self.config.as_ref().ok_or(BuildError::Missing("audit"))?;
        // The head of the log is sealed under the key folder, also where the signing keys are the embedding program's.
        let seal = match file_keys {
            Some(keys) => seal(keys, AUDIT_SEAL),
            None => Zeroizing::new(*crate::keys::files::hmac_key(&config.keys.dir, AUDIT_SEAL)?.expose()),
        };
        let options = log_options(config);
        let path = &config.audit.path;
        let log = AuditLog::open(path, &SealKey::new(*seal), Arc::clone(keys), Arc::clone(&self.clock), options);
        let log = Arc::new(log.map_err(|source| BuildError::Audit { path: path.clone(), source })?);
        Ok((Arc::clone(&log) as Arc<dyn Audit>, Some(log)))
    }

    fn directory_part(&self) -> Result<Arc<dyn Directory>, BuildError> {
        if let Some(directory) = &self.parts.directory {
            return Ok(Arc::clone(directory));
        }
        let config = self.config.as_ref().ok_or(BuildError::Missing("directory"))?;
        // The store begins empty; a directory that does is a mistake in its path.
        match Database::open(&config.directory) {
            Ok(database) => Ok(Arc::new(SqliteDirectory::new(Arc::new(database)))),
            Err(SqliteError::Missing) => Err(BuildError::NoDirectory(config.directory.clone())),
            Err(source) => Err(BuildError::Database { part: DIRECTORY, path: config.directory.clone(), source }),
        }
    }

    fn store_part(&self) -> Result<Arc<dyn Store>, BuildError> {
        if let Some(store) = &self.parts.store {
            return Ok(Arc::clone(store));
        }
        let Some(config) = &self.config else { return Ok(Arc::new(MemoryStore::new(Arc::clone(&self.clock)))) };
        let failed = |source| BuildError::Database { part: STORE, path: config.store.clone(), source };
        let database = Arc::new(Database::create(&config.store).map_err(failed)?);
        Ok(Arc::new(SqliteStore::new(database, Arc::clone(&self.clock)).map_err(failed)?))
    }
}

/// How long a retired key is published and verifies: as long as tokens can live, and the clocks' leeway.
pub fn key_retention(config: &Config) -> Duration {
    Duration::from_secs(u64::from(config.limits.max_ttl)) + LEEWAY
}

/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// How a configuration wants its audit log kept.
pub fn log_options(config: &Config) -> LogOptions {
    let config::AuditLog { path: _, durability, checkpoint_every, checkpoint_interval, max_size, keep } = &config.audit;
    LogOptions {
        durability: match *durability {
            config::Durability::Fsync => Durability::Fsync,
            config::Durability::Os => Durability::Os,
        },
        checkpoint_lines: *checkpoint_every,
        checkpoint_interval: *checkpoint_interval,
        max_size: Some(*max_size),
        keep: *keep,
        ..LogOptions::default()
    }
}

/// Our own keys as they are configured.
pub fn key_folder(config: &Config) -> KeyFolder {
    KeyFolder { dir: config.keys.dir.clone(), algorithms: config.keys.algorithms.clone(), retention: key_retention(config) }
}

/// `before` are the keys that this process signed with until now.
fn open_keys(before: Option<&FileKeys>, config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<FileKeys>, BuildError> {
    Ok(Arc::new(FileKeys::open_after(before, key_folder(config), Arc::clone(clock))?))
}

fn seal(keys: &FileKeys, purpose: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(*keys.hmac_key(purpose).expose())
}

fn runtime_options(config: &Config) -> RuntimeOptions {
    RuntimeOptions {
        memory: usize::try_from(config.runtime.memory).unwrap_or(usize::MAX),
        cpu: config.runtime.cpu,
        slots: config.limits.max_in_flight,
        isolation: match config.runtime.isolation {
            config::Isolation::Request => Isolation::Request,
            config::Isolation::Reuse(count) => Isolation::Reuse(count),
        },
        ..RuntimeOptions::default()
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, BuildError> {
    let unreadable = |source| BuildError::Unreadable { path: path.clone(), source };
    bounded::read(std::fs::File::open(path).map_err(unreadable)?, MAX_COMPONENT).map_err(unreadable)
}
