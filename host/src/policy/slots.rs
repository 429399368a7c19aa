//! The modules that are live: the platform's, and tenants' own, which can only narrow what the platform's leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::PolicyModule;
use super::breaker::{Breaker, BreakerOptions, BreakerState};
use super::pace::Pace;
use super::shadow::{Shadow, ShadowCounts};
use crate::bindings::decision_point::JudgeError;
use crate::bindings::types::{Effect, Verdict};
use crate::clock::Clock;
use crate::decision_point::{self, Judge, Judgement, Question};

/// The name of the platform's slot.
pub const PLATFORM: &str = "platform";

/// The name of a tenant's slot.
pub fn tenant_slot(tenant: &str) -> String {
    format!("tenant:{tenant}")
}

/// One place a module can be live in.
pub struct Slot {
    name: String,
    module: Arc<PolicyModule>,
    configured: BreakerOptions,
    breaker: Breaker,
    pace: Pace,
    shadow: Option<Shadow>,
}

impl Slot {
    /// A module with a breaker of its own.
    pub fn new(name: String, module: Arc<PolicyModule>, breaker: BreakerOptions, clock: Arc<dyn Clock>) -> Self {
        // As many failures as open it have to fit into the window, however long each of them takes.
        let failures = u32::try_from(breaker.failures).unwrap_or(u32::MAX);
        let window = breaker.window.max(module.limits().deadline.saturating_mul(failures).saturating_mul(2));
        let effective = Breaker::new(BreakerOptions { window, ..breaker }, Arc::clone(&clock));
        Self { name, module, configured: breaker, breaker: effective, pace: Pace::new(clock), shadow: None }
    }

    /// The same with a candidate beside it.
    #[must_use]
    pub fn shadowed(mut self, shadow: Option<Shadow>) -> Self {
        self.shadow = shadow;
        self
    }

    /// Whether it is just this: a slot that stays as it is keeps what its breaker and its shadow have seen.
    pub(crate) fn is(&self, module: &Arc<PolicyModule>, breaker: BreakerOptions, candidate: Option<&Arc<PolicyModule>>) -> bool {
        let same_candidate = match (&self.shadow, candidate) {
            (Some(shadow), Some(candidate)) => Arc::ptr_eq(shadow.candidate(), candidate),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        Arc::ptr_eq(&self.module, module) && self.configured == breaker && same_candidate
    }

    /// Its name: [`PLATFORM`], or [`tenant_slot`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its module.
    pub fn module(&self) -> &Arc<PolicyModule> {
        &self.module
    }

    /// The candidate beside it.
    pub(crate) fn shadow(&self) -> Option<&Shadow> {
        self.shadow.as_ref()
    }

    fn judge(&self, question: &Question<'_>) -> Result<Judgement, JudgeError> {
        let client = &question.input.caller.id;
        let Some(leave) = self.breaker.leave(client) else { return Err(JudgeError::Unavailable) };
        let answer = self.pace.evaluate(|| self.module.evaluate(question.input));
        if self.breaker.settle(client, &leave, &answer) {
            metrics::counter!("standin_policy_breaker_opened_total", "slot" => self.name.clone()).increment(1);
            tracing::error!(
                slot = self.name,
                module = self.module.digest(),
                "a policy keeps failing: it is not asked for a while"
            );
        }
        if let Some(shadow) = &self.shadow {
            shadow.offer(&self.name, self.module.digest(), question, &answer);
        }
        Ok(Judgement { verdict: answer?, module_digest: self.module.digest().to_owned() })
    }

    fn status(&self) -> SlotStatus {
        let (name, version) = self.module.title();
        SlotStatus {
            name,
            version,
            engine: self.module.manifest().engine.clone(),
            digest: self.module.digest().to_owned(),
            breaker: self.breaker.state(),
            shadow: self.shadow.as_ref().map(|shadow| {
                let (name, version) = shadow.candidate().title();
                ShadowStatus { name, version, digest: shadow.candidate().digest().to_owned(), counts: shadow.counts() }
            }),
        }
    }
}

/// One slot, for whoever operates it.
#[derive(Debug, Clone, Serialize)]
pub struct SlotStatus {
    /// What the module is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its engine.
    pub engine: String,
    /// Lowercase hex SHA-256 of its bytes.
    pub digest: String,
    /// Whether it is asked.
    pub breaker: BreakerState,
    /// The candidate beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowStatus>,
}

/// A candidate, for whoever operates it.
#[derive(Debug, Clone, Serialize)]
pub struct ShadowStatus {
    /// What the module is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Lowercase hex SHA-256 of its bytes.
    pub digest: String,
    /// What came of it so far.
    #[serde(flatten)]
    pub counts: ShadowCounts,
}

/// The modules that are live. One value is one consistent snapshot.
#[derive(Clone)]
pub struct PolicySlots {
    platform: Arc<Slot>,
    tenants: BTreeMap<String, Arc<Slot>>,
}

impl std::fmt::Debug for PolicySlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.each().map(|slot| (slot.name(), slot.module.digest()))).finish()
    }
}

impl PolicySlots {
    /// The platform's, and tenants' own, by tenant.
    pub fn new(platform: Arc<Slot>, tenants: BTreeMap<String, Arc<Slot>>) -> Self {
        Self { platform, tenants }
    }

    /// Every slot, the platform's first.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Slot>> {
        std::iter::once(&self.platform).chain(self.tenants.values())
    }

    /// The slot of this name.
    pub fn find(&self, name: &str) -> Option<&Arc<Slot>> {
        self.each().find(|slot| slot.name == name)
    }

    /// The same with this slot in place of the one of its name.
    #[must_use]
    pub(crate) fn with(&self, slot: Arc<Slot>) -> Self {
        let mut slots = self.clone();
        let place = std::iter::once(&mut slots.platform).chain(slots.tenants.values_mut()).find(|old| old.name == slot.name);
        if let Some(place) = place {
            *place = slot;
        }
        slots
    }

    /// Every slot by its name.
    pub fn status(&self) -> BTreeMap<String, SlotStatus> {
        self.each().map(|slot| (slot.name.clone(), slot.status())).collect()
    }
}

impl Judge for PolicySlots {
    fn is_slow(&self, tenant: &str) -> bool {
        self.platform.pace.is_slow() || self.tenants.get(tenant).is_some_and(|own| own.pace.is_slow())
    }

    fn judge(&self, question: &Question<'_>) -> Result<Judgement, JudgeError> {
        let platform = self.platform.judge(question)?;
        let Some(own) = self.tenants.get(question.tenant).filter(|_| permits(&platform.verdict)) else { return Ok(platform) };
        let own = own.judge(question)?;
        let module_digest = format!("{}+{}", platform.module_digest, own.module_digest);
        Ok(Judgement { verdict: decision_point::both(platform.verdict, own.verdict)?, module_digest })
    }
}

fn permits(verdict: &Verdict) -> bool {
    match &verdict.effect {
        Effect::Permit(_) => true,
        Effect::Deny | Effect::StepUp(_) => false,
    }
}
