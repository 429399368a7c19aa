//! Which modules are live, which were before, and what became of the last attempt to change them.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::{PolicyModule, PolicySlots, Slot, SlotStatus};
use crate::clock::Clock;
use crate::config::{self, PolicySource};
use crate::record::SlotChange;

/// What is known of the modules of one host.
pub struct Rollout {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the live modules are configured by; `None` without a configuration.
    configured: Option<config::Policy>,
    live: Option<Arc<PolicySlots>>,
    /// By slot: what was live before the last change.
    previous: BTreeMap<String, Arc<PolicyModule>>,
    /// By slot: the digest of the file that was rolled back from, which is not taken up again.
    held: BTreeMap<String, String>,
    /// By slot.
    refused: BTreeMap<String, Refusal>,
    /// The files as they were when they were last read.
    read: BTreeMap<PathBuf, Option<Stamp>>,
}

/// Why the last attempt to change the modules came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Which step failed: one of a few fixed words.
    pub code: &'static str,
    /// Why, for the operator.
    pub cause: String,
    /// Seconds since the Unix epoch.
    pub at: u64,
}

/// How it stands, for whoever operates it.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// What is live, by slot.
    pub slots: BTreeMap<String, SlotStatus>,
    /// What a rollback would bring back, by slot.
    pub previous: BTreeMap<String, Previous>,
    /// Digests of the files that were rolled back from, by slot.
    pub rolled_back: BTreeMap<String, String>,
    /// Why the last attempt to change a slot came to nothing, where it did.
    pub refused: BTreeMap<String, Refusal>,
}

/// What was live before the last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Previous {
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Lowercase hex SHA-256 of its bytes.
    pub digest: String,
}

/// What tells a file that was changed: another file of the name, or another time or length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// How the file is now; `None` where there is none to be seen.
    pub(crate) fn now(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of)
    }
}

/// The files of the modules and their candidates.
fn files(policy: &config::Policy) -> impl Iterator<Item = &PathBuf> {
    let modules = std::iter::once(&policy.platform).chain(policy.tenants.iter().map(|tenant| &tenant.module));
    modules.flat_map(|module| {
        let file = match &module.source {
            PolicySource::Baseline => None,
            PolicySource::File(path) => Some(path),
        };
        file.into_iter().chain(&module.shadow)
    })
}

impl Rollout {
    /// Nothing is live yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is live.
    pub fn live(&self) -> Option<Arc<PolicySlots>> {
        self.state().live.clone()
    }

    /// What the live modules are configured by.
    pub(crate) fn configured(&self) -> Option<config::Policy> {
        self.state().configured.clone()
    }

    /// The files are about to be read.
    pub(crate) fn reads(&self, policy: &config::Policy) {
        let stamps: Vec<_> = files(policy).map(|path| (path.clone(), Stamp::now(path))).collect();
        self.state().read.extend(stamps);
    }

    /// The files that are no longer as they were when they were last read, as they are now.
    pub(crate) fn changed_files(&self) -> BTreeMap<PathBuf, Option<Stamp>> {
        let Some(policy) = self.configured() else { return BTreeMap::new() };
        let now: Vec<_> = files(&policy).map(|path| (path.clone(), Stamp::now(path))).collect();
        let state = self.state();
        now.into_iter().filter(|(path, stamp)| state.read.get(path) != Some(stamp)).collect()
    }

    /// Whether the file with this digest was rolled back from.
    pub(crate) fn holds(&self, slot: &str, digest: &str) -> bool {
        self.state().held.get(slot).is_some_and(|held| held == digest)
    }

    /// What a rollback of this slot would bring back.
    pub fn previous(&self, slot: &str) -> Option<Arc<PolicyModule>> {
        self.state().previous.get(slot).cloned()
    }

    /// The attempt came to nothing.
    pub(crate) fn refused(&self, slot: String, code: &'static str, cause: String) {
        let at = self.clock.now().as_secs();
        self.state().refused.insert(slot, Refusal { code, cause, at });
    }

    /// These are live from now on. What was in a slot before can be brought back.
    pub(crate) fn took(&self, slots: Arc<PolicySlots>, configured: Option<config::Policy>) {
        let mut state = self.state();
        let State { live, previous, held, .. } = &mut *state;
        if let Some(old) = live.replace(Arc::clone(&slots)) {
            for slot in old.each() {
                let stays = slots.find(slot.name()).is_some_and(|new| new.module().digest() == slot.module().digest());
                if !stays {
                    previous.insert(slot.name().to_owned(), Arc::clone(slot.module()));
                    // Another file took its place.
                    held.remove(slot.name());
                }
            }
        }
        previous.retain(|slot, _| slots.find(slot).is_some());
        held.retain(|slot, _| slots.find(slot).is_some());
        if configured.is_some() {
            state.configured = configured;
        }
        state.refused.clear();
    }

    /// These are live from now on, and the slot's file is not taken up again as it is: it was rolled back from.
    pub(crate) fn rolled_back(&self, slots: Arc<PolicySlots>, slot: &str) {
        let from = self.live().and_then(|live| live.find(slot).map(|slot| slot.module().digest().to_owned()));
        self.took(slots, None);
        let mut state = self.state();
        // Rolling back twice would go forth again.
        state.previous.remove(slot);
        state.held.extend(from.map(|from| (slot.to_owned(), from)));
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let state = self.state();
        let previous = |(slot, module): (&String, &Arc<PolicyModule>)| {
            let (name, version) = module.title();
            (slot.clone(), Previous { name, version, digest: module.digest().to_owned() })
        };
        Status {
            slots: state.live.as_ref().map(|live| live.status()).unwrap_or_default(),
            previous: state.previous.iter().map(previous).collect(),
            rolled_back: state.held.clone(),
            refused: state.refused.clone(),
        }
    }
}

/// What these slots change.
pub(crate) fn changes<'a>(old: Option<&'a PolicySlots>, new: &'a PolicySlots) -> Vec<SlotChange<'a>> {
    let was = |slot: &str| old.and_then(|old| old.find(slot)).map(|slot| slot.module().digest());
    let change = |slot: &'a str, to: Option<&'a PolicyModule>| {
        let (name, version) = to.map(PolicyModule::title).unzip();
        SlotChange { slot, from: was(slot), to: to.map(PolicyModule::digest), name, version }
    };
    let now = new.each().map(|slot| change(slot.name(), Some(slot.module())));
    let gone = old.into_iter().flat_map(PolicySlots::each).filter(|slot| new.find(slot.name()).is_none());
    now.chain(gone.map(|slot| change(slot.name(), None))).filter(|change| change.from != change.to).collect()
}

/// What a start with this slot changes, when nobody knows what was live before.
pub(crate) fn started(slot: &Slot) -> SlotChange<'_> {
    let (name, version) = slot.module().title();
    SlotChange { slot: slot.name(), from: None, to: Some(slot.module().digest()), name: Some(name), version: Some(version) }
}

/// The same back again.
pub(crate) fn reversed<'a>(changes: &[SlotChange<'a>]) -> Vec<SlotChange<'a>> {
    changes.iter().map(|change| SlotChange { from: change.to, to: change.from, name: None, version: None, ..*change }).collect()
}
